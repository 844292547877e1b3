/* oci_digest.c: the hashes that digests name. Pure.
 *
 * What is made here is always sha256; sha512 is checked where others chose it.
 */
#include "oci/oci_int.h"

MLXK_FN void oci_hash_begin(struct oci_hash *h, struct str digest) {
    *h = (struct oci_hash){ .wide = str_starts(digest, STR("sha512:")) };
    if (h->wide) sha512_init(&h->sha512);
    else sha256_init(&h->sha256);
}

MLXK_FN void oci_hash_add(struct oci_hash *h, const void *p, size_t n) {
    if (h->wide) sha512_update(&h->sha512, p, n);
    else sha256_update(&h->sha256, p, n);
}

MLXK_FN bool oci_hash_check(struct oci_hash *h, struct str digest, struct err *e) {
    uint8_t bytes[64];
    char hex[129];
    if (h->wide) sha512_final(&h->sha512, bytes);
    else sha256_final(&h->sha256, bytes);
    str_hex(hex, bytes, h->wide ? 64 : 32);
    if (str_eq_cstr(oci_digest_hex(digest), hex)) return true;
    return err_set(e, ERR_INTEGRITY, "the bytes that came as " STR_FMT " have the digest %s:%s",
                   STR_ARG(digest), h->wide ? "sha512" : "sha256", hex);
}

MLXK_FN struct str oci_digest_of(struct arena *a, struct str text) {
    struct sha256 s;
    uint8_t bytes[32];
    char hex[65];
    sha256_init(&s);
    sha256_update(&s, text.p, text.n);
    sha256_final(&s, bytes);
    str_hex(hex, bytes, 32);
    return str_format(a, "sha256:%s", hex);
}
