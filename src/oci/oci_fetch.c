/* oci_fetch.c: one large blob into the cache, by as many as come to help.
 *
 *   the first: opens the partial, asks for the first segment -> a part came? then others may help
 *   everybody: claims a segment -> reads, writes, hashes -> the next ... none left
 *   the last to leave: checks the digest and gives the blob its name, or keeps what has come
 *
 * 1. Nobody helps before an answer with a part (206) was seen: who sends the whole blob to every
 *    question is read once, from its first byte to its last.
 * 2. A failure of one is the failure of all.
 * ref: distribution 1.1, "pulling blobs"; RFC 9110 section 14.
 */
#include "oci/oci_int.h"

enum { OCI_FETCH_PIECE = 1 << 20, OCI_FETCH_WAIT_MS = 100 };
#define OCI_FETCH_SEGMENT ((uint64_t)32 << 20)

struct oci_fetch_hand {          /* one who works */
    struct oci_fetch *f;
    struct oci *o;
    struct oci_reader *r;        /* or NULL */
    uint64_t at, to;             /* what it will give next, and how far it goes */
    uint8_t *piece;
};

/* ---- segments (Private) ---------------------------------------------------------------------- */

/* The stream stands at `from`, on its way to `to` or further. */
static bool oci_fetch_open(struct oci_fetch_hand *h, uint64_t from, uint64_t to, struct err *e) {
    if (h->r && h->at == from && h->to >= to) return true;
    oci_blob_close(h->r);
    h->at = from;
    h->to = to;
    h->r = oci_blob_open_part(h->o, h->f->d, from, to, e);
    return h->r != NULL;
}

/* What the first answer has shown. */
static void oci_fetch_learn(struct oci_fetch_hand *h) {
    struct oci_fetch *f = h->f;
    bool parts = oci_blob_is_part(h->r);
    if (!parts) h->to = f->d->size_bytes;
    if (f->parts != OCI_FETCH_UNKNOWN) return;
    os_mutex_lock(&f->mutex);
    f->parts = parts ? OCI_FETCH_PARTS : OCI_FETCH_WHOLE;
    os_cond_broadcast(&f->changed);
    os_mutex_unlock(&f->mutex);
}

static bool oci_fetch_segment(struct oci_fetch_hand *h, int claim, const struct cache_run *run,
                              struct err *e) {
    struct oci_fetch *f = h->f;
    bool ok = oci_fetch_open(h, run->from, run->to, e), more;
    while (ok && h->at < run->to) {
        size_t got;
        uint64_t left = run->to - h->at;
        ok = oci_blob_read(h->r, h->piece, left < OCI_FETCH_PIECE ? (size_t)left : OCI_FETCH_PIECE,
                           &got, e)
             && cache_parts_write(f->parts_of, claim, h->at, h->piece, got, e)
             && cache_parts_tend(f->parts_of, &more, e);
        if (ok && h->at == run->from) oci_fetch_learn(h);
        h->at += ok ? got : 0;
        ok = ok && f->came(f->ctx, h->o, got, e);
    }
    size_t behind;                       /* whoever sends more than that is not believed */
    return ok && (run->to < f->d->size_bytes || oci_blob_read(h->r, h->piece, 1, &behind, e));
}

static bool oci_fetch_all(struct oci_fetch *f, struct oci *o, struct err *e) {
    struct oci_fetch_hand h = { .f = f, .o = o, .piece = mem_alloc(OCI_FETCH_PIECE) };
    struct cache_run run;
    int claim;
    bool ok = h.piece || err_oom(e, OCI_FETCH_PIECE, "a download");
    while (ok && (claim = cache_parts_claim(f->parts_of, OCI_FETCH_SEGMENT, &run)) >= 0) {
        ok = oci_fetch_segment(&h, claim, &run, e);
        cache_parts_release(f->parts_of, claim);
    }
    oci_blob_close(h.r);
    mem_free(h.piece);
    return ok;
}

/* ---- who comes and goes (Private) ------------------------------------------------------------ */

/* Only the first opens it, and waits for other processes without keeping others from looking. */
static bool oci_fetch_begin(struct oci_fetch *f, struct oci *o, struct err *e) {
    f->parts_of = cache_parts_open(f->cache, f->model, f->etag, f->d->size_bytes, f->how, -1, e);
    if (!f->parts_of) return e->code == ERR_OK;          /* it is there meanwhile */
    uint64_t have = cache_parts_have(f->parts_of);
    f->resumed_bytes = have;
    f->begun(f->ctx, f->d->size_bytes - have);
    o->event.done_bytes += have;
    return true;
}

/* true = there is something to help with. */
static bool oci_fetch_may_help(struct oci_fetch *f, struct oci *o, struct err *e) {
    bool ok = true;
    os_mutex_lock(&f->mutex);
    while (ok && !f->ended && f->parts == OCI_FETCH_UNKNOWN) {
        (void)os_cond_wait(&f->changed, &f->mutex, OCI_FETCH_WAIT_MS);
        os_mutex_unlock(&f->mutex);
        ok = oci_tell(o, OCI_BYTES, e);          /* or everybody was stopped */
        os_mutex_lock(&f->mutex);
    }
    bool helps = ok && !f->ended && f->parts == OCI_FETCH_PARTS;
    f->n_hands += helps;
    os_mutex_unlock(&f->mutex);
    return helps;
}

/* The last to leave ends it. */
static bool oci_fetch_leave(struct oci_fetch *f, bool ok, bool *fetched, struct err *e) {
    os_mutex_lock(&f->mutex);
    f->failed = f->failed || !ok;
    bool last = --f->n_hands == 0, whole = !f->failed;
    f->ended = f->ended || last;
    os_cond_broadcast(&f->changed);
    os_mutex_unlock(&f->mutex);
    if (!last || !f->parts_of) return ok;
    *fetched = whole;
    if (whole) return cache_parts_commit(f->parts_of, e);
    cache_parts_close(f->parts_of);
    return ok;
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN void oci_fetch_init(struct oci_fetch *f) {
    os_mutex_init(&f->mutex);
    os_cond_init(&f->changed);
}

MLXK_FN size_t oci_fetch_hands(uint64_t size_bytes, size_t most) {
    uint64_t segments = size_bytes / OCI_FETCH_SEGMENT;
    return segments < 2 ? 1 : segments < most ? (size_t)segments : most;
}

MLXK_FN bool oci_fetch_run(struct oci_fetch *f, struct oci *o, bool helps, bool *fetched,
                           struct err *e) {
    bool ok = true;
    *fetched = false;
    if (helps && !oci_fetch_may_help(f, o, e)) return e->code == ERR_OK;
    if (!helps) {
        os_mutex_lock(&f->mutex);
        f->n_hands = 1;
        os_mutex_unlock(&f->mutex);
        ok = oci_fetch_begin(f, o, e);
    }
    if (ok && f->parts_of) ok = oci_fetch_all(f, o, e);
    return oci_fetch_leave(f, ok, fetched, e);
}

#undef OCI_FETCH_SEGMENT
