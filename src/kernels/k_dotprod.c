/* k_dotprod.c: affine matrix products with the ARM dot product (SDOT), Armv8.2 and later.
 *
 * Few tokens: k_neon_body.h with SDOT. Many tokens: 8 rows are unpacked once into a panel on the stack,
 * [block][4 columns][8 rows][4 codes], and used for all tokens; SDOT by element multiplies four columns
 * of four rows with four activations, so sums need no folding.
 *
 * 1. The contract's lanes (block mod 8) are walked one after the other, each with its own accumulator:
 *    the same bits as in place. The panel holds as many lanes as fit; totals stay in y between panels.
 * 2. 8-bit codes are used as code - 128; 128 times the sum of activations goes back in.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__aarch64__)

#include "kernels/k_neon_int.h"

enum {
    K_DOTPROD_ROWS = 8,
    K_DOTPROD_PANEL_BYTES = 65536,                 /* hard bound of one lane's panel */
    K_DOTPROD_PANEL_AIM = 32768,                   /* what stays near the core */
    K_DOTPROD_PANEL_BLOCKS = K_DOTPROD_PANEL_BYTES / (32 * K_DOTPROD_ROWS),
    K_DOTPROD_FEW_TOKENS = 4,                      /* fewer than this: in place */
};

struct k_dotprod_panel {
    _Alignas(64) uint8_t codes[K_DOTPROD_PANEL_BYTES];
    float scales[K_DOTPROD_PANEL_BLOCKS][K_DOTPROD_ROWS];
    float biases[K_DOTPROD_PANEL_BLOCKS][K_DOTPROD_ROWS];
    int lane0, lane1;                              /* contract lanes in this panel */
    int64_t n_blocks;                              /* of a row */
    int block;
    bool offset;                                   /* codes are code - 128 */
};

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

/* Bytes [at, at + 16) of a row as signed codes: four quads, `step` bytes apart in the panel. */
K_INLINE void k_dotprod_quads(uint8_t *out, uint8x16_t v, int step) {
    uint32x4_t u = vreinterpretq_u32_u8(v);
    vst1q_lane_u32((uint32_t *)(void *)out, u, 0);
    vst1q_lane_u32((uint32_t *)(void *)(out + step), u, 1);
    vst1q_lane_u32((uint32_t *)(void *)(out + 2 * step), u, 2);
    vst1q_lane_u32((uint32_t *)(void *)(out + 3 * step), u, 3);
}

/* Block b of 8 rows into the panel, in the order of the activations (split halves for 4 bits). */
static void k_dotprod_panel_block(const struct k_matrix *w, const int64_t *rows, int64_t b,
                                  int block, uint8_t *out) {
    const int step = 4 * K_DOTPROD_ROWS;
    const uint8x16_t flip = vdupq_n_u8(w->bits == 8 ? 128 : 0);
    for (int r = 0; r < K_DOTPROD_ROWS; r++, out += 4) {
        uint8_t codes[64];
        const uint8_t *p = w->data + (size_t)rows[r] * w->row_bytes + b * block * w->bits / 8;
        if (w->bits == 4) {
            for (int i = 0; i < block / 32; i++) {
                uint8x16_t v = vld1q_u8(p + 16 * i);
                k_dotprod_quads(out + 4 * i * step, vandq_u8(v, vdupq_n_u8(15)), step);
                k_dotprod_quads(out + (block / 8 + 4 * i) * step, vshrq_n_u8(v, 4), step);
            }
            continue;
        }
        if (w->bits != 8) {
            k_neon_unpack(p, w->bits, block, codes);
            p = codes;
        }
        for (int i = 0; i < block / 16; i++) {
            k_dotprod_quads(out + 4 * i * step, veorq_u8(vld1q_u8(p + 16 * i), flip), step);
        }
    }
}

/* Lanes [lane0, lane1) of rows [row, row + 8) (the last one repeated behind `last`). */
static void k_dotprod_panel_fill(struct k_dotprod_panel *panel, const struct k_matrix *w,
                                 int64_t row, int64_t last) {
    int64_t rows[K_DOTPROD_ROWS], n_groups = w->cols / w->group, i = 0;
    int per_group = w->group / panel->block;
    for (int r = 0; r < K_DOTPROD_ROWS; r++) {
        rows[r] = row + r < last ? row + r : last;
    }
    for (int lane = panel->lane0; lane < panel->lane1; lane++) {
        for (int64_t b = lane; b < panel->n_blocks; b += K_LANES, i++) {
            k_dotprod_panel_block(w, rows, b, panel->block,
                                  panel->codes + i * panel->block * K_DOTPROD_ROWS);
            for (int r = 0; r < K_DOTPROD_ROWS; r++) {
                int64_t at =
                    (rows[r] * n_groups + b / per_group) * (w->scale_format == K_F32 ? 4 : 2);
                float32x4_t scale = k_neon_widen(w->scales + at, w->scale_format, 1);
                float32x4_t bias = k_neon_widen(w->biases + at, w->scale_format, 1);
                panel->scales[i][r] = vgetq_lane_f32(scale, 0);
                panel->biases[i][r] = vgetq_lane_f32(bias, 0);
            }
        }
    }
}

