/* k_avx512_matvec.c: affine matrix times few tokens, read in place from mapped memory (AVX-512
 * VNNI).
 *
 * Two rows are walked at a time, in chunks of 8 blocks, one per lane of the contract: a chunk gives
 * one vector of 2 x 8 block sums, which meet their scales (contiguous in memory, too) in one
 * conversion and two fused steps. Rows follow each other in memory, so the matrix is read as one
 * stream. Activations are put into the order of the codes once, for a band of rows.
 *
 * 1. vpdpbusd does not saturate in between; codes are unsigned, activations signed.
 * 2. The order of float operations is the contract's (kernels.h, numerics 1), lane by lane.
 * 3. Nothing outside the rows and their columns is read (prefetches aside): the last chunk uses
 *    masked loads, an absent second row is the first again.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#if defined(__x86_64__)

#include "kernels/k_avx512_int.h"

K_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi")

/* 64 codes of `bits` bits at a time: gather each eight codes' bytes, cut eight fields, mask. */
static void k_avx512_unpack_vbmi(const uint8_t *codes, int bits, int n, uint8_t *out) {
    const __m512i in_eight = _mm512_set1_epi64(0x0706050403020100);
    const __m512i eight = _mm512_set_epi64(
        0x0707070707070707, 0x0606060606060606, 0x0505050505050505, 0x0404040404040404,
        0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    __m512i order = in_eight, shift = _mm512_setzero_si512();
    for (int i = 0; i < bits; i++) { /* byte 8g + k: from byte g * bits + k, shifted by k * bits */
        order = _mm512_add_epi8(order, eight);
        shift = _mm512_add_epi8(shift, in_eight);
    }
    __m512i mask = _mm512_set1_epi8((char)((1 << bits) - 1));
    for (int i = 0; i < n; i += 64, codes += 8 * bits) {
        int left = n - i < 64 ? n - i : 64;
        __mmask64 in = ((__mmask64)1 << (left * bits / 8)) - 1;
        __m512i v = _mm512_permutexvar_epi8(order, _mm512_maskz_loadu_epi8(in, codes));
        v = _mm512_and_si512(_mm512_multishift_epi64_epi8(shift, v), mask);
        _mm512_storeu_si512(out + i, v);
    }
}

K_TARGET_END

MLXK_FN void k_avx512_unpack(const uint8_t *codes, int bits, int n, uint8_t *out) {
    if ((cpu_features() & CPU_AVX512_VBMI) != 0) {
        k_avx512_unpack_vbmi(codes, bits, n, out);
    } else {
        k_avx2_unpack(codes, bits, n, out);
    }
}

K_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")

enum {
    K_AVX512_ROWS = 16,  /* rows whose lanes are added together */
    K_AVX512_BAND = 128, /* rows per ordering of the activations */
    K_AVX512_MAX_COLS = 65536,
    K_AVX512_AHEAD = 4096, /* bytes prefetched ahead in the stream of codes */
};

/* How the codes and activations of a chunk are laid out: bits per code in memory, columns per
 * block. */
enum k_avx512_shape { K_AVX512_4X32, K_AVX512_4X64, K_AVX512_8X32, K_AVX512_8X64 };

K_INLINE __m512i k_avx512_load(const uint8_t *p, int n_bytes, int i, bool full) {
    if (full) {
        return _mm512_loadu_si512(p + 64 * i);
    }
    int left = n_bytes - 64 * i;
    __mmask64 m = left >= 64 ? ~(__mmask64)0 : left <= 0 ? 0 : ((__mmask64)1 << left) - 1;
    return _mm512_maskz_loadu_epi8(m, p + 64 * i);
}

/* In every 128-bit lane: the four sums of a, b, c, d. */
K_INLINE __m512i k_avx512_fold4(__m512i a, __m512i b, __m512i c, __m512i d) {
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* The same for sums of eight 4-bit products: they fit 16 bits (8 * 15 * 127 = 15,240, twice that
 * too). */
K_INLINE __m512i k_avx512_fold4_short(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i one = _mm512_set1_epi16(1);
    __m512i ab = _mm512_madd_epi16(_mm512_packs_epi32(a, b), one);
    __m512i cd = _mm512_madd_epi16(_mm512_packs_epi32(c, d), one);
    return _mm512_madd_epi16(_mm512_packs_epi32(ab, cd), one);
}

/* Lanes of u in pairs, then those of v: {u0+u1, u2+u3, v0+v1, v2+v3}. */
K_INLINE __m512i k_avx512_fold_lanes(__m512i u, __m512i v) {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(u, v, 0x88), _mm512_shuffle_i32x4(u, v, 0xDD));
}

/* 64 bytes of 4-bit codes against even and odd activations: 16 partial sums. */
K_INLINE __m512i k_avx512_dot4(__m512i v, __m512i even, __m512i odd) {
    const __m512i low = _mm512_set1_epi8(15);
    __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_and_si512(v, low), even);
    return _mm512_dpbusd_epi32(sum, _mm512_and_si512(_mm512_srli_epi16(v, 4), low), odd);
}

