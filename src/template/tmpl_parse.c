/* tmpl_parse.c: statements -> tree, and the parser's own tools (tokens, symbols, nodes, errors).
 *
 * Known statements: for, if, set, macro, call, filter, with, print, break, continue, raw (by the
 * lexer) and generation (marks assistant text for training; here only a scope). Inheritance and
 * imports (extends, block, include, import, from) make no sense for a single file and are refused.
 *
 * 1. The tree, its strings and its symbol names live in the caller's arena or in the source;
 *    nothing changes after tmpl_parse, so any number of renders may share it.
 * 2. After the first error every function returns quickly: p->failed is set with e filled.
 * 3. A body is a list of nodes; nesting is bounded by TMPL_MAX_DEPTH.
 */
#include "template/tmpl_int.h"

/* ---- tools ---- */

MLXK_FN bool tmpl_syntax(struct tmpl_parser *p, size_t pos, const char *format_cstr, ...) {
    if (p->failed) {
        return false;
    }
    struct buf b;
    va_list args;
    p->failed = true;
    buf_init(&b, LIMIT_ERR_MSG);
    va_start(args, format_cstr);
    buf_addfv(&b, format_cstr, args);
    va_end(args);
    tmpl_err_at(p->lex.e, p->lex.src, pos, b.p && !b.failed ? b.p : "the template is malformed");
    buf_release(&b);
    return false;
}

static bool tmpl_parse_oom(struct tmpl_parser *p) {
    if (!p->failed) {
        p->failed = true;
        err_oom(p->lex.e, sizeof(struct tmpl_node), "a chat template");
    }
    return false;
}

static void tmpl_parse_pull(struct tmpl_parser *p, struct tmpl_token *t) {
    if (p->failed || !tmpl_lex_next(&p->lex, t)) {
        p->failed = true;
        *t = (struct tmpl_token){ .kind = TMPL_T_EOF, .pos = (uint32_t)p->lex.pos };
    }
}

MLXK_FN void tmpl_advance(struct tmpl_parser *p) {
    if (p->has_ahead) {
        p->now = p->ahead;
        p->has_ahead = false;
    } else {
        tmpl_parse_pull(p, &p->now);
    }
}

MLXK_FN const struct tmpl_token *tmpl_look(struct tmpl_parser *p) {
    if (!p->has_ahead) {
        tmpl_parse_pull(p, &p->ahead);
        p->has_ahead = true;
    }
    return &p->ahead;
}

MLXK_FN bool tmpl_at_name(const struct tmpl_parser *p, const char *name_cstr) {
    return p->now.kind == TMPL_T_NAME && str_eq_cstr(p->now.text, name_cstr);
}

MLXK_FN bool tmpl_skip_name(struct tmpl_parser *p, const char *name_cstr) {
    bool is = !p->failed && tmpl_at_name(p, name_cstr);
    if (is) {
        tmpl_advance(p);
    }
    return is;
}

MLXK_FN bool tmpl_skip(struct tmpl_parser *p, enum tmpl_tok kind) {
    bool is = !p->failed && p->now.kind == kind;
    if (is) {
        tmpl_advance(p);
    }
    return is;
}

static const char *tmpl_parse_tok_name(enum tmpl_tok kind) {
    switch (kind) {
    case TMPL_T_VAR_END: return "end of print statement '}}'";
    case TMPL_T_BLOCK_END: return "end of statement block '%}'";
    case TMPL_T_NAME: return "a name";
    case TMPL_T_COMMA: return "','";
    case TMPL_T_COLON: return "':'";
    case TMPL_T_ASSIGN: return "'='";
    case TMPL_T_LPAREN: return "'('";
    case TMPL_T_RPAREN: return "')'";
    case TMPL_T_RBRACKET: return "']'";
    case TMPL_T_RBRACE: return "'}'";
    default: return "another token";
    }
}

