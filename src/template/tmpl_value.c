/* tmpl_value.c: Python-like values: making, comparing, ordering, containing, looping over.
 *
 * 1. True is 1 and 1 is 1.0 in comparisons and as dictionary keys, as in Python; True prints
 *    differently.
 * 2. A list never equals a tuple; undefined equals undefined only.
 * 3. Dictionaries keep insertion order. They are searched from the front by hash: those of chat
 *    templates hold tens of keys, and longer searches are charged to the step limit.
 * 4. Recursion over nested values goes through tmpl_deeper.
 */
#include "template/tmpl_int.h"

/* ---- failure and limits ---- */

MLXK_FN void tmpl_fail(struct tmpl_run *r, const char *format_cstr, ...) {
    if (r->failed) {
        return;
    }
    struct buf b;
    va_list args;
    r->failed = true;
    buf_init(&b, LIMIT_ERR_MSG);
    va_start(args, format_cstr);
    buf_addfv(&b, format_cstr, args);
    va_end(args);
    tmpl_err_at(r->e, r->t->source, r->at ? r->at->pos : 0,
                b.p && !b.failed ? b.p : "the template failed");
    buf_release(&b);
}

MLXK_FN void *tmpl_alloc(struct tmpl_run *r, size_t count, size_t size_bytes) {
    size_t total = 0;
    if (r->failed) {
        return NULL;
    }
    if (!num_mul(count, size_bytes, &total) || total > TMPL_MAX_MEMORY
        || r->a->used_bytes - r->start_bytes > TMPL_MAX_MEMORY - total) {
        tmpl_fail(r, "the template needs more than %zu MB of memory", TMPL_MAX_MEMORY >> 20);
        return NULL;
    }
    void *p = arena_array(r->a, count, size_bytes, 16);
    if (!p) {
        r->failed = true;
        err_oom(r->e, total, "rendering a chat template");
    }
    return p;
}

MLXK_FN bool tmpl_work(struct tmpl_run *r, size_t units) {
    r->steps += units;
    if (r->steps > TMPL_MAX_STEPS) {
        tmpl_fail(r, "the template runs too long (more than %llu steps)",
                  (unsigned long long)TMPL_MAX_STEPS);
    }
    return !r->failed;
}

MLXK_FN bool tmpl_deeper(struct tmpl_run *r) {
    if (r->depth >= TMPL_MAX_NESTING) {
        tmpl_fail(r, "evaluation is nested deeper than %d levels", (int)TMPL_MAX_NESTING);
    }
    r->depth++;
    return tmpl_work(r, 1);
}

/* ---- making values ---- */

MLXK_FN struct tmpl_val tmpl_none(void) {
    return (struct tmpl_val){ .kind = TMPL_NONE };
}

MLXK_FN struct tmpl_val tmpl_bool(bool b) {
    return (struct tmpl_val){ .kind = TMPL_BOOL, .u.boolean = b };
}

MLXK_FN struct tmpl_val tmpl_int(int64_t i) {
    return (struct tmpl_val){ .kind = TMPL_INT, .u.integer = i };
}

MLXK_FN struct tmpl_val tmpl_float(double f) {
    return (struct tmpl_val){ .kind = TMPL_FLOAT, .u.number = f };
}

MLXK_FN struct tmpl_val tmpl_seq_of(struct tmpl_run *r, enum tmpl_flavor flavor,
                                    const struct tmpl_val *at, size_t n) {
    struct tmpl_seq *seq = tmpl_alloc(r, 1, sizeof *seq);
    if (!seq) {
        return tmpl_none();
    }
    seq->flavor = flavor;
    seq->at = at;
    seq->n = n;
    return (struct tmpl_val){ .kind = TMPL_SEQ, .u.seq = seq };
}

MLXK_FN struct tmpl_val tmpl_pair_of(struct tmpl_run *r, struct tmpl_val x, struct tmpl_val y) {
    struct tmpl_val *at = tmpl_alloc(r, 2, sizeof *at);
    if (!at) {
        return tmpl_none();
    }
    at[0] = x;
    at[1] = y;
    return tmpl_seq_of(r, TMPL_TUPLE, at, 2);
}

