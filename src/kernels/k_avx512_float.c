/* k_avx512_float.c: matrices of floats and of block floats, and attention (AVX-512).
 *
 * Float products: 16 lanes (column mod 16), folded in a fixed tree at the end of the row; four rows
 * and up to four tokens share their loads. Block floats are widened into a small buffer first.
 * Attention: 16 positions are 16 vector lanes, so a score is one fused chain over the dimension; K
 * is transposed on the way. Values are added position by position, 16 dimensions at a time.
 *
 * 1. The order of sums depends on the element alone: not on rows, tokens or slices in the call.
 *    Positions are grouped by pos / 16 in absolute numbers.
 * 2. Positions that no row of the call sees are not read.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__x86_64__)

#include "kernels/k_avx512_int.h"

K_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")

enum {
    K_AVX512_TOKENS = 32,        /* tokens whose sums wait on the stack */
    K_AVX512_COLS = 512,         /* columns widened at a time */
    K_AVX512_ATTEND_ROWS = 32,   /* rows of queries that share one transposed K */
};

/* ---- float products -------------------------------------------------------------------------- */

K_INLINE __m512 k_avx512_widen(const uint8_t *p, enum k_format format, __mmask16 m) {
    if (format == K_F32) {
        return _mm512_maskz_loadu_ps(m, p);
    }
    __m256i h = _mm256_maskz_loadu_epi16(m, p);
    return format == K_F16 ? _mm512_cvtph_ps(h)
                           : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

K_INLINE __m512 k_avx512_widen16(const uint8_t *p, enum k_format format) {
    if (format == K_F32) {
        return _mm512_loadu_ps(p);
    }
    __m256i h = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return format == K_F16 ? _mm512_cvtph_ps(h)
                           : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

K_INLINE float k_avx512_fold(__m512 v) {
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

/* sums[t][r] += rows[r][0, n) * x[t][0, n) for four rows and `tokens` tokens. `ahead` bytes on lie
 * the rows that come next. */
K_INLINE void k_avx512_float_part(const uint8_t *const *rows, enum k_format format, const float *x,
                                  int64_t x_stride, int64_t n, size_t ahead, const int tokens,
                                  __m512 (*sums)[4]) {
    size_t size = format == K_F32 ? 4 : 2;
    __m512 acc[4][4];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            acc[t][r] = sums[t][r];
        }
    }
    for (int64_t i = 0; i < n; i += 16) {
        bool full = n - i >= 16;
        __m512 v[4];
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            const uint8_t *p = rows[r] + (size_t)i * size;
            if (tokens == 1 && (i * (int64_t)size) % 64 == 0) {
                _mm_prefetch((const char *)p + ahead, _MM_HINT_T1);
            }
            v[r] = full ? k_avx512_widen16(p, format)
                        : k_avx512_widen(p, format, k_avx512_first(n - i));
        }
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) {
            const float *from = x + t * x_stride + i;
            __m512 u =
                full ? _mm512_loadu_ps(from) : _mm512_maskz_loadu_ps(k_avx512_first(n - i), from);
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++) {
                acc[t][r] = _mm512_fmadd_ps(v[r], u, acc[t][r]);
            }
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            sums[t][r] = acc[t][r];
        }
    }
}

K_INLINE void k_avx512_float_tokens(const uint8_t *const *rows, enum k_format format,
                                    const float *x, int64_t x_stride, int64_t n, size_t ahead,
                                    int tokens, __m512 (*sums)[4]) {
    int t = 0;
    for (; t + 4 <= tokens; t += 4) {
        k_avx512_float_part(rows, format, x + t * x_stride, x_stride, n, ahead, 4, sums + t);
    }
    for (; t < tokens; t++) {
        k_avx512_float_part(rows, format, x + t * x_stride, x_stride, n, ahead, 1, sums + t);
    }
}

