/* cli_index.h: what `list --json` found out before, for caches with many models (this room only).
 *
 * A derived file in $XDG_CACHE_HOME/mlxk (or ~/.cache/mlxk) with one record for each healthy repo:
 * its model object as text, and the stamps of what that was made from. A record counts as long as
 * every stamp is the same; without the file, or where it cannot be written, everything is looked at.
 */
#ifndef MLXK_CLI_INDEX_H
#define MLXK_CLI_INDEX_H

#include "cli/cli_card.h"

struct cli_index {
    const struct cache *cache;
    char path[LIMIT_PATH];       /* empty: no place for it, or a cache it is not made for */
    uint64_t key;                /* of this program's file and the cache's root */
    struct os_map map;           /* p NULL: there is none yet */
};
/* Never fails: an index that is absent, damaged or of another program is empty.
 * mem: mapped until cli_index_close. thread: open, close and write on one, the others on any. */
MLXK_FN void cli_index_open(struct arena *a, const struct cache *c, struct cli_index *out);
MLXK_FN void cli_index_close(struct cli_index *x);

/* A walk over the records; names are asked for in rising order. */
struct cli_index_cursor { const struct cli_index *index; struct arena *arena; size_t offset; };
/* The record of a repo, if its stamps are those on the disk; p NULL: none. Borrowed from the map. */
MLXK_FN struct str cli_index_find(struct cli_index_cursor *at, struct str repo);
/* The text of a record: the model object as cli_card_write made it. */
MLXK_FN struct str cli_index_text(struct str record);

/* A repo as it was before it was looked at: taken first, so that later changes show. */
struct cli_index_stamp { uint64_t inode, size_bytes; int64_t ctime_ns; };
enum { CLI_INDEX_STAMPS = 5 };   /* snapshots/, the snapshot, blobs/, config.json, refs/main */
struct cli_index_stamps { struct cli_index_stamp all[CLI_INDEX_STAMPS]; bool usable; };
MLXK_FN void cli_index_stamp(const struct cli_index *x, const struct cache_model *m,
                             struct cli_index_stamps *out);
/* Appends a record to b; nothing when the card is not worth one (broken, folders in it). */
MLXK_FN void cli_index_add(struct buf *b, const struct cli_index_stamps *stamps,
                           const struct cli_card *card, struct str text);
/* Replaces the file: records one behind the other, sorted by repo. Failure is of no consequence. */
MLXK_FN void cli_index_write(struct arena *a, const struct cli_index *x, struct str records);

#endif
