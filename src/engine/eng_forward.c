/* eng_forward.c: one pass over the layers (engine_int.h tells how work is shared).
 *
 *   embed -> per layer: [norm, prepare] qkv | attend | o |
 *            [add, norm, prepare] gate, up, activate | [prepare] down | ...
 *         -> [add, norm, prepare] head                 | = barrier; [ ] per token, none in decode
 *
 *  1. x, the residual stream, is written only by the worker that prepares the token (each its own
 *     copy in decode); o and down write s->y, which is added to x when the token is next prepared
 *     ("pending").
 *  2. Between the last reader of a shared array and its next writer lies a barrier.
 */
#include "engine/engine_int.h"

/* ---- parts ----------------------------------------------------------------------------------- */

MLXK_FN void eng_sync(const struct eng_work *w) { os_team_barrier(w->s->team, w->part); }

MLXK_FN void eng_split(const struct eng_work *w, int64_t rows, int64_t unit, int64_t *r0,
                       int64_t *r1) {
    int64_t units = (rows + unit - 1) / unit;
    *r0 = units * w->part / w->n_parts * unit;
    *r1 = units * (w->part + 1) / w->n_parts * unit;
    if (*r0 > rows) *r0 = rows;
    if (*r1 > rows) *r1 = rows;
}

/* Token t0 of a quantised or plain input on. */
static struct k_input forward_from(struct k_input in, int t0, int n) {
    int64_t blocks = in.form == K_FORM_FLOAT ? 0 : k_form_blocks(in.form, in.cols);
    in.n_tokens = n;
    if (t0 > 0 && in.form == K_FORM_FLOAT) in.x += t0 * in.x_stride;
    if (t0 > 0 && in.form != K_FORM_FLOAT) {
        in.q += t0 * ((in.cols + 63) / 64 * 64);
        in.d += t0 * blocks;
        in.s += t0 * blocks;
    }
    return in;
}

/* Both terms, a tile of rows at a time, so that the second pass finds the weights in cache. */
static void forward_fine(const struct eng_session *s, const struct model_linear *l,
                         const struct eng_tokens *x, int64_t r0, int64_t r1, float *y,
                         int64_t y_stride) {
    enum k_form form = s->ops.input_form(&l->w);
    struct k_input in = forward_from(x->in->form[form], x->t0, x->n);
    struct k_input rest = forward_from(x->in->rest[form], x->t0, x->n);
    for (int64_t r = r0; r < r1; r += ENG_TILE) {
        int64_t n = r1 - r < ENG_TILE ? r1 - r : ENG_TILE;
        struct model_linear tile = model_linear_rows(l, r, n);
        s->ops.matmul(&l->w, r, r + n, &in, y, y_stride);
        s->ops.matmul(&tile.w, 0, n, &rest, x->fine, ENG_TILE);
        for (int t = 0; t < x->n; t++)
            s->ops.add(y + t * y_stride + r, x->fine + (int64_t)t * ENG_TILE, n);
    }
}

MLXK_FN void eng_linear(const struct eng_session *s, const struct model_linear *l,
                        const struct eng_tokens *x, int64_t r0, int64_t r1, float *y,
                        int64_t y_stride) {
    if (r0 >= r1) return;
    enum k_form form = s->ops.input_form(&l->w);
    if (x->fine && form != K_FORM_FLOAT) forward_fine(s, l, x, r0, r1, y, y_stride);
    else {
        struct k_input in = forward_from(x->in->form[form], x->t0, x->n);
        s->ops.matmul(&l->w, r0, r1, &in, y, y_stride);
    }
    for (int t = 0; l->bias && t < x->n; t++)
        s->ops.add(y + t * y_stride + r0, l->bias + r0, r1 - r0);
}

MLXK_FN void eng_norm(const struct eng_session *s, const struct model_norm *norm, int64_t n,
                      const float *x, float *y) {
    const struct model_math *math = &s->m->math;
    float eps = s->m->config.norm_eps;
    if (math->layer_norm) s->ops.layer_norm(y, x, norm->w, math->norm_add, norm->b, n, eps);
    else s->ops.rms_norm(y, x, norm->w, math->norm_add, n, eps);
}

