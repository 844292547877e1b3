/* rel_tokens.c: the table of tokens of a model, whatever file it is in, as three hashes.
 *
 *   table    lines "id TAB bytes in hex TAB flags", sorted by id
 *   merges   merges or scores, one a line, in their order
 *   pretok   canonical JSON of what happens to text before and after the table
 *
 * tokenizer.json may have tens of megabytes: it is read as a stream, and its texts are borrowed.
 *
 * 1. White space, order of members and the spelling of merges ("a b" or ["a", "b"]) change nothing.
 * 2. What of tokenizer.json these three leave out is handed on (rest), so that no byte that means
 *    something is lost.
 */
#include "release/rel_int.h"

#define REL_MAX_TOKENS ((size_t)4000000)

/* ---- the table ---- */

MLXK_FN bool rel_tokens_add(struct arena *a, struct rel_tokens *t, int64_t id, struct str text,
                            uint32_t flags) {
    if (t->n == REL_MAX_TOKENS) return false;
    struct rel_token *grown = ARENA_GROW(a, struct rel_token, t->items, t->n, &t->cap, 4096);
    if (!grown) return false;
    t->items = grown;
    t->items[t->n++] = (struct rel_token){ id, text, flags };
    return true;
}

static int rel_token_compare(const struct rel_token *x, const struct rel_token *y) {
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return str_cmp(x->text, y->text);
}

static void rel_tokens_sort(struct rel_token *p, size_t n) {
    for (size_t gap = n / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11)
        for (size_t i = gap; i < n; i++) {
            struct rel_token x = p[i];
            size_t k = i;
            for (; k >= gap && rel_token_compare(&p[k - gap], &x) > 0; k -= gap) p[k] = p[k - gap];
            p[k] = x;
        }
}

static void rel_token_line(struct buf *b, const struct rel_token *t) {
    static const char letters[] = "aslrwnbux";
    static const char digits[] = "0123456789abcdef";
    buf_addf(b, "%lld\t", (long long)t->id);
    for (size_t i = 0; i < t->text.n; i++) {
        unsigned char c = (unsigned char)t->text.p[i];
        buf_add_char(b, digits[c >> 4]);
        buf_add_char(b, digits[c & 15]);
    }
    buf_add_char(b, '\t');
    for (size_t i = 0; letters[i]; i++)
        if (t->flags >> i & 1) buf_add_char(b, letters[i]);
    buf_add_char(b, '\n');
}

static void rel_tokens_digest(struct sha256 *s, char out[65]) {
    uint8_t digest[32];
    sha256_final(s, digest);
    str_hex(out, digest, sizeof digest);
}

MLXK_FN bool rel_tokens_finish(struct rel_tokens *t, struct err *e) {
    struct sha256 s;
    struct buf line;
    size_t n = 0;
    if (!t->n) return true;
    rel_tokens_sort(t->items, t->n);
    for (size_t i = 0; i < t->n; i++) {
        bool again = n && !rel_token_compare(&t->items[n - 1], &t->items[i]);
        if (again) t->items[n - 1].flags |= t->items[i].flags;
        else t->items[n++] = t->items[i];
    }
    t->n = n;
    sha256_init(&s);
    buf_init(&line, LIMIT_JSON_FILE);
    for (size_t i = 0; i < n; i++) {
        buf_reset(&line);
        rel_token_line(&line, &t->items[i]);
        sha256_update(&s, line.p, line.n);
    }
    bool ok = buf_ok(&line, "a table of tokens", e);
    buf_release(&line);
    rel_tokens_digest(&s, t->table);
    return ok;
}

MLXK_FN int64_t rel_tokens_find(const struct rel_tokens *t, struct str text) {
    for (size_t i = 0; text.n && i < t->n; i++)
        if (str_eq(t->items[i].text, text)) return t->items[i].id;
    return -1;
}

/* ---- tokenizer.json, streamed ---- */

struct rel_stream {
    struct arena *a;
    struct rel_tokens *t;
    struct json_reader r;
    struct sha256 merges; bool has_merges;
    struct buf pretok, rest, line;   /* members as JSON text: "key":value, */
    struct err *e;
};

static struct str rel_stream_keep(struct rel_stream *s, const struct json_token *t) {
    if (t->stable) return t->text.p ? t->text : STR("");
    struct str copy = str_dup(s->a, t->text);
    return copy.p ? copy : STR("");
}

static bool rel_stream_token(struct rel_stream *s, int64_t id, struct str text, uint32_t flags) {
    return rel_tokens_add(s->a, s->t, id, text, flags)
           || err_set(s->e, ERR_LIMIT, "more than %zu tokens, or no memory for them",
                      REL_MAX_TOKENS);
}

