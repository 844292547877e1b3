/* test_engine.c: the engine against reference logits, against a straight-line forward pass in double, and against
 * itself: every way of sharing the work must give the same bits.
 */
#include "engine/engine.h"
#include "engine/engine_int.h"

#include "test.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- helpers --------------------------------------------------------------------------------------- */

static struct model *test_eng_model(const char *name) {
    char path[200];
    struct err e = { 0 };
    snprintf(path, sizeof path, "golden/tiny-a/%s", name);
    struct model *m = model_open(test_data_path(path), &e);
    CHECK_OK(m, e);
    return m;
}

static struct eng_session *test_eng_session(const struct model *m, struct eng_options o) {
    struct err e = { 0 };
    if (o.n_threads == 0) o.n_threads = 1;
    if (o.context == 0) o.context = 512;
    struct eng_session *s = m ? eng_open(m, &o, &e) : NULL;
    if (m) CHECK_OK(s, e);
    return s;
}

static bool test_eng_row(void *ctx, int64_t index, const float *logits, int64_t vocab) {
    float *all = ctx;
    memcpy(all + index * vocab, logits, (size_t)vocab * sizeof *logits);
    return true;
}

/* Random ids that a vocabulary of 320 has, beginning with bos. */
static void test_eng_ids(int32_t *ids, int n) {
    for (int i = 0; i < n; i++) ids[i] = (int32_t)(test_random() % 320);
    ids[0] = 1;
}

struct test_eng_golden { struct arena a; int32_t ids[64], greedy[64]; int n_ids, n_safe; float *logits; double std; };

static int test_eng_list(const struct json *list, int32_t *out) {
    int n = 0;
    for (const struct json *v = list ? list->child : NULL; v && n < 64; v = v->next) out[n++] = (int32_t)v->integer;
    return n;
}

static bool test_eng_golden_read(const char *name, const char *logits_file, struct test_eng_golden *g) {
    char path[200];
    struct err e = { 0 };
    struct str text, floats = STR_EMPTY;
    arena_init(&g->a, 1 << 24);
    snprintf(path, sizeof path, "golden/tiny-a/%s/golden.json", name);
    struct json *json = os_read_file(&g->a, test_data_path(path), 1 << 20, &text, &e) ? json_parse(&g->a, text, &e) : NULL;
    snprintf(path, sizeof path, "golden/tiny-a/%s/%s", name, logits_file);
    bool ok = json && os_read_file(&g->a, test_data_path(path), 1 << 22, &floats, &e);
    CHECK_OK(ok, e);
    if (!ok) return false;
    g->n_ids = test_eng_list(json_get(json, "prompt_ids"), g->ids);
    int n_greedy = test_eng_list(json_get(json, "greedy_ids"), g->greedy);
    g->n_safe = (int)json_get(json, "greedy_safe_prefix")->integer;
    g->std = json_get(json, "logit_std")->number;
    g->logits = arena_alloc(&g->a, floats.n, 64);
    memcpy(g->logits, floats.p, floats.n);
    CHECK(g->n_safe <= n_greedy && floats.n == (size_t)g->n_ids * 320 * sizeof(float) && g->n_ids > 0);
    return true;
}

static double test_eng_worst(const float *got, const float *want, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        if (!(d <= worst)) worst = d;
    }
    return worst;
}

/* Exact logits of all prompt positions, and the greedy continuation token by token. m is closed. */
static void test_eng_check_model(struct model *m, const char *name, const char *logits_file, int64_t context,
                                 bool greedy) {
    struct test_eng_golden g;
    struct err e = { 0 };
    if (!test_eng_golden_read(name, logits_file, &g)) return;
    struct eng_session *s = test_eng_session(m, (struct eng_options){ .exact = true, .n_threads = 2, .context = context });
    float *logits = malloc((size_t)g.n_ids * 320 * sizeof *logits);
    if (s && logits) {
        CHECK_EQ(eng_vocab(s), 320);
        CHECK_OK(eng_feed_all(s, g.ids, g.n_ids, test_eng_row, logits, &e), e);
        double worst = test_eng_worst(logits, g.logits, (size_t)g.n_ids * 320);
        if (!(worst <= 1e-3 * g.std)) test_fail(__FILE__, __LINE__, "%s: off by %g at a spread of %g", name, worst, g.std);
        const float *last = logits + (int64_t)(g.n_ids - 1) * 320;
        for (int i = 0; greedy && i < g.n_safe; i++) {
            int32_t id = (int32_t)eng_kernels(s)->argmax(last, 320);
            if (id != g.greedy[i]) test_fail(__FILE__, __LINE__, "%s: token %d is %d, expected %d", name, i, id, g.greedy[i]);
            CHECK_OK(eng_feed(s, &id, 1, &last, NULL, NULL, &e), e);
        }
    }
    free(logits);
    eng_close(s);
    model_close(m);
    arena_release(&g.a);
}

static void test_eng_check_golden(const char *name, const char *logits_file, int64_t context, bool greedy) {
    test_eng_check_model(test_eng_model(name), name, logits_file, context, greedy);
}

/* ---- reference checkpoints --------------------------------------------------------------------------- */

#define TEST_ENG_MODELS(X) \
    X(llama_bfloat16, "llama-bfloat16") X(llama_bias, "llama-bias") X(llama_float16, "llama-float16") \
    X(llama_float32, "llama-float32") X(llama_head_dim, "llama-head-dim") X(llama_metadata_null, "llama-metadata-null") \
    X(llama_mha, "llama-mha") X(llama_mixed_overrides, "llama-mixed-overrides") X(llama_mqa, "llama-mqa") \
    X(llama_mxfp4, "llama-mxfp4") X(llama_mxfp4_affine, "llama-mxfp4-affine-overrides") X(llama_mxfp8, "llama-mxfp8") \
    X(llama_nvfp4, "llama-nvfp4") X(llama_q2_g32, "llama-q2-g32") X(llama_q2_g64, "llama-q2-g64") \
    X(llama_q3_g32, "llama-q3-g32") X(llama_q3_g64, "llama-q3-g64") X(llama_q4_g128, "llama-q4-g128") \
    X(llama_q4_g32, "llama-q4-g32") X(llama_q4_g64, "llama-q4-g64") X(llama_f32scales, "llama-q4-g64-f32scales") \
    X(llama_q5_g32, "llama-q5-g32") X(llama_q5_g64, "llama-q5-g64") X(llama_q6_g32, "llama-q6-g32") \
    X(llama_q6_g64, "llama-q6-g64") X(llama_q8_g128, "llama-q8-g128") X(llama_q8_g32, "llama-q8-g32") \
    X(llama_q8_g64, "llama-q8-g64") X(llama_rope_linear, "llama-rope-linear") X(llama_rope_llama3, "llama-rope-llama3") \
    X(llama_rope_old_key, "llama-rope-old-type-key") X(llama_rope_traditional, "llama-rope-traditional") \
    X(llama_rope_yarn, "llama-rope-yarn") X(llama_sharded, "llama-sharded") X(llama_sharded_bf16, "llama-sharded-bf16") \
    X(llama_sliding, "llama-sliding") X(llama_tied_q4, "llama-tied-q4") X(llama_unaligned, "llama-unaligned") \
    X(llama_unaligned_bf16, "llama-unaligned-bf16") X(llama_untied_float, "llama-untied-head-float") \
    X(mistral_bf16, "mistral-bf16") X(mistral_q4, "mistral-q4") X(qwen2_bf16, "qwen2-bf16") X(qwen2_q4, "qwen2-q4") \
    X(qwen3_bf16, "qwen3-bf16") X(qwen3_q4, "qwen3-q4") X(smollm3_bf16, "smollm3-bf16") X(smollm3_q4, "smollm3-q4") \
    X(gemma_q4, "gemma-q4") X(gemma2_q4, "gemma2-q4") X(gemma3_q4, "gemma3_text-q4") X(phi3_q4, "phi3-q4") \
    X(granite_q4, "granite-q4") X(olmo2_q4, "olmo2-q4") X(olmo3_q4, "olmo3-q4") X(glm4_q4, "glm4-q4") \
    X(cohere_q4, "cohere-q4") X(cohere2_q4, "cohere2-q4") X(exaone4_q4, "exaone4-q4") X(seed_oss_q4, "seed_oss-q4") \
    X(ministral3_q4, "ministral3-q4")

