/* arch_llama.c: llama and the families that are llama with other switches.
 *
 * llama, mistral (the same code upstream), qwen2 (biased q k v), qwen3 (normed q k), smollm3 (some
 * layers without position encoding), seed_oss (its own name for the output bias), ministral3
 * (queries grow with the position). Spec: engine facts 2.5.
 */
#include "model/model_int.h"

#define LLAMA_NAMES \
    .attn_norm = "input_layernorm", .ffn_norm = "post_attention_layernorm", \
    .q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj", \
    .o = "self_attn.o_proj", .gate = "mlp.gate_proj", .up = "mlp.up_proj", \
    .down = "mlp.down_proj"

/* Biases of q, k, v are part of the architecture; sliding_window is present in configs but not
 * used. */
static bool llama_qwen2(struct model *m, const struct json *config, struct err *e) {
    (void)config;
    (void)e;
    m->config.attention_bias = true;
    m->config.output_bias = false;
    return true;
}

/* no_rope_layers[i] = 1: layer i HAS position encoding; without the list every interval-th layer
 * has none. */
static bool llama_smollm3(struct model *m, const struct json *config, struct err *e) {
    const struct json *list = json_get(config, "no_rope_layers");
    int64_t interval = 4;
    if (!json_read_i64(config, "no_rope_layer_interval", 1, MODEL_MAX_LAYERS, &interval, e))
        return false;
    bool listed = list && list->kind != JSON_NULL;
    if (listed && (list->kind != JSON_ARRAY || list->n != (size_t)m->config.n_layers))
        return err_set(e, ERR_FORMAT, "config.json: \"no_rope_layers\" is no list of %d entries",
                       m->config.n_layers);
    const struct json *item = listed ? list->child : NULL;
    for (int i = 0; i < m->config.n_layers; i++) {
        bool has = (i + 1) % interval != 0;
        if (item) {
            if (item->kind != JSON_INT)
                return err_set(e, ERR_FORMAT,
                               "config.json: \"no_rope_layers\" entry %d is no integer", i);
            has = item->integer != 0;
            item = item->next;
        }
        if (!has) m->layers[i].rope = NULL;
    }
    return true;
}

static bool llama_seed_oss(struct model *m, const struct json *config, struct err *e) {
    m->config.output_bias = false;
    return json_read_bool(config, "attention_out_bias", &m->config.output_bias, e);
}

static bool llama_ministral3(struct model *m, const struct json *config, struct err *e) {
    const struct json *rope = model_rope_params(config, NULL);
    double period = 0;
    if (!model_read_float(rope, "llama_4_scaling_beta", 0, 100, &m->math.query_beta, e) ||
        !json_read_f64(rope, "original_max_position_embeddings", &period, e))
        return false;
    if (m->math.query_beta > 0 && !(period >= 1 && period <= (double)MODEL_MAX_CONTEXT))
        return err_set(e, ERR_FORMAT,
                       "config.json: rope \"original_max_position_embeddings\" is %g", period);
    if (m->math.query_beta > 0) m->math.query_period = (int64_t)period;
    return model_read_layer_types(m, config, e);
}

MLXK_FN const struct arch *arch_llama(int i) {
    static const struct arch rows[] = {
        { .type_cstr = "llama", .names = { LLAMA_NAMES }, .configure = model_read_layer_types },
        { .type_cstr = "mistral", .names = { LLAMA_NAMES }, .configure = model_read_layer_types },
        { .type_cstr = "ministral3", .names = { LLAMA_NAMES }, .configure = llama_ministral3 },
        { .type_cstr = "qwen2", .names = { LLAMA_NAMES }, .configure = llama_qwen2 },
        { .type_cstr = "qwen3",
          .names = { LLAMA_NAMES, .q_norm = "self_attn.q_norm", .k_norm = "self_attn.k_norm" } },
        { .type_cstr = "seed_oss", .names = { LLAMA_NAMES }, .configure = llama_seed_oss },
        { .type_cstr = "mistral3", .wraps_cstr = "mistral" },
        { .type_cstr = "qwen3_vl", .wraps_cstr = "qwen3" },
        { .type_cstr = "smollm3", .names = { LLAMA_NAMES }, .configure = llama_smollm3 },
    };
    return i >= 0 && (size_t)i < MLXK_COUNT(rows) ? &rows[i] : NULL;
}

#undef LLAMA_NAMES
