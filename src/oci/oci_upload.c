/* oci_upload.c: blobs into a registry.
 *
 *   HEAD -> there? | POST mount -> mounted? | POST -> PUT whole          (up to one piece)
 *                                           | POST -> PATCH ... -> PUT   (larger; resumes later)
 *
 * 1. A session's place is what the registry says last: the newest Location, its Range. A Range that
 *    does not move as it should ends the session, and a new one begins.
 * 2. A session outlives this process in a journal of ours; its address is used only when it is at
 *    the registry itself. It is forgotten when the registry says so, not when that says nothing.
 * 3. Some registries take no pieces, or only small ones: a table knows some of them, the others
 *    show it (the first piece refused, a Range that stays where it was) and get whole blobs from
 *    then on; 413 halves the pieces, and makes pieces of a blob that was to go whole.
 * 4. Who asks to slow down (429, 503) is obeyed, and the session goes on where it stands.
 * 5. After an answer that was lost the registry is asked whether it has the blob by now.
 * 6. A blob that the registry has only by its own word is sent: its first byte is asked for, since
 *    some answer from a list that a garbage collection has made stale.
 * ref: distribution 1.1, "pushing blobs"; what registries do beyond it is in the table.
 */
#include "oci/oci_int.h"

enum {
    OCI_UPLOAD_SESSIONS = 6, OCI_UPLOAD_LATE = 3,    /* tries; where nothing is said in time */
    OCI_UPLOAD_JOURNAL = 16384, OCI_UPLOAD_JOURNALS = 4096,
};
#define OCI_UPLOAD_LIFE_NS ((int64_t)7 * 86400 * 1000000000)
#define OCI_UPLOAD_LEAST ((uint64_t)1 << 20)     /* pieces are not halved below this */
#define OCI_UPLOAD_MOST ((uint64_t)1 << 30)      /* and do not grow above this */
#define OCI_UPLOAD_PIECE_NS ((int64_t)3 * 1000000000)
#define OCI_UPLOAD_STEP ((uint64_t)8)            /* a guess from one piece is not trusted further */
#define OCI_UPLOAD_ARENA ((size_t)4 << 20)

struct oci_upload {
    struct oci *o;
    const struct oci_desc *d;
    const struct oci_source *source;
    struct arena arena;
    struct str location;         /* where the session goes on; empty = there is none */
    uint64_t offset;             /* bytes that the registry has */
    uint64_t piece, least;       /* bytes of a PATCH; what the registry says of small ones */
    uint64_t base;               /* of the request in hand: offset of its first byte */
    uint64_t before;             /* event.done_bytes without this blob */
    const char *journal_cstr;    /* or NULL */
    int64_t asked_ms;            /* wait that the last refusal asked for, or -1 */
    bool stands;                 /* and it left the session as it was */
    bool unsure;                 /* the session may live: to be asked for where it stands */
    bool lost;                   /* the last answer did not come */
    bool mounted, doubted, there;
};

/* ---- which way (Private) --------------------------------------------------------------------- */

struct oci_upload_way { const char *host_cstr; bool suffix, whole; uint64_t most_bytes; };

/* What is known of a registry; NULL = nothing. most_bytes: of a blob, as its makers say; 0 = they
 * do not. */
static const struct oci_upload_way *oci_upload_way(const struct oci *o) {
    static const struct oci_upload_way ways[] = {
        { "ghcr.io", false, true, (uint64_t)10 << 30 },    /* pieces of at most 4 MiB: 416 */
        { ".pkg.dev", true, true, 0 }, { "gcr.io", false, true, 0 }, { ".gcr.io", true, true, 0 },
        { ".amazonaws.com", true, true, (uint64_t)52000 << 20 },   /* Range stays at a piece */
        { "public.ecr.aws", false, true, (uint64_t)10000 << 20 },
        { ".azurecr.io", true, false, (uint64_t)200 << 30 },
    };
    struct str host = o->ref.host;
    const char *as_cstr = os_env("MLXK_REGISTRY_LIKE");    /* tests: a host of the table */
    if (as_cstr && as_cstr[0]) host = str_cstr(as_cstr);
    for (size_t i = 0; i < MLXK_COUNT(ways); i++) {
        struct str name = str_cstr(ways[i].host_cstr);
        if (ways[i].suffix ? str_ends(host, name) : str_eq(host, name)) return &ways[i];
    }
    return NULL;
}

