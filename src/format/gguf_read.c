/* gguf_read.c: GGUF headers, versions 2 and 3, little-endian.
 *
 *   "GGUF" | u32 version | u64 tensors | u64 keys
 *   keys:    string name, u32 kind, value        (string = u64 length + bytes;
 *            array = u32 item kind, u64 count, items)
 *   tensors: string name, u32 dims, u64 dim[] fastest first, u32 type, u64 offset
 *   zeros up to general.alignment (32), then the data; offsets count from there
 *
 * The file stays where it is: tables go into the arena, texts and payloads are views of the file.
 * Values are not interpreted here beyond their kind; tensor data is not looked at.
 *
 * 1. pos never leaves the file: every read goes through gguf_read_bytes.
 * 2. A count from the file is checked against the bytes left before anything is allocated for it.
 * 3. A tensor of a known type lies inside the file, behind the tensor before it, aligned.
 * ref: GGUF specification.
 */
#include "format/format.h"

enum {
    GGUF_READ_MAGIC = 0x46554747,    /* "GGUF", little-endian */
    GGUF_READ_ALIGNMENT = 32,        /* unless general.alignment says otherwise */
    GGUF_READ_KEY_BYTES = 8 + 4 + 1, /* the least a key can take: empty name, kind, one byte */
    GGUF_READ_TENSOR_BYTES = 8 + 4 + 4 + 8,
    GGUF_READ_MAX_DIMS = 4,
};
#define GGUF_READ_MAX_DIM ((uint64_t)1 << 40)    /* one dimension; products are checked */

struct gguf_reader {
    struct arena *arena;
    struct str file;
    size_t pos;
    uint64_t items_left;             /* of GGUF_MAX_ITEMS */
};

/* ---- reading ---- */

static bool gguf_read_fail(const struct gguf_reader *r, const char *what_cstr, struct err *e) {
    return err_set(e, ERR_FORMAT, "GGUF byte %zu: %s", r->pos, what_cstr);
}

static bool gguf_read_bytes(struct gguf_reader *r, uint64_t n, struct str *out, struct err *e) {
    if (n > r->file.n - r->pos) {
        return err_set(e, ERR_FORMAT, "GGUF byte %zu: %llu bytes wanted, %zu left", r->pos,
                       (unsigned long long)n, r->file.n - r->pos);
    }
    *out = str_sub(r->file, r->pos, r->pos + (size_t)n);
    r->pos += (size_t)n;
    return true;
}

static bool gguf_read_word32(struct gguf_reader *r, uint32_t *out, struct err *e) {
    struct str raw;
    if (!gguf_read_bytes(r, sizeof *out, &raw, e)) {
        return false;
    }
    *out = num_read_u32(raw.p);
    return true;
}

static bool gguf_read_word64(struct gguf_reader *r, uint64_t *out, struct err *e) {
    struct str raw;
    if (!gguf_read_bytes(r, sizeof *out, &raw, e)) {
        return false;
    }
    *out = num_read_u64(raw.p);
    return true;
}

static bool gguf_read_text(struct gguf_reader *r, struct str *out, struct err *e) {
    uint64_t n;
    return gguf_read_word64(r, &n, e) && gguf_read_bytes(r, n, out, e);
}

/* A key or tensor name, entered into `seen`. */
static bool gguf_read_name(struct gguf_reader *r, struct map *seen, struct str *out,
                           struct err *e) {
    if (!gguf_read_text(r, out, e)) {
        return false;
    }
    if (out->n > GGUF_MAX_NAME) {
        return err_set(e, ERR_LIMIT, "GGUF byte %zu: a name of %zu bytes is over the limit of %d",
                       r->pos, out->n, GGUF_MAX_NAME);
    }
    if (!utf8_valid(*out) || str_find_char(*out, '\0') >= 0) {
        return gguf_read_fail(r, "a name is not valid UTF-8 without NUL", e);
    }
    bool is_new;
    if (!map_put(seen, *out, &is_new)) {
        return err_oom(e, out->n, "the names of a GGUF file");
    }
    return is_new || err_set(e, ERR_FORMAT, "GGUF byte %zu: \"" STR_FMT "\" occurs twice", r->pos,
                             STR_ARG(str_sub(*out, 0, 200)));
}

/* ---- values ---- */

