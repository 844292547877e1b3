/* hub_download.c: one answer of the hub or its storage, and what of it may be believed.
 *
 *   ask (hub's address, or the storage's that it gave before)
 *     -> redirects seen -> status -> does it fit what was asked? -> body, piece by piece, to the
 *     taker
 *
 * Which bytes to ask for, how often and by how many at once is the pool's matter (hub_pool.c).
 *
 * Invariants
 *  1. What the file list says (name of the blob, size) decides; headers that contradict it end the
 *     attempt before a byte is taken.
 *  2. Bytes are given to the taker only with the place in the file that the answer proved: the
 *     start of the part that was asked for, or 0 for a whole answer.
 *  3. The token goes with the hub's own address only; the storage's address carries its own right.
 */
#include "hub/hub_int.h"

enum { HUB_DOWNLOAD_ROOM = 32 << 10 };   /* less room in the chunk is not worth a read */

/* ---- what the hub's own answers say (Private) ------------------------------------------------ */

struct hub_seen {
    const struct hub_ask *ask;
    bool commit;                         /* X-Repo-Commit came and is right */
};

/* Names that only an attacker would put there; other odd tags are nobody's business, as blobs are
 * named by the file list. */
static bool hub_download_hostile(struct str etag) {
    return str_starts(etag, STR("/")) || str_starts(etag, STR(".."))
           || str_find(etag, STR("../")) >= 0;
}

static bool hub_download_see_etag(const struct hub_file *f, const struct http_response *r,
                                  struct err *e) {
    struct str linked = hub_parse_etag(http_header(r, "X-Linked-Etag")),
               etag = hub_parse_etag(http_header(r, "ETag"));
    if (hub_download_hostile(etag)) return cache_etag_ok(etag, e);
    if (linked.n && !cache_etag_ok(linked, e)) return false;
    bool other = cache_blob_hash(linked) != CACHE_OPAQUE && !str_eq(linked, f->etag);
    if (f->lfs && cache_blob_hash(etag) == CACHE_SHA256 && !str_eq(etag, f->etag)) other = true;
    return !other
           || err_set(e, ERR_INTEGRITY, "the file list and the file itself have different hashes");
}

/* Checks an answer of the hub itself, a redirect or the last one; those of other origins say
 * nothing. */
static bool hub_download_see(void *ctx, const struct http_response *r, struct err *e) {
    struct hub_seen *seen = ctx;
    const struct hub_file *f = seen->ask->file;
    struct str commit = http_header(r, "X-Repo-Commit"), size = http_header(r, "X-Linked-Size");
    uint64_t size_bytes;
    if (r->crossed_origin) return true;
    if (commit.p && !str_eq(commit, seen->ask->commit))
        return err_set(e, ERR_INTEGRITY, "the hub answers with another commit than " STR_FMT,
                       STR_ARG(seen->ask->commit));
    seen->commit = seen->commit || commit.p;
    if (!hub_download_see_etag(f, r, e)) return false;
    if (size.p && num_parse_u64(size, UINT64_MAX, &size_bytes) && size_bytes != f->size_bytes)
        return err_set(e, ERR_INTEGRITY, "the file list says %llu bytes, the file itself %llu",
                       (unsigned long long)f->size_bytes, (unsigned long long)size_bytes);
    return true;
}

static bool hub_download_commit_seen(const struct hub_seen *seen, const struct http_response *r,
                                     struct err *e) {
    return seen->commit
           || hub_not_a_hub(
               r, hub_is_html(r) ? "a web page came instead of a file" : "X-Repo-Commit is missing",
               e);
}

static bool hub_download_refused(const struct hub_ask *q, const struct http_response *r,
                                 struct err *e) {
    struct hub_subject s = { .repo = q->repo, .revision = q->commit, .path = q->file->path };
    return hub_refused(q->hub, &s, r, STR_EMPTY, e);
}

/* ---- may it be had? (Public) ----------------------------------------------------------------- */

