/* hub_pull.c: a whole snapshot into the cache.
 *
 *   info (commit, files) -> filter -> plan (what is there, is there room) -> allowed? -> blobs
 *   -> links (a new snapshot's are made meanwhile, and shown in one step) -> tree -> ref
 *
 * Invariants
 *  1. The order is such that a kill at any moment leaves a cache that every tool reads: a snapshot
 *     appears when all its blobs are there, a ref when its snapshot is.
 *  2. What is complete is not written again: a cache that cannot be written is good enough for it.
 *  3. A file counts as there when its blob (or, in caches without links, the file itself) has the
 *     right size; its bytes are the concern of health and verify.
 * ref: hub facts 1.3-1.7, 1.13.
 */
#include "hub/hub_int.h"

enum {
    HUB_PULL_LONGEST_MS = 300000,    /* a wait before the download; it meets longer ones itself */
    HUB_PULL_ASIDE = 256,            /* links made in one go, a millisecond or two */
};

struct hub_plan {
    struct hub_repo repo;
    const struct hub_file **wanted; size_t n_wanted;     /* pass the filters */
    struct hub_planned *planned;                         /* of each wanted */
    const struct hub_file **missing; size_t n_missing;   /* blobs to fetch, each once, */
    uint64_t *part_bytes;                                /* and what there is of each */
    const struct hub_file **unlinked; size_t n_unlinked; /* of wanted: not in the snapshot yet */
    uint64_t total_bytes, there_bytes, begun_bytes;      /* of all blobs; in the cache, whole or */
    uint64_t held_bytes;                                 /* begun; of the disk, by these */
    bool shows, stores;                                  /* there is a snapshot; there are blobs */
    bool deep;                                           /* some unlinked ones lie in folders */
};
/* The links of a new snapshot, made while its blobs arrive. */
struct hub_ahead {
    const struct hub_job *job;
    const struct hub_plan *plan;
    struct cache_links links;
    bool works, swept;           /* swept: what killed processes left */
    size_t n;
};

/* ---- what is there (Private) ----------------------------------------------------------------- */

static char *hub_pull_snapshot(struct arena *a, const struct cache *c, struct str repo,
                               struct str commit) {
    char *dir = cache_repo_dir(a, c, repo), *commit_cstr = str_dup_cstr(a, commit);
    char *snapshots = dir ? os_path_join(a, dir, "snapshots") : NULL;
    return snapshots && commit_cstr ? os_path_join(a, snapshots, commit_cstr) : NULL;
}

/* The snapshot shows this file: a link to its blob, or itself where links cannot be. */
static bool hub_pull_is_linked(struct arena *a, const char *snapshot_cstr,
                               const struct hub_file *f) {
    struct err ignored = { 0 };
    struct os_stat link, target;
    char *name_cstr = str_dup_cstr(a, f->path),
         *path = name_cstr ? os_path_join(a, snapshot_cstr, name_cstr) : NULL;
    if (!path || !os_lstat(path, &link) || !os_stat(path, &target)) return false;
    if (target.kind != OS_FILE || target.size_bytes != f->size_bytes) return false;
    if (link.kind == OS_FILE) return true;
    char *to = os_readlink(a, path, &ignored);
    return to && str_eq(os_path_base(to), f->etag);
}

