/* sign_simple.c: signatures of the older kind, "simple signing", as cosign kept them under the tag
 * sha256-DIGEST.sig: a payload of its own, and beside it the bare signature over that.
 *
 *   {"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","payload":"…","signature":"…"}
 *
 * is how such a pair goes where a bundle goes (both base64). It is read, never made.
 *
 * 1. The payload is believed after its signature held, and only what it says of this digest.
 * ref    containers/image, docs/containers-signature.5 (critical, optional); cosign SIGNATURE_SPEC.
 */
#include "sign/sign_int.h"

enum { SIGN_SIMPLE_MAX_NOTES = 64 };

MLXK_FN bool sign_simple_write(struct buf *out, struct str payload, struct str signature_base64,
                               struct err *e) {
    struct json_writer w;
    struct buf text;
    buf_init(&text, SIGN_MAX_BUNDLE);
    base64_write(&text, payload.p, payload.n);
    json_write_init(&w, out, false, false);
    json_write_object(&w);
    json_write_member(&w, "mediaType", STR(SIGN_SIMPLE_TYPE));
    json_write_member(&w, "payload", buf_str(&text));
    json_write_member(&w, "signature", signature_base64);
    json_write_object_end(&w);
    bool ok = buf_ok(&text, "a signature", e) && buf_ok(out, "a signature", e);
    buf_release(&text);
    return ok;
}

/* Texts of `optional`; what is no text is passed over. */
static bool sign_simple_notes(struct arena *a, const struct json *v, struct sign_statement *out,
                              struct err *e) {
    if (!json_is(v, JSON_OBJECT)) return true;
    if (v->n > SIGN_SIMPLE_MAX_NOTES)
        return err_set(e, ERR_FORMAT, "'optional' has more than %d members", SIGN_SIMPLE_MAX_NOTES);
    out->notes = ARENA_ARRAY(a, struct sign_note, v->n + 1);
    if (!out->notes) return err_oom(e, v->n * sizeof *out->notes, "annotations");
    for (const struct json *m = v->child; m; m = m->next)
        if (json_is(m, JSON_STRING))
            out->notes[out->n_notes++] = (struct sign_note){ m->key, m->string };
    return true;
}

static bool sign_simple_read(struct arena *a, struct str payload, struct sign_statement *out,
                             struct err *e) {
    const struct json *v = json_parse(a, payload, e), *critical = json_get(v, "critical");
    const struct json *image = json_get(critical, "image");
    struct str type = STR_EMPTY, digest = STR_EMPTY;
    if (!v) return false;
    if (!json_is(critical, JSON_OBJECT) || !json_is(image, JSON_OBJECT)
        || !json_read_str(critical, "type", &type, e)
        || !json_read_str(image, "docker-manifest-digest", &digest, e))
        return e->code != ERR_OK
                   ? false : err_set(e, ERR_FORMAT, "what was signed names no image");
    if (!str_eq(type, STR("cosign container image signature")))
        return err_set(e, ERR_UNSUPPORTED, "what was signed is '" STR_FMT "'",
                       STR_ARG(str_sub(type, 0, 100)));
    if (!str_starts(digest, STR("sha256:")) || !str_is_hex(str_sub(digest, 7, digest.n), 64))
        return err_set(e, ERR_FORMAT, "what was signed gives no SHA-256 digest");
    out->digest_hex = str_sub(digest, 7, digest.n);
    out->predicate_type = STR(SIGN_COSIGN_PREDICATE);
    return sign_simple_notes(a, json_get(v, "optional"), out, e);
}

MLXK_FN bool sign_simple_is(struct str text) {
    return str_starts(text, STR("{\"mediaType\":\"" SIGN_SIMPLE_TYPE "\","));
}

MLXK_FN bool sign_simple_said(struct arena *a, struct str text, const struct sign_public *keys,
                              size_t n_keys, struct sign_statement *out,
                              size_t *which /* or NULL */, struct err *e) {
    struct sign_bundle b = { .is_dsse = false };
    struct str payload;
    struct sha256 h;
    memset(out, 0, sizeof *out);
    const struct json *v = json_parse(a, text, e);
    if (!v || !sign_bundle_bytes(a, v, "payload", SIGN_MAX_PAYLOAD, &payload, e)
        || !sign_bundle_bytes(a, v, "signature", SIGN_MAX_DER, &b.signature, e))
        return false;
    sha256_init(&h);
    sha256_update(&h, payload.p, payload.n);
    sha256_final(&h, b.digest);
    return sign_bundle_check(&b, keys, n_keys, which, e) && sign_simple_read(a, payload, out, e);
}
