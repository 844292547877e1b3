/* cache_parts.c: a blob whose bytes arrive in several places at once.
 *
 *   open: what an earlier process has left (cache_resume.c), and the state of its hash
 *   claim ──> write ... write ──> release      many threads; the page of the map follows
 *     │           └─ at the hashed end of the prefix: hashed on its way, or out of the memory by
 *     │              tend or beside the decryption of what comes next; else by tend from the file
 *   commit: rest of the hash, compare, sync, still ours?, rename, map and lease away
 *     └── wrong hash: everything away           close: sync, map with the state of the hash
 *
 * 1. blobs/<etag> appears only by rename of a synced file whose bytes were hashed after they were
 *    written down; bytes that the map has are never written again.
 * 2. The map never claims more than what write(2) has taken; "safe" never more than fsync has.
 * 3. The state of the hash is taken over only from a file that nobody has touched since: inode,
 *    size, and both times. Else the prefix is hashed again, while the network goes on.
 * 4. A flush (or its beginning) that failed may have lost any byte that no flush before it had
 *    taken, and the next one says nothing of it: the map goes back to "safe", and the state of the
 *    hash is not kept. Where it failed for want of room the disk is read past the memory: what it
 *    has is kept.
 * 5. Whoever has lost the lease to another machine gives no file a name: the one under the name of
 *    the partial may be the other's.
 * Spec: hub facts 1.8, 1.9.
 */
#include "cache/cache_int.h"

enum {
    PARTS_SAVE_BYTES = 512 << 10, PARTS_SAVE_MS = 50,  /* how much a kill may cost */
    PARTS_TEND_CHUNKS = 32,                            /* hashed in one go by tend */
    PARTS_FLUSHES = 200, PARTS_SECTOR = 512, PARTS_PAGE = 4096,
    PARTS_FEW_CPUS = 2, PARTS_BEHIND_CHUNKS = 4, PARTS_LEAVE = 8,      /* see parts_lend */
};
#define PARTS_SYNC_BYTES ((uint64_t)128 << 20)         /* how much a power cut may cost */
#define PARTS_BEHIND_BYTES ((uint64_t)8 << 20)         /* so that the sync finds it written */

/* behind: up to there bytes are on their way to the device */
/* lends: p->lent is its; in_vain: nothing was hashed of the last one */
struct parts_claim { bool used, all, lends, in_vain; uint64_t at, to, behind; };
struct cache_parts {
    struct cache_blob blob;              /* lock, names, descriptor, size */
    struct cache_lease lease;
    struct os_mutex mutex;               /* guards what follows */
    struct cache_map map;
    struct parts_claim claims[CACHE_CLAIMS];
    struct sha256 sha256;
    struct sha1 sha1;
    struct cache_ring ring;              /* written, to be hashed: what lies right before taken */
    struct cache_piece lent;             /* of the claim that lends: hashed while it decrypts */
    struct os_cond hashed_more;
    uint64_t hashed, taken;     /* bytes of the prefix in the hash; and with those on the way */
    bool hashing, lost;                  /* some thread is at it; the lease is another's */
    bool mend;                           /* CACHE_PARTS_MEND */
    bool unsure, full;                   /* a flush has failed; for want of room */
    uint64_t unsaved, unsynced;
    int64_t saved_ns;
    unsigned lend_from, n_lends;         /* pieces in the ring; times it was thought of */
    uint64_t beside;                     /* bytes hashed while records were decrypted */
    int map_fd;
    uint8_t chunk[CACHE_CHUNK];          /* of tend, commit and open */
};

/* ---- the map on disk (Private) ---- */

static void parts_stamp(int fd, uint64_t out[4]) {
    struct os_stat st;
    bool ok = os_fstat(fd, &st);
    out[0] = ok ? st.inode : 0;
    out[1] = ok ? st.size_bytes : 0;
    out[2] = ok ? (uint64_t)st.mtime_ns : 0;
    out[3] = ok ? (uint64_t)st.ctime_ns : 0;
}