static bool hub_pull_look(struct hub_plan *p, const struct cache *c,
                          const struct hub_pull_options *o, const char *snapshot_cstr,
                          size_t i, struct map *seen, struct err *e) {
    const struct hub_file *f = p->wanted[i];
    struct arena scratch;
    uint64_t size_bytes = 0;
    bool is_new;
    arena_init(&scratch, (size_t)1 << 20);
    bool linked = p->shows && hub_pull_is_linked(&scratch, snapshot_cstr, f);
    arena_release(&scratch);
    bool there = linked
                 || (p->stores && cache_blob_exists(c, o->repo, f->etag, &size_bytes)
                     && size_bytes == f->size_bytes);
    if (o->redownload) there = linked = false;
    if (!map_put(seen, f->etag, &is_new))
        return err_oom(e, p->repo.n_files * 32, "the plan of a download");
    struct hub_planned *x = &p->planned[i];
    *x = (struct hub_planned){ .file = f, .there = there, .linked = linked };
    if (there) x->have_bytes = f->size_bytes;
    if (is_new) {
        uint64_t held_bytes = 0;
        p->total_bytes += f->size_bytes;
        if (!there && p->stores && !o->redownload)
            x->have_bytes = cache_blob_partial(c, o->repo, f->etag, f->size_bytes, &held_bytes);
        if (there) p->there_bytes += f->size_bytes;
        else {
            p->begun_bytes += x->have_bytes;
            p->held_bytes += held_bytes > x->have_bytes ? held_bytes : x->have_bytes;
            p->part_bytes[p->n_missing] = x->have_bytes;
            p->missing[p->n_missing++] = f;
        }
    }
    if (linked) return true;
    p->unlinked[p->n_unlinked++] = f;
    p->deep = p->deep || str_find_char(f->path, '/') >= 0;
    return true;
}

/* ---- the plan (Private) ---------------------------------------------------------------------- */

static bool hub_pull_filter(struct arena *a, struct hub_plan *p, const struct hub_pull_options *o,
                            struct err *e) {
    struct str *include, *exclude;
    p->wanted = ARENA_ARRAY(a, const struct hub_file *, p->repo.n_files);
    if (!p->wanted) return err_oom(e, p->repo.n_files * 8, "the plan of a download");
    if (!hub_filter_prepare(a, o->include, o->n_include, &include, e)
        || !hub_filter_prepare(a, o->exclude, o->n_exclude, &exclude, e))
        return false;
    for (size_t i = 0; i < p->repo.n_files; i++)
        if (hub_filter_keeps(include, o->n_include, exclude, o->n_exclude, p->repo.files[i].path))
            p->wanted[p->n_wanted++] = &p->repo.files[i];
    if (p->n_wanted) return true;
    if (p->repo.n_files == 0)
        return err_set(e, ERR_NOT_FOUND, STR_FMT " has no files at " STR_FMT, STR_ARG(o->repo),
                       STR_ARG(p->repo.commit));
    err_set(e, ERR_NOT_FOUND, "none of the %zu files of " STR_FMT " fits the patterns",
            p->repo.n_files, STR_ARG(o->repo));
    return err_hint(e, "patterns are matched against whole paths, and '*' also crosses '/': try "
                       "--include '*.safetensors'");
}

/* The files of a lock: each must be there with the same content. */
static bool hub_pull_frozen(struct arena *a, struct hub_plan *p, const struct hub_pull_options *o,
                            struct err *e) {
    const struct hub_lock *lock = o->frozen;
    struct map paths;
    map_init(&paths, HUB_MAX_FILES);
    p->wanted = ARENA_ARRAY(a, const struct hub_file *, lock->n_files);
    bool ok = p->wanted || err_oom(e, lock->n_files * 8, "the plan of a download");
    for (size_t i = 0; ok && i < p->repo.n_files; i++) {
        uint64_t *at = map_put(&paths, p->repo.files[i].path, NULL);
        ok = at || err_oom(e, p->repo.n_files * 32, "the plan of a download");
        if (ok) *at = i;
    }
    for (size_t i = 0; ok && i < lock->n_files; i++) {
        const struct hub_file *want = &lock->files[i];
        const uint64_t *at = map_get(&paths, want->path);
        const struct hub_file *have = at ? &p->repo.files[*at] : NULL;
        bool same = have && str_eq(have->etag, want->etag) && have->size_bytes == want->size_bytes;
        if (same) p->wanted[p->n_wanted++] = have;
        else
            ok = err_set(e, ERR_INTEGRITY,
                         STR_FMT " of " STR_FMT " at " STR_FMT " is not the file of the lock: %s",
                         STR_ARG(want->path), STR_ARG(o->repo), STR_ARG(p->repo.commit),
                         have ? "its hash or size differs" : "it is not in the hub's list");
    }
    map_release(&paths);
    return ok;
}

