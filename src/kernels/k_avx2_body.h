/* k_avx2_body.h: affine matrix times tokens with 256-bit vectors; included once by k_avx2.c and
 * once by k_avxvnni.c, inside their target regions. No guard: it is meant to be pasted twice.
 *
 * The including file defines
 *   K_AVX(name)                   name with the table's suffix
 *   K_AVX_DOT4(v, even, odd)      32 bytes of 4-bit codes -> 8 partial sums
 *   K_AVX_DOT8(v, x)              32 codes (v) times 32 activations -> 8 partial sums; K_AVX_OFFSET
 *                                 is what it subtracts from every code first
 *   K_AVX_STEPS(...)              one block of the panel against n tokens
 *   K_AVX_PLANES(bits)            panel vectors per four columns
 *
 * Few tokens (matvec): two rows are walked at a time in chunks of 8 blocks, one per lane of the
 * contract; activations are put into the order of the codes once for a band of rows, and the matrix
 * is read as one stream. Many tokens (panel): as k_avx512_matmul.c with 8 rows, four tokens at a
 * time, [lane][block][4 columns][plane][8 rows][4 codes]. Both keep the contract's order (numerics
 * 1).
 */

/* ---- few tokens: in place -------------------------------------------------------------------- */

struct K_AVX(token) {            /* one token's activations, in the order the codes come */
    __m256i x[K_AVX2_MAX_COLS / 32];
    __m256i offset[K_AVX2_MAX_COLS / 256];         /* K_AVX_OFFSET * sum of xq, per block */
    float d[K_AVX2_MAX_COLS / 32], s[K_AVX2_MAX_COLS / 32]; /* zeros up to a whole chunk, too */
};

/* 8 partial-sum vectors, one per block -> 8 sums. */
K_INLINE __m256i K_AVX(fold8)(const __m256i *u) {
    __m256i a = k_avx2_fold4(u[0], u[1], u[2], u[3]), b = k_avx2_fold4(u[4], u[5], u[6], u[7]);
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                            _mm256_permute2x128_si256(a, b, 0x31));
}

/* The eight (or only the first four) block sums of one row; n_bytes of codes may be read. */
K_INLINE __m256i K_AVX(sums)(enum k_avx2_shape shape, bool half, const uint8_t *p, int n_bytes,
                             const __m256i *x) {
    __m256i u[8];
    if (shape == K_AVX2_4X32) {                    /* a lane is a block */
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            u[i] = half && i >= 2 ? _mm256_setzero_si256()
                                  : K_AVX_DOT4(k_avx2_load(p, n_bytes, i), x[2 * i], x[2 * i + 1]);
        }
        return _mm256_permutevar8x32_epi32(k_avx2_fold4(u[0], u[1], u[2], u[3]), order);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        if (half && i >= 4) {
            u[i] = _mm256_setzero_si256();
        } else if (shape == K_AVX2_4X64) {
            u[i] = K_AVX_DOT4(k_avx2_load(p, n_bytes, i), x[2 * i], x[2 * i + 1]);
        } else if (shape == K_AVX2_8X32) {
            u[i] = K_AVX_DOT8(k_avx2_load(p, n_bytes, i), x[i]);
        } else {
            u[i] = _mm256_add_epi32(K_AVX_DOT8(k_avx2_load(p, n_bytes, 2 * i), x[2 * i]),
                                    K_AVX_DOT8(k_avx2_load(p, n_bytes, 2 * i + 1), x[2 * i + 1]));
        }
    }
    return K_AVX(fold8)(u);
}

/* Sums of activations times K_AVX_OFFSET, one per block of a chunk. */
K_INLINE __m256i K_AVX(offsets)(enum k_avx2_shape shape, const __m256i *x) {
    const __m256i one = _mm256_set1_epi8(1), factor = _mm256_set1_epi16(K_AVX_OFFSET);
    __m256i u[8];
    for (int i = 0; i < 8; i++) {
        __m256i v = shape == K_AVX2_8X32
                        ? _mm256_maddubs_epi16(one, x[i])
                        : _mm256_add_epi16(_mm256_maddubs_epi16(one, x[2 * i]),
                                           _mm256_maddubs_epi16(one, x[2 * i + 1]));
        u[i] = _mm256_madd_epi16(v, factor);
    }
    return K_AVX(fold8)(u);
}

