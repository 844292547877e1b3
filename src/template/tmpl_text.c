/* tmpl_text.c: text that knows where it came from, and the builder of all such text.
 *
 * 1. A text has either one flag, or spans: sorted ends with a flag each, neighbours differing, that
 *    cover it all. The last span may reach past the end: the builder it is shared with went on.
 * 2. Cutting, joining and padding keep the origin of every byte exactly; changing the case keeps it
 *    per character.
 * 3. Positions that templates see are code points; positions here are bytes. Cuts fall on
 *    boundaries of sequences, so valid UTF-8 stays valid.
 */
#include "template/tmpl_int.h"

/* ---- texts ---- */

MLXK_FN struct tmpl_val tmpl_text_val(const struct tmpl_text *t) {
    return t ? (struct tmpl_val){ .kind = TMPL_TEXT, .u.text = t } : tmpl_none();
}

/* Never NULL, so that a failed run can still look at the text it got. */
static const struct tmpl_text *tmpl_text_empty(void) {
    static const struct tmpl_text empty = { .s = { "", 0 } };
    return &empty;
}

MLXK_FN struct tmpl_val tmpl_text_of(struct tmpl_run *r, struct str s, bool from_input) {
    struct tmpl_text *t = tmpl_alloc(r, 1, sizeof *t);
    if (!t) {
        return tmpl_text_val(tmpl_text_empty());
    }
    t->s = s;
    t->from_input = from_input;
    return tmpl_text_val(t);
}

/* Index of the span that holds byte `at` (t has spans). */
static size_t tmpl_text_span_at(const struct tmpl_text *t, size_t at) {
    size_t low = 0, high = t->n_spans - 1;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->spans[mid].end > at) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return low;
}

MLXK_FN const struct tmpl_text *tmpl_text_sub(struct tmpl_run *r, const struct tmpl_text *t,
                                              size_t from, size_t to) {
    if (from >= to || (from == 0 && to == t->s.n)) {
        return from >= to ? tmpl_text_empty() : t;
    }
    struct tmpl_text *sub = tmpl_alloc(r, 1, sizeof *sub);
    if (!sub) {
        return tmpl_text_empty();
    }
    *sub = *t;
    sub->s = str_sub(t->s, from, to);
    sub->spans = NULL;
    sub->n_spans = 0;
    sub->grow = NULL;
    if (!t->n_spans) {
        return sub;
    }
    size_t first = tmpl_text_span_at(t, from), last = tmpl_text_span_at(t, to - 1),
           n = last - first + 1;
    if (n == 1) {
        sub->from_input = t->spans[first].from_input;
        return sub;
    }
    struct tmpl_span *spans = tmpl_alloc(r, n, sizeof *spans);
    for (size_t i = 0; spans && i < n; i++) {
        spans[i] = t->spans[first + i];
        spans[i].end = (spans[i].end < to ? spans[i].end : to) - from;
    }
    sub->spans = spans;
    sub->n_spans = spans ? n : 0;
    return sub;
}

MLXK_FN struct tmpl_val tmpl_text_cut(struct tmpl_run *r, const struct tmpl_text *t, size_t from,
                                      size_t to) {
    return tmpl_text_val(tmpl_text_sub(r, t, from, to));
}

MLXK_FN bool tmpl_text_any_input(const struct tmpl_text *t) {
    return t->n_spans > 0 || t->from_input;
}

/* ---- builder ---- */

MLXK_FN bool tmpl_out_room(struct tmpl_run *r, struct tmpl_out *o, size_t more) {
    if (more > TMPL_MAX_OUTPUT || o->n > TMPL_MAX_OUTPUT - more) {
        tmpl_fail(r, "the template makes a text of more than %zu MB", TMPL_MAX_OUTPUT >> 20);
        return false;
    }
    if (o->cap - o->n >= more || r->failed) {
        return !r->failed;
    }
    size_t cap = o->cap ? o->cap * 2 : 64;
    cap = cap < o->n + more ? o->n + more : cap;
    char *p = tmpl_alloc(r, cap, 1);
    if (!p) {
        return false;
    }
    if (o->n) {
        memcpy(p, o->p, o->n);
    }
    o->p = p;
    o->cap = cap;
    return true;
}

