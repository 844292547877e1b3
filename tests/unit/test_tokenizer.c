/* test_tokenizer.c: what the reference tokenizers give for the same files and texts (golden data), the
 * pattern engine and the normal forms on cases made by hand, and files that mean harm.
 */
#include "tokenizer/tok_int.h"

#include "test.h"

#include <stdio.h>

enum { TEST_TOK_MEMORY = 256 << 20 };

/* ---- helpers --------------------------------------------------------------------------------- */

static struct str test_tok_file(struct arena *a, const char *name_cstr) {
    FILE *f = fopen(test_data_path(name_cstr), "rb");
    struct buf b;
    char part[4096];
    buf_init(&b, 64 << 20);
    for (size_t n; f && (n = fread(part, 1, sizeof part, f)) > 0;) {
        buf_add_bytes(&b, part, n);
    }
    CHECK(f != NULL);
    if (f) {
        fclose(f);
    }
    struct str copy = str_dup(a, buf_str(&b));
    buf_release(&b);
    return copy;
}

/* A byte-level model of single characters with the merges "ab", "abc"; more members of the file in front. */
static struct str test_tok_json(struct arena *a, const char *members_cstr, const char *model_cstr) {
    return str_format(a, "{%s\"model\":{\"type\":\"BPE\",%s}}", members_cstr, model_cstr);
}

#define TEST_TOK_MODEL "\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"abc\":4,\"\xE2\x96\x81\":5,\"\\\"\":6}," \
    "\"merges\":[\"a b\",[\"ab\",\"c\"]]"

#define TEST_TOK_WORDPIECE "\"type\":\"WordPiece\",\"unk_token\":\"?\",\"continuing_subword_prefix\":\"##\"," \
    "\"max_input_chars_per_word\":100,\"vocab\":{\"a\":0,\"##b\":1}"

static bool test_tok_ids_are(const struct tok_ids *ids, const struct json *want) {
    size_t i = 0;
    for (const struct json *v = want->child; v; v = v->next, i++) {
        if (i >= ids->n || ids->p[i] != v->integer) {
            return false;
        }
    }
    return i == ids->n;
}

static void test_tok_encodes(const struct tok *t, struct str text, unsigned flags, const struct json *want,
    const char *where_cstr) {
    struct tok_ids ids;
    struct err e = { 0 };
    tok_ids_init(&ids, 1 << 20);
    CHECK_OK(tok_encode(t, text, flags, &ids, &e), e);
    if (!test_tok_ids_are(&ids, want)) {
        test_fail(__FILE__, __LINE__, "%s, flags %u: other ids for \"" STR_FMT "\" (%zu of them)", where_cstr, flags,
            STR_ARG(str_sub(text, 0, 80)), ids.n);
    }
    tok_ids_release(&ids);
}

/* Whole and streamed: both are `want`, and every piece of the stream is valid UTF-8. */
static void test_tok_decodes(const struct tok *t, const int32_t *ids, size_t n, bool skip, const struct str *want) {
    struct buf whole, joined;
    struct tok_stream s;
    struct str piece;
    struct err e = { 0 };
    buf_init(&whole, 1 << 24);
    buf_init(&joined, 1 << 24);
    CHECK_OK(tok_decode(t, ids, n, skip, &whole, &e), e);
    tok_stream_init(&s, t, skip);
    for (size_t i = 0; i < n; i++) {
        CHECK_OK(tok_stream_push(&s, ids[i], &piece, &e), e);
        CHECK(utf8_valid(piece));
        buf_add(&joined, piece);
    }
    CHECK_OK(tok_stream_flush(&s, &piece, &e), e);
    CHECK(utf8_valid(piece));
    buf_add(&joined, piece);
    CHECK_STR(buf_str(&joined), buf_str(&whole));
    if (want) {
        CHECK_STR(buf_str(&whole), *want);
    }
    tok_stream_release(&s);
    buf_release(&whole);
    buf_release(&joined);
}

static void test_tok_decodes_json(const struct tok *t, const struct json *ids, bool skip, struct str want) {
    struct tok_ids list;
    tok_ids_init(&list, 1 << 20);
    for (const struct json *v = ids->child; v; v = v->next) {
        tok_ids_add(&list, (int32_t)v->integer);
    }
    test_tok_decodes(t, list.p, list.n, skip, &want);
    tok_ids_release(&list);
}

static struct str test_tok_or(const struct json *v, const char *key_cstr, struct str otherwise) {
    const struct json *member = json_get(v, key_cstr);
    return member ? member->string : otherwise;
}

/* ---- golden data ------------------------------------------------------------------------------- */

TEST(tok_golden_tiny) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, TEST_TOK_MEMORY);
    struct tok *t = tok_load(&a, test_tok_file(&a, "golden/tiny-a/_tokenizer/tokenizer.json"), true, NULL, &e);
    const struct json *g = json_parse_large(&a, test_tok_file(&a, "golden/tokenizers/tiny.json"), &e);
    const struct json *texts = json_parse_large(&a, test_tok_file(&a, "golden/tokenizers/strings.json"), &e);
    CHECK_OK(t && g && texts, e);
    size_t n = 0;
    for (const struct json *c = t && g ? json_get(g, "cases")->child : NULL; c; c = c->next) {
        struct str id = json_get(c, "id")->string, text = STR_EMPTY;
        for (const struct json *s = texts->child; s; s = s->next) {
            if (str_eq(json_get(s, "id")->string, id)) {
                text = json_get(s, "text")->string;
            }
        }
        const struct json *ids = json_get(c, "ids"), *special = json_get(c, "special");
        test_tok_encodes(t, text, 0, ids, "tiny");
        test_tok_encodes(t, text, TOK_ADD_SPECIAL, special ? special : ids, "tiny");
        struct str skip = test_tok_or(c, "decode", text), raw = test_tok_or(c, "decode_raw", skip);
        test_tok_decodes_json(t, ids, true, skip);
        test_tok_decodes_json(t, ids, false, raw);
        n++;
    }
    CHECK_EQ(n, 92);
    arena_release(&a);
}

