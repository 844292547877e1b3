/* httpd.c: the server: accepting, waiting for all connections, a pool of threads, the end.
 *
 *   httpd_run (one thread): poll -> accept, queue what is readable, end what is late
 *   httpd_worker (many):    take from the queue -> httpd_conn_advance -> wait, queue again, or free
 *     an address that has its share of the threads: held back until one of them is free
 *     all threads have work: a spare one answers what takes no time, and refuses the rest
 *   stop 1: delay -> no more accepts, idle ones end -> answers in hand finish -> all end
 *   stop 2, or drain_ms over: every transfer is broken off
 *
 * Invariants
 *  1. A connection belongs to the loop (WAITING), a queue (QUEUED) or one thread (BUSY); it
 *     changes hands under the mutex, and only its owner touches it.
 *  2. Everything is bounded at start: connections (a fixed pool), threads, bytes of a head, and the
 *     time that any wait may take.
 */
#include "net/net_int.h"

#include <stdatomic.h>

enum {
    HTTPD_MAX_CONNECTIONS = 4000,        /* poll looks at all of them */
    HTTPD_MAX_THREADS = 512,
    HTTPD_SPARE_THREADS = 4,             /* beyond max_busy */
    HTTPD_TICK_MS = 250,                 /* at the latest, signals and deadlines are looked at */
    HTTPD_ACCEPTS = 64,                  /* in one round, so that others get their turn */
    HTTPD_QUEUE_MS = 10000,              /* a request that waited longer for a thread gets 503 */
    HTTPD_SPARE_FDS = 300,               /* files in hand besides the connections */
};

struct httpd {
    struct httpd_options o;
    struct tls_server *tls;
    int listeners[NET_LISTENERS]; size_t n_listeners;
    int port, wake[2];
    struct os_mutex mutex;
    struct os_cond work;                 /* the queue has something, or the end has come */
    struct httpd_conn *pool, *queue, *queue_last;
    struct httpd_conn *held, *held_last; /* of addresses that have their share */
    struct os_thread *threads[HTTPD_MAX_THREADS + HTTPD_SPARE_THREADS];
    int n_threads, n_idle, n_connections, n_queued, n_held, n_busy;
    int busy_share;                      /* threads of one address; 0: all */
    uint64_t n_accepted, n_turned_away;
    atomic_bool draining;
    atomic_int n_asked;                  /* httpd_ask_stop */
    bool ending;
    /* the loop's own */
    struct net_watch *watch;
    struct httpd_conn **watched;
    int64_t pause_until_ns;              /* no accepts: descriptors have run out */
};

MLXK_FN const struct httpd_options *httpd_options_of(const struct httpd *s) { return &s->o; }

MLXK_FN bool httpd_is_draining(const struct httpd *s) {
    return atomic_load_explicit(&s->draining, memory_order_relaxed);
}

MLXK_FN int httpd_port(const struct httpd *s) { return s->port; }

MLXK_FN void httpd_ask_stop(struct httpd *s) {
    atomic_fetch_add(&s->n_asked, 1);
    net_wake(s->wake[1]);
}

static int httpd_stops(const struct httpd *s) {
    return os_stop_count() + atomic_load(&s->n_asked);
}

MLXK_FN void httpd_stats(struct httpd *s, struct httpd_stats *out) {
    os_mutex_lock(&s->mutex);
    *out = (struct httpd_stats){ .n_connections = s->n_connections,
                                 .n_busy = s->n_busy,
                                 .n_queued = s->n_queued + s->n_held,
                                 .n_threads = s->n_threads,
                                 .n_accepted = s->n_accepted,
                                 .n_turned_away = s->n_turned_away,
                                 .draining = httpd_is_draining(s) };
    os_mutex_unlock(&s->mutex);
}

/* ---- the queue and the threads (Private) ----------------------------------------------------- */

static void httpd_worker(void *ctx);

/* Mutex held. */
static void httpd_end_conn(struct httpd *s, struct httpd_conn *c) {
    httpd_conn_release(c);
    c->where = HTTPD_FREE;
    s->n_connections--;
}

/* Mutex held. */
static void httpd_enqueue(struct httpd *s, struct httpd_conn *c) {
    struct err ignored = { 0 };
    c->where = HTTPD_QUEUED;
    c->queued_ns = os_now_ns();
    c->next = NULL;
    if (s->queue) s->queue_last->next = c;
    else s->queue = c;
    s->queue_last = c;
    s->n_queued++;
    if (s->n_idle < s->n_queued && s->n_threads < s->o.max_busy + HTTPD_SPARE_THREADS
        && !s->ending) {
        struct os_thread *t = os_thread_start(httpd_worker, s, &ignored);
        if (t) s->threads[s->n_threads++] = t;   /* none: those that run come to it */
    }
    os_cond_signal(&s->work);
}

