/* k_avx512_int.h: what the AVX-512 files of this room share. */
#ifndef MLXK_K_AVX512_INT_H
#define MLXK_K_AVX512_INT_H

#include "kernels/k_int.h"

#include <immintrin.h>

K_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")

/* The first n of 16 lanes; any n. */
K_INLINE __mmask16 k_avx512_first(int64_t n) {
    unsigned bits = n >= 16 ? 0xFFFF : n <= 0 ? 0 : (1u << n) - 1;
    return (__mmask16)bits;
}

/* Eight f32 scales of each of two rows at p0 and p1; `twice`: four, each for two blocks. Only the
 * first n blocks are read unless full. */
K_INLINE __m512 k_avx512_scales(const uint8_t *p0, const uint8_t *p1, enum k_format format,
                                bool twice, int n, bool full) {
    const __m512i dup = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 8, 8, 9, 9, 10, 10, 11, 11);
    __mmask8 m = (__mmask8)k_avx512_first(twice ? (n + 1) / 2 : n);
    if (format == K_F32) {
        __m256 a = _mm256_maskz_loadu_ps(m, p0), b = _mm256_maskz_loadu_ps(m, p1);
        __m512 v = _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1);
        return twice ? _mm512_permutexvar_ps(dup, v) : v;
    }
    const __m128i *from0 = (const __m128i *)(const void *)p0,
                  *from1 = (const __m128i *)(const void *)p1;
    __m128i a, b;
    if (!full) {
        a = _mm_maskz_loadu_epi16(m, from0);
        b = _mm_maskz_loadu_epi16(m, from1);
    } else {
        a = twice ? _mm_loadl_epi64(from0) : _mm_loadu_si128(from0);
        b = twice ? _mm_loadl_epi64(from1) : _mm_loadu_si128(from1);
    }
    if (twice) {
        a = _mm_unpacklo_epi16(a, a);
        b = _mm_unpacklo_epi16(b, b);
    }
    __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
    return format == K_F16 ? _mm512_cvtph_ps(v)
                           : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}

/* 16 rows of 8 -> 8 columns of 16. z[i] = {row i, row i + 4}, z[4 + i] = {row 8 + i, row 12 + i}, i
 * < 4. */
K_INLINE void k_avx512_columns(__m512 z[8]) {
    __m512 t[8], u[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_ps(z[i], z[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(z[i], z[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {               /* u[i + k]: columns k and k + 4 */
        u[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        u[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xEE);
        u[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        u[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        z[i] = _mm512_shuffle_f32x4(u[i], u[i + 4], 0x88);
        z[i + 4] = _mm512_shuffle_f32x4(u[i], u[i + 4], 0xDD);
    }
}

K_TARGET_END

#endif