/* One small tokenizer for every component: normalizers, pre-tokenizers, post-processors, decoders. */
TEST(tok_golden_parts) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, TEST_TOK_MEMORY);
    const struct json *all = json_parse_large(&a, test_tok_file(&a, "golden/tokenizers/parts.json"), &e);
    CHECK_OK(all, e);
    size_t n = 0;
    for (const struct json *v = all ? all->child : NULL; v; v = v->next, n++) {
        const char *name_cstr = str_dup_cstr(&a, json_get(v, "name")->string);
        struct tok *t = tok_load(&a, json_get(v, "tokenizer")->string, n & 1, NULL, &e);
        CHECK_OK(t, e);
        for (const struct json *c = t ? json_get(v, "cases")->child : NULL; c; c = c->next) {
            const struct json *ids = json_get(c, "ids"), *special = json_get(c, "special"), *plain = json_get(c, "plain");
            struct str text = json_get(c, "text")->string;
            test_tok_encodes(t, text, 0, ids, name_cstr);
            test_tok_encodes(t, text, TOK_ADD_SPECIAL, special ? special : ids, name_cstr);
            test_tok_encodes(t, text, TOK_PLAIN, plain ? plain : ids, name_cstr);
        }
        for (const struct json *d = t ? json_get(v, "decodes")->child : NULL; d; d = d->next) {
            struct str skip = json_get(d, "skip")->string;
            test_tok_decodes_json(t, json_get(d, "ids"), true, skip);
            test_tok_decodes_json(t, json_get(d, "ids"), false, test_tok_or(d, "keep", skip));
        }
    }
    CHECK_EQ(n, 24);
    arena_release(&a);
}

TEST(tok_streams_random_ids) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, TEST_TOK_MEMORY);
    const struct json *all = json_parse_large(&a, test_tok_file(&a, "golden/tokenizers/parts.json"), &e);
    for (const struct json *v = all ? all->child : NULL; v; v = v->next) {
        struct tok *t = tok_load(&a, json_get(v, "tokenizer")->string, true, NULL, &e);
        for (int round = 0; t && round < 50; round++) {
            int32_t ids[24];
            for (size_t i = 0; i < MLXK_COUNT(ids); i++) {
                ids[i] = (int32_t)(test_random() % (t->n_ids + 8)) - 4;
            }
            test_tok_decodes(t, ids, test_random() % MLXK_COUNT(ids), round & 1, NULL);
        }
    }
    CHECK_OK(all, e);
    arena_release(&a);
}

/* ---- characters ---------------------------------------------------------------------------------- */

TEST(tok_characters) {
    static const struct { uint32_t cp; unsigned gc; } cats[] = {
        { 'A', TOK_GC_LU }, { 'z', TOK_GC_LL }, { '5', TOK_GC_ND }, { '_', TOK_GC_PC }, { ' ', TOK_GC_ZS },
        { 0x1C5, TOK_GC_LT }, { 0x301, TOK_GC_MN }, { 0x2167, TOK_GC_NL }, { 0x4E00, TOK_GC_LO }, { 0x9FFF, TOK_GC_LO },
        { 0xAC00, TOK_GC_LO }, { 0xE000, TOK_GC_CO }, { 0x1F600, TOK_GC_SO }, { 0x10FFFF, TOK_GC_CN },
        { 0x110000, TOK_GC_CN }, { 0xFFFFFFFF, TOK_GC_CN }, { 0x1C89, TOK_GC_LU }, { 0x1CCF5, TOK_GC_ND }, /* Unicode 16 */
    };
    static const uint32_t spaces[] = { 9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x1680, 0x2000, 0x200A, 0x2028, 0x2029, 0x202F,
        0x205F, 0x3000 };
    size_t n = 0;
    for (size_t i = 0; i < MLXK_COUNT(cats); i++) {
        CHECK_EQ(tok_category(cats[i].cp), cats[i].gc);
    }
    for (uint32_t cp = 0; cp < 0x11000; cp++) {
        n += tok_is_space(cp);
    }
    CHECK_EQ(n, 25);
    for (size_t i = 0; i < MLXK_COUNT(spaces); i++) {
        CHECK(tok_is_space(spaces[i]));
    }
    CHECK_EQ(tok_to_lower(0x410), 0x430);
    CHECK_EQ(tok_to_lower(0x100), 0x101);
    CHECK_EQ(tok_to_lower(0x101), 0x101);
    CHECK_EQ(tok_to_upper(0xFF), 0x178);
    CHECK_EQ(tok_to_upper(0xDF), 0xDF);
    CHECK_EQ(tok_to_upper('1'), '1');
    CHECK_EQ(tok_fold(0x17F), 's');
    CHECK_EQ(tok_fold(0x212A), 'k');
    CHECK_EQ(tok_fold(0x3C2), tok_fold(0x3A3));
    CHECK(tok_fold(0x130) != 'i' && tok_fold(0x131) != 'i');
    CHECK_EQ(tok_script(0x4E00), tok_script_find(STR("han")));
    CHECK_EQ(tok_script('a'), tok_script_find(STR("Latin")));
    CHECK_EQ(tok_script(' '), -1);
    CHECK_EQ(tok_script_find(STR("Klingon")), -1);
    CHECK_EQ(tok_category_mask(STR("lowercase letter")), 1u << TOK_GC_LL);
    CHECK_EQ(tok_category_mask(STR("Xx")), 0);
}

