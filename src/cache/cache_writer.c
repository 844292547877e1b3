/* cache_writer.c: a blob written front to back by somebody who has its bytes: an import, a bundle.
 *
 *   open ──present──> (nothing to write)
 *     ├─ small: lock, memory                        ─> commit: hash, one write, rename
 *     └─ else: lock, lease, map, partial (cache_parts) ─> commit: rest of the hash, sync, rename
 *                                            close(keep): the next one goes on, a download too
 *
 * 1. What a download has left is gone on from, after a comparison: the bytes at hand are the right
 *    ones.
 * 2. Two processes with the same blob, whoever they are, write it once.
 */
#include "cache/cache_int.h"

MLXK_FN bool cache_writer_open(struct cache_writer *w, const struct cache *c, struct str repo,
                               struct str etag, uint64_t size_bytes, int64_t wait_ms,
                               struct err *e) {
    *w = (struct cache_writer){ .claim = -1, .cache = c, .repo = repo, .etag = etag,
                                .size_bytes = size_bytes, .lock = { .fd = -1 } };
    uint64_t have_bytes;
    if (size_bytes > CACHE_SMALL) {
        w->parts = cache_parts_open(c, repo, etag, size_bytes, CACHE_PARTS_MEND, wait_ms, e);
        w->present = !w->parts && e->code == ERR_OK;
        w->claim = w->parts ? cache_parts_claim_all(w->parts) : -1;
        return w->parts || w->present;
    }
    w->present = cache_blob_exists(c, repo, etag, &have_bytes) && have_bytes == size_bytes;
    if (w->present) {
        return true;                             /* no lock needed: works on a read-only cache */
    }
    w->memory = mem_alloc(CACHE_SMALL);
    if (!w->memory) {
        return err_oom(e, CACHE_SMALL, "a file");
    }
    bool ok = cache_blob_lock(c, repo, etag, size_bytes, wait_ms, &w->lock, &w->present, e);
    if (!ok) {
        w->lock = (struct os_lock){ .fd = -1 };
    }
    if (!ok || w->present) {
        cache_writer_close(w, true);
    }
    return ok;
}

MLXK_FN bool cache_writer_add(struct cache_writer *w, const void *p, size_t n, struct err *e) {
    bool more;
    if (n > w->size_bytes - w->at) {
        return err_set(e, ERR_INTEGRITY,
                       "blob " STR_FMT " has more than the %llu bytes that were announced",
                       STR_ARG(w->etag), (unsigned long long)w->size_bytes);
    }
    if (w->memory) {
        memcpy(w->memory + w->at, p, n);
    } else if (!cache_parts_write(w->parts, w->claim, w->at, p, n, e) ||
               !cache_parts_tend(w->parts, &more, e)) {
        return false;
    }
    w->at += n;
    return true;
}

static bool cache_writer_short(const struct cache_writer *w, struct err *e) {
    err_set(e, ERR_INTEGRITY, "blob " STR_FMT " ended after %llu of %llu bytes", STR_ARG(w->etag),
            (unsigned long long)w->at, (unsigned long long)w->size_bytes);
    return err_hint(e, "what arrived is kept; run the command again to continue");
}

MLXK_FN bool cache_writer_commit(struct cache_writer *w, struct err *e) {
    bool ok = w->at == w->size_bytes || cache_writer_short(w, e);
    if (ok && w->memory) {
        struct str content = { w->memory, (size_t)w->size_bytes };
        ok = cache_blob_store(w->cache, w->repo, w->etag, content, e);
    } else if (ok) {
        cache_parts_release(w->parts, w->claim);
        ok = cache_parts_commit(w->parts, e);
        w->parts = NULL;
    }
    cache_writer_close(w, true);
    return ok;
}

MLXK_FN void cache_writer_close(struct cache_writer *w, bool keep) {
    if (w->parts) {
        cache_parts_release(w->parts, w->claim);
    }
    if (keep) {
        cache_parts_close(w->parts);
    } else if (w->parts) {
        cache_parts_drop(w->parts);
    }
    if (w->lock.fd >= 0 || w->lock.soft) {
        os_lock_release(&w->lock);
        w->lock = (struct os_lock){ .fd = -1 };
    }
    mem_free(w->memory);
    w->memory = NULL;
    w->parts = NULL;
}
