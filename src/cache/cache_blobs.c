/* cache_blobs.c: names of payload, finished or not. Small payload is stored out of memory here; how
 * larger ones come: cache_parts.c; the links that show it: cache_links.c.
 *
 * 1. blobs/<etag> appears only by rename of a synced file whose size and hash were right.
 * Spec: hub facts 1.2, 1.7-1.9.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

enum { CACHE_COPY_BYTES = 1 << 16 };
#define CACHE_SYNC_MEMORY ((size_t)256 << 20)    /* names of the folders on the way down */

/* ---- one file in one step (Private to the room) ---- */

static bool cache_same_content(const char *path_cstr, struct str content) {
    struct arena a;
    struct err ignored = { 0 };
    struct os_stat st;
    struct str have;
    if (!os_lstat(path_cstr, &st) || st.kind != OS_FILE || st.size_bytes != content.n) {
        return false;
    }
    arena_init(&a, content.n + CACHE_COPY_BYTES);
    bool same = os_read_file(&a, path_cstr, content.n, &have, &ignored) && str_eq(have, content);
    arena_release(&a);
    return same;
}

/* The folder that a path lies in. */
static bool cache_sync_above(const char *path_cstr, struct err *e) {
    char dir[LIMIT_PATH];
    struct str folder = { path_cstr, (size_t)(str_find_last(str_cstr(path_cstr), STR("/"))) };
    return CACHE_PATH(dir, e, folder) && os_sync_dir(dir, e);
}

MLXK_FN bool cache_place(const char *temp_cstr, const char *path_cstr, bool late_sync,
                         struct err *e) {
    if (os_rename(temp_cstr, path_cstr, e)) {
        return late_sync || cache_sync_above(path_cstr, e);
    }
    struct err ignored = { 0 };
    os_unlink(temp_cstr, &ignored);
    return false;
}

MLXK_FN bool cache_put(const char *repo_dir_cstr, const char *path_cstr, struct str content,
                       struct err *e) {
    char temp[LIMIT_PATH], blobs[LIMIT_PATH];
    if (cache_same_content(path_cstr, content)) {
        return true;
    }
    if (!CACHE_PATH(blobs, e, str_cstr(repo_dir_cstr), STR("/blobs")) || !os_mkdirs(blobs, e) ||
        !cache_temp_path(temp, repo_dir_cstr, e)) {
        return false;
    }
    return os_place_at(-1, temp, path_cstr, content, e) && cache_sync_above(path_cstr, e);
}

/* ---- hashing ---- */

MLXK_FN enum cache_hash cache_blob_hash(struct str etag) {
    return str_is_hex(etag, 64)   ? CACHE_SHA256
           : str_is_hex(etag, 40) ? CACHE_GIT_SHA1
                                  : CACHE_OPAQUE;
}

/* ---- unfinished ones ---- */

MLXK_FN bool cache_blob_paths(struct cache_blob *b, const struct cache *c, struct str folder,
                              struct str etag, struct err *e) {
    struct str root = str_cstr(c->root_cstr);
    memcpy(b->etag, etag.p, etag.n);
    b->etag[etag.n] = '\0';
    b->kind = cache_blob_hash(etag);
    return CACHE_PATH(b->path, e, root, STR("/"), folder, STR("/blobs/"), etag) &&
           CACHE_PATH(b->partial, e, root, STR("/"), folder, STR("/blobs/"), etag,
                      STR(".mlxk.incomplete")) &&
           cache_side_path(b->map, c, folder, etag, STR(".map"), e);
}

MLXK_FN bool cache_has_space(const char *path_cstr, uint64_t need_bytes, struct err *e) {
    struct os_room room;
    struct err unknown = { 0 };
    if (!os_room_read(path_cstr, &room, &unknown) || need_bytes <= room.free_bytes) {
        return true;
    }
    err_set(e, ERR_DISK_FULL, "%s needs %llu more bytes and %llu are free%s", path_cstr,
            (unsigned long long)need_bytes, (unsigned long long)room.free_bytes, room.by_cstr);
    return err_hint(e,
                    "make room with `mlxk rm MODEL`, or set HF_HOME to a folder on a larger disk");
}

