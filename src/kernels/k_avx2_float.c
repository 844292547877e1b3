/* k_avx2_float.c: matrices of floats and of block floats, and attention, with 256-bit vectors.
 *
 * The same shapes as k_avx512_float.c with 8 lanes: float products fold column mod 8 in a fixed
 * tree; 8 positions are 8 lanes of a score, one fused chain over the dimension each.
 *
 * 1. The order of sums depends on the element alone; positions are grouped by pos / 8 in absolute
 *    numbers.
 * 2. Positions that no row of the call sees are not read.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__x86_64__)

#include "kernels/k_avx2_int.h"

K_TARGET_BEGIN("avx2,fma,f16c")

enum {
    K_AVX2_TOKENS = 32,          /* tokens whose sums wait on the stack */
    K_AVX2_COLS = 512,           /* columns widened at a time */
    K_AVX2_ATTEND_ROWS = 32,     /* rows of queries that share one transposed K */
};

/* First n (at most 8) elements at p as f32, zeros behind. */
K_INLINE __m256 k_avx2_widen(const uint8_t *p, enum k_format format, int64_t n) {
    uint8_t copy[32] = { 0 };
    if (n < 8) {
        size_t size = format == K_F32 ? 4 : 2;
        for (size_t i = 0; n > 0 && i < (size_t)n * size; i++) {
            copy[i] = p[i];
        }
        p = copy;
    }
    return format == K_F32 ? _mm256_loadu_ps((const float *)(const void *)p)
                           : k_avx2_half(_mm_loadu_si128((const __m128i *)(const void *)p), format);
}

K_INLINE float k_avx2_fold(__m256 v) {
    __m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)));
}

/* ---- block floats ---------------------------------------------------------------------------- */

/* 16 FP4 codes: a table of doubled values, by byte shuffle. */
K_INLINE void k_avx2_fp4(const uint8_t *codes, float scale, float *out) {
    const __m128i values = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    const __m128i low = _mm_set1_epi8(15);
    __m128i v = _mm_loadl_epi64((const __m128i *)(const void *)codes);
    v = _mm_unpacklo_epi8(_mm_and_si128(v, low), _mm_and_si128(_mm_srli_epi16(v, 4), low));
    v = _mm_shuffle_epi8(values, v);
    const __m256 half = _mm256_set1_ps(scale * 0.5f);
    _mm256_storeu_ps(out, _mm256_mul_ps(half, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v))));
    _mm256_storeu_ps(out + 8, _mm256_mul_ps(half, _mm256_cvtepi32_ps(
                                                      _mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)))));
}

/* 8 FP8 codes: exponent and mantissa moved into a half are the value / 256. */
K_INLINE void k_avx2_fp8(const uint8_t *codes, float scale, float *out) {
    __m128i v = _mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)codes));
    __m128i sign = _mm_slli_epi16(_mm_and_si128(v, _mm_set1_epi16(128)), 8);
    v = _mm_or_si128(sign, _mm_slli_epi16(_mm_and_si128(v, _mm_set1_epi16(127)), 7));
    __m256 wide = _mm256_mul_ps(_mm256_cvtph_ps(v), _mm256_set1_ps(256.0f));
    _mm256_storeu_ps(out, _mm256_mul_ps(wide, _mm256_set1_ps(scale)));
}

MLXK_FN void k_avx2_dequantize(const struct k_matrix *w, int64_t row, int64_t col0, int64_t n,
                               float *out) {
    if (w->format == K_AFFINE) {
        k_dequantize(w, row, col0, n, out);
        return;
    }
    const uint8_t *codes = w->data + (size_t)row * w->row_bytes + col0 * w->bits / 8;
    for (int64_t i = 0; i < n; i += 16, codes += 2 * w->bits) {
        float scale = k_group_scale(w, row, (col0 + i) / w->group);
        if (w->bits == 4) {
            k_avx2_fp4(codes, scale, out + i);
        } else {
            k_avx2_fp8(codes, scale, out + i);
            k_avx2_fp8(codes + 8, scale, out + i + 8);
        }
    }
}

/* ---- float products -------------------------------------------------------------------------- */

