/* eng_attention.c: from the normed input of a layer to the prepared input of its output projection.
 *
 * Decode: one worker computes a whole key or value head and puts it into the cache at once; after
 * the barrier workers take (head rows, block) pieces, turning the queries they need; after another
 * one each merges all blocks for itself. Prefill: projections by rows, then turning and caching by
 * tokens, then attention by (tokens, kv head) pieces that walk their blocks in order.
 *  1. Every row of queries sees blocks in ascending order, merged one by one, in both ways: same
 *     bits.
 *  2. A block's partial result depends on the positions that the row sees in it and on nothing
 *     else.
 */
#include "engine/engine_int.h"

/* ---- turning: norm, position, cache ---------------------------------------------------------- */

/* Norm (per head) and rotation of one head's vector of token t. */
static void attention_turn(const struct eng_work *w, const struct model_layer *y,
                           const struct model_norm *norm, int t, float *x) {
    const struct eng_session *s = w->s;
    if (norm->w && !s->m->math.qk_norm_full) eng_norm(s, norm, s->m->config.dim_head, x, x);
    if (!y->rope) return;
    int64_t half = y->rope->n_rot / 2, r = y->rope - s->m->ropes;
    s->ops.rope(x, w->in->cos[r] + t * half, w->in->sin[r] + t * half, y->rope->n_rot,
                y->rope->traditional);
}

static void attention_turn_query(const struct eng_work *w, const struct model_layer *y, int t,
                                 float *x) {
    const struct model_math *math = &w->s->m->math;
    attention_turn(w, y, &y->q_norm, t, x);
    if (math->query_beta > 0) {
        double far = floor((double)(w->step->pos0 + t) / (double)math->query_period);
        w->s->ops.scale(x, (float)(1 + (double)math->query_beta * log(1 + far)),
                        w->s->m->config.dim_head);
    }
}

/* Tokens [ta, tb): queries turned into s->queries, keys and values into the cache. */
static void attention_finish(struct eng_work *w, int layer, int ta, int tb) {
    struct eng_session *s = w->s;
    const struct model_layer *y = &s->m->layers[layer];
    int dim = s->m->config.dim_head, n = w->step->n;
    for (int t = ta; t < tb; t++) {
        float *q = s->qkv + (int64_t)t * (s->q_dim + 2 * s->kv_dim), *k = q + s->q_dim,
              *v = k + s->kv_dim;
        if (s->m->math.qk_norm_full) {
            eng_norm(s, &y->q_norm, s->q_dim, q, q);
            eng_norm(s, &y->k_norm, s->kv_dim, k, k);
        }
        for (int h = 0; h < s->m->config.n_kv_heads; h++) {
            float *turned = s->queries + ((int64_t)h * n + t) * s->group * dim;
            memcpy(turned, q + (int64_t)h * s->group * dim, (size_t)(s->group * dim) * sizeof *q);
            for (int g = 0; g < s->group; g++)
                attention_turn_query(w, y, t, turned + (int64_t)g * dim);
            attention_turn(w, y, &y->k_norm, t, k + (int64_t)h * dim);
            eng_kv_put(s, layer, h, w->step->pos0 + t, false, k + (int64_t)h * dim);
            eng_kv_put(s, layer, h, w->step->pos0 + t, true, v + (int64_t)h * dim);
        }
    }
}

/* ---- q, k, v --------------------------------------------------------------------------------- */

/* Rows of q for this worker such that with its key and value heads it has about as many rows as any
 * other. */
static void attention_query_rows(const struct eng_work *w, int64_t *r0, int64_t *r1) {
    const struct eng_session *s = w->s;
    int64_t units = 2 * s->m->config.n_kv_heads, dim = s->m->config.dim_head, sum = 0, before = 0,
            own = 0;
    int64_t fair = (s->q_dim + 2 * s->kv_dim) / w->n_parts;
    for (int p = 0; p < w->n_parts; p++) {
        int64_t want = fair - (units / w->n_parts + (p < units % w->n_parts)) * dim;
        if (want < 0) want = 0;
        if (p == w->part) before = sum, own = want;
        sum += want;
    }
    if (sum == 0) {
        eng_split(w, s->q_dim, ENG_ROW_UNIT, r0, r1);
        return;
    }
    int64_t after = before + own;
    *r0 = s->q_dim * before / sum / ENG_ROW_UNIT * ENG_ROW_UNIT;
    *r1 = after == sum ? s->q_dim : s->q_dim * after / sum / ENG_ROW_UNIT * ENG_ROW_UNIT;
}

