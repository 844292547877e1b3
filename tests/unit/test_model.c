/* test_model.c: config.json and tensors, as they should be and as they should not.
 *
 * Hostile models are made here: a small llama whose config text and tensor list can be bent in one place.
 * Reference checkpoints are below golden/tiny-a.
 */
#include "model/model.h"
#include "model/arch.h"

#include "test.h"
#include <math.h>
#include <stdio.h>

/* ---- making models --------------------------------------------------------------------------------- */

enum { TEST_MODEL_DIM = 16, TEST_MODEL_FF = 32, TEST_MODEL_VOCAB = 24, TEST_MODEL_KV = 8 };

struct test_model_bend {
    const char *omit, *reshape, *retype;     /* tensor names */
    bool untied;
    size_t cut_bytes;                        /* taken off the end of the file */
};

static const char *test_model_config_text =
    "{\"model_type\":\"llama\",\"hidden_size\":16,\"intermediate_size\":32,\"num_hidden_layers\":2,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":24,\"rms_norm_eps\":1e-5,"
    "\"max_position_embeddings\":64,\"eos_token_id\":2,\"bos_token_id\":1%s}";

static void test_model_path(char *out, size_t cap, const char *dir, const char *file) {
    snprintf(out, cap, "%s/%s", dir, file);
}

static void test_model_write(const char *dir, const char *file, struct str text) {
    char path[512];
    struct err e = { 0 };
    test_model_path(path, sizeof path, dir, file);
    CHECK_OK(os_write_file(path, text, &e), e);
}

static void test_model_add(struct arena *a, struct safet_tensor *list, size_t *n, const struct test_model_bend *bend,
                           const char *name, int64_t rows, int64_t cols) {
    if (bend->omit && strcmp(bend->omit, name) == 0) return;
    struct safet_tensor t = { .name = str_dup(a, str_cstr(name)), .dtype = DTYPE_F32, .n_dims = cols ? 2 : 1,
                              .shape = { rows, cols } };
    if (bend->reshape && strcmp(bend->reshape, name) == 0) t.shape[0]++;
    if (bend->retype && strcmp(bend->retype, name) == 0) t.dtype = DTYPE_I32;
    list[(*n)++] = t;
}

static void test_model_tensors(struct buf *file, const struct test_model_bend *bend) {
    static const struct { const char *name; int rows, cols; } parts[] = {
        { "input_layernorm.weight", TEST_MODEL_DIM, 0 }, { "post_attention_layernorm.weight", TEST_MODEL_DIM, 0 },
        { "self_attn.q_proj.weight", TEST_MODEL_DIM, TEST_MODEL_DIM },
        { "self_attn.k_proj.weight", TEST_MODEL_KV, TEST_MODEL_DIM },
        { "self_attn.v_proj.weight", TEST_MODEL_KV, TEST_MODEL_DIM },
        { "self_attn.o_proj.weight", TEST_MODEL_DIM, TEST_MODEL_DIM },
        { "mlp.gate_proj.weight", TEST_MODEL_FF, TEST_MODEL_DIM }, { "mlp.up_proj.weight", TEST_MODEL_FF, TEST_MODEL_DIM },
        { "mlp.down_proj.weight", TEST_MODEL_DIM, TEST_MODEL_FF },
    };
    struct safet_tensor list[64];
    struct arena a;
    struct err e = { 0 };
    size_t n = 0, bytes = 0;
    arena_init(&a, 1 << 20);
    test_model_add(&a, list, &n, bend, "model.embed_tokens.weight", TEST_MODEL_VOCAB, TEST_MODEL_DIM);
    test_model_add(&a, list, &n, bend, "model.norm.weight", TEST_MODEL_DIM, 0);
    if (bend->untied) test_model_add(&a, list, &n, bend, "lm_head.weight", TEST_MODEL_VOCAB, TEST_MODEL_DIM);
    for (int i = 0; i < 2; i++)
        for (size_t j = 0; j < MLXK_COUNT(parts); j++) {
            char name[128];
            snprintf(name, sizeof name, "model.layers.%d.%s", i, parts[j].name);
            test_model_add(&a, list, &n, bend, name, parts[j].rows, parts[j].cols);
        }
    CHECK_OK(safet_write_header(file, list, n, true, &e), e);
    for (size_t i = 0; i < n; i++) bytes += list[i].end - list[i].begin;
    for (size_t i = 0; i < bytes / 4; i++) {
        float x = (float)(test_random() % 2001) / 1000 - 1;
        buf_add_bytes(file, &x, sizeof x);
    }
    arena_release(&a);
}