/* Failing is no failure: the page before says less, and that is true too. */
static void parts_save(struct cache_parts *p) {
    uint8_t page[CACHE_MAP_PAGE];
    struct err ignored = { 0 };
    p->map.seq++;
    cache_map_encode(&p->map, page);
    (void)os_pwrite(p->map_fd, page, sizeof page, (p->map.seq & 1) * sizeof page, &ignored);
    p->unsaved = 0;
    p->saved_ns = os_now_ns();
}

/* ---- the hash (Private) ---- */

static void parts_hash_begin(struct cache_parts *p) {
    p->hashed = p->taken = 0;
    sha256_init(&p->sha256);
    cache_git_begin(&p->sha1, p->map.size_bytes);
}

static void parts_hash_add(struct cache_parts *p, const void *data, size_t n) {
    if (p->blob.kind == CACHE_SHA256) {
        sha256_update(&p->sha256, data, n);
    } else if (p->blob.kind == CACHE_GIT_SHA1) {
        sha1_update(&p->sha1, data, n);
    }
}

/* Only sha256 is worth keeping: what git's hash names is small. */
static void parts_hash_keep(struct cache_parts *p) {
    bool keep = p->blob.kind == CACHE_SHA256 && !p->unsure;
    p->map.hashed_bytes = keep ? p->hashed : 0;
    memcpy(p->map.state, p->sha256.h, sizeof p->map.state);
    memcpy(p->map.block, p->sha256.block, sizeof p->map.block);
    memset(p->map.stamp, 0, sizeof p->map.stamp);
    if (keep) {
        parts_stamp(p->blob.fd, p->map.stamp);
    }
}

static void parts_hash_take_over(struct cache_parts *p) {
    uint64_t now[4];
    parts_hash_begin(p);
    parts_stamp(p->blob.fd, now);
    if (p->map.hashed_bytes && memcmp(now, p->map.stamp, sizeof now) == 0 &&
        p->map.hashed_bytes <= cache_runs_prefix(&p->map.have)) {
        p->hashed = p->taken = p->sha256.n_bytes = p->map.hashed_bytes;
        memcpy(p->sha256.h, p->map.state, sizeof p->sha256.h);
        memcpy(p->sha256.block, p->map.block, sizeof p->sha256.block);
    }
    p->map.hashed_bytes = 0;
    memset(p->map.stamp, 0, sizeof p->map.stamp);
}

/* Hashes [hashed, hashed + n) from the file; the caller has set p->hashing. */
static bool parts_hash_read(struct cache_parts *p, size_t n, struct err *e) {
    size_t got = 0;
    if (!os_pread(p->blob.fd, p->chunk, n, p->hashed, &got, e)) {
        return false;
    }
    if (got != n) {
        return err_set(e, ERR_IO, "%s was shortened by another program", p->blob.partial);
    }
    parts_hash_add(p, p->chunk, n);
    return true;
}

/* Notes whether what was written may be lost; gives ok. */
static bool parts_noted(struct cache_parts *p, bool ok, const struct err *e) {
    os_mutex_lock(&p->mutex);
    p->unsure = p->unsure || !ok;
    p->full = p->full || (!ok && e->code == ERR_DISK_FULL);
    os_mutex_unlock(&p->mutex);
    return ok;
}

static bool parts_flush(struct cache_parts *p, struct err *e) {
    return parts_noted(p, os_sync(p->blob.fd, e), e);
}

/* Another thread may have been told what no flush will say again. */
static bool parts_sure(const struct cache_parts *p, struct err *e) {
    if (!p->unsure) {
        return true;
    }
    err_set(e, p->full ? ERR_DISK_FULL : ERR_IO, "bytes of %s were lost on their way to the disk",
            p->blob.partial);
    return err_hint(e, "make room there, and run the command again");
}

