/* test_base.c: memory, text, buffers, maps, errors, log, UTF-8 and numbers.
 *
 * Expected values for globbing, repr and UTF-8 replacement were taken from Python, whose behaviour
 * the contracts name.
 */
#include "test.h"

#include <math.h>
#include <stdio.h>

/* ---- arena ---- */

TEST(arena_zeroes_and_aligns) {
    struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t align = 1; align <= 64; align *= 2) {
        for (size_t size = 0; size < 100; size += 33) {
            uint8_t *p = arena_alloc(&a, size, align);
            CHECK(p != NULL);
            CHECK_EQ((uintptr_t)p % align, 0);
            for (size_t i = 0; p && i < size; i++) {
                CHECK_EQ(p[i], 0);
                p[i] = 0xAA;
            }
        }
    }
    CHECK(arena_alloc(&a, 0, 1) != arena_alloc(&a, 0, 1));
    arena_release(&a);
    CHECK_EQ(a.used_bytes, 0);
    CHECK(arena_alloc(&a, 10, 8) != NULL);       /* usable again */
    arena_release(&a);
}

TEST(arena_keeps_its_limit) {
    struct arena a;
    arena_init(&a, 1000);
    CHECK(arena_alloc(&a, 1001, 1) == NULL);
    CHECK(arena_alloc(&a, 1000, 1) != NULL);
    CHECK(arena_alloc(&a, 1, 1) == NULL);
    CHECK_EQ(a.used_bytes, 1000);
    CHECK(arena_array(&a, SIZE_MAX / 2, 3, 1) == NULL);
    arena_release(&a);
    arena_init(&a, SIZE_MAX);
    CHECK(arena_alloc(&a, SIZE_MAX, 1) == NULL);
    CHECK(arena_alloc(&a, SIZE_MAX - 20, 64) == NULL);
    CHECK(arena_array(&a, (size_t)1 << 33, (size_t)1 << 33, 8) == NULL);
    CHECK_EQ(a.used_bytes, 0);
    arena_release(&a);
}

TEST(arena_grows_lists) {
    struct arena a;
    size_t n = 0, cap = 0;
    int *list = NULL, *grown;
    arena_init(&a, 1 << 12);
    for (; (grown = ARENA_GROW(&a, int, list, n, &cap, 3)) != NULL; n++) {
        CHECK(n < cap && (n == 0 || grown == list || cap == 2 * n));
        list = grown;
        list[n] = (int)n;
    }
    CHECK_EQ(n, cap);                            /* full, and there was no room for twice as many */
    CHECK_EQ(cap, 384);
    for (size_t i = 0; i < n; i++) CHECK_EQ(list[i], i);
    cap = 0;
    CHECK(ARENA_GROW(&a, int, NULL, 0, &cap, SIZE_MAX / 2) == NULL && cap == 0);
    arena_release(&a);
}

TEST(arena_rewinds_and_zeroes_again) {
    struct arena a;
    arena_init(&a, 1 << 20);
    char *kept = arena_alloc(&a, 100, 1);
    memset(kept, 'k', 100);
    struct arena_mark m = arena_mark(&a);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++) {
            uint8_t *p = arena_alloc(&a, 1000, 8);
            CHECK(p && p[0] == 0 && p[999] == 0);
            if (p) {
                memset(p, 0xFF, 1000);
            }
        }
        arena_rewind(&a, m);
        CHECK_EQ(a.used_bytes, 100);
    }
    CHECK(kept[0] == 'k' && kept[99] == 'k');
    arena_release(&a);
    m = arena_mark(&a);                          /* of an empty arena */
    CHECK(arena_alloc(&a, 5000, 8) != NULL);
    arena_rewind(&a, m);
    CHECK(a.head == NULL);
    CHECK_EQ(a.used_bytes, 0);
    arena_release(&a);
}

TEST(arena_loop_settles_without_allocations) {
    struct arena a;
    arena_init(&a, 1 << 22);
    (void)arena_alloc(&a, 4000, 1);
    struct arena_mark m = arena_mark(&a);
    unsigned long before = 0;
    for (int round = 0; round < 20; round++) {
        before = round == 2 ? mem_alloc_count() : before;
        CHECK(arena_alloc(&a, 3000, 8) != NULL);
        arena_rewind(&a, m);
    }
    CHECK_EQ(mem_alloc_count(), before);
    arena_release(&a);
}

TEST(memory_fails_on_demand) {
    struct arena a;
    arena_init(&a, 1 << 20);
    mem_fail_after(2);
    void *first = mem_alloc(10), *second = mem_alloc(10), *third = mem_alloc(10);
    CHECK(first != NULL && second == NULL && third != NULL);
    mem_free(first);
    mem_free(third);
    mem_fail_after(1);
    CHECK(arena_alloc(&a, 10, 1) == NULL);
    CHECK(arena_alloc(&a, 10, 1) != NULL);
    mem_fail_after(1);
    mem_fail_after(0);
    void *p = mem_alloc(1);
    CHECK(p != NULL);
    mem_free(p);
    CHECK(mem_alloc((size_t)PTRDIFF_MAX + 1) == NULL);
    arena_release(&a);
}

/* ---- str ---- */

