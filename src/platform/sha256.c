/* sha256.c: SHA-256, the scalar compression function, and the choice among the variants.
 *
 * The scalar body is the reference that sha256_ni.c and sha256_arm.c are tested against.
 * Follows FIPS 180-4, 6.2.
 *
 * 1. n_bytes counts everything hashed; n_bytes % 64 bytes of it wait in `block`. The state holds
 *    no pointer, so it can be written to disk and taken up again by any variant.
 */
#include "platform/platform_int.h"

#include <stdatomic.h>

MLXK_FN const uint32_t *sha256_constants(void) {
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
        0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
        0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
        0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
        0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
        0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
        0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
        0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
    };
    return k;
}

static uint32_t sha256_rotr(uint32_t x, int by) {
    return (x >> by) | (x << (32 - by));
}

static uint32_t sha256_read_be(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* One round; the eight variables a..h rotate through v, so that none is moved: in round t, a is
 * v[-t & 7], b the next, and so on. */
static inline void sha256_round(uint32_t v[8], unsigned t, uint32_t kw) {
    uint32_t a = v[-t & 7], b = v[(1 - t) & 7], c = v[(2 - t) & 7];
    uint32_t e = v[(4 - t) & 7], f = v[(5 - t) & 7], g = v[(6 - t) & 7];
    uint32_t s1 = sha256_rotr(e, 6) ^ sha256_rotr(e, 11) ^ sha256_rotr(e, 25);
    uint32_t s0 = sha256_rotr(a, 2) ^ sha256_rotr(a, 13) ^ sha256_rotr(a, 22);
    uint32_t t1 = v[(7 - t) & 7] + s1 + (g ^ (e & (f ^ g))) + kw;
    v[(3 - t) & 7] += t1;
    v[(7 - t) & 7] = t1 + s0 + ((a & b) | (c & (a | b)));
}

/* Schedule word t >= 16, made in place of word t - 16. */
static inline uint32_t sha256_next_word(uint32_t w[16], unsigned t) {
    uint32_t x = w[(t + 1) & 15], y = w[(t + 14) & 15];
    uint32_t s0 = sha256_rotr(x, 7) ^ sha256_rotr(x, 18) ^ x >> 3;
    uint32_t s1 = sha256_rotr(y, 17) ^ sha256_rotr(y, 19) ^ y >> 10;
    return w[t & 15] += s0 + w[(t + 9) & 15] + s1;
}

MLXK_FN void sha256_blocks_scalar(uint32_t h[8], const uint8_t *p, size_t n_blocks) {
    const uint32_t *k = sha256_constants();
    for (; n_blocks > 0; n_blocks--, p += 64) {
        uint32_t w[16], v[8];
        memcpy(v, h, sizeof v);
#pragma GCC unroll 16
        for (unsigned t = 0; t < 16; t++) {
            w[t] = sha256_read_be(p + 4 * t);
            sha256_round(v, t, k[t] + w[t]);
        }
        for (unsigned r = 16; r < 64; r += 16) {
#pragma GCC unroll 16
            for (unsigned t = 0; t < 16; t++) {
                sha256_round(v, t, k[r + t] + sha256_next_word(w, t));
            }
        }
        for (int i = 0; i < 8; i++) {
            h[i] += v[i];
        }
    }
}

/* ---- choice of the variant ---- */

struct sha256_choice {
    const char *name_cstr;
    uint32_t feature;                            /* CPU_* bit it needs, 0 = none */
    void (*blocks)(uint32_t h[8], const uint8_t *p, size_t n_blocks);
};

static const struct sha256_choice *sha256_choose(void) {
    static const struct sha256_choice choices[] = {
#if defined(__x86_64__)
        { "sha-ni", CPU_SHA_NI, sha256_blocks_ni },
#elif defined(__aarch64__)
        { "armv8", CPU_ARM_SHA2, sha256_blocks_arm },
#endif
        { "scalar", 0, sha256_blocks_scalar },
    };
    static _Atomic(const struct sha256_choice *) chosen;   /* constant once set */
    const struct sha256_choice *choice = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (!choice) {
        uint32_t have = str_eq_cstr(STR("scalar"), os_env("MLXK_KERNELS")) ? 0 : cpu_features();
        choice = choices;
        while ((choice->feature & have) != choice->feature) {
            choice++;
        }
        atomic_store_explicit(&chosen, choice, memory_order_relaxed);
    }
    return choice;
}

MLXK_FN const char *sha256_variant(void) {
    return sha256_choose()->name_cstr;
}

/* ---- the hash ---- */

MLXK_FN void sha256_init(struct sha256 *s) {
    *s = (struct sha256){ .h = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 } };
}

MLXK_FN void sha256_update(struct sha256 *s, const void *p, size_t n) {
    const struct sha256_choice *choice = sha256_choose();
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
        choice->blocks(s->h, s->block, 1);
    }
    if (n >= 64) {
        choice->blocks(s->h, at, n / 64);
        at += n & ~(size_t)63;
        n &= 63;
    }
    if (n > 0) {
        memcpy(s->block, at, n);
    }
}

MLXK_FN void sha256_final(struct sha256 *s, uint8_t out[32]) {
    static const uint8_t padding[64] = { 0x80 };
    uint8_t length[8];
    uint64_t n_bits = s->n_bytes * 8;
    size_t used = s->n_bytes % 64;
    for (int i = 0; i < 8; i++) {
        length[i] = (uint8_t)(n_bits >> (56 - 8 * i));
    }
    sha256_update(s, padding, used < 56 ? 56 - used : 120 - used);
    sha256_update(s, length, sizeof length);
    for (int i = 0; i < 32; i++) {
        out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
    }
}

MLXK_FN void sha256_hex(struct str s, char out[65]) {
    struct sha256 state;
    uint8_t digest[32];
    sha256_init(&state);
    sha256_update(&state, s.p, s.n);
    sha256_final(&state, digest);
    str_hex(out, digest, sizeof digest);
}

MLXK_FN bool sha256_file(const char *path_cstr, uint8_t out[32],
                         bool (*progress)(void *ctx, uint64_t done_bytes), void *ctx,
                         struct err *e) {
    enum { SHA256_PIECE = 1 << 16 };
    uint8_t piece[SHA256_PIECE];
    struct sha256 state;
    struct os_stat st;
    size_t got = 0;
    int fd = os_open_regular(path_cstr, &st, e);
    if (fd < 0) {
        return false;
    }
    bool ok = true;
    sha256_init(&state);
    do {
        ok = os_read(fd, piece, sizeof piece, &got, e) || err_context(e, "%s: ", path_cstr);
        if (ok) {
            sha256_update(&state, piece, got);
            ok = !progress || progress(ctx, state.n_bytes)
              || err_set(e, ERR_INTERRUPTED, "hashing of %s was stopped", path_cstr);
        }
    } while (ok && got == sizeof piece);
    os_close(fd);
    if (ok) {
        sha256_final(&state, out);
    }
    return ok;
}
