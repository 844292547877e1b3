/* sign_kdf.c: a password becomes a key: HMAC-SHA-256 (RFC 2104), PBKDF2 (RFC 8018 section 5.2).
 *
 *  1. The two padded key blocks are hashed once; a round costs two blocks of SHA-256.
 *  2. Nothing derived from the password stays behind in memory of this file.
 */
#include "sign/sign_int.h"

struct sign_kdf { struct sha256 inner, outer; };     /* each with its padded key block hashed */

MLXK_FN void sign_wipe(void *secret, size_t n) {
    volatile uint8_t *p = secret;
    for (size_t i = 0; i < n; i++) p[i] = 0;
}

static void sign_kdf_init(struct sign_kdf *k, struct str key) {
    uint8_t block[64] = { 0 }, pad[64];
    if (key.n > 64) {
        sha256_init(&k->inner);
        sha256_update(&k->inner, key.p, key.n);
        sha256_final(&k->inner, block);
    } else if (key.n) memcpy(block, key.p, key.n);
    for (size_t i = 0; i < 64; i++) pad[i] = block[i] ^ 0x36;
    sha256_init(&k->inner);
    sha256_update(&k->inner, pad, 64);
    for (size_t i = 0; i < 64; i++) pad[i] = block[i] ^ 0x5c;
    sha256_init(&k->outer);
    sha256_update(&k->outer, pad, 64);
    sign_wipe(block, sizeof block);
    sign_wipe(pad, sizeof pad);
}

static void sign_kdf_hmac(const struct sign_kdf *k, struct str a, struct str b, uint8_t out[32]) {
    struct sha256 s = k->inner;
    uint8_t inside[32];
    sha256_update(&s, a.p, a.n);
    sha256_update(&s, b.p, b.n);
    sha256_final(&s, inside);
    s = k->outer;
    sha256_update(&s, inside, 32);
    sha256_final(&s, out);
}

MLXK_FN void sign_pbkdf2(struct str password, struct str salt, uint64_t rounds, uint8_t *out,
                         size_t n) {
    struct sign_kdf k;
    uint8_t u[32], sum[32];
    MLXK_ASSERT(n <= 32 && rounds);
    sign_kdf_init(&k, password);
    sign_kdf_hmac(&k, salt, (struct str){ "\0\0\0\1", 4 }, u);
    memcpy(sum, u, 32);
    for (uint64_t i = 1; i < rounds; i++) {
        sign_kdf_hmac(&k, (struct str){ (const char *)u, 32 }, STR_EMPTY, u);
        for (size_t j = 0; j < 32; j++) sum[j] ^= u[j];
    }
    memcpy(out, sum, n);
    sign_wipe(&k, sizeof k);
    sign_wipe(u, sizeof u);
    sign_wipe(sum, sizeof sum);
}