/* All characters with a property as the reference has it: how many, and the sum of their code points. */
TEST(tok_word_characters) {
    static const struct { bool (*has)(uint32_t cp); uint64_t n, sum; } properties[] = {
        { tok_is_punctuation, 726, 20675981 },
        { tok_is_nonspacing, 1567, 262554314 },
        { tok_is_invisible, 137681, 137913084793 },
        { tok_is_space, 25, 141586 },
    };
    for (size_t i = 0; i < MLXK_COUNT(properties); i++) {
        uint64_t n = 0, sum = 0;
        for (uint32_t cp = 0; cp < 0x110000; cp++) {
            if (properties[i].has(cp)) {
                n++;
                sum += cp;
            }
        }
        CHECK_EQ(n, properties[i].n);
        CHECK_EQ(sum, properties[i].sum);
    }
}

TEST(tok_byte_characters_are_a_bijection) {
    for (int b = 0; b < 256; b++) {
        uint32_t cp = tok_byte_to_char((uint8_t)b);
        CHECK_EQ(tok_char_to_byte(cp), b);
        CHECK(cp > 0x20 && !tok_is_space(cp));
    }
    CHECK_EQ(tok_byte_to_char(' '), 0x120);
    CHECK_EQ(tok_byte_to_char(0xAD), 0x143);
    CHECK_EQ(tok_char_to_byte(0x144), -1);
    CHECK_EQ(tok_char_to_byte(0xAD), -1);
}

TEST(tok_normal_forms) {
    static const struct { const char *text_cstr, *form_cstr[4]; } cases[] = {       /* NFD NFC NFKD NFKC */
        { "", { "", "", "", "" } },
        { "plain text", { "plain text", "plain text", "plain text", "plain text" } },
        { "\xC3\xA9", { "e\xCC\x81", "\xC3\xA9", "e\xCC\x81", "\xC3\xA9" } },
        { "ae\xCC\x81z", { "ae\xCC\x81z", "a\xC3\xA9z", "ae\xCC\x81z", "a\xC3\xA9z" } },
        { "a\xCC\x81\xCC\xA7", { "a\xCC\xA7\xCC\x81", "\xC3\xA1\xCC\xA7", "a\xCC\xA7\xCC\x81", "\xC3\xA1\xCC\xA7" } },
        { "\xEF\xAC\x81", { "\xEF\xAC\x81", "\xEF\xAC\x81", "fi", "fi" } },
        { "\xEA\xB0\x81", { "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81",
            "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81" } },
        { "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", { "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81",
            "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81" } },
        { "\xE0\xA5\x98", { "\xE0\xA4\x95\xE0\xA4\xBC", "\xE0\xA4\x95\xE0\xA4\xBC",          /* excluded from composing */
            "\xE0\xA4\x95\xE0\xA4\xBC", "\xE0\xA4\x95\xE0\xA4\xBC" } },
        { "\xE2\x84\xAB", { "A\xCC\x8A", "\xC3\x85", "A\xCC\x8A", "\xC3\x85" } },               /* Angstrom sign */
        { "\xCC\x81" "e", { "\xCC\x81" "e", "\xCC\x81" "e", "\xCC\x81" "e", "\xCC\x81" "e" } },
        { "\xE3\x8B\xBF", { "\xE3\x8B\xBF", "\xE3\x8B\xBF", "\xE3\x8B\xBF", "\xE3\x8B\xBF" } }, /* younger than 9.0 */
    };
    struct tok t = { .n_ids = 0 };
    struct tok_run r;
    struct err e = { 0 };
    struct buf out;
    tok_run_init(&r, &t, NULL, &e);
    buf_init(&out, 1 << 24);
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        for (unsigned form = 0; form < 4; form++) {
            buf_reset(&out);
            CHECK_OK(tok_normal_form(&r, str_cstr(cases[i].text_cstr), form & 2, form & 1, &out), e);
            CHECK_STR(buf_str(&out), str_cstr(cases[i].form_cstr[form]));
        }
    }
    struct buf marks;                            /* a row of marks is sorted in linear time */
    buf_init(&marks, 1 << 24);
    for (int i = 0; i < 200000; i++) {
        buf_add_cstr(&marks, i & 1 ? "\xCC\x81" : "\xCC\xA7");
    }
    buf_reset(&out);
    CHECK_OK(tok_normal_form(&r, buf_str(&marks), false, false, &out), e);
    CHECK_EQ(out.n, 400000);
    CHECK(str_starts(buf_str(&out), STR("\xCC\xA7\xCC\xA7")) && str_ends(buf_str(&out), STR("\xCC\x81\xCC\x81")));
    buf_release(&marks);
    buf_release(&out);
    tok_run_release(&r);
}

/* ---- patterns -------------------------------------------------------------------------------------- */

