/* test_kernels.c: every table this CPU can run against the scalar one, and the scalar one against known answers.
 *
 * Matrices and activations lie directly before an unreadable page, at whatever alignment that gives, so that a
 * read behind the end is a crash. Integer products must have the scalar table's bits; float results stay within
 * a bound that comes from the sizes of the terms.
 */
#include "kernels/kernels.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- memory with a wall behind it ------------------------------------------------------------ */

struct tk_wall { uint8_t *map; size_t map_bytes; uint8_t *p; };

/* n bytes that end where reading faults. */
static struct tk_wall tk_wall_open(size_t n) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (n + page - 1) / page * page + page;
    struct tk_wall w = { .map_bytes = body + page };
    w.map = mmap(NULL, w.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (w.map == MAP_FAILED || mprotect(w.map + body, page, PROT_NONE) != 0) {
        abort();
    }
    w.p = w.map + body - n;
    return w;
}

static void tk_wall_close(struct tk_wall *w) {
    munmap(w->map, w->map_bytes);
}

/* ---- random things --------------------------------------------------------------------------- */

static float tk_uniform(void) {                    /* [-1, 1) */
    return (float)((double)(int64_t)test_random() / 9223372036854775808.0);
}

/* Roughly normal, now and then an outlier. */
static float tk_normal(void) {
    float x = tk_uniform() + tk_uniform() + tk_uniform();
    return test_random() % 64 == 0 ? x * 20.0f : x;
}

static void tk_fill(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        x[i] = tk_normal();
    }
}

static void tk_put(uint8_t *p, enum k_format format, int64_t i, float x) {
    if (format == K_F32) {
        memcpy(p + 4 * i, &x, 4);
    } else {
        uint16_t h = format == K_F16 ? num_f32_to_f16(x) : num_f32_to_bf16(x);
        memcpy(p + 2 * i, &h, 2);
    }
}

static float tk_get(const uint8_t *p, enum k_format format, int64_t i) {
    float x;
    uint32_t u = format == K_F32 ? num_read_u32(p + 4 * i) : 0;
    memcpy(&x, &u, 4);
    uint16_t h = format == K_F32 ? 0 : num_read_u16(p + 2 * i);
    return format == K_F32 ? x : format == K_F16 ? num_f16_to_f32(h) : num_bf16_to_f32(h);
}

static float tk_round(float x, enum k_format format) {
    uint8_t bytes[4];
    tk_put(bytes, format, 0, x);
    return tk_get(bytes, format, 0);
}

/* Code of one element, bit by bit. */
static int tk_code(const struct k_matrix *w, int64_t row, int64_t col) {
    int code = 0;
    for (int k = 0; k < w->bits; k++) {
        int64_t at = col * w->bits + k;
        code |= (w->data[(size_t)row * w->row_bytes + (size_t)(at / 8)] >> (at % 8) & 1) << k;
    }
    return code;
}

struct tk_matrix { struct k_matrix w; struct tk_wall data, scales, biases; };

static struct tk_matrix tk_matrix_open(enum k_format format, int bits,
                                       int group, enum k_format scale_format,
                                       int64_t rows, int64_t cols) {
  struct tk_matrix m = {.w = {.format = format,
                              .bits = bits,
                              .group = group,
                              .rows = rows,
                              .cols = cols,
                              .scale_format = scale_format,
                              .global_scale = 1}};
  bool plain = group == 0;
  int width = format == K_F32 ? 32 : plain ? 16 : bits;
  m.w.row_bytes = (size_t)(cols * width / 8);
  m.data = tk_wall_open((size_t)rows * m.w.row_bytes);
  for (int64_t i = 0; i < rows * cols && plain; i++) {
    tk_put(m.data.p, format, i, tk_uniform());
  }
  for (size_t i = 0; i < (size_t)rows * m.w.row_bytes && !plain; i++) {
    m.data.p[i] = (uint8_t)test_random();
    if (format == K_MXFP8 && (m.data.p[i] & 0x7F) == 0x7F) {
      m.data.p[i] ^= 1;
    }
  }
  m.w.data = m.data.p;
  if (plain) {
    return m;
  }
  int64_t n = rows * (cols / group);
  size_t size = format != K_AFFINE ? 1 : scale_format == K_F32 ? 4 : 2;
  m.scales = tk_wall_open((size_t)n * size);
  m.biases = tk_wall_open((size_t)n * size);
  for (int64_t i = 0; i < n; i++) {
    if (format == K_AFFINE) {
      tk_put(m.scales.p, scale_format, i, tk_uniform() * 0.1f);
      tk_put(m.biases.p, scale_format, i, tk_uniform());
    } else {
      m.scales.p[i] = (uint8_t)(format == K_NVFP4 ? 0x28 + test_random() % 16
                                                  : 122 + test_random() % 8);
    }
  }
  m.w.scales = m.scales.p;
  m.w.biases = format == K_AFFINE ? m.biases.p : NULL;
  return m;
}

static void tk_matrix_close(struct tk_matrix *m) {
    tk_wall_close(&m->data);
    if (m->w.group != 0) {
        tk_wall_close(&m->scales);
        tk_wall_close(&m->biases);
    }
}

struct tk_input { struct k_input in; struct tk_wall x, q, d, s; };

/* Activations as o prepares them for form. The floats stay reachable in x. */
static struct tk_input tk_input_open(const struct k_ops *o, enum k_form form,
                                     int64_t n_tokens, int64_t cols) {
  int64_t blocks = k_form_blocks(form, cols),
          stride = (cols + 63) & ~(int64_t)63;
  struct tk_input i = {
      .in = {.form = form, .n_tokens = n_tokens, .cols = cols}};
  i.x = tk_wall_open((size_t)(n_tokens * cols) * 4);
  i.q = tk_wall_open((size_t)(n_tokens * stride));
  i.d = tk_wall_open((size_t)(n_tokens * blocks) * 4);
  i.s = tk_wall_open((size_t)(n_tokens * blocks) * 4);
  tk_fill((float *)(void *)i.x.p, n_tokens * cols);
  if (form == K_FORM_FLOAT) {
    i.in.x = (const float *)(void *)i.x.p;
    i.in.x_stride = cols;
    return i;
  }
  i.in.q = (int8_t *)i.q.p;
  i.in.d = (float *)(void *)i.d.p;
  i.in.s = (float *)(void *)i.s.p;
  for (int64_t t = 0; t < n_tokens; t++) {
    o->quantize(form, (const float *)(void *)i.x.p + t * cols, cols,
                i.in.q + t * stride, i.in.d + t * blocks, i.in.s + t * blocks);
  }
  return i;
}

static void tk_input_close(struct tk_input *i) {
    tk_wall_close(&i->x);
    tk_wall_close(&i->q);
    tk_wall_close(&i->d);
    tk_wall_close(&i->s);
}

/* Tokens [t, t + n) of in. */
static struct k_input tk_tokens(const struct k_input *in, int64_t t, int64_t n) {
    struct k_input part = *in;
    int64_t blocks = k_form_blocks(in->form, in->cols);
    part.n_tokens = n;
    if (in->form == K_FORM_FLOAT) {
        part.x += t * in->x_stride;
    } else {
        part.q += t * ((in->cols + 63) & ~(int64_t)63);
        part.d += t * blocks;
        part.s += t * blocks;
    }
    return part;
}

/* ---- products -------------------------------------------------------------------------------- */

enum { TK_ROWS = 40, TK_TOKENS = 20 };

static bool tk_same(const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!(a[i] == b[i])) {
            return false;
        }
    }
    return true;
}

