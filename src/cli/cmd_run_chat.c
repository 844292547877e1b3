/* cmd_run_chat.c: the conversation of `run` without a prompt.
 *
 * Lines are read with editing and history on a terminal, plainly from a pipe. Each turn renders the
 * whole conversation and feeds only what the session does not hold yet, so a long talk stays quick.
 * What the model thought goes to its template apart from the answer; templates leave it out of
 * earlier turns.
 *
 *   read line --exit, /exit, end of input, Ctrl-C--> done
 *      |  empty: again;  /clear: forget;  /help: list
 *      v
 *   answer (Ctrl-C keeps what was said) --> read line
 *
 * History is kept in $XDG_STATE_HOME/mlxk/history (0600); where that cannot be written it is done
 * without.
 */
#include "cli/cli.h"
#include "cli/cli_line.h"
#include "cli/cmd_run.h"

struct cmd_run_chat {
    struct cli_context *c;
    struct cli_engine *m;
    struct tok_ids held; /* ids of the tokens that the session holds */
    size_t n_system;     /* messages that /clear keeps */
    uint64_t turn;
    bool ended;
};

static char *cmd_run_chat_history(struct cli_context *c) {
    char *dir_cstr = os_own_dir(&c->arena, "XDG_STATE_HOME", ".local/state");
    struct err ignored = { 0 };
    if (!dir_cstr || !os_mkdirs(dir_cstr, &ignored)) return NULL;
    return os_path_join(&c->arena, dir_cstr, "history");
}

static void cmd_run_chat_help(struct cli_context *c) {
    cli_print(c, "/clear  forget the conversation\n"
                 "/exit   leave (also exit, quit or Ctrl-D)\nCtrl-C stops an answer.\n");
    cli_flush(c);
}

/* Feeds what the session does not hold of the conversation's prompt. */
static bool cmd_run_chat_prompt(struct cmd_run_chat *t, struct tok_ids *rest, struct buf *text,
                                struct err *e) {
    struct tok_ids all;
    tok_ids_init(&all, MODEL_MAX_CONTEXT);
    bool ok = cmd_run_encode(t->c, t->m, &all, text, e);
    size_t keep = chat_common_prefix(&all, &t->held);
    if (ok && keep == all.n && keep) keep--; /* at least one token must be fed to get logits */
    if (ok) {
        eng_truncate(t->m->session, (int64_t)keep);
        t->held.n = keep;
        for (size_t i = keep; i < all.n; i++) {
            tok_ids_add(rest, all.p[i]);
            tok_ids_add(&t->held, all.p[i]);
        }
        ok = !rest->failed && !t->held.failed
                 ? true
                 : err_oom(e, all.n * sizeof *all.p, "the conversation");
    }
    tok_ids_release(&all);
    return ok;
}

/* The session holds every generated token but the last sampled one. */
static void cmd_run_chat_hold(struct cmd_run_chat *t, const struct eng_result *r) {
    for (size_t i = 0; i < r->ids.n; i++) tok_ids_add(&t->held, r->ids.p[i]);
    size_t in_session = (size_t)eng_position(t->m->session);
    if (t->held.n > in_session) t->held.n = in_session;
}

static void cmd_run_chat_answer(struct cmd_run_chat *t) {
    struct cli_context *c = t->c;
    struct cmd_run_answer a;
    struct eng_result r = { 0 };
    struct err e = { 0 };
    struct tok_ids rest;
    cmd_run_answer_init(&a, c);
    a.stream = true;
    a.turn = t->turn++;
    tok_ids_init(&rest, MODEL_MAX_CONTEXT);
    bool ok = cmd_run_chat_prompt(t, &rest, &a.prompt, &e) &&
              cmd_run_generate(&a, t->m, &rest, &r, &e);
    cli_stream(c, STR("\n"));
    if (ok) {
        cmd_run_chat_hold(t, &r);
        ok = chat_add(&t->m->chat, &c->arena, STR("assistant"), buf_str(&a.text), &e) &&
             chat_set_reasoning(&t->m->chat, &c->arena, buf_str(&a.reasoning), &e);
    }
    if (ok && r.finish == ENG_INTERRUPTED) cli_note(c, "[stopped]");
    os_interrupt_reset();                /* it was the answer that was to stop */
    if (ok && r.finish == ENG_CONTEXT_FULL)
        cli_note(c, "[the context of %lld tokens is full: /clear starts afresh]",
                 (long long)eng_capacity(t->m->session));
    if (ok && (os_is_tty(2) || cli_flag(&c->args, "--verbose"))) cmd_run_stats(c, &r);
    if (!ok) {
        cli_note(c, "Error: %s%s%s", e.msg, e.hint[0] ? "\n" : "", e.hint);
        chat_drop_last(&t->m->chat); /* the question is asked again, not answered twice */
        eng_truncate(t->m->session, 0);
        t->held.n = 0;
    }
    tok_ids_release(&r.ids);
    tok_ids_release(&rest);
    cmd_run_answer_release(&a);
}

static void cmd_run_chat_line(struct cmd_run_chat *t, struct str line) {
    struct cli_context *c = t->c;
    struct err e = { 0 };
    if (line.n == 0) return;
    if (str_ieq(line, STR("exit")) || str_ieq(line, STR("quit")) || str_ieq(line, STR("q")) ||
        str_eq(line, STR("/exit")))
        t->ended = true;
    else if (str_eq(line, STR("/help")) || str_eq(line, STR("/?")))
        cmd_run_chat_help(c);
    else if (str_eq(line, STR("/clear")))
        t->m->chat.n = t->n_system;
    else if (!chat_add(&t->m->chat, &c->arena, STR("user"), line, &e))
        cli_note(c, "Error: %s", e.msg);
    else
        cmd_run_chat_answer(t);
}

MLXK_FN int cmd_run_chat(struct cli_context *c, struct cli_engine *m, struct str first) {
    struct cmd_run_chat t = { .c = c, .m = m };
    struct cli_line reader;
    struct str system = cli_text(&c->args, "--system"), line;
    if (system.n && !chat_add(&m->chat, &c->arena, STR("system"), system, &c->err))
        return cli_fail(c, &c->err, NULL);
    t.n_system = m->chat.n;
    tok_ids_init(&t.held, MODEL_MAX_CONTEXT);
    cli_line_open(&reader, "> ", cmd_run_chat_history(c));
    if (reader.terminal)
        cli_note(c, STR_FMT ", %s, %d threads. /help lists commands, Ctrl-D leaves.",
                 STR_ARG(m->name), eng_kernels(m->session)->name_cstr, eng_threads(m->session));
    if (first.n) cmd_run_chat_line(&t, str_trim(first));
    while (!t.ended && !c->out.broken && cli_line_read(&reader, &line, &c->err))
        cmd_run_chat_line(&t, str_trim(line));
    cli_line_close(&reader);
    tok_ids_release(&t.held);
    return c->err.code == ERR_OK || c->err.code == ERR_INTERRUPTED
               ? 0
               : cli_fail(c, &c->err, "execution_error");
}
