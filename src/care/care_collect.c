/* care_collect.c: does what a plan says, each step after another look.
 *
 *   revision:  refs -> snapshot -> list, absences -> blobs that it alone showed -> empty folders
 *   blob:      lock -> still without a link -> unlink
 *   payload of the shared store: its lock -> manifest still without a user -> payload -> manifest
 *
 * 1. A kill between any two steps leaves refs that name snapshots and links that lead to blobs;
 *    what is left over is found by the next plan.
 * 2. What is not any more what was planned (other inode, size or time; locked; linked; in use)
 *    stays.
 * 3. Only names below the repo's own folder, its locks, and the shared store go; links as links.
 */
#include "care/care_int.h"

#define CARE_COLLECT_TURN_NS ((int64_t)500000000)

struct care_collecting {
    struct arena *arena;         /* scratch */
    const struct cache *cache;
    struct care_plan *plan;
    struct care_repo repo;       /* of the item in hand, read when the repo's turn came */
    struct str folder;
    uint64_t freed_bytes;
};

/* ---- another look ---- */

/* Why the item stays; empty = it is what was planned. */
static struct str care_collect_changed(struct care_collecting *k, const struct care_item *x) {
    struct os_stat st;
    if (!os_lstat(x->path.p, &st)) return STR("gone meanwhile");
    if (st.inode != x->st.inode || st.device != x->st.device || st.mtime_ns != x->st.mtime_ns ||
        st.size_bytes != x->st.size_bytes)
        return STR("changed meanwhile");
    const uint64_t *at = x->action == CARE_DROP_BLOB ? map_get(&k->repo.blobs, x->name) : NULL;
    if (at && k->repo.entries[*at].n_revisions) return STR("linked meanwhile");
    return STR_EMPTY;
}

/* The inventory as it is now, once per repo. */
static bool care_collect_look(struct care_collecting *k, const struct care_item *x, struct err *e) {
    bool needed = x->action == CARE_DROP_BLOB || x->action == CARE_DROP_REVISION;
    if (!needed || (str_eq(k->folder, x->folder) && x->action == CARE_DROP_BLOB)) return true;
    care_repo_release(&k->repo);
    arena_release(k->arena);
    k->folder = x->folder;
    return care_repo_read(k->arena, k->cache, x->folder, &k->repo, e);
}

/* ---- a revision ---- */

/* Removes folders that hold nothing but folders. */
static void care_collect_empty(struct arena *a, const char *dir_cstr, int depth) {
    struct os_entry *entries;
    size_t n = 0;
    struct err not_empty = { 0 };
    if (depth > CARE_MAX_DEPTH
        || !os_list_dir(a, dir_cstr, CARE_MAX_ENTRIES, &entries, &n, &not_empty))
        return;
    for (size_t i = 0; i < n; i++) {
        char *path = care_format(a, "%s/" STR_FMT, dir_cstr, STR_ARG(entries[i].name));
        if (path && entries[i].kind == OS_DIR) care_collect_empty(a, path, depth + 1);
    }
    os_rmdir(dir_cstr, &not_empty);
}

/* A repo without snapshots and blobs is no repo: its empty folders go, blobs/ first, so that what
 * is left is never something that other tools call damaged. */
static void care_collect_repo_folder(struct care_collecting *k) {
    static const char *const order[] = { "blobs",     ".mlxk", "trees",
                                         ".no_exist", "refs",  "snapshots" };
    struct os_stat st;
    struct err not_empty = { 0 };
    for (size_t i = 0; i < MLXK_COUNT(order); i++) {
        char *path = care_format(k->arena, "%s/%s", k->repo.dir_cstr, order[i]);
        if (!path) return;
        care_collect_empty(k->arena, path, 0);
        if (os_lstat(path, &st)) return;
    }
    os_rmdir(k->repo.dir_cstr, &not_empty);
}

static bool care_collect_refs(struct care_collecting *k, struct str commit, struct err *e) {
    bool any = false;
    for (size_t i = 0; i < k->repo.n; i++) {
        const struct care_entry *x = &k->repo.entries[i];
        if (x->kind != CARE_REF || !str_eq(x->commit, commit)) continue;
        if (!os_unlink(x->path_cstr, e)) return false;
        any = true;
    }
    char *refs = care_format(k->arena, "%s/refs", k->repo.dir_cstr);
    return !any || (refs && os_sync_dir(refs, e));
}