/* One call for all, row slices, and token by token: all the same bits. y: [tokens, rows]. */
static void tk_check_slices(const struct k_ops *o, const struct k_matrix *w,
                            const struct k_input *in, const float *y,
                            const char *what_cstr) {
  float part[TK_ROWS * TK_TOKENS];
  int64_t rows = w->rows, cut = (int64_t)(test_random() % (uint64_t)(rows + 1));
  memset(part, 0xFF, sizeof part);
  o->matmul(w, 0, cut, in, part, rows);
  o->matmul(w, cut, rows, in, part, rows);
  if (!tk_same(part, y, rows * in->n_tokens)) {
    test_fail(__FILE__, __LINE__, "%s %s: rows cut at %lld differ",
              o->name_cstr, what_cstr, (long long)cut);
  }
  memset(part, 0xFF, sizeof part);
  for (int64_t t = 0; t < in->n_tokens; t++) {
    struct k_input one = tk_tokens(in, t, 1);
    o->matmul(w, 0, rows, &one, part + t * rows, rows);
  }
  if (!tk_same(part, y, rows * in->n_tokens)) {
    test_fail(__FILE__, __LINE__, "%s %s: token by token differs", o->name_cstr,
              what_cstr);
  }
}

/* All usable tables on one affine matrix: the bits of the scalar table. */
static void tk_check_affine(int bits, int group, enum k_format scale_format,
                            int64_t rows, int64_t cols, int64_t tokens) {
  static const char *const names[] = {"f32", "f16", "bf16"};
  char what[120];
  const struct k_ops *scalar = k_scalar_ops(), *o;
  struct tk_matrix m =
      tk_matrix_open(K_AFFINE, bits, group, scale_format, rows, cols);
  struct tk_input in =
      tk_input_open(scalar, scalar->input_form(&m.w), tokens, cols);
  float want[TK_ROWS * TK_TOKENS], got[TK_ROWS * TK_TOKENS];
  bool usable;
  snprintf(what, sizeof what, "%d bits g%d %s [%lld, %lld] x %lld", bits, group,
           names[scale_format], (long long)rows, (long long)cols,
           (long long)tokens);
  scalar->matmul(&m.w, 0, rows, &in.in, want, rows);
  tk_check_slices(scalar, &m.w, &in.in, want, what);
  for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
    if (!usable || o == scalar) {
      continue;
    }
    CHECK(o->input_form(&m.w) == in.in.form);
    memset(got, 0xFF, sizeof got);
    o->matmul(&m.w, 0, rows, &in.in, got, rows);
    if (!tk_same(got, want, rows * tokens)) {
      test_fail(__FILE__, __LINE__, "%s %s: not the scalar bits", o->name_cstr,
                what);
    }
    tk_check_slices(o, &m.w, &in.in, want, what);
  }
  tk_input_close(&in);
  tk_matrix_close(&m);
}

TEST(affine_products_have_the_scalar_bits) {
    static const int bits[] = { 2, 3, 4, 5, 6, 8 }, groups[] = { 32, 64, 128 };
    static const int64_t n_groups[] = {1, 2, 3, 5, 7, 8, 9, 11, 13, 16, 17, 18},
                         rows[] = {1, 2, 3, 7, 8, 9, 16, 17, 23, 40};
    static const int64_t tokens[] = { 1, 2, 3, 4, 5, 8, 9, 17 };
    int turn = 0;
    for (size_t b = 0; b < MLXK_COUNT(bits); b++) {
        for (size_t g = 0; g < MLXK_COUNT(groups); g++) {
            for (int f = K_F32; f <= K_BF16; f++) {
                for (size_t n = 0; n < MLXK_COUNT(n_groups); n++, turn++) {
                  tk_check_affine(bits[b], groups[g], (enum k_format)f,
                                  rows[turn % 10], n_groups[n] * groups[g],
                                  tokens[turn % 8]);
                }
            }
        }
    }
}

/* Kernels read on behind a row that is no whole chunk: what stands there may be no number at all. */
static void tk_check_neighbours(int bits, int group, enum k_format scale_format, int64_t n_groups) {
    enum { ROWS = 12 };
    const struct k_ops *scalar = k_scalar_ops(), *o;
    int64_t cols = n_groups * group;
    struct tk_matrix m = tk_matrix_open(K_AFFINE, bits, group, scale_format, ROWS, cols);
    for (int64_t i = 0; i < ROWS * n_groups; i++) {
        if (i / n_groups % 2) {
            tk_put(m.scales.p, scale_format, i, i % 2 ? INFINITY : NAN);
            tk_put(m.biases.p, scale_format, i, i % 2 ? NAN : -INFINITY);
        }
    }
    struct tk_input in = tk_input_open(scalar, scalar->input_form(&m.w), 5, cols);
    float want[ROWS * 5], got[ROWS * 5];
    bool usable;
    scalar->matmul(&m.w, 0, ROWS, &in.in, want, ROWS);
    for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
        for (int64_t tokens = 1; usable && tokens <= 5; tokens += 4) {
            struct k_input first = in.in;
            first.n_tokens = tokens;
            o->matmul(&m.w, 0, ROWS, &first, got, ROWS);
            for (int64_t at = 0; at < ROWS * tokens; at++) {
                if (at % 2 == 0 && memcmp(got + at, want + at, sizeof *got) != 0) {
                    test_fail(__FILE__, __LINE__, "%s, %d bits g%d, %lld columns: row %lld is %g, not %g",
                              o->name_cstr, bits, group, (long long)cols, (long long)(at % ROWS),
                              (double)got[at], (double)want[at]);
                }
            }
        }
    }
    tk_input_close(&in);
    tk_matrix_close(&m);
}

TEST(rows_do_not_see_their_neighbours) {
    static const int64_t n_groups[] = { 1, 3, 4, 5, 7, 9, 12, 13, 18, 19 };
    for (size_t i = 0; i < MLXK_COUNT(n_groups); i++) {
        for (int f = K_F32; f <= K_BF16; f++) {
            tk_check_neighbours(4, 32, (enum k_format)f, n_groups[i]);
            tk_check_neighbours(4, 64, (enum k_format)f, n_groups[i]);
            tk_check_neighbours(4, 128, (enum k_format)f, n_groups[i]);
            tk_check_neighbours(8, 32, (enum k_format)f, n_groups[i]);
            tk_check_neighbours(8, 64, (enum k_format)f, n_groups[i]);
            tk_check_neighbours(6, 64, (enum k_format)f, n_groups[i]);
        }
    }
}

TEST(affine_products_at_the_sizes_of_models) {
    static const int64_t cols[] = { 576, 1536, 2048, 2112, 4096, 18944 };
    for (size_t c = 0; c < MLXK_COUNT(cols); c++) {
        tk_check_affine(4, cols[c] % 64 == 0 ? 64 : 32, K_F16, 17, cols[c], 9);
        tk_check_affine(4, 32, K_F16, 16, cols[c], 12);
        tk_check_affine(8, 32, K_F16, 9, cols[c], 3);
        tk_check_affine(8, 64, K_BF16, 5, cols[c], 6);
        tk_check_affine(3, 64, K_BF16, 4, cols[c], 5);
    }
    tk_check_affine(4, 64, K_F16, 3, 65536, 4);    /* past the largest panel */
    tk_check_affine(8, 32, K_F16, 2, 65536, 4);
    tk_check_affine(4, 32, K_F16, 2, 32768, 5);    /* exactly one lane */
    tk_check_affine(4, 32, K_F16, 2, 32800, 5);
}

