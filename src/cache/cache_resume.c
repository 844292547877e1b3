/* cache_resume.c: how an unfinished blob is taken up again.
 *
 *   names -> lock -> lease -> partial and map of an earlier process, trusted as far as they may be
 *            (same start of the system: all that was written; else: all that was synced)
 *     -> a copy of its own where another machine may still write -> room for the rest
 *
 * What happens to it then: cache_parts.c.
 *
 * 1. The finished blob is looked for before the lock, with it, and with the lease: whoever waited
 *    finds what the other one has made. With the lease the folders are opened first: NFS answers
 *    from its memory, for up to a minute, that a name is not there (or still is), until then. The
 *    partial that was finished must not be opened by its old name: that would be the final file.
 * 2. A partial taken over from a machine that may live is copied first: it holds the old inode.
 * Spec: hub facts 1.8, 1.9.
 */
#include "cache/cache_int.h"

enum {
    RESUME_FOLDER_TRIES = 20, RESUME_STALE_MS = 1200, RESUME_LEASE_MS = 200,
    RESUME_COPY_BYTES = 1 << 16,
};

MLXK_FN bool cache_side_path(char out[LIMIT_PATH], const struct cache *c, struct str folder,
                             struct str etag, struct str ending, struct err *e) {
    return CACHE_PATH(out, e, str_cstr(c->root_cstr), STR("/"), folder, STR("/.mlxk/"), etag,
                      ending);
}

/* ---- the map on disk ---- */

MLXK_FN void cache_here(uint8_t *out, size_t n) {
    char text[256];
    uint8_t digest[32];
    struct sha256 s;
    os_place(text);
    sha256_init(&s);
    sha256_update(&s, text, strlen(text));
    sha256_final(&s, digest);
    MLXK_ASSERT(n <= sizeof digest);
    memcpy(out, digest, n);
}

MLXK_FN bool cache_map_read(const char *path_cstr, const char *etag_cstr, uint64_t size_bytes,
                            struct cache_map *out) {
    uint8_t page[CACHE_MAP_PAGE];
    struct cache_map one;
    struct err ignored = { 0 };
    bool found = false;
    int fd = os_open(path_cstr, OS_READ, &ignored);
    for (uint64_t i = 0; fd >= 0 && i < 2; i++) {
        size_t n = 0;
        if (os_pread(fd, page, sizeof page, i * sizeof page, &n, &ignored) && n == sizeof page &&
            cache_map_decode(page, &one) && one.size_bytes == size_bytes &&
            strcmp(one.etag, etag_cstr) == 0 && (!found || one.seq > out->seq)) {
            *out = one;
            found = true;
        }
    }
    os_close(fd);
    return found;
}

MLXK_FN uint64_t cache_parts_peek(const struct cache *c, struct str repo, struct str etag,
                                  uint64_t size_bytes, char partial[LIMIT_PATH]) {
    char folder[CACHE_FOLDER_MAX];
    struct cache_blob b;
    struct cache_map map;
    struct err ignored = { 0 };
    uint8_t place[16];
    partial[0] = '\0';
    if (!cache_etag_ok(etag, &ignored) || !cache_folder_into(folder, repo, &ignored) ||
        !cache_blob_paths(&b, c, str_cstr(folder), etag, &ignored)) {
        return 0;
    }
    memcpy(partial, b.partial, sizeof b.partial);
    if (!cache_map_read(b.map, b.etag, size_bytes, &map)) {
        return 0;
    }
    cache_here(place, sizeof place);
    return cache_runs_prefix(memcmp(map.place, place, sizeof place) == 0 ? &map.have : &map.safe);
}

/* ---- lock and lease (Private) ---- */

static bool resume_present(struct cache_resume *r) {
    struct os_stat st;
    r->present = !r->renew && os_stat(r->blob->path, &st) && st.kind == OS_FILE &&
                 st.size_bytes == r->blob->size_bytes;
    return r->present;
}