/* Zeros up to a whole chunk. */
static void K_AVX(order)(enum k_avx2_shape shape, const struct k_input *in, int64_t token,
                         struct K_AVX(token) *out) {
    const uint8_t *q = (const uint8_t *)in->q + token * k_form_stride(in->cols);
    const int block = shape == K_AVX2_4X32 || shape == K_AVX2_8X32 ? 32 : 64, chunk = 8 * block;
    __m256i *x = out->x;
    for (int64_t c = 0, b = 0; c < in->cols; c += chunk, b++, q += chunk, x += chunk / 32) {
        int n = in->cols - c < chunk ? (int)(in->cols - c) : chunk;
        for (int i = 0; i < chunk / 32; i += 2) {
            __m256i x0 = k_avx2_load(q, n, i), x1 = k_avx2_load(q, n, i + 1);
            x[i] = shape == K_AVX2_4X32 ? _mm256_permute2x128_si256(x0, x1, 0x20)
                                        : x0; /* all even, all odd */
            x[i + 1] = shape == K_AVX2_4X32 ? _mm256_permute2x128_si256(x0, x1, 0x31) : x1;
        }
        if (K_AVX_OFFSET != 0 && (shape == K_AVX2_8X32 || shape == K_AVX2_8X64)) {
            out->offset[b] = K_AVX(offsets)(shape, x);
        }
    }
    int64_t n_blocks = in->cols / block;
    for (int64_t b = 0; b < n_blocks; b += 8) {
        _mm256_storeu_ps(out->d + b, k_avx2_load_f32(in->d + token * n_blocks + b, n_blocks - b));
        _mm256_storeu_ps(out->s + b, k_avx2_load_f32(in->s + token * n_blocks + b, n_blocks - b));
    }
}

/* n blocks of two rows from block b (a multiple of 8); lane[r] is row r's. Behind a row that is
 * shorter than its chunk the next row is read, against zero activations, unless the matrix ends
 * there. */
K_INLINE void K_AVX(pair_chunk)(enum k_avx2_shape shape, bool full, bool half,
                                const struct k_matrix *w, const int64_t rows[2], int64_t b, int n,
                                const struct K_AVX(token) *token, __m256 lane[2]) {
    const int block = shape == K_AVX2_4X32 || shape == K_AVX2_8X32 ? 32 : 64;
    const bool four = shape == K_AVX2_4X32 || shape == K_AVX2_4X64,
               twice = block == 64 && w->group > block;
    int64_t n_groups = w->cols / w->group, size = w->scale_format == K_F32 ? 4 : 2,
            g = b / (w->group / block);
    int64_t from = b * block * w->bits / 8;
    const __m256 d = _mm256_loadu_ps(token->d + b), s = _mm256_loadu_ps(token->s + b);
    const __m256i *x = token->x + b * block / 32;
#pragma GCC unroll 2
    for (int r = 0; r < 2; r++) {
        _Alignas(32) uint8_t codes[512];
        const uint8_t *p = w->data + (size_t)rows[r] * w->row_bytes + from;
        bool whole = full || (w->rows - rows[r]) * (int64_t)w->row_bytes - from >= 512;
        if (!four && w->bits != 8) {
            k_avx2_unpack(p, w->bits, n * block, codes);
            p = codes;
            whole = true;
        }
        __m256i sum = whole ? K_AVX(sums)(shape, half, p, INT_MAX, x)
                            : K_AVX(sums)(shape, half, p, four ? n * block / 2 : n * block, x);
        if (K_AVX_OFFSET != 0 && !four) {
            sum = _mm256_add_epi32(sum, token->offset[b / 8]);
        }
        int64_t at = rows[r] * n_groups + g, left = (w->rows * n_groups - at) * size;
        __m256 scale = k_avx2_scales(w->scales + at * size, left, w->scale_format, twice,
                                     twice ? (n + 1) / 2 : n);
        __m256 bias = k_avx2_scales(w->biases + at * size, left, w->scale_format, twice,
                                    twice ? (n + 1) / 2 : n);
        if (!full) { /* what follows the row may be anything, NaN too */
            scale = _mm256_and_ps(scale, _mm256_castsi256_ps(k_avx2_mask(n)));
            bias = _mm256_and_ps(bias, _mm256_castsi256_ps(k_avx2_mask(n)));
        }
        lane[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(scale, d), lane[r]);
        lane[r] = _mm256_fmadd_ps(bias, s, lane[r]);
    }
}

/* One chunk of two rows from codes p, scales and biases; what lies behind n < 8 blocks is read and
 * masked out. A width whose codes need no unpacking. */
