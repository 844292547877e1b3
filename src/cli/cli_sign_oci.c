/* cli_sign_oci.c: signatures of artifacts: `sign REF` attaches one as a referrer, `verify REF
 * --key` finds one by that key.
 *
 *  1. A signature is over the manifest's digest, which covers every file of the artifact.
 */
#include "cli/cli_sign.h"

#include "cli/cli_oci.h"

/* ---- (Private) ---- */

MLXK_FN bool cli_sign_oci_find(struct cli_context *c, struct cli_sign_artifact *s) {
    if (!s->registry
        || !oci_manifest_head(&c->arena, s->registry, oci_ref_what(&s->ref), &s->head, &c->err))
        return false;
    if (!s->head.found) {
        struct str text = oci_ref_text(&c->arena, &s->ref);
        return err_set(&c->err, ERR_NOT_FOUND, "there is no " STR_FMT, STR_ARG(text));
    }
    return str_starts(s->head.digest, STR("sha256:"))
           || err_set(&c->err, ERR_UNSUPPORTED,
                      "its digest is no SHA-256: it can neither be signed nor verified");
}

/* The older kind: a manifest under the tag sha256-DIGEST.sig, each layer of it a payload with its
 * signature as an annotation. What cannot be read is passed over: it would verify nothing. */
static bool cli_sign_oci_older(struct cli_context *c, struct cli_sign_artifact *s) {
    struct err ignored = { 0 };
    struct oci_manifest m;
    struct str tag = str_format(&c->arena, "sha256-" STR_FMT ".sig",
                                STR_ARG(oci_digest_hex(s->head.digest)));
    if (!tag.p) return err_oom(&c->err, OCI_MAX_TAG, "a tag");
    if (!oci_manifest_get(&c->arena, s->registry, tag, &m, &ignored) || m.is_index) return true;
    for (size_t i = 0; i < m.n_layers && s->n < CLI_SIGN_MAX_BUNDLES; i++) {
        const struct oci_desc *d = &m.layers[i];
        struct str payload, signature = oci_annotation(d->annotations, d->n_annotations,
                                                       "dev.cosignproject.cosign/signature");
        struct buf text;
        if (!signature.n || signature.n > SIGN_MAX_BUNDLE
            || !str_eq(d->media_type, STR(SIGN_SIMPLE_TYPE))
            || !oci_blob_text(&c->arena, s->registry, d, SIGN_MAX_PAYLOAD, &payload, &ignored))
            continue;
        buf_init(&text, 4 * SIGN_MAX_BUNDLE);
        if (sign_simple_write(&text, payload, signature, &ignored))
            s->bundles[s->n++] = str_dup(&c->arena, buf_str(&text));
        buf_release(&text);
    }
    return true;
}

MLXK_FN bool cli_sign_oci_bundles(struct cli_context *c, struct cli_sign_artifact *s) {
    struct oci_desc *list;
    size_t n;
    if (!oci_referrers(&c->arena, s->registry, s->head.digest, STR(SIGN_BUNDLE_TYPE), &list, &n,
                       &c->err))
        return false;
    for (size_t i = 0; i < n && s->n < CLI_SIGN_MAX_BUNDLES; i++, s->n++) {
        struct err ignored = { 0 };
        struct oci_manifest m;
        if (!oci_manifest_get(&c->arena, s->registry, list[i].digest, &m, &ignored) || m.is_index
            || m.n_layers != 1
            || !oci_blob_text(&c->arena, s->registry, &m.layers[0], SIGN_MAX_BUNDLE,
                              &s->bundles[s->n], &ignored))
            s->bundles[s->n] = STR_EMPTY;
    }
    return cli_sign_oci_older(c, s);
}

static bool cli_sign_oci_attach(struct cli_context *c, struct cli_sign_artifact *s,
                                struct str predicate_type, struct str bundle, struct str *digest) {
    struct oci_pair notes[] = {
        { STR("dev.sigstore.bundle.content"), STR("dsse-envelope") },
        { STR("dev.sigstore.bundle.predicateType"), predicate_type },
    };
    struct oci_desc layer = { .media_type = STR(SIGN_BUNDLE_TYPE),
                              .digest = oci_digest_of(&c->arena, bundle),
                              .size_bytes = bundle.n };
    struct oci_manifest m = {
        .media_type = STR(OCI_TYPE_MANIFEST),
        .artifact_type = STR(SIGN_BUNDLE_TYPE),
        .config = oci_desc_empty(),
        .layers = &layer,
        .n_layers = 1,
        .has_subject = true,
        .subject = { .media_type = s->head.media_type,
                     .digest = s->head.digest,
                     .size_bytes = s->head.size_bytes },
        .annotations = notes,
        .n_annotations = MLXK_COUNT(notes),
    };
    bool ok = oci_manifest_make(&c->arena, &m, &c->err)
              && oci_text_put(s->registry, &m.config, STR("{}"), &c->err)
              && oci_text_put(s->registry, &layer, bundle, &c->err)
              && oci_manifest_put(s->registry, &m, STR_EMPTY, &c->err);
    *digest = m.digest;
    return ok;
}

