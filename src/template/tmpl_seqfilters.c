/* tmpl_seqfilters.c: filters over rows: length, join, map, select, sort, unique and their kin.
 *
 * 1. Where Jinja returns a generator, the result is a TMPL_ITER row: true even when empty, without
 *    a length, readable once. Items are computed at once, so a failing item fails the filter
 *    itself.
 * 2. Sorting is a stable merge sort; without case_sensitive, texts are compared in lower case.
 * 3. "attribute" arguments are paths: "a.b.0", for sort also several of them with commas.
 * Spec: Jinja 3.1 "List of Builtin Filters".
 */
#include "template/tmpl_int.h"

static bool tmpl_seq_given(struct tmpl_val v) {
    return v.kind != TMPL_MISSING && v.kind != TMPL_NONE;
}

/* ---- attributes and keys ---- */

static struct tmpl_val tmpl_seq_step(struct tmpl_run *r, struct tmpl_val v, struct str part,
                                     struct tmpl_val absent) {
    int64_t index;
    struct tmpl_val key =
        num_parse_i64(part, 0, INT64_MAX, &index) ? tmpl_int(index) : tmpl_text_of(r, part, false);
    v = tmpl_item(r, v, key);
    return v.kind == TMPL_UNDEFINED && tmpl_seq_given(absent) ? absent : v;
}

/* item.a.b.0 for the attribute "a.b.0"; an integer attribute is an index; none is the item
 * itself. */
static struct tmpl_val tmpl_seq_get(struct tmpl_run *r, struct tmpl_val item, struct tmpl_val path,
                                    struct tmpl_val absent) {
    if (!tmpl_seq_given(path)) {
        return item;
    }
    if (path.kind != TMPL_TEXT) {
        item = tmpl_item(r, item, path);
        return item.kind == TMPL_UNDEFINED && tmpl_seq_given(absent) ? absent : item;
    }
    struct str rest = path.u.text->s;
    while (rest.p && !r->failed) {
        item = tmpl_seq_step(r, item, str_cut(&rest, '.'), absent);
    }
    return item;
}

static struct tmpl_val tmpl_seq_fold(struct tmpl_run *r, struct tmpl_val v, bool case_sensitive) {
    return v.kind == TMPL_TEXT && !case_sensitive ? tmpl_recase(r, v.u.text, TMPL_LOWER) : v;
}

static const struct tmpl_val tmpl_seq_missing = { .kind = TMPL_MISSING };

/* What sort compares: a row of the folded attributes of "a,b"; equal entries of rows need no
 * order, which lets undefined ones pass. For dictsort, whose path is a number, the folded entry
 * itself. */
static struct tmpl_val tmpl_seq_sort_key(struct tmpl_run *r, struct tmpl_val item,
                                         struct tmpl_val path, bool case_sensitive) {
    struct tmpl_val at[8];
    size_t n = 0;
    if (path.kind != TMPL_TEXT) {
        at[0] = tmpl_seq_fold(r, tmpl_seq_get(r, item, path, tmpl_seq_missing), case_sensitive);
        if (path.kind == TMPL_INT) {
            return at[0];
        }
        n = 1;
    }
    struct str rest = path.kind == TMPL_TEXT ? path.u.text->s : STR_EMPTY;
    while (rest.p && n < MLXK_COUNT(at) && !r->failed) {
        struct tmpl_val one = tmpl_text_of(r, str_cut(&rest, ','), false);
        at[n++] = tmpl_seq_fold(r, tmpl_seq_get(r, item, one, tmpl_seq_missing), case_sensitive);
    }
    struct tmpl_val *copy = tmpl_alloc(r, n, sizeof *copy);
    if (copy) {
        memcpy(copy, at, n * sizeof *copy);
    }
    return tmpl_seq_of(r, TMPL_LIST, copy, copy ? n : 0);
}

/* ---- sorting ---- */

struct tmpl_seq_keyed { struct tmpl_val key, item; };

/* Merge sort of at[0..n) by way of `other`; reverse keeps equal items in their order, as Python
 * does. */
