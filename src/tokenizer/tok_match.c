/* tok_match.c: runs the programs of tok_regex.c over text.
 *
 * A backtracking machine: choices not yet tried lie on a stack of the caller, so there is no
 * recursion except into look-around and atomic groups, whose nesting the compiler bounds.
 *
 * 1. Text is valid UTF-8 and positions are at character boundaries.
 * 2. Every instruction and every step back costs; a search that has used up its budget fails with
 *    an error instead of running on (patterns come from files).
 * 3. Loops over one set (TOK_OP_SPAN) put one choice on the stack, however long they are.
 */
#include "tokenizer/tok_int.h"

enum tok_choice_kind { TOK_CHOICE_JUMP, TOK_CHOICE_SHORTER, TOK_CHOICE_LONGER, TOK_CHOICE_RESTORE };

/* JUMP: go on at pc. SHORTER: the span at pc gives back a character, down to `low`.
 * LONGER: the lazy span at pc takes one more, `low` more are allowed. RESTORE: slot pc was
 * `pos`. */
struct tok_choice {
    uint32_t kind, pc;
    size_t pos, low;
};

enum tok_result { TOK_MATCHED, TOK_NO_MATCH, TOK_GAVE_UP };

struct tok_machine {
    const struct tok_regex *re;
    const char *p;
    size_t n;
    struct tok_match_stack *stack;
    struct err *e;
    size_t slots[TOK_REGEX_MAX_SLOTS];
};

MLXK_FN void tok_match_stack_release(struct tok_match_stack *s) {
    mem_free(s->p);
    *s = (struct tok_match_stack){ 0 };
}

MLXK_FN uint64_t tok_match_budget(size_t n) {
    return 1000000 + 1024 * (uint64_t)n; /* patterns in use need less than 20 a byte */
}

static bool tok_push(struct tok_machine *m, enum tok_choice_kind kind, uint32_t pc, size_t pos,
                     size_t low) {
    struct tok_match_stack *s = m->stack;
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        if (cap > TOK_REGEX_MAX_STACK)
            return err_set(m->e, ERR_LIMIT,
                           "a pre-tokenizer pattern keeps more than %d open choices",
                           TOK_REGEX_MAX_STACK);
        struct tok_choice *p = mem_realloc(s->p, cap * sizeof *p);
        if (!p) return err_oom(m->e, cap * sizeof *p, "pattern matching");
        s->p = p;
        s->cap = cap;
    }
    s->p[s->n++] = (struct tok_choice){ kind, pc, pos, low };
    return true;
}

/* Is the character at p in the set? *len = its length. */
static inline bool tok_in_set(const struct tok_regex *re, uint32_t set, const char *p,
                              size_t *len) {
    unsigned char b = (unsigned char)*p;
    if (b < 0x80) {
        *len = 1;
        return re->sets[set].ascii[b >> 6] >> (b & 63) & 1;
    }
    uint32_t cp = tok_next(p, len);
    return re->sets[set].wide && tok_set_holds(re->sets, set, cp);
}

static inline bool tok_may_begin(const struct tok_first *f, const char *p, size_t n, size_t pos) {
    if (f->nullable) return true;
    if (pos >= n) return false;
    unsigned char b = (unsigned char)p[pos];
    return b < 0x80 ? f->ascii[b >> 6] >> (b & 63) & 1 : f->wide;
}

static bool tok_word_before(const struct tok_machine *m, size_t pos) {
    size_t n;
    return pos > 0 && tok_is_word(tok_next(m->p + tok_prev(m->p, pos), &n));
}

static bool tok_word_after(const struct tok_machine *m, size_t pos) {
    size_t n;
    return pos < m->n && tok_is_word(tok_next(m->p + pos, &n));
}

static bool tok_assert_holds(const struct tok_machine *m, unsigned what, size_t pos) {
    switch (what) {
    case TOK_LINE_START: return pos == 0 || (m->p[pos - 1] == '\n' && pos < m->n);
    case TOK_LINE_END: return pos == m->n || m->p[pos] == '\n';
    case TOK_TEXT_START: return pos == 0;
    case TOK_TEXT_END: return pos == m->n;
    case TOK_TEXT_END_NEWLINE: return pos == m->n || (pos + 1 == m->n && m->p[pos] == '\n');
    case TOK_WORD_EDGE: return tok_word_before(m, pos) != tok_word_after(m, pos);
    default: return tok_word_before(m, pos) == tok_word_after(m, pos);
    }
}