/* sums[t][r] += rows[r][0, n) * x[t][0, n) for four rows and `tokens` tokens (1 or 2). */
K_INLINE void k_avx2_float_part(const uint8_t *const *rows, enum k_format format, const float *x,
                                int64_t x_stride, int64_t n, const int tokens, __m256 (*sums)[4]) {
    size_t size = format == K_F32 ? 4 : 2;
    __m256 acc[2][4];
#pragma GCC unroll 2
    for (int t = 0; t < tokens; t++) {
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            acc[t][r] = sums[t][r];
        }
    }
    for (int64_t i = 0; i < n; i += 8) {
        __m256 u[2];
#pragma GCC unroll 2
        for (int t = 0; t < tokens; t++) {
            u[t] = k_avx2_load_f32(x + t * x_stride + i, n - i);
        }
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            __m256 v = k_avx2_widen(rows[r] + (size_t)i * size, format, n - i);
#pragma GCC unroll 2
            for (int t = 0; t < tokens; t++) {
                acc[t][r] = _mm256_fmadd_ps(v, u[t], acc[t][r]);
            }
        }
    }
#pragma GCC unroll 2
    for (int t = 0; t < tokens; t++) {
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            sums[t][r] = acc[t][r];
        }
    }
}

K_INLINE void k_avx2_float_tokens(const uint8_t *const *rows, enum k_format format, const float *x,
                                  int64_t x_stride, int64_t n, int tokens, __m256 (*sums)[4]) {
    int t = 0;
    for (; t + 2 <= tokens; t += 2) {
        k_avx2_float_part(rows, format, x + t * x_stride, x_stride, n, 2, sums + t);
    }
    for (; t < tokens; t++) {
        k_avx2_float_part(rows, format, x + t * x_stride, x_stride, n, 1, sums + t);
    }
}

/* Four rows (the last repeated), at most K_AVX2_TOKENS tokens. */
static void k_avx2_float_rows(const struct k_matrix *w, int64_t row, int64_t row1, const float *x,
                              int64_t x_stride, int tokens, float *y, int64_t y_stride) {
    __m256 sums[K_AVX2_TOKENS][4];
    float wide[4][K_AVX2_COLS];
    for (int t = 0; t < tokens; t++) {
        for (int r = 0; r < 4; r++) {
            sums[t][r] = _mm256_setzero_ps();
        }
    }
    int64_t step = w->group == 0 ? w->cols : K_AVX2_COLS;
    for (int64_t c = 0; c < w->cols; c += step) {
        const uint8_t *rows[4];
        int64_t n = w->cols - c < step ? w->cols - c : step;
        for (int r = 0; r < 4; r++) {
            int64_t at = row + r < row1 ? row + r : row1 - 1;
            rows[r] = w->data + (size_t)at * w->row_bytes;
            if (w->group != 0) {
                k_avx2_dequantize(w, at, c, n, wide[r]);
                rows[r] = (const uint8_t *)wide[r];
            }
        }
        if (w->format == K_F16) {
            k_avx2_float_tokens(rows, K_F16, x + c, x_stride, n, tokens, sums);
        } else if (w->format == K_BF16) {
            k_avx2_float_tokens(rows, K_BF16, x + c, x_stride, n, tokens, sums);
        } else {
            k_avx2_float_tokens(rows, K_F32, x + c, x_stride, n, tokens, sums);
        }
    }
    for (int t = 0; t < tokens; t++) {
        for (int r = 0; r < 4 && row + r < row1; r++) {
            y[t * y_stride + row + r] = k_avx2_fold(sums[t][r]);
        }
    }
}

MLXK_FN void k_avx2_matmul_float(const struct k_matrix *w, int64_t row0, int64_t row1,
                                 const struct k_input *in, float *y, int64_t y_stride) {
    for (int64_t row = row0; row < row1; row += 4) {
        for (int64_t t = 0; t < in->n_tokens; t += K_AVX2_TOKENS) {
            int n = (int)(in->n_tokens - t < K_AVX2_TOKENS ? in->n_tokens - t : K_AVX2_TOKENS);
            k_avx2_float_rows(w, row, row1, in->x + t * in->x_stride, in->x_stride, n,
                              y + t * y_stride, y_stride);
        }
    }
}

/* ---- attention ------------------------------------------------------------------------------- */

