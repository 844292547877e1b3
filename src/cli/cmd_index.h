/* cmd_index.h: what the files of `index` share. */
#ifndef MLXK_CMD_INDEX_H
#define MLXK_CMD_INDEX_H

#include "cli/cli_oci.h"
#include "release/rel_index.h"

struct cmd_index {
    struct cli_context *c;
    const char *dir_cstr;
    const struct str *words; size_t n;   /* behind the verb */
};
/* `index update` (cmd_index_update.c); exit status. */
MLXK_FN int cmd_index_update(struct cmd_index *x);
/* Stores the index where --push says, if it does; *pushed empty else. false: c->err. */
MLXK_FN bool cmd_index_push_to(struct cmd_index *x, struct str where, struct oci_ref *ref,
                               struct rel_index_pushed *pushed);
/* Members of an open object: null, or what was stored where. */
MLXK_FN void cmd_index_pushed(struct cmd_index *x, struct json_writer *w,
                              const struct oci_ref *ref, const struct rel_index_pushed *pushed);
MLXK_FN void cmd_index_told(struct cmd_index *x, const struct oci_ref *ref,
                            const struct rel_index_pushed *pushed);

#endif