/* ---- (Public) ---- */

MLXK_FN bool cli_sign_key(struct cli_context *c, struct sign_private *out) {
    struct str text, key = cli_text(&c->args, "--key");
    char *path_cstr = str_dup_cstr(&c->arena, key);
    if (!path_cstr) return err_oom(&c->err, key.n, "a path");
    if (!os_read_file(&c->arena, path_cstr, SIGN_MAX_KEY_FILE, &text, &c->err)) return false;
    bool ok = sign_private_parse(&c->arena, text, out, &c->err);
    sign_wipe((void *)(uintptr_t)text.p, text.n);
    return ok || err_context(&c->err, "key file %s: ", path_cstr);
}

MLXK_FN bool cli_sign_oci_say(struct cli_context *c, struct cli_sign_artifact *s,
                              const struct sign_private *k, const struct sign_note *notes,
                              size_t n_notes, struct str predicate_type, struct str predicate,
                              struct str *attached) {
    struct buf statement, bundle;
    buf_init(&statement, SIGN_MAX_PAYLOAD);
    buf_init(&bundle, SIGN_MAX_BUNDLE);
    bool ok =
        sign_statement_write(&statement, oci_digest_hex(s->head.digest), predicate_type, notes,
                             n_notes, predicate, &c->err)
        && sign_bundle_dsse(k, STR(SIGN_IN_TOTO_TYPE), buf_str(&statement), &bundle, &c->err)
        && cli_sign_oci_attach(c, s, predicate_type, buf_str(&bundle), attached);
    buf_release(&statement);
    buf_release(&bundle);
    return ok;
}

/* ---- (Private) ---- */

static bool cli_sign_oci_sign(struct cli_context *c, struct cli_sign_artifact *s,
                              struct sign_public *pub, struct str *attached) {
    struct str release = cli_text(&c->args, "--release");
    struct sign_note note = { STR("version"), release };
    struct sign_private k;
    if (!cli_sign_key(c, &k)) return false;
    *pub = k.pub;
    bool ok = cli_sign_oci_say(c, s, &k, &note, release.n ? 1 : 0, STR(SIGN_COSIGN_PREDICATE),
                               STR_EMPTY, attached);
    sign_wipe(&k, sizeof k);
    return ok && oci_finish(s->registry, &c->err);
}

struct cli_sign_told {
    struct sign_public key;
    struct str attached, version;
    struct sign_statement *claims; size_t n_claims;      /* attestations by the key */
};

static void cli_sign_oci_document(struct cli_context *c, const struct cli_sign_artifact *s,
                                  const struct cli_sign_told *t, bool verify) {
    struct json_writer *w = cli_document(c);
    bool whole = verify && cli_text(&c->args, "--type").n;
    json_write_object(w);
    json_write_member(w, "artifact", oci_ref_text(&c->arena, &s->ref));
    json_write_member(w, "digest", s->head.digest);
    json_write_member(w, "key", str_cstr(t->key.hint));
    json_write_member_or_null(w, "signature", t->attached);
    json_write_member_or_null(w, "version", t->version);
    if (verify) json_write_key(w, "attestations");
    if (verify) json_write_array(w);
    for (size_t i = 0; i < t->n_claims; i++) {
        json_write_object(w);
        json_write_member(w, "type", t->claims[i].predicate_type);
        json_write_member(w, "summary", cli_attest_summary(&c->arena, &t->claims[i]));
        json_write_key(w, "predicate");
        if (whole) json_write_value(w, t->claims[i].predicate);
        else json_write_null(w);
        json_write_object_end(w);
    }
    if (verify) json_write_array_end(w);
    json_write_object_end(w);
}

