/* cli_many.h: one question about many models, asked by several threads (this room only). */
#ifndef MLXK_CLI_MANY_H
#define MLXK_CLI_MANY_H

#include "cli/cli_index.h"

struct cli_many {
    const struct cache *cache;
    const struct cache_model *models;    /* n of them, by cache_list_names */
    size_t n;
    const char *question_cstr;   /* answers are remembered under this name; NULL: they are not */
    bool contents;               /* see cli_index_open */
    /* Appends the answer about *m (complete, not scanned) to `out`; an answer that may be
     * remembered (about a healthy repo, scanned) sets *keep. thread: several at once, each with its
     * own arena. */
    bool (*ask)(void *ctx, struct arena *a, struct cache_model *m, struct buf *out, bool *keep,
                struct err *e);
    void *ctx;
};
/* answers[i] is what was said about models[i]; they are handed to `use` in the order of the models.
 * mem: an answer is borrowed for the call of `use`. err: the first that ask or use failed with. */
MLXK_FN bool cli_many_ask(struct arena *a, const struct cli_many *q,
                          bool (*use)(void *ctx, size_t i, struct str answer, struct err *e),
                          struct err *e);

#endif
