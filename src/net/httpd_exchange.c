/* httpd_exchange.c: one request and its answer.
 *
 * Invariants
 *  1. An answer is whole or visibly cut: a body that is shorter than announced, or a chunked one
 *     without its end, closes the connection.
 *  2. A connection is used again only when the request's body has been read to its end, so its rest
 *     can never be taken for the next request.
 *  3. No line of an answer's head holds a control character, whatever its values come from.
 * ref: RFC 9110 sections 6-10, RFC 9112 sections 6, 7, 9.
 */
#include "net/net_int.h"

#include <stdio.h>

#define HTTPD_EXCHANGE_ARENA ((size_t)256 << 20)
enum {
    HTTPD_EXCHANGE_FIELDS = 32768,       /* header lines of an answer */
    HTTPD_EXCHANGE_DRAIN = 65536,        /* rest of a request's body that is read for the sake of
                                          * the connection; more closes it */
};

/* ---- the request (Public) -------------------------------------------------------------------- */

MLXK_FN struct str httpd_header(const struct httpd_exchange *x, const char *name_cstr) {
    return http_head_find(x->headers, x->n_headers, name_cstr);
}

static bool httpd_exchange_continue(struct httpd_exchange *x, struct err *e) {
    if (!x->expects) return true;
    x->expects = false;
    return httpd_conn_write(x->conn, STR("HTTP/1.1 100 Continue\r\n\r\n"), &x->pace_out, e);
}

static bool httpd_exchange_ended(struct err *e) {
    return err_set(e, ERR_NET, "the connection ended in the middle of a request");
}

static bool httpd_exchange_chunk(struct httpd_exchange *x, void *p, size_t n, size_t *n_read,
                                 struct err *e) {
    struct httpd_conn *c = x->conn;
    struct err bad = { 0 };
    *n_read = 0;
    while (!x->chunks->done && *n_read == 0) {
        uint8_t raw[4096];
        size_t got, used, want = n < sizeof raw ? n : sizeof raw;
        if (!httpd_conn_read(c, raw, want, &x->pace_in, &got, e)) return false;
        if (got == 0) return httpd_exchange_ended(e);
        if (!http_chunks_decode(x->chunks, raw, got, &used, p, n_read, &bad))
            return err_set(e, ERR_FORMAT, "the chunks of the body are malformed");
        if (used == got) continue;       /* the next request has begun behind this body */
        size_t rest = got - used;
        if (c->in_n + rest > c->in_cap) {
            uint8_t *grown = mem_realloc(c->in, c->in_n + rest);
            if (!grown) return err_oom(e, c->in_n + rest, "a request");
            c->in = grown;
            c->in_cap = c->in_n + rest;
        }
        memmove(c->in + rest, c->in, c->in_n);
        memcpy(c->in, raw + used, rest);
        c->in_n += rest;
    }
    return true;
}

MLXK_FN bool httpd_read(struct httpd_exchange *x, void *p, size_t n, size_t *n_read,
                        struct err *e) {
    *n_read = 0;
    if (n == 0 || (!x->chunks && x->in_left == 0)) return true;
    if (!httpd_exchange_continue(x, e)) return false;
    if (x->chunks) return httpd_exchange_chunk(x, p, n, n_read, e);
    size_t want = n < x->in_left ? n : (size_t)x->in_left;
    if (!httpd_conn_read(x->conn, p, want, &x->pace_in, n_read, e)) return false;
    if (*n_read == 0) return httpd_exchange_ended(e);
    x->in_left -= *n_read;
    return true;
}

MLXK_FN bool httpd_read_all(struct httpd_exchange *x, struct buf *out, struct err *e) {
    char piece[8192];
    size_t n;
    if (!x->chunks && x->in_left > out->max)
        return err_set(e, ERR_LIMIT, "the body of the request has more than %zu bytes", out->max);
    do {
        if (!httpd_read(x, piece, sizeof piece, &n, e)) return false;
        buf_add_bytes(out, piece, n);
        if (!buf_ok(out, "the body of the request", e)) return false;
    } while (n);
    return true;
}

MLXK_FN enum httpd_range httpd_range(const struct httpd_exchange *x, struct str etag,
                                     uint64_t total, uint64_t *from, uint64_t *to) {
    struct str value = httpd_header(x, "Range"), only_if = httpd_header(x, "If-Range");
    *from = 0;
    *to = total;
    if (!value.p || !str_eq(x->method, STR("GET"))) return HTTPD_WHOLE;
    if (only_if.p && !str_eq(only_if, etag)) return HTTPD_WHOLE;
    return httpd_range_parse(value, total, from, to);
}

MLXK_FN bool httpd_gone(const struct httpd_exchange *x) {
    return os_interrupted() || net_tcp_ended(x->conn->fd);
}

/* ---- the answer (Public) --------------------------------------------------------------------- */

