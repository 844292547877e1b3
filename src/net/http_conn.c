/* http_conn.c: connections of the HTTP client: made (directly or through a proxy, plain or TLS),
 * kept idle for reuse, read and written with a watch on their speed.
 *
 *   take:      idle one of the same key, still open --> reused
 *              else connect -> [TLS with the proxy] -> CONNECT
 *                   -> TLS with the server, inside the other
 *   give_back: answered to its end --> idle
 *   drop:      anything else --> closed
 *
 * Invariants
 *  1. A connection with bytes that nobody asked for is never reused.
 *  2. A peer that sends or takes too little in a window of waiting is given up, also when every
 *     single byte comes in time. Only waiting counts: a slow disk of ours does not look like a slow
 *     server.
 */
#include "net/net_int.h"

#include <stdio.h>

enum { HTTP_CONN_SLOW_TRIES = 3 };
#define HTTP_CONN_ARENA ((size_t)1 << 20)

MLXK_FN void http_conn_drop(struct http_conn *conn) {
    if (!conn) return;
    tls_close(conn->tls);
    tls_close(conn->outer);
    net_tcp_close(conn->fd);
    mem_free(conn);
}

/* ---- what carries TLS (Public) --------------------------------------------------------------- */

MLXK_FN bool tls_wire_read(const struct tls_wire *w, void *p, size_t n, int64_t timeout_ms,
                           size_t *n_done, struct err *e) {
    return w->outer ? tls_read(w->outer, p, n, timeout_ms, n_done, e)
                    : net_tcp_read(w->fd, p, n, timeout_ms, n_done, e);
}

MLXK_FN bool tls_wire_write(const struct tls_wire *w, const void *p, size_t n, int64_t timeout_ms,
                            size_t *n_done, struct err *e) {
    return w->outer ? tls_write(w->outer, p, n, timeout_ms, n_done, e)
                    : net_tcp_write(w->fd, p, n, timeout_ms, n_done, e);
}

/* ---- bytes (Public) -------------------------------------------------------------------------- */

static bool http_conn_fast_enough(struct http_client *c, struct http_conn *conn,
                                  const char *verb_cstr, struct err *e) {
    const struct http_options *o = &c->options;
    if (conn->waited_ns < o->slow_window_ms * 1000000) return true;
    double seconds = (double)conn->waited_ns / 1e9;
    uint64_t came = conn->waited_bytes;
    conn->waited_ns = 0;
    conn->waited_bytes = 0;
    if ((double)came >= seconds * (double)o->slow_bytes_per_s) return true;
    err_set(e, ERR_NET_TIMEOUT, "only %llu bytes %s in %.1f seconds", (unsigned long long)came,
            verb_cstr, seconds);
    e->tries = HTTP_CONN_SLOW_TRIES;
    return err_hint(
        e, "for a line that is slow but works, set MLXK_MIN_SPEED to fewer bytes per second");
}

/* Where requests go: innermost first; before a tunnel stands, to the proxy. */
static struct tls_wire http_conn_wire(const struct http_conn *conn) {
    return (struct tls_wire){ conn->fd, conn->tls ? conn->tls : conn->outer };
}

MLXK_FN bool http_conn_read(struct http_client *c, struct http_conn *conn, void *p, size_t n,
                            size_t *n_read, struct err *e) {
    int64_t wait_ms = c->options.read_timeout_ms, before_ns = os_now_ns();
    if (!conn->thinking) wait_ms >>= conn->hurry;
    *n_read = 0;
    struct tls_wire wire = http_conn_wire(conn);
    bool ok = tls_wire_read(&wire, p, n, wait_ms, n_read, e);
    if (!conn->thinking) conn->waited_ns += os_now_ns() - before_ns;
    conn->thinking = false;
    conn->waited_bytes += *n_read;
    return ok && http_conn_fast_enough(c, conn, "came", e);
}

MLXK_FN bool http_conn_fill(struct http_client *c, struct http_conn *conn, struct err *e) {
    if (conn->in_pos == conn->in_n) conn->in_pos = conn->in_n = 0;
    size_t n;
    bool ok = http_conn_read(c, conn, conn->in + conn->in_n, sizeof conn->in - conn->in_n, &n, e);
    conn->in_n += n;
    return ok;
}

