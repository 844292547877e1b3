/* tmpl_exec.c: statements of the tree -> output: loops, conditions, assignments, macros and blocks.
 *
 * 1. A loop body, macro, block set, filter block, call block and with have a scope of their own:
 *    what is set inside does not leak. An if has none.
 * 2. Every iteration begins with an empty scope. It is the same memory unless a macro made inside
 *    captured it.
 * 3. Macros see the scopes around their definition, not those of their callers.
 * 4. Output goes to r->out; blocks that catch output exchange it and put it back on every path.
 */
#include "template/tmpl_int.h"

/* ---- scopes and variables ---- */

static struct tmpl_scope *tmpl_scope_new(struct tmpl_run *r, struct tmpl_scope *parent) {
    struct tmpl_scope *s = tmpl_alloc(r, 1, sizeof *s);
    if (s) {
        s->parent = parent;
    }
    return s;
}

static void tmpl_scope_put(struct tmpl_run *r, struct tmpl_scope *s, uint32_t sym,
                           struct tmpl_val v) {
    for (size_t i = 0; i < s->n; i++) {
        if (s->at[i].sym == sym) {
            s->at[i].value = v;
            return;
        }
    }
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 4;
        struct tmpl_slot *at = tmpl_alloc(r, cap, sizeof *at);
        if (!at) {
            return;
        }
        if (s->n) {
            memcpy(at, s->at, s->n * sizeof *at);
        }
        s->at = at;
        s->cap = cap;
    }
    s->at[s->n++] = (struct tmpl_slot){ sym, v };
}

static void tmpl_set_var(struct tmpl_run *r, uint32_t sym, struct tmpl_val v) {
    if (r->failed) {
        return;
    }
    if (r->scope) {
        tmpl_scope_put(r, r->scope, sym, v);
    } else {
        r->root[sym] = v;
    }
}

static void tmpl_exec_capture(struct tmpl_scope *s) {
    for (; s && !s->captured; s = s->parent) {
        s->captured = true;
    }
}

/* namespace.name = v */
static void tmpl_exec_set_attr(struct tmpl_run *r, const struct tmpl_node *target,
                               struct tmpl_val v) {
    struct tmpl_node name = { .kind = TMPL_N_NAME, .pos = target->pos, .sym = target->sym,
                              .name = r->t->names[target->sym] };
    struct tmpl_val ns = tmpl_eval(r, &name);
    if (r->failed) {
        return;
    }
    if (ns.kind != TMPL_NAMESPACE) {
        tmpl_fail(r, "cannot assign attribute on non-namespace object");
    } else if (str_starts(target->name, STR("_"))) {
        tmpl_fail(r, "namespace attributes must not begin with an underscore: '" STR_FMT "'",
                  STR_ARG(target->name));
    } else {
        tmpl_dict_put(r, ns.u.dict, tmpl_text_of(r, target->name, false), v);
    }
}

static void tmpl_assign(struct tmpl_run *r, const struct tmpl_node *target, struct tmpl_val v) {
    const struct tmpl_val *at;
    size_t n = 0, want = 0;
    if (target->kind == TMPL_N_NAME) {
        tmpl_set_var(r, target->sym, v);
        return;
    }
    if (target->kind == TMPL_N_NSREF) {
        tmpl_exec_set_attr(r, target, v);
        return;
    }
    if (!tmpl_iterable(v)) {
        tmpl_fail(r, "cannot unpack non-iterable %s object", tmpl_type(v));
    }
    for (const struct tmpl_node *part = target->list; part; part = part->next) {
        want++;
    }
    if (!tmpl_items(r, v, &at, &n)) {
        return;
    }
    if (n != want) {
        tmpl_fail(r, n < want ? "not enough values to unpack (expected %zu, got %zu)"
                              : "too many values to unpack (expected %zu, got %zu)", want, n);
        return;
    }
    for (const struct tmpl_node *part = target->list; part && !r->failed; part = part->next) {
        tmpl_assign(r, part, *at++);
    }
}

/* ---- caught output ---- */

