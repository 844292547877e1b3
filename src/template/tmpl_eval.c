/* tmpl_eval.c: expressions of the tree -> values, with Python's operators.
 *
 * 1. Every node costs one step and one level of depth while it is evaluated.
 * 2. Names are looked up in the scopes from inner to outer, then at top level; a missing one is
 *    undefined.
 * 3. Integers have 64 bits: a larger result is an error. Caller's integers beyond that compute as
 *    floats.
 * 4. "/" always gives a float; "//" and "%" round towards minus infinity.
 */
#include "template/tmpl_int.h"

/* ---- arithmetic ---- */

static const char *tmpl_eval_op_name(enum tmpl_tok op) {
    switch (op) {
    case TMPL_T_ADD: return "+";
    case TMPL_T_SUB: return "-";
    case TMPL_T_MUL: return "*";
    case TMPL_T_DIV: return "/";
    case TMPL_T_FLOORDIV: return "//";
    case TMPL_T_MOD: return "%";
    case TMPL_T_POW: return "**";
    case TMPL_T_LT: return "<";
    case TMPL_T_LE: return "<=";
    case TMPL_T_GT: return ">";
    default: return ">=";
    }
}

static int64_t tmpl_eval_floor_div(int64_t i, int64_t j) {
    int64_t q = i / j;
    return i % j != 0 && (i < 0) != (j < 0) ? q - 1 : q;
}

static bool tmpl_eval_int_pow(int64_t base, int64_t exponent, int64_t *out) {
    int64_t result = 1;
    for (bool overflow = false; exponent > 0; exponent >>= 1) {
        if (overflow || ((exponent & 1) && __builtin_mul_overflow(result, base, &result))) {
            return false;
        }
        overflow = __builtin_mul_overflow(base, base, &base);
    }
    *out = result;
    return true;
}

static struct tmpl_val tmpl_eval_ints(struct tmpl_run *r, enum tmpl_tok op, int64_t i, int64_t j) {
    int64_t out = 0;
    bool fits = true;
    if (j == 0 && (op == TMPL_T_DIV || op == TMPL_T_FLOORDIV || op == TMPL_T_MOD)) {
        tmpl_fail(r, op == TMPL_T_DIV ? "division by zero" : "integer division or modulo by zero");
        return tmpl_none();
    }
    switch (op) {
    case TMPL_T_ADD: fits = !__builtin_add_overflow(i, j, &out); break;
    case TMPL_T_SUB: fits = !__builtin_sub_overflow(i, j, &out); break;
    case TMPL_T_MUL: fits = !__builtin_mul_overflow(i, j, &out); break;
    case TMPL_T_DIV: return tmpl_float((double)i / (double)j);
    case TMPL_T_FLOORDIV:
        fits = j != -1 || i != INT64_MIN;
        out = fits ? tmpl_eval_floor_div(i, j) : 0;
        break;
    case TMPL_T_MOD: out = j == -1 ? 0 : i - tmpl_eval_floor_div(i, j) * j; break;
    default:
        if (j < 0) {
            return tmpl_float(__builtin_pow((double)i, (double)j));
        }
        fits = tmpl_eval_int_pow(i, j, &out);
    }
    if (!fits) {
        tmpl_fail(r, "the result of '%s' does not fit 64 bits", tmpl_eval_op_name(op));
    }
    return tmpl_int(out);
}

static struct tmpl_val tmpl_eval_floats(struct tmpl_run *r, enum tmpl_tok op, double x, double y) {
    double rest;
    if (y == 0.0 && (op == TMPL_T_DIV || op == TMPL_T_FLOORDIV || op == TMPL_T_MOD)) {
        tmpl_fail(r, "float division by zero");
        return tmpl_none();
    }
    switch (op) {
    case TMPL_T_ADD: return tmpl_float(x + y);
    case TMPL_T_SUB: return tmpl_float(x - y);
    case TMPL_T_MUL: return tmpl_float(x * y);
    case TMPL_T_DIV: return tmpl_float(x / y);
    case TMPL_T_FLOORDIV: return tmpl_float(__builtin_floor(x / y));
    case TMPL_T_MOD:
        rest = __builtin_fmod(x, y);
        return tmpl_float(rest != 0.0 && (rest < 0) != (y < 0) ? rest + y : rest);
    default: return tmpl_float(__builtin_pow(x, y));
    }
}

/* ---- text and rows ---- */

