/* tok_model.c: reads the "model" of tokenizer.json: vocabulary and merges (BPE), or vocabulary
 * alone (WordPiece).
 *
 * These are nearly all of the file, so they are streamed: texts stay where they are in the file
 * (those with escapes are copied), and the two tables are made once, at their final size.
 *
 * 1. Ids are below TOK_MAX_VOCAB and texts not longer than TOK_MAX_PIECE; gaps between ids are
 *    tolerated up to what the number of tokens makes plausible (TOK_MODEL_SPARSE).
 * 2. Every merge joins two texts of the vocabulary into a third one that is in it too.
 * 3. Temporary lists are owned blocks released before returning; what stays is in the arena.
 */
#include "tokenizer/tok_int.h"

enum { TOK_MODEL_SPARSE = 64, TOK_MAX_MERGES = 8000000, TOK_MODEL_MAX_AFFIX = 64 };

enum tok_model_key {
    TOK_MODEL_TYPE,
    TOK_MODEL_VOCAB,
    TOK_MODEL_MERGES,
    TOK_MODEL_UNK,
    TOK_MODEL_PREFIX,
    TOK_MODEL_SUFFIX,
    TOK_MODEL_FUSE_UNK,
    TOK_MODEL_BYTE_FALLBACK,
    TOK_MODEL_IGNORE_MERGES,
    TOK_MODEL_MAX_WORD,
    TOK_MODEL_OTHER
};

struct tok_model_entry {
    uint32_t offset, len_flags, id;
};

struct tok_model {
    struct arena *arena;
    struct tok *t;
    struct err *e;
    struct tok_model_entry *entries;
    struct tok_merge *merges;
    size_t n_entries, cap_entries, n_merges, cap_merges;
    struct buf blob, held; /* texts with escapes; left side of a merge while the right is read */
    struct str type, raw_merges;
    size_t max_id;
    char last[128]; /* what the last merge made */
    size_t last_n;
    int32_t last_id;
    bool has_vocab, has_list_vocab, has_merges, has_unk, has_prefix, has_max_word;
};

static bool tok_model_grow(struct tok_model *m, void **list, size_t *cap, size_t size) {
    size_t more = *cap ? *cap * 2 : 4096;
    void *p = mem_realloc(*list, more * size);
    if (!p) return err_oom(m->e, more * size, "tokenizer.json");
    *list = p;
    *cap = more;
    return true;
}

/* ---- vocabulary ------------------------------------------------------------------------------ */

static bool tok_model_add(struct tok_model *m, const struct json_token *text, uint32_t offset,
                          int64_t id) {
    if (id < 0 || id >= TOK_MAX_VOCAB)
        return err_set(m->e, ERR_LIMIT,
                       "tokenizer.json: a token has id %lld, the highest allowed is %d",
                       (long long)id, TOK_MAX_VOCAB - 1);
    if (m->n_entries >= TOK_MAX_VOCAB)
        return err_set(m->e, ERR_LIMIT, "tokenizer.json: more than %d tokens", TOK_MAX_VOCAB);
    if (m->n_entries == m->cap_entries) {
        void *list = m->entries;
        if (!tok_model_grow(m, &list, &m->cap_entries, sizeof *m->entries)) return false;
        m->entries = list;
    }
    uint32_t flags = TOK_PIECE_KNOWN | (text->stable ? 0u : (uint32_t)TOK_PIECE_BLOB);
    m->entries[m->n_entries++] =
        (struct tok_model_entry){ offset, (uint32_t)text->text.n | flags, (uint32_t)id };
    if ((size_t)id > m->max_id) m->max_id = (size_t)id;
    if (text->text.n > m->t->max_piece) m->t->max_piece = text->text.n;
    return true;
}

static bool tok_model_read_vocab(struct tok_model *m, struct json_reader *reader) {
    struct json_token text, number;
    int64_t id;
    if (m->has_vocab)
        return err_set(m->e, ERR_FORMAT, "tokenizer.json: the model has two vocabularies");
    m->has_vocab = true;
    for (;;) {
        if (!json_next(reader, &text, m->e)) return false;
        if (text.kind == JSON_T_OBJECT_END) return true;
        if (text.text.n > TOK_MAX_PIECE)
            return err_set(m->e, ERR_LIMIT,
                           "tokenizer.json: a token of %zu bytes, at most %d are allowed",
                           text.text.n, TOK_MAX_PIECE);
        size_t offset = text.stable ? (size_t)(text.text.p - m->t->json.p) : m->blob.n;
        if (!text.stable) /* before the next read takes the text away */
            buf_add(&m->blob, text.text);
        if (!json_next(reader, &number, m->e)) return false;
        if (!json_token_i64(&number, &id))
            return err_set(m->e, ERR_FORMAT,
                           "tokenizer.json: the token at byte %zu has no integer id",
                           text.offset_bytes);
        if (!tok_model_add(m, &text, (uint32_t)offset, id)) return false;
    }
}

