/* serve.h: services over HTTP (level 6). With cli/ the only room that prints to people.
 *
 * The hub mirror (mirror_*.c), and what every service here needs: keys, host names, rates
 * (serve_guard.c) and counters (metrics.c). The server itself is net/httpd*.c.
 * Promises:
 *  1. closed by default: an address that others can reach wants a key or an explicit word;
 *  2. one place decides whether a request may pass, before any route sees it;
 *  3. nothing that a client sends is part of a path before the _ok functions of cache/ saw it;
 *  4. a mirror without pull-through never writes; with it only what was verified gets a name.
 */
#ifndef MLXK_SERVE_H
#define MLXK_SERVE_H

#include "base/base.h"
#include "platform/platform.h"
#include "json/json.h"
#include "net/net.h"
#include "cache/cache.h"
#include "hub/hub.h"

/* ---- who may pass (serve_guard.c) ------------------------------------------------------------ */

struct serve_guard;
struct serve_guard_options {
    struct str host;             /* the address listened at */
    const char *key_file_cstr;   /* one key a line, '#' comments; NULL = none */
    const struct str *hosts; size_t n_hosts;     /* further names this service answers to */
    uint32_t rate_per_s;         /* requests of one address; 0 = no limit */
    bool insecure;               /* no key although others can reach it */
};
/* err: ERR_INVALID (others can reach it and there is no key), ERR_FORMAT (key file). NULL =
 * failed. */
MLXK_FN struct serve_guard *serve_guard_open(const struct serve_guard_options *o, struct err *e);
MLXK_FN void serve_guard_close(struct serve_guard *g /* or NULL */);
/* SERVE_HOST: the Host is no name of this service (only asked for behind loopback, where a web page
 * could reach it by rebinding a name). SERVE_KEY: no key, or a wrong one. SERVE_RATE: too often.
 * is_public: asks for no key. thread: any. */
enum serve_verdict { SERVE_PASS, SERVE_HOST, SERVE_KEY, SERVE_RATE };
MLXK_FN enum serve_verdict serve_guard_ask(struct serve_guard *g, const struct httpd_exchange *x,
                                           bool is_public);
MLXK_FN bool serve_guard_has_keys(const struct serve_guard *g);
/* Only this machine can reach that address. */
MLXK_FN bool serve_is_loopback(struct str host);

/* ---- the mirror (mirror.c) ------------------------------------------------------------------- */

struct mirror;
struct mirror_options {
    struct httpd_options http;   /* address, TLS, limits; the functions in it are set here */
    struct serve_guard_options guard;
    const struct str *allow; size_t n_allow;     /* globs over ORG/NAME, datasets/ORG/NAME,
                                                  * spaces/ORG/NAME; none = everything */
    bool partial;                /* also commits whose whole file list is not known */
    bool pull_through;           /* fetch what is missing */
    struct str upstream;         /* address of a hub; empty = HF_ENDPOINT, else the default */
    bool upstream_token;         /* ask upstream with this account's token */
    int64_t recheck_ms;          /* how long a branch's commit is believed; 0 = 60 s */
    const char *user_agent_cstr;
    /* A line of the access log, or NULL. thread: several. */
    void (*log)(void *ctx, struct str line);
    bool log_json;
    void *ctx;
};
/* Listens, serves nothing yet. NULL = failed. */
MLXK_FN struct mirror *mirror_open(const struct mirror_options *o, const struct cache *c,
                                   struct err *e);
/* "http://127.0.0.1:8090": what HF_ENDPOINT is to be. mem: in a. */
MLXK_FN struct str mirror_url(struct arena *a, const struct mirror *m);
/* Repositories of the cache: served; not served because their file list is not known whole. */
MLXK_FN bool mirror_count(struct mirror *m, size_t *n_served, size_t *n_partial, struct err *e);
/* Until the process is told to stop (httpd_run). */
MLXK_FN bool mirror_run(struct mirror *m, struct err *e);
MLXK_FN void mirror_close(struct mirror *m /* or NULL */);

#endif