/* kt[d][i]: K of positions pos + i for i in [first, n); the others are 0. */
static void k_avx2_keys(const struct k_attend *a, int32_t pos, int first, int n, float (*kt)[8]) {
    size_t size = a->kv_format == K_F32 ? 4 : 2, stride = (size_t)a->kv_stride * size;
    const uint8_t *k = (const uint8_t *)a->k + (size_t)pos * stride;
    for (int d = 0; d < a->dim_k; d += 8) {
        __m256 v[8];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            v[i] = _mm256_setzero_ps();
            if (i >= first && i < n) {
                v[i] = k_avx2_widen(k + (size_t)i * stride + (size_t)d * size, a->kv_format,
                                    a->dim_k - d);
            }
        }
        k_avx2_transpose(v);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            _mm256_store_ps(kt[d + i], v[i]);
        }
    }
}

/* Scores of `rows` rows at 8 positions, one fused chain over the dimension each. */
K_INLINE void k_avx2_scores(const struct k_attend *a, int row, const int rows, float (*kt)[8],
                            int32_t pos, float (*scores)[K_ATTEND_BLOCK], int at) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const float *q = a->q + row * a->q_stride;
    __m256 acc[8];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        acc[r] = _mm256_setzero_ps();
    }
    for (int d = 0; d < a->dim_k; d++) {
        __m256 k = _mm256_load_ps(kt[d]);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            acc[r] = _mm256_fmadd_ps(k, _mm256_set1_ps(q[r * a->q_stride + d]), acc[r]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        __m256i p = _mm256_add_epi32(lane, _mm256_set1_epi32(pos));
        __m256i seen =
            _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(a->row_lo[row + r]), p),
                                _mm256_cmpgt_epi32(_mm256_set1_epi32(a->row_hi[row + r]), p));
        __m256 s = _mm256_mul_ps(acc[r], _mm256_set1_ps(a->scale));
        if (a->softcap != 0) { /* cap * tanh(s / cap) = cap - 2 cap / (exp(2 s / cap) + 1) */
            __m256 e = _mm256_min_ps(_mm256_mul_ps(s, _mm256_set1_ps(2.0f / a->softcap)),
                                     _mm256_set1_ps(40.0f));
            e = _mm256_add_ps(k_avx2_exp(e), _mm256_set1_ps(1.0f));
            s = _mm256_sub_ps(_mm256_set1_ps(a->softcap),
                              _mm256_div_ps(_mm256_set1_ps(2.0f * a->softcap), e));
        }
        _mm256_store_ps(scores[r] + at,
                        _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), s, _mm256_castsi256_ps(seen)));
    }
}

/* Scores become weights exp(s - max); returns their sum. n a multiple of 8. */
static float k_avx2_weights(float *scores, int n, float *max) {
    __m256 sum = _mm256_setzero_ps();
    float top = -INFINITY;
    for (int i = 0; i < n; i++) {
        top = scores[i] > top ? scores[i] : top;
    }
    *max = top;
    if (top == -INFINITY) {                        /* sees nothing here */
        memset(scores, 0, (size_t)n * sizeof *scores);
        return 0;
    }
    for (int i = 0; i < n; i += 8) {
        __m256 e = k_avx2_exp(_mm256_sub_ps(_mm256_load_ps(scores + i), _mm256_set1_ps(top)));
        _mm256_store_ps(scores + i, e);
        sum = _mm256_add_ps(sum, e);
    }
    return k_avx2_fold(sum);
}

K_INLINE void k_avx2_put(float *p, __m256 v, int n) {
    if (n >= 8) {
        _mm256_storeu_ps(p, v);
    } else {
        _mm256_maskstore_ps(p, k_avx2_mask(n), v);
    }
}

/* acc[r][d0, d0 + 8 * vectors) of `rows` rows: weights times V of positions [pos0, pos1). */
K_INLINE void k_avx2_values(const struct k_attend *a, const int rows, int d0, const int vectors,
                            int32_t pos0, int32_t pos1, const float *weights, float *acc) {
    size_t size = a->kv_format == K_F32 ? 4 : 2, stride = (size_t)a->kv_stride * size;
    const uint8_t *v = (const uint8_t *)a->v + (size_t)pos0 * stride + (size_t)d0 * size;
    __m256 sum[3][4];
#pragma GCC unroll 3
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int i = 0; i < vectors; i++) {
            sum[r][i] = _mm256_setzero_ps();
        }
    }
    for (int32_t p = pos0; p < pos1; p++, v += stride, weights++) {
#pragma GCC unroll 4
        for (int i = 0; i < vectors; i++) {
            __m256 u =
                k_avx2_widen(v + (size_t)(8 * i) * size, a->kv_format, a->dim_v - d0 - 8 * i);
#pragma GCC unroll 3
            for (int r = 0; r < rows; r++) {
                sum[r][i] =
                    _mm256_fmadd_ps(u, _mm256_set1_ps(weights[r * K_ATTEND_BLOCK]), sum[r][i]);
            }
        }
    }
