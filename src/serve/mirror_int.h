/* mirror_int.h: what the files of the mirror share. */
#ifndef MLXK_MIRROR_INT_H
#define MLXK_MIRROR_INT_H

#include "serve/serve.h"

#include <stdatomic.h>

/* ---- routes (mirror_route.c): pure ----------------------------------------------------------- */

enum mirror_kind {
    MIRROR_UNKNOWN, MIRROR_ROOT, MIRROR_HEALTH, MIRROR_READY, MIRROR_METRICS, MIRROR_WHOAMI,
    MIRROR_LIST, MIRROR_INFO, MIRROR_TREE, MIRROR_PATHS, MIRROR_REFS, MIRROR_COMMITS, MIRROR_AUTH,
    MIRROR_RESOLVE, MIRROR_N_KINDS
};
enum mirror_type {
    MIRROR_MODELS = CACHE_MODEL, MIRROR_DATASETS = CACHE_DATASET, MIRROR_SPACES = CACHE_SPACE,
    MIRROR_N_TYPES
};
struct mirror_route {
    enum mirror_kind kind;
    enum mirror_type type;
    struct str repo, revision, path;     /* decoded, not checked; revision empty = none named */
    struct str name;             /* repo as the rest of the program calls it (cache_kind_join) */
    bool hurried;                /* nothing that waits for upstream */
};
/* Takes a raw path apart: split first, decoded after. false: no route, or not decodable.
 * mem: in a. */
MLXK_FN bool mirror_route_parse(struct arena *a, struct str path, struct mirror_route *out);
MLXK_FN const char *mirror_kind_name(enum mirror_kind kind);
/* Value of a key in a query or form, decoded; p NULL = absent. mem: in a. */
MLXK_FN struct str mirror_query(struct arena *a, struct str query, const char *key_cstr);
/* As the hub reads them: 1, true, True. */
MLXK_FN bool mirror_query_true(struct arena *a, struct str query, const char *key_cstr);

/* ---- file lists (mirror_list.c) -------------------------------------------------------------- */

struct mirror_file {
    struct str path;
    uint64_t size_bytes;
    struct str etag;             /* name of its blob: sha256 (lfs) or git sha1 */
    struct str git_oid;          /* of the content, or of the pointer text of an LFS file */
    bool lfs;
};
/* All files of a commit, by path. Immutable; shared by reference. */
struct mirror_list {
    struct arena arena;
    struct str key;              /* repo folder and commit */
    char commit[41];
    struct mirror_file *files; size_t n;
    struct map by_path;          /* path -> index */
    int64_t mtime_ns;            /* of what it was made from */
    uint64_t stamp;
    bool computed;               /* from a snapshot, not from the tree file */
    struct cache_tree_file *told;        /* as upstream told it, n of them; or NULL */
    int64_t read_ns;
    int n_users;                 /* guarded by the lists' mutex */
    uint64_t used;
};


struct mirror;
/* Commit that a revision names in the cache: a ref, a commit, the unique beginning of one; empty =
 * none. mem: in a. */
MLXK_FN struct str mirror_local_commit(struct arena *a, const char *dir_cstr, struct str revision);
/* The files of a commit: from its tree file; with `partial` else from its snapshot. NULL without an
 * error: not known. To be given back. */
MLXK_FN struct mirror_list *mirror_list_get(struct mirror *m, const char *dir_cstr,
                                            struct str commit, bool partial, struct err *e);
MLXK_FN void mirror_list_give(struct mirror *m, struct mirror_list *l /* or NULL */);
/* Keeps the list that upstream told: a tree file may be written only when its commit has a
 * snapshot. */
MLXK_FN bool mirror_list_tell(struct mirror *m, const char *dir_cstr, const struct hub_repo *answer,
                              struct err *e);
MLXK_FN const struct mirror_file *mirror_list_find(const struct mirror_list *l, struct str path);
/* First file below folder (empty = all): [*from, *to) are all of them, by path. */
MLXK_FN void mirror_list_below(const struct mirror_list *l, struct str folder, size_t *from,
                               size_t *to);

/* ---- state ----------------------------------------------------------------------------------- */

