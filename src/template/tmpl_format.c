/* tmpl_format.c: "%" formatting and str.format.
 *
 * Both formatters read their own notation into one struct tmpl_format_spec and share the making of
 * numbers and padding. Covered:
 *   %[(key)][-+ 0#][width|*][.precision|.*]type, types d i u s r a f F e E g G x X o c %
 *   {field!conversion:[[fill]align][sign][#][0][width][,|_][.precision][type]}
 * Fields are names or numbers with .attribute and [index]. Not covered: fields nested inside a
 * format specification.
 *
 * 1. Width and precision are bounded (TMPL_FORMAT_MAX), so a short format cannot make a huge text.
 * Spec: Python 3.11 "printf-style String Formatting", "Format String Syntax".
 */
#include "template/tmpl_int.h"

enum { TMPL_FORMAT_MAX = 1000000, TMPL_FORMAT_MAX_PRECISION = 200 };

struct tmpl_format_spec {
    struct str fill;                 /* one character */
    char align, sign, group, type;   /* 0 = not given */
    bool alternate, zero;
    int64_t width, precision;        /* -1 = not given */
};

/* Where a format text is read and what it is made into. */
struct tmpl_format_state {
    struct tmpl_run *r;
    struct tmpl_out *o;
    const struct tmpl_text *text;
    size_t i;
    const struct tmpl_args *args;
    size_t n_used;
};

static struct tmpl_format_spec tmpl_format_spec_new(void) {
    return (struct tmpl_format_spec){ .fill = { " ", 1 }, .width = -1, .precision = -1 };
}

static char tmpl_format_char(const struct tmpl_format_state *s) {
    return s->i < s->text->s.n ? s->text->s.p[s->i] : '\0';
}

static int64_t tmpl_format_digits(struct tmpl_format_state *s) {
    int64_t n = -1;
    while (tmpl_format_char(s) >= '0' && tmpl_format_char(s) <= '9') {
        n = (n < 0 ? 0 : n) * 10 + (tmpl_format_char(s) - '0');
        s->i++;
        if (n > TMPL_FORMAT_MAX) {
            tmpl_fail(s->r, "width or precision in a format is larger than %d",
                      (int)TMPL_FORMAT_MAX);
            return 0;
        }
    }
    return n;
}

/* ---- output ---- */

/* Text, padded to the width: `>` right, `<` left, `^` centred. */
static void tmpl_format_padded(struct tmpl_run *r, struct tmpl_out *o, const struct tmpl_text *t,
                               const struct tmpl_format_spec *spec, char align) {
    size_t n = tmpl_count(r, t->s), width = spec->width > 0 ? (size_t)spec->width : 0;
    size_t pad = width > n ? width - n : 0;
    size_t before = align == '>' ? pad : align == '^' ? pad / 2 : 0;
    for (size_t i = 0; i < before && !r->failed; i++) {
        tmpl_out_add(r, o, spec->fill, false);
    }
    tmpl_out_text(r, o, t);
    for (size_t i = before; i < pad && !r->failed; i++) {
        tmpl_out_add(r, o, spec->fill, false);
    }
}

static void tmpl_format_text(struct tmpl_run *r, struct tmpl_out *o, const struct tmpl_text *t,
                             const struct tmpl_format_spec *spec, char align) {
    if (spec->precision >= 0) {
        t = tmpl_text_sub(r, t, 0, tmpl_offset(t->s, (size_t)spec->precision));
    }
    tmpl_format_padded(r, o, t, spec, align);
}

static void tmpl_format_upcase(char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        p[i] = p[i] >= 'a' && p[i] <= 'z' ? (char)(p[i] - 32) : p[i];
    }
}

/* Digits of a magnitude in base 2, 8, 10 or 16, prefix included when asked. */
static struct str tmpl_format_integer(struct tmpl_run *r, uint64_t x,
                                      const struct tmpl_format_spec *spec) {
    unsigned base = spec->type == 'x' || spec->type == 'X' ? 16
                    : spec->type == 'o'                    ? 8
                    : spec->type == 'b'                    ? 2
                                                           : 10;
    size_t size = 72 + (spec->precision > 0 ? TMPL_FORMAT_MAX_PRECISION : 0), at = size;
    char *p = tmpl_alloc(r, size, 1);
    if (!p) {
        return STR_EMPTY;
    }
    do {
        p[--at] = "0123456789abcdef"[x % base];
        x /= base;
    } while (x);
    while (spec->precision > (int64_t)(size - at) && at > 4) {
        p[--at] = '0';
    }
    if (spec->alternate && base != 10) {
        p[--at] = base == 16 ? 'x' : base == 8 ? 'o' : 'b';
        p[--at] = '0';
    }
    if (spec->type == 'X') {
        tmpl_format_upcase(p + at, size - at);
    }
    return (struct str){ p + at, size - at };
}