static uint64_t oci_upload_piece(const struct oci *o) {
    const struct oci_upload_way *way = oci_upload_way(o);
    return (way && way->whole) || o->wants_whole ? UINT64_MAX
         : o->small_piece && o->small_piece < o->options.chunk_bytes ? o->small_piece
         : o->quick_piece > o->options.chunk_bytes && !o->small_piece ? o->quick_piece
         : o->options.chunk_bytes;
}

/* The registry was seen to take no pieces. */
static void oci_upload_whole(struct oci_upload *u) {
    u->o->wants_whole = true;
    u->piece = UINT64_MAX;
}

/* After a piece that went fast the next one is what goes in that time: a cut costs time, not bytes,
 * and each end of a piece makes the registry sync. */
static void oci_upload_grow(struct oci_upload *u, int64_t took_ns) {
    uint64_t times = (uint64_t)(OCI_UPLOAD_PIECE_NS / (took_ns + 1)), most = OCI_UPLOAD_MOST;
    if (u->o->small_piece || times < 2 || u->piece > most / 2) return;
    u->piece *= times < OCI_UPLOAD_STEP ? times : OCI_UPLOAD_STEP;
    if (u->piece > most) u->piece = most;
    u->o->quick_piece = u->piece;
}

/* 413: pieces of half the size from now on. false: smaller ones are not tried. */
static bool oci_upload_halve(struct oci_upload *u, uint64_t sent_bytes) {
    const struct oci_upload_way *way = oci_upload_way(u->o);
    uint64_t most = u->piece < sent_bytes ? u->piece : sent_bytes;
    if ((way && way->whole) || u->o->wants_whole || most / 2 < OCI_UPLOAD_LEAST) return false;
    u->piece = u->o->small_piece = most / 2;
    return true;
}

static bool oci_upload_too_large(struct oci_upload *u, struct err *e) {
    const struct oci_upload_way *way = oci_upload_way(u->o);
    char most[16], has[16];
    if (!way || !way->most_bytes || u->d->size_bytes <= way->most_bytes) return true;
    num_format_size(most, way->most_bytes);
    num_format_size(has, u->d->size_bytes);
    struct str note = str_format(&u->arena, "this registry is known to take blobs of at most %s;"
                                 " one has %s and may be refused in the end", most, has);
    char *note_cstr = str_dup_cstr(&u->arena, note);
    return note_cstr ? oci_note(u->o, note_cstr, e) : err_oom(e, note.n, "a note");
}

static struct str oci_upload_what(struct oci_upload *u) {
    return str_format(&u->arena, "upload of blob %.19s to " STR_FMT, u->d->digest.p,
                      STR_ARG(u->o->ref.repo));
}

/* ---- the journal (Private) ------------------------------------------------------------------- */

/* Sessions that no registry remembers any more. */
static void oci_upload_sweep(struct arena *a, const char *dir_cstr) {
    struct err none = { 0 };
    struct os_entry *entries;
    struct os_stat st;
    size_t n;
    if (!os_list_dir(a, dir_cstr, OCI_UPLOAD_JOURNALS, &entries, &n, &none)) return;
    for (size_t i = 0; i < n; i++) {
        char *name = str_dup_cstr(a, entries[i].name),
             *path = name ? os_path_join(a, dir_cstr, name) : NULL;
        bool old = path && os_stat(path, &st) && os_time_ns() - st.mtime_ns > OCI_UPLOAD_LIFE_NS;
        if (old && str_is_hex(entries[i].name, 64)) (void)os_unlink(path, &none);
    }
}

static void oci_upload_find_journal(struct oci_upload *u) {
    struct err none = { 0 };
    char hex[65];
    char *dir = os_own_dir(&u->arena, "XDG_STATE_HOME", ".local/state");
    char *uploads = dir ? os_path_join(&u->arena, dir, "uploads") : NULL;
    struct str key = str_format(&u->arena, STR_FMT "/" STR_FMT "@" STR_FMT, STR_ARG(u->o->ref.host),
                                STR_ARG(u->o->ref.repo), STR_ARG(u->d->digest));
    if (!uploads || !key.p || !os_mkdirs(uploads, &none)) return;
    oci_upload_sweep(&u->arena, uploads);
    sha256_hex(key, hex);
    u->journal_cstr = os_path_join(&u->arena, uploads, hex);
}

