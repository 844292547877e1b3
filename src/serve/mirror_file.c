/* mirror_file.c: files by name, whole or in part.
 *
 * Invariants
 *  1. What is announced comes from the file list of the commit; a file in the cache that has
 *     another size is not sent.
 *  2. A link that leads out of the cache is not followed.
 *  3. With pull-through, the last bytes of a file are sent only after its hash was right
 *     (mirror_upstream.c).
 * ref: hub facts 3.5, 4.1.
 */
#include "serve/mirror_int.h"

#include <stdio.h>

enum { MIRROR_FILE_HURRIED = 65536 };    /* of a file, where all threads have work */

/* ---- the file in the cache (Private) --------------------------------------------------------- */

static bool mirror_file_inside(struct arena *a, const struct mirror *m, const char *path_cstr) {
    struct err ignored = { 0 };
    char *real_cstr = os_path_real(a, path_cstr, &ignored),
         *root_cstr = os_path_real(a, m->cache.root_cstr, &ignored);
    if (!real_cstr || !root_cstr) return false;
    struct str real = str_cstr(real_cstr), root = str_cstr(root_cstr);
    return str_starts(real, root) && real.n > root.n && real.p[root.n] == '/';
}

static int mirror_file_try(struct arena *a, const struct mirror *m, const char *path_cstr,
                           uint64_t size_bytes) {
    struct err ignored = { 0 };
    struct os_stat st;
    if (!os_stat(path_cstr, &st) || st.kind != OS_FILE || st.size_bytes != size_bytes
        || !mirror_file_inside(a, m, path_cstr))
        return -1;
    int fd = os_open(path_cstr, OS_READ, &ignored);
    if (fd >= 0 && (!os_fstat(fd, &st) || st.kind != OS_FILE || st.size_bytes != size_bytes)) {
        os_close(fd);
        return -1;
    }
    return fd;
}

/* In the snapshot, or (not linked there yet) among the blobs. -1 = not in the cache. */
static int mirror_file_open(struct arena *a, struct mirror *m,
                            const struct mirror_subject *s, const struct mirror_file *f) {
    char *path_cstr = str_dup_cstr(a, str_format(a, "%s/snapshots/%s/" STR_FMT, s->dir_cstr,
                                                 s->list->commit, STR_ARG(f->path)));
    int fd = path_cstr ? mirror_file_try(a, m, path_cstr, f->size_bytes) : -1;
    if (fd >= 0) return fd;
    path_cstr = str_dup_cstr(a, str_format(a, "%s/blobs/" STR_FMT, s->dir_cstr, STR_ARG(f->etag)));
    fd = path_cstr ? mirror_file_try(a, m, path_cstr, f->size_bytes) : -1;
    if (fd >= 0 && m->upstream)
        mirror_fetch_show(m, s->route->name, str_cstr(s->list->commit), f->etag);
    return fd;
}

/* ---- answers (Private) ----------------------------------------------------------------------- */

static void mirror_file_fields(struct httpd_exchange *x, const struct mirror_subject *s,
                               const struct mirror_file *f) {
    httpd_set(x, "X-Repo-Commit", "%s", s->list->commit);
    httpd_set(x, "ETag", "\"" STR_FMT "\"", STR_ARG(f->etag));
    httpd_set(x, "Accept-Ranges", "bytes");
    httpd_set(x, "X-Content-Type-Options", "nosniff");
    if (!f->lfs) return;
    httpd_set(x, "X-Linked-Etag", "\"" STR_FMT "\"", STR_ARG(f->etag));
    httpd_set(x, "X-Linked-Size", "%llu", (unsigned long long)f->size_bytes);
}

static bool mirror_file_unchanged(const struct httpd_exchange *x, struct str quoted) {
    struct str rest = httpd_header(x, "If-None-Match");
    while (rest.p) {
        struct str tag = str_trim(str_cut(&rest, ','));
        if (str_starts(tag, STR("W/"))) tag = str_sub(tag, 2, tag.n);
        if (str_eq(tag, quoted) || str_eq(tag, STR("*"))) return true;
    }
    return false;
}

