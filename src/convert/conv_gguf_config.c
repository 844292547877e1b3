/* conv_gguf_config.c: config.json and generation_config.json out of GGUF metadata.
 *
 * Numbers that the file keeps as f32 are written with the fewest digits that give the same f32
 * back: 9.99999974e-06 was 1e-05 when the model was made.
 */
#include "convert/conv_int.h"

#include <stdio.h>
#include <stdlib.h>

static double conv_gguf_config_shortest(double x) {
    char text[40];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtof(text, NULL) == (float)x) break;
    }
    return strtod(text, NULL);
}

static void conv_gguf_config_u64(struct json_writer *w, const char *key_cstr, uint64_t x) {
    json_write_key(w, key_cstr);
    json_write_u64(w, x);
}

static void conv_gguf_config_bool(struct json_writer *w, const char *key_cstr, bool x) {
    json_write_key(w, key_cstr);
    json_write_bool(w, x);
}

static void conv_gguf_config_str(struct json_writer *w, const char *key_cstr, const char *cstr) {
    json_write_key(w, key_cstr);
    json_write_cstr(w, cstr);
}

/* Token ids that the file states; absent ones are left out. */
static bool conv_gguf_config_ids(const struct conv_gguf *g, struct json_writer *w, struct err *e) {
    static const struct {
        const char *gguf_cstr, *key_cstr;
    } ids[] = {
        { "tokenizer.ggml.bos_token_id", "bos_token_id" },
        { "tokenizer.ggml.eos_token_id", "eos_token_id" },
        { "tokenizer.ggml.padding_token_id", "pad_token_id" },
    };
    for (size_t i = 0; i < MLXK_COUNT(ids); i++) {
        uint64_t id;
        if (!gguf_find(&g->gguf, ids[i].gguf_cstr)) continue;
        if (!gguf_read_u64(&g->gguf, ids[i].gguf_cstr, g->vocab ? g->vocab - 1 : 0, &id, e))
            return false;
        conv_gguf_config_u64(w, ids[i].key_cstr, id);
    }
    return true;
}

/* rope_scaling: null, or what the file's keys say. */
static bool conv_gguf_config_rope(const struct conv_gguf *g, struct json_writer *w, struct err *e) {
    const struct gguf_value *type = conv_gguf_arch_find(g, "rope.scaling.type");
    struct str kind = type && type->kind == GGUF_STRING ? type->raw : STR("none");
    double factor;
    uint64_t original = g->context;
    if (!conv_gguf_arch_f64(g, "rope.scaling.factor", 1, &factor, e)) return false;
    json_write_key(w, "rope_scaling");
    if (g->rope_factor > 0) {
        json_write_raw(
            w, str_format(g->a,
                          "{\"factor\": %.1f, \"high_freq_factor\": 4.0, \"low_freq_factor\": 1.0, "
                          "\"original_max_position_embeddings\": 8192, \"rope_type\": \"llama3\"}",
                          g->rope_factor));
        return true;
    }
    if (str_eq(kind, STR("none")) || factor == 1.0) {
        json_write_null(w);
        return true;
    }
    if (str_eq(kind, STR("yarn")) &&
        !conv_gguf_arch_u64(g, "rope.scaling.original_context_length", 1 << 24, &original, e))
        return false;
    if (!str_eq(kind, STR("yarn")) && !str_eq(kind, STR("linear")))
        return err_set(e, ERR_UNSUPPORTED,
                       "the GGUF file uses rope scaling '" STR_FMT "', which cannot be imported",
                       STR_ARG(kind));
    json_write_object(w);
    json_write_key(w, "rope_type");
    json_write_str(w, kind);
    json_write_key(w, "factor");
    json_write_f64(w, conv_gguf_config_shortest(factor));
    if (str_eq(kind, STR("yarn")))
        conv_gguf_config_u64(w, "original_max_position_embeddings", original);
    json_write_object_end(w);
    return true;
}