MLXK_FN void httpd_set(struct httpd_exchange *x, const char *name_cstr, const char *format_cstr,
                       ...) {
    va_list args;
    va_start(args, format_cstr);
    buf_addf(&x->fields, "%s: ", name_cstr);
    size_t from = x->fields.n;
    buf_addfv(&x->fields, format_cstr, args);
    va_end(args);
    for (size_t i = from; !x->fields.failed && i < x->fields.n; i++) {
        unsigned char c = (unsigned char)x->fields.p[i];
        if (c < ' ' || c >= 0x7f) x->fields.p[i] = '?';
    }
    buf_add_cstr(&x->fields, "\r\n");
}

/* The head of the answer in front of what fields holds. */
static bool httpd_exchange_head(struct httpd_exchange *x, int status, uint64_t length,
                                struct buf *out, struct err *e) {
    char date[32];
    httpd_date(date, os_time_ns() / 1000000000);
    bool rest = x->in_left > 0 || (x->chunks && !x->chunks->done);
    if (rest && x->expects) x->keep = false;     /* what it would have sent will not be read */
    if (httpd_is_draining(x->conn->server)) x->keep = false;
    if (length == UINT64_MAX) {
        x->out_chunked = !x->http_1_0;
        if (x->http_1_0) x->keep = false;
    }
    buf_addf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: mlxk\r\n", status, httpd_reason(status),
             date);
    buf_add(out, buf_str(&x->fields));
    if (status != 304 && status != 204) {
        if (length != UINT64_MAX)
            buf_addf(out, "Content-Length: %llu\r\n", (unsigned long long)length);
        else if (x->out_chunked) buf_add_cstr(out, "Transfer-Encoding: chunked\r\n");
    }
    buf_add_cstr(out, x->keep ? "\r\n" : "Connection: close\r\n\r\n");
    return buf_ok(&x->fields, "the head of an answer", e)
           && buf_ok(out, "the head of an answer", e);
}

static bool httpd_exchange_start(struct httpd_exchange *x, int status, uint64_t length,
                                 struct str body, struct err *e) {
    struct buf out;
    MLXK_ASSERT(x->status == 0);
    buf_init(&out, HTTPD_EXCHANGE_FIELDS + 1024 + body.n);
    x->status = status;
    x->out_left = length;
    if (status == 304 || status == 204) x->head_only = true;
    bool ok = httpd_exchange_head(x, status, length, &out, e);
    if (ok && !x->head_only) buf_add(&out, body);
    ok = ok && buf_ok(&out, "an answer", e)
         && httpd_conn_write(x->conn, buf_str(&out), &x->pace_out, e);
    buf_release(&out);
    if (!ok) httpd_cut(x);
    return ok;
}

MLXK_FN bool httpd_begin(struct httpd_exchange *x, int status, uint64_t length, struct err *e) {
    return httpd_exchange_start(x, status, length, STR_EMPTY, e);
}

static bool httpd_exchange_open(struct httpd_exchange *x, uint64_t n, struct err *e) {
    MLXK_ASSERT(x->status != 0 && !x->ended);
    if (x->was_cut) return err_set(e, ERR_NET, "the answer was cut before");
    if (x->out_left == UINT64_MAX) return true;
    MLXK_ASSERT(n <= x->out_left);
    x->out_left -= n;
    return true;
}

MLXK_FN bool httpd_write(struct httpd_exchange *x, struct str s, struct err *e) {
    char size[24];
    if (!httpd_exchange_open(x, s.n, e)) return false;
    if (x->head_only || s.n == 0) return true;
    int n = snprintf(size, sizeof size, "%zx\r\n", s.n);
    bool ok = (!x->out_chunked
               || httpd_conn_write(x->conn, (struct str){ size, (size_t)n }, &x->pace_out, e))
              && httpd_conn_write(x->conn, s, &x->pace_out, e)
              && (!x->out_chunked || httpd_conn_write(x->conn, STR("\r\n"), &x->pace_out, e));
    if (ok) x->sent_bytes += s.n;
    else httpd_cut(x);
    return ok;
}

MLXK_FN bool httpd_send_file(struct httpd_exchange *x, int fd, uint64_t offset_bytes, uint64_t n,
                             struct err *e) {
    MLXK_ASSERT(!x->out_chunked);
    if (!httpd_exchange_open(x, n, e)) return false;
    if (x->head_only) return true;
    uint64_t before = x->pace_out.bytes;
    bool ok = httpd_conn_send_file(x->conn, fd, offset_bytes, n, &x->pace_out, e);
    x->sent_bytes += ok ? n : x->pace_out.bytes > before ? x->pace_out.bytes - before : 0;
    if (!ok) httpd_cut(x);
    return ok;
}