TEST(integer_sums_are_exact) {
    /* scale 1, bias 0 and activations whose step is 1: the product is an integer below 2^24 */
    static const int bits[] = { 2, 3, 4, 5, 6, 8 };
    const struct k_ops *o;
    bool usable;
    for (size_t b = 0; b < MLXK_COUNT(bits); b++) {
        struct tk_matrix m = tk_matrix_open(K_AFFINE, bits[b], 64, K_F32, 11, 256);
        struct tk_input in = tk_input_open(
            k_scalar_ops(), k_scalar_ops()->input_form(&m.w), 6, 256);
        for (int64_t i = 0; i < 11 * 4; i++) {
            tk_put(m.scales.p, K_F32, i, 1);
            tk_put(m.biases.p, K_F32, i, 0);
        }
        memset(m.data.p, 0xFF, m.w.row_bytes);     /* row 0: the largest code everywhere */
        float *x = (float *)(void *)in.x.p;
        for (int64_t i = 0; i < 6 * 256; i++) {
          x[i] = i < 512       ? (i < 256 ? 127.0f : -127.0f)
                 : i % 64 == 0 ? 127.0f
                               : (float)(int)(test_random() % 255) - 127.0f;
        }
        for (int64_t t = 0; t < 6; t++) {
          k_scalar_ops()->quantize(in.in.form, x + t * 256, 256,
                                   in.in.q + t * 256, in.in.d + t * 4,
                                   in.in.s + t * 4);
        }
        for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
            float y[6 * 11];
            if (!usable) {
                continue;
            }
            o->matmul(&m.w, 0, 11, &in.in, y, 11);
            for (int t = 0; t < 6; t++) {
                for (int r = 0; r < 11; r++) {
                    int64_t sum = 0;
                    for (int c = 0; c < 256; c++) {
                        sum += tk_code(&m.w, r, c) * (int64_t)x[t * 256 + c];
                    }
                    CHECK_EQ((int64_t)y[t * 11 + r], sum);
                }
            }
        }
        tk_input_close(&in);
        tk_matrix_close(&m);
    }
}

/* Float product against f64 on what dequantize_row gives; bound: relative to the sum of magnitudes. */
static void tk_check_float(const struct k_ops *o, const struct k_matrix *w,
                           const struct k_input *in, double bound,
                           const char *what_cstr) {
  float y[TK_ROWS * TK_TOKENS];
  float *row = malloc((size_t)(w->cols + 1) * sizeof *row);
  o->matmul(w, 0, w->rows, in, y, w->rows);
  for (int64_t r = 0; r < w->rows; r++) {
    o->dequantize_row(w, r, row);
    for (int64_t t = 0; t < in->n_tokens; t++) {
      double sum = 0, size = 0;
      for (int64_t c = 0; c < w->cols; c++) {
        double term = (double)row[c] * (double)in->x[t * in->x_stride + c];
        sum += term;
        size += fabs(term);
      }
      double off = fabs((double)y[t * w->rows + r] - sum);
      if (!(off <= bound * size + 1e-30)) {
        test_fail(__FILE__, __LINE__,
                  "%s %s [%lld, %lld]: row %lld off by %g of %g", o->name_cstr,
                  what_cstr, (long long)w->rows, (long long)w->cols,
                  (long long)r, off, size);
      }
    }
  }
  free(row);
  tk_check_slices(o, w, in, y, what_cstr);
}

TEST(float_products) {
  static const int64_t cols[] = {0,  1,  2,  7,   8,   9,    15,   16,  17,
                                 31, 33, 61, 127, 576, 1021, 1536, 2049};
  static const char *const names[] = {"f32", "f16", "bf16"};
  const struct k_ops *o;
  bool usable;
  for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
    for (int f = K_F32; f <= K_BF16 && usable; f++) {
      for (size_t c = 0; c < MLXK_COUNT(cols); c++) {
        struct tk_matrix m = tk_matrix_open((enum k_format)f, 0, 0, K_F32,
                                            (int64_t)(1 + c % 7), cols[c]);
        struct tk_input in =
            tk_input_open(o, K_FORM_FLOAT, (int64_t)(1 + c % 6), cols[c]);
        CHECK(o->input_form(&m.w) == K_FORM_FLOAT);
        tk_check_float(o, &m.w, &in.in, 2e-6, names[f]);
        tk_input_close(&in);
        tk_matrix_close(&m);
      }
    }
    }
}

TEST(block_float_products) {
  static const struct {
    enum k_format format;
    int bits, group;
    const char *name_cstr;
  } modes[] = {{K_MXFP4, 4, 32, "mxfp4"},
               {K_MXFP8, 8, 32, "mxfp8"},
               {K_NVFP4, 4, 16, "nvfp4"}};
    const struct k_ops *o;
    bool usable;
    for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
        for (size_t f = 0; f < MLXK_COUNT(modes) && usable; f++) {
            for (int n = 1; n < 40; n += 6) {
              struct tk_matrix m =
                  tk_matrix_open(modes[f].format, modes[f].bits, modes[f].group,
                                 K_F32, 1 + n % 6, n * modes[f].group);
              struct tk_input in =
                  tk_input_open(o, K_FORM_FLOAT, 1 + n % 9, n * modes[f].group);
              m.w.global_scale = n == 7 ? 0.25f : 1.0f;
              CHECK(o->input_form(&m.w) == K_FORM_FLOAT);
              tk_check_float(o, &m.w, &in.in, 2e-6, modes[f].name_cstr);
              tk_input_close(&in);
              tk_matrix_close(&m);
            }
        }
    }
}

/* --exact: floats for every format, the scalar way. */
TEST(exact_uses_floats) {
    struct k_ops exact;
    struct tk_matrix m = tk_matrix_open(K_AFFINE, 4, 64, K_F16, 9, 576);
    struct tk_input in = tk_input_open(k_scalar_ops(), K_FORM_FLOAT, 18, 576);
    struct err e = { 0 };
    const struct k_ops *best = k_choose(&e);
    CHECK(best != NULL);
    k_exact(best, &exact);
    CHECK(exact.input_form(&m.w) == K_FORM_FLOAT);
    CHECK(exact.rms_norm == best->rms_norm);
    tk_check_float(&exact, &m.w, &in.in, 2e-7, "exact");
    tk_input_close(&in);
    tk_matrix_close(&m);
}

/* matmul_exact of every table on one matrix: the bits of the scalar one, whole and by rows. */
static void tk_check_exact(enum k_format format, int bits, int group, enum k_format scale_format, int64_t rows,
                           int64_t cols, int64_t tokens) {
    struct tk_matrix m = tk_matrix_open(format, bits, group, scale_format, rows, cols);
    struct tk_input in = tk_input_open(k_scalar_ops(), K_FORM_FLOAT, tokens, cols);
    size_t n = (size_t)(rows * tokens);
    float *want = malloc(n * sizeof *want), *got = malloc(n * sizeof *got);
    const struct k_ops *o;
    bool usable;
    k_scalar_ops()->matmul(&m.w, 0, rows, &in.in, want, rows);
    for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
        if (!usable) continue;
        int64_t cut = (int64_t)(test_random() % (uint64_t)(rows + 1));
        memset(got, 0xFF, n * sizeof *got);
        o->matmul_exact(&m.w, 0, cut, &in.in, got, rows);
        o->matmul_exact(&m.w, cut, rows, &in.in, got, rows);
        if (memcmp(got, want, n * sizeof *got) != 0) {
            test_fail(__FILE__, __LINE__, "%s: format %d, %d bits g%d, [%lld, %lld] x %lld, cut at %lld: other bits",
                      o->name_cstr, (int)format, bits, group, (long long)rows, (long long)cols, (long long)tokens,
                      (long long)cut);
        }
    }
    free(want);
    free(got);
    tk_input_close(&in);
    tk_matrix_close(&m);
}

TEST(exact_products_have_the_scalar_bits) {
    static const int widths[] = { 2, 3, 4, 5, 6, 8 };
    static const int64_t tokens[] = { 1, 3, 4, 7, 64, 67 };
    static const enum k_format plain[] = { K_F32, K_F16, K_BF16 };
    for (size_t i = 0; i < MLXK_COUNT(widths); i++) {
        for (int group = 32; group <= 128; group *= 2) {
            for (int64_t cols = group; cols <= 8 * group; cols *= 2) {
                tk_check_exact(K_AFFINE, widths[i], group, plain[i % 3], 1 + (int64_t)i, cols, tokens[i]);
            }
            tk_check_exact(K_AFFINE, widths[i], group, plain[i % 3], 5, 640 + group * 4, 5);
        }
    }
    for (int64_t cols = 1; cols <= 40; cols++) {
        tk_check_exact(plain[cols % 3], 0, 0, K_F32, 3, cols, tokens[cols % 6]);
    }
    tk_check_exact(K_F16, 0, 0, K_F32, 4, 1037, 5);
    tk_check_exact(K_MXFP4, 4, 32, K_F32, 5, 672, 6);
    tk_check_exact(K_MXFP8, 8, 32, K_F32, 5, 672, 6);
    tk_check_exact(K_NVFP4, 4, 16, K_F32, 5, 656, 6);
}

