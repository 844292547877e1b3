/* k_arm_body.h: affine matrix times many tokens on ARM; included once by k_dotprod.c and once by
 * k_i8mm.c. No guard: it is meant to be pasted twice.
 *
 * 8 rows are unpacked once into a panel on the stack, [block][chunk of columns][8 rows][codes of a
 * chunk], and used for all tokens.
 *
 * The including file defines
 *   K_PANEL(name)     name with the table's suffix
 *   K_PANEL_CHUNK     codes of one row that stand together in the panel: 4 or 8
 *   K_PANEL(steps)    the integer sums of one block: sum[t][0] rows 0..3, sum[t][1] rows 4..7
 *
 * 1. The contract's lanes (block mod 8) are walked one after the other, each with its own
 *    accumulator: the same bits as in place. The panel holds as many lanes as fit; totals stay in y
 *    between panels.
 * 2. 8-bit codes are used as code - 128; 128 times the sum of activations goes back in.
 */

/* 16 codes of one row: chunk after chunk, a step of all rows apart. */
K_INLINE void K_PANEL(chunks)(uint8_t *out, uint8x16_t v) {
#if K_PANEL_CHUNK == 4
    const int step = K_PANEL_CHUNK * K_PANEL_ROWS;
    uint32x4_t u = vreinterpretq_u32_u8(v);
    vst1q_lane_u32((uint32_t *)(void *)out, u, 0);
    vst1q_lane_u32((uint32_t *)(void *)(out + step), u, 1);
    vst1q_lane_u32((uint32_t *)(void *)(out + 2 * step), u, 2);
    vst1q_lane_u32((uint32_t *)(void *)(out + 3 * step), u, 3);
#else
    vst1_u8(out, vget_low_u8(v));
    vst1_u8(out + K_PANEL_CHUNK * K_PANEL_ROWS, vget_high_u8(v));
#endif
}

/* Block b of 8 rows into the panel, in the order of the activations (split halves for 4 bits). */
static void K_PANEL(block)(const struct k_matrix *w, const int64_t *rows, int64_t b,
                           int block, uint8_t *out) {
    const uint8x16_t flip = vdupq_n_u8(w->bits == 8 ? 128 : 0);
    for (int r = 0; r < K_PANEL_ROWS; r++, out += K_PANEL_CHUNK) {
        uint8_t codes[64];
        const uint8_t *p = w->data + (size_t)rows[r] * w->row_bytes + b * block * w->bits / 8;
        if (w->bits == 4) {
            for (int i = 0; i < block / 32; i++) {
                uint8x16_t v = vld1q_u8(p + 16 * i);
                K_PANEL(chunks)(out + 16 * i * K_PANEL_ROWS, vandq_u8(v, vdupq_n_u8(15)));
                K_PANEL(chunks)(out + (block / 2 + 16 * i) * K_PANEL_ROWS, vshrq_n_u8(v, 4));
            }
            continue;
        }
        if (w->bits != 8) {
            k_neon_unpack(p, w->bits, block, codes);
            p = codes;
        }
        for (int i = 0; i < block / 16; i++) {
            K_PANEL(chunks)(out + 16 * i * K_PANEL_ROWS, veorq_u8(vld1q_u8(p + 16 * i), flip));
        }
    }
}

/* Lanes [lane0, lane1) of rows [row, row + 8) (the last one repeated behind `last`). */
static void K_PANEL(fill)(struct k_arm_panel *panel, const struct k_matrix *w, int64_t row,
                          int64_t last) {
    int64_t rows[K_PANEL_ROWS], n_groups = w->cols / w->group, i = 0;
    int per_group = w->group / panel->block;
    for (int r = 0; r < K_PANEL_ROWS; r++) {
        rows[r] = row + r < last ? row + r : last;
    }
    for (int lane = panel->lane0; lane < panel->lane1; lane++) {
        for (int64_t b = lane; b < panel->n_blocks; b += K_LANES, i++) {
            K_PANEL(block)(w, rows, b, panel->block,
                           panel->codes + i * panel->block * K_PANEL_ROWS);
            for (int r = 0; r < K_PANEL_ROWS; r++) {
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

/* n tokens (a constant after inlining) against the panel; totals so far are in y unless lane0 is
 * 0. */
K_INLINE void K_PANEL(tokens)(const struct k_arm_panel *panel, const struct k_input *in,
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
        for (int64_t b = lane; b < n_blocks; b += K_LANES, at++, codes += block * K_PANEL_ROWS) {
            int32x4_t sum[4][2];
            K_PANEL(steps)(codes, q + b * block, stride, n, block, panel->offset, sum);
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

K_INLINE void K_PANEL(all)(const struct k_arm_panel *panel, const struct k_input *in,
                          const int block, float *y, int64_t y_stride, int64_t rows) {
    int64_t t = 0, n = in->n_tokens;
    for (; t + 4 <= n; t += 4) {
        K_PANEL(tokens)(panel, in, t, 4, block, y + t * y_stride, y_stride, rows);
    }
    for (; t < n; t++) {
        K_PANEL(tokens)(panel, in, t, 1, block, y + t * y_stride, y_stride, rows);
    }
}

/* false: nothing was done, because a panel does not suit these sizes or floats. */
static bool K_PANEL(matmul)(const struct k_matrix *w, int64_t row0, int64_t row1,
                            const struct k_input *in, float *y, int64_t y_stride) {
    MLXK_ASSERT(in->cols == w->cols && 0 <= row0 && row1 <= w->rows);
    if (in->form == K_FORM_FLOAT || in->n_tokens < K_PANEL_FEW_TOKENS) return false;
    MLXK_ASSERT(w->format == K_AFFINE && in->form == k_input_form(w));
    struct k_arm_panel panel;
    panel.block = k_form_block(in->form);
    panel.n_blocks = w->cols / panel.block;
    panel.offset = w->bits == 8;
    int64_t lane_bytes = (panel.n_blocks + K_LANES - 1) / K_LANES * panel.block * K_PANEL_ROWS;
    if (lane_bytes > K_PANEL_BYTES) return false;
    int n_lanes = lane_bytes * K_LANES <= K_PANEL_AIM ? K_LANES
                  : lane_bytes * 2 <= K_PANEL_AIM     ? (int)(K_PANEL_AIM / lane_bytes)
                                                      : 1;
    for (int64_t row = row0; row < row1; row += K_PANEL_ROWS) {
        for (int lane = 0; lane < K_LANES; lane += n_lanes) {
            panel.lane0 = lane;
            panel.lane1 = lane + n_lanes < K_LANES ? lane + n_lanes : K_LANES;
            K_PANEL(fill)(&panel, w, row, row1 - 1);
            if (panel.block == 32) {
                K_PANEL(all)(&panel, in, 32, y + row, y_stride, row1 - row);
            } else {
                K_PANEL(all)(&panel, in, 64, y + row, y_stride, row1 - row);
            }
        }
    }
    return true;
}
