/* k_avx2.c: code unpacking, activation quantising and affine matrix products with AVX2 (no VNNI).
 *
 * The shapes of the products are in k_avx2_body.h; here is what AVX2 does in place of a dot
 * product:
 * 1. vpmaddubsw saturates at 16 bits. 4-bit codes are safe (2 * 15 * 127, eight of them add up to
 *    30,480), wider codes are not: in place they become |code - 128| times the activation with the
 *    sign of code - 128 (at most 2 * 128 * 127 = 32,512) plus 128 times the sum of activations; in
 *    the panel they are split into two planes of four bits.
 * 2. Quantised activations have the scalar table's bits: true division, round to nearest even.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__x86_64__)

#include "kernels/k_avx2_int.h"

K_TARGET_BEGIN("avx2,fma,f16c")

/* ---- unpacking ------------------------------------------------------------------------------- */

/* 16 codes of 2, 3, 5 or 6 bits: two bytes around every code, moved to the top, then down. */
K_INLINE __m256i k_avx2_unpack16(__m128i bytes, __m256i order, __m256i lift, __m128i drop) {
    __m256i v = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), order);
    return _mm256_srl_epi16(_mm256_mullo_epi16(v, lift), drop);
}

MLXK_FN void k_avx2_unpack(const uint8_t *codes, int bits, int n, uint8_t *out) {
    uint8_t order_bytes[32];
    uint16_t lift_words[16];
    for (int i = 0; i < 16; i++) { /* bits + (at & 7) <= 13 bits of window are needed */
        int at = i * bits;
        order_bytes[2 * i] = (uint8_t)(at / 8);
        order_bytes[2 * i + 1] = (uint8_t)(at / 8 + 1);
        lift_words[i] = (uint16_t)(1u << (16 - bits - at % 8));
    }
    __m256i order = _mm256_loadu_si256((const __m256i *)(const void *)order_bytes);
    __m256i lift = _mm256_loadu_si256((const __m256i *)(const void *)lift_words);
    __m128i drop = _mm_cvtsi32_si128(16 - bits);
    int size = n * bits / 8;
    for (int i = 0, at = 0; i < n; i += 32, at += 4 * bits) {
        const uint8_t *p = codes + at;
        uint8_t tail[32];
        if (at + 2 * bits + 16 > size) {           /* two 16-byte loads would pass the end */
            memset(tail, 0, sizeof tail);
            memcpy(tail, p, (size_t)(4 * bits));
            p = tail;
        }
        __m128i b0 = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i b1 = _mm_loadu_si128((const __m128i *)(const void *)(p + 2 * bits));
        __m256i v = _mm256_packus_epi16(k_avx2_unpack16(b0, order, lift, drop),
                                        k_avx2_unpack16(b1, order, lift, drop));
        _mm256_storeu_si256((__m256i *)(void *)(out + i), _mm256_permute4x64_epi64(v, 0xD8));
    }
}

/* ---- activations ----------------------------------------------------------------------------- */