static bool hub_pull_plan(struct arena *a, const struct cache *c, const struct hub_pull_options *o,
                          const char *snapshot_cstr, struct hub_plan *p, struct err *e) {
    struct map seen;
    if (!(o->frozen ? hub_pull_frozen(a, p, o, e) : hub_pull_filter(a, p, o, e))) return false;
    p->missing = ARENA_ARRAY(a, const struct hub_file *, p->n_wanted);
    p->unlinked = ARENA_ARRAY(a, const struct hub_file *, p->n_wanted);
    p->planned = ARENA_ARRAY(a, struct hub_planned, p->n_wanted);
    p->part_bytes = ARENA_ARRAY(a, uint64_t, p->n_wanted);
    char *repo_cstr = cache_repo_dir(a, c, o->repo);
    char *blobs_cstr = repo_cstr ? os_path_join(a, repo_cstr, "blobs") : NULL;
    if (!p->missing || !p->unlinked || !p->planned || !p->part_bytes || !blobs_cstr)
        return err_oom(e, p->n_wanted * 8, "the plan of a download");
    struct os_stat st;                   /* in a new repository nothing need be looked for */
    p->shows = os_stat(snapshot_cstr, &st);
    p->stores = os_stat(blobs_cstr, &st);
    map_init(&seen, HUB_MAX_FILES);
    bool ok = true;
    for (size_t i = 0; ok && i < p->n_wanted; i++) {
        uint64_t sum = p->total_bytes;
        ok = hub_pull_look(p, c, o, snapshot_cstr, i, &seen, e);
        if (ok && p->total_bytes < sum)
            ok = err_set(e, ERR_LIMIT,
                         "the sizes in the file list of " STR_FMT " add up to too much",
                         STR_ARG(o->repo));
    }
    map_release(&seen);
    return ok;
}

/* Bytes that the disk has still to take: of begun files it holds some already. */
static uint64_t hub_pull_coming(const struct hub_plan *p) {
    uint64_t absent_bytes = p->total_bytes - p->there_bytes;
    return absent_bytes > p->held_bytes ? absent_bytes - p->held_bytes : 0;
}

/* ---- execution (Private) --------------------------------------------------------------------- */

/* The endpoint that told of the commit may not have the files: then another may. */
static bool hub_pull_allowed(const struct hub_job *j, const struct hub_file *f, struct err *e) {
    struct err first = { 0 };
    for (size_t i = 0; i < j->hub->n_endpoints; i++) {
        struct err one = { 0 };
        struct hub view = hub_at(j->hub, (j->hub->at + i) % j->hub->n_endpoints);
        struct hub_ask ask = { .hub = &view, .repo = j->repo, .commit = j->commit, .file = f };
        int64_t wait_ms;
        bool allowed = hub_download_allowed(&ask, &wait_ms, &one);
        if (allowed && one.code && wait_ms > 0 && wait_ms <= HUB_PULL_LONGEST_MS
            && !hub_wait(&view, wait_ms, &one)) {
            *e = one;
            return false;
        }
        if (allowed) return true;
        if (i == 0) first = one;
    }
    *e = first;
    return err_context(e, STR_FMT ": ", STR_ARG(f->path));
}

static void hub_pull_ahead(void *ctx) {
    struct hub_ahead *x = ctx;
    size_t end = x->n + HUB_PULL_ASIDE;
    if (!x->swept) cache_temps_sweep(x->job->cache, x->job->repo);
    x->swept = true;
    for (; x->works && x->n < x->plan->n_unlinked && x->n < end; x->n++) {
        const struct hub_file *f = x->plan->unlinked[x->n];
        x->works = cache_links_try(&x->links, f->path, f->etag);
    }
}

