/* tcp.c: name resolution and sockets with time limits.
 *
 * Connecting tries all addresses of a name, staggered (RFC 8305, "happy eyeballs"), so that a dead
 * IPv6 route costs a quarter of a second and not a minute. All waiting goes through poll, which a
 * caught interrupt ends. Only the look-up of a name is the system's and cannot be interrupted.
 *
 * Invariants
 *  1. Sockets are non-blocking and close-on-exec.
 *  2. Writing to a closed connection is an error, never a signal: by a flag of send where the
 *     headers know one, by an option of the socket where they know that.
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

enum {
    TCP_MAX_TRIES = 8, TCP_STAGGER_MS = 250, TCP_POLL_MS = 1000,
    TCP_NEAR_WINDOW = 256 << 10,
    TCP_NAME_TRIES = 2, TCP_TRIES = 3,   /* what is worth trying again, and how often */
};
enum { TCP_NAMES_MAX = 1 << 20, TCP_NAMES_MEMORY = 4 << 20 };   /* of the file of hosts */
#ifdef MSG_NOSIGNAL
enum { TCP_SEND_FLAGS = MSG_NOSIGNAL };
#else
enum { TCP_SEND_FLAGS = 0 };
#endif

static bool tcp_interrupted(struct err *e) {
    return os_interrupted() && !err_set(e, ERR_INTERRUPTED, "stopped by the user");
}

/* Waits for events on fd until the deadline. */
static bool tcp_wait(int fd, short events, int64_t deadline_ns, const char *what_cstr,
                     struct err *e) {
    for (;;) {
        struct pollfd p = { .fd = fd, .events = events };
        int64_t left_ms = (deadline_ns - os_now_ns()) / 1000000;
        if (tcp_interrupted(e)) return false;
        if (left_ms <= 0) {
            err_set(e, ERR_NET_TIMEOUT, "the other side did not %s in time", what_cstr);
            e->tries = TCP_TRIES;
            return false;
        }
        int n = poll(&p, 1, left_ms > TCP_POLL_MS ? TCP_POLL_MS : (int)left_ms);
        if (n > 0) return true;
        if (n < 0 && errno != EINTR)
            return err_set(e, ERR_NET, "waiting for the network failed: %s", strerror(errno));
    }
}

/* ---- connecting (Public) --------------------------------------------------------------------- */

struct tcp_race { struct pollfd tries[TCP_MAX_TRIES]; int n; int last_errno; };

/* The bytes of an address: 4, 16, or 0 for families of another kind. */
static size_t tcp_ip(const void *address, socklen_t n, uint8_t out[16]) {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (n < sizeof any) return 0;
    memcpy(&any, address, sizeof any);
    if (any.sa_family == AF_INET && n >= sizeof in) {
        memcpy(&in, address, sizeof in);
        memcpy(out, &in.sin_addr, 4);
        return 4;
    }
    if (any.sa_family != AF_INET6 || n < sizeof in6) return 0;
    memcpy(&in6, address, sizeof in6);
    memcpy(out, &in6.sin6_addr, 16);
    return 16;
}

/* On this machine a large window only keeps bytes that a kill would lose. */
static bool tcp_is_near(const struct addrinfo *a) {
    static const uint8_t loopback[16] = { [15] = 1 };
    uint8_t ip[16];
    size_t n = tcp_ip(a->ai_addr, a->ai_addrlen, ip);
    return n == 4 ? ip[0] == 127 : n == 16 && !memcmp(ip, loopback, 16);
}

MLXK_FN bool net_tcp_is_inside(int fd) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    uint8_t ip[16];
    return getpeername(fd, (struct sockaddr *)(void *)&address, &size) != 0
           || net_ip_is_inside(ip, tcp_ip(&address, size, ip));
}

/* The next address that may be tried, from x on. */
static const struct addrinfo *tcp_allowed(const struct addrinfo *x, bool outside) {
    uint8_t ip[16];
    while (x && outside && net_ip_is_inside(ip, tcp_ip(x->ai_addr, x->ai_addrlen, ip)))
        x = x->ai_next;
    return x;
}

static int tcp_start(const struct addrinfo *a, int *problem) {
    int fd = socket(a->ai_family, SOCK_STREAM, IPPROTO_TCP), one = 1;
    if (fd < 0) { *problem = errno; return -1; }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int window = TCP_NEAR_WINDOW;
    if (tcp_is_near(a)) (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
#ifdef SO_NOSIGPIPE
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof one);
#endif
    if (fcntl(fd, F_SETFL, O_NONBLOCK) == 0
        && (connect(fd, a->ai_addr, a->ai_addrlen) == 0 || errno == EINPROGRESS)) return fd;
    *problem = errno;
    close(fd);
    return -1;
}

/* One of the pending connections that is established, else -1; failed ones leave the race. */
static int tcp_poll(struct tcp_race *r, int wait_ms) {
    int n = poll(r->tries, (nfds_t)r->n, wait_ms);
    for (int i = 0; n > 0 && i < r->n;) {
        int fd = r->tries[i].fd, problem = 0;
        socklen_t size = sizeof problem;
        if (!r->tries[i].revents) { i++; continue; }
        r->tries[i] = r->tries[--r->n];
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) == 0 && problem == 0) return fd;
        r->last_errno = problem ? problem : ECONNREFUSED;
        close(fd);
    }
    return -1;
}

