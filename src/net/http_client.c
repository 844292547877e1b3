/* http_client.c: requests over reused connections, redirects, proxies, bodies as streams.
 *
 *   http_send: connection (idle one or new, TLS, CONNECT) -> request -> head -> redirect? again
 *   http_read: raw bytes -> chunked -> gzip -> caller
 *   http_finish: whole body read and keep-alive -> idle pool, else closed
 *
 * Invariants
 *  1. A token goes only to the origin of the request's own URL; a redirect elsewhere leaves it behind for good.
 *  2. https is never left for http.
 *  3. An idle connection that turns out dead before a byte of the answer is replaced once, for requests without effect.
 *  4. A body that ends before its stated length is an error, never a short success.
 * thread: one client may serve several threads; the idle pool is guarded.
 */
#include "net/net_int.h"

enum {
    HTTP_CLIENT_IDLE = 8,                /* connections kept for reuse */
    HTTP_CLIENT_IN = 65536,              /* bytes read from a socket at a time */
    HTTP_CLIENT_DRAIN = 65536,           /* unread body that is cheaper to read than a new connection */
    HTTP_CLIENT_CONNECT_MS = 10000, HTTP_CLIENT_READ_MS = 30000,
};
#define HTTP_CLIENT_ARENA ((size_t)4 << 20)

struct http_conn {
    int fd;
    struct tls *tls;                     /* NULL = plain */
    char key[600];                       /* scheme, host, port, proxy: what it may be reused for */
    bool reused, to_proxy;               /* to_proxy: plain requests in absolute form */
    size_t in_pos, in_n;
    uint8_t in[HTTP_CLIENT_IN];
};

struct http_client {
    struct http_options options;
    struct tls_config *tls;              /* opened with the first https connection */
    struct os_mutex mutex;
    struct http_conn *idle[HTTP_CLIENT_IDLE];
    int64_t rate_start_ns;               /* when the current second of the rate limit began */
    uint64_t rate_bytes;
};

enum http_framing { HTTP_NO_BODY, HTTP_LENGTH, HTTP_CHUNKED, HTTP_UNTIL_CLOSE };
struct http_stream {
    struct http_client *client;
    struct http_conn *conn;
    enum http_framing framing;
    uint64_t left, total;
    struct http_chunks chunks;
    struct gzip *gzip;                   /* or NULL */
    bool gzip_done, keep_alive, done;
    size_t raw_pos, raw_n;               /* de-chunked bytes that gzip has not taken yet */
    uint8_t raw[HTTP_CLIENT_IN];
};

/* ---- the client (Public) -------------------------------------------------------------------------------- */

MLXK_FN struct http_client *http_open(const struct http_options *o, struct err *e) {
    struct http_client *c = mem_alloc(sizeof *c);
    if (!c) { err_oom(e, sizeof *c, "the HTTP client"); return NULL; }
    *c = (struct http_client){ .options = *o };
    if (c->options.connect_timeout_ms <= 0) c->options.connect_timeout_ms = HTTP_CLIENT_CONNECT_MS;
    if (c->options.read_timeout_ms <= 0) c->options.read_timeout_ms = HTTP_CLIENT_READ_MS;
    os_mutex_init(&c->mutex);
    return c;
}

static void http_client_drop(struct http_conn *conn) {
    if (!conn) return;
    tls_close(conn->tls);
    net_tcp_close(conn->fd);
    mem_free(conn);
}

MLXK_FN void http_close(struct http_client *c) {
    if (!c) return;
    for (int i = 0; i < HTTP_CLIENT_IDLE; i++) http_client_drop(c->idle[i]);
    tls_config_close(c->tls);
    mem_free(c);
}

/* ---- connections (Private) -------------------------------------------------------------------------------- */

static struct http_conn *http_client_take_idle(struct http_client *c, const char *key_cstr) {
    struct http_conn *found = NULL;
    os_mutex_lock(&c->mutex);
    for (int i = 0; i < HTTP_CLIENT_IDLE && !found; i++) {
        struct http_conn *conn = c->idle[i];
        if (!conn || strcmp(conn->key, key_cstr) != 0) continue;
        c->idle[i] = NULL;
        if (net_tcp_idle_ok(conn->fd) && !(conn->tls && tls_pending(conn->tls))) found = conn;
        else http_client_drop(conn);
    }
    os_mutex_unlock(&c->mutex);
    if (found) found->reused = true;
    return found;
}