/* { "piece": id, ... } */
static bool rel_stream_vocab_object(struct rel_stream *s) {
    struct json_token t;
    for (;;) {
        int64_t id;
        if (!json_next(&s->r, &t, s->e)) return false;
        if (t.kind == JSON_T_OBJECT_END) return true;
        struct str text = rel_stream_keep(s, &t);
        if (!json_expect(&s->r, JSON_T_NUMBER, &t, s->e)) return false;
        if (!json_token_i64(&t, &id))
            return err_set(s->e, ERR_FORMAT, "a token's id is no integer");
        if (!rel_stream_token(s, id, text, 0)) return false;
    }
}

/* [ ["piece", score], ... ]: scores take the place of merges. */
static bool rel_stream_vocab_array(struct rel_stream *s) {
    struct json_token t;
    for (int64_t id = 0;; id++) {
        if (!json_next(&s->r, &t, s->e)) return false;
        if (t.kind == JSON_T_ARRAY_END) return true;
        if (t.kind != JSON_T_ARRAY) return err_set(s->e, ERR_FORMAT, "a token is no pair");
        if (!json_expect(&s->r, JSON_T_STRING, &t, s->e)) return false;
        if (!rel_stream_token(s, id, rel_stream_keep(s, &t), 0)) return false;
        double score;
        char text[32];
        if (!json_expect(&s->r, JSON_T_NUMBER, &t, s->e)) return false;
        if (!num_parse_f64(t.text, &score))
            return err_set(s->e, ERR_FORMAT, "a token's score is no number");
        size_t n = num_format_f64(text, score);
        sha256_update(&s->merges, text, n);
        sha256_update(&s->merges, "\n", 1);
        s->has_merges = true;
        if (!json_expect(&s->r, JSON_T_ARRAY_END, &t, s->e)) return false;
    }
}

static bool rel_stream_vocab(struct rel_stream *s) {
    struct json_token t;
    if (!json_next(&s->r, &t, s->e)) return false;
    if (t.kind == JSON_T_OBJECT) return rel_stream_vocab_object(s);
    if (t.kind == JSON_T_ARRAY) return rel_stream_vocab_array(s);
    return err_set(s->e, ERR_FORMAT, "the vocabulary is neither a list nor an object");
}

/* "a b" or ["a", "b"] */
static bool rel_stream_merges(struct rel_stream *s) {
    struct json_token t;
    if (!json_next(&s->r, &t, s->e)) return false;
    if (t.kind == JSON_T_NULL) return true;
    if (t.kind != JSON_T_ARRAY) return err_set(s->e, ERR_FORMAT, "the merges are no list");
    for (;;) {
        if (!json_next(&s->r, &t, s->e)) return false;
        if (t.kind == JSON_T_ARRAY_END) return true;
        if (t.kind == JSON_T_STRING) {
            sha256_update(&s->merges, t.text.p, t.text.n);
        } else if (t.kind == JSON_T_ARRAY) {
            for (int part = 0; part < 2; part++) {
                if (!json_expect(&s->r, JSON_T_STRING, &t, s->e)) return false;
                if (part) sha256_update(&s->merges, " ", 1);
                sha256_update(&s->merges, t.text.p, t.text.n);
            }
            if (!json_expect(&s->r, JSON_T_ARRAY_END, &t, s->e)) return false;
        } else {
            return err_set(s->e, ERR_FORMAT, "a merge is neither a text nor a pair");
        }
        sha256_update(&s->merges, "\n", 1);
        s->has_merges = true;
    }
}

static bool rel_stream_member(struct rel_stream *s, struct buf *to, struct str key) {
    struct str raw;
    struct json_writer w;
    json_write_init(&w, &s->line, false, false);
    buf_reset(&s->line);
    json_write_str(&w, key);
    if (!json_skip(&s->r, &raw, s->e)) return false;
    buf_addf(to, "%s" STR_FMT ":", to->n ? "," : "", STR_ARG(buf_str(&s->line)));
    buf_add(to, raw);
    return true;
}

static bool rel_stream_model(struct rel_stream *s) {
    struct json_token t;
    struct buf others;
    if (!json_expect(&s->r, JSON_T_OBJECT, &t, s->e)) return false;
    buf_init(&others, LIMIT_JSON_FILE);
    bool ok = true, end = false;
    while (ok && !end) {
        ok = json_next(&s->r, &t, s->e);
        end = ok && t.kind == JSON_T_OBJECT_END;
        if (!ok || end) break;
        if (str_eq(t.text, STR("vocab"))) ok = rel_stream_vocab(s);
        else if (str_eq(t.text, STR("merges"))) ok = rel_stream_merges(s);
        else {
            struct str key = str_dup(s->a, t.text);
            ok = rel_stream_member(s, &others, key);
        }
    }
    buf_addf(&s->pretok, "%s\"model\":{", s->pretok.n ? "," : "");
    buf_add(&s->pretok, buf_str(&others));
    buf_add_char(&s->pretok, '}');
    ok = ok && buf_ok(&others, "a tokenizer", s->e);
    buf_release(&others);
    return ok;
}

