/* serve_guard.c: who may pass: host names, keys, rates.
 *
 * Invariants
 *  1. One function decides, for every route and method; a route is public only when its caller says
 *     so (server facts 4.4, rows 7, 8, 31, 32, 42).
 *  2. Keys are kept and compared as SHA-256, all of them each time, without an early end.
 *  3. The table of rates is fixed: an address that is not in it takes the place of the one that
 *     asked longest ago.
 */
#include "serve/serve.h"

enum {
    SERVE_GUARD_KEYS = 1000, SERVE_GUARD_KEY_MIN = 8, SERVE_GUARD_KEY_MAX = 512,
    SERVE_GUARD_CLIENTS = 512,
    SERVE_GUARD_BURST = 4,               /* seconds' worth of requests that may come at once */
};

struct serve_client { char peer[NET_PEER_MAX]; double left; int64_t seen_ns; };
struct serve_guard {
    struct serve_guard_options o;
    bool loopback;
    uint8_t (*keys)[32]; size_t n_keys;
    struct os_mutex mutex;               /* guards clients */
    struct serve_client clients[SERVE_GUARD_CLIENTS];
};

/* ---- addresses (Public) ---------------------------------------------------------------------- */

MLXK_FN bool serve_is_loopback(struct str host) {
    return str_ieq(host, STR("localhost")) || str_eq(host, STR("::1"))
           || str_eq(host, STR("[::1]")) || (str_starts(host, STR("127.")) && host.n > 8);
}

/* ---- keys (Private) -------------------------------------------------------------------------- */

static bool serve_guard_key_ok(struct str key) {
    for (size_t i = 0; i < key.n; i++)
        if (key.p[i] <= ' ' || key.p[i] >= 0x7f) return false;
    return key.n >= SERVE_GUARD_KEY_MIN && key.n <= SERVE_GUARD_KEY_MAX;
}

static void serve_guard_hash(struct str key, uint8_t out[32]) {
    struct sha256 h;
    sha256_init(&h);
    sha256_update(&h, key.p, key.n);
    sha256_final(&h, out);
}

static bool serve_guard_keys(struct serve_guard *g, const char *path_cstr, struct err *e) {
    struct arena a;
    struct str rest;
    arena_init(&a, (size_t)4 << 20);
    g->keys = mem_alloc(SERVE_GUARD_KEYS * sizeof *g->keys);
    bool ok = g->keys ? os_read_file(&a, path_cstr, (size_t)1 << 20, &rest, e)
                      : err_oom(e, SERVE_GUARD_KEYS * sizeof *g->keys, "keys");
    for (size_t n = 1; ok && rest.p; n++) {
        struct str line = str_trim(str_cut(&rest, '\n'));
        if (line.n == 0 || line.p[0] == '#') continue;
        if (!serve_guard_key_ok(line))
            ok = err_set(e, ERR_FORMAT,
                         "line %zu of %s is no key: %d to %d visible ASCII characters are", n,
                         path_cstr, SERVE_GUARD_KEY_MIN, SERVE_GUARD_KEY_MAX);
        else if (g->n_keys == SERVE_GUARD_KEYS)
            ok = err_set(e, ERR_LIMIT, "%s has more than %d keys", path_cstr, SERVE_GUARD_KEYS);
        else serve_guard_hash(line, g->keys[g->n_keys++]);
    }
    if (ok && g->n_keys == 0) ok = err_set(e, ERR_FORMAT, "%s holds no key", path_cstr);
    arena_release(&a);
    return ok;
}

/* Authorization: Bearer KEY, or X-Api-Key: KEY. */
static struct str serve_guard_credential(const struct httpd_exchange *x) {
    struct str value = httpd_header(x, "Authorization");
    if (value.p && value.n > 7 && str_ieq(str_sub(value, 0, 7), STR("bearer ")))
        return str_trim(str_sub(value, 7, value.n));
    return value.p ? STR_EMPTY : httpd_header(x, "X-Api-Key");
}

static bool serve_guard_knows(const struct serve_guard *g, struct str key) {
    uint8_t hash[32];
    unsigned found = 0;
    serve_guard_hash(key, hash);
    for (size_t i = 0; i < g->n_keys; i++) {
        unsigned differs = 0;
        for (size_t k = 0; k < sizeof hash; k++) differs |= (unsigned)(hash[k] ^ g->keys[i][k]);
        found |= (differs - 1) >> 31;    /* 1 when nothing differs */
    }
    return key.n > 0 && found;
}

/* ---- hosts (Private) ------------------------------------------------------------------------- */

