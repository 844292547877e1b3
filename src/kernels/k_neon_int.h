/* k_neon_int.h: 128-bit building blocks that the ARM files share. NEON only, inlined. */
#ifndef MLXK_K_NEON_INT_H
#define MLXK_K_NEON_INT_H

#include "kernels/k_int.h"

#include <arm_neon.h>

/* First n (at most 4) floats, zeros behind. */
K_INLINE float32x4_t k_neon_load_f32(const float *p, int64_t n) {
    if (n >= 4) {
        return vld1q_f32(p);
    }
    float v[4] = { 0 };
    for (int64_t i = 0; i < n; i++) {
        v[i] = p[i];
    }
    return vld1q_f32(v);
}

K_INLINE void k_neon_store_f32(float *p, float32x4_t v, int64_t n) {
    if (n >= 4) {
        vst1q_f32(p, v);
        return;
    }
    float copy[4];
    vst1q_f32(copy, v);
    for (int64_t i = 0; i < n; i++) {
        p[i] = copy[i];
    }
}

K_INLINE float32x4_t k_neon_half(uint16x4_t h, enum k_format format) {
    return format == K_F16 ? vcvt_f32_f16(vreinterpret_f16_u16(h))
                           : vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

/* First n (at most 4) stored elements as f32, zeros behind. */
K_INLINE float32x4_t k_neon_widen(const uint8_t *p, enum k_format format, int64_t n) {
    uint8_t copy[16] = { 0 };
    if (n < 4) {
        int64_t size = format == K_F32 ? 4 : 2;
        for (int64_t i = 0; i < n * size; i++) {
            copy[i] = p[i];
        }
        p = copy;
    }
    if (format == K_F32) {
        return vreinterpretq_f32_u8(vld1q_u8(p));
    }
    return k_neon_half(vreinterpret_u16_u8(vld1_u8(p)), format);
}

/* Lanes in a fixed order: (0 + 1) + (2 + 3). */
K_INLINE float k_neon_fold(float32x4_t v) {
    float32x2_t a = vpadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(vpadd_f32(a, a), 0);
}

/* exp(x): 0 below -87.3, infinite above 88.7; NaN stays; error below 2 units in the last place. */
K_INLINE float32x4_t k_neon_exp(float32x4_t x) {
    const float32x4_t low = vdupq_n_f32(-87.33f), high = vdupq_n_f32(88.72f);
    float32x4_t v = vmaxq_f32(low, vminq_f32(high, x));
    float32x4_t n = vrndnq_f32(vmulq_f32(v, vdupq_n_f32(1.44269504f)));
    float32x4_t r = vfmsq_f32(v, n, vdupq_n_f32(0.693145752f));
    r = vfmsq_f32(r, n, vdupq_n_f32(1.42860677e-6f));
    float32x4_t p = vdupq_n_f32(1.39269266e-3f);
    p = vfmaq_f32(vdupq_n_f32(8.36377387e-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(4.16665501e-2f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.66665734e-1f), p, r);
    p = vfmaq_f32(vdupq_n_f32(0.5f), p, r);
    p = vfmaq_f32(r, p, vmulq_f32(r, r));
    p = vaddq_f32(p, vdupq_n_f32(1.0f));
    /* 2^n in two factors: n reaches 128, one more than an exponent holds */
    int32x4_t half = vshrq_n_s32(vcvtq_s32_f32(n), 1), rest = vsubq_s32(vcvtq_s32_f32(n), half);
    p = vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, vdupq_n_s32(127)), 23)));
    p = vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, vdupq_n_s32(127)), 23)));
    p = vbslq_f32(vcgtq_f32(x, high), vdupq_n_f32(INFINITY), p);
    return vbslq_f32(vcltq_f32(x, low), vdupq_n_f32(0.0f), p);
}

/* ---- a panel of 8 rows for many tokens (k_arm_body.h) --------------------------------------- */

enum {
    K_PANEL_ROWS = 8,
    K_PANEL_BYTES = 65536,                         /* hard bound of one lane's panel */
    K_PANEL_AIM = 32768,                           /* what stays near the core */
    K_PANEL_BLOCKS = K_PANEL_BYTES / (32 * K_PANEL_ROWS),
    K_PANEL_FEW_TOKENS = 4,                        /* fewer than this: in place */
};

struct k_arm_panel {
    _Alignas(64) uint8_t codes[K_PANEL_BYTES];
    float scales[K_PANEL_BLOCKS][K_PANEL_ROWS];
    float biases[K_PANEL_BLOCKS][K_PANEL_ROWS];
    int lane0, lane1;                              /* contract lanes in this panel */
    int64_t n_blocks;                              /* of a row */
    int block;
    bool offset;                                   /* codes are code - 128 */
};

#endif
