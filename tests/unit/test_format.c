/* test_format.c: safetensors headers, shard indexes and GGUF files made by hand, most of them hostile.
 * The expected header text is what Python's json.dumps(separators=(",", ":")) gives.
 */
#include "format/format.h"

#include "test.h"

enum { TEST_FORMAT_MEMORY = 1 << 28 };

/* ---- making files ---- */

static void test_format_u64(struct buf *b, uint64_t x) {
    buf_add_bytes(b, &x, sizeof x);
}

static void test_format_u32(struct buf *b, uint32_t x) {
    buf_add_bytes(b, &x, sizeof x);
}

/* A safetensors file of this header text and so many bytes of data. */
static void test_format_safet(struct buf *b, struct str header, size_t data_bytes) {
    buf_reset(b);
    test_format_u64(b, header.n);
    buf_add(b, header);
    for (size_t i = 0; i < data_bytes; i++) buf_add_char(b, (char)i);
}

/* What safet_parse says to it: ERR_OK or the code. */
static enum err_code test_format_verdict(struct str header, size_t data_bytes, struct err *e) {
    struct arena a;
    struct buf b;
    struct safet s;
    err_clear(e);
    arena_init(&a, TEST_FORMAT_MEMORY);
    buf_init(&b, 1 << 24);
    test_format_safet(&b, header, data_bytes);
    bool ok = safet_parse(&a, buf_str(&b), b.n, &s, e);
    CHECK_EQ(ok, e->code == ERR_OK);
    if (!ok) CHECK(s.n == 0 && s.tensors == NULL);
    buf_release(&b);
    arena_release(&a);
    return e->code;
}

/* ---- element types ---- */

TEST(dtype_names_and_sizes) {
    static const struct { const char *name; size_t size; } rows[] = {
        { "BOOL", 1 }, { "U8", 1 }, { "I8", 1 }, { "U16", 2 }, { "I16", 2 }, { "F16", 2 }, { "BF16", 2 }, { "U32", 4 },
        { "I32", 4 }, { "F32", 4 }, { "U64", 8 }, { "I64", 8 }, { "F64", 8 }, { "F8_E4M3", 1 }, { "F8_E5M2", 1 },
        { "F8_E8M0", 1 }, { "C64", 8 },
    };
    enum dtype t;
    CHECK_EQ(MLXK_COUNT(rows), DTYPE_COUNT);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        CHECK(dtype_parse(str_cstr(rows[i].name), &t));
        CHECK_EQ(t, i);
        CHECK_EQ(dtype_size(t), rows[i].size);
        CHECK_STR(str_cstr(dtype_name(t)), str_cstr(rows[i].name));
    }
    CHECK(!dtype_parse(STR("F4"), &t) && !dtype_parse(STR("bf16"), &t) && !dtype_parse(STR_EMPTY, &t));
}

/* ---- safetensors ---- */

TEST(safet_reads) {
    struct arena a;
    struct buf b;
    struct safet s;
    struct err e = { 0 };
    arena_init(&a, TEST_FORMAT_MEMORY);
    buf_init(&b, 4096);
    /* header of odd length, so that nothing is aligned; fields in any order; unknown fields */
    test_format_safet(&b, STR("{\"z\":{\"data_offsets\":[12,16],\"shape\":[1],\"x\":[{}],\"dtype\":\"U32\"},\"__metadata__\":"
        "{\"format\":\"mlx\"},\"a\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]},\"e\":{\"dtype\":\"F64\","
        "\"shape\":[0,5],\"data_offsets\":[12,12]},\"s\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[16,24]}}   "), 24);
    CHECK_OK(safet_parse(&a, buf_str(&b), b.n, &s, &e), e);
    CHECK_EQ(s.n, 4);
    CHECK_EQ(s.header_bytes, b.n - 24);
    CHECK_STR(json_get(s.metadata, "format")->string, STR("mlx"));
    CHECK_STR(s.tensors[0].name, STR("a"));
    CHECK_STR(s.tensors[3].name, STR("z"));
    const struct safet_tensor *t = safet_find(&s, STR("a"));
    CHECK(t == &s.tensors[0]);
    CHECK(t->dtype == DTYPE_F16 && t->n_dims == 2 && t->shape[0] == 2 && t->shape[1] == 3);
    CHECK_EQ(t->begin, s.header_bytes);
    CHECK_EQ(t->end, s.header_bytes + 12);
    t = safet_find(&s, STR("s"));
    CHECK(t && t->n_dims == 0 && t->begin == s.header_bytes + 16 && t->end == b.n);
    t = safet_find(&s, STR("e"));
    CHECK(t && t->begin == t->end);
    CHECK(safet_find(&s, STR("b")) == NULL);
    /* only the header is at hand */
    CHECK_OK(safet_parse(&a, str_sub(buf_str(&b), 0, b.n - 24), b.n, &s, &e), e);
    CHECK_ERR(safet_parse(&a, str_sub(buf_str(&b), 0, b.n - 25), b.n, &s, &e), e, ERR_FORMAT);
    buf_release(&b);
    arena_release(&a);
}

TEST(safet_metadata) {
    struct err e = { 0 };
    CHECK_EQ(test_format_verdict(STR("{}"), 0, &e), ERR_OK);
    CHECK_EQ(test_format_verdict(STR("{\"__metadata__\":null}"), 0, &e), ERR_OK);
    CHECK_EQ(test_format_verdict(STR("{\"__metadata__\":{}}"), 0, &e), ERR_OK);
    CHECK_EQ(test_format_verdict(STR("{\"__metadata__\":{\"a\":1}}"), 0, &e), ERR_FORMAT);
    CHECK_EQ(test_format_verdict(STR("{\"__metadata__\":[]}"), 0, &e), ERR_FORMAT);
    CHECK_EQ(test_format_verdict(STR("{\"__metadata__\":\"x\"}"), 0, &e), ERR_FORMAT);
    CHECK_EQ(test_format_verdict(STR("{\"__metadata__\":null,\"__metadata__\":null}"), 0, &e), ERR_FORMAT);
    CHECK_EQ(test_format_verdict(STR("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}"), 0, &e), ERR_FORMAT);
    struct arena a;
    struct safet s;
    arena_init(&a, 1 << 16);
    err_clear(&e);
    CHECK_OK(safet_parse(&a, ((struct str){ "\x15\0\0\0\0\0\0\0{\"__metadata__\":null}", 29 }), 29, &s, &e), e);
    CHECK(s.metadata == NULL && s.n == 0);
    arena_release(&a);
}

