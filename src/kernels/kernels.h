/* kernels.h: numeric functions over plain arrays (level 2).
 *
 * No files, no threads of their own, no model families. One table type with a slot per operation;
 * the scalar table is the truth, other tables fill only the slots they improve and inherit the rest
 * from a named one. Callers split work by rows, positions or tokens; a slot computes exactly the
 * slice it is given.
 *
 * Numerics (a promise of the program): within one table an output element has the same bits
 * whatever the slice, the number of tokens in the call, the thread or the batch. So every slot sums
 * in an order that depends on the element alone:
 *  1. integer path: a block is the run of columns under one activation scale. I[b] = sum over the
 *     block of code * xq is exact in int32 (any order). Eight f32 lanes start at 0; for b
 *     ascending, lane = b mod 8: lane = fma(I[b], scale * d[b], lane), then lane = fma(bias, s[b],
 *     lane), where scale and bias are those of the group that holds b. y = lanes added one after
 *     the other, lane 0 first. Every table does exactly this, and quantize gives the same q, d, s
 *     everywhere: the integer path has the same bits on every machine.
 *  2. float path: f32 products of the dequantised weight with x; scalar (and matmul_exact of every
 *     table): four f64 lanes; others: a fixed lane tree of f32. Tables differ in the last bits.
 *  3. norms, softmax: fixed lane trees; attention: per block of K_ATTEND_BLOCK positions, merged in
 *     order.
 *
 * thread all slots: any thread, concurrently, on disjoint outputs. No allocation anywhere; up to
 * 256 KiB of stack.
 * err    none: sizes are checked by the caller (model room) at load; violations are asserted.
 * ref    engine facts 1.1, 1.2 (formats), 4.4 (integer formulas: bias times the sum of the
 *        QUANTISED activations).
 */
#ifndef MLXK_KERNELS_H
#define MLXK_KERNELS_H

#include "base/base.h"
#include "platform/platform.h"

/* ---- weights --------------------------------------------------------------------------------- */

enum k_format { K_F32, K_F16, K_BF16, K_AFFINE, K_MXFP4, K_MXFP8, K_NVFP4 };

/* A weight matrix W[rows, cols], row-major, mapped and possibly unaligned; borrowed. */
struct k_matrix {
    enum k_format format;
    int bits;                    /* K_AFFINE: 2 3 4 5 6 8; mxfp4, nvfp4: 4; mxfp8: 8; plain: 0 */
    int group;     /* columns per scale: 32 64 128 affine, 32 mx, 16 nvfp4; plain: 0 */
    int64_t rows, cols;          /* cols a multiple of group */
    const uint8_t *data; /* [rows, row_bytes]; quantised: a little-endian bit stream per row, code i
                          * in bits [i*bits, (i+1)*bits) */
    size_t row_bytes;
    /* [rows, cols/group]: scale_format for affine, E8M0 bytes for mx, E4M3 for nvfp4; NULL =
     * plain */
    const uint8_t *scales;
    const uint8_t *biases;       /* [rows, cols/group] scale_format; affine only, NULL otherwise */
    enum k_format scale_format;  /* K_F32 K_F16 K_BF16 */
    float global_scale;          /* nvfp4's tensor factor; 1 otherwise */
};

/* A weight vector (norm weight, layer bias), widened to f32 on load by the model room. */

/* ---- activations ----------------------------------------------------------------------------- */

/* How a matrix wants its input. The engine asks k_ops.input_form per matrix and prepares each form
 * once. */
enum k_form {
    K_FORM_FLOAT,                /* f32 as it is */
    K_FORM_Q32, K_FORM_Q64,      /* int8 per block of 32 / 64 columns, natural order */
    /* the same, each block as [even columns..., odd columns...] (4-bit codes) */
    K_FORM_Q32_SPLIT, K_FORM_Q64_SPLIT,
    K_FORM_COUNT
};
/* Activations X[n_tokens, cols] in one form. q, d, s are NULL for K_FORM_FLOAT, x is NULL
 * otherwise. d[t, block] = amax / 127 (0 when amax is 0), xq = rint(x / d), s[t, block] = d * sum
 * of xq. */
struct k_input {
    enum k_form form;
    int64_t n_tokens, cols;
    const float *x;  int64_t x_stride;       /* elements between tokens */
    int8_t *q;     /* [n_tokens, cols rounded up to 64], 64-byte aligned */
    float *d, *s;                            /* [n_tokens, blocks(form, cols)] */
};
/* scales per token: ceil(cols / block) */
MLXK_FN int64_t k_form_blocks(enum k_form form, int64_t cols);

/* ---- attention ------------------------------------------------------------------------------- */

enum { K_ATTEND_BLOCK = 128 };   /* positions per partial result; blocks begin at multiples of it */

/* Rows of queries that share one key/value head: the query heads of its group, for one or several
 * tokens. */
struct k_attend {
    const void *k, *v; /* [positions, kv_stride elements]: this head's vectors begin at each row */
    enum k_format kv_format;     /* K_F32 or K_F16 */
    int64_t kv_stride;
    int dim_k, dim_v;            /* <= 512, multiples of 2 */
    float scale, softcap;        /* softcap 0 = none: tanh(score / cap) * cap */
    const float *q; int64_t q_stride; int n_rows;
    const int32_t *row_lo, *row_hi;   /* [n_rows] visible positions [lo, hi) */
};

/* ---- the table ------------------------------------------------------------------------------- */

