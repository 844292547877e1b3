/* buf.c: bytes that grow, with a limit given at birth and a sticky failure.
 *
 * Callers append without checking and ask buf_ok once at the end.
 *
 * 1. n <= max always; when p is not NULL, n < cap and p[n] is NUL.
 * 2. After a failure nothing changes until buf_reset or buf_release.
 */
#include "base/base.h"

#include <stdio.h>

enum { BUF_FIRST_BYTES = 64 };

MLXK_FN void buf_init(struct buf *b, size_t max_bytes) {
    *b = (struct buf){ .max = max_bytes < PTRDIFF_MAX ? max_bytes : PTRDIFF_MAX - 1 };
}

MLXK_FN void buf_release(struct buf *b) {
    mem_free(b->p);
    buf_init(b, b->max);
}

MLXK_FN void buf_reset(struct buf *b) {
    b->n = 0;
    b->failed = b->over_limit = false;
    if (b->p) {
        b->p[0] = '\0';
    }
}

MLXK_FN bool buf_reserve(struct buf *b, size_t more_bytes) {
    if (b->failed) {
        return false;
    }
    if (more_bytes > b->max - b->n) {
        b->failed = b->over_limit = true;
        return false;
    }
    size_t need = b->n + more_bytes + 1;         /* max < PTRDIFF_MAX: no overflow */
    if (need <= b->cap) {
        return true;
    }
    size_t cap = b->cap ? b->cap : BUF_FIRST_BYTES;
    while (cap < need) {
        cap *= 2;
    }
    cap = cap > b->max + 1 ? b->max + 1 : cap;
    char *p = mem_realloc(b->p, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    p[b->n] = '\0';
    b->p = p;
    b->cap = cap;
    return true;
}

MLXK_FN void buf_add(struct buf *b, struct str s) {
    uintptr_t offset = (uintptr_t)s.p - (uintptr_t)b->p;
    bool inside = b->p && offset < b->cap;
    if (!buf_reserve(b, s.n) || s.n == 0) {
        return;
    }
    memmove(b->p + b->n, inside ? b->p + offset : s.p, s.n);
    b->n += s.n;
    b->p[b->n] = '\0';
}

MLXK_FN void buf_add_cstr(struct buf *b, const char *cstr) {
    buf_add(b, str_cstr(cstr));
}

MLXK_FN void buf_add_char(struct buf *b, char c) {
    if (buf_reserve(b, 1)) {
        b->p[b->n++] = c;
        b->p[b->n] = '\0';
    }
}

MLXK_FN void buf_add_bytes(struct buf *b, const void *p, size_t n) {
    buf_add(b, (struct str){ p, n });
}

MLXK_FN void buf_addf(struct buf *b, const char *format_cstr, ...) {
    va_list args;
    va_start(args, format_cstr);
    buf_addfv(b, format_cstr, args);
    va_end(args);
}

MLXK_FN void buf_addfv(struct buf *b, const char *format_cstr, va_list args) {
    va_list again;
    va_copy(again, args);
    size_t room = b->failed ? 0 : b->cap - b->n; /* mostly it fits at once */
    int n = vsnprintf(room ? b->p + b->n : NULL, room, format_cstr, args);
    bool fits = n >= 0 && (size_t)n < room;
    if (room && !fits) {
        b->p[b->n] = '\0';
    }
    if (n < 0) {
        b->failed = true;
    } else if (!fits && buf_reserve(b, (size_t)n)) {
        (void)vsnprintf(b->p + b->n, (size_t)n + 1, format_cstr, again);
        fits = true;
    }
    b->n += fits ? (size_t)n : 0;
    va_end(again);
}

MLXK_FN void buf_remove_front(struct buf *b, size_t n) {
    n = n < b->n ? n : b->n;
    if (n == 0) {
        return;
    }
    memmove(b->p, b->p + n, b->n - n + 1);       /* with the NUL */
    b->n -= n;
}

MLXK_FN struct str buf_str(const struct buf *b) {
    return (struct str){ b->p, b->n };
}

MLXK_FN bool buf_ok(const struct buf *b, const char *what_cstr, struct err *e) {
    if (!b->failed) {
        return true;
    }
    if (b->over_limit) {
        return err_set(e, ERR_LIMIT, "%s is larger than its limit of %zu bytes", what_cstr, b->max);
    }
    return err_oom(e, b->n, what_cstr);
}
