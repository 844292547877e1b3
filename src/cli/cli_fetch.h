/* cli_fetch.h: how a download looks to the person who waits for it. */
#ifndef MLXK_CLI_FETCH_H
#define MLXK_CLI_FETCH_H

#include "cli/cli.h"
#include "hub/hub.h"

struct cli_fetch {
    struct cli_context *c;
    struct cli_progress progress;
    bool counting;
    char label[48];              /* "3/12 files", shown in front of the bar */
};
/* Could this be the name of a model to fetch? err: ERR_INVALID, in upstream's words. */
MLXK_FN bool cli_fetch_name_ok(struct str name, struct err *e);
MLXK_FN void cli_fetch_begin(struct cli_fetch *f, struct cli_context *c);
/* A hub_event_fn; ctx: struct cli_fetch. Notes are for people at a terminal; of
 * long waits everybody is told. */
MLXK_FN bool cli_fetch_event(void *ctx, const struct hub_event *ev);
MLXK_FN void cli_fetch_end(struct cli_fetch *f);

#endif
