/* tmpl_tests.c: the tests behind "is", and the global functions.
 *
 * 1. A test returns a truth value; only those that compute (odd, divisibleby, in, comparisons) can
 *    fail.
 * 2. Global functions are: range, dict, namespace, raise_exception, strftime_now.
 * Spec: Jinja 3.1 "List of Builtin Tests", "List of Global Functions"; the two last as model hubs
 * define them.
 */
#include "template/tmpl_int.h"

/* ---- tests of type and identity ---- */

static struct tmpl_val tmpl_test_defined(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind != TMPL_UNDEFINED);
}

static struct tmpl_val tmpl_test_undefined(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_UNDEFINED);
}

static struct tmpl_val tmpl_test_none(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_NONE);
}

static struct tmpl_val tmpl_test_string(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_TEXT);
}

static struct tmpl_val tmpl_test_mapping(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_DICT);
}

static struct tmpl_val tmpl_test_iterable(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(tmpl_iterable(c->self));
}

/* Has a length and can be indexed. */
static struct tmpl_val tmpl_test_sequence(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    bool row = c->self.kind == TMPL_SEQ
               && (c->self.u.seq->flavor <= TMPL_RANGE || c->self.u.seq->flavor == TMPL_GROUP);
    return tmpl_bool(row || c->self.kind == TMPL_TEXT || c->self.kind == TMPL_DICT
                     || c->self.kind == TMPL_UNDEFINED);
}

static struct tmpl_val tmpl_test_boolean(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_BOOL);
}

static struct tmpl_val tmpl_test_true(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_BOOL && c->self.u.boolean);
}

static struct tmpl_val tmpl_test_false(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_BOOL && !c->self.u.boolean);
}

static struct tmpl_val tmpl_test_integer(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_INT || c->self.kind == TMPL_BIG);
}

static struct tmpl_val tmpl_test_float(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_FLOAT);
}

static struct tmpl_val tmpl_test_number(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(tmpl_is_number(c->self));
}

static struct tmpl_val tmpl_test_callable(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_MACRO || c->self.kind == TMPL_BOUND
                     || c->self.kind == TMPL_LOOP || c->self.kind == TMPL_UNDEFINED);
}

static struct tmpl_val tmpl_test_escaped(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_TEXT && c->self.u.text->markup);
}

/* The same object; for plain values, the same type and value. */
static struct tmpl_val tmpl_test_sameas(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_val x = c->self, y = c->arg[0];
    if (x.kind != y.kind) {
        return tmpl_bool(false);
    }
    switch (x.kind) {
    case TMPL_SEQ: return tmpl_bool(x.u.seq == y.u.seq);
    case TMPL_DICT: return tmpl_bool(x.u.dict == y.u.dict);
    case TMPL_UNDEFINED: return tmpl_bool(x.u.undef == y.u.undef);
    default: return tmpl_bool(tmpl_equal(r, x, y));
    }
}

static struct tmpl_val tmpl_test_filter(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_TEXT && tmpl_filter(c->self.u.text->s));
}

static struct tmpl_val tmpl_test_test(struct tmpl_run *r, const struct tmpl_call *c) {
    (void)r;
    return tmpl_bool(c->self.kind == TMPL_TEXT && tmpl_test(c->self.u.text->s));
}

/* ---- tests that compute ---- */

static struct tmpl_val tmpl_test_lower(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_val text = tmpl_text_val(tmpl_str(r, c->self));
    const struct tmpl_args none = { .n = 0 };
    return tmpl_invoke(r, tmpl_method(text, STR("islower")), text, &none);
}

static struct tmpl_val tmpl_test_upper(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_val text = tmpl_text_val(tmpl_str(r, c->self));
    const struct tmpl_args none = { .n = 0 };
    return tmpl_invoke(r, tmpl_method(text, STR("isupper")), text, &none);
}

/* self % divisor == wanted */
static struct tmpl_val tmpl_test_rest(struct tmpl_run *r, struct tmpl_val self,
                                      struct tmpl_val divisor, int64_t wanted) {
    return tmpl_bool(tmpl_equal(r, tmpl_binary(r, TMPL_T_MOD, self, divisor), tmpl_int(wanted)));
}

static struct tmpl_val tmpl_test_odd(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_test_rest(r, c->self, tmpl_int(2), 1);
}

