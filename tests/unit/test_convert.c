/* test_convert.c: GGUF files made here, imported, and read back as safetensors.
 *
 * The values are checked against the formats' own formulas, not against the converter's code: a block of
 * the GGUF file and the bits of the MLX tensor must describe the same numbers.
 */
#include "test.h"
#include "convert/convert.h"
#include "kernels/kernels.h"

#include <stdio.h>

enum { TC_DIM = 64, TC_HEADS = 4, TC_KV = 2, TC_FF = 96, TC_VOCAB = 40, TC_HEAD = TC_DIM / TC_HEADS };

/* ---- a small GGUF writer (Private) ------------------------------------------------------------------- */

struct tc_file { struct buf meta, infos, data; uint64_t n_meta, n_tensors; };

static void tc_bytes(struct buf *b, const void *p, size_t n) { buf_add_bytes(b, p, n); }
static void tc_u32(struct buf *b, uint32_t x) { tc_bytes(b, &x, 4); }
static void tc_u64(struct buf *b, uint64_t x) { tc_bytes(b, &x, 8); }
static void tc_text(struct buf *b, struct str s) { tc_u64(b, s.n); buf_add(b, s); }

static void tc_key(struct tc_file *f, const char *key_cstr, uint32_t kind) {
    tc_text(&f->meta, str_cstr(key_cstr));
    tc_u32(&f->meta, kind);
    f->n_meta++;
}

static void tc_meta_u32(struct tc_file *f, const char *key_cstr, uint32_t x) { tc_key(f, key_cstr, GGUF_U32); tc_u32(&f->meta, x); }
static void tc_meta_str(struct tc_file *f, const char *key_cstr, const char *value_cstr) { tc_key(f, key_cstr, GGUF_STRING); tc_text(&f->meta, str_cstr(value_cstr)); }
static void tc_meta_f32(struct tc_file *f, const char *key_cstr, float x) { tc_key(f, key_cstr, GGUF_F32); tc_bytes(&f->meta, &x, 4); }

/* A block of `type` with pseudo-random content; scales are small enough to be exact times 128. */
static void tc_block(struct tc_file *f, uint32_t type, uint16_t scale) {
    size_t items, size_bytes;
    gguf_type_block(type, &items, &size_bytes);
    uint8_t block[64];
    for (size_t i = 0; i < size_bytes; i++) block[i] = (uint8_t)test_random();
    if (type == GGUF_T_Q4_0 || type == GGUF_T_Q4_1 || type == GGUF_T_Q5_0 || type == GGUF_T_Q5_1 || type == GGUF_T_Q8_0)
        memcpy(block, &scale, 2);
    if (type == GGUF_T_Q4_1 || type == GGUF_T_Q5_1) { uint16_t bias = num_f32_to_f16(-0.5f); memcpy(block + 2, &bias, 2); }
    if (type == GGUF_T_F32) { float x = (float)(int)(test_random() % 64) / 16; memcpy(block, &x, 4); }
    tc_bytes(&f->data, block, size_bytes);
}

static void tc_tensor(struct tc_file *f, const char *name_cstr, uint32_t type, uint64_t rows, uint64_t cols, float scale) {
    while (f->data.n % 32) buf_add_char(&f->data, 0);
    tc_text(&f->infos, str_cstr(name_cstr));
    tc_u32(&f->infos, rows ? 2 : 1);
    tc_u64(&f->infos, cols);
    if (rows) tc_u64(&f->infos, rows);
    tc_u32(&f->infos, type);
    tc_u64(&f->infos, f->data.n);
    f->n_tensors++;
    size_t items = 1, size_bytes = 1;
    gguf_type_block(type, &items, &size_bytes);
    for (uint64_t i = 0; i < (rows ? rows : 1) * cols / items; i++) tc_block(f, type, num_f32_to_f16(scale));
}

static void tc_tokens(struct tc_file *f) {
    tc_meta_str(f, "tokenizer.ggml.model", "gpt2");
    tc_meta_str(f, "tokenizer.ggml.pre", "smollm");
    tc_key(f, "tokenizer.ggml.tokens", GGUF_ARRAY);
    tc_u32(&f->meta, GGUF_STRING);
    tc_u64(&f->meta, TC_VOCAB);
    for (int i = 0; i < TC_VOCAB; i++) {
        char token[8];
        snprintf(token, sizeof token, i ? "t%d" : "<|x|>", i);
        tc_text(&f->meta, str_cstr(token));
    }
    tc_key(f, "tokenizer.ggml.token_type", GGUF_ARRAY);
    tc_u32(&f->meta, GGUF_I32);
    tc_u64(&f->meta, TC_VOCAB);
    for (int i = 0; i < TC_VOCAB; i++) tc_u32(&f->meta, i ? 1 : 3);
    tc_key(f, "tokenizer.ggml.merges", GGUF_ARRAY);
    tc_u32(&f->meta, GGUF_STRING);
    tc_u64(&f->meta, 1);
    tc_text(&f->meta, STR("t 1"));
    tc_meta_u32(f, "tokenizer.ggml.bos_token_id", 0);
    tc_meta_u32(f, "tokenizer.ggml.eos_token_id", 0);
}

