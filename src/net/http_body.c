/* http_body.c: the body of an answer as a stream.
 *
 *   connection -> length, chunks or end of connection -> gzip or not -> http_read
 *
 * Invariants
 *  1. A body that ends before its stated length or last chunk is an error, never a short success.
 *  2. The connection goes back to the pool only behind the last byte of a body of known end.
 */
#include "net/net_int.h"

enum {
    HTTP_BODY_DRAIN = 65536,             /* unread body that is cheaper to read than a connection */
    HTTP_BODY_PIECE = 4096,              /* read at least so much in one go */
    HTTP_BODY_BURST_NS = 100000000,      /* of unused pace that may be made up for */
    HTTP_BODY_DIRECT = 16384,            /* reads of this size and more need no buffer between */
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
    size_t raw_pos, raw_n;               /* framed bytes that gzip has not taken yet */
    uint8_t raw[16384];
};

MLXK_FN struct http_stream *http_body_open(struct http_client *c) {
    struct http_stream *s = mem_alloc(sizeof *s);
    if (s) memset(s, 0, offsetof(struct http_stream, raw));
    if (s) s->client = c;
    return s;
}

MLXK_FN void http_body_set_conn(struct http_stream *s, struct http_conn *conn) {
    s->conn = conn;
}

/* ---- framing (Public) ------------------------------------------------------------------------ */

static bool http_body_length(const struct http_head *h, uint64_t *length, struct err *e) {
    *length = UINT64_MAX;
    for (size_t i = 0; i < h->n_headers; i++) {
        uint64_t x;
        if (!str_ieq(h->headers[i].name, STR("Content-Length"))) continue;
        if (!num_parse_u64(h->headers[i].value, UINT64_MAX - 1, &x)
            || (*length != UINT64_MAX && *length != x))
            return err_set(e, ERR_FORMAT, "the server's answer states no usable length");
        *length = x;
    }
    return true;
}

/* Only a whole, wanted body can be decoded. A part stays as it is: whoever asked for parts looks at
 * the header; and of redirects and refusals nobody needs the body. */
static bool http_body_encoding(const struct http_request *r, const struct http_head *h,
                               struct http_response *out, struct err *e) {
    struct http_stream *s = out->stream;
    struct str encoding = http_head_find(h->headers, h->n_headers, "Content-Encoding");
    if (encoding.n == 0 || str_ieq(encoding, STR("identity")) || s->done) return true;
    bool gzip = str_ieq(encoding, STR("gzip")) || str_ieq(encoding, STR("x-gzip"));
    bool raw = h->status >= 300 || (h->status == 206 && r->decode_gzip);
    if (gzip && h->status != 206 && (r->accept_gzip || r->decode_gzip)) {
        out->content_length = UINT64_MAX;
        s->gzip = gzip_open(e);
        return s->gzip != NULL;
    }
    return raw
           || err_set(e, ERR_FORMAT,
                      "the server sends its answer encoded as '" STR_FMT
                      "', which was not asked for",
                      STR_ARG(str_sub(encoding, 0, 40)));
}

MLXK_FN bool http_body_begin(const struct http_request *r, const struct http_head *h,
                             struct http_response *out, struct err *e) {
    struct http_stream *s = out->stream;
    struct str coding = http_head_find(h->headers, h->n_headers, "Transfer-Encoding");
    struct str connection = http_head_find(h->headers, h->n_headers, "Connection");
    uint64_t length;
    if (!http_body_length(h, &length, e)) return false;
    s->keep_alive = h->http_1_0 ? str_contains_icase(connection, STR("keep-alive"))
                                : !str_contains_icase(connection, STR("close"));
    out->content_length = coding.p ? UINT64_MAX : length;
    if (strcmp(r->method_cstr, "HEAD") == 0 || h->status == 204 || h->status == 304)
        s->framing = HTTP_NO_BODY;
    else if (coding.p && !str_ieq(coding, STR("chunked")))
        return err_set(e, ERR_UNSUPPORTED, "the server sends its answer as '" STR_FMT "'",
                       STR_ARG(str_sub(coding, 0, 40)));
    else if (coding.p) s->framing = HTTP_CHUNKED;
    else s->framing = length == UINT64_MAX ? HTTP_UNTIL_CLOSE : HTTP_LENGTH;
    s->left = s->total = length;
    s->done = s->framing == HTTP_NO_BODY || (s->framing == HTTP_LENGTH && length == 0);
    /* Two statements of the length: chunks win (RFC 9112 section 6.3), the connection is not
     * trusted. */
    if (s->framing == HTTP_UNTIL_CLOSE || (coding.p && length != UINT64_MAX)) s->keep_alive = false;
    return http_body_encoding(r, h, out, e);
}

/* ---- reading (Private) ----------------------------------------------------------------------- */

static bool http_body_cut(const struct http_stream *s, struct err *e) {
    if (s->framing == HTTP_CHUNKED)
        return err_set(e, ERR_NET, "the answer was cut before its last chunk");
    return err_set(e, ERR_NET, "the answer was cut after %llu of %llu bytes",
                   (unsigned long long)(s->total - s->left), (unsigned long long)s->total);
}

/* Large reads go around the connection's buffer. */
static bool http_body_direct(struct http_stream *s, uint8_t *p, size_t n, size_t *n_read,
                             struct err *e) {
    if (n > s->left) n = (size_t)s->left;
    if (!http_conn_read(s->client, s->conn, p, n, n_read, e)) return false;
    if (*n_read == 0) return http_body_cut(s, e);
    s->left -= *n_read;
    s->done = s->left == 0;
    return true;
}

