/* cache.h: the Hugging Face cache on disk, shared with every other tool (level 2; no network).
 *
 * Layout, names, lookup, health, detection, blobs, links, trees, refs, locks, removal.
 * Promises:
 *  1. what is written here, other hub tools read, and the other way round (hub facts 1);
 *  2. a file appears under its final name only when its bytes are complete, hashed and synced; the
 *     order is blob -> link -> tree -> ref, so a kill at any moment leaves a cache every tool
 *     reads;
 *  3. reading functions never write, take no lock, and work on read-only mounts;
 *  4. nothing outside the repo's own folder is removed, whatever a link or a name says;
 *  5. no name from outside reaches the file system unchecked (the _ok functions).
 */
#ifndef MLXK_CACHE_H
#define MLXK_CACHE_H

#include "base/base.h"
#include "platform/platform.h"
#include "json/json.h"
#include "format/format.h"

/* ---- place and names (cache_layout.c, cache_names.c) ----------------------------------------- */

struct cache {
    const char *root_cstr;       /* .../hub, absolute; may not exist */
    const char *workspace_cstr;  /* MLXK_WORKSPACE_HOME when it is a directory, else NULL */
    const char *root_from_cstr;  /* what chose root: "HF_HUB_CACHE", "HF_HOME", ..., "default" */
    bool late_sync;              /* blobs and links are synced as files at once, as names by
                                  * cache_sync: for many of them in one go */
    bool guarded;                /* see cache_guard_begin */
};
/* HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub,
 * ~/.cache/huggingface/hub: the first that is set and not empty. */
MLXK_FN bool cache_open(struct arena *a, struct cache *out, struct err *e);

/* What a repository holds is part of its name, here and in every interface of this program:
 * "datasets/org/name" and "spaces/org/name", as in the hub's own addresses; anything else is a
 * model. No namespace of models is called so. */
enum cache_kind { CACHE_MODEL, CACHE_DATASET, CACHE_SPACE, CACHE_KINDS };
MLXK_FN enum cache_kind cache_kind_of(struct str repo);
/* "model", "dataset", "space". */
MLXK_FN const char *cache_kind_name(enum cache_kind kind);
/* The name of a repository of that kind, with its prefix. mem: in a, or bare_name itself. */
MLXK_FN struct str cache_kind_join(struct arena *a, enum cache_kind kind, struct str bare_name);
/* The name without the prefix. Borrowed. */
MLXK_FN struct str cache_bare_name(struct str repo);
/* "org/name" or "name" as the hub allows it, or one of a dataset or space. */
MLXK_FN bool cache_name_ok(struct str repo, struct err *e);
/* ... and of a model, for what knows models only. */
MLXK_FN bool cache_model_name_ok(struct str repo, struct err *e);
/* Repo-relative file path: UTF-8, no "..", not absolute, no NUL, control, '\\', empty part. */
MLXK_FN bool cache_path_ok(struct str path, struct err *e);
/* Blob name: 1..200 of [0-9A-Za-z._-], no leading '.'. */
MLXK_FN bool cache_etag_ok(struct str etag, struct err *e);
/* Ref name: as a path, so nested ones are allowed. */
MLXK_FN bool cache_revision_ok(struct str revision, struct err *e);
/* "models--org--name", "datasets--org--name"; what begins like such a folder is one. */
MLXK_FN char *cache_folder_name(struct arena *a, struct str repo);
/* Does a folder's name begin like that of a model, dataset or space? */
MLXK_FN bool cache_is_folder(struct str name);
/* Mechanical reverse (mlx-knife facts 3.1): every "--" is a '/'. A model's folder whose name would
 * then be that of a dataset or space (models--datasets--x) keeps it. */
MLXK_FN struct str cache_repo_name(struct arena *a, struct str folder);
MLXK_FN char *cache_repo_dir(struct arena *a, const struct cache *c, struct str repo);
/* Where the file system ignores case: false (ERR_IO) when the repo's folder is there under another
 * spelling, or when two of the paths differ in the case of ASCII letters only. The first before
 * anything is written, the second before the first link; both true where case counts. */
MLXK_FN bool cache_spelling_ok(const struct cache *c, struct str repo, struct err *e);
MLXK_FN bool cache_paths_ok(const struct cache *c, struct str repo, const struct str *paths,
                            size_t n, struct err *e);

