/* k_neon_ops.c: norms, rotation, activations, attention and choice with NEON.
 *
 * 1. Sums use four vectors of four lanes, folded in a fixed tree; tails enter with zeros.
 * 2. exp is k_neon_exp everywhere, tails included, so that a value does not depend on its place.
 * 3. Attention: a score has 16 lanes over the dimension, folded in a tree; positions are added in
 *    order. Positions that no row of the call sees are not read.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__aarch64__)

#include "kernels/k_neon_int.h"

/* Sum of (x - mean)^2; lane = index mod 16. */
static float k_neon_squares(const float *x, float mean, int64_t n) {
    float32x4_t sum[4] = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) };
    const float32x4_t m = vdupq_n_f32(mean);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (int j = 0; j < 4; j++) {
            float32x4_t v = vsubq_f32(vld1q_f32(x + i + 4 * j), m);
            sum[j] = vfmaq_f32(sum[j], v, v);
        }
    }
    for (; i < n; i++) {                           /* as a lane of its vector */
        float v[4] = { 0 };
        v[i % 4] = x[i] - mean;
        float32x4_t u = vld1q_f32(v);
        sum[i / 4 % 4] = vfmaq_f32(sum[i / 4 % 4], u, u);
    }
    return k_neon_fold(vaddq_f32(vaddq_f32(sum[0], sum[1]), vaddq_f32(sum[2], sum[3])));
}

/* y = (x - mean) * r * (w + w_add) + b. */
static void k_neon_norm(float *y, const float *x, float mean, float r, const float *w, float w_add,
                        const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t v = vmulq_n_f32(vsubq_f32(k_neon_load_f32(x + i, n - i), vdupq_n_f32(mean)), r);
        if (w != NULL) {
            v = vmulq_f32(v, vaddq_f32(k_neon_load_f32(w + i, n - i), vdupq_n_f32(w_add)));
        }
        if (b != NULL) {
            v = vaddq_f32(v, k_neon_load_f32(b + i, n - i));
        }
        k_neon_store_f32(y + i, v, n - i);
    }
}

static void k_rms_norm_neon(float *y, const float *x, const float *w, float w_add, int64_t n,
                            float eps) {
    float mean = n > 0 ? k_neon_squares(x, 0.0f, n) / (float)n : 0.0f;
    k_neon_norm(y, x, 0.0f, (float)(1.0 / sqrt((double)mean + (double)eps)), w, w_add, NULL, n);
}

static void k_layer_norm_neon(float *y, const float *x, const float *w, float w_add, const float *b,
                              int64_t n, float eps) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i];
    }
    float mean = n > 0 ? (float)(sum / (double)n) : 0.0f;
    float variance = n > 0 ? k_neon_squares(x, mean, n) / (float)n : 0.0f;
    k_neon_norm(y, x, mean, (float)(1.0 / sqrt((double)variance + (double)eps)), w, w_add, b, n);
}

static void k_rope_neon(float *x, const float *cos, const float *sin, int n_rot, bool traditional) {
    int half = n_rot / 2;
    if (traditional) {
        k_scalar_ops()->rope(x, cos, sin, n_rot, true);
        return;
    }
    for (int j = 0; j < half; j += 4) {
        float32x4_t c = k_neon_load_f32(cos + j, half - j), s = k_neon_load_f32(sin + j, half - j);
        float32x4_t a = k_neon_load_f32(x + j, half - j),
                    b = k_neon_load_f32(x + half + j, half - j);
        k_neon_store_f32(x + j, vsubq_f32(vmulq_f32(a, c), vmulq_f32(b, s)), half - j);
        k_neon_store_f32(x + half + j, vaddq_f32(vmulq_f32(a, s), vmulq_f32(b, c)), half - j);
    }
}

static void k_add_neon(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += 4) {
        k_neon_store_f32(
            y + i, vaddq_f32(k_neon_load_f32(y + i, n - i), k_neon_load_f32(x + i, n - i)), n - i);
    }
}

static void k_scale_neon(float *y, float f, int64_t n) {
    for (int64_t i = 0; i < n; i += 4) {
        k_neon_store_f32(y + i, vmulq_n_f32(k_neon_load_f32(y + i, n - i), f), n - i);
    }
}

static void k_silu_mul_neon(float *y, const float *gate, const float *up, int64_t n) {
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t g = k_neon_load_f32(gate + i, n - i);
        float32x4_t v = vdivq_f32(g, vaddq_f32(vdupq_n_f32(1.0f), k_neon_exp(vnegq_f32(g))));
        k_neon_store_f32(y + i, vmulq_f32(v, k_neon_load_f32(up + i, n - i)), n - i);
    }
}

