/* k_scalar_ops.c: everything between the matrix products, in plain C: norms, rotation, activations,
 * attention, choice.
 *
 * Sums are taken in f64 and functions from the C library, so that these bodies can judge the
 * others.
 * 1. A position outside a row's [lo, hi) contributes nothing, not even a rounding.
 * 2. m = -inf means "nothing seen yet" and goes with l = 0 and acc = 0.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

static float k_weight(const float *w, float w_add, int64_t i) {
    return w != NULL ? w[i] + w_add : 1.0f;
}

static void k_rms_norm_scalar(float *y, const float *x, const float *w, float w_add, int64_t n,
                              float eps) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    float r = n > 0 ? (float)(1.0 / sqrt(sum / (double)n + (double)eps)) : 0.0f;
    for (int64_t i = 0; i < n; i++) {
        y[i] = x[i] * r * k_weight(w, w_add, i);
    }
}

static void k_layer_norm_scalar(float *y, const float *x, const float *w, float w_add,
                                const float *b, int64_t n, float eps) {
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i];
    }
    double mean = n > 0 ? sum / (double)n : 0;
    for (int64_t i = 0; i < n; i++) {
        square += ((double)x[i] - mean) * ((double)x[i] - mean);
    }
    float r = n > 0 ? (float)(1.0 / sqrt(square / (double)n + (double)eps)) : 0.0f;
    for (int64_t i = 0; i < n; i++) {
        y[i] = (float)((double)x[i] - mean) * r * k_weight(w, w_add, i) + (b != NULL ? b[i] : 0.0f);
    }
}

static void k_rope_scalar(float *x, const float *cos, const float *sin, int n_rot,
                          bool traditional) {
    int half = n_rot / 2;
    for (int j = 0; j < half; j++) {
        float *p = traditional ? x + 2 * j : x + j;
        float *q = traditional ? p + 1 : x + j + half;
        float a = *p, b = *q;
        *p = a * cos[j] - b * sin[j];
        *q = a * sin[j] + b * cos[j];
    }
}

static void k_add_scalar(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        y[i] += x[i];
    }
}

static void k_scale_scalar(float *y, float f, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        y[i] *= f;
    }
}

static void k_silu_mul_scalar(float *y, const float *gate, const float *up, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float g = gate[i];
        y[i] = g / (1.0f + expf(-g)) * up[i];
    }
}

static void k_gelu_mul_scalar(float *y, const float *gate, const float *up, int64_t n) {
    const float root = 0.7978845608028654f;        /* sqrt(2 / pi) */
    for (int64_t i = 0; i < n; i++) {
        float g = gate[i];
        y[i] = 0.5f * g * (1.0f + tanhf(root * (g + 0.044715f * g * g * g))) * up[i];
    }
}

static void k_f32_to_f16_scalar(uint16_t *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        y[i] = num_f32_to_f16(x[i]);
    }
}

/* ---- attention ------------------------------------------------------------------------------- */

static float k_attend_score(const struct k_attend *a, const float *q, int32_t pos) {
    const uint8_t *k = (const uint8_t *)a->k +
                       (size_t)pos * (size_t)a->kv_stride * (a->kv_format == K_F32 ? 4 : 2);
    double sum = 0;
    for (int i = 0; i < a->dim_k; i++) {
        sum += (double)q[i] * (double)k_load(k, a->kv_format, i);
    }
    float score = (float)sum * a->scale;
    return a->softcap != 0 ? a->softcap * tanhf(score / a->softcap) : score;
}

static void k_attend_row_scalar(const struct k_attend *a, int row, int32_t pos0, int32_t pos1,
                                float *m, float *l, float *acc) {
    int32_t lo = a->row_lo[row] > pos0 ? a->row_lo[row] : pos0;
    int32_t hi = a->row_hi[row] < pos1 ? a->row_hi[row] : pos1;
    float score[K_ATTEND_BLOCK], max = -INFINITY;
    double sum = 0, out[K_MAX_DIM_HEAD] = { 0 };
    for (int32_t p = lo; p < hi; p++) {
        score[p - pos0] = k_attend_score(a, a->q + row * a->q_stride, p);
        max = score[p - pos0] > max ? score[p - pos0] : max;
    }
    for (int32_t p = lo; p < hi; p++) {
        float f = expf(score[p - pos0] - max);
        const uint8_t *v = (const uint8_t *)a->v +
                           (size_t)p * (size_t)a->kv_stride * (a->kv_format == K_F32 ? 4 : 2);
        sum += (double)f;
        for (int i = 0; i < a->dim_v; i++) {
            out[i] += (double)f * (double)k_load(v, a->kv_format, i);
        }
    }
    *m = max;
    *l = (float)sum;
    for (int i = 0; i < a->dim_v; i++) {
        acc[i] = (float)out[i];
    }
}

static void k_attend_block_scalar(const struct k_attend *a, int32_t pos0, int32_t pos1, float *m,
                                  float *l, float *acc) {
    MLXK_ASSERT(pos1 - pos0 <= K_ATTEND_BLOCK && a->dim_k <= K_MAX_DIM_HEAD &&
                a->dim_v <= K_MAX_DIM_HEAD);
    for (int row = 0; row < a->n_rows; row++) {
        k_attend_row_scalar(a, row, pos0, pos1, m + row, l + row, acc + (int64_t)row * a->dim_v);
    }
}

static void k_attend_merge_scalar(float *m, float *l, float *acc, const float *m2, const float *l2,
                                  const float *acc2, int n_rows, int dim_v) {
    for (int row = 0; row < n_rows; row++, acc += dim_v, acc2 += dim_v) {
        if (m2[row] == -INFINITY) {
            continue;
        }
        float max = m[row] > m2[row] ? m[row] : m2[row];
        float f = m[row] == -INFINITY ? 0.0f : expf(m[row] - max), f2 = expf(m2[row] - max);
        m[row] = max;
        l[row] = l[row] * f + l2[row] * f2;
        for (int i = 0; i < dim_v; i++) {
            acc[i] = acc[i] * f + acc2[i] * f2;
        }
    }
}

/* ---- choice ---------------------------------------------------------------------------------- */

static int64_t k_argmax_scalar(const float *x, int64_t n) {
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(x[i]) && (best < 0 || x[i] > x[best])) {
            best = i;
        }
    }
    return best;
}

static void k_softmax_scalar(float *x, int64_t n) {
    float max = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    for (int64_t i = 0; i < n; i++) {
        x[i] = x[i] == -INFINITY ? 0.0f : expf(x[i] - max);
        sum += (double)x[i];
    }
    float r = sum > 0 ? (float)(1.0 / sum) : 0.0f;
    for (int64_t i = 0; i < n; i++) {
        x[i] *= r;
    }
}

MLXK_FN void k_scalar_ops_fill(struct k_ops *o) {
    o->rms_norm = k_rms_norm_scalar;
    o->layer_norm = k_layer_norm_scalar;
    o->rope = k_rope_scalar;
    o->add = k_add_scalar;
    o->scale = k_scale_scalar;
    o->silu_mul = k_silu_mul_scalar;
    o->gelu_mul = k_gelu_mul_scalar;
    o->f32_to_f16 = k_f32_to_f16_scalar;
    o->attend_block = k_attend_block_scalar;
    o->attend_merge = k_attend_merge_scalar;
    o->argmax = k_argmax_scalar;
    o->softmax = k_softmax_scalar;
}