/* The served path against floats: int8 activations cost about half a percent, heavy tails included. */
TEST(quantised_activations_stay_close) {
    static const int bits[] = { 3, 4, 8 };
    for (size_t b = 0; b < MLXK_COUNT(bits); b++) {
        for (int group = 32; group <= 128; group *= 2) {
            struct tk_matrix m = tk_matrix_open(K_AFFINE, bits[b], group, K_F16, 40, 2048);
            struct tk_input in = tk_input_open(
                k_scalar_ops(), k_scalar_ops()->input_form(&m.w), 4, 2048);
            struct k_input plain = {.form = K_FORM_FLOAT,
                                    .n_tokens = 4,
                                    .cols = 2048,
                                    .x = (const float *)(void *)in.x.p,
                                    .x_stride = 2048};
            float y[4 * 40], want[4 * 40];
            double off = 0, size = 0;
            for (int64_t i = 0; i < 40 * (2048 / group);
                 i++) { /* centre the codes, as real weights are */
              float scale = tk_uniform() * 0.1f;
              tk_put(m.scales.p, K_F16, i, scale);
              tk_put(m.biases.p, K_F16, i,
                     -scale * (float)((1 << bits[b]) - 1) / 2);
            }
            k_scalar_ops()->matmul(&m.w, 0, 40, &in.in, y, 40);
            k_scalar_ops()->matmul(&m.w, 0, 40, &plain, want, 40);
            for (int i = 0; i < 4 * 40; i++) {
                off += (double)(y[i] - want[i]) * (double)(y[i] - want[i]);
                size += (double)want[i] * (double)want[i];
            }
            if (!(sqrt(off / size) < 0.03)) {
              test_fail(__FILE__, __LINE__, "%d bits g%d: relative error %g",
                        bits[b], group, sqrt(off / size));
            }
            tk_input_close(&in);
            tk_matrix_close(&m);
        }
    }
}

TEST(quantize_has_one_answer) {
    static const int64_t cols[] = { 1, 31, 32, 33, 63, 64, 65, 96, 127, 128, 160, 576, 1537 };
    const struct k_ops *o;
    bool usable;
    for (int form = K_FORM_Q32; form < K_FORM_COUNT; form++) {
        for (size_t c = 0; c < MLXK_COUNT(cols); c++) {
          int64_t n = cols[c], stride = (n + 63) & ~(int64_t)63,
                  blocks = k_form_blocks((enum k_form)form, n);
          struct tk_wall x = tk_wall_open((size_t)n * 4),
                         q = tk_wall_open((size_t)stride);
          struct tk_wall d = tk_wall_open((size_t)blocks * 4),
                         s = tk_wall_open((size_t)blocks * 4);
          int8_t want_q[1600];
          float want_d[60], want_s[60], *v = (float *)(void *)x.p;
          tk_fill(v, n);
          for (int64_t i = 0; i < n;
               i++) { /* zero, infinite, NaN and subnormal blocks */
            int64_t kind = i / 32 % 12;
            v[i] = kind == 3                   ? 0.0f
                   : kind == 5 && i % 32 == 7  ? INFINITY
                   : kind == 7 && i % 32 == 30 ? NAN
                   : kind == 9                 ? (float)(i % 200) * 1.4e-45f
                                               : v[i];
            }
            k_scalar_ops()->quantize((enum k_form)form, v, n, want_q, want_d, want_s);
            for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
                if (!usable) {
                    continue;
                }
                memset(q.p, 0x55, (size_t)stride);
                o->quantize((enum k_form)form, v, n, (int8_t *)q.p,
                            (float *)(void *)d.p, (float *)(void *)s.p);
                if (memcmp(q.p, want_q, (size_t)stride) != 0 ||
                    memcmp(d.p, want_d, (size_t)blocks * 4) != 0 ||
                    !tk_same((float *)(void *)s.p, want_s, blocks)) {
                  test_fail(__FILE__, __LINE__, "%s form %d, %lld columns",
                            o->name_cstr, form, (long long)n);
                }
            }
            tk_wall_close(&x);
            tk_wall_close(&q);
            tk_wall_close(&d);
            tk_wall_close(&s);
        }
    }
}

TEST(quantize_knows_its_formula) {
    float x[64] = { 0 }, d[2], s[2];
    int8_t q[64];
    x[0] = -2.54f; x[1] = 1.0f; x[2] = 0.021f; x[33] = 5.0f; x[34] = INFINITY;
    k_scalar_ops()->quantize(K_FORM_Q32_SPLIT, x, 64, q, d, s);
    CHECK(d[0] == 2.54f / 127.0f && d[1] == 0 && s[1] == 0);
    CHECK_EQ(q[0], -127);                          /* column 0: first of the even half */
    CHECK_EQ(q[16], 50);                           /* column 1: first of the odd half */
    CHECK_EQ(q[1], 1);                             /* column 2 */
    CHECK_EQ(q[48], 0);                            /* column 33 shares its block with an infinity */
    CHECK(s[0] == d[0] * -76.0f);
    CHECK_EQ(k_form_blocks(K_FORM_Q64, 65), 2);
    CHECK_EQ(k_form_blocks(K_FORM_FLOAT, 65), 0);
}

/* ---- between the products -------------------------------------------------------------------- */

static void tk_check_near(const char *table_cstr, const char *what_cstr,
                          const float *got, const float *want, int64_t n,
                          double relative, double absolute) {
  for (int64_t i = 0; i < n; i++) {
    double off = fabs((double)got[i] - (double)want[i]);
    if (!(off <= relative * fabs((double)want[i]) + absolute) &&
        !(isnan(got[i]) && isnan(want[i])) && !(got[i] == want[i])) {
      test_fail(__FILE__, __LINE__,
                "%s %s, %lld values: [%lld] is %.9g, expected %.9g", table_cstr,
                what_cstr, (long long)n, (long long)i, (double)got[i],
                (double)want[i]);
      return;
    }
  }
}

