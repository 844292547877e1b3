/* cmd_run_answer.c: one answer of `run` in the making: generated, told apart, shown.
 *
 * What a reasoning model thinks comes under a heading of its own, in front of the answer; a model
 * that does not reason shows no heading. With --no-reasoning only the answer is shown, a terminal
 * sees that it thinks.
 *
 *   nothing shown --reasoning--> "[Reasoning]" --answer--> "[Answer]" (until the end)
 *   nothing shown --answer--> (until the end)
 */
#include "cli/cli.h"
#include "cli/cmd_run.h"

#define CMD_RUN_MAX_ANSWER ((size_t)64 << 20)

static bool cmd_run_answer_heading(struct cmd_run_answer *a, const char *heading_cstr) {
    cli_color(a->c, 2); /* dim */
    cli_print(a->c, "%s", heading_cstr);
    cli_color(a->c, 0);
    return cli_stream(a->c, STR("\n"));
}

/* Shows text under the heading of its kind. false when the reader went away. */
static bool cmd_run_answer_show(struct cmd_run_answer *a, enum chat_part kind, struct str text) {
    bool ok = true;
    if (text.n == 0) return true;
    if (kind == CHAT_REASONING && !a->shows_reasoning)
        ok = cmd_run_answer_heading(a, "[Reasoning]");
    else if (kind == CHAT_ANSWER && a->shows_reasoning && !a->shows_answer)
        ok = cli_stream(a->c, STR("\n\n")) && cmd_run_answer_heading(a, "[Answer]");
    a->shows_reasoning |= kind == CHAT_REASONING;
    a->shows_answer |= kind == CHAT_ANSWER;
    return ok && cli_stream(a->c, text);
}

static bool cmd_run_answer_part(void *ctx, enum chat_part kind, struct str text) {
    struct cmd_run_answer *a = ctx;
    struct buf *whole = kind == CHAT_ANSWER ? &a->text : &a->reasoning;
    buf_add(whole, text);
    if (whole->failed) return false;
    if (!a->stream) return true;
    if (kind == CHAT_REASONING && a->hide_reasoning) {
        a->progress.what_cstr = "thinking";
        a->progress.total = 0;
        cli_progress_update(&a->progress, ++a->progress.done);
        return true;
    }
    cli_progress_end(&a->progress);
    return cmd_run_answer_show(a, kind, text);
}

static bool cmd_run_answer_text(void *ctx, struct str piece) {
    struct cmd_run_answer *a = ctx;
    return chat_split_push(&a->split, piece) && !os_interrupted();
}

static bool cmd_run_answer_progress(void *ctx, int64_t done, int64_t total) {
    struct cmd_run_answer *a = ctx;
    a->progress.total = (uint64_t)total;
    cli_progress_update(&a->progress, (uint64_t)done);
    return !os_interrupted();
}

MLXK_FN void cmd_run_answer_init(struct cmd_run_answer *a, struct cli_context *c) {
    *a = (struct cmd_run_answer){ .c = c, .hide_reasoning = cli_flag(&c->args, "--no-reasoning") };
    buf_init(&a->text, CMD_RUN_MAX_ANSWER);
    buf_init(&a->reasoning, CMD_RUN_MAX_ANSWER);
    buf_init(&a->prompt, TMPL_MAX_OUTPUT);
}

MLXK_FN void cmd_run_answer_release(struct cmd_run_answer *a) {
    buf_release(&a->text);
    buf_release(&a->reasoning);
    buf_release(&a->prompt);
}

MLXK_FN void cmd_run_answer_print(struct cmd_run_answer *a) {
    if (!a->hide_reasoning) cmd_run_answer_show(a, CHAT_REASONING, buf_str(&a->reasoning));
    cmd_run_answer_show(a, CHAT_ANSWER, buf_str(&a->text));
}

MLXK_FN bool cmd_run_generate(struct cmd_run_answer *a, struct cli_engine *m,
                              const struct tok_ids *prompt, struct eng_result *out, struct err *e) {
    struct cli_context *c = a->c;
    const struct cli_value *stops = cli_get(&c->args, "--stop");
    struct chat_style style;
    chat_style_find(&m->chat, buf_str(&a->prompt), &style);
    chat_split_init(&a->split, &style, cmd_run_answer_part, a);
    struct eng_request r = { .prompt = prompt->p,
                             .n_prompt = (int64_t)prompt->n,
                             .max_tokens = cli_int(&c->args, "--max-tokens", -1),
                             .stops = stops->list,
                             .n_stops = (int)stops->n,
                             .shown = style.shown,
                             .n_shown = style.n_shown,
                             .text = cmd_run_answer_text,
                             .progress = cmd_run_answer_progress,
                             .ctx = a };
    cmd_run_sampling(c, &m->model->config, &r.sampling);
    if (cli_get(&c->args, "--seed")->given)
        r.sampling.seed += a->turn; /* turns of a conversation differ, repeatably */
    cli_progress_begin(c, &a->progress, "reading the prompt", (uint64_t)prompt->n, false);
    bool ok = eng_generate(m->session, m->tok, &r, out, e);
    ok = ok && chat_split_end(&a->split, e) && buf_ok(&a->text, "the answer", e) &&
         buf_ok(&a->reasoning, "the reasoning", e);
    cli_progress_end(&a->progress);
    chat_split_release(&a->split);
    return ok;
}

#undef CMD_RUN_MAX_ANSWER
