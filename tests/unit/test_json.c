/* test_json.c: the tree, the pull reader and the writer. Expected texts are what Python's json module
 * prints for the same values; accepted and refused texts follow RFC 8259.
 */
#include "json/json.h"

#include "test.h"

#include <stdlib.h>

enum { TEST_JSON_MEMORY = 256 << 20 };

/* The text of a value after reading and writing it again; empty with e set when it is refused. */
static struct str test_json_again(struct arena *a, struct str text, bool pretty, bool ascii, bool spaces,
                                  struct err *e) {
    struct json_writer w;
    struct buf out;
    const struct json *v = json_parse(a, text, e);
    if (!v) {
        return STR_EMPTY;
    }
    buf_init(&out, 1 << 20);
    json_write_init(&w, &out, pretty, ascii);
    w.spaces = spaces;
    json_write_value(&w, v);
    struct str copy = str_dup(a, buf_str(&out));
    buf_release(&out);
    return copy;
}

/* Both tree readers and the token reader must give the same verdict. */
static bool test_json_accepts(struct str text, struct err *e) {
    struct arena a;
    struct err e_large = { 0 };
    arena_init(&a, TEST_JSON_MEMORY);
    bool ok = json_parse(&a, text, e) != NULL;
    CHECK_EQ(json_parse_large(&a, text, &e_large) != NULL, ok);
    CHECK_EQ(e_large.code, e->code);
    arena_release(&a);
    return ok;
}

TEST(json_accepts_rfc8259) {
    static const char *const texts[] = {
        "null", " true ", "\t\r\nfalse", "0", "-0", "-1", "1.5", "1e5", "1E+5", "1e-5", "0.0e0", "\"\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", "[]", "{}", "[ ]", "{ }",
        "[[],{}]", "{\"a\":{\"b\":[1,2,{\"c\":null}]}}", "\"\x7f\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "\"\\ud800\"", "\"\\udc00\\ud800x\"", "\"\\ud800\\u0041\"", "\xef\xbb\xbf[1]", ("\xef\xbb\xbf" "1"),
        "123456789012345678901234567890", "{\"\":1}", "{\"\\u0000\":1,\"\":2}", "1e-999",
    };
    for (size_t i = 0; i < MLXK_COUNT(texts); i++) {
        struct err e = { 0 };
        if (!test_json_accepts(str_cstr(texts[i]), &e)) {
            test_fail(__FILE__, __LINE__, "%s refused: %s", texts[i], e.msg);
        }
    }
}

TEST(json_refuses_what_is_not_json) {
    static const char *const texts[] = {
        "", " ", "\xef\xbb\xbf", "nul", "nullx", "True", "tru", "01", "-01", "+1", "-", ".5", "1.", "1.e5", "1e",
        "1e+", "0x10", "NaN", "Infinity", "-Infinity", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[1 2]",
        "[1}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1 \"b\":2}", "{a:1}", "{1:2}", "{\"a\" 1}", "{,}",
        "{\"a\":1]", "1 2", "[] []", "{} x", "\"", "\"a", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\u",
        "\"a\nb\"", "\"\t\"", "\"\x01\"", "'a'", "// c\n1", "/**/1", "\"\xff\"", "\"\xc3\"", "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "{\"\xff\":1}", "\xff", ("[\xc2\xa0" "1]"), "\f1", "1e999", "-1e999",
        "{\"a\":1,\"a\":2}", "[{\"x\":{\"k\":1,\"\\u006b\":1}}]", "{\"\\u0000\":1,\"\\u0000\":2}",
    };
    for (size_t i = 0; i < MLXK_COUNT(texts); i++) {
        struct err e = { 0 };
        if (test_json_accepts(str_cstr(texts[i]), &e)) {
            test_fail(__FILE__, __LINE__, "accepted: %s", texts[i]);
        } else {
            CHECK_EQ(e.code, ERR_FORMAT);
            CHECK(strstr(e.msg, "JSON byte ") == e.msg);
        }
    }
    struct err e = { 0 };
    CHECK(!test_json_accepts((struct str){ "[1]\0", 4 }, &e));
    err_clear(&e);
    CHECK(!test_json_accepts((struct str){ "\"a\0b\"", 5 }, &e));
}

TEST(json_says_where_and_what) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    CHECK_ERR(json_parse(&a, STR("{\"a\": 1,\n \"b\" 2}"), &e), e, ERR_FORMAT);
    CHECK_STR(str_cstr(e.msg), STR("JSON byte 14 (line 2): expected ':' after a key, found '2'"));
    CHECK_ERR(json_parse(&a, STR("[1,"), &e), e, ERR_FORMAT);
    CHECK_STR(str_cstr(e.msg), STR("JSON byte 3 (line 1): expected a value, found the end"));
    CHECK_ERR(json_parse(&a, STR("[1 \x01"), &e), e, ERR_FORMAT);
    CHECK_STR(str_cstr(e.msg), STR("JSON byte 3 (line 1): expected ',' or ']', found 0x01"));
    CHECK_ERR(json_parse(&a, STR("{\"key\":1,\"key\":2}"), &e), e, ERR_FORMAT);
    CHECK_STR(str_cstr(e.msg), STR("JSON byte 16: the object that ends here has two keys \"key\""));
    arena_release(&a);
}

