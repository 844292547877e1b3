/* mbedtls_unit.c: mbedTLS as one unit (version and hashes: vendor/lock; why: vendor/README.md).
 *
 * 1. What is built in is said in vendor/mbedtls/mbedtls_config.h; this is the list of its files.
 * 2. A static name that two files share is renamed around the later one (NAME becomes NAME__file).
 * 3. Behind the last line only macros called MBEDTLS_... or PSA_... are left of it: the list of the
 *    others is made from the sources by src/tools/undef.awk, and tests/house/vendor.sh checks it.
 * 4. All of it counts as system headers (found by -isystem): warnings stay outside.
 * 5. The headers come first, leaves before what includes them: the library asks for most of them inside
 *    #if, and src/tools/amalgamate.awk can paste a header only once where it is asked for plainly.
 * 6. Two doors lead out: AES-GCM of whole records (vendor/mbedtls/gcm_records.h) and the products of key
 *    agreement (vendor/mbedtls/ecp_products.h).
 */
#include <mbedtls/mbedtls_config.h>
#include <mbedtls/library/common.h>
#include <psa/build_info.h>
#include <mbedtls/platform_time.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/platform.h>
#include <mbedtls/error.h>
#include <mbedtls/threading.h>
#include <mbedtls/bignum.h>
#include <mbedtls/library/constant_time_internal.h>
#include <mbedtls/library/bignum_core.h>
#include <mbedtls/asn1.h>
#include <mbedtls/asn1write.h>
#include <mbedtls/aes.h>
#include <mbedtls/cipher.h>
#include <mbedtls/block_cipher.h>
#include <mbedtls/chacha20.h>
#include <mbedtls/chachapoly.h>
#include <mbedtls/gcm.h>
#include <mbedtls/gcm_records.h>
#include <mbedtls/ccm.h>
#include <mbedtls/cmac.h>
#include <mbedtls/md5.h>
#include <mbedtls/ripemd160.h>
#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>
#include <mbedtls/sha3.h>
#include <mbedtls/md.h>
#include <mbedtls/ecp.h>
#include <mbedtls/ecp_products.h>
#include <mbedtls/ecdh.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/ecjpake.h>
#include <mbedtls/hmac_drbg.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/rsa.h>
#include <psa/crypto_platform.h>
#include <psa/crypto_types.h>
#include <psa/crypto_values.h>
#include <psa/crypto_sizes.h>
#include <psa/crypto_driver_common.h>
#include <psa/crypto.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/library/psa_util_internal.h>
#include <mbedtls/pk.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/x509.h>
#include <mbedtls/x509_crl.h>
#include <mbedtls/x509_crt.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <mbedtls/ssl.h>
#include <mbedtls/debug.h>
#include <mbedtls/library/bignum_mod.h>
#include <mbedtls/library/psa_crypto_core.h>
#include <mbedtls/library/md_psa.h>
#include <mbedtls/library/pk_internal.h>
#include <mbedtls/library/x509_internal.h>
#include <mbedtls/library/debug_internal.h>
#include <mbedtls/library/ssl_misc.h>