TEST(str_compares) {
    CHECK(str_eq(STR_EMPTY, STR("")));
    CHECK(str_eq(str_cstr(NULL), STR_EMPTY));
    CHECK(str_eq_cstr(STR("ab"), "ab") && !str_eq_cstr(STR("ab"), "abc")
        && str_eq_cstr(STR_EMPTY, NULL));
    CHECK(str_ieq(STR("Bearer"), STR("bEARER")) && !str_ieq(STR("a"), STR("b")));
    CHECK(!str_ieq(STR("@"), STR("`")) && !str_ieq(STR("["), STR("{")));
    CHECK(str_cmp(STR("a"), STR("b")) < 0 && str_cmp(STR("b"), STR("a")) > 0);
    CHECK(str_cmp(STR("a"), STR("aa")) < 0 && str_cmp(STR_EMPTY, STR("")) == 0);
    CHECK(str_cmp(STR("\x80"), STR("a")) > 0);
    CHECK(str_starts(STR("abc"), STR("ab")) && str_starts(STR("abc"), STR(""))
        && !str_starts(STR("a"), STR("ab")));
    CHECK(str_ends(STR("abc"), STR("bc")) && str_ends(STR_EMPTY, STR_EMPTY)
        && !str_ends(STR("c"), STR("bc")));
}

TEST(str_searches) {
    CHECK_EQ(str_find(STR("abcabc"), STR("ca")), 2);
    CHECK_EQ(str_find(STR("abcabc"), STR("cb")), -1);
    CHECK_EQ(str_find(STR("abc"), STR("")), 0);
    CHECK_EQ(str_find(STR_EMPTY, STR("a")), -1);
    CHECK_EQ(str_find(((struct str){ "a\0b", 3 }), STR("b")), 2);
    CHECK_EQ(str_find_last(STR("abcabc"), STR("abc")), 3);
    CHECK_EQ(str_find_last(STR("abc"), STR("")), 3);
    CHECK_EQ(str_find_last(STR("ab"), STR("abc")), -1);
    CHECK_EQ(str_find_last(STR_EMPTY, STR_EMPTY), 0);
    CHECK_EQ(str_find_char(STR("abc"), 'c'), 2);
    CHECK_EQ(str_find_char(STR_EMPTY, 'c'), -1);
    CHECK_EQ(str_find_char(STR("\xff"), '\xff'), 0);
    CHECK(str_contains_icase(STR("xABCx"), STR("bc"))
        && !str_contains_icase(STR("ab"), STR("abc")));
    CHECK(str_contains_icase(STR("x"), STR("")) && str_contains_icase(STR_EMPTY, STR_EMPTY));
}

TEST(str_cuts) {
    CHECK_STR(str_sub(STR("abcdef"), 2, 4), STR("cd"));
    CHECK_STR(str_sub(STR("abc"), 2, 99), STR("c"));
    CHECK_STR(str_sub(STR("abc"), 9, 99), STR(""));
    CHECK_STR(str_sub(STR("abc"), 2, 1), STR(""));
    CHECK(str_sub(STR_EMPTY, 1, 2).p == NULL);
    CHECK_STR(str_trim(STR(" \t\r\n a b \v\f")), STR("a b"));
    CHECK_STR(str_trim(STR("  ")), STR(""));
    struct str rest = STR("a,,b,");
    CHECK_STR(str_cut(&rest, ','), STR("a"));
    CHECK_STR(str_cut(&rest, ','), STR(""));
    CHECK_STR(str_cut(&rest, ','), STR("b"));
    CHECK(rest.p != NULL && rest.n == 0);
    CHECK_STR(str_cut(&rest, ','), STR(""));
    CHECK(rest.p == NULL);
}

TEST(str_copies) {
    struct arena a;
    arena_init(&a, 100);
    CHECK_STR(str_dup(&a, STR("abc")), STR("abc"));
    CHECK(strcmp(str_dup_cstr(&a, STR("xyz")), "xyz") == 0);
    CHECK(strcmp(str_dup_cstr(&a, STR_EMPTY), "") == 0);
    CHECK_STR(str_format(&a, "%d-%s", 7, "x"), STR("7-x"));
    CHECK_STR(str_concat(&a, STR("ab"), STR("cd")), STR("abcd"));
    CHECK_STR(str_concat(&a, STR_EMPTY, STR_EMPTY), STR(""));
    char big[200];
    struct str s = { big, sizeof big };
    memset(big, 'x', sizeof big);
    CHECK(str_dup(&a, s).p == NULL && str_concat(&a, s, s).p == NULL
        && str_dup_cstr(&a, s) == NULL);
    CHECK(str_format(&a, STR_FMT, STR_ARG(s)).p == NULL);
    CHECK(str_concat(&a, (struct str){ big, SIZE_MAX }, (struct str){ big, 2 }).p == NULL);
    arena_release(&a);
}

TEST(str_hex_both_ways) {
    char out[9];
    str_hex(out, (const uint8_t *)"\x00\xff\x1a\x90", 4);
    CHECK_STR(str_cstr(out), STR("00ff1a90"));
    CHECK(str_is_hex(STR("00ff1a90"), 8) && !str_is_hex(STR("00ff1a90"), 7));
    CHECK(!str_is_hex(STR("0A"), 2) && !str_is_hex(STR("0g"), 2) && !str_is_hex(STR("0/"), 2)
        && str_is_hex(STR(""), 0));
}

