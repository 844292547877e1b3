/* model_quant.c: which modules are quantised and how (mlx-lm's loader rules, engine facts 1.3).
 *
 *  1. A module named in the dict follows its entry: an object gives the parameters (without "mode"
 *     they are affine, whatever the top level says), false means float.
 *  2. Any other module is quantised exactly when "<path>.scales" exists, with the dict's own
 *     parameters.
 *  3. Only parameters that the formats allow come out of here: affine 2 3 4 5 6 8 bits with groups
 *     of 32 64 128, mxfp4, mxfp8 and nvfp4 with their fixed ones.
 * Foreign methods ("quant_method": awq, gptq, ...) are refused by name.
 */
#include "model/model_int.h"

static bool quant_params(const struct json *dict, const char *where_cstr, struct model_quant *out,
                         struct err *e) {
    static const struct { const char *mode_cstr; struct model_quant q; } modes[] = {
        { "affine", { K_AFFINE, 4, 64 } }, { "mxfp4", { K_MXFP4, 4, 32 } },
        { "mxfp8", { K_MXFP8, 8, 32 } }, { "nvfp4", { K_NVFP4, 4, 16 } },
    };
    struct str mode = STR("affine");
    if (!json_read_str(dict, "mode", &mode, e)) return err_context(e, "%s: ", where_cstr);
    size_t i = 0;
    while (i < MLXK_COUNT(modes) && !str_eq_cstr(mode, modes[i].mode_cstr)) i++;
    if (i == MLXK_COUNT(modes)) {
        err_set(e, ERR_UNSUPPORTED, "%s: quantisation mode \"" STR_FMT "\" is not supported",
                where_cstr, STR_ARG(str_sub(mode, 0, 64)));
        return err_hint(e, "supported: affine mxfp4 mxfp8 nvfp4");
    }
    int64_t bits = modes[i].q.bits, group = modes[i].q.group;
    if (!json_read_i64(dict, "bits", 1, 32, &bits, e)
        || !json_read_i64(dict, "group_size", 1, 65536, &group, e))
        return err_context(e, "%s: ", where_cstr);
    bool fits = bits == modes[i].q.bits && group == modes[i].q.group;
    if (modes[i].q.format == K_AFFINE)
        fits = bits >= 2 && bits <= 8 && bits != 7 && (group == 32 || group == 64 || group == 128);
    if (!fits) {
        err_set(e, ERR_UNSUPPORTED, "%s: %s with %d bits in groups of %d is not supported",
                where_cstr, modes[i].mode_cstr, (int)bits, (int)group);
        return err_hint(e, "affine knows 2 3 4 5 6 8 bits in groups of 32 64 128; mxfp4 4/32, "
                           "mxfp8 8/32, nvfp4 4/16");
    }
    *out = (struct model_quant){ modes[i].q.format, (int)bits, (int)group };
    return true;
}

MLXK_FN bool model_quant_read(const struct json *config, struct model_quant_rules *out,
                              struct err *e) {
    *out = (struct model_quant_rules){ .present = false };
    const struct json *dict = json_get(config, "quantization");
    if (!dict || dict->kind == JSON_NULL) dict = json_get(config, "quantization_config");
    if (!dict || dict->kind == JSON_NULL) return true;
    if (dict->kind != JSON_OBJECT)
        return err_set(e, ERR_FORMAT, "config.json: \"quantization\" is no object");
    struct str method = STR_EMPTY;
    if (!json_read_str(dict, "quant_method", &method, e))
        return err_context(e, "config.json: quantization: ");
    if (method.n) {
        err_set(e, ERR_UNSUPPORTED, "quantisation method \"" STR_FMT "\" is not supported",
                STR_ARG(str_sub(method, 0, 64)));
        return err_hint(e, "use a conversion of this model in MLX format");
    }
    out->present = true;
    out->overrides = dict;
    return quant_params(dict, "config.json: quantization", &out->base, e);
}

MLXK_FN bool model_quant_of(const struct model_quant_rules *r, const char *path_cstr,
                            bool has_scales, struct model_quant *out, struct err *e) {
    *out = (struct model_quant){ .format = K_F32 };
    if (!r->present) {
        if (!has_scales) return true;
        return err_set(e, ERR_FORMAT, "%s is quantised but config.json has no \"quantization\"",
                       path_cstr);
    }
    const struct json *own = json_get(r->overrides, path_cstr);
    if (json_is(own, JSON_OBJECT)) return quant_params(own, path_cstr, out, e);
    bool quantised = json_is(own, JSON_BOOL) ? own->boolean : has_scales;
    if (quantised) *out = r->base;
    return true;
}

MLXK_FN struct str model_quant_text(struct arena *a, const struct model_quant *q,
                                    enum k_format plain) {
    switch (q->format) {
    case K_AFFINE: return str_format(a, "%d-bit g%d", q->bits, q->group);
    case K_MXFP4: return STR("mxfp4");
    case K_MXFP8: return STR("mxfp8");
    case K_NVFP4: return STR("nvfp4");
    case K_F32: case K_F16: case K_BF16: break;
    }
    return plain == K_F16 ? STR("f16") : plain == K_BF16 ? STR("bf16") : STR("f32");
}
