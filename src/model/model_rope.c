/* model_rope.c: the wavelength tables of rotary position encodings.
 *
 * The angle of pair j at position p is p / f_j with f_j = theta^(2j/n_rot), changed by the rope
 * type (engine facts 2.4). Tables are f64: the engine makes sines of p / f_j once per position.
 *  1. Every wavelength is finite and positive, or the model is refused.
 *  2. yarn rounds its correction range unless the dict says truncate:false, as the models were
 *     trained.
 */
#include "model/model_int.h"

#define ROPE_PI 3.14159265358979323846

MLXK_FN const struct json *model_rope_params(const struct json *config,
                                             const char *layer_type_cstr) {
    const struct json *v = json_get(config, "rope_parameters");
    if (!json_is(v, JSON_OBJECT)) v = json_get(config, "rope_scaling");
    if (!json_is(v, JSON_OBJECT)) return NULL;
    const struct json *part = json_get(v, layer_type_cstr ? layer_type_cstr : "full_attention");
    return json_is(part, JSON_OBJECT) ? part : v;
}

/* A number of the dict that must be finite and at least min; absent keeps the default. */
static bool rope_number(const struct json *params, const char *key_cstr, double min, double *out,
                        struct err *e) {
    if (!json_read_f64(params, key_cstr, out, e)) return false;
    if (*out >= min && *out <= 1e15) return true;
    return err_set(e, ERR_FORMAT, "config.json: rope \"%s\" is %g, allowed are %g to 1e15",
                   key_cstr, *out, min);
}

/* As rope_number, and the key must be there. */
static bool rope_required(const struct json *params, const char *key_cstr, double min, double *out,
                          struct err *e) {
    const struct json *v = json_get(params, key_cstr);
    if (!v || v->kind == JSON_NULL)
        return err_set(e, ERR_FORMAT, "config.json: rope \"%s\" is missing", key_cstr);
    return rope_number(params, key_cstr, min, out, e);
}

static bool rope_kind(const struct json *params, enum model_rope_kind *out, struct err *e) {
    struct str type = STR_EMPTY;
    if (!json_read_str(params, "rope_type", &type, e)) return false;
    if (type.n == 0 && !json_read_str(params, "type", &type, e)) return false;
    static const struct { const char *name_cstr; enum model_rope_kind kind;
    } kinds[] = {
        { "default", MODEL_ROPE_PLAIN },     { "mrope", MODEL_ROPE_PLAIN },
        { "linear", MODEL_ROPE_LINEAR },     { "dynamic", MODEL_ROPE_DYNAMIC },
        { "llama3", MODEL_ROPE_LLAMA3 },     { "yarn", MODEL_ROPE_YARN },
        { "longrope", MODEL_ROPE_LONGROPE }, { "su", MODEL_ROPE_LONGROPE },
    };
    *out = MODEL_ROPE_PLAIN;
    if (type.n == 0) return true;
    for (size_t i = 0; i < MLXK_COUNT(kinds); i++) {
        if (!str_eq_cstr(type, kinds[i].name_cstr)) continue;
        *out = kinds[i].kind;
        return true;
    }
    err_set(e, ERR_UNSUPPORTED, "rope type \"" STR_FMT "\" is not supported",
            STR_ARG(str_sub(type, 0, 64)));
    return err_hint(e, "supported: default linear dynamic llama3 yarn longrope");
}

static bool rope_linear(const struct json *params, struct model_rope *r, struct err *e) {
    double factor = 1;
    if (!rope_required(params, "factor", 1e-6, &factor, e)) return false;
    for (int j = 0; j < r->n_rot / 2; j++) r->wavelengths[j] *= factor;
    return true;
}

static bool rope_llama3(const struct json *params, struct model_rope *r, struct err *e) {
    double factor = 1, low = 1, high = 4, original = 8192;
    if (!rope_required(params, "factor", 1, &factor, e)
        || !rope_number(params, "low_freq_factor", 1e-6, &low, e)
        || !rope_number(params, "high_freq_factor", 1e-6, &high, e)
        || !rope_number(params, "original_max_position_embeddings", 1, &original, e))
        return false;
    if (high <= low)
        return err_set(e, ERR_FORMAT, "config.json: rope high_freq_factor %g is not above %g", high,
                       low);
    for (int j = 0; j < r->n_rot / 2; j++) {
        double f = r->wavelengths[j], wave = 2 * ROPE_PI * f;
        if (wave > original / low) r->wavelengths[j] = f * factor;
        else if (wave >= original / high) {
            double smooth = (original / wave - low) / (high - low);
            r->wavelengths[j] = f / ((1 - smooth) / factor + smooth);
        }
    }
    return true;
}

static double rope_yarn_scale(double factor, double k) {
    return factor <= 1 ? 1 : 0.1 * k * log(factor) + 1;
}