/* `hf cache prune` unlinks unfinished files without asking: the bytes are still ours through the
 * descriptor and are written once more. A file that another has put there keeps its bytes: it may
 * be in use. */
MLXK_FN bool cache_partial_revive(struct cache_blob *b, struct err *e) {
    char temp[LIMIT_PATH], dir[LIMIT_PATH];
    struct os_stat st, named;
    struct err ignored = { 0 };
    struct str above = { b->path, (size_t)str_find_last(str_cstr(b->path), STR("/blobs/")) };
    if (!os_fstat(b->fd, &st) || (os_lstat(b->partial, &named) && named.inode == st.inode &&
                                  named.device == st.device)) {
        return true;
    }
    if (!CACHE_PATH(dir, e, above) || !cache_temp_path(temp, dir, e)) {
        return false;
    }
    uint8_t chunk[CACHE_COPY_BYTES];
    int fd = os_open(temp, OS_CREATE_NEW, e);
    bool ok = fd >= 0;
    for (uint64_t done = 0; ok && done < b->size_bytes;) {
        size_t got = 0;
        ok = os_pread(b->fd, chunk, sizeof chunk, done, &got, e) && os_write(fd, chunk, got, e);
        ok = ok &&
             (got > 0 || err_set(e, ERR_IO, "%s was shortened by another program", b->partial));
        done += got;
    }
    ok = ok && os_rename(temp, b->partial, e);
    if (ok) {
        os_close(b->fd);
        b->fd = fd;
    } else if (fd >= 0) {
        os_unlink(temp, &ignored);
        os_close(fd);
    }
    return ok;
}

MLXK_FN bool cache_blob_exists(const struct cache *c, struct str repo, struct str etag,
                               uint64_t *size_bytes) {
    char folder[CACHE_FOLDER_MAX], path[LIMIT_PATH];
    struct err ignored = { 0 };
    struct os_stat st;
    if (!cache_etag_ok(etag, &ignored) || !cache_folder_into(folder, repo, &ignored) ||
        !CACHE_PATH(path, &ignored, str_cstr(c->root_cstr), STR("/"), str_cstr(folder),
                    STR("/blobs/"), etag) ||
        !os_stat(path, &st) || st.kind != OS_FILE) {
        return false;
    }
    *size_bytes = st.size_bytes;
    return true;
}

MLXK_FN uint64_t cache_blob_partial(const struct cache *c, struct str repo, struct str etag,
                                    uint64_t size_bytes, uint64_t *reserved_bytes) {
    char folder[CACHE_FOLDER_MAX], path[LIMIT_PATH], side[LIMIT_PATH], name[204];
    struct err ignored = { 0 };
    struct os_stat st, map_st;
    struct cache_map map;
    *reserved_bytes = 0;
    if (!cache_etag_ok(etag, &ignored) || !cache_folder_into(folder, repo, &ignored) ||
        !CACHE_PATH(path, &ignored, str_cstr(c->root_cstr), STR("/"), str_cstr(folder),
                    STR("/blobs/"), etag, STR(".mlxk.incomplete")) ||
        !cache_side_path(side, c, str_cstr(folder), etag, STR(".map"), &ignored) ||
        !os_stat(path, &st) || st.kind != OS_FILE) {
        return 0;
    }
    *reserved_bytes = st.disk_bytes < size_bytes ? st.disk_bytes : size_bytes;
    memcpy(name, etag.p, etag.n);
    name[etag.n] = '\0';
    if (cache_map_read(side, name, size_bytes, &map)) {
        return cache_runs_total(&map.have);
    }
    return os_lstat(side, &map_st) ? 0 : st.size_bytes < size_bytes ? st.size_bytes : size_bytes;
}

