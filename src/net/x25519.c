/* x25519.c: the function X25519 of RFC 7748: a point's coordinate times a number, on Curve25519.
 *
 * The TLS library does the same with numbers of any length and takes five times as many
 * instructions; a handshake asks for it three times.
 *
 * Invariants
 *  1. Neither time nor addresses depend on the number or the point.
 *  2. A value is the sum of limb[i] * 2^(51 i). Products have limbs below 2^52; a sum or difference
 *     of two such has limbs below 2^54, and more than that no factor of a product may have: 77
 *     products of two of them stay below 2^115, and a carry of that below 2^64.
 */
#include "net/net_int.h"

struct x25519_value { uint64_t limb[5]; };
__extension__ typedef unsigned __int128 x25519_wide;

#define X25519_MASK ((1ull << 51) - 1)

static void x25519_read(struct x25519_value *out, const uint8_t p[32]) {
    uint64_t word[4] = { 0 };
    for (int i = 0; i < 32; i++) word[i / 8] |= (uint64_t)p[i] << (i % 8 * 8);
    out->limb[0] = word[0] & X25519_MASK;
    out->limb[1] = (word[0] >> 51 | word[1] << 13) & X25519_MASK;
    out->limb[2] = (word[1] >> 38 | word[2] << 26) & X25519_MASK;
    out->limb[3] = (word[2] >> 25 | word[3] << 39) & X25519_MASK;
    out->limb[4] = word[3] >> 12 & X25519_MASK;  /* the highest bit does not count */
}

static struct x25519_value x25519_add(struct x25519_value a, struct x25519_value b) {
    for (int i = 0; i < 5; i++) a.limb[i] += b.limb[i];
    return a;
}

/* a + 4p - b: nothing falls below zero. */
static struct x25519_value x25519_subtract(struct x25519_value a, struct x25519_value b) {
    a.limb[0] += 4 * (X25519_MASK - 18) - b.limb[0];
    for (int i = 1; i < 5; i++) a.limb[i] += 4 * X25519_MASK - b.limb[i];
    return a;
}

/* What is beyond 2^255 comes back times 19. */
static struct x25519_value x25519_carry(const x25519_wide sum[5]) {
    struct x25519_value out;
    uint64_t over = 0;
    for (int i = 0; i < 5; i++) {
        x25519_wide x = sum[i] + over;
        out.limb[i] = (uint64_t)x & X25519_MASK;
        over = (uint64_t)(x >> 51);
    }
    out.limb[0] += over * 19;
    out.limb[1] += out.limb[0] >> 51;
    out.limb[0] &= X25519_MASK;
    return out;
}

static struct x25519_value x25519_multiply(struct x25519_value a, struct x25519_value b) {
    x25519_wide sum[5];
    for (int i = 0; i < 5; i++) {
        sum[i] = 0;
        for (int k = 0; k < 5; k++)
            sum[i] += (x25519_wide)a.limb[k] * (k <= i ? b.limb[i - k] : b.limb[i - k + 5] * 19);
    }
    return x25519_carry(sum);
}

static struct x25519_value x25519_scale(struct x25519_value a, uint32_t by) {
    x25519_wide sum[5];
    for (int i = 0; i < 5; i++) sum[i] = (x25519_wide)a.limb[i] * by;
    return x25519_carry(sum);
}

/* a^(2^n) * b */
static struct x25519_value x25519_raise(struct x25519_value a, int n, struct x25519_value b) {
    for (int i = 0; i < n; i++) a = x25519_multiply(a, a);
    return x25519_multiply(a, b);
}

/* a^(p - 2), which is 1/a, or 0 for 0. The names tell the exponent: all_n is 2^n - 1. */
static struct x25519_value x25519_invert(struct x25519_value a) {
    struct x25519_value two = x25519_multiply(a, a), nine = x25519_raise(two, 2, a),
                        eleven = x25519_multiply(nine, two), all_5 = x25519_raise(eleven, 1, nine),
                        all_10 = x25519_raise(all_5, 5, all_5),
                        all_20 = x25519_raise(all_10, 10, all_10),
                        all_40 = x25519_raise(all_20, 20, all_20),
                        all_50 = x25519_raise(all_40, 10, all_10),
                        all_100 = x25519_raise(all_50, 50, all_50),
                        all_200 = x25519_raise(all_100, 100, all_100),
                        all_250 = x25519_raise(all_200, 50, all_50);
    return x25519_raise(all_250, 5, eleven);
}

/* The value modulo p, which has two forms below 2^255 near its ends: the smaller one. */
static void x25519_write(uint8_t out[32], struct x25519_value a) {
    x25519_wide sum[5];
    for (int i = 0; i < 5; i++) sum[i] = a.limb[i];
    a = x25519_carry(sum);
    uint64_t over = 19;                          /* p + x is at least 2^255 when x + 19 is */
    for (int i = 0; i < 5; i++) over = (a.limb[i] + over) >> 51;
    a.limb[0] += 19 * over;
    for (int i = 0; i < 4; i++) {
        a.limb[i + 1] += a.limb[i] >> 51;
        a.limb[i] &= X25519_MASK;
    }
    a.limb[4] &= X25519_MASK;
    uint64_t word[4] = { a.limb[0] | a.limb[1] << 51, a.limb[1] >> 13 | a.limb[2] << 38,
                         a.limb[2] >> 26 | a.limb[3] << 25, a.limb[3] >> 39 | a.limb[4] << 12 };
    for (int i = 0; i < 32; i++) out[i] = (uint8_t)(word[i / 8] >> (i % 8 * 8));
}

/* The two change places when swap is 1. */
static void x25519_swap(struct x25519_value *a, struct x25519_value *b, uint64_t swap) {
    for (int i = 0; i < 5; i++) {
        uint64_t change = (a->limb[i] ^ b->limb[i]) & (0 - swap);
        a->limb[i] ^= change;
        b->limb[i] ^= change;
    }
}

MLXK_FN void tls_x25519(uint8_t out[32], const uint8_t number[32], const uint8_t point[32]) {
    uint8_t k[32];
    struct x25519_value x1, x2 = { { 1 } }, z2 = { { 0 } }, x3, z3 = { { 1 } };
    uint64_t swap = 0;
    memcpy(k, number, sizeof k);
    k[0] &= 248;
    k[31] = (k[31] & 127) | 64;
    x25519_read(&x1, point);
    x3 = x1;
    for (int t = 254; t >= 0; t--) {             /* the names of RFC 7748, section 5 */
        uint64_t bit = k[t / 8] >> (t % 8) & 1;
        x25519_swap(&x2, &x3, swap ^ bit);
        x25519_swap(&z2, &z3, swap ^ bit);
        swap = bit;
        struct x25519_value a = x25519_add(x2, z2), b = x25519_subtract(x2, z2),
                            aa = x25519_multiply(a, a), bb = x25519_multiply(b, b),
                            e = x25519_subtract(aa, bb), c = x25519_add(x3, z3),
                            d = x25519_subtract(x3, z3), da = x25519_multiply(d, a),
                            cb = x25519_multiply(c, b), sum = x25519_add(da, cb),
                            difference = x25519_subtract(da, cb);
        x3 = x25519_multiply(sum, sum);
        z3 = x25519_multiply(x1, x25519_multiply(difference, difference));
        x2 = x25519_multiply(aa, bb);
        z2 = x25519_multiply(e, x25519_add(aa, x25519_scale(e, 121665)));
    }
    x25519_swap(&x2, &x3, swap);
    x25519_swap(&z2, &z3, swap);
    x25519_write(out, x25519_multiply(x2, x25519_invert(z2)));
}

#undef X25519_MASK
