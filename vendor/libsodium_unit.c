/* libsodium_unit.c: Ed25519, X25519, SHA-512 and BLAKE2b of libsodium as one unit (version and hashes:
 * vendor/lock; why: vendor/README.md). Nothing else of the library is unpacked.
 *
 * 1. The headers come first, so that src/tools/amalgamate.awk pastes each of them once.
 * 2. The portable files only: no processor is asked, nothing is chosen at run time. Numbers of 128 bits
 *    are there on every target.
 * 3. Its utils.c, core.c and randombytes.c, which lock pages and keep a generator, are not built in: the
 *    four functions that are wanted of them stand below, over the program's own. So does the one of
 *    scalarmult_curve25519.c, which goes through a table of implementations: that would keep 30 kB of
 *    multiples of the base point in a client, which never needs them.
 * 4. Behind the last line only macros called crypto_..., sodium_... or SODIUM_... are left of it.
 */
#include "platform/platform.h"

#define CONFIGURED 1
#define SODIUM_STATIC 1
#define HAVE_TI_MODE 1
#define NATIVE_LITTLE_ENDIAN 1
#include <export.h>
#include <core.h>
#include <runtime.h>
#include <utils.h>
#include <randombytes.h>
#include <crypto_verify_16.h>
#include <crypto_verify_32.h>
#include <crypto_verify_64.h>
#include <crypto_hash_sha512.h>
#include <crypto_generichash_blake2b.h>
#include <crypto_scalarmult_curve25519.h>
#include <crypto_sign_ed25519.h>
#include <private/common.h>
#include <private/ed25519_ref10.h>
#include <private/implementations.h>
#include <libsodium/src/libsodium/crypto_sign/ed25519/ref10/sign_ed25519_ref10.h>
#include <libsodium/src/libsodium/crypto_generichash/blake2b/ref/blake2.h>
#include <libsodium/src/libsodium/crypto_scalarmult/curve25519/scalarmult_curve25519.h>
#include <libsodium/src/libsodium/crypto_scalarmult/curve25519/ref10/x25519_ref10.h>

void sodium_memzero(void *const p, const size_t n) {
    for (size_t i = 0; i < n; i++) ((volatile unsigned char *)p)[i] = 0;
}

int sodium_memcmp(const void *const a, const void *const b, size_t n) {
    volatile unsigned char differ = 0;
    for (size_t i = 0; i < n; i++)
        differ |= ((const unsigned char *)a)[i] ^ ((const unsigned char *)b)[i];
    return differ ? -1 : 0;
}

int sodium_is_zero(const unsigned char *p, const size_t n) {
    volatile unsigned char any = 0;
    for (size_t i = 0; i < n; i++) any |= p[i];
    return !any;
}

void sodium_misuse(void) { MLXK_BUG("libsodium was called wrongly"); }

#define randombytes_buf(p, n) os_entropy(p, n)
#include <libsodium/src/libsodium/crypto_verify/sodium/verify.c>
#include <libsodium/src/libsodium/crypto_hash/sha512/cp/hash_sha512_cp.c>
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#define d ed25519_ref10_d         /* a global of that name would shadow half of the program */
#include <libsodium/src/libsodium/crypto_core/ed25519/ref10/ed25519_ref10.c>
#undef d
#include <libsodium/src/libsodium/crypto_scalarmult/curve25519/ref10/x25519_ref10.c>
#pragma GCC diagnostic pop
#include <libsodium/src/libsodium/crypto_sign/ed25519/ref10/sign.c>
#include <libsodium/src/libsodium/crypto_sign/ed25519/ref10/open.c>
#include <libsodium/src/libsodium/crypto_sign/ed25519/ref10/keypair.c>
#include <libsodium/src/libsodium/crypto_generichash/blake2b/ref/blake2b-compress-ref.c>
#define blake2b_IV blake2b_IV__ref
#include <libsodium/src/libsodium/crypto_generichash/blake2b/ref/blake2b-ref.c>
#undef blake2b_IV
#include <libsodium/src/libsodium/crypto_generichash/blake2b/ref/generichash_blake2b.c>
#undef randombytes_buf

/* RFC 7748 section 6.1: a product of zeros only is no secret. */
int crypto_scalarmult_curve25519(unsigned char *q, const unsigned char *n, const unsigned char *p) {
    return crypto_scalarmult_curve25519_ref10(q, n, p) != 0 || sodium_is_zero(q, 32) ? -1 : 0;
}
#undef common_H                   /* a guard with a value, which undef.awk leaves alone */
#undef CONFIGURED
#undef HAVE_TI_MODE
#undef NATIVE_LITTLE_ENDIAN

#include "libsodium_undef.h"
