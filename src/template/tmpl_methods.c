/* tmpl_methods.c: the methods of str, dict, list and tuple that templates may call.
 *
 * 1. Positions in arguments and results are code points, as in Python.
 * 2. Methods that change their object exist in Python but not here: tmpl_method_mutates names them,
 *    so that the sandbox can refuse them with the right words.
 * 3. What is cut out of a text keeps its origin.
 * Spec: Python 3.11 "Text Sequence Type", "Mapping Types", "Sequence Types".
 */
#include "template/tmpl_int.h"

static bool tmpl_method_given(struct tmpl_val v) {
    return v.kind != TMPL_MISSING && v.kind != TMPL_NONE;
}

/* A text argument; fails for other types. */
static const struct tmpl_text *tmpl_method_text(struct tmpl_run *r, struct tmpl_val v) {
    if (v.kind == TMPL_UNDEFINED) {
        tmpl_fail_undef(r, v.u.undef);
    } else if (v.kind != TMPL_TEXT) {
        tmpl_fail(r, "must be str, not %s", tmpl_type(v));
    }
    return v.kind == TMPL_TEXT ? v.u.text : tmpl_text_of(r, STR(""), false).u.text;
}

/* ---- a growing row of results ---- */

struct tmpl_method_row { struct tmpl_val *at; size_t n, cap; };

static void tmpl_method_push(struct tmpl_run *r, struct tmpl_method_row *row, struct tmpl_val v) {
    if (row->n == row->cap) {
        size_t cap = row->cap ? row->cap * 2 : 8;
        struct tmpl_val *at = tmpl_alloc(r, cap, sizeof *at);
        if (!at) {
            return;
        }
        if (row->n) {
            memcpy(at, row->at, row->n * sizeof *at);
        }
        row->at = at;
        row->cap = cap;
    }
    row->at[row->n++] = v;
}

static struct tmpl_val tmpl_method_list(struct tmpl_run *r, const struct tmpl_method_row *row,
                                        bool reverse) {
    for (size_t i = 0; reverse && i < row->n / 2; i++) {
        struct tmpl_val v = row->at[i];
        row->at[i] = row->at[row->n - 1 - i];
        row->at[row->n - 1 - i] = v;
    }
    return tmpl_seq_of(r, TMPL_LIST, row->at, row->n);
}

/* ---- split and join ---- */

static void tmpl_method_split_words(struct tmpl_run *r, struct tmpl_method_row *row,
                                    const struct tmpl_text *t, int64_t max) {
    size_t i = tmpl_space_after(t->s, 0);
    while (i < t->s.n && tmpl_work(r, 1)) {
        size_t end = i;
        if (max >= 0 && (int64_t)row->n >= max) {
            tmpl_method_push(r, row, tmpl_text_cut(r, t, i, tmpl_space_before(t->s, t->s.n)));
            return;
        }
        while (end < t->s.n && tmpl_space_after(t->s, end) == end) {
            size_t next = end;
            utf8_decode(t->s, &next);
            end = next;
        }
        tmpl_method_push(r, row, tmpl_text_cut(r, t, i, end));
        i = tmpl_space_after(t->s, end);
    }
}

static void tmpl_method_rsplit_words(struct tmpl_run *r, struct tmpl_method_row *row,
                                     const struct tmpl_text *t, int64_t max) {
    size_t end = tmpl_space_before(t->s, t->s.n);
    while (end > 0 && tmpl_work(r, 1)) {
        size_t begin = end;
        if (max >= 0 && (int64_t)row->n >= max) {
            tmpl_method_push(r, row, tmpl_text_cut(r, t, tmpl_space_after(t->s, 0), end));
            return;
        }
        while (begin > 0 && tmpl_space_before(t->s, begin) == begin) {
            begin--;
        }
        tmpl_method_push(r, row, tmpl_text_cut(r, t, begin, end));
        end = tmpl_space_before(t->s, begin);
    }
}

