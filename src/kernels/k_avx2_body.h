/* k_avx2_body.h: affine matrix times tokens with 256-bit vectors; included once by k_avx2.c and once by
 * k_avxvnni.c, inside their target regions. No guard: it is meant to be pasted twice.
 *
 * The including file defines
 *   K_AVX(name)                   name with the table's suffix
 *   K_AVX_DOT4(v, even, odd)      32 bytes of 4-bit codes -> 8 partial sums
 *   K_AVX_DOT8(v, x)              32 codes (v) times 32 activations -> 8 partial sums; K_AVX_OFFSET is
 *                                 what it subtracts from every code first
 *   K_AVX_STEPS(...)              one block of the panel against n tokens
 *   K_AVX_PLANES(bits)            panel vectors per four columns
 *
 * Few tokens (matvec): a tile is 8 rows, a chunk 8 blocks, one per lane of the contract; one row gives
 * one vector of 8 block sums. Many tokens (panel): as k_avx512_matmul.c with 8 rows, [block][8 columns
 * quads of 4][8 rows][4 codes], four tokens at a time. Both keep the contract's order (numerics 1).
 */

struct K_AVX(chunk) {
    __m256i x[16];               /* activations, in the order the codes come */
    __m256i offset;              /* K_AVX_OFFSET * sum of xq, per block */
    __m256 d, s;
    int n_bytes;                 /* code bytes per row */
};

/* ---- few tokens: in place ------------------------------------------------------------------------ */

/* 8 partial-sum vectors, one per block -> 8 sums. */
K_INLINE __m256i K_AVX(fold8)(const __m256i *u) {
    __m256i a = k_avx2_fold4(u[0], u[1], u[2], u[3]), b = k_avx2_fold4(u[4], u[5], u[6], u[7]);
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

/* The eight block sums of one row. */
K_INLINE __m256i K_AVX(sums)(enum k_avx2_shape shape, const uint8_t *p, const struct K_AVX(chunk) *c, bool full) {
    __m256i u[8];
    int n = full ? INT_MAX : c->n_bytes;
    if (shape == K_AVX2_4X32) {                    /* a lane is a block */
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            u[i] = K_AVX_DOT4(k_avx2_load(p, n, i), c->x[2 * i], c->x[2 * i + 1]);
        }
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        return _mm256_permutevar8x32_epi32(k_avx2_fold4(u[0], u[1], u[2], u[3]), order);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        if (shape == K_AVX2_4X64) {
            u[i] = K_AVX_DOT4(k_avx2_load(p, n, i), c->x[2 * i], c->x[2 * i + 1]);
        } else if (shape == K_AVX2_8X32) {
            u[i] = K_AVX_DOT8(k_avx2_load(p, n, i), c->x[i]);
        } else {
            u[i] = _mm256_add_epi32(K_AVX_DOT8(k_avx2_load(p, n, 2 * i), c->x[2 * i]),
                                    K_AVX_DOT8(k_avx2_load(p, n, 2 * i + 1), c->x[2 * i + 1]));
        }
    }
    __m256i sum = K_AVX(fold8)(u);
    return K_AVX_OFFSET != 0 && shape != K_AVX2_4X64 ? _mm256_add_epi32(sum, c->offset) : sum;
}