/* Bytes of the body as framed, without chunk lines: into p. *n_read 0 = the end. */
static bool http_body_raw(struct http_stream *s, uint8_t *p, size_t n, size_t *n_read,
                          struct err *e) {
    struct http_conn *conn = s->conn;
    *n_read = 0;
    while (!s->done && *n_read == 0 && n) {
        if (s->framing == HTTP_LENGTH && conn->in_pos == conn->in_n && n >= HTTP_BODY_DIRECT)
            return http_body_direct(s, p, n, n_read, e);
        if (conn->in_pos == conn->in_n && !http_conn_fill(s->client, conn, e)) return false;
        size_t have = conn->in_n - conn->in_pos, used = have < n ? have : n;
        if (have == 0 && s->framing != HTTP_UNTIL_CLOSE) return http_body_cut(s, e);
        if (have == 0) s->done = true;
        else if (s->framing == HTTP_CHUNKED) {
            if (!http_chunks_decode(&s->chunks, conn->in + conn->in_pos, used, &used, p, n_read, e))
                return false;
            s->done = s->chunks.done;
        } else {
            if (s->framing == HTTP_LENGTH && used > s->left) used = (size_t)s->left;
            memcpy(p, conn->in + conn->in_pos, used);
            *n_read = used;
            s->left -= s->framing == HTTP_LENGTH ? used : 0;
            s->done = s->framing == HTTP_LENGTH && s->left == 0;
        }
        conn->in_pos += used;
    }
    return true;
}

static bool http_body_inflate(struct http_stream *s, uint8_t *p, size_t n, size_t *n_read,
                              struct err *e) {
    *n_read = 0;
    while (*n_read == 0 && !s->gzip_done) {
        size_t used;
        if (s->raw_pos == s->raw_n) {
            s->raw_pos = 0;
            if (!http_body_raw(s, s->raw, sizeof s->raw, &s->raw_n, e)) return false;
            if (s->raw_n == 0) return err_set(e, ERR_NET, "the server's compressed answer was cut");
        }
        const uint8_t *in = s->raw + s->raw_pos;
        if (!gzip_inflate(s->gzip, in, s->raw_n - s->raw_pos, &used, p, n, n_read, &s->gzip_done,
                          e))
            return false;
        s->raw_pos += used;
        if (used == 0 && *n_read == 0 && !s->gzip_done)
            return err_set(e, ERR_NET, "the server's compressed answer is damaged");
    }
    size_t rest = 1;
    uint8_t scrap[256];
    while (s->gzip_done && *n_read == 0 && rest && !s->done)    /* the framing's end, for reuse */
        if (!http_body_raw(s, scrap, sizeof scrap, &rest, e)) return false;
    return true;
}

/* With a limit: pieces small enough to be spread over a second. */
static size_t http_body_piece(const struct http_client *c, size_t n) {
    uint64_t most = c->options.limit_bytes_per_s / 8;
    if (!c->options.limit_bytes_per_s) return n;
    if (most < HTTP_BODY_PIECE) most = HTTP_BODY_PIECE;
    return n < most ? n : (size_t)most;
}

/* Waits until these bytes are due, all readers together. */
static bool http_body_pace(struct http_client *c, size_t n, struct err *e) {
    if (!c->options.limit_bytes_per_s) return true;
    os_mutex_lock(&c->mutex);
    int64_t now_ns = os_now_ns();
    if (c->rate_start_ns < now_ns - HTTP_BODY_BURST_NS)
        c->rate_start_ns = now_ns - HTTP_BODY_BURST_NS;
    c->rate_start_ns += (int64_t)((double)n * 1e9 / (double)c->options.limit_bytes_per_s);
    int64_t wait_ms = (c->rate_start_ns - now_ns) / 1000000;
    os_mutex_unlock(&c->mutex);
    return wait_ms <= 0 || http_retry_sleep(wait_ms, e);
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool http_read(struct http_response *r, void *p, size_t n, size_t *n_read, struct err *e) {
    struct http_stream *s = r->stream;
    n = http_body_piece(s->client, n);
    bool ok = s->gzip ? http_body_inflate(s, p, n, n_read, e) : http_body_raw(s, p, n, n_read, e);
    ok = ok && http_body_pace(s->client, *n_read, e);
    if (!ok) s->keep_alive = false;
    if (!ok && s->framing == HTTP_UNTIL_CLOSE && s->conn && s->conn->tls)
        r->unclosed = tls_ended(s->conn->tls);
    return ok;
}

MLXK_FN bool http_read_all(struct http_response *r, struct buf *out, struct err *e) {
    char chunk[16384];
    size_t n;
    do {
        if (!http_read(r, chunk, sizeof chunk, &n, e)) return false;
        buf_add_bytes(out, chunk, n);
    } while (n && !out->failed);
    return buf_ok(out, "the server's answer", e);
}

MLXK_FN void http_finish(struct http_response *r) {
    struct http_stream *s = r->stream;
    if (s) {
        struct err ignored = { 0 };
        uint8_t scrap[4096];
        size_t n = 1;
        bool small = s->framing == HTTP_LENGTH && s->left <= HTTP_BODY_DRAIN;
        while (s->conn && s->keep_alive && !s->done && small && n)
            if (!http_body_raw(s, scrap, sizeof scrap, &n, &ignored)) s->keep_alive = false;
        gzip_close(s->gzip);
        if (s->conn && s->keep_alive && s->done) http_conn_give_back(s->client, s->conn);
        else http_conn_drop(s->conn);
        mem_free(s);
    }
    arena_release(&r->arena);
    arena_release(&r->kept);
    r->stream = NULL;
}