#define TEST_ENG_GOLDEN(id, name) TEST(eng_golden_##id) { test_eng_check_golden(name, "golden.f32", 0, true); }
TEST_ENG_MODELS(TEST_ENG_GOLDEN)

/* The short table serves contexts up to the original length, the long one all others. */
TEST(eng_golden_longrope) {
    test_eng_check_golden("phi3-longrope-q4", "golden.f32", 4096, true);
    test_eng_check_golden("phi3-longrope-q4", "golden.short_factor.f32", 2048, false);
}

/* The same checkpoint as the text part of a larger model: config nested, tensors renamed, others beside them. */
static const char *test_eng_wrap(const char *name, const char *type, bool text_type) {
    static char dir[300];
    char path[400], config[4096];
    struct arena a;
    struct err e = { 0 };
    struct str text, file;
    struct safet s;
    struct buf out;
    arena_init(&a, 1 << 24);
    buf_init(&out, 1 << 24);
    snprintf(dir, sizeof dir, "%s/%s", test_scratch_dir(), type);
    CHECK_OK(os_mkdirs(dir, &e), e);
    snprintf(path, sizeof path, "golden/tiny-a/%s/config.json", name);
    CHECK_OK(os_read_file(&a, test_data_path(path), 4000, &text, &e), e);
    struct json *inner = json_parse(&a, text, &e);
    struct buf quant;
    struct json_writer w;
    buf_init(&quant, 4096);
    json_write_init(&w, &quant, false, false);
    json_write_value(&w, json_get(inner, "quantization"));
    char *kind = strstr(text.p, "\"model_type\"");
    if (!text_type) memcpy(kind, "\"other_type\"", 12);
    snprintf(config, sizeof config, "{\"model_type\":\"%s\",\"eos_token_id\":[7,8],\"quantization\":%s,\"text_config\":" STR_FMT "}",
             type, quant.p, STR_ARG(text));
    buf_release(&quant);
    snprintf(path, sizeof path, "%s/config.json", dir);
    CHECK_OK(os_write_file(path, str_cstr(config), &e), e);
    snprintf(path, sizeof path, "golden/tiny-a/%s/model.safetensors", name);
    CHECK_OK(os_read_file(&a, test_data_path(path), 1 << 22, &file, &e), e);
    CHECK_OK(safet_parse(&a, file, file.n, &s, &e), e);
    struct safet_tensor *list = ARENA_ARRAY(&a, struct safet_tensor, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        list[i] = s.tensors[i];
        list[i].name = str_concat(&a, STR("language_model."), s.tensors[i].name);
    }
    list[s.n] = (struct safet_tensor){ .name = STR("vision_tower.x"), .dtype = DTYPE_U8, .n_dims = 1, .shape = { 3 } };
    CHECK_OK(safet_write_header(&out, list, s.n + 1, true, &e), e);
    for (size_t i = 0; i < s.n; i++) buf_add(&out, str_sub(file, s.tensors[i].begin, s.tensors[i].end));
    buf_add(&out, STR("eye"));
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    CHECK_OK(os_write_file(path, buf_str(&out), &e), e);
    buf_release(&out);
    arena_release(&a);
    return dir;
}

TEST(eng_golden_wrapped) {
    static const struct { const char *name, *type; bool text_type; } cases[] = {
        { "gemma3_text-q4", "gemma3", true }, { "mistral-q4", "mistral3", true }, { "ministral3-q4", "mistral3", true },
        { "qwen3-q4", "qwen3_vl", false }, { "gemma3_text-q4", "gemma3", false },
    };
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        struct err e = { 0 };
        struct model *m = model_open(test_eng_wrap(cases[i].name, cases[i].type, cases[i].text_type), &e);
        CHECK_OK(m, e);
        if (!m) continue;
        CHECK(m->config.n_eos == 2 && m->config.eos[0] == 7);
        CHECK_STR(m->config.model_type, str_cstr(cases[i].type));
        test_eng_check_model(m, cases[i].name, "golden.f32", 0, true);
    }
}

/* ---- a straight-line forward pass in double ---------------------------------------------------------------- */

struct test_eng_straight { const struct model *m; int n; double *x, *k, *v, *y, *att; };

/* out[rows] = W in, with the row dequantised exactly. */
static void test_eng_matvec(const struct k_matrix *w, const double *in, double *out) {
    static float row[4096];
    for (int64_t r = 0; r < w->rows; r++) {
        k_scalar_ops()->dequantize_row(w, r, row);
        out[r] = 0;
        for (int64_t c = 0; c < w->cols; c++) out[r] += (double)row[c] * in[c];
    }
}

static void test_eng_rms(const float *w, const double *x, int n, double eps, double *y) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    for (int i = 0; i < n; i++) y[i] = x[i] / sqrt(sum / n + eps) * (double)w[i];
}

static void test_eng_turn(const struct model *m, const struct model_layer *y, const float *norm, int pos, double *x) {
    int half = m->ropes[0].n_rot / 2;
    if (norm) test_eng_rms(norm, x, m->config.dim_head, (double)m->config.norm_eps, x);
    for (int j = 0; y->rope && j < half; j++) {
        double a = x[j], b = x[j + half], angle = pos / y->rope->wavelengths[j];
        x[j] = a * cos(angle) - b * sin(angle);
        x[j + half] = a * sin(angle) + b * cos(angle);
    }
}

