/* proxy.c: which proxy the environment wants for an address.
 *
 * HTTPS_PROXY, HTTP_PROXY and ALL_PROXY in either case (lower case first, as curl reads them);
 * HTTP_PROXY in upper case is ignored under CGI, where a client could set it (httpoxy). NO_PROXY:
 * "*", host, .suffix, suffix, host:port, addresses in any spelling, address/bits, separated by
 * commas or white space; a dot at a name's end means nothing. Proxies are spoken to in plain HTTP,
 * or by TLS when their address begins with https://; the way to an https server goes through them
 * by CONNECT.
 */
#include "net/net_int.h"

static const char *proxy_env(const char *lower_cstr, const char *upper_cstr) {
    const char *v = os_env(lower_cstr);
    if (v && v[0]) return v;
    bool cgi = strcmp(upper_cstr, "HTTP_PROXY") == 0 && os_env("REQUEST_METHOD");
    v = cgi ? NULL : os_env(upper_cstr);
    return v && v[0] ? v : NULL;
}

/* ---- exceptions (Private) -------------------------------------------------------------------- */

static struct str proxy_unbracket(struct str s) {
    bool both = str_starts(s, STR("[")) && str_ends(s, STR("]"));
    return both ? str_sub(s, 1, s.n - 1) : s;
}

/* "10.0.0.0/8", "[fe80::]/10" hold host. */
static bool proxy_in_network(struct str item, struct str host) {
    uint8_t network[16], ip[16];
    uint64_t bits;
    struct str rest = item, address = proxy_unbracket(str_cut(&rest, '/'));
    size_t n = net_ip_bytes(address, network);
    if (!rest.p || n == 0 || net_ip_bytes(host, ip) != n || !num_parse_u64(rest, n * 8, &bits))
        return false;
    size_t whole = (size_t)bits / 8;
    uint8_t mask = (uint8_t)(0xff00u >> (bits % 8));
    return memcmp(network, ip, whole) == 0
           && (whole == n || ((network[whole] ^ ip[whole]) & mask) == 0);
}

/* Takes ":port" off the end of item; *port 0 = it has none. "::1" has none, "[::1]:80" has one. */
static struct str proxy_split_port(struct str item, uint64_t *port) {
    *port = 0;
    bool bracketed = str_starts(item, STR("["));
    ptrdiff_t colon = str_find_last(item, STR(":")), bracket = str_find_char(item, ']');
    bool has_port = bracketed ? colon > bracket : colon >= 0 && colon == str_find_char(item, ':');
    if (has_port && num_parse_u64(str_sub(item, (size_t)colon + 1, item.n), 65535, port))
        item = str_sub(item, 0, (size_t)colon);
    return proxy_unbracket(item);
}

static struct str proxy_without_dot(struct str name) {
    return str_ends(name, STR(".")) ? str_sub(name, 0, name.n - 1) : name;
}

/* The host itself, or a domain that it is in. */
static bool proxy_item_names(struct str item, struct str host) {
    item = proxy_without_dot(item);
    host = proxy_without_dot(host);
    if (str_starts(item, STR("*."))) item = str_sub(item, 1, item.n);
    if (str_starts(item, STR("."))) item = str_sub(item, 1, item.n);
    if (item.n == 0 || item.n > host.n) return false;
    size_t before = host.n - item.n;
    return str_ieq(str_sub(host, before, host.n), item) && (!before || host.p[before - 1] == '.');
}

static bool proxy_item_fits(struct str item, const struct net_url *u) {
    uint64_t port;
    uint8_t mine[16], theirs[16];
    if (str_eq(item, STR("*"))) return true;
    if (str_find_char(item, '/') >= 0) return proxy_in_network(item, u->host);
    item = proxy_split_port(item, &port);
    if (port && (int)port != u->port) return false;
    size_t n = net_ip_bytes(u->host, theirs);
    if (!n) return proxy_item_names(item, u->host);
    return net_ip_bytes(item, mine) == n && memcmp(mine, theirs, n) == 0;
}