static void http_client_give_back(struct http_client *c, struct http_conn *conn) {
    os_mutex_lock(&c->mutex);
    struct http_conn *out = conn;
    for (int i = 0; i < HTTP_CLIENT_IDLE && out; i++)
        if (!c->idle[i]) { c->idle[i] = conn; out = NULL; }
    os_mutex_unlock(&c->mutex);
    http_client_drop(out);
}

static bool http_client_fill(struct http_client *c, struct http_conn *conn, struct err *e) {
    if (conn->in_pos == conn->in_n) conn->in_pos = conn->in_n = 0;
    size_t n = 0;
    bool ok = conn->tls ? tls_read(conn->tls, conn->in + conn->in_n, sizeof conn->in - conn->in_n, c->options.read_timeout_ms, &n, e)
                        : net_tcp_read(conn->fd, conn->in + conn->in_n, sizeof conn->in - conn->in_n, c->options.read_timeout_ms, &n, e);
    conn->in_n += ok ? n : 0;
    return ok;
}

static bool http_client_write(struct http_client *c, struct http_conn *conn, struct str s, struct err *e) {
    while (s.n) {
        size_t n;
        bool ok = conn->tls ? tls_write(conn->tls, s.p, s.n, c->options.read_timeout_ms, &n, e)
                            : net_tcp_write(conn->fd, s.p, s.n, c->options.read_timeout_ms, &n, e);
        if (!ok) return false;
        s = str_sub(s, n, s.n);
    }
    return true;
}

/* Reads a message head; *eof is set when the connection ended before its first byte. */
static bool http_client_head(struct http_client *c, struct http_conn *conn, struct arena *a, struct http_head *out, bool *eof, struct err *e) {
    size_t n;
    *eof = false;
    for (;;) {
        struct str have = { (const char *)conn->in + conn->in_pos, conn->in_n - conn->in_pos };
        if ((n = http_head_length(have)) > 0) break;
        if (have.n >= NET_MAX_HEADER_BYTES || (conn->in_n == sizeof conn->in && conn->in_pos == 0))
            return err_set(e, ERR_LIMIT, "the server's answer has more than %d bytes of header", NET_MAX_HEADER_BYTES - 1);
        if (conn->in_pos && conn->in_n == sizeof conn->in) {
            memmove(conn->in, conn->in + conn->in_pos, have.n);
            conn->in_pos = 0;
            conn->in_n = have.n;
        }
        size_t before = conn->in_n;
        if (!http_client_fill(c, conn, e)) { *eof = have.n == 0 && e->code == ERR_NET; return false; }
        if (conn->in_n == before) {
            *eof = have.n == 0;
            return err_set(e, ERR_NET, "the server closed the connection without an answer");
        }
    }
    struct str text = { (const char *)conn->in + conn->in_pos, n };
    conn->in_pos += n;
    return http_head_parse(a, text, out, e);
}

/* Through an HTTP proxy to a TLS server (RFC 9110 section 9.3.6). */
static bool http_client_tunnel(struct http_client *c, struct http_conn *conn, const struct net_url *u, const struct net_proxy *proxy, struct err *e) {
    struct arena a;
    struct http_head head;
    bool eof;
    arena_init(&a, HTTP_CLIENT_ARENA);
    struct str host = str_find_char(u->host, ':') >= 0 ? str_format(&a, "[" STR_FMT "]:%d", STR_ARG(u->host), u->port)
                                                       : str_format(&a, STR_FMT ":%d", STR_ARG(u->host), u->port);
    struct str auth = proxy->auth.n ? str_format(&a, "Proxy-Authorization: " STR_FMT "\r\n", STR_ARG(proxy->auth)) : STR_EMPTY;
    struct str text = str_format(&a, "CONNECT " STR_FMT " HTTP/1.1\r\nHost: " STR_FMT "\r\nUser-Agent: %s\r\n" STR_FMT "\r\n", STR_ARG(host), STR_ARG(host),
                                 c->options.user_agent_cstr, STR_ARG(auth));
    bool ok = text.p && http_client_write(c, conn, text, e) && http_client_head(c, conn, &a, &head, &eof, e);
    if (ok && (head.status < 200 || head.status > 299)) {
        err_set(e, ERR_NET, "the proxy " STR_FMT " refused the way to " STR_FMT " with status %d", STR_ARG(proxy->url.authority), STR_ARG(host), head.status);
        ok = err_hint(e, head.status == 407 ? "put user:password into the proxy's address" : "check HTTPS_PROXY and NO_PROXY");
    }
    arena_release(&a);
    return ok;
}

