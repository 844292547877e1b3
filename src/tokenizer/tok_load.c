/* tok_load.c: makes a tokenizer from the text of tokenizer.json.
 *
 * One pass over the file: the model is streamed where it stands, the other members are noted and
 * read afterwards, because added tokens need the normalizer and the vocabulary.
 *
 * 1. Only what changes ids or text is read; truncation and padding are the caller's affair.
 * 2. An added token has the id of the vocabulary when its text is there, else the file's.
 */
#include "tokenizer/tok_int.h"

enum { TOK_MAX_ADDED_TEXT = 4096 }; /* bytes: bounds the search at each place of a text */

struct tok_loader {
    struct arena *arena;
    struct tok *t;
    struct err *e;
    struct str added, normalizer, pre_tokenizer, post_processor, decoder;
    bool has_model;
    size_t cap_added;
};

/* ---- added tokens ---------------------------------------------------------------------------- */

static struct tok_added *tok_added_room(struct tok_loader *l) {
    struct tok *t = l->t;
    if (t->n_added == l->cap_added) {
        size_t cap = l->cap_added ? l->cap_added * 2 : 64;
        struct tok_added *p =
            cap > TOK_MAX_VOCAB ? NULL : ARENA_ARRAY(l->arena, struct tok_added, cap);
        if (!p) {
            err_oom(l->e, cap * sizeof *p, "added tokens");
            return NULL;
        }
        if (t->n_added) memcpy(p, t->added, t->n_added * sizeof *p);
        t->added = p;
        l->cap_added = cap;
    }
    return &t->added[t->n_added];
}

/* Makes room for an id above the vocabulary's. */
static bool tok_ids_extend(struct tok_loader *l, size_t n_ids) {
    struct tok *t = l->t;
    if (n_ids <= t->n_ids) return true;
    struct tok_piece *p = ARENA_ARRAY(l->arena, struct tok_piece, n_ids);
    if (!p) return err_oom(l->e, n_ids * sizeof *p, "the vocabulary");
    if (t->n_ids) memcpy(p, t->pieces, t->n_ids * sizeof *p);
    t->pieces = p;
    t->n_ids = n_ids;
    return true;
}

static bool tok_added_keep(struct tok_loader *l, struct tok_added *one, int64_t id) {
    struct tok *t = l->t;
    if (one->content.n == 0) return true; /* the reference ignores it too */
    if (one->content.n > TOK_MAX_ADDED_TEXT)
        return err_set(l->e, ERR_LIMIT,
                       "tokenizer.json: an added token of %zu bytes, at most %d are allowed",
                       one->content.n, TOK_MAX_ADDED_TEXT);
    one->id = tok_vocab_find(t, one->content);
    if (one->id < 0) {
        if (id < 0 || id >= TOK_MAX_VOCAB)
            return err_set(l->e, ERR_FORMAT,
                           "tokenizer.json: the added token \"" STR_FMT "\" has no usable id",
                           STR_ARG(one->content));
        one->id = (int32_t)id;
    }
    one->pattern = one->content;
    t->n_added++;
    return true;
}

/* One object of "added_tokens", or of "added_tokens_decoder" with its id from the key. */
static bool tok_added_read(struct tok_loader *l, struct json_reader *reader) {
    struct tok_added *one = tok_added_room(l);
    int64_t id = -1;
    struct json_token key, value;
    if (!one) return false;
    *one = (struct tok_added){ .normalized = true };
    for (;;) {
        if (!json_next(reader, &key, l->e)) return false;
        if (key.kind == JSON_T_OBJECT_END) return tok_added_keep(l, one, id);
        struct {
            const char *name_cstr;
            bool *flag;
        } flags[] = {
            { "single_word", &one->single_word }, { "lstrip", &one->lstrip },
            { "rstrip", &one->rstrip },           { "normalized", &one->normalized },
            { "special", &one->special },
        };
        bool *flag = NULL, is_id = str_eq_cstr(key.text, "id"),
             is_content = str_eq_cstr(key.text, "content");
        for (size_t i = 0; i < MLXK_COUNT(flags); i++)
            if (str_eq_cstr(key.text, flags[i].name_cstr)) flag = flags[i].flag;
        if (!flag && !is_id && !is_content) {
            if (!json_skip(reader, NULL, l->e)) return false;
            continue;
        }
        if (!json_next(reader, &value, l->e)) return false;
        if (flag && (value.kind == JSON_T_TRUE || value.kind == JSON_T_FALSE)) {
            *flag = value.kind == JSON_T_TRUE;
        } else if (is_content && value.kind == JSON_T_STRING) {
            one->content = value.stable ? value.text : str_dup(l->arena, value.text);
            if (value.text.n && !one->content.p) return err_oom(l->e, value.text.n, "added tokens");
        } else if (!is_id || !json_token_i64(&value, &id)) {
            return err_set(
                l->e, ERR_FORMAT,
                "tokenizer.json: an added token has a wrong value at byte %zu of its list",
                value.offset_bytes);
        }
    }
}