static void oci_upload_note(struct oci_upload *u) {
    struct err none = { 0 };
    struct os_stat st;
    if (!u->journal_cstr || !u->location.n) return;
    if (!os_stat(u->journal_cstr, &st) /* such an address may carry a secret */
        && !(os_write_file(u->journal_cstr, STR_EMPTY, &none)
             && os_chmod(u->journal_cstr, 0600, &none)))
        return;
    (void)os_write_file(u->journal_cstr, u->location, &none);
}

static void oci_upload_forget(struct oci_upload *u) {
    struct err none = { 0 };
    u->location = STR_EMPTY;
    u->offset = 0;
    if (u->journal_cstr) (void)os_unlink(u->journal_cstr, &none);
}

/* ---- the session (Private) ------------------------------------------------------------------- */

/* The Location of an answer, in full; an answer without one keeps what there is. */
static bool oci_upload_moved(struct oci_upload *u, const struct http_response *r, struct err *e) {
    struct str location = http_header(r, "Location");
    struct net_url to;
    if (!location.n)
        return u->location.n > 0
               || err_set(e, ERR_FORMAT, STR_FMT " does not say where the upload goes",
                          STR_ARG(u->o->ref.host));
    if (!net_url_resolve(&u->arena, &r->url, location, &to, e))
        return err_context(e, "an upload: ");
    if (r->url.tls && !to.tls)
        return err_set(e, ERR_TLS, STR_FMT " wants the upload sent without encryption",
                       STR_ARG(u->o->ref.host));
    u->location = net_url_text(&u->arena, &to);
    return u->location.n > 0 || err_oom(e, NET_MAX_URL, "an address");
}

/* "0-1048575" or "bytes=0-9": the end of what is there; false = says nothing of use. */
static bool oci_upload_range(struct str value, uint64_t *have) {
    uint64_t first, last;
    if (str_starts(value, STR("bytes="))) value = str_sub(value, 6, value.n);
    struct str from = str_cut(&value, '-');
    if (!value.p || !num_parse_u64(from, 0, &first) || !num_parse_u64(value, INT64_MAX, &last))
        return false;
    *have = last ? last + 1 : 0;         /* "0-0" is one byte or none: as if none */
    return true;
}

/* Some take no pieces below a size of theirs; the last one may be smaller. */
static void oci_upload_least(struct oci_upload *u, const struct http_response *r) {
    (void)num_parse_u64(http_header(r, "OCI-Chunk-Min-Length"), UINT64_MAX - 1, &u->least);
    if (u->piece < u->least) u->piece = u->least;
}

static bool oci_upload_begin(struct oci_upload *u, struct str from, struct err *e) {
    struct http_response r;
    struct oci *o = u->o;
    struct str path = oci_path(&u->arena, o, "blobs/uploads/", STR_EMPTY);
    if (from.n)
        path = str_format(&u->arena, STR_FMT "?mount=" STR_FMT "&from=" STR_FMT, STR_ARG(path),
                          STR_ARG(u->d->digest), STR_ARG(from));
    struct oci_call call = { .method_cstr = "POST", .path = path };
    if (!path.n) return err_oom(e, NET_MAX_URL, "an address");
    o->mount_from = from;
    bool ok = oci_send(o, &call, &r, e);
    o->mount_from = STR_EMPTY;
    if (!ok) return false;
    u->mounted = from.n && r.status == 201;
    u->offset = 0;
    u->location = STR_EMPTY;
    oci_upload_least(u, &r);
    if (!u->mounted)
        ok = r.status == 202 ? oci_upload_moved(u, &r, e)
                             : oci_refused(o, &r, oci_upload_what(u), e);
    http_finish(&r);
    return ok;
}

/* What the registry has of the session; false without an error: the session is gone. */
static bool oci_upload_ask(struct oci_upload *u, struct err *e) {
    struct http_response r;
    struct oci_call call = { .method_cstr = "GET", .url = u->location, .once = true };
    uint64_t have = 0;
    if (!oci_send(u->o, &call, &r, e)) return false;
    if (http_retry_status(r.status)) {
        u->asked_ms = http_retry_asked(&r);
        oci_refused(u->o, &r, oci_upload_what(u), e);
        http_finish(&r);
        return false;
    }
    bool ok = r.status == 204 && oci_upload_range(http_header(&r, "Range"), &have)
              && have <= u->d->size_bytes && oci_upload_moved(u, &r, e);
    http_finish(&r);
    u->offset = ok ? have : 0;
    return ok;
}

