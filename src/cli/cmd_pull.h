/* cmd_pull.h: what the run of `pull` and its reports share. */
#ifndef MLXK_CMD_PULL_H
#define MLXK_CMD_PULL_H

#include "cli/cli_card.h"
#include "cli/cli_fetch.h"
#include "hub/hub.h"

struct cmd_pull {
    struct cli_context *c;
    struct str model, expanded, revision; /* model: empty until its name is known to be good */
    const char *status_cstr;
    struct str message;
    struct cache_matches matches;
    struct hub_pull_result result;
    struct cli_fetch fetch;              /* the bar */
    bool events;                         /* --progress json */
    int64_t event_ns;                    /* when the last "bytes" was told */
};

/* Members of "data" (the object is open): the plan of --dry-run, file by file. */
MLXK_FN void cmd_pull_plan_data(struct json_writer *w, const struct cmd_pull *p);
/* The same as a table. false: out of memory (in p->c->err). */
MLXK_FN bool cmd_pull_plan_print(struct cmd_pull *p);
/* One line of JSON on stderr for an event of the hub; "bytes" a few times a second at most. */
MLXK_FN void cmd_pull_tell_event(struct cmd_pull *p, const struct hub_event *ev);
/* A line of the log as such a line (a log_sink). */
MLXK_FN void cmd_pull_tell_log(enum log_level level, struct str line);
/* The last line of them. */
MLXK_FN void cmd_pull_tell_end(struct cmd_pull *p);

#endif
