/* http_msg.c: HTTP/1.1 message heads, ranges, dates and chunked framing. Pure.
 *
 * Strict where leniency lets two readers disagree about where a message ends: no folded fields, no white space
 * before ':', no bare CR, no NUL, no signs or spaces in lengths, no conflicting lengths.
 * ref: RFC 9112 sections 2-7, RFC 9110 sections 5.6.7 and 14.
 */
#include "net/net_int.h"

enum { HTTP_MAX_CHUNK_LINE = 4096 };    /* chunk size with extensions, and each trailer line */

MLXK_FN size_t http_head_length(struct str text) {
    ptrdiff_t crlf = str_find(text, STR("\r\n\r\n")), lf = str_find(text, STR("\n\n"));
    if (crlf >= 0 && (lf < 0 || crlf < lf)) return (size_t)crlf + 4;
    return lf >= 0 ? (size_t)lf + 2 : 0;
}

static bool http_msg_bad(const char *why_cstr, struct err *e) {
    err_set(e, ERR_FORMAT, "the server's answer is not HTTP/1.1: %s", why_cstr);
    return err_hint(e, "something between here and the server may be answering in its place");
}

/* "HTTP/1.1 200 OK" */
static bool http_msg_status(struct str line, struct http_head *out, struct err *e) {
    int64_t status;
    if (!str_starts(line, STR("HTTP/1.")) || line.n < 12 || (line.p[7] != '0' && line.p[7] != '1') || line.p[8] != ' ')
        return http_msg_bad("its first line is no status line", e);
    if (!num_parse_i64(str_sub(line, 9, 12), 100, 599, &status) || (line.n > 12 && line.p[12] != ' '))
        return http_msg_bad("its status is no number from 100 to 599", e);
    out->http_1_0 = line.p[7] == '0';
    out->status = (int)status;
    return true;
}

static bool http_msg_name_ok(struct str name) {
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        bool token = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
        if (!token) return false;
    }
    return name.n > 0;
}

static bool http_msg_field(struct str line, struct http_header *out, struct err *e) {
    struct str value = line, name = str_cut(&value, ':');
    if (!value.p || !http_msg_name_ok(name)) return http_msg_bad("a header line has no proper name", e);
    *out = (struct http_header){ name, str_trim(value) };
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == 0 || value.p[i] == '\r') return http_msg_bad("a header value holds NUL or CR", e);
    return true;
}

MLXK_FN bool http_head_parse(struct arena *a, struct str text, struct http_head *out, struct err *e) {
    *out = (struct http_head){ 0 };
    struct str copy = str_dup(a, text), rest = copy;
    out->headers = ARENA_ARRAY(a, struct http_header, NET_MAX_HEADERS);
    if (!copy.p || !out->headers) return err_oom(e, text.n, "a message head");
    for (bool first = true; rest.p; first = false) {
        struct str line = str_cut(&rest, '\n');
        if (str_ends(line, STR("\r"))) line.n--;
        if (line.n == 0) return first ? http_msg_bad("it begins with an empty line", e) : true;
        if (first) {
            if (!http_msg_status(line, out, e)) return false;
            continue;
        }
        if (out->n_headers == NET_MAX_HEADERS) return err_set(e, ERR_LIMIT, "the server's answer has more than %d header lines", NET_MAX_HEADERS);
        if (!http_msg_field(line, &out->headers[out->n_headers++], e)) return false;
    }
    return true;
}

MLXK_FN struct str http_head_find(const struct http_header *h, size_t n, const char *name_cstr) {
    for (size_t i = 0; i < n; i++)
        if (str_ieq(h[i].name, str_cstr(name_cstr))) return h[i].value.p ? h[i].value : STR("");
    return STR_EMPTY;
}

MLXK_FN bool http_content_range(struct str value, uint64_t *start, uint64_t *end, uint64_t *total) {
    struct str rest = str_trim(value);
    if (!str_ieq(str_sub(rest, 0, 6), STR("bytes "))) return false;
    rest = str_trim(str_sub(rest, 6, rest.n));
    struct str first = str_cut(&rest, '-'), last = str_cut(&rest, '/');
    *total = UINT64_MAX;
    return rest.p && num_parse_u64(first, UINT64_MAX - 1, start) && num_parse_u64(last, UINT64_MAX - 1, end) && *end >= *start
        && (str_eq(rest, STR("*")) || (num_parse_u64(rest, UINT64_MAX - 1, total) && *total > *end));
}

