/* cli_out.c: everything a command prints: human text, one JSON document, failures.
 *
 * Invariants
 *  1. With --json stdout gets exactly one document, also when the command fails half-way.
 *  2. Human results go to stdout, failures and notes to stderr.
 *  3. What could steer a terminal is shown as text (\x1b, \u202e), wherever it came from: all that
 *     people read goes through cli_print, cli_grid or cli_tell.
 *  4. A write that fails (full disk behind a redirect) makes the exit status 1.
 *  5. SIGINT and SIGTERM are caught from the first moment to the last (cli_main); whether they
 *     count is settled once, before the outcome is told: all that is told of it agrees.
 */
#include "cli/cli.h"

#define CLI_OUT_MAX_BYTES ((size_t)1 << 30) /* a list of a million repos fits */

MLXK_FN void cli_out_init(struct cli_out *o, bool json, bool color) {
    o->json = json;
    o->color = color;
    buf_init(&o->text, CLI_OUT_MAX_BYTES);
    buf_init(&o->document, CLI_OUT_MAX_BYTES);
}

MLXK_FN void cli_out_release(struct cli_out *o) {
    buf_release(&o->text);
    buf_release(&o->document);
}

static void cli_out_stderr(const char *p, size_t n) {
    struct err ignored = { 0 };
    (void)os_write(2, p, n, &ignored); /* nobody is left to tell when stderr is closed */
}

/* ---- what may steer a terminal ---- */

/* Controls, and characters that change the order of others or break a line unseen. */
static bool cli_out_steers(uint32_t x, bool one_line) {
    if (x == '\n' || x == '\t') return one_line;
    return x < ' ' || (x >= 0x7f && x < 0xa0) || x == 0x61c || x == 0x200e || x == 0x200f
           || (x >= 0x2028 && x <= 0x202e) || (x >= 0x2066 && x <= 0x2069);
}

/* The next character of s; n: its bytes. UINT32_MAX: bytes that are no character. */
static uint32_t cli_out_next(struct str s, size_t *n) {
    size_t end = 0;
    uint32_t x = utf8_decode(s, &end);
    *n = end;
    return x == 0xfffd && !str_eq(str_sub(s, 0, end), STR("\xef\xbf\xbd")) ? UINT32_MAX : x;
}

MLXK_FN bool cli_is_plain(struct str s, bool one_line) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i += n) {
        uint32_t x = cli_out_next(str_sub(s, i, s.n), &n);
        if (x == UINT32_MAX || cli_out_steers(x, one_line)) return false;
    }
    return true;
}

MLXK_FN void cli_visible(struct buf *out, struct str s, bool one_line) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i += n) {
        struct str rest = str_sub(s, i, s.n);
        uint32_t x = cli_out_next(rest, &n);
        if (x != UINT32_MAX && !cli_out_steers(x, one_line)) buf_add(out, str_sub(rest, 0, n));
        else if (x == '\n' || x == '\r' || x == '\t')
            buf_addf(out, "\\%c", x == '\n' ? 'n' : x == '\r' ? 'r' : 't');
        else if (x != UINT32_MAX && x > 0x7f) buf_addf(out, "\\u%04x", (unsigned)x);
        else
            for (size_t k = 0; k < n; k++) buf_addf(out, "\\x%02x", (unsigned char)rest.p[k]);
    }
}

MLXK_FN struct str cli_line(struct arena *a, struct str s) {
    struct buf b;
    if (cli_is_plain(s, true)) return s;
    buf_init(&b, s.n * 6 + 1);
    cli_visible(&b, s, true);
    struct str line = b.failed ? STR_EMPTY : str_dup(a, buf_str(&b));
    buf_release(&b);
    return line.p ? line : STR("?");
}

/* Names and messages come from files and servers. */
MLXK_FN void cli_out_clean(struct buf *b, size_t from) {
    struct str tail = b->failed ? STR_EMPTY : str_sub(buf_str(b), from, b->n);
    struct buf clean;
    if (cli_is_plain(tail, false)) return;
    buf_init(&clean, CLI_OUT_MAX_BYTES);
    cli_visible(&clean, tail, false);
    b->n = from;
    buf_add(b, buf_str(&clean));
    b->failed = b->failed || clean.failed;
    buf_release(&clean);
}