/* The lease, when its owner has gone within wait_ms (negative = whenever). */
static bool resume_lease(struct cache_resume *r, const char *dir_cstr, const char *lease_cstr,
                         struct err *e) {
    int64_t until_ns = os_now_ns() + r->wait_ms * 1000000;
    for (int i = 0; i < RESUME_FOLDER_TRIES;) {
        struct err none = { 0 };
        if (!os_mkdirs(dir_cstr, e)) {
            return false;
        }
        if (cache_lease_take(r->lease, lease_cstr, &r->doubtful, &none)) {
            return true;
        }
        bool later = none.code == ERR_LOCKED && (r->wait_ms < 0 || os_now_ns() < until_ns);
        if (later && os_interrupted()) {
            return err_set(e, ERR_INTERRUPTED, "stopped by the user");
        }
        i += !later;
        if (!later && (none.code != ERR_NOT_FOUND || i == RESUME_FOLDER_TRIES)) {
            *e = none;
            return false;
        }                                        /* who left the folder last has removed it */
        if (later) {
            os_sleep_ms(RESUME_LEASE_MS);
        }
    }
    return false;
}

/* Names in it are asked of the server again: opening a folder is what makes NFS do so. */
static void resume_ask_again(const char *dir_cstr) {
    struct err ignored = { 0 };
    os_close(os_open(dir_cstr, OS_READ, &ignored));
}

/* Names, folders, lock and lease. */
static bool resume_enter(struct cache_resume *r, const struct cache *c, struct str folder,
                         struct str etag, struct err *e) {
    char lock[LIMIT_PATH], lease[LIMIT_PATH], dir[LIMIT_PATH], blobs[LIMIT_PATH];
    struct cache_blob *b = r->blob;
    if (!cache_blob_paths(b, c, folder, etag, e)) {
        return false;
    }
    if (resume_present(r)) {
        return true;                             /* no lock needed: works on a read-only cache */
    }
    if (!cache_lock_path(lock, c, folder, etag, e) ||
        !cache_side_path(lease, c, folder, etag, STR(".lease"), e) ||
        !CACHE_PATH(dir, e, str_cstr(c->root_cstr), STR("/"), folder, STR("/.mlxk")) ||
        !CACHE_PATH(blobs, e, str_cstr(c->root_cstr), STR("/"), folder, STR("/blobs")) ||
        !cache_make_repo(c, folder, e) || !os_lock_acquire(&b->lock, lock, r->wait_ms, e)) {
        b->lock.fd = -1;
        return false;
    }
    b->locked = true;
    if (resume_present(r)) {
        return true;
    }
    if (!resume_lease(r, dir, lease, e)) {
        return false;
    }
    resume_ask_again(blobs);
    resume_ask_again(dir);
    (void)resume_present(r);                     /* finished while we waited */
    return true;
}

/* ---- what there is (Private) ---- */

static void resume_clip(struct cache_runs *out, const struct cache_runs *runs, uint64_t size) {
    for (size_t i = 0; i < runs->n; i++) {
        struct cache_run one = runs->list[i];
        (void)cache_runs_add(out, one.from, one.to < size ? one.to : size);
    }
}

