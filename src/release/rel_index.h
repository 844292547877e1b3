/* rel_index.h: an index of what repositories hold, kept on this machine and searched without a
 * network.
 *
 * The index is one JSON document, compressed (zlib): for every repository its versions, for every
 * version its digest, its tags, who refers to it, and what its manifest and config say. Beside it
 * lies a table of lines that a search reads instead; it is derived, and made anew whenever it does
 * not belong to the index that lies there.
 *
 *  1. A file is whole or not there; a kill at any moment loses what was not written, nothing else.
 *  2. Who changes the index reads it again under its lock: of two at once neither loses a
 *     repository.
 *  3. The same contents give the same bytes: no clock enters but the moment of a repository's last
 *     change, and that stays while nothing has changed.
 *  4. What comes from a registry, a file or an artifact is bounded and checked before it is used.
 * err    as each function says; ERR_NO_MEMORY always.
 * thread one caller per index.
 */
#ifndef MLXK_REL_INDEX_H
#define MLXK_REL_INDEX_H

#include "release/release.h"

enum {
    REL_INDEX_MAX_REPOS = 100000, REL_INDEX_MAX_VERSIONS = 2000000,  /* in all */
    REL_INDEX_MAX_ABOUT = 1 << 20,   /* bytes of what is said about one version */
    REL_INDEX_MAX_NAME = 4200,       /* a layout's path */
};
#define REL_INDEX_MAX_BYTES ((size_t)512 << 20)  /* of the document */
#define REL_INDEX_SCHEMA "mlxk.ocidex/1"
#define REL_INDEX_TYPE   "application/vnd.mlxk.ocidex.v1+json"       /* artifactType */
#define REL_INDEX_LAYER  "application/vnd.mlxk.ocidex.records.v1+json+zlib"

/* ---- the index in memory (rel_index.c) ------------------------------------------------------- */

struct rel_index_version {
    struct str digest;
    struct str *tags; size_t n_tags;     /* sorted */
    struct str referrers;        /* JSON array of {"type","digest"} */
    struct str about;            /* JSON object, compact; rel_index_scan writes it */
};
struct rel_index_repo {
    struct str name;             /* "HOST/PATH" or "oci:/DIR", without a tag */
    int64_t changed_s;           /* since 1970: when its contents were seen to change */
    bool gone;                   /* the registry said so, last time */
    struct rel_index_version *versions; size_t n;        /* sorted by digest */
};
struct rel_index {
    struct arena arena;          /* of all its texts */
    struct str *sources; size_t n_sources, cap_sources;  /* whose catalogs are asked; sorted */
    struct rel_index_repo *repos; size_t n, cap;         /* sorted by name */
};
MLXK_FN void rel_index_init(struct rel_index *x);
MLXK_FN void rel_index_release(struct rel_index *x);
/* Reads a document into an empty index. err: ERR_FORMAT with the place, ERR_LIMIT,
 * ERR_UNSUPPORTED (of a later program). */
MLXK_FN bool rel_index_parse(struct rel_index *x, struct str text, struct err *e);
/* Appends the document; sources stay at home when it goes abroad. */
MLXK_FN bool rel_index_write(struct buf *out, const struct rel_index *x, bool with_sources,
                             struct err *e);
MLXK_FN struct rel_index_repo *rel_index_find(const struct rel_index *x, struct str name);
/* A repository as it is now; the moment of its last change becomes now_s when it is another than
 * before. changed: or NULL; set to true then. */
MLXK_FN bool rel_index_put(struct rel_index *x, const struct rel_index_repo *repo, int64_t now_s,
                           bool *changed, struct err *e);
/* Repositories of `from` that are not there, or changed later than what is. n_taken: how many. */
MLXK_FN bool rel_index_merge(struct rel_index *x, const struct rel_index *from, size_t *n_taken,
                             struct err *e);
MLXK_FN void rel_index_forget(struct rel_index *x, size_t i);
MLXK_FN bool rel_index_add_source(struct rel_index *x, struct str name, bool *changed,
                                  struct err *e);
/* Is this name the prefix itself, or below it ("host", "host/org")? */
MLXK_FN bool rel_index_below(struct str name, struct str prefix);

/* ---- on disk (rel_index_file.c) -------------------------------------------------------------- */

/* $XDG_STATE_HOME/mlxk/index; NULL: there is no such place, or no memory. */
MLXK_FN char *rel_index_dir(struct arena *a);
/* An index that is not there is empty. err: ERR_FORMAT when it is damaged, naming the file. */
MLXK_FN bool rel_index_load(struct rel_index *x, const char *dir_cstr, struct err *e);
/* Under the index's lock: loads it, lets `change` work on it, and keeps it when *changed.
 * rebuilt (or NULL): a damaged index is set aside as index.json.z.damaged, *rebuilt is true, and
 * the change begins with an empty one; NULL: ERR_FORMAT. err: ERR_LOCKED after a minute, IO. */
typedef bool (*rel_index_work)(void *ctx, struct rel_index *x, bool *changed, struct err *e);
MLXK_FN bool rel_index_change(const char *dir_cstr, rel_index_work change, void *ctx, bool *rebuilt,
                              struct err *e);

/* ---- search (rel_index_table.c) -------------------------------------------------------------- */

struct rel_index_query {
    const struct str *words; size_t n_words;     /* each must be found; case does not count */
    bool releases;               /* only these */
    size_t limit;                /* rows that are told; 0 = all */
    bool (*row)(void *ctx, struct str json, struct err *e);      /* one object a row */
    void *ctx;
};
struct rel_index_found { size_t n_found, n_versions; };
/* Rows by repository, releases first and the highest of them first. */
MLXK_FN bool rel_index_search(const char *dir_cstr, const struct rel_index_query *q,
                              struct rel_index_found *out, struct err *e);
/* The rows of one repository, in that order. */
MLXK_FN bool rel_index_rows(const struct rel_index_repo *repo,
                            bool (*row)(void *ctx, struct str json, struct err *e), void *ctx,
                            struct err *e);

/* ---- repositories become part of it (rel_index_scan.c) --------------------------------------- */

struct rel_index_scan {
    bool all;                    /* ask for every tag, also for those that never move */
    size_t n_tags, n_asked, n_read, n_odd;       /* tags; asked for their digest; manifests read;
                                                  * versions that cannot be read */
};
/* Asks the repository that o stands for what differs from `old` (or NULL): the list of its tags,
 * the digests of new tags and of those that may move, the manifests that were not seen yet. mem: in
 * a. err: ERR_NOT_FOUND (there is no such repository), those of requests. */
MLXK_FN bool rel_index_read(struct arena *a, struct oci *o, struct str name,
                            const struct rel_index_repo *old, struct rel_index_scan *scan,
                            struct rel_index_repo *out, struct err *e);

/* ---- as an artifact (rel_index_oci.c) -------------------------------------------------------- */

/* Puts into x what the index under this tag has and x has not, as rel_index_merge. *found false:
 * there is none. err: ERR_FORMAT (that is no index). */
MLXK_FN bool rel_index_pull(struct rel_index *x, struct oci *o, struct str what, bool *found,
                            size_t *n_taken, struct err *e);
struct rel_index_pushed {
    struct str digest;
    uint64_t size_bytes;         /* of the layer */
    bool was_there;
    size_t n_merged;             /* repositories that came from the index that stood there */
};
/* Stores x under the tag, together with what stands there: if another one is put there meanwhile,
 * both are joined. mem: in a. */
MLXK_FN bool rel_index_push(struct arena *a, struct rel_index *x, struct oci *o, struct str tag,
                            struct rel_index_pushed *out, struct err *e);

#endif