/* Mutex held: the address has as many threads as it may. */
static bool httpd_has_share(const struct httpd *s, const char *peer_cstr) {
    int most = s->busy_share, n = 0;
    if (!most || s->n_busy < most || s->ending) return false;
    for (int i = 0; i < s->o.max_connections; i++)
        n += s->pool[i].where == HTTPD_BUSY && strcmp(s->pool[i].peer, peer_cstr) == 0;
    return n >= most;
}

static void httpd_hold(struct httpd *s, struct httpd_conn *c) {
    c->next = NULL;
    if (s->held) s->held_last->next = c;
    else s->held = c;
    s->held_last = c;
    s->n_held++;
}

/* Mutex held: the next that is held back of that address, of any when peer_cstr is NULL. */
static bool httpd_unhold(struct httpd *s, const char *peer_cstr) {
    struct httpd_conn *before = NULL, *c = s->held;
    while (c && peer_cstr && strcmp(c->peer, peer_cstr) != 0) {
        before = c;
        c = c->next;
    }
    if (!c) return false;
    if (before) before->next = c->next;
    else s->held = c->next;
    if (s->held_last == c) s->held_last = before;
    s->n_held--;
    httpd_enqueue(s, c);
    return true;
}

/* Mutex held. NULL: nothing that may have a thread now. */
static struct httpd_conn *httpd_dequeue(struct httpd *s) {
    while (s->queue) {
        struct httpd_conn *c = s->queue;
        s->queue = c->next;
        s->n_queued--;
        if (httpd_has_share(s, c->peer)) {
            httpd_hold(s, c);
            continue;
        }
        c->hurried = s->n_busy++ >= s->o.max_busy;
        c->where = HTTPD_BUSY;
        return c;
    }
    return NULL;
}

static enum httpd_next httpd_serve(struct httpd_conn *c) {
    if (os_now_ns() - c->queued_ns < HTTPD_QUEUE_MS * 1000000LL) return httpd_conn_advance(c);
    httpd_conn_refuse(c, 503, "the server is busy");
    return HTTPD_GONE;
}

static void httpd_worker(void *ctx) {
    struct httpd *s = ctx;
    os_mutex_lock(&s->mutex);
    for (;;) {
        struct httpd_conn *c = httpd_dequeue(s);
        if (!c && s->ending) break;
        if (!c) {
            s->n_idle++;
            (void)os_cond_wait(&s->work, &s->mutex, -1);
            s->n_idle--;
            continue;
        }
        bool ending = s->ending;
        os_mutex_unlock(&s->mutex);
        enum httpd_next next = ending ? HTTPD_GONE : httpd_serve(c);
        os_mutex_lock(&s->mutex);
        s->n_busy--;
        if (next == HTTPD_MORE) httpd_enqueue(s, c);
        else if (next == HTTPD_AGAIN) c->where = HTTPD_WAITING;
        else httpd_end_conn(s, c);
        if (s->held) (void)httpd_unhold(s, c->peer);
        if (next != HTTPD_MORE) net_wake(s->wake[1]);
    }
    os_mutex_unlock(&s->mutex);
}

/* ---- accepting (Private) --------------------------------------------------------------------- */

/* Mutex held. */
static struct httpd_conn *httpd_free_conn(struct httpd *s) {
    for (int i = 0; i < s->o.max_connections; i++)
        if (s->pool[i].where == HTTPD_FREE) return &s->pool[i];
    return NULL;
}

/* Mutex held. */
static int httpd_count_peer(const struct httpd *s, const char *peer_cstr) {
    int n = 0;
    for (int i = 0; i < s->o.max_connections; i++)
        n += s->pool[i].where != HTTPD_FREE && strcmp(s->pool[i].peer, peer_cstr) == 0;
    return n;
}

static void httpd_turn_away(struct httpd *s, int fd, const char *peer_cstr, int status) {
    struct httpd_conn c = { .server = s, .fd = fd };
    memcpy(c.peer, peer_cstr, sizeof c.peer);
    if (!s->tls)
        httpd_conn_refuse(&c, status,
                          status == 503 ? "the server has all the connections it can hold"
                                        : "too many connections from this address");
    else httpd_exchange_refused(&c, status);
    net_tcp_close(fd);
}

