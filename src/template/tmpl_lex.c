/* tmpl_lex.c: template source -> tokens, pulled one at a time.
 *
 * Text outside of tags becomes DATA tokens, comments vanish, raw blocks become DATA. White space
 * around tags is treated here, so the parser never sees it:
 *
 * 1. The source has "\n" line ends only, and one line end at its very end is dropped
 *    (tmpl_lex_source).
 * 2. "-" inside a tag removes all white space on that side; "+" keeps it.
 * 3. lstrip_blocks: white space between the start of a line and a block or comment tag goes away;
 *    trim_blocks: one line end behind a block or comment goes away. Neither applies to {{ }}.
 * 4. Inside a tag the closing mark is only recognised when all brackets are closed.
 *
 * Source texts hold at most TMPL_MAX_SOURCE bytes, so positions fit 32 bits.
 * Spec: Jinja 3.1 template designer documentation, "Whitespace Control", "Escaping".
 */
#include "template/tmpl_int.h"

/* ---- the source as a whole ---- */

MLXK_FN struct str tmpl_lex_source(struct arena *a, struct str source, struct err *e) {
    if (str_find_char(source, '\r') < 0) {
        return source.n && source.p[source.n - 1] == '\n' ? str_sub(source, 0, source.n - 1)
                                                          : source;
    }
    char *copy = ARENA_ARRAY(a, char, source.n + 1);
    size_t n = 0;
    if (!copy) {
        err_oom(e, source.n, "a chat template");
        return STR_EMPTY;
    }
    for (size_t i = 0; i < source.n; i++) {
        if (source.p[i] == '\r') {
            copy[n++] = '\n';
            i += i + 1 < source.n && source.p[i + 1] == '\n';
        } else {
            copy[n++] = source.p[i];
        }
    }
    return (struct str){ copy, n && copy[n - 1] == '\n' ? n - 1 : n };
}

/* At most `max` bytes of the line around pos, as the hint's first line; *caret is pos within it. */
static struct str tmpl_lex_line(struct str source, size_t pos, size_t max, size_t *caret) {
    size_t begin = pos, end = pos;
    while (begin > 0 && source.p[begin - 1] != '\n' && pos - begin < max / 2) {
        begin--;
    }
    while (end < source.n && source.p[end] != '\n' && end - begin < max) {
        end++;
    }
    while (begin < pos && ((unsigned char)source.p[begin] & 0xC0) == 0x80) {
        begin++;
    }
    *caret = utf8_count(str_sub(source, begin, pos));
    return str_sub(source, begin, end - utf8_incomplete_tail(str_sub(source, begin, end)));
}

MLXK_FN bool tmpl_err_at(struct err *e, struct str source, size_t pos, const char *msg_cstr) {
    size_t line = 1, begin = 0, caret = 0;
    pos = pos < source.n ? pos : source.n;
    for (size_t i = 0; i < pos; i++) {
        if (source.p[i] == '\n') {
            line++;
            begin = i + 1;
        }
    }
    size_t column = utf8_count(str_sub(source, begin, pos)) + 1;
    struct str shown = tmpl_lex_line(source, pos, 72, &caret);
    err_set(e, ERR_TEMPLATE, "line %zu, column %zu: %s", line, column, msg_cstr);
    return err_hint(e, STR_FMT "\n%*s^", STR_ARG(shown), (int)caret, "");
}

/* ---- tags ---- */

static bool tmpl_lex_fail(struct tmpl_lexer *x, size_t pos, const char *msg_cstr) {
    return tmpl_err_at(x->e, x->src, pos, msg_cstr);
}

static bool tmpl_lex_has(const struct tmpl_lexer *x, size_t pos, const char *cstr) {
    return str_starts(str_sub(x->src, pos, x->src.n), str_cstr(cstr));
}

/* Moves behind a closing mark of length n at pos and treats the white space behind it. */
static void tmpl_lex_close(struct tmpl_lexer *x, size_t pos, size_t n, char sign, bool trim_line) {
    x->pos = pos + n;
    if (sign == '-') {
        x->pos = tmpl_space_after(x->src, x->pos);
    } else if (sign != '+' && trim_line && x->pos < x->src.n && x->src.p[x->pos] == '\n') {
        x->pos++;
    }
    x->line_start = x->pos > 0 && x->src.p[x->pos - 1] == '\n';
}