/* Of NAME, NAME:PORT, [ADDRESS] or [ADDRESS]:PORT; empty = none of them. */
static struct str serve_guard_name(struct str host) {
    ptrdiff_t end = str_find_char(host, str_starts(host, STR("[")) ? ']' : ':');
    size_t n = end < 0 ? host.n : host.p[end] == ']' ? (size_t)end + 1 : (size_t)end;
    for (size_t i = n; i < host.n; i++)
        if (i == n ? host.p[i] != ':' : host.p[i] < '0' || host.p[i] > '9') return STR_EMPTY;
    return str_sub(host, 0, n);
}

static bool serve_guard_is_address(struct str name) {
    bool six = name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']';
    struct str inner = six ? str_sub(name, 1, name.n - 1) : name;
    for (size_t i = 0; i < inner.n; i++) {
        char c = inner.p[i], low = (char)(c | 32);
        if ((c < '0' || c > '9') && c != '.' && !(six && (c == ':' || (low >= 'a' && low <= 'f'))))
            return false;
    }
    return inner.n > 0 && inner.p[0] != '.';
}

/* A web page can make a name of its own point here, never an address or localhost. */
static bool serve_guard_host(const struct serve_guard *g, struct str host) {
    struct str name = serve_guard_name(host);
    if (!g->loopback || host.n == 0) return true;    /* none: HTTP/1.0, no browser */
    if (serve_guard_is_address(name) || str_ieq(name, STR("localhost"))) return true;
    if (name.n > 10 && str_ieq(str_sub(name, name.n - 10, name.n), STR(".localhost"))) return true;
    for (size_t i = 0; i < g->o.n_hosts; i++)
        if (str_ieq(name, g->o.hosts[i])) return true;
    return false;
}

/* ---- rates (Private) ------------------------------------------------------------------------- */

static bool serve_guard_rate(struct serve_guard *g, const char *peer_cstr) {
    if (!g->o.rate_per_s) return true;
    int64_t now_ns = os_now_ns();
    double rate = g->o.rate_per_s, most = rate * (double)SERVE_GUARD_BURST;
    os_mutex_lock(&g->mutex);
    struct serve_client *c = &g->clients[0];
    for (int i = 0; i < SERVE_GUARD_CLIENTS; i++) {
        struct serve_client *k = &g->clients[i];
        if (strcmp(k->peer, peer_cstr) == 0) { c = k; break; }
        if (k->seen_ns < c->seen_ns) c = k;
    }
    if (strcmp(c->peer, peer_cstr) != 0) {
        memset(c, 0, sizeof *c);
        memcpy(c->peer, peer_cstr, strlen(peer_cstr) + 1);
        c->left = most;
    } else c->left += (double)(now_ns - c->seen_ns) * 1e-9 * rate;
    if (c->left > most) c->left = most;
    c->seen_ns = now_ns;
    bool pass = c->left >= 1;
    if (pass) c->left -= 1;
    os_mutex_unlock(&g->mutex);
    return pass;
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN struct serve_guard *serve_guard_open(const struct serve_guard_options *o, struct err *e) {
    bool loopback = serve_is_loopback(o->host);
    if (!loopback && !o->key_file_cstr && !o->insecure) {
        err_set(e, ERR_INVALID, "others could reach " STR_FMT ", and there is no key to stop them",
                STR_ARG(o->host.n ? o->host : STR("every address of this machine")));
        err_hint(
            e,
            "give a file of keys with --key-file, or say --insecure-no-auth to let everybody in");
        return NULL;
    }
    struct serve_guard *g = mem_alloc(sizeof *g);
    if (!g) { err_oom(e, sizeof *g, "a service"); return NULL; }
    memset(g, 0, sizeof *g);
    g->o = *o;
    g->loopback = loopback;
    os_mutex_init(&g->mutex);
    if (!o->key_file_cstr || serve_guard_keys(g, o->key_file_cstr, e)) return g;
    serve_guard_close(g);
    return NULL;
}

MLXK_FN void serve_guard_close(struct serve_guard *g) {
    if (!g) return;
    mem_free(g->keys);
    mem_free(g);
}

MLXK_FN enum serve_verdict serve_guard_ask(struct serve_guard *g, const struct httpd_exchange *x,
                                           bool is_public) {
    if (!serve_guard_host(g, x->host)) return SERVE_HOST;
    if (!is_public && !serve_guard_rate(g, x->peer_cstr)) return SERVE_RATE;
    if (is_public || g->n_keys == 0) return SERVE_PASS;
    return serve_guard_knows(g, serve_guard_credential(x)) ? SERVE_PASS : SERVE_KEY;
}

MLXK_FN bool serve_guard_has_keys(const struct serve_guard *g) { return g->n_keys > 0; }
