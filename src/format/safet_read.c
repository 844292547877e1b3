/* safet_read.c: safetensors headers and shard indexes, read strictly.
 *
 *   file = u64 N (little-endian) | N bytes of JSON | data
 *   JSON = { "__metadata__": {string: string} or null,
 *            name: { "dtype", "shape", "data_offsets": [begin, end] }, ... }
 * Offsets count from the first byte of the data.
 *
 * The reference reader's rules hold (no duplicate, no hole, no overlap, nothing behind the last
 * tensor), with two liberties that files in the wild need: metadata may be null, and data may begin
 * at any offset, aligned or not. Tensor values are not looked at.
 *
 * 1. A tensor that is returned has header_bytes <= begin <= end <= file_bytes, and end - begin is
 *    exactly the product of its shape times its element size.
 * 2. The tensors tile the data: sorted by offset, each begins where the one before ends.
 * 3. Names are unique valid UTF-8 without NUL, at most SAFET_MAX_NAME bytes.
 * ref: safetensors README "Format".
 */
#include "format/format.h"

enum {
    SAFET_READ_DEPTH = 8,            /* a header needs 3; unknown fields may nest a little */
    SAFET_READ_FEW = 16,             /* tensors to make room for at first, at least */
    SAFET_READ_ENTRY = 96,           /* bytes of JSON that a tensor takes, about */
    SAFET_READ_MANY = 4096,          /* nobody's length alone makes room for more */
};

/* How many tensors to make room for at first: as many as a text of that length will hold. */
static size_t safet_read_guess(size_t text_bytes) {
    size_t guess = SAFET_READ_FEW + text_bytes / SAFET_READ_ENTRY;
    return guess < SAFET_READ_MANY ? guess : SAFET_READ_MANY;
}

/* False when a table of tensors got no room. */
static bool safet_read_room(const void *items, size_t n, struct err *e) {
    return items || err_oom(e, (n + 1) * sizeof(struct safet_tensor), "a table of tensors");
}

static bool safet_read_name(struct arena *a, const struct json_token *t, struct str *name,
                            struct err *e) {
    if (t->text.n > SAFET_MAX_NAME) {
        return err_set(e, ERR_LIMIT, "a tensor name of %zu bytes is longer than the limit of %d",
                       t->text.n, SAFET_MAX_NAME);
    }
    if (str_find_char(t->text, '\0') >= 0) {
        return err_set(e, ERR_FORMAT, "JSON byte %zu: a tensor name contains NUL", t->offset_bytes);
    }
    *name = str_dup(a, t->text);
    return name->p || err_oom(e, t->text.n, "a tensor name");
}

/* ---- one tensor ---- */

enum { SAFET_READ_DTYPE = 1, SAFET_READ_SHAPE = 2, SAFET_READ_OFFSETS = 4 };

static bool safet_read_dtype(struct json_reader *r, struct safet_tensor *t, struct err *e) {
    struct json_token v;
    if (!json_expect(r, JSON_T_STRING, &v, e)) {
        return false;
    }
    return dtype_parse(v.text, &t->dtype) ||
           err_set(e, ERR_UNSUPPORTED, "element type \"" STR_FMT "\" is not known",
                   STR_ARG(str_sub(v.text, 0, 40)));
}

static bool safet_read_shape(struct json_reader *r, struct safet_tensor *t, struct err *e) {
    struct json_token v;
    if (!json_expect(r, JSON_T_ARRAY, &v, e)) {
        return false;
    }
    t->n_dims = 0;
    while (json_next(r, &v, e)) {
        if (v.kind == JSON_T_ARRAY_END) {
            return true;
        }
        if (t->n_dims == SAFET_MAX_DIMS) {
            return err_set(e, ERR_LIMIT, "more than %d dimensions", SAFET_MAX_DIMS);
        }
        int64_t *dim = &t->shape[t->n_dims++];
        if (!json_token_i64(&v, dim) || *dim < 0 || *dim > SAFET_MAX_DIM) {
            return err_set(e, ERR_FORMAT, "dimension %d is not an integer from 0 to %lld",
                           t->n_dims - 1, (long long)SAFET_MAX_DIM);
        }
    }
    return false;
}

