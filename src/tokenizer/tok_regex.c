/* tok_regex.c: compiles the regular expressions of pre-tokenizers and normalizers.
 *
 * The dialect is Oniguruma's (Ruby syntax) as far as tokenizers use it: alternation, groups
 * (capturing ones do not capture), (?i) (?m), look-around, atomic groups, greedy, lazy and
 * possessive repeats, classes with nesting and &&, \p{..} of categories and scripts, anchors.
 * Back references, conditionals, recursion and POSIX brackets are refused by name.
 * A pattern becomes a tree and the tree a program; tok_match.c runs it.
 *
 * 1. Recursion is bounded by TOK_REGEX_MAX_DEPTH, the program by TOK_REGEX_MAX_PROGRAM.
 * 2. The first failure is kept in c->e; everything after it only unwinds.
 */
#include "tokenizer/tok_regex_int.h"

MLXK_FN bool tok_re_fail(struct tok_re_compiler *c, enum err_code code, const char *what_cstr) {
    if (!c->failed)
        err_set(c->e, code, "pattern \"" STR_FMT "\": %s at byte %zu",
                STR_ARG(str_sub(c->pattern, 0, 120)), what_cstr, c->pos);
    c->failed = true;
    return false;
}

MLXK_FN void tok_re_oom(struct tok_re_compiler *c) {
    if (!c->failed) err_oom(c->e, c->pattern.n, "a pattern");
    c->failed = true;
}

MLXK_FN void *tok_re_grow(struct tok_re_compiler *c, void *old, size_t n, size_t *cap,
                          size_t size) {
    void *p = arena_grow(c->arena, old, n, cap, 16, size, _Alignof(max_align_t));
    if (!p) tok_re_oom(c);
    return p;
}

static struct tok_node *tok_re_node(struct tok_re_compiler *c, enum tok_node_kind kind) {
    struct tok_node *n = c->failed ? NULL : ARENA_NEW(c->arena, struct tok_node);
    if (!n) {
        tok_re_oom(c);
        return NULL;
    }
    n->kind = kind;
    return n;
}

/* ---- sets ------------------------------------------------------------------------------------ */

MLXK_FN bool tok_is_word(uint32_t cp) {
    const uint32_t word =
        0x1Fu << TOK_GC_LU | 7u << TOK_GC_MN | 1u << TOK_GC_ND | 1u << TOK_GC_NL | 1u << TOK_GC_PC;
    if (cp < 0x80) return word >> tok_category(cp) & 1;
    return (word >> tok_category(cp) & 1) ||
           (cp >= 0x24B6 && cp <= 0x24E9) || /* alphabetic symbols: circled and squared letters */
           (cp >= 0x1F130 && cp <= 0x1F149) || (cp >= 0x1F150 && cp <= 0x1F169) ||
           (cp >= 0x1F170 && cp <= 0x1F189) || cp == 0xB2 || cp == 0xB3 || cp == 0xB9 ||
           (cp >= 0xBC && cp <= 0xBE); /* the reference's habit */
}

static bool tok_set_plain(const struct tok_set *sets, const struct tok_set *s, uint32_t cp) {
    if (s->cats >> tok_category(cp) & 1) return true;
    for (const struct tok_item *i = s->items; i; i = i->next) {
        bool yes = false;
        switch (i->kind) {
        case TOK_ITEM_RANGE: yes = cp >= i->a && cp <= i->b; break;
        case TOK_ITEM_NOT_SPACE: yes = !tok_is_space(cp); break;
        case TOK_ITEM_WORD: yes = tok_is_word(cp); break;
        case TOK_ITEM_NOT_WORD: yes = !tok_is_word(cp); break;
        case TOK_ITEM_SCRIPT: yes = tok_script(cp) == (int)i->a; break;
        case TOK_ITEM_NOT_SCRIPT: yes = tok_script(cp) != (int)i->a; break;
        case TOK_ITEM_SET: yes = tok_set_holds(sets, i->a, cp); break;
        }
        if (yes) return true;
    }
    return false;
}

MLXK_FN bool tok_set_holds(const struct tok_set *sets, uint32_t set, uint32_t cp) {
    const struct tok_set *s = &sets[set];
    bool yes = tok_set_plain(sets, s, cp);
    if (!yes && s->ignore_case) {
        uint32_t folded = tok_fold(cp);
        yes = tok_set_plain(sets, s, folded) || tok_set_plain(sets, s, tok_to_upper(folded));
    }
    if (yes && s->also >= 0) yes = tok_set_holds(sets, (uint32_t)s->also, cp);
    return yes != s->negated;
}