TEST(safet_refuses_lengths) {
    static const struct { uint64_t n; const char *rest; enum err_code code; } cases[] = {
        { 0, "", ERR_FORMAT }, { 1, "{", ERR_FORMAT }, { 2, "[]", ERR_FORMAT }, { 3, " {}", ERR_FORMAT },
        { 3, "{}", ERR_FORMAT }, { 100000000, "{}", ERR_FORMAT }, { 100000001, "{}", ERR_LIMIT },
        { UINT64_MAX, "{}", ERR_LIMIT }, { UINT64_MAX - 7, "{}", ERR_LIMIT }, { (uint64_t)1 << 63, "{}", ERR_LIMIT },
        { 2, "{}x", ERR_FORMAT }, { 3, "{}x", ERR_FORMAT }, { 3, "{}\0", ERR_FORMAT },
    };
    struct arena a;
    struct buf b;
    struct safet s;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    buf_init(&b, 4096);
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        buf_reset(&b);
        test_format_u64(&b, cases[i].n);
        buf_add_cstr(&b, cases[i].rest);
        if (i + 1 == MLXK_COUNT(cases)) buf_add_char(&b, '\0');
        CHECK_ERR(safet_parse(&a, buf_str(&b), b.n, &s, &e), e, cases[i].code);
    }
    for (size_t n = 0; n < 8; n++) {
        CHECK_ERR(safet_parse(&a, (struct str){ "\2\0\0\0\0\0\0\0", n }, n, &s, &e), e, ERR_FORMAT);
    }
    /* the file is larger than what is at hand, and the other way round */
    CHECK_ERR(safet_parse(&a, (struct str){ "\2\0\0\0\0\0\0\0{}", 10 }, 9, &s, &e), e, ERR_FORMAT);
    CHECK_ERR(safet_parse(&a, (struct str){ "\2\0\0\0\0\0\0\0{}", 10 }, 11, &s, &e), e, ERR_FORMAT);
    buf_release(&b);
    arena_release(&a);
}

#define TEST_FORMAT_ONE(fields) STR("{\"w\":{" fields "}}")

TEST(safet_refuses_tensors) {
    static const struct { struct str header; size_t data; enum err_code code; const char *says; } cases[] = {
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]"), 2, ERR_OK, "" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]"), 3, ERR_FORMAT, "1 bytes behind" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]"), 1, ERR_FORMAT, "not inside" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]"), 3, ERR_FORMAT, "hole" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,0]"), 2, ERR_FORMAT, "not inside" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,2]"), 2, ERR_FORMAT, "needs 3 bytes" },
        { TEST_FORMAT_ONE("\"dtype\":\"U16\",\"shape\":[2],\"data_offsets\":[0,2]"), 2, ERR_FORMAT, "needs 4 bytes" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,2]"), 2, ERR_FORMAT, "dimension 0" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[1,2.0],\"data_offsets\":[0,2]"), 2, ERR_FORMAT, "dimension 1" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[\"2\"],\"data_offsets\":[0,2]"), 2, ERR_FORMAT, "dimension 0" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[[2]],\"data_offsets\":[0,2]"), 2, ERR_FORMAT, "dimension 0" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[0,2147483649],\"data_offsets\":[0,0]"), 0, ERR_FORMAT, "dimension 1" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[2147483648,0],\"data_offsets\":[0,0]"), 0, ERR_OK, "" },
        { TEST_FORMAT_ONE("\"dtype\":\"F64\",\"shape\":[2147483648,2147483648],\"data_offsets\":[0,0]"), 0, ERR_FORMAT, "overflow" },
        { TEST_FORMAT_ONE("\"dtype\":\"F64\",\"shape\":[2147483648,2147483648,0],\"data_offsets\":[0,0]"), 0, ERR_FORMAT, "overflow" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]"), 1, ERR_OK, "" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]"), 1, ERR_LIMIT, "8 dimensions" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]"), 1, ERR_OK, "" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,0]"), 0, ERR_FORMAT, "needs 1 bytes" },
        { TEST_FORMAT_ONE("\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]"), 1, ERR_UNSUPPORTED, "\"F4\"" },
        { TEST_FORMAT_ONE("\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,1]"), 1, ERR_FORMAT, "expected a string" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]"), 1, ERR_FORMAT, "expected an array" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]"), 1, ERR_FORMAT, "pair" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]"), 1, ERR_FORMAT, "expected ']'" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]"), 1, ERR_FORMAT, "pair" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[9223372036854775808,9223372036854775809]"), 1, ERR_FORMAT, "pair" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[1]"), 1, ERR_FORMAT, "missing" },
        { TEST_FORMAT_ONE(""), 1, ERR_FORMAT, "missing" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]"), 1, ERR_FORMAT, "twice" },
        { TEST_FORMAT_ONE("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":[[[[[[[]]]]]]]"), 1, ERR_LIMIT, "nested" },
        { STR("{\"w\":[]}"), 0, ERR_FORMAT, "expected an object" },
        { STR("{\"w\":null}"), 0, ERR_FORMAT, "expected an object" },
        { STR("{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"), 0, ERR_FORMAT, "NUL" },
        { STR("{\"\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"), 0, ERR_OK, "" },
        { STR("{\"a\xff\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"), 0, ERR_FORMAT, "UTF-8" },
        { STR("{\"w\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"\\u0077\":{\"dtype\":\"U8\",\"shape\":[0],"
              "\"data_offsets\":[0,0]}}"), 0, ERR_FORMAT, "occurs twice" },
    };
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        struct err e = { 0 };
        enum err_code code = test_format_verdict(cases[i].header, cases[i].data, &e);
        if (code != cases[i].code || !strstr(e.msg, cases[i].says)) {
            test_fail(__FILE__, __LINE__, "case %zu gave %d (%s)", i, (int)code, e.msg);
        }
    }
}

#undef TEST_FORMAT_ONE

