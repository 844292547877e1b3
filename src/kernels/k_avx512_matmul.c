/* k_avx512_matmul.c: affine matrix times many tokens (AVX-512 VNNI).
 *
 * 16 rows are unpacked once into a panel on the stack, [lane][block][4 columns][16 rows][4 codes],
 * and used for all tokens of the call: one vpdpbusd multiplies 4 columns of 16 rows with 4
 * broadcast activations. Eight tokens share every panel vector.
 *
 * 1. A vector lane is a matrix row, so sums need no folding; the contract's lanes (block mod 8) are
 *    walked one after the other, each with its own accumulator: the same bits as k_avx512_matvec.
 * 2. The panel holds as many contract lanes as fit; running totals stay in y between panels.
 * 3. A row too long for one lane's panel (more than 32,768 columns), and few tokens, go to matvec.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__x86_64__)

#include "kernels/k_avx512_int.h"

enum {
    K_AVX512_PANEL_ROWS = 16,
    K_AVX512_PANEL_BYTES = 65536,                  /* hard bound: one lane of 32,768 columns */
    K_AVX512_PANEL_AIM = 32768,                    /* what stays near the core */
    K_AVX512_PANEL_BLOCKS = K_AVX512_PANEL_BYTES / (32 * K_AVX512_PANEL_ROWS),
    K_AVX512_FEW_TOKENS = 3,                       /* fewer than this: matvec */
};

struct k_avx512_panel {
    _Alignas(64) uint8_t codes[K_AVX512_PANEL_BYTES];
    _Alignas(64) float scales[K_AVX512_PANEL_BLOCKS][K_AVX512_PANEL_ROWS];
    _Alignas(64) float biases[K_AVX512_PANEL_BLOCKS][K_AVX512_PANEL_ROWS];
    int lane0, lane1;                              /* contract lanes in this panel */
    int64_t n_blocks, per_lane;                    /* blocks of a row, and of a lane at most */
    int block;
};

K_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")

/* 16 bytes of each of 16 rows -> four vectors; vector i holds dword i of every row. */
K_INLINE void k_avx512_rows16(const uint8_t *const *rows, size_t at, __m512i out[4]) {
    __m512i z[4], t[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {                  /* rows i, i+4, i+8, i+12 */
        const __m128i *p0 = (const __m128i *)(const void *)(rows[i] + at);
        const __m128i *p1 = (const __m128i *)(const void *)(rows[i + 4] + at);
        const __m128i *p2 = (const __m128i *)(const void *)(rows[i + 8] + at);
        const __m128i *p3 = (const __m128i *)(const void *)(rows[i + 12] + at);
        __m256i lo = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(p0)),
                                             _mm_loadu_si128(p1), 1);
        __m256i hi = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(p2)),
                                             _mm_loadu_si128(p3), 1);
        z[i] = _mm512_inserti64x4(_mm512_castsi256_si512(lo), hi, 1);
    }
    t[0] = _mm512_unpacklo_epi32(z[0], z[1]);
    t[1] = _mm512_unpackhi_epi32(z[0], z[1]);
    t[2] = _mm512_unpacklo_epi32(z[2], z[3]);
    t[3] = _mm512_unpackhi_epi32(z[2], z[3]);
    out[0] = _mm512_unpacklo_epi64(t[0], t[2]);
    out[1] = _mm512_unpackhi_epi64(t[0], t[2]);
    out[2] = _mm512_unpacklo_epi64(t[1], t[3]);
    out[3] = _mm512_unpackhi_epi64(t[1], t[3]);
}

/* Block b of 16 rows into the panel, in the order of the activations (split halves for 4 bits). */
static void k_avx512_panel_block(const struct k_matrix *w, const uint8_t *const *rows, int64_t b,
                                 int block, uint8_t *out) {
    const __m512i low = _mm512_set1_epi8(15);
    __m512i v[4];
    if (w->bits == 4) {
        for (int i = 0; i < block / 32; i++) {
            k_avx512_rows16(rows, (size_t)(b * block / 2 + 16 * i), v);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) {
                _mm512_store_si512(out + 64 * (4 * i + j), _mm512_and_si512(v[j], low));
                _mm512_store_si512(out + 64 * (4 * i + j) + 8 * block,
                                   _mm512_and_si512(_mm512_srli_epi16(v[j], 4), low));
            }
        }
        return;
    }
    uint8_t codes[K_AVX512_PANEL_ROWS][64];
    const uint8_t *p[K_AVX512_PANEL_ROWS];
    size_t at = w->bits == 8 ? (size_t)(b * block) : 0;
    for (int r = 0; r < K_AVX512_PANEL_ROWS; r++) {
        p[r] = rows[r];
        if (w->bits != 8) {
            k_avx512_unpack(rows[r] + b * block * w->bits / 8, w->bits, block, codes[r]);
            p[r] = codes[r];
        }
    }
    for (int i = 0; i < block / 16; i++) {
        k_avx512_rows16(p, at + (size_t)(16 * i), v);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            _mm512_store_si512(out + 64 * (4 * i + j), v[j]);
        }
    }
}

