/* json_write.c: JSON text, laid out byte for byte as Python's json.dumps does it.
 *
 * The writer keeps no stack: the caller's calls are the structure. All it must know is whether the
 * current level is still empty, and a container that has just ended is something.
 *
 * 1. Output goes to the caller's buffer, whose sticky failure is the only failure there is.
 * 2. What is written is valid JSON and valid UTF-8, whatever bytes the strings hold.
 * 3. depth is the number of open containers; calls must balance (asserted).
 */
#include "json/json.h"

/* ---- layout ---- */

static void json_write_newline(struct json_writer *w) {
    buf_add_char(w->out, '\n');
    for (int i = 0; i < w->depth; i++) {
        buf_add(w->out, STR("  "));
    }
}

/* What stands between the last thing and the one that comes. */
static void json_write_separate(struct json_writer *w) {
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (!w->first) {
        buf_add(w->out, w->spaces && !w->pretty ? STR(", ") : STR(","));
    }
    if (w->pretty && w->depth > 0) {
        json_write_newline(w);
    }
    w->first = false;
}

static void json_write_open(struct json_writer *w, char bracket) {
    json_write_separate(w);
    buf_add_char(w->out, bracket);
    w->depth++;
    w->first = true;
}

static void json_write_close(struct json_writer *w, char bracket) {
    MLXK_ASSERT(w->depth > 0 && !w->after_key);
    w->depth--;
    if (w->pretty && !w->first) {
        json_write_newline(w);
    }
    buf_add_char(w->out, bracket);
    w->first = false;
}

static void json_write_text(struct json_writer *w, struct str text) {
    json_write_separate(w);
    buf_add(w->out, text);
}

/* ---- strings ---- */

static void json_write_unit(struct json_writer *w, uint32_t unit) {
    static const char digits[] = "0123456789abcdef";
    char out[6] = { '\\', 'u', digits[unit >> 12 & 15], digits[unit >> 8 & 15],
                    digits[unit >> 4 & 15], digits[unit & 15] };
    buf_add_bytes(w->out, out, sizeof out);
}

/* One character that cannot be copied as it is. */
static void json_write_char(struct json_writer *w, uint32_t cp) {
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *at = cp > 0 && cp < 0x80 ? strchr(plain, (int)cp) : NULL;
    if (at) {
        buf_add_bytes(w->out, (char[]){ '\\', letters[at - plain] }, 2);
    } else if (cp >= 0x10000 && w->ascii) {
        json_write_unit(w, 0xd800 + ((cp - 0x10000) >> 10));
        json_write_unit(w, 0xdc00 + ((cp - 0x10000) & 0x3ff));
    } else if (cp < 0x20 || w->ascii) {
        json_write_unit(w, cp);
    } else {
        char utf8[4];
        buf_add_bytes(w->out, utf8, utf8_encode(utf8, cp));
    }
}

static void json_write_quoted(struct json_writer *w, struct str s) {
    buf_add_char(w->out, '"');
    size_t i = 0;
    while (i < s.n) {
        size_t run = i;
        while (i < s.n && (uint8_t)s.p[i] >= 0x20 && (uint8_t)s.p[i] < 0x7f && s.p[i] != '"' &&
               s.p[i] != '\\') {
            i++;
        }
        buf_add(w->out, str_sub(s, run, i));
        if (i < s.n) {
            json_write_char(w, utf8_decode(s, &i));
        }
    }
    buf_add_char(w->out, '"');
}

/* ---- (Public) ---- */

MLXK_FN void json_write_init(struct json_writer *w, struct buf *out, bool pretty, bool ascii) {
    *w = (struct json_writer){ .out = out, .ascii = ascii, .pretty = pretty, .first = true };
}

MLXK_FN void json_write_object(struct json_writer *w) {
    json_write_open(w, '{');
}

MLXK_FN void json_write_object_end(struct json_writer *w) {
    json_write_close(w, '}');
}

MLXK_FN void json_write_array(struct json_writer *w) {
    json_write_open(w, '[');
}