static void tc_begin(struct tc_file *f) {
    *f = (struct tc_file){ 0 };
    buf_init(&f->meta, 1 << 20);
    buf_init(&f->infos, 1 << 20);
    buf_init(&f->data, 1 << 24);
    tc_meta_str(f, "general.architecture", "llama");
    tc_meta_str(f, "general.name", "Tiny  Model: v1.");
    tc_meta_u32(f, "llama.block_count", 1);
    tc_meta_u32(f, "llama.context_length", 128);
    tc_meta_u32(f, "llama.embedding_length", TC_DIM);
    tc_meta_u32(f, "llama.feed_forward_length", TC_FF);
    tc_meta_u32(f, "llama.attention.head_count", TC_HEADS);
    tc_meta_u32(f, "llama.attention.head_count_kv", TC_KV);
    tc_meta_f32(f, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    tc_meta_f32(f, "llama.rope.freq_base", 10000.0f);
    tc_tokens(f);
    tc_tensor(f, "token_embd.weight", GGUF_T_Q8_0, TC_VOCAB, TC_DIM, 0.01f);
    tc_tensor(f, "output_norm.weight", GGUF_T_F32, 0, TC_DIM, 0);
    tc_tensor(f, "blk.0.attn_q.weight", GGUF_T_Q4_0, TC_DIM, TC_DIM, 0.02f);
    tc_tensor(f, "blk.0.attn_k.weight", GGUF_T_Q4_1, TC_KV * TC_HEAD, TC_DIM, 0.03f);
    tc_tensor(f, "blk.0.attn_v.weight", GGUF_T_F16, TC_KV * TC_HEAD, TC_DIM, 0);
    tc_tensor(f, "blk.0.ffn_up.weight", GGUF_T_BF16, TC_FF, TC_DIM, 0);
    tc_tensor(f, "blk.0.attn_output.weight", GGUF_T_Q5_0, TC_DIM, TC_DIM, 0.02f);
    tc_tensor(f, "output.weight", GGUF_T_Q5_1, TC_VOCAB, TC_DIM, 0.01f);
}

/* Writes the file into the scratch folder and gives its path. */
static const char *tc_end(struct tc_file *f, const char *name_cstr) {
    static char path[LIMIT_PATH];
    struct buf all;
    struct err e = { 0 };
    buf_init(&all, 1 << 25);
    buf_add(&all, STR("GGUF"));
    tc_u32(&all, 3);
    tc_u64(&all, f->n_tensors);
    tc_u64(&all, f->n_meta);
    buf_add(&all, buf_str(&f->meta));
    buf_add(&all, buf_str(&f->infos));
    while (all.n % 32) buf_add_char(&all, 0);
    buf_add(&all, buf_str(&f->data));
    snprintf(path, sizeof path, "%s/%s", test_scratch_dir(), name_cstr);
    CHECK_OK(os_write_file(path, buf_str(&all), &e), e);
    buf_release(&all);
    buf_release(&f->meta);
    buf_release(&f->infos);
    buf_release(&f->data);
    return path;
}

static struct cache tc_cache(struct arena *a, const char *name_cstr) {
    char root[LIMIT_PATH];
    snprintf(root, sizeof root, "%s/%s/hub", test_scratch_dir(), name_cstr);
    return (struct cache){ .root_cstr = str_dup_cstr(a, str_cstr(root)), .root_from_cstr = "test" };
}

/* ---- what was written means what was read (Private) ----------------------------------------------------- */

struct tc_pair { struct str gguf_file, safet_file; struct gguf gguf; struct safet safet; };

static const struct gguf_tensor *tc_source(const struct tc_pair *p, const char *name_cstr) {
    for (size_t i = 0; i < p->gguf.n_tensors; i++)
        if (str_eq_cstr(p->gguf.tensors[i].name, name_cstr)) return &p->gguf.tensors[i];
    return NULL;
}

/* Value of an element of a GGUF tensor by the format's formula. */
static float tc_gguf_value(const struct tc_pair *p, const struct gguf_tensor *t, uint64_t row, uint64_t col) {
    size_t items, block_bytes;
    gguf_type_block(t->type, &items, &block_bytes);
    uint64_t cols = (uint64_t)t->shape[t->n_dims - 1];
    const uint8_t *b = (const uint8_t *)p->gguf_file.p + t->begin + (row * cols + col) / items * block_bytes;
    uint64_t i = col % items;
    float d = num_f16_to_f32(num_read_u16(b)), x;
    switch (t->type) {
    case GGUF_T_F32: memcpy(&x, b, 4); return x;
    case GGUF_T_F16: return d;
    case GGUF_T_BF16: return num_bf16_to_f32(num_read_u16(b));
    case GGUF_T_Q8_0: return d * (float)(int8_t)b[2 + i];
    case GGUF_T_Q4_0: return d * (float)((i < 16 ? b[2 + i] & 15 : b[2 + i - 16] >> 4) - 8);
    case GGUF_T_Q4_1: return d * (float)(i < 16 ? b[4 + i] & 15 : b[4 + i - 16] >> 4) + num_f16_to_f32(num_read_u16(b + 2));
    case GGUF_T_Q5_0: return d * (float)((int)((i < 16 ? b[6 + i] & 15u : b[6 + i - 16] >> 4) | (num_read_u32(b + 2) >> i & 1) << 4) - 16);
    case GGUF_T_Q5_1: return d * (float)((i < 16 ? b[8 + i] & 15u : b[8 + i - 16] >> 4) | (num_read_u32(b + 4) >> i & 1) << 4) + num_f16_to_f32(num_read_u16(b + 2));
    default: return 0;
    }
}

static float tc_half(const struct tc_pair *p, const char *name_cstr, uint64_t i) {
    const struct safet_tensor *t = safet_find(&p->safet, str_cstr(name_cstr));
    return t ? num_f16_to_f32(num_read_u16(p->safet_file.p + t->begin + 2 * i)) : 0;
}

/* Value of an element of a quantised MLX module by the affine formula. */
static float tc_mlx_value(const struct tc_pair *p, const char *module_cstr, unsigned bits, uint64_t row, uint64_t col, uint64_t cols) {
    char name[3][128];
    snprintf(name[0], 128, "%s.weight", module_cstr);
    snprintf(name[1], 128, "%s.scales", module_cstr);
    snprintf(name[2], 128, "%s.biases", module_cstr);
    const struct safet_tensor *t = safet_find(&p->safet, str_cstr(name[0]));
    if (!t) return 0;
    uint64_t bit = (row * cols + col) * bits;
    unsigned code = 0;
    for (unsigned k = 0; k < bits; k++)
        code |= ((unsigned)(uint8_t)p->safet_file.p[t->begin + (bit + k) / 8] >> ((bit + k) % 8) & 1) << k;
    uint64_t group = row * (cols / 32) + col / 32;
    return tc_half(p, name[1], group) * (float)code + tc_half(p, name[2], group);
}

static uint64_t tc_unpermuted(uint64_t row) {   /* row of the MLX tensor -> row of the GGUF tensor */
    uint64_t in_head = row % TC_HEAD, base = row - in_head;
    return base + (in_head < TC_HEAD / 2 ? 2 * in_head : 2 * (in_head - TC_HEAD / 2) + 1);
}

static void tc_compare(const struct tc_pair *p, const char *gguf_cstr, const char *module_cstr, unsigned bits, bool permuted) {
    const struct gguf_tensor *t = tc_source(p, gguf_cstr);
    uint64_t cols = (uint64_t)t->shape[1], wrong = 0;
    for (uint64_t r = 0; r < (uint64_t)t->shape[0]; r++)
        for (uint64_t c = 0; c < cols; c++)
            wrong += tc_gguf_value(p, t, permuted ? tc_unpermuted(r) : r, c) != tc_mlx_value(p, module_cstr, bits, r, c, cols);
    if (wrong) test_fail(__FILE__, __LINE__, "%llu values of %s differ", (unsigned long long)wrong, gguf_cstr);
}

static bool tc_read_pair(struct arena *a, const char *gguf_cstr, const char *snapshot_cstr, struct tc_pair *p, struct err *e) {
    char path[LIMIT_PATH];
    snprintf(path, sizeof path, "%s/model.safetensors", snapshot_cstr);
    return os_read_file(a, gguf_cstr, 1 << 25, &p->gguf_file, e) && os_read_file(a, path, 1 << 25, &p->safet_file, e)
        && gguf_parse(a, p->gguf_file, &p->gguf, e) && safet_parse(a, p->safet_file, p->safet_file.n, &p->safet, e);
}

TEST(import_keeps_every_value) {
    struct arena a;
    struct err e = { 0 };
    struct tc_file f;
    struct conv_result r;
    struct tc_pair p = { 0 };
    arena_init(&a, 1 << 28);
    tc_begin(&f);
    const char *path_cstr = tc_end(&f, "tiny.gguf");
    struct cache c = tc_cache(&a, "conv-values");
    CHECK_OK(conv_import(&a, &c, path_cstr, STR_EMPTY, NULL, NULL, &r, &e), e);
    CHECK_STR(r.name, STR("local/Tiny-Model-v1"));
    CHECK(!r.unchanged);
    CHECK_OK(tc_read_pair(&a, path_cstr, r.snapshot_cstr, &p, &e), e);
    tc_compare(&p, "token_embd.weight", "model.embed_tokens", 8, false);
    tc_compare(&p, "blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj", 4, true);
    tc_compare(&p, "blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj", 4, true);
    tc_compare(&p, "blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj", 5, false);
    tc_compare(&p, "output.weight", "lm_head", 5, false);
    for (uint64_t i = 0; i < TC_DIM; i++) CHECK(tc_half(&p, "model.norm.weight", i) == tc_gguf_value(&p, tc_source(&p, "output_norm.weight"), 0, i));
    const struct safet_tensor *v = safet_find(&p.safet, STR("model.layers.0.self_attn.v_proj.weight"));
    const struct gguf_tensor *from = tc_source(&p, "blk.0.attn_v.weight");
    CHECK(v && v->dtype == DTYPE_F16 && memcmp(p.safet_file.p + v->begin, p.gguf_file.p + from->begin, from->end - from->begin) == 0);
    CHECK_OK(conv_import(&a, &c, path_cstr, STR_EMPTY, NULL, NULL, &r, &e), e);
    CHECK(r.unchanged);
    arena_release(&a);
}

static void tc_refused(struct tc_file *f, enum err_code code, const char *word_cstr) {
    struct arena a;
    struct err e = { 0 };
    struct conv_result r;
    struct os_stat st;
    arena_init(&a, 1 << 28);
    struct cache c = tc_cache(&a, "conv-refused");
    CHECK_ERR(conv_import(&a, &c, tc_end(f, "refused.gguf"), STR("a/b"), NULL, NULL, &r, &e), e, code);
    if (str_find(str_cstr(e.msg), str_cstr(word_cstr)) < 0) test_fail(__FILE__, __LINE__, "\"%s\" does not name %s", e.msg, word_cstr);
    CHECK(!os_stat(c.root_cstr, &st));   /* nothing was written */
    arena_release(&a);
}

TEST(import_refuses_by_name) {
    struct tc_file f;
    tc_begin(&f); tc_tensor(&f, "blk.0.ffn_down.weight", GGUF_T_Q4_K, 0, 0, 0); tc_refused(&f, ERR_UNSUPPORTED, "Q4_K");
    tc_begin(&f); tc_tensor(&f, "blk.0.ssm_a.weight", GGUF_T_F32, 0, 4, 0); tc_refused(&f, ERR_UNSUPPORTED, "blk.0.ssm_a.weight");
    tc_begin(&f); tc_tensor(&f, "blk.7.ffn_down.weight", GGUF_T_F32, 0, 4, 0); tc_refused(&f, ERR_UNSUPPORTED, "blk.7.ffn_down.weight");
    tc_begin(&f); tc_tensor(&f, "blk.0.ffn_gate.weight", GGUF_T_Q4_0, 1, 32, 60000.0f); tc_refused(&f, ERR_UNSUPPORTED, "too large");
    tc_begin(&f); tc_tensor(&f, "rope_freqs.weight", GGUF_T_F32, 0, TC_HEAD / 2, 0); tc_refused(&f, ERR_UNSUPPORTED, "rope_freqs");
    tc_begin(&f); tc_tensor(&f, "token_embd.weight", GGUF_T_F32, 1, 4, 0); tc_refused(&f, ERR_FORMAT, "twice");
    tc_begin(&f); tc_meta_u32(&f, "llama.expert_count", 8); tc_refused(&f, ERR_UNSUPPORTED, "experts");
    tc_begin(&f); tc_meta_str(&f, "llama.rope.scaling.type", "spiral"); tc_meta_f32(&f, "llama.rope.scaling.factor", 2); tc_refused(&f, ERR_UNSUPPORTED, "spiral");
}

TEST(import_refuses_other_sources) {
    struct arena a;
    struct err e = { 0 };
    struct conv_result r;
    char path[LIMIT_PATH];
    arena_init(&a, 1 << 28);
    struct cache c = tc_cache(&a, "conv-others");
    CHECK_ERR(conv_import(&a, &c, "/nonexistent/x", STR_EMPTY, NULL, NULL, &r, &e), e, ERR_NOT_FOUND);
    CHECK_ERR(conv_import(&a, &c, test_scratch_dir(), STR_EMPTY, NULL, NULL, &r, &e), e, ERR_UNSUPPORTED);
    CHECK_ERR(conv_import(&a, &c, test_scratch_dir(), STR("../evil"), NULL, NULL, &r, &e), e, ERR_INVALID);
    snprintf(path, sizeof path, "%s/cut.gguf", test_scratch_dir());
    CHECK_OK(os_write_file(path, STR("GGUF\3\0\0\0\1\0\0"), &e), e);
    CHECK_ERR(conv_import(&a, &c, path, STR_EMPTY, NULL, NULL, &r, &e), e, ERR_FORMAT);
    arena_release(&a);
}

/* Every file call of an import fails in turn (some failures may be ignored, as that of a lock). After each the
 * import is absent or complete, and the next one completes it. */
TEST(import_survives_every_failing_call) {
    enum { TC_CALLS = 150 };             /* an import of five files makes about a hundred */
    struct arena a;
    struct err e = { 0 };
    struct tc_file f;
    struct conv_result r;
    arena_init(&a, 1 << 30);
    tc_begin(&f);
    const char *path_cstr = tc_end(&f, "faults.gguf");
    struct cache c = tc_cache(&a, "conv-faults");
    long failed = 0, last_failed = 0;
    for (long n = 1; n <= TC_CALLS; n++) {
        err_clear(&e);
        CHECK_OK(os_remove_tree(c.root_cstr, &e), e);
        os_file_fail_after(n, 28 /* ENOSPC */);
        bool ok = conv_import(&a, &c, path_cstr, STR("a/b"), NULL, NULL, &r, &e);
        os_file_fail_after(0, 0);
        if (!ok) { failed++; last_failed = n; CHECK_EQ(e.code, ERR_DISK_FULL); }
        if (!ok) CHECK(cache_ref_read(&a, &c, STR("a/b"), STR("main")).n == 0 || last_failed > 60);
        err_clear(&e);
        CHECK_OK(conv_import(&a, &c, path_cstr, STR("a/b"), NULL, NULL, &r, &e), e);
        CHECK(cache_ref_read(&a, &c, STR("a/b"), STR("main")).n == 40);
    }
    if (failed < 40 || last_failed == TC_CALLS) test_fail(__FILE__, __LINE__, "%ld calls failed, the last was number %ld", failed, last_failed);
    arena_release(&a);
}

/* ---- convert: a small checkpoint made here (Private) ----------------------------------------------------- */

enum { TC_MAX_TENSORS = 40 };
struct tc_model { struct safet_tensor t[TC_MAX_TENSORS]; size_t n; const char *dir_cstr, *config_cstr; bool mlx; };

/* Paths of these tests, each kept once, so that they can be held. */
static const char *tc_keep(const char *text_cstr) {
    static char paths[160][256];
    static size_t n;
    for (size_t i = 0; i < n; i++)
        if (strcmp(paths[i], text_cstr) == 0) return paths[i];
    MLXK_ASSERT(n < MLXK_COUNT(paths) && strlen(text_cstr) < sizeof paths[0]);
    return strcpy(paths[n++], text_cstr);
}

static const char *tc_in(const char *dir_cstr, const char *name_cstr) {
    char path[LIMIT_PATH];
    snprintf(path, sizeof path, "%s/%s", dir_cstr, name_cstr);
    return tc_keep(path);
}

static const char *tc_path(const char *name_cstr) { return tc_in(test_scratch_dir(), name_cstr); }

static void tc_add(struct tc_model *m, const char *name_cstr, enum dtype dtype, int64_t rows, int64_t cols) {
    struct safet_tensor *t = &m->t[m->n++];
    *t = (struct safet_tensor){ .name = str_cstr(name_cstr), .dtype = dtype, .n_dims = rows ? 2 : 1 };
    t->shape[0] = rows ? rows : cols;
    t->shape[1] = cols;
}

/* Value of element i of a tensor: from its name, so that every file of it holds the same. */
static float tc_value(struct str name, uint64_t i) {
    uint64_t x = (map_hash(name) + i) * 0x9E3779B97F4A7C15u;
    x ^= x >> 29;
    return (float)(int64_t)(x % 2001) / 1000 - 1;
}

/* Tensors [first, last) of a model as one file. */
static void tc_write_shard(const struct tc_model *m, const char *file_cstr, size_t first, size_t last) {
    struct buf b;
    struct err e = { 0 };
    struct safet_tensor part[TC_MAX_TENSORS];
    memcpy(part, m->t + first, (last - first) * sizeof *part);
    buf_init(&b, 1 << 26);
    CHECK_OK(safet_write_header(&b, part, last - first, m->mlx, &e), e);
    for (size_t k = 0; k < last - first; k++) {
        uint64_t n = (part[k].end - part[k].begin) / dtype_size(part[k].dtype);
        for (uint64_t i = 0; i < n; i++) {
            float x = tc_value(part[k].name, i);
            uint16_t h = part[k].dtype == DTYPE_F16 ? num_f32_to_f16(x) : num_f32_to_bf16(x);
            uint64_t word = i * 0x0123456789abcdefu;
            if (part[k].dtype == DTYPE_F32) buf_add_bytes(&b, &x, 4);
            else if (dtype_size(part[k].dtype) == 2) buf_add_bytes(&b, &h, 2);
            else buf_add_bytes(&b, &word, dtype_size(part[k].dtype));
        }
    }
    CHECK_OK(os_mkdirs(m->dir_cstr, &e), e);
    CHECK_OK(os_write_file(tc_in(m->dir_cstr, file_cstr), buf_str(&b), &e), e);
    buf_release(&b);
}

static void tc_write_text(const char *dir_cstr, const char *name_cstr, const char *text_cstr) {
    struct err e = { 0 };
    CHECK_OK(os_mkdirs(dir_cstr, &e), e);
    CHECK_OK(os_write_file(tc_in(dir_cstr, name_cstr), str_cstr(text_cstr), &e), e);
}

/* A llama of one layer, in one file or three. */
static void tc_llama(struct tc_model *m, const char *dir_cstr, enum dtype dtype, int n_files) {
    *m = (struct tc_model){ .dir_cstr = dir_cstr, .mlx = true };
    tc_add(m, "model.embed_tokens.weight", dtype, 96, 128);
    tc_add(m, "model.norm.weight", dtype, 0, 128);
    tc_add(m, "lm_head.weight", dtype, 96, 128);
    tc_add(m, "model.layers.0.mlp.down_proj.weight", dtype, 128, 192);
    tc_add(m, "model.layers.0.mlp.up_proj.weight", dtype, 192, 128);
    tc_add(m, "model.layers.0.mlp.up_proj.bias", dtype, 0, 192);
    tc_add(m, "model.layers.0.input_layernorm.weight", dtype, 0, 128);
    tc_add(m, "model.layers.0.odd.weight", dtype, 8, 100);
    tc_add(m, "model.layers.0.positions", DTYPE_I64, 0, 16);
    tc_write_text(dir_cstr, "config.json", "{\"model_type\": \"llama\", \"num_hidden_layers\": 1, \"rope_theta\": 10000.0}");
    tc_write_text(dir_cstr, "generation_config.json", "{}");
    tc_write_text(tc_in(dir_cstr, "1_Pooling"), "config.json", "{\"x\": 1}");
    for (int i = 0; i < n_files; i++) {
        char name[64];
        snprintf(name, sizeof name, n_files == 1 ? "model.safetensors" : "model-0000%d-of-0000%d.safetensors", i + 1, n_files);
        tc_write_shard(m, name, m->n * (size_t)i / (size_t)n_files, m->n * (size_t)(i + 1) / (size_t)n_files);
    }
}

static struct conv_options tc_options(enum conv_mode mode, const char *source_cstr, const char *target_cstr) {
    return (struct conv_options){ .mode = mode, .source_cstr = source_cstr, .target_cstr = target_cstr, .q = { K_AFFINE, 4, 64 },
                                  .dtype = DTYPE_COUNT, .version = STR("test"), .n_threads = 2 };
}

static bool tc_exists(const char *path_cstr) { struct os_stat st; return os_lstat(path_cstr, &st); }

/* One tensor of a directory's files: its bytes, its row in *t. Empty when absent. */
static struct str tc_read(struct arena *a, const char *dir_cstr, const char *name_cstr, struct safet_tensor *t) {
    struct os_entry *entries;
    struct err e = { 0 };
    size_t n = 0;
    struct str found = STR_EMPTY;
    CHECK_OK(os_list_dir(a, dir_cstr, 100, &entries, &n, &e), e);
    for (size_t i = 0; i < n && !found.p; i++) {
        struct str file;
        struct safet s;
        if (!str_ends(entries[i].name, STR(".safetensors"))) continue;
        CHECK_OK(os_read_file(a, tc_in(dir_cstr, str_dup_cstr(a, entries[i].name)), 1 << 26, &file, &e), e);
        CHECK_OK(safet_parse(a, file, file.n, &s, &e), e);
        const struct safet_tensor *x = safet_find(&s, str_cstr(name_cstr));
        if (x) { *t = *x; found = str_sub(file, x->begin, x->end); }
    }
    return found;
}

static void tc_hash_dir(struct arena *a, const char *dir_cstr, char out[65]) {
    struct os_entry *entries;
    struct err e = { 0 };
    struct sha256 sha;
    size_t n = 0;
    uint8_t digest[32];
    sha256_init(&sha);
    CHECK_OK(os_list_dir(a, dir_cstr, 100, &entries, &n, &e), e);
    for (size_t i = 0; i < n; i++) {
        struct str text = STR_EMPTY;
        if (entries[i].kind != OS_FILE || str_starts(entries[i].name, STR("."))) continue;
        CHECK_OK(os_read_file(a, tc_in(dir_cstr, str_dup_cstr(a, entries[i].name)), 1 << 26, &text, &e), e);
        sha256_update(&sha, entries[i].name.p, entries[i].name.n);
        sha256_update(&sha, text.p, text.n);
    }
    sha256_final(&sha, digest);
    str_hex(out, digest, sizeof digest);
}

/* ---- convert: what comes out -------------------------------------------------------------------------------- */

TEST(convert_quantises_linear_maps_and_embeddings) {
    struct arena a;
    struct err e = { 0 };
    struct tc_model m;
    struct conv_outcome r;
    struct safet_tensor t;
    arena_init(&a, 1 << 28);
    tc_llama(&m, tc_path("cq-src"), DTYPE_BF16, 1);
    struct conv_options o = tc_options(CONV_QUANTIZE, m.dir_cstr, tc_path("cq-dst"));
    CHECK_OK(conv_convert(&a, &o, &r, &e), e);
    CHECK(r.healthy && r.content_hash.n == 71);
    CHECK_STR(r.message, STR("Quantized to 4-bit successfully"));
    CHECK_EQ(r.n_quantised, 4);
    CHECK(tc_read(&a, o.target_cstr, "model.embed_tokens.scales", &t).n == 96 * 2 * 2 && t.dtype == DTYPE_BF16);
    CHECK(tc_read(&a, o.target_cstr, "model.embed_tokens.weight", &t).n == 96 * 64 && t.dtype == DTYPE_U32 && t.shape[1] == 16);
    CHECK(tc_read(&a, o.target_cstr, "model.norm.weight", &t).n == 256 && t.dtype == DTYPE_BF16);
    CHECK(tc_read(&a, o.target_cstr, "model.layers.0.odd.weight", &t).n == 1600 && t.dtype == DTYPE_BF16);
    CHECK(tc_read(&a, o.target_cstr, "model.layers.0.positions", &t).n == 128 && t.dtype == DTYPE_I64);
    CHECK(tc_exists(tc_in(o.target_cstr, "1_Pooling/config.json")) && tc_exists(tc_in(o.target_cstr, "generation_config.json")));
    CHECK(!tc_exists(tc_path(".cq-dst.mlxk-convert")));
    CHECK_ERR(conv_convert(&a, &o, &r, &e), e, ERR_EXISTS);
    arena_release(&a);
}

/* Whatever the threads, the files of the source and the run. */
TEST(convert_gives_the_same_bytes) {
    struct arena a;
    struct err e = { 0 };
    struct tc_model m;
    struct conv_outcome r;
    char want[65], got[65];
    arena_init(&a, 1 << 28);
    tc_llama(&m, tc_path("cs-one"), DTYPE_F16, 1);
    tc_llama(&m, tc_path("cs-three"), DTYPE_F16, 3);
    for (int i = 0; i < 6; i++) {
        struct conv_options o = tc_options(CONV_QUANTIZE, tc_path(i % 2 ? "cs-three" : "cs-one"), tc_path("cs-dst"));
        o.n_threads = 1 + i;
        o.shard_bytes = 12000;
        CHECK_OK(os_remove_tree(o.target_cstr, &e), e);
        CHECK_OK(conv_convert(&a, &o, &r, &e), e);
        CHECK_EQ(r.n_shards, 6);
        tc_hash_dir(&a, o.target_cstr, got);
        if (i == 0) memcpy(want, got, sizeof want);
        CHECK_STR(str_cstr(got), str_cstr(want));
    }
    arena_release(&a);
}

/* A slice more and one element less than the buffers hold: the borders between slices are as if there were none. */
TEST(convert_crosses_slices) {
    struct arena a;
    struct err e = { 0 };
    struct conv_outcome r;
    struct safet_tensor t;
    struct tc_model m = { .dir_cstr = tc_path("cb-src"), .mlx = true };
    arena_init(&a, 1 << 28);
    tc_add(&m, "model.layers.0.mlp.up_proj.weight", DTYPE_F32, 4111, 128);     /* 2^19 + 1920 elements */
    tc_write_text(m.dir_cstr, "config.json", "{\"model_type\": \"llama\", \"num_hidden_layers\": 1}");
    tc_write_shard(&m, "model.safetensors", 0, 1);
    struct conv_options o = tc_options(CONV_QUANTIZE, m.dir_cstr, tc_path("cb-dst"));
    o.q = (struct model_quant){ K_AFFINE, 3, 32 };
    CHECK_OK(conv_convert(&a, &o, &r, &e), e);
    struct str codes = tc_read(&a, o.target_cstr, "model.layers.0.mlp.up_proj.weight", &t);
    struct str scales = tc_read(&a, o.target_cstr, "model.layers.0.mlp.up_proj.scales", &t);
    struct k_matrix w = { .format = K_AFFINE, .bits = 3, .group = 32, .rows = 1, .cols = 128, .global_scale = 1 };
    CHECK_EQ(codes.n, (size_t)4111 * 48);
    for (uint64_t row = 0; row < 4111 && codes.n == (size_t)4111 * 48; row += 1) {
        float x[128];
        uint8_t want_codes[48], want_scales[16], want_biases[16];
        for (uint64_t i = 0; i < 128; i++) x[i] = tc_value(STR("model.layers.0.mlp.up_proj.weight"), row * 128 + i);
        k_quantize_row(&w, K_F32, x, want_codes, want_scales, want_biases);
        if (memcmp(want_codes, codes.p + row * 48, 48) != 0 || memcmp(want_scales, scales.p + row * 16, 16) != 0) {
            test_fail(__FILE__, __LINE__, "row %llu differs", (unsigned long long)row);
            break;
        }
    }
    arena_release(&a);
}

TEST(convert_follows_a_recipe) {
    static const struct { const char *line_cstr; enum k_format format; int bits, group; } good[] = {
        { "*.v_proj=6", K_AFFINE, 6, 64 }, { "a=8:32", K_AFFINE, 8, 32 }, { "a=mxfp4", K_MXFP4, 4, 32 },
        { "a=4:16:nvfp4", K_NVFP4, 4, 16 }, { " a = keep ", K_F32, 0, 0 }, { "a=b=3:128", K_AFFINE, 3, 128 },
    };
    static const char *const bad[] = { "", "a", "=4", "a=", "a=7", "a=4:48", "a=4:64:none", "a=4:64:mxfp4", "a=5:16:nvfp4", "a=x", "a=4:",
                                       "a=4:64:affine:1", "mixed_9_9" };
    struct conv_rule rules[CONV_MAX_RULES];
    struct model_quant base = { K_AFFINE, 4, 64 };
    struct err e = { 0 };
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        struct conv_recipe r = { .rules = rules };
        CHECK_OK(conv_recipe_add(&r, str_cstr(good[i].line_cstr), &base, &e), e);
        CHECK(r.n == 1 && rules[0].q.format == good[i].format);
        if (good[i].format != K_F32) { CHECK_EQ(rules[0].q.bits, good[i].bits); CHECK_EQ(rules[0].q.group, good[i].group); }
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        struct conv_recipe r = { .rules = rules };
        CHECK_ERR(conv_recipe_add(&r, str_cstr(bad[i]), &base, &e), e, ERR_INVALID);
    }
    struct conv_recipe r = { .rules = rules };
    err_clear(&e);
    CHECK_OK(conv_recipe_add_lines(&r, STR("# bits\n*.down_proj=6 # more\n\n lm_head=keep\nmixed_4_6"), &base, &e), e);
    CHECK(r.n == 2 && str_eq(rules[0].pattern, STR("*.down_proj")) && str_eq(r.mixed, STR("mixed_4_6")));
    CHECK_ERR(conv_recipe_add(&r, STR("mixed_3_4"), &base, &e), e, ERR_INVALID);
}