static struct tmpl_val tmpl_method_split_any(struct tmpl_run *r, const struct tmpl_call *c,
                                             bool from_right) {
    const struct tmpl_text *t = c->self.u.text;
    struct tmpl_method_row row = { .at = NULL };
    int64_t max = tmpl_arg_int(r, c->arg[1], -1);
    tmpl_work(r, t->s.n / 16);
    if (!tmpl_method_given(c->arg[0])) {
        (from_right ? tmpl_method_rsplit_words : tmpl_method_split_words)(r, &row, t, max);
        return tmpl_method_list(r, &row, from_right);
    }
    struct str sep = tmpl_method_text(r, c->arg[0])->s;
    size_t begin = 0, end = t->s.n;
    if (!sep.n) {
        tmpl_fail(r, "empty separator");
    }
    while (!r->failed && (max < 0 || (int64_t)row.n < max)) {
        struct str rest = str_sub(t->s, begin, end);
        ptrdiff_t at = from_right ? str_find_last(rest, sep) : str_find(rest, sep);
        if (at < 0) {
            break;
        }
        size_t cut = begin + (size_t)at;
        tmpl_method_push(r, &row,
                         from_right ? tmpl_text_cut(r, t, cut + sep.n, end)
                                    : tmpl_text_cut(r, t, begin, cut));
        begin = from_right ? begin : cut + sep.n;
        end = from_right ? cut : end;
    }
    tmpl_method_push(r, &row, tmpl_text_cut(r, t, begin, end));
    return tmpl_method_list(r, &row, from_right);
}

static struct tmpl_val tmpl_method_split(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_split_any(r, c, false);
}

static struct tmpl_val tmpl_method_rsplit(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_split_any(r, c, true);
}

static bool tmpl_method_line_end(uint32_t cp) {
    return (cp >= 10 && cp <= 13) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028
           || cp == 0x2029;
}

MLXK_FN struct tmpl_val tmpl_split_lines(struct tmpl_run *r, const struct tmpl_text *t,
                                         bool keep_ends) {
    struct tmpl_method_row row = { .at = NULL };
    size_t begin = 0;
    tmpl_work(r, t->s.n / 16);
    for (size_t i = 0; i < t->s.n && !r->failed;) {
        size_t at = i;
        if (!tmpl_method_line_end(utf8_decode(t->s, &i))) {
            continue;
        }
        i += t->s.p[at] == '\r' && i < t->s.n && t->s.p[i] == '\n';
        tmpl_method_push(r, &row, tmpl_text_cut(r, t, begin, keep_ends ? i : at));
        begin = i;
    }
    if (begin < t->s.n) {
        tmpl_method_push(r, &row, tmpl_text_cut(r, t, begin, t->s.n));
    }
    return tmpl_method_list(r, &row, false);
}

static struct tmpl_val tmpl_method_splitlines(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_split_lines(r, c->self.u.text, tmpl_truth(c->arg[0]));
}

static struct tmpl_val tmpl_method_partition_any(struct tmpl_run *r, const struct tmpl_call *c,
                                                 bool from_right) {
    const struct tmpl_text *t = c->self.u.text, *sep = tmpl_method_text(r, c->arg[0]);
    struct tmpl_val *at = tmpl_alloc(r, 3, sizeof *at), empty = tmpl_text_of(r, STR(""), false);
    if (!at || !sep->s.n) {
        tmpl_fail(r, "empty separator");
        return tmpl_none();
    }
    ptrdiff_t cut = from_right ? str_find_last(t->s, sep->s) : str_find(t->s, sep->s);
    at[0] = cut >= 0 ? tmpl_text_cut(r, t, 0, (size_t)cut) : from_right ? empty : c->self;
    at[1] = cut >= 0 ? tmpl_text_val(sep) : empty;
    at[2] = cut >= 0     ? tmpl_text_cut(r, t, (size_t)cut + sep->s.n, t->s.n)
            : from_right ? c->self
                         : empty;
    return tmpl_seq_of(r, TMPL_TUPLE, at, 3);
}

static struct tmpl_val tmpl_method_partition(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_partition_any(r, c, false);
}

static struct tmpl_val tmpl_method_rpartition(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_partition_any(r, c, true);
}

