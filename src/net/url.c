/* url.c: http and https addresses, taken apart and put together. Pure.
 *
 * Stricter than RFC 3986 where leniency has been abused: no user info, no control characters, no
 * spaces, no backslashes, ports in range, host names of letters, digits, '-', '_' and '.'.
 * Fragments are dropped: they are never sent.
 *
 * Invariants
 *  1. What net_url_parse accepts, net_url_text gives back in normal form (lower-case scheme and
 *     host), and parsing that again changes nothing.
 *  2. `target` begins with '/' and holds no byte that could end a request line.
 */
#include "net/net_int.h"

#include <stdio.h>

enum { URL_PORT_HTTP = 80, URL_PORT_HTTPS = 443, URL_MAX_HOST = 255 };

static bool url_bad(struct str text, const char *why_cstr, struct err *e) {
    char shown[201];
    size_t n = text.n < sizeof shown - 1 ? text.n : sizeof shown - 1;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        shown[i] = c < ' ' || c >= 0x7f ? '?' : (char)c;
    }
    shown[n] = 0;
    return err_set(e, ERR_INVALID, "'%s' is not a usable address: %s", shown, why_cstr);
}

static bool url_is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* ---- IP addresses (Public) ------------------------------------------------------------------- */

static bool url_ipv4(struct str h, uint8_t out[4]) {
    struct str rest = h;
    for (int i = 0; i < 4; i++) {
        uint64_t x;
        if (!rest.p) return false;
        struct str part = str_cut(&rest, '.');
        if (part.n == 0 || part.n > 3 || !num_parse_u64(part, 255, &x)) return false;
        out[i] = (uint8_t)x;
    }
    return !rest.p;
}

