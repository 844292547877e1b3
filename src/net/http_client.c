/* http_client.c: requests, redirects, and what may be asked twice.
 *
 *   http_send: connection -> request -> head -> redirect? again : the body begins
 *   http_read, http_finish: http_body.c
 *
 * Invariants
 *  1. A token goes only to the origin of the request's own URL; a redirect elsewhere leaves it
 *     behind for good, also when a later one leads back.
 *  2. https is never left for http.
 *  3. An idle connection that turns out dead before a byte of the answer is replaced, for requests
 *     without effect.
 * thread: one client may serve several threads; what they share is guarded.
 */
#include "net/net_int.h"

enum {
    HTTP_CLIENT_CONNECT_MS = 10000, HTTP_CLIENT_READ_MS = 10000,
    HTTP_CLIENT_SLOW_MS = 10000, HTTP_CLIENT_SLOW_BYTES = 4096,
    HTTP_CLIENT_INTERIM = 16,            /* answers 1xx in front of the final one */
};
#define HTTP_CLIENT_ARENA ((size_t)4 << 20)

/* ---- the client (Public) --------------------------------------------------------------------- */

/* What a person says of slow lines; the window is for tests. */
static void http_client_pace(struct http_options *o) {
    const char *window_cstr = os_env("MLXK_SLOW_WINDOW_MS"), *speed_cstr = os_env("MLXK_MIN_SPEED");
    uint64_t speed;
    if (o->slow_window_ms <= 0
        && !(window_cstr && num_parse_i64(str_cstr(window_cstr), 1, INT32_MAX, &o->slow_window_ms)))
        o->slow_window_ms = HTTP_CLIENT_SLOW_MS;
    if (o->slow_bytes_per_s) return;
    bool said = speed_cstr && num_parse_size(str_cstr(speed_cstr), &speed);
    o->slow_bytes_per_s = !said ? HTTP_CLIENT_SLOW_BYTES : speed ? speed : 1;
}

MLXK_FN struct http_client *http_open(const struct http_options *o, struct err *e) {
    struct http_client *c = mem_alloc(sizeof *c);
    if (!c) { err_oom(e, sizeof *c, "the HTTP client"); return NULL; }
    *c = (struct http_client){ .options = *o };
    if (!c->options.user_agent_cstr) c->options.user_agent_cstr = "mlxk";
    if (c->options.connect_timeout_ms <= 0) c->options.connect_timeout_ms = HTTP_CLIENT_CONNECT_MS;
    if (c->options.read_timeout_ms <= 0) c->options.read_timeout_ms = HTTP_CLIENT_READ_MS;
    http_client_pace(&c->options);
    os_mutex_init(&c->mutex);
    return c;
}

MLXK_FN void http_close(struct http_client *c) {
    if (!c) return;
    for (int i = 0; i < HTTP_CONN_IDLE; i++) http_conn_drop(c->idle[i]);
    tls_config_close(c->tls);
    mem_free(c);
}

MLXK_FN struct str http_header(const struct http_response *r, const char *name_cstr) {
    return http_head_find(r->headers, r->n_headers, name_cstr);
}

/* ---- one request (Private) ------------------------------------------------------------------- */

