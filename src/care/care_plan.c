/* care_plan.c: what can go, and what stays although nobody seems to want it, with the reason.
 *
 *   leftovers      blobs that no snapshot shows, unfinished downloads, temporaries, lock files,
 *                  lists and absences of commits that are gone, payload of the shared store without
 *                  a user
 *   revisions      without a ref (on request), all but the newest N, the least recently used until
 *                  enough is free
 *
 * Stays, always: what is open or mapped in another process, what a held lock protects, what was
 * touched lately, every leftover of a repo in which somebody works right now, what refs/main names
 * (unless room is to be made), snapshots that hold files of others, and everything foreign.
 *
 * 1. Only reads; care_collect looks at each thing again before it goes.
 * 2. A repo that cannot be read whole keeps everything.
 */
#include "care/care_int.h"

#define CARE_PLAN_GRACE_NS ((int64_t)3600 * 1000000000)     /* leftovers younger than that stay */
#define CARE_PLAN_LEASE_NS ((int64_t)600 * 1000000000)     /* as long as a lease may be silent */

struct care_planning {
    struct arena *arena;
    const struct cache *cache;
    const struct care_plan_options *options;
    struct care_plan *plan;
    struct buf candidates;       /* struct care_candidate: revisions that --until-free may take */
};
struct care_candidate { struct care_item item; int64_t used_ns; };

/* ---- lists ---- */

static struct care_item *care_plan_add(struct care_planning *p, enum care_action action,
                                       const struct care_repo *r, struct str path, struct str why) {
    struct care_plan *o = p->plan;
    struct care_item *grown =
        ARENA_GROW(p->arena, struct care_item, o->items, o->n, &o->cap, 64);
    if (!grown) {
        o->failed = true;
        return NULL;
    }
    o->items = grown;
    struct care_item *x = &o->items[o->n++];
    *x = (struct care_item){ .action = action, .why = why,
                             .path = str_cstr(str_dup_cstr(p->arena, path)) };
    if (r) x->repo = str_dup(p->arena, r->name);
    if (r) x->folder = str_dup(p->arena, r->folder);
    o->failed = o->failed || !x->path.p;
    return x;
}

static void care_plan_keep(struct care_planning *p, struct str path, struct str why, bool foreign) {
    struct care_plan *o = p->plan;
    struct care_kept *grown =
        ARENA_GROW(p->arena, struct care_kept, o->kept, o->n_kept, &o->cap_kept, 64);
    if (!grown) {
        o->failed = true;
        return;
    }
    o->kept = grown;
    o->kept[o->n_kept++] =
        (struct care_kept){ str_dup(p->arena, path), str_dup(p->arena, why), foreign };
}

/* ---- who works here ---- */

static int64_t care_plan_grace(const struct care_planning *p) {
    return p->options->older_ns >= 0 ? p->options->older_ns : CARE_PLAN_GRACE_NS;
}

static bool care_plan_is_young(const struct care_planning *p, const struct os_stat *st) {
    return p->options->now_ns - st->mtime_ns < care_plan_grace(p);
}

static char *care_plan_lock(struct arena *a, const struct care_planning *p, struct str folder,
                            struct str etag) {
    return care_format(a, "%s/.locks/" STR_FMT "/" STR_FMT ".lock", p->cache->root_cstr,
                       STR_ARG(folder), STR_ARG(etag));
}

/* Why this repo's leftovers may be the beginning of something; empty = nobody works here. */
static struct str care_plan_busy(struct arena *a, struct care_planning *p,
                                 const struct care_repo *r) {
    struct os_entry *locks;
    size_t n = 0;
    struct err none = { 0 };
    char *dir = care_format(a, "%s/.locks/" STR_FMT, p->cache->root_cstr, STR_ARG(r->folder));
    if (dir && os_list_dir(a, dir, CARE_MAX_ENTRIES, &locks, &n, &none)) {
        for (size_t i = 0; i < n; i++) {
            char *path = care_format(a, "%s/" STR_FMT, dir, STR_ARG(locks[i].name));
            if (!path || !str_ends(locks[i].name, STR(".lock"))) continue;
            if (os_lock_look(path) == OS_LOCK_HELD)
                return STR("another process holds a lock of this repository");
        }
    }
    for (size_t i = 0; i < r->n; i++) {
        const struct care_entry *x = &r->entries[i];
        if (x->kind != CARE_PARTIAL) continue;
        bool lease = str_ends(x->name, STR(".lease")) &&
                     p->options->now_ns - x->st.mtime_ns < CARE_PLAN_LEASE_NS;
        if (lease || os_users_has(&p->plan->users, &x->st))
            return STR("another process is downloading into this repository");
    }
    return STR_EMPTY;
}

