/* tmpl_filters.c: filters over single values: text, numbers, default; and the look-up of all.
 *
 * Filters that work on rows are in tmpl_seqfilters.c, tojson in tmpl_tojson.c.
 *
 * 1. A filter never changes its subject; it returns a new value or the same one.
 * 2. Names and parameters are Jinja's, so that keyword arguments work.
 * Spec: Jinja 3.1 "List of Builtin Filters". Left out: pprint, random, striptags, urlize, wordwrap,
 * xmlattr, filesizeformat (of no use in a prompt, and random would not be reproducible).
 */
#include "template/tmpl_int.h"

static bool tmpl_filter_given(struct tmpl_val v) {
    return v.kind != TMPL_MISSING && v.kind != TMPL_NONE;
}

/* ---- text ---- */

static struct tmpl_val tmpl_filter_upper(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_recase(r, tmpl_str(r, c->self), TMPL_UPPER);
}

static struct tmpl_val tmpl_filter_lower(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_recase(r, tmpl_str(r, c->self), TMPL_LOWER);
}

static struct tmpl_val tmpl_filter_title(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_recase(r, tmpl_str(r, c->self), TMPL_FILTER_TITLE);
}

static struct tmpl_val tmpl_filter_capitalize(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_recase(r, tmpl_str(r, c->self), TMPL_CAPITALIZE);
}

static struct tmpl_val tmpl_filter_trim(struct tmpl_run *r, const struct tmpl_call *c) {
    const struct tmpl_text *chars = tmpl_filter_given(c->arg[0]) ? tmpl_str(r, c->arg[0]) : NULL;
    return tmpl_strip(r, tmpl_str(r, c->self), chars, true, true);
}

static struct tmpl_val tmpl_filter_string(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_text_val(tmpl_str(r, c->self));
}

static struct tmpl_val tmpl_filter_replace(struct tmpl_run *r, const struct tmpl_call *c) {
    int64_t max = tmpl_arg_int(r, c->arg[2], -1);
    return tmpl_replace(r, tmpl_str(r, c->self), tmpl_str(r, c->arg[0]), tmpl_str(r, c->arg[1]),
                        max);
}

static struct tmpl_val tmpl_filter_as_markup(struct tmpl_run *r, struct tmpl_val v) {
    struct tmpl_text *t = tmpl_alloc(r, 1, sizeof *t);
    if (t) {
        *t = *v.u.text;
        t->markup = true;
        v.u.text = t;
    }
    return v;
}

static struct tmpl_val tmpl_filter_safe(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_filter_as_markup(r, tmpl_text_val(tmpl_str(r, c->self)));
}

MLXK_FN struct tmpl_val tmpl_escape(struct tmpl_run *r, const struct tmpl_text *t, bool force) {
    struct tmpl_out o = { .p = NULL };
    size_t begin = 0;
    if (t->markup && !force) {
        return tmpl_text_val(t);
    }
    for (size_t i = 0; i <= t->s.n && !r->failed; i++) {
        char ch = i < t->s.n ? t->s.p[i] : '\0';
        const char *as_cstr = ch == '&'    ? "&amp;"
                              : ch == '<'  ? "&lt;"
                              : ch == '>'  ? "&gt;"
                              : ch == '"'  ? "&#34;"
                              : ch == '\'' ? "&#39;"
                                           : NULL;
        if (as_cstr || i == t->s.n) {
            tmpl_out_part(r, &o, t, begin, i);
            tmpl_out_add(r, &o, str_cstr(as_cstr), tmpl_text_any_input(t));
            begin = i + 1;
        }
    }
    return tmpl_filter_as_markup(r, tmpl_out_val(r, &o));
}

static struct tmpl_val tmpl_filter_escape(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_escape(r, tmpl_str(r, c->self), false);
}

static struct tmpl_val tmpl_filter_forceescape(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_escape(r, tmpl_str(r, c->self), true);
}