/* The sign behind an opening mark: '-', '+' or 0. */
static char tmpl_lex_sign(const struct tmpl_lexer *x, size_t pos) {
    char c = pos < x->src.n ? x->src.p[pos] : '\0';
    return c == '-' || c == '+' ? c : '\0';
}

/* Data in front of a tag: strips as the tag's sign and kind say. */
static struct str tmpl_lex_strip(const struct tmpl_lexer *x, struct str data, char sign,
                                 bool is_block) {
    if (sign == '-') {
        return str_sub(data, 0, tmpl_space_before(data, data.n));
    }
    if (sign == '+' || !is_block) {
        return data;
    }
    ptrdiff_t at = str_find_last(data, STR("\n"));
    size_t begin = (size_t)(at + 1);
    bool blank = tmpl_space_before(data, data.n) <= begin;
    return blank && (at >= 0 || x->line_start) ? str_sub(data, 0, begin) : data;
}

/* "{%" at pos begins {% name %}: gives the end of the tag and its closing sign. */
static bool tmpl_lex_word_tag(const struct tmpl_lexer *x, size_t pos, const char *name_cstr,
                              size_t *end, char *sign) {
    size_t i = pos + 2;
    i += tmpl_lex_sign(x, i) != '\0';
    i = tmpl_space_after(x->src, i);
    if (!tmpl_lex_has(x, i, name_cstr)) {
        return false;
    }
    i = tmpl_space_after(x->src, i + strlen(name_cstr));
    *sign = tmpl_lex_sign(x, i);
    i += *sign != '\0';
    *end = i + 2;
    return tmpl_lex_has(x, i, "%}");
}

static bool tmpl_lex_comment(struct tmpl_lexer *x) {
    size_t begin = x->pos + 2;
    begin += tmpl_lex_sign(x, begin) != '\0';
    ptrdiff_t at = str_find(str_sub(x->src, begin, x->src.n), STR("#}"));
    if (at < 0) {
        return tmpl_lex_fail(x, x->pos, "missing end of comment tag");
    }
    size_t end = begin + (size_t)at;
    char sign = end > begin ? tmpl_lex_sign(x, end - 1) : '\0';
    tmpl_lex_close(x, end, 2, sign, true);
    return true;
}

/* x->pos at "{% raw %}" whose tag ends at `begin`: its text becomes DATA, x->pos moves behind
 * endraw. */
static bool tmpl_lex_raw(struct tmpl_lexer *x, size_t begin, char sign, struct tmpl_token *t) {
    size_t from = x->pos, end = 0;
    char end_sign = '\0';
    tmpl_lex_close(x, begin - 2, 2, sign, false);
    begin = x->pos;
    for (size_t i = begin; i + 2 <= x->src.n; i++) {
        if (x->src.p[i] == '{' && x->src.p[i + 1] == '%'
            && tmpl_lex_word_tag(x, i, "endraw", &end, &end_sign)) {
            struct str data = str_sub(x->src, begin, i);
            t->kind = TMPL_T_DATA;
            t->pos = (uint32_t)begin;
            t->text = tmpl_lex_strip(x, data, tmpl_lex_sign(x, i + 2), true);
            tmpl_lex_close(x, end - 2, 2, end_sign, true);
            return true;
        }
    }
    return tmpl_lex_fail(x, from, "missing end of raw directive");
}

static size_t tmpl_lex_find_tag(const struct tmpl_lexer *x, size_t pos) {
    for (; pos + 1 < x->src.n; pos++) {
        const char *p = memchr(x->src.p + pos, '{', x->src.n - 1 - pos);
        if (!p) {
            break;
        }
        pos = (size_t)(p - x->src.p);
        if (p[1] == '%' || p[1] == '{' || p[1] == '#') {
            return pos;
        }
    }
    return x->src.n;
}

/* The tag at x->pos: opens it, or treats it as a whole (comment, raw). *again: nothing was
 * produced. */