/* Runs a body in a scope of its own and returns what it printed. */
static struct tmpl_val tmpl_exec_caught(struct tmpl_run *r, const struct tmpl_node *list,
                                        struct tmpl_scope *scope, enum tmpl_flow *flow) {
    struct tmpl_out caught = { .p = NULL }, *outer_out = r->out;
    struct tmpl_scope *outer_scope = r->scope;
    *flow = TMPL_GO_ON;
    if (scope) {
        r->out = &caught;
        r->scope = scope;
        *flow = tmpl_exec(r, list);
        r->out = outer_out;
        r->scope = outer_scope;
    }
    return tmpl_out_val(r, &caught);
}

static enum tmpl_flow tmpl_exec_in_scope(struct tmpl_run *r, const struct tmpl_node *list,
                                         struct tmpl_scope *scope) {
    struct tmpl_scope *outer = r->scope;
    enum tmpl_flow flow = TMPL_GO_ON;
    if (scope) {
        r->scope = scope;
        flow = tmpl_exec(r, list);
        r->scope = outer;
    }
    return flow;
}

/* {% set x %}...{% endset %} and {% filter f %}...{% endfilter %} */
static enum tmpl_flow tmpl_exec_block(struct tmpl_run *r, const struct tmpl_node *n) {
    enum tmpl_flow flow;
    struct tmpl_val v = tmpl_exec_caught(r, n->list, tmpl_scope_new(r, r->scope), &flow),
                    outer = r->block;
    if (r->failed || flow != TMPL_GO_ON) {
        return flow;
    }
    if (n->b) {
        r->block = v;
        v = tmpl_eval(r, n->b);
        r->block = outer;
    }
    if (!r->failed && n->kind == TMPL_N_SET_BLOCK) {
        tmpl_assign(r, n->a, v);
    } else if (!r->failed) {
        tmpl_print(r, r->out, v);
    }
    return TMPL_GO_ON;
}

/* ---- loops ---- */

struct tmpl_exec_items { const struct tmpl_val *at; size_t n; };

/* Makes the scope ready for another iteration. */
static bool tmpl_exec_fresh_scope(struct tmpl_run *r, struct tmpl_scope *parent) {
    if (r->scope == parent || r->scope->captured) {
        r->scope = tmpl_scope_new(r, parent);
        if (!r->scope) {
            r->scope = parent;
        }
    } else {
        r->scope->n = 0;
    }
    return !r->failed;
}

/* Items that pass the test of `for x in items if test`. */
static void tmpl_exec_filter_items(struct tmpl_run *r, const struct tmpl_node *n,
                                   struct tmpl_exec_items *items) {
    struct tmpl_scope *outer = r->scope;
    struct tmpl_val *kept = tmpl_alloc(r, items->n, sizeof *kept);
    size_t n_kept = 0;
    for (size_t i = 0; kept && i < items->n && tmpl_exec_fresh_scope(r, outer); i++) {
        tmpl_assign(r, n->a, items->at[i]);
        if (!r->failed && tmpl_truth(tmpl_eval(r, n->c))) {
            kept[n_kept++] = items->at[i];
        }
    }
    r->scope = outer;
    *items = (struct tmpl_exec_items){ kept, n_kept };
}

static enum tmpl_flow tmpl_exec_loop(struct tmpl_run *r, const struct tmpl_node *n,
                                     struct tmpl_val over, size_t depth0) {
    struct tmpl_exec_items items;
    struct tmpl_scope *outer = r->scope;
    if (r->failed || !tmpl_items(r, over, &items.at, &items.n)) {
        return TMPL_GO_ON;
    }
    if (n->c) {
        tmpl_exec_filter_items(r, n, &items);
    }
    if (!items.n) {
        return r->failed || !n->list2 ? TMPL_GO_ON
                                      : tmpl_exec_in_scope(r, n->list2, tmpl_scope_new(r, outer));
    }
    struct tmpl_loop *loop = tmpl_alloc(r, 1, sizeof *loop);
    if (!loop) {
        return TMPL_GO_ON;
    }
    *loop = (struct tmpl_loop){
        .node = n, .scope = outer, .at = items.at, .n = items.n, .depth0 = depth0,
    };
    struct tmpl_val self = { .kind = TMPL_LOOP, .u.loop = loop };
    for (size_t i = 0; i < items.n && tmpl_work(r, 1) && tmpl_exec_fresh_scope(r, outer); i++) {
        loop->index0 = i;
        tmpl_set_var(r, r->t->sym_loop, self);
        tmpl_assign(r, n->a, items.at[i]);
        if (r->failed || tmpl_exec(r, n->list) == TMPL_BREAK) {
            break;
        }
    }
    r->scope = outer;
    return TMPL_GO_ON;
}

