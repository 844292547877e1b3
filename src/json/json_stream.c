/* json_stream.c: the pull reader: JSON text of any size, one token per call (RFC 8259, strictly).
 *
 * It builds nothing and allocates nothing, except for strings with escapes, which are decoded into
 * the reader's scratch buffer. It does not look for duplicate keys: whoever keeps the keys does.
 *
 *            json_next: '{'                 json_next: key and ':'
 *   VALUE ----------------> FIRST_KEY ----------------------------> VALUE (of that key)
 *     |  '['                   | '}'                                  |
 *     +-------> FIRST_ITEM     v         ',' in an object             | any scalar
 *     |             | ']' -> AFTER -----------------------> KEY       |
 *     | scalar              ^  | |  ',' in an array                   |
 *     +---------------------+  | +-----------------------> VALUE      |
 *                           ^  | end of text, depth 0                 |
 *                           |  +--------> DONE                        |
 *                           +-----------------------------------------+
 *
 * 1. pos only moves forward; every token's text lies in [0, input.n) or in scratch.
 * 2. depth <= max_depth <= LIMIT_JSON_DEPTH; bit d of is_object tells what level d + 1 is.
 * 3. After a failure the state is FAILED and no further token comes.
 * 4. Every text handed out is valid UTF-8; lone surrogates became U+FFFD (and `repaired` is set).
 */
#include "json/json.h"

enum {
    JSON_STREAM_VALUE,           /* a value must come */
    JSON_STREAM_FIRST_ITEM,      /* a value or ']' */
    JSON_STREAM_FIRST_KEY,       /* a key or '}' */
    JSON_STREAM_KEY,             /* a key must come */
    JSON_STREAM_AFTER,           /* a value is complete: ',' or a closing bracket, or the end */
    JSON_STREAM_DONE, JSON_STREAM_FAILED,
};

/* ---- failures ---- */

/* Always false: "JSON byte 12 (line 2): expected ..., found 'x'". */
static bool json_stream_fail(struct json_reader *r, size_t at, const char *expected_cstr,
                             struct err *e) {
    size_t line = 1;
    for (size_t i = 0; i < at; i++) {
        line += r->input.p[i] == '\n';
    }
    char found[16] = "the end";
    if (at < r->input.n) {
        static const char digits[] = "0123456789abcdef";
        uint8_t c = (uint8_t)r->input.p[at];
        if (c > 0x20 && c < 0x7f) {
            memcpy(found, (char[]){ '\'', (char)c, '\'', '\0' }, 4);
        } else {
            memcpy(found, (char[]){ '0', 'x', digits[c >> 4], digits[c & 15], '\0' }, 5);
        }
    }
    r->state = JSON_STREAM_FAILED;
    return err_set(e, ERR_FORMAT, "JSON byte %zu (line %zu): expected %s, found %s", at, line,
                   expected_cstr, found);
}

/* ---- scanning ---- */

static void json_stream_space(struct json_reader *r) {
    const char *p = r->input.p;
    size_t i = r->pos, n = r->input.n;
    while (i < n && (uint8_t)p[i] <= ' ' &&
           (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t')) {
        i++;
    }
    r->pos = i;
}

/* Bit 7 of each byte of x that ends a plain run: '"', '\\' or below 0x20. Only the lowest set bit
 * is exact (borrows travel upwards), and only that one is used. */
static uint64_t json_stream_stops(uint64_t x) {
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = x ^ (ones * '"'), slash = x ^ (ones * '\\');
    uint64_t control = (x - ones * 0x20) & ~x;
    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | control) & highs;
}

/* Moves *at to the next '"' or '\\', checking the bytes passed: no control characters, UTF-8. */
static bool json_stream_run(struct json_reader *r, size_t *at, struct err *e) {
    const char *p = r->input.p;
    size_t begin = *at, i = begin, n = r->input.n;
    uint64_t seen = 0, x, stops = 0;
    while (n - i >= sizeof x && !stops) {
        memcpy(&x, p + i, sizeof x);
        stops = json_stream_stops(x);
        unsigned plain = stops ? (unsigned)__builtin_ctzll(stops) / 8 : 8;
        seen |= plain < 8 ? x & (((uint64_t)1 << (8 * plain)) - 1) : x;
        i += plain;
    }
    while (i < n && (uint8_t)p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
        seen |= (uint8_t)p[i++];
    }
    if (i >= n) {
        return json_stream_fail(r, n, "the closing '\"' of a string", e);
    }
    if ((uint8_t)p[i] < 0x20) {
        return json_stream_fail(r, i, "a character that need not be escaped in a string", e);
    }
    if ((seen & 0x8080808080808080u) && !utf8_valid((struct str){ p + begin, i - begin })) {
        return json_stream_fail(r, begin, "valid UTF-8 in the string that begins here", e);
    }
    *at = i;
    return true;
}