static void tmpl_text_note_span(struct tmpl_run *r, struct tmpl_out *o, bool from_input) {
    if (o->n_spans && o->spans[o->n_spans - 1].from_input == from_input) {
        o->spans[o->n_spans - 1].end = o->n;
        return;
    }
    if (o->n_spans == o->cap_spans) {
        size_t cap = o->cap_spans ? o->cap_spans * 2 : 4;
        struct tmpl_span *spans = tmpl_alloc(r, cap, sizeof *spans);
        if (!spans) {
            return;
        }
        if (o->n_spans) {
            memcpy(spans, o->spans, o->n_spans * sizeof *spans);
        }
        o->spans = spans;
        o->cap_spans = cap;
    }
    o->spans[o->n_spans++] = (struct tmpl_span){ o->n, from_input };
}

MLXK_FN void tmpl_out_add(struct tmpl_run *r, struct tmpl_out *o, struct str s, bool from_input) {
    if (s.n && tmpl_work(r, s.n / 64) && tmpl_out_room(r, o, s.n)) {
        memcpy(o->p + o->n, s.p, s.n);
        o->n += s.n;
        tmpl_text_note_span(r, o, from_input);
    }
}

MLXK_FN void tmpl_out_part(struct tmpl_run *r, struct tmpl_out *o, const struct tmpl_text *t,
                           size_t from, size_t to) {
    if (!t->n_spans) {
        tmpl_out_add(r, o, str_sub(t->s, from, to), t->from_input);
        return;
    }
    for (size_t i = tmpl_text_span_at(t, from); from < to && !r->failed; i++) {
        size_t end = t->spans[i].end < to ? t->spans[i].end : to;
        tmpl_out_add(r, o, str_sub(t->s, from, end), t->spans[i].from_input);
        from = end;
    }
}

MLXK_FN void tmpl_out_text(struct tmpl_run *r, struct tmpl_out *o, const struct tmpl_text *t) {
    tmpl_out_part(r, o, t, 0, t->s.n);
}

MLXK_FN void tmpl_out_pad(struct tmpl_run *r, struct tmpl_out *o, char c, size_t n) {
    char block[64];
    memset(block, c, sizeof block);
    while (n && !r->failed) {
        size_t part = n < sizeof block ? n : sizeof block;
        tmpl_out_add(r, o, (struct str){ block, part }, false);
        n -= part;
    }
}

static struct tmpl_text *tmpl_text_made(struct tmpl_run *r, const struct tmpl_out *o) {
    struct tmpl_text *t = tmpl_alloc(r, 1, sizeof *t);
    if (t) {
        bool mixed = o->n_spans > 1;
        t->s = (struct str){ o->p ? o->p : "", o->n };
        t->from_input = o->n_spans == 1 && o->spans[0].from_input;
        t->spans = mixed ? o->spans : NULL;
        t->n_spans = mixed ? o->n_spans : 0;
    }
    return t;
}

MLXK_FN struct tmpl_val tmpl_out_val(struct tmpl_run *r, struct tmpl_out *o) {
    const struct tmpl_text *t = tmpl_text_made(r, o);
    return tmpl_text_val(t ? t : tmpl_text_empty());
}

MLXK_FN struct tmpl_out *tmpl_out_behind(struct tmpl_run *r, const struct tmpl_text *t,
                                         size_t more) {
    struct tmpl_out *o = t->grow;
    if (!o || o->n != t->s.n || o->p != t->s.p) {
        o = tmpl_alloc(r, 1, sizeof *o);
        if (o && tmpl_out_room(r, o, t->s.n + more)) {
            tmpl_out_text(r, o, t);
        }
    }
    return r->failed ? NULL : o;
}

MLXK_FN struct tmpl_val tmpl_out_grown(struct tmpl_run *r, struct tmpl_out *o) {
    struct tmpl_text *t = o ? tmpl_text_made(r, o) : NULL;
    if (t) {
        t->grow = o;
    }
    return tmpl_text_val(t ? t : tmpl_text_empty());
}

/* ---- positions and white space ---- */

MLXK_FN size_t tmpl_space_after(struct str s, size_t begin) {
    while (begin < s.n) {
        size_t i = begin;
        unsigned char c = (unsigned char)s.p[begin];
        if (!tmpl_is_space(c < 0x80 ? c : utf8_decode(s, &i))) {
            break;
        }
        begin = c < 0x80 ? begin + 1 : i;
    }
    return begin;
}

/* Start of the sequence that ends at `end` (> 0). */
static size_t tmpl_text_back(struct str s, size_t end) {
    size_t i = end - 1;
    while (i > 0 && end - i < 4 && ((unsigned char)s.p[i] & 0xC0) == 0x80) {
        i--;
    }
    return i;
}