TEST(json_limits) {
    struct arena a;
    struct err e = { 0 };
    struct buf b;
    arena_init(&a, TEST_JSON_MEMORY);
    buf_init(&b, 4 << 20);
    for (int depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        buf_reset(&b);
        for (int i = 0; i < depth; i++) buf_add_cstr(&b, i % 2 ? "[" : "{\"a\":");
        buf_add_cstr(&b, "1");
        for (int i = depth; i-- > 0;) buf_add_cstr(&b, i % 2 ? "]" : "}");
        err_clear(&e);
        CHECK_EQ(test_json_accepts(buf_str(&b), &e), depth == LIMIT_JSON_DEPTH);
        CHECK_EQ(e.code, depth == LIMIT_JSON_DEPTH ? ERR_OK : ERR_LIMIT);
    }
    buf_reset(&b);
    buf_add_cstr(&b, "[");
    while (b.n < LIMIT_JSON_DOC + 10) buf_add_cstr(&b, "1234567,");
    buf_add_cstr(&b, "1]");
    CHECK_ERR(json_parse(&a, buf_str(&b), &e), e, ERR_LIMIT);
    err_clear(&e);
    CHECK_OK(json_parse_large(&a, buf_str(&b), &e), e);
    err_clear(&e);
    CHECK_ERR(json_parse_large(&a, (struct str){ b.p, LIMIT_JSON_FILE + 1 }, &e), e, ERR_LIMIT);
    struct arena small;
    arena_init(&small, 200);
    CHECK_ERR(json_parse(&small, STR("[1,2,3,4,5]"), &e), e, ERR_NO_MEMORY);
    arena_release(&small);
    buf_release(&b);
    arena_release(&a);
}

TEST(json_keeps_what_cjson_loses) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    const struct json *v = json_parse(&a, STR("{\"big\":9007199254740993,\"min\":-9223372036854775808,"
        "\"over\":9223372036854775808,\"nul\":\"a\\u0000b\",\"x\\u0000y\":1,\"x\":2,\"f\":1.50,\"e\":1e2,"
        "\"long\":0.1000000000000000055511151231257827021181583404541015625000000000000000000,"
        "\"lone\":\"\\ud83d!\",\"zero\":-0}"), &e);
    CHECK_OK(v, e);
    CHECK_EQ(json_get(v, "big")->integer, 9007199254740993);
    CHECK_EQ(json_get(v, "min")->integer, INT64_MIN);
    CHECK_EQ(json_get(v, "over")->kind, JSON_FLOAT);
    CHECK(json_get(v, "over")->number == 0x1p63);
    CHECK_STR(json_get(v, "over")->string, STR("9223372036854775808"));
    CHECK_STR(json_get(v, "nul")->string, ((struct str){ "a\0b", 3 }));
    CHECK_EQ(json_get_str(v, (struct str){ "x\0y", 3 })->integer, 1);
    CHECK_EQ(json_get(v, "x")->integer, 2);
    CHECK_STR(json_get(v, "f")->string, STR("1.50"));
    CHECK_EQ(json_get(v, "e")->kind, JSON_FLOAT);
    CHECK(json_get(v, "long")->number == 0.1);
    CHECK_STR(json_get(v, "lone")->string, STR("\xef\xbf\xbd!"));
    CHECK_EQ(json_get(v, "zero")->kind, JSON_INT);
    /* without the two values cJSON cannot read, so that it is used: the same results */
    v = json_parse(&a, STR("{\"big\":9007199254740993,\"nul\":\"a\\u0000b\",\"x\\u0000y\":1,\"x\":2,\"f\":-1.50}"), &e);
    CHECK_OK(v, e);
    CHECK_EQ(json_get(v, "big")->integer, 9007199254740993);
    CHECK_STR(json_get(v, "nul")->string, ((struct str){ "a\0b", 3 }));
    CHECK_EQ(json_get_str(v, (struct str){ "x\0y", 3 })->integer, 1);
    CHECK(json_get(v, "f")->number == -1.5);
    arena_release(&a);
}

