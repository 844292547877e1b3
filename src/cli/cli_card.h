/* cli_card.h: everything list, show and health say about one model, read once. */
#ifndef MLXK_CLI_CARD_H
#define MLXK_CLI_CARD_H

#include "cli/cli.h"

struct cli_card {
    struct cache_model model;    /* with its scan */
    struct cache_info info;
    struct cache_health health;
    struct cache_workspace workspace;   /* of workspaces; present == false otherwise */
    bool known;    /* healthy, and of a kind this program runs, whatever its weights hold */
    bool loadable; /* MLX has a loader for it, here or (speech, pictures, embeddings) elsewhere */
    bool runnable; /* `run` would start: known, and config and tensors' headers are right */
    struct str reason;           /* why not, or empty */
};
/* mem: everything in a. err: out of memory only; a broken model is a card too. */
MLXK_FN bool cli_card_read(struct arena *a, const struct cache_model *m, struct cli_card *out,
                           struct err *e);
/* The model object of the JSON API. with_quantization: show adds the config's section. */
MLXK_FN void cli_card_write(struct json_writer *w, const struct cli_card *card,
                            bool with_quantization);
/* Unicode NFC, for names that are hashed. */
MLXK_FN void cli_card_normalize(struct buf *out, struct str s);
/* A client has no tables of Unicode: names are hashed as they are. */
#define CLI_CARD_NORMALIZE (CLI_HAS_ENGINE ? cli_card_normalize : NULL)
/* "just now", "5m ago", "3d ago", "2026-03-14" (UTC); now_ns: os_time_ns(). */
MLXK_FN void cli_card_ago(char out[32], int64_t time_ns, int64_t now_ns);
/* 7 characters of the snapshot or content hash, or empty. */
MLXK_FN struct str cli_card_hash(const struct cli_card *card);
/* "matches": [...] for the error of a failure document; in a. */
MLXK_FN struct str cli_card_matches(struct arena *a, const struct cache_matches *m);

#endif