static bool safet_read_offsets(struct json_reader *r, struct safet_tensor *t, struct err *e) {
    struct json_token v;
    int64_t pair[2];
    if (!json_expect(r, JSON_T_ARRAY, &v, e)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (!json_next(r, &v, e)) {
            return false;
        }
        if (!json_token_i64(&v, &pair[i]) || pair[i] < 0) {
            return err_set(e, ERR_FORMAT, "data_offsets is not a pair of offsets");
        }
    }
    t->begin = (size_t)pair[0];
    t->end = (size_t)pair[1];
    return json_expect(r, JSON_T_ARRAY_END, &v, e);
}

/* The fields of one tensor in any order, each once; fields of other names are passed over. */
static bool safet_read_fields(struct json_reader *r, struct safet_tensor *t, struct err *e) {
    struct json_token v;
    unsigned seen = 0;
    if (!json_expect(r, JSON_T_OBJECT, &v, e)) {
        return false;
    }
    while (json_next(r, &v, e)) {
        if (v.kind == JSON_T_OBJECT_END) {
            return seen == (SAFET_READ_DTYPE | SAFET_READ_SHAPE | SAFET_READ_OFFSETS) ||
                   err_set(e, ERR_FORMAT, "dtype, shape or data_offsets is missing");
        }
        unsigned field = str_eq(v.text, STR("dtype")) ? SAFET_READ_DTYPE
                       : str_eq(v.text, STR("shape")) ? SAFET_READ_SHAPE
                       : str_eq(v.text, STR("data_offsets")) ? SAFET_READ_OFFSETS : 0;
        if (seen & field) {
            return err_set(e, ERR_FORMAT, "JSON byte %zu: a field occurs twice", v.offset_bytes);
        }
        seen |= field;
        bool ok = field == SAFET_READ_DTYPE ? safet_read_dtype(r, t, e)
                : field == SAFET_READ_SHAPE ? safet_read_shape(r, t, e)
                : field == SAFET_READ_OFFSETS ? safet_read_offsets(r, t, e) : json_skip(r, NULL, e);
        if (!ok) {
            return false;
        }
    }
    return false;
}

/* Shape and offsets must say the same size, inside the data. */
static bool safet_read_fits(const struct safet_tensor *t, size_t data_bytes, struct err *e) {
    size_t size = dtype_size(t->dtype);
    for (int i = 0; i < t->n_dims; i++) {
        if (!num_mul(size, (size_t)t->shape[i], &size)) {
            return err_set(e, ERR_FORMAT, "the product of the shape overflows");
        }
    }
    if (t->begin > t->end || t->end > data_bytes) {
        return err_set(e, ERR_FORMAT, "bytes %zu to %zu are not inside the %zu bytes of data",
                       t->begin, t->end, data_bytes);
    }
    return t->end - t->begin == size ||
           err_set(e, ERR_FORMAT, "the shape needs %zu bytes, data_offsets give %zu", size,
                   t->end - t->begin);
}

/* ---- the header ---- */

/* Everything a parse needs at hand. */
struct safet_read_job {
    struct arena *arena;
    struct json_reader reader;
    struct safet *out;
    struct safet_tensor *found;      /* in the order of the header, out->n of them */
    size_t cap, data_bytes;
    bool metadata_seen;
};

static bool safet_read_metadata(struct safet_read_job *job, struct err *e) {
    struct str raw;
    if (job->metadata_seen) {
        return err_set(e, ERR_FORMAT, "__metadata__ occurs twice");
    }
    job->metadata_seen = true;
    if (!json_skip(&job->reader, &raw, e)) {
        return false;
    }
    const struct json *v = json_parse_large(job->arena, raw, e);
    if (!v || json_is(v, JSON_NULL)) {
        return v != NULL;
    }
    bool strings = json_is(v, JSON_OBJECT);
    for (const struct json *m = v->child; m && strings; m = m->next) {
        strings = json_is(m, JSON_STRING);
    }
    job->out->metadata = v;
    return strings || err_set(e, ERR_FORMAT, "__metadata__ is not an object of strings");
}