/* A fresh folder with config (extra keys spliced in) and one shard. */
static const char *test_model_make(const char *extra, const struct test_model_bend *bend) {
    static char dir[300];
    static int count;
    struct err e = { 0 };
    char config[2048];
    struct buf file;
    snprintf(dir, sizeof dir, "%s/model-%d", test_scratch_dir(), count++);
    CHECK_OK(os_mkdirs(dir, &e), e);
    snprintf(config, sizeof config, test_model_config_text, extra);
    test_model_write(dir, "config.json", str_cstr(config));
    buf_init(&file, 1 << 20);
    test_model_tensors(&file, bend);
    test_model_write(dir, "model.safetensors", str_sub(buf_str(&file), 0, file.n - bend->cut_bytes));
    buf_release(&file);
    return dir;
}

static struct json *test_model_read_json(struct arena *a, const char *dir, const char *file) {
    char path[512];
    struct err e = { 0 };
    struct str text;
    test_model_path(path, sizeof path, dir, file);
    return os_read_file(a, path, 1 << 20, &text, &e) ? json_parse(a, text, &e) : NULL;
}

/* model_open's verdict; model_check must say the same about models whose config is JSON. */
static enum err_code test_model_verdict(const char *dir, struct err *e) {
    struct err of_check = { 0 };
    struct arena a;
    err_clear(e);
    struct model *m = model_open(dir, e);
    enum err_code code = e->code;
    CHECK((m != NULL) == (code == ERR_OK));
    model_close(m);
    arena_init(&a, 1 << 24);
    struct json *config = test_model_read_json(&a, dir, "config.json");
    if (config) {
        bool ok = model_check(&a, dir, config, &of_check);
        CHECK_EQ(ok, code == ERR_OK);
        CHECK_EQ(of_check.code, code);
        CHECK_STR(str_cstr(of_check.msg), str_cstr(e->msg));
    }
    arena_release(&a);
    return code;
}

static void test_model_expect(const char *extra, const struct test_model_bend *bend, enum err_code want,
                              const char *says) {
    struct err e = { 0 };
    enum err_code code = test_model_verdict(test_model_make(extra, bend), &e);
    if (code != want) test_fail(__FILE__, __LINE__, "[%s] gave %d (%s), expected %d", extra, (int)code, e.msg, (int)want);
    if (says && !strstr(e.msg, says)) test_fail(__FILE__, __LINE__, "[%s] says \"%s\", not \"%s\"", extra, e.msg, says);
}

static const struct test_model_bend test_model_straight = { 0 };

static struct model *test_model_open_golden(const char *name) {
    char path[200];
    struct err e = { 0 };
    snprintf(path, sizeof path, "golden/tiny-a/%s", name);
    struct model *m = model_open(test_data_path(path), &e);
    CHECK_OK(m, e);
    return m;
}

/* ---- config.json -------------------------------------------------------------------------------------- */

TEST(model_straight) {
    struct err e = { 0 };
    struct model *m = model_open(test_model_make("", &test_model_straight), &e);
    CHECK_OK(m, e);
    if (!m) return;
    const struct model_config *c = &m->config;
    CHECK_EQ(c->n_layers, 2);
    CHECK_EQ(c->dim_head, 4);
    CHECK_EQ(c->context, 64);
    CHECK_EQ(c->bos, 1);
    CHECK(c->n_eos == 1 && c->eos[0] == 2);
    CHECK(c->tied && m->head.w.data == m->embed.data);
    CHECK(isnan(c->temperature) && c->top_k == -1);
    CHECK_STR(m->quantization, STR("f32"));
    CHECK_EQ(m->weight_bytes, m->n_params * 4);
    CHECK_EQ(m->n_params, 24 * 16 + 16 + 2 * (2 * 16 + 2 * 16 * 16 + 2 * 8 * 16 + 3 * 16 * 32));
    CHECK(m->layers[1].rope == &m->ropes[0] && m->layers[1].window == 0 && m->ropes[0].n_rot == 4);
    model_close(m);
}

