/* hub_xet.c: a range of a file by way of content-addressed storage.
 *
 *   hub: HEAD of the file ─> Xet hash, route ─> token (once for the pull, again when it expires)
 *   storage: reconstruction of 16 MiB ─> per term: part of a xorb ─> chunks unpacked ─> taker
 *
 * How often to try, and when to leave Xet alone, is the pool's matter (hub_pool.c).
 *
 * Invariants
 *  1. One chunk, packed and unpacked, and one reconstruction are in memory. Terms that go to and
 *     fro between parts of xorbs find them open where they left them, HUB_XET_OPEN of them.
 *  2. What is fetched for a query is bounded by what was asked for, whatever order the terms have.
 *  3. An address that is refused is asked for again, HUB_XET_RENEWALS times without a new byte.
 */
#include "hub/hub_xet.h"

enum {
    HUB_XET_RENEWALS = 3, HUB_XET_SOON_S = 30, HUB_XET_DAY_S = 86400,
    HUB_XET_OPEN = 4,                    /* parts of xorbs that are read in turn */
};
#define HUB_XET_MAX_FETCH ((uint64_t)HUB_XET_QUERY * 4)  /* bytes of xorbs for one query */
#define HUB_XET_MAX_TOKEN_BYTES ((size_t)64 << 10)

/* ---- of a pull (Public to the room) ---------------------------------------------------------- */

MLXK_FN void hub_xet_init(struct hub_xet *x) {
    *x = (struct hub_xet){ .old = false };
    os_mutex_init(&x->mutex);
    arena_init(&x->arena, HUB_XET_MAX_TOKEN_BYTES);
    arena_init(&x->token_arena, HUB_XET_MAX_TOKEN_BYTES * 4);
}

MLXK_FN void hub_xet_release(struct hub_xet *x) {
    arena_release(&x->arena);
    arena_release(&x->token_arena);
}

/* ---- what the hub offers (Private) ----------------------------------------------------------- */

struct hub_xet_hint { struct arena *arena; struct str hash, route; };

/* Only the hub's own answers count, those that send us elsewhere, too. */
static bool hub_xet_see(void *ctx, const struct http_response *r, struct err *e) {
    struct hub_xet_hint *hint = ctx;
    (void)e;
    struct str hash = http_header(r, "X-Xet-Hash"), link = http_header(r, "Link"),
               route = link.p ? hub_parse_link(link, STR("xet-auth")) : STR_EMPTY;
    if (!route.p) route = http_header(r, "X-Xet-Refresh-Route");
    if (r->crossed_origin || !str_is_hex(hash, 64) || !route.n) return true;
    hint->hash = str_dup(hint->arena, hash);
    hint->route = str_dup(hint->arena, route);
    return true;
}

static void hub_xet_take_hint(struct hub_xet *x, struct hub_xet_file *f, const struct hub_ask *q,
                              const struct hub_xet_hint *hint, bool inside) {
    bool other = q->file->xet_hash.n && !str_eq(q->file->xet_hash, hint->hash);
    f->asked = true;
    if (!hint->hash.n || !hint->route.n || other) return;
    os_mutex_lock(&x->mutex);
    if (!x->route.n) {
        x->route = str_dup(&x->arena, hint->route);
        x->inside = inside;
    }
    f->offered = x->route.n > 0;
    os_mutex_unlock(&x->mutex);
    memcpy(f->hash, hint->hash.p, 64);
}

/* An error status becomes out->status and e. */
static bool hub_xet_refused(const struct http_response *r, const char *what_cstr,
                            struct hub_reply *out, struct err *e) {
    out->status = r->status;
    out->asked_ms = http_retry_asked(r);
    return err_set(e, ERR_HTTP, STR_FMT " answers with status %d when asked for %s",
                   STR_ARG(r->url.authority), r->status, what_cstr);
}

