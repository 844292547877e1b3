/* net_int.h: what the files of this room share: sockets, the TLS adapter, message heads. */
#ifndef MLXK_NET_INT_H
#define MLXK_NET_INT_H

#include "net/net.h"

/* ---- addresses (url.c) ----------------------------------------------------------------------- */

/* Address of an IPv4 ("127.0.0.1") or IPv6 ("::1") literal as bytes: 4, 16, or 0 for a name. */
MLXK_FN size_t net_ip_bytes(struct str host, uint8_t out[16]);
/* As net_host_is_inside, of the bytes of an address; another n than 4 and 16 is inside. */
MLXK_FN bool net_ip_is_inside(const uint8_t *ip, size_t n);

/* ---- names (names.c) ------------------------------------------------------------------------- */

/* With the texts of /etc/hosts and /etc/resolv.conf: the name is not in the first, and no way leads
 * to any server of the second. */
MLXK_FN bool net_names_lost(struct str host, struct str hosts, struct str resolv);

/* ---- TCP (tcp.c) ----------------------------------------------------------------------------- */

/* Connects to host:port: all addresses of the name, a new try every 250 ms, the first to answer
 * wins (RFC 8305). fd is non-blocking. outside: only addresses that are not inside.
 * err: ERR_NET (name unknown, refused), ERR_NET_TIMEOUT, ERR_INTERRUPTED, ERR_ACCESS (all are
 * inside: nothing was sent there). */
MLXK_FN bool net_tcp_connect(struct str host, int port, int64_t timeout_ms, bool outside, int *fd,
                             struct err *e);
/* The other side's address is inside, or unknown. */
MLXK_FN bool net_tcp_is_inside(int fd);
/* One transfer of at least one byte. *n_done 0 from read: the other side closed. */
MLXK_FN bool net_tcp_read(int fd, void *p, size_t n, int64_t timeout_ms, size_t *n_done,
                          struct err *e);
MLXK_FN bool net_tcp_write(int fd, const void *p, size_t n, int64_t timeout_ms, size_t *n_done,
                           struct err *e);
/* True when nothing arrived and the other side has not closed: an idle connection worth reusing. */
MLXK_FN bool net_tcp_idle_ok(int fd);
MLXK_FN void net_tcp_close(int fd /* -1 = nothing */);

/* ---- listening (tcp_serve.c) ----------------------------------------------------------------- */

enum { NET_LISTENERS = 4 };
/* Listens at every address of host ("" = all of this machine); port 0 takes a free one. *n
 * listeners, non-blocking; *port is what they have.
 * err: ERR_NET (name unknown, address taken or not this machine's). */
MLXK_FN bool net_listen(struct str host, int *port, int fds[NET_LISTENERS], size_t *n,
                        struct err *e);
/* The next connection, non-blocking, with the other side's address as text; -1 = none is waiting,
 * -2 = no descriptors or memory left. */
MLXK_FN int net_accept(int listener, char peer[NET_PEER_MAX]);
/* Two connected sockets, non-blocking: a write to one wakes a poll of the other. */
MLXK_FN bool net_wake_open(int fds[2], struct err *e);
MLXK_FN void net_wake(int fd);
MLXK_FN void net_wake_drain(int fd);
/* What is there now. *n_done 0 with *again: nothing yet; without: the other side has ended. */
MLXK_FN bool net_tcp_try_read(int fd, void *p, size_t n, size_t *n_done, bool *again,
                              struct err *e);
/* The other side has ended or broken the connection; bytes it sent before may still be there. */
MLXK_FN bool net_tcp_ended(int fd);
/* As much as fits now; false = all did not, whatever the reason. */
MLXK_FN bool net_tcp_try_write(int fd, struct str s);
/* Part of a file into the socket; ERR_UNSUPPORTED when the system cannot join the two. */
MLXK_FN bool net_tcp_send_file(int fd, int file_fd, uint64_t offset_bytes, size_t n,
                               int64_t timeout_ms, size_t *n_done, struct err *e);
