/* cmd_bench.c: `bench` measures prefill and decode of one model; speed work is judged by it.
 *
 * Prompt tokens are a fixed pseudo-random sequence, so that two builds do the same work. Each
 * repetition starts from an empty cache: DEPTH tokens of context are fed untimed, then -p tokens
 * timed as one prefill, then (again at DEPTH) -n tokens one by one. The median of the repetitions
 * is reported.
 */
#include "cli/cli.h"

#include <stdio.h>

enum { CMD_BENCH_MAX_REPEAT = 100 };

static const struct cli_option cmd_bench_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "the model", 0, 0, true },
    { "--prompt-tokens", "-p", CLI_INT, "N", "tokens of prefill to time (512)", 0, 1e6, true },
    { "--decode-tokens", "-n", CLI_INT, "N", "tokens of decode to time (128)", 0, 1e6, true },
    { "--depth", "-d", CLI_INT, "N", "context already there (0)", 0, 1e6, true },
    { "--threads", "-t", CLI_INT, "N", "threads (all cores)", 1, 256, true },
    { "--repeat", "-r", CLI_INT, "N", "repetitions (5)", 1, CMD_BENCH_MAX_REPEAT, true },
    { "--exact", NULL, CLI_FLAG, NULL, "measure the exact path", 0, 0, true },
};

struct cmd_bench {
    struct cli_context *c;
    struct eng_session *s;
    int32_t *ids; /* [n_ids] the tokens fed */
    int64_t n_ids, prompt, decode, depth, vocab;
    int repeat;
    double prefill_rate[CMD_BENCH_MAX_REPEAT], decode_rate[CMD_BENCH_MAX_REPEAT];
};

static bool cmd_bench_ids(struct cmd_bench *b) {
    b->n_ids = b->depth + (b->prompt > b->decode ? b->prompt : b->decode);
    b->ids = ARENA_ARRAY(&b->c->arena, int32_t, (size_t)b->n_ids + 1);
    if (!b->ids) return err_oom(&b->c->err, (size_t)b->n_ids * sizeof *b->ids, "the prompt");
    uint32_t x = 12345;
    for (int64_t i = 0; i < b->n_ids; i++) {
        x = x * 1664525u +
            1013904223u; /* Numerical Recipes' generator: any fixed sequence will do */
        b->ids[i] = (int32_t)((x >> 8) % (uint32_t)b->vocab);
    }
    return true;
}

static bool cmd_bench_at_depth(struct cmd_bench *b) {
    if (eng_position(b->s) >= b->depth) eng_truncate(b->s, b->depth);
    int64_t have = eng_position(b->s);
    return b->depth == have ||
           eng_feed(b->s, b->ids + have, b->depth - have, NULL, NULL, NULL, &b->c->err);
}

static bool cmd_bench_once(struct cmd_bench *b, int i) {
    const float *logits;
    struct err *e = &b->c->err;
    if (b->prompt) {
        if (!cmd_bench_at_depth(b)) return false;
        int64_t start_ns = os_now_ns();
        if (!eng_feed(b->s, b->ids + b->depth, b->prompt, &logits, NULL, NULL, e)) return false;
        b->prefill_rate[i] = (double)b->prompt * 1e9 / (double)(os_now_ns() - start_ns);
    }
    if (!b->decode) return true;
    if (!cmd_bench_at_depth(b)) return false;
    int64_t start_ns = os_now_ns();
    for (int64_t k = 0; k < b->decode; k++)
        if (!eng_feed(b->s, b->ids + b->depth + k, 1, &logits, NULL, NULL, e)) return false;
    b->decode_rate[i] = (double)b->decode * 1e9 / (double)(os_now_ns() - start_ns);
    return os_go_on(e);
}

