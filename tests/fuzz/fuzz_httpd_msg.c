/* fuzz_httpd_msg.c: any bytes as a request: head, range, escapes in its path, chunked body.
 *
 * Besides not crashing: a head that is accepted has one framing, one host and clean fields; a head
 * that is refused half-way is refused whole; a range lies inside its total; how a body arrives makes
 * no difference to what comes out of it.
 *
 * covers: net/httpd_msg.c:httpd_msg net/httpd_msg.c:httpd_head net/httpd_msg.c:httpd_range
 * covers: net/httpd_msg.c:httpd_decode
 */
#include "net/net_int.h"

int fuzz_httpd_msg(const uint8_t *data, size_t size);

enum { FUZZ_HTTPD_MAX = 1 << 16 };

static void fuzz_httpd_clean(struct str s) {
    for (size_t i = 0; i < s.n; i++) MLXK_ASSERT(s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != 0);
}

static void fuzz_httpd_ranges(struct str value) {
    static const uint64_t totals[] = { 0, 1, 10, UINT64_MAX - 1 };
    for (size_t i = 0; i < MLXK_COUNT(totals); i++) {
        uint64_t from, to;
        enum httpd_range r = httpd_range_parse(value, totals[i], &from, &to);
        if (r == HTTPD_PART) MLXK_ASSERT(from < to && to <= totals[i]);
        if (r == HTTPD_WHOLE) MLXK_ASSERT(from == 0 && to == totals[i]);
    }
}

static void fuzz_httpd_accepted(struct arena *a, const struct httpd_head *h) {
    struct str decoded;
    size_t n_lengths = 0, n_hosts = 0;
    MLXK_ASSERT(h->method.n && h->path.n && (h->path.p[0] == '/' || str_eq(h->path, STR("*"))));
    MLXK_ASSERT(!h->chunked || h->length == 0);
    MLXK_ASSERT(h->n_headers <= HTTPD_MAX_HEADERS);
    fuzz_httpd_clean(h->path);
    fuzz_httpd_clean(h->query);
    for (size_t i = 0; i < h->n_headers; i++) {
        struct str name = h->headers[i].name;
        fuzz_httpd_clean(name);
        fuzz_httpd_clean(h->headers[i].value);
        n_lengths += str_ieq(name, STR("Content-Length")) || str_ieq(name, STR("Transfer-Encoding"));
        n_hosts += str_ieq(name, STR("Host"));
        if (str_ieq(name, STR("Range"))) fuzz_httpd_ranges(h->headers[i].value);
    }
    MLXK_ASSERT(n_lengths <= 1 && n_hosts <= 1 && (n_hosts == 1 || h->http_1_0));
    if (httpd_decode(a, h->path, false, &decoded))
        MLXK_ASSERT(utf8_valid(decoded) && str_find_char(decoded, 0) < 0);
    if (httpd_decode(a, h->query, true, &decoded)) MLXK_ASSERT(decoded.n <= h->query.n);
}

/* Decoded in steps of so many bytes: a hash of what came out, or 0 when it is refused. */
static uint64_t fuzz_httpd_body(const uint8_t *data, size_t size, size_t step) {
    static uint8_t out[FUZZ_HTTPD_MAX];
    struct http_chunks c = { .strict = true };
    struct err e = { 0 };
    uint64_t hash = 1;
    for (size_t i = 0; i < size && !c.done;) {
        size_t n = size - i < step ? size - i : step, n_in = 0, n_out = 0;
        if (!http_chunks_decode(&c, data + i, n, &n_in, out, &n_out, &e)) return 0;
        for (size_t k = 0; k < n_out; k++) hash = hash * 31 + out[k] + 1;
        i += n_in;
    }
    return hash * 2 + c.done;
}

int fuzz_httpd_msg(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size };
    struct httpd_head head;
    struct arena a;
    const char *why_cstr = NULL;
    if (size > FUZZ_HTTPD_MAX) return 0;
    arena_init(&a, (size_t)4 << 20);
    size_t n = http_head_length(text);
    if (n) {
        int status = httpd_head_parse(&a, str_sub(text, 0, n), &head, &why_cstr);
        MLXK_ASSERT(status == 0 || (status >= 400 && status <= 505 && why_cstr[0]));
        if (status == 0) fuzz_httpd_accepted(&a, &head);
        for (size_t k = 0; status == 0 && k < n; k += 1 + n / 16)   /* no part of it is refused */
            MLXK_ASSERT(httpd_head_check(str_sub(text, 0, k), &why_cstr) == 0);
    }
    fuzz_httpd_ranges(str_sub(text, 0, 64));
    MLXK_ASSERT(fuzz_httpd_body(data + n, size - n, size) == fuzz_httpd_body(data + n, size - n, 1));
    arena_release(&a);
    return 0;
}
