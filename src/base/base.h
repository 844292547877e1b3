/* base.h: the words every other file is written in (level 0).
 *
 * Memory (arena, owned blocks), text views (str), growing bytes (buf), a hash map, errors,
 * logging, UTF-8 and numbers. No system calls, only C standard headers; malloc and free are
 * called in arena.c and nowhere else in the program.
 *
 * Rules of the house that start here:
 *  - text is a (pointer, length) view; a NUL-terminated string is called ..._cstr;
 *  - a failing function returns false or NULL and fills its last parameter `struct err *e`;
 *    e is never NULL, is untouched on success, and its first failure wins;
 *  - a pointer is never NULL unless its contract says "NULL ...".
 */
#ifndef MLXK_BASE_H
#define MLXK_BASE_H

#include "base/config.h"

/* ---- limits: every bound on outside input, with its reason --------------------------- */

enum {
    LIMIT_JSON_DEPTH = 256,               /* deeper than any real document; keeps recursion small */
    LIMIT_ERR_MSG = 512, LIMIT_ERR_HINT = 320,
    LIMIT_PATH = 4096,                    /* PATH_MAX on every target */
};
#define LIMIT_JSON_DOC   ((size_t)1 << 20) /* documents for cJSON; what is larger streams */
#define LIMIT_JSON_FILE  ((size_t)1 << 28) /* streamed JSON files (tokenizer.json of 35 MB exist) */

/* ---- errors (err.c) ------------------------------------------------------------------- */

/* One table for the whole program: name, exit status, HTTP status, retryable, JSON error type. */
#define ERR_TABLE(X) \
    /* code         exit HTTP retry, JSON type, meaning */                                         \
    X(OK,          0, 200, 0, "ok",                  "no error")                                   \
    X(USAGE,       2, 400, 0, "CommandError",        "the command line is wrong")                  \
    X(INVALID,     1, 400, 0, "ValidationError",     "an argument or name is not acceptable")      \
    X(NOT_FOUND,   1, 404, 0, "model_not_found",     "the named object does not exist")            \
    X(AMBIGUOUS,   1, 404, 0, "ambiguous_match",     "a name fits more than one object")           \
    X(EXISTS,      1, 409, 0, "already_exists",      "the target exists already")                  \
    X(FORMAT,      1, 422, 0, "invalid_format",      "a file or message is malformed")             \
    X(LIMIT,       1, 413, 0, "limit_exceeded",      "an input is larger than its stated limit")   \
    X(UNSUPPORTED, 1, 501, 0, "not_implemented",     "valid, but this build cannot do it")         \
    X(INTEGRITY,   1, 502, 0, "integrity_error",     "bytes differ from their hash or size")       \
    X(IO,          1, 500, 0, "io_error",            "the system refused a file operation")        \
    X(DISK_FULL,   1, 507, 0, "disk_full",           "no space or quota left")                     \
    X(READ_ONLY,   1, 500, 0, "permission_denied",   "the place may not be written")               \
    X(LOCKED,      1, 423, 1, "locks_present",       "another process holds the lock")             \
    X(NO_MEMORY,   1, 507, 1, "insufficient_memory", "memory or its stated limit is used up")      \
    X(NET,         1, 502, 1, "network_error",       "a connection failed or broke")               \
    X(NET_TIMEOUT, 1, 504, 1, "gateway_timeout",     "the other side did not answer in time")      \
    X(TLS,         1, 502, 0, "tls_error",           "the peer's certificate or handshake failed") \
    X(HTTP,        1, 502, 0, "http_error",          "the server answered with an error status")   \
    X(RATE_LIMIT,  1, 429, 1, "rate_limited",        "the server asks to slow down")               \
    X(ACCESS,      1, 403, 0, "access_denied",       "authentication or permission is missing")    \
    X(INTERRUPTED, 1, 499, 0, "interrupted",         "the user stopped it")                        \
    X(UNCHANGED,   1, 409, 0, "unchanged",           "there is nothing new to release")            \
    X(DOCS_ONLY,   1, 409, 0, "docs_only",           "only docs changed, no patch was asked for")  \
    X(TEMPLATE,    1, 422, 0, "template_error",      "a chat template failed or raised")           \
    X(RUN,         1, 500, 0, "execution_error",     "the model could not be run")                 \
    X(INTERNAL,    1, 500, 0, "InternalError",       "a fault of this program")

