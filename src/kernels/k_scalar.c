/* k_scalar.c: matrix products and activation quantising in plain C: the truth other tables are
 * tested with.
 *
 * 1. Integer path: per block I = sum of code * xq, exact in int32; lane = block mod K_LANES;
 *    lane = fma(I, scale * d, lane), then lane = fma(bias, s, lane); y = lanes added in order.
 *    Every table does exactly this, so integer products have the same bits on every machine.
 * 2. Float path: f32 products, four f64 lanes (column mod 4), added as (0 + 1) + (2 + 3).
 * 3. Rows and tokens are independent: a slice or a batch changes no bit.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

enum {
    K_SCALAR_TOKENS = 16,        /* tokens that share one unpacking of a block */
    K_SCALAR_COLS = 512,         /* columns dequantised at a time on the float path */
};

static void k_quantize_scalar_block(bool split, const float *x, int n, int block, int8_t *q,
                                    float *d, float *s) {
    float amax = 0;
    bool finite = true;
    for (int i = 0; i < n; i++) {
        float a = fabsf(x[i]);
        finite = finite && a <= 3.402823466e+38f;
        amax = a > amax ? a : amax;
    }
    float step = finite ? amax / 127.0f : 0.0f;
    int32_t sum = 0;
    memset(q, 0, (size_t)block);
    for (int i = 0; i < n && step > 0; i++) {
        float v = rintf(x[i] / step);
        v = v > 127.0f ? 127.0f : v < -127.0f ? -127.0f : v; /* only a subnormal step needs this */
        int at = !split ? i : (i % 2 == 0 ? i / 2 : block / 2 + i / 2);
        q[at] = (int8_t)v;
        sum += (int32_t)v;
    }
    *d = step;
    *s = step * (float)sum;
}

static void k_quantize_scalar(enum k_form form, const float *x, int64_t cols, int8_t *q, float *d,
                              float *s) {
    int block = k_form_block(form);
    int64_t n_blocks = k_form_blocks(form, cols);
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t left = cols - b * block;
        k_quantize_scalar_block(k_form_split(form), x + b * block, left < block ? (int)left : block,
                                block, q + b * block, d + b, s + b);
    }
    int64_t written = n_blocks * block;
    memset(q + written, 0, (size_t)(k_form_stride(cols) - written));
}

/* ---- integer path ---------------------------------------------------------------------------- */

/* Codes of block b in the order of the activations' form. */
static void k_scalar_codes(const struct k_matrix *w, int64_t row, int64_t b, int block, bool split,
                           uint8_t *out) {
    uint8_t codes[64];
    k_unpack(w->data + (size_t)row * w->row_bytes, w->bits, b * block, block, codes);
    for (int i = 0; i < block; i++) {
        int at = !split ? i : (i % 2 == 0 ? i / 2 : block / 2 + i / 2);
        out[at] = codes[i];
    }
}

static int32_t k_scalar_dot(const uint8_t *codes, const int8_t *q, int n) {
    int32_t sum = 0;
    for (int i = 0; i < n; i++) {
        sum += (int32_t)codes[i] * q[i];
    }
    return sum;
}

/* One row, at most K_SCALAR_TOKENS tokens from t0. */
static void k_scalar_row(const struct k_matrix *w, int64_t row, const struct k_input *in,
                         int64_t t0, int n_tokens, float *y, int64_t y_stride) {
    int block = k_form_block(in->form);
    bool split = k_form_split(in->form);
    int64_t n_blocks = w->cols / block, stride = k_form_stride(in->cols);
    float lanes[K_SCALAR_TOKENS][K_LANES] = { { 0 } };
    for (int64_t b = 0; b < n_blocks; b++) {
        uint8_t codes[64];
        k_scalar_codes(w, row, b, block, split, codes);
        float scale = k_block_scale(w, w->scales, row, b, block);
        float bias = k_block_scale(w, w->biases, row, b, block);
        for (int t = 0; t < n_tokens; t++) {
            int64_t at = (t0 + t) * n_blocks + b;
            int32_t sum = k_scalar_dot(codes, in->q + (t0 + t) * stride + b * block, block);
            float *lane = &lanes[t][b % K_LANES];
            *lane = fmaf((float)sum, scale * in->d[at], *lane);
            *lane = fmaf(bias, in->s[at], *lane);
        }
    }
    for (int t = 0; t < n_tokens; t++) {
        float sum = lanes[t][0];
        for (int i = 1; i < K_LANES; i++) {
            sum += lanes[t][i];
        }
        y[(t0 + t) * y_stride + row] = sum;
    }
}

/* ---- float path ------------------------------------------------------------------------------ */

/* One row, at most K_SCALAR_TOKENS tokens from t0; the row is dequantised once for all of them. */
static void k_scalar_row_float(const struct k_matrix *w, int64_t row, const struct k_input *in,
                               int64_t t0, int n_tokens, float *y, int64_t y_stride) {
    double lanes[K_SCALAR_TOKENS][4] = { { 0 } };
    for (int64_t c0 = 0; c0 < w->cols; c0 += K_SCALAR_COLS) {
        float part[K_SCALAR_COLS];
        int n = (int)(w->cols - c0 < K_SCALAR_COLS ? w->cols - c0 : K_SCALAR_COLS);
        k_dequantize(w, row, c0, n, part);
        for (int t = 0; t < n_tokens; t++) {
            const float *x = in->x + (t0 + t) * in->x_stride + c0;
            double *lane = lanes[t];
            int i = 0;
            for (; i + 4 <= n; i += 4) {
                lane[0] += (double)(part[i] * x[i]);
                lane[1] += (double)(part[i + 1] * x[i + 1]);
                lane[2] += (double)(part[i + 2] * x[i + 2]);
                lane[3] += (double)(part[i + 3] * x[i + 3]);
            }
            for (; i < n; i++) {
                lane[i % 4] += (double)(part[i] * x[i]);
            }
        }
    }
    for (int t = 0; t < n_tokens; t++) {
        y[(t0 + t) * y_stride + row] =
            (float)((lanes[t][0] + lanes[t][1]) + (lanes[t][2] + lanes[t][3]));
    }
}

static void k_matmul_scalar(const struct k_matrix *w, int64_t row0, int64_t row1,
                            const struct k_input *in, float *y, int64_t y_stride) {
    MLXK_ASSERT(in->cols == w->cols && 0 <= row0 && row1 <= w->rows);
    bool is_float = in->form == K_FORM_FLOAT;
    MLXK_ASSERT(is_float || (w->format == K_AFFINE && w->group % k_form_block(in->form) == 0));
    for (int64_t row = row0; row < row1; row++) {
        for (int64_t t = 0; t < in->n_tokens; t += K_SCALAR_TOKENS) {
            int n = (int)(in->n_tokens - t < K_SCALAR_TOKENS ? in->n_tokens - t : K_SCALAR_TOKENS);
            if (is_float) {
                k_scalar_row_float(w, row, in, t, n, y, y_stride);
            } else {
                k_scalar_row(w, row, in, t, n, y, y_stride);
            }
        }
    }
}

static void k_dequantize_row_scalar(const struct k_matrix *w, int64_t row, float *out) {
    MLXK_ASSERT(row >= 0 && row < w->rows);
    k_dequantize(w, row, 0, w->cols, out);
}

MLXK_FN void k_scalar_fill(struct k_ops *o) {
    o->input_form = k_input_form;
    o->quantize = k_quantize_scalar;
    o->matmul = k_matmul_scalar;
    o->matmul_exact = k_matmul_scalar;
    o->dequantize_row = k_dequantize_row_scalar;
}