static bool care_collect_is_twin(struct care_collecting *k, const struct care_entry *blob,
                                 struct str commit) {
    bool own = false, other = false;
    for (size_t i = 0; blob->st.n_links > 1 && i < k->repo.n; i++) {
        const struct care_entry *y = &k->repo.entries[i];
        if (y->kind != CARE_COPY || y->st.inode != blob->st.inode
            || y->st.device != blob->st.device)
            continue;
        own = own || str_eq(y->commit, commit);
        other = other || !str_eq(y->commit, commit);
    }
    return own && !other;
}

static bool care_collect_blobs(struct care_collecting *k, struct str commit, struct err *e) {
    bool ok = true;
    for (size_t i = 0; i < k->repo.n; i++) {
        const struct care_entry *x = &k->repo.entries[i];
        bool own = x->kind == CARE_BLOB &&
                   ((x->n_revisions == 1 && str_eq(x->shown_commit, commit)) ||
                    (x->n_revisions == 0 && care_collect_is_twin(k, x, commit)));
        if (own && !os_users_has(&k->plan->users, &x->st)) ok = os_unlink(x->path_cstr, e) && ok;
    }
    return ok;
}

static bool care_collect_revision(struct care_collecting *k, const struct care_item *x,
                                  struct err *e) {
    struct arena *a = k->arena;
    char *snapshots = care_format(a, "%s/snapshots", k->repo.dir_cstr),
         *tree = care_format(a, "%s/trees/" STR_FMT ".json", k->repo.dir_cstr, STR_ARG(x->commit)),
         *absent = care_format(a, "%s/.no_exist/" STR_FMT, k->repo.dir_cstr, STR_ARG(x->commit)),
         *proof = care_format(a, "%s/.mlxk/" STR_FMT CACHE_PROOF_ENDING, k->repo.dir_cstr,
                              STR_ARG(x->commit));
    if (!snapshots || !tree || !absent || !proof) return err_oom(e, LIMIT_PATH, "a path");
    bool ok = care_collect_refs(k, x->commit, e) && os_remove_tree(x->path.p, e) &&
              os_sync_dir(snapshots, e) && os_unlink(tree, e) && os_remove_tree(absent, e) &&
              os_unlink(proof, e) &&
              care_collect_blobs(k, x->commit, e);
    if (ok && k->repo.n_revisions == 1) care_collect_repo_folder(k);
    k->folder = STR_EMPTY;                       /* what was read is no longer so */
    return ok;
}

/* The room that removes models knows how to make one vanish in a single step; where something has
 * to stay in the repo, or for other kinds of repos, it is done here. */
static bool care_collect_removed(struct care_collecting *k, const struct care_item *x,
                                 struct err *e) {
    struct cache_removal removal;
    if (x->alone) return care_collect_revision(k, x, e);
    k->folder = STR_EMPTY;
    return cache_remove(k->arena, k->cache, x->repo, x->commit, &removal, e);
}

/* ---- single files ---- */

static bool care_collect_stored(struct care_collecting *k, const struct care_item *x, struct err *e,
                                struct str *stays) {
    struct str text;
    struct err none = { 0 };
    char *manifest = care_format(k->arena, "%s.refs", x->path.p);
    if (!manifest || !os_read_file(k->arena, manifest, CARE_MAX_TREE, &text, &none) ||
        care_store_used(k->arena, k->cache, text, &x->st)) {
        *stays = STR("used meanwhile");
        return true;
    }
    return os_unlink(x->path.p, e) && os_unlink(manifest, e);
}

/* Holds the item's lock (where there is a place for one) around its removal. */
static bool care_collect_file(struct care_collecting *k, const struct care_item *x,
                              struct str *stays, struct err *e) {
    struct os_lock lock = { .fd = -1 };
    struct err taken = { 0 };
    bool made = x->lock_cstr && os_lock_look(x->lock_cstr) == OS_LOCK_ABSENT;
    bool held = x->lock_cstr && os_lock_acquire(&lock, x->lock_cstr, 0, &taken);
    bool absent = taken.code == ERR_NOT_FOUND || (made && taken.code == ERR_DISK_FULL);
    if (x->lock_cstr && !held && !absent) {    /* a full disk has no room for a lock file either */
        *stays = taken.code == ERR_LOCKED ? STR("locked meanwhile") : STR_EMPTY;
        return taken.code == ERR_LOCKED || (*e = taken, false);
    }
    *stays = care_collect_changed(k, x);
    bool ok = true;
    if (!stays->n) ok = x->action == CARE_DROP_STORED ? care_collect_stored(k, x, e, stays)
                                                      : os_unlink(x->path.p, e);
    if (made && held && x->action != CARE_DROP_STORED) os_unlink(x->lock_cstr, &taken);
    char *beside = x->action == CARE_DROP_PARTIAL ? os_path_dir(k->arena, x->path.p) : NULL;
    if (beside && str_eq(os_path_base(beside), STR(".mlxk"))) os_rmdir(beside, &taken);
    os_lock_release(&lock);
    return ok;
}