TEST(model_config_refused) {
    static const struct { const char *extra; enum err_code code; const char *says; } cases[] = {
        { ",\"head_dim\":5", ERR_FORMAT, "5 dims" },
        { ",\"head_dim\":1024", ERR_FORMAT, "head_dim" },
        { ",\"head_dim\":0", ERR_FORMAT, "head_dim" },
        { ",\"rope_theta\":0", ERR_FORMAT, "rope_theta" },
        { ",\"rope_theta\":1e300", ERR_FORMAT, "rope_theta" },
        { ",\"partial_rotary_factor\":0.1", ERR_FORMAT, "rotated" },
        { ",\"partial_rotary_factor\":2", ERR_FORMAT, "partial_rotary_factor" },
        { ",\"rope_scaling\":{\"rope_type\":\"spiral\"}", ERR_UNSUPPORTED, "spiral" },
        { ",\"rope_scaling\":{\"rope_type\":\"linear\"}", ERR_FORMAT, "factor" },
        { ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":-1}", ERR_FORMAT, "factor" },
        { ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4}",
          ERR_FORMAT, "high_freq_factor" },
        { ",\"rope_scaling\":{\"rope_type\":\"longrope\",\"short_factor\":[1]}", ERR_FORMAT, "short_factor" },
        { ",\"rope_scaling\":{\"rope_type\":\"longrope\",\"short_factor\":[1,1],\"long_factor\":[1,\"a\"]}",
          ERR_FORMAT, "long_factor" },
        { ",\"rope_scaling\":{\"rope_type\":\"longrope\",\"short_factor\":[1,0],\"long_factor\":[1,1]}", ERR_FORMAT,
          "wavelength" },
        { ",\"layer_types\":[\"full_attention\"]", ERR_FORMAT, "layer_types" },
        { ",\"layer_types\":[\"full_attention\",\"mamba\"]", ERR_UNSUPPORTED, "layer 1" },
        { ",\"layer_types\":[\"full_attention\",\"sliding_attention\"]", ERR_FORMAT, "sliding_window" },
        { ",\"model_file\":\"custom.py\"", ERR_UNSUPPORTED, "model_file" },
        { ",\"attention_bias\":3", ERR_FORMAT, "attention_bias" },
        { ",\"tie_word_embeddings\":\"yes\"", ERR_FORMAT, "tie_word_embeddings" },
        { ",\"quantization\":[4]", ERR_FORMAT, "quantization" },
        { ",\"quantization\":{\"bits\":7,\"group_size\":64}", ERR_UNSUPPORTED, "7 bits" },
        { ",\"quantization\":{\"bits\":4,\"group_size\":16}", ERR_UNSUPPORTED, "groups of 16" },
        { ",\"quantization\":{\"bits\":4,\"group_size\":64,\"mode\":\"mxfp4\"}", ERR_UNSUPPORTED, "mxfp4" },
        { ",\"quantization\":{\"bits\":4,\"group_size\":64,\"mode\":\"zip\"}", ERR_UNSUPPORTED, "zip" },
        { ",\"quantization_config\":{\"quant_method\":\"awq\",\"bits\":4}", ERR_UNSUPPORTED, "awq" },
        { ",\"attention_bias\":true", ERR_FORMAT, "self_attn.q_proj.bias" },
        { ",\"tie_word_embeddings\":false", ERR_FORMAT, "lm_head.weight" },
    };
    for (size_t i = 0; i < MLXK_COUNT(cases); i++)
        test_model_expect(cases[i].extra, &test_model_straight, cases[i].code, cases[i].says);
}

