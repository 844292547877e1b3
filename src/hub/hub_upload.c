/* hub_upload.c: files into the hub's storage.
 *
 *   modes: which files are objects (LFS), which go into the commit itself
 *   batch: which objects are there already -> for each other one: PUT, or parts and a completion
 *          -> verify
 *
 * Invariants
 *  1. Files are read piece by piece; the storage never sees the token.
 *  2. An address of the storage that has expired is asked for anew, with the objects that are still
 *     missing: what was stored stays stored, also across runs.
 *  3. Answers are checked against what was asked: every file once, no other one; as many parts as
 *     the size needs.
 * ref: hub facts 3.9; git-lfs batch API.
 */
#include "hub/hub_int.h"

enum { HUB_UPLOAD_BATCH = 256, HUB_UPLOAD_SAMPLE = 512, HUB_UPLOAD_MAX_PARTS = 100000,
       HUB_UPLOAD_RENEWALS = 3 };
#define HUB_UPLOAD_ARENA ((size_t)64 << 20)
static const char hub_upload_lfs_type[] = "application/vnd.git-lfs+json";

/* ---- how the hub wants them (Public to the room) --------------------------------------------- */

static bool hub_upload_question(struct buf *body, struct hub_local **files, size_t n,
                                struct err *e) {
    struct json_writer w;
    json_write_init(&w, body, false, false);
    json_write_object(&w);
    json_write_key(&w, "files");
    json_write_array(&w);
    for (size_t i = 0; i < n; i++) {
        uint8_t sample[HUB_UPLOAD_SAMPLE];
        size_t got = 0;
        struct buf text;
        int fd = hub_local_open(files[i], e);
        if (fd < 0) return false;
        bool ok = os_pread(fd, sample, sizeof sample, 0, &got, e);
        os_close(fd);
        if (!ok) return false;
        buf_init(&text, HUB_UPLOAD_SAMPLE * 2);
        base64_write(&text, sample, got);
        json_write_object(&w);
        json_write_key(&w, "path");
        json_write_str(&w, files[i]->path);
        json_write_key(&w, "sample");
        json_write_str(&w, buf_str(&text));
        json_write_key(&w, "size");
        json_write_u64(&w, files[i]->size_bytes);
        json_write_object_end(&w);
        buf_release(&text);
    }
    json_write_array_end(&w);
    json_write_object_end(&w);
    return buf_ok(body, "a question to the hub", e);
}

static bool hub_upload_mode(struct map *wanted, const struct json *v, struct err *e) {
    struct str path = STR_EMPTY, mode = STR_EMPTY;
    bool ignore = false;
    if (!json_read_str(v, "path", &path, e) || !json_read_str(v, "uploadMode", &mode, e)
        || !json_read_bool(v, "shouldIgnore", &ignore, e))
        return false;
    const uint64_t *slot = map_get(wanted, path);
    bool lfs = str_eq(mode, STR("lfs"));
    if (!slot || !*slot || (!lfs && !str_eq(mode, STR("regular"))))
        return err_set(e, ERR_FORMAT, "it answers for '" STR_FMT "' with mode '" STR_FMT "'",
                       STR_ARG(str_sub(path, 0, 80)), STR_ARG(str_sub(mode, 0, 20)));
    struct hub_local *f = (struct hub_local *)(uintptr_t)*slot;
    f->lfs = lfs && f->size_bytes;       /* nothing cannot be an object */
    f->skip = ignore;
    *map_put(wanted, path, NULL) = 0;    /* answered */
    return true;
}