static void http_client_text(struct buf *b, const struct http_client *c,
                             const struct http_request *r, const struct net_url *u,
                             const struct http_conn *conn, const struct net_proxy *proxy,
                             bool with_token) {
    uint64_t body_bytes = r->read_body ? r->body_bytes : r->body.n;
    bool has_body = body_bytes || strcmp(r->method_cstr, "POST") == 0
                    || strcmp(r->method_cstr, "PUT") == 0 || strcmp(r->method_cstr, "PATCH") == 0;
    struct str origin = conn->to_proxy ? u->authority : STR_EMPTY;
    buf_addf(b, "%s %s" STR_FMT STR_FMT " HTTP/1.1\r\nHost: " STR_FMT "\r\nUser-Agent: %s\r\n"
             "%sAccept-Encoding: %s\r\n", r->method_cstr, origin.n ? "http://" : "",
             STR_ARG(origin), STR_ARG(u->target), STR_ARG(u->authority),
             c->options.user_agent_cstr,
             http_head_find(r->headers, r->n_headers, "Accept").p ? "" : "Accept: */*\r\n",
             r->accept_gzip ? "gzip" : "identity");
    if (conn->to_proxy && proxy->auth.n)
        buf_addf(b, "Proxy-Authorization: " STR_FMT "\r\n", STR_ARG(proxy->auth));
    if (with_token)
        buf_addf(b, "Authorization: %s" STR_FMT "\r\n", r->auth.n ? "" : "Bearer ",
                 STR_ARG(r->auth.n ? r->auth : r->token));
    if (r->range_to)
        buf_addf(b, "Range: bytes=%llu-%llu\r\n", (unsigned long long)r->range_from,
                 (unsigned long long)r->range_to - 1);
    else if (r->range_from)
        buf_addf(b, "Range: bytes=%llu-\r\n", (unsigned long long)r->range_from);
    for (size_t i = 0; i < r->n_headers; i++)
        buf_addf(b, STR_FMT ": " STR_FMT "\r\n", STR_ARG(r->headers[i].name),
                 STR_ARG(r->headers[i].value));
    if (has_body) buf_addf(b, "Content-Length: %llu\r\n", (unsigned long long)body_bytes);
    buf_add(b, STR("\r\n"));
    if (!r->read_body) buf_add(b, r->body);
}

static bool http_client_no_newlines(struct str s) {
    return str_find_char(s, '\r') < 0 && str_find_char(s, '\n') < 0 && str_find_char(s, 0) < 0;
}

static bool http_client_check(const struct http_request *r, struct err *e) {
    bool ok = http_client_no_newlines(r->token) && http_client_no_newlines(r->auth);
    for (size_t i = 0; i < r->n_headers; i++)
        ok = ok && http_client_no_newlines(r->headers[i].name)
             && http_client_no_newlines(r->headers[i].value);
    return ok || err_set(e, ERR_INVALID, "the token or a header holds a line break");
}

/* Sends over conn. A server that refuses may answer, and close, before it has taken the whole body:
 * then the answer is worth more than the failure to send. */
static bool http_client_put(struct http_client *c, struct http_conn *conn,
                            const struct http_request *r, struct str text, bool *eof,
                            struct err *e) {
    struct err broken = { 0 }, silent = { 0 };
    *eof = !http_conn_write(c, conn, text, e);
    if (*eof || !r->read_body) return !*eof;
    if (http_conn_write_body(c, conn, r, &broken)) return true;
    conn->unsent = true;
    if (broken.code == ERR_NET && http_conn_fill(c, conn, &silent) && conn->in_n > conn->in_pos)
        return true;
    *e = broken;
    return false;
}

/* Sends and reads the first final head (1xx are passed over). */
static bool http_client_exchange(struct http_client *c, struct http_conn *conn,
                                 const struct http_request *r, struct str text, struct arena *a,
                                 struct http_head *head, bool *eof, struct err *e) {
    if (!http_client_put(c, conn, r, text, eof, e)) return false;
    for (int i = 0; i <= HTTP_CLIENT_INTERIM; i++) {
        if (!http_conn_head(c, conn, a, head, eof, e)) return false;
        if (head->status >= 200 || head->status == 101) return true;
    }
    return err_set(e, ERR_FORMAT, "the server sends interim answers without end");
}

static bool http_client_once(struct http_client *c, const struct http_request *r,
                             const struct net_url *u, bool with_token, struct http_response *out,
                             struct http_head *head, struct err *e) {
    struct net_proxy proxy = { 0 };
    if (!c->options.no_proxy && !net_proxy_for(&out->arena, u, &proxy, e)) return false;
    if (!http_heed_wait(c, u, e)) return false;
    bool harmless = strcmp(r->method_cstr, "GET") == 0 || strcmp(r->method_cstr, "HEAD") == 0;
    struct buf text;
    buf_init(&text, (size_t)1 << 30);
    for (;;) {
        struct err first = { 0 };
        bool eof = false;
        struct http_conn *conn = http_conn_take(c, u, &proxy, r->outside, e);
        if (!conn) break;
        conn->hurry = r->hurry;
        buf_reset(&text);
        http_client_text(&text, c, r, u, conn, &proxy, with_token);
        bool ok = buf_ok(&text, "the request", &first)
            && http_client_exchange(c, conn, r, buf_str(&text), &out->arena, head, &eof, &first);
        out->inside = conn->inside;
        if (ok) { http_body_set_conn(out->stream, conn); break; }
        bool again = conn->reused && eof && harmless && first.code == ERR_NET;
        http_conn_drop(conn);
        if (!again) { *e = first; break; }
    }
    buf_release(&text);
    return e->code == ERR_OK;
}

