/* model_config.c: config.json and generation_config.json -> model_config, bounded and checked.
 *
 * Reads the keys that families share; what only one family knows is in its arch_*.c. Does not look
 * at tensors.
 *  1. Every number that drives an allocation or an index is within its MODEL_MAX_ bound afterwards.
 *  2. dim_head is even and at most 512 (what kernels accept), n_heads is a multiple of n_kv_heads.
 *  3. A config that names custom code (model_file) is refused: this program runs no code of a
 *     model.
 */
#include "model/model_int.h"

enum { CONFIG_MAX_DIM_HEAD = 512 };

MLXK_FN bool model_read_float(const struct json *config, const char *key_cstr, double min,
                              double max, float *out, struct err *e) {
    double x = (double)*out;
    if (!json_read_f64(config, key_cstr, &x, e)) return false;
    if (!(x >= min && x <= max))
        return err_set(e, ERR_FORMAT, "config.json: \"%s\" is %g, allowed are %g to %g", key_cstr,
                       x, min, max);
    *out = (float)x;
    return true;
}

/* A required or defaulted count; default_value 0 = required. */
static bool config_count(const struct json *config, const char *key_cstr, int max,
                         int default_value, int *out, struct err *e) {
    int64_t x = default_value;
    const struct json *v = json_get(config, key_cstr);
    if (default_value <= 0 && (!v || v->kind == JSON_NULL))
        return err_set(e, ERR_FORMAT, "config.json: \"%s\" is missing", key_cstr);
    if (!json_read_i64(config, key_cstr, 1, max, &x, e)) return false;
    *out = (int)x;
    return true;
}

static bool config_shape(struct model *m, const struct json *config, struct err *e) {
    struct model_config *c = &m->config;
    const struct arch *a = m->arch;
    if (!config_count(config, "num_hidden_layers", MODEL_MAX_LAYERS, 0, &c->n_layers, e)
        || !config_count(config, "hidden_size", MODEL_MAX_DIM, 0, &c->dim, e)
        || !config_count(config, "intermediate_size", MODEL_MAX_DIM, 0, &c->dim_ff, e)
        || !config_count(config, "num_attention_heads", MODEL_MAX_HEADS, a->n_heads, &c->n_heads, e)
        || !config_count(config, "num_key_value_heads", MODEL_MAX_HEADS,
                         a->n_kv_heads ? a->n_kv_heads : c->n_heads, &c->n_kv_heads, e)
        || !config_count(config, "vocab_size", MODEL_MAX_VOCAB, a->vocab, &c->vocab, e))
        return false;
    c->context = a->context;
    if (c->n_heads % c->n_kv_heads != 0)
        return err_set(e, ERR_FORMAT,
                       "config.json: %d attention heads do not divide among %d key/value heads",
                       c->n_heads, c->n_kv_heads);
    const struct json *head_dim = json_get(config, "head_dim");
    int dim_head = a->dim_head;
    if (!dim_head && (!head_dim || head_dim->kind == JSON_NULL)) {
        dim_head = c->dim / c->n_heads;
        if (dim_head == 0 || c->dim % c->n_heads != 0)
            return err_set(e, ERR_FORMAT,
                           "config.json: hidden_size %d does not divide among %d attention heads",
                           c->dim, c->n_heads);
    }
    if (!config_count(config, "head_dim", CONFIG_MAX_DIM_HEAD, dim_head, &c->dim_head, e))
        return false;
    if (c->dim_head < 2 || c->dim_head > CONFIG_MAX_DIM_HEAD || c->dim_head % 2 != 0)
        return err_set(e, ERR_FORMAT,
                       "config.json: a head has %d dims, allowed are even numbers from 2 to %d",
                       c->dim_head, CONFIG_MAX_DIM_HEAD);
    return json_read_i64(config, "max_position_embeddings", 1, MODEL_MAX_CONTEXT, &c->context, e);
}

/* eos_token_id: a number or a list; numbers outside the vocabulary can never be sampled and are
 * left out. */
