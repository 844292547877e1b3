/* cmd_attest.c: `attest` attaches signed claims to a model in a registry or layout: the list of its
 * files with hashes and licence, where it comes from, or a predicate that somebody else has made.
 *
 *  1. A claim is an in-toto statement in a Sigstore bundle, attached as a referrer as cosign does.
 *  2. All predicates are made before the first is attached.
 */
#include "cli/cli_sign.h"
#include "cli/cli_oci.h"

enum { CMD_ATTEST_MAX = 2 };

static const struct cli_option cmd_attest_options[] = {
    { "artifact", NULL, CLI_TEXT, NULL,
      "HOST/REPO[:TAG|@DIGEST], oci:DIR[:TAG] or oci-archive:FILE[:TAG]", 0, 0, true },
    { "--key", NULL, CLI_TEXT, "FILE", "the private key (P-256, PKCS#8 PEM)", 0, 0, true },
    { "--type", NULL, CLI_TEXT, "TYPE",
      "sbom or provenance (both without it); with --predicate also spdxjson or any URI", 0, 0,
      true },
    { "--predicate", NULL, CLI_TEXT, "FILE", "attach this JSON document instead of making one", 0,
      0, true },
    { "--release", NULL, CLI_TEXT, "vX.Y.Z", "the release that it is", 0, 0, true },
    { "--source", NULL, CLI_TEXT, "URI[@COMMIT]", "provenance: what it was made from", 0, 0,
      true },
    { "--builder", NULL, CLI_TEXT, "URI", "provenance: who made it", 0, 0, true },
    CLI_OCI_OPTIONS,
};

struct cmd_attest {
    struct cli_sign_artifact s;
    struct cli_attest_what what;
    struct sign_private key;
    struct { struct str type, predicate, attached; } claims[CMD_ATTEST_MAX];
    size_t n;
};

/* ---- predicates (Private) ---- */

static bool cmd_attest_card(struct cli_context *c, struct cmd_attest *x) {
    const struct oci_manifest *m = &x->what.manifest;
    struct str *paths;
    if (!oci_manifest_files(&c->arena, m, &paths, &c->err)) return false;
    for (size_t i = 0; i < m->n_layers; i++)
        if (str_eq(paths[i], STR("README.md")) && m->layers[i].size_bytes <= LIMIT_JSON_DOC)
            return oci_blob_text(&c->arena, x->s.registry, &m->layers[i], LIMIT_JSON_DOC,
                                 &x->what.card, &c->err);
    return true;
}

static bool cmd_attest_make(struct cli_context *c, struct cmd_attest *x, struct str type) {
    struct buf text;
    buf_init(&text, SIGN_MAX_PAYLOAD);
    bool sbom = str_eq(type, STR(CLI_ATTEST_SBOM));
    bool ok = sbom ? cli_attest_sbom(&c->arena, &x->what, &text, &c->err)
                   : cli_attest_provenance(&c->arena, &x->what, &text, &c->err);
    x->claims[x->n].type = type;
    if (ok) x->claims[x->n++].predicate = str_dup(&c->arena, buf_str(&text));
    buf_release(&text);
    return ok;
}

/* A document of somebody else's, as compact JSON. */
static bool cmd_attest_read(struct cli_context *c, struct cmd_attest *x, struct str type) {
    struct str path = cli_text(&c->args, "--predicate"), text;
    char *path_cstr = str_dup_cstr(&c->arena, path);
    struct json_writer w;
    struct buf out;
    if (!path_cstr) return err_oom(&c->err, path.n, "a path");
    if (!os_read_file(&c->arena, path_cstr, SIGN_MAX_PAYLOAD, &text, &c->err)) return false;
    const struct json *v = json_parse(&c->arena, text, &c->err);
    if (v && !json_is(v, JSON_OBJECT)) err_set(&c->err, ERR_FORMAT, "it is no JSON object");
    if (c->err.code != ERR_OK) return err_context(&c->err, "%s: ", path_cstr);
    buf_init(&out, SIGN_MAX_PAYLOAD);
    json_write_init(&w, &out, false, false);
    json_write_value(&w, v);
    bool ok = buf_ok(&out, "a predicate", &c->err);
    x->claims[x->n].type = type;
    if (ok) x->claims[x->n++].predicate = str_dup(&c->arena, buf_str(&out));
    buf_release(&out);
    return ok;
}

static bool cmd_attest_claims(struct cli_context *c, struct cmd_attest *x) {
    struct str given = cli_text(&c->args, "--type"), type = cli_attest_type(given);
    bool known = str_eq(type, STR(CLI_ATTEST_SBOM)) || str_eq(type, STR(CLI_ATTEST_PROVENANCE));
    if (cli_text(&c->args, "--predicate").n) return cmd_attest_read(c, x, type);
    if (!cmd_attest_card(c, x)) return false;
    if (known) return cmd_attest_make(c, x, type);
    return cmd_attest_make(c, x, STR(CLI_ATTEST_SBOM))
           && cmd_attest_make(c, x, STR(CLI_ATTEST_PROVENANCE));
}

