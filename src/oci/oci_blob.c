/* oci_blob.c: blobs as streams, from registries and layouts.
 *
 * 1. A connection that breaks is made again with Range; what comes must begin where the stream
 *    stands, else what is in front is read and thrown away. Nothing is asked for behind the last
 *    byte. Who refuses a part (416) is asked for the whole.
 * 2. More or fewer bytes than announced, and another digest, are ERR_INTEGRITY.
 * 3. Going on is given up after several tries without a new byte, not after a number of breaks.
 */
#include "oci/oci_int.h"

enum { OCI_BLOB_SKIP = 65536 };

struct oci_reader {
    struct oci *o;
    struct arena arena;
    struct oci_desc d;
    struct oci_hash hash;
    bool hashes, open, ended;
    bool part;                   /* the answer in hand is one */
    bool whole;                  /* parts were refused */
    uint64_t to;                 /* behind the last byte that is wanted */
    uint64_t at;                 /* next byte to hand out */
    uint64_t stands;             /* next byte of the open answer */
    struct http_response r;
    struct http_retry retry;
    int fd; uint64_t offset;     /* layouts */
};

static struct str oci_blob_what(struct oci_reader *x) {
    return str_format(&x->arena, "blob %.19s of " STR_FMT, x->d.digest.p, STR_ARG(x->o->ref.repo));
}

/* ---- registries (Private) -------------------------------------------------------------------- */

static bool oci_blob_begins(struct oci_reader *x, struct err *e) {
    struct http_response *r = &x->r;
    if (r->status != 200 && r->status != 206) return oci_refused(x->o, r, oci_blob_what(x), e);
    x->part = r->status == 206;
    x->stands = x->part ? r->range_start : 0;
    if (!x->part) x->to = x->d.size_bytes;
    if (x->stands > x->at)
        return err_set(
            e, ERR_INTEGRITY, "asked for byte %llu on, " STR_FMT " answers from byte %llu on",
            (unsigned long long)x->at, STR_ARG(r->url.authority), (unsigned long long)x->stands);
    bool fits = r->content_length == UINT64_MAX || r->content_length + x->stands == x->d.size_bytes;
    if (r->status == 206 && r->range_total != UINT64_MAX) fits = r->range_total == x->d.size_bytes;
    return fits
           || err_set(e, ERR_INTEGRITY,
                      "the blob %.19s should have %llu bytes, " STR_FMT " announces %llu",
                      x->d.digest.p, (unsigned long long)x->d.size_bytes, STR_ARG(r->url.authority),
                      (unsigned long long)(r->content_length + x->stands));
}

static void oci_blob_hang_up(struct oci_reader *x) {
    if (x->open) http_finish(&x->r);
    x->open = false;
}

static bool oci_blob_connect(struct oci_reader *x, struct err *e) {
    struct oci_call call = { .method_cstr = "GET",
                             .path = oci_path(&x->arena, x->o, "blobs/", x->d.digest),
                             .range_from = x->whole ? 0 : x->at,
                             .range_to = x->to < x->d.size_bytes && !x->whole ? x->to : 0,
                             .reads = true };
    if (!call.path.n) return err_oom(e, NET_MAX_URL, "an address");
    if (!oci_send(x->o, &call, &x->r, e)) return false;
    x->open = true;
    if (x->r.status != 416 || x->whole) return oci_blob_begins(x, e);
    oci_blob_hang_up(x);
    x->whole = true;
    return oci_blob_connect(x, e);
}

/* One read of the answer in hand, past what is in front of x->at. */
static bool oci_blob_some(struct oci_reader *x, void *p, size_t n, size_t *n_read, struct err *e) {
    uint8_t skip[OCI_BLOB_SKIP];
    *n_read = 0;
    if (!x->open && !oci_blob_connect(x, e)) return false;
    while (x->stands < x->at) {
        size_t got,
            want = x->at - x->stands < sizeof skip ? (size_t)(x->at - x->stands) : sizeof skip;
        if (!http_read(&x->r, skip, want, &got, e)) return false;
        if (!got) return err_set(e, ERR_NET, "the answer ends early");
        x->stands += got;
    }
    if (!http_read(&x->r, p, n, n_read, e)) return false;
    x->stands += *n_read;
    return true;
}