MLXK_FN bool hub_xet_offered(struct hub_xet *x, struct hub_xet_file *f, const struct hub_ask *q,
                             struct hub_reply *out, struct err *e) {
    struct arena a;
    struct http_response r;
    struct hub_xet_hint hint = { .arena = &a };
    if (f->asked) return true;
    arena_init(&a, (size_t)1 << 20);
    out->status = 0;
    out->asked_ms = -1;
    struct http_request request = {
        .method_cstr = "HEAD",
        .url = hub_file_url(&a, q->hub, q->repo, q->commit, q->file->path),
        .token = q->hub->token, .follow = true, .stay = true, .on_redirect = hub_xet_see,
        .ctx = &hint };
    bool ok = request.url.p || err_set(e, ERR_INVALID, "its address is too long");
    ok = ok && http_send(q->hub->client, &request, &r, e);
    if (ok) {
        if (http_retry_status(r.status)) ok = hub_xet_refused(&r, "a file", out, e);
        else ok = hub_xet_see(&hint, &r, e);
        if (ok) hub_xet_take_hint(x, f, q, &hint, r.inside);
        http_finish(&r);
    }
    arena_release(&a);
    return ok;
}

/* ---- the token (Private) --------------------------------------------------------------------- */

struct hub_xet_work {
    struct hub_xet *xet;
    const struct hub_xet_file *file;
    const struct hub_ask *ask;
    struct hub_reply *out;
    uint64_t to;                 /* where the whole range ends */
    struct arena arena;          /* of one query */
    struct buf text;             /* of the reconstruction */
    struct hub_xet_token token;  /* as this query uses it; in the arena */
    bool inside;                 /* the storage is at an address inside */
    uint8_t *packed, *scratch;
    size_t have;                 /* bytes in *ask->chunk that were not given to the taker */
    uint64_t fetched;            /* of xorbs, for this query */
    bool expired;                /* the failure: the address of a xorb was refused */
    struct hub_xet_stream {
        const struct hub_xet_part *part; /* NULL = nothing is open */
        struct http_response r;
        uint64_t left;           /* bytes of the part that were not read */
        uint32_t next;           /* chunk that begins there */
        size_t used;             /* by which term, last */
    } streams[HUB_XET_OPEN];
};

/* The hub tells it in headers, in the body, or in both. */
static bool hub_xet_read_token(struct hub_xet_work *w, struct http_response *r,
                               struct hub_xet_token *out, struct err *e) {
    struct arena *a = &w->xet->token_arena;
    struct hub_xet_token t = { str_dup(a, http_header(r, "X-Xet-Cas-Url")),
                               str_dup(a, http_header(r, "X-Xet-Access-Token")), 0 };
    struct str until = http_header(r, "X-Xet-Token-Expiration");
    buf_reset(&w->text);
    if (!hub_read_json(r, &w->text, e)) return false;
    if (!t.cas.n || !t.token.n || !num_parse_i64(until, 0, INT64_MAX, &t.expires_s))
        return hub_xet_parse_token(a, buf_str(&w->text), out, e);
    *out = t;
    return hub_xet_token_ok(out, e);
}

/* Under the mutex. */
static bool hub_xet_refresh(struct hub_xet_work *w, struct err *e) {
    struct hub_xet *x = w->xet;
    const struct hub *h = w->ask->hub;
    struct http_response r;
    struct net_url u;
    struct http_request request = { .method_cstr = "GET", .token = h->token, .follow = true,
                                    .stay = true, .accept_gzip = true };
    if (!hub_given_url(&w->arena, h, x->route, &request.url, e)) return false;
    if (!net_url_parse(&w->arena, request.url, &u, e)) return false;
    if (!net_url_same_origin(&u, &h->origin))
        return err_set(e, ERR_ACCESS,
                       "the token for Xet is not to be had at the hub itself, but at " STR_FMT,
                       STR_ARG(u.authority));
    if (!http_send(h->client, &request, &r, e)) return false;
    arena_release(&x->token_arena);
    x->token = (struct hub_xet_token){ 0 };
    bool ok = (r.status == 200 && hub_xet_read_token(w, &r, &x->token, e))
              || (r.status != 200 && hub_xet_refused(&r, "a token for Xet", w->out, e));
    http_finish(&r);
    ok = ok && net_url_parse(&w->arena, x->token.cas, &u, e);
    if (ok && h->origin.tls && !u.tls)
        ok = err_set(e, ERR_TLS, "the hub names a storage without encryption, which is refused");
    if (!ok) { x->token = (struct hub_xet_token){ 0 }; return false; }
    /* a clock that is wrong here must not make us ask before each query */
    int64_t left_s = x->token.expires_s - os_time_ns() / 1000000000 - HUB_XET_SOON_S;
    if (left_s < HUB_XET_SOON_S) left_s = HUB_XET_SOON_S;
    if (left_s > HUB_XET_DAY_S) left_s = HUB_XET_DAY_S;
    x->until_ns = os_now_ns() + left_s * 1000000000;
    return true;
}