TEST(json_tree_shape) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    char text[] = "{\"b\":[1,\"two\",null,{}],\"a\":true}";
    const struct json *v = json_parse(&a, str_cstr(text), &e), *b;
    CHECK_OK(v, e);
    memset(text, 'x', sizeof text);                 /* the tree borrows nothing */
    CHECK_EQ(v->n, 2);
    CHECK_STR(v->child->key, STR("b"));              /* document order */
    CHECK_STR(json_at(v, 1)->key, STR("a"));
    CHECK(json_at(v, 1)->boolean);
    b = json_get(v, "b");
    CHECK_EQ(b->n, 4);
    CHECK_STR(json_at(b, 1)->string, STR("two"));
    CHECK(json_is(json_at(b, 2), JSON_NULL));
    CHECK(json_at(b, 4) == NULL);
    CHECK(json_at(b, 0)->next == json_at(b, 1));
    CHECK(json_at(b, 3)->child == NULL && json_at(b, 3)->next == NULL);
    CHECK(json_get(b, "a") == NULL && json_get(NULL, "a") == NULL && json_get(v, "c") == NULL);
    CHECK(!json_is(NULL, JSON_NULL) && json_at(NULL, 0) == NULL);
    arena_release(&a);
}

TEST(json_typed_reads) {
    struct arena a;
    struct err e = { 0 };
    int64_t i = 7;
    double d = 7;
    bool b = true;
    struct str s = STR("default");
    arena_init(&a, 1 << 20);
    const struct json *v = json_parse(&a, STR("{\"i\":42,\"f\":3.0,\"g\":3.5,\"s\":\"text\",\"b\":false,\"n\":null,"
        "\"big\":1e19,\"min\":-9223372036854775808.0,\"max\":9223372036854775808.0,\"a\":[]}"), &e);
    CHECK_OK(v, e);
    CHECK_OK(json_read_i64(v, "absent", 0, 100, &i, &e) && i == 7, e);
    CHECK_OK(json_read_i64(v, "n", 0, 100, &i, &e) && i == 7, e);
    CHECK_OK(json_read_i64(NULL, "i", 0, 100, &i, &e) && i == 7, e);
    CHECK_OK(json_read_i64(v, "i", 0, 100, &i, &e) && i == 42, e);
    CHECK_OK(json_read_i64(v, "f", 0, 100, &i, &e) && i == 3, e);
    CHECK_OK(json_read_i64(v, "min", INT64_MIN, 0, &i, &e) && i == INT64_MIN, e);
    CHECK_ERR(json_read_i64(v, "max", INT64_MIN, INT64_MAX, &i, &e), e, ERR_FORMAT);
    CHECK_ERR(json_read_i64(v, "big", INT64_MIN, INT64_MAX, &i, &e), e, ERR_FORMAT);
    CHECK_ERR(json_read_i64(v, "g", 0, 100, &i, &e), e, ERR_FORMAT);
    CHECK_STR(str_cstr(e.msg), STR("JSON key \"g\" is the number 3.5, expected an integer from 0 to 100"));
    CHECK_ERR(json_read_i64(v, "i", 43, 100, &i, &e), e, ERR_FORMAT);
    CHECK_ERR(json_read_i64(v, "i", 0, 41, &i, &e), e, ERR_FORMAT);
    CHECK_ERR(json_read_i64(v, "s", 0, 41, &i, &e), e, ERR_FORMAT);
    CHECK_EQ(i, INT64_MIN);                          /* untouched by failures */
    err_clear(&e);
    CHECK_OK(json_read_f64(v, "i", &d, &e) && d == 42, e);
    CHECK_OK(json_read_f64(v, "g", &d, &e) && d == 3.5, e);
    CHECK_ERR(json_read_f64(v, "s", &d, &e), e, ERR_FORMAT);
    CHECK_STR(str_cstr(e.msg), STR("JSON key \"s\" is a string, expected a number"));
    err_clear(&e);
    CHECK_OK(json_read_bool(v, "n", &b, &e) && b, e);
    CHECK_OK(json_read_bool(v, "b", &b, &e) && !b, e);
    CHECK_ERR(json_read_bool(v, "i", &b, &e), e, ERR_FORMAT);
    err_clear(&e);
    CHECK_OK(json_read_str(v, "n", &s, &e) && str_eq(s, STR("default")), e);
    CHECK_OK(json_read_str(v, "s", &s, &e) && str_eq(s, STR("text")), e);
    CHECK_ERR(json_read_str(v, "a", &s, &e), e, ERR_FORMAT);
    arena_release(&a);
}