/* Has the registry got it, only its answer was lost? */
static void oci_upload_look(struct oci_upload *u) {
    struct err silent = { 0 };
    if (u->lost && !oci_registry_blob_has(u->o, u->d, &u->there, &silent)) u->there = false;
}

/* Where a session stands that may live. false: that cannot be told yet. */
static bool oci_upload_find(struct oci_upload *u, struct err *e) {
    bool lives = oci_upload_ask(u, e);
    if (!lives && e->code != ERR_OK) return false;
    u->unsure = false;
    if (!lives) oci_upload_forget(u);
    if (!lives) oci_upload_look(u);
    u->o->event.done_bytes = u->before + u->offset;
    return true;
}

static bool oci_upload_same_place(struct oci_upload *u, struct str location) {
    struct err none = { 0 };
    struct net_url to, base;
    return net_url_parse(&u->arena, location, &to, &none)
           && net_url_parse(&u->arena, oci_home(u->o)->base, &base, &none)
           && net_url_same_origin(&to, &base);
}

/* The session of an earlier run, if there is one that still lives. */
static void oci_upload_resume(struct oci_upload *u) {
    struct err none = { 0 };
    struct str text;
    if (!u->journal_cstr
        || !os_read_file(&u->arena, u->journal_cstr, OCI_UPLOAD_JOURNAL, &text, &none))
        return;
    u->location = str_trim(text);
    u->unsure = u->location.n && oci_upload_same_place(u, u->location);
    if (!u->unsure) oci_upload_forget(u);
    else (void)oci_upload_find(u, &none);
}

/* ---- bytes (Private) ------------------------------------------------------------------------- */

/* Bodies that come keep to the limit by themselves; this is for those that go. */
static bool oci_upload_pace(struct oci *o, size_t n, struct err *e) {
    uint64_t limit = o->options.http.limit_bytes_per_s;
    int64_t now_ns = os_now_ns();
    if (!limit) return true;
    if (o->sent_ns < now_ns) o->sent_ns = now_ns;
    o->sent_ns += (int64_t)((double)n * 1e9 / (double)limit);
    return http_retry_sleep((o->sent_ns - now_ns) / 1000000, e);
}

static bool oci_upload_went(void *ctx, uint64_t offset, size_t n, struct err *e) {
    struct oci_upload *u = ctx;
    u->o->event.done_bytes = u->before + u->base + offset + n;
    return oci_tell(u->o, OCI_BYTES, e);
}

static bool oci_upload_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *e) {
    struct oci_upload *u = ctx;
    return u->source->read(u->source->ctx, u->base + offset, p, n, e)
           && oci_upload_pace(u->o, n, e) && oci_upload_went(u, offset, n, e);
}

/* The bytes from u->base on as they lie in a file; NULL where they are to be read. */
static const struct http_file *oci_upload_file(struct oci_upload *u, struct http_file *out) {
    if (!u->source->in_file || u->o->options.http.limit_bytes_per_s) return NULL;
    *out = (struct http_file){ u->source->fd, u->source->at_bytes + u->base, oci_upload_went };
    return out;
}

/* The registry has got other bytes than the digest promises: whose fault? false: the source's. */
static bool oci_upload_doubt(struct oci_upload *u, struct err *e) {
    if (u->doubted || !u->source->doubt) return true;
    u->doubted = true;
    return u->source->doubt(u->source->ctx, e);
}

/* Location with digest, as the last request of a session wants it. */
static struct str oci_upload_last(struct oci_upload *u) {
    bool query = str_find_char(u->location, '?') >= 0;
    return str_format(&u->arena, STR_FMT "%sdigest=" STR_FMT, STR_ARG(u->location),
                      query ? "&" : "?", STR_ARG(u->d->digest));
}

/* Statuses that patience or a new session may help with. */
static bool oci_upload_may_again(struct oci_upload *u, const struct http_response *r) {
    u->asked_ms = http_retry_asked(r);
    u->stands = r->status == 429 || (r->status >= 502 && r->status <= 504);
    return u->stands || r->status == 404 || r->status == 416 || r->status == 400
           || r->status == 409 || r->status >= 500;
}