TEST(safet_tiling) {
    static const struct { const char *offsets[3]; size_t data; bool ok; } cases[] = {
        { { "0,2", "2,4", "4,6" }, 6, true }, { { "4,6", "0,2", "2,4" }, 6, true }, { { "0,2", "2,4", "5,7" }, 7, false },
        { { "0,2", "1,3", "3,5" }, 5, false }, { { "0,2", "0,2", "2,4" }, 4, false }, { { "1,3", "3,5", "5,7" }, 7, false },
        { { "0,2", "2,4", "4,6" }, 7, false }, { { "0,2", "4,6", "3,5" }, 6, false },
    };
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        struct buf b;
        struct err e = { 0 };
        buf_init(&b, 4096);
        for (int t = 0; t < 3; t++) {
            buf_addf(&b, "%c\"%c\":{\"dtype\":\"I16\",\"shape\":[1],\"data_offsets\":[%s]}", t ? ',' : '{', 'a' + t,
                     cases[i].offsets[t]);
        }
        buf_add_char(&b, '}');
        CHECK_EQ(test_format_verdict(buf_str(&b), cases[i].data, &e), cases[i].ok ? ERR_OK : ERR_FORMAT);
        buf_release(&b);
    }
}

TEST(safet_name_length) {
    struct buf b;
    struct err e = { 0 };
    buf_init(&b, 1 << 16);
    for (size_t n = SAFET_MAX_NAME; n <= SAFET_MAX_NAME + 1; n++) {
        buf_reset(&b);
        buf_add_cstr(&b, "{\"");
        for (size_t i = 0; i < n; i++) buf_add_char(&b, 'n');
        buf_add_cstr(&b, "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
        CHECK_EQ(test_format_verdict(buf_str(&b), 0, &e), n == SAFET_MAX_NAME ? ERR_OK : ERR_LIMIT);
    }
    buf_release(&b);
}

/* Many tensors in an order that is sorted neither by name nor by offset. */
TEST(safet_many_tensors) {
    enum { N = 10007 };
    struct arena a;
    struct buf b, file;
    struct safet s;
    struct err e = { 0 };
    arena_init(&a, TEST_FORMAT_MEMORY);
    buf_init(&b, 1 << 24);
    buf_init(&file, 1 << 24);
    for (size_t i = 0; i < N; i++) {
        size_t k = i * 4999 % N;
        buf_addf(&b, "%c\"t%zu\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%zu,%zu]}", i ? ',' : '{', k * 7919 % N,
                 k, k + 1);
    }
    buf_add_char(&b, '}');
    test_format_safet(&file, buf_str(&b), N);
    CHECK_OK(safet_parse(&a, buf_str(&file), file.n, &s, &e), e);
    CHECK_EQ(s.n, N);
    for (size_t i = 1; i < s.n; i++) CHECK(str_cmp(s.tensors[i - 1].name, s.tensors[i].name) < 0);
    for (size_t k = 0; k < N; k += 997) {
        char name[16] = { 't' };
        struct buf key;
        buf_init(&key, sizeof name);
        buf_addf(&key, "t%zu", k * 7919 % N);
        const struct safet_tensor *t = safet_find(&s, buf_str(&key));
        CHECK(t && t->begin == s.header_bytes + k);
        buf_release(&key);
    }
    buf_release(&file);
    buf_release(&b);
    arena_release(&a);
}

TEST(safet_out_of_memory) {
    struct buf b;
    int n_failures = 0;
    buf_init(&b, 1 << 16);
    test_format_safet(&b, STR("{\"__metadata__\":{\"a\":\"b\"},\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}"), 2);
    for (long n = 1; n < 100; n++) {
        struct arena a;
        struct safet s;
        struct err e = { 0 };
        arena_init(&a, 1 << 20);
        mem_fail_after(n);
        bool ok = safet_parse(&a, buf_str(&b), b.n, &s, &e);
        mem_fail_after(0);
        arena_release(&a);
        if (ok) break;
        CHECK_EQ(e.code, ERR_NO_MEMORY);
        n_failures++;
    }
    CHECK(n_failures > 1);
    buf_release(&b);
}

TEST(safet_writes_reference_layout) {
    struct buf b;
    struct err e = { 0 };
    struct safet_tensor t[3] = {
        { .name = STR("a.biases"), .dtype = DTYPE_F16, .n_dims = 2, .shape = { 2, 3 } },
        { .name = STR("a.weight"), .dtype = DTYPE_U32, .n_dims = 1, .shape = { 5 } },
        { .name = STR("\xc3\xa9\"\xf0\x9f\x98\x80"), .dtype = DTYPE_F32, .n_dims = 0 },
    };
    struct str want = STR("{\"__metadata__\":{\"format\":\"mlx\"},\"a.biases\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
        "\"a.weight\":{\"dtype\":\"U32\",\"shape\":[5],\"data_offsets\":[12,32]},"
        "\"\\u00e9\\\"\\ud83d\\ude00\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[32,36]}}");
    buf_init(&b, 4096);
    buf_add_cstr(&b, "before");                      /* the header is appended */
    CHECK_OK(safet_write_header(&b, t, 3, true, &e), e);
    struct str got = str_sub(buf_str(&b), 6, b.n);
    CHECK_EQ(got.n % 8, 0);
    CHECK_EQ(num_read_u64(got.p), got.n - 8);
    CHECK_STR(str_sub(got, 8, 8 + want.n), want);
    CHECK(got.n - 8 - want.n < 8);
    for (size_t i = 8 + want.n; i < got.n; i++) CHECK_EQ(got.p[i], ' ');
    CHECK_EQ(t[0].begin, got.n);
    CHECK_EQ(t[2].end, got.n + 36);
    buf_release(&b);
    buf_init(&b, 4096);
    CHECK_OK(safet_write_header(&b, t, 0, false, &e), e);
    CHECK_STR(buf_str(&b), ((struct str){ "\x08\0\0\0\0\0\0\0{}      ", 16 }));
    buf_release(&b);
}

TEST(safet_write_refuses) {
    struct buf b;
    struct err e = { 0 };
    buf_init(&b, 1 << 20);
    struct safet_tensor twice[2] = { { .name = STR("a") }, { .name = STR("a") } };
    CHECK_ERR(safet_write_header(&b, twice, 2, false, &e), e, ERR_FORMAT);
    struct safet_tensor reserved = { .name = STR("__metadata__") };
    CHECK_ERR(safet_write_header(&b, &reserved, 1, false, &e), e, ERR_FORMAT);
    struct safet_tensor broken = { .name = STR("\xff") };
    CHECK_ERR(safet_write_header(&b, &broken, 1, false, &e), e, ERR_FORMAT);
    struct safet_tensor large = { .name = STR("a"), .dtype = DTYPE_F64, .n_dims = 2, .shape = { 1LL << 31, 1LL << 31 } };
    CHECK_ERR(safet_write_header(&b, &large, 1, false, &e), e, ERR_LIMIT);
    struct safet_tensor negative = { .name = STR("a"), .n_dims = 1, .shape = { -1 } };
    CHECK_ERR(safet_write_header(&b, &negative, 1, false, &e), e, ERR_LIMIT);
    struct safet_tensor fine = { .name = STR("a"), .n_dims = 1, .shape = { 1 } };
    struct buf small;
    buf_init(&small, 20);
    CHECK_ERR(safet_write_header(&small, &fine, 1, false, &e), e, ERR_LIMIT);
    buf_release(&small);
    buf_release(&b);
}

/* ---- shard index ---- */

TEST(safet_index) {
    struct arena a;
    struct safet_index x;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    char text[] = "{\"metadata\":{\"total_size\":1},\"weight_map\":{\"b\":\"m-2.safetensors\",\"a\":\"m-1.safetensors\","
        "\"\\u0063\":\"m-2\\u002esafetensors\"},\"more\":[1]}";
    CHECK_OK(safet_index_parse(&a, str_cstr(text), &x, &e), e);
    memset(text, 'x', sizeof text);
    CHECK_EQ(x.n, 3);
    CHECK_EQ(x.n_files, 2);
    CHECK_STR(x.tensor_names[0], STR("b"));
    CHECK_STR(x.tensor_names[2], STR("c"));
    CHECK_STR(x.file_names[2], STR("m-2.safetensors"));
    CHECK_STR(x.files[0], STR("m-2.safetensors"));
    CHECK_STR(x.files[1], STR("m-1.safetensors"));
    CHECK_OK(safet_index_parse(&a, STR("{\"weight_map\":{}}"), &x, &e), e);
    CHECK(x.n == 0 && x.n_files == 0);
    arena_release(&a);
}

TEST(safet_index_refuses) {
    static const struct { const char *text; enum err_code code; } cases[] = {
        { "{}", ERR_FORMAT }, { "[]", ERR_FORMAT }, { "{\"weight_map\":[]}", ERR_FORMAT }, { "{\"weight_map\":{\"a\":1}}", ERR_FORMAT },
        { "{\"weight_map\":{\"a\":\"\"}}", ERR_FORMAT }, { "{\"weight_map\":{\"a\":\"x/y\"}}", ERR_FORMAT },
        { "{\"weight_map\":{\"a\":\"x\\\\y\"}}", ERR_FORMAT }, { "{\"weight_map\":{\"a\":\"..\"}}", ERR_FORMAT },
        { "{\"weight_map\":{\"a\":\".\"}}", ERR_FORMAT }, { "{\"weight_map\":{\"a\":\"x..y\"}}", ERR_FORMAT },
        { "{\"weight_map\":{\"a\":\"x\\u0000\"}}", ERR_FORMAT }, { "{\"weight_map\":{\"a\":\"\\u002f\"}}", ERR_FORMAT },
        { "{\"weight_map\":{\"a\":\"x\",\"a\":\"x\"}}", ERR_FORMAT }, { "{\"weight_map\":{},\"weight_map\":{}}", ERR_FORMAT },
        { "{\"weight_map\":{}} x", ERR_FORMAT }, { "{\"weight_map\":{}", ERR_FORMAT }, { "", ERR_FORMAT },
        { "{\"weight_map\":{},\"x\":[[[[[[[[]]]]]]]]}", ERR_LIMIT },
    };
    struct arena a;
    struct safet_index x;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        CHECK_ERR(safet_index_parse(&a, str_cstr(cases[i].text), &x, &e), e, cases[i].code);
        CHECK(x.n == 0 && x.n_files == 0);
    }
    struct buf b;
    buf_init(&b, 4096);
    for (size_t n = SAFET_MAX_FILE_NAME; n <= SAFET_MAX_FILE_NAME + 1; n++) {
        buf_reset(&b);
        buf_add_cstr(&b, "{\"weight_map\":{\"a\":\"");
        for (size_t i = 0; i < n; i++) buf_add_char(&b, 'f');
        buf_add_cstr(&b, "\"}}");
        err_clear(&e);
        CHECK_EQ(safet_index_parse(&a, buf_str(&b), &x, &e), n == SAFET_MAX_FILE_NAME);
    }
    buf_release(&b);
    arena_release(&a);
}