TEST(convert_stacks_experts) {
    struct arena a;
    struct err e = { 0 };
    struct conv_outcome r;
    struct safet_tensor t;
    struct tc_model m = { .dir_cstr = tc_path("ce-src") };
    static char names[12][80];
    arena_init(&a, 1 << 28);
    for (int i = 0; i < 12; i++) {       /* sorted by name, 10 and 11 stand before 2 */
        snprintf(names[i], sizeof names[i], "model.layers.0.mlp.experts.%d.up_proj.weight", i);
        tc_add(&m, names[i], DTYPE_BF16, 6, 64);
    }
    tc_add(&m, "model.layers.0.mlp.gate.weight", DTYPE_BF16, 12, 64);
    tc_add(&m, "model.layers.0.self_attn.rotary_emb.inv_freq", DTYPE_F32, 0, 8);
    tc_write_text(m.dir_cstr, "config.json", "{\"model_type\": \"qwen3_moe\", \"num_hidden_layers\": 1}");
    tc_write_shard(&m, "model.safetensors", 0, m.n);
    struct conv_options o = tc_options(CONV_TO_MLX, m.dir_cstr, tc_path("ce-dst"));
    CHECK_OK(conv_convert(&a, &o, &r, &e), e);
    struct str stack = tc_read(&a, o.target_cstr, "model.layers.0.mlp.switch_mlp.up_proj.weight", &t);
    CHECK(t.n_dims == 3 && t.shape[0] == 12 && t.shape[1] == 6 && t.shape[2] == 64 && stack.n == 12 * 6 * 64 * 2);
    for (size_t i = 0; i < 12 && stack.n; i++)
        CHECK(num_bf16_to_f32(num_read_u16(stack.p + i * 768 + 2)) == num_bf16_to_f32(num_f32_to_bf16(tc_value(str_cstr(names[i]), 1))));
    CHECK(!tc_read(&a, o.target_cstr, "model.layers.0.self_attn.rotary_emb.inv_freq", &t).p);
    o = tc_options(CONV_QUANTIZE, m.dir_cstr, tc_path("ce-q"));
    CHECK_OK(conv_convert(&a, &o, &r, &e), e);
    CHECK(tc_read(&a, o.target_cstr, "model.layers.0.mlp.gate.weight", &t).n == 12 * 64);      /* the router: 8 bits */
    CHECK(tc_read(&a, o.target_cstr, "model.layers.0.mlp.switch_mlp.up_proj.weight", &t).n == 12 * 6 * 32 && t.n_dims == 3);
    CHECK_OK(os_remove_tree(o.target_cstr, &e), e);
    m.n--;                               /* an expert is missing: names[11] becomes another one */
    snprintf(names[11], sizeof names[11], "model.layers.0.mlp.experts.12.up_proj.weight");
    m.t[11].name = str_cstr(names[11]);
    tc_write_shard(&m, "model.safetensors", 0, m.n);
    CHECK_ERR(conv_convert(&a, &o, &r, &e), e, ERR_FORMAT);
    CHECK(str_find(str_cstr(e.msg), STR("expert 11")) >= 0);
    arena_release(&a);
}