/* PUT with the bytes from u->offset on. *again: not stored, a new session may do. */
static bool oci_upload_put(struct oci_upload *u, bool *again, struct err *e) {
    struct http_response r;
    struct http_file file;
    uint64_t n = u->d->size_bytes - u->offset;
    u->base = u->offset;
    struct oci_call call = { .method_cstr = "PUT",
                             .url = oci_upload_last(u),
                             .once = true,
                             .type_cstr = "application/octet-stream",
                             .read_body = n ? oci_upload_read : NULL,
                             .body_ctx = u,
                             .body_file = n ? oci_upload_file(u, &file) : NULL,
                             .body_bytes = n };
    *again = false;
    if (!call.url.n) return err_oom(e, NET_MAX_URL, "an address");
    if (!oci_send(u->o, &call, &r, e)) {
        *again = e->code == ERR_NET || e->code == ERR_NET_TIMEOUT;
        return false;
    }
    bool ok = r.status == 201 || r.status == 204;
    *again = !ok && (oci_upload_may_again(u, &r)
                     || (r.status == 413 && oci_upload_halve(u, n)));
    if (!ok) oci_refused(u->o, &r, oci_upload_what(u), e);
    http_finish(&r);
    struct err blame = { 0 };
    if (!ok && r.status == 400 && !oci_upload_doubt(u, &blame)) {
        *again = false;
        *e = blame;
    }
    return ok;
}

/* One piece by PATCH; the offset moves as the registry says. */
static bool oci_upload_patch(struct oci_upload *u, bool *again, struct err *e) {
    struct http_response r;
    struct http_file file;
    uint64_t left = u->d->size_bytes - u->offset, n = left < u->piece ? left : u->piece, have = 0;
    int64_t began_ns = os_now_ns();
    u->base = u->offset;
    struct oci_call call = { .method_cstr = "PATCH", .url = u->location, .once = true,
                             .type_cstr = "application/octet-stream",
                             .read_body = oci_upload_read, .body_ctx = u, .body_bytes = n,
                             .body_file = oci_upload_file(u, &file) };
    call.content_range = str_format(&u->arena, "%llu-%llu", (unsigned long long)u->offset,
                                    (unsigned long long)(u->offset + n - 1));
    *again = true;
    if (!call.content_range.p) return err_oom(e, 64, "a range");
    if (!oci_send(u->o, &call, &r, e)) {
        *again = e->code == ERR_NET || e->code == ERR_NET_TIMEOUT;
        return false;
    }
    bool ok = r.status == 202 || r.status == 201 || r.status == 204;
    bool other = r.status == 413 && oci_upload_halve(u, n);
    if (r.status == 405 || r.status == 501 || (r.status == 416 && !u->offset)) {
        oci_upload_whole(u);
        other = true;
    }
    if (ok) {
        bool says = oci_upload_range(http_header(&r, "Range"), &have);
        if (says && u->offset && have <= u->offset) oci_upload_whole(u);
        if (says && have != u->offset + n && !(n == 1 && u->offset == 0))
            ok = err_set(e, ERR_INTEGRITY,
                         STR_FMT " has %llu bytes of an upload where %llu were sent",
                         STR_ARG(u->o->ref.host), (unsigned long long)have,
                         (unsigned long long)(u->offset + n));
        ok = ok && oci_upload_moved(u, &r, e);
    } else {
        *again = oci_upload_may_again(u, &r) || other;
        oci_refused(u->o, &r, oci_upload_what(u), e);
    }
    http_finish(&r);
    if (ok) u->offset += n;
    if (ok && n == u->piece) oci_upload_grow(u, os_now_ns() - began_ns);
    return ok;
}

/* A session to its end, or to its failure. */
static bool oci_upload_session(struct oci_upload *u, bool *again, struct err *e) {
    *again = true;
    if (u->unsure && !oci_upload_find(u, e)) {
        *again = e->code != ERR_ACCESS;
        return false;
    }
    if (u->there) return true;
    if (!u->location.n && !oci_upload_begin(u, STR_EMPTY, e)) {
        *again = false;
        return false;
    }
    bool pieces = u->d->size_bytes - u->offset > u->piece;
    if (pieces) oci_upload_note(u);
    while (u->d->size_bytes - u->offset > u->piece || (pieces && u->offset < u->d->size_bytes)) {
        if (!oci_upload_patch(u, again, e)) return false;
        oci_upload_note(u);
    }
    return oci_upload_put(u, again, e);
}