static bool http_client_begin(struct http_client *c, const struct http_request *r,
                              const struct net_url *u, bool with_token, struct http_response *out,
                              struct err *e) {
    struct http_head head;
    out->stream = http_body_open(c);
    if (!out->stream) return err_oom(e, 20000, "an answer");
    if (!http_client_once(c, r, u, with_token, out, &head, e) || !http_body_begin(r, &head, out, e))
        return err_context(e, STR_FMT ": ", STR_ARG(u->authority));
    out->status = head.status;
    out->headers = head.headers;
    out->n_headers = head.n_headers;
    out->url = *u;
    http_heed(c, out);
    out->range_total = UINT64_MAX;
    uint64_t end;
    struct str range = http_head_find(head.headers, head.n_headers, "Content-Range");
    if (head.status == 206
        && !(range.p && http_content_range(range, &out->range_start, &end, &out->range_total)))
        return err_set(e, ERR_FORMAT, STR_FMT " answers with a part but does not say which",
                       STR_ARG(u->authority));
    return true;
}

/* ---- redirects (Public) ---------------------------------------------------------------------- */

static bool http_client_is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Where a redirect leads; false without an error in e when this is none to follow. */
static bool http_client_redirect(const struct http_request *r, const struct http_response *answer,
                                 struct arena *a, struct net_url *next, struct err *e) {
    struct str location = http_header(answer, "Location");
    struct net_url to;
    if (!r->follow || !http_client_is_redirect(answer->status) || location.n == 0) return false;
    if (!net_url_resolve(a, &answer->url, location, &to, e))
        return err_context(e, STR_FMT " redirects: ", STR_ARG(answer->url.authority));
    if (answer->url.tls && !to.tls)
        return err_set(e, ERR_TLS, STR_FMT " redirects from https to http, which is refused",
                       STR_ARG(answer->url.authority));
    if (r->on_redirect && !r->on_redirect(r->ctx, answer, e)) return false;
    *next = to;
    return !r->stay || net_url_same_origin(&answer->url, &to);
}

/* All hops. u and what it borrows live in kept. */
static bool http_client_follow(struct http_client *c, struct http_request *r,
                               const struct net_url *origin, struct net_url *u, struct arena *kept,
                               struct http_response *out, struct err *e) {
    bool crossed = false;
    for (int hops = 0; ; hops++) {
        struct net_url next;
        crossed = crossed || !net_url_same_origin(origin, u);
        *out = (struct http_response){ .crossed_origin = crossed };
        arena_init(&out->arena, HTTP_CLIENT_ARENA);
        if (!http_client_begin(c, r, u, (r->token.n || r->auth.n) && !crossed, out, e))
            return false;
        if (!http_client_redirect(r, out, kept, &next, e)) return e->code == ERR_OK;
        if (hops == NET_MAX_REDIRECTS)
            return err_set(e, ERR_HTTP, STR_FMT " redirects more than %d times",
                           STR_ARG(origin->authority), NET_MAX_REDIRECTS);
        if (out->status == 303 && strcmp(r->method_cstr, "HEAD") != 0) {
            r->method_cstr = "GET";
            r->body = STR_EMPTY;
            r->read_body = NULL;
        }
        http_finish(out);
        *u = next;
    }
}

MLXK_FN bool http_send(struct http_client *c, const struct http_request *r,
                       struct http_response *out, struct err *e) {
    struct arena kept;                   /* URLs that outlive the answers they came from */
    struct net_url origin, u;
    struct http_request request = *r;
    *out = (struct http_response){ 0 };
    arena_init(&kept, HTTP_CLIENT_ARENA);
    bool ok = http_client_check(r, e) && net_url_parse(&kept, r->url, &origin, e);
    if (ok) {
        u = origin;
        ok = http_client_follow(c, &request, &origin, &u, &kept, out, e);
    }
    out->kept = kept;
    if (!ok) http_finish(out);
    return ok;
}

#undef HTTP_CLIENT_ARENA