/* Why this very file stays, or empty. */
static struct str care_plan_stays(struct care_planning *p, const struct os_stat *st,
                                  struct str busy) {
    if (busy.n) return busy;
    if (os_users_has(&p->plan->users, st)) return STR("open in another process");
    if (care_plan_is_young(p, st)) return STR("changed a short while ago");
    return STR_EMPTY;
}

/* ---- leftovers of a repo ---- */

static bool care_plan_has(const struct care_repo *r, struct str commit) {
    for (size_t i = 0; i < r->n_revisions; i++)
        if (str_eq(r->revisions[i].commit, commit)) return true;
    return false;
}

/* Another name of the same file is in use by a snapshot (caches without links). */
static bool care_plan_shown_as_copy(const struct care_repo *r, const struct care_entry *x) {
    for (size_t i = 0; x->st.n_links > 1 && i < r->n; i++) {
        const struct care_entry *y = &r->entries[i];
        if (y->kind == CARE_COPY && y->st.inode == x->st.inode && y->st.device == x->st.device)
            return true;
    }
    return false;
}

static void care_plan_leftover(struct care_planning *p, const struct care_repo *r,
                               const struct care_entry *x, enum care_action action, struct str why,
                               struct str busy) {
    struct str path = str_cstr(x->path_cstr), stays = care_plan_stays(p, &x->st, busy);
    if (stays.n) {
        care_plan_keep(p, path, stays, false);
        return;
    }
    struct care_item *y = care_plan_add(p, action, r, path, why);
    if (!y) return;
    y->st = x->st;
    y->bytes = x->st.n_links > 1 ? 0 : x->st.disk_bytes;
    y->name = str_dup(p->arena, x->name);
    if (action == CARE_DROP_PARTIAL) y->lock_cstr = care_plan_lock(p->arena, p, r->folder,
                                                                   care_partial_etag(x->name));
    if (action == CARE_DROP_BLOB) y->lock_cstr = care_plan_lock(p->arena, p, r->folder, x->name);
}

static void care_plan_blob(struct care_planning *p, const struct care_repo *r,
                           const struct care_entry *x, struct str busy) {
    if (x->n_revisions || care_plan_shown_as_copy(r, x)) return;
    if (cache_blob_hash(x->name) == CACHE_OPAQUE)
        care_plan_keep(p, str_cstr(x->path_cstr), STR("its name is that of no blob"), true);
    else
        care_plan_leftover(p, r, x, CARE_DROP_BLOB, STR("no snapshot shows it"), busy);
}

static void care_plan_entry(struct care_planning *p, const struct care_repo *r,
                            const struct care_entry *x, struct str busy) {
    switch (x->kind) {
    case CARE_BLOB: care_plan_blob(p, r, x, busy); return;
    case CARE_PARTIAL:
        care_plan_leftover(p, r, x, CARE_DROP_PARTIAL,
                           str_ends(x->name, STR(CARE_DAMAGED)) ? STR("a damaged copy, set aside")
                                                                : STR("an unfinished download"),
                           busy);
        return;
    case CARE_TEMP:
        care_plan_leftover(p, r, x, CARE_DROP_TEMP, STR("left by an interrupted program"), busy);
        return;
    case CARE_TREE:
    case CARE_PROOF:
        if (!care_plan_has(r, x->name))
            care_plan_leftover(p, r, x, CARE_DROP_TREE, STR("its commit has no snapshot"), busy);
        return;
    case CARE_ABSENCE:
        if (!care_plan_has(r, x->commit))
            care_plan_leftover(p, r, x, CARE_DROP_ABSENCE, STR("its commit has no snapshot"), busy);
        return;
    case CARE_FOREIGN:
        care_plan_keep(p, str_cstr(x->path_cstr), STR("no hub client made it"), true);
        return;
    default: return;
    }
}

/* ---- lock files ---- */