TEST(convert_refuses_by_name) {
    struct arena a;
    struct err e = { 0 };
    struct conv_outcome r;
    struct tc_model m;
    arena_init(&a, 1 << 28);
    tc_llama(&m, tc_path("cr-src"), DTYPE_F16, 1);
    struct conv_options o = tc_options(CONV_DEQUANTIZE, m.dir_cstr, tc_path("cr-dst"));
    CHECK_ERR(conv_convert(&a, &o, &r, &e), e, ERR_INVALID);                   /* is not quantised */
    o = tc_options(CONV_QUANTIZE, m.dir_cstr, tc_path("cr-q"));
    err_clear(&e);
    CHECK_OK(conv_convert(&a, &o, &r, &e), e);
    o = tc_options(CONV_QUANTIZE, tc_path("cr-q"), tc_path("cr-dst"));
    CHECK_ERR(conv_convert(&a, &o, &r, &e), e, ERR_UNSUPPORTED);               /* is quantised already */
    CHECK(str_find(str_cstr(e.msg), STR("4 bits in groups of 64")) >= 0 && str_find(str_cstr(e.hint), STR("--dequantize")) >= 0);
    o = tc_options(CONV_QUANTIZE, m.dir_cstr, tc_in(m.dir_cstr, "inside"));
    err_clear(&e);
    CHECK_OK(conv_convert(&a, &o, &r, &e), e);                                 /* the target may lie in the source */
    CHECK(tc_exists(tc_in(m.dir_cstr, "inside/config.json")) && !tc_exists(tc_in(m.dir_cstr, "inside/inside")));
    struct conv_rule rules[CONV_MAX_RULES] = { { .pattern = STR("*.nothing"), .q = { K_AFFINE, 6, 64 } } };
    o = tc_options(CONV_QUANTIZE, m.dir_cstr, tc_path("cr-dst"));
    o.recipe = (struct conv_recipe){ .rules = rules, .n = 1 };
    CHECK_ERR(conv_convert(&a, &o, &r, &e), e, ERR_INVALID);
    CHECK(str_find(str_cstr(e.msg), STR("*.nothing")) >= 0);
    tc_write_text(tc_path("cr-bin"), "config.json", "{\"model_type\": \"llama\"}");
    tc_write_text(tc_path("cr-bin"), "pytorch_model.bin", "x");
    o = tc_options(CONV_TO_MLX, tc_path("cr-bin"), tc_path("cr-dst"));
    CHECK_ERR(conv_convert(&a, &o, &r, &e), e, ERR_UNSUPPORTED);
    CHECK(str_find(str_cstr(e.msg), STR("pytorch_model.bin")) >= 0);
    tc_write_text(m.dir_cstr, "config.json", "{\"model_type\": \"nobody_knows\"}");
    m.mlx = false;
    tc_write_shard(&m, "model.safetensors", 0, m.n);
    o = tc_options(CONV_QUANTIZE, m.dir_cstr, tc_path("cr-dst"));
    CHECK_ERR(conv_convert(&a, &o, &r, &e), e, ERR_UNSUPPORTED);
    CHECK(str_find(str_cstr(e.msg), STR("nobody_knows")) >= 0);
    CHECK(!tc_exists(tc_path("cr-dst")) && !tc_exists(tc_path(".cr-dst.mlxk-convert")));
    arena_release(&a);
}

