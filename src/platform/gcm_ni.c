/* gcm_ni.c: AES-GCM with the AES and carry-less multiplication instructions of x86-64 (Westmere
 * 2010, Bulldozer 2011). Called only when cpu_features() has CPU_AES_NI and CPU_PCLMUL.
 */
#include "platform/platform_int.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define GCM_TARGET __attribute__((target("aes,pclmul,ssse3")))

typedef __m128i gcm_v;

GCM_TARGET static inline gcm_v gcm_load(const uint8_t *p) {
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}
GCM_TARGET static inline void gcm_store(uint8_t *p, gcm_v v) {
    _mm_storeu_si128((__m128i *)(void *)p, v);
}
GCM_TARGET static inline gcm_v gcm_xor(gcm_v a, gcm_v b) {
    return _mm_xor_si128(a, b);
}
GCM_TARGET static inline gcm_v gcm_swap(gcm_v v) {
    return _mm_shuffle_epi8(v, _mm_set_epi64x(0x0001020304050607ll, 0x08090a0b0c0d0e0fll));
}
GCM_TARGET static inline gcm_v gcm_halves(gcm_v v) {
    return _mm_shuffle_epi32(v, 0x4E);
}
GCM_TARGET static inline gcm_v gcm_up(gcm_v v) {
    return _mm_slli_si128(v, 8);
}
GCM_TARGET static inline gcm_v gcm_down(gcm_v v) {
    return _mm_srli_si128(v, 8);
}
GCM_TARGET static inline gcm_v gcm_mul_low(gcm_v a, gcm_v b) {
    return _mm_clmulepi64_si128(a, b, 0x00);
}
GCM_TARGET static inline gcm_v gcm_mul_high(gcm_v a, gcm_v b) {
    return _mm_clmulepi64_si128(a, b, 0x11);
}
GCM_TARGET static inline gcm_v gcm_count(gcm_v counter, int by) {
    return _mm_add_epi32(counter, _mm_cvtsi32_si128(by));
}
GCM_TARGET static inline gcm_v gcm_reduction(void) {
    return _mm_set_epi64x(0, (long long)GCM_REDUCTION);
}

/* Eight blocks at once hide what one round waits for the other. */
GCM_TARGET static inline void gcm_encrypt(gcm_v x[8], const uint8_t *keys, int n_rounds) {
    gcm_v k = gcm_load(keys);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        x[i] = _mm_xor_si128(x[i], k);
    }
    for (int r = 1; r < n_rounds; r++) {
        k = gcm_load(keys + 16 * r);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            x[i] = _mm_aesenc_si128(x[i], k);
        }
    }
    k = gcm_load(keys + 16 * n_rounds);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        x[i] = _mm_aesenclast_si128(x[i], k);
    }
}

#include "platform/gcm_body.h"

MLXK_FN void gcm_blocks_ni(struct gcm_blocks *g, const uint8_t *in, uint8_t *out, size_t n_blocks) {
    gcm_all(g, in, out, n_blocks);
}

MLXK_FN void gcm_powers_ni(const uint8_t first[16], uint8_t out[GCM_POWERS_BYTES]) {
    gcm_all_powers(first, out);
}

#undef GCM_TARGET

#endif