static void test_eng_straight_attend(const struct test_eng_straight *f, const struct model_layer *y, int t,
                                     const double *q, double *out) {
    const struct model_config *c = &f->m->config;
    int dim = c->dim_head, kv = c->n_kv_heads * dim, first = y->window && t + 1 > y->window ? t + 1 - y->window : 0;
    double score[512];
    for (int h = 0; h < c->n_heads; h++) {
        int at = h / (c->n_heads / c->n_kv_heads) * dim;
        double sum = 0, max = -(double)INFINITY;
        for (int p = first; p <= t; p++) {
            score[p] = 0;
            for (int i = 0; i < dim; i++) score[p] += q[h * dim + i] * f->k[p * kv + at + i];
            score[p] /= sqrt(dim);
            max = fmax(max, score[p]);
        }
        for (int i = 0; i < dim; i++) out[h * dim + i] = 0;
        for (int p = first; p <= t; p++) {
            double e = exp(score[p] - max);
            sum += e;
            for (int i = 0; i < dim; i++) out[h * dim + i] += e * f->v[p * kv + at + i];
        }
        for (int i = 0; i < dim; i++) out[h * dim + i] /= sum;
    }
}

static void test_eng_straight_layer(struct test_eng_straight *f, const struct model_layer *y) {
    const struct model_config *c = &f->m->config;
    int dim = c->dim, kv = c->n_kv_heads * c->dim_head;
    static double n[1024], q[1024], att[1024], g[1024], u[1024], o[1024];
    double eps = (double)c->norm_eps;
    for (int t = 0; t < f->n; t++) {
        test_eng_rms(y->attn_norm.w, f->x + t * dim, dim, eps, n);
        test_eng_matvec(&y->k.w, n, f->k + t * kv);
        test_eng_matvec(&y->v.w, n, f->v + t * kv);
        for (int h = 0; h < c->n_kv_heads; h++) test_eng_turn(f->m, y, y->k_norm.w, t, f->k + t * kv + h * c->dim_head);
        test_eng_matvec(&y->q.w, n, q);
        for (int h = 0; h < c->n_heads; h++) test_eng_turn(f->m, y, y->q_norm.w, t, q + h * c->dim_head);
        test_eng_straight_attend(f, y, t, q, att);
        test_eng_matvec(&y->o.w, att, o);
        for (int i = 0; i < dim; i++) f->x[t * dim + i] += o[i];
        test_eng_rms(y->ffn_norm.w, f->x + t * dim, dim, eps, n);
        test_eng_matvec(&y->gate.w, n, g);
        test_eng_matvec(&y->up.w, n, u);
        for (int i = 0; i < c->dim_ff; i++) g[i] = g[i] / (1 + exp(-g[i])) * u[i];
        test_eng_matvec(&y->down.w, g, o);
        for (int i = 0; i < dim; i++) f->x[t * dim + i] += o[i];
    }
}

static void test_eng_straight_run(const struct model *m, const int32_t *ids, int n, double *logits) {
    const struct model_config *c = &m->config;
    size_t kv = (size_t)(c->n_kv_heads * c->dim_head), dim = (size_t)c->dim;
    struct test_eng_straight f = { .m = m, .n = n };
    float row[1024];
    f.x = calloc((size_t)n * dim, sizeof *f.x);
    f.k = calloc((size_t)n * kv, sizeof *f.k);
    f.v = calloc((size_t)n * kv, sizeof *f.v);
    for (int t = 0; t < n; t++) {
        k_scalar_ops()->dequantize_row(&m->embed, ids[t], row);
        for (size_t i = 0; i < dim; i++) f.x[(size_t)t * dim + i] = (double)row[i];
    }
    for (int i = 0; i < c->n_layers; i++) test_eng_straight_layer(&f, &m->layers[i]);
    for (int t = 0; t < n; t++) {
        double x[1024];
        test_eng_rms(m->final_norm.w, f.x + (size_t)t * dim, c->dim, (double)c->norm_eps, x);
        test_eng_matvec(&m->head.w, x, logits + t * c->vocab);
    }
    free(f.x);
    free(f.k);
    free(f.v);
}

/* Longer than two blocks of the KV cache; window 0 = as the model has it. */
static void test_eng_check_straight(const char *name, int window) {
    enum { N = 300 };
    static double want[N * 320];
    static float got[N * 320];
    int32_t ids[N];
    struct err e = { 0 };
    struct model *m = test_eng_model(name);
    if (!m) return;
    test_eng_ids(ids, N);
    for (int i = 0; window && i < m->config.n_layers; i += 2) m->layers[i].window = window;
    test_eng_straight_run(m, ids, N, want);
    for (int chunk = 1; chunk <= 256; chunk = chunk * 16 + (chunk == 1)) {         /* 1, 17, 272 is over */
        struct eng_session *s = test_eng_session(m, (struct eng_options){ .exact = true, .n_threads = 2, .prefill_chunk = chunk });
        if (!s) break;
        CHECK_OK(eng_feed_all(s, ids, N, test_eng_row, got, &e), e);
        double worst = 0;
        for (int i = 0; i < N * 320; i++) worst = fmax(worst, fabs((double)got[i] - want[i]));
        if (!(worst < 2e-4)) test_fail(__FILE__, __LINE__, "%s, window %d, chunk %d: off by %g", name, window, chunk, worst);
        eng_close(s);
    }
    model_close(m);
}

TEST(eng_straight_long) { test_eng_check_straight("llama-float32", 0); }
TEST(eng_straight_window) { test_eng_check_straight("llama-float32", 100); }
TEST(eng_straight_window_of_a_block) { test_eng_check_straight("llama-mqa", 128); }
TEST(eng_straight_qwen3) { test_eng_check_straight("qwen3-q4", 0); }

/* ---- the same bits --------------------------------------------------------------------------------------------- */

static void test_eng_same(const char *name, const struct k_ops *kernels, bool exact, bool all) {
    enum { N = 132 };                   /* more than one block of the KV cache */
    static const struct { int threads, chunk; bool always; } ways[] = {
        { 2, 1, true }, { 3, 7, true }, { 5, 256, true }, { 1, 1, false }, { 1, 7, false }, { 2, 7, false },
        { 2, 256, false }, { 3, 1, false }, { 3, 256, false }, { 5, 1, false }, { 5, 7, false },
    };
    static float first[N * 320], got[N * 320];
    int32_t ids[N];
    struct err e = { 0 };
    struct model *m = test_eng_model(name);
    test_eng_ids(ids, N);
    struct eng_session *s = test_eng_session(m, (struct eng_options){ .kernels = kernels, .exact = exact });
    if (s) CHECK_OK(eng_feed_all(s, ids, N, test_eng_row, first, &e), e);
    for (size_t i = 0; s && i < MLXK_COUNT(ways); i++) {
        if (!all && !ways[i].always) continue;
        struct eng_options o = { .kernels = kernels, .exact = exact, .n_threads = ways[i].threads, .prefill_chunk = ways[i].chunk };
        struct eng_session *other = test_eng_session(m, o);
        if (!other) break;
        CHECK_OK(eng_feed_all(other, ids, N, test_eng_row, got, &e), e);
        size_t at = 0;
        while (at < N * 320 && memcmp(&got[at], &first[at], sizeof *got) == 0) at++;
        if (at < N * 320)
            test_fail(__FILE__, __LINE__, "%s, %s, %d threads, chunk %d: token %zu logit %zu is %.9g, not %.9g", name,
                      kernels->name_cstr, ways[i].threads, ways[i].chunk, at / 320, at % 320, (double)got[at], (double)first[at]);
        eng_close(other);
    }
    eng_close(s);
    model_close(m);
}

