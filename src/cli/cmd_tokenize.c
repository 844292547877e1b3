/* cmd_tokenize.c: `tokenize` and `detokenize`, for people who debug a model.
 *
 * With --jsonl one JSON value a line in, one a line out (a string gives an array of ids and the
 * other way round), so that thousands of cases cost one start. Without it the text is the arguments
 * or standard input.
 */
#include "cli/cli.h"

#define CMD_TOKENIZE_MAX_INPUT ((size_t)256 << 20) /* a book is 1 MB; more is a mistake */
#define CMD_TOKENIZE_MAX_IDS   ((size_t)64 << 20)

static const struct cli_option cmd_tokenize_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "the model whose tokenizer is used", 0, 0, true },
    { "text...", NULL, CLI_LIST, NULL, "the text; standard input when absent or -", 0, 0, true },
    { "--jsonl", NULL, CLI_FLAG, NULL, "lines of JSON strings in, lines of JSON arrays out", 0, 0,
      true },
    { "--no-special", NULL, CLI_FLAG, NULL, "add no tokens such as BOS", 0, 0, true },
};
static const struct cli_option cmd_detokenize_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "the model whose tokenizer is used", 0, 0, true },
    { "ids...", NULL, CLI_LIST, NULL,
      "token ids, separated by spaces or commas; standard input when absent or -", 0, 0, true },
    { "--jsonl", NULL, CLI_FLAG, NULL, "lines of JSON arrays in, lines of JSON strings out", 0, 0,
      true },
    { "--keep-special", NULL, CLI_FLAG, NULL, "show special tokens too", 0, 0, true },
};

struct cmd_tokenize_job {
    struct cli_context *c;
    const struct tok *tok;
    struct tok_ids ids;
    struct buf text;
};
typedef bool (*cmd_tokenize_line)(struct cmd_tokenize_job *job, const struct json *v,
                                  struct json_writer *w);

/* ---- lines of JSON (Private) ----------------------------------------------------------------- */

static bool cmd_tokenize_encode(struct cmd_tokenize_job *job, struct str text) {
    unsigned flags = cli_flag(&job->c->args, "--no-special") ? 0 : TOK_ADD_SPECIAL;
    job->ids.n = 0;
    return tok_encode(job->tok, text, flags, &job->ids, &job->c->err);
}

static void cmd_tokenize_write_ids(struct json_writer *w, const struct tok_ids *ids) {
    json_write_array(w);
    for (size_t i = 0; i < ids->n; i++) json_write_i64(w, ids->p[i]);
    json_write_array_end(w);
}

static bool cmd_tokenize_encode_line(struct cmd_tokenize_job *job, const struct json *v,
                                     struct json_writer *w) {
    if (!json_is(v, JSON_STRING))
        return err_set(&job->c->err, ERR_FORMAT, "a line is not a JSON string");
    if (!cmd_tokenize_encode(job, v->string)) return false;
    cmd_tokenize_write_ids(w, &job->ids);
    return true;
}

static bool cmd_tokenize_decode(struct cmd_tokenize_job *job) {
    bool skip = !cli_flag(&job->c->args, "--keep-special");
    buf_reset(&job->text);
    return tok_decode(job->tok, job->ids.p, job->ids.n, skip, &job->text, &job->c->err) &&
           buf_ok(&job->text, "the decoded text", &job->c->err);
}

static bool cmd_tokenize_decode_line(struct cmd_tokenize_job *job, const struct json *v,
                                     struct json_writer *w) {
    if (!json_is(v, JSON_ARRAY))
        return err_set(&job->c->err, ERR_FORMAT, "a line is not a JSON array of token ids");
    job->ids.n = 0;
    for (const struct json *x = v->child; x; x = x->next) {
        if (!json_is(x, JSON_INT) || x->integer < 0 || x->integer > INT32_MAX)
            return err_set(&job->c->err, ERR_FORMAT, "an element is not a token id");
        tok_ids_add(&job->ids, (int32_t)x->integer);
    }
    if (!cmd_tokenize_decode(job)) return false;
    json_write_str(w, buf_str(&job->text));
    return true;
}

MLXK_FN bool cli_each_line(struct cli_context *c,
                           bool (*line)(void *ctx, struct str text, struct json_writer *w),
                           void *ctx, struct err *e) {
    struct buf in, out;
    buf_init(&in, CMD_TOKENIZE_MAX_INPUT);
    buf_init(&out, CMD_TOKENIZE_MAX_INPUT);
    bool ok = os_read_all(0, &in, e);
    struct str rest = buf_str(&in);
    for (size_t n = 1; ok && rest.n; n++) {
        struct str text = str_cut(&rest, '\n');
        if (str_trim(text).n == 0) continue;
        struct json_writer w;
        buf_reset(&out);
        json_write_init(&w, &out, false,
                        true); /* ASCII: readers that split at U+2028 stay in step */
        struct arena_mark mark = arena_mark(&c->arena);
        ok = os_go_on(e) && line(ctx, text, &w) && buf_ok(&out, "an output line", e);
        arena_rewind(&c->arena, mark);
        if (!ok) {
            err_context(e, "line %zu: ", n);
            break;
        }
        buf_add_char(&out, '\n');
        ok = cli_stream(c, buf_str(&out)) || err_set(e, ERR_IO, "the output could not be written");
    }
    buf_release(&in);
    buf_release(&out);
    return ok;
}

struct cmd_tokenize_lines {
    struct cmd_tokenize_job *job;
    cmd_tokenize_line line;
};

