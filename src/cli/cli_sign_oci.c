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
    return true;
}

static bool cli_sign_oci_attach(struct cli_context *c, struct cli_sign_artifact *s,
                                struct str bundle, struct str *digest) {
    static struct oci_pair notes[] = {
        { STR("dev.sigstore.bundle.content"), STR("dsse-envelope") },
        { STR("dev.sigstore.bundle.predicateType"), STR(SIGN_COSIGN_PREDICATE) },
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
    return ok && oci_finish(s->registry, &c->err);
}

static bool cli_sign_oci_sign(struct cli_context *c, struct cli_sign_artifact *s,
                              struct sign_public *pub, struct str *attached) {
    struct str text, key = cli_text(&c->args, "--key"), release = cli_text(&c->args, "--release");
    struct sign_note note = { STR("version"), release };
    struct sign_private k;
    struct buf statement, bundle;
    char *path_cstr = str_dup_cstr(&c->arena, key);
    if (!path_cstr) return err_oom(&c->err, key.n, "a path");
    if (!os_read_file(&c->arena, path_cstr, SIGN_MAX_KEY_FILE, &text, &c->err)) return false;
    if (!sign_private_parse(&c->arena, text, &k, &c->err))
        return err_context(&c->err, "key file %s: ", path_cstr);
    buf_init(&statement, SIGN_MAX_PAYLOAD);
    buf_init(&bundle, SIGN_MAX_BUNDLE);
    bool ok =
        sign_statement_write(&statement, oci_digest_hex(s->head.digest), STR(SIGN_COSIGN_PREDICATE),
                             &note, release.n ? 1 : 0, &c->err)
        && sign_bundle_dsse(&k, STR(SIGN_IN_TOTO_TYPE), buf_str(&statement), &bundle, &c->err);
    *pub = k.pub;
    sign_wipe(&k, sizeof k);
    sign_wipe((void *)(uintptr_t)text.p, text.n);
    ok = ok && cli_sign_oci_attach(c, s, buf_str(&bundle), attached);
    buf_release(&statement);
    buf_release(&bundle);
    return ok;
}

static int cli_sign_oci_told(struct cli_context *c, const struct cli_sign_artifact *s,
                             struct str key, struct str attached, struct str version,
                             const char *what_cstr) {
    struct str text = oci_ref_text(&c->arena, &s->ref);
    if (!c->out.json) {
        cli_print(c, STR_FMT ": %s " STR_FMT "\n", STR_ARG(text), what_cstr, STR_ARG(key));
        if (version.n) cli_print(c, "Release: " STR_FMT "\n", STR_ARG(version));
        return 0;
    }
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_member(w, "artifact", text);
    json_write_member(w, "digest", s->head.digest);
    json_write_member(w, "key", key);
    json_write_member_or_null(w, "signature", attached);
    json_write_member_or_null(w, "version", version);
    json_write_object_end(w);
    return cli_document_end(c);
}

static bool cli_sign_oci_verify(struct cli_context *c, struct cli_sign_artifact *s,
                                struct sign_public *key, struct str *version) {
    struct str path = cli_text(&c->args, "--key");
    struct err why = { 0 };
    char *path_cstr = str_dup_cstr(&c->arena, path);
    if (!path_cstr) return err_oom(&c->err, path.n, "a path");
    if (!sign_public_load(&c->arena, path_cstr, key, &c->err) || !cli_sign_oci_bundles(c, s))
        return false;
    for (size_t i = 0; i < s->n; i++) {
        struct sign_statement said;
        err_clear(&why);
        if (!sign_artifact_check(&c->arena, s->bundles[i], oci_digest_hex(s->head.digest), key, 1,
                                 &said, NULL, &why))
            continue;
        for (size_t k = 0; k < said.n_notes; k++)
            if (str_eq(said.notes[k].key, STR("version"))) *version = said.notes[k].value;
        return true;
    }
    if (!s->n) return err_set(&c->err, ERR_INTEGRITY, "it has no signature");
    return err_set(&c->err, ERR_INTEGRITY, "none of its %zu signatures holds; the last: %s", s->n,
                   why.msg);
}

/* ---- (Public) ---- */

MLXK_FN int cli_sign_oci(struct cli_context *c, struct str text, bool verify) {
    struct cli_sign_artifact s = { 0 };
    struct cli_oci progress;
    struct sign_public key;
    struct str attached = STR_EMPTY, version = verify ? STR_EMPTY : cli_text(&c->args, "--release");
    if (!cli_text(&c->args, "--key").n) {
        err_set(&c->err, ERR_USAGE, "the following arguments are required: --key");
        return cli_fail(c, &c->err, NULL);
    }
    if (!cli_oci_ref(c, text, &s.ref)) return cli_fail(c, &c->err, NULL);
    cli_oci_begin(&progress, c);
    s.registry = cli_oci_open(&progress, &s.ref, !verify, false);
    bool ok = cli_sign_oci_find(c, &s) && (verify ? cli_sign_oci_verify(c, &s, &key, &version)
                                                  : cli_sign_oci_sign(c, &s, &key, &attached));
    oci_close(s.registry);
    cli_oci_end(&progress);
    if (!ok) return cli_fail(c, &c->err, NULL);
    return cli_sign_oci_told(c, &s, str_cstr(key.hint), attached, version,
                             verify ? "good signature by the key" : "signed with the key");
}
