/* model_open.c: a directory -> struct model; the one path behind running a model and asking whether
 * it would run.
 *
 *  1. model_check does what model_open does up to the tensors' headers: both call open_load, which
 *     reads the config, finds the shards and binds every tensor the architecture names.
 *  2. generation_config.json is advice: when it is absent or malformed the model still opens (a
 *     warning is logged).
 */
#include "model/model_int.h"

#define OPEN_MAX_ARENA ((size_t)2 << 30)    /* headers of 100 MB, widened vectors, and room */
enum { OPEN_MAX_PATH = 128 };               /* tensor paths are ours and short */

/* ---- parts of a layer ------------------------------------------------------------------------ */

struct open_layer {
    struct model_loader *l;
    char begin[OPEN_MAX_PATH];       /* of its tensors' paths: "model.layers.3." */
    struct err *e;
};

static void open_path(char out[OPEN_MAX_PATH], const struct model_loader *l,
                      const char *path_cstr) {
    model_join_name(out, OPEN_MAX_PATH, l->prefix_cstr, path_cstr);
}

static void open_layer_path(char out[OPEN_MAX_PATH], const struct open_layer *o,
                            const char *name_cstr) {
    model_join_name(out, OPEN_MAX_PATH, o->begin, name_cstr);
}

static bool open_norm(struct model_loader *l, const char *path_cstr, int64_t n,
                      struct model_norm *out, struct err *e) {
    char name[OPEN_MAX_PATH + 16];
    model_join_name(name, sizeof name, path_cstr, ".weight");
    if (!model_load_vector(l, name, n, &out->w, e)) return false;
    model_join_name(name, sizeof name, path_cstr, ".bias");
    return !l->m->math.norm_bias || model_load_vector(l, name, n, &out->b, e);
}

static bool open_layer_norm(const struct open_layer *o, const char *name_cstr, int64_t n,
                            struct model_norm *out) {
    char path[OPEN_MAX_PATH];
    if (!name_cstr) return true;
    open_layer_path(path, o, name_cstr);
    return open_norm(o->l, path, n, out, o->e);
}

static bool open_layer_linear(const struct open_layer *o, const char *name_cstr, int64_t rows,
                              int64_t cols, bool bias, struct model_linear *out) {
    char path[OPEN_MAX_PATH];
    if (!name_cstr) return true;
    open_layer_path(path, o, name_cstr);
    return model_load_linear(o->l, path, rows, cols, bias, out, o->e);
}

static bool open_attention(const struct open_layer *o, struct model_layer *y) {
    const struct model_config *c = &o->l->m->config;
    const struct arch_names *names = &o->l->m->arch->names;
    int64_t q = (int64_t)c->n_heads * c->dim_head, kv = (int64_t)c->n_kv_heads * c->dim_head;
    bool full = o->l->m->math.qk_norm_full, bias = c->attention_bias;
    struct model_linear fused;
    if (names->qkv) {
        if (!open_layer_linear(o, names->qkv, q + 2 * kv, c->dim, bias, &fused)) return false;
        y->q = model_linear_rows(&fused, 0, q);
        y->k = model_linear_rows(&fused, q, kv);
        y->v = model_linear_rows(&fused, q + kv, kv);
    }
    return open_layer_linear(o, names->q, q, c->dim, bias, &y->q) &&
           open_layer_linear(o, names->k, kv, c->dim, bias, &y->k) &&
           open_layer_linear(o, names->v, kv, c->dim, bias, &y->v) &&
           open_layer_linear(o, names->o, c->dim, q, c->output_bias, &y->o) &&
           open_layer_norm(o, names->q_norm, full ? q : c->dim_head, &y->q_norm) &&
           open_layer_norm(o, names->k_norm, full ? kv : c->dim_head, &y->k_norm);
}

static bool open_mlp(const struct open_layer *o, struct model_layer *y) {
    const struct model_config *c = &o->l->m->config;
    const struct arch_names *names = &o->l->m->arch->names;
    struct model_linear fused;
    if (names->gate_up) {
        if (!open_layer_linear(o, names->gate_up, 2 * (int64_t)c->dim_ff, c->dim, c->mlp_bias,
                               &fused))
            return false;
        y->gate = model_linear_rows(&fused, 0, c->dim_ff);
        y->up = model_linear_rows(&fused, c->dim_ff, c->dim_ff);
    }
    return open_layer_linear(o, names->gate, c->dim_ff, c->dim, c->mlp_bias, &y->gate) &&
           open_layer_linear(o, names->up, c->dim_ff, c->dim, c->mlp_bias, &y->up) &&
           open_layer_linear(o, names->down, c->dim, c->dim_ff, c->mlp_bias, &y->down);
}

