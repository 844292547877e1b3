/* mirror.c: a read-only hub served from the cache: who may pass, where a request goes, what it is
 * about, and what is written about it afterwards.
 *
 *   request -> serve_guard_ask -> mirror_route_parse -> mirror_find (repo, commit, files) -> answer
 *
 * Invariants
 *  1. Every refusal carries X-Error-Code: clients of plain http know its meaning from nothing else.
 *  2. A repository that is not allowed and one that does not exist get the same answer.
 *  3. The access log has no query, no header and no key.
 * ref: hub facts 3.6, 4.
 */
#include "serve/mirror_int.h"

#include <stdio.h>

/* ---- refusals (Public to the room) ----------------------------------------------------------- */

MLXK_FN bool mirror_refuse(struct mirror_fault *f, int status, const char *code_cstr,
                           const char *format_cstr, ...) {
    va_list args;
    f->status = status;
    f->code_cstr = code_cstr;
    va_start(args, format_cstr);
    int n = vsnprintf(f->message, sizeof f->message, format_cstr, args);
    va_end(args);
    for (int i = 0; i < n && i < (int)sizeof f->message - 1; i++)
        if ((unsigned char)f->message[i] < ' ' || f->message[i] == 0x7f) f->message[i] = '?';
    return false;
}

MLXK_FN bool mirror_busy(struct mirror_fault *f) {
    f->retry_after_s = 5;
    return mirror_refuse(f, 503, "Busy", "all threads of this mirror have work");
}

MLXK_FN void mirror_answer_fault(struct httpd_exchange *x, const struct mirror_fault *f) {
    struct buf b;
    struct json_writer w;
    buf_init(&b, 8192);
    json_write_init(&w, &b, false, true);
    json_write_object(&w);
    json_write_key(&w, "error");
    json_write_cstr(&w, f->message);
    json_write_object_end(&w);
    httpd_set(x, "X-Error-Code", "%s", f->code_cstr);
    httpd_set(x, "X-Error-Message", "%s", f->message);
    if (f->commit.n) httpd_set(x, "X-Repo-Commit", STR_FMT, STR_ARG(f->commit));
    if (f->retry_after_s) httpd_set(x, "Retry-After", "%d", f->retry_after_s);
    if (f->status == 401) httpd_set(x, "WWW-Authenticate", "Bearer");
    httpd_reply(x, f->status, "application/json; charset=utf-8", buf_str(&b));
    buf_release(&b);
}

/* ---- what a request is about (Public to the room) -------------------------------------------- */

MLXK_FN bool mirror_allowed(const struct mirror *m, struct str name) {
    if (m->o.n_allow == 0) return true;
    for (size_t i = 0; i < m->o.n_allow; i++)
        if (str_glob(m->o.allow[i], name)) return true;
    return false;
}

static bool mirror_no_repo(struct mirror_fault *f, const struct mirror_route *r) {
    return mirror_refuse(f, 404, "RepoNotFound", "Repository " STR_FMT " is not on this mirror",
                         STR_ARG(r->repo));
}

/* The repo's own words for why nothing can be served. */
static bool mirror_no_commit(struct arena *a, struct mirror_fault *f, const struct mirror_route *r,
                             const char *dir_cstr, struct str revision) {
    struct os_stat st;
    char *snapshots_cstr = os_path_join(a, dir_cstr, "snapshots");
    if (!snapshots_cstr || !os_stat(snapshots_cstr, &st) || st.kind != OS_DIR)
        return mirror_no_repo(f, r);
    return mirror_refuse(f, 404, "RevisionNotFound",
                         "Revision " STR_FMT " of " STR_FMT " is not on this mirror",
                         STR_ARG(revision), STR_ARG(r->repo));
}

/* Upstream's word for what a revision is; where it has none, the cache's. false with a fault only
 * when neither knows it. */