TEST(json_duplicates_in_large_objects) {
    struct arena a;
    struct err e = { 0 };
    struct buf b;
    arena_init(&a, TEST_JSON_MEMORY);
    buf_init(&b, 16 << 20);
    buf_add_cstr(&b, "{");
    for (int i = 0; i < 50000; i++) buf_addf(&b, "\"key%d\":%d,", i, i);
    size_t n = b.n;
    buf_add_cstr(&b, "\"last\":1}");
    const struct json *v = json_parse_large(&a, buf_str(&b), &e);
    CHECK_OK(v, e);
    CHECK_EQ(v ? v->n : 0, 50001);
    b.n = n;
    buf_add_cstr(&b, "\"key31\":1}");
    CHECK_ERR(json_parse_large(&a, buf_str(&b), &e), e, ERR_FORMAT);
    buf_release(&b);
    arena_release(&a);
}

/* Every allocation that can fail is made to fail once; the result is ERR_NO_MEMORY and no leak. */
TEST(json_out_of_memory) {
    struct str text = STR("{\"a\":[1,2.5,\"x\\ny\",{\"b\":null}],\"c\":{\"d\":\"e\"},\"1\":1,\"2\":1,\"3\":1,\"4\":1,"
        "\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1,\"10\":1,\"11\":1,\"12\":1,\"13\":1,\"14\":1,\"15\":1,\"16\":1}");
    int n_failures = 0;
    for (long n = 1; n < 500; n++) {
        struct arena a;
        struct err e = { 0 };
        arena_init(&a, 1 << 20);
        mem_fail_after(n);
        bool ok = json_parse(&a, text, &e) != NULL;
        mem_fail_after(0);
        arena_release(&a);
        if (ok) break;
        CHECK_EQ(e.code, ERR_NO_MEMORY);
        n_failures++;
    }
    CHECK(n_failures > 50);                          /* cJSON's own allocations are among them */
}

/* ---- stream ---- */

TEST(json_stream_tokens) {
    static const struct { enum json_token_kind kind; const char *text; size_t at; bool stable; } want[] = {
        { JSON_T_OBJECT, "", 1, false }, { JSON_T_KEY, "a", 2, true }, { JSON_T_ARRAY, "", 7, false },
        { JSON_T_NUMBER, "-1.5e3", 8, true }, { JSON_T_STRING, "x\ty", 15, false }, { JSON_T_TRUE, "true", 23, true },
        { JSON_T_FALSE, "false", 28, true }, { JSON_T_NULL, "null", 34, true }, { JSON_T_ARRAY_END, "", 38, false },
        { JSON_T_KEY, "\xc3\xa9", 40, false }, { JSON_T_OBJECT, "", 49, false }, { JSON_T_OBJECT_END, "", 50, false },
        { JSON_T_OBJECT_END, "", 51, false }, { JSON_T_END, "", 53, false }, { JSON_T_END, "", 53, false },
    };
    struct json_reader r;
    struct json_token t;
    struct err e = { 0 };
    json_reader_init(&r, STR(" {\"a\": [-1.5e3,\"x\\ty\", true,false,null],\"\\u00e9\":{}} "), 5);
    for (size_t i = 0; i < MLXK_COUNT(want); i++) {
        CHECK_OK(json_next(&r, &t, &e), e);
        CHECK_EQ(t.kind, want[i].kind);
        CHECK_STR(t.text, str_cstr(want[i].text));
        CHECK_EQ(t.stable, want[i].stable);
        CHECK_EQ(t.offset_bytes, want[i].at);
    }
    json_reader_release(&r);
}

