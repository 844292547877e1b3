/* rel_canon.c: a JSON value as the one text that every program makes of it.
 *
 * 1. Equal values give equal bytes, whatever white space, order or escapes they were written with.
 * 2. Integers keep their digits, also those that no double holds: models have ids and sizes, and
 *    rounding two of them to one would hide a change.
 * ref    RFC 8785 (JSON Canonicalization Scheme); ECMA-262 "Number::toString".
 */
#include "release/release.h"

#include <math.h>

/* ---- texts ---- */

static void rel_canon_string(struct buf *out, struct str s) {
    static const char escapes[] = "btn\0fr";     /* 8 to 13 */
    buf_add_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') buf_addf(out, "\\%c", c);
        else if (c >= 8 && c <= 13 && escapes[c - 8]) buf_addf(out, "\\%c", escapes[c - 8]);
        else if (c < 0x20) buf_addf(out, "\\u%04x", c);
        else buf_add_char(out, (char)c);
    }
    buf_add_char(out, '"');
}

/* UTF-16 code units: a character past U+FFFF is a pair that begins with D800 and up. */
static uint32_t rel_canon_unit(uint32_t cp) {
    return cp < 0x10000 ? cp : 0xD800 + ((cp - 0x10000) >> 10);
}

static int rel_canon_compare(struct str x, struct str y) {
    size_t i = 0, k = 0;
    while (i < x.n && k < y.n) {
        uint32_t cx = utf8_decode(x, &i), cy = utf8_decode(y, &k);
        uint32_t ux = rel_canon_unit(cx), uy = rel_canon_unit(cy);
        if (ux != uy) return ux < uy ? -1 : 1;
        if (cx != cy) return cx < cy ? -1 : 1;
    }
    return i < x.n ? 1 : k < y.n ? -1 : 0;
}

/* ---- numbers ---- */

/* Shortest digits of a positive number and where the point stands: 0.DIGITS * 10^point. */
static int rel_canon_digits(double x, char digits[32], int *point) {
    char text[32];
    size_t n = num_format_f64(text, x);
    int count = 0, before = 0, exponent = 0;
    bool dot = false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == 'e') {
            int64_t v = 0;
            size_t sign = text[i + 1] == '+' || text[i + 1] == '-';
            (void)num_parse_i64((struct str){ text + i + 1 + sign, n - i - 1 - sign }, 0, 999, &v);
            exponent = text[i + 1] == '-' ? -(int)v : (int)v;
            break;
        }
        if (text[i] == '.') dot = true;
        else {
            digits[count++] = text[i];
            before += !dot;
        }
    }
    int zeros = 0;
    while (zeros < count - 1 && digits[zeros] == '0') zeros++;
    memmove(digits, digits + zeros, (size_t)(count - zeros));
    count -= zeros;
    while (count > 1 && digits[count - 1] == '0') count--;
    *point = before - zeros + exponent;
    return count;
}

static void rel_canon_number(struct buf *out, double x) {
    char digits[32];
    int point = 0;
    if (x == 0) {
        buf_add_char(out, '0');
        return;
    }
    if (x < 0) buf_add_char(out, '-');
    int k = rel_canon_digits(fabs(x), digits, &point);
    struct str d = { digits, (size_t)k };
    if (k <= point && point <= 21) {
        buf_add(out, d);
        for (int i = k; i < point; i++) buf_add_char(out, '0');
    } else if (0 < point && point <= 21) {
        buf_addf(out, "%.*s.%.*s", point, digits, k - point, digits + point);
    } else if (-6 < point && point <= 0) {
        buf_add_cstr(out, "0.");
        for (int i = point; i < 0; i++) buf_add_char(out, '0');
        buf_add(out, d);
    } else {
        buf_addf(out, "%c%s%.*se%c%d", digits[0], k > 1 ? "." : "", k - 1, digits + 1,
                 point > 0 ? '+' : '-', point > 0 ? point - 1 : 1 - point);
    }
}

/* An integer's own digits, where it was written as one. */
static bool rel_canon_is_integer(struct str source) {
    for (size_t i = 0; i < source.n; i++)
        if ((source.p[i] < '0' || source.p[i] > '9') && !(i == 0 && source.p[i] == '-'))
            return false;
    return source.n > 0 && !str_eq(source, STR("-0"));
}

/* ---- values ---- */

static bool rel_canon_value(struct buf *out, const struct json *v, bool (*skip)(struct str key),
                            struct err *e);

static void rel_canon_sort(const struct json **list, size_t n) {
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            const struct json *x = list[i];
            size_t k = i;
            for (; k >= gap && rel_canon_compare(list[k - gap]->key, x->key) > 0; k -= gap)
                list[k] = list[k - gap];
            list[k] = x;
        }
}

static bool rel_canon_object(struct buf *out, const struct json *v, bool (*skip)(struct str key),
                             struct err *e) {
    size_t n = 0, size_bytes;
    if (!num_mul(v->n + 1, sizeof(struct json *), &size_bytes)) return err_oom(e, v->n, "members");
    const struct json **list = mem_alloc(size_bytes);
    if (!list) return err_oom(e, size_bytes, "members");
    for (const struct json *m = v->child; m; m = m->next)
        if (!skip || !skip(m->key)) list[n++] = m;
    rel_canon_sort(list, n);
    bool ok = true;
    buf_add_char(out, '{');
    for (size_t i = 0; ok && i < n; i++) {
        if (i) buf_add_char(out, ',');
        rel_canon_string(out, list[i]->key);
        buf_add_char(out, ':');
        ok = rel_canon_value(out, list[i], NULL, e);
    }
    buf_add_char(out, '}');
    mem_free(list);
    return ok;
}

static bool rel_canon_value(struct buf *out, const struct json *v, bool (*skip)(struct str key),
                            struct err *e) {
    switch (v->kind) {
    case JSON_NULL: buf_add_cstr(out, "null"); return true;
    case JSON_BOOL: buf_add_cstr(out, v->boolean ? "true" : "false"); return true;
    case JSON_INT:
    case JSON_FLOAT:
        if (rel_canon_is_integer(v->string)) buf_add(out, v->string);
        else rel_canon_number(out, v->number);
        return true;
    case JSON_STRING: rel_canon_string(out, v->string); return true;
    case JSON_OBJECT: return rel_canon_object(out, v, skip, e);
    case JSON_ARRAY: break;
    }
    buf_add_char(out, '[');
    for (const struct json *m = v->child; m; m = m->next) {
        if (m != v->child) buf_add_char(out, ',');
        if (!rel_canon_value(out, m, NULL, e)) return false;
    }
    buf_add_char(out, ']');
    return true;
}

MLXK_FN bool rel_canon_write(struct buf *out, const struct json *v,
                             bool (*skip)(struct str key), struct err *e) {
    return rel_canon_value(out, v, skip, e) && buf_ok(out, "canonical JSON", e);
}
