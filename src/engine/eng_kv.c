/* eng_kv.c: the KV cache of one sequence.
 *
 * Layout: [block][layer][key or value][kv head][K_ATTEND_BLOCK][dim_head], f16, or f32 when exact.
 * A block of one head is what attention reads at a time, and memory fills from the front: pages
 * behind the last position were never touched and cost nothing.
 */
#include "engine/engine_int.h"

static size_t kv_item(const struct eng_session *s) { return s->kv_format == K_F16 ? 2 : 4; }

static size_t kv_head_bytes(const struct eng_session *s) {
    return (size_t)K_ATTEND_BLOCK * (size_t)s->m->config.dim_head * kv_item(s);
}

MLXK_FN size_t eng_kv_block_bytes(const struct eng_session *s) {
    return kv_head_bytes(s) * 2 * (size_t)s->m->config.n_kv_heads * (size_t)s->m->config.n_layers;
}

/* Positions that memory has room for, beside weights and activations; an eighth of it stays for
 * others. */
static int64_t kv_fits(struct eng_session *s) {
    uint64_t total = os_total_memory();
    if (total == 0) return MODEL_MAX_CONTEXT;     /* unknown: the system itself will refuse */
    uint64_t taken = total / 8 + s->m->weight_bytes + eng_plan_bytes(s);
    uint64_t blocks = taken < total ? (total - taken) / eng_kv_block_bytes(s) : 0;
    uint64_t positions = blocks * K_ATTEND_BLOCK;
    return positions < MODEL_MAX_CONTEXT ? (int64_t)positions : MODEL_MAX_CONTEXT;
}

static bool kv_too_large(const struct eng_session *s, int64_t want, int64_t fits, struct err *e) {
    char size[16];
    uint64_t blocks = ((uint64_t)want + K_ATTEND_BLOCK - 1) / K_ATTEND_BLOCK;
    num_format_size(size, blocks * eng_kv_block_bytes(s));
    err_set(e, ERR_NO_MEMORY, "a context of %lld positions needs %s of memory, which is not there",
            (long long)want, size);
    if (fits > 0) return err_hint(e, "up to %lld positions fit beside this model", (long long)fits);
    return err_hint(e, "this model is too large for this machine");
}

MLXK_FN bool eng_kv_open(struct eng_session *s, int64_t context, struct err *e) {
    int64_t stated = s->m->config.context ? s->m->config.context : 4096, fits = kv_fits(s);
    int64_t want = context;
    if (want <= 0) want = stated < fits ? stated : fits;
    if (want > MODEL_MAX_CONTEXT)
        return err_set(e, ERR_LIMIT, "a context of %lld positions, at most %d are allowed",
                       (long long)want, (int)MODEL_MAX_CONTEXT);
    if (want > fits || want == 0) return kv_too_large(s, want ? want : stated, fits, e);
    for (int r = 0; r < s->m->n_ropes; r++) {
        int64_t max = s->m->ropes[r].max_positions;
        if (max && want > max)
            return err_set(e, ERR_UNSUPPORTED,
                           "a context of %lld positions: this model's dynamic rope is supported "
                           "up to %lld",
                           (long long)want, (long long)max);
    }
    s->capacity = want;
    s->n_blocks = (want + K_ATTEND_BLOCK - 1) / K_ATTEND_BLOCK;
    s->kv_bytes = (size_t)s->n_blocks * eng_kv_block_bytes(s);
    s->kv = os_pages_alloc(s->kv_bytes, e);
    return s->kv ? true : err_context(e, "a context of %lld positions: ", (long long)want);
}

MLXK_FN void eng_kv_release(struct eng_session *s) { os_pages_free(s->kv, s->kv_bytes); }

MLXK_FN void *eng_kv_at(const struct eng_session *s, int layer, int head, int64_t block,
                        bool value) {
    const struct model_config *c = &s->m->config;
    size_t at = (size_t)block * (size_t)c->n_layers + (size_t)layer;
    at = (at * 2 + value) * (size_t)c->n_kv_heads + (size_t)head;
    return s->kv + at * kv_head_bytes(s);
}

MLXK_FN void eng_kv_put(const struct eng_session *s, int layer, int head, int64_t pos, bool value,
                        const float *x) {
    size_t dim = (size_t)s->m->config.dim_head;
    uint8_t *at = eng_kv_at(s, layer, head, pos / K_ATTEND_BLOCK, value);
    at += (size_t)(pos % K_ATTEND_BLOCK) * dim * kv_item(s);
    if (s->kv_format == K_F16) s->ops.f32_to_f16((uint16_t *)(void *)at, x, (int64_t)dim);
    else memcpy(at, x, dim * sizeof *x);
}