/* The value of four hex digits at `at`, or -1. */
static int json_stream_hex4(const struct json_reader *r, size_t at) {
    int value = 0;
    if (r->input.n - at < 4) {
        return -1;
    }
    for (size_t i = at; i < at + 4; i++) {
        char c = r->input.p[i];
        int digit = c >= '0' && c <= '9' ? c - '0'
                  : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* \uXXXX, or a pair of them for a character past U+FFFF; *at is on the first 'u'. */
static bool json_stream_unicode(struct json_reader *r, size_t *at, struct err *e) {
    int unit = json_stream_hex4(r, *at + 1);
    if (unit < 0) {
        return json_stream_fail(r, *at + 1 < r->input.n ? *at + 1 : r->input.n,
                                "four hexadecimal digits", e);
    }
    uint32_t cp = (uint32_t)unit;
    *at += 5;
    if (cp >= 0xd800 && cp <= 0xdbff && r->input.n - *at >= 6 && r->input.p[*at] == '\\' &&
        r->input.p[*at + 1] == 'u') {
        int low = json_stream_hex4(r, *at + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            cp = 0x10000 + ((cp & 0x3ff) << 10) + ((uint32_t)low & 0x3ff);
            *at += 6;
        }
    }
    r->repaired = r->repaired || (cp >= 0xd800 && cp <= 0xdfff);
    char utf8[4];
    buf_add_bytes(&r->scratch, utf8, utf8_encode(utf8, cp));
    return true;
}

/* One escape sequence into scratch; *at is on the backslash and moves behind the sequence. */
static bool json_stream_escape(struct json_reader *r, size_t *at, struct err *e) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    size_t i = ++*at;
    char c = i < r->input.n ? r->input.p[i] : '\0';
    if (c == 'u') {
        return json_stream_unicode(r, at, e);
    }
    const char *letter = c ? strchr(letters, c) : NULL;
    if (!letter) {
        return json_stream_fail(r, i, "an escape character after '\\'", e);
    }
    buf_add_char(&r->scratch, meanings[letter - letters]);
    ++*at;
    return true;
}

/* The string whose opening quote is at pos. */
static bool json_stream_string(struct json_reader *r, struct json_token *t, struct err *e) {
    size_t begin = r->pos + 1, i = begin;
    if (!json_stream_run(r, &i, e)) {
        return false;
    }
    t->text = (struct str){ r->input.p + begin, i - begin };
    t->stable = r->input.p[i] == '"';
    if (!t->stable) {
        buf_reset(&r->scratch);
        buf_add(&r->scratch, t->text);
        while (r->input.p[i] != '"') {
            if (!json_stream_escape(r, &i, e)) {
                return false;
            }
            begin = i;
            if (!json_stream_run(r, &i, e)) {
                return false;
            }
            buf_add_bytes(&r->scratch, r->input.p + begin, i - begin);
        }
        if (!buf_ok(&r->scratch, "a JSON string", e)) {
            r->state = JSON_STREAM_FAILED;
            return false;
        }
        t->text = buf_str(&r->scratch);
    }
    r->pos = i + 1;
    return true;
}

static size_t json_stream_digits(const struct json_reader *r, size_t i) {
    while (i < r->input.n && r->input.p[i] >= '0' && r->input.p[i] <= '9') {
        i++;
    }
    return i;
}

static bool json_stream_number(struct json_reader *r, struct json_token *t, struct err *e) {
    const char *p = r->input.p;
    size_t n = r->input.n, i = r->pos + (p[r->pos] == '-');
    size_t end = i < n && p[i] == '0' ? i + 1 : json_stream_digits(r, i);
    if (end > i && end < n && p[end] == '.') {
        i = end + 1;
        end = json_stream_digits(r, i);
    }
    if (end > i && end < n && (p[end] == 'e' || p[end] == 'E')) {
        i = end + 1;
        i += i < n && (p[i] == '+' || p[i] == '-');
        end = json_stream_digits(r, i);
    }
    if (end == i) {
        return json_stream_fail(r, end, "a digit", e);
    }
    t->kind = JSON_T_NUMBER;
    t->text = (struct str){ p + r->pos, end - r->pos };
    t->stable = true;
    r->pos = end;
    return true;
}

static bool json_stream_word(struct json_reader *r, enum json_token_kind kind, struct str word,
                             struct json_token *t, struct err *e) {
    if (!str_eq(str_sub(r->input, r->pos, r->pos + word.n), word)) {
        return json_stream_fail(r, r->pos, "a value", e);
    }
    t->kind = kind;
    t->text = (struct str){ r->input.p + r->pos, word.n };
    t->stable = true;
    r->pos += word.n;
    return true;
}

/* ---- structure ---- */

static bool json_stream_in_object(const struct json_reader *r) {
    size_t level = r->depth - 1;
    return r->is_object[level / 64] >> (level % 64) & 1;
}

static bool json_stream_open(struct json_reader *r, bool object, struct json_token *t,
                             struct err *e) {
    if (r->depth >= r->max_depth) {
        r->state = JSON_STREAM_FAILED;
        return err_set(e, ERR_LIMIT, "JSON byte %zu: nested deeper than the limit of %zu levels",
                       r->pos, r->max_depth);
    }
    uint64_t bit = (uint64_t)1 << (r->depth % 64), *word = &r->is_object[r->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    r->depth++;
    r->pos++;
    r->state = object ? JSON_STREAM_FIRST_KEY : JSON_STREAM_FIRST_ITEM;
    t->kind = object ? JSON_T_OBJECT : JSON_T_ARRAY;
    return true;
}

static bool json_stream_close(struct json_reader *r, struct json_token *t) {
    t->kind = json_stream_in_object(r) ? JSON_T_OBJECT_END : JSON_T_ARRAY_END;
    r->depth--;
    r->pos++;
    r->state = JSON_STREAM_AFTER;
    return true;
}

static bool json_stream_value(struct json_reader *r, struct json_token *t, struct err *e) {
    char c = r->input.p[r->pos];
    if (c == '{' || c == '[') {
        return json_stream_open(r, c == '{', t, e);
    }
    bool ok;
    switch (c) {
    case '"':
        t->kind = JSON_T_STRING;
        ok = json_stream_string(r, t, e);
        break;
    case 't': ok = json_stream_word(r, JSON_T_TRUE, STR("true"), t, e); break;
    case 'f': ok = json_stream_word(r, JSON_T_FALSE, STR("false"), t, e); break;
    case 'n': ok = json_stream_word(r, JSON_T_NULL, STR("null"), t, e); break;
    default:
        if (c != '-' && !(c >= '0' && c <= '9')) {
            return json_stream_fail(r, r->pos, r->state == JSON_STREAM_FIRST_ITEM
                                    ? "a value or ']'" : "a value", e);
        }
        ok = json_stream_number(r, t, e);
    }
    if (ok) {
        r->state = JSON_STREAM_AFTER;
    }
    return ok;
}

/* A key and the colon behind it. */
static bool json_stream_key(struct json_reader *r, struct json_token *t, struct err *e) {
    if (r->input.p[r->pos] != '"') {
        return json_stream_fail(r, r->pos, r->state == JSON_STREAM_FIRST_KEY
                                ? "a key in quotes or '}'" : "a key in quotes", e);
    }
    t->kind = JSON_T_KEY;
    if (!json_stream_string(r, t, e)) {
        return false;
    }
    json_stream_space(r);
    if (r->pos >= r->input.n || r->input.p[r->pos] != ':') {
        return json_stream_fail(r, r->pos, "':' after a key", e);
    }
    r->pos++;
    r->state = JSON_STREAM_VALUE;
    return true;
}

/* The text is used up: fine when one whole value was read. */
static bool json_stream_end(struct json_reader *r, struct json_token *t, struct err *e) {
    static const char *const expected[] = {
        [JSON_STREAM_VALUE] = "a value", [JSON_STREAM_FIRST_ITEM] = "a value or ']'",
        [JSON_STREAM_FIRST_KEY] = "a key in quotes or '}'", [JSON_STREAM_KEY] = "a key in quotes",
    };
    if (r->depth == 0 && (r->state == JSON_STREAM_AFTER || r->state == JSON_STREAM_DONE)) {
        r->state = JSON_STREAM_DONE;
        t->kind = JSON_T_END;
        return true;
    }
    const char *what_cstr = r->state != JSON_STREAM_AFTER ? expected[r->state]
                          : json_stream_in_object(r) ? "',' or '}'" : "',' or ']'";
    return json_stream_fail(r, r->pos, what_cstr, e);
}

/* Behind a complete value. The comma is passed; *closed tells that t holds a closing bracket. */
static bool json_stream_after(struct json_reader *r, struct json_token *t, bool *closed,
                              struct err *e) {
    char c = r->input.p[r->pos];
    *closed = false;
    if (r->depth == 0) {
        return json_stream_fail(r, r->pos, "nothing after the value", e);
    }
    bool object = json_stream_in_object(r);
    if (c == ',') {
        r->pos++;
        r->state = object ? JSON_STREAM_KEY : JSON_STREAM_VALUE;
        json_stream_space(r);
        t->offset_bytes = r->pos;
        return r->pos < r->input.n || json_stream_end(r, t, e);
    }
    if (c == (object ? '}' : ']')) {
        *closed = true;
        return json_stream_close(r, t);
    }
    return json_stream_fail(r, r->pos, object ? "',' or '}'" : "',' or ']'", e);
}

/* ---- (Public) ---- */

MLXK_FN void json_reader_init(struct json_reader *r, struct str input, size_t max_depth) {
    MLXK_ASSERT(max_depth >= 1 && max_depth <= LIMIT_JSON_DEPTH);
    *r = (struct json_reader){ .input = input, .max_depth = max_depth, .state = JSON_STREAM_VALUE };
    r->pos = str_starts(input, STR("\xef\xbb\xbf")) ? 3 : 0;
    buf_init(&r->scratch, input.n);              /* decoding never makes a string longer */
}

MLXK_FN void json_reader_release(struct json_reader *r) {
    buf_release(&r->scratch);
}

MLXK_FN bool json_next(struct json_reader *r, struct json_token *t, struct err *e) {
    if (r->state == JSON_STREAM_FAILED) {
        return err_set(e, ERR_FORMAT, "JSON byte %zu: no token after a failure", r->pos);
    }
    json_stream_space(r);
    *t = (struct json_token){ .offset_bytes = r->pos };
    if (r->pos >= r->input.n) {
        return json_stream_end(r, t, e);
    }
    char c = r->input.p[r->pos];
    if (r->state == JSON_STREAM_AFTER) {
        bool closed;
        if (!json_stream_after(r, t, &closed, e) || closed) {
            return closed;
        }
    } else if ((r->state == JSON_STREAM_FIRST_KEY && c == '}') ||
               (r->state == JSON_STREAM_FIRST_ITEM && c == ']')) {
        return json_stream_close(r, t);
    }
    if (r->state == JSON_STREAM_FIRST_KEY || r->state == JSON_STREAM_KEY) {
        return json_stream_key(r, t, e);
    }
    return json_stream_value(r, t, e);
}

/* What a token is called in a message. */
static const char *json_stream_kind_name(enum json_token_kind kind) {
    static const char *const names[] = {
        [JSON_T_END] = "the end", [JSON_T_OBJECT] = "an object", [JSON_T_OBJECT_END] = "'}'",
        [JSON_T_ARRAY] = "an array", [JSON_T_ARRAY_END] = "']'", [JSON_T_KEY] = "a key",
        [JSON_T_STRING] = "a string", [JSON_T_NUMBER] = "a number", [JSON_T_TRUE] = "true",
        [JSON_T_FALSE] = "false", [JSON_T_NULL] = "null",
    };
    return names[kind];
}

/* Always false: a well-formed token of a kind that does not belong here. */
static bool json_stream_unexpected(struct json_reader *r, const struct json_token *t,
                                   const char *wanted_cstr, struct err *e) {
    r->state = JSON_STREAM_FAILED;
    return err_set(e, ERR_FORMAT, "JSON byte %zu: expected %s, found %s", t->offset_bytes,
                   wanted_cstr, json_stream_kind_name(t->kind));
}

MLXK_FN bool json_skip(struct json_reader *r, struct str *raw, struct err *e) {
    struct json_token t;
    size_t depth = r->depth;
    if (!json_next(r, &t, e)) {
        return false;
    }
    size_t begin = t.offset_bytes;
    if (r->depth < depth || t.kind == JSON_T_KEY || t.kind == JSON_T_END) {
        return json_stream_unexpected(r, &t, "a value", e);
    }
    while (r->depth > depth) {
        if (!json_next(r, &t, e)) {
            return false;
        }
    }
    if (raw) {
        *raw = str_sub(r->input, begin, r->pos);
    }
    return true;
}

MLXK_FN bool json_expect(struct json_reader *r, enum json_token_kind kind, struct json_token *t,
                         struct err *e) {
    if (!json_next(r, t, e)) {
        return false;
    }
    return t->kind == kind || json_stream_unexpected(r, t, json_stream_kind_name(kind), e);
}

MLXK_FN bool json_token_i64(const struct json_token *t, int64_t *out) {
    return t->kind == JSON_T_NUMBER && num_parse_i64(t->text, INT64_MIN, INT64_MAX, out);
}