/* Fills w->token; refused: with another one than that. */
static bool hub_xet_get_token(struct hub_xet_work *w, struct str refused, struct err *e) {
    struct hub_xet *x = w->xet;
    os_mutex_lock(&x->mutex);
    bool good = x->token.token.n && os_now_ns() < x->until_ns
                && !(refused.n && str_eq(refused, x->token.token));
    bool ok = good || hub_xet_refresh(w, e);
    if (ok) {
        w->token.cas = str_dup(&w->arena, x->token.cas);
        w->token.token = str_dup(&w->arena, x->token.token);
        ok = (w->token.cas.p && w->token.token.p) || err_oom(e, x->token.token.n, "a token");
    }
    os_mutex_unlock(&x->mutex);
    return ok;
}

/* ---- reconstructions (Private) --------------------------------------------------------------- */

/* One question. *status: of the answer. */
static bool hub_xet_question(struct hub_xet_work *w, bool old, uint64_t from, uint64_t to,
                             int *status, struct err *e) {
    struct http_response r;
    struct http_request request = {
        .method_cstr = "GET",
        .url = str_format(&w->arena, STR_FMT "/v%d/reconstructions/%s", STR_ARG(w->token.cas),
                          old ? 1 : 2, w->file->hash),
        .token = w->token.token, .range_from = from, .range_to = to, .follow = true,
        .outside = !w->xet->inside };
    *status = 0;
    if (!request.url.p) return err_oom(e, NET_MAX_URL, "an address");
    if (!http_send(w->ask->hub->client, &request, &r, e)) return false;
    buf_reset(&w->text);
    *status = r.status;
    w->inside = r.inside;
    bool ok = (r.status == 200 || r.status == 206)
              || hub_xet_refused(&r, "a reconstruction", w->out, e);
    ok = ok && hub_read_json(&r, &w->text, e);
    http_finish(&r);
    return ok;
}

/* The plan of [from, to): version 2 of the protocol or, where the storage has none, version 1; with
 * a fresh token where the one at hand is refused. */
static bool hub_xet_query(struct hub_xet_work *w, uint64_t from, uint64_t to,
                          struct hub_xet_plan *plan, struct err *e) {
    bool fresh = false, old;
    int status;
    if (!hub_xet_get_token(w, STR_EMPTY, e)) return false;
    for (;;) {
        os_mutex_lock(&w->xet->mutex);
        old = w->xet->old;
        os_mutex_unlock(&w->xet->mutex);
        if (hub_xet_question(w, old, from, to, &status, e)) break;
        bool missing = !old && (status == 404 || status == 501);
        bool refused = !fresh && (status == 401 || status == 403);
        if (!missing && !refused) return false;
        err_clear(e);
        w->out->status = 0;
        if (missing) {
            os_mutex_lock(&w->xet->mutex);
            w->xet->old = true;
            os_mutex_unlock(&w->xet->mutex);
        }
        fresh = fresh || refused;
        if (refused && !hub_xet_get_token(w, w->token.token, e)) return false;
    }
    return hub_xet_parse(&w->arena, buf_str(&w->text), to - from, plan, e);
}

/* ---- bytes of a xorb (Private) --------------------------------------------------------------- */

static void hub_xet_shut(struct hub_xet_stream *s) {
    if (s->part) http_finish(&s->r);
    s->part = NULL;
}

