/* sign_der.c: DER (X.690) and PEM (RFC 7468), as far as keys and signatures need them.
 *
 * Strict: one byte tags, definite lengths in their shortest form, integers in their shortest form;
 * in PEM one block to a file and nothing between its lines. What another writer might have spelt
 * differently is refused, not guessed.
 *
 *  1. Nothing is read behind the end that its container gives.
 *  2. No recursion: callers go down level by level, each with its own cursor.
 */
#include "sign/sign_int.h"

#include <stdio.h>

/* ---- DER ------------------------------------------------------------------------------------- */

/* Bytes of header and of content of the element at the front. */
static bool sign_der_size(struct str s, size_t *head, size_t *n) {
    const uint8_t *p = (const uint8_t *)s.p;
    if (s.n < 2) return false;
    *head = 2;
    *n = p[1];
    if (p[1] & 0x80) {
        size_t digits = p[1] & 0x7f;
        if (digits < 1 || digits > 3 || s.n < 2 + digits) return false;
        *n = 0;
        for (size_t i = 0; i < digits; i++) *n = *n << 8 | p[2 + i];
        if (*n < 128 || (digits > 1 && *n >> (8 * (digits - 1)) == 0)) return false;
        *head = 2 + digits;
    }
    return *n <= s.n - *head;
}

MLXK_FN bool sign_der_take(struct str *from, int tag, struct str *inside) {
    size_t head, n;
    if (!from->n || (uint8_t)from->p[0] != tag || !sign_der_size(*from, &head, &n)) return false;
    *inside = str_sub(*from, head, head + n);
    *from = str_sub(*from, head + n, from->n);
    return true;
}

MLXK_FN bool sign_der_maybe(struct str *from, int tag, struct str *inside) {
    *inside = STR_EMPTY;
    return !from->n || (uint8_t)from->p[0] != tag || sign_der_take(from, tag, inside);
}

/* The content of an INTEGER without its sign byte; false: negative or not its shortest form. */
static bool sign_der_unsigned(struct str *from, struct str *digits) {
    if (!sign_der_take(from, SIGN_DER_INTEGER, digits) || !digits->n) return false;
    const uint8_t *p = (const uint8_t *)digits->p;
    if (p[0] & 0x80 || (p[0] == 0 && digits->n > 1 && !(p[1] & 0x80))) return false;
    if (p[0] == 0 && digits->n > 1) *digits = str_sub(*digits, 1, digits->n);
    return true;
}

MLXK_FN bool sign_der_number(struct str *from, uint64_t max, uint64_t *out) {
    struct str digits;
    if (!sign_der_unsigned(from, &digits) || digits.n > 8) return false;
    *out = 0;
    for (size_t i = 0; i < digits.n; i++) *out = *out << 8 | (uint8_t)digits.p[i];
    return *out <= max;
}

MLXK_FN bool sign_der_pair(struct str der, uint8_t rs[64]) {
    struct str pair, digits;
    if (!sign_der_take(&der, SIGN_DER_SEQUENCE, &pair) || der.n) return false;
    memset(rs, 0, 64);
    for (size_t i = 0; i < 2; i++) {
        if (!sign_der_unsigned(&pair, &digits) || digits.n > 32) return false;
        if (digits.n == 1 && digits.p[0] == 0) return false;
        memcpy(rs + 32 * i + 32 - digits.n, digits.p, digits.n);
    }
    return !pair.n;
}

MLXK_FN size_t sign_der_pair_write(const uint8_t rs[64], uint8_t der[SIGN_MAX_DER]) {
    size_t at = 2;
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *x = rs + 32 * i;
        size_t skip = 0;
        while (skip < 31 && x[skip] == 0) skip++;
        size_t sign = x[skip] >> 7, n = 32 - skip;
        der[at++] = SIGN_DER_INTEGER;
        der[at++] = (uint8_t)(n + sign);
        if (sign) der[at++] = 0;
        memcpy(der + at, x + skip, n);
        at += n;
    }
    der[0] = SIGN_DER_SEQUENCE;
    der[1] = (uint8_t)(at - 2);
    return at;
}