/* One key of the plain config replaced by another value. */
static void test_model_with(const char *key, const char *value, enum err_code want, const char *says) {
    const char *dir = test_model_make("", &test_model_straight);
    struct err e = { 0 };
    char text[2048], changed[2200], quoted[64];
    snprintf(text, sizeof text, test_model_config_text, "");
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    char *at = strstr(text, quoted);
    CHECK(at != NULL);
    if (!at) return;
    size_t head = (size_t)(at - text) + strlen(quoted);
    const char *rest = text + head + strcspn(text + head, ",}");
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)head, text, value, rest);
    test_model_write(dir, "config.json", str_cstr(changed));
    enum err_code code = test_model_verdict(dir, &e);
    if (code != want || (says && !strstr(e.msg, says)))
        test_fail(__FILE__, __LINE__, "%s = %s gave %d (%s)", key, value, (int)code, e.msg);
}

TEST(model_config_numbers) {
    test_model_with("num_hidden_layers", "1000000000", ERR_FORMAT, "num_hidden_layers");
    test_model_with("num_hidden_layers", "0", ERR_FORMAT, "num_hidden_layers");
    test_model_with("num_hidden_layers", "null", ERR_FORMAT, "missing");
    test_model_with("num_hidden_layers", "3", ERR_FORMAT, "model.layers.2");
    test_model_with("hidden_size", "0", ERR_FORMAT, "hidden_size");
    test_model_with("hidden_size", "-16", ERR_FORMAT, "hidden_size");
    test_model_with("hidden_size", "9223372036854775807", ERR_FORMAT, "hidden_size");
    test_model_with("hidden_size", "1.5", ERR_FORMAT, "hidden_size");
    test_model_with("hidden_size", "\"16\"", ERR_FORMAT, "hidden_size");
    test_model_with("hidden_size", "18", ERR_FORMAT, "18 does not divide");
    test_model_with("intermediate_size", "65537", ERR_FORMAT, "intermediate_size");
    test_model_with("num_attention_heads", "3", ERR_FORMAT, "3 attention heads do not divide");
    test_model_with("num_key_value_heads", "3", ERR_FORMAT, "4 attention heads");
    test_model_with("num_key_value_heads", "8", ERR_FORMAT, "4 attention heads");
    test_model_with("num_key_value_heads", "null", ERR_FORMAT, "k_proj");
    test_model_with("vocab_size", "4000001", ERR_FORMAT, "vocab_size");
    test_model_with("vocab_size", "25", ERR_FORMAT, "[24, 16], config.json asks for [25, 16]");
    test_model_with("rms_norm_eps", "-1", ERR_FORMAT, "rms_norm_eps");
    test_model_with("rms_norm_eps", "NaN", ERR_FORMAT, NULL);
    test_model_with("rms_norm_eps", "1e999", ERR_FORMAT, NULL);
    test_model_with("max_position_embeddings", "0", ERR_FORMAT, "max_position_embeddings");
    test_model_with("eos_token_id", "\"</s>\"", ERR_FORMAT, "eos_token_id");
    test_model_with("model_type", "7", ERR_FORMAT, "model_type");
    test_model_with("model_type", "null", ERR_FORMAT, "model_type");
    test_model_with("eos_token_id", "[2,3,99,-1]", ERR_OK, NULL);
}

TEST(model_config_texts) {
    static const char *const texts[] = { "", "{", "[]", "\"llama\"", "{\"model_type\":\"llama\"}", "nonsense",
                                         "{\"model_type\":\"\xff\"}", "{\"model_type\":\"llama\",\"model_type\":\"x\"}" };
    struct err e = { 0 };
    for (size_t i = 0; i < MLXK_COUNT(texts); i++) {
        const char *dir = test_model_make("", &test_model_straight);
        test_model_write(dir, "config.json", str_cstr(texts[i]));
        CHECK_EQ(test_model_verdict(dir, &e), ERR_FORMAT);
    }
    CHECK_ERR(model_open("/nonexistent", &e), e, ERR_NOT_FOUND);
    CHECK(strstr(e.msg, "config.json"));
}