static void tmpl_seq_merge_sort(struct tmpl_run *r, struct tmpl_seq_keyed *at,
                                struct tmpl_seq_keyed *other, size_t n, bool reverse) {
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; low < n && !r->failed; low += 2 * width) {
            size_t mid = low + width < n ? low + width : n,
                   high = low + 2 * width < n ? low + 2 * width : n;
            size_t i = low, k = mid;
            for (size_t to = low; to < high && tmpl_work(r, 1); to++) {
                bool right = i >= mid;
                if (!right && k < high) {
                    right = reverse ? tmpl_order(r, at[i].key, at[k].key, "<") < 0
                                    : tmpl_order(r, at[k].key, at[i].key, "<") < 0;
                }
                other[to] = right ? at[k++] : at[i++];
            }
        }
        if (r->failed) {
            return;
        }
        memcpy(at, other, n * sizeof *at);
    }
}

/* The items of v with their keys, sorted; NULL when failed. */
static struct tmpl_seq_keyed *tmpl_seq_sorted(struct tmpl_run *r, struct tmpl_val v,
                                              struct tmpl_val path, bool case_sensitive,
                                              bool reverse, size_t *n) {
    const struct tmpl_val *items;
    if (!tmpl_items(r, v, &items, n)) {
        return NULL;
    }
    struct tmpl_seq_keyed *at = tmpl_alloc(r, *n, sizeof *at),
                          *other = tmpl_alloc(r, *n, sizeof *other);
    for (size_t i = 0; at && other && i < *n && tmpl_work(r, 1); i++) {
        at[i] = (struct tmpl_seq_keyed){ tmpl_seq_sort_key(r, items[i], path, case_sensitive),
                                         items[i] };
    }
    if (other && !r->failed) {
        tmpl_seq_merge_sort(r, at, other, *n, reverse);
    }
    return r->failed ? NULL : at;
}

static struct tmpl_val tmpl_seq_unkeyed(struct tmpl_run *r, const struct tmpl_seq_keyed *from,
                                        size_t n) {
    struct tmpl_val *at = from ? tmpl_alloc(r, n, sizeof *at) : NULL;
    for (size_t i = 0; at && i < n; i++) {
        at[i] = from[i].item;
    }
    return tmpl_seq_of(r, TMPL_LIST, at, at ? n : 0);
}

static struct tmpl_val tmpl_seq_sort(struct tmpl_run *r, const struct tmpl_call *c) {
    size_t n = 0;
    const struct tmpl_seq_keyed *at =
        tmpl_seq_sorted(r, c->self, c->arg[2], tmpl_truth(c->arg[1]), tmpl_truth(c->arg[0]), &n);
    return tmpl_seq_unkeyed(r, at, n);
}

static struct tmpl_val tmpl_seq_dictsort(struct tmpl_run *r, const struct tmpl_call *c) {
    struct str by = c->arg[1].kind == TMPL_TEXT ? c->arg[1].u.text->s : STR("key");
    bool value = str_eq_cstr(by, "value");
    size_t n = 0;
    if (c->self.kind == TMPL_UNDEFINED) {
        tmpl_fail_undef(r, c->self.u.undef);
    } else if (c->self.kind != TMPL_DICT) {
        tmpl_fail(r, "'%s' object has no attribute 'items'", tmpl_type(c->self));
    } else if (!value && !str_eq_cstr(by, "key")) {
        tmpl_fail(r, "dictsort() can only sort by either \"key\" or \"value\"");
    }
    if (r->failed) {
        return tmpl_none();
    }
    struct tmpl_val rows = tmpl_dict_row(r, c->self.u.dict, TMPL_ITEMS);
    const struct tmpl_seq_keyed *at =
        tmpl_seq_sorted(r, rows, tmpl_int(value), tmpl_truth(c->arg[0]), tmpl_truth(c->arg[2]), &n);
    return tmpl_seq_unkeyed(r, at, n);
}