static bool proxy_is_between(char c) {
    return c == ',' || c == ' ' || (c >= '\t' && c <= '\r');
}

static bool proxy_excluded(const struct net_url *u) {
    struct str rest = str_cstr(proxy_env("no_proxy", "NO_PROXY"));
    for (size_t from = 0, i = 0; i <= rest.n; i++) {
        if (i < rest.n && !proxy_is_between(rest.p[i])) continue;
        if (i > from && proxy_item_fits(str_sub(rest, from, i), u)) return true;
        from = i + 1;
    }
    return false;
}

/* ---- credentials (Private) ------------------------------------------------------------------- */

/* "%41" -> "A"; malformed escapes stay as they are. */
static void proxy_unescape(struct buf *out, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned value = 0;
        bool escape = s.p[i] == '%' && i + 2 < s.n;
        for (size_t k = 1; escape && k <= 2; k++) {
            char c = s.p[i + k], low = (char)(c | 32);
            int digit = c >= '0' && c <= '9'       ? c - '0'
                        : low >= 'a' && low <= 'f' ? low - 'a' + 10
                                                   : -1;
            escape = digit >= 0;
            value = value * 16 + (unsigned)(digit > 0 ? digit : 0);
        }
        buf_add_char(out, escape ? (char)value : s.p[i]);
        if (escape) i += 2;
    }
}

static bool proxy_auth(struct arena *a, struct str user, struct net_proxy *out, struct err *e) {
    struct buf plain, coded;
    buf_init(&plain, 4096);
    buf_init(&coded, 8192);
    proxy_unescape(&plain, user);
    buf_add(&coded, STR("Basic "));
    base64_write(&coded, plain.p, plain.n);
    bool ok = buf_ok(&plain, "the proxy's credentials", e)
              && buf_ok(&coded, "the proxy's credentials", e);
    out->auth = ok ? str_dup(a, buf_str(&coded)) : STR_EMPTY;
    buf_release(&plain);
    buf_release(&coded);
    return ok && (out->auth.p || err_oom(e, user.n, "the proxy's credentials"));
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool net_proxy_for(struct arena *a, const struct net_url *u, struct net_proxy *out,
                           struct err *e) {
    *out = (struct net_proxy){ 0 };
    const char *set_cstr = u->tls ? proxy_env("https_proxy", "HTTPS_PROXY")
                                  : proxy_env("http_proxy", "HTTP_PROXY");
    if (!set_cstr) set_cstr = proxy_env("all_proxy", "ALL_PROXY");
    if (!set_cstr || proxy_excluded(u)) return true;
    struct str text = str_cstr(set_cstr);
    ptrdiff_t scheme = str_find(text, STR("://"));
    struct str rest = scheme >= 0 ? str_sub(text, (size_t)scheme + 3, text.n) : text;
    struct str kind = scheme >= 0 ? str_sub(text, 0, (size_t)scheme + 3) : STR("http://");
    ptrdiff_t at = str_find_last(rest, STR("@"));
    if (at >= 0 && !proxy_auth(a, str_sub(rest, 0, (size_t)at), out, e)) return false;
    struct str plain = str_concat(a, kind, at >= 0 ? str_sub(rest, (size_t)at + 1, rest.n) : rest);
    if (!plain.p) return err_oom(e, text.n, "the proxy's address");
    if (net_url_parse(a, plain, &out->url, e)) return true;
    err_context(e, "the proxy setting cannot be used: ");
    return err_hint(e, "proxies are given as http://host:port or https://host:port in HTTPS_PROXY, "
                       "HTTP_PROXY or ALL_PROXY");
}

MLXK_FN bool net_proxy_name(struct arena *a, const struct net_url *u, struct str *out,
                            struct err *e) {
    struct net_proxy proxy;
    *out = STR_EMPTY;
    if (!net_proxy_for(a, u, &proxy, e)) return false;
    if (proxy.url.host.n)
        *out = str_format(a, STR_FMT ":%d", STR_ARG(proxy.url.host), proxy.url.port);
    return true;
}