static int cli_sign_oci_told(struct cli_context *c, const struct cli_sign_artifact *s,
                             const struct cli_sign_told *t, bool verify) {
    struct str text = oci_ref_text(&c->arena, &s->ref);
    bool claims = verify && cli_text(&c->args, "--type").n;
    if (c->out.json) {
        cli_sign_oci_document(c, s, t, verify);
        return cli_document_end(c);
    }
    cli_print(c, STR_FMT ": %s %s\n", STR_ARG(text),
              claims   ? "attested by the key"
              : verify ? "good signature by the key"
                       : "signed with the key",
              t->key.hint);
    if (t->version.n) cli_print(c, "Release: " STR_FMT "\n", STR_ARG(t->version));
    for (size_t i = 0; i < t->n_claims; i++)
        cli_print(c, "Attestation: " STR_FMT "\n",
                  STR_ARG(cli_attest_summary(&c->arena, &t->claims[i])));
    return 0;
}

/* Sorts what the key said into signature and attestations; *why: why the last was not taken. */
static bool cli_sign_oci_hear(struct cli_context *c, struct cli_sign_artifact *s,
                              struct cli_sign_told *t, bool *is_signed, struct err *why) {
    struct str wanted = cli_text(&c->args, "--type");
    *is_signed = false;
    t->claims = ARENA_ARRAY(&c->arena, struct sign_statement, s->n + 1);
    if (!t->claims) return err_oom(&c->err, s->n * sizeof *t->claims, "attestations");
    for (size_t i = 0; i < s->n; i++) {
        struct sign_statement said;
        struct err here = { 0 };
        if (!sign_artifact_said(&c->arena, s->bundles[i], oci_digest_hex(s->head.digest), &t->key,
                                1, &said, NULL, &here)) {
            *why = here;
            continue;
        }
        bool signs = str_eq(said.predicate_type, STR(SIGN_COSIGN_PREDICATE));
        *is_signed = *is_signed || signs;
        for (size_t k = 0; signs && k < said.n_notes; k++)
            if (str_eq(said.notes[k].key, STR("version"))) t->version = said.notes[k].value;
        if (!signs && (!wanted.n || str_eq(said.predicate_type, cli_attest_type(wanted))))
            t->claims[t->n_claims++] = said;
    }
    return true;
}

static bool cli_sign_oci_verify(struct cli_context *c, struct cli_sign_artifact *s,
                                struct cli_sign_told *t) {
    struct str path = cli_text(&c->args, "--key"), wanted = cli_text(&c->args, "--type");
    struct err why = { 0 };
    bool is_signed;
    char *path_cstr = str_dup_cstr(&c->arena, path);
    if (!path_cstr) return err_oom(&c->err, path.n, "a path");
    if (!sign_public_load(&c->arena, path_cstr, &t->key, &c->err) || !cli_sign_oci_bundles(c, s)
        || !cli_sign_oci_hear(c, s, t, &is_signed, &why)
        || (t->n_claims && !cli_attest_agrees(c, s, t->claims, t->n_claims)))
        return false;
    if (wanted.n ? t->n_claims > 0 : is_signed) return true;
    const char *what_cstr = wanted.n ? "attestation of this type by the key" : "signature";
    if (!why.msg[0]) return err_set(&c->err, ERR_INTEGRITY, "it has no %s", what_cstr);
    return err_set(&c->err, ERR_INTEGRITY,
                   "it has no %s that holds; of the %zu bundles attached to it the last: %s",
                   what_cstr, s->n, why.msg);
}

/* ---- (Public) ---- */

MLXK_FN int cli_sign_oci(struct cli_context *c, struct str text, bool verify) {
    struct cli_sign_artifact s = { 0 };
    struct cli_oci progress;
    struct cli_sign_told t = { .version = verify ? STR_EMPTY : cli_text(&c->args, "--release") };
    if (!cli_text(&c->args, "--key").n) {
        err_set(&c->err, ERR_USAGE, "the following arguments are required: --key");
        return cli_fail(c, &c->err, NULL);
    }
    if (!cli_oci_ref(c, text, &s.ref)) return cli_fail(c, &c->err, NULL);
    cli_oci_begin(&progress, c);
    s.registry = cli_oci_open(&progress, &s.ref, !verify, false);
    bool ok = cli_sign_oci_find(c, &s)
              && (verify ? cli_sign_oci_verify(c, &s, &t)
                         : cli_sign_oci_sign(c, &s, &t.key, &t.attached));
    oci_close(s.registry);
    cli_oci_end(&progress);
    if (!ok) return cli_fail(c, &c->err, NULL);
    return cli_sign_oci_told(c, &s, &t, verify);
}