static bool hub_xet_fits(const struct hub_xet_part *part, const struct http_response *r,
                         struct err *e) {
    uint64_t want = part->to - part->from;
    struct str encoding = http_header(r, "Content-Encoding");
    bool begins = r->status == 206 ? r->range_start == part->from : part->from == 0;
    bool right = r->content_length == UINT64_MAX
                 || (r->status == 206 ? r->content_length == want : r->content_length >= want);
    if (begins && right && (!encoding.n || str_ieq(encoding, STR("identity")))) return true;
    return err_set(e, ERR_FORMAT, STR_FMT " gives another part of a xorb than was asked for",
                   STR_ARG(r->url.authority));
}

static bool hub_xet_open(struct hub_xet_work *w, struct hub_xet_stream *s,
                         const struct hub_xet_part *part, struct err *e) {
    struct http_request request = { .method_cstr = "GET", .url = part->url, .follow = true,
                                    .range_from = part->from, .range_to = part->to,
                                    .hurry = w->ask->hurry, .outside = !w->inside };
    struct net_url u;
    hub_xet_shut(s);
    if (!net_url_parse(&w->arena, part->url, &u, e)) return err_context(e, "a xorb's address: ");
    if (!u.tls && str_starts(w->token.cas, STR("https:")))
        return err_set(e, ERR_TLS, "the storage sends us to " STR_FMT
                       " without encryption, which is refused", STR_ARG(u.authority));
    if (!http_send(w->ask->hub->client, &request, &s->r, e)) return false;
    s->part = part;
    s->left = part->to - part->from;
    s->next = part->first;
    if (s->r.status == 200 || s->r.status == 206) return hub_xet_fits(part, &s->r, e);
    int status = s->r.status;
    w->expired = status == 400 || status == 401 || status == 403 || status == 404 || status == 410;
    return hub_xet_refused(&s->r, "a part of a xorb", w->out, e);
}

static bool hub_xet_bytes_of(struct hub_xet_work *w, struct hub_xet_stream *s, uint8_t *p, size_t n,
                             struct err *e) {
    if (n > s->left) return err_set(e, ERR_FORMAT, "a chunk does not fit into its part of a xorb");
    s->left -= n;
    w->fetched += n;
    if (w->fetched > HUB_XET_MAX_FETCH)
        return err_set(e, ERR_LIMIT, "the chunks of a reconstruction lie too far from each other");
    for (size_t got = 0; n; p += got, n -= got) {
        if (!http_read(&s->r, p, n, &got, e)) return false;
        if (got == 0) return err_set(e, ERR_NET, "a part of a xorb ended too early");
    }
    return true;
}

/* ---- chunks become bytes of the file (Private) ----------------------------------------------- */

static bool hub_xet_flush(struct hub_xet_work *w, struct err *e) {
    size_t n = w->have;
    w->have = 0;
    if (n && !w->ask->take(w->ask->ctx, w->out, *w->ask->chunk, n, e)) return false;
    w->out->at += n;
    return true;
}

/* The next chunk of the stream. wanted: it belongs to a term, of which *left bytes are to come;
 * *skip bytes are before what was asked for. */
static bool hub_xet_chunk(struct hub_xet_work *w, struct hub_xet_stream *s, bool wanted,
                          uint64_t *left, uint64_t *skip, struct err *e) {
    uint8_t head[HUB_XET_HEAD];
    struct hub_xet_head h = { 0 };
    if (!hub_xet_bytes_of(w, s, head, sizeof head, e) || !hub_xet_head(head, &h, e)
        || !hub_xet_bytes_of(w, s, w->packed, h.packed_bytes, e))
        return false;
    s->next++;
    if (!wanted) return true;
    size_t n = h.unpacked_bytes;
    if (n > *left) return err_set(e, ERR_FORMAT, "chunks are longer than the reconstruction says");
    *left -= n;
    if (*skip >= n) { *skip -= n; return true; }
    if (w->ask->chunk_bytes - w->have < n && !hub_xet_flush(w, e)) return false;
    uint8_t *to = *w->ask->chunk + w->have;
    if (!hub_xet_unpack(&h, w->packed, w->scratch, to, e)) return false;
    n -= (size_t)*skip;
    if (*skip) memmove(to, to + *skip, n);
    *skip = 0;
    uint64_t room = w->to - w->out->at - w->have;
    w->have += n < room ? n : (size_t)room;
    return true;
}

