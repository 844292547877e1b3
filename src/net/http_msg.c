/* http_msg.c: HTTP/1.1 message heads, ranges, dates and chunked framing. Pure.
 *
 * Strict where leniency lets two readers disagree about where a message ends: no folded fields, no
 * white space before ':', no bare CR, no NUL, no signs or spaces in lengths, no conflicting
 * lengths.
 * ref: RFC 9112 sections 2-7, RFC 9110 sections 5.6.7 and 14.
 */
#include "net/net_int.h"

enum {
    HTTP_MAX_CHUNK_LINE = 4096,  /* chunk size with extensions, and each trailer line */
    HTTP_MAX_TRAILERS = 65536,   /* all trailer lines of one body */
};

/* ---- heads (Public) -------------------------------------------------------------------------- */

MLXK_FN size_t http_head_length(struct str text) {
    for (size_t i = 0; i < text.n; i++) {
        const char *found = memchr(text.p + i, '\n', text.n - i);
        if (!found) return 0;
        i = (size_t)(found - text.p);
        struct str rest = str_sub(text, i + 1, text.n);
        if (str_starts(rest, STR("\n"))) return i + 2;
        if (str_starts(rest, STR("\r\n"))) return i + 3;
    }
    return 0;
}

static bool http_msg_bad(const char *why_cstr, struct err *e) {
    err_set(e, ERR_FORMAT, "the server's answer is not HTTP/1.1: %s", why_cstr);
    return err_hint(e, "something between here and the server may be answering in its place");
}

/* "HTTP/1.1 200 OK" */
static bool http_msg_status(struct str line, struct http_head *out, struct err *e) {
    int64_t status;
    bool ok = str_starts(line, STR("HTTP/1.")) && line.n >= 12 && line.p[8] == ' ';
    if (!ok || (line.p[7] != '0' && line.p[7] != '1'))
        return http_msg_bad("its first line is no status line", e);
    if (!num_parse_i64(str_sub(line, 9, 12), 100, 599, &status)
        || (line.n > 12 && line.p[12] != ' '))
        return http_msg_bad("its status is no number from 100 to 599", e);
    out->http_1_0 = line.p[7] == '0';
    out->status = (int)status;
    return true;
}

static bool http_msg_name_ok(struct str name) {
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c))) return false;
    }
    return name.n > 0;
}

static bool http_msg_field(struct str line, struct http_header *out, struct err *e) {
    struct str value = line, name = str_cut(&value, ':');
    if (!value.p || !http_msg_name_ok(name))
        return http_msg_bad("a header line has no proper name", e);
    *out = (struct http_header){ name, str_trim(value) };
    if (str_find_char(value, 0) >= 0 || str_find_char(value, '\r') >= 0)
        return http_msg_bad("a header value holds NUL or CR", e);
    return true;
}

MLXK_FN bool http_head_parse(struct arena *a, struct str text, struct http_head *out,
                             struct err *e) {
    *out = (struct http_head){ 0 };
    struct str copy = str_dup(a, text), rest = copy;
    size_t n = 0;
    while (n < NET_MAX_HEADERS && str_cut(&text, '\n').p) n++;
    out->headers = ARENA_ARRAY(a, struct http_header, n);
    if (!copy.p || !out->headers) return err_oom(e, text.n, "a message head");
    for (bool first = true; rest.p; first = false) {
        struct str line = str_cut(&rest, '\n');
        if (str_ends(line, STR("\r"))) line.n--;
        if (line.n == 0) return first ? http_msg_bad("it begins with an empty line", e) : true;
        if (first) {
            if (!http_msg_status(line, out, e)) return false;
            continue;
        }
        if (out->n_headers == NET_MAX_HEADERS)
            return err_set(e, ERR_LIMIT, "the server's answer has more than %d header lines",
                           NET_MAX_HEADERS);
        if (!http_msg_field(line, &out->headers[out->n_headers++], e)) return false;
    }
    return true;
}

MLXK_FN struct str http_head_find(const struct http_header *h, size_t n, const char *name_cstr) {
    for (size_t i = 0; i < n; i++)
        if (str_ieq(h[i].name, str_cstr(name_cstr))) return h[i].value.p ? h[i].value : STR("");
    return STR_EMPTY;
}

/* ---- values (Public) ------------------------------------------------------------------------- */

MLXK_FN bool http_content_range(struct str value, uint64_t *start, uint64_t *end, uint64_t *total) {
    struct str rest = str_trim(value);
    if (!str_ieq(str_sub(rest, 0, 6), STR("bytes "))) return false;
    rest = str_trim(str_sub(rest, 6, rest.n));
    struct str first = str_cut(&rest, '-'), last = str_cut(&rest, '/');
    *total = UINT64_MAX;
    if (!rest.p || !num_parse_u64(first, UINT64_MAX - 1, start)
        || !num_parse_u64(last, UINT64_MAX - 1, end))
        return false;
    bool known = !str_eq(rest, STR("*"));
    return *end >= *start
           && (!known || (num_parse_u64(rest, UINT64_MAX - 1, total) && *total > *end));
}