MLXK_FN struct tmpl_val tmpl_undef_of(struct tmpl_run *r, enum tmpl_undef_why why,
                                      const char *owner_cstr, struct str name) {
    struct tmpl_undef *u = tmpl_alloc(r, 1, sizeof *u);
    if (!u) {
        return tmpl_none();
    }
    *u = (struct tmpl_undef){ .why = why, .owner_cstr = owner_cstr, .name = name };
    return (struct tmpl_val){ .kind = TMPL_UNDEFINED, .u.undef = u };
}

MLXK_FN struct tmpl_val tmpl_undef_key(struct tmpl_run *r, struct tmpl_val owner,
                                       struct tmpl_val key) {
    if (key.kind == TMPL_TEXT) {
        return tmpl_undef_of(r, TMPL_NO_ATTRIBUTE, tmpl_type(owner), key.u.text->s);
    }
    struct tmpl_undef *u = tmpl_alloc(r, 1, sizeof *u);
    if (!u) {
        return tmpl_none();
    }
    *u = (struct tmpl_undef){ .why = TMPL_NO_ELEMENT, .owner_cstr = tmpl_type(owner), .key = key };
    return (struct tmpl_val){ .kind = TMPL_UNDEFINED, .u.undef = u };
}

/* As Jinja words it: "dict object", but "None". */
static const char *tmpl_value_object(const struct tmpl_undef *u) {
    return strcmp(u->owner_cstr, "NoneType") == 0 ? "" : " object";
}

static const char *tmpl_value_owner(const struct tmpl_undef *u) {
    return strcmp(u->owner_cstr, "NoneType") == 0 ? "None" : u->owner_cstr;
}

MLXK_FN void tmpl_fail_undef(struct tmpl_run *r, const struct tmpl_undef *u) {
    struct tmpl_out o = { .p = NULL };
    switch (u->why) {
    case TMPL_NO_NAME:
        tmpl_fail(r, "'" STR_FMT "' is undefined", STR_ARG(u->name));
        break;
    case TMPL_NO_ATTRIBUTE:
        tmpl_fail(r, "'%s%s' has no attribute '" STR_FMT "'", tmpl_value_owner(u),
                  tmpl_value_object(u), STR_ARG(u->name));
        break;
    case TMPL_NO_ELEMENT:
        tmpl_repr(r, &o, u->key);
        tmpl_fail(r, "%s%s has no element %.*s", tmpl_value_owner(u), tmpl_value_object(u),
                  (int)(o.n < 99 ? o.n : 99), o.p ? o.p : "");
        break;
    case TMPL_UNSAFE:
        tmpl_fail(r, "access to attribute '" STR_FMT "' of '%s' object is unsafe", STR_ARG(u->name),
                  u->owner_cstr);
        break;
    case TMPL_HINT:
        tmpl_fail(r, "%s", u->owner_cstr);
        break;
    }
}

/* ---- types ---- */

MLXK_FN const char *tmpl_type(struct tmpl_val v) {
    static const char *const rows[] = {
        [TMPL_LIST] = "list",        [TMPL_TUPLE] = "tuple",    [TMPL_RANGE] = "range",
        [TMPL_ITEMS] = "dict_items", [TMPL_KEYS] = "dict_keys", [TMPL_VALUES] = "dict_values",
        [TMPL_ITER] = "generator",   [TMPL_GROUP] = "tuple",
    };
    switch (v.kind) {
    case TMPL_MISSING: case TMPL_UNDEFINED: return "Undefined";
    case TMPL_NONE: return "NoneType";
    case TMPL_BOOL: return "bool";
    case TMPL_INT: case TMPL_BIG: return "int";
    case TMPL_FLOAT: return "float";
    case TMPL_TEXT: return "str";
    case TMPL_SEQ: return rows[v.u.seq->flavor];
    case TMPL_DICT: return "dict";
    case TMPL_NAMESPACE: return "Namespace";
    case TMPL_MACRO: return "Macro";
    case TMPL_LOOP: return "LoopContext";
    case TMPL_BOUND: return "builtin_function_or_method";
    case TMPL_SLICE: return "slice";
    }
    return "object";
}

MLXK_FN bool tmpl_is_number(struct tmpl_val v) {
    return v.kind == TMPL_INT || v.kind == TMPL_FLOAT || v.kind == TMPL_BOOL || v.kind == TMPL_BIG;
}

