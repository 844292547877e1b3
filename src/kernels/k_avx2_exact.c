/* k_avx2_exact.c: float matrix products in the scalar way, quicker: the same bits as k_scalar.c.
 *
 * Weights are dequantised as k_format.c does, eight at a time; a product of two f32 is rounded to
 * f32, widened and added to the f64 lane of its column mod 4: a vector of four f64 is exactly the
 * four lanes.
 *
 * 1. Multiplying and adding stay two operations everywhere: a fused one would round once less.
 * 2. Lanes past the end of a row are left alone, not even 0 is added (-0 would become 0).
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__x86_64__)

#include "kernels/k_avx2_int.h"

K_TARGET_BEGIN("avx2,fma,f16c")

enum {
    K_EXACT_ROWS = 2,            /* rows that share the loading of activations */
    K_EXACT_TOKENS = 64,         /* tokens that share one dequantising */
    K_EXACT_COLS = 512,          /* columns dequantised at a time */
};

/* ---- weights --------------------------------------------------------------------------------- */

/* n codes (a multiple of 8) as bytes in order. */
K_INLINE void k_exact_codes(const uint8_t *p, int bits, int n, uint8_t *out) {
    const __m128i low = _mm_set1_epi8(15);
    if (bits == 8) {
        memcpy(out, p, (size_t)n);
    } else if (bits != 4) {
        k_avx2_unpack(p, bits, n, out);
    }
    for (int i = 0; i < n && bits == 4; i += 16) {
        __m128i v = _mm_loadl_epi64((const __m128i *)(const void *)(p + i / 2));
        __m128i even = _mm_and_si128(v, low), odd = _mm_and_si128(_mm_srli_epi16(v, 4), low);
        _mm_storeu_si128((__m128i *)(void *)(out + i), _mm_unpacklo_epi8(even, odd));
    }
}

/* As k_load, without leaving vector code: calls into code for older processors are slow here. */
K_INLINE __m256 k_exact_scale(const uint8_t *p, enum k_format format, int64_t i) {
    if (format == K_F32) {
        float f;
        memcpy(&f, p + 4 * i, sizeof f);
        return _mm256_set1_ps(f);
    }
    uint32_t h = num_read_u16(p + 2 * i);
    return format == K_F16 ? _mm256_set1_ps(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128((int)h))))
                           : _mm256_castsi256_ps(_mm256_set1_epi32((int)(h << 16)));
}

static void k_exact_affine(const struct k_matrix *w, int64_t row, int64_t col0, int n, float *out) {
    uint8_t codes[128];
    k_exact_codes(w->data + (size_t)row * w->row_bytes + col0 * w->bits / 8, w->bits, n, codes);
    int64_t g = row * (w->cols / w->group) + col0 / w->group;
    __m256 scale = k_exact_scale(w->scales, w->scale_format, g);
    __m256 bias = k_exact_scale(w->biases, w->scale_format, g);
    for (int i = 0; i < n; i += 8) {
        __m128i v = _mm_loadl_epi64((const __m128i *)(const void *)(codes + i));
        __m256 x = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v));
        _mm256_storeu_ps(out + i, _mm256_add_ps(_mm256_mul_ps(scale, x), bias));
    }
}

/* Columns [col0, col0 + n) of a row, as k_dequantize gives them. */
static void k_exact_dequantize(const struct k_matrix *w, int64_t row, int64_t col0, int64_t n,
                               float *out) {
    int64_t i = 0;
    if (w->format == K_AFFINE) {
        for (; i < n; i += w->group) {
            k_exact_affine(w, row, col0 + i, w->group, out + i);
        }
    } else if (w->format == K_F16 || w->format == K_BF16) {
        const uint8_t *p = w->data + (size_t)row * w->row_bytes + 2 * col0;
        for (; i + 8 <= n; i += 8) {
            __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(p + 2 * i));
            _mm256_storeu_ps(out + i, k_avx2_half(h, w->format));
        }
    }
    if (i < n) {
        if (w->group != 0) {
            k_avx2_dequantize(w, row, col0, n, out);
        } else {
            k_dequantize(w, row, col0 + i, n - i, out + i);
        }
    }
}

