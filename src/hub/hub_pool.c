/* hub_pool.c: the missing files of a commit, fetched by a few streams at once.
 *
 *            ┌────────────── locked by another, lease lost: later ──────────────┐
 *            v                                                                  │
 *   WAITING ──pool_open──> OPEN ──pool_segment (1..8 at once)──> OPEN ──pool_finish──> DONE
 *     │  (lock, map of            │  200/206: bytes, claim by claim  │        │
 *     │   an earlier run)         │  cut, 5xx, 429, slow: pool_fail  │        └─ wrong hash of the
 *     │                           │    -> wait, fewer streams        │           bytes: once more
 *     │                           │  403/410 of the storage: address │           from WAITING
 *     │                           │    forgotten, asked for again    │
 *     │                           └─ tries used up, or trouble twice in a minute: another
 *     │                              endpoint; where none is left, the pull ends
 *     └──pool_small──> DONE   (up to HUB_SMALL bytes: through memory, no partial file)
 *
 *   pool_worker x n: pool_pick -> one of these      pool_hasher: hashes what was written, syncs
 *                                                   pool_keep (caller's thread): counts streams
 *                                                   (pool_tune), has the lock of the small files
 *                                                   (pool_small_lock), and what else the caller
 *                                                   has to do (aside)
 *
 * Invariants
 *  1. Memory: HUB_STREAMS chunks of CACHE_CHUNK, as many small files and connections, and per open
 *     file (at most one more than streams) one chunk, one page of map and what waits for the hash:
 *     CACHE_RING chunks and the one being hashed. In all less than 48 MB.
 *  2. Failures of one moment count once, however many streams they hit; a try that brought
 *     HUB_PROGRESS_BYTES starts the count anew, one that did not counts, so a server that trickles
 *     does not hold us for ever.
 *  3. Streams are added one by one while each is fast and the sum grows, halved at every refusal
 *     and break: down to one before anything is given up. A file that comes fast by one stream is
 *     left to it: then all of it is hashed out of the memory.
 *  4. Bytes with a wrong hash are fetched once more, in one piece, and never a third time from the
 *     same endpoint.
 *  5. Parts of a file are done without only when they are refused again and again, on fresh
 *     addresses: what is there would come again.
 *  6. Xet is only another way to the bytes of a segment. What fails about it, once its few tries
 *     are used up, ends it for the whole pull, not the pull.
 * thread: fields of the pool and its items under pool->mutex; the listener is called under it.
 */
#include "hub/hub_xet.h"

enum {
    HUB_STREAMS = 8, HUB_STREAMS_START = 4, HUB_STREAMS_FILE = 3,
    HUB_SMALL = 256 << 10, HUB_SMALL_PIECE = 64 << 10,
    HUB_PROGRESS_BYTES = 65536,
    HUB_REFUSED_PARTS = 3,
    HUB_TROUBLES = 2, HUB_TROUBLE_MS = 60000,
    HUB_HURRY = 3,                       /* from 10 seconds of silence to 1.25 */
    HUB_SEGMENT_MIN = 8 << 20, HUB_SEGMENT_MAX = 64 << 20,
    HUB_WHOLE = 16 << 20,                /* below it one stream takes all of a file */
    HUB_LOCKED_MS = 200, HUB_TEND_MS = 30, HUB_TUNE_MS = 500, HUB_CALM_MS = 10000,
    HUB_FAST_BYTES = 512 << 10,          /* a second and stream: more streams may be worth it */
    HUB_ENOUGH_BYTES = 256 << 20,    /* a second by one stream: more of them must gain a quarter */
    HUB_JUDGE_MS = 30, HUB_REJUDGE_MS = 150,     /* seen for so long */
    HUB_JUDGED_MS = 500,                 /* true for so long */
    HUB_ROOM_MS = 100, HUB_ROOM_STEP = 1 << 20,  /* told so often, when it fell by so much */
    HUB_GATHER_MS = 20,                  /* bytes of a fast stream are written together */
    HUB_XET_TRIES = 3, HUB_XET_FAILURES = 8,     /* of a file without progress; of a pull in all */
    HUB_XET_WAIT_MS = 10000,             /* the storage is not waited for longer than this */
};

