/* tcp_serve.c: the listening side of sockets: addresses, accepts, and transfers that do not wait.
 *
 * Invariants
 *  1. Sockets are non-blocking and close-on-exec.
 *  2. Writing to a closed connection is an error, never a signal (os_serving for sendfile).
 *  3. A port that another process has is refused, never shared: SO_REUSEADDR only passes over
 *     connections of an earlier process that are still dying.
 */
#include "net/net_int.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TCP_SERVE_BACKLOG = 512, TCP_SERVE_MAX_WATCHED = 4096 };
#ifdef MSG_NOSIGNAL
enum { TCP_SERVE_FLAGS = MSG_NOSIGNAL };
#else
enum { TCP_SERVE_FLAGS = 0 };
#endif

static void tcp_serve_prepare(int fd, bool connection) {
    int one = 1;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    if (connection) (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
#ifdef SO_NOSIGPIPE
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof one);
#endif
}

/* ---- listening (Public) ---------------------------------------------------------------------- */

static int tcp_serve_bind(const struct addrinfo *a, int *problem) {
    int fd = socket(a->ai_family, SOCK_STREAM, IPPROTO_TCP), one = 1;
    if (fd < 0) { *problem = errno; return -1; }
    tcp_serve_prepare(fd, false);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->ai_family == AF_INET6) /* IPv4 has a listener of its own */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, TCP_SERVE_BACKLOG) == 0) return fd;
    *problem = errno;
    close(fd);
    return -1;
}

static int tcp_serve_port(int fd) {
    struct sockaddr_storage s;
    socklen_t n = sizeof s;
    char service[16];
    int64_t port = 0;
    if (getsockname(fd, (struct sockaddr *)&s, &n) == 0
        && getnameinfo((struct sockaddr *)&s, n, NULL, 0, service, sizeof service, NI_NUMERICSERV)
               == 0)
        (void)num_parse_i64(str_cstr(service), 0, 65535, &port);
    return (int)port;
}

static struct addrinfo *tcp_serve_resolve(struct str host, int port, struct err *e) {
    char name[256], service[8];
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_PASSIVE }, *list = NULL;
    if (host.n >= sizeof name) {
        err_set(e, ERR_INVALID, "a host name of %zu bytes is too long", host.n);
        return NULL;
    }
    memcpy(name, host.p ? host.p : "", host.n);
    name[host.n] = 0;
    snprintf(service, sizeof service, "%d", port);
    int problem = getaddrinfo(host.n ? name : NULL, service, &hints, &list);
    if (problem == 0) return list;
    err_set(e, ERR_NET, "the name %s could not be resolved: %s", name, gai_strerror(problem));
    return NULL;
}

MLXK_FN bool net_listen(struct str host, int *port, int fds[NET_LISTENERS], size_t *n,
                        struct err *e) {
    int problem = 0;
    bool any = *port == 0;
    *n = 0;
    struct addrinfo *list = tcp_serve_resolve(host, *port, e);
    if (!list) return false;
    for (const struct addrinfo *a = list; a && *n < NET_LISTENERS; a = a->ai_next) {
        if (any && *n > 0) { /* all addresses of the name share one port */
            struct sockaddr_in6 *s = (struct sockaddr_in6 *)(void *)a->ai_addr;
            s->sin6_port = htons((uint16_t)*port);   /* at the same place in both families */
        }
        int fd = tcp_serve_bind(a, &problem);
        if (fd < 0) continue;
        fds[(*n)++] = fd;
        *port = tcp_serve_port(fd);
    }
    freeaddrinfo(list);
    if (*n > 0) return true;
    err_set(e, ERR_NET, "cannot listen at " STR_FMT " port %d: %s",
            STR_ARG(host.n ? host : STR("every address")), *port, strerror(problem));
    return err_hint(
        e, problem == EADDRINUSE
               ? "another program has that port; choose one with --port, or --port 0 for any"
           : problem == EACCES
               ? "ports below 1024 are for the administrator; choose another with --port"
               : "choose an address of this machine with --host");
}

