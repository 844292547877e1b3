/* fuzz_sign_mini.c: any text as a file of minisign: public key, secret key, signature. A secret
 * key that is taken signs, and what it signed holds.
 *
 * covers: sign/sign_mini.c:sign_mini
 */
#include "sign/sign_int.h"

int fuzz_sign_mini(const uint8_t *data, size_t size);

int fuzz_sign_mini(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size };
    struct sign_mini_public p;
    struct sign_mini_private k;
    struct sign_mini_signature s;
    struct err e = { 0 }, e2 = { 0 }, e3 = { 0 };
    uint8_t hash[64] = { 7 };
    if (!sign_mini_public_read(text, &p, &e)) MLXK_ASSERT(e.code != ERR_OK);
    if (sign_mini_read(text, &s, &e2)) {
        MLXK_ASSERT(s.comment.n <= SIGN_MAX_COMMENT);
        memset(&p, 0, sizeof p);
        memcpy(p.number, s.number, 8);
        MLXK_ASSERT(!sign_mini_check(&s, &p, STR("hello\n"), &e2));
    } else MLXK_ASSERT(e2.code != ERR_OK);
    if (sign_mini_private_read(text, &k, &e3)) {
        struct buf out;
        buf_init(&out, 1 << 16);
        MLXK_ASSERT(sign_mini_write(&k, hash, STR("c"), &out, &e3));
        MLXK_ASSERT(sign_mini_read(buf_str(&out), &s, &e3));
        MLXK_ASSERT(sign_mini_check(&s, &k.pub, (struct str){ (char *)hash, 64 }, &e3));
        buf_release(&out);
    } else MLXK_ASSERT(e3.code != ERR_OK);
    return 0;
}
