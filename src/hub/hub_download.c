/* hub_download.c: one file of a commit into blobs/.
 *
 *   begin (partial found?) -> attempt: GET from byte n -> body -> complete: hash, rename
 *                                 ^                        |
 *                                 └── wait, note <── broken, slow, refused for now, expired address
 *
 * Every attempt asks the hub anew, which gives a fresh address of the storage: an expired one
 * needs no treatment of its own.
 *
 * Invariants
 *  1. What the file list says (name of the blob, size) decides; headers that contradict it end the
 *     attempt before a byte is stored.
 *  2. Bytes are appended only where they belong: the start of a part must be the end of what is
 *     there.
 *  3. An attempt that brought HUB_PROGRESS_BYTES starts the count of attempts anew; one that did
 *     not counts, so a server that trickles does not hold us for ever.
 *  4. Bytes with a wrong hash are fetched once more only when they were put together from parts.
 */
#include "hub/hub_int.h"

enum { HUB_PROGRESS_BYTES = 65536, HUB_CHUNK = 65536 };

/* ---- what the hub's own answers say (Private) ------------------------------------------------ */

struct hub_seen {
    const struct hub_job *job;
    const struct hub_file *file;
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
    const struct hub_file *f = seen->file;
    struct str commit = http_header(r, "X-Repo-Commit"), size = http_header(r, "X-Linked-Size");
    uint64_t size_bytes;
    if (r->crossed_origin) return true;
    if (commit.p && !str_eq(commit, seen->job->commit))
        return err_set(e, ERR_INTEGRITY, "the hub answers with another commit than " STR_FMT,
                       STR_ARG(seen->job->commit));
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

static bool hub_download_refused(const struct hub_job *j, const struct hub_file *f,
                                 const struct http_response *r, struct err *e) {
    struct hub_subject s = { .repo = j->repo, .revision = j->commit, .path = f->path };
    return hub_refused(j->hub, &s, r, STR_EMPTY, e);
}

/* ---- may it be had? (Public) ----------------------------------------------------------------- */

MLXK_FN bool hub_download_allowed(struct hub_job *j, const struct hub_file *f, struct err *e) {
    struct hub_seen seen = { .job = j, .file = f };
    struct http_response r;
    struct arena a;
    struct err broken = { 0 };
    arena_init(&a, (size_t)1 << 20);
    struct str url = hub_file_url(&a, j->hub, j->repo, j->commit, f->path);
    struct http_request request = { .method_cstr = "HEAD",
                                    .url = url,
                                    .token = j->hub->token,
                                    .follow = true,
                                    .stay = true,
                                    .on_redirect = hub_download_see,
                                    .ctx = &seen };
    bool sent = url.p && http_send(j->hub->client, &request, &r, &broken), ok = true;
    if (sent) {
        bool refused = r.status == 401 || r.status == 403 || r.status == 404;
        if (refused) ok = hub_download_refused(j, f, &r, e);
        else if (r.status < 400)
            ok = hub_download_see(&seen, &r, e) && hub_download_commit_seen(&seen, &r, e);
        http_finish(&r);
    } else if (broken.code != ERR_NET && broken.code != ERR_NET_TIMEOUT) {
        *e = broken;                     /* trouble of the network is the download's to overcome */
        ok = false;
    }
    arena_release(&a);
    return ok;
}

/* ---- the body (Private) ---------------------------------------------------------------------- */

/* Other processes work on the same blobs, so the sum is not trusted beyond the total. */
static void hub_download_count(struct hub_job *j, uint64_t have_bytes) {
    uint64_t done = j->base_bytes + have_bytes, total = j->event.total_bytes;
    j->event.done_bytes = done < total ? done : total;
}

static bool hub_download_progress(struct hub_job *j, const struct cache_blob *b, struct err *e) {
    j->event.kind = HUB_BYTES;
    hub_download_count(j, b->have_bytes);
    return hub_tell(j->hub, &j->event, e);
}

static bool hub_download_body(struct hub_job *j, struct http_response *r, struct cache_blob *b,
                              struct err *e) {
    uint8_t chunk[HUB_CHUNK];
    size_t n;
    do {
        if (!http_read(r, chunk, sizeof chunk, &n, e)) return false;
        if (n > b->size_bytes - b->have_bytes)
            return cache_blob_rewind(b, e)
                   && err_set(e, ERR_NET, "more than the %llu bytes of the file came",
                              (unsigned long long)b->size_bytes);
        if (n && !cache_blob_write(b, chunk, n, e)) return false;
        j->result->fetched_bytes += n;
        if (!hub_download_progress(j, b, e)) return false;
    } while (n);
    return b->have_bytes == b->size_bytes
           || err_set(e, ERR_NET, "the answer ended after %llu of %llu bytes",
                      (unsigned long long)b->have_bytes, (unsigned long long)b->size_bytes);
}

/* Does this answer continue what is there? A whole answer to a question for a part starts anew. */
static bool hub_download_fits(struct http_response *r, struct cache_blob *b, struct err *e) {
    uint64_t rest = b->size_bytes - b->have_bytes;
    struct str encoding = http_header(r, "Content-Encoding");
    if (r->status == 206 && encoding.n && !str_ieq(encoding, STR("identity")))
        return cache_blob_rewind(b, e) && err_set(e, ERR_NET, "the server sends an encoded part");
    if (r->status == 206) {
        bool right = r->range_start == b->have_bytes
                     && (r->range_total == UINT64_MAX || r->range_total == b->size_bytes);
        if (right && (r->content_length == UINT64_MAX || r->content_length <= rest)) return true;
        unsigned long long wanted = b->have_bytes;
        return cache_blob_rewind(b, e)
               && err_set(
                   e, ERR_NET,
                   "asked for the bytes from %llu of %llu, the server sends those from %llu of %llu",
                   wanted, (unsigned long long)b->size_bytes, (unsigned long long)r->range_start,
                   (unsigned long long)r->range_total);
    }
    if (b->have_bytes && !cache_blob_rewind(b, e)) return false;
    if (r->content_length == UINT64_MAX || r->content_length == b->size_bytes) return true;
    return err_set(e, ERR_NET, "the server announces %llu bytes, the file list says %llu",
                   (unsigned long long)r->content_length, (unsigned long long)b->size_bytes);
}

/* ---- attempts (Private) ---------------------------------------------------------------------- */

/* An address of the storage that has expired, or a part that it cannot give: the next attempt
 * gets a fresh address, or starts at 0. */
static bool hub_download_renewable(const struct http_response *r) {
    bool expired = r->crossed_origin
                   && (r->status == 400 || r->status == 401 || r->status == 403
                       || r->status == 410);
    return expired || r->status == 416;
}

struct hub_attempt {
    struct str url;
    struct http_retry retry;
    uint64_t before;                     /* bytes that were there when the attempt began */
    int64_t wait_ms;                     /* until the next, -1 = give up */
    int n;                               /* attempts so far */
};

/* After a failure: an attempt that got somewhere does not count. */
static bool hub_download_pause(struct hub_attempt *t, const struct cache_blob *b,
                               const struct http_response *r, const struct err *failure) {
    if (b->have_bytes >= t->before + HUB_PROGRESS_BYTES) t->retry.attempt = 0;
    t->wait_ms = http_retry_wait(&t->retry, r, failure);
    return false;
}

static bool hub_download_answer(struct hub_job *j, const struct hub_file *f,
                                struct http_response *r, struct hub_seen *seen,
                                struct cache_blob *b, struct hub_attempt *t, struct err *e) {
    struct err again = { .code = ERR_NET };
    if (r->status == 200 || r->status == 206) {
        bool ok = hub_download_see(seen, r, e) && hub_download_commit_seen(seen, r, e)
                  && hub_download_fits(r, b, e) && hub_download_body(j, r, b, e);
        return ok || hub_download_pause(t, b, NULL, e);
    }
    hub_download_refused(j, f, r, e);
    if (!hub_download_renewable(r)) return hub_download_pause(t, b, r, NULL);
    return (r->status != 416 || cache_blob_rewind(b, &again))
           && hub_download_pause(t, b, NULL, &again);
}

static bool hub_download_attempt(struct hub_job *j, const struct hub_file *f, struct cache_blob *b,
                                 struct hub_attempt *t, struct err *e) {
    struct hub_seen seen = { .job = j, .file = f };
    struct http_request request = { .method_cstr = "GET",
                                    .url = t->url,
                                    .token = j->hub->token,
                                    .follow = true,
                                    .range_from = b->have_bytes,
                                    .decode_gzip = true,
                                    .on_redirect = hub_download_see,
                                    .ctx = &seen };
    struct http_response r;
    t->before = b->have_bytes;
    t->wait_ms = -1;
    t->n++;
    if (!http_send(j->hub->client, &request, &r, e)) return hub_download_pause(t, b, NULL, e);
    bool ok = hub_download_answer(j, f, &r, &seen, b, t, e);
    http_finish(&r);
    return ok;
}

/* All attempts; *n_attempts tells whether the bytes came in one piece. */
static bool hub_download_fetch(struct hub_job *j, const struct hub_file *f, struct cache_blob *b,
                               int *n_attempts, struct err *e) {
    struct hub_attempt t = { .n = 0 };
    struct arena a;
    arena_init(&a, (size_t)1 << 20);
    http_retry_init(&t.retry, j->hub->attempts);
    t.url = hub_file_url(&a, j->hub, j->repo, j->commit, f->path);
    bool ok = t.url.p || err_set(e, ERR_INVALID, "its address is too long");
    while (ok && b->have_bytes < b->size_bytes)
        if (!hub_download_attempt(j, f, b, &t, e)) ok = hub_wait(j->hub, t.wait_ms, e);
    arena_release(&a);
    *n_attempts = t.n;
    return ok;
}

static bool hub_download_open(struct hub_job *j, const struct hub_file *f, bool renew,
                              int64_t wait_ms, struct cache_blob *b, struct err *e) {
    if (renew) return cache_blob_renew(j->cache, j->repo, f->etag, f->size_bytes, wait_ms, b, e);
    return cache_blob_begin(j->cache, j->repo, f->etag, f->size_bytes, false, wait_ms, b, e);
}

/* The lock may be another process's, which is fetching the same file. */
static bool hub_download_begin(struct hub_job *j, const struct hub_file *f, bool renew,
                               struct cache_blob *b, struct err *e) {
    struct err taken = { 0 };
    if (hub_download_open(j, f, renew, 0, b, &taken)) return true;
    if (taken.code != ERR_LOCKED) { *e = taken; return false; }
    struct hub_event ev = { .kind = HUB_NOTE,
                            .note_cstr = "another process is fetching this file; waiting for it" };
    return hub_tell(j->hub, &ev, e) && hub_download_open(j, f, renew, -1, b, e);
}

static bool hub_download_once(struct hub_job *j, const struct hub_file *f, bool renew,
                              bool *in_parts, struct err *e) {
    struct cache_blob b;
    int n_attempts = 0;
    *in_parts = false;
    if (!hub_download_begin(j, f, renew, &b, e)) return false;
    if (b.present) return true;
    uint64_t resumed = b.have_bytes;
    j->result->resumed_bytes += resumed;
    j->base_bytes -= resumed < j->base_bytes ? resumed : j->base_bytes;
    bool ok = hub_download_progress(j, &b, e) && hub_download_fetch(j, f, &b, &n_attempts, e);
    *in_parts = resumed > 0 || n_attempts > 1;
    if (!ok) {
        if (b.have_bytes) err_hint(e, "what arrived is kept; run the command again to continue");
        cache_blob_abort(&b);
        return false;
    }
    if (!cache_blob_commit(&b, e)) return false;
    j->result->n_fetched++;
    return true;
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool hub_download(struct hub_job *j, const struct hub_file *f, struct err *e) {
    bool in_parts;
    j->event.kind = HUB_FILE_START;
    j->event.path = f->path;
    bool ok = hub_tell(j->hub, &j->event, e)
              && hub_download_once(j, f, j->redownload, &in_parts, e);
    if (!ok && e->code == ERR_INTEGRITY && in_parts && hub_wait(j->hub, 0, e))
        ok = hub_download_once(j, f, true, &in_parts, e);
    if (!ok) return err_context(e, STR_FMT ": ", STR_ARG(f->path));
    j->base_bytes += f->size_bytes;
    hub_download_count(j, 0);
    j->event.done_files++;
    j->event.kind = HUB_FILE_DONE;
    return hub_tell(j->hub, &j->event, e);
}