static struct http_conn *http_client_connect(struct http_client *c, const struct net_url *u, const struct net_proxy *proxy, const char *key_cstr, struct err *e) {
    const struct net_url *first = proxy->url.host.n ? &proxy->url : u;
    struct http_conn *conn = mem_alloc(sizeof *conn);
    if (!conn) { err_oom(e, sizeof *conn, "a connection"); return NULL; }
    conn->tls = NULL;
    conn->reused = false;
    conn->to_proxy = proxy->url.host.n && !u->tls;
    conn->in_pos = conn->in_n = 0;
    memcpy(conn->key, key_cstr, strlen(key_cstr) + 1);
    bool ok = net_tcp_connect(first->host, first->port, c->options.connect_timeout_ms, &conn->fd, e);
    if (!ok) conn->fd = -1;
    if (ok && proxy->url.host.n && u->tls) ok = http_client_tunnel(c, conn, u, proxy, e);
    if (ok && u->tls) {
        os_mutex_lock(&c->mutex);
        if (!c->tls) c->tls = tls_config_open(c->options.ca_file_cstr, c->options.ca_dir_cstr, e);
        os_mutex_unlock(&c->mutex);
        ok = c->tls && (conn->tls = tls_connect(c->tls, conn->fd, u->host, c->options.connect_timeout_ms, e)) != NULL;
    }
    if (ok) return conn;
    err_context(e, STR_FMT ": ", STR_ARG(u->authority));
    http_client_drop(conn);
    return NULL;
}

/* ---- one request (Private) ------------------------------------------------------------------------------------- */

static void http_client_request(struct buf *b, const struct http_client *c, const struct http_request *r, const struct net_url *u,
                                const struct http_conn *conn, const struct net_proxy *proxy, bool with_token) {
    buf_addf(b, "%s ", r->method_cstr);
    if (conn->to_proxy) buf_addf(b, "http://" STR_FMT, STR_ARG(u->authority));
    buf_addf(b, STR_FMT " HTTP/1.1\r\nHost: " STR_FMT "\r\nUser-Agent: %s\r\nAccept: */*\r\nAccept-Encoding: %s\r\n", STR_ARG(u->target),
             STR_ARG(u->authority), c->options.user_agent_cstr, r->accept_gzip ? "gzip" : "identity");
    if (conn->to_proxy && proxy->auth.n) buf_addf(b, "Proxy-Authorization: " STR_FMT "\r\n", STR_ARG(proxy->auth));
    if (with_token) buf_addf(b, "Authorization: Bearer " STR_FMT "\r\n", STR_ARG(r->token));
    if (r->range_from) buf_addf(b, "Range: bytes=%llu-\r\n", (unsigned long long)r->range_from);
    for (size_t i = 0; i < r->n_headers; i++) buf_addf(b, STR_FMT ": " STR_FMT "\r\n", STR_ARG(r->headers[i].name), STR_ARG(r->headers[i].value));
    if (r->body.n || strcmp(r->method_cstr, "POST") == 0 || strcmp(r->method_cstr, "PUT") == 0) buf_addf(b, "Content-Length: %zu\r\n", r->body.n);
    buf_add(b, STR("\r\n"));
    buf_add(b, r->body);
}

static bool http_client_no_newlines(struct str s) {
    return str_find_char(s, '\r') < 0 && str_find_char(s, '\n') < 0 && str_find_char(s, 0) < 0;
}

static bool http_client_check(const struct http_request *r, struct err *e) {
    bool ok = http_client_no_newlines(r->token);
    for (size_t i = 0; i < r->n_headers; i++) ok = ok && http_client_no_newlines(r->headers[i].name) && http_client_no_newlines(r->headers[i].value);
    return ok || err_set(e, ERR_INVALID, "the token or a header holds a line break");
}

/* Sends over conn and reads the first final head (1xx are passed over). */
static bool http_client_exchange(struct http_client *c, struct http_conn *conn, struct str text, struct arena *a, struct http_head *head, bool *eof, struct err *e) {
    *eof = false;
    if (!http_client_write(c, conn, text, e)) { *eof = true; return false; }
    do {
        if (!http_client_head(c, conn, a, head, eof, e)) return false;
    } while (head->status >= 100 && head->status < 200 && head->status != 101);
    return true;
}

