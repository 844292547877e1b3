/* httpd_msg.c: heads of requests, ranges, dates and escapes, as a server reads them. Pure.
 *
 * Stricter than http_msg.c, which reads answers: where two readers of the same bytes could disagree
 * about where a request ends, or whom it is for, it is refused.
 *
 * Invariants
 *  1. Every line ends with CR LF; a bare LF or CR anywhere in the head is refused.
 *  2. There is one framing: no length, one Content-Length, or exactly "chunked".
 *  3. There is one Host and at most one Authorization.
 * ref: RFC 9112 sections 2-7, RFC 9110 sections 5.6.7, 7.2, 10.1.1 and 14.
 */
#include "net/net_int.h"

#include <stdio.h>

enum { HTTPD_MSG_MAX_METHOD = 32 };

/* ---- words (Private) ------------------------------------------------------------------------- */

static bool httpd_msg_token(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c))) return false;
    }
    return s.n > 0;
}

static int httpd_msg_bad(int status, const char *text_cstr, const char **why_cstr) {
    *why_cstr = text_cstr;
    return status;
}

/* Bytes of a target that need no escape, and '%' itself. */
static bool httpd_msg_target_ok(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c >= 0x7f || strchr("\"<>\\^`{|}#", c)) return false;
    }
    return s.n > 0;
}

static bool httpd_msg_host_ok(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && (c == 0 || !strchr(".-_:[]", c))) return false;
    }
    return s.n > 0 && s.n < 256;
}

/* ---- the request line (Private) -------------------------------------------------------------- */

/* http://host/path, as a proxy is asked: the host must be that of the Host field. */
static bool httpd_msg_absolute(struct str *target, struct str *authority) {
    struct str rest = *target;
    if (str_ieq(str_sub(rest, 0, 7), STR("http://"))) rest = str_sub(rest, 7, rest.n);
    else if (str_ieq(str_sub(rest, 0, 8), STR("https://"))) rest = str_sub(rest, 8, rest.n);
    else return false;
    ptrdiff_t slash = str_find_char(rest, '/');
    *authority = slash < 0 ? rest : str_sub(rest, 0, (size_t)slash);
    *target = slash < 0 ? STR("/") : str_sub(rest, (size_t)slash, rest.n);
    return authority->n > 0;
}

static int httpd_msg_line(struct str line, struct httpd_head *out, struct str *authority,
                          const char **why_cstr) {
    struct str rest = line, method = str_cut(&rest, ' '), target = str_cut(&rest, ' ');
    if (!rest.p || !httpd_msg_token(method) || method.n > HTTPD_MSG_MAX_METHOD)
        return httpd_msg_bad(400, "the first line is no request line", why_cstr);
    if (rest.n != 8 || !str_starts(rest, STR("HTTP/")) || rest.p[6] != '.')
        return httpd_msg_bad(400, "the first line is no request line", why_cstr);
    if (!str_eq(rest, STR("HTTP/1.1")) && !str_eq(rest, STR("HTTP/1.0")))
        return httpd_msg_bad(505, "only HTTP/1.0 and HTTP/1.1 are spoken here", why_cstr);
    out->http_1_0 = rest.p[7] == '0';
    out->method = method;
    if (!httpd_msg_target_ok(target))
        return httpd_msg_bad(400, "the target holds characters that must be escaped", why_cstr);
    bool star = str_eq(target, STR("*")) && str_eq(method, STR("OPTIONS"));
    if (!star && target.p[0] != '/' && !httpd_msg_absolute(&target, authority))
        return httpd_msg_bad(400, "the target is no path", why_cstr);
    out->query = target;
    out->path = str_cut(&out->query, '?');
    return 0;
}

/* ---- fields (Private) ------------------------------------------------------------------------ */

static int httpd_msg_field(struct str line, struct http_header *out, const char **why_cstr) {
    struct str value = line, name = str_cut(&value, ':');
    if (line.p[0] == ' ' || line.p[0] == '\t')
        return httpd_msg_bad(400, "a header line is folded", why_cstr);
    if (!value.p || !httpd_msg_token(name))
        return httpd_msg_bad(400, "a header line has no proper name", why_cstr);
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return httpd_msg_bad(400, "a header value holds a control character", why_cstr);
    }
    *out = (struct http_header){ name, str_trim(value) };
    if (!out->value.p) out->value = STR("");
    return 0;
}