MLXK_FN bool hub_download_allowed(const struct hub_ask *q, int64_t *wait_ms, struct err *e) {
    struct hub_seen seen = { .ask = q };
    struct http_response r;
    struct arena a;
    struct err broken = { 0 };
    *wait_ms = -1;
    arena_init(&a, (size_t)1 << 20);
    struct str url = hub_file_url(&a, q->hub, q->repo, q->commit, q->file->path);
    struct http_request request = { .method_cstr = "HEAD",
                                    .url = url,
                                    .token = q->hub->token,
                                    .follow = true,
                                    .stay = true,
                                    .on_redirect = hub_download_see,
                                    .ctx = &seen };
    bool sent = url.p && http_send(q->hub->client, &request, &r, &broken), ok = true;
    if (sent) {
        bool refused = r.status == 401 || r.status == 403 || r.status == 404;
        if (refused) ok = hub_download_refused(q, &r, e);
        else if (r.status < 400)
            ok = hub_download_see(&seen, &r, e) && hub_download_commit_seen(&seen, &r, e);
        else if (http_retry_status(r.status)) {
            *wait_ms = http_retry_asked(&r);
            hub_download_refused(q, &r, e);
        }
        http_finish(&r);
    } else if (broken.code == ERR_INTERRUPTED || broken.code == ERR_INTEGRITY
               || broken.code == ERR_INVALID) {
        *e = broken;                     /* trouble of the network is the download's to overcome */
        ok = false;
    }
    arena_release(&a);
    return ok;
}

/* ---- does it fit? (Private) ------------------------------------------------------------------ */

static bool hub_download_fits_part(const struct hub_ask *q, const struct http_response *r,
                                   struct hub_reply *out, struct err *e) {
    uint64_t size = q->file->size_bytes, want = (q->to ? q->to : size) - q->from;
    struct str encoding = http_header(r, "Content-Encoding");
    out->no_ranges = true;               /* until it has proved that it can do them */
    if (encoding.n && !str_ieq(encoding, STR("identity")))
        return err_set(e, ERR_NET, "the server sends an encoded part");
    bool right = r->range_start == q->from
                 && (r->range_total == UINT64_MAX || r->range_total == size)
                 && (r->content_length == UINT64_MAX || r->content_length <= want);
    if (!right)
        return err_set(
            e, ERR_NET,
            "asked for the bytes from %llu of %llu, the server sends those from %llu of %llu",
            (unsigned long long)q->from, (unsigned long long)size,
            (unsigned long long)r->range_start, (unsigned long long)r->range_total);
    out->no_ranges = false;
    out->at = q->from;
    out->end = q->from + want;
    return true;
}

/* Does this answer belong to the file and the question? */
static bool hub_download_fits(const struct hub_ask *q, const struct http_response *r,
                              struct hub_reply *out, struct err *e) {
    uint64_t size = q->file->size_bytes;
    if (r->status == 206) return hub_download_fits_part(q, r, out, e);
    out->whole = true;
    out->at = 0;
    out->end = size;
    if (r->content_length == UINT64_MAX || r->content_length == size) return true;
    return err_set(e, ERR_NET, "the server announces %llu bytes, the file list says %llu",
                   (unsigned long long)r->content_length, (unsigned long long)size);
}

/* ---- the body (Private) ---------------------------------------------------------------------- */

/* The next bytes of the body into the chunk, as many as come in time. False may leave some, too. */
static bool hub_download_fill(const struct hub_ask *q, struct http_response *r,
                              const struct hub_reply *out, size_t *have, struct err *e) {
    int64_t until_ns = os_now_ns() + q->gather_ms * 1000000LL;
    size_t n;
    *have = 0;
    do {
        if (!http_read(r, *q->chunk + *have, q->chunk_bytes - *have, &n, e)) return false;
        if (n == 0)
            return err_set(e, ERR_NET, "the answer ended after %llu of %llu bytes",
                           (unsigned long long)(out->at + *have), (unsigned long long)out->end);
        *have += n;
    } while (*have < out->end - out->at && q->chunk_bytes - *have >= HUB_DOWNLOAD_ROOM
             && os_now_ns() < until_ns);
    return true;
}

