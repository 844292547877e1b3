/* eng_generate.c: prompt in, text out: feed, sample, decode, stop.
 *
 *   feed prompt -> sample -> end token? -> text -> stop string? -> length? full? -> feed token ->
 *   sample ...
 *
 *  1. The last sampled token is not fed: the session holds prompt and all generated tokens but the
 *     last.
 *  2. Text passes tok_stream (whole UTF-8 sequences), then the stopper, then the caller.
 *  3. A caller who says stop ends generation successfully, with finish = ENG_INTERRUPTED.
 */
#include "engine/engine_int.h"

enum { GENERATE_WINDOW = 20, GENERATE_MAX_WINDOW = 1 << 20 };
#define GENERATE_MAX_IDS ((size_t)MODEL_MAX_CONTEXT)

struct generate_state {
    struct eng_session *s;
    const struct eng_request *r;
    struct eng_result *out;
    struct err *e;
    struct eng_sampler *sampler;
    struct tok_stream stream;
    struct eng_stopper stopper;
    int32_t *recent;             /* the last tokens, newest last */
    int64_t n_recent, max_recent;
    bool has_text;
};

/* ---- recent tokens --------------------------------------------------------------------------- */

static void generate_remember(struct generate_state *g, int32_t id) {
    if (g->n_recent == g->max_recent) {
        memmove(g->recent, g->recent + 1, (size_t)(g->n_recent - 1) * sizeof *g->recent);
        g->n_recent--;
    }
    g->recent[g->n_recent++] = id;
}