static uint32_t rel_token_flags(const struct json *v) {
    static const struct { const char *key_cstr; uint32_t flag; } rows[] = {
        { "special", REL_TOKEN_SPECIAL },     { "lstrip", REL_TOKEN_LSTRIP },
        { "rstrip", REL_TOKEN_RSTRIP },       { "single_word", REL_TOKEN_WORD },
        { "normalized", REL_TOKEN_NORMALIZED },
    };
    uint32_t flags = REL_TOKEN_ADDED;
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        const struct json *m = json_get(v, rows[i].key_cstr);
        if (json_is(m, JSON_BOOL) && m->boolean) flags |= rows[i].flag;
    }
    return flags;
}

static bool rel_stream_added(struct rel_stream *s) {
    struct str raw;
    if (!json_skip(&s->r, &raw, s->e)) return false;
    const struct json *list = json_parse_lenient(s->a, raw, s->e);
    if (!list) return false;
    for (const struct json *v = json_is(list, JSON_ARRAY) ? list->child : NULL; v; v = v->next) {
        const struct json *id = json_get(v, "id"), *text = json_get(v, "content");
        if (!json_is(id, JSON_INT) || !json_is(text, JSON_STRING)) continue;
        if (!rel_stream_token(s, id->integer, text->string, rel_token_flags(v))) return false;
    }
    return true;
}

static bool rel_stream_key(struct rel_stream *s, struct str key) {
    static const char *const around[] = { "normalizer", "pre_tokenizer", "post_processor",
                                          "decoder" };
    if (str_eq(key, STR("added_tokens"))) return rel_stream_added(s);
    if (str_eq(key, STR("model"))) return rel_stream_model(s);
    if (str_eq(key, STR("version"))) return json_skip(&s->r, NULL, s->e);
    for (size_t i = 0; i < MLXK_COUNT(around); i++)
        if (str_eq_cstr(key, around[i])) return rel_stream_member(s, &s->pretok, key);
    return rel_stream_member(s, &s->rest, key);
}

static bool rel_stream_all(struct rel_stream *s) {
    struct json_token t;
    if (!json_expect(&s->r, JSON_T_OBJECT, &t, s->e)) return false;
    for (;;) {
        if (!json_next(&s->r, &t, s->e)) return false;
        if (t.kind == JSON_T_OBJECT_END) break;
        struct str key = str_dup(s->a, t.text);
        if (!rel_stream_key(s, key)) return false;
    }
    return json_expect(&s->r, JSON_T_END, &t, s->e);
}

/* Members as text -> hash of the canonical object. */
static bool rel_stream_close(struct rel_stream *s, struct buf *members, char out[65],
                             struct str *text) {
    struct str whole = STR_EMPTY;
    if (!buf_ok(members, "a tokenizer", s->e)) return false;
    if (members->n) whole = str_format(s->a, "{" STR_FMT "}", STR_ARG(buf_str(members)));
    if (text) *text = whole;
    if (!whole.n || !out) return whole.n || !members->n || err_oom(s->e, members->n, "a tokenizer");
    const struct json *v = json_parse_lenient(s->a, whole, s->e);
    return v && rel_hash_json(v, NULL, out, s->e);
}

static bool rel_tokens_json(struct rel_work *w, const struct rel_file *f, struct rel_tokens *t,
                            struct err *e) {
    struct rel_stream s = { .a = w->a, .t = t, .e = e };
    struct str text = rel_work_text(w, f, LIMIT_JSON_FILE, e);
    if (!text.p) return false;
    json_reader_init(&s.r, text, LIMIT_JSON_DEPTH);
    sha256_init(&s.merges);
    buf_init(&s.pretok, LIMIT_JSON_FILE);
    buf_init(&s.rest, LIMIT_JSON_FILE);
    buf_init(&s.line, LIMIT_JSON_FILE);
    bool ok = rel_stream_all(&s) && rel_stream_close(&s, &s.pretok, t->pretok, NULL)
              && rel_stream_close(&s, &s.rest, NULL, &t->rest);
    if (s.has_merges) rel_tokens_digest(&s.merges, t->merges);
    json_reader_release(&s.r);
    buf_release(&s.pretok);
    buf_release(&s.rest);
    buf_release(&s.line);
    t->from_json = true;
    t->sources[t->n_sources++] = "tokenizer.json";
    return ok || err_context(e, "tokenizer.json: ");
}

/* ---- older files ---- */

