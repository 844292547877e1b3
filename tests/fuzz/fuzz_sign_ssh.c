/* fuzz_sign_ssh.c: any text as a file of OpenSSH: keys, signature. What is taken for a signature
 * holds over one message at most.
 *
 * covers: sign/sign_ssh.c
 */
#include "sign/sign_int.h"

int fuzz_sign_ssh(const uint8_t *data, size_t size);

int fuzz_sign_ssh(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size };
    struct sign_ssh_public keys[4];
    struct sign_ssh_signature s;
    struct err e = { 0 }, e2 = { 0 }, e3 = { 0 };
    char name[51];
    size_t n;
    if (sign_ssh_public_read(text, STR("file"), keys, MLXK_COUNT(keys), &n, &e)) {
        MLXK_ASSERT(n > 0 && n <= MLXK_COUNT(keys));
        sign_ssh_name(&keys[n - 1], name);
        MLXK_ASSERT(strlen(name) == 50);
    } else MLXK_ASSERT(e.code != ERR_OK);
    if (!sign_ssh_read(text, STR("file"), &s, &e2)) MLXK_ASSERT(e2.code != ERR_OK);
    else if (sign_ssh_check(&s, STR("file"), STR("hello\n"), &e3))
        MLXK_ASSERT(!sign_ssh_check(&s, STR("file"), STR("hello"), &e3));
    return 0;
}