/* ---- GGUF ---- */

static void test_format_text(struct buf *b, struct str s) {
    test_format_u64(b, s.n);
    buf_add(b, s);
}

static void test_format_gguf(struct buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys) {
    buf_reset(b);
    buf_add_cstr(b, "GGUF");
    test_format_u32(b, version);
    test_format_u64(b, n_tensors);
    test_format_u64(b, n_keys);
}

static void test_format_key(struct buf *b, const char *key, uint32_t kind) {
    test_format_text(b, str_cstr(key));
    test_format_u32(b, kind);
}

static void test_format_tensor(struct buf *b, const char *name, int n_dims, uint64_t fast, uint64_t slow, uint32_t type,
                               uint64_t offset) {
    test_format_text(b, str_cstr(name));
    test_format_u32(b, (uint32_t)n_dims);
    if (n_dims > 0) test_format_u64(b, fast);
    for (int i = 1; i < n_dims; i++) test_format_u64(b, i == 1 ? slow : 1);
    test_format_u32(b, type);
    test_format_u64(b, offset);
}

static void test_format_data(struct buf *b, size_t alignment, size_t n) {
    while (b->n % alignment) buf_add_char(b, '\0');
    for (size_t i = 0; i < n; i++) buf_add_char(b, 'd');
}