MLXK_FN bool http_conn_write(struct http_client *c, struct http_conn *conn, struct str s,
                             struct err *e) {
    while (s.n) {
        size_t n = 0;
        int64_t wait_ms = c->options.read_timeout_ms, before_ns = os_now_ns();
        struct tls_wire wire = http_conn_wire(conn);
        bool ok = tls_wire_write(&wire, s.p, s.n, wait_ms, &n, e);
        conn->waited_ns += os_now_ns() - before_ns;
        conn->waited_bytes += n;
        if (!ok || !http_conn_fast_enough(c, conn, "were taken", e)) return false;
        s = str_sub(s, n, s.n);
    }
    return true;
}

/* As far as the system sends files: *at is where the rest begins. */
static bool http_conn_write_file(struct http_client *c, struct http_conn *conn,
                                 const struct http_request *r, uint64_t *at, struct err *e) {
    const struct http_file *f = r->body_file;
    while (*at < r->body_bytes) {
        struct err why = { 0 };
        uint64_t left = r->body_bytes - *at;
        size_t n = 0, want = left < HTTP_CONN_FILE ? (size_t)left : HTTP_CONN_FILE;
        int64_t before_ns = os_now_ns();
        if (!net_tcp_send_file(conn->fd, f->fd, f->offset_bytes + *at, want,
                               c->options.read_timeout_ms, &n, &why)) {
            if (why.code == ERR_UNSUPPORTED) return true;
            *e = why;
            return false;
        }
        conn->waited_ns += os_now_ns() - before_ns;
        conn->waited_bytes += n;
        if (!n) return err_set(e, ERR_INTEGRITY, "the file became shorter while it was sent");
        if (!http_conn_fast_enough(c, conn, "were taken", e)
            || !f->went(r->body_ctx, *at, n, e))
            return false;
        *at += n;
    }
    return true;
}

MLXK_FN bool http_conn_write_body(struct http_client *c, struct http_conn *conn,
                                  const struct http_request *r, struct err *e) {
    uint8_t piece[HTTP_CONN_OUT];
    uint64_t at = 0;
    bool plain = r->body_file && !conn->tls && !conn->outer;
    if (plain && !http_conn_write_file(c, conn, r, &at, e)) return false;
    while (at < r->body_bytes) {
        uint64_t left = r->body_bytes - at;
        size_t n = left < sizeof piece ? (size_t)left : sizeof piece;
        if (!r->read_body(r->body_ctx, at, piece, n, e)
            || !http_conn_write(c, conn, (struct str){ (const char *)piece, n }, e))
            return false;
        at += n;
    }
    return true;
}

MLXK_FN bool http_conn_head(struct http_client *c, struct http_conn *conn, struct arena *a,
                            struct http_head *out, bool *eof, struct err *e) {
    size_t n;
    *eof = false;
    conn->thinking = true;
    for (;;) {
        struct str have = { (const char *)conn->in + conn->in_pos, conn->in_n - conn->in_pos };
        if ((n = http_head_length(have)) > 0) break;
        if (have.n >= NET_MAX_HEADER_BYTES)
            return err_set(e, ERR_LIMIT, "the server's answer has more than %d bytes of header",
                           NET_MAX_HEADER_BYTES - 1);
        if (conn->in_pos && have.n) memmove(conn->in, have.p, have.n);
        conn->in_pos = 0;
        conn->in_n = have.n;
        if (!http_conn_fill(c, conn, e)) {
            *eof = have.n == 0 && e->code == ERR_NET;
            return false;
        }
        if (conn->in_n == have.n) {
            *eof = have.n == 0;
            return err_set(e, ERR_NET, "the server closed the connection without an answer");
        }
    }
    struct str text = { (const char *)conn->in + conn->in_pos, n };
    conn->in_pos += n;
    return http_head_parse(a, text, out, e);
}

/* ---- making one (Private) -------------------------------------------------------------------- */

