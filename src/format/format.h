/* format.h: file formats read and written within stated limits (level 1, pure).
 *
 * safetensors (safet_) and GGUF (gguf_) work on memory the caller mapped or read; no file is opened
 * here. Every offset, count, product and name is checked before use; a parsed tensor's bytes lie
 * inside the data. Data may be unaligned: callers use num_read_* or unaligned loads, never a
 * cast-and-dereference. Names may hold control characters: whoever prints them cleans them.
 */
#ifndef MLXK_FORMAT_H
#define MLXK_FORMAT_H

#include "base/base.h"
#include "json/json.h"

/* ---- element types (dtype.c) -------------------------------------------------------------- */

enum dtype {
    DTYPE_BOOL, DTYPE_U8, DTYPE_I8, DTYPE_U16, DTYPE_I16, DTYPE_F16, DTYPE_BF16, DTYPE_U32,
    DTYPE_I32, DTYPE_F32, DTYPE_U64, DTYPE_I64, DTYPE_F64, DTYPE_F8_E4M3, DTYPE_F8_E5M2,
    DTYPE_F8_E8M0, DTYPE_C64, DTYPE_COUNT
};
MLXK_FN size_t dtype_size(enum dtype t);             /* bytes per element */
MLXK_FN const char *dtype_name(enum dtype t);        /* as safetensors spells it: "BF16" */
MLXK_FN bool dtype_parse(struct str name, enum dtype *out);

/* ---- safetensors (safet_read.c, safet_write.c) -------------------------------------------- */

enum { SAFET_MAX_DIMS = 8, SAFET_MAX_NAME = 4096, SAFET_MAX_FILE_NAME = 255 };
#define SAFET_MAX_DIM     ((int64_t)1 << 31)         /* one dimension; keeps products checkable */
#define SAFET_MAX_HEADER  ((size_t)100000000)        /* the reference implementation's limit */
#define SAFET_MAX_TENSORS ((size_t)1000000)

struct safet_tensor {
    struct str name;             /* in the arena */
    enum dtype dtype;
    int n_dims;
    int64_t shape[SAFET_MAX_DIMS];   /* outermost first */
    size_t begin, end;           /* byte offsets from the start of the FILE */
};
struct safet {
    struct safet_tensor *tensors;    /* sorted by name */
    size_t n;
    size_t header_bytes;             /* 8 + N: where data begins */
    const struct json *metadata;     /* "__metadata__" object, or NULL when absent or null */
};
/* Parses the header at the start of `file` (at least 8 + N bytes present) of a file of file_bytes.
 * Refuses: N over the limit or past the end, no leading '{', duplicate names, unknown dtypes,
 * shapes whose product disagrees with the offsets, offsets outside or overlapping the data, holes,
 * trailing bytes, metadata that is neither null nor an object of strings, names with NUL.
 * On failure *out is empty.
 * err    ERR_FORMAT, ERR_LIMIT, ERR_UNSUPPORTED (a dtype of another name), ERR_NO_MEMORY
 * mem    everything in `a`; nothing borrows from `file`
 * ref    safetensors README "Format" */
MLXK_FN bool safet_parse(struct arena *a, struct str file, uint64_t file_bytes, struct safet *out,
                         struct err *e);
/* NULL = absent. */
MLXK_FN const struct safet_tensor *safet_find(const struct safet *s, struct str name);
/* Appends header bytes (8-byte length, JSON padded with spaces to 8) for tensors written in the
 * given order, data packed without holes; begin/end of `tensors` are filled in, counted from where
 * the header begins in `out`. metadata: {"format":"mlx"} when `mlx`.
 * err    ERR_FORMAT: a name occurs twice or cannot be one; ERR_LIMIT; ERR_NO_MEMORY */
MLXK_FN bool safet_write_header(struct buf *out, struct safet_tensor *tensors, size_t n, bool mlx,
                                struct err *e);

/* Shard index, "model.safetensors.index.json". Tensors keep the order of the text. */
struct safet_index {
    struct str *tensor_names, *file_names;   /* n of each: file_names[i] holds tensor_names[i] */
    size_t n;
    struct str *files;                       /* each file once, in order of first mention */
    size_t n_files;
};
/* File names that are empty, longer than SAFET_MAX_FILE_NAME or contain '/', '\\', ".." or NUL are
 * refused, and so are tensors named twice. mem: everything in `a`. */
MLXK_FN bool safet_index_parse(struct arena *a, struct str text, struct safet_index *out,
                               struct err *e);

/* ---- GGUF v2/v3 (gguf_read.c) ------------------------------------------------------------- */

enum { GGUF_MAX_KEYS = 65536, GGUF_MAX_TENSORS = 65536, GGUF_MAX_ITEMS = 1 << 24,
       GGUF_MAX_NAME = 65535 };

