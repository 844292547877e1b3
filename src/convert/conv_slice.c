/* conv_slice.c: one slice of one tensor: read, compute, write.
 *
 * Quantised tensors are flat here: groups never cross rows, so a matrix of any shape is a sequence
 * of groups, and any range of whole groups can be made by itself.
 *
 * 1. What is written depends on the elements of the slice alone.
 * 2. Reads and writes are whole: a short file is an error that names the shard.
 * 3. Dequantised values are what the reference gives: the scale and bias are first rounded to the
 *    result's type, then product and sum are rounded to it, one after the other.
 * ref: engine facts 1.1, 1.2.
 */
#include "convert/conv_job.h"

enum { CONV_SLICE_BATCH = 4096 }; /* elements widened at a time; a multiple of every group */

/* ---- elements (Private) --------------------------------------------------------------------- */

static float conv_slice_get(const uint8_t *p, enum dtype t, uint64_t i) {
    uint32_t bits;
    float x;
    if (t == DTYPE_F16) return num_f16_to_f32(num_read_u16(p + 2 * i));
    bits = t == DTYPE_BF16 ? (uint32_t)num_read_u16(p + 2 * i) << 16 : num_read_u32(p + 4 * i);
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void conv_slice_put(uint8_t *p, enum dtype t, uint64_t i, float x) {
    if (t == DTYPE_F32) {
        memcpy(p + 4 * i, &x, sizeof x);
        return;
    }
    uint16_t h = t == DTYPE_F16 ? num_f32_to_f16(x) : num_f32_to_bf16(x);
    memcpy(p + 2 * i, &h, sizeof h);
}

static float conv_slice_round(float x, enum dtype t) {
    if (t == DTYPE_F16) return num_f16_to_f32(num_f32_to_f16(x));
    return t == DTYPE_BF16 ? num_bf16_to_f32(num_f32_to_bf16(x)) : x;
}

static enum k_format conv_slice_format(enum dtype t) {
    return t == DTYPE_F32 ? K_F32 : t == DTYPE_F16 ? K_F16 : K_BF16;
}

/* ---- sizes (Private) ------------------------------------------------------------------------ */

MLXK_FN uint32_t conv_slice_size(const struct conv_item *item) {
    return item->op == CONV_OP_COPY && dtype_size(item->from) > 4 ? CONV_SLICE_ELEMENTS / 2
                                                                  : CONV_SLICE_ELEMENTS;
}

/* Bytes that `n` elements take in part k of what is written (an offset or a size). */
static uint64_t conv_slice_part(const struct conv_item *item, int k, uint64_t n) {
    if (item->op != CONV_OP_QUANTIZE) return n * dtype_size(item->to);
    if (k == 0) return n * (uint64_t)item->q.bits / 8;
    return n / (uint64_t)item->q.group * (item->q.format == K_AFFINE ? dtype_size(item->to) : 1);
}

/* ---- reading (Private) ---------------------------------------------------------------------- */

static bool conv_slice_read_at(const struct conv_source *s, const struct conv_piece *piece,
                               uint64_t offset, void *p, uint64_t n, struct err *e) {
    const struct conv_in_shard *shard = &s->shards[piece->shard];
    size_t n_read = 0;
    if (!os_pread(shard->fd, p, (size_t)n, piece->begin + offset, &n_read, e))
        return err_context(e, STR_FMT ": ", STR_ARG(shard->name));
    if (n_read == n) return true;
    return err_set(e, ERR_FORMAT, STR_FMT " became shorter while it was read",
                   STR_ARG(shard->name));
}

/* Elements of a plain tensor; a slice lies in one piece. */
static bool conv_slice_read(const struct conv_source *s, const struct conv_item *item,
                            const struct conv_slice *slice, uint8_t *in, struct err *e) {
    uint64_t each = item->n_elements / item->n_pieces, size = dtype_size(item->from);
    return conv_slice_read_at(s, &item->pieces[slice->first / each], slice->first % each * size, in,
                              slice->n * size, e);
}

/* ---- arithmetic (Private) ------------------------------------------------------------------- */

static void conv_slice_cast(const struct conv_item *item, uint32_t n, const uint8_t *in,
                            uint8_t *out) {
    for (uint32_t i = 0; i < n; i++)
        conv_slice_put(out, item->to, i, conv_slice_get(in, item->from, i));
}

/* n elements as f32, rounded to the type that the scales will have. */
static void conv_slice_widen(const struct conv_item *item, const uint8_t *in, uint32_t first,
                             uint32_t n, float *x) {
    if (item->from == DTYPE_BF16)
        for (uint32_t i = 0; i < n; i++)
            x[i] = num_bf16_to_f32(num_read_u16(in + 2 * (size_t)(first + i)));
    else
        for (uint32_t i = 0; i < n; i++) x[i] = conv_slice_get(in, item->from, first + i);
    if (item->from != item->to)
        for (uint32_t i = 0; i < n; i++) x[i] = conv_slice_round(x[i], item->to);
}

/* One row in the item's format, without columns and data yet. */
static struct k_matrix conv_slice_row(const struct conv_item *item) {
    return (struct k_matrix){ .format = item->q.format,
                              .bits = item->q.bits,
                              .group = item->q.group,
                              .rows = 1,
                              .global_scale = 1 };
}

static void conv_slice_quantise(const struct conv_item *item, uint32_t n, const uint8_t *in,
                                uint8_t *codes, uint8_t *scales, uint8_t *biases) {
    float x[CONV_SLICE_BATCH];
    struct k_matrix w = conv_slice_row(item);
    for (uint32_t at = 0; at < n; at += CONV_SLICE_BATCH) {
        uint32_t batch = n - at < CONV_SLICE_BATCH ? n - at : CONV_SLICE_BATCH;
        conv_slice_widen(item, in, at, batch, x);
        w.cols = batch;
        k_quantize_row(&w, conv_slice_format(item->to), x, codes + conv_slice_part(item, 0, at),
                       scales + conv_slice_part(item, 1, at),
                       item->n_out > 2 ? biases + conv_slice_part(item, 2, at) : NULL);
    }
}

static void conv_slice_affine(const struct conv_item *item, uint32_t n, const uint8_t *codes,
                              const uint8_t *scales, const uint8_t *biases, uint8_t *out) {
    uint8_t q[128];
    uint32_t group = (uint32_t)item->q.group;
    for (uint32_t g = 0; g < n / group; g++) {
        float scale = conv_slice_round(conv_slice_get(scales, item->scales_from, g), item->to);
        float bias = conv_slice_round(conv_slice_get(biases, item->scales_from, g), item->to);
        k_unpack(codes, item->q.bits, (int64_t)g * group, group, q);
        for (uint32_t i = 0; i < group; i++)
            conv_slice_put(out, item->to, g * group + i,
                           conv_slice_round(scale * (float)q[i], item->to) + bias);
    }
}

static void conv_slice_float_codes(const struct conv_item *item, uint32_t n, const uint8_t *codes,
                                   const uint8_t *scales, uint8_t *out) {
    float x[CONV_SLICE_BATCH];
    struct k_matrix w = conv_slice_row(item);
    for (uint32_t at = 0; at < n; at += CONV_SLICE_BATCH) {
        uint32_t batch = n - at < CONV_SLICE_BATCH ? n - at : CONV_SLICE_BATCH;
        w.cols = batch;
        w.row_bytes = (size_t)batch * (size_t)item->q.bits / 8;
        w.data = codes + (size_t)at * (size_t)item->q.bits / 8;
        w.scales = scales + at / (uint32_t)item->q.group;
        k_scalar_ops()->dequantize_row(&w, 0, x);
        for (uint32_t i = 0; i < batch; i++) conv_slice_put(out, item->to, at + i, x[i]);
    }
}

static bool conv_slice_dequantise(const struct conv_source *s, const struct conv_item *item,
                                  const struct conv_slice *slice, uint8_t *in, uint8_t *out,
                                  struct err *e) {
    uint64_t bits = (uint64_t)item->q.bits, group = (uint64_t)item->q.group;
    uint64_t size = item->q.format == K_AFFINE ? dtype_size(item->scales_from) : 1;
    uint64_t n_codes = slice->n * bits / 8, n_scales = slice->n / group * size,
             first = slice->first / group * size;
    uint8_t *scales = in + n_codes, *biases = scales + n_scales;
    if (!conv_slice_read_at(s, item->pieces, slice->first * bits / 8, in, n_codes, e) ||
        !conv_slice_read_at(s, &item->scales, first, scales, n_scales, e))
        return false;
    if (item->q.format != K_AFFINE) {
        conv_slice_float_codes(item, slice->n, in, scales, out);
        return true;
    }
    if (!conv_slice_read_at(s, &item->biases, first, biases, n_scales, e)) return false;
    conv_slice_affine(item, slice->n, in, scales, biases, out);
    return true;
}

/* ---- a slice (Public) ----------------------------------------------------------------------- */

MLXK_FN bool conv_slice_make(const struct conv_source *s, const struct conv_item *item,
                             const struct conv_slice *slice, uint8_t *in, uint8_t *out, int out_fd,
                             uint8_t digest[32], struct err *e) {
    struct sha256 sha;
    uint8_t *parts[3] = { out, out + conv_slice_part(item, 0, slice->n), NULL };
    parts[2] = item->n_out > 1 ? parts[1] + conv_slice_part(item, 1, slice->n) : NULL;
    if (item->op == CONV_OP_DEQUANTIZE
            ? !conv_slice_dequantise(s, item, slice, in, out, e)
            : !conv_slice_read(s, item, slice, item->op == CONV_OP_COPY ? out : in, e))
        return err_context(e, STR_FMT ": ", STR_ARG(str_sub(item->name, 0, 200)));
    if (item->op == CONV_OP_CAST) conv_slice_cast(item, slice->n, in, out);
    if (item->op == CONV_OP_QUANTIZE)
        conv_slice_quantise(item, slice->n, in, parts[0], parts[1], parts[2]);
    sha256_init(&sha);
    for (int k = 0; k < item->n_out; k++) {
        size_t n = (size_t)conv_slice_part(item, k, slice->n);
        sha256_update(&sha, parts[k], n);
        if (!os_pwrite(out_fd, parts[k], n, item->at[k] + conv_slice_part(item, k, slice->first),
                       e))
            return false;
    }
    sha256_final(&sha, digest);
    return true;
}

MLXK_FN bool conv_slice_verify(const struct conv_item *item, const struct conv_slice *slice,
                               uint8_t *buffer, int fd, uint8_t digest[32], struct err *e) {
    struct sha256 sha;
    sha256_init(&sha);
    for (int k = 0; k < item->n_out; k++) {
        size_t n = (size_t)conv_slice_part(item, k, slice->n), n_read = 0;
        if (!os_pread(fd, buffer, n, item->at[k] + conv_slice_part(item, k, slice->first), &n_read,
                      e))
            return false;
        sha256_update(&sha, buffer, n_read);
    }
    sha256_final(&sha, digest);
    return true;
}