enum pool_state { POOL_WAITING, POOL_OPEN, POOL_DONE };
struct pool_item {
    const struct hub_file *file;
    enum pool_state state;
    bool busy, tending;     /* a worker opens, ends or fetches it; the hasher is at it */
    bool proven, doubted, whole;         /* parts were given; then a wrong one; cannot be had */
    bool renew, renewed, told, lost;     /* lost: another machine has taken it over */
    int refused_parts;                   /* one after the other, by the storage */
    struct cache_parts *parts;
    int streams, most_streams;
    size_t endpoint;                     /* asked now */
    uint32_t useless;                    /* bit of each endpoint whose tries are used up */
    int troubles; int64_t trouble_ns;    /* with this endpoint, one soon after the other */
    struct buf location;
    bool location_good;                  /* it has brought bytes */
    struct http_retry retry;
    bool reserved;                       /* the file system holds all of it already */
    bool judged, fast;                   /* its rate is known; one stream is enough */
    uint64_t came, alone_rate;           /* since judge_ns; bytes a second of one stream, at best */
    int64_t judge_ns;                    /* 0 = nothing has come */
    uint64_t counted, mark;              /* bytes in the event's sum; at the last count of tries */
    uint64_t silent_at; int hurry;       /* bytes when a server last fell silent; see pool_learn */
    struct hub_xet_file xet;
    struct http_retry xet_retry;
    bool by_xet;                         /* some of its bytes came that way */
    int64_t not_before_ns;
};
struct hub_pool {
    struct hub_job *job;
    struct pool_item *items;
    size_t n, first, n_done;             /* items before first are done */
    struct os_mutex mutex;
    struct os_cond cond, keep, hash;     /* keep: of the caller's thread; hash: of the hasher */
    bool stop, fresh;                    /* fresh: there may be something to hash */
    struct err error;                    /* the first that ended it */
    int active, limit, most;             /* streams at work, allowed, ever allowed */
    struct os_thread *threads[HUB_STREAMS], *hasher;     /* of the caller's thread: not guarded */
    int n_threads;
    uint64_t window_bytes, best_rate;    /* since window_ns; of the best window so far */
    int64_t window_ns, trouble_ns, room_ns;
    int poor_windows;
    struct hub_xet xet;
    bool use_xet;                        /* asked for, and nothing has spoken against it */
    int xet_failures;
    struct cache_small small;
    bool small_wanted, small_held, small_told;   /* held: small is there, and n_small are at it */
    int n_small;
    int64_t small_ns;                    /* held: last used; else another has it: not before */
};
enum pool_action { POOL_NOTHING, POOL_OPENING, POOL_SEGMENT, POOL_SMALL, POOL_FINISH };
struct pool_task {
    struct hub_pool *pool;
    struct pool_item *item;
    enum pool_action action;
    int claim;
    struct cache_run run;
    bool by_xet;
    int hurry;                           /* the item's, when the segment was taken */
    struct hub hub;                      /* as the item's endpoint sees it */
    struct buf location;
    uint8_t *chunk;
    uint8_t *memory, *end; size_t n;     /* of a small file: n bytes, what comes lies at end */
};

/* ---- telling (Private; under the mutex) ------------------------------------------------------ */

static void pool_wake(struct hub_pool *p) {
    os_cond_broadcast(&p->cond);
    os_cond_signal(&p->hash);
    os_cond_signal(&p->keep);
}

static void pool_stop(struct hub_pool *p, const struct err *e) {
    if (!p->stop) p->error = *e;
    p->stop = true;
    pool_wake(p);
}

static bool pool_tell(struct hub_pool *p, struct pool_item *x, enum hub_event_kind kind) {
    struct err e = { 0 };
    struct hub_event *ev = &p->job->event;
    ev->kind = kind;
    ev->path = x->file->path;
    if (!p->stop && hub_tell(p->job->hub, ev, &e)) return true;
    if (!p->stop) pool_stop(p, &e);
    return false;
}

static void pool_note_wait(struct hub_pool *p, struct pool_item *x, const char *text_cstr,
                           int64_t wait_ms) {
    struct hub_event ev = { .kind = HUB_NOTE, .path = x->file->path, .note_cstr = text_cstr,
                            .wait_ms = wait_ms };
    struct err e = { 0 };
    log_write(LOG_INFO, STR_FMT ": %s", STR_ARG(x->file->path), text_cstr);
    if (!hub_tell(p->job->hub, &ev, &e)) pool_stop(p, &e);
}

static void pool_note(struct hub_pool *p, struct pool_item *x, const char *text_cstr) {
    pool_note_wait(p, x, text_cstr, 0);
}

static void pool_note_locked(struct hub_pool *p, struct pool_item *x) {
    pool_note(p, x, "another process is fetching this file; waiting for it");
}

/* Other processes work on the same blobs, so the sum is not trusted beyond the total. */
static void pool_count(struct hub_pool *p, struct pool_item *x, uint64_t have_bytes) {
    struct hub_event *ev = &p->job->event;
    ev->done_bytes -= x->counted < ev->done_bytes ? x->counted : ev->done_bytes;
    ev->done_bytes += have_bytes;
    if (ev->done_bytes > ev->total_bytes) ev->done_bytes = ev->total_bytes;
    x->counted = have_bytes;
}

static void pool_done(struct hub_pool *p, struct pool_item *x, bool fetched) {
    x->state = POOL_DONE;
    x->parts = NULL;
    buf_release(&x->location);
    p->n_done++;
    p->job->result->n_fetched += fetched;
    pool_count(p, x, x->file->size_bytes);
    p->job->event.done_files++;
    (void)pool_tell(p, x, HUB_FILE_DONE);
    if (p->n_done == p->n) pool_wake(p);
}

/* ---- failures (Private; under the mutex) ----------------------------------------------------- */

static bool pool_is_ours(enum err_code code) {
    return code == ERR_DISK_FULL || code == ERR_IO || code == ERR_READ_ONLY
           || code == ERR_INTERRUPTED || code == ERR_NO_MEMORY || code == ERR_EXISTS;
}

static void pool_give_up(struct hub_pool *p, struct pool_item *x, struct err *e, bool kept) {
    if (kept) err_hint(e, "what arrived is kept; run the command again to continue");
    err_context(e, STR_FMT ": ", STR_ARG(x->file->path));
    pool_stop(p, e);
}

