/* test_net.c: addresses, message heads, framing, dates, retries, proxies; the client against a
 * scripted server on loopback. TLS and faults in the middle of transfers: tests/cli/3*-pull*.sh.
 */
#include "net/net_int.h"
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* ---- addresses ------------------------------------------------------------------------------- */

TEST(url_parts) {
    struct arena a;
    struct err e = { 0 };
    struct net_url u;
    arena_init(&a, 1 << 20);
    CHECK_OK(net_url_parse(&a, STR("HTTPS://Hub.Example/a/b?c=d#frag"), &u, &e), e);
    CHECK(u.tls && !u.host_is_ip);
    CHECK_EQ(u.port, 443);
    CHECK_STR(u.host, STR("hub.example"));
    CHECK_STR(u.target, STR("/a/b?c=d"));
    CHECK_STR(u.authority, STR("hub.example"));
    CHECK_OK(net_url_parse(&a, STR("http://127.0.0.1:8080"), &u, &e), e);
    CHECK(!u.tls && u.host_is_ip);
    CHECK_STR(u.target, STR("/"));
    CHECK_STR(u.authority, STR("127.0.0.1:8080"));
    CHECK_OK(net_url_parse(&a, STR("http://[::1]:80?x"), &u, &e), e);
    CHECK_STR(u.host, STR("::1"));
    CHECK_STR(u.authority, STR("[::1]"));
    CHECK_STR(u.target, STR("/?x"));
    CHECK_STR(net_url_text(&a, &u), STR("http://[::1]/?x"));
    CHECK_OK(net_url_parse(&a, STR("https://h:443/"), &u, &e), e);
    CHECK_STR(net_url_text(&a, &u), STR("https://h/"));
    CHECK_OK(net_url_parse(&a, STR("https://server1/"), &u, &e),
             e); /* ends in a digit, is a name */
    CHECK(!u.host_is_ip);
    arena_release(&a);
}

TEST(url_refused) {
    static const char *const bad[] = {
        "",
        "hub.example",
        "ftp://h/",
        "http:/h",
        "http://",
        "http:///x",
        "http://u:secret@h/",
        "http://h:0/",
        "http://h:65536/",
        "http://h:-1/",
        "http://h:8a/",
        "http://h /",
        "http://h/a b",
        "http://h/\r\nX: y",
        "http://h\\evil/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[1.2.3.4]/",
        "http://[::g]/",
        "http://-h/",
        "http://.h/",
        "http://h%41/",
        "http://h/\xc3\xa4",
        "://h/",
        "javascript://h/",
    };
    struct arena a;
    struct err e = { 0 };
    struct net_url u;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        CHECK_ERR(net_url_parse(&a, str_cstr(bad[i]), &u, &e), e, ERR_INVALID);
        CHECK(!strstr(e.msg, "secret"));
    }
    char *longest = arena_alloc(&a, NET_MAX_URL + 1, 1);
    memset(longest, 'a', NET_MAX_URL + 1);
    memcpy(longest, "http://h/", 9);
    CHECK_ERR(net_url_parse(&a, (struct str){ longest, NET_MAX_URL + 1 }, &u, &e), e, ERR_INVALID);
    err_clear(&e);
    CHECK_OK(net_url_parse(&a, (struct str){ longest, NET_MAX_URL }, &u, &e), e);
    arena_release(&a);
}

TEST(url_resolve) {     /* RFC 3986 section 5.4, where it concerns http */
    static const struct { const char *location, *want;
    } rows[] = {
        { "g", "http://a/b/c/g" },
        { "./g", "http://a/b/c/g" },
        { "g/", "http://a/b/c/g/" },
        { "/g", "http://a/g" },
        { "//g", "http://g/" },
        { "?y", "http://a/b/c/d;p?y" },
        { "g?y", "http://a/b/c/g?y" },
        { "#s", "http://a/b/c/d;p?q" },
        { "g#s", "http://a/b/c/g" },
        { ".", "http://a/b/c/" },
        { "..", "http://a/b/" },
        { "../g", "http://a/b/g" },
        { "../..", "http://a/" },
        { "../../g", "http://a/g" },
        { "../../../g", "http://a/g" },
        { "/./g", "http://a/g" },
        { "/../g", "http://a/g" },
        { "g.", "http://a/b/c/g." },
        { "..g", "http://a/b/c/..g" },
        { "./g/.", "http://a/b/c/g/" },
        { "g/./h", "http://a/b/c/g/h" },
        { "g/../h", "http://a/b/c/h" },
        { "g?y/../x", "http://a/b/c/g?y/../x" },
        { "https://x:8443/y", "https://x:8443/y" },
        { "/login?to=https://x/y", "http://a/login?to=https://x/y" },
        { "g?u=http://x:1/", "http://a/b/c/g?u=http://x:1/" },
        { "/sp ace/\xc3\xa4", "http://a/sp%20ace/%C3%A4" },
        { "/a//../b", "http://a/a/b" },
    };
    struct arena a;
    struct err e = { 0 };
    struct net_url base, u;
    arena_init(&a, 1 << 20);
    CHECK_OK(net_url_parse(&a, STR("http://a/b/c/d;p?q"), &base, &e), e);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        CHECK_OK(net_url_resolve(&a, &base, str_cstr(rows[i].location), &u, &e), e);
        CHECK_STR(net_url_text(&a, &u), str_cstr(rows[i].want));
    }
    CHECK_ERR(net_url_resolve(&a, &base, STR("mailto:x"), &u, &e), e, ERR_INVALID);
    CHECK_ERR(net_url_resolve(&a, &base, STR("ftp://x/"), &u, &e), e, ERR_INVALID);
    CHECK_ERR(net_url_resolve(&a, &base, STR("//u@h/"), &u, &e), e, ERR_INVALID);
    CHECK_ERR(net_url_resolve(&a, &base, STR("/x\r\ny"), &u, &e), e, ERR_INVALID);
    arena_release(&a);
}

TEST(url_origin_and_encoding) {
    struct arena a;
    struct err e = { 0 };
    struct net_url u, v;
    struct buf b;
    arena_init(&a, 1 << 20);
    CHECK(net_url_parse(&a, STR("https://h/x"), &u, &e)
          && net_url_parse(&a, STR("https://H:443/y"), &v, &e));
    CHECK(net_url_same_origin(&u, &v));
    CHECK(net_url_parse(&a, STR("http://h:443/"), &v, &e) && !net_url_same_origin(&u, &v));
    CHECK(net_url_parse(&a, STR("https://h:444/"), &v, &e) && !net_url_same_origin(&u, &v));
    CHECK(net_url_parse(&a, STR("https://h.x/"), &v, &e) && !net_url_same_origin(&u, &v));
    buf_init(&b, 1000);
    net_url_encode(&b, (struct str){ "a/b c#%+?\0\xc3\xa4~", 13 }, "/");
    CHECK_STR(buf_str(&b), STR("a/b%20c%23%25%2B%3F%00%C3%A4~"));
    buf_reset(&b);
    net_url_encode(&b, STR("refs/pr/1"), "");
    CHECK_STR(buf_str(&b), STR("refs%2Fpr%2F1"));
    buf_release(&b);
    arena_release(&a);
}

TEST(url_ip_literals) {
    static const struct { const char *text; size_t n; const char *hex;
    } rows[] = {
        { "127.0.0.1", 4, "7f000001" },
        { "255.255.255.255", 4, "ffffffff" },
        { "::", 16, "00000000000000000000000000000000" },
        { "::1", 16, "00000000000000000000000000000001" },
        { "1::", 16, "00010000000000000000000000000000" },
        { "fe80::1:2", 16, "fe800000000000000000000000010002" },
        { "1:2:3:4:5:6:7:8", 16, "00010002000300040005000600070008" },
        { "::ffff:1.2.3.4", 16, "00000000000000000000ffff01020304" },
        { "1:2:3:4:5:6:1.2.3.4", 16, "00010002000300040005000601020304" },
        { "1.2.3", 0, "" },
        { "1.2.3.4.5", 0, "" },
        { "1.2.3.256", 0, "" },
        { "01.2.3.0004", 0, "" },
        { "", 0, "" },
        { "a", 0, "" },
        { ":", 0, "" },
        { ":::", 0, "" },
        { "1:2:3:4:5:6:7", 0, "" },
        { "1:2:3:4:5:6:7:8:9", 0, "" },
        { "1::2::3", 0, "" },
        { "12345::", 0, "" },
        { "g::", 0, "" },
        { ":1:2:3:4:5:6:7", 0, "" },
        { "1:2:3:4:5:6:7:", 0, "" },
        { "::1.2.3.4.5", 0, "" },
        { "1:2:3:4:5:6:7:1.2.3.4", 0, "" },
        { "1:2:3:4:5:6:7:8::", 0, "" },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        uint8_t ip[16];
        char hex[33];
        size_t n = net_ip_bytes(str_cstr(rows[i].text), ip);
        CHECK_EQ(n, rows[i].n);
        str_hex(hex, ip, n);
        CHECK_STR(str_cstr(hex), str_cstr(rows[i].hex));
    }
}

/* ---- heads, ranges, dates -------------------------------------------------------------------- */

/* Whether a name is worth asking for. No way leads to a link-local address without a link. */
TEST(names_lost) {
    static const struct { const char *hosts, *resolv; bool lost; } rows[] = {
        { "", "", false },                           /* no servers are said: the library's */
        { "", "nameserver fe80::1\n", true },
        { "127.0.0.1 localhost\n", "# x\nsearch a.test\nnameserver\tfe80::1\r\n", true },
        { "", "nameserver fe80::1\nnameserver 127.0.0.1\n", false },
        { "", "nameserver fe80::1%lo\n", false },             /* not ours to judge */
        { "", "nameserver 127.0.0.53", false },
        { "", "nameserver", false },
        { "10.0.0.1\tother two.Hub.test # three.test", "nameserver fe80::1", false },
        { "10.0.0.1 three # two.hub.test\n#10.0.0.1 two.hub.test\n", "nameserver fe80::1", true },
        { "two.hub.test", "nameserver fe80::1", true },      /* an address comes first */
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++)
        CHECK_EQ(net_names_lost(STR("two.hub.test"), str_cstr(rows[i].hosts),
                                str_cstr(rows[i].resolv)), rows[i].lost);
}

