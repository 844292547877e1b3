/* tok_regex_code.c: makes the program of a pattern's tree.
 *
 * Counted groups are written out, so that the runner needs no counters; a repeat of one set is one
 * instruction (TOK_OP_SPAN). Every choice carries what its sides can begin with, so that most
 * choices are made by looking at one byte.
 *
 * 1. A filter is never narrower than the truth: wide (beyond ASCII) is all or nothing.
 * 2. Instructions are addressed by index; c->code moves when it grows.
 */
#include "tokenizer/tok_regex_int.h"

static void tok_re_first_join(struct tok_first *to, const struct tok_first *from) {
    to->ascii[0] |= from->ascii[0];
    to->ascii[1] |= from->ascii[1];
    to->wide |= from->wide;
}

MLXK_FN struct tok_first tok_re_first(const struct tok_re_compiler *c, struct tok_node *n) {
    struct tok_first f = { .nullable = true };
    if (n->first_known) return n->first;
    switch (n->kind) {
    case TOK_N_SET:
        memcpy(f.ascii, c->sets[n->set].ascii, sizeof f.ascii);
        f.wide = c->sets[n->set].wide;
        f.nullable = false;
        break;
    case TOK_N_CAT:
        for (struct tok_node *m = n->a; m && f.nullable; m = m->next) {
            struct tok_first g = tok_re_first(c, m);
            tok_re_first_join(&f, &g);
            f.nullable = g.nullable;
        }
        break;
    case TOK_N_ALT:
        f.nullable = false;
        for (struct tok_node *m = n->a; m; m = m->next) {
            struct tok_first g = tok_re_first(c, m);
            tok_re_first_join(&f, &g);
            f.nullable |= g.nullable;
        }
        break;
    case TOK_N_REPEAT:
        f = tok_re_first(c, n->a);
        f.nullable |= n->min == 0;
        break;
    case TOK_N_INNER: /* looking around takes nothing */
        if (n->mode == TOK_ATOMIC) f = tok_re_first(c, n->a);
        break;
    case TOK_N_ASSERT: break;
    }
    n->first = f;
    n->first_known = true;
    return f;
}

/* Number of a filter for positions where a choice is made; 0 lets everything pass. */
static uint16_t tok_re_filter(struct tok_re_compiler *c, const struct tok_first *f) {
    if (f->nullable || c->n_firsts >= UINT16_MAX) return 0;
    struct tok_first *p = tok_re_grow(c, c->firsts, c->n_firsts, &c->cap_firsts, sizeof *p);
    if (!p) return 0;
    c->firsts = p;
    p[c->n_firsts] = *f;
    return (uint16_t)c->n_firsts++;
}

/* ---- the program ----------------------------------------------------------------------------- */

/* Appends an instruction and returns its place. */
static uint32_t tok_re_emit(struct tok_re_compiler *c, enum tok_op op, uint8_t mode, uint32_t x,
                            uint32_t y) {
    if (c->n_code >= TOK_REGEX_MAX_PROGRAM)
        tok_re_fail(c, ERR_LIMIT, "the pattern becomes too long a program");
    struct tok_insn *p =
        c->failed ? NULL : tok_re_grow(c, c->code, c->n_code, &c->cap_code, sizeof *p);
    if (!p) return 0;
    c->code = p;
    p[c->n_code] = (struct tok_insn){ .op = (uint8_t)op, .mode = mode, .x = x, .y = y };
    return (uint32_t)c->n_code++;
}

static void tok_re_emit_node(struct tok_re_compiler *c, struct tok_node *n);

static uint32_t tok_re_here(const struct tok_re_compiler *c) { return (uint32_t)c->n_code; }