TEST(gguf_reads_values) {
    struct arena a;
    struct buf b;
    struct gguf g;
    struct err e = { 0 };
    uint64_t u = 0;
    int64_t i = 0;
    double d = 0;
    struct str s;
    arena_init(&a, 1 << 20);
    buf_init(&b, 1 << 16);
    for (uint32_t version = 2; version <= 3; version++) {
        test_format_gguf(&b, version, 0, 15);
        test_format_key(&b, "u8", GGUF_U8), buf_add_bytes(&b, "\xff", 1);
        test_format_key(&b, "i8", GGUF_I8), buf_add_bytes(&b, "\xff", 1);
        test_format_key(&b, "u16", GGUF_U16), buf_add_bytes(&b, "\xff\xff", 2);
        test_format_key(&b, "i16", GGUF_I16), buf_add_bytes(&b, "\x01\x02", 2);
        test_format_key(&b, "u32", GGUF_U32), test_format_u32(&b, UINT32_MAX);
        test_format_key(&b, "i32", GGUF_I32), test_format_u32(&b, UINT32_MAX);
        test_format_key(&b, "f32", GGUF_F32), test_format_u32(&b, 0x3fc00000);
        test_format_key(&b, "bool", GGUF_BOOL), buf_add_bytes(&b, "\1", 1);
        test_format_key(&b, "string", GGUF_STRING), test_format_text(&b, STR("te\0xt"));
        test_format_key(&b, "u64", GGUF_U64), test_format_u64(&b, UINT64_MAX);
        test_format_key(&b, "i64", GGUF_I64), test_format_u64(&b, 5);
        test_format_key(&b, "f64", GGUF_F64), test_format_u64(&b, 0x7ff0000000000000);
        test_format_key(&b, "strings", GGUF_ARRAY), test_format_u32(&b, GGUF_STRING), test_format_u64(&b, 2);
        test_format_text(&b, STR("")), test_format_text(&b, STR("\xff"));
        test_format_key(&b, "ints", GGUF_ARRAY), test_format_u32(&b, GGUF_I16), test_format_u64(&b, 2);
        buf_add_bytes(&b, "\xfe\xff\x03\x00", 4);
        test_format_key(&b, "none", GGUF_ARRAY), test_format_u32(&b, GGUF_F32), test_format_u64(&b, 0);
        CHECK_OK(gguf_parse(&a, buf_str(&b), &g, &e), e);
        CHECK_EQ(g.version, version);
        CHECK_EQ(g.n_values, 15);
    }
    CHECK_OK(gguf_read_u64(&g, "u8", 255, &u, &e) && u == 255, e);
    CHECK_OK(gguf_read_u64(&g, "u16", 65535, &u, &e) && u == 65535, e);
    CHECK_OK(gguf_read_u64(&g, "i16", 65535, &u, &e) && u == 513, e);
    CHECK_OK(gguf_read_u64(&g, "u32", UINT64_MAX, &u, &e) && u == UINT32_MAX, e);
    CHECK_OK(gguf_read_u64(&g, "u64", UINT64_MAX, &u, &e) && u == UINT64_MAX, e);
    CHECK_OK(gguf_read_u64(&g, "i64", 5, &u, &e) && u == 5, e);
    CHECK_OK(gguf_read_u64(&g, "bool", 1, &u, &e) && u == 1, e);
    CHECK_ERR(gguf_read_u64(&g, "i64", 4, &u, &e), e, ERR_FORMAT);
    CHECK_ERR(gguf_read_u64(&g, "i8", 300, &u, &e), e, ERR_FORMAT);
    CHECK_ERR(gguf_read_u64(&g, "i32", 300, &u, &e), e, ERR_FORMAT);
    CHECK_ERR(gguf_read_u64(&g, "f32", 300, &u, &e), e, ERR_FORMAT);
    CHECK_STR(str_cstr(e.msg), STR("GGUF key \"f32\" is not an integer from 0"));
    CHECK_ERR(gguf_read_u64(&g, "absent", 300, &u, &e), e, ERR_FORMAT);
    CHECK_STR(str_cstr(e.msg), STR("GGUF key \"absent\" is missing, expected an integer from 0"));
    CHECK_EQ(u, 1);
    err_clear(&e);
    CHECK_OK(gguf_read_f64(&g, "f32", &d, &e) && d == 1.5, e);
    CHECK_ERR(gguf_read_f64(&g, "f64", &d, &e), e, ERR_FORMAT);      /* infinite */
    CHECK_ERR(gguf_read_f64(&g, "u8", &d, &e), e, ERR_FORMAT);
    CHECK_ERR(gguf_read_f64(&g, "absent", &d, &e), e, ERR_FORMAT);
    err_clear(&e);
    CHECK_OK(gguf_read_str(&g, "string", &s, &e), e);
    CHECK_STR(s, STR("te\0xt"));
    CHECK_ERR(gguf_read_str(&g, "strings", &s, &e), e, ERR_FORMAT);
    const struct gguf_value *v = gguf_find(&g, "strings");
    CHECK(v && v->n == 2 && v->kind == GGUF_ARRAY && v->item_kind == GGUF_STRING && v->strings[0].n == 0);
    CHECK_STR(v->strings[1], STR("\xff"));
    CHECK(!gguf_item_i64(v, 0, &i));
    v = gguf_find(&g, "ints");
    CHECK(gguf_item_i64(v, 0, &i) && i == -2);
    CHECK(gguf_item_i64(v, 1, &i) && i == 3);
    CHECK(!gguf_item_i64(v, 2, &i));
    CHECK(!gguf_item_i64(gguf_find(&g, "none"), 0, &i) && !gguf_item_i64(gguf_find(&g, "u8"), 0, &i));
    buf_release(&b);
    arena_release(&a);
}

TEST(gguf_reads_tensors) {
    struct arena a;
    struct buf b;
    struct gguf g;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    buf_init(&b, 1 << 16);
    test_format_gguf(&b, 3, 4, 1);
    test_format_key(&b, "general.alignment", GGUF_U32), test_format_u32(&b, 64);
    test_format_tensor(&b, "q", 2, 64, 3, GGUF_T_Q4_1, 0);           /* 2 blocks * 20 * 3 rows = 120 */
    test_format_tensor(&b, "n", 1, 5, 0, GGUF_T_F32, 128);
    test_format_tensor(&b, "s", 0, 0, 0, GGUF_T_BF16, 192);
    test_format_tensor(&b, "odd", 1, 5, 0, 39, 256);
    test_format_data(&b, 64, 256);
    CHECK_OK(gguf_parse(&a, buf_str(&b), &g, &e), e);
    size_t data = b.n - 256;
    CHECK_EQ(g.n_tensors, 4);
    CHECK(g.tensors[0].n_dims == 2 && g.tensors[0].shape[0] == 3 && g.tensors[0].shape[1] == 64);
    CHECK_EQ(g.tensors[0].begin, data);
    CHECK_EQ(g.tensors[0].end, data + 120);
    CHECK_EQ(g.tensors[1].end - g.tensors[1].begin, 20);
    CHECK_EQ(g.tensors[2].end - g.tensors[2].begin, 2);
    CHECK_EQ(g.tensors[3].end, g.tensors[3].begin);
    CHECK_STR(str_cstr(gguf_type_name(g.tensors[3].type)), STR("MXFP4"));
    CHECK_STR(str_cstr(gguf_type_name(99)), STR("unknown"));
    CHECK_STR(str_cstr(gguf_type_name(4)), STR("unknown"));
    CHECK_STR(str_cstr(gguf_type_name(UINT32_MAX)), STR("unknown"));
    size_t items, size;
    CHECK(gguf_type_block(GGUF_T_Q6_K, &items, &size) && items == 256 && size == 210);
    CHECK(!gguf_type_block(39, &items, &size) && !gguf_type_block(4, &items, &size) && !gguf_type_block(99, &items, &size));
    /* cut anywhere: refused, never read past */
    for (size_t n = 0; n < b.n - 64; n++) {
        char *exact = mem_alloc(n + 1);
        memcpy(exact, b.p, n);
        CHECK_ERR(gguf_parse(&a, (struct str){ exact, n }, &g, &e), e, ERR_FORMAT);
        mem_free(exact);
    }
    buf_release(&b);
    arena_release(&a);
}