K_INLINE float k_avx2_max8(__m256 v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* 32 values / step, rounded, as bytes in order. */
K_INLINE __m256i k_avx2_quantize32(const float *x, __m256 step) {
    const __m256 limit = _mm256_set1_ps(127.0f), floor = _mm256_set1_ps(-127.0f);
    __m256i v[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m256 u = _mm256_div_ps(_mm256_loadu_ps(x + 8 * i), step);
        v[i] = _mm256_cvtps_epi32(_mm256_max_ps(_mm256_min_ps(u, limit), floor));
    }
    __m256i b = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    return _mm256_permutevar8x32_epi32(b, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* Even bytes to the low half, odd bytes to the high half. */
K_INLINE __m256i k_avx2_split(__m256i v) {
    const __m256i order = _mm256_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15,
                                           0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(v, order), 0xD8);
}

K_INLINE void k_avx2_quantize_block(bool split, int block, const float *x, int8_t *q, float *d,
                                    float *s) {
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
    const __m256 largest = _mm256_set1_ps(3.402823466e+38f);
    const __m256i one8 = _mm256_set1_epi8(1), one16 = _mm256_set1_epi16(1);
    __m256 max = _mm256_setzero_ps(), finite = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    for (int i = 0; i < block; i += 8) {
        __m256 a = _mm256_and_ps(_mm256_loadu_ps(x + i), magnitude);
        finite = _mm256_and_ps(finite, _mm256_cmp_ps(a, largest, _CMP_LE_OQ));
        max = _mm256_max_ps(max, a);
    }
    float step = _mm256_movemask_ps(finite) == 255 ? k_avx2_max8(max) / 127.0f : 0.0f;
    __m256i v[2] = { _mm256_setzero_si256(), _mm256_setzero_si256() };
    if (step > 0) {
        v[0] = k_avx2_quantize32(x, _mm256_set1_ps(step));
        v[1] = block == 64 ? k_avx2_quantize32(x + 32, _mm256_set1_ps(step)) : v[1];
    }
    __m256i pairs =
        _mm256_add_epi16(_mm256_maddubs_epi16(one8, v[0]), _mm256_maddubs_epi16(one8, v[1]));
    __m256i quads = _mm256_madd_epi16(pairs, one16);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(quads), _mm256_extracti128_si256(quads, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1));
    if (split) {
        __m256i a = k_avx2_split(v[0]), b = k_avx2_split(v[1]);
        v[0] = block == 64 ? _mm256_permute2x128_si256(a, b, 0x20) : a;
        v[1] = _mm256_permute2x128_si256(a, b, 0x31);
    }
    _mm256_storeu_si256((__m256i *)(void *)q, v[0]);
    if (block == 64) {
        _mm256_storeu_si256((__m256i *)(void *)(q + 32), v[1]);
    }
    *d = step;
    *s = step * (float)_mm_cvtsi128_si32(sum);
}

static void k_quantize_avx2(enum k_form form, const float *x, int64_t cols, int8_t *q, float *d,
                            float *s) {
    int block = k_form_block(form);
    bool split = k_form_split(form);
    int64_t b = 0;
    for (; (b + 1) * block <= cols; b++) {
        k_avx2_quantize_block(split, block, x + b * block, q + b * block, d + b, s + b);
    }
    int64_t done = b * block;
    int8_t rest[64] = { 0 };                       /* zeros, or part of a block (rare) */
    if (done < cols) {
        k_scalar_ops()->quantize(form, x + done, cols - done, rest, d + b, s + b);
    }
    memcpy(q + done, rest, (size_t)(k_form_stride(cols) - done));
}

/* ---- products -------------------------------------------------------------------------------- */

K_INLINE __m256i k_avx2_dot4(__m256i v, __m256i even, __m256i odd) {
    const __m256i low = _mm256_set1_epi8(15);
    __m256i lo = _mm256_maddubs_epi16(_mm256_and_si256(v, low), even);
    __m256i hi = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v, 4), low), odd);
    return _mm256_madd_epi16(_mm256_add_epi16(lo, hi), _mm256_set1_epi16(1));
}

K_INLINE __m256i k_avx2_dot8(__m256i v, __m256i x) {
    __m256i centred = _mm256_xor_si256(v, _mm256_set1_epi8(-128));
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(centred), _mm256_sign_epi8(x, centred));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/* One block of the panel: eight 16-bit sums before every widening. */
K_INLINE void k_avx2_steps(const uint8_t *codes, const int8_t *q, int64_t stride, const int n,
                           const int block, const int planes, __m256i *sum) {
    for (int half = 0; half < block / 32; half++) {
        __m256i pairs[2][4];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
#pragma GCC unroll 2
            for (int plane = 0; plane < planes; plane++, codes += 32) {
                __m256i v = _mm256_load_si256((const __m256i *)(const void *)codes);
#pragma GCC unroll 4
                for (int t = 0; t < n; t++) {
                    int32_t four;
                    memcpy(&four, q + t * stride + half * 32 + 4 * i, 4);
                    __m256i u = _mm256_maddubs_epi16(v, _mm256_set1_epi32(four));
                    pairs[plane][t] = i == 0 ? u : _mm256_add_epi16(pairs[plane][t], u);
                }
            }
        }
#pragma GCC unroll 4
        for (int t = 0; t < n; t++) {
            __m256i u = _mm256_madd_epi16(pairs[0][t], _mm256_set1_epi16(1));
            if (planes == 2) {
                u = _mm256_add_epi32(u, _mm256_madd_epi16(pairs[1][t], _mm256_set1_epi16(16)));
            }
            sum[t] = half == 0 ? u : _mm256_add_epi32(sum[t], u);
        }
    }
}

#define K_AVX(name) k_avx2_##name
#define K_AVX_DOT4 k_avx2_dot4
#define K_AVX_DOT8 k_avx2_dot8
#define K_AVX_OFFSET 128
#define K_AVX_STEPS k_avx2_steps
#define K_AVX_PLANES(bits) ((bits) > 4 ? 2 : 1)
#include "kernels/k_avx2_body.h"
#undef K_AVX
#undef K_AVX_DOT4
#undef K_AVX_DOT8
#undef K_AVX_OFFSET
#undef K_AVX_STEPS
#undef K_AVX_PLANES

K_TARGET_END

MLXK_FN void k_avx2_fill(struct k_ops *o) {
    o->quantize = k_quantize_avx2;
    o->matmul = k_avx2_matmul;
    o->matmul_exact = k_avx2_matmul_exact;
    o->attend_block = k_avx2_attend_block;
    k_avx2_ops_fill(o);
}

#endif