MLXK_FN struct tmpl_val tmpl_recurse(struct tmpl_run *r, struct tmpl_loop *loop,
                                     struct tmpl_val items) {
    struct tmpl_out caught = { .p = NULL }, *outer_out = r->out;
    struct tmpl_scope *outer_scope = r->scope;
    if (!loop->node->recursive) {
        tmpl_fail(r, "the loop must have the 'recursive' marker to be called recursively");
    }
    if (r->calls >= TMPL_MAX_DEPTH) {
        tmpl_fail(r, "loops are nested deeper than %d levels", (int)TMPL_MAX_DEPTH);
    }
    if (r->failed) {
        return tmpl_none();
    }
    r->calls++;
    r->out = &caught;
    r->scope = loop->scope;
    tmpl_exec_loop(r, loop->node, items, loop->depth0 + 1);
    r->out = outer_out;
    r->scope = outer_scope;
    r->calls--;
    return tmpl_out_val(r, &caught);
}

static struct tmpl_val tmpl_loop_cycle(struct tmpl_run *r, const struct tmpl_call *c) {
    if (!c->raw->n) {
        tmpl_fail(r, "no items for cycling given");
        return tmpl_none();
    }
    return c->raw->at[c->self.u.loop->index0 % c->raw->n];
}

static struct tmpl_val tmpl_loop_changed(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_val now = tmpl_seq_of(r, TMPL_TUPLE, c->raw->at, c->raw->n);
    bool same = !r->failed && tmpl_equal(r, now, c->self.u.loop->last_changed);
    c->self.u.loop->last_changed = now;
    return tmpl_bool(!same);
}

static struct tmpl_val tmpl_loop_method(struct tmpl_run *r, struct tmpl_val loop, struct str name) {
    static const struct tmpl_entry table[] = {
        { "cycle", tmpl_loop_cycle, NULL, 0 }, { "changed", tmpl_loop_changed, NULL, 0 },
    };
    const struct tmpl_entry *entry = tmpl_entry_find(table, MLXK_COUNT(table), name);
    struct tmpl_bound *b = entry ? tmpl_alloc(r, 1, sizeof *b) : NULL;
    if (!b) {
        return (struct tmpl_val){ .kind = TMPL_MISSING };
    }
    *b = (struct tmpl_bound){ entry, loop };
    return (struct tmpl_val){ .kind = TMPL_BOUND, .u.bound = b };
}

MLXK_FN struct tmpl_val tmpl_loop_attr(struct tmpl_run *r, struct tmpl_val loop, struct str name) {
    const struct tmpl_loop *l = loop.u.loop;
    static const char *const numbers[] = { "index0", "index",  "revindex0", "revindex",
                                           "length", "depth0", "depth" };
    const size_t values[] = { l->index0, l->index0 + 1, l->n - l->index0 - 1, l->n - l->index0,
                              l->n,      l->depth0,     l->depth0 + 1 };
    for (size_t i = 0; i < MLXK_COUNT(numbers); i++) {
        if (str_eq_cstr(name, numbers[i])) {
            return tmpl_int((int64_t)values[i]);
        }
    }
    if (str_eq_cstr(name, "first")) {
        return tmpl_bool(l->index0 == 0);
    }
    if (str_eq_cstr(name, "last")) {
        return tmpl_bool(l->index0 + 1 >= l->n);
    }
    if (str_eq_cstr(name, "previtem")) {
        return l->index0 ? l->at[l->index0 - 1]
                         : tmpl_undef_of(r, TMPL_HINT, "there is no previous item", STR_EMPTY);
    }
    if (str_eq_cstr(name, "nextitem")) {
        return l->index0 + 1 < l->n
                   ? l->at[l->index0 + 1]
                   : tmpl_undef_of(r, TMPL_HINT, "there is no next item", STR_EMPTY);
    }
    return tmpl_loop_method(r, loop, name);
}

/* ---- macros ---- */