/* ---- small blobs, out of memory (Public) ---- */

static bool blobs_lock(const struct cache *c, struct str repo, struct str etag, int64_t wait_ms,
                       struct os_lock *lock, struct err *e) {
    char folder[CACHE_FOLDER_MAX], path[LIMIT_PATH];
    lock->fd = -1;
    if (!cache_name_ok(repo, e) || !cache_etag_ok(etag, e) || !cache_folder_into(folder, repo, e) ||
        !cache_lock_path(path, c, str_cstr(folder), etag, e)) {
        return false;
    }
    struct err first = { 0 };                    /* folders are made when they are missed */
    bool ok = os_lock_acquire(lock, path, wait_ms, &first);
    if (!ok && first.code == ERR_NOT_FOUND) {
        ok = cache_make_repo(c, str_cstr(folder), e) && os_lock_acquire(lock, path, wait_ms, e);
    } else if (!ok) {
        *e = first;
    }
    return ok;
}

MLXK_FN bool cache_blob_lock(const struct cache *c, struct str repo, struct str etag,
                             uint64_t size_bytes, int64_t wait_ms, struct os_lock *lock,
                             bool *present, struct err *e) {
    uint64_t have_bytes = 0;
    bool ok = blobs_lock(c, repo, etag, wait_ms, lock, e);
    *present = ok && cache_blob_exists(c, repo, etag, &have_bytes) && have_bytes == size_bytes;
    return ok;
}

static bool cache_store_verify(struct str etag, struct str content, struct err *e) {
    char hex[65];
    enum cache_hash kind = cache_blob_hash(etag);
    if (kind == CACHE_OPAQUE) {
        return true;
    }
    cache_digest_text(kind, content, hex);
    if (str_eq_cstr(etag, hex)) {
        return true;
    }
    err_set(e, ERR_INTEGRITY, "%zu bytes received for blob " STR_FMT " have the hash %s", content.n,
            STR_ARG(etag), hex);
    return err_hint(e, "nothing was kept; try again, and if it happens again, another mirror");
}

MLXK_FN bool cache_blob_store(const struct cache *c, struct str repo, struct str etag,
                              struct str content, struct err *e) {
    char folder[CACHE_FOLDER_MAX], dir[LIMIT_PATH], path[LIMIT_PATH], temp[LIMIT_PATH];
    if (!cache_etag_ok(etag, e) || !cache_folder_into(folder, repo, e) ||
        !CACHE_PATH(dir, e, str_cstr(c->root_cstr), STR("/"), str_cstr(folder)) ||
        !CACHE_PATH(path, e, str_cstr(dir), STR("/blobs/"), etag) ||
        !cache_temp_path(temp, dir, e) || !cache_store_verify(etag, content, e)) {
        return false;
    }
    struct err first = { 0 };
    bool ok = os_place_at(-1, temp, path, content, &first);
    if (!ok && first.code == ERR_NOT_FOUND) {            /* folders are made when they are missed */
        ok = cache_make_repo(c, str_cstr(folder), e) && os_place_at(-1, temp, path, content, e);
    } else if (!ok) {
        *e = first;
    }
    return ok && (c->late_sync || cache_sync_above(path, e));
}

/* ---- many small blobs (Public) ---- */

MLXK_FN bool cache_small_begin(struct cache_small *s, const struct cache *c, struct str repo,
                               struct str commit, struct err *e) {
    char folder[CACHE_FOLDER_MAX], blobs[LIMIT_PATH];
    struct err unable = { 0 };
    *s = (struct cache_small){ .cache = c, .repo = repo, .blobs_fd = -1 };
    if (!blobs_lock(c, repo, commit, 0, &s->lock, e)) {
        return false;
    }
    cache_temp_series(s->series);
    if (cache_folder_into(folder, repo, &unable) &&
        CACHE_PATH(blobs, &unable, str_cstr(c->root_cstr), STR("/"), str_cstr(folder),
                   STR("/blobs"))) {
        s->blobs_fd = os_open(blobs, OS_READ, &unable);
    }
    return true;
}

