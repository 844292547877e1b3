/* sha1.c: SHA-1, only because git names small files by it (blob ids of hub files).
 *
 *   update -> whole blocks: instructions of the CPU (sha1_ni.c, sha1_arm.c), else scalar
 *
 * Not for security: whatever must not be forged is checked with SHA-256. Follows FIPS 180-4, 6.1.
 */
#include "platform/platform_int.h"

static uint32_t sha1_rotl(uint32_t x, int by) {
    return (x << by) | (x >> (32 - by));
}

static uint32_t sha1_read_be(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

MLXK_FN uint32_t sha1_constant(int quarter) {
    static const uint32_t k[4] = { 0x5a827999u, 0x6ed9eba1u, 0x8f1bbcdcu, 0xca62c1d6u };
    return k[quarter];
}

/* f of round t (FIPS 180-4, 4.1.1). */
static uint32_t sha1_mix(int t, const uint32_t v[5]) {
    if (t < 20) {
        return (v[1] & v[2]) | (~v[1] & v[3]);
    }
    if (t >= 40 && t < 60) {
        return (v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3]);
    }
    return v[1] ^ v[2] ^ v[3];
}

MLXK_FN void sha1_blocks_scalar(uint32_t h[5], const uint8_t *p, size_t n_blocks) {
    for (; n_blocks > 0; n_blocks--, p += 64) {
        uint32_t w[80], v[5];
        for (int t = 0; t < 16; t++) {
            w[t] = sha1_read_be(p + 4 * t);
        }
        for (int t = 16; t < 80; t++) {
            w[t] = sha1_rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
        }
        memcpy(v, h, sizeof v);
        for (int t = 0; t < 80; t++) {
            uint32_t next = sha1_rotl(v[0], 5) + sha1_mix(t, v) + sha1_constant(t / 20) + v[4];
            next += w[t];
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
}

/* The instructions come with those for SHA-256, on both kinds of machine. */
static void sha1_blocks(uint32_t h[5], const uint8_t *p, size_t n_blocks) {
    bool scalar = strcmp(sha256_variant(), "scalar") == 0;
#if defined(__x86_64__)
    void (*fast)(uint32_t h[5], const uint8_t *p, size_t n_blocks) = sha1_blocks_ni;
#elif defined(__aarch64__)
    void (*fast)(uint32_t h[5], const uint8_t *p, size_t n_blocks) = sha1_blocks_arm;
#else
    void (*fast)(uint32_t h[5], const uint8_t *p, size_t n_blocks) = sha1_blocks_scalar;
#endif
    (scalar ? sha1_blocks_scalar : fast)(h, p, n_blocks);
}

MLXK_FN void sha1_init(struct sha1 *s) {
    *s = (struct sha1){ .h = { 0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u } };
}

MLXK_FN void sha1_update(struct sha1 *s, const void *p, size_t n) {
    const uint8_t *at = p;
    size_t used = s->n_bytes % 64;
    s->n_bytes += n;
    if (used > 0 && n > 0) {
        size_t part = n < 64 - used ? n : 64 - used;
        memcpy(s->block + used, at, part);
        at += part;
        n -= part;
        if (used + part < 64) {
            return;
        }
        sha1_blocks(s->h, s->block, 1);
    }
    sha1_blocks(s->h, at, n / 64);
    if (n % 64 > 0) {
        memcpy(s->block, at + n / 64 * 64, n % 64);
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