/* What rounding lost in columns [c0, c0 + n) of row t, in the same form; `block` is their first
 * scale's place. */
static void forward_put_rest(const struct eng_session *s, struct eng_input *in, enum k_form form,
                             int64_t t, int64_t c0, int64_t n, int64_t block, const float *x) {
    const struct k_input *k = &in->form[form];
    struct k_input *rest = &in->rest[form];
    int size = form == K_FORM_Q32 || form == K_FORM_Q32_SPLIT ? 32 : 64;
    bool split = form == K_FORM_Q32_SPLIT || form == K_FORM_Q64_SPLIT;
    int64_t row = t * ((in->cols + 63) / 64 * 64) + c0;
    for (int64_t c = 0; c < n; c += 64, block += 64 / size) { /* quantize fills whole runs of 64 */
        float lost[64];
        int m = n - c < 64 ? (int)(n - c) : 64;
        const int8_t *q = k->q + row + c;
        for (int i = 0; i < m; i++) {
            int in_block = i % size,
                at = split ? i - in_block + (in_block & 1) * (size / 2) + in_block / 2 : i;
            lost[i] = x[c + i] - k->d[block + i / size] * (float)q[at];
        }
        s->ops.quantize(form, lost, m, rest->q + row + c, rest->d + block, rest->s + block);
    }
}

/* Columns [c0, c0 + n) of row t; c0 a multiple of 64, so that it begins a block of every form. */
static void forward_put_part(const struct eng_session *s, struct eng_input *in, unsigned forms,
                             int64_t t, int64_t c0, int64_t n, const float *x) {
    for (int f = 0; f < K_FORM_COUNT; f++) {
        if (!(forms >> f & 1)) continue;
        struct k_input *k = &in->form[f];
        if (f == K_FORM_FLOAT) {
            memcpy(in->rows + t * in->cols + c0, x, (size_t)n * sizeof *x);
            continue;
        }
        int64_t block = t * k_form_blocks(k->form, in->cols) + k_form_blocks(k->form, c0);
        s->ops.quantize(k->form, x, n, k->q + t * ((in->cols + 63) / 64 * 64) + c0, k->d + block,
                        k->s + block);
        if (forms & ENG_FINE) forward_put_rest(s, in, k->form, t, c0, n, block, x);
    }
}

MLXK_FN void eng_put(const struct eng_session *s, struct eng_input *in, unsigned forms, int t,
                     const float *x) {
    forward_put_part(s, in, forms, t, 0, in->cols, x);
}

/* ---- tokens: embedding, residual, norm ------------------------------------------------------- */

static void forward_rope_row(const struct eng_work *w, int r, int t) {
    const struct eng_session *s = w->s;
    const struct model_rope *rope = &s->m->ropes[r];
    int half = rope->n_rot / 2;
    double pos = (double)(w->step->pos0 + t), factor = (double)rope->attention_factor;
    for (int j = 0; j < half; j++) {
        double angle = pos / s->rope_table[r][j];
        w->in->cos[r][(int64_t)t * half + j] = (float)(cos(angle) * factor);
        w->in->sin[r][(int64_t)t * half + j] = (float)(sin(angle) * factor);
    }
}

static void forward_embed(const struct eng_work *w) {
    const struct eng_session *s = w->s;
    int64_t dim = s->m->config.dim;
    for (int t = w->t0; t < w->t1; t++) {
        s->ops.dequantize_row(&s->m->embed, w->step->ids[t], w->in->x + t * dim);
        if (s->m->math.embed_scale != 1)
            s->ops.scale(w->in->x + t * dim, s->m->math.embed_scale, dim);
        for (int r = 0; r < s->m->n_ropes; r++) forward_rope_row(w, r, t);
    }
}

/* x += what o or down left for token t. */
static void forward_add(const struct eng_work *w, int t, float *x) {
    const struct eng_session *s = w->s;
    int64_t dim = s->m->config.dim;
    const float *y = s->y + t * dim;
    if (!w->pending) return;
    if (w->post->w) {
        eng_norm(s, w->post, dim, y, w->own->row);
        y = w->own->row;
    }
    if (s->m->math.residual_scale != 1) {
        if (y != w->own->row) memcpy(w->own->row, y, (size_t)dim * sizeof *y);
        s->ops.scale(w->own->row, s->m->math.residual_scale, dim);
        y = w->own->row;
    }
    s->ops.add(x, y, dim);
}

