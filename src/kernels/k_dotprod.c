/* k_dotprod.c: affine matrix products with the ARM dot product (SDOT), Armv8.2 and later.
 *
 * Few tokens: k_neon_body.h with SDOT. Many tokens: k_arm_body.h; SDOT by element multiplies four
 * columns of four rows with four activations, so sums need no folding.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__aarch64__)

#include "kernels/k_neon_int.h"

K_TARGET_BEGIN("arch=armv8.2-a+dotprod")

K_INLINE int32x4_t k_dotprod_dot(int32x4_t sum, int8x16_t a, int8x16_t b) {
    return vdotq_s32(sum, a, b);
}

#define K_NEON(name) k_dotprod_##name
#define K_NEON_DOT k_dotprod_dot
#include "kernels/k_neon_body.h"
#undef K_NEON
#undef K_NEON_DOT

/* ---- many tokens: a panel -------------------------------------------------------------------- */

/* One block of the panel against n tokens: sum[t][0] rows 0..3, sum[t][1] rows 4..7. */
K_INLINE void k_dotprod_panel_steps(const uint8_t *codes, const int8_t *q, int64_t stride,
                                    const int n, const int block, bool offset,
                                    int32x4_t (*sum)[2]) {
    for (int t = 0; t < n; t++) {
        int32x4_t start = vdupq_n_s32(0);
        for (int i = 0; offset && i < block; i += 16) {
            start = vdotq_s32(start, vdupq_n_s8(1), vld1q_s8(q + t * stride + i));
        }
        sum[t][0] = sum[t][1] = offset ? vdupq_n_s32(128 * vaddvq_s32(start)) : start;
    }
    for (int i = 0; i < block; i += 16) {
        int8x16_t x[4];
        for (int t = 0; t < n; t++) {
            x[t] = vld1q_s8(q + t * stride + i);
        }
#define K_DOTPROD_QUAD(k) do { \
            int8x16_t a = vreinterpretq_s8_u8(vld1q_u8(codes)); \
            int8x16_t b = vreinterpretq_s8_u8(vld1q_u8(codes + 16)); \
            codes += 32; \
            for (int t = 0; t < n; t++) { \
                sum[t][0] = vdotq_laneq_s32(sum[t][0], a, x[t], k); \
                sum[t][1] = vdotq_laneq_s32(sum[t][1], b, x[t], k); \
            } \
        } while (0)
        K_DOTPROD_QUAD(0);
        K_DOTPROD_QUAD(1);
        K_DOTPROD_QUAD(2);
        K_DOTPROD_QUAD(3);
#undef K_DOTPROD_QUAD
    }
}

#define K_PANEL(name) k_dotprod_panel_##name
#define K_PANEL_CHUNK 4
#include "kernels/k_arm_body.h"
#undef K_PANEL
#undef K_PANEL_CHUNK

MLXK_FN void k_matmul_dotprod(const struct k_matrix *w, int64_t row0, int64_t row1,
                              const struct k_input *in, float *y, int64_t y_stride) {
    if (in->form == K_FORM_FLOAT) {
        k_neon_matmul_float(w, row0, row1, in, y, y_stride);
    } else if (!k_dotprod_panel_matmul(w, row0, row1, in, y, y_stride)) {
        k_dotprod_matvec(w, row0, row1, in, y, y_stride);
    }
}

K_TARGET_END

MLXK_FN void k_dotprod_fill(struct k_ops *o) {
    o->matmul = k_matmul_dotprod;
}

#endif
