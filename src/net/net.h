/* net.h: bytes over sockets and HTTP/1.1 (level 2).
 *
 * URLs, name resolution, TCP with timeouts, TLS behind one adapter (tls_mbed.c or tls_bear.c),
 * proxies, and an HTTP client with connection reuse, ranges, redirects and retries. Nothing here
 * knows a hub.
 * Promises: a token is sent only to the exact scheme, host and port it was given for; no downgrade
 * from https to http; every header, line, redirect chain and body is bounded; nothing is trusted
 * before the certificate and host name are checked.
 * ref    RFC 3986, 9110, 9112, 8446, 5280, 6125; hub facts 3.5-3.7.
 */
#ifndef MLXK_NET_H
#define MLXK_NET_H

#include "base/base.h"
#include "platform/platform.h"

enum {
    NET_MAX_URL = 8192, NET_MAX_HEADERS = 200, NET_MAX_REDIRECTS = 10,
    NET_MAX_HEADER_BYTES = 65536,        /* all header lines of one message */
};

/* ---- URLs (url.c): pure ------------------------------------------------------------------- */

struct net_url {
    bool tls;                    /* https */
    struct str host;             /* lower case, without brackets */
    bool host_is_ip;
    int port;
    struct str target;           /* path and query as sent, begins with '/' */
    struct str authority;        /* host[:port] as in the Host header */
};
/* http and https only; user info refused; control characters, spaces and bytes past ASCII refused;
 * fragments dropped. mem: in a. */
MLXK_FN bool net_url_parse(struct arena *a, struct str text, struct net_url *out, struct err *e);
/* Location header relative to base (RFC 3986 section 5). Spaces and bytes past ASCII, which some
 * servers send there raw, are percent-encoded. */
MLXK_FN bool net_url_resolve(struct arena *a, const struct net_url *base, struct str location,
                             struct net_url *out, struct err *e);
MLXK_FN struct str net_url_text(struct arena *a, const struct net_url *u);
/* Same scheme, host and port. */
MLXK_FN bool net_url_same_origin(const struct net_url *a, const struct net_url *b);
/* An address (any spelling) of this machine or of a network that nobody else reaches (private,
 * link-local, multicast), or a name that stands for this machine by itself. Asks nobody. */
MLXK_FN bool net_host_is_inside(struct str host);
/* Percent-encodes all but unreserved characters and those in keep ("/" for paths). */
MLXK_FN void net_url_encode(struct buf *out, struct str s, const char *keep_cstr);

/* ---- HTTP client (http_client.c) ------------------------------------------------------------ */

struct http_client;
/* 0 and NULL stand for the defaults. */
struct http_options {
    const char *user_agent_cstr;
    int64_t connect_timeout_ms;  /* TCP, then TLS; default 10 s */
    int64_t read_timeout_ms;     /* without one new byte; default 10 s */
    int64_t slow_window_ms;      /* of waiting for bytes in which less than slow_bytes_per_s on */
    uint64_t slow_bytes_per_s;   /* average arrived: ERR_NET_TIMEOUT. Defaults 10 s (tests:
                                  * MLXK_SLOW_WINDOW_MS) and MLXK_MIN_SPEED, else 4096 */
    uint64_t limit_bytes_per_s;  /* pace of bodies; 0 = none */
    const char *ca_file_cstr, *ca_dir_cstr;   /* NULL: SSL_CERT_FILE, SSL_CERT_DIR,
                                    REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, else the embedded roots */
    bool insecure;     /* certificates are not checked: what comes may come from anybody */
    bool no_proxy;               /* ignore HTTP(S)_PROXY, ALL_PROXY, NO_PROXY */
};
MLXK_FN struct http_client *http_open(const struct http_options *o,
                                      struct err *e); /* NULL = failed */
MLXK_FN void http_close(struct http_client *c /* or NULL */);

struct http_response;
struct http_header { struct str name, value; };
/* A body that stands in a file from offset_bytes on; not read, where the system can send it from
 * there. went(body_ctx, offset, n): these bytes of the body are gone; false ends the request. */