/* Another endpoint for this file; false = there is none. for_good: never this one again. */
static bool pool_next_endpoint(struct hub_pool *p, struct pool_item *x, const struct err *why,
                               bool for_good) {
    const struct hub *h = p->job->hub;
    if (h->n_endpoints < 2) return false;
    if (for_good) x->useless |= 1u << x->endpoint;
    size_t next = x->endpoint, n = 1;
    do next = (next + 1) % h->n_endpoints;
    while (n++ < h->n_endpoints && x->useless >> next & 1);
    if (next == x->endpoint || x->useless >> next & 1) return false;
    x->endpoint = next;
    if (for_good) http_retry_init(&x->retry, h->attempts);
    x->troubles = 0;
    x->location.n = 0;
    x->whole = false;
    struct buf note;
    buf_init(&note, 4096);
    buf_addf(&note, "%s; trying " STR_FMT, why->msg, STR_ARG(h->endpoints[x->endpoint].text));
    pool_note(p, x, note.failed ? why->msg : note.p);
    buf_release(&note);
    return true;
}

static void pool_fewer(struct hub_pool *p, struct pool_item *x) {
    x->most_streams = x->most_streams > 1 ? x->most_streams / 2 : 1;
    p->limit = p->limit > 1 ? p->limit / 2 : 1;
    p->trouble_ns = os_now_ns();
}

/* When to try again; -1 = no more. */
static int64_t pool_pause(struct pool_item *x, const struct hub_reply *r, const struct err *e) {
    bool net = e->code == ERR_NET || e->code == ERR_NET_TIMEOUT;
    bool again = r->status >= 400 ? r->again || http_retry_status(r->status) : net;
    return again ? http_retry_next(&x->retry, r->asked_ms, r->status >= 400 ? 0 : e->tries) : -1;
}

/* A server that falls silent again and again, and goes on as soon as it is asked anew, is asked
 * sooner each time: HUB_HURRY halvings at most, and back when asking brought nothing. */
static void pool_learn(struct pool_item *x, uint64_t have) {
    if (have >= x->silent_at + HUB_PROGRESS_BYTES) x->hurry += x->hurry < HUB_HURRY;
    else x->hurry -= x->hurry > 0;
    x->silent_at = have;
}

/* Did this endpoint make trouble HUB_TROUBLES times, one soon after the other? Another one may do
 * better, however little comes here each time. */
static bool pool_is_tired(struct pool_item *x, int64_t now_ns) {
    if (now_ns - x->trouble_ns > HUB_TROUBLE_MS * 1000000LL) x->troubles = 0;
    x->trouble_ns = now_ns;
    return ++x->troubles >= HUB_TROUBLES;
}

static void pool_fail(struct pool_task *t, const struct hub_reply *r, uint64_t have,
                      struct err *e) {
    struct hub_pool *p = t->pool;
    struct pool_item *x = t->item;
    int64_t now_ns = os_now_ns();
    if (pool_is_ours(e->code)) { pool_give_up(p, x, e, have > 0); return; }
    /* of the same moment as another, or of an endpoint that was left */
    if (p->stop || now_ns < x->not_before_ns || t->hub.at != x->endpoint) return;
    bool expired = r->status >= 400 && r->again && x->location.n && x->location_good;
    if (e->code == ERR_NET_TIMEOUT) pool_learn(x, have);
    bool keep = !x->location.n && r->location.n && http_retry_status(r->status);
    buf_reset(&x->location);
    x->location_good = false;
    if (keep) buf_add(&x->location, buf_str(&r->location));      /* for one more try */
    if (have > x->mark || r->status < 400) x->refused_parts = 0;
    else if (r->again && have) x->refused_parts++;
    if (x->refused_parts >= HUB_REFUSED_PARTS) x->whole = true;
    if (r->no_ranges) {                          /* parts that came before may come again */
        x->whole = x->whole || !x->proven || x->doubted;
        x->doubted = true;
    }
    if (have >= x->mark + HUB_PROGRESS_BYTES) { x->retry.attempt = 0; x->mark = have; }
    if (expired && have > x->mark) { x->mark = have; return; }  /* a fresh address, at once */
    pool_fewer(p, x);
    int64_t wait_ms = pool_pause(x, r, e);
    if ((wait_ms < 0 || pool_is_tired(x, now_ns)) && pool_next_endpoint(p, x, e, wait_ms < 0))
        return;
    if (wait_ms < 0) { pool_give_up(p, x, e, have > 0); return; }
    x->not_before_ns = now_ns + wait_ms * 1000000;
    struct buf note;
    buf_init(&note, 4096);
    buf_addf(&note, "%s; next try in %.1f s", e->msg, (double)wait_ms / 1000.0);
    pool_note_wait(p, x, note.failed ? e->msg : note.p, wait_ms);
    buf_release(&note);
}

/* From now on everything comes by plain ranges. */
static void pool_leave_xet(struct hub_pool *p, const char *why_cstr) {
    if (p->use_xet)
        log_write(LOG_WARN, "Xet is given up, the rest comes by plain ranges: %s", why_cstr);
    p->use_xet = false;
    for (size_t i = p->first; i < p->n; i++) p->items[i].proven = false;
}