static bool hub_upload_modes_of(struct hub_upload *u, struct hub_local **files, size_t n,
                                struct arena *a, struct err *e) {
    struct hub_subject s = { .repo = u->repo, .revision = u->branch };
    struct hub_called reply;
    struct buf body;
    struct map wanted;
    size_t n_answers = 0;
    buf_init(&body, LIMIT_JSON_FILE);
    map_init(&wanted, HUB_UPLOAD_BATCH);
    bool ok = hub_upload_question(&body, files, n, e);
    struct hub_call call = { .method_cstr = "POST", .body = buf_str(&body),
                             .url = hub_api_url(a, u->hub, "/api/models/", u->repo, "/preupload/",
                                                u->branch, "") };
    for (size_t i = 0; ok && i < n; i++) {
        uint64_t *slot = map_put(&wanted, files[i]->path, NULL);
        if (slot) *slot = (uint64_t)(uintptr_t)files[i];
        ok = slot || err_oom(e, n * 32, "a list of files");
    }
    ok = ok && hub_call_ask(a, u->hub, &s, &call, &reply, e);
    buf_release(&body);
    const struct json *doc = ok ? json_parse_large(a, reply.body, e) : NULL;
    const struct json *list = json_get(doc, "files");
    if (ok && doc && !json_is(list, JSON_ARRAY)) ok = err_set(e, ERR_FORMAT, "'files' is missing");
    for (const struct json *v = ok && doc ? list->child : NULL; ok && v; v = v->next, n_answers++)
        ok = hub_upload_mode(&wanted, v, e);
    if (ok && doc && n_answers != n)
        ok = err_set(e, ERR_FORMAT, "it answers for %zu of %zu files", n_answers, n);
    if ((!ok || !doc) && e->code == ERR_FORMAT)
        err_context(e, "the hub's answer about files to be pushed cannot be used: ");
    map_release(&wanted);
    return ok && doc;
}

MLXK_FN bool hub_upload_modes(struct hub_upload *u, struct hub_local **files, size_t n,
                              struct err *e) {
    bool ok = true;
    for (size_t i = 0; ok && i < n; i += HUB_UPLOAD_BATCH) {
        struct arena a;
        arena_init(&a, HUB_UPLOAD_ARENA);
        ok = hub_upload_modes_of(u, files + i, n - i < HUB_UPLOAD_BATCH ? n - i : HUB_UPLOAD_BATCH,
                                 &a, e);
        arena_release(&a);
    }
    return ok;
}

/* ---- one PUT (Private) ----------------------------------------------------------------------- */

struct hub_put {
    struct hub_upload *u;
    const struct hub_local *file;
    int fd;
    uint64_t from, n_bytes;              /* the piece of the file that is sent */
    uint64_t before;                     /* event.done_bytes when it began */
};

static bool hub_upload_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *e) {
    struct hub_put *put = ctx;
    size_t got;
    if (!os_pread(put->fd, p, n, put->from + offset, &got, e)) return false;
    if (got != n)
        return err_set(e, ERR_IO, "%s has become shorter while it was sent", put->file->disk_cstr);
    put->u->event.kind = HUB_BYTES;
    put->u->event.done_bytes = put->before + offset + n;
    return hub_tell(put->u->hub, &put->u->event, e);
}

static bool hub_upload_put_refused(const struct hub_put *put, const struct http_response *r,
                                   struct err *e) {
    err_set(e, r->status == 429 ? ERR_RATE_LIMIT : ERR_HTTP,
            "the storage at " STR_FMT " answered with status %d to " STR_FMT,
            STR_ARG(r->url.authority), r->status, STR_ARG(put->file->path));
    return err_hint(e, "what it has taken is kept; run the command again to continue");
}

/* *expired: the address is of no use any more. etag: of the answer, in a. */
static bool hub_upload_put_try(struct arena *a, struct hub_put *put, struct str url,
                               struct http_retry *retry, int64_t *wait_ms, bool *expired,
                               struct str *etag, struct err *e) {
    struct http_response r;
    struct http_request request = { .method_cstr = "PUT", .url = url, .follow = true,
                                    .read_body = hub_upload_read, .body_bytes = put->n_bytes,
                                    .body_ctx = put };
    put->before = put->u->event.done_bytes;
    *wait_ms = -1;
    if (!http_send(put->u->hub->client, &request, &r, e)) {
        put->u->event.done_bytes = put->before;
        *wait_ms = http_retry_wait(retry, NULL, e);
        return false;
    }
    bool ok = r.status >= 200 && r.status < 300;
    if (ok) {
        struct str tag = http_header(&r, "ETag");
        *etag = str_dup(a, tag);
        put->u->event.done_bytes = put->before + put->n_bytes;
        put->u->uploaded_bytes += put->n_bytes;
    } else {
        put->u->event.done_bytes = put->before;
        *expired = r.status == 400 || r.status == 401 || r.status == 403 || r.status == 404
                   || r.status == 410;
        *wait_ms = http_retry_wait(retry, &r, NULL);
        hub_upload_put_refused(put, &r, e);
    }
    http_finish(&r);
    return ok;
}

