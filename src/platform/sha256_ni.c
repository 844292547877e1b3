/* sha256_ni.c: SHA-256 with the SHA extensions of x86-64 (Goldmont 2016, Zen 2017, Ice Lake 2019).
 *
 * Called only when cpu_features() has CPU_SHA_NI. Computes what sha256_blocks_scalar computes.
 *
 * 1. The instructions want the state as two vectors, highest lane first: {A,B,E,F}, {C,D,G,H}.
 * 2. w[i] holds four schedule words; words of rounds 4r.. are made while earlier rounds run.
 */
#include "platform/platform_int.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define SHA256_NI __attribute__((target("sha,sse4.1")))

/* Four rounds with the schedule words w and constants k. */
SHA256_NI static inline void sha256_ni_rounds(__m128i *abef, __m128i *cdgh, __m128i w,
                                              const uint32_t *k) {
    __m128i wk = _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)(const void *)k));
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, wk);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(wk, 0x0E));
}

/* The next four schedule words from the last sixteen (a oldest, d newest). */
SHA256_NI static inline __m128i sha256_ni_next(__m128i a, __m128i b, __m128i c, __m128i d) {
    __m128i x = _mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4));
    return _mm_sha256msg2_epu32(x, d);
}

SHA256_NI static void sha256_ni_block(__m128i *abef, __m128i *cdgh, const uint8_t *p) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    const uint32_t *k = sha256_constants();
    const __m128i *in = (const __m128i *)(const void *)p;
    __m128i a0 = *abef, c0 = *cdgh, w[4];
    for (int i = 0; i < 4; i++) {
        w[i] = _mm_shuffle_epi8(_mm_loadu_si128(in + i), swap);
    }
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++, k += 16) {
        sha256_ni_rounds(&a0, &c0, w[0], k);
        sha256_ni_rounds(&a0, &c0, w[1], k + 4);
        sha256_ni_rounds(&a0, &c0, w[2], k + 8);
        sha256_ni_rounds(&a0, &c0, w[3], k + 12);
        if (r < 3) {
            w[0] = sha256_ni_next(w[0], w[1], w[2], w[3]);
            w[1] = sha256_ni_next(w[1], w[2], w[3], w[0]);
            w[2] = sha256_ni_next(w[2], w[3], w[0], w[1]);
            w[3] = sha256_ni_next(w[3], w[0], w[1], w[2]);
        }
    }
    *abef = _mm_add_epi32(*abef, a0);
    *cdgh = _mm_add_epi32(*cdgh, c0);
}

SHA256_NI MLXK_FN void sha256_blocks_ni(uint32_t h[8], const uint8_t *p, size_t n_blocks) {
    __m128i *state = (__m128i *)(void *)h;
    __m128i dcba = _mm_loadu_si128(state), hgfe = _mm_loadu_si128(state + 1);
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xB1), efgh = _mm_shuffle_epi32(hgfe, 0x1B);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);
    for (; n_blocks > 0; n_blocks--, p += 64) {
        sha256_ni_block(&abef, &cdgh, p);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128(state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128(state + 1, _mm_alignr_epi8(dchg, feba, 8));
}

#undef SHA256_NI

#endif
