/* k_quantize.c: f32 values -> codes and scales, byte for byte as the reference CPU implementation
 * makes them.
 *
 * Does not choose modes or walk models; one row at a time, any thread.
 * 1. Affine: the end of the group with the larger magnitude is represented exactly (code 0 or all
 *    ones); codes are computed with the f32 scale and bias, which are rounded to the stored type
 *    afterwards.
 * 2. mxfp: shared exponent = ceil(log2(amax / largest element)), the division taken in the type of
 *    the input; a group of zeros gets exponent byte 127. nvfp4: scale = E4M3(amax / 6), ties to
 *    even.
 * 3. Subnormal groups in the mxfp modes get the smallest exponent (the reference wraps around
 *    there).
 * ref: engine facts 1.1 "Quantizer", 1.2.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

/* x as it reads back from the element type. */
static float k_quantize_round(float x, enum k_format store) {
    if (store == K_F16) {
        return num_f16_to_f32(num_f32_to_f16(x));
    }
    return store == K_BF16 ? num_bf16_to_f32(num_f32_to_bf16(x)) : x;
}

static void k_quantize_put(uint8_t *p, enum k_format store, int64_t i, float x) {
    if (store == K_F32) {
        memcpy(p + 4 * i, &x, 4);
        return;
    }
    uint16_t h = store == K_F16 ? num_f32_to_f16(x) : num_f32_to_bf16(x);
    memcpy(p + 2 * i, &h, 2);
}

/* Writes n codes (n a multiple of 8) to a bit stream: eight of them fill `bits` bytes. */
static void k_quantize_pack(uint8_t *out, int bits, const uint8_t *codes, int n) {
    for (int i = 0; i < n; i += 8, out += bits) {
        uint64_t word = 0;
        for (int k = 0; k < 8; k++) {
            word |= (uint64_t)codes[i + k] << (k * bits);
        }
        memcpy(out, &word, (size_t)bits);
    }
}

/* rintf for values below 2^22 in magnitude; larger ones stay larger than any code, infinities and
 * NaN what they are. */
static float k_quantize_rint(float x) {
    const float magic = 12582912.0f;               /* 1.5 * 2^23: its unit in the last place is 1 */
    return (x + magic) - magic;
}

static void k_quantize_affine(const float *x, int n, int bits, uint8_t *codes, float *scale_out,
                              float *bias_out) {
    float max = -INFINITY, min = INFINITY, top = (float)((1 << bits) - 1);
    for (int i = 0; i < n; i++) {
        max = x[i] > max ? x[i] : max;
        min = x[i] < min ? x[i] : min;
    }
    bool low_end = fabsf(min) > fabsf(max);
    float scale = (max - min) / top, bias = 0;
    scale = scale > 1e-7f ? scale : 1e-7f;
    scale = low_end ? scale : -scale;
    float edge = low_end ? min : max, q0 = rintf(edge / scale);
    if (q0 != 0) {
        scale = edge / q0;
        bias = edge;
    }
    for (int i = 0; i < n; i++) {
        float q = k_quantize_rint((x[i] - bias) / scale);
        codes[i] = (uint8_t)(!(q > 0) ? 0.0f : q > top ? top : q);   /* NaN becomes 0 */
    }
    *scale_out = scale;
    *bias_out = bias;
}

/* Nearest E2M1 code; a tie takes the smaller magnitude, zero is always +0 (so the reference does
 * it). */
static uint8_t k_quantize_e2m1(float x) {
    float a = fabsf(x);
    uint8_t code = a > 5.0f ? 7 : a > 3.5f ? 6 : a > 2.5f ? 5 : a > 1.75f ? 4
                 : a > 1.25f ? 3 : a > 0.75f ? 2 : a > 0.25f ? 1 : 0;
    return x < -0.25f ? (uint8_t)(code | 8) : code;
}

/* Nearest E4M3 code, ties to even, saturating at 448 (0x7E). */
static uint8_t k_quantize_e4m3(float x) {
    float a = fabsf(x);
    uint8_t sign = signbit(x) ? 0x80 : 0;
    if (!(a < 448.0f)) {
        return (uint8_t)(sign | 0x7E);
    }
    if (a < 0.015625f) { /* subnormal: steps of 2^-9; 8 is the first normal code */
        return (uint8_t)(sign | (uint8_t)rintf(a * 512.0f));
    }
    uint32_t u;
    memcpy(&u, &a, 4);
    u += 0x7FFFF + ((u >> 20) & 1);                /* 20 mantissa bits go, ties to even */
    return (uint8_t)(sign | ((u >> 20) - (120u << 3)));
}

/* Biased exponent of the smallest power of two >= a (a finite, >= 0). */
static uint8_t k_quantize_e8m0(float a) {
    uint32_t u;
    if (a == 0) {
        return 127;
    }
    memcpy(&u, &a, 4);
    uint32_t e = (u >> 23) + ((u & 0x7FFFFF) != 0 ? 1 : 0);
    return (uint8_t)(e > 254 ? 254 : e);
}

static uint8_t k_quantize_fp(const struct k_matrix *w, enum k_format store, const float *x,
                             uint8_t *codes) {
    float amax = 0;
    for (int i = 0; i < w->group; i++) {
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    }
    float step = w->format == K_NVFP4 ? amax / 6.0f / w->global_scale
               : k_quantize_round(amax / (w->bits == 4 ? 6.0f : 448.0f), store);
    uint8_t byte = w->format == K_NVFP4 ? k_quantize_e4m3(step) : k_quantize_e8m0(step);
    float scale = w->format == K_NVFP4 ? k_e4m3(byte) * w->global_scale : k_e8m0(byte);
    for (int i = 0; i < w->group; i++) {
        float v = scale == 0 ? 0.0f : x[i] / scale;
        codes[i] = w->bits == 4 ? k_quantize_e2m1(v) : k_quantize_e4m3(v);
    }
    return byte;
}

MLXK_FN void k_quantize_row(const struct k_matrix *shape_of, enum k_format store, const float *x,
                            uint8_t *codes, uint8_t *scales, uint8_t *biases) {
    const struct k_matrix *w = shape_of;
    MLXK_ASSERT(w->group > 0 && w->group <= 128 && w->cols % w->group == 0);
    for (int64_t g = 0; g < w->cols / w->group; g++) {
        uint8_t group[128];
        if (w->format == K_AFFINE) {
            float scale, bias;
            k_quantize_affine(x + g * w->group, w->group, w->bits, group, &scale, &bias);
            k_quantize_put(scales, store, g, scale);
            k_quantize_put(biases, store, g, bias);
        } else {
            scales[g] = k_quantize_fp(w, store, x + g * w->group, group);
        }
        k_quantize_pack(codes + g * w->group * w->bits / 8, w->bits, group, w->group);
    }
}
