/* conv_job.h: what the files of `convert` share: a source's tensors, the plan of the target's, the
 * shards.
 *
 *   conv_source   opens the weights of a directory (headers only)
 *   conv_layout   what family conventions make of names: renamed, left out, stacked
 *   conv_recipe   which module gets how many bits
 *   conv_plan     every tensor of the target: where it comes from, what is done, in which shard it
 *   lies
 *   conv_slice    one slice of one tensor: read, compute, write
 *   conv_shards   the slices of a shard over a team of threads; finished shards are verified and
 *   kept
 *   conv_target   the folder beside the target that becomes the target
 *   conv_convert  puts them in order
 *
 * Memory: CONV_MAX_THREADS members of two buffers of CONV_SLICE_BYTES, and tables of the tensors'
 * names.
 */
#ifndef MLXK_CONV_JOB_H
#define MLXK_CONV_JOB_H

#include "convert/conv_int.h"
#include "model/arch.h"

enum {
    CONV_MAX_SHARDS = 512,       /* of a source: each is an open file */
    CONV_MAX_THREADS = 32,       /* 32 x 2 buffers of 2 MiB: the stated bound holds with room */
    CONV_SLICE_ELEMENTS = 1 << 19,   /* a multiple of every group */
    CONV_MAX_PIECES = 4096,      /* experts of a layer */
};
#define CONV_SLICE_BYTES ((size_t)CONV_SLICE_ELEMENTS * 4)
#define CONV_SHARD_BYTES ((uint64_t)5 << 30)     /* as the reference converter shards */
#define CONV_JOB_ARENA   ((size_t)1 << 30)

/* ---- conv_source.c -------------------------------------------------------------------------- */

struct conv_in_shard {
    struct str name;
    int fd;
    struct safet safet;
    uint64_t size_bytes;
    int64_t mtime_ns;
};
struct conv_in { struct str name; const struct safet_tensor *t; size_t shard; };
struct conv_source {
    struct arena *a;
    const char *dir_cstr;
    struct str config_text;
    const struct json *config;
    struct conv_in_shard *shards; size_t n_shards;
    struct conv_in *tensors; size_t n_tensors;   /* sorted by name */
    struct map index;            /* name -> position in tensors */
    bool is_mlx;                 /* written by an MLX tool: names and layouts are final */
    bool quantised;              /* some tensor has scales */
};
/* Opens the shards of dir and reads their headers and config.json. On failure nothing stays open.
 * err: ERR_NOT_FOUND (no weights, no config), ERR_UNSUPPORTED (pytorch_model.bin and the like,
 * named),
 *      ERR_FORMAT (a tensor in two shards, broken headers), ERR_LIMIT. */
MLXK_FN bool conv_source_open(struct arena *a, const char *dir_cstr, struct conv_source *out,
                              struct err *e);
MLXK_FN void conv_source_close(struct conv_source *s);
/* NULL = absent. */
MLXK_FN const struct conv_in *conv_source_find(const struct conv_source *s, struct str name);
/* The first 8 + N bytes of a safetensors file. mem: in a. */
MLXK_FN bool conv_source_header(struct arena *a, int fd, struct str *out, uint64_t *file_bytes,
                                struct err *e);

/* ---- conv_layout.c -------------------------------------------------------------------------- */

/* What the family makes of a tensor of the source. */
struct conv_place {
    bool drop;                   /* not part of the model: tied head, cached frequencies */
    bool sense;                  /* dropped because it belongs to a vision or audio part */
    struct str name;             /* in the target */
    size_t piece;                /* of a stack of experts: which; SIZE_MAX = a tensor of its own */
};
struct conv_layout {
    const struct conv_source *source;
    struct str family;           /* model_type that names the conventions */
    bool wrapped;                /* the text model is a part: language_model. in front */
    bool tied;
};
MLXK_FN void conv_layout_init(struct conv_layout *l, const struct conv_source *s);
MLXK_FN bool conv_layout_place(const struct conv_layout *l, struct arena *a, struct str name,
                               struct conv_place *out, struct err *e);
/* Is "<path>.weight" of that many dimensions the weight of a linear map, an embedding or a stack of
 * experts? *own: the parameters that the reference converter gives this module whatever was asked
 * for (routers); format K_F32: none. */
MLXK_FN bool conv_layout_quantisable(const struct conv_layout *l, struct str path, int n_dims,
                                     struct model_quant *own);

/* ---- conv_plan.c ---------------------------------------------------------------------------- */

enum conv_op { CONV_OP_COPY, CONV_OP_CAST, CONV_OP_QUANTIZE, CONV_OP_DEQUANTIZE };
struct conv_piece { size_t shard; uint64_t begin; }; /* bytes of a source tensor: file and offset */
struct conv_item {
    struct str name;             /* of the tensor; "<path>.weight" of a module */
    enum conv_op op;
    enum dtype from, to; /* element types read and written; quantise: `to` is that of the scales */
    struct model_quant q;
    struct conv_piece *pieces; size_t n_pieces;          /* equal parts, one behind the other */
    bool stack;                  /* the pieces are its first dimension */
    struct conv_piece scales, biases;                    /* read when dequantising */
    enum dtype scales_from;
    int n_dims; int64_t shape[SAFET_MAX_DIMS];           /* in elements */
    uint64_t n_elements;
    /* parts written (weight, scales, biases) and their offsets in the shard's file */
    int n_out; uint64_t at[3];
    uint64_t in_bytes, out_bytes;
};
struct conv_shard {
    char name[64];
    size_t first, n;
    struct str header;
    uint64_t size_bytes, in_bytes;
};
struct conv_tensors {
    struct conv_item *items; size_t n;       /* sorted by name */
    struct conv_shard *shards; size_t n_shards;
    uint64_t in_bytes, out_bytes, n_params, data_bytes;
    struct buf index;            /* text of model.safetensors.index.json */
    struct json_writer index_writer;
    size_t n_quantised, n_dropped;
    bool senses_dropped;         /* vision or audio parts were left out */
};
/* What becomes of every tensor. On failure nothing is held. */
MLXK_FN bool conv_plan_tensors(struct arena *a, const struct conv_source *s,
                               const struct conv_options *o, struct conv_tensors *out,
                               struct err *e);
