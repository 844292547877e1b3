/* tmpl_expr.c: expressions -> tree, by recursive descent in Jinja's own order of precedence.
 *
 * From loosest to tightest: inline if, or, and, not, comparisons and in, + -, ~, * / // %, **,
 * sign, postfix (.name [index] (call)), filters and tests. A sign binds tighter than ** but looser
 * than a postfix, and filters apply to the signed value: -1|abs is 1.
 *
 * 1. Every function returns NULL exactly when the parser has failed.
 * 2. Recursion is bounded by tmpl_enter; chains of one operator are loops that build left-deep
 *    trees.
 */
#include "template/tmpl_int.h"

static struct tmpl_node *tmpl_expr_unary(struct tmpl_parser *p, bool with_filters);

static struct tmpl_node *tmpl_expr_two(struct tmpl_parser *p, enum tmpl_node_kind kind, size_t pos,
                                       struct tmpl_node *a, struct tmpl_node *b) {
    struct tmpl_node *n = a && b ? tmpl_node_new(p, kind, pos) : NULL;
    if (n) {
        n->a = a;
        n->b = b;
    }
    return n;
}

/* ---- primaries ---- */

static struct tmpl_node *tmpl_expr_const(struct tmpl_parser *p, struct tmpl_val v) {
    struct tmpl_node *n = tmpl_node_new(p, TMPL_N_CONST, p->now.pos);
    if (n) {
        n->value = v;
    }
    tmpl_advance(p);
    return p->failed ? NULL : n;
}

/* One string, or several side by side that are joined. */
static struct tmpl_node *tmpl_expr_string(struct tmpl_parser *p) {
    struct tmpl_text *text = ARENA_NEW(p->lex.a, struct tmpl_text);
    if (!text) {
        p->failed = true;
        err_oom(p->lex.e, sizeof *text, "a chat template");
        return NULL;
    }
    text->s = p->now.text;
    struct tmpl_node *n =
        tmpl_expr_const(p, (struct tmpl_val){ .kind = TMPL_TEXT, .u.text = text });
    while (n && p->now.kind == TMPL_T_STRING) {
        size_t want = text->s.n + p->now.text.n;
        text->s = str_concat(p->lex.a, text->s, p->now.text);
        if (want && !text->s.p) {
            p->failed = true;
            err_oom(p->lex.e, want, "a chat template");
        }
        tmpl_advance(p);
    }
    return p->failed ? NULL : n;
}

static void tmpl_expr_note_special(struct tmpl_parser *p, struct str name) {
    bool caller = str_eq_cstr(name, "caller"), varargs = str_eq_cstr(name, "varargs");
    bool kwargs = str_eq_cstr(name, "kwargs");
    if (!caller && !varargs && !kwargs) {
        return;
    }
    for (struct tmpl_node *m = p->macro; m; m = m->next) {
        m->takes_caller = m->takes_caller || caller;
        m->takes_varargs = m->takes_varargs || varargs;
        m->takes_kwargs = m->takes_kwargs || kwargs;
    }
}

static struct tmpl_node *tmpl_expr_name(struct tmpl_parser *p) {
    struct str name = p->now.text;
    if (str_eq_cstr(name, "true") || str_eq_cstr(name, "True")) {
        return tmpl_expr_const(p, tmpl_bool(true));
    }
    if (str_eq_cstr(name, "false") || str_eq_cstr(name, "False")) {
        return tmpl_expr_const(p, tmpl_bool(false));
    }
    if (str_eq_cstr(name, "none") || str_eq_cstr(name, "None")) {
        return tmpl_expr_const(p, tmpl_none());
    }
    struct tmpl_node *n = tmpl_node_new(p, TMPL_N_NAME, p->now.pos);
    if (n) {
        n->name = name;
        n->sym = tmpl_symbol(p, name);
        tmpl_expr_note_special(p, name);
    }
    tmpl_advance(p);
    return p->failed ? NULL : n;
}