/* Four rows (the last repeated), at most K_AVX512_TOKENS tokens. */
static void k_avx512_float_rows(const struct k_matrix *w, int64_t row, int64_t row1, const float *x,
                                int64_t x_stride, int tokens, float *y, int64_t y_stride) {
    __m512 sums[K_AVX512_TOKENS][4];
    float wide[4][K_AVX512_COLS];
    for (int t = 0; t < tokens; t++) {
        for (int r = 0; r < 4; r++) {
            sums[t][r] = _mm512_setzero_ps();
        }
    }
    int64_t step = w->group == 0 ? w->cols : K_AVX512_COLS;
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
            k_avx512_float_tokens(rows, K_F16, x + c, x_stride, n, 4 * w->row_bytes, tokens, sums);
        } else if (w->format == K_BF16) {
            k_avx512_float_tokens(rows, K_BF16, x + c, x_stride, n, 4 * w->row_bytes, tokens, sums);
        } else {
            k_avx512_float_tokens(rows, K_F32, x + c, x_stride, n, 4 * w->row_bytes, tokens, sums);
        }
    }
    for (int t = 0; t < tokens; t++) {
        for (int r = 0; r < 4 && row + r < row1; r++) {
            y[t * y_stride + row + r] = k_avx512_fold(sums[t][r]);
        }
    }
}

MLXK_FN void k_avx512_matmul_float(const struct k_matrix *w, int64_t row0, int64_t row1,
                                   const struct k_input *in, float *y, int64_t y_stride) {
    for (int64_t row = row0; row < row1; row += 4) {
        for (int64_t t = 0; t < in->n_tokens; t += K_AVX512_TOKENS) {
            int n = (int)(in->n_tokens - t < K_AVX512_TOKENS ? in->n_tokens - t : K_AVX512_TOKENS);
            k_avx512_float_rows(w, row, row1, in->x + t * in->x_stride, in->x_stride, n,
                                y + t * y_stride, y_stride);
        }
    }
}

/* ---- attention ------------------------------------------------------------------------------- */

/* exp(x) for x <= 88, 0 for -inf; error below 2 units in the last place. */
K_INLINE __m512 k_avx512_exp(__m512 x) {
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0x08);
    n = _mm512_max_ps(n, _mm512_set1_ps(-200.0f)); /* -inf must not become NaN below */
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145752f),
                                _mm512_max_ps(x, _mm512_set1_ps(-200.0f)));
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6f), r);
    __m512 p = _mm512_set1_ps(1.39269266e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.36377387e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.16665501e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.66665734e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r);
    return _mm512_scalef_ps(_mm512_add_ps(p, _mm512_set1_ps(1.0f)), n);
}

