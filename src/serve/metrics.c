/* metrics.c: counters as Prometheus reads them (text format 0.0.4).
 *
 * Counters are atomic and only ever grow; gauges are asked for when somebody looks. No label comes
 * from a client, so their number is fixed.
 */
#include "serve/mirror_int.h"

#include <build_info.h>

static const int metrics_codes[MIRROR_CODES] = {
    0, 200, 204, 206, 304, 307, 400, 401, 403, 404, 405, 408, 413, 414, 416, 417, 429, 431, 500,
    501, 502, 503, 504, 505, 507,
};

/* ---- counting (Public to the room) ----------------------------------------------------------- */

MLXK_FN void mirror_metrics_count(struct mirror *m, const struct httpd_exchange *x,
                                  enum mirror_kind kind) {
    int code = MIRROR_CODES - 1;
    while (code > 0 && metrics_codes[code] != x->status) code--;     /* 0: any other */
    atomic_fetch_add(&m->counters.requests[kind][code], 1);
    int64_t took_ns = os_now_ns() - x->started_ns;
    atomic_fetch_add(&m->counters.nanoseconds[kind], (unsigned long long)took_ns);
    atomic_fetch_add(&m->counters.sent_bytes, x->sent_bytes);
    if (x->method.n == 0) atomic_fetch_add(&m->counters.refused, 1);
    if (x->was_cut) atomic_fetch_add(&m->counters.cut, 1);
}

/* ---- text (Private) -------------------------------------------------------------------------- */

static void metrics_head(struct buf *b, const char *name_cstr, const char *kind_cstr,
                         const char *help_cstr) {
    buf_addf(b, "# HELP mlxk_%s %s\n# TYPE mlxk_%s %s\n", name_cstr, help_cstr, name_cstr,
             kind_cstr);
}

static void metrics_one(struct buf *b, const char *name_cstr, const char *kind_cstr,
                        const char *help_cstr, unsigned long long value) {
    metrics_head(b, name_cstr, kind_cstr, help_cstr);
    buf_addf(b, "mlxk_%s %llu\n", name_cstr, value);
}

static void metrics_requests(struct buf *b, struct mirror_counters *c) {
    metrics_head(b, "http_requests_total", "counter", "Requests by route and status.");
    for (int k = 0; k < MIRROR_N_KINDS; k++)
        for (int i = 0; i < MIRROR_CODES; i++) {
            unsigned long long n = atomic_load(&c->requests[k][i]);
            if (n) buf_addf(b, "mlxk_http_requests_total{route=\"%s\",code=\"%d\"} %llu\n",
                            mirror_kind_name((enum mirror_kind)k), metrics_codes[i], n);
        }
    metrics_head(b, "http_request_seconds_total", "counter", "Time spent on requests by route.");
    for (int k = 0; k < MIRROR_N_KINDS; k++) {
        unsigned long long ns = atomic_load(&c->nanoseconds[k]);
        if (ns) buf_addf(b, "mlxk_http_request_seconds_total{route=\"%s\"} %.6f\n",
                         mirror_kind_name((enum mirror_kind)k), (double)ns * 1e-9);
    }
}

static void metrics_server(struct buf *b, struct mirror *m) {
    struct httpd_stats s;
    httpd_stats(m->server, &s);
    metrics_one(b, "open_connections", "gauge", "Connections now.",
                (unsigned long long)s.n_connections);
    metrics_one(b, "http_in_flight", "gauge", "Requests in hand now.",
                (unsigned long long)s.n_busy);
    metrics_one(b, "http_queued", "gauge", "Connections that wait for a thread.",
                (unsigned long long)s.n_queued);
    metrics_one(b, "threads", "gauge", "Threads that answer.", (unsigned long long)s.n_threads);
    metrics_one(b, "connections_accepted_total", "counter", "Connections taken.", s.n_accepted);
    metrics_one(b, "connections_turned_away_total", "counter", "Connections over a limit.",
                s.n_turned_away);
}

static void metrics_mirror(struct buf *b, struct mirror_counters *c) {
    static const struct { const char *name_cstr, *help_cstr; size_t offset; } rows[] = {
        { "http_response_bytes_total", "Bytes of answers' bodies.",
          offsetof(struct mirror_counters, sent_bytes) },
        { "auth_failures_total", "Requests without a right key.",
          offsetof(struct mirror_counters, key_failures) },
        { "host_failures_total", "Requests for another host name.",
          offsetof(struct mirror_counters, host_failures) },
        { "rate_limited_total", "Requests over the rate of their address.",
          offsetof(struct mirror_counters, rate_limited) },
        { "http_parse_failures_total", "Requests that are no proper HTTP.",
          offsetof(struct mirror_counters, refused) },
        { "http_cut_total", "Answers that ended before their end.",
          offsetof(struct mirror_counters, cut) },
        { "mirror_cache_hits_total", "Files sent from the cache.",
          offsetof(struct mirror_counters, cache_hits) },
        { "mirror_cache_misses_total", "Files that had to be fetched.",
          offsetof(struct mirror_counters, cache_misses) },
        { "mirror_cache_joined_total", "Requests that shared a fetch in hand.",
          offsetof(struct mirror_counters, cache_joined) },
        { "mirror_upstream_questions_total", "Questions for a commit and its files.",
          offsetof(struct mirror_counters, upstream_questions) },
        { "mirror_upstream_failures_total", "Questions and fetches that failed.",
          offsetof(struct mirror_counters, upstream_failures) },
        { "mirror_upstream_files_total", "Files fetched and verified.",
          offsetof(struct mirror_counters, upstream_files) },
        { "mirror_upstream_bytes_total", "Bytes of files fetched and verified.",
          offsetof(struct mirror_counters, upstream_bytes) },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        atomic_ullong *value = (atomic_ullong *)(void *)((char *)c + rows[i].offset);
        metrics_one(b, rows[i].name_cstr, "counter", rows[i].help_cstr, atomic_load(value));
    }
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN void mirror_metrics(struct mirror *m, struct httpd_exchange *x) {
    struct buf b;
    buf_init(&b, (size_t)1 << 20);
    metrics_head(&b, "build_info", "gauge", "What this program is.");
    buf_addf(&b, "mlxk_build_info{version=\"%s\",commit=\"%.12s\",tls=\"%s\"} 1\n",
             MLXK_VERSION_FULL, MLXK_COMMIT, MLXK_TLS);
    metrics_one(&b, "uptime_seconds", "gauge", "Since the start.",
                (unsigned long long)((os_now_ns() - m->started_ns) / 1000000000));
    metrics_one(&b, "peak_memory_bytes", "gauge", "Largest resident memory so far.",
                os_peak_memory());
    metrics_server(&b, m);
    metrics_requests(&b, &m->counters);
    metrics_mirror(&b, &m->counters);
    if (b.failed) httpd_reply(x, 500, NULL, STR("out of memory\n"));
    else httpd_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&b));
    buf_release(&b);
}