MLXK_FN bool tmpl_as_int(struct tmpl_val v, int64_t *out) {
    *out = v.kind == TMPL_BOOL ? v.u.boolean : v.kind == TMPL_INT ? v.u.integer : 0;
    return v.kind == TMPL_BOOL || v.kind == TMPL_INT;
}

MLXK_FN double tmpl_as_float(struct tmpl_val v) {
    double big = 0.0;
    switch (v.kind) {
    case TMPL_FLOAT: return v.u.number;
    case TMPL_BOOL: return v.u.boolean ? 1.0 : 0.0;
    case TMPL_BIG: return num_parse_f64(v.u.text->s, &big) ? big : 0.0;
    default: return (double)v.u.integer;
    }
}

MLXK_FN bool tmpl_length(struct tmpl_val v, size_t *n) {
    switch (v.kind) {
    case TMPL_UNDEFINED: *n = 0; return true;
    case TMPL_TEXT: *n = utf8_count(v.u.text->s); return true;
    case TMPL_SEQ: *n = v.u.seq->n; return v.u.seq->flavor != TMPL_ITER;
    case TMPL_DICT: *n = v.u.dict->n; return true;
    case TMPL_LOOP: *n = v.u.loop->n; return true;
    default: return false;
    }
}

MLXK_FN bool tmpl_truth(struct tmpl_val v) {
    switch (v.kind) {
    case TMPL_MISSING: case TMPL_UNDEFINED: case TMPL_NONE: return false;
    case TMPL_BOOL: return v.u.boolean;
    case TMPL_INT: return v.u.integer != 0;
    case TMPL_FLOAT: return v.u.number != 0.0;
    case TMPL_TEXT: return v.u.text->s.n != 0;
    case TMPL_SEQ: return v.u.seq->flavor == TMPL_ITER || v.u.seq->n != 0;
    case TMPL_DICT: return v.u.dict->n != 0;
    case TMPL_LOOP: return v.u.loop->n != 0;
    default: return true;
    }
}

/* ---- equality and order ---- */

static bool tmpl_value_equal_rows(struct tmpl_run *r, const struct tmpl_seq *x,
                                  const struct tmpl_seq *y) {
    enum tmpl_flavor fx = x->flavor == TMPL_GROUP ? TMPL_TUPLE : x->flavor;
    enum tmpl_flavor fy = y->flavor == TMPL_GROUP ? TMPL_TUPLE : y->flavor;
    if (x == y || fx != fy || x->n != y->n || fx == TMPL_ITER || fx == TMPL_VALUES) {
        return x == y;
    }
    for (size_t i = 0; i < x->n; i++) {
        if (r->failed || !tmpl_equal(r, x->at[i], y->at[i])) {
            return false;
        }
    }
    return true;
}

static bool tmpl_value_equal_dicts(struct tmpl_run *r, const struct tmpl_dict *x,
                                   const struct tmpl_dict *y) {
    if (x->n != y->n) {
        return false;
    }
    for (size_t i = 0; i < x->n; i++) {
        const struct tmpl_val *other = tmpl_dict_get(r, y, x->at[i].key);
        if (r->failed || !other || !tmpl_equal(r, x->at[i].value, *other)) {
            return false;
        }
    }
    return true;
}

static bool tmpl_value_equal_numbers(struct tmpl_val x, struct tmpl_val y) {
    int64_t i, j;
    if (tmpl_as_int(x, &i) && tmpl_as_int(y, &j)) {
        return i == j;
    }
    return tmpl_as_float(x) == tmpl_as_float(y);
}

MLXK_FN bool tmpl_equal(struct tmpl_run *r, struct tmpl_val x, struct tmpl_val y) {
    if (tmpl_is_number(x) && tmpl_is_number(y) && (x.kind != TMPL_BIG || y.kind != TMPL_BIG)) {
        return tmpl_value_equal_numbers(x, y);
    }
    if (x.kind != y.kind) {
        return false;
    }
    bool same = false;
    switch (x.kind) {
    case TMPL_TEXT: case TMPL_BIG:
        return str_eq(x.u.text->s, y.u.text->s) && tmpl_work(r, x.u.text->s.n / 64);
    case TMPL_SEQ: case TMPL_DICT:
        if (tmpl_deeper(r)) {
            same = x.kind == TMPL_SEQ ? tmpl_value_equal_rows(r, x.u.seq, y.u.seq)
                                      : tmpl_value_equal_dicts(r, x.u.dict, y.u.dict);
        }
        r->depth--;
        return same;
    case TMPL_NAMESPACE: return x.u.dict == y.u.dict;
    case TMPL_MACRO: return x.u.macro == y.u.macro;
    case TMPL_LOOP: return x.u.loop == y.u.loop;
    case TMPL_BOUND:
        return x.u.bound->entry == y.u.bound->entry
               && tmpl_equal(r, x.u.bound->self, y.u.bound->self);
    default: return true;        /* none, undefined */
    }
}