#define ERR_ENUM(code, exit_status, http, retry, type, meaning) ERR_##code,
enum err_code { ERR_TABLE(ERR_ENUM) ERR_COUNT };
#undef ERR_ENUM

/* What went wrong. Fixed size, no allocation, so that "out of memory" can be told too.
 * msg: one sentence, what happened to which object, with numbers. hint: what to do, or empty. */
struct err {
    enum err_code code;
    int tries;                   /* more tries than this are of no use; 0 = nothing known */
    char msg[LIMIT_ERR_MSG];
    char hint[LIMIT_ERR_HINT];
};

/* Fills e (first failure wins) and returns false, so that `return err_set(e, ...)` works.
 * Over-long text is cut at a character boundary and ends in "…". */
MLXK_FN bool err_set(struct err *e, enum err_code code, const char *format_cstr, ...)
    MLXK_PRINTF(3, 4);
/* Adds the sentence that says what to do; returns false. The first hint wins. */
MLXK_FN bool err_hint(struct err *e, const char *format_cstr, ...) MLXK_PRINTF(2, 3);
/* Puts context in front of msg ("file 3 of 7: ..."); returns false. No-op when e holds no error. */
MLXK_FN bool err_context(struct err *e, const char *format_cstr, ...) MLXK_PRINTF(2, 3);
/* ERR_NO_MEMORY for `size_bytes` wanted for `what_cstr`; returns false. */
MLXK_FN bool err_oom(struct err *e, size_t size_bytes, const char *what_cstr);
MLXK_FN void err_clear(struct err *e);

struct err_info {
    const char *name_cstr;       /* "NOT_FOUND" */
    int exit_status, http_status;
    bool retryable;
    const char *type_cstr;       /* JSON error type */
    const char *meaning_cstr;
};
/* The row of a code; a code out of range gives INTERNAL's. */
MLXK_FN const struct err_info *err_info(enum err_code code);

/* Our own fault: prints expression, place and a note on stderr, then aborts. On in release too.
 * Never used on input from file, network or user. */
#define MLXK_ASSERT(expr) ((expr) ? (void)0 : err_assert_failed(#expr, __FILE_NAME__, __LINE__))
#define MLXK_BUG(text)    err_assert_failed(text, __FILE_NAME__, __LINE__)
#ifndef __FILE_NAME__            /* gcc before 12 */
#define __FILE_NAME__ __FILE__
#endif
MLXK_FN _Noreturn void err_assert_failed(const char *expr_cstr, const char *file_cstr, int line);

/* ---- memory (arena.c) ------------------------------------------------------------------ */

/* Owned blocks for the few things that outlive no arena (buf, maps that grow).
 * mem_realloc: NULL on failure, the old block stays valid; size 0 is an error of ours
 * (asserted). */
MLXK_FN void *mem_alloc(size_t size_bytes);                       /* NULL on failure; not zeroed */
MLXK_FN void *mem_realloc(void *p /* or NULL */, size_t size_bytes);
MLXK_FN void  mem_free(void *p /* or NULL */);
/* Test aid: the n-th allocation from now fails (1 = the next); 0 = never. Counts arenas' blocks
 * too. */
MLXK_TEST_AID MLXK_FN void mem_fail_after(long n);
/* Number of successful mem_alloc/mem_realloc calls so far: "no allocation per token" is tested with
 * it. */
MLXK_TEST_AID MLXK_FN unsigned long mem_alloc_count(void);

/* A region freed as a whole. Four lifetimes: process, model, command/request, scratch.
 * Not thread-safe: one thread at a time per arena. */
struct arena_block;
struct arena {
    struct arena_block *head;    /* newest block */
    size_t used_bytes, max_bytes;
    struct arena_block *spare;   /* one emptied block, kept for the next need */
};
struct arena_mark { struct arena_block *block; size_t pos, used_bytes; };

