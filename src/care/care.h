/* care.h: keeping the cache sound (level 4): what lies there, what is wrong with it, what can go.
 *
 * Inventory of a repo's folder, deep checks, hashing of every blob with a journal, repair through
 * the hub, physical sizes, a plan of what can be removed and its execution.
 * Promises:
 *  1. everything but care_repair, care_collect and the journal only reads, and works on read-only
 *     mounts;
 *  2. what neither the hub layout nor this program made is named and left where it is;
 *  3. a blob with wrong content never gets back a name that other tools take for good;
 *  4. the order of every removal is such that a kill leaves links that lead somewhere: refs, links,
 *     trees, then blobs.
 * Paths are absolute. Names from the disk may hold any character: whoever prints them cleans them.
 * ref    hub facts 1.1-1.14; docs/protocols/care.md
 */
#ifndef MLXK_CARE_H
#define MLXK_CARE_H

#include "base/base.h"
#include "platform/platform.h"
#include "json/json.h"
#include "format/format.h"
#include "cache/cache.h"
#include "hub/hub.h"

/* ---- findings (care_findings.c) -------------------------------------------------------------- */

enum care_severity { CARE_NOTE, CARE_WARNING, CARE_ERROR };
struct care_finding {
    enum care_severity severity;
    const char *code_cstr;       /* "hash_mismatch", ... */
    struct str repo;             /* as lists name it; a path for workspaces */
    struct str path;             /* absolute; NUL-terminated */
    struct str message;
    struct str fix;              /* what to do, or empty */
    struct str expected, found;  /* hashes, or empty */
    struct str mended;           /* what care_repair did, or empty */
    struct str commit, file;     /* a snapshot's file that this is about, or empty */
    bool repaired, unlinked;     /* unlinked: no snapshot needs the file */
};
struct care_findings {
    struct arena *arena;         /* all texts live here */
    struct care_finding *list;
    size_t n, cap;
    bool failed;                 /* out of memory: some are missing */
};
MLXK_FN void care_findings_init(struct care_findings *f, struct arena *a);
/* A new finding with copies of these texts; message formatted. NULL = out of memory (f->failed). */
MLXK_FN struct care_finding *care_found(struct care_findings *f, enum care_severity severity,
                                        const char *code_cstr, struct str repo, struct str path,
                                        const char *format_cstr, ...) MLXK_PRINTF(6, 7);
/* Errors that were not repaired. */
MLXK_FN size_t care_findings_errors(const struct care_findings *f);
MLXK_FN const char *care_severity_name(enum care_severity s);

/* ---- times as people write them (care_when.c): pure ------------------------------------------ */

/* "90s" "30m" "12h" "7d" "2w" "6mo" "1y": a span in nanoseconds. err: ERR_INVALID. */
MLXK_FN bool care_parse_age(struct str text, int64_t *out_ns, struct err *e);
/* An age before now, "2026-03-14" or "2026-03-14T15:09:26Z" (UTC). err: ERR_INVALID. */
MLXK_FN bool care_parse_when(struct str text, int64_t now_ns, int64_t *out_ns, struct err *e);

/* ---- what lies in a repo's folder (care_inventory.c) ----------------------------------------- */

enum care_kind {
    CARE_BLOB,                   /* payload, or a link to one in the shared store */
    CARE_PARTIAL,     /* unfinished or set aside: blobs/NAME.incomplete, .mlxk/NAME.map */
    CARE_TEMP,                   /* left by an interrupted writer */
    CARE_LINK, CARE_COPY,        /* a snapshot's file: link; the file itself */
    CARE_REF, CARE_TREE, CARE_PROOF, CARE_ABSENCE,
    CARE_FOLDER,
    CARE_FOREIGN,                /* nobody who follows the layout makes such a thing */
};
struct care_entry {
    enum care_kind kind;
    const char *path_cstr;
    struct str name;             /* blob's name, path in the snapshot, revision, commit of a tree */
    struct str commit;           /* of a link, copy or absence; what a ref says */
    struct os_stat st;           /* of the entry itself */
    struct os_stat target;       /* of a link: where it ends; kind OS_NONE = nowhere */
    struct str to;               /* of a link: the last component of what it says */
    struct care_entry *blob;     /* of a link: the blob of this repo that it names, or NULL */
    uint32_t n_revisions;        /* of a blob: snapshots that show it */
    struct str shown_commit, shown_file;   /* of a blob: one of them */
    bool away;                   /* behind a link to another folder */
};
struct care_revision {
    struct str commit;
    const char *dir_cstr;
    int64_t mtime_ns, used_ns;   /* of the folder; last access or change of its files */
    size_t n_files, n_dangling, n_refs;
    uint64_t own_bytes;          /* on the disk, used by no other revision */
    bool is_main;                /* refs/main names it */
};
struct care_repo {
    const char *dir_cstr;
    struct str folder;           /* "models--org--name" */
    struct str type;             /* "models", "datasets", "spaces", ... */
    struct str name;             /* "org/name"; other types "datasets/org/name" */
    struct care_entry *entries; size_t n;
    struct care_revision *revisions; size_t n_revisions;
    struct map blobs;            /* name -> pointer to entry */
    bool unreadable;             /* some folder could not be listed: nothing is certain */
    bool away;     /* a folder is a link to elsewhere: looked at, never removed from */
    char unreadable_path[LIMIT_PATH], away_path[LIMIT_PATH];
};
/* Folders of the root that are repos, sorted; with_links: also links to such. A missing root has
 * none. */