MLXK_FN bool httpd_end(struct httpd_exchange *x, struct err *e) {
    if (x->was_cut) return err_set(e, ERR_NET, "the answer was cut before");
    MLXK_ASSERT(x->status != 0 && !x->ended);
    bool whole = x->head_only || x->out_left == 0 || x->out_left == UINT64_MAX;
    MLXK_ASSERT(whole);
    x->ended = true;
    if (!x->out_chunked || x->head_only) return true;
    if (httpd_conn_write(x->conn, STR("0\r\n\r\n"), &x->pace_out, e)) return true;
    httpd_cut(x);
    return false;
}

MLXK_FN void httpd_reply(struct httpd_exchange *x, int status, const char *type_cstr,
                         struct str body) {
    struct err ignored = { 0 };
    httpd_set(x, "Content-Type", "%s", type_cstr ? type_cstr : "text/plain; charset=utf-8");
    if (!httpd_exchange_start(x, status, body.n, body, &ignored)) return;
    if (!x->head_only) x->sent_bytes = body.n;
    x->out_left = 0;
    x->ended = true;
}

MLXK_FN void httpd_cut(struct httpd_exchange *x) {
    if (x->status && x->out_left == UINT64_MAX && !x->out_chunked)
        net_tcp_reset_on_close(x->conn->fd);     /* the end of the connection would look whole */
    x->was_cut = true;
    x->keep = false;
}

/* ---- running (Public to the room) ------------------------------------------------------------ */

/* Reads what is left of the request's body; false: too much, or broken. */
static bool httpd_exchange_drain(struct httpd_exchange *x) {
    char waste[4096];
    struct err ignored = { 0 };
    size_t n, total = 0;
    if (x->expects && (x->in_left || x->chunks)) return false;
    if (!x->chunks && x->in_left > HTTPD_EXCHANGE_DRAIN) return false;
    do {
        if (!httpd_read(x, waste, sizeof waste, &n, &ignored)) return false;
        total += n;
    } while (n && total <= HTTPD_EXCHANGE_DRAIN);
    return n == 0;
}

static void httpd_exchange_tell(struct httpd_exchange *x) {
    const struct httpd_options *o = httpd_options_of(x->conn->server);
    if (o->done) o->done(o->ctx, x);
}

MLXK_FN void httpd_exchange_refused(struct httpd_conn *c, int status) {
    struct httpd_exchange x = { .status = status, .peer_cstr = c->peer, .conn = c,
                                .tls = c->tls != NULL, .started_ns = os_now_ns() };
    httpd_exchange_tell(&x);
}

static enum httpd_next httpd_exchange_finish(struct httpd_exchange *x) {
    struct httpd_conn *c = x->conn;
    if (x->was_cut) return HTTPD_GONE;
    if (x->keep && httpd_exchange_drain(x)) {
        c->n_served++;
        c->deadline_ns = os_now_ns() + httpd_options_of(c->server)->idle_ms * 1000000;
        return c->in_n || (c->tls && tls_pending(c->tls)) ? HTTPD_MORE : HTTPD_AGAIN;
    }
    tls_close(c->tls);                   /* says goodbye; the socket is read on below it */
    c->tls = NULL;
    net_tcp_shut(c->fd);
    c->phase = HTTPD_LINGER;
    c->deadline_ns = os_now_ns() + 2000000000;
    return HTTPD_MORE;
}

MLXK_FN enum httpd_next httpd_exchange_run(struct httpd_conn *c, size_t head_n) {
    struct httpd_exchange x = { .conn = c, .peer_cstr = c->peer, .tls = c->tls != NULL,
                                .started_ns = os_now_ns(), .hurried = c->hurried };
    struct http_chunks chunks = { .strict = true };
    struct httpd_head head;
    const char *why_cstr;
    const struct httpd_options *o = httpd_options_of(c->server);
    arena_init(&x.arena, HTTPD_EXCHANGE_ARENA);
    buf_init(&x.fields, HTTPD_EXCHANGE_FIELDS);
    int status = httpd_head_parse(&x.arena, (struct str){ (const char *)c->in, head_n }, &head,
                                  &why_cstr);
    enum httpd_next next = HTTPD_GONE;
    if (status) {
        httpd_conn_refuse(c, status, why_cstr);
        next = c->phase == HTTPD_LINGER ? HTTPD_AGAIN : HTTPD_GONE;
    } else {
        c->in_n -= head_n;
        memmove(c->in, c->in + head_n, c->in_n);
        x.method = head.method;
        x.path = head.path;
        x.query = head.query;
        x.host = head.host;
        x.headers = head.headers;
        x.n_headers = head.n_headers;
        x.http_1_0 = head.http_1_0;
        x.keep = head.keep;
        x.expects = head.expects;
        x.in_left = head.length;
        x.chunks = head.chunked ? &chunks : NULL;
        x.head_only = str_eq(head.method, STR("HEAD"));
        o->answer(o->ctx, &x);
        MLXK_ASSERT(x.ended || x.was_cut);
        httpd_exchange_tell(&x);
        next = httpd_exchange_finish(&x);
    }
    buf_release(&x.fields);
    arena_release(&x.arena);
    return next;
}

#undef HTTPD_EXCHANGE_ARENA