/* [a, b,] and {k: v,}: a trailing comma is allowed. */
static struct tmpl_node *tmpl_expr_display(struct tmpl_parser *p, enum tmpl_tok close) {
    struct tmpl_node *n =
        tmpl_node_new(p, close == TMPL_T_RBRACE ? TMPL_N_DICT : TMPL_N_LIST, p->now.pos);
    tmpl_advance(p);
    struct tmpl_node **end = n ? &n->list : NULL;
    while (end && !p->failed && p->now.kind != close) {
        if (n->list && (!tmpl_expect(p, TMPL_T_COMMA) || p->now.kind == close)) {
            break;
        }
        struct tmpl_node *item = tmpl_expr(p, true);
        if (item && close == TMPL_T_RBRACE) {
            *end = item;
            end = &item->next;
            tmpl_expect(p, TMPL_T_COLON);
            item = p->failed ? NULL : tmpl_expr(p, true);
        }
        if (item) {
            *end = item;
            end = &item->next;
        }
    }
    return tmpl_expect(p, close) ? n : NULL;
}

static struct tmpl_node *tmpl_expr_primary(struct tmpl_parser *p) {
    struct tmpl_node *n;
    switch (p->now.kind) {
    case TMPL_T_NAME: return tmpl_expr_name(p);
    case TMPL_T_STRING: return tmpl_expr_string(p);
    case TMPL_T_INT: return tmpl_expr_const(p, tmpl_int(p->now.integer));
    case TMPL_T_FLOAT: return tmpl_expr_const(p, tmpl_float(p->now.number));
    case TMPL_T_LBRACKET: return tmpl_expr_display(p, TMPL_T_RBRACKET);
    case TMPL_T_LBRACE: return tmpl_expr_display(p, TMPL_T_RBRACE);
    case TMPL_T_LPAREN:
        tmpl_advance(p);
        n = tmpl_expr_tuple(p, TMPL_TUPLE_PAREN, NULL);
        return n && tmpl_expect(p, TMPL_T_RPAREN) ? n : NULL;
    case TMPL_T_EOF:
        tmpl_syntax(p, p->now.pos, "unexpected end of the template in an expression");
        return NULL;
    default:
        tmpl_syntax(p, p->now.pos, "unexpected '" STR_FMT "', an expression was expected",
                    STR_ARG(p->now.text));
        return NULL;
    }
}

static bool tmpl_expr_assignable(const struct tmpl_node *n) {
    bool ok = n->kind == TMPL_N_NAME || n->kind == TMPL_N_TUPLE;
    for (const struct tmpl_node *part = n->kind == TMPL_N_TUPLE ? n->list : NULL; ok && part;
         part = part->next) {
        ok = tmpl_expr_assignable(part);
    }
    return ok;
}

/* A name or tuple of names, or with `ns` a namespace attribute `name.attr`, that is assigned to. */
static struct tmpl_node *tmpl_expr_target(struct tmpl_parser *p, bool ns) {
    size_t pos = p->now.pos;
    struct tmpl_node *n = tmpl_expr_primary(p);
    if (n && !tmpl_expr_assignable(n)) {
        tmpl_syntax(p, pos, "can't assign to this expression");
        return NULL;
    }
    if (n && ns && n->kind == TMPL_N_NAME && p->now.kind == TMPL_T_DOT) {
        tmpl_advance(p);
        n->kind = TMPL_N_NSREF;
        n->name = p->now.text;
        return tmpl_expect(p, TMPL_T_NAME) ? n : NULL;
    }
    return n;
}

static bool tmpl_expr_tuple_ends(const struct tmpl_parser *p, const char *end_name_cstr) {
    return p->now.kind == TMPL_T_VAR_END || p->now.kind == TMPL_T_BLOCK_END
           || p->now.kind == TMPL_T_RPAREN || (end_name_cstr && tmpl_at_name(p, end_name_cstr));
}

MLXK_FN struct tmpl_node *tmpl_expr_tuple(struct tmpl_parser *p, enum tmpl_tuple_mode mode,
                                          const char *end_name_cstr) {
    bool target = mode == TMPL_TUPLE_TARGET || mode == TMPL_TUPLE_TARGET_NS, tuple = false;
    struct tmpl_node *first = NULL, **end = &first;
    size_t pos = p->now.pos;
    while (!p->failed && !tmpl_expr_tuple_ends(p, end_name_cstr)) {
        *end = target ? tmpl_expr_target(p, mode == TMPL_TUPLE_TARGET_NS)
                      : tmpl_expr(p, mode != TMPL_TUPLE_NO_COND);
        if (!*end) {
            return NULL;
        }
        end = &(*end)->next;
        if (!tmpl_skip(p, TMPL_T_COMMA)) {
            break;
        }
        tuple = true;
    }
    if (p->failed) {
        return NULL;
    }
    if (!tuple && first) {
        return first;
    }
    if (!tuple && mode != TMPL_TUPLE_PAREN) {
        tmpl_syntax(p, p->now.pos, "an expression was expected");
        return NULL;
    }
    struct tmpl_node *n = tmpl_node_new(p, TMPL_N_TUPLE, pos);
    if (n) {
        n->list = first;
    }
    return n;
}

