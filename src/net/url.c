/* url.c: http and https addresses, taken apart and put together. Pure.
 *
 * Stricter than RFC 3986 where leniency has been abused: no user info, no control characters, no spaces, no
 * backslashes, ports in range, host names of letters, digits, '-', '_' and '.'. Fragments are dropped: they are
 * never sent.
 *
 * Invariants
 *  1. What net_url_parse accepts, net_url_text gives back in normal form (lower-case scheme and host).
 *  2. `target` begins with '/' and holds no byte that could end a request line.
 */
#include "net/net.h"

enum { URL_PORT_HTTP = 80, URL_PORT_HTTPS = 443, URL_MAX_HOST = 255 };

static bool url_bad(struct str text, const char *why_cstr, struct err *e) {
    return err_set(e, ERR_INVALID, "'" STR_FMT "' is not a usable address: %s", STR_ARG(str_sub(text, 0, 200)), why_cstr);
}

static bool url_is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool url_is_ipv4(struct str h) {
    int parts = 0;
    struct str rest = h;
    while (rest.p) {
        uint64_t x;
        struct str part = str_cut(&rest, '.');
        if (part.n == 0 || part.n > 3 || !num_parse_u64(part, 255, &x)) return false;
        parts++;
    }
    return parts == 4;
}

static bool url_host_ok(struct str h, bool bracketed) {
    if (h.n == 0 || h.n > URL_MAX_HOST) return false;
    for (size_t i = 0; i < h.n; i++) {
        char c = h.p[i];
        bool alpha = (c >= 'a' && c <= 'z'), hex = url_is_digit(c) || (c >= 'a' && c <= 'f');
        if (bracketed ? !(hex || c == ':' || c == '.') : !(alpha || url_is_digit(c) || c == '-' || c == '.' || c == '_')) return false;
    }
    return bracketed || (h.p[0] != '.' && h.p[0] != '-');
}

static struct str url_lower(struct arena *a, struct str s) {
    struct str out = str_dup(a, s);
    for (size_t i = 0; out.p && i < out.n; i++)
        if (out.p[i] >= 'A' && out.p[i] <= 'Z') ((char *)out.p)[i] = (char)(out.p[i] + 32);   /* our own fresh copy */
    return out;
}

/* host[:port], [v6][:port]. Fills host, port, host_is_ip. */
static bool url_authority(struct arena *a, struct str text, struct str authority, struct net_url *out, struct err *e) {
    if (str_find_char(authority, '@') >= 0) return url_bad(text, "user names and passwords in addresses are not accepted", e);
    struct str host = authority, port = STR_EMPTY;
    bool bracketed = str_starts(authority, STR("["));
    if (bracketed) {
        ptrdiff_t end = str_find_char(authority, ']');
        if (end < 0) return url_bad(text, "']' is missing", e);
        host = str_sub(authority, 1, (size_t)end);
        port = str_sub(authority, (size_t)end + 1, authority.n);
        if (port.n && port.p[0] != ':') return url_bad(text, "something follows ']'", e);
        port = str_sub(port, 1, port.n);
    } else {
        ptrdiff_t colon = str_find_char(authority, ':');
        if (colon >= 0) {
            host = str_sub(authority, 0, (size_t)colon);
            port = str_sub(authority, (size_t)colon + 1, authority.n);
        }
    }
    uint64_t number = out->tls ? URL_PORT_HTTPS : URL_PORT_HTTP;
    if (port.n && (!num_parse_u64(port, 65535, &number) || number == 0)) return url_bad(text, "the port is not a number from 1 to 65535", e);
    out->host = url_lower(a, host);
    if (host.n && !out->host.p) return err_oom(e, host.n, "an address");
    if (!url_host_ok(out->host, bracketed)) return url_bad(text, "the host name is missing or malformed", e);
    out->port = (int)number;
    out->host_is_ip = bracketed || url_is_ipv4(out->host);
    return true;
}

/* Host header: the port only when it is not the scheme's own (RFC 9110 section 7.2). */
static bool url_finish(struct arena *a, struct net_url *out, struct str target, struct err *e) {
    bool v6 = str_find_char(out->host, ':') >= 0;
    bool plain = out->port == (out->tls ? URL_PORT_HTTPS : URL_PORT_HTTP);
    const char *open_cstr = v6 ? "[" : "", *close_cstr = v6 ? "]" : "";
    out->authority = plain ? str_format(a, "%s" STR_FMT "%s", open_cstr, STR_ARG(out->host), close_cstr)
                           : str_format(a, "%s" STR_FMT "%s:%d", open_cstr, STR_ARG(out->host), close_cstr, out->port);
    out->target = target.n && target.p[0] == '/' ? str_dup(a, target) : str_concat(a, STR("/"), target);
    return (out->authority.p && out->target.p) || err_oom(e, target.n, "an address");
}

