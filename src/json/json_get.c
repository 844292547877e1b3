/* json_get.c: looking into a tree: members, elements, typed and checked values.
 *
 * Lookup walks the members in document order; callers with thousands of members iterate instead.
 * A typed read leaves its output alone when the member is absent or null, so that the caller's
 * initial value is the default; anything else of the wrong kind is an error that names the key.
 *
 * 1. Every function takes NULL for "not there", so that lookups can be chained.
 * 2. No double is converted to an integer before it is known to fit.
 */
#include "json/json.h"

MLXK_FN const struct json *json_get_str(const struct json *v, struct str key) {
    if (!json_is(v, JSON_OBJECT)) {
        return NULL;
    }
    const struct json *m = v->child;
    while (m && !str_eq(m->key, key)) {
        m = m->next;
    }
    return m;
}

MLXK_FN const struct json *json_get(const struct json *v, const char *key_cstr) {
    return json_get_str(v, str_cstr(key_cstr));
}

MLXK_FN const struct json *json_at(const struct json *v, size_t index) {
    if (!v || (v->kind != JSON_ARRAY && v->kind != JSON_OBJECT) || index >= v->n) {
        return NULL;
    }
    const struct json *m = v->child;
    while (m && index--) {
        m = m->next;
    }
    return m;
}

MLXK_FN bool json_is(const struct json *v, enum json_kind kind) {
    return v && v->kind == kind;
}

/* The member to read, or NULL when the default stays. */
static const struct json *json_get_given(const struct json *obj, const char *key_cstr) {
    const struct json *v = json_get(obj, key_cstr);
    return json_is(v, JSON_NULL) ? NULL : v;
}

/* What v is, for messages; the text of a number follows (json_get_text). */
static const char *json_get_name(const struct json *v) {
    static const char *const names[] = {
        [JSON_NULL] = "null", [JSON_BOOL] = "a boolean", [JSON_INT] = "the integer ",
        [JSON_FLOAT] = "the number ", [JSON_STRING] = "a string", [JSON_ARRAY] = "an array",
        [JSON_OBJECT] = "an object",
    };
    return names[v->kind];
}

static struct str json_get_text(const struct json *v) {
    bool number = v->kind == JSON_INT || v->kind == JSON_FLOAT;
    return number ? str_sub(v->string, 0, 40) : STR_EMPTY;
}

static bool json_get_wrong(const struct json *v, const char *key_cstr, const char *wanted_cstr,
                           struct err *e) {
    return err_set(e, ERR_FORMAT, "JSON key \"%s\" is %s" STR_FMT ", expected %s", key_cstr,
                   json_get_name(v), STR_ARG(json_get_text(v)), wanted_cstr);
}

/* The whole number that v is, if it is one. */
static bool json_get_whole(const struct json *v, int64_t *out) {
    if (v->kind == JSON_INT) {
        *out = v->integer;
        return true;
    }
    /* -2^63 and 2^63 are exact doubles; the casts inside are defined */
    if (v->kind != JSON_FLOAT || !(v->number >= -0x1p63 && v->number < 0x1p63) ||
        (double)(int64_t)v->number < v->number || (double)(int64_t)v->number > v->number) {
        return false;
    }
    *out = (int64_t)v->number;
    return true;
}

MLXK_FN bool json_read_i64(const struct json *obj, const char *key_cstr, int64_t min, int64_t max,
                           int64_t *out, struct err *e) {
    const struct json *v = json_get_given(obj, key_cstr);
    int64_t x;
    if (!v) {
        return true;
    }
    if (!json_get_whole(v, &x) || x < min || x > max) {
        return err_set(e, ERR_FORMAT, "JSON key \"%s\" is %s" STR_FMT
                       ", expected an integer from %lld to %lld", key_cstr, json_get_name(v),
                       STR_ARG(json_get_text(v)), (long long)min, (long long)max);
    }
    *out = x;
    return true;
}

MLXK_FN bool json_read_f64(const struct json *obj, const char *key_cstr, double *out,
                           struct err *e) {
    const struct json *v = json_get_given(obj, key_cstr);
    if (v && v->kind != JSON_INT && v->kind != JSON_FLOAT) {
        return json_get_wrong(v, key_cstr, "a number", e);
    }
    if (v) {
        *out = v->number;
    }
    return true;
}

MLXK_FN bool json_read_bool(const struct json *obj, const char *key_cstr, bool *out,
                            struct err *e) {
    const struct json *v = json_get_given(obj, key_cstr);
    if (v && v->kind != JSON_BOOL) {
        return json_get_wrong(v, key_cstr, "true or false", e);
    }
    if (v) {
        *out = v->boolean;
    }
    return true;
}

MLXK_FN bool json_read_str(const struct json *obj, const char *key_cstr, struct str *out,
                           struct err *e) {
    const struct json *v = json_get_given(obj, key_cstr);
    if (v && v->kind != JSON_STRING) {
        return json_get_wrong(v, key_cstr, "a string", e);
    }
    if (v) {
        *out = v->string;
    }
    return true;
}