/* Days since 1970-01-01 of a Gregorian date. */
static int64_t http_msg_days(int64_t y, int64_t m, int64_t d) {
    y -= m <= 2;                         /* years begin in March, so that leap days come last */
    int64_t era = y / 400, of_era = y % 400,
            of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool http_msg_number(struct str s, size_t from, size_t to, int64_t min, int64_t max,
                            int64_t *out) {
    return num_parse_i64(str_sub(s, from, to), min, max, out);
}

/* Where the parts of a date begin; its day may begin with a space, its year has two digits or
 * four. */
struct http_date_form { size_t day, month, year, year_n, time; };

/* Sun, 06 Nov 1994 08:49:37 GMT; Sunday, 06-Nov-94 08:49:37 GMT; Sun Nov  6 08:49:37 1994 */
static bool http_date_form(struct str s, struct http_date_form *f) {
    ptrdiff_t comma = str_find_char(s, ',');
    size_t at = comma < 0 ? 0 : (size_t)comma;
    if (comma < 0) *f = (struct http_date_form){ 8, 4, 20, 4, 11 };
    else if (at == 3) *f = (struct http_date_form){ 5, 8, 12, 4, 17 };
    else *f = (struct http_date_form){ at + 2, at + 5, at + 9, 2, at + 12 };
    return comma < 0 ? s.n == 24 : s.n == f->time + 12 && str_ends(s, STR(" GMT"));
}

MLXK_FN bool http_date(struct str s, int64_t *time_s) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t day, year, hour, minute, second;
    struct http_date_form f;
    if (!http_date_form(s, &f)) return false;
    ptrdiff_t month = str_find(str_cstr(months), str_sub(s, f.month, f.month + 3));
    if (month < 0 || month % 3) return false;
    bool padded = s.p[f.day] == ' ';
    if (!http_msg_number(s, f.day + padded, f.day + 2, 1, 31, &day)
        || !http_msg_number(s, f.year, f.year + f.year_n, f.year_n == 2 ? 0 : 1970, 9999, &year)
        || !http_msg_number(s, f.time, f.time + 2, 0, 23, &hour)
        || !http_msg_number(s, f.time + 3, f.time + 5, 0, 59, &minute)
        || !http_msg_number(s, f.time + 6, f.time + 8, 0, 60, &second)) return false;
    if (f.year_n == 2) year += year < 70 ? 2000 : 1900;
    *time_s = http_msg_days(year, month / 3 + 1, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

/* ---- chunked framing (Public) ---------------------------------------------------------------- */

/*  SIZE --';' or CR--> EXT --LF--> DATA (or TRAILER when the size is 0); SIZE --LF--> as EXT
 *  DATA --all bytes--> CRLF --LF--> SIZE;   TRAILER --empty line--> done  */
enum http_chunk_state {
    HTTP_CHUNK_SIZE,
    HTTP_CHUNK_EXT,
    HTTP_CHUNK_DATA,
    HTTP_CHUNK_CRLF,
    HTTP_CHUNK_TRAILER
};

static int http_msg_hex(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool http_chunks_bad(struct err *e) {
    return err_set(e, ERR_NET, "the server's chunked answer is malformed");
}

/* The line around the data is complete. */
static bool http_chunks_line_end(struct http_chunks *c, struct err *e) {
    bool empty = c->line_bytes == 1 || (c->line_bytes == 2 && c->cr);
    switch (c->state) {
    case HTTP_CHUNK_EXT:
        c->state = c->left ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER;
        break;
    case HTTP_CHUNK_CRLF:
        if (!empty) return http_chunks_bad(e);
        c->state = HTTP_CHUNK_SIZE;
        break;
    default:
        c->done = empty;
    }
    c->line_bytes = 0;
    c->cr = false;
    return true;
}

/* A byte of a line around the data. */
static bool http_chunks_line(struct http_chunks *c, uint8_t byte, struct err *e) {
    if (++c->line_bytes > HTTP_MAX_CHUNK_LINE) return http_chunks_bad(e);
    if (c->state == HTTP_CHUNK_TRAILER && ++c->trailer_bytes > HTTP_MAX_TRAILERS)
        return http_chunks_bad(e);
    if (c->cr && byte != '\n') return http_chunks_bad(e);      /* CR only in front of LF */
    bool space = c->state == HTTP_CHUNK_SIZE && (byte == ' ' || byte == '\t');
    if (c->strict && (space || (byte == '\n' && !c->cr))) return http_chunks_bad(e);
    if (c->state == HTTP_CHUNK_SIZE && http_msg_hex(byte) >= 0) {
        if (c->left >> 56) return http_chunks_bad(e);
        c->left = c->left * 16 + (uint64_t)http_msg_hex(byte);
        return true;
    }
    if (c->state == HTTP_CHUNK_SIZE) {
        bool ends = byte == ';' || byte == '\r' || byte == '\n' || byte == ' ' || byte == '\t';
        if (c->line_bytes == 1 || !ends) return http_chunks_bad(e);
        c->state = HTTP_CHUNK_EXT;
    }
    if (byte == '\n') return http_chunks_line_end(c, e);
    c->cr = byte == '\r';
    return c->state != HTTP_CHUNK_CRLF || c->cr || http_chunks_bad(e);
}

MLXK_FN bool http_chunks_decode(struct http_chunks *c, const uint8_t *in, size_t n, size_t *n_in,
                                uint8_t *out, size_t *n_out, struct err *e) {
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