static bool http_client_once(struct http_client *c, const struct http_request *r, const struct net_url *u, bool with_token, struct arena *a,
                             struct http_conn **conn, struct http_head *head, struct err *e) {
    struct net_proxy proxy = { 0 };
    if (!c->options.no_proxy && !net_proxy_for(a, u, &proxy, e)) return false;
    struct str key = str_format(a, "%d " STR_FMT " %d " STR_FMT " %d " STR_FMT, u->tls, STR_ARG(u->host), u->port, STR_ARG(proxy.url.host), proxy.url.port, STR_ARG(proxy.auth));
    char *key_cstr = str_dup_cstr(a, str_sub(key, 0, sizeof (*conn)->key - 1));
    if (!key_cstr) return err_oom(e, key.n, "a connection");
    bool harmless = strcmp(r->method_cstr, "GET") == 0 || strcmp(r->method_cstr, "HEAD") == 0;
    struct buf text;
    buf_init(&text, (size_t)1 << 30);
    for (bool again = true; again;) {
        struct err first = { 0 };
        bool eof = false;
        again = false;
        *conn = http_client_take_idle(c, key_cstr);
        if (!*conn) *conn = http_client_connect(c, u, &proxy, key_cstr, e);
        if (!*conn) break;
        buf_reset(&text);
        http_client_request(&text, c, r, u, *conn, &proxy, with_token);
        if (buf_ok(&text, "the request", e) && http_client_exchange(c, *conn, buf_str(&text), a, head, &eof, &first)) break;
        again = (*conn)->reused && eof && harmless && first.code == ERR_NET;
        if (!again && first.code != ERR_OK && e->code == ERR_OK) *e = first;
        http_client_drop(*conn);
        *conn = NULL;
    }
    buf_release(&text);
    return *conn != NULL;
}

/* ---- the body (Private) ----------------------------------------------------------------------------------------- */

static bool http_client_length(const struct http_head *h, uint64_t *length, struct err *e) {
    *length = UINT64_MAX;
    for (size_t i = 0; i < h->n_headers; i++) {
        uint64_t x;
        if (!str_ieq(h->headers[i].name, STR("Content-Length"))) continue;
        if (!num_parse_u64(h->headers[i].value, UINT64_MAX - 1, &x) || (*length != UINT64_MAX && *length != x))
            return err_set(e, ERR_FORMAT, "the server's answer states no usable length");
        *length = x;
    }
    return true;
}

static bool http_client_framing(const struct http_request *r, const struct http_head *h, struct http_response *out, struct err *e) {
    struct http_stream *s = out->stream;
    struct str coding = http_head_find(h->headers, h->n_headers, "Transfer-Encoding"), encoding = http_head_find(h->headers, h->n_headers, "Content-Encoding");
    struct str connection = http_head_find(h->headers, h->n_headers, "Connection");
    uint64_t length;
    if (!http_client_length(h, &length, e)) return false;
    s->keep_alive = h->http_1_0 ? str_contains_icase(connection, STR("keep-alive")) : !str_contains_icase(connection, STR("close"));
    out->content_length = coding.p ? UINT64_MAX : length;
    if (strcmp(r->method_cstr, "HEAD") == 0 || h->status == 204 || h->status == 304) s->framing = HTTP_NO_BODY;
    else if (coding.p && !str_ieq(coding, STR("chunked"))) return err_set(e, ERR_UNSUPPORTED, "the server sends its answer as '" STR_FMT "'", STR_ARG(coding));
    else if (coding.p) s->framing = HTTP_CHUNKED;
    else s->framing = length == UINT64_MAX ? HTTP_UNTIL_CLOSE : HTTP_LENGTH;
    s->left = s->total = length;
    s->done = s->framing == HTTP_NO_BODY || (s->framing == HTTP_LENGTH && length == 0);
    if (s->framing == HTTP_UNTIL_CLOSE) s->keep_alive = false;
    if (!encoding.p || str_ieq(encoding, STR("identity")) || s->done) return true;
    if (!r->accept_gzip || !(str_ieq(encoding, STR("gzip")) || str_ieq(encoding, STR("x-gzip")) || str_ieq(encoding, STR("deflate"))))
        return err_set(e, ERR_FORMAT, "the server sends its answer encoded as '" STR_FMT "', which was not asked for", STR_ARG(encoding));
    out->content_length = UINT64_MAX;
    return (s->gzip = gzip_open(e)) != NULL;
}