/* No more will be sent: the other side sees the end, and may still be read. */
MLXK_FN void net_tcp_shut(int fd);
/* Ends both directions at once; transfers of other threads fail. */
MLXK_FN void net_tcp_break(int fd);
/* Closing discards what is on its way: the other side cannot take it for a whole answer. */
MLXK_FN void net_tcp_reset_on_close(int fd);
/* poll(2) over n descriptors; false = nothing came, or a signal. */
struct net_watch { int fd; bool read, write, ready; };
MLXK_FN bool net_poll(struct net_watch *w, size_t n, int64_t wait_ms);

/* ---- TLS: one adapter, two libraries (tls_mbed.c, tls_bear.c) -------------------------------- */

struct tls_config;               /* trust anchors, saved sessions; one per HTTP client */
/* ca_file, ca_dir: PEM certificates that replace the embedded roots; both NULL = the embedded ones.
 * err: ERR_TLS when a named file holds no usable certificate. */
MLXK_FN struct tls_config *tls_config_open(const char *ca_file_cstr, const char *ca_dir_cstr,
                                           struct err *e);
MLXK_FN void tls_config_close(struct tls_config *c /* or NULL */);
/* Before the first connection: who the other side is no longer matters. BearSSL still wants dates
 * that hold and a chain that fits together. */
MLXK_FN void tls_config_trust_all(struct tls_config *c);

struct tls;                      /* one connection */
/* What carries it: a socket, or (outer not NULL) another TLS connection, as through a proxy that is
 * itself spoken to by TLS. The caller owns both and keeps them for longer. */
struct tls_wire { int fd; struct tls *outer; };
/* Handshake with SNI (not for IP addresses), ALPN http/1.1, full verification of chain, dates and
 * name, within timeout_ms as a whole.
 * err: ERR_TLS saying which check failed; ERR_NET, ERR_NET_TIMEOUT, ERR_INTERRUPTED from the
 * socket. */
MLXK_FN struct tls *tls_connect(struct tls_config *c, const struct tls_wire *wire, struct str host,
                                int64_t timeout_ms, struct err *e);
/* timeout_ms: for the whole call, however the bytes of a record trickle in.
 * *n_done 0 = the other side said goodbye; a connection that just ends is ERR_NET (truncation). */
MLXK_FN bool tls_read(struct tls *t, void *p, size_t n, int64_t timeout_ms, size_t *n_done,
                      struct err *e);
MLXK_FN bool tls_write(struct tls *t, const void *p, size_t n, int64_t timeout_ms, size_t *n_done,
                       struct err *e);
MLXK_FN bool tls_pending(const struct tls *t);       /* decrypted bytes are waiting */
MLXK_FN bool tls_ended(const struct tls *t);         /* the other side left without a goodbye */
/* One transfer over a wire, as net_tcp_read and net_tcp_write. (http_conn.c) */
MLXK_FN bool tls_wire_read(const struct tls_wire *w, void *p, size_t n, int64_t timeout_ms,
                           size_t *n_done, struct err *e);
MLXK_FN bool tls_wire_write(const struct tls_wire *w, const void *p, size_t n, int64_t timeout_ms,
                            size_t *n_done, struct err *e);

struct tls_server;               /* certificate and key of a listener */
/* PEM files: the chain with the server's own certificate first, and its key, unencrypted.
 * err: ERR_TLS (unusable, or the key is another certificate's), those of os_read_file. */
MLXK_FN struct tls_server *tls_server_open(const char *cert_file_cstr, const char *key_file_cstr,
                                           struct err *e);
MLXK_FN void tls_server_close(struct tls_server *s /* or NULL */);
/* A connection that has been accepted; no byte is read yet. */
MLXK_FN struct tls *tls_accept(struct tls_server *s, int fd, struct err *e);
enum tls_step { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_FAILED /* e is set */ };
/* Goes on with the handshake as far as what is there allows, without waiting. */
MLXK_FN enum tls_step tls_accept_step(struct tls *t, struct err *e);
/* As net_tcp_try_read. */
MLXK_FN bool tls_try_read(struct tls *t, void *p, size_t n, size_t *n_done, bool *again,
                          struct err *e);
MLXK_FN void tls_close(struct tls *t /* or NULL */);

/* Calls one(ctx, pem) with the text of ca_file and of every regular file in ca_dir (each or NULL);
 * what cannot be read in a folder is passed over. pem is NUL-terminated. (roots.c) */