static struct tmpl_val tmpl_method_join(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_out o = { .p = NULL };
    const struct tmpl_val *at;
    size_t n;
    if (!tmpl_items(r, c->arg[0], &at, &n)) {
        return tmpl_none();
    }
    for (size_t i = 0; i < n && tmpl_work(r, 1); i++) {
        if (i) {
            tmpl_out_text(r, &o, c->self.u.text);
        }
        if (at[i].kind != TMPL_TEXT) {
            tmpl_fail(r, "sequence item %zu: expected str instance, %s found", i, tmpl_type(at[i]));
            break;
        }
        tmpl_out_text(r, &o, at[i].u.text);
    }
    return tmpl_out_val(r, &o);
}

/* ---- searching ---- */

/* [start, end) arguments as byte offsets; false when start lies past the end. */
static bool tmpl_method_window(struct tmpl_run *r, const struct tmpl_call *c, size_t *from,
                               size_t *to) {
    struct str s = c->self.u.text->s;
    *from = 0;
    *to = s.n;
    tmpl_work(r, s.n / 16);
    if (!tmpl_method_given(c->arg[1]) && !tmpl_method_given(c->arg[2])) {
        return true;
    }
    int64_t n = (int64_t)tmpl_count(r, s);
    int64_t first = tmpl_arg_int(r, c->arg[1], 0), last = tmpl_arg_int(r, c->arg[2], n);
    first = first < 0 ? (first < -n ? 0 : first + n) : first;
    last = last < 0 ? (last < -n ? 0 : last + n) : last > n ? n : last;
    *from = tmpl_offset(s, (size_t)first);
    *to = tmpl_offset(s, (size_t)last);
    return first <= last && first <= n;
}

static int64_t tmpl_method_search(struct tmpl_run *r, const struct tmpl_call *c, bool last) {
    size_t from, to;
    struct str s = c->self.u.text->s, what = tmpl_method_text(r, c->arg[0])->s;
    if (!tmpl_method_window(r, c, &from, &to)) {
        return -1;
    }
    struct str part = str_sub(s, from, to);
    ptrdiff_t at = last ? str_find_last(part, what) : str_find(part, what);
    return at < 0 ? -1 : (int64_t)tmpl_count(r, str_sub(s, 0, from + (size_t)at));
}

static struct tmpl_val tmpl_method_find(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_int(tmpl_method_search(r, c, false));
}

static struct tmpl_val tmpl_method_rfind(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_int(tmpl_method_search(r, c, true));
}

static struct tmpl_val tmpl_method_found(struct tmpl_run *r, int64_t at) {
    if (at < 0) {
        tmpl_fail(r, "substring not found");
    }
    return tmpl_int(at);
}

static struct tmpl_val tmpl_method_index(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_found(r, tmpl_method_search(r, c, false));
}

static struct tmpl_val tmpl_method_rindex(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_found(r, tmpl_method_search(r, c, true));
}

static struct tmpl_val tmpl_method_count(struct tmpl_run *r, const struct tmpl_call *c) {
    size_t from, to;
    struct str what = tmpl_method_text(r, c->arg[0])->s;
    int64_t n = 0;
    if (!tmpl_method_window(r, c, &from, &to)) {
        return tmpl_int(0);
    }
    struct str rest = str_sub(c->self.u.text->s, from, to);
    if (!what.n) {
        return tmpl_int((int64_t)tmpl_count(r, rest) + 1);
    }
    for (ptrdiff_t at; (at = str_find(rest, what)) >= 0 && tmpl_work(r, 1); n++) {
        rest = str_sub(rest, (size_t)at + what.n, rest.n);
    }
    return tmpl_int(n);
}

/* startswith and endswith take one text or a tuple of them. */
static struct tmpl_val tmpl_method_affix(struct tmpl_run *r, const struct tmpl_call *c,
                                         bool (*has)(struct str, struct str)) {
    size_t from, to, n = 1;
    const struct tmpl_val *at = &c->arg[0];
    bool in_range = tmpl_method_window(r, c, &from, &to);
    if (c->arg[0].kind == TMPL_SEQ && c->arg[0].u.seq->flavor == TMPL_TUPLE) {
        at = c->arg[0].u.seq->at;
        n = c->arg[0].u.seq->n;
    }
    for (size_t i = 0; i < n && !r->failed; i++) {
        if (has(str_sub(c->self.u.text->s, from, to), tmpl_method_text(r, at[i])->s) && in_range
            && !r->failed) {
            return tmpl_bool(true);
        }
    }
    return tmpl_bool(false);
}

