/* net.h: bytes over sockets and HTTP/1.1 (level 2).
 *
 * URLs, name resolution, TCP with timeouts, TLS behind one adapter (tls_mbed.c or tls_bear.c), proxies, and an HTTP client
 * with connection reuse, ranges, redirects and retries. Nothing here knows a hub.
 * Promises: a token is sent only to the exact scheme, host and port it was given for; no downgrade from https to http;
 * every header, line, redirect chain and body is bounded; nothing is trusted before the certificate and host name are checked.
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

/* ---- URLs (url.c): pure ------------------------------------------------------------------------- */

struct net_url {
    bool tls;                    /* https */
    struct str host;             /* lower case, without brackets */
    bool host_is_ip;
    int port;
    struct str target;           /* path and query as sent, begins with '/' */
    struct str authority;        /* host[:port] as in the Host header */
};
/* http and https only; user info refused; control characters and spaces refused; fragments dropped. mem: in a. */
MLXK_FN bool net_url_parse(struct arena *a, struct str text, struct net_url *out, struct err *e);
/* Location header relative to base (RFC 3986 section 5). */
MLXK_FN bool net_url_resolve(struct arena *a, const struct net_url *base, struct str location, struct net_url *out, struct err *e);
MLXK_FN struct str net_url_text(struct arena *a, const struct net_url *u);
MLXK_FN bool net_url_same_origin(const struct net_url *a, const struct net_url *b);   /* scheme, host, port */
/* Percent-encodes all but unreserved characters and those in keep ("/" for paths). */
MLXK_FN void net_url_encode(struct buf *out, struct str s, const char *keep_cstr);

/* ---- HTTP client (http_client.c) ------------------------------------------------------------------- */

struct http_client;
struct http_options {
    const char *user_agent_cstr;
    int64_t connect_timeout_ms, read_timeout_ms;  /* read: without one new byte; 0 = defaults 10 s, 30 s */
    uint64_t limit_bytes_per_s;                   /* 0 = none */
    const char *ca_file_cstr, *ca_dir_cstr;       /* or NULL: SSL_CERT_FILE, SSL_CERT_DIR and cousins; else the embedded roots */
    bool no_proxy;                                /* ignore HTTP(S)_PROXY, ALL_PROXY, NO_PROXY */
};
MLXK_FN struct http_client *http_open(const struct http_options *o, struct err *e);   /* NULL = failed */
MLXK_FN void http_close(struct http_client *c /* or NULL */);

struct http_header { struct str name, value; };
struct http_request {
    const char *method_cstr;     /* "GET", "HEAD", "POST", "PUT" */
    struct str url;
    struct str token;            /* Bearer token for the origin of `url` only; empty = none */
    const struct http_header *headers; size_t n_headers;
    struct str body;             /* sent with Content-Length; empty = none */
    uint64_t range_from;         /* > 0: "Range: bytes=from-" */
    bool follow;                 /* follow redirects; the final URL is in the response */
    bool accept_gzip;            /* API answers; never for ranges */
};
struct http_response {
    int status;
    struct http_header *headers; size_t n_headers;    /* in the response's arena */
    uint64_t content_length;     /* UINT64_MAX = unknown */
    uint64_t range_start, range_total;               /* of a 206's Content-Range; total UINT64_MAX = '*' */
    struct net_url url;          /* where the answer came from */
    bool crossed_origin;         /* a redirect left the first origin (the token stayed behind) */
    struct arena arena;
    struct http_stream *stream;  /* private: the connection and what is left of the body */
};
/* Sends and reads the header. A stale reused connection is replaced once, silently, for requests without effect.
 * true also for error statuses: the caller looks at status. out is released with http_finish in every case of true.
 * err: ERR_NET, ERR_NET_TIMEOUT, ERR_TLS (which check failed), ERR_LIMIT, ERR_FORMAT, ERR_INTERRUPTED. */
MLXK_FN bool http_send(struct http_client *c, const struct http_request *r, struct http_response *out, struct err *e);
/* Next body bytes, decoded (chunked, gzip). *n_read 0 = the body is complete; a body cut short is ERR_NET. */
MLXK_FN bool http_read(struct http_response *r, void *p, size_t n, size_t *n_read, struct err *e);
/* Whole body; ERR_LIMIT past max. */
MLXK_FN bool http_read_all(struct http_response *r, struct buf *out, struct err *e);
/* Gives the connection back for reuse when the body was read to its end, closes it otherwise. */
MLXK_FN void http_finish(struct http_response *r);
/* Header by name (any case), first of several; empty with p NULL when absent. */
MLXK_FN struct str http_header(const struct http_response *r, const char *name_cstr);

/* ---- retries (http_retry.c) --------------------------------------------------------------------------- */

struct http_retry { int attempt, max_attempts; uint64_t seed; };
MLXK_FN void http_retry_init(struct http_retry *r, int max_attempts);
/* Milliseconds to wait before the next try, or -1 to give up: jittered exponential; Retry-After (seconds or date)
 * and "RateLimit: ...;r=0;t=55" win; statuses 408 429 500 502 503 504 and network errors are retried, others not. */
MLXK_FN int64_t http_retry_wait(struct http_retry *r, const struct http_response *response /* or NULL */, const struct err *failure /* or NULL */);

/* Name and version of the TLS library in use. */
MLXK_FN const char *tls_library(void);

#endif
