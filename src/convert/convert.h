/* convert.h: other formats and layouts -> MLX repositories (level 4).
 *
 * import: GGUF (llama family) losslessly, and plain directories, into the shared cache. convert: a
 * model directory (or GGUF file) into another directory: quantised, dequantised, in MLX layout, or
 * with its index repaired. What MLX quantisation cannot hold bit for bit is refused by name when a
 * GGUF file is read; nothing is requantised.
 * ref    engine facts 1.1, 1.2, 1.3, 1.5; mlx-knife facts 3.4, 6.1-6.4; decisions "import",
 *        "convert".
 */
#ifndef MLXK_CONVERT_H
#define MLXK_CONVERT_H

#include "base/base.h"
#include "platform/platform.h"
#include "json/json.h"
#include "format/format.h"
#include "cache/cache.h"
#include "model/model.h"

/* Called with bytes done of total; false stops with ERR_INTERRUPTED. */
typedef bool (*conv_progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);

/* What an import source is, told by its content: a GGUF file, or a directory with config.json. */
enum conv_kind { CONV_GGUF, CONV_MODEL_DIR };
/* err: ERR_UNSUPPORTED naming both accepted kinds when it is neither; ERR_NOT_FOUND. */
MLXK_FN bool conv_probe(const char *src_cstr, enum conv_kind *out, struct err *e);

/* One file of a repository to be: content in memory, or bytes produced by `write`. */
struct conv_result {
    struct str name, commit;
    uint64_t size_bytes;
    size_t n_files;
    bool unchanged;
    char *snapshot_cstr;
};

/* Imports src into the cache under `name` (or empty: local/<general.name or directory name>, made
 * acceptable). commit = first 40 hex digits of SHA-256 over the sorted lines path NUL sha256 LF.
 * Blobs, links, tree, then refs/main; importing the same again changes nothing (unchanged = true).
 * A failure or kill leaves no new snapshot behind.
 * mem: result texts in a. */
MLXK_FN bool conv_import(struct arena *a, const struct cache *c, const char *src_cstr,
                         struct str name, conv_progress progress /* or NULL */, void *ctx,
                         struct conv_result *out, struct err *e);

/* ---- convert (conv_convert.c) ---------------------------------------------------------------- */

enum conv_mode { CONV_REPAIR_INDEX, CONV_QUANTIZE, CONV_DEQUANTIZE, CONV_TO_MLX };

/* A line of a recipe: modules whose path fits `pattern` (str_glob) get q, or stay as they are
 * (format K_F32). */
struct conv_rule { struct str pattern; struct model_quant q; };
enum { CONV_MAX_RULES = 1000 };
struct conv_recipe {
    struct conv_rule *rules; size_t n;   /* the first that fits a module wins */
    /* "mixed_4_6": the reference converter's recipe of that name, behind the rules */
    struct str mixed;
};
/* Adds one line "PATTERN=BITS[:GROUP[:MODE]]", "PATTERN=MODE", "PATTERN=keep", or the name of a
 * mixed recipe.
 * base: group and mode where the line says none. r->rules has room for CONV_MAX_RULES. err:
 * ERR_INVALID, ERR_LIMIT. */
MLXK_FN bool conv_recipe_add(struct conv_recipe *r, struct str line, const struct model_quant *base,
                             struct err *e);
/* Every line of a file; '#' begins a comment. */
MLXK_FN bool conv_recipe_add_lines(struct conv_recipe *r, struct str text,
                                   const struct model_quant *base, struct err *e);
/* Fills group and bits that are 0 with those of the format and checks them: affine 2 3 4 5 6 8 bits
 * in groups of 32 64 128; mxfp4 4/32, mxfp8 8/32, nvfp4 4/16. err: ERR_INVALID naming what is
 * allowed. */
MLXK_FN bool conv_quant_complete(struct model_quant *q, struct err *e);
MLXK_FN const char *conv_quant_mode_name(enum k_format format);
MLXK_FN bool conv_quant_mode_parse(struct str name, enum k_format *out);

struct conv_options {
    enum conv_mode mode;
    const char *source_cstr, *target_cstr;   /* target: absent; repair: or an empty folder */
    struct model_quant q;        /* CONV_QUANTIZE */
    struct conv_recipe recipe;
    /* of floats: F32 F16 BF16; DTYPE_COUNT = what config.json says, else as they are */
    enum dtype dtype;
    bool skip_health;
    struct str version;          /* of this program, for the sentinel */
    cache_normalize normalize;
    conv_progress progress; void *ctx;       /* progress may be NULL */
    int n_threads;               /* 0 = as the machine has */
    uint64_t shard_bytes;        /* 0 = 5 GiB of data a file, as the reference converter */
};
struct conv_outcome {
    /* note: for people, not in documents */
    struct str message, warning, note, content_hash, health_reason;
    bool health_checked, healthy, resumed;
    size_t n_quantised, n_tensors, n_shards, n_kept_shards, n_dropped;
    uint64_t size_bytes; double bits_per_weight;
};
/* Does it. Every file is made in the folder .NAME.mlxk-convert beside the target, which is renamed
 * to the target when all is there: the target exists whole or not at all. After a kill or a full
 * disk the same call goes on: shards that were finished are verified and kept, everything else is
 * made again. Other failures leave nothing behind. Weights are streamed in slices: at most 256 MB
 * of memory besides the tables of tensor names, whatever the model's size. The bytes do not depend
 * on the number of threads nor on how the source is sharded. A model that fails the health check is
 * still written (ok, healthy = false).
 * mem: texts of out in a. err: ERR_EXISTS, ERR_UNSUPPORTED, ERR_FORMAT, ERR_DISK_FULL, ERR_LOCKED,
 * ERR_INTERRUPTED... */
MLXK_FN bool conv_convert(struct arena *a, const struct conv_options *o, struct conv_outcome *out,
                          struct err *e);

#endif
