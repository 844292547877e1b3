/* cli_store.h: what store and release share: a state, where it comes from, its artifact, its
 * repository. */
#ifndef MLXK_CLI_STORE_H
#define MLXK_CLI_STORE_H

#include "cli/cli_state.h"
#include "cli/cli_oci.h"

struct cli_store {
    struct cli_context *c;
    struct oci_ref ref;
    struct rel_state state;
    struct rel_origin origin;
    struct rel_package pack;
};
/* Reads the arguments model and repository. branch: as rel_origin_read. false: c->err. */
MLXK_FN bool cli_store_begin(struct cli_store *s, struct str branch);
/* A repository without tag or digest: those follow from the content. */
MLXK_FN bool cli_store_repository(struct cli_context *c, struct str text, struct oci_ref *out);
/* Rows of a command's option table. */
#define CLI_STORE_NAME_OPTION \
    { "--name", NULL, CLI_TEXT, "NAME", "only of this model, where the repository holds several", \
      0, 0, true }
/* [NAME-]GIT-DIRTY-CLIENT; p NULL = no memory. */
MLXK_FN struct str cli_store_adhoc(const struct cli_store *s, const struct rel_whose *w);
/* What the command line says of the model's name (--name; --named where the command has it), and
 * the name that follows from the repository. false: c->err. */
MLXK_FN bool cli_store_wish(struct cli_context *c, const struct oci_ref *ref, bool named,
                            struct rel_whose_wish *out);
/* Members repository, digest, hashes and origin of an open object. */
MLXK_FN void cli_store_members(struct json_writer *w, const struct cli_store *s);

#endif
