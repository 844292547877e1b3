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
/* Percent-encodes all but unreserved characters and those in keep ("/" for paths). */
MLXK_FN void net_url_encode(struct buf *out, struct str s, const char *keep_cstr);

/* ---- HTTP client (http_client.c) ------------------------------------------------------------ */

struct http_client;
/* 0 and NULL stand for the defaults. */
struct http_options {
    const char *user_agent_cstr;
    int64_t connect_timeout_ms;  /* TCP, then TLS; default 10 s */
    int64_t read_timeout_ms;     /* without one new byte; default 30 s */
    int64_t slow_window_ms;      /* of waiting for bytes in which less than slow_bytes_per_s on */
    uint64_t slow_bytes_per_s;   /* average arrived: ERR_NET_TIMEOUT. Defaults 60 s, 1024 */
    uint64_t limit_bytes_per_s;  /* pace of bodies; 0 = none */
    const char *ca_file_cstr, *ca_dir_cstr;   /* NULL: SSL_CERT_FILE, SSL_CERT_DIR,
                                    REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, else the embedded roots */
    bool no_proxy;               /* ignore HTTP(S)_PROXY, ALL_PROXY, NO_PROXY */
};
MLXK_FN struct http_client *http_open(const struct http_options *o,
                                      struct err *e); /* NULL = failed */
MLXK_FN void http_close(struct http_client *c /* or NULL */);

struct http_response;
struct http_header { struct str name, value; };
struct http_request {
    const char *method_cstr;     /* "GET", "HEAD", "POST", "PUT" */
    struct str url;
    struct str token;            /* Bearer token for the origin of `url` only; empty = none */
    const struct http_header *headers; size_t n_headers;   /* to every hop: nothing secret */
    struct str body;             /* sent with Content-Length; empty = none */
    /* Instead of body, or NULL: body_bytes in pieces. Fills p[0, n) with what stands at offset, which
     * goes up without gaps, and begins at 0 again when a redirect wants the body once more. */
    bool (*read_body)(void *body_ctx, uint64_t offset_bytes, void *p, size_t n, struct err *e);
    uint64_t body_bytes;
    void *body_ctx;
    uint64_t range_from;         /* > 0: "Range: bytes=from-" */
    bool follow;                 /* follow redirects; the final URL is in the response */
    bool stay;                   /* with follow: a redirect to another origin is the answer */
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
    struct arena arena;
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
/* Whole body; ERR_LIMIT past the limit of out. */
MLXK_FN bool http_read_all(struct http_response *r, struct buf *out, struct err *e);
/* Gives the connection back for reuse when the body was read to its end, closes it otherwise. */
MLXK_FN void http_finish(struct http_response *r);
/* Header by name (any case), first of several; p NULL when absent. */
MLXK_FN struct str http_header(const struct http_response *r, const char *name_cstr);

/* ---- retries (http_retry.c) ------------------------------------------------------------------ */

struct http_retry { int attempt, max_attempts; uint64_t seed; };
MLXK_FN void http_retry_init(struct http_retry *r, int max_attempts);
/* Milliseconds to wait before the next try, or -1 to give up: jittered exponential; Retry-After
 * (seconds or date) and "RateLimit: ...;r=0;t=55" win; statuses 408 429 500 502 503 504 and
 * network errors are retried, others not. */
MLXK_FN int64_t http_retry_wait(struct http_retry *r,
                                const struct http_response *response /* or NULL */,
                                const struct err *failure /* or NULL */);
/* Sleeps in short steps; false (ERR_INTERRUPTED) when the user stopped it. */
MLXK_FN bool http_retry_sleep(int64_t wait_ms, struct err *e);

/* Name and version of the TLS library in use. */
MLXK_FN MLXK_TEST_AID const char *tls_library(void);

#endif
