/* sign_ed25519.c: Ed25519 (RFC 8032), BLAKE2b-512 (RFC 7693) and SHA-512 by libsodium. The only
 * file that includes it.
 *
 *  1. Signatures are deterministic by definition. Verification refuses what could be varied:
 *     numbers that are not reduced, points of small order.
 */
#include "sign/sign_int.h"

#include <libsodium/src/libsodium/include/sodium/crypto_generichash_blake2b.h>
#include <libsodium/src/libsodium/include/sodium/crypto_hash_sha512.h>
#include <libsodium/src/libsodium/include/sodium/crypto_sign_ed25519.h>

_Static_assert(sizeof(struct sign_blake2b) >= sizeof(crypto_generichash_blake2b_state),
               "sign_blake2b holds the library's state");

static crypto_generichash_blake2b_state *sign_blake2b_state(struct sign_blake2b *s) {
    return (crypto_generichash_blake2b_state *)s->opaque;
}

MLXK_FN void sign_blake2b_init(struct sign_blake2b *s, size_t n_out) {
    (void)crypto_generichash_blake2b_init(sign_blake2b_state(s), NULL, 0, n_out);
}

MLXK_FN void sign_blake2b_update(struct sign_blake2b *s, const void *p, size_t n) {
    if (n) (void)crypto_generichash_blake2b_update(sign_blake2b_state(s), p, n);
}

MLXK_FN void sign_blake2b_final(struct sign_blake2b *s, uint8_t *out, size_t n_out) {
    (void)crypto_generichash_blake2b_final(sign_blake2b_state(s), out, n_out);
}

MLXK_FN void sign_sha512(struct str s, uint8_t out[64]) {
    (void)crypto_hash_sha512(out, (const unsigned char *)s.p, s.n);
}

MLXK_FN void sign_ed25519_public(const uint8_t seed[32], uint8_t key[32]) {
    uint8_t secret[64];
    (void)crypto_sign_ed25519_seed_keypair(key, secret, seed);
    sign_wipe(secret, sizeof secret);
}

MLXK_FN void sign_ed25519(const uint8_t seed[32], struct str message, uint8_t signature[64]) {
    uint8_t secret[64], key[32];
    (void)crypto_sign_ed25519_seed_keypair(key, secret, seed);
    (void)crypto_sign_ed25519_detached(signature, NULL, (const unsigned char *)message.p, message.n,
                                       secret);
    sign_wipe(secret, sizeof secret);
}

MLXK_FN bool sign_ed25519_holds(const uint8_t key[32], struct str message,
                                const uint8_t signature[64]) {
    return crypto_sign_ed25519_verify_detached(signature, (const unsigned char *)message.p,
                                               message.n, key) == 0;
}