static uint32_t tok_re_set_new(struct tok_re_compiler *c) {
    struct tok_set *p = tok_re_grow(c, c->sets, c->n_sets, &c->cap_sets, sizeof *c->sets);
    if (!p) return 0; /* set 0 exists from the start: safe to write to */
    c->sets = p;
    c->sets[c->n_sets] = (struct tok_set){ .also = -1, .ignore_case = c->ignore_case };
    return (uint32_t)c->n_sets++;
}

static void tok_re_set_item(struct tok_re_compiler *c, uint32_t set, enum tok_item_kind kind,
                            uint32_t a, uint32_t b) {
    struct tok_item *item = ARENA_NEW(c->arena, struct tok_item);
    if (!item) {
        tok_re_oom(c);
        return;
    }
    *item = (struct tok_item){ kind, a, b, c->sets[set].items };
    c->sets[set].items = item;
}

static void tok_re_set_char(struct tok_re_compiler *c, uint32_t set, uint32_t cp) {
    tok_re_set_item(c, set, TOK_ITEM_RANGE, cp, cp);
    if (c->ignore_case && tok_fold(cp) != cp)
        tok_re_set_item(c, set, TOK_ITEM_RANGE, tok_fold(cp), tok_fold(cp));
}

static void tok_re_set_space(struct tok_re_compiler *c, uint32_t set) {
    c->sets[set].cats |= 7u << TOK_GC_ZS;
    tok_re_set_item(c, set, TOK_ITEM_RANGE, 9, 13);
    tok_re_set_item(c, set, TOK_ITEM_RANGE, 0x85, 0x85);
}

/* A finished set answers for the first 128 characters from its bitmap. */
static void tok_re_set_finish(struct tok_re_compiler *c, uint32_t set) {
    if (c->failed) return;
    struct tok_set *s = &c->sets[set];
    s->ascii[0] = s->ascii[1] = 0;
    for (uint32_t cp = 0; cp < 128; cp++)
        if (tok_set_holds(c->sets, set, cp)) s->ascii[cp / 64] |= 1ull << cp % 64;
    s->wide = s->negated || s->cats || s->ignore_case || s->also >= 0;
    for (const struct tok_item *i = s->items; i && !s->wide; i = i->next)
        s->wide = i->kind != TOK_ITEM_RANGE || i->b >= 128;
}

static bool tok_re_at_end(const struct tok_re_compiler *c) {
    return c->failed || c->pos >= c->pattern.n;
}

static bool tok_re_take(struct tok_re_compiler *c, const char *what_cstr) {
    struct str what = str_cstr(what_cstr);
    if (!str_starts(str_sub(c->pattern, c->pos, c->pattern.n), what)) return false;
    c->pos += what.n;
    return true;
}

static uint32_t tok_re_char(struct tok_re_compiler *c) {
    size_t n;
    uint32_t cp = tok_next(c->pattern.p + c->pos, &n);
    c->pos += n;
    return cp;
}

/* Hex digits of \xHH, \x{H...}, \uHHHH. */
static uint32_t tok_re_hex(struct tok_re_compiler *c, size_t digits) {
    bool braces = digits == 2 && tok_re_take(c, "{");
    uint32_t v = 0;
    size_t n = 0;
    for (; n < (braces ? 8 : digits) && c->pos < c->pattern.n; n++, c->pos++) {
        char h = c->pattern.p[c->pos];
        if (h >= '0' && h <= '9')
            v = v * 16 + (uint32_t)(h - '0');
        else if ((h | 32) >= 'a' && (h | 32) <= 'f')
            v = v * 16 + (uint32_t)((h | 32) - 'a') + 10;
        else
            break;
    }
    if (n == 0 || v > 0x10FFFF || (braces && !tok_re_take(c, "}")))
        tok_re_fail(c, ERR_FORMAT, "a bad character number");
    return v;
}