static void pool_fail_xet(struct pool_task *t, const struct hub_reply *r, uint64_t have,
                          struct err *e) {
    struct hub_pool *p = t->pool;
    struct pool_item *x = t->item;
    int64_t now_ns = os_now_ns();
    if (pool_is_ours(e->code)) { pool_give_up(p, x, e, have > 0); return; }
    if (p->stop || !p->use_xet || now_ns < x->not_before_ns) return;
    bool again = r->status >= 400 ? http_retry_status(r->status)
                                  : e->code == ERR_NET || e->code == ERR_NET_TIMEOUT;
    if (have >= x->mark + HUB_PROGRESS_BYTES) { x->xet_retry.attempt = 0; x->mark = have; }
    int64_t wait_ms = -1;
    if (again && ++p->xet_failures < HUB_XET_FAILURES)
        wait_ms = http_retry_next(&x->xet_retry, r->asked_ms, 0);
    if (wait_ms < 0 || wait_ms > HUB_XET_WAIT_MS) { pool_leave_xet(p, e->msg); return; }
    x->not_before_ns = now_ns + wait_ms * 1000000;
    pool_note_wait(p, x, e->msg, wait_ms);
}

/* ---- one segment (Private) ------------------------------------------------------------------- */

/* Under the mutex. Is one stream enough? More of them bring what must be read again for the
 * hash. */
static void pool_judge(struct hub_pool *p, struct pool_item *x, size_t n) {
    int64_t now_ns = os_now_ns(), span_ns = now_ns - x->judge_ns;
    /* the first bytes had to be asked for */
    if (x->judge_ns == 0) { x->judge_ns = now_ns; return; }
    x->came += n;
    if (span_ns < (x->judged ? HUB_REJUDGE_MS : HUB_JUDGE_MS) * 1000000LL) return;
    uint64_t rate = (uint64_t)((double)x->came * 1e9 / (double)span_ns);
    if (x->streams <= 1 && rate > x->alone_rate) x->alone_rate = rate;
    bool fast = rate >= HUB_ENOUGH_BYTES && rate < x->alone_rate + x->alone_rate / 4;
    if ((!x->judged || x->fast) && !fast) os_cond_broadcast(&p->cond);
    x->judged = true;
    x->fast = fast;
    x->came = 0;
    x->judge_ns = now_ns;
}

static int pool_streams(const struct pool_item *x) {
    int64_t ago_ns = os_now_ns() - x->judge_ns;
    bool soon = !x->judged && (x->judge_ns == 0 || ago_ns < HUB_JUDGE_MS * 1000000LL);
    bool enough = x->fast && ago_ns < HUB_JUDGED_MS * 1000000LL;
    return x->whole || !x->proven || soon || enough ? 1 : x->most_streams;
}

static bool pool_take(void *ctx, const struct hub_reply *r, const uint8_t *data, size_t n,
                      struct err *e) {
    struct pool_task *t = ctx;
    struct hub_pool *p = t->pool;
    struct pool_item *x = t->item;
    (void)data;                                  /* it lies in t->chunk */
    if (!cache_parts_write_buffer(x->parts, t->claim, r->at, &t->chunk, n, e)) return false;
    uint64_t have = cache_parts_have(x->parts);
    bool hungry = cache_parts_hungry(x->parts);
    os_mutex_lock(&p->mutex);
    x->proven = x->proven || (!r->whole && (!t->by_xet || p->use_xet));
    x->by_xet = x->by_xet || t->by_xet;
    if (!x->location.n && r->location.n) {
        buf_reset(&x->location);
        buf_add(&x->location, buf_str(&r->location));
        if (x->location.failed) x->location.n = 0;
    }
    x->location_good = x->location.n > 0;
    pool_judge(p, x, n);
    p->fresh = p->fresh || hungry;
    if (hungry) os_cond_signal(&p->hash);
    p->window_bytes += n;
    p->job->result->fetched_bytes += n;
    pool_count(p, x, have);
    bool go_on = pool_tell(p, x, HUB_BYTES);
    os_mutex_unlock(&p->mutex);
    return go_on || err_set(e, ERR_INTERRUPTED, "stopped");
}

/* A whole file comes for a part that was asked for: good, if nobody else is at work on it. */
static bool pool_take_whole(void *ctx, struct err *e) {
    struct pool_task *t = ctx;
    if (t->run.from == 0 && t->run.to == t->item->file->size_bytes) return true;
    os_mutex_lock(&t->pool->mutex);
    t->item->whole = true;
    os_mutex_unlock(&t->pool->mutex);
    cache_parts_release(t->item->parts, t->claim);
    t->claim = cache_parts_claim_all(t->item->parts);
    t->run = (struct cache_run){ 0, t->item->file->size_bytes };
    return t->claim >= 0 || err_set(e, ERR_NET, "the server gives no parts of files");
}

/* By Xet where the hub offers it for this file, else as ever. */
static bool pool_download(struct pool_task *t, const struct hub_ask *ask, struct hub_reply *reply,
                          struct err *e) {
    struct hub_xet *xet = &t->pool->xet;
    struct hub_xet_file *f = &t->item->xet;
    if (t->by_xet && !hub_xet_offered(xet, f, ask, reply, e)) return false;
    if (t->by_xet && f->offered) return hub_xet_download(xet, f, ask, reply, e);
    t->by_xet = false;
    return hub_download(ask, reply, e);
}

