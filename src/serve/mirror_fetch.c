/* mirror_fetch.c: files that are not there yet: fetched once, sent to all who wait while they
 * arrive.
 *
 *   request -> flight of that blob (new: queued for a fetcher; running: joined)
 *   fetcher -> hub_fetch into blobs/, telling how far it is -> link, refs -> done, or failed
 *   request -> sends what is in place, up to the last MIRROR_FETCH_HOLD bytes -> the rest when the
 *   hash
 *              was right; else the connection is cut, so nobody holds a whole file with wrong bytes
 *
 * Invariants
 *  1. A blob has one flight at a time, however many ask for it, and it ends whether they stay or
 *     go.
 *  2. A small file is sent only when it is whole and verified.
 *  3. A reader that has sent bytes of an attempt that was thrown away is cut, and so is one whose
 *     open file is not the one that was finished: another process may have begun anew.
 */
#include "serve/mirror_int.h"

enum {
    MIRROR_FETCH_HOLD = 65536,
    MIRROR_FETCH_SMALL = 1 << 20,        /* waited for as a whole */
    MIRROR_FETCH_PIECE = 1 << 22,        /* sent at a time, then looked whether all is well */
    MIRROR_FETCH_TELL = 1 << 20,         /* bytes between two wake-ups of the readers */
    MIRROR_FETCH_TICK_MS = 1000,
};

/* ---- flights (Private): mutex held ----------------------------------------------------------- */

static bool mirror_fetch_is_over(const struct mirror_flight *f) {
    return f->state == MIRROR_LANDED || f->state == MIRROR_CRASHED;
}

static void mirror_fetch_drop(struct mirror_flight *f) {
    if (f->n_users || !mirror_fetch_is_over(f)) return;
    arena_release(&f->arena);
    memset(f, 0, sizeof *f);
}

static struct mirror_flight *mirror_fetch_lookup(struct mirror_upstream *u, struct str repo,
                                                 struct str etag) {
    for (int i = 0; i < MIRROR_FLIGHTS; i++) {
        struct mirror_flight *f = &u->flights[i];
        bool live = f->state == MIRROR_QUEUED || f->state == MIRROR_RUNNING;
        if (live && str_eq(f->repo, repo) && str_eq(f->file.etag, etag)) return f;
    }
    return NULL;
}

static bool mirror_fetch_fill(struct mirror_flight *f, struct str repo, struct str commit,
                              const struct mirror_file *file) {
    arena_init(&f->arena, (size_t)1 << 16);
    f->repo = str_dup(&f->arena, repo);
    f->commit = str_dup(&f->arena, commit);
    f->file = (struct hub_file){ .path = str_dup(&f->arena, file->path),
                                 .size_bytes = file->size_bytes,
                                 .etag = str_dup(&f->arena, file->etag),
                                 .git_oid = str_dup(&f->arena, file->git_oid),
                                 .lfs = file->lfs };
    return f->repo.p && f->commit.p && f->file.path.p && f->file.etag.p && f->file.git_oid.p;
}

static struct mirror_flight *mirror_fetch_new(struct mirror_upstream *u, struct str repo,
                                              struct str commit, const struct mirror_file *file) {
    for (int i = 0; i < MIRROR_FLIGHTS; i++) {
        struct mirror_flight *f = &u->flights[i];
        if (f->state != MIRROR_NONE) continue;
        if (!mirror_fetch_fill(f, repo, commit, file)) {
            arena_release(&f->arena);
            memset(f, 0, sizeof *f);
            return NULL;
        }
        f->state = MIRROR_QUEUED;
        f->number = ++u->n_flights;
        return f;
    }
    return NULL;
}

/* ---- fetchers (Private) ---------------------------------------------------------------------- */

struct mirror_fetch_run { struct mirror *m; struct mirror_flight *f; };

static bool mirror_fetch_progress(void *ctx, const char *partial_cstr, uint64_t have_bytes) {
    struct mirror_fetch_run *r = ctx;
    struct mirror_flight *f = r->f;
    struct mirror_upstream *u = r->m->upstream;
    os_mutex_lock(&u->mutex);
    if (have_bytes < f->have_bytes) f->generation++;
    f->have_bytes = have_bytes;
    if (!f->partial_cstr) f->partial_cstr = str_dup_cstr(&f->arena, str_cstr(partial_cstr));
    uint64_t told = f->told_bytes;
    bool tell = have_bytes < told || have_bytes - told >= MIRROR_FETCH_TELL
                || have_bytes == f->file.size_bytes || told == 0;
    if (tell) {
        f->told_bytes = have_bytes;
        os_cond_broadcast(&u->change);
    }
    bool go_on = !u->ending;
    os_mutex_unlock(&u->mutex);
    return go_on;
}