static bool hub_upload_put(struct arena *a, struct hub_put *put, struct str given, bool *expired,
                           struct str *etag, struct err *e) {
    struct http_retry retry;
    struct str url;
    int64_t wait_ms;
    if (!hub_given_url(a, put->u->hub, given, &url, e)) return false;
    http_retry_init(&retry, put->u->hub->attempts);
    while (!hub_upload_put_try(a, put, url, &retry, &wait_ms, expired, etag, e))
        if (!hub_wait(put->u->hub, wait_ms, e)) return false;
    return true;
}

/* ---- in parts (Private) ---------------------------------------------------------------------- */

/* The address of part i: the header's member whose name is that number, with any zeros in front. */
static struct str hub_upload_part_url(const struct json *header, uint64_t number) {
    for (const struct json *v = header->child; v; v = v->next) {
        uint64_t x;
        if (v->kind == JSON_STRING && num_parse_u64(v->key, HUB_UPLOAD_MAX_PARTS, &x)
            && x == number)
            return v->string;
    }
    return STR_EMPTY;
}

static bool hub_upload_count_parts(const struct json *header, const struct hub_local *f,
                                   uint64_t chunk_bytes, uint64_t *n_parts, struct err *e) {
    uint64_t n = 0, x;
    for (const struct json *v = header->child; v; v = v->next)
        n += num_parse_u64(v->key, UINT64_MAX, &x);
    *n_parts = (f->size_bytes + chunk_bytes - 1) / chunk_bytes;
    return (n == *n_parts && n <= HUB_UPLOAD_MAX_PARTS)
           || err_set(e, ERR_FORMAT, "the hub offers %llu places for the %llu parts of " STR_FMT,
                      (unsigned long long)n, (unsigned long long)*n_parts, STR_ARG(f->path));
}

/* An upload that is unknown may have been completed by a try whose answer was lost: *expired, and
 * the next batch tells. */
static bool hub_upload_complete(struct arena *a, struct hub_put *put, struct str href,
                                const struct str *etags, uint64_t n_parts, bool *expired,
                                struct err *e) {
    struct hub_subject s = { .repo = put->u->repo, .path = put->file->path };
    struct hub_called reply = { 0 };
    struct hub_call call = { .method_cstr = "POST", .type_cstr = hub_upload_lfs_type };
    struct json_writer w;
    struct buf body;
    buf_init(&body, LIMIT_JSON_FILE);
    json_write_init(&w, &body, false, false);
    json_write_object(&w);
    json_write_key(&w, "oid");
    json_write_cstr(&w, put->file->sha256);
    json_write_key(&w, "parts");
    json_write_array(&w);
    for (uint64_t i = 0; i < n_parts; i++) {
        json_write_object(&w);
        json_write_key(&w, "partNumber");
        json_write_u64(&w, i + 1);
        json_write_key(&w, "etag");
        json_write_str(&w, etags[i]);
        json_write_object_end(&w);
    }
    json_write_array_end(&w);
    json_write_object_end(&w);
    call.body = buf_str(&body);
    bool ok = buf_ok(&body, "a question to the hub", e)
              && hub_given_url(a, put->u->hub, href, &call.url, e)
              && hub_call_ask(a, put->u->hub, &s, &call, &reply, e);
    buf_release(&body);
    *expired = !ok && reply.status >= 400 && reply.status < 500 && reply.status != 429;
    return ok;
}

static bool hub_upload_parts(struct arena *a, struct hub_put *put, struct str href,
                             const struct json *header, uint64_t chunk_bytes, bool *expired,
                             struct err *e) {
    uint64_t n_parts;
    if (!hub_upload_count_parts(header, put->file, chunk_bytes, &n_parts, e)) return false;
    struct str *etags = ARENA_ARRAY(a, struct str, n_parts);
    if (!etags) return err_oom(e, n_parts * sizeof *etags, "the parts of a file");
    for (uint64_t i = 0; i < n_parts; i++) {
        uint64_t left = put->file->size_bytes - i * chunk_bytes;
        struct str url = hub_upload_part_url(header, i + 1);
        if (!url.n)
            return err_set(e, ERR_FORMAT, "the hub offers no place for part %llu of " STR_FMT,
                           (unsigned long long)(i + 1), STR_ARG(put->file->path));
        put->from = i * chunk_bytes;
        put->n_bytes = left < chunk_bytes ? left : chunk_bytes;
        if (!hub_upload_put(a, put, url, expired, &etags[i], e)) return false;
        if (!etags[i].n)
            return err_set(e, ERR_FORMAT, "the storage gives no tag for part %llu of " STR_FMT,
                           (unsigned long long)(i + 1), STR_ARG(put->file->path));
    }
    return hub_upload_complete(a, put, href, etags, n_parts, expired, e);
}