/* ---- PEM ------------------------------------------------------------------------------------- */

/* The next line of *rest without its end (LF or CR LF). */
static struct str sign_pem_line(struct str *rest) {
    struct str line = str_cut(rest, '\n');
    if (line.n && line.p[line.n - 1] == '\r') line.n--;
    return line;
}

/* LABEL of a line "-----WORD LABEL-----"; false: another line. */
static bool sign_pem_edge(struct str line, struct str word, struct str *label) {
    if (!str_starts(line, word) || !str_ends(line, STR("-----")) || line.n <= word.n + 5)
        return false;
    *label = str_sub(line, word.n, line.n - 5);
    return true;
}

MLXK_FN struct str sign_pem_label(struct str text) {
    struct str label = STR_EMPTY;
    while (text.p) {
        struct str line = sign_pem_line(&text);
        if (sign_pem_edge(line, STR("-----BEGIN "), &label)) break;
    }
    return label;
}

/* Lines up to the end line are gathered as one run of base64. */
static bool sign_pem_body(struct str *rest, struct str label, char *digits, size_t cap, size_t *n,
                          struct err *e) {
    struct str end;
    *n = 0;
    while (rest->p) {
        struct str line = sign_pem_line(rest);
        if (sign_pem_edge(line, STR("-----END "), &end)) {
            if (str_eq(end, label)) return true;
            return err_set(e, ERR_FORMAT, "the block '" STR_FMT "' ends as '" STR_FMT "'",
                           STR_ARG(label), STR_ARG(end));
        }
        if (str_find_char(line, ':') >= 0)
            return err_set(e, ERR_UNSUPPORTED,
                           "the block '" STR_FMT "' has headers, as old encrypted files have",
                           STR_ARG(label));
        if (line.n > 128 || line.n > cap - *n)
            return err_set(e, ERR_FORMAT, "the block '" STR_FMT "' is longer than any key",
                           STR_ARG(label));
        memcpy(digits + *n, line.p, line.n);
        *n += line.n;
    }
    return err_set(e, ERR_FORMAT, "the block '" STR_FMT "' has no end", STR_ARG(label));
}

MLXK_FN bool sign_pem_read(struct str text, struct str label, uint8_t *out, size_t cap, size_t *n,
                           struct err *e) {
    char digits[8192];
    struct str found = STR_EMPTY, rest = text;
    size_t n_digits = 0, room = (cap + 2) / 3 * 4;
    if (room > sizeof digits) room = sizeof digits;
    while (rest.p && !sign_pem_edge(sign_pem_line(&rest), STR("-----BEGIN "), &found)) {}
    bool ok = str_eq(found, label) || err_set(e, ERR_FORMAT, "there is no block '" STR_FMT "'",
                                              STR_ARG(label));
    ok = ok && sign_pem_body(&rest, label, digits, room, &n_digits, e);
    if (ok && str_find(rest, STR("-----BEGIN ")) >= 0)
        ok = err_set(e, ERR_FORMAT, "there is more than one block: one key to a file");
    ok = ok && ((n_digits && base64_read((struct str){ digits, n_digits }, out, cap, n)) ||
                err_set(e, ERR_FORMAT, "the block '" STR_FMT "' is not base64", STR_ARG(label)));
    sign_wipe(digits, sizeof digits);
    return ok;
}

MLXK_FN void sign_pem_write(struct buf *out, const char *label_cstr, const void *p, size_t n,
                            size_t columns) {
    struct buf digits;
    buf_init(&digits, SIGN_MAX_KEY_FILE);
    base64_write(&digits, p, n);
    buf_addf(out, "-----BEGIN %s-----\n", label_cstr);
    for (size_t i = 0; i < digits.n; i += columns) {
        buf_add(out, str_sub(buf_str(&digits), i, i + columns));
        buf_add_char(out, '\n');
    }
    buf_addf(out, "-----END %s-----\n", label_cstr);
    out->failed = out->failed || digits.failed;
    buf_release(&digits);
}
