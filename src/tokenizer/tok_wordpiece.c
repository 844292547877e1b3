/* tok_wordpiece.c: WordPiece: a word into the longest pieces that the vocabulary has, from the
 * left.
 *
 * A piece that does not begin the word stands in the vocabulary with a prefix ("##ing"). A word of
 * which any part is not there, or that is too long, is the unknown token as a whole. Does not cut
 * text into words (tok_split.c), nor put the pieces together again (tok_decode.c), except for the
 * clean-up of English that goes with it.
 *
 * 1. No candidate is longer than the longest text in the vocabulary, so honest words cost a few
 *    dozen look-ups; what a hostile vocabulary can ask for is bounded by r->word_bytes_left.
 * 2. A word that turns out unknown leaves none of its pieces in the list.
 */
#include "tokenizer/tok_int.h"

MLXK_FN uint64_t tok_wordpiece_budget(size_t n) {
    return ((uint64_t)1 << 26) + (uint64_t)n * 2048;
}

static bool tok_wordpiece_unknown(struct tok_run *r) {
    const struct tok *t = r->t;
    int32_t unk = tok_vocab_find(t, t->unk_token);
    if (unk < 0)
        return err_set(r->e, ERR_FORMAT,
                       "tokenizer.json: the unknown token \"" STR_FMT "\" is not in its vocabulary",
                       STR_ARG(t->unk_token));
    tok_ids_add(r->out, unk);
    return true;
}

/* The longest text of the vocabulary that `candidates` begins with and that is longer than `least`
 * bytes: its id and length, TOK_NO_ID = none. */
static int32_t tok_wordpiece_longest(struct tok_run *r, struct str candidates, size_t least,
                                     size_t *len) {
    size_t n = candidates.n < r->t->max_piece ? candidates.n : r->t->max_piece;
    for (; n > least; n = tok_prev(candidates.p, n)) {
        int32_t id = tok_vocab_find(r->t, str_sub(candidates, 0, n));
        r->word_bytes_left -= n < r->word_bytes_left ? n : r->word_bytes_left;
        *len = n;
        if (id >= 0 || !r->word_bytes_left) return id;
    }
    return TOK_NO_ID;
}

MLXK_FN bool tok_wordpiece_encode(struct tok_run *r, struct str word) {
    const struct tok *t = r->t;
    size_t before = r->out->n, len = 0;
    if ((int64_t)utf8_count(word) > t->max_word) return tok_wordpiece_unknown(r);
    for (size_t i = 0; i < word.n; i += len) {
        size_t prefix = i ? t->subword_prefix.n : 0;
        struct str rest = str_sub(word, i, word.n);
        if (prefix) { /* one copy for all candidates; cut in the middle of a character is no harm */
            buf_reset(&r->affixed);
            buf_add(&r->affixed, t->subword_prefix);
            buf_add(&r->affixed, str_sub(rest, 0, rest.n < t->max_piece ? rest.n : t->max_piece));
            if (!buf_ok(&r->affixed, "tokenizing", r->e)) return false;
            rest = buf_str(&r->affixed);
        }
        int32_t id = tok_wordpiece_longest(r, rest, prefix, &len);
        if (!r->word_bytes_left) {
            err_set(r->e, ERR_LIMIT,
                    "tokenizer.json: looking for pieces of a word of %zu bytes takes too long",
                    word.n);
            return err_hint(r->e, "use a shorter text, or a model with an honest vocabulary");
        }
        if (id < 0) {
            r->out->n = before;
            return tok_wordpiece_unknown(r);
        }
        len -= prefix;
        tok_ids_add(r->out, id);
    }
    return true;
}

/* ---- clean-up -------------------------------------------------------------------------------- */

/* Every `from`, left to right, becomes `to`, which is not longer. */
static void tok_wordpiece_shorten(struct buf *text, struct str from, struct str to) {
    struct str rest = buf_str(text);
    size_t kept = 0;
    for (ptrdiff_t at; (at = str_find(rest, from)) >= 0;) {
        memmove(text->p + kept, rest.p, (size_t)at);
        memcpy(text->p + kept + at, to.p, to.n);
        kept += (size_t)at + to.n;
        rest = str_sub(rest, (size_t)at + from.n, rest.n);
    }
    if (rest.p == text->p) return;
    memmove(text->p + kept, rest.p, rest.n);
    text->n = kept + rest.n;
    text->p[text->n] = 0;
}

MLXK_FN void tok_wordpiece_cleanup(struct buf *text) {
    static const struct {
        struct str from, to;
    } rules[] = {
        { STR(" ."), STR(".") },       { STR(" ?"), STR("?") },     { STR(" !"), STR("!") },
        { STR(" ,"), STR(",") },       { STR(" ' "), STR("'") },    { STR(" n't"), STR("n't") },
        { STR(" 'm"), STR("'m") },     { STR(" do not"), STR(" don't") },
        { STR(" 's"), STR("'s") },     { STR(" 've"), STR("'ve") }, { STR(" 're"), STR("'re") },
    };
    for (size_t i = 0; i < MLXK_COUNT(rules); i++)
        tok_wordpiece_shorten(text, rules[i].from, rules[i].to);
}