MLXK_FN void  arena_init(struct arena *a, size_t max_bytes); /* max_bytes: hard limit of the sum */
MLXK_FN void  arena_release(struct arena *a);     /* frees all; a can be used again */
/* Zeroed memory aligned to `align` (power of two <= 64). NULL when the limit is reached or the
 * system has none: callers turn that into err_oom. size 0 gives a unique non-NULL pointer. */
MLXK_FN void *arena_alloc(struct arena *a, size_t size_bytes, size_t align);
/* As arena_alloc for count * size with overflow check (NULL on overflow). */
MLXK_FN void *arena_array(struct arena *a, size_t count, size_t size_bytes, size_t align);
#define ARENA_NEW(a, type)          ((type *)arena_alloc((a), sizeof(type), _Alignof(type)))
#define ARENA_ARRAY(a, type, count) \
    ((type *)arena_array((a), (count), sizeof(type), _Alignof(type)))
/* Room for one more element behind the n of `items` (NULL while *cap is 0): items itself, or at
 * *cap twice as many in a new place (`first` at first; the old place is lost until the arena is
 * released or rewound). NULL = out of memory, and nothing has changed. */
MLXK_FN void *arena_grow(struct arena *a, void *items, size_t n, size_t *cap, size_t first,
                         size_t size_bytes, size_t align);
#define ARENA_GROW(a, type, items, n, cap, first) \
    ((type *)arena_grow((a), (items), (n), (cap), (first), sizeof(type), _Alignof(type)))
/* Scratch: everything allocated after the mark is given back (and poisoned in debug builds). */
MLXK_FN struct arena_mark arena_mark(const struct arena *a);
MLXK_FN void  arena_rewind(struct arena *a, struct arena_mark m);

/* ---- text views (str.c) ------------------------------------------------------------------ */

/* A borrowed run of bytes, usually UTF-8; not NUL-terminated. {NULL,0} is the empty text. */
struct str { const char *p; size_t n; };
#define STR(literal) ((struct str){ "" literal "", sizeof(literal) - 1 })
#define STR_EMPTY    ((struct str){ NULL, 0 })
#define STR_FMT      "%.*s"     /* with STR_ARG, for printf */
#define STR_ARG(s)   ((int)((s).n > INT_MAX ? INT_MAX : (s).n)), ((s).p ? (s).p : "")

MLXK_FN struct str str_cstr(const char *cstr /* NULL = empty */);
MLXK_FN bool str_eq(struct str a, struct str b);
MLXK_FN bool str_eq_cstr(struct str a, const char *cstr);
MLXK_FN bool str_ieq(struct str a, struct str b);                 /* ASCII case ignored */
MLXK_FN int  str_cmp(struct str a, struct str b);                 /* byte order, shorter first */
MLXK_FN bool str_starts(struct str s, struct str prefix);
MLXK_FN bool str_ends(struct str s, struct str suffix);
/* Byte offset of the first / last `what`, or -1. An empty `what` is found at 0 / s.n. */
MLXK_FN ptrdiff_t str_find(struct str s, struct str what);
MLXK_FN ptrdiff_t str_find_last(struct str s, struct str what);
MLXK_FN ptrdiff_t str_find_char(struct str s, char c);
MLXK_FN bool str_contains_icase(struct str s, struct str what);   /* ASCII case ignored */
/* Bytes [from, to) with both clamped to 0..n; from > to gives empty. */
MLXK_FN struct str str_sub(struct str s, size_t from, size_t to);
MLXK_FN struct str str_trim(struct str s);     /* ASCII white space at both ends */
/* Cuts at the first `sep`: returns the part before it and moves *rest behind it; without `sep`
 * returns all and leaves *rest empty with rest->p == NULL (so a loop ends on p == NULL). */
