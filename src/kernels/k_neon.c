/* k_neon.c: code unpacking, activation quantising and matrix products with NEON, which every 64-bit
 * ARM has.
 *
 * 1. Without the dot product instruction, 16 products are two widening multiplies (two of them fit
 *    16
 *    bits: 2 * 128 * 127 = 32,512) and one pairwise addition.
 * 2. Quantised activations have the scalar table's bits: true division, round to nearest even.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__aarch64__)

#include "kernels/k_neon_int.h"

/* 16 codes of 2, 3, 5 or 6 bits at a time: two bytes around every code, moved down, masked. */
MLXK_FN void k_neon_unpack(const uint8_t *codes, int bits, int n, uint8_t *out) {
    uint8_t order[32];
    int16_t shift[16];
    for (int i = 0; i < 16; i++) {
        order[2 * i] = (uint8_t)(i * bits / 8);
        order[2 * i + 1] = (uint8_t)(i * bits / 8 + 1);
        shift[i] = (int16_t)(-(i * bits % 8));
    }
    const uint8x16_t mask = vdupq_n_u8((uint8_t)((1 << bits) - 1));
    int size = n * bits / 8;
    for (int i = 0, at = 0; i < n; i += 16, at += 2 * bits) {
        uint8_t tail[16] = { 0 };
        const uint8_t *p = codes + at;
        if (at + 16 > size) {
            memcpy(tail, p, (size_t)(size - at));
            p = tail;
        }
        uint8x16_t v = vld1q_u8(p);
        uint16x8_t a = vreinterpretq_u16_u8(vqtbl1q_u8(v, vld1q_u8(order)));
        uint16x8_t b = vreinterpretq_u16_u8(vqtbl1q_u8(v, vld1q_u8(order + 16)));
        a = vshlq_u16(a, vld1q_s16(shift));
        b = vshlq_u16(b, vld1q_s16(shift + 8));
        uint8x16_t both = vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b));
        vst1q_u8(out + i, vandq_u8(both, mask));
    }
}

/* ---- activations ----------------------------------------------------------------------------- */

/* 16 values / step, rounded, as bytes. */
K_INLINE int8x16_t k_neon_quantize16(const float *x, float32x4_t step) {
    int16x4_t v[4];
    for (int i = 0; i < 4; i++) {
        float32x4_t u = vdivq_f32(vld1q_f32(x + 4 * i), step);
        u = vmaxq_f32(vminq_f32(u, vdupq_n_f32(127.0f)), vdupq_n_f32(-127.0f));
        v[i] = vmovn_s32(vcvtnq_s32_f32(u));
    }
    return vcombine_s8(vmovn_s16(vcombine_s16(v[0], v[1])), vmovn_s16(vcombine_s16(v[2], v[3])));
}

static void k_neon_quantize_block(bool split, int block, const float *x, int8_t *q, float *d,
                                  float *s) {
    const float32x4_t largest = vdupq_n_f32(3.402823466e+38f);
    float32x4_t max = vdupq_n_f32(0);
    uint32x4_t finite = vdupq_n_u32(UINT32_MAX);
    for (int i = 0; i < block; i += 4) {
        float32x4_t a = vabsq_f32(vld1q_f32(x + i));
        finite = vandq_u32(finite, vcleq_f32(a, largest));
        max = vmaxq_f32(max, a);
    }
    float step = vminvq_u32(finite) != 0 ? vmaxvq_f32(max) / 127.0f : 0.0f;
    int8x16_t v[4];
    int32_t sum = 0;
    for (int i = 0; i < block / 16; i++) {
        v[i] = step > 0 ? k_neon_quantize16(x + 16 * i, vdupq_n_f32(step)) : vdupq_n_s8(0);
        sum += vaddlvq_s8(v[i]);
    }
    for (int i = 0; i < block / 16; i += 2) {
        vst1q_s8(q + (split ? 8 * i : 16 * i), split ? vuzp1q_s8(v[i], v[i + 1]) : v[i]);
        vst1q_s8(q + (split ? block / 2 + 8 * i : 16 * i + 16),
                 split ? vuzp2q_s8(v[i], v[i + 1]) : v[i + 1]);
    }
    *d = step;
    *s = step * (float)sum;
}

static void k_quantize_neon(enum k_form form, const float *x, int64_t cols, int8_t *q, float *d,
                            float *s) {
    int block = k_form_block(form);
    int64_t b = 0;
    for (; (b + 1) * block <= cols; b++) {
        k_neon_quantize_block(k_form_split(form), block, x + b * block, q + b * block, d + b,
                              s + b);
    }
    int64_t done = b * block;
    int8_t rest[64] = { 0 };                       /* zeros, or part of a block (rare) */
    if (done < cols) {
        k_scalar_ops()->quantize(form, x + done, cols - done, rest, d + b, s + b);
    }
    memcpy(q + done, rest, (size_t)(k_form_stride(cols) - done));
}