MLXK_FN bool tmpl_expect(struct tmpl_parser *p, enum tmpl_tok kind) {
    if (p->failed || p->now.kind == kind) {
        tmpl_advance(p);
        return !p->failed;
    }
    if (p->now.kind == TMPL_T_EOF) {
        return tmpl_syntax(p, p->now.pos, "unexpected end of the template, expected %s",
                           tmpl_parse_tok_name(kind));
    }
    return tmpl_syntax(p, p->now.pos, "expected %s, got '" STR_FMT "'", tmpl_parse_tok_name(kind),
                       STR_ARG(p->now.text));
}

MLXK_FN bool tmpl_enter(struct tmpl_parser *p) {
    if (p->depth >= TMPL_MAX_DEPTH) {
        return tmpl_syntax(p, p->now.pos, "the template is nested deeper than %d levels",
                           (int)TMPL_MAX_DEPTH);
    }
    p->depth++;
    return true;
}

MLXK_FN void tmpl_leave(struct tmpl_parser *p) {
    p->depth--;
}

MLXK_FN struct tmpl_node *tmpl_node_new(struct tmpl_parser *p, enum tmpl_node_kind kind,
                                        size_t pos) {
    struct tmpl_node *n = p->failed ? NULL : ARENA_NEW(p->lex.a, struct tmpl_node);
    if (!n) {
        tmpl_parse_oom(p);
        return NULL;
    }
    n->kind = kind;
    n->pos = (uint32_t)pos;
    return n;
}

MLXK_FN uint32_t tmpl_symbol(struct tmpl_parser *p, struct str name) {
    bool is_new = false;
    uint64_t *at = map_put(&p->symbols, name, &is_new);
    if (!at) {
        tmpl_parse_oom(p);
        return 0;
    }
    if (is_new) {
        size_t n = p->symbols.n - 1;
        if (n == p->cap_names) {
            size_t cap = p->cap_names ? p->cap_names * 2 : 64;
            struct str *names = ARENA_ARRAY(p->lex.a, struct str, cap);
            if (!names) {
                tmpl_parse_oom(p);
                return 0;
            }
            if (n) {
                memcpy(names, p->names, n * sizeof *names);
            }
            p->names = names;
            p->cap_names = cap;
        }
        p->names[n] = name;
        *at = n;
    }
    return (uint32_t)*at;
}

/* ---- statements ---- */

static struct tmpl_node *tmpl_parse_body(struct tmpl_parser *p, const char *tag_cstr,
                                         const char *const *ends);

/* At the end of an opening tag: the body up to one of `ends` (NULL-terminated); the parser then
 * stands on that word. An empty body is an empty list: check p->failed, not the result. */
static struct tmpl_node *tmpl_parse_block(struct tmpl_parser *p, const char *tag_cstr,
                                          const char *const *ends) {
    tmpl_skip(p, TMPL_T_COLON);
    if (!tmpl_expect(p, TMPL_T_BLOCK_END) || !tmpl_enter(p)) {
        return NULL;
    }
    struct tmpl_node *list = tmpl_parse_body(p, tag_cstr, ends);
    tmpl_leave(p);
    return p->failed ? NULL : list;
}

/* As tmpl_parse_block with a single end word, which is passed over. */
static struct tmpl_node *tmpl_parse_until(struct tmpl_parser *p, const char *tag_cstr,
                                          const char *end_cstr) {
    const char *ends[] = { end_cstr, NULL };
    struct tmpl_node *list = tmpl_parse_block(p, tag_cstr, ends);
    tmpl_advance(p);
    return list;
}

static void tmpl_parse_for(struct tmpl_parser *p, struct tmpl_node *n) {
    static const char *const ends[] = { "endfor", "else", NULL };
    n->a = tmpl_expr_tuple(p, TMPL_TUPLE_TARGET, "in");
    if (!p->failed && !tmpl_skip_name(p, "in")) {
        tmpl_syntax(p, p->now.pos, "expected 'in' in a for statement");
    }
    n->b = p->failed ? NULL : tmpl_expr_tuple(p, TMPL_TUPLE_NO_COND, "recursive");
    if (tmpl_skip_name(p, "if")) {
        n->c = tmpl_expr(p, true);
    }
    n->recursive = tmpl_skip_name(p, "recursive");
    p->loops++;
    n->list = tmpl_parse_block(p, "for", ends);
    p->loops--;
    if (tmpl_skip_name(p, "else")) {
        n->list2 = tmpl_parse_until(p, "for", "endfor");
    } else {
        tmpl_advance(p);
    }
}