static struct tmpl_val tmpl_seq_groupby(struct tmpl_run *r, const struct tmpl_call *c) {
    size_t n = 0, n_groups = 0;
    bool case_sensitive = tmpl_truth(c->arg[2]);
    const struct tmpl_val *items;
    if (!tmpl_items(r, c->self, &items, &n)) {
        return tmpl_none();
    }
    struct tmpl_seq_keyed *at = tmpl_alloc(r, n, sizeof *at),
                          *other = tmpl_alloc(r, n, sizeof *other);
    struct tmpl_val *groups = tmpl_alloc(r, n, sizeof *groups),
                    *row = tmpl_alloc(r, n, sizeof *row);
    for (size_t i = 0; groups && row && i < n && tmpl_work(r, 1); i++) {
        struct tmpl_val key = tmpl_seq_get(r, items[i], c->arg[0], c->arg[1]);
        at[i] = (struct tmpl_seq_keyed){ tmpl_seq_fold(r, key, case_sensitive), items[i] };
    }
    if (!r->failed) {
        tmpl_seq_merge_sort(r, at, other, n, false);
    }
    for (size_t i = 0, begin = 0; !r->failed && i < n; i++) {
        row[i] = at[i].item;
        if (i + 1 == n || !tmpl_equal(r, at[i].key, at[i + 1].key)) {
            struct tmpl_val grouper = tmpl_seq_get(r, row[begin], c->arg[0], c->arg[1]);
            groups[n_groups] =
                tmpl_pair_of(r, grouper, tmpl_seq_of(r, TMPL_LIST, row + begin, i + 1 - begin));
            if (!r->failed) {
                groups[n_groups++].u.seq->flavor = TMPL_GROUP;
            }
            begin = i + 1;
        }
    }
    return tmpl_seq_of(r, TMPL_LIST, groups, n_groups);
}

static struct tmpl_val tmpl_seq_extreme(struct tmpl_run *r, const struct tmpl_call *c, bool max) {
    const struct tmpl_val *at;
    size_t n, best = 0;
    bool case_sensitive = tmpl_truth(c->arg[0]);
    if (!tmpl_items(r, c->self, &at, &n)) {
        return tmpl_none();
    }
    if (!n) {
        return tmpl_undef_of(r, TMPL_HINT, "No aggregated item, sequence was empty.", STR_EMPTY);
    }
    struct tmpl_val key =
        tmpl_seq_fold(r, tmpl_seq_get(r, at[0], c->arg[1], tmpl_seq_missing), case_sensitive);
    for (size_t i = 1; i < n && tmpl_work(r, 1); i++) {
        struct tmpl_val other =
            tmpl_seq_fold(r, tmpl_seq_get(r, at[i], c->arg[1], tmpl_seq_missing), case_sensitive);
        if ((max ? tmpl_order(r, key, other, ">") : tmpl_order(r, other, key, "<")) < 0) {
            best = i;
            key = other;
        }
    }
    return at[best];
}

static struct tmpl_val tmpl_seq_min(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_seq_extreme(r, c, false);
}

static struct tmpl_val tmpl_seq_max(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_seq_extreme(r, c, true);
}

static struct tmpl_val tmpl_seq_unique(struct tmpl_run *r, const struct tmpl_call *c) {
    const struct tmpl_val *at;
    size_t n, kept = 0;
    if (!tmpl_items(r, c->self, &at, &n)) {
        return tmpl_none();
    }
    struct tmpl_dict *seen = tmpl_dict_new(r, n);
    struct tmpl_val *out = tmpl_alloc(r, n, sizeof *out);
    for (size_t i = 0; seen && out && i < n && tmpl_work(r, 1); i++) {
        struct tmpl_val key = tmpl_seq_fold(r, tmpl_seq_get(r, at[i], c->arg[1], tmpl_seq_missing),
                                            tmpl_truth(c->arg[0]));
        tmpl_dict_put(r, seen, key, tmpl_none());
        if (seen->n > kept) {
            out[kept++] = at[i];
        }
    }
    return tmpl_seq_of(r, TMPL_ITER, out, kept);
}

/* ---- map, select, reject ---- */

static struct tmpl_val tmpl_seq_named_arg(const struct tmpl_args *args, const char *name_cstr) {
    for (size_t i = 0; i < args->n_named; i++) {
        if (str_eq_cstr(args->named[i].name, name_cstr)) {
            return args->named[i].value;
        }
    }
    return tmpl_seq_missing;
}

/* The filter or test that the argument names; fails when there is none. */
static const struct tmpl_entry *tmpl_seq_entry(struct tmpl_run *r, struct tmpl_val name,
                                               bool is_test) {
    struct str s = name.kind == TMPL_TEXT ? name.u.text->s : STR_EMPTY;
    const struct tmpl_entry *entry = is_test ? tmpl_test(s) : tmpl_filter(s);
    if (!entry) {
        tmpl_fail(r, "No %s named '" STR_FMT "'", is_test ? "test" : "filter", STR_ARG(s));
    }
    return entry;
}

static struct tmpl_args tmpl_seq_rest(const struct tmpl_args *args, size_t skip) {
    struct tmpl_args rest = *args;
    rest.at = rest.n > skip ? rest.at + skip : rest.at;
    rest.n = rest.n > skip ? rest.n - skip : 0;
    return rest;
}

