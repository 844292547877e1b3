/* sign_mbed.c: arithmetic over P-256, and AES, by mbedTLS. One of two files with these functions.
 *
 *  1. Signatures are RFC 6979's: the random numbers asked for here only blind the arithmetic
 *     against those who measure it, and change no result.
 *  2. Its memory comes from mem_alloc, as in src/net/tls_mbed.c, which may have set that already.
 */
#include "sign/sign_int.h"

#include <mbedtls/aes.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/ecp.h>
#include <mbedtls/platform.h>

struct sign_mbed { mbedtls_ecp_group group; mbedtls_ecp_point point; mbedtls_mpi d, r, s; };

static void *sign_mbed_calloc(size_t n, size_t size_bytes) {
    size_t total;
    void *p = num_mul(n, size_bytes, &total) && total ? mem_alloc(total) : NULL;
    if (p) memset(p, 0, total);
    return p;
}

static int sign_mbed_random(void *ctx, unsigned char *out, size_t n) {
    (void)ctx;
    os_entropy(out, n);
    return 0;
}

static bool sign_mbed_open(struct sign_mbed *m) {
    bool ok = mbedtls_platform_set_calloc_free(sign_mbed_calloc, mem_free) == 0;
    mbedtls_ecp_group_init(&m->group);
    mbedtls_ecp_point_init(&m->point);
    mbedtls_mpi_init(&m->d);
    mbedtls_mpi_init(&m->r);
    mbedtls_mpi_init(&m->s);
    return ok && mbedtls_ecp_group_load(&m->group, MBEDTLS_ECP_DP_SECP256R1) == 0;
}

static void sign_mbed_close(struct sign_mbed *m) {
    mbedtls_mpi_free(&m->s);
    mbedtls_mpi_free(&m->r);
    mbedtls_mpi_free(&m->d);
    mbedtls_ecp_point_free(&m->point);
    mbedtls_ecp_group_free(&m->group);
}

MLXK_FN bool sign_curve_public(const uint8_t scalar[32], uint8_t point[65]) {
    struct sign_mbed m;
    size_t n = 0;
    bool ok = sign_mbed_open(&m) && mbedtls_mpi_read_binary(&m.d, scalar, 32) == 0 &&
              mbedtls_ecp_mul(&m.group, &m.point, &m.d, &m.group.G, sign_mbed_random, NULL) == 0 &&
              mbedtls_ecp_point_write_binary(&m.group, &m.point, MBEDTLS_ECP_PF_UNCOMPRESSED, &n,
                                             point, 65) == 0;
    sign_mbed_close(&m);
    return ok && n == 65;
}

MLXK_FN bool sign_curve_has(const uint8_t point[65]) {
    struct sign_mbed m;
    bool ok = sign_mbed_open(&m) && point[0] == 4 &&
              mbedtls_ecp_point_read_binary(&m.group, &m.point, point, 65) == 0 &&
              mbedtls_ecp_check_pubkey(&m.group, &m.point) == 0;
    sign_mbed_close(&m);
    return ok;
}

MLXK_FN bool sign_curve_sign(const uint8_t scalar[32], const uint8_t digest[32], uint8_t rs[64]) {
    struct sign_mbed m;
    bool ok = sign_mbed_open(&m) && mbedtls_mpi_read_binary(&m.d, scalar, 32) == 0 &&
              mbedtls_ecdsa_sign_det_ext(&m.group, &m.r, &m.s, &m.d, digest, 32,
                                         MBEDTLS_MD_SHA256, sign_mbed_random, NULL) == 0 &&
              mbedtls_mpi_write_binary(&m.r, rs, 32) == 0 &&
              mbedtls_mpi_write_binary(&m.s, rs + 32, 32) == 0;
    sign_mbed_close(&m);
    return ok;
}

MLXK_FN bool sign_curve_verify(const uint8_t point[65], const uint8_t digest[32],
                               const uint8_t rs[64]) {
    struct sign_mbed m;
    bool ok = sign_mbed_open(&m) &&
              mbedtls_ecp_point_read_binary(&m.group, &m.point, point, 65) == 0 &&
              mbedtls_mpi_read_binary(&m.r, rs, 32) == 0 &&
              mbedtls_mpi_read_binary(&m.s, rs + 32, 32) == 0 &&
              mbedtls_ecdsa_verify(&m.group, digest, 32, &m.point, &m.r, &m.s) == 0;
    sign_mbed_close(&m);
    return ok;
}

MLXK_FN bool sign_aes_cbc_decrypt(const uint8_t *key, size_t key_n, const uint8_t iv[16],
                                  uint8_t *data, size_t n) {
    mbedtls_aes_context aes;
    uint8_t before[16], coded[16];
    mbedtls_aes_init(&aes);
    bool ok = mbedtls_aes_setkey_dec(&aes, key, (unsigned)key_n * 8) == 0;
    memcpy(before, iv, 16);
    for (size_t i = 0; ok && i < n; i += 16) {
        memcpy(coded, data + i, 16);
        ok = mbedtls_aes_crypt_ecb(&aes, MBEDTLS_AES_DECRYPT, coded, data + i) == 0;
        for (size_t k = 0; k < 16; k++) data[i + k] ^= before[k];
        memcpy(before, coded, 16);
    }
    mbedtls_aes_free(&aes);
    return ok;
}
