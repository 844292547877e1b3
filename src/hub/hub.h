/* hub.h: the Hugging Face hub protocol, fetching into the cache (level 3).
 *
 * Endpoint and token from the environment and files, repository information, file list, and the
 * pull of a whole snapshot: verified, resumed, in the order blobs -> links -> tree -> ref.
 * Promises:
 *  1. nothing is written before the hub has answered, the commit is known and access is granted;
 *  2. after the first answer every request names the commit: a branch that moves meanwhile cannot
 *     mix two versions;
 *  3. names of blobs come from the file list of the commit (sha256 or git sha1), never from the
 *     answer that brings the bytes, and bytes that have another hash are not kept;
 *  4. the token goes to the endpoint's origin only, and into no message.
 * ref    hub facts 1-3.
 */
#ifndef MLXK_HUB_H
#define MLXK_HUB_H

#include "base/base.h"
#include "platform/platform.h"
#include "json/json.h"
#include "format/format.h"
#include "net/net.h"
#include "cache/cache.h"

enum hub_event_kind {
    HUB_PLAN,                    /* totals are known; done: what is in the cache already */
    HUB_FILE_START, HUB_BYTES, HUB_FILE_DONE,
    HUB_NOTE,                    /* note: something a person may want to know (a retry, a wait) */
};
struct hub_event {
    enum hub_event_kind kind;
    struct str path;             /* of the file in hand, or empty */
    uint64_t done_bytes, total_bytes;
    size_t done_files, total_files;
    const char *note_cstr;
    int64_t wait_ms;             /* of a note: for so long nothing will happen */
};
/* false = stop (ERR_INTERRUPTED). */
typedef bool (*hub_event_fn)(void *ctx, const struct hub_event *ev);

enum { HUB_MAX_ENDPOINTS = 8 };
struct hub_endpoint {
    struct str text;             /* no trailing '/' */
    struct net_url origin;       /* the same, taken apart */
    bool owns_token;             /* the token may go there, and to no other of the list */
};
struct hub {
    struct http_client *client;
    struct hub_endpoint endpoints[HUB_MAX_ENDPOINTS]; size_t n_endpoints;   /* HF_ENDPOINT: asked in
                                  * this order where one fails */
    size_t at;                   /* the one in use: of it, */
    struct str endpoint;         /* its address, */
    struct net_url origin;
    struct str token;            /* and the token for it, or empty */
    struct str secret;           /* the token as it was found */
    const char *token_from_cstr; /* "HF_TOKEN", the token file's path, or "none": for messages */
    bool offline;                /* HF_HUB_OFFLINE */
    bool xet;                    /* hub_pull asks for files by Xet first (experimental): MLXK_XET
                                  * without HF_HUB_DISABLE_XET */
    int attempts;                /* per question, and per file as long as nothing comes; 5 */
    int first_attempts; /* of the first question, which tells whether the hub is there; 5 */
    hub_event_fn event; void *ctx;   /* or NULL; notes of hub_repo_info; hub_pull sets its own */
};
/* Reads HF_ENDPOINT (one address or several, by commas or spaces; the token belongs to
 * huggingface.co when that is among several, else to the first), HF_TOKEN and its older names,
 * HF_TOKEN_PATH, HF_HOME/token, HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE, MLXK_XET, HF_HUB_DISABLE_XET,
 * HF_HUB_DISABLE_IMPLICIT_TOKEN, HF_HUB_DOWNLOAD_TIMEOUT (seconds without a connection or a byte,
 * where o gives none). mem: in a. err: ERR_INVALID for an unusable endpoint or token. */
MLXK_FN bool hub_open(struct arena *a, const struct http_options *o, struct hub *out,
                      struct err *e);
MLXK_FN void hub_close(struct hub *h);
/* Another list of endpoints, as HF_ENDPOINT would have it; the token belongs to the first of them.
 * mem: in a. err: ERR_INVALID, ERR_LIMIT. */
MLXK_FN bool hub_point(struct arena *a, struct hub *h, struct str endpoints, struct err *e);
/* Asks without a token from now on. */
MLXK_FN void hub_forget_token(struct hub *h);

