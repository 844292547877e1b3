/* arch_others.c: families of the common block that differ in names, norm places or scales.
 *
 * phi3 and glm4 (fused matrices), granite (multipliers), olmo2, olmo3 and exaone4 (norms behind the
 * parts), cohere and cohere2 (LayerNorm, attention and MLP side by side). Spec: engine facts 2.5.
 */
#include "model/model_int.h"

#define OTHERS_QKVO \
    .q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj", \
    .o = "self_attn.o_proj"
#define OTHERS_MLP .gate = "mlp.gate_proj", .up = "mlp.up_proj", .down = "mlp.down_proj"
#define OTHERS_FUSED_MLP .gate_up = "mlp.gate_up_proj", .down = "mlp.down_proj"
#define OTHERS_PRE .attn_norm = "input_layernorm", .ffn_norm = "post_attention_layernorm"
#define OTHERS_POST \
    .attn_post = "post_attention_layernorm", .ffn_post = "post_feedforward_layernorm"
#define OTHERS_QK_NORM .q_norm = "self_attn.q_norm", .k_norm = "self_attn.k_norm"

static bool others_glm4(struct model *m, const struct json *config, struct err *e) {
    (void)config;
    (void)e;
    m->config.output_bias = false;
    return true;
}

static bool others_granite(struct model *m, const struct json *config, struct err *e) {
    float divisor = 1;
    if (!model_read_float(config, "embedding_multiplier", -1e6, 1e6, &m->math.embed_scale, e) ||
        !model_read_float(config, "attention_multiplier", -1e6, 1e6, &m->math.attn_scale, e) ||
        !model_read_float(config, "residual_multiplier", -1e6, 1e6, &m->math.residual_scale, e) ||
        !model_read_float(config, "logits_scaling", 1e-6, 1e6, &divisor, e))
        return false;
    m->math.logit_scale = 1 / divisor;
    return true;
}

static bool others_olmo2(struct model *m, const struct json *config, struct err *e) {
    (void)config;
    (void)e;
    m->math.qk_norm_full = true;
    return true;
}

/* Three layers slide with the plain encoding, the fourth sees all with the scaled one. */
static bool others_olmo3(struct model *m, const struct json *config, struct err *e) {
    int64_t window = 4096;
    m->math.qk_norm_full = true;
    if (!json_read_i64(config, "sliding_window", 1, MODEL_MAX_CONTEXT, &window, e)) return false;
    for (int i = 0; i < m->config.n_layers; i++) m->layers[i].window = i % 4 != 3 ? (int)window : 0;
    struct model_rope_source plain = { .config = config,
                                       .theta = (double)m->ropes[0].theta,
                                       .partial = 1 };
    if (!model_read_layer_types(m, config, e) || !model_rope_read(m, &plain, &m->ropes[1], e))
        return false;
    m->n_ropes = 2;
    for (int i = 0; i < m->config.n_layers; i++)
        if (m->layers[i].window) m->layers[i].rope = &m->ropes[1];
    return true;
}

/* sliding_window_pattern "LLLG": L slides with position encoding, G sees all without. None = all
 * alike. */
static bool others_exaone4(struct model *m, const struct json *config, struct err *e) {
    struct str pattern = STR_EMPTY;
    int64_t window = 4096;
    if (!json_read_str(config, "sliding_window_pattern", &pattern, e) ||
        !json_read_i64(config, "sliding_window", 1, MODEL_MAX_CONTEXT, &window, e))
        return false;
    for (int i = 0; pattern.n && i < m->config.n_layers; i++) {
        bool local = pattern.p[(size_t)i % pattern.n] == 'L';
        m->layers[i].window = local ? (int)window : 0;
        if (!local) m->layers[i].rope = NULL;
    }
    return true;
}

static bool others_cohere(struct model *m, const struct json *config, struct err *e) {
    bool qk_norm = false;
    m->math.layer_norm = true;
    m->math.parallel = true;
    m->math.logit_scale = 0.0625f;
    if (!json_read_bool(config, "layer_norm_bias", &m->math.norm_bias, e) ||
        !json_read_bool(config, "use_qk_norm", &qk_norm, e) ||
        !model_read_float(config, "logit_scale", -1e6, 1e6, &m->math.logit_scale, e))
        return false;
    if (!qk_norm) return true;
    return err_set(e, ERR_UNSUPPORTED, "config.json: cohere with \"use_qk_norm\" is not supported");
}

/* Sliding layers have the position encoding, every pattern-th one sees all without it. */
static bool others_cohere2(struct model *m, const struct json *config, struct err *e) {
    int64_t window = 4096, pattern = 4;
    if (!others_cohere(m, config, e) ||
        !json_read_i64(config, "sliding_window_pattern", 1, MODEL_MAX_LAYERS, &pattern, e) ||
        !json_read_i64(config, "sliding_window", 1, MODEL_MAX_CONTEXT, &window, e))
        return false;
    for (int i = 0; i < m->config.n_layers; i++)
        m->layers[i].window = (i + 1) % pattern != 0 ? (int)window : 0;
    if (!model_read_layer_types(m, config, e)) return false;
    for (int i = 0; i < m->config.n_layers; i++)
        if (!m->layers[i].window) m->layers[i].rope = NULL;
    return true;
}

MLXK_FN const struct arch *arch_others(int i) {
    static const struct arch rows[] = {
        { .type_cstr = "phi3",
          .names = { OTHERS_PRE, OTHERS_FUSED_MLP, .qkv = "self_attn.qkv_proj",
                     .o = "self_attn.o_proj" } },
        { .type_cstr = "glm4",
          .names = { OTHERS_PRE, OTHERS_QKVO, OTHERS_FUSED_MLP,
                     .attn_post = "post_self_attn_layernorm", .ffn_post = "post_mlp_layernorm" },
          .configure = others_glm4,
          .partial_rotary = 0.5f,
          .traditional = true },
        { .type_cstr = "granite",
          .names = { OTHERS_PRE, OTHERS_QKVO, OTHERS_MLP },
          .configure = others_granite },
        { .type_cstr = "olmo2",
          .names = { OTHERS_POST, OTHERS_QKVO, OTHERS_QK_NORM, OTHERS_MLP },
          .configure = others_olmo2 },
        { .type_cstr = "olmo3",
          .names = { OTHERS_POST, OTHERS_QKVO, OTHERS_QK_NORM, OTHERS_MLP },
          .configure = others_olmo3 },
        { .type_cstr = "exaone4",
          .names = { OTHERS_POST, OTHERS_QKVO, OTHERS_QK_NORM, OTHERS_MLP },
          .configure = others_exaone4 },
        { .type_cstr = "cohere",
          .names = { OTHERS_QKVO, OTHERS_MLP, .attn_norm = "input_layernorm" },
          .configure = others_cohere,
          .eps_key_cstr = "layer_norm_eps",
          .always_tied = true,
          .traditional = true },
        { .type_cstr = "cohere2",
          .names = { OTHERS_QKVO, OTHERS_MLP, .attn_norm = "input_layernorm" },
          .configure = others_cohere2,
          .eps_key_cstr = "layer_norm_eps",
          .always_tied = true,
          .traditional = true },
    };
    return i >= 0 && (size_t)i < MLXK_COUNT(rows) ? &rows[i] : NULL;
}

#undef OTHERS_QKVO
#undef OTHERS_MLP
#undef OTHERS_FUSED_MLP
#undef OTHERS_PRE
#undef OTHERS_POST
#undef OTHERS_QK_NORM