/* Every name of this blob in the commit, and files without a byte, which nobody asks for. */
static bool mirror_fetch_link(const struct cache *c, const struct mirror_list *l, struct str repo,
                              struct str etag, struct err *e) {
    struct str commit = str_cstr(l->commit);
    for (size_t i = 0; i < l->n; i++) {
        const struct mirror_file *f = &l->files[i];
        bool empty = f->size_bytes == 0;
        uint64_t size_bytes;
        if (!empty && !str_eq(f->etag, etag)) continue;
        if (empty && !cache_blob_exists(c, repo, f->etag, &size_bytes)
            && !cache_blob_store(c, repo, f->etag, STR(""), e))
            return false;
        if (!cache_link(c, repo, commit, f->path, f->etag, e)) return false;
    }
    return true;
}

static bool mirror_fetch_publish(struct mirror *m, const struct mirror_list *l,
                                 const char *tree_cstr, struct str repo, struct str etag,
                                 struct err *e) {
    struct cache_guard g;
    struct os_stat st;
    if (!cache_guard_begin(&m->cache, &g, e)) return false;
    bool ok = mirror_fetch_link(&g.cache, l, repo, etag, e)
              && (!l->told || os_stat(tree_cstr, &st)
                  || cache_tree_write(&g.cache, repo, str_cstr(l->commit), l->told, l->n, e));
    if (ok) mirror_upstream_refs(m, &g.cache, repo, str_cstr(l->commit));
    cache_guard_end(&g);
    return ok;
}

MLXK_FN void mirror_fetch_show(struct mirror *m, struct str repo, struct str commit,
                               struct str etag) {
    struct arena a;
    struct err why = { 0 };
    arena_init(&a, (size_t)1 << 16);
    char *dir_cstr = cache_repo_dir(&a, &m->cache, repo);
    struct mirror_list *l = dir_cstr ? mirror_list_get(m, dir_cstr, commit, false, &why) : NULL;
    char *tree_cstr = l ? str_dup_cstr(&a, str_format(&a, "%s/trees/%s.json", dir_cstr, l->commit))
                        : NULL;
    if (tree_cstr) (void)mirror_fetch_publish(m, l, tree_cstr, repo, etag, &why);
    if (why.code != ERR_OK) log_write(LOG_WARN, "%s", why.msg);
    mirror_list_give(m, l);
    arena_release(&a);
}

static void mirror_fetch_fly(struct mirror *m, struct mirror_flight *f) {
    struct mirror_upstream *u = m->upstream;
    struct hub h = u->hub;
    struct mirror_fetch_run run = { m, f };
    struct err why = { 0 };
    struct hub_fetch what = { .cache = &m->cache, .repo = f->repo, .commit = f->commit,
                              .file = &f->file, .progress = mirror_fetch_progress, .ctx = &run };
    bool ok = hub_fetch(&h, &what, &why);
    if (ok) {
        atomic_fetch_add(&m->counters.upstream_files, 1);
        atomic_fetch_add(&m->counters.upstream_bytes, f->file.size_bytes);
        mirror_fetch_show(m, f->repo, f->commit, f->file.etag);
    } else {
        atomic_fetch_add(&m->counters.upstream_failures, 1);
        log_write(LOG_WARN, "upstream: " STR_FMT ": %s", STR_ARG(f->repo), why.msg);
    }
    os_mutex_lock(&u->mutex);
    f->state = ok ? MIRROR_LANDED : MIRROR_CRASHED;
    f->why = why;
    os_cond_broadcast(&u->change);
    mirror_fetch_drop(f);
    os_mutex_unlock(&u->mutex);
}

/* Mutex held: the flight that waits longest. */
static struct mirror_flight *mirror_fetch_next(struct mirror_upstream *u) {
    struct mirror_flight *first = NULL;
    for (int i = 0; i < MIRROR_FLIGHTS; i++) {
        struct mirror_flight *f = &u->flights[i];
        if (f->state == MIRROR_QUEUED && (!first || f->number < first->number)) first = f;
    }
    return first;
}

static void mirror_fetch_thread(void *ctx) {
    struct mirror *m = ctx;
    struct mirror_upstream *u = m->upstream;
    os_mutex_lock(&u->mutex);
    while (!u->ending) {
        struct mirror_flight *f = mirror_fetch_next(u);
        if (!f) {
            (void)os_cond_wait(&u->wanted, &u->mutex, -1);
            continue;
        }
        f->state = MIRROR_RUNNING;
        os_mutex_unlock(&u->mutex);
        mirror_fetch_fly(m, f);
        os_mutex_lock(&u->mutex);
    }
    os_mutex_unlock(&u->mutex);
}

MLXK_FN bool mirror_fetch_start(struct mirror *m, struct err *e) {
    struct mirror_upstream *u = m->upstream;
    for (int i = 0; i < MIRROR_FETCHERS; i++) {
        u->threads[i] = os_thread_start(mirror_fetch_thread, m, e);
        if (!u->threads[i]) return false;
    }
    return true;
}

MLXK_FN void mirror_fetch_stop(struct mirror *m) {
    struct mirror_upstream *u = m->upstream;
    os_mutex_lock(&u->mutex);
    u->ending = true;
    os_cond_broadcast(&u->wanted);
    os_cond_broadcast(&u->change);
    os_mutex_unlock(&u->mutex);
    os_interrupt_raise();                /* what arrived is kept and gone on from next time */
    for (int i = 0; i < MIRROR_FETCHERS; i++)
        if (u->threads[i]) os_thread_join(u->threads[i]);
    for (int i = 0; i < MIRROR_FLIGHTS; i++)
        if (u->flights[i].state != MIRROR_NONE) arena_release(&u->flights[i].arena);
}