static int url_hex_digit(char c) {
    if (url_is_digit(c)) return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Up to eight groups of 16 bits; "" in the middle ("::") marks the gap; the last may be IPv4. */
static bool url_ipv6(struct str h, uint8_t out[16]) {
    uint8_t bytes[16] = { 0 };
    size_t n = 0, gap = SIZE_MAX;
    struct str rest = h;
    if (str_starts(h, STR("::"))) {
        gap = 0;
        rest = str_sub(h, 2, h.n);
    }
    while (rest.n) {
        struct str group = str_cut(&rest, ':');
        if (!rest.p && str_find_char(group, '.') >= 0) {
            if (n > 12 || !url_ipv4(group, bytes + n)) return false;
            n += 4;
            break;
        }
        if (group.n == 0 ? gap != SIZE_MAX || n == 0 : group.n > 4 || n == 16) return false;
        if (group.n == 0) { gap = n; continue; }
        unsigned x = 0;
        for (size_t i = 0; i < group.n; i++) {
            int digit = url_hex_digit(group.p[i]);
            if (digit < 0) return false;
            x = x * 16 + (unsigned)digit;
        }
        bytes[n++] = (uint8_t)(x >> 8);
        bytes[n++] = (uint8_t)x;
        if (rest.p && rest.n == 0) return false;           /* ends in a single ':' */
        if (str_eq(rest, STR(":"))) {                      /* ends in "::" */
            if (gap != SIZE_MAX) return false;
            gap = n;
            break;
        }
    }
    if (gap == SIZE_MAX ? n != 16 : n > 14) return false;
    if (gap == SIZE_MAX) gap = 16;
    memset(out, 0, 16);
    memcpy(out, bytes, gap < n ? gap : n);
    if (n > gap) memcpy(out + 16 - (n - gap), bytes + gap, n - gap);
    return true;
}

MLXK_FN size_t net_ip_bytes(struct str host, uint8_t out[16]) {
    if (url_ipv4(host, out)) return 4;
    return str_find_char(host, ':') >= 0 && url_ipv6(host, out) ? 16 : 0;
}

/* ---- taking apart (Public) ------------------------------------------------------------------- */

static bool url_host_ok(struct str h, bool bracketed) {
    uint8_t ip[16];
    if (h.n == 0 || h.n > URL_MAX_HOST) return false;
    if (bracketed) return net_ip_bytes(h, ip) == 16;
    for (size_t i = 0; i < h.n; i++) {
        char c = h.p[i];
        bool ok = (c >= 'a' && c <= 'z') || url_is_digit(c) || c == '-' || c == '.' || c == '_';
        if (!ok) return false;
    }
    return h.p[0] != '.' && h.p[0] != '-';
}

static struct str url_lower(struct arena *a, struct str s) {
    char *copy = str_dup_cstr(a, s);
    for (size_t i = 0; copy && i < s.n; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z') copy[i] = (char)(copy[i] + 32);
    return (struct str){ copy, copy ? s.n : 0 };
}

/* host[:port], [v6][:port]. Fills host, port, host_is_ip. */
static bool url_authority(struct arena *a, struct str text, struct str authority,
                          struct net_url *out, struct err *e) {
    uint8_t ip[16];
    if (str_find_char(authority, '@') >= 0)
        return url_bad(STR("(hidden)"), "user names and passwords in addresses are not accepted",
                       e);
    struct str host = authority, port = STR_EMPTY;
    bool bracketed = str_starts(authority, STR("["));
    ptrdiff_t end = str_find_char(authority, bracketed ? ']' : ':');
    if (bracketed && end < 0) return url_bad(text, "']' is missing", e);
    if (end >= 0) {
        host = str_sub(authority, bracketed, (size_t)end);
        port = str_sub(authority, (size_t)end + bracketed, authority.n);
        if (port.n && port.p[0] != ':') return url_bad(text, "something follows ']'", e);
        port = str_sub(port, 1, port.n);
    }
    uint64_t number = out->tls ? URL_PORT_HTTPS : URL_PORT_HTTP;
    if (port.n && (!num_parse_u64(port, 65535, &number) || number == 0))
        return url_bad(text, "the port is not a number from 1 to 65535", e);
    out->host = url_lower(a, host);
    if (!out->host.p) return err_oom(e, host.n, "an address");
    if (!url_host_ok(out->host, bracketed))
        return url_bad(text, "the host name is missing or malformed", e);
    out->port = (int)number;
    out->host_is_ip = net_ip_bytes(out->host, ip) > 0;
    return true;
}

/* Host header: the port only when it is not the scheme's own (RFC 9110 section 7.2). */
static bool url_finish(struct arena *a, struct net_url *out, struct str target, struct err *e) {
    bool v6 = str_find_char(out->host, ':') >= 0;
    bool plain = out->port == (out->tls ? URL_PORT_HTTPS : URL_PORT_HTTP);
    char port[16];
    (void)snprintf(port, sizeof port, ":%d", out->port);
    out->authority = str_format(a, "%s" STR_FMT "%s%s", v6 ? "[" : "", STR_ARG(out->host),
                                v6 ? "]" : "", plain ? "" : port);
    bool rooted = target.n && target.p[0] == '/';
    out->target = rooted ? str_dup(a, target) : str_concat(a, STR("/"), target);
    return (out->authority.p && out->target.p) || err_oom(e, target.n, "an address");
}

static bool url_chars_ok(struct str text, struct err *e) {
    if (text.n == 0) return url_bad(text, "it is empty", e);
    if (text.n > NET_MAX_URL) return url_bad(text, "it is too long", e);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= ' ' || c == 0x7f)
            return url_bad(text, "it holds a space or a control character", e);
        if (c > 0x7f || c == '\\')
            return url_bad(text, "it holds a backslash or a byte past ASCII", e);
    }
    return true;
}

static struct str url_without_fragment(struct str s) {
    ptrdiff_t fragment = str_find_char(s, '#');
    return str_sub(s, 0, fragment < 0 ? s.n : (size_t)fragment);
}

MLXK_FN bool net_url_parse(struct arena *a, struct str text, struct net_url *out, struct err *e) {
    *out = (struct net_url){ 0 };
    if (!url_chars_ok(text, e)) return false;
    ptrdiff_t colon = str_find(text, STR("://"));
    struct str scheme = str_sub(text, 0, colon < 0 ? 0 : (size_t)colon);
    if (str_ieq(scheme, STR("https"))) out->tls = true;
    else if (!str_ieq(scheme, STR("http")))
        return url_bad(text, "it does not begin with http:// or https://", e);
    struct str rest = str_sub(text, (size_t)colon + 3, text.n);
    size_t end = 0;
    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?' && rest.p[end] != '#') end++;
    struct str target = url_without_fragment(str_sub(rest, end, rest.n));
    return url_authority(a, text, str_sub(rest, 0, end), out, e) && url_finish(a, out, target, e);
}