/* Printable ASCII without spaces, of bounded length; empty is fine. err: ERR_INVALID, which names
 * only where the token came from. */
MLXK_FN bool hub_token_ok(struct str token, const char *from_cstr, struct err *e);

/* Whose token h holds. err: ERR_ACCESS (the hub does not accept it, or there is none). */
struct hub_account {
    struct str name, fullname, type;             /* "user", "org"; fullname may be empty */
    struct str token_name, token_role;           /* as shown in the hub's settings; may be empty */
    struct str *orgs; size_t n_orgs;
};
MLXK_FN bool hub_whoami(struct arena *a, struct hub *h, struct hub_account *out, struct err *e);

/* ---- tokens kept on this machine (hub_tokens.c): as the hub's other clients keep them, hub facts
 * 2 */

/* more: lines of the section that are not ours */
struct hub_token { struct str name, token, more; };
struct hub_tokens {
    const char *path_cstr;       /* file of the token in use */
    const char *stored_cstr;     /* "stored_tokens" beside it: all of them by name */
    struct str active;           /* content of the first, or empty */
    struct hub_token *all; size_t n;
};
/* Files that do not exist are empty ones. mem: in a. err: ERR_FORMAT, IO. */
MLXK_FN bool hub_tokens_read(struct arena *a, struct hub_tokens *out, struct err *e);
/* The name under which a token is kept that the hub calls so: what no name may hold is '-' in it;
 * "default" where nothing is left, or a token stands there. mem: in a. */
MLXK_FN struct str hub_tokens_name(struct arena *a, struct str said);
/* Keeps a token under a name (1..96 of letters, digits, ._- and space; an older one of that name is
 * replaced) and puts it into use. Both files readable by their owner only. */
MLXK_FN bool hub_tokens_keep(struct arena *a, struct str name, struct str token, struct err *e);
/* Puts a kept token into use. ERR_NOT_FOUND names those there are. */
MLXK_FN bool hub_tokens_use(struct arena *a, struct str name, struct err *e);
/* Forgets the token of that name, or all (name empty); the one in use goes out of use with it. */
MLXK_FN bool hub_tokens_drop(struct arena *a, struct str name, struct err *e);

struct hub_file {
    struct str path;
    uint64_t size_bytes;
    struct str etag;             /* blob name: sha256 (LFS) or git sha1 */
    struct str git_oid;          /* git sha1; for LFS of the pointer text */
    bool lfs;
    struct str xet_hash;         /* 64 hex digits, or empty */
};
struct hub_repo {
    struct str name, commit;
    struct hub_file *files; size_t n_files;
    bool gated, is_private;
};
/* Commit of a revision (empty = main) and all files of it, every page.
 * err: ERR_ACCESS (no such repository, private, gated), ERR_NOT_FOUND (no such revision),
 * ERR_FORMAT (this is no hub), ERR_LIMIT, ERR_RATE_LIMIT, ERR_HTTP, and those of http_send. */
MLXK_FN bool hub_repo_info(struct arena *a, struct hub *h, struct str repo, struct str revision,
                           struct hub_repo *out, struct err *e);

enum hub_ref_kind { HUB_BRANCH, HUB_CONVERT, HUB_TAG, HUB_REQUEST, HUB_REF_KINDS };
struct hub_ref { enum hub_ref_kind kind; struct str name, ref, commit; };    /* "v1",
                                  * "refs/tags/v1", 40 hex digits */
/* Branches, tags, converts and pull requests of a repository, as the hub lists them; entries that
 * cannot be used are left out. err: those of hub_repo_info. mem: in a. */
MLXK_FN bool hub_refs(struct arena *a, struct hub *h, struct str repo, struct hub_ref **out,
                      size_t *n, struct err *e);

/* What a lock file says of one repository (hub_lock.c). */
struct hub_lock {
    struct str repo, revision, commit;
    struct str digest;           /* of the manifest, where it came from a registry; or empty */
    struct hub_file *files; size_t n_files;
};
/* The entry of repo; revision empty = any. err: ERR_NOT_FOUND, ERR_FORMAT. mem: in a. */
MLXK_FN bool hub_lock_read(struct arena *a, const char *path_cstr, struct str repo,
                           struct hub_lock *out, struct err *e);