static bool hub_pull_fetch(struct hub_job *j, const struct hub_plan *p, struct hub_ahead *ahead,
                           struct err *e) {
    for (size_t i = 0; i < p->n_unlinked; i++)
        if (!cache_names_taken(j->cache, p->unlinked[i]->path, e)) return false;
    if (!cache_repo_begin(j->cache, j->repo, e)) return false;
    ahead->works = p->n_unlinked > 1 && p->n_unlinked == p->n_wanted
                   && cache_links_ahead(j->cache, j->repo, &ahead->links);
    j->aside = hub_pull_ahead;
    j->aside_ctx = ahead;
    bool ok = hub_pool_fetch(j, p->missing, p->part_bytes, p->n_missing, e);
    while (ok && ahead->works && ahead->n < p->n_unlinked) hub_pull_ahead(ahead);
    return ok;
}

static bool hub_pull_blobs(struct hub_job *j, const struct hub_plan *p, struct str brings,
                           uint64_t keep_bytes, struct hub_ahead *ahead, struct err *e) {
    struct cache_room room;
    if (p->n_missing == 0) return true;
    uint64_t fits_bytes = 0;
    for (size_t i = 0; i < p->n_missing; i++) {
        const struct hub_file *f = p->missing[i];
        if (f->size_bytes <= fits_bytes) continue;
        if (!cache_file_fits(j->cache, f->path, f->size_bytes, e)) return false;
        fits_bytes = f->size_bytes;
    }
    if (!hub_pull_allowed(j, p->missing[0], e)
        || !cache_room_take(j->cache, brings, hub_pull_coming(p), keep_bytes, &room, e))
        return false;
    j->room = &room;
    bool ok = hub_pull_fetch(j, p, ahead, e);
    cache_room_give(&room);
    return ok;
}

static bool hub_pull_tree(struct arena *a, const struct cache *c, const struct hub_repo *repo,
                          struct err *e) {
    struct cache_tree_file *files = ARENA_ARRAY(a, struct cache_tree_file, repo->n_files);
    if (!files) return err_oom(e, repo->n_files * sizeof *files, "the file list of a commit");
    for (size_t i = 0; i < repo->n_files; i++) {
        const struct hub_file *f = &repo->files[i];
        files[i] = (struct cache_tree_file){ .path = f->path,
                                             .size_bytes = f->size_bytes,
                                             .blob_id = f->git_oid,
                                             .xet_hash = f->xet_hash };
        if (f->lfs) {
            files[i].lfs_sha256 = f->etag;
            files[i].lfs_size = f->size_bytes;
        }
    }
    return cache_tree_write(c, repo->name, repo->commit, files, repo->n_files, e);
}

/* A commit asked for by its digits gets no ref: it is its own name. */
static bool hub_pull_ref(const struct cache *c, const struct hub_pull_options *o, struct str commit,
                         struct err *e) {
    struct str revision = o->revision.n ? o->revision : STR("main");
    if (o->frozen && o->frozen->revision.n) revision = o->frozen->revision;
    if (str_is_hex(revision, revision.n) && revision.n >= 7 && str_starts(commit, revision))
        return true;
    return cache_ref_write(c, o->repo, revision, commit, e);
}

/* The plan found part of the files shown. A snapshot is removed as a whole, so one look tells
 * whether that still holds. */
static bool hub_pull_holds(const struct hub_plan *p, const char *snapshot_cstr, struct err *e) {
    struct os_stat st;
    if (p->n_unlinked == p->n_wanted || os_stat(snapshot_cstr, &st)) return true;
    err_set(e, ERR_NOT_FOUND, "%s was removed while it was being completed", snapshot_cstr);
    return err_hint(e, "run the command again to fetch all of it");
}

static bool hub_pull_names_ok(struct arena *a, const struct cache *c,
                              const struct hub_pull_options *o, const struct hub_plan *p,
                              struct err *e) {
    struct str *paths = ARENA_ARRAY(a, struct str, p->n_wanted + 1);
    for (size_t i = 0; paths && i < p->n_wanted; i++) paths[i] = p->wanted[i]->path;
    return (paths || err_oom(e, p->n_wanted * sizeof *paths, "the names of files"))
           && cache_paths_ok(c, o->repo, paths, p->n_wanted, e);
}