TEST(head_length) {
    CHECK_EQ(http_head_length(STR("")), 0);
    CHECK_EQ(http_head_length(STR("HTTP/1.1 200 OK\r\n")), 0);
    CHECK_EQ(http_head_length(STR("HTTP/1.1 200 OK\r\n\r")), 0);
    CHECK_EQ(http_head_length(STR("HTTP/1.1 200 OK\r\n\r\nbody")), 19);
    CHECK_EQ(http_head_length(STR("HTTP/1.1 200 OK\n\nbody")), 17);
    CHECK_EQ(http_head_length(STR("HTTP/1.1 200 OK\r\nA: b\r\n\nbody")), 24);
    CHECK_EQ(http_head_length(STR("HTTP/1.1 200 OK\nA: b\n\r\nbody")), 23);
}

TEST(head_fields) {
    struct arena a;
    struct err e = { 0 };
    struct http_head h;
    arena_init(&a, 4 << 20);
    CHECK_OK(
        http_head_parse(
            &a,
            STR("HTTP/1.1 206 Partial\r\nContent-Length:12\r\nx-empty:\r\nETag:  \"a:b\" \r\n\r\n"),
            &h, &e),
        e);
    CHECK_EQ(h.status, 206);
    CHECK(!h.http_1_0);
    CHECK_EQ(h.n_headers, 3);
    CHECK_STR(http_head_find(h.headers, h.n_headers, "content-LENGTH"), STR("12"));
    CHECK_STR(http_head_find(h.headers, h.n_headers, "etag"), STR("\"a:b\""));
    struct str empty = http_head_find(h.headers, h.n_headers, "X-Empty");
    CHECK(empty.p && empty.n == 0);
    CHECK(!http_head_find(h.headers, h.n_headers, "absent").p);
    CHECK_OK(http_head_parse(&a, STR("HTTP/1.0 404\n\n"), &h, &e), e);
    CHECK(h.http_1_0 && h.status == 404);
    arena_release(&a);
}

TEST(head_refused) {
    static const struct { const char *text; size_t n;
    } bad[] = {
#define NET_BAD(s) { s, sizeof(s) - 1 }
        NET_BAD("\r\n\r\n"),
        NET_BAD("ICY 200 OK\r\n\r\n"),
        NET_BAD("HTTP/2.0 200 OK\r\n\r\n"),
        NET_BAD("HTTP/1.1 20 OK\r\n\r\n"),
        NET_BAD("HTTP/1.1 2000 OK\r\n\r\n"),
        NET_BAD("HTTP/1.1 099 OK\r\n\r\n"),
        NET_BAD("HTTP/1.1 600 OK\r\n\r\n"),
        NET_BAD("HTTP/1.1 abc\r\n\r\n"),
        NET_BAD("HTTP/1.1 +20 OK\r\n\r\n"),
        NET_BAD("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
        NET_BAD("HTTP/1.1 200 OK\r\nA : b\r\n\r\n"),
        NET_BAD("HTTP/1.1 200 OK\r\n: b\r\n\r\n"),
        NET_BAD("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n"),
        NET_BAD("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n"),
        NET_BAD("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n"),
        NET_BAD("HTTP/1.1 200 OK\r\nA(): b\r\n\r\n"),
        NET_BAD("HTTP/1.1 200 OK\r\n\xc3\xa4: b\r\n\r\n"),
#undef NET_BAD
    };
    struct arena a;
    struct err e = { 0 };
    struct http_head h;
    struct buf many;
    arena_init(&a, 8 << 20);
    for (size_t i = 0; i < MLXK_COUNT(bad); i++)
        CHECK_ERR(http_head_parse(&a, (struct str){ bad[i].text, bad[i].n }, &h, &e), e,
                  ERR_FORMAT);
    buf_init(&many, 1 << 20);
    buf_add(&many, STR("HTTP/1.1 200 OK\r\n"));
    for (int i = 0; i < NET_MAX_HEADERS; i++) buf_add(&many, STR("A: b\r\n"));
    CHECK_OK(http_head_parse(&a, buf_str(&many), &h, (err_clear(&e), &e)), e);
    CHECK_EQ(h.n_headers, NET_MAX_HEADERS);
    buf_add(&many, STR("A: b\r\n"));
    CHECK_ERR(http_head_parse(&a, buf_str(&many), &h, &e), e, ERR_LIMIT);
    buf_release(&many);
    arena_release(&a);
}

TEST(content_range) {
    uint64_t start, end, total;
    CHECK(http_content_range(STR("bytes 10-19/100"), &start, &end, &total) && start == 10
          && end == 19 && total == 100);
    CHECK(http_content_range(STR("Bytes 0-0/*"), &start, &end, &total) && end == 0
          && total == UINT64_MAX);
    static const char *const bad[] = {
        "",
        "bytes",
        "bytes 10-9/100",
        "bytes 0-100/100",
        "bytes 0-9",
        "bytes -9/100",
        "items 0-9/100",
        "bytes 0-9/10x",
        "bytes */100",
        "bytes 0-18446744073709551616/*",
        "bytes 0x0-9/10",
        "bytes 0-9/-1",
        "bytes=0-9/10",
    };
    for (size_t i = 0; i < MLXK_COUNT(bad); i++)
        CHECK(!http_content_range(str_cstr(bad[i]), &start, &end, &total));
}

TEST(date) {
    int64_t t;
    CHECK(http_date(STR("Sun, 06 Nov 1994 08:49:37 GMT"), &t));
    CHECK_EQ(t, 784111777);
    CHECK(http_date(STR("Thu, 01 Jan 1970 00:00:00 GMT"), &t) && t == 0);
    CHECK(http_date(STR("Thu, 29 Feb 2024 23:59:59 GMT"), &t));
    CHECK_EQ(t, 1709251199);
    CHECK(http_date(STR("Fri, 31 Dec 2100 00:00:00 GMT"), &t));
    CHECK_EQ(t, 4133894400);
    CHECK(http_date(STR("Sunday, 06-Nov-94 08:49:37 GMT"), &t) && t == 784111777);
    CHECK(http_date(STR("Wednesday, 02-Dec-26 08:49:37 GMT"), &t) && t == 1796201377);
    CHECK(http_date(STR("Sun Nov  6 08:49:37 1994"), &t) && t == 784111777);
    CHECK(http_date(STR("Sat Nov 26 08:49:37 1994"), &t) && t == 785839777);
    static const char *const bad[] = {
        "",
        ",",
        "Sunday, 06-Nov-94 08:49:37",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov    08:49:37 1994",
        "Sun, Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nob 1994 08:49:37 GMT",
        "Sun, 06 anF 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1900 08:49:37 GMT",
    };
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) CHECK(!http_date(str_cstr(bad[i]), &t));
}

/* ---- chunks ---------------------------------------------------------------------------------- */

/* Feeds text in pieces of `step`; the decoded body, "!" when refused, "?" when not finished. */
static struct str net_dechunk(struct arena *a, struct str text, size_t step) {
    struct http_chunks c = { 0 };
    struct err e = { 0 };
    struct buf out;
    uint8_t piece[256];
    buf_init(&out, 10000);
    for (size_t i = 0; i < text.n && !c.done;) {
        size_t n = text.n - i < step ? text.n - i : step, n_in, n_out;
        if (!http_chunks_decode(&c, (const uint8_t *)text.p + i, n, &n_in, piece, &n_out, &e)) {
            buf_reset(&out);
            buf_add_char(&out, '!');
            break;
        }
        buf_add_bytes(&out, piece, n_out);
        i += n_in;
    }
    if (!c.done && e.code == ERR_OK) buf_add_char(&out, '?');
    struct str s = str_dup(a, buf_str(&out));
    buf_release(&out);
    return s;
}

TEST(chunks) {
    static const struct { const char *text, *want;
    } rows[] = {
        { "5\r\nhello\r\n0\r\n\r\n", "hello" },
        { "5;x=1\r\nhello\r\n1 \r\n!\r\n0\r\n\r\n", "hello!" },
        { "A\nhello\nyou\n\n0\n\n", "hello\nyou\n" },
        { "00005\r\nhello\r\n00\r\nTrailer: x\r\nLast: y\r\n\r\nnext", "hello" },
        { "0\r\n\r\n", "" },
        { "5\r\nhello\r\n0\r\nx\n\r\n", "hello" },
        { "5\r\nhello\r\n0\r\nx\n", "hello?" },
        { "5\r\nhel", "hel?" },
        { "5\r\nhello\r\n", "hello?" },
        { "\r\n", "!" },
        { "x\r\n", "!" },
        { "-5\r\nhello", "!" },
        { "5\r\nhelloX\r\n0\r\n\r\n", "!" },
        { "5\r\nhello\r\r\n0\r\n\r\n", "!" },
        { "5\rhello", "!" },
        { "1000000000000000\r\n", "!" },
        { ";\r\n", "!" },
    };
    struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++)
        for (size_t step = 1; step <= 64; step = step * 2 + 1)
            CHECK_STR(net_dechunk(&a, str_cstr(rows[i].text), step), str_cstr(rows[i].want));
    char *line = arena_alloc(&a, 5000, 1);       /* an extension without end */
    memset(line, 'x', 5000);
    memcpy(line, "5;", 2);
    CHECK_STR(net_dechunk(&a, (struct str){ line, 5000 }, 100), STR("!"));
    arena_release(&a);
}

/* ---- retries --------------------------------------------------------------------------------- */

static int64_t net_wait_for(int status, const char *name_cstr, const char *value_cstr) {
    struct http_retry r;
    struct http_header h = { str_cstr(name_cstr), str_cstr(value_cstr) };
    struct http_response answer = { .status = status,
                                    .headers = &h,
                                    .n_headers = name_cstr ? 1 : 0 };
    http_retry_init(&r, 3);
    return http_retry_wait(&r, &answer, NULL);
}

TEST(retry_by_the_servers_clock) {
    struct http_header h[] = { { STR("Retry-After"), STR("Sun, 06 Nov 1994 08:49:40 GMT") },
                               { STR("Date"), STR("Sun, 06 Nov 1994 08:49:37 GMT") } };
    struct http_response answer = { .status = 429, .headers = h, .n_headers = 2 };
    CHECK_EQ(http_retry_asked(&answer), 3000);
    h[1].value = STR("Sun, 06 Nov 1994 08:49:41 GMT");   /* over: by neither clock */
    CHECK_EQ(http_retry_asked(&answer), 0);
    h[1].value = STR("Thu, 01 Jan 1970 00:00:00 GMT");   /* a clock that is no clock */
    CHECK_EQ(http_retry_asked(&answer), 0);
    h[1].value = STR("today");
    CHECK_EQ(http_retry_asked(&answer), 0);
}

