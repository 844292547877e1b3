/* base64.c: base64 as RFC 4648 section 4 writes it, and no other spelling of it.
 *
 * One text for one run of bytes: what reads back differently from how it would be written is
 * refused, so that a signed text cannot be varied. Not in constant time: base64 of secrets is read
 * from files of the same user only.
 */
#include "base/base.h"

MLXK_FN void base64_write(struct buf *out, const void *p, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = p;
    for (size_t i = 0; i < n; i += 3) {
        size_t here = n - i < 3 ? n - i : 3;
        uint32_t x = (uint32_t)in[i] << 16 | (here > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                     (here > 2 ? in[i + 2] : 0);
        char four[4] = { digits[x >> 18], digits[x >> 12 & 63],
                         here > 1 ? digits[x >> 6 & 63] : '=', here > 2 ? digits[x & 63] : '=' };
        buf_add_bytes(out, four, 4);
    }
}

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

MLXK_FN bool base64_read(struct str s, uint8_t *out, size_t cap, size_t *n) {
    size_t pad = 0, at = 0;
    if (s.n % 4) return false;
    if (s.n && s.p[s.n - 1] == '=') pad = s.p[s.n - 2] == '=' ? 2 : 1;
    if (s.n / 4 * 3 - pad > cap) return false;
    for (size_t i = 0; i < s.n; i += 4) {
        size_t digits = i + 4 == s.n ? 4 - pad : 4;
        uint32_t x = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k < digits ? base64_value(s.p[i + k]) : 0;
            if (value < 0) return false;
            x = x << 6 | (uint32_t)value;
        }
        if ((digits == 2 && (x & 0xffff)) || (digits == 3 && (x & 0xff))) return false;
        for (size_t k = 0; k < digits - 1; k++) out[at++] = (uint8_t)(x >> (16 - 8 * k));
    }
    *n = at;
    return true;
}