enum { MIRROR_LISTS = 64, MIRROR_CODES = 25 };
struct mirror_counters {
    atomic_ullong requests[MIRROR_N_KINDS][MIRROR_CODES];
    atomic_ullong nanoseconds[MIRROR_N_KINDS];
    atomic_ullong sent_bytes, key_failures, host_failures, rate_limited, refused, cut;
    atomic_ullong cache_hits, cache_misses, cache_joined;
    atomic_ullong upstream_questions, upstream_failures, upstream_files, upstream_bytes;
};
/* ---- upstream (mirror_upstream.c, mirror_fetch.c) -------------------------------------------- */

enum { MIRROR_KNOWN = 256, MIRROR_FLIGHTS = 256, MIRROR_FETCHERS = 8 };
enum mirror_knowledge { MIRROR_NOTHING, MIRROR_ASKING, MIRROR_KNOWS, MIRROR_FAILED };
struct mirror_known {
    enum mirror_knowledge state;
    char key[400];               /* REPO@REVISION */
    char commit[41];
    int64_t asked_ns;
    struct err why;
};
enum mirror_flight_state {
    MIRROR_NONE, MIRROR_QUEUED, MIRROR_RUNNING, MIRROR_LANDED, MIRROR_CRASHED
};
/* A file on its way into the cache. */
struct mirror_flight {
    enum mirror_flight_state state;
    struct arena arena;
    struct str repo, commit;
    struct hub_file file;
    uint64_t number, have_bytes, told_bytes;
    unsigned generation;         /* rises when all that came was thrown away */
    char *partial_cstr;          /* where it grows; NULL: nothing yet */
    int n_users;                 /* readers */
    struct err why;
};
struct mirror_view {             /* of a flight, at one moment */
    enum mirror_flight_state state;
    uint64_t have_bytes;
    unsigned generation;
    const char *partial_cstr;
    enum err_code code;
};
enum { MIRROR_KNOWN_REFS = 32 };
struct mirror_known_refs {       /* of one repository, as upstream lists them */
    enum mirror_knowledge state;
    char repo[256];
    int64_t asked_ns;
    struct arena arena;
    struct hub_ref *list; size_t n;
};
struct mirror_upstream {
    struct arena arena;
    struct hub hub;              /* copied by every thread that asks */
    struct os_mutex mutex;       /* guards all below */
    struct mirror_known_refs refs[MIRROR_KNOWN_REFS];
    struct os_cond change, wanted;       /* something is known or has arrived; a flight is queued */
    struct mirror_known known[MIRROR_KNOWN];
    struct mirror_flight flights[MIRROR_FLIGHTS];
    struct os_thread *threads[MIRROR_FETCHERS];
    uint64_t n_flights;
    bool ending;
};
struct mirror;
MLXK_FN bool mirror_upstream_open(struct mirror *m, struct err *e);
MLXK_FN void mirror_upstream_close(struct mirror *m);
/* Commit of a revision as upstream knows it, with its file list at hand. err: those of
 * hub_repo_info. */
MLXK_FN bool mirror_upstream_commit(struct mirror *m, const char *dir_cstr, struct str repo,
                                    struct str revision, char commit[41], struct err *e);
/* Writes refs of this commit that upstream told of. c: the mirror's, or a guarded one. */
MLXK_FN void mirror_upstream_refs(struct mirror *m, const struct cache *c, struct str repo,
                                  struct str commit);
MLXK_FN bool mirror_fetch_start(struct mirror *m, struct err *e);
MLXK_FN void mirror_fetch_stop(struct mirror *m);
/* Links and refs for a blob that is there. */
MLXK_FN void mirror_fetch_show(struct mirror *m, struct str repo, struct str commit,
                               struct str etag);
/* The flight of that blob, begun or joined; NULL = too many. To be left again. */
MLXK_FN struct mirror_flight *mirror_fetch_join(struct mirror *m, struct str repo,
                                                struct str commit, const struct mirror_file *file);