MLXK_FN void cli_tell(struct buf *line) {
    cli_out_clean(line, 0);
    if (!line->failed) cli_out_stderr(line->p, line->n);
    buf_release(line);
}

MLXK_FN void cli_print(struct cli_context *c, const char *format_cstr, ...) {
    size_t from = c->out.text.n;
    va_list args;
    va_start(args, format_cstr);
    buf_addfv(&c->out.text, format_cstr, args);
    va_end(args);
    cli_out_clean(&c->out.text, from);
}

MLXK_FN void cli_print_str(struct cli_context *c, struct str s) { buf_add(&c->out.text, s); }

MLXK_FN void cli_color(struct cli_context *c, int sgr) {
    if (c->out.color) buf_addf(&c->out.text, "\033[%dm", sgr);
}

static void cli_out_say(const char *format_cstr, va_list args, const char *end_cstr) {
    struct buf line;
    buf_init(&line, 65536);
    buf_addfv(&line, format_cstr, args);
    buf_add_cstr(&line, end_cstr);
    cli_tell(&line);
}

MLXK_FN void cli_note(struct cli_context *c, const char *format_cstr, ...) {
    if (c->out.json || c->args.quiet) return;
    va_list args;
    va_start(args, format_cstr);
    cli_out_say(format_cstr, args, "\n");
    va_end(args);
}

MLXK_FN bool cli_can_ask(const struct cli_context *c) {
    return !c->out.json && !c->args.quiet && os_is_tty(0) && os_is_tty(2);
}

MLXK_FN bool cli_ask(struct cli_context *c, const char *format_cstr, ...) {
    char answer[64];
    size_t n = 0;
    struct err none = { 0 };
    if (!cli_can_ask(c)) return false;
    cli_flush(c);
    va_list args;
    va_start(args, format_cstr);
    cli_out_say(format_cstr, args, " [y/N] ");
    va_end(args);
    if (!os_read_some(0, answer, sizeof answer, &n, &none)) return false;
    struct str said = str_trim((struct str){ answer, n });
    return str_ieq(said, STR("y")) || str_ieq(said, STR("yes"));
}

static bool cli_out_write(struct cli_context *c, struct str s) {
    struct err e = { 0 };
    if (s.n == 0 || c->out.broken) return !c->out.broken;
    if (os_write(1, s.p, s.n, &e)) return true;
    c->out.broken = true;
    cli_out_stderr(STR("error: the output could not be written: ").p, 40);
    cli_out_stderr(e.msg, strlen(e.msg));
    cli_out_stderr("\n", 1);
    return false;
}

MLXK_FN void cli_flush(struct cli_context *c) {
    struct err e = { 0 };
    if (!buf_ok(&c->out.text, "the output", &e)) cli_note(c, "error: %s", e.msg);
    cli_out_write(c, buf_str(&c->out.text));
    buf_reset(&c->out.text);
}

MLXK_FN bool cli_stream(struct cli_context *c, struct str piece) {
    cli_flush(c);
    return cli_out_write(c, piece);
}

/* ---- documents (Public) --------------------------------------------------------------------- */

static struct json_writer *cli_out_open(struct cli_context *c, const char *status_cstr,
                                        const char *command_cstr) {
    struct json_writer *w = &c->out.writer;
    buf_reset(&c->out.document);
    json_write_init(w, &c->out.document, true, true);
    json_write_object(w);
    json_write_key(w, "status");
    json_write_cstr(w, status_cstr);
    json_write_key(w, "command");
    json_write_cstr(w, command_cstr);
    return w;
}

static void cli_out_print_document(struct cli_context *c) {
    buf_add_char(&c->out.document, '\n');
    struct err e = { 0 };
    if (buf_ok(&c->out.document, "the JSON document", &e))
        buf_add(&c->out.text, buf_str(&c->out.document));
    else
        cli_out_stderr(e.msg, strlen(e.msg));
    cli_flush(c);
}