/* ---- lookup (cache_resolve.c, cache_list.c): mlx-knife facts 3.2, 3.3 ------------------------ */

enum cache_place { CACHE_REPO, CACHE_WORKSPACE };
struct cache_scan;
struct cache_model {
    enum cache_place place;
    struct str name;             /* "org/name"; absolute path for workspaces */
    struct str display_name;     /* workspaces in lists; empty otherwise */
    const char *repo_dir_cstr;   /* models--...; the workspace itself */
    const char *dir_cstr;        /* what is shown: snapshot, workspace, or repo_dir without one */
    const char *snapshot_cstr;   /* what is judged, NULL = none; differs from dir_cstr only in
                                  * lists, which know snapshots with names of 40 bytes alone */
    struct str commit;           /* 40 hex digits, or empty */
    struct cache_scan *scan;     /* of dir_cstr, by cache_scan; NULL: each function looks itself */
};
struct cache_matches { struct str *names; size_t n; };   /* sorted; filled with ERR_AMBIGUOUS */
/* Workspaces hold models. */
MLXK_FN enum cache_kind cache_model_kind(const struct cache_model *m);

/* MODEL as a person types it: path, name, fragment, name@revision-or-hash-prefix. The snapshot is
 * that of the revision, else of refs/main, else the newest.
 * err: ERR_NOT_FOUND, ERR_AMBIGUOUS (candidates in *matches), ERR_INVALID. */
MLXK_FN bool cache_resolve(struct arena *a, const struct cache *c, struct str spec,
                           struct cache_model *out, struct cache_matches *matches /* or NULL */,
                           struct err *e);
/* A plain folder (import source, convert target) as a model, to be scanned and judged. */
MLXK_FN bool cache_model_at(struct arena *a, const char *dir_cstr, struct cache_model *out,
                            struct err *e);

/* Everything a list shows for a pattern (cache and workspaces, or an explicit path pattern), sorted
 * by name; datasets or spaces where it begins with "datasets/" or "spaces/". A missing cache is an
 * empty list. Unreadable entries are listed too, never fatal. */
MLXK_FN bool cache_list(struct arena *a, const struct cache *c, struct str pattern,
                        struct cache_model **out, size_t *n_out, struct err *e);
/* The same in two steps, so that thousands can be looked at on several threads: names and places
 * first (repos have no folders yet), then each on its own. A complete model is left as it is. */
MLXK_FN bool cache_list_names(struct arena *a, const struct cache *c, struct str pattern,
                              struct cache_model **out, size_t *n_out, struct err *e);
MLXK_FN bool cache_complete(struct arena *a, const struct cache *c, struct cache_model *m,
                            struct err *e);
/* Workspaces by name, then repos by folder: the order of health. Models need not be complete. */
MLXK_FN void cache_order_by_folder(struct cache_model *models, size_t n);

/* ---- what a model is (cache_scan.c, cache_health.c, cache_detect.c): mlx-knife facts 4 ------- */

struct cache_file {
    struct str path;             /* relative, with '/' */
    uint64_t size_bytes;         /* of the target for links */
    enum os_kind kind;           /* OS_FILE, OS_NONE (a link that leads nowhere), OS_OTHER */
    bool is_link, is_read;
    struct str content;          /* private to the room: read once, kept */
};
enum cache_config_state {
    CACHE_CONFIG_MISSING, CACHE_CONFIG_BAD_JSON, CACHE_CONFIG_EMPTY, CACHE_CONFIG_OK
};
/* One walk over a model's folder: every later question is answered from it. */
struct cache_scan {
    const char *dir_cstr;
    struct cache_file *files;    /* n of them; byte order within each folder */
    size_t n;
    uint64_t size_bytes;         /* of all files, links followed */
    int64_t mtime_ns;            /* of the folder */
    bool unreadable;             /* some folder could not be listed: files are missing from here */
    enum cache_config_state config_state;
    const struct json *config;   /* config.json when it is JSON (of equal keys the last), or NULL */
};
/* Fills m->scan (no-op when it is there). err: ERR_NO_MEMORY only; what cannot be read is part of
 * the result. */
MLXK_FN bool cache_scan(struct arena *a, struct cache_model *m, struct err *e);
/* Content of a file of the scan, read once; p == NULL: unreadable or more than max_bytes. */
MLXK_FN struct str cache_scan_read(struct arena *a, struct cache_scan *s, struct str path,
                                   size_t max_bytes);
