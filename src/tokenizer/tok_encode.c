/* tok_encode.c: text to ids, and what else the contract asks of a loaded tokenizer.
 *
 * 1. Nothing is appended to the caller's list when encoding fails.
 */
#include "tokenizer/tok_int.h"

MLXK_FN void tok_ids_init(struct tok_ids *ids, size_t max) {
    *ids = (struct tok_ids){ .max = max };
}

MLXK_FN void tok_ids_release(struct tok_ids *ids) {
    mem_free(ids->p);
    *ids = (struct tok_ids){ .max = ids->max };
}

MLXK_FN void tok_ids_add(struct tok_ids *ids, int32_t id) {
    if (ids->failed) return;
    if (ids->n == ids->cap) {
        size_t cap = ids->cap ? ids->cap * 2 : 64;
        if (cap > ids->max) cap = ids->max;
        int32_t *p = cap > ids->n ? mem_realloc(ids->p, cap * sizeof *p) : NULL;
        if (!p) {
            ids->failed = true;
            return;
        }
        ids->p = p;
        ids->cap = cap;
    }
    ids->p[ids->n++] = id;
}

MLXK_FN void tok_run_init(struct tok_run *r, const struct tok *t, struct tok_ids *out,
                          struct err *e) {
    memset(r, 0, sizeof *r);
    r->t = t;
    r->out = out;
    r->e = e;
    size_t max = TOK_MAX_TEXT * 2; /* decompositions and byte characters grow text */
    for (size_t i = 0; i < TOK_MAX_STAGES; i++) buf_init(&r->stage_text[i], max);
    buf_init(&r->norm_text[0], max);
    buf_init(&r->norm_text[1], max);
    buf_init(&r->mapped, max);
    buf_init(&r->affixed, max);
}

MLXK_FN void tok_run_release(struct tok_run *r) {
    for (size_t i = 0; i < MLXK_COUNT(r->stacks); i++) tok_match_stack_release(&r->stacks[i]);
    for (size_t i = 0; i < TOK_MAX_STAGES; i++) buf_release(&r->stage_text[i]);
    buf_release(&r->norm_text[0]);
    buf_release(&r->norm_text[1]);
    buf_release(&r->mapped);
    buf_release(&r->affixed);
    mem_free(r->nf);
    mem_free(r->search_from);
    mem_free(r->symbols);
    mem_free(r->heap);
}

/* flags as tok_encode; ranges as tok_encode_marked (n_ranges 0 = none). */
static bool tok_encode_text(const struct tok *t, struct str text, unsigned flags,
                            const struct tok_range *ranges, size_t n_ranges, struct tok_ids *out,
                            struct err *e) {
    struct tok_run run;
    struct buf repaired;
    size_t n = out->n;
    bool special = flags & TOK_ADD_SPECIAL;
    if (text.n > TOK_MAX_TEXT)
        return err_set(e, ERR_LIMIT,
                       "a text of %zu bytes is too long for the tokenizer (at most %zu)", text.n,
                       TOK_MAX_TEXT);
    buf_init(&repaired, TOK_MAX_TEXT * 3);
    tok_run_init(&run, t, out, e);
    run.plain = flags & TOK_PLAIN;
    run.ranges = ranges;
    run.n_ranges = n_ranges;
    run.base = text.p;
    run.word_bytes_left = tok_wordpiece_budget(text.n);
    bool ok = true;
    if (!utf8_valid(text)) {
        if (n_ranges) ok = err_set(e, ERR_INVALID, "the prompt is not UTF-8");
        utf8_repair(&repaired, text);
        ok = ok && buf_ok(&repaired, "text", e);
        text = buf_str(&repaired);
    }
    for (size_t i = 0; special && i < t->n_before; i++) tok_ids_add(out, t->before[i]);
    ok = ok && (text.n == 0 || tok_added_split(&run, 0, text, true));
    for (size_t i = 0; special && i < t->n_behind; i++) tok_ids_add(out, t->behind[i]);
    tok_run_release(&run);
    buf_release(&repaired);
    if (ok && out->failed)
        ok = out->n >= out->max
                 ? err_set(e, ERR_LIMIT, "the text has more than %zu tokens", out->max)
                 : err_oom(e, out->n * sizeof *out->p, "tokens");
    if (!ok) out->n = n;
    return ok;
}

MLXK_FN bool tok_encode(const struct tok *t, struct str text, unsigned flags, struct tok_ids *out,
                        struct err *e) {
    return tok_encode_text(t, text, flags, NULL, 0, out, e);
}

MLXK_FN bool tok_encode_marked(const struct tok *t, struct str text, const struct tok_range *plain,
                               size_t n_plain, struct tok_ids *out, struct err *e) {
    return tok_encode_text(t, text, 0, plain, n_plain, out, e);
}

MLXK_FN int32_t tok_find(const struct tok *t, struct str token) {
    const struct tok_added *added = tok_added_find(t, token);
    return added ? added->id : tok_vocab_find(t, token);
}

MLXK_FN struct str tok_text(const struct tok *t, int32_t id) {
    return id >= 0 && (size_t)id < t->n_ids ? tok_piece_text(t, id) : STR_EMPTY;
}

MLXK_FN bool tok_is_special(const struct tok *t, int32_t id) {
    return id >= 0 && (size_t)id < t->n_ids && t->pieces[id].len_flags & TOK_PIECE_SPECIAL;
}
