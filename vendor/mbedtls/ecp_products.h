/* ecp_products.h: a point of an elliptic curve times a number, as mbedTLS's key agreement asks for it (renamed
 * around its callers in vendor/mbedtls_unit.c). src/net/tls_mbed.c has the two functions: Curve25519 goes to
 * libsodium, every other curve back to ecp.c. Same parameters, checks and answers as mbedtls_ecp_mul and
 * mbedtls_ecp_mul_restartable.
 */
#ifndef MLXK_ECP_PRODUCTS_H
#define MLXK_ECP_PRODUCTS_H

#include <mbedtls/ecp.h>

int tls_mbed_ecp_mul(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m,
                     const mbedtls_ecp_point *P, int (*f_rng)(void *, unsigned char *, size_t),
                     void *p_rng);
int tls_mbed_ecp_mul_restartable(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m,
                                 const mbedtls_ecp_point *P,
                                 int (*f_rng)(void *, unsigned char *, size_t), void *p_rng,
                                 mbedtls_ecp_restart_ctx *rs_ctx);

#endif