/* ---- integer products ------------------------------------------------------------------------ */

K_INLINE int32x4_t k_neon_dot(int32x4_t sum, int8x16_t a, int8x16_t b) {
    int16x8_t pairs = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    return vpadalq_s16(sum, vmlal_s8(pairs, vget_high_s8(a), vget_high_s8(b)));
}

#define K_NEON(name) k_neon_##name
#define K_NEON_DOT k_neon_dot
#include "kernels/k_neon_body.h"
#undef K_NEON
#undef K_NEON_DOT

/* ---- float products -------------------------------------------------------------------------- */

enum { K_NEON_COLS = 512, K_NEON_TOKENS = 16 };

/* sums[r] += four lanes twice of rows[r] times x; lane = column mod 8. */
K_INLINE void k_neon_float_part(const uint8_t *const *rows, enum k_format format, const float *x,
                                int64_t n, float32x4_t (*sums)[2]) {
    size_t size = format == K_F32 ? 4 : 2;
    for (int64_t i = 0; i < n; i += 8) {
        float32x4_t u0 = k_neon_load_f32(x + i, n - i), u1 = k_neon_load_f32(x + i + 4, n - i - 4);
        for (int r = 0; r < 4; r++) {
            const uint8_t *p = rows[r] + (size_t)i * size;
            sums[r][0] = vfmaq_f32(sums[r][0], k_neon_widen(p, format, n - i), u0);
            sums[r][1] = vfmaq_f32(sums[r][1], k_neon_widen(p + 4 * size, format, n - i - 4), u1);
        }
    }
}

/* Four rows (the last repeated), at most K_NEON_TOKENS tokens. */
static void k_neon_float_rows(const struct k_matrix *w, int64_t row, int64_t row1, const float *x,
                              int64_t x_stride, int tokens, float *y, int64_t y_stride) {
    float32x4_t sums[K_NEON_TOKENS][4][2];
    float wide[4][K_NEON_COLS];
    memset(sums, 0, sizeof sums);
    for (int64_t c = 0; c < w->cols; c += K_NEON_COLS) {
        const uint8_t *rows[4];
        int64_t n = w->cols - c < K_NEON_COLS ? w->cols - c : K_NEON_COLS;
        for (int r = 0; r < 4; r++) {
            int64_t at = row + r < row1 ? row + r : row1 - 1;
            rows[r] =
                w->data + (size_t)at * w->row_bytes + (size_t)c * (w->format == K_F32 ? 4 : 2);
            if (w->group != 0) {
                k_dequantize(w, at, c, n, wide[r]);
                rows[r] = (const uint8_t *)wide[r];
            }
        }
        for (int t = 0; t < tokens; t++) {
            const float *u = x + t * x_stride + c;
            if (w->format == K_F16) {
                k_neon_float_part(rows, K_F16, u, n, sums[t]);
            } else if (w->format == K_BF16) {
                k_neon_float_part(rows, K_BF16, u, n, sums[t]);
            } else {
                k_neon_float_part(rows, K_F32, u, n, sums[t]);
            }
        }
    }
    for (int t = 0; t < tokens; t++) {
        for (int r = 0; r < 4 && row + r < row1; r++) {
            y[t * y_stride + row + r] = k_neon_fold(vaddq_f32(sums[t][r][0], sums[t][r][1]));
        }
    }
}

MLXK_FN void k_neon_matmul_float(const struct k_matrix *w, int64_t row0, int64_t row1,
                                 const struct k_input *in, float *y, int64_t y_stride) {
    for (int64_t row = row0; row < row1; row += 4) {
        for (int64_t t = 0; t < in->n_tokens; t += K_NEON_TOKENS) {
            int n = (int)(in->n_tokens - t < K_NEON_TOKENS ? in->n_tokens - t : K_NEON_TOKENS);
            k_neon_float_rows(w, row, row1, in->x + t * in->x_stride, in->x_stride, n,
                              y + t * y_stride, y_stride);
        }
    }
}

static void k_matmul_neon(const struct k_matrix *w, int64_t row0, int64_t row1,
                          const struct k_input *in, float *y, int64_t y_stride) {
    MLXK_ASSERT(in->cols == w->cols && 0 <= row0 && row1 <= w->rows);
    if (in->form == K_FORM_FLOAT) {
        k_neon_matmul_float(w, row0, row1, in, y, y_stride);
        return;
    }
    MLXK_ASSERT(w->format == K_AFFINE && in->form == k_input_form(w));
    k_neon_matvec(w, row0, row1, in, y, y_stride);
}

MLXK_FN void k_neon_fill(struct k_ops *o) {
    o->quantize = k_quantize_neon;
    o->matmul = k_matmul_neon;
    k_neon_ops_fill(o);
}

#endif