/* ---- products -------------------------------------------------------------------------------- */

/* sums[t][r] += rows[r] * x[t] over n columns for two rows and `tokens` tokens (a constant after
 * inlining). */
K_INLINE void k_exact_part(float (*rows)[K_EXACT_COLS], const float *x, int64_t x_stride, int n,
                           const int tokens, __m256d (*sums)[K_EXACT_ROWS]) {
    __m256d acc[4][K_EXACT_ROWS];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
        acc[t][0] = sums[t][0];
        acc[t][1] = sums[t][1];
    }
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        __m128 a = _mm_loadu_ps(rows[0] + i), b = _mm_loadu_ps(rows[1] + i);
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) {
            __m128 u = _mm_loadu_ps(x + t * x_stride + i);
            acc[t][0] = _mm256_add_pd(acc[t][0], _mm256_cvtps_pd(_mm_mul_ps(a, u)));
            acc[t][1] = _mm256_add_pd(acc[t][1], _mm256_cvtps_pd(_mm_mul_ps(b, u)));
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
        for (int r = 0; r < K_EXACT_ROWS; r++) {
            double lanes[4];
            _mm256_storeu_pd(lanes, acc[t][r]);
            for (int k = i; k < n; k++) {
                lanes[k % 4] += (double)(rows[r][k] * x[t * x_stride + k]);
            }
            sums[t][r] = _mm256_loadu_pd(lanes);
        }
    }
}

/* Two rows (the last one twice), at most K_EXACT_TOKENS tokens. */
static void k_exact_rows(const struct k_matrix *w, int64_t row, int64_t row1,
                         const struct k_input *in, int64_t t0, int tokens, float *y,
                         int64_t y_stride) {
    __m256d sums[K_EXACT_TOKENS][K_EXACT_ROWS];
    float wide[K_EXACT_ROWS][K_EXACT_COLS];
    int rows = row1 - row < K_EXACT_ROWS ? (int)(row1 - row) : K_EXACT_ROWS;
    for (int t = 0; t < tokens; t++) {
        sums[t][0] = sums[t][1] = _mm256_setzero_pd();
    }
    for (int64_t c = 0; c < w->cols; c += K_EXACT_COLS) {
        int n = (int)(w->cols - c < K_EXACT_COLS ? w->cols - c : K_EXACT_COLS), t = 0;
        const float *x = in->x + t0 * in->x_stride + c;
        for (int r = 0; r < K_EXACT_ROWS; r++) {
            k_exact_dequantize(w, r < rows ? row + r : row, c, n, wide[r]);
        }
        for (; t + 4 <= tokens; t += 4) {
            k_exact_part(wide, x + t * in->x_stride, in->x_stride, n, 4, sums + t);
        }
        for (; t < tokens; t++) {
            k_exact_part(wide, x + t * in->x_stride, in->x_stride, n, 1, sums + t);
        }
    }
    for (int t = 0; t < tokens; t++) {
        for (int r = 0; r < rows; r++) {
            double lanes[4];
            _mm256_storeu_pd(lanes, sums[t][r]);
            y[(t0 + t) * y_stride + row + r] =
                (float)((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
        }
    }
}

MLXK_FN void k_avx2_matmul_exact(const struct k_matrix *w, int64_t row0, int64_t row1,
                                 const struct k_input *in, float *y, int64_t y_stride) {
    MLXK_ASSERT(in->cols == w->cols && 0 <= row0 && row1 <= w->rows && in->form == K_FORM_FLOAT);
    for (int64_t row = row0; row < row1; row += K_EXACT_ROWS) {
        for (int64_t t = 0; t < in->n_tokens; t += K_EXACT_TOKENS) {
            int n = (int)(in->n_tokens - t < K_EXACT_TOKENS ? in->n_tokens - t : K_EXACT_TOKENS);
            k_exact_rows(w, row, row1, in, t, n, y, y_stride);
        }
    }
}

K_TARGET_END

#endif