/* Row t of a dim_in becomes norm(x). */
static void forward_put_normed(const struct eng_work *w, const struct model_norm *norm,
                               unsigned forms, const float *x, struct eng_input *in, int t) {
    if (norm->w) {
        eng_norm(w->s, norm, w->s->m->config.dim, x, w->own->row);
        x = w->own->row;
    }
    eng_put(w->s, in, forms, t, x);
}

/* Adds what is pending and prepares the normed tokens; shared ones are there for all when it
 * returns. */
static void forward_prepare(struct eng_work *w, const struct model_norm *norm, unsigned forms) {
    int64_t dim = w->s->m->config.dim;
    for (int t = w->t0; t < w->t1; t++) {
        forward_add(w, t, w->in->x + t * dim);
        forward_put_normed(w, norm, forms, w->in->x + t * dim, &w->in->dim_in, t);
    }
    w->pending = false;
    if (!w->decode) eng_sync(w);
}

static void forward_leave(struct eng_work *w, const struct model_norm *post) {
    w->pending = true;
    w->post = post;
    eng_sync(w);
}

/* ---- the MLP --------------------------------------------------------------------------------- */

static void forward_activate(const struct eng_session *s, float *gate, const float *up, int64_t n) {
    if (s->m->math.activation == MODEL_GELU) s->ops.gelu_mul(gate, gate, up, n);
    else s->ops.silu_mul(gate, gate, up, n);
}

static void forward_gate_decode(struct eng_work *w, const struct model_layer *y, unsigned forms) {
    struct eng_session *s = w->s;
    struct eng_tokens x = { &w->in->dim_in, 0, 1, NULL };
    int64_t r0, r1;
    eng_split(w, s->m->config.dim_ff, ENG_ROW_UNIT, &r0, &r1);
    eng_linear(s, &y->gate, &x, r0, r1, s->gate, 0);
    eng_linear(s, &y->up, &x, r0, r1, s->up, 0);
    forward_activate(s, s->gate + r0, s->up + r0, r1 - r0);
    eng_sync(w);
    eng_put(s, &w->in->ff_in, forms, 0, s->gate);
}

/* Tile by tile: gate and up of some rows for all tokens, activated and prepared while they are in
 * cache. */
static void forward_gate_prefill(struct eng_work *w, const struct model_layer *y, unsigned forms) {
    struct eng_session *s = w->s;
    struct eng_tokens x = { &w->in->dim_in, 0, w->step->n, NULL };
    int64_t r0, r1;
    eng_split(w, s->m->config.dim_ff, ENG_TILE, &r0, &r1);
    for (int64_t r = r0; r < r1; r += ENG_TILE) {
        int64_t n = r1 - r < ENG_TILE ? r1 - r : ENG_TILE;
        struct model_linear gate = model_linear_rows(&y->gate, r, n),
                            up = model_linear_rows(&y->up, r, n);
        eng_linear(s, &gate, &x, 0, n, w->own->gate, ENG_TILE);
        eng_linear(s, &up, &x, 0, n, w->own->up, ENG_TILE);
        for (int t = 0; t < x.n; t++) {
            float *row = w->own->gate + (int64_t)t * ENG_TILE;
            forward_activate(s, row, w->own->up + (int64_t)t * ENG_TILE, n);
            forward_put_part(s, &w->in->ff_in, forms, t, r, n, row);
        }
    }
    eng_sync(w);
}

/* ---- layers and head ------------------------------------------------------------------------- */

