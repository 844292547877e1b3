/* model.h: a model directory -> configured weights, mapped and borrowed (level 3).
 *
 * Reads config.json, generation_config.json, the safetensors shards and says precisely what a
 * forward pass needs. Every config value that drives an allocation is bounded here and every
 * tensor's shape is checked against the config, so that the engine never checks again. No
 * tokenizer, no threads, no arithmetic beyond widening small vectors. The loader rules for
 * quantised modules are mlx-lm's (engine facts 1.3): the tensors decide, the config parametrises.
 */
#ifndef MLXK_MODEL_H
#define MLXK_MODEL_H

#include "base/base.h"
#include "platform/platform.h"
#include "json/json.h"
#include "format/format.h"
#include "kernels/kernels.h"

enum { /* bounds on config values; larger ones are refused by name */
       MODEL_MAX_LAYERS = 1024,
       MODEL_MAX_DIM = 65536,
       MODEL_MAX_HEADS = 1024,
       MODEL_MAX_VOCAB = 4000000,
       MODEL_MAX_CONTEXT = 16777216,
       MODEL_MAX_EOS = 64,
       MODEL_MAX_SHARDS = 4096,
};

/* ---- position encoding ---------------------------------------------------------------------- */

enum model_rope_kind {
    MODEL_ROPE_PLAIN,
    MODEL_ROPE_LINEAR,
    MODEL_ROPE_DYNAMIC,
    MODEL_ROPE_LLAMA3,
    MODEL_ROPE_YARN,
    MODEL_ROPE_LONGROPE
};
struct model_rope {
    enum model_rope_kind kind;
    bool traditional;            /* pairs (2j, 2j+1) instead of (j, j + n_rot/2) */
    int n_rot;                   /* rotated dims of a head, even */
    /* attention_factor scales the rotated q and k (yarn mscale, longrope) */
    float theta, attention_factor;
    /* [n_rot/2] f_j: the angle at position p is p / f_j; in the model's arena */
    double *wavelengths;
    /* longrope only: the table for sessions of at most short_limit positions; NULL otherwise. */
    double *short_wavelengths; int64_t short_limit;
    int64_t max_positions;       /* dynamic only: the table holds up to here; 0 = no such limit */
};

/* ---- what config.json says ------------------------------------------------------------------ */

struct model_config {
    struct str model_type, architecture;
    int n_layers, dim, dim_ff, n_heads, n_kv_heads, dim_head, vocab;
    int64_t context;             /* max_position_embeddings; 0 = not stated */
    float norm_eps;
    bool tied, attention_bias /* q k v */, output_bias /* o */, mlp_bias;
    int32_t bos;                 /* -1 = none */
    int32_t eos[MODEL_MAX_EOS]; int n_eos;   /* generation_config.json wins over config.json */
    /* sampling defaults of generation_config.json; NaN (top_k: -1) = not stated */
    double temperature, top_p, min_p, repetition_penalty; int64_t top_k;
};

/* How a family's arithmetic differs from the plain pre-norm block (engine facts 2.3). Defaults in
 * brackets. */
enum model_activation { MODEL_SILU, MODEL_GELU };
struct model_math {
    bool layer_norm, norm_bias;  /* LayerNorm instead of RMSNorm; with a bias of its own [false] */
    float norm_add;              /* added to every norm weight: gemma stores w - 1 [0] */
    enum model_activation activation;   /* of the gate [MODEL_SILU] */
    bool parallel;               /* h += attn(n) + mlp(n) with one norm n [false] */
    bool qk_norm_full;           /* q_norm, k_norm run over all heads at once [false: per head] */
    float embed_scale, residual_scale, logit_scale;   /* [1] */
    float attn_scale;            /* [dim_head^-0.5] */
    float attn_softcap, final_softcap;   /* tanh(x / cap) * cap; 0 = none [0] */
    /* q *= 1 + beta * ln(1 + floor(position / period)) [0, 1] */
    float query_beta; int64_t query_period;
};