/* ---- convert: going on --------------------------------------------------------------------------------------- */

/* Stops at the n-th look. */
static bool tc_stop(void *ctx, uint64_t done, uint64_t total) { int *left = ctx; (void)done; (void)total; return --*left > 0; }

static void tc_flip(const char *path_cstr, uint64_t at) {
    struct err e = { 0 };
    uint8_t x = 0;
    size_t n = 0;
    int fd = os_open(path_cstr, OS_WRITE, &e);
    CHECK_OK(fd >= 0 && os_pread(fd, &x, 1, at, &n, &e), e);
    x ^= 1;
    CHECK_OK(os_pwrite(fd, &x, 1, at, &e), e);
    os_close(fd);
}

TEST(convert_goes_on_where_it_was_stopped) {
    struct arena a;
    struct err e = { 0 };
    struct tc_model m;
    struct conv_outcome r;
    struct os_lock lock;
    char want[65], got[65];
    arena_init(&a, 1 << 28);
    tc_llama(&m, tc_path("cg-src"), DTYPE_F16, 2);
    struct conv_options o = tc_options(CONV_QUANTIZE, m.dir_cstr, tc_path("cg-want"));
    o.shard_bytes = 9000;
    CHECK_OK(conv_convert(&a, &o, &r, &e), e);
    CHECK_EQ(r.n_shards, 6);
    tc_hash_dir(&a, o.target_cstr, want);
    o.target_cstr = tc_path("cg-dst");
    for (int damage = 0; damage < 3; damage++) {
        int left = 3;                    /* two files are finished, the third one is stopped */
        o.progress = tc_stop;
        o.ctx = &left;
        CHECK_OK(os_remove_tree(o.target_cstr, &e), e);
        CHECK_ERR(conv_convert(&a, &o, &r, &e), e, ERR_INTERRUPTED);
        CHECK(str_find(str_cstr(e.hint), STR("2 of 6 files")) >= 0 && !tc_exists(o.target_cstr));
        if (damage == 1) tc_flip(tc_path(".cg-dst.mlxk-convert/out/model-00001-of-00006.safetensors"), 5000);
        if (damage == 2) tc_write_text(m.dir_cstr, "generation_config.json", "{\"changed\": 1}");
        err_clear(&e);
        CHECK_OK(os_lock_acquire(&lock, tc_path(".cg-dst.mlxk-convert/lock"), 0, &e), e);
        o.progress = NULL;
        CHECK_ERR(conv_convert(&a, &o, &r, &e), e, ERR_LOCKED);
        os_lock_release(&lock);
        err_clear(&e);
        CHECK_OK(conv_convert(&a, &o, &r, &e), e);
        CHECK_EQ(r.n_kept_shards, 2 - damage);
        if (damage == 2) tc_write_text(o.target_cstr, "generation_config.json", "{}");
        tc_hash_dir(&a, o.target_cstr, got);
        CHECK_STR(str_cstr(got), str_cstr(want));
        CHECK(!tc_exists(tc_path(".cg-dst.mlxk-convert")));
    }
    arena_release(&a);
}

