/* rel_tokens_gguf.c: the table of tokens in the keys of a GGUF file.
 *
 * 1. Every key that begins with "tokenizer." is in one of the three hashes, in the special ids or
 *    in the chat templates.
 * ref    GGUF specification, "Tokenizer".
 */
#include "release/rel_int.h"

static uint32_t rel_gguf_flags(int64_t type) {
    switch (type) {
    case 2: return REL_TOKEN_UNKNOWN;
    case 3: return REL_TOKEN_SPECIAL;
    case 4: return REL_TOKEN_ADDED;
    case 5: return REL_TOKEN_UNUSED;
    case 6: return REL_TOKEN_BYTE;
    default: return 0;
    }
}

static bool rel_gguf_table(struct rel_work *w, struct rel_tokens *t, struct err *e) {
    const struct gguf_value *tokens = gguf_find(w->gguf, "tokenizer.ggml.tokens"),
                            *types = gguf_find(w->gguf, "tokenizer.ggml.token_type");
    for (uint64_t i = 0; tokens->strings && i < tokens->n; i++) {
        int64_t type = 1;
        if (types && i < types->n) (void)gguf_item_i64(types, i, &type);
        struct str text = tokens->strings[i];
        if (!rel_tokens_add(w->a, t, (int64_t)i, text.p ? text : STR(""), rel_gguf_flags(type)))
            return err_oom(e, (size_t)i, "a table of tokens");
    }
    return rel_tokens_finish(t, e);
}

/* Merges one a line; without them the scores, as 32-bit floats. */
static void rel_gguf_merges(struct rel_work *w, struct rel_tokens *t) {
    const struct gguf_value *merges = gguf_find(w->gguf, "tokenizer.ggml.merges"),
                            *scores = gguf_find(w->gguf, "tokenizer.ggml.scores");
    struct sha256 s;
    uint8_t digest[32];
    sha256_init(&s);
    if (merges && merges->strings) {
        for (uint64_t i = 0; i < merges->n; i++) {
            sha256_update(&s, merges->strings[i].p, merges->strings[i].n);
            sha256_update(&s, "\n", 1);
        }
    } else if (scores) {
        sha256_update(&s, scores->raw.p, scores->raw.n);
    } else {
        return;
    }
    sha256_final(&s, digest);
    str_hex(t->merges, digest, sizeof digest);
}

/* Keys that have a place of their own. */
static bool rel_gguf_elsewhere(struct str key) {
    static const char *const own[] = {
        "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges",
        "tokenizer.ggml.scores", "tokenizer.chat_template*",  "*_token_id",
    };
    for (size_t i = 0; i < MLXK_COUNT(own); i++)
        if (str_glob(str_cstr(own[i]), key)) return true;
    return false;
}

static bool rel_gguf_pretok(struct rel_work *w, struct rel_tokens *t, struct err *e) {
    struct rel_lines lines = { .arena = w->a };
    char hash[65];
    for (size_t i = 0; i < w->gguf->n_values; i++) {
        const struct gguf_value *v = &w->gguf->values[i];
        if (!str_starts(v->key, STR("tokenizer.")) || rel_gguf_elsewhere(v->key)) continue;
        rel_hash_text(v->raw, hash);
        rel_lines_add_hash(&lines, v->key, STR_EMPTY, hash);
    }
    return rel_lines_hash(&lines, t->pretok, e);
}

MLXK_FN bool rel_tokens_gguf(struct rel_work *w, struct rel_tokens *out, struct err *e) {
    rel_gguf_merges(w, out);
    return rel_gguf_table(w, out, e) && rel_gguf_pretok(w, out, e);
}