/* ---- how modules are stored (model_quant.c) -------------------------------------------------- */

/* How the module at one path is stored. format K_F32 = not quantised (the tensor's dtype
 * decides). */
struct model_quant { enum k_format format; int bits, group; };
struct model_quant_rules {
    bool present;
    struct model_quant base;
    const struct json *overrides;    /* the dict itself: keys are module paths */
};
/* From config.json. err: ERR_UNSUPPORTED (another program's method, by name), ERR_FORMAT. */
MLXK_FN bool model_quant_read(const struct json *config, struct model_quant_rules *out,
                              struct err *e);
/* The rule for one module (engine facts 1.3): has_scales = "<path>.scales" exists. */
MLXK_FN bool model_quant_of(const struct model_quant_rules *r, const char *path_cstr,
                            bool has_scales, struct model_quant *out, struct err *e);

/* ---- weights --------------------------------------------------------------------------------- */

/* A linear map with optional additive bias. w.data NULL = absent. */
struct model_linear { struct k_matrix w; const float *bias /* or NULL, f32 [rows] */; };
/* w NULL = no such norm here; b: LayerNorm's bias or NULL. f32, in the arena. */
struct model_norm { const float *w, *b; };

/* One decoder layer of the common core; which parts exist is the architecture's choice (arch.h). */
struct model_layer {
    struct model_norm attn_norm, ffn_norm;        /* [dim] before attention, before the MLP */
    struct model_norm attn_post, ffn_post;    /* [dim] on their results, before the residual sum */
    struct model_norm q_norm, k_norm;     /* [dim_head], or all heads' dims (math.qk_norm_full) */
    struct model_linear q, k, v, o, gate, up, down;
    const struct model_rope *rope;                /* NULL: no position encoding in this layer */
    int window;     /* visible positions including the own one; 0 = all */
};

enum { MODEL_MAX_ROPES = 2 };
struct arch;                                      /* arch.h: what is special about a family */
struct model {
    struct arena arena;                           /* everything below that is not mapped */
    struct model_config config;
    struct model_math math;
    const struct arch *arch;
    struct model_rope ropes[MODEL_MAX_ROPES]; int n_ropes;   /* layers point into these */
    struct k_matrix embed;                        /* [vocab, dim] */
    struct model_linear head;                     /* [vocab, dim]; embed itself when tied */
    struct model_norm final_norm;                 /* [dim] */
    struct model_layer *layers;                   /* [n_layers] */
    struct os_map *maps; size_t n_maps;           /* the shards */
    uint64_t weight_bytes, n_params;              /* of the tensors used */
    struct str quantization;                      /* "4-bit g64", "mxfp4", "bf16": for people */
};

/* Loads a directory (a snapshot or a plain folder). NULL on failure.
 * mem: caller owns; release with model_close. Mapped files stay open until then.
 * err: ERR_NOT_FOUND (which file), ERR_FORMAT, ERR_LIMIT, ERR_UNSUPPORTED (model_type, rope type,
 * custom code,
 *      quantisation method by name). Unknown architecture: names it and lists the supported ones in
 *      the hint. */
MLXK_FN struct model *model_open(const char *dir_cstr, struct err *e);
MLXK_FN void model_close(struct model *m /* or NULL */);

/* Would model_open (and so run) succeed as far as config.json and the tensors' headers tell,
 * without mapping weights?
 * a: scratch, as it was afterwards. config: parsed config.json. The one function behind
 * runtime_compatible. false with the reason in e. */
MLXK_FN bool model_check(struct arena *a, const char *dir_cstr, const struct json *config,
                         struct err *e);

/* Rows [row0, row0 + n) of w as a map of their own (fused matrices, tiles). */
MLXK_FN struct model_linear model_linear_rows(const struct model_linear *w, int64_t row0,
                                              int64_t n);

/* Names of supported model types, sorted; NULL past the end. */
MLXK_FN const char *model_type_name(int i);

#endif