static bool rel_tokens_object(struct rel_work *w, const char *path_cstr, uint32_t flags,
                              struct rel_tokens *t, struct err *e) {
    const struct rel_file *f = rel_state_find(w->s, path_cstr);
    struct str text = f ? rel_work_text(w, f, LIMIT_JSON_FILE, e) : STR_EMPTY;
    if (!f) return true;
    const struct json *v = text.p ? json_parse_lenient(w->a, text, e) : NULL;
    if (!v) return err_context(e, "%s: ", path_cstr);
    for (const struct json *m = json_is(v, JSON_OBJECT) ? v->child : NULL; m; m = m->next)
        if (json_is(m, JSON_INT) && !rel_tokens_add(w->a, t, m->integer, m->key, flags))
            return err_oom(e, t->n, "a table of tokens");
    t->sources[t->n_sources++] = path_cstr;
    return true;
}

/* One token a line. */
static bool rel_tokens_lines(struct rel_work *w, struct rel_tokens *t, struct err *e) {
    const struct rel_file *f = rel_state_find(w->s, "vocab.txt");
    if (!f) return true;
    struct str text = rel_work_text(w, f, LIMIT_JSON_FILE, e);
    if (!text.p) return false;
    for (int64_t id = 0; text.p && text.n; id++) {
        struct str line = str_cut(&text, '\n');
        if (str_ends(line, STR("\r"))) line = str_sub(line, 0, line.n - 1);
        if (!rel_tokens_add(w->a, t, id, line.p ? line : STR(""), 0))
            return err_oom(e, t->n, "a table of tokens");
    }
    t->sources[t->n_sources++] = "vocab.txt";
    return true;
}

static bool rel_tokens_merges_file(struct rel_work *w, struct rel_tokens *t, struct err *e) {
    const struct rel_file *f = rel_state_find(w->s, "merges.txt");
    struct sha256 s;
    if (!f) return true;
    struct str text = rel_work_text(w, f, LIMIT_JSON_FILE, e);
    if (!text.p) return false;
    sha256_init(&s);
    for (bool first = true; text.p && text.n; first = false) {
        struct str line = str_cut(&text, '\n');
        if (str_ends(line, STR("\r"))) line = str_sub(line, 0, line.n - 1);
        if (!line.n || (first && str_starts(line, STR("#version")))) continue;
        sha256_update(&s, line.p, line.n);
        sha256_update(&s, "\n", 1);
    }
    rel_tokens_digest(&s, t->merges);
    t->sources[t->n_sources++] = "merges.txt";
    return true;
}

/* Formats that are one piece: the file's own hash stands for the table. */
static void rel_tokens_opaque(struct rel_work *w, struct rel_tokens *t) {
    for (size_t i = 0; !t->table[0] && i < w->s->n; i++) {
        const struct rel_file *f = &w->s->files[i];
        if (!str_eq(f->path, STR("tokenizer.model")) && !str_ends(f->path, STR(".tiktoken")))
            continue;
        memcpy(t->table, f->sha256, 65);
        char *path = str_dup_cstr(w->a, f->path);
        if (path) t->sources[t->n_sources++] = path;
    }
}

/* tokenizer_config.json adds tokens that the table lacks. */
static bool rel_tokens_config(struct rel_work *w, struct rel_tokens *t, struct err *e) {
    const struct json *more = json_get(w->tokenizer_config, "added_tokens_decoder");
    for (const struct json *m = json_is(more, JSON_OBJECT) ? more->child : NULL; m; m = m->next) {
        const struct json *text = json_get(m, "content");
        int64_t id;
        if (!json_is(text, JSON_STRING) || !num_parse_i64(m->key, 0, INT32_MAX, &id)) continue;
        if (!rel_tokens_add(w->a, t, id, text->string, rel_token_flags(m)))
            return err_oom(e, t->n, "a table of tokens");
    }
    return true;
}

MLXK_FN bool rel_tokens_read(struct rel_work *w, struct rel_tokens *out, struct err *e) {
    const struct rel_file *f = rel_state_find(w->s, "tokenizer.json");
    *out = (struct rel_tokens){ 0 };
    bool ok;
    if (f) ok = rel_tokens_json(w, f, out, e);
    else if (rel_state_find(w->s, "vocab.json"))
        ok = rel_tokens_object(w, "vocab.json", 0, out, e)
             && rel_tokens_object(w, "added_tokens.json", REL_TOKEN_ADDED, out, e)
             && rel_tokens_merges_file(w, out, e);
    else if (w->gguf && gguf_find(w->gguf, "tokenizer.ggml.tokens"))
        return rel_tokens_gguf(w, out, e);
    else ok = rel_tokens_lines(w, out, e);
    ok = ok && rel_tokens_config(w, out, e) && rel_tokens_finish(out, e);
    if (ok && !out->from_json && !rel_state_find(w->s, "vocab.json")
        && !rel_state_find(w->s, "vocab.txt"))
        out->table[0] = 0;
    if (ok) rel_tokens_opaque(w, out);
    return ok;
}
