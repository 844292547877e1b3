/* k_neon_body.h: affine matrix times tokens, read in place, with 128-bit vectors; included once by
 * k_neon.c and once by k_dotprod.c. No guard: it is meant to be pasted twice.
 *
 * The including file defines
 *   K_NEON(name)             name with the table's suffix
 *   K_NEON_DOT(sum, a, b)    sum + products of 16 signed bytes, four to a lane
 *
 * Four rows share the activations of four blocks; the blocks of a row become one vector of sums,
 * lanes 0..3 or 4..7 of the contract. 8-bit codes are used as code - 128; 128 times the sum of
 * activations goes back in. The order of float operations is the contract's (numerics 1).
 */

/* Codes against activations of one block: four partial sums. */
K_INLINE int32x4_t K_NEON(block)(bool four, int block, const uint8_t *p, const int8x16_t *x,
                                 uint8x16_t flip) {
    int32x4_t sum = vdupq_n_s32(0);
    for (int i = 0; four && i < block / 32; i++) {
        uint8x16_t v = vld1q_u8(p + 16 * i);
        sum = K_NEON_DOT(sum, vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15))), x[i]);
        sum = K_NEON_DOT(sum, vreinterpretq_s8_u8(vshrq_n_u8(v, 4)), x[block / 32 + i]);
    }
    for (int i = 0; !four && i < block / 16; i++) {
        sum = K_NEON_DOT(sum, vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p + 16 * i), flip)), x[i]);
    }
    return sum;
}

/* Blocks [b, b + n), n <= 4, of four rows: lanes[r] += ... */
K_INLINE void K_NEON(quad)(bool four, int block, const struct k_matrix *w, const int64_t *rows,
                           const struct k_input *in, int64_t token, int64_t b, int n,
                           float32x4_t *lanes) {
    const int8_t *q = in->q + token * k_form_stride(in->cols) + b * block;
    const float *d = in->d + token * (in->cols / block) + b,
                *s = in->s + token * (in->cols / block) + b;
    bool twice = w->group > block, stored = four || w->bits == 8;
    int64_t n_groups = w->cols / w->group, g = b / (w->group / block),
            size = w->scale_format == K_F32 ? 4 : 2;
    const uint8x16_t flip = vdupq_n_u8(w->bits == 8 ? 128 : 0);
    int8x16_t x[16];
    int32x4_t u[4], offset = vdupq_n_s32(0);
    for (int i = 0; i < n * block / 16; i++) {
        x[i] = vld1q_s8(q + 16 * i);
    }
    if (w->bits == 8) {
        for (int i = 0; i < 4; i++) {
            u[i] = vdupq_n_s32(0);
            for (int j = 0; i < n && j < block / 16; j++) {
                u[i] = K_NEON_DOT(u[i], vdupq_n_s8(1), x[i * block / 16 + j]);
            }
        }
        offset = vshlq_n_s32(vpaddq_s32(vpaddq_s32(u[0], u[1]), vpaddq_s32(u[2], u[3])), 7);
    }
    for (int r = 0; r < 4; r++) {
        uint8_t codes[256];
        const uint8_t *p = w->data + (size_t)rows[r] * w->row_bytes + b * block * w->bits / 8;
        if (!stored) {
            k_neon_unpack(p, w->bits, n * block, codes);
            p = codes;
        }
        for (int i = 0; i < 4; i++) {
            u[i] = i < n ? K_NEON(block)(four, block, p + i * block / (four ? 2 : 1),
                                         x + i * block / 16, flip)
                         : vdupq_n_s32(0);
        }
        int32x4_t sum = vpaddq_s32(vpaddq_s32(u[0], u[1]), vpaddq_s32(u[2], u[3]));
        int64_t at = (rows[r] * n_groups + g) * size;
        int n_scales = twice ? (n + 1) / 2 : n;
        float32x4_t scale = k_neon_widen(w->scales + at, w->scale_format, n_scales);
        float32x4_t bias = k_neon_widen(w->biases + at, w->scale_format, n_scales);
        if (twice) {
            scale = vzip1q_f32(scale, scale);
            bias = vzip1q_f32(bias, bias);
        }
        scale = vmulq_f32(scale, k_neon_load_f32(d, n));
        lanes[r] = vfmaq_f32(lanes[r], vcvtq_f32_s32(vaddq_s32(sum, offset)), scale);
        lanes[r] = vfmaq_f32(lanes[r], bias, k_neon_load_f32(s, n));
    }
}

/* Lanes 0..3 of four rows added one after the other to sum. */
K_INLINE float32x4_t K_NEON(add_lanes)(float32x4_t sum, const float32x4_t *v, bool first) {
    float32x4_t a = vtrn1q_f32(v[0], v[1]), b = vtrn2q_f32(v[0], v[1]), c = vtrn1q_f32(v[2], v[3]),
                e = vtrn2q_f32(v[2], v[3]);
    float32x4_t l0 = vcombine_f32(vget_low_f32(a), vget_low_f32(c)),
                l1 = vcombine_f32(vget_low_f32(b), vget_low_f32(e));
    float32x4_t l2 = vcombine_f32(vget_high_f32(a), vget_high_f32(c)),
                l3 = vcombine_f32(vget_high_f32(b), vget_high_f32(e));
    sum = first ? l0 : vaddq_f32(sum, l0);
    return vaddq_f32(vaddq_f32(vaddq_f32(sum, l1), l2), l3);
}

K_INLINE void K_NEON(rows)(bool four, int block, const struct k_matrix *w, int64_t row,
                           int64_t row1, const struct k_input *in, int64_t token, float *y) {
    int64_t n_blocks = w->cols / block, rows[4];
    float32x4_t low[4], high[4], sum = vdupq_n_f32(0);
    for (int r = 0; r < 4; r++) {
        rows[r] = row + r < row1 ? row + r : row1 - 1;
        low[r] = high[r] = vdupq_n_f32(0);
    }
    for (int64_t b = 0; b < n_blocks; b += 4) {
        int64_t left = n_blocks - b;
        if (left >= 4) {
            K_NEON(quad)(four, block, w, rows, in, token, b, 4, b % K_LANES == 0 ? low : high);
        } else {
            K_NEON(quad)
            (four, block, w, rows, in, token, b, (int)left, b % K_LANES == 0 ? low : high);
        }
    }
    sum = K_NEON(add_lanes)(sum, low, true);
    sum = K_NEON(add_lanes)(sum, high, false);
    k_neon_store_f32(y + row, sum, row1 - row);
}

static void K_NEON(matvec)(const struct k_matrix *w, int64_t row0, int64_t row1,
                           const struct k_input *in, float *y, int64_t y_stride) {
    bool four = w->bits == 4, narrow = k_form_block(in->form) == 32;
    for (int64_t row = row0; row < row1; row += 4) {
        for (int64_t t = 0; t < in->n_tokens; t++) {
            float *out = y + t * y_stride;
            if (four && narrow) {
                K_NEON(rows)(true, 32, w, row, row1, in, t, out);
            } else if (four) {
                K_NEON(rows)(true, 64, w, row, row1, in, t, out);
            } else if (narrow) {
                K_NEON(rows)(false, 32, w, row, row1, in, t, out);
            } else {
                K_NEON(rows)(false, 64, w, row, row1, in, t, out);
            }
        }
    }
}