TEST(str_glob_as_fnmatchcase) {
    static const struct { const char *pattern, *text; bool match; } rows[] = {
        { "*", "", true }, { "*", "a/b", true }, { "", "", true }, { "", "a", false },
        { "*.json", "config.json", true }, { "*.json", "a/b/config.json", true },
        { "*.json", "config.jsonl", false }, { "a*b*c", "aXXbYYc", true },
        { "a*b*c", "aXXbYY", false },
        { "?", "", false }, { "?", "ab", false }, { "?", "\xc3\xa9", true },
        { "??", "\xc3\xa9", false },
        { "[abc]", "b", true }, { "[abc]", "d", false }, { "[!abc]", "d", true },
        { "[!abc]", "a", false },
        { "[a-c]x", "bx", true }, { "[a-c]x", "dx", false }, { "[]]", "]", true },
        { "[]a]", "a", true },
        { "[!]]", "]", false }, { "[!]]", "a", true }, { "[", "[", true }, { "[a", "[a", true },
        { "[!", "[!", true }, { "[]", "[]", true }, { "[-a]", "-", true }, { "[a-]", "-", true },
        { "[a-c-e]", "d", false }, { "[a-c-e]", "-", true }, { "[a-c-e]", "e", true },
        { "[c-a]", "b", false },
        { "[!c-a]", "b", true }, { "[^a]", "^", true }, { "[^a]", "b", false },
        { "\\*", "\\x", true },
        { "\\*", "*", false }, { "[\\]", "\\", true }, { "A", "a", false }, { "*a*", "bab", true },
        { "[\xc3\xa0-\xc3\xaf]", "\xc3\xa9", true }, { "[--0]", ".", true }, { "**", "x", true },
        { "dir/**", "dir/a/b", true }, { "dir/**", "dir", false }, { "*/", "a/", true },
        { "a**b", "ab", true },
        { "?*?", "a", false }, { "?*?", "ab", true }, { "[!]", "[!]", true }, { "[[]", "[", true },
        { "*[0-9].safetensors", "model-00001.safetensors", true },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        if (str_glob(str_cstr(rows[i].pattern), str_cstr(rows[i].text)) != rows[i].match) {
            test_fail(__FILE__, __LINE__, "glob %s on %s is not %d", rows[i].pattern, rows[i].text,
                rows[i].match);
        }
    }
}

