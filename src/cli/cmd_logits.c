/* cmd_logits.c: `logits` feeds token ids through a model and writes every position's logits.
 *
 * For comparing with reference implementations: --exact takes float activations and the scalar
 * products. FILE holds little-endian f32 [n_ids, vocab]; --greedy N continues N tokens,
 * end-of-sequence ignored.
 */
#include "cli/cli.h"

static const struct cli_option cmd_logits_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "the model", 0, 0, true },
    { "--ids", NULL, CLI_TEXT, "1,2,3", "token ids of the prompt", 0, 0, true },
    { "--out", NULL, CLI_TEXT, "FILE", "write f32 logits [ids, vocab] to FILE", 0, 0, true },
    { "--greedy", NULL, CLI_INT, "N", "continue N tokens greedily", 0, 1e6, true },
    { "--exact", NULL, CLI_FLAG, NULL, "float activations and scalar products (slow)", 0, 0, true },
    { "--threads", "-t", CLI_INT, "N", "threads (all cores)", 1, 256, true },
};

struct cmd_logits_job {
    struct cli_context *c;
    int fd;
    int32_t best;
};

static bool cmd_logits_row(void *ctx, int64_t index, const float *logits, int64_t vocab) {
    struct cmd_logits_job *job = ctx;
    (void)index;
    job->best = (int32_t)k_scalar_ops()->argmax(logits, vocab);
    if (!os_go_on(&job->c->err)) return false;
    return job->fd < 0 || os_write(job->fd, logits, (size_t)vocab * sizeof *logits, &job->c->err);
}

static bool cmd_logits_greedy(struct cmd_logits_job *job, struct eng_session *s, int64_t n,
                              struct tok_ids *out) {
    const float *logits;
    int64_t vocab = eng_vocab(s);
    int32_t next = job->best;
    for (int64_t i = 0; i < n; i++) {
        if (next < 0)
            return err_set(&job->c->err, ERR_RUN, "no logit is finite after %lld tokens",
                           (long long)eng_position(s));
        if (!os_go_on(&job->c->err)) return false;
        tok_ids_add(out, next);
        if (i + 1 == n) break;
        if (!eng_feed(s, &next, 1, &logits, NULL, NULL, &job->c->err)) return false;
        next = (int32_t)k_scalar_ops()->argmax(logits, vocab);
    }
    return true;
}

static int cmd_logits_print(struct cli_context *c, const struct tok_ids *prompt,
                            const struct tok_ids *greedy, int64_t vocab) {
    if (!c->out.json) {
        cli_print(c, "%zu positions, %lld logits each\n", prompt->n, (long long)vocab);
        for (size_t i = 0; i < greedy->n; i++)
            cli_print(c, "%s%d", i ? "," : "greedy ", greedy->p[i]);
        if (greedy->n) cli_print(c, "\n");
        return 0;
    }
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_key(w, "n_ids");
    json_write_u64(w, prompt->n);
    json_write_key(w, "vocab");
    json_write_i64(w, vocab);
    json_write_key(w, "greedy");
    json_write_array(w);
    for (size_t i = 0; i < greedy->n; i++) json_write_i64(w, greedy->p[i]);
    json_write_array_end(w);
    json_write_object_end(w);
    return cli_document_end(c);
}

static bool cmd_logits_feed(struct cmd_logits_job *job, struct eng_session *s,
                            const struct tok_ids *prompt, struct tok_ids *greedy) {
    struct cli_context *c = job->c;
    return eng_feed_all(s, prompt->p, (int64_t)prompt->n, cmd_logits_row, job, &c->err) &&
           cmd_logits_greedy(job, s, cli_int(&c->args, "--greedy", 0), greedy);
}

static int cmd_logits_with(struct cli_context *c, const struct model *m,
                           const struct tok_ids *prompt) {
    struct cmd_logits_job job = { .c = c, .fd = -1, .best = -1 };
    struct eng_options o = { .n_threads = (int)cli_int(&c->args, "--threads", 0),
                             .exact = cli_flag(&c->args, "--exact"),
                             .context = (int64_t)prompt->n + cli_int(&c->args, "--greedy", 0) };
    struct eng_session *s = eng_open(m, &o, &c->err);
    if (!s) return cli_fail(c, &c->err, "execution_error");
    char *path_cstr = str_dup_cstr(&c->arena, cli_text(&c->args, "--out"));
    struct tok_ids greedy;
    tok_ids_init(&greedy, 1000000);
    bool ok = path_cstr != NULL || err_oom(&c->err, LIMIT_PATH, "the file name");
    if (ok && path_cstr[0]) ok = (job.fd = os_open(path_cstr, OS_TRUNCATE, &c->err)) >= 0;
    if (ok) ok = cmd_logits_feed(&job, s, prompt, &greedy);
    if (job.fd >= 0) os_close(job.fd);
    if (!ok && job.fd >= 0) {
        struct err ignored = { 0 };
        (void)os_unlink(path_cstr, &ignored); /* no half-written file stays */
    }
    int status = ok ? cmd_logits_print(c, prompt, &greedy, eng_vocab(s))
                    : cli_fail(c, &c->err, "execution_error");
    tok_ids_release(&greedy);
    eng_close(s);
    return status;
}

static int cmd_logits_run(struct cli_context *c) {
    struct cache_model found;
    struct tok_ids prompt;
    tok_ids_init(&prompt, 16u << 20);
    bool ok = cli_parse_ids(cli_text(&c->args, "--ids"), &prompt, &c->err);
    if (ok && prompt.n == 0)
        ok = err_set(&c->err, ERR_USAGE, "the following arguments are required: --ids");
    struct model *m = NULL;
    if (ok && cli_resolve(c, cli_text(&c->args, "model"), &found, NULL, &c->err))
        if (!(m = model_open(found.dir_cstr, &c->err)))
            cli_model_failed(c, found.dir_cstr, &c->err);
    int status = m ? cmd_logits_with(c, m, &prompt) : cli_fail(c, &c->err, NULL);
    model_close(m);
    tok_ids_release(&prompt);
    return status;
}

MLXK_FN const struct cli_command *cmd_logits(void) {
    static const struct cli_command command = {
        "logits",
        "logits of given token ids",
        "inspect",
        cmd_logits_options,
        MLXK_COUNT(cmd_logits_options),
        "  mlxk logits SmolLM2 --ids 1,2,3 --exact --out l.f32 --greedy 16 --json\n",
        cmd_logits_run,
    };
    return &command;
}