static bool tmpl_lex_open(struct tmpl_lexer *x, struct tmpl_token *t, bool *again) {
    size_t end = 0;
    char kind = x->src.p[x->pos + 1], sign = '\0';
    x->at_tag = false;
    if (kind == '#') {
        *again = true;
        return tmpl_lex_comment(x);
    }
    if (kind == '%' && tmpl_lex_word_tag(x, x->pos, "raw", &end, &sign) && sign != '+') {
        bool ok = tmpl_lex_raw(x, end, sign, t);
        *again = t->text.n == 0;
        return ok;
    }
    t->kind = kind == '%' ? TMPL_T_BLOCK_BEGIN : TMPL_T_VAR_BEGIN;
    t->pos = (uint32_t)x->pos;
    x->mode = t->kind;
    x->pos += 2;
    x->pos += tmpl_lex_sign(x, x->pos) != '\0';
    return true;
}

static bool tmpl_lex_data(struct tmpl_lexer *x, struct tmpl_token *t) {
    for (bool again = true; again;) {
        again = false;
        if (x->at_tag) {
            if (!tmpl_lex_open(x, t, &again)) {
                return false;
            }
            continue;
        }
        size_t tag = tmpl_lex_find_tag(x, x->pos);
        struct str data = str_sub(x->src, x->pos, tag);
        t->kind = tag < x->src.n || data.n ? TMPL_T_DATA : TMPL_T_EOF;
        t->pos = (uint32_t)x->pos;
        x->at_tag = tag < x->src.n;
        if (x->at_tag) {
            data = tmpl_lex_strip(x, data, tmpl_lex_sign(x, tag + 2), x->src.p[tag + 1] != '{');
        }
        x->pos = tag;
        t->text = data;
        again = x->at_tag && data.n == 0;
    }
    return true;
}

/* ---- inside a tag ---- */

static bool tmpl_lex_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool tmpl_lex_word(char c) {
    return tmpl_lex_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'
        || (unsigned char)c >= 0x80;
}

/* End of the digits (with single underscores between them) that begin at i. */
static size_t tmpl_lex_digits(struct str s, size_t i) {
    while (i < s.n && (tmpl_lex_digit(s.p[i])
                       || (s.p[i] == '_' && i > 0 && tmpl_lex_digit(s.p[i - 1]) && i + 1 < s.n
                           && tmpl_lex_digit(s.p[i + 1])))) {
        i++;
    }
    return i;
}

/* End of a float at pos, or pos when there is none: digits then ".digits", an exponent, or both. */
static size_t tmpl_lex_float_end(struct str s, size_t pos) {
    size_t i = tmpl_lex_digits(s, pos), end = pos;
    if (pos > 0 && s.p[pos - 1] == '.') {
        return pos;
    }
    if (i + 1 < s.n && s.p[i] == '.' && tmpl_lex_digit(s.p[i + 1])) {
        end = i = tmpl_lex_digits(s, i + 1);
    }
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        size_t k = i + 1;
        k += k < s.n && (s.p[k] == '+' || s.p[k] == '-');
        end = k < s.n && tmpl_lex_digit(s.p[k]) ? tmpl_lex_digits(s, k) : end;
    }
    return end;
}

static int tmpl_lex_digit_value(char c) {
    return tmpl_lex_digit(c)      ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 99;
}

static bool tmpl_lex_int(struct tmpl_lexer *x, struct tmpl_token *t) {
    struct str s = x->src;
    size_t i = x->pos, base = 10;
    char mark = s.p[i] == '0' && i + 1 < s.n ? (char)(s.p[i + 1] | 0x20) : '\0';
    base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    size_t first = base != 10 ? i + 2 : i, n_digits = 0;
    int64_t value = 0;
    bool zeros = base == 10 && s.p[i] == '0';         /* "007" is 00 and 7, as Jinja reads it */
    for (i = first; i < s.n; i++) {
        int d = tmpl_lex_digit_value(s.p[i]);
        if (s.p[i] == '_' && i + 1 < s.n && tmpl_lex_digit_value(s.p[i + 1]) < (int)base) {
            continue;
        }
        if (d >= (int)base || (zeros && d != 0)) {
            break;
        }
        n_digits++;
        if (__builtin_mul_overflow(value, (int64_t)base, &value)
            || __builtin_add_overflow(value, d, &value)) {
            return tmpl_lex_fail(x, x->pos, "integer does not fit 64 bits");
        }
    }
    if (!n_digits) {
        i = x->pos + 1;
        value = 0;
    }
    t->kind = TMPL_T_INT;
    t->integer = value;
    x->pos = i;
    return true;
}