/* What a person keeps under the name of the work folder stays. */
TEST(convert_spares_folders_of_others) {
    struct arena a;
    struct err e = { 0 };
    struct tc_model m;
    struct conv_outcome r;
    arena_init(&a, 1 << 28);
    tc_llama(&m, tc_path("cf-src"), DTYPE_F16, 1);
    tc_write_text(tc_path(".cf-dst.mlxk-convert"), "diary", "mine");
    struct conv_options o = tc_options(CONV_QUANTIZE, m.dir_cstr, tc_path("cf-dst"));
    CHECK_ERR(conv_convert(&a, &o, &r, &e), e, ERR_EXISTS);
    CHECK(str_find(str_cstr(e.msg), STR("diary")) >= 0 && tc_exists(tc_path(".cf-dst.mlxk-convert/diary")));
    arena_release(&a);
}

/* Every file call fails in turn, for each mode: the target is absent or whole, and the next run completes it with the same
 * bytes. */
TEST(convert_survives_every_failing_call) {
    enum { TC_CONVERT_CALLS = 120 };
    static const enum conv_mode modes[] = { CONV_QUANTIZE, CONV_DEQUANTIZE, CONV_TO_MLX, CONV_REPAIR_INDEX };
    struct arena a;
    struct err e = { 0 };
    struct tc_model m;
    struct conv_outcome r;
    char want[65], got[65];
    arena_init(&a, (size_t)1 << 30);
    tc_llama(&m, tc_path("cx-src"), DTYPE_F16, 2);
    struct conv_options q = tc_options(CONV_QUANTIZE, m.dir_cstr, tc_path("cx-q"));
    CHECK_OK(conv_convert(&a, &q, &r, &e), e);
    for (size_t k = 0; k < MLXK_COUNT(modes); k++) {
        long failed = 0, last = 0;           /* some failures are not noticed, and need not be: stop after a run of these */
        struct conv_options o = tc_options(modes[k], modes[k] == CONV_DEQUANTIZE ? tc_path("cx-q") : m.dir_cstr, tc_path("cx-dst"));
        o.shard_bytes = modes[k] == CONV_QUANTIZE ? 16000 : 60000;
        o.n_threads = 1;
        err_clear(&e);
        CHECK_OK(os_remove_tree(o.target_cstr, &e), e);
        CHECK_OK(conv_convert(&a, &o, &r, &e), e);
        tc_hash_dir(&a, o.target_cstr, want);
        for (long n = 1; n <= TC_CONVERT_CALLS && n < last + 6; n++) {
            struct arena_mark mark = arena_mark(&a);
            CHECK_OK(os_remove_tree(o.target_cstr, &e), e);
            os_file_fail_after(n, 28 /* ENOSPC */);
            bool ok = conv_convert(&a, &o, &r, &e);
            os_file_fail_after(0, 0);
            if (!ok) { failed++; last = n; CHECK_EQ(e.code, ERR_DISK_FULL); }
            CHECK(ok || !tc_exists(o.target_cstr));
            err_clear(&e);
            if (!ok) CHECK_OK(conv_convert(&a, &o, &r, &e), e);
            tc_hash_dir(&a, o.target_cstr, got);
            CHECK_STR(str_cstr(got), str_cstr(want));
            CHECK(ok || !tc_exists(tc_path(".cx-dst.mlxk-convert")));
            CHECK_OK(os_remove_tree(tc_path(".cx-dst.mlxk-convert"), &e), e);   /* its removal may have been what failed */
            arena_rewind(&a, mark);
        }
        if (failed < 15 || last == TC_CONVERT_CALLS)
            test_fail(__FILE__, __LINE__, "mode %d: %ld calls failed, the last was number %ld", (int)modes[k], failed, last);
    }
    arena_release(&a);
}

