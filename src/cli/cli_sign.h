/* cli_sign.h: what `sign` and `verify --key` share: a file, its signature, the kind that a key
 * decides. */
#ifndef MLXK_CLI_SIGN_H
#define MLXK_CLI_SIGN_H

#include "cli/cli.h"
#include "oci/oci.h"
#include "sign/sign.h"

struct cli_sign {
    const char *file_cstr, *key_cstr /* or NULL: not given */, *signature_cstr;
    bool is_mini;                /* the key is one of minisign */
    struct str key;              /* what the key is called: a bundle's hint, minisign's number */
    uint8_t digest[64];          /* SHA-256 (32 bytes), or BLAKE2b-512 for minisign */
    uint64_t size_bytes;
    struct str comment;          /* verify: minisign's trusted comment */
};
/* The named file, which must be a regular one, and --key. */
MLXK_FN bool cli_sign_open(struct cli_context *c, struct str file, struct cli_sign *out);
/* The text of a key file is one of minisign. */
MLXK_FN bool cli_sign_is_mini(struct str key_text);
/* Where the signature is, from --bundle or --minisig, which must fit the key, or beside the
 * file. */
MLXK_FN bool cli_sign_place(struct cli_context *c, struct cli_sign *s);
/* The file's hash into s->digest, with progress; stops on an interrupt. */
MLXK_FN bool cli_sign_hash(struct cli_context *c, struct cli_sign *s, bool blake);
/* Members "file", "format", "signature", "key", "digest", "size_bytes" of an open object. */
MLXK_FN void cli_sign_members(struct json_writer *w, const struct cli_sign *s);
/* `sign REF` or `verify REF --key` for an artifact of a registry or layout; exit status
 * (cli_sign_oci.c). */
MLXK_FN int cli_sign_oci(struct cli_context *c, struct str text, bool verify);
/* What is attached to an artifact. */
enum { CLI_SIGN_MAX_BUNDLES = 64 };
struct cli_sign_artifact {
    struct oci_ref ref;
    struct oci *registry;
    struct oci_head head;
    struct str bundles[CLI_SIGN_MAX_BUNDLES];    /* texts; one that cannot be read is empty */
    size_t n;
};
/* Fills head: the artifact is there and is named by sha256. */
MLXK_FN bool cli_sign_oci_find(struct cli_context *c, struct cli_sign_artifact *s);
/* Fills bundles. */
MLXK_FN bool cli_sign_oci_bundles(struct cli_context *c, struct cli_sign_artifact *s);

/* The private key that --key names; wipe it when done. */
MLXK_FN bool cli_sign_key(struct cli_context *c, struct sign_private *out);
/* A statement about the artifact, signed and attached to it; *attached is the referrer's digest.
 * oci_finish is the caller's. */
MLXK_FN bool cli_sign_oci_say(struct cli_context *c, struct cli_sign_artifact *s,
                              const struct sign_private *k, const struct sign_note *notes,
                              size_t n_notes, struct str predicate_type, struct str predicate,
                              struct str *attached);

/* Attestations: what is claimed about an artifact beside that somebody signs for it
 * (cli_attest.c). */
#define CLI_ATTEST_SBOM "https://cyclonedx.org/bom"
#define CLI_ATTEST_PROVENANCE "https://slsa.dev/provenance/v1"
/* The type that a short name stands for ("sbom" "provenance" and cosign's names); another text
 * stays. */
MLXK_FN struct str cli_attest_type(struct str name);
struct cli_attest_what {
    struct str name;             /* the model's, without registry */
    struct oci_ref ref;
    struct oci_manifest manifest;
    struct str card;             /* README.md, or empty */
    struct str release, source, builder;         /* as given, or empty */
};
/* Predicates as JSON, appended: a CycloneDX 1.6 list of the model's files with hashes and licence,
 * and a SLSA 1.0 provenance. A pure function of *x. */
MLXK_FN bool cli_attest_sbom(struct arena *a, const struct cli_attest_what *x, struct buf *out,
                             struct err *e);
MLXK_FN bool cli_attest_provenance(struct arena *a, const struct cli_attest_what *x,
                                   struct buf *out, struct err *e);
/* One line about it. mem: in a. */
MLXK_FN struct str cli_attest_summary(struct arena *a, const struct sign_statement *s);
/* Files that such lists name have the hashes that the artifact's manifest has. c->err:
 * ERR_INTEGRITY. */
MLXK_FN bool cli_attest_agrees(struct cli_context *c, struct cli_sign_artifact *s,
                               const struct sign_statement *claims, size_t n);

/* What this machine's policy said to an artifact (cli_sign_policy.c). */
struct cli_sign_verdict {
    struct str digest;           /* what was judged; empty: no rule asks for a signature */
    struct str proof;            /* that of it, to be kept beside the model */
};
/* Does a rule ask for signatures of what this reference names? */
MLXK_FN bool cli_sign_asks(struct cli_context *c, const struct oci_ref *ref, bool *asks);
/* A pull of ref is about to begin. false: it may not, or the policy cannot be read. */
MLXK_FN bool cli_sign_judge(struct cli_context *c, struct oci *registry, const struct oci_ref *ref,
                            struct cli_sign_verdict *out);
/* It has ended: the proof goes beside the snapshot. */
MLXK_FN bool cli_sign_keep(struct cli_context *c, const struct cli_sign_verdict *v,
                           const struct oci_pull_result *pulled);
/* May a model of the cache be used? Asks nobody but the proof beside it. ref: what it was asked for
 * by, or NULL; revision: behind the '@' of its name, or empty. */
MLXK_FN bool cli_sign_cached(struct cli_context *c, const struct cache_model *m,
                             const struct oci_ref *ref /* or NULL */, struct str revision,
                             struct err *e);
/* `verify FILE --key PUBLIC`: the whole command (cmd_verify_file.c). */
MLXK_FN int cmd_verify_file(struct cli_context *c);

#endif
