/* proxy.c: which proxy the environment wants for an address.
 *
 * HTTPS_PROXY, HTTP_PROXY and ALL_PROXY in either case (lower case first, as curl reads them); HTTP_PROXY in upper
 * case is ignored under CGI, where a client could set it (httpoxy). NO_PROXY: "*", host, .suffix, suffix, host:port.
 */
#include "net/net_int.h"

static const char *proxy_env(const char *lower_cstr, const char *upper_cstr) {
    const char *v = os_env(lower_cstr);
    if (v && v[0]) return v;
    bool cgi = strcmp(upper_cstr, "HTTP_PROXY") == 0 && os_env("REQUEST_METHOD");
    v = cgi ? NULL : os_env(upper_cstr);
    return v && v[0] ? v : NULL;
}

static bool proxy_excluded(const struct net_url *u) {
    const char *list_cstr = proxy_env("no_proxy", "NO_PROXY");
    struct str rest = str_cstr(list_cstr);
    while (rest.p) {
        struct str item = str_trim(str_cut(&rest, ','));
        ptrdiff_t colon = str_find_char(item, ':');
        uint64_t port;
        if (colon > 0 && str_find_last(item, STR(":")) == colon && num_parse_u64(str_sub(item, (size_t)colon + 1, item.n), 65535, &port)) {
            if ((int)port != u->port) continue;
            item = str_sub(item, 0, (size_t)colon);
        }
        if (str_starts(item, STR("["))) item = str_sub(item, 1, item.n - 1);
        if (str_eq(item, STR("*"))) return true;
        if (str_starts(item, STR("."))) item = str_sub(item, 1, item.n);
        if (item.n == 0 || item.n > u->host.n) continue;
        size_t before = u->host.n - item.n;
        if (str_ieq(str_sub(u->host, before, u->host.n), item) && (before == 0 || (!u->host_is_ip && u->host.p[before - 1] == '.'))) return true;
    }
    return false;
}

static void proxy_base64(struct buf *out, struct str s) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t x = 0;
        for (size_t k = 0; k < 3; k++) x = x << 8 | (i + k < s.n ? (uint8_t)s.p[i + k] : 0u);
        for (size_t k = 0; k < 4; k++) buf_add_char(out, i + k <= s.n ? digits[x >> (18 - 6 * k) & 63] : '=');
    }
}

/* "%41" -> "A"; malformed escapes stay as they are. */
static void proxy_unescape(struct buf *out, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned value = 0;
        bool escape = s.p[i] == '%' && i + 2 < s.n;
        for (size_t k = 1; escape && k <= 2; k++) {
            char c = s.p[i + k];
            int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
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
    proxy_base64(&coded, buf_str(&plain));
    bool ok = buf_ok(&plain, "the proxy's credentials", e) && buf_ok(&coded, "the proxy's credentials", e);
    out->auth = ok ? str_dup(a, buf_str(&coded)) : STR_EMPTY;
    buf_release(&plain);
    buf_release(&coded);
    return ok && (out->auth.p || err_oom(e, user.n, "the proxy's credentials"));
}

MLXK_FN bool net_proxy_for(struct arena *a, const struct net_url *u, struct net_proxy *out, struct err *e) {
    *out = (struct net_proxy){ 0 };
    const char *set_cstr = u->tls ? proxy_env("https_proxy", "HTTPS_PROXY") : proxy_env("http_proxy", "HTTP_PROXY");
    if (!set_cstr) set_cstr = proxy_env("all_proxy", "ALL_PROXY");
    if (!set_cstr || proxy_excluded(u)) return true;
    struct str text = str_cstr(set_cstr);
    ptrdiff_t scheme = str_find(text, STR("://"));
    struct str rest = scheme >= 0 ? str_sub(text, (size_t)scheme + 3, text.n) : text;
    struct str kind = scheme >= 0 ? str_sub(text, 0, (size_t)scheme + 3) : STR("http://");
    ptrdiff_t at = str_find_last(rest, STR("@"));
    if (at >= 0 && !proxy_auth(a, str_sub(rest, 0, (size_t)at), out, e)) return false;
    struct str plain = str_concat(a, kind, at >= 0 ? str_sub(rest, (size_t)at + 1, rest.n) : rest);
    if (plain.p && net_url_parse(a, plain, &out->url, e)) return true;
    if (!plain.p) return err_oom(e, text.n, "the proxy's address");
    err_context(e, "the proxy setting cannot be used: ");
    return err_hint(e, "proxies are given as http://host:port in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY");
}