TEST(str_glob_does_not_explode) {
    char pattern[401], text[10000];
    for (size_t i = 0; i < 400; i += 2) {
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    pattern[400] = 'b';
    memset(text, 'a', sizeof text);
    CHECK(!str_glob((struct str){ pattern, sizeof pattern }, (struct str){ text, sizeof text }));
}

/* ---- buf ---- */

TEST(buf_grows_and_terminates) {
    struct buf b;
    struct err e = { .code = ERR_OK };
    buf_init(&b, 100000);
    CHECK_STR(buf_str(&b), STR(""));
    buf_add(&b, STR_EMPTY);
    for (int i = 0; i < 1000; i++) {
        buf_addf(&b, "%03d", i);
    }
    CHECK_EQ(b.n, 3000);
    CHECK_EQ(b.p[3000], 0);
    CHECK_STR(str_sub(buf_str(&b), 2991, 3000), STR("997998999"));
    buf_remove_front(&b, 2997);
    CHECK_STR(buf_str(&b), STR("999"));
    buf_remove_front(&b, 99);
    CHECK_EQ(b.n, 0);
    buf_add_char(&b, 'x');
    buf_add_cstr(&b, "yz");
    buf_add_bytes(&b, "\0!", 2);
    CHECK_STR(buf_str(&b), ((struct str){ "xyz\0!", 5 }));
    CHECK_OK(buf_ok(&b, "text", &e), e);
    buf_release(&b);
    CHECK(b.p == NULL && b.max == 100000);
}

TEST(buf_prints_what_fits_and_what_does_not) {
    for (size_t max = 1; max < 140; max++) {
        struct buf b;
        buf_init(&b, max);
        buf_add(&b, STR("x"));
        for (int n = 0; n < 70; n++) {
            size_t before = b.n;
            buf_addf(&b, "%*s", n, "y");
            CHECK_EQ(b.n, b.failed ? before : before + (size_t)(n ? n : 1));
            CHECK(b.p[b.n] == 0 && strlen(b.p) == b.n && b.n <= max);
        }
        CHECK(b.failed && b.over_limit);
        buf_release(&b);
    }
}

TEST(buf_takes_from_itself) {
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_add(&b, STR("0123456789"));
    for (int i = 0; i < 10; i++) {
        buf_add(&b, buf_str(&b));
    }
    CHECK_EQ(b.n, 10240);
    CHECK_STR(str_sub(buf_str(&b), 10230, 10240), STR("0123456789"));
    buf_release(&b);
}

TEST(buf_limit_is_hard_and_sticky) {
    struct buf b;
    struct err e = { .code = ERR_OK };
    buf_init(&b, 10);
    buf_add(&b, STR("0123456789"));
    CHECK(!b.failed);
    buf_add_char(&b, 'x');
    CHECK(b.failed);
    buf_add(&b, STR(""));
    CHECK_STR(buf_str(&b), STR("0123456789"));
    CHECK_ERR(buf_ok(&b, "the answer", &e), e, ERR_LIMIT);
    CHECK(strstr(e.msg, "the answer") && strstr(e.msg, "10 bytes"));
    buf_reset(&b);
    buf_add_char(&b, 'x');
    CHECK_STR(buf_str(&b), STR("x"));
    CHECK(!buf_reserve(&b, SIZE_MAX) && b.failed);
    buf_release(&b);
    buf_init(&b, SIZE_MAX);
    buf_add_char(&b, 'a');
    CHECK(!buf_reserve(&b, SIZE_MAX - 1));
    buf_release(&b);
    buf_init(&b, 1000);
    mem_fail_after(1);
    buf_add(&b, STR("abc"));
    err_clear(&e);
    CHECK_ERR(buf_ok(&b, "text", &e), e, ERR_NO_MEMORY);
    buf_release(&b);
}

/* ---- map ---- */

TEST(map_keeps_insertion_order) {
    enum { N = 5000 };
    static char keys[N][8];
    struct map m;
    map_init(&m, N);
    for (int i = 0; i < N; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", (int)(test_random() % 4000));
        bool is_new = false, known = map_get(&m, str_cstr(keys[i])) != NULL;
        uint64_t *value = map_put(&m, str_cstr(keys[i]), &is_new);
        CHECK(value && is_new == !known);
        CHECK(!value || !is_new || *value == 0);
        if (value) {
            *value = *value * 2 + 1;
        }
    }
    CHECK(m.n > 2000 && m.n <= 4000);
    size_t next = 0;
    for (int i = 0; i < N && next < m.n; i++) {  /* first appearances come in order */
        next += str_eq_cstr(m.entries[next].key, keys[i]);
    }
    CHECK_EQ(next, m.n);
    CHECK(map_get(&m, STR("absent")) == NULL && map_get(&m, STR_EMPTY) == NULL);
    CHECK(map_put(&m, STR_EMPTY, NULL) != NULL && map_get(&m, STR("")) != NULL);
    map_release(&m);
    CHECK(map_get(&m, STR("k1")) == NULL);
}

TEST(map_limit_and_memory) {
    struct map m;
    map_init(&m, 2);
    CHECK(map_put(&m, STR("a"), NULL) && map_put(&m, STR("b"), NULL)
        && map_put(&m, STR("a"), NULL));
    CHECK(!map_put(&m, STR("c"), NULL) && m.failed && !map_put(&m, STR("a"), NULL));
    CHECK(map_get(&m, STR("b")) && m.n == 2);
    map_release(&m);
    for (int fail = 1; fail <= 3; fail++) {
        static char keys[100][16];
        map_init(&m, 100);
        mem_fail_after(fail);
        for (int i = 0; i < 100; i++) {
            snprintf(keys[i], sizeof keys[i], "%d", i);
            (void)map_put(&m, str_cstr(keys[i]), NULL);
        }
        CHECK(m.failed);
        for (size_t i = 0; i < m.n; i++) {
            CHECK(map_get(&m, m.entries[i].key) == &m.entries[i].value);
        }
        map_release(&m);
    }
    mem_fail_after(0);
}

TEST(map_hash_is_keyed) {
    uint64_t h = map_hash(STR("some key"));
    CHECK(h == map_hash(STR("some key")) && h != map_hash(STR("some kez")));
    CHECK(map_hash(STR("")) != map_hash(((struct str){ "\0", 1 })));
    CHECK(map_hash(STR("1234567")) != map_hash(((struct str){ "1234567\0", 8 })));
    map_seed(42);
    CHECK(map_hash(STR("some key")) != h);
    map_seed(0x9e3779b97f4a7c15u);
    CHECK(map_hash(STR("some key")) == h);
}

/* ---- err ---- */

TEST(err_first_failure_wins) {
    struct err e = { .code = ERR_OK };
    CHECK(!err_hint(&e, "no error, no hint") && e.hint[0] == 0);
    CHECK(!err_context(&e, "nothing: ") && e.code == ERR_OK && e.msg[0] == 0);
    CHECK(!err_set(&e, ERR_FORMAT, "bad %s", "byte"));
    CHECK(!err_set(&e, ERR_IO, "second"));
    CHECK(!err_hint(&e, "do %d", 1) && !err_hint(&e, "do 2"));
    CHECK(!err_context(&e, "file %d of %d: ", 3, 7));
    CHECK_EQ(e.code, ERR_FORMAT);
    CHECK_STR(str_cstr(e.msg), STR("file 3 of 7: bad byte"));
    CHECK_STR(str_cstr(e.hint), STR("do 1"));
    err_clear(&e);
    CHECK(e.code == ERR_OK && e.msg[0] == 0 && e.hint[0] == 0);
    CHECK(!err_oom(&e, 1234567, "the KV cache"));
    CHECK_EQ(e.code, ERR_NO_MEMORY);
    CHECK(strstr(e.msg, "1.2MB for the KV cache") && e.hint[0]);
}

TEST(err_cuts_at_characters) {
    char text[2000];
    for (size_t lead = 0; lead < 4; lead++) {
        struct err e = { .code = ERR_OK };
        memset(text, 'a', lead);
        for (size_t i = lead; i + 4 < sizeof text; i += 4) {
            memcpy(text + i, "\xf0\x9f\x98\x80", 5);
        }
        err_set(&e, ERR_IO, "%s", text);
        CHECK(utf8_valid(str_cstr(e.msg)) && str_ends(str_cstr(e.msg), STR("\xe2\x80\xa6")));
        CHECK(strlen(e.msg) > sizeof e.msg - 8);
        err_context(&e, "%s", text);
        CHECK(utf8_valid(str_cstr(e.msg)) && str_ends(str_cstr(e.msg), STR("\xe2\x80\xa6")));
    }
    struct err e = { .code = ERR_OK };           /* exactly full: nothing is cut */
    memset(text, 'b', sizeof text);
    err_set(&e, ERR_IO, "%.*s", LIMIT_ERR_MSG - 1, text);
    CHECK_EQ(strlen(e.msg), LIMIT_ERR_MSG - 1);
    CHECK(!strstr(e.msg, "\xe2\x80\xa6"));
}

TEST(err_table_is_whole) {
    for (int i = 0; i < ERR_COUNT; i++) {
        const struct err_info *info = err_info((enum err_code)i);
        CHECK(info->name_cstr[0] && info->type_cstr[0] && info->meaning_cstr[0]);
        CHECK(info->exit_status >= 0 && info->exit_status <= 2);
        CHECK(info->http_status >= 200 && info->http_status < 600);
        CHECK((i == ERR_OK) == (info->exit_status == 0));
    }
    CHECK_STR(str_cstr(err_info(ERR_NOT_FOUND)->name_cstr), STR("NOT_FOUND"));
    CHECK_EQ(err_info(ERR_USAGE)->exit_status, 2);
    CHECK(err_info((enum err_code)999) == err_info(ERR_INTERNAL));
    CHECK(err_info(ERR_NET)->retryable && !err_info(ERR_TLS)->retryable);
}

/* ---- log ---- */

static char base_log_line[4096];
static enum log_level base_log_level;
static int base_log_count;

static void base_log_sink(enum log_level level, struct str line) {
    base_log_count++;
    base_log_level = level;
    snprintf(base_log_line, sizeof base_log_line, STR_FMT, STR_ARG(line));
}

TEST(log_levels_and_sink) {
    base_log_count = 0;
    log_init(LOG_INFO, base_log_sink);
    log_write(LOG_DEBUG, "quiet");
    CHECK_EQ(base_log_count, 0);
    CHECK(!log_enabled(LOG_DEBUG) && log_enabled(LOG_INFO) && log_enabled(LOG_ERROR));
    log_write(LOG_WARN, "n=%d\nsecond\x1b[31m", 5);
    CHECK_EQ(base_log_count, 1);
    CHECK_EQ(base_log_level, LOG_WARN);
    CHECK_STR(str_cstr(base_log_line), STR("n=5 second [31m"));
    log_init(LOG_DEBUG, NULL);
    log_write(LOG_ERROR, "nowhere");
    CHECK_EQ(base_log_count, 1);
    CHECK(!log_enabled(LOG_ERROR));
}

TEST(log_hides_secrets) {
    static const struct { const char *in, *out; } rows[] = {
        { "token hf_abcdefghijklmnopqrstuvwxyzABCDEFGH end", "token [REDACTED] end" },
        { "Authorization: Bearer abc.DEF-123_~+/= x", "Authorization: Bearer [REDACTED] x" },
        { "authorization: bearer hf_abcdefghijklmnopqrstuvwxyz",
          "authorization: bearer [REDACTED]" },
        { "hf_transfer and hf_hub_download stay", "hf_transfer and hf_hub_download stay" },
        { "Bearer", "Bearer" }, { "the bearer of news", "the bearer ** news" },
        { "Bearer secret12 Bearer secret34", "Bearer ******** Bearer ********" },
        { "url?t=hf_0123456789abcdef&x", "url?t=[REDACTED]&x" },
    };
    log_init(LOG_INFO, base_log_sink);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        log_write(LOG_INFO, "%s", rows[i].in);
        CHECK_STR(str_cstr(base_log_line), str_cstr(rows[i].out));
    }
    log_init(LOG_WARN, NULL);
}