static struct tmpl_val tmpl_macro_new(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_macro *m = tmpl_alloc(r, 1, sizeof *m);
    if (!m) {
        return tmpl_none();
    }
    *m = (struct tmpl_macro){ n, r->scope };
    tmpl_exec_capture(r->scope);
    return (struct tmpl_val){ .kind = TMPL_MACRO, .u.macro = m };
}

/* Takes the value named `name` out of the arguments; MISSING when not there. used: one flag per
 * argument. */
static struct tmpl_val tmpl_macro_take(const struct tmpl_args *args, struct str name, bool *used) {
    for (size_t i = 0; i < args->n_named; i++) {
        if (!used[i] && str_eq(args->named[i].name, name)) {
            used[i] = true;
            return args->named[i].value;
        }
    }
    return (struct tmpl_val){ .kind = TMPL_MISSING };
}

/* The parameters, in order, into r->scope; a default may use the parameters before it. Returns
 * how many. */
static size_t tmpl_macro_bind_params(struct tmpl_run *r, const struct tmpl_node *n,
                                     const struct tmpl_args *args, bool *used) {
    size_t i = 0;
    for (const struct tmpl_node *p = n->list2; p && !r->failed; p = p->next, i++) {
        struct tmpl_val v = i < args->n ? args->at[i] : tmpl_macro_take(args, p->name, used);
        if (v.kind == TMPL_MISSING) {
            v = p->a ? tmpl_eval(r, p->a) : tmpl_undef_of(r, TMPL_NO_NAME, "", p->name);
        }
        tmpl_set_var(r, p->sym, v);
    }
    return i;
}

/* caller, varargs and kwargs, for macros that mention them; anything left over is an error. */
static void tmpl_macro_bind_rest(struct tmpl_run *r, const struct tmpl_node *n,
                                 const struct tmpl_args *args, bool *used, size_t n_params) {
    struct tmpl_dict *rest = n->takes_kwargs ? tmpl_dict_new(r, args->n_named) : NULL;
    if (n->takes_caller) {
        struct tmpl_val caller = tmpl_macro_take(args, STR("caller"), used);
        bool param = false;
        for (const struct tmpl_node *p = n->list2; p; p = p->next) {
            param = param || p->sym == r->t->sym_caller;
        }
        if (!param) {
            tmpl_set_var(r, r->t->sym_caller, caller.kind != TMPL_MISSING ? caller
                         : tmpl_undef_of(r, TMPL_HINT, "No caller defined", STR_EMPTY));
        }
    }
    for (size_t i = 0; i < args->n_named && !r->failed; i++) {
        if (!used[i] && rest) {
            tmpl_dict_put(r, rest, tmpl_text_of(r, args->named[i].name, false),
                          args->named[i].value);
        } else if (!used[i]) {
            tmpl_fail(r, "macro '" STR_FMT "' takes no keyword argument '" STR_FMT "'",
                      STR_ARG(n->name), STR_ARG(args->named[i].name));
        }
    }
    if (rest) {
        tmpl_set_var(r, r->t->sym_kwargs, tmpl_dict_val(rest));
    }
    size_t extra = args->n > n_params ? args->n - n_params : 0;
    if (n->takes_varargs) {
        tmpl_set_var(r, r->t->sym_varargs,
                     tmpl_seq_of(r, TMPL_TUPLE, extra ? args->at + n_params : NULL, extra));
    } else if (extra) {
        tmpl_fail(r, "macro '" STR_FMT "' takes not more than %zu argument(s)", STR_ARG(n->name),
                  n_params);
    }
}

MLXK_FN struct tmpl_val tmpl_call_macro(struct tmpl_run *r, const struct tmpl_macro *m,
                                        const struct tmpl_args *args) {
    struct tmpl_scope *outer = r->scope, *own = tmpl_scope_new(r, m->scope);
    bool *used = tmpl_alloc(r, args->n_named, sizeof *used);
    enum tmpl_flow flow;
    if (r->calls >= TMPL_MAX_DEPTH) {
        tmpl_fail(r, "macros call each other deeper than %d levels", (int)TMPL_MAX_DEPTH);
    }
    if (r->failed || !own || !used) {
        return tmpl_none();
    }
    r->calls++;
    r->scope = own;
    size_t n_params = tmpl_macro_bind_params(r, m->node, args, used);
    tmpl_macro_bind_rest(r, m->node, args, used, n_params);
    r->scope = outer;
    struct tmpl_val v = r->failed ? tmpl_none() : tmpl_exec_caught(r, m->node->list, own, &flow);
    r->calls--;
    return v;
}

