/* fuzz_http_msg.c: any bytes as an answer: head, ranges and dates in its fields, chunked body.
 *
 * Besides not crashing: a head that is accepted has clean fields, and how the chunked body
 * arrives (at once, byte by byte) makes no difference to what comes out of it.
 *
 * covers: net/http_msg.c net/http_heed.c:http_heed_parse
 */
#include "net/net_int.h"

int fuzz_http_msg(const uint8_t *data, size_t size);

enum { FUZZ_HTTP_BODY = 1 << 16 };

struct fuzz_http_result { uint64_t hash; size_t n; bool ok, done; };

static struct fuzz_http_result fuzz_http_dechunk(const uint8_t *data, size_t size, size_t step) {
    struct fuzz_http_result r = { .ok = true };
    struct http_chunks c = { 0 };
    struct err e = { 0 };
    static uint8_t out[FUZZ_HTTP_BODY];
    for (size_t i = 0; i < size && !c.done && r.ok;) {
        size_t n = size - i < step ? size - i : step, n_in = 0, n_out = 0;
        r.ok = http_chunks_decode(&c, data + i, n, &n_in, out, &n_out, &e);
        if (!r.ok) break;
        MLXK_ASSERT(n_in <= n && n_out <= n && (n_in == n || c.done));
        for (size_t k = 0; k < n_out; k++) r.hash = r.hash * 31 + out[k];
        r.n += n_out;
        i += n_in;
    }
    r.done = c.done;
    return r;
}

int fuzz_http_msg(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size };
    struct arena a;
    struct err e = { 0 };
    struct http_head head;
    uint64_t start, end, total;
    int64_t time_s;
    if (size > FUZZ_HTTP_BODY) return 0;
    arena_init(&a, (size_t)4 << 20);
    size_t n = http_head_length(text);
    MLXK_ASSERT(n <= size);
    if (n && http_head_parse(&a, str_sub(text, 0, n), &head, &e)) {
        MLXK_ASSERT(head.status >= 100 && head.status <= 599 && head.n_headers <= NET_MAX_HEADERS);
        for (size_t i = 0; i < head.n_headers; i++) {
            struct str name = head.headers[i].name, value = head.headers[i].value;
            MLXK_ASSERT(name.n > 0 && str_find_char(name, ':') < 0 && str_find_char(value, '\n') < 0
                        && str_find_char(value, '\r') < 0);
            if (http_content_range(value, &start, &end, &total))
                MLXK_ASSERT(start <= end && (total == UINT64_MAX || end < total));
            (void)http_date(value, &time_s);
            struct str topic = STR_EMPTY, said = STR_EMPTY;
            if (http_heed_parse(name, value, &topic, &said))
                MLXK_ASSERT(said.n > 0 && said.n <= 300 && said.n <= value.n
                            && topic.n <= value.n);
            MLXK_ASSERT(http_rate_number(value, "r=") >= -1);
        }
    }
    struct fuzz_http_result whole = fuzz_http_dechunk(data + n, size - n, size),
                            bytes = fuzz_http_dechunk(data + n, size - n, 1);
    MLXK_ASSERT(whole.ok == bytes.ok && whole.done == bytes.done);
    if (whole.ok) MLXK_ASSERT(whole.n == bytes.n && whole.hash == bytes.hash);
    arena_release(&a);
    return 0;
}
