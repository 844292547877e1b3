/* k_format.c: how stored numbers read: code streams, 16-bit floats, FP4, FP8 and E8M0.
 *
 * Plain C, one value at a time: this is the meaning of the formats, not their fast path.
 * 1. A row is a little-endian bit stream; code i occupies bits [i*bits, (i+1)*bits). One rule
 *    serves every width (engine facts 0.1).
 * 2. Nothing behind the last byte of a row is read.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

MLXK_FN int64_t k_form_blocks(enum k_form form, int64_t cols) {
    if (form == K_FORM_FLOAT) {
        return 0;
    }
    int block = k_form_block(form);
    return (cols + block - 1) / block;
}

MLXK_FN enum k_form k_input_form(const struct k_matrix *w) {
    if (w->format != K_AFFINE) {
        return K_FORM_FLOAT;
    }
    if (w->bits == 4) {
        return w->group == 32 ? K_FORM_Q32_SPLIT : K_FORM_Q64_SPLIT;
    }
    return w->group == 32 ? K_FORM_Q32 : K_FORM_Q64;
}

/* Eight codes of `bits` bits fill exactly `bits` bytes. */
static void k_unpack_eight(const uint8_t *p, int bits, uint8_t *out) {
    uint64_t word = 0;
    for (int i = 0; i < bits; i++) {
        word |= (uint64_t)p[i] << (8 * i);
    }
    uint64_t mask = ((uint64_t)1 << bits) - 1;
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)((word >> (i * bits)) & mask);
    }
}

MLXK_FN void k_unpack(const uint8_t *codes, int bits, int64_t first, int64_t n, uint8_t *out) {
    MLXK_ASSERT(first % 8 == 0 && bits >= 1 && bits <= 8);
    const uint8_t *p = codes + first / 8 * bits;
    if (bits == 8) {
        memcpy(out, p, (size_t)n);
        return;
    }
    for (; n >= 8; n -= 8, p += bits, out += 8) {
        k_unpack_eight(p, bits, out);
    }
    if (n > 0) {
        uint8_t tail[8] = { 0 }, eight[8];
        memcpy(tail, p, (size_t)((n * bits + 7) / 8));
        k_unpack_eight(tail, bits, eight);
        memcpy(out, eight, (size_t)n);
    }
}

MLXK_FN float k_load(const uint8_t *p, enum k_format format, int64_t i) {
    if (format == K_F32) {
        uint32_t u = num_read_u32(p + 4 * i);
        float f;
        memcpy(&f, &u, sizeof f);
        return f;
    }
    uint16_t h = num_read_u16(p + 2 * i);
    return format == K_F16 ? num_f16_to_f32(h) : num_bf16_to_f32(h);
}

MLXK_FN float k_e2m1(uint32_t code) {
    static const float k_e2m1_values[8] = { 0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f };
    float v = k_e2m1_values[code & 7];
    return (code & 8) != 0 ? -v : v;
}

MLXK_FN float k_e4m3(uint32_t code) {
    /* The 7 low bits moved to a half's exponent and mantissa are the value / 256. */
    float v = num_f16_to_f32((uint16_t)((code & 127) << 7)) * 256.0f;
    return (code & 128) != 0 ? -v : v;
}

MLXK_FN float k_e8m0(uint32_t code) {
    uint32_t bits = code == 0 ? 0x00400000u : code << 23;   /* 2^-127 is a subnormal */
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

MLXK_FN float k_group_scale(const struct k_matrix *w, int64_t row, int64_t g) {
    int64_t i = row * (w->cols / w->group) + g;
    if (w->format == K_NVFP4) {
        return k_e4m3(w->scales[i]) * w->global_scale;
    }
    return k_e8m0(w->scales[i]);
}

MLXK_FN float k_block_scale(const struct k_matrix *w, const uint8_t *p, int64_t row, int64_t b,
                            int block) {
    return k_load(p, w->scale_format, row * (w->cols / w->group) + b * block / w->group);
}

/* One group (or the part of it that is wanted) of a quantised row. */
static void k_dequantize_group(const struct k_matrix *w, int64_t row, int64_t col0, int64_t n,
                               float *out) {
    uint8_t codes[128];
    k_unpack(w->data + (size_t)row * w->row_bytes, w->bits, col0, n, codes);
    if (w->format == K_AFFINE) {
        int64_t g = row * (w->cols / w->group) + col0 / w->group;
        float scale = k_load(w->scales, w->scale_format, g);
        float bias = k_load(w->biases, w->scale_format, g);
        for (int64_t i = 0; i < n; i++) {
            out[i] = scale * (float)codes[i] + bias;
        }
        return;
    }
    float scale = k_group_scale(w, row, col0 / w->group);
    for (int64_t i = 0; i < n; i++) {
        out[i] = scale * (w->bits == 8 ? k_e4m3(codes[i]) : k_e2m1(codes[i]));
    }
}

MLXK_FN void k_dequantize(const struct k_matrix *w, int64_t row, int64_t col0, int64_t n,
                          float *out) {
    if (w->group == 0) {
        const uint8_t *p = w->data + (size_t)row * w->row_bytes;
        for (int64_t i = 0; i < n; i++) {
            out[i] = k_load(p, w->format, col0 + i);
        }
        return;
    }
    MLXK_ASSERT(col0 % w->group == 0 && w->group <= 128);
    for (int64_t i = 0; i < n; i += w->group) {
        int64_t part = n - i < w->group ? n - i : w->group;
        k_dequantize_group(w, row, col0 + i, part, out + i);
    }
}