/* Indents every line but the first (unless `first`), and empty ones only with `blank`. */
static struct tmpl_val tmpl_filter_indent(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_out o = { .p = NULL }, pad = { .p = NULL };
    bool first = tmpl_truth(c->arg[1]), blank = tmpl_truth(c->arg[2]);
    if (c->self.kind != TMPL_TEXT) {
        tmpl_fail(r, "indent() needs a text, not %s", tmpl_type(c->self));
        return tmpl_none();
    }
    if (c->arg[0].kind == TMPL_TEXT) {
        tmpl_out_text(r, &pad, c->arg[0].u.text);
    } else {
        int64_t width = tmpl_arg_int(r, c->arg[0], 4);
        tmpl_out_pad(r, &pad, ' ', width > 0 ? (size_t)width : 0);
    }
    const struct tmpl_text *indent = tmpl_out_val(r, &pad).u.text;
    struct tmpl_out whole = { .p = NULL };
    tmpl_out_text(r, &whole, c->self.u.text);
    tmpl_out_add(r, &whole, STR("\n"), false); /* keeps a final empty line, as Jinja does */
    struct tmpl_val lines = tmpl_split_lines(r, tmpl_out_val(r, &whole).u.text, false);
    for (size_t i = 0; !r->failed && i < lines.u.seq->n; i++) {
        const struct tmpl_text *line = lines.u.seq->at[i].u.text;
        tmpl_out_add(r, &o, i ? STR("\n") : STR(""), false);
        if (i ? blank || line->s.n : first) {
            tmpl_out_text(r, &o, indent);
        }
        tmpl_out_text(r, &o, line);
    }
    return tmpl_out_val(r, &o);
}

static struct tmpl_val tmpl_filter_center(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_val text = tmpl_text_val(tmpl_str(r, c->self)),
                    width = tmpl_int(tmpl_arg_int(r, c->arg[0], 80));
    const struct tmpl_args args = { .at = &width, .n = 1 };
    return r->failed ? text : tmpl_invoke(r, tmpl_method(text, STR("center")), text, &args);
}

static struct tmpl_val tmpl_filter_truncate(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_out o = { .p = NULL };
    const struct tmpl_text *t = tmpl_str(r, c->self);
    const struct tmpl_text *end = tmpl_filter_given(c->arg[2])
                                      ? tmpl_str(r, c->arg[2])
                                      : tmpl_text_of(r, STR("..."), false).u.text;
    int64_t length = tmpl_arg_int(r, c->arg[0], 255), leeway = tmpl_arg_int(r, c->arg[3], 5);
    int64_t room = length - (int64_t)tmpl_count(r, end->s);
    size_t n = 0;
    if (room < 0 || leeway < 0) {
        tmpl_fail(r, "truncate() needs a length of at least the ending's");
    } else if (c->self.kind != TMPL_TEXT
               && (!tmpl_length(c->self, &n) || (int64_t)n - leeway > length)) {
        tmpl_fail(r, "type %s can't be truncated", tmpl_type(c->self));
    }
    if (c->self.kind != TMPL_TEXT) {
        return c->self;
    }
    if (r->failed || (int64_t)tmpl_count(r, t->s) - leeway <= length) {
        return tmpl_text_val(t);
    }
    size_t cut = tmpl_offset(t->s, (size_t)room);
    ptrdiff_t space = tmpl_truth(c->arg[1]) ? -1 : str_find_last(str_sub(t->s, 0, cut), STR(" "));
    tmpl_out_part(r, &o, t, 0, space >= 0 ? (size_t)space : cut);
    tmpl_out_text(r, &o, end);
    return tmpl_out_val(r, &o);
}

static struct tmpl_val tmpl_filter_wordcount(struct tmpl_run *r, const struct tmpl_call *c) {
    struct str s = tmpl_str(r, c->self)->s;
    int64_t n = 0;
    bool inside = false;
    for (size_t i = 0; i < s.n && tmpl_work(r, 1);) {
        uint32_t cp = utf8_decode(s, &i);
        bool word = tmpl_is_alpha(cp) || tmpl_is_digit(cp) || cp == '_';
        n += word && !inside;
        inside = word;
    }
    return tmpl_int(n);
}

