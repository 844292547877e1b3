/* eng_stop.c: stop strings in streamed text.
 *
 *  1. Text is handed on only when no continuation can make it part of a stop string: the longest
 *     end of the text that begins some stop string is held back.
 *  2. When a stop string is complete, what is handed on ends before the earliest one.
 *  3. Stop strings are valid UTF-8 and text comes in whole sequences, so a cut never splits a
 *     sequence.
 */
#include "engine/engine_int.h"

enum { STOP_MAX = 64, STOP_MAX_BYTES = 1024 };
#define STOP_MAX_HELD ((size_t)16 << 20)     /* one piece and less than one stop string */

MLXK_FN bool eng_stopper_init(struct eng_stopper *st, const struct str *stops, int n,
                              struct err *e) {
    *st = (struct eng_stopper){ .stops = stops, .n = n };
    buf_init(&st->held, STOP_MAX_HELD);
    if (n < 0 || n > STOP_MAX)
        return err_set(e, ERR_INVALID, "%d stop strings, at most %d are allowed", n, (int)STOP_MAX);
    for (int i = 0; i < n; i++)
        if (stops[i].n == 0 || stops[i].n > STOP_MAX_BYTES || !utf8_valid(stops[i]))
            return err_set(e, ERR_INVALID,
                           "stop string %d has %zu bytes, allowed are 1 to %d bytes of UTF-8",
                           i + 1, stops[i].n, (int)STOP_MAX_BYTES);
    return true;
}

MLXK_FN void eng_stopper_release(struct eng_stopper *st) { buf_release(&st->held); }

/* Begin of the earliest complete stop string, or -1. */
static ptrdiff_t stop_find(const struct eng_stopper *st, struct str text) {
    ptrdiff_t first = -1;
    for (int i = 0; i < st->n; i++) {
        ptrdiff_t at = str_find(text, st->stops[i]);
        if (at >= 0 && (first < 0 || at < first)) first = at;
    }
    return first;
}

/* Length of the longest end of text that is a proper beginning of a stop string. */
static size_t stop_hold(const struct eng_stopper *st, struct str text) {
    size_t hold = 0;
    for (int i = 0; i < st->n; i++) {
        size_t max = st->stops[i].n - 1 < text.n ? st->stops[i].n - 1 : text.n;
        for (size_t n = max; n > hold; n--)
            if (memcmp(text.p + text.n - n, st->stops[i].p, n) == 0) hold = n;
    }
    return hold;
}

MLXK_FN bool eng_stopper_push(struct eng_stopper *st, struct str text, struct str *out, bool *found,
                              struct err *e) {
    buf_remove_front(&st->held, st->done);       /* was handed on last time, borrowed until now */
    st->done = 0;
    buf_add(&st->held, text);
    if (!buf_ok(&st->held, "text held back for stop strings", e)) return false;
    struct str all = buf_str(&st->held);
    ptrdiff_t at = stop_find(st, all);
    *found = at >= 0;
    st->done = *found ? all.n : all.n - stop_hold(st, all);
    *out = str_sub(all, 0, *found ? (size_t)at : st->done);
    return true;
}

MLXK_FN struct str eng_stopper_rest(const struct eng_stopper *st) {
    struct str all = buf_str(&st->held);
    return str_sub(all, st->done, all.n);
}

#undef STOP_MAX_HELD