TEST(model_unknown_type) {
    struct err e = { 0 };
    test_model_with("model_type", "\"perceptron\"", ERR_UNSUPPORTED, "\"perceptron\"");
    const char *dir = test_model_make("", &test_model_straight);
    test_model_write(dir, "config.json", STR("{\"model_type\":\"perceptron\"}"));
    CHECK_ERR(model_open(dir, &e), e, ERR_UNSUPPORTED);
    for (int i = 0; model_type_name(i); i++)
        if (!strstr(e.hint, model_type_name(i))) test_fail(__FILE__, __LINE__, "hint lacks %s: %s", model_type_name(i), e.hint);
}

TEST(model_type_names) {
    int n = 0;
    while (arch_at(n)) n++;
    for (int i = 0; i < n; i++) {
        CHECK(model_type_name(i) != NULL);
        CHECK(i == 0 || strcmp(model_type_name(i - 1), model_type_name(i)) < 0);
        CHECK(arch_find(str_cstr(model_type_name(i))) != NULL);
    }
    CHECK(model_type_name(n) == NULL && model_type_name(-1) == NULL);
    CHECK(arch_find(STR("llam")) == NULL && arch_find(STR_EMPTY) == NULL);
}

TEST(model_generation_config) {
    struct err e = { 0 };
    const char *dir = test_model_make("", &test_model_straight);
    test_model_write(dir, "generation_config.json",
                     STR("{\"eos_token_id\":[3,5],\"temperature\":0.7,\"top_p\":0.9,\"top_k\":40,\"min_p\":null}"));
    struct model *m = model_open(dir, &e);
    CHECK_OK(m, e);
    if (!m) return;
    CHECK(m->config.n_eos == 2 && m->config.eos[0] == 3 && m->config.eos[1] == 5);
    CHECK(fabs(m->config.temperature - 0.7) < 1e-12 && m->config.top_k == 40 && isnan(m->config.min_p));
    model_close(m);
    test_model_write(dir, "generation_config.json", STR("{broken"));
    m = model_open(dir, &e);
    CHECK_OK(m, e);
    CHECK(m && m->config.n_eos == 1 && m->config.eos[0] == 2);
    model_close(m);
}

TEST(model_too_many_eos) {
    char list[512];
    size_t n = 0;
    for (int i = 0; i < MODEL_MAX_EOS + 1; i++) n += (size_t)snprintf(list + n, sizeof list - n, "%s%d", i ? "," : "[", i % 24);
    snprintf(list + n, sizeof list - n, "]");
    test_model_with("eos_token_id", list, ERR_LIMIT, "64");
}

/* ---- tensors --------------------------------------------------------------------------------------------- */

TEST(model_tensors_refused) {
    test_model_expect("", &(struct test_model_bend){ .omit = "model.layers.1.mlp.up_proj.weight" }, ERR_FORMAT,
                      "\"model.layers.1.mlp.up_proj.weight\" is missing");
    test_model_expect("", &(struct test_model_bend){ .omit = "model.norm.weight" }, ERR_FORMAT, "model.norm.weight");
    test_model_expect("", &(struct test_model_bend){ .reshape = "model.layers.0.self_attn.k_proj.weight" }, ERR_FORMAT,
                      "has shape [9, 16], config.json asks for [8, 16]");
    test_model_expect("", &(struct test_model_bend){ .reshape = "model.layers.0.input_layernorm.weight" }, ERR_FORMAT,
                      "[17]");
    test_model_expect("", &(struct test_model_bend){ .retype = "model.layers.0.self_attn.k_proj.weight" },
                      ERR_UNSUPPORTED, "I32");
    test_model_expect("", &(struct test_model_bend){ .retype = "model.norm.weight" }, ERR_UNSUPPORTED, "I32");
    test_model_expect("", &(struct test_model_bend){ .cut_bytes = 4 }, ERR_FORMAT, "model.safetensors");
    test_model_expect("", &(struct test_model_bend){ .cut_bytes = 20000 }, ERR_FORMAT, "model.safetensors");
}