static bool url_chars_ok(struct str text, struct err *e) {
    if (text.n == 0 || text.n > NET_MAX_URL) return url_bad(text, text.n ? "it is too long" : "it is empty", e);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= ' ' || c >= 0x7f || c == '\\') return url_bad(text, "it holds a space, a control character, a backslash or a byte past ASCII", e);
    }
    return true;
}

MLXK_FN bool net_url_parse(struct arena *a, struct str text, struct net_url *out, struct err *e) {
    *out = (struct net_url){ 0 };
    if (!url_chars_ok(text, e)) return false;
    ptrdiff_t colon = str_find(text, STR("://"));
    struct str scheme = str_sub(text, 0, colon < 0 ? 0 : (size_t)colon);
    if (str_ieq(scheme, STR("https"))) out->tls = true;
    else if (!str_ieq(scheme, STR("http"))) return url_bad(text, "it does not begin with http:// or https://", e);
    struct str rest = str_sub(text, (size_t)colon + 3, text.n);
    size_t end = 0;
    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?' && rest.p[end] != '#') end++;
    struct str target = str_sub(rest, end, rest.n);
    ptrdiff_t fragment = str_find_char(target, '#');
    if (fragment >= 0) target = str_sub(target, 0, (size_t)fragment);
    return url_authority(a, text, str_sub(rest, 0, end), out, e) && url_finish(a, out, target, e);
}

/* Removes "." and ".." segments (RFC 3986 section 5.2.4); the query is left alone. */
static struct str url_clean_path(struct arena *a, struct str target) {
    ptrdiff_t query = str_find_char(target, '?');
    struct str path = str_sub(target, 0, query < 0 ? target.n : (size_t)query), rest = path;
    struct buf out;
    buf_init(&out, NET_MAX_URL * 2);
    (void)str_cut(&rest, '/');
    while (rest.p) {
        struct str part = str_cut(&rest, '/');
        bool last = !rest.p;
        if (str_eq(part, STR("..")) ) {
            while (out.n && out.p[out.n - 1] != '/') out.n--;
            if (out.n) out.n--;
            if (last) buf_add_char(&out, '/');
        } else if (str_eq(part, STR("."))) {
            if (last) buf_add_char(&out, '/');
        } else {
            buf_add_char(&out, '/');
            buf_add(&out, part);
        }
    }
    if (out.n == 0) buf_add_char(&out, '/');
    if (query >= 0) buf_add(&out, str_sub(target, (size_t)query, target.n));
    struct str result = out.failed ? STR_EMPTY : str_dup(a, buf_str(&out));
    buf_release(&out);
    return result;
}

MLXK_FN bool net_url_resolve(struct arena *a, const struct net_url *base, struct str location, struct net_url *out, struct err *e) {
    if (!url_chars_ok(location, e)) return false;
    if (str_starts(location, STR("//"))) {
        struct str full = str_concat(a, base->tls ? STR("https:") : STR("http:"), location);
        return full.p ? net_url_parse(a, full, out, e) : err_oom(e, location.n, "an address");
    }
    ptrdiff_t scheme = str_find(location, STR("://")), slash = str_find_char(location, '/');
    if (scheme >= 0 && slash > scheme) return net_url_parse(a, location, out, e);
    if (location.p[0] != '/' && location.p[0] != '?' && location.p[0] != '#' && str_find_char(str_sub(location, 0, slash < 0 ? location.n : (size_t)slash), ':') >= 0)
        return url_bad(location, "its scheme is neither http nor https", e);
    ptrdiff_t fragment = str_find_char(location, '#');
    if (fragment >= 0) location = str_sub(location, 0, (size_t)fragment);
    *out = *base;
    struct str path = base->target;
    ptrdiff_t query = str_find_char(path, '?');
    if (location.n == 0) return true;
    if (location.p[0] == '/') path = STR_EMPTY;
    else {
        path = str_sub(path, 0, query < 0 ? path.n : (size_t)query);
        if (location.p[0] != '?') path = str_sub(path, 0, (size_t)str_find_last(path, STR("/")) + 1);
    }
    struct str joined = str_concat(a, path, location);
    struct str clean = joined.p ? url_clean_path(a, joined) : STR_EMPTY;
    return clean.p ? url_finish(a, out, clean, e) : err_oom(e, location.n, "an address");
}

MLXK_FN struct str net_url_text(struct arena *a, const struct net_url *u) {
    return str_format(a, "%s://" STR_FMT STR_FMT, u->tls ? "https" : "http", STR_ARG(u->authority), STR_ARG(u->target));
}

MLXK_FN bool net_url_same_origin(const struct net_url *a, const struct net_url *b) {
    return a->tls == b->tls && a->port == b->port && str_eq(a->host, b->host);
}

MLXK_FN void net_url_encode(struct buf *out, struct str s, const char *keep_cstr) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || url_is_digit((char)c) || (c && strchr("-._~", c)) || (c && strchr(keep_cstr, c));
        if (plain) buf_add_char(out, (char)c);
        else buf_add_bytes(out, (char[]){ '%', digits[c >> 4], digits[c & 15] }, 3);
    }
}