/* Bytes of a scalar; 0 for strings, arrays and kinds that do not exist. */
static size_t gguf_read_scalar_size(uint32_t kind) {
    switch (kind) {
    case GGUF_U8: case GGUF_I8: case GGUF_BOOL: return 1;
    case GGUF_U16: case GGUF_I16: return 2;
    case GGUF_U32: case GGUF_I32: case GGUF_F32: return 4;
    case GGUF_U64: case GGUF_I64: case GGUF_F64: return 8;
    default: return 0;
    }
}

static bool gguf_read_strings(struct gguf_reader *r, struct gguf_value *v, struct err *e) {
    size_t begin = r->pos;
    if (v->n > (r->file.n - r->pos) / sizeof(uint64_t)) {
        return gguf_read_fail(r, "an array of strings is longer than the file", e);
    }
    struct str *strings = ARENA_ARRAY(r->arena, struct str, (size_t)v->n);
    if (!strings) {
        return err_oom(e, (size_t)v->n * sizeof *strings, "the strings of a GGUF file");
    }
    for (uint64_t i = 0; i < v->n; i++) {
        if (!gguf_read_text(r, &strings[i], e)) {
            return false;
        }
    }
    v->strings = strings;
    v->raw = str_sub(r->file, begin, r->pos);
    return true;
}

static bool gguf_read_array(struct gguf_reader *r, struct gguf_value *v, struct err *e) {
    uint32_t kind;
    if (!gguf_read_word32(r, &kind, e) || !gguf_read_word64(r, &v->n, e)) {
        return false;
    }
    if (kind == GGUF_ARRAY) {
        return err_set(e, ERR_UNSUPPORTED, "GGUF byte %zu: arrays of arrays are not supported",
                       r->pos);
    }
    size_t size = gguf_read_scalar_size(kind);
    if (size == 0 && kind != GGUF_STRING) {
        return gguf_read_fail(r, "an array of items of a kind that does not exist", e);
    }
    if (v->n > r->items_left) {
        return err_set(e, ERR_LIMIT, "GGUF byte %zu: arrays hold more than %d items together",
                       r->pos, GGUF_MAX_ITEMS);
    }
    r->items_left -= v->n;
    v->item_kind = (enum gguf_kind)kind;
    if (kind == GGUF_STRING) {
        return gguf_read_strings(r, v, e);
    }
    return gguf_read_bytes(r, v->n * size, &v->raw, e);   /* at most 2^24 * 8 */
}

static bool gguf_read_value(struct gguf_reader *r, struct map *seen, struct gguf_value *v,
                            struct err *e) {
    uint32_t kind;
    if (!gguf_read_name(r, seen, &v->key, e) || !gguf_read_word32(r, &kind, e)) {
        return false;
    }
    size_t size = gguf_read_scalar_size(kind);
    bool known = size > 0 || kind == GGUF_STRING || kind == GGUF_ARRAY;
    v->kind = v->item_kind = known ? (enum gguf_kind)kind : GGUF_U8;
    v->n = 1;
    bool ok = !known ? gguf_read_fail(r, "a value of a kind that does not exist", e)
            : kind == GGUF_ARRAY ? gguf_read_array(r, v, e)
            : kind == GGUF_STRING ? gguf_read_text(r, &v->raw, e)
            : gguf_read_bytes(r, size, &v->raw, e);
    if (ok && kind == GGUF_BOOL && (uint8_t)v->raw.p[0] > 1) {
        ok = gguf_read_fail(r, "a boolean is neither 0 nor 1", e);
    }
    return ok || err_context(e, "key \"" STR_FMT "\": ", STR_ARG(str_sub(v->key, 0, 100)));
}

/* ---- tensors ---- */

struct gguf_type_row { const char *name_cstr; uint16_t items, size_bytes; };

