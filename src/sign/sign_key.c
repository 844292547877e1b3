/* sign_key.c: key files of P-256: PKCS#8 (RFC 5958), in clear or encrypted by PBES2 (RFC 8018), and
 * SubjectPublicKeyInfo (RFC 5480). Everything else is refused by its name, with what to do.
 *
 *  1. A private key is a number in 1..order-1, and its public key is computed, not believed: one
 *     that stands in the file must be the same.
 *  2. A public key is a point on the curve, uncompressed.
 *  3. What was decoded on the way to a secret is wiped; a wrong password and a damaged file are
 *     told as one thing, since nobody can know which it was.
 */
#include "sign/sign_int.h"

enum { SIGN_KEY_MAX_DER = 4096, SIGN_KEY_SPKI = 91 };

#define SIGN_KEY_MAKE \
    "make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem"

/* What stands in front of the point in the DER of a P-256 SubjectPublicKeyInfo. */
static const uint8_t sign_key_head[26] = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
};
static const uint8_t sign_key_order[32] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
};

/* ---- names of what is refused (Private) ------------------------------------------------------ */

struct sign_key_name { struct str id; const char *what_cstr, *hint_cstr; };

static const struct sign_key_name *sign_key_find(const struct sign_key_name *list, size_t n,
                                                 struct str id) {
    for (size_t i = 0; i < n; i++)
        if (str_starts(id, list[i].id)) return &list[i];
    return NULL;
}

/* By the label of a PEM block. */
static const struct sign_key_name *sign_key_labelled(struct str label) {
    static const struct sign_key_name list[] = {
        { STR("EC P"), "a P-256 or other EC key in the old SEC1 form ('EC PRIVATE KEY')",
          "make a PKCS#8 file of it: openssl pkcs8 -topk8 -in OLD -out key.pem" },
        { STR("RSA "), "an RSA key", SIGN_KEY_MAKE },
        { STR("DSA "), "a DSA key", SIGN_KEY_MAKE },
        { STR("ENCRYPTED SIGSTORE "), "a key in cosign's own box (scrypt and NaCl)",
          "make a key with openssl; cosign import-key-pair --key key.pem takes the same one" },
        { STR("ENCRYPTED COSIGN "), "a key in cosign's own box (scrypt and NaCl)",
          "make a key with openssl; cosign import-key-pair --key key.pem takes the same one" },
        { STR("OPENSSH PRIVATE KEY"), "an OpenSSH key",
          "an ecdsa one becomes PKCS#8 by: ssh-keygen -p -m PKCS8 -f COPY" },
        { STR("SSH2 "), "an SSH key", SIGN_KEY_MAKE },
        { STR("PGP "), "an OpenPGP key", SIGN_KEY_MAKE },
        { STR("CERTIFICATE REQUEST"), "a certificate request, not a key", SIGN_KEY_MAKE },
        { STR("CERTIFICATE"), "a certificate, not a key",
          "its public key: openssl x509 -pubkey -noout -in FILE" },
        { STR("PUBLIC KEY"), "a public key, not a private one", SIGN_KEY_MAKE },
        { STR("ENCRYPTED PRIVATE KEY"), "a private key, not a public one",
          "its public key: openssl pkey -pubout -in FILE" },
        { STR("PRIVATE KEY"), "a private key, not a public one",
          "its public key: openssl pkey -pubout -in FILE" },
    };
    return sign_key_find(list, MLXK_COUNT(list), label);
}

/* By how a text without PEM begins. */
static const struct sign_key_name *sign_key_begun(struct str text) {
    static const struct sign_key_name list[] = {
        { STR("untrusted comment:"), "a minisign or signify key",
          "it signs files (mlxk sign FILE), not artifacts; those need a P-256 key" },
        { STR("ssh-"), "a public key of SSH", SIGN_KEY_MAKE },
        { STR("ecdsa-sha2-"), "a public key of SSH",
          "as PEM: ssh-keygen -e -m PKCS8 -f FILE" },
        { STR("sk-"), "a public key of SSH that lies in a security token", SIGN_KEY_MAKE },
        { STR("PuTTY-User-Key-File"), "a PuTTY key", SIGN_KEY_MAKE },
        { STR("{"), "JSON, perhaps a JWK", SIGN_KEY_MAKE },
        { STR("0"), "binary, perhaps DER or PKCS#12",
          "as PEM: openssl pkey -inform DER -in FILE -out key.pem" },
    };
    return sign_key_find(list, MLXK_COUNT(list), text);
}