/* All links that are missing: at once when they are made already, else one by one. */
static bool hub_pull_links(const struct cache *c, const struct hub_pull_options *o,
                           const struct hub_plan *p, struct hub_ahead *ahead,
                           struct hub_pull_result *out, struct err *e) {
    struct cache_links links;
    bool ok = cache_links_open(c, o->repo, p->repo.commit, &links, e);
    for (size_t i = 0; ok && ahead->works && i < p->n_unlinked; i++)
        ok = cache_links_blob(&links, p->unlinked[i]->etag, e);
    if (ok && ahead->works && cache_links_show(&links, &ahead->links))
        out->n_linked = p->n_unlinked;
    for (size_t i = out->n_linked; ok && i < p->n_unlinked; i++) {
        ok = cache_links_add(&links, p->unlinked[i]->path, p->unlinked[i]->etag, e);
        out->n_linked += ok;
    }
    cache_links_close(&links);
    return ok;
}

static bool hub_pull_show_guarded(struct arena *a, const struct cache *c,
                                  const struct hub_pull_options *o, const struct hub_plan *p,
                                  struct hub_ahead *ahead, struct hub_pull_result *out,
                                  struct err *e) {
    struct err kept = { 0 };
    if (!hub_pull_holds(p, out->snapshot_cstr, e) || !hub_pull_names_ok(a, c, o, p, e))
        return false;
    if (p->n_missing && !cache_sync(c, o->repo, STR_EMPTY, false, e)) return false;
    if (p->n_unlinked && !hub_pull_links(c, o, p, ahead, out, e)) return false;
    if (out->n_linked && !cache_sync(c, o->repo, p->repo.commit, p->deep, e)) return false;
    if (hub_pull_tree(a, c, &p->repo, &kept) && hub_pull_ref(c, o, p->repo.commit, &kept))
        return true;
    if (kept.code == ERR_READ_ONLY && out->n_fetched == 0 && out->n_linked == 0) {
        log_write(LOG_INFO, "the cache cannot be written: %s", kept.msg);
        return true;
    }
    *e = kept;
    return false;
}

static bool hub_pull_show(struct arena *a, const struct cache *c, const struct hub_pull_options *o,
                          const struct hub_plan *p, struct hub_ahead *ahead,
                          struct hub_pull_result *out, struct err *e) {
    struct cache_guard g;
    if (!cache_guard_begin(c, &g, e)) return false;
    bool ok = hub_pull_show_guarded(a, &g.cache, o, p, ahead, out, e);
    if (ok && !ahead->swept) cache_temps_sweep(&g.cache, o->repo);
    else if (ok) cache_links_sweep(&g.cache, o->repo);   /* of who was killed beside this pull */
    cache_guard_end(&g);
    return ok;
}

/* ---- (Public) -------------------------------------------------------------------------------- */