MLXK_FN struct str str_cut(struct str *rest, char sep);
/* Copies into the arena; NULL p in the result with n == 0 wanted > 0 means out of memory. */
MLXK_FN struct str str_dup(struct arena *a, struct str s);
MLXK_FN char *str_dup_cstr(struct arena *a, struct str s);   /* NUL-terminated; NULL = no memory */
MLXK_FN struct str str_format(struct arena *a, const char *format_cstr, ...) MLXK_PRINTF(2, 3);
MLXK_FN struct str str_concat(struct arena *a, struct str x, struct str y);
/* fnmatch as Python's fnmatchcase: * crosses '/', ?, [seq], [!seq]; no escapes. (hub.md 3.8) */
MLXK_FN bool str_glob(struct str pattern, struct str s);
/* Lower-case hex of n bytes into out[2n+1], NUL-terminated. */
MLXK_FN void str_hex(char *out, const uint8_t *bytes, size_t n);
/* true when all of s is lower-case hex and n long. */
MLXK_FN bool str_is_hex(struct str s, size_t n);

/* ---- growing bytes (buf.c) ----------------------------------------------------------------- */

/* Owned, sticky: after the first failed append `failed` is true and appends do nothing; check once
 * at the end. Always NUL-terminated behind n, so p is usable as a C string when failed is false. */
struct buf { char *p; size_t n, cap, max; bool failed, over_limit; };

MLXK_FN void buf_init(struct buf *b, size_t max_bytes);     /* no memory yet; max: hard limit */
MLXK_FN void buf_release(struct buf *b);
MLXK_FN void buf_reset(struct buf *b);     /* n = 0, failed = false, memory kept */
MLXK_FN bool buf_reserve(struct buf *b, size_t more_bytes);       /* room for `more` behind n */
MLXK_FN void buf_add(struct buf *b, struct str s);                /* s may point into b itself */
MLXK_FN void buf_add_cstr(struct buf *b, const char *cstr);
MLXK_FN void buf_add_char(struct buf *b, char c);
MLXK_FN void buf_add_bytes(struct buf *b, const void *p, size_t n);
MLXK_FN void buf_addf(struct buf *b, const char *format_cstr, ...) MLXK_PRINTF(2, 3);
MLXK_FN void buf_addfv(struct buf *b, const char *format_cstr, va_list args);
MLXK_FN void buf_remove_front(struct buf *b, size_t n);           /* moves the rest down */
MLXK_FN struct str buf_str(const struct buf *b);     /* borrowed until the next append */
/* ERR_LIMIT or ERR_NO_MEMORY naming `what` when b failed; true when it is fine. */
MLXK_FN bool buf_ok(const struct buf *b, const char *what_cstr, struct err *e);

/* ---- base64 (base64.c), RFC 4648 section 4: with padding, no white space -------------------- */

MLXK_FN void base64_write(struct buf *out, const void *p, size_t n);      /* appended */
/* Bytes of s into out, *n of them. false: not canonical base64 (a foreign character, wrong padding,
 * bits set in the last character that mean nothing), or more than cap bytes. */
MLXK_FN bool base64_read(struct str s, uint8_t *out, size_t cap, size_t *n);

/* ---- hash map (map.c) ----------------------------------------------------------------------- */

/* text -> 64-bit value; keys are borrowed (they must outlive the map). Keyed hash, so that hostile
 * keys cannot pile up in one slot. Iterates in insertion order. */
struct map_entry { struct str key; uint64_t value; };
struct map {
    struct map_entry *entries;   /* insertion order, n of them */
    uint32_t *slots;             /* open addressing, index + 1, 0 = free */
    size_t n, cap, n_slots, max;
    bool failed;                 /* sticky: out of memory or over max */
};
MLXK_FN void map_init(struct map *m, size_t max_entries);
MLXK_FN void map_release(struct map *m);
/* Pointer to the value of `key`, inserted as 0 when absent; *is_new (or NULL) tells which.
 * NULL only when the map failed. Valid until the next map_put. */
MLXK_FN uint64_t *map_put(struct map *m, struct str key, bool *is_new /* or NULL */);
MLXK_FN const uint64_t *map_get(const struct map *m, struct str key);   /* NULL = absent */
/* Seed of the keyed hash: once at start from entropy; default is a constant (tests). */
MLXK_FN void map_seed(uint64_t seed);
MLXK_FN uint64_t map_hash(struct str key);

