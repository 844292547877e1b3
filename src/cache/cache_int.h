/* cache_int.h: what the files of this room share with each other and nobody else. */
#ifndef MLXK_CACHE_INT_H
#define MLXK_CACHE_INT_H

#include "cache/cache.h"

enum {
    CACHE_FOLDER_MAX = 256,      /* NAME_MAX and the NUL */
    CACHE_MAX_ENTRIES = 200000,  /* entries of one folder; larger ones are refused */
    CACHE_MAX_DEPTH = 16,        /* folders below a snapshot that are looked into */
    CACHE_LFS_MAX = 200,         /* bytes of a git-lfs pointer: fewer than that */
};
#define CACHE_MAX_TREE ((size_t)64 << 20)        /* bytes of a trees/<commit>.json */

/* ---- cache_layout.c ---- */

/* The parts one behind the other, NUL-terminated; ERR_INVALID when they do not fit. */
MLXK_FN bool cache_concat(char out[LIMIT_PATH], const struct str *parts, size_t n_parts,
                          struct err *e);
#define CACHE_PATH(out, e, ...) cache_concat((out), (const struct str[]){ __VA_ARGS__ }, \
    sizeof((const struct str[]){ __VA_ARGS__ }) / sizeof(struct str), (e))
/* Folder of a repo as cache_folder_name, but checked: one component of at most 255 bytes. */
MLXK_FN bool cache_folder_into(char out[CACHE_FOLDER_MAX], struct str repo, struct err *e);
/* One path component of [0-9A-Za-z._-], no leading dot, 1..200 bytes; `what` is for the message. */
MLXK_FN bool cache_component_ok(struct str s, const char *what_cstr, struct err *e);
/* Makes <root>, <repo>/snapshots, <repo>/blobs and .locks/<repo>. */
MLXK_FN bool cache_make_repo(const struct cache *c, struct str folder, struct err *e);
/* Ascending by cmp; stable is not promised. */
MLXK_FN void cache_sort(const void **items, size_t n, int (*cmp)(const void *x, const void *y));

/* ---- cache_temps.c ---- */

/* A name in <repo>/blobs that no other process uses, seen by all as an unfinished download. */
MLXK_FN bool cache_temp_path(char out[LIMIT_PATH], const char *repo_dir_cstr, struct err *e);
/* Such a name without the folder. With the first digits of a blob's name from CACHE_TEMP_FREE to
 * CACHE_TEMP_END it is that blob's in this process; another run may have left it. */
enum { CACHE_TEMP_FREE = 16, CACHE_TEMP_END = 24, CACHE_TEMP_NAME = 48 };
MLXK_FN void cache_temp_series(char out[CACHE_TEMP_NAME]);
/* The same for a folder of links, in <repo>/.mlxk. */
MLXK_FN bool cache_temp_folder(char out[LIMIT_PATH], const char *repo_dir_cstr, struct err *e);
/* Opens a file whose name is ours alone for reading and writing, made when absent. A link, a pipe,
 * or a file that has another name too was put there by somebody else: it is removed, never
 * written to. -1: e. */
MLXK_FN int cache_own_open(const char *path_cstr, struct err *e);

/* ---- cache_blobs.c ---- */

/* `path` appears with this content whole or not at all; equal content is left alone. The temporary
 * lies in <repo>/blobs, where unfinished files are expected: no tool takes it for a ref or tree. */
MLXK_FN bool cache_put(const char *repo_dir_cstr, const char *path_cstr, struct str content,
                       struct err *e);

/* The written, closed and synced temporary gets its final name, which then reaches the device (or
 * does so with cache_sync). On failure the temporary is removed. */
MLXK_FN bool cache_place(const char *temp_cstr, const char *path_cstr, bool late_sync,
                         struct err *e);
/* ---- cache_ring.c: who has no thread rule of his own; its owner's mutex guards it ---- */

enum { CACHE_RING = 16 };
struct cache_piece { uint8_t *p; size_t n; };
struct cache_ring {              /* all zero = empty */
    struct cache_piece list[CACHE_RING];
    uint8_t *spare[CACHE_RING];
    unsigned first, n, n_spare;
};
MLXK_FN bool cache_ring_full(const struct cache_ring *r);
/* n bytes in *buffer, CACHE_CHUNK large and from mem_alloc: it goes in and *buffer is an empty one.
 * The ring must not be full. false: no memory, nothing has changed. */