/* {% call(x) f(...) %}...{% endcall %}: f gets the body as its caller. */
static void tmpl_exec_call_block(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_args args;
    struct tmpl_val fn = tmpl_eval(r, n->a->a);
    if (r->failed || !tmpl_eval_args(r, n->a->args, &args)) {
        return;
    }
    struct tmpl_named *named = tmpl_alloc(r, args.n_named + 1, sizeof *named);
    if (!named) {
        return;
    }
    for (size_t i = 0; i < args.n_named; i++) {
        named[i] = args.named[i];
    }
    named[args.n_named++] = (struct tmpl_named){ STR("caller"), tmpl_macro_new(r, n) };
    args.named = named;
    struct tmpl_val v = tmpl_call_val(r, fn, &args);
    if (!r->failed) {
        tmpl_print(r, r->out, v);
    }
}

/* ---- statements ---- */

static enum tmpl_flow tmpl_exec_if(struct tmpl_run *r, const struct tmpl_node *n) {
    for (const struct tmpl_node *branch = n->list; branch; branch = branch->next) {
        if (!branch->a || tmpl_truth(tmpl_eval(r, branch->a))) {
            return r->failed ? TMPL_GO_ON : tmpl_exec(r, branch->list);
        }
        if (r->failed) {
            break;
        }
    }
    return TMPL_GO_ON;
}

/* All values belong to the scope outside. */
static enum tmpl_flow tmpl_exec_with(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_scope *outer = r->scope, *own = tmpl_scope_new(r, outer);
    for (const struct tmpl_node *one = n->list2; one && own && !r->failed; one = one->next) {
        struct tmpl_val v = tmpl_eval(r, one->b);
        r->scope = own;
        if (!r->failed) {
            tmpl_assign(r, one->a, v);
        }
        r->scope = outer;
    }
    return r->failed ? TMPL_GO_ON : tmpl_exec_in_scope(r, n->list, own);
}

static enum tmpl_flow tmpl_exec_one(struct tmpl_run *r, const struct tmpl_node *n) {
    struct tmpl_val v;
    switch (n->kind) {
    case TMPL_N_DATA: tmpl_out_add(r, r->out, n->name, false); break;
    case TMPL_N_PRINT:
        v = tmpl_eval(r, n->a);
        if (!r->failed) {
            tmpl_print(r, r->out, v);
        }
        break;
    case TMPL_N_IF: return tmpl_exec_if(r, n);
    case TMPL_N_FOR: return tmpl_exec_loop(r, n, tmpl_eval(r, n->b), 0);
    case TMPL_N_SET:
        v = tmpl_eval(r, n->b);
        if (!r->failed) {
            tmpl_assign(r, n->a, v);
        }
        break;
    case TMPL_N_SET_BLOCK: case TMPL_N_FILTER_BLOCK: return tmpl_exec_block(r, n);
    case TMPL_N_MACRO: tmpl_set_var(r, n->sym, tmpl_macro_new(r, n)); break;
    case TMPL_N_CALL_BLOCK: tmpl_exec_call_block(r, n); break;
    case TMPL_N_WITH: return tmpl_exec_with(r, n);
    case TMPL_N_SCOPE: return tmpl_exec_in_scope(r, n->list, tmpl_scope_new(r, r->scope));
    case TMPL_N_BREAK: return TMPL_BREAK;
    case TMPL_N_CONTINUE: return TMPL_CONTINUE;
    default: break;
    }
    return TMPL_GO_ON;
}

MLXK_FN enum tmpl_flow tmpl_exec(struct tmpl_run *r, const struct tmpl_node *list) {
    const struct tmpl_node *outer = r->at;
    enum tmpl_flow flow = TMPL_GO_ON;
    if (tmpl_deeper(r)) {
        for (; list && flow == TMPL_GO_ON && tmpl_work(r, 1); list = list->next) {
            r->at = list;
            flow = tmpl_exec_one(r, list);
        }
    }
    r->depth--;
    r->at = outer;
    return flow;
}
