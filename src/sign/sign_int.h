/* sign_int.h: what the files of this room share.
 *
 * DER and PEM readers that take one spelling of everything; PBKDF2; the adapters over the bought
 * arithmetic (sign_mbed.c or sign_bear.c: P-256 and AES; sign_ed25519.c: libsodium).
 */
#ifndef MLXK_SIGN_INT_H
#define MLXK_SIGN_INT_H

#include "sign/sign.h"

enum { SIGN_DER_INTEGER = 0x02, SIGN_DER_BITS = 0x03, SIGN_DER_OCTETS = 0x04, SIGN_DER_NULL = 0x05,
       SIGN_DER_OID = 0x06, SIGN_DER_SEQUENCE = 0x30, SIGN_DER_0 = 0xa0, SIGN_DER_1 = 0xa1,
       SIGN_DER_1_BITS = 0x81 };

/* ---- DER and PEM (sign_der.c) ---- */

/* Takes the element at the front of *from, which must have this tag: *inside is its content. One
 * byte tags, definite lengths in their shortest form. false: not so; nothing is moved. */
MLXK_FN bool sign_der_take(struct str *from, int tag, struct str *inside);
/* The same where the element may be missing: *inside is empty with p NULL then. false:
 * malformed. */
MLXK_FN bool sign_der_maybe(struct str *from, int tag, struct str *inside);
/* A non-negative integer in its shortest form, of at most max. */
MLXK_FN bool sign_der_number(struct str *from, uint64_t max, uint64_t *out);
/* r and s of a DER ECDSA signature, 32 bytes each; false also for zero and longer ones. */
MLXK_FN bool sign_der_pair(struct str der, uint8_t rs[64]);
MLXK_FN size_t sign_der_pair_write(const uint8_t rs[64], uint8_t der[SIGN_MAX_DER]);

/* The label of the first "-----BEGIN LABEL-----" line of a text; empty when there is none. */
MLXK_FN struct str sign_pem_label(struct str text);
/* The bytes of the only block of a text, whose label is known. err: ERR_FORMAT: more than one
 * block, no end, headers inside, lines that are not base64, more than cap bytes. */
MLXK_FN bool sign_pem_read(struct str text, struct str label, uint8_t *out, size_t cap, size_t *n,
                           struct err *e);
/* A block with lines of 64 characters, appended. */
MLXK_FN MLXK_TEST_AID void sign_pem_write(struct buf *out, const char *label_cstr, const void *p,
                                          size_t n, size_t columns);

/* ---- bundles (sign_bundle.c, sign_simple.c) ---- */

/* A member with base64 text, decoded into the arena. err: ERR_FORMAT, ERR_LIMIT. */
MLXK_FN bool sign_bundle_bytes(struct arena *a, const struct json *v, const char *key_cstr,
                               size_t max, struct str *out, struct err *e);
/* Such a text, made by sign_simple_write? */
MLXK_FN bool sign_simple_is(struct str text);
/* What one of the keys said by it; whose digest it is about is not compared here. */
MLXK_FN bool sign_simple_said(struct arena *a, struct str text, const struct sign_public *keys,
                              size_t n_keys, struct sign_statement *out,
                              size_t *which /* or NULL */, struct err *e);

/* ---- passwords (sign_kdf.c) ---- */

/* PBKDF2-HMAC-SHA-256, n <= 32 bytes. */
MLXK_FN void sign_pbkdf2(struct str password, struct str salt, uint64_t rounds, uint8_t *out,
                         size_t n);

/* ---- arithmetic over P-256, and AES (sign_mbed.c or sign_bear.c) ---- */

/* The point of a scalar in 1..order-1. false: out of memory. */
MLXK_FN bool sign_curve_public(const uint8_t scalar[32], uint8_t point[65]);
/* Uncompressed, on the curve, not at infinity. */
MLXK_FN bool sign_curve_has(const uint8_t point[65]);
/* r and s after RFC 6979 with SHA-256. false: out of memory. */
MLXK_FN bool sign_curve_sign(const uint8_t scalar[32], const uint8_t digest[32], uint8_t rs[64]);
MLXK_FN bool sign_curve_verify(const uint8_t point[65], const uint8_t digest[32],
                               const uint8_t rs[64]);
/* AES in CBC mode, decrypted in place; key_n 16, 24 or 32; n a multiple of 16. */
MLXK_FN bool sign_aes_cbc_decrypt(const uint8_t *key, size_t key_n, const uint8_t iv[16],
                                  uint8_t *data, size_t n);

/* ---- Ed25519 and its hashes (sign_ed25519.c) ---- */

struct sign_blake2b { _Alignas(64) uint8_t opaque[384]; };
MLXK_FN void sign_blake2b_init(struct sign_blake2b *s, size_t n_out);
MLXK_FN void sign_blake2b_update(struct sign_blake2b *s, const void *p, size_t n);
MLXK_FN void sign_blake2b_final(struct sign_blake2b *s, uint8_t *out, size_t n_out);
MLXK_FN MLXK_TEST_AID void sign_sha512(struct str s, uint8_t out[64]);
MLXK_FN void sign_ed25519_public(const uint8_t seed[32], uint8_t key[32]);
MLXK_FN void sign_ed25519(const uint8_t seed[32], struct str message, uint8_t signature[64]);
MLXK_FN bool sign_ed25519_holds(const uint8_t key[32], struct str message,
                                const uint8_t signature[64]);

#endif