static bool mirror_ask_upstream(struct mirror *m, struct arena *a, const struct mirror_route *r,
                                const char *dir_cstr, struct str revision, struct str *commit,
                                struct mirror_fault *f) {
    struct err why = { 0 };
    char text[41];
    *commit = mirror_local_commit(a, dir_cstr, revision);
    bool asks = m->upstream && r->kind != MIRROR_LIST;
    if (!asks) return true;
    if (str_is_hex(revision, 40)) {      /* a commit does not change: a list at hand is enough */
        struct mirror_list *l = mirror_list_get(m, dir_cstr, revision, false, &why);
        mirror_list_give(m, l);
        if (l) *commit = revision;
        if (l) return true;
        err_clear(&why);
    }
    if (r->hurried) return commit->n || mirror_busy(f);
    if (mirror_upstream_commit(m, dir_cstr, r->name, revision, text, &why)) {
        *commit = str_dup(a, str_cstr(text));
        return commit->p || mirror_refuse(f, 503, "ServerError", "out of memory");
    }
    if (commit->n) return true;          /* down, or gone: what the cache has */
    switch (why.code) {
    case ERR_NOT_FOUND: case ERR_INVALID:
        return mirror_refuse(f, 404, "RevisionNotFound",
                             "Revision " STR_FMT " of " STR_FMT " does not exist",
                             STR_ARG(revision), STR_ARG(r->repo));
    case ERR_ACCESS: return mirror_no_repo(f, r);
    default:
        f->retry_after_s = 10;
        return mirror_refuse(f, why.code == ERR_NET_TIMEOUT ? 504
                                : why.code == ERR_DISK_FULL ? 507 : 502, "UpstreamFailed",
                             STR_FMT " could not be looked up upstream", STR_ARG(r->repo));
    }
}

MLXK_FN bool mirror_find(struct mirror *m, struct arena *a, const struct mirror_route *r,
                         struct mirror_subject *out, struct mirror_fault *f) {
    struct err e = { 0 };
    struct str revision = r->revision.n ? r->revision : STR("main");
    *out = (struct mirror_subject){ .route = r };
    bool fits = (int)cache_kind_of(r->name) == (int)r->type;     /* no model is "datasets/x" */
    if (!fits || !cache_name_ok(r->name, &e) || !mirror_allowed(m, r->name))
        return mirror_no_repo(f, r);
    out->dir_cstr = cache_repo_dir(a, &m->cache, r->name);
    if (!out->dir_cstr) return mirror_refuse(f, 503, "ServerError", "out of memory");
    struct str commit;
    if (!mirror_ask_upstream(m, a, r, out->dir_cstr, revision, &commit, f)) return false;
    if (!commit.n) return mirror_no_commit(a, f, r, out->dir_cstr, revision);
    out->list = mirror_list_get(m, out->dir_cstr, commit, m->o.partial, &e);
    if (out->list) {
        out->time_ns = out->list->mtime_ns;
        return true;
    }
    if (e.code == ERR_OK)
        return mirror_refuse(
            f, 404, "RevisionNotFound",
            "the file list of " STR_FMT " at " STR_FMT " is not known to this "
            "mirror; `mlxk pull` completes it, --serve-partial serves what is there",
            STR_ARG(r->repo), STR_ARG(commit));
    log_write(LOG_ERROR, "%s", e.msg);
    return mirror_refuse(f, 500, "ServerError", "the file list of " STR_FMT " cannot be read",
                         STR_ARG(r->repo));
}

/* ---- dispatch (Private) ---------------------------------------------------------------------- */

static bool mirror_is_public(enum mirror_kind kind) {
    return kind == MIRROR_HEALTH || kind == MIRROR_READY || kind == MIRROR_ROOT;
}

static bool mirror_admit(struct mirror *m, struct httpd_exchange *x, enum mirror_kind kind) {
    struct mirror_fault f = { 0 };
    switch (serve_guard_ask(m->guard, x, mirror_is_public(kind))) {
    case SERVE_PASS: return true;
    case SERVE_HOST:
        atomic_fetch_add(&m->counters.host_failures, 1);
        mirror_refuse(&f, 403, "WrongHost",
                      "this mirror is not called that; --allowed-host gives it another name");
        break;
    case SERVE_RATE:
        atomic_fetch_add(&m->counters.rate_limited, 1);
        f.retry_after_s = 1;
        mirror_refuse(&f, 429, "TooManyRequests", "more requests than one address may send");
        break;
    default:
        atomic_fetch_add(&m->counters.key_failures, 1);
        mirror_refuse(&f, 401, "Unauthorized", "Invalid credentials in Authorization header");
    }
    mirror_answer_fault(x, &f);
    return false;
}

