/* model_weights.c: the shards of a directory, and tensors out of them.
 *
 *  1. Files: those named by model.safetensors.index.json, else every model*.safetensors of the
 *     folder.
 *  2. With `mapped` each shard is mapped whole and its tensors are borrowed; without, only its
 *     header is read (for model_check) and data pointers stay NULL. Everything else is the same
 *     code.
 *  3. A tensor is handed out only with the dtype and the shape that were asked for.
 */
#include "model/model_int.h"

enum { WEIGHTS_MAX_DIR = 65536, WEIGHTS_MAX_NAME = 256 };

/* ---- finding and opening shards (Private) ---------------------------------------------------- */

#define WEIGHTS_INDEX "model.safetensors.index.json"

static bool weights_indexed(struct model_loader *l, struct str **files, size_t *n, struct err *e) {
    struct arena *a = &l->m->arena;
    struct str text;
    struct safet_index index;
    char *path = os_path_join(a, l->dir_cstr, WEIGHTS_INDEX);
    if (!path) return err_oom(e, LIMIT_PATH, "a path");
    if (!os_read_file(a, path, LIMIT_JSON_FILE, &text, e)
        || !safet_index_parse(a, text, &index, e))
        return err_context(e, WEIGHTS_INDEX ": ");
    *files = index.files;
    *n = index.n_files;
    return true;
}

static bool weights_find(struct model_loader *l, struct str **files, size_t *n, struct err *e) {
    struct os_entry *entries;
    size_t n_entries;
    bool indexed = false;
    if (!os_list_dir(&l->m->arena, l->dir_cstr, WEIGHTS_MAX_DIR, &entries, &n_entries, e))
        return false;
    *files = ARENA_ARRAY(&l->m->arena, struct str, n_entries);
    if (!*files) return err_oom(e, n_entries * sizeof **files, "the list of shards");
    *n = 0;
    for (size_t i = 0; i < n_entries; i++) {
        if (entries[i].kind == OS_DIR) continue;
        indexed = indexed || str_eq(entries[i].name, STR(WEIGHTS_INDEX));
        if (str_glob(STR("model*.safetensors"), entries[i].name))
            (*files)[(*n)++] = entries[i].name;
    }
    if (indexed && !weights_indexed(l, files, n, e)) return false;
    if (*n == 0) {
        err_set(e, ERR_NOT_FOUND, "no model*.safetensors in %s", l->dir_cstr);
        return err_hint(e, "only models in safetensors format can be run");
    }
    if (*n > MODEL_MAX_SHARDS)
        return err_set(e, ERR_LIMIT, "%zu shards, at most %d are allowed", *n,
                       (int)MODEL_MAX_SHARDS);
    return true;
}

/* The first 8 + N bytes of a file, N as its header says (bounded); shorter when the file is. Most
 * headers come with the first read. */
static bool weights_header(struct arena *a, const char *path_cstr, struct str *out,
                           uint64_t *file_bytes, struct err *e) {
    struct os_stat st;
    char first[8192];
    size_t n = 0, n_more = 0;
    int fd = os_open(path_cstr, OS_READ, e);
    if (fd < 0) return false;
    bool ok = os_fstat(fd, &st) ? true : err_set(e, ERR_IO, "%s cannot be examined", path_cstr);
    ok = ok && os_pread(fd, first, sizeof first, 0, &n, e);
    if (ok) {
        uint64_t want = n >= 8 ? num_read_u64((const uint8_t *)first) : 0;
        if (want > SAFET_MAX_HEADER) want = 0;           /* safet_parse says so */
        size_t size = 8 + (size_t)want;
        if (size > st.size_bytes) size = (size_t)st.size_bytes;
        if (n > size) n = size;
        char *p = arena_alloc(a, size, 1);
        if (p) memcpy(p, first, n);
        ok = p ? n == size || os_pread(fd, p + n, size - n, n, &n_more, e)
               : err_oom(e, size, "a safetensors header");
        *out = (struct str){ p, n + n_more };
        *file_bytes = st.size_bytes;
    }
    os_close(fd);
    return ok;
}