static void care_plan_waste(struct arena *scratch, struct care_planning *p, const char *path_cstr,
                            struct str folder, const struct os_stat *st, struct str busy) {
    struct str stays = care_plan_stays(p, st, busy);         /* a young one is being removed now */
    if (stays.n) {
        care_plan_keep(p, str_cstr(path_cstr), stays, false);
        return;
    }
    struct care_item *x = care_plan_add(p, CARE_DROP_WASTE, NULL, str_cstr(path_cstr),
                                        STR("a removal that was interrupted"));
    if (!x) return;
    x->folder = str_dup(p->arena, folder);
    x->repo = str_dup(p->arena, cache_repo_name(scratch, folder));
    x->st = *st;
}

static void care_plan_locks(struct arena *scratch, struct care_planning *p,
                            const struct care_repo *r, struct str folder, struct str busy) {
    struct os_entry *locks;
    size_t n = 0;
    struct err none = { 0 };
    char *dir = care_format(scratch, "%s/.locks/" STR_FMT, p->cache->root_cstr, STR_ARG(folder));
    if (!dir || !os_list_dir(scratch, dir, CARE_MAX_ENTRIES, &locks, &n, &none)) return;
    for (size_t i = 0; i < n; i++) {
        struct os_stat st;
        char *path = care_format(scratch, "%s/" STR_FMT, dir, STR_ARG(locks[i].name));
        if (!path || !os_lstat(path, &st)) continue;
        bool lock = str_ends(locks[i].name, STR(".lock")), temp = care_is_temp(locks[i].name);
        if (st.kind == OS_DIR && str_ends(locks[i].name, STR(".removed")) &&
            cache_is_folder(folder)) {
            care_plan_waste(scratch, p, path, folder, &st, busy);
            continue;
        }
        if (st.kind != OS_FILE || (!lock && !temp)) {
            care_plan_keep(p, str_cstr(path), STR("no hub client made it"), true);
            continue;
        }
        enum os_lock_state state = lock ? os_lock_look(path) : OS_LOCK_FREE;
        struct str stays = state == OS_LOCK_HELD      ? STR("another process holds it")
                           : state == OS_LOCK_UNKNOWN ? STR("whether it is held is not known")
                                                      : care_plan_stays(p, &st, STR_EMPTY);
        if (stays.n) {                           /* young ones lie after every download */
            if (state != OS_LOCK_FREE) care_plan_keep(p, str_cstr(path), stays, false);
            continue;
        }
        struct care_item *x =
            care_plan_add(p, lock ? CARE_DROP_LOCK : CARE_DROP_TEMP, r, str_cstr(path),
                          lock ? STR("nobody holds it") : STR("left by an interrupted program"));
        if (!x) return;
        x->st = st;
        x->bytes = st.disk_bytes;
        x->folder = str_dup(p->arena, folder);
        x->lock_cstr = lock ? x->path.p : NULL;
    }
}

/* ---- revisions ---- */

static int care_revision_order(const void *x, const void *y) {   /* refs/main, then newest first */
    const struct care_revision *a = x, *b = y;
    if (a->is_main != b->is_main) return a->is_main ? -1 : 1;
    if (a->mtime_ns != b->mtime_ns) return a->mtime_ns > b->mtime_ns ? -1 : 1;
    return str_cmp(a->commit, b->commit);
}

static bool care_plan_in_tree(const struct care_entry *x, const struct cache_tree_file *tree,
                              size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(tree[i].path, x->name)) return true;
    return false;
}

/* Why a revision stays whatever the policy says, or empty. */
static struct str care_plan_revision_stays(struct arena *a, struct care_planning *p,
                                           const struct care_repo *r, const struct care_revision *v,
                                           struct str busy) {
    struct cache_tree_file *tree;
    size_t n = 0;
    bool listed = care_tree_of(a, r, v->commit, &tree, &n), links = false;
    if (busy.n) return busy;
    for (size_t i = 0; i < r->n; i++)
        links =
            links || (r->entries[i].kind == CARE_LINK && str_eq(r->entries[i].commit, v->commit));
    for (size_t i = 0; i < r->n; i++) {
        const struct care_entry *x = &r->entries[i];
        if (!str_eq(x->commit, v->commit)) continue;
        const struct os_stat *st = x->kind == CARE_LINK ? &x->target : &x->st;
        if ((x->kind == CARE_LINK || x->kind == CARE_COPY) && os_users_has(&p->plan->users, st))
            return STR("open in another process");
        bool own = x->kind == CARE_COPY && (listed ? !care_plan_in_tree(x, tree, n) : links);
        if (own || (x->kind == CARE_FOREIGN && x->commit.n))
            return str_format(p->arena, "holds " STR_FMT ", which no hub client put there",
                              STR_ARG(x->name));
    }
    return STR_EMPTY;
}