/* All entries. mem: in a. */
MLXK_FN bool hub_lock_list(struct arena *a, const char *path_cstr, struct hub_lock **out, size_t *n,
                           struct err *e);
/* Puts the entry in its place in the file (made when absent): sorted, the same bytes for the same
 * content; other entries stay. */
MLXK_FN bool hub_lock_write(const char *path_cstr, const struct hub_lock *entry, struct err *e);

/* Which files are wanted (hub_filter.c): pure. */
/* Patterns made ready: '\' -> '/', "dir/" -> "dir/ *" (without the space). */
MLXK_FN bool hub_filter_prepare(struct arena *a, const struct str *patterns, size_t n,
                                struct str **out, struct err *e);
/* Any include fits (or there is none) and no exclude does. Patterns prepared. */
MLXK_FN bool hub_filter_keeps(const struct str *include, size_t n_include,
                              const struct str *exclude, size_t n_exclude, struct str path);

struct hub_pull_options {
    struct str repo, revision;   /* revision empty = main */
    const struct str *include, *exclude; size_t n_include, n_exclude;   /* globs, hub facts 3.8 */
    bool redownload;             /* fetch again what is there */
    bool dry_run;                /* only look: out->planned */
    int max_streams;             /* at once; 0 = as many as pay, eight at most */
    uint64_t keep_free_bytes;    /* of the disk, when all is fetched */
    const struct hub_lock *frozen;   /* exactly these files of exactly this commit; or NULL */
    hub_event_fn event; void *ctx;
};
struct hub_planned {
    const struct hub_file *file;
    uint64_t have_bytes;         /* in the cache, of an unfinished download too */
    bool there, linked;          /* its blob is whole; its snapshot shows it */
};
struct hub_pull_result {
    struct str commit;           /* empty = the hub has not answered */
    char *snapshot_cstr;
    size_t n_files, n_fetched, n_linked;     /* wanted; fetched; newly linked */
    uint64_t fetched_bytes, resumed_bytes;
    uint64_t total_bytes, need_bytes;     /* of all wanted blobs; still to come before it began */
    const struct hub_planned *planned; size_t n_planned;     /* all wanted files, by path */
    bool filtered;               /* include or exclude left something out */
};
/* out is filled as far as it went, also on failure. n_fetched and n_linked 0: all was there.
 * err: those of hub_repo_info; ERR_INTEGRITY, ERR_DISK_FULL, ERR_READ_ONLY, ERR_IO,
 * ERR_INTERRUPTED (what arrived is kept). */
MLXK_FN bool hub_pull(struct arena *a, struct hub *h, const struct cache *c,
                      const struct hub_pull_options *o, struct hub_pull_result *out, struct err *e);
struct hub_push_options {
    const char *dir_cstr;
    struct str repo, branch, message;    /* branch empty = main */
    bool create;                 /* make repository or branch where missing */
    bool allow_public;           /* else a public repository is refused */
    bool dry_run;                /* compare only */
    hub_event_fn event; void *ctx;       /* HUB_PLAN begins a new count: of hashing, of sending */
};
/* Where it ended, for the kind of error. */
enum hub_push_stage {
    HUB_PUSH_READ, HUB_PUSH_ASK, HUB_PUSH_MISSING, HUB_PUSH_PUBLIC, HUB_PUSH_BRANCH, HUB_PUSH_SEND
};
struct hub_push_result {
    enum hub_push_stage stage;
    struct str endpoint;         /* that was asked: the one that the token belongs to */
    struct str commit, commit_url;       /* empty = none was made */
    bool created_repo, repo_missing, branch_missing, is_public, no_changes;
    size_t n_local;              /* files in the folder, ignored ones, too */
    size_t n_added, n_modified, n_deleted;       /* deleted: only at the hub; they stay there */
    const struct str *added, *deleted;           /* names, sorted */
    uint64_t uploaded_bytes;
    size_t n_stored;             /* objects that the storage had already */
};
/* Uploads what differs from the branch, by hash, as one commit, and compares what the hub then has
 * with the folder. Nothing is deleted there. A push that was interrupted goes on where it was: what
 * the storage holds is not sent again.
 * err: ERR_ACCESS, ERR_NOT_FOUND, ERR_EXISTS (the branch has moved), ERR_INTEGRITY, those of
 * hub_repo_info, IO. */
