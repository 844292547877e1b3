/* err.c: filling, extending and looking up errors.
 *
 * An err is plain memory of fixed size: nothing here allocates, so "out of memory" can be told.
 *
 * 1. msg and hint are always NUL-terminated and never cut inside a UTF-8 sequence.
 * 2. Once code is not ERR_OK, only err_context and the first err_hint change it.
 */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

/* Formats into out[cap]; text that does not fit ends in an ellipsis at a character boundary. */
static void err_print(char *out, size_t cap, const char *format_cstr, va_list args) {
    static const char ellipsis[] = "\xe2\x80\xa6";
    int n = vsnprintf(out, cap, format_cstr, args);
    if (n < 0) {
        out[0] = '\0';
    } else if ((size_t)n >= cap) {
        size_t keep = cap - sizeof ellipsis;
        keep -= utf8_incomplete_tail((struct str){ out, keep });
        memcpy(out + keep, ellipsis, sizeof ellipsis);
    }
}

MLXK_FN bool err_set(struct err *e, enum err_code code, const char *format_cstr, ...) {
    MLXK_ASSERT(code > ERR_OK && code < ERR_COUNT);
    if (e->code == ERR_OK) {
        va_list args;
        va_start(args, format_cstr);
        e->code = code;
        e->tries = 0;
        e->hint[0] = '\0';
        err_print(e->msg, sizeof e->msg, format_cstr, args);
        va_end(args);
    }
    return false;
}

MLXK_FN bool err_hint(struct err *e, const char *format_cstr, ...) {
    if (e->code != ERR_OK && e->hint[0] == '\0') {
        va_list args;
        va_start(args, format_cstr);
        err_print(e->hint, sizeof e->hint, format_cstr, args);
        va_end(args);
    }
    return false;
}

/* Joins through the printer so that the cut is made in one place. */
static void err_join(char *out, size_t cap, const char *format_cstr, ...) {
    va_list args;
    va_start(args, format_cstr);
    err_print(out, cap, format_cstr, args);
    va_end(args);
}

MLXK_FN bool err_context(struct err *e, const char *format_cstr, ...) {
    if (e->code != ERR_OK) {
        char front[LIMIT_ERR_MSG], msg[LIMIT_ERR_MSG];
        va_list args;
        va_start(args, format_cstr);
        err_print(front, sizeof front, format_cstr, args);
        va_end(args);
        memcpy(msg, e->msg, sizeof msg);
        err_join(e->msg, sizeof e->msg, "%s%s", front, msg);
    }
    return false;
}

MLXK_FN bool err_oom(struct err *e, size_t size_bytes, const char *what_cstr) {
    char size[16];
    (void)num_format_size(size, size_bytes);
    err_set(e, ERR_NO_MEMORY, "out of memory: no %s for %s", size, what_cstr);
    return err_hint(e, "close other programs or choose a smaller model or context");
}

MLXK_FN void err_clear(struct err *e) {
    e->code = ERR_OK;
    e->tries = 0;
    e->msg[0] = e->hint[0] = '\0';
}

MLXK_FN const struct err_info *err_info(enum err_code code) {
#define ERR_ROW(code, exit_status, http, retry, type, meaning) \
    { #code, exit_status, http, retry, type, meaning },
    static const struct err_info rows[ERR_COUNT] = { ERR_TABLE(ERR_ROW) };
#undef ERR_ROW
    return &rows[(unsigned)code < ERR_COUNT ? code : ERR_INTERNAL];
}

MLXK_FN _Noreturn void err_assert_failed(const char *expr_cstr, const char *file_cstr, int line) {
    (void)fprintf(stderr, "mlxk: internal fault at %s:%d: %s\n"
                  "This is a bug in mlxk: please report it with this line and the command.\n",
                  file_cstr, line, expr_cstr);
    abort();
}