/* By the object identifier of its algorithm or curve. */
static const struct sign_key_name *sign_key_identified(struct str oid) {
    static const struct sign_key_name list[] = {
        { STR("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"), "an RSA key", SIGN_KEY_MAKE },
        { STR("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"), "an RSA-PSS key", SIGN_KEY_MAKE },
        { STR("\x2a\x86\x48\xce\x38\x04\x01"), "a DSA key", SIGN_KEY_MAKE },
        { STR("\x2a\x86\x48\x86\xf7\x0d\x01\x03\x01"), "a Diffie-Hellman key", SIGN_KEY_MAKE },
        { STR("\x2b\x65\x6e"), "an X25519 key, which cannot sign", SIGN_KEY_MAKE },
        { STR("\x2b\x65\x6f"), "an X448 key, which cannot sign", SIGN_KEY_MAKE },
        { STR("\x2b\x65\x70"), "an Ed25519 key",
          "Ed25519 signs files, with a minisign key (minisign -G -W); artifacts need a P-256 key" },
        { STR("\x2b\x65\x71"), "an Ed448 key", SIGN_KEY_MAKE },
        { STR("\x2b\x81\x04\x00\x22"), "an EC key over P-384", SIGN_KEY_MAKE },
        { STR("\x2b\x81\x04\x00\x23"), "an EC key over P-521", SIGN_KEY_MAKE },
        { STR("\x2b\x81\x04\x00\x21"), "an EC key over P-224", SIGN_KEY_MAKE },
        { STR("\x2b\x81\x04\x00\x0a"), "an EC key over secp256k1", SIGN_KEY_MAKE },
        { STR("\x2b\x24\x03\x03\x02\x08\x01\x01"), "an EC key over a Brainpool curve",
          SIGN_KEY_MAKE },
    };
    return sign_key_find(list, MLXK_COUNT(list), oid);
}

/* `name` NULL: nobody knows what it is. */
static bool sign_key_refuse(const struct sign_key_name *name, const char *otherwise_cstr,
                            struct err *e) {
    err_set(e, ERR_UNSUPPORTED, "it is %s", name ? name->what_cstr : otherwise_cstr);
    return err_hint(e, "%s", name ? name->hint_cstr : SIGN_KEY_MAKE);
}

static bool sign_key_malformed(struct err *e) {
    return err_set(e, ERR_FORMAT, "the key is damaged: its DER is not that of a P-256 key");
}

static bool sign_key_refuse_text(struct str text, struct str label, struct err *e) {
    if (label.n) return sign_key_refuse(sign_key_labelled(label), "a PEM block of another kind", e);
    if (!str_trim(text).n) return err_set(e, ERR_FORMAT, "it is empty");
    return sign_key_refuse(sign_key_begun(str_trim(text)), "no key file that is known", e);
}

/* ---- DER of keys (Private) ------------------------------------------------------------------- */

/* AlgorithmIdentifier of an EC key over P-256. */
static bool sign_key_algorithm(struct str *from, struct err *e) {
    struct str id, oid, curve;
    if (!sign_der_take(from, SIGN_DER_SEQUENCE, &id) || !sign_der_take(&id, SIGN_DER_OID, &oid))
        return sign_key_malformed(e);
    if (!str_eq(oid, STR("\x2a\x86\x48\xce\x3d\x02\x01")))
        return sign_key_refuse(sign_key_identified(oid), "a key of an unknown algorithm", e);
    if (id.n && (uint8_t)id.p[0] == SIGN_DER_SEQUENCE)
        return sign_key_refuse(NULL, "an EC key whose curve is spelt out instead of named", e);
    if (!sign_der_take(&id, SIGN_DER_OID, &curve) || id.n) return sign_key_malformed(e);
    if (!str_eq(curve, STR("\x2a\x86\x48\xce\x3d\x03\x01\x07")))
        return sign_key_refuse(sign_key_identified(curve),
                               "an EC key over another curve than P-256", e);
    return true;
}

static bool sign_key_point(struct str bits, uint8_t point[65], struct err *e) {
    if (bits.n == 34 && bits.p[0] == 0 && (bits.p[1] == 2 || bits.p[1] == 3))
        return sign_key_refuse(NULL, "a P-256 key whose point is compressed", e);
    if (bits.n != 66 || bits.p[0] != 0) return sign_key_malformed(e);
    memcpy(point, bits.p + 1, 65);
    return sign_curve_has(point) ||
           err_set(e, ERR_FORMAT, "the key is damaged: its point does not lie on P-256");
}

static void sign_key_spki(const uint8_t point[65], uint8_t spki[SIGN_KEY_SPKI]) {
    memcpy(spki, sign_key_head, sizeof sign_key_head);
    memcpy(spki + sizeof sign_key_head, point, 65);
}

