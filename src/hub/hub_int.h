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
/* The target of rel="next" in a Link header; p NULL = none. Borrowed. */
MLXK_FN struct str hub_parse_link(struct str value);
/* ETag or X-Linked-Etag without W/ and quotes. Borrowed. */
MLXK_FN struct str hub_parse_etag(struct str value);

/* ---- the token (hub_open.c) ------------------------------------------------------------------ */

/* Where the token in use is kept: HF_TOKEN_PATH, HF_HOME/token, ... NULL = no memory. */
MLXK_FN char *hub_token_path(struct arena *a);

/* ---- refusals (hub_error.c) ------------------------------------------------------------------ */

/* What was asked for: revision and path may be empty. */
struct hub_subject { struct str repo, revision, path; };
/* Fills e from an error answer and the first bytes of its body; returns false. */
MLXK_FN bool hub_refused(const struct hub *h, const struct hub_subject *s,
                         const struct http_response *r, struct str body, struct err *e);
/* Something that is no hub answers: e says how to see that. Returns false. */
MLXK_FN bool hub_not_a_hub(const struct http_response *r, const char *why_cstr, struct err *e);
/* true when the answer calls itself HTML. */
MLXK_FN bool hub_is_html(const struct http_response *r);

/* ---- requests (hub_api.c) -------------------------------------------------------------------- */

/* Waits before the next attempt, after a note about why. wait_ms < 0: false, e is left as it is;
 * interrupted: false, ERR_INTERRUPTED. true: e is cleared. */
MLXK_FN bool hub_wait(struct hub *h, int64_t wait_ms, struct err *e);
/* Address of a file at a commit. Empty = no memory. */
MLXK_FN struct str hub_file_url(struct arena *a, const struct hub *h, struct str repo,
                                struct str commit, struct str path);
/* Tells the listener; false (ERR_INTERRUPTED) when it wants to stop or the user does. */
MLXK_FN bool hub_tell(struct hub *h, const struct hub_event *ev, struct err *e);

/* ---- filters (hub_filter.c): pure ------------------------------------------------------------ */

/* Patterns made ready: '\' -> '/', "dir/" -> "dir/ *" (without the space). */
MLXK_FN bool hub_filter_prepare(struct arena *a, const struct str *patterns, size_t n,
                                struct str **out, struct err *e);
/* Any include fits (or there is none) and no exclude does. Patterns prepared. */
MLXK_FN bool hub_filter_keeps(const struct str *include, size_t n_include,
                              const struct str *exclude, size_t n_exclude, struct str path);

/* ---- one file (hub_download.c) --------------------------------------------------------------- */

struct hub_job {
    struct hub *hub;
    const struct cache *cache;
    struct str repo, commit;
    bool redownload;
    struct hub_event event;      /* totals, and what is done: kept up to date for the listener */
    uint64_t base_bytes;         /* done without the file in hand: whole blobs, parts of others */
    struct hub_pull_result *result;
};
/* May this file be had? Asks for its head only; writes nothing. */
MLXK_FN bool hub_download_allowed(struct hub_job *j, const struct hub_file *f, struct err *e);
/* Fetches one file into blobs/: continues a partial one, tries again while that makes sense. */
MLXK_FN bool hub_download(struct hub_job *j, const struct hub_file *f, struct err *e);

#endif
