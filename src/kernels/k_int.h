/* k_int.h: what the files of this room share (nobody else includes it).
 *
 * 1. Codes and scales are read byte by byte or with unaligned loads: nothing here assumes
 *    alignment.
 * 2. A block is the run of columns that shares one activation scale (32 or 64); a group shares one
 *    weight scale and holds one or more whole blocks.
 */
#ifndef MLXK_K_INT_H
#define MLXK_K_INT_H

#include "kernels/kernels.h"

#include <math.h>

enum {
    K_LANES = 8,                 /* partial sums of the integer path: lane = block mod K_LANES */
    K_MAX_DIM_HEAD = 512,
};

/* ---- regions compiled for one instruction set --------------------------------------------------
 * Nothing between K_TARGET_BEGIN and K_TARGET_END may be called except through the table. */
#define K_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define K_TARGET_BEGIN(features) \
    K_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define K_TARGET_END K_PRAGMA(clang attribute pop)
#else
#define K_TARGET_BEGIN(features) K_PRAGMA(GCC push_options) K_PRAGMA(GCC target(features))
#define K_TARGET_END K_PRAGMA(GCC pop_options)
#endif
#define K_INLINE static inline __attribute__((always_inline))

/* ---- formats (k_format.c) -------------------------------------------------------------------- */

/* Columns per activation scale: 32 or 64. form is not K_FORM_FLOAT. */
static inline int k_form_block(enum k_form form) {
    return form == K_FORM_Q32 || form == K_FORM_Q32_SPLIT ? 32 : 64;
}
static inline bool k_form_split(enum k_form form) {
    return form == K_FORM_Q32_SPLIT || form == K_FORM_Q64_SPLIT;
}
/* Bytes between the codes of two tokens in k_input.q. */
static inline int64_t k_form_stride(int64_t cols) { return (cols + 63) & ~(int64_t)63; }

/* The form every table wants for w: split halves for 4-bit codes, natural order for other affine
 * widths, floats for all else. One answer for all tables, so that their integers can be
 * compared. */
MLXK_FN enum k_form k_input_form(const struct k_matrix *w);
/* Element i of an array of f32, f16 or bf16. */
MLXK_FN float k_load(const uint8_t *p, enum k_format format, int64_t i);
MLXK_FN float k_e2m1(uint32_t code);               /* 4 bits: FP4 */
MLXK_FN float k_e4m3(uint32_t code); /* 8 bits: FP8; 0x7F decodes to 480 (facts 1.2) */
MLXK_FN float k_e8m0(uint32_t code);               /* 2^(code - 127); 255 is +inf */
/* Columns [col0, col0 + n) of a row as f32; col0 a multiple of 128 (or of the group, when
 * larger). */
MLXK_FN void k_dequantize(const struct k_matrix *w, int64_t row, int64_t col0, int64_t n,
                          float *out);
/* Scale of group g of a row of block floats, the tensor's factor included. */
MLXK_FN float k_group_scale(const struct k_matrix *w, int64_t row, int64_t g);
/* Scale (or, with p = biases, bias) of block b of a row, for blocks of `block` columns. */
MLXK_FN float k_block_scale(const struct k_matrix *w, const uint8_t *p, int64_t row, int64_t b,
                            int block);

/* ---- tables ---------------------------------------------------------------------------------- */

/* The entry's own slots; slots left NULL are taken from its parent by k_table.c. */
MLXK_FN void k_scalar_fill(struct k_ops *o);
MLXK_FN void k_scalar_ops_fill(struct k_ops *o);
#if defined(__x86_64__)
MLXK_FN void k_avx2_fill(struct k_ops *o);
MLXK_FN void k_avx2_ops_fill(struct k_ops *o);
MLXK_FN void k_avxvnni_fill(struct k_ops *o);
MLXK_FN void k_avx512_fill(struct k_ops *o);
/* Bodies that tables share. unpack: n codes (a multiple of 32) of 2, 3, 5 or 6 bits into bytes; out
 * has room for n rounded up to 64; nothing behind the codes is read. */
MLXK_FN void k_avx2_unpack(const uint8_t *codes, int bits, int n, uint8_t *out);
MLXK_FN void k_avx512_unpack(const uint8_t *codes, int bits, int n, uint8_t *out);
/* As k_dequantize, for block floats quickly. */
MLXK_FN void k_avx2_dequantize(const struct k_matrix *w, int64_t row, int64_t col0, int64_t n,
                               float *out);
MLXK_FN void k_avx2_matmul_float(const struct k_matrix *w, int64_t row0, int64_t row1,
                                 const struct k_input *in, float *y, int64_t y_stride);
MLXK_FN void k_avx2_matmul_exact(const struct k_matrix *w, int64_t row0, int64_t row1,
                                 const struct k_input *in, float *y, int64_t y_stride);
MLXK_FN void k_avx512_matmul_float(const struct k_matrix *w, int64_t row0, int64_t row1,
                                   const struct k_input *in, float *y, int64_t y_stride);
MLXK_FN void k_avx512_matvec(const struct k_matrix *w, int64_t row0, int64_t row1,
                             const struct k_input *in, float *y, int64_t y_stride);
MLXK_FN void k_avx2_attend_block(const struct k_attend *a, int32_t pos0, int32_t pos1, float *m,
                                 float *l, float *acc);
MLXK_FN void k_avx512_attend_block(const struct k_attend *a, int32_t pos0, int32_t pos1, float *m,
                                   float *l, float *acc);
#elif defined(__aarch64__)
MLXK_FN void k_neon_fill(struct k_ops *o);
MLXK_FN void k_neon_ops_fill(struct k_ops *o);
MLXK_FN void k_dotprod_fill(struct k_ops *o);
MLXK_FN void k_i8mm_fill(struct k_ops *o);
MLXK_FN void k_matmul_dotprod(const struct k_matrix *w, int64_t row0, int64_t row1,
                              const struct k_input *in, float *y, int64_t y_stride);
MLXK_FN void k_neon_unpack(const uint8_t *codes, int bits, int n,
                           uint8_t *out); /* as k_avx2_unpack */
MLXK_FN void k_neon_matmul_float(const struct k_matrix *w, int64_t row0, int64_t row1,
                                 const struct k_input *in, float *y, int64_t y_stride);
#endif

#endif