/* Runs one slot of o and of scalar on copies of the same vector. */
static void tk_check_vector(const struct k_ops *o, int64_t n) {
    const struct k_ops *scalar = k_scalar_ops();
    struct tk_wall x = tk_wall_open((size_t)n * 4),
                   w = tk_wall_open((size_t)n * 4),
                   y = tk_wall_open((size_t)n * 4);
    struct tk_wall h = tk_wall_open((size_t)n * 2);
    float want[2100], *xf = (float *)(void *)x.p, *wf = (float *)(void *)w.p,
                      *yf = (float *)(void *)y.p;
    const char *name_cstr = o->name_cstr;
    tk_fill(xf, n);
    tk_fill(wf, n);
    for (int turn = 0; turn < 3; turn++) {
        const float *weight = turn == 0 ? NULL : wf, *bias = turn == 2 ? wf : NULL;
        o->rms_norm(yf, xf, weight, (float)turn, n, 1e-5f);
        scalar->rms_norm(want, xf, weight, (float)turn, n, 1e-5f);
        tk_check_near(name_cstr, "rms_norm", yf, want, n, 2e-6, 1e-9);
        o->layer_norm(yf, xf, weight, 0.5f, bias, n, 1e-5f);
        scalar->layer_norm(want, xf, weight, 0.5f, bias, n, 1e-5f);
        tk_check_near(name_cstr, "layer_norm", yf, want, n, 1e-5, 2e-6);
    }
    o->silu_mul(yf, xf, wf, n);
    scalar->silu_mul(want, xf, wf, n);
    tk_check_near(name_cstr, "silu_mul", yf, want, n, 2e-6, 1e-30);
    o->gelu_mul(yf, xf, wf, n);
    scalar->gelu_mul(want, xf, wf, n);
    tk_check_near(name_cstr, "gelu_mul", yf, want, n, 2e-6, 2e-6);
    memcpy(yf, xf, (size_t)n * 4);
    memcpy(want, xf, (size_t)n * 4);
    o->silu_mul(yf, yf, wf, n);                    /* in place */
    scalar->silu_mul(want, want, wf, n);
    o->add(yf, wf, n);
    scalar->add(want, wf, n);
    o->scale(yf, 1.7f, n);
    scalar->scale(want, 1.7f, n);
    tk_check_near(name_cstr, "silu, add, scale in place", yf, want, n, 2e-6, 1e-6);
    o->rms_norm(xf, xf, wf, 0, n, 1e-6f);
    o->f32_to_f16((uint16_t *)(void *)h.p, xf, n);
    for (int64_t i = 0; i < n; i++) {
        CHECK_EQ(num_read_u16(h.p + 2 * i), num_f32_to_f16(xf[i]));
    }
    memcpy(yf, xf, (size_t)n * 4);
    memcpy(want, xf, (size_t)n * 4);
    if (n > 5) {
        yf[n / 2] = want[n / 2] = -INFINITY;
        yf[n - 1] = want[n - 1] = -300.0f;
    }
    o->softmax(yf, n);
    scalar->softmax(want, n);
    tk_check_near(name_cstr, "softmax", yf, want, n, 4e-6, 1e-36);
    tk_wall_close(&x);
    tk_wall_close(&w);
    tk_wall_close(&y);
    tk_wall_close(&h);
}

TEST(vectors_of_awkward_sizes) {
  static const int64_t sizes[] = {0,  1,  2,  7,  8,   9,   15,   16,   17,  31,
                                  32, 33, 61, 64, 127, 576, 1021, 1536, 2049};
  const struct k_ops *o;
  bool usable;
  for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
    for (size_t n = 0; n < MLXK_COUNT(sizes) && usable; n++) {
      tk_check_vector(o, sizes[n]);
    }
    }
}

TEST(norms_know_their_formula) {
    const float x[4] = { 1, -2, 3, -4 }, w[4] = { 1, 2, 0, -1 }, b[4] = { 0, 0, 5, 0 };
    const struct k_ops *o;
    float y[4];
    bool usable;
    for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
        if (!usable) {
            continue;
        }
        o->rms_norm(y, x, w, 1.0f, 4, 0.0f);       /* mean square 7.5 */
        const float rms[4] = { 0.7302967f, -2.1908902f, 1.0954451f, 0 };
        tk_check_near(o->name_cstr, "rms", y, rms, 4, 1e-6, 1e-7);
        o->layer_norm(y, x, w, 0.0f, b, 4, 0.0f);  /* mean -0.5, variance 7.25 */
        const float layer[4] = { 0.5570860f, -1.1141720f, 5.0f, 1.2998674f };
        tk_check_near(o->name_cstr, "layer", y, layer, 4, 1e-6, 1e-7);
        const float gate[4] = { 0, 1, -200, 200 }, up[4] = { 1, 2, 1, 1 };
        o->silu_mul(y, gate, up, 4);
        const float silu[4] = { 0, 1.4621172f, 0, 200 };
        tk_check_near(o->name_cstr, "silu", y, silu, 4, 1e-6, 1e-30);
        o->gelu_mul(y, gate, up, 4);
        const float gelu[4] = { 0, 1.6823840f, 0, 200 };
        tk_check_near(o->name_cstr, "gelu", y, gelu, 4, 1e-6, 1e-30);
    }
}

TEST(exponentials_are_accurate) {
    const struct k_ops *o;
    bool usable;
    for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
        double worst = 0;
        for (int k = 0; k < 200000 && usable; k += 8) {
          float x[9],
              want; /* softmax of {0, x}: ratio is exp(x), times the same sum */
          x[0] = 0;
          for (int j = 1; j < 9; j++) {
            x[j] = -(float)(k + j) * 4.3e-4f;
            }
            float in[9];
            memcpy(in, x, sizeof in);
            o->softmax(x, 9);
            for (int j = 1; j < 9; j++) {
                want = (float)(exp((double)in[j]) * (double)x[0]);
                double off = fabs((double)x[j] - (double)want) / ((double)want + 1e-44);
                worst = in[j] > -80.0f && off > worst ? off : worst;
            }
        }
        if (!(worst < 4e-7)) {
            test_fail(__FILE__, __LINE__, "%s: exp is off by %g", o->name_cstr, worst);
        }
    }
}

TEST(rope_rotates) {
    const struct k_ops *o;
    bool usable;
    for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
        for (int n = 2; n <= 128 && usable; n += n < 40 ? 2 : 22) {
            for (int traditional = 0; traditional < 2; traditional++) {
              struct tk_wall x = tk_wall_open((size_t)n * 4),
                             c = tk_wall_open((size_t)n * 2),
                             s = tk_wall_open((size_t)n * 2);
              float *v = (float *)(void *)x.p, *cosine = (float *)(void *)c.p,
                    *sine = (float *)(void *)s.p, want[128];
              tk_fill(v, n);
              for (int j = 0; j < n / 2; j++) {
                cosine[j] = cosf((float)j);
                sine[j] = sinf((float)j);
                }
                for (int j = 0; j < n / 2; j++) {
                    int a = traditional ? 2 * j : j, b = traditional ? 2 * j + 1 : j + n / 2;
                    want[a] = v[a] * cosine[j] - v[b] * sine[j];
                    want[b] = v[a] * sine[j] + v[b] * cosine[j];
                }
                o->rope(v, cosine, sine, n, traditional != 0);
                tk_check_near(o->name_cstr, "rope", v, want, n, 1e-6, 1e-6);
                tk_wall_close(&x);
                tk_wall_close(&c);
                tk_wall_close(&s);
            }
        }
    }
}

TEST(argmax_takes_the_first_of_equals) {
    const struct k_ops *o;
    bool usable;
    for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
        for (int64_t n = 0; n < 70 && usable; n++) {
            struct tk_wall x = tk_wall_open((size_t)n * 4);
            float *v = (float *)(void *)x.p;
            for (int64_t k = 0; k < n; k++) {
                v[k] = -INFINITY;
            }
            CHECK_EQ(o->argmax(v, n), -1);
            for (int64_t k = 0; k < n; k++) {
                v[k] = (float)(test_random() % 4) - 9.0f;
            }
            if (n > 3) {
                v[n / 3] = NAN;
                v[n - 1] = 5.0f;
                v[n / 2] = 5.0f;
                v[0] = INFINITY;                   /* not finite: never chosen */
            }
            CHECK_EQ(o->argmax(v, n), k_scalar_ops()->argmax(v, n));
            if (n > 3) {
                CHECK_EQ(o->argmax(v, n), n / 2);
            }
            tk_wall_close(&x);
        }
    }
}

TEST(softmax_of_nothing) {
    const struct k_ops *o;
    bool usable;
    for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
        float x[11];
        for (int k = 0; k < 11; k++) {
            x[k] = -INFINITY;
        }
        if (usable) {
            o->softmax(x, 11);
            CHECK(x[0] == 0 && x[10] == 0);
            x[3] = 1.0f;
            x[4] = 1.0f;
            x[5] = -INFINITY;
            o->softmax(x + 3, 3);
            CHECK(x[3] == 0.5f && x[4] == 0.5f && x[5] == 0);
        }
    }
}

/* ---- attention ------------------------------------------------------------------------------- */

enum { TK_HEADS = 70, TK_DIM = 260 };

struct tk_attend {
  struct k_attend a;
  struct tk_wall k, v;
  float *q;
  int32_t lo[TK_HEADS], hi[TK_HEADS];
};

