/* cache_remove.c: taking a repo, or one snapshot of it, out of the cache.
 *
 *   repo:      locks removed ── repo ──rename──> waste ── payloads let go ── waste removed
 *   snapshot:  waste made ── refs removed ── snapshot ──rename──> waste ── blobs nobody else links
 *              ── payloads let go ── tree, .no_exist ── waste removed
 *
 * The waste of a repo lies in .locks/<its folder>/, which no tool looks into:
 *   repository.removed/           the whole folder
 *   snapshot-<commit>.removed/    the snapshot as "links", which say what blobs go
 *   shared.removed/               links into the shared store on their way out
 *   <8 hex>.removed/              first folders of a repo that a kill kept from appearing
 *
 * 1. Only names below <root>/models--x and <root>/.locks/models--x are removed, links as links. A
 *    payload that several repos share goes only by its manifest (cache_shared.c).
 * 2. What goes vanishes in one step, so a reader sees the model or does not; where the rename
 *    cannot be (a mount point, a full disk) it is emptied in place: refs, snapshots, trees, then
 *    blobs.
 * 3. A kill leaves a cache that works and waste that says what is still to do; the next removal in
 *    that repo finishes it.
 * 4. A blob goes with a snapshot only when no link of any other snapshot names it.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

struct cache_removing {
    struct arena *arena;
    const struct cache *cache;
    const char *repo_dir_cstr, *folder_cstr;
    const char *waste_cstr;      /* .locks/<folder> */
    struct map wanted;           /* blob names that other snapshots link to */
    struct map dropped;          /* blob names that the snapshot links to */
    bool asked;                  /* somebody wants to see the end of an earlier removal */
    struct cache_guard guard;    /* held until what others could meet is out of their sight */
    struct cache_removal *out;
};

static char *cache_below(struct cache_removing *r, const char *name_cstr) {
    return os_path_join(r->arena, r->repo_dir_cstr, name_cstr);
}

static void cache_forget(struct cache_removing *r) {
    map_release(&r->wanted);
    map_release(&r->dropped);
    map_init(&r->wanted, SIZE_MAX / 64);
    map_init(&r->dropped, SIZE_MAX / 64);
}

/* ---- bytes that go ---- */