/* Something in the repo stays whatever becomes of its last revision. */
static bool care_plan_has_guests(const struct care_planning *p, const struct care_repo *r) {
    for (size_t i = 0; i < r->n; i++) {
        const struct care_entry *x = &r->entries[i];
        bool leftover = x->kind == CARE_PARTIAL || x->kind == CARE_TEMP ||
                        (x->kind == CARE_BLOB && !x->n_revisions && !care_plan_shown_as_copy(r, x));
        if (x->kind == CARE_FOREIGN || (leftover && care_plan_is_young(p, &x->st)) ||
            (x->kind == CARE_BLOB && cache_blob_hash(x->name) == CACHE_OPAQUE && !x->n_revisions))
            return true;
    }
    return false;
}

static struct care_item care_plan_revision(struct care_planning *p, const struct care_repo *r,
                                           const struct care_revision *v, struct str why) {
    struct care_item x = { .action = CARE_DROP_REVISION, .bytes = v->own_bytes, .why = why };
    x.repo = str_dup(p->arena, r->name);
    x.folder = str_dup(p->arena, r->folder);
    x.commit = x.name = str_dup(p->arena, v->commit);
    x.path = str_cstr(str_dup_cstr(p->arena, str_cstr(v->dir_cstr)));
    os_lstat(v->dir_cstr, &x.st);
    x.alone = !str_eq(r->type, STR("models")) || care_plan_has_guests(p, r);
    p->plan->failed = p->plan->failed || !x.path.p || !x.commit.p;
    return x;
}

static void care_plan_take(struct care_planning *p, const struct care_item *x) {
    struct care_item *y = care_plan_add(p, x->action, NULL, x->path, x->why);
    if (y) *y = *x;
}

static void care_plan_revisions(struct arena *a, struct care_planning *p, const struct care_repo *r,
                                struct str busy) {
    const struct care_plan_options *o = p->options;
    const void **sorted = ARENA_ARRAY(a, const void *, r->n_revisions + 1);
    if (!sorted) {
        p->plan->failed = true;
        return;
    }
    for (size_t i = 0; i < r->n_revisions; i++) sorted[i] = &r->revisions[i];
    care_sort(sorted, r->n_revisions, care_revision_order);
    for (size_t i = 0; i < r->n_revisions; i++) {
        const struct care_revision *v = sorted[i];
        bool beyond = o->keep_last >= 0 && (int64_t)i >= o->keep_last && !v->is_main;
        bool fresh = o->revision_ns >= 0 && o->now_ns - v->used_ns < o->revision_ns;
        bool candidate = o->until_free && (o->keep_last < 0 || beyond) && !fresh;
        bool surplus = !o->until_free && beyond && !fresh;
        bool detached = o->detached && !v->n_refs && !fresh && !(o->keep_last >= 0 && !beyond);
        if (!candidate && !surplus && !detached) continue;
        struct str stays = care_plan_revision_stays(a, p, r, v, busy);
        if (stays.n) {
            care_plan_keep(p, str_cstr(v->dir_cstr), stays, false);
            continue;
        }
        struct care_item x = care_plan_revision(p, r, v,
                                                detached    ? STR("no ref names it")
                                                : candidate ? STR("least recently used")
                                                            : STR("older than those to keep"));
        struct care_candidate later = { x, v->used_ns };
        if (detached || surplus) care_plan_take(p, &x);
        else buf_add_bytes(&p->candidates, &later, sizeof later);
    }
}

static int care_candidate_order(const void *x, const void *y) {
    const struct care_candidate *a = x, *b = y;
    if (a->used_ns != b->used_ns) return a->used_ns < b->used_ns ? -1 : 1;
    return str_cmp(a->item.path, b->item.path);
}

/* Least recently used first, until the goal is reached. */
static void care_plan_until_free(struct care_planning *p) {
    struct care_plan *o = p->plan;
    size_t n = p->candidates.n / sizeof(struct care_candidate);
    struct care_candidate *list = (struct care_candidate *)(void *)p->candidates.p;
    const void **sorted = ARENA_ARRAY(p->arena, const void *, n + 1);
    uint64_t sum = 0;
    for (size_t i = 0; i < o->n; i++) sum += o->items[i].bytes;
    for (size_t i = 0; sorted && i < n; i++) sorted[i] = &list[i];
    if (sorted) care_sort(sorted, n, care_candidate_order);
    for (size_t i = 0; sorted && i < n && o->free_bytes + sum < o->goal_bytes; i++) {
        const struct care_candidate *x = sorted[i];
        care_plan_take(p, &x->item);
        sum += x->item.bytes;
    }
    o->reached = o->free_bytes + sum >= o->goal_bytes;
    o->failed = o->failed || !sorted || p->candidates.failed;
}

