/* k_avx2_int.h: 256-bit building blocks that k_avx2.c and k_avxvnni.c share (integer matrix
 * products).
 *
 * Everything here needs AVX2, FMA and F16C only and is inlined into functions that have at least
 * these.
 */
#ifndef MLXK_K_AVX2_INT_H
#define MLXK_K_AVX2_INT_H

#include "kernels/k_int.h"

#include <immintrin.h>

enum {
    K_AVX2_ROWS = 8,   /* rows whose lanes are added together, or of a panel */
    K_AVX2_BAND = 128, /* rows per ordering of the activations */
    K_AVX2_MAX_COLS = 65536,
    K_AVX2_AHEAD = 4096,        /* bytes prefetched ahead in the stream of codes */
    K_AVX2_PANEL_BYTES = 65536, /* hard bound of one lane's panel */
    K_AVX2_PANEL_AIM = 24576,   /* what stays near the core */
    K_AVX2_PANEL_BLOCKS = K_AVX2_PANEL_BYTES / (32 * K_AVX2_ROWS),
    K_AVX2_FEW_TOKENS = 3, /* fewer than this: matvec */
};

/* How the codes and activations of a chunk are laid out: bits per code in memory, columns per
 * block. */
enum k_avx2_shape { K_AVX2_4X32, K_AVX2_4X64, K_AVX2_8X32, K_AVX2_8X64 };

struct k_avx2_panel {
    _Alignas(64) uint8_t codes[K_AVX2_PANEL_BYTES];
    _Alignas(64) float scales[K_AVX2_PANEL_BLOCKS][K_AVX2_ROWS];
    _Alignas(64) float biases[K_AVX2_PANEL_BLOCKS][K_AVX2_ROWS];
    int lane0, lane1;                              /* contract lanes in this panel */
    int64_t n_blocks, per_lane;                    /* blocks of a row, and of a lane at most */
    int block;
};

K_TARGET_BEGIN("avx2,fma,f16c")

/* Vector i of n bytes at p (n a multiple of 16), zeros behind the end. */
K_INLINE __m256i k_avx2_load(const uint8_t *p, int n, int i) {
    const uint8_t *at = p + 32 * i;
    if (n >= 32 * i + 32) {
        return _mm256_loadu_si256((const __m256i *)(const void *)at);
    }
    if (n >= 32 * i + 16) {
        return _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)at));
    }
    return _mm256_setzero_si256();
}

/* First n floats (at most 8), zeros behind. */
K_INLINE __m256 k_avx2_load_f32(const float *p, int64_t n) {
    if (n >= 8) {
        return _mm256_loadu_ps(p);
    }
    float v[8] = { 0 };
    for (int64_t i = 0; i < n; i++) {
        v[i] = p[i];
    }
    return _mm256_loadu_ps(v);
}

/* All ones in the first n lanes. */
K_INLINE __m256i k_avx2_mask(int64_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n > 8 ? 8 : (int)n), lane);
}

/* In every 128-bit lane: the four sums of a, b, c, d. */
K_INLINE __m256i k_avx2_fold4(__m256i a, __m256i b, __m256i c, __m256i d) {
    __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    return _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
}