static bool hub_download_body(const struct hub_ask *q, struct http_response *r,
                              struct hub_reply *out, struct err *e) {
    bool ok = true;
    while (ok && out->at < out->end) {
        size_t n;
        ok = hub_download_fill(q, r, out, &n, e);
        if (n > out->end - out->at) n = (size_t)(out->end - out->at); /* what follows is not ours */
        if (n) {
            struct err ours = { 0 };             /* a full disk is told before a cut connection */
            if (!q->take(q->ctx, out, *q->chunk, n, &ours)) { *e = ours; return false; }
            out->at += n;
        }
    }
    return ok;
}

/* An address of the storage that has expired, or a part that it cannot give: the next attempt
 * gets a fresh address, or asks for the whole. */
static bool hub_download_renewable(const struct hub_ask *q, const struct http_response *r) {
    return (r->crossed_origin || q->location.n)
           && (r->status == 400 || r->status == 401 || r->status == 403 || r->status == 404
               || r->status == 410);
}

static void hub_download_keep_location(const struct http_response *r, struct hub_reply *out) {
    out->location.n = 0;
    if (!r->crossed_origin) return;
    struct arena a;
    arena_init(&a, (size_t)1 << 20);
    struct str text = net_url_text(&a, &r->url);
    buf_reset(&out->location);
    buf_add(&out->location, text);
    arena_release(&a);
}

static bool hub_download_answer(const struct hub_ask *q, struct hub_seen *seen,
                                struct http_response *r, struct hub_reply *out, struct err *e) {
    if (r->status != 200 && r->status != 206) {
        hub_download_refused(q, r, e);
        out->again = hub_download_renewable(q, r) || r->status == 416;
        out->no_ranges = r->status == 416;
        if (!q->location.n && http_retry_status(r->status)) hub_download_keep_location(r, out);
        return false;
    }
    if (!q->location.n) {                /* only the hub's own answers say anything of these */
        if (!hub_download_see(seen, r, e) || !hub_download_commit_seen(seen, r, e)) return false;
        hub_download_keep_location(r, out);
    } else if (hub_is_html(r) && !str_ends(q->file->path, STR(".html"))) {
        return hub_not_a_hub(r, "a web page came instead of a file", e);
    }
    return hub_download_fits(q, r, out, e) && (!out->whole || !q->whole || q->whole(q->ctx, e))
           && hub_download_body(q, r, out, e);
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool hub_download(const struct hub_ask *q, struct hub_reply *out, struct err *e) {
    struct hub_seen seen = { .ask = q };
    struct http_response r;
    struct arena a;
    arena_init(&a, (size_t)1 << 20);
    struct str url = q->location.n ? q->location
                                   : hub_file_url(&a, q->hub, q->repo, q->commit, q->file->path);
    struct http_request request = { .method_cstr = "GET",
                                    .url = url,
                                    .token = q->location.n ? STR_EMPTY : q->hub->token,
                                    .follow = true,
                                    .range_from = q->from,
                                    .range_to = q->to,
                                    .hurry = q->hurry,
                                    .decode_gzip = true,
                                    .on_redirect = hub_download_see,
                                    .ctx = &seen };
    out->again = out->no_ranges = out->whole = false;
    out->at = q->from;
    out->status = 0;
    out->asked_ms = -1;
    bool ok = url.p || err_set(e, ERR_INVALID, "its address is too long");
    ok = ok && http_send(q->hub->client, &request, &r, e);
    if (ok) {
        ok = hub_download_answer(q, &seen, &r, out, e);
        out->status = r.status;
        out->asked_ms = http_retry_asked(&r);
        http_finish(&r);
    }
    arena_release(&a);
    return ok;
}