static bool sign_key_hint(struct sign_public *k, struct err *e) {
    uint8_t spki[SIGN_KEY_SPKI], digest[32];
    struct sha256 s;
    struct buf b;
    sign_key_spki(k->point, spki);
    sha256_init(&s);
    sha256_update(&s, spki, sizeof spki);
    sha256_final(&s, digest);
    buf_init(&b, sizeof k->hint);
    base64_write(&b, digest, 32);
    bool ok = buf_ok(&b, "the name of a key", e);
    if (ok) memcpy(k->hint, b.p, sizeof k->hint);
    buf_release(&b);
    return ok;
}

/* ECPrivateKey (RFC 5915), inside of PKCS#8. *stated: the public key that the file states, or
 * empty. */
static bool sign_key_scalar(struct str der, uint8_t scalar[32], struct str *stated, struct err *e) {
    struct str key, number, curve, outer;
    uint64_t version;
    bool zero = true;
    *stated = STR_EMPTY;
    if (!sign_der_take(&der, SIGN_DER_SEQUENCE, &key) || der.n ||
        !sign_der_number(&key, 1, &version) || version != 1 ||
        !sign_der_take(&key, SIGN_DER_OCTETS, &number) || number.n != 32 ||
        !sign_der_maybe(&key, SIGN_DER_0, &curve) || !sign_der_maybe(&key, SIGN_DER_1, &outer) ||
        key.n || (outer.p && (!sign_der_take(&outer, SIGN_DER_BITS, stated) || outer.n)) ||
        (curve.p && !str_eq(curve, STR("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"))))
        return sign_key_malformed(e);
    for (size_t i = 0; i < 32; i++) zero = zero && number.p[i] == 0;
    if (zero || memcmp(number.p, sign_key_order, 32) >= 0)
        return err_set(e, ERR_FORMAT, "the key is damaged: its number is out of range");
    memcpy(scalar, number.p, 32);
    return true;
}

/* PrivateKeyInfo or OneAsymmetricKey. */
static bool sign_key_private(struct str der, struct sign_private *out, struct err *e) {
    struct str info, key, attributes, bits, stated;
    uint64_t version;
    uint8_t point[65];
    if (!sign_der_take(&der, SIGN_DER_SEQUENCE, &info) || der.n ||
        !sign_der_number(&info, 1, &version))
        return sign_key_malformed(e);
    if (!sign_key_algorithm(&info, e)) return false;
    if (!sign_der_take(&info, SIGN_DER_OCTETS, &key) ||
        !sign_der_maybe(&info, SIGN_DER_0, &attributes) ||
        !sign_der_maybe(&info, SIGN_DER_1_BITS, &bits) || info.n || (bits.p && version != 1))
        return sign_key_malformed(e);
    if (!sign_key_scalar(key, out->scalar, &stated, e)) return false;
    if (!sign_curve_public(out->scalar, out->pub.point)) return err_oom(e, 65, "a key");
    for (int i = 0; i < 2; i++) {
        struct str said = i ? bits : stated;
        if (!said.p) continue;
        if (!sign_key_point(said, point, e)) return false;
        if (memcmp(point, out->pub.point, 65) != 0)
            return err_set(e, ERR_FORMAT,
                           "the key is damaged: its public and private parts differ");
    }
    return sign_key_hint(&out->pub, e);
}

/* ---- PBES2 (Private) ------------------------------------------------------------------------- */

struct sign_key_box { struct str salt, iv, data; uint64_t rounds; size_t key_n; };

static bool sign_key_box_refuse(const char *what_cstr, struct err *e) {
    err_set(e, ERR_UNSUPPORTED, "it is encrypted with %s", what_cstr);
    return err_hint(e,
                    "encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 "
                    "-in OLD -out key.pem");
}