/* Has every sector something in it? What was reserved and never arrived reads as zeros. */
static bool parts_is_there(const uint8_t *data, size_t n) {
    static const uint8_t nothing[PARTS_SECTOR];
    for (size_t i = 0; i + PARTS_SECTOR <= n; i += PARTS_SECTOR) {
        if (memcmp(data + i, nothing, PARTS_SECTOR) == 0) {
            return false;
        }
    }
    return n % PARTS_SECTOR == 0 || memcmp(data + n - n % PARTS_SECTOR, nothing,
                                           n % PARTS_SECTOR) != 0;
}

/* After flushes that failed for want of room: of the map, what the disk itself has. */
static void parts_salvage(struct cache_parts *p) {
    struct cache_runs kept = p->map.safe;
    const struct cache_runs *have = &p->map.have;
    uint8_t *page = p->chunk + (PARTS_PAGE - (uintptr_t)p->chunk % PARTS_PAGE);
    struct err ignored = { 0 };
    size_t got = 1, step = CACHE_CHUNK - PARTS_PAGE;
    int n = 0, fd = os_open_direct(p->blob.partial);
    while (n < PARTS_FLUSHES && !os_sync(p->blob.fd, &ignored)) {
        err_clear(&ignored);                     /* each fails for the next bytes that it drops */
        n++;
    }
    for (uint64_t at = 0; fd >= 0 && n < PARTS_FLUSHES && got; at += got) {
        if (!os_pread(fd, page, step, at, &got, &ignored)) {
            break;
        }
        for (size_t i = 0; i < got; i += PARTS_PAGE) {
            size_t size = got - i < PARTS_PAGE ? got - i : PARTS_PAGE;
            size_t n_runs = parts_is_there(page + i, size) ? have->n : 0;
            for (size_t k = 0; k < n_runs; k++) {
                struct cache_run one = have->list[k];
                uint64_t from = at + i, to = from + size;
                (void)cache_runs_add(&kept, one.from > from ? one.from : from,
                                     one.to < to ? one.to : to);
            }
        }
    }
    os_close(fd);
    p->map.have = p->map.safe = kept;
}

/* ---- open and close (Public) ---- */

static void parts_leave(struct cache_parts *p) {
    struct err ignored = { 0 };
    char dir[LIMIT_PATH];
    struct str map = str_cstr(p->blob.map);
    ptrdiff_t slash = str_find_last(map, STR("/"));
    cache_ring_clear(&p->ring);
    os_close(p->map_fd);
    cache_lease_release(&p->lease);
    if (slash > 0 && CACHE_PATH(dir, &ignored, str_sub(map, 0, (size_t)slash))) {
        os_rmdir(dir, &ignored);                 /* when it is empty */
    }
    os_close(p->blob.fd);
    if (p->blob.locked) {
        os_lock_release(&p->blob.lock);
    }
    mem_free(p);
}

/* What cache_resume has found becomes the map of this process. */
static bool parts_begin(struct cache_parts *p, struct err *e) {
    parts_hash_take_over(p);
    p->map_fd = cache_own_open(p->blob.map, e);
    if (p->map_fd < 0) {
        return false;
    }
    parts_save(p);                               /* both pages: nothing older comes back */
    parts_save(p);
    return true;
}