TEST(log_cuts_long_lines) {
    static char text[5000];
    log_init(LOG_INFO, base_log_sink);
    for (size_t i = 0; i + 4 < sizeof text; i += 4) {
        memcpy(text + i, "\xf0\x9f\x98\x80", 5);
    }
    for (int shift = 0; shift < 4; shift++) {
        log_write(LOG_INFO, "%.*s%s", shift, "abc", text);
        struct str line = str_cstr(base_log_line);
        CHECK(line.n > 2000 && line.n < 2048 && utf8_valid(line) && str_ends(line, STR("...")));
    }
    memset(text, ' ', 2100);                     /* a secret that the cut goes through */
    memcpy(text + 2030, "hf_abcdefghijklmnopqrstuvwxyzABCDEFGHIJ", 39);
    log_write(LOG_INFO, "%s", text);
    CHECK(!strstr(base_log_line, "hf_abc"));
    log_init(LOG_WARN, NULL);
}

/* ---- utf8 ---- */

TEST(utf8_round_trips_every_scalar) {
    for (uint32_t cp = 0; cp <= 0x110001; cp++) {
        char text[4];
        size_t n = utf8_encode(text, cp), i = 0;
        uint32_t back = utf8_decode((struct str){ text, n }, &i);
        bool scalar = cp <= 0x10FFFF && !(cp >= 0xD800 && cp <= 0xDFFF);
        if (back != (scalar ? cp : 0xFFFD) || i != n || !utf8_valid((struct str){ text, n })) {
            test_fail(__FILE__, __LINE__, "U+%X comes back as U+%X", cp, back);
            return;
        }
    }
}