static bool cmd_tokenize_one_line(void *ctx, struct str text, struct json_writer *w) {
    struct cmd_tokenize_lines *lines = ctx;
    struct cli_context *c = lines->job->c;
    const struct json *v = json_parse_large(&c->arena, text, &c->err);
    return v && lines->line(lines->job, v, w);
}

/* ---- texts and ids for people (Private) ------------------------------------------------------ */

/* The words joined by spaces, or standard input. */
static bool cmd_tokenize_input(struct cli_context *c, const struct cli_value *words,
                               struct buf *out) {
    if (words->n == 0 || (words->n == 1 && str_eq_cstr(words->list[0], "-")))
        return os_read_all(0, out, &c->err);
    for (size_t i = 0; i < words->n; i++) {
        if (i) buf_add_char(out, ' ');
        buf_add(out, words->list[i]);
    }
    return buf_ok(out, "the text", &c->err);
}

MLXK_FN bool cli_parse_ids(struct str text, struct tok_ids *out, struct err *e) {
    size_t i = 0;
    while (i < text.n) {
        size_t start = i;
        while (i < text.n && !strchr(", \t\r\n[]", text.p[i])) i++;
        int64_t id;
        if (i > start) {
            if (!num_parse_i64(str_sub(text, start, i), 0, INT32_MAX, &id)) {
                err_set(e, ERR_INVALID, "'" STR_FMT "' is not a token id",
                        STR_ARG(str_sub(text, start, i)));
                return err_hint(e, "ids are numbers from 0, separated by commas or spaces");
            }
            tok_ids_add(out, (int32_t)id);
        }
        i++;
    }
    return out->failed ? err_set(e, ERR_LIMIT, "too many token ids") : true;
}

static int cmd_tokenize_text(struct cmd_tokenize_job *job) {
    struct cli_context *c = job->c;
    struct buf in;
    buf_init(&in, CMD_TOKENIZE_MAX_INPUT);
    bool ok = cmd_tokenize_input(c, cli_get(&c->args, "text..."), &in) &&
              cmd_tokenize_encode(job, buf_str(&in));
    buf_release(&in);
    if (!ok) return cli_fail(c, &c->err, NULL);
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        json_write_key(w, "ids");
        cmd_tokenize_write_ids(w, &job->ids);
        json_write_key(w, "count");
        json_write_u64(w, job->ids.n);
        json_write_object_end(w);
        return cli_document_end(c);
    }
    for (size_t i = 0; i < job->ids.n; i++)
        cli_print(c, "%7d  " STR_FMT "\n", job->ids.p[i],
                  STR_ARG(tok_text(job->tok, job->ids.p[i])));
    return 0;
}

static int cmd_detokenize_ids(struct cmd_tokenize_job *job) {
    struct cli_context *c = job->c;
    struct buf in;
    buf_init(&in, CMD_TOKENIZE_MAX_INPUT);
    bool ok = cmd_tokenize_input(c, cli_get(&c->args, "ids..."), &in) &&
              cli_parse_ids(buf_str(&in), &job->ids, &c->err) && cmd_tokenize_decode(job);
    buf_release(&in);
    if (!ok) return cli_fail(c, &c->err, NULL);
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        json_write_key(w, "text");
        json_write_str(w, buf_str(&job->text));
        json_write_object_end(w);
        return cli_document_end(c);
    }
    cli_print_str(c, buf_str(&job->text));
    cli_print_str(c, STR("\n"));
    return 0;
}

static int cmd_tokenize_start(struct cli_context *c, cmd_tokenize_line line,
                              int (*one)(struct cmd_tokenize_job *)) {
    struct cmd_tokenize_job job = { .c = c };
    const char *dir_cstr;
    if (!cli_resolve_dir(c, cli_text(&c->args, "model"), "tokenizer.json", &dir_cstr, &c->err))
        return cli_fail(c, &c->err, NULL);
    job.tok = cli_load_tokenizer(c, dir_cstr, NULL, &c->err);
    if (!job.tok) return cli_fail(c, &c->err, NULL);
    tok_ids_init(&job.ids, CMD_TOKENIZE_MAX_IDS);
    buf_init(&job.text, CMD_TOKENIZE_MAX_INPUT);
    struct cmd_tokenize_lines lines = { &job, line };
    int status = 0;
    if (!cli_flag(&c->args, "--jsonl"))
        status = one(&job);
    else if (!cli_each_line(c, cmd_tokenize_one_line, &lines, &c->err))
        status = cli_fail(c, &c->err, NULL);
    tok_ids_release(&job.ids);
    buf_release(&job.text);
    return status;
}

static int cmd_tokenize_run(struct cli_context *c) {
    return cmd_tokenize_start(c, cmd_tokenize_encode_line, cmd_tokenize_text);
}

static int cmd_detokenize_run(struct cli_context *c) {
    return cmd_tokenize_start(c, cmd_tokenize_decode_line, cmd_detokenize_ids);
}

MLXK_FN const struct cli_command *cmd_tokenize(void) {
    static const struct cli_command command = {
        "tokenize",
        "text to token ids",
        "inspect",
        cmd_tokenize_options,
        MLXK_COUNT(cmd_tokenize_options),
        "  mlxk tokenize SmolLM2 \"Hello, world\"\n  mlxk tokenize ./model --jsonl < "
        "strings.jsonl\n",
        cmd_tokenize_run,
    };
    return &command;
}

MLXK_FN const struct cli_command *cmd_detokenize(void) {
    static const struct cli_command command = {
        "detokenize",
        "token ids to text",
        "inspect",
        cmd_detokenize_options,
        MLXK_COUNT(cmd_detokenize_options),
        "  mlxk detokenize SmolLM2 19556,28,905\n",
        cmd_detokenize_run,
    };
    return &command;
}
