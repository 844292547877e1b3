/* tok_normalize.c: the normalizer of a tokenizer: Unicode normal forms and the small rewriters.
 *
 * Each step reads one buffer and writes the other. Text that a step cannot change is not copied:
 * for the normal forms that is decided a character at a time, and only the stretches in between
 * (with the character before them, which they may compose with) go through the full procedure.
 *
 * 1. Characters below tok_nf_safe() are starters, do not decompose and never compose backwards.
 * 2. Marks are sorted stably by class; a long row of them is sorted by counting, so hostile text
 *    costs linear time.
 * ref    UAX #15; the classes and mappings end with Unicode 9.0 (tok_unicode.c).
 */
#include "tokenizer/tok_int.h"

enum { TOK_NF_CP = 0x1FFFFF, TOK_NF_CLASS = 24, TOK_NF_SHORT = 32 }; /* class in the top byte */

static bool tok_nf_reserve(struct tok_run *r, size_t n) {
    if (n <= r->nf_cap) return true;
    size_t cap = n < 128 ? 256 : n * 2;
    uint32_t *p = mem_realloc(r->nf, cap * sizeof *p);
    if (!p) return err_oom(r->e, cap * sizeof *p, "normalization");
    r->nf = p;
    r->nf_cap = cap;
    return true;
}

static bool tok_nf_push(struct tok_run *r, size_t *n, uint32_t cp) {
    if (!tok_nf_reserve(r, *n + 1)) return false;
    r->nf[(*n)++] = cp | tok_combining_class(cp) << TOK_NF_CLASS;
    return true;
}

/* Appends the full decomposition of cp. Mappings nest a few levels only; `depth` is a guard. */
static bool tok_nf_expand(struct tok_run *r, size_t *n, uint32_t cp, bool compat, unsigned depth) {
    uint32_t parts[TOK_DECOMP_MAX];
    size_t n_parts = depth < 8 ? tok_decompose(cp, compat, parts) : 0;
    if (n_parts == 0) return tok_nf_push(r, n, cp);
    for (size_t i = 0; i < n_parts; i++)
        if (!tok_nf_expand(r, n, parts[i], compat, depth + 1)) return false;
    return true;
}

/* Stable order by class of marks p[0..n); spare has room for n when they are many. */
static void tok_nf_sort(uint32_t *p, size_t n, uint32_t *spare) {
    if (n <= TOK_NF_SHORT) {
        for (size_t i = 1; i < n; i++) {
            uint32_t x = p[i];
            size_t k = i;
            for (; k > 0 && p[k - 1] >> TOK_NF_CLASS > x >> TOK_NF_CLASS; k--) p[k] = p[k - 1];
            p[k] = x;
        }
        return;
    }
    size_t begin[257] = { 0 };
    for (size_t i = 0; i < n; i++) begin[(p[i] >> TOK_NF_CLASS) + 1]++;
    for (size_t i = 1; i < 257; i++) begin[i] += begin[i - 1];
    for (size_t i = 0; i < n; i++) spare[begin[p[i] >> TOK_NF_CLASS]++] = p[i];
    memcpy(p, spare, n * sizeof *p);
}

static bool tok_nf_order(struct tok_run *r, size_t n) {
    for (size_t i = 0; i < n; i++) {
        size_t begin = i;
        while (i < n && r->nf[i] >> TOK_NF_CLASS) i++;
        size_t marks = i - begin;
        if (marks > TOK_NF_SHORT && !tok_nf_reserve(r, n + marks)) return false;
        if (marks > 1) tok_nf_sort(r->nf + begin, marks, r->nf + n);
    }
    return true;
}