MLXK_FN struct cache_parts *cache_parts_open(const struct cache *c, struct str repo,
                                             struct str etag, uint64_t size_bytes,
                                             enum cache_parts_how how, int64_t wait_ms,
                                             struct err *e) {
    char folder[CACHE_FOLDER_MAX];
    if (!cache_name_ok(repo, e) || !cache_etag_ok(etag, e) || !cache_folder_into(folder, repo, e)) {
        return NULL;
    }
    struct cache_parts *p = mem_alloc(sizeof *p);
    if (!p) {
        err_oom(e, sizeof *p, "a download");
        return NULL;
    }
    memset(p, 0, offsetof(struct cache_parts, chunk));
    os_mutex_init(&p->mutex);
    os_cond_init(&p->hashed_more);
    p->blob = (struct cache_blob){ .fd = -1, .size_bytes = size_bytes, .lock = { .fd = -1 },
                                   .late_sync = c->late_sync };
    p->map_fd = -1;
    p->mend = how == CACHE_PARTS_MEND;
    p->lend_from = os_cpu_count() > PARTS_FEW_CPUS ? PARTS_BEHIND_CHUNKS : 1;
    struct cache_resume r = { .blob = &p->blob, .lease = &p->lease, .map = &p->map,
                              .renew = how == CACHE_PARTS_RENEW, .wait_ms = wait_ms };
    if (cache_resume(&r, c, str_cstr(folder), etag, e) && !r.present && parts_begin(p, e)) {
        return p;
    }
    parts_leave(p);
    return NULL;
}

MLXK_FN void cache_parts_close(struct cache_parts *p) {
    struct err ignored = { 0 };
    if (!p) {
        return;
    }
    bool sure = !p->lost && p->map.have.n && parts_flush(p, &ignored) && !p->unsure;
    if (sure) {
        p->map.safe = p->map.have;
    } else if (p->map.have.n) {
        if (p->full && !p->lost) {
            parts_salvage(p);
        } else {
            p->map.have = p->map.safe;
        }
    }
    if (p->lost) {
        p->lease.held = false;                   /* file and map are another's now */
    } else if (p->map.have.n == 0) {
        os_unlink(p->blob.partial, &ignored);
        os_unlink(p->blob.map, &ignored);
    } else {
        parts_hash_keep(p);
        parts_save(p);
        (void)os_sync(p->map_fd, &ignored);
    }
    parts_leave(p);
}

MLXK_FN void cache_parts_drop(struct cache_parts *p) {
    p->map.have.n = 0;
    cache_parts_close(p);
}

/* The n bytes behind p->hashed are done, or not; piece: where they lay in memory, or empty. */
static void parts_hashed(struct cache_parts *p, struct cache_piece piece, size_t n, bool ok) {
    os_mutex_lock(&p->mutex);
    p->hashed += ok ? n : 0;
    p->hashing = false;
    if (!ok) {
        p->taken = p->hashed;                    /* what waits comes from the file then */
        cache_ring_clear(&p->ring);
    }
    cache_ring_give_back(&p->ring, piece);
    if (p->ring.n <= CACHE_RING / 2) {
        os_cond_broadcast(&p->hashed_more);
    }
    os_mutex_unlock(&p->mutex);
}

/* One piece of the prefix, from memory or else from the file; *more: there was one. */
static bool parts_catch_up(struct cache_parts *p, bool *more, struct err *e) {
    struct cache_piece piece = { NULL, 0 };
    size_t n = 0;
    os_mutex_lock(&p->mutex);
    if (!p->hashing) {
        uint64_t behind = cache_runs_prefix(&p->map.have) - p->taken;
        piece = cache_ring_take(&p->ring);
        n = piece.p ? piece.n : behind < CACHE_CHUNK ? (size_t)behind : CACHE_CHUNK;
        p->taken += piece.p ? 0 : n;
        p->hashing = n > 0;
    }
    os_mutex_unlock(&p->mutex);
    *more = n > 0;
    if (n == 0) {
        return true;
    }
    bool ok = piece.p || parts_hash_read(p, n, e);
    if (piece.p) {
        parts_hash_add(p, piece.p, n);
    }
    parts_hashed(p, piece, n, ok);
    return ok;
}

/* Room for bytes that continue what is hashed; whoever finds none hashes, or waits for who does. */
static bool parts_room(struct cache_parts *p, uint64_t at, struct err *e) {
    bool full = true, more;
    while (full) {
        os_mutex_lock(&p->mutex);
        full = at == p->taken && cache_ring_full(&p->ring);
        bool wait = full && p->hashing;
        while (wait && p->hashing && p->ring.n > CACHE_RING / 2 &&
               os_cond_wait(&p->hashed_more, &p->mutex, PARTS_SAVE_MS)) {
        }     /* not for one piece: waking costs as much as hashing it */
        os_mutex_unlock(&p->mutex);
        if (full && !wait && !parts_catch_up(p, &more, e)) {
            return false;
        }
    }
    return true;
}

