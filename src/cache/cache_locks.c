/* cache_locks.c: lock files of a repo, shared with every other hub client.
 *
 * A lock says "somebody is writing this blob": it saves bandwidth, it never makes anything correct
 * (hub facts 1.8); that is the work of temporaries, hashes and renames. Lock files stay behind
 * after every download, so their mere presence means nothing; only a lock that is held does.
 *
 * 1. Locks of a repo are the files below .locks/<its folder>, not of one whose name begins alike.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

enum { CACHE_GUARD_WAIT_MS = 30000, CACHE_GUARD_TRIES = 10 };

MLXK_FN bool cache_lock_path(char out[LIMIT_PATH], const struct cache *c, struct str folder,
                             struct str etag, struct err *e) {
    return CACHE_PATH(out, e, str_cstr(c->root_cstr), STR("/.locks/"), folder, STR("/"), etag,
                      STR(".lock"));
}

/* A lock left by a finished download: its blob is there, or it is named like a blob and nothing of
 * that is unfinished (the blob went with its revision, or became a file of a snapshot: hub facts
 * 1.13). Anything else may still be wanted. */
static bool cache_lock_is_finished(const char *blobs_cstr, const struct os_entry *blobs,
                                   size_t n_blobs, struct str file) {
    char path[LIMIT_PATH];
    struct err ignored = { 0 };
    struct os_stat st;
    struct str etag = str_sub(file, 0, file.n - STR(".lock").n);
    if (CACHE_PATH(path, &ignored, str_cstr(blobs_cstr), STR("/"), etag) && os_stat(path, &st) &&
        st.kind == OS_FILE) {
        return true;
    }
    bool finished = cache_blob_hash(etag) != CACHE_OPAQUE;
    for (size_t i = 0; finished && i < n_blobs; i++) {
        finished = !str_starts(blobs[i].name, etag);
    }
    return finished;
}

static bool cache_lock_is_held(const char *path_cstr) {
    struct err e = { 0 };
    struct os_lock lock;
    if (os_lock_acquire(&lock, path_cstr, 0, &e)) {
        os_lock_release(&lock);
        return false;
    }
    return e.code == ERR_LOCKED;
}

/* ---- (Public) ---- */

MLXK_FN bool cache_guard_begin(const struct cache *c, struct cache_guard *g, struct err *e) {
    char path[LIMIT_PATH];
    struct err why = { 0 };
    struct os_stat st;
    *g = (struct cache_guard){ .cache = *c, .lock = { .fd = -1 } };
    g->cache.guarded = true;
    if (c->guarded) {
        return true;
    }
    for (int i = 0; i < CACHE_GUARD_TRIES; i++) { /* the folder may go while we wait */
        err_clear(&why);
        if (CACHE_PATH(path, &why, str_cstr(c->root_cstr), STR("/.locks")) &&
            (g->made_folder = !os_lstat(path, &st), true) && os_mkdirs(path, &why) &&
            CACHE_PATH(path, &why, str_cstr(c->root_cstr), STR("/.locks/mlxk.lock")) &&
            os_lock_acquire(&g->lock, path, CACHE_GUARD_WAIT_MS, &why)) {
            return true;
        }
        if (why.code != ERR_NOT_FOUND) {
            break;
        }
    }
    g->lock.fd = -1;
    if (why.code == ERR_INTERRUPTED) {
        *e = why;
        return false;
    }
    log_write(LOG_INFO, "going on without a lock on the cache: %s", why.msg);
    return true;
}

/* Who waits for a lock file that goes notices and makes another (os_lock_acquire). */
MLXK_FN void cache_guard_end(struct cache_guard *g) {
    char folder[LIMIT_PATH];
    struct err kept = { 0 };
    bool ours = g->lock.fd >= 0;
    if (ours) {
        (void)os_unlink(g->lock.path, &kept);
    }
    os_lock_release(&g->lock);
    if (ours && g->made_folder &&
        CACHE_PATH(folder, &kept, str_cstr(g->cache.root_cstr), STR("/.locks"))) {
        (void)os_rmdir(folder, &kept);
    }
    g->made_folder = false;
}

MLXK_FN bool cache_locks_read(struct arena *a, const struct cache *c, struct str repo,
                              struct cache_locks *out, struct err *e) {
    char folder[CACHE_FOLDER_MAX], dir[LIMIT_PATH], blobs[LIMIT_PATH], path[LIMIT_PATH];
    struct os_entry *entries = NULL, *present = NULL;
    size_t n = 0, n_present = 0;
    struct err none = { 0 };
    *out = (struct cache_locks){ 0 };
    if (!cache_folder_into(folder, repo, e) ||
        !CACHE_PATH(dir, e, str_cstr(c->root_cstr), STR("/.locks/"), str_cstr(folder)) ||
        !CACHE_PATH(blobs, e, str_cstr(c->root_cstr), STR("/"), str_cstr(folder), STR("/blobs"))) {
        return false;
    }
    if (!os_list_dir(a, dir, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        return none.code == ERR_NOT_FOUND ? true : (*e = none, false);
    }
    if (n && !os_list_dir(a, blobs, CACHE_MAX_ENTRIES, &present, &n_present, &none)) {
        n_present = 0;
    }
    out->files = ARENA_ARRAY(a, struct str, n);
    for (size_t i = 0; out->files && i < n; i++) {
        if (entries[i].kind != OS_FILE || !str_ends(entries[i].name, STR(".lock")) ||
            !CACHE_PATH(path, &none, str_cstr(dir), STR("/"), entries[i].name)) {
            continue;
        }
        bool held = cache_lock_is_held(path);
        out->n_held += held;
        out->n_open += held || !cache_lock_is_finished(blobs, present, n_present,
                                                          entries[i].name);
        out->files[out->n] = str_format(a, ".locks/%s/" STR_FMT, folder, STR_ARG(entries[i].name));
        if (!out->files[out->n++].p) {
            return err_oom(e, n, "the lock files of a repository");
        }
    }
    return out->files != NULL ||
           err_oom(e, n * sizeof(struct str), "the lock files of a repository");
}
