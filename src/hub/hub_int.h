/* hub_int.h: what the files of this room share. */
#ifndef MLXK_HUB_INT_H
#define MLXK_HUB_INT_H

#include "hub/hub.h"

/* ---- answers of the API as text (hub_json.c): pure ------------------------------------------- */

#define HUB_MAX_FILES ((size_t)1000000)          /* of one commit; the largest known has 10^5 */
struct hub_files { struct hub_file *p; size_t n, cap; };

/* {"sha": ...}: commit, gated, is_private. err: ERR_FORMAT. mem: in a. */
MLXK_FN bool hub_parse_info(struct arena *a, struct str text, struct hub_repo *out, struct err *e);
/* One page of the file list, appended. Names, sizes and hashes are checked, folders left out.
 * err: ERR_FORMAT, ERR_INVALID (a name that may not be used), ERR_LIMIT. */
MLXK_FN bool hub_parse_tree(struct arena *a, struct str text, struct hub_files *out, struct err *e);
#define HUB_MAX_REFS ((size_t)10000)
struct hub_ref_list { struct hub_ref *p; size_t n, cap; };
/* {"branches": [{"name", "ref", "targetCommit"}, ...], "converts", "tags", "pullRequests"}: those
 * that may be used. err: ERR_FORMAT, ERR_LIMIT. mem: in a. */
MLXK_FN bool hub_parse_refs(struct arena *a, struct str text, struct hub_ref_list *out,
                            struct err *e);
/* The target of a relation ("next") in a Link header; p NULL = none. Borrowed. */
MLXK_FN struct str hub_parse_link(struct str value, struct str rel);
/* ETag or X-Linked-Etag without W/ and quotes. Borrowed. */
MLXK_FN struct str hub_parse_etag(struct str value);

/* ---- the token (hub_open.c) ------------------------------------------------------------------ */

/* Where the token in use is kept: HF_TOKEN_PATH, HF_HOME/token, ... NULL = no memory. */
MLXK_FN char *hub_token_path(struct arena *a);

/* A lock file's text: its entries. err: ERR_FORMAT, ERR_INVALID (a name), ERR_NO_MEMORY. mem: in
 * a. */
MLXK_FN bool hub_lock_parse(struct arena *a, struct str text, struct hub_lock **out, size_t *n,
                            struct err *e);
/* ---- bundles --------------------------------------------------------------------------------- */

#define HUB_MAX_MANIFEST ((size_t)64 << 20)      /* a hundred thousand files are 15 MB */
#define HUB_BUNDLE_PREFIX ".locks/mlxk-bundle-"  /* of the manifest's name in the archive */
enum { HUB_BUNDLE_PIECE = 1 << 18 };             /* bytes moved at once */
/* NULL = not announced. (hub_manifest.c) */
MLXK_FN const struct hub_bundle_blob *hub_bundle_blob(const struct hub_bundle_repo *r,
                                                      struct str etag);
/* A file list's paths -> their places in it; m is initialised. err: ERR_NO_MEMORY.
 * (hub_bundle.c) */
MLXK_FN bool hub_bundle_index(struct map *m, const struct cache_tree_file *files, size_t n,
                              struct err *e);
/* Does the list say the same of a file? A name that promises no hash proves nothing.
 * (hub_bundle.c) */
MLXK_FN bool hub_bundle_agrees(const struct cache_tree_file *listed, struct str etag,
                               uint64_t size_bytes);

/* ---- refusals (hub_error.c) ------------------------------------------------------------------ */

/* What was asked for: revision and path may be empty. */
struct hub_subject { struct str repo, revision, path; };
/* Fills e from an error answer and the first bytes of its body; returns false. */
MLXK_FN bool hub_refused(const struct hub *h, const struct hub_subject *s,
                         const struct http_response *r, struct str body, struct err *e);
/* The same for an answer whose body has not been read; returns false. */
MLXK_FN bool hub_refused_answer(const struct hub *h, const struct hub_subject *s,
                                struct http_response *r, struct err *e);
/* Something that is no hub answers: e says how to see that. Returns false. */
MLXK_FN bool hub_not_a_hub(const struct http_response *r, const char *why_cstr, struct err *e);
/* The whole answer, JSON where it is in order. A body whose only end is the connection's, and a
 * connection that ends without TLS's goodbye: taken when it is a whole document, for which no cut
 * can be the reason. err: those of http_read_all. */