/* The next piece is hashed while this thread decrypts what it receives, which costs nothing more
 * then. Where there are more processors it is left to the thread that tends as long as that one
 * keeps up: more time in all, but less of this thread's. Every PARTS_LEAVE pieces that one gets a
 * chance: what it finds hashed by another it would never take up. */
static void parts_lend(struct cache_parts *p, struct parts_claim *c) {
    if (c->in_vain || p->blob.kind != CACHE_SHA256) {
        return;
    }
    os_mutex_lock(&p->mutex);
    bool leave = ++p->n_lends % PARTS_LEAVE == 0;
    if (!leave && !p->hashing && p->ring.n >= p->lend_from) {
        p->lent = cache_ring_take(&p->ring);
        p->hashing = c->lends = true;
    }
    os_mutex_unlock(&p->mutex);
    if (c->lends) {
        gcm_lend(&p->sha256, p->lent.p, p->lent.n);
    }
}

static void parts_take_back(struct cache_parts *p, struct parts_claim *c) {
    if (!c->lends) {
        return;
    }
    size_t done = gcm_take_back();
    c->in_vain = done == 0;
    c->lends = false;
    p->beside += done;
    parts_hash_add(p, p->lent.p + done, p->lent.n - done);
    parts_hashed(p, p->lent, p->lent.n, true);
}

/* ---- claims and bytes (Public) ---- */

static int parts_free_claim(const struct cache_parts *p) {
    for (int i = 0; i < CACHE_CLAIMS; i++) {
        if (!p->claims[i].used) {
            return i;
        }
    }
    return -1;
}

MLXK_FN int cache_parts_claim(struct cache_parts *p, uint64_t max_bytes, struct cache_run *run) {
    struct cache_runs taken;
    int claim = -1;
    os_mutex_lock(&p->mutex);
    taken = p->map.have;
    bool room = taken.n + CACHE_CLAIMS < CACHE_RUNS_MAX;
    for (int i = 0; i < CACHE_CLAIMS; i++) {
        struct parts_claim *c = &p->claims[i];
        if (c->used && (c->all || !cache_runs_add(&taken, c->at, c->to))) {
            room = false;
        }
    }
    struct cache_run gap = cache_runs_gap(&taken, 0, p->blob.size_bytes);
    if (gap.from < gap.to && (room || parts_free_claim(p) == 0)) {
        claim = parts_free_claim(p);
    }
    if (claim >= 0) {
        if (gap.to - gap.from > max_bytes) {
            gap.to = gap.from + max_bytes;
        }
        p->claims[claim] = (struct parts_claim){ true, .at = gap.from, .to = gap.to,
                                                 .behind = gap.from };
        *run = gap;
    }
    os_mutex_unlock(&p->mutex);
    return claim;
}

MLXK_FN int cache_parts_claim_all(struct cache_parts *p) {
    bool alone = true;
    os_mutex_lock(&p->mutex);
    for (int i = 0; i < CACHE_CLAIMS; i++) {
        alone = alone && !p->claims[i].used;
    }
    if (alone) {
        p->claims[0] = (struct parts_claim){ .used = true, .all = true, .to = p->blob.size_bytes };
    }
    os_mutex_unlock(&p->mutex);
    return alone ? 0 : -1;
}

MLXK_FN void cache_parts_release(struct cache_parts *p, int claim) {
    parts_take_back(p, &p->claims[claim]);
    os_mutex_lock(&p->mutex);
    p->claims[claim] = (struct parts_claim){ .used = false };
    os_mutex_unlock(&p->mutex);
}

