/* tmpl_access.c: obj.name, obj[key], obj[from:to:step], and arguments of built-in functions.
 *
 * Jinja's rule: a dot looks for a method or attribute first and for a key second; brackets the
 * other way round. So message.items is always the method, and message['items'] the key if there is
 * one.
 *
 * 1. What is not there gives an undefined value that remembers what was asked; asking an undefined
 *    value fails, and so does slicing what has no items in order.
 * 2. The sandbox is immutable: methods that would change a list or dictionary give an undefined
 *    value whose use fails, as do names that begin with an underscore.
 */
#include "template/tmpl_int.h"

/* ---- attributes ---- */

static struct tmpl_val tmpl_access_bind(struct tmpl_run *r, const struct tmpl_entry *entry,
                                        struct tmpl_val self) {
    struct tmpl_bound *b = tmpl_alloc(r, 1, sizeof *b);
    if (!b) {
        return tmpl_none();
    }
    *b = (struct tmpl_bound){ entry, self };
    return (struct tmpl_val){ .kind = TMPL_BOUND, .u.bound = b };
}

/* What Python's getattr finds; MISSING when nothing. */
static struct tmpl_val tmpl_access_own(struct tmpl_run *r, struct tmpl_val obj, struct str name) {
    const struct tmpl_entry *method = tmpl_method(obj, name);
    const struct tmpl_val *found = NULL;
    if (method) {
        return tmpl_access_bind(r, method, obj);
    }
    if (tmpl_method_mutates(obj, name) || str_starts(name, STR("__"))) {
        return tmpl_undef_of(r, TMPL_UNSAFE, tmpl_type(obj), name);
    }
    switch (obj.kind) {
    case TMPL_NAMESPACE:
        found = tmpl_dict_get_str(obj.u.dict, name);
        break;
    case TMPL_LOOP:
        return tmpl_loop_attr(r, obj, name);
    case TMPL_MACRO:
        if (str_eq_cstr(name, "name")) {
            return tmpl_text_of(r, obj.u.macro->node->name, false);
        }
        break;
    case TMPL_SEQ:
        if (obj.u.seq->flavor == TMPL_GROUP && str_eq_cstr(name, "grouper")) {
            found = &obj.u.seq->at[0];
        } else if (obj.u.seq->flavor == TMPL_GROUP && str_eq_cstr(name, "list")) {
            found = &obj.u.seq->at[1];
        }
        break;
    default: break;
    }
    return found ? *found : (struct tmpl_val){ .kind = TMPL_MISSING };
}

MLXK_FN struct tmpl_val tmpl_attr(struct tmpl_run *r, struct tmpl_val obj, struct str name) {
    if (obj.kind == TMPL_UNDEFINED) {
        tmpl_fail_undef(r, obj.u.undef);
        return obj;
    }
    struct tmpl_val v = tmpl_access_own(r, obj, name);
    if (v.kind != TMPL_MISSING) {
        return v;
    }
    const struct tmpl_val *found =
        obj.kind == TMPL_DICT ? tmpl_dict_get_str(obj.u.dict, name) : NULL;
    return found ? *found : tmpl_undef_of(r, TMPL_NO_ATTRIBUTE, tmpl_type(obj), name);
}

/* ---- slices ---- */

static bool tmpl_access_bound(struct tmpl_val v, int64_t *out, bool *given) {
    *given = v.kind != TMPL_NONE && v.kind != TMPL_MISSING;
    return !*given || tmpl_as_int(v, out);
}

/* Python's slice.indices: start and count of the items that from:to:step takes out of n. */
struct tmpl_access_range { int64_t start, step; size_t count; };

static int64_t tmpl_access_clamp(int64_t i, int64_t n, int64_t low, int64_t high) {
    if (i < 0) {
        i = i < -n ? low : i + n;
    }
    return i < low ? low : i > high ? high : i;
}