static struct str tmpl_format_real(struct tmpl_run *r, double x,
                                   const struct tmpl_format_spec *spec) {
    int precision = spec->precision < 0 ? 6 : (int)spec->precision;
    char kind = (char)(spec->type | 0x20);
    struct str s;
    if (precision > TMPL_FORMAT_MAX_PRECISION) {
        tmpl_fail(r, "precision in a format is larger than %d", (int)TMPL_FORMAT_MAX_PRECISION);
        return STR_EMPTY;
    }
    if (!spec->type && spec->precision < 0) {
        char digits[32];
        size_t n = num_format_f64(digits, x);
        s = str_format(r->a, "%.*s", (int)n, digits);
    } else if (spec->type == '%') {
        s = str_format(r->a, "%.*f%%", precision, x * 100.0);
    } else if (kind == 'e') {
        s = str_format(r->a, "%.*e", precision, x);
    } else if (kind == 'g' || !spec->type) {
        s = str_format(r->a, "%.*g", precision ? precision : 1, x);
    } else {
        s = str_format(r->a, "%.*f", precision, x);
    }
    if (!s.p) {
        r->failed = true;
        err_oom(r->e, 64, "rendering a chat template");
        return STR_EMPTY;
    }
    if (spec->type == 'E' || spec->type == 'G' || spec->type == 'F') {
        char *copy = tmpl_alloc(r, s.n, 1);
        if (copy) {
            memcpy(copy, s.p, s.n);
            tmpl_format_upcase(copy, s.n);
            s.p = copy;
        }
    }
    return s;
}

/* Puts `group` between every three digits of the integer part. */
static struct str tmpl_format_grouped(struct tmpl_run *r, struct str digits, char group) {
    size_t whole = 0, n = 0;
    while (whole < digits.n && digits.p[whole] >= '0' && digits.p[whole] <= '9') {
        whole++;
    }
    char *p = group ? tmpl_alloc(r, digits.n + digits.n / 3 + 1, 1) : NULL;
    if (!p) {
        return digits;
    }
    for (size_t i = 0; i < digits.n; i++) {
        if (i && i < whole && (whole - i) % 3 == 0) {
            p[n++] = group;
        }
        p[n++] = digits.p[i];
    }
    return (struct str){ p, n };
}

/* Sign, digits and padding of a number; zeros go between sign and digits. */
static void tmpl_format_signed(struct tmpl_run *r, struct tmpl_out *o, bool negative,
                               struct str digits, const struct tmpl_format_spec *spec) {
    struct tmpl_out number = { .p = NULL };
    digits = tmpl_format_grouped(r, digits, spec->group);
    const char *sign_cstr = negative ? "-" : spec->sign == '+' ? "+" : spec->sign == ' ' ? " " : "";
    tmpl_out_add(r, &number, str_cstr(sign_cstr), false);
    size_t used = digits.n + strlen(sign_cstr);
    bool zeros = (spec->zero && !spec->align) || spec->align == '=';
    for (size_t i = used; zeros && (int64_t)i < spec->width && !r->failed; i++) {
        tmpl_out_add(r, &number, spec->zero ? STR("0") : spec->fill, false);
    }
    tmpl_out_add(r, &number, digits, false);
    struct tmpl_val v = tmpl_out_val(r, &number);
    tmpl_format_padded(r, o, v.u.text, spec, spec->align && spec->align != '=' ? spec->align : '>');
}

static void tmpl_format_number(struct tmpl_run *r, struct tmpl_out *o, struct tmpl_val v,
                               const struct tmpl_format_spec *spec) {
    int64_t i = 0;
    bool real = spec->type && strchr("fFeEgG%", spec->type);
    if (!tmpl_as_int(v, &i) || real) {
        double x = tmpl_as_float(v);
        bool negative = x < 0 || (x == 0.0 && 1.0 / x < 0);
        struct str digits = tmpl_format_real(r, negative ? -x : x, spec);
        tmpl_format_signed(r, o, negative, digits, spec);
        return;
    }
    if (spec->type == 'c') {
        char bytes[4];
        size_t n = utf8_encode(bytes, i >= 0 && i <= 0x10FFFF ? (uint32_t)i : 0xFFFD);
        struct str copy = str_dup(r->a, (struct str){ bytes, n });
        tmpl_format_text(r, o, tmpl_text_of(r, copy.p ? copy : STR("?"), false).u.text, spec,
                         spec->align ? spec->align : '<');
        return;
    }
    uint64_t magnitude = i < 0 ? (uint64_t)0 - (uint64_t)i : (uint64_t)i;
    tmpl_format_signed(r, o, i < 0, tmpl_format_integer(r, magnitude, spec), spec);
}