MLXK_FN bool hub_read_json(struct http_response *r, struct buf *out, struct err *e);
/* true when the answer calls itself HTML. */
MLXK_FN bool hub_is_html(const struct http_response *r);

/* ---- requests (hub_api.c) -------------------------------------------------------------------- */

/* Waits before the next attempt, after a note about why. wait_ms < 0: false, e is left as it is;
 * interrupted: false, ERR_INTERRUPTED. true: e is cleared. */
MLXK_FN bool hub_wait(struct hub *h, int64_t wait_ms, struct err *e);
/* ENDPOINT kind REPO middle REVISION tail: "/api/models/", ..., "/tree/", ..., "?recursive=true".
 * Kind "/" is for files; of a dataset "/api/models/" becomes "/api/", as its name has its kind.
 * The revision becomes one segment, the repo stays one or two. Empty = no memory. */
MLXK_FN struct str hub_api_url(struct arena *a, const struct hub *h, const char *kind_cstr,
                               struct str repo, const char *middle_cstr, struct str revision,
                               const char *tail_cstr);
/* Address of a file at a commit. Empty = no memory. */
MLXK_FN struct str hub_file_url(struct arena *a, const struct hub *h, struct str repo,
                                struct str commit, struct str path);
/* Tells the listener; false (ERR_INTERRUPTED) when it wants to stop or the user does. */
MLXK_FN bool hub_tell(struct hub *h, const struct hub_event *ev, struct err *e);

/* ---- questions that change something (hub_call.c) ------------------------------------------- */

struct hub_call {
    const char *method_cstr;
    struct str url;
    const char *type_cstr;       /* of the body and of the answer; NULL = application/json */
    struct str body;
    /* or NULL */
    bool (*read_body)(void *ctx, uint64_t offset_bytes, void *p, size_t n, struct err *e);
    uint64_t body_bytes;
    void *body_ctx;
    bool once;                   /* not again when it may have been done: only after "slow down" */
};
struct hub_called {
    int status;                  /* 0 = no answer */
    struct str code;             /* X-Error-Code; in the arena */
    struct str body;             /* in the arena, of 2xx */
};
/* true: answered with 2xx. The token goes along when url is at the endpoint's origin. Other answers
 * fail with hub_refused's words, and out->status says which. */
MLXK_FN bool hub_call_ask(struct arena *a, struct hub *h, const struct hub_subject *s,
                          const struct hub_call *call, struct hub_called *out, struct err *e);
/* An address that the hub gave: those of the official hub are moved to the endpoint in use; what
 * leaves https is refused. ERR_FORMAT. mem: in a. */
MLXK_FN bool hub_given_url(struct arena *a, const struct hub *h, struct str given, struct str *out,
                           struct err *e);

/* ---- a folder to be pushed (hub_local.c) ----------------------------------------------------- */

enum hub_change { HUB_UNCHANGED, HUB_ADDED, HUB_MODIFIED };
struct hub_local {
    struct str path;             /* relative, with '/' */
    char *disk_cstr;
    uint64_t size_bytes, inode;
    int64_t mtime_ns;
    char sha256[65], git[41];    /* empty until hashed */
    enum hub_change change;
    bool lfs, skip;              /* as the hub wants it; skip: it does not want it at all */
};
struct hub_locals { struct hub_local *p; size_t n, n_all; };     /* n_all: ignored ones, too */
/* Files below dir that belong to the model, sorted; links to files count as files, links to folders
 * are not entered. Left out: what hub_ignores says. err: ERR_INVALID (a name the hub cannot
 * hold). */
MLXK_FN bool hub_local_list(struct arena *a, const char *dir_cstr, struct hub_locals *out,
                            struct err *e);
/* Never pushed: .git, .cache, .hf_cache, sentinels, temporaries, Python's leftovers; patterns: the
 * lines of .hfignore. */
MLXK_FN bool hub_ignores(struct str path, const struct str *patterns, size_t n);
/* Opens a file that is still what the list says. -1: ERR_IO, it has changed. */
MLXK_FN int hub_local_open(const struct hub_local *f, struct err *e);
/* Fills sha256 (with) or git (without lfs); ev: its done_bytes grow. */
MLXK_FN bool hub_local_hash(struct hub *h, struct hub_local *f, bool lfs, struct hub_event *ev,
                            struct err *e);