static bool oci_blob_pull(struct oci_reader *x, void *p, size_t n, size_t *n_read, struct err *e) {
    for (;;) {
        struct err one = { 0 };
        if (oci_blob_some(x, p, n, n_read, &one)) {
            if (*n_read) {
                x->retry.attempt = 0;
                return true;
            }
            if (x->at == x->to) return true;
            err_set(&one, ERR_NET, "the answer ends at byte %llu of %llu",
                    (unsigned long long)x->at, (unsigned long long)x->d.size_bytes);
        }
        oci_blob_hang_up(x);
        int64_t wait_ms = http_retry_wait(&x->retry, NULL, &one);
        if (wait_ms < 0) {
            *e = one;
            return err_context(e, STR_FMT ", blob %.19s: ", STR_ARG(x->o->ref.host), x->d.digest.p);
        }
        if (!http_retry_sleep(wait_ms, e)) return false;
    }
}

/* ---- (Public) -------------------------------------------------------------------------------- */

static bool oci_blob_find(struct oci_reader *x, struct err *e) {
    uint64_t size_bytes = 0;
    bool found;
    if (!oci_layout_find(x->o, x->d.digest, &found, &x->fd, &x->offset, &size_bytes, e))
        return false;
    if (!found)
        return err_set(e, ERR_NOT_FOUND, "%s has no blob " STR_FMT, x->o->ref.path_cstr,
                       STR_ARG(x->d.digest));
    return size_bytes == x->d.size_bytes
           || err_set(e, ERR_INTEGRITY,
                      "the blob " STR_FMT " should have %llu bytes, in %s it has %llu",
                      STR_ARG(x->d.digest), (unsigned long long)x->d.size_bytes,
                      x->o->ref.path_cstr, (unsigned long long)size_bytes);
}

MLXK_FN struct oci_reader *oci_blob_open(struct oci *o, const struct oci_desc *d, uint64_t from,
                                         const struct oci_hash *prefix, struct err *e) {
    struct oci_reader *x = mem_alloc(sizeof *x);
    if (!x) { err_oom(e, sizeof *x, "a download"); return NULL; }
    *x = (struct oci_reader){ .o = o, .at = from, .fd = -1, .to = d->size_bytes,
                              .hashes = from == 0 || prefix };
    arena_init(&x->arena, (size_t)1 << 24);
    x->d =
        (struct oci_desc){ .digest = str_dup(&x->arena, d->digest), .size_bytes = d->size_bytes };
    if (from && prefix) x->hash = *prefix;
    else oci_hash_begin(&x->hash, d->digest);
    http_retry_init(&x->retry, o->options.attempts);
    bool ok = x->d.digest.p || err_oom(e, d->digest.n, "a download");
    if (ok && !oci_digest_ok(d->digest))
        ok = err_set(e, ERR_INVALID, "'%s' is no digest", oci_show(d->digest).text);
    if (ok && from > d->size_bytes)
        ok = err_set(e, ERR_INVALID, "byte %llu lies behind the end of a blob of %llu",
                     (unsigned long long)from, (unsigned long long)d->size_bytes);
    if (ok && o->ref.kind != OCI_REGISTRY) ok = oci_blob_find(x, e);
    if (ok) return x;
    oci_blob_close(x);
    return NULL;
}

MLXK_FN struct oci_reader *oci_blob_open_part(struct oci *o, const struct oci_desc *d,
                                              uint64_t from, uint64_t to, struct err *e) {
    struct oci_reader *x = oci_blob_open(o, d, from, NULL, e);
    MLXK_ASSERT(from < to && to <= d->size_bytes);
    if (x) x->hashes = false;
    if (x) x->to = to;
    return x;
}

MLXK_FN bool oci_blob_is_part(const struct oci_reader *x) {
    return x->o->ref.kind != OCI_REGISTRY || x->part;
}

/* The bytes in [at, ...) of a layout, or of a registry. */
static bool oci_blob_take(struct oci_reader *x, void *p, size_t n, size_t *n_read, struct err *e) {
    uint64_t left = x->d.size_bytes - x->at;
    if (x->o->ref.kind == OCI_REGISTRY) return oci_blob_pull(x, p, n, n_read, e);
    if (n > left) n = (size_t)left;
    if (!os_pread(x->fd, p, n, x->offset + x->at, n_read, e)) return false;
    return *n_read == n || err_set(e, ERR_IO, "%s has become shorter", x->o->ref.path_cstr);
}