struct mirror_part { uint64_t from, to; int status; };

/* false: answered already (304, 416). */
static bool mirror_file_part(struct httpd_exchange *x, const struct mirror_subject *s,
                             const struct mirror_file *f, struct mirror_part *part) {
    struct err ignored = { 0 };
    unsigned long long total = f->size_bytes;
    struct str quoted = str_format(&x->arena, "\"" STR_FMT "\"", STR_ARG(f->etag));
    if (mirror_file_unchanged(x, quoted)) {
        mirror_file_fields(x, s, f);
        if (httpd_begin(x, 304, 0, &ignored)) (void)httpd_end(x, &ignored);
        return false;
    }
    enum httpd_range range = httpd_range(x, quoted, f->size_bytes, &part->from, &part->to);
    part->status = range == HTTPD_PART ? 206 : 200;
    if (range != HTTPD_NO_PART) return true;
    struct mirror_fault fault = { .commit = str_cstr(s->list->commit) };
    httpd_set(x, "Content-Range", "bytes */%llu", total);
    mirror_refuse(&fault, 416, "RangeNotSatisfiable",
                  "the file has %llu bytes, and one range of them can be asked for", total);
    mirror_answer_fault(x, &fault);
    return false;
}

static void mirror_file_heading(struct httpd_exchange *x, const struct mirror_subject *s,
                                const struct mirror_file *f, const struct mirror_part *part) {
    mirror_file_fields(x, s, f);
    httpd_set(x, "Content-Type", "application/octet-stream");
    if (part->status == 206)
        httpd_set(x, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long)part->from,
                  (unsigned long long)part->to - 1, (unsigned long long)f->size_bytes);
}

static void mirror_file_send(struct httpd_exchange *x, const struct mirror_subject *s,
                             const struct mirror_file *f, const struct mirror_part *part, int fd) {
    struct err e = { 0 };
    uint64_t n = part->to - part->from;
    mirror_file_heading(x, s, f, part);
    if (httpd_begin(x, part->status, n, &e) && httpd_send_file(x, fd, part->from, n, &e))
        (void)httpd_end(x, &e);
    if (e.code != ERR_OK) log_write(LOG_INFO, STR_FMT ": %s", STR_ARG(f->path), e.msg);
}

/* ---- a file that is not there yet (Private) -------------------------------------------------- */

static bool mirror_file_failed(struct httpd_exchange *x, const struct mirror_file *f,
                               const struct mirror_view *v, struct mirror_fault *fault) {
    bool denied = v->code == ERR_ACCESS, full = v->code == ERR_DISK_FULL;
    fault->retry_after_s = denied || full ? 0 : 10;
    mirror_refuse(fault, denied ? 403 : full ? 507 : v->code == ERR_NET_TIMEOUT ? 504 : 502,
                  denied ? "GatedRepo" : "UpstreamFailed",
                  denied ? STR_FMT " may not be fetched by this mirror"
                         : STR_FMT " could not be fetched from upstream", STR_ARG(f->path));
    mirror_answer_fault(x, fault);
    return false;
}

/* Sends what arrives, while it arrives. */
static void mirror_file_follow(struct mirror *m, struct httpd_exchange *x,
                               const struct mirror_subject *s, const struct mirror_file *f,
                               const struct mirror_part *part, struct mirror_flight *flight,
                               const struct mirror_view *v, int fd) {
    struct err e = { 0 };
    mirror_file_heading(x, s, f, part);
    bool ok = httpd_begin(x, part->status, part->to - part->from, &e)
              && mirror_fetch_stream(m, x, flight, fd, part->from, part->to, *v, &e)
              && httpd_end(x, &e);
    if (ok) return;
    log_write(LOG_INFO, STR_FMT ": %s", STR_ARG(f->path), e.msg);
    if (!x->was_cut) httpd_cut(x);
}

