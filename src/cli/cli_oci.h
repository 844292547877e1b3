/* cli_oci.h: what commands that talk to registries share: their options, handles and progress. */
#ifndef MLXK_CLI_OCI_H
#define MLXK_CLI_OCI_H

#include "cli/cli.h"
#include "oci/oci.h"

/* Rows of a command's option table. */
#define CLI_OCI_OPTIONS \
    { "--plain-http", NULL, CLI_LIST, "HOST", "speak http with this registry, not https", 0, 0, \
      true }, \
    { "--insecure", NULL, CLI_LIST, "HOST", "do not look at this registry's certificate", 0, 0, \
      true }, \
    { "--ca-file", NULL, CLI_TEXT, "FILE", \
      "certificates (PEM) to trust instead of the usual ones", 0, 0, true }, \
    { "--mirror", NULL, CLI_LIST, "HOST=PEER", "ask PEER first for what HOST has", 0, 0, true }

struct cli_oci {
    struct cli_context *c;
    struct cli_progress progress;
    bool counting;
    bool may_delete;             /* these two: set them before cli_oci_open */
    uint64_t limit_bytes_per_s;  /* 0 = none */
    char label[48];              /* "3/12 blobs", in front of the bar */
};
MLXK_FN void cli_oci_begin(struct cli_oci *x, struct cli_context *c);
MLXK_FN void cli_oci_end(struct cli_oci *x);
/* The highest release in the repository that a range has ("v1", "^1.2.0", "latest", each also with
 * a model's name in front, "ham-v1"); empty: there
 * is none.
 * false: c->err. (cli_oci_fetch.c) */
MLXK_FN bool cli_oci_highest(struct cli_context *c, struct oci *o, struct str wanted,
                             struct str *tag);
/* A model into the cache, with progress; a tag vX or vX.Y of ref becomes that of the highest
 * release. options->digest (or empty): what must stand there; the policy's word is put there too.
 * false: c->err. */
MLXK_FN bool cli_oci_fetch(struct cli_context *c, struct oci_ref *ref, uint64_t limit_bytes_per_s,
                           struct oci_pull_options *options, struct oci_pull_result *out);
/* The same for a command that wants to use the model, with a note to the person. */
MLXK_FN bool cli_oci_bring(struct cli_context *c, struct oci_ref *ref);
/* The options of the command line, as far as the command has them, without events. */
MLXK_FN void cli_oci_options(struct cli_context *c, struct oci_options *out);
/* A handle with the options of the command line; events go to x when shows. NULL = failed, in
 * c->err. */
MLXK_FN struct oci *cli_oci_open(struct cli_oci *x, const struct oci_ref *r, bool may_write,
                                 bool shows);
/* work with a handle on r, progress shown; false: c->err. */
MLXK_FN bool cli_oci_with(struct cli_context *c, const struct oci_ref *r, bool may_write,
                          bool (*work)(void *ctx, struct oci *o), void *ctx);
/* A reference on the command line; c->err when it is none. */
MLXK_FN bool cli_oci_ref(struct cli_context *c, struct str text, struct oci_ref *out);
/* The `pull` of a reference to a registry or layout (cmd_pull_oci.c); exit status. */
MLXK_FN int cmd_pull_oci(struct cli_context *c);
/* `login HOST` and `logout HOST` (cmd_login_oci.c); exit status. */
MLXK_FN int cmd_login_oci(struct cli_context *c);
MLXK_FN int cmd_logout_oci(struct cli_context *c);
/* A secret from --token-file, a terminal (after this word, without echo) or standard input, without
 * the line breaks behind it (cmd_login.c). mem: c->arena. err: ERR_INVALID when there is none, in
 * c->err. */
MLXK_FN bool cmd_login_secret(struct cli_context *c, const char *what_cstr, struct str *out);

#endif