MLXK_FN bool oci_blob_read(struct oci_reader *x, void *p, size_t n, size_t *n_read, struct err *e) {
    *n_read = 0;
    if (x->ended) return true;
    bool last = x->at == x->to;
    if (!last || x->open) {                                /* an open answer is read to its end */
        if (!oci_blob_take(x, p, n, n_read, e)) return false;
        if (*n_read > x->d.size_bytes - x->at)
            return err_set(
                e, ERR_INTEGRITY, STR_FMT " sends more than the %llu bytes of blob %.19s",
                STR_ARG(x->o->ref.host), (unsigned long long)x->d.size_bytes, x->d.digest.p);
        if (x->hashes) oci_hash_add(&x->hash, p, *n_read);
        x->at += *n_read;
        if (*n_read) return true;
    }
    x->ended = true;
    oci_blob_hang_up(x);
    if (!x->hashes || oci_hash_check(&x->hash, x->d.digest, e)) return true;
    return err_context(e, "%s: ", x->o->ref.kind == OCI_REGISTRY ? oci_show(x->o->ref.host).text
                                                                   : x->o->ref.path_cstr);
}

MLXK_FN void oci_blob_unchecked(struct oci_reader *x) {
    x->hashes = false;
}

MLXK_FN void oci_blob_close(struct oci_reader *x) {
    if (!x) return;
    oci_blob_hang_up(x);
    os_close(x->fd);
    arena_release(&x->arena);
    mem_free(x);
}

MLXK_FN bool oci_blob_text(struct arena *a, struct oci *o, const struct oci_desc *d,
                           size_t max_bytes, struct str *out, struct err *e) {
    if (d->size_bytes > max_bytes)
        return err_set(e, ERR_LIMIT, "the blob %s has %llu bytes, at most %zu are read",
                       oci_show(d->digest).text, (unsigned long long)d->size_bytes, max_bytes);
    char *p = arena_alloc(a, (size_t)d->size_bytes + 2, 1);
    if (!p) return err_oom(e, (size_t)d->size_bytes, "a blob");
    struct oci_reader *x = oci_blob_open(o, d, 0, NULL, e);
    size_t n = 0, got = 1;
    bool ok = x != NULL;
    while (ok && got) {
        ok = oci_blob_read(x, p + n, (size_t)d->size_bytes + 1 - n, &got, e);
        n += ok ? got : 0;
    }
    oci_blob_close(x);
    *out = (struct str){ p, n };
    return ok;
}

MLXK_FN bool oci_registry_blob_opens(struct oci *o, const struct oci_desc *d, bool *opens,
                                     struct err *e) {
    struct arena a;
    struct http_response r;
    struct err why = { 0 }, cut = { 0 };
    uint8_t byte;
    size_t got = 0;
    arena_init(&a, (size_t)1 << 20);
    struct oci_call call = { .method_cstr = "GET", .path = oci_path(&a, o, "blobs/", d->digest),
                             .range_to = 1, .once = true };
    *opens = true;
    if (d->size_bytes && !o->no_ranges && call.path.n && oci_send(o, &call, &r, &why)) {
        bool fine = r.status == 200 || r.status == 206;    /* the head alone proves nothing */
        *opens = fine ? http_read(&r, &byte, 1, &got, &cut) && got : r.status != 404;
        o->no_ranges = r.status == 200 && d->size_bytes > 1 && *opens;
        http_finish(&r);
    }
    arena_release(&a);
    if (why.code == ERR_INTERRUPTED || cut.code == ERR_INTERRUPTED) {
        *e = why.code == ERR_OK ? cut : why;
        return false;
    }
    return *opens || oci_note(o, "the registry says it has a blob that it cannot hand out; it is"
                                 " sent again", e);
}

MLXK_FN bool oci_registry_blob_has(struct oci *o, const struct oci_desc *d, bool *has,
                                   struct err *e) {
    struct arena a;
    struct http_response r;
    arena_init(&a, (size_t)1 << 20);
    struct oci_call call = { .method_cstr = "HEAD", .path = oci_path(&a, o, "blobs/", d->digest) };
    bool ok = call.path.n ? oci_send(o, &call, &r, e) : err_oom(e, NET_MAX_URL, "an address");
    if (ok) {
        *has = r.status == 200 &&
               (r.content_length == UINT64_MAX || r.content_length == d->size_bytes);
        if (r.status != 200 && r.status != 404 && r.status != 405)
            ok = oci_refused(o, &r, str_format(&a, "blob %.19s of " STR_FMT, d->digest.p,
                                               STR_ARG(o->ref.repo)), e);
        http_finish(&r);
    }
    arena_release(&a);
    return ok && (!*has || oci_registry_blob_opens(o, d, has, e));
}