K_INLINE __m256 k_avx2_half(__m128i h, enum k_format format) {
    return format == K_F16 ? _mm256_cvtph_ps(h)
                           : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* Eight scales of one row as f32, or four, each `twice`. n of them are the row's; reads on while
 * `left` bytes of the tensor allow it, so the lanes behind n hold anything. */
K_INLINE __m256 k_avx2_scales(const uint8_t *p, int64_t left, enum k_format format, bool twice,
                              int n) {
    int size = format == K_F32 ? 4 : 2;
    uint8_t copy[32] = { 0 };
    if (left < 32) {
        for (int i = 0; i < n * size; i++) {
            copy[i] = p[i];
        }
        p = copy;
    }
    if (format == K_F32) {
        const __m256i dup = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
        __m256 v = _mm256_loadu_ps((const float *)(const void *)p);
        return twice ? _mm256_permutevar8x32_ps(v, dup) : v;
    }
    __m128i h = _mm_loadu_si128((const __m128i *)(const void *)p);
    return k_avx2_half(twice ? _mm_unpacklo_epi16(h, h) : h, format);
}

/* Columns of 8 x 8 floats become rows. */
K_INLINE void k_avx2_transpose(__m256 v[8]) {
    __m256 t[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        v[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        v[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
        v[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        v[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m256 lo = v[i], hi = v[i + 4];
        v[i] = _mm256_permute2f128_ps(lo, hi, 0x20);
        v[i + 4] = _mm256_permute2f128_ps(lo, hi, 0x31);
    }
}

/* 8 rows of 8 lanes -> 8 sums, lane 0 first. */
K_INLINE __m256 k_avx2_add_lanes(const float *lanes) {
    __m256 v[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        v[i] = _mm256_load_ps(lanes + 8 * i);
    }
    k_avx2_transpose(v);
    __m256 sum = v[0];
#pragma GCC unroll 8
    for (int i = 1; i < 8; i++) {
        sum = _mm256_add_ps(sum, v[i]);
    }
    return sum;
}

/* 16 bytes of each of 8 rows -> four vectors; vector i holds dword i of every row. */
K_INLINE void k_avx2_rows8(const uint8_t *const *rows, size_t at, __m256i out[4]) {
    __m256i z[4], t[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {                  /* rows i, i + 4 */
        __m128i lo = _mm_loadu_si128((const __m128i *)(const void *)(rows[i] + at));
        __m128i hi = _mm_loadu_si128((const __m128i *)(const void *)(rows[i + 4] + at));
        z[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(lo), hi, 1);
    }
    t[0] = _mm256_unpacklo_epi32(z[0], z[1]);
    t[1] = _mm256_unpackhi_epi32(z[0], z[1]);
    t[2] = _mm256_unpacklo_epi32(z[2], z[3]);
    t[3] = _mm256_unpackhi_epi32(z[2], z[3]);
    out[0] = _mm256_unpacklo_epi64(t[0], t[2]);
    out[1] = _mm256_unpackhi_epi64(t[0], t[2]);
    out[2] = _mm256_unpacklo_epi64(t[1], t[3]);
    out[3] = _mm256_unpackhi_epi64(t[1], t[3]);
}

/* exp(x): 0 below -87.3, infinite above 88.7; NaN stays; error below 2 units in the last place. */
K_INLINE __m256 k_avx2_exp(__m256 x) {
    const __m256 low = _mm256_set1_ps(-87.33f), high = _mm256_set1_ps(88.72f);
    __m256 v = _mm256_max_ps(low, _mm256_min_ps(high, x));       /* NaN passes both */
    __m256 n = _mm256_round_ps(_mm256_mul_ps(v, _mm256_set1_ps(1.44269504f)), 0x08);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693145752f), v);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(1.42860677e-6f), r);
    __m256 p = _mm256_set1_ps(1.39269266e-3f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.36377387e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.16665501e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.66665734e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
    p = _mm256_add_ps(p, _mm256_set1_ps(1.0f));
    /* 2^n in two factors: n reaches 128, one more than an exponent holds */
    __m256i half = _mm256_srai_epi32(_mm256_cvtps_epi32(n), 1),
            rest = _mm256_sub_epi32(_mm256_cvtps_epi32(n), half);
    const __m256i bias = _mm256_set1_epi32(127);
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
    p = _mm256_blendv_ps(p, _mm256_set1_ps(INFINITY), _mm256_cmp_ps(x, high, _CMP_GT_OQ));
    return _mm256_andnot_ps(_mm256_cmp_ps(x, low, _CMP_LT_OQ), p);
}

K_INLINE void k_avx2_store(uint8_t *p, __m256i v) {
    _mm256_store_si256((__m256i *)(void *)p, v);
}

/* Block b of 8 rows into the panel, [column quad][plane][8 rows][4 codes], in the order of the
 * activations. Two planes: low and high halves of every code. */
K_INLINE void k_avx2_panel_block(const struct k_matrix *w, const uint8_t *const *rows, int64_t b,
                                 int block, int planes, uint8_t *out) {
    const __m256i low = _mm256_set1_epi8(15);
    uint8_t codes[K_AVX2_ROWS][64];
    const uint8_t *p[K_AVX2_ROWS];
    size_t at = w->bits == 4 ? (size_t)(b * block / 2) : w->bits == 8 ? (size_t)(b * block) : 0;
    for (int r = 0; r < K_AVX2_ROWS; r++) {
        p[r] = rows[r];
        if (w->bits != 4 && w->bits != 8) {
            k_avx2_unpack(rows[r] + b * block * w->bits / 8, w->bits, block, codes[r]);
            p[r] = codes[r];
        }
    }
    for (int i = 0; i < block / (w->bits == 4 ? 32 : 16); i++) {
        __m256i v[4];
        k_avx2_rows8(p, at + (size_t)(16 * i), v);
        for (int j = 0; j < 4; j++) {
            uint8_t *to = out + (4 * i + j) * 32 * planes;
            __m256i high = _mm256_and_si256(_mm256_srli_epi16(v[j], 4), low);
            k_avx2_store(to, planes == 2 || w->bits == 4 ? _mm256_and_si256(v[j], low) : v[j]);
            if (w->bits == 4) {
                k_avx2_store(to + block * 4, high);
            } else if (planes == 2) {
                k_avx2_store(to + 32, high);
            }
        }
    }
}

/* Scales (or biases) of 8 rows of blocks [b, b + 8), n of which exist: column k is block b + k. */
K_INLINE void k_avx2_panel_scales(const struct k_matrix *w, const uint8_t *p, const int64_t *rows,
                                  int64_t b, int block, int n, __m256 out[8]) {
    int64_t n_groups = w->cols / w->group, g = b / (w->group / block),
            size = w->scale_format == K_F32 ? 4 : 2;
    bool twice = w->group > block;
    for (int r = 0; r < K_AVX2_ROWS; r++) {
        int64_t at = rows[r] * n_groups + g;
        out[r] = k_avx2_scales(p + at * size, (w->rows * n_groups - at) * size, w->scale_format,
                               twice, twice ? (n + 1) / 2 : n);
    }
    k_avx2_transpose(out);
}

K_TARGET_END

#endif