enum gguf_kind {   /* value types of the file format */
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING,
    GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64
};
enum gguf_type {   /* tensor types whose layout is known; others have a number only */
    GGUF_T_F32 = 0, GGUF_T_F16 = 1, GGUF_T_Q4_0 = 2, GGUF_T_Q4_1 = 3, GGUF_T_Q5_0 = 6,
    GGUF_T_Q5_1 = 7, GGUF_T_Q8_0 = 8, GGUF_T_Q2_K = 10, GGUF_T_Q3_K = 11, GGUF_T_Q4_K = 12,
    GGUF_T_Q5_K = 13, GGUF_T_Q6_K = 14, GGUF_T_BF16 = 30,
};
struct gguf_value {
    struct str key;              /* in the file */
    enum gguf_kind kind, item_kind;   /* item_kind: elements of an array */
    uint64_t n;                  /* array length; 1 otherwise */
    struct str raw;              /* scalar or array payload in the file (for strings: the text) */
    const struct str *strings;   /* arrays of strings: n views; NULL otherwise */
};
struct gguf_tensor {
    struct str name;
    int n_dims;                  /* 0..4 */
    int64_t shape[4];            /* outermost first (the file stores fastest first) */
    uint32_t type;               /* enum gguf_type, or another number of the format */
    size_t begin, end;           /* byte offsets inside the file; end == begin: type not known */
};
struct gguf {
    uint32_t version;
    struct gguf_value *values; size_t n_values;
    struct gguf_tensor *tensors; size_t n_tensors;
};
/* Reads header, keys and tensor table of a whole file (mapped). GGUF_MAX_ITEMS bounds the elements
 * of all arrays together, GGUF_MAX_NAME keys and tensor names; both are unique, valid UTF-8 without
 * NUL. String values may hold any bytes. Tensors of known types lie one behind the other, aligned,
 * inside the file.
 * err    ERR_FORMAT with byte offset; ERR_LIMIT; ERR_UNSUPPORTED (version 1, big-endian, nested
 *        arrays); ERR_NO_MEMORY
 * mem    tables in `a`, texts borrowed from `file`
 * ref    GGUF specification, versions 2 and 3 */
MLXK_FN bool gguf_parse(struct arena *a, struct str file, struct gguf *out, struct err *e);
/* NULL = absent. */
MLXK_FN const struct gguf_value *gguf_find(const struct gguf *g, const char *key_cstr);
/* Typed reads: false and ERR_FORMAT naming the key when absent, of another kind or out of range.
 * u64 takes every integer kind and bool (0, 1); f64 takes F32 and F64 that are finite. */
MLXK_FN bool gguf_read_u64(const struct gguf *g, const char *key_cstr, uint64_t max, uint64_t *out,
                           struct err *e);
MLXK_FN bool gguf_read_f64(const struct gguf *g, const char *key_cstr, double *out, struct err *e);
MLXK_FN bool gguf_read_str(const struct gguf *g, const char *key_cstr, struct str *out,
                           struct err *e);
/* Element of an array of integers or booleans; false when it is none or does not fit. */
MLXK_FN bool gguf_item_i64(const struct gguf_value *array, uint64_t index, int64_t *out);
MLXK_FN const char *gguf_type_name(uint32_t type);   /* "Q4_1", "MXFP4"; "unknown" */
/* Elements and bytes per block; false for types this program cannot read. */
MLXK_FN bool gguf_type_block(uint32_t type, size_t *items, size_t *size_bytes);

/* ---- tar archives (tar.c) ------------------------------------------------------------------ */

enum { TAR_BLOCK = 512, TAR_MAX_NAME = 4096 };
enum tar_kind { TAR_FILE, TAR_HARDLINK, TAR_SYMLINK, TAR_DIR, TAR_OTHER };
struct tar_entry {
    enum tar_kind kind;
    struct str path, link;       /* link: target of the two kinds of links, else empty */
    uint64_t size_bytes;         /* of the content that follows; files only */
    uint32_t mode;               /* 07777 */
    int64_t mtime_s;             /* since 1970; negative is written as 0 */
};
/* Appends the header blocks of an entry; its content, tar_write_padding and, at the very end of the
 * archive, tar_write_end come from the caller. kind is not TAR_OTHER. err: ERR_NO_MEMORY,
 * ERR_LIMIT. */
MLXK_FN bool tar_write_header(struct buf *out, const struct tar_entry *x, struct err *e);
MLXK_FN void tar_write_padding(struct buf *out, uint64_t size_bytes);
MLXK_FN void tar_write_end(struct buf *out);
MLXK_FN size_t tar_padding(uint64_t size_bytes);     /* bytes up to the next block */

/* Fills p[0, n) from the archive; fewer is an error (the archive is cut). */
typedef bool (*tar_read_fn)(void *ctx, void *p, size_t n, struct err *e);
struct tar_reader {
    struct arena *arena;         /* names of entries: the caller may rewind it between entries */
    tar_read_fn read; void *ctx;
    uint64_t offset_bytes;       /* into the archive */
    uint64_t left_bytes;         /* of the entry's content */
    size_t padding;
};
MLXK_FN bool tar_is(struct str head);     /* do these first 512 bytes begin an archive? */
MLXK_FN void tar_reader_init(struct tar_reader *r, struct arena *a, tar_read_fn read, void *ctx);
/* The next entry, past whatever is left of this one; *end: there is none. Names are as the archive
 * has them: nothing about them is safe. err: ERR_FORMAT with the byte offset, those of read. */
MLXK_FN bool tar_next(struct tar_reader *r, struct tar_entry *out, bool *end, struct err *e);
/* The next n bytes of the entry's content, n <= left_bytes. */
MLXK_FN bool tar_read(struct tar_reader *r, void *p, size_t n, struct err *e);
MLXK_FN bool tar_skip(struct tar_reader *r, struct err *e);   /* to the end of the entry */

/* ---- LZ4 frames (lz4.c) ------------------------------------------------------------------ */

/* Unpacks exactly one frame, to its end mark, into out; *n_out bytes of at most cap. Headers and
 * lengths are checked, and every checksum that the frame has; frames with a dictionary are refused.
 * err    ERR_FORMAT (damaged, cut, or followed by something), ERR_LIMIT (more than cap),
 *        ERR_UNSUPPORTED; what out holds then is undefined
 * ref    LZ4 Frame Format 1.6.1, LZ4 Block Format */
MLXK_FN bool lz4_unpack(uint8_t *out, size_t cap, size_t *n_out, struct str frame, struct err *e);

#endif
