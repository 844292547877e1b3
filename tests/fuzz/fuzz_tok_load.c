/* fuzz_tok_load.c: tokenizer.json files; an accepted one encodes a few texts and decodes ids in both ways.
 *
 * covers: tokenizer/tok_load.c tokenizer/tok_parts.c tokenizer/tok_model.c tokenizer/tok_wordpiece.c
 */
#include "tokenizer/tok.h"

int fuzz_tok_load(const uint8_t *data, size_t size);

static void fuzz_tok_decode(const struct tok *t, const int32_t *ids, size_t n, bool skip) {
    struct buf whole, joined;
    struct tok_stream s;
    struct str piece;
    struct err e = { 0 };
    buf_init(&whole, 1 << 22);
    buf_init(&joined, 1 << 22);
    bool ok = tok_decode(t, ids, n, skip, &whole, &e);
    tok_stream_init(&s, t, skip);
    for (size_t i = 0; i < n && ok; i++) {
        ok = tok_stream_push(&s, ids[i], &piece, &e);
        MLXK_ASSERT(!ok || utf8_valid(piece));
        buf_add(&joined, ok ? piece : STR_EMPTY);
    }
    ok = ok && tok_stream_flush(&s, &piece, &e);
    buf_add(&joined, ok ? piece : STR_EMPTY);
    MLXK_ASSERT(!ok || joined.failed || str_eq(buf_str(&joined), buf_str(&whole)));
    tok_stream_release(&s);
    buf_release(&whole);
    buf_release(&joined);
}

int fuzz_tok_load(const uint8_t *data, size_t size) {
    static const struct str texts[] = {
        { "the cat  sat\n\n 12 caf\xC3\xA9 e\xCC\x81 \xE6\x9D\xB1<s>x\xFF<x>", 39 }, { "aaaaaaaaaaaaaaaaaaaaaaaa", 24 },
        { "\xE2\x96\x81" "a b\xF0\x9F\x98\x80", 10 },
    };
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, 64 << 20);
    struct tok *t = tok_load(&a, (struct str){ (const char *)data, size }, true, NULL, &e);
    MLXK_ASSERT((t == NULL) == (e.code != ERR_OK));
    for (size_t i = 0; t && i < MLXK_COUNT(texts); i++) {
        struct tok_ids ids;
        tok_ids_init(&ids, 100000);
        if (tok_encode(t, texts[i], i & 1 ? TOK_PLAIN : TOK_ADD_SPECIAL, &ids, &e)) {
            fuzz_tok_decode(t, ids.p, ids.n, i & 1);
        } else {
            MLXK_ASSERT(ids.n == 0 && e.code != ERR_OK);
        }
        tok_ids_release(&ids);
    }
    int32_t all[64];
    for (int32_t i = 0; i < 64; i++) {
        all[i] = i - 2;
    }
    if (t) {
        fuzz_tok_decode(t, all, 64, false);
    }
    arena_release(&a);
    return 0;
}