/* 16 x 16 floats, columns become rows. */
K_INLINE void k_avx512_transpose(__m512 v[16]) {
    __m512 t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        v[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        v[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xEE);
        v[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        v[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* v[i + 4j]: columns i, i+4, i+8, i+12 of rows 4j..4j+3 */
        t[i] = _mm512_shuffle_f32x4(v[i], v[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(v[i], v[i + 4], 0xDD);
        t[i + 8] = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0xDD);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        v[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xDD);
        v[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        v[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xDD);
    }
}

/* kt[d][i]: K of positions pos + i for i in [first, n); the others are 0. */
static void k_avx512_keys(const struct k_attend *a, int32_t pos, int first, int n,
                          float (*kt)[16]) {
    size_t size = a->kv_format == K_F32 ? 4 : 2, stride = (size_t)a->kv_stride * size;
    const uint8_t *k = (const uint8_t *)a->k + (size_t)pos * stride;
    for (int d = 0; d < a->dim_k; d += 16) {
        __mmask16 m = k_avx512_first(a->dim_k - d);
        __m512 v[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            v[i] = i >= first && i < n
                       ? k_avx512_widen(k + (size_t)i * stride + (size_t)d * size, a->kv_format, m)
                       : _mm512_setzero_ps();
        }
        k_avx512_transpose(v);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            _mm512_store_ps(kt[d + i], v[i]);
        }
    }
}

/* Scores of `rows` rows at 16 positions, one fused chain over the dimension each. */
K_INLINE void k_avx512_scores(const struct k_attend *a, int row, const int rows, float (*kt)[16],
                              int32_t pos, float (*scores)[K_ATTEND_BLOCK], int at) {
    const float *q = a->q + row * a->q_stride;
    __m512 acc[8];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        acc[r] = _mm512_setzero_ps();
    }
    for (int d = 0; d < a->dim_k; d++) {
        __m512 k = _mm512_load_ps(kt[d]);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            acc[r] = _mm512_fmadd_ps(k, _mm512_set1_ps(q[r * a->q_stride + d]), acc[r]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        __mmask16 seen = _kandn_mask16(k_avx512_first(a->row_lo[row + r] - pos),
                                       k_avx512_first(a->row_hi[row + r] - pos));
        __m512 s = _mm512_mul_ps(acc[r], _mm512_set1_ps(a->scale));
        if (a->softcap != 0) { /* cap * tanh(s / cap) = cap - 2 cap / (exp(2 s / cap) + 1) */
            __m512 e = _mm512_min_ps(_mm512_mul_ps(s, _mm512_set1_ps(2.0f / a->softcap)),
                                     _mm512_set1_ps(40.0f));
            e = _mm512_add_ps(k_avx512_exp(e), _mm512_set1_ps(1.0f));
            s = _mm512_sub_ps(_mm512_set1_ps(a->softcap),
                              _mm512_div_ps(_mm512_set1_ps(2.0f * a->softcap), e));
        }
        _mm512_store_ps(scores[r] + at, _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), seen, s));
    }
}

/* Scores become weights exp(s - max); returns their sum. n a multiple of 16. */
static float k_avx512_weights(float *scores, int n, float *max) {
    __m512 top = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 16) {
        top = _mm512_max_ps(top, _mm512_load_ps(scores + i));
    }
    *max = _mm512_reduce_max_ps(top);
    if (*max == -INFINITY) {                       /* sees nothing here */
        memset(scores, 0, (size_t)n * sizeof *scores);
        return 0;
    }
    top = _mm512_set1_ps(*max);
    for (int i = 0; i < n; i += 16) {
        __m512 e = k_avx512_exp(_mm512_sub_ps(_mm512_load_ps(scores + i), top));
        _mm512_store_ps(scores + i, e);
        sum = _mm512_add_ps(sum, e);
    }
    return k_avx512_fold(sum);
}

/* acc[r][d0, d0 + 16 * vectors) of `rows` rows: weights times V of positions [pos0, pos1). */
K_INLINE void k_avx512_values(const struct k_attend *a, const int rows, int d0, const int vectors,
                              int32_t pos0, int32_t pos1, const float *weights, float *acc) {
    size_t size = a->kv_format == K_F32 ? 4 : 2, stride = (size_t)a->kv_stride * size;
    const uint8_t *v = (const uint8_t *)a->v + (size_t)pos0 * stride + (size_t)d0 * size;
    __m512 sum[4][4];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int i = 0; i < vectors; i++) {
            sum[r][i] = _mm512_setzero_ps();
        }
    }
    for (int32_t p = pos0; p < pos1; p++, v += stride, weights++) {
#pragma GCC unroll 4
        for (int i = 0; i < vectors; i++) {
            __m512 u = k_avx512_widen(v + (size_t)(16 * i) * size, a->kv_format,
                                      k_avx512_first(a->dim_v - d0 - 16 * i));
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) {
                sum[r][i] =
                    _mm512_fmadd_ps(u, _mm512_set1_ps(weights[r * K_ATTEND_BLOCK]), sum[r][i]);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int i = 0; i < vectors; i++) {
            _mm512_mask_storeu_ps(acc + r * a->dim_v + d0 + 16 * i,
                                  k_avx512_first(a->dim_v - d0 - 16 * i), sum[r][i]);
        }
    }
}