/* What joins a safe text is escaped and the result is safe, as markupsafe does. */
static struct tmpl_val tmpl_eval_add_markup(struct tmpl_run *r, const struct tmpl_text *x,
                                            const struct tmpl_text *y) {
    struct tmpl_out o = { .p = NULL };
    tmpl_out_text(r, &o, tmpl_escape(r, x, false).u.text);
    tmpl_out_text(r, &o, tmpl_escape(r, y, false).u.text);
    struct tmpl_text *safe = tmpl_alloc(r, 1, sizeof *safe);
    if (!safe) {
        return tmpl_none();
    }
    *safe = *tmpl_out_val(r, &o).u.text;
    safe->markup = true;
    return tmpl_text_val(safe);
}

static struct tmpl_val tmpl_eval_add_texts(struct tmpl_run *r, const struct tmpl_text *x,
                                           const struct tmpl_text *y) {
    if (x->markup || y->markup) {
        return tmpl_eval_add_markup(r, x, y);
    }
    struct tmpl_out *o = tmpl_out_behind(r, x, y->s.n);
    if (o) {
        tmpl_out_text(r, o, y);
    }
    return tmpl_out_grown(r, o);
}

static struct tmpl_val tmpl_eval_add_rows(struct tmpl_run *r, const struct tmpl_seq *x,
                                          const struct tmpl_seq *y) {
    struct tmpl_val *at = tmpl_alloc(r, x->n + y->n, sizeof *at);
    if (at && x->n) {
        memcpy(at, x->at, x->n * sizeof *at);
    }
    if (at && y->n) {
        memcpy(at + x->n, y->at, y->n * sizeof *at);
    }
    tmpl_work(r, (x->n + y->n) / 8);
    return tmpl_seq_of(r, x->flavor, at, x->n + y->n);
}

static struct tmpl_val tmpl_eval_repeat(struct tmpl_run *r, struct tmpl_val what, int64_t count) {
    size_t n = what.kind == TMPL_TEXT ? what.u.text->s.n : what.u.seq->n, total = 0;
    size_t times = count > 0 && n ? (size_t)count : 0;
    if (!num_mul(n, times, &total) || total > TMPL_MAX_OUTPUT) {
        tmpl_fail(r, "repeating %zu items %zu times is too much", n, times);
        return tmpl_none();
    }
    if (what.kind == TMPL_TEXT) {
        struct tmpl_out o = { .p = NULL };
        tmpl_out_room(r, &o, total);
        for (size_t i = 0; i < times && tmpl_work(r, 1); i++) {
            tmpl_out_text(r, &o, what.u.text);
        }
        return tmpl_out_val(r, &o);
    }
    struct tmpl_val *at = tmpl_alloc(r, total, sizeof *at);
    for (size_t i = 0; at && i < times && tmpl_work(r, 1 + n / 8); i++) {
        memcpy(at + i * n, what.u.seq->at, n * sizeof *at);
    }
    return tmpl_seq_of(r, what.u.seq->flavor, at, total);
}

static bool tmpl_eval_repeatable(struct tmpl_val v) {
    return v.kind == TMPL_TEXT || (v.kind == TMPL_SEQ && v.u.seq->flavor <= TMPL_TUPLE);
}

static void tmpl_eval_bad_types(struct tmpl_run *r, enum tmpl_tok op, struct tmpl_val x,
                                struct tmpl_val y) {
    bool row = x.kind == TMPL_TEXT || (x.kind == TMPL_SEQ && x.u.seq->flavor <= TMPL_TUPLE);
    if (op == TMPL_T_ADD && row) {
        tmpl_fail(r, "can only concatenate %s (not \"%s\") to %s", tmpl_type(x), tmpl_type(y),
                  tmpl_type(x));
    } else {
        tmpl_fail(r, "unsupported operand types for %s: '%s' and '%s'", tmpl_eval_op_name(op),
                  tmpl_type(x), tmpl_type(y));
    }
}