TEST(eng_same_bits_every_way) {
    const struct k_ops *kernels;
    bool usable;
    for (int i = 0; (kernels = k_list(i, &usable)) != NULL; i++) {
        if (!usable) continue;
        test_eng_same("llama-q4-g64", kernels, false, true);
        test_eng_same("llama-mixed-overrides", kernels, false, false);
        test_eng_same("llama-q3-g32", kernels, false, false);
        test_eng_same("llama-bfloat16", kernels, false, false);
        test_eng_same("llama-mxfp4", kernels, false, false);
        test_eng_same("llama-sliding", kernels, false, false);
    }
}

TEST(eng_same_bits_families) {
    static const char *const names[] = { "llama-mqa", "llama-bias", "qwen3-q4", "smollm3-q4", "olmo2-q4", "cohere-q4",
                                         "gemma2-q4", "phi3-q4", "ministral3-q4", "granite-q4" };
    struct err e = { 0 };
    for (size_t i = 0; i < MLXK_COUNT(names); i++) test_eng_same(names[i], k_choose(&e), false, false);
    test_eng_same("llama-q4-g64", k_choose(&e), true, false);
}

/* The int8 path stays near the exact one: random checkpoints are the hardest case for it. */
TEST(eng_integers_are_near) {
    static const char *const names[] = { "llama-q4-g64", "llama-q8-g64", "llama-q2-g32", "qwen3-q4", "gemma3_text-q4" };
    for (size_t i = 0; i < MLXK_COUNT(names); i++) {
        struct test_eng_golden g;
        struct err e = { 0 };
        if (!test_eng_golden_read(names[i], "golden.f32", &g)) return;
        struct model *m = test_eng_model(names[i]);
        struct eng_session *s = test_eng_session(m, (struct eng_options){ .n_threads = 2 });
        float *got = malloc((size_t)g.n_ids * 320 * sizeof *got);
        if (s && got) {
            double sum = 0;
            CHECK_OK(eng_feed_all(s, g.ids, g.n_ids, test_eng_row, got, &e), e);
            for (int j = 0; j < g.n_ids * 320; j++) sum += pow((double)got[j] - (double)g.logits[j], 2);
            double rms = sqrt(sum / (g.n_ids * 320)) / g.std;
            if (!(rms < 0.05)) test_fail(__FILE__, __LINE__, "%s: relative error %g", names[i], rms);
        }
        free(got);
        eng_close(s);
        model_close(m);
        arena_release(&g.a);
    }
}

/* ---- sessions ----------------------------------------------------------------------------------------------- */

TEST(eng_feed_takes_no_memory) {
    int32_t ids[100];
    const float *logits;
    struct err e = { 0 };
    struct model *m = test_eng_model("llama-q4-g64");
    struct eng_session *s = test_eng_session(m, (struct eng_options){ .n_threads = 2 });
    test_eng_ids(ids, 100);
    unsigned long before = mem_alloc_count();
    if (s) CHECK_OK(eng_feed(s, ids, 100, &logits, NULL, NULL, &e), e);
    for (int i = 0; s && i < 20; i++) CHECK_OK(eng_feed(s, ids, 1, &logits, NULL, NULL, &e), e);
    CHECK_EQ(mem_alloc_count(), before);
    eng_close(s);
    model_close(m);
}

TEST(eng_feed_limits) {
    int32_t ids[40];
    const float *logits;
    struct err e = { 0 };
    struct model *m = test_eng_model("llama-q4-g64");
    struct eng_session *s = test_eng_session(m, (struct eng_options){ .context = 32 });
    test_eng_ids(ids, 40);
    if (s) {
        CHECK_EQ(eng_capacity(s), 32);
        CHECK_ERR(eng_feed(s, ids, 33, &logits, NULL, NULL, &e), e, ERR_LIMIT);
        CHECK_ERR(eng_feed(s, ids, 0, &logits, NULL, NULL, &e), e, ERR_INVALID);
        CHECK_ERR(eng_feed(s, ids, -1, NULL, NULL, NULL, &e), e, ERR_LIMIT);
        ids[5] = 320;
        CHECK_ERR(eng_feed(s, ids, 20, &logits, NULL, NULL, &e), e, ERR_INVALID);
        ids[5] = -1;
        CHECK_ERR(eng_feed(s, ids, 20, &logits, NULL, NULL, &e), e, ERR_INVALID);
        CHECK_EQ(eng_position(s), 0);
        ids[5] = 5;
        CHECK_OK(eng_feed(s, ids, 32, NULL, NULL, NULL, &e), e);
        CHECK_EQ(eng_position(s), 32);
        CHECK_ERR(eng_feed(s, ids, 1, &logits, NULL, NULL, &e), e, ERR_LIMIT);
        CHECK_OK(eng_feed(s, ids, 0, NULL, NULL, NULL, &e), e);
    }
    eng_close(s);
    model_close(m);
}

TEST(eng_open_refuses) {
    struct err e = { 0 };
    struct model *m = test_eng_model("llama-q4-g64");
    if (!m) return;
    CHECK_ERR(eng_open(m, &(struct eng_options){ .n_threads = 257 }, &e), e, ERR_INVALID);
    CHECK_ERR(eng_open(m, &(struct eng_options){ .n_threads = 1, .prefill_chunk = 100000 }, &e), e, ERR_INVALID);
    CHECK_ERR(eng_open(m, &(struct eng_options){ .n_threads = 1, .context = INT64_MAX }, &e), e, ERR_LIMIT);
    m->weight_bytes = (uint64_t)1 << 60;         /* as if the weights left no memory */
    CHECK_ERR(eng_open(m, &(struct eng_options){ .n_threads = 1 }, &e), e, ERR_NO_MEMORY);
    CHECK(strstr(e.msg, "context"));
    model_close(m);
    for (long n = 1; n < 8; n++) {
        m = test_eng_model("llama-q4-g64");
        err_clear(&e);
        mem_fail_after(n);
        struct eng_session *s = eng_open(m, &(struct eng_options){ .n_threads = 2, .context = 64 }, &e);
        mem_fail_after(0);
        CHECK((s != NULL) == (e.code == ERR_OK) && (s || e.code == ERR_NO_MEMORY));
        eng_close(s);
        model_close(m);
    }
}