/* Takes characters of a set: as many as the mode says, the rest is a choice. */
static enum tok_result tok_span(struct tok_machine *m, uint32_t pc, size_t *pos) {
    const struct tok_insn *in = &m->re->program[pc];
    size_t at = *pos, low = in->min ? SIZE_MAX : at, len = 0;
    uint32_t count = 0, want = in->mode == TOK_LAZY ? in->min : in->max;
    while (count < want && at < m->n && tok_in_set(m->re, in->x, m->p + at, &len)) {
        at += len;
        if (++count == in->min) low = at;
    }
    uint64_t cost = (at - *pos) / 8;
    m->stack->steps_left -= cost < m->stack->steps_left ? cost : m->stack->steps_left;
    if (low == SIZE_MAX) return TOK_NO_MATCH;
    *pos = at;
    if (in->mode == TOK_GREEDY && at > low && !tok_push(m, TOK_CHOICE_SHORTER, pc, at, low))
        return TOK_GAVE_UP;
    if (in->mode == TOK_LAZY && in->max > in->min &&
        !tok_push(m, TOK_CHOICE_LONGER, pc, at, in->max - in->min))
        return TOK_GAVE_UP;
    return TOK_MATCHED;
}

/* Takes the newest choice above `base`: true with *pc and *pos set. */
static bool tok_retry(struct tok_machine *m, size_t base, uint32_t *pc, size_t *pos) {
    struct tok_match_stack *s = m->stack;
    size_t len = 0;
    while (s->n > base) {
        struct tok_choice *top = &s->p[s->n - 1];
        *pc = top->pc;
        *pos = top->pos;
        switch (top->kind) {
        case TOK_CHOICE_JUMP: s->n--; return true;
        case TOK_CHOICE_RESTORE:
            m->slots[top->pc] = top->pos;
            s->n--;
            continue;
        case TOK_CHOICE_SHORTER:
            *pos = top->pos = tok_prev(m->p, top->pos);
            if (top->pos == top->low) s->n--;
            ++*pc;
            return true;
        default:
            if (top->pos >= m->n ||
                !tok_in_set(m->re, m->re->program[top->pc].x, m->p + top->pos, &len)) {
                s->n--;
                continue;
            }
            *pos = top->pos += len;
            if (top->low != TOK_REGEX_INFINITE && --top->low == 0) s->n--;
            ++*pc;
            return true;
        }
    }
    return false;
}

static enum tok_result tok_run(struct tok_machine *m, uint32_t pc, size_t *pos);

/* Look-around or an atomic group: no choice inside survives it. */
static enum tok_result tok_inner(struct tok_machine *m, uint32_t pc, size_t *pos) {
    const struct tok_insn *in = &m->re->program[pc];
    size_t at = *pos, base = m->stack->n;
    bool behind = in->mode == TOK_BEHIND || in->mode == TOK_NOT_BEHIND;
    bool want = in->mode != TOK_NOT_AHEAD && in->mode != TOK_NOT_BEHIND, fits = true;
    for (uint32_t back = behind ? in->min : 0; back > 0 && fits; back--) {
        fits = at > 0;
        at = fits ? tok_prev(m->p, at) : 0;
    }
    enum tok_result r = fits ? tok_run(m, pc + 1, &at) : TOK_NO_MATCH;
    m->stack->n = base;
    if (r == TOK_GAVE_UP) return r;
    if (in->mode == TOK_ATOMIC && r == TOK_MATCHED) *pos = at;
    return (r == TOK_MATCHED) == want ? TOK_MATCHED : TOK_NO_MATCH;
}

static enum tok_result tok_step(struct tok_machine *m, uint32_t *pc, size_t *pos) {
    const struct tok_insn *in = &m->re->program[*pc];
    const struct tok_first *firsts = m->re->firsts;
    enum tok_result r = TOK_MATCHED;
    size_t len = 0;
    switch (in->op) {
    case TOK_OP_SET:
        if (*pos >= m->n || !tok_in_set(m->re, in->x, m->p + *pos, &len)) return TOK_NO_MATCH;
        *pos += len;
        break;
    case TOK_OP_SPAN: r = tok_span(m, *pc, pos); break;
    case TOK_OP_SPLIT:
        if (!tok_may_begin(&firsts[in->first_x], m->p, m->n, *pos)) {
            *pc = in->y;
            return TOK_MATCHED;
        }
        if (tok_may_begin(&firsts[in->first_y], m->p, m->n, *pos) &&
            !tok_push(m, TOK_CHOICE_JUMP, in->y, *pos, 0))
            return TOK_GAVE_UP;
        *pc = in->x;
        return TOK_MATCHED;
    case TOK_OP_JUMP: *pc = in->x; return TOK_MATCHED;
    case TOK_OP_INNER:
        r = tok_inner(m, *pc, pos);
        *pc = in->x;
        return r;
    case TOK_OP_ASSERT: r = tok_assert_holds(m, in->mode, *pos) ? TOK_MATCHED : TOK_NO_MATCH; break;
    case TOK_OP_MARK:
        if (!tok_push(m, TOK_CHOICE_RESTORE, in->x, m->slots[in->x], 0)) return TOK_GAVE_UP;
        m->slots[in->x] = *pos;
        break;
    case TOK_OP_PROGRESS:
        if (m->slots[in->x] == *pos) {
            *pc = in->y;
            return TOK_MATCHED;
        }
        break;
    default: break;
    }
    ++*pc;
    return r;
}