/* 0.5 g (1 + tanh(u)) = g / (1 + exp(-2u)) with u = sqrt(2 / pi) (g + 0.044715 g^3). */
static void k_gelu_mul_neon(float *y, const float *gate, const float *up, int64_t n) {
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t g = k_neon_load_f32(gate + i, n - i);
        float32x4_t u = vfmaq_f32(g, vmulq_f32(vmulq_f32(g, g), g), vdupq_n_f32(0.044715f));
        float32x4_t e = k_neon_exp(vmulq_f32(u, vdupq_n_f32(-2.0f * 0.7978845608028654f)));
        float32x4_t v = vdivq_f32(g, vaddq_f32(vdupq_n_f32(1.0f), e));
        k_neon_store_f32(y + i, vmulq_f32(v, k_neon_load_f32(up + i, n - i)), n - i);
    }
}

static void k_f32_to_f16_neon(uint16_t *y, const float *x, int64_t n) {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        vst1_u16(y + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
    }
    for (; i < n; i++) {
        y[i] = num_f32_to_f16(x[i]);
    }
}

/* ---- attention ------------------------------------------------------------------------------- */

/* Product of two vectors, n a multiple of 16. */
K_INLINE float k_neon_product(const float *a, const float *b, int n) {
    float32x4_t sum[4] = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) };
    for (int i = 0; i < n; i += 16) {
        for (int j = 0; j < 4; j++) {
            sum[j] = vfmaq_f32(sum[j], vld1q_f32(a + i + 4 * j), vld1q_f32(b + i + 4 * j));
        }
    }
    return k_neon_fold(vaddq_f32(vaddq_f32(sum[0], sum[1]), vaddq_f32(sum[2], sum[3])));
}

/* dim stored elements as f32, zeros up to n. */
K_INLINE void k_neon_wide(const uint8_t *p, enum k_format format, int dim, int n, float *out) {
    size_t size = format == K_F32 ? 4 : 2;
    for (int i = 0; i < n; i += 4) {
        vst1q_f32(out + i, k_neon_widen(p + (size_t)i * size, format, dim - i));
    }
}

/* Scores become weights exp(s - max); returns their sum. n a multiple of 4. */
static float k_neon_weights(float *scores, int n, float *max) {
    float top = -INFINITY;
    float32x4_t sum = vdupq_n_f32(0);
    for (int i = 0; i < n; i++) {
        top = scores[i] > top ? scores[i] : top;
    }
    *max = top;
    if (top == -INFINITY) {                        /* sees nothing here */
        memset(scores, 0, (size_t)n * sizeof *scores);
        return 0;
    }
    for (int i = 0; i < n; i += 4) {
        float32x4_t e = k_neon_exp(vsubq_f32(vld1q_f32(scores + i), vdupq_n_f32(top)));
        vst1q_f32(scores + i, e);
        sum = vaddq_f32(sum, e);
    }
    return k_neon_fold(sum);
}

/* Weights times V of positions [lo, hi) for `rows` rows (at most 4), 16 dimensions at a time. */
static void k_neon_values(const struct k_attend *a, int rows, int32_t lo, int32_t hi,
                          const float *weights, float *acc) {
    size_t size = a->kv_format == K_F32 ? 4 : 2, stride = (size_t)a->kv_stride * size;
    for (int d = 0; d < a->dim_v; d += 16) {
        const uint8_t *v = (const uint8_t *)a->v + (size_t)lo * stride + (size_t)d * size;
        float32x4_t sum[4][4];
        memset(sum, 0, sizeof sum);
        for (int32_t p = lo; p < hi; p++, v += stride) {
            float32x4_t u[4];
            for (int i = 0; i < 4; i++) {
                u[i] = k_neon_widen(v + (size_t)(4 * i) * size, a->kv_format, a->dim_v - d - 4 * i);
            }
            for (int r = 0; r < rows; r++) {
                float weight = weights[r * K_ATTEND_BLOCK + p - lo];
                for (int i = 0; i < 4; i++) {
                    sum[r][i] = vfmaq_n_f32(sum[r][i], u[i], weight);
                }
            }
        }
        for (int r = 0; r < rows; r++) {
            for (int i = 0; i < 4; i++) {
                k_neon_store_f32(acc + r * a->dim_v + d + 4 * i, sum[r][i], a->dim_v - d - 4 * i);
            }
        }
    }
}