/* ---- log (log.c) ----------------------------------------------------------------------------- */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
/* Receives finished lines without newline; set by cli once at start. NULL = nothing is printed. */
typedef void (*log_sink)(enum log_level level, struct str line);
MLXK_FN void log_init(enum log_level max_level, log_sink sink /* or NULL */);
/* Another sink at the same level, before threads start. */
MLXK_FN void log_to(log_sink sink);
MLXK_FN const char *log_level_name(enum log_level level);        /* "warning" */
MLXK_FN bool log_enabled(enum log_level level);
/* Tokens ("hf_...", "Bearer ...") are replaced by [REDACTED] before the sink sees them. */
MLXK_FN void log_write(enum log_level level, const char *format_cstr, ...) MLXK_PRINTF(2, 3);
/* The same in place for text that reaches people by another way: returns the new length, <= n
 * (a secret shorter than the mark becomes stars). */
MLXK_FN size_t log_redact(char *text, size_t n);

/* ---- UTF-8 (utf8.c) -------------------------------------------------------------------------- */

/* Decodes one scalar value at s[*i], moves *i behind it. Malformed: returns 0xFFFD and moves over
 * the maximal subpart (Unicode 3.9, "U+FFFD substitution of maximal subparts"), as Python does. */
MLXK_FN uint32_t utf8_decode(struct str s, size_t *i);
/* Writes 1..4 bytes, returns how many; surrogates and values past 0x10FFFF become U+FFFD. */
MLXK_FN size_t utf8_encode(char out[4], uint32_t cp);
MLXK_FN bool   utf8_valid(struct str s);
/* Number of bytes at the end of s that begin a sequence which more bytes could complete (0..3). */
MLXK_FN size_t utf8_incomplete_tail(struct str s);
MLXK_FN size_t utf8_count(struct str s);     /* code points, malformed parts as 1 */
MLXK_FN size_t utf8_width(struct str s);     /* terminal columns (wide CJK = 2, marks 0) */
/* Appends s with every malformed part replaced by U+FFFD. */
MLXK_FN void   utf8_repair(struct buf *out, struct str s);

/* ---- numbers (num.c) ------------------------------------------------------------------------- */

MLXK_FN bool num_add(size_t a, size_t b, size_t *out);            /* false on overflow */
MLXK_FN bool num_mul(size_t a, size_t b, size_t *out);
/* Whole text as a decimal integer within [min, max]; no spaces, '+' not accepted. */
MLXK_FN bool num_parse_i64(struct str s, int64_t min, int64_t max, int64_t *out);
MLXK_FN bool num_parse_u64(struct str s, uint64_t max, uint64_t *out);
MLXK_FN bool num_parse_f64(struct str s, double *out); /* whole text; finite; at most 1087 bytes */
/* "1.5G", "300MB", "4096": decimal units k M G T (B ignored), binary KiB MiB GiB TiB. */
MLXK_FN bool num_parse_size(struct str s, uint64_t *size_bytes);
/* Shortest text that reads back as the same double, as Python's repr: 1.0, 1e-05, 1e+16, nan,
 * inf. */
MLXK_FN size_t num_format_f64(char out[32], double x);
/* Sizes for people, decimal, one decimal place: 216B, 2.0KB, 1.2GB (as upstream prints them). */
MLXK_FN size_t num_format_size(char out[16], uint64_t size_bytes);
/* IEEE half and bfloat16; to-conversions round to nearest, ties to even; NaN stays NaN. */
MLXK_FN float    num_f16_to_f32(uint16_t h);
MLXK_FN uint16_t num_f32_to_f16(float x);
MLXK_FN float    num_bf16_to_f32(uint16_t h);
MLXK_FN uint16_t num_f32_to_bf16(float x);
/* Unaligned little-endian reads. */
MLXK_FN uint16_t num_read_u16(const void *p);
MLXK_FN uint32_t num_read_u32(const void *p);
MLXK_FN uint64_t num_read_u64(const void *p);

#endif