static bool config_eos(struct model_config *c, const struct json *owner, struct err *e) {
    const struct json *v = json_get(owner, "eos_token_id");
    if (!v || v->kind == JSON_NULL) return true;
    c->n_eos = 0;
    const struct json *item = v->kind == JSON_ARRAY ? v->child : v;
    for (; item; item = v->kind == JSON_ARRAY ? item->next : NULL) {
        if (item->kind != JSON_INT)
            return err_set(e, ERR_FORMAT, "config.json: \"eos_token_id\" holds no integer");
        if (item->integer < 0 || item->integer >= c->vocab) continue;
        if (c->n_eos == MODEL_MAX_EOS)
            return err_set(e, ERR_LIMIT, "config.json: more than %d end-of-sequence tokens",
                           (int)MODEL_MAX_EOS);
        c->eos[c->n_eos++] = (int32_t)item->integer;
    }
    return true;
}

static bool config_flags(struct model_loader *l, struct err *e) {
    struct model_config *c = &l->m->config;
    const struct json *config = l->text;
    if (!json_read_bool(config, "attention_bias", &c->attention_bias, e) ||
        !json_read_bool(config, "mlp_bias", &c->mlp_bias, e))
        return false;
    c->output_bias = c->attention_bias;
    c->tied = true;  /* mlx-lm's default; the loader looks at the tensors when nothing is stated */
    if (!json_read_bool(config, "tie_word_embeddings", &c->tied, e)) return false;
    const struct json *bos = json_get(config, "bos_token_id");
    c->bos = json_is(bos, JSON_INT) && bos->integer >= 0 && bos->integer < c->vocab
                 ? (int32_t)bos->integer
                 : -1;
    return config_eos(c, config, e) && config_eos(c, l->config, e); /* a wrapper's own list wins */
}

static bool config_unknown(struct str type, struct err *e) {
    char list[LIMIT_ERR_HINT];
    size_t n = 0;
    for (int i = 0; model_type_name(i); i++) {
        size_t add = strlen(model_type_name(i));
        if (n + add + 2 >= sizeof list) break;
        if (n) list[n++] = ' ';
        memcpy(list + n, model_type_name(i), add);
        n += add;
    }
    list[n] = 0;
    err_set(e, ERR_UNSUPPORTED, "model type \"" STR_FMT "\" is not supported",
            STR_ARG(str_sub(type, 0, 64)));
    return err_hint(e, "supported: %s", list);
}

/* A wrapper's text model: its own family, below text_config. */
static bool config_unwrap(struct model_loader *l, struct err *e) {
    struct str type = STR_EMPTY;
    const char *wraps = l->m->arch->wraps_cstr;
    l->text = json_get(l->config, "text_config");
    l->prefix_cstr = "language_model.";
    if (!json_is(l->text, JSON_OBJECT))
        return err_set(e, ERR_FORMAT, "config.json: \"text_config\" is no object");
    if (!json_read_str(l->text, "model_type", &type, e)) return false;
    l->m->arch = arch_find(type);
    if (!l->m->arch || l->m->arch->wraps_cstr) l->m->arch = arch_find(str_cstr(wraps));
    return true;
}

static bool config_names(struct model_loader *l, struct err *e) {
    struct model *m = l->m;
    const struct json *config = l->config, *file = json_get(config, "model_file");
    struct str type = STR_EMPTY;
    if (file && file->kind != JSON_NULL) {
        err_set(e, ERR_UNSUPPORTED,
                "config.json: the model brings code of its own (\"model_file\")");
        return err_hint(
            e, "code from model repositories is never run; use a model of a supported type");
    }
    if (!json_read_str(config, "model_type", &type, e)) return false;
    if (type.n == 0) return err_set(e, ERR_FORMAT, "config.json: \"model_type\" is missing");
    m->arch = arch_find(type);
    if (!m->arch) return config_unknown(type, e);
    const struct json *architecture = json_at(json_get(config, "architectures"), 0);
    m->config.model_type = str_dup(&m->arena, type);
    if (json_is(architecture, JSON_STRING))
        m->config.architecture = str_dup(&m->arena, architecture->string);
    if (!m->config.model_type.p) return err_oom(e, type.n, "the model's type");
    l->text = config;
    l->prefix_cstr = "";
    return !m->arch->wraps_cstr || config_unwrap(l, e);
}

