/* gcm_arm.c: AES-GCM with the ARMv8 cryptography extension. Called only when cpu_features() has
 * CPU_ARM_AES, which stands for the 64-bit polynomial multiplication as well.
 */
#include "platform/platform_int.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#if defined(__clang__)
#define GCM_TARGET __attribute__((target("aes")))
#else
#define GCM_TARGET __attribute__((target("+crypto")))
#endif

typedef uint8x16_t gcm_v;

GCM_TARGET static inline gcm_v gcm_load(const uint8_t *p) {
    return vld1q_u8(p);
}
GCM_TARGET static inline void gcm_store(uint8_t *p, gcm_v v) {
    vst1q_u8(p, v);
}
GCM_TARGET static inline gcm_v gcm_xor(gcm_v a, gcm_v b) {
    return veorq_u8(a, b);
}
GCM_TARGET static inline gcm_v gcm_halves(gcm_v v) {
    return vextq_u8(v, v, 8);
}
GCM_TARGET static inline gcm_v gcm_swap(gcm_v v) {
    return gcm_halves(vrev64q_u8(v));
}
GCM_TARGET static inline gcm_v gcm_up(gcm_v v) {
    return vextq_u8(vdupq_n_u8(0), v, 8);
}
GCM_TARGET static inline gcm_v gcm_down(gcm_v v) {
    return vextq_u8(v, vdupq_n_u8(0), 8);
}
GCM_TARGET static inline gcm_v gcm_mul_low(gcm_v a, gcm_v b) {
    poly64_t x = (poly64_t)vgetq_lane_u64(vreinterpretq_u64_u8(a), 0);
    poly64_t y = (poly64_t)vgetq_lane_u64(vreinterpretq_u64_u8(b), 0);
    return vreinterpretq_u8_p128(vmull_p64(x, y));
}
GCM_TARGET static inline gcm_v gcm_mul_high(gcm_v a, gcm_v b) {
    return vreinterpretq_u8_p128(vmull_high_p64(vreinterpretq_p64_u8(a), vreinterpretq_p64_u8(b)));
}
GCM_TARGET static inline gcm_v gcm_count(gcm_v counter, int by) {
    uint32x4_t add = vsetq_lane_u32((uint32_t)by, vdupq_n_u32(0), 0);
    return vreinterpretq_u8_u32(vaddq_u32(vreinterpretq_u32_u8(counter), add));
}
GCM_TARGET static inline gcm_v gcm_reduction(void) {
    return vreinterpretq_u8_u64(vsetq_lane_u64(GCM_REDUCTION, vdupq_n_u64(0), 0));
}

/* The instruction adds the key before its round, not behind it. */
GCM_TARGET static inline void gcm_encrypt(gcm_v x[8], const uint8_t *keys, int n_rounds) {
    for (int r = 0; r < n_rounds - 1; r++) {
        gcm_v k = vld1q_u8(keys + 16 * r);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            x[i] = vaesmcq_u8(vaeseq_u8(x[i], k));
        }
    }
    gcm_v k = vld1q_u8(keys + 16 * (n_rounds - 1)), last = vld1q_u8(keys + 16 * n_rounds);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        x[i] = veorq_u8(vaeseq_u8(x[i], k), last);
    }
}

#include "platform/gcm_body.h"

MLXK_FN void gcm_blocks_arm(struct gcm_blocks *g, const uint8_t *in, uint8_t *out,
                            size_t n_blocks) {
    gcm_all(g, in, out, n_blocks);
}

MLXK_FN void gcm_powers_arm(const uint8_t first[16], uint8_t out[GCM_POWERS_BYTES]) {
    gcm_all_powers(first, out);
}

#undef GCM_TARGET

#endif