/* ---- postfixes ---- */

static struct tmpl_node *tmpl_expr_slice_part(struct tmpl_parser *p) {
    enum tmpl_tok k = p->now.kind;
    return k == TMPL_T_COLON || k == TMPL_T_RBRACKET || k == TMPL_T_COMMA ? NULL
                                                                          : tmpl_expr(p, true);
}

/* One index, or from:to:step with any part left out. */
static struct tmpl_node *tmpl_expr_index(struct tmpl_parser *p) {
    size_t pos = p->now.pos;
    struct tmpl_node *from = p->now.kind == TMPL_T_COLON ? NULL : tmpl_expr(p, true);
    if (p->failed || p->now.kind != TMPL_T_COLON) {
        return from;
    }
    struct tmpl_node *n = tmpl_node_new(p, TMPL_N_SLICE, pos);
    tmpl_advance(p);
    if (n) {
        n->a = from;
        n->b = tmpl_expr_slice_part(p);
        n->c = tmpl_skip(p, TMPL_T_COLON) ? tmpl_expr_slice_part(p) : NULL;
    }
    return p->failed ? NULL : n;
}

static struct tmpl_node *tmpl_expr_subscript(struct tmpl_parser *p, struct tmpl_node *subject) {
    size_t pos = p->now.pos;
    tmpl_advance(p);
    struct tmpl_node *first = NULL, **end = &first;
    while (!p->failed && p->now.kind != TMPL_T_RBRACKET) {
        if (first && !tmpl_expect(p, TMPL_T_COMMA)) {
            break;
        }
        *end = tmpl_expr_index(p);
        if (*end) {
            end = &(*end)->next;
        }
    }
    if (!tmpl_expect(p, TMPL_T_RBRACKET)) {
        return NULL;
    }
    if (!first || first->next) {                       /* x[] and x[1, 2] index with a tuple */
        struct tmpl_node *tuple = tmpl_node_new(p, TMPL_N_TUPLE, pos);
        if (tuple) {
            tuple->list = first;
        }
        first = tuple;
    }
    return tmpl_expr_two(p, TMPL_N_ITEM, pos, subject, first);
}

static struct tmpl_node *tmpl_expr_attr(struct tmpl_parser *p, struct tmpl_node *subject) {
    size_t pos = p->now.pos;
    tmpl_advance(p);
    if (p->now.kind == TMPL_T_INT) {
        return tmpl_expr_two(p, TMPL_N_ITEM, pos, subject,
                             tmpl_expr_const(p, tmpl_int(p->now.integer)));
    }
    struct tmpl_node *n = tmpl_node_new(p, TMPL_N_ATTR, pos);
    if (n) {
        n->a = subject;
        n->name = p->now.text;
    }
    if (p->now.kind != TMPL_T_NAME) {
        tmpl_syntax(p, p->now.pos, "a name or a number was expected behind '.'");
    }
    tmpl_advance(p);
    return p->failed ? NULL : n;
}

/* One argument: value, name=value, *values or **values. ends: where the positional and named
 * lists grow. */
static bool tmpl_expr_arg(struct tmpl_parser *p, struct tmpl_node_args *args,
                          struct tmpl_node **ends[2]) {
    size_t pos = p->now.pos;
    bool star = p->now.kind == TMPL_T_MUL, star2 = p->now.kind == TMPL_T_POW;
    bool named = p->now.kind == TMPL_T_NAME && tmpl_look(p)->kind == TMPL_T_ASSIGN;
    bool positional = !star && !star2 && !named;
    if (args->star2 || (args->star && !star2 && !named) || (positional && args->named)) {
        return tmpl_syntax(p, pos, "invalid order of arguments in a call");
    }
    struct str name = p->now.text;
    if (!positional) {
        tmpl_advance(p);
    }
    if (named) {
        tmpl_advance(p);
    }
    struct tmpl_node *n = p->failed ? NULL : tmpl_expr(p, true);
    if (!n) {
        return false;
    }
    if (star) {
        args->star = n;
    } else if (star2) {
        args->star2 = n;
    } else {
        struct tmpl_node *wrap = named ? tmpl_expr_two(p, TMPL_N_NAME, pos, n, n) : n;
        if (wrap && named) {
            wrap->name = name;
        }
        *ends[named] = wrap;
        ends[named] = wrap ? &wrap->next : ends[named];
    }
    return !p->failed;
}