/* One block of the panel against n tokens: sum[t][0] rows 0..3, sum[t][1] rows 4..7. */
K_INLINE void k_dotprod_steps(const uint8_t *codes, const int8_t *q, int64_t stride, const int n,
                              const int block, bool offset, int32x4_t (*sum)[2]) {
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
            int8x16_t a = vreinterpretq_s8_u8(vld1q_u8(codes)), b = vreinterpretq_s8_u8(vld1q_u8(codes + 16)); \
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

/* n tokens (a constant after inlining) against the panel; totals so far are in y unless lane0 is 0. */
K_INLINE void k_dotprod_panel_tokens(const struct k_dotprod_panel *panel, const struct k_input *in,
                                     int64_t token, const int n, const int block, float *y,
                                     int64_t y_stride, int64_t rows) {
    int64_t stride = k_form_stride(in->cols), n_blocks = panel->n_blocks, at = 0;
    const int8_t *q = in->q + token * stride;
    const float *d = in->d + token * n_blocks, *s = in->s + token * n_blocks;
    const uint8_t *codes = panel->codes;
    for (int lane = panel->lane0; lane < panel->lane1; lane++) {
        float32x4_t acc[4][2];
        for (int t = 0; t < n; t++) {
            acc[t][0] = acc[t][1] = vdupq_n_f32(0);
        }
        for (int64_t b = lane; b < n_blocks; b += K_LANES, at++, codes += block * K_DOTPROD_ROWS) {
            int32x4_t sum[4][2];
            k_dotprod_steps(codes, q + b * block, stride, n, block, panel->offset, sum);
            for (int h = 0; h < 2; h++) {
                float32x4_t scale = vld1q_f32(panel->scales[at] + 4 * h),
                            bias = vld1q_f32(panel->biases[at] + 4 * h);
                for (int t = 0; t < n; t++) {
                    float32x4_t step = vmulq_n_f32(scale, d[t * n_blocks + b]);
                    acc[t][h] = vfmaq_f32(acc[t][h], vcvtq_f32_s32(sum[t][h]), step);
                    acc[t][h] = vfmaq_n_f32(acc[t][h], bias, s[t * n_blocks + b]);
                }
            }
        }
        for (int t = 0; t < n; t++) {
            for (int h = 0; h < 2; h++) {
                float *out = y + t * y_stride + 4 * h;
                float32x4_t total = acc[t][h];
                if (lane > 0) {
                    total = vaddq_f32(k_neon_load_f32(out, rows - 4 * h), total);
                }
                k_neon_store_f32(out, total, rows - 4 * h);
            }
        }
    }
}

K_INLINE void k_dotprod_panel_all(const struct k_dotprod_panel *panel, const struct k_input *in,
                                  const int block, float *y, int64_t y_stride, int64_t rows) {
    int64_t t = 0, n = in->n_tokens;
    for (; t + 4 <= n; t += 4) {
        k_dotprod_panel_tokens(panel, in, t, 4, block, y + t * y_stride, y_stride, rows);
    }
    for (; t < n; t++) {
        k_dotprod_panel_tokens(panel, in, t, 1, block, y + t * y_stride, y_stride, rows);
    }
}

static void k_matmul_dotprod(const struct k_matrix *w, int64_t row0, int64_t row1,
                             const struct k_input *in, float *y, int64_t y_stride) {
    MLXK_ASSERT(in->cols == w->cols && 0 <= row0 && row1 <= w->rows);
    if (in->form == K_FORM_FLOAT) {
        k_neon_matmul_float(w, row0, row1, in, y, y_stride);
        return;
    }
    MLXK_ASSERT(w->format == K_AFFINE && in->form == k_input_form(w));
    struct k_dotprod_panel panel;
    panel.block = k_form_block(in->form);
    panel.n_blocks = w->cols / panel.block;
    panel.offset = w->bits == 8;
    int64_t lane_bytes = (panel.n_blocks + K_LANES - 1) / K_LANES * panel.block * K_DOTPROD_ROWS;
    if (in->n_tokens < K_DOTPROD_FEW_TOKENS || lane_bytes > K_DOTPROD_PANEL_BYTES) {
        k_dotprod_matvec(w, row0, row1, in, y, y_stride);
        return;
    }
    int n_lanes = lane_bytes * K_LANES <= K_DOTPROD_PANEL_AIM ? K_LANES
                  : lane_bytes * 2 <= K_DOTPROD_PANEL_AIM ? (int)(K_DOTPROD_PANEL_AIM / lane_bytes)
                                                          : 1;
    for (int64_t row = row0; row < row1; row += K_DOTPROD_ROWS) {
        for (int lane = 0; lane < K_LANES; lane += n_lanes) {
            panel.lane0 = lane;
            panel.lane1 = lane + n_lanes < K_LANES ? lane + n_lanes : K_LANES;
            k_dotprod_panel_fill(&panel, w, row, row1 - 1);
            if (panel.block == 32) {
                k_dotprod_panel_all(&panel, in, 32, y + row, y_stride, row1 - row);
            } else {
                k_dotprod_panel_all(&panel, in, 64, y + row, y_stride, row1 - row);
            }
        }
    }
}

K_TARGET_END

MLXK_FN void k_dotprod_fill(struct k_ops *o) {
    o->matmul = k_matmul_dotprod;
}

#endif