/* Composes in place, returns the new length (UAX #15, "Canonical Composition Algorithm"). */
static size_t tok_nf_compose(uint32_t *p, size_t n) {
    size_t kept = 0, starter = SIZE_MAX;
    unsigned last_class = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t cp = p[i] & TOK_NF_CP, class = p[i] >> TOK_NF_CLASS, composed = 0;
        bool adjacent = starter != SIZE_MAX && kept == starter + 1;
        if (starter != SIZE_MAX && (adjacent || (last_class != 0 && last_class < class)))
            composed = tok_compose(p[starter] & TOK_NF_CP, cp);
        if (composed) {
            p[starter] = composed;
            continue;
        }
        if (class == 0) starter = kept;
        last_class = class;
        p[kept++] = p[i];
    }
    return kept;
}

/* Below this, characters are inert in the form. */
static uint32_t tok_nf_safe(bool compat, bool compose) {
    return compat ? 0xA0 : compose ? 0x300 : 0xC0;
}

static bool tok_nf_stretch(struct tok_run *r, struct str text, bool compat, bool compose,
                           struct buf *out) {
    size_t n = 0, len = 1;
    for (size_t i = 0; i < text.n; i += len)
        if (!tok_nf_expand(r, &n, tok_next(text.p + i, &len), compat, 0)) return false;
    if (!tok_nf_order(r, n)) return false;
    if (compose) n = tok_nf_compose(r->nf, n);
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        buf_add_bytes(out, bytes, utf8_encode(bytes, r->nf[i] & TOK_NF_CP));
    }
    return true;
}

MLXK_FN bool tok_normal_form(struct tok_run *r, struct str text, bool compat, bool compose,
                             struct buf *out) {
    uint32_t safe = tok_nf_safe(compat, compose);
    size_t done = 0, last = 0, i = 0, len = 1;
    while (i < text.n) {
        if (tok_next(text.p + i, &len) < safe) {
            last = i;
            i += len;
            continue;
        }
        size_t begin = i > last ? last : i; /* from the character before */
        while (i < text.n && tok_next(text.p + i, &len) >= safe) i += len;
        buf_add(out, str_sub(text, done, begin));
        if (!tok_nf_stretch(r, str_sub(text, begin, i), compat, compose, out)) return false;
        done = i;
        last = i;
    }
    buf_add(out, str_sub(text, done, text.n));
    return true;
}

static bool tok_normal_form_of(struct str text, bool compat, bool compose, struct buf *out,
                               struct err *e) {
    struct tok_run run;
    tok_run_init(&run, NULL, NULL, e);
    bool ok = tok_normal_form(&run, text, compat, compose, out);
    tok_run_release(&run);
    return ok;
}

MLXK_FN bool tok_nfc(struct str text, struct buf *out, struct err *e) {
    return tok_normal_form_of(text, false, true, out, e);
}

MLXK_FN bool tok_nfkd(struct str text, struct buf *out, struct err *e) {
    return tok_normal_form_of(text, true, false, out, e);
}

/* ---- the other steps ------------------------------------------------------------------------- */

static void tok_add_char(struct buf *out, uint32_t cp) {
    char bytes[4];
    buf_add_bytes(out, bytes, utf8_encode(bytes, cp));
}

static void tok_lowercase(struct str text, struct buf *out) {
    size_t len = 1;
    for (size_t i = 0; i < text.n; i += len) {
        uint32_t cp = tok_next(text.p + i, &len);
        if (cp == 0x130) { /* the one full mapping (SpecialCasing) */
            tok_add_char(out, 'i');
            tok_add_char(out, 0x307);
        } else {
            tok_add_char(out, tok_to_lower(cp));
        }
    }
}

static void tok_strip_accents(struct str text, struct buf *out) {
    size_t len = 1;
    for (size_t i = 0; i < text.n; i += len)
        if (!tok_is_combining_mark(tok_next(text.p + i, &len)))
            buf_add(out, str_sub(text, i, i + len));
}

static void tok_strip_nonspacing(struct str text, struct buf *out) {
    size_t len = 1;
    for (size_t i = 0; i < text.n; i += len)
        if (!tok_is_nonspacing(tok_next(text.p + i, &len))) buf_add(out, str_sub(text, i, i + len));
}

