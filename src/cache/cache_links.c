/* cache_links.c: the links of a snapshot, which show blobs under the names of files.
 *
 *      snapshots/<commit>/<path> -> ../../blobs/<etag>
 *
 * 1. A link is made only for a blob that is there, replaces what stood in its place in one step,
 *    and is relative, so that the cache can be moved and mounted elsewhere.
 * 2. Where links cannot be, or are not wanted, a second name or a copy of the blob takes their
 *    place.
 * 3. Of many links the way to both folders is walked once: half of the time of small files.
 * 4. The links of a new snapshot may be made while its blobs arrive, in a folder of this process
 *    that nobody takes for a snapshot and that becomes one by a rename, when all blobs are there:
 *
 *      .mlxk/<name of a temporary>.links/<path> -> ../../blobs/<etag>
 *
 *    Whatever hinders that is no error: then they are made when the snapshot is shown.
 * Spec: hub facts 1.3, 1.13.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

enum { LINKS_COPY_BYTES = 1 << 16 };

/* ---- names (Private) ---- */

/* "../../blobs/<etag>" seen from snapshots/<commit>/<path>. */
static bool links_target(char out[LIMIT_PATH], struct str path, struct str etag, struct err *e) {
    char up[LIMIT_PATH];
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] == '/') {
            memcpy(up + n, "../", 3);
            n += 3;
        }
    }
    return CACHE_PATH(out, e, (struct str){ up, n }, STR("../../blobs/"), etag);
}

/* The folder that shows `path`. */
static bool links_parent(char out[LIMIT_PATH], const struct cache_links *l, struct str path,
                         struct err *e) {
    ptrdiff_t slash = str_find_last(path, STR("/"));
    struct str below = slash < 0 ? STR_EMPTY : str_sub(path, 0, (size_t)slash);
    return CACHE_PATH(out, e, str_cstr(l->dir), below.n ? STR("/") : STR_EMPTY, below);
}

/* ---- in place of a link (Private) ---- */

/* A second name of the blob, or a copy. A blob that is a link (a shared payload) is copied: another
 * name of the link would lead elsewhere, and the payload belongs to others. */
static bool links_copy(const char *from_cstr, const char *to_cstr, struct err *e) {
    struct err unable = { 0 };
    struct os_stat st;
    if (os_lstat(from_cstr, &st) && st.kind == OS_FILE &&
        os_hardlink(from_cstr, to_cstr, &unable)) {
        return true;
    }
    uint8_t chunk[LINKS_COPY_BYTES];
    int from = os_open(from_cstr, OS_READ, e),
        to = from < 0 ? -1 : os_open(to_cstr, OS_CREATE_NEW, e);
    bool ok = to >= 0, more = ok && !os_reflink(from, to);
    while (ok && more) {
        size_t got = 0;
        ok = os_read(from, chunk, sizeof chunk, &got, e) && os_write(to, chunk, got, e);
        more = got == sizeof chunk;
    }
    ok = ok && os_sync(to, e);
    os_close(from);
    os_close(to);
    if (!ok && to >= 0) {
        os_unlink(to_cstr, &unable);
    }
    return ok;
}

/* Something else stands there: the new entry is made beside the blobs and renamed over it. */
static bool links_replace(const struct cache_links *l, struct str path, struct str etag,
                          const char *target_cstr, struct err *e) {
    char temp[LIMIT_PATH], blob[LIMIT_PATH], link[LIMIT_PATH];
    struct err unable = { 0 };
    struct str repo_dir = str_cstr(l->repo_dir);
    if (!CACHE_PATH(blob, e, repo_dir, STR("/blobs/"), etag) ||
        !CACHE_PATH(link, e, str_cstr(l->dir), STR("/"), path) ||
        !cache_temp_path(temp, l->repo_dir, e)) {
        return false;
    }
    bool linked = l->symlinks && os_symlink(target_cstr, temp, &unable);
    if (!linked && !links_copy(blob, temp, e)) {
        return false;
    }
    bool ok = cache_place(temp, link, l->cache->late_sync, e);
    os_unlink(temp, &unable); /* a rename onto the same file's other name leaves both */
    return ok;
}

/* ---- several links (Public) ---- */

MLXK_FN bool cache_links_blob(const struct cache_links *l, struct str etag, struct err *e) {
    char name[LIMIT_PATH];
    struct os_stat st;
    return CACHE_PATH(name, e, etag) &&
           ((l->blobs_fd >= 0 && os_stat_at(l->blobs_fd, name, &st) && st.kind == OS_FILE) ||
            err_set(e, ERR_NOT_FOUND, "blob %s/blobs/%s is not in the cache and cannot be linked",
                    l->repo_dir, name));
}

static bool links_make(struct cache_links *l, const char *target_cstr, const char *name_cstr) {
    char snapshot[LIMIT_PATH];
    struct err unable = { 0 };
    if (l->symlinks && l->snapshot_fd < 0 && links_parent(snapshot, l, STR_EMPTY, &unable)) {
        l->snapshot_fd = os_open(snapshot, OS_READ, &unable);
    }
    return l->snapshot_fd >= 0 && os_symlink_at(target_cstr, l->snapshot_fd, name_cstr, &unable);
}