/* Under the mutex: what [at, at + n) becomes for the hash. true = the caller hashes it now. */
static bool parts_follows(struct cache_parts *p, uint64_t at, uint8_t **buffer, size_t n) {
    bool next = at == p->taken, now = next && !buffer && !p->hashing && !p->ring.n;
    bool later =
        next && buffer && !cache_ring_full(&p->ring) && cache_ring_put(&p->ring, buffer, n);
    p->taken += now || later ? n : 0;
    p->hashing = p->hashing || now;
    return now;
}

/* Counts written bytes, and has them hashed when they continue what is hashed. */
static bool parts_account(struct cache_parts *p, struct parts_claim *c, uint64_t at,
                          const void *data, uint8_t **buffer, size_t n, struct err *e) {
    bool ok = true;
    os_mutex_lock(&p->mutex);
    (void)cache_runs_add(&p->map.have, at, at + n);  /* claim has kept room for it */
    c->at = c->all ? c->at : at + n;
    p->unsaved += n;
    p->unsynced += n;
    bool now = parts_follows(p, at, buffer, n);
    if (p->unsaved >= PARTS_SAVE_BYTES || os_now_ns() - p->saved_ns > PARTS_SAVE_MS * 1000000LL) {
        parts_save(p);
    }
    os_mutex_unlock(&p->mutex);
    if (!c->all && at + n - c->behind >= PARTS_BEHIND_BYTES) {
        ok = parts_noted(p, os_write_behind(p->blob.fd, c->behind, at + n - c->behind, e), e);
        c->behind = at + n;
    }
    if (!now) {
        return ok;
    }
    parts_hash_add(p, data, n);
    parts_hashed(p, (struct cache_piece){ NULL, 0 }, n, true);
    return ok;
}

/* Bytes [at, at + n) are there; they may be wrong. What the hash has seen of them counts no more
 * then. */
static bool parts_put_right(struct cache_parts *p, uint64_t at, const uint8_t *data, size_t n,
                            struct err *e) {
    bool ok = true;
    while (ok && n) {
        size_t part = n < CACHE_CHUNK ? n : CACHE_CHUNK, got = 0;
        ok = os_pread(p->blob.fd, p->chunk, part, at, &got, e);
        if (ok && (got != part || memcmp(p->chunk, data, part) != 0)) {
            ok = os_pwrite(p->blob.fd, data, part, at, e);
            if (at < p->hashed) {
                parts_hash_begin(p);
            }
        }
        at += part;
        data += part;
        n -= part;
    }
    return ok;
}

static bool parts_gone(const struct cache_parts *p, struct err *e) {
    return err_set(e, ERR_LOCKED, "another machine has taken over %s", p->blob.partial);
}

MLXK_FN bool cache_parts_write(struct cache_parts *p, int claim, uint64_t at, const void *data,
                               size_t n, struct err *e) {
    struct parts_claim *c = &p->claims[claim];
    uint64_t end = at + n;
    MLXK_ASSERT(c->used && end <= c->to && (c->all || at == c->at));
    while (at < end) {
        os_mutex_lock(&p->mutex);
        struct cache_run gap = c->all ? cache_runs_gap(&p->map.have, at, end)
                                      : (struct cache_run){ at, end };
        bool lost = p->lost;
        os_mutex_unlock(&p->mutex);
        if (lost) {
            return parts_gone(p, e);
        }
        const uint8_t *from = (const uint8_t *)data + (n - (size_t)(end - gap.from));
        size_t part = (size_t)(gap.to - gap.from);
        size_t held = (size_t)(gap.from - at);
        if (p->mend && held && !parts_put_right(p, at, from - held, held, e)) {
            return false;
        }
        if (part && !os_pwrite(p->blob.fd, from, part, gap.from, e)) {
            return false;
        }
        if (part && !parts_account(p, c, gap.from, from, NULL, part, e)) {
            return false;
        }
        at = gap.to;
    }
    return true;
}

