/* sha256_ni.h: the steps of SHA-256 with the SHA extensions of x86-64, for sha256_ni.c, and for
 * gcm_ni.c, which does other things between them. Only where cpu_features() has CPU_SHA_NI.
 *
 * 1. The instructions want the state as two vectors, highest lane first: {A,B,E,F}, {C,D,G,H}.
 * 2. w holds the sixteen schedule words that come next, four to a vector.
 * 3. Each round waits for the one before; what else is computed between two calls costs nothing.
 */
#ifndef MLXK_PLATFORM_SHA256_NI_H
#define MLXK_PLATFORM_SHA256_NI_H

#include <immintrin.h>
#include <stdint.h>

#define SHA256_NI __attribute__((target("sha,sse4.1")))
#define SHA256_NI_STEP __attribute__((target("sha,sse4.1"), always_inline)) static inline

struct sha256_ni { __m128i abef, cdgh, abef_0, cdgh_0, w[4]; };      /* _0: before the block */

SHA256_NI_STEP struct sha256_ni sha256_ni_load(const uint32_t h[8]) {
    const __m128i *state = (const __m128i *)(const void *)h;
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(state), 0xB1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(state + 1), 0x1B);
    return (struct sha256_ni){ .abef = _mm_alignr_epi8(cdab, efgh, 8),
                               .cdgh = _mm_blend_epi16(efgh, cdab, 0xF0) };
}

SHA256_NI_STEP void sha256_ni_store(const struct sha256_ni *s, uint32_t h[8]) {
    __m128i *state = (__m128i *)(void *)h;
    __m128i feba = _mm_shuffle_epi32(s->abef, 0x1B), dchg = _mm_shuffle_epi32(s->cdgh, 0xB1);
    _mm_storeu_si128(state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128(state + 1, _mm_alignr_epi8(dchg, feba, 8));
}

/* The block of 64 bytes at p is next: sixteen times sha256_ni_rounds, then sha256_ni_end. */
SHA256_NI_STEP void sha256_ni_begin(struct sha256_ni *s, const uint8_t *p) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    const __m128i *in = (const __m128i *)(const void *)p;
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        s->w[i] = _mm_shuffle_epi8(_mm_loadu_si128(in + i), swap);
    }
    s->abef_0 = s->abef;
    s->cdgh_0 = s->cdgh;
}

/* Four rounds with the constants at k, and the schedule words of sixteen rounds later (behind the
 * last ones nobody needs them). i: the number of these four, modulo 4; constant, or it is slow. */
SHA256_NI_STEP void sha256_ni_rounds(struct sha256_ni *s, int i, const uint32_t *k) {
    __m128i a = s->w[i], b = s->w[(i + 1) & 3], c = s->w[(i + 2) & 3], d = s->w[(i + 3) & 3];
    __m128i wk = _mm_add_epi32(a, _mm_loadu_si128((const __m128i *)(const void *)k));
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, wk);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(wk, 0x0E));
    a = _mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4));
    s->w[i] = _mm_sha256msg2_epu32(a, d);
}

SHA256_NI_STEP void sha256_ni_end(struct sha256_ni *s) {
    s->abef = _mm_add_epi32(s->abef, s->abef_0);
    s->cdgh = _mm_add_epi32(s->cdgh, s->cdgh_0);
}

#endif
