/* log.c: one line at a time to one sink, secrets removed.
 *
 * Says nothing about where lines go or how they look: the sink (in cli) does. Lines are built in a
 * buffer on the stack, so logging needs no memory and works on every thread; the sink must cope
 * with being called from several.
 *
 * 1. No text that looks like an access token or a bearer credential reaches the sink.
 * 2. Level and sink are set once, before threads start (file-level state named in the contract).
 */
#include "base/base.h"

#include <stdio.h>

enum {
    LOG_LINE_MAX = 2048,         /* bytes of one line; longer ones end in "..." */
    LOG_TOKEN_MIN = 16,          /* "hf_" + this many letters and digits is a token, not a name */
};

static enum log_level log_max_level = LOG_WARN;
static log_sink log_sink_fn;

MLXK_FN void log_init(enum log_level max_level, log_sink sink) {
    log_max_level = max_level;
    log_sink_fn = sink;
}

MLXK_FN void log_to(log_sink sink) { log_sink_fn = sink; }

MLXK_FN const char *log_level_name(enum log_level level) {
    static const char *const names[] = { "error", "warning", "info", "debug" };
    return names[level];
}

MLXK_FN bool log_enabled(enum log_level level) {
    return log_sink_fn != NULL && level <= log_max_level;
}

static bool log_is_alnum(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Characters a credential in an Authorization header may have (RFC 6750 b64token). */
static bool log_is_token68(char c) {
    return log_is_alnum(c) || (c != '\0' && strchr("-._~+/=", c) != NULL);
}

/* Length of the secret that starts at s, 0 = none. *skip: bytes of it that may stay ("Bearer "). */
static size_t log_secret(struct str s, size_t *skip) {
    size_t i = 0;
    *skip = 0;
    if (str_starts(s, STR("hf_"))) {
        for (i = 3; i < s.n && log_is_alnum(s.p[i]); i++) {
        }
        return i >= 3 + LOG_TOKEN_MIN ? i : 0;
    }
    struct str word = STR("bearer ");
    if (!str_ieq(str_sub(s, 0, word.n), word)) {
        return 0;
    }
    for (i = word.n; i < s.n && s.p[i] == ' '; i++) {
    }
    *skip = i;
    while (i < s.n && log_is_token68(s.p[i])) {
        i++;
    }
    return i > *skip ? i : 0;
}

MLXK_FN size_t log_redact(char *text, size_t n) {
    static const char mark[] = "[REDACTED]";
    size_t out = 0;
    for (size_t i = 0; i < n;) {
        size_t skip, length = log_secret((struct str){ text + i, n - i }, &skip);
        if (length == 0) {
            text[out++] = text[i++];
            continue;
        }
        memmove(text + out, text + i, skip);
        out += skip;
        i += length;
        if (i - out >= sizeof mark - 1) {
            memcpy(text + out, mark, sizeof mark - 1);
            out += sizeof mark - 1;
        } else {                                 /* shorter than the mark: never grows the text */
            memset(text + out, '*', length - skip);
            out += length - skip;
        }
    }
    return out;
}

MLXK_FN void log_write(enum log_level level, const char *format_cstr, ...) {
    if (!log_enabled(level)) {
        return;
    }
    char line[LOG_LINE_MAX];
    va_list args;
    va_start(args, format_cstr);
    int printed = vsnprintf(line, sizeof line, format_cstr, args);
    va_end(args);
    size_t n = printed < 0 ? 0 : (size_t)printed;
    bool cut = n >= sizeof line;
    n = log_redact(line, cut ? sizeof line - 1 : n);
    if (cut) {                                   /* the end may hold the start of a token */
        n -= n < LOG_TOKEN_MIN + 8 ? n : LOG_TOKEN_MIN + 8;
        n -= utf8_incomplete_tail((struct str){ line, n });
        memcpy(line + n, "...", 3);
        n += 3;
    }
    for (size_t i = 0; i < n; i++) {             /* one line stays one line, no terminal escapes */
        if ((uint8_t)line[i] < ' ' && line[i] != '\t') {
            line[i] = ' ';
        }
    }
    log_sink_fn(level, (struct str){ line, n });
}
