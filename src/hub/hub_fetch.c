/* hub_fetch.c: one file front to back, for a mirror that passes the bytes on while they come; and
 * which hub a mirror asks.
 *
 *   open ─ another process is at it: what it has is told, until it has finished or gone ─> open
 *   again
 *     └─> gap by gap ─> commit
 *
 * Invariants
 *  1. progress tells how many bytes of the unfinished file are in place, and falls only when all of
 *     them are thrown away.
 *  2. true means: hashed, right, and under its name.
 *  3. Bytes with a wrong hash are fetched once more only when they were put together from parts.
 */
#include "hub/hub_int.h"

#include <stdio.h>

enum { HUB_FETCH_CHUNK = 65536, HUB_FETCH_PROGRESS = 65536, HUB_FETCH_LOOK_MS = 100 };

/* ---- bytes (Private) ------------------------------------------------------------------------- */

struct hub_fetch_state {
    const struct hub_fetch *f;
    struct cache_parts *parts;
    int claim;
    struct cache_run run;                /* what the claim is for */
    bool whole;                          /* parts of the file cannot be had */
    bool local;                          /* the trouble is on this side: another try is of no use */
};

static bool hub_fetch_tell(struct hub_fetch_state *s, struct err *e) {
    const struct hub_fetch *f = s->f;
    if (f->progress(f->ctx, cache_parts_path(s->parts), cache_parts_prefix(s->parts))) return true;
    s->local = true;
    return err_set(e, ERR_INTERRUPTED, "stopped");
}

static bool hub_fetch_take(void *ctx, const struct hub_reply *r, const uint8_t *p, size_t n,
                           struct err *e) {
    struct hub_fetch_state *s = ctx;
    bool more;
    s->local = !cache_parts_write(s->parts, s->claim, r->at, p, n, e)
               || !cache_parts_tend(s->parts, &more, e);
    return !s->local && hub_fetch_tell(s, e);
}

static bool hub_fetch_claim(struct hub_fetch_state *s) {
    uint64_t size = s->f->file->size_bytes;
    s->claim =
        s->whole ? cache_parts_claim_all(s->parts) : cache_parts_claim(s->parts, size, &s->run);
    if (s->whole) s->run = (struct cache_run){ 0, size };
    return s->claim >= 0;
}

/* The whole file comes although a part was asked for: what is missing of it is taken. */
static bool hub_fetch_whole(void *ctx, struct err *e) {
    struct hub_fetch_state *s = ctx;
    if (s->run.from == 0 && s->run.to == s->f->file->size_bytes) return true;
    cache_parts_release(s->parts, s->claim);
    s->whole = true;
    return hub_fetch_claim(s) || err_set(e, ERR_NET, "the server gives no parts of files");
}

/* ---- attempts (Private) ---------------------------------------------------------------------- */

static bool hub_fetch_attempt(struct hub *h, struct hub_fetch_state *s, uint8_t *chunk,
                              struct hub_reply *reply, struct err *e) {
    *reply = (struct hub_reply){ .asked_ms = -1 };
    if (!hub_fetch_claim(s)) {
        s->local = true;
        return err_set(e, ERR_IO, "%s has too many gaps", cache_parts_path(s->parts));
    }
    struct hub_ask ask = {
        .hub = h, .repo = s->f->repo, .commit = s->f->commit, .file = s->f->file,
        .from = s->run.from, .to = s->run.to < s->f->file->size_bytes ? s->run.to : 0,
        .chunk = &chunk, .chunk_bytes = HUB_FETCH_CHUNK,
        .take = hub_fetch_take, .whole = hub_fetch_whole, .ctx = s,
    };
    buf_init(&reply->location, NET_MAX_URL);
    bool ok = hub_download(&ask, reply, e);
    buf_release(&reply->location);
    if (s->claim >= 0) cache_parts_release(s->parts, s->claim);
    return ok;
}

/* After a failure: false = give up. */
static bool hub_fetch_pause(struct hub *h, struct hub_fetch_state *s, struct http_retry *retry,
                            uint64_t before, const struct hub_reply *reply, struct err *e) {
    struct err broken = { .code = ERR_NET };
    if (s->local) return false;
    if (cache_parts_have(s->parts) >= before + HUB_FETCH_PROGRESS) retry->attempt = 0;
    bool again = reply->again || e->code == ERR_NET || e->code == ERR_NET_TIMEOUT
                 || reply->status == 429 || reply->status >= 500;
    int64_t wait_ms = again ? http_retry_wait(retry, NULL, &broken) : -1;
    if (wait_ms >= 0 && reply->asked_ms > wait_ms) wait_ms = reply->asked_ms;
    s->whole = s->whole || reply->no_ranges;
    return hub_wait(h, wait_ms, e);
}