static bool safet_read_tensor(struct safet_read_job *job, const struct json_token *key,
                              struct err *e) {
    struct safet *out = job->out;
    if (out->n == SAFET_MAX_TENSORS) {
        return err_set(e, ERR_LIMIT, "more than %zu tensors", SAFET_MAX_TENSORS);
    }
    struct safet_tensor *items = ARENA_GROW(job->arena, struct safet_tensor, job->found, out->n,
                                            &job->cap, safet_read_guess(job->reader.input.n));
    if (!safet_read_room(items, out->n, e)) {
        return false;
    }
    job->found = items;
    struct safet_tensor *t = &job->found[out->n];
    if (!safet_read_name(job->arena, key, &t->name, e)) {
        return false;
    }
    if (!safet_read_fields(&job->reader, t, e) || !safet_read_fits(t, job->data_bytes, e)) {
        return err_context(e, "tensor \"" STR_FMT "\": ", STR_ARG(str_sub(t->name, 0, 200)));
    }
    out->n++;
    return true;
}

static bool safet_read_entries(struct safet_read_job *job, struct err *e) {
    struct json_token t;
    if (!json_expect(&job->reader, JSON_T_OBJECT, &t, e)) {
        return false;
    }
    while (json_next(&job->reader, &t, e)) {
        if (t.kind == JSON_T_OBJECT_END) {
            return json_expect(&job->reader, JSON_T_END, &t, e);
        }
        bool metadata = str_eq(t.text, STR("__metadata__"));
        if (metadata ? !safet_read_metadata(job, e) : !safet_read_tensor(job, &t, e)) {
            return false;
        }
    }
    return false;
}

/* ---- order ---- */

typedef int (*safet_read_order)(const struct safet_tensor *a, const struct safet_tensor *b);

static int safet_read_by_offset(const struct safet_tensor *a, const struct safet_tensor *b) {
    return a->begin != b->begin ? (a->begin > b->begin) - (a->begin < b->begin)
                                : (a->end > b->end) - (a->end < b->end);
}

static int safet_read_by_name(const struct safet_tensor *a, const struct safet_tensor *b) {
    return str_cmp(a->name, b->name);
}

/* Merge sort of n pointers, bottom up; spare: room for n more. Runs that are in order already, as
 * nearly all files have them, cost one comparison. The result is in `items`. */
static void safet_read_sort(const struct safet_tensor **items, const struct safet_tensor **spare,
                            size_t n, safet_read_order order) {
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; n - low > width; low += 2 * width) {
            size_t mid = low + width, high = n - mid > width ? mid + width : n;
            if (order(items[mid - 1], items[mid]) <= 0) {
                if (high == n) {
                    break;
                }
                continue;
            }
            memcpy(spare + low, items + low, width * sizeof *items);
            size_t left = low, right = mid, to = low;
            while (left < mid) {
                bool take_right = right < high && order(spare[left], items[right]) > 0;
                items[to++] = take_right ? items[right++] : spare[left++];
            }
            if (high == n) {
                break;
            }
        }
    }
}

/* Sorted by offset, each tensor must begin where the one before ended. */
static bool safet_read_tiles(const struct safet_tensor *const *sorted, size_t n, size_t data_bytes,
                             struct err *e) {
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const struct safet_tensor *t = sorted[i];
        if (t->begin != at) {
            return err_set(e, ERR_FORMAT, "tensor \"" STR_FMT "\" begins at data byte %zu, %s %zu",
                           STR_ARG(str_sub(t->name, 0, 200)), t->begin,
                           t->begin < at ? "inside one that ends at" : "behind a hole from", at);
        }
        at = t->end;
    }
    return at == data_bytes || err_set(e, ERR_FORMAT, "%zu bytes behind the last tensor",
                                       data_bytes - at);
}

