/* mbedtls_config.h: what of mbedTLS is built in. Found before the library's own file of this name
 * because the include path names vendor/ first and the library's own copy is not unpacked.
 *
 * TLS 1.2 and 1.3, client and server, AEAD suites with forward secrecy only, X.509 chains with RSA
 * and ECDSA, names and IP addresses checked, session tickets, ALPN.
 * Left out on purpose: files, sockets, debugging, CBC, static RSA, DHE, renegotiation, DTLS.
 *
 * Given by src/net/tls_mbed.c: the allocator, and mbedtls_psa_external_get_random(), the library's only
 * source of randomness (the operating system's), so it carries no generator or entropy pool of its own.
 */
#ifndef MLXK_MBEDTLS_CONFIG_H
#define MLXK_MBEDTLS_CONFIG_H

/* System */
#define MBEDTLS_HAVE_ASM
#define MBEDTLS_HAVE_TIME
#define MBEDTLS_HAVE_TIME_DATE                  /* certificates expire */
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY                 /* blocks come from mem_alloc, set by the adapter */
#define MBEDTLS_THREADING_C                     /* key slots are shared by all connections */
#define MBEDTLS_THREADING_PTHREAD

/* CPU: used when present, found at run time */
#define MBEDTLS_AESNI_C
#define MBEDTLS_AESCE_C
#if defined(__aarch64__)
#define MBEDTLS_SHA256_USE_ARMV8_A_CRYPTO_IF_PRESENT
#endif

/* Ciphers and hashes */
#define MBEDTLS_CIPHER_C
#define MBEDTLS_AES_C
#define MBEDTLS_GCM_C
#define MBEDTLS_CHACHA20_C
#define MBEDTLS_POLY1305_C
#define MBEDTLS_CHACHAPOLY_C
#define MBEDTLS_MD_C
#define MBEDTLS_SHA1_C                          /* to read old roots; signatures with it are refused */
#define MBEDTLS_SHA224_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_SHA384_C
#define MBEDTLS_SHA512_C
#define MBEDTLS_HKDF_C

/* Public keys */
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_DP_SECP384R1_ENABLED
#define MBEDTLS_ECP_DP_SECP521R1_ENABLED
#define MBEDTLS_ECP_DP_CURVE25519_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM
#define MBEDTLS_ECDH_C
#define MBEDTLS_ECDSA_C
#define MBEDTLS_ECDSA_DETERMINISTIC             /* the same key and file give the same signature */
#define MBEDTLS_HMAC_DRBG_C                     /* RFC 6979 draws its nonces with it; nothing else does */
#define MBEDTLS_RSA_C
#define MBEDTLS_PKCS1_V15
#define MBEDTLS_PKCS1_V21
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_OID_C
#define MBEDTLS_BASE64_C
#define MBEDTLS_PEM_PARSE_C

/* Certificates */
#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_RSASSA_PSS_SUPPORT

/* PSA, which TLS 1.3 stands on */
#define MBEDTLS_PSA_CRYPTO_C
#define MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG

/* TLS */
#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_CLI_C
#ifndef MLXK_CLIENT             /* a client serves nothing */
#define MBEDTLS_SSL_SRV_C
#endif
#define MBEDTLS_SSL_PROTO_TLS1_2
#define MBEDTLS_SSL_PROTO_TLS1_3
#define MBEDTLS_SSL_TLS1_3_COMPATIBILITY_MODE
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ENABLED
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL_ENABLED    /* resumption */
#define MBEDTLS_KEY_EXCHANGE_ECDHE_RSA_ENABLED
#define MBEDTLS_KEY_EXCHANGE_ECDHE_ECDSA_ENABLED
#define MBEDTLS_SSL_KEEP_PEER_CERTIFICATE
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
#define MBEDTLS_SSL_SERVER_NAME_INDICATION
#define MBEDTLS_SSL_ALPN
#define MBEDTLS_SSL_SESSION_TICKETS
#ifndef MLXK_CLIENT
#define MBEDTLS_SSL_TICKET_C
#endif

#endif
