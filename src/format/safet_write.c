/* safet_write.c: safetensors headers for files this program makes.
 *
 * Layout as the reference converter's: compact JSON with "__metadata__" first, tensors in the order
 * given, padded with spaces so that the data begins at a multiple of 8. The data itself is written
 * by whoever has it, in the same order, without gaps.
 *
 * 1. What is written here, safet_parse accepts.
 * ref: safetensors README "Format".
 */
#include "format/format.h"

/* Names that safet_parse would refuse or read as something else. */
static bool safet_write_is_name(struct str name) {
    return name.n <= SAFET_MAX_NAME && str_find_char(name, '\0') < 0 && utf8_valid(name) &&
           !str_eq(name, STR("__metadata__"));
}

static bool safet_write_names(const struct safet_tensor *tensors, size_t n, struct err *e) {
    struct map seen;
    map_init(&seen, n);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        bool is_new;
        if (!map_put(&seen, tensors[i].name, &is_new)) {
            ok = err_oom(e, n * sizeof(struct map_entry), "the names of a safetensors file");
        } else if (!is_new || !safet_write_is_name(tensors[i].name)) {
            ok = err_set(e, ERR_FORMAT, "tensor name \"" STR_FMT "\" %s",
                         STR_ARG(str_sub(tensors[i].name, 0, 200)),
                         is_new ? "cannot be written" : "would be written twice");
        }
    }
    map_release(&seen);
    return ok;
}

/* Sets begin and end, counted from the start of the data. */
static bool safet_write_place(struct safet_tensor *tensors, size_t n, struct err *e) {
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        struct safet_tensor *t = &tensors[i];
        size_t size = dtype_size(t->dtype);
        MLXK_ASSERT(t->n_dims >= 0 && t->n_dims <= SAFET_MAX_DIMS);
        bool ok = true;
        for (int d = 0; d < t->n_dims && ok; d++) {
            ok = t->shape[d] >= 0 && t->shape[d] <= SAFET_MAX_DIM &&
                 num_mul(size, (size_t)t->shape[d], &size);
        }
        t->begin = at;
        if (!ok || !num_add(at, size, &at) || at > INT64_MAX / 2) {
            return err_set(e, ERR_LIMIT, "tensor \"" STR_FMT "\" is too large for safetensors",
                           STR_ARG(str_sub(t->name, 0, 200)));
        }
        t->end = at;
    }
    return true;
}

static void safet_write_tensor(struct json_writer *w, const struct safet_tensor *t) {
    json_write_key_str(w, t->name);
    json_write_object(w);
    json_write_key(w, "dtype");
    json_write_cstr(w, dtype_name(t->dtype));
    json_write_key(w, "shape");
    json_write_array(w);
    for (int d = 0; d < t->n_dims; d++) {
        json_write_i64(w, t->shape[d]);
    }
    json_write_array_end(w);
    json_write_key(w, "data_offsets");
    json_write_array(w);
    json_write_u64(w, t->begin);
    json_write_u64(w, t->end);
    json_write_array_end(w);
    json_write_object_end(w);
}

MLXK_FN bool safet_write_header(struct buf *out, struct safet_tensor *tensors, size_t n, bool mlx,
                                struct err *e) {
    if (n > SAFET_MAX_TENSORS) {
        return err_set(e, ERR_LIMIT, "%zu tensors are more than the limit of %zu", n,
                       SAFET_MAX_TENSORS);
    }
    if (!safet_write_names(tensors, n, e) || !safet_write_place(tensors, n, e)) {
        return false;
    }
    size_t start = out->n;
    uint64_t length = 0;                         /* filled in when it is known */
    buf_add_bytes(out, &length, sizeof length);
    struct json_writer w;
    json_write_init(&w, out, false, true);
    json_write_object(&w);
    if (mlx) {
        json_write_key(&w, "__metadata__");
        json_write_raw(&w, STR("{\"format\":\"mlx\"}"));
    }
    for (size_t i = 0; i < n; i++) {
        safet_write_tensor(&w, &tensors[i]);
    }
    json_write_object_end(&w);
    while ((out->n - start) % 8 != 0 && !out->failed) {
        buf_add_char(out, ' ');
    }
    if (!buf_ok(out, "a safetensors header", e)) {
        return false;
    }
    size_t header_bytes = out->n - start;
    length = header_bytes - sizeof length;
    if (length > SAFET_MAX_HEADER) {
        return err_set(e, ERR_LIMIT, "a safetensors header of %llu bytes is over the limit of %zu",
                       (unsigned long long)length, SAFET_MAX_HEADER);
    }
    memcpy(out->p + start, &length, sizeof length);   /* little-endian, as every target */
    for (size_t i = 0; i < n; i++) {
        tensors[i].begin += header_bytes;
        tensors[i].end += header_bytes;
    }
    return true;
}