/* ---- the shared store (hub facts 1.12) ---- */

MLXK_FN bool care_store_used(struct arena *a, const struct cache *c, struct str manifest,
                             const struct os_stat *payload) {
    while (manifest.n) {
        struct err unsafe = { 0 };
        struct os_stat st;
        struct str line = str_trim(str_cut(&manifest, '\n'));
        if (!line.n) continue;
        if (!cache_path_ok(line, &unsafe)) return true;
        char *path = care_format(a, "%s/" STR_FMT, c->root_cstr, STR_ARG(line));
        if (!path
            || (os_stat(path, &st) && st.inode == payload->inode && st.device == payload->device))
            return true;
    }
    return false;
}

static void care_plan_payload(struct arena *a, struct care_planning *p, const char *path_cstr,
                              struct str name) {
    struct os_stat st, refs;
    struct str text;
    struct err none = { 0 };
    char *manifest = care_format(a, "%s.refs", path_cstr),
         *lock = care_format(a, "%s.lock", path_cstr);
    if (!manifest || !lock || !os_lstat(path_cstr, &st) || st.kind != OS_FILE) return;
    if (!os_read_file(a, manifest, CARE_MAX_TREE, &text, &none) || !os_lstat(manifest, &refs)) {
        care_plan_keep(p, str_cstr(path_cstr), STR("nothing tells who uses it"), false);
        return;
    }
    if (care_store_used(a, p->cache, text, &st)) return;
    struct str stays = care_plan_stays(p, &st, STR_EMPTY);
    if (!stays.n && care_plan_is_young(p, &refs)) stays = STR("changed a short while ago");
    if (!stays.n && os_lock_look(lock) == OS_LOCK_HELD)
        stays = STR("another process holds its lock");
    if (stays.n) {
        care_plan_keep(p, str_cstr(path_cstr), stays, false);
        return;
    }
    struct care_item *x = care_plan_add(p, CARE_DROP_STORED, NULL, str_cstr(path_cstr),
                                        STR("no repository uses it"));
    if (!x) return;
    x->st = st;
    x->bytes = st.disk_bytes;
    x->name = str_dup(p->arena, name);
    x->lock_cstr = str_dup_cstr(p->arena, str_cstr(lock));
    x->repo = STR("shared store");
}

static void care_plan_store(struct arena *a, struct care_planning *p) {
    struct os_entry *folders, *files;
    size_t n = 0, n_files = 0;
    struct err none = { 0 };
    struct os_stat st;
    char *dir = care_format(a, "%s/blobs", p->cache->root_cstr);
    char *mark = dir ? care_format(a, "%s/.huggingface-shared-blobs", dir) : NULL;
    if (!mark || !os_lstat(mark, &st)
        || !os_list_dir(a, dir, CARE_MAX_ENTRIES, &folders, &n, &none))
        return;                                  /* without the mark it is somebody else's folder */
    for (size_t i = 0; i < n; i++) {
        char *sub = care_format(a, "%s/" STR_FMT, dir, STR_ARG(folders[i].name));
        if (!sub || folders[i].kind != OS_DIR || !str_is_hex(folders[i].name, 2) ||
            !os_list_dir(a, sub, CARE_MAX_ENTRIES, &files, &n_files, &none))
            continue;
        for (size_t k = 0; k < n_files; k++) {
            char *path = care_format(a, "%s/" STR_FMT, sub, STR_ARG(files[k].name));
            if (path && str_is_hex(files[k].name, 64)) care_plan_payload(a, p, path, files[k].name);
        }
    }
}

/* ---- the root ---- */