/* NULL = absent, or a link to nothing. */
MLXK_FN struct cache_file *cache_scan_find(const struct cache_scan *s, struct str path);

/* reason: upstream's text, also when healthy. */
struct cache_health { bool healthy; struct str reason; };
MLXK_FN struct cache_health cache_check_health(struct arena *a, const struct cache_model *m);

struct cache_info {
    struct str framework;        /* MLX GGUF PyTorch Unknown */
    struct str model_type;       /* chat base embedding audio; dataset space */
    const char *capabilities[8];
    int n_capabilities;
    uint64_t size_bytes;
    int64_t mtime_ns;
    int64_t context_length;      /* 0 = unknown */
    const struct json *config;   /* parsed config.json, or NULL */
    bool legacy;                 /* weights under names that no loader looks for any more */
};
MLXK_FN bool cache_detect(struct arena *a, const struct cache_model *m, struct cache_info *out,
                          struct err *e);

/* ---- workspaces (cache_workspace.c): sentinel, content hash v2, mlx-knife facts 6.3, 6.4 ----- */

struct cache_workspace {
    bool present, managed;       /* a readable sentinel is there; it says "managed": true */
    struct str origin, content_hash, hash_modified;   /* empty = null or absent */
    bool has_v2;                 /* the stored hash is of version 2 */
    int clean;                   /* 1 unchanged since hashed, 0 changed, -1 unknown */
    const struct json *document; /* the sentinel, or NULL */
};
/* Names are hashed in Unicode NFC, which is a higher room's knowledge: appends the normal form. */
typedef void (*cache_normalize)(struct buf *out, struct str s);
/* Reading never writes. normalize NULL: names as they are. false: out of memory only. */
MLXK_FN bool cache_workspace_read(struct arena *a, const char *dir_cstr,
                                  cache_normalize normalize /* or NULL */,
                                  struct cache_workspace *out, struct err *e);
/* Hashes a managed workspace anew and stores the result in its sentinel. err: ERR_UNSUPPORTED when
 * it is not managed, ERR_FORMAT (broken safetensors header, link out of the workspace), IO. */
MLXK_FN bool cache_workspace_rehash(struct arena *a, const char *dir_cstr,
                                    cache_normalize normalize /* or NULL */, struct err *e);

/* Where a new workspace comes from. Empty texts become null; more_json: further members as JSON
 * text, without braces ("\"mode\": \"quantize\""), or empty. */
struct cache_origin {
    struct str operation, source_repo, source_revision, version, more_json;
};
/* Writes the sentinel of a new managed workspace and stores its content hash there. A folder whose
 * hash cannot be made (no safetensors header, links that lead out) stays managed without one. */
/* Removes what killed writers of the sentinel left in dir; only where no other one can be at
 * work. */
MLXK_FN bool cache_workspace_sweep(struct arena *a, const char *dir_cstr, struct err *e);
MLXK_FN bool cache_workspace_create(struct arena *a, const char *dir_cstr,
                                    const struct cache_origin *from,
                                    cache_normalize normalize /* or NULL */, struct err *e);

/* ---- writing (cache_blobs.c, cache_refs.c) --------------------------------------------------- */

enum cache_hash { CACHE_SHA256, CACHE_GIT_SHA1, CACHE_OPAQUE };
/* What a blob's name promises: 64 hex = sha256 of the content, 40 hex = git blob sha1, else
 * nothing. */
MLXK_FN enum cache_hash cache_blob_hash(struct str etag);
/* That hash of bytes as they pass (cache_digest.c): git's name of a blob of size_bytes for
 * CACHE_GIT_SHA1, sha256 for every other kind. */
struct cache_digest { enum cache_hash kind; struct sha256 sha256; struct sha1 sha1; };
MLXK_FN void cache_digest_begin(struct cache_digest *d, enum cache_hash kind, uint64_t size_bytes);
MLXK_FN void cache_digest_add(struct cache_digest *d, const void *p, size_t n);
MLXK_FN void cache_digest_end(struct cache_digest *d, char hex[65]);
MLXK_FN void cache_digest_text(enum cache_hash kind, struct str text, char hex[65]);
/* Git's name of the text that stands for a large file in git; returns that text's length.
 * sha256: 64 hex digits. */
