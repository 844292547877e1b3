/* tok_decode.c: ids to text, whole or token by token.
 *
 * Decoders are a row of stages like the pre-tokenizer: each gets texts one after the other and
 * passes on what can no longer change; at the end it passes on what it held back. Decoding a whole
 * sequence is the same row, so streamed pieces and the whole text cannot differ.
 *
 *     id -> text of the token -> stage 0 -> ... -> last stage -> s->text
 *
 * 1. What a stage passes on is valid UTF-8.
 * 2. Behind a stage that joins all tokens into one (Fuse, ByteLevel), texts are parts of that one
 *    token; a stage that must see it whole (d->whole) collects it until the end.
 * 3. Stage k touches stages[k] only; feeding a later stage never comes back.
 * 4. A failed buffer sets s->failed before it can be reset.
 */
#include "tokenizer/tok_int.h"

#define TOK_DECODE_MAX ((size_t)1 << 31) /* bytes of decoded text */

static const struct str tok_replacement = { "\xEF\xBF\xBD", 3 };

static void tok_feed(struct tok_stream *s, size_t k, struct str part);

/* ---- stages ---------------------------------------------------------------------------------- */

static void tok_feed_byte_level(struct tok_stream *s, size_t k, struct str part) {
    struct tok_stream_stage *st = &s->stages[k];
    size_t len = 1, before = st->held.n;
    for (size_t i = 0; i < part.n; i += len) {
        int byte = tok_char_to_byte(tok_next(part.p + i, &len));
        if (byte < 0) { /* not written in byte characters: stands for itself */
            st->held.n = before;
            buf_add(&st->held, part);
            break;
        }
        buf_add_char(&st->held, (char)byte);
    }
    struct str held = buf_str(&st->held);
    held.n -= utf8_incomplete_tail(held);
    if (held.n == 0) return;
    if (utf8_valid(held)) {
        tok_feed(s, k + 1, held);
    } else {
        buf_reset(&st->work);
        utf8_repair(&st->work, held);
        tok_feed(s, k + 1, buf_str(&st->work));
    }
    buf_remove_front(&st->held, held.n);
}

/* Bytes that were collected: a text if they are one, else one U+FFFD each. */
static void tok_end_bytes(struct tok_stream *s, size_t k) {
    struct tok_stream_stage *st = &s->stages[k];
    struct str held = buf_str(&st->held);
    if (held.n && utf8_valid(held)) {
        tok_feed(s, k + 1, held);
    } else {
        for (size_t i = 0; i < held.n; i++) tok_feed(s, k + 1, tok_replacement);
    }
    buf_reset(&st->held);
}

static int tok_hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void tok_feed_byte_fallback(struct tok_stream *s, size_t k, struct str part) {
    if (part.n == 6 && str_starts(part, STR("<0x")) && part.p[5] == '>') {
        int high = tok_hex_digit(part.p[3]), low = tok_hex_digit(part.p[4]);
        if (high >= 0 && low >= 0) {
            buf_add_char(&s->stages[k].held, (char)(high * 16 + low));
            return;
        }
    }
    tok_end_bytes(s, k);
    tok_feed(s, k + 1, part);
}

static void tok_feed_replace(struct tok_stream *s, size_t k, const struct tok_decoder *d,
                             struct str part) {
    struct tok_stream_stage *st = &s->stages[k];
    struct tok_match_stack stack = { 0 };
    struct tok_finder finder;
    struct err ignored = { .code = ERR_OK };
    struct str piece;
    bool match;
    buf_reset(&st->work);
    tok_finder_init(&finder, d->re, part, &stack);
    while (tok_finder_next(&finder, &stack, &piece, &match, &ignored))
        buf_add(&st->work, match ? d->with : piece);
    s->failed |= finder.failed;
    tok_match_stack_release(&stack);
    tok_feed(s, k + 1, buf_str(&st->work));
}

static void tok_feed_metaspace(struct tok_stream *s, size_t k, const struct tok_decoder *d,
                               struct str part) {
    struct tok_stream_stage *st = &s->stages[k];
    bool drop = d->prepend && !st->begun;
    size_t len = 1;
    st->begun = !d->fused || st->begun; /* of one joined token, all of it is the first */
    buf_reset(&st->work);
    for (size_t i = 0; i < part.n; i += len) {
        tok_next(part.p + i, &len);
        struct str c = str_sub(part, i, i + len);
        if (!str_eq(c, d->content))
            buf_add(&st->work, c);
        else if (!drop)
            buf_add_char(&st->work, ' ');
    }
    tok_feed(s, k + 1, buf_str(&st->work));
}