/* ---- relative addresses (Public) ------------------------------------------------------------- */

/* Removes "." and ".." segments (RFC 3986 section 5.2.4); the query is left alone. */
static struct str url_clean_path(struct arena *a, struct str target) {
    ptrdiff_t query = str_find_char(target, '?');
    struct str rest = str_sub(target, 0, query < 0 ? target.n : (size_t)query);
    struct buf out;
    buf_init(&out, NET_MAX_URL * 2);
    (void)str_cut(&rest, '/');
    while (rest.p) {
        struct str part = str_cut(&rest, '/');
        bool up = str_eq(part, STR("..")), dots = up || str_eq(part, STR("."));
        if (up) {
            while (out.n && out.p[out.n - 1] != '/') out.n--;
            if (out.n) out.n--;
        }
        if (!dots || !rest.p) buf_add_char(&out, '/');
        if (!dots) buf_add(&out, part);
    }
    if (out.n == 0) buf_add_char(&out, '/');
    if (query >= 0) buf_add(&out, str_sub(target, (size_t)query, target.n));
    struct str result = out.failed ? STR_EMPTY : str_dup(a, buf_str(&out));
    buf_release(&out);
    return result;
}

/* Length of "scheme:" at the start of s, 0 = none: the first of ":/?#" is a colon. */
static size_t url_scheme_length(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ':') return i + 1;
        if (s.p[i] == '/' || s.p[i] == '?' || s.p[i] == '#') return 0;
    }
    return 0;
}

static struct str url_encode_raw(struct arena *a, struct str s) {
    struct buf out;
    buf_init(&out, NET_MAX_URL * 3);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == ' ' || c >= 0x80) net_url_encode(&out, str_sub(s, i, i + 1), "");
        else buf_add_char(&out, (char)c);
    }
    struct str result = out.failed ? STR_EMPTY : str_dup(a, buf_str(&out));
    buf_release(&out);
    return result;
}

MLXK_FN bool net_url_resolve(struct arena *a, const struct net_url *base, struct str location,
                             struct net_url *out, struct err *e) {
    if (location.n > NET_MAX_URL) return url_bad(location, "it is too long", e);
    location = url_encode_raw(a, location);
    if (!location.p) return err_oom(e, NET_MAX_URL, "an address");
    if (!url_chars_ok(location, e)) return false;
    if (str_starts(location, STR("//"))) {
        struct str full = str_concat(a, base->tls ? STR("https:") : STR("http:"), location);
        return full.p ? net_url_parse(a, full, out, e) : err_oom(e, location.n, "an address");
    }
    if (url_scheme_length(location)) return net_url_parse(a, location, out, e);
    location = url_without_fragment(location);
    *out = *base;
    if (location.n == 0) return true;
    struct str path = base->target;
    ptrdiff_t query = str_find_char(path, '?');
    path = str_sub(path, 0, query < 0 ? path.n : (size_t)query);
    if (location.p[0] == '/') path = STR_EMPTY;
    else if (location.p[0] != '?')
        path = str_sub(path, 0, (size_t)(str_find_last(path, STR("/")) + 1));
    struct str joined = str_concat(a, path, location);
    struct str clean = joined.p ? url_clean_path(a, joined) : STR_EMPTY;
    if (!clean.p) return err_oom(e, location.n, "an address");
    return clean.n <= NET_MAX_URL ? url_finish(a, out, clean, e)
                                  : url_bad(location, "it is too long", e);
}

/* ---- putting together (Public) --------------------------------------------------------------- */

MLXK_FN struct str net_url_text(struct arena *a, const struct net_url *u) {
    return str_format(a, "%s://" STR_FMT STR_FMT, u->tls ? "https" : "http", STR_ARG(u->authority),
                      STR_ARG(u->target));
}

MLXK_FN bool net_url_same_origin(const struct net_url *a, const struct net_url *b) {
    return a->tls == b->tls && a->port == b->port && str_eq(a->host, b->host);
}

MLXK_FN void net_url_encode(struct buf *out, struct str s, const char *keep_cstr) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || url_is_digit((char)c);
        bool plain = letter || (c && (strchr("-._~", c) || strchr(keep_cstr, c)));
        if (plain) buf_add_char(out, (char)c);
        else buf_add_bytes(out, (char[]){ '%', digits[c >> 4], digits[c & 15] }, 3);
    }
}