static void pool_segment(struct pool_task *t) {
    struct hub_pool *p = t->pool;
    struct pool_item *x = t->item;
    struct err e = { 0 };
    uint64_t size = x->file->size_bytes;
    struct hub_reply reply = { .status = 0 };
    struct hub_ask ask = { .hub = &t->hub,
                           .repo = p->job->repo,
                           .commit = p->job->commit,
                           .file = x->file,
                           .location = buf_str(&t->location),
                           .from = t->run.from,
                           .to = t->run.to < size ? t->run.to : 0,
                           .chunk = &t->chunk,
                           .chunk_bytes = CACHE_CHUNK,
                           .gather_ms = HUB_GATHER_MS,
                           .hurry = t->hurry,
                           .take = pool_take,
                           .whole = pool_take_whole,
                           .ctx = t };
    buf_init(&reply.location, NET_MAX_URL * 4);
    bool ok = pool_download(t, &ask, &reply, &e);
    if (t->claim >= 0) cache_parts_release(x->parts, t->claim);
    uint64_t have = cache_parts_have(x->parts);
    os_mutex_lock(&p->mutex);
    x->streams--;
    if (!ok && e.code == ERR_LOCKED) x->lost = true;
    else if (!ok && t->by_xet) pool_fail_xet(t, &reply, have, &e);
    else if (!ok) pool_fail(t, &reply, have, &e);
    os_mutex_unlock(&p->mutex);
    buf_release(&reply.location);
}

/* ---- small files: through memory (Private) --------------------------------------------------- */

static bool pool_small_take(void *ctx, const struct hub_reply *r, const uint8_t *data, size_t n,
                            struct err *e) {
    struct pool_task *t = ctx;
    struct hub_pool *p = t->pool;
    uint8_t *to = t->memory + r->at;             /* a whole answer starts anew */
    MLXK_ASSERT(r->at + n <= HUB_SMALL);
    if (to != data) memmove(to, data, n);
    t->n = (size_t)r->at + n;
    t->end = to + n;
    os_mutex_lock(&p->mutex);
    p->window_bytes += n;
    p->job->result->fetched_bytes += n;
    pool_count(p, t->item, t->n);
    bool go_on = pool_tell(p, t->item, HUB_BYTES);
    os_mutex_unlock(&p->mutex);
    return go_on || err_set(e, ERR_INTERRUPTED, "stopped");
}

/* Sleeps until the item may be tried again; false = the pool has stopped. */
static bool pool_sleep(struct hub_pool *p, const struct pool_item *x) {
    os_mutex_lock(&p->mutex);
    while (!p->stop) {
        int64_t left_ms = (x->not_before_ns - os_now_ns() + 999999) / 1000000;
        if (left_ms <= 0) break;
        (void)os_cond_wait(&p->cond, &p->mutex, left_ms < 200 ? left_ms : 200);
    }
    bool go_on = !p->stop;
    os_mutex_unlock(&p->mutex);
    return go_on;
}

static bool pool_small_fetch(struct pool_task *t) {
    struct hub_pool *p = t->pool;
    struct pool_item *x = t->item;
    struct hub_reply reply = { .status = 0 };
    bool ok = x->file->size_bytes == 0;
    buf_init(&reply.location, NET_MAX_URL * 4);
    while (!ok && pool_sleep(p, x)) {
        struct err e = { 0 };
        t->hub = hub_at(p->job->hub, x->endpoint);
        uint64_t from = x->whole ? 0 : t->n;
        struct hub_ask ask = { .hub = &t->hub, .repo = p->job->repo, .commit = p->job->commit,
                               .file = x->file, .from = from, .chunk = &t->end,
                               .chunk_bytes = HUB_SMALL_PIECE, .take = pool_small_take, .ctx = t };
        ok = hub_download(&ask, &reply, &e);
        os_mutex_lock(&p->mutex);
        if (!ok) pool_fail(t, &reply, t->n, &e);
        os_mutex_unlock(&p->mutex);
        if (t->n == x->file->size_bytes && t->n) ok = true;
    }
    buf_release(&reply.location);
    return ok;
}

/* Fetched and stored; false: the pool has stopped. */
static bool pool_small_store(struct pool_task *t) {
    struct hub_pool *p = t->pool;
    struct pool_item *x = t->item;
    for (;;) {
        struct err e = { 0 };
        t->n = 0;
        t->end = t->memory;
        if (!pool_small_fetch(t)) return false;
        struct str content = { (const char *)t->memory, t->n };
        if (cache_small_store(&p->small, x->file->etag, content, &e)) return true;
        os_mutex_lock(&p->mutex);
        bool again = e.code == ERR_INTEGRITY && (!x->renewed || pool_next_endpoint(p, x, &e, true));
        x->whole = x->renewed = again;
        if (again) pool_note(p, x, e.msg);
        else pool_give_up(p, x, &e, false);
        os_mutex_unlock(&p->mutex);
        if (!again) return false;
    }
}

/* Locked by another process: later. Under no lock of ours. */
static void pool_later(struct hub_pool *p, struct pool_item *x, const struct err *e) {
    os_mutex_lock(&p->mutex);
    x->busy = false;
    x->not_before_ns = os_now_ns() + HUB_LOCKED_MS * 1000000LL;
    if (!x->told) pool_note_locked(p, x);
    x->told = true;
    log_write(LOG_DEBUG, "%s", e->msg);
    os_mutex_unlock(&p->mutex);
}

static void pool_small(struct pool_task *t) {
    struct hub_pool *p = t->pool;
    struct pool_item *x = t->item;
    bool present = !p->job->redownload
                   && cache_small_present(&p->small, x->file->etag, x->file->size_bytes);
    bool ok = present || pool_small_store(t);
    os_mutex_lock(&p->mutex);
    if (ok) pool_done(p, x, !present);
    x->busy = false;
    p->n_small--;
    p->small_ns = os_now_ns();
    os_mutex_unlock(&p->mutex);
}