TEST(eng_context_default) {
    struct model *m = test_eng_model("llama-q4-g64");
    struct err e = { 0 };
    struct eng_session *s = m ? eng_open(m, &(struct eng_options){ .n_threads = 1 }, &e) : NULL;
    CHECK_OK(s, e);
    CHECK(s && eng_capacity(s) == 2048 && eng_threads(s) == 1 && eng_position(s) == 0);
    eng_close(s);
    model_close(m);
}

TEST(eng_truncate_and_again) {
    int32_t ids[200];
    const float *logits;
    float first[320];
    struct err e = { 0 };
    struct model *m = test_eng_model("llama-q4-g64");
    struct eng_session *s = test_eng_session(m, (struct eng_options){ .prefill_chunk = 64 });
    test_eng_ids(ids, 200);
    if (s) {
        CHECK_OK(eng_feed(s, ids, 150, &logits, NULL, NULL, &e), e);
        memcpy(first, logits, sizeof first);
        CHECK_OK(eng_feed(s, ids + 100, 100, &logits, NULL, NULL, &e), e);
        eng_truncate(s, 1000);
        CHECK_EQ(eng_position(s), 250);
        eng_truncate(s, 130);
        CHECK_EQ(eng_position(s), 130);
        CHECK_OK(eng_feed(s, ids + 130, 20, &logits, NULL, NULL, &e), e);
        CHECK(memcmp(first, logits, sizeof first) == 0);
        eng_truncate(s, -5);
        CHECK_EQ(eng_position(s), 0);
    }
    eng_close(s);
    model_close(m);
}

static bool test_eng_stop_at(void *ctx, int64_t done) {
    int64_t *seen = ctx;
    *seen = done;
    return done < 20;
}
static bool test_eng_row_stops(void *ctx, int64_t index, const float *logits, int64_t vocab) {
    (void)logits;
    (void)vocab;
    *(int64_t *)ctx = index;
    return index < 5;
}

TEST(eng_feed_stops) {
    int32_t ids[64];
    int64_t seen = 0;
    struct err e = { 0 };
    struct model *m = test_eng_model("llama-q4-g64");
    struct eng_session *s = test_eng_session(m, (struct eng_options){ .prefill_chunk = 8 });
    test_eng_ids(ids, 64);
    if (s) {
        CHECK_ERR(eng_feed(s, ids, 64, NULL, test_eng_stop_at, &seen, &e), e, ERR_INTERRUPTED);
        CHECK_EQ(seen, 24);
        CHECK_EQ(eng_position(s), 24);
        CHECK_ERR(eng_feed_all(s, ids, 64, test_eng_row_stops, &seen, &e), e, ERR_INTERRUPTED);
        CHECK_EQ(seen, 5);
    }
    eng_close(s);
    model_close(m);
}

/* ---- sampling -------------------------------------------------------------------------------------------------- */

static const struct eng_sampling test_eng_plain = { .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 7 };

/* Draws from log-probabilities; counts per id. */
static void test_eng_draw(struct eng_sampling o, const float *logits, int n, int draws, int *counts) {
    struct err e = { 0 };
    struct eng_sampler *s = eng_sampler_open(&o, n, &e);
    CHECK_OK(s, e);
    memset(counts, 0, (size_t)n * sizeof *counts);
    for (int i = 0; s && i < draws; i++) {
        int32_t id = eng_sample(s, logits, NULL, 0);
        CHECK(id >= 0 && id < n);
        if (id >= 0 && id < n) counts[id]++;
    }
    eng_sampler_close(s);
}

/* Every id is drawn about as often as its share says: five standard deviations, exactly never for 0. */
static void test_eng_shares(const int *counts, const double *share, int n, int draws, int line) {
    for (int i = 0; i < n; i++) {
        double want = share[i] * draws, sigma = sqrt(want * (1 - share[i]));
        if (fabs(counts[i] - want) > 5 * sigma)
            test_fail(__FILE__, line, "id %d was drawn %d times of %d, expected %.0f", i, counts[i], draws, want);
    }
}

TEST(eng_sample_shares) {
    static const double p[6] = { 0.4, 0.05, 0.25, 0.1, 0.2, 0 };
    float logits[6];
    int counts[6];
    enum { DRAWS = 20000 };
    for (int i = 0; i < 6; i++) logits[i] = p[i] > 0 ? (float)log(p[i]) + 3 : -INFINITY;
    test_eng_draw(test_eng_plain, logits, 6, DRAWS, counts);
    test_eng_shares(counts, p, 6, DRAWS, __LINE__);

    struct eng_sampling o = test_eng_plain;          /* shares^2, normalised */
    o.temperature = 0.5f;
    double squares = 0.16 + 0.0025 + 0.0625 + 0.01 + 0.04, cold[6];
    for (int i = 0; i < 6; i++) cold[i] = p[i] * p[i] / squares;
    test_eng_draw(o, logits, 6, DRAWS, counts);
    test_eng_shares(counts, cold, 6, DRAWS, __LINE__);

    o = test_eng_plain;                              /* 0.4 0.25 remain */
    o.top_k = 2;
    test_eng_draw(o, logits, 6, DRAWS, counts);
    test_eng_shares(counts, (const double[6]){ 0.4 / 0.65, 0, 0.25 / 0.65, 0, 0, 0 }, 6, DRAWS, __LINE__);

    o = test_eng_plain;                              /* 0.4 0.25 0.2 reach 0.8 */
    o.top_p = 0.8f;
    test_eng_draw(o, logits, 6, DRAWS, counts);
    test_eng_shares(counts, (const double[6]){ 0.4 / 0.85, 0, 0.25 / 0.85, 0, 0.2 / 0.85, 0 }, 6, DRAWS, __LINE__);

    o = test_eng_plain;                              /* at least 0.3 of 0.4 = 0.12 */
    o.min_p = 0.3f;
    test_eng_draw(o, logits, 6, DRAWS, counts);
    test_eng_shares(counts, (const double[6]){ 0.4 / 0.85, 0, 0.25 / 0.85, 0, 0.2 / 0.85, 0 }, 6, DRAWS, __LINE__);

    o = test_eng_plain;                              /* top-k first: 0.4 0.25 0.2; of these 0.75 needs two */
    o.top_k = 3;
    o.top_p = 0.75f;
    test_eng_draw(o, logits, 6, DRAWS, counts);
    test_eng_shares(counts, (const double[6]){ 0.4 / 0.65, 0, 0.25 / 0.65, 0, 0, 0 }, 6, DRAWS, __LINE__);
}