TEST(json_stream_skip_and_expect) {
    struct json_reader r;
    struct json_token t;
    struct err e = { 0 };
    struct str raw;
    int64_t x;
    json_reader_init(&r, STR("{\"a\": [1, {\"b\":[]}] , \"c\": \"s\", \"d\": 12}"), LIMIT_JSON_DEPTH);
    CHECK_OK(json_expect(&r, JSON_T_OBJECT, &t, &e), e);
    CHECK_OK(json_expect(&r, JSON_T_KEY, &t, &e), e);
    CHECK_OK(json_skip(&r, &raw, &e), e);
    CHECK_STR(raw, STR("[1, {\"b\":[]}]"));
    CHECK_OK(json_expect(&r, JSON_T_KEY, &t, &e), e);
    CHECK_EQ(t.offset_bytes, 22);
    CHECK_OK(json_skip(&r, &raw, &e), e);
    CHECK_STR(raw, STR("\"s\""));
    CHECK_OK(json_expect(&r, JSON_T_KEY, &t, &e), e);
    CHECK(!json_token_i64(&t, &x));
    CHECK_OK(json_expect(&r, JSON_T_NUMBER, &t, &e), e);
    CHECK(json_token_i64(&t, &x) && x == 12);
    CHECK_ERR(json_skip(&r, NULL, &e), e, ERR_FORMAT);      /* no value comes next */
    CHECK_ERR(json_next(&r, &t, &e), e, ERR_FORMAT);        /* and nothing after a failure */
    json_reader_release(&r);
    json_reader_init(&r, STR("[1.5]"), 1);
    CHECK_ERR(json_expect(&r, JSON_T_OBJECT, &t, &e), e, ERR_FORMAT);
    CHECK_STR(str_cstr(e.msg), STR("JSON byte 0: expected an object, found an array"));
    json_reader_release(&r);
    json_reader_init(&r, STR("[[1]]"), 1);
    CHECK_ERR(json_skip(&r, NULL, &e), e, ERR_LIMIT);
    json_reader_release(&r);
}

TEST(json_token_integers) {
    static const struct { const char *text; bool ok; int64_t value; } cases[] = {
        { "0", true, 0 }, { "-0", true, 0 }, { "9223372036854775807", true, INT64_MAX },
        { "-9223372036854775808", true, INT64_MIN }, { "9223372036854775808", false, 0 },
        { "-9223372036854775809", false, 0 }, { "1.0", false, 0 }, { "1e2", false, 0 },
    };
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        struct json_reader r;
        struct json_token t;
        struct err e = { 0 };
        int64_t x = 99;
        json_reader_init(&r, str_cstr(cases[i].text), 1);
        CHECK_OK(json_next(&r, &t, &e), e);
        CHECK_EQ(json_token_i64(&t, &x), cases[i].ok);
        CHECK_EQ(x, cases[i].ok ? cases[i].value : 99);
        json_reader_release(&r);
    }
}