static void tmpl_parse_if(struct tmpl_parser *p, struct tmpl_node *n) {
    static const char *const ends[] = { "elif", "else", "endif", NULL };
    struct tmpl_node **end = &n->list;
    do {
        struct tmpl_node *branch = tmpl_node_new(p, TMPL_N_IF, p->now.pos);
        if (!branch) {
            return;
        }
        branch->a = tmpl_expr_tuple(p, TMPL_TUPLE_NO_COND, NULL);
        branch->list = p->failed ? NULL : tmpl_parse_block(p, "if", ends);
        *end = branch;
        end = &branch->next;
    } while (tmpl_skip_name(p, "elif"));
    if (tmpl_skip_name(p, "else")) {
        struct tmpl_node *branch = tmpl_node_new(p, TMPL_N_IF, p->now.pos);
        if (branch) {
            branch->list = tmpl_parse_until(p, "if", "endif");
            *end = branch;
        }
    } else {
        tmpl_advance(p);
    }
}

static void tmpl_parse_set(struct tmpl_parser *p, struct tmpl_node *n) {
    n->a = tmpl_expr_tuple(p, TMPL_TUPLE_TARGET_NS, NULL);
    if (tmpl_skip(p, TMPL_T_ASSIGN)) {
        n->b = tmpl_expr_tuple(p, TMPL_TUPLE_PLAIN, NULL);
        return;
    }
    n->kind = TMPL_N_SET_BLOCK;
    n->b = tmpl_expr_filters(p, NULL, false);
    n->list = p->failed ? NULL : tmpl_parse_until(p, "set", "endset");
}

/* "(a, b=1)": names in n->list2, the default in each one's `a`. */
static void tmpl_parse_params(struct tmpl_parser *p, struct tmpl_node *n) {
    struct tmpl_node **end = &n->list2;
    bool defaults = false;
    tmpl_expect(p, TMPL_T_LPAREN);
    while (!p->failed && p->now.kind != TMPL_T_RPAREN) {
        if (n->list2 && !tmpl_expect(p, TMPL_T_COMMA)) {
            return;
        }
        struct tmpl_node *param = tmpl_node_new(p, TMPL_N_NAME, p->now.pos);
        if (!param) {
            return;
        }
        param->name = p->now.text;
        param->sym = tmpl_symbol(p, p->now.text);
        tmpl_expect(p, TMPL_T_NAME);
        if (tmpl_skip(p, TMPL_T_ASSIGN)) {
            param->a = tmpl_expr(p, true);
            defaults = true;
        } else if (defaults) {
            tmpl_syntax(p, param->pos, "non-default argument follows default argument");
        }
        *end = param;
        end = &param->next;
    }
    tmpl_expect(p, TMPL_T_RPAREN);
}

/* The body of a macro or call block: its own world for break, and it collects caller, varargs
 * and kwargs. */
static void tmpl_parse_macro_body(struct tmpl_parser *p, struct tmpl_node *n, const char *tag_cstr,
                                  const char *end_cstr) {
    size_t loops = p->loops;
    p->loops = 0;
    n->next = p->macro;
    p->macro = n;
    n->list = p->failed ? NULL : tmpl_parse_until(p, tag_cstr, end_cstr);
    p->macro = n->next;
    n->next = NULL;
    p->loops = loops;
}

static void tmpl_parse_macro(struct tmpl_parser *p, struct tmpl_node *n) {
    n->name = p->now.text;
    n->sym = tmpl_symbol(p, p->now.text);
    if (tmpl_expect(p, TMPL_T_NAME)) {
        tmpl_parse_params(p, n);
        tmpl_parse_macro_body(p, n, "macro", "endmacro");
    }
}

