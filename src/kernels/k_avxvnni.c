/* k_avxvnni.c: affine matrix products with AVX-VNNI, the 256-bit dot product of CPUs without
 * AVX-512.
 *
 * 1. vpdpbusd multiplies unsigned codes with signed activations and never saturates in between.
 * 2. Everything but the products is inherited from avx2.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__x86_64__)

#include "kernels/k_avx2_int.h"

K_TARGET_BEGIN("avx2,fma,f16c,avxvnni")

K_INLINE __m256i k_avxvnni_dot4(__m256i v, __m256i even, __m256i odd) {
    const __m256i low = _mm256_set1_epi8(15);
    __m256i sum = _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), _mm256_and_si256(v, low), even);
    return _mm256_dpbusd_avx_epi32(sum, _mm256_and_si256(_mm256_srli_epi16(v, 4), low), odd);
}

K_INLINE __m256i k_avxvnni_dot8(__m256i v, __m256i x) {
    return _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), v, x);
}

K_INLINE void k_avxvnni_steps(const uint8_t *codes, const int8_t *q, int64_t stride, const int n,
                              const int block, const int planes, __m256i *sum) {
    (void)planes;
#pragma GCC unroll 4
    for (int t = 0; t < n; t++) {
        sum[t] = _mm256_setzero_si256();
    }
    for (int i = 0; i < block; i += 4, codes += 32) {
        __m256i v = _mm256_load_si256((const __m256i *)(const void *)codes);
#pragma GCC unroll 4
        for (int t = 0; t < n; t++) {
            int32_t four;
            memcpy(&four, q + t * stride + i, 4);
            sum[t] = _mm256_dpbusd_avx_epi32(sum[t], v, _mm256_set1_epi32(four));
        }
    }
}

#define K_AVX(name) k_avxvnni_##name
#define K_AVX_DOT4 k_avxvnni_dot4
#define K_AVX_DOT8 k_avxvnni_dot8
#define K_AVX_OFFSET 0
#define K_AVX_STEPS k_avxvnni_steps
#define K_AVX_PLANES(bits) 1
#include "kernels/k_avx2_body.h"
#undef K_AVX
#undef K_AVX_DOT4
#undef K_AVX_DOT8
#undef K_AVX_OFFSET
#undef K_AVX_STEPS
#undef K_AVX_PLANES

K_TARGET_END

MLXK_FN void k_avxvnni_fill(struct k_ops *o) {
    o->matmul = k_avxvnni_matmul;
}

#endif
