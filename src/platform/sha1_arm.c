/* sha1_arm.c: SHA-1 with the ARMv8 cryptography extension.
 *
 * Called only when cpu_features() has CPU_ARM_SHA2: the architecture has the instructions for SHA-1
 * and those for SHA-256 together or not at all. Computes what sha1_blocks_scalar computes.
 */
#include "platform/platform_int.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#if defined(__clang__)
#define SHA1_ARM __attribute__((target("sha2")))
#else
#define SHA1_ARM __attribute__((target("+crypto")))
#endif

enum { SHA1_ARM_STEPS = 20 };                    /* of four rounds each */

SHA1_ARM MLXK_FN void sha1_blocks_arm(uint32_t h[5], const uint8_t *p, size_t n_blocks) {
    uint32x4_t abcd = vld1q_u32(h);
    uint32_t e = h[4];
    for (; n_blocks > 0; n_blocks--, p += 64) {
        uint32x4_t now = abcd, w[4];
        uint32_t e_now = e;
        for (int i = 0; i < 4; i++) {
            w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p + 16 * i)));
        }
#pragma GCC unroll 20
        for (int step = 0; step < SHA1_ARM_STEPS; step++) {
            int i = step % 4;
            if (step >= 4) {
                uint32x4_t old = vsha1su0q_u32(w[i], w[(i + 1) % 4], w[(i + 2) % 4]);
                w[i] = vsha1su1q_u32(old, w[(i + 3) % 4]);
            }
            uint32x4_t wk = vaddq_u32(w[i], vdupq_n_u32(sha1_constant(step / 5)));
            uint32_t e_next = vsha1h_u32(vgetq_lane_u32(now, 0));
            now = step / 5 == 0   ? vsha1cq_u32(now, e_now, wk)
                  : step / 5 == 2 ? vsha1mq_u32(now, e_now, wk)
                                  : vsha1pq_u32(now, e_now, wk);
            e_now = e_next;
        }
        e += e_now;
        abcd = vaddq_u32(abcd, now);
    }
    vst1q_u32(h, abcd);
    h[4] = e;
}

#undef SHA1_ARM

#endif
