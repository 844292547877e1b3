/* cli_suggest.h: names near to a word that named nothing. */
#ifndef MLXK_CLI_SUGGEST_H
#define MLXK_CLI_SUGGEST_H

#include "cli/cli.h"

struct cli_suggest {
    struct str word, best[3];    /* best: borrowed from the callers of cli_suggest_try */
    size_t n, distance, limit;
};
MLXK_FN void cli_suggest_init(struct cli_suggest *s, struct str word);
/* name: compared with the word; shown: what the person is told. */
MLXK_FN void cli_suggest_try(struct cli_suggest *s, struct str name, struct str shown);
/* "did you mean A, B or C?" as the hint of e; nothing when nothing is near. */
MLXK_FN void cli_suggest_hint(const struct cli_suggest *s, struct err *e);
/* The command meant by `word`: near in spelling, or another tool's word for the same. */
MLXK_FN void cli_suggest_command(struct str word, struct err *e);
/* Models whose names are near to a MODEL argument that was not found. */
MLXK_FN void cli_suggest_model(struct cli_context *c, struct str spec, struct err *e);
/* Bytes inserted, dropped, changed or swapped with a neighbour; SIZE_MAX for very long words. */
MLXK_FN size_t cli_suggest_distance(struct str a, struct str b);

#endif