#define CACHE_LFS_LINE "version https://git-lfs.github.com/spec/v1"    /* its first line */
MLXK_FN size_t cache_lfs_pointer(struct str sha256, uint64_t size_bytes, char oid[65]);

/* Is the finished blob there, and how large is it? Reads nothing of it. */
MLXK_FN bool cache_blob_exists(const struct cache *c, struct str repo, struct str etag,
                               uint64_t *size_bytes);
/* Bytes of an unfinished blob that a later download goes on from; 0 = none. reserved: of the disk,
 * held by it already. */
MLXK_FN uint64_t cache_blob_partial(const struct cache *c, struct str repo, struct str etag,
                                    uint64_t size_bytes, uint64_t *reserved_bytes);
/* A small blob out of memory: ERR_INTEGRITY unless content is what its name promises; appears whole
 * or not at all, replacing what is there. Locks nothing: see cache_blob_lock. */
MLXK_FN bool cache_blob_store(const struct cache *c, struct str repo, struct str etag,
                              struct str content, struct err *e);
/* Makes the folders of a repo. Whoever writes a blob makes them, too; threads that begin at once
 * would wait for each other. */
MLXK_FN bool cache_repo_begin(const struct cache *c, struct str repo, struct err *e);
/* The blob's lock; repo's folders are made. *present: somebody has finished the blob. */
MLXK_FN bool cache_blob_lock(const struct cache *c, struct str repo, struct str etag,
                             uint64_t size_bytes, int64_t wait_ms, struct os_lock *lock,
                             bool *present, struct err *e);

/* Small blobs of one commit, by any threads of this process, each blob once at a time. One lock for
 * all of them, .locks/<repo>/<commit>.lock, so that processes that want the same fetch it once;
 * not the blobs' own: who holds one of those may bring the same bytes a second time. */
struct cache_small {
    const struct cache *cache; struct str repo;  /* borrowed until the end */
    struct os_lock lock;
    int blobs_fd;                        /* -1 = each is stored by its whole path */
    char series[48];                     /* private: names of temporaries */
};
/* Waits for nobody: ERR_LOCKED. Folders are made. */
MLXK_FN bool cache_small_begin(struct cache_small *s, const struct cache *c, struct str repo,
                               struct str commit, struct err *e);
MLXK_FN bool cache_small_present(const struct cache_small *s, struct str etag, uint64_t size_bytes);
/* As cache_blob_store. */
MLXK_FN bool cache_small_store(const struct cache_small *s, struct str etag, struct str content,
                               struct err *e);
MLXK_FN void cache_small_end(struct cache_small *s);

/* ---- a blob fetched in several places at once (cache_parts.c) -------------------------------- */

/* Writers claim runs of missing bytes and write them front to back; what has arrived is kept in
 * .mlxk/<etag>.map beside blobs/<etag>.mlxk.incomplete, so that a kill, a restart of the system or
 * another machine goes on from there. The prefix is hashed as it grows.
 * Holds the blob's lock, and .mlxk/<etag>.lease for file systems whose locks lie.
 * thread: every function but open, commit and close may be called by several at once. */
struct cache_parts;
struct cache_run { uint64_t from, to; };         /* bytes [from, to) */
enum { CACHE_CLAIMS = 16, CACHE_CHUNK = 256 << 10 };
enum cache_parts_how {
    CACHE_PARTS_CONTINUE, /* go on where the last process stopped */
    CACHE_PARTS_RENEW,    /* from the first byte, also when the finished blob is there: it
                           * stays until the commit replaces it */
    CACHE_PARTS_MEND,     /* the right bytes are at hand: go on, but what is there is compared
                           * with what is written over it by claim_all, and put right */
};
/* NULL with e.code ERR_OK: the finished blob is there. size_bytes is exact. Reserves the space.
 * err: ERR_LOCKED (by lock or lease, after wait_ms), ERR_DISK_FULL, IO. */
MLXK_FN struct cache_parts *cache_parts_open(const struct cache *c, struct str repo,
                                             struct str etag, uint64_t size_bytes,
                                             enum cache_parts_how how, int64_t wait_ms,
                                             struct err *e);