/* Puts an entry into the table; of two equal texts the later one wins. */
static void tok_model_put(struct tok *t, const struct tok_model_entry *entry) {
    t->pieces[entry->id] = (struct tok_piece){ entry->offset, entry->len_flags };
    struct str text = tok_piece_text(t, (int32_t)entry->id);
    uint64_t h = tok_hash(t, text.p, text.n);
    size_t i = h & t->vocab_mask;
    for (; t->vocab[i].id1; i = (i + 1) & t->vocab_mask)
        if (t->vocab[i].hash_high == (uint32_t)(h >> 32) &&
            str_eq(tok_piece_text(t, (int32_t)(t->vocab[i].id1 - 1)), text))
            break;
    t->vocab[i] = (struct tok_vocab_slot){ (uint32_t)h, (uint32_t)(h >> 32), entry->id + 1 };
}

/* Smallest power of two with room for n entries at two thirds. */
static size_t tok_table_size(size_t n) {
    size_t size = 16;
    while (size * 2 / 3 <= n) size *= 2;
    return size;
}

static bool tok_model_index(struct tok_model *m) {
    struct tok *t = m->t;
    t->n_ids = m->n_entries ? m->max_id + 1 : 0;
    if (t->n_ids > 65536 && t->n_ids / TOK_MODEL_SPARSE > m->n_entries)
        return err_set(m->e, ERR_FORMAT, "tokenizer.json: %zu tokens, but ids up to %zu",
                       m->n_entries, m->max_id);
    if (!buf_ok(&m->blob, "tokenizer.json", m->e)) return false;
    size_t size = tok_table_size(m->n_entries);
    struct str blob = str_dup(m->arena, buf_str(&m->blob));
    t->blob = blob.p ? blob.p : "";
    t->pieces = ARENA_ARRAY(m->arena, struct tok_piece, t->n_ids);
    t->vocab = ARENA_ARRAY(m->arena, struct tok_vocab_slot, size);
    if (!t->pieces || !t->vocab || (m->blob.n && !blob.p))
        return err_oom(m->e, size * sizeof *t->vocab, "the vocabulary");
    t->vocab_mask = size - 1;
    for (size_t i = 0; i < m->n_entries; i++) tok_model_put(t, &m->entries[i]);
    return true;
}

/* ---- merges ---------------------------------------------------------------------------------- */

/* Id of left + right. Files that list every way to make a token list them one after the other. */
static int32_t tok_model_whole(struct tok_model *m, struct str left, struct str right) {
    struct str last = { m->last, m->last_n };
    if (left.n + right.n > sizeof m->last) {
        struct str whole = str_concat(m->arena, left, right);
        return whole.p ? tok_vocab_find_hashed(m->t, whole) : TOK_NO_ID;
    }
    if (last.n != left.n + right.n || !str_starts(last, left) || !str_ends(last, right)) {
        if (left.n) memcpy(m->last, left.p, left.n);
        if (right.n) memcpy(m->last + left.n, right.p, right.n);
        m->last_n = last.n = left.n + right.n;
        m->last_id = tok_vocab_find_hashed(m->t, last);
    }
    return m->last_id;
}

/* Notes what merges across a place where a word begins. A side that stands for other text (an
 * unknown or a byte token, "<...>") spoils the rule. */
static void tok_model_note_mark(struct tok *t, struct str left, struct str right) {
    if (left.n == 0 || !str_starts(right, TOK_SPACE_MARK)) return;
    uint8_t last = (uint8_t)left.p[left.n - 1];
    t->joins_mark[last / 64] |= 1ull << last % 64;
    if (left.n > 1 && last == '>') t->cuts_at_mark = false;
}

