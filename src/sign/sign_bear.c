/* sign_bear.c: arithmetic over P-256, and AES, by BearSSL. One of two files with these functions.
 *
 *  1. Signatures are RFC 6979's; constant time, no memory, no random numbers.
 */
#include "sign/sign_int.h"

#include <bearssl.h>

/* The library wants writable pointers where it only reads. */
static unsigned char *sign_bear_plain(const uint8_t *p) { return (unsigned char *)(uintptr_t)p; }

MLXK_FN bool sign_curve_public(const uint8_t scalar[32], uint8_t point[65]) {
    return br_ec_get_default()->mulgen(point, scalar, 32, BR_EC_secp256r1) == 65;
}

MLXK_FN bool sign_curve_has(const uint8_t point[65]) {
    static const uint8_t one[1] = { 1 };
    uint8_t copy[65];
    memcpy(copy, point, 65);
    return point[0] == 4 && br_ec_get_default()->mul(copy, 65, one, 1, BR_EC_secp256r1) == 1;
}

MLXK_FN bool sign_curve_sign(const uint8_t scalar[32], const uint8_t digest[32], uint8_t rs[64]) {
    br_ec_private_key key = { BR_EC_secp256r1, sign_bear_plain(scalar), 32 };
    return br_ecdsa_sign_raw_get_default()(br_ec_get_default(), &br_sha256_vtable, digest, &key,
                                           rs) == 64;
}

MLXK_FN bool sign_curve_verify(const uint8_t point[65], const uint8_t digest[32],
                               const uint8_t rs[64]) {
    br_ec_public_key key = { BR_EC_secp256r1, sign_bear_plain(point), 65 };
    return br_ecdsa_vrfy_raw_get_default()(br_ec_get_default(), digest, 32, &key, rs, 64) == 1;
}

MLXK_FN bool sign_aes_cbc_decrypt(const uint8_t *key, size_t key_n, const uint8_t iv[16],
                                  uint8_t *data, size_t n) {
    br_aes_ct64_cbcdec_keys aes;
    uint8_t before[16];
    memcpy(before, iv, 16);
    br_aes_ct64_cbcdec_init(&aes, key, key_n);
    br_aes_ct64_cbcdec_run(&aes, before, data, n);
    sign_wipe(&aes, sizeof aes);
    return true;
}
