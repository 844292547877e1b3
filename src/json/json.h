/* json.h: JSON documents, streams and output (level 1, pure).
 *
 * Three tools, one grammar (RFC 8259, duplicate keys refused by the tree and the header readers):
 *  - json_parse: a tree for documents up to LIMIT_JSON_DOC (configs, API bodies, manifests); cJSON
 *    does the parsing, the adapter keeps what cJSON loses: strings with NUL, integers beyond 2^53;
 *  - json_reader: pull tokens from text of any size (tokenizer.json, safetensors headers, lines);
 *  - json_writer: documents for people and scripts (two spaces, ASCII-escaped, as upstream prints
 *    them) or compact UTF-8 lines.
 * Strings must be UTF-8; \u escapes of lone surrogates become U+FFFD. Depth is bounded by
 * LIMIT_JSON_DEPTH. Decoded strings and keys may hold any character, control characters included:
 * whoever prints them to a terminal cleans them.
 * err    ERR_FORMAT with byte offset and what was expected; ERR_LIMIT; ERR_NO_MEMORY.
 */
#ifndef MLXK_JSON_H
#define MLXK_JSON_H

#include "base/base.h"

/* ---- tree (json_read.c, json_get.c) ------------------------------------------------------- */

enum json_kind {
    JSON_NULL, JSON_BOOL, JSON_INT, JSON_FLOAT, JSON_STRING, JSON_ARRAY, JSON_OBJECT
};
/* Nodes live in the arena given to json_parse; members keep document order. */
struct json {
    enum json_kind kind;
    bool boolean;
    int64_t integer;             /* JSON_INT only (a number without . e E that fits) */
    double number;               /* JSON_INT and JSON_FLOAT; always finite */
    struct str string;           /* JSON_STRING: decoded text, may hold NUL; numbers: source text */
    struct str key;              /* when a member of an object */
    struct json *child, *next;   /* first element or member; next sibling; NULL at the end */
    size_t n;                    /* elements or members */
};
/* Whole text is one value with white space around it. A UTF-8 byte order mark is skipped. The tree
 * borrows nothing from text. Numbers past the range of a double are refused. */
MLXK_FN struct json *json_parse(struct arena *a, struct str text, struct err *e);
/* As json_parse for text up to LIMIT_JSON_FILE, read by the streaming reader (big indexes). */
MLXK_FN struct json *json_parse_large(struct arena *a, struct str text, struct err *e);
/* As json_parse_large, but of equal keys the last wins, in the place of the first (as in Python):
 * for files that other tools wrote and that are only looked at. */
MLXK_FN struct json *json_parse_lenient(struct arena *a, struct str text, struct err *e);
/* Member by name; NULL when absent, when v is NULL or no object. */
MLXK_FN const struct json *json_get(const struct json *v /* or NULL */, const char *key_cstr);
MLXK_FN const struct json *json_get_str(const struct json *v /* or NULL */, struct str key);
MLXK_FN const struct json *json_at(const struct json *v /* or NULL */, size_t index);
MLXK_FN bool json_is(const struct json *v /* or NULL */, enum json_kind kind);
/* Typed members. Absent or null: *out keeps its value (the default) and the result is true.
 * Wrong kind or out of range: ERR_FORMAT naming the key, what was found and what is allowed.
 * i64 accepts JSON_FLOAT with an integral value; f64 accepts JSON_INT. */
MLXK_FN bool json_read_i64(const struct json *obj, const char *key_cstr, int64_t min, int64_t max,
                           int64_t *out, struct err *e);
MLXK_FN bool json_read_f64(const struct json *obj, const char *key_cstr, double *out,
                           struct err *e);
MLXK_FN bool json_read_bool(const struct json *obj, const char *key_cstr, bool *out,
                            struct err *e);
MLXK_FN bool json_read_str(const struct json *obj, const char *key_cstr, struct str *out,
                           struct err *e);

/* ---- stream (json_stream.c) --------------------------------------------------------------- */

