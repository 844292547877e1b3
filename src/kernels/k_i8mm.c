/* k_i8mm.c: affine matrix products with the ARM matrix multiply (SMMLA), Armv8.6 and some before.
 *
 * Many tokens only: k_arm_body.h. One SMMLA multiplies 8 columns of two rows with those of two
 * tokens, twice the work of one SDOT. Few tokens and floats are k_dotprod.c's.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__aarch64__)

#include "kernels/k_neon_int.h"

K_TARGET_BEGIN("arch=armv8.2-a+dotprod+i8mm")

/* 16 columns of tokens t and u: 8 of t and 8 of u in each half. */
K_INLINE void k_i8mm_pair(const int8_t *t, const int8_t *u, int8x16_t *half) {
    int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(t)), b = vreinterpretq_s64_s8(vld1q_s8(u));
    half[0] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
    half[1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
}

/* 128 times the sum of a token's activations in a block. */
K_INLINE int32x4_t k_i8mm_offset(const int8_t *q, const int block) {
    int32x4_t sum = vdupq_n_s32(0);
    for (int i = 0; i < block; i += 16) {
        sum = vdotq_s32(sum, vdupq_n_s8(1), vld1q_s8(q + i));
    }
    return vdupq_n_s32(128 * vaddvq_s32(sum));
}

/* One block of the panel against n tokens (4, or 1 that is paired with itself). */
K_INLINE void k_i8mm_panel_steps(const uint8_t *codes, const int8_t *q, int64_t stride, const int n,
                                 const int block, bool offset, int32x4_t (*sum)[2]) {
    const int n_pairs = (n + 1) / 2;
    int32x4_t acc[2][4];     /* [pair of tokens][pair of rows]: r0t0 r0t1 r1t0 r1t1 */
    for (int p = 0; p < n_pairs; p++) {
        for (int r = 0; r < 4; r++) {
            acc[p][r] = vdupq_n_s32(0);
        }
    }
    for (int i = 0; i < block; i += 16) {
        int8x16_t x[2][2];
        for (int p = 0; p < n_pairs; p++) {
            const int8_t *t = q + 2 * p * stride + i;
            k_i8mm_pair(t, n == 1 ? t : t + stride, x[p]);
        }
        for (int half = 0; half < 2; half++) {
            for (int r = 0; r < 4; r++, codes += 16) {
                int8x16_t rows = vreinterpretq_s8_u8(vld1q_u8(codes));
                for (int p = 0; p < n_pairs; p++) {
                    acc[p][r] = vmmlaq_s32(acc[p][r], rows, x[p][half]);
                }
            }
        }
    }
    for (int t = 0; t < n; t++) {
        const int32x4_t *a = acc[t / 2];
        int32x4_t more = offset ? k_i8mm_offset(q + t * stride, block) : vdupq_n_s32(0);
        for (int h = 0; h < 2; h++) {
            int32x4_t rows = t % 2 ? vuzp2q_s32(a[2 * h], a[2 * h + 1])
                                   : vuzp1q_s32(a[2 * h], a[2 * h + 1]);
            sum[t][h] = vaddq_s32(rows, more);
        }
    }
}

#define K_PANEL(name) k_i8mm_panel_##name
#define K_PANEL_CHUNK 8
#include "kernels/k_arm_body.h"
#undef K_PANEL
#undef K_PANEL_CHUNK

static void k_matmul_i8mm(const struct k_matrix *w, int64_t row0, int64_t row1,
                          const struct k_input *in, float *y, int64_t y_stride) {
    if (!k_i8mm_panel_matmul(w, row0, row1, in, y, y_stride)) {
        k_matmul_dotprod(w, row0, row1, in, y, y_stride);
    }
}

K_TARGET_END

MLXK_FN void k_i8mm_fill(struct k_ops *o) {
    o->matmul = k_matmul_i8mm;
}

#endif