TEST(retry_table) {
    static const int again[] = { 408, 429, 500, 502, 503, 504 },
                     never[] = { 200, 301, 400, 401, 403, 404, 410, 416, 501, 505 };
    unsetenv("MLXK_RETRY_BASE_MS");
    for (size_t i = 0; i < MLXK_COUNT(again); i++) {
        int64_t ms = net_wait_for(again[i], NULL, NULL);
        CHECK(ms >= 500 && ms <= 1000);
    }
    for (size_t i = 0; i < MLXK_COUNT(never); i++) CHECK_EQ(net_wait_for(never[i], NULL, NULL), -1);
    CHECK_EQ(net_wait_for(429, "Retry-After", "7"), 7000);
    CHECK_EQ(net_wait_for(503, "retry-after", "0"), 0);
    CHECK_EQ(net_wait_for(503, "Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"), 0);
    CHECK_EQ(net_wait_for(429, "Retry-After", "301"), -1);
    CHECK_EQ(net_wait_for(429, "RateLimit", "\"api\";r=0;t=55"), 56000);
    int64_t ms = net_wait_for(429, "RateLimit", "\"api\";r=3;t=55");
    CHECK(ms >= 500 && ms <= 1000);
    ms = net_wait_for(429, "Retry-After", "soon");
    CHECK(ms >= 500 && ms <= 1000);
}

TEST(warnings_of_servers) {
    static const struct { const char *name, *value, *topic, *text; } rows[] = {
        { "x-hf-warning", "quota; nearly used up", "quota", "nearly used up" },
        { "X-HF-Warning", "alone", "alone", "alone" },
        { "X-HF-Warning", "t;", NULL, NULL },
        { "Warning", "299 - \"old client\" \"Sat, 25 Aug 2012\"", "old client", "old client" },
        { "warning", "299 - \"a \\\"b\\\" c\"", "a \\\"b\\\" c", "a \\\"b\\\" c" },
        { "Warning", "299 agent no quotes", "no quotes", "no quotes" },
        { "Warning", "299", NULL, NULL }, { "Warning", "299 - \"open", NULL, NULL },
        { "Warning", "299 - \"ends\\", NULL, NULL }, { "Server", "t; x", NULL, NULL },
    };
    struct str topic, text;
    char longer[400];
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        topic = text = STR_EMPTY;
        bool says = http_heed_parse(str_cstr(rows[i].name), str_cstr(rows[i].value), &topic, &text);
        CHECK_EQ(says, rows[i].text != NULL);
        if (!says || !rows[i].text) continue;
        CHECK_STR(topic, str_cstr(rows[i].topic));
        CHECK_STR(text, str_cstr(rows[i].text));
    }
    memset(longer, 'x', sizeof longer);
    memcpy(longer + 299, "\xc3\xa4", 2);         /* not cut in half */
    CHECK(http_heed_parse(STR("X-HF-Warning"), (struct str){ longer, sizeof longer }, &topic, &text));
    CHECK_EQ(text.n, 299);
    CHECK_EQ(http_rate_number(STR("\"api\";r=3;t=55"), "t="), 55);
    CHECK_EQ(http_rate_number(STR("\"api\";r=-3"), "r="), -1);
}

TEST(retry_growth) {
    struct http_retry r;
    struct err net = { .code = ERR_NET }, late = { .code = ERR_NET_TIMEOUT },
               other = { .code = ERR_TLS };
    unsetenv("MLXK_RETRY_BASE_MS");
    http_retry_init(&r, 9);
    int64_t top = 1000;
    for (int i = 0; i < 8; i++) {
        int64_t ms = http_retry_wait(&r, NULL, i % 2 ? &net : &late);
        CHECK(ms >= top / 2 && ms <= top);
        top = top * 2 > 30000 ? 30000 : top * 2;
    }
    CHECK_EQ(http_retry_wait(&r, NULL, &net), -1);
    http_retry_init(&r, 9);
    CHECK_EQ(http_retry_wait(&r, NULL, &other), -1);
    setenv("MLXK_RETRY_BASE_MS", "10", 1);
    http_retry_init(&r, 9);
    int64_t ms = http_retry_wait(&r, NULL, &net);
    CHECK(ms >= 5 && ms <= 10);
    unsetenv("MLXK_RETRY_BASE_MS");
}

/* ---- proxies --------------------------------------------------------------------------------- */

static const char *const net_proxy_names[] = { "http_proxy",  "HTTP_PROXY", "https_proxy",
                                               "HTTPS_PROXY", "all_proxy",  "ALL_PROXY",
                                               "no_proxy",    "NO_PROXY",   "REQUEST_METHOD" };

static void net_proxy_clear(void) {
    for (size_t i = 0; i < MLXK_COUNT(net_proxy_names); i++) unsetenv(net_proxy_names[i]);
}

/* The proxy's authority for a URL, "" = none, "!" = the setting is refused. */
static struct str net_proxy_of(struct arena *a, const char *url_cstr, struct net_proxy *out) {
    struct net_url u;
    struct err e = { 0 };
    CHECK_OK(net_url_parse(a, str_cstr(url_cstr), &u, &e), e);
    if (!net_proxy_for(a, &u, out, &e)) return STR("!");
    return out->url.host.n ? out->url.authority : STR("");
}

TEST(proxy_choice) {
    struct arena a;
    struct net_proxy p;
    arena_init(&a, 1 << 20);
    net_proxy_clear();
    CHECK_STR(net_proxy_of(&a, "http://h/", &p), STR(""));
    setenv("HTTP_PROXY", "http://up:3128", 1);
    CHECK_STR(net_proxy_of(&a, "http://h/", &p), STR("up:3128"));
    CHECK_STR(net_proxy_of(&a, "https://h/", &p), STR(""));
    setenv("http_proxy", "low:1", 1);
    CHECK_STR(net_proxy_of(&a, "http://h/", &p), STR("low:1"));
    unsetenv("http_proxy");
    setenv("REQUEST_METHOD", "GET", 1); /* CGI: the client could have set it */
    CHECK_STR(net_proxy_of(&a, "http://h/", &p), STR(""));
    unsetenv("REQUEST_METHOD");
    setenv("ALL_PROXY", "http://all", 1);
    CHECK_STR(net_proxy_of(&a, "https://h/", &p), STR("all"));
    setenv("HTTPS_PROXY", "http://us%65r:p%40ss@sec:8080/", 1);
    CHECK_STR(net_proxy_of(&a, "https://h/", &p), STR("sec:8080"));
    CHECK_STR(p.auth, STR("Basic dXNlcjpwQHNz"));
    setenv("HTTPS_PROXY", "http://a:b@p", 1);
    CHECK_STR(net_proxy_of(&a, "https://h/", &p), STR("p"));
    CHECK_STR(p.auth, STR("Basic YTpi"));
    setenv("HTTPS_PROXY", "http://a%4:@p", 1);
    net_proxy_of(&a, "https://h/", &p);
    CHECK_STR(p.auth, STR("Basic YSU0Og=="));
    setenv("HTTPS_PROXY", "socks5://p:1080", 1);
    CHECK_STR(net_proxy_of(&a, "https://h/", &p), STR("!"));
    setenv("HTTPS_PROXY", "https://u:v@p", 1);
    CHECK_STR(net_proxy_of(&a, "https://h/", &p), STR("p"));
    CHECK(p.url.tls && p.url.port == 443);
    CHECK_STR(p.auth, STR("Basic dTp2"));
    setenv("HTTPS_PROXY", "[::1]:3128", 1);
    CHECK_STR(net_proxy_of(&a, "https://h/", &p), STR("[::1]:3128"));
    CHECK(!p.url.tls);
    setenv("HTTPS_PROXY", "", 1);
    CHECK_STR(net_proxy_of(&a, "https://h/", &p), STR("all"));
    net_proxy_clear();
    arena_release(&a);
}

TEST(proxy_exceptions) {
    static const struct { const char *list, *url; bool excluded;
    } rows[] = {
        { "*", "http://h/", true },
        { "h", "http://h/", true },
        { "h", "http://x.h/", true },
        { ".h", "http://x.h/", true },
        { ".h", "http://h/", true },
        { "*.h", "http://x.h/", true },
        { "h", "http://xh/", false },
        { "H.Example", "http://h.example/", true },
        { "a, b ,h", "http://h/", true },
        { "a b h", "http://h/", true },
        { "h:80", "http://h/", true },
        { "h:81", "http://h/", false },
        { "h:81", "http://h:81/", true },
        { "127.0.0.1", "http://127.0.0.1:9/", true },
        { "0.0.1", "http://127.0.0.1/", false },
        { "10.0.0.0/8", "http://10.255.1.2/", true },
        { "10.0.0.0/8", "http://11.0.0.1/", false },
        { "10.1.2.128/25", "http://10.1.2.127/", false },
        { "10.1.2.128/25", "http://10.1.2.200/", true },
        { "0.0.0.0/0", "http://9.9.9.9/", true },
        { "10.0.0.0/33", "http://10.0.0.0/", false },
        { "10.0.0.0/8", "http://h/", false },
        { "::1", "http://[::1]/", true },
        { "[::1]", "http://[::1]:8/", true },
        { "[::1]:8", "http://[::1]:8/", true },
        { "[::1]:9", "http://[::1]:8/", false },
        { "fe80::/16", "http://[fe80::5]/", true },
        { "[fe80::]/10", "http://[fe80::5]/", true },
        { "fe80::/10", "http://[::1]/", false },
        { "0:0:0:0:0:0:0:1", "http://[::1]/", true },
        { "::127.0.0.1", "http://127.0.0.1/", false },
        { "127.0.0.1:80", "http://127.0.0.1/", true },
        { "h.", "http://h/", true },
        { "h", "http://h./", true },
        { ".", "http://h/", false },
        { "a\th\n", "http://h/", true },
        { "1", "http://127.0.0.1/", false },
        { "", "http://h/", false },
        { ",", "http://h/", false },
    };
    struct arena a;
    struct net_proxy p;
    arena_init(&a, 1 << 20);
    net_proxy_clear();
    setenv("http_proxy", "http://p:1", 1);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        setenv("NO_PROXY", rows[i].list, 1);
        struct str got = net_proxy_of(&a, rows[i].url, &p);
        if ((got.n == 0) != rows[i].excluded)
            test_fail(__FILE__, __LINE__, "NO_PROXY=%s for %s", rows[i].list, rows[i].url);
    }
    net_proxy_clear();
    arena_release(&a);
}

