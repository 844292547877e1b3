/* tok_regex_int.h: the tree of a pattern, between tok_regex.c (which reads it from text) and
 * tok_regex_code.c (which makes the program).
 */
#ifndef MLXK_TOK_REGEX_INT_H
#define MLXK_TOK_REGEX_INT_H

#include "tokenizer/tok_int.h"

enum tok_node_kind { TOK_N_SET, TOK_N_CAT, TOK_N_ALT, TOK_N_REPEAT, TOK_N_INNER, TOK_N_ASSERT };

struct tok_node {
    enum tok_node_kind kind;
    uint8_t mode;
    uint32_t set, min, max;
    bool first_known;
    struct tok_first first;      /* what it can begin with, once first_known */
    struct tok_node *a;          /* CAT, ALT: first of the members; REPEAT, INNER: the body */
    struct tok_node *next;       /* as a member: the one behind */
};

struct tok_re_compiler {
    struct arena *arena;
    struct str pattern;
    size_t pos, depth;
    bool ignore_case, dot_all, failed;
    struct err *e;
    struct tok_set *sets;
    struct tok_insn *code;
    struct tok_first *firsts;
    size_t n_sets, cap_sets, n_code, cap_code, n_firsts, cap_firsts;
    uint32_t n_slots;
};

/* Records the first failure; false. */
MLXK_FN bool tok_re_fail(struct tok_re_compiler *c, enum err_code code, const char *what_cstr);
MLXK_FN void tok_re_oom(struct tok_re_compiler *c);
/* Room for one more element of a growing array that lives in the arena; NULL = failed. */
MLXK_FN void *tok_re_grow(struct tok_re_compiler *c, void *old, size_t n, size_t *cap, size_t size);
/* Appends the program of a tree to c->code. */
MLXK_FN void tok_re_emit_tree(struct tok_re_compiler *c, struct tok_node *tree);
/* What a tree can begin with. */
MLXK_FN struct tok_first tok_re_first(const struct tok_re_compiler *c, struct tok_node *n);

#endif