static bool weights_shard(struct model_loader *l, size_t i, struct str file, struct err *e) {
    struct arena *a = &l->m->arena;
    char *name = str_dup_cstr(a, file);
    char *path = name ? os_path_join(a, l->dir_cstr, name) : NULL;
    if (!path) return err_oom(e, LIMIT_PATH, "a path");
    struct str head = { NULL, 0 };
    uint64_t size_bytes = 0;
    bool ok = l->mapped ? os_map_file(path, &l->m->maps[i], e)
                        : weights_header(a, path, &head, &size_bytes, e);
    if (!ok && e->code == ERR_NOT_FOUND) {
        err_set(e, ERR_NOT_FOUND, "the weights %s are missing", path);
        return err_hint(e, "the model is incomplete: pull or import it again");
    }
    if (!ok) return false;
    if (l->mapped) {
        l->m->n_maps = i + 1;
        size_bytes = l->m->maps[i].size_bytes;
        head = (struct str){ (const char *)l->m->maps[i].p, l->m->maps[i].size_bytes };
    }
    l->n_shards = i + 1;
    return safet_parse(a, head, size_bytes, &l->shards[i], e) || err_context(e, "%s: ", name);
}

static bool weights_merge(struct model_loader *l, struct err *e) {
    for (size_t i = 0; i < l->n_shards; i++)
        for (size_t j = 0; j < l->shards[i].n; j++) {
            bool is_new;
            struct str name = l->shards[i].tensors[j].name;
            uint64_t *slot = map_put(&l->where, name, &is_new);
            if (!slot) return err_oom(e, name.n, "the tensor index");
            if (!is_new) return err_set(e, ERR_FORMAT, "tensor \"" STR_FMT "\" is in two shards",
                                        STR_ARG(str_sub(name, 0, 128)));
            *slot = i;
        }
    return true;
}

/* ---- finding and opening shards (Public) ----------------------------------------------------- */

MLXK_FN bool model_loader_open(struct model_loader *l, struct err *e) {
    struct str *files = NULL;
    size_t n = 0;
    map_init(&l->where, SAFET_MAX_TENSORS);
    if (!weights_find(l, &files, &n, e)) return false;
    l->shards = ARENA_ARRAY(&l->m->arena, struct safet, n);
    l->m->maps = ARENA_ARRAY(&l->m->arena, struct os_map, n);
    if (!l->shards || !l->m->maps) return err_oom(e, n * sizeof *l->shards, "the shards");
    for (size_t i = 0; i < n; i++)
        if (!weights_shard(l, i, files[i], e)) return false;
    return n == 1 || weights_merge(l, e);
}

MLXK_FN void model_loader_release(struct model_loader *l) {
    map_release(&l->where);
}

/* ---- tensors --------------------------------------------------------------------------------- */

struct weights_tensor { const struct safet_tensor *t; const uint8_t *data; };

static bool weights_get(const struct model_loader *l, const char *name_cstr,
                        struct weights_tensor *out) {
    struct str name = str_cstr(name_cstr);
    size_t shard = 0;
    if (l->n_shards > 1) {
        const uint64_t *slot = map_get(&l->where, name);
        if (!slot) return false;
        shard = (size_t)*slot;
    }
    out->t = safet_find(&l->shards[shard], name);
    if (!out->t) return false;
    out->data = l->mapped ? l->m->maps[shard].p + out->t->begin : NULL;
    return true;
}

MLXK_FN void model_join_name(char *out, size_t cap, const char *path_cstr, const char *end_cstr) {
    size_t n = strlen(path_cstr), n_end = strlen(end_cstr);
    if (n > cap - 1) n = cap - 1;
    if (n_end > cap - 1 - n) n_end = cap - 1 - n;
    memcpy(out, path_cstr, n);
    memcpy(out + n, end_cstr, n_end);
    out[n + n_end] = '\0';
}