/* ---- percent ---- */

static struct tmpl_val tmpl_format_next(struct tmpl_format_state *s) {
    if (s->n_used >= s->args->n) {
        tmpl_fail(s->r, "not enough arguments for format string");
        return tmpl_none();
    }
    return s->args->at[s->n_used++];
}

static int64_t tmpl_format_star(struct tmpl_format_state *s) {
    if (tmpl_format_char(s) != '*') {
        return tmpl_format_digits(s);
    }
    s->i++;
    int64_t n = tmpl_arg_int(s->r, tmpl_format_next(s), 0);
    return n < 0 || n > TMPL_FORMAT_MAX ? 0 : n;
}

/* "(key)" behind a percent sign: the value, else MISSING. */
static struct tmpl_val tmpl_format_key(struct tmpl_format_state *s, struct tmpl_val mapping) {
    struct tmpl_val v = { .kind = TMPL_MISSING };
    if (tmpl_format_char(s) != '(') {
        return v;
    }
    size_t begin = ++s->i;
    while (s->i < s->text->s.n && s->text->s.p[s->i] != ')') {
        s->i++;
    }
    struct str key = str_sub(s->text->s, begin, s->i++);
    const struct tmpl_val *found =
        mapping.kind == TMPL_DICT ? tmpl_dict_get_str(mapping.u.dict, key) : NULL;
    if (!found) {
        tmpl_fail(s->r,
                  mapping.kind == TMPL_DICT ? "format key '" STR_FMT "' is missing"
                                            : "format requires a mapping for '" STR_FMT "'",
                  STR_ARG(key));
    }
    return found ? *found : v;
}

static void tmpl_format_percent_flags(struct tmpl_format_state *s, struct tmpl_format_spec *spec) {
    for (;; s->i++) {
        char c = tmpl_format_char(s);
        if (c == '-') {
            spec->align = '<';
        } else if (c == '+' || (c == ' ' && spec->sign != '+')) {
            spec->sign = c;
        } else if (c == '0') {
            spec->zero = true;
        } else if (c == '#') {
            spec->alternate = true;
        } else if (c != ' ') {
            return;
        }
    }
}

static void tmpl_format_percent_value(struct tmpl_format_state *s, struct tmpl_val v,
                                      struct tmpl_format_spec *spec) {
    struct tmpl_out repr = { .p = NULL };
    char align = spec->align ? spec->align : '>';
    if (spec->type == 's') {
        tmpl_format_text(s->r, s->o, tmpl_str(s->r, v), spec, align);
    } else if (spec->type == 'r' || spec->type == 'a') {
        tmpl_repr(s->r, &repr, v);
        tmpl_format_text(s->r, s->o, tmpl_out_val(s->r, &repr).u.text, spec, align);
    } else if (spec->type == 'c' && v.kind == TMPL_TEXT && utf8_count(v.u.text->s) == 1) {
        tmpl_format_text(s->r, s->o, v.u.text, spec, align);
    } else if (!spec->type || !strchr("diufFeEgGxXoc", spec->type)) {
        tmpl_fail(s->r, "unsupported format character at index %zu", s->i);
    } else if (!tmpl_is_number(v)) {
        tmpl_fail(s->r, "%%%c format: a real number is required, not %s", spec->type, tmpl_type(v));
    } else {
        if (v.kind == TMPL_FLOAT && strchr("diu", spec->type)) {
            double x = v.u.number;
            v = x > -9e18 && x < 9e18 ? tmpl_int((int64_t)x) : v;
        }
        tmpl_format_number(s->r, s->o, v, spec);
    }
}