MLXK_FN bool cache_parts_write_buffer(struct cache_parts *p, int claim, uint64_t at,
                                      uint8_t **buffer, size_t n, struct err *e) {
    struct parts_claim *c = &p->claims[claim];
    MLXK_ASSERT(n <= CACHE_CHUNK && c->used);
    parts_take_back(p, c);
    if (c->all || n == 0) {
        return cache_parts_write(p, claim, at, *buffer, n, e);
    }
    MLXK_ASSERT(at == c->at && at + n <= c->to);
    os_mutex_lock(&p->mutex);
    bool lost = p->lost;
    os_mutex_unlock(&p->mutex);
    if (lost) {
        return parts_gone(p, e);
    }
    if (!parts_room(p, at, e) || !os_pwrite(p->blob.fd, *buffer, n, at, e)) {
        return false;
    }
    if (!parts_account(p, c, at, *buffer, buffer, n, e)) {
        return false;
    }
    parts_lend(p, c);
    return true;
}

MLXK_FN uint64_t cache_parts_have(struct cache_parts *p) {
    os_mutex_lock(&p->mutex);
    uint64_t have = cache_runs_total(&p->map.have);
    os_mutex_unlock(&p->mutex);
    return have;
}

MLXK_FN bool cache_parts_hungry(struct cache_parts *p) {
    os_mutex_lock(&p->mutex);
    bool hungry = p->ring.n > 0 && !p->hashing;
    os_mutex_unlock(&p->mutex);
    return hungry;
}

MLXK_FN uint64_t cache_parts_prefix(struct cache_parts *p) {
    os_mutex_lock(&p->mutex);
    uint64_t prefix = cache_runs_prefix(&p->map.have);
    os_mutex_unlock(&p->mutex);
    return prefix;
}

MLXK_FN const char *cache_parts_path(const struct cache_parts *p) {
    return p->blob.partial;
}

MLXK_FN bool cache_parts_reserved(struct cache_parts *p) {
    struct os_stat st;
    return os_fstat(p->blob.fd, &st) && st.disk_bytes >= p->blob.size_bytes;
}

MLXK_FN bool cache_parts_done(struct cache_parts *p) {
    return cache_parts_have(p) == p->blob.size_bytes;
}

/* ---- tending (Public) ---- */

static void parts_beat(struct cache_parts *p) {
    bool ours = cache_lease_beat(&p->lease);
    os_mutex_lock(&p->mutex);
    p->lost = p->lost || !ours;
    os_mutex_unlock(&p->mutex);
}

static bool parts_sync(struct cache_parts *p, struct err *e) {
    os_mutex_lock(&p->mutex);
    struct cache_runs have = p->map.have;
    bool due = p->unsynced >= PARTS_SYNC_BYTES;
    p->unsynced = due ? 0 : p->unsynced;
    os_mutex_unlock(&p->mutex);
    if (!due) {
        return true;
    }
    if (!parts_flush(p, e)) {
        return false;
    }
    os_mutex_lock(&p->mutex);
    p->map.safe = have;
    parts_save(p);
    os_mutex_unlock(&p->mutex);
    return true;
}

MLXK_FN bool cache_parts_tend(struct cache_parts *p, bool *more, struct err *e) {
    *more = true;
    for (int i = 0; *more && i < PARTS_TEND_CHUNKS; i++) {
        if (!parts_catch_up(p, more, e)) {
            return false;
        }
    }
    parts_beat(p);
    return parts_sync(p, e);
}

/* ---- the end (Public) ---- */