/* ---- gzip ------------------------------------------------------------------------------------ */

static const uint8_t net_hello_gz[] = {
    /* printf hello | gzip -n */
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xcb, 0x48, 0xcd,
    0xc9, 0xc9, 0x07, 0x00, 0x86, 0xa6, 0x10, 0x36, 0x05, 0x00, 0x00, 0x00,
};

TEST(gzip_stream) {
    struct err e = { 0 };
    struct gzip *g = gzip_open(&e);
    uint8_t out[64];
    size_t n_in, n_out, total = 0;
    bool done = false;
    CHECK(g);
    for (size_t i = 0; g && i < sizeof net_hello_gz && !done; i += n_in) {
        CHECK_OK(gzip_inflate(g, net_hello_gz + i, 1, &n_in, out + total, sizeof out - total,
                              &n_out, &done, &e),
                 e);
        total += n_out;
        if (n_in == 0) break;
    }
    CHECK(done && total == 5 && memcmp(out, "hello", 5) == 0);
    gzip_close(g);
    uint8_t damaged[sizeof net_hello_gz];
    memcpy(damaged, net_hello_gz, sizeof damaged);
    damaged[sizeof damaged - 5] ^= 1;            /* the checksum */
    g = gzip_open(&e);
    CHECK_ERR(gzip_inflate(g, damaged, sizeof damaged, &n_in, out, sizeof out, &n_out, &done, &e),
              e, ERR_NET);
    gzip_close(g);
    gzip_close(NULL);
}

TEST(roots) {
    size_t n = 0, i = 0;
    for (const uint8_t *der; (der = net_root_at(i, &n)) != NULL; i++)
        CHECK(n > 200 && der[0] == 0x30);
    CHECK(i > 100 && i < 400);
}

/* ---- the client against a script ------------------------------------------------------------- */

/* Answers requests in order, over as many connections as it takes. An answer that begins with '!'
 * is sent without that and the connection closed. */
struct net_script {
    const char *const *answers;
    size_t n;                    /* answers, for those with NUL or long ones: sizes[i] */
    int listener, port;
    struct os_thread *thread;
    int n_connections;
    struct buf seen;             /* heads of all requests */
};

static bool net_script_head(struct net_script *s, int fd) {
    char byte;
    size_t start = s->seen.n;
    for (;;) {
        if (recv(fd, &byte, 1, 0) != 1) return false;
        buf_add_char(&s->seen, byte);
        if (str_ends(str_sub(buf_str(&s->seen), start, s->seen.n), STR("\r\n\r\n"))) return true;
    }
}

/* The body that the head seen last announces. */
static void net_script_body(struct net_script *s, int fd) {
    struct str seen = buf_str(&s->seen), name = STR("\r\nContent-Length: ");
    ptrdiff_t at = str_find_last(seen, name), head = str_find_last(seen, STR(" HTTP/1.1\r\n"));
    if (at < head) return;
    struct str rest = str_sub(seen, (size_t)at + name.n, seen.n);
    uint64_t n = 0;
    char byte;
    num_parse_u64(str_cut(&rest, '\r'), 1 << 20, &n);
    for (; n && recv(fd, &byte, 1, 0) == 1; n--) buf_add_char(&s->seen, byte);
}

static void net_script_run(void *ctx) {
    struct net_script *s = ctx;
    size_t i = 0;
    while (i < s->n) {
        int fd = accept(s->listener, NULL, NULL);
        struct timeval wait = { .tv_sec = 5 };
        if (fd < 0) return;
        s->n_connections++;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        while (i < s->n && net_script_head(s, fd)) {
            const char *answer = s->answers[i++];
            bool last = answer[0] == '!';
            if (!last) net_script_body(s, fd);
            (void)!send(fd, answer + last, strlen(answer + last), 0);
            if (last) break;
        }
        char byte;
        if (i == s->n && s->answers[i - 1][0] != '!')
            (void)!recv(fd, &byte, 1, 0); /* the client closes */
        close(fd);
    }
}

static void net_script_start(struct net_script *s, const char *const *answers, size_t n) {
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof at;
    struct timeval wait = { .tv_sec = 5 };
    struct err e = { 0 };
    *s = (struct net_script){ .answers = answers, .n = n };
    buf_init(&s->seen, 1 << 20);
    buf_reserve(&s->seen, 65536); /* its thread must not meet the allocations that fail */
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s->listener, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    CHECK(bind(s->listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(s->listener, 8) == 0);
    CHECK(getsockname(s->listener, (struct sockaddr *)&at, &size) == 0);
    s->port = ntohs(at.sin_port);
    s->thread = os_thread_start(net_script_run, s, &e);
    CHECK_OK(s->thread != NULL, e);
}

/* After the last answer: what was seen can be looked at. */
static void net_script_join(struct net_script *s) {
    if (s->thread) os_thread_join(s->thread);
    s->thread = NULL;
}

static void net_script_end(struct net_script *s) {
    net_script_join(s);
    close(s->listener);
    buf_release(&s->seen);
}

static struct http_client *net_client(void) {
    struct err e = { 0 };
    struct http_options o = { .user_agent_cstr = "test/1",
                              .no_proxy = true,
                              .read_timeout_ms = 4000 };
    return http_open(&o, &e);
}

/* One GET: status and body as "200 hello", or the error's name. */
static struct str net_get(struct arena *a, struct http_client *c, int port, const char *path_cstr,
                          struct http_request r) {
    struct http_response answer;
    struct err e = { 0 };
    struct buf body;
    char url[256];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d%s", port, path_cstr);
    r.method_cstr = r.method_cstr ? r.method_cstr : "GET";
    r.url = str_cstr(url);
    if (!http_send(c, &r, &answer, &e)) return str_cstr(err_info(e.code)->name_cstr);
    buf_init(&body, 100000);
    bool ok = http_read_all(&answer, &body, &e);
    struct str text = str_format(
        a, "%d " STR_FMT, answer.status,
        STR_ARG(ok ? buf_str(&body) : str_cstr(err_info(e.code)->name_cstr)));
    buf_release(&body);
    http_finish(&answer);
    return text;
}

TEST(client_reuses_connections) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
        "HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nnot",
        "!HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast",
        "!HTTP/1.1 200 OK\r\n\r\nuntil close",
    };
    struct arena a;
    struct net_script s;
    arena_init(&a, 1 << 20);
    net_script_start(&s, answers, MLXK_COUNT(answers));
    struct http_client *c = net_client();
    struct http_request r = { .token = STR("hf_secret") };
    CHECK_STR(net_get(&a, c, s.port, "/1", r), STR("200 hello"));
    CHECK_STR(net_get(&a, c, s.port, "/2", r), STR("200 abc"));
    CHECK_STR(net_get(&a, c, s.port, "/3", r), STR("204 "));
    CHECK_STR(net_get(&a, c, s.port, "/4", r), STR("404 not"));
    CHECK_STR(net_get(&a, c, s.port, "/5", r), STR("200 last"));
    CHECK_STR(net_get(&a, c, s.port, "/6", r), STR("200 until close"));
    http_close(c);
    CHECK_EQ(s.n_connections, 2);
    CHECK(str_find(buf_str(&s.seen), STR("GET /1 HTTP/1.1\r\nHost: 127.0.0.1:")) == 0);
    CHECK(str_find(buf_str(&s.seen), STR("User-Agent: test/1\r\n")) > 0);
    CHECK(str_find(buf_str(&s.seen),
                   STR("Accept-Encoding: identity\r\nAuthorization: Bearer hf_secret\r\n"))
          > 0);
    net_script_end(&s);
    arena_release(&a);
}

TEST(client_replaces_dead_connections) {
    static const char *const answers[] = {
        "!HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",        /* says nothing, but closes */
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb",
        "!HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nc",
        "!HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nd",
    };
    struct arena a;
    struct net_script s;
    struct http_request r = { .method_cstr = NULL };
    arena_init(&a, 1 << 20);
    net_script_start(&s, answers, MLXK_COUNT(answers));
    struct http_client *c = net_client();
    CHECK_STR(net_get(&a, c, s.port, "/1", r), STR("200 a"));
    os_sleep_ms(50);
    CHECK_STR(net_get(&a, c, s.port, "/2", r), STR("200 b"));
    CHECK_STR(net_get(&a, c, s.port, "/3", r), STR("200 c"));
    CHECK_STR(net_get(&a, c, s.port, "/4", r), STR("200 d"));
    http_close(c);
    CHECK_EQ(s.n_connections, 3);
    net_script_end(&s);
    arena_release(&a);
}

TEST(client_distrusts_leftovers) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n",
        "!HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nc",
    };
    struct arena a;
    struct net_script s;
    struct http_request r = { .method_cstr = NULL };
    arena_init(&a, 1 << 20);
    net_script_start(&s, answers, MLXK_COUNT(answers));
    struct http_client *c = net_client();
    CHECK_STR(net_get(&a, c, s.port, "/1", r), STR("200 a"));
    CHECK_STR(net_get(&a, c, s.port, "/2", r), STR("200 b"));
    CHECK_STR(net_get(&a, c, s.port, "/3", r), STR("200 c"));
    http_close(c);
    CHECK_EQ(s.n_connections, 3);
    net_script_end(&s);
    arena_release(&a);
}

