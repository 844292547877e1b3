/* num.c: checked arithmetic, numbers from text and to text, 16-bit floats.
 *
 * The C locale is never changed by this program, so strtod and printf use '.'.
 *
 * 1. Parsers accept the whole text or nothing; *out is untouched on failure.
 * 2. num_format_f64 prints the fewest digits that read back as the same bits.
 */
#include "base/base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

MLXK_FN bool num_add(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

MLXK_FN bool num_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

/* ---- integers ---- */

MLXK_FN bool num_parse_u64(struct str s, uint64_t max, uint64_t *out) {
    uint64_t x = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(uint8_t)s.p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(x, 10u, &x)
            || __builtin_add_overflow(x, digit, &x)) {
            return false;
        }
    }
    if (s.n == 0 || x > max) {
        return false;
    }
    *out = x;
    return true;
}

MLXK_FN bool num_parse_i64(struct str s, int64_t min, int64_t max, int64_t *out) {
    bool negative = s.n > 0 && s.p[0] == '-';
    uint64_t x;
    if (!num_parse_u64(negative ? str_sub(s, 1, s.n) : s, (uint64_t)INT64_MAX + negative, &x)) {
        return false;
    }
    int64_t value = (int64_t)(negative ? 0 - x : x);
    if (value < min || value > max) {
        return false;
    }
    *out = value;
    return true;
}

/* ---- floating point ---- */

/* Only digits, one point, an exponent: strtod alone would take spaces, "inf", "nan" and hex. */
static bool num_is_decimal(struct str s) {
    size_t i = 0, n_digits = 0;
    if (i < s.n && (s.p[i] == '-' || s.p[i] == '+')) {
        i++;
    }
    for (bool point = false; i < s.n; i++) {
        if (s.p[i] == '.' && !point) {
            point = true;
        } else if (s.p[i] >= '0' && s.p[i] <= '9') {
            n_digits++;
        } else {
            break;
        }
    }
    if (n_digits == 0 || i == s.n) {
        return n_digits > 0;
    }
    if (s.p[i] != 'e' && s.p[i] != 'E') {
        return false;
    }
    i++;
    if (i < s.n && (s.p[i] == '-' || s.p[i] == '+')) {
        i++;
    }
    size_t from = i;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') {
        i++;
    }
    return i == s.n && i > from;
}

