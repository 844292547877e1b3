/* sha256_arm.c: SHA-256 with the ARMv8 cryptography extension.
 *
 * Called only when cpu_features() has CPU_ARM_SHA2. Computes what sha256_blocks_scalar computes.
 * State lies in memory order: {A,B,C,D} and {E,F,G,H}.
 */
#include "platform/platform_int.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#if defined(__clang__)
#define SHA256_ARM __attribute__((target("sha2")))
#else
#define SHA256_ARM __attribute__((target("+crypto")))
#endif

/* Four rounds with the schedule words w and constants k. */
SHA256_ARM static inline void sha256_arm_rounds(uint32x4_t *abcd, uint32x4_t *efgh, uint32x4_t w,
                                                const uint32_t *k) {
    uint32x4_t wk = vaddq_u32(w, vld1q_u32(k)), before = *abcd;
    *abcd = vsha256hq_u32(*abcd, *efgh, wk);
    *efgh = vsha256h2q_u32(*efgh, before, wk);
}

/* The next four schedule words from the last sixteen (a oldest, d newest). */
SHA256_ARM static inline uint32x4_t sha256_arm_next(uint32x4_t a, uint32x4_t b, uint32x4_t c,
                                                    uint32x4_t d) {
    return vsha256su1q_u32(vsha256su0q_u32(a, b), c, d);
}

SHA256_ARM static void sha256_arm_block(uint32x4_t *abcd, uint32x4_t *efgh, const uint8_t *p) {
    const uint32_t *k = sha256_constants();
    uint32x4_t a0 = *abcd, e0 = *efgh, w[4];
    for (int i = 0; i < 4; i++) {
        w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p + 16 * i)));
    }
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++, k += 16) {
        sha256_arm_rounds(&a0, &e0, w[0], k);
        sha256_arm_rounds(&a0, &e0, w[1], k + 4);
        sha256_arm_rounds(&a0, &e0, w[2], k + 8);
        sha256_arm_rounds(&a0, &e0, w[3], k + 12);
        if (r < 3) {
            w[0] = sha256_arm_next(w[0], w[1], w[2], w[3]);
            w[1] = sha256_arm_next(w[1], w[2], w[3], w[0]);
            w[2] = sha256_arm_next(w[2], w[3], w[0], w[1]);
            w[3] = sha256_arm_next(w[3], w[0], w[1], w[2]);
        }
    }
    *abcd = vaddq_u32(*abcd, a0);
    *efgh = vaddq_u32(*efgh, e0);
}

SHA256_ARM MLXK_FN void sha256_blocks_arm(uint32_t h[8], const uint8_t *p, size_t n_blocks) {
    uint32x4_t abcd = vld1q_u32(h), efgh = vld1q_u32(h + 4);
    for (; n_blocks > 0; n_blocks--, p += 64) {
        sha256_arm_block(&abcd, &efgh, p);
    }
    vst1q_u32(h, abcd);
    vst1q_u32(h + 4, efgh);
}

#undef SHA256_ARM

#endif