K_INLINE void K_AVX(whole_chunk)(enum k_avx2_shape shape, enum k_format format, const int n,
                                 const bool half, __m256i mask, const uint8_t *const p[2],
                                 const uint8_t *const scales[2], const uint8_t *const biases[2],
                                 const struct K_AVX(token) *token, int64_t b, __m256 lane[2]) {
    const int block = shape == K_AVX2_4X32 || shape == K_AVX2_8X32 ? 32 : 64;
    const bool four = shape == K_AVX2_4X32 || shape == K_AVX2_4X64;
    const __m256 d = _mm256_loadu_ps(token->d + b), s = _mm256_loadu_ps(token->s + b);
#pragma GCC unroll 2
    for (int r = 0; r < 2; r++) {
        __m256i sum = K_AVX(sums)(shape, half, p[r], INT_MAX, token->x + b * block / 32);
        if (K_AVX_OFFSET != 0 && !four) {
            sum = _mm256_add_epi32(sum, token->offset[b / 8]);
        }
        __m256 scale = k_avx2_scales(scales[r], INT64_MAX, format, false, n),
               bias = k_avx2_scales(biases[r], INT64_MAX, format, false, n);
        if (n < K_LANES) {
            scale = _mm256_and_ps(scale, _mm256_castsi256_ps(mask));
            bias = _mm256_and_ps(bias, _mm256_castsi256_ps(mask));
        }
        lane[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(scale, d), lane[r]);
        lane[r] = _mm256_fmadd_ps(bias, s, lane[r]);
    }
}

/* Rows row and row + 1 of half-precision scales, one per block, behind which the matrix goes on
 * (pair_is_inside): no look at formats and ends on the way. */
K_INLINE void K_AVX(pair_inside)(enum k_avx2_shape shape, enum k_format format,
                                 const struct k_matrix *w, int64_t row,
                                 const struct K_AVX(token) *token, float *lanes) {
    const int block = shape == K_AVX2_4X32 || shape == K_AVX2_8X32 ? 32 : 64;
    const int step = shape == K_AVX2_4X32 || shape == K_AVX2_4X64 ? 4 * block : 8 * block;
    int64_t n_blocks = w->cols / block, b = 0, at = 2 * row * n_blocks;
    const uint8_t *p[2] = { w->data + (size_t)row * w->row_bytes,
                            w->data + (size_t)(row + 1) * w->row_bytes };
    const uint8_t *scales[2] = { w->scales + at, w->scales + at + 2 * n_blocks };
    const uint8_t *biases[2] = { w->biases + at, w->biases + at + 2 * n_blocks };
    const uint8_t *ahead = p[0] + K_AVX2_AHEAD;
    __m256 lane[2] = { _mm256_setzero_ps(), _mm256_setzero_ps() };
    for (; b + K_LANES <= n_blocks; b += K_LANES, ahead += 2 * step) {
#pragma GCC unroll 16
        for (int i = 0; i < 2 * step; i += 64) {
            _mm_prefetch((const char *)ahead + i, _MM_HINT_T0);
        }
        K_AVX(whole_chunk)(shape, format, K_LANES, false, _mm256_setzero_si256(), p, scales, biases,
                           token, b, lane);
#pragma GCC unroll 2
        for (int r = 0; r < 2; r++) {
            p[r] += step;
            scales[r] += 2 * K_LANES;
            biases[r] += 2 * K_LANES;
        }
    }
    if (b < n_blocks) {
        __m256i mask = k_avx2_mask(n_blocks - b);
        if (n_blocks - b <= K_LANES / 2) {
            K_AVX(whole_chunk)(shape, format, 1, true, mask, p, scales, biases, token, b, lane);
        } else {
            K_AVX(whole_chunk)(shape, format, 1, false, mask, p, scales, biases, token, b, lane);
        }
    }
    _mm256_store_ps(lanes, lane[0]);
    _mm256_store_ps(lanes + K_LANES, lane[1]);
}

/* May a chunk of codes and of scales be read from anywhere in rows row and row + 1? And are they
 * such as pair_inside takes? */
K_INLINE bool K_AVX(pair_is_inside)(enum k_avx2_shape shape, const struct k_matrix *w,
                                    int64_t row) {
    const int block = shape == K_AVX2_4X32 || shape == K_AVX2_8X32 ? 32 : 64;
    const int bits = shape == K_AVX2_4X32 || shape == K_AVX2_4X64 ? 4 : 8;
    int64_t blocks_behind = (w->rows - row - 2) * (w->cols / block);
    return w->bits == bits && w->group == block && w->scale_format != K_F32 &&
           blocks_behind >= K_LANES;
}

