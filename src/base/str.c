/* str.c: text views. Nothing here allocates except the copies, which go into an arena.
 *
 * Case is ASCII case everywhere; bytes >= 0x80 compare as they are. Numbers are in num.c, growing
 * text in buf.c.
 *
 * 1. A view may contain any byte, NUL included; {NULL, 0} is a valid empty view everywhere.
 * 2. str_glob never backtracks further than to the last star: O(pattern * text) at worst.
 */
#include "base/base.h"

#include <stdio.h>

MLXK_FN struct str str_cstr(const char *cstr) {
    return (struct str){ cstr, cstr ? strlen(cstr) : 0 };
}

MLXK_FN bool str_eq(struct str a, struct str b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

MLXK_FN bool str_eq_cstr(struct str a, const char *cstr) {
    return str_eq(a, str_cstr(cstr));
}

static uint8_t str_lower(char c) {
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

MLXK_FN bool str_ieq(struct str a, struct str b) {
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (str_lower(a.p[i]) != str_lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

MLXK_FN int str_cmp(struct str a, struct str b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int d = n ? memcmp(a.p, b.p, n) : 0;
    return d ? d : (a.n > b.n) - (a.n < b.n);
}

MLXK_FN bool str_starts(struct str s, struct str prefix) {
    return s.n >= prefix.n && str_eq((struct str){ s.p, prefix.n }, prefix);
}

MLXK_FN bool str_ends(struct str s, struct str suffix) {
    return s.n >= suffix.n && str_eq(str_sub(s, s.n - suffix.n, s.n), suffix);
}

MLXK_FN ptrdiff_t str_find(struct str s, struct str what) {
    if (what.n == 0) {
        return 0;
    }
    const char *at = s.n ? memmem(s.p, s.n, what.p, what.n) : NULL;
    return at ? at - s.p : -1;
}

MLXK_FN ptrdiff_t str_find_last(struct str s, struct str what) {
    for (size_t i = s.n + 1; i-- > 0;) {
        if (s.n - i >= what.n && str_eq(str_sub(s, i, i + what.n), what)) {
            return (ptrdiff_t)i;
        }
    }
    return -1;
}

MLXK_FN ptrdiff_t str_find_char(struct str s, char c) {
    const char *at = s.n ? memchr(s.p, (uint8_t)c, s.n) : NULL;
    return at ? at - s.p : -1;
}

MLXK_FN bool str_contains_icase(struct str s, struct str what) {
    for (size_t i = 0; what.n <= s.n && i <= s.n - what.n; i++) {
        if (str_ieq(str_sub(s, i, i + what.n), what)) {
            return true;
        }
    }
    return false;
}

MLXK_FN struct str str_sub(struct str s, size_t from, size_t to) {
    to = to < s.n ? to : s.n;
    from = from < to ? from : to;
    return (struct str){ s.p ? s.p + from : NULL, to - from };
}

static bool str_is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

MLXK_FN struct str str_trim(struct str s) {
    size_t from = 0, to = s.n;
    while (from < to && str_is_space(s.p[from])) {
        from++;
    }
    while (to > from && str_is_space(s.p[to - 1])) {
        to--;
    }
    return str_sub(s, from, to);
}

MLXK_FN struct str str_cut(struct str *rest, char sep) {
    struct str s = *rest;
    ptrdiff_t at = str_find_char(s, sep);
    if (at < 0) {
        *rest = STR_EMPTY;
        return s;
    }
    *rest = str_sub(s, (size_t)at + 1, s.n);
    return str_sub(s, 0, (size_t)at);
}

MLXK_FN char *str_dup_cstr(struct arena *a, struct str s) {
    if (s.n == SIZE_MAX) {
        return NULL;
    }
    char *p = arena_alloc(a, s.n + 1, 1);
    if (p && s.n) {
        memcpy(p, s.p, s.n);
    }
    return p;
}

MLXK_FN struct str str_dup(struct arena *a, struct str s) {
    char *p = str_dup_cstr(a, s);
    return p ? (struct str){ p, s.n } : STR_EMPTY;
}

MLXK_FN struct str str_format(struct arena *a, const char *format_cstr, ...) {
    va_list args, again;
    va_start(args, format_cstr);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format_cstr, args);
    struct str out = STR_EMPTY;
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1, 1);
    if (p) {
        (void)vsnprintf(p, (size_t)n + 1, format_cstr, again);
        out = (struct str){ p, (size_t)n };
    }
    va_end(again);
    va_end(args);
    return out;
}

MLXK_FN struct str str_concat(struct arena *a, struct str x, struct str y) {
    size_t n;
    char *p = num_add(x.n, y.n, &n) && n < SIZE_MAX ? arena_alloc(a, n + 1, 1) : NULL;
    if (!p) {
        return STR_EMPTY;
    }
    if (x.n) {
        memcpy(p, x.p, x.n);
    }
    if (y.n) {
        memcpy(p + x.n, y.p, y.n);
    }
    return (struct str){ p, n };
}

/* ---- glob ---- */

/* Position of the ']' that closes the set opened before `i`, or n: then '[' is an ordinary
 * character. A ']' directly after '[' or '[!' belongs to the set. */
static size_t str_glob_set_end(struct str pattern, size_t i) {
    if (i < pattern.n && pattern.p[i] == '!') {
        i++;
    }
    if (i < pattern.n && pattern.p[i] == ']') {
        i++;
    }
    ptrdiff_t at = str_find_char(str_sub(pattern, i, pattern.n), ']');
    return at < 0 ? pattern.n : i + (size_t)at;
}

/* set: the text between the brackets. "a-c" is a range, a hyphen at either end is itself. */
static bool str_glob_in_set(struct str set, uint32_t cp) {
    bool negated = set.n > 0 && set.p[0] == '!', found = false;
    for (size_t i = negated ? 1 : 0; i < set.n;) {
        uint32_t low = utf8_decode(set, &i), high = low;
        if (i + 1 < set.n && set.p[i] == '-') {
            i++;
            high = utf8_decode(set, &i);
        }
        found = found || (low <= cp && cp <= high);
    }
    return found != negated;
}

/* Matches one pattern element (not a star) at *pi with one character at *si; moves both. */
static bool str_glob_one(struct str pattern, size_t *pi, struct str s, size_t *si) {
    if (*pi >= pattern.n) {
        return false;
    }
    uint32_t cp = utf8_decode(s, si);
    if (pattern.p[*pi] == '?') {
        ++*pi;
        return true;
    }
    if (pattern.p[*pi] == '[') {
        size_t end = str_glob_set_end(pattern, *pi + 1);
        if (end < pattern.n) {
            bool in = str_glob_in_set(str_sub(pattern, *pi + 1, end), cp);
            *pi = end + 1;
            return in;
        }
    }
    return utf8_decode(pattern, pi) == cp;
}

MLXK_FN bool str_glob(struct str pattern, struct str s) {
    size_t pi = 0, si = 0;
    size_t star = SIZE_MAX, star_si = 0;         /* behind the last star; what it swallowed up to */
    while (si < s.n) {
        if (pi < pattern.n && pattern.p[pi] == '*') {
            star = ++pi;
            star_si = si;
            continue;
        }
        if (str_glob_one(pattern, &pi, s, &si)) {
            continue;
        }
        if (star == SIZE_MAX) {
            return false;
        }
        (void)utf8_decode(s, &star_si);          /* the star takes one character more */
        si = star_si;
        pi = star;
    }
    while (pi < pattern.n && pattern.p[pi] == '*') {
        pi++;
    }
    return pi == pattern.n;
}

/* ---- hex ---- */

MLXK_FN void str_hex(char *out, const uint8_t *bytes, size_t n) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

MLXK_FN bool str_is_hex(struct str s, size_t n) {
    if (s.n != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return true;
}