static bool tok_added_read_list(struct tok_loader *l) {
    struct json_reader reader;
    struct json_token t;
    if (!l->added.p) return true;
    json_reader_init(&reader, l->added, LIMIT_JSON_DEPTH);
    bool ok = json_next(&reader, &t, l->e), more = ok && t.kind == JSON_T_ARRAY;
    if (ok && t.kind != JSON_T_ARRAY && t.kind != JSON_T_NULL)
        ok = err_set(l->e, ERR_FORMAT, "tokenizer.json: added_tokens is not a list");
    while (ok && more) {
        ok = json_next(&reader, &t, l->e);
        more = ok && t.kind != JSON_T_ARRAY_END;
        if (more && t.kind != JSON_T_OBJECT)
            ok = err_set(l->e, ERR_FORMAT,
                         "tokenizer.json: added_tokens holds something that is not an object");
        else if (more)
            ok = tok_added_read(l, &reader);
    }
    json_reader_release(&reader);
    return ok;
}

/* Tokens that only tokenizer_config.json knows, as the reference adds them on top. */
static bool tok_added_read_config(struct tok_loader *l, const struct json *config) {
    const struct json *table = json_get(config, "added_tokens_decoder");
    for (const struct json *v = json_is(table, JSON_OBJECT) ? table->child : NULL; v; v = v->next) {
        const struct json *content = json_get(v, "content");
        int64_t id = -1;
        if (!json_is(content, JSON_STRING) || !num_parse_i64(v->key, 0, TOK_MAX_VOCAB - 1, &id) ||
            tok_added_find(l->t, content->string))
            continue;
        struct tok_added *one = tok_added_room(l);
        if (!one) return false;
        *one = (struct tok_added){ .content = content->string };
        if (!json_read_bool(v, "single_word", &one->single_word, l->e) ||
            !json_read_bool(v, "lstrip", &one->lstrip, l->e) ||
            !json_read_bool(v, "rstrip", &one->rstrip, l->e) ||
            !json_read_bool(v, "normalized", &one->normalized, l->e) ||
            !json_read_bool(v, "special", &one->special, l->e) || !tok_added_keep(l, one, id))
            return false;
    }
    return true;
}

/* What a token marked `normalized` looks like in normalized text. */
static bool tok_added_normalize(struct tok_loader *l, struct tok_added *one) {
    struct tok_run run;
    struct str normal;
    if (!one->normalized || l->t->n_norms == 0) return true;
    tok_run_init(&run, l->t, NULL, l->e);
    bool ok = tok_normalize(&run, one->content, &normal);
    if (ok && !str_eq(normal, one->content)) {
        one->pattern = str_dup(l->arena, normal);
        ok = one->pattern.p || normal.n == 0 || err_oom(l->e, normal.n, "added tokens");
    }
    tok_run_release(&run);
    return ok;
}

/* Enters the added tokens into the table of texts: id -> text as it is decoded. */
static bool tok_added_enter(struct tok_loader *l) {
    struct tok *t = l->t;
    size_t n_ids = t->n_ids;
    for (size_t i = 0; i < t->n_added; i++)
        if ((size_t)t->added[i].id >= n_ids) n_ids = (size_t)t->added[i].id + 1;
    if (!tok_ids_extend(l, n_ids)) return false;
    for (size_t i = 0; i < t->n_added; i++) {
        const struct tok_added *one = &t->added[i];
        if (!tok_added_normalize(l, &t->added[i])) return false;
        t->pieces[one->id] =
            (struct tok_piece){ (uint32_t)i, (uint32_t)one->content.n | TOK_PIECE_KNOWN |
                                                 TOK_PIECE_ADDED |
                                                 (one->special ? TOK_PIECE_SPECIAL : 0u) };
    }
    return true;
}