/* \p{Name}, \P{Name}, \p{^Name}: joined to `set`. */
static void tok_re_property(struct tok_re_compiler *c, uint32_t set, bool negated) {
    struct str name;
    if (tok_re_take(c, "{")) {
        if (tok_re_take(c, "^")) negated = !negated;
        struct str rest = str_sub(c->pattern, c->pos, c->pattern.n);
        ptrdiff_t n = str_find_char(rest, '}');
        if (n < 0) {
            tok_re_fail(c, ERR_FORMAT, "\\p{ without }");
            return;
        }
        name = str_sub(rest, 0, (size_t)n);
        c->pos += (size_t)n + 1;
    } else {
        name = str_sub(c->pattern, c->pos, c->pos + 1);
        c->pos += name.n;
    }
    uint32_t mask = tok_category_mask(name);
    int script = mask ? -1 : tok_script_find(name);
    if (mask)
        c->sets[set].cats |= negated ? ~mask : mask;
    else if (script >= 0)
        tok_re_set_item(c, set, negated ? TOK_ITEM_NOT_SCRIPT : TOK_ITEM_SCRIPT, (uint32_t)script,
                        0);
    else if (str_ieq(name, STR("space")) || str_ieq(name, STR("White_Space"))) {
        if (negated)
            tok_re_set_item(c, set, TOK_ITEM_NOT_SPACE, 0, 0);
        else
            tok_re_set_space(c, set);
    } else {
        tok_re_fail(c, ERR_UNSUPPORTED, "an unknown character property");
    }
}

/* After a backslash, where a set may stand: joins to `set` and returns true, or gives one
 * character. */
static bool tok_re_escape(struct tok_re_compiler *c, uint32_t set, uint32_t *cp) {
    if (tok_re_at_end(c)) return tok_re_fail(c, ERR_FORMAT, "a backslash at the end");
    uint32_t x = tok_re_char(c);
    switch (x) {
    case 'p': tok_re_property(c, set, false); return true;
    case 'P': tok_re_property(c, set, true); return true;
    case 's': tok_re_set_space(c, set); return true;
    case 'S': tok_re_set_item(c, set, TOK_ITEM_NOT_SPACE, 0, 0); return true;
    case 'd': c->sets[set].cats |= 1u << TOK_GC_ND; return true;
    case 'D': c->sets[set].cats |= ~(1u << TOK_GC_ND); return true;
    case 'w': tok_re_set_item(c, set, TOK_ITEM_WORD, 0, 0); return true;
    case 'W': tok_re_set_item(c, set, TOK_ITEM_NOT_WORD, 0, 0); return true;
    case 'h':
        tok_re_set_item(c, set, TOK_ITEM_RANGE, '0', '9');
        tok_re_set_item(c, set, TOK_ITEM_RANGE, 'a', 'f');
        tok_re_set_item(c, set, TOK_ITEM_RANGE, 'A', 'F');
        return true;
    case 'n': *cp = '\n'; return false;
    case 'r': *cp = '\r'; return false;
    case 't': *cp = '\t'; return false;
    case 'f': *cp = '\f'; return false;
    case 'v': *cp = '\v'; return false;
    case 'a': *cp = 7; return false;
    case 'e': *cp = 27; return false;
    case '0': *cp = 0; return false;
    case 'x': *cp = tok_re_hex(c, 2); return false;
    case 'u': *cp = tok_re_hex(c, 4); return false;
    default:
        *cp = x;
        if ((x >= '1' && x <= '9') || ((x | 32) >= 'a' && (x | 32) <= 'z'))
            tok_re_fail(c, ERR_UNSUPPORTED, "an escape that is not known here");
        return false;
    }
}

static uint32_t tok_re_class(struct tok_re_compiler *c);

/* One member of a class: a character into *cp (true), or something joined to `set` (false). */
static bool tok_re_class_member(struct tok_re_compiler *c, uint32_t set, uint32_t *cp) {
    if (tok_re_take(c, "[")) {
        if (tok_re_take(c, ":")) {
            tok_re_fail(c, ERR_UNSUPPORTED, "a POSIX bracket");
            return false;
        }
        bool ignore_case = c->ignore_case;
        uint32_t inner = tok_re_class(c);
        c->ignore_case = ignore_case;
        tok_re_set_item(c, set, TOK_ITEM_SET, inner, 0);
        return false;
    }
    if (tok_re_take(c, "\\")) {
        if (tok_re_take(c, "b")) {
            *cp = 8;
            return true;
        }
        return !tok_re_escape(c, set, cp);
    }
    *cp = tok_re_char(c);
    return true;
}