static bool open_one_layer(struct model_loader *l, int i, struct err *e) {
    const struct arch_names *names = &l->m->arch->names;
    struct model_layer *y = &l->m->layers[i];
    struct open_layer o = { .l = l, .e = e };
    int64_t dim = l->m->config.dim;
    snprintf(o.begin, sizeof o.begin, "%smodel.layers.%d.", l->prefix_cstr, i);
    return open_layer_norm(&o, names->attn_norm, dim, &y->attn_norm) &&
           open_layer_norm(&o, names->ffn_norm, dim, &y->ffn_norm) &&
           open_layer_norm(&o, names->attn_post, dim, &y->attn_post) &&
           open_layer_norm(&o, names->ffn_post, dim, &y->ffn_post) &&
           open_attention(&o, y) && open_mlp(&o, y);
}

/* ---- the whole model ------------------------------------------------------------------------- */

/* Whether the head is the embedding: as the family does it, as stated, else as the tensors show. */
static void open_decide_tied(struct model_loader *l) {
    struct model_config *c = &l->m->config;
    char path[OPEN_MAX_PATH];
    open_path(path, l, "lm_head.weight");
    if (l->m->arch->always_tied) c->tied = true;
    else if (l->m->arch->tied_by_tensor
             || !json_is(json_get(l->text, "tie_word_embeddings"), JSON_BOOL))
        c->tied = !model_has(l, path);
}

static bool open_tensors(struct model_loader *l, struct err *e) {
    struct model *m = l->m;
    const struct model_config *c = &m->config;
    char embed[OPEN_MAX_PATH], norm[OPEN_MAX_PATH], head[OPEN_MAX_PATH];
    if (!model_quant_read(l->config, &l->rules, e) || !model_loader_open(l, e)) return false;
    open_decide_tied(l);
    open_path(embed, l, "model.embed_tokens");
    open_path(norm, l, "model.norm");
    open_path(head, l, "lm_head");
    if (!model_load_matrix(l, embed, c->vocab, c->dim, &m->embed, e) ||
        !open_norm(l, norm, c->dim, &m->final_norm, e))
        return false;
    if (c->tied) m->head.w = m->embed;
    else if (!model_load_linear(l, head, c->vocab, c->dim, false, &m->head, e)) return false;
    for (int i = 0; i < c->n_layers; i++)
        if (!open_one_layer(l, i, e)) return false;
    m->quantization = model_quant_text(&m->arena, &l->rules.base, m->embed.format);
    return m->quantization.p ? true : err_oom(e, 32, "a description");
}

static bool open_load(struct model *m, const char *dir_cstr, const struct json *config, bool mapped,
                      struct err *e) {
    struct model_loader l = { .m = m, .dir_cstr = dir_cstr, .mapped = mapped, .config = config };
    bool read = model_config_read(&l, e), ok = read && open_tensors(&l, e);
    if (!read && !str_starts(str_cstr(e->msg), STR("config.json"))) err_context(e, "config.json: ");
    model_loader_release(&l);
    return ok;
}

static bool open_json(struct arena *a, const char *dir_cstr, const char *file_cstr,
                      struct json **out, struct err *e) {
    char *path = os_path_join(a, dir_cstr, file_cstr);
    struct str text;
    if (!path) return err_oom(e, LIMIT_PATH, "a path");
    if (!os_read_file(a, path, LIMIT_JSON_DOC, &text, e)) return false;
    *out = json_parse(a, text, e);
    return *out ? true : err_context(e, "%s: ", file_cstr);
}

static void open_generation(struct model *m, const char *dir_cstr) {
    struct err e = { .code = ERR_OK };
    struct json *generation;
    if (open_json(&m->arena, dir_cstr, "generation_config.json", &generation, &e) &&
        model_generation_read(m, generation, &e))
        return;
    if (e.code != ERR_NOT_FOUND)
        log_write(LOG_WARN, "generation_config.json is left out: %s", e.msg);
}

MLXK_FN struct model *model_open(const char *dir_cstr, struct err *e) {
    struct arena a;
    arena_init(&a, OPEN_MAX_ARENA);
    struct model *m = ARENA_NEW(&a, struct model);
    if (!m) {
        err_oom(e, sizeof *m, "a model");
        arena_release(&a);
        return NULL;
    }
    m->arena = a;                    /* from here on the model owns the region it lies in */
    struct json *config;
    if (open_json(&m->arena, dir_cstr, "config.json", &config, e)
        && open_load(m, dir_cstr, config, true, e)) {
        open_generation(m, dir_cstr);
        return m;
    }
    model_close(m);
    return NULL;
}

MLXK_FN void model_close(struct model *m) {
    if (!m) return;
    for (size_t i = 0; i < m->n_maps; i++) os_unmap(&m->maps[i]);
    struct arena a = m->arena;
    arena_release(&a);
}

MLXK_FN bool model_check(struct arena *a, const char *dir_cstr, const struct json *config,
                         struct err *e) {
    struct arena_mark mark = arena_mark(a);
    struct model m = { .arena = *a };        /* lent: thousands of models are checked in a row */
    bool ok = open_load(&m, dir_cstr, config, false, e);
    *a = m.arena;
    arena_rewind(a, mark);
    return ok;
}

#undef OPEN_MAX_ARENA