/* Under the mutex; leaves it. The lock of the small files: held while some are fetched, so that who
 * wants a few of them need not wait for the large ones. */
static void pool_small_lock(struct hub_pool *p) {
    struct err e = { 0 };
    int64_t now_ns = os_now_ns();
    if (p->small_held && !p->n_small && now_ns - p->small_ns > HUB_LOCKED_MS * 1000000LL) {
        p->small_held = false;
        cache_small_end(&p->small);
    }
    if (p->stop || !p->small_wanted || now_ns < p->small_ns) return;
    os_mutex_unlock(&p->mutex);
    bool held = cache_small_begin(&p->small, p->job->cache, p->job->repo, p->job->commit, &e);
    os_mutex_lock(&p->mutex);
    p->small_held = held;
    p->small_wanted = !held;
    p->small_ns = os_now_ns();
    if (held) { os_cond_broadcast(&p->cond); return; }
    if (e.code != ERR_LOCKED) { pool_stop(p, &e); return; }
    p->small_ns += HUB_LOCKED_MS * 1000000LL;
    if (!p->small_told) pool_note_locked(p, &p->items[p->first]);
    p->small_told = true;
}

/* ---- opening and ending (Private) ------------------------------------------------------------ */

static void pool_open(struct pool_task *t) {
    struct hub_pool *p = t->pool;
    struct pool_item *x = t->item;
    struct err e = { 0 };
    bool renew = x->renew || p->job->redownload;
    struct cache_parts *parts = cache_parts_open(
        p->job->cache, p->job->repo, x->file->etag, x->file->size_bytes,
        renew ? CACHE_PARTS_RENEW : CACHE_PARTS_CONTINUE, 0, &e);
    if (!parts && e.code == ERR_LOCKED) { pool_later(p, x, &e); return; }
    os_mutex_lock(&p->mutex);
    x->busy = false;
    if (!parts && e.code == ERR_OK) pool_done(p, x, false);
    else if (!parts) pool_give_up(p, x, &e, false);
    else {
        uint64_t have = cache_parts_have(parts);
        x->parts = parts;
        x->state = POOL_OPEN;
        x->reserved = cache_parts_reserved(parts);
        x->mark = have;
        p->job->result->resumed_bytes += have;
        pool_count(p, x, have);
        (void)pool_tell(p, x, HUB_FILE_START);
    }
    os_cond_broadcast(&p->cond);
    os_mutex_unlock(&p->mutex);
}

static void pool_finish(struct pool_task *t) {
    struct hub_pool *p = t->pool;
    struct pool_item *x = t->item;
    struct err e = { 0 };
    bool ok = !x->lost && cache_parts_commit(x->parts, &e);
    if (x->lost) {
        cache_parts_close(x->parts);
        err_set(&e, ERR_LOCKED, "another machine goes on with it");
    }
    os_mutex_lock(&p->mutex);
    x->parts = NULL;
    x->busy = x->lost = false;
    if (ok) pool_done(p, x, true);
    else if (e.code == ERR_LOCKED) x->state = POOL_WAITING;
    else if (e.code == ERR_INTEGRITY && x->by_xet) {
        pool_leave_xet(p, e.msg);
        x->by_xet = false;
        x->renew = true;
        x->state = POOL_WAITING;
        pool_count(p, x, 0);
    } else if (e.code == ERR_INTEGRITY
             && (!x->renewed || pool_next_endpoint(p, x, &e, true))) {
        x->renew = x->renewed = x->whole = true;     /* once more, in one piece */
        x->state = POOL_WAITING;
        pool_count(p, x, 0);
        pool_note(p, x, e.msg);
    } else pool_give_up(p, x, &e, false);
    os_mutex_unlock(&p->mutex);
}

/* ---- choosing (Private; under the mutex) ----------------------------------------------------- */

static uint64_t pool_segment_bytes(const struct hub_pool *p, const struct pool_item *x) {
    uint64_t size = x->file->size_bytes, missing = size - x->counted;
    if (size <= HUB_WHOLE || x->most_streams == 1) return size;
    uint64_t share = missing / ((uint64_t)p->limit * 2);
    return share < HUB_SEGMENT_MIN   ? HUB_SEGMENT_MIN
           : share > HUB_SEGMENT_MAX ? HUB_SEGMENT_MAX
                                     : share;
}

static bool pool_pick_segment(struct hub_pool *p, struct pool_item *x, struct pool_task *t) {
    if (x->streams >= pool_streams(x)) return false;
    t->claim = x->whole ? cache_parts_claim_all(x->parts)
                        : cache_parts_claim(x->parts, pool_segment_bytes(p, x), &t->run);
    if (x->whole) t->run = (struct cache_run){ 0, x->file->size_bytes };
    if (t->claim < 0) return false;
    t->hub = hub_at(p->job->hub, x->endpoint);
    buf_reset(&t->location);
    buf_add(&t->location, buf_str(&x->location));
    t->hurry = x->hurry;
    t->by_xet = p->use_xet && !x->whole;
    x->streams++;
    t->action = POOL_SEGMENT;
    return true;
}

static bool pool_is_small(const struct pool_item *x) {
    return x->file->size_bytes <= HUB_SMALL;
}