struct http_file {
    int fd; uint64_t offset_bytes;
    bool (*went)(void *body_ctx, uint64_t offset_bytes, size_t n, struct err *e);
};
struct http_request {
    const char *method_cstr;     /* "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" */
    struct str url;
    struct str token;            /* Bearer token for the origin of `url` only; empty = none */
    struct str auth;     /* instead of token: the whole value of Authorization, as strictly kept */
    const struct http_header *headers; size_t n_headers;   /* to every hop: nothing secret */
    struct str body;             /* sent with Content-Length; empty = none */
    /* Instead of body, or NULL: body_bytes in pieces. Fills p[0, n) with what stands at offset,
     * which goes up without gaps, and begins at 0 again when a redirect wants the body once
     * more. */
    bool (*read_body)(void *body_ctx, uint64_t offset_bytes, void *p, size_t n, struct err *e);
    uint64_t body_bytes;
    void *body_ctx;
    const struct http_file *body_file;   /* besides read_body: where its bytes lie; or NULL */
    uint64_t range_from, range_to;   /* "Range: bytes=from-", with to: [from, to); 0, 0 = none */
    int hurry;                   /* silence within the body is borne read_timeout_ms / 2^hurry */
    bool follow;                 /* follow redirects; the final URL is in the response */
    bool stay;                   /* with follow: a redirect to another origin is the answer */
    bool outside;                /* not to addresses inside (net_host_is_inside), whatever the name
                                  * is; through a proxy that is the proxy's to see. ERR_ACCESS */
    bool accept_gzip;            /* ask for gzip: API answers; never with ranges */
    bool decode_gzip;            /* not asked for, but a whole body that comes so is decoded; a part
                                  * is given as it comes: look at Content-Encoding */
    /* Sees every redirect before it is followed; false with e set ends the request. Or NULL. */
    bool (*on_redirect)(void *ctx, const struct http_response *r, struct err *e);
    void *ctx;
};
struct http_response {
    int status;
    struct http_header *headers; size_t n_headers;    /* in the response's arena */
    uint64_t content_length;     /* of the body as http_read gives it; UINT64_MAX = unknown */
    uint64_t range_start, range_total;   /* of a 206's Content-Range; total UINT64_MAX = '*' */
    struct net_url url;          /* where the answer came from */
    bool crossed_origin;         /* a redirect left the first origin (the token stayed behind) */
    bool inside;                 /* it came from such an address; false through a proxy */
    bool unclosed;               /* http_read failed because TLS just ended where only its goodbye
                                  * would have been the end of the body */
    struct arena arena, kept;    /* kept: what url borrows */
    struct http_stream *stream;  /* private: the connection and what is left of the body */
};
/* Sends and reads the header. A stale reused connection is replaced once, silently, for requests
 * without effect. true also for error statuses: the caller looks at status. out is released with
 * http_finish in every case of true.
 * err: ERR_NET, ERR_NET_TIMEOUT, ERR_TLS (which check failed), ERR_LIMIT, ERR_FORMAT,
 * ERR_INTERRUPTED. */
MLXK_FN bool http_send(struct http_client *c, const struct http_request *r,
                       struct http_response *out, struct err *e);
/* Next body bytes, decoded (chunked, gzip). *n_read 0 = the body is complete; a body cut short is
 * ERR_NET. */
MLXK_FN bool http_read(struct http_response *r, void *p, size_t n, size_t *n_read, struct err *e);
/* Whole body; ERR_LIMIT past the limit of out. On failure out has what came. */
MLXK_FN bool http_read_all(struct http_response *r, struct buf *out, struct err *e);
/* Gives the connection back for reuse when the body was read to its end, closes it otherwise. */
MLXK_FN void http_finish(struct http_response *r);
/* Header by name (any case), first of several; p NULL when absent. */
MLXK_FN struct str http_header(const struct http_response *r, const char *name_cstr);

/* ---- gzip (gzip.c) --------------------------------------------------------------------------- */

struct gzip;                     /* an inflating stream, gzip or zlib header */
MLXK_FN struct gzip *gzip_open(struct err *e);
/* *n_in consumed, *n_out produced; neither with more input at hand: damaged. */
MLXK_FN bool gzip_inflate(struct gzip *g, const uint8_t *in, size_t n, size_t *n_in, uint8_t *out,
                          size_t cap, size_t *n_out, bool *done, struct err *e);
MLXK_FN void gzip_close(struct gzip *g /* or NULL */);
/* One whole stream (gzip or zlib header) and nothing behind it; appends. err: ERR_FORMAT, ERR_LIMIT
 * past the maximum of out. */
MLXK_FN bool gzip_unpack(struct buf *out, struct str packed, struct err *e);
/* With a zlib header; appends. The same text gives the same bytes. err: ERR_LIMIT (4 GiB) */
MLXK_FN bool gzip_pack(struct buf *out, struct str text, struct err *e);

/* ---- retries (http_retry.c) ------------------------------------------------------------------ */