static int tmpl_value_order_rows(struct tmpl_run *r, const struct tmpl_seq *x,
                                 const struct tmpl_seq *y, const char *op_cstr) {
    size_t n = x->n < y->n ? x->n : y->n;
    for (size_t i = 0; i < n && !r->failed; i++) {
        if (!tmpl_equal(r, x->at[i], y->at[i])) {
            return tmpl_order(r, x->at[i], y->at[i], op_cstr);
        }
    }
    return x->n < y->n ? -1 : x->n > y->n;
}

MLXK_FN int tmpl_order(struct tmpl_run *r, struct tmpl_val x, struct tmpl_val y,
                       const char *op_cstr) {
    int64_t i, j;
    if (tmpl_as_int(x, &i) && tmpl_as_int(y, &j)) {
        return i < j ? -1 : i > j;
    }
    if (tmpl_is_number(x) && tmpl_is_number(y)) {
        double f = tmpl_as_float(x), g = tmpl_as_float(y);
        return f < g ? -1 : f > g ? 1 : tmpl_value_equal_numbers(x, y) ? 0 : 2;
    }
    if (x.kind == TMPL_TEXT && y.kind == TMPL_TEXT) {
        tmpl_work(r, (x.u.text->s.n < y.u.text->s.n ? x.u.text->s.n : y.u.text->s.n) / 64);
        int c = str_cmp(x.u.text->s, y.u.text->s);
        return c < 0 ? -1 : c > 0;
    }
    if (x.kind == TMPL_SEQ && y.kind == TMPL_SEQ && x.u.seq->flavor <= TMPL_TUPLE
        && x.u.seq->flavor == y.u.seq->flavor) {
        int c = tmpl_deeper(r) ? tmpl_value_order_rows(r, x.u.seq, y.u.seq, op_cstr) : 0;
        r->depth--;
        return c;
    }
    if (x.kind == TMPL_UNDEFINED || y.kind == TMPL_UNDEFINED) {
        tmpl_fail_undef(r, x.kind == TMPL_UNDEFINED ? x.u.undef : y.u.undef);
        return 2;
    }
    tmpl_fail(r, "'%s' not supported between instances of '%s' and '%s'", op_cstr, tmpl_type(x),
              tmpl_type(y));
    return 2;
}

/* ---- dictionaries ---- */

/* Equal keys have equal hashes: 1, 1.0 and True are one key, so all numbers share one. */
static uint64_t tmpl_value_hash(struct tmpl_val key) {
    return key.kind == TMPL_TEXT ? map_hash(key.u.text->s) : (uint64_t)tmpl_is_number(key);
}

static bool tmpl_value_hashable(struct tmpl_run *r, struct tmpl_val key) {
    bool row = key.kind == TMPL_SEQ && key.u.seq->flavor == TMPL_LIST;
    if (row || key.kind == TMPL_DICT || key.kind == TMPL_SLICE) {
        tmpl_fail(r, "unhashable type: '%s'", tmpl_type(key));
        return false;
    }
    return true;
}

MLXK_FN struct tmpl_dict *tmpl_dict_new(struct tmpl_run *r, size_t cap) {
    struct tmpl_dict *d = tmpl_alloc(r, 1, sizeof *d);
    if (d && cap) {
        d->at = tmpl_alloc(r, cap, sizeof *d->at);
        d->cap = d->at ? cap : 0;
    }
    return r->failed ? NULL : d;
}

