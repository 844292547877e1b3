/* httpd_conn.c: one connection of the server: handshake, head, transfers, end.
 *
 *   HANDSHAKE --TLS done--> HEAD --whole head--> httpd_exchange_run --keep--> HEAD
 *        (plain begins here) ^                          '--end--> LINGER --closed, late--> gone
 *
 * Only transfers of bodies wait; the rest takes what is there and gives the thread back.
 *
 * Invariants
 *  1. What is kept of a head that is not complete is bounded while it is read.
 *  2. A transfer ends when nothing moved for slow_ms, or when it moved less than
 *     HTTPD_CONN_SLOW bytes a second since it began to wait for longer than that.
 */
#include "net/net_int.h"

#include <stdio.h>

enum {
    HTTPD_CONN_IN = 4096,                /* first size of the buffer for heads */
    HTTPD_CONN_MAX_IN = HTTPD_MAX_LINE + HTTPD_MAX_FIELDS + HTTPD_CONN_IN,
    HTTPD_CONN_SLOW = 1024,              /* bytes per second */
    HTTPD_CONN_HURRY_MS = 1000,          /* for a reader that a spare thread waits for */
    HTTPD_CONN_HURRIED = 65536,          /* bytes per second, of such a reader */
    HTTPD_CONN_PIECE = HTTP_CONN_OUT,    /* of a file through TLS */
    HTTPD_CONN_FILE = 1 << 20,           /* of a file at once, so that its pace is looked at */
};

/* ---- input without waiting (Private) --------------------------------------------------------- */

static bool httpd_conn_room(struct httpd_conn *c) {
    if (c->in_n < c->in_cap) return true;
    size_t cap = c->in_cap ? c->in_cap * 2 : HTTPD_CONN_IN;
    if (cap > HTTPD_CONN_MAX_IN) cap = HTTPD_CONN_MAX_IN;
    uint8_t *grown = cap > c->in_cap ? mem_realloc(c->in, cap) : NULL;
    if (!grown) return false;
    c->in = grown;
    c->in_cap = cap;
    return true;
}

/* Takes what is there behind in_n. false: the other side has ended, or the connection broke. */
static bool httpd_conn_take(struct httpd_conn *c, bool *again) {
    struct err ignored = { 0 };
    size_t n = 0;
    if (!httpd_conn_room(c)) return false;
    void *to = c->in + c->in_n;
    bool ok = c->tls ? tls_try_read(c->tls, to, c->in_cap - c->in_n, &n, again, &ignored)
                     : net_tcp_try_read(c->fd, to, c->in_cap - c->in_n, &n, again, &ignored);
    if (ok && n && c->in_n == 0)         /* the head has begun: it has a time of its own */
        c->deadline_ns = os_now_ns() + httpd_options_of(c->server)->head_ms * 1000000;
    c->in_n += n;
    return ok && (n || *again);
}

static void httpd_conn_rest(struct httpd_conn *c) {
    if (c->in_n) return;
    mem_free(c->in);                     /* an idle connection keeps no buffer */
    c->in = NULL;
    c->in_cap = 0;
}

/* ---- phases (Private) ------------------------------------------------------------------------ */

static enum httpd_next httpd_conn_handshake(struct httpd_conn *c) {
    struct err why = { 0 };
    enum tls_step step = tls_accept_step(c->tls, &why);
    c->wants_write = step == TLS_WANT_WRITE;
    if (step == TLS_FAILED) {
        log_write(LOG_DEBUG, "%s: %s", c->peer, why.msg);
        return HTTPD_GONE;
    }
    if (step != TLS_DONE) return HTTPD_AGAIN;
    c->phase = HTTPD_HEAD;
    c->deadline_ns = os_now_ns() + httpd_options_of(c->server)->head_ms * 1000000;
    return HTTPD_MORE;
}

/* What still comes is thrown away: closing with bytes unread would reset the connection and lose
 * the answer on its way. */
static enum httpd_next httpd_conn_linger(struct httpd_conn *c) {
    struct err ignored = { 0 };
    uint8_t waste[4096];
    size_t n;
    bool again = false;
    for (int i = 0; i < 64; i++) {
        if (!net_tcp_try_read(c->fd, waste, sizeof waste, &n, &again, &ignored)) return HTTPD_GONE;
        if (again) return HTTPD_AGAIN;
        if (n == 0) return HTTPD_GONE;
    }
    return HTTPD_MORE;
}

static enum httpd_next httpd_conn_head(struct httpd_conn *c) {
    const char *why_cstr;
    bool again = false;
    for (;;) {
        struct str text = { (const char *)c->in, c->in_n };
        size_t n = http_head_length(text);
        if (n) return httpd_exchange_run(c, n);
        int status = httpd_head_check(text, &why_cstr);
        if (status) {
            httpd_conn_refuse(c, status, why_cstr);
            return c->phase == HTTPD_LINGER ? HTTPD_AGAIN : HTTPD_GONE;
        }
        if (again) {
            httpd_conn_rest(c);
            return HTTPD_AGAIN;
        }
        if (!httpd_conn_take(c, &again)) return HTTPD_GONE;
    }
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN enum httpd_next httpd_conn_advance(struct httpd_conn *c) {
    switch (c->phase) {
    case HTTPD_HANDSHAKE: return httpd_conn_handshake(c);
    case HTTPD_HEAD: return httpd_conn_head(c);
    default: return httpd_conn_linger(c);
    }
}

MLXK_FN void httpd_conn_refuse(struct httpd_conn *c, int status, const char *why_cstr) {
    char text[512];
    struct err ignored = { 0 };
    struct httpd_pace pace = { .waited_ns = 0 };
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                     "Content-Length: %zu\r\n%sConnection: close\r\n\r\n%s\n",
                     status, httpd_reason(status), strlen(why_cstr) + 1,
                     status == 503 || status == 429 ? "Retry-After: 5\r\n" : "", why_cstr);
    struct str s = { text, (size_t)n };
    bool sent = c->tls ? c->phase == HTTPD_HEAD && httpd_conn_write(c, s, &pace, &ignored)
                       : net_tcp_try_write(c->fd, s);
    httpd_exchange_refused(c, status);
    if (!sent) return;
    net_tcp_shut(c->fd);
    c->phase = HTTPD_LINGER;
    c->deadline_ns = os_now_ns() + 2000000000;
}

