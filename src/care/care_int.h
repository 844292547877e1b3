/* care_int.h: what the files of this room share. */
#ifndef MLXK_CARE_INT_H
#define MLXK_CARE_INT_H

#include "care/care.h"

enum {
    CARE_MAX_ENTRIES = 1000000,  /* of one folder */
    CARE_MAX_DEPTH = 24,         /* folders below a repo's that are looked into */
};
#define CARE_MAX_TREE ((size_t)64 << 20)         /* bytes of a trees/<commit>.json */

/* A path or other C string in the arena; NULL = no memory. */
MLXK_FN char *care_format(struct arena *a, const char *format_cstr, ...) MLXK_PRINTF(2, 3);
/* Ascending; stable is not promised. */
MLXK_FN void care_sort(const void **items, size_t n, int (*cmp)(const void *x, const void *y));
/* "<etag>.mlxk.incomplete", "<etag>.<8 hex>.incomplete", "<etag>.incomplete", "<etag>.damaged..."
 * -> the blob's name. */
MLXK_FN struct str care_partial_etag(struct str name);
/* Names that this program or other clients give to files that are not finished. */
MLXK_FN bool care_is_temp(struct str name);
/* The name of a repo whose folder this is: "org/name", "datasets/org/name". */
MLXK_FN struct str care_repo_name(struct arena *a, struct str folder, struct str *type);
/* A folder's name that a repo can have. */
MLXK_FN bool care_is_repo_folder(struct str name);

/* A line of a manifest of the shared store still speaks of a link that leads to this payload (or
 * cannot be judged). */
MLXK_FN bool care_store_used(struct arena *a, const struct cache *c, struct str manifest,
                             const struct os_stat *payload);

#define CARE_DAMAGED ".damaged.incomplete"       /* behind the name of a blob that was set aside */

#endif