static void httpd_adopt(struct httpd *s, int fd, const char peer[NET_PEER_MAX]) {
    struct err why = { 0 };
    os_mutex_lock(&s->mutex);
    struct httpd_conn *c = httpd_free_conn(s);
    bool crowded = c && httpd_count_peer(s, peer) >= s->o.max_per_client;
    bool taken = c && !crowded;
    s->n_accepted += taken;
    s->n_turned_away += !taken;
    if (taken) {
        *c = (struct httpd_conn){ .server = s, .fd = fd, .where = HTTPD_BUSY, .phase = HTTPD_HEAD };
        memcpy(c->peer, peer, sizeof c->peer);
        s->n_connections++;
    }
    os_mutex_unlock(&s->mutex);
    if (!taken) {
        httpd_turn_away(s, fd, peer, crowded ? 429 : 503);
        return;
    }
    c->deadline_ns = os_now_ns() + s->o.head_ms * 1000000;
    if (s->tls) {
        c->phase = HTTPD_HANDSHAKE;
        c->tls = tls_accept(s->tls, fd, &why);
    }
    bool ok = !s->tls || c->tls;
    if (!ok) httpd_conn_release(c);
    os_mutex_lock(&s->mutex);
    c->where = ok ? HTTPD_WAITING : HTTPD_FREE;
    s->n_connections -= !ok;
    os_mutex_unlock(&s->mutex);
}

static void httpd_accept(struct httpd *s, int listener) {
    char peer[NET_PEER_MAX] = "";
    for (int i = 0; i < HTTPD_ACCEPTS; i++) {
        int fd = net_accept(listener, peer);
        if (fd == -2) s->pause_until_ns = os_now_ns() + HTTPD_TICK_MS * 1000000LL;
        if (fd < 0) return;
        httpd_adopt(s, fd, peer);
    }
}

/* ---- the loop (Private) ---------------------------------------------------------------------- */

/* Mutex held: a connection that waited too long, or that nothing is expected of any more. */
static bool httpd_expired(struct httpd *s, struct httpd_conn *c, int64_t now_ns) {
    bool idle = c->phase == HTTPD_HEAD && c->in_n == 0 && c->n_served > 0;
    if (now_ns < c->deadline_ns && !(httpd_is_draining(s) && idle)) return false;
    if (c->phase == HTTPD_HEAD && !idle && !c->tls) {
        static const char late[] = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n"
                                   "Connection: close\r\n\r\n";
        (void)net_tcp_try_write(c->fd, str_cstr(late));
    }
    httpd_end_conn(s, c);
    return true;
}

/* What to look at: the wake socket, the listeners, all that wait. Gives the number of entries. */
static size_t httpd_collect(struct httpd *s, int64_t now_ns, bool accepting) {
    size_t n = 0;
    s->watch[n++] = (struct net_watch){ .fd = s->wake[0], .read = true };
    for (size_t i = 0; i < s->n_listeners; i++)
        s->watch[n++] = (struct net_watch){ .fd = s->listeners[i], .read = accepting };
    os_mutex_lock(&s->mutex);
    for (int i = 0; i < s->o.max_connections; i++) {
        struct httpd_conn *c = &s->pool[i];
        if (c->where != HTTPD_WAITING || httpd_expired(s, c, now_ns)) continue;
        s->watched[n] = c;
        s->watch[n++] = (struct net_watch){ .fd = c->fd, .read = !c->wants_write,
                                            .write = c->wants_write };
    }
    os_mutex_unlock(&s->mutex);
    return n;
}

static void httpd_round(struct httpd *s, bool accepting) {
    int64_t now_ns = os_now_ns();
    accepting = accepting && now_ns >= s->pause_until_ns;
    size_t n = httpd_collect(s, now_ns, accepting), first = 1 + s->n_listeners;
    if (!net_poll(s->watch, n, HTTPD_TICK_MS)) return;
    if (s->watch[0].ready) net_wake_drain(s->wake[0]);
    os_mutex_lock(&s->mutex);
    for (size_t i = first; i < n; i++)
        if (s->watch[i].ready) httpd_enqueue(s, s->watched[i]);
    os_mutex_unlock(&s->mutex);
    for (size_t i = 0; accepting && i < s->n_listeners; i++)
        if (s->watch[1 + i].ready) httpd_accept(s, s->listeners[i]);
}

/* ---- the end (Private) ----------------------------------------------------------------------- */

static void httpd_close_listeners(struct httpd *s) {
    for (size_t i = 0; i < s->n_listeners; i++) net_tcp_close(s->listeners[i]);
    s->n_listeners = 0;
}

static bool httpd_is_empty(struct httpd *s) {
    os_mutex_lock(&s->mutex);
    bool empty = s->n_connections == 0;
    os_mutex_unlock(&s->mutex);
    return empty;
}