static bool parts_verify(struct cache_parts *p, struct err *e) {
    uint8_t digest[32];
    char hex[65];
    bool more = true;
    while (more) {                               /* of a large file this takes a while */
        if (!parts_catch_up(p, &more, e)) {
            return false;
        }
        parts_beat(p);
    }
    if (p->hashed != p->blob.size_bytes) {
        err_set(e, ERR_INTEGRITY, "blob %s ended after %llu of %llu bytes", p->blob.etag,
                (unsigned long long)p->hashed, (unsigned long long)p->blob.size_bytes);
        return err_hint(e, "what arrived is kept; run the command again to continue");
    }
    if (p->blob.kind == CACHE_OPAQUE) {
        return true;                             /* an opaque name promises nothing */
    }
    struct sha256 sha256 = p->sha256;            /* copies: a commit that fails keeps the state */
    struct sha1 sha1 = p->sha1;
    if (p->blob.kind == CACHE_SHA256) {
        sha256_final(&sha256, digest);
    } else {
        sha1_final(&sha1, digest);
    }
    str_hex(hex, digest, p->blob.kind == CACHE_SHA256 ? 32 : 20);
    if (strcmp(hex, p->blob.etag) == 0) {
        return true;
    }
    if (!parts_flush(p, e) || !parts_sure(p, e)) {   /* bytes were lost here: that is why */
        return false;
    }
    err_set(e, ERR_INTEGRITY, "%llu bytes received for blob %s have the hash %s",
            (unsigned long long)p->hashed, p->blob.etag, hex);
    p->map.have.n = 0;                           /* close leaves nothing of it */
    return err_hint(
        e, "the partial file was removed; try again, and if it happens again, another mirror");
}

/* Nobody has taken the blob over; a lease that was tidied away is ours still. */
static bool parts_ours(struct cache_parts *p, struct err *e) {
    struct os_stat st;
    p->lost = p->lost || (p->lease.held && !cache_lease_is_ours(&p->lease) &&
                          os_stat(p->lease.path, &st));
    return !p->lost || parts_gone(p, e);
}

/* Another machine that did the same may have been first; a network file system shows that late. */
static bool parts_rename(struct cache_parts *p, struct err *e) {
    struct os_stat st;
    struct err one = { 0 };
    struct cache_blob *b = &p->blob;
    if (os_rename(b->partial, b->path, &one) ||
        (one.code == ERR_NOT_FOUND && os_stat(b->path, &st) && st.kind == OS_FILE &&
         st.size_bytes == b->size_bytes)) {
        return true;
    }
    p->lost = one.code == ERR_NOT_FOUND;
    if (p->lost) {
        return parts_gone(p, e);
    }
    *e = one;
    return false;
}

/* All bytes are right: the file gets its name. */
static bool parts_name(struct cache_parts *p, struct err *e) {
    char dir[LIMIT_PATH];
    struct os_stat st;
    struct cache_blob *b = &p->blob;
    struct str path = str_cstr(b->path);
    if (!CACHE_PATH(dir, e, str_sub(path, 0, (size_t)str_find_last(path, STR("/"))))) {
        return false;
    }
    if (!os_fstat(b->fd, &st)) {
        return err_set(e, ERR_IO, "%s is gone", b->partial);
    }
    if (st.size_bytes > b->size_bytes && !os_truncate(b->fd, b->size_bytes, e)) {
        return false;
    }
    return parts_ours(p, e) && cache_partial_revive(b, e) && parts_flush(p, e) &&
           parts_sure(p, e) && parts_ours(p, e) &&   /* a slow disk may take longer than leases */
           parts_rename(p, e) && (b->late_sync || os_sync_dir(dir, e));
}

MLXK_FN bool cache_parts_commit(struct cache_parts *p, struct err *e) {
    struct err ignored = { 0 };
    if (!parts_verify(p, e) || !parts_name(p, e)) {
        cache_parts_close(p);
        return false;
    }
    log_write(LOG_DEBUG, "of blob %s %llu bytes were hashed while others were decrypted",
              p->blob.etag, (unsigned long long)p->beside);
    os_unlink(p->blob.map, &ignored);
    parts_leave(p);
    return true;
}

#undef PARTS_SYNC_BYTES
#undef PARTS_BEHIND_BYTES