static int test_eng_item_order(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* On many random distributions, what is drawn lies in the set that sorting gives. */
TEST(eng_sample_sets) {
    enum { N = 500 };
    float logits[N], sorted[N];
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < N; i++) logits[i] = (float)(test_random() % 1000) / 100.0f;
        memcpy(sorted, logits, sizeof sorted);
        qsort(sorted, N, sizeof *sorted, test_eng_item_order);
        struct eng_sampling o = test_eng_plain;
        o.top_k = round % 3 == 0 ? 0 : 1 + (int)(test_random() % N);
        o.top_p = round % 2 ? (float)(1 + test_random() % 99) / 100 : 1;
        o.seed = (uint64_t)round;
        int keep = o.top_k ? o.top_k : N;
        double total = 0, sum = 0;
        for (int i = 0; i < keep; i++) total += exp((double)sorted[i] - (double)sorted[0]);
        int n = 0;
        while (n < keep && sum < (double)o.top_p * total * (1 + 1e-7)) sum += exp((double)sorted[n++] - (double)sorted[0]);
        int counts[N];
        test_eng_draw(o, logits, N, 300, counts);
        for (int i = 0; i < N; i++)
            if (counts[i] && logits[i] < sorted[n - 1])
                test_fail(__FILE__, __LINE__, "round %d: %g drawn, the last kept is %g", round, (double)logits[i], (double)sorted[n - 1]);
    }
}

TEST(eng_sample_greedy) {
    const float logits[5] = { 1, 3, NAN, 3, -INFINITY };
    struct eng_sampling o = test_eng_plain;
    struct err e = { 0 };
    o.temperature = 0;
    struct eng_sampler *s = eng_sampler_open(&o, 5, &e);
    CHECK_OK(s, e);
    if (!s) return;
    CHECK_EQ(eng_sample(s, logits, NULL, 0), 1);
    eng_sampler_close(s);
    o.repetition_penalty = 2;
    o.repetition_window = 2;
    s = eng_sampler_open(&o, 5, &e);
    CHECK_OK(s, e);
    if (!s) return;
    CHECK_EQ(eng_sample(s, logits, (const int32_t[]){ 1, 1 }, 2), 3);          /* 3 / 2, once */
    CHECK_EQ(eng_sample(s, logits, (const int32_t[]){ 1, 0, 0 }, 3), 1);       /* 1 left the window */
    CHECK_EQ(eng_sample(s, logits, (const int32_t[]){ -7, 99 }, 2), 1);
    const float negative[3] = { -1, -1.5f, -4 };                               /* -1 * 2 */
    CHECK_EQ(eng_sample(s, (const float[5]){ negative[0], negative[1], negative[2], -9, -9 }, (const int32_t[]){ 0 }, 1), 1);
    eng_sampler_close(s);
}

TEST(eng_sample_not_finite) {
    struct err e = { 0 };
    for (int t = 0; t < 2; t++) {
        struct eng_sampling o = test_eng_plain;
        o.temperature = (float)t;
        o.top_p = 0.9f;
        struct eng_sampler *s = eng_sampler_open(&o, 3, &e);
        CHECK_OK(s, e);
        if (!s) return;
        CHECK_EQ(eng_sample(s, (const float[]){ NAN, NAN, NAN }, NULL, 0), -1);
        CHECK_EQ(eng_sample(s, (const float[]){ -INFINITY, NAN, -INFINITY }, NULL, 0), -1);
        CHECK_EQ(eng_sample(s, (const float[]){ NAN, -3e38f, -INFINITY }, NULL, 0), 1);
        CHECK_EQ(eng_sample(s, (const float[]){ 1, NAN, INFINITY }, NULL, 0), 2);
        eng_sampler_close(s);
    }
}

TEST(eng_sample_seeds) {
    float logits[50] = { 0 };
    struct err e = { 0 };
    int32_t ids[3][30];
    for (int i = 0; i < 3; i++) {
        struct eng_sampling o = test_eng_plain;
        o.seed = i < 2 ? 5 : 6;
        struct eng_sampler *s = eng_sampler_open(&o, 50, &e);
        for (int j = 0; s && j < 30; j++) ids[i][j] = eng_sample(s, logits, NULL, 0);
        eng_sampler_close(s);
    }
    CHECK(memcmp(ids[0], ids[1], sizeof ids[0]) == 0 && memcmp(ids[0], ids[2], sizeof ids[0]) != 0);
    CHECK(memcmp(logits, (float[50]){ 0 }, sizeof logits) == 0);
}

TEST(eng_sampler_refuses) {
    struct err e = { 0 };
    struct eng_sampling o = test_eng_plain;
    o.temperature = -1;
    CHECK_ERR(eng_sampler_open(&o, 5, &e), e, ERR_INVALID);
    o.temperature = NAN;
    CHECK_ERR(eng_sampler_open(&o, 5, &e), e, ERR_INVALID);
    o = test_eng_plain;
    o.top_p = 1.5f;
    CHECK_ERR(eng_sampler_open(&o, 5, &e), e, ERR_INVALID);
    o = test_eng_plain;
    o.min_p = -0.1f;
    CHECK_ERR(eng_sampler_open(&o, 5, &e), e, ERR_INVALID);
    o = test_eng_plain;
    o.top_k = -1;
    CHECK_ERR(eng_sampler_open(&o, 5, &e), e, ERR_INVALID);
    o = test_eng_plain;
    o.repetition_penalty = 0;
    CHECK_ERR(eng_sampler_open(&o, 5, &e), e, ERR_INVALID);
    o = test_eng_plain;
    mem_fail_after(1);
    CHECK_ERR(eng_sampler_open(&o, 5, &e), e, ERR_NO_MEMORY);
    mem_fail_after(0);
}

/* ---- stop strings ------------------------------------------------------------------------------------------------ */

/* Feeds pieces of `step` bytes; all that comes out, "|" where a stop string was complete. */
static void test_eng_stop(const struct str *stops, int n, const char *text, size_t step, const char *want) {
    struct eng_stopper st;
    struct err e = { 0 };
    struct buf out;
    bool found = false;
    buf_init(&out, 1 << 16);
    CHECK_OK(eng_stopper_init(&st, stops, n, &e), e);
    for (size_t i = 0; !found && i < strlen(text); i += step) {
        struct str piece;
        CHECK_OK(eng_stopper_push(&st, str_sub(str_cstr(text), i, i + step), &piece, &found, &e), e);
        buf_add(&out, piece);
    }
    if (found) buf_add_cstr(&out, "|");
    else buf_add(&out, eng_stopper_rest(&st));
    CHECK_STR(buf_str(&out), str_cstr(want));
    buf_release(&out);
    eng_stopper_release(&st);
}