static void tmpl_parse_call(struct tmpl_parser *p, struct tmpl_node *n) {
    n->name = STR("caller");
    if (p->now.kind == TMPL_T_LPAREN) {
        tmpl_parse_params(p, n);
    }
    n->a = p->failed ? NULL : tmpl_expr(p, true);
    if (n->a && n->a->kind != TMPL_N_CALL) {
        tmpl_syntax(p, n->a->pos, "expected a call behind 'call'");
    }
    tmpl_parse_macro_body(p, n, "call", "endcall");
}

static void tmpl_parse_with(struct tmpl_parser *p, struct tmpl_node *n) {
    struct tmpl_node **end = &n->list2;
    while (!p->failed && p->now.kind != TMPL_T_BLOCK_END) {
        if (n->list2 && !tmpl_expect(p, TMPL_T_COMMA)) {
            return;
        }
        struct tmpl_node *one = tmpl_node_new(p, TMPL_N_SET, p->now.pos);
        struct tmpl_node *target = one ? tmpl_expr_tuple(p, TMPL_TUPLE_TARGET, NULL) : NULL;
        if (!target || !tmpl_expect(p, TMPL_T_ASSIGN)) {
            return;
        }
        one->a = target;
        one->b = tmpl_expr(p, true);
        *end = one;
        end = &one->next;
    }
    n->list = tmpl_parse_until(p, "with", "endwith");
}

static void tmpl_parse_print(struct tmpl_parser *p, struct tmpl_node *n) {
    struct tmpl_node **end = &n->list;
    while (!p->failed && p->now.kind != TMPL_T_BLOCK_END) {
        if (n->list && !tmpl_expect(p, TMPL_T_COMMA)) {
            return;
        }
        struct tmpl_node *one = tmpl_node_new(p, TMPL_N_PRINT, p->now.pos);
        if (one) {
            one->a = tmpl_expr(p, true);
            *end = one;
            end = &one->next;
        }
    }
}

static void tmpl_parse_filter(struct tmpl_parser *p, struct tmpl_node *n) {
    n->b = tmpl_expr_filters(p, NULL, true);
    n->list = p->failed ? NULL : tmpl_parse_until(p, "filter", "endfilter");
}

static void tmpl_parse_generation(struct tmpl_parser *p, struct tmpl_node *n) {
    n->name = STR("generation");
    tmpl_parse_macro_body(p, n, "generation", "endgeneration");
}

static void tmpl_parse_jump(struct tmpl_parser *p, struct tmpl_node *n) {
    if (!p->loops) {
        tmpl_syntax(p, n->pos, "break and continue belong inside a loop");
    }
}

struct tmpl_parse_word {
    const char *word_cstr;
    enum tmpl_node_kind kind;
    void (*parse)(struct tmpl_parser *p, struct tmpl_node *n);
};
static const struct tmpl_parse_word tmpl_parse_words[] = {
    { "if", TMPL_N_IF, tmpl_parse_if }, { "for", TMPL_N_FOR, tmpl_parse_for },
    { "set", TMPL_N_SET, tmpl_parse_set }, { "macro", TMPL_N_MACRO, tmpl_parse_macro },
    { "call", TMPL_N_CALL_BLOCK, tmpl_parse_call },
    { "filter", TMPL_N_FILTER_BLOCK, tmpl_parse_filter }, { "with", TMPL_N_WITH, tmpl_parse_with },
    { "print", TMPL_N_SCOPE, tmpl_parse_print },
    { "generation", TMPL_N_SCOPE, tmpl_parse_generation },
    { "break", TMPL_N_BREAK, tmpl_parse_jump }, { "continue", TMPL_N_CONTINUE, tmpl_parse_jump },
};