static void tmpl_filter_quote(struct tmpl_run *r, struct tmpl_out *o, const struct tmpl_text *t,
                              bool in_query) {
    bool input = tmpl_text_any_input(t);
    for (size_t i = 0; i < t->s.n && tmpl_work(r, 1); i++) {
        unsigned char ch = (unsigned char)t->s.p[i];
        bool plain =
            ch < 0x80 && (tmpl_is_alpha(ch) || tmpl_is_digit(ch) || strchr("_.-~", ch + (ch == 0)));
        if (plain || (ch == '/' && !in_query)) {
            tmpl_out_part(r, o, t, i, i + 1);
        } else if (ch == ' ' && in_query) {
            tmpl_out_add(r, o, STR("+"), input);
        } else {
            char hex[3] = { '%', "0123456789ABCDEF"[ch >> 4], "0123456789ABCDEF"[ch & 15] };
            tmpl_out_add(r, o, (struct str){ hex, 3 }, input);
        }
    }
}

static struct tmpl_val tmpl_filter_urlencode(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_out o = { .p = NULL };
    const struct tmpl_val *at;
    size_t n;
    struct tmpl_val rows =
        c->self.kind == TMPL_DICT ? tmpl_dict_row(r, c->self.u.dict, TMPL_ITEMS) : c->self;
    if (rows.kind == TMPL_TEXT || !tmpl_iterable(rows)) {
        tmpl_filter_quote(r, &o, tmpl_str(r, rows), false);
        return tmpl_out_val(r, &o);
    }
    for (size_t i = tmpl_items(r, rows, &at, &n) ? 0 : SIZE_MAX; !r->failed && i < n; i++) {
        if (at[i].kind != TMPL_SEQ || at[i].u.seq->n != 2) {
            tmpl_fail(r, "urlencode() needs a text, a mapping or pairs");
            break;
        }
        tmpl_out_add(r, &o, i ? STR("&") : STR(""), false);
        tmpl_filter_quote(r, &o, tmpl_str(r, at[i].u.seq->at[0]), true);
        tmpl_out_add(r, &o, STR("="), false);
        tmpl_filter_quote(r, &o, tmpl_str(r, at[i].u.seq->at[1]), true);
    }
    return tmpl_out_val(r, &o);
}

static struct tmpl_val tmpl_filter_format(struct tmpl_run *r, const struct tmpl_call *c) {
    if (c->raw->n && c->raw->n_named) {
        tmpl_fail(r, "format() can't take positional and keyword arguments at the same time");
        return tmpl_none();
    }
    if (!c->raw->n_named) {
        return tmpl_percent(r, tmpl_str(r, c->self),
                            tmpl_seq_of(r, TMPL_TUPLE, c->raw->at, c->raw->n));
    }
    struct tmpl_dict *d = tmpl_dict_new(r, c->raw->n_named);
    for (size_t i = 0; i < c->raw->n_named; i++) {
        tmpl_dict_put(r, d, tmpl_text_of(r, c->raw->named[i].name, false), c->raw->named[i].value);
    }
    return tmpl_percent(r, tmpl_str(r, c->self), tmpl_dict_val(d));
}

/* ---- default ---- */

static struct tmpl_val tmpl_filter_default(struct tmpl_run *r, const struct tmpl_call *c) {
    if (c->self.kind == TMPL_UNDEFINED || (tmpl_truth(c->arg[1]) && !tmpl_truth(c->self))) {
        return c->arg[0].kind == TMPL_MISSING ? tmpl_text_of(r, STR(""), false) : c->arg[0];
    }
    return c->self;
}

/* ---- numbers ---- */

/* int("..."): white space, sign, digits with single underscores, prefix of the base. */
static bool tmpl_filter_parse_int(struct str s, int64_t base, int64_t *out) {
    size_t begin = tmpl_space_after(s, 0), end = tmpl_space_before(s, s.n), n_digits = 0;
    bool negative = begin < end && s.p[begin] == '-';
    int64_t value = 0;
    begin += begin < end && (s.p[begin] == '-' || s.p[begin] == '+');
    if (begin + 1 < end && s.p[begin] == '0') {
        char mark = (char)(s.p[begin + 1] | 0x20);
        int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
        if (marked && (base == marked || base == 0)) {
            base = marked;
            begin += 2;
        }
    }
    base = base == 0 ? 10 : base;
    for (size_t i = begin; i < end; i++) {
        char ch = s.p[i], low = (char)(ch | 0x20);
        int d = ch >= '0' && ch <= '9' ? ch - '0' : low >= 'a' && low <= 'z' ? low - 'a' + 10 : 99;
        if (ch == '_' && n_digits && i + 1 < end && s.p[i + 1] != '_') {
            continue;
        }
        if (d >= base || __builtin_mul_overflow(value, base, &value)
            || __builtin_sub_overflow(value, d, &value)) {
            return false;
        }
        n_digits++;
    }
    *out = value;                    /* gathered as a negative number, whose range is larger */
    return n_digits > 0 && (negative || !__builtin_sub_overflow((int64_t)0, value, out));
}