static void conv_gguf_config_quantization(const struct conv_gguf *g, struct json_writer *w,
                                          const char *key_cstr) {
    json_write_key(w, key_cstr);
    json_write_object(w);
    conv_gguf_config_u64(w, "group_size", 32);
    conv_gguf_config_u64(w, "bits", (uint64_t)g->common_bits);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct conv_tensor *t = &g->tensors[i];
        if (t->part != CONV_CODES || t->bits == g->common_bits) continue;
        json_write_key_str(w, str_sub(t->name, 0, t->name.n - (sizeof ".weight" - 1)));
        json_write_object(w);
        conv_gguf_config_u64(w, "group_size", 32);
        conv_gguf_config_u64(w, "bits", (uint64_t)t->bits);
        json_write_object_end(w);
    }
    json_write_object_end(w);
}

static bool conv_gguf_config_has_tensor(const struct conv_gguf *g, const char *name_cstr) {
    for (size_t i = 0; i < g->n_tensors; i++)
        if (str_eq_cstr(g->tensors[i].name, name_cstr)) return true;
    return false;
}

static bool conv_gguf_config_main(struct conv_gguf *g, struct json_writer *w, struct err *e) {
    double eps, theta;
    if (!conv_gguf_arch_f64(g, "attention.layer_norm_rms_epsilon", 1e-5, &eps, e) ||
        !conv_gguf_arch_f64(g, "rope.freq_base", 10000, &theta, e))
        return false;
    json_write_key(w, "architectures");
    json_write_array(w);
    json_write_cstr(w, g->arch->class_cstr);
    json_write_array_end(w);
    conv_gguf_config_str(w, "model_type", g->arch->model_type_cstr);
    conv_gguf_config_u64(w, "hidden_size", g->dim);
    conv_gguf_config_u64(w, "intermediate_size", g->dim_ff);
    conv_gguf_config_u64(w, "num_hidden_layers", g->layers);
    conv_gguf_config_u64(w, "num_attention_heads", g->heads);
    conv_gguf_config_u64(w, "num_key_value_heads", g->kv_heads);
    if (g->head_dim * g->heads != g->dim || strcmp(g->arch->model_type_cstr, "qwen3") == 0)
        conv_gguf_config_u64(w, "head_dim", g->head_dim);
    conv_gguf_config_str(w, "hidden_act", "silu");
    json_write_key(w, "rms_norm_eps");
    json_write_f64(w, conv_gguf_config_shortest(eps));
    conv_gguf_config_u64(w, "vocab_size", g->vocab);
    json_write_key(w, "rope_theta");
    json_write_f64(w, conv_gguf_config_shortest(theta));
    if (!conv_gguf_config_rope(g, w, e)) return false;
    conv_gguf_config_u64(w, "max_position_embeddings", g->context);
    conv_gguf_config_bool(w, "attention_bias",
                          !g->arch->qkv_bias && conv_gguf_config_has_tensor(
                                                    g, "model.layers.0.self_attn.q_proj.bias"));
    conv_gguf_config_bool(w, "mlp_bias",
                          conv_gguf_config_has_tensor(g, "model.layers.0.mlp.up_proj.bias"));
    conv_gguf_config_bool(w, "tie_word_embeddings",
                          !conv_gguf_config_has_tensor(g, "lm_head.weight"));
    if (!conv_gguf_config_ids(g, w, e)) return false;
    conv_gguf_config_str(w, "torch_dtype", "float16");
    if (g->any_quantised) {
        conv_gguf_config_quantization(g, w, "quantization");
        conv_gguf_config_quantization(g, w, "quantization_config");
    }
    return true;
}

MLXK_FN bool conv_gguf_config(struct conv_gguf *g, struct buf *config, struct buf *generation,
                              struct err *e) {
    struct json_writer w;
    json_write_init(&w, config, true, false);
    json_write_object(&w);
    if (!conv_gguf_config_main(g, &w, e)) return false;
    json_write_object_end(&w);
    buf_add_char(config, '\n');
    json_write_init(&w, generation, true, false);
    json_write_object(&w);
    conv_gguf_config_bool(&w, "_from_model_config", true);
    if (!conv_gguf_config_ids(g, &w, e)) return false;
    json_write_object_end(&w);
    buf_add_char(generation, '\n');
    return true;
}