/* By number; items 0: known by name only. */
static const struct gguf_type_row *gguf_type_row(uint32_t type) {
    static const struct gguf_type_row rows[] = {
        [GGUF_T_F32] = { "F32", 1, 4 },      [GGUF_T_F16] = { "F16", 1, 2 },
        [GGUF_T_Q4_0] = { "Q4_0", 32, 18 },  [GGUF_T_Q4_1] = { "Q4_1", 32, 20 },
        [GGUF_T_Q5_0] = { "Q5_0", 32, 22 },  [GGUF_T_Q5_1] = { "Q5_1", 32, 24 },
        [GGUF_T_Q8_0] = { "Q8_0", 32, 34 },  [9] = { "Q8_1", 0, 0 },
        [GGUF_T_Q2_K] = { "Q2_K", 256, 84 }, [GGUF_T_Q3_K] = { "Q3_K", 256, 110 },
        [GGUF_T_Q4_K] = { "Q4_K", 256, 144 }, [GGUF_T_Q5_K] = { "Q5_K", 256, 176 },
        [GGUF_T_Q6_K] = { "Q6_K", 256, 210 }, [15] = { "Q8_K", 0, 0 },
        [16] = { "IQ2_XXS", 0, 0 }, [17] = { "IQ2_XS", 0, 0 }, [18] = { "IQ3_XXS", 0, 0 },
        [19] = { "IQ1_S", 0, 0 },   [20] = { "IQ4_NL", 0, 0 }, [21] = { "IQ3_S", 0, 0 },
        [22] = { "IQ2_S", 0, 0 },   [23] = { "IQ4_XS", 0, 0 }, [24] = { "I8", 0, 0 },
        [25] = { "I16", 0, 0 },     [26] = { "I32", 0, 0 },    [27] = { "I64", 0, 0 },
        [28] = { "F64", 0, 0 },     [29] = { "IQ1_M", 0, 0 },  [GGUF_T_BF16] = { "BF16", 1, 2 },
        [34] = { "TQ1_0", 0, 0 },   [35] = { "TQ2_0", 0, 0 },  [39] = { "MXFP4", 0, 0 },
    };
    return type < MLXK_COUNT(rows) && rows[type].name_cstr ? &rows[type] : NULL;
}

/* Bytes of the data; 0 for types of unknown size. */
static bool gguf_read_size(const struct gguf_reader *r, const struct gguf_tensor *t, size_t *size,
                           struct err *e) {
    size_t items, block_bytes, count = 1, row = t->n_dims ? (size_t)t->shape[t->n_dims - 1] : 1;
    *size = 0;
    for (int d = 0; d < t->n_dims; d++) {
        if (!num_mul(count, (size_t)t->shape[d], &count)) {
            return gguf_read_fail(r, "the product of a shape overflows", e);
        }
    }
    if (!gguf_type_block(t->type, &items, &block_bytes)) {
        return true;
    }
    if (row % items != 0) {
        return err_set(e, ERR_FORMAT, "GGUF byte %zu: rows of %zu elements are no whole blocks of "
                       "%zu", r->pos, row, items);
    }
    return num_mul(count / items, block_bytes, size) ||
           gguf_read_fail(r, "the size of a tensor overflows", e);
}

/* One row of the tensor table; begin is set to the offset as the file states it. */
static bool gguf_read_tensor(struct gguf_reader *r, struct map *seen, struct gguf_tensor *t,
                             struct err *e) {
    uint32_t n_dims;
    uint64_t dim, offset;
    if (!gguf_read_name(r, seen, &t->name, e) || !gguf_read_word32(r, &n_dims, e)) {
        return false;
    }
    if (n_dims > GGUF_READ_MAX_DIMS) {
        return gguf_read_fail(r, "a tensor has more than four dimensions", e);
    }
    t->n_dims = (int)n_dims;
    for (uint32_t d = n_dims; d-- > 0;) {        /* the file begins with the fastest */
        if (!gguf_read_word64(r, &dim, e)) {
            return false;
        }
        if (dim > GGUF_READ_MAX_DIM) {
            return gguf_read_fail(r, "a dimension is over the limit of 2^40", e);
        }
        t->shape[d] = (int64_t)dim;
    }
    if (!gguf_read_word32(r, &t->type, e) || !gguf_read_word64(r, &offset, e)) {
        return false;
    }
    t->begin = (size_t)offset;
    return true;
}