/* Scales (or biases) of 16 rows of blocks [b, b + 8), n of which exist: column k is block b + k. */
K_INLINE void k_avx512_panel_scales(const struct k_matrix *w, const uint8_t *p, const int64_t *rows,
                                    int64_t b, int block, int n, __m512 out[8]) {
    int64_t n_groups = w->cols / w->group, g = b / (w->group / block),
            size = w->scale_format == K_F32 ? 4 : 2;
    for (int i = 0; i < 8; i++) {
        int r = i < 4 ? i : i + 4;
        const uint8_t *p0 = p + (rows[r] * n_groups + g) * size,
                      *p1 = p + (rows[r + 4] * n_groups + g) * size;
        out[i] = k_avx512_scales(p0, p1, w->scale_format, w->group > block, n, false);
    }
    k_avx512_columns(out);
}

/* Lanes [lane0, lane1) of rows [row, row + 16) (the last one repeated behind `last`). */
static void k_avx512_panel_fill(struct k_avx512_panel *panel, const struct k_matrix *w, int64_t row,
                                int64_t last) {
    const uint8_t *codes[K_AVX512_PANEL_ROWS];
    int64_t rows[K_AVX512_PANEL_ROWS];
    for (int r = 0; r < K_AVX512_PANEL_ROWS; r++) {
        rows[r] = row + r < last ? row + r : last;
        codes[r] = w->data + (size_t)rows[r] * w->row_bytes;
    }
    for (int64_t b = 0, i = 0; b < panel->n_blocks; b += K_LANES, i++) {
        int n = panel->n_blocks - b < K_LANES ? (int)(panel->n_blocks - b) : K_LANES;
        __m512 scales[8], biases[8];
        k_avx512_panel_scales(w, w->scales, rows, b, panel->block, n, scales);
        k_avx512_panel_scales(w, w->biases, rows, b, panel->block, n, biases);
        for (int lane = panel->lane0; lane < panel->lane1 && lane < n; lane++) {
            int64_t at = (lane - panel->lane0) * panel->per_lane + i;
            k_avx512_panel_block(w, codes, b + lane, panel->block,
                                 panel->codes + at * panel->block * K_AVX512_PANEL_ROWS);
            _mm512_store_ps(panel->scales[at], scales[lane]);
            _mm512_store_ps(panel->biases[at], biases[lane]);
        }
    }
}

/* n tokens (a constant after inlining) against the panel; totals so far are in y unless lane0 is
 * 0. */
K_INLINE void k_avx512_panel_tokens(const struct k_avx512_panel *panel, const struct k_input *in,
                                    int64_t token, const int n, const int block, float *y,
                                    int64_t y_stride, __mmask16 rows) {
    const int8_t *q = in->q + token * k_form_stride(in->cols);
    const float *d = in->d + token * panel->n_blocks, *s = in->s + token * panel->n_blocks;
    int64_t stride = k_form_stride(in->cols), n_blocks = panel->n_blocks;
    __m512 total[8];
#pragma GCC unroll 8
    for (int t = 0; t < n; t++) {
        total[t] =
            panel->lane0 == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(rows, y + t * y_stride);
    }
    for (int lane = panel->lane0; lane < panel->lane1; lane++) {
        int64_t at = (lane - panel->lane0) * panel->per_lane;
        const uint8_t *codes = panel->codes + at * block * K_AVX512_PANEL_ROWS;
        __m512 acc[8];
#pragma GCC unroll 8
        for (int t = 0; t < n; t++) {
            acc[t] = _mm512_setzero_ps();
        }
        for (int64_t b = lane; b < n_blocks; b += K_LANES, at++) {
            __m512i sum[8];
#pragma GCC unroll 8
            for (int t = 0; t < n; t++) {
                sum[t] = _mm512_setzero_si512();
            }
            for (int i = 0; i < block; i += 4, codes += 64) {
                __m512i v = _mm512_load_si512(codes);
#pragma GCC unroll 8
                for (int t = 0; t < n; t++) {
                    int32_t four;
                    memcpy(&four, q + t * stride + b * block + i, 4);
                    sum[t] = _mm512_dpbusd_epi32(sum[t], v, _mm512_set1_epi32(four));
                }
            }
            __m512 scale = _mm512_load_ps(panel->scales[at]),
                   bias = _mm512_load_ps(panel->biases[at]);
#pragma GCC unroll 8
            for (int t = 0; t < n; t++) {
                __m512 step = _mm512_mul_ps(scale, _mm512_set1_ps(d[t * n_blocks + b]));
                acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t]), step, acc[t]);
                acc[t] = _mm512_fmadd_ps(bias, _mm512_set1_ps(s[t * n_blocks + b]), acc[t]);
            }
        }