static void attention_qkv_decode(struct eng_work *w, int layer, const struct eng_tokens *x) {
    struct eng_session *s = w->s;
    const struct model_layer *y = &s->m->layers[layer];
    int64_t dim = s->m->config.dim_head, r0, r1;
    for (int u = w->part; u < 2 * s->m->config.n_kv_heads; u += w->n_parts) {
        bool value = u % 2 != 0;
        int64_t row = u / 2 * dim;
        float *out = s->qkv + s->q_dim + (value ? s->kv_dim : 0);
        eng_linear(s, value ? &y->v : &y->k, x, row, row + dim, out, 0);
        if (!value) attention_turn(w, y, &y->k_norm, 0, out + row);
        eng_kv_put(s, layer, u / 2, w->step->pos0, value, out + row);
    }
    attention_query_rows(w, &r0, &r1);
    eng_linear(s, &y->q, x, r0, r1, s->qkv, 0);
}

/* The part of rows [r0, r1) of q, k and v put end to end that lies in one of them, which begins at
 * `first`. */
static void attention_qkv_part(const struct eng_session *s, const struct model_linear *l,
                               const struct eng_tokens *x, int64_t first, int64_t r0, int64_t r1) {
    int64_t a = r0 - first, b = r1 - first;
    if (a < 0) a = 0;
    if (b > l->w.rows) b = l->w.rows;
    if (a < b) eng_linear(s, l, x, a, b, s->qkv + first, s->q_dim + 2 * s->kv_dim);
}

MLXK_FN void eng_phase_qkv(struct eng_work *w, int layer) {
    struct eng_session *s = w->s;
    const struct model_layer *y = &s->m->layers[layer];
    struct eng_tokens x = { &w->in->dim_in, 0, w->step->n, NULL };
    if (w->decode && !s->m->math.qk_norm_full) {
        attention_qkv_decode(w, layer, &x);
        return;
    }
    int64_t r0, r1;
    eng_split(w, s->q_dim + 2 * s->kv_dim, ENG_ROW_UNIT, &r0, &r1);
    attention_qkv_part(s, &y->q, &x, 0, r0, r1);
    attention_qkv_part(s, &y->k, &x, s->q_dim, r0, r1);
    attention_qkv_part(s, &y->v, &x, s->q_dim + s->kv_dim, r0, r1);
    eng_sync(w);
    if (!w->decode) attention_finish(w, layer, w->t0, w->t1);
    else if (w->part == 0) attention_finish(w, layer, 0, 1);
}

/* ---- attention ------------------------------------------------------------------------------- */

static struct k_attend attention_block_of(const struct eng_session *s, int layer, int head,
                                          int64_t block) {
    return (struct k_attend){
        .k = eng_kv_at(s, layer, head, block, false),
        .v = eng_kv_at(s, layer, head, block, true),
        .kv_format = s->kv_format,
        .kv_stride = s->m->config.dim_head,
        .dim_k = s->m->config.dim_head,
        .dim_v = s->m->config.dim_head,
        .scale = s->m->math.attn_scale,
        .softcap = s->m->math.attn_softcap,
        .q_stride = s->m->config.dim_head,
    };
}

/* First position that the token at pos sees. */
static int64_t attention_first(const struct model_layer *y, int64_t pos) {
    return y->window && pos + 1 > y->window ? pos + 1 - y->window : 0;
}

/* Position relative to a block, kept within it. */
static int32_t attention_within(int64_t pos, int64_t block) {
    int64_t at = pos - block * K_ATTEND_BLOCK;
    return (int32_t)(at < 0 ? 0 : at > K_ATTEND_BLOCK ? K_ATTEND_BLOCK : at);
}

static struct eng_partial attention_rows_of(const struct eng_partial *p, int64_t row, int dim) {
    return (struct eng_partial){ p->m + row, p->l + row, p->acc + row * dim };
}

/* The blocks that a decoded token sees. */
struct attention_view { int64_t lo, hi, first, n; };

/* Query heads per piece: all of a group share the reading of keys and values, fewer make more
 * pieces. A piece costs about 4 for its block and 1 for every row; the longest worker counts. */