/* Leading characters of one joined token; held: its last ones, as long as they could be
 * trailing. */
static void tok_feed_strip_joined(struct tok_stream *s, size_t k, const struct tok_decoder *d,
                                  struct str part) {
    struct tok_stream_stage *st = &s->stages[k];
    while (!st->begun && st->count < d->start && str_starts(part, d->content)) {
        part = str_sub(part, d->content.n, part.n);
        st->count++;
    }
    if (part.n == 0) return;
    st->begun = true;
    if (d->stop == 0) {
        tok_feed(s, k + 1, part);
        return;
    }
    buf_add(&st->held, part);
    struct str held = buf_str(&st->held), keep = held;
    for (uint32_t i = 0; i < d->stop && str_ends(keep, d->content); i++) keep.n -= d->content.n;
    tok_feed(s, k + 1, keep);
    buf_remove_front(&st->held, keep.n);
}

static void tok_feed_strip(struct tok_stream *s, size_t k, const struct tok_decoder *d,
                           struct str part) {
    if (d->fused) {
        tok_feed_strip_joined(s, k, d, part);
        return;
    }
    for (uint32_t i = 0; i < d->start && part.n && str_starts(part, d->content); i++)
        part = str_sub(part, d->content.n, part.n);
    for (uint32_t i = 0; i < d->stop && part.n && str_ends(part, d->content); i++)
        part.n -= d->content.n;
    tok_feed(s, k + 1, part);
}

/* The first token is text as it stands; one more goes on with the word or begins another. */
static void tok_feed_wordpiece(struct tok_stream *s, size_t k, const struct tok_decoder *d,
                               struct str part) {
    struct tok_stream_stage *st = &s->stages[k];
    buf_reset(&st->held); /* not work: a token that was collected whole comes in it */
    if (st->begun && str_starts(part, d->content))
        part = str_sub(part, d->content.n, part.n);
    else if (st->begun)
        buf_add_char(&st->held, ' ');
    st->begun = true;
    buf_add(&st->held, part);
    if (d->cleanup) tok_wordpiece_cleanup(&st->held);
    tok_feed(s, k + 1, buf_str(&st->held));
}

static void tok_feed_stage(struct tok_stream *s, size_t k, struct str part) {
    const struct tok_decoder *d = &s->tok->decoders[k];
    switch (d->kind) {
    case TOK_DEC_BYTE_LEVEL: tok_feed_byte_level(s, k, part); break;
    case TOK_DEC_METASPACE: tok_feed_metaspace(s, k, d, part); break;
    case TOK_DEC_REPLACE: tok_feed_replace(s, k, d, part); break;
    case TOK_DEC_BYTE_FALLBACK: tok_feed_byte_fallback(s, k, part); break;
    case TOK_DEC_FUSE: tok_feed(s, k + 1, part); break;
    case TOK_DEC_STRIP: tok_feed_strip(s, k, d, part); break;
    case TOK_DEC_WORDPIECE: tok_feed_wordpiece(s, k, d, part); break;
    case TOK_DEC_JOIN_SPACE:
        if (s->stages[k].begun) tok_feed(s, k + 1, STR(" "));
        s->stages[k].begun = true;
        tok_feed(s, k + 1, part);
        break;
    }
}

/* Gives a text to stage k; behind the last one it is finished. */
static void tok_feed(struct tok_stream *s, size_t k, struct str part) {
    if (k == s->tok->n_decoders) {
        buf_add(&s->text, part);
        return;
    }
    if (s->tok->decoders[k].whole)
        buf_add(&s->stages[k].held, part);
    else
        tok_feed_stage(s, k, part);
    s->failed |= s->stages[k].held.failed || s->stages[k].work.failed;
}

