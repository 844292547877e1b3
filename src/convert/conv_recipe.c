/* conv_recipe.c: which module gets how many bits: options and recipe lines -> parameters.
 *
 *   PATTERN=BITS[:GROUP[:MODE]]   model.layers.*.mlp.down_proj=6     *.v_proj=8:32
 *   PATTERN=MODE                  *.mlp.*=mxfp4                      its bits and group are fixed
 *   PATTERN=keep                  lm_head=keep                       stays as it is
 *   mixed_2_6 mixed_3_4 mixed_3_6 mixed_4_6                          the reference converter's
 *   recipes
 *
 * A pattern is matched against the whole path of a module (its tensor's name without ".weight"),
 * '*' crosses dots.
 */
#include "convert/conv_job.h"

static const struct {
    const char *name_cstr;
    struct model_quant q;
} conv_recipe_modes[] = {
    { "affine", { K_AFFINE, 4, 64 } },
    { "mxfp4", { K_MXFP4, 4, 32 } },
    { "mxfp8", { K_MXFP8, 8, 32 } },
    { "nvfp4", { K_NVFP4, 4, 16 } },
};

MLXK_FN const char *conv_quant_mode_name(enum k_format format) {
    for (size_t i = 0; i < MLXK_COUNT(conv_recipe_modes); i++)
        if (conv_recipe_modes[i].q.format == format) return conv_recipe_modes[i].name_cstr;
    return "none";
}

MLXK_FN bool conv_quant_mode_parse(struct str name, enum k_format *out) {
    for (size_t i = 0; i < MLXK_COUNT(conv_recipe_modes); i++)
        if (str_eq_cstr(name, conv_recipe_modes[i].name_cstr)) {
            *out = conv_recipe_modes[i].q.format;
            return true;
        }
    return false;
}

MLXK_FN bool conv_quant_complete(struct model_quant *q, struct err *e) {
    size_t i = 0;
    while (conv_recipe_modes[i].q.format != q->format) i++;
    const struct model_quant *own = &conv_recipe_modes[i].q;
    if (q->bits == 0) q->bits = own->bits;
    if (q->group == 0) q->group = own->group;
    bool fits = q->bits == own->bits && q->group == own->group;
    if (q->format == K_AFFINE)
        fits = q->bits >= 2 && q->bits <= 8 && q->bits != 7 &&
               (q->group == 32 || q->group == 64 || q->group == 128);
    if (fits) return true;
    err_set(e, ERR_INVALID, "%d bits in groups of %d do not exist in mode %s", q->bits, q->group,
            conv_recipe_modes[i].name_cstr);
    return err_hint(e, "affine: 2 3 4 5 6 8 bits in groups of 32 64 128; mxfp4: 4 bits in 32; "
                       "mxfp8: 8 in 32; nvfp4: 4 in 16");
}

/* ---- lines (Private) ------------------------------------------------------------------------ */

static bool conv_recipe_bad(struct str line, struct err *e) {
    err_set(e, ERR_INVALID, "recipe line \"" STR_FMT "\" is not understood",
            STR_ARG(str_sub(line, 0, 200)));
    return err_hint(e, "PATTERN=BITS[:GROUP[:MODE]], PATTERN=MODE, PATTERN=keep, mixed_2_6, "
                       "mixed_3_4, mixed_3_6 or "
                       "mixed_4_6");
}

/* "6", "6:32", "4:32:mxfp4", "mxfp8", "keep". */
static bool conv_recipe_value(struct str text, const struct model_quant *base,
                              struct model_quant *out) {
    int64_t bits = 0, group = 0;
    *out = *base;
    if (str_eq(text, STR("keep"))) {
        *out = (struct model_quant){ .format = K_F32 };
        return true;
    }
    if (conv_quant_mode_parse(text, &out->format)) {
        out->bits = out->group = 0;
        return true;
    }
    struct str bits_text = str_cut(&text, ':'),
               group_text = text.p ? str_cut(&text, ':') : STR_EMPTY;
    if (text.p && !conv_quant_mode_parse(text, &out->format)) return false;
    if (!num_parse_i64(bits_text, 1, 32, &bits)) return false;
    if (group_text.p && !num_parse_i64(group_text, 1, 65536, &group)) return false;
    if (text.p == NULL && base->format != K_AFFINE)
        out->format = K_AFFINE, out->group = 0; /* bits alone mean affine */
    if (text.p != NULL) out->group = 0;
    out->bits = (int)bits;
    if (group_text.p) out->group = (int)group;
    return true;
}

/* ---- recipes (Public) ----------------------------------------------------------------------- */

MLXK_FN bool conv_recipe_add(struct conv_recipe *r, struct str line, const struct model_quant *base,
                             struct err *e) {
    static const char *const mixed[] = { "mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6" };
    line = str_trim(line);
    for (size_t i = 0; i < MLXK_COUNT(mixed); i++)
        if (str_eq_cstr(line, mixed[i])) {
            if (r->mixed.n)
                return err_set(e, ERR_INVALID, "two recipes, " STR_FMT " and " STR_FMT ": give one",
                               STR_ARG(r->mixed), STR_ARG(line));
            r->mixed = line;
            return true;
        }
    ptrdiff_t at = str_find_last(line, STR("="));
    struct conv_rule rule = { .pattern = str_trim(str_sub(line, 0, at < 0 ? 0 : (size_t)at)) };
    if (at < 0 || !rule.pattern.n ||
        !conv_recipe_value(str_trim(str_sub(line, (size_t)at + 1, line.n)), base, &rule.q))
        return conv_recipe_bad(line, e);
    if (rule.q.format != K_F32 && !conv_quant_complete(&rule.q, e))
        return err_context(e, "recipe line \"" STR_FMT "\": ", STR_ARG(str_sub(line, 0, 100)));
    if (r->n == CONV_MAX_RULES)
        return err_set(e, ERR_LIMIT, "the recipe has more than %d lines", (int)CONV_MAX_RULES);
    r->rules[r->n++] = rule;
    return true;
}

MLXK_FN bool conv_recipe_add_lines(struct conv_recipe *r, struct str text,
                                   const struct model_quant *base, struct err *e) {
    for (struct str rest = text; rest.p;) {
        struct str line = str_cut(&rest, '\n');
        line = str_trim(str_cut(&line, '#'));
        if (line.n && !conv_recipe_add(r, line, base, e)) return false;
    }
    return true;
}