#pragma GCC unroll 8
        for (int t = 0; t < n; t++) {
            total[t] = lane == 0 ? acc[t] : _mm512_add_ps(total[t], acc[t]);
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < n; t++) {
        _mm512_mask_storeu_ps(y + t * y_stride, rows, total[t]);
    }
}

K_INLINE void k_avx512_panel_all(const struct k_avx512_panel *panel, const struct k_input *in,
                                 const int block, float *y, int64_t y_stride, __mmask16 rows) {
    int64_t t = 0, n = in->n_tokens;
    for (; t + 8 <= n; t += 8) {
        k_avx512_panel_tokens(panel, in, t, 8, block, y + t * y_stride, y_stride, rows);
    }
    for (; t + 4 <= n; t += 4) {
        k_avx512_panel_tokens(panel, in, t, 4, block, y + t * y_stride, y_stride, rows);
    }
    for (; t + 2 <= n; t += 2) {
        k_avx512_panel_tokens(panel, in, t, 2, block, y + t * y_stride, y_stride, rows);
    }
    if (t < n) {
        k_avx512_panel_tokens(panel, in, t, 1, block, y + t * y_stride, y_stride, rows);
    }
}

static void k_avx512_matmul_q(const struct k_matrix *w, int64_t row0, int64_t row1,
                              const struct k_input *in, float *y, int64_t y_stride) {
    struct k_avx512_panel panel;
    panel.block = k_form_block(in->form);
    panel.n_blocks = w->cols / panel.block;
    panel.per_lane = (panel.n_blocks + K_LANES - 1) / K_LANES;
    int64_t lane_bytes = panel.per_lane * panel.block * K_AVX512_PANEL_ROWS;
    if (in->n_tokens < K_AVX512_FEW_TOKENS || lane_bytes > K_AVX512_PANEL_BYTES) {
        k_avx512_matvec(w, row0, row1, in, y, y_stride);
        return;
    }
    int n_lanes = lane_bytes * K_LANES <= K_AVX512_PANEL_AIM ? K_LANES
                : lane_bytes * 2 <= K_AVX512_PANEL_AIM ? (int)(K_AVX512_PANEL_AIM / lane_bytes) : 1;
    for (int64_t row = row0; row < row1; row += K_AVX512_PANEL_ROWS) {
        int64_t n = row1 - row;
        __mmask16 rows = k_avx512_first(n);
        for (int lane = 0; lane < K_LANES; lane += n_lanes) {
            panel.lane0 = lane;
            panel.lane1 = lane + n_lanes < K_LANES ? lane + n_lanes : K_LANES;
            k_avx512_panel_fill(&panel, w, row, row1 - 1);
            if (panel.block == 32) {
                k_avx512_panel_all(&panel, in, 32, y + row, y_stride, rows);
            } else {
                k_avx512_panel_all(&panel, in, 64, y + row, y_stride, rows);
            }
        }
    }
}

static void k_matmul_avx512(const struct k_matrix *w, int64_t row0, int64_t row1,
                            const struct k_input *in, float *y, int64_t y_stride) {
    MLXK_ASSERT(in->cols == w->cols && 0 <= row0 && row1 <= w->rows);
    if (in->form == K_FORM_FLOAT) {
        k_avx512_matmul_float(w, row0, row1, in, y, y_stride);
        return;
    }
    MLXK_ASSERT(w->format == K_AFFINE && in->form == k_input_form(w));
    k_avx512_matmul_q(w, row0, row1, in, y, y_stride);
}

K_TARGET_END

MLXK_FN void k_avx512_fill(struct k_ops *o) {
    o->matmul = k_matmul_avx512;
    o->attend_block = k_avx512_attend_block;
}

#endif
