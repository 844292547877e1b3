/* k_avx2_ops.c: norms, rotation, activations, merging and choice with 256-bit vectors.
 *
 * 1. Sums use four vectors of 8 lanes, folded in a fixed tree; tails enter with zeros.
 * 2. exp is k_avx2_exp everywhere, tails included, so that a value does not depend on its place.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__x86_64__)

#include "kernels/k_avx2_int.h"

K_TARGET_BEGIN("avx2,fma,f16c")

/* Lanes 0..7, in halves: ((0+4)+(2+6)) + ((1+5)+(3+7)). */
K_INLINE float k_avx2_ops_fold(__m256 v) {
    __m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)));
}

K_INLINE void k_avx2_ops_put(float *p, __m256 v, int64_t n) {
    if (n >= 8) {
        _mm256_storeu_ps(p, v);
    } else {
        _mm256_maskstore_ps(p, k_avx2_mask(n), v);
    }
}

/* Sum of (x - mean)^2; lane = index mod 32. */
static float k_avx2_squares(const float *x, float mean, int64_t n) {
    __m256 sum[4];
    for (int i = 0; i < 4; i++) {
        sum[i] = _mm256_setzero_ps();
    }
    int64_t i = 0;
    const __m256 m = _mm256_set1_ps(mean);
    for (; i + 32 <= n; i += 32) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            __m256 v = _mm256_sub_ps(_mm256_loadu_ps(x + i + 8 * j), m);
            sum[j] = _mm256_fmadd_ps(v, v, sum[j]);
        }
    }
    for (int j = 0; i < n; i += 8, j++) {
        __m256 v = _mm256_sub_ps(k_avx2_load_f32(x + i, n - i), m);
        v = _mm256_and_ps(v, _mm256_castsi256_ps(k_avx2_mask(n - i)));
        sum[j] = _mm256_fmadd_ps(v, v, sum[j]);
    }
    return k_avx2_ops_fold(
        _mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
}

/* y = (x - mean) * r * (w + w_add) + b. */
static void k_avx2_norm(float *y, const float *x, float mean, float r, const float *w, float w_add,
                        const float *b, int64_t n) {
    const __m256 m = _mm256_set1_ps(mean), factor = _mm256_set1_ps(r), add = _mm256_set1_ps(w_add);
    for (int64_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_sub_ps(k_avx2_load_f32(x + i, n - i), m), factor);
        if (w != NULL) {
            v = _mm256_mul_ps(v, _mm256_add_ps(k_avx2_load_f32(w + i, n - i), add));
        }
        if (b != NULL) {
            v = _mm256_add_ps(v, k_avx2_load_f32(b + i, n - i));
        }
        k_avx2_ops_put(y + i, v, n - i);
    }
}

static void k_rms_norm_avx2(float *y, const float *x, const float *w, float w_add, int64_t n,
                            float eps) {
    float mean = n > 0 ? k_avx2_squares(x, 0.0f, n) / (float)n : 0.0f;
    k_avx2_norm(y, x, 0.0f, (float)(1.0 / sqrt((double)mean + (double)eps)), w, w_add, NULL, n);
}

static void k_layer_norm_avx2(float *y, const float *x, const float *w, float w_add, const float *b,
                              int64_t n, float eps) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i];
    }
    float mean = n > 0 ? (float)(sum / (double)n) : 0.0f;
    float variance = n > 0 ? k_avx2_squares(x, mean, n) / (float)n : 0.0f;
    k_avx2_norm(y, x, mean, (float)(1.0 / sqrt((double)variance + (double)eps)), w, w_add, b, n);
}

static void k_rope_avx2(float *x, const float *cos, const float *sin, int n_rot, bool traditional) {
    int half = n_rot / 2;
    if (traditional) {
        k_scalar_ops()->rope(x, cos, sin, n_rot, true);
        return;
    }
    for (int j = 0; j < half; j += 8) {
        __m256 c = k_avx2_load_f32(cos + j, half - j), s = k_avx2_load_f32(sin + j, half - j);
        __m256 a = k_avx2_load_f32(x + j, half - j), b = k_avx2_load_f32(x + half + j, half - j);
        k_avx2_ops_put(x + j, _mm256_sub_ps(_mm256_mul_ps(a, c), _mm256_mul_ps(b, s)), half - j);
        k_avx2_ops_put(x + half + j, _mm256_add_ps(_mm256_mul_ps(a, s), _mm256_mul_ps(b, c)),
                       half - j);
    }
}

static void k_add_avx2(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += 8) {
        k_avx2_ops_put(y + i,
                       _mm256_add_ps(k_avx2_load_f32(y + i, n - i), k_avx2_load_f32(x + i, n - i)),
                       n - i);
    }
}

static void k_scale_avx2(float *y, float f, int64_t n) {
    for (int64_t i = 0; i < n; i += 8) {
        k_avx2_ops_put(y + i, _mm256_mul_ps(k_avx2_load_f32(y + i, n - i), _mm256_set1_ps(f)),
                       n - i);
    }
}

static void k_silu_mul_avx2(float *y, const float *gate, const float *up, int64_t n) {
    const __m256 one = _mm256_set1_ps(1.0f);
    for (int64_t i = 0; i < n; i += 8) {
        __m256 g = k_avx2_load_f32(gate + i, n - i);
        __m256 e = k_avx2_exp(_mm256_sub_ps(_mm256_setzero_ps(), g));
        __m256 v = _mm256_div_ps(g, _mm256_add_ps(one, e));
        k_avx2_ops_put(y + i, _mm256_mul_ps(v, k_avx2_load_f32(up + i, n - i)), n - i);
    }
}

