/* sign_bundle.c: Sigstore bundles v0.3 with a bare public key, over a file's digest or as DSSE.
 *
 *  1. Written from the same key and bytes, a bundle is the same text: compact JSON, members in a
 *     fixed order, no time, no log entry.
 *  2. Reading says what is in a bundle, checking says whose it is: nothing of a bundle is to be
 *     believed before sign_bundle_check. Its hint only names a key; it chooses none.
 *  3. A bundle with a certificate needs trust roots that this program does not keep: refused by
 *     name.
 * ref: sigstore protobuf-specs, bundle v0.3; DSSE protocol 1.0.
 */
#include "sign/sign_int.h"

/* ---- writing --------------------------------------------------------------------------------- */

MLXK_FN void sign_dsse_pae(struct buf *out, struct str type, struct str payload) {
    buf_addf(out, "DSSEv1 %zu ", type.n);
    buf_add(out, type);
    buf_addf(out, " %zu ", payload.n);
    buf_add(out, payload);
}

static void sign_bundle_base64(struct json_writer *w, const char *key_cstr, const void *p,
                               size_t n) {
    struct buf digits;
    buf_init(&digits, SIGN_MAX_BUNDLE);
    base64_write(&digits, p, n);
    json_write_member(w, key_cstr, buf_str(&digits));
    w->out->failed = w->out->failed || digits.failed;
    buf_release(&digits);
}

/* Up to the member that holds the signature. */
static void sign_bundle_begin(struct json_writer *w, const struct sign_private *k,
                              struct buf *out) {
    json_write_init(w, out, false, false);
    json_write_object(w);
    json_write_member(w, "mediaType", STR(SIGN_BUNDLE_TYPE));
    json_write_key(w, "verificationMaterial");
    json_write_object(w);
    json_write_key(w, "publicKey");
    json_write_object(w);
    json_write_member(w, "hint", str_cstr(k->pub.hint));
    json_write_object_end(w);
    json_write_key(w, "tlogEntries");
    json_write_array(w);
    json_write_array_end(w);
    json_write_object_end(w);
}

MLXK_FN bool sign_bundle_message(const struct sign_private *k, const uint8_t digest[32],
                                 struct buf *out, struct err *e) {
    struct json_writer w;
    uint8_t der[SIGN_MAX_DER];
    size_t n;
    if (!sign_p256(k, digest, der, &n, e)) return false;
    sign_bundle_begin(&w, k, out);
    json_write_key(&w, "messageSignature");
    json_write_object(&w);
    json_write_key(&w, "messageDigest");
    json_write_object(&w);
    json_write_member(&w, "algorithm", STR("SHA2_256"));
    sign_bundle_base64(&w, "digest", digest, 32);
    json_write_object_end(&w);
    sign_bundle_base64(&w, "signature", der, n);
    json_write_object_end(&w);
    json_write_object_end(&w);
    return buf_ok(out, "a bundle", e);
}

static bool sign_bundle_pae_digest(struct str type, struct str payload, uint8_t digest[32],
                                   struct err *e) {
    struct buf pae;
    struct sha256 s;
    buf_init(&pae, SIGN_MAX_PAYLOAD + 1024);
    sign_dsse_pae(&pae, type, payload);
    bool ok = buf_ok(&pae, "a payload", e);
    sha256_init(&s);
    if (ok) sha256_update(&s, pae.p, pae.n);
    sha256_final(&s, digest);
    buf_release(&pae);
    return ok;
}

MLXK_FN bool sign_bundle_dsse(const struct sign_private *k, struct str payload_type,
                              struct str payload, struct buf *out, struct err *e) {
    struct json_writer w;
    uint8_t digest[32], der[SIGN_MAX_DER];
    size_t n;
    if (!sign_bundle_pae_digest(payload_type, payload, digest, e) ||
        !sign_p256(k, digest, der, &n, e))
        return false;
    sign_bundle_begin(&w, k, out);
    json_write_key(&w, "dsseEnvelope");
    json_write_object(&w);
    sign_bundle_base64(&w, "payload", payload.p, payload.n);
    json_write_member(&w, "payloadType", payload_type);
    json_write_key(&w, "signatures");
    json_write_array(&w);
    json_write_object(&w);
    sign_bundle_base64(&w, "sig", der, n);
    json_write_object_end(&w);
    json_write_array_end(&w);
    json_write_object_end(&w);
    json_write_object_end(&w);
    return buf_ok(out, "a bundle", e);
}

/* ---- reading --------------------------------------------------------------------------------- */

MLXK_FN bool sign_bundle_bytes(struct arena *a, const struct json *v, const char *key_cstr,
                               size_t max, struct str *out, struct err *e) {
    struct str digits = STR_EMPTY;
    if (!json_read_str(v, key_cstr, &digits, e)) return false;
    size_t n = digits.n / 4 * 3;
    if (n > max + 2)
        return err_set(e, ERR_LIMIT, "'%s' holds %zu bytes; at most %zu are allowed", key_cstr, n,
                       max);
    uint8_t *p = arena_alloc(a, n, 1);
    if (!p) return err_oom(e, n, "a bundle");
    *out = (struct str){ (const char *)p, 0 };
    return (digits.n && base64_read(digits, p, n, &out->n)) ||
           err_set(e, ERR_FORMAT, "'%s' is missing, or is not base64", key_cstr);
}