/* At "(": the arguments up to and with ")". */
static struct tmpl_node_args *tmpl_expr_args(struct tmpl_parser *p) {
    struct tmpl_node_args *args = ARENA_NEW(p->lex.a, struct tmpl_node_args);
    if (!args) {
        p->failed = true;
        err_oom(p->lex.e, sizeof *args, "a chat template");
        return NULL;
    }
    struct tmpl_node **ends[2] = { &args->pos, &args->named };
    tmpl_advance(p);
    for (bool first = true; !p->failed && p->now.kind != TMPL_T_RPAREN; first = false) {
        if (!first && (!tmpl_expect(p, TMPL_T_COMMA) || p->now.kind == TMPL_T_RPAREN)) {
            break;
        }
        if (!tmpl_expr_arg(p, args, ends)) {
            return NULL;
        }
    }
    return tmpl_expect(p, TMPL_T_RPAREN) ? args : NULL;
}

static struct tmpl_node *tmpl_expr_call(struct tmpl_parser *p, struct tmpl_node *subject) {
    struct tmpl_node *n = tmpl_node_new(p, TMPL_N_CALL, p->now.pos);
    const struct tmpl_node_args *args = n ? tmpl_expr_args(p) : NULL;
    if (!args) {
        return NULL;
    }
    n->a = subject;
    n->args = args;
    return n;
}

static struct tmpl_node *tmpl_expr_postfix(struct tmpl_parser *p, struct tmpl_node *n) {
    while (n && !p->failed) {
        if (p->now.kind == TMPL_T_DOT) {
            n = tmpl_expr_attr(p, n);
        } else if (p->now.kind == TMPL_T_LBRACKET) {
            n = tmpl_expr_subscript(p, n);
        } else if (p->now.kind == TMPL_T_LPAREN) {
            n = tmpl_expr_call(p, n);
        } else {
            return n;
        }
    }
    return NULL;
}

/* ---- filters and tests ---- */

/* a.b.c as one name, as filters and tests may have. */
static struct str tmpl_expr_dotted(struct tmpl_parser *p) {
    struct str name = p->now.text;
    if (!tmpl_expect(p, TMPL_T_NAME)) {
        return STR_EMPTY;
    }
    while (!p->failed && tmpl_skip(p, TMPL_T_DOT)) {
        name = (struct str){ name.p, (size_t)(p->now.text.p - name.p) + p->now.text.n };
        tmpl_expect(p, TMPL_T_NAME);
    }
    return name;
}

MLXK_FN struct tmpl_node *tmpl_expr_filters(struct tmpl_parser *p, struct tmpl_node *subject,
                                            bool inline_start) {
    while (!p->failed && (inline_start || p->now.kind == TMPL_T_PIPE)) {
        if (!inline_start) {
            tmpl_advance(p);
        }
        struct tmpl_node *n = tmpl_node_new(p, TMPL_N_FILTER, p->now.pos);
        if (!n) {
            return NULL;
        }
        n->a = subject;
        n->name = tmpl_expr_dotted(p);
        n->entry = tmpl_filter(n->name);
        n->args = p->now.kind == TMPL_T_LPAREN ? tmpl_expr_args(p) : NULL;
        subject = n;
        inline_start = false;
    }
    return p->failed ? NULL : subject;
}

static bool tmpl_expr_test_takes_arg(const struct tmpl_parser *p) {
    switch (p->now.kind) {
    case TMPL_T_STRING:
    case TMPL_T_INT:
    case TMPL_T_FLOAT:
    case TMPL_T_LBRACKET:
    case TMPL_T_LBRACE: return true;
    case TMPL_T_NAME:
        return !tmpl_at_name(p, "else") && !tmpl_at_name(p, "or") && !tmpl_at_name(p, "and");
    default: return false;
    }
}