MLXK_FN bool net_roots_each(const char *ca_file_cstr, const char *ca_dir_cstr,
                            void (*one)(void *ctx, struct str pem), void *ctx, struct err *e);
/* The machine's own file of them, for a client, in which none are built in; NULL elsewhere. */
MLXK_FN const char *net_roots_system(void);
/* The embedded trust anchors as DER (roots.c). NULL past the end. */
MLXK_FN const uint8_t *net_root_at(size_t i, size_t *size_bytes);

/* ---- proxies (proxy.c) ----------------------------------------------------------------------- */

/* The proxy of the environment for u, or host empty: HTTPS_PROXY/HTTP_PROXY/ALL_PROXY (either case;
 * HTTP_PROXY only in lower case when REQUEST_METHOD is set, as CGI demands), unless NO_PROXY names
 * the host: "*", names, ".suffix", host:port, addresses, address/bits. url.tls: the proxy itself is
 * spoken to by TLS. auth: "Basic ..." of its user info. */
struct net_proxy { struct net_url url; struct str auth; };
MLXK_FN bool net_proxy_for(struct arena *a, const struct net_url *u, struct net_proxy *out,
                           struct err *e);

/* ---- connections (http_conn.c) --------------------------------------------------------------- */

/* Bytes read and written at a time (written: whole records of TLS, into which the library puts one
 * byte less than RFC 8446 allows; a rest would be a record of its own); connections kept. */
enum {
    HTTP_CONN_IN = 65536, HTTP_CONN_OUT = 4 * 16383, HTTP_CONN_IDLE = 24,
    HTTP_CONN_FILE = 1 << 20,    /* by the system, out of a file */
};

struct http_conn {
    int fd;
    struct tls *tls;     /* with the server, or a proxy that is asked plainly; NULL = plain */
    struct tls *outer;           /* with the proxy that a tunnel leads through, or NULL */
    char key[600];               /* scheme, host, port, proxy: what it may be reused for */
    bool reused, to_proxy;       /* to_proxy: plain requests in absolute form */
    bool inside;                 /* the server is, as far as it was seen: not behind a proxy */
    bool unsent;                 /* the answer came before the whole request had gone out */
    bool thinking;               /* the first byte of an answer is awaited: not slowness */
    int hurry;                   /* of the request, see http_request */
    int64_t waited_ns;           /* for bytes since the current window of slowness began, */
    uint64_t waited_bytes;       /* and what came */
    size_t in_pos, in_n;         /* in[in_pos, in_n) has arrived and was not used yet */
    uint8_t in[HTTP_CONN_IN];
};
enum { HTTP_HEEDED = 16 };
struct http_heeded { uint64_t key; int64_t until_ns; /* 0 = free */ };
enum { HTTP_HELD = 8 };
struct http_held { uint64_t key; int64_t until_ns; bool waited; };
struct http_client {
    struct http_options options;
    struct tls_config *tls;      /* opened with the first https connection */
    struct os_mutex mutex;       /* guards tls, idle, rate, heeded, held */
    struct http_heeded heeded[HTTP_HEEDED];      /* what was said lately */
    struct http_held held[HTTP_HELD];            /* who answers nothing more for a while */
    struct http_conn *idle[HTTP_CONN_IDLE];
    int64_t rate_start_ns;       /* when the bytes so far were due at the limit's pace */
};
/* Warnings and limits in the head of an answer go to the log. (http_heed.c) */
MLXK_FN void http_heed(struct http_client *c, const struct http_response *r);
/* Waits as long as u's server has said, in an answer before, that it would answer nothing more: at
 * most five minutes, and once until it has answered that it does. err: ERR_INTERRUPTED */
MLXK_FN bool http_heed_wait(struct http_client *c, const struct net_url *u, struct err *e);
/* Does this field warn people? topic: of which one warning is enough. Borrowed. */
MLXK_FN bool http_heed_parse(struct str name, struct str value, struct str *topic,
                             struct str *text);
/* The number behind "r=" in "...;r=0;t=55"; -1 = there is none. (http_retry.c) */
MLXK_FN int64_t http_rate_number(struct str value, const char *key_cstr);
/* An idle connection to u's origin through proxy, or a new one; outside: to no address inside.
 * NULL = failed. */