static struct tk_attend *tk_attend_open(enum k_format format, int n_rows,
                                        int dim_k, int dim_v,
                                        int32_t positions) {
  struct tk_attend *t = calloc(1, sizeof *t);
  int64_t stride = dim_k > dim_v ? dim_k : dim_v;
  size_t size = format == K_F32 ? 4 : 2;
  t->k = tk_wall_open((size_t)((positions - 1) * stride + dim_k) * size);
  t->v = tk_wall_open((size_t)((positions - 1) * stride + dim_v) * size);
  for (int64_t i = 0; i < (positions - 1) * stride + dim_k; i++) {
    tk_put(t->k.p, format, i, tk_normal());
  }
  for (int64_t i = 0; i < (positions - 1) * stride + dim_v; i++) {
    tk_put(t->v.p, format, i, tk_normal());
  }
  t->q = calloc((size_t)(n_rows * dim_k), sizeof *t->q);
  tk_fill(t->q, n_rows * dim_k);
  t->a = (struct k_attend){.k = t->k.p,
                           .v = t->v.p,
                           .kv_format = format,
                           .kv_stride = stride,
                           .dim_k = dim_k,
                           .dim_v = dim_v,
                           .scale = 0.5f / sqrtf((float)dim_k),
                           .q = t->q,
                           .q_stride = dim_k,
                           .n_rows = n_rows};
  for (int r = 0; r < n_rows;
       r++) { /* windows, causal ends, some rows that see nothing */
    t->hi[r] = (int32_t)(test_random() % (uint64_t)(positions + 1));
    t->lo[r] = test_random() % 3 == 0 && t->hi[r] > 9 ? t->hi[r] - 9 : 0;
  }
  t->hi[0] = positions;
  t->lo[0] = 0;
  t->a.row_lo = t->lo;
  t->a.row_hi = t->hi;
  return t;
}

static void tk_attend_close(struct tk_attend *t) {
    tk_wall_close(&t->k);
    tk_wall_close(&t->v);
    free(t->q);
    free(t);
}

/* All blocks of `positions`, merged; then divided by l. */
static void tk_attend_all(const struct k_ops *o, const struct k_attend *a,
                          int32_t positions, float *out) {
  float m[TK_HEADS], l[TK_HEADS], m2[TK_HEADS], l2[TK_HEADS];
  float *acc2 = malloc((size_t)(a->n_rows * a->dim_v) * sizeof *acc2);
  for (int32_t p = 0; p < positions; p += K_ATTEND_BLOCK) {
    int32_t end =
        p + K_ATTEND_BLOCK < positions ? p + K_ATTEND_BLOCK : positions;
    o->attend_block(a, p, end, p == 0 ? m : m2, p == 0 ? l : l2,
                    p == 0 ? out : acc2);
    if (p > 0) {
      o->attend_merge(m, l, out, m2, l2, acc2, a->n_rows, a->dim_v);
    }
  }
  for (int r = 0; r < a->n_rows; r++) {
    for (int d = 0; d < a->dim_v; d++) {
      out[r * a->dim_v + d] = l[r] > 0 ? out[r * a->dim_v + d] / l[r] : 0;
    }
  }
  free(acc2);
}

/* Against plain f64 softmax over all visible positions. */
static void tk_attend_reference(const struct k_attend *a, float *out) {
    for (int r = 0; r < a->n_rows; r++) {
        double sum = 0, max = -1e300, acc[TK_DIM] = { 0 };
        for (int pass = 0; pass < 2; pass++) {
            for (int32_t p = a->row_lo[r]; p < a->row_hi[r]; p++) {
                double s = 0;
                for (int d = 0; d < a->dim_k; d++) {
                    int64_t at = p * a->kv_stride + d;
                    float k = tk_get(a->k, a->kv_format, at);
                    s += (double)a->q[r * a->q_stride + d] * (double)k;
                }
                s *= (double)a->scale;
                s = a->softcap != 0 ? (double)a->softcap * tanh(s / (double)a->softcap) : s;
                max = s > max ? s : max;
                for (int d = 0; pass == 1 && d < a->dim_v; d++) {
                    int64_t at = p * a->kv_stride + d;
                    float v = tk_get(a->v, a->kv_format, at);
                    acc[d] += exp(s - max) * (double)v;
                }
                sum += pass == 1 ? exp(s - max) : 0;
            }
        }
        for (int d = 0; d < a->dim_v; d++) {
            out[r * a->dim_v + d] = sum > 0 ? (float)(acc[d] / sum) : 0;
        }
    }
}

static void tk_check_attention(const struct k_ops *o, enum k_format format,
                               int n_rows, int dim_k, int dim_v,
                               int32_t positions, float softcap) {
  char what[100];
  struct tk_attend *t = tk_attend_open(format, n_rows, dim_k, dim_v, positions);
  float *got = calloc((size_t)(n_rows * dim_v), sizeof *got),
        *want = calloc((size_t)(n_rows * dim_v), sizeof *want);
  snprintf(what, sizeof what, "attention %d rows, %d/%d dims, %d positions",
           n_rows, dim_k, dim_v, positions);
  t->a.softcap = softcap;
  tk_attend_all(o, &t->a, positions, got);
  tk_attend_reference(&t->a, want);
  tk_check_near(o->name_cstr, what, got, want, n_rows * dim_v, 1e-5, 1e-4);
  for (int r = 0; r < n_rows;
       r += 3) { /* one row alone, only as far as it sees: the same bits */
    struct k_attend one = t->a;
    one.n_rows = 1;
    one.q += r * one.q_stride;
    one.row_lo += r;
    one.row_hi += r;
    tk_attend_all(o, &one, t->hi[r] > 0 ? t->hi[r] : 1, want);
    if (!tk_same(want, got + r * dim_v, dim_v)) {
      test_fail(__FILE__, __LINE__, "%s %s: row %d alone differs", o->name_cstr,
                what, r);
    }
  }
  free(got);
  free(want);
  tk_attend_close(t);
}

TEST(attention) {
    static const int rows[] = { 1, 2, 3, 4, 5, 8, 11, 32, 33, 70 };
    static const int dims[] = { 2, 6, 8, 16, 18, 30, 64, 72, 80, 96, 128, 256 };
    static const int positions[] = { 1, 7, 16, 17, 33, 127, 128, 129, 300 };
    const struct k_ops *o;
    bool usable;
    for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
        for (int k = 0; k < 60 && usable; k++) {
            int dim = dims[k % 12], other = k % 5 == 0 ? dims[(k + 3) % 12] : dim;
            tk_check_attention(o, k % 2 == 0 ? K_F16 : K_F32, rows[k * 7 % 10],
                               dim, other, positions[k * 5 % 9],
                               k % 4 == 3 ? 3.0f : 0.0f);
        }
    }
}

TEST(attention_reads_only_what_is_seen) {
    const struct k_ops *o;
    bool usable;
    for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
        struct tk_attend *t = tk_attend_open(K_F32, 3, 16, 16, 100);
        float m[3], l[3], acc[48];
        if (usable) {
            for (int64_t p = 0; p < 100; p++) {    /* rows see [37, 60) at most */
                ((float *)(void *)t->k.p)[p * 16] = p < 37 || p >= 60 ? NAN : 1.0f;
                ((float *)(void *)t->v.p)[p * 16 + 5] = p < 37 || p >= 60 ? NAN : 1.0f;
            }
            for (int r = 0; r < 3; r++) {
                t->lo[r] = 37 + r;
                t->hi[r] = 60 - 3 * r;
            }
            o->attend_block(&t->a, 0, 100, m, l, acc);
            for (int k = 0; k < 48; k++) {
                CHECK(isfinite(acc[k]));
            }
            CHECK(isfinite(m[0]) && l[0] >= 1);
            t->lo[1] = t->hi[1] = 50;              /* sees nothing */
            o->attend_block(&t->a, 0, 100, m, l, acc);
            CHECK(m[1] == -INFINITY && l[1] == 0 && acc[16] == 0 && acc[31] == 0);
            float m2[3] = { m[0], m[1], m[2] }, l2[3] = { l[0], l[1], l[2] }, acc2[48];
            memcpy(acc2, acc, sizeof acc);
            o->attend_merge(m2, l2, acc2, m, l, acc, 3, 16);
            CHECK(l2[0] == 2 * l[0] && l2[1] == 0 && acc2[3] == 2 * acc[3]);
            float empty_m[1] = { -INFINITY }, empty_l[1] = { 0 }, empty_acc[16] = { 0 };
            o->attend_merge(empty_m, empty_l, empty_acc, m, l, acc, 1, 16);
            CHECK(empty_m[0] == m[0] && empty_l[0] == l[0] && tk_same(empty_acc, acc, 16));
        }
        tk_attend_close(t);
    }
}

