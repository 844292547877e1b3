/* chat_split.c: a model's text, piece by piece, into reasoning and answer.
 *
 * Everything that might still become part of a mark is held; everything else is handed on at once.
 * One step works on what is held and either settles a part of it or waits for more.
 *
 *   tags:      START --open--> THINK --close--> START
 *              START --other text--> ANSWER (until the end)
 *   channels:  HEADER --<|message|>--> BODY
 *              BODY --<|end|>, <|return|>, <|call|>, <|start|>, <|channel|>--> HEADER
 *              HEADER --text that is no header--> BODY
 *
 *  1. A step looks at held text only, and consumes from its front: no byte is handed on twice.
 *  2. While it waits, held text is a beginning of a mark, a header, or white space in front of one.
 *  3. At the end nothing can be completed any more: what is held is text.
 */
#include "chat/chat.h"

enum split_state { SPLIT_ANSWER, SPLIT_START, SPLIT_THINK, SPLIT_HEADER, SPLIT_BODY };
/* A header is like "assistant to=functions.x<|channel|>commentary json": its last mark begins at
 * most there. */
enum { SPLIT_MAX_HEADER = 256, SPLIT_MAX_MARK = 11 };
#define SPLIT_MAX_HELD ((size_t)16 << 20)   /* a piece, or white space without end */

/* Marks that end a body; the first SPLIT_N_STOPS also end a message. */
static const struct str split_marks[] = {
    { "<|end|>", 7 },     { "<|return|>", 10 }, { "<|call|>", 8 },
    { "<|message|>", 11 }, { "<|start|>", 9 },  { "<|channel|>", 11 },
};
enum { SPLIT_N_STOPS = 3, SPLIT_MESSAGE = 3, SPLIT_BEGIN = 4, SPLIT_CHANNEL = 5 };

/* ---- small words ----------------------------------------------------------------------------- */

static bool split_is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

static size_t split_leading_space(struct str s) {
    size_t n = 0;
    while (n < s.n && split_is_space(s.p[n])) n++;
    return n;
}

static struct str split_without_tail(struct str s) {
    while (s.n && split_is_space(s.p[s.n - 1])) s.n--;
    return s;
}

/* Length of the longest end of s that is a proper beginning of mark. */
static size_t split_overlap(struct str s, struct str mark) {
    size_t n = s.n < mark.n - 1 ? s.n : mark.n - 1;
    while (n && memcmp(s.p + s.n - n, mark.p, n) != 0) n--;
    return n;
}

static bool split_begins(struct str whole, struct str begin) {
    return begin.n < whole.n && str_starts(whole, begin);
}

/* ---- handing on ------------------------------------------------------------------------------ */

static void split_open_section(struct chat_split *s, enum chat_part kind) {
    s->kind = kind;
    s->section_begun = false;
}

static void split_tell(struct chat_split *s, struct str text) {
    if (text.n == 0 || s->stopped) return;
    bool again = !s->section_begun && s->any[s->kind];
    s->section_begun = s->any[s->kind] = true;
    if (again) s->stopped = !s->part(s->ctx, s->kind, STR("\n\n"));
    if (!s->stopped) s->stopped = !s->part(s->ctx, s->kind, text);
}

/* Hands on the first n held bytes and forgets them, and `drop` more. */
static bool split_give(struct chat_split *s, size_t n, size_t drop) {
    split_tell(s, str_sub(buf_str(&s->held), 0, n));
    buf_remove_front(&s->held, n + drop);
    return n + drop > 0;
}

/* ---- tags ------------------------------------------------------------------------------------ */

/* In front of the answer: an opening tag, or the answer. */
static bool split_start(struct chat_split *s, bool last) {
    struct str held = buf_str(&s->held);
    size_t space = split_leading_space(held);
    struct str rest = str_sub(held, space, held.n);
    if (str_starts(rest, s->style.open)) {
        split_open_section(s, CHAT_REASONING);
        s->state = SPLIT_THINK;
        s->tagged = true;
        return split_give(s, 0, space + s->style.open.n);
    }
    if (split_begins(s->style.open, rest) && !last) return false;
    if (s->tagged) split_give(s, 0, space);
    split_open_section(s, CHAT_ANSWER);
    s->state = SPLIT_ANSWER;
    return true;
}