/* What of the partial file may be believed. */
static bool resume_believe(struct cache_resume *r, struct err *e) {
    struct cache_blob *b = r->blob;
    struct cache_map old, *map = r->map;
    struct os_stat st, map_st;
    if (!os_fstat(b->fd, &st) || st.kind != OS_FILE) {
        return err_set(e, ERR_IO, "%s is not a regular file", b->partial);
    }
    bool known = cache_map_read(b->map, b->etag, b->size_bytes, &old);
    const struct cache_runs *said = &old.have;
    if (known && !r->renew && said->n && said->list[said->n - 1].to > st.size_bytes) {
        os_sleep_ms(RESUME_STALE_MS);    /* network file systems remember sizes for a while */
        (void)os_fstat(b->fd, &st);
    }
    bool plain = !known && !os_lstat(b->map, &map_st);   /* written front to back, without a map */
    map->seq = known ? old.seq : 0;
    map->size_bytes = b->size_bytes;
    memcpy(map->etag, b->etag, sizeof b->etag);
    cache_here(map->place, sizeof map->place);
    if (known && !r->renew && st.size_bytes <= b->size_bytes) {
        bool here = memcmp(old.place, map->place, sizeof map->place) == 0;
        resume_clip(&map->have, here ? &old.have : &old.safe, st.size_bytes);
        map->hashed_bytes = old.hashed_bytes;
        memcpy(map->stamp, old.stamp, sizeof old.stamp);
        memcpy(map->state, old.state, sizeof old.state);
        memcpy(map->block, old.block, sizeof old.block);
    } else if (plain && !r->renew && st.size_bytes <= b->size_bytes) {
        (void)cache_runs_add(&map->have, 0, st.size_bytes);
    }
    if (known && !r->renew) {
        resume_clip(&map->safe, &old.safe, st.size_bytes);
    } else {
        map->safe = map->have;
    }
    return map->have.n || st.size_bytes == 0 || os_truncate(b->fd, 0, e);
}

static bool resume_copy(const struct cache_resume *r, int to, struct cache_run run,
                        struct err *e) {
    uint8_t chunk[RESUME_COPY_BYTES];
    while (run.from < run.to) {
        size_t n = run.to - run.from < sizeof chunk ? (size_t)(run.to - run.from) : sizeof chunk;
        size_t got = 0;
        if (!os_pread(r->blob->fd, chunk, n, run.from, &got, e) ||
            !os_pwrite(to, chunk, got, run.from, e)) {
            return false;
        }
        if (got != n) {
            return err_set(e, ERR_IO, "%s became shorter", r->blob->partial);
        }
        run.from += n;
    }
    return true;
}

/* Another machine may still write into the file: ours becomes a copy of what is believed. */
static bool resume_part_ways(struct cache_resume *r, struct err *e) {
    char temp[LIMIT_PATH], dir[LIMIT_PATH];
    struct cache_blob *b = r->blob;
    struct err ignored = { 0 };
    struct str above = { b->path, (size_t)str_find_last(str_cstr(b->path), STR("/blobs/")) };
    if (!CACHE_PATH(dir, e, above) || !cache_temp_path(temp, dir, e)) {
        return false;
    }
    int fd = os_open(temp, OS_CREATE_NEW, e);
    bool ok = fd >= 0;
    for (size_t i = 0; ok && i < r->map->have.n; i++) {
        ok = resume_copy(r, fd, r->map->have.list[i], e);
    }
    ok = ok && os_sync(fd, e) && os_rename(temp, b->partial, e);
    if (!ok && fd >= 0) {
        os_unlink(temp, &ignored);
        os_close(fd);
    }
    if (ok) {
        os_close(b->fd);
        b->fd = fd;
        r->map->safe = r->map->have;
    }
    return ok;
}

static bool resume_reserve(struct cache_resume *r, struct err *e) {
    struct cache_blob *b = r->blob;
    struct os_stat st;
    uint64_t size = b->size_bytes, held = cache_runs_total(&r->map->have);
    if (os_fstat(b->fd, &st) && st.disk_bytes > held) {
        held = st.disk_bytes;
    }
    return held >= size || (cache_has_space(b->partial, size - held, e) &&
                            os_preallocate(b->fd, size, e));
}

/* ---- (Public to the room) ---- */

MLXK_FN bool cache_resume(struct cache_resume *r, const struct cache *c, struct str folder,
                          struct str etag, struct err *e) {
    if (!resume_enter(r, c, folder, etag, e)) {
        return false;
    }
    if (r->present) {
        return true;
    }
    r->blob->fd = cache_own_open(r->blob->partial, e);
    return r->blob->fd >= 0 && resume_believe(r, e) && (!r->doubtful || resume_part_ways(r, e)) &&
           resume_reserve(r, e);
}
