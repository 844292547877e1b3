/* cache_copies.c: the files of a commit as plain files in a folder of their own.
 *
 *   plan: file list of the commit (or what the snapshot holds), and where the bytes of each lie
 *   copy: share blocks (reflink) -> else read, hash, write -> sync; folders are synced at the end,
 *         and small files, too, where they are many: a disk needs milliseconds for each
 *
 * 1. Nothing is shared with the cache that an edit could reach: a reflink shares blocks until one
 *    side changes, a hard link would share the changes and is made on demand only.
 * 2. Every byte is hashed on its way, shared blocks too, where the name of the blob promises a
 *    hash: a damaged blob becomes an error that names the file, never a copy.
 * 3. The cache is only read.
 * It does not choose the folder's final name, nor fetch what is missing.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

enum { CACHE_COPIES_CHUNK = 1 << 18, CACHE_COPIES_SMALL = 1 << 20, CACHE_COPIES_MANY = 64 };

/* ---- the plan ---- */

static bool cache_copies_at(struct arena *a, const char *path_cstr, uint64_t size_bytes,
                            const char **out) {
    struct os_stat st;
    struct err gone = { 0 };
    bool there = os_stat(path_cstr, &st) && st.kind == OS_FILE && st.size_bytes == size_bytes;
    *out = there ? os_path_real(a, path_cstr, &gone) : NULL;   /* a hard link to a link is a link */
    return *out != NULL;
}

/* Where the bytes of f lie in this cache: under its name, or as a blob that is not linked yet. */
static bool cache_copies_find(struct arena *a, const char *repo_dir_cstr, struct str commit,
                              struct cache_copy *f) {
    char path[LIMIT_PATH];
    struct err unfit = { 0 };
    struct str repo = str_cstr(repo_dir_cstr);
    return (CACHE_PATH(path, &unfit, repo, STR("/snapshots/"), commit, STR("/"), f->path) &&
            cache_copies_at(a, path, f->size_bytes, &f->from_cstr)) ||
           (f->etag.n && CACHE_PATH(path, &unfit, repo, STR("/blobs/"), f->etag) &&
            cache_copies_at(a, path, f->size_bytes, &f->from_cstr));
}

static bool cache_copies_of_tree(struct arena *a, const struct cache_tree_file *files, size_t n,
                                 struct cache_copy **out, struct err *e) {
    *out = ARENA_ARRAY(a, struct cache_copy, n);
    for (size_t i = 0; *out && i < n; i++) {
        bool lfs = files[i].lfs_sha256.n > 0;
        (*out)[i] = (struct cache_copy){ .path = files[i].path,
                                         .size_bytes = lfs ? files[i].lfs_size
                                                           : files[i].size_bytes,
                                         .etag = lfs ? files[i].lfs_sha256 : files[i].blob_id };
    }
    return *out || err_oom(e, n * sizeof **out, "the files of a copy");
}

/* Without a file list: what the snapshot holds, named by the blobs that its links lead to. */
static bool cache_copies_of_snapshot(struct arena *a, const char *snapshot_cstr,
                                     struct cache_copy **out, size_t *n, struct err *e) {
    struct cache_scan *scan = cache_scan_dir(a, snapshot_cstr, e);
    struct cache_fence fence;
    struct str inside;
    if (!scan || !cache_fence_open(a, snapshot_cstr, &fence, e)) return false;
    *out = ARENA_ARRAY(a, struct cache_copy, scan->n);
    *n = 0;
    for (size_t i = 0; *out && i < scan->n; i++) {
        const struct cache_file *f = &scan->files[i];
        struct err none = { 0 };
        char path[LIMIT_PATH];
        if (!cache_path_ok(f->path, e) ||
            !CACHE_PATH(path, e, str_cstr(snapshot_cstr), STR("/"), f->path) ||
            (f->is_link && !cache_fence_check(a, &fence, path, &inside, e))) {
            return false;
        }
        char *to = f->is_link ? os_readlink(a, path, &none) : NULL;
        struct str etag = to ? os_path_base(to) : STR_EMPTY;
        (*out)[(*n)++] = (struct cache_copy){
            .path = f->path,
            .size_bytes = f->size_bytes,
            .etag = cache_blob_hash(etag) == CACHE_OPAQUE ? STR_EMPTY : etag,
        };
    }
    return *out || err_oom(e, sizeof **out, "the files of a copy");
}