TEST(client_bad_answers) {
    static const struct { const char *answer, *want;
    } rows[] = {
        { "!", "NET" },
        { "!HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "200 NET" },
        { "!HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", "200 NET" },
        { "!HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "FORMAT" },
        { "!HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", "FORMAT" },
        { "!HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "UNSUPPORTED" },
        { "!HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
          "FORMAT" },
        { "!HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nhello", "FORMAT" },
        { "!HTTP/1.1 206 OK\r\nContent-Length: 5\r\n\r\nhello", "FORMAT" },
        { "!220 mail.example ESMTP\r\n\r\n", "FORMAT" },
        { "!HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n", "FORMAT" },
    };
    struct arena a;
    struct http_request r = { .method_cstr = NULL };
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct net_script s;
        net_script_start(&s, &rows[i].answer, 1);
        struct http_client *c = net_client();
        CHECK_STR(net_get(&a, c, s.port, "/", r), str_cstr(rows[i].want));
        http_close(c);
        net_script_end(&s);
    }
    arena_release(&a);
}

TEST(client_header_limits) {
    struct arena a;
    struct net_script s;
    struct http_request r = { .method_cstr = NULL };
    struct buf big, interim;
    arena_init(&a, 1 << 20);
    buf_init(&big, 1 << 20);
    buf_init(&interim, 1 << 20);
    buf_add_cstr(&big, "!HTTP/1.1 200 OK\r\nX: ");
    for (int i = 0; i < NET_MAX_HEADER_BYTES; i++) buf_add_char(&big, 'x');
    buf_add_char(&interim, '!');
    for (int i = 0; i < 100; i++) buf_add_cstr(&interim, "HTTP/1.1 100 Continue\r\n\r\n");
    const char *answers[] = { big.p, interim.p };
    net_script_start(&s, answers, 2);
    struct http_client *c = net_client();
    CHECK_STR(net_get(&a, c, s.port, "/", r), STR("LIMIT"));
    CHECK_STR(net_get(&a, c, s.port, "/", r), STR("FORMAT"));
    http_close(c);
    net_script_end(&s);
    buf_release(&big);
    buf_release(&interim);
    arena_release(&a);
}

static bool net_count_redirects(void *ctx, const struct http_response *r, struct err *e) {
    (*(int *)ctx)++;
    return r->status != 308 || err_set(e, ERR_ACCESS, "no further");
}

TEST(client_redirects_and_tokens) {
    struct arena a;
    struct net_script first, second;
    arena_init(&a, 1 << 20);
    static const char *const second_answers[] = {
        "!HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere"
    };
    net_script_start(&second, second_answers, 1);
    struct str away = str_format(
        &a,
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/there\r\nContent-Length: 4\r\n\r\ngone",
        second.port);
    const char *first_answers[] = {
        "HTTP/1.1 307 Temp\r\nLocation: /b?c\r\nContent-Length: 0\r\n\r\n",
        str_dup_cstr(&a, away),
        "HTTP/1.1 302 Found\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n", /* stay: it is the answer */
        "HTTP/1.1 308 Perm\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
        "!HTTP/1.1 302 Found\r\nLocation: mailto:x\r\nContent-Length: 0\r\n\r\n",
    };
    net_script_start(&first, first_answers, MLXK_COUNT(first_answers));
    struct http_client *c = net_client();
    int n = 0;
    struct http_request r = { .token = STR("hf_secret"),
                              .follow = true,
                              .range_from = 7,
                              .on_redirect = net_count_redirects,
                              .ctx = &n };
    CHECK_STR(net_get(&a, c, first.port, "/a", r), STR("200 there"));
    CHECK_EQ(n, 2);
    r.stay = true;
    CHECK_STR(net_get(&a, c, first.port, "/a", r), STR("302 "));
    r.stay = false;
    CHECK_STR(net_get(&a, c, first.port, "/a", r), STR("ACCESS"));
    CHECK_STR(net_get(&a, c, first.port, "/a", r), STR("INVALID"));
    http_close(c);
    struct str seen = buf_str(&first.seen), there = buf_str(&second.seen);
    CHECK(str_find(seen, STR("GET /b?c HTTP/1.1")) > 0);
    ptrdiff_t b = str_find(seen, STR("GET /b?c"));
    CHECK(str_find(str_sub(seen, (size_t)b, seen.n), STR("hf_secret")) > 0); /* the same origin */
    CHECK(str_find(there, STR("GET /there HTTP/1.1")) == 0);
    CHECK(str_find(there, STR("hf_secret")) < 0 && str_find(there, STR("Authorization")) < 0);
    CHECK(str_find(there, STR("Range: bytes=7-\r\n")) > 0);
    net_script_end(&first);
    net_script_end(&second);
    arena_release(&a);
}

TEST(client_redirect_loop) {
    const char *answers[NET_MAX_REDIRECTS + 1];
    struct arena a;
    struct net_script s;
    struct http_request r = { .follow = true };
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < MLXK_COUNT(answers); i++)
        answers[i] = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
    net_script_start(&s, answers, MLXK_COUNT(answers));
    struct http_client *c = net_client();
    CHECK_STR(net_get(&a, c, s.port, "/", r), STR("HTTP"));
    http_close(c);
    net_script_end(&s);
    arena_release(&a);
}

TEST(client_refuses_header_injection) {
    struct http_client *c = net_client();
    struct err e = { 0 };
    struct http_response answer;
    struct http_request r = { .method_cstr = "GET",
                              .url = STR("http://127.0.0.1:9/"),
                              .token = STR("a\r\nX: y") };
    CHECK_ERR(http_send(c, &r, &answer, &e), e, ERR_INVALID);
    struct http_header h = { STR("A"), STR("b\nc") };
    r = (struct http_request){
        .method_cstr = "GET", .url = STR("http://127.0.0.1:9/"), .headers = &h, .n_headers = 1
    };
    CHECK_ERR(http_send(c, &r, &answer, &e), e, ERR_INVALID);
    http_close(c);
}

/* Letters a..z without end; the offset is checked. */
struct net_letters { uint64_t next, fail_at; int n_starts; };
static bool net_letters_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *e) {
    struct net_letters *l = ctx;
    if (offset == 0) { l->next = 0; l->n_starts++; }
    CHECK_EQ(offset, l->next);
    if (l->fail_at && offset + n > l->fail_at) return err_set(e, ERR_IO, "no more letters");
    for (size_t i = 0; i < n; i++) ((char *)p)[i] = (char)('a' + (offset + i) % 26);
    l->next = offset + n;
    return true;
}

TEST(client_sends_bodies_piece_by_piece) {
    static const char *const answers[] = {
        "HTTP/1.1 307 There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 201 OK\r\nContent-Length: 4\r\n\r\nnone",
        "!HTTP/1.1 413 Large\r\nContent-Length: 5\r\n\r\nlarge",
        "!HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew",
    };
    struct arena a;
    struct net_script s;
    struct net_letters l = { 0 };
    struct http_request r = { .method_cstr = "PUT", .follow = true, .read_body = net_letters_read,
                              .body_bytes = 150000, .body_ctx = &l };
    arena_init(&a, 1 << 20);
    net_script_start(&s, answers, MLXK_COUNT(answers));
    struct http_client *c = net_client();
    CHECK_STR(net_get(&a, c, s.port, "/here", r), STR("200 ok"));
    CHECK_EQ(l.n_starts, 2);                     /* the redirect wanted it again */
    CHECK_EQ(l.next, 150000);
    r.body_bytes = 0;
    CHECK_STR(net_get(&a, c, s.port, "/empty", r), STR("201 none"));
    r.body_bytes = (uint64_t)1 << 40;            /* refused long before the end */
    CHECK_STR(net_get(&a, c, s.port, "/large", r), STR("413 large"));
    l.fail_at = 1;
    CHECK_STR(net_get(&a, c, s.port, "/broken", r), STR("IO"));
    http_close(c);
    net_script_join(&s);
    struct str seen = buf_str(&s.seen);
    ptrdiff_t there = str_find(seen, STR("PUT /there HTTP/1.1\r\n"));
    ptrdiff_t body = str_find(seen, STR("Content-Length: 150000\r\n\r\nabcdefghij"));
    CHECK(there > 150000 && body > 0 && body < there);
    CHECK(str_find(seen, STR("PUT /empty HTTP/1.1")) > there + 150000);
    CHECK(str_find(seen, STR("Content-Length: 0\r\n\r\nPUT /large")) > 0);
    net_script_end(&s);
    arena_release(&a);
}

TEST(client_gives_up_slow_servers) {
    static const char *const answers[] = { "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc",
                                           "HTTP/1.1 200 OK\r\n" };
    struct arena a;
    struct net_script s;
    struct err e = { 0 };
    struct http_request r = { .method_cstr = NULL };
    struct http_options o = { .no_proxy = true, .read_timeout_ms = 100 };
    arena_init(&a, 1 << 20);
    net_script_start(&s, answers, 2);
    struct http_client *c = http_open(&o, &e);
    int64_t start_ns = os_now_ns();
    CHECK_STR(net_get(&a, c, s.port, "/", r), STR("200 NET_TIMEOUT"));
    CHECK_STR(net_get(&a, c, s.port, "/", r), STR("NET_TIMEOUT"));
    CHECK(os_now_ns() - start_ns < 2000000000);
    http_close(c);
    net_script_end(&s);
    arena_release(&a);
}

TEST(client_keeps_its_pace) {
    struct buf body;
    struct arena a;
    struct net_script s;
    struct err e = { 0 };
    struct http_options o = { .no_proxy = true, .limit_bytes_per_s = 100000 };
    struct http_request r = { .method_cstr = NULL };
    arena_init(&a, 1 << 20);
    buf_init(&body, 1 << 20);
    buf_add_cstr(&body, "!HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n");
    for (int i = 0; i < 30000; i++) buf_add_char(&body, 'x');
    const char *answers[] = { body.p };
    net_script_start(&s, answers, 1);
    struct http_client *c = http_open(&o, &e);
    int64_t start_ns = os_now_ns();
    CHECK_EQ(net_get(&a, c, s.port, "/", r).n, 30004);
    CHECK(os_now_ns() - start_ns > 190000000);   /* 300 ms, 100 of them saved up; waits are whole milliseconds */
    http_close(c);
    net_script_end(&s);
    buf_release(&body);
    arena_release(&a);
}