static void forward_layer(struct eng_work *w, int i) {
    struct eng_session *s = w->s;
    const struct model_layer *y = &s->m->layers[i];
    const struct eng_forms *forms = &s->forms[i];
    int64_t dim = s->m->config.dim, r0, r1;
    eng_split(w, dim, ENG_ROW_UNIT, &r0, &r1);
    forward_prepare(w, &y->attn_norm, forms->qkv);
    eng_phase_qkv(w, i);
    eng_sync(w);
    eng_phase_attend(w, i);
    eng_linear(s, &y->o, &(struct eng_tokens){ &w->in->att_in, 0, w->step->n, NULL }, r0, r1, s->y,
               dim);
    forward_leave(w, &y->attn_post);
    if (s->m->math.parallel) {
        for (int t = w->t0; t < w->t1; t++) forward_add(w, t, w->in->x + t * dim);
    } else forward_prepare(w, &y->ffn_norm, forms->gate_up);
    if (w->decode) forward_gate_decode(w, y, forms->down);
    else forward_gate_prefill(w, y, forms->down);
    eng_linear(s, &y->down, &(struct eng_tokens){ &w->in->ff_in, 0, w->step->n, w->own->up }, r0,
               r1, s->y, dim);
    forward_leave(w, &y->ffn_post);
}

/* This worker's rows of n logit rows from prepared tokens. */
static void forward_head(const struct eng_work *w, const struct eng_tokens *x) {
    struct eng_session *s = w->s;
    const struct model_math *math = &s->m->math;
    int64_t vocab = s->m->config.vocab, r0, r1;
    eng_split(w, vocab, 64, &r0, &r1);
    eng_linear(s, &s->m->head, x, r0, r1, s->logits, vocab);
    for (int t = 0; t < x->n; t++) {
        float *y = s->logits + t * vocab;
        if (math->logit_scale != 1) s->ops.scale(y + r0, math->logit_scale, r1 - r0);
        for (int64_t r = r0; math->final_softcap > 0 && r < r1; r++)
            y[r] = math->final_softcap * tanhf(y[r] / math->final_softcap);
    }
}

/* The last token's logits: every worker finishes that token for itself. */
static void forward_last(struct eng_work *w) {
    struct eng_session *s = w->s;
    int64_t dim = s->m->config.dim;
    int t = w->step->n - 1;
    float *x = w->own->one.x;
    if (!w->decode) memcpy(x, s->many.x + t * dim, (size_t)dim * sizeof *x);
    forward_add(w, t, x);
    forward_put_normed(w, &s->m->final_norm, s->head_forms, x, &w->own->one.dim_in, 0);
    forward_head(w, &(struct eng_tokens){ &w->own->one.dim_in, 0, 1, w->own->up });
}

static struct eng_work forward_work(const struct eng_step *step, int part, int n_parts) {
    struct eng_session *s = step->s;
    struct eng_work w = {
        .step = step, .s = s, .own = &s->workers[part], .part = part, .n_parts = n_parts
    };
    w.decode = step->n == 1;
    w.in = w.decode ? &w.own->one : &s->many;
    w.t0 = w.decode ? 0 : (int)((int64_t)step->n * part / n_parts);
    w.t1 = w.decode ? 1 : (int)((int64_t)step->n * (part + 1) / n_parts);
    return w;
}

static void forward_run(void *ctx, int part, int n_parts) {
    const struct eng_step *step = ctx;
    struct eng_work w = forward_work(step, part, n_parts);
    forward_embed(&w);
    for (int i = 0; i < w.s->m->config.n_layers; i++) forward_layer(&w, i);
    if (step->head == ENG_HEAD_LAST) forward_last(&w);
    if (step->head == ENG_HEAD_ALL) forward_prepare(&w, &w.s->m->final_norm, w.s->head_forms);
}

MLXK_FN void eng_forward(const struct eng_step *step) {
    os_team_run(step->s->team, forward_run, (void *)(uintptr_t)step);
}

struct forward_rows { const struct eng_step *step; int t0, n; };

static void forward_run_head(void *ctx, int part, int n_parts) {
    const struct forward_rows *rows = ctx;
    struct eng_work w = forward_work(rows->step, part, n_parts);
    forward_head(&w, &(struct eng_tokens){ &w.in->dim_in, rows->t0, rows->n, w.own->up });
}

MLXK_FN void eng_head_rows(const struct eng_step *step, int t0, int n) {
    struct forward_rows rows = { step, t0, n };
    os_team_run(step->s->team, forward_run_head, &rows);
}