/* The parts of text with | between, matches in brackets. */
static struct str test_tok_parts(struct arena *a, const char *pattern_cstr, struct str text, struct err *e) {
    const struct tok_regex *re = tok_regex_compile(a, str_cstr(pattern_cstr), e);
    struct tok_match_stack stack = { 0 };
    struct tok_finder f;
    struct str part, result = STR_EMPTY;
    struct buf out;
    bool match;
    if (!re) {
        return STR("refused");
    }
    buf_init(&out, 1 << 20);
    tok_finder_init(&f, re, text, &stack);
    while (tok_finder_next(&f, &stack, &part, &match, e)) {
        buf_add_cstr(&out, match ? "[" : out.n ? "|" : "");
        buf_add(&out, part);
        buf_add_cstr(&out, match ? "]" : "");
    }
    if (f.failed) {
        buf_add_cstr(&out, " gave up");
    }
    result = str_dup(a, buf_str(&out));
    tok_match_stack_release(&stack);
    buf_release(&out);
    return result;
}

TEST(tok_patterns_match) {
    static const struct { const char *pattern_cstr, *text_cstr, *parts_cstr; } cases[] = {
        { "a|b", "xab", "x[a][b]" }, { "ab*", "abba", "[abb][a]" }, { "a+?", "aa", "[a][a]" }, { "a++a", "aaa", "aaa" },
        { "a{2}", "aaaaa", "[aa][aa]|a" }, { "a{1,2}", "aaa", "[aa][a]" }, { "a{2,}", "aaab", "[aaa]|b" },
        { "a{,2}b", "aaab", "a[aab]" }, { "a{x", "a{x", "[a{x]" }, { "(?:ab)+", "ababa", "[abab]|a" },
        { "(?:a|ab)(?:c|bcd)", "abcd", "[abcd]" }, { "(?:a?)*b", "aab", "[aab]" }, { "(?:a*)*+b", "aac", "aac" },
        { "x*", "axb", "[]|a[x]|b[]" }, { "\\b", "ab c", "[]|ab[]| []|c[]" }, { "(?i:a)b", "AbaB", "[Ab]|aB" },
        { "(?i)a|B", "Ab", "[A][b]" }, { "(?i:'s)", "'S'\xC5\xBF", "['S]['\xC5\xBF]" }, { "(?i:[a-c]+)", "aBd", "[aB]|d" },
        { "\\p{L}+", "ab1\xC3\xA9", "[ab]|1[\xC3\xA9]" }, { "\\P{L}", "a1", "a[1]" }, { "\\p{^Lu}", "aB", "[a]|B" },
        { "\\p{Han}+", "a\xE6\x9D\xB1\xE4\xBA\xAC", "a[\xE6\x9D\xB1\xE4\xBA\xAC]" }, { "[^\\s\\p{L}]+", "a 12-", "a [12-]" },
        { "[a-z&&[^aeiou]]+", "abc", "a[bc]" }, { "[[ab]c]+", "abcd", "[abc]|d" }, { "[]a]", "]b", "[]]|b" },
        { "[a\\-z]", "b-", "b[-]" }, { "[\\x{61}-\\u0063]+", "abcd", "[abc]|d" }, { ".", "a\n", "[a]|\n" },
        { "(?m:.)", "a\n", "[a][\n]" }, { "^a", "a\na", "[a]|\n[a]" }, { "a$", "ab\na", "ab\n[a]" },
        { "\\Aa", "aa", "[a]|a" }, { "a\\z", "aa", "a[a]" }, { "a\\Z", "a\n", "[a]|\n" }, { "\\Bb", "ab b", "a[b]| b" },
        { "a(?=b)", "abac", "[a]|bac" }, { "a(?!b)", "abac", "ab[a]|c" }, { "(?<=a)b", "abb", "a[b]|b" },
        { "(?<!a|bc)d", "adbcdd", "adbcd[d]" }, { "(?>a+)b", "aab", "[aab]" }, { "(?>a|ab)c", "abc", "abc" },
        { "\\s+(?!\\S)|\\s+", "a   b ", "a[  ][ ]|b[ ]" }, { "\\w+", "a_1-\xE2\x93\x90", "[a_1]|-[\xE2\x93\x90]" },
        { "\\d\\D\\h\\t", "1a\t1xf\t", "1a\t[1xf\t]" }, { "(?<name>a)b", "ab", "[ab]" }, { "(?:)", "ab", "[]|a[]|b[]" },
        { "[^a]", "a\xF0\x9F\x98\x80", "a[\xF0\x9F\x98\x80]" }, { "(a|b)*?c", "abc", "[abc]" },
    };
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, TEST_TOK_MEMORY);
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        struct str parts = test_tok_parts(&a, cases[i].pattern_cstr, str_cstr(cases[i].text_cstr), &e);
        if (!str_eq_cstr(parts, cases[i].parts_cstr)) {
            test_fail(__FILE__, __LINE__, "%s on \"%s\" gives " STR_FMT ", expected %s (%s)", cases[i].pattern_cstr,
                cases[i].text_cstr, STR_ARG(parts), cases[i].parts_cstr, e.msg);
        }
    }
    arena_release(&a);
}