/* Turns stated offsets into bytes of the file. */
static bool gguf_read_place(struct gguf_reader *r, struct gguf *g, struct err *e) {
    uint64_t alignment = GGUF_READ_ALIGNMENT;
    if (gguf_find(g, "general.alignment") &&
        !gguf_read_u64(g, "general.alignment", UINT32_MAX, &alignment, e)) {
        return false;
    }
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
        return gguf_read_fail(r, "general.alignment is not a power of two", e);
    }
    size_t data = (r->pos + alignment - 1) & ~(size_t)(alignment - 1), at = data, size;
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        size_t offset = t->begin;
        bool ok = gguf_read_size(r, t, &size, e);
        if (ok && (!num_add(data, offset, &t->begin) || !num_add(t->begin, size, &t->end) ||
                   t->end > r->file.n)) {
            ok = err_set(e, ERR_FORMAT, "%zu bytes at offset %zu are not inside the file of %zu",
                         size, offset, r->file.n);
        } else if (ok && (offset % alignment != 0 || t->begin < at)) {
            ok = err_set(e, ERR_FORMAT, "offset %zu is not aligned or inside another tensor",
                         offset);
        }
        if (!ok) {
            return err_context(e, "tensor \"" STR_FMT "\": ", STR_ARG(str_sub(t->name, 0, 100)));
        }
        at = t->end;
    }
    return true;
}

/* ---- the file ---- */

static bool gguf_read_start(struct gguf_reader *r, struct gguf *g, uint64_t *n_tensors,
                            uint64_t *n_values, struct err *e) {
    uint32_t magic;
    if (!gguf_read_word32(r, &magic, e)) {
        return false;
    }
    if (magic != GGUF_READ_MAGIC) {
        return err_set(e, ERR_FORMAT, "the file does not begin with \"GGUF\"");
    }
    if (!gguf_read_word32(r, &g->version, e)) {
        return false;
    }
    if (g->version != 2 && g->version != 3) {
        bool swapped = g->version != 0 && (g->version & 0xffff) == 0;
        return err_set(e, ERR_UNSUPPORTED, swapped ? "big-endian GGUF is not supported"
                       : "GGUF version %u is not supported, only 2 and 3", g->version);
    }
    if (!gguf_read_word64(r, n_tensors, e) || !gguf_read_word64(r, n_values, e)) {
        return false;
    }
    if (*n_tensors > GGUF_MAX_TENSORS || *n_values > GGUF_MAX_KEYS) {
        return err_set(e, ERR_LIMIT, "GGUF with %llu tensors and %llu keys, limits are %d and %d",
                       (unsigned long long)*n_tensors, (unsigned long long)*n_values,
                       GGUF_MAX_TENSORS, GGUF_MAX_KEYS);
    }
    return *n_values * GGUF_READ_KEY_BYTES + *n_tensors * GGUF_READ_TENSOR_BYTES <=
           r->file.n - r->pos || gguf_read_fail(r, "the file is shorter than its tables", e);
}

static bool gguf_read_tables(struct gguf_reader *r, struct map *keys, struct map *names,
                             struct gguf *g, struct err *e) {
    uint64_t n_tensors, n_values;
    if (!gguf_read_start(r, g, &n_tensors, &n_values, e)) {
        return false;
    }
    g->values = ARENA_ARRAY(r->arena, struct gguf_value, (size_t)n_values);
    g->tensors = ARENA_ARRAY(r->arena, struct gguf_tensor, (size_t)n_tensors);
    if (!g->values || !g->tensors) {
        return err_oom(e, (size_t)(n_values + n_tensors) * sizeof *g->tensors, "a GGUF header");
    }
    for (; g->n_values < n_values; g->n_values++) {
        if (!gguf_read_value(r, keys, &g->values[g->n_values], e)) {
            return false;
        }
    }
    for (; g->n_tensors < n_tensors; g->n_tensors++) {
        if (!gguf_read_tensor(r, names, &g->tensors[g->n_tensors], e)) {
            return false;
        }
    }
    return gguf_read_place(r, g, e);
}

/* ---- (Public) ---- */

MLXK_FN bool gguf_parse(struct arena *a, struct str file, struct gguf *out, struct err *e) {
    struct gguf_reader r = { .arena = a, .file = file, .items_left = GGUF_MAX_ITEMS };
    struct map keys, names;
    map_init(&keys, GGUF_MAX_KEYS);
    map_init(&names, GGUF_MAX_TENSORS);
    *out = (struct gguf){ 0 };
    bool ok = gguf_read_tables(&r, &keys, &names, out, e);
    map_release(&keys);
    map_release(&names);
    if (!ok) {
        *out = (struct gguf){ 0 };
    }
    return ok;
}