/* float("..."): white space around a decimal number, inf or nan. */
static bool tmpl_filter_parse_float(struct tmpl_run *r, struct str s, double *out) {
    size_t begin = tmpl_space_after(s, 0), end = tmpl_space_before(s, s.n);
    struct str body = str_sub(s, begin, end);
    bool negative = body.n && body.p[0] == '-';
    body = str_sub(body, body.n && (body.p[0] == '-' || body.p[0] == '+'), body.n);
    tmpl_work(r, s.n / 16);
    if (str_ieq(body, STR("inf")) || str_ieq(body, STR("infinity"))) {
        *out = __builtin_inf();
    } else if (str_ieq(body, STR("nan"))) {
        *out = __builtin_nan("");
    } else if (!body.n || body.p[0] == '-' || body.p[0] == '+' || !num_parse_f64(body, out)) {
        return false;
    }
    *out = negative ? -*out : *out;
    return true;
}

static bool tmpl_filter_float_to_int(double x, int64_t *out) {
    bool fits = x > -9.2233720368547e18 && x < 9.2233720368547e18;
    *out = fits ? (int64_t)x : 0;
    return fits;
}

static struct tmpl_val tmpl_filter_int(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_val absent = c->arg[0].kind == TMPL_MISSING ? tmpl_int(0) : c->arg[0];
    int64_t i = 0, base = tmpl_arg_int(r, c->arg[1], 10);
    double x = 0;
    if (c->self.kind == TMPL_UNDEFINED) {
        tmpl_fail_undef(r, c->self.u.undef);
    } else if (tmpl_as_int(c->self, &i)) {
        return tmpl_int(i);
    } else if (c->self.kind == TMPL_BIG) {
        return c->self;
    } else if (c->self.kind == TMPL_TEXT) {
        if (tmpl_filter_parse_int(c->self.u.text->s, base, &i)
            || (tmpl_filter_parse_float(r, c->self.u.text->s, &x)
                && tmpl_filter_float_to_int(x, &i))) {
            return tmpl_int(i);
        }
    } else if (c->self.kind == TMPL_FLOAT && tmpl_filter_float_to_int(c->self.u.number, &i)) {
        return tmpl_int(i);
    }
    return absent;
}

static struct tmpl_val tmpl_filter_float(struct tmpl_run *r, const struct tmpl_call *c) {
    double x = 0;
    if (c->self.kind == TMPL_UNDEFINED) {
        tmpl_fail_undef(r, c->self.u.undef);
    } else if (tmpl_is_number(c->self)) {
        return tmpl_float(tmpl_as_float(c->self));
    } else if (c->self.kind == TMPL_TEXT && tmpl_filter_parse_float(r, c->self.u.text->s, &x)) {
        return tmpl_float(x);
    }
    return c->arg[0].kind == TMPL_MISSING ? tmpl_float(0.0) : c->arg[0];
}

static struct tmpl_val tmpl_filter_abs(struct tmpl_run *r, const struct tmpl_call *c) {
    int64_t i = 0;
    if (tmpl_as_int(c->self, &i) && i != INT64_MIN) {
        return tmpl_int(i < 0 ? -i : i);
    }
    if (c->self.kind != TMPL_FLOAT) {
        tmpl_fail(r, "bad operand type for abs(): '%s'", tmpl_type(c->self));
    }
    return tmpl_float(tmpl_as_float(c->self) < 0 ? -tmpl_as_float(c->self)
                                                 : tmpl_as_float(c->self));
}