/* `rows` rows (1..4): all of dim_v. */
K_INLINE void k_avx512_values_rows(const struct k_attend *a, const int rows, int32_t pos0,
                                   int32_t pos1, const float *weights, float *acc) {
    int d = 0;
    for (; d + 48 < a->dim_v; d += 64) {
        k_avx512_values(a, rows, d, 4, pos0, pos1, weights, acc);
    }
    for (; d < a->dim_v; d += 16) {
        k_avx512_values(a, rows, d, 1, pos0, pos1, weights, acc);
    }
}

/* Scores of `rows` rows at positions [lo, hi); scores[r][0] stands for position base <= lo. */
static void k_avx512_scores_rows(const struct k_attend *a, int row, int rows, int32_t base,
                                 int32_t lo, int32_t hi, float (*scores)[K_ATTEND_BLOCK]) {
    _Alignas(64) float kt[K_MAX_DIM_HEAD][16];
    for (int32_t p = base; p < hi; p += 16) {
        k_avx512_keys(a, p, lo > p ? lo - p : 0, hi - p, kt);
        int r = 0;
        for (; r + 8 <= rows; r += 8) {
            k_avx512_scores(a, row + r, 8, kt, p, scores + r, p - base);
        }
        for (; r + 3 <= rows; r += 3) {
            k_avx512_scores(a, row + r, 3, kt, p, scores + r, p - base);
        }
        for (; r < rows; r++) {
            k_avx512_scores(a, row + r, 1, kt, p, scores + r, p - base);
        }
    }
}

/* At most K_AVX512_ATTEND_ROWS rows. */
static void k_avx512_attend_rows(const struct k_attend *a, int row, int rows, int32_t pos0,
                                 int32_t pos1, float *m, float *l, float *acc) {
    _Alignas(64) float scores[K_AVX512_ATTEND_ROWS][K_ATTEND_BLOCK];
    int32_t lo = pos1, hi = pos0;
    for (int r = row; r < row + rows; r++) {
        lo = a->row_lo[r] < lo ? a->row_lo[r] : lo;
        hi = a->row_hi[r] > hi ? a->row_hi[r] : hi;
    }
    lo = lo > pos0 ? lo : pos0;
    hi = hi < pos1 ? hi : pos1;
    int32_t base = lo & ~15;
    int n = hi > lo ? (hi - base + 15) & ~15 : 0;
    hi = n > 0 ? hi : lo;
    k_avx512_scores_rows(a, row, rows, base, lo, hi, scores);
    for (int r = 0; r < rows; r++) {
        l[row + r] = k_avx512_weights(scores[r], n, m + row + r);
    }
    int r = 0;
    for (; r + 4 <= rows; r += 4) {
        k_avx512_values_rows(a, 4, lo, hi, scores[r] + (lo - base),
                             acc + (int64_t)(row + r) * a->dim_v);
    }
    for (; r + 3 <= rows; r += 3) {
        k_avx512_values_rows(a, 3, lo, hi, scores[r] + (lo - base),
                             acc + (int64_t)(row + r) * a->dim_v);
    }
    for (; r < rows; r++) {
        k_avx512_values_rows(a, 1, lo, hi, scores[r] + (lo - base),
                             acc + (int64_t)(row + r) * a->dim_v);
    }
}

MLXK_FN void k_avx512_attend_block(const struct k_attend *a, int32_t pos0, int32_t pos1, float *m,
                                   float *l, float *acc) {
    MLXK_ASSERT(pos1 <= (pos0 & ~(K_ATTEND_BLOCK - 1)) + K_ATTEND_BLOCK);
    MLXK_ASSERT(a->dim_k <= K_MAX_DIM_HEAD && a->dim_v <= K_MAX_DIM_HEAD);
    for (int row = 0; row < a->n_rows; row += K_AVX512_ATTEND_ROWS) {
        int rows = a->n_rows - row < K_AVX512_ATTEND_ROWS ? a->n_rows - row : K_AVX512_ATTEND_ROWS;
        k_avx512_attend_rows(a, row, rows, pos0, pos1, m, l, acc);
    }
}

K_TARGET_END

#endif
