/* sign_statement.c: in-toto statements about one artifact, as cosign writes and reads them.
 *
 *  1. Written from the same facts, a statement is the same text.
 *  2. Reading takes statements of other tools: unknown members are passed over, but what is said
 *     must be about exactly one subject with a SHA-256 digest.
 * ref: in-toto Attestation Framework, Statement v1; cosign's predicate type sign/v1.
 */
#include "sign/sign_int.h"

enum { SIGN_STATEMENT_MAX_NOTES = 64 };

MLXK_FN bool sign_statement_write(struct buf *out, struct str digest_hex, struct str predicate_type,
                                  const struct sign_note *notes, size_t n_notes,
                                  struct str predicate, struct err *e) {
    struct json_writer w;
    for (size_t i = 1; i < n_notes; i++)
        if (str_cmp(notes[i - 1].key, notes[i].key) >= 0)
            return err_set(e, ERR_INVALID, "annotations are not sorted, or one is there twice");
    json_write_init(&w, out, false, false);
    json_write_object(&w);
    json_write_member(&w, "_type", STR("https://in-toto.io/Statement/v1"));
    json_write_key(&w, "subject");
    json_write_array(&w);
    json_write_object(&w);
    json_write_key(&w, "digest");
    json_write_object(&w);
    json_write_member(&w, "sha256", digest_hex);
    json_write_object_end(&w);
    if (n_notes) {
        json_write_key(&w, "annotations");
        json_write_object(&w);
        for (size_t i = 0; i < n_notes; i++) {
            json_write_key_str(&w, notes[i].key);
            json_write_str(&w, notes[i].value);
        }
        json_write_object_end(&w);
    }
    json_write_object_end(&w);
    json_write_array_end(&w);
    json_write_member(&w, "predicateType", predicate_type);
    json_write_key(&w, "predicate");
    json_write_raw(&w, predicate.n ? predicate : STR("{}"));
    json_write_object_end(&w);
    return buf_ok(out, "a statement", e);
}

static bool sign_statement_notes(struct arena *a, const struct json *v, struct sign_statement *out,
                                 struct err *e) {
    if (!v || json_is(v, JSON_NULL)) return true;
    if (!json_is(v, JSON_OBJECT) || v->n > SIGN_STATEMENT_MAX_NOTES)
        return err_set(e, ERR_FORMAT, "'annotations' is no object of at most %d texts",
                       SIGN_STATEMENT_MAX_NOTES);
    out->notes = ARENA_ARRAY(a, struct sign_note, v->n);
    if (!out->notes) return err_oom(e, v->n * sizeof *out->notes, "annotations");
    for (const struct json *m = v->child; m; m = m->next) {
        if (!json_is(m, JSON_STRING))
            return err_set(e, ERR_FORMAT, "an annotation is no text");
        out->notes[out->n_notes++] = (struct sign_note){ m->key, m->string };
    }
    return true;
}

MLXK_FN bool sign_statement_read(struct arena *a, struct str payload, struct sign_statement *out,
                                 struct err *e) {
    struct str type = STR_EMPTY;
    memset(out, 0, sizeof *out);
    const struct json *v = json_parse(a, payload, e);
    if (!v) return false;
    if (!json_is(v, JSON_OBJECT)) return err_set(e, ERR_FORMAT, "the statement is no JSON object");
    if (!json_read_str(v, "_type", &type, e) ||
        !json_read_str(v, "predicateType", &out->predicate_type, e))
        return false;
    if (!str_eq(type, STR("https://in-toto.io/Statement/v1")) &&
        !str_eq(type, STR("https://in-toto.io/Statement/v0.1")))
        return err_set(e, ERR_UNSUPPORTED, "what was signed is no in-toto statement");
    const struct json *list = json_get(v, "subject");
    if (!json_is(list, JSON_ARRAY) || list->n != 1 || !json_is(list->child, JSON_OBJECT))
        return err_set(e, ERR_FORMAT, "the statement is not about exactly one thing");
    const struct json *digest = json_get(list->child, "digest");
    if (!json_is(digest, JSON_OBJECT) || !json_read_str(digest, "sha256", &out->digest_hex, e) ||
        !str_is_hex(out->digest_hex, 64))
        return err_set(e, ERR_FORMAT, "the statement gives no SHA-256 digest of its subject");
    out->predicate = json_get(v, "predicate");
    return sign_statement_notes(a, json_get(list->child, "annotations"), out, e);
}

static bool sign_statement_of(struct arena *a, struct str bundle_text,
                              const struct sign_public *keys, size_t n_keys,
                              struct sign_statement *out, size_t *which /* or NULL */,
                              struct err *e) {
    struct sign_bundle b;
    if (sign_simple_is(bundle_text))
        return sign_simple_said(a, bundle_text, keys, n_keys, out, which, e);
    if (!sign_bundle_read(a, bundle_text, &b, e)) return false;
    if (!b.is_dsse)
        return err_set(e, ERR_UNSUPPORTED, "the bundle signs a file, not an artifact");
    if (!sign_bundle_check(&b, keys, n_keys, which, e)) return false;
    if (!str_eq(b.payload_type, STR(SIGN_IN_TOTO_TYPE)))
        return err_set(e, ERR_UNSUPPORTED, "what was signed is '" STR_FMT "', no in-toto statement",
                       STR_ARG(str_sub(b.payload_type, 0, 100)));
    return sign_statement_read(a, b.payload, out, e);
}

MLXK_FN bool sign_artifact_said(struct arena *a, struct str bundle_text, struct str digest_hex,
                                const struct sign_public *keys, size_t n_keys,
                                struct sign_statement *out, size_t *which /* or NULL */,
                                struct err *e) {
    return sign_statement_of(a, bundle_text, keys, n_keys, out, which, e) &&
           (str_eq(out->digest_hex, digest_hex) ||
            err_set(e, ERR_INTEGRITY, "the signature is for sha256:" STR_FMT ", not for this",
                    STR_ARG(out->digest_hex)));
}

MLXK_FN bool sign_artifact_check(struct arena *a, struct str bundle_text, struct str digest_hex,
                                 const struct sign_public *keys, size_t n_keys,
                                 struct sign_statement *out, size_t *which /* or NULL */,
                                 struct err *e) {
    return sign_artifact_said(a, bundle_text, digest_hex, keys, n_keys, out, which, e) &&
           (str_eq(out->predicate_type, STR(SIGN_COSIGN_PREDICATE)) ||
            err_set(e, ERR_UNSUPPORTED, "the statement is of the kind '" STR_FMT "'",
                    STR_ARG(str_sub(out->predicate_type, 0, 100))));
}