/* Reasoning: up to the closing tag, without white space at either end. */
static bool split_think(struct chat_split *s, bool last) {
    struct str held = buf_str(&s->held);
    if (!s->section_begun) {
        size_t space = split_leading_space(held);
        struct str rest = str_sub(held, space, held.n);
        if (str_starts(rest, s->style.open))        /* said again although the prompt had said it */
            return split_give(s, 0, space + s->style.open.n);
        if (split_begins(s->style.open, rest) && !last) return false;
        split_give(s, 0, space);
        held = buf_str(&s->held);
    }
    ptrdiff_t at = str_find(held, s->style.close);
    if (at >= 0) {
        size_t n = split_without_tail(str_sub(held, 0, (size_t)at)).n;
        s->state = SPLIT_START;
        return split_give(s, n, (size_t)at - n + s->style.close.n);
    }
    size_t open = last ? 0 : split_overlap(held, s->style.close);
    split_give(s, split_without_tail(str_sub(held, 0, held.n - open)).n, 0);
    if (last) buf_reset(&s->held);
    return false;
}

/* ---- channels -------------------------------------------------------------------------------- */

/* The earliest mark in s from `from` on; *which tells it. -1 = none. */
static ptrdiff_t split_find_mark(struct str s, size_t from, size_t *which) {
    ptrdiff_t first = -1;
    struct str rest = str_sub(s, from, s.n);
    for (size_t i = 0; i < MLXK_COUNT(split_marks); i++) {
        ptrdiff_t at = str_find(rest, split_marks[i]);
        if (at >= 0 && (first < 0 || at < first)) {
            first = at;
            *which = i;
        }
    }
    return first < 0 ? -1 : first + (ptrdiff_t)from;
}

/* No header comes here: text right after the prompt's "assistant" or after a message, without a
 * mark. */
static bool split_is_no_header(struct str held) {
    struct str text = str_sub(held, split_leading_space(held), held.n);
    if (text.n == 0 || str_starts(text, STR("to=")) || split_begins(STR("to="), text)) return false;
    for (size_t i = 0; i < MLXK_COUNT(split_marks); i++)
        if (str_starts(text, split_marks[i]) || split_begins(split_marks[i], text)) return false;
    return true;
}

/* Analysis, and calls of tools, are not for the reader of the answer. */
static enum chat_part split_header_kind(struct str header) {
    struct str mark = split_marks[SPLIT_CHANNEL], channel = STR_EMPTY;
    ptrdiff_t at = str_find(header, mark);
    if (at >= 0) channel = str_trim(str_sub(header, (size_t)at + mark.n, header.n));
    bool thinks = str_starts(channel, STR("analysis")) || str_find(header, STR("to=")) >= 0;
    return thinks ? CHAT_REASONING : CHAT_ANSWER;
}

static bool split_open_body(struct chat_split *s, enum chat_part kind, size_t drop) {
    split_open_section(s, kind);
    s->state = SPLIT_BODY;
    split_give(s, 0, drop);
    return true;
}

/* A header that no mark ends: at the end of the text, or too long for one. */
static bool split_header_open(struct chat_split *s, bool last, size_t n_marked) {
    struct str held = buf_str(&s->held);
    bool blank = split_leading_space(held) == held.n;
    if (last && (n_marked || blank)) return split_give(s, 0, held.n);
    if (!last && held.n <= SPLIT_MAX_HEADER + SPLIT_MAX_MARK) return false;
    struct str header = str_sub(held, 0, SPLIT_MAX_HEADER);
    return split_open_body(s, split_header_kind(header), n_marked);
}