/* ---- the command (Private) ---- */

static bool cmd_attest_check(struct cli_context *c) {
    struct str given = cli_text(&c->args, "--type"), type = cli_attest_type(given);
    bool file = cli_text(&c->args, "--predicate").n > 0, uri = str_find(type, STR(":")) > 0;
    bool made = str_eq(type, STR(CLI_ATTEST_SBOM)) || str_eq(type, STR(CLI_ATTEST_PROVENANCE));
    if (!cli_text(&c->args, "--key").n)
        return err_set(&c->err, ERR_USAGE, "the following arguments are required: --key");
    if (file && !given.n)
        return err_set(&c->err, ERR_USAGE, "argument --predicate: needs a --type");
    if (given.n && !uri)
        return err_set(&c->err, ERR_USAGE,
                       "argument --type: '" STR_FMT "' is neither sbom, provenance, spdxjson nor "
                       "a URI", STR_ARG(str_sub(given, 0, 100)));
    if (given.n && !file && !made) {
        err_set(&c->err, ERR_USAGE, "argument --type: only sbom and provenance are made here");
        return err_hint(&c->err, "--predicate FILE attaches a document that is there");
    }
    return !str_eq(type, STR(SIGN_COSIGN_PREDICATE)) ||
           err_set(&c->err, ERR_USAGE, "argument --type: that is a signature: mlxk sign");
}

static bool cmd_attest_work(struct cli_context *c, struct cmd_attest *x) {
    struct cli_attest_what *what = &x->what;
    what->ref = x->s.ref;
    what->release = cli_text(&c->args, "--release");
    what->source = cli_text(&c->args, "--source");
    what->builder = cli_text(&c->args, "--builder");
    what->name = os_path_base(x->s.ref.kind == OCI_REGISTRY
                                  ? str_dup_cstr(&c->arena, x->s.ref.repo) : x->s.ref.path_cstr);
    if (!cli_sign_oci_find(c, &x->s)
        || !oci_manifest_get(&c->arena, x->s.registry, x->s.head.digest, &what->manifest, &c->err)
        || !cmd_attest_claims(c, x))
        return false;
    for (size_t i = 0; i < x->n; i++)
        if (!cli_sign_oci_say(c, &x->s, &x->key, NULL, 0, x->claims[i].type,
                              x->claims[i].predicate, &x->claims[i].attached))
            return false;
    return oci_finish(x->s.registry, &c->err);
}

static int cmd_attest_success(struct cli_context *c, const struct cmd_attest *x) {
    struct str text = oci_ref_text(&c->arena, &x->s.ref);
    if (!c->out.json) {
        for (size_t i = 0; i < x->n; i++)
            cli_print(c, STR_FMT ": " STR_FMT " with the key %s\n", STR_ARG(text),
                      STR_ARG(x->claims[i].type), x->key.pub.hint);
        return 0;
    }
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_member(w, "artifact", text);
    json_write_member(w, "digest", x->s.head.digest);
    json_write_member(w, "key", str_cstr(x->key.pub.hint));
    json_write_key(w, "attestations");
    json_write_array(w);
    for (size_t i = 0; i < x->n; i++) {
        json_write_object(w);
        json_write_member(w, "type", x->claims[i].type);
        json_write_member(w, "attached", x->claims[i].attached);
        json_write_key(w, "predicate");
        json_write_raw(w, x->claims[i].predicate);
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_object_end(w);
    return cli_document_end(c);
}

static int cmd_attest_run(struct cli_context *c) {
    struct cmd_attest x = { .n = 0 };
    struct cli_oci progress;
    if (!cmd_attest_check(c) || !cli_oci_ref(c, cli_text(&c->args, "artifact"), &x.s.ref) ||
        !cli_sign_key(c, &x.key))
        return cli_fail(c, &c->err, NULL);
    cli_oci_begin(&progress, c);
    x.s.registry = cli_oci_open(&progress, &x.s.ref, true, false);
    bool ok = cmd_attest_work(c, &x);
    oci_close(x.s.registry);
    cli_oci_end(&progress);
    sign_wipe(x.key.scalar, sizeof x.key.scalar);
    return ok ? cmd_attest_success(c, &x) : cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_attest(void) {
    static const struct cli_command command = {
        "attest",
        "attach a signed list of files and where a model comes from",
        "versions",
        cmd_attest_options,
        MLXK_COUNT(cmd_attest_options),
        "  mlxk attest oci:models:v1.0.0 --key key.pem --release v1.0.0\n"
        "  mlxk attest oci:models:v1 --key key.pem --type spdxjson --predicate bom.json\n",
        cmd_attest_run,
    };
    return &command;
}