static void mirror_file_fetch(struct mirror *m, struct httpd_exchange *x,
                              const struct mirror_subject *s, const struct mirror_file *f,
                              const struct mirror_part *part) {
    struct mirror_fault fault = { .commit = str_cstr(s->list->commit), .retry_after_s = 5 };
    struct mirror_view v;
    struct err ignored = { 0 };
    int fd = -1;
    struct mirror_flight *flight = mirror_fetch_join(m, s->route->name, fault.commit, f);
    if (!flight) {
        mirror_refuse(&fault, 503, "Busy", "too many files are being fetched");
        mirror_answer_fault(x, &fault);
        return;
    }
    bool there = mirror_fetch_ready(m, x, flight, part->from, &v);
    if (there && v.state == MIRROR_LANDED) fd = mirror_file_open(&x->arena, m, s, f);
    else if (there && v.state == MIRROR_RUNNING && v.partial_cstr)
        fd = os_open(v.partial_cstr, OS_READ, &ignored);
    if (there && fd < 0 && v.state == MIRROR_RUNNING)
        fd = mirror_file_open(&x->arena, m, s, f);       /* it has got its name meanwhile */
    if (!there) httpd_cut(x);
    else if (fd < 0) (void)mirror_file_failed(x, f, &v, &fault);
    else mirror_file_follow(m, x, s, f, part, flight, &v, fd);
    os_close(fd);
    mirror_fetch_leave(m, flight);
}

static void mirror_file_answer(struct mirror *m, struct httpd_exchange *x,
                               const struct mirror_subject *s, const struct mirror_file *f) {
    struct mirror_part part;
    struct mirror_fault fault = { .commit = str_cstr(s->list->commit) };
    if (!mirror_file_part(x, s, f, &part)) return;
    int fd = mirror_file_open(&x->arena, m, s, f);
    bool slow = part.to - part.from > MIRROR_FILE_HURRIED || (fd < 0 && m->upstream);
    if (x->hurried && slow && !x->head_only) {
        os_close(fd);
        (void)mirror_busy(&fault);
        mirror_answer_fault(x, &fault);
        return;
    }
    if (fd >= 0) {
        if (!x->head_only) atomic_fetch_add(&m->counters.cache_hits, 1);
        mirror_file_send(x, s, f, &part, fd);
        os_close(fd);
        return;
    }
    if (m->upstream && x->head_only) {
        mirror_file_heading(x, s, f, &part);
        struct err ignored = { 0 };
        if (httpd_begin(x, 200, f->size_bytes, &ignored)) {
            (void)httpd_end(x, &ignored);
        }
        return;
    }
    if (m->upstream) {
        mirror_file_fetch(m, x, s, f, &part);
        return;
    }
    mirror_refuse(&fault, 503, "EntryNotCached",
                  STR_FMT " of " STR_FMT " is not in the cache of this mirror",
                  STR_ARG(f->path), STR_ARG(s->route->repo));
    mirror_answer_fault(x, &fault);
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN void mirror_resolve(struct mirror *m, struct httpd_exchange *x,
                            const struct mirror_route *r) {
    struct mirror_subject s;
    struct mirror_fault fault = { 0 };
    if (!mirror_find(m, &x->arena, r, &s, &fault)) {
        mirror_answer_fault(x, &fault);
        return;
    }
    const struct mirror_file *f = mirror_list_find(s.list, r->path);
    if (f) mirror_file_answer(m, x, &s, f);
    else {
        fault.commit = str_cstr(s.list->commit);
        mirror_refuse(&fault, 404, "EntryNotFound", STR_FMT " has no file " STR_FMT " at %s",
                      STR_ARG(r->repo), STR_ARG(r->path), s.list->commit);
        mirror_answer_fault(x, &fault);
    }
    mirror_list_give(m, s.list);
}