MLXK_FN bool cache_copies_locate(struct arena *a, const struct cache *c, const struct cache *also,
                                 struct str repo, struct str commit, struct cache_copy *files,
                                 size_t n, struct err *e) {
    char *dir = cache_repo_dir(a, c, repo), *also_dir = also ? cache_repo_dir(a, also, repo) : NULL;
    if (!dir || (also && !also_dir)) {
        return err_oom(e, LIMIT_PATH, "a path");
    }
    for (size_t i = 0; i < n; i++) {
        files[i].from_cstr = NULL;
        files[i].ours = !cache_copies_find(a, dir, commit, &files[i]) && also_dir &&
                        cache_copies_find(a, also_dir, commit, &files[i]);
    }
    return true;
}

MLXK_FN bool cache_copies_plan(struct arena *a, const struct cache *c, const struct cache *also,
                               struct str repo, struct str commit, struct cache_copy **out,
                               size_t *n, struct err *e) {
    struct cache_tree_file *files;
    char snapshot[LIMIT_PATH];
    char *dir = cache_repo_dir(a, c, repo);
    if (!dir) {
        return err_oom(e, LIMIT_PATH, "a path");
    }
    bool listed = cache_tree_read(a, c, repo, commit, &files, n, e) ||
                  (e->code == ERR_OK && also &&
                   cache_tree_read(a, also, repo, commit, &files, n, e));
    if (e->code != ERR_OK || !cache_component_ok(commit, "the commit", e) ||
        !CACHE_PATH(snapshot, e, str_cstr(dir), STR("/snapshots/"), commit) ||
        !(listed ? cache_copies_of_tree(a, files, *n, out, e)
                 : cache_copies_of_snapshot(a, snapshot, out, n, e))) {
        return false;
    }
    return cache_copies_locate(a, c, also, repo, commit, *out, *n, e);
}

/* ---- one file ---- */

/* Bytes of fd through the hash that its name promises, and into `to` unless that is -1. */
static bool cache_copy_matches(struct cache_digest *d, const struct cache_copy *f, struct err *e) {
    char hex[65];
    if (d->kind == CACHE_OPAQUE) {
        return true;
    }
    cache_digest_end(d, hex);
    return str_eq(f->etag, str_cstr(hex)) ||
           err_set(e, ERR_INTEGRITY, STR_FMT ": the cached bytes have the hash %s, not " STR_FMT,
                   STR_ARG(f->path), hex, STR_ARG(f->etag));
}

static bool cache_pass_bytes(struct cache_copies *job, const struct cache_copy *f, int from, int to,
                             struct err *e) {
    static const char stopped[] = "stopped by the user";
    struct cache_digest digest;
    uint8_t *chunk = mem_alloc(CACHE_COPIES_CHUNK);
    uint64_t done = 0;
    size_t got = 1;
    bool ok = chunk || err_oom(e, CACHE_COPIES_CHUNK, "a copy");
    cache_digest_begin(&digest, cache_blob_hash(f->etag), f->size_bytes);
    while (ok && got) {
        ok = os_pread(from, chunk, CACHE_COPIES_CHUNK, done, &got, e) &&
             (to < 0 || got == 0 || os_write(to, chunk, got, e));
        if (!ok) {
            break;
        }
        cache_digest_add(&digest, chunk, got);
        done += got;
        job->done_bytes += got;
        if (os_interrupted() || (job->progress && !job->progress(job->ctx, job->done_bytes))) {
            ok = err_set(e, ERR_INTERRUPTED, stopped);
        }
    }
    mem_free(chunk);
    if (ok && done != f->size_bytes) {
        return err_set(e, ERR_INTEGRITY, STR_FMT ": the cache holds %llu of its %llu bytes",
                       STR_ARG(f->path), (unsigned long long)done,
                       (unsigned long long)f->size_bytes);
    }
    return ok && cache_copy_matches(&digest, f, e);
}

/* Before the first file that needs room of its own: is there room for the rest? */
static bool cache_copies_room(struct cache_copies *job, const char *dir_cstr, struct err *e) {
    struct err unknown = { 0 };
    struct os_room room;
    char needs[16], has[16];
    if (job->room_seen) {
        return true;
    }
    job->room_seen = true;
    uint64_t left = job->total_bytes - job->done_bytes;
    if (!os_room_read(dir_cstr, &room, &unknown) || left <= room.free_bytes) {
        return true;
    }
    num_format_size(needs, left);
    num_format_size(has, room.free_bytes);
    err_set(e, ERR_DISK_FULL, "%s are still to be copied, and %s has %s free%s", needs, dir_cstr,
            has, room.by_cstr);
    return err_hint(e, "make room there, or choose a target on another disk");
}

static bool cache_copies_sync_later(const struct cache_copies *job, const struct cache_copy *f) {
    return job->late_sync && f->size_bytes < CACHE_COPIES_SMALL;
}