static void tmpl_format_percent_one(struct tmpl_format_state *s, struct tmpl_val mapping) {
    struct tmpl_format_spec spec = tmpl_format_spec_new();
    struct tmpl_val v = tmpl_format_key(s, mapping);
    tmpl_format_percent_flags(s, &spec);
    spec.width = tmpl_format_star(s);
    if (tmpl_format_char(s) == '.') {
        s->i++;
        spec.precision = tmpl_format_star(s);
        spec.precision = spec.precision < 0 ? 0 : spec.precision;
    }
    spec.type = tmpl_format_char(s);
    if (spec.type == '%') {
        tmpl_out_add(s->r, s->o, STR("%"), false);
    } else if (!spec.type) {
        tmpl_fail(s->r, "incomplete format");
    } else {
        v = v.kind == TMPL_MISSING && !s->r->failed ? tmpl_format_next(s) : v;
        if (!s->r->failed) {
            tmpl_format_percent_value(s, v, &spec);
        }
    }
    s->i++;
}

MLXK_FN struct tmpl_val tmpl_percent(struct tmpl_run *r, const struct tmpl_text *format,
                                     struct tmpl_val args) {
    struct tmpl_out o = { .p = NULL };
    struct tmpl_args given = { .at = &args, .n = 1 };
    struct tmpl_format_state s = { .r = r, .o = &o, .text = format, .args = &given };
    bool tuple = args.kind == TMPL_SEQ
                 && (args.u.seq->flavor == TMPL_TUPLE || args.u.seq->flavor == TMPL_GROUP);
    bool may_remain = args.kind == TMPL_DICT
                      || args.kind == TMPL_UNDEFINED /* what Python takes for a mapping */
                      || (args.kind == TMPL_SEQ
                          && (args.u.seq->flavor == TMPL_LIST || args.u.seq->flavor == TMPL_RANGE));
    struct tmpl_val *copy = NULL;
    if (tuple) {
        copy = tmpl_alloc(r, args.u.seq->n, sizeof *copy);
        given.n = args.u.seq->n;
        given.at = copy;
        if (copy && given.n) {
            memcpy(copy, args.u.seq->at, given.n * sizeof *copy);
        }
    }
    while (s.i < format->s.n && !r->failed) {
        size_t begin = s.i;
        while (s.i < format->s.n && format->s.p[s.i] != '%') {
            s.i++;
        }
        tmpl_out_part(r, &o, format, begin, s.i);
        if (s.i < format->s.n) {
            s.i++;
            tmpl_format_percent_one(&s, args);
        }
    }
    if (s.n_used < given.n && !may_remain) {
        tmpl_fail(r, "not all arguments converted during string formatting");
    }
    return tmpl_out_val(r, &o);
}

/* ---- str.format ---- */

/* "name", "0" or "" of a replacement field, then .attribute and [index]; s->i moves behind it. */
static struct tmpl_val tmpl_format_field(struct tmpl_format_state *s) {
    size_t begin = s->i;
    int64_t index = 0;
    while (s->i < s->text->s.n && !strchr(".[!:}", s->text->s.p[s->i])) {
        s->i++;
    }
    struct str name = str_sub(s->text->s, begin, s->i);
    struct tmpl_val v = { .kind = TMPL_MISSING };
    if (!name.n) {
        v = tmpl_format_next(s);
    } else if (num_parse_i64(name, 0, TMPL_FORMAT_MAX, &index)) {
        v = (uint64_t)index < s->args->n ? s->args->at[index] : v;
    }
    for (size_t i = 0; v.kind == TMPL_MISSING && i < s->args->n_named; i++) {
        v = str_eq(s->args->named[i].name, name) ? s->args->named[i].value : v;
    }
    if (v.kind == TMPL_MISSING) {
        tmpl_fail(s->r, "format field '" STR_FMT "' has no argument", STR_ARG(name));
    }
    while (!s->r->failed && (tmpl_format_char(s) == '.' || tmpl_format_char(s) == '[')) {
        bool item = tmpl_format_char(s) == '[';
        begin = ++s->i;
        while (s->i < s->text->s.n && !strchr(item ? "]" : ".[!:}", s->text->s.p[s->i])) {
            s->i++;
        }
        struct str key = str_sub(s->text->s, begin, s->i);
        s->i += item;
        v = !item ? tmpl_attr(s->r, v, key)
          : num_parse_i64(key, 0, INT64_MAX, &index) ? tmpl_item(s->r, v, tmpl_int(index))
          : tmpl_item(s->r, v, tmpl_text_of(s->r, key, false));
    }
    return v;
}

static bool tmpl_format_align(char c) {
    return c == '<' || c == '>' || c == '^' || c == '=';
}