MLXK_FN bool cache_ring_put(struct cache_ring *r, uint8_t **buffer, size_t n);
/* The oldest piece, now the caller's until give_back; p NULL = the ring is empty. */
MLXK_FN struct cache_piece cache_ring_take(struct cache_ring *r);
MLXK_FN void cache_ring_give_back(struct cache_ring *r, struct cache_piece piece);
MLXK_FN void cache_ring_clear(struct cache_ring *r);     /* frees all that it has */

/* An unfinished blob: its names, lock and open file. */
struct cache_blob {
    int fd;
    uint64_t size_bytes;
    enum cache_hash kind;
    bool locked, late_sync;
    struct os_lock lock;
    char path[LIMIT_PATH], partial[LIMIT_PATH], map[LIMIT_PATH];
    char etag[204];
};
/* Fills etag, kind and the three paths of b. */
MLXK_FN bool cache_blob_paths(struct cache_blob *b, const struct cache *c, struct str folder,
                              struct str etag, struct err *e);
/* A partial file that somebody has unlinked is written once more; it is whole. */
MLXK_FN bool cache_partial_revive(struct cache_blob *b, struct err *e);
/* ERR_DISK_FULL when less than need_bytes is free where path lies. */
MLXK_FN bool cache_has_space(const char *path_cstr, uint64_t need_bytes, struct err *e);
/* Begins git's hash of a blob of this size. (cache_digest.c) */
MLXK_FN void cache_git_begin(struct sha1 *s, uint64_t size_bytes);

/* ---- cache_room.c ---- */

/* The text of a note; false = it is none. brings: borrowed. */
MLXK_FN bool cache_room_parse(struct str text, uint64_t *bytes, struct str *brings);

/* ---- cache_map.c ---- */

enum { CACHE_RUNS_MAX = 96, CACHE_MAP_PAGE = 4096 };
struct cache_runs { struct cache_run list[CACHE_RUNS_MAX]; size_t n; };  /* sorted, apart */
MLXK_FN uint64_t cache_runs_total(const struct cache_runs *r);
MLXK_FN uint64_t cache_runs_prefix(const struct cache_runs *r);         /* end of the run at 0 */
/* false: it would be a run too many; nothing was added. */
MLXK_FN bool cache_runs_add(struct cache_runs *r, uint64_t from, uint64_t to);
/* The first bytes in [from, end) that no run holds; empty (from == to) when there are none. */
MLXK_FN struct cache_run cache_runs_gap(const struct cache_runs *r, uint64_t from, uint64_t end);

struct cache_map {
    uint64_t seq, size_bytes;
    char etag[205];
    uint8_t place[16];           /* where "have" holds: host and start of the system, hashed */
    uint64_t stamp[4];           /* inode, size, mtime, ctime of the partial file, or zeros */
    uint64_t hashed_bytes;     /* of the prefix; with state and block the hash goes on from here */
    uint32_t state[8];
    uint8_t block[64];
    struct cache_runs have, safe;
};
MLXK_FN void cache_map_encode(const struct cache_map *m, uint8_t page[CACHE_MAP_PAGE]);
/* false: damaged, or of another kind. */
MLXK_FN bool cache_map_decode(const uint8_t page[CACHE_MAP_PAGE], struct cache_map *out);

/* ---- cache_lease.c ---- */

struct cache_lease { char path[LIMIT_PATH], text[400]; size_t n; bool held; int64_t beat_ns; };
/* err: ERR_LOCKED (its owner lives, or was heard of lately). *doubtful: taken from an owner on
 * another machine that has not been heard of for long, but may live. */
MLXK_FN bool cache_lease_take(struct cache_lease *l, const char *path_cstr, bool *doubtful,
                              struct err *e);
/* Says that we live, when it is time; false = another owner has taken it. */
MLXK_FN bool cache_lease_beat(struct cache_lease *l);
MLXK_FN bool cache_lease_is_ours(const struct cache_lease *l);
MLXK_FN void cache_lease_release(struct cache_lease *l);

/* ---- cache_resume.c ---- */