static struct tmpl_node *tmpl_expr_test(struct tmpl_parser *p, struct tmpl_node *subject) {
    struct tmpl_node *n = tmpl_node_new(p, TMPL_N_TEST, p->now.pos);
    tmpl_advance(p);
    bool negated = tmpl_skip_name(p, "not");
    if (!n || p->failed) {
        return NULL;
    }
    n->a = subject;
    n->name = tmpl_expr_dotted(p);
    n->entry = tmpl_test(n->name);
    if (p->now.kind == TMPL_T_LPAREN) {
        n->args = tmpl_expr_args(p);
    } else if (!p->failed && tmpl_expr_test_takes_arg(p)) {
        struct tmpl_node_args *args = ARENA_NEW(p->lex.a, struct tmpl_node_args);
        if (!args || tmpl_at_name(p, "is")) {
            tmpl_syntax(p, p->now.pos, "tests can't be chained with 'is'");
            return NULL;
        }
        args->pos = tmpl_expr_postfix(p, tmpl_expr_primary(p));
        n->args = args;
    }
    if (p->failed || !negated) {
        return p->failed ? NULL : n;
    }
    return tmpl_expr_two(p, TMPL_N_NOT, n->pos, n, n);
}

static struct tmpl_node *tmpl_expr_filter_expr(struct tmpl_parser *p, struct tmpl_node *n) {
    while (n && !p->failed) {
        if (p->now.kind == TMPL_T_PIPE) {
            n = tmpl_expr_filters(p, n, false);
        } else if (tmpl_at_name(p, "is")) {
            n = tmpl_expr_test(p, n);
        } else if (p->now.kind == TMPL_T_LPAREN) {
            n = tmpl_expr_call(p, n);
        } else {
            return n;
        }
    }
    return NULL;
}

/* ---- operators ---- */

static struct tmpl_node *tmpl_expr_unary(struct tmpl_parser *p, bool with_filters) {
    size_t pos = p->now.pos;
    bool neg = p->now.kind == TMPL_T_SUB;
    struct tmpl_node *n;
    if (!tmpl_enter(p)) {
        return NULL;
    }
    if (neg || p->now.kind == TMPL_T_ADD) {
        tmpl_advance(p);
        struct tmpl_node *inner = tmpl_expr_unary(p, false);
        n = tmpl_expr_two(p, neg ? TMPL_N_NEG : TMPL_N_POS, pos, inner, inner);
    } else {
        n = tmpl_expr_primary(p);
    }
    n = tmpl_expr_postfix(p, n);
    n = with_filters ? tmpl_expr_filter_expr(p, n) : n;
    tmpl_leave(p);
    return n;
}

static struct tmpl_node *tmpl_expr_pow(struct tmpl_parser *p) {
    struct tmpl_node *left = tmpl_expr_unary(p, true);
    while (left && p->now.kind == TMPL_T_POW) {
        size_t pos = p->now.pos;
        tmpl_advance(p);
        left = tmpl_expr_two(p, TMPL_N_BINARY, pos, left, tmpl_expr_unary(p, true));
        if (left) {
            left->op = TMPL_T_POW;
        }
    }
    return left;
}

static struct tmpl_node *tmpl_expr_product(struct tmpl_parser *p) {
    struct tmpl_node *left = tmpl_expr_pow(p);
    while (left && p->now.kind >= TMPL_T_MUL && p->now.kind <= TMPL_T_MOD) {
        enum tmpl_tok op = p->now.kind;
        size_t pos = p->now.pos;
        tmpl_advance(p);
        left = tmpl_expr_two(p, TMPL_N_BINARY, pos, left, tmpl_expr_pow(p));
        if (left) {
            left->op = op;
        }
    }
    return left;
}

static struct tmpl_node *tmpl_expr_concat(struct tmpl_parser *p) {
    size_t pos = p->now.pos;
    struct tmpl_node *first = tmpl_expr_product(p), *last = first;
    if (!first || p->now.kind != TMPL_T_TILDE) {
        return first;
    }
    while (last && tmpl_skip(p, TMPL_T_TILDE)) {
        last->next = tmpl_expr_product(p);
        last = last->next;
    }
    struct tmpl_node *n = p->failed ? NULL : tmpl_node_new(p, TMPL_N_CONCAT, pos);
    if (n) {
        n->list = first;
    }
    return n;
}