TEST(eng_stop_strings) {
    const struct str one[] = { STR("STOP") }, two[] = { STR("\n\n"), STR("User:") }, nested[] = { STR("abcd"), STR("bc") };
    const struct str wide[] = { STR("\xe2\x82\xac\xe2\x82\xac") };
    for (size_t step = 1; step < 8; step++) {
        test_eng_stop(one, 1, "say STOP now", step, "say |");
        test_eng_stop(one, 1, "say STO", step, "say STO");
        test_eng_stop(one, 1, "SSTSTOSTOP", step, "SSTSTO|");
        test_eng_stop(one, 0, "say STOP now", step, "say STOP now");
        test_eng_stop(two, 2, "hello\nUser: x\n\n", step, "hello\n|");
        test_eng_stop(two, 2, "hello\nUse", step, "hello\nUse");
        test_eng_stop(one, 1, "STOP", step, "|");
    }
    test_eng_stop(nested, 2, "xabcd", 5, "x|");          /* both complete: the earliest begins first */
    test_eng_stop(nested, 2, "xabcd", 1, "xa|");         /* the first that is complete */
    test_eng_stop(wide, 1, "a\xe2\x82\xac" "b", 3, "a\xe2\x82\xac" "b");
}

TEST(eng_stop_holds_back) {
    struct eng_stopper st;
    struct err e = { 0 };
    struct str out, stop = STR("<end>");
    bool found;
    CHECK_OK(eng_stopper_init(&st, &stop, 1, &e), e);
    CHECK_OK(eng_stopper_push(&st, STR("one<e"), &out, &found, &e), e);
    CHECK_STR(out, STR("one"));
    CHECK_OK(eng_stopper_push(&st, STR("n"), &out, &found, &e), e);
    CHECK_STR(out, STR_EMPTY);
    CHECK_OK(eng_stopper_push(&st, STR("!"), &out, &found, &e), e);
    CHECK_STR(out, STR("<en!"));
    CHECK(!found);
    eng_stopper_release(&st);
}

TEST(eng_stop_refuses) {
    static char long_text[1025];
    struct eng_stopper st;
    struct err e = { 0 };
    struct str many[65];
    memset(long_text, 'x', sizeof long_text);
    for (int i = 0; i < 65; i++) many[i] = STR("x");
    CHECK_ERR(eng_stopper_init(&st, many, 65, &e), e, ERR_INVALID);
    CHECK_ERR(eng_stopper_init(&st, many, -1, &e), e, ERR_INVALID);
    CHECK_ERR(eng_stopper_init(&st, &STR_EMPTY, 1, &e), e, ERR_INVALID);
    CHECK_ERR(eng_stopper_init(&st, &(struct str){ long_text, 1025 }, 1, &e), e, ERR_INVALID);
    CHECK_ERR(eng_stopper_init(&st, &STR("\x82\xac"), 1, &e), e, ERR_INVALID);
    err_clear(&e);
    CHECK_OK(eng_stopper_init(&st, &(struct str){ long_text, 1024 }, 1, &e), e);
    eng_stopper_release(&st);
}

/* ---- generation --------------------------------------------------------------------------------------------------- */

struct test_eng_talk {
    struct test_eng_golden g;
    struct model *m;
    struct eng_session *s;
    struct tok *tok;
    struct buf text;
    int pieces, stop_after;      /* 0 = never */
    struct eng_result out;
};

static bool test_eng_text(void *ctx, struct str piece) {
    struct test_eng_talk *t = ctx;
    CHECK(piece.n > 0 && utf8_valid(piece));
    buf_add(&t->text, piece);
    return ++t->pieces != t->stop_after;
}
static bool test_eng_no(void *ctx, int64_t done, int64_t total) {
    (void)ctx;
    return done >= total;
}

static bool test_eng_talk_open(struct test_eng_talk *t, int64_t context) {
    struct err e = { 0 };
    struct str text;
    *t = (struct test_eng_talk){ .pieces = 0 };
    buf_init(&t->text, 1 << 20);
    if (!test_eng_golden_read("llama-q4-g64", "golden.f32", &t->g)) return false;
    t->m = test_eng_model("llama-q4-g64");
    t->s = test_eng_session(t->m, (struct eng_options){ .exact = true, .context = context, .prefill_chunk = 10 });
    CHECK_OK(os_read_file(&t->g.a, test_data_path("golden/tiny-a/_tokenizer/tokenizer.json"), 1 << 20, &text, &e), e);
    t->tok = tok_load(&t->g.a, text, true, NULL, &e);
    CHECK_OK(t->tok, e);
    return t->s && t->tok;
}

static void test_eng_talk_close(struct test_eng_talk *t) {
    tok_ids_release(&t->out.ids);
    buf_release(&t->text);
    eng_close(t->s);
    model_close(t->m);
    arena_release(&t->g.a);
}

static struct eng_request test_eng_request(struct test_eng_talk *t, int64_t max_tokens) {
    return (struct eng_request){
        .prompt = t->g.ids, .n_prompt = t->g.n_ids, .max_tokens = max_tokens, .text = test_eng_text, .ctx = t,
        .sampling = { .temperature = 0, .top_p = 1, .repetition_penalty = 1 },
    };
}

/* From an empty session. */
static void test_eng_generate(struct test_eng_talk *t, const struct eng_request *r, enum eng_finish finish, int64_t n) {
    struct err e = { 0 };
    tok_ids_release(&t->out.ids);
    buf_reset(&t->text);
    t->pieces = 0;
    eng_truncate(t->s, 0);
    CHECK_OK(eng_generate(t->s, t->tok, r, &t->out, &e), e);
    CHECK_EQ(t->out.finish, finish);
    CHECK_EQ(t->out.n_generated, n);
    CHECK_EQ(t->out.ids.n, n);
}

static struct str test_eng_decoded(struct test_eng_talk *t, size_t n, struct buf *b) {
    struct err e = { 0 };
    buf_init(b, 1 << 16);
    CHECK_OK(tok_decode(t->tok, t->g.greedy, n, true, b, &e), e);
    return buf_str(b);
}

TEST(eng_generate_greedy) {
    struct test_eng_talk t;
    struct buf whole;
    if (!test_eng_talk_open(&t, 64)) return;
    struct eng_request r = test_eng_request(&t, 16);
    test_eng_generate(&t, &r, ENG_LENGTH, 16);
    CHECK(memcmp(t.out.ids.p, t.g.greedy, 16 * sizeof(int32_t)) == 0);
    CHECK_STR(buf_str(&t.text), test_eng_decoded(&t, 16, &whole));
    buf_release(&whole);
    CHECK_EQ(eng_position(t.s), 24 + 15);
    CHECK(t.out.n_prompt == 24 && t.out.prefill_ns > 0 && t.out.decode_ns > 0 && t.out.first_token_ns >= t.out.prefill_ns);
    test_eng_talk_close(&t);
}