TEST(utf8_replaces_maximal_subparts) {
    static const struct { const char *in, *out; } rows[] = {   /* R = U+FFFD */
        { "a\x80z", "aRz" }, { "\xc0\xaf", "RR" }, { "\xe0\x80\xaf", "RRR" },
        { "\xed\xa0\x80", "RRR" },
        { "\xf4\x90\x80\x80", "RRRR" }, { "\xf0\x9f\x98", "R" }, { "\xf0\x9f\x98z", "Rz" },
        { "\xe2\x82", "R" }, { "\xe2\x82\xe2\x82\xac", "R\xe2\x82\xac" }, { "\xff\xfe", "RR" },
        { "\xf1\x80\x80\xe1\x80\xc2" "b\x80\xbf", "RRRbRR" }, { "ok", "ok" }, { "", "" },
        { "\xf8\x88\x80\x80\x80", "RRRRR" }, { "\xc2", "R" }, { "\xf0\x80\x80\x80", "RRRR" },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct buf got, want;
        buf_init(&got, 100);
        buf_init(&want, 100);
        for (const char *p = rows[i].out; *p; p++) {
            buf_add(&want, *p == 'R' ? STR("\xef\xbf\xbd") : (struct str){ p, 1 });
        }
        utf8_repair(&got, str_cstr(rows[i].in));
        CHECK_STR(buf_str(&got), buf_str(&want));
        CHECK_EQ(utf8_count(str_cstr(rows[i].in)), utf8_count(buf_str(&want)));
        CHECK_EQ(utf8_valid(str_cstr(rows[i].in)), !strchr(rows[i].out, 'R'));
        buf_release(&got);
        buf_release(&want);
    }
}

TEST(utf8_incomplete_tail_counts_bytes) {
    static const struct { const char *in; size_t n; } rows[] = {
        { "", 0 }, { "a", 0 }, { "\xc3\xa9", 0 }, { "a\xc3", 1 }, { "\xe2\x82", 2 },
        { "\xf0\x9f\x98", 3 },
        { "\xf0\x9f\x98\x80", 0 }, { "\xe0\x80", 0 }, { "\xed\xa0", 0 }, { "\xf4\x90", 0 },
        { "\x80\x80\x80", 0 },
        { "\xff", 0 }, { "\xc0", 0 }, { "\xf0", 1 }, { "\xc3\xa9\xe2", 1 }, { "\xc2\x80\x80", 0 },
        { "\x80", 0 },
        { "x\xf0\x80", 0 },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        if (utf8_incomplete_tail(str_cstr(rows[i].in)) != rows[i].n) {
            test_fail(__FILE__, __LINE__, "row %zu is not %zu", i, rows[i].n);
        }
    }
}

TEST(utf8_width_in_columns) {
    CHECK_EQ(utf8_width(STR("abc")), 3);
    CHECK_EQ(utf8_width(STR("\xe4\xbd\xa0\xe5\xa5\xbd")), 4);          /* two ideographs */
    CHECK_EQ(utf8_width(STR("e\xcc\x81")), 1);                         /* e + combining acute */
    CHECK_EQ(utf8_width(STR("\xf0\x9f\x98\x80")), 2);                  /* emoji */
    CHECK_EQ(utf8_width(STR("\xe3\x82\xab\xef\xbd\xb6")), 3);          /* wide and halfwidth kana */
    CHECK_EQ(utf8_width(STR("\xed\x95\x9c")), 2);                      /* Hangul syllable */
    CHECK_EQ(utf8_width(STR("a\tb\x1b\x7f")), 2);
    CHECK_EQ(utf8_width(STR("\xe2\x80\x8b\xef\xbb\xbf")), 0);
    CHECK_EQ(utf8_width(STR("\xff\xe2\x9c\x93")), 2);
    CHECK_EQ(utf8_width(STR_EMPTY), 0);
}

/* ---- num ---- */

/* The vectors of RFC 4648 section 10, and every other spelling of their kind. */
TEST(base64_has_one_spelling) {
    static const char *const pairs[][2] = {
        { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "\xff\xfe\xfd", "//79" },
        { "\xfb\xf0", "+/A=" },
    };
    static const char *const bad[] = { "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Zm9v\n", "Zm 9", "_-8=",
                                       "=", "====", "Z===", "Zg=v", "Zm9vY===" };
    uint8_t out[16];
    size_t n;
    for (size_t i = 0; i < MLXK_COUNT(pairs); i++) {
        struct buf b;
        buf_init(&b, 64);
        base64_write(&b, pairs[i][0], strlen(pairs[i][0]));
        CHECK_STR(buf_str(&b), str_cstr(pairs[i][1]));
        CHECK(base64_read(str_cstr(pairs[i][1]), out, sizeof out, &n));
        CHECK(n == strlen(pairs[i][0]) && memcmp(out, pairs[i][0], n) == 0);
        CHECK(!n || !base64_read(str_cstr(pairs[i][1]), out, n - 1, &n));
        buf_release(&b);
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++)
        if (base64_read(str_cstr(bad[i]), out, sizeof out, &n))
            test_fail(__FILE__, __LINE__, "'%s' was taken", bad[i]);
}