static struct tmpl_node *tmpl_expr_sum(struct tmpl_parser *p) {
    struct tmpl_node *left = tmpl_expr_concat(p);
    while (left && (p->now.kind == TMPL_T_ADD || p->now.kind == TMPL_T_SUB)) {
        enum tmpl_tok op = p->now.kind;
        size_t pos = p->now.pos;
        tmpl_advance(p);
        left = tmpl_expr_two(p, TMPL_N_BINARY, pos, left, tmpl_expr_concat(p));
        if (left) {
            left->op = op;
        }
    }
    return left;
}

/* The comparison operator at the current token, passed over; EOF when there is none. */
static enum tmpl_tok tmpl_expr_compare_op(struct tmpl_parser *p) {
    enum tmpl_tok op = TMPL_T_EOF;
    if (p->now.kind >= TMPL_T_EQ && p->now.kind <= TMPL_T_GE) {
        op = p->now.kind;
    } else if (tmpl_at_name(p, "in")) {
        op = TMPL_T_IN;
    } else if (tmpl_at_name(p, "not") && tmpl_look(p)->kind == TMPL_T_NAME
               && str_eq_cstr(tmpl_look(p)->text, "in")) {
        op = TMPL_T_NOT_IN;
        tmpl_advance(p);
    }
    if (op != TMPL_T_EOF) {
        tmpl_advance(p);
    }
    return op;
}

static struct tmpl_node *tmpl_expr_comparison(struct tmpl_parser *p) {
    size_t pos = p->now.pos;
    struct tmpl_node *first = tmpl_expr_sum(p), *operands = NULL, **end = &operands;
    for (;;) {
        size_t op_pos = p->now.pos;
        enum tmpl_tok op = p->failed ? TMPL_T_EOF : tmpl_expr_compare_op(p);
        if (op == TMPL_T_EOF) {
            break;
        }
        struct tmpl_node *right = tmpl_expr_sum(p),
                         *n = tmpl_expr_two(p, TMPL_N_COMPARE, op_pos, right, right);
        if (n) {
            n->op = op;
            *end = n;
            end = &n->next;
        }
    }
    if (p->failed || !operands) {
        return p->failed ? NULL : first;
    }
    struct tmpl_node *n = tmpl_node_new(p, TMPL_N_COMPARE, pos);
    if (n) {
        n->a = first;
        n->list = operands;
    }
    return n;
}

static struct tmpl_node *tmpl_expr_not(struct tmpl_parser *p) {
    size_t pos = p->now.pos;
    if (!tmpl_skip_name(p, "not")) {
        return tmpl_expr_comparison(p);
    }
    if (!tmpl_enter(p)) {
        return NULL;
    }
    struct tmpl_node *inner = tmpl_expr_not(p);
    tmpl_leave(p);
    return tmpl_expr_two(p, TMPL_N_NOT, pos, inner, inner);
}

static struct tmpl_node *tmpl_expr_and(struct tmpl_parser *p) {
    size_t pos = p->now.pos;
    struct tmpl_node *left = tmpl_expr_not(p);
    while (left && tmpl_skip_name(p, "and")) {
        left = tmpl_expr_two(p, TMPL_N_AND, pos, left, tmpl_expr_not(p));
    }
    return p->failed ? NULL : left;
}

static struct tmpl_node *tmpl_expr_or(struct tmpl_parser *p) {
    size_t pos = p->now.pos;
    struct tmpl_node *left = tmpl_expr_and(p);
    while (left && tmpl_skip_name(p, "or")) {
        left = tmpl_expr_two(p, TMPL_N_OR, pos, left, tmpl_expr_and(p));
    }
    return p->failed ? NULL : left;
}

MLXK_FN struct tmpl_node *tmpl_expr(struct tmpl_parser *p, bool with_cond) {
    size_t pos = p->now.pos;
    if (!tmpl_enter(p)) {
        return NULL;
    }
    struct tmpl_node *value = tmpl_expr_or(p);
    while (value && with_cond && tmpl_skip_name(p, "if")) {
        struct tmpl_node *test = tmpl_expr_or(p);
        value = tmpl_expr_two(p, TMPL_N_COND, pos, test, value);
        if (value && tmpl_skip_name(p, "else")) {
            value->c = tmpl_expr(p, true);
        }
    }
    tmpl_leave(p);
    return p->failed ? NULL : value;
}
