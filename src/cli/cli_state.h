/* cli_state.h: a state of a model that a person names: a folder, or a model of the cache. */
#ifndef MLXK_CLI_STATE_H
#define MLXK_CLI_STATE_H

#include "cli/cli.h"
#include "release/release.h"

/* The folder that spec means: a path as it is, else a model of the cache. */
MLXK_FN bool cli_state_dir(struct cli_context *c, struct str spec, const char **dir_cstr,
                           struct err *e);
/* Reads and hashes it, with a progress line. */
MLXK_FN bool cli_state_read(struct cli_context *c, struct str spec, struct rel_state *out,
                            struct err *e);
/* Members interface, logic, weights, docs of an open object: 64 digits each. */
MLXK_FN void cli_state_hashes(struct json_writer *w, const struct rel_hashes *h);

#endif