K_INLINE void K_AVX(chunk_load)(enum k_avx2_shape shape, const struct k_input *in, int64_t token, int64_t b,
                                int n_blocks, bool full, struct K_AVX(chunk) *c) {
    int block = shape == K_AVX2_4X32 || shape == K_AVX2_8X32 ? 32 : 64;
    int n_bytes = block * n_blocks, n = full ? INT_MAX : n_bytes;
    const uint8_t *q = (const uint8_t *)in->q + token * k_form_stride(in->cols) + b * block;
    for (int i = 0; i < block / 4; i++) {
        c->x[i] = k_avx2_load(q, n, i);
    }
    if (K_AVX_OFFSET != 0 && (shape == K_AVX2_8X32 || shape == K_AVX2_8X64)) {
        const __m256i one = _mm256_set1_epi8(1), factor = _mm256_set1_epi16(K_AVX_OFFSET);
        __m256i u[8];
        for (int i = 0; i < 8; i++) {
            __m256i v = shape == K_AVX2_8X32 ? _mm256_maddubs_epi16(one, c->x[i])
                      : _mm256_add_epi16(_mm256_maddubs_epi16(one, c->x[2 * i]), _mm256_maddubs_epi16(one, c->x[2 * i + 1]));
            u[i] = _mm256_madd_epi16(v, factor);
        }
        c->offset = K_AVX(fold8)(u);
    }
    for (int i = 0; shape == K_AVX2_4X32 && i < 8; i += 2) {   /* {even, odd} of two blocks: all even, all odd */
        __m256i x0 = c->x[i], x1 = c->x[i + 1];
        c->x[i] = _mm256_permute2x128_si256(x0, x1, 0x20);
        c->x[i + 1] = _mm256_permute2x128_si256(x0, x1, 0x31);
    }
    int64_t at = token * (in->cols / block) + b;
    c->d = k_avx2_load_f32(in->d + at, n_blocks);
    c->s = k_avx2_load_f32(in->s + at, n_blocks);
    c->n_bytes = shape == K_AVX2_4X32 || shape == K_AVX2_4X64 ? n_bytes / 2 : n_bytes;
}

K_INLINE void K_AVX(chunk_rows)(enum k_avx2_shape shape, const struct k_matrix *w, int64_t row, int64_t last, int64_t b,
                                int n_blocks, bool full, const struct K_AVX(chunk) *c, float *lanes) {
    int block = shape == K_AVX2_4X32 || shape == K_AVX2_8X32 ? 32 : 64;
    bool twice = w->group > block, stored = w->bits == 4 || w->bits == 8;
    size_t size = w->scale_format == K_F32 ? 4 : 2, row_scales = (size_t)(w->cols / w->group) * size;
    size_t first = (size_t)(b / (w->group / block)) * size, step = (size_t)(b * block * w->bits / 8);
    uint8_t codes[512];
    for (int i = 0; i < K_AVX2_ROWS; i++) {
        int64_t r = row + i < last ? row + i : last;
        const uint8_t *p = w->data + (size_t)r * w->row_bytes + step;
        if (!stored) {
            k_avx2_unpack(p, w->bits, n_blocks * block, codes);
            p = codes;
        }
        __m256 sum = _mm256_cvtepi32_ps(K_AVX(sums)(shape, p, c, full));
        size_t at = (size_t)r * row_scales + first;
        __m256 scale = k_avx2_scales(w->scales + at, w->scale_format, twice, n_blocks);
        __m256 bias = k_avx2_scales(w->biases + at, w->scale_format, twice, n_blocks);
        __m256 lane = _mm256_load_ps(lanes + i * K_LANES);
        lane = _mm256_fmadd_ps(sum, _mm256_mul_ps(scale, c->d), lane);
        lane = _mm256_fmadd_ps(bias, c->s, lane);
        _mm256_store_ps(lanes + i * K_LANES, lane);
    }
}

K_INLINE void K_AVX(tile)(enum k_avx2_shape shape, const struct k_matrix *w, int64_t row, int64_t row1,
                          const struct k_input *in, int64_t token, float *y) {
    _Alignas(32) float lanes[K_AVX2_ROWS * K_LANES] = { 0 }, sums[K_AVX2_ROWS];
    int64_t n_blocks = w->cols / (shape == K_AVX2_4X32 || shape == K_AVX2_8X32 ? 32 : 64), b = 0;
    struct K_AVX(chunk) c;
    for (; b + K_LANES <= n_blocks; b += K_LANES) {
        K_AVX(chunk_load)(shape, in, token, b, K_LANES, true, &c);
        K_AVX(chunk_rows)(shape, w, row, row1 - 1, b, K_LANES, true, &c, lanes);
    }
    if (b < n_blocks) {
        K_AVX(chunk_load)(shape, in, token, b, (int)(n_blocks - b), false, &c);
        K_AVX(chunk_rows)(shape, w, row, row1 - 1, b, (int)(n_blocks - b), false, &c, lanes);
    }
    _mm256_store_ps(sums, k_avx2_add_lanes(lanes));
    for (int i = 0; i < K_AVX2_ROWS && row + i < row1; i++) {
        y[row + i] = sums[i];
    }
}