static void care_plan_root(struct arena *a, struct care_planning *p) {
    static const char *const known[] = { "blobs", ".locks", "CACHEDIR.TAG", "version.txt" };
    struct os_entry *entries;
    size_t n = 0;
    struct err none = { 0 };
    if (!os_list_dir(a, p->cache->root_cstr, CARE_MAX_ENTRIES, &entries, &n, &none)) return;
    for (size_t i = 0; i < n; i++) {
        bool expected = entries[i].kind == OS_DIR && care_is_repo_folder(entries[i].name);
        for (size_t k = 0; k < MLXK_COUNT(known); k++)
            expected = expected || str_eq_cstr(entries[i].name, known[k]);
        char *path = care_format(a, "%s/" STR_FMT, p->cache->root_cstr, STR_ARG(entries[i].name));
        if (!expected && path)
            care_plan_keep(p, str_cstr(path), STR("no hub client made it"), true);
    }
}

/* Lock folders of repos that are gone. */
static void care_plan_lost_locks(struct arena *a, struct care_planning *p) {
    struct os_entry *entries;
    size_t n = 0;
    struct err none = { 0 };
    struct os_stat st;
    char *dir = care_format(a, "%s/.locks", p->cache->root_cstr);
    if (!dir || !os_list_dir(a, dir, CARE_MAX_ENTRIES, &entries, &n, &none)) return;
    for (size_t i = 0; i < n; i++) {
        char *repo = care_format(a, "%s/" STR_FMT, p->cache->root_cstr, STR_ARG(entries[i].name));
        if (repo && entries[i].kind == OS_DIR && care_is_repo_folder(entries[i].name) &&
            !os_lstat(repo, &st))
            care_plan_locks(a, p, NULL, entries[i].name, STR_EMPTY);
    }
}

static bool care_plan_repo(struct care_planning *p, struct str folder, struct err *e) {
    struct arena scratch;
    struct care_repo r;
    arena_init(&scratch, (size_t)4 << 30);
    bool ok = os_go_on(e) && care_repo_read(&scratch, p->cache, folder, &r, e);
    if (ok && r.away) {
        care_plan_keep(p, str_cstr(r.away_path),
                       STR("a link to another folder: the repository is left alone"), false);
    } else if (ok && r.unreadable) {
        care_plan_keep(p, str_cstr(r.dir_cstr), STR("a folder in it cannot be read"), false);
    } else if (ok) {
        struct str busy = care_plan_busy(&scratch, p, &r);
        for (size_t i = 0; i < r.n; i++) care_plan_entry(p, &r, &r.entries[i], busy);
        care_plan_locks(&scratch, p, &r, folder, busy);
        care_plan_revisions(&scratch, p, &r, busy);
    }
    care_repo_release(&r);
    arena_release(&scratch);
    return ok;
}

/* ---- (Public) ---- */

MLXK_FN const char *care_action_name(enum care_action action) {
    static const char *const names[] = {
        "unlinked blob",       "partial",  "temporary",     "lock", "file list", "absence",
        "interrupted removal", "revision", "stored payload"
    };
    return names[action];
}

MLXK_FN bool care_plan_make(struct arena *a, const struct cache *c,
                            const struct care_plan_options *o, struct care_plan *out,
                            struct err *e) {
    struct care_planning p = { .arena = a, .cache = c, .options = o, .plan = out };
    struct str one = o->folder, *folders = &one;
    struct os_room room;
    struct err unknown = { 0 };
    size_t n = 1;
    *out = (struct care_plan){ .arena = a, .goal_bytes = o->until_free, .reached = true };
    if (!os_users_read(a, &out->users, e)) return false;
    out->users_known = out->users.known;
    out->n_hidden = out->users.n_hidden;
    if (os_room_read(c->root_cstr, &room, &unknown)) out->free_bytes = room.free_bytes;
    if (!o->folder.n && !care_repos(a, c, false, &folders, &n, e)) return false;
    buf_init(&p.candidates, SIZE_MAX);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) ok = care_plan_repo(&p, folders[i], e);
    if (ok && !o->folder.n) {
        struct arena scratch;
        arena_init(&scratch, (size_t)1 << 30);
        care_plan_lost_locks(&scratch, &p);
        care_plan_store(&scratch, &p);
        care_plan_root(&scratch, &p);
        arena_release(&scratch);
    }
    if (ok && o->until_free) care_plan_until_free(&p);
    buf_release(&p.candidates);
    for (size_t i = 0; i < out->n; i++) out->bytes += out->items[i].bytes;
    return ok && (!out->failed || err_oom(e, out->n * sizeof(struct care_item), "the plan"));
}

MLXK_FN void care_plan_release(struct care_plan *p) { os_users_release(&p->users); }

#undef CARE_PLAN_GRACE_NS
#undef CARE_PLAN_LEASE_NS