TEST(insides) {
    static const char *const in[] = { "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.01", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1",
                                      "169.254.169.254", "100.64.0.1", "100.127.0.1", "224.0.0.1", "255.255.255.255", "[::1]", "::1", "::", "[::ffff:127.0.0.1]", "::ffff:10.0.0.1", "64:ff9b::a00:1",
                                      "64:ff9b:1::1", "fe80::1", "[FE80::1]", "febf::1", "fd00::1", "fc00::1", "fec0::1", "ff02::1", "2002:7f00:1::", "localhost", "LOCALHOST.", "x.localhost" };
    static const char *const out[] = { "11.2.3.4", "172.15.0.1", "172.32.0.1", "192.169.0.1", "169.253.0.1", "100.63.0.1", "100.128.0.1", "223.1.2.3", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8",
                                       "64:ff9b::808:808", "2002:808:808::", "2600::1", "10.example", "localhost.example", "xlocalhost", "a.example" };
    for (size_t i = 0; i < MLXK_COUNT(in); i++) if (!net_host_is_inside(str_cstr(in[i]))) test_fail(__FILE__, __LINE__, "%s is outside", in[i]);
    for (size_t i = 0; i < MLXK_COUNT(out); i++) if (net_host_is_inside(str_cstr(out[i]))) test_fail(__FILE__, __LINE__, "%s is inside", out[i]);
    uint8_t ip[16] = { 8, 8, 8, 8 };
    CHECK(net_ip_is_inside(ip, 0) && net_ip_is_inside(ip, 3) && !net_ip_is_inside(ip, 4));
}

TEST(connect_errors) {
    struct err e = { 0 };
    int fd;
    CHECK_ERR(net_tcp_connect(STR("127.0.0.1"), 1, 2000, false, &fd, &e), e, ERR_NET);
    CHECK(strstr(e.msg, "127.0.0.1 port 1"));
    CHECK_ERR(net_tcp_connect(STR("name.invalid"), 80, 2000, false, &fd, &e), e, ERR_NET);
    int listeners[NET_LISTENERS], port = 0;
    size_t n = 0;
    CHECK_OK(net_listen(STR("127.0.0.1"), &port, listeners, &n, &e), e);
    CHECK_OK(net_tcp_connect(STR("localhost"), port, 2000, false, &fd, &e), e);
    CHECK(net_tcp_is_inside(fd));
    net_tcp_close(fd);
    CHECK_ERR(net_tcp_connect(STR("localhost"), port, 2000, true, &fd, &e), e, ERR_ACCESS);
    CHECK(fd == -1 && strstr(e.msg, "localhost leads to an address inside this network"));
    net_tcp_close(listeners[0]);
    struct tls_config *t;
    CHECK_ERR((t = tls_config_open("/nowhere/ca.pem", NULL, &e)) != NULL, e, ERR_NOT_FOUND);
    CHECK_ERR((t = tls_config_open("/dev/null", NULL, &e)) != NULL, e, ERR_IO);
    err_clear(&e);
    CHECK_OK((t = tls_config_open(NULL, NULL, &e)) != NULL, e);
    tls_config_close(t);
    tls_config_close(NULL);
    CHECK(strstr(tls_library(), "TLS") || strstr(tls_library(), "SSL"));
}

TEST(out_of_memory_is_told) {
    static const char *const answer =
        "!HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    int n_failed = 0;
    for (long n = 1; n < 40; n++) {
        struct arena a;
        struct net_script s;
        struct err e = { 0 };
        struct http_options o = { .no_proxy = true };
        arena_init(&a, 1 << 20);
        net_script_start(&s, &answer, 1);
        mem_fail_after(n);
        struct http_client *c = http_open(&o, &e);
        struct http_response r;
        char url[64], out[64];
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
        struct http_request q = { .method_cstr = "GET", .url = str_cstr(url) };
        size_t got = 0;
        bool ok = c && http_send(c, &q, &r, &e);
        if (ok) {
            ok = http_read(&r, out, sizeof out, &got, &e);
            http_finish(&r);
        }
        mem_fail_after(0);
        n_failed += !ok;
        if (ok ? got != 5 : e.code != ERR_NO_MEMORY)
            test_fail(__FILE__, __LINE__, "allocation %ld: %zu bytes, %s", n, got, e.msg);
        if (!ok) {                       /* the script waits for its request */
            struct http_client *again = net_client();
            struct http_request plain = { .method_cstr = NULL };
            (void)net_get(&a, again, s.port, "/", plain);
            http_close(again);
        }
        http_close(c);
        net_script_end(&s);
        arena_release(&a);
    }
    CHECK(n_failed > 3);
}

/* ---- requests as a server reads them ----------------------------------------------------------- */