static struct tmpl_val tmpl_seq_map(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_val path = tmpl_seq_named_arg(c->raw, "attribute"),
                    absent = tmpl_seq_named_arg(c->raw, "default");
    bool by_path = !c->raw->n && path.kind != TMPL_MISSING;
    const struct tmpl_val *at;
    size_t n;
    if (!by_path && !c->raw->n) {
        tmpl_fail(r, "map requires a filter argument");
    }
    if (!tmpl_truth(c->self)) {                          /* also none and numbers that are 0 */
        return tmpl_seq_of(r, TMPL_ITER, NULL, 0);
    }
    if (r->failed || !tmpl_items(r, c->self, &at, &n)) {
        return tmpl_none();
    }
    const struct tmpl_entry *entry = by_path || !n ? NULL : tmpl_seq_entry(r, c->raw->at[0], false);
    struct tmpl_args rest = tmpl_seq_rest(c->raw, 1);
    struct tmpl_val *out = tmpl_alloc(r, n, sizeof *out);
    for (size_t i = 0; out && i < n && tmpl_work(r, 1); i++) {
        out[i] =
            by_path ? tmpl_seq_get(r, at[i], path, absent) : tmpl_invoke(r, entry, at[i], &rest);
    }
    return tmpl_seq_of(r, TMPL_ITER, out, n);
}

/* select, reject and their attr forms: keeps items whose test (default: truth) comes out as
 * `want`. */
static struct tmpl_val tmpl_seq_choose(struct tmpl_run *r, const struct tmpl_call *c, bool want,
                                       bool by_attr) {
    const struct tmpl_val *at;
    size_t n, kept = 0, skip = by_attr;
    if (by_attr && !c->raw->n) {
        tmpl_fail(r, "missing parameter for attribute name");
    }
    if (!tmpl_truth(c->self)) {
        return tmpl_seq_of(r, TMPL_ITER, NULL, 0);
    }
    if (r->failed || !tmpl_items(r, c->self, &at, &n)) {
        return tmpl_none();
    }
    const struct tmpl_entry *entry =
        c->raw->n > skip && n ? tmpl_seq_entry(r, c->raw->at[skip], true) : NULL;
    struct tmpl_args rest = tmpl_seq_rest(c->raw, skip + 1);
    struct tmpl_val *out = tmpl_alloc(r, n, sizeof *out);
    for (size_t i = 0; out && i < n && tmpl_work(r, 1); i++) {
        struct tmpl_val v =
            by_attr ? tmpl_seq_get(r, at[i], c->raw->at[0], tmpl_seq_missing) : at[i];
        v = entry ? tmpl_invoke(r, entry, v, &rest) : v;
        if (tmpl_truth(v) == want) {
            out[kept++] = at[i];
        }
    }
    return tmpl_seq_of(r, TMPL_ITER, out, kept);
}

static struct tmpl_val tmpl_seq_select(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_seq_choose(r, c, true, false);
}

static struct tmpl_val tmpl_seq_reject(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_seq_choose(r, c, false, false);
}

static struct tmpl_val tmpl_seq_selectattr(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_seq_choose(r, c, true, true);
}

static struct tmpl_val tmpl_seq_rejectattr(struct tmpl_run *r, const struct tmpl_call *c) {
    return tmpl_seq_choose(r, c, false, true);
}

/* ---- rows as a whole ---- */

static struct tmpl_val tmpl_seq_length(struct tmpl_run *r, const struct tmpl_call *c) {
    size_t n = 0;
    if (!tmpl_length(c->self, &n)) {
        tmpl_fail(r, "object of type '%s' has no len()", tmpl_type(c->self));
    }
    return tmpl_int((int64_t)n);
}

static struct tmpl_val tmpl_seq_join(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_out o = { .p = NULL };
    const struct tmpl_text *between =
        c->arg[0].kind == TMPL_MISSING ? NULL : tmpl_str(r, c->arg[0]);
    const struct tmpl_val *at;
    size_t n;
    if (!tmpl_items(r, c->self, &at, &n)) {
        return tmpl_none();
    }
    for (size_t i = 0; i < n && tmpl_work(r, 1); i++) {
        if (i && between) {
            tmpl_out_text(r, &o, between);
        }
        tmpl_print(r, &o, tmpl_seq_get(r, at[i], c->arg[1], tmpl_seq_missing));
    }
    return tmpl_out_val(r, &o);
}