static void mirror_ready(struct mirror *m, struct httpd_exchange *x) {
    struct httpd_stats s;
    httpd_stats(m->server, &s);
    if (s.draining) httpd_set(x, "Retry-After", "5");
    httpd_reply(x, s.draining ? 503 : 200, "application/json",
                s.draining ? STR("{\"status\":\"draining\"}") : STR("{\"status\":\"ok\"}"));
}

static bool mirror_method_ok(const struct httpd_exchange *x, enum mirror_kind kind) {
    bool reads = str_eq(x->method, STR("GET")) || str_eq(x->method, STR("HEAD"));
    return kind == MIRROR_PATHS ? str_eq(x->method, STR("POST")) : reads;
}

static void mirror_dispatch(struct mirror *m, struct httpd_exchange *x,
                            const struct mirror_route *r) {
    struct mirror_fault f = { 0 };
    if (!mirror_method_ok(x, r->kind)) {
        httpd_set(x, "Allow", "%s", r->kind == MIRROR_PATHS ? "POST" : "GET, HEAD");
        mirror_refuse(&f, 405, "MethodNotAllowed", "this mirror is read-only");
        mirror_answer_fault(x, &f);
        return;
    }
    switch (r->kind) {
    case MIRROR_UNKNOWN:
        mirror_refuse(&f, 404, "NotFound", "this mirror has no such page");
        mirror_answer_fault(x, &f);
        break;
    case MIRROR_ROOT: httpd_reply(x, 200, NULL, STR("mlxk mirror is running\n")); break;
    case MIRROR_HEALTH: httpd_reply(x, 200, "application/json", STR("{\"status\":\"ok\"}")); break;
    case MIRROR_READY: mirror_ready(m, x); break;
    case MIRROR_METRICS: mirror_metrics(m, x); break;
    case MIRROR_RESOLVE: mirror_resolve(m, x, r); break;
    default: mirror_api(m, x, r);
    }
}

static void mirror_answer(void *ctx, struct httpd_exchange *x) {
    struct mirror *m = ctx;
    struct mirror_route *r = ARENA_NEW(&x->arena, struct mirror_route);
    unsigned long long n = atomic_fetch_add(&m->n_requests, 1);
    httpd_set(x, "X-Request-Id", "%016llx", (unsigned long long)m->id_base + n);
    if (!r) {
        httpd_reply(x, 503, NULL, STR("out of memory\n"));
        return;
    }
    (void)mirror_route_parse(&x->arena, x->path, r);
    r->hurried = x->hurried;
    x->note = r;
    if (mirror_admit(m, x, r->kind)) mirror_dispatch(m, x, r);
}

/* ---- the access log (Private) ---------------------------------------------------------------- */

static void mirror_log_json(struct buf *b, const struct httpd_exchange *x, const char *time_cstr,
                            double took_ms) {
    struct json_writer w;
    json_write_init(&w, b, false, true);
    json_write_object(&w);
    json_write_key(&w, "ts");
    json_write_cstr(&w, time_cstr);
    json_write_key(&w, "remote");
    json_write_cstr(&w, x->peer_cstr);
    json_write_key(&w, "method");
    json_write_str(&w, x->method);
    json_write_key(&w, "path");
    json_write_str(&w, str_sub(x->path, 0, 1024));
    json_write_key(&w, "status");
    json_write_i64(&w, x->status);
    json_write_key(&w, "bytes");
    json_write_u64(&w, x->sent_bytes);
    json_write_key(&w, "dur_ms");
    json_write_f64(&w, took_ms);
    json_write_key(&w, "cut");
    json_write_bool(&w, x->was_cut);
    json_write_object_end(&w);
}

