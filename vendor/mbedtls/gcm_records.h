/* gcm_records.h: whole messages of AES-GCM, as mbedTLS's cipher layer asks for them, go to the two functions
 * here instead of those of gcm.c (renamed around cipher.c in vendor/mbedtls_unit.c). src/net/tls_mbed.c has
 * them: it does the long middle of a record with the processor's instructions and the rest through gcm.c.
 * Same parameters and answers as mbedtls_gcm_crypt_and_tag and mbedtls_gcm_auth_decrypt.
 */
#ifndef MLXK_GCM_RECORDS_H
#define MLXK_GCM_RECORDS_H

#include <mbedtls/gcm.h>

int tls_mbed_gcm_crypt(mbedtls_gcm_context *ctx, int mode, size_t length, const unsigned char *iv,
                       size_t iv_len, const unsigned char *add, size_t add_len,
                       const unsigned char *input, unsigned char *output, size_t tag_len,
                       unsigned char *tag);
int tls_mbed_gcm_decrypt(mbedtls_gcm_context *ctx, size_t length, const unsigned char *iv,
                         size_t iv_len, const unsigned char *add, size_t add_len,
                         const unsigned char *tag, size_t tag_len, const unsigned char *input,
                         unsigned char *output);

#endif