static int attention_piece_rows(const struct eng_work *w, int64_t n_blocks) {
    int64_t heads = w->s->m->config.n_kv_heads, best_cost = INT64_MAX;
    int best = w->s->group;
    for (int rows = w->s->group; rows >= 1; rows--) {
        if (w->s->group % rows != 0) continue;
        int64_t pieces = heads * (w->s->group / rows) * n_blocks;
        int64_t cost = (pieces + w->n_parts - 1) / w->n_parts * (4 + rows);
        if (cost < best_cost) best = rows, best_cost = cost;
    }
    return best;
}

static void attention_decode_pieces(struct eng_work *w, int layer,
                                    const struct attention_view *see) {
    struct eng_session *s = w->s;
    const struct model_layer *y = &s->m->layers[layer];
    int dim = s->m->config.dim_head;
    bool turned = s->m->math.qk_norm_full;               /* attention_finish did it */
    int rows = attention_piece_rows(w, see->n);
    int64_t items = s->m->config.n_heads / rows * see->n;
    int64_t from = items * w->part / w->n_parts, to = items * (w->part + 1) / w->n_parts, have = -1;
    for (int64_t i = from; i < to; i++) {
        int64_t piece = i / see->n, b = i % see->n, head0 = piece * rows;
        int head = (int)(head0 / s->group);
        const float *q = (turned ? s->queries : s->qkv) + head0 * dim;
        if (!turned && piece != have) {
            memcpy(w->own->q, q, (size_t)(rows * dim) * sizeof *q);
            for (int g = 0; g < rows; g++)
                attention_turn_query(w, y, 0, w->own->q + (int64_t)g * dim);
            have = piece;
        }
        struct k_attend a = attention_block_of(s, layer, head, see->first + b);
        for (int g = 0; g < rows; g++) {
            w->own->lo[g] = attention_within(see->lo, see->first + b);
            w->own->hi[g] = attention_within(see->hi, see->first + b);
        }
        a.q = turned ? q : w->own->q;
        a.n_rows = rows;
        a.row_lo = w->own->lo;
        a.row_hi = w->own->hi;
        int64_t row = ((int64_t)head * see->n + b) * s->group + head0 % s->group;
        struct eng_partial out = attention_rows_of(&s->blocks, row, dim);
        s->ops.attend_block(&a, 0, w->own->hi[0], out.m, out.l, out.acc);
    }
}

static void attention_copy(const struct eng_partial *to, const struct eng_partial *from,
                           int64_t rows, int dim) {
    memcpy(to->m, from->m, (size_t)rows * sizeof *to->m);
    memcpy(to->l, from->l, (size_t)rows * sizeof *to->l);
    memcpy(to->acc, from->acc, (size_t)(rows * dim) * sizeof *to->acc);
}

static void attention_decode_merge(struct eng_work *w, const struct attention_view *see) {
    struct eng_session *s = w->s;
    int dim = s->m->config.dim_head;
    for (int h = 0; h < s->m->config.n_kv_heads; h++) {
        struct eng_partial *sum = &w->own->sum;
        for (int64_t b = 0; b < see->n; b++) {
            struct eng_partial p = attention_rows_of(&s->blocks, (h * see->n + b) * s->group, dim);
            if (b == 0) attention_copy(sum, &p, s->group, dim);
            else s->ops.attend_merge(sum->m, sum->l, sum->acc, p.m, p.l, p.acc, s->group, dim);
        }
        for (int g = 0; g < s->group; g++) {
            float *out = w->own->row + ((int64_t)h * s->group + g) * dim;
            memcpy(out, sum->acc + (int64_t)g * dim, (size_t)dim * sizeof *out);
            s->ops.scale(out, 1 / sum->l[g], dim);
        }
    }
}

/* Tokens [ta, tb) of one kv head in prefill; row (t - ta) * group + g of the worker's scratch. */
struct attention_piece { int layer, head, ta, tb; };

/* One block for those of the piece's tokens that see some of it: [t1, t3). Tokens of [t1, t2) saw
 * blocks before and merge, those of [t2, t3) begin here. Both borders only move forward from block
 * to block. */