MLXK_FN struct tmpl_val tmpl_binary(struct tmpl_run *r, enum tmpl_tok op, struct tmpl_val x,
                                    struct tmpl_val y) {
    int64_t i, j;
    if (r->failed) {
        return tmpl_none();
    }
    if (op == TMPL_T_MOD && x.kind == TMPL_TEXT) {
        return tmpl_percent(r, x.u.text, y);
    }
    if (x.kind == TMPL_UNDEFINED || y.kind == TMPL_UNDEFINED) {
        tmpl_fail_undef(r, x.kind == TMPL_UNDEFINED ? x.u.undef : y.u.undef);
        return tmpl_none();
    }
    bool int_x = tmpl_as_int(x, &i), int_y = tmpl_as_int(y, &j);
    if (int_x && int_y) {
        return tmpl_eval_ints(r, op, i, j);
    }
    if (tmpl_is_number(x) && tmpl_is_number(y)) {
        return tmpl_eval_floats(r, op, tmpl_as_float(x), tmpl_as_float(y));
    }
    if (op == TMPL_T_ADD && x.kind == TMPL_TEXT && y.kind == TMPL_TEXT) {
        return tmpl_eval_add_texts(r, x.u.text, y.u.text);
    }
    if (op == TMPL_T_ADD && x.kind == TMPL_SEQ && y.kind == TMPL_SEQ
        && x.u.seq->flavor == y.u.seq->flavor && x.u.seq->flavor <= TMPL_TUPLE) {
        return tmpl_eval_add_rows(r, x.u.seq, y.u.seq);
    }
    if (op == TMPL_T_MUL
        && ((tmpl_eval_repeatable(x) && int_y) || (int_x && tmpl_eval_repeatable(y)))) {
        return int_y ? tmpl_eval_repeat(r, x, j) : tmpl_eval_repeat(r, y, i);
    }
    tmpl_eval_bad_types(r, op, x, y);
    return tmpl_none();
}

/* ---- comparisons ---- */

MLXK_FN bool tmpl_compare(struct tmpl_run *r, enum tmpl_tok op, struct tmpl_val x,
                          struct tmpl_val y) {
    switch (op) {
    case TMPL_T_EQ: return tmpl_equal(r, x, y);
    case TMPL_T_NE: return !tmpl_equal(r, x, y);
    case TMPL_T_IN: return tmpl_contains(r, y, x);
    case TMPL_T_NOT_IN: return !tmpl_contains(r, y, x);
    default: break;
    }
    int c = tmpl_order(r, x, y, tmpl_eval_op_name(op));
    switch (op) {
    case TMPL_T_LT: return c == -1;
    case TMPL_T_LE: return c == -1 || c == 0;
    case TMPL_T_GT: return c == 1;
    default: return c == 0 || c == 1;
    }
}

/* a < b < c: each operand once, stops at the first that is false. */
static struct tmpl_val tmpl_eval_comparison(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_val left = tmpl_eval(r, n->a);
    bool holds = true;
    for (const struct tmpl_node *part = n->list; part && holds && !r->failed; part = part->next) {
        struct tmpl_val right = tmpl_eval(r, part->a);
        holds = !r->failed && tmpl_compare(r, part->op, left, right);
        left = right;
    }
    return tmpl_bool(holds);
}

/* ---- names and displays ---- */

static struct tmpl_val tmpl_eval_name(struct tmpl_run *r, const struct tmpl_node *n) {
    for (const struct tmpl_scope *s = r->scope; s; s = s->parent) {
        for (size_t i = s->n; i-- > 0;) {
            if (s->at[i].sym == n->sym) {
                return s->at[i].value;
            }
        }
    }
    struct tmpl_val v = r->root[n->sym];
    return v.kind != TMPL_MISSING ? v : tmpl_undef_of(r, TMPL_NO_NAME, "", n->name);
}

static struct tmpl_val tmpl_eval_row(struct tmpl_run *r, const struct tmpl_node *n) {
    size_t count = 0, i = 0;
    for (const struct tmpl_node *item = n->list; item; item = item->next) {
        count++;
    }
    struct tmpl_val *at = tmpl_alloc(r, count, sizeof *at);
    for (const struct tmpl_node *item = n->list; at && item && !r->failed; item = item->next) {
        at[i++] = tmpl_eval(r, item);
    }
    return tmpl_seq_of(r, n->kind == TMPL_N_LIST ? TMPL_LIST : TMPL_TUPLE, at, i);
}

static struct tmpl_val tmpl_eval_dict(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_dict *d = tmpl_dict_new(r, 4);
    for (const struct tmpl_node *key = n->list; key && d && !r->failed; key = key->next->next) {
        struct tmpl_val k = tmpl_eval(r, key);
        tmpl_dict_put(r, d, k, tmpl_eval(r, key->next));
    }
    return tmpl_dict_val(d);
}

/* All operands first: one of them might add to the text that is being continued. */
static struct tmpl_val tmpl_eval_concat(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_val parts = tmpl_eval_row(r, n);
    if (r->failed) {
        return parts;
    }
    struct tmpl_out *o = tmpl_out_behind(r, tmpl_str(r, parts.u.seq->at[0]), 0);
    for (size_t i = 1; o && i < parts.u.seq->n && !r->failed; i++) {
        tmpl_print(r, o, parts.u.seq->at[i]);
    }
    return tmpl_out_grown(r, o);
}