MLXK_FN bool care_repos(struct arena *a, const struct cache *c, bool with_links,
                        struct str **folders, size_t *n, struct err *e);
/* One walk over a repo's folder. mem: in a, but the map: care_repo_release. err: out of memory. */
MLXK_FN bool care_repo_read(struct arena *a, const struct cache *c, struct str folder,
                            struct care_repo *out, struct err *e);
MLXK_FN void care_repo_release(struct care_repo *r);
/* The file list of a commit as trees/ has it; false = none that is usable. */
MLXK_FN bool care_tree_of(struct arena *a, const struct care_repo *r, struct str commit,
                          struct cache_tree_file **files, size_t *n);
/* Name that a file of a list has as a blob, and its size. */
MLXK_FN struct str care_tree_etag(const struct cache_tree_file *f, uint64_t *size_bytes);

/* ---- looking into files (care_deep.c) -------------------------------------------------------- */

/* Headers, offsets, sizes, shards against their index, links to nowhere, the file list, leftovers.
 * mem: scratch of its own. err: out of memory; what cannot be read is a finding. */
MLXK_FN bool care_deep(const struct cache *c, const struct cache_model *m, struct care_findings *f,
                       struct err *e);
/* The part of it that is about the repo's folder: links, refs, lists, leftovers. */
MLXK_FN void care_deep_repo(const struct care_repo *r, struct str only_commit,
                            struct care_findings *f);

/* ---- journal of verified files (care_journal.c) ---------------------------------------------- */

struct care_seen { int64_t time_ns, mtime_ns; uint64_t size_bytes, inode; };
struct care_journal {
    struct arena *arena;
    char path[LIMIT_PATH];
    int fd;                      /* -1 = nothing is written down */
    struct map seen;             /* path -> index */
    struct care_seen *list; size_t n, cap;
    int64_t last_ns;             /* since when the last run counted, 0 = there was none */
    size_t n_lines;
};
/* One line of the journal; false = it is none. path borrows from line; empty for a run's line. */
MLXK_FN bool care_journal_parse(struct str line, struct care_seen *out, struct str *path);
/* $XDG_STATE_HOME/mlxk/verified, else ~/.local/state/mlxk/verified. A journal that cannot be read
 * or written is done without: never an error. */
MLXK_FN bool care_journal_open(struct arena *a, struct care_journal *j, struct err *e);
/* Verified after since_ns and not touched since. */
MLXK_FN bool care_journal_has(const struct care_journal *j, struct str path,
                              const struct os_stat *st, int64_t since_ns);
MLXK_FN void care_journal_run(struct care_journal *j, int64_t since_ns);
MLXK_FN void care_journal_add(struct care_journal *j, struct str path, const struct os_stat *st,
                              int64_t now_ns);
MLXK_FN void care_journal_close(struct care_journal *j);

/* ---- hashing (care_verify.c) ----------------------------------------------------------------- */

struct care_verify_state {       /* what the listener sees, 10 times a second */
    uint64_t done_bytes, total_bytes;
    size_t done_files, total_files;
};
struct care_verify_options {
    struct str only_commit;      /* of one repo: just this snapshot; empty = all */
    const struct str *folders; size_t n_folders;
    uint64_t limit_bytes_per_s;  /* 0 = none */
    int64_t since_ns;            /* files verified after that are passed over; INT64_MAX = none */
    struct care_journal *journal;
    int n_threads;               /* 0 = as many as cores */
    void (*progress)(void *ctx, const struct care_verify_state *s); void *ctx;
};
struct care_verify_result {
    /* unnamed: no hash to compare */
    size_t n_repos, n_files, n_good, n_wrong, n_skipped, n_unnamed;
    uint64_t bytes, skipped_bytes;
    bool interrupted;
};
/* err: out of memory, threads; wrong files are findings. Stops early when the user interrupts. */
MLXK_FN bool care_verify(struct arena *a, const struct cache *c,
                         const struct care_verify_options *o, struct care_findings *f,
                         struct care_verify_result *out, struct err *e);