enum json_token_kind {
    JSON_T_END,                  /* the text is finished and was well-formed */
    JSON_T_OBJECT, JSON_T_OBJECT_END, JSON_T_ARRAY, JSON_T_ARRAY_END,
    JSON_T_KEY, JSON_T_STRING, JSON_T_NUMBER, JSON_T_TRUE, JSON_T_FALSE, JSON_T_NULL,
};
struct json_token {
    enum json_token_kind kind;
    struct str text;             /* KEY, STRING: decoded, borrowed until the next call;
                                  * NUMBER, TRUE, FALSE, NULL: source text; else empty */
    bool stable;                 /* text points into the input and lives as long as it (always
                                  * so when the source has no escapes) */
    size_t offset_bytes;         /* where the token begins in the input */
};
struct json_reader {
    struct str input;
    size_t pos, depth, max_depth;
    uint64_t is_object[(LIMIT_JSON_DEPTH + 63) / 64];
    int state;
    bool repaired;               /* a lone surrogate was read as U+FFFD */
    struct buf scratch;
};
/* max_depth: 1..LIMIT_JSON_DEPTH. The input is borrowed; a byte order mark is skipped. */
MLXK_FN void json_reader_init(struct json_reader *r, struct str input, size_t max_depth);
MLXK_FN void json_reader_release(struct json_reader *r);
/* The next token; a KEY comes with its colon read. After a failure every call fails. */
MLXK_FN bool json_next(struct json_reader *r, struct json_token *t, struct err *e);
/* Passes over the value that comes next (or whose KEY was just read); *raw is its source text. */
MLXK_FN bool json_skip(struct json_reader *r, struct str *raw /* or NULL */, struct err *e);
/* Next token must be of that kind. */
MLXK_FN bool json_expect(struct json_reader *r, enum json_token_kind kind, struct json_token *t,
                         struct err *e);
/* Number text of a token as integer; false (no err) when it is none or does not fit. */
MLXK_FN bool json_token_i64(const struct json_token *t, int64_t *out);

/* ---- output (json_write.c) ---------------------------------------------------------------- */

struct json_writer {
    struct buf *out;             /* borrowed; sticky failure is the buffer's */
    bool ascii, pretty;          /* \u-escape everything past 0x7e; two-space layout */
    bool spaces;                 /* compact with ", " and ": "; set by the caller after init */
    int depth;
    bool first, after_key;
};
/* pretty + ascii = a command's document; neither = one compact UTF-8 line. Layout as Python's
 * json.dumps: pretty with indent=2 (": ", ",\n"); compact "," and ":", or ", " and ": " with
 * `spaces` (its default). Calls must nest properly: a key before each member's value. Numbers of a
 * tree are printed as Python prints what it read: integers digit for digit whatever their size,
 * others by json_write_f64. */
MLXK_FN void json_write_init(struct json_writer *w, struct buf *out, bool pretty, bool ascii);
MLXK_FN void json_write_object(struct json_writer *w);
MLXK_FN void json_write_object_end(struct json_writer *w);        /* empty prints {} */
MLXK_FN void json_write_array(struct json_writer *w);
MLXK_FN void json_write_array_end(struct json_writer *w);
MLXK_FN void json_write_key(struct json_writer *w, const char *key_cstr);
MLXK_FN void json_write_key_str(struct json_writer *w, struct str key);
MLXK_FN void json_write_str(struct json_writer *w, struct str s); /* bad UTF-8 becomes U+FFFD */
MLXK_FN void json_write_cstr(struct json_writer *w, const char *cstr /* NULL = null */);
/* key and text; with _or_null an empty text is null. */
MLXK_FN void json_write_member(struct json_writer *w, const char *key_cstr, struct str s);
MLXK_FN void json_write_member_or_null(struct json_writer *w, const char *key_cstr, struct str s);
MLXK_FN void json_write_i64(struct json_writer *w, int64_t x);
MLXK_FN void json_write_u64(struct json_writer *w, uint64_t x);
MLXK_FN void json_write_f64(struct json_writer *w, double x);     /* repr; nan, inf give null */
MLXK_FN void json_write_bool(struct json_writer *w, bool x);
MLXK_FN void json_write_null(struct json_writer *w);
MLXK_FN void json_write_raw(struct json_writer *w, struct str valid_json);
MLXK_FN void json_write_value(struct json_writer *w, const struct json *v /* NULL = null */);

#endif