static void httpd_drain(struct httpd *s) {
    int64_t delay_ns = os_now_ns() + s->o.drain_delay_ms * 1000000;
    atomic_store(&s->draining, true);
    while (os_now_ns() < delay_ns && httpd_stops(s) < 2) httpd_round(s, true);
    httpd_close_listeners(s);
    int64_t until_ns = os_now_ns() + s->o.drain_ms * 1000000;
    while (!httpd_is_empty(s) && os_now_ns() < until_ns && httpd_stops(s) < 2)
        httpd_round(s, false);
}

static void httpd_stop(struct httpd *s) {
    os_mutex_lock(&s->mutex);
    s->ending = true;
    bool busy = s->n_busy > 0;
    if (busy) os_interrupt_raise();
    for (int i = 0; i < s->o.max_connections; i++) {
        if (s->pool[i].where == HTTPD_WAITING) httpd_end_conn(s, &s->pool[i]);
        else if (s->pool[i].where != HTTPD_FREE) net_tcp_break(s->pool[i].fd);
    }
    while (httpd_unhold(s, NULL)) { }
    os_cond_broadcast(&s->work);
    os_mutex_unlock(&s->mutex);
    for (int i = 0; i < s->n_threads; i++) os_thread_join(s->threads[i]);
    s->n_threads = 0;
}

/* ---- (Public) -------------------------------------------------------------------------------- */

static void httpd_defaults(struct httpd *s) {
    struct httpd_options *o = &s->o;
    if (!o->max_connections) o->max_connections = 1024;
    if (!o->max_per_client) o->max_per_client = 256;
    if (!o->max_busy) o->max_busy = 256;
    if (!o->head_ms) o->head_ms = 10000;
    if (!o->idle_ms) o->idle_ms = 75000;
    if (!o->slow_ms) o->slow_ms = 60000;
    if (o->max_connections > HTTPD_MAX_CONNECTIONS) o->max_connections = HTTPD_MAX_CONNECTIONS;
    if (o->max_busy > HTTPD_MAX_THREADS) o->max_busy = HTTPD_MAX_THREADS;
    if (o->share_busy && o->max_per_client < o->max_connections)
        s->busy_share = (o->max_busy + 1) / 2;
    int room = os_descriptors(o->max_connections + HTTPD_SPARE_FDS);
    if (o->max_connections > room - HTTPD_SPARE_FDS)
        o->max_connections = room > 2 * HTTPD_SPARE_FDS ? room - HTTPD_SPARE_FDS : room / 2;
}

static bool httpd_prepare(struct httpd *s, struct err *e) {
    size_t n = (size_t)s->o.max_connections, n_watched = n + NET_LISTENERS + 1;
    s->pool = mem_alloc(n * sizeof *s->pool);
    s->watch = mem_alloc(n_watched * sizeof *s->watch);
    s->watched = mem_alloc(n_watched * sizeof(struct httpd_conn *));
    if (!s->pool || !s->watch || !s->watched) return err_oom(e, n * sizeof *s->pool, "connections");
    memset(s->pool, 0, n * sizeof *s->pool);
    if (s->o.cert_cstr) {
        s->tls = tls_server_open(s->o.cert_cstr, s->o.key_cstr, e);
        if (!s->tls) return false;
    }
    s->port = s->o.port;
    return net_wake_open(s->wake, e)
           && net_listen(s->o.host, &s->port, s->listeners, &s->n_listeners, e);
}

MLXK_FN struct httpd *httpd_open(const struct httpd_options *o, struct err *e) {
    struct httpd *s = mem_alloc(sizeof *s);
    if (!s) { err_oom(e, sizeof *s, "a server"); return NULL; }
    memset(s, 0, sizeof *s);
    s->o = *o;
    s->wake[0] = s->wake[1] = -1;
    httpd_defaults(s);
    os_mutex_init(&s->mutex);
    os_cond_init(&s->work);
    if (httpd_prepare(s, e)) return s;
    httpd_close(s);
    return NULL;
}

MLXK_FN bool httpd_run(struct httpd *s, struct err *e) {
    while (httpd_stops(s) == 0) httpd_round(s, true);
    httpd_drain(s);
    bool empty = httpd_is_empty(s);
    httpd_stop(s);
    return empty || httpd_stops(s) > 1
           || err_set(e, ERR_NET_TIMEOUT, "some answers were not finished in %lld s and were cut",
                      (long long)s->o.drain_ms / 1000);
}

MLXK_FN void httpd_close(struct httpd *s) {
    if (!s) return;
    httpd_close_listeners(s);
    tls_server_close(s->tls);
    net_tcp_close(s->wake[0]);
    net_tcp_close(s->wake[1]);
    mem_free(s->pool);
    mem_free(s->watch);
    mem_free(s->watched);
    mem_free(s);
}