/* A stop character at every offset of the eight bytes looked at together, before every length. */
TEST(json_stream_string_positions) {
    for (size_t before = 0; before < 20; before++) {
        for (size_t after = 0; after < 20; after++) {
            static const char *const middles[] = { "", "\\n", "\xc3\xa9", "\\u00e9", "\x01", "\xc3", "\x7f", "\xf0\x9f\x98\x80" };
            for (size_t m = 0; m < MLXK_COUNT(middles); m++) {
                char text[64];
                size_t n = 0;
                text[n++] = '"';
                memset(text + n, '!', before);
                n += before;
                memcpy(text + n, middles[m], strlen(middles[m]));
                n += strlen(middles[m]);
                memset(text + n, '~', after);
                n += after;
                text[n++] = '"';
                char *exact = malloc(n);             /* so that a read behind it is seen */
                memcpy(exact, text, n);
                struct json_reader r;
                struct json_token t;
                struct err e = { 0 };
                json_reader_init(&r, (struct str){ exact, n }, 1);
                bool want = m != 4 && m != 5;
                CHECK_EQ(json_next(&r, &t, &e), want);
                size_t middle = m == 0 ? 0 : m == 1 || m == 6 ? 1 : m == 7 ? 4 : 2;
                if (want) CHECK_EQ(t.text.n, before + middle + after);
                json_reader_release(&r);
                free(exact);
            }
        }
    }
}

/* ---- writer ---- */

TEST(json_writes_as_python) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    struct str text = STR("{\"a\":[1,-2.5,[],{},[[1]],{\"x\":{}}],\"\\u00e9\\ud83d\\ude00\\u007f\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001"
        "\\u001f\",\"big\":123456789012345678901234567890,\"f\":[1e5,1e16,1e-7,0.1,1.0,-0.0,5e-324],\"n\":null,\"t\":true}");
    CHECK_STR(test_json_again(&a, text, true, true, false, &e), STR(
        "{\n  \"a\": [\n    1,\n    -2.5,\n    [],\n    {},\n    [\n      [\n        1\n      ]\n    ],\n    {\n"
        "      \"x\": {}\n    }\n  ],\n  \"\\u00e9\\ud83d\\ude00\\u007f\": \"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\",\n"
        "  \"big\": 123456789012345678901234567890,\n  \"f\": [\n    100000.0,\n    1e+16,\n    1e-07,\n    0.1,\n    1.0,\n"
        "    -0.0,\n    5e-324\n  ],\n  \"n\": null,\n  \"t\": true\n}"));
    CHECK_STR(test_json_again(&a, text, false, false, false, &e), STR(
        "{\"a\":[1,-2.5,[],{},[[1]],{\"x\":{}}],\"\xc3\xa9\xf0\x9f\x98\x80\x7f\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\","
        "\"big\":123456789012345678901234567890,\"f\":[100000.0,1e+16,1e-07,0.1,1.0,-0.0,5e-324],\"n\":null,\"t\":true}"));
    CHECK_STR(test_json_again(&a, STR("{\"a\":[1,2,{}],\"b\":\"\xc3\xa9\"}"), false, true, true, &e),
              STR("{\"a\": [1, 2, {}], \"b\": \"\\u00e9\"}"));
    CHECK_STR(test_json_again(&a, STR("[]"), true, true, false, &e), STR("[]"));
    CHECK_STR(test_json_again(&a, STR("\"x\""), true, true, false, &e), STR("\"x\""));
    arena_release(&a);
}

TEST(json_writer_calls) {
    struct json_writer w;
    struct buf out;
    buf_init(&out, 4096);
    json_write_init(&w, &out, false, false);
    json_write_object(&w);
    json_write_key(&w, "bad");
    json_write_str(&w, STR("a\xff" "b\xe2\x82"));
    json_write_key_str(&w, (struct str){ "n\0l", 3 });
    json_write_cstr(&w, NULL);
    json_write_key(&w, "nums");
    json_write_array(&w);
    json_write_i64(&w, INT64_MIN);
    json_write_u64(&w, UINT64_MAX);
    json_write_i64(&w, 0);
    json_write_f64(&w, 0.1);
    json_write_f64(&w, 1.0 / 0.0);
    json_write_f64(&w, -(0.0 / 0.0));
    json_write_bool(&w, false);
    json_write_array_end(&w);
    json_write_key(&w, "raw");
    json_write_raw(&w, STR("[1]"));
    json_write_key(&w, "v");
    json_write_value(&w, NULL);
    json_write_key(&w, "c");
    json_write_cstr(&w, "s");
    json_write_object_end(&w);
    CHECK_STR(buf_str(&out), STR("{\"bad\":\"a\xef\xbf\xbd" "b\xef\xbf\xbd\",\"n\\u0000l\":null,\"nums\":[-9223372036854775808,"
        "18446744073709551615,0,0.1,null,null,false],\"raw\":[1],\"v\":null,\"c\":\"s\"}"));
    CHECK_EQ(w.depth, 0);
    buf_release(&out);
    buf_init(&out, 10);                              /* sticky failure of the buffer, no crash */
    json_write_init(&w, &out, true, true);
    json_write_array(&w);
    json_write_str(&w, STR("longer than that"));
    json_write_array_end(&w);
    CHECK(out.failed);
    buf_release(&out);
}

