/* eng_session.c: sessions opened, closed and fed (Public part of the engine's first section).
 *
 *  1. Arguments are checked before anything is computed: an error leaves the cache as it was.
 *  2. position moves only after a whole chunk is through.
 *  3. All memory is taken at open; feeding takes none.
 */
#include "engine/engine_int.h"

#define SESSION_MAX_ARENA ((size_t)64 << 20)    /* forms per layer, workers: kilobytes */
enum { SESSION_MAX_THREADS = 256 };

/* longrope has two tables: the short one serves sessions that never leave the original length. */
static void session_ropes(struct eng_session *s) {
    for (int r = 0; r < s->m->n_ropes; r++) {
        const struct model_rope *rope = &s->m->ropes[r];
        bool is_short = rope->short_wavelengths && s->capacity <= rope->short_limit;
        s->rope_table[r] = is_short ? rope->short_wavelengths : rope->wavelengths;
    }
}

static bool session_options(struct eng_session *s, const struct eng_options *o, struct err *e) {
    s->n_workers = o->n_threads > 0 ? o->n_threads : os_cpu_count();
    s->chunk = o->prefill_chunk > 0 ? o->prefill_chunk : ENG_DEFAULT_CHUNK;
    if (s->n_workers > SESSION_MAX_THREADS)
        return err_set(e, ERR_INVALID, "%d threads, at most %d are allowed", s->n_workers,
                       (int)SESSION_MAX_THREADS);
    if (s->chunk > ENG_MAX_CHUNK)
        return err_set(e, ERR_INVALID, "%d tokens per prefill step, at most %d are allowed",
                       s->chunk, (int)ENG_MAX_CHUNK);
    const struct k_ops *ops = o->kernels ? o->kernels : k_choose(e);
    if (!ops) return false;
    if (o->exact) k_exact(ops, &s->ops);
    else s->ops = *ops;
    s->kv_format = o->exact ? K_F32 : K_F16;
    return true;
}

MLXK_FN struct eng_session *eng_open(const struct model *m, const struct eng_options *o,
                                     struct err *e) {
    struct eng_session *s = mem_alloc(sizeof *s);
    if (!s) {
        err_oom(e, sizeof *s, "a session");
        return NULL;
    }
    *s = (struct eng_session){ .m = m };
    arena_init(&s->arena, SESSION_MAX_ARENA);
    bool ok = session_options(s, o, e) && eng_plan_sizes(s, e) && eng_kv_open(s, o->context, e)
              && eng_plan_open(s, e);
    if (ok) {
        session_ropes(s);
        s->team = os_team_open(s->n_workers, e);
        ok = s->team != NULL;
    }
    if (ok) return s;
    eng_close(s);
    return NULL;
}

MLXK_FN void eng_close(struct eng_session *s) {
    if (!s) return;
    os_team_close(s->team);
    eng_kv_release(s);
    eng_plan_release(s);
    mem_free(s);
}

MLXK_FN int64_t eng_position(const struct eng_session *s) { return s->position; }
MLXK_FN int64_t eng_capacity(const struct eng_session *s) { return s->capacity; }
MLXK_FN int64_t eng_vocab(const struct eng_session *s) { return s->m->config.vocab; }
MLXK_FN int eng_threads(const struct eng_session *s) { return s->n_workers; }
MLXK_FN const struct k_ops *eng_kernels(const struct eng_session *s) { return &s->ops; }

MLXK_FN void eng_truncate(struct eng_session *s, int64_t position) {
    if (position < 0) position = 0;
    if (position < s->position) s->position = position;
}

/* ---- feeding --------------------------------------------------------------------------------- */

static bool session_check(const struct eng_session *s, const int32_t *ids, int64_t n,
                          struct err *e) {
    if (n < 0 || n > s->capacity - s->position) {
        err_set(e, ERR_LIMIT, "%lld tokens do not fit: the context holds %lld of %lld",
                (long long)n, (long long)s->position, (long long)s->capacity);
        return err_hint(e, "shorten the prompt or ask for a larger context");
    }
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= s->m->config.vocab)
            return err_set(e, ERR_INVALID, "token %lld is %d, the vocabulary has %d", (long long)i,
                           (int)ids[i], s->m->config.vocab);
    return true;
}

static struct eng_step session_step(struct eng_session *s, const int32_t *ids, int64_t left) {
    int n = left < s->chunk ? (int)left : s->chunk;
    return (struct eng_step){ .s = s, .ids = ids, .n = n, .pos0 = s->position };
}

MLXK_FN bool eng_feed(struct eng_session *s, const int32_t *ids, int64_t n, const float **logits,
                      bool (*progress)(void *ctx, int64_t done), void *ctx, struct err *e) {
    if (!session_check(s, ids, n, e)) return false;
    if (logits && n == 0) return err_set(e, ERR_INVALID, "no tokens, so there are no logits");
    for (int64_t done = 0; done < n; ) {
        struct eng_step step = session_step(s, ids + done, n - done);
        if (logits && done + step.n == n) step.head = ENG_HEAD_LAST;
        eng_forward(&step);
        s->position += step.n;
        done += step.n;
        if (progress && !progress(ctx, done))
            return err_set(e, ERR_INTERRUPTED, "stopped after %lld of %lld tokens", (long long)done,
                           (long long)n);
    }
    if (logits) *logits = s->logits;
    return true;
}

MLXK_FN bool eng_feed_all(struct eng_session *s, const int32_t *ids, int64_t n,
                          bool (*row)(void *ctx, int64_t index, const float *logits, int64_t vocab),
                          void *ctx, struct err *e) {
    if (!session_check(s, ids, n, e)) return false;
    int64_t vocab = s->m->config.vocab;
    for (int64_t done = 0; done < n; ) {
        struct eng_step step = session_step(s, ids + done, n - done);
        step.head = ENG_HEAD_ALL;
        eng_forward(&step);
        s->position += step.n;
        for (int t = 0; t < step.n; t++) {
            int left = step.n - t < ENG_HEAD_ROWS ? step.n - t : ENG_HEAD_ROWS;
            if (t % ENG_HEAD_ROWS == 0) eng_head_rows(&step, t, left);
            if (!row(ctx, done + t, s->logits + t % ENG_HEAD_ROWS * vocab, vocab))
                return err_set(e, ERR_INTERRUPTED, "stopped after %lld of %lld tokens",
                               (long long)(done + t), (long long)n);
        }
        done += step.n;
    }
    return true;
}

#undef SESSION_MAX_ARENA