/* What a tree takes on the disk: regular files only, each counted where it lies. */
static uint64_t cache_tree_bytes(struct arena *a, const char *dir_cstr, int depth) {
    struct os_entry *entries;
    size_t n;
    struct err none = { 0 };
    uint64_t sum = 0;
    if (depth > CACHE_MAX_DEPTH ||
        !os_list_dir(a, dir_cstr, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        char path[LIMIT_PATH];
        struct os_stat st;
        if (!CACHE_PATH(path, &none, str_cstr(dir_cstr), STR("/"), entries[i].name)) {
            continue;
        }
        if (entries[i].kind == OS_DIR) {
            sum += cache_tree_bytes(a, path, depth + 1);
        } else if (entries[i].kind == OS_FILE && os_lstat(path, &st)) {
            sum += st.n_links > 1 ? st.size_bytes / st.n_links : st.size_bytes;
        }
    }
    return sum;
}

/* ---- parts ---- */

/* Blob names that links below a folder speak of. */
static bool cache_linked_blobs(struct cache_removing *r, const char *dir_cstr, struct map *names,
                               int depth, struct err *e) {
    struct os_entry *entries;
    size_t n;
    struct err none = { 0 };
    if (!os_list_dir(r->arena, dir_cstr, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        return none.code == ERR_NOT_FOUND ||
               (*e = none, false); /* unreadable: nothing is certain, nothing goes */
    }
    for (size_t i = 0; i < n; i++) {
        char path[LIMIT_PATH];
        if (!CACHE_PATH(path, e, str_cstr(dir_cstr), STR("/"), entries[i].name)) {
            return false;
        }
        if (entries[i].kind == OS_DIR) {
            if (depth > CACHE_MAX_DEPTH) {
                return err_set(e, ERR_LIMIT, "%s is nested deeper than %d folders", dir_cstr,
                               CACHE_MAX_DEPTH);
            }
            if (!cache_linked_blobs(r, path, names, depth + 1, e)) {
                return false;
            }
        } else if (entries[i].kind == OS_LINK) {
            char *target = os_readlink(r->arena, path, e);
            if (!target || !map_put(names, os_path_base(target), NULL)) {
                return target ? err_oom(e, n, "the blobs of a snapshot") : false;
            }
        }
    }
    return true;
}

static bool cache_linked_by_others(struct cache_removing *r, struct str commit, size_t *n_others,
                                   struct err *e) {
    struct os_entry *entries;
    size_t n;
    struct err none = { 0 };
    char *dir = cache_below(r, "snapshots");
    if (!dir || !os_list_dir(r->arena, dir, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        return dir ? none.code == ERR_NOT_FOUND || (*e = none, false)
                   : err_oom(e, LIMIT_PATH, "a path");
    }
    for (size_t i = 0; i < n; i++) {
        char path[LIMIT_PATH];
        bool own = str_eq(entries[i].name, commit);
        *n_others += !own;
        if (!CACHE_PATH(path, e, str_cstr(dir), STR("/"), entries[i].name) ||
            !cache_linked_blobs(r, path, own ? &r->dropped : &r->wanted, 0, e)) {
            return false;
        }
    }
    return true;
}

/* Removes the refs (nested ones too) that name the commit. */
static bool cache_drop_refs(struct cache_removing *r, const char *dir_cstr, struct str commit,
                            int depth, struct err *e) {
    struct os_entry *entries;
    size_t n;
    struct err none = { 0 };
    if (depth > CACHE_MAX_DEPTH ||
        !os_list_dir(r->arena, dir_cstr, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        char path[LIMIT_PATH];
        struct str text;
        if (!CACHE_PATH(path, e, str_cstr(dir_cstr), STR("/"), entries[i].name)) {
            return false;
        }
        if (entries[i].kind == OS_DIR) {
            if (!cache_drop_refs(r, path, commit, depth + 1, e)) {
                return false;
            }
        } else if (os_read_file(r->arena, path, LIMIT_PATH, &text, &none) &&
                   str_eq(str_trim(text), commit) && !os_unlink(path, e)) {
            return false;
        }
    }
    return true;
}

static bool cache_drop_tree(struct cache_removing *r, const char *below_cstr, struct str name,
                            struct str ending, struct err *e) {
    char path[LIMIT_PATH];
    if (!CACHE_PATH(path, e, str_cstr(r->repo_dir_cstr), STR("/"), str_cstr(below_cstr), STR("/"),
                    name, ending)) {
        return false;
    }
    r->out->freed_bytes += cache_tree_bytes(r->arena, path, 0);
    return os_remove_tree(path, e);
}

/* ---- payloads of the shared store ---- */

/* Lets go of the payload that a link's text speaks of. A store that is another user's, busy, or on
 * a full disk keeps it: that is a matter for gc, the link itself is gone. */
static bool cache_let_go(struct cache_removing *r, const char *link_cstr, struct err *e) {
    char payload[LIMIT_PATH];
    struct err why = { 0 };
    char *target = os_readlink(r->arena, link_cstr, e);
    if (!target) {
        return false;
    }
    if (!cache_shared_payload(r->cache, str_cstr(target), payload) ||
        cache_shared_sweep(r->cache, payload, &r->out->freed_bytes, &why)) {
        return true;
    }
    if (why.code != ERR_READ_ONLY && why.code != ERR_LOCKED && why.code != ERR_DISK_FULL) {
        *e = why;
        return false;
    }
    log_write(LOG_INFO, "a shared payload stays: %s", why.msg);
    return true;
}

/* All links in a folder. */
static bool cache_let_go_all(struct cache_removing *r, const char *dir_cstr, struct err *e) {
    struct os_entry *entries;
    size_t n;
    struct err none = { 0 };
    if (!os_list_dir(r->arena, dir_cstr, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        char path[LIMIT_PATH];
        if (!CACHE_PATH(path, e, str_cstr(dir_cstr), STR("/"), entries[i].name) ||
            (entries[i].kind == OS_LINK && !cache_let_go(r, path, e))) {
            return false;
        }
    }
    return true;
}

/* The link is put aside, so that a kill does not lose what it spoke of. */
static bool cache_drop_shared(struct cache_removing *r, struct str name, const char *blob_cstr,
                              struct err *e) {
    char dir[LIMIT_PATH], aside[LIMIT_PATH];
    return CACHE_PATH(dir, e, str_cstr(r->waste_cstr), STR("/shared.removed")) &&
           os_mkdirs(dir, e) && CACHE_PATH(aside, e, str_cstr(dir), STR("/"), name) &&
           os_rename(blob_cstr, aside, e);
}

static bool cache_finish_shared(struct cache_removing *r, struct err *e) {
    char dir[LIMIT_PATH];
    return CACHE_PATH(dir, e, str_cstr(r->waste_cstr), STR("/shared.removed")) &&
           cache_let_go_all(r, dir, e) && os_remove_tree(dir, e);
}

/* ---- one snapshot ---- */

static bool cache_drop_blob(struct cache_removing *r, struct str name, struct err *e) {
    char path[LIMIT_PATH], payload[LIMIT_PATH];
    struct os_stat st;
    struct err none = { 0 };
    if (!CACHE_PATH(path, e, str_cstr(r->repo_dir_cstr), STR("/blobs/"), name)) {
        return false;
    }
    if (!os_lstat(path, &st)) {
        return true;
    }
    char *target = st.kind == OS_LINK ? os_readlink(r->arena, path, &none) : NULL;
    if (target && cache_shared_payload(r->cache, str_cstr(target), payload)) {
        return cache_drop_shared(r, name, path, e);
    }
    if (!os_unlink(path, e)) {
        return false;
    }
    r->out->freed_bytes += st.kind == OS_FILE && st.n_links == 1 ? st.size_bytes : 0;
    return true;
}

static bool cache_drop_blobs(struct cache_removing *r, struct err *e) {
    for (size_t i = 0; i < r->dropped.n; i++) {
        struct str name = r->dropped.entries[i].key;
        if (!map_get(&r->wanted, name) && cache_etag_ok(name, &(struct err){ 0 }) &&
            !cache_drop_blob(r, name, e)) {
            return false;
        }
    }
    return cache_finish_shared(r, e);
}

/* Snapshots without links (hub facts 1.13) say nothing of blobs: the file list does. */
static bool cache_listed_blobs(struct cache_removing *r, struct str repo, struct str commit,
                               const char *snapshot_cstr, struct err *e) {
    struct cache_tree_file *files;
    size_t n;
    struct err none = { 0 };
    if (!cache_tree_read(r->arena, r->cache, repo, commit, &files, &n, &none)) {
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        char path[LIMIT_PATH];
        struct os_stat st;
        struct str etag = files[i].lfs_sha256.n ? files[i].lfs_sha256 : files[i].blob_id;
        if (CACHE_PATH(path, &none, str_cstr(snapshot_cstr), STR("/"), files[i].path) &&
            os_lstat(path, &st) && st.kind == OS_FILE && !map_put(&r->dropped, etag, NULL)) {
            return err_oom(e, n, "the blobs of a snapshot");
        }
    }
    return true;
}

static char *cache_snapshot_dir(struct cache_removing *r, struct str commit) {
    char *dir = cache_below(r, "snapshots"), *commit_cstr = str_dup_cstr(r->arena, commit);
    return dir && commit_cstr ? os_path_join(r->arena, dir, commit_cstr) : NULL;
}

/* Everything behind the rename; waste: the folder that holds "links". */
static bool cache_finish_moved(struct cache_removing *r, struct str repo, struct str commit,
                               const char *waste_cstr, struct err *e) {
    size_t n_others = 0;
    struct os_stat st;
    char *again = cache_snapshot_dir(r, commit),
         *links = os_path_join(r->arena, waste_cstr, "links");
    if (!again || !links) {
        return err_oom(e, LIMIT_PATH, "a path");
    }
    bool is_back = os_lstat(again, &st); /* fetched anew since: its list and its blobs stay */
    cache_forget(r);
    if (!cache_listed_blobs(r, repo, commit, links, e) ||
        !cache_linked_by_others(r, is_back ? STR_EMPTY : commit, &n_others, e) ||
        !cache_linked_blobs(r, links, &r->dropped, 0, e) || !cache_drop_blobs(r, e)) {
        return false;
    }
    if (!is_back && (!cache_drop_tree(r, "trees", commit, STR(".json"), e) ||
                     !cache_drop_tree(r, ".mlxk", commit, STR(CACHE_PROOF_ENDING), e) ||
                     !cache_drop_tree(r, ".no_exist", commit, STR_EMPTY, e))) {
        return false;
    }
    r->out->freed_bytes += cache_tree_bytes(r->arena, waste_cstr, 0);
    return os_remove_tree(waste_cstr, e);
}

/* From the refs on, as far as an earlier removal did not come. */
static bool cache_drop_snapshot(struct cache_removing *r, struct str repo, struct str commit,
                                struct err *e) {
    struct str path = str_format(r->arena, "%s/snapshot-" STR_FMT ".removed", r->waste_cstr,
                                 STR_ARG(commit));
    char *refs = cache_below(r, "refs"), *snapshot = cache_snapshot_dir(r, commit),
         *waste = path.p ? str_dup_cstr(r->arena, path) : NULL,
         *links = waste ? os_path_join(r->arena, waste, "links") : NULL;
    struct err why = { 0 };
    if (!refs || !snapshot || !links) {
        return err_oom(e, LIMIT_PATH, "a path");
    }
    bool moves = os_mkdirs(waste, &why);
    if (!moves && why.code == ERR_READ_ONLY) {
        *e = why;                            /* nothing has been touched */
        return false;
    }
    if (!cache_drop_refs(r, refs, commit, 0, e)) {
        return false;
    }
    if (moves && os_rename(snapshot, links, &why)) {
        char *dir = cache_below(r, "snapshots");
        return dir && os_sync_dir(dir, e) && cache_finish_moved(r, repo, commit, waste, e);
    }
    return cache_listed_blobs(r, repo, commit, snapshot, e) &&
           cache_drop_tree(r, "snapshots", commit, STR_EMPTY, e) &&
           cache_drop_tree(r, "trees", commit, STR(".json"), e) &&
           cache_drop_tree(r, ".mlxk", commit, STR(CACHE_PROOF_ENDING), e) &&
           cache_drop_tree(r, ".no_exist", commit, STR_EMPTY, e) && cache_drop_blobs(r, e) &&
           os_remove_tree(waste, e);
}

/* A snapshot whose removal was killed before it was moved may have been wanted again since: it goes
 * only when somebody asks. */
static bool cache_finish_snapshot(struct cache_removing *r, struct str repo, struct str commit,
                                  const char *waste_cstr, struct err *e) {
    struct os_stat st;
    size_t n_others = 0;
    char *links = os_path_join(r->arena, waste_cstr, "links"),
         *snapshot = cache_snapshot_dir(r, commit);
    if (!links || !snapshot) {
        return err_oom(e, LIMIT_PATH, "a path");
    }
    if (os_lstat(links, &st)) {
        return cache_finish_moved(r, repo, commit, waste_cstr, e);
    }
    if (!os_lstat(snapshot, &st) || !r->asked) {
        return os_remove_tree(waste_cstr, e);
    }
    cache_forget(r);
    return cache_linked_by_others(r, commit, &n_others, e) &&
           cache_drop_snapshot(r, repo, commit, e);
}

/* ---- a whole repo ---- */

/* dir: the repo's folder, in its place or as waste. Links into the store are kept to the end. */
static bool cache_empty_repo(struct cache_removing *r, const char *dir_cstr, struct err *e) {
    static const char *const order[] = { "refs", "snapshots", "trees", ".no_exist", "" };
    struct os_entry *entries = NULL;
    size_t n = 0;
    struct err none = { 0 };
    char *blobs = os_path_join(r->arena, dir_cstr, "blobs");
    r->out->freed_bytes += cache_tree_bytes(r->arena, dir_cstr, 0);
    if (!blobs) {
        return err_oom(e, LIMIT_PATH, "a path");
    }
    bool in_place = !strcmp(dir_cstr, r->repo_dir_cstr);
    if (!in_place) {
        return cache_let_go_all(r, blobs, e) && os_remove_tree(dir_cstr, e);
    }
    for (size_t i = 0; i + 1 < MLXK_COUNT(order); i++) {
        char *path = cache_below(r, order[i]);
        if (!path || !os_remove_tree(path, e)) {
            return path ? false : err_oom(e, LIMIT_PATH, "a path");
        }
    }
    if (!os_list_dir(r->arena, blobs, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (entries[i].kind == OS_LINK && !cache_drop_blob(r, entries[i].name, e)) {
            return false;
        }
    }
    return cache_finish_shared(r, e) && os_remove_tree(dir_cstr, e);
}

static bool cache_drop_repo(struct cache_removing *r, struct err *e) {
    struct os_stat st;
    struct err why = { 0 };
    if (!os_lstat(r->repo_dir_cstr, &st)) {
        return true;
    }
    if (st.kind != OS_DIR) {
        return os_unlink(r->repo_dir_cstr, e); /* a link to a folder elsewhere: that one stays */
    }
    char *waste = os_path_join(r->arena, r->waste_cstr, "repository.removed");
    if (!waste) {
        return err_oom(e, LIMIT_PATH, "a path");
    }
    if (os_mkdirs(r->waste_cstr, &why) && os_rename(r->repo_dir_cstr, waste, &why)) {
        cache_guard_end(&r->guard);          /* the bytes may take their time */
        return os_sync_dir(r->cache->root_cstr, e) && cache_empty_repo(r, waste, e);
    }
    if (why.code == ERR_READ_ONLY) {
        *e = why;                            /* nothing has been touched */
        return false;
    }
    return cache_empty_repo(r, r->repo_dir_cstr, e);
}

/* Lock files mean nothing without the repo; nothing else in their folder is touched. */
static bool cache_drop_locks(struct cache_removing *r, struct str repo, struct err *e) {
    struct cache_locks locks;
    if (!cache_locks_read(r->arena, r->cache, repo, &locks, e)) {
        return false;
    }
    for (size_t i = 0; i < locks.n; i++) {
        char path[LIMIT_PATH];
        if (!CACHE_PATH(path, e, str_cstr(r->cache->root_cstr), STR("/"), locks.files[i]) ||
            !os_unlink(path, e)) {
            return false;
        }
    }
    r->out->n_lock_files = locks.n;
    return true;
}

/* ---- what a kill left ---- */

/* Other names are folders of a repo that never came to be (cache_layout.c). */
static bool cache_finish_one(struct cache_removing *r, struct str repo, struct str name,
                             bool *found, bool *whole, struct err *e) {
    char path[LIMIT_PATH];
    struct str start = STR("snapshot-"), end = STR(".removed");
    if (!CACHE_PATH(path, e, str_cstr(r->waste_cstr), STR("/"), name)) {
        return false;
    }
    bool shared = str_eq(name, STR("shared.removed")),
         repository = str_eq(name, STR("repository.removed")),
         snapshot = str_starts(name, start) && name.n > start.n + end.n;
    *found |= shared || repository || snapshot;
    *whole |= repository;
    if (snapshot) {
        return cache_finish_snapshot(r, repo, str_sub(name, start.n, name.n - end.n), path, e);
    }
    return repository ? cache_empty_repo(r, path, e)
           : shared   ? cache_finish_shared(r, e)
                      : os_remove_tree(path, e);
}

static bool cache_finish_all(struct cache_removing *r, struct str repo, bool *found,
                             struct err *e) {
    struct os_entry *entries;
    struct os_stat st;
    size_t n;
    struct err none = { 0 };
    bool whole = false;
    if (!os_list_dir(r->arena, r->waste_cstr, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        if (entries[i].kind != OS_DIR || !str_ends(entries[i].name, STR(".removed"))) {
            continue;
        }
        if (!cache_finish_one(r, repo, entries[i].name, found, &whole, e)) {
            return false;
        }
    }
    return !whole || os_lstat(r->repo_dir_cstr, &st) || os_remove_tree(r->waste_cstr, e);
}

/* ---- (Public) ---- */

static bool cache_removing_begin(struct cache_removing *r, char folder[CACHE_FOLDER_MAX],
                                 struct arena *a, const struct cache *c, struct str repo,
                                 struct cache_removal *out, struct err *e) {
    *out = (struct cache_removal){ 0 };
    *r = (struct cache_removing){ .arena = a, .cache = c, .folder_cstr = folder, .out = out };
    r->guard.lock.fd = -1;
    map_init(&r->wanted, SIZE_MAX / 64);
    map_init(&r->dropped, SIZE_MAX / 64);
    if (!cache_folder_into(folder, repo, e)) {
        return false;
    }
    struct str waste = str_format(a, "%s/.locks/%s", c->root_cstr, folder);
    r->repo_dir_cstr = cache_repo_dir(a, c, repo);
    r->waste_cstr = waste.p ? str_dup_cstr(a, waste) : NULL;
    if (!r->repo_dir_cstr || !r->waste_cstr) {
        return err_oom(e, LIMIT_PATH, "a path");
    }
    return cache_guard_begin(c, &r->guard, e);
}

static void cache_removing_end(struct cache_removing *r) {
    cache_guard_end(&r->guard);
    map_release(&r->wanted);
    map_release(&r->dropped);
}

/* Folders for waste that were not there before go again; what others put there meanwhile keeps
 * them. */
static void cache_removing_leave(struct cache_removing *r, bool had_waste, bool had_locks) {
    struct err kept = { 0 };
    char *locks = os_path_dir(r->arena, r->waste_cstr);
    if (!had_waste) {
        (void)os_rmdir(r->waste_cstr, &kept);
    }
    char *guard = had_locks || !locks ? NULL : os_path_join(r->arena, locks, "mlxk.lock");
    if (guard) {
        (void)os_unlink(guard, &kept);
        (void)os_rmdir(locks, &kept);
    }
}

MLXK_FN bool cache_remove(struct arena *a, const struct cache *c, struct str repo,
                          struct str commit, struct cache_removal *out, struct err *e) {
    char folder[CACHE_FOLDER_MAX], locks[LIMIT_PATH];
    struct cache_removing r;
    struct os_stat st;
    size_t n_others = 0;
    if (!CACHE_PATH(locks, e, str_cstr(c->root_cstr), STR("/.locks"))) {
        return false;
    }
    bool had_locks = os_lstat(locks, &st), had_waste = false;
    bool found = false, ok = cache_removing_begin(&r, folder, a, c, repo, out, e) &&
                             (!commit.n || cache_component_ok(commit, "the commit", e)) &&
                             cache_finish_all(&r, repo, &found, e);
    had_waste = ok && os_lstat(r.waste_cstr, &st);
    cache_forget(&r);
    ok = ok && (!commit.n || cache_linked_by_others(&r, commit, &n_others, e));
    if (ok && n_others > 0) {
        ok = cache_drop_snapshot(&r, repo, commit, e);
    } else if (ok) {
        ok = cache_drop_locks(&r, repo, e) && cache_drop_repo(&r, e) &&
             os_remove_tree(r.waste_cstr, e);
    }
    if (ok) {
        cache_removing_leave(&r, had_waste, had_locks);
    }
    cache_removing_end(&r);
    return ok;
}

MLXK_FN bool cache_remove_rest(struct arena *a, const struct cache *c, struct str repo,
                               bool asked, bool *found, struct cache_removal *out,
                               struct err *e) {
    char folder[CACHE_FOLDER_MAX];
    struct cache_removing r;
    *found = false;
    bool ok = cache_removing_begin(&r, folder, a, c, repo, out, e);
    r.asked = asked;
    ok = ok && cache_finish_all(&r, repo, found, e);
    cache_removing_end(&r);
    return ok;
}
