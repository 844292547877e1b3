/* cmd_template.c: `template` renders a chat template, the model's own or a file's.
 *
 * With --jsonl every line of standard input is an object of variables (messages, tools,
 * add_generation_prompt, ..., `now` as "YYYY-MM-DD HH:MM:SS") and every line of output {"text":
 * ...} or {"error": ...}. Without it the words are one user message, and the rendered prompt is
 * printed.
 */
#include "cli/cli.h"
#include "template/tmpl.h"

#define CMD_TEMPLATE_SCRATCH ((size_t)1 << 30) /* values of one render */

static const struct cli_option cmd_template_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "a model, or a file ending in .jinja", 0, 0, true },
    { "message...", NULL, CLI_LIST, NULL, "a user message", 0, 0, true },
    { "--jsonl", NULL, CLI_FLAG, NULL,
      "lines of variables in, lines of {\"text\"} or {\"error\"} out", 0, 0, true },
    { "--system", NULL, CLI_TEXT, "TEXT", "a system message in front", 0, 0, true },
};

struct cmd_template_job {
    struct cli_context *c;
    const struct tmpl *tmpl;
    struct arena scratch;
    struct tmpl_output out;
    const struct json *config;
};

static bool cmd_template_clock(const struct json *vars, struct tmpl_clock *now, struct err *e) {
    struct str text = STR_EMPTY;
    if (!json_read_str(vars, "now", &text, e)) return false;
    if (text.n == 0) {
        cli_clock(now);
        return true;
    }
    static const struct {
        size_t at, n;
    } part[6] = { { 0, 4 }, { 5, 2 }, { 8, 2 }, { 11, 2 }, { 14, 2 }, { 17, 2 } };
    int64_t v[6] = { 0 };
    bool ok = text.n == 19;
    for (size_t i = 0; ok && i < 6; i++)
        ok = num_parse_i64(str_sub(text, part[i].at, part[i].at + part[i].n), 0, 9999, &v[i]);
    if (!ok)
        return err_set(e, ERR_FORMAT, "now is \"" STR_FMT "\", not \"YYYY-MM-DD HH:MM:SS\"",
                       STR_ARG(text));
    *now = (struct tmpl_clock){ (int)v[0], (int)v[1], (int)v[2], (int)v[3], (int)v[4], (int)v[5] };
    return true;
}

static bool cmd_template_render(struct cmd_template_job *job, const struct json *vars,
                                struct err *e) {
    struct tmpl_clock now;
    buf_reset(&job->out.text);
    arena_release(&job->scratch);
    return cmd_template_clock(vars, &now, e) &&
           tmpl_render(job->tmpl, vars, &now, &job->scratch, &job->out, e);
}

static bool cmd_template_line(void *ctx, struct str text, struct json_writer *w) {
    struct cmd_template_job *job = ctx;
    struct err e = { 0 };
    const struct json *vars = json_parse_large(&job->c->arena, text, &job->c->err);
    if (!vars) return false;
    bool ok = cmd_template_render(job, vars, &e);
    json_write_object(w);
    json_write_key(w, ok ? "text" : "error");
    if (ok)
        json_write_str(w, buf_str(&job->out.text));
    else
        json_write_cstr(w, e.msg);
    json_write_object_end(w);
    return true;
}

/* The variables of a conversation out of the command line. */
static bool cmd_template_vars(struct cmd_template_job *job, struct str user,
                              const struct json **out) {
    struct cli_context *c = job->c;
    struct str system = cli_text(&c->args, "--system");
    struct chat chat;
    struct buf b;
    chat_init(&chat, NULL, job->tmpl, job->config);
    buf_init(&b, LIMIT_JSON_FILE);
    bool ok = system.n == 0 || chat_add(&chat, &c->arena, STR("system"), system, &c->err);
    ok = ok && chat_add(&chat, &c->arena, STR("user"), user, &c->err);
    if (ok) chat_write_vars(&chat, true, &b);
    *out = ok && buf_ok(&b, "the conversation", &c->err)
               ? json_parse_large(&c->arena, buf_str(&b), &c->err)
               : NULL;
    buf_release(&b);
    return *out != NULL;
}

static int cmd_template_once(struct cmd_template_job *job) {
    struct cli_context *c = job->c;
    const struct cli_value *words = cli_get(&c->args, "message...");
    struct buf user;
    const struct json *vars;
    buf_init(&user, LIMIT_JSON_FILE);
    for (size_t i = 0; i < words->n; i++) {
        if (i) buf_add_char(&user, ' ');
        buf_add(&user, words->list[i]);
    }
    bool ok = buf_ok(&user, "the message", &c->err) &&
              cmd_template_vars(job, buf_str(&user), &vars) &&
              cmd_template_render(job, vars, &c->err);
    buf_release(&user);
    if (!ok) return cli_fail(c, &c->err, NULL);
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        json_write_key(w, "text");
        json_write_str(w, buf_str(&job->out.text));
        json_write_object_end(w);
        return cli_document_end(c);
    }
    cli_print_str(c, buf_str(&job->out.text));
    return 0;
}

static bool cmd_template_source(struct cli_context *c, struct str *source,
                                const struct json **config) {
    struct str name = cli_text(&c->args, "model");
    struct os_stat st;
    char *path_cstr = str_dup_cstr(&c->arena, name);
    if (!path_cstr) return err_oom(&c->err, name.n, "the path");
    if (os_stat(path_cstr, &st) && st.kind == OS_FILE)
        return os_read_file(&c->arena, path_cstr, TMPL_MAX_SOURCE, source, &c->err);
    const char *dir_cstr;
    return cli_resolve_dir(c, name, "tokenizer_config.json", &dir_cstr, &c->err) &&
           cli_load_template(c, dir_cstr, false, source, config, &c->err);
}

static int cmd_template_run(struct cli_context *c) {
    struct cmd_template_job job = { .c = c };
    struct str source;
    if (!cmd_template_source(c, &source, &job.config)) return cli_fail(c, &c->err, NULL);
    job.tmpl = tmpl_parse(&c->arena, source, &c->err);
    if (!job.tmpl) return cli_fail(c, &c->err, NULL);
    arena_init(&job.scratch, CMD_TEMPLATE_SCRATCH);
    buf_init(&job.out.text, TMPL_MAX_OUTPUT);
    int status = 0;
    if (!cli_flag(&c->args, "--jsonl"))
        status = cmd_template_once(&job);
    else if (!cli_each_line(c, cmd_template_line, &job, &c->err))
        status = cli_fail(c, &c->err, NULL);
    buf_release(&job.out.text);
    arena_release(&job.scratch);
    return status;
}

MLXK_FN const struct cli_command *cmd_template(void) {
    static const struct cli_command command = {
        "template",
        "render a chat template",
        "inspect",
        cmd_template_options,
        MLXK_COUNT(cmd_template_options),
        "  mlxk template SmolLM2 \"What is the capital of France?\"\n  mlxk template chat.jinja "
        "--jsonl < cases.jsonl\n",
        cmd_template_run,
    };
    return &command;
}
