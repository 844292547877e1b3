/* cli_index.h: what list and health found out before, for caches with many models (this room only).
 *
 * A derived file in $XDG_CACHE_HOME/mlxk (or ~/.cache/mlxk) with one record for each healthy repo:
 * the answer about it, and the looks (inode, size, time of the last change) of what that was made
 * from. A record counts as long as every look is the same; without the file, or where it cannot be
 * written, everything is looked at.
 */
#ifndef MLXK_CLI_INDEX_H
#define MLXK_CLI_INDEX_H

#include "cli/cli_card.h"

struct index_record;             /* private to cli_index.c */
struct cli_index {
    const struct cache *cache;
    char path[LIMIT_PATH];       /* empty: no place for it, or a cache it is not made for */
    uint64_t key;                /* of this program's file and the cache's root */
    bool contents;               /* the answer depends on what weights and JSON files hold */
    int root;                    /* the cache's root, open; -1 = it cannot be */
    struct os_map map;           /* p NULL: there is none yet */
    const struct index_record **records;     /* [n] of the map, sorted by repo, inside its bounds */
    size_t n;
};
/* The index of a question: "list", "health", "rows" and which of them. Never fails: an index that
 * is absent, damaged or of another program is empty. contents: not only config.json is looked at,
 * but all that a verdict reads or measures. mem: mapped until cli_index_close.
 * thread: open, close and write on one, the others on any. */
MLXK_FN void cli_index_open(struct arena *a, const struct cache *c, const char *question_cstr,
                            bool contents, struct cli_index *out);
MLXK_FN void cli_index_close(struct cli_index *x);

/* The record of a repo, if its looks are those on the disk; p NULL: none. Borrowed from the map. */
MLXK_FN struct str cli_index_find(const struct cli_index *x, struct arena *a, struct str repo);
/* The answer in a record. */
MLXK_FN struct str cli_index_text(struct str record);

/* The order of records in the file: that of their repos. */
MLXK_FN int cli_index_order(struct str record, struct str other);

/* A repo before it is asked about, so that later changes show. */
struct cli_index_stamp { uint64_t inode, size_bytes; int64_t ctime_ns; };
struct cli_index_look {
    struct str path;             /* below the repo's folder */
    struct str file;             /* the snapshot's file behind it; empty: always of importance */
    struct cli_index_stamp stamp;
};
struct cli_index_looks { struct cli_index_look *all; size_t n; bool usable; };
MLXK_FN void cli_index_look(struct arena *a, const struct cli_index *x,
                            const struct cache_model *m, struct cli_index_looks *out);
/* Appends a record to b; nothing where no record can hold (folders in it, links out of it).
 * m: healthy, with its scan. */
MLXK_FN void cli_index_add(struct buf *b, const struct cli_index_looks *looks,
                           const struct cache_model *m, struct str text);
/* Replaces the file: records one behind the other, sorted by repo. Failure is of no consequence. */
MLXK_FN void cli_index_write(struct arena *a, const struct cli_index *x, struct str records);

#endif