/* One hostile file per case of the switch; ERR_OK ends the list. */
static enum err_code test_format_hostile(struct buf *b, int which) {
    test_format_gguf(b, 3, 0, 1);
    switch (which) {
    case 0: b->p[0] = 'g'; return ERR_FORMAT;
    case 1: test_format_gguf(b, 1, 0, 0); return ERR_UNSUPPORTED;
    case 2: test_format_gguf(b, 4, 0, 0); return ERR_UNSUPPORTED;
    case 3: test_format_gguf(b, 0x03000000, 0, 0); return ERR_UNSUPPORTED;
    case 4: test_format_gguf(b, 3, UINT64_MAX, 0); return ERR_LIMIT;
    case 5: test_format_gguf(b, 3, 0, 65537); return ERR_LIMIT;
    case 6: test_format_gguf(b, 3, 65536, 65536); return ERR_FORMAT;   /* far more than the file holds */
    case 7: test_format_key(b, "k", 13); test_format_u64(b, 0); return ERR_FORMAT;
    case 8: test_format_key(b, "k", GGUF_BOOL); buf_add_char(b, 2); return ERR_FORMAT;
    case 9: test_format_key(b, "k", GGUF_STRING); test_format_u64(b, UINT64_MAX); return ERR_FORMAT;
    case 10: test_format_u64(b, UINT64_MAX); test_format_u64(b, 0); return ERR_FORMAT;
    case 11: test_format_key(b, "k", GGUF_ARRAY); test_format_u32(b, GGUF_ARRAY); test_format_u64(b, 1); return ERR_UNSUPPORTED;
    case 12: test_format_key(b, "k", GGUF_ARRAY); test_format_u32(b, 77); test_format_u64(b, 1); return ERR_FORMAT;
    case 13: test_format_key(b, "k", GGUF_ARRAY); test_format_u32(b, GGUF_U64); test_format_u64(b, UINT64_MAX / 8 + 2); return ERR_LIMIT;
    case 14: test_format_key(b, "k", GGUF_ARRAY); test_format_u32(b, GGUF_STRING); test_format_u64(b, 1 << 24); return ERR_FORMAT;
    case 15: test_format_key(b, "k", GGUF_ARRAY); test_format_u32(b, GGUF_U8); test_format_u64(b, 100); return ERR_FORMAT;
    case 16: test_format_key(b, "\xff", GGUF_U8); buf_add_char(b, 1); return ERR_FORMAT;
    case 17: test_format_gguf(b, 3, 0, 2); test_format_key(b, "k", GGUF_U8); buf_add_char(b, 1);
             test_format_key(b, "k", GGUF_U8); buf_add_char(b, 1); return ERR_FORMAT;
    case 18: test_format_gguf(b, 3, 1, 0); test_format_tensor(b, "w", 5, 1, 1, 0, 0); test_format_data(b, 32, 64); return ERR_FORMAT;
    case 19: test_format_gguf(b, 3, 1, 0); test_format_tensor(b, "w", 1, 31, 0, GGUF_T_Q8_0, 0); test_format_data(b, 32, 64); return ERR_FORMAT;
    case 20: test_format_gguf(b, 3, 1, 0); test_format_tensor(b, "w", 2, 1ULL << 40, 1ULL << 40, 0, 0); test_format_data(b, 32, 64); return ERR_FORMAT;
    case 21: test_format_gguf(b, 3, 1, 0); test_format_tensor(b, "w", 1, UINT64_MAX, 0, 0, 0); test_format_data(b, 32, 64); return ERR_FORMAT;
    case 22: test_format_gguf(b, 3, 1, 0); test_format_tensor(b, "w", 1, 8, 0, 0, UINT64_MAX - 31); test_format_data(b, 32, 64); return ERR_FORMAT;
    case 23: test_format_gguf(b, 3, 1, 0); test_format_tensor(b, "w", 1, 17, 0, 0, 0); test_format_data(b, 32, 64); return ERR_FORMAT;
    case 24: test_format_gguf(b, 3, 1, 0); test_format_tensor(b, "w", 1, 1, 0, 0, 4); test_format_data(b, 32, 64); return ERR_FORMAT;
    case 25: test_format_gguf(b, 3, 2, 0); test_format_tensor(b, "w", 1, 9, 0, 0, 0); test_format_tensor(b, "v", 1, 1, 0, 0, 32);
             test_format_data(b, 32, 64); return ERR_FORMAT;
    case 26: test_format_gguf(b, 3, 2, 0); test_format_tensor(b, "w", 1, 1, 0, 0, 0); test_format_tensor(b, "w", 1, 1, 0, 0, 32);
             test_format_data(b, 32, 64); return ERR_FORMAT;
    case 27: case 28:
             test_format_gguf(b, 3, 1, 1); test_format_key(b, "general.alignment", GGUF_U32); test_format_u32(b, which == 27 ? 0 : 48);
             test_format_tensor(b, "w", 1, 1, 0, 0, 0); test_format_data(b, 32, 64); return ERR_FORMAT;
    case 29: test_format_key(b, "general.alignment", GGUF_STRING); test_format_text(b, STR("32")); return ERR_FORMAT;
    case 30: test_format_gguf(b, 3, 1, 0); test_format_tensor(b, "w", 0, 0, 0, GGUF_T_Q4_0, 0); test_format_data(b, 32, 64); return ERR_FORMAT;
    case 31: test_format_u64(b, 65536); for (int i = 0; i < 65536; i++) buf_add_char(b, 'k');
             test_format_u32(b, GGUF_U8); buf_add_char(b, 1); return ERR_LIMIT;
    default: return ERR_OK;
    }
}

