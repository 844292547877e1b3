/* hub_fetch.c: one file front to back, for a mirror that passes the bytes on while they come; and
 * which hub a mirror asks.
 *
 * Invariants
 *  1. progress tells how many bytes of the unfinished file are in place, and falls only when all of
 *     them are thrown away.
 *  2. true means: hashed, right, and under its name.
 *  3. Bytes with a wrong hash are fetched once more only when they were put together from parts.
 */
#include "hub/hub_int.h"

enum { HUB_FETCH_CHUNK = 65536, HUB_FETCH_PROGRESS = 65536 };

/* ---- bytes (Private) ------------------------------------------------------------------------- */

struct hub_fetch_state {
    const struct hub_fetch *f;
    struct cache_blob blob;
    bool local;                          /* the trouble is on this side: another try is of no use */
};

static bool hub_fetch_tell(struct hub_fetch_state *s, struct err *e) {
    const struct hub_fetch *f = s->f;
    if (f->progress(f->ctx, s->blob.partial, s->blob.have_bytes)) return true;
    s->local = true;
    return err_set(e, ERR_INTERRUPTED, "stopped");
}

static bool hub_fetch_take(void *ctx, const struct hub_reply *r, const uint8_t *p, size_t n,
                           struct err *e) {
    struct hub_fetch_state *s = ctx;
    if (r->at != s->blob.have_bytes)
        return err_set(e, ERR_NET, "bytes from %llu on came where those from %llu on belong",
                       (unsigned long long)r->at, (unsigned long long)s->blob.have_bytes);
    s->local = !cache_blob_write(&s->blob, p, n, e);
    return !s->local && hub_fetch_tell(s, e);
}

/* The whole file comes although a part was asked for. */
static bool hub_fetch_whole(void *ctx, struct err *e) {
    struct hub_fetch_state *s = ctx;
    if (s->blob.have_bytes == 0) return true;
    s->local = !cache_blob_rewind(&s->blob, e);
    return !s->local && hub_fetch_tell(s, e);
}

/* ---- attempts (Private) ---------------------------------------------------------------------- */

static bool hub_fetch_attempt(struct hub *h, struct hub_fetch_state *s, uint8_t *chunk,
                              struct hub_reply *reply, struct err *e) {
    struct hub_ask ask = {
        .hub = h, .repo = s->f->repo, .commit = s->f->commit, .file = s->f->file,
        .from = s->blob.have_bytes, .chunk = chunk, .chunk_bytes = HUB_FETCH_CHUNK,
        .take = hub_fetch_take, .whole = hub_fetch_whole, .ctx = s,
    };
    *reply = (struct hub_reply){ .asked_ms = -1 };
    buf_init(&reply->location, NET_MAX_URL);
    bool ok = hub_download(&ask, reply, e);
    buf_release(&reply->location);
    return ok;
}

/* After a failure: false = give up. */
static bool hub_fetch_pause(struct hub *h, struct hub_fetch_state *s, struct http_retry *retry,
                            uint64_t before, const struct hub_reply *reply, struct err *e) {
    struct err broken = { .code = ERR_NET }, ignored = { 0 };
    if (s->local) return false;
    if (s->blob.have_bytes >= before + HUB_FETCH_PROGRESS) retry->attempt = 0;
    bool again = reply->again || e->code == ERR_NET || e->code == ERR_NET_TIMEOUT
                 || reply->status == 429 || reply->status >= 500;
    int64_t wait_ms = again ? http_retry_wait(retry, NULL, &broken) : -1;
    if (wait_ms >= 0 && reply->asked_ms > wait_ms) wait_ms = reply->asked_ms;
    if (wait_ms >= 0 && reply->no_ranges && s->blob.have_bytes
        && (!cache_blob_rewind(&s->blob, e) || !hub_fetch_tell(s, &ignored)))
        return false;
    return hub_wait(h, wait_ms, e);
}

static bool hub_fetch_all(struct hub *h, struct hub_fetch_state *s, int *n_attempts,
                          struct err *e) {
    struct http_retry retry;
    struct hub_reply reply;
    uint8_t *chunk = mem_alloc(HUB_FETCH_CHUNK);
    bool ok = chunk || err_oom(e, HUB_FETCH_CHUNK, "a download");
    http_retry_init(&retry, h->attempts);
    while (ok && s->blob.have_bytes < s->blob.size_bytes) {
        uint64_t before = s->blob.have_bytes;
        ++*n_attempts;
        if (hub_fetch_attempt(h, s, chunk, &reply, e)) continue;
        ok = hub_fetch_pause(h, s, &retry, before, &reply, e);
        *h = hub_at(h, (h->at + 1) % h->n_endpoints);
    }
    mem_free(chunk);
    return ok;
}

static bool hub_fetch_once(struct hub *h, const struct hub_fetch *f, bool renew, bool *in_parts,
                           struct err *e) {
    struct hub_fetch_state s = { .f = f };
    const struct hub_file *file = f->file;
    int n_attempts = 0;
    bool ok = renew ? cache_blob_renew(f->cache, f->repo, file->etag, file->size_bytes, -1, &s.blob, e)
                    : cache_blob_begin(f->cache, f->repo, file->etag, file->size_bytes, false, -1,
                                       &s.blob, e);
    *in_parts = false;
    if (!ok || s.blob.present) return ok;
    bool resumed = s.blob.have_bytes > 0;
    ok = hub_fetch_tell(&s, e) && hub_fetch_all(h, &s, &n_attempts, e);
    *in_parts = resumed || n_attempts > 1;
    if (ok) return cache_blob_commit(&s.blob, e);
    cache_blob_abort(&s.blob);
    return false;
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool hub_fetch(struct hub *h, const struct hub_fetch *f, struct err *e) {
    bool in_parts;
    if (hub_fetch_once(h, f, false, &in_parts, e)) return true;
    if (e->code != ERR_INTEGRITY || !in_parts) return err_context(e, STR_FMT ": ", STR_ARG(f->file->path));
    err_clear(e);
    return hub_fetch_once(h, f, true, &in_parts, e)
           || err_context(e, STR_FMT ": ", STR_ARG(f->file->path));
}