static bool tmpl_lex_number(struct tmpl_lexer *x, struct tmpl_token *t) {
    size_t end = tmpl_lex_float_end(x->src, x->pos), n = 0;
    char digits[64];
    if (end == x->pos) {
        return tmpl_lex_int(x, t);
    }
    for (size_t i = x->pos; i < end; i++) {
        if (x->src.p[i] != '_' && n < sizeof digits) {
            digits[n++] = x->src.p[i];
        }
    }
    if (n == sizeof digits || !num_parse_f64((struct str){ digits, n }, &t->number)) {
        return tmpl_lex_fail(x, x->pos, "number is out of range");
    }
    t->kind = TMPL_T_FLOAT;
    x->pos = end;
    return true;
}

/* ---- string literals ---- */

static size_t tmpl_lex_hex(struct str s, size_t i, size_t n, uint32_t *cp) {
    *cp = 0;
    for (size_t k = 0; k < n; k++) {
        int d = i + k < s.n ? tmpl_lex_digit_value(s.p[i + k]) : 99;
        if (d > 15) {
            return 0;
        }
        *cp = *cp * 16 + (uint32_t)d;
    }
    return n;
}

/* The escape behind the backslash at s[i - 1]: appends its character, returns bytes used, 0 =
 * malformed. */
static size_t tmpl_lex_escape(struct str s, size_t i, char *out, size_t *n) {
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    uint32_t cp = 0;
    char c = s.p[i];
    const char *known = memchr(from, c, sizeof from - 1);
    size_t width = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0, used = 1;
    if (known) {
        out[(*n)++] = to[known - from];
        return 1;
    }
    if (c == '\n') {
        return 1;
    }
    if (width) {
        used = tmpl_lex_hex(s, i + 1, width, &cp);
        used += used != 0;
    } else if (c >= '0' && c <= '7') {
        for (used = 0; used < 3 && i + used < s.n && s.p[i + used] >= '0' && s.p[i + used] <= '7';
             used++) {
            cp = cp * 8 + (uint32_t)(s.p[i + used] - '0');
        }
    } else {                                           /* unknown escapes stay as they are */
        out[(*n)++] = '\\';
        out[(*n)++] = c;
        return 1;
    }
    *n += used ? utf8_encode(out + *n, cp) : 0;
    return used;
}

static bool tmpl_lex_string(struct tmpl_lexer *x, struct tmpl_token *t) {
    char quote = x->src.p[x->pos];
    size_t begin = x->pos + 1, end = begin, n = 0;
    bool escapes = false;
    while (end < x->src.n && x->src.p[end] != quote) {
        bool escape = x->src.p[end] == '\\';
        escapes = escapes || escape;
        end += escape ? 2 : 1;
    }
    if (end >= x->src.n) {
        return tmpl_lex_fail(x, x->pos, "string is not closed");
    }
    struct str s = str_sub(x->src, begin, end);
    t->kind = TMPL_T_STRING;
    x->pos = end + 1;
    t->text = s;
    if (!escapes) {
        return true;
    }
    char *copy = ARENA_ARRAY(x->a, char, s.n + 4);     /* an escape is never longer decoded */
    if (!copy) {
        return err_oom(x->e, s.n, "a string of a chat template");
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\\') {
            copy[n++] = s.p[i];
            continue;
        }
        size_t used = tmpl_lex_escape(s, i + 1, copy, &n);
        if (!used) {
            return tmpl_lex_fail(x, begin + i, "malformed escape in a string");
        }
        i += used;
    }
    t->text = (struct str){ copy, n };
    return true;
}

/* ---- operators ---- */

struct tmpl_lex_op { char text[3]; enum tmpl_tok kind; };