static struct tmpl_val tmpl_method_startswith(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_affix(r, c, str_starts);
}

static struct tmpl_val tmpl_method_endswith(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_affix(r, c, str_ends);
}

/* ---- changed copies ---- */

/* "" is found between all characters, as in Python. */
static struct tmpl_val tmpl_method_interleave(struct tmpl_run *r, const struct tmpl_text *t,
                                              const struct tmpl_text *with, int64_t max) {
    struct tmpl_out o = { .p = NULL };
    size_t i = 0;
    for (int64_t done = 0; (max < 0 || done < max) && tmpl_work(r, 1); done++) {
        size_t at = i;
        tmpl_out_text(r, &o, with);
        if (i >= t->s.n) {
            return tmpl_out_val(r, &o);
        }
        utf8_decode(t->s, &i);
        tmpl_out_part(r, &o, t, at, i);
    }
    tmpl_out_part(r, &o, t, i, t->s.n);
    return tmpl_out_val(r, &o);
}

MLXK_FN struct tmpl_val tmpl_replace(struct tmpl_run *r, const struct tmpl_text *t,
                                     const struct tmpl_text *old, const struct tmpl_text *with,
                                     int64_t max) {
    struct tmpl_out o = { .p = NULL };
    size_t begin = 0;
    tmpl_work(r, t->s.n / 16);
    if (!old->s.n) {
        return tmpl_method_interleave(r, t, with, max);
    }
    for (int64_t done = 0; (max < 0 || done < max) && tmpl_work(r, 1); done++) {
        ptrdiff_t at = str_find(str_sub(t->s, begin, t->s.n), old->s);
        if (at < 0) {
            break;
        }
        tmpl_out_part(r, &o, t, begin, begin + (size_t)at);
        tmpl_out_text(r, &o, with);
        begin += (size_t)at + old->s.n;
    }
    if (!begin) {
        return tmpl_text_val(t);
    }
    tmpl_out_part(r, &o, t, begin, t->s.n);
    return tmpl_out_val(r, &o);
}

static struct tmpl_val tmpl_method_replace(struct tmpl_run *r, const struct tmpl_call *c) {
    const struct tmpl_text *old = tmpl_method_text(r, c->arg[0]),
                           *with = tmpl_method_text(r, c->arg[1]);
    return tmpl_replace(r, c->self.u.text, old, with, tmpl_arg_int(r, c->arg[2], -1));
}

static struct tmpl_val tmpl_method_strip_any(struct tmpl_run *r, const struct tmpl_call *c,
                                             bool left, bool right) {
    const struct tmpl_text *chars =
        tmpl_method_given(c->arg[0]) ? tmpl_method_text(r, c->arg[0]) : NULL;
    return tmpl_strip(r, c->self.u.text, chars, left, right);
}

static struct tmpl_val tmpl_method_strip(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_strip_any(r, c, true, true);
}

static struct tmpl_val tmpl_method_lstrip(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_strip_any(r, c, true, false);
}

static struct tmpl_val tmpl_method_rstrip(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_strip_any(r, c, false, true);
}

static struct tmpl_val tmpl_method_removeprefix(struct tmpl_run *r, const struct tmpl_call *c) {
    const struct tmpl_text *t = c->self.u.text, *part = tmpl_method_text(r, c->arg[0]);
    return str_starts(t->s, part->s) ? tmpl_text_cut(r, t, part->s.n, t->s.n) : c->self;
}

static struct tmpl_val tmpl_method_removesuffix(struct tmpl_run *r, const struct tmpl_call *c) {
    const struct tmpl_text *t = c->self.u.text, *part = tmpl_method_text(r, c->arg[0]);
    return str_ends(t->s, part->s) ? tmpl_text_cut(r, t, 0, t->s.n - part->s.n) : c->self;
}