MLXK_FN struct json_writer *cli_document(struct cli_context *c) {
    struct json_writer *w = cli_out_open(c, "success", c->args.command->name_cstr);
    json_write_key(w, "data");
    c->out.data_at = c->out.document.n;
    return w;
}

static void cli_out_fail_json(struct cli_context *c, const struct err *e, const char *type_cstr,
                              struct str data, struct str extra) {
    const char *command_cstr =
        c->args.command && e->code != ERR_USAGE ? c->args.command->name_cstr : NULL;
    struct json_writer *w = cli_out_open(c, "error", command_cstr);
    json_write_key(w, "data");
    if (data.n)
        json_write_raw(w, data);
    else
        json_write_null(w);
    json_write_key(w, "error");
    json_write_object(w);
    json_write_key(w, "type");
    json_write_cstr(w, type_cstr ? type_cstr : err_info(e->code)->type_cstr);
    json_write_key(w, "message");
    json_write_cstr(w, e->msg);
    if (e->hint[0]) {
        json_write_key(w, "detail");
        json_write_cstr(w, e->hint);
    }
    if (extra.n) buf_addf(w->out, ",\n    " STR_FMT, STR_ARG(extra));
    json_write_object_end(w);
    json_write_object_end(w);
    cli_out_print_document(c);
}

MLXK_FN bool cli_stopped(struct cli_context *c) {
    if (!c->settled) c->stopped = os_interrupted() && os_stop_count() == 0;
    c->settled = true;
    if (!c->stopped) return false;
    err_clear(&c->err);                  /* it may say why something was done without */
    err_set(&c->err, ERR_INTERRUPTED, "stopped by you when everything was done");
    err_hint(&c->err, "nothing of it is missing");
    return true;
}

MLXK_FN int cli_document_end(struct cli_context *c) {
    struct json_writer *w = &c->out.writer;
    if (cli_stopped(c)) {
        struct str all = buf_str(&c->out.document);
        struct str data = str_dup(&c->arena, str_trim(str_sub(all, c->out.data_at, all.n)));
        return cli_fail_data(c, &c->err, NULL, data, STR_EMPTY);
    }
    json_write_key(w, "error");
    json_write_null(w);
    json_write_object_end(w);
    cli_out_print_document(c);
    return c->out.broken ? 1 : 0;
}

MLXK_FN void cli_data_begin(struct json_writer *w, struct buf *text, size_t max_bytes) {
    buf_init(text, max_bytes);
    json_write_init(w, text, true, true);
    w->depth = 1;                /* inside the document, behind the key "data" */
    w->after_key = true;
}

MLXK_FN int cli_fail_data(struct cli_context *c, const struct err *e, const char *type_cstr,
                          struct str data_json, struct str error_extra_json) {
    if (c->out.json) {
        cli_out_fail_json(c, e, type_cstr, data_json, error_extra_json);
        return err_info(e->code)->exit_status;
    }
    cli_flush(c);
    struct buf line;
    buf_init(&line, 4096);
    if (c->args.command && e->code == ERR_USAGE) { /* found by the command, told as by the parser */
        cli_usage(&line, c->args.command);
        buf_addf(&line, "mlxk %s: error: %s\n", c->args.command->name_cstr, e->msg);
    } else {
        if (c->args.command) buf_addf(&line, "%s: ", c->args.command->name_cstr);
        buf_addf(&line, "Error: %s\n", e->msg);
    }
    if (e->hint[0]) buf_addf(&line, "%s\n", e->hint);
    cli_tell(&line);
    return err_info(e->code)->exit_status;
}

MLXK_FN int cli_fail(struct cli_context *c, const struct err *e, const char *type_cstr) {
    return cli_fail_data(c, e, type_cstr, STR_EMPTY, STR_EMPTY);
}

MLXK_FN int cli_fail_plain(struct cli_context *c, struct err *e, const char *type_cstr) {
    if (c->out.json) e->hint[0] = '\0';
    return cli_fail(c, e, type_cstr);
}