TEST(request_heads) {
    static const struct { int status; const char *text; } rows[] = {
        { 0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 0, "GET /a?b=c HTTP/1.0\r\n\r\n" },
        { 0, "GET http://a:80/x HTTP/1.1\r\nhost: A:80\r\n\r\n" },
        { 0, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n" },
        { 0, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" },
        { 400, "GET / HTTP/1.1\nHost: a\n\n" },
        { 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" },
        { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n" },
        { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n" },
        { 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { 501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n" },
        { 417, "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n" },
        { 505, "GET / HTTP/1.9\r\nHost: a\r\n\r\n" },
    };
    struct arena a;
    struct httpd_head h;
    const char *why;
    arena_init(&a, 4 << 20);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        int status = httpd_head_parse(&a, str_cstr(rows[i].text), &h, &why);
        if (status != rows[i].status) test_fail(__FILE__, __LINE__, "%s: %d, not %d", rows[i].text, status, rows[i].status);
    }
    CHECK_EQ(httpd_head_parse(&a, STR("GET /p%20q?x=1 HTTP/1.1\r\nHost: h:1\r\nConnection: x, Close\r\n\r\n"), &h, &why), 0);
    CHECK_STR(h.path, STR("/p%20q"));
    CHECK_STR(h.query, STR("x=1"));
    CHECK_STR(h.host, STR("h:1"));
    CHECK(!h.keep);
    arena_release(&a);
}

TEST(request_ranges) {
    static const struct { const char *value; uint64_t total; enum httpd_range want; uint64_t from, to; } rows[] = {
        { "bytes=0-0", 10, HTTPD_PART, 0, 1 },    { "bytes=5-", 10, HTTPD_PART, 5, 10 },
        { "bytes=-3", 10, HTTPD_PART, 7, 10 },    { "bytes=-30", 10, HTTPD_PART, 0, 10 },
        { "bytes=9-99", 10, HTTPD_PART, 9, 10 },  { "bytes=10-", 10, HTTPD_NO_PART, 0, 10 },
        { "bytes=-0", 10, HTTPD_NO_PART, 0, 10 }, { "bytes=0-", 0, HTTPD_NO_PART, 0, 0 },
        { "bytes=-1", 0, HTTPD_NO_PART, 0, 0 },   { "bytes=0-1,3-4", 10, HTTPD_NO_PART, 0, 10 },
        { "bytes=3-2", 10, HTTPD_WHOLE, 0, 10 },  { "bytes=-", 10, HTTPD_WHOLE, 0, 10 },
        { "bytes=x-", 10, HTTPD_WHOLE, 0, 10 },   { "lines=0-1", 10, HTTPD_WHOLE, 0, 10 },
        { "bytes=18446744073709551615-", 10, HTTPD_WHOLE, 0, 10 },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        uint64_t from, to;
        enum httpd_range got = httpd_range_parse(str_cstr(rows[i].value), rows[i].total, &from, &to);
        if (got != rows[i].want || from != rows[i].from || to != rows[i].to)
            test_fail(__FILE__, __LINE__, "%s of %d: %d [%d, %d)", rows[i].value, (int)rows[i].total, (int)got, (int)from, (int)to);
    }
}

TEST(request_escapes_and_dates) {
    struct arena a;
    struct str out;
    char date[32];
    int64_t back;
    arena_init(&a, 1 << 20);
    CHECK(httpd_decode(&a, STR("a%20b+c%2F"), false, &out));
    CHECK_STR(out, STR("a b+c/"));
    CHECK(httpd_decode(&a, STR("a+b"), true, &out));
    CHECK_STR(out, STR("a b"));
    CHECK(httpd_decode(&a, STR(""), false, &out) && out.n == 0);
    CHECK(!httpd_decode(&a, STR("%"), false, &out) && !httpd_decode(&a, STR("%4"), false, &out) && !httpd_decode(&a, STR("%4g"), false, &out));
    CHECK(!httpd_decode(&a, STR("%00"), false, &out) && !httpd_decode(&a, STR("%ff"), false, &out));
    httpd_date(date, 784111777);
    CHECK_STR(str_cstr(date), STR("Sun, 06 Nov 1994 08:49:37 GMT"));
    CHECK(http_date(str_cstr(date), &back) && back == 784111777);
    arena_release(&a);
}

/* ---- the server ---------------------------------------------------------------------------------- */

struct net_served { struct httpd *server; struct os_thread *thread; int n_done; };

static void net_served_answer(void *ctx, struct httpd_exchange *x) {
    struct err e = { 0 };
    (void)ctx;
    if (str_eq(x->path, STR("/chunks"))) {
        if (httpd_begin(x, 200, UINT64_MAX, &e) && httpd_write(x, STR("one,"), &e) && httpd_write(x, STR("two"), &e)) (void)httpd_end(x, &e);
        return;
    }
    if (str_eq(x->path, STR("/cut"))) {
        if (httpd_begin(x, 200, 100, &e) && httpd_write(x, STR("half"), &e)) httpd_cut(x);
        return;
    }
    httpd_set(x, "X-Clean", "%s", "a\r\nX-Evil: b");
    httpd_reply(x, 200, NULL, x->path);
}

static void net_served_done(void *ctx, const struct httpd_exchange *x) {
    struct net_served *s = ctx;
    (void)x;
    __atomic_fetch_add(&s->n_done, 1, __ATOMIC_RELAXED);
}

static void net_served_run(void *ctx) {
    struct net_served *s = ctx;
    struct err e = { 0 };
    (void)httpd_run(s->server, &e);
}

static bool net_served_start(struct net_served *s) {
    struct err e = { 0 };
    struct httpd_options o = { .host = STR("127.0.0.1"), .answer = net_served_answer, .done = net_served_done, .ctx = s,
                               .max_connections = 20, .max_busy = 4, .drain_ms = 2000 };
    *s = (struct net_served){ 0 };
    s->server = httpd_open(&o, &e);
    CHECK_OK(s->server != NULL, e);
    s->thread = s->server ? os_thread_start(net_served_run, s, &e) : NULL;
    return s->thread != NULL;
}

static void net_served_end(struct net_served *s) {
    httpd_ask_stop(s->server);
    os_thread_join(s->thread);
    httpd_close(s->server);
    os_interrupt_reset();
}

/* Everything that comes back for these bytes, until the server ends the connection. */
static struct str net_served_ask(struct net_served *s, const char *request, char *out, size_t cap) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)httpd_port(s->server)) };
    struct timeval wait = { .tv_sec = 5 };
    size_t n = 0;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && send(fd, request, strlen(request), MSG_NOSIGNAL) > 0)
        for (ssize_t got; n < cap && (got = recv(fd, out + n, cap - n, 0)) > 0;) n += (size_t)got;
    close(fd);
    return (struct str){ out, n };
}

TEST(server_answers) {
    struct net_served s;
    static char text[65536];
    if (!net_served_start(&s)) return;
    struct str a = net_served_ask(&s, "GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", text, sizeof text);
    CHECK(str_find(a, STR("\r\n\r\n/firstHTTP/1.1 200")) > 0 && str_ends(a, STR("\r\n\r\n/second")));
    CHECK(str_find(a, STR("X-Clean: a??X-Evil: b\r\n")) > 0);
    a = net_served_ask(&s, "GET /chunks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", text, sizeof text);
    CHECK(str_ends(a, STR("\r\n\r\n4\r\none,\r\n3\r\ntwo\r\n0\r\n\r\n")));
    a = net_served_ask(&s, "GET /chunks HTTP/1.0\r\n\r\n", text, sizeof text);
    CHECK(str_ends(a, STR("\r\n\r\none,two")) && str_find(a, STR("Transfer-Encoding")) < 0);
    a = net_served_ask(&s, "GET /cut HTTP/1.1\r\nHost: a\r\n\r\n", text, sizeof text);
    CHECK(str_find(a, STR("Content-Length: 100\r\n")) > 0 && str_ends(a, STR("\r\n\r\nhalf")));
    a = net_served_ask(&s, "HEAD /abc HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", text, sizeof text);
    CHECK(str_find(a, STR("Content-Length: 4\r\n")) > 0 && str_ends(a, STR("\r\n\r\n")));
    a = net_served_ask(&s, "nonsense\r\n\r\n", text, sizeof text);
    CHECK(str_starts(a, STR("HTTP/1.1 400 ")));
    net_served_end(&s);
    CHECK_EQ(s.n_done, 7);
}

TEST(server_without_memory) {    /* the n-th allocation fails: an answer, a refusal or an end, then all is well again */
    struct net_served s;
    static char text[65536];
    if (!net_served_start(&s)) return;
    for (long n = 1; n <= 12; n++) {
        mem_fail_after(n);
        struct str a = net_served_ask(&s, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", text, sizeof text);
        mem_fail_after(0);
        CHECK(a.n == 0 || str_starts(a, STR("HTTP/1.1 200 ")) || str_starts(a, STR("HTTP/1.1 503 ")));
        a = net_served_ask(&s, "GET /again HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", text, sizeof text);
        CHECK(str_ends(a, STR("\r\n\r\n/again")));
    }
    net_served_end(&s);
}

/* ---- AES-GCM of records beside the library's own -------------------------------------------------- */

#if !defined(MLXK_TLS_BEARSSL)
#include <mbedtls/ecp_products.h>
#include <mbedtls/gcm_records.h>

static size_t gcm_test_unhex(uint8_t *out, const char *hex_cstr) {
    size_t n = strlen(hex_cstr) / 2;
    for (size_t i = 0; i < n; i++) {
        char two[3] = { hex_cstr[2 * i], hex_cstr[2 * i + 1], 0 };
        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return n;
}

/* NIST CAVP, gcmEncryptExtIV: the first case of 408 bits with 96 and with 1024 bits of IV. */
TEST(gcm_known_answers) {
    static const struct { const char *key, *iv, *plain, *add, *sealed, *tag; } cases[] = {
        { "2c1f21cf0f6fb3661943155c3e3d8492",
          "23cb5ff362e22426984d1907",
          "42f758836986954db44bf37c6ef5e4ac0adaf38f27252a1b82d02ea949c8a1a2dbc0d68b5615ba7c"
          "1220ff6510e259f06655d8",
          "5d3624879d35e46849953e45a32a624d6a6c536ed9857c613b572b0333e701557a713e3f010ecdf9"
          "a6bd6c9e3e44b065208645aff4aabee611b391528514170084ccf587177f4488f33cfb5e979e42b6"
          "e1cfc0a60238982a7aec",
          "81824f0e0d523db30d3da369fdc0d60894c7a0a20646dd015073ad2732bd989b14a222b6ad57af43"
          "e1895df9dca2a5344a62cc",
          "57a3ee28136e94c74838997ae9823f3a" },
        { "141f1ce91989b07e7eb6ae1dbd81ea5e",
          "49451da24bd6074509d3cebc2c0394c972e6934b45a1d91f3ce1d3ca69e194aa1958a7c21b6f21d5"
          "30ce6d2cc5256a3f846b6f9d2f38df0102c4791e57df038f6e69085646007df999751e248e06c472"
          "45f4cd3b8004585a7470dee1690e9d2d63169a58d243c0b57b3e5b4a481a3e4e8c60007094ef3ade"
          "a2e8f05dd3a1396f",
          "d384305af2388699aa302f510913fed0f2cb63ba42efa8c5c9de2922a2ec2fe87719dadf1eb0aef2"
          "12b51e74c9c5b934104a43",
          "630cf18a91cc5a6481ac9eefd65c24b1a3c93396bd7294d6b8ba323951727666c947a21894a079ef"
          "061ee159c05beeb4",
          "f4c34e5fbe74c0297313268296cd561d59ccc95bbfcdfcdc71b0097dbd83240446b28dc088abd42b"
          "0fc687f208190ff24c0548",
          "dbb93bbb56d0439cd09f620a57687f5d" },
        { "50f5cc5e33774f383235c64e77c502ca6c5d06ab0af6be04",
          "9d4c766490224946d91a99a7",
          "35df59329eb5fc30c28791164bf9b374df228d2be467414727f457a9dd0f079f7342e23adb06929c"
          "e0ad607116ee11718ce320",
          "4feca4174889298e992b765dfa67d33219f9b23898f8e869b7f1fbf5d71d87b44edd963d1055618b"
          "9db7bffe96b7856f3197868d6ce5e755a6c751661773e1def403a4cf036151ecae67b35f28912854"
          "20956604ef31c9aab341",
          "77670f6520a34dfc05819a10f322b30e397473fe51f8274bfb105c2eec37e24951abaef11e73c3c4"
          "25a8c4b2d8c3ffeb8ed924",
          "5349ef7a70499f2760123c0d5dcf5a6d" },
        { "9b4d365d98f3692d1ec38bf61a2ae1444e53271e085e4f67",
          "cc009f7e679b0d9ef51c7248177cee10a1f06fe1a92cca45fddfc6e01d23c23ed020239df6beed4a"
          "8c8484e34eeb90f2d58827dd8ecc9232d2ced6276a8735dd41100224229137224e43bb879bba0ff7"
          "b49d95fc907a814463692df159a091fa04eb8f6500990c031fb8bf9fbc486628ba4b2e290bdba6c6"
          "b5008073d05ab926",
          "2bb428f3a21ac196b2e67d2ccd72be84d9e8a8dc3d4b4fede66e3d3ebd7e9a01640aba87f148d3d7"
          "af05f3e35554925d0c07d6",
          "e236b44946afa31a1bad9273916b05d46d615aaa68de331579836e69b05f27ff078d05a2b51911d1"
          "1d68e6d65f127cad",
          "0c855aadf4e2ba4beea413d91ab0cffd702e5b17f3c96c7cabfdbc5572eb93d888fe2207dbd06493"
          "d4b779d0224f389a849cd6",
          "358f45b4ff8b296a19ea91792ebc6c2b" },
        { "148579a3cbca86d5520d66c0ec71ca5f7e41ba78e56dc6eebd566fed547fe691",
          "b08a5ea1927499c6ecbfd4e0",
          "9d0b15fdf1bd595f91f8b3abc0f7dec927dfd4799935a1795d9ce00c9b879434420fe42c275a7cd7"
          "b39d638fb81ca52b49dc41",
          "e4f963f015ffbb99ee3349bbaf7e8e8e6c2a71c230a48f9d59860a29091d2747e01a5ca572347e24"
          "7d25f56ba7ae8e05cde2be3c97931292c02370208ecd097ef692687fecf2f419d3200162a6480a57"
          "dad408a0dfeb492e2c5d",
          "2097e372950a5e9383c675e89eea1c314f999159f5611344b298cda45e62843716f215f82ee66391"
          "9c64002a5c198d7878fd3f",
          "adbecdb0d5c2224d804d2886ff9a5760" },
        { "bfaaa17bacf94c77a79e751c9048105a962ea5e7912b2b8697f6a7878ed407ac",
          "5c9c4653c8988faaf89f231340639d6e7064a338066fd95af05c670cd13e4ca98c176633d0e10ef7"
          "136dbefd5b73dbeaee2b4f4f4ba8a6be1e4d29183a1f692bf8537024d8744f2417bad33010172b5e"
          "95a8b7f92ae512fb2f5b27cd36dc8d5de6a3c6acd4d04fa57299c211390e79a5691f7975f080c5af"
          "e36fe1ccfdfa043e",
          "ae465a3ac97fda1807c147ef194a5dcbf0ab4076b9cb1626568546c96f33ee979453b8a1755cf8f3"
          "d08bd7b05db9a13ddb823c",
          "0801f1b04872d6e414d82f91de225726509d6e3642521337e22e199b3edfb6deb9d7130c47cbadeb"
          "c2e684b56c3a189d",
          "445f3d2f3eb6d4edd5f97417105b45c5a93b5f4c4ade3f1af7d94c63eba25ff0e29839976b342ea3"
          "efe8044a560c8ce3e7507d",
          "baff88656e445ef1f6f4971a14358f9b" },
    };
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        uint8_t key[32], iv[128], plain[64], add[96], sealed[64], tag[16], out[64], got[16];
        size_t n_key = gcm_test_unhex(key, cases[i].key), n_iv = gcm_test_unhex(iv, cases[i].iv);
        size_t n = gcm_test_unhex(plain, cases[i].plain), n_add = gcm_test_unhex(add, cases[i].add);
        gcm_test_unhex(sealed, cases[i].sealed);
        gcm_test_unhex(tag, cases[i].tag);
        mbedtls_gcm_context c;
        mbedtls_gcm_init(&c);
        CHECK_EQ(mbedtls_gcm_setkey(&c, MBEDTLS_CIPHER_ID_AES, key, (unsigned)n_key * 8), 0);
        CHECK_EQ(tls_mbed_gcm_crypt(&c, MBEDTLS_GCM_ENCRYPT, n, iv, n_iv, add, n_add, plain, out, 16, got), 0);
        CHECK(memcmp(out, sealed, n) == 0 && memcmp(got, tag, 16) == 0);
        CHECK_EQ(tls_mbed_gcm_decrypt(&c, n, iv, n_iv, add, n_add, tag, 16, sealed, out), 0);
        CHECK(memcmp(out, plain, n) == 0);
        mbedtls_gcm_free(&c);
    }
}

static int x25519_test_random(void *ctx, unsigned char *p, size_t n) {
    (void)ctx;
    for (size_t i = 0; i < n; i++) p[i] = (unsigned char)test_random();
    return 0;
}

/* Points at random and around the ends of the field: p, 2^255 and what lies beside them. */
TEST(x25519_as_mbedtls) {
    mbedtls_ecp_group group;
    mbedtls_ecp_point point, want, got;
    mbedtls_mpi number;
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&point);
    mbedtls_ecp_point_init(&want);
    mbedtls_ecp_point_init(&got);
    mbedtls_mpi_init(&number);
    CHECK_EQ(mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_CURVE25519), 0);
    for (int round = 0; round < 120; round++) {
        uint8_t u[32];
        bool end = round < 60;
        for (int i = 0; i < 32; i++) u[i] = (uint8_t)(end ? (round & 1 ? 0xff : 0) : test_random());
        if (end) u[0] = (uint8_t)(round & 1 ? 0xff - round / 2 : round / 2);
        u[31] &= 127;
        CHECK_EQ(mbedtls_ecp_point_read_binary(&group, &point, u, 32), 0);
        CHECK_EQ(mbedtls_ecp_gen_privkey(&group, &number, x25519_test_random, NULL), 0);
        int theirs = mbedtls_ecp_mul(&group, &want, &number, &point, x25519_test_random, NULL);
        int ours = tls_mbed_ecp_mul(&group, &got, &number, &point, x25519_test_random, NULL);
        CHECK_EQ(ours == 0, theirs == 0);
        if (ours == 0 && theirs == 0) CHECK_EQ(mbedtls_ecp_point_cmp(&want, &got), 0);
    }
    mbedtls_mpi_free(&number);
    mbedtls_ecp_point_free(&got);
    mbedtls_ecp_point_free(&want);
    mbedtls_ecp_point_free(&point);
    mbedtls_ecp_group_free(&group);
}