/* The members of a class up to ] or &&, joined to `set`. */
static void tok_re_class_members(struct tok_re_compiler *c, uint32_t set) {
    for (bool first = true; !tok_re_at_end(c); first = false) {
        struct str rest = str_sub(c->pattern, c->pos, c->pattern.n);
        if ((!first && rest.p[0] == ']') || str_starts(rest, STR("&&"))) return;
        uint32_t low, high;
        if (!tok_re_class_member(c, set, &low) || c->failed) continue;
        rest = str_sub(c->pattern, c->pos, c->pattern.n);
        if (rest.n < 2 || rest.p[0] != '-' || rest.p[1] == ']') {
            tok_re_set_char(c, set, low);
            continue;
        }
        c->pos++;
        if (!tok_re_class_member(c, set, &high)) {
            tok_re_set_char(c, set, low); /* [a-\d]: a, - and the digits */
            tok_re_set_char(c, set, '-');
        } else if (high < low) {
            tok_re_fail(c, ERR_FORMAT, "a range that runs backwards");
        } else {
            tok_re_set_item(c, set, TOK_ITEM_RANGE, low, high);
        }
    }
}

/* A class after its [ : returns its set. */
static uint32_t tok_re_class(struct tok_re_compiler *c) {
    if (++c->depth > TOK_REGEX_MAX_DEPTH) tok_re_fail(c, ERR_LIMIT, "groups nested too deeply");
    uint32_t whole = tok_re_set_new(c), part = whole;
    c->sets[whole].negated = tok_re_take(c, "^");
    tok_re_class_members(c, part);
    while (tok_re_take(c, "&&")) {
        uint32_t next = tok_re_set_new(c);
        c->sets[part].also = c->failed ? -1 : (int32_t)next;
        part = next;
        struct str rest = str_sub(c->pattern, c->pos, c->pattern.n);
        if (rest.n && rest.p[0] != ']') tok_re_class_members(c, part);
    }
    if (!tok_re_take(c, "]")) tok_re_fail(c, ERR_FORMAT, "[ without ]");
    for (int32_t s = (int32_t)whole; s >= 0 && !c->failed; s = c->sets[s].also)
        tok_re_set_finish(c, (uint32_t)s);
    c->depth--;
    return whole;
}

/* ---- the tree -------------------------------------------------------------------------------- */

static struct tok_node *tok_re_alternatives(struct tok_re_compiler *c);

static struct tok_node *tok_re_set_node(struct tok_re_compiler *c, uint32_t set) {
    tok_re_set_finish(c, set);
    struct tok_node *n = tok_re_node(c, TOK_N_SET);
    if (n) n->set = set;
    return n;
}

static struct tok_node *tok_re_one_char(struct tok_re_compiler *c, uint32_t cp) {
    uint32_t set = tok_re_set_new(c);
    tok_re_set_char(c, set, cp);
    return tok_re_set_node(c, set);
}

static struct tok_node *tok_re_assert_node(struct tok_re_compiler *c, enum tok_assert what) {
    struct tok_node *n = tok_re_node(c, TOK_N_ASSERT);
    if (n) n->mode = (uint8_t)what;
    return n;
}

/* "i", "-i", "m" of (?i) and (?i: ; the position is left at : or ). */
static void tok_re_options(struct tok_re_compiler *c) {
    bool on = true;
    for (; !tok_re_at_end(c); c->pos++) {
        char x = c->pattern.p[c->pos];
        if (x == ':' || x == ')') return;
        if (x == '-')
            on = false;
        else if (x == 'i')
            c->ignore_case = on;
        else if (x == 'm')
            c->dot_all = on;
        else
            tok_re_fail(c, ERR_UNSUPPORTED, "a group option that is not known here");
    }
}