/* Days since 1970-01-01 of a Gregorian date. */
static int64_t http_msg_days(int64_t y, int64_t m, int64_t d) {
    y -= m <= 2;                         /* years begin in March, so that leap days come last */
    int64_t era = y / 400, of_era = y % 400, of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

MLXK_FN bool http_date(struct str value, int64_t *time_s) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t day, year, hour, minute, second;
    if (value.n != 29 || !str_ends(value, STR(" GMT"))) return false;   /* Sun, 06 Nov 1994 08:49:37 GMT */
    ptrdiff_t month = str_find(str_cstr(months), str_sub(value, 8, 11));
    if (month < 0 || month % 3 || !num_parse_i64(str_sub(value, 5, 7), 1, 31, &day) || !num_parse_i64(str_sub(value, 12, 16), 1970, 9999, &year)
        || !num_parse_i64(str_sub(value, 17, 19), 0, 23, &hour) || !num_parse_i64(str_sub(value, 20, 22), 0, 59, &minute)
        || !num_parse_i64(str_sub(value, 23, 25), 0, 60, &second)) return false;
    *time_s = http_msg_days(year, month / 3 + 1, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

/* ---- chunked framing (Public) ------------------------------------------------------------------------ */

/*  SIZE --digits--> SIZE --';'--> EXT --LF--> DATA (or TRAILER when the size is 0)
 *  DATA --all bytes--> CR_LF --LF--> SIZE;   TRAILER --empty line--> done  */
enum http_chunk_state { HTTP_CHUNK_SIZE, HTTP_CHUNK_EXT, HTTP_CHUNK_DATA, HTTP_CHUNK_CRLF, HTTP_CHUNK_TRAILER };

static int http_msg_hex(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool http_chunks_bad(struct err *e) {
    return err_set(e, ERR_NET, "the server's chunked answer is malformed");
}

/* A byte of a line around the data. */
static bool http_chunks_line(struct http_chunks *c, uint8_t byte, struct err *e) {
    if (++c->line_bytes > HTTP_MAX_CHUNK_LINE) return http_chunks_bad(e);
    if (c->state == HTTP_CHUNK_SIZE && http_msg_hex(byte) >= 0) {
        if (c->left >> 56) return http_chunks_bad(e);
        c->left = c->left * 16 + (uint64_t)http_msg_hex(byte);
        return true;
    }
    if (c->state == HTTP_CHUNK_SIZE) {
        if (c->line_bytes == 1 || (byte != ';' && byte != '\r' && byte != '\n' && byte != ' ')) return http_chunks_bad(e);
        c->state = HTTP_CHUNK_EXT;
    }
    if (byte != '\n') return c->state != HTTP_CHUNK_CRLF || byte == '\r' || http_chunks_bad(e);
    if (c->state == HTTP_CHUNK_EXT) c->state = c->left ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER;
    else if (c->state == HTTP_CHUNK_CRLF) c->state = HTTP_CHUNK_SIZE;
    else if (c->line_bytes <= 2) c->done = true;       /* the empty line behind the trailers */
    c->line_bytes = 0;
    return true;
}

MLXK_FN bool http_chunks_decode(struct http_chunks *c, const uint8_t *in, size_t n, size_t *n_in, uint8_t *out, size_t *n_out, struct err *e) {
    size_t i = 0;
    *n_out = 0;
    while (i < n && !c->done) {
        if (c->state != HTTP_CHUNK_DATA) {
            if (!http_chunks_line(c, in[i++], e)) return false;
            continue;
        }
        size_t take = n - i < c->left ? n - i : (size_t)c->left;
        memcpy(out + *n_out, in + i, take);
        *n_out += take;
        i += take;
        c->left -= take;
        if (c->left == 0) c->state = HTTP_CHUNK_CRLF;
    }
    *n_in = i;
    return true;
}