static bool sign_key_box_kdf(struct str *from, struct sign_key_box *box, struct err *e) {
    struct str kdf, oid, params, prf, prf_oid, null;
    uint64_t key_n = 0;
    if (!sign_der_take(from, SIGN_DER_SEQUENCE, &kdf) || !sign_der_take(&kdf, SIGN_DER_OID, &oid))
        return sign_key_malformed(e);
    if (str_eq(oid, STR("\x2b\x06\x01\x04\x01\xda\x47\x04\x0b")))
        return sign_key_box_refuse("a key from scrypt", e);
    if (!str_eq(oid, STR("\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c")))
        return sign_key_box_refuse("a key from an unknown function", e);
    if (!sign_der_take(&kdf, SIGN_DER_SEQUENCE, &params) || kdf.n ||
        !sign_der_take(&params, SIGN_DER_OCTETS, &box->salt) ||
        !sign_der_number(&params, UINT64_MAX, &box->rounds) || !box->rounds)
        return sign_key_malformed(e);
    if (params.n && (uint8_t)params.p[0] == SIGN_DER_INTEGER &&
        (!sign_der_number(&params, 32, &key_n) || key_n != box->key_n))
        return sign_key_malformed(e);
    if (box->rounds > SIGN_MAX_KDF_ROUNDS)
        return err_set(e, ERR_LIMIT, "its password is hashed %llu times; at most %d are allowed",
                       (unsigned long long)box->rounds, SIGN_MAX_KDF_ROUNDS);
    if (!params.n) return sign_key_box_refuse("PBKDF2 over SHA-1", e);
    if (!sign_der_take(&params, SIGN_DER_SEQUENCE, &prf) || params.n ||
        !sign_der_take(&prf, SIGN_DER_OID, &prf_oid) ||
        !sign_der_maybe(&prf, SIGN_DER_NULL, &null) || null.n || prf.n)
        return sign_key_malformed(e);
    return str_eq(prf_oid, STR("\x2a\x86\x48\x86\xf7\x0d\x02\x09")) ||
           sign_key_box_refuse("PBKDF2 over another hash than SHA-256", e);
}

/* The cipher comes behind the function that makes its key, and says how long that key is. */
static bool sign_key_box_cipher(struct str from, struct sign_key_box *box, struct err *e) {
    struct str cipher, oid;
    if (!sign_der_take(&from, SIGN_DER_SEQUENCE, &cipher) || from.n ||
        !sign_der_take(&cipher, SIGN_DER_OID, &oid))
        return sign_key_malformed(e);
    if (!str_starts(oid, STR("\x60\x86\x48\x01\x65\x03\x04\x01")) || oid.n != 9 ||
        (oid.p[8] != 0x02 && oid.p[8] != 0x16 && oid.p[8] != 0x2a))
        return sign_key_box_refuse("another cipher than AES-CBC", e);
    box->key_n = oid.p[8] == 0x02 ? 16 : oid.p[8] == 0x16 ? 24 : 32;
    return (sign_der_take(&cipher, SIGN_DER_OCTETS, &box->iv) && box->iv.n == 16 && !cipher.n) ||
           sign_key_malformed(e);
}

static bool sign_key_box_read(struct str der, struct sign_key_box *box, struct err *e) {
    struct str info, id, oid, params, kdf;
    if (!sign_der_take(&der, SIGN_DER_SEQUENCE, &info) || der.n ||
        !sign_der_take(&info, SIGN_DER_SEQUENCE, &id) || !sign_der_take(&id, SIGN_DER_OID, &oid))
        return sign_key_malformed(e);
    if (!str_eq(oid, STR("\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d")))
        return sign_key_box_refuse("an old scheme (PBES1 or that of PKCS#12)", e);
    if (!sign_der_take(&id, SIGN_DER_SEQUENCE, &params) || id.n ||
        !sign_der_take(&info, SIGN_DER_OCTETS, &box->data) || info.n)
        return sign_key_malformed(e);
    kdf = params;
    struct str skipped;
    if (!sign_der_take(&params, SIGN_DER_SEQUENCE, &skipped)) return sign_key_malformed(e);
    if (!sign_key_box_cipher(params, box, e) || !sign_key_box_kdf(&kdf, box, e)) return false;
    return (box->data.n && box->data.n % 16 == 0) || sign_key_malformed(e);
}