static bool sign_bundle_type(const struct json *v, struct err *e) {
    static const char *const known[] = {
        SIGN_BUNDLE_TYPE,
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
    };
    struct str type = STR_EMPTY;
    if (!json_is(v, JSON_OBJECT)) return err_set(e, ERR_FORMAT, "it is no JSON object");
    if (!json_read_str(v, "mediaType", &type, e)) return false;
    for (size_t i = 0; i < MLXK_COUNT(known); i++)
        if (str_eq_cstr(type, known[i])) return true;
    if (!type.n) return err_set(e, ERR_FORMAT, "it has no 'mediaType': it is no Sigstore bundle");
    return err_set(e, ERR_UNSUPPORTED,
                   "its type is '" STR_FMT "'; bundles of Sigstore up to version 0.3 are read",
                   STR_ARG(str_sub(type, 0, 100)));
}

static bool sign_bundle_material(const struct json *v, struct sign_bundle *out, struct err *e) {
    const struct json *material = json_get(v, "verificationMaterial");
    const struct json *key = json_get(material, "publicKey");
    if (json_get(material, "certificate") || json_get(material, "x509CertificateChain")) {
        err_set(e, ERR_UNSUPPORTED, "it was signed with a certificate, not with a key");
        return err_hint(e, "cosign verifies it; mlxk verifies signatures made with --key");
    }
    if (!json_is(key, JSON_OBJECT))
        return err_set(e, ERR_FORMAT, "it has no 'verificationMaterial' with a 'publicKey'");
    return json_read_str(key, "hint", &out->hint, e);
}

static bool sign_bundle_read_message(struct arena *a, const struct json *message,
                                     struct sign_bundle *out, struct err *e) {
    const struct json *digest = json_get(message, "messageDigest");
    struct str algorithm = STR_EMPTY, bytes;
    if (!json_is(digest, JSON_OBJECT))
        return err_set(e, ERR_FORMAT, "it has no 'messageDigest'");
    if (!json_read_str(digest, "algorithm", &algorithm, e)) return false;
    if (!str_eq(algorithm, STR("SHA2_256")))
        return err_set(e, ERR_UNSUPPORTED, "its digest is '" STR_FMT "'; SHA2_256 is read",
                       STR_ARG(str_sub(algorithm, 0, 40)));
    if (!sign_bundle_bytes(a, digest, "digest", 32, &bytes, e)) return false;
    if (bytes.n != 32)
        return err_set(e, ERR_FORMAT, "its digest has %zu bytes instead of 32", bytes.n);
    memcpy(out->digest, bytes.p, 32);
    return sign_bundle_bytes(a, message, "signature", SIGN_MAX_DER, &out->signature, e);
}

static bool sign_bundle_read_dsse(struct arena *a, const struct json *envelope,
                                  struct sign_bundle *out, struct err *e) {
    const struct json *list = json_get(envelope, "signatures");
    out->is_dsse = true;
    if (!json_is(list, JSON_ARRAY) || list->n != 1 || !json_is(list->child, JSON_OBJECT))
        return err_set(e, ERR_FORMAT, "its envelope has not exactly one signature");
    if (!json_read_str(envelope, "payloadType", &out->payload_type, e)) return false;
    if (!out->payload_type.n || out->payload_type.n > 256)
        return err_set(e, ERR_FORMAT, "its 'payloadType' is missing or too long");
    return sign_bundle_bytes(a, list->child, "sig", SIGN_MAX_DER, &out->signature, e) &&
           sign_bundle_bytes(a, envelope, "payload", SIGN_MAX_PAYLOAD, &out->payload, e);
}

MLXK_FN bool sign_bundle_read(struct arena *a, struct str text, struct sign_bundle *out,
                              struct err *e) {
    memset(out, 0, sizeof *out);
    const struct json *v = json_parse(a, text, e);
    if (!v || !sign_bundle_type(v, e) || !sign_bundle_material(v, out, e)) return false;
    const struct json *message = json_get(v, "messageSignature");
    const struct json *envelope = json_get(v, "dsseEnvelope");
    if (json_is(message, JSON_OBJECT) && !envelope)
        return sign_bundle_read_message(a, message, out, e);
    if (json_is(envelope, JSON_OBJECT) && !message)
        return sign_bundle_read_dsse(a, envelope, out, e);
    return err_set(e, ERR_FORMAT,
                   "it has not exactly one of 'messageSignature' and 'dsseEnvelope'");
}

/* ---- checking -------------------------------------------------------------------------------- */

MLXK_FN bool sign_bundle_check(const struct sign_bundle *b, const struct sign_public *keys,
                               size_t n_keys, size_t *which /* or NULL */, struct err *e) {
    uint8_t digest[32];
    memcpy(digest, b->digest, 32);
    if (b->is_dsse && !sign_bundle_pae_digest(b->payload_type, b->payload, digest, e)) return false;
    for (size_t i = 0; i < n_keys; i++) {
        if (!sign_p256_holds(&keys[i], digest, b->signature)) continue;
        if (which) *which = i;
        return true;
    }
    bool named = false;
    for (size_t i = 0; i < n_keys; i++) named = named || str_eq_cstr(b->hint, keys[i].hint);
    if (named)
        return err_set(e, ERR_INTEGRITY,
                       "the signature does not fit, though it names the right key");
    err_set(e, ERR_INTEGRITY, "the signature is of none of the %zu key%s", n_keys,
            n_keys == 1 ? "" : "s");
    return err_hint(e, "it names the key '" STR_FMT "'", STR_ARG(str_sub(b->hint, 0, 100)));
}