static struct tmpl_pair *tmpl_value_find(struct tmpl_run *r, const struct tmpl_dict *d,
                                         struct tmpl_val key, uint64_t hash) {
    for (size_t i = 0; i < d->n; i++) {
        if (d->at[i].hash == hash && tmpl_equal(r, d->at[i].key, key)) {
            tmpl_work(r, i / 16);
            return &d->at[i];
        }
    }
    tmpl_work(r, d->n / 16);
    return NULL;
}

MLXK_FN const struct tmpl_val *tmpl_dict_get(struct tmpl_run *r, const struct tmpl_dict *d,
                                             struct tmpl_val key) {
    struct tmpl_pair *p = tmpl_value_find(r, d, key, tmpl_value_hash(key));
    return p ? &p->value : NULL;
}

MLXK_FN const struct tmpl_val *tmpl_dict_get_str(const struct tmpl_dict *d, struct str key) {
    uint64_t hash = map_hash(key);
    for (size_t i = 0; i < d->n; i++) {
        if (d->at[i].hash == hash && d->at[i].key.kind == TMPL_TEXT
            && str_eq(d->at[i].key.u.text->s, key)) {
            return &d->at[i].value;
        }
    }
    return NULL;
}

MLXK_FN void tmpl_dict_put(struct tmpl_run *r, struct tmpl_dict *d, struct tmpl_val key,
                           struct tmpl_val value) {
    if (!d || r->failed || !tmpl_value_hashable(r, key)) {
        return;
    }
    uint64_t hash = tmpl_value_hash(key);
    struct tmpl_pair *p = tmpl_value_find(r, d, key, hash);
    if (p) {
        p->value = value;
        return;
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 8;
        struct tmpl_pair *at = tmpl_alloc(r, cap, sizeof *at);
        if (!at) {
            return;
        }
        if (d->n) {
            memcpy(at, d->at, d->n * sizeof *at);
        }
        d->at = at;
        d->cap = cap;
    }
    d->at[d->n++] = (struct tmpl_pair){ key, value, hash };
}

MLXK_FN struct tmpl_val tmpl_dict_row(struct tmpl_run *r, const struct tmpl_dict *d,
                                      enum tmpl_flavor flavor) {
    struct tmpl_val *at = tmpl_alloc(r, d->n, sizeof *at);
    for (size_t i = 0; at && i < d->n; i++) {
        at[i] = flavor == TMPL_KEYS ? d->at[i].key : flavor == TMPL_VALUES ? d->at[i].value
              : tmpl_pair_of(r, d->at[i].key, d->at[i].value);
    }
    tmpl_work(r, d->n / 4);
    return tmpl_seq_of(r, flavor, at, d->n);
}

MLXK_FN struct tmpl_val tmpl_dict_val(struct tmpl_dict *d) {
    return d ? (struct tmpl_val){ .kind = TMPL_DICT, .u.dict = d } : tmpl_none();
}

/* ---- looping and containing ---- */

MLXK_FN bool tmpl_iterable(struct tmpl_val v) {
    return v.kind == TMPL_UNDEFINED || v.kind == TMPL_TEXT || v.kind == TMPL_SEQ
           || v.kind == TMPL_DICT || v.kind == TMPL_LOOP;
}

static bool tmpl_value_characters(struct tmpl_run *r, const struct tmpl_text *t,
                                  const struct tmpl_val **at, size_t *n) {
    *n = tmpl_count(r, t->s);
    struct tmpl_val *row = tmpl_alloc(r, *n, sizeof *row);
    struct tmpl_text plain = *t;
    plain.markup = false;                                /* characters of a safe text are plain */
    for (size_t i = 0, k = 0; row && k < *n && tmpl_work(r, 1); k++) {
        size_t from = i;
        utf8_decode(t->s, &i);
        row[k] = *n == 1 ? tmpl_text_of(r, t->s, tmpl_text_any_input(t))
                         : tmpl_text_cut(r, &plain, from, i);
    }
    *at = row;
    return !r->failed;
}