static void attention_piece_block(struct eng_work *w, const struct attention_piece *p,
                                  int64_t block) {
    struct eng_session *s = w->s;
    const struct model_layer *y = &s->m->layers[p->layer];
    int dim = s->m->config.dim_head, group = s->group, t1 = p->ta, t2, t3;
    int64_t pos0 = w->step->pos0, begin = block * K_ATTEND_BLOCK, end = begin + K_ATTEND_BLOCK;
    while (pos0 + t1 < begin) t1++;
    for (t3 = t1; t3 < p->tb && attention_first(y, pos0 + t3) < end; t3++) {
        for (int g = 0; g < group; g++) {
            w->own->lo[(t3 - t1) * group + g] =
                attention_within(attention_first(y, pos0 + t3), block);
            w->own->hi[(t3 - t1) * group + g] = attention_within(pos0 + t3 + 1, block);
        }
    }
    for (t2 = t1; t2 < t3 && attention_first(y, pos0 + t2) < begin;) t2++;
    if (t1 == t3) return;
    int rows = (t3 - t1) * group, old = (t2 - t1) * group;
    struct k_attend a = attention_block_of(s, p->layer, p->head, block);
    a.q = s->queries + ((int64_t)p->head * w->step->n + t1) * group * dim;
    a.n_rows = rows;
    a.row_lo = w->own->lo;
    a.row_hi = w->own->hi;
    struct eng_partial part = w->own->part,
                       sum = attention_rows_of(&w->own->sum, (int64_t)(t1 - p->ta) * group, dim);
    s->ops.attend_block(&a, 0, w->own->hi[rows - 1], part.m, part.l, part.acc);
    if (old) s->ops.attend_merge(sum.m, sum.l, sum.acc, part.m, part.l, part.acc, old, dim);
    struct eng_partial sum_new = attention_rows_of(&sum, old, dim),
                       part_new = attention_rows_of(&part, old, dim);
    attention_copy(&sum_new, &part_new, rows - old, dim);
}

/* All blocks in order; the result replaces the tokens' projections in s->qkv, which nobody needs
 * any more. */
static void attention_piece(struct eng_work *w, const struct attention_piece *p) {
    struct eng_session *s = w->s;
    const struct model_layer *y = &s->m->layers[p->layer];
    int dim = s->m->config.dim_head, group = s->group;
    int64_t last = (w->step->pos0 + p->tb - 1) / K_ATTEND_BLOCK;
    for (int64_t b = attention_first(y, w->step->pos0 + p->ta) / K_ATTEND_BLOCK; b <= last; b++)
        attention_piece_block(w, p, b);
    const struct eng_partial *sum = &w->own->sum;
    for (int r = 0; r < (p->tb - p->ta) * group; r++) {
        float *out = s->qkv + (int64_t)(p->ta + r / group) * (s->q_dim + 2 * s->kv_dim);
        out += (p->head * group + r % group) * dim;
        memcpy(out, sum->acc + (int64_t)r * dim, (size_t)dim * sizeof *out);
        s->ops.scale(out, 1 / sum->l[r], dim);
    }
}

/* Pieces are dealt in turn: later tokens see more, and so every worker gets early and late ones. */
static void attention_prefill(struct eng_work *w, int layer) {
    struct eng_session *s = w->s;
    int tokens = s->attend_rows / s->group, heads = s->m->config.n_kv_heads;
    int pieces = (w->step->n + tokens - 1) / tokens;
    for (int i = w->part; i < pieces * heads; i += w->n_parts) {
        struct attention_piece p = { .layer = layer, .head = i % heads, .ta = i / heads * tokens };
        p.tb = p.ta + tokens < w->step->n ? p.ta + tokens : w->step->n;
        attention_piece(w, &p);
    }
}

MLXK_FN void eng_phase_attend(struct eng_work *w, int layer) {
    struct eng_session *s = w->s;
    const struct model_layer *y = &s->m->layers[layer];
    unsigned forms = s->forms[layer].o;
    if (w->decode) {
        struct attention_view see = { .lo = attention_first(y, w->step->pos0),
                                      .hi = w->step->pos0 + 1 };
        see.first = see.lo / K_ATTEND_BLOCK;
        see.n = (see.hi - 1) / K_ATTEND_BLOCK - see.first + 1;
        attention_decode_pieces(w, layer, &see);
        eng_sync(w);
        attention_decode_merge(w, &see);
        eng_put(s, &w->in->att_in, forms, 0, w->own->row);
        return;
    }
    attention_prefill(w, layer);
    eng_sync(w);
    for (int t = w->t0; t < w->t1; t++)
        eng_put(s, &w->in->att_in, forms, t, s->qkv + (int64_t)t * (s->q_dim + 2 * s->kv_dim));
    eng_sync(w);
}