MLXK_FN const struct gguf_value *gguf_find(const struct gguf *g, const char *key_cstr) {
    struct str key = str_cstr(key_cstr);
    for (size_t i = 0; i < g->n_values; i++) {
        if (str_eq(g->values[i].key, key)) {
            return &g->values[i];
        }
    }
    return NULL;
}

/* An integer of any kind at p: its value as two's complement, and whether that is negative. */
static bool gguf_read_integer(enum gguf_kind kind, const char *p, uint64_t *out, bool *negative) {
    int64_t x = 0;
    switch (kind) {
    case GGUF_BOOL: case GGUF_U8: x = (uint8_t)*p; break;
    case GGUF_I8: x = (int8_t)*p; break;
    case GGUF_U16: x = num_read_u16(p); break;
    case GGUF_I16: x = (int16_t)num_read_u16(p); break;
    case GGUF_U32: x = num_read_u32(p); break;
    case GGUF_I32: x = (int32_t)num_read_u32(p); break;
    case GGUF_U64: case GGUF_I64: x = (int64_t)num_read_u64(p); break;
    default: return false;
    }
    *out = (uint64_t)x;
    *negative = x < 0 && kind != GGUF_U64;
    return true;
}

static bool gguf_read_bad(const char *key_cstr, bool absent, const char *wanted_cstr,
                          struct err *e) {
    return err_set(e, ERR_FORMAT, absent ? "GGUF key \"%s\" is missing, expected %s"
                                         : "GGUF key \"%s\" is not %s", key_cstr, wanted_cstr);
}

MLXK_FN bool gguf_read_u64(const struct gguf *g, const char *key_cstr, uint64_t max, uint64_t *out,
                           struct err *e) {
    const struct gguf_value *v = gguf_find(g, key_cstr);
    uint64_t x;
    bool negative;
    if (!v || !gguf_read_integer(v->kind, v->raw.p, &x, &negative) || negative) {
        return gguf_read_bad(key_cstr, !v, "an integer from 0", e);
    }
    if (x > max) {
        return err_set(e, ERR_FORMAT, "GGUF key \"%s\" is %llu, at most %llu is allowed", key_cstr,
                       (unsigned long long)x, (unsigned long long)max);
    }
    *out = x;
    return true;
}

MLXK_FN bool gguf_read_f64(const struct gguf *g, const char *key_cstr, double *out,
                           struct err *e) {
    const struct gguf_value *v = gguf_find(g, key_cstr);
    float f32;
    double x = 0;
    if (v && v->kind == GGUF_F32) {
        memcpy(&f32, v->raw.p, sizeof f32);
        x = (double)f32;
    } else if (v && v->kind == GGUF_F64) {
        memcpy(&x, v->raw.p, sizeof x);
    } else {
        return gguf_read_bad(key_cstr, !v, "a floating-point number", e);
    }
    if (!(x - x == 0)) {                         /* infinite or NaN */
        return gguf_read_bad(key_cstr, false, "a finite number", e);
    }
    *out = x;
    return true;
}

MLXK_FN bool gguf_read_str(const struct gguf *g, const char *key_cstr, struct str *out,
                           struct err *e) {
    const struct gguf_value *v = gguf_find(g, key_cstr);
    if (!v || v->kind != GGUF_STRING) {
        return gguf_read_bad(key_cstr, !v, "a string", e);
    }
    *out = v->raw;
    return true;
}

MLXK_FN bool gguf_item_i64(const struct gguf_value *array, uint64_t index, int64_t *out) {
    uint64_t x;
    bool negative;
    if (array->kind != GGUF_ARRAY || index >= array->n) {
        return false;
    }
    size_t size = gguf_read_scalar_size(array->item_kind);
    if (!gguf_read_integer(array->item_kind, array->raw.p + index * size, &x, &negative) ||
        (!negative && x > INT64_MAX)) {
        return false;
    }
    *out = (int64_t)x;
    return true;
}

MLXK_FN const char *gguf_type_name(uint32_t type) {
    const struct gguf_type_row *row = gguf_type_row(type);
    return row ? row->name_cstr : "unknown";
}

MLXK_FN bool gguf_type_block(uint32_t type, size_t *items, size_t *size_bytes) {
    const struct gguf_type_row *row = gguf_type_row(type);
    if (!row || row->items == 0) {
        return false;
    }
    *items = row->items;
    *size_bytes = row->size_bytes;
    return true;
}

#undef GGUF_READ_MAX_DIM