/* ---- one object (Private) -------------------------------------------------------------------- */

static bool hub_upload_verify(struct arena *a, struct hub_upload *u, const struct hub_local *f,
                              const struct json *verify, struct err *e) {
    struct hub_subject s = { .repo = u->repo, .path = f->path };
    struct hub_called reply;
    struct hub_call call = { .method_cstr = "POST", .type_cstr = hub_upload_lfs_type };
    struct str href = STR_EMPTY;
    if (!verify) return true;
    call.body = str_format(a, "{\"oid\":\"%s\",\"size\":%llu}", f->sha256,
                           (unsigned long long)f->size_bytes);
    return json_read_str(verify, "href", &href, e) && hub_given_url(a, u->hub, href, &call.url, e)
           && (hub_call_ask(a, u->hub, &s, &call, &reply, e)
               || err_context(e, "the upload could not be verified: "));
}

/* chunk_size, a number or its text. 0 = in one piece. */
static bool hub_upload_chunk(const struct json *header, uint64_t *out, struct err *e) {
    const struct json *v = json_get(header, "chunk_size");
    *out = 0;
    if (!v) return true;
    return (v->string.n && num_parse_u64(v->string, INT64_MAX, out) && *out)
           || err_set(e, ERR_FORMAT, "the hub's size of parts is no number of bytes");
}

static bool hub_upload_object(struct arena *a, struct hub_upload *u, const struct hub_local *f,
                              const struct json *actions, bool *expired, struct err *e) {
    struct hub_put put = { .u = u, .file = f, .n_bytes = f->size_bytes };
    const struct json *upload = json_get(actions, "upload"), *header = json_get(upload, "header");
    struct str href = STR_EMPTY, etag;
    uint64_t chunk_bytes, before = u->event.done_bytes;
    if (!json_is(upload, JSON_OBJECT) || !json_read_str(upload, "href", &href, e)
        || !hub_upload_chunk(header, &chunk_bytes, e))
        return err_set(e, ERR_FORMAT, "the hub does not say where " STR_FMT " is to go",
                       STR_ARG(f->path));
    u->event.path = f->path;
    put.fd = hub_local_open(f, e);
    if (put.fd < 0) return false;
    bool ok = chunk_bytes ? hub_upload_parts(a, &put, href, header, chunk_bytes, expired, e)
                          : hub_upload_put(a, &put, href, expired, &etag, e);
    os_close(put.fd);
    if (!ok) u->event.done_bytes = before;
    put.fd = ok ? hub_local_open(f, e) : -1;     /* still the same file? */
    ok = ok && put.fd >= 0 && hub_upload_verify(a, u, f, json_get(actions, "verify"), e);
    os_close(put.fd);
    return ok;
}

/* ---- batches (Private) ----------------------------------------------------------------------- */

static bool hub_upload_batch_ask(struct arena *a, struct hub_upload *u, struct hub_local **files,
                                 size_t n, const struct json **objects, struct err *e) {
    struct hub_subject s = { .repo = u->repo, .revision = u->branch };
    struct hub_called reply;
    struct hub_call call = { .method_cstr = "POST", .type_cstr = hub_upload_lfs_type };
    struct json_writer w;
    struct buf body;
    buf_init(&body, LIMIT_JSON_DOC);
    json_write_init(&w, &body, false, false);
    json_write_raw(&w, STR("{\"operation\":\"upload\",\"transfers\":[\"basic\",\"multipart\"],"
                           "\"hash_algo\":\"sha256\",\"ref\":{\"name\":"));
    json_write_init(&w, &body, false, false);
    json_write_str(&w, u->branch);
    buf_add_cstr(&body, "},\"objects\":[");
    for (size_t i = 0; i < n; i++)
        buf_addf(&body, "%s{\"oid\":\"%s\",\"size\":%llu}", i ? "," : "", files[i]->sha256,
                 (unsigned long long)files[i]->size_bytes);
    buf_add_cstr(&body, "]}");
    call.body = buf_str(&body);
    call.url = hub_api_url(a, u->hub, "/", u->repo, ".git/info/lfs/objects/batch", STR_EMPTY, "");
    bool ok = buf_ok(&body, "a question to the hub", e)
              && hub_call_ask(a, u->hub, &s, &call, &reply, e);
    buf_release(&body);
    const struct json *doc = ok ? json_parse_large(a, reply.body, e) : NULL;
    *objects = json_get(doc, "objects");
    if (ok && !json_is(*objects, JSON_ARRAY))
        ok = err_set(e, ERR_FORMAT, "the hub's answer about objects cannot be used");
    return ok;
}