/* 0.5 g (1 + tanh(u)) = g - g / (exp(2u) + 1) with u = sqrt(2 / pi) (g + 0.044715 g^3). */
static void k_gelu_mul_avx2(float *y, const float *gate, const float *up, int64_t n) {
    const __m256 one = _mm256_set1_ps(1.0f);
    for (int64_t i = 0; i < n; i += 8) {
        __m256 g = k_avx2_load_f32(gate + i, n - i);
        __m256 u =
            _mm256_fmadd_ps(_mm256_mul_ps(_mm256_mul_ps(g, g), g), _mm256_set1_ps(0.044715f), g);
        __m256 e = k_avx2_exp(_mm256_mul_ps(u, _mm256_set1_ps(-2.0f * 0.7978845608028654f)));
        __m256 v = _mm256_div_ps(g, _mm256_add_ps(one, e));
        k_avx2_ops_put(y + i, _mm256_mul_ps(v, k_avx2_load_f32(up + i, n - i)), n - i);
    }
}

static void k_f32_to_f16_avx2(uint16_t *y, const float *x, int64_t n) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm_storeu_si128((__m128i *)(void *)(y + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    }
    for (; i < n; i++) {
        y[i] = num_f32_to_f16(x[i]);
    }
}

static void k_attend_merge_avx2(float *m, float *l, float *acc, const float *m2, const float *l2,
                                const float *acc2, int n_rows, int dim_v) {
    for (int row = 0; row < n_rows; row++, acc += dim_v, acc2 += dim_v) {
        if (m2[row] == -INFINITY) {
            continue;
        }
        float max = m[row] > m2[row] ? m[row] : m2[row];
        float f = m[row] == -INFINITY ? 0.0f : expf(m[row] - max), f2 = expf(m2[row] - max);
        m[row] = max;
        l[row] = l[row] * f + l2[row] * f2;
        for (int i = 0; i < dim_v; i += 8) {
            __m256 a = _mm256_mul_ps(k_avx2_load_f32(acc + i, dim_v - i), _mm256_set1_ps(f));
            __m256 b = _mm256_mul_ps(k_avx2_load_f32(acc2 + i, dim_v - i), _mm256_set1_ps(f2));
            k_avx2_ops_put(acc + i, _mm256_add_ps(a, b), dim_v - i);
        }
    }
}

/* ---- choice ---------------------------------------------------------------------------------- */

static float k_avx2_largest(const float *x, int64_t n, float below) {
    float top = -INFINITY;
    __m256 max = _mm256_set1_ps(-INFINITY), limit = _mm256_set1_ps(below);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {                   /* NaN and values past the limit lose */
        __m256 v = _mm256_loadu_ps(x + i);
        v = _mm256_blendv_ps(max, v, _mm256_cmp_ps(v, limit, _CMP_LE_OQ));
        max = _mm256_max_ps(v, max);
    }
    float lanes[8];
    _mm256_storeu_ps(lanes, max);
    for (int j = 0; j < 8; j++) {
        top = lanes[j] > top ? lanes[j] : top;
    }
    for (; i < n; i++) {
        top = x[i] <= below && x[i] > top ? x[i] : top;
    }
    return top;
}

static int64_t k_argmax_avx2(const float *x, int64_t n) {
    float top = k_avx2_largest(x, n, 3.402823466e+38f);
    if (top == -INFINITY) {
        return -1;
    }
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        int equal = _mm256_movemask_ps(
            _mm256_cmp_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(top), _CMP_EQ_OQ));
        if (equal != 0) {
            return i + __builtin_ctz((unsigned)equal);
        }
    }
    while (x[i] != top) {
        i++;
    }
    return i;
}

static void k_softmax_avx2(float *x, int64_t n) {
    __m256 max = _mm256_set1_ps(k_avx2_largest(x, n, INFINITY)), sum = _mm256_setzero_ps();
    if (_mm256_cvtss_f32(max) == -INFINITY) {
        memset(x, 0, (size_t)n * sizeof *x);
        return;
    }
    for (int64_t i = 0; i < n; i += 8) {
        __m256 e = k_avx2_exp(_mm256_sub_ps(k_avx2_load_f32(x + i, n - i), max));
        e = _mm256_and_ps(e, _mm256_castsi256_ps(k_avx2_mask(n - i)));
        sum = _mm256_add_ps(sum, e);
        k_avx2_ops_put(x + i, e, n - i);
    }
    k_scale_avx2(x, 1.0f / k_avx2_ops_fold(sum), n);
}

K_TARGET_END

MLXK_FN void k_avx2_ops_fill(struct k_ops *o) {
    o->rms_norm = k_rms_norm_avx2;
    o->layer_norm = k_layer_norm_avx2;
    o->rope = k_rope_avx2;
    o->add = k_add_avx2;
    o->scale = k_scale_avx2;
    o->silu_mul = k_silu_mul_avx2;
    o->gelu_mul = k_gelu_mul_avx2;
    o->f32_to_f16 = k_f32_to_f16_avx2;
    o->attend_merge = k_attend_merge_avx2;
    o->argmax = k_argmax_avx2;
    o->softmax = k_softmax_avx2;
}

#endif
