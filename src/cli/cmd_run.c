/* cmd_run.c: `run` asks a model once: a prompt, a pipe, or (cmd_run_chat.c) a conversation.
 *
 * The answer streams as it is made (cmd_run_answer.c); on a pipe it ends with a newline and nothing
 * else. A closing line with counts and speeds goes to stderr when that is a terminal or with
 * --verbose.
 */
#include "cli/cli.h"
#include "cli/cmd_run.h"

#define CMD_RUN_MAX_PROMPT ((size_t)64 << 20)

static const struct cli_option cmd_run_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "path, name or part of a name", 0, 0, false },
    { "prompt...", NULL, CLI_LIST, NULL,
      "the prompt; - reads standard input; none starts a conversation", 0, 0, false },
    { "--prompt", NULL, CLI_TEXT, "TEXT", "the prompt, instead of the words", 0, 0, false },
    { "--system", NULL, CLI_TEXT, "TEXT", "a system message in front", 0, 0, true },
    { "--max-tokens", NULL, CLI_INT, "N", "longest answer (up to the context)", 1, 1e9, false },
    { "--temperature", NULL, CLI_FLOAT, "X", "0 is greedy (the model's, else 0.7)", 0, 100, false },
    { "--top-p", NULL, CLI_FLOAT, "X", "nucleus sampling (the model's, else 0.9)", 0, 1, false },
    { "--top-k", NULL, CLI_INT, "N", "keep the N likeliest tokens; 0 is all", 0, 1e7, true },
    { "--min-p", NULL, CLI_FLOAT, "X", "drop tokens below X times the likeliest", 0, 1, true },
    { "--repetition-penalty", NULL, CLI_FLOAT, "X", "1 is none (the model's, else 1.1)", 0.01, 100,
      false },
    { "--seed", NULL, CLI_INT, "N", "same seed, same answer", 0, 9e15, true },
    { "--stop", NULL, CLI_LIST, "TEXT", "end the answer before TEXT; may be given several times", 0,
      0, true },
    { "--threads", NULL, CLI_INT, "N", "threads (all cores)", 1, 256, true },
    { "--context", NULL, CLI_INT, "N", "positions to hold (the model's, bounded by memory)", 1,
      16777216, true },
    { "--exact", NULL, CLI_FLAG, NULL, "float activations and scalar products (slow)", 0, 0, true },
    { "--no-stream", NULL, CLI_FLAG, NULL, "print the answer when it is complete", 0, 0, false },
    { "--no-chat-template", NULL, CLI_FLAG, NULL, "give the prompt to the model as it is", 0, 0,
      false },
    { "--no-reasoning", NULL, CLI_FLAG, NULL, "hide what a reasoning model thinks", 0, 0, false },
    { "--interactive", "-i", CLI_FLAG, NULL, "a conversation, also when a prompt begins it", 0, 0,
      true },
    { "--image", NULL, CLI_GREEDY, "FILE", "pictures: this version runs text only", 0, 0, false },
    { "--audio", NULL, CLI_GREEDY, "FILE", "a recording: this version runs text only", 0, 0,
      false },
    { "--language", NULL, CLI_TEXT, "CODE", "language of a recording", 0, 0, false },
    { "--translate", NULL, CLI_MAYBE, "LANG", "translate a recording into English", 0, 0, false },
    { "--chunk", NULL, CLI_INT, "N", "pictures a batch", 0, 0, false },
    { "--verbose", "-v", CLI_FLAG, NULL, "print counts and speeds also on a pipe", 0, 0, false },
};

/* ---- settings (Public) ---------------------------------------------------------------------- */

/* A flag wins over generation_config.json, which wins over upstream's default. */
static double cmd_run_setting(struct cli_context *c, const char *option_cstr, double of_model,
                              double otherwise) {
    return cli_float(&c->args, option_cstr, of_model >= 0 ? of_model : otherwise);
}

MLXK_FN void cmd_run_sampling(struct cli_context *c, const struct model_config *m,
                              struct eng_sampling *out) {
    uint64_t seed;
    os_entropy(&seed, sizeof seed);
    out->temperature = (float)cmd_run_setting(c, "--temperature", m->temperature, 0.7);
    out->top_p = (float)cmd_run_setting(c, "--top-p", m->top_p, 0.9);
    out->min_p = (float)cmd_run_setting(c, "--min-p", m->min_p, 0);
    out->top_k = (int)cli_int(&c->args, "--top-k", m->top_k >= 0 ? m->top_k : 0);
    out->repetition_penalty =
        (float)cmd_run_setting(c, "--repetition-penalty", m->repetition_penalty, 1.1);
    out->repetition_window = 20;
    out->seed = (uint64_t)cli_int(&c->args, "--seed", (int64_t)(seed >> 2));
}