static bool split_header(struct chat_split *s, bool last) {
    struct str held = buf_str(&s->held), begin = split_marks[SPLIT_BEGIN];
    if (split_is_no_header(held)) return split_open_body(s, CHAT_ANSWER, 0);
    size_t which = 0, n_marked = str_starts(held, begin) ? begin.n : 0;
    ptrdiff_t at = split_find_mark(held, n_marked, &which);
    if (at >= 0 && at <= SPLIT_MAX_HEADER && which == SPLIT_CHANNEL) { /* part of the header */
        n_marked = (size_t)at + split_marks[which].n;
        at = split_find_mark(held, n_marked, &which);
    }
    if (at < 0 || at > SPLIT_MAX_HEADER) return split_header_open(s, last, n_marked);
    size_t end = (size_t)at + split_marks[which].n;
    if (which == SPLIT_MESSAGE)
        return split_open_body(s, split_header_kind(str_sub(held, 0, (size_t)at)), end);
    return split_give(s, 0, which < SPLIT_N_STOPS ? end : (size_t)at); /* no message came */
}

static bool split_body(struct chat_split *s, bool last) {
    struct str held = buf_str(&s->held);
    size_t which = 0, open = 0;
    ptrdiff_t at = split_find_mark(held, 0, &which);
    if (at >= 0) { /* a mark that begins a header stays, as a part of it */
        if (which != SPLIT_MESSAGE) s->state = SPLIT_HEADER;
        split_give(s, (size_t)at, which <= SPLIT_MESSAGE ? split_marks[which].n : 0);
        return true;
    }
    for (size_t i = 0; i < MLXK_COUNT(split_marks) && !last; i++) {
        size_t n = split_overlap(held, split_marks[i]);
        if (n > open) open = n;
    }
    split_give(s, held.n - open, 0);
    return false;
}

/* ---- Public ---------------------------------------------------------------------------------- */

static bool split_step(struct chat_split *s, bool last) {
    switch (s->state) {
    case SPLIT_START: return split_start(s, last);
    case SPLIT_THINK: return split_think(s, last);
    case SPLIT_HEADER: return split_header(s, last);
    case SPLIT_BODY: return split_body(s, last);
    default: split_give(s, s->held.n, 0); return false;
    }
}

static bool split_ignore(void *ctx, enum chat_part kind, struct str text) {
    (void)ctx, (void)kind, (void)text;
    return true;
}

MLXK_FN void chat_split_init(struct chat_split *s, const struct chat_style *style,
                             bool (*part)(void *ctx, enum chat_part kind, struct str text),
                             void *ctx) {
    *s = (struct chat_split){ .style = *style, .part = part, .ctx = ctx };
    buf_init(&s->held, SPLIT_MAX_HELD);
    split_open_section(s, style->opened ? CHAT_REASONING : CHAT_ANSWER);
    s->tagged = style->opened;
    if (style->marks == CHAT_TAGS) s->state = style->opened ? SPLIT_THINK : SPLIT_START;
    if (style->marks != CHAT_CHANNELS) return;
    s->state = SPLIT_HEADER;
    s->part = split_ignore; /* the prompt's own text is not the model's */
    chat_split_push(s, style->header);
    s->part = part;
    s->section_begun = s->any[CHAT_ANSWER] = s->any[CHAT_REASONING] = false;
}

MLXK_FN void chat_split_release(struct chat_split *s) { buf_release(&s->held); }

MLXK_FN bool chat_split_push(struct chat_split *s, struct str piece) {
    buf_add(&s->held, piece);
    while (s->held.n && !s->held.failed && !s->stopped && split_step(s, false)) {}
    return !s->stopped && !s->held.failed;
}

MLXK_FN bool chat_split_end(struct chat_split *s, struct err *e) {
    while (s->held.n && !s->held.failed && !s->stopped && split_step(s, true)) {}
    return buf_ok(&s->held, "text held back for marks of reasoning", e);
}

#undef SPLIT_MAX_HELD