/* The lowest missing run that nobody has claimed, at most max_bytes of it; -1 = there is none. */
MLXK_FN int cache_parts_claim(struct cache_parts *p, uint64_t max_bytes, struct cache_run *run);
/* All that is missing, for an answer with the whole file; -1 while others have claims. */
MLXK_FN int cache_parts_claim_all(struct cache_parts *p);
/* Bytes at an offset of the file: those that are missing are written, in order. The bytes must lie
 * inside the claim, or for claim_all anywhere. err: ERR_LOCKED (another machine took over), IO. */
MLXK_FN bool cache_parts_write(struct cache_parts *p, int claim, uint64_t at, const void *data,
                               size_t n, struct err *e);
/* As cache_parts_write, for one who has a thread that tends: of at most CACHE_CHUNK bytes in
 * *buffer, which is of that size and from mem_alloc. *buffer may be another one afterwards: then
 * tend hashes the bytes where they are, or they are lent (gcm_lend) until this thread's next call
 * for the claim. Hashes by itself, or waits, when too many wait for that. */
MLXK_FN bool cache_parts_write_buffer(struct cache_parts *p, int claim, uint64_t at,
                                      uint8_t **buffer, size_t n, struct err *e);
/* What is missing of the claim may be claimed again. thread: the one that wrote. */
MLXK_FN void cache_parts_release(struct cache_parts *p, int claim);
MLXK_FN uint64_t cache_parts_have(struct cache_parts *p);
/* Bytes wait for the hash, and nobody is at it: who tends should be woken. */
MLXK_FN bool cache_parts_hungry(struct cache_parts *p);
/* Bytes from the first on without a gap, and the unfinished file that holds them. */
MLXK_FN uint64_t cache_parts_prefix(struct cache_parts *p);
MLXK_FN const char *cache_parts_path(const struct cache_parts *p);
MLXK_FN bool cache_parts_done(struct cache_parts *p);
/* From time to time, by one thread: hashes what of the prefix has not been (*more: not all of it
 * yet), syncs what has piled up, tells others that we live. */
MLXK_FN bool cache_parts_tend(struct cache_parts *p, bool *more, struct err *e);
/* All bytes there and the hash right: sync, rename, map and lease removed. Wrong hash:
 * ERR_INTEGRITY with both values, all removed. p is closed in every case. */
MLXK_FN bool cache_parts_commit(struct cache_parts *p, struct err *e);
/* Maps and leases of finished blobs of repo whose removal failed once: tried again, unless somebody
 * is at them. Never fails; nothing of it is of consequence. */
MLXK_FN void cache_parts_sweep(struct arena *a, const struct cache *c, struct str repo);
/* Keeps what arrived, with the state of the hash; nothing arrived: nothing stays. */
MLXK_FN void cache_parts_close(struct cache_parts *p /* or NULL */);
/* Keeps nothing. */
MLXK_FN void cache_parts_drop(struct cache_parts *p);
/* Of a blob that another process is fetching: bytes from the first on without a gap, and the
 * file. */
MLXK_FN uint64_t cache_parts_peek(const struct cache *c, struct str repo, struct str etag,
                                  uint64_t size_bytes, char partial[LIMIT_PATH]);

/* The file system holds all of the unfinished file already: none of it can meet a full disk. */
MLXK_FN bool cache_parts_reserved(struct cache_parts *p);

/* ---- room on the disk (cache_room.c) --------------------------------------------------------- */

/* ERR_DISK_FULL when less than need_bytes is free where the cache is, or will be, less what other
 * downloads into it have still to bring, or less than keep_bytes would be left. brings: "org/name@
 * commit", or empty; downloads of the same are not counted. Waits two seconds for the others. */
MLXK_FN bool cache_room_check(const struct cache *c, struct str brings, uint64_t need_bytes,
                              uint64_t keep_bytes, struct err *e);
/* Can a file of that name lie in this cache? Asked by making one, where the name has a character
 * that not every file system takes, or takes at the end of a name; ERR_IO. */
MLXK_FN bool cache_names_taken(const struct cache *c, struct str path, struct err *e);
/* ERR_DISK_FULL when a file may not become so large here: ulimit -f, or a FAT file system. */
MLXK_FN bool cache_file_fits(const struct cache *c, struct str path, uint64_t size_bytes,
                             struct err *e);
struct cache_room { struct os_lock note; uint64_t told_bytes; };
/* The same, and others count these bytes from now on: until they are given back, or this process
 * ends. Where that cannot be told (no locks, nothing may be written) it is not. */