static int tcp_run(struct tcp_race *r, const struct addrinfo *next, bool outside,
                   int64_t deadline_ns, struct err *e) {
    int64_t start_next_ns = os_now_ns();
    for (;;) {
        int64_t now_ns = os_now_ns();
        if (tcp_interrupted(e)) return -1;
        if (now_ns >= deadline_ns) { r->last_errno = ETIMEDOUT; return -1; }
        if (next && r->n < TCP_MAX_TRIES && (now_ns >= start_next_ns || r->n == 0)) {
            int fd = tcp_start(next, &r->last_errno);
            if (fd >= 0) r->tries[r->n++] = (struct pollfd){ .fd = fd, .events = POLLOUT };
            next = tcp_allowed(next->ai_next, outside);
            start_next_ns = now_ns + TCP_STAGGER_MS * 1000000LL;
        }
        if (r->n == 0 && !next) return -1;
        bool more = next && r->n < TCP_MAX_TRIES && start_next_ns < deadline_ns;
        int64_t until_ns = more ? start_next_ns : deadline_ns;
        int64_t wait_ms = (until_ns - os_now_ns()) / 1000000 + 1;
        if (wait_ms > TCP_POLL_MS) wait_ms = TCP_POLL_MS;
        int fd = tcp_poll(r, wait_ms > 0 ? (int)wait_ms : 0);
        if (fd >= 0) return fd;
    }
}

/* The system's look-up would ask servers that no way leads to, and wait for them. */
static bool tcp_nobody_knows(struct str host) {
    struct arena a;
    struct err none = { 0 };
    struct str hosts = STR_EMPTY, resolv = STR_EMPTY;
    bool literal = str_find_char(host, ':') >= 0 || (host.n && host.p[host.n - 1] >= '0'
                                                     && host.p[host.n - 1] <= '9');
    if (literal || str_ends(host, STR("localhost")) || !os_names_by_servers()) return false;
    arena_init(&a, TCP_NAMES_MEMORY);
    (void)os_read_file(&a, "/etc/hosts", TCP_NAMES_MAX, &hosts, &none);
    (void)os_read_file(&a, "/etc/resolv.conf", TCP_NAMES_MAX, &resolv, &none);
    bool lost = net_names_lost(host, hosts, resolv);
    arena_release(&a);
    return lost;
}

MLXK_FN bool net_tcp_connect(struct str host, int port, int64_t timeout_ms, bool outside, int *fd,
                             struct err *e) {
    char name[256], service[8];
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list = NULL;
    if (host.n >= sizeof name)
        return err_set(e, ERR_INVALID, "a host name of %zu bytes is too long", host.n);
    memcpy(name, host.p, host.n);
    name[host.n] = 0;
    snprintf(service, sizeof service, "%d", port);
    bool nowhere = str_ends(host, STR(".invalid"));      /* RFC 6761: nobody need be asked */
    int problem = nowhere ? EAI_NONAME
                  : tcp_nobody_knows(host) ? EAI_AGAIN : getaddrinfo(name, service, &hints, &list);
    if (problem) {
        err_set(e, ERR_NET, "the name %s could not be resolved: %s", name, gai_strerror(problem));
        e->tries = problem == EAI_AGAIN ? TCP_NAME_TRIES : 1;
        return err_hint(e, "check the network, the name, and HTTPS_PROXY if one is needed");
    }
    struct tcp_race race = { .last_errno = ECONNREFUSED };
    const struct addrinfo *first = tcp_allowed(list, outside);
    bool refused = list && !first;
    *fd = tcp_run(&race, first, outside, os_now_ns() + timeout_ms * 1000000, e);
    for (int i = 0; i < race.n; i++) close(race.tries[i].fd);
    freeaddrinfo(list);
    if (*fd >= 0) return true;
    if (e->code == ERR_INTERRUPTED) return false;
    if (refused)
        return err_set(e, ERR_ACCESS,
                       "%s leads to an address inside this network, which is refused", name);
    bool late = race.last_errno == ETIMEDOUT;
    err_set(e, late ? ERR_NET_TIMEOUT : ERR_NET, "no connection to %s port %d: %s", name, port,
            late ? "no answer in time" : strerror(race.last_errno));
    e->tries = TCP_TRIES;
    return err_hint(e, "check that the server runs and that a firewall or proxy lets it through");
}

/* ---- transfers (Public) ---------------------------------------------------------------------- */

static bool tcp_again(const char *what_cstr, int fd, short events, int64_t deadline_ns,
                      struct err *e) {
    if (errno == EINTR) return !tcp_interrupted(e);
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        return err_set(e, ERR_NET, "the connection broke: %s", strerror(errno));
    return tcp_wait(fd, events, deadline_ns, what_cstr, e);
}

MLXK_FN bool net_tcp_read(int fd, void *p, size_t n, int64_t timeout_ms, size_t *n_done,
                          struct err *e) {
    int64_t deadline_ns = os_now_ns() + timeout_ms * 1000000;
    for (;;) {
        ssize_t got = recv(fd, p, n, 0);
        *n_done = got > 0 ? (size_t)got : 0;
        if (got >= 0) return true;
        if (!tcp_again("send anything", fd, POLLIN, deadline_ns, e)) return false;
    }
}

MLXK_FN bool net_tcp_write(int fd, const void *p, size_t n, int64_t timeout_ms, size_t *n_done,
                           struct err *e) {
    int64_t deadline_ns = os_now_ns() + timeout_ms * 1000000;
    for (;;) {
        ssize_t sent = send(fd, p, n, TCP_SEND_FLAGS);
        *n_done = sent > 0 ? (size_t)sent : 0;
        if (sent >= 0) return true;
        if (!tcp_again("take what was sent", fd, POLLOUT, deadline_ns, e)) return false;
    }
}

MLXK_FN bool net_tcp_idle_ok(int fd) {
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

MLXK_FN void net_tcp_close(int fd) {
    if (fd >= 0) close(fd);
}