MLXK_FN void conv_plan_release(struct conv_tensors *t);
/* config.json of the target, appended to out. */
MLXK_FN bool conv_plan_config(const struct conv_source *s, const struct conv_options *o,
                              const struct conv_tensors *t, struct buf *out, struct err *e);
/* Element type that floats are stored in: asked for, stated by config.json, or DTYPE_COUNT = as
 * they are. */
MLXK_FN enum dtype conv_plan_dtype(const struct conv_source *s, const struct conv_options *o);

/* ---- conv_slice.c --------------------------------------------------------------------------- */

/* elements [first, first + n) of an item */
struct conv_slice { size_t item; uint64_t first; uint32_t n; };
/* Elements a slice of this item holds at most; divides into its pieces. */
MLXK_FN uint32_t conv_slice_size(const struct conv_item *item);
/* Computes a slice and writes its parts to out_fd; with out_fd read back instead (verify) nothing
 * is computed. digest: sha256 of the parts' bytes. in, out: CONV_SLICE_BYTES each. thread: any, on
 * disjoint slices and buffers. */
MLXK_FN bool conv_slice_make(const struct conv_source *s, const struct conv_item *item,
                             const struct conv_slice *slice, uint8_t *in, uint8_t *out, int out_fd,
                             uint8_t digest[32], struct err *e);
MLXK_FN bool conv_slice_verify(const struct conv_item *item, const struct conv_slice *slice,
                               uint8_t *buffer, int fd, uint8_t digest[32], struct err *e);

/* ---- conv_shards.c -------------------------------------------------------------------------- */

struct conv_writer {
    const struct conv_source *source;
    const struct conv_tensors *tensors;
    const char *work_cstr, *out_cstr; /* folders: unfinished shards and their sums; finished ones */
    conv_progress progress; void *ctx;
    uint64_t done_bytes;
    size_t n_finished;                           /* files that are in their place, */
    size_t n_kept;     /* of these verified and kept from an earlier run */
};
/* Writes every shard that is not there yet, with 1..CONV_MAX_THREADS threads (more count as that
 * many). */
MLXK_FN bool conv_shards_write(struct conv_writer *w, int n_threads, struct err *e);

/* ---- conv_target.c -------------------------------------------------------------------------- */

/* PARENT/.NAME.mlxk-convert: job.json (what is being made), out (becomes the target), *.part and
 * *.sum of shards. */
struct conv_target {
    struct arena *a;
    const char *target_cstr, *work_cstr, *out_cstr;
    struct os_lock lock;
    bool resumed;
};
/* Takes the work folder for this job: continues an unfinished one of the same job, starts anew
 * otherwise.
 * err: ERR_LOCKED (another process converts into the same target), IO. */
MLXK_FN bool conv_target_open(struct arena *a, const char *target_cstr, struct str job,
                              struct conv_target *out, struct err *e);
/* Is the target whole and only the rest of this job's work folder still to be removed (killed just
 * then)? */
MLXK_FN bool conv_target_is_leftover(struct arena *a, const char *target_cstr, struct str job);
/* Removes that rest. */
MLXK_FN bool conv_target_forget(struct arena *a, const char *target_cstr, struct err *e);
/* out becomes the target (absent or an empty folder) and the work folder goes. */
MLXK_FN bool conv_target_publish(struct conv_target *t, struct err *e);
/* After a failure: keep finished shards for the next run, or remove everything. */
MLXK_FN void conv_target_close(struct conv_target *t, bool keep);
/* Copies the files of a folder that are not weights; all: every file but weights index and
 * sentinel. What lies there with the same size and time is kept. total_bytes: what progress (or
 * NULL) is told; done_bytes counts. */
struct conv_copy {
    struct arena *a;
    bool all;
    conv_progress progress;
    void *ctx;
    uint64_t done_bytes, total_bytes;
};
MLXK_FN bool conv_target_copy(struct conv_copy *c, const char *from_cstr, const char *to_cstr,
                              struct err *e);
/* A small file in place; sync: its bytes reach the device (what is only looked at by a later run
 * needs that not). */
MLXK_FN bool conv_target_put(struct arena *a, const char *dir_cstr, const char *name_cstr,
                             struct str content, bool sync, struct err *e);

/* ---- conv_repair.c -------------------------------------------------------------------------- */

/* model.safetensors.index.json of the shards in dir, appended to out; *rebuilt false: fewer than
 * two shards. size_bytes: of all shards. note: what is wrong with a single file, which needs no
 * index; else empty. */
MLXK_FN bool conv_repair_index(struct arena *a, const char *dir_cstr, struct buf *out,
                               bool *rebuilt, uint64_t *size_bytes, struct str *note,
                               struct err *e);

#endif