struct gcm_test {
    mbedtls_gcm_context ours, theirs;
    uint8_t iv[80], add[80], tag[16], tag_theirs[16];
    size_t n_iv, n_add;
};

/* The same through the library's functions for streams, which nothing of ours touches. */
static void gcm_test_theirs(struct gcm_test *t, int mode, const uint8_t *in, uint8_t *out, size_t n) {
    size_t done = 0;
    CHECK_EQ(mbedtls_gcm_starts(&t->theirs, mode, t->iv, t->n_iv), 0);
    CHECK_EQ(mbedtls_gcm_update_ad(&t->theirs, t->add, t->n_add), 0);
    CHECK_EQ(mbedtls_gcm_update(&t->theirs, in, n, out, n, &done), 0);
    CHECK_EQ(mbedtls_gcm_finish(&t->theirs, NULL, 0, &done, t->tag_theirs, 16), 0);
}

static void gcm_test_key(struct gcm_test *t) {
    uint8_t key[32];
    unsigned bits = 128 + 64 * (unsigned)(test_random() % 3);
    for (size_t i = 0; i < sizeof key; i++) key[i] = (uint8_t)test_random();
    for (size_t i = 0; i < sizeof t->iv; i++) {
        t->iv[i] = (uint8_t)test_random();
        t->add[i] = (uint8_t)test_random();
    }
    t->n_iv = test_random() % 3 ? 12 : 1 + test_random() % sizeof t->iv;
    t->n_add = test_random() % 3 ? 13 : test_random() % sizeof t->add;
    CHECK_EQ(mbedtls_gcm_setkey(&t->ours, MBEDTLS_CIPHER_ID_AES, key, bits), 0);   /* used ones too */
    CHECK_EQ(mbedtls_gcm_setkey(&t->theirs, MBEDTLS_CIPHER_ID_AES, key, bits), 0);
}

TEST(gcm_as_the_library) {
    enum { GCM_TEST_MAX = 4096 };
    static uint8_t in[GCM_TEST_MAX + 64], out[GCM_TEST_MAX + 64], want[GCM_TEST_MAX + 64];
    struct gcm_test t;
    mbedtls_gcm_init(&t.ours);
    mbedtls_gcm_init(&t.theirs);
    for (size_t i = 0; i < sizeof in; i++) in[i] = (uint8_t)test_random();
    for (size_t n = 0; n <= GCM_TEST_MAX; n++) {
        int mode = n & 1 ? MBEDTLS_GCM_ENCRYPT : MBEDTLS_GCM_DECRYPT, code;
        size_t ahead = test_random() % 3 ? 0 : 1 + test_random() % 33;   /* out before in, or the same */
        gcm_test_key(&t);
        gcm_test_theirs(&t, mode, in + 7, want, n);
        memcpy(out + ahead, in + 7, n);
        out[ahead + n] = 0x5a;
        code = tls_mbed_gcm_crypt(&t.ours, mode, n, t.iv, t.n_iv, t.add, t.n_add, out + ahead, out, 16, t.tag);
        CHECK_EQ(code, 0);
        CHECK(memcmp(out, want, n) == 0 && memcmp(t.tag, t.tag_theirs, 16) == 0);
        CHECK_EQ(out[ahead + n], 0x5a);
        if (n < 64 || n % 61) continue;
        gcm_test_theirs(&t, MBEDTLS_GCM_ENCRYPT, in + 7, want, n);       /* back, whole and damaged */
        memcpy(out, want, n);
        CHECK_EQ(tls_mbed_gcm_decrypt(&t.ours, n, t.iv, t.n_iv, t.add, t.n_add, t.tag_theirs, 16, out, out), 0);
        CHECK(memcmp(out, in + 7, n) == 0);
        want[test_random() % n] ^= (uint8_t)(1u << test_random() % 8);
        code = tls_mbed_gcm_decrypt(&t.ours, n, t.iv, t.n_iv, t.add, t.n_add, t.tag_theirs, 16, want, out);
        CHECK_EQ(code, MBEDTLS_ERR_GCM_AUTH_FAILED);
        for (size_t i = 0; i < n; i++) CHECK(out[i] == 0);               /* nothing of it is given out */
    }
    CHECK(tls_mbed_gcm_crypt(&t.ours, MBEDTLS_GCM_ENCRYPT, 64, t.iv, 12, NULL, 0, in, in + 1, 16, t.tag) != 0);
    mbedtls_gcm_free(&t.ours);
    mbedtls_gcm_free(&t.theirs);
}
#endif

/* ---- packed texts ---------------------------------------------------------------------------- */

TEST(gzip_whole_texts) {
    struct buf text, packed, again, back;
    struct err e = { 0 };
    buf_init(&text, 1 << 20);
    for (int i = 0; i < 20000; i++) buf_addf(&text, "%d,", (int)(test_random() % 50));
    buf_init(&packed, 1 << 20);
    buf_init(&again, 1 << 20);
    buf_init(&back, 1 << 20);
    CHECK_OK(gzip_pack(&packed, buf_str(&text), &e), e);
    CHECK_OK(gzip_pack(&again, buf_str(&text), &e), e);
    CHECK(str_eq(buf_str(&packed), buf_str(&again)) && packed.n < text.n);
    CHECK_OK(gzip_unpack(&back, buf_str(&packed), &e), e);
    CHECK(str_eq(buf_str(&back), buf_str(&text)));
    for (size_t n = 0; n < packed.n; n += 997) {           /* cut anywhere */
        buf_reset(&back);
        err_clear(&e);
        CHECK_ERR(gzip_unpack(&back, str_sub(buf_str(&packed), 0, n), &e), e, ERR_FORMAT);
    }
    buf_add_char(&packed, 'x');
    buf_reset(&back);
    err_clear(&e);
    CHECK_ERR(gzip_unpack(&back, buf_str(&packed), &e), e, ERR_FORMAT);
    packed.n--;
    buf_release(&back);
    buf_init(&back, text.n - 1);                           /* more than there may be */
    err_clear(&e);
    CHECK_ERR(gzip_unpack(&back, buf_str(&packed), &e), e, ERR_LIMIT);
    buf_release(&back);
    buf_release(&again);
    buf_release(&packed);
    buf_release(&text);
}

TEST_LIST(net){ T(url_parts),
                T(url_refused),
                T(url_resolve),
                T(url_origin_and_encoding),
                T(url_ip_literals),
                T(names_lost), T(head_length),
                T(head_fields),
                T(head_refused),
                T(content_range),
                T(date),
                T(chunks),
                T(retry_table),
                T(retry_by_the_servers_clock),
                T(warnings_of_servers), T(retry_growth),
                T(proxy_choice),
                T(proxy_exceptions),
                T(gzip_stream),
                T(roots),
                T(client_reuses_connections),
                T(client_replaces_dead_connections),
                T(client_distrusts_leftovers),
                T(client_bad_answers),
                T(client_header_limits),
                T(client_redirects_and_tokens),
                T(client_redirect_loop),
                T(client_refuses_header_injection),
                T(client_sends_bodies_piece_by_piece),
                T(client_gives_up_slow_servers),
                T(client_keeps_its_pace),
                T(insides),
                T(connect_errors),
                T(out_of_memory_is_told),
#if !defined(MLXK_TLS_BEARSSL)
                T(gcm_known_answers),
                T(gcm_as_the_library),
                T(x25519_as_mbedtls),
#endif
                T(request_heads),
                T(request_ranges),
                T(request_escapes_and_dates),
                T(server_answers),
                T(server_without_memory),
                T(gzip_whole_texts),
    TEST_END };