/* Bytes of the body as framed, de-chunked: into p. *n_read 0 = the end. */
static bool http_client_raw(struct http_stream *s, uint8_t *p, size_t n, size_t *n_read, struct err *e) {
    struct http_conn *conn = s->conn;
    *n_read = 0;
    while (!s->done && *n_read == 0 && n) {
        if (conn->in_pos == conn->in_n && !http_client_fill(s->client, conn, e)) return false;
        size_t have = conn->in_n - conn->in_pos, used = 0;
        if (have == 0) {
            if (s->framing == HTTP_UNTIL_CLOSE) { s->done = true; return true; }
            if (s->framing == HTTP_CHUNKED) return err_set(e, ERR_NET, "the answer was cut before its last chunk");
            return err_set(e, ERR_NET, "the answer was cut after %llu of %llu bytes", (unsigned long long)(s->total - s->left), (unsigned long long)s->total);
        }
        if (s->framing == HTTP_CHUNKED) {
            if (!http_chunks_decode(&s->chunks, conn->in + conn->in_pos, have < n ? have : n, &used, p, n_read, e)) return false;
            s->done = s->chunks.done;
        } else {
            used = have < n ? have : n;
            if (s->framing == HTTP_LENGTH && used > s->left) used = (size_t)s->left;
            memcpy(p, conn->in + conn->in_pos, used);
            *n_read = used;
            s->left -= used;
            s->done = s->framing == HTTP_LENGTH && s->left == 0;
        }
        conn->in_pos += used;
    }
    return true;
}

static bool http_client_inflate(struct http_stream *s, uint8_t *p, size_t n, size_t *n_read, struct err *e) {
    *n_read = 0;
    while (*n_read == 0 && !s->gzip_done) {
        size_t used;
        if (s->raw_pos == s->raw_n) {
            s->raw_pos = 0;
            if (!http_client_raw(s, s->raw, sizeof s->raw, &s->raw_n, e)) return false;
            if (s->raw_n == 0) return err_set(e, ERR_NET, "the server's compressed answer was cut");
        }
        if (!gzip_inflate(s->gzip, s->raw + s->raw_pos, s->raw_n - s->raw_pos, &used, p, n, n_read, &s->gzip_done, e)) return false;
        s->raw_pos += used;
        if (used == 0 && *n_read == 0 && !s->gzip_done) return err_set(e, ERR_NET, "the server's compressed answer is damaged");
    }
    size_t rest = 1;
    uint8_t scrap[256];
    while (s->gzip_done && *n_read == 0 && rest && !s->done)    /* the framing's end, so that the connection can be reused */
        if (!http_client_raw(s, scrap, sizeof scrap, &rest, e)) return false;
    return true;
}

/* Sleeps when this second's bytes are used up. */
static void http_client_pace(struct http_client *c, size_t n) {
    if (!c->options.limit_bytes_per_s) return;
    os_mutex_lock(&c->mutex);
    int64_t now_ns = os_now_ns(), wait_ms = 0;
    if (now_ns - c->rate_start_ns > 1000000000) { c->rate_start_ns = now_ns; c->rate_bytes = 0; }
    c->rate_bytes += n;
    int64_t due_ns = (int64_t)((double)c->rate_bytes * 1e9 / (double)c->options.limit_bytes_per_s);
    wait_ms = (c->rate_start_ns + due_ns - now_ns) / 1000000;
    if (wait_ms > 0) { c->rate_start_ns += due_ns; c->rate_bytes = 0; }
    os_mutex_unlock(&c->mutex);
    if (wait_ms > 0) os_sleep_ms(wait_ms);
}

/* ---- responses (Public) --------------------------------------------------------------------------------------------- */

MLXK_FN bool http_read(struct http_response *r, void *p, size_t n, size_t *n_read, struct err *e) {
    struct http_stream *s = r->stream;
    bool ok = s->gzip ? http_client_inflate(s, p, n, n_read, e) : http_client_raw(s, p, n, n_read, e);
    if (ok) http_client_pace(s->client, *n_read);
    else s->keep_alive = false;
    return ok;
}

MLXK_FN bool http_read_all(struct http_response *r, struct buf *out, struct err *e) {
    for (size_t n = 1; n;) {
        if (!buf_reserve(out, 16384)) return buf_ok(out, "the server's answer", e);
        if (!http_read(r, out->p + out->n, 16384, &n, e)) return false;
        out->n += n;
        out->p[out->n] = 0;
    }
    return true;
}