static bool tmpl_access_range(struct tmpl_run *r, const struct tmpl_slice *s, size_t length,
                              struct tmpl_access_range *out) {
    int64_t from = 0, to = 0, step = 1, n = (int64_t)length;
    bool has_from, has_to, has_step;
    if (!tmpl_access_bound(s->from, &from, &has_from) || !tmpl_access_bound(s->to, &to, &has_to)
        || !tmpl_access_bound(s->step, &step, &has_step)) {
        tmpl_fail(r, "slice indices must be integers or None");
        return false;
    }
    if (step == 0) {
        tmpl_fail(r, "slice step cannot be zero");
        return false;
    }
    bool back = step < 0;
    from = has_from ? tmpl_access_clamp(from, n, back ? -1 : 0, back ? n - 1 : n)
           : back   ? n - 1
                    : 0;
    to = has_to ? tmpl_access_clamp(to, n, back ? -1 : 0, back ? n - 1 : n) : back ? -1 : n;
    uint64_t distance = back        ? (from > to ? (uint64_t)(from - to) : 0)
                        : to > from ? (uint64_t)(to - from)
                                    : 0;
    uint64_t stride = back ? (uint64_t)0 - (uint64_t)step : (uint64_t)step;
    out->start = from;
    out->step = step;
    out->count = (size_t)(distance / stride + (distance % stride != 0));
    return true;
}

static struct tmpl_val tmpl_access_slice_text(struct tmpl_run *r, const struct tmpl_text *t,
                                              struct tmpl_access_range range) {
    if (range.step == 1) {
        size_t from = tmpl_offset(t->s, (size_t)range.start);
        return tmpl_text_cut(r, t, from,
                             from + tmpl_offset(str_sub(t->s, from, t->s.n), range.count));
    }
    size_t n = utf8_count(t->s);
    size_t *offsets = tmpl_alloc(r, n + 1, sizeof *offsets);
    struct tmpl_out o = { .p = NULL };
    for (size_t i = 0, at = 0; offsets && i < n; i++) {
        offsets[i] = at;
        utf8_decode(t->s, &at);
        offsets[i + 1] = at;
    }
    for (size_t i = 0; offsets && i < range.count && tmpl_work(r, 1); i++) {
        size_t k = (size_t)(range.start + (int64_t)i * range.step);
        tmpl_out_part(r, &o, t, offsets[k], offsets[k + 1]);
    }
    return tmpl_out_val(r, &o);
}

static struct tmpl_val tmpl_access_slice_row(struct tmpl_run *r, const struct tmpl_seq *seq,
                                             struct tmpl_access_range range) {
    enum tmpl_flavor flavor = seq->flavor == TMPL_GROUP   ? TMPL_TUPLE
                              : seq->flavor == TMPL_RANGE ? TMPL_LIST
                                                          : seq->flavor;
    if (range.step == 1) {
        return tmpl_seq_of(r, flavor, seq->at + range.start, range.count);
    }
    struct tmpl_val *at = tmpl_alloc(r, range.count, sizeof *at);
    for (size_t i = 0; at && i < range.count; i++) {
        at[i] = seq->at[range.start + (int64_t)i * range.step];
    }
    tmpl_work(r, range.count / 8);
    return tmpl_seq_of(r, flavor, at, range.count);
}

static struct tmpl_val tmpl_access_slice(struct tmpl_run *r, struct tmpl_val obj,
                                         const struct tmpl_slice *s) {
    struct tmpl_access_range range = { 0, 1, 0 };
    bool row = obj.kind == TMPL_SEQ
               && (obj.u.seq->flavor <= TMPL_RANGE || obj.u.seq->flavor == TMPL_GROUP);
    if (obj.kind == TMPL_TEXT && tmpl_access_range(r, s, tmpl_count(r, obj.u.text->s), &range)) {
        return tmpl_access_slice_text(r, obj.u.text, range);
    }
    if (row && tmpl_access_range(r, s, obj.u.seq->n, &range)) {
        return tmpl_access_slice_row(r, obj.u.seq, range);
    }
    tmpl_fail(r, "'%s' object can't be sliced", tmpl_type(obj));
    return tmpl_none();
}

/* ---- items ---- */

static struct tmpl_val tmpl_access_index(struct tmpl_run *r, struct tmpl_val obj, int64_t index) {
    struct tmpl_val missing = { .kind = TMPL_MISSING };
    size_t n = 0;
    bool text = obj.kind == TMPL_TEXT;
    bool row = obj.kind == TMPL_SEQ
               && (obj.u.seq->flavor <= TMPL_RANGE || obj.u.seq->flavor == TMPL_GROUP);
    if ((!text && !row) || !tmpl_length(obj, &n)) {
        return missing;
    }
    int64_t at = index < 0 ? index + (int64_t)n : index;
    if (at < 0 || at >= (int64_t)n) {
        return missing;
    }
    if (row) {
        return obj.u.seq->at[at];
    }
    tmpl_work(r, obj.u.text->s.n / 32);
    size_t from = tmpl_offset(obj.u.text->s, (size_t)at), to = from;
    utf8_decode(obj.u.text->s, &to);
    return tmpl_text_cut(r, obj.u.text, from, to);
}