TEST(tok_patterns_refused) {
    static const struct { const char *pattern_cstr; enum err_code code; } cases[] = {
        { "(a", ERR_FORMAT }, { "a)", ERR_FORMAT }, { "[a", ERR_FORMAT }, { "[", ERR_FORMAT }, { "*a", ERR_FORMAT },
        { "a|+", ERR_FORMAT }, { "a{3,2}", ERR_FORMAT }, { "[z-a]", ERR_FORMAT }, { "\\", ERR_FORMAT }, { "\\p{L", ERR_FORMAT },
        { "(?<n", ERR_FORMAT }, { "(?", ERR_FORMAT }, { "\\x{110000}", ERR_FORMAT }, { "(a)\\1", ERR_UNSUPPORTED },
        { "[[:alpha:]]", ERR_UNSUPPORTED }, { "\\p{Nothing}", ERR_UNSUPPORTED }, { "(?x:a)", ERR_UNSUPPORTED },
        { "\\Ka", ERR_UNSUPPORTED }, { "(?<=a+)b", ERR_UNSUPPORTED }, { "(?:(?:ab){1000}){1000}", ERR_LIMIT },
        { "a********", ERR_OK }, { "a**********", ERR_LIMIT },
    };
    struct arena a;
    struct err e;
    struct buf deep;
    arena_init(&a, TEST_TOK_MEMORY);
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        err_clear(&e);
        bool ok = tok_regex_compile(&a, str_cstr(cases[i].pattern_cstr), &e) != NULL;
        CHECK_EQ(ok, cases[i].code == ERR_OK);
        if (e.code != cases[i].code) {
            test_fail(__FILE__, __LINE__, "%s gives code %d (%s)", cases[i].pattern_cstr, (int)e.code, e.msg);
        }
    }
    buf_init(&deep, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        buf_add_char(&deep, '(');
    }
    CHECK_ERR(tok_regex_compile(&a, buf_str(&deep), &e), e, ERR_LIMIT);
    while (deep.n < TOK_REGEX_MAX_PATTERN) {
        buf_add_char(&deep, 'a');
    }
    buf_add_char(&deep, 'a');
    CHECK_ERR(tok_regex_compile(&a, buf_str(&deep), &e), e, ERR_LIMIT);
    err_clear(&e);
    CHECK_OK(tok_regex_compile(&a, STR("(?:(?:){1000}){1000}"), &e), e);   /* nothing, a million times */
    buf_release(&deep);
    arena_release(&a);
}

TEST(tok_patterns_give_up) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, TEST_TOK_MEMORY);
    struct str parts = test_tok_parts(&a, "(?:a*)*b|(?:a+)+c", STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), &e);
    CHECK(str_ends(parts, STR(" gave up")));
    CHECK_EQ(e.code, ERR_LIMIT);
    arena_release(&a);
}

/* ---- files --------------------------------------------------------------------------------------------- */

static struct tok *test_tok_load(struct arena *a, const char *members_cstr, const char *model_cstr, struct err *e) {
    return tok_load(a, test_tok_json(a, members_cstr, model_cstr), false, NULL, e);
}

TEST(tok_refuses_files) {
    static const struct { const char *members_cstr, *model_cstr; enum err_code code; } cases[] = {
        { "", "\"vocab\":{},\"merges\":[]", ERR_OK },
        { "", "\"merges\":[]", ERR_FORMAT },
        { "", "\"vocab\":[],\"merges\":[]", ERR_FORMAT },
        { "", "\"vocab\":3,\"merges\":[]", ERR_FORMAT },
        { "", "\"vocab\":{\"a\":-1}", ERR_LIMIT },
        { "", "\"vocab\":{\"a\":4000000}", ERR_LIMIT },
        { "", "\"vocab\":{\"a\":1e3}", ERR_FORMAT },
        { "", "\"vocab\":{\"a\":\"0\"}", ERR_FORMAT },
        { "", "\"vocab\":{\"a\":3999999}", ERR_FORMAT },
        { "", "\"vocab\":{\"a\":0},\"vocab\":{\"a\":1}", ERR_FORMAT },
        { "", "\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]", ERR_FORMAT },
        { "", "\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a\"]", ERR_FORMAT },
        { "", "\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a a a\"]", ERR_FORMAT },
        { "", "\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[[\"a\"]]", ERR_FORMAT },
        { "", "\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[[\"a\",\"a\",\"a\"]]", ERR_FORMAT },
        { "", "\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[7]", ERR_FORMAT },
        { "", "\"vocab\":{\"a\":0,\"aa\":1},\"merges\":{\"a\":\"a\"}", ERR_FORMAT },
        { "", "\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a a\",\"a a\"]", ERR_OK },
        { "", "\"merges\":[\"a a\"],\"vocab\":{\"a\":0,\"aa\":1}", ERR_OK },
        { "", "\"vocab\":{},\"merges\":[\"#version: 0.2\"]", ERR_OK },
        { "", "\"vocab\":{}", ERR_OK },
        { "", "\"vocab\":{},\"fuse_unk\":1", ERR_FORMAT },
        { "", "\"vocab\":{},\"type\":\"WordLevel\"", ERR_UNSUPPORTED },
        { "", "\"vocab\":{},\"type\":\"WordPiece\"", ERR_FORMAT },
        { "", TEST_TOK_WORDPIECE, ERR_OK },
        { "", TEST_TOK_WORDPIECE ",\"max_input_chars_per_word\":-1", ERR_FORMAT },
        { "", TEST_TOK_WORDPIECE ",\"max_input_chars_per_word\":\"9\"", ERR_FORMAT },
        { "", TEST_TOK_WORDPIECE ",\"max_input_chars_per_word\":1e99", ERR_FORMAT },
        { "\"decoder\":{\"type\":\"WordPiece\"},", TEST_TOK_WORDPIECE, ERR_FORMAT },
        { "", "\"vocab\":{},\"type\":\"Unigram\"", ERR_UNSUPPORTED },
        { "\"model\":{},", "\"vocab\":{}", ERR_FORMAT },
        { "\"normalizer\":{\"type\":\"Precompiled\"},", TEST_TOK_MODEL, ERR_UNSUPPORTED },
        { "\"normalizer\":{\"type\":\"Sequence\"},", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"normalizer\":[],", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},\"content\":\"\"},", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"normalizer\":{\"type\":\"Replace\",\"content\":\"\"},", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"},", TEST_TOK_MODEL, ERR_UNSUPPORTED },
        { "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Odd\"},", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"},", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"post_processor\":{\"type\":\"Odd\"},", TEST_TOK_MODEL, ERR_UNSUPPORTED },
        { "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]},", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}},{\"Sequence\":{}}]},",
            TEST_TOK_MODEL, ERR_FORMAT },
        { "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"a\",-1],\"cls\":[\"b\",1]},", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"decoder\":{\"type\":\"CTC\"},", TEST_TOK_MODEL, ERR_UNSUPPORTED },
        { "\"decoder\":{\"type\":\"Strip\",\"content\":\"x\",\"start\":-1},", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"added_tokens\":[{\"id\":-3,\"content\":\"<x>\"}],", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"added_tokens\":[{\"content\":\"<x>\"}],", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"added_tokens\":[{\"id\":5000000,\"content\":\"<x>\"}],", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"added_tokens\":[3],", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"added_tokens\":{},", TEST_TOK_MODEL, ERR_FORMAT },
        { "\"added_tokens\":null,", TEST_TOK_MODEL, ERR_OK },
        { "\"added_tokens\":[{\"id\":9,\"content\":\"\"}],", TEST_TOK_MODEL, ERR_OK },
        { "\"other\":[[[{}]]],", TEST_TOK_MODEL, ERR_OK },
    };
    struct err e;
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        struct arena a;
        arena_init(&a, TEST_TOK_MEMORY);
        err_clear(&e);
        struct tok *t = test_tok_load(&a, cases[i].members_cstr, cases[i].model_cstr, &e);
        if (e.code != cases[i].code || !t != (e.code != ERR_OK)) {
            test_fail(__FILE__, __LINE__, "{%s model %s} gives code %d (%s), expected %d", cases[i].members_cstr,
                cases[i].model_cstr, (int)e.code, e.msg, (int)cases[i].code);
        }
        arena_release(&a);
    }
}