struct http_retry { int attempt, max_attempts; uint64_t seed; };
MLXK_FN void http_retry_init(struct http_retry *r, int max_attempts);
/* Milliseconds to wait before the next try, or -1 to give up: jittered exponential; Retry-After
 * (seconds or date) and "RateLimit: ...;r=0;t=55" win; statuses 408 429 500 502 503 504 and
 * network errors are retried, others not. */
MLXK_FN int64_t http_retry_wait(struct http_retry *r,
                                const struct http_response *response /* or NULL */,
                                const struct err *failure /* or NULL */);
/* The parts of it. Is this status worth another try? How long the server asks to wait, -1 = it says
 * nothing. The wait before the next try: asked_ms or, where -1, the back-off; tries as in struct
 * err. */
MLXK_FN bool http_retry_status(int status);
MLXK_FN int64_t http_retry_asked(const struct http_response *response);
MLXK_FN int64_t http_retry_next(struct http_retry *r, int64_t asked_ms, int tries);
/* Sleeps in short steps; false (ERR_INTERRUPTED) when the user stopped it. */
MLXK_FN bool http_retry_sleep(int64_t wait_ms, struct err *e);

/* ---- HTTP server (httpd.c, httpd_exchange.c) ------------------------------------------------- */

/* One thread (the caller of httpd_run) accepts and waits for all connections; a pool of threads,
 * grown on demand, reads what has arrived and answers. A connection occupies a thread only while
 * there is something to do for it, so idle and dripping ones cost a few hundred bytes each (and
 * about 40 KB of TLS state), busy ones a thread and its stack (about 150 KB).
 * Refused before a handler sees them: ambiguous framing (both lengths, two lengths, folded fields,
 * bare LF), oversized lines and fields, missing or double Host, other versions (RFC 9112).
 */
enum { NET_PEER_MAX = 48 };

struct httpd_exchange;
/* 0 and NULL stand for the defaults. */
struct httpd_options {
    struct str host;             /* address or name to listen at; empty = every address */
    int port;                    /* 0 = any free one */
    const char *cert_cstr, *key_cstr;    /* PEM files: TLS */
    int max_connections;         /* 1024; more get status 503 */
    int max_per_client;          /* of one address; 256; more get status 429 */
    int max_busy;                /* threads; 256; a few more for answers that come at once */
    bool share_busy;             /* one address may have half of them, and its other requests wait,
                                  * unless max_per_client lets it have all connections */
    int64_t head_ms;     /* from the first byte (or the accept) to the end of the head; 10 s */
    int64_t idle_ms;             /* between two requests; 75 s */
    int64_t slow_ms;             /* without a byte in either direction, and the window in which a
                                  * body has to come or go at 1024 bytes a second; 60 s */
    int64_t drain_delay_ms;      /* goes on accepting after the first signal; 0 */
    int64_t drain_ms;            /* then waits for answers in hand; 25 s */
    /* Answers one request; called by several threads. It must end with httpd_end, httpd_reply or
     * httpd_cut. */
    void (*answer)(void *ctx, struct httpd_exchange *x);
    /* After each answer, also of requests that were refused (method empty). Or NULL. */
    void (*done)(void *ctx, const struct httpd_exchange *x);
    void *ctx;
};
struct httpd_stats {
    int n_connections, n_busy, n_queued, n_threads;
    uint64_t n_accepted, n_turned_away;
    bool draining;
};
struct httpd;
/* Listens. err: ERR_NET, ERR_TLS, ERR_NO_MEMORY, ERR_INVALID. NULL = failed. */
MLXK_FN struct httpd *httpd_open(const struct httpd_options *o, struct err *e);
MLXK_FN int httpd_port(const struct httpd *s);
/* Serves until os_stop_count rises (or httpd_ask_stop): the first stop drains, the second ends at
 * once. All threads have ended when it returns. */
MLXK_FN bool httpd_run(struct httpd *s, struct err *e);
MLXK_FN void httpd_close(struct httpd *s /* or NULL */);
/* Counts as one more stop, for this server only. thread: any. */
MLXK_FN MLXK_TEST_AID void httpd_ask_stop(struct httpd *s);
MLXK_FN void httpd_stats(struct httpd *s, struct httpd_stats *out);

