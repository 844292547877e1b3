/* fuzz_sign_key.c: any text as a key file, private and public. What is taken as a private key
 * signs, and what it signed holds; what is taken as a public key lies on the curve. Encrypted keys are
 * read, but not opened: how long that takes is for the file to say.
 *
 * covers: sign/sign_key.c:sign_private_read sign/sign_key.c:sign_public_read sign/sign_key.c:sign_key_scalar
 * covers: sign/sign_key.c:sign_key_point sign/sign_key.c:sign_key_private sign/sign_key.c:sign_key_spki
 * covers: sign/sign_key.c:sign_key_box_read sign/sign_key.c:sign_key_refuse sign/sign_key.c:sign_key_hint
 * covers: sign/sign_key.c:sign_key_algorithm
 * covers: sign/sign_der.c:sign_der base/base64.c
 */
#include "sign/sign_int.h"

int fuzz_sign_key(const uint8_t *data, size_t size);

int fuzz_sign_key(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size };
    struct sign_private k;
    struct sign_public p;
    struct err e = { 0 }, e2 = { 0 };
    uint8_t rs[64], again[SIGN_MAX_DER];
    if (sign_private_read(text, STR_EMPTY, &k, &e)) {
        uint8_t digest[32] = { 1 }, der[SIGN_MAX_DER];
        size_t n;
        MLXK_ASSERT(sign_p256(&k, digest, der, &n, &e));
        MLXK_ASSERT(sign_p256_holds(&k.pub, digest, (struct str){ (char *)der, n }));
    } else MLXK_ASSERT(e.code != ERR_OK);
    if (sign_public_read(text, &p, &e2)) MLXK_ASSERT(sign_curve_has(p.point));
    else MLXK_ASSERT(e2.code != ERR_OK);
    if (sign_der_pair(text, rs))         /* one spelling: what was read is what is written */
        MLXK_ASSERT(sign_der_pair_write(rs, again) == size && memcmp(again, data, size) == 0);
    return 0;
}
