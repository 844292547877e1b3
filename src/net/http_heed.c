/* http_heed.c: what a server wants people to know beside its answer: warnings, and a limit that is
 * nearly used up. They go to the log, each once in an hour (limits: in five minutes).
 *
 *   X-HF-Warning: topic; text           one of each topic
 *   Warning: 299 - "text"               RFC 7234, and what registries send
 *   RateLimit: "api";r=12;t=55          with RateLimit-Policy "...";q=500: a tenth is left
 *   RateLimit: "api";r=0;t=55           nothing is left: the next request waits, not into a 429
 *
 * 1. Never fails, and says little: a server that warns of something else in every answer is heard
 *    HTTP_HEEDED times.
 * 2. A server that says "nothing is left" in every answer is believed once.
 * thread: any; what was said is guarded by the client's mutex.
 */
#include "net/net_int.h"

enum {
    HTTP_HEED_TEXT = 300,                /* bytes of a warning that are shown */
    HTTP_HEED_FEW = 5,                   /* requests left, where the whole limit is not told */
    HTTP_HEED_AGAIN_S = 3600, HTTP_HEED_LIMIT_S = 300,
    HTTP_HEED_LONGEST_S = 300,           /* who asks for more is asked all the same */
};

/* ---- fields (Public to the room) ------------------------------------------------------------- */

/* What stands between quotes; without any, what follows the code and the agent. */
static struct str http_heed_quoted(struct str value) {
    ptrdiff_t from = str_find_char(value, '"');
    if (from < 0) {
        struct str rest = value;
        (void)str_cut(&rest, ' ');
        if (rest.p) (void)str_cut(&rest, ' ');
        return rest.p ? str_trim(rest) : STR_EMPTY;
    }
    for (size_t i = (size_t)from + 1; i < value.n; i++) {
        if (value.p[i] == '\\') i++;
        else if (value.p[i] == '"') return str_trim(str_sub(value, (size_t)from + 1, i));
    }
    return STR_EMPTY;
}

MLXK_FN bool http_heed_parse(struct str name, struct str value, struct str *topic,
                             struct str *text) {
    if (str_ieq(name, STR("X-HF-Warning"))) {
        struct str rest = value;
        *topic = str_trim(str_cut(&rest, ';'));
        *text = rest.p ? str_trim(rest) : *topic;
    } else if (str_ieq(name, STR("Warning"))) *topic = *text = http_heed_quoted(value);
    else return false;
    if (text->n > HTTP_HEED_TEXT) text->n = HTTP_HEED_TEXT;
    text->n -= utf8_incomplete_tail(*text);
    return text->n > 0;
}

/* ---- saying it (Private) --------------------------------------------------------------------- */

/* Not said lately? Then it is now. */
static bool http_heed_is_news(struct http_client *c, struct str host, struct str topic,
                              int64_t again_s) {
    uint64_t key = map_hash(host) * 31 + map_hash(topic);
    int64_t now_ns = os_now_ns();
    bool news = false;
    os_mutex_lock(&c->mutex);
    for (int i = 0; i < HTTP_HEEDED; i++) {
        struct http_heeded *h = &c->heeded[i];
        if (h->until_ns && h->key != key && h->until_ns > now_ns) continue;
        news = !h->until_ns || h->until_ns <= now_ns;
        if (news) *h = (struct http_heeded){ key, now_ns + again_s * 1000000000LL };
        break;
    }
    os_mutex_unlock(&c->mutex);
    return news;
}

/* A hub counts what it answers itself and the files it hands out apart. */
static uint64_t http_heed_key(const struct net_url *u) {
    bool api = str_find(u->target, STR("/api/")) >= 0;
    return map_hash(u->authority) * 31 + api + 1;
}

static void http_heed_hold(struct http_client *c, const struct net_url *u, bool none_left,
                           int64_t seconds) {
    uint64_t key = http_heed_key(u);
    os_mutex_lock(&c->mutex);
    struct http_held *x = &c->held[0];           /* this one's place, or else the oldest */
    for (size_t i = 0; i < HTTP_HELD && x->key != key; i++)
        if (c->held[i].key == key || c->held[i].until_ns < x->until_ns) x = &c->held[i];
    if (x->key != key && none_left) *x = (struct http_held){ .key = key };
    if (x->key == key && !none_left) x->waited = false;
    if (x->key == key && none_left && !x->waited && seconds < HTTP_HEED_LONGEST_S)
        x->until_ns = os_now_ns() + (seconds + 1) * 1000000000LL;
    os_mutex_unlock(&c->mutex);
}

static void http_heed_limit(struct http_client *c, const struct http_response *r) {
    struct str limit = http_header(r, "RateLimit"), policy = http_header(r, "RateLimit-Policy");
    int64_t left = http_rate_number(limit, "r="), seconds = http_rate_number(limit, "t="),
            quota = http_rate_number(policy, "q=");
    if (left < 0 || seconds < 0 || r->status >= 400) return;
    http_heed_hold(c, &r->url, left == 0, seconds);
    if (quota > 0 ? left > quota / 10 : left > HTTP_HEED_FEW) return;
    if (http_heed_is_news(c, r->url.authority, STR("RateLimit"), HTTP_HEED_LIMIT_S))
        log_write(LOG_WARN, STR_FMT " answers %lld more requests in the next %lld s",
                  STR_ARG(r->url.authority), (long long)left, (long long)seconds);
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN void http_heed(struct http_client *c, const struct http_response *r) {
    struct str topic, text;
    bool limited = false;
    for (size_t i = 0; i < r->n_headers; i++) {
        const struct http_header *h = &r->headers[i];
        limited = limited || str_ieq(h->name, STR("RateLimit"));
        if (http_heed_parse(h->name, h->value, &topic, &text)
            && http_heed_is_news(c, r->url.authority, topic, HTTP_HEED_AGAIN_S))
            log_write(LOG_WARN, STR_FMT " says: " STR_FMT, STR_ARG(r->url.authority),
                      STR_ARG(text));
    }
    if (limited) http_heed_limit(c, r);
}

MLXK_FN bool http_heed_wait(struct http_client *c, const struct net_url *u, struct err *e) {
    uint64_t key = http_heed_key(u);
    int64_t wait_ns = 0;
    bool news = false;
    os_mutex_lock(&c->mutex);
    for (size_t i = 0; i < HTTP_HELD; i++) {
        struct http_held *x = &c->held[i];
        if (x->key != key) continue;
        wait_ns = x->until_ns - os_now_ns();
        news = wait_ns > 0 && !x->waited;
        x->waited = x->waited || news;
    }
    os_mutex_unlock(&c->mutex);
    if (wait_ns <= 0) return true;
    if (news)
        log_write(LOG_WARN, STR_FMT " answers nothing more for %lld s: waiting",
                  STR_ARG(u->authority), (long long)(wait_ns / 1000000000 + 1));
    return http_retry_sleep(wait_ns / 1000000 + 1, e);
}