TEST(gguf_refuses) {
    struct arena a;
    struct buf b;
    struct gguf g;
    enum err_code want;
    arena_init(&a, TEST_FORMAT_MEMORY);
    buf_init(&b, 1 << 20);
    for (int i = 0; (want = test_format_hostile(&b, i)) != ERR_OK; i++) {
        struct err e = { 0 };
        bool ok = gguf_parse(&a, buf_str(&b), &g, &e);
        if (ok || e.code != want) test_fail(__FILE__, __LINE__, "file %d gave %d (%s)", i, (int)e.code, e.msg);
        CHECK(g.n_values == 0 && g.n_tensors == 0);
    }
    CHECK(a.used_bytes < 16 << 20);                  /* counts in the file alone cost nothing */
    buf_release(&b);
    arena_release(&a);
}

/* ---- tar ---- */

struct test_format_tape { struct str s; };

static bool test_format_tape_read(void *ctx, void *p, size_t n, struct err *e) {
    struct test_format_tape *t = ctx;
    if (n > t->s.n) return err_set(e, ERR_FORMAT, "cut");
    memcpy(p, t->s.p, n);
    t->s = str_sub(t->s, n, t->s.n);
    return true;
}

TEST(tar_names_and_sizes_of_every_length) {
    struct arena a;
    arena_init(&a, 64 << 20);
    for (size_t n = 1; n < 400; n += n < 90 || n > 270 ? 37 : 1) {
        struct buf b;
        struct err e = { 0 };
        struct tar_entry y;
        struct tar_reader r;
        bool end;
        char *name = arena_alloc(&a, n, 1);
        for (size_t i = 0; i < n; i++) name[i] = i % 60 == 59 ? '/' : 'a';
        struct str path = { name, n };
        struct tar_entry x = { TAR_SYMLINK, path, path, 0, 0777, 12 };
        struct tar_entry big = { TAR_FILE, path, STR_EMPTY, (uint64_t)1 << (n % 60), 0644, -5 };
        buf_init(&b, 1 << 20);
        CHECK(tar_write_header(&b, &x, &e));
        CHECK(tar_write_header(&b, &big, &e));
        CHECK_EQ(b.n % TAR_BLOCK, 0);
        struct test_format_tape tape = { buf_str(&b) };
        tar_reader_init(&r, &a, test_format_tape_read, &tape);
        CHECK(tar_next(&r, &y, &end, &e) && !end);
        CHECK(y.kind == TAR_SYMLINK && str_eq(y.path, path) && str_eq(y.link, path));
        CHECK(y.mode == 0777 && y.mtime_s == 12);
        CHECK(tar_next(&r, &y, &end, &e) && !end);
        CHECK(y.kind == TAR_FILE && str_eq(y.path, path) && y.size_bytes == big.size_bytes);
        CHECK(y.mtime_s == 0);
        buf_release(&b);
    }
    arena_release(&a);
}

TEST(tar_damage_is_told) {
    static const struct { int at; char with; } damage[] = { { 0, 'x' }, { 130, '9' }, { 150, '7' }, { 100, 'z' } };
    struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < MLXK_COUNT(damage); i++) {
        struct buf b;
        struct err e = { 0 };
        struct tar_reader r;
        struct tar_entry x = { TAR_FILE, STR("name"), STR_EMPTY, 5, 0644, 0 }, y;
        bool end;
        buf_init(&b, 4096);
        CHECK(tar_write_header(&b, &x, &e));
        b.p[damage[i].at] = damage[i].with;
        struct test_format_tape tape = { buf_str(&b) };
        tar_reader_init(&r, &a, test_format_tape_read, &tape);
        CHECK(!tar_next(&r, &y, &end, &e));
        CHECK_EQ(e.code, ERR_FORMAT);
        buf_release(&b);
    }
    arena_release(&a);
}

/* ---- LZ4 ---- */

/* What the reference implementation made of test_format_lz4_text, with the options that the names say. */
static const char test_format_lz4_sized[] =
    "\x04\x22\x4d\x18\x68\x40\x78\x00\x00\x00\x00\x00\x00\x00\x81\x75\x00\x00\x00\xf2\x43\x2d\x62\x2d"
    "\x63\x63\x2d\x64\x64\x64\x2d\x65\x65\x65\x65\x2d\x2d\x67\x2d\x68\x68\x2d\x69\x69\x69\x2d\x6a\x6a"
    "\x6a\x6a\x2d\x2d\x6c\x2d\x6d\x6d\x2d\x6e\x6e\x6e\x2d\x6f\x6f\x6f\x6f\x2d\x2d\x71\x2d\x72\x72\x2d"
    "\x73\x73\x73\x2d\x74\x74\x74\x74\x2d\x2d\x76\x2d\x77\x77\x2d\x78\x78\x78\x2d\x79\x79\x79\x79\x2d"
    "\x2d\x61\x2d\x62\x62\x2d\x63\x4f\x00\x60\x64\x2d\x2d\x66\x2d\x67\x4e\x00\x01\x4f\x00\xf0\x02\x69"
    "\x2d\x2d\x6b\x2d\x6c\x6c\x2d\x6d\x6d\x6d\x2d\x6e\x6e\x6e\x6e\x2d\x00\x00\x00\x00";
static const char test_format_lz4_summed[] =
    "\x04\x22\x4d\x18\x74\x40\xbd\x75\x00\x00\x00\xf2\x43\x2d\x62\x2d\x63\x63\x2d\x64\x64\x64\x2d\x65"
    "\x65\x65\x65\x2d\x2d\x67\x2d\x68\x68\x2d\x69\x69\x69\x2d\x6a\x6a\x6a\x6a\x2d\x2d\x6c\x2d\x6d\x6d"
    "\x2d\x6e\x6e\x6e\x2d\x6f\x6f\x6f\x6f\x2d\x2d\x71\x2d\x72\x72\x2d\x73\x73\x73\x2d\x74\x74\x74\x74"
    "\x2d\x2d\x76\x2d\x77\x77\x2d\x78\x78\x78\x2d\x79\x79\x79\x79\x2d\x2d\x61\x2d\x62\x62\x2d\x63\x4f"
    "\x00\x60\x64\x2d\x2d\x66\x2d\x67\x4e\x00\x01\x4f\x00\xf0\x02\x69\x2d\x2d\x6b\x2d\x6c\x6c\x2d\x6d"
    "\x6d\x6d\x2d\x6e\x6e\x6e\x6e\x2d\x5b\x05\xc8\xdb\x00\x00\x00\x00\xb3\x5a\x1b\x0f";