/* At most four rows. */
static void k_neon_attend_rows(const struct k_attend *a, int row, int rows, int32_t pos0,
                               int32_t pos1, float *m, float *l, float *acc) {
    float scores[4][K_ATTEND_BLOCK], q[4][K_MAX_DIM_HEAD], k[K_MAX_DIM_HEAD];
    size_t stride = (size_t)a->kv_stride * (a->kv_format == K_F32 ? 4 : 2);
    int dim = (a->dim_k + 15) & ~15;
    int32_t lo = pos1, hi = pos0;
    for (int r = 0; r < rows; r++) {
        lo = a->row_lo[row + r] < lo ? a->row_lo[row + r] : lo;
        hi = a->row_hi[row + r] > hi ? a->row_hi[row + r] : hi;
        k_neon_wide((const uint8_t *)(a->q + (row + r) * a->q_stride), K_F32, a->dim_k, dim, q[r]);
    }
    lo = lo > pos0 ? lo : pos0;
    hi = hi < pos1 ? hi : pos1;
    hi = hi > lo ? hi : lo;
    int32_t base = lo & ~3;                        /* lanes of the sum of weights are pos mod 4 */
    int n = (hi - base + 3) & ~3;
    for (int i = 0; i < 4 * K_ATTEND_BLOCK; i++) {
        scores[i / K_ATTEND_BLOCK][i % K_ATTEND_BLOCK] = -INFINITY;
    }
    for (int32_t p = lo; p < hi; p++) {
        k_neon_wide((const uint8_t *)a->k + (size_t)p * stride, a->kv_format, a->dim_k, dim, k);
        for (int r = 0; r < rows; r++) {
            if (p >= a->row_lo[row + r] && p < a->row_hi[row + r]) {
                float score = k_neon_product(q[r], k, dim) * a->scale;
                scores[r][p - base] =
                    a->softcap != 0 ? a->softcap * tanhf(score / a->softcap) : score;
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        l[row + r] = k_neon_weights(scores[r], n, m + row + r);
    }
    k_neon_values(a, rows, lo, hi, scores[0] + (lo - base), acc + (int64_t)row * a->dim_v);
}

static void k_attend_block_neon(const struct k_attend *a, int32_t pos0, int32_t pos1, float *m,
                                float *l, float *acc) {
    MLXK_ASSERT(pos1 <= (pos0 & ~(K_ATTEND_BLOCK - 1)) + K_ATTEND_BLOCK);
    MLXK_ASSERT(a->dim_k <= K_MAX_DIM_HEAD && a->dim_v <= K_MAX_DIM_HEAD);
    for (int row = 0; row < a->n_rows; row += 4) {
        k_neon_attend_rows(a, row, a->n_rows - row < 4 ? a->n_rows - row : 4, pos0, pos1, m, l,
                           acc);
    }
}

static void k_attend_merge_neon(float *m, float *l, float *acc, const float *m2, const float *l2,
                                const float *acc2, int n_rows, int dim_v) {
    for (int row = 0; row < n_rows; row++, acc += dim_v, acc2 += dim_v) {
        if (m2[row] == -INFINITY) {
            continue;
        }
        float max = m[row] > m2[row] ? m[row] : m2[row];
        float f = m[row] == -INFINITY ? 0.0f : expf(m[row] - max), f2 = expf(m2[row] - max);
        m[row] = max;
        l[row] = l[row] * f + l2[row] * f2;
        for (int i = 0; i < dim_v; i += 4) {
            float32x4_t v = vmulq_n_f32(k_neon_load_f32(acc + i, dim_v - i), f);
            float32x4_t v2 = vmulq_n_f32(k_neon_load_f32(acc2 + i, dim_v - i), f2);
            k_neon_store_f32(acc + i, vaddq_f32(v, v2), dim_v - i);
        }
    }
}

/* ---- choice ---------------------------------------------------------------------------------- */

/* Largest value not above the limit; -inf when there is none. NaN loses. */
static float k_neon_largest(const float *x, int64_t n, float limit) {
    float32x4_t max = vdupq_n_f32(-INFINITY);
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t v = vld1q_f32(x + i);
        max = vmaxq_f32(max, vbslq_f32(vcleq_f32(v, vdupq_n_f32(limit)), v, max));
    }
    float top = vmaxvq_f32(max);
    for (; i < n; i++) {
        top = x[i] <= limit && x[i] > top ? x[i] : top;
    }
    return top;
}

static int64_t k_argmax_neon(const float *x, int64_t n) {
    float top = k_neon_largest(x, n, 3.402823466e+38f);
    if (top == -INFINITY) {
        return -1;
    }
    int64_t i = 0;
    while (i + 4 <= n && vmaxvq_u32(vceqq_f32(vld1q_f32(x + i), vdupq_n_f32(top))) == 0) {
        i += 4;
    }
    while (x[i] != top) {
        i++;
    }
    return i;
}

static void k_softmax_neon(float *x, int64_t n) {
    float top = k_neon_largest(x, n, INFINITY);
    float32x4_t sum = vdupq_n_f32(0);
    if (top == -INFINITY) {
        memset(x, 0, (size_t)n * sizeof *x);
        return;
    }
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t e = k_neon_exp(vsubq_f32(k_neon_load_f32(x + i, n - i), vdupq_n_f32(top)));
        k_neon_store_f32(x + i, e, n - i);
        sum = vaddq_f32(sum, n - i >= 4 ? e : k_neon_load_f32(x + i, n - i));
    }
    k_scale_neon(x, 1.0f / k_neon_fold(sum), n);
}

MLXK_FN void k_neon_ops_fill(struct k_ops *o) {
    o->rms_norm = k_rms_norm_neon;
    o->layer_norm = k_layer_norm_neon;
    o->rope = k_rope_neon;
    o->add = k_add_neon;
    o->scale = k_scale_neon;
    o->silu_mul = k_silu_mul_neon;
    o->gelu_mul = k_gelu_mul_neon;
    o->f32_to_f16 = k_f32_to_f16_neon;
    o->attend_block = k_attend_block_neon;
    o->attend_merge = k_attend_merge_neon;
    o->argmax = k_argmax_neon;
    o->softmax = k_softmax_neon;
}

#endif