MLXK_FN void mirror_fetch_leave(struct mirror *m, struct mirror_flight *f);
/* Waits until bytes from `from` on can be sent, or all is over. false: the client has gone. */
MLXK_FN bool mirror_fetch_ready(struct mirror *m, struct httpd_exchange *x,
                                struct mirror_flight *f, uint64_t from, struct mirror_view *v);
/* Sends [from, to) of a file that grows behind fd. */
MLXK_FN bool mirror_fetch_stream(struct mirror *m, struct httpd_exchange *x,
                                 struct mirror_flight *f, int fd, uint64_t from, uint64_t to,
                                 struct mirror_view v, struct err *e);

struct mirror {
    struct mirror_options o;
    struct cache cache;
    struct httpd *server;
    struct serve_guard *guard;
    struct mirror_upstream *upstream;    /* NULL without pull-through */
    struct os_mutex mutex;               /* guards lists */
    struct mirror_list *lists[MIRROR_LISTS];
    uint64_t clock;
    struct mirror_counters counters;
    atomic_ullong n_requests;
    uint64_t id_base;
    int64_t started_ns;
};

/* Why a request is refused, in the hub's terms. */
struct mirror_fault {
    int status;
    const char *code_cstr;       /* X-Error-Code */
    struct str commit;           /* or empty */
    int retry_after_s;           /* 0 = none */
    char message[600];
};
MLXK_FN bool mirror_refuse(struct mirror_fault *f, int status, const char *code_cstr,
                           const char *format_cstr, ...) MLXK_PRINTF(4, 5);
/* All threads have work, and this would take time: come again. Returns false. */
MLXK_FN bool mirror_busy(struct mirror_fault *f);
MLXK_FN void mirror_answer_fault(struct httpd_exchange *x, const struct mirror_fault *f);
/* What a request is about. list is given back with mirror_list_give. */
struct mirror_subject {
    const struct mirror_route *route;
    char *dir_cstr;
    struct mirror_list *list;
    int64_t time_ns;             /* of the snapshot, or of its list */
};
/* May this repo be seen, and which commit and files are meant? Upstream is not asked for a list of
 * repositories. */
MLXK_FN bool mirror_find(struct mirror *m, struct arena *a, const struct mirror_route *r,
                         struct mirror_subject *out, struct mirror_fault *f);
/* name: with its kind. */
MLXK_FN bool mirror_allowed(const struct mirror *m, struct str name);

/* ---- documents, written while they are made (mirror_api.c) ----------------------------------- */

struct mirror_doc {
    struct httpd_exchange *x;
    struct buf text;
    struct json_writer w;
    struct err e;
    bool begun;
};
MLXK_FN struct json_writer *mirror_doc_open(struct mirror_doc *d, struct httpd_exchange *x,
                                            const char *commit_cstr /* or NULL */);
/* Between two values: sends what has gathered. */
MLXK_FN void mirror_doc_flush(struct mirror_doc *d);
MLXK_FN void mirror_doc_end(struct mirror_doc *d);

/* ---- refs (mirror_refs.c) -------------------------------------------------------------------- */

MLXK_FN void mirror_refs(struct mirror *m, struct httpd_exchange *x,
                         const struct mirror_subject *s);
/* For a repository whose main branch is not here (f says so): true when others are, and answered.*/
MLXK_FN bool mirror_refs_alone(struct mirror *m, struct httpd_exchange *x,
                               const struct mirror_route *r, const struct mirror_fault *f);

/* ---- answers --------------------------------------------------------------------------------- */

MLXK_FN void mirror_api(struct mirror *m, struct httpd_exchange *x, const struct mirror_route *r);
MLXK_FN void mirror_resolve(struct mirror *m, struct httpd_exchange *x,
                            const struct mirror_route *r);
/* Repositories of a type that may be seen, as names with their kind, sorted. */
MLXK_FN bool mirror_repos(struct mirror *m, struct arena *a, enum mirror_type type,
                          struct str **out, size_t *n_out, struct err *e);
MLXK_FN void mirror_metrics(struct mirror *m, struct httpd_exchange *x);
MLXK_FN void mirror_metrics_count(struct mirror *m, const struct httpd_exchange *x,
                                  enum mirror_kind kind);

#endif