/* Round half to even of the decimal value, as Python's round: printing does exactly that. */
static double tmpl_filter_round_half_even(struct tmpl_run *r, double x, int digits) {
    double scale = 1.0, out = x;
    if (digits >= 0) {
        struct str s = str_format(r->a, "%.*f", digits, x);
        return s.p && num_parse_f64(s, &out) ? out : x;
    }
    for (int i = digits; i < 0; i++) {
        scale *= 10.0;
    }
    return __builtin_rint(x / scale) * scale;
}

static struct tmpl_val tmpl_filter_round(struct tmpl_run *r, const struct tmpl_call *c) {
    int64_t digits = tmpl_arg_int(r, c->arg[0], 0);
    struct str method = tmpl_filter_given(c->arg[1]) ? tmpl_str(r, c->arg[1])->s : STR("common");
    double x = tmpl_is_number(c->self) ? tmpl_as_float(c->self) : 0.0, scale = 1.0;
    bool ceil = str_eq_cstr(method, "ceil"), floor = str_eq_cstr(method, "floor");
    int64_t i = 0;
    if (c->self.kind == TMPL_UNDEFINED) {
        tmpl_fail_undef(r, c->self.u.undef);
    } else if (!tmpl_is_number(c->self) || digits < -300 || digits > 300) {
        tmpl_fail(r, "type %s can't be rounded", tmpl_type(c->self));
    } else if (!ceil && !floor && !str_eq_cstr(method, "common")) {
        tmpl_fail(r, "method must be common, ceil or floor");
    }
    if (r->failed) {
        return tmpl_none();
    }
    if (!ceil && !floor && tmpl_as_int(c->self, &i) && digits >= 0) {
        return tmpl_int(i);
    }
    if (!ceil && !floor) {
        double rounded = tmpl_filter_round_half_even(r, x, (int)digits);
        return tmpl_as_int(c->self, &i) && tmpl_filter_float_to_int(rounded, &i)
                   ? tmpl_int(i)
                   : tmpl_float(rounded);
    }
    for (int64_t k = 0; k < (digits < 0 ? -digits : digits); k++) {
        scale *= 10.0;
    }
    scale = digits < 0 ? 1.0 / scale : scale;
    return tmpl_float((ceil ? __builtin_ceil(x * scale) : __builtin_floor(x * scale)) / scale);
}

/* ---- the table ---- */

static const struct tmpl_entry tmpl_filter_table[] = {
    { "trim", tmpl_filter_trim, "chars", 0 },
    { "tojson", tmpl_tojson, "ensure_ascii indent separators sort_keys", 0 },
    { "default", tmpl_filter_default, "default_value boolean", 0 },
    { "d", tmpl_filter_default, "default_value boolean", 0 },
    { "string", tmpl_filter_string, "", 0 }, { "safe", tmpl_filter_safe, "", 0 },
    { "upper", tmpl_filter_upper, "", 0 }, { "lower", tmpl_filter_lower, "", 0 },
    { "title", tmpl_filter_title, "", 0 }, { "capitalize", tmpl_filter_capitalize, "", 0 },
    { "replace", tmpl_filter_replace, "old new count", 2 },
    { "indent", tmpl_filter_indent, "width first blank", 0 },
    { "int", tmpl_filter_int, "default base", 0 }, { "float", tmpl_filter_float, "default", 0 },
    { "abs", tmpl_filter_abs, "", 0 }, { "round", tmpl_filter_round, "precision method", 0 },
    { "escape", tmpl_filter_escape, "", 0 }, { "e", tmpl_filter_escape, "", 0 },
    { "forceescape", tmpl_filter_forceescape, "", 0 }, { "center", tmpl_filter_center, "width", 0 },
    { "format", tmpl_filter_format, NULL, 0 },
    { "truncate", tmpl_filter_truncate, "length killwords end leeway", 0 },
    { "urlencode", tmpl_filter_urlencode, "", 0 }, { "wordcount", tmpl_filter_wordcount, "", 0 },
};

MLXK_FN const struct tmpl_entry *tmpl_filter(struct str name) {
    const struct tmpl_entry *found =
        tmpl_entry_find(tmpl_filter_table, MLXK_COUNT(tmpl_filter_table), name);
    return found ? found : tmpl_seq_filter(name);
}