MLXK_FN bool hub_push(struct arena *a, struct hub *any, const struct hub_push_options *o,
                      struct hub_push_result *out, struct err *e);

/* One file into blobs/, front to back, for somebody who passes the bytes on while they come
 * (hub_fetch.c). progress: that many bytes are in place in the file at partial_cstr; falls when
 * they were thrown away; false = stop (what arrived is kept). While another process fetches the
 * same blob, what that one has is told, and nothing is asked for. A finished blob that is there
 * already is success without a call. err: ERR_INTEGRITY (nothing is kept), those of hub_pull.
 * thread: h is the caller's own copy. */
struct hub_fetch {
    const struct cache *cache;
    struct str repo, commit;
    const struct hub_file *file;
    bool (*progress)(void *ctx, const char *partial_cstr, uint64_t have_bytes);
    void *ctx;
};
MLXK_FN bool hub_fetch(struct hub *h, const struct hub_fetch *f, struct err *e);
/* The cache's own file list of the commit is there, and so is every file of it. Asks nobody. */
MLXK_FN bool hub_is_complete(struct arena *a, const struct cache *c, struct str repo,
                             struct str commit);

/* ---- bundles (hub_manifest.c, hub_bundle.c, hub_unbundle.c, hub_volumes.c): hub facts 7 --------
 *
 * One or many repos as a plain tar: a manifest in .locks/ (where every hub tool overlooks it), then
 * of each repo blobs, links, trees, .no_exist and refs, with the names that they have in the cache.
 * Unpacked by hand into an empty hub folder it is a working cache. */

struct hub_bundle_blob {
    struct str etag, sha256;     /* sha256: of names that promise no hash, else empty */
    uint64_t size_bytes;
    const char *source_cstr;     /* where its bytes are read; NULL in what was parsed */
    bool in_base;                /* left out: the base bundle brought it */
    size_t twin_repo;     /* SIZE_MAX, or the repo before this one that has the same content */
};
struct hub_bundle_file { struct str path, etag; };
struct hub_bundle_commit {
    struct str commit, tree;     /* tree: text of trees/<commit>.json, empty when there is none */
    bool has_tree;               /* announced: its text comes later */
    struct str tree_sha256;      /* announced; empty: by a version that did not */
    struct str proof;            /* by which a policy judged it (cache_proof_read), or empty */
    struct hub_bundle_file *files; size_t n_files;
    struct str *no_exist; size_t n_no_exist;
    bool complete;               /* every file of the tree is here */
};
struct hub_bundle_ref { struct str revision, commit; };
struct hub_bundle_repo {
    struct str name;
    struct hub_bundle_commit *commits; size_t n_commits;
    struct hub_bundle_blob *blobs; size_t n_blobs;   /* sorted by name */
    struct hub_bundle_ref *refs; size_t n_refs;
};
struct hub_bundle {
    struct str tool, endpoint, content_sha256, base_sha256;   /* base empty: none */
    int64_t created_s;           /* since 1970; of a bundle to be written */
    struct hub_bundle_repo *repos; size_t n_repos;
    uint64_t payload_bytes;      /* of the blobs inside */
    size_t n_blobs;              /* inside */
};

/* What a bundle of these snapshots holds, all refs to them included. base (or NULL): blobs it names
 * are left out. Opaque blobs are hashed here, all others when they are written.
 * err: ERR_NOT_FOUND (a link leads nowhere, a model without snapshot), ERR_INVALID, IO. */
MLXK_FN bool hub_bundle_plan(struct arena *a, const struct cache *c,
                             const struct cache_model *models, size_t n,
                             const struct hub_bundle *base, struct hub_bundle *out, struct err *e);