/* Behind ":" up to "}". */
static struct tmpl_format_spec tmpl_format_read_spec(struct tmpl_format_state *s) {
    struct tmpl_format_spec spec = tmpl_format_spec_new();
    size_t next = s->i;
    if (next < s->text->s.n) {
        utf8_decode(s->text->s, &next);
    }
    if (next < s->text->s.n && tmpl_format_align(s->text->s.p[next])) {
        spec.fill = str_sub(s->text->s, s->i, next);
        spec.align = s->text->s.p[next];
        s->i = next + 1;
    } else if (tmpl_format_align(tmpl_format_char(s))) {
        spec.align = s->text->s.p[s->i++];
    }
    char c = tmpl_format_char(s);
    if (c == '+' || c == '-' || c == ' ') {
        spec.sign = c;
        s->i++;
    }
    spec.alternate = tmpl_format_char(s) == '#';
    s->i += spec.alternate;
    spec.zero = tmpl_format_char(s) == '0';
    s->i += spec.zero;
    spec.width = tmpl_format_digits(s);
    if (tmpl_format_char(s) == ',' || tmpl_format_char(s) == '_') {
        spec.group = s->text->s.p[s->i++];
    }
    if (tmpl_format_char(s) == '.') {
        s->i++;
        spec.precision = tmpl_format_digits(s);
    }
    if (tmpl_format_char(s) != '}') {
        spec.type = tmpl_format_char(s);
        s->i++;
    }
    return spec;
}

static void tmpl_format_field_value(struct tmpl_format_state *s, struct tmpl_val v,
                                    const struct tmpl_format_spec *spec) {
    if (tmpl_is_number(v) && (v.kind != TMPL_BOOL || spec->type)) {
        if (spec->type && !strchr("bcdoxXneEfFgG%", spec->type)) {
            tmpl_fail(s->r, "unknown format code '%c' for object of type '%s'", spec->type,
                      tmpl_type(v));
            return;
        }
        tmpl_format_number(s->r, s->o, v, spec);
        return;
    }
    if (spec->type && spec->type != 's') {
        tmpl_fail(s->r, "unknown format code '%c' for object of type '%s'", spec->type,
                  tmpl_type(v));
        return;
    }
    char align = spec->align && spec->align != '=' ? spec->align : '<';
    tmpl_format_text(s->r, s->o, tmpl_str(s->r, v), spec, align);
}

/* Behind "{". */
static void tmpl_format_replace(struct tmpl_format_state *s) {
    struct tmpl_val v = tmpl_format_field(s);
    struct tmpl_format_spec spec = tmpl_format_spec_new();
    if (!s->r->failed && tmpl_format_char(s) == '!') {
        struct tmpl_out repr = { .p = NULL };
        char how = s->i + 1 < s->text->s.n ? s->text->s.p[s->i + 1] : '\0';
        s->i += 2;
        if (how == 'r' || how == 'a') {
            tmpl_repr(s->r, &repr, v);
            v = tmpl_out_val(s->r, &repr);
        } else {
            v = tmpl_text_val(tmpl_str(s->r, v));
        }
    }
    if (!s->r->failed && tmpl_format_char(s) == ':') {
        s->i++;
        spec = tmpl_format_read_spec(s);
    }
    if (tmpl_format_char(s) != '}') {
        tmpl_fail(s->r, "malformed replacement field in a format string");
    }
    s->i++;
    if (!s->r->failed) {
        tmpl_format_field_value(s, v, &spec);
    }
}

MLXK_FN struct tmpl_val tmpl_format(struct tmpl_run *r, const struct tmpl_text *format,
                                    const struct tmpl_args *args) {
    struct tmpl_out o = { .p = NULL };
    struct tmpl_format_state s = { .r = r, .o = &o, .text = format, .args = args };
    while (s.i < format->s.n && !r->failed) {
        char c = format->s.p[s.i];
        if (c != '{' && c != '}') {
            size_t begin = s.i;
            while (s.i < format->s.n && format->s.p[s.i] != '{' && format->s.p[s.i] != '}') {
                s.i++;
            }
            tmpl_out_part(r, &o, format, begin, s.i);
            continue;
        }
        s.i++;
        if (tmpl_format_char(&s) == c) {
            tmpl_out_add(r, &o, c == '{' ? STR("{") : STR("}"), tmpl_text_any_input(format));
            s.i++;
        } else if (c == '{') {
            tmpl_format_replace(&s);
        } else {
            tmpl_fail(r, "single '}' encountered in format string");
        }
    }
    return tmpl_out_val(r, &o);
}