MLXK_FN struct tmpl_val tmpl_item(struct tmpl_run *r, struct tmpl_val obj, struct tmpl_val key) {
    struct tmpl_val v = { .kind = TMPL_MISSING };
    int64_t index;
    if (obj.kind == TMPL_UNDEFINED) {
        tmpl_fail_undef(r, obj.u.undef);
        return obj;
    }
    if (key.kind == TMPL_SLICE) {
        return tmpl_access_slice(r, obj, key.u.slice);
    }
    if (obj.kind == TMPL_DICT) {
        const struct tmpl_val *found = tmpl_dict_get(r, obj.u.dict, key);
        v = found ? *found : v;
    } else if (tmpl_as_int(key, &index)) {
        v = tmpl_access_index(r, obj, index);
    }
    if (v.kind == TMPL_MISSING && key.kind == TMPL_TEXT) {
        v = tmpl_access_own(r, obj, key.u.text->s);
    }
    return v.kind != TMPL_MISSING ? v : tmpl_undef_key(r, obj, key);
}

/* ---- calling built-in functions ---- */

MLXK_FN const struct tmpl_entry *tmpl_entry_find(const struct tmpl_entry *table, size_t n,
                                                 struct str name) {
    for (size_t i = 0; i < n; i++) {
        if (str_eq_cstr(name, table[i].name_cstr)) {
            return &table[i];
        }
    }
    return NULL;
}

/* Index of `name` among the entry's parameters, or TMPL_MAX_PARAMS. */
static size_t tmpl_access_param(const struct tmpl_entry *entry, struct str name) {
    struct str rest = str_cstr(entry->params_cstr);
    for (size_t i = 0; rest.p && i < TMPL_MAX_PARAMS; i++) {
        if (str_eq(str_cut(&rest, ' '), name)) {
            return i;
        }
    }
    return TMPL_MAX_PARAMS;
}

static size_t tmpl_access_n_params(const struct tmpl_entry *entry) {
    size_t n = entry->params_cstr[0] != '\0';
    for (const char *p = entry->params_cstr; *p; p++) {
        n += *p == ' ';
    }
    return n;
}

static bool tmpl_access_bind_args(struct tmpl_run *r, const struct tmpl_entry *entry,
                                  const struct tmpl_args *args, struct tmpl_call *c) {
    size_t n_params = tmpl_access_n_params(entry);
    if (args->n > n_params) {
        tmpl_fail(r, "%s() takes at most %zu arguments (%zu given)", entry->name_cstr, n_params,
                  args->n);
        return false;
    }
    for (size_t i = 0; i < args->n; i++) {
        c->arg[i] = args->at[i];
    }
    for (size_t i = 0; i < args->n_named; i++) {
        size_t k = tmpl_access_param(entry, args->named[i].name);
        if (k == TMPL_MAX_PARAMS || c->arg[k].kind != TMPL_MISSING) {
            tmpl_fail(r, "%s() got an unexpected keyword argument '" STR_FMT "'", entry->name_cstr,
                      STR_ARG(args->named[i].name));
            return false;
        }
        c->arg[k] = args->named[i].value;
    }
    for (size_t i = 0; i < entry->n_required; i++) {
        if (c->arg[i].kind == TMPL_MISSING) {
            tmpl_fail(r, "%s() is missing a required argument", entry->name_cstr);
            return false;
        }
    }
    return true;
}

MLXK_FN struct tmpl_val tmpl_invoke(struct tmpl_run *r, const struct tmpl_entry *entry,
                                    struct tmpl_val self, const struct tmpl_args *args) {
    struct tmpl_call c = { .self = self, .raw = args };
    if (r->failed || (entry->params_cstr && !tmpl_access_bind_args(r, entry, args, &c))) {
        return tmpl_none();
    }
    return entry->fn(r, &c);
}

MLXK_FN int64_t tmpl_arg_int(struct tmpl_run *r, struct tmpl_val v, int64_t absent) {
    int64_t i = absent;
    if (v.kind == TMPL_UNDEFINED) {
        tmpl_fail_undef(r, v.u.undef);
    } else if (v.kind != TMPL_MISSING && v.kind != TMPL_NONE && !tmpl_as_int(v, &i)) {
        tmpl_fail(r, "'%s' object cannot be interpreted as an integer", tmpl_type(v));
    }
    return i;
}