TEST(model_shards_refused) {
    struct err e = { 0 };
    const char *dir = test_model_make("", &test_model_straight);
    test_model_write(dir, "model.safetensors", STR_EMPTY);
    CHECK_EQ(test_model_verdict(dir, &e), ERR_FORMAT);
    test_model_write(dir, "model.safetensors", STR("\xff\xff\xff\xff\xff\xff\xff\xff{}"));
    CHECK(test_model_verdict(dir, &e) != ERR_OK);
    test_model_write(dir, "model.safetensors.index.json",
                     STR("{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\"}}"));
    CHECK_EQ(test_model_verdict(dir, &e), ERR_NOT_FOUND);
    CHECK(strstr(e.msg, "model-00001-of-00002.safetensors"));
    test_model_write(dir, "model.safetensors.index.json", STR("{\"weight_map\":{\"a\":\"../model.safetensors\"}}"));
    CHECK_EQ(test_model_verdict(dir, &e), ERR_FORMAT);
    test_model_write(dir, "model.safetensors.index.json", STR("{\"weight_map\":{}}"));
    CHECK(test_model_verdict(dir, &e) != ERR_OK);
    char path[512];
    test_model_path(path, sizeof path, dir, "model.safetensors.index.json");
    CHECK_OK(os_unlink(path, &e), e);
    test_model_path(path, sizeof path, dir, "model.safetensors");
    CHECK_OK(os_unlink(path, &e), e);
    CHECK_EQ(test_model_verdict(dir, &e), ERR_NOT_FOUND);
}

TEST(model_two_shards_same_tensor) {
    struct err e = { 0 };
    struct arena a;
    const char *dir = test_model_make("", &test_model_straight);
    char path[512];
    struct str text;
    arena_init(&a, 1 << 20);
    test_model_path(path, sizeof path, dir, "model.safetensors");
    CHECK_OK(os_read_file(&a, path, 1 << 20, &text, &e), e);
    test_model_write(dir, "model-2.safetensors", text);
    CHECK_EQ(test_model_verdict(dir, &e), ERR_FORMAT);
    CHECK(strstr(e.msg, "two shards"));
    arena_release(&a);
}

TEST(model_tied_as_the_tensors_show) {
    struct err e = { 0 };
    struct model *m = model_open(test_model_make("", &(struct test_model_bend){ .untied = true }), &e);
    CHECK_OK(m, e);
    CHECK(m && !m->config.tied && m->head.w.data != m->embed.data);
    model_close(m);
    m = model_open(test_model_make(",\"tie_word_embeddings\":true", &(struct test_model_bend){ .untied = true }), &e);
    CHECK_OK(m, e);
    CHECK(m && m->config.tied && m->head.w.data == m->embed.data);
    model_close(m);
}

TEST(model_out_of_memory) {
    const char *dir = test_model_make("", &test_model_straight);
    struct err e = { 0 };
    int failures = 0;
    for (long n = 1; n < 200; n++) {
        err_clear(&e);
        mem_fail_after(n);
        struct model *m = model_open(dir, &e);
        mem_fail_after(0);
        if (m) {
            model_close(m);
            break;
        }
        CHECK_EQ(e.code, ERR_NO_MEMORY);
        failures++;
    }
    CHECK(failures > 3 && failures < 199);
}

/* ---- reference checkpoints --------------------------------------------------------------------------------- */

TEST(model_golden_all_open) {
    struct arena a;
    struct err e = { 0 };
    struct os_entry *entries;
    size_t n;
    int opened = 0;
    arena_init(&a, 1 << 24);
    CHECK_OK(os_list_dir(&a, test_data_path("golden/tiny-a"), 1000, &entries, &n, &e), e);
    for (size_t i = 0; i < n; i++) {
        if (entries[i].name.p[0] == '_') continue;
        char path[300];
        snprintf(path, sizeof path, "golden/tiny-a/" STR_FMT, STR_ARG(entries[i].name));
        CHECK_EQ(test_model_verdict(test_data_path(path), &e), ERR_OK);
        opened++;
    }
    CHECK(opened >= 50);
    arena_release(&a);
}