MLXK_FN struct http_conn *http_conn_take(struct http_client *c, const struct net_url *u,
                                         const struct net_proxy *proxy, bool outside,
                                         struct err *e);
MLXK_FN void http_conn_give_back(struct http_client *c, struct http_conn *conn);
MLXK_FN void http_conn_drop(struct http_conn *conn /* or NULL */);
/* More bytes behind in_n, at least one unless the other side has closed. ERR_NET_TIMEOUT when
 * nothing or too little comes. */
MLXK_FN bool http_conn_fill(struct http_client *c, struct http_conn *conn, struct err *e);
/* The same into p, when nothing waits in in[]: *n_read 0 = the other side has closed. */
MLXK_FN bool http_conn_read(struct http_client *c, struct http_conn *conn, void *p, size_t n,
                            size_t *n_read, struct err *e);
MLXK_FN bool http_conn_write(struct http_client *c, struct http_conn *conn, struct str s,
                             struct err *e);
struct http_head;
/* The body of r (read_body), piece by piece. */
MLXK_FN bool http_conn_write_body(struct http_client *c, struct http_conn *conn,
                                  const struct http_request *r, struct err *e);
/* Reads a message head; *eof is set when the connection ended before its first byte. */
MLXK_FN bool http_conn_head(struct http_client *c, struct http_conn *conn, struct arena *a,
                            struct http_head *out, bool *eof, struct err *e);

/* ---- bodies (http_body.c) -------------------------------------------------------------------- */

/* Decides from request and head how the body of out is framed; out->stream->conn is set.
 * err: ERR_FORMAT, ERR_UNSUPPORTED. */
MLXK_FN bool http_body_begin(const struct http_request *r, const struct http_head *h,
                             struct http_response *out, struct err *e);
/* A zeroed stream without connection; NULL = no memory. http_finish releases it. */
MLXK_FN struct http_stream *http_body_open(struct http_client *c);
MLXK_FN void http_body_set_conn(struct http_stream *s, struct http_conn *conn);

/* ---- message heads (http_msg.c): pure -------------------------------------------------------- */

struct http_head { int status; bool http_1_0; struct http_header *headers; size_t n_headers; };
/* Length of the head (through the empty line) at the start of text, 0 = not complete yet. */
MLXK_FN size_t http_head_length(struct str text);
/* Status line and fields. Folded lines, spaces before ':', NUL and bare CR are refused (RFC 9112
 * section 5). mem: in a; texts copied. */
MLXK_FN bool http_head_parse(struct arena *a, struct str text, struct http_head *out,
                             struct err *e);
/* p NULL = absent. */
MLXK_FN struct str http_head_find(const struct http_header *h, size_t n, const char *name_cstr);
/* "bytes 10-19/100": start, end (inclusive), total (UINT64_MAX = '*'). */
MLXK_FN bool http_content_range(struct str value, uint64_t *start, uint64_t *end, uint64_t *total);
/* A date in any of the three forms -> seconds since 1970; false when malformed (RFC 9110 section
 * 5.6.7). */
MLXK_FN bool http_date(struct str value, int64_t *time_s);

/* How the body is framed, fed with raw bytes (chunked decoding, RFC 9112 section 7.1). */
struct http_chunks {
    int state;
    uint64_t left;
    size_t line_bytes, trailer_bytes;
    bool cr, done;
    bool strict;     /* as a server reads: lines end with CR LF, no space behind a size */
};
/* Decodes in[0, n) into out (same size is enough). *n_in consumed, *n_out produced. */
MLXK_FN bool http_chunks_decode(struct http_chunks *c, const uint8_t *in, size_t n, size_t *n_in,
                                uint8_t *out, size_t *n_out, struct err *e);

/* ---- requests (httpd_msg.c): pure ------------------------------------------------------------ */