MLXK_FN void httpd_conn_release(struct httpd_conn *c) {
    tls_close(c->tls);
    net_tcp_close(c->fd);
    mem_free(c->in);
    c->tls = NULL;
    c->in = NULL;
    c->in_n = c->in_cap = 0;
    c->fd = -1;
}

/* ---- transfers that wait (Public to the room) ------------------------------------------------ */

static int64_t httpd_conn_patience_ms(const struct httpd_conn *c) {
    int64_t slow_ms = httpd_options_of(c->server)->slow_ms;
    return c->hurried && slow_ms > HTTPD_CONN_HURRY_MS ? HTTPD_CONN_HURRY_MS : slow_ms;
}

static bool httpd_conn_pace(struct httpd_conn *c, struct httpd_pace *pace, int64_t began_ns,
                            size_t n, struct err *e) {
    int64_t slow_ns = httpd_conn_patience_ms(c) * 1000000;
    pace->waited_ns += os_now_ns() - began_ns;
    pace->bytes += n;
    if (pace->waited_ns < slow_ns) return true;
    unsigned rate = c->hurried ? HTTPD_CONN_HURRIED : HTTPD_CONN_SLOW;
    uint64_t wanted = rate * (uint64_t)(pace->waited_ns / 1000000) / 1000;
    bool fine = pace->bytes >= wanted;
    *pace = (struct httpd_pace){ .waited_ns = 0 };       /* the next window */
    return fine || err_set(e, ERR_NET_TIMEOUT, "less than %u bytes a second went through", rate);
}

MLXK_FN bool httpd_conn_read(struct httpd_conn *c, void *p, size_t n, struct httpd_pace *pace,
                             size_t *n_done, struct err *e) {
    int64_t slow_ms = httpd_conn_patience_ms(c), began_ns = os_now_ns();
    *n_done = n < c->in_n ? n : c->in_n;
    if (*n_done) {
        memcpy(p, c->in, *n_done);
        c->in_n -= *n_done;
        memmove(c->in, c->in + *n_done, c->in_n);
        return true;
    }
    bool ok = c->tls ? tls_read(c->tls, p, n, slow_ms, n_done, e)
                     : net_tcp_read(c->fd, p, n, slow_ms, n_done, e);
    return ok && httpd_conn_pace(c, pace, began_ns, *n_done, e);
}

MLXK_FN bool httpd_conn_write(struct httpd_conn *c, struct str s, struct httpd_pace *pace,
                              struct err *e) {
    int64_t slow_ms = httpd_conn_patience_ms(c);
    while (s.n) {
        size_t n;
        int64_t began_ns = os_now_ns();
        bool ok = c->tls ? tls_write(c->tls, s.p, s.n, slow_ms, &n, e)
                         : net_tcp_write(c->fd, s.p, s.n, slow_ms, &n, e);
        if (!ok || !httpd_conn_pace(c, pace, began_ns, n, e)) return false;
        s = str_sub(s, n, s.n);
    }
    return true;
}

/* Through memory: for TLS, and where the system cannot do it otherwise. */
static bool httpd_conn_copy_file(struct httpd_conn *c, int file_fd, uint64_t offset_bytes,
                                 uint64_t n, struct httpd_pace *pace, struct err *e) {
    char piece[HTTPD_CONN_PIECE];
    while (n) {
        size_t want = n < sizeof piece ? (size_t)n : sizeof piece, got;
        if (!os_pread(file_fd, piece, want, offset_bytes, &got, e)) return false;
        if (got == 0) return err_set(e, ERR_IO, "the file became shorter while it was sent");
        if (!httpd_conn_write(c, (struct str){ piece, got }, pace, e)) return false;
        offset_bytes += got;
        n -= got;
    }
    return true;
}

MLXK_FN bool httpd_conn_send_file(struct httpd_conn *c, int file_fd, uint64_t offset_bytes,
                                  uint64_t n, struct httpd_pace *pace, struct err *e) {
    int64_t slow_ms = httpd_conn_patience_ms(c);
    if (c->tls) return httpd_conn_copy_file(c, file_fd, offset_bytes, n, pace, e);
    while (n) {
        struct err why = { 0 };
        size_t want = n < HTTPD_CONN_FILE ? (size_t)n : HTTPD_CONN_FILE, sent;
        int64_t began_ns = os_now_ns();
        if (!net_tcp_send_file(c->fd, file_fd, offset_bytes, want, slow_ms, &sent, &why)) {
            if (why.code == ERR_UNSUPPORTED)
                return httpd_conn_copy_file(c, file_fd, offset_bytes, n, pace, e);
            *e = why;
            return false;
        }
        if (sent == 0) return err_set(e, ERR_IO, "the file became shorter while it was sent");
        if (!httpd_conn_pace(c, pace, began_ns, sent, e)) return false;
        offset_bytes += sent;
        n -= sent;
    }
    return true;
}