/* The stream that comes to the chunks of a term, or the one that was not used for longest. */
static struct hub_xet_stream *hub_xet_choose(struct hub_xet_work *w, const struct hub_xet_term *t) {
    struct hub_xet_stream *oldest = &w->streams[0];
    for (size_t i = 0; i < HUB_XET_OPEN; i++) {
        struct hub_xet_stream *s = &w->streams[i];
        if (s->part == t->part && s->next <= t->first) return s;
        if (!s->part || (oldest->part && s->used < oldest->used)) oldest = s;
    }
    return oldest;
}

static bool hub_xet_do_term(struct hub_xet_work *w, const struct hub_xet_term *t, size_t at,
                            uint64_t *skip, struct err *e) {
    struct hub_xet_stream *s = hub_xet_choose(w, t);
    uint64_t left = t->unpacked_bytes;
    bool open = s->part == t->part && s->next <= t->first;
    if (!open && !hub_xet_open(w, s, t->part, e)) return false;
    s->used = at;
    while (s->next < t->end) {
        if (!hub_xet_chunk(w, s, s->next >= t->first, &left, skip, e)) return false;
        if (w->out->at + w->have == w->to) return true;
    }
    if (s->left == 0) hub_xet_shut(s);           /* others may have the connection */
    return left == 0 || err_set(e, ERR_FORMAT, "chunks are shorter than the reconstruction says");
}

/* One query from out->at on; false with w->expired: its addresses are not good any more. */
static bool hub_xet_step(struct hub_xet_work *w, struct err *e) {
    struct hub_xet_plan plan;
    uint64_t from = w->out->at, to = w->to - from > HUB_XET_QUERY ? from + HUB_XET_QUERY : w->to;
    arena_release(&w->arena);
    w->fetched = 0;
    w->expired = false;
    bool ok = hub_xet_query(w, from, to, &plan, e);
    uint64_t skip = ok ? plan.skip_bytes : 0;
    for (size_t i = 0; ok && i < plan.n_terms; i++)
        ok = hub_xet_do_term(w, &plan.terms[i], i, &skip, e);
    for (size_t i = 0; i < HUB_XET_OPEN; i++) hub_xet_shut(&w->streams[i]);
    struct err ours = { 0 };             /* what was unpacked before a failure is good, too */
    if (hub_xet_flush(w, &ours)) return ok;
    *e = ours;
    return w->expired = false;
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

static bool hub_xet_run(struct hub_xet_work *w, struct err *e) {
    int renewals = 0;
    while (w->out->at < w->to) {
        uint64_t before = w->out->at;
        bool ok = hub_xet_step(w, e);
        if (w->out->at > before) renewals = 0;
        if (ok) continue;
        if (!w->expired || ++renewals > HUB_XET_RENEWALS) return false;
        err_clear(e);
        w->out->status = 0;
    }
    return true;
}

MLXK_FN bool hub_xet_download(struct hub_xet *x, struct hub_xet_file *f, const struct hub_ask *q,
                              struct hub_reply *out, struct err *e) {
    struct hub_xet_work w = { .xet = x, .file = f, .ask = q, .out = out,
                              .to = q->to ? q->to : q->file->size_bytes };
    out->again = out->no_ranges = out->whole = false;
    out->status = 0;
    out->asked_ms = -1;
    out->at = q->from;
    out->end = w.to;
    MLXK_ASSERT(f->offered && q->chunk_bytes >= HUB_XET_MAX_CHUNK);
    arena_init(&w.arena, HUB_XET_MEMORY);
    buf_init(&w.text, HUB_XET_MAX_ANSWER);
    w.packed = mem_alloc(HUB_XET_MAX_PACKED);
    w.scratch = mem_alloc(HUB_XET_MAX_CHUNK);
    bool ok = (w.packed && w.scratch) || err_oom(e, HUB_XET_MAX_PACKED, "chunks of Xet");
    ok = ok && hub_xet_run(&w, e);
    mem_free(w.packed);
    mem_free(w.scratch);
    buf_release(&w.text);
    arena_release(&w.arena);
    return ok;
}

#undef HUB_XET_MAX_FETCH
#undef HUB_XET_MAX_TOKEN_BYTES