/* First n (at most 32) bytes of a hash of this machine and this start of its system. */
MLXK_FN void cache_here(uint8_t *out, size_t n);
/* <root>/<folder>/.mlxk/<etag><ending>, where what is known of unfinished blobs lies. */
MLXK_FN bool cache_side_path(char out[LIMIT_PATH], const struct cache *c, struct str folder,
                             struct str etag, struct str ending, struct err *e);
/* The best page of a map file for this blob; false = none. */
MLXK_FN bool cache_map_read(const char *path_cstr, const char *etag_cstr, uint64_t size_bytes,
                            struct cache_map *out);
struct cache_resume {
    struct cache_blob *blob;     /* size, fd -1 and lock -1 are given; the rest is filled */
    struct cache_lease *lease;   /* filled */
    struct cache_map *map;       /* zeros; then: what may be believed, as "have" and as "safe" */
    bool renew;                  /* from the first byte, also when the finished blob is there */
    int64_t wait_ms;             /* for other processes; negative = for ever */
    bool present, doubtful;      /* zero; then: nothing to do; its owner may still write */
};
/* Locks the blob and opens its unfinished file, with room for all of it. What is filled is the
 * caller's to give back, also after a failure. err: ERR_LOCKED, DISK_FULL, READ_ONLY, IO. */
MLXK_FN bool cache_resume(struct cache_resume *r, const struct cache *c, struct str folder,
                          struct str etag, struct err *e);

/* ---- cache_resolve.c ---- */

enum cache_found { CACHE_FOUND, CACHE_ABSENT, CACHE_FAILED };
MLXK_FN bool cache_is_path(struct str spec);         /* /x ./x ../x . .. */
MLXK_FN bool cache_has_config(const char *dir_cstr);
/* Names of cached repos that contain the pattern (case ignored), sorted; none without a root. */
MLXK_FN bool cache_repos(struct arena *a, const struct cache *c, struct str pattern,
                         struct str **out, size_t *n_out, struct err *e);
/* A repo and its snapshot. listing: dir is a snapshot with a name of 40 bytes or the repo's folder.
 * CACHE_ABSENT: no such revision. */
MLXK_FN enum cache_found cache_model_of(struct arena *a, const struct cache *c, struct str repo,
                                        struct str revision, bool listing, struct cache_model *out,
                                        struct err *e);

/* ---- cache_scan.c ---- */

MLXK_FN struct cache_scan *cache_scan_dir(struct arena *a, const char *dir_cstr,
                                          struct err *e); /* NULL = no memory */
/* JSON as upstream reads it: UTF-8, no byte order mark, of equal keys the last; NULL = none. */
MLXK_FN const struct json *cache_parse(struct arena *a, struct str text);

/* ---- cache_fingerprint.c ---- */

struct cache_patterns { const struct str *list; size_t n; };
/* raw: path on the disk; path: its normal form, hashed and stored. Links: size and time 0. */
struct cache_print { struct str raw, path; uint64_t size_bytes; int64_t mtime_ns; bool is_link; };
MLXK_FN struct cache_patterns cache_default_patterns(void);
/* The files that belong to a workspace, sorted by path. root: links resolved. ERR_FORMAT: two
 * paths that differ in their Unicode form only. */
MLXK_FN bool cache_print_files(struct arena *a, const char *root_cstr,
                               struct cache_patterns patterns, cache_normalize normalize,
                               const struct cache_print ***out, size_t *n_out, struct err *e);
/* "sha256:<hex>" of one of them. ERR_FORMAT: broken header, link that leads out or in a circle. */
MLXK_FN bool cache_print_sha(struct arena *a, const char *root_cstr, const struct cache_print *f,
                             char out[72], struct err *e);

/* ---- cache_detect.c ---- */

/* Takes pictures: needs a processor configuration beside its weights. */
MLXK_FN bool cache_has_vision(struct arena *a, struct cache_scan *s);

/* ---- cache_locks.c ---- */

MLXK_FN bool cache_lock_path(char out[LIMIT_PATH], const struct cache *c, struct str folder,
                             struct str etag, struct err *e);

/* A workspace of the home by the name of its entry, which may be a link. c->workspace_cstr is
 * set. */
MLXK_FN bool cache_home_model(struct arena *a, const struct cache *c, struct str name,
                              struct cache_model *out, struct err *e);

#endif