/* Checks the tiling, then fills out->tensors in the order of names, which must differ. */
static bool safet_read_finish(struct safet_read_job *job, struct err *e) {
    struct safet *out = job->out;
    struct arena *a = job->arena;
    const struct safet_tensor **sorted = ARENA_ARRAY(a, const struct safet_tensor *, out->n);
    const struct safet_tensor **spare = ARENA_ARRAY(a, const struct safet_tensor *, out->n);
    out->tensors = ARENA_ARRAY(a, struct safet_tensor, out->n);
    if (!sorted || !spare || !out->tensors) {
        return err_oom(e, out->n * sizeof *out->tensors, "a table of tensors");
    }
    for (size_t i = 0; i < out->n; i++) {
        sorted[i] = &job->found[i];
    }
    safet_read_sort(sorted, spare, out->n, safet_read_by_offset);
    if (!safet_read_tiles(sorted, out->n, job->data_bytes, e)) {
        return false;
    }
    safet_read_sort(sorted, spare, out->n, safet_read_by_name);
    for (size_t i = 0; i < out->n; i++) {
        out->tensors[i] = *sorted[i];
        out->tensors[i].begin += out->header_bytes;
        out->tensors[i].end += out->header_bytes;
        if (i && str_eq(sorted[i]->name, sorted[i - 1]->name)) {
            return err_set(e, ERR_FORMAT, "tensor \"" STR_FMT "\" occurs twice",
                           STR_ARG(str_sub(sorted[i]->name, 0, 200)));
        }
    }
    return true;
}

/* ---- shard index ---- */

/* A file name of the weight map is a name in the model's own folder, nothing else. */
static bool safet_read_is_file_name(struct str s) {
    return s.n > 0 && s.n <= SAFET_MAX_FILE_NAME && str_find_char(s, '/') < 0 &&
           str_find_char(s, '\\') < 0 && str_find_char(s, '\0') < 0 && str_find(s, STR("..")) < 0 &&
           !str_eq(s, STR("."));
}

/* One pass over the index: growing tables and the names seen so far. */
struct safet_read_index {
    struct arena *arena;
    struct json_reader reader;
    struct map tensors, files;       /* names; of files: position in out->files */
    size_t cap_tensors, cap_names, cap_files;
    struct safet_index *out;
};

/* The file called `name`, entered into the list of files at its first mention. */
static bool safet_read_file(struct safet_read_index *job, struct str name, struct str *kept,
                            struct err *e) {
    struct safet_index *out = job->out;
    const uint64_t *known = map_get(&job->files, name);
    if (known) {
        *kept = out->files[*known];
        return true;
    }
    *kept = str_dup(job->arena, name);
    if (!kept->p) {
        return err_oom(e, name.n, "the files of an index");
    }
    struct str *files = ARENA_GROW(job->arena, struct str, out->files, out->n_files,
                                   &job->cap_files, SAFET_READ_FEW);
    if (!safet_read_room(files, out->n_files, e)) {
        return false;
    }
    out->files = files;
    uint64_t *slot = map_put(&job->files, *kept, NULL);
    if (!slot) {
        return err_oom(e, name.n, "the files of an index");
    }
    *slot = out->n_files;
    out->files[out->n_files++] = *kept;
    return true;
}

static bool safet_read_weight(struct safet_read_index *job, const struct json_token *key,
                              struct err *e) {
    struct safet_index *out = job->out;
    size_t first = safet_read_guess(job->reader.input.n);
    if (out->n == SAFET_MAX_TENSORS) {
        return err_set(e, ERR_LIMIT, "more than %zu tensors", SAFET_MAX_TENSORS);
    }
    struct str *names = ARENA_GROW(job->arena, struct str, out->tensor_names, out->n,
                                   &job->cap_tensors, first),
               *files = ARENA_GROW(job->arena, struct str, out->file_names, out->n,
                                   &job->cap_names, first);
    if (!safet_read_room(names, out->n, e) || !safet_read_room(files, out->n, e)) {
        return false;
    }
    out->tensor_names = names;
    out->file_names = files;
    struct str *name = &out->tensor_names[out->n];
    bool is_new;
    if (!safet_read_name(job->arena, key, name, e)) {
        return false;
    }
    if (!map_put(&job->tensors, *name, &is_new)) {
        return err_oom(e, name->n, "the tensors of an index");
    }
    if (!is_new) {
        return err_set(e, ERR_FORMAT, "tensor \"" STR_FMT "\" occurs twice", STR_ARG(*name));
    }
    struct json_token file;
    if (!json_expect(&job->reader, JSON_T_STRING, &file, e)) {
        return false;
    }
    if (!safet_read_is_file_name(file.text)) {
        return err_set(e, ERR_FORMAT, "JSON byte %zu: \"" STR_FMT "\" is not a plain file name",
                       file.offset_bytes, STR_ARG(str_sub(file.text, 0, 200)));
    }
    return safet_read_file(job, file.text, &out->file_names[out->n++], e);
}

