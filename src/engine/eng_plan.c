/* eng_plan.c: sizes of a session and the one block of memory its activations live in.
 *
 *  1. The layout is written once (plan_layout) and walked twice: without memory to measure, with it
 *     to assign.
 *  2. Every array begins on its own pair of cache lines, so that workers never write into each
 *     other's.
 *  3. An input has room only for the forms that some matrix of the model wants.
 */
#include "engine/engine_int.h"

enum { PLAN_ALIGN = 128 };

struct plan_carver { uint8_t *base /* NULL = measuring */; size_t used; };

static void *plan_take(struct plan_carver *c, int64_t count, size_t size_bytes) {
    size_t at = c->used;
    c->used += ((size_t)count * size_bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
    return c->base ? c->base + at : NULL;
}

static float *plan_floats(struct plan_carver *c, int64_t count) {
    return plan_take(c, count, sizeof(float));
}

static void plan_quantised(struct plan_carver *c, struct k_input *k, int f, int64_t cols,
                           int64_t n) {
    *k = (struct k_input){ .form = (enum k_form)f, .cols = cols };
    k->q = plan_take(c, n * ((cols + 63) / 64 * 64), 1);
    k->d = plan_floats(c, n * k_form_blocks(k->form, cols));
    k->s = plan_floats(c, n * k_form_blocks(k->form, cols));
}

static void plan_input(struct plan_carver *c, struct eng_input *in, unsigned forms, int64_t cols,
                       int64_t n) {
    *in = (struct eng_input){ .cols = cols };
    for (int f = 0; f < K_FORM_COUNT; f++) {
        if (!(forms >> f & 1)) continue;
        if (f == K_FORM_FLOAT) {
            in->rows = plan_floats(c, n * cols);
            in->form[f] = (struct k_input){
                .form = K_FORM_FLOAT, .cols = cols, .x = in->rows, .x_stride = cols
            };
            continue;
        }
        plan_quantised(c, &in->form[f], f, cols, n);
        if (forms & ENG_FINE) plan_quantised(c, &in->rest[f], f, cols, n);
    }
}

static void plan_space(struct plan_carver *c, const struct eng_session *s, struct eng_space *p,
                       int64_t n) {
    const struct model_config *mc = &s->m->config;
    struct eng_forms all = { .qkv = s->head_forms };
    for (int i = 0; i < mc->n_layers; i++) {
        all.qkv |= s->forms[i].qkv | s->forms[i].gate_up;
        all.o |= s->forms[i].o;
        all.down |= s->forms[i].down;
    }
    p->x = plan_floats(c, n * mc->dim);
    plan_input(c, &p->dim_in, all.qkv, mc->dim, n);
    plan_input(c, &p->att_in, all.o, s->q_dim, n);
    plan_input(c, &p->ff_in, all.down, mc->dim_ff, n);
    for (int r = 0; r < s->m->n_ropes; r++) {
        p->cos[r] = plan_floats(c, n * s->m->ropes[r].n_rot / 2);
        p->sin[r] = plan_floats(c, n * s->m->ropes[r].n_rot / 2);
    }
}

static void plan_partial(struct plan_carver *c, struct eng_partial *p, int64_t rows, int64_t dim) {
    p->m = plan_floats(c, rows);
    p->l = plan_floats(c, rows);
    p->acc = plan_floats(c, rows * dim);
}

static void plan_worker(struct plan_carver *c, const struct eng_session *s, struct eng_worker *w) {
    const struct model_config *mc = &s->m->config;
    int64_t longest = mc->dim;
    if (s->q_dim > longest) longest = s->q_dim;
    if (mc->dim_ff > longest) longest = mc->dim_ff;
    plan_space(c, s, &w->one, 1);
    w->row = plan_floats(c, longest);
    w->gate = plan_floats(c, (int64_t)s->chunk * ENG_TILE);
    w->up = plan_floats(c, (int64_t)s->chunk * ENG_TILE);
    w->q = plan_floats(c, (int64_t)s->group * mc->dim_head);
    w->lo = plan_take(c, s->attend_rows, sizeof *w->lo);
    w->hi = plan_take(c, s->attend_rows, sizeof *w->hi);
    plan_partial(c, &w->sum, s->attend_rows, mc->dim_head);
    plan_partial(c, &w->part, s->attend_rows, mc->dim_head);
}

static void plan_layout(struct plan_carver *c, struct eng_session *s) {
    const struct model_config *mc = &s->m->config;
    for (int i = 0; i < s->n_workers; i++) plan_worker(c, s, &s->workers[i]);
    plan_space(c, s, &s->many, s->chunk);
    s->qkv = plan_floats(c, (int64_t)s->chunk * (s->q_dim + 2 * s->kv_dim));
    s->queries = plan_floats(c, (int64_t)s->chunk * s->q_dim);
    s->y = plan_floats(c, (int64_t)s->chunk * mc->dim);
    s->gate = plan_floats(c, mc->dim_ff);
    s->up = plan_floats(c, mc->dim_ff);
    plan_partial(c, &s->blocks, s->n_blocks * mc->n_heads, mc->dim_head);
    s->logits = plan_floats(c, (int64_t)ENG_HEAD_ROWS * mc->vocab);
}

static unsigned plan_form(const struct eng_session *s, const struct model_linear *l) {
    return 1u << s->ops.input_form(&l->w);
}

MLXK_FN bool eng_plan_sizes(struct eng_session *s, struct err *e) {
    const struct model *m = s->m;
    s->group = m->config.n_heads / m->config.n_kv_heads;
    s->q_dim = m->config.n_heads * m->config.dim_head;
    s->kv_dim = m->config.n_kv_heads * m->config.dim_head;
    s->attend_rows = s->group > ENG_ATTEND_ROWS ? s->group : ENG_ATTEND_ROWS;
    s->workers = ARENA_ARRAY(&s->arena, struct eng_worker, (size_t)s->n_workers);
    s->forms = ARENA_ARRAY(&s->arena, struct eng_forms, (size_t)m->config.n_layers);
    if (!s->workers || !s->forms)
        return err_oom(e, (size_t)s->n_workers * sizeof *s->workers, "a session");
    for (int i = 0; i < m->config.n_layers; i++) {
        const struct model_layer *y = &m->layers[i];
        s->forms[i] = (struct eng_forms){
            .qkv = plan_form(s, &y->q) | plan_form(s, &y->k) | plan_form(s, &y->v),
            .o = plan_form(s, &y->o),
            .gate_up = plan_form(s, &y->gate) | plan_form(s, &y->up),
            .down = plan_form(s, &y->down) | ENG_FINE,
        };
        /* one prepared input serves both */
        if (m->math.parallel) s->forms[i].qkv |= s->forms[i].gate_up;
    }
    s->head_forms = plan_form(s, &m->head) | ENG_FINE;
    return true;
}

MLXK_FN size_t eng_plan_bytes(struct eng_session *s) {
    struct plan_carver c = { .base = NULL };
    plan_layout(&c, s);
    return c.used;
}

MLXK_FN bool eng_plan_open(struct eng_session *s, struct err *e) {
    s->memory_bytes = eng_plan_bytes(s);
    s->memory = os_pages_alloc(s->memory_bytes, e);
    if (!s->memory) return err_context(e, "activations: ");
    struct plan_carver c = { .base = s->memory };
    plan_layout(&c, s);
    return true;
}

MLXK_FN void eng_plan_release(struct eng_session *s) {
    os_pages_free(s->memory, s->memory_bytes);
    arena_release(&s->arena);
}
