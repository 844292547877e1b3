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
/* GIT-DIRTY-CLIENT; p NULL = no memory. */
MLXK_FN struct str cli_store_adhoc(const struct cli_store *s);
/* The model's name in tags: as given, else from the repository. false: c->err. */
MLXK_FN bool cli_store_name(const struct cli_store *s, struct str given, struct str *out);
/* Members repository, digest, hashes and origin of an open object. */
MLXK_FN void cli_store_members(struct json_writer *w, const struct cli_store *s);

#endif
