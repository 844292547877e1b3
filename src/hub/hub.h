/* hub.h: the Hugging Face hub protocol, fetching into the cache (level 3).
 *
 * Endpoint and token from the environment and files, repository information, file list, and the pull of a whole
 * snapshot: verified, resumed, in the order blobs -> links -> tree -> ref. ref: hub facts 1-3.
 */
#ifndef MLXK_HUB_H
#define MLXK_HUB_H

#include "base/base.h"
#include "platform/platform.h"
#include "json/json.h"
#include "net/net.h"
#include "cache/cache.h"

struct hub {
    struct http_client *client;
    struct str endpoint;         /* HF_ENDPOINT or the default, no trailing '/' */
    struct str token;            /* or empty */
    const char *token_from_cstr; /* "HF_TOKEN", the token file's path, or "none": for messages; never the token itself */
    bool offline;                /* HF_HUB_OFFLINE */
};
MLXK_FN bool hub_open(struct arena *a, const struct http_options *o, struct hub *out, struct err *e);
MLXK_FN void hub_close(struct hub *h);

struct hub_file { struct str path; uint64_t size_bytes; struct str etag; /* blob name: sha256 (LFS) or git sha1 */ struct str git_oid; bool lfs; struct str xet_hash; };
struct hub_repo { struct str name, commit; struct hub_file *files; size_t n_files; bool gated, private_; };
/* Commit of a revision (empty = default branch) and all files of it, every page. */
MLXK_FN bool hub_repo_info(struct arena *a, struct hub *h, struct str repo, struct str revision, struct hub_repo *out, struct err *e);

enum hub_event_kind { HUB_PLAN, HUB_FILE_START, HUB_BYTES, HUB_FILE_DONE, HUB_RETRY };
struct hub_event { enum hub_event_kind kind; struct str path; uint64_t done_bytes, total_bytes; size_t done_files, total_files; const char *note_cstr; };
struct hub_pull_options {
    struct str repo, revision;
    const struct str *include, *exclude; size_t n_include, n_exclude;   /* globs, hub facts 3.8 */
    bool redownload;             /* fetch again what is there */
    bool (*event)(void *ctx, const struct hub_event *ev); void *ctx;     /* false = stop (ERR_INTERRUPTED) */
};
struct hub_pull_result { struct str commit; char *snapshot_cstr; size_t n_files, n_fetched; uint64_t fetched_bytes, resumed_bytes; bool filtered; };
MLXK_FN bool hub_pull(struct arena *a, struct hub *h, const struct cache *c, const struct hub_pull_options *o, struct hub_pull_result *out, struct err *e);

#endif