/* Behind "{%": one statement with its closing tag. */
static struct tmpl_node *tmpl_parse_statement(struct tmpl_parser *p, const char *tag_cstr) {
    for (size_t i = 0; i < MLXK_COUNT(tmpl_parse_words); i++) {
        if (!tmpl_at_name(p, tmpl_parse_words[i].word_cstr)) {
            continue;
        }
        struct tmpl_node *n = tmpl_node_new(p, tmpl_parse_words[i].kind, p->now.pos);
        tmpl_advance(p);
        if (n && !p->failed) {
            tmpl_parse_words[i].parse(p, n);
        }
        return tmpl_expect(p, TMPL_T_BLOCK_END) ? n : NULL;
    }
    if (p->now.kind != TMPL_T_NAME) {
        tmpl_syntax(p, p->now.pos, "a tag name was expected");
    } else {
        tmpl_syntax(p, p->now.pos, "unknown or misplaced tag '" STR_FMT "'%s%s",
                    STR_ARG(p->now.text), tag_cstr ? ", the innermost open block is " : "",
                    tag_cstr ? tag_cstr : "");
    }
    return NULL;
}

static struct tmpl_node *tmpl_parse_data(struct tmpl_parser *p) {
    struct tmpl_node *n = tmpl_node_new(p, TMPL_N_DATA, p->now.pos);
    if (n) {
        n->name = p->now.text;
    }
    tmpl_advance(p);
    return n;
}

static struct tmpl_node *tmpl_parse_output(struct tmpl_parser *p) {
    struct tmpl_node *n = tmpl_node_new(p, TMPL_N_PRINT, p->now.pos);
    tmpl_advance(p);
    if (n) {
        n->a = tmpl_expr_tuple(p, TMPL_TUPLE_PLAIN, NULL);
        tmpl_expect(p, TMPL_T_VAR_END);
    }
    return n;
}

static struct tmpl_node *tmpl_parse_body(struct tmpl_parser *p, const char *tag_cstr,
                                         const char *const *ends) {
    struct tmpl_node *list = NULL, **end = &list;
    size_t open_pos = p->now.pos;
    while (!p->failed && p->now.kind != TMPL_T_EOF) {
        struct tmpl_node *n;
        if (p->now.kind == TMPL_T_DATA) {
            n = tmpl_parse_data(p);
        } else if (p->now.kind == TMPL_T_VAR_BEGIN) {
            n = tmpl_parse_output(p);
        } else {
            tmpl_advance(p);
            for (size_t i = 0; ends && ends[i]; i++) {
                if (tmpl_at_name(p, ends[i])) {
                    return list;
                }
            }
            n = tmpl_parse_statement(p, tag_cstr);
        }
        if (n) {
            *end = n;
            end = &n->next;
        }
    }
    if (ends && !p->failed) {
        tmpl_syntax(
            p, open_pos,
            "unexpected end of the template, the innermost block that needs to be closed is '%s'",
            tag_cstr);
    }
    return list;
}

MLXK_FN struct tmpl *tmpl_parse(struct arena *a, struct str source, struct err *e) {
    if (source.n > TMPL_MAX_SOURCE) {
        err_set(e, ERR_LIMIT, "the chat template has %zu bytes, more than %zu", source.n,
                TMPL_MAX_SOURCE);
        return NULL;
    }
    struct tmpl *t = ARENA_NEW(a, struct tmpl);
    struct tmpl_parser p = { .lex = { .a = a, .e = e, .mode = TMPL_T_DATA, .line_start = true } };
    struct str src = tmpl_lex_source(a, source, e);
    if (!t || (src.n == 0 && source.n > 1 && !src.p)) {
        err_oom(e, sizeof *t + source.n, "a chat template");
        return NULL;
    }
    p.lex.src = src;
    map_init(&p.symbols, source.n + 8);
    t->source = src;
    t->sym_loop = tmpl_symbol(&p, STR("loop"));
    t->sym_caller = tmpl_symbol(&p, STR("caller"));
    t->sym_varargs = tmpl_symbol(&p, STR("varargs"));
    t->sym_kwargs = tmpl_symbol(&p, STR("kwargs"));
    tmpl_advance(&p);
    t->body = tmpl_parse_body(&p, NULL, NULL);
    t->names = p.names;
    t->n_names = p.symbols.n;
    map_release(&p.symbols);
    return p.failed ? NULL : t;
}
