/* cmd_push.h: what the two files of `push` share. */
#ifndef MLXK_CMD_PUSH_H
#define MLXK_CMD_PUSH_H

#include "cli/cli.h"

/* What --check-only finds in a folder. path lists: in the arena given. */
struct cmd_push_check {
    size_t n_files;
    uint64_t total_bytes;
    bool has_config, config_valid;
    struct str config_path;      /* as told to people, or empty */
    size_t n_weights;
    bool gguf, safetensors, bin; /* formats of weights */
    bool has_index, index_bad;
    struct str *missing; size_t n_missing;    /* shards that the index names, absent or unusable */
    int pattern;                 /* all of model-x-of-y there: 1 yes, 0 no, -1 no such names */
    struct cmd_push_check_anomaly *anomalies; size_t n_anomalies;
    bool healthy;
};
/* typed: the folder as it is to be shown. err: out of memory, or a folder that cannot be read. */
MLXK_FN bool cmd_push_check_folder(struct arena *a, const char *dir_cstr, struct str typed,
                               struct cmd_push_check *out, struct err *e);
/* The object "workspace_health". */
MLXK_FN void cmd_push_check_write(struct json_writer *w, const struct cmd_push_check *c);
/* A path as Python's pathlib shows it: no "./", no double or final slashes. */
MLXK_FN struct str cmd_push_check_plain(struct arena *a, struct str path);

#endif
