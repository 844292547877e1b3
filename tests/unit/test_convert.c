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
    if (type == GGUF_T_Q4_0 || type == GGUF_T_Q4_1 || type == GGUF_T_Q8_0) memcpy(block, &scale, 2);
    if (type == GGUF_T_Q4_1) { uint16_t bias = num_f32_to_f16(-0.5f); memcpy(block + 2, &bias, 2); }
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
    unsigned code = ((unsigned)(uint8_t)p->safet_file.p[t->begin + bit / 8] >> (bit % 8)) & ((1u << bits) - 1);
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
    for (uint64_t i = 0; i < TC_DIM; i++) CHECK(tc_half(&p, "model.norm.weight", i) == tc_gguf_value(&p, tc_source(&p, "output_norm.weight"), 0, i));
    const struct safet_tensor *v = safet_find(&p.safet, STR("model.layers.0.self_attn.v_proj.weight"));
    const struct gguf_tensor *from = tc_source(&p, "blk.0.attn_v.weight");
    CHECK(v && v->dtype == DTYPE_F16 && memcmp(p.safet_file.p + v->begin, p.gguf_file.p + from->begin, from->end - from->begin) == 0);
    CHECK_OK(conv_import(&a, &c, path_cstr, STR_EMPTY, NULL, NULL, &r, &e), e);
    CHECK(r.unchanged);
    safet_release(&p.safet);
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

/* Every file call of an import fails in turn (some failures may be ignored, as that of CACHEDIR.TAG). After each the
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

TEST_LIST(convert) { T(import_keeps_every_value), T(import_refuses_by_name), T(import_refuses_other_sources),
                     T(import_survives_every_failing_call), TEST_END };