/* The value of a field that may come once; *n is how often it came. */
static struct str httpd_msg_single(const struct httpd_head *h, const char *name_cstr, size_t *n) {
    struct str value = STR_EMPTY;
    *n = 0;
    for (size_t i = 0; i < h->n_headers; i++)
        if (str_ieq(h->headers[i].name, str_cstr(name_cstr)) && (*n)++ == 0)
            value = h->headers[i].value;
    return value;
}

static int httpd_msg_framing(struct httpd_head *out, const char **why_cstr) {
    size_t n_length, n_coding;
    struct str length = httpd_msg_single(out, "Content-Length", &n_length),
               coding = httpd_msg_single(out, "Transfer-Encoding", &n_coding);
    if (n_length > 1 || n_coding > 1 || (n_length && n_coding))
        return httpd_msg_bad(400, "the length of the body is given twice", why_cstr);
    if (n_coding && out->http_1_0)
        return httpd_msg_bad(400, "HTTP/1.0 knows no Transfer-Encoding", why_cstr);
    if (n_coding && !str_ieq(coding, STR("chunked")))
        return httpd_msg_bad(501, "no Transfer-Encoding but chunked is known here", why_cstr);
    out->chunked = n_coding > 0;
    if (n_length && !num_parse_u64(length, INT64_MAX, &out->length))
        return httpd_msg_bad(400, "Content-Length is no number", why_cstr);
    return 0;
}

static int httpd_msg_whom(struct httpd_head *out, struct str authority, const char **why_cstr) {
    size_t n_host, n_auth;
    out->host = httpd_msg_single(out, "Host", &n_host);
    (void)httpd_msg_single(out, "Authorization", &n_auth);
    if (n_host > 1 || n_auth > 1)
        return httpd_msg_bad(400, "Host or Authorization is given twice", why_cstr);
    if (n_host == 0 && !out->http_1_0) return httpd_msg_bad(400, "Host is missing", why_cstr);
    if (n_host && !httpd_msg_host_ok(out->host))
        return httpd_msg_bad(400, "Host is no host name", why_cstr);
    if (authority.n && !str_ieq(authority, out->host))
        return httpd_msg_bad(400, "Host and target name different hosts", why_cstr);
    return 0;
}

static int httpd_msg_options(struct httpd_head *out, const char **why_cstr) {
    out->keep = !out->http_1_0;
    for (size_t i = 0; i < out->n_headers; i++) {
        if (str_ieq(out->headers[i].name, STR("Connection")))
            for (struct str rest = out->headers[i].value; rest.p;)
                if (str_ieq(str_trim(str_cut(&rest, ',')), STR("close"))) out->keep = false;
        if (!str_ieq(out->headers[i].name, STR("Expect"))) continue;
        if (!str_ieq(out->headers[i].value, STR("100-continue")))
            return httpd_msg_bad(417, "no expectation but 100-continue can be met", why_cstr);
        out->expects = !out->http_1_0;
    }
    return 0;
}

/* ---- heads (Public) -------------------------------------------------------------------------- */

MLXK_FN int httpd_head_check(struct str text, const char **why_cstr) {
    ptrdiff_t line = str_find_char(text, '\n');
    if (text.n && !httpd_msg_token(str_sub(text, 0, 1)))
        return httpd_msg_bad(400, "this is not HTTP", why_cstr);
    if ((line < 0 && text.n > HTTPD_MAX_LINE) || line > HTTPD_MAX_LINE)
        return httpd_msg_bad(414, "the request line is too long", why_cstr);
    if (line >= 0 && text.n - (size_t)line > HTTPD_MAX_FIELDS)
        return httpd_msg_bad(431, "the header lines are too long together", why_cstr);
    return 0;
}