static bool hub_fetch_all(struct hub *h, struct hub_fetch_state *s, int *n_attempts,
                          struct err *e) {
    struct http_retry retry;
    struct hub_reply reply;
    uint8_t *chunk = mem_alloc(HUB_FETCH_CHUNK);
    bool ok = chunk || err_oom(e, HUB_FETCH_CHUNK, "a download");
    http_retry_init(&retry, h->attempts);
    while (ok && !cache_parts_done(s->parts)) {
        uint64_t before = cache_parts_have(s->parts);
        ++*n_attempts;
        if (hub_fetch_attempt(h, s, chunk, &reply, e)) continue;
        ok = hub_fetch_pause(h, s, &retry, before, &reply, e);
        *h = hub_at(h, (h->at + 1) % h->n_endpoints);
    }
    mem_free(chunk);
    return ok;
}

/* While another process fetches it, what that one has is told. NULL with e.code ERR_OK: it is
 * there. */
static struct cache_parts *hub_fetch_open(const struct hub_fetch *f, bool renew, struct err *e) {
    const struct hub_file *file = f->file;
    char partial[LIMIT_PATH];
    for (;;) {
        struct cache_parts *parts = cache_parts_open(
            f->cache, f->repo, file->etag, file->size_bytes,
            renew ? CACHE_PARTS_RENEW : CACHE_PARTS_CONTINUE, 0, e);
        if (parts || e->code != ERR_LOCKED) return parts;
        err_clear(e);
        uint64_t have = cache_parts_peek(f->cache, f->repo, file->etag, file->size_bytes, partial);
        if (os_interrupted() || (have && !f->progress(f->ctx, partial, have))) {
            err_set(e, ERR_INTERRUPTED, "stopped");
            return NULL;
        }
        os_sleep_ms(HUB_FETCH_LOOK_MS);
    }
}

/* Beside what others are still bringing. */
static bool hub_fetch_room(const struct hub_fetch *f, struct err *e) {
    char brings[400];
    uint64_t size_bytes = f->file->size_bytes, have = 0, held = 0;
    if (size_bytes <= CACHE_SMALL || cache_blob_exists(f->cache, f->repo, f->file->etag, &have))
        return true;
    have = cache_blob_partial(f->cache, f->repo, f->file->etag, size_bytes, &held);
    if (held < have) held = have;
    int n = snprintf(brings, sizeof brings, STR_FMT "@" STR_FMT, STR_ARG(f->repo),
                     STR_ARG(f->commit));
    if (n < 0 || (size_t)n >= sizeof brings) n = 0;
    struct str what = { brings, (size_t)n };
    return held >= size_bytes || cache_room_check(f->cache, what, size_bytes - held, 0, e);
}

static bool hub_fetch_once(struct hub *h, const struct hub_fetch *f, bool renew, bool *in_parts,
                           struct err *e) {
    struct hub_fetch_state s = { .f = f, .claim = -1 };
    int n_attempts = 0;
    *in_parts = false;
    if (!hub_fetch_room(f, e)) return false;
    s.parts = hub_fetch_open(f, renew, e);
    if (!s.parts) return e->code == ERR_OK;
    bool resumed = cache_parts_have(s.parts) > 0;
    bool ok = hub_fetch_tell(&s, e) && hub_fetch_all(h, &s, &n_attempts, e);
    *in_parts = resumed || n_attempts > 1;
    if (ok) return cache_parts_commit(s.parts, e);
    if (f->file->size_bytes > CACHE_SMALL) cache_parts_close(s.parts);
    else cache_parts_drop(s.parts);              /* who fetches it next does so in one go */
    return false;
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool hub_fetch(struct hub *h, const struct hub_fetch *f, struct err *e) {
    bool in_parts, ok;
    while (!(ok = hub_fetch_once(h, f, false, &in_parts, e)) && e->code == ERR_LOCKED)
        err_clear(e);                            /* another machine has taken it over */
    if (ok) return true;
    if (e->code != ERR_INTEGRITY || !in_parts)
        return err_context(e, STR_FMT ": ", STR_ARG(f->file->path));
    err_clear(e);
    return hub_fetch_once(h, f, true, &in_parts, e)
           || err_context(e, STR_FMT ": ", STR_ARG(f->file->path));
}