static bool tok_load_added(struct tok_loader *l, const struct json *config) {
    size_t n_file;
    if (!tok_added_read_list(l) || !tok_added_sort(l->arena, l->t, l->e)) return false;
    n_file = l->t->n_added;
    if (!tok_added_read_config(l, config) ||
        (l->t->n_added > n_file && !tok_added_sort(l->arena, l->t, l->e)))
        return false;
    return tok_added_enter(l) && tok_added_index(l->arena, l->t, l->e);
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool tok_load_member(struct tok_loader *l, struct json_reader *reader, struct str key) {
    struct {
        const char *name_cstr;
        struct str *raw;
    } later[] = { { "added_tokens", &l->added },
                  { "normalizer", &l->normalizer },
                  { "pre_tokenizer", &l->pre_tokenizer },
                  { "post_processor", &l->post_processor },
                  { "decoder", &l->decoder } };
    if (str_eq_cstr(key, "model")) {
        if (l->has_model) return err_set(l->e, ERR_FORMAT, "tokenizer.json: two models");
        l->has_model = true;
        return tok_read_model(l->arena, l->t, reader, l->e);
    }
    for (size_t i = 0; i < MLXK_COUNT(later); i++)
        if (str_eq_cstr(key, later[i].name_cstr)) return json_skip(reader, later[i].raw, l->e);
    return json_skip(reader, NULL, l->e);
}

static bool tok_load_file(struct tok_loader *l) {
    struct json_reader reader;
    struct json_token t;
    json_reader_init(&reader, l->t->json, LIMIT_JSON_DEPTH);
    bool ok = json_expect(&reader, JSON_T_OBJECT, &t, l->e), more = ok;
    while (ok && more) {
        ok = json_next(&reader, &t, l->e);
        more = ok && t.kind != JSON_T_OBJECT_END;
        if (more) ok = tok_load_member(l, &reader, t.text);
    }
    ok = ok && json_expect(&reader, JSON_T_END, &t, l->e);
    json_reader_release(&reader);
    return ok &&
           (l->has_model || err_set(l->e, ERR_FORMAT, "tokenizer.json: there is no model in it"));
}

/* The tree of a noted member; NULL with no error = absent. */
static bool tok_load_tree(struct tok_loader *l, struct str raw, const struct json **out) {
    *out = NULL;
    if (!raw.p) return true;
    *out = json_parse(l->arena, raw, l->e);
    return *out != NULL || err_context(l->e, "tokenizer.json: ");
}

static bool tok_load_parts(struct tok_loader *l, const struct json *config) {
    const struct json *normalizer, *pre_tokenizer, *post_processor, *decoder;
    struct tok *t = l->t;
    return tok_load_tree(l, l->normalizer, &normalizer) &&
           tok_load_tree(l, l->pre_tokenizer, &pre_tokenizer) &&
           tok_load_tree(l, l->post_processor, &post_processor) &&
           tok_load_tree(l, l->decoder, &decoder) &&
           tok_read_normalizer(l->arena, t, normalizer, l->e) &&
           tok_read_pre_tokenizer(l->arena, t, pre_tokenizer, l->e) &&
           tok_read_post_processor(t, post_processor, l->e) &&
           tok_read_decoder(l->arena, t, decoder, l->e) && tok_load_added(l, config);
}

MLXK_FN struct tok *tok_load(struct arena *a, struct str json, bool borrow,
                             const struct json *config, struct err *e) {
    if (json.n > LIMIT_JSON_FILE) {
        err_set(e, ERR_LIMIT, "tokenizer.json has %zu bytes, at most %zu are allowed", json.n,
                LIMIT_JSON_FILE);
        return NULL;
    }
    struct tok *t = ARENA_NEW(a, struct tok);
    struct str text = borrow ? json : str_dup(a, json);
    if (!t || (json.n && !text.p)) {
        err_oom(e, json.n, "tokenizer.json");
        return NULL;
    }
    t->json = text;
    t->seed = map_hash(STR("tokenizer"));
    struct tok_loader l = { .arena = a, .t = t, .e = e };
    return tok_load_file(&l) && tok_load_parts(&l, config) ? t : NULL;
}