MLXK_FN int httpd_head_parse(struct arena *a, struct str text, struct httpd_head *out,
                             const char **why_cstr) {
    *out = (struct httpd_head){ 0 };
    *why_cstr = "";
    int status = httpd_head_check(text, why_cstr);
    if (status) return status;
    struct str rest = str_dup(a, text), authority = STR_EMPTY;
    out->headers = ARENA_ARRAY(a, struct http_header, HTTPD_MAX_HEADERS);
    if (!rest.p || !out->headers) return httpd_msg_bad(503, "out of memory", why_cstr);
    for (bool first = true; rest.p; first = false) {
        struct str line = str_cut(&rest, '\n');
        if (!rest.p || !str_ends(line, STR("\r")))
            return httpd_msg_bad(400, "a line does not end with CR LF", why_cstr);
        line.n--;
        if (str_find_char(line, '\r') >= 0)
            return httpd_msg_bad(400, "a line holds a CR of its own", why_cstr);
        if (line.n == 0 && first)
            return httpd_msg_bad(400, "it begins with an empty line", why_cstr);
        if (line.n == 0) break;
        if (!first && out->n_headers == HTTPD_MAX_HEADERS)
            return httpd_msg_bad(431, "there are too many header lines", why_cstr);
        status = first ? httpd_msg_line(line, out, &authority, why_cstr)
                       : httpd_msg_field(line, &out->headers[out->n_headers], why_cstr);
        if (status) return status;
        out->n_headers += !first;
    }
    status = httpd_msg_framing(out, why_cstr);
    if (!status) status = httpd_msg_whom(out, authority, why_cstr);
    return status ? status : httpd_msg_options(out, why_cstr);
}

/* ---- values (Public) ------------------------------------------------------------------------- */

MLXK_FN enum httpd_range httpd_range_parse(struct str value, uint64_t total, uint64_t *from,
                                           uint64_t *to) {
    uint64_t first = 0, last = 0;
    struct str rest = str_trim(value);
    *from = 0;
    *to = total;
    if (!str_ieq(str_sub(rest, 0, 6), STR("bytes="))) return HTTPD_WHOLE;
    rest = str_trim(str_sub(rest, 6, rest.n));
    if (str_find_char(rest, ',') >= 0) return HTTPD_NO_PART;
    struct str begin = str_cut(&rest, '-');
    if (!rest.p || (begin.n && !num_parse_u64(begin, UINT64_MAX - 1, &first))
        || (rest.n && !num_parse_u64(rest, UINT64_MAX - 1, &last)) || (!begin.n && !rest.n))
        return HTTPD_WHOLE;
    if (!begin.n) {                      /* the last so many */
        if (last == 0 || total == 0) return HTTPD_NO_PART;
        *from = last < total ? total - last : 0;
        return HTTPD_PART;
    }
    if (rest.n && last < first) return HTTPD_WHOLE;
    if (first >= total) return HTTPD_NO_PART;
    *from = first;
    *to = rest.n && last < total ? last + 1 : total;
    return HTTPD_PART;
}

static int httpd_msg_hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

MLXK_FN bool httpd_decode(struct arena *a, struct str s, bool plus, struct str *out) {
    char *p = arena_alloc(a, s.n, 1);
    size_t n = 0;
    *out = STR_EMPTY;
    if (!p) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int high = s.n - i > 2 ? httpd_msg_hex(s.p[i + 1]) : -1,
                low = s.n - i > 2 ? httpd_msg_hex(s.p[i + 2]) : -1;
            if (high < 0 || low < 0) return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) c = ' ';
        if (c == 0) return false;
        p[n++] = c;
    }
    *out = (struct str){ p, n };
    return utf8_valid(*out);
}

MLXK_FN void httpd_date(char out[32], int64_t time_s) {
    static const char days[] = "MonTueWedThuFriSatSun",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct os_date d = os_date_utc(time_s);
    snprintf(out, 32, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * d.weekday, d.day,
             months + 3 * (d.month - 1), d.year, d.hour, d.minute, d.second);
}

MLXK_FN const char *httpd_reason(int status) {
    static const struct { int status; const char *text_cstr; } reasons[] = {
        { 200, "OK" }, { 202, "Accepted" }, { 204, "No Content" }, { 206, "Partial Content" },
        { 304, "Not Modified" }, { 307, "Temporary Redirect" }, { 400, "Bad Request" },
        { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
        { 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 411, "Length Required" },
        { 413, "Content Too Large" }, { 414, "URI Too Long" }, { 415, "Unsupported Media Type" },
        { 416, "Range Not Satisfiable" }, { 417, "Expectation Failed" },
        { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" },
        { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" }, { 507, "Insufficient Storage" },
    };
    for (size_t i = 0; i < MLXK_COUNT(reasons); i++)
        if (reasons[i].status == status) return reasons[i].text_cstr;
    return status < 400 ? "OK" : "Error";
}