/* Pads to a width with c->arg[1] or a space; left: how many of n go in front. */
static struct tmpl_val tmpl_method_pad(struct tmpl_run *r, const struct tmpl_call *c,
                                       size_t (*left)(size_t pad, size_t width)) {
    struct tmpl_out o = { .p = NULL };
    size_t n = tmpl_count(r, c->self.u.text->s);
    int64_t width = tmpl_arg_int(r, c->arg[0], 0);
    size_t pad = width > (int64_t)n ? (size_t)width - n : 0, before = left(pad, (size_t)width);
    struct str fill = tmpl_method_given(c->arg[1]) ? tmpl_method_text(r, c->arg[1])->s : STR(" ");
    if (utf8_count(fill) != 1) {
        tmpl_fail(r, "the fill character must be exactly one character long");
    }
    for (size_t i = 0; i < pad && tmpl_work(r, 1); i++) {
        if (i == before) {
            tmpl_out_text(r, &o, c->self.u.text);
        }
        tmpl_out_add(r, &o, fill, false);
    }
    if (before >= pad) {
        tmpl_out_text(r, &o, c->self.u.text);
    }
    return tmpl_out_val(r, &o);
}

static size_t tmpl_method_pad_left(size_t pad, size_t width) {
    (void)width;
    return pad;
}

static size_t tmpl_method_pad_right(size_t pad, size_t width) {
    (void)pad;
    (void)width;
    return 0;
}

/* An odd rest goes to the left when the width is odd, as in Python. */
static size_t tmpl_method_pad_center(size_t pad, size_t width) {
    return pad / 2 + (pad & width & 1);
}

static struct tmpl_val tmpl_method_rjust(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_pad(r, c, tmpl_method_pad_left);
}

static struct tmpl_val tmpl_method_ljust(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_pad(r, c, tmpl_method_pad_right);
}

static struct tmpl_val tmpl_method_center(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_pad(r, c, tmpl_method_pad_center);
}

static struct tmpl_val tmpl_method_zfill(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_out o = { .p = NULL };
    const struct tmpl_text *t = c->self.u.text;
    size_t n = tmpl_count(r, t->s), sign = t->s.n && (t->s.p[0] == '-' || t->s.p[0] == '+');
    int64_t width = tmpl_arg_int(r, c->arg[0], 0);
    tmpl_out_part(r, &o, t, 0, sign);
    tmpl_out_pad(r, &o, '0', width > (int64_t)n ? (size_t)width - n : 0);
    tmpl_out_part(r, &o, t, sign, t->s.n);
    return tmpl_out_val(r, &o);
}

static struct tmpl_val tmpl_method_upper(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_recase(r, c->self.u.text, TMPL_UPPER);
}

static struct tmpl_val tmpl_method_lower(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_recase(r, c->self.u.text, TMPL_LOWER);
}

static struct tmpl_val tmpl_method_swapcase(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_recase(r, c->self.u.text, TMPL_SWAP);
}

static struct tmpl_val tmpl_method_title(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_recase(r, c->self.u.text, TMPL_TITLE);
}

static struct tmpl_val tmpl_method_capitalize(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_recase(r, c->self.u.text, TMPL_CAPITALIZE);
}

static struct tmpl_val tmpl_method_format(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_format(r, c->self.u.text, c->raw);
}

/* ---- questions about characters ---- */

static bool tmpl_method_all(struct tmpl_run *r, struct str s, bool (*is)(uint32_t cp)) {
    for (size_t i = 0; i < s.n && tmpl_work(r, 1);) {
        if (!is(utf8_decode(s, &i))) {
            return false;
        }
    }
    return s.n > 0;
}

static bool tmpl_method_alnum(uint32_t cp) {
    return tmpl_is_alpha(cp) || tmpl_is_digit(cp);
}

static bool tmpl_method_word(uint32_t cp) {
    return tmpl_method_alnum(cp) || cp == '_';
}

static bool tmpl_method_ascii(uint32_t cp) {
    return cp < 0x80;
}

static struct tmpl_val tmpl_method_isalpha(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(tmpl_method_all(r, c->self.u.text->s, tmpl_is_alpha));
}

static struct tmpl_val tmpl_method_isdigit(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(tmpl_method_all(r, c->self.u.text->s, tmpl_is_digit));
}

static struct tmpl_val tmpl_method_isalnum(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(tmpl_method_all(r, c->self.u.text->s, tmpl_method_alnum));
}