static struct tmpl_val tmpl_test_even(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_test_rest(r, c->self, tmpl_int(2), 0);
}

static struct tmpl_val tmpl_test_divisibleby(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_test_rest(r, c->self, c->arg[0], 0);
}

static struct tmpl_val tmpl_test_in(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(tmpl_contains(r, c->arg[0], c->self));
}

static struct tmpl_val tmpl_test_eq(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(tmpl_compare(r, TMPL_T_EQ, c->self, c->arg[0]));
}

static struct tmpl_val tmpl_test_ne(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(tmpl_compare(r, TMPL_T_NE, c->self, c->arg[0]));
}

static struct tmpl_val tmpl_test_lt(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(tmpl_compare(r, TMPL_T_LT, c->self, c->arg[0]));
}

static struct tmpl_val tmpl_test_le(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(tmpl_compare(r, TMPL_T_LE, c->self, c->arg[0]));
}

static struct tmpl_val tmpl_test_gt(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(tmpl_compare(r, TMPL_T_GT, c->self, c->arg[0]));
}

static struct tmpl_val tmpl_test_ge(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_bool(tmpl_compare(r, TMPL_T_GE, c->self, c->arg[0]));
}

static const struct tmpl_entry tmpl_test_table[] = {
    { "defined", tmpl_test_defined, "", 0 }, { "string", tmpl_test_string, "", 0 },
    { "none", tmpl_test_none, "", 0 }, { "mapping", tmpl_test_mapping, "", 0 },
    { "iterable", tmpl_test_iterable, "", 0 }, { "sequence", tmpl_test_sequence, "", 0 },
    { "undefined", tmpl_test_undefined, "", 0 }, { "boolean", tmpl_test_boolean, "", 0 },
    { "true", tmpl_test_true, "", 0 }, { "false", tmpl_test_false, "", 0 },
    { "integer", tmpl_test_integer, "", 0 }, { "float", tmpl_test_float, "", 0 },
    { "number", tmpl_test_number, "", 0 }, { "callable", tmpl_test_callable, "", 0 },
    { "escaped", tmpl_test_escaped, "", 0 }, { "sameas", tmpl_test_sameas, "other", 1 },
    { "filter", tmpl_test_filter, "", 0 }, { "test", tmpl_test_test, "", 0 },
    { "lower", tmpl_test_lower, "", 0 }, { "upper", tmpl_test_upper, "", 0 },
    { "odd", tmpl_test_odd, "", 0 }, { "even", tmpl_test_even, "", 0 },
    { "divisibleby", tmpl_test_divisibleby, "num", 1 }, { "in", tmpl_test_in, "seq", 1 },
    { "eq", tmpl_test_eq, "other", 1 }, { "equalto", tmpl_test_eq, "other", 1 },
    { "==", tmpl_test_eq, "other", 1 }, { "ne", tmpl_test_ne, "other", 1 },
    { "!=", tmpl_test_ne, "other", 1 }, { "lt", tmpl_test_lt, "other", 1 },
    { "lessthan", tmpl_test_lt, "other", 1 }, { "<", tmpl_test_lt, "other", 1 },
    { "le", tmpl_test_le, "other", 1 }, { "<=", tmpl_test_le, "other", 1 },
    { "gt", tmpl_test_gt, "other", 1 }, { "greaterthan", tmpl_test_gt, "other", 1 },
    { ">", tmpl_test_gt, "other", 1 }, { "ge", tmpl_test_ge, "other", 1 },
    { ">=", tmpl_test_ge, "other", 1 },
};

MLXK_FN const struct tmpl_entry *tmpl_test(struct str name) {
    return tmpl_entry_find(tmpl_test_table, MLXK_COUNT(tmpl_test_table), name);
}

/* ---- global functions ---- */