static struct tmpl_val tmpl_seq_first(struct tmpl_run *r, const struct tmpl_call *c) {
    const struct tmpl_val *at;
    size_t n;
    struct tmpl_seq *iter =
        c->self.kind == TMPL_SEQ && c->self.u.seq->flavor == TMPL_ITER ? c->self.u.seq : NULL;
    size_t before = iter ? iter->n_read : 0;
    if (!tmpl_items(r, c->self, &at, &n)) {
        return tmpl_none();
    }
    if (iter && n) {
        iter->n_read = before + 1;
    }
    return n ? at[0] : tmpl_undef_of(r, TMPL_HINT, "No first item, sequence was empty.", STR_EMPTY);
}

static struct tmpl_val tmpl_seq_last(struct tmpl_run *r, const struct tmpl_call *c) {
    const struct tmpl_val *at;
    size_t n;
    if (c->self.kind == TMPL_SEQ && c->self.u.seq->flavor == TMPL_ITER) {
        tmpl_fail(r, "'generator' object is not reversible");
    }
    if (r->failed || !tmpl_items(r, c->self, &at, &n)) {
        return tmpl_none();
    }
    return n ? at[n - 1]
             : tmpl_undef_of(r, TMPL_HINT, "No last item, sequence was empty.", STR_EMPTY);
}

static struct tmpl_val tmpl_seq_list(struct tmpl_run *r, const struct tmpl_call *c) {
    const struct tmpl_val *at;
    size_t n;
    return tmpl_items(r, c->self, &at, &n) ? tmpl_seq_of(r, TMPL_LIST, at, n) : tmpl_none();
}

static struct tmpl_val tmpl_seq_reverse(struct tmpl_run *r, const struct tmpl_call *c) {
    const struct tmpl_val *at;
    size_t n;
    if (c->self.kind == TMPL_TEXT) {
        struct tmpl_val minus = tmpl_int(-1), none = tmpl_none();
        struct tmpl_slice back = { none, none, minus };
        return tmpl_item(r, c->self, (struct tmpl_val){ .kind = TMPL_SLICE, .u.slice = &back });
    }
    if (!tmpl_items(r, c->self, &at, &n)) {
        return tmpl_none();
    }
    struct tmpl_val *out = tmpl_alloc(r, n, sizeof *out);
    for (size_t i = 0; out && i < n; i++) {
        out[i] = at[n - 1 - i];
    }
    return tmpl_seq_of(r, TMPL_ITER, out, n);
}

static struct tmpl_val tmpl_seq_items(struct tmpl_run *r, const struct tmpl_call *c) {
    if (c->self.kind == TMPL_UNDEFINED) {
        return tmpl_seq_of(r, TMPL_ITER, NULL, 0);
    }
    if (c->self.kind != TMPL_DICT) {
        tmpl_fail(r, "Can only get item pairs from a mapping.");
        return tmpl_none();
    }
    struct tmpl_val v = tmpl_dict_row(r, c->self.u.dict, TMPL_ITEMS);
    if (!r->failed) {
        v.u.seq->flavor = TMPL_ITER;
    }
    return v;
}

static struct tmpl_val tmpl_seq_sum(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_val total = c->arg[1].kind == TMPL_MISSING ? tmpl_int(0) : c->arg[1];
    const struct tmpl_val *at;
    size_t n;
    if (!tmpl_items(r, c->self, &at, &n)) {
        return tmpl_none();
    }
    for (size_t i = 0; i < n && tmpl_work(r, 1); i++) {
        total =
            tmpl_binary(r, TMPL_T_ADD, total, tmpl_seq_get(r, at[i], c->arg[0], tmpl_seq_missing));
    }
    return total;
}

/* Rows of `width` items; the last one filled up with arg[1]. */
static struct tmpl_val tmpl_seq_batch(struct tmpl_run *r, const struct tmpl_call *c) {
    const struct tmpl_val *at;
    size_t n, n_rows = 0;
    int64_t given = tmpl_arg_int(r, c->arg[0], 1);
    size_t width = given > 0 && given < TMPL_MAX_RANGE ? (size_t)given : TMPL_MAX_RANGE;
    if (!tmpl_items(r, c->self, &at, &n)) {
        return tmpl_none();
    }
    struct tmpl_val *rows = tmpl_alloc(r, n / width + 1, sizeof *rows);
    for (size_t i = 0; rows && i < n && tmpl_work(r, 1); i += width) {
        size_t here = n - i < width ? n - i : width;
        struct tmpl_val *row =
            here < width && tmpl_seq_given(c->arg[1]) ? tmpl_alloc(r, width, sizeof *row) : NULL;
        for (size_t k = 0; row && k < width; k++) {
            row[k] = k < here ? at[i + k] : c->arg[1];
        }
        rows[n_rows++] =
            row ? tmpl_seq_of(r, TMPL_LIST, row, width) : tmpl_seq_of(r, TMPL_LIST, at + i, here);
    }
    return tmpl_seq_of(r, TMPL_ITER, rows, n_rows);
}