static bool pool_pick_item(struct hub_pool *p, struct pool_item *x, struct pool_task *t) {
    t->item = x;
    if (x->busy || x->state == POOL_DONE) return false;
    if (x->state == POOL_OPEN && x->streams == 0 && !x->tending
        && (x->lost || cache_parts_done(x->parts))) {
        t->action = POOL_FINISH;
        return x->busy = true;
    }
    if (x->lost || os_now_ns() < x->not_before_ns) return false;
    if (x->state == POOL_OPEN) return pool_pick_segment(p, x, t);
    bool small = pool_is_small(x);
    if (small && !p->small_held) {
        if (!p->small_wanted) os_cond_signal(&p->keep);
        p->small_wanted = true;
        return false;
    }
    t->action = small ? POOL_SMALL : POOL_OPENING;
    p->n_small += small;
    return x->busy = true;
}

static bool pool_pick(struct hub_pool *p, struct pool_task *t) {
    int open = 0;
    while (p->first < p->n && p->items[p->first].state == POOL_DONE) p->first++;
    for (size_t i = p->first; i < p->n && open <= HUB_STREAMS; i++) {
        bool waits = !p->small_held && pool_is_small(&p->items[i]);
        open += p->items[i].state != POOL_DONE && !waits;
        if (pool_pick_item(p, &p->items[i], t)) return true;
    }
    return false;
}

/* ---- threads (Private) ----------------------------------------------------------------------- */

static void pool_worker(void *ctx) {
    struct hub_pool *p = ctx;
    struct pool_task t = { .pool = p, .chunk = mem_alloc(CACHE_CHUNK),
                           .memory = mem_alloc(HUB_SMALL + HUB_SMALL_PIECE) };
    buf_init(&t.location, NET_MAX_URL * 4);
    os_mutex_lock(&p->mutex);
    if (!t.chunk || !t.memory) {
        struct err e = { 0 };
        err_oom(&e, CACHE_CHUNK, "a download");
        pool_stop(p, &e);
    }
    while (!p->stop && p->n_done < p->n) {
        if (p->active >= p->limit || !pool_pick(p, &t)) {
            (void)os_cond_wait(&p->cond, &p->mutex, HUB_LOCKED_MS);
            continue;
        }
        p->active++;
        os_mutex_unlock(&p->mutex);
        switch (t.action) {
        case POOL_OPENING: pool_open(&t); break;
        case POOL_SEGMENT: pool_segment(&t); break;
        case POOL_SMALL: pool_small(&t); break;
        case POOL_FINISH: pool_finish(&t); break;
        case POOL_NOTHING: break;
        }
        os_mutex_lock(&p->mutex);
        p->active--;                     /* this thread takes the next small file itself */
        if (t.action != POOL_SMALL) os_cond_broadcast(&p->cond);
        else if (p->active + 1 < p->limit) os_cond_signal(&p->cond);
    }
    pool_wake(p);
    os_mutex_unlock(&p->mutex);
    mem_free(t.chunk);
    buf_release(&t.location);
    mem_free(t.memory);
}

/* One more stream while each is fast and the sum grows; one less when it has fallen for a while. */
static void pool_tune(struct hub_pool *p) {
    int64_t now_ns = os_now_ns(), span_ns = now_ns - p->window_ns;
    if (span_ns < HUB_TUNE_MS * 1000000LL) return;
    uint64_t rate = (uint64_t)((double)p->window_bytes * 1e9 / (double)span_ns);
    p->window_ns = now_ns;
    p->window_bytes = 0;
    bool calm = now_ns - p->trouble_ns > HUB_CALM_MS * 1000000LL;
    bool full = p->active >= p->limit;
    if (full && calm && p->limit < p->most && rate > p->best_rate + p->best_rate / 10
        && rate / (uint64_t)p->limit > HUB_FAST_BYTES) {
        p->limit++;
        for (size_t i = p->first; i < p->n && p->items[i].state != POOL_WAITING; i++)
            if (p->items[i].most_streams < p->limit) p->items[i].most_streams++;
        os_cond_broadcast(&p->cond);
    }
    p->poor_windows = full && rate < p->best_rate / 2 ? p->poor_windows + 1 : 0;
    if (p->poor_windows >= 4 && p->limit > 1) {
        p->limit--;
        p->poor_windows = 0;
        p->best_rate = rate;
    }
    if (rate > p->best_rate) p->best_rate = rate;
}

/* Under the mutex. Bytes to come that no file holds yet: others shall not count on their room. */
static void pool_room(struct hub_pool *p) {
    const struct hub_event *ev = &p->job->event;
    uint64_t left = ev->total_bytes - ev->done_bytes;
    int open = 0;
    if (os_now_ns() - p->room_ns < HUB_ROOM_MS * 1000000LL) return;
    p->room_ns = os_now_ns();
    for (size_t i = p->first; i < p->n && open <= HUB_STREAMS; i++) {
        const struct pool_item *x = &p->items[i];
        uint64_t coming = x->file->size_bytes - x->counted;
        open += x->state != POOL_DONE;
        if (x->state == POOL_OPEN && x->reserved) left -= coming < left ? coming : left;
    }
    if (left + HUB_ROOM_STEP <= p->job->room->told_bytes) cache_room_tell(p->job->room, left);
}