MLXK_FN bool num_parse_f64(struct str s, double *out) {
    char text[1088];                             /* 1075 digits are the most that can matter */
    if (s.n >= sizeof text || !num_is_decimal(s)) {
        return false;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    double x = strtod(text, NULL);
    if (!isfinite(x)) {
        return false;
    }
    *out = x;
    return true;
}

/* Python writes 1e16 and up, and below 1e-4, with an exponent of at least two digits. */
static size_t num_place_digits(char *out, bool negative, const char *digits, int n_digits,
                               int exp10) {
    size_t n = 0;
    if (negative) {
        out[n++] = '-';
    }
    if (exp10 < -4 || exp10 >= 16) {
        out[n++] = digits[0];
        if (n_digits > 1) {
            out[n++] = '.';
            memcpy(out + n, digits + 1, (size_t)n_digits - 1);
            n += (size_t)n_digits - 1;
        }
        return n + (size_t)snprintf(out + n, 8, "e%c%02d", exp10 < 0 ? '-' : '+', abs(exp10));
    }
    int last = exp10 - n_digits + 1;             /* power of ten of the last digit */
    for (int place = exp10 > 0 ? exp10 : 0; place >= (last < -1 ? last : -1); place--) {
        if (place == -1) {
            out[n++] = '.';
        }
        int at = exp10 - place;
        out[n++] = at >= 0 && at < n_digits ? digits[at] : '0';
    }
    out[n] = '\0';
    return n;
}

MLXK_FN size_t num_format_f64(char out[32], double x) {
    if (isnan(x) || isinf(x)) {
        return (size_t)snprintf(out, 32, "%s", isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
    }
    char text[32], digits[20];
    for (int precision = 0; precision < 17; precision++) {
        (void)snprintf(text, sizeof text, "%.*e", precision, x);
        if (strtod(text, NULL) == x) {
            break;
        }
    }
    int n_digits = 0;
    const char *p = text;
    bool negative = *p == '-';
    for (p += negative; *p != 'e'; p++) {
        if (*p != '.') {
            digits[n_digits++] = *p;
        }
    }
    while (n_digits > 1 && digits[n_digits - 1] == '0') {
        n_digits--;
    }
    return num_place_digits(out, negative, digits, n_digits, (int)strtol(p + 1, NULL, 10));
}

/* ---- sizes ---- */

/* Factor of a unit such as "", "B", "k", "MB", "GiB"; 0 = no such unit. Any case. */
static uint64_t num_size_unit(struct str unit) {
    if (unit.n > 0 && (unit.p[unit.n - 1] | 0x20) == 'b') {
        unit.n--;
    }
    if (unit.n == 0) {
        return 1;
    }
    uint64_t base = 1000;
    if (unit.n == 2 && (unit.p[1] | 0x20) == 'i') {
        base = 1024;
        unit.n--;
    }
    ptrdiff_t power = unit.n == 1 ? str_find_char(STR("kmgt"), (char)(unit.p[0] | 0x20)) : -1;
    uint64_t factor = power < 0 ? 0 : base;
    for (; power > 0; power--) {
        factor *= base;
    }
    return factor;
}

MLXK_FN bool num_parse_size(struct str s, uint64_t *size_bytes) {
    size_t n = 0;
    while (n < s.n && ((s.p[n] >= '0' && s.p[n] <= '9') || s.p[n] == '.')) {
        n++;
    }
    struct str number = str_sub(s, 0, n), unit = str_sub(s, n, s.n);
    if (unit.n > 0 && unit.p[0] == ' ') {
        unit = str_sub(unit, 1, unit.n);
    }
    uint64_t factor = num_size_unit(unit), whole;
    if (factor == 0) {
        return false;
    }
    if (num_parse_u64(number, UINT64_MAX, &whole)) {
        return !__builtin_mul_overflow(whole, factor, size_bytes);
    }
    double x;
    if (!num_parse_f64(number, &x) || x * (double)factor >= 18446744073709551616.0) {
        return false;
    }
    *size_bytes = (uint64_t)(x * (double)factor + 0.5);
    return true;
}

MLXK_FN size_t num_format_size(char out[16], uint64_t size_bytes) {
    static const char units[] = "KMGTPE";
    if (size_bytes < 1000) {
        return (size_t)snprintf(out, 16, "%uB", (unsigned)size_bytes);
    }
    double x = (double)size_bytes / 1000.0;
    size_t unit = 0;
    while (x >= 999.95 && unit + 2 < sizeof units) {   /* 999950 is 1.0MB, not 1000.0KB */
        x /= 1000.0;
        unit++;
    }
    return (size_t)snprintf(out, 16, "%.1f%cB", x, units[unit]);
}

/* ---- 16-bit floats ---- */

static float num_f32_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t num_bits_of_f32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

MLXK_FN float num_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 0x3FF;
    if (exponent == 31) {                        /* infinity or NaN */
        return num_f32_of_bits(sign | 0x7F800000u | fraction << 13);
    }
    if (exponent == 0) {                         /* zero or subnormal: fraction * 2^-24, exact */
        float x = (float)fraction * 0x1p-24f;
        return num_f32_of_bits(sign | num_bits_of_f32(x));
    }
    return num_f32_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

MLXK_FN uint16_t num_f32_to_f16(float x) {
    uint32_t bits = num_bits_of_f32(x), sign = bits >> 16 & 0x8000, rest = bits & 0x7FFFFFFF;
    if (rest > 0x7F800000) {                     /* NaN stays one; keep the top of its payload */
        return (uint16_t)(sign | 0x7E00 | (rest >> 13 & 0x3FF));
    }
    if (rest >= 0x477FF000) {                    /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7C00);
    }
    if (rest >= 0x38800000) {                    /* normal: rebias, round half to even */
        uint32_t up = 0xFFF + (rest >> 13 & 1);
        return (uint16_t)(sign | ((rest + up - 0x38000000) >> 13));
    }
    if (rest < 0x33000000) {                     /* below half of the smallest subnormal */
        return (uint16_t)sign;
    }
    uint32_t shift = 126 - (rest >> 23), fraction = (rest & 0x7FFFFF) | 0x800000;
    uint32_t half = 1u << (shift - 1), kept = fraction >> shift;
    uint32_t lost = fraction & ((1u << shift) - 1);
    kept += lost > half || (lost == half && (kept & 1));
    return (uint16_t)(sign | kept);
}

MLXK_FN float num_bf16_to_f32(uint16_t h) {
    return num_f32_of_bits((uint32_t)h << 16);
}

MLXK_FN uint16_t num_f32_to_bf16(float x) {
    uint32_t bits = num_bits_of_f32(x);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) {
        return (uint16_t)(bits >> 16 | 0x40);    /* quiet, so that it stays a NaN */
    }
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/* ---- little-endian reads ---- */

MLXK_FN uint16_t num_read_u16(const void *p) {
    uint16_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

MLXK_FN uint32_t num_read_u32(const void *p) {
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

MLXK_FN uint64_t num_read_u64(const void *p) {
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}