/* `arg[0]` rows of nearly equal length; the shorter ones filled up with arg[1]. */
static struct tmpl_val tmpl_seq_slice(struct tmpl_run *r, const struct tmpl_call *c) {
    const struct tmpl_val *at;
    size_t n, from = 0;
    int64_t given = tmpl_arg_int(r, c->arg[0], 1);
    if (given < 1 || given > TMPL_MAX_RANGE) {
        tmpl_fail(r, "slice() needs a number of rows between 1 and %d", (int)TMPL_MAX_RANGE);
    }
    if (r->failed || !tmpl_items(r, c->self, &at, &n)) {
        return tmpl_none();
    }
    size_t n_rows = (size_t)given, longer = n % n_rows;
    struct tmpl_val *rows = tmpl_alloc(r, n_rows, sizeof *rows);
    for (size_t i = 0; rows && i < n_rows && tmpl_work(r, 1); i++) {
        size_t here = n / n_rows + (i < longer), fill = tmpl_seq_given(c->arg[1]) && i >= longer;
        struct tmpl_val *row = tmpl_alloc(r, here + fill, sizeof *row);
        for (size_t k = 0; row && k < here + fill; k++) {
            row[k] = k < here ? at[from + k] : c->arg[1];
        }
        from += here;
        rows[i] = tmpl_seq_of(r, TMPL_LIST, row, here + fill);
    }
    return tmpl_seq_of(r, TMPL_ITER, rows, n_rows);
}

/* The attribute only, never a key. */
static struct tmpl_val tmpl_seq_attr(struct tmpl_run *r, const struct tmpl_call *c) {
    struct str name = tmpl_str(r, c->arg[0])->s;
    if (c->self.kind == TMPL_DICT && !tmpl_method(c->self, name)) {
        return tmpl_undef_of(r, TMPL_NO_ATTRIBUTE, tmpl_type(c->self), name);
    }
    return tmpl_attr(r, c->self, name);
}

static const struct tmpl_entry tmpl_seq_table[] = {
    { "length", tmpl_seq_length, "", 0 }, { "count", tmpl_seq_length, "", 0 },
    { "join", tmpl_seq_join, "d attribute", 0 }, { "items", tmpl_seq_items, "", 0 },
    { "list", tmpl_seq_list, "", 0 }, { "first", tmpl_seq_first, "", 0 },
    { "last", tmpl_seq_last, "", 0 }, { "map", tmpl_seq_map, NULL, 0 },
    { "select", tmpl_seq_select, NULL, 0 }, { "reject", tmpl_seq_reject, NULL, 0 },
    { "selectattr", tmpl_seq_selectattr, NULL, 0 }, { "rejectattr", tmpl_seq_rejectattr, NULL, 0 },
    { "sort", tmpl_seq_sort, "reverse case_sensitive attribute", 0 },
    { "dictsort", tmpl_seq_dictsort, "case_sensitive by reverse", 0 },
    { "unique", tmpl_seq_unique, "case_sensitive attribute", 0 },
    { "reverse", tmpl_seq_reverse, "", 0 }, { "min", tmpl_seq_min, "case_sensitive attribute", 0 },
    { "max", tmpl_seq_max, "case_sensitive attribute", 0 },
    { "sum", tmpl_seq_sum, "attribute start", 0 },
    { "batch", tmpl_seq_batch, "linecount fill_with", 1 },
    { "slice", tmpl_seq_slice, "slices fill_with", 1 },
    { "groupby", tmpl_seq_groupby, "attribute default case_sensitive", 1 },
    { "attr", tmpl_seq_attr, "name", 1 },
};

MLXK_FN const struct tmpl_entry *tmpl_seq_filter(struct str name) {
    return tmpl_entry_find(tmpl_seq_table, MLXK_COUNT(tmpl_seq_table), name);
}
