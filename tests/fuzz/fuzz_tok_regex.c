/* fuzz_tok_regex.c: a pattern, a zero byte and a text; the parts found must make up the text again.
 *
 * covers: tokenizer/tok_regex.c tokenizer/tok_regex_code.c
 */
#include "tokenizer/tok_int.h"

int fuzz_tok_regex(const uint8_t *data, size_t size);

static void fuzz_tok_regex_walk(const struct tok_regex *re, struct str text) {
    struct tok_match_stack stack = { 0 };
    struct tok_finder f;
    struct str part;
    struct err e = { 0 };
    size_t at = 0;
    bool match;
    tok_finder_init(&f, re, text, &stack);
    if (stack.steps_left > 200000) {
        stack.steps_left = 200000;               /* keeps a run short; the program allows more */
    }
    while (tok_finder_next(&f, &stack, &part, &match, &e)) {
        MLXK_ASSERT(part.p == text.p + at && part.n <= text.n - at && utf8_valid(part));
        at += part.n;
    }
    MLXK_ASSERT(f.failed ? e.code != ERR_OK : at == text.n);
    tok_match_stack_release(&stack);
}

int fuzz_tok_regex(const uint8_t *data, size_t size) {
    struct arena a;
    struct err e = { 0 };
    struct str all = { (const char *)data, size };
    arena_init(&a, 64 << 20);
    struct str text = all, pattern = str_cut(&text, '\0');
    if (utf8_valid(all)) {
        const struct tok_regex *re = tok_regex_compile(&a, pattern, &e), *plain = tok_regex_literal(&a, pattern, &e);
        MLXK_ASSERT(re || e.code != ERR_OK);
        if (re && text.p) {
            fuzz_tok_regex_walk(re, text);
        }
        if (plain && text.p) {
            fuzz_tok_regex_walk(plain, text);
        }
    }
    arena_release(&a);
    return 0;
}