static void tok_re_emit_alternatives(struct tok_re_compiler *c, struct tok_node *n) {
    uint32_t to_end = 0; /* chain of jumps to the end, linked through x */
    struct tok_node *m = n->a;
    for (; m->next && !c->failed; m = m->next) {
        struct tok_first here = tok_re_first(c, m), rest = { .nullable = false };
        for (struct tok_node *k = m->next; k; k = k->next) {
            struct tok_first f = tok_re_first(c, k);
            tok_re_first_join(&rest, &f);
            rest.nullable |= f.nullable;
        }
        uint32_t split = tok_re_emit(c, TOK_OP_SPLIT, 0, tok_re_here(c) + 1, 0);
        uint16_t first_x = tok_re_filter(c, &here), first_y = tok_re_filter(c, &rest);
        tok_re_emit_node(c, m);
        to_end = tok_re_emit(c, TOK_OP_JUMP, 0, to_end, 0);
        if (c->failed) return;
        c->code[split].first_x = first_x;
        c->code[split].first_y = first_y;
        c->code[split].y = tok_re_here(c);
    }
    tok_re_emit_node(c, m);
    while (to_end && !c->failed) {
        uint32_t before = c->code[to_end].x;
        c->code[to_end].x = tok_re_here(c);
        to_end = before;
    }
}

/* The turns of a repeat beyond its minimum. Greedy tries the body first, lazy what follows. */
static void tok_re_emit_turns(struct tok_re_compiler *c, struct tok_node *n) {
    struct tok_first f = tok_re_first(c, n->a);
    bool lazy = n->mode == TOK_LAZY;
    uint16_t filter = tok_re_filter(c, &f);
    bool endless = n->max == TOK_REGEX_INFINITE;
    uint32_t turns = endless ? 1 : n->max - n->min, begin = tok_re_here(c), chain = 0;
    for (uint32_t i = 0; i < turns && !c->failed; i++) {
        uint32_t split = tok_re_emit(c, TOK_OP_SPLIT, 0, 0, chain), slot = c->n_slots;
        if (!c->failed && !lazy) c->code[split].first_x = filter;
        chain = split;
        if (endless && f.nullable) {
            if (++c->n_slots > TOK_REGEX_MAX_SLOTS)
                tok_re_fail(c, ERR_LIMIT, "too many loops around parts that can be empty");
            tok_re_emit(c, TOK_OP_MARK, 0, slot, 0);
        }
        tok_re_emit_node(c, n->a);
        if (endless && f.nullable) tok_re_emit(c, TOK_OP_PROGRESS, 0, slot, tok_re_here(c) + 2);
        if (endless) tok_re_emit(c, TOK_OP_JUMP, 0, begin, 0);
    }
    uint32_t end = tok_re_here(c);
    for (uint32_t i = 0; i < turns && !c->failed; i++) {
        struct tok_insn *split = &c->code[chain];
        chain = split->y;
        uint32_t body = (uint32_t)(split - c->code) + 1;
        split->x = lazy ? end : body;
        split->y = lazy ? body : end;
    }
}

static void tok_re_emit_repeat(struct tok_re_compiler *c, struct tok_node *n) {
    if (n->a->kind == TOK_N_SET) {
        uint32_t span = tok_re_emit(c, TOK_OP_SPAN, n->mode, n->a->set, 0);
        if (!c->failed) {
            c->code[span].min = n->min;
            c->code[span].max = n->max;
        }
        return;
    }
    uint32_t inner = 0;
    bool possessive = n->mode == TOK_POSSESSIVE;
    if (possessive) inner = tok_re_emit(c, TOK_OP_INNER, TOK_ATOMIC, 0, 0);
    for (uint32_t i = 0, before = UINT32_MAX; i < n->min && before != tok_re_here(c) && !c->failed;
         i++) {
        before = tok_re_here(c);
        tok_re_emit_node(c, n->a); /* a body of nothing is written once, however often it counts */
    }
    tok_re_emit_turns(c, n);
    if (possessive) {
        tok_re_emit(c, TOK_OP_MATCH, 0, 0, 0);
        if (!c->failed) c->code[inner].x = tok_re_here(c);
    }
}