MLXK_FN bool cache_room_take(const struct cache *c, struct str brings, uint64_t need_bytes,
                             uint64_t keep_bytes, struct cache_room *out, struct err *e);
/* So many are still to come that no file holds. */
MLXK_FN void cache_room_tell(struct cache_room *r, uint64_t left_bytes);
MLXK_FN void cache_room_give(struct cache_room *r);

/* ---- a blob written front to back from bytes at hand (cache_writer.c) ------------------------ */

/* The same lock, lease, map and partial file as above; small ones go through memory. */
enum { CACHE_SMALL = 256 << 10 };
struct cache_writer {
    bool present;                /* the finished blob was there already: nothing to write */
    struct cache_parts *parts;   /* private */
    int claim;
    struct os_lock lock;
    const struct cache *cache;
    struct str repo, etag;
    uint64_t size_bytes, at;
    char *memory;
};
/* repo and etag are borrowed until the end. wait_ms: for others at work on it, negative = for ever.
 * err: ERR_LOCKED, ERR_DISK_FULL (checked before), IO. */
MLXK_FN bool cache_writer_open(struct cache_writer *w, const struct cache *c, struct str repo,
                               struct str etag, uint64_t size_bytes, int64_t wait_ms,
                               struct err *e);
/* ERR_INTEGRITY past the announced size. */
MLXK_FN bool cache_writer_add(struct cache_writer *w, const void *p, size_t n, struct err *e);
/* As cache_parts_commit; w is closed in every case. */
MLXK_FN bool cache_writer_commit(struct cache_writer *w, struct err *e);
/* keep: what came stays for the next one, else nothing does. */
MLXK_FN void cache_writer_close(struct cache_writer *w, bool keep);

/* One publishes or removes at a time: what shows blobs under names and what takes them away would
 * otherwise meet half-way. Functions that do either take the guard by themselves; who does several
 * in a row takes it once and hands &g->cache to them. Where it cannot be had (a read-only or full
 * disk, no working locks, a holder that does not move for half a minute) the work goes on without.
 * Its lock file goes with it, and so does the folder of locks when it was made for it alone.
 * false: interrupted while waiting. Not for reading, and not to be held while bytes arrive. */
struct cache_guard { struct cache cache; struct os_lock lock; bool made_folder; };
MLXK_FN bool cache_guard_begin(const struct cache *c, struct cache_guard *g, struct err *e);
MLXK_FN void cache_guard_end(struct cache_guard *g);

/* snapshots/<commit>/<path> -> ../../blobs/<etag> (relative); a hard link or copy where links
 * cannot be made or HF_HUB_DISABLE_SYMLINKS is set. Replaces what stands there.
 * err: ERR_NOT_FOUND when the blob is not in the cache. */
MLXK_FN bool cache_link(const struct cache *c, struct str repo, struct str commit, struct str path,
                        struct str etag, struct err *e);
/* The same for many of one snapshot. c: guarded, and there for as long as l. Closed in every case,
 * also one of cache_links_open that failed. */
struct cache_links {
    const struct cache *cache;
    int blobs_fd, snapshot_fd;   /* -1 = not open; the snapshot is made with its first link */
    bool symlinks, ahead;        /* ahead: dir is not the snapshot yet */
    char dir[LIMIT_PATH], repo_dir[LIMIT_PATH];
};
MLXK_FN bool cache_links_open(const struct cache *c, struct str repo, struct str commit,
                              struct cache_links *l, struct err *e);
MLXK_FN bool cache_links_add(struct cache_links *l, struct str path, struct str etag,
                             struct err *e);
MLXK_FN void cache_links_close(struct cache_links *l);
/* The blob is there, itself or through a link. err: ERR_NOT_FOUND */
MLXK_FN bool cache_links_blob(const struct cache_links *l, struct str etag, struct err *e);
#define CACHE_LINKS_ENDING ".links"      /* of their folder in .mlxk */
/* Links of a snapshot that is not there yet, made without the guard and before their blobs, where
 * nobody sees them: ahead, try ..., then show, or in every other case drop. false: it cannot be
 * done so here; they are made by add then. */