MLXK_FN void json_write_array_end(struct json_writer *w) {
    json_write_close(w, ']');
}

MLXK_FN void json_write_key_str(struct json_writer *w, struct str key) {
    MLXK_ASSERT(w->depth > 0 && !w->after_key);
    json_write_separate(w);
    json_write_quoted(w, key);
    buf_add(w->out, w->pretty || w->spaces ? STR(": ") : STR(":"));
    w->after_key = true;
}

MLXK_FN void json_write_key(struct json_writer *w, const char *key_cstr) {
    json_write_key_str(w, str_cstr(key_cstr));
}

MLXK_FN void json_write_str(struct json_writer *w, struct str s) {
    json_write_separate(w);
    json_write_quoted(w, s);
}

MLXK_FN void json_write_cstr(struct json_writer *w, const char *cstr) {
    if (cstr) {
        json_write_str(w, str_cstr(cstr));
    } else {
        json_write_null(w);
    }
}

/* Decimal digits without a library call: numbers are most of what is written. */
static void json_write_digits(struct json_writer *w, bool negative, uint64_t x) {
    char text[24];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + x % 10);
        x /= 10;
    } while (x);
    if (negative) {
        text[--at] = '-';
    }
    json_write_text(w, (struct str){ text + at, sizeof text - at });
}

MLXK_FN void json_write_member(struct json_writer *w, const char *key_cstr, struct str s) {
    json_write_key(w, key_cstr);
    json_write_str(w, s);
}

MLXK_FN void json_write_member_or_null(struct json_writer *w, const char *key_cstr, struct str s) {
    json_write_key(w, key_cstr);
    if (s.n) {
        json_write_str(w, s);
    } else {
        json_write_null(w);
    }
}

MLXK_FN void json_write_i64(struct json_writer *w, int64_t x) {
    json_write_digits(w, x < 0, x < 0 ? 0 - (uint64_t)x : (uint64_t)x);
}

MLXK_FN void json_write_u64(struct json_writer *w, uint64_t x) {
    json_write_digits(w, false, x);
}

MLXK_FN void json_write_f64(struct json_writer *w, double x) {
    char text[32];
    bool finite = x - x == 0;                    /* JSON has no word for infinite and NaN */
    size_t n = finite ? num_format_f64(text, x) : 0;
    json_write_text(w, finite ? (struct str){ text, n } : STR("null"));
}

MLXK_FN void json_write_bool(struct json_writer *w, bool x) {
    json_write_text(w, x ? STR("true") : STR("false"));
}

MLXK_FN void json_write_null(struct json_writer *w) {
    json_write_text(w, STR("null"));
}

MLXK_FN void json_write_raw(struct json_writer *w, struct str valid_json) {
    json_write_text(w, valid_json);
}

/* A number that was an integer in the source but fits no int64_t is printed digit for digit. */
static bool json_write_is_big_integer(struct str text) {
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '.' || text.p[i] == 'e' || text.p[i] == 'E') {
            return false;
        }
    }
    return text.n > 0;
}

MLXK_FN void json_write_value(struct json_writer *w, const struct json *v) {
    enum json_kind kind = v ? v->kind : JSON_NULL;
    switch (kind) {
    case JSON_NULL: json_write_null(w); break;
    case JSON_BOOL: json_write_bool(w, v->boolean); break;
    case JSON_INT: json_write_i64(w, v->integer); break;
    case JSON_STRING: json_write_str(w, v->string); break;
    case JSON_FLOAT:
        if (json_write_is_big_integer(v->string)) {
            json_write_raw(w, v->string);
        } else {
            json_write_f64(w, v->number);
        }
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        json_write_open(w, kind == JSON_OBJECT ? '{' : '[');
        for (const struct json *m = v->child; m; m = m->next) {
            if (kind == JSON_OBJECT) {
                json_write_key_str(w, m->key);
            }
            json_write_value(w, m);
        }
        json_write_close(w, kind == JSON_OBJECT ? '}' : ']');
        break;
    }
}
