/* tok_split.c: the pre-tokenizer, a row of stages that cut text into pieces for the model.
 *
 * All pre-tokenizers are made of five stages: cut at a pattern, cut at punctuation, put a space in
 * front, put a mark for spaces, write bytes as characters. Pieces go depth first: a piece passes
 * the remaining stages and is encoded before the next one is cut, so nothing is kept.
 *
 * 1. Stage k uses stacks[k] and stage_text[k] only; they are in use while later stages run.
 * 2. Empty pieces go nowhere, but an empty match still parts what is on its two sides.
 */
#include "tokenizer/tok_int.h"

struct tok_cut {
    struct tok_run *r;
    size_t next;
    struct str text;
    bool at_start;
};

static bool tok_cut_emit(const struct tok_cut *c, struct str piece) {
    return piece.n == 0 || tok_split(c->r, c->next, piece, c->at_start && piece.p == c->text.p);
}

/* Does a part go to the piece that is waiting (`held`), which the part before it, `before`,
 * ended? */
static bool tok_cut_joins(enum tok_split_behavior behavior, bool match, bool before) {
    switch (behavior) {
    case TOK_SPLIT_CONTIGUOUS: return match == before;
    case TOK_SPLIT_MERGED_WITH_PREVIOUS: return match && !before;
    case TOK_SPLIT_MERGED_WITH_NEXT: return !match && before;
    default: return false;
    }
}

/* The piece that waits for what may join it. */
struct tok_held {
    struct str piece;
    bool match;
};

/* One part more, a match of the stage or what lies between two. */
static bool tok_cut_part(const struct tok_cut *c, const struct tok_stage *stage, struct str part,
                         bool match, struct tok_held *held) {
    match = match != stage->invert;
    if (stage->behavior == TOK_SPLIT_REMOVED && match) return true;
    if (held->piece.p && tok_cut_joins(stage->behavior, match, held->match)) {
        held->piece.n += part.n;
    } else {
        if (held->piece.p && !tok_cut_emit(c, held->piece)) return false;
        held->piece = part;
    }
    held->match = match;
    return true;
}

static bool tok_stage_split(const struct tok_cut *c, const struct tok_stage *stage) {
    struct tok_match_stack *stack = &c->r->stacks[c->next - 1];
    struct tok_held held = { STR_EMPTY, false };
    struct tok_finder finder;
    struct str part;
    bool match;
    tok_finder_init(&finder, stage->re, c->text, stack);
    while (tok_finder_next(&finder, stack, &part, &match, c->r->e))
        if (!tok_cut_part(c, stage, part, match, &held)) return false;
    return !finder.failed && (!held.piece.p || tok_cut_emit(c, held.piece));
}

static bool tok_stage_punctuation(const struct tok_cut *c, const struct tok_stage *stage) {
    struct tok_held held = { STR_EMPTY, false };
    size_t done = 0, len = 1;
    for (size_t i = 0; i < c->text.n; i += len) {
        if (!tok_is_punctuation(tok_next(c->text.p + i, &len))) continue;
        if ((i > done && !tok_cut_part(c, stage, str_sub(c->text, done, i), false, &held)) ||
            !tok_cut_part(c, stage, str_sub(c->text, i, i + len), true, &held))
            return false;
        done = i + len;
    }
    if (c->text.n > done &&
        !tok_cut_part(c, stage, str_sub(c->text, done, c->text.n), false, &held))
        return false;
    return !held.piece.p || tok_cut_emit(c, held.piece);
}

static bool tok_stage_rewrite(const struct tok_cut *c, const struct tok_stage *stage,
                              struct buf *out) {
    struct str text = c->text;
    bool spaced = false;
    buf_reset(out);
    switch (stage->kind) {
    case TOK_STAGE_PREFIX_SPACE:
        spaced = text.p[0] == ' ';
        if (!spaced) buf_add_char(out, ' ');
        buf_add(out, text);
        break;
    case TOK_STAGE_METASPACE:
        spaced = text.p[0] == ' ' || str_starts(text, stage->content) ||
                 stage->prepend == TOK_PREPEND_NEVER ||
                 (stage->prepend == TOK_PREPEND_FIRST && !c->at_start);
        if (!spaced) buf_add(out, stage->content);
        for (size_t i = 0, end; i < text.n; i = end) {
            const char *space = memchr(text.p + i, ' ', text.n - i);
            end = space ? (size_t)(space - text.p) : text.n;
            buf_add(out, str_sub(text, i, end));
            if (space) {
                buf_add(out, stage->content);
                end++;
            }
        }
        break;
    default:
        for (size_t i = 0; i < text.n; i++) {
            char bytes[4];
            buf_add_bytes(out, bytes, utf8_encode(bytes, tok_byte_to_char((uint8_t)text.p[i])));
        }
        break;
    }
    return buf_ok(out, "pre-tokenized text", c->r->e);
}

MLXK_FN bool tok_split(struct tok_run *r, size_t k, struct str text, bool at_start) {
    const struct tok *t = r->t;
    if (k == t->n_stages)
        return t->wordpiece ? tok_wordpiece_encode(r, text)
                            : tok_bpe_encode(r, text, t->bytes_last);
    struct tok_cut c = { r, k + 1, text, at_start };
    if (t->stages[k].kind == TOK_STAGE_SPLIT) return tok_stage_split(&c, &t->stages[k]);
    if (t->stages[k].kind == TOK_STAGE_PUNCTUATION) return tok_stage_punctuation(&c, &t->stages[k]);
    struct buf *out = &r->stage_text[k];
    return tok_stage_rewrite(&c, &t->stages[k], out) && tok_split(r, k + 1, buf_str(out), at_start);
}