MLXK_FN bool cache_links_ahead(const struct cache *c, struct str repo, struct cache_links *l);
MLXK_FN bool cache_links_try(struct cache_links *l, struct str path, struct str etag);
/* All of them become the snapshot of l, which is open: in one step, if there is none. The caller
 * has the guard, and has asked for every blob. */
MLXK_FN bool cache_links_show(const struct cache_links *l, struct cache_links *ahead);
MLXK_FN void cache_links_drop(struct cache_links *l);    /* also after show, and of zeros */

/* Where links of a model's folder may lead: to other files below it, and, from a snapshot of a
 * cache, to the repo's blobs and to payloads shared between repos (cache_fence.c). Texts are real
 * paths with '/' at the end, in the arena of cache_fence_open; empty: there is none.
 * by_name: `blobs` is a link itself, so only names of blobs count in it. */
struct cache_fence { struct str root, blobs, shared; bool by_name; };
/* err: ERR_NOT_FOUND, IO. */
MLXK_FN bool cache_fence_open(struct arena *a, const char *dir_cstr, struct cache_fence *out,
                              struct err *e);
/* link_cstr: a link below the folder. inside: where in the folder it leads, relative; empty when it
 * leads to a blob. err: ERR_INVALID (it leads out: with both names), ERR_NOT_FOUND. */
MLXK_FN bool cache_fence_check(struct arena *a, const struct cache_fence *f, const char *link_cstr,
                               struct str *inside, struct err *e);
/* What to do about such a link; returns false. */
MLXK_FN bool cache_fence_hint(struct err *e);

/* Takes away what killed processes of this machine were writing under names of no blob. Those of
 * other machines, and unfinished blobs, stay. */
MLXK_FN void cache_temps_sweep(const struct cache *c, struct str repo);
/* Of that, only links ahead of their blobs, which nothing else tells of: they hold no bytes. */
MLXK_FN void cache_links_sweep(const struct cache *c, struct str repo);

/* With late_sync: the names of blobs reach the device, and (commit not empty) those of its links;
 * deep: also of those in folders of the snapshot. */
MLXK_FN bool cache_sync(const struct cache *c, struct str repo, struct str commit, bool deep,
                        struct err *e);
struct cache_tree_file {
    struct str path;
    uint64_t size_bytes;
    struct str blob_id;          /* git sha1 */
    struct str lfs_sha256;       /* or empty */
    uint64_t lfs_size;
    struct str xet_hash;         /* or empty */
};
/* trees/<commit>.json with ALL files of the commit (hub facts 1.4), in any order; names are
 * checked, twins refused. ERR_NOT_FOUND when the commit has no snapshot. */
MLXK_FN bool cache_tree_write(const struct cache *c, struct str repo, struct str commit,
                              const struct cache_tree_file *files, size_t n, struct err *e);
/* The same from its text, byte for byte; ERR_FORMAT when it is none. */
MLXK_FN bool cache_tree_put(const struct cache *c, struct str repo, struct str commit,
                            struct str text, struct err *e);
/* The file list in such a text, names checked; false = it is none (other version, damaged,
 * unsafe). */
MLXK_FN bool cache_tree_parse(struct arena *a, struct str text, struct cache_tree_file **files,
                              size_t *n);
/* false without an error in e (code OK) when there is no usable tree file. */
MLXK_FN bool cache_tree_read(struct arena *a, const struct cache *c, struct str repo,
                             struct str commit, struct cache_tree_file **files, size_t *n,
                             struct err *e);
/* .mlxk/<commit>.signed: what was shown about who signed a snapshot, a text of the caller's. It
 * goes with the snapshot. write: ERR_NOT_FOUND when the commit has no snapshot. read: *text stays
 * empty when there is none. */
#define CACHE_PROOF_ENDING ".signed"
enum { CACHE_MAX_PROOF = 16 << 20 };
MLXK_FN bool cache_proof_write(const struct cache *c, struct str repo, struct str commit,
                               struct str text, struct err *e);
MLXK_FN bool cache_proof_read(struct arena *a, const struct cache *c, struct str repo,
                              struct str commit, struct str *text, struct err *e);
/* Exactly 40 bytes, no newline. ERR_NOT_FOUND when the commit has no snapshot. */
MLXK_FN bool cache_ref_write(const struct cache *c, struct str repo, struct str revision,
                             struct str commit, struct err *e);