/* Number of characters a part always takes; false when it varies. */
static bool tok_re_width(const struct tok_node *n, uint32_t *width) {
    uint32_t w = 0, v = 0;
    switch (n->kind) {
    case TOK_N_SET: w = 1; break;
    case TOK_N_ASSERT: break;
    case TOK_N_CAT:
        for (const struct tok_node *m = n->a; m; m = m->next, w += v)
            if (!tok_re_width(m, &v)) return false;
        break;
    case TOK_N_ALT:
        if (!tok_re_width(n->a, &w)) return false;
        for (const struct tok_node *m = n->a->next; m; m = m->next)
            if (!tok_re_width(m, &v) || v != w) return false;
        break;
    case TOK_N_REPEAT:
        if (n->min != n->max || n->max > 1000 || !tok_re_width(n->a, &v) || v > 1000) return false;
        w = n->min * v;
        break;
    case TOK_N_INNER:
        if (n->mode == TOK_ATOMIC) return tok_re_width(n->a, width);
        break;
    }
    *width = w;
    return w <= 1000000;
}

static void tok_re_emit_inner(struct tok_re_compiler *c, uint8_t mode, struct tok_node *body) {
    uint32_t width = 0;
    if ((mode == TOK_BEHIND || mode == TOK_NOT_BEHIND) && !tok_re_width(body, &width))
        tok_re_fail(c, ERR_UNSUPPORTED, "a look-behind of varying length");
    uint32_t inner = tok_re_emit(c, TOK_OP_INNER, mode, 0, 0);
    tok_re_emit_node(c, body);
    tok_re_emit(c, TOK_OP_MATCH, 0, 0, 0);
    if (c->failed) return;
    c->code[inner].x = tok_re_here(c);
    c->code[inner].min = width;
}

/* The members of a look-behind may each have their own width: (?<!a|bc) is (?<!a)(?<!bc). */
static void tok_re_emit_behind(struct tok_re_compiler *c, struct tok_node *n) {
    if (n->a->kind != TOK_N_ALT) {
        tok_re_emit_inner(c, n->mode, n->a);
        return;
    }
    uint32_t to_end = 0;
    for (struct tok_node *m = n->a->a; m && !c->failed; m = m->next) {
        uint32_t split = 0;
        if (n->mode == TOK_BEHIND && m->next)
            split = tok_re_emit(c, TOK_OP_SPLIT, 0, tok_re_here(c) + 1, 0);
        tok_re_emit_inner(c, n->mode, m);
        if (n->mode != TOK_BEHIND || !m->next || c->failed) continue;
        to_end = tok_re_emit(c, TOK_OP_JUMP, 0, to_end, 0);
        if (!c->failed) c->code[split].y = tok_re_here(c);
    }
    while (to_end && !c->failed) {
        uint32_t before = c->code[to_end].x;
        c->code[to_end].x = tok_re_here(c);
        to_end = before;
    }
}

static void tok_re_emit_node(struct tok_re_compiler *c, struct tok_node *n) {
    switch (n->kind) {
    case TOK_N_SET: tok_re_emit(c, TOK_OP_SET, 0, n->set, 0); break;
    case TOK_N_ASSERT: tok_re_emit(c, TOK_OP_ASSERT, n->mode, 0, 0); break;
    case TOK_N_ALT: tok_re_emit_alternatives(c, n); break;
    case TOK_N_REPEAT: tok_re_emit_repeat(c, n); break;
    case TOK_N_CAT:
        for (struct tok_node *m = n->a; m && !c->failed; m = m->next) tok_re_emit_node(c, m);
        break;
    case TOK_N_INNER:
        if (n->mode == TOK_BEHIND || n->mode == TOK_NOT_BEHIND)
            tok_re_emit_behind(c, n);
        else
            tok_re_emit_inner(c, n->mode, n->a);
        break;
    }
}

MLXK_FN void tok_re_emit_tree(struct tok_re_compiler *c, struct tok_node *tree) {
    tok_re_emit_node(c, tree);
    tok_re_emit(c, TOK_OP_MATCH, 0, 0, 0);
}