TEST(convert_repairs_an_index) {
    struct arena a;
    struct err e = { 0 };
    struct tc_model m;
    struct conv_outcome r;
    struct str text;
    arena_init(&a, 1 << 28);
    tc_llama(&m, tc_path("ci-src"), DTYPE_F16, 3);
    tc_write_text(m.dir_cstr, "model.safetensors.index.json", "{\"weight_map\": {\"gone\": \"model-9.safetensors\"}}");
    struct conv_options o = tc_options(CONV_REPAIR_INDEX, m.dir_cstr, tc_path("ci-dst"));
    CHECK_OK(os_mkdirs(o.target_cstr, &e), e);                                 /* an empty folder may be filled */
    CHECK_OK(conv_convert(&a, &o, &r, &e), e);
    CHECK(r.healthy && str_eq(r.message, STR("Index rebuilt successfully")));
    CHECK_OK(os_read_file(&a, tc_in(o.target_cstr, "model.safetensors.index.json"), 1 << 20, &text, &e), e);
    struct safet_index index;
    CHECK_OK(safet_index_parse(&a, text, &index, &e), e);
    CHECK(index.n == m.n && index.n_files == 3 && str_find(text, STR("gone")) < 0);
    CHECK(tc_exists(tc_in(o.target_cstr, "1_Pooling/config.json")));
    CHECK_OK(os_remove_tree(o.target_cstr, &e), e);
    tc_write_shard(&m, "model-00003-of-00003.safetensors", 0, 2);              /* tensors of the first file again */
    CHECK_ERR(conv_convert(&a, &o, &r, &e), e, ERR_FORMAT);
    CHECK(str_find(str_cstr(e.msg), STR("Duplicate tensor key")) >= 0 && !tc_exists(o.target_cstr));
    CHECK(!tc_exists(tc_path(".ci-dst.mlxk-convert")));
    arena_release(&a);
}

TEST_LIST(convert) { T(import_keeps_every_value), T(import_refuses_by_name), T(import_refuses_other_sources),
                     T(import_survives_every_failing_call), T(convert_quantises_linear_maps_and_embeddings),
                     T(convert_gives_the_same_bytes), T(convert_crosses_slices), T(convert_follows_a_recipe),
                     T(convert_stacks_experts), T(convert_refuses_by_name), T(convert_goes_on_where_it_was_stopped),
                     T(convert_spares_folders_of_others), T(convert_survives_every_failing_call), T(convert_repairs_an_index),
                     TEST_END };