/* Decrypts in place; *plain lies in the box's own bytes. */
static bool sign_key_box_open(struct sign_key_box *box, struct str password, struct str *plain,
                              struct err *e) {
    uint8_t key[32];
    uint8_t *data = (uint8_t *)(uintptr_t)box->data.p;
    size_t n = box->data.n;
    sign_pbkdf2(password, box->salt, box->rounds, key, box->key_n);
    bool ok = sign_aes_cbc_decrypt(key, box->key_n, (const uint8_t *)box->iv.p, data, n);
    sign_wipe(key, sizeof key);
    size_t pad = data[n - 1];
    ok = ok && pad >= 1 && pad <= 16;
    for (size_t i = 0; ok && i < pad; i++) ok = data[n - 1 - i] == pad;
    if (ok) {
        *plain = str_sub(box->data, 0, n - pad);
        struct str look = *plain, inside;
        ok = sign_der_take(&look, SIGN_DER_SEQUENCE, &inside) && !look.n;
    }
    if (ok) return true;
    err_set(e, ERR_ACCESS, "the password is wrong, or the file is damaged");
    return err_hint(e, "it comes from MLXK_KEY_PASSWORD, or from the file that "
                       "MLXK_KEY_PASSWORD_FILE names");
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool sign_private_read(struct str pem, struct str password, struct sign_private *out,
                               struct err *e) {
    struct str label = sign_pem_label(pem), der, plain;
    struct sign_key_box box;
    uint8_t bytes[SIGN_KEY_MAX_DER];
    size_t n;
    bool boxed = str_eq_cstr(label, "ENCRYPTED PRIVATE KEY");
    memset(out, 0, sizeof *out);
    if (!boxed && !str_eq_cstr(label, "PRIVATE KEY")) return sign_key_refuse_text(pem, label, e);
    bool ok = sign_pem_read(pem, label, bytes, sizeof bytes, &n, e);
    if (ok) der = plain = (struct str){ (const char *)bytes, n };
    if (ok && boxed) {
        ok = sign_key_box_read(der, &box, e);
        if (ok && !password.n) {
            ok = err_set(e, ERR_ACCESS, "it is encrypted, and no password was given");
            err_hint(e, "set MLXK_KEY_PASSWORD, or MLXK_KEY_PASSWORD_FILE to a file with it");
        }
        ok = ok && sign_key_box_open(&box, password, &plain, e);
    }
    ok = ok && sign_key_private(plain, out, e);
    sign_wipe(bytes, sizeof bytes);
    if (!ok) sign_wipe(out, sizeof *out);
    return ok;
}

MLXK_FN bool sign_public_read(struct str pem, struct sign_public *out, struct err *e) {
    struct str label = sign_pem_label(pem), der, info, bits;
    uint8_t bytes[SIGN_KEY_MAX_DER];
    size_t n;
    memset(out, 0, sizeof *out);
    if (!str_eq_cstr(label, "PUBLIC KEY")) return sign_key_refuse_text(pem, label, e);
    if (!sign_pem_read(pem, label, bytes, sizeof bytes, &n, e)) return false;
    der = (struct str){ (const char *)bytes, n };
    if (!sign_der_take(&der, SIGN_DER_SEQUENCE, &info) || der.n) return sign_key_malformed(e);
    if (!sign_key_algorithm(&info, e)) return false;
    if (!sign_der_take(&info, SIGN_DER_BITS, &bits) || info.n) return sign_key_malformed(e);
    return sign_key_point(bits, out->point, e) && sign_key_hint(out, e);
}

MLXK_FN bool sign_p256(const struct sign_private *k, const uint8_t digest[32],
                       uint8_t der[SIGN_MAX_DER], size_t *n, struct err *e) {
    uint8_t rs[64];
    if (!sign_curve_sign(k->scalar, digest, rs)) return err_oom(e, sizeof rs, "a signature");
    if (!sign_curve_verify(k->pub.point, digest, rs))    /* a fault that would give the key away */
        return err_set(e, ERR_INTERNAL, "a signature that was just made does not hold");
    *n = sign_der_pair_write(rs, der);
    return true;
}

MLXK_FN bool sign_p256_holds(const struct sign_public *k, const uint8_t digest[32],
                             struct str der) {
    uint8_t rs[64];
    return sign_der_pair(der, rs) && sign_curve_verify(k->point, digest, rs);
}

/* ---- key files ------------------------------------------------------------------------------- */

/* The password for encrypted keys; empty when none is given. */
static bool sign_key_password(struct arena *a, struct str *out, struct err *e) {
    const char *given_cstr = os_env("MLXK_KEY_PASSWORD");
    const char *file_cstr = os_env("MLXK_KEY_PASSWORD_FILE");
    *out = str_cstr(given_cstr);
    if (given_cstr || !file_cstr || !*file_cstr) return true;
    if (!os_read_file(a, file_cstr, SIGN_MAX_PASSWORD, out, e))
        return err_context(e, "MLXK_KEY_PASSWORD_FILE: ");
    struct str rest = *out;
    *out = str_cut(&rest, '\n');
    if (out->n && out->p[out->n - 1] == '\r') out->n--;
    return true;
}

MLXK_FN bool sign_private_parse(struct arena *a, struct str pem, struct sign_private *out,
                                struct err *e) {
    struct str password;
    return sign_key_password(a, &password, e) && sign_private_read(pem, password, out, e);
}

MLXK_FN bool sign_public_load(struct arena *a, const char *path_cstr, struct sign_public *out,
                              struct err *e) {
    struct str text;
    if (!os_read_file(a, path_cstr, SIGN_MAX_KEY_FILE, &text, e)) return false;
    return sign_public_read(text, out, e) || err_context(e, "key file %s: ", path_cstr);
}
