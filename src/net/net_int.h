/* net_int.h: what the files of this room share: sockets and the TLS adapter. */
#ifndef MLXK_NET_INT_H
#define MLXK_NET_INT_H

#include "net/net.h"

/* ---- TCP (tcp.c) ---------------------------------------------------------------------------------- */

/* Connects to host:port: all addresses of the name, a new try every 250 ms, the first to answer wins (RFC 8305).
 * fd is non-blocking. err: ERR_NET (name unknown, refused), ERR_NET_TIMEOUT, ERR_INTERRUPTED. */
MLXK_FN bool net_tcp_connect(struct str host, int port, int64_t timeout_ms, int *fd, struct err *e);
/* One transfer of at least one byte. *n_done 0 from read: the other side closed. */
MLXK_FN bool net_tcp_read(int fd, void *p, size_t n, int64_t timeout_ms, size_t *n_done, struct err *e);
MLXK_FN bool net_tcp_write(int fd, const void *p, size_t n, int64_t timeout_ms, size_t *n_done, struct err *e);
/* True when nothing arrived and the other side has not closed: an idle connection worth reusing. */
MLXK_FN bool net_tcp_idle_ok(int fd);
MLXK_FN void net_tcp_close(int fd /* -1 = nothing */);

/* ---- TLS: one adapter, two libraries (tls_mbed.c, tls_bear.c) --------------------------------------- */

struct tls_config;               /* trust anchors, saved sessions; one per HTTP client */
/* ca_file, ca_dir: PEM certificates that replace the embedded roots; both NULL = the embedded ones.
 * err: ERR_TLS when a named file holds no usable certificate. */
MLXK_FN struct tls_config *tls_config_open(const char *ca_file_cstr, const char *ca_dir_cstr, struct err *e);
MLXK_FN void tls_config_close(struct tls_config *c /* or NULL */);

struct tls;                      /* one connection over fd, which the caller owns */
/* Handshake with SNI (not for IP addresses), ALPN http/1.1, full verification of chain, dates and name.
 * err: ERR_TLS saying which check failed; ERR_NET, ERR_NET_TIMEOUT, ERR_INTERRUPTED from the socket. */
MLXK_FN struct tls *tls_connect(struct tls_config *c, int fd, struct str host, int64_t timeout_ms, struct err *e);
/* *n_done 0 = the other side said goodbye; a connection that just ends is ERR_NET (truncation). */
MLXK_FN bool tls_read(struct tls *t, void *p, size_t n, int64_t timeout_ms, size_t *n_done, struct err *e);
MLXK_FN bool tls_write(struct tls *t, const void *p, size_t n, int64_t timeout_ms, size_t *n_done, struct err *e);
MLXK_FN bool tls_pending(const struct tls *t);       /* decrypted bytes are waiting */
MLXK_FN void tls_close(struct tls *t /* or NULL */);

/* The embedded trust anchors as DER (roots.c). NULL past the end. */
MLXK_FN const uint8_t *net_root_at(size_t i, size_t *size_bytes);

/* ---- proxies (proxy.c) -------------------------------------------------------------------------------- */

/* The proxy of the environment for u, or host empty: HTTPS_PROXY/HTTP_PROXY/ALL_PROXY (either case; HTTP_PROXY only in
 * lower case when REQUEST_METHOD is set, as CGI demands), unless NO_PROXY names the host: "*", names, ".suffix", host:port.
 * auth: "Basic ..." header value of its user info, or empty. */
struct net_proxy { struct net_url url; struct str auth; };
MLXK_FN bool net_proxy_for(struct arena *a, const struct net_url *u, struct net_proxy *out, struct err *e);

/* ---- message heads (http_msg.c): pure -------------------------------------------------------------------- */

struct http_head { int status; bool http_1_0; struct http_header *headers; size_t n_headers; };
/* Length of the head (through the empty line) at the start of text, 0 = not complete yet. */
MLXK_FN size_t http_head_length(struct str text);
/* Status line and fields. Folded lines, spaces before ':', NUL and bare CR are refused (RFC 9112 section 5). mem: in a; texts copied. */
MLXK_FN bool http_head_parse(struct arena *a, struct str text, struct http_head *out, struct err *e);
MLXK_FN struct str http_head_find(const struct http_header *h, size_t n, const char *name_cstr);   /* p NULL = absent */
/* "bytes 10-19/100": start, end (inclusive), total (UINT64_MAX = '*'). */
MLXK_FN bool http_content_range(struct str value, uint64_t *start, uint64_t *end, uint64_t *total);
/* IMF-fixdate -> seconds since 1970; false when malformed (RFC 9110 section 5.6.7). */
MLXK_FN bool http_date(struct str value, int64_t *time_s);

/* How the body is framed, fed with raw bytes (chunked decoding, RFC 9112 section 7.1). */
struct http_chunks { int state; uint64_t left; size_t line_bytes; bool done; };
/* Decodes in[0, n) into out (same size is enough). *n_in consumed, *n_out produced. */
MLXK_FN bool http_chunks_decode(struct http_chunks *c, const uint8_t *in, size_t n, size_t *n_in, uint8_t *out, size_t *n_out, struct err *e);

/* ---- gzip (gzip.c) ------------------------------------------------------------------------------------------ */

struct gzip;                     /* an inflating stream, gzip or zlib header */
MLXK_FN struct gzip *gzip_open(struct err *e);
MLXK_FN bool gzip_inflate(struct gzip *g, const uint8_t *in, size_t n, size_t *n_in, uint8_t *out, size_t cap, size_t *n_out, bool *done, struct err *e);
MLXK_FN void gzip_close(struct gzip *g /* or NULL */);

#endif