/* How much of a chunk there is: all of it, or at most half (less to compute), or something
 * between. */
enum k_avx512_fill { K_AVX512_FULL, K_AVX512_HALF, K_AVX512_PART };

/* Block sums {row a: 8, row b: 8}. Each shape folds its partial sums in lanes and puts blocks in
 * order. */
K_INLINE __m512i k_avx512_sums(enum k_avx512_shape shape, const uint8_t *a, const uint8_t *b,
                               const __m512i *x, int n_bytes, enum k_avx512_fill fill) {
    const __m512i halves = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    const __m512i lanes = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i zero = _mm512_setzero_si512();
    const uint8_t *rows[2] = { a, b };
    __m512i u[2][8], f[2][2];
    const int all = shape == K_AVX512_4X32 ? 2 : shape == K_AVX512_8X64 ? 8 : 4;
#pragma GCC unroll 2
    for (int r = 0; r < 2; r++) {
#pragma GCC unroll 8
        for (int i = 0; i < all; i++) {
            if (fill == K_AVX512_HALF && 2 * i >= all) {
                u[r][i] = zero;
                continue;
            }
            __m512i v = k_avx512_load(rows[r], n_bytes, i, fill == K_AVX512_FULL);
            u[r][i] = shape == K_AVX512_4X32 || shape == K_AVX512_4X64
                    ? k_avx512_dot4(v, x[2 * i], x[2 * i + 1]) : _mm512_dpbusd_epi32(zero, v, x[i]);
        }
    }
    if (shape == K_AVX512_4X32) {                  /* a lane is a block */
        __m512i v = k_avx512_fold4_short(u[0][0], u[0][1], u[1][0], u[1][1]);
        return _mm512_permutexvar_epi32(lanes, v);
    }
#pragma GCC unroll 2
    for (int r = 0; r < 2; r++) {
        f[r][0] = shape == K_AVX512_4X64 ? k_avx512_fold4_short(u[r][0], u[r][1], u[r][2], u[r][3])
                                         : k_avx512_fold4(u[r][0], u[r][1], u[r][2], u[r][3]);
        if (shape == K_AVX512_8X64) {
            f[r][1] = k_avx512_fold4(u[r][4], u[r][5], u[r][6], u[r][7]);
        }
    }
    if (shape == K_AVX512_8X64) {                  /* a vector is a block */
        return k_avx512_fold_lanes(k_avx512_fold_lanes(f[0][0], f[0][1]),
                                   k_avx512_fold_lanes(f[1][0], f[1][1]));
    }
    return _mm512_permutexvar_epi32(
        halves, k_avx512_fold_lanes(f[0][0], f[1][0])); /* half a vector is one */
}

/* One token's activations in the order the codes come, zeros up to a whole chunk. */
static void k_avx512_order(enum k_avx512_shape shape, const struct k_input *in, int64_t token,
                           __m512i *x) {
    const uint8_t *q = (const uint8_t *)in->q + token * k_form_stride(in->cols);
    int chunk = shape == K_AVX512_4X32 || shape == K_AVX512_8X32 ? 256 : 512;
    for (int64_t c = 0; c < in->cols; c += chunk, q += chunk) {
        int left = in->cols - c < chunk ? (int)(in->cols - c) : chunk;
        for (int i = 0; i < chunk / 64; i += 2, x += 2) {
            __m512i a = k_avx512_load(q, left, i, false), b = k_avx512_load(q, left, i + 1, false);
            x[0] = a;
            x[1] = b;
            if (shape == K_AVX512_4X32) { /* {even, odd} of four blocks: all even, all odd */
                x[0] = _mm512_shuffle_i32x4(a, b, 0x88);
                x[1] = _mm512_shuffle_i32x4(a, b, 0xDD);
            } else if (shape == K_AVX512_4X64) {
                x[0] = _mm512_shuffle_i32x4(a, b, 0x44);
                x[1] = _mm512_shuffle_i32x4(a, b, 0xEE);
            }
        }
    }
}