MLXK_FN bool model_has(const struct model_loader *l, const char *name_cstr) {
    struct weights_tensor t;
    return weights_get(l, name_cstr, &t);
}

static void weights_shape_text(char *out, size_t cap, const int64_t *shape, int n) {
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < n && at + 24 < cap; i++)
        at += (size_t)snprintf(out + at, cap - at, "%s%lld", i ? ", " : "", (long long)shape[i]);
}

/* A tensor that must exist with this shape; counted as used. */
static bool weights_need(struct model_loader *l, const char *name_cstr, const int64_t *shape,
                         int n_dims, struct weights_tensor *out, struct err *e) {
    if (!weights_get(l, name_cstr, out)) {
        err_set(e, ERR_FORMAT, "tensor \"%s\" is missing", name_cstr);
        return err_hint(e, "the files are incomplete, or config.json describes another model");
    }
    bool same = out->t->n_dims == n_dims;
    for (int i = 0; same && i < n_dims; i++) same = out->t->shape[i] == shape[i];
    if (!same) {
        char has[200], wants[64];
        weights_shape_text(has, sizeof has, out->t->shape, out->t->n_dims);
        weights_shape_text(wants, sizeof wants, shape, n_dims);
        return err_set(e, ERR_FORMAT,
                       "tensor \"%s\" (%s) has shape [%s], config.json asks for [%s]", name_cstr,
                       dtype_name(out->t->dtype), has, wants);
    }
    l->m->weight_bytes += out->t->end - out->t->begin;
    return true;
}

static bool weights_float(const struct weights_tensor *t, enum k_format *out, struct err *e) {
    switch ((int)t->t->dtype) {
    case DTYPE_F32: *out = K_F32; return true;
    case DTYPE_F16: *out = K_F16; return true;
    case DTYPE_BF16: *out = K_BF16; return true;
    default: break;
    }
    return err_set(e, ERR_UNSUPPORTED,
                   "tensor \"" STR_FMT "\" has element type %s, expected F32, F16 or BF16",
                   STR_ARG(str_sub(t->t->name, 0, 200)), dtype_name(t->t->dtype));
}

static bool weights_integer(const struct weights_tensor *t, enum dtype want, struct err *e) {
    if (t->t->dtype == want) return true;
    return err_set(e, ERR_FORMAT, "tensor \"" STR_FMT "\" has element type %s, expected %s",
                   STR_ARG(str_sub(t->t->name, 0, 200)), dtype_name(t->t->dtype), dtype_name(want));
}

static bool weights_plain(struct model_loader *l, const char *name_cstr, struct k_matrix *out,
                          struct err *e) {
    struct weights_tensor t;
    if (!weights_need(l, name_cstr, (int64_t[2]){ out->rows, out->cols }, 2, &t, e)) return false;
    if (!weights_float(&t, &out->format, e)) return false;
    out->row_bytes = (size_t)out->cols * dtype_size(t.t->dtype);
    out->data = t.data;
    return true;
}

static bool weights_quantised(struct model_loader *l, const char *path_cstr,
                              const struct model_quant *q, struct k_matrix *out, struct err *e) {
    char name[WEIGHTS_MAX_NAME];
    struct weights_tensor t;
    int64_t words = out->cols * q->bits / 32, groups = out->cols / q->group;
    if (out->cols % q->group != 0)
        return err_set(
            e, ERR_FORMAT,
            "%s is quantised in groups of %d, but its %lld columns are no multiple of it",
            path_cstr, q->group, (long long)out->cols);
    out->format = q->format;
    out->bits = q->bits;
    out->group = q->group;
    out->row_bytes = (size_t)words * 4;
    model_join_name(name, sizeof name, path_cstr, ".weight");
    if (!weights_need(l, name, (int64_t[2]){ out->rows, words }, 2, &t, e)
        || !weights_integer(&t, DTYPE_U32, e))
        return false;
    out->data = t.data;
    model_join_name(name, sizeof name, path_cstr, ".scales");
    if (!weights_need(l, name, (int64_t[2]){ out->rows, groups }, 2, &t, e)) return false;
    out->scales = t.data;
    if (q->format != K_AFFINE) return weights_integer(&t, DTYPE_U8, e);
    enum k_format of_biases;
    if (!weights_float(&t, &out->scale_format, e)) return false;
    model_join_name(name, sizeof name, path_cstr, ".biases");
    if (!weights_need(l, name, (int64_t[2]){ out->rows, groups }, 2, &t, e)) return false;
    out->biases = t.data;
    if (!weights_float(&t, &of_biases, e)) return false;
    if (of_biases != out->scale_format)
        return err_set(e, ERR_FORMAT, "%s: scales and biases have different element types",
                       path_cstr);
    return true;
}