MLXK_FN size_t tmpl_space_before(struct str s, size_t end) {
    while (end > 0) {
        size_t i = tmpl_text_back(s, end), at = i;
        if (!tmpl_is_space(utf8_decode(s, &at)) || at != end) {
            break;
        }
        end = i;
    }
    return end;
}

MLXK_FN size_t tmpl_count(struct tmpl_run *r, struct str s) {
    tmpl_work(r, s.n / 32);
    return utf8_count(s);
}

MLXK_FN size_t tmpl_offset(struct str s, size_t index) {
    size_t i = 0;
    while (index > 0 && i < s.n) {
        if ((unsigned char)s.p[i] < 0x80) {
            i++;
        } else {
            utf8_decode(s, &i);
        }
        index--;
    }
    return i;
}

/* ---- strip ---- */

static bool tmpl_text_strips(uint32_t cp, const struct tmpl_text *chars) {
    if (!chars) {
        return tmpl_is_space(cp);
    }
    for (size_t i = 0; i < chars->s.n;) {
        if (utf8_decode(chars->s, &i) == cp) {
            return true;
        }
    }
    return false;
}

MLXK_FN struct tmpl_val tmpl_strip(struct tmpl_run *r, const struct tmpl_text *t,
                                   const struct tmpl_text *chars, bool left, bool right) {
    size_t from = 0, to = t->s.n, cost = chars ? 1 + chars->s.n / 16 : 1;
    while (left && from < to && !r->failed) {
        size_t i = from;
        if (!tmpl_text_strips(utf8_decode(t->s, &i), chars)) {
            break;
        }
        from = i;
        tmpl_work(r, cost);
    }
    while (right && to > from && !r->failed) {
        size_t i = tmpl_text_back(t->s, to), at = i;
        if (!tmpl_text_strips(utf8_decode(t->s, &at), chars) || at != to) {
            break;
        }
        to = i;
        tmpl_work(r, cost);
    }
    return tmpl_text_cut(r, t, from, to);
}

/* ---- case ---- */

struct tmpl_text_case {
    enum tmpl_case how;
    bool at_start;
}; /* at_start: the next letter begins a word */

static uint32_t tmpl_text_map(struct tmpl_text_case *c, uint32_t cp) {
    bool start = c->at_start;
    switch (c->how) {
    case TMPL_UPPER: return tmpl_upper(cp);
    case TMPL_LOWER: return tmpl_lower(cp);
    case TMPL_SWAP: return tmpl_upper(cp) != cp ? tmpl_upper(cp) : tmpl_lower(cp);
    case TMPL_CAPITALIZE: c->at_start = false; break;
    case TMPL_TITLE: c->at_start = !tmpl_is_alpha(cp); break;
    case TMPL_FILTER_TITLE:
        c->at_start = tmpl_is_space(cp) || (cp < 0x80 && cp != 0 && strchr("-({[<", (int)cp));
        break;
    }
    return start ? tmpl_upper(cp) : tmpl_lower(cp);
}

static void tmpl_text_recase_part(struct tmpl_run *r, struct tmpl_out *o, struct str s,
                                  bool from_input, struct tmpl_text_case *c) {
    for (size_t i = 0; i < s.n && tmpl_work(r, 1);) {
        char bytes[8];
        bool start = c->at_start;
        uint32_t cp = utf8_decode(s, &i);
        if (cp == 0xDF
            && (c->how == TMPL_UPPER || c->how == TMPL_SWAP || (c->how != TMPL_LOWER && start))) {
            tmpl_text_map(c, cp);
            tmpl_out_add(r, o, c->how == TMPL_UPPER || c->how == TMPL_SWAP ? STR("SS") : STR("Ss"),
                         from_input);
            continue;
        }
        size_t n = utf8_encode(bytes, tmpl_text_map(c, cp));
        tmpl_out_add(r, o, (struct str){ bytes, n }, from_input);
    }
}

MLXK_FN struct tmpl_val tmpl_recase(struct tmpl_run *r, const struct tmpl_text *t,
                                    enum tmpl_case how) {
    struct tmpl_out o = { .p = NULL };
    struct tmpl_text_case c = { how, true };
    size_t from = 0;
    if (!t->n_spans) {
        tmpl_text_recase_part(r, &o, t->s, t->from_input, &c);
    }
    for (size_t i = 0; i < t->n_spans && !r->failed; i++) {
        tmpl_text_recase_part(r, &o, str_sub(t->s, from, t->spans[i].end), t->spans[i].from_input,
                              &c);
        from = t->spans[i].end;
    }
    return tmpl_out_val(r, &o);
}