TEST(num_checked_arithmetic) {
    size_t x = 7;
    CHECK(num_add(SIZE_MAX - 1, 1, &x) && x == SIZE_MAX);
    CHECK(!num_add(SIZE_MAX, 1, &x));
    CHECK(num_mul((size_t)1 << 32, ((size_t)1 << 32) - 1, &x)
        && !num_mul((size_t)1 << 32, (size_t)1 << 32, &x));
    CHECK(num_mul(0, SIZE_MAX, &x) && x == 0);
}

TEST(num_parses_integers) {
    int64_t i = 7;
    uint64_t u = 7;
    CHECK(num_parse_i64(STR("-9223372036854775808"), INT64_MIN, INT64_MAX, &i) && i == INT64_MIN);
    CHECK(num_parse_i64(STR("9223372036854775807"), INT64_MIN, INT64_MAX, &i) && i == INT64_MAX);
    CHECK(num_parse_i64(STR("-0"), -5, 5, &i) && i == 0);
    CHECK(num_parse_u64(STR("18446744073709551615"), UINT64_MAX, &u) && u == UINT64_MAX);
    CHECK(num_parse_u64(STR("007"), 10, &u) && u == 7);
    i = 42;
    u = 42;
    static const char *bad[] = { "", "-", "+1", " 1", "1 ", "1x", "0x1", "--1", "1.0",
        "9223372036854775808",
                                 "-9223372036854775809", "99999999999999999999", "\xd9\xa1" };
    for (size_t k = 0; k < MLXK_COUNT(bad); k++) {
        CHECK(!num_parse_i64(str_cstr(bad[k]), INT64_MIN, INT64_MAX, &i));
    }
    CHECK(!num_parse_i64(STR("6"), -5, 5, &i) && !num_parse_i64(STR("-6"), -5, 5, &i));
    CHECK(!num_parse_u64(STR("-1"), 5, &u) && !num_parse_u64(STR("6"), 5, &u));
    CHECK(!num_parse_u64(STR("18446744073709551616"), UINT64_MAX, &u));
    CHECK(i == 42 && u == 42);
}

TEST(num_parses_floats) {
    static const struct { const char *text; double value; } good[] = {
        { "0", 0 }, { "1.5", 1.5 }, { "-2e3", -2000 }, { "1E-2", 0.01 }, { ".5", 0.5 },
        { "5.", 5 }, { "+1", 1 },
        { "4.9e-324", 4.9e-324 }, { "1e-400", 0 },
        { "1.7976931348623157e308", 1.7976931348623157e308 },
    };
    static const char *bad[] = { "", ".", "-", "1e", "1e+", "1.2.3", " 1", "1 ", "inf", "nan",
        "0x1p3", "1e999",
                                 "1,5", "infinity", "--1", "e5" };
    double x = 0;
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        x = 99;
        CHECK(num_parse_f64(str_cstr(good[i].text), &x)
            && memcmp(&x, &good[i].value, sizeof x) == 0);
    }
    x = 42;
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        CHECK(!num_parse_f64(str_cstr(bad[i]), &x));
    }
    char longest[1100];
    memset(longest, '1', sizeof longest);
    CHECK(!num_parse_f64((struct str){ longest, sizeof longest }, &x) && x > 41 && x < 43);
}

TEST(num_parses_sizes) {
    static const struct { const char *text; uint64_t size; } good[] = {
        { "4096", 4096 }, { "1.5G", 1500000000 }, { "300MB", 300000000 }, { "1KiB", 1024 },
        { "2 GiB", 2147483648 },
        { "7B", 7 }, { "0.5k", 500 }, { "1t", 1000000000000 },
        { "18446744073709551615", UINT64_MAX }, { "1Mi", 1048576 },
    };
    static const char *bad[] = { "", "G", "-1", "1X", "1GG", "1 2", "1e5", "18446744073709551616",
        "99999999TB", "1.2.3M",
                                 "1iB", "1KiBB", "1  G" };
    uint64_t size = 1;
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        if (!num_parse_size(str_cstr(good[i].text), &size) || size != good[i].size) {
            test_fail(__FILE__, __LINE__, "%s gives %llu", good[i].text, (unsigned long long)size);
        }
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        if (num_parse_size(str_cstr(bad[i]), &size)) {
            test_fail(__FILE__, __LINE__, "%s is accepted", bad[i]);
        }
    }
}

