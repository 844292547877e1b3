#!/bin/sh
# The bought libraries still compute what they should after being pasted into one unit with renames: the
# known answers of mbedTLS itself (ciphers, hashes, curves, RSA, certificates), and zlib there and back.
# Test data has the same static names in several files: renamed around each, in a copy of the wrapper.
awk '/^#include <mbedtls\/library\/.*\.c>/ {
        split("test_input test_output test_keys test_mac sha_test_buf sha_test_buflen sha_test_sum_t sha_test_sum", name, " ")
        stem = $2; gsub(/.*\/|\.c>/, "", stem)
        for (i in name) print "#define " name[i] " " name[i] "__" stem
        print "#pragma push_macro(\"ARRAY_LENGTH\")"             # the tests of sha512.c undefine it
        print
        print "#pragma pop_macro(\"ARRAY_LENGTH\")"
        for (i in name) print "#undef " name[i]
        next }
    { print }' vendor/mbedtls_unit.c > "$T/mbedtls_unit.c"
cat > "$T/main.c" <<'UNIT'
#define MBEDTLS_SELF_TEST 1
#include "vendor/zlib_unit.c"
#include "mbedtls_unit.c"
#include <mbedtls/entropy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context,
                                             uint8_t *output, size_t size, size_t *output_length) {
    static unsigned x = 1;
    (void)context;
    for (size_t i = 0; i < size; i++) output[i] = (uint8_t)((x = x * 1103515245U + 12345U) >> 16);
    *output_length = size;
    return PSA_SUCCESS;
}

/* The doors lead back: here the library's own functions are asked. */
int tls_mbed_ecp_mul(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m, const mbedtls_ecp_point *P,
                     int (*f_rng)(void *, unsigned char *, size_t), void *p_rng) {
    return mbedtls_ecp_mul(grp, R, m, P, f_rng, p_rng);
}
int tls_mbed_ecp_mul_restartable(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m,
                                 const mbedtls_ecp_point *P, int (*f_rng)(void *, unsigned char *, size_t),
                                 void *p_rng, mbedtls_ecp_restart_ctx *rs_ctx) {
    return mbedtls_ecp_mul_restartable(grp, R, m, P, f_rng, p_rng, rs_ctx);
}
int tls_mbed_gcm_crypt(mbedtls_gcm_context *ctx, int mode, size_t n, const unsigned char *iv, size_t iv_n,
                       const unsigned char *add, size_t add_n, const unsigned char *in, unsigned char *out,
                       size_t tag_n, unsigned char *tag) {
    return mbedtls_gcm_crypt_and_tag(ctx, mode, n, iv, iv_n, add, add_n, in, out, tag_n, tag);
}
int tls_mbed_gcm_decrypt(mbedtls_gcm_context *ctx, size_t n, const unsigned char *iv, size_t iv_n,
                         const unsigned char *add, size_t add_n, const unsigned char *tag, size_t tag_n,
                         const unsigned char *in, unsigned char *out) {
    return mbedtls_gcm_auth_decrypt(ctx, n, iv, iv_n, add, add_n, tag, tag_n, in, out);
}

static void tell(int failed, const char *name) { printf("%s bought/%s\n", failed ? "not ok" : "ok", name); }

static int zlib_round_trip(void) {
    static unsigned char plain[300000], packed[400000], back[300000];
    for (size_t i = 0; i < sizeof plain; i++) plain[i] = (unsigned char)((i * i) >> (i % 13));
    for (int level = 0; level <= 9; level++) {
        z_stream z;
        memset(&z, 0, sizeof z);
        if (deflateInit2(&z, level, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK) return 1;
        z.next_in = plain; z.avail_in = sizeof plain; z.next_out = packed; z.avail_out = sizeof packed;
        if (deflate(&z, Z_FINISH) != Z_STREAM_END) return 1;
        size_t n = sizeof packed - z.avail_out;
        deflateEnd(&z);
        memset(&z, 0, sizeof z);
        if (inflateInit2(&z, 31) != Z_OK) return 1;
        z.next_in = packed; z.avail_in = (unsigned)n; z.next_out = back; z.avail_out = sizeof back;
        if (inflate(&z, Z_FINISH) != Z_STREAM_END || memcmp(plain, back, sizeof plain) != 0) return 1;
        inflateEnd(&z);
    }
    return crc32(0, (const unsigned char *)"123456789", 9) != 0xcbf43926;
}

int main(void) {
    tell(mbedtls_aes_self_test(0), "aes");
    tell(mbedtls_gcm_self_test(0), "gcm");
    tell(mbedtls_chacha20_self_test(0), "chacha20");
    tell(mbedtls_poly1305_self_test(0), "poly1305");
    tell(mbedtls_chachapoly_self_test(0), "chachapoly");
    tell(mbedtls_sha256_self_test(0), "sha256");
    tell(mbedtls_sha384_self_test(0), "sha384");
    tell(mbedtls_sha512_self_test(0), "sha512");
    tell(mbedtls_mpi_self_test(0), "bignum");
    tell(mbedtls_ecp_self_test(0), "ecp");
    tell(mbedtls_rsa_self_test(0), "rsa");
    tell(mbedtls_base64_self_test(0), "base64");
    tell(zlib_round_trip(), "zlib");
    return 0;
}
UNIT
# shellcheck disable=SC2046
"${CC:-gcc}" $(cat build/flags) -w -O1 -I "$T" "$T/main.c" -o "$T/main" -lpthread || { echo "not ok bought/compiles"; exit 1; }
"$T/main"