static const char test_format_lz4_alone[] =
    "\x04\x22\x4d\x18\x6c\x40\x78\x00\x00\x00\x00\x00\x00\x00\x01\x75\x00\x00\x00\xf2\x43\x2d\x62\x2d"
    "\x63\x63\x2d\x64\x64\x64\x2d\x65\x65\x65\x65\x2d\x2d\x67\x2d\x68\x68\x2d\x69\x69\x69\x2d\x6a\x6a"
    "\x6a\x6a\x2d\x2d\x6c\x2d\x6d\x6d\x2d\x6e\x6e\x6e\x2d\x6f\x6f\x6f\x6f\x2d\x2d\x71\x2d\x72\x72\x2d"
    "\x73\x73\x73\x2d\x74\x74\x74\x74\x2d\x2d\x76\x2d\x77\x77\x2d\x78\x78\x78\x2d\x79\x79\x79\x79\x2d"
    "\x2d\x61\x2d\x62\x62\x2d\x63\x4f\x00\x60\x64\x2d\x2d\x66\x2d\x67\x4e\x00\x01\x4f\x00\xf0\x02\x69"
    "\x2d\x2d\x6b\x2d\x6c\x6c\x2d\x6d\x6d\x6d\x2d\x6e\x6e\x6e\x6e\x2d\x00\x00\x00\x00\xb3\x5a\x1b\x0f";

static void test_format_lz4_text(struct buf *b) {
    for (int i = 0; i < 40; i++) {
        for (int k = 0; k < i % 5; k++) buf_add_char(b, (char)('a' + i % 26));
        buf_add_char(b, '-');
    }
}

static enum err_code test_format_lz4(struct buf *frame, size_t cap) {
    uint8_t out[512];
    size_t n;
    struct err e = { 0 };
    CHECK_EQ(lz4_unpack(out, cap, &n, buf_str(frame), &e), e.code == ERR_OK);
    return e.code;
}

TEST(lz4_unpacks_what_the_reference_packs) {
    const struct str rows[] = { { test_format_lz4_sized, sizeof test_format_lz4_sized - 1 },
        { test_format_lz4_summed, sizeof test_format_lz4_summed - 1 }, { test_format_lz4_alone, sizeof test_format_lz4_alone - 1 } };
    struct buf want;
    buf_init(&want, 4096);
    test_format_lz4_text(&want);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        uint8_t out[512];
        size_t n = 0;
        struct err e = { 0 };
        CHECK_OK(lz4_unpack(out, want.n, &n, rows[i], &e), e);
        CHECK_STR(((struct str){ (const char *)out, n }), buf_str(&want));
        CHECK(!lz4_unpack(out, want.n - 1, &n, rows[i], &e) && n == 0);
        CHECK_EQ(e.code, ERR_LIMIT);
    }
    buf_release(&want);
}

/* Every byte of a frame counts: changed, it is refused or (where it is only a literal without a checksum) gives other
 * bytes; cut, it is refused. */
TEST(lz4_refuses_damage) {
    struct buf b;
    buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof test_format_lz4_summed - 1; i++) {
        buf_reset(&b);
        buf_add_bytes(&b, test_format_lz4_summed, sizeof test_format_lz4_summed - 1);
        b.p[i] = (char)(b.p[i] ^ 1);
        CHECK(test_format_lz4(&b, 512) != ERR_OK);
        b.p[i] = (char)(b.p[i] ^ 1);
        b.n = i;
        CHECK_EQ(test_format_lz4(&b, 512), ERR_FORMAT);
    }
    buf_release(&b);
}

/* Blocks made by hand behind the head of the frame without size and checksums (60 40 82). */
TEST(lz4_blocks_at_their_bounds) {
    static const struct { const char *block; int n; enum err_code code; } rows[] = {
        { "\x10" "a", 2, ERR_OK },                              /* literals only */
        { "\x00", 1, ERR_OK },                                  /* nothing at all */
        { "\x10" "a" "\x01\x00\x00", 5, ERR_OK },               /* a run of four */
        { "\x1f" "a" "\x01\x00" "\xff\xff\x00", 7, ERR_LIMIT }, /* 529 of them, and no end */
        { "\x10" "a" "\x00\x00\x00", 5, ERR_FORMAT },           /* from where it goes to */
        { "\x10" "a" "\x02\x00\x00", 5, ERR_FORMAT },           /* from before the beginning */
        { "\x10" "a" "\x01\x00", 4, ERR_FORMAT },               /* ends with a match */
        { "\x10" "a" "\x01", 3, ERR_FORMAT },
        { "\x20" "a", 2, ERR_FORMAT },                          /* more literals than there are */
        { "\xf0" "\xff", 2, ERR_FORMAT },                       /* a length without an end */
        { "\x1f" "a" "\x01\x00\xff", 5, ERR_FORMAT },
    };
    struct buf b;
    buf_init(&b, 4096);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        buf_reset(&b);
        buf_add(&b, STR("\x04\x22\x4d\x18\x60\x40\x82"));
        test_format_u32(&b, (uint32_t)rows[i].n);
        buf_add_bytes(&b, rows[i].block, (size_t)rows[i].n);
        test_format_u32(&b, 0);
        CHECK_EQ(test_format_lz4(&b, 512), rows[i].code);
    }
    buf_release(&b);
}

TEST_LIST(format) {
    T(dtype_names_and_sizes), T(safet_reads), T(safet_metadata), T(safet_refuses_lengths), T(safet_refuses_tensors),
    T(safet_tiling), T(safet_name_length), T(safet_many_tensors), T(safet_out_of_memory), T(safet_writes_reference_layout),
    T(safet_write_refuses), T(safet_index), T(safet_index_refuses), T(gguf_reads_values), T(gguf_reads_tensors),
    T(gguf_refuses), T(tar_names_and_sizes_of_every_length), T(tar_damage_is_told),
    T(lz4_unpacks_what_the_reference_packs), T(lz4_refuses_damage), T(lz4_blocks_at_their_bounds), TEST_END
};