MLXK_FN bool cache_small_present(const struct cache_small *s, struct str etag,
                                 uint64_t size_bytes) {
    char name[LIMIT_PATH];
    struct os_stat st;
    struct err ignored = { 0 };
    return cache_etag_ok(etag, &ignored) && CACHE_PATH(name, &ignored, etag) &&
           os_stat_at(s->blobs_fd, name, &st) && st.kind == OS_FILE && st.size_bytes == size_bytes;
}

/* What fails is done again by the whole path, which makes folders and says why. */
MLXK_FN bool cache_small_store(const struct cache_small *s, struct str etag, struct str content,
                               struct err *e) {
    char temp[CACHE_TEMP_NAME], name[LIMIT_PATH];
    struct err ignored = { 0 };
    bool near = s->blobs_fd >= 0 && s->cache->late_sync && cache_blob_hash(etag) != CACHE_OPAQUE;
    if (near && CACHE_PATH(name, &ignored, etag)) {
        memcpy(temp, s->series, sizeof temp);
        memcpy(temp + CACHE_TEMP_FREE, etag.p, CACHE_TEMP_END - CACHE_TEMP_FREE);
        if (!cache_store_verify(etag, content, e)) {
            return false;
        }
        if (os_place_at(s->blobs_fd, temp, name, content, &ignored)) {
            return true;
        }
    }
    return cache_blob_store(s->cache, s->repo, etag, content, e);
}

MLXK_FN void cache_small_end(struct cache_small *s) {
    os_close(s->blobs_fd);
    os_lock_release(&s->lock);
    s->blobs_fd = -1;
}

/* ---- names that wait (Public) ---- */

/* path holds a folder's name of n bytes and is used for those below it. */
static bool cache_sync_below(struct arena *a, char path[LIMIT_PATH], size_t n, struct err *e) {
    struct os_entry *entries;
    size_t n_entries;
    struct arena_mark mark = arena_mark(a);
    bool ok =
        os_sync_dir(path, e) && os_list_dir(a, path, CACHE_MAX_ENTRIES, &entries, &n_entries, e);
    for (size_t i = 0; ok && i < n_entries; i++) {
        struct str name = entries[i].name;
        if (entries[i].kind != OS_DIR || name.n + n + 2 > LIMIT_PATH) {
            continue;
        }
        path[n] = '/';
        memcpy(path + n + 1, name.p, name.n);
        path[n + 1 + name.n] = '\0';
        ok = cache_sync_below(a, path, n + 1 + name.n, e);
        path[n] = '\0';
    }
    arena_rewind(a, mark);
    return ok;
}

MLXK_FN bool cache_sync(const struct cache *c, struct str repo, struct str commit, bool deep,
                        struct err *e) {
    char folder[CACHE_FOLDER_MAX], dir[LIMIT_PATH], path[LIMIT_PATH];
    struct arena a;
    if (!cache_folder_into(folder, repo, e) ||
        !CACHE_PATH(dir, e, str_cstr(c->root_cstr), STR("/"), str_cstr(folder)) ||
        !CACHE_PATH(path, e, str_cstr(dir), STR("/blobs")) || !os_sync_dir(path, e)) {
        return false;
    }
    if (!commit.n) {
        return true;
    }
    if (!cache_component_ok(commit, "the commit", e) ||
        !CACHE_PATH(path, e, str_cstr(dir), STR("/snapshots")) || !os_sync_dir(path, e) ||
        !CACHE_PATH(path, e, str_cstr(dir), STR("/snapshots/"), commit)) {
        return false;
    }
    if (!deep) {
        return os_sync_dir(path, e);
    }
    arena_init(&a, CACHE_SYNC_MEMORY);
    bool ok = cache_sync_below(&a, path, strlen(path), e);
    arena_release(&a);
    return ok;
}

#undef CACHE_SYNC_MEMORY