static bool hub_pull_run(struct arena *a, struct hub *h, const struct cache *c,
                         const struct hub_pull_options *o, struct hub_pull_result *out,
                         struct err *e) {
    struct hub_plan p = { .n_wanted = 0 };
    struct str revision = o->frozen ? o->frozen->commit : o->revision;
    if (!hub_repo_info(a, h, o->repo, revision, &p.repo, e)) return false;
    if (o->frozen && !str_eq(p.repo.commit, revision))
        return err_set(e, ERR_INTEGRITY,
                       "the hub answers with commit " STR_FMT ", the lock says " STR_FMT,
                       STR_ARG(p.repo.commit), STR_ARG(revision));
    out->commit = p.repo.commit;
    out->snapshot_cstr = hub_pull_snapshot(a, c, o->repo, p.repo.commit);
    if (!out->snapshot_cstr) return err_oom(e, LIMIT_PATH, "a path");
    if (!hub_pull_plan(a, c, o, out->snapshot_cstr, &p, e)) return false;
    out->n_files = p.n_wanted;
    out->filtered = p.n_wanted < p.repo.n_files;
    out->planned = p.planned;
    out->n_planned = p.n_wanted;
    out->total_bytes = p.total_bytes;
    out->need_bytes = p.total_bytes - p.there_bytes - p.begun_bytes;
    struct str brings = str_format(a, STR_FMT "@" STR_FMT, STR_ARG(o->repo), STR_ARG(out->commit));
    if (p.n_missing
        && !cache_room_check(c, brings, hub_pull_coming(&p), o->keep_free_bytes, e))
        return false;
    if (o->dry_run) return true;
    if (!cache_spelling_ok(c, o->repo, e)) return false;
    struct hub_job job = { .hub = h,
                           .cache = c,
                           .repo = o->repo,
                           .commit = p.repo.commit,
                           .redownload = o->redownload,
                           .max_streams = o->max_streams,
                           .result = out };
    job.event = (struct hub_event){ .kind = HUB_PLAN,
                                    .done_bytes = p.there_bytes + p.begun_bytes,
                                    .total_bytes = p.total_bytes, .total_files = p.n_wanted,
                                    .done_files = p.n_wanted - p.n_missing };
    struct hub_ahead ahead = { .job = &job, .plan = &p };
    bool ok = hub_tell(h, &job.event, e)
              && hub_pull_blobs(&job, &p, brings, o->keep_free_bytes, &ahead, e)
              && hub_pull_show(a, c, o, &p, &ahead, out, e);
    cache_links_drop(&ahead.links);
    return ok;
}

/* All files of the lock are in the snapshot already: nobody need be asked. */
static bool hub_pull_frozen_there(struct arena *a, const struct cache *c,
                                  const struct hub_pull_options *o, struct hub_pull_result *out) {
    const struct hub_lock *lock = o->frozen;
    char *snapshot_cstr = hub_pull_snapshot(a, c, o->repo, lock->commit);
    struct str ref = cache_ref_read(a, c, o->repo, lock->revision);
    if (!snapshot_cstr || (lock->revision.n && !str_eq(ref, lock->commit))) return false;
    for (size_t i = 0; i < lock->n_files; i++)
        if (!hub_pull_is_linked(a, snapshot_cstr, &lock->files[i])) return false;
    out->commit = lock->commit;
    out->snapshot_cstr = snapshot_cstr;
    out->n_files = lock->n_files;
    return true;
}

MLXK_FN bool hub_pull(struct arena *a, struct hub *h, const struct cache *c,
                      const struct hub_pull_options *o, struct hub_pull_result *out,
                      struct err *e) {
    *out = (struct hub_pull_result){ .n_files = 0 };
    if (o->frozen && !o->redownload && hub_pull_frozen_there(a, c, o, out)) return true;
    if (h->offline) {
        err_set(e, ERR_NET, "HF_HUB_OFFLINE is set, so " STR_FMT " is not fetched",
                STR_ARG(o->repo));
        return err_hint(e, "unset it to ask " STR_FMT, STR_ARG(h->endpoint));
    }
    struct cache late = *c;              /* names of many files reach the device together */
    late.late_sync = true;
    h->event = o->event;
    h->ctx = o->ctx;
    bool ok = hub_pull_run(a, h, &late, o, out, e);
    h->event = NULL;
    h->ctx = NULL;
    if (ok && !o->dry_run) cache_parts_sweep(a, c, o->repo);
    return ok;
}

MLXK_FN bool hub_is_complete(struct arena *a, const struct cache *c, struct str repo,
                             struct str commit) {
    struct cache_tree_file *files;
    struct err none = { 0 };
    size_t n;
    char *snapshot_cstr = hub_pull_snapshot(a, c, repo, commit);
    if (!snapshot_cstr || !cache_tree_read(a, c, repo, commit, &files, &n, &none) || n == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool lfs = files[i].lfs_sha256.n > 0;
        struct hub_file f = { .path = files[i].path,
                              .size_bytes = lfs ? files[i].lfs_size : files[i].size_bytes,
                              .etag = lfs ? files[i].lfs_sha256 : files[i].blob_id };
        if (!hub_pull_is_linked(a, snapshot_cstr, &f)) return false;
    }
    return true;
}