MLXK_FN void cmd_run_stats(struct cli_context *c, const struct eng_result *r) {
    double prefill_s = (double)r->prefill_ns / 1e9, decode_s = (double)r->decode_ns / 1e9;
    int64_t decoded =
        r->n_generated > 1 ? r->n_generated - 1 : 0; /* the first token comes from the prefill */
    cli_note(c,
             "prompt %lld tokens, %.0f tok/s | answer %lld tokens, %.1f tok/s | first token after "
             "%.0f ms",
             (long long)r->n_prompt, prefill_s > 0 ? (double)r->n_prompt / prefill_s : 0.0,
             (long long)r->n_generated, decode_s > 0 ? (double)decoded / decode_s : 0.0,
             (double)r->first_token_ns / 1e6);
}

MLXK_FN bool cmd_run_encode(struct cli_context *c, const struct cli_engine *m, struct tok_ids *ids,
                            struct buf *text, struct err *e) {
    struct tmpl_clock now;
    cli_clock(&now);
    if (chat_encode(&m->chat, &now, &c->arena, ids, text, e)) return true;
    if (e->code == ERR_TEMPLATE && str_starts(str_cstr(e->msg), STR("line ")))
        err_context(e, "the chat template (--no-chat-template does without), ");
    return false;
}

/* ---- the prompt (Private) ------------------------------------------------------------------- */

/* Words joined by spaces; "-" anywhere: standard input, two newlines, then --prompt or the other
 * words. */
static bool cmd_run_prompt(struct cli_context *c, struct buf *out) {
    const struct cli_value *words = cli_get(&c->args, "prompt..."),
                           *option = cli_get(&c->args, "--prompt");
    bool pipe = false, any = false;
    for (size_t i = 0; i < words->n; i++) pipe = pipe || str_eq(words->list[i], STR("-"));
    if (pipe && !os_read_all(0, out, &c->err)) return false;
    struct buf text;
    buf_init(&text, CMD_RUN_MAX_PROMPT);
    for (size_t i = 0; i < words->n && !option->given; i++) {
        if (str_eq(words->list[i], STR("-"))) continue;
        if (any) buf_add_char(&text, ' ');
        buf_add(&text, words->list[i]);
        any = true;
    }
    if (option->given) buf_add(&text, option->text);
    if (pipe && (any || option->given)) buf_add(out, STR("\n\n"));
    buf_add(out, buf_str(&text));
    bool ok = buf_ok(&text, "the prompt", &c->err) && buf_ok(out, "the prompt", &c->err);
    buf_release(&text);
    return ok;
}

/* ---- printing (Private) --------------------------------------------------------------------- */

static const char *cmd_run_finish_name(enum eng_finish f) {
    switch (f) {
    case ENG_STOP_TOKEN:
    case ENG_STOP_STRING: return "stop";
    case ENG_LENGTH: return "length";
    case ENG_CONTEXT_FULL: return "context_full";
    case ENG_INTERRUPTED: return "interrupted";
    }
    MLXK_BUG("unknown finish");
}

static void cmd_run_data(struct json_writer *w, struct cli_context *c, struct str prompt,
                         const struct cmd_run_answer *a, const struct eng_result *r) {
    json_write_object(w);
    json_write_key(w, "model");
    json_write_str(w, cli_text(&c->args, "model"));
    json_write_key(w, "prompt");
    json_write_str(w, prompt);
    json_write_key(w, "response");
    json_write_str(w, buf_str(&a->text));
    if (a->reasoning.n && !a->hide_reasoning) {
        json_write_key(w, "reasoning");
        json_write_str(w, buf_str(&a->reasoning));
    }
    json_write_key(w, "finish_reason");
    json_write_cstr(w, cmd_run_finish_name(r->finish));
    json_write_key(w, "prompt_tokens");
    json_write_i64(w, r->n_prompt);
    json_write_key(w, "tokens_generated");
    json_write_i64(w, r->n_generated);
    json_write_key(w, "generation_time_s");
    json_write_f64(w, (double)(r->prefill_ns + r->decode_ns) / 1e9);
    json_write_object_end(w);
}

static int cmd_run_json(struct cli_context *c, struct str prompt, const struct cmd_run_answer *a,
                        const struct eng_result *r) {
    struct json_writer w;
    struct buf data;
    if (r->finish != ENG_INTERRUPTED) {
        cmd_run_data(cli_document(c), c, prompt, a, r);
        return cli_document_end(c);
    }
    cli_data_begin(&w, &data, (size_t)1 << 30);
    cmd_run_data(&w, c, prompt, a, r);
    err_set(&c->err, ERR_INTERRUPTED, "stopped by you after %lld tokens",
            (long long)r->n_generated);
    int status = cli_fail_data(c, &c->err, NULL, buf_str(&data), STR_EMPTY);
    buf_release(&data);
    return status;
}