/* One merge: the ids of both sides and of what they make. */
static bool tok_model_merge(struct tok_model *m, struct str left, struct str right, size_t offset) {
    const struct tok *t = m->t;
    struct str tail =
        str_starts(right, t->subword_prefix) ? str_sub(right, t->subword_prefix.n, right.n) : right;
    if (m->n_merges >= TOK_MAX_MERGES)
        return err_set(m->e, ERR_LIMIT, "tokenizer.json: more than %d merges", TOK_MAX_MERGES);
    if (m->n_merges == m->cap_merges) {
        void *list = m->merges;
        if (!tok_model_grow(m, &list, &m->cap_merges, sizeof *m->merges)) return false;
        m->merges = list;
    }
    int32_t a = tok_vocab_find_hashed(t, left), b = tok_vocab_find_hashed(t, right),
            c = tok_model_whole(m, left, tail);
    if (a < 0 || b < 0 || c < 0)
        return err_set(
            m->e, ERR_FORMAT,
            "tokenizer.json: the merge at byte %zu uses a text that is not in the vocabulary",
            offset);
    tok_model_note_mark(m->t, left, tail);
    m->merges[m->n_merges] =
        (struct tok_merge){ (uint32_t)a, (uint32_t)b, (uint32_t)m->n_merges + 1, c };
    m->n_merges++;
    return true;
}

/* "left right", or ["left", "right"]. */
static bool tok_model_read_merge(struct tok_model *m, struct json_reader *reader,
                                 const struct json_token *first) {
    struct json_token t = *first;
    if (t.kind == JSON_T_STRING) {
        struct str right = t.text, left = str_cut(&right, ' ');
        if (!right.p || str_find_char(right, ' ') >= 0)
            return err_set(m->e, ERR_FORMAT,
                           "tokenizer.json: the merge at byte %zu is not two texts",
                           t.offset_bytes);
        return tok_model_merge(m, left, right, t.offset_bytes);
    }
    if (t.kind != JSON_T_ARRAY)
        return err_set(m->e, ERR_FORMAT,
                       "tokenizer.json: the merge at byte %zu is neither text nor pair",
                       t.offset_bytes);
    if (!json_expect(reader, JSON_T_STRING, &t, m->e)) return false;
    struct str left = t.text;
    if (!t.stable) {
        buf_reset(&m->held);
        buf_add(&m->held, left);
        if (!buf_ok(&m->held, "a merge", m->e)) return false;
        left = buf_str(&m->held);
    }
    return json_expect(reader, JSON_T_STRING, &t, m->e) &&
           tok_model_merge(m, left, t.text, t.offset_bytes) &&
           json_expect(reader, JSON_T_ARRAY_END, &t, m->e);
}

/* The list behind its opening bracket. Lines "#version ..." of older files do not count. */
static bool tok_model_read_merges(struct tok_model *m, struct json_reader *reader) {
    struct json_token t;
    while (json_next(reader, &t, m->e)) {
        if (t.kind == JSON_T_ARRAY_END) return true;
        if (t.kind == JSON_T_STRING && str_starts(t.text, STR("#version"))) continue;
        if (!tok_model_read_merge(m, reader, &t)) return false;
    }
    return false;
}

/* The list as a text of its own, when it came before the vocabulary. */
static bool tok_model_later_merges(struct tok_model *m) {
    struct json_reader reader;
    struct json_token t;
    json_reader_init(&reader, m->raw_merges, LIMIT_JSON_DEPTH);
    bool ok = json_expect(&reader, JSON_T_ARRAY, &t, m->e) && tok_model_read_merges(m, &reader);
    json_reader_release(&reader);
    return ok;
}

static bool tok_model_index_merges(struct tok_model *m) {
    struct tok *t = m->t;
    size_t size = tok_table_size(m->n_merges);
    t->merges = ARENA_ARRAY(m->arena, struct tok_merge, size);
    if (!t->merges) return err_oom(m->e, size * sizeof *t->merges, "the merges");
    t->merge_mask = size - 1;
    for (size_t i = 0; i < m->n_merges; i++) {
        const struct tok_merge *from = &m->merges[i];
        size_t slot = (size_t)(tok_merge_find(t, from->left, from->right) - t->merges);
        t->merges[slot] = *from;
    }
    return true;
}

/* ---- the object ------------------------------------------------------------------------------ */