struct k_avx512_pair {           /* where two rows are in their streams */
    const uint8_t *codes[2], *scales, *biases;
    size_t row_step;             /* bytes between the rows' scales; 0 = the same row twice */
    const uint8_t *ahead;        /* what to prefetch next */
    const float *d, *s;
};

/* Asks for n bytes of codes. Short rows: the stream, AHEAD bytes on, line after line from one
 * instruction in a loop, which also trains the machine's own prefetcher (measured on Zen 4:
 * unrolled it reads memory a third slower). Long rows are two streams: the next two rows, and only
 * into the second cache, which they do not fill. */
K_INLINE void k_avx512_prefetch(const struct k_matrix *w, struct k_avx512_pair *at,
                                const uint8_t *codes, int n) {
    if (w->row_bytes > K_AVX512_AHEAD) {
        for (int i = 0; i < n; i += 64) {
            _mm_prefetch((const char *)codes + 2 * w->row_bytes + i, _MM_HINT_T1);
        }
        return;
    }
    for (int i = 0; i < n; i += 64) {
        _mm_prefetch((const char *)at->ahead + i, _MM_HINT_T0);
    }
    at->ahead += n;
}

/* One chunk of two rows: lanes of both, 8 and 8. */
K_INLINE __m512 k_avx512_pair_chunk(enum k_avx512_shape shape, const struct k_matrix *w,
                                    struct k_avx512_pair *at, const __m512i *x, int n_blocks,
                                    enum k_avx512_fill fill, __m512 lane) {
    const int block = shape == K_AVX512_4X32 || shape == K_AVX512_8X32 ? 32 : 64;
    const int width = shape == K_AVX512_4X32 || shape == K_AVX512_4X64 ? 4 : 8;
    const bool full = fill == K_AVX512_FULL;
    bool twice = block == 64 && w->group > block;
    const uint8_t *p[2] = { at->codes[0], at->codes[1] };
    _Alignas(64) uint8_t bytes[2][512];
    int step = block * n_blocks * w->bits / 8;
    for (int r = 0; r < 2; r++) {
        k_avx512_prefetch(w, at, p[r], step);
        if (width == 8 && w->bits != 8) {
            k_avx512_unpack(p[r], w->bits, n_blocks * block, bytes[r]);
            p[r] = bytes[r];
        }
        at->codes[r] += step;
    }
    __m512 sum =
        _mm512_cvtepi32_ps(k_avx512_sums(shape, p[0], p[1], x, block * n_blocks * width / 8, fill));
    const uint8_t *scales = at->scales, *biases = at->biases;
    __m512 scale =
        k_avx512_scales(scales, scales + at->row_step, w->scale_format, twice, n_blocks, full);
    __m512 bias =
        k_avx512_scales(biases, biases + at->row_step, w->scale_format, twice, n_blocks, full);
    size_t scales_step = (size_t)(twice ? 4 : 8) * (w->scale_format == K_F32 ? 4 : 2);
    __mmask8 m = (__mmask8)((1 << n_blocks) - 1);
    __m512 d =
        _mm512_broadcast_f32x8(full ? _mm256_loadu_ps(at->d) : _mm256_maskz_loadu_ps(m, at->d));
    __m512 s =
        _mm512_broadcast_f32x8(full ? _mm256_loadu_ps(at->s) : _mm256_maskz_loadu_ps(m, at->s));
    at->scales += scales_step;
    at->biases += scales_step;
    at->d += 8;
    at->s += 8;
    lane = _mm512_fmadd_ps(sum, _mm512_mul_ps(scale, d), lane);
    return _mm512_fmadd_ps(bias, s, lane);
}