/* Through a proxy to a TLS server (RFC 9110 section 9.3.6). */
static bool http_conn_tunnel(struct http_client *c, struct http_conn *conn, const struct net_url *u,
                             const struct net_proxy *proxy, struct err *e) {
    struct arena a;
    struct http_head head;
    struct buf text;
    bool eof, v6 = str_find_char(u->host, ':') >= 0;
    arena_init(&a, HTTP_CONN_ARENA);
    buf_init(&text, HTTP_CONN_ARENA);
    struct str to = str_format(&a, "%s" STR_FMT "%s:%d", v6 ? "[" : "", STR_ARG(u->host),
                               v6 ? "]" : "", u->port);
    buf_addf(&text, "CONNECT " STR_FMT " HTTP/1.1\r\nHost: " STR_FMT "\r\nUser-Agent: %s\r\n",
             STR_ARG(to), STR_ARG(to), c->options.user_agent_cstr);
    if (proxy->auth.n)
        buf_addf(&text, "Proxy-Authorization: " STR_FMT "\r\n", STR_ARG(proxy->auth));
    buf_add(&text, STR("\r\n"));
    bool ok = buf_ok(&text, "a request to the proxy", e)
              && http_conn_write(c, conn, buf_str(&text), e)
              && http_conn_head(c, conn, &a, &head, &eof, e);
    if (ok && (head.status < 200 || head.status > 299)) {
        ok = err_set(e, head.status == 407 ? ERR_ACCESS : ERR_NET,
                     "the proxy " STR_FMT " refused the way to " STR_FMT " with status %d",
                     STR_ARG(proxy->url.authority), STR_ARG(to), head.status);
        err_hint(e, head.status == 407 ? "put user:password@ in front of the proxy's host name"
                                       : "check HTTPS_PROXY and NO_PROXY");
    }
    if (ok && conn->in_pos != conn->in_n)
        ok = err_set(e, ERR_FORMAT, "the proxy speaks before the server does");
    buf_release(&text);
    arena_release(&a);
    return ok;
}

static const char *http_conn_setting(const char *name_cstr) {
    const char *v = os_env(name_cstr);
    return v && v[0] ? v : NULL;
}

/* What the environment says instead of the embedded roots. REQUESTS_CA_BUNDLE may be a folder. */
static void http_conn_trust_from(struct net_trust *out) {
    static const struct { const char *file_cstr, *dir_cstr;
    } names[] = {
        { "SSL_CERT_FILE", "SSL_CERT_DIR" },
        { "REQUESTS_CA_BUNDLE", NULL },
        { "CURL_CA_BUNDLE", NULL },
    };
    struct os_stat st;
    *out = (struct net_trust){ .from_cstr = "built in" };
    for (size_t i = 0; i < MLXK_COUNT(names) && !out->file_cstr && !out->dir_cstr; i++) {
        out->file_cstr = http_conn_setting(names[i].file_cstr);
        out->dir_cstr = names[i].dir_cstr ? http_conn_setting(names[i].dir_cstr) : NULL;
        if (out->file_cstr || out->dir_cstr)
            out->from_cstr = out->file_cstr ? names[i].file_cstr : names[i].dir_cstr;
    }
    if (!out->file_cstr && !out->dir_cstr && (out->file_cstr = net_roots_system()) != NULL)
        out->from_cstr = "system";
    if (out->file_cstr && !out->dir_cstr && os_stat(out->file_cstr, &st) && st.kind == OS_DIR) {
        out->dir_cstr = out->file_cstr;
        out->file_cstr = NULL;
    }
}

static void http_conn_count_pem(void *ctx, struct str pem) {
    size_t *n = ctx;
    struct str mark = STR("-----BEGIN CERTIFICATE-----");
    for (ptrdiff_t at; (at = str_find(pem, mark)) >= 0;) {
        ++*n;
        pem = str_sub(pem, (size_t)at + mark.n, pem.n);
    }
}

MLXK_FN bool net_trust_read(struct net_trust *out, struct err *e) {
    size_t size_bytes;
    http_conn_trust_from(out);
    if (out->file_cstr || out->dir_cstr)
        return net_roots_each(out->file_cstr, out->dir_cstr, http_conn_count_pem, &out->n, e);
    while (net_root_at(out->n, &size_bytes)) out->n++;
    return true;
}

/* With the first https connection: where trust comes from. */
static bool http_conn_trust(struct http_client *c, struct err *e) {
    struct net_trust t = { .file_cstr = c->options.ca_file_cstr,
                           .dir_cstr = c->options.ca_dir_cstr };
    if (!t.file_cstr && !t.dir_cstr) http_conn_trust_from(&t);
    c->tls = tls_config_open(t.file_cstr, t.dir_cstr, e);
    if (c->tls && c->options.insecure) tls_config_trust_all(c->tls);
    return c->tls != NULL;
}

/* With u's host, over the socket or through conn->outer. NULL = failed. */
static struct tls *http_conn_start_tls(struct http_client *c, const struct http_conn *conn,
                                       const struct net_url *u, struct err *e) {
    struct tls_wire wire = { conn->fd, conn->outer };
    os_mutex_lock(&c->mutex);
    bool ok = c->tls || http_conn_trust(c, e);
    os_mutex_unlock(&c->mutex);
    struct str name = u->host;           /* without the dot that says: look it up as it is */
    if (str_ends(name, STR("."))) name.n--;
    return ok ? tls_connect(c->tls, &wire, name, c->options.connect_timeout_ms, e) : NULL;
}

