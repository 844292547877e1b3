/* sha256_ni.c: SHA-256 with the SHA extensions of x86-64 (Goldmont 2016, Zen 2017, Ice Lake 2019).
 *
 * Called only when cpu_features() has CPU_SHA_NI. Computes what sha256_blocks_scalar computes.
 */
#include "platform/platform_int.h"

#if defined(__x86_64__)

#include "platform/sha256_ni.h"

SHA256_NI MLXK_FN void sha256_blocks_ni(uint32_t h[8], const uint8_t *p, size_t n_blocks) {
    struct sha256_ni s = sha256_ni_load(h);
    for (; n_blocks > 0; n_blocks--, p += 64) {
        const uint32_t *k = sha256_constants();
        sha256_ni_begin(&s, p);
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++, k += 16) {
            sha256_ni_rounds(&s, 0, k);
            sha256_ni_rounds(&s, 1, k + 4);
            sha256_ni_rounds(&s, 2, k + 8);
            sha256_ni_rounds(&s, 3, k + 12);
        }
        sha256_ni_end(&s);
    }
    sha256_ni_store(&s, h);
}

#endif