MLXK_FN bool hub_bundle_manifest(struct arena *a, const struct hub_bundle *b, struct str *text,
                                 struct err *e);
/* Checks every name, size and hash, and the hash of the whole. err: ERR_FORMAT, ERR_LIMIT,
 * ERR_UNSUPPORTED (a later version). */
MLXK_FN bool hub_bundle_parse(struct arena *a, struct str text, struct hub_bundle *out,
                              struct err *e);

typedef bool (*hub_write_fn)(void *ctx, const void *p, size_t n, struct err *e);
/* done: payload bytes. false = stop. */
typedef bool (*hub_progress_fn)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
/* The archive, each blob hashed on its way: ERR_INTEGRITY names one that is not what its name says,
 * and the archive has no end then. */
MLXK_FN bool hub_bundle_write(struct arena *a, const struct hub_bundle *b, hub_write_fn write,
                              void *ctx, hub_progress_fn progress, void *progress_ctx,
                              struct err *e);

struct hub_unbundle_result {
    struct hub_bundle bundle;
    size_t n_new, n_present, n_linked;           /* blobs; files newly linked */
    uint64_t new_bytes;
};
/* An archive into the cache: nothing that the manifest does not announce is accepted, links of the
 * archive are never followed, and blobs -> links -> trees -> refs; refs last, after all blobs are
 * there (those of the base too). ref: also write this revision (empty = none).
 * err: ERR_INTEGRITY, ERR_FORMAT, ERR_INVALID, ERR_NOT_FOUND (the base is missing), IO. */
MLXK_FN bool hub_unbundle(struct arena *a, const struct cache *c, tar_read_fn read, void *ctx,
                          struct str ref, hub_progress_fn progress, void *progress_ctx,
                          struct hub_unbundle_result *out, struct err *e);
/* The same from a folder into which such an archive was unpacked by hand. */
MLXK_FN bool hub_unbundle_folder(struct arena *a, const struct cache *c, const char *dir_cstr,
                                 struct str ref, hub_progress_fn progress, void *progress_ctx,
                                 struct hub_unbundle_result *out, struct err *e);
/* Text of the manifest in a bundle (file, first volume or folder) or of a manifest file itself. */
MLXK_FN bool hub_bundle_find(struct arena *a, const char *path_cstr, struct str *text,
                             struct err *e);
/* Does a bundle lie there? File that begins like a tar archive, folder with a manifest. */
MLXK_FN bool hub_bundle_is(struct arena *a, const char *path_cstr);

/* A stream cut into FILE.001, FILE.002 ... with their hashes in FILE.sha256; FILE alone without a
 * size; standard output for "-". Each file appears under its name when it is whole. */
struct hub_volumes {
    struct arena *arena;
    char path[LIMIT_PATH];
    uint64_t volume_bytes, at_bytes;
    int fd, n;
    bool standard, split;
    struct sha256 sha256;
    struct buf sums;
};
MLXK_FN bool hub_volumes_create(struct arena *a, const char *path_cstr, uint64_t volume_bytes,
                                struct hub_volumes *out, struct err *e);
MLXK_FN bool hub_volumes_write(void *volumes, const void *p, size_t n, struct err *e);
/* Finishes the last one; with ok false takes what is unfinished away. */
MLXK_FN bool hub_volumes_end(struct hub_volumes *v, bool ok, struct err *e);
/* Reading: "-", a file, or the first volume (FILE.001), after which the others are found. */
MLXK_FN bool hub_volumes_open(struct arena *a, const char *path_cstr, struct hub_volumes *out,
                              struct err *e);
MLXK_FN bool hub_volumes_read(void *volumes, void *p, size_t n, struct err *e);   /* tar_read_fn */
/* Reads what follows the end of the archive, as tar does: who writes into a pipe may have more than
 * the end. Zeros are padding; anything else is an error, ERR_FORMAT. */
MLXK_FN bool hub_volumes_rest(struct hub_volumes *v, struct err *e);
MLXK_FN void hub_volumes_close(struct hub_volumes *v);

#endif