/* ---- formats and the reference quantiser ----------------------------------------------------- */

/* The golden files are arrays of flat objects: {"key":"text","key":number,"key":[numbers]}. */
static struct str tk_json_next(struct str *rest) {
    ptrdiff_t from = str_find_char(*rest, '{'), to = str_find_char(*rest, '}');
    if (from < 0 || to < 0) {
        return STR_EMPTY;
    }
    struct str object = str_sub(*rest, (size_t)from, (size_t)to + 1);
    *rest = str_sub(*rest, (size_t)to + 1, rest->n);
    return object;
}

/* Value of a key: text without quotes, or up to the next comma or bracket; empty when absent or null. */
static struct str tk_json_get(struct str object, const char *key_cstr) {
    char wanted[64];
    int n = snprintf(wanted, sizeof wanted, "\"%s\":", key_cstr);
    ptrdiff_t at = str_find(object, (struct str){ wanted, (size_t)n });
    if (at < 0) {
        return STR_EMPTY;
    }
    struct str value = str_trim(str_sub(object, (size_t)at + (size_t)n, object.n));
    if (value.n > 0 && value.p[0] == '"') {
        value = str_sub(value, 1, value.n);
        return str_sub(value, 0, (size_t)str_find_char(value, '"'));
    }
    size_t end = 0;
    while (end < value.n && value.p[end] != ',' && value.p[end] != '}' && value.p[end] != ']') {
        end++;
    }
    return str_trim(str_sub(value, 0, end));
}

static int tk_json_int(struct str object, const char *key_cstr) {
    int64_t v = -1;
    num_parse_i64(tk_json_get(object, key_cstr), 0, 1 << 20, &v);
    return (int)v;
}

static uint8_t *tk_unhex(struct arena *a, struct str hex, size_t *n) {
    uint8_t *out = arena_alloc(a, hex.n / 2, 16);
    *n = hex.n / 2;
    for (size_t i = 0; i < *n; i++) {
        int value = 0;
        for (int k = 0; k < 2; k++) {
            char c = hex.p[2 * i + (size_t)k];
            value = value * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
        }
        out[i] = (uint8_t)value;
    }
    return out;
}

static enum k_format tk_format(struct str name) {
    return str_eq_cstr(name, "float16") || str_eq_cstr(name, "f16") ? K_F16
         : str_eq_cstr(name, "bfloat16") || str_eq_cstr(name, "bf16") ? K_BF16 : K_F32;
}

/* Hex of f32, f16 or bf16 values as floats. */
static float *tk_floats(struct arena *a, struct str hex, enum k_format format, int64_t *n) {
    size_t size;
    uint8_t *bytes = tk_unhex(a, hex, &size);
    *n = (int64_t)(size / (format == K_F32 ? 4 : 2));
    float *out = ARENA_ARRAY(a, float, (size_t)*n + 1);
    for (int64_t i = 0; i < *n; i++) {
        out[i] = tk_get(bytes, format, i);
    }
    return out;
}

static struct k_matrix tk_golden_matrix(struct arena *a, struct str c, int64_t cols) {
    struct str mode = tk_json_get(c, "mode");
    size_t n_codes, n_scales, n_biases;
    struct k_matrix w = {.bits = tk_json_int(c, "bits"),
                         .group = tk_json_int(c, "group_size"),
                         .cols = cols,
                         .global_scale = 1,
                         .scale_format =
                             tk_format(tk_json_get(c, "scales_dtype"))};
    w.format = str_eq_cstr(mode, "affine") ? K_AFFINE : str_eq_cstr(mode, "mxfp4") ? K_MXFP4
             : str_eq_cstr(mode, "mxfp8") ? K_MXFP8 : K_NVFP4;
    w.row_bytes = (size_t)(cols * w.bits / 8);
    w.data = tk_unhex(a, tk_json_get(c, "weight"), &n_codes);
    w.scales = tk_unhex(a, tk_json_get(c, "scales"), &n_scales);
    w.biases = w.format == K_AFFINE ? tk_unhex(a, tk_json_get(c, "biases"), &n_biases) : NULL;
    w.rows = (int64_t)(n_codes / w.row_bytes);
    return w;
}

/* Quantises the input again and compares bytes. */
static void tk_check_quantizer(struct arena *a, struct str name,
                               const struct k_matrix *w, const float *x,
                               enum k_format store) {
  size_t groups = (size_t)(w->cols / w->group), size = w->format != K_AFFINE ? 1
                                                       : store == K_F32      ? 4
                                                                        : 2;
  uint8_t *codes = arena_alloc(a, w->row_bytes, 1),
          *scales = arena_alloc(a, groups * size, 1);
  uint8_t *biases = arena_alloc(a, groups * size, 1);
  for (int64_t r = 0; r < w->rows; r++) {
    k_quantize_row(w, store, x + r * w->cols, codes, scales,
                   w->biases != NULL ? biases : NULL);
    bool same =
        memcmp(codes, w->data + (size_t)r * w->row_bytes, w->row_bytes) == 0 &&
        memcmp(scales, w->scales + (size_t)r * groups * size, groups * size) ==
            0 &&
        (w->biases == NULL ||
         memcmp(biases, w->biases + (size_t)r * groups * size, groups * size) ==
             0);
    if (!same) {
      test_fail(__FILE__, __LINE__,
                STR_FMT ": format %d, %d bits, group %d, row %d differ",
                STR_ARG(name), (int)w->format, w->bits, w->group, (int)r);
    }
  }
}

/* want: what the reference dequantised to. For f16 and bf16 it rounds the product and the sum to that type. */
static void tk_check_dequantize(struct str name, const struct k_matrix *w,
                                const float *want, enum k_format type) {
  float row[512];
  for (int64_t r = 0; r < w->rows; r++) {
    k_scalar_ops()->dequantize_row(w, r, row);
    for (int64_t i = 0; i < w->cols; i++) {
      float v = tk_round(row[i], type), wanted = want[r * w->cols + i];
      if (w->format == K_AFFINE) {
        int64_t g = r * (w->cols / w->group) + i / w->group;
        float scale = tk_get(w->scales, type, g),
              bias = tk_get(w->biases, type, g);
        float product = scale * (float)tk_code(w, r, i);
        v = tk_round(tk_round(product, type) + bias, type);
        CHECK(row[i] == product + bias);
      }
      if (!(v == wanted)) {
        test_fail(__FILE__, __LINE__,
                  STR_FMT ": format %d, %d bits: [%d, %d] is %g, expected %g",
                  STR_ARG(name), (int)w->format, w->bits, (int)r, (int)i,
                  (double)v, (double)wanted);
        return;
      }
    }
  }
}

static struct str tk_golden(struct arena *a, const char *name_cstr) {
    struct err e = { 0 };
    struct str text = STR_EMPTY;
    char path[200];
    snprintf(path, sizeof path, "golden/quantizer/%s", name_cstr);
    CHECK_OK(os_read_file(a, test_data_path(path), (size_t)1 << 24, &text, &e), e);
    return text;
}