/* Rows row and row + 1 (row alone when `single`): 8 and 8 lanes. */
K_INLINE void k_avx512_pair_rows(enum k_avx512_shape shape, const struct k_matrix *w, int64_t row,
                                 bool single, const struct k_input *in, int64_t token,
                                 const __m512i *x, float *lanes) {
    const int block = shape == K_AVX512_4X32 || shape == K_AVX512_8X32 ? 32 : 64;
    int64_t n_blocks = w->cols / block, b = 0;
    size_t row_scales = (size_t)(w->cols / w->group) * (w->scale_format == K_F32 ? 4 : 2);
    const uint8_t *codes = w->data + (size_t)row * w->row_bytes;
    struct k_avx512_pair at = { .codes = { codes, single ? codes : codes + w->row_bytes },
                                .row_step = single ? 0 : row_scales,
                                .scales = w->scales + (size_t)row * row_scales,
                                .biases = w->biases + (size_t)row * row_scales,
                                .ahead = codes + K_AVX512_AHEAD,
                                .d = in->d + token * n_blocks,
                                .s = in->s + token * n_blocks };
    __m512 lane = _mm512_setzero_ps();
    for (; b + K_LANES <= n_blocks; b += K_LANES, x += block / 8) {
        lane = k_avx512_pair_chunk(shape, w, &at, x, K_LANES, K_AVX512_FULL, lane);
    }
    int left = (int)(n_blocks - b);
    if (left > K_LANES / 2) {
        lane = k_avx512_pair_chunk(shape, w, &at, x, left, K_AVX512_PART, lane);
    } else if (left > 0) {
        lane = k_avx512_pair_chunk(shape, w, &at, x, left, K_AVX512_HALF, lane);
    }
    _mm512_store_ps(lanes, lane);
}

/* lanes[16][8] -> 16 sums, lane 0 first. */
K_INLINE __m512 k_avx512_add_lanes(const float *lanes) {
    __m512 z[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        const float *p = lanes + 8 * (i < 4 ? i : i + 4);
        z[i] = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_load_ps(p)), _mm256_load_ps(p + 32),
                                  1);
    }
    k_avx512_columns(z);
#pragma GCC unroll 8
    for (int i = 1; i < 8; i++) {
        z[0] = _mm512_add_ps(z[0], z[i]);
    }
    return z[0];
}

/* Rows [row, row1), at most K_AVX512_BAND, of one token. */
K_INLINE void k_avx512_band(enum k_avx512_shape shape, const struct k_matrix *w, int64_t row,
                            int64_t row1, const struct k_input *in, int64_t token, float *y) {
    __m512i x[K_AVX512_MAX_COLS / 64];
    _Alignas(64) float lanes[K_AVX512_ROWS * K_LANES] = { 0 };
    k_avx512_order(shape, in, token, x);
    for (; row < row1; row += K_AVX512_ROWS) {
        for (int64_t i = 0; i < K_AVX512_ROWS && row + i < row1; i += 2) {
            k_avx512_pair_rows(shape, w, row + i, row + i + 1 == row1, in, token, x,
                               lanes + i * K_LANES);
        }
        _mm512_mask_storeu_ps(y + row, k_avx512_first(row1 - row), k_avx512_add_lanes(lanes));
    }
}

MLXK_FN void k_avx512_matvec(const struct k_matrix *w, int64_t row0, int64_t row1,
                             const struct k_input *in, float *y, int64_t y_stride) {
    bool four = w->bits == 4, narrow = k_form_block(in->form) == 32;
    if (w->cols > K_AVX512_MAX_COLS) {
        k_scalar_ops()->matmul(w, row0, row1, in, y, y_stride);
        return;
    }
    for (int64_t row = row0; row < row1; row += K_AVX512_BAND) {
        int64_t end = row + K_AVX512_BAND < row1 ? row + K_AVX512_BAND : row1;
        for (int64_t t = 0; t < in->n_tokens; t++) {
            float *out = y + t * y_stride;
            if (four && narrow) {
                k_avx512_band(K_AVX512_4X32, w, row, end, in, t, out);
            } else if (four) {
                k_avx512_band(K_AVX512_4X64, w, row, end, in, t, out);
            } else if (narrow) {
                k_avx512_band(K_AVX512_8X32, w, row, end, in, t, out);
            } else {
                k_avx512_band(K_AVX512_8X64, w, row, end, in, t, out);
            }
        }
    }
}

K_TARGET_END

#endif