MLXK_FN struct str http_header(const struct http_response *r, const char *name_cstr) {
    return http_head_find(r->headers, r->n_headers, name_cstr);
}

MLXK_FN void http_finish(struct http_response *r) {
    struct http_stream *s = r->stream;
    if (s) {
        struct err ignored = { 0 };
        uint8_t scrap[4096];
        size_t n = 1;
        bool small = s->framing == HTTP_LENGTH && s->left <= HTTP_CLIENT_DRAIN;
        while (s->keep_alive && !s->done && small && n)
            if (!http_client_raw(s, scrap, sizeof scrap, &n, &ignored)) s->keep_alive = false;
        gzip_close(s->gzip);
        if (s->conn && s->keep_alive && s->done) http_client_give_back(s->client, s->conn);
        else http_client_drop(s->conn);
        mem_free(s);
    }
    arena_release(&r->arena);
    r->stream = NULL;
}

static bool http_client_begin(struct http_client *c, const struct http_request *r, const struct net_url *u, bool with_token, struct http_response *out, struct err *e) {
    struct http_head head;
    struct http_stream *s = out->stream = mem_alloc(sizeof *s);
    if (!s) return err_oom(e, sizeof *s, "an answer");
    memset(s, 0, offsetof(struct http_stream, raw));
    s->client = c;
    if (!http_client_once(c, r, u, with_token, &out->arena, &s->conn, &head, e) || !http_client_framing(r, &head, out, e)) return false;
    out->status = head.status;
    out->headers = head.headers;
    out->n_headers = head.n_headers;
    out->url = *u;
    out->range_start = 0;
    out->range_total = UINT64_MAX;
    uint64_t end;
    struct str range = http_head_find(head.headers, head.n_headers, "Content-Range");
    if (head.status == 206 && !(range.p && http_content_range(range, &out->range_start, &end, &out->range_total)))
        return err_set(e, ERR_FORMAT, "the server answers with a part but does not say which");
    return true;
}

/* Where a redirect leads; false without an error in e when this is none to follow. */
static bool http_client_redirect(const struct http_request *r, const struct http_response *answer, struct arena *a, struct net_url *next, struct err *e) {
    struct str location = http_header(answer, "Location");
    bool kind = answer->status == 301 || answer->status == 302 || answer->status == 303 || answer->status == 307 || answer->status == 308;
    if (!r->follow || !kind || location.n == 0) return false;
    struct net_url to;
    if (!net_url_resolve(a, &answer->url, location, &to, e)) return false;
    if (answer->url.tls && !to.tls) return err_set(e, ERR_TLS, STR_FMT " redirects from https to http, which is refused", STR_ARG(answer->url.authority));
    *next = to;
    return true;
}

MLXK_FN bool http_send(struct http_client *c, const struct http_request *r, struct http_response *out, struct err *e) {
    struct arena kept;                   /* URLs that outlive the answers they came from */
    struct net_url origin, u;
    struct http_request request = *r;
    bool with_token = r->token.n > 0, ok = false;
    *out = (struct http_response){ 0 };
    arena_init(&kept, HTTP_CLIENT_ARENA);
    if (!http_client_check(r, e) || !net_url_parse(&kept, r->url, &origin, e)) goto done;
    u = origin;
    for (int hops = 0; ; hops++) {
        struct net_url next;
        bool crossed = out->crossed_origin || !net_url_same_origin(&origin, &u);
        *out = (struct http_response){ .crossed_origin = crossed };
        arena_init(&out->arena, HTTP_CLIENT_ARENA);
        if (crossed) with_token = false;
        if (!http_client_begin(c, &request, &u, with_token, out, e)) break;
        if (!http_client_redirect(&request, out, &kept, &next, e)) { ok = e->code == ERR_OK; break; }
        if (hops == NET_MAX_REDIRECTS) { err_set(e, ERR_HTTP, STR_FMT " redirects more than %d times", STR_ARG(origin.authority), NET_MAX_REDIRECTS); break; }
        if (out->status == 303) { request.method_cstr = "GET"; request.body = STR_EMPTY; }
        http_finish(out);
        u = next;
    }
    if (ok) {                            /* the URL must live as long as the answer */
        struct str text = net_url_text(&out->arena, &u);
        ok = text.p ? net_url_parse(&out->arena, text, &out->url, e) : err_oom(e, NET_MAX_URL, "an address");
    }
    if (!ok) http_finish(out);
done:
    arena_release(&kept);
    return ok;
}