static void K_AVX(matvec)(const struct k_matrix *w, int64_t row0, int64_t row1, const struct k_input *in, float *y,
                          int64_t y_stride) {
    bool four = w->bits == 4, narrow = k_form_block(in->form) == 32;
    for (int64_t row = row0; row < row1; row += K_AVX2_ROWS) {
        for (int64_t t = 0; t < in->n_tokens; t++) {
            float *out = y + t * y_stride;
            if (four && narrow) {
                K_AVX(tile)(K_AVX2_4X32, w, row, row1, in, t, out);
            } else if (four) {
                K_AVX(tile)(K_AVX2_4X64, w, row, row1, in, t, out);
            } else if (narrow) {
                K_AVX(tile)(K_AVX2_8X32, w, row, row1, in, t, out);
            } else {
                K_AVX(tile)(K_AVX2_8X64, w, row, row1, in, t, out);
            }
        }
    }
}

/* ---- many tokens: a panel -------------------------------------------------------------------------- */

/* Lanes [lane0, lane1) of rows [row, row + 8) (the last one repeated behind `last`). */
static void K_AVX(panel_fill)(struct k_avx2_panel *panel, const struct k_matrix *w, int64_t row, int64_t last) {
    const uint8_t *codes[K_AVX2_ROWS];
    int64_t rows[K_AVX2_ROWS];
    int per_group = w->group / panel->block, planes = K_AVX_PLANES(w->bits);
    for (int r = 0; r < K_AVX2_ROWS; r++) {
        rows[r] = row + r < last ? row + r : last;
        codes[r] = w->data + (size_t)rows[r] * w->row_bytes;
    }
    int64_t i = 0;
    for (int lane = panel->lane0; lane < panel->lane1; lane++) {
        for (int64_t b = lane; b < panel->n_blocks; b += K_LANES, i++) {
            k_avx2_panel_block(w, codes, b, panel->block, planes,
                               panel->codes + i * panel->block * planes * K_AVX2_ROWS);
            _mm256_store_ps(panel->scales[i], k_avx2_panel_scales(w, w->scales, rows, b / per_group));
            _mm256_store_ps(panel->biases[i], k_avx2_panel_scales(w, w->biases, rows, b / per_group));
        }
    }
}

/* n tokens (a constant after inlining) against the panel; totals so far are in y unless lane0 is 0. */
K_INLINE void K_AVX(panel_tokens)(const struct k_avx2_panel *panel, const struct k_input *in, int64_t token, const int n,
                                  const int block, const int planes, float *y, int64_t y_stride, __m256i rows) {
    int64_t stride = k_form_stride(in->cols), n_blocks = panel->n_blocks, at = 0;
    const int8_t *q = in->q + token * stride;
    const float *d = in->d + token * n_blocks, *s = in->s + token * n_blocks;
    const uint8_t *codes = panel->codes;
    __m256 total[4];
#pragma GCC unroll 4
    for (int t = 0; t < n; t++) {
        total[t] = panel->lane0 == 0 ? _mm256_setzero_ps() : _mm256_maskload_ps(y + t * y_stride, rows);
    }
    for (int lane = panel->lane0; lane < panel->lane1; lane++) {
        __m256 acc[4];
#pragma GCC unroll 4
        for (int t = 0; t < n; t++) {
            acc[t] = _mm256_setzero_ps();
        }
        for (int64_t b = lane; b < n_blocks; b += K_LANES, at++) {
            __m256i sum[4];
            K_AVX_STEPS(codes, q + b * block, stride, n, block, planes, sum);
            codes += block * planes * K_AVX2_ROWS;
            __m256 scale = _mm256_load_ps(panel->scales[at]), bias = _mm256_load_ps(panel->biases[at]);
#pragma GCC unroll 4
            for (int t = 0; t < n; t++) {
                __m256 step = _mm256_mul_ps(scale, _mm256_set1_ps(d[t * n_blocks + b]));
                acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[t]), step, acc[t]);
                acc[t] = _mm256_fmadd_ps(bias, _mm256_set1_ps(s[t * n_blocks + b]), acc[t]);
            }
        }