static bool cache_copies_fill(struct cache_copies *job, const char *dir_cstr,
                              const struct cache_copy *f, const char *to_cstr, struct err *e) {
    int from = os_open(f->from_cstr, OS_READ, e), to = -1;
    struct os_stat st;
    if (from < 0) {
        return false;
    }
    bool linked = (job->hardlink || (f->ours && os_fstat(from, &st) && st.n_links == 1)) &&
                  os_hardlink(f->from_cstr, to_cstr, &(struct err){ 0 });
    if (!linked) {
        to = os_open(to_cstr, OS_CREATE_NEW, e);
    }
    bool ok = linked || to >= 0, shared = ok && !linked && f->size_bytes && os_reflink(from, to);
    if (ok && !linked && !shared) {
        ok = cache_copies_room(job, dir_cstr, e);
    }
    ok = ok && cache_pass_bytes(job, f, from, linked || shared ? -1 : to, e) &&
         (linked || cache_copies_sync_later(job, f) || os_sync(to, e));
    os_close(from);
    os_close(to);
    if (!ok && (linked || to >= 0)) {
        os_unlink(to_cstr, &(struct err){ 0 });
    }
    job->n_linked += ok && linked;
    job->n_reflinked += ok && shared;
    job->n_copied += ok && !linked && !shared;
    return ok || err_context(e, "%s: ", to_cstr);
}

/* ---- all of them ---- */

static struct str cache_copies_parent(struct str path) {
    ptrdiff_t at = str_find_last(path, STR("/"));
    return at < 0 ? STR_EMPTY : str_sub(path, 0, (size_t)at);
}

/* The files that were not synced one by one. */
static bool cache_copies_sync_small(const char *dir_cstr, const struct cache_copy *files, size_t n,
                                    const struct cache_copies *job, struct err *e) {
    char path[LIMIT_PATH];
    bool done = false;
    if (!os_sync_volume(dir_cstr, &done, e)) return false;
    for (size_t i = 0; !done && i < n; i++) {
        if (!cache_copies_sync_later(job, &files[i])) continue;
        if (!CACHE_PATH(path, e, str_cstr(dir_cstr), STR("/"), files[i].path)) return false;
        int fd = os_open(path, OS_READ, e);
        bool ok = fd >= 0 && os_sync(fd, e);
        os_close(fd);
        if (!ok) return false;
    }
    return true;
}

/* Every folder on the way to path, the last one first, then dir itself. */
static bool cache_copies_sync(const char *dir_cstr, struct str path, struct err *e) {
    char folder[LIMIT_PATH];
    for (struct str at = cache_copies_parent(path);; at = cache_copies_parent(at)) {
        if (!CACHE_PATH(folder, e, str_cstr(dir_cstr), str_cstr(at.n ? "/" : ""), at) ||
            !os_sync_dir(folder, e)) {
            return false;
        }
        if (at.n == 0) {
            return true;
        }
    }
}

MLXK_FN bool cache_copies_make(const char *dir_cstr, const struct cache_copy *files, size_t n,
                               struct cache_copies *job, struct err *e) {
    char path[LIMIT_PATH], folder[LIMIT_PATH];
    size_t n_small = 0;
    job->total_bytes = job->done_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        n_small += files[i].size_bytes < CACHE_COPIES_SMALL;
        job->total_bytes += files[i].size_bytes;
        job->done_bytes += i < job->next ? files[i].size_bytes : 0;
    }
    job->late_sync = n_small > CACHE_COPIES_MANY;
    if (!os_mkdirs(dir_cstr, e)) {
        return false;
    }
    for (size_t i = job->next; i < n; i++) {
        struct str above = cache_copies_parent(files[i].path);
        MLXK_ASSERT(files[i].from_cstr);
        if (!cache_path_ok(files[i].path, e) ||
            !CACHE_PATH(folder, e, str_cstr(dir_cstr), STR("/"), above) ||
            !CACHE_PATH(path, e, str_cstr(dir_cstr), STR("/"), files[i].path) ||
            !os_mkdirs(folder, e)) {
            return false;
        }
        if (!cache_copies_fill(job, dir_cstr, &files[i], path, e)) {
            return false;
        }
        job->next++;
    }
    if (job->late_sync && !cache_copies_sync_small(dir_cstr, files, n, job, e)) return false;
    struct str last = STR_EMPTY;
    for (size_t i = 0; i < n; i++) {
        struct str above = cache_copies_parent(files[i].path);
        if ((i == 0 || !str_eq(above, last)) && !cache_copies_sync(dir_cstr, files[i].path, e)) {
            return false;
        }
        last = above;
    }
    return true;
}