/* Longer ones first. */
static const struct tmpl_lex_op tmpl_lex_ops[] = {
    { "//", TMPL_T_FLOORDIV }, { "**", TMPL_T_POW }, { "==", TMPL_T_EQ }, { "!=", TMPL_T_NE },
    { ">=", TMPL_T_GE }, { "<=", TMPL_T_LE }, { "+", TMPL_T_ADD }, { "-", TMPL_T_SUB },
    { "/", TMPL_T_DIV }, { "*", TMPL_T_MUL }, { "%", TMPL_T_MOD }, { "~", TMPL_T_TILDE },
    { "[", TMPL_T_LBRACKET }, { "]", TMPL_T_RBRACKET }, { "(", TMPL_T_LPAREN },
    { ")", TMPL_T_RPAREN }, { "{", TMPL_T_LBRACE }, { "}", TMPL_T_RBRACE }, { ">", TMPL_T_GT },
    { "<", TMPL_T_LT }, { "=", TMPL_T_ASSIGN }, { ".", TMPL_T_DOT }, { ":", TMPL_T_COLON },
    { "|", TMPL_T_PIPE }, { ",", TMPL_T_COMMA }, { ";", TMPL_T_SEMICOLON },
};

static bool tmpl_lex_brackets(struct tmpl_lexer *x, char c) {
    if (c == '(' || c == '[' || c == '{') {
        if (x->n_open == MLXK_COUNT(x->open)) {
            return tmpl_lex_fail(x, x->pos, "brackets are nested too deeply");
        }
        x->open[x->n_open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (!x->n_open || x->open[x->n_open - 1] != c) {
            char msg[] = "unexpected 'x'";
            msg[12] = c;
            return tmpl_lex_fail(x, x->pos, msg);
        }
        x->n_open--;
    }
    return true;
}

static bool tmpl_lex_operator(struct tmpl_lexer *x, struct tmpl_token *t) {
    for (size_t i = 0; i < MLXK_COUNT(tmpl_lex_ops); i++) {
        if (tmpl_lex_has(x, x->pos, tmpl_lex_ops[i].text)) {
            t->kind = tmpl_lex_ops[i].kind;
            t->text = str_sub(x->src, x->pos, x->pos + strlen(tmpl_lex_ops[i].text));
            if (!tmpl_lex_brackets(x, x->src.p[x->pos])) {
                return false;
            }
            x->pos += t->text.n;
            return true;
        }
    }
    return tmpl_lex_fail(x, x->pos, "unexpected character");
}

/* The closing mark of the open tag at x->pos, if it is there. */
static bool tmpl_lex_tag_end(struct tmpl_lexer *x, struct tmpl_token *t) {
    bool block = x->mode == TMPL_T_BLOCK_BEGIN;
    char sign = tmpl_lex_sign(x, x->pos);
    if (x->n_open || (sign == '+' && !block)
        || !tmpl_lex_has(x, x->pos + (sign != '\0'), block ? "%}" : "}}")) {
        return false;
    }
    t->kind = block ? TMPL_T_BLOCK_END : TMPL_T_VAR_END;
    t->text = str_sub(x->src, x->pos, x->pos + 2);
    tmpl_lex_close(x, x->pos + (sign != '\0'), 2, sign, block);
    x->mode = TMPL_T_DATA;
    return true;
}

MLXK_FN bool tmpl_lex_next(struct tmpl_lexer *x, struct tmpl_token *t) {
    *t = (struct tmpl_token){ .kind = TMPL_T_EOF, .pos = (uint32_t)x->pos };
    if (x->mode == TMPL_T_DATA) {
        return tmpl_lex_data(x, t);
    }
    x->pos = tmpl_space_after(x->src, x->pos);
    t->pos = (uint32_t)x->pos;
    if (x->pos >= x->src.n || tmpl_lex_tag_end(x, t)) {
        return true;
    }
    char c = x->src.p[x->pos];
    if (tmpl_lex_digit(c)) {
        return tmpl_lex_number(x, t);
    }
    if (c == '"' || c == '\'') {
        return tmpl_lex_string(x, t);
    }
    if (!tmpl_lex_word(c)) {
        return tmpl_lex_operator(x, t);
    }
    size_t end = x->pos;
    while (end < x->src.n && tmpl_lex_word(x->src.p[end])) {
        end++;
    }
    t->kind = TMPL_T_NAME;
    t->text = str_sub(x->src, x->pos, end);
    x->pos = end;
    return true;
}