#pragma GCC unroll 4
        for (int t = 0; t < n; t++) {
            total[t] = lane == 0 ? acc[t] : _mm256_add_ps(total[t], acc[t]);
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < n; t++) {
        _mm256_maskstore_ps(y + t * y_stride, rows, total[t]);
    }
}

K_INLINE void K_AVX(panel_all)(const struct k_avx2_panel *panel, const struct k_input *in, const int block,
                               const int planes, float *y, int64_t y_stride, __m256i rows) {
    int64_t t = 0, n = in->n_tokens;
    for (; t + 4 <= n; t += 4) {
        K_AVX(panel_tokens)(panel, in, t, 4, block, planes, y + t * y_stride, y_stride, rows);
    }
    for (; t < n; t++) {
        K_AVX(panel_tokens)(panel, in, t, 1, block, planes, y + t * y_stride, y_stride, rows);
    }
}

static void K_AVX(matmul_q)(const struct k_matrix *w, int64_t row0, int64_t row1, const struct k_input *in, float *y,
                            int64_t y_stride) {
    struct k_avx2_panel panel;
    int planes = K_AVX_PLANES(w->bits);
    panel.block = k_form_block(in->form);
    panel.n_blocks = w->cols / panel.block;
    int64_t lane_bytes = (panel.n_blocks + K_LANES - 1) / K_LANES * panel.block * planes * K_AVX2_ROWS;
    if (in->n_tokens < K_AVX2_FEW_TOKENS || lane_bytes > K_AVX2_PANEL_BYTES) {
        K_AVX(matvec)(w, row0, row1, in, y, y_stride);
        return;
    }
    int n_lanes = lane_bytes * K_LANES <= K_AVX2_PANEL_AIM ? K_LANES
                : lane_bytes * 2 <= K_AVX2_PANEL_AIM ? (int)(K_AVX2_PANEL_AIM / lane_bytes) : 1;
    for (int64_t row = row0; row < row1; row += K_AVX2_ROWS) {
        __m256i rows = k_avx2_mask(row1 - row);
        for (int lane = 0; lane < K_LANES; lane += n_lanes) {
            panel.lane0 = lane;
            panel.lane1 = lane + n_lanes < K_LANES ? lane + n_lanes : K_LANES;
            K_AVX(panel_fill)(&panel, w, row, row1 - 1);
            if (planes == 1 && panel.block == 32) {
                K_AVX(panel_all)(&panel, in, 32, 1, y + row, y_stride, rows);
            } else if (planes == 1) {
                K_AVX(panel_all)(&panel, in, 64, 1, y + row, y_stride, rows);
            } else if (panel.block == 32) {
                K_AVX(panel_all)(&panel, in, 32, 2, y + row, y_stride, rows);
            } else {
                K_AVX(panel_all)(&panel, in, 64, 2, y + row, y_stride, rows);
            }
        }
    }
}

static void K_AVX(matmul)(const struct k_matrix *w, int64_t row0, int64_t row1, const struct k_input *in, float *y,
                          int64_t y_stride) {
    MLXK_ASSERT(in->cols == w->cols && 0 <= row0 && row1 <= w->rows);
    if (in->form == K_FORM_FLOAT) {
        k_avx2_matmul_float(w, row0, row1, in, y, y_stride);
        return;
    }
    MLXK_ASSERT(w->format == K_AFFINE && in->form == k_input_form(w));
    K_AVX(matmul_q)(w, row0, row1, in, y, y_stride);
}