struct httpd_conn;
/* How long a transfer has waited for the other side, and for how much. */
struct httpd_pace { int64_t waited_ns; uint64_t bytes; };
/* One request and its answer. Texts live in the arena, which ends with the exchange. */
struct httpd_exchange {
    struct str method, path, query, host;    /* path and query as sent, percent-encoded */
    struct http_header *headers; size_t n_headers;
    const char *peer_cstr;       /* address of the other side; with a proxy in front, the proxy's */
    bool tls;
    struct arena arena;
    int status;                  /* 0 until the answer has begun */
    uint64_t sent_bytes;         /* of the answer's body */
    int64_t started_ns;          /* os_now_ns */
    bool was_cut;                /* the answer ended before its end */
    bool hurried;                /* all threads have work: what takes time is to be refused */
    void *note;                  /* the handler's own, for done */
    /* private */
    struct httpd_conn *conn;
    struct buf fields;           /* of the answer, without its last empty line */
    struct httpd_pace pace_in, pace_out;
    struct http_chunks *chunks;  /* of the request's body, or NULL */
    uint64_t in_left, out_left;
    bool http_1_0, head_only, keep, expects, out_chunked, ended;
};
/* Header of the request by name (any case), first of several; p NULL when absent. */
MLXK_FN struct str httpd_header(const struct httpd_exchange *x, const char *name_cstr);
/* Next bytes of the request's body; *n_read 0 = complete. Sends 100 Continue when it is wanted.
 * err: ERR_NET, ERR_NET_TIMEOUT, ERR_FORMAT (chunks). */
MLXK_FN bool httpd_read(struct httpd_exchange *x, void *p, size_t n, size_t *n_read,
                        struct err *e);
/* Whole body; ERR_LIMIT past the limit of out, before it is read where its length is announced. */
MLXK_FN bool httpd_read_all(struct httpd_exchange *x, struct buf *out, struct err *e);
/* A header line of the answer, before it begins. Control characters become '?'. */
MLXK_FN void httpd_set(struct httpd_exchange *x, const char *name_cstr, const char *format_cstr,
                       ...) MLXK_PRINTF(3, 4);
/* Begins the answer. length UINT64_MAX: unknown (chunked, or until close for HTTP/1.0). For HEAD
 * the body is left out whatever is written. After a failure the later calls do nothing. */
MLXK_FN bool httpd_begin(struct httpd_exchange *x, int status, uint64_t length, struct err *e);
MLXK_FN bool httpd_write(struct httpd_exchange *x, struct str s, struct err *e);
/* Bytes of a file; by sendfile without TLS. ERR_IO when the file is shorter. */
MLXK_FN bool httpd_send_file(struct httpd_exchange *x, int fd, uint64_t offset_bytes, uint64_t n,
                             struct err *e);
MLXK_FN bool httpd_end(struct httpd_exchange *x, struct err *e);
/* A whole answer; content type text when type_cstr is NULL. */
MLXK_FN void httpd_reply(struct httpd_exchange *x, int status, const char *type_cstr,
                         struct str body);
/* Ends the connection such that the reader cannot take what came for the whole answer. */
MLXK_FN void httpd_cut(struct httpd_exchange *x);
/* The other side has gone away: nobody waits for this answer any more. */
MLXK_FN bool httpd_gone(const struct httpd_exchange *x);
enum httpd_range { HTTPD_WHOLE, HTTPD_PART, HTTPD_NO_PART };
/* Which part of total bytes is asked for (Range, If-Range with this ETag): HTTPD_WHOLE also for a
 * malformed field; HTTPD_PART: [*from, *to); HTTPD_NO_PART: 416, also for more than one range. */
MLXK_FN enum httpd_range httpd_range(const struct httpd_exchange *x, struct str etag,
                                     uint64_t total, uint64_t *from, uint64_t *to);
/* Percent-decodes; false: malformed, NUL, or not UTF-8. plus: '+' is a space (forms). mem: in a. */
MLXK_FN bool httpd_decode(struct arena *a, struct str s, bool plus, struct str *out);

/* Where trust in servers comes from without options, and how many certificates there are.
 * err: what is named cannot be read. */
struct net_trust { const char *from_cstr, *file_cstr, *dir_cstr; size_t n; };
MLXK_FN bool net_trust_read(struct net_trust *out, struct err *e);
/* The trust anchors that are built in, as PEM, appended to out. */
MLXK_FN void net_roots_pem(struct buf *out);
/* Host and port of the proxy that requests to u go through, or empty. err: ERR_INVALID. */
MLXK_FN bool net_proxy_name(struct arena *a, const struct net_url *u, struct str *out,
                            struct err *e);

/* Name and version of the TLS library in use. */
MLXK_FN MLXK_TEST_AID const char *tls_library(void);
/* What does AES-GCM: as gcm_variant, or library where the TLS library has no use for ours. */
MLXK_FN const char *tls_gcm_variant(void);

#endif