static struct tmpl_val tmpl_global_range(struct tmpl_run *r, const struct tmpl_call *c) {
    int64_t start = tmpl_arg_int(r, c->arg[0], 0), stop = tmpl_arg_int(r, c->arg[1], 0);
    int64_t step = tmpl_arg_int(r, c->arg[2], 1);
    if (c->arg[1].kind == TMPL_MISSING) {
        stop = start;
        start = 0;
    }
    if (step == 0) {
        tmpl_fail(r, "range() arg 3 must not be zero");
    }
    if (r->failed) {
        return tmpl_none();
    }
    bool any = step > 0 ? start < stop : start > stop;
    uint64_t distance = !any       ? 0
                        : step > 0 ? (uint64_t)stop - (uint64_t)start
                                   : (uint64_t)start - (uint64_t)stop;
    uint64_t stride = step > 0 ? (uint64_t)step : (uint64_t)0 - (uint64_t)step;
    uint64_t n = distance / stride + (distance % stride != 0);
    if (n > TMPL_MAX_RANGE) {
        tmpl_fail(r, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                  (int)TMPL_MAX_RANGE);
        return tmpl_none();
    }
    struct tmpl_val *at = tmpl_alloc(r, n, sizeof *at);
    for (size_t i = 0; at && i < n; i++) {
        at[i] = tmpl_int((int64_t)((uint64_t)start + i * (uint64_t)step));
    }
    tmpl_work(r, n / 8);
    struct tmpl_val v = tmpl_seq_of(r, TMPL_RANGE, at, n);
    if (!r->failed) {
        v.u.seq->start = start;
        v.u.seq->stop = stop;
        v.u.seq->step = step;
    }
    return v;
}

/* dict(mapping or pairs, name=value, ...) */
static struct tmpl_dict *tmpl_global_to_dict(struct tmpl_run *r, const struct tmpl_args *args,
                                             const char *name_cstr) {
    struct tmpl_dict *d = tmpl_dict_new(r, args->n_named + 4);
    const struct tmpl_val *at, *pair;
    size_t n = 0, n_pair = 0;
    if (args->n > 1) {
        tmpl_fail(r, "%s expected at most 1 argument, got %zu", name_cstr, args->n);
    }
    struct tmpl_val from = args->n ? args->at[0] : tmpl_undef_of(r, TMPL_HINT, "", STR_EMPTY);
    from = from.kind == TMPL_DICT ? tmpl_dict_row(r, from.u.dict, TMPL_ITEMS) : from;
    if (r->failed || !tmpl_items(r, from, &at, &n)) {
        return NULL;
    }
    for (size_t i = 0; i < n && tmpl_work(r, 1); i++) {
        if (!tmpl_items(r, at[i], &pair, &n_pair) || n_pair != 2) {
            tmpl_fail(r, "%s update sequence element #%zu has length %zu; 2 is required", name_cstr,
                      i, n_pair);
            return NULL;
        }
        tmpl_dict_put(r, d, pair[0], pair[1]);
    }
    for (size_t i = 0; i < args->n_named; i++) {
        tmpl_dict_put(r, d, tmpl_text_of(r, args->named[i].name, false), args->named[i].value);
    }
    return r->failed ? NULL : d;
}

static struct tmpl_val tmpl_global_dict(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_dict_val(tmpl_global_to_dict(r, c->raw, "dict"));
}

static struct tmpl_val tmpl_global_namespace(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_val v = tmpl_dict_val(tmpl_global_to_dict(r, c->raw, "namespace"));
    v.kind = r->failed ? v.kind : TMPL_NAMESPACE;
    return v;
}

/* The template's own words, without a place: they are meant for the person who sent the
 * messages. */
static struct tmpl_val tmpl_global_raise(struct tmpl_run *r, const struct tmpl_call *c) {
    struct str s = tmpl_str(r, c->arg[0])->s;
    if (!r->failed) {
        size_t line = 1;
        for (size_t i = 0; r->at && i < r->at->pos; i++) {
            line += r->t->source.p[i] == '\n';
        }
        r->failed = true;
        err_set(r->e, ERR_TEMPLATE, STR_FMT, STR_ARG(s));
        err_hint(r->e, "the model's chat template refuses these messages (its line %zu)", line);
    }
    return tmpl_none();
}

static const struct tmpl_entry tmpl_global_table[] = {
    { "range", tmpl_global_range, "start stop step", 1 }, { "dict", tmpl_global_dict, NULL, 0 },
    { "namespace", tmpl_global_namespace, NULL, 0 },
    { "raise_exception", tmpl_global_raise, "message", 1 },
    { "strftime_now", tmpl_strftime, "format", 1 },
};

MLXK_FN const struct tmpl_entry *tmpl_global(struct str name) {
    return tmpl_entry_find(tmpl_global_table, MLXK_COUNT(tmpl_global_table), name);
}