TEST(model_quantised_as_configured) {
    struct model *m = test_model_open_golden("llama-mixed-overrides");
    if (!m) return;
    CHECK(m->embed.bits == 6 && m->embed.group == 32 && m->embed.scale_format == K_BF16);
    CHECK(m->layers[0].down.w.bits == 8 && m->layers[0].down.w.group == 32);
    CHECK(m->layers[1].v.w.bits == 6 && m->layers[1].v.w.group == 64);
    CHECK(m->layers[1].gate.w.format == K_BF16 && m->layers[1].gate.w.scales == NULL);
    CHECK(m->layers[1].up.w.format == K_AFFINE && m->layers[1].up.w.bits == 4 && m->layers[1].up.w.biases);
    CHECK_STR(m->quantization, STR("4-bit g64"));
    model_close(m);
    m = test_model_open_golden("llama-mxfp4-affine-overrides");
    if (!m) return;
    CHECK(m->embed.format == K_AFFINE && m->embed.bits == 8 && m->embed.group == 64);
    CHECK(m->layers[0].q.w.format == K_AFFINE && m->layers[0].k.w.format == K_MXFP4 && !m->layers[0].k.w.biases);
    CHECK_STR(m->quantization, STR("mxfp4"));
    model_close(m);
    m = test_model_open_golden("llama-q4-g64-f32scales");
    CHECK(m && m->embed.scale_format == K_F32);
    model_close(m);
}

/* Norm weights of a file whose data begins at an odd offset, against the bytes. */
TEST(model_vectors_are_widened) {
    struct model *m = test_model_open_golden("llama-unaligned-bf16");
    struct err e = { 0 };
    struct safet s;
    struct arena a;
    if (!m) return;
    arena_init(&a, 1 << 24);
    CHECK_OK(safet_parse(&a, (struct str){ (const char *)m->maps[0].p, m->maps[0].size_bytes }, m->maps[0].size_bytes,
                         &s, &e), e);
    const struct safet_tensor *t = safet_find(&s, STR("model.layers.1.post_attention_layernorm.weight"));
    CHECK(t && t->dtype == DTYPE_BF16 && t->begin % 2 == 1);
    for (int i = 0; t && i < 64; i++)
        CHECK(m->layers[1].ffn_norm.w[i] == num_bf16_to_f32(num_read_u16(m->maps[0].p + t->begin + 2 * i)));
    arena_release(&a);
    model_close(m);
}

TEST(model_fused_rows) {
    struct model *m = test_model_open_golden("phi3-q4");
    if (!m) return;
    const struct model_layer *y = &m->layers[0];
    CHECK(y->q.w.rows == 64 && y->k.w.rows == 32 && y->v.w.rows == 32);
    CHECK(y->k.w.data == y->q.w.data + 64 * y->q.w.row_bytes && y->v.w.data == y->k.w.data + 32 * y->k.w.row_bytes);
    CHECK(y->k.w.scales == y->q.w.scales + 64 * 2 * 2 && y->up.w.data == y->gate.w.data + 128 * y->gate.w.row_bytes);
    model_close(m);
}

/* ---- position encodings: the formulas of engine facts 2.4, worked out here ---------------------------------------- */

static struct model *test_model_rope(const char *scaling) {
    struct err e = { 0 };
    char extra[512];
    snprintf(extra, sizeof extra, ",\"head_dim\":4,\"rope_theta\":10000%s%s", *scaling ? ",\"rope_scaling\":" : "", scaling);
    struct model *m = model_open(test_model_make(extra, &test_model_straight), &e);
    CHECK_OK(m, e);
    return m;
}

static void test_model_rope_is(const char *scaling, double f0, double f1, double factor) {
    struct model *m = test_model_rope(scaling);
    if (!m) return;
    const struct model_rope *r = &m->ropes[0];
    if (fabs(r->wavelengths[0] / f0 - 1) > 1e-9 || fabs(r->wavelengths[1] / f1 - 1) > 1e-9 ||
        fabs((double)r->attention_factor / factor - 1) > 1e-6)
        test_fail(__FILE__, __LINE__, "%s: %.12g %.12g %.9g, expected %.12g %.12g %.9g", scaling, r->wavelengths[0],
                  r->wavelengths[1], (double)r->attention_factor, f0, f1, factor);
    model_close(m);
}