/* Under the mutex; leaves it while it works. true: some file has more to hash. */
static bool pool_tend(struct hub_pool *p) {
    bool busy = false;
    for (size_t i = p->first; i < p->n && i < p->first + HUB_STREAMS * 4 && !p->stop; i++) {
        struct pool_item *x = &p->items[i];
        struct err e = { 0 };
        bool more = false;
        if (x->state != POOL_OPEN || x->busy) continue;
        x->tending = true;
        os_mutex_unlock(&p->mutex);
        bool ok = cache_parts_tend(x->parts, &more, &e);
        os_mutex_lock(&p->mutex);
        x->tending = false;
        if (x->streams == 0 && cache_parts_done(x->parts)) os_cond_broadcast(&p->cond);
        busy = busy || more;
        if (!ok) pool_give_up(p, x, &e, true);
    }
    return busy;
}

/* It fills the time that the streams and, on the same machine, a server leave of the processors. */
static void pool_hasher(void *ctx) {
    struct hub_pool *p = ctx;
    os_thread_lower();
    os_mutex_lock(&p->mutex);
    while (!p->stop && p->n_done < p->n) {
        p->fresh = false;
        if (!pool_tend(p) && !p->fresh && !p->stop && p->n_done < p->n)
            (void)os_cond_wait(&p->hash, &p->mutex, HUB_TEND_MS);
    }
    os_mutex_unlock(&p->mutex);
}

static void pool_aside(struct hub_pool *p) {
    if (!p->job->aside) return;
    os_mutex_unlock(&p->mutex);
    p->job->aside(p->job->aside_ctx);
    os_mutex_lock(&p->mutex);
}

/* As many threads as there may be streams; without the last of them, or a hasher, it goes on. */
static void pool_staff(struct hub_pool *p, struct err *e) {
    while (p->n_threads < p->limit) {
        p->threads[p->n_threads] = os_thread_start(pool_worker, p, e);
        if (!p->threads[p->n_threads]) break;
        p->n_threads++;
    }
}

static void pool_keep(struct hub_pool *p) {
    struct err e = { 0 }, none = { 0 };
    os_mutex_lock(&p->mutex);
    pool_aside(p);                       /* once in any case */
    while (!p->stop && p->n_done < p->n) {
        pool_small_lock(p);
        pool_aside(p);
        if (!p->hasher) (void)pool_tend(p);
        if (!p->stop && p->n_done < p->n)
            (void)os_cond_wait(&p->keep, &p->mutex, HUB_TEND_MS);
        pool_tune(p);
        pool_room(p);
        pool_staff(p, &none);
        if (!os_interrupted()) continue;
        err_set(&e, ERR_INTERRUPTED, "stopped by the user");
        err_hint(&e, "what arrived is kept; run the command again to continue");
        pool_stop(p, &e);
    }
    os_mutex_unlock(&p->mutex);
}

static bool pool_run(struct hub_pool *p, struct err *e) {
    struct err none = { 0 };
    if (p->n == 1 && p->items[0].file->size_bytes <= HUB_WHOLE) p->most = p->limit = 1;
    os_mutex_lock(&p->mutex);
    pool_small_lock(p);
    pool_staff(p, &none);
    os_mutex_unlock(&p->mutex);
    if (p->n_threads == 0) { *e = none; return false; }
    p->hasher = os_thread_start(pool_hasher, p, &none);
    pool_keep(p);
    if (p->hasher) os_thread_join(p->hasher);
    for (int i = 0; i < p->n_threads; i++) os_thread_join(p->threads[i]);
    if (p->stop) *e = p->error;
    return !p->stop;
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool hub_pool_fetch(struct hub_job *j, const struct hub_file *const *files,
                            const uint64_t *part_bytes, size_t n, struct err *e) {
    int most = j->max_streams > 0 && j->max_streams < HUB_STREAMS ? j->max_streams : HUB_STREAMS;
    struct hub_pool p = { .job = j, .n = n, .most = most, .window_ns = os_now_ns(),
                          .limit = most < HUB_STREAMS_START ? most : HUB_STREAMS_START };
    if (n == 0) return true;
    p.items = mem_alloc(n * sizeof *p.items);
    if (!p.items) return err_oom(e, n * sizeof *p.items, "the plan of a download");
    memset(p.items, 0, n * sizeof *p.items);
    p.trouble_ns = p.window_ns - HUB_CALM_MS * 1000000LL;
    os_mutex_init(&p.mutex);
    os_cond_init(&p.cond);
    os_cond_init(&p.keep);
    os_cond_init(&p.hash);
    hub_xet_init(&p.xet);
    p.use_xet = j->hub->xet;
    for (size_t i = 0; i < n; i++) {
        struct pool_item *x = &p.items[i];
        x->file = files[i];
        x->counted = part_bytes[i];
        x->most_streams = HUB_STREAMS_FILE;
        x->endpoint = j->hub->at;
        buf_init(&x->location, NET_MAX_URL * 4);
        http_retry_init(&x->retry, j->hub->attempts);
        http_retry_init(&x->xet_retry, HUB_XET_TRIES);
        p.small_wanted = p.small_wanted || pool_is_small(x);
    }
    os_thread_batch(true);
    bool ok = pool_run(&p, e);
    os_thread_batch(false);
    for (size_t i = 0; i < n; i++) {
        cache_parts_close(p.items[i].parts);
        buf_release(&p.items[i].location);
    }
    if (p.small_held) cache_small_end(&p.small);
    hub_xet_release(&p.xet);
    mem_free(p.items);
    return ok;
}