TEST(tok_refuses_texts_that_are_no_file) {
    static const char *const texts[] = { "", "[]", "{}", "{\"model\":", "{\"model\":{\"vocab\":{\"a\":0", "null", "{\"model\":[]}",
        "{\"model\":{\"vocab\":{},\"merges\":[]}}x" };
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, TEST_TOK_MEMORY);
    for (size_t i = 0; i < MLXK_COUNT(texts); i++) {
        CHECK_ERR(tok_load(&a, str_cstr(texts[i]), true, NULL, &e), e, ERR_FORMAT);
    }
    struct buf deep;                             /* nesting is bounded by the reader */
    buf_init(&deep, 1 << 20);
    buf_add_cstr(&deep, "{\"pre_tokenizer\":");
    for (int i = 0; i < 10000; i++) {
        buf_add_cstr(&deep, "{\"type\":\"Sequence\",\"pretokenizers\":[");
    }
    err_clear(&e);
    CHECK(!tok_load(&a, buf_str(&deep), true, NULL, &e));
    CHECK(e.code == ERR_FORMAT || e.code == ERR_LIMIT);
    buf_reset(&deep);
    buf_add_cstr(&deep, "{\"model\":{\"vocab\":{\"");
    for (int i = 0; i <= TOK_MAX_PIECE; i++) {
        buf_add_char(&deep, 'a');
    }
    buf_add_cstr(&deep, "\":0}}}");
    CHECK_ERR(tok_load(&a, buf_str(&deep), true, NULL, &e), e, ERR_LIMIT);
    buf_release(&deep);
    arena_release(&a);
}

static struct str test_tok_ids_text(struct arena *a, const struct tok *t, struct str text, unsigned flags) {
    struct tok_ids ids;
    struct err e = { 0 };
    struct buf out;
    tok_ids_init(&ids, 1 << 20);
    buf_init(&out, 1 << 20);
    CHECK_OK(tok_encode(t, text, flags, &ids, &e), e);
    for (size_t i = 0; i < ids.n; i++) {
        buf_addf(&out, "%s%d", i ? " " : "", ids.p[i]);
    }
    struct str copy = str_dup(a, buf_str(&out));
    buf_release(&out);
    tok_ids_release(&ids);
    return copy;
}

TEST(tok_added_tokens) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, TEST_TOK_MEMORY);
    struct str config = STR("{\"added_tokens_decoder\":{\"30\":{\"content\":\"<new>\",\"special\":true},"
                            "\"7\":{\"content\":\"<s>\",\"special\":false},\"x\":{\"content\":\"<bad>\"}}}");
    struct str file = test_tok_json(&a, "\"added_tokens\":[{\"id\":7,\"content\":\"<s>\",\"special\":true,\"normalized\":false},"
        "{\"id\":8,\"content\":\"<s>x\",\"normalized\":false},{\"id\":99,\"content\":\"ab\",\"normalized\":false,\"single_word\":true}],",
        TEST_TOK_MODEL);
    struct tok *t = tok_load(&a, file, true, json_parse(&a, config, &e), &e);
    CHECK_OK(t, e);
    CHECK_EQ(t->n_ids, 31);
    CHECK_EQ(tok_find(t, STR("<new>")), 30);
    CHECK_EQ(tok_find(t, STR("<bad>")), -1);
    CHECK_EQ(tok_find(t, STR("ab")), 3);         /* the vocabulary's id wins over the file's 99 */
    CHECK_EQ(tok_find(t, STR("\"")), 6);
    CHECK_STR(tok_text(t, 30), STR("<new>"));
    CHECK_STR(tok_text(t, 6), STR("\""));
    CHECK_STR(tok_text(t, 20), STR_EMPTY);
    CHECK_STR(tok_text(t, -1), STR_EMPTY);
    CHECK_STR(tok_text(t, 31), STR_EMPTY);
    CHECK(tok_is_special(t, 30) && tok_is_special(t, 7) && !tok_is_special(t, 8) && !tok_is_special(t, -1) && !tok_is_special(t, 1000));
    CHECK_STR(test_tok_ids_text(&a, t, STR("a<s>b<s>xc<s"), 0), STR("0 7 1 8 2"));      /* the longest wins */
    CHECK_STR(test_tok_ids_text(&a, t, STR("a<s>b<s>x"), TOK_PLAIN), STR("3 8"));   /* < s > are unknown */
    CHECK_STR(test_tok_ids_text(&a, t, STR("ab abc<new>"), 0), STR("3 4 30"));
    int32_t ids[] = { 0, 7, 30, 8, 1 };
    struct str kept = STR("a <s>x b"), all = STR("a <s> <new> <s>x b");
    test_tok_decodes(t, ids, 5, true, &kept);
    test_tok_decodes(t, ids, 5, false, &all);
    arena_release(&a);
}