MLXK_FN bool tmpl_items(struct tmpl_run *r, struct tmpl_val v, const struct tmpl_val **at,
                        size_t *n) {
    struct tmpl_seq *seq = v.kind == TMPL_SEQ ? v.u.seq : NULL;
    *at = NULL;
    *n = 0;
    if (v.kind == TMPL_UNDEFINED || r->failed) {
        return !r->failed;
    }
    if (v.kind == TMPL_TEXT) {
        return tmpl_value_characters(r, v.u.text, at, n);
    }
    if (v.kind == TMPL_DICT) {
        seq = tmpl_dict_row(r, v.u.dict, TMPL_KEYS).u.seq;
    } else if (!seq) {
        tmpl_fail(r, "'%s' object is not iterable", tmpl_type(v));
    }
    if (r->failed) {
        return false;
    }
    *at = seq->at;
    *n = seq->n;
    if (seq->flavor == TMPL_ITER) {
        *at = seq->n_read < seq->n ? seq->at + seq->n_read : NULL;
        *n = seq->n - seq->n_read;
        seq->n_read = seq->n;
    }
    return tmpl_work(r, *n / 8);
}

MLXK_FN bool tmpl_contains(struct tmpl_run *r, struct tmpl_val box, struct tmpl_val item) {
    const struct tmpl_val *at;
    size_t n;
    if (box.kind == TMPL_TEXT) {
        if (item.kind != TMPL_TEXT) {
            tmpl_fail(r, "'in <string>' requires string as left operand, not %s", tmpl_type(item));
            return false;
        }
        tmpl_work(r, box.u.text->s.n / 16);
        return str_find(box.u.text->s, item.u.text->s) >= 0;
    }
    if (box.kind == TMPL_DICT) {
        return tmpl_value_hashable(r, item) && tmpl_dict_get(r, box.u.dict, item) != NULL;
    }
    if (!tmpl_iterable(box)) {
        tmpl_fail(r, "argument of type '%s' is not iterable", tmpl_type(box));
    }
    if (!tmpl_items(r, box, &at, &n)) {
        return false;
    }
    for (size_t i = 0; i < n && tmpl_work(r, i % 4 == 0); i++) {
        if (tmpl_equal(r, at[i], item)) {
            return true;
        }
    }
    return false;
}

/* ---- the caller's data ---- */

static struct tmpl_val tmpl_value_from_number(struct tmpl_run *r, const struct json *j) {
    bool integral = j->string.n && str_find_char(j->string, '.') < 0
                    && str_find_char(j->string, 'e') < 0 && str_find_char(j->string, 'E') < 0;
    if (!integral) {
        return tmpl_float(j->number);
    }
    struct tmpl_val v = tmpl_text_of(r, j->string, false);
    v.kind = TMPL_BIG;
    return v;
}

static struct tmpl_val tmpl_value_from_array(struct tmpl_run *r, const struct json *j,
                                             bool from_input) {
    struct tmpl_val *at = tmpl_alloc(r, j->n, sizeof *at);
    size_t n = 0;
    for (const struct json *c = j->child; at && c && n < j->n; c = c->next) {
        at[n++] = tmpl_from_json(r, c, from_input);
    }
    return tmpl_seq_of(r, TMPL_LIST, at, n);
}

/* The reader has refused duplicate keys, so none is searched for. */
static struct tmpl_val tmpl_value_from_object(struct tmpl_run *r, const struct json *j,
                                              bool from_input) {
    struct tmpl_dict *d = tmpl_dict_new(r, j->n);
    for (const struct json *c = j->child; d && c && d->n < d->cap && !r->failed; c = c->next) {
        struct tmpl_val key = tmpl_text_of(r, c->key, from_input);
        d->at[d->n++] =
            (struct tmpl_pair){ key, tmpl_from_json(r, c, from_input), map_hash(c->key) };
    }
    return tmpl_dict_val(d);
}

MLXK_FN struct tmpl_val tmpl_from_json(struct tmpl_run *r, const struct json *j, bool from_input) {
    struct tmpl_val v = tmpl_none();
    if (!tmpl_deeper(r)) {
        r->depth--;
        return v;
    }
    switch (j->kind) {
    case JSON_NULL: break;
    case JSON_BOOL: v = tmpl_bool(j->boolean); break;
    case JSON_INT: v = tmpl_int(j->integer); break;
    case JSON_FLOAT: v = tmpl_value_from_number(r, j); break;
    case JSON_STRING: v = tmpl_text_of(r, j->string, from_input); break;
    case JSON_ARRAY: v = tmpl_value_from_array(r, j, from_input); break;
    case JSON_OBJECT: v = tmpl_value_from_object(r, j, from_input); break;
    }
    r->depth--;
    return v;
}
