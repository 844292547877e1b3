/* cli_oci_lock.h: lock files for what comes from registries: --lock writes an entry, --frozen takes
 * exactly that. */
#ifndef MLXK_CLI_OCI_LOCK_H
#define MLXK_CLI_OCI_LOCK_H

#include "cli/cli_oci.h"
#include "hub/hub.h"

/* --lock FILE: the entry, unless nothing was to be done. false: c->err. */
MLXK_FN bool cli_oci_lock_write(struct cli_context *c, const struct hub_lock *entry);
/* --frozen FILE: the entry of the reference under its own tag; ref then names that digest. *given
 * false: there is no --frozen. false: c->err. */
MLXK_FN bool cli_oci_lock_read(struct cli_context *c, struct oci_ref *ref, struct hub_lock *out,
                               bool *given);
/* The file of this path in the entry; NULL = none. */
MLXK_FN const struct hub_file *cli_oci_lock_file(const struct hub_lock *entry, struct str path);
/* Where a model's snapshot is or would be; NULL = no memory. */
MLXK_FN const char *cli_oci_lock_snapshot(struct cli_context *c, struct str model,
                                          struct str commit);
/* One file of a model in the cache, linked to the blob of its digest, whole. */
MLXK_FN bool cli_oci_lock_has(struct cli_context *c, struct str model, struct str commit,
                              const struct hub_file *f);
/* Every file of the entry is in the cache, and a policy has nothing against it: then nobody needs
 * to be asked. Fills out as a pull that found all there, and sets the ref of the tag (or empty). */
MLXK_FN bool cli_oci_lock_is_here(struct cli_context *c, const struct oci_ref *ref,
                                  const struct hub_lock *entry, struct str tag,
                                  struct oci_pull_result *out);

#endif