#pragma GCC unroll 3
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int i = 0; i < vectors; i++) {
            k_avx2_put(acc + r * a->dim_v + d0 + 8 * i, sum[r][i], a->dim_v - d0 - 8 * i);
        }
    }
}

/* `rows` rows (1 or 3): all of dim_v. */
K_INLINE void k_avx2_values_rows(const struct k_attend *a, const int rows, int32_t pos0,
                                 int32_t pos1, const float *weights, float *acc) {
    int d = 0;
    for (; d + 32 <= a->dim_v; d += 32) {
        k_avx2_values(a, rows, d, 4, pos0, pos1, weights, acc);
    }
    for (; d < a->dim_v; d += 8) {
        k_avx2_values(a, rows, d, 1, pos0, pos1, weights, acc);
    }
}

/* Scores of `rows` rows at positions [lo, hi); scores[r][0] stands for position base <= lo. */
static void k_avx2_scores_rows(const struct k_attend *a, int row, int rows, int32_t base,
                               int32_t lo, int32_t hi, float (*scores)[K_ATTEND_BLOCK]) {
    _Alignas(32) float kt[K_MAX_DIM_HEAD][8];
    for (int32_t p = base; p < hi; p += 8) {
        k_avx2_keys(a, p, lo > p ? lo - p : 0, hi - p, kt);
        int r = 0;
        for (; r + 8 <= rows; r += 8) {
            k_avx2_scores(a, row + r, 8, kt, p, scores + r, p - base);
        }
        for (; r + 3 <= rows; r += 3) {
            k_avx2_scores(a, row + r, 3, kt, p, scores + r, p - base);
        }
        for (; r < rows; r++) {
            k_avx2_scores(a, row + r, 1, kt, p, scores + r, p - base);
        }
    }
}

/* At most K_AVX2_ATTEND_ROWS rows. */
static void k_avx2_attend_rows(const struct k_attend *a, int row, int rows, int32_t pos0,
                               int32_t pos1, float *m, float *l, float *acc) {
    _Alignas(32) float scores[K_AVX2_ATTEND_ROWS][K_ATTEND_BLOCK];
    int32_t lo = pos1, hi = pos0;
    for (int r = row; r < row + rows; r++) {
        lo = a->row_lo[r] < lo ? a->row_lo[r] : lo;
        hi = a->row_hi[r] > hi ? a->row_hi[r] : hi;
    }
    lo = lo > pos0 ? lo : pos0;
    hi = hi < pos1 ? hi : pos1;
    int32_t base = lo & ~7;
    int n = hi > lo ? (hi - base + 7) & ~7 : 0;
    hi = n > 0 ? hi : lo;
    k_avx2_scores_rows(a, row, rows, base, lo, hi, scores);
    for (int r = 0; r < rows; r++) {
        l[row + r] = k_avx2_weights(scores[r], n, m + row + r);
    }
    int r = 0;
    for (; r + 3 <= rows; r += 3) {
        k_avx2_values_rows(a, 3, lo, hi, scores[r] + (lo - base),
                           acc + (int64_t)(row + r) * a->dim_v);
    }
    for (; r < rows; r++) {
        k_avx2_values_rows(a, 1, lo, hi, scores[r] + (lo - base),
                           acc + (int64_t)(row + r) * a->dim_v);
    }
}

MLXK_FN void k_avx2_attend_block(const struct k_attend *a, int32_t pos0, int32_t pos1, float *m,
                                 float *l, float *acc) {
    MLXK_ASSERT(pos1 <= (pos0 & ~(K_ATTEND_BLOCK - 1)) + K_ATTEND_BLOCK);
    MLXK_ASSERT(a->dim_k <= K_MAX_DIM_HEAD && a->dim_v <= K_MAX_DIM_HEAD);
    for (int row = 0; row < a->n_rows; row += K_AVX2_ATTEND_ROWS) {
        int rows = a->n_rows - row < K_AVX2_ATTEND_ROWS ? a->n_rows - row : K_AVX2_ATTEND_ROWS;
        k_avx2_attend_rows(a, row, rows, pos0, pos1, m, l, acc);
    }
}

K_TARGET_END

#endif