static struct hub_local **hub_upload_find(struct hub_local **files, size_t n, struct str oid) {
    for (size_t i = 0; i < n; i++)
        if (files[i] && str_eq_cstr(oid, files[i]->sha256)) return &files[i];
    return NULL;
}

/* One object of the answer; what is stored afterwards becomes NULL in files. */
static bool hub_upload_batch_one(struct arena *a, struct hub_upload *u, struct hub_local **files,
                                 size_t n, const struct json *object, bool *expired,
                                 struct err *e) {
    struct str oid = STR_EMPTY, message = STR_EMPTY;
    const struct json *error = json_get(object, "error"), *actions = json_get(object, "actions");
    if (!json_read_str(object, "oid", &oid, e)) return false;
    struct hub_local **slot = hub_upload_find(files, n, oid);
    if (!slot)
        return err_set(e, ERR_FORMAT, "the hub answers for an object that was not asked for");
    if (error && error->kind != JSON_NULL) {
        struct err ignored = { 0 };
        (void)json_read_str(error, "message", &message, &ignored);
        return err_set(e, ERR_HTTP, "the hub does not take " STR_FMT ": " STR_FMT,
                       STR_ARG((*slot)->path), STR_ARG(str_sub(message, 0, 200)));
    }
    if (json_is(actions, JSON_OBJECT) && json_get(actions, "upload")) {
        if (!hub_upload_object(a, u, *slot, actions, expired, e)) return false;
    } else {
        u->n_stored++;
        u->event.done_bytes += (*slot)->size_bytes;
    }
    u->event.done_files++;
    u->event.kind = HUB_FILE_DONE;
    *slot = NULL;
    return hub_tell(u->hub, &u->event, e);
}

static bool hub_upload_batch(struct hub_upload *u, struct hub_local **files, size_t n,
                             struct err *e) {
    bool ok = false, again = true;
    for (int renewals = 0; !ok && again && renewals <= HUB_UPLOAD_RENEWALS; renewals++) {
        struct arena a;
        const struct json *objects = NULL;
        bool expired = false;
        size_t left = 0;
        err_clear(e);
        for (size_t i = 0; i < n; i++)
            if (files[i]) files[left++] = files[i];
        n = left;
        arena_init(&a, HUB_UPLOAD_ARENA);
        ok = n == 0 || hub_upload_batch_ask(&a, u, files, n, &objects, e);
        again = false;
        for (const struct json *v = ok && n ? objects->child : NULL; ok && v; v = v->next)
            ok = hub_upload_batch_one(&a, u, files, n, v, &expired, e);
        again = !ok && expired;
        for (size_t i = 0; ok && i < n; i++)
            if (files[i])
                ok = err_set(e, ERR_FORMAT, "the hub's answer about objects leaves out " STR_FMT,
                             STR_ARG(files[i]->path));
        arena_release(&a);
    }
    return ok;
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN bool hub_upload_objects(struct hub_upload *u, struct hub_local **files, size_t n,
                                struct err *e) {
    struct hub_local *batch[HUB_UPLOAD_BATCH];
    struct map seen;
    bool ok = true, is_new;
    size_t n_batch = 0;
    map_init(&seen, HUB_MAX_FILES);
    for (size_t i = 0; ok && i <= n; i++) {
        bool send = n_batch == HUB_UPLOAD_BATCH || (i == n && n_batch);
        if (send) {
            ok = hub_upload_batch(u, batch, n_batch, e);
            n_batch = 0;
        }
        if (!ok || i == n) break;
        if (!map_put(&seen, str_cstr(files[i]->sha256), &is_new))
            ok = err_oom(e, n * 32, "a list of files");
        else if (is_new) batch[n_batch++] = files[i];      /* equal content once */
    }
    map_release(&seen);
    return ok;
}

#undef HUB_UPLOAD_ARENA