/* A group after its ( . */
static struct tok_node *tok_re_group(struct tok_re_compiler *c) {
    static const struct {
        const char *begin_cstr;
        int mode;
    } kinds[] = { { "?=", TOK_AHEAD },       { "?!", TOK_NOT_AHEAD }, { "?<=", TOK_BEHIND },
                  { "?<!", TOK_NOT_BEHIND }, { "?>", TOK_ATOMIC },    { "?:", -1 } };
    int mode = -2;
    for (size_t i = 0; i < MLXK_COUNT(kinds) && mode == -2; i++)
        if (tok_re_take(c, kinds[i].begin_cstr)) mode = kinds[i].mode;
    bool ignore_case = c->ignore_case, dot_all = c->dot_all, to_the_end = false;
    if (mode == -2 && (tok_re_take(c, "?<") || tok_re_take(c, "?P<"))) {
        ptrdiff_t n = str_find_char(str_sub(c->pattern, c->pos, c->pattern.n), '>');
        if (n < 0) tok_re_fail(c, ERR_FORMAT, "a group name without >");
        c->pos += n < 0 ? 0 : (size_t)n + 1;
    } else if (mode == -2 && tok_re_take(c, "?")) {
        tok_re_options(c);
        to_the_end = tok_re_take(c, ")"); /* (?i) holds for the rest of the group around it */
        if (!to_the_end && !tok_re_take(c, ":")) tok_re_fail(c, ERR_FORMAT, "an unfinished group");
    }
    struct tok_node *inner = tok_re_alternatives(c);
    if (!to_the_end && !tok_re_take(c, ")")) tok_re_fail(c, ERR_FORMAT, "( without )");
    c->ignore_case = ignore_case;
    c->dot_all = dot_all;
    if (mode < 0) return inner;
    struct tok_node *n = tok_re_node(c, TOK_N_INNER);
    if (n) {
        n->mode = (uint8_t)mode;
        n->a = inner;
    }
    return n;
}

static struct tok_node *tok_re_escaped_atom(struct tok_re_compiler *c) {
    static const struct {
        const char *name_cstr;
        enum tok_assert what;
    } asserts[] = { { "A", TOK_TEXT_START },
                    { "z", TOK_TEXT_END },
                    { "Z", TOK_TEXT_END_NEWLINE },
                    { "b", TOK_WORD_EDGE },
                    { "B", TOK_NOT_WORD_EDGE } };
    for (size_t i = 0; i < MLXK_COUNT(asserts); i++)
        if (tok_re_take(c, asserts[i].name_cstr)) return tok_re_assert_node(c, asserts[i].what);
    uint32_t set = tok_re_set_new(c), cp;
    if (!tok_re_escape(c, set, &cp))
        tok_re_set_char(c, set, cp);
    else
        c->sets[set].ignore_case = false; /* (?i) means characters, and classes in brackets */
    return tok_re_set_node(c, set);
}

static struct tok_node *tok_re_atom(struct tok_re_compiler *c) {
    uint32_t set;
    if (tok_re_take(c, "\\")) return tok_re_escaped_atom(c);
    switch (tok_re_char(c)) {
    case '(': return tok_re_group(c);
    case '[': return tok_re_set_node(c, tok_re_class(c));
    case '^': return tok_re_assert_node(c, TOK_LINE_START);
    case '$': return tok_re_assert_node(c, TOK_LINE_END);
    case '.':
        set = tok_re_set_new(c);
        if (!c->dot_all) tok_re_set_item(c, set, TOK_ITEM_RANGE, '\n', '\n');
        c->sets[set].negated = true;
        return tok_re_set_node(c, set);
    case '*':
    case '+':
    case '?': tok_re_fail(c, ERR_FORMAT, "nothing to repeat"); return NULL;
    default: c->pos = tok_prev(c->pattern.p, c->pos); return tok_re_one_char(c, tok_re_char(c));
    }
}

/* {m}, {m,}, {,n}, {m,n}: false (and nothing taken) when it is none and { stands for itself. */
static bool tok_re_counts(struct tok_re_compiler *c, uint32_t *min, uint32_t *max) {
    struct str rest = str_sub(c->pattern, c->pos, c->pattern.n);
    ptrdiff_t n = str_find_char(rest, '}');
    if (rest.n == 0 || rest.p[0] != '{' || n < 2) return false;
    struct str high = str_sub(rest, 1, (size_t)n), low = str_cut(&high, ',');
    bool comma = high.p != NULL;
    uint64_t a = 0, b = TOK_REGEX_INFINITE;
    if ((low.n == 0 && high.n == 0) || (low.n && !num_parse_u64(low, 100000, &a)) ||
        (high.n && !num_parse_u64(high, 100000, &b)))
        return false;
    c->pos += (size_t)n + 1;
    *min = (uint32_t)a;
    *max = comma ? (uint32_t)b : (uint32_t)a;
    if (*max < *min) tok_re_fail(c, ERR_FORMAT, "a repeat that counts backwards");
    return true;
}