static void mirror_done(void *ctx, const struct httpd_exchange *x) {
    struct mirror *m = ctx;
    const struct mirror_route *r = x->note;
    char time_text[40];
    struct buf b;
    mirror_metrics_count(m, x, r ? r->kind : MIRROR_UNKNOWN);
    if (!m->o.log) return;
    buf_init(&b, 16384);
    os_format_time(time_text, os_time_ns());
    double took_ms = (double)((os_now_ns() - x->started_ns) / 1000) / 1000.0;
    if (m->o.log_json) mirror_log_json(&b, x, time_text, took_ms);
    else
        buf_addf(&b, "%s %s \"" STR_FMT " " STR_FMT "\" %d %llu %.3fms%s", time_text, x->peer_cstr,
                 STR_ARG(x->method.n ? x->method : STR("-")),
                 STR_ARG(x->path.n ? str_sub(x->path, 0, 1024) : STR("-")), x->status,
                 (unsigned long long)x->sent_bytes, took_ms, x->was_cut ? " cut" : "");
    if (!b.failed) m->o.log(m->o.ctx, buf_str(&b));
    buf_release(&b);
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN struct mirror *mirror_open(const struct mirror_options *o, const struct cache *c,
                                   struct err *e) {
    struct mirror *m = mem_alloc(sizeof *m);
    if (!m) { err_oom(e, sizeof *m, "a mirror"); return NULL; }
    memset(m, 0, sizeof *m);
    m->o = *o;
    m->cache = *c;
    m->started_ns = os_now_ns();
    os_entropy(&m->id_base, sizeof m->id_base);
    os_mutex_init(&m->mutex);
    m->o.http.answer = mirror_answer;
    m->o.http.done = mirror_done;
    m->o.http.ctx = m;
    m->o.http.share_busy = true;
    m->o.guard.host = m->o.http.host;
    m->guard = serve_guard_open(&m->o.guard, e);
    m->server = m->guard ? httpd_open(&m->o.http, e) : NULL;
    if (!m->o.recheck_ms) m->o.recheck_ms = 60000;
    if (m->server && (!m->o.pull_through || mirror_upstream_open(m, e))) return m;
    mirror_close(m);
    return NULL;
}

MLXK_FN struct str mirror_url(struct arena *a, const struct mirror *m) {
    struct str host = m->o.http.host;
    char name[256];
    bool every = host.n == 0 || str_eq(host, STR("0.0.0.0")) || str_eq(host, STR("::"));
    if (every) {
        os_hostname(name, sizeof name);
        host = str_cstr(name);
    }
    bool six = str_find_char(host, ':') >= 0 && host.p[0] != '[';
    return str_format(a, "%s://%s" STR_FMT "%s:%d", m->o.http.cert_cstr ? "https" : "http",
                      six ? "[" : "", STR_ARG(host), six ? "]" : "", httpd_port(m->server));
}

MLXK_FN bool mirror_count(struct mirror *m, size_t *n_served, size_t *n_partial, struct err *e) {
    *n_served = *n_partial = 0;
    for (int type = 0; type < MIRROR_N_TYPES; type++) {
        struct arena a;
        struct str *repos;
        size_t n;
        arena_init(&a, (size_t)256 << 20);
        bool ok = mirror_repos(m, &a, (enum mirror_type)type, &repos, &n, e);
        for (size_t i = 0; ok && i < n; i++) {
            struct os_stat st;
            struct arena_mark mark = arena_mark(&a);
            char *dir_cstr = cache_repo_dir(&a, &m->cache, repos[i]);
            struct str commit = dir_cstr ? mirror_local_commit(&a, dir_cstr, STR("main"))
                                         : STR_EMPTY;
            struct str tree = commit.n ? str_format(&a, "%s/trees/" STR_FMT ".json", dir_cstr,
                                                    STR_ARG(commit))
                                       : STR_EMPTY;
            char *tree_cstr = commit.n ? str_dup_cstr(&a, tree) : NULL;
            bool whole = tree_cstr && os_stat(tree_cstr, &st) && st.kind == OS_FILE;
            if (commit.n) *(whole || m->o.partial ? n_served : n_partial) += 1;
            arena_rewind(&a, mark);
        }
        arena_release(&a);
        if (!ok) return false;
    }
    return true;
}

MLXK_FN bool mirror_run(struct mirror *m, struct err *e) {
    return httpd_run(m->server, e);
}

MLXK_FN void mirror_close(struct mirror *m) {
    if (!m) return;
    mirror_upstream_close(m);
    httpd_close(m->server);
    serve_guard_close(m->guard);
    for (int i = 0; i < MIRROR_LISTS; i++)
        if (m->lists[i]) mirror_list_give(m, m->lists[i]);
    mem_free(m);
}