/* Runs from pc at *pos to MATCH. Choices made stay on the stack above the caller's. */
static enum tok_result tok_run(struct tok_machine *m, uint32_t pc, size_t *pos) {
    size_t base = m->stack->n;
    for (;;) {
        if (m->stack->steps_left == 0) {
            err_set(m->e, ERR_LIMIT,
                    "a pre-tokenizer pattern needs too many steps for a text of %zu bytes", m->n);
            return TOK_GAVE_UP;
        }
        m->stack->steps_left--;
        if (m->re->program[pc].op == TOK_OP_MATCH) return TOK_MATCHED;
        enum tok_result r = tok_step(m, &pc, pos);
        if (r == TOK_GAVE_UP) return r;
        if (r == TOK_NO_MATCH && !tok_retry(m, base, &pc, pos)) return TOK_NO_MATCH;
    }
}

MLXK_FN bool tok_match(const struct tok_regex *re, struct str text, size_t from,
                       struct tok_match_stack *s, size_t *at, size_t *end, bool *failed,
                       struct err *e) {
    struct tok_machine m; /* slots are written before they are read, but for RESTORE */
    m.re = re;
    m.p = text.p;
    m.n = text.n;
    m.stack = s;
    m.e = e;
    for (size_t i = 0; i < re->n_slots; i++) m.slots[i] = 0;
    for (size_t i = from; i <= text.n; i++) {
        if (i < text.n && ((unsigned char)text.p[i] & 0xC0) == 0x80) continue;
        if (!tok_may_begin(&re->first, text.p, text.n, i)) continue;
        size_t pos = i;
        s->n = 0;
        enum tok_result r = tok_run(&m, 0, &pos);
        if (r == TOK_GAVE_UP) *failed = true;
        if (r != TOK_NO_MATCH) {
            *at = i;
            *end = pos;
            return r == TOK_MATCHED;
        }
    }
    return false;
}

MLXK_FN void tok_finder_init(struct tok_finder *f, const struct tok_regex *re, struct str text,
                             struct tok_match_stack *s) {
    *f = (struct tok_finder){ .re = re, .text = text };
    s->steps_left = tok_match_budget(text.n);
}

/* An empty match right behind the match before it does not count (find_iter of the reference). */
static bool tok_finder_search(struct tok_finder *f, struct tok_match_stack *s, struct err *e) {
    while (f->from <= f->text.n &&
           tok_match(f->re, f->text, f->from, s, &f->at, &f->end, &f->failed, e)) {
        size_t len = 1;
        if (f->end == f->at && f->at < f->text.n) tok_next(f->text.p + f->at, &len);
        f->from = f->end > f->at ? f->end : f->end + len;
        if (f->end == f->at && f->had_match && f->last_end == f->end) continue;
        f->had_match = true;
        f->last_end = f->end;
        return true;
    }
    return false;
}

MLXK_FN bool tok_finder_next(struct tok_finder *f, struct tok_match_stack *s, struct str *part,
                             bool *is_match, struct err *e) {
    if (!f->found) {
        if (f->failed || !tok_finder_search(f, s, e)) {
            *part = str_sub(f->text, f->done, f->text.n);
            f->done = f->text.n;
            f->from = f->text.n + 1;
            *is_match = false;
            return !f->failed && part->n > 0;
        }
        f->found = true;
    }
    if (f->at > f->done) {
        *part = str_sub(f->text, f->done, f->at);
        f->done = f->at;
        *is_match = false;
        return true;
    }
    *part = str_sub(f->text, f->at, f->end);
    f->done = f->end;
    f->found = false;
    *is_match = true;
    return true;
}