static void tok_clean(struct str text, struct buf *out) {
    size_t len = 1;
    for (size_t i = 0; i < text.n; i += len) {
        uint32_t cp = tok_next(text.p + i, &len);
        if (tok_is_invisible(cp)) continue;
        buf_add(out, tok_is_space(cp) ? STR(" ") : str_sub(text, i, i + len));
    }
}

/* The blocks that BERT counts as Chinese; extension E begins late there, and so it does here. */
static bool tok_is_ideograph(uint32_t cp) {
    return (cp >= 0x4E00 && cp <= 0x9FFF) || (cp >= 0x3400 && cp <= 0x4DBF) ||
           (cp >= 0x20000 && cp <= 0x2A6DF) || (cp >= 0x2A700 && cp <= 0x2B81F) ||
           (cp >= 0x2B920 && cp <= 0x2CEAF) || (cp >= 0xF900 && cp <= 0xFAFF) ||
           (cp >= 0x2F800 && cp <= 0x2FA1F);
}

static void tok_space_ideographs(struct str text, struct buf *out) {
    size_t len = 1;
    for (size_t i = 0; i < text.n; i += len) {
        bool apart = tok_is_ideograph(tok_next(text.p + i, &len));
        if (apart) buf_add_char(out, ' ');
        buf_add(out, str_sub(text, i, i + len));
        if (apart) buf_add_char(out, ' ');
    }
}

static struct str tok_strip(struct str text, bool left, bool right) {
    size_t begin = 0, end = text.n, len = 1;
    while (left && begin < end && tok_is_space(tok_next(text.p + begin, &len))) begin += len;
    while (right && end > begin && tok_is_space(tok_next(text.p + tok_prev(text.p, end), &len)))
        end = tok_prev(text.p, end);
    return str_sub(text, begin, end);
}

static bool tok_replace(struct tok_run *r, const struct tok_norm_step *step, struct str text,
                        struct buf *out) {
    struct tok_match_stack *stack = &r->stacks[TOK_MAX_STAGES];
    struct tok_finder finder;
    struct str part;
    bool match;
    tok_finder_init(&finder, step->re, text, stack);
    while (tok_finder_next(&finder, stack, &part, &match, r->e))
        buf_add(out, match ? step->content : part);
    return !finder.failed;
}

static bool tok_norm_apply(struct tok_run *r, const struct tok_norm_step *step, struct str text,
                           struct buf *out) {
    switch (step->kind) {
    case TOK_NORM_NFC: return tok_normal_form(r, text, false, true, out);
    case TOK_NORM_NFD: return tok_normal_form(r, text, false, false, out);
    case TOK_NORM_NFKC: return tok_normal_form(r, text, true, true, out);
    case TOK_NORM_NFKD: return tok_normal_form(r, text, true, false, out);
    case TOK_NORM_LOWERCASE: tok_lowercase(text, out); return true;
    case TOK_NORM_STRIP_ACCENTS: tok_strip_accents(text, out); return true;
    case TOK_NORM_STRIP_NONSPACING: tok_strip_nonspacing(text, out); return true;
    case TOK_NORM_CLEAN: tok_clean(text, out); return true;
    case TOK_NORM_SPACE_IDEOGRAPHS: tok_space_ideographs(text, out); return true;
    case TOK_NORM_STRIP: buf_add(out, tok_strip(text, step->left, step->right)); return true;
    case TOK_NORM_REPLACE: return tok_replace(r, step, text, out);
    case TOK_NORM_PREPEND:
        if (text.n) buf_add(out, step->content);
        buf_add(out, text);
        return true;
    }
    return true;
}

MLXK_FN bool tok_normalize(struct tok_run *r, struct str text, struct str *out) {
    for (size_t i = 0; i < r->t->n_norms; i++) {
        struct buf *to = &r->norm_text[i & 1];
        buf_reset(to);
        if (!tok_norm_apply(r, &r->t->norms[i], text, to) || !buf_ok(to, "normalized text", r->e))
            return false;
        text = buf_str(to);
    }
    *out = text;
    return true;
}
