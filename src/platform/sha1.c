/* sha1.c: SHA-1, only because git names small files by it (blob ids of hub files).
 *
 * Not for security: whatever must not be forged is checked with SHA-256. Follows FIPS 180-4, 6.1.
 */
#include "platform/platform.h"

static uint32_t sha1_rotl(uint32_t x, int by) {
    return (x << by) | (x >> (32 - by));
}

static uint32_t sha1_read_be(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* f and K of round t (FIPS 180-4, 4.1.1 and 4.2.1). */
static uint32_t sha1_mix(int t, const uint32_t v[5]) {
    if (t < 20) {
        return ((v[1] & v[2]) | (~v[1] & v[3])) + 0x5a827999u;
    }
    if (t < 40) {
        return (v[1] ^ v[2] ^ v[3]) + 0x6ed9eba1u;
    }
    if (t < 60) {
        return ((v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3])) + 0x8f1bbcdcu;
    }
    return (v[1] ^ v[2] ^ v[3]) + 0xca62c1d6u;
}

static void sha1_block(uint32_t h[5], const uint8_t *p) {
    uint32_t w[80], v[5];
    for (int t = 0; t < 16; t++) {
        w[t] = sha1_read_be(p + 4 * t);
    }
    for (int t = 16; t < 80; t++) {
        w[t] = sha1_rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    }
    memcpy(v, h, sizeof v);
    for (int t = 0; t < 80; t++) {
        uint32_t next = sha1_rotl(v[0], 5) + sha1_mix(t, v) + v[4] + w[t];
        v[4] = v[3];
        v[3] = v[2];
        v[2] = sha1_rotl(v[1], 30);
        v[1] = v[0];
        v[0] = next;
    }
    for (int i = 0; i < 5; i++) {
        h[i] += v[i];
    }
}

MLXK_FN void sha1_init(struct sha1 *s) {
    *s = (struct sha1){ .h = { 0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u } };
}

MLXK_FN void sha1_update(struct sha1 *s, const void *p, size_t n) {
    const uint8_t *at = p;
    while (n > 0) {
        size_t used = s->n_bytes % 64, room = 64 - used, part = n < room ? n : room;
        memcpy(s->block + used, at, part);
        s->n_bytes += part;
        at += part;
        n -= part;
        if (used + part == 64) {
            sha1_block(s->h, s->block);
        }
    }
}

MLXK_FN void sha1_final(struct sha1 *s, uint8_t out[20]) {
    static const uint8_t padding[64] = { 0x80 };
    uint8_t length[8];
    uint64_t n_bits = s->n_bytes * 8;
    size_t used = s->n_bytes % 64;
    for (int i = 0; i < 8; i++) {
        length[i] = (uint8_t)(n_bits >> (56 - 8 * i));
    }
    sha1_update(s, padding, used < 56 ? 56 - used : 120 - used);
    sha1_update(s, length, sizeof length);
    for (int i = 0; i < 20; i++) {
        out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
    }
}