/* The repeats behind an atom; they can follow each other. */
static struct tok_node *tok_re_repeats(struct tok_re_compiler *c, struct tok_node *atom) {
    for (size_t turn = 0; !tok_re_at_end(c); turn++) {
        uint32_t min = 0, max = TOK_REGEX_INFINITE;
        bool counted = false;
        if (tok_re_take(c, "+"))
            min = 1;
        else if (tok_re_take(c, "?"))
            max = 1;
        else if (!tok_re_take(c, "*") && !(counted = tok_re_counts(c, &min, &max)))
            return atom;
        if (turn >= 8) {
            tok_re_fail(c, ERR_LIMIT, "too many repeats of one thing");
            return atom;
        }
        struct tok_node *n = tok_re_node(c, TOK_N_REPEAT);
        if (!n) return NULL;
        n->a = atom;
        n->min = min;
        n->max = max;
        n->mode = TOK_GREEDY;
        if (!(counted && min == max) && tok_re_take(c, "?"))
            n->mode = TOK_LAZY;
        else if (!counted && tok_re_take(c, "+")) /* {m,n}+ repeats the repeat in this dialect */
            n->mode = TOK_POSSESSIVE;
        atom = n;
    }
    return atom;
}

static struct tok_node *tok_re_sequence(struct tok_re_compiler *c) {
    struct tok_node *all = tok_re_node(c, TOK_N_CAT), **last = all ? &all->a : NULL;
    while (!tok_re_at_end(c) && c->pattern.p[c->pos] != '|' && c->pattern.p[c->pos] != ')') {
        struct tok_node *n = tok_re_repeats(c, tok_re_atom(c));
        if (!n) break;
        *last = n;
        last = &n->next;
    }
    return all;
}

static struct tok_node *tok_re_alternatives(struct tok_re_compiler *c) {
    if (++c->depth > TOK_REGEX_MAX_DEPTH) tok_re_fail(c, ERR_LIMIT, "groups nested too deeply");
    struct tok_node *first = tok_re_sequence(c), *last = first, *all = first;
    while (!c->failed && tok_re_take(c, "|")) {
        if (all == first && (all = tok_re_node(c, TOK_N_ALT)) != NULL) all->a = first;
        struct tok_node *n = tok_re_sequence(c);
        if (!n) break;
        last->next = n;
        last = n;
    }
    c->depth--;
    return all;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static const struct tok_regex *tok_re_finish(struct tok_re_compiler *c, struct tok_node *tree) {
    struct tok_regex *re = c->failed ? NULL : ARENA_NEW(c->arena, struct tok_regex);
    if (!re) {
        tok_re_oom(c);
        return NULL;
    }
    tok_re_emit_tree(c, tree);
    re->program = c->code;
    re->sets = c->sets;
    re->firsts = c->firsts;
    re->first = tok_re_first(c, tree);
    re->n_slots = c->n_slots;
    return c->failed ? NULL : re;
}

static void tok_re_init(struct tok_re_compiler *c, struct arena *a, struct str pattern,
                        struct err *e) {
    *c = (struct tok_re_compiler){ .arena = a, .pattern = pattern, .e = e };
    struct tok_first anything = { .nullable = true };
    if (pattern.n > TOK_REGEX_MAX_PATTERN) tok_re_fail(c, ERR_LIMIT, "the pattern is too long");
    c->sets = tok_re_grow(c, NULL, 0, &c->cap_sets, sizeof *c->sets);
    c->firsts = tok_re_grow(c, NULL, 0, &c->cap_firsts, sizeof *c->firsts);
    if (c->failed) return;
    tok_re_set_new(c); /* set 0 and filter 0 are taken */
    c->firsts[c->n_firsts++] = anything;
}

MLXK_FN const struct tok_regex *tok_regex_compile(struct arena *a, struct str pattern,
                                                  struct err *e) {
    struct tok_re_compiler c;
    tok_re_init(&c, a, pattern, e);
    struct tok_node *tree = c.failed ? NULL : tok_re_alternatives(&c);
    if (!c.failed && c.pos < pattern.n) tok_re_fail(&c, ERR_FORMAT, ") without (");
    return tok_re_finish(&c, tree);
}

MLXK_FN const struct tok_regex *tok_regex_literal(struct arena *a, struct str text, struct err *e) {
    struct tok_re_compiler c;
    tok_re_init(&c, a, text, e);
    struct tok_node *tree = c.failed ? NULL : tok_re_node(&c, TOK_N_CAT),
                    **last = tree ? &tree->a : NULL;
    while (last && !tok_re_at_end(&c)) {
        struct tok_node *n = tok_re_one_char(&c, tok_re_char(&c));
        if (!n) break;
        *last = n;
        last = &n->next;
    }
    return tok_re_finish(&c, tree);
}
