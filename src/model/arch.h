/* arch.h: what is special about a model family (level 3, second contract of the room).
 *
 * To add a family that is built from the common decoder block (norm, attention, MLP, see engine
 * facts 2.3):
 *  1. write its `struct arch` row in an arch_<family>.c: the model_type of config.json, where its
 *     tensors are called differently from llama's, and a `configure` function that turns its config
 *     keys into model_math, ropes and per-layer choices;
 *  2. add that file's provider to arch_table.c (and its line to mlxk.c);
 *  3. put a tiny checkpoint with reference logits below tests/golden/ and name it in
 *     tests/unit/test_engine.c.
 * Nothing else knows families: the loader follows the names, the engine follows model_math and the
 * pointers.
 */
#ifndef MLXK_ARCH_H
#define MLXK_ARCH_H

#include "model/model.h"

/* Tensor paths inside "model.layers.N." without ".weight"; NULL = this family has no such part.
 * qkv and gate_up are fused matrices (rows in that order), used instead of their parts. */
struct arch_names {
    const char *attn_norm, *ffn_norm, *attn_post, *ffn_post, *q_norm, *k_norm;
    const char *q, *k, *v, *qkv, *o, *gate, *up, *gate_up, *down;
};

struct arch {
    const char *type_cstr;       /* model_type in config.json */
    struct arch_names names;
    /* Called when m->config, m->math (defaults), ropes[0] and layers[] (rope = &ropes[0], window 0)
     * are filled from the keys all families share. config: the text model's object. May be NULL. */
    bool (*configure)(struct model *m, const struct json *config, struct err *e);
    const char *eps_key_cstr;    /* NULL = "rms_norm_eps" */
    bool always_tied;            /* the head is the embedding whatever config.json says */
    bool tied_by_tensor;         /* the head is the embedding exactly when there is no lm_head */
    /* Defaults of counts that configs of this family leave out; 0 = required. */
    int n_heads, n_kv_heads, dim_head, vocab; int64_t context;
    float rope_theta;            /* default of rope_theta; 0 = 10000 */
    float partial_rotary;        /* default of partial_rotary_factor; 0 = 1 */
    bool traditional;            /* default of rope_traditional */
    /* A model whose text part is a family of its own, below "text_config" and "language_model.":
     * the family when text_config names none that is known. Everything else of such a row is
     * unused. NULL = no wrapper. */
    const char *wraps_cstr;
};

/* The row of a model_type; NULL = unknown. */
MLXK_FN const struct arch *arch_find(struct str model_type);
/* All rows in the order of the table; NULL past the end. */
MLXK_FN const struct arch *arch_at(int i);

/* Providers, one per file: their i-th row, NULL past the end. */
MLXK_FN const struct arch *arch_llama(int i);     /* llama mistral qwen2 qwen3 smollm3 ... */
MLXK_FN const struct arch *arch_gemma(int i);     /* gemma gemma2 gemma3_text */
/* phi3 granite olmo2 olmo3 glm4 cohere cohere2 exaone4 */
MLXK_FN const struct arch *arch_others(int i);

/* ---- words for configure functions (model_rope.c, model_config.c) ---------------------------- */

/* One position encoding: the parameters of a dict (rope_scaling or rope_parameters, NULL = plain)
 * over a base frequency (the dict's rope_theta wins). config: where longrope finds
 * original_max_position_embeddings. */
struct model_rope_source {
    const struct json *config, *params /* or NULL */;
    double theta, partial;       /* partial: share of dim_head that turns */
    bool traditional;
};
/* ERR_UNSUPPORTED names an unknown type, ERR_FORMAT a bad or missing number. */
MLXK_FN bool model_rope_read(struct model *m, const struct model_rope_source *from,
                             struct model_rope *rope, struct err *e);
/* rope_parameters or rope_scaling of config; `layer_type` picks the part of a nested one. NULL =
 * none. */
MLXK_FN const struct json *model_rope_params(const struct json *config,
                                             const char *layer_type_cstr /* or NULL */);
/* layer_types[] ("sliding_attention", "full_attention") with sliding_window sets the layers'
 * windows. */
MLXK_FN bool model_read_layer_types(struct model *m, const struct json *config, struct err *e);
/* A finite number within [min, max]; absent keeps *out. */
MLXK_FN bool model_read_float(const struct json *config, const char *key_cstr, double min,
                              double max, float *out, struct err *e);

#endif
