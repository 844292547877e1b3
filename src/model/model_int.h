/* model_int.h: what the files of this room share (private to src/model/).
 *
 * A loader lives for one model_open or model_check: the shards' headers, the tensor index and the
 * quantisation rules. Tensors it hands out are checked: dtype known, shape as asked, bytes inside
 * the file.
 */
#ifndef MLXK_MODEL_INT_H
#define MLXK_MODEL_INT_H

#include "model/model.h"
#include "model/arch.h"
#include <math.h>
#include <stdio.h>

struct model_loader {
    struct model *m;
    const char *dir_cstr;
    bool mapped;                     /* false: headers only, data pointers stay NULL */
    const char *prefix_cstr;         /* in front of every tensor path: "" or "language_model." */
    const struct json *config,
        *text; /* config.json; the object of the text model: config itself, or within it */
    struct safet *shards; size_t n_shards;
    struct map where;                /* tensor name -> shard; used with several shards */
    struct model_quant_rules rules;
};

/* ---- model_config.c -------------------------------------------------------------------------- */

/* Fills m->config, m->math, ropes[0], layers[] and calls the architecture's configure; sets
 * l->text, l->prefix. */
MLXK_FN bool model_config_read(struct model_loader *l, struct err *e);
/* Sampling defaults and eos of generation_config.json (an object). */
MLXK_FN bool model_generation_read(struct model *m, const struct json *generation, struct err *e);

/* ---- model_quant.c --------------------------------------------------------------------------- */

/* "4-bit g64", "mxfp4"; plain: name of the dtype. In the arena. */
MLXK_FN struct str model_quant_text(struct arena *a, const struct model_quant *q,
                                    enum k_format plain);

/* ---- model_weights.c ------------------------------------------------------------------------- */

/* finds, maps and parses the shards */
MLXK_FN bool model_loader_open(struct model_loader *l, struct err *e);
MLXK_FN void model_loader_release(struct model_loader *l);
/* out[0, cap) becomes path and end behind it, cut to cap - 1 bytes, NUL-terminated. A model has
 * thousands of names and `list` asks for all of them: a format would cost more than the lookup. */
MLXK_FN void model_join_name(char *out, size_t cap, const char *path_cstr, const char *end_cstr);
MLXK_FN bool model_has(const struct model_loader *l, const char *name_cstr);
/* "<path>.weight" (and scales, biases) as a matrix of exactly that shape. */
MLXK_FN bool model_load_matrix(struct model_loader *l, const char *path_cstr, int64_t rows,
                               int64_t cols, struct k_matrix *out, struct err *e);
/* A float tensor [n], widened to f32 in the model's arena. */
MLXK_FN bool model_load_vector(struct model_loader *l, const char *name_cstr, int64_t n,
                               const float **out, struct err *e);
/* Matrix and "<path>.bias": required when `bias`, else taken when there is one. */
MLXK_FN bool model_load_linear(struct model_loader *l, const char *path_cstr, int64_t rows,
                               int64_t cols, bool bias, struct model_linear *out, struct err *e);

#endif