/* ---- objects into the storage (hub_upload.c) ------------------------------------------------- */

struct hub_upload {
    struct hub *hub;
    struct str repo, branch;
    struct hub_event event;
    uint64_t uploaded_bytes;
    size_t n_stored;             /* objects that the storage had already */
};
/* Asks how the hub wants each of these: sets lfs and skip. */
MLXK_FN bool hub_upload_modes(struct hub_upload *u, struct hub_local **files, size_t n,
                              struct err *e);
/* Brings the hashed files into the storage, in one piece or in parts, and has them verified. */
MLXK_FN bool hub_upload_objects(struct hub_upload *u, struct hub_local **files, size_t n,
                                struct err *e);

/* ---- commits (hub_commit.c) ------------------------------------------------------------------ */

/* One commit on branch with these files, on top of parent (empty = whatever is there). *status: of
 * the answer, 0 = none. out: sha and url, as far as the hub told them. */
MLXK_FN bool hub_commit_send(struct arena *a, struct hub *h, const struct hub_subject *s,
                             struct str parent, struct str message, struct hub_local **files,
                             size_t n, int *status, struct str *sha, struct str *url,
                             struct err *e);

/* ---- one answer (hub_download.c) ------------------------------------------------------------- */

struct hub_reply {
    int status;                  /* 0 = there was no answer */
    int64_t asked_ms;            /* how long the server wants to be left alone, or -1 */
    bool again;                  /* refused, but a fresh address or another question may help */
    bool no_ranges;              /* parts cannot be had there: ask for the whole */
    bool whole;                  /* a whole file came, whatever was asked for */
    uint64_t at, end;            /* where the next byte belongs, and where the answer ends */
    struct buf location; /* the storage's address of the file, empty = none was given; also of
                          * an answer that says "not now" */
};
struct hub_ask {
    const struct hub *hub;       /* of the endpoint to ask: address and token */
    struct str repo, commit;
    const struct hub_file *file;
    struct str location;         /* where the storage has it, from an earlier reply; or empty */
    uint64_t from, to;           /* bytes [from, to); to 0 = to the end; both 0 = all */
    uint8_t **chunk; size_t chunk_bytes;     /* take may exchange *chunk for another of its size */
    int gather_ms;     /* bytes that come within it go to take together; 0 = as they come */
    int hurry;         /* silence is borne for so many times half of the half, see http_request */
    /* Gets the bytes that belong at r->at, at the start of *chunk. */
    bool (*take)(void *ctx, const struct hub_reply *r, const uint8_t *p, size_t n, struct err *e);
    /* A whole file comes: may it? Or NULL. */
    bool (*whole)(void *ctx, struct err *e);
    void *ctx;
};
/* May this file be had? Asks for its head only; writes nothing. True also where there was no usable
 * answer; then *wait_ms is how long the hub wants to be left alone, or -1, and e says why. */
MLXK_FN bool hub_download_allowed(const struct hub_ask *q, int64_t *wait_ms, struct err *e);
/* Asks once. out->location is initialised by the caller and released by it; the rest is filled. */
MLXK_FN bool hub_download(const struct hub_ask *q, struct hub_reply *out, struct err *e);

/* ---- many files at once (hub_pool.c) --------------------------------------------------------- */

struct hub_job {
    struct hub *hub;
    const struct cache *cache;
    struct str repo, commit;
    bool redownload;
    int max_streams;             /* 0 = none but our own bound */
    struct hub_event event;      /* totals, and what is done: kept up to date for the listener */
    struct hub_pull_result *result;
    struct cache_room *room;     /* told of what is still to come */
    /* Other work of the caller's, a piece at a time while bytes arrive; or NULL. */
    void (*aside)(void *ctx);
    void *aside_ctx;
};
/* part_bytes[i]: of files[i], counted as done in the event already. */
MLXK_FN bool hub_pool_fetch(struct hub_job *j, const struct hub_file *const *files,
                            const uint64_t *part_bytes, size_t n, struct err *e);
/* The hub as the i-th endpoint sees it: its address, and the token if it belongs there. */
MLXK_FN struct hub hub_at(const struct hub *h, size_t i);

#endif