TEST(quantiser_gives_the_reference_bytes) {
    struct arena a;
    int n = 0;
    arena_init(&a, (size_t)1 << 28);
    struct str cases = tk_golden(&a, "cases.json"), inputs = tk_golden(&a, "inputs.json"), c;
    while ((c = tk_json_next(&cases)).n > 0) {
        struct str name = tk_json_get(c, "input"), rest = inputs, input;
        struct arena_mark mark = arena_mark(&a);
        while (!str_eq(tk_json_get(input = tk_json_next(&rest), "name"), name)) {
            CHECK(input.n > 0);
        }
        ptrdiff_t shape = str_find(input, STR("\"shape\":["));
        struct str cols_text = str_sub(
            input,
            (size_t)str_find_char(str_sub(input, (size_t)shape, input.n), ',') +
                (size_t)shape + 1,
            input.n);
        int64_t cols = 0, n_x, n_want;
        CHECK(num_parse_i64(
            str_trim(
                str_sub(cols_text, 0, (size_t)str_find_char(cols_text, ']'))),
            1, 512, &cols));
        enum k_format store = tk_format(tk_json_get(input, "dtype")),
                      type = tk_format(tk_json_get(c, "dequantized_dtype"));
        float *x = tk_floats(&a, tk_json_get(input, "data"), store, &n_x);
        struct k_matrix w = tk_golden_matrix(&a, c, cols);
        float *want = tk_floats(&a, tk_json_get(c, "dequantized"), type, &n_want);
        CHECK_EQ(n_want, w.rows * cols);
        bool wraps = str_eq_cstr(name, "denormal.float32") &&
                     (w.format == K_MXFP4 || w.format == K_MXFP8);
        if (!wraps) { /* the reference's exponent byte wraps around there */
          tk_check_quantizer(&a, name, &w, x, store);
        }
        tk_check_dequantize(name, &w, want, type);
        arena_rewind(&a, mark);
        n++;
    }
    CHECK_EQ(n, 699);
    arena_release(&a);
}

TEST(products_of_reference_matrices) {
    struct arena a;
    int n = 0;
    arena_init(&a, (size_t)1 << 26);
    struct str cases = tk_golden(&a, "matmul.json"), c;
    while ((c = tk_json_next(&cases)).n > 0) {
        int64_t cols = tk_json_int(c, "in"), rows = tk_json_int(c, "out"), n_x;
        struct k_matrix w = tk_golden_matrix(&a, c, cols);
        float *x = tk_floats(&a, tk_json_get(c, "x"), K_F32, &n_x), y[256];
        struct k_input in = {.form = K_FORM_FLOAT,
                             .n_tokens = n_x / cols,
                             .cols = cols,
                             .x = x,
                             .x_stride = cols};
        struct str want = str_sub(c, (size_t)str_find(c, STR("\"y_float64\":[")) + 13, c.n);
        CHECK_EQ(w.rows, rows);
        k_scalar_ops()->matmul(&w, 0, rows, &in, y, rows);
        for (int64_t i = 0; i < in.n_tokens * rows; i++) {
            double v = 0;
            size_t end = 0;
            while (want.p[end] != ',' && want.p[end] != ']') {
                end++;
            }
            CHECK(num_parse_f64(str_trim(str_sub(want, 0, end)), &v));
            want = str_sub(want, end + 1, want.n);
            if (!(fabs((double)y[i] - v) <= 2e-5 + 1e-6 * fabs(v))) {
              test_fail(__FILE__, __LINE__,
                        "product %d, element %d is %.9g, expected %.9g", n,
                        (int)i, (double)y[i], v);
            }
        }
        n++;
    }
    CHECK_EQ(n, 21);
    arena_release(&a);
}

TEST(quantised_values_come_back) {
    for (int bits = 2; bits <= 8; bits += bits == 6 ? 2 : 1) {
        float x[128], back[128];
        uint8_t codes[128], scales[16], biases[16];
        struct k_matrix w = {.format = K_AFFINE,
                             .bits = bits,
                             .group = 32,
                             .rows = 1,
                             .cols = 128,
                             .data = codes,
                             .row_bytes = (size_t)(128 * bits / 8),
                             .scales = scales,
                             .biases = biases,
                             .scale_format = K_F32,
                             .global_scale = 1};
        tk_fill(x, 128);
        k_quantize_row(&w, K_F32, x, codes, scales, biases);
        k_scalar_ops()->dequantize_row(&w, 0, back);
        for (int i = 0; i < 128; i++) {
            float scale;
            memcpy(&scale, scales + i / 32 * 4, 4);
            CHECK(fabsf(back[i] - x[i]) <= fabsf(scale) * 1.01f + 1e-6f);
        }
    }
}

/* ---- tables ---------------------------------------------------------------------------------- */

TEST(tables_are_listed_and_found) {
    bool usable = false;
    int i = 0, n_slots = 0;
    const struct k_ops *o, *last = NULL;
    for (; (o = k_list(i, &usable)) != NULL; i++) {
        CHECK(o->name_cstr != NULL && o->note_cstr != NULL);
        CHECK((k_find(str_cstr(o->name_cstr)) == o) == usable);
        last = o;
    }
    CHECK(last == k_scalar_ops() && last->parent_cstr == NULL && usable);
    CHECK(k_list(-1, &usable) == NULL);
    CHECK(k_find(STR("sse9")) == NULL);
    CHECK(k_find(STR_EMPTY) == NULL);
    const char *owner_cstr, *slot_cstr;
    for (; (slot_cstr = k_describe(last, n_slots, &owner_cstr)) != NULL; n_slots++) {
        CHECK(slot_cstr[0] != '\0');
        CHECK_STR(str_cstr(owner_cstr), STR("scalar"));
    }
    CHECK_EQ(n_slots, 17);
    o = k_list(0, &usable);
    CHECK_STR(str_cstr(k_describe(o, 2, &owner_cstr)), STR("matmul"));
    CHECK_STR(str_cstr(owner_cstr), str_cstr(o->name_cstr));
}

TEST(kernels_can_be_forced) {
    struct err e = { 0 };
    const char *was_cstr = getenv("MLXK_KERNELS");
    char was[64] = "";
    snprintf(was, sizeof was, "%s", was_cstr != NULL ? was_cstr : "");
    setenv("MLXK_KERNELS", "scalar", 1);
    CHECK(k_choose(&e) == k_scalar_ops());
    setenv("MLXK_KERNELS", "vector9000", 1);
    CHECK(k_choose(&e) == NULL);
    CHECK_EQ(e.code, ERR_INVALID);
    CHECK(str_find(str_cstr(e.hint), STR("scalar")) > 0);
    setenv("MLXK_KERNELS", "", 1);
    err_clear(&e);
    const struct k_ops *best = k_choose(&e);
    bool usable = false;
    int i = 0;
    while (!usable) {
        CHECK(k_list(i, &usable) != NULL);
        i++;
    }
    CHECK(best == k_list(i - 1, &usable));
    if (was_cstr != NULL) {
        setenv("MLXK_KERNELS", was, 1);
    } else {
        unsetenv("MLXK_KERNELS");
    }
}

TEST_LIST(kernels){T(affine_products_have_the_scalar_bits),
                   T(rows_do_not_see_their_neighbours),
                   T(affine_products_at_the_sizes_of_models),
                   T(integer_sums_are_exact),
                   T(float_products),
                   T(block_float_products),
                   T(exact_uses_floats),
                   T(exact_products_have_the_scalar_bits),
                   T(quantised_activations_stay_close),
                   T(quantize_has_one_answer),
                   T(quantize_knows_its_formula),
                   T(vectors_of_awkward_sizes),
                   T(norms_know_their_formula),
                   T(exponentials_are_accurate),
                   T(rope_rotates),
                   T(argmax_takes_the_first_of_equals),
                   T(softmax_of_nothing),
                   T(attention),
                   T(attention_reads_only_what_is_seen),
                   T(quantiser_gives_the_reference_bytes),
                   T(products_of_reference_matrices),
                   T(quantised_values_come_back),
                   T(tables_are_listed_and_found),
                   T(kernels_can_be_forced),
                   TEST_END};
