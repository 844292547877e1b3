/* sha1_ni.c: SHA-1 with the SHA extensions of x86-64, which come with those for SHA-256.
 *
 * Called only when cpu_features() has CPU_SHA_NI. Computes what sha1_blocks_scalar computes.
 *
 * 1. The instructions want words in order of time from the highest lane down: {A,B,C,D}, and E in
 *    the highest lane of a vector of its own.
 * 2. The E of four rounds is the A of four rounds before, rotated: sha1nexte makes it while it adds
 *    the schedule words.
 */
#include "platform/platform_int.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define SHA1_NI __attribute__((target("sha,sse4.1")))

enum { SHA1_NI_STEPS = 20 };                     /* of four rounds each */

/* Four rounds of the function that step belongs to; the instruction holds its number. */
SHA1_NI static inline __m128i sha1_ni_rounds(__m128i abcd, __m128i e, int step) {
    switch (step / 5) {
    case 0: return _mm_sha1rnds4_epu32(abcd, e, 0);
    case 1: return _mm_sha1rnds4_epu32(abcd, e, 1);
    case 2: return _mm_sha1rnds4_epu32(abcd, e, 2);
    default: return _mm_sha1rnds4_epu32(abcd, e, 3);
    }
}

/* The next four schedule words from the last sixteen (a oldest, d newest). */
SHA1_NI static inline __m128i sha1_ni_next(__m128i a, __m128i b, __m128i c, __m128i d) {
    return _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(a, b), c), d);
}

SHA1_NI MLXK_FN void sha1_blocks_ni(uint32_t h[5], const uint8_t *p, size_t n_blocks) {
    const __m128i swap = _mm_set_epi64x(0x0001020304050607ll, 0x08090a0b0c0d0e0fll);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)h), 0x1B);
    __m128i e = _mm_set_epi32((int)h[4], 0, 0, 0);
    for (; n_blocks > 0; n_blocks--, p += 64) {
        const __m128i *in = (const __m128i *)(const void *)p;
        __m128i now = abcd, before = now, w[4];
#pragma GCC unroll 20
        for (int step = 0; step < SHA1_NI_STEPS; step++) {
            int i = step % 4;
            w[i] = step < 4 ? _mm_shuffle_epi8(_mm_loadu_si128(in + step), swap)
                            : sha1_ni_next(w[i], w[(i + 1) % 4], w[(i + 2) % 4], w[(i + 3) % 4]);
            __m128i with_e =
                step == 0 ? _mm_add_epi32(e, w[0]) : _mm_sha1nexte_epu32(before, w[i]);
            before = now;
            now = sha1_ni_rounds(now, with_e, step);
        }
        e = _mm_sha1nexte_epu32(before, e);
        abcd = _mm_add_epi32(abcd, now);
    }
    _mm_storeu_si128((__m128i *)(void *)h, _mm_shuffle_epi32(abcd, 0x1B));
    h[4] = (uint32_t)_mm_extract_epi32(e, 3);
}

#undef SHA1_NI

#endif