MLXK_FN bool model_load_matrix(struct model_loader *l, const char *path_cstr, int64_t rows,
                               int64_t cols, struct k_matrix *out, struct err *e) {
    char name[WEIGHTS_MAX_NAME];
    struct model_quant q;
    *out = (struct k_matrix){ .rows = rows, .cols = cols, .global_scale = 1 };
    model_join_name(name, sizeof name, path_cstr, ".scales");
    if (!model_quant_of(&l->rules, path_cstr, model_has(l, name), &q, e)) return false;
    l->m->n_params += (uint64_t)rows * (uint64_t)cols;
    if (q.format != K_F32) return weights_quantised(l, path_cstr, &q, out, e);
    model_join_name(name, sizeof name, path_cstr, ".weight");
    return weights_plain(l, name, out, e);
}

static float weights_widen(const uint8_t *p, enum k_format f, int64_t i) {
    if (f == K_F16) return num_f16_to_f32(num_read_u16(p + 2 * i));
    if (f == K_BF16) return num_bf16_to_f32(num_read_u16(p + 2 * i));
    uint32_t bits = num_read_u32(p + 4 * i);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

MLXK_FN bool model_load_vector(struct model_loader *l, const char *name_cstr, int64_t n,
                               const float **out, struct err *e) {
    struct weights_tensor t;
    enum k_format format;
    if (!weights_need(l, name_cstr, &n, 1, &t, e) || !weights_float(&t, &format, e)) return false;
    l->m->n_params += (uint64_t)n;
    float *x = arena_array(&l->m->arena, l->mapped ? (size_t)n : 1, sizeof *x, 64);
    if (!x) return err_oom(e, (size_t)n * sizeof *x, name_cstr);
    for (int64_t i = 0; l->mapped && i < n; i++) x[i] = weights_widen(t.data, format, i);
    *out = x;
    return true;
}

MLXK_FN bool model_load_linear(struct model_loader *l, const char *path_cstr, int64_t rows,
                               int64_t cols, bool bias, struct model_linear *out, struct err *e) {
    char name[WEIGHTS_MAX_NAME];
    out->bias = NULL;
    if (!model_load_matrix(l, path_cstr, rows, cols, &out->w, e)) return false;
    model_join_name(name, sizeof name, path_cstr, ".bias");
    if (!bias && !model_has(l, name)) return true;
    return model_load_vector(l, name, rows, &out->bias, e);
}

MLXK_FN struct model_linear model_linear_rows(const struct model_linear *w, int64_t row0,
                                              int64_t n) {
    struct model_linear part = *w;
    size_t groups = w->w.group ? (size_t)(w->w.cols / w->w.group) : 0;
    size_t scale_bytes = w->w.format != K_AFFINE ? 1 : w->w.scale_format == K_F32 ? 4 : 2;
    part.w.rows = n;
    if (w->w.data) part.w.data += (size_t)row0 * w->w.row_bytes;
    if (w->w.scales) part.w.scales += (size_t)row0 * groups * scale_bytes;
    if (w->w.biases) part.w.biases += (size_t)row0 * groups * scale_bytes;
    if (w->bias) part.bias += row0;
    return part;
}

#undef WEIGHTS_INDEX
