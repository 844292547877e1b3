/* arch_gemma.c: gemma, gemma2 and the text part of gemma3.
 *
 * Norm weights are stored minus one, embeddings are scaled by the root of their size, the gate is
 * GELU. gemma2 and 3 have four norms a layer; 2 caps scores and logits; 3 norms q and k and gives
 * its sliding layers a position encoding of their own. Spec: engine facts 2.5.
 */
#include "model/model_int.h"

#define GEMMA_NAMES \
    .q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj", \
    .o = "self_attn.o_proj", .gate = "mlp.gate_proj", .up = "mlp.up_proj", \
    .down = "mlp.down_proj", .attn_norm = "input_layernorm"
#define GEMMA_FOUR_NORMS \
    .attn_post = "post_attention_layernorm", .ffn_norm = "pre_feedforward_layernorm", \
    .ffn_post = "post_feedforward_layernorm"

static bool gemma_common(struct model *m, const struct json *config, struct err *e) {
    (void)config;
    (void)e;
    m->math.norm_add = 1;
    m->math.activation = MODEL_GELU;
    m->math.embed_scale = (float)sqrt((double)m->config.dim);
    return true;
}

static bool gemma_query_scale(struct model *m, const struct json *config, struct err *e) {
    float scalar = 256;
    if (!model_read_float(config, "query_pre_attn_scalar", 1e-3, 1e6, &scalar, e)) return false;
    m->math.attn_scale = (float)(1 / sqrt((double)scalar));
    return true;
}

/* Layers slide except every pattern-th one, unless layer_types says which. */
static bool gemma_windows(struct model *m, const struct json *config, int64_t pattern,
                          int64_t window, struct err *e) {
    if (!json_read_i64(config, "sliding_window_pattern", 1, MODEL_MAX_LAYERS, &pattern, e) ||
        !json_read_i64(config, "sliding_window", 1, MODEL_MAX_CONTEXT, &window, e))
        return false;
    for (int i = 0; i < m->config.n_layers; i++)
        m->layers[i].window = (i + 1) % pattern != 0 ? (int)window : 0;
    return model_read_layer_types(m, config, e);
}

static bool gemma_two(struct model *m, const struct json *config, struct err *e) {
    m->math.attn_softcap = 50;
    m->math.final_softcap = 30;
    return gemma_common(m, config, e) && gemma_query_scale(m, config, e)
           && gemma_windows(m, config, 2, 4096, e)
           && model_read_float(config, "attn_logit_softcapping", 0, 1e6, &m->math.attn_softcap, e)
           && model_read_float(config, "final_logit_softcapping", 0, 1e6, &m->math.final_softcap,
                               e);
}

static bool gemma_three(struct model *m, const struct json *config, struct err *e) {
    if (!gemma_common(m, config, e) || !gemma_query_scale(m, config, e)
        || !gemma_windows(m, config, 6, 512, e))
        return false;
    /* The scale was a bfloat16 in training: sqrt(640) is 25.25. */
    m->math.embed_scale = num_bf16_to_f32(num_f32_to_bf16(m->math.embed_scale));
    const struct json *nested = json_get(json_get(config, "rope_parameters"), "sliding_attention");
    struct model_rope_source local = {
        .config = config, .params = nested, .theta = 10000, .partial = 1
    };
    if (!json_read_f64(config, "rope_local_base_freq", &local.theta, e) ||
        !model_rope_read(m, &local, &m->ropes[1], e))
        return false;
    m->n_ropes = 2;
    for (int i = 0; i < m->config.n_layers; i++)
        if (m->layers[i].window) m->layers[i].rope = &m->ropes[1];
    return true;
}

MLXK_FN const struct arch *arch_gemma(int i) {
    static const struct arch rows[] = {
        { .type_cstr = "gemma",
          .names = { GEMMA_NAMES, .ffn_norm = "post_attention_layernorm" },
          .configure = gemma_common,
          .always_tied = true },
        { .type_cstr = "gemma2",
          .names = { GEMMA_NAMES, GEMMA_FOUR_NORMS },
          .configure = gemma_two,
          .always_tied = true },
        { .type_cstr = "gemma3_text",
          .names = { GEMMA_NAMES, GEMMA_FOUR_NORMS, .q_norm = "self_attn.q_norm",
                     .k_norm = "self_attn.k_norm" },
          .configure = gemma_three,
          .tied_by_tensor = true,
          .rope_theta = 1e6f,
          .n_heads = 8,
          .n_kv_heads = 4,
          .dim_head = 256,
          .vocab = 262208,
          .context = 131072 },
        { .type_cstr = "gemma3", .wraps_cstr = "gemma3_text" },
    };
    return i >= 0 && (size_t)i < MLXK_COUNT(rows) ? &rows[i] : NULL;
}

#undef GEMMA_NAMES
#undef GEMMA_FOUR_NORMS