static bool tok_model_text(struct tok_model *m, struct json_reader *reader, size_t max,
                           struct str *out) {
    struct json_token t;
    if (!json_next(reader, &t, m->e)) return false;
    if (t.kind == JSON_T_NULL) return true;
    if (t.kind != JSON_T_STRING || t.text.n > max)
        return err_set(m->e, ERR_FORMAT,
                       "tokenizer.json: a text of at most %zu bytes is wanted at byte %zu", max,
                       t.offset_bytes);
    *out = str_dup(m->arena, t.text);
    return out->p || t.text.n == 0 || err_oom(m->e, t.text.n, "tokenizer.json");
}

static bool tok_model_flag(struct tok_model *m, struct json_reader *reader, bool *out) {
    struct json_token t;
    if (!json_next(reader, &t, m->e)) return false;
    if (t.kind != JSON_T_TRUE && t.kind != JSON_T_FALSE && t.kind != JSON_T_NULL)
        return err_set(m->e, ERR_FORMAT, "tokenizer.json: true or false is wanted at byte %zu",
                       t.offset_bytes);
    *out = t.kind == JSON_T_TRUE;
    return true;
}

static bool tok_model_max_word(struct tok_model *m, struct json_reader *reader) {
    struct json_token t;
    if (!json_next(reader, &t, m->e)) return false;
    m->has_max_word = json_token_i64(&t, &m->t->max_word) && m->t->max_word >= 0;
    return m->has_max_word ||
           err_set(m->e, ERR_FORMAT,
                   "tokenizer.json: max_input_chars_per_word is not a count at byte %zu",
                   t.offset_bytes);
}

static bool tok_model_vocab_value(struct tok_model *m, struct json_reader *reader) {
    struct json_token t;
    if (!json_next(reader, &t, m->e)) return false;
    if (t.kind == JSON_T_OBJECT) return tok_model_read_vocab(m, reader) && tok_model_index(m);
    m->has_list_vocab = t.kind == JSON_T_ARRAY; /* Unigram: [[piece, score], ...] */
    if (!m->has_list_vocab)
        return err_set(m->e, ERR_FORMAT, "tokenizer.json: the vocabulary is not an object");
    for (size_t depth = 1; depth > 0;) {
        if (!json_next(reader, &t, m->e)) return false;
        depth += t.kind == JSON_T_ARRAY || t.kind == JSON_T_OBJECT;
        depth -= t.kind == JSON_T_ARRAY_END || t.kind == JSON_T_OBJECT_END;
    }
    return true;
}

static bool tok_model_merges_value(struct tok_model *m, struct json_reader *reader) {
    struct json_token t;
    m->has_merges = true;
    if (!m->has_vocab) return json_skip(reader, &m->raw_merges, m->e);
    return json_expect(reader, JSON_T_ARRAY, &t, m->e) && tok_model_read_merges(m, reader);
}

static bool tok_model_unsupported(struct tok_model *m, struct str type) {
    err_set(m->e, ERR_UNSUPPORTED,
            "tokenizer.json: tokenizers of type " STR_FMT " are not supported", STR_ARG(type));
    return err_hint(m->e, "use a model whose tokenizer is of type BPE or WordPiece");
}

static bool tok_model_type(struct tok_model *m, struct json_reader *reader) {
    if (!tok_model_text(m, reader, TOK_MODEL_MAX_AFFIX, &m->type)) return false;
    return m->type.n == 0 || str_eq_cstr(m->type, "BPE") || str_eq_cstr(m->type, "WordPiece") ||
           tok_model_unsupported(m, m->type);
}

static bool tok_model_member(struct tok_model *m, struct json_reader *reader,
                             enum tok_model_key key) {
    struct tok *t = m->t;
    switch (key) {
    case TOK_MODEL_TYPE: return tok_model_type(m, reader);
    case TOK_MODEL_VOCAB: return tok_model_vocab_value(m, reader);
    case TOK_MODEL_MERGES: return tok_model_merges_value(m, reader);
    case TOK_MODEL_UNK:
        m->has_unk = true;
        return tok_model_text(m, reader, TOK_MAX_PIECE, &t->unk_token);
    case TOK_MODEL_PREFIX:
        m->has_prefix = true;
        return tok_model_text(m, reader, TOK_MODEL_MAX_AFFIX, &t->subword_prefix);
    case TOK_MODEL_SUFFIX: return tok_model_text(m, reader, TOK_MODEL_MAX_AFFIX, &t->word_suffix);
    case TOK_MODEL_FUSE_UNK: return tok_model_flag(m, reader, &t->fuse_unk);
    case TOK_MODEL_BYTE_FALLBACK: return tok_model_flag(m, reader, &t->byte_fallback);
    case TOK_MODEL_IGNORE_MERGES: return tok_model_flag(m, reader, &t->ignore_merges);
    case TOK_MODEL_MAX_WORD: return tok_model_max_word(m, reader);
    default: return json_skip(reader, NULL, m->e);
    }
}