TEST(num_formats_as_repr) {
    static const struct { double x; const char *text; } rows[] = {
        { 1, "1.0" }, { -1.5, "-1.5" }, { 0, "0.0" }, { -0.0, "-0.0" }, { 0.1, "0.1" },
        { 1e-5, "1e-05" },
        { 0.0001, "0.0001" }, { 0.00012345, "0.00012345" }, { 1e15, "1000000000000000.0" },
        { 1e16, "1e+16" },
        { 123456789012345680, "1.2345678901234568e+17" },
        { 9007199254740992, "9007199254740992.0" }, { 1e22, "1e+22" },
        { 1e100, "1e+100" }, { 5e-324, "5e-324" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
        { 2.2250738585072014e-308, "2.2250738585072014e-308" }, { 0.3, "0.3" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { 100, "100.0" }, { 12345.678, "12345.678" }, { 1.0 / 3, "0.3333333333333333" },
        { 1e-7, "1e-07" },
        { 1.5e-9, "1.5e-09" }, { 9999999999999998, "9999999999999998.0" },
        { (double)INFINITY, "inf" }, { -(double)INFINITY, "-inf" },
        { (double)NAN, "nan" },
    };
    char out[32];
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        size_t n = num_format_f64(out, rows[i].x);
        CHECK_STR(((struct str){ out, n }), str_cstr(rows[i].text));
        CHECK_EQ(out[n], 0);
    }
    for (int i = 0; i < 20000; i++) {            /* every double reads back as the same bits */
        uint64_t bits = test_random(), back_bits;
        double x, back;
        memcpy(&x, &bits, sizeof x);
        size_t n = num_format_f64(out, x);
        if (isfinite(x)) {
            CHECK(n < 32 && num_parse_f64((struct str){ out, n }, &back));
            memcpy(&back_bits, &back, sizeof back);
            CHECK_EQ(back_bits, bits);
        }
    }
}

TEST(num_formats_sizes) {
    static const struct { uint64_t size; const char *text; } rows[] = {
        { 0, "0B" }, { 216, "216B" }, { 999, "999B" }, { 1000, "1.0KB" }, { 2000, "2.0KB" },
        { 999949, "999.9KB" },
        { 999950, "1.0MB" }, { 1234567890, "1.2GB" }, { UINT64_MAX, "18.4EB" },
        { 1000000000000, "1.0TB" },
    };
    char out[16];
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        size_t n = num_format_size(out, rows[i].size);
        CHECK_STR(((struct str){ out, n }), str_cstr(rows[i].text));
    }
}

TEST(num_half_floats) {
    for (uint32_t h = 0; h < 0x10000; h++) {
        float x = num_f16_to_f32((uint16_t)h), y = num_bf16_to_f32((uint16_t)h);
        bool nan16 = (h & 0x7C00) == 0x7C00 && (h & 0x3FF);
        bool nanb = (h & 0x7F80) == 0x7F80 && (h & 0x7F);
        CHECK_EQ(isnan(x) != 0, nan16);
        CHECK_EQ(isnan(y) != 0, nanb);
        CHECK(nan16 ? isnan(num_f16_to_f32(num_f32_to_f16(x))) != 0 : num_f32_to_f16(x) == h);
        CHECK(nanb ? isnan(num_bf16_to_f32(num_f32_to_bf16(y))) != 0 : num_f32_to_bf16(y) == h);
    }
    for (uint32_t h = 0; h < 0x7BFF; h++) {      /* between neighbours: nearest, ties to even */
        float low = num_f16_to_f32((uint16_t)h), high = num_f16_to_f32((uint16_t)(h + 1));
        float middle = (low + high) / 2;
        CHECK_EQ(num_f32_to_f16(middle), h + (h & 1));
        CHECK_EQ(num_f32_to_f16(nextafterf(middle, 0)), h);
        CHECK_EQ(num_f32_to_f16(nextafterf(middle, high)), h + 1);
        CHECK_EQ(num_f32_to_f16(-middle), 0x8000 | (h + (h & 1)));
    }
    CHECK_EQ(num_f32_to_f16(65519.996f), 0x7BFF);
    CHECK_EQ(num_f32_to_f16(65520.0f), 0x7C00);
    CHECK_EQ(num_f32_to_f16(-1e30f), 0xFC00);
    CHECK_EQ(num_f32_to_f16(1.0f), 0x3C00);
    CHECK_EQ(num_f32_to_bf16(1.0f), 0x3F80);
    CHECK_EQ(num_f32_to_bf16(1.00390625f), 0x3F80);   /* tie to even */
    CHECK_EQ(num_f32_to_bf16(1.01171875f), 0x3F82);
    CHECK_EQ(num_f32_to_bf16(3.4e38f), 0x7F80);
}

TEST(num_reads_little_endian) {
    static const uint8_t bytes[9] = { 0xFF, 1, 2, 3, 4, 5, 6, 7, 8 };
    CHECK_EQ(num_read_u16(bytes + 1), 0x0201);
    CHECK_EQ(num_read_u32(bytes + 1), 0x04030201);
    CHECK_EQ(num_read_u64(bytes + 1), 0x0807060504030201);
}

TEST_LIST(base) {
    T(arena_zeroes_and_aligns), T(arena_keeps_its_limit), T(arena_grows_lists), T(arena_rewinds_and_zeroes_again),
    T(arena_loop_settles_without_allocations), T(memory_fails_on_demand),
    T(base64_has_one_spelling),
    T(str_compares), T(str_searches), T(str_cuts), T(str_copies), T(str_hex_both_ways),
    T(str_glob_as_fnmatchcase), T(str_glob_does_not_explode),
    T(buf_grows_and_terminates), T(buf_takes_from_itself), T(buf_limit_is_hard_and_sticky),
    T(buf_prints_what_fits_and_what_does_not),
    T(map_keeps_insertion_order), T(map_limit_and_memory), T(map_hash_is_keyed),
    T(err_first_failure_wins), T(err_cuts_at_characters), T(err_table_is_whole),
    T(log_levels_and_sink), T(log_hides_secrets), T(log_cuts_long_lines),
    T(utf8_round_trips_every_scalar), T(utf8_replaces_maximal_subparts),
    T(utf8_incomplete_tail_counts_bytes), T(utf8_width_in_columns),
    T(num_checked_arithmetic), T(num_parses_integers), T(num_parses_floats), T(num_parses_sizes),
    T(num_formats_as_repr), T(num_formats_sizes), T(num_half_floats), T(num_reads_little_endian),
    TEST_END
};