/* What a user typed cannot become a control token, what the template wrote stays one. */
TEST(tok_marked_text) {
    static const struct { const char *normalizer_cstr, *normalized_cstr, *ids_cstr; } cases[] = {
        { "null", "false", "7 3 7 2" },
        { "null", "true", "7 3 7 2" },
        { "{\"type\":\"Sequence\",\"normalizers\":[]}", "true", "7 3 7 2" },
        { "{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":\"xx\"}", "true", "7 3 7 2" },
        { "{\"type\":\"NFKC\"}", "true", "7 3 7 2" },
        { "{\"type\":\"Lowercase\"}", "false", "7 3 7 2" },
        { "{\"type\":\"Prepend\",\"prepend\":\"x\"}", "true", "7 4" },
    };
    struct str text = STR("<s>ax<s>x\xEF\xBC\x9Cs>xb<s>c");
    struct tok_range user[] = { { 3, 15 }, { 15, 16 } };
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, TEST_TOK_MEMORY);
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        struct str members = str_format(&a, "\"normalizer\":%s,\"added_tokens\":[{\"id\":7,\"content\":\"<s>\","
            "\"special\":true,\"normalized\":%s}],", cases[i].normalizer_cstr, cases[i].normalized_cstr);
        struct tok *t = test_tok_load(&a, str_dup_cstr(&a, members), TEST_TOK_MODEL, &e);
        struct tok_ids ids;
        tok_ids_init(&ids, 100);
        CHECK_OK(t && tok_encode_marked(t, text, user, 2, &ids, &e), e);
        struct buf out;
        buf_init(&out, 1000);
        for (size_t k = 0; k < ids.n; k++) {
            buf_addf(&out, "%s%d", k ? " " : "", ids.p[k]);
        }
        CHECK_STR(buf_str(&out), str_cstr(cases[i].ids_cstr));
        buf_release(&out);
        tok_ids_release(&ids);
    }
    struct tok *t = test_tok_load(&a, "", TEST_TOK_MODEL, &e);
    struct tok_ids ids;
    tok_ids_init(&ids, 100);
    CHECK_ERR(tok_encode_marked(t, STR("a\xFF"), user, 2, &ids, &e), e, ERR_INVALID);
    tok_ids_release(&ids);
    arena_release(&a);
}

TEST(tok_merges_of_a_file) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, TEST_TOK_MEMORY);
    struct tok *t = test_tok_load(&a, "", TEST_TOK_MODEL, &e);
    CHECK_OK(t, e);
    CHECK_STR(test_tok_ids_text(&a, t, STR("abcabab"), 0), STR("4 3 3"));
    CHECK_STR(test_tok_ids_text(&a, t, STR("xax\xFF" "bc"), 0), STR("4"));   /* unknown: left out */
    /* the later of two equal pairs counts: with rank 2, "b c" comes first */
    t = test_tok_load(&a, "", "\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"bc\":4},\"merges\":[\"a b\",\"b c\",\"a b\"]", &e);
    CHECK_OK(t, e);
    CHECK_STR(test_tok_ids_text(&a, t, STR("abc"), 0), STR("0 4"));
    t = test_tok_load(&a, "", "\"vocab\":{\"a\":0,\"b\":1},\"merges\":[],\"unk_token\":\"?\"", &e);
    CHECK_OK(t, e);
    struct tok_ids ids;
    tok_ids_init(&ids, 8);
    CHECK_ERR(tok_encode(t, STR("abz"), 0, &ids, &e), e, ERR_FORMAT);
    CHECK_EQ(ids.n, 0);
    CHECK_ERR(tok_encode(t, STR("ababababa"), 0, &ids, &e), e, ERR_LIMIT);
    tok_ids_release(&ids);
    arena_release(&a);
}