static struct tmpl_val tmpl_method_isspace(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(tmpl_method_all(r, c->self.u.text->s, tmpl_is_space));
}

static struct tmpl_val tmpl_method_isascii(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(!c->self.u.text->s.n
                     || tmpl_method_all(r, c->self.u.text->s, tmpl_method_ascii));
}

static struct tmpl_val tmpl_method_isprintable(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(!c->self.u.text->s.n
                     || tmpl_method_all(r, c->self.u.text->s, tmpl_is_printable));
}

static struct tmpl_val tmpl_method_isidentifier(struct tmpl_run *r, const struct tmpl_call *c) {
    struct str s = c->self.u.text->s;
    return tmpl_bool(tmpl_method_all(r, s, tmpl_method_word) && !(s.p[0] >= '0' && s.p[0] <= '9'));
}

static struct tmpl_val tmpl_method_is_case(struct tmpl_run *r, struct str s,
                                           uint32_t (*other)(uint32_t), uint32_t (*own)(uint32_t)) {
    bool any = false;
    for (size_t i = 0; i < s.n && tmpl_work(r, 1);) {
        uint32_t cp = utf8_decode(s, &i);
        if (own(cp) != cp) {
            return tmpl_bool(false);
        }
        any = any || other(cp) != cp;
    }
    return tmpl_bool(any);
}

static struct tmpl_val tmpl_method_isupper(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_is_case(r, c->self.u.text->s, tmpl_lower, tmpl_upper);
}

static struct tmpl_val tmpl_method_islower(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_method_is_case(r, c->self.u.text->s, tmpl_upper, tmpl_lower);
}

/* ---- dictionaries and rows ---- */

static struct tmpl_val tmpl_method_get(struct tmpl_run *r, const struct tmpl_call *c) {
    const struct tmpl_val *found = tmpl_dict_get(r, c->self.u.dict, c->arg[0]);
    return found ? *found : c->arg[1].kind == TMPL_MISSING ? tmpl_none() : c->arg[1];
}

static struct tmpl_val tmpl_method_items(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_dict_row(r, c->self.u.dict, TMPL_ITEMS);
}

static struct tmpl_val tmpl_method_keys(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_dict_row(r, c->self.u.dict, TMPL_KEYS);
}

static struct tmpl_val tmpl_method_values(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_dict_row(r, c->self.u.dict, TMPL_VALUES);
}

static struct tmpl_val tmpl_method_copy(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return c->self;
}

static struct tmpl_val tmpl_method_row_count(struct tmpl_run *r, const struct tmpl_call *c) {
    int64_t n = 0;
    for (size_t i = 0; i < c->self.u.seq->n && tmpl_work(r, 1); i++) {
        n += tmpl_equal(r, c->self.u.seq->at[i], c->arg[0]);
    }
    return tmpl_int(n);
}

static struct tmpl_val tmpl_method_row_index(struct tmpl_run *r, const struct tmpl_call *c) {
    for (size_t i = 0; i < c->self.u.seq->n && tmpl_work(r, 1); i++) {
        if (tmpl_equal(r, c->self.u.seq->at[i], c->arg[0])) {
            return tmpl_int((int64_t)i);
        }
    }
    tmpl_fail(r, "the value is not in the %s", tmpl_type(c->self));
    return tmpl_none();
}

/* ---- tables ---- */