static bool safet_read_weight_map(struct safet_read_index *job, struct err *e) {
    struct json_token t;
    if (!json_expect(&job->reader, JSON_T_OBJECT, &t, e)) {
        return false;
    }
    while (json_next(&job->reader, &t, e)) {
        if (t.kind == JSON_T_OBJECT_END) {
            return true;
        }
        if (!safet_read_weight(job, &t, e)) {
            return false;
        }
    }
    return false;
}

static bool safet_read_index_text(struct safet_read_index *job, struct err *e) {
    struct json_token t;
    bool seen = false;
    if (!json_expect(&job->reader, JSON_T_OBJECT, &t, e)) {
        return false;
    }
    while (json_next(&job->reader, &t, e)) {
        if (t.kind == JSON_T_OBJECT_END) {
            return (seen || err_set(e, ERR_FORMAT, "weight_map is missing")) &&
                   json_expect(&job->reader, JSON_T_END, &t, e);
        }
        bool weights = str_eq(t.text, STR("weight_map"));
        if (weights && seen) {
            return err_set(e, ERR_FORMAT, "weight_map occurs twice");
        }
        seen = seen || weights;
        if (weights ? !safet_read_weight_map(job, e) : !json_skip(&job->reader, NULL, e)) {
            return false;
        }
    }
    return false;
}

/* ---- (Public) ---- */

MLXK_FN bool safet_index_parse(struct arena *a, struct str text, struct safet_index *out,
                               struct err *e) {
    *out = (struct safet_index){ 0 };
    if (text.n > LIMIT_JSON_FILE) {
        return err_set(e, ERR_LIMIT, "a shard index of %zu bytes is larger than the limit of %zu",
                       text.n, LIMIT_JSON_FILE);
    }
    struct safet_read_index job = { .arena = a, .out = out };
    json_reader_init(&job.reader, text, SAFET_READ_DEPTH);
    map_init(&job.tensors, SAFET_MAX_TENSORS);
    map_init(&job.files, SAFET_MAX_TENSORS);
    bool ok = safet_read_index_text(&job, e);
    json_reader_release(&job.reader);
    map_release(&job.tensors);
    map_release(&job.files);
    if (!ok) {
        *out = (struct safet_index){ 0 };
        return err_context(e, "shard index: ");
    }
    return true;
}

MLXK_FN bool safet_parse(struct arena *a, struct str file, uint64_t file_bytes, struct safet *out,
                         struct err *e) {
    *out = (struct safet){ 0 };
    if (file.n < 8 || file_bytes < 8) {
        return err_set(e, ERR_FORMAT, "a safetensors file needs 8 bytes, there are %zu",
                       file.n < file_bytes ? file.n : (size_t)file_bytes);
    }
    uint64_t n = num_read_u64(file.p);
    if (n > SAFET_MAX_HEADER) {
        return err_set(e, ERR_LIMIT, "a safetensors header of %llu bytes is over the limit of %zu",
                       (unsigned long long)n, SAFET_MAX_HEADER);
    }
    if (n > file_bytes - 8 || n > file.n - 8) {
        return err_set(e, ERR_FORMAT, "the safetensors header needs %llu bytes, the file has %llu",
                       (unsigned long long)n + 8, (unsigned long long)file_bytes);
    }
    if (n < 2 || file.p[8] != '{') {
        return err_set(e, ERR_FORMAT, "the safetensors header does not begin with '{'");
    }
    out->header_bytes = 8 + (size_t)n;
    struct safet_read_job job = { .arena = a, .out = out };
    job.data_bytes = (size_t)file_bytes - out->header_bytes;
    json_reader_init(&job.reader, str_sub(file, 8, 8 + (size_t)n), SAFET_READ_DEPTH);
    bool ok = safet_read_entries(&job, e) && safet_read_finish(&job, e);
    json_reader_release(&job.reader);
    if (!ok) {
        *out = (struct safet){ 0 };
        return err_context(e, "safetensors header: ");
    }
    return true;
}

MLXK_FN const struct safet_tensor *safet_find(const struct safet *s, struct str name) {
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = str_cmp(s->tensors[mid].name, name);
        if (order == 0) {
            return &s->tensors[mid];
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return NULL;
}