/* Long texts without any split: sizes at which a quadratic method would be noticed. */
TEST(tok_long_texts) {
    static const char *const models[] = {
        "\"vocab\":{\"a\":0,\"aa\":1,\"aaaa\":2,\"aaaaaaaa\":3},\"merges\":[\"a a\",\"aa aa\",\"aaaa aaaa\"]",
        "\"vocab\":{\"a\":0,\"aa\":1,\"aaaa\":2,\"aaaaaaaa\":3},\"merges\":[\"aaaa aaaa\",\"aa aa\",\"a a\"]",
    };
    struct arena a;
    struct err e = { 0 };
    struct buf text;
    arena_init(&a, TEST_TOK_MEMORY);
    buf_init(&text, 1 << 24);
    for (int i = 0; i < 400000; i++) {
        buf_add_char(&text, 'a');
    }
    for (size_t i = 0; i < MLXK_COUNT(models); i++) {
        struct tok_ids ids;
        struct tok *t = test_tok_load(&a, "", models[i], &e);
        tok_ids_init(&ids, 1 << 20);
        CHECK_OK(t && tok_encode(t, buf_str(&text), 0, &ids, &e), e);
        CHECK_EQ(ids.n, 50000);
        CHECK_EQ(ids.n ? ids.p[ids.n - 1] : -1, 3);
        tok_ids_release(&ids);
    }
    buf_release(&text);
    arena_release(&a);
}

/* One text of the vocabulary is as long as the text, so that every place has 60,000 candidates: the
 * budget ends the work, unless the word is too long to be looked at. */
TEST(tok_wordpiece_gives_up) {
    struct arena a;
    struct err e = { 0 };
    struct buf model, text;
    struct tok_ids ids;
    arena_init(&a, TEST_TOK_MEMORY);
    buf_init(&model, 1 << 24);
    buf_init(&text, 1 << 24);
    tok_ids_init(&ids, 1 << 20);
    for (int i = 0; i < 60000; i++) {
        buf_add_char(&text, 'a');
    }
    for (int limit = 100; limit <= 1000000; limit += 999900) {
        buf_reset(&model);
        buf_addf(&model, "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"?\",\"continuing_subword_prefix\":\"##\","
            "\"max_input_chars_per_word\":%d,\"vocab\":{\"?\":0,\"a\":1,\"##a\":2,\"##%.60000sb\":3}}}", limit, text.p);
        struct tok *t = tok_load(&a, buf_str(&model), false, NULL, &e);
        CHECK_OK(t, e);
        if (limit == 100) {                      /* one word that is too long: unknown at once */
            CHECK_OK(t && tok_encode(t, buf_str(&text), 0, &ids, &e), e);
            CHECK_EQ(ids.n, 1);
            ids.n = 0;
        } else {
            CHECK_ERR(t && tok_encode(t, buf_str(&text), 0, &ids, &e), e, ERR_LIMIT);
            CHECK_EQ(ids.n, 0);
        }
    }
    tok_ids_release(&ids);
    buf_release(&model);
    buf_release(&text);
    arena_release(&a);
}

TEST(tok_decoding_allocates_nothing_per_token) {
    struct arena a;
    struct err e = { 0 };
    struct tok_stream s;
    struct str piece;
    arena_init(&a, TEST_TOK_MEMORY);
    struct tok *t = tok_load(&a, test_tok_file(&a, "golden/tiny-a/_tokenizer/tokenizer.json"), true, NULL, &e);
    CHECK_OK(t, e);
    tok_stream_init(&s, t, true);
    unsigned long before = 0;
    for (int32_t i = 0; i < 3000; i++) {
        if (i == 1000) {
            before = mem_alloc_count();
        }
        CHECK(tok_stream_push(&s, i % 320, &piece, &e));
    }
    CHECK_EQ(mem_alloc_count(), before);
    tok_stream_release(&s);
    arena_release(&a);
}

/* Every allocation fails once: an error, never a crash or a wrong result. */
TEST(tok_runs_out_of_memory) {
    struct arena data;
    struct err e = { 0 };
    arena_init(&data, TEST_TOK_MEMORY);
    const struct json *all = json_parse_large(&data, test_tok_file(&data, "golden/tokenizers/parts.json"), &e);
    const struct json *parts[] = { json_at(all, 1), json_at(all, 15), json_at(all, 18) };
    for (size_t k = 0; all && k < MLXK_COUNT(parts); k++) {
        bool done = false;
        for (long n = 1; !done && n < 2000; n++) {
            struct arena a;
            struct tok_ids ids;
            struct buf out;
            arena_init(&a, TEST_TOK_MEMORY);
            tok_ids_init(&ids, 1000);
            buf_init(&out, 1000);
            err_clear(&e);
            mem_fail_after(n);
            struct tok *t = tok_load(&a, json_get(parts[k], "tokenizer")->string, false, NULL, &e);
            done = t && tok_encode(t, STR("The na\xC3\xAFve cafe\xCC\x81 12 <S>"), 0, &ids, &e) &&
                   tok_decode(t, ids.p, ids.n, false, &out, &e);
            mem_fail_after(0);
            CHECK_EQ(done, e.code == ERR_OK);
            CHECK(done || e.code == ERR_NO_MEMORY || e.code == ERR_LIMIT);
            tok_ids_release(&ids);
            buf_release(&out);
            arena_release(&a);
        }
        CHECK(done);
    }
    CHECK_OK(all, e);
    arena_release(&data);
}

TEST_LIST(tokenizer) {
    T(tok_golden_tiny), T(tok_golden_parts), T(tok_streams_random_ids), T(tok_characters),
    T(tok_word_characters), T(tok_byte_characters_are_a_bijection), T(tok_normal_forms), T(tok_patterns_match), T(tok_patterns_refused),
    T(tok_patterns_give_up), T(tok_refuses_files), T(tok_refuses_texts_that_are_no_file), T(tok_added_tokens),
    T(tok_marked_text), T(tok_merges_of_a_file), T(tok_long_texts), T(tok_wordpiece_gives_up), T(tok_decoding_allocates_nothing_per_token),
    T(tok_runs_out_of_memory), TEST_END
};