static bool rope_yarn(const struct json *params, double theta, struct model_rope *r,
                      struct err *e) {
    double factor = 1, original = 4096, fast = 32, slow = 1, mscale = 1, mscale_all = 0;
    bool truncate = true;
    if (!rope_required(params, "factor", 1e-6, &factor, e)
        || !rope_number(params, "beta_fast", 1e-6, &fast, e)
        || !rope_number(params, "original_max_position_embeddings", 1, &original, e)
        || !rope_number(params, "beta_slow", 1e-6, &slow, e)
        || !rope_number(params, "mscale", 0, &mscale, e)
        || !rope_number(params, "mscale_all_dim", 0, &mscale_all, e)
        || !json_read_bool(params, "truncate", &truncate, e))
        return false;
    double n = r->n_rot, ln2 = 2 * log(theta);
    double low = n * log(original / (fast * 2 * ROPE_PI)) / ln2,
           high = n * log(original / (slow * 2 * ROPE_PI)) / ln2;
    if (truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, n - 1);
    if (high == low) high += 0.001;
    for (int j = 0; j < r->n_rot / 2; j++) {
        double f = r->wavelengths[j], mask = 1 - fmin(fmax((j - low) / (high - low), 0), 1);
        r->wavelengths[j] = factor * f * f / (factor * f * mask + f * (1 - mask));
    }
    double attention = rope_yarn_scale(factor, mscale) / rope_yarn_scale(factor, mscale_all);
    if (!rope_number(params, "attention_factor", 0, &attention, e)) return false;
    r->attention_factor = (float)attention;
    return true;
}

/* One factor per pair: out[j] = base[j] * factors[j]. */
static bool rope_factors(const struct json *params, const char *key_cstr, const double *base, int n,
                         double *out, struct err *e) {
    const struct json *list = json_get(params, key_cstr);
    if (!json_is(list, JSON_ARRAY) || list->n != (size_t)n)
        return err_set(e, ERR_FORMAT, "config.json: rope \"%s\" is no list of %d numbers", key_cstr,
                       n);
    const struct json *v = list->child;
    for (int j = 0; j < n; j++, v = v->next) {
        if (v->kind != JSON_INT && v->kind != JSON_FLOAT)
            return err_set(e, ERR_FORMAT, "config.json: rope \"%s\" entry %d is no number",
                           key_cstr, j);
        out[j] = base[j] * v->number;
    }
    return true;
}

static bool rope_longrope(struct model *m, const struct model_rope_source *from,
                          struct model_rope *r, struct err *e) {
    int n = r->n_rot / 2;
    double original = 4096;
    r->short_wavelengths = ARENA_ARRAY(&m->arena, double, (size_t)n);
    if (!r->short_wavelengths) return err_oom(e, (size_t)n * sizeof(double), "a rope table");
    if (!rope_number(from->config, "original_max_position_embeddings", 1, &original, e) ||
        !rope_number(from->params, "original_max_position_embeddings", 1, &original, e) ||
        !rope_factors(from->params, "short_factor", r->wavelengths, n, r->short_wavelengths, e) ||
        !rope_factors(from->params, "long_factor", r->wavelengths, n, r->wavelengths, e))
        return false;
    r->short_limit = (int64_t)original;
    double ratio = (double)m->config.context / original, attention = 1;
    if (ratio > 1 && original > 1) attention = sqrt(1 + log(ratio) / log(original));
    if (!rope_number(from->params, "attention_factor", 0, &attention, e)) return false;
    r->attention_factor = (float)attention;
    return true;
}

static bool rope_finite(const double *f, int n, struct err *e) {
    for (int j = 0; f && j < n; j++)
        if (!(f[j] > 0 && f[j] <= 1e30))
            return err_set(e, ERR_FORMAT, "config.json: rope wavelength %d comes out as %g", j,
                           f[j]);
    return true;
}

MLXK_FN bool model_rope_read(struct model *m, const struct model_rope_source *from,
                             struct model_rope *rope, struct err *e) {
    double theta = from->theta;
    if (!json_read_f64(from->params, "rope_theta", &theta, e)
        || !rope_kind(from->params, &rope->kind, e))
        return false;
    if (!(theta > 1 && theta <= 1e15))
        return err_set(e, ERR_FORMAT,
                       "config.json: \"rope_theta\" is %g, allowed are numbers above 1 up to 1e15",
                       theta);
    if (!(from->partial > 0 && from->partial <= 1))
        return err_set(e, ERR_FORMAT,
                       "config.json: \"partial_rotary_factor\" is %g, allowed are 0 to 1",
                       from->partial);
    rope->n_rot = (int)(m->config.dim_head * from->partial);
    if (rope->n_rot < 2 || rope->n_rot % 2 != 0)
        return err_set(
            e, ERR_FORMAT,
            "config.json: %d of a head's %d dims would be rotated, which is no even number of "
            "them",
            rope->n_rot, m->config.dim_head);
    rope->traditional = from->traditional;
    rope->theta = (float)theta;
    rope->attention_factor = 1;
    int n = rope->n_rot / 2;
    rope->wavelengths = ARENA_ARRAY(&m->arena, double, (size_t)n);
    if (!rope->wavelengths) return err_oom(e, (size_t)n * sizeof(double), "a rope table");
    for (int j = 0; j < n; j++) rope->wavelengths[j] = pow(theta, 2.0 * j / rope->n_rot);
    bool ok = true;
    switch (rope->kind) {
    case MODEL_ROPE_PLAIN: break;
    case MODEL_ROPE_LINEAR: ok = rope_linear(from->params, rope, e); break;
    /* unchanged up to there */
    case MODEL_ROPE_DYNAMIC: rope->max_positions = m->config.context; break;
    case MODEL_ROPE_LLAMA3: ok = rope_llama3(from->params, rope, e); break;
    case MODEL_ROPE_YARN: ok = rope_yarn(from->params, theta, rope, e); break;
    case MODEL_ROPE_LONGROPE: ok = rope_longrope(m, from, rope, e); break;
    }
    return ok && rope_finite(rope->wavelengths, n, e) && rope_finite(rope->short_wavelengths, n, e);
}

#undef ROPE_PI