/* Rows row and row + 1 (or the last one twice): 8 and 8 lanes. */
K_INLINE void K_AVX(pair)(enum k_avx2_shape shape, const struct k_matrix *w, int64_t row,
                          int64_t row1, const struct K_AVX(token) *token, float *lanes) {
    const int block = shape == K_AVX2_4X32 || shape == K_AVX2_8X32 ? 32 : 64;
    const int64_t rows[2] = { row, row + 1 < row1 ? row + 1 : row };
    int64_t n_blocks = w->cols / block, b = 0;
    const uint8_t *ahead = w->data + (size_t)row * w->row_bytes + K_AVX2_AHEAD;
    int step = 2 * block * w->bits;                /* bytes of two rows per chunk */
    __m256 lane[2] = { _mm256_setzero_ps(), _mm256_setzero_ps() };
    for (; b + K_LANES <= n_blocks; b += K_LANES, ahead += step) {
        for (int i = 0; i < step; i += 64) {
            _mm_prefetch((const char *)ahead + i, _MM_HINT_T0);
        }
        K_AVX(pair_chunk)(shape, true, false, w, rows, b, K_LANES, token, lane);
    }
    if (n_blocks - b > K_LANES / 2) {
        K_AVX(pair_chunk)(shape, false, false, w, rows, b, (int)(n_blocks - b), token, lane);
    } else if (b < n_blocks) {
        K_AVX(pair_chunk)(shape, false, true, w, rows, b, (int)(n_blocks - b), token, lane);
    }
    _mm256_store_ps(lanes, lane[0]);
    _mm256_store_ps(lanes + K_LANES, lane[1]);
}

/* Rows [row, row1), at most K_AVX2_BAND, of one token. */
K_INLINE void K_AVX(band)(enum k_avx2_shape shape, const struct k_matrix *w, int64_t row,
                          int64_t row1, const struct k_input *in, int64_t token, float *y) {
    struct K_AVX(token) x;
    _Alignas(32) float lanes[K_AVX2_ROWS * K_LANES] = { 0 };
    K_AVX(order)(shape, in, token, &x);
    for (; row < row1; row += K_AVX2_ROWS) {
        for (int64_t i = 0; i < K_AVX2_ROWS && row + i < row1; i += 2) {
            float *pair = lanes + i * K_LANES;
            if (row + i + 1 >= row1 || !K_AVX(pair_is_inside)(shape, w, row + i)) {
                K_AVX(pair)(shape, w, row + i, row1, &x, pair);
            } else if (w->scale_format == K_F16) {
                K_AVX(pair_inside)(shape, K_F16, w, row + i, &x, pair);
            } else {
                K_AVX(pair_inside)(shape, K_BF16, w, row + i, &x, pair);
            }
        }
        _mm256_maskstore_ps(y + row, k_avx2_mask(row1 - row), k_avx2_add_lanes(lanes));
    }
}

static void K_AVX(matvec)(const struct k_matrix *w, int64_t row0, int64_t row1,
                          const struct k_input *in, float *y, int64_t y_stride) {
    bool four = w->bits == 4, narrow = k_form_block(in->form) == 32;
    if (w->cols > K_AVX2_MAX_COLS) {
        k_scalar_ops()->matmul(w, row0, row1, in, y, y_stride);
        return;
    }
    for (int64_t row = row0; row < row1; row += K_AVX2_BAND) {
        int64_t end = row + K_AVX2_BAND < row1 ? row + K_AVX2_BAND : row1;
        for (int64_t t = 0; t < in->n_tokens; t++) {
            float *out = y + t * y_stride;
            if (four && narrow) {
                K_AVX(band)(K_AVX2_4X32, w, row, end, in, t, out);
            } else if (four) {
                K_AVX(band)(K_AVX2_4X64, w, row, end, in, t, out);
            } else if (narrow) {
                K_AVX(band)(K_AVX2_8X32, w, row, end, in, t, out);
            } else {
                K_AVX(band)(K_AVX2_8X64, w, row, end, in, t, out);
            }
        }
    }
}

/* ---- many tokens: a panel -------------------------------------------------------------------- */