/* TLS with the proxy, where it wants that, and the way through it. */
static bool http_conn_via(struct http_client *c, struct http_conn *conn, const struct net_url *u,
                          const struct net_proxy *proxy, struct err *e) {
    struct tls *t = proxy->url.tls ? http_conn_start_tls(c, conn, &proxy->url, e) : NULL;
    if (proxy->url.tls && !t) return err_context(e, "the proxy: ");
    if (u->tls) conn->outer = t;
    else conn->tls = t;                          /* it is asked for the answer itself */
    return !u->tls || http_conn_tunnel(c, conn, u, proxy, e);
}

static struct http_conn *http_conn_connect(struct http_client *c, const struct net_url *u,
                                           const struct net_proxy *proxy, bool outside,
                                           const char *key_cstr, struct err *e) {
    bool proxied = proxy->url.host.n > 0;
    const struct net_url *first = proxied ? &proxy->url : u;
    struct http_conn *conn = mem_alloc(sizeof *conn);
    if (!conn) { err_oom(e, sizeof *conn, "a connection"); return NULL; }
    memset(conn, 0, offsetof(struct http_conn, in));
    conn->fd = -1;
    conn->to_proxy = proxied && !u->tls;
    memcpy(conn->key, key_cstr, strlen(key_cstr) + 1);
    bool ok = net_tcp_connect(first->host, first->port, c->options.connect_timeout_ms,
                              outside && !proxied, &conn->fd, e);
    if (!ok) conn->fd = -1;
    if (!ok && proxied && e->code != ERR_INTERRUPTED) err_context(e, "the proxy: ");
    conn->inside = ok && !proxied && net_tcp_is_inside(conn->fd);
    ok = ok && (!proxied || http_conn_via(c, conn, u, proxy, e));
    if (ok && u->tls) ok = (conn->tls = http_conn_start_tls(c, conn, u, e)) != NULL;
    if (ok) return conn;
    http_conn_drop(conn);
    return NULL;
}

/* ---- the pool (Public) ----------------------------------------------------------------------- */

static struct http_conn *http_conn_idle(struct http_client *c, const char *key_cstr) {
    struct http_conn *found = NULL;
    os_mutex_lock(&c->mutex);
    for (int i = 0; i < HTTP_CONN_IDLE && !found; i++) {
        struct http_conn *conn = c->idle[i];
        if (!conn || strcmp(conn->key, key_cstr) != 0) continue;
        c->idle[i] = NULL;
        bool more =
            (conn->tls && tls_pending(conn->tls)) || (conn->outer && tls_pending(conn->outer));
        if (net_tcp_idle_ok(conn->fd) && !more) found = conn;
        else http_conn_drop(conn);
    }
    os_mutex_unlock(&c->mutex);
    return found;
}

MLXK_FN struct http_conn *http_conn_take(struct http_client *c, const struct net_url *u,
                                         const struct net_proxy *proxy, bool outside,
                                         struct err *e) {
    char key[sizeof ((struct http_conn *)0)->key];
    int n = snprintf(key, sizeof key, "%d " STR_FMT " %d %d " STR_FMT " %d", u->tls,
                     STR_ARG(u->host), u->port, proxy->url.tls, STR_ARG(proxy->url.host),
                     proxy->url.port);
    MLXK_ASSERT(n > 0 && (size_t)n < sizeof key);        /* two host names of 255 and ports fit */
    struct http_conn *conn = http_conn_idle(c, key);
    if (conn && outside && conn->inside) {       /* made by a request that may go there */
        http_conn_drop(conn);
        conn = NULL;
    }
    if (!conn) return http_conn_connect(c, u, proxy, outside, key, e);
    conn->reused = true;
    conn->waited_ns = 0;
    conn->waited_bytes = 0;
    return conn;
}

MLXK_FN void http_conn_give_back(struct http_client *c, struct http_conn *conn) {
    bool clean = conn->in_pos == conn->in_n && !conn->unsent;
    os_mutex_lock(&c->mutex);
    for (int i = 0; i < HTTP_CONN_IDLE && clean && conn; i++)
        if (!c->idle[i]) { c->idle[i] = conn; conn = NULL; }
    os_mutex_unlock(&c->mutex);
    http_conn_drop(conn);
}

#undef HTTP_CONN_ARENA