/* Random trees survive writing and reading in every layout. */
static void test_json_random(struct json_writer *w, int depth) {
    uint64_t pick = test_random() % (depth > 0 ? 8 : 6);
    char text[24];
    switch (pick) {
    case 0: json_write_null(w); break;
    case 1: json_write_bool(w, test_random() & 1); break;
    case 2: json_write_i64(w, (int64_t)test_random()); break;
    case 3: json_write_f64(w, (double)(int64_t)test_random() / 1e15); break;
    case 4:
    case 5: {
        size_t n = test_random() % sizeof text;
        for (size_t i = 0; i < n; i++) text[i] = (char)(test_random() & 0xff);
        json_write_str(w, (struct str){ text, n });
        break;
    }
    default:
        if (pick == 6) json_write_array(w); else json_write_object(w);
        for (uint64_t n = test_random() % 20, i = 0; i < n; i++) {
            char key[8] = { (char)('a' + i), (char)(test_random() & 0x7f), 0 };
            if (pick == 7) json_write_key(w, key);
            test_json_random(w, depth - 1);
        }
        if (pick == 6) json_write_array_end(w); else json_write_object_end(w);
    }
}

TEST(json_random_round_trips) {
    for (int round = 0; round < 300; round++) {
        struct arena a;
        struct buf out;
        struct json_writer w;
        struct err e = { 0 };
        arena_init(&a, TEST_JSON_MEMORY);
        buf_init(&out, 1 << 20);
        bool pretty = round & 1, ascii = round & 2;
        json_write_init(&w, &out, pretty, ascii);
        test_json_random(&w, 4);
        if (!out.failed) {
            CHECK_STR(test_json_again(&a, buf_str(&out), pretty, ascii, false, &e), buf_str(&out));
            CHECK_EQ(e.code, ERR_OK);
        }
        buf_release(&out);
        arena_release(&a);
    }
}

TEST(json_lenient_keeps_the_last_of_equal_keys) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    const struct json *v = json_parse_lenient(&a, STR("{\"a\":1,\"b\":2,\"a\":{\"x\":1,\"x\":null},\"a\":[3],\"c\":4,\"c\":5}"), &e);
    CHECK(v && v->n == 3);
    CHECK(v && str_eq(v->child->key, STR("a")) && v->child->kind == JSON_ARRAY && v->child->child->integer == 3);
    CHECK(v && str_eq(v->child->next->key, STR("b")) && v->child->next->next->integer == 5);
    CHECK(v && v->child->next->next->next == NULL);
    v = json_parse_lenient(&a, STR("{\"a\":1,\"a\":2}"), &e);
    CHECK(v && v->n == 1 && v->child->integer == 2 && !v->child->next);
    CHECK_ERR(json_parse_lenient(&a, STR("{\"a\":1,}"), &e), e, ERR_FORMAT);
    CHECK_ERR(json_parse(&a, STR("{\"a\":1,\"a\":2}"), &e), e, ERR_FORMAT);
    arena_release(&a);
}

TEST_LIST(json) {
    T(json_lenient_keeps_the_last_of_equal_keys),
    T(json_accepts_rfc8259), T(json_refuses_what_is_not_json), T(json_says_where_and_what), T(json_limits),
    T(json_keeps_what_cjson_loses), T(json_tree_shape), T(json_typed_reads), T(json_duplicates_in_large_objects),
    T(json_out_of_memory), T(json_stream_tokens), T(json_stream_skip_and_expect), T(json_token_integers),
    T(json_stream_string_positions), T(json_writes_as_python), T(json_writer_calls), T(json_random_round_trips),
    TEST_END
};