/* Lanes [lane0, lane1) of rows [row, row + 8) (the last one repeated behind `last`). */
static void K_AVX(panel_fill)(struct k_avx2_panel *panel, const struct k_matrix *w, int64_t row,
                              int64_t last) {
    const uint8_t *codes[K_AVX2_ROWS];
    int64_t rows[K_AVX2_ROWS];
    int planes = K_AVX_PLANES(w->bits);
    for (int r = 0; r < K_AVX2_ROWS; r++) {
        rows[r] = row + r < last ? row + r : last;
        codes[r] = w->data + (size_t)rows[r] * w->row_bytes;
    }
    for (int64_t b = 0, i = 0; b < panel->n_blocks; b += K_LANES, i++) {
        int n = panel->n_blocks - b < K_LANES ? (int)(panel->n_blocks - b) : K_LANES;
        __m256 scales[8], biases[8];
        k_avx2_panel_scales(w, w->scales, rows, b, panel->block, n, scales);
        k_avx2_panel_scales(w, w->biases, rows, b, panel->block, n, biases);
        for (int lane = panel->lane0; lane < panel->lane1 && lane < n; lane++) {
            int64_t at = (lane - panel->lane0) * panel->per_lane + i;
            k_avx2_panel_block(w, codes, b + lane, panel->block, planes,
                               panel->codes + at * panel->block * planes * K_AVX2_ROWS);
            _mm256_store_ps(panel->scales[at], scales[lane]);
            _mm256_store_ps(panel->biases[at], biases[lane]);
        }
    }
}

/* n tokens (a constant after inlining) against the panel; totals so far are in y unless lane0 is
 * 0. */
K_INLINE void K_AVX(panel_tokens)(const struct k_avx2_panel *panel, const struct k_input *in,
                                  int64_t token, const int n, const int block, const int planes,
                                  float *y, int64_t y_stride, __m256i rows) {
    int64_t stride = k_form_stride(in->cols), n_blocks = panel->n_blocks;
    const int8_t *q = in->q + token * stride;
    const float *d = in->d + token * n_blocks, *s = in->s + token * n_blocks;
    __m256 total[4];
#pragma GCC unroll 4
    for (int t = 0; t < n; t++) {
        total[t] =
            panel->lane0 == 0 ? _mm256_setzero_ps() : _mm256_maskload_ps(y + t * y_stride, rows);
    }
    for (int lane = panel->lane0; lane < panel->lane1; lane++) {
        int64_t at = (lane - panel->lane0) * panel->per_lane;
        const uint8_t *codes = panel->codes + at * block * planes * K_AVX2_ROWS;
        __m256 acc[4];
#pragma GCC unroll 4
        for (int t = 0; t < n; t++) {
            acc[t] = _mm256_setzero_ps();
        }
        for (int64_t b = lane; b < n_blocks; b += K_LANES, at++) {
            __m256i sum[4];
            K_AVX_STEPS(codes, q + b * block, stride, n, block, planes, sum);
            codes += block * planes * K_AVX2_ROWS;
            __m256 scale = _mm256_load_ps(panel->scales[at]),
                   bias = _mm256_load_ps(panel->biases[at]);
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

K_INLINE void K_AVX(panel_all)(const struct k_avx2_panel *panel, const struct k_input *in,
                               const int block, const int planes, float *y, int64_t y_stride,
                               __m256i rows) {
    int64_t t = 0, n = in->n_tokens;
    for (; t + 4 <= n; t += 4) {
        K_AVX(panel_tokens)(panel, in, t, 4, block, planes, y + t * y_stride, y_stride, rows);
    }
    for (; t < n; t++) {
        K_AVX(panel_tokens)(panel, in, t, 1, block, planes, y + t * y_stride, y_stride, rows);
    }
}

static void K_AVX(matmul_q)(const struct k_matrix *w, int64_t row0, int64_t row1,
                            const struct k_input *in, float *y, int64_t y_stride) {
    struct k_avx2_panel panel;
    int planes = K_AVX_PLANES(w->bits);
    panel.block = k_form_block(in->form);
    panel.n_blocks = w->cols / panel.block;
    panel.per_lane = (panel.n_blocks + K_LANES - 1) / K_LANES;
    int64_t lane_bytes = panel.per_lane * panel.block * planes * K_AVX2_ROWS;
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

static void K_AVX(matmul)(const struct k_matrix *w, int64_t row0, int64_t row1,
                          const struct k_input *in, float *y, int64_t y_stride) {
    MLXK_ASSERT(in->cols == w->cols && 0 <= row0 && row1 <= w->rows);
    if (in->form == K_FORM_FLOAT) {
        k_avx2_matmul_float(w, row0, row1, in, y, y_stride);
        return;
    }
    MLXK_ASSERT(w->format == K_AFFINE && in->form == k_input_form(w));
    K_AVX(matmul_q)(w, row0, row1, in, y, y_stride);
}