static enum tok_model_key tok_model_key_of(struct str key) {
    static const char *const names[] = { "type",
                                         "vocab",
                                         "merges",
                                         "unk_token",
                                         "continuing_subword_prefix",
                                         "end_of_word_suffix",
                                         "fuse_unk",
                                         "byte_fallback",
                                         "ignore_merges",
                                         "max_input_chars_per_word" };
    size_t i = 0;
    while (i < MLXK_COUNT(names) && !str_eq_cstr(key, names[i])) i++;
    return (enum tok_model_key)i;
}

static bool tok_model_read(struct tok_model *m, struct json_reader *reader) {
    struct json_token t;
    if (!json_expect(reader, JSON_T_OBJECT, &t, m->e)) return false;
    for (;;) {
        if (!json_next(reader, &t, m->e)) return false;
        if (t.kind == JSON_T_OBJECT_END) break;
        enum tok_model_key key = tok_model_key_of(t.text);
        if (key == TOK_MODEL_PREFIX && m->n_merges)
            return err_set(m->e, ERR_FORMAT,
                           "tokenizer.json: continuing_subword_prefix stands behind the merges");
        if (!tok_model_member(m, reader, key)) return false;
    }
    if (m->type.n == 0 && m->has_list_vocab) return tok_model_unsupported(m, STR("Unigram"));
    if (!m->has_vocab)
        return err_set(m->e, ERR_FORMAT, "tokenizer.json: the model has no vocabulary");
    bool untyped = m->type.n == 0 && !m->has_merges, whole = m->has_unk && m->has_prefix &&
                                                             m->has_max_word;
    if (untyped && !whole) return tok_model_unsupported(m, STR("WordLevel"));
    m->t->wordpiece = untyped || str_eq_cstr(m->type, "WordPiece");
    if (m->t->wordpiece && !whole)
        return err_set(m->e, ERR_FORMAT, "tokenizer.json: the WordPiece model lacks %s",
                       !m->has_unk      ? "unk_token"
                       : !m->has_prefix ? "continuing_subword_prefix"
                                        : "max_input_chars_per_word");
    return (!m->raw_merges.p || tok_model_later_merges(m)) && tok_model_index_merges(m);
}

/* Ids that encoding asks for again and again. */
static void tok_model_shortcuts(struct tok *t) {
    static const char digits[] = "0123456789ABCDEF";
    for (unsigned b = 0; b < 256; b++) {
        char text[8] = "<0x00>";
        text[3] = digits[b >> 4];
        text[4] = digits[b & 15];
        t->fallback_id[b] = tok_vocab_find(t, str_cstr(text));
        t->byte_id[b] = tok_vocab_find(
            t, (struct str){ text, utf8_encode(text, tok_byte_to_char((uint8_t)b)) });
        text[0] = (char)b;
        if (b < 128) t->char_id[b] = tok_vocab_find(t, (struct str){ text, 1 });
    }
}

MLXK_FN bool tok_read_model(struct arena *a, struct tok *t, struct json_reader *reader,
                            struct err *e) {
    struct tok_model m = { .arena = a, .t = t, .e = e, .last_id = TOK_NO_ID };
    buf_init(&m.blob, LIMIT_JSON_FILE);
    buf_init(&m.held, LIMIT_JSON_FILE);
    t->cuts_at_mark = true;
    bool ok = tok_model_read(&m, reader);
    mem_free(m.entries);
    mem_free(m.merges);
    buf_release(&m.blob);
    buf_release(&m.held);
    if (!ok) return false;
    tok_model_shortcuts(t);
    t->cuts_at_mark = t->cuts_at_mark && !t->subword_prefix.n && !t->word_suffix.n &&
                      !t->ignore_merges && tok_vocab_find(t, TOK_SPACE_MARK) >= 0;
    return true;
}