/* ---- (Public) ---- */

static void care_collect_stayed(struct care_plan *p, const struct care_item *x, struct str why) {
    struct care_kept *grown =
        ARENA_GROW(p->arena, struct care_kept, p->kept, p->n_kept, &p->cap_kept, 16);
    if (!grown) return;
    p->kept = grown;
    p->kept[p->n_kept++] = (struct care_kept){ x->path, why, false };
}

static bool care_collect_one(struct care_collecting *k, struct care_item *x, struct err *e) {
    struct str stays = STR_EMPTY;
    if (!care_collect_look(k, x, e)) return false;
    if (x->action == CARE_DROP_REVISION) stays = care_collect_changed(k, x);
    if (stays.n) {
        care_collect_stayed(k->plan, x, stays);
        return true;
    }
    bool ok, found;
    struct cache_removal rest;
    if (x->action == CARE_DROP_REVISION) ok = care_collect_removed(k, x, e);
    else if (x->action == CARE_DROP_WASTE)
        ok = cache_remove_rest(k->arena, k->cache, x->repo, false, &found, &rest, e);
    else ok = care_collect_file(k, x, &stays, e);
    if (stays.n) care_collect_stayed(k->plan, x, stays);
    x->done = ok && !stays.n;
    if (x->done) k->freed_bytes += x->bytes;
    return ok;
}

/* What removals that were killed have left in .locks/<folder>/, and pulls of links. */
static bool care_collect_rests(struct care_collecting *k, struct err *e) {
    struct os_entry *entries;
    size_t n;
    struct err none = { 0 };
    bool found, ok = true;
    char *dir = care_format(k->arena, "%s/.locks", k->cache->root_cstr);
    if (!dir || !os_list_dir(k->arena, dir, CARE_MAX_ENTRIES, &entries, &n, &none)) return true;
    for (size_t i = 0; ok && i < n; i++) {
        struct cache_removal freed = { 0 };
        if (entries[i].kind != OS_DIR || !cache_is_folder(entries[i].name)) continue;
        struct str repo = cache_repo_name(k->arena, entries[i].name);
        ok = !cache_name_ok(repo, &none) ||
             cache_remove_rest(k->arena, k->cache, repo, false, &found, &freed, e);
        k->freed_bytes += freed.freed_bytes;
        if (cache_name_ok(repo, &none)) cache_links_sweep(k->cache, repo);
    }
    return ok;
}

/* Nobody publishes between a look and what follows from it; others get their turn now and then. */
static bool care_collect_all(struct care_collecting *k, struct care_plan *p, struct err *first) {
    const struct cache *c = k->cache;
    struct cache_guard g;
    for (size_t i = 0; i < p->n && !os_interrupted();) {
        int64_t until_ns = os_now_ns() + CARE_COLLECT_TURN_NS;
        if (!cache_guard_begin(c, &g, first)) return false;
        k->cache = &g.cache;
        k->folder = STR_EMPTY;
        do {
            struct err failed = { 0 };
            if (!care_collect_one(k, &p->items[i], &failed) && first->code == ERR_OK)
                *first = failed;
        } while (++i < p->n && !os_interrupted() && os_now_ns() < until_ns);
        k->cache = c;
        cache_guard_end(&g);
    }
    return true;
}

MLXK_FN bool care_collect(const struct cache *c, struct care_plan *p, uint64_t *freed_bytes,
                          struct err *e) {
    struct arena scratch;
    struct care_collecting k = { .arena = &scratch, .cache = c, .plan = p };
    struct err first = { 0 };
    arena_init(&scratch, (size_t)4 << 30);
    map_init(&k.repo.blobs, 16);
    if (care_collect_rests(&k, &first)) care_collect_all(&k, p, &first);
    if (os_interrupted() && first.code == ERR_OK)
        err_set(&first, ERR_INTERRUPTED, "stopped before everything was removed");
    care_repo_release(&k.repo);
    arena_release(&scratch);
    *freed_bytes = k.freed_bytes;
    if (first.code != ERR_OK) *e = first;
    return first.code == ERR_OK;
}

#undef CARE_COLLECT_TURN_NS