static struct tmpl_val tmpl_eval_slice(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_slice *s = tmpl_alloc(r, 1, sizeof *s);
    if (!s) {
        return tmpl_none();
    }
    s->from = n->a ? tmpl_eval(r, n->a) : tmpl_none();
    s->to = n->b ? tmpl_eval(r, n->b) : tmpl_none();
    s->step = n->c ? tmpl_eval(r, n->c) : tmpl_none();
    return (struct tmpl_val){ .kind = TMPL_SLICE, .u.slice = s };
}

static struct tmpl_val tmpl_eval_sign(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_val v = tmpl_eval(r, n->a);
    bool neg = n->kind == TMPL_N_NEG;
    if (r->failed) {
        return v;
    }
    if (v.kind == TMPL_UNDEFINED) {
        tmpl_fail_undef(r, v.u.undef);
    } else if (!tmpl_is_number(v)) {
        tmpl_fail(r, "bad operand type for unary %s: '%s'", neg ? "-" : "+", tmpl_type(v));
    } else if (v.kind == TMPL_FLOAT || v.kind == TMPL_BIG) {
        return neg ? tmpl_float(-tmpl_as_float(v)) : v;
    }
    return tmpl_binary(r, neg ? TMPL_T_SUB : TMPL_T_ADD, tmpl_int(0), v);
}

/* ---- calls ---- */

static size_t tmpl_eval_count(const struct tmpl_node *list) {
    size_t n = 0;
    for (; list; list = list->next) {
        n++;
    }
    return n;
}

/* Appends the items of a *row or the pairs of a **mapping. */
static void tmpl_eval_star(struct tmpl_run *r, const struct tmpl_node_args *from,
                           struct tmpl_args *to) {
    const struct tmpl_val *at = NULL;
    size_t n = 0;
    if (from->star && tmpl_items(r, tmpl_eval(r, from->star), &at, &n)) {
        struct tmpl_val *all = tmpl_alloc(r, to->n + n, sizeof *all);
        for (size_t i = 0; all && i < to->n + n; i++) {
            all[i] = i < to->n ? to->at[i] : at[i - to->n];
        }
        to->at = all;
        to->n = all ? to->n + n : 0;
    }
    struct tmpl_val map = from->star2 && !r->failed ? tmpl_eval(r, from->star2) : tmpl_none();
    if (!from->star2 || r->failed) {
        return;
    }
    if (map.kind != TMPL_DICT) {
        tmpl_fail(r, "argument after ** must be a mapping, not %s", tmpl_type(map));
        return;
    }
    struct tmpl_named *named = tmpl_alloc(r, to->n_named + map.u.dict->n, sizeof *named);
    for (size_t i = 0; named && i < to->n_named; i++) {
        named[i] = to->named[i];
    }
    for (size_t i = 0; named && i < map.u.dict->n; i++) {
        const struct tmpl_pair *p = &map.u.dict->at[i];
        named[to->n_named++] =
            (struct tmpl_named){ p->key.kind == TMPL_TEXT ? p->key.u.text->s : STR("?"), p->value };
    }
    to->named = named;
}

MLXK_FN bool tmpl_eval_args(struct tmpl_run *r, const struct tmpl_node_args *from,
                            struct tmpl_args *to) {
    *to = (struct tmpl_args){ .at = NULL };
    if (!from) {
        return !r->failed;
    }
    size_t n = tmpl_eval_count(from->pos), n_named = tmpl_eval_count(from->named);
    to->at = n ? tmpl_alloc(r, n, sizeof *to->at) : NULL;
    to->named = n_named ? tmpl_alloc(r, n_named, sizeof *to->named) : NULL;
    for (const struct tmpl_node *a = from->pos; a && to->at && !r->failed; a = a->next) {
        to->at[to->n++] = tmpl_eval(r, a);
    }
    for (const struct tmpl_node *a = from->named; a && to->named && !r->failed; a = a->next) {
        to->named[to->n_named++] = (struct tmpl_named){ a->name, tmpl_eval(r, a->a) };
    }
    if (!r->failed && (from->star || from->star2)) {
        tmpl_eval_star(r, from, to);
    }
    return !r->failed;
}

MLXK_FN struct tmpl_val tmpl_call_val(struct tmpl_run *r, struct tmpl_val fn,
                                      const struct tmpl_args *args) {
    switch (fn.kind) {
    case TMPL_BOUND: return tmpl_invoke(r, fn.u.bound->entry, fn.u.bound->self, args);
    case TMPL_MACRO: return tmpl_call_macro(r, fn.u.macro, args);
    case TMPL_LOOP:
        if (args->n == 1 && !args->n_named) {
            return tmpl_recurse(r, fn.u.loop, args->at[0]);
        }
        tmpl_fail(r, "a loop is called with one argument");
        break;
    case TMPL_UNDEFINED: tmpl_fail_undef(r, fn.u.undef); break;
    default: tmpl_fail(r, "'%s' object is not callable", tmpl_type(fn));
    }
    return tmpl_none();
}