static const struct tmpl_entry tmpl_methods_str[] = {
    { "split", tmpl_method_split, "sep maxsplit", 0 }, { "strip", tmpl_method_strip, "chars", 0 },
    { "lstrip", tmpl_method_lstrip, "chars", 0 }, { "rstrip", tmpl_method_rstrip, "chars", 0 },
    { "startswith", tmpl_method_startswith, "prefix start end", 1 },
    { "endswith", tmpl_method_endswith, "suffix start end", 1 },
    { "replace", tmpl_method_replace, "old new count", 2 },
    { "join", tmpl_method_join, "iterable", 1 }, { "upper", tmpl_method_upper, "", 0 },
    { "lower", tmpl_method_lower, "", 0 }, { "title", tmpl_method_title, "", 0 },
    { "capitalize", tmpl_method_capitalize, "", 0 }, { "casefold", tmpl_method_lower, "", 0 },
    { "swapcase", tmpl_method_swapcase, "", 0 }, { "find", tmpl_method_find, "sub start end", 1 },
    { "rfind", tmpl_method_rfind, "sub start end", 1 },
    { "index", tmpl_method_index, "sub start end", 1 },
    { "rindex", tmpl_method_rindex, "sub start end", 1 },
    { "count", tmpl_method_count, "sub start end", 1 }, { "format", tmpl_method_format, NULL, 0 },
    { "rsplit", tmpl_method_rsplit, "sep maxsplit", 0 },
    { "splitlines", tmpl_method_splitlines, "keepends", 0 },
    { "partition", tmpl_method_partition, "sep", 1 },
    { "rpartition", tmpl_method_rpartition, "sep", 1 },
    { "removeprefix", tmpl_method_removeprefix, "prefix", 1 },
    { "removesuffix", tmpl_method_removesuffix, "suffix", 1 },
    { "ljust", tmpl_method_ljust, "width fillchar", 1 },
    { "rjust", tmpl_method_rjust, "width fillchar", 1 },
    { "center", tmpl_method_center, "width fillchar", 1 },
    { "zfill", tmpl_method_zfill, "width", 1 }, { "isalpha", tmpl_method_isalpha, "", 0 },
    { "isdigit", tmpl_method_isdigit, "", 0 }, { "isdecimal", tmpl_method_isdigit, "", 0 },
    { "isnumeric", tmpl_method_isdigit, "", 0 }, { "isalnum", tmpl_method_isalnum, "", 0 },
    { "isspace", tmpl_method_isspace, "", 0 }, { "isascii", tmpl_method_isascii, "", 0 },
    { "isupper", tmpl_method_isupper, "", 0 }, { "islower", tmpl_method_islower, "", 0 },
    { "isprintable", tmpl_method_isprintable, "", 0 },
    { "isidentifier", tmpl_method_isidentifier, "", 0 },
};
static const struct tmpl_entry tmpl_methods_dict[] = {
    { "get", tmpl_method_get, "key default", 1 }, { "items", tmpl_method_items, "", 0 },
    { "keys", tmpl_method_keys, "", 0 }, { "values", tmpl_method_values, "", 0 },
    { "copy", tmpl_method_copy, "", 0 },
};
static const struct tmpl_entry tmpl_methods_row[] = {
    { "index", tmpl_method_row_index, "value", 1 }, { "count", tmpl_method_row_count, "value", 1 },
    { "copy", tmpl_method_copy, "", 0 },                 /* lists only: the last one */
};

MLXK_FN const struct tmpl_entry *tmpl_method(struct tmpl_val obj, struct str name) {
    if (obj.kind == TMPL_TEXT) {
        return tmpl_entry_find(tmpl_methods_str, MLXK_COUNT(tmpl_methods_str), name);
    }
    if (obj.kind == TMPL_DICT) {
        return tmpl_entry_find(tmpl_methods_dict, MLXK_COUNT(tmpl_methods_dict), name);
    }
    if (obj.kind == TMPL_SEQ
        && (obj.u.seq->flavor <= TMPL_RANGE || obj.u.seq->flavor == TMPL_GROUP)) {
        size_t n = MLXK_COUNT(tmpl_methods_row) - (obj.u.seq->flavor != TMPL_LIST);
        return tmpl_entry_find(tmpl_methods_row, n, name);
    }
    return NULL;
}

MLXK_FN bool tmpl_method_mutates(struct tmpl_val obj, struct str name) {
    static const char *const list[] = { "append", "clear", "pop",    "reverse",
                                        "insert", "sort",  "extend", "remove" };
    static const char *const dict[] = { "clear", "pop", "popitem", "setdefault", "update" };
    bool row = obj.kind == TMPL_SEQ && obj.u.seq->flavor == TMPL_LIST;
    size_t n = row ? MLXK_COUNT(list) : obj.kind == TMPL_DICT ? MLXK_COUNT(dict) : 0;
    for (size_t i = 0; i < n; i++) {
        if (str_eq_cstr(name, row ? list[i] : dict[i])) {
            return true;
        }
    }
    return false;
}