struct k_ops {
    const char *name_cstr;       /* "avx512vnni" */
    const char *note_cstr;       /* CPU family and year, for people */
    const char *parent_cstr;     /* whose slots fill the gaps; NULL for scalar */
    uint32_t needs;              /* cpu_feature bits */

    /* Form of input that matmul takes for w. */
    enum k_form (*input_form)(const struct k_matrix *w);
    /* One token: x[cols] f32 -> q, d, s of `form` (not FLOAT). A block with a non-finite x gets d =
     * 0 and zero codes; q is zeroed up to its rounded length. */
    void (*quantize)(enum k_form form, const float *x, int64_t cols, int8_t *q, float *d, float *s);
    /* y[t, r] = sum_c W[r, c] * X[t, c] for r in [row0, row1), t in [0, in->n_tokens). y_stride
     * elements between tokens. */
    void (*matmul)(const struct k_matrix *w, int64_t row0, int64_t row1, const struct k_input *in,
                   float *y, int64_t y_stride);
    /* The same for K_FORM_FLOAT in the scalar way: every table gives the scalar table's bits
     * (--exact). */
    void (*matmul_exact)(const struct k_matrix *w, int64_t row0, int64_t row1,
                         const struct k_input *in, float *y, int64_t y_stride);
    /* out[cols] = row r of w as f32, exactly as stored (embedding lookup). */
    void (*dequantize_row)(const struct k_matrix *w, int64_t row, float *out);

    /* y = x * rsqrt(mean(x^2) + eps) * (w[i] + w_add); w NULL = no weight. y may equal x. */
    void (*rms_norm)(float *y, const float *x, const float *w, float w_add, int64_t n, float eps);
    /* y = (x - mean) * rsqrt(var + eps) * (w[i] + w_add) + b[i]; w, b may be NULL. */
    void (*layer_norm)(float *y, const float *x, const float *w, float w_add, const float *b,
                       int64_t n, float eps);
    /* Rotates the first n_rot dims of x in place: pairs (j, j + n_rot/2), or (2j, 2j+1) when
     * traditional; cos, sin [n_rot/2] already scaled. */
    void (*rope)(float *x, const float *cos, const float *sin, int n_rot, bool traditional);
    void (*add)(float *y, const float *x, int64_t n);                         /* y += x */
    void (*scale)(float *y, float f, int64_t n);                              /* y *= f */
    void (*silu_mul)(float *y, const float *gate, const float *up,
                     int64_t n); /* y = silu(gate) * up; y may be gate */
    void (*gelu_mul)(float *y, const float *gate, const float *up,
                     int64_t n); /* tanh approximation */
    void (*f32_to_f16)(uint16_t *y, const float *x, int64_t n);

    /* Partial attention of all rows over positions [pos0, pos1), all of one block (asserted);
     * positions that no row sees are not read, and what a row gets does not depend on pos0, pos1 or
     * the other rows. m[row] maximum score, l[row] sum of exp(score - m), acc[row, dim_v] weighted
     * sum of v. A row that sees no position there gets m = -inf, l = 0, acc = 0. */
    void (*attend_block)(const struct k_attend *a, int32_t pos0, int32_t pos1, float *m, float *l,
                         float *acc);
    /* Merges a later block's partial into (m, l, acc) of n_rows rows. */
    void (*attend_merge)(float *m, float *l, float *acc, const float *m2, const float *l2,
                         const float *acc2, int n_rows, int dim_v);
    /* Index of the largest value (the first of equals); -1 when none is finite. */
    int64_t (*argmax)(const float *x, int64_t n);
    /* In place: x = exp(x - max) / sum; returns nothing. -inf entries become 0. */
    void (*softmax)(float *x, int64_t n);
};

/* The scalar table: the truth. */
MLXK_FN const struct k_ops *k_scalar_ops(void);
/* Best table for this CPU and OS; MLXK_KERNELS=name forces one (ERR_INVALID naming the available
 * ones when this CPU cannot run it or it does not exist). Reads the environment at every call: ask
 * once and keep it. */
MLXK_FN const struct k_ops *k_choose(struct err *e);
/* A table by name whatever the environment says; NULL = unknown or not usable here. */
MLXK_FN const struct k_ops *k_find(struct str name);
/* As `base`, but matmul on K_FORM_FLOAT in the scalar way: the --exact path. Result in *out. */
MLXK_FN void k_exact(const struct k_ops *base, struct k_ops *out);
/* All tables compiled in, best first; *usable tells whether this CPU can run entry i. NULL past the
 * end. */
MLXK_FN const struct k_ops *k_list(int i, bool *usable);
/* "Which body runs?": name of slot i of a table from k_list, and in *owner_cstr the table whose
 * body fills it. NULL past the last slot. */
MLXK_FN MLXK_TEST_AID const char *k_describe(const struct k_ops *o, int slot,
                                             const char **owner_cstr);

/* ---- quantiser (k_quantize.c): bytes equal to the reference CPU implementation --------------- */

/* One row of `cols` f32 values -> codes, scale, bias bytes. `store` is the element type scales are
 * stored in (affine).
 * ref: engine facts 1.1 "Quantizer", 1.2; golden/README trap 13. */
MLXK_FN void k_quantize_row(const struct k_matrix *shape_of, enum k_format store, const float *x,
                            uint8_t *codes, uint8_t *scales,
                            uint8_t *biases /* NULL for fp modes */);
/* Codes [first, first + n) of one row into bytes; first a multiple of 8. */
MLXK_FN void k_unpack(const uint8_t *codes, int bits, int64_t first, int64_t n, uint8_t *out);

#endif