TEST(model_rope_tables) {
    test_model_rope_is("", 1, 100, 1);
    test_model_rope_is("{\"type\":\"default\"}", 1, 100, 1);
    test_model_rope_is("{\"type\":\"linear\",\"factor\":4.0}", 4, 400, 1);
    test_model_rope_is("{\"rope_type\":\"dynamic\",\"factor\":4.0}", 1, 100, 1);
    /* Wavelengths 2 pi and 200 pi = 628: the first is short (below 256/4), the second beyond 256/1. */
    test_model_rope_is("{\"rope_type\":\"llama3\",\"factor\":8,\"original_max_position_embeddings\":256}", 1, 800, 1);
    /* 1024/628.3 = 1.62975 lies between 1 and 4: smooth = 0.20992. */
    double smooth = (1024 / (200 * 3.14159265358979323846) - 1) / 3;
    test_model_rope_is("{\"rope_type\":\"llama3\",\"factor\":8,\"original_max_position_embeddings\":1024}", 1,
                       100 / ((1 - smooth) / 8 + smooth), 1);
    /* dim(r) = 4 ln(4096/(2 pi r)) / (2 ln 10000): 0.65 for 32 turns, 1.41 for one: ramp over 0..2, half for pair 1. */
    test_model_rope_is("{\"rope_type\":\"yarn\",\"factor\":4}", 1, 4 * 100 * 100 / (4 * 100 * 0.5 + 100 * 0.5),
                       0.1 * log(4) + 1);
    test_model_rope_is("{\"rope_type\":\"yarn\",\"factor\":4,\"mscale\":1,\"mscale_all_dim\":1}", 1, 160, 1);
    test_model_rope_is("{\"rope_type\":\"yarn\",\"factor\":4,\"attention_factor\":0.5}", 1, 160, 0.5);
    /* longrope: 64 positions over an original 16. */
    test_model_rope_is("{\"type\":\"longrope\",\"short_factor\":[1,2],\"long_factor\":[3,5],"
                       "\"original_max_position_embeddings\":16}", 3, 500, sqrt(1 + log(4) / log(16)));
}

TEST(model_rope_choices) {
    struct model *m = test_model_rope("{\"type\":\"longrope\",\"short_factor\":[1,2],\"long_factor\":[3,5],"
                                      "\"original_max_position_embeddings\":16}");
    CHECK(m && m->ropes[0].short_limit == 16 && fabs(m->ropes[0].short_wavelengths[1] - 200) < 1e-9);
    model_close(m);
    struct err e = { 0 };
    m = model_open(test_model_make(",\"rope_parameters\":{\"full_attention\":{\"rope_theta\":100,\"rope_type\":\"linear\","
                                   "\"factor\":2}},\"rope_traditional\":true,\"partial_rotary_factor\":0.5",
                                   &test_model_straight), &e);
    CHECK_OK(m, e);
    CHECK(m && m->ropes[0].traditional && m->ropes[0].n_rot == 2 && fabs(m->ropes[0].wavelengths[0] - 2) < 1e-9);
    CHECK(m && m->ropes[0].theta == 100.0f);
    model_close(m);
    m = test_model_open_golden("smollm3-q4");
    CHECK(m && m->layers[2].rope && !m->layers[3].rope);
    model_close(m);
    m = test_model_open_golden("gemma3_text-q4");
    CHECK(m && m->n_ropes == 2 && m->layers[0].rope == &m->ropes[1] && m->layers[1].rope == &m->ropes[0]);
    CHECK(m && m->layers[0].window == 8 && m->layers[1].window == 0 && m->math.embed_scale == 8.0f);
    model_close(m);
}

TEST_LIST(model) {
    T(model_straight), T(model_config_refused), T(model_config_numbers), T(model_config_texts), T(model_unknown_type),
    T(model_type_names), T(model_generation_config), T(model_too_many_eos), T(model_tensors_refused),
    T(model_shards_refused), T(model_two_shards_same_tensor), T(model_tied_as_the_tensors_show), T(model_out_of_memory),
    T(model_golden_all_open), T(model_quantised_as_configured), T(model_vectors_are_widened), T(model_fused_rows),
    T(model_rope_tables), T(model_rope_choices), TEST_END
};