MLXK_FN bool cache_links_open(const struct cache *c, struct str repo, struct str commit,
                              struct cache_links *l, struct err *e) {
    char folder[CACHE_FOLDER_MAX], blobs[LIMIT_PATH];
    struct err absent = { 0 };
    *l = (struct cache_links){ .cache = c, .blobs_fd = -1, .snapshot_fd = -1,
                               .symlinks = !os_env_true("HF_HUB_DISABLE_SYMLINKS") };
    if (!cache_component_ok(commit, "the commit", e) || !cache_folder_into(folder, repo, e) ||
        !CACHE_PATH(l->repo_dir, e, str_cstr(c->root_cstr), STR("/"), str_cstr(folder)) ||
        !CACHE_PATH(l->dir, e, str_cstr(l->repo_dir), STR("/snapshots/"), commit) ||
        !CACHE_PATH(blobs, e, str_cstr(l->repo_dir), STR("/blobs"))) {
        return false;
    }
    l->blobs_fd = os_open(blobs, OS_READ, &absent);
    if (l->blobs_fd < 0 && absent.code != ERR_NOT_FOUND) {
        *e = absent;
        return false;
    }
    return true;
}

MLXK_FN bool cache_links_add(struct cache_links *l, struct str path, struct str etag,
                             struct err *e) {
    char parent[LIMIT_PATH], target[LIMIT_PATH], name[LIMIT_PATH];
    struct os_stat st;
    if (!cache_path_ok(path, e) || !cache_etag_ok(etag, e) || !CACHE_PATH(name, e, path) ||
        !links_target(target, path, etag, e) || !links_parent(parent, l, path, e) ||
        !cache_links_blob(l, etag, e)) {
        return false;
    }
    bool linked = links_make(l, target, name);
    if (!linked && !os_stat(parent, &st)) {
        if (!os_mkdirs(parent, e)) {
            return false;
        }
        linked = links_make(l, target, name);
    }
    if (linked) {
        return l->cache->late_sync || os_sync_dir(parent, e);
    }
    return links_replace(l, path, etag, target, e);
}

MLXK_FN void cache_links_close(struct cache_links *l) {
    os_close(l->blobs_fd);
    os_close(l->snapshot_fd);
    l->blobs_fd = l->snapshot_fd = -1;
}

/* ---- links ahead of their blobs (Public) ---- */

MLXK_FN bool cache_links_ahead(const struct cache *c, struct str repo, struct cache_links *l) {
    char folder[CACHE_FOLDER_MAX], beside[LIMIT_PATH];
    struct err unable = { 0 };
    *l = (struct cache_links){ .cache = c, .blobs_fd = -1, .snapshot_fd = -1, .symlinks = true };
    if (os_env_true("HF_HUB_DISABLE_SYMLINKS") || !cache_folder_into(folder, repo, &unable) ||
        !CACHE_PATH(l->repo_dir, &unable, str_cstr(c->root_cstr), STR("/"), str_cstr(folder)) ||
        !CACHE_PATH(beside, &unable, str_cstr(l->repo_dir), STR("/.mlxk")) ||
        !cache_temp_folder(l->dir, l->repo_dir, &unable) || !os_mkdirs(beside, &unable) ||
        !os_mkdirs(l->dir, &unable)) {
        return false;
    }
    l->ahead = true;
    return true;
}

MLXK_FN bool cache_links_try(struct cache_links *l, struct str path, struct str etag) {
    char parent[LIMIT_PATH], target[LIMIT_PATH], name[LIMIT_PATH];
    struct err unable = { 0 };
    struct os_stat st;
    MLXK_ASSERT(l->ahead);
    return cache_path_ok(path, &unable) && cache_etag_ok(etag, &unable) &&
           CACHE_PATH(name, &unable, path) && links_target(target, path, etag, &unable) &&
           (links_make(l, target, name) ||
            (links_parent(parent, l, path, &unable) && os_stat(l->dir, &st) &&
             os_mkdirs(parent, &unable) && links_make(l, target, name)));
}

MLXK_FN bool cache_links_show(const struct cache_links *l, struct cache_links *ahead) {
    struct os_stat st;
    struct err unable = { 0 };
    MLXK_ASSERT(ahead->ahead && strcmp(ahead->repo_dir, l->repo_dir) == 0);
    ahead->ahead = os_lstat(l->dir, &st) || !os_rename(ahead->dir, l->dir, &unable);
    return !ahead->ahead;
}

MLXK_FN void cache_links_drop(struct cache_links *l) {
    char beside[LIMIT_PATH];
    struct err ignored = { 0 };
    if (!l->repo_dir[0]) {
        return;
    }
    cache_links_close(l);
    if (l->ahead) {
        os_remove_tree(l->dir, &ignored);
        if (CACHE_PATH(beside, &ignored, str_cstr(l->repo_dir), STR("/.mlxk"))) {
            os_rmdir(beside, &ignored);          /* when it is empty */
            os_rmdir(l->repo_dir, &ignored);     /* the same, after a removal in between */
        }
    }
    l->ahead = false;
}

MLXK_FN bool cache_link(const struct cache *c, struct str repo, struct str commit, struct str path,
                        struct str etag, struct err *e) {
    struct cache_guard g;
    struct cache_links l;
    if (!cache_guard_begin(c, &g, e)) {
        return false;
    }
    bool ok = cache_links_open(&g.cache, repo, commit, &l, e) && cache_links_add(&l, path, etag, e);
    cache_links_close(&l);
    cache_guard_end(&g);
    return ok;
}