enum {
    HTTPD_MAX_LINE = 8192,       /* request line */
    HTTPD_MAX_FIELDS = 32768,    /* all header lines */
    HTTPD_MAX_HEADERS = 100,
};
struct httpd_head {
    struct str method, path, query, host;    /* path: as sent, begins with '/', or "*" */
    bool http_1_0, keep, expects;            /* keep-alive wanted; Expect: 100-continue */
    bool chunked;
    uint64_t length;                         /* of the body; 0 with chunked */
    struct http_header *headers; size_t n_headers;
};
/* Head of a request (through its empty line). 0 = fine, else the status to refuse it with:
 * 400 malformed or ambiguous framing, 414, 417, 431, 501 (a transfer coding), 505; *why_cstr says
 * it.
 * mem: in a; texts copied. ref: RFC 9112 sections 2-7. */
MLXK_FN int httpd_head_parse(struct arena *a, struct str text, struct httpd_head *out,
                             const char **why_cstr);
/* What is wrong with a head that is not complete yet: 0 = go on reading, else as above. */
MLXK_FN int httpd_head_check(struct str text, const char **why_cstr);
/* A Range field's value against total bytes; see httpd_range. */
MLXK_FN enum httpd_range httpd_range_parse(struct str value, uint64_t total, uint64_t *from,
                                           uint64_t *to);
MLXK_FN const char *httpd_reason(int status);
/* "Sun, 06 Nov 1994 08:49:37 GMT". */
MLXK_FN void httpd_date(char out[32], int64_t time_s);

/* ---- connections of the server (httpd_conn.c) ------------------------------------------------ */

/*  FREE --accept--> WAITING --readable--> QUEUED --thread--> BUSY --again--> WAITING
 *                                           ^------ more at hand ------'  '--close--> FREE  */
enum httpd_where { HTTPD_FREE, HTTPD_WAITING, HTTPD_QUEUED, HTTPD_BUSY };
enum httpd_phase { HTTPD_HANDSHAKE, HTTPD_HEAD, HTTPD_LINGER };

struct httpd_conn {
    struct httpd *server;
    int fd;
    struct tls *tls;             /* NULL = plain */
    enum httpd_where where;      /* guarded by the server's mutex */
    enum httpd_phase phase;
    bool wants_write;            /* what a handshake waits for */
    int64_t deadline_ns;         /* of the wait in hand */
    int64_t queued_ns;
    bool hurried;                /* by one of the spare threads, which nobody may keep */
    unsigned n_served;
    char peer[NET_PEER_MAX];
    uint8_t *in; size_t in_n, in_cap;        /* bytes that came and were not used */
    struct httpd_conn *next;     /* in the queue */
};
enum httpd_next { HTTPD_AGAIN /* waits for more */, HTTPD_MORE /* has more at hand */, HTTPD_GONE };
/* Reads what is there and answers at most one request. */
MLXK_FN enum httpd_next httpd_conn_advance(struct httpd_conn *c);
/* A whole answer without a request, as far as it fits without waiting; then the end. */
MLXK_FN void httpd_conn_refuse(struct httpd_conn *c, int status, const char *why_cstr);
MLXK_FN void httpd_conn_release(struct httpd_conn *c);
/* Waits for at most slow_ms. *n_done 0: the other side has ended. */
MLXK_FN bool httpd_conn_read(struct httpd_conn *c, void *p, size_t n, struct httpd_pace *pace,
                             size_t *n_done, struct err *e);
/* All of it; ERR_NET_TIMEOUT when the reader takes nothing, or too little. */
MLXK_FN bool httpd_conn_write(struct httpd_conn *c, struct str s, struct httpd_pace *pace,
                              struct err *e);
MLXK_FN bool httpd_conn_send_file(struct httpd_conn *c, int file_fd, uint64_t offset_bytes,
                                  uint64_t n, struct httpd_pace *pace, struct err *e);

/* ---- one request (httpd_exchange.c) ---------------------------------------------------------- */

/* Answers the request whose head is the first head_n bytes of c->in. */
MLXK_FN enum httpd_next httpd_exchange_run(struct httpd_conn *c, size_t head_n);
/* Tells the listener of an exchange that never was. */
MLXK_FN void httpd_exchange_refused(struct httpd_conn *c, int status);

/* ---- the server (httpd.c) -------------------------------------------------------------------- */

MLXK_FN const struct httpd_options *httpd_options_of(const struct httpd *s);
MLXK_FN bool httpd_is_draining(const struct httpd *s);

#endif