/* ---- repair (care_repair.c) ------------------------------------------------------------------ */

/* Mends what the findings name and the file list or the hub proves. hub NULL: without network.
 * foreign (or NULL): is this no repository of the hub? Then the hub is never asked for its name.
 * Sets mended and repaired. err: out of memory, ERR_INTERRUPTED. */
MLXK_FN bool care_repair(struct arena *a, const struct cache *c, struct hub *hub /* or NULL */,
                         bool (*foreign)(struct str repo), struct care_findings *f,
                         hub_event_fn event, void *ctx, struct err *e);

/* ---- physical sizes (care_usage.c) ----------------------------------------------------------- */

struct care_usage {              /* bytes on the disk (blocks), each inode once */
    struct str name, type;
    const char *dir_cstr;
    uint64_t linked, shared;     /* shown by one snapshot; by several, or hard links elsewhere */
    uint64_t unlinked, partial;
    uint64_t meta;               /* folders, links, refs, lists, temporaries */
    uint64_t foreign;
    uint64_t total;              /* of the folder: what du -s says */
    uint64_t stored;             /* in the shared store, not in the folder */
    uint64_t locks;              /* in .locks, not in the folder */
    size_t n_revisions, n_blobs;
    bool hidden, unreadable;     /* hidden: other tools leave the repo out of their sums */
};
struct care_volume {
    struct care_usage *repos; size_t n;
    struct care_usage *others; size_t n_others;    /* store, locks, xet, workspaces, strays, ours */
    uint64_t root_total;         /* what du -s says about the cache's root */
};
/* folder empty: everything. mem: in a. err: out of memory. */
MLXK_FN bool care_usage(struct arena *a, const struct cache *c, struct str folder,
                        struct care_volume *out, struct err *e);

/* ---- what can go (care_plan.c, care_collect.c) ----------------------------------------------- */

enum care_action {
    CARE_DROP_BLOB, CARE_DROP_PARTIAL, CARE_DROP_TEMP, CARE_DROP_LOCK, CARE_DROP_TREE,
    CARE_DROP_ABSENCE, CARE_DROP_WASTE, CARE_DROP_REVISION, CARE_DROP_STORED,
};
struct care_item {
    enum care_action action;
    struct str repo, folder, path, name;
    uint64_t bytes;              /* on the disk, that come free */
    struct str why;
    struct os_stat st;           /* as planned: it goes only while it is that */
    const char *lock_cstr;       /* to be held meanwhile, or NULL */
    struct str commit;           /* of a revision */
    bool alone;                  /* of a revision: nothing in its repo may go that is not planned */
    bool done;
};
struct care_kept { struct str path, why; bool foreign; };
struct care_plan {
    struct arena *arena;
    struct care_item *items; size_t n, cap;
    struct care_kept *kept; size_t n_kept, cap_kept;
    uint64_t bytes, free_bytes, goal_bytes;        /* goal 0 = none */
    bool reached, users_known;
    size_t n_hidden;             /* processes whose files could not be seen */
    struct os_users users;
    bool failed;
};
struct care_plan_options {
    struct str folder;           /* one repo, or empty = all */
    int64_t keep_last;           /* -1 = all */
    uint64_t until_free;         /* 0 = no goal */
    int64_t older_ns, revision_ns;   /* leftovers, revisions: untouched for so long; -1 = default */
    bool detached;               /* also revisions without a ref */
    int64_t now_ns;
};
/* Only reads. Release with care_plan_release, also after a failure. err: out of memory. */
MLXK_FN bool care_plan_make(struct arena *a, const struct cache *c,
                            const struct care_plan_options *o, struct care_plan *out,
                            struct err *e);
MLXK_FN void care_plan_release(struct care_plan *p);
MLXK_FN const char *care_action_name(enum care_action action);
/* Does it. Each item is looked at again; what changed meanwhile moves to `kept`. *freed_bytes: what
 * went. err: the first thing that could not be removed (the rest is tried). */
MLXK_FN bool care_collect(const struct cache *c, struct care_plan *p, uint64_t *freed_bytes,
                          struct err *e);

/* ---- what the file system can (care_probe.c) ------------------------------------------------- */

enum care_answer { CARE_UNKNOWN, CARE_NO, CARE_YES };
struct care_abilities {
    enum care_answer symlink, hardlink, reflink, lock, case_kept, rename, map;
};
/* Tries in a fresh folder in dir, removed afterwards. err: nothing can be written there. */
MLXK_FN bool care_probe(const char *dir_cstr, struct care_abilities *out, struct err *e);

#endif