static bool config_rope(struct model *m, const struct json *config, struct err *e) {
    struct model_rope_source from = {
        .config = config, .params = model_rope_params(config, NULL),
        .theta = m->arch->rope_theta > 0 ? (double)m->arch->rope_theta : 10000,
        .partial = m->arch->partial_rotary > 0 ? (double)m->arch->partial_rotary : 1,
        .traditional = m->arch->traditional,
    };
    if (!json_read_f64(config, "rope_theta", &from.theta, e) ||
        !json_read_f64(config, "partial_rotary_factor", &from.partial, e) ||
        !json_read_f64(from.params, "partial_rotary_factor", &from.partial, e) ||
        !json_read_bool(config, "rope_traditional", &from.traditional, e))
        return false;
    m->n_ropes = 1;
    return model_rope_read(m, &from, &m->ropes[0], e);
}

MLXK_FN bool model_read_layer_types(struct model *m, const struct json *config, struct err *e) {
    const struct json *types = json_get(config, "layer_types");
    if (!types || types->kind == JSON_NULL) return true;
    if (types->kind != JSON_ARRAY || types->n != (size_t)m->config.n_layers)
        return err_set(e, ERR_FORMAT, "config.json: \"layer_types\" is no list of %d entries",
                       m->config.n_layers);
    int64_t window = 0;
    if (!json_read_i64(config, "sliding_window", 1, MODEL_MAX_CONTEXT, &window, e)) return false;
    const struct json *type = types->child;
    for (int i = 0; i < m->config.n_layers; i++, type = type->next) {
        bool sliding = type->kind == JSON_STRING && str_eq(type->string, STR("sliding_attention"));
        if (!sliding && !(type->kind == JSON_STRING && str_eq(type->string, STR("full_attention"))))
            return err_set(e, ERR_UNSUPPORTED,
                           "config.json: layer %d has an attention type that is not supported", i);
        if (sliding && window == 0)
            return err_set(e, ERR_FORMAT,
                           "config.json: layer %d slides but \"sliding_window\" is missing", i);
        m->layers[i].window = sliding ? (int)window : 0;
    }
    return true;
}

MLXK_FN bool model_config_read(struct model_loader *l, struct err *e) {
    if (!json_is(l->config, JSON_OBJECT))
        return err_set(e, ERR_FORMAT, "config.json holds no object");
    struct model *m = l->m;
    struct model_config *c = &m->config;
    c->bos = -1;
    c->temperature = c->top_p = c->min_p = c->repetition_penalty = (double)NAN;
    c->top_k = -1;
    c->norm_eps = 1e-6f;
    if (!config_names(l, e) || !config_shape(m, l->text, e) || !config_flags(l, e)) return false;
    const char *eps_key = m->arch->eps_key_cstr ? m->arch->eps_key_cstr : "rms_norm_eps";
    if (!model_read_float(l->text, eps_key, 0, 1, &c->norm_eps, e)) return false;
    m->math = (struct model_math){
        .embed_scale = 1, .residual_scale = 1, .logit_scale = 1, .query_period = 1,
        .attn_scale = (float)(1 / sqrt((double)c->dim_head)),
    };
    m->layers = ARENA_ARRAY(&m->arena, struct model_layer, (size_t)c->n_layers);
    if (!m->layers) return err_oom(e, (size_t)c->n_layers * sizeof *m->layers, "the layers");
    if (!config_rope(m, l->text, e)) return false;
    for (int i = 0; i < c->n_layers; i++) m->layers[i].rope = &m->ropes[0];
    return !m->arch->configure || m->arch->configure(m, l->text, e);
}

/* ---- generation_config.json ------------------------------------------------------------------ */

static void config_default(const struct json *g, const char *key_cstr, double *out) {
    const struct json *v = json_get(g, key_cstr);
    if ((json_is(v, JSON_INT) || json_is(v, JSON_FLOAT)) && isfinite(v->number)) *out = v->number;
}

MLXK_FN bool model_generation_read(struct model *m, const struct json *generation, struct err *e) {
    struct model_config *c = &m->config;
    config_default(generation, "temperature", &c->temperature);
    config_default(generation, "top_p", &c->top_p);
    config_default(generation, "min_p", &c->min_p);
    config_default(generation, "repetition_penalty", &c->repetition_penalty);
    const struct json *top_k = json_get(generation, "top_k");
    if (json_is(top_k, JSON_INT) && top_k->integer >= 0) c->top_k = top_k->integer;
    return config_eos(c, generation, e);
}