static bool generate_recent(struct generate_state *g) {
    const struct eng_request *r = g->r;
    g->max_recent =
        r->sampling.repetition_window > 0 ? r->sampling.repetition_window : GENERATE_WINDOW;
    if (g->max_recent > GENERATE_MAX_WINDOW) g->max_recent = GENERATE_MAX_WINDOW;
    g->recent = mem_alloc((size_t)g->max_recent * sizeof *g->recent);
    if (!g->recent)
        return err_oom(g->e, (size_t)g->max_recent * sizeof *g->recent, "recent tokens");
    int64_t from = r->n_prompt > g->max_recent ? r->n_prompt - g->max_recent : 0;
    for (int64_t i = from; i < r->n_prompt; i++) generate_remember(g, r->prompt[i]);
    return true;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* false = the generation is over (out->finish says why). */
static bool generate_say(struct generate_state *g, struct str text) {
    if (text.n == 0 || !g->r->text || g->r->text(g->r->ctx, text)) return true;
    g->out->finish = ENG_INTERRUPTED;
    return false;
}

/* Passes decoded text on. *over: stop string or interruption. false = error. */
static bool generate_text(struct generate_state *g, struct str piece, bool *over) {
    struct str certain;
    bool found;
    if (!eng_stopper_push(&g->stopper, piece, &certain, &found, g->e)) return false;
    *over = !generate_say(g, certain);
    if (found && !*over) {
        g->out->finish = ENG_STOP_STRING;
        *over = true;
    }
    return true;
}

static bool generate_token_text(struct generate_state *g, int32_t id, bool *over) {
    struct str piece;
    if (!g->has_text) return true;
    return tok_stream_push(&g->stream, id, &piece, g->e) && generate_text(g, piece, over);
}

/* What is still held back when generation ended by itself. */
static bool generate_finish_text(struct generate_state *g) {
    struct str piece;
    bool over = false;
    if (!g->has_text) return true;
    if (!tok_stream_flush(&g->stream, &piece, g->e) || !generate_text(g, piece, &over))
        return false;
    if (!over) generate_say(g, eng_stopper_rest(&g->stopper));
    return true;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static bool generate_is_end(const struct eng_session *s, int32_t id) {
    for (int i = 0; i < s->m->config.n_eos; i++)
        if (s->m->config.eos[i] == id) return true;
    return false;
}

static bool generate_progress(void *ctx, int64_t done) {
    const struct generate_state *g = ctx;
    return !g->r->progress || g->r->progress(g->r->ctx, done, g->r->n_prompt);
}

/* One sampled token: kept, judged, told. *over = generation is finished. */
static bool generate_one(struct generate_state *g, const float *logits, int32_t *id, bool *over) {
    struct eng_result *out = g->out;
    *id = eng_sample(g->sampler, logits, g->recent, g->n_recent);
    if (*id < 0)
        return err_set(g->e, ERR_RUN, "no logit is finite after %lld tokens",
                       (long long)eng_position(g->s));
    tok_ids_add(&out->ids, *id);
    if (out->ids.failed) return err_oom(g->e, out->ids.n * sizeof *id, "generated tokens");
    out->n_generated++;
    generate_remember(g, *id);
    *over = true;
    if (!g->r->ignore_eos && generate_is_end(g->s, *id)) {
        out->finish = ENG_STOP_TOKEN;
        return true;
    }
    *over = false;
    if (!generate_token_text(g, *id, over)) return false;
    if (*over) return true;
    *over = true;
    if (g->r->max_tokens >= 0 && out->n_generated >= g->r->max_tokens) out->finish = ENG_LENGTH;
    else if (eng_position(g->s) >= eng_capacity(g->s)) out->finish = ENG_CONTEXT_FULL;
    else *over = false;
    return true;
}

static bool generate_loop(struct generate_state *g, const float *logits, int64_t begin_ns) {
    struct eng_result *out = g->out;
    int64_t first_ns = 0;
    bool over = false;
    int32_t id;
    if (g->r->max_tokens == 0) {
        out->finish = ENG_LENGTH;
        return true;
    }
    for (;;) {
        if (!generate_one(g, logits, &id, &over)) return false;
        if (out->n_generated == 1) {
            first_ns = os_now_ns();
            out->first_token_ns = first_ns - begin_ns;
        }
        if (over) break;
        if (!eng_feed(g->s, &id, 1, &logits, NULL, NULL, g->e)) return false;
    }
    out->decode_ns = os_now_ns() - first_ns;
    bool cut = out->finish == ENG_STOP_STRING || out->finish == ENG_INTERRUPTED;
    return cut || generate_finish_text(g);
}

static bool generate_run(struct generate_state *g) {
    const struct eng_request *r = g->r;
    int64_t begin_ns = os_now_ns();
    const float *logits;
    struct err stopped = { .code = ERR_OK };
    bool ok = eng_feed(g->s, r->prompt, r->n_prompt, &logits, generate_progress, g, &stopped);
    g->out->prefill_ns = os_now_ns() - begin_ns;
    if (ok) return generate_loop(g, logits, begin_ns);
    if (stopped.code == ERR_INTERRUPTED) {
        g->out->finish = ENG_INTERRUPTED;
        return true;
    }
    err_set(g->e, stopped.code, "%s", stopped.msg);
    return err_hint(g->e, "%s", stopped.hint);
}

MLXK_FN bool eng_generate(struct eng_session *s, const struct tok *t, const struct eng_request *r,
                          struct eng_result *out, struct err *e) {
    struct generate_state g = { .s = s, .r = r, .out = out, .e = e, .has_text = t != NULL };
    *out = (struct eng_result){ .n_prompt = r->n_prompt };
    tok_ids_init(&out->ids, GENERATE_MAX_IDS);
    bool ok = eng_stopper_init(&g.stopper, r->stops, r->n_stops, e);
    if (t) {
        tok_stream_init(&g.stream, t, true);
        tok_stream_show(&g.stream, r->shown, (size_t)r->n_shown);
    }
    ok = ok && (g.sampler = eng_sampler_open(&r->sampling, eng_vocab(s), e)) != NULL
         && generate_recent(&g) && generate_run(&g);
    if (t) tok_stream_release(&g.stream);
    eng_stopper_release(&g.stopper);
    eng_sampler_close(g.sampler);
    mem_free(g.recent);
    return ok;
}

#undef GENERATE_MAX_IDS