MLXK_FN int net_accept(int listener, char peer[NET_PEER_MAX]) {
    struct sockaddr_storage s;
    socklen_t n = sizeof s;
    int fd;
    do fd = accept(listener, (struct sockaddr *)&s, &n);
    while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS ? -2 : -1;
    tcp_serve_prepare(fd, true);
    if (getnameinfo((struct sockaddr *)&s, n, peer, NET_PEER_MAX, NULL, 0, NI_NUMERICHOST) != 0)
        memcpy(peer, "unknown", 8);
    return fd;
}

/* ---- waking and waiting (Public) ------------------------------------------------------------- */

MLXK_FN bool net_wake_open(int fds[2], struct err *e) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return err_set(e, ERR_IO, "no socket pair could be made: %s", strerror(errno));
    tcp_serve_prepare(fds[0], false);
    tcp_serve_prepare(fds[1], false);
    return true;
}

MLXK_FN void net_wake(int fd) {
    (void)send(fd, "", 1, TCP_SERVE_FLAGS);      /* full: it is going to wake anyway */
}

MLXK_FN void net_wake_drain(int fd) {
    char bytes[256];
    while (recv(fd, bytes, sizeof bytes, 0) > 0) { }
}

MLXK_FN bool net_poll(struct net_watch *w, size_t n, int64_t wait_ms) {
    struct pollfd fds[TCP_SERVE_MAX_WATCHED];
    MLXK_ASSERT(n <= TCP_SERVE_MAX_WATCHED);
    for (size_t i = 0; i < n; i++) {
        short events = (short)((w[i].read ? POLLIN : 0) | (w[i].write ? POLLOUT : 0));
        fds[i] = (struct pollfd){ .fd = w[i].fd, .events = events };
        w[i].ready = false;
    }
    int found = poll(fds, (nfds_t)n, (int)wait_ms);
    for (size_t i = 0; found > 0 && i < n; i++) w[i].ready = fds[i].revents != 0;
    return found > 0;
}

/* ---- transfers (Public) ---------------------------------------------------------------------- */

MLXK_FN bool net_tcp_try_read(int fd, void *p, size_t n, size_t *n_done, bool *again,
                              struct err *e) {
    ssize_t got;
    do got = recv(fd, p, n, 0);
    while (got < 0 && errno == EINTR);
    *n_done = got > 0 ? (size_t)got : 0;
    *again = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    return got >= 0 || *again
           || err_set(e, ERR_NET, "the connection broke: %s", strerror(errno));
}

MLXK_FN bool net_tcp_ended(int fd) {
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

MLXK_FN bool net_tcp_try_write(int fd, struct str s) {
    return send(fd, s.p, s.n, TCP_SERVE_FLAGS) == (ssize_t)s.n;
}

MLXK_FN bool net_tcp_send_file(int fd, int file_fd, uint64_t offset_bytes, size_t n,
                               int64_t timeout_ms, size_t *n_done, struct err *e) {
    for (;;) {
        int problem = os_send_file(fd, file_fd, offset_bytes, n, n_done);
        if (problem == 0) return true;
        if (problem == EINVAL || problem == ENOSYS || problem == EOPNOTSUPP)
            return err_set(e, ERR_UNSUPPORTED, "a file cannot go straight into the socket");
        if (problem != EAGAIN && problem != EWOULDBLOCK)
            return err_set(e, ERR_NET, "the connection broke: %s", strerror(problem));
        struct net_watch w = { .fd = fd, .write = true };
        if (os_interrupted()) return err_set(e, ERR_INTERRUPTED, "stopped by the user");
        int64_t step_ms = timeout_ms < 1000 ? timeout_ms : 1000;
        if (net_poll(&w, 1, step_ms)) continue;
        timeout_ms -= step_ms;
        if (timeout_ms <= 0)
            return err_set(e, ERR_NET_TIMEOUT, "the other side did not take what was sent in time");
    }
}

MLXK_FN void net_tcp_shut(int fd) {
    (void)shutdown(fd, SHUT_WR);
}

MLXK_FN void net_tcp_break(int fd) {
    (void)shutdown(fd, SHUT_RDWR);
}

MLXK_FN void net_tcp_reset_on_close(int fd) {
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}