#include <mbedtls/library/aes.c>
#include <mbedtls/library/aesce.c>
#include <mbedtls/library/aesni.c>
#include <mbedtls/library/asn1parse.c>
#include <mbedtls/library/asn1write.c>
#include <mbedtls/library/base64.c>
#include <mbedtls/library/bignum.c>
#include <mbedtls/library/bignum_core.c>
#include <mbedtls/library/bignum_mod.c>
#include <mbedtls/library/bignum_mod_raw.c>
#include <mbedtls/library/block_cipher.c>
#include <mbedtls/library/chacha20.c>
#include <mbedtls/library/chachapoly.c>
#define mbedtls_gcm_crypt_and_tag tls_mbed_gcm_crypt
#define mbedtls_gcm_auth_decrypt tls_mbed_gcm_decrypt
#include <mbedtls/library/cipher.c>
#undef mbedtls_gcm_crypt_and_tag
#undef mbedtls_gcm_auth_decrypt
#include <mbedtls/library/cipher_wrap.c>
#include <mbedtls/library/constant_time.c>
#define mbedtls_ecp_mul_restartable tls_mbed_ecp_mul_restartable
#include <mbedtls/library/ecdh.c>
#undef mbedtls_ecp_mul_restartable
#include <mbedtls/library/ecdsa.c>
#include <mbedtls/library/ecp.c>
#include <mbedtls/library/ecp_curves.c>
#include <mbedtls/library/gcm.c>
#include <mbedtls/library/hkdf.c>
#include <mbedtls/library/hmac_drbg.c>
#include <mbedtls/library/md.c>
#include <mbedtls/library/oid.c>
#include <mbedtls/library/pem.c>
#include <mbedtls/library/pk.c>
#include <mbedtls/library/pk_ecc.c>
#include <mbedtls/library/pk_wrap.c>
#include <mbedtls/library/pkparse.c>
#include <mbedtls/library/platform.c>
#include <mbedtls/library/platform_util.c>
#include <mbedtls/library/poly1305.c>
#include <mbedtls/library/psa_crypto.c>
#define psa_aead_setup psa_aead_setup__aead
#include <mbedtls/library/psa_crypto_aead.c>
#undef psa_aead_setup
#define psa_cipher_setup psa_cipher_setup__cipher
#include <mbedtls/library/psa_crypto_cipher.c>
#undef psa_cipher_setup
#include <mbedtls/library/psa_crypto_client.c>
#include <mbedtls/library/psa_crypto_driver_wrappers_no_static.c>
#define mbedtls_ecp_mul tls_mbed_ecp_mul
#include <mbedtls/library/psa_crypto_ecp.c>
#undef mbedtls_ecp_mul
#include <mbedtls/library/psa_crypto_hash.c>
#define psa_mac_setup psa_mac_setup__mac
#include <mbedtls/library/psa_crypto_mac.c>
#undef psa_mac_setup
#include <mbedtls/library/psa_crypto_random.c>
#include <mbedtls/library/psa_crypto_rsa.c>
#define psa_global_data_t psa_global_data_t__slot_management
#define global_data global_data__slot_management
#include <mbedtls/library/psa_crypto_slot_management.c>
#undef psa_global_data_t
#undef global_data
#include <mbedtls/library/psa_util.c>
#include <mbedtls/library/rsa.c>
#include <mbedtls/library/rsa_alt_helpers.c>
#include <mbedtls/library/sha1.c>
#include <mbedtls/library/sha256.c>
#define K K__sha512
#include <mbedtls/library/sha512.c>
#undef K
#define supported_init supported_init__ciphersuites
#include <mbedtls/library/ssl_ciphersuites.c>
#undef supported_init
#include <mbedtls/library/ssl_client.c>
#include <mbedtls/library/ssl_msg.c>
#include <mbedtls/library/ssl_ticket.c>
#include <mbedtls/library/ssl_tls.c>
/* 3.6.6 offers RSA-PSS signatures to TLS 1.2 servers and then refuses them (mended in 3.6.7). What was
 * not offered is refused by its next check, so that one can stand in for the faulty one. */
#define mbedtls_ssl_sig_alg_is_supported(ssl, sig_alg) mbedtls_ssl_sig_alg_is_offered(ssl, sig_alg)
#include <mbedtls/library/ssl_tls12_client.c>
#undef mbedtls_ssl_sig_alg_is_supported
#define ssl_parse_renegotiation_info ssl_parse_renegotiation_info__tls12_server
#define ssl_parse_extended_ms_ext ssl_parse_extended_ms_ext__tls12_server
#define ssl_parse_session_ticket_ext ssl_parse_session_ticket_ext__tls12_server
#define ssl_write_extended_ms_ext ssl_write_extended_ms_ext__tls12_server
#define ssl_write_session_ticket_ext ssl_write_session_ticket_ext__tls12_server
#define ssl_write_supported_point_formats_ext ssl_write_supported_point_formats_ext__tls12_server
#include <mbedtls/library/ssl_tls12_server.c>
#undef ssl_parse_renegotiation_info
#undef ssl_parse_extended_ms_ext
#undef ssl_parse_session_ticket_ext
#undef ssl_write_extended_ms_ext
#undef ssl_write_session_ticket_ext
#undef ssl_write_supported_point_formats_ext
#include <mbedtls/library/ssl_tls13_client.c>
#define local_err_translation local_err_translation__tls13_generic
#include <mbedtls/library/ssl_tls13_generic.c>
#undef local_err_translation
#define local_err_translation local_err_translation__tls13_keys
#include <mbedtls/library/ssl_tls13_keys.c>
#undef local_err_translation
#define ssl_tls13_parse_supported_versions_ext ssl_tls13_parse_supported_versions_ext__tls13_server
#define ssl_tls13_write_key_share_ext ssl_tls13_write_key_share_ext__tls13_server
#define ssl_tls13_certificate_request_coordinate ssl_tls13_certificate_request_coordinate__tls13_server
#define ssl_tls13_handshake_wrapup ssl_tls13_handshake_wrapup__tls13_server
#include <mbedtls/library/ssl_tls13_server.c>
#undef ssl_tls13_parse_supported_versions_ext
#undef ssl_tls13_write_key_share_ext
#undef ssl_tls13_certificate_request_coordinate
#undef ssl_tls13_handshake_wrapup
#include <mbedtls/library/threading.c>
#include <mbedtls/library/x509.c>
#include <mbedtls/library/x509_crt.c>

#include "mbedtls_undef.h"
