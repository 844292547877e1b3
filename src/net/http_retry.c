/* http_retry.c: whether and when to try again.
 *
 * Jittered exponential back-off; what the server says (Retry-After, RateLimit) wins over it. The
 * base delay can be shortened by MLXK_RETRY_BASE_MS, which the tests use.
 */
#include "net/net_int.h"

enum {
    HTTP_RETRY_BASE_MS = 1000, HTTP_RETRY_MAX_MS = 30000,
    HTTP_RETRY_LONGEST_MS = 300000,      /* a server that asks for more gets no silent sleeper */
    HTTP_RETRY_STEP_MS = 500,
};

MLXK_FN void http_retry_init(struct http_retry *r, int max_attempts) {
    *r = (struct http_retry){ .max_attempts = max_attempts };
}

MLXK_FN bool http_retry_status(int status) {
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503
           || status == 504;
}

MLXK_FN int64_t http_rate_number(struct str value, const char *key_cstr) {
    int64_t number = -1;
    struct str rest = value, key = str_cstr(key_cstr);
    while (rest.p) {
        struct str part = str_trim(str_cut(&rest, ';'));
        if (str_starts(part, key))
            num_parse_i64(str_sub(part, key.n, part.n), 0, INT32_MAX, &number);
    }
    return number;
}

/* "RateLimit: "api";r=0;t=55": with r=0 nothing is left for t seconds. */
static int64_t http_retry_rate_limit(struct str value) {
    int64_t left = http_rate_number(value, "r="), seconds = http_rate_number(value, "t=");
    return left == 0 && seconds >= 0 ? (seconds + 1) * 1000 : -1;
}

/* Until a date: by the server's own clock, where the answer shows it, or by ours. */
static int64_t http_retry_until(const struct http_response *r, int64_t at_s) {
    int64_t said_s, wait_ms = at_s * 1000 - os_time_ns() / 1000000;
    bool shown = http_date(http_header(r, "Date"), &said_s) && at_s >= said_s
                 && at_s - said_s <= HTTP_RETRY_LONGEST_MS / 1000;
    if (shown) return (at_s - said_s) * 1000;
    return wait_ms > 0 ? wait_ms : 0;
}

MLXK_FN int64_t http_retry_asked(const struct http_response *r) {
    struct str after = http_header(r, "Retry-After"), limit = http_header(r, "RateLimit");
    int64_t x;
    if (limit.p && (x = http_retry_rate_limit(limit)) >= 0) return x;
    if (after.p && num_parse_i64(after, 0, INT32_MAX, &x)) return x * 1000;
    return after.p && http_date(after, &x) ? http_retry_until(r, x) : -1;
}

static int64_t http_retry_base_ms(void) {
    int64_t base_ms = HTTP_RETRY_BASE_MS;
    const char *set_cstr = os_env("MLXK_RETRY_BASE_MS");
    if (set_cstr) num_parse_i64(str_cstr(set_cstr), 1, HTTP_RETRY_MAX_MS, &base_ms);
    return base_ms;
}

MLXK_FN int64_t http_retry_next(struct http_retry *r, int64_t asked_ms, int tries) {
    int most = tries && tries < r->max_attempts ? tries : r->max_attempts;
    if (++r->attempt >= most) return -1;
    if (asked_ms > HTTP_RETRY_LONGEST_MS) return -1;      /* the caller tells the person */
    if (asked_ms >= 0) return asked_ms;
    int64_t wait_ms = http_retry_base_ms() << (r->attempt - 1 < 5 ? r->attempt - 1 : 5);
    if (wait_ms > HTTP_RETRY_MAX_MS) wait_ms = HTTP_RETRY_MAX_MS;
    while (!r->seed) os_entropy(&r->seed, sizeof r->seed);   /* most never get here */
    r->seed = r->seed * 6364136223846793005U + 1442695040888963407U;
    return wait_ms / 2 + (int64_t)((r->seed >> 33) % (uint64_t)(wait_ms / 2 + 1));
}

MLXK_FN int64_t http_retry_wait(struct http_retry *r, const struct http_response *response,
                                const struct err *failure) {
    bool broken = failure && (failure->code == ERR_NET || failure->code == ERR_NET_TIMEOUT);
    bool again = response ? http_retry_status(response->status) : broken;
    if (!again) return -1;
    return http_retry_next(r, response ? http_retry_asked(response) : -1,
                           response ? 0 : failure->tries);
}

MLXK_FN bool http_retry_sleep(int64_t wait_ms, struct err *e) {
    for (int64_t end_ns = os_now_ns() + wait_ms * 1000000, left_ms = wait_ms; left_ms > 0;) {
        os_sleep_ms(left_ms < HTTP_RETRY_STEP_MS ? left_ms : HTTP_RETRY_STEP_MS);
        if (os_interrupted()) break;
        left_ms = (end_ns - os_now_ns() + 999999) / 1000000;
    }
    return !os_interrupted() || err_set(e, ERR_INTERRUPTED, "stopped by the user");
}