/* After a failure: what the next try begins with. */
static void oci_upload_recover(struct oci_upload *u, const struct err *why) {
    u->o->quick_piece = 0;
    u->piece = oci_upload_piece(u->o);
    if (u->piece < u->least) u->piece = u->least;
    if (u->unsure) return;
    u->lost = why->code == ERR_NET || why->code == ERR_NET_TIMEOUT;
    u->unsure = (u->lost || u->stands) && u->location.n
                && u->piece != UINT64_MAX;       /* in one request: nothing to go on from */
    if (u->unsure) return;
    oci_upload_forget(u);
    oci_upload_look(u);
    u->o->event.done_bytes = u->before;
}

static bool oci_upload_all(struct oci_upload *u, struct err *e) {
    struct http_retry retry;
    uint64_t best = u->offset;
    http_retry_init(&retry, OCI_UPLOAD_SESSIONS);
    for (;;) {
        struct err one = { 0 };
        bool again;
        u->asked_ms = -1;
        u->stands = false;
        if (oci_upload_session(u, &again, &one)) return true;
        if (u->offset > best) {                            /* it moves: patience begins anew */
            best = u->offset;
            http_retry_init(&retry, OCI_UPLOAD_SESSIONS);
        }
        int64_t wait_ms =
            again && one.code != ERR_INTERRUPTED
                ? http_retry_next(&retry, u->asked_ms,
                                  one.code == ERR_NET_TIMEOUT ? OCI_UPLOAD_LATE : 0) : -1;
        if (wait_ms < 0) {
            *e = one;
            return false;
        }
        log_write(LOG_INFO, "an upload begins again: %s", one.msg);
        if (!http_retry_sleep(wait_ms, e)) return false;
        oci_upload_recover(u, &one);
    }
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

static bool oci_upload_mount(struct oci_upload *u, struct err *e) {
    for (size_t i = 0; i < u->source->n_siblings && !u->mounted; i++) {
        struct err why = { 0 };
        struct str from = u->source->siblings[i];
        if (str_eq(from, u->o->ref.repo)) continue;
        if (oci_upload_begin(u, from, &why)) {             /* mounted, or a session has begun */
            if (u->mounted && !oci_registry_blob_opens(u->o, u->d, &u->mounted, e)) return false;
            continue;
        }
        if (why.code == ERR_INTERRUPTED || why.code == ERR_NET) {
            *e = why;
            return false;
        }
    }
    return true;
}

MLXK_FN bool oci_registry_blob_put(struct oci *o, const struct oci_desc *d,
                                   const struct oci_source *source, enum oci_stored *how,
                                   struct err *e) {
    struct oci_upload u = { .o = o, .d = d, .source = source, .piece = oci_upload_piece(o),
                            .before = o->event.done_bytes };
    bool has = false;
    if (!oci_registry_blob_has(o, d, &has, e)) return false;
    *how = OCI_STORED_THERE;
    if (has) return true;
    arena_init(&u.arena, OCI_UPLOAD_ARENA);
    if (d->size_bytes > u.piece) {
        oci_upload_find_journal(&u);
        oci_upload_resume(&u);
    }
    bool ok = oci_upload_too_large(&u, e) && (u.location.n > 0 || oci_upload_mount(&u, e));
    *how = u.mounted ? OCI_STORED_MOUNTED : OCI_STORED_SENT;
    ok = ok && (u.mounted || oci_upload_all(&u, e));
    if (ok) oci_upload_forget(&u);
    o->event.done_bytes = u.before + (ok && *how == OCI_STORED_SENT ? d->size_bytes : 0);
    arena_release(&u.arena);
    return ok;
}

#undef OCI_UPLOAD_LEAST
#undef OCI_UPLOAD_MOST
#undef OCI_UPLOAD_PIECE_NS
#undef OCI_UPLOAD_STEP
#undef OCI_UPLOAD_LIFE_NS
#undef OCI_UPLOAD_ARENA