/* Lets go of what stage k held back. */
static void tok_end(struct tok_stream *s, size_t k) {
    const struct tok_decoder *d = &s->tok->decoders[k];
    struct tok_stream_stage *st = &s->stages[k];
    if (d->whole && d->kind == TOK_DEC_REPLACE) { /* reads held, writes work */
        tok_feed_stage(s, k, buf_str(&st->held));
    } else if (d->whole) { /* reads work, writes held */
        buf_reset(&st->work);
        buf_add(&st->work, buf_str(&st->held));
        buf_reset(&st->held);
        tok_feed_stage(s, k, buf_str(&st->work));
    }
    if (d->kind == TOK_DEC_BYTE_LEVEL && st->held.n) {
        buf_reset(&st->work);
        utf8_repair(&st->work, buf_str(&st->held));
        buf_reset(&st->held);
        tok_feed(s, k + 1, buf_str(&st->work));
    } else if (d->kind == TOK_DEC_BYTE_FALLBACK) {
        tok_end_bytes(s, k);
    }
    s->failed |= st->held.failed || st->work.failed;
}

/* ---- Public ---------------------------------------------------------------------------------- */

MLXK_FN void tok_stream_init(struct tok_stream *s, const struct tok *t, bool skip_special) {
    *s = (struct tok_stream){ .tok = t, .skip_special = skip_special };
    buf_init(&s->text, TOK_DECODE_MAX);
    for (size_t i = 0; i < TOK_MAX_DECODERS; i++) {
        buf_init(&s->stages[i].held, TOK_DECODE_MAX);
        buf_init(&s->stages[i].work, TOK_DECODE_MAX);
    }
}

MLXK_FN void tok_stream_release(struct tok_stream *s) {
    buf_release(&s->text);
    for (size_t i = 0; i < TOK_MAX_DECODERS; i++) {
        buf_release(&s->stages[i].held);
        buf_release(&s->stages[i].work);
    }
}

MLXK_FN void tok_stream_show(struct tok_stream *s, const int32_t *ids, size_t n) {
    s->shown = ids;
    s->n_shown = n;
}

static bool tok_stream_hides(const struct tok_stream *s, int32_t id) {
    if (!s->skip_special || !(s->tok->pieces[id].len_flags & TOK_PIECE_SPECIAL)) return false;
    for (size_t i = 0; i < s->n_shown; i++)
        if (s->shown[i] == id) return false;
    return true;
}

static void tok_stream_feed(struct tok_stream *s, int32_t id) {
    const struct tok *t = s->tok;
    if (id < 0 || (size_t)id >= t->n_ids || !(t->pieces[id].len_flags & TOK_PIECE_KNOWN)) return;
    if (tok_stream_hides(s, id)) return;
    bool added = t->pieces[id].len_flags & TOK_PIECE_ADDED;
    tok_feed(s, 0, added ? t->added[t->pieces[id].offset].pattern : tok_piece_text(t, id));
}

/* A failure inside loses text, so it stays, also for later calls. */
static bool tok_stream_ok(struct tok_stream *s, struct err *e) {
    if (s->failed)
        return err_set(e, ERR_LIMIT,
                       "decoding failed: not enough memory, or more than %zu bytes of text",
                       TOK_DECODE_MAX);
    return buf_ok(&s->text, "decoded text", e);
}

static void tok_stream_end(struct tok_stream *s) {
    for (size_t k = 0; k < s->tok->n_decoders; k++) tok_end(s, k);
    for (size_t k = 0; k < s->tok->n_decoders; k++) {
        s->stages[k].begun = false; /* ready for another sequence */
        s->stages[k].count = 0;
        buf_reset(&s->stages[k].held);
    }
}

MLXK_FN bool tok_stream_push(struct tok_stream *s, int32_t id, struct str *piece, struct err *e) {
    buf_reset(&s->text);
    tok_stream_feed(s, id);
    *piece = buf_str(&s->text);
    return tok_stream_ok(s, e);
}

MLXK_FN bool tok_stream_flush(struct tok_stream *s, struct str *piece, struct err *e) {
    buf_reset(&s->text);
    tok_stream_end(s);
    *piece = buf_str(&s->text);
    return tok_stream_ok(s, e);
}

MLXK_FN bool tok_decode(const struct tok *t, const int32_t *ids, size_t n, bool skip_special,
                        struct buf *out, struct err *e) {
    struct tok_stream s;
    tok_stream_init(&s, t, skip_special);
    for (size_t i = 0; i < n; i++) tok_stream_feed(&s, ids[i]);
    tok_stream_end(&s);
    bool ok = tok_stream_ok(&s, e);
    if (ok) {
        buf_add(out, buf_str(&s.text));
        ok = buf_ok(out, "decoded text", e);
    }
    tok_stream_release(&s);
    return ok;
}