static double cmd_bench_median(const double *x, int n) {
    double sorted[CMD_BENCH_MAX_REPEAT];
    for (int i = 0; i < n; i++) {
        int k = i;
        for (; k > 0 && sorted[k - 1] > x[i]; k--) sorted[k] = sorted[k - 1];
        sorted[k] = x[i];
    }
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static void cmd_bench_write(struct json_writer *w, const char *key_cstr, const double *x, int n) {
    json_write_key(w, key_cstr);
    json_write_array(w);
    for (int i = 0; i < n; i++) json_write_f64(w, x[i]);
    json_write_array_end(w);
}

static int cmd_bench_json(struct cmd_bench *b, const struct cli_engine *m) {
    struct json_writer *w = cli_document(b->c);
    json_write_object(w);
    json_write_key(w, "model");
    json_write_str(w, cli_text(&b->c->args, "model"));
    json_write_key(w, "prompt_tokens");
    json_write_i64(w, b->prompt);
    json_write_key(w, "decode_tokens");
    json_write_i64(w, b->decode);
    json_write_key(w, "depth");
    json_write_i64(w, b->depth);
    json_write_key(w, "threads");
    json_write_i64(w, eng_threads(b->s));
    json_write_key(w, "repetitions");
    json_write_i64(w, b->repeat);
    json_write_key(w, "prompt_tok_s");
    if (b->prompt)
        json_write_f64(w, cmd_bench_median(b->prefill_rate, b->repeat));
    else
        json_write_null(w);
    json_write_key(w, "decode_tok_s");
    if (b->decode)
        json_write_f64(w, cmd_bench_median(b->decode_rate, b->repeat));
    else
        json_write_null(w);
    cmd_bench_write(w, "prompt_tok_s_all", b->prefill_rate, b->prompt ? b->repeat : 0);
    cmd_bench_write(w, "decode_tok_s_all", b->decode_rate, b->decode ? b->repeat : 0);
    json_write_key(w, "load_s");
    json_write_f64(w, (double)m->load_ns / 1e9);
    json_write_key(w, "peak_memory_bytes");
    json_write_u64(w, os_peak_memory());
    json_write_key(w, "weight_bytes");
    json_write_u64(w, m->model->weight_bytes);
    json_write_key(w, "kernels");
    json_write_cstr(w, eng_kernels(b->s)->name_cstr);
    json_write_object_end(w);
    return cli_document_end(b->c);
}

static int cmd_bench_table(struct cmd_bench *b, const struct cli_engine *m) {
    static const char *heads[] = { "test", "tokens", "depth", "tok/s median", "min", "max" };
    struct cli_context *c = b->c;
    struct cli_grid g;
    char load[32], weights[16], peak[16];
    cli_grid_init(&g, &c->arena, heads, MLXK_COUNT(heads), 0x3e);
    for (int decode = 0; decode < 2; decode++) {
        const double *x = decode ? b->decode_rate : b->prefill_rate;
        int64_t n = decode ? b->decode : b->prompt;
        double lo = x[0], hi = x[0];
        for (int i = 1; i < b->repeat; i++) {
            lo = x[i] < lo ? x[i] : lo;
            hi = x[i] > hi ? x[i] : hi;
        }
        struct str cells[] = { decode ? STR("decode") : STR("prefill"),
                               str_format(&c->arena, "%lld", (long long)n),
                               str_format(&c->arena, "%lld", (long long)b->depth),
                               str_format(&c->arena, "%.1f", cmd_bench_median(x, b->repeat)),
                               str_format(&c->arena, "%.1f", lo),
                               str_format(&c->arena, "%.1f", hi) };
        if (n) cli_grid_row(&g, cells);
    }
    cli_grid_print(c, &g);
    num_format_size(weights, m->model->weight_bytes);
    num_format_size(peak, os_peak_memory());
    snprintf(load, sizeof load, "%.0f ms", (double)m->load_ns / 1e6);
    cli_print(c, "%d threads, kernels %s, weights %s, loaded in %s, peak memory %s, median of %d\n",
              eng_threads(b->s), eng_kernels(b->s)->name_cstr, weights, load, peak, b->repeat);
    return 0;
}

static bool cmd_bench_all(struct cmd_bench *b) {
    struct cli_progress p;
    cli_progress_begin(b->c, &p, "measuring", (uint64_t)b->repeat, false);
    bool ok = cmd_bench_ids(b);
    for (int i = 0; ok && i < b->repeat; i++) {
        ok = cmd_bench_once(b, i);
        cli_progress_update(&p, (uint64_t)i + 1);
    }
    cli_progress_end(&p);
    return ok;
}

static int cmd_bench_run(struct cli_context *c) {
    struct cmd_bench b = { .c = c,
                           .prompt = cli_int(&c->args, "--prompt-tokens", 512),
                           .decode = cli_int(&c->args, "--decode-tokens", 128),
                           .depth = cli_int(&c->args, "--depth", 0),
                           .repeat = (int)cli_int(&c->args, "--repeat", 5) };
    struct eng_options o = { .n_threads = (int)cli_int(&c->args, "--threads", 0),
                             .exact = cli_flag(&c->args, "--exact"),
                             .context = b.depth + (b.prompt > b.decode ? b.prompt : b.decode) };
    struct cache_model found;
    struct cli_engine m;
    if (o.context == 0) {
        err_set(&c->err, ERR_INVALID, "there is nothing to measure: -p and -n are both 0");
        err_hint(&c->err, "give -p or -n a number");
        return cli_fail(c, &c->err, NULL);
    }
    if (!cli_resolve(c, cli_text(&c->args, "model"), &found, NULL, &c->err) ||
        !cli_open_model(c, found.dir_cstr, false, &o, &m, &c->err))
        return cli_fail(c, &c->err, "execution_error");
    b.s = m.session;
    b.vocab = eng_vocab(b.s);
    int status = !cmd_bench_all(&b) ? cli_fail(c, &c->err, "execution_error")
                 : c->out.json      ? cmd_bench_json(&b, &m)
                                    : cmd_bench_table(&b, &m);
    cli_close_model(&m);
    return status;
}

MLXK_FN const struct cli_command *cmd_bench(void) {
    static const struct cli_command command = {
        "bench",
        "measure a model's prefill and decode speed",
        "use",
        cmd_bench_options,
        MLXK_COUNT(cmd_bench_options),
        "  mlxk bench SmolLM2 -p 512 -n 128 -t 2\n  mlxk bench SmolLM2 -d 2048 -n 64 --json\n",
        cmd_bench_run,
    };
    return &command;
}