/* ---- readers (Public to the room) ------------------------------------------------------------ */

MLXK_FN struct mirror_flight *mirror_fetch_join(struct mirror *m, struct str repo,
                                                struct str commit, const struct mirror_file *file) {
    struct mirror_upstream *u = m->upstream;
    os_mutex_lock(&u->mutex);
    struct mirror_flight *f = mirror_fetch_lookup(u, repo, file->etag);
    atomic_fetch_add(f ? &m->counters.cache_joined : &m->counters.cache_misses, 1);
    if (!f) {
        f = mirror_fetch_new(u, repo, commit, file);
        os_cond_signal(&u->wanted);
    }
    if (f) f->n_users++;
    os_mutex_unlock(&u->mutex);
    return f;
}

MLXK_FN void mirror_fetch_leave(struct mirror *m, struct mirror_flight *f) {
    os_mutex_lock(&m->upstream->mutex);
    f->n_users--;
    mirror_fetch_drop(f);
    os_mutex_unlock(&m->upstream->mutex);
}

static struct mirror_view mirror_fetch_look(const struct mirror_flight *f) {
    return (struct mirror_view){ .state = f->state, .have_bytes = f->have_bytes,
                                 .generation = f->generation, .partial_cstr = f->partial_cstr,
                                 .code = f->why.code };
}

/* Until the flight is over, or has more than at_least bytes in place. false: the client has
 * gone. */
static bool mirror_fetch_wait(struct mirror *m, struct httpd_exchange *x, struct mirror_flight *f,
                              uint64_t at_least, struct mirror_view *v) {
    struct mirror_upstream *u = m->upstream;
    bool gone = false;
    os_mutex_lock(&u->mutex);
    while (!mirror_fetch_is_over(f) && f->have_bytes <= at_least && !gone && !u->ending) {
        (void)os_cond_wait(&u->change, &u->mutex, MIRROR_FETCH_TICK_MS);
        os_mutex_unlock(&u->mutex);
        gone = httpd_gone(x);
        os_mutex_lock(&u->mutex);
    }
    *v = mirror_fetch_look(f);
    gone = gone || u->ending;
    os_mutex_unlock(&u->mutex);
    return !gone;
}

MLXK_FN bool mirror_fetch_ready(struct mirror *m, struct httpd_exchange *x,
                                struct mirror_flight *f, uint64_t from, struct mirror_view *v) {
    bool small = f->file.size_bytes <= MIRROR_FETCH_SMALL;
    uint64_t safe = f->file.size_bytes - (small ? 0 : MIRROR_FETCH_HOLD);
    return mirror_fetch_wait(m, x, f, small || from >= safe ? UINT64_MAX : from, v);
}

/* The finished blob is the file that the reader has open. */
static bool mirror_fetch_is_same(const struct mirror *m, const struct mirror_flight *f, int fd) {
    struct arena a;
    struct os_stat open, done;
    arena_init(&a, (size_t)1 << 16);
    char *dir_cstr = cache_repo_dir(&a, &m->cache, f->repo);
    struct str text =
        dir_cstr ? str_format(&a, "%s/blobs/" STR_FMT, dir_cstr, STR_ARG(f->file.etag)) : STR_EMPTY;
    char *path_cstr = text.p ? str_dup_cstr(&a, text) : NULL;
    bool same = path_cstr && os_stat(path_cstr, &done) && os_fstat(fd, &open)
                && done.inode == open.inode && done.device == open.device;
    arena_release(&a);
    return same;
}

MLXK_FN bool mirror_fetch_stream(struct mirror *m, struct httpd_exchange *x,
                                 struct mirror_flight *f, int fd, uint64_t from, uint64_t to,
                                 struct mirror_view v, struct err *e) {
    unsigned generation = v.generation;
    uint64_t safe = f->file.size_bytes - MIRROR_FETCH_HOLD;
    bool partial = v.state != MIRROR_LANDED;
    while (from < to) {
        bool other = partial && v.state == MIRROR_LANDED && !mirror_fetch_is_same(m, f, fd);
        if (v.state == MIRROR_CRASHED || v.generation != generation || other)
            return err_set(e, ERR_INTEGRITY, "the file could not be fetched whole and right");
        uint64_t end = v.state == MIRROR_LANDED ? to : v.have_bytes < safe ? v.have_bytes : safe;
        if (end > to) end = to;
        if (from < end) {
            uint64_t n = end - from < MIRROR_FETCH_PIECE ? end - from : MIRROR_FETCH_PIECE;
            if (!httpd_send_file(x, fd, from, n, e)) return false;
            from += n;
        }
        if (from == to) break;
        uint64_t at_least = from < safe ? from : UINT64_MAX;
        if (!mirror_fetch_wait(m, x, f, at_least, &v))
            return err_set(e, ERR_NET, "the reader has gone");
    }
    return true;
}