/* White space trimmed; empty = none, or nothing that could name a snapshot. */
MLXK_FN struct str cache_ref_read(struct arena *a, const struct cache *c, struct str repo,
                                  struct str revision);

/* ---- copies outside the cache (cache_copies.c) ----------------------------------------------- */

/* One file of a commit. etag: empty = nothing is known of its bytes but their number.
 * from: where they lie, NULL = nowhere. ours: in the second cache, which nobody else uses. */
struct cache_copy {
    struct str path, etag;
    uint64_t size_bytes;
    const char *from_cstr;
    bool ours;
};
/* All files of the commit by the file list that c or `also` has, else those in c's snapshot; each
 * is looked for in c, then in also. Names are safe. err: ERR_NOT_FOUND without list and
 * snapshot. */
MLXK_FN bool cache_copies_plan(struct arena *a, const struct cache *c,
                               const struct cache *also /* or NULL */, struct str repo,
                               struct str commit, struct cache_copy **out, size_t *n,
                               struct err *e);
/* The same for a list from elsewhere: path, etag and size are given and safe, from and ours
 * filled. */
MLXK_FN bool cache_copies_locate(struct arena *a, const struct cache *c,
                                 const struct cache *also /* or NULL */, struct str repo,
                                 struct str commit, struct cache_copy *files, size_t n,
                                 struct err *e);
struct cache_copies {
    bool hardlink;               /* share files, and so later edits, with the cache */
    bool (*progress)(void *ctx, uint64_t done_bytes);   /* false = stop; or NULL */
    void *ctx;
    uint64_t total_bytes, done_bytes;
    size_t n_reflinked, n_copied, n_linked;
    size_t next;                 /* the first file that is not there yet; 0 at the beginning */
    bool room_seen, late_sync;   /* private */
};
/* Writes the files from job->next on below dir (made when absent; the files must not exist) and
 * syncs all. Each `from` is set. Bytes are hashed: ERR_INTEGRITY when the cache's for
 * files[job->next] are wrong. After a failure dir holds those before job->next; a later call goes
 * on. */
MLXK_FN bool cache_copies_make(const char *dir_cstr, const struct cache_copy *files, size_t n,
                               struct cache_copies *job, struct err *e);
/* ---- removing (cache_locks.c, cache_remove.c) ------------------------------------------------ */

/* All lock files of exactly this repo, relative to the root, sorted.
 * n_held: locked by another process right now (flock tried). n_open: held, or without a finished
 * blob of that name, so that a download may want to go on. */
struct cache_locks { struct str *files; size_t n, n_held, n_open; };
MLXK_FN bool cache_locks_read(struct arena *a, const struct cache *c, struct str repo,
                              struct cache_locks *out, struct err *e);
struct cache_removal { size_t n_lock_files; uint64_t freed_bytes; };
/* Whole repo (commit empty) with its locks folder, or one snapshot with the blobs and refs only it
 * uses, its tree and .no_exist; the last snapshot takes the repo with it. */
MLXK_FN bool cache_remove(struct arena *a, const struct cache *c, struct str repo,
                          struct str commit, struct cache_removal *out, struct err *e);
/* Finishes what killed removals in this repo left; *found: there was something. What has been
 * fetched again since stays. asked: by somebody who knows that a snapshot was to go; else one that
 * has not left its place yet stays, too. */
MLXK_FN bool cache_remove_rest(struct arena *a, const struct cache *c, struct str repo, bool asked,
                               bool *found, struct cache_removal *out, struct err *e);

/* ---- payloads shared between repos (cache_shared.c): hub facts 1.12 -------------------------- */

/* <root>/blobs is a store of other clients: it has their marker. */
MLXK_FN bool cache_shared_is_store(const struct cache *c);
/* target: what a link in <repo>/blobs says. true: it speaks of a payload of the store, whose path
 * is put into out; whether it is there is another question. */
MLXK_FN bool cache_shared_payload(const struct cache *c, struct str target, char out[LIMIT_PATH]);
/* Under the payload's lock: drops manifest lines whose links are gone, and with the last one
 * payload and manifest. Nothing happens without marker or without a readable manifest. err:
 * ERR_LOCKED, IO. */
MLXK_FN bool cache_shared_sweep(const struct cache *c, const char *payload_cstr,
                                uint64_t *freed_bytes /* added to */, struct err *e);

#endif