TEST(eng_generate_ends) {
    struct test_eng_talk t;
    struct buf some;
    if (!test_eng_talk_open(&t, 32)) return;
    struct eng_request r = test_eng_request(&t, 0);
    test_eng_generate(&t, &r, ENG_LENGTH, 0);
    CHECK_EQ(eng_position(t.s), 24);
    r.max_tokens = 1;
    test_eng_generate(&t, &r, ENG_LENGTH, 1);
    r.max_tokens = -1;
    test_eng_generate(&t, &r, ENG_CONTEXT_FULL, 9);
    CHECK_EQ(eng_position(t.s), 32);
    t.m->config.eos[0] = 319;
    t.m->config.eos[1] = t.g.greedy[5];
    t.m->config.n_eos = 2;
    test_eng_generate(&t, &r, ENG_STOP_TOKEN, 6);
    CHECK_EQ(t.out.ids.p[5], t.g.greedy[5]);
    CHECK_STR(buf_str(&t.text), test_eng_decoded(&t, 5, &some));
    buf_release(&some);
    r.ignore_eos = true;
    test_eng_generate(&t, &r, ENG_CONTEXT_FULL, 9);
    test_eng_talk_close(&t);
}

TEST(eng_generate_stop_string) {
    struct test_eng_talk t;
    struct buf whole;
    if (!test_eng_talk_open(&t, 64)) return;
    struct str text = test_eng_decoded(&t, 16, &whole), stop = STR_EMPTY;
    size_t from = 0;                 /* a run of ASCII in the middle of the text */
    for (size_t i = 1; i + 3 < text.n && !stop.p; i++)
        if ((unsigned char)text.p[i] < 128 && (unsigned char)text.p[i + 1] < 128) {
            from = i;
            stop = str_sub(text, i, i + 2);
        }
    CHECK(stop.n == 2);
    struct eng_request r = test_eng_request(&t, 16);
    r.stops = &stop;
    r.n_stops = 1;
    struct err e = { 0 };
    CHECK_OK(eng_generate(t.s, t.tok, &r, &t.out, &e), e);
    CHECK_EQ(t.out.finish, ENG_STOP_STRING);
    CHECK(t.out.n_generated < 16);
    from = (size_t)str_find(text, stop);
    CHECK_STR(buf_str(&t.text), str_sub(text, 0, from));
    buf_release(&whole);
    test_eng_talk_close(&t);
}

TEST(eng_generate_interrupted) {
    struct test_eng_talk t;
    if (!test_eng_talk_open(&t, 64)) return;
    struct eng_request r = test_eng_request(&t, 16);
    struct err e = { 0 };
    t.stop_after = 2;
    CHECK_OK(eng_generate(t.s, t.tok, &r, &t.out, &e), e);
    CHECK(t.out.finish == ENG_INTERRUPTED && t.pieces == 2 && t.out.n_generated < 16);
    tok_ids_release(&t.out.ids);
    r.progress = test_eng_no;
    eng_truncate(t.s, 0);
    CHECK_OK(eng_generate(t.s, t.tok, &r, &t.out, &e), e);
    CHECK(t.out.finish == ENG_INTERRUPTED && t.out.n_generated == 0);
    CHECK_EQ(eng_position(t.s), 10);
    test_eng_talk_close(&t);
}

TEST(eng_generate_refuses) {
    struct test_eng_talk t;
    struct err e = { 0 };
    if (!test_eng_talk_open(&t, 32)) return;
    struct eng_request r = test_eng_request(&t, 16);
    r.n_prompt = 0;
    CHECK_ERR(eng_generate(t.s, t.tok, &r, &t.out, &e), e, ERR_INVALID);
    tok_ids_release(&t.out.ids);
    r = test_eng_request(&t, 16);
    r.sampling.top_p = 2;
    CHECK_ERR(eng_generate(t.s, t.tok, &r, &t.out, &e), e, ERR_INVALID);
    tok_ids_release(&t.out.ids);
    r = test_eng_request(&t, 16);
    struct str empty = STR_EMPTY;
    r.stops = &empty;
    r.n_stops = 1;
    CHECK_ERR(eng_generate(t.s, t.tok, &r, &t.out, &e), e, ERR_INVALID);
    tok_ids_release(&t.out.ids);
    r = test_eng_request(&t, 16);
    CHECK_EQ(eng_position(t.s), 0);
    CHECK_OK(eng_feed(t.s, t.g.ids, 20, NULL, NULL, NULL, &e), e);
    CHECK_ERR(eng_generate(t.s, t.tok, &r, &t.out, &e), e, ERR_LIMIT);
    CHECK_EQ(eng_position(t.s), 20);
    test_eng_talk_close(&t);
}

/* Sampled text is the same for the same seed, and the penalty sees the prompt. */
TEST(eng_generate_seeded) {
    struct test_eng_talk t;
    int32_t first[12];
    if (!test_eng_talk_open(&t, 64)) return;
    struct eng_request r = test_eng_request(&t, 12);
    r.sampling = (struct eng_sampling){ .temperature = 2, .top_p = 1, .repetition_penalty = 1, .seed = 11 };
    r.ignore_eos = true;
    test_eng_generate(&t, &r, ENG_LENGTH, 12);
    memcpy(first, t.out.ids.p, sizeof first);
    test_eng_generate(&t, &r, ENG_LENGTH, 12);
    CHECK(memcmp(first, t.out.ids.p, sizeof first) == 0);
    r.sampling.seed = 12;
    test_eng_generate(&t, &r, ENG_LENGTH, 12);
    CHECK(memcmp(first, t.out.ids.p, sizeof first) != 0);
    r.sampling = (struct eng_sampling){ .temperature = 0, .top_p = 1, .repetition_penalty = 1000, .repetition_window = 100 };
    test_eng_generate(&t, &r, ENG_LENGTH, 12);
    for (int i = 0; i < 12; i++) {
        for (int j = 0; j < t.g.n_ids; j++) CHECK(t.out.ids.p[i] != t.g.ids[j]);
        for (int j = 0; j < i; j++) CHECK(t.out.ids.p[i] != t.out.ids.p[j]);
    }
    test_eng_talk_close(&t);
}

TEST_LIST(engine) {
#define TEST_ENG_ROW(id, name) T(eng_golden_##id),
    TEST_ENG_MODELS(TEST_ENG_ROW)
#undef TEST_ENG_ROW
    T(eng_golden_longrope), T(eng_golden_wrapped), T(eng_straight_long), T(eng_straight_window), T(eng_straight_window_of_a_block),
    T(eng_straight_qwen3), T(eng_same_bits_every_way), T(eng_same_bits_families), T(eng_integers_are_near),
    T(eng_feed_takes_no_memory), T(eng_feed_limits), T(eng_open_refuses), T(eng_context_default), T(eng_truncate_and_again),
    T(eng_feed_stops), T(eng_sample_shares), T(eng_sample_sets), T(eng_sample_greedy), T(eng_sample_not_finite),
    T(eng_sample_seeds), T(eng_sampler_refuses), T(eng_stop_strings), T(eng_stop_holds_back), T(eng_stop_refuses),
    T(eng_generate_greedy), T(eng_generate_ends), T(eng_generate_stop_string), T(eng_generate_interrupted),
    T(eng_generate_refuses), T(eng_generate_seeded),
    TEST_END
};
#undef TEST_ENG_GOLDEN
#undef TEST_ENG_MODELS