static int cmd_run_finish(struct cli_context *c, struct str prompt, struct cmd_run_answer *a,
                          const struct eng_result *r) {
    if (c->out.json) return cmd_run_json(c, prompt, a, r);
    if (!a->stream) cmd_run_answer_print(a);
    cli_stream(c, STR("\n"));
    if (os_is_tty(2) || cli_flag(&c->args, "--verbose")) cmd_run_stats(c, r);
    if (r->finish != ENG_INTERRUPTED) return 0;
    cli_note(c, "stopped by you after %lld tokens", (long long)r->n_generated);
    return err_info(ERR_INTERRUPTED)->exit_status;
}

static int cmd_run_once(struct cli_context *c, struct cli_engine *m, struct str prompt) {
    struct cmd_run_answer a;
    struct eng_result r = { 0 };
    struct tok_ids ids;
    struct str system = cli_text(&c->args, "--system");
    cmd_run_answer_init(&a, c);
    a.stream = !c->out.json && !cli_flag(&c->args, "--no-stream");
    tok_ids_init(&ids, MODEL_MAX_CONTEXT);
    bool ok = system.n == 0 || chat_add(&m->chat, &c->arena, STR("system"), system, &c->err);
    ok = ok && chat_add(&m->chat, &c->arena, STR("user"), prompt, &c->err) &&
         cmd_run_encode(c, m, &ids, &a.prompt, &c->err) &&
         cmd_run_generate(&a, m, &ids, &r, &c->err);
    int status = ok ? cmd_run_finish(c, prompt, &a, &r) : cli_fail(c, &c->err, "execution_error");
    tok_ids_release(&r.ids);
    tok_ids_release(&ids);
    cmd_run_answer_release(&a);
    return status;
}

/* Opens the model; one that takes no text is told as such. */
static bool cmd_run_open(struct cli_context *c, struct cli_engine *m) {
    struct cache_model found;
    struct eng_options o = { .n_threads = (int)cli_int(&c->args, "--threads", 0),
                             .context = cli_int(&c->args, "--context", 0),
                             .exact = cli_flag(&c->args, "--exact") };
    if (!cli_resolve(c, cli_text(&c->args, "model"), &found, NULL, &c->err)) return false;
    if (cmd_run_media_given(c)) return cmd_run_media_model(c, &found);
    if (str_contains_icase(found.name, STR("embed")) && !cmd_run_media_text(c, &found, &c->err))
        return false;
    if (cli_open_model(c, found.dir_cstr, !cli_flag(&c->args, "--no-chat-template"), &o, m,
                       &c->err)) {
        m->name = found.name;
        return true;
    }
    (void)cmd_run_media_text(c, &found, &c->err);
    return false;
}

static int cmd_run_with(struct cli_context *c, struct str prompt) {
    struct cli_engine m;
    if (!cmd_run_open(c, &m)) return cli_fail(c, &c->err, "execution_error");
    bool once = prompt.n && !cli_flag(&c->args, "--interactive");
    int status = once ? cmd_run_once(c, &m, prompt) : cmd_run_chat(c, &m, prompt);
    cli_close_model(&m);
    return status;
}

/* Nothing to ask, where a conversation is not what was wanted. */
static bool cmd_run_nothing(struct cli_context *c, bool given) {
    if (given) err_set(&c->err, ERR_INVALID, "the prompt is empty");
    else err_set(&c->err, ERR_INVALID, "Interactive conversations have no JSON form");
    return err_hint(&c->err, given ? "give some text" : "give a prompt, or leave --json out");
}

static int cmd_run_run(struct cli_context *c) {
    struct buf prompt;
    int status;
    bool given = cli_get(&c->args, "prompt...")->n || cli_get(&c->args, "--prompt")->given,
         talk = cli_flag(&c->args, "--interactive"), media = cmd_run_media_given(c);
    if (!cmd_run_media_files(c)) return cli_fail_plain(c, &c->err, "CommandError");
    buf_init(&prompt, CMD_RUN_MAX_PROMPT);
    if (!cmd_run_prompt(c, &prompt)) status = cli_fail(c, &c->err, "execution_error");
    else if (!media && (c->out.json ? talk || !prompt.n : !talk && given && !prompt.n)) {
        cmd_run_nothing(c, given && !talk);
        status = cli_fail(c, &c->err, "execution_error");
    } else status = cmd_run_with(c, buf_str(&prompt));
    buf_release(&prompt);
    return status;
}

MLXK_FN const struct cli_command *cmd_run(void) {
    static const struct cli_command command = {
        "run",
        "ask a model: a prompt, a pipe or a conversation",
        "use",
        cmd_run_options,
        MLXK_COUNT(cmd_run_options),
        "  mlxk run SmolLM2 \"What is the capital of France?\"\n  cat notes.txt | mlxk run SmolLM2 "
        "- \"Summarise this.\"\n"
        "  mlxk run SmolLM2\n  mlxk run SmolLM2 --temperature 0 --max-tokens 64 --json \"Hi\"\n",
        cmd_run_run,
    };
    return &command;
}