/* obj.method(...) goes straight to the method, without a value for it. */
static struct tmpl_val tmpl_eval_call(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_args args;
    struct tmpl_val fn;
    if (n->a->kind == TMPL_N_ATTR) {
        struct tmpl_val obj = tmpl_eval(r, n->a->a);
        const struct tmpl_entry *method = r->failed ? NULL : tmpl_method(obj, n->a->name);
        if (method) {
            return tmpl_eval_args(r, n->args, &args) ? tmpl_invoke(r, method, obj, &args)
                                                     : tmpl_none();
        }
        fn = r->failed ? obj : tmpl_attr(r, obj, n->a->name);
    } else {
        fn = tmpl_eval(r, n->a);
    }
    return !r->failed && tmpl_eval_args(r, n->args, &args) ? tmpl_call_val(r, fn, &args)
                                                           : tmpl_none();
}

static struct tmpl_val tmpl_eval_filter(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_args args;
    struct tmpl_val subject = n->a ? tmpl_eval(r, n->a) : r->block;
    if (r->failed || !tmpl_eval_args(r, n->args, &args)) {
        return tmpl_none();
    }
    if (!n->entry) {
        tmpl_fail(r, "No %s named '" STR_FMT "'", n->kind == TMPL_N_FILTER ? "filter" : "test",
                  STR_ARG(n->name));
        return tmpl_none();
    }
    return tmpl_invoke(r, n->entry, subject, &args);
}

/* ---- all kinds ---- */

static struct tmpl_val tmpl_eval_logic(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_val v = tmpl_eval(r, n->a);
    if (r->failed) {
        return v;
    }
    switch (n->kind) {
    case TMPL_N_AND: return tmpl_truth(v) ? tmpl_eval(r, n->b) : v;
    case TMPL_N_OR: return tmpl_truth(v) ? v : tmpl_eval(r, n->b);
    case TMPL_N_NOT: return tmpl_bool(!tmpl_truth(v));
    default: break;                                     /* b if a else c */
    }
    if (tmpl_truth(v)) {
        return tmpl_eval(r, n->b);
    }
    return n->c ? tmpl_eval(r, n->c)
                : tmpl_undef_of(
                    r, TMPL_HINT,
                    "the inline if-expression evaluated to false and no else section was defined",
                    STR_EMPTY);
}

static struct tmpl_val tmpl_eval_kind(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_val x, y;
    switch (n->kind) {
    case TMPL_N_CONST: return n->value;
    case TMPL_N_NAME: return tmpl_eval_name(r, n);
    case TMPL_N_TUPLE: case TMPL_N_LIST: return tmpl_eval_row(r, n);
    case TMPL_N_DICT: return tmpl_eval_dict(r, n);
    case TMPL_N_COND:
    case TMPL_N_OR:
    case TMPL_N_AND:
    case TMPL_N_NOT: return tmpl_eval_logic(r, n);
    case TMPL_N_COMPARE: return tmpl_eval_comparison(r, n);
    case TMPL_N_CONCAT: return tmpl_eval_concat(r, n);
    case TMPL_N_NEG: case TMPL_N_POS: return tmpl_eval_sign(r, n);
    case TMPL_N_SLICE: return tmpl_eval_slice(r, n);
    case TMPL_N_CALL: return tmpl_eval_call(r, n);
    case TMPL_N_FILTER: case TMPL_N_TEST: return tmpl_eval_filter(r, n);
    case TMPL_N_ATTR:
        x = tmpl_eval(r, n->a);
        return r->failed ? x : tmpl_attr(r, x, n->name);
    case TMPL_N_BINARY: case TMPL_N_ITEM:
        x = tmpl_eval(r, n->a);
        y = r->failed ? x : tmpl_eval(r, n->b);
        return r->failed                ? x
               : n->kind == TMPL_N_ITEM ? tmpl_item(r, x, y)
                                        : tmpl_binary(r, n->op, x, y);
    default: break;
    }
    return tmpl_none();
}

MLXK_FN struct tmpl_val tmpl_eval(struct tmpl_run *r, const struct tmpl_node *n) {
    const struct tmpl_node *outer = r->at;
    struct tmpl_val v = tmpl_none();
    r->at = n;
    if (tmpl_deeper(r)) {
        v = tmpl_eval_kind(r, n);
    }
    r->depth--;
    r->at = outer;
    return v;
}
