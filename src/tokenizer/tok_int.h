/* tok_int.h: what the files of the tokenizer room share.
 *
 * Encoding is a row of stations, each of which hands pieces of text to the next one and keeps
 * nothing: added tokens in the raw text -> normalizer -> added tokens in the normalized text ->
 * pre-tokenizer stages -> BPE -> ids; the post-processor puts ids around them.
 * Decoding is a row of stages that work on token texts in the same way (tok_decode.c).
 *
 * 1. All text inside the room is valid UTF-8: tok_encode repairs its input once, and token texts
 *    come from the JSON reader, which refuses anything else.
 * 2. A loaded tokenizer is never written to; everything that changes is in struct tok_run.
 */
#ifndef MLXK_TOK_INT_H
#define MLXK_TOK_INT_H

#include "tokenizer/tok.h"

/* ---- Unicode (tok_unicode.c) -------------------------------------------------------------- */

/* General categories, in the order of the generated tables. */
enum tok_gc {
    TOK_GC_LU, TOK_GC_LL, TOK_GC_LT, TOK_GC_LM, TOK_GC_LO, TOK_GC_MN, TOK_GC_MC, TOK_GC_ME,
    TOK_GC_ND, TOK_GC_NL, TOK_GC_NO, TOK_GC_PC, TOK_GC_PD, TOK_GC_PS, TOK_GC_PE, TOK_GC_PI,
    TOK_GC_PF, TOK_GC_PO, TOK_GC_SM, TOK_GC_SC, TOK_GC_SK, TOK_GC_SO, TOK_GC_ZS, TOK_GC_ZL,
    TOK_GC_ZP, TOK_GC_CC, TOK_GC_CF, TOK_GC_CS, TOK_GC_CO, TOK_GC_CN, TOK_GC_COUNT
};

MLXK_FN unsigned tok_category(uint32_t cp);
/* Set of categories (bit = enum tok_gc) that a name such as "L", "Lu" or "Letter" stands for; 0 =
 * none. */
MLXK_FN uint32_t tok_category_mask(struct str name);
/* Number of a script by name ("Han"), -1 = none; script of a character, -1 = Common or
 * Inherited. */
MLXK_FN int tok_script_find(struct str name);
MLXK_FN int tok_script(uint32_t cp);
/* Equal for characters that differ only in case (simple folding). */
MLXK_FN uint32_t tok_fold(uint32_t cp);
/* Canonical combining class; 0 for starters. */
MLXK_FN unsigned tok_combining_class(uint32_t cp);
/* Mark of any kind, among the characters that normalization knows. */
MLXK_FN bool tok_is_combining_mark(uint32_t cp);
/* What BERT's rules for words ask: what is cut off, accents, what is taken out (controls, formats,
 * private use, U+FFFD; not tab, line feed, carriage return). They know Unicode 8.0 only. */
MLXK_FN bool tok_is_punctuation(uint32_t cp);
MLXK_FN bool tok_is_nonspacing(uint32_t cp);
MLXK_FN bool tok_is_invisible(uint32_t cp);
/* One level of decomposition into out (at most TOK_DECOMP_MAX); 0 = none. */
enum { TOK_DECOMP_MAX = 18 };
MLXK_FN size_t tok_decompose(uint32_t cp, bool compat, uint32_t out[TOK_DECOMP_MAX]);
/* The primary composite of a pair, 0 = none. */
MLXK_FN uint32_t tok_compose(uint32_t first, uint32_t second);

/* The code point at p of valid UTF-8 with at least one byte left; *n = its length. */
static inline uint32_t tok_next(const char *p, size_t *n) {
    const unsigned char *u = (const unsigned char *)p;
    if (u[0] < 0x80) {
        *n = 1;
        return u[0];
    }
    if (u[0] < 0xE0) {
        *n = 2;
        return (uint32_t)(u[0] & 0x1F) << 6 | (u[1] & 0x3Fu);
    }
    if (u[0] < 0xF0) {
        *n = 3;
        return (uint32_t)(u[0] & 0x0F) << 12 | (uint32_t)(u[1] & 0x3F) << 6 | (u[2] & 0x3Fu);
    }
    *n = 4;
    return (uint32_t)(u[0] & 0x07) << 18 | (uint32_t)(u[1] & 0x3F) << 12 |
           (uint32_t)(u[2] & 0x3F) << 6 | (u[3] & 0x3Fu);
}

/* Start of the character before offset i > 0 of valid UTF-8. */
static inline size_t tok_prev(const char *p, size_t i) {
    do
        i--;
    while (i > 0 && ((unsigned char)p[i] & 0xC0) == 0x80);
    return i;
}

/* ---- regular expressions (tok_regex.c compiles, tok_match.c runs) --------------------------- */

enum {
    TOK_REGEX_MAX_PATTERN = 16384,       /* bytes; the longest pattern in use has about 600 */
    TOK_REGEX_MAX_PROGRAM = 20000,       /* instructions after counted groups were written out */
    TOK_REGEX_MAX_DEPTH = 50,            /* nested groups: bounds recursion */
    TOK_REGEX_MAX_SLOTS = 64,            /* loops around something that can be empty */
    TOK_REGEX_MAX_STACK = 4000000,       /* choices kept; about 100 MB */
};
#define TOK_REGEX_INFINITE UINT32_MAX

/* One instruction. x, y: targets or a set; which fields count is said per operation. */
enum tok_op {
    TOK_OP_MATCH,                /* the program, or the body of TOK_OP_INNER, has matched */
    TOK_OP_SET,                  /* x: set that the next character must be in */
    TOK_OP_SPAN,                 /* x: set, min..max characters of it, mode */
    TOK_OP_SPLIT,                /* try x, then y; first_x, first_y: what can begin there */
    TOK_OP_JUMP,                 /* go on at x */
    TOK_OP_INNER,     /* body at the next instruction, go on at x; mode, min: characters back */
    TOK_OP_ASSERT,               /* mode: enum tok_assert */
    TOK_OP_MARK,                 /* slot x = position */
    TOK_OP_PROGRESS,     /* position is still slot x: go on at y (an empty turn ends a loop) */
};
enum tok_span_mode { TOK_GREEDY, TOK_LAZY, TOK_POSSESSIVE };
enum tok_inner_mode { TOK_AHEAD, TOK_NOT_AHEAD, TOK_BEHIND, TOK_NOT_BEHIND, TOK_ATOMIC };
enum tok_assert { TOK_LINE_START, TOK_LINE_END, TOK_TEXT_START, TOK_TEXT_END, TOK_TEXT_END_NEWLINE,
    TOK_WORD_EDGE, TOK_NOT_WORD_EDGE };
struct tok_insn {
    uint8_t op, mode;
    uint16_t first_x, first_y;   /* index of struct tok_first, 0 = anything */
    uint32_t x, y, min, max;
};

/* What a part of a pattern can begin with. */
struct tok_first { uint64_t ascii[2]; bool wide, nullable; };

/* A set of characters: (categories or items) and then `also`, all of it inverted when negated. */
enum tok_item_kind { TOK_ITEM_RANGE, TOK_ITEM_NOT_SPACE, TOK_ITEM_WORD, TOK_ITEM_NOT_WORD,
    TOK_ITEM_SCRIPT, TOK_ITEM_NOT_SCRIPT, TOK_ITEM_SET };
struct tok_item { enum tok_item_kind kind; uint32_t a, b; struct tok_item *next; };
struct tok_set {
    uint64_t ascii[2];           /* the answer for the first 128 characters */
    uint32_t cats;               /* bits of enum tok_gc */
    int32_t also;                /* set that must hold too (&&), -1 = none */
    bool negated, ignore_case;
    bool wide;                   /* may hold something beyond the first 128 */
    struct tok_item *items;
};

struct tok_regex {
    const struct tok_insn *program;
    const struct tok_set *sets;
    const struct tok_first *firsts;
    struct tok_first first;      /* of the whole */
    uint32_t n_slots;
};
/* Membership worked out in full; matching asks tok_set.ascii first. */
MLXK_FN bool tok_set_holds(const struct tok_set *sets, uint32_t set, uint32_t cp);
/* \w: alphabetic characters, marks, decimal digits and connectors. */
MLXK_FN bool tok_is_word(uint32_t cp);

/* Scratch of one matching thread: the stack of choices not yet tried. */
struct tok_match_stack { struct tok_choice *p; size_t n, cap; uint64_t steps_left; };
MLXK_FN void tok_match_stack_release(struct tok_match_stack *s);

/* Compiles an Oniguruma-style pattern. err: ERR_FORMAT, ERR_UNSUPPORTED naming the construct. */
MLXK_FN const struct tok_regex *tok_regex_compile(struct arena *a, struct str pattern,
                                                  struct err *e);
/* The same for text that stands for itself. */
MLXK_FN const struct tok_regex *tok_regex_literal(struct arena *a, struct str text, struct err *e);

/* Steps of one search through `n` bytes before it is given up as hopeless. */
MLXK_FN uint64_t tok_match_budget(size_t n);
/* First match at or after `from`: found in *at, *end. false = none, or *failed (e is set). */
MLXK_FN bool tok_match(const struct tok_regex *re, struct str text, size_t from,
                       struct tok_match_stack *s, size_t *at, size_t *end, bool *failed,
                       struct err *e);

/* Walks text as matches and what lies between them, both in order and without empty parts between,
 * except for empty matches. */
struct tok_finder {
    const struct tok_regex *re;
    struct str text;
    size_t from, done, at, end, last_end;
    bool found, had_match, failed;
};
MLXK_FN void tok_finder_init(struct tok_finder *f, const struct tok_regex *re, struct str text,
    struct tok_match_stack *s);
/* Next part into *part, *is_match; false at the end or on failure (f->failed, e is set). */
MLXK_FN bool tok_finder_next(struct tok_finder *f, struct tok_match_stack *s, struct str *part,
    bool *is_match, struct err *e);

/* ---- the loaded tokenizer -------------------------------------------------------------------- */

enum {
    TOK_MAX_STAGES = 16,                 /* normalizer steps, pre-tokenizer stages, each */
    TOK_MAX_AFFIXES = 64,                /* ids that a post-processor puts before or behind */
    TOK_MAX_SECTIONS = 2,                /* raw text, normalized text */
};
#define TOK_MAX_TEXT ((size_t)1 << 30)       /* bytes of one text: positions fit 32 bits */
#define TOK_NO_ID (-1)
#define TOK_SPACE_MARK STR("\xE2\x96\x81")    /* U+2581, a space in SentencePiece vocabularies */

/* A token's text: offset in the file, in `blob` when it had escapes there, or index of an added
 * token. */
enum { TOK_PIECE_LEN = 0xFFFFFF, TOK_PIECE_BLOB = 1 << 24, TOK_PIECE_KNOWN = 1 << 25,
       TOK_PIECE_SPECIAL = 1 << 26, TOK_PIECE_ADDED = 1 << 27 };
struct tok_piece { uint32_t offset, len_flags; };

/* Open addressing; the whole hash of a text, id1 = id + 1, 0 = free. */
struct tok_vocab_slot { uint32_t hash_low, hash_high, id1; };
/* Two neighbours that become one; rank1 = rank + 1, 0 = free. */
struct tok_merge { uint32_t left, right, rank1; int32_t id; };

enum tok_norm_kind { TOK_NORM_NFC, TOK_NORM_NFD, TOK_NORM_NFKC, TOK_NORM_NFKD, TOK_NORM_LOWERCASE,
    TOK_NORM_STRIP_ACCENTS, TOK_NORM_STRIP, TOK_NORM_REPLACE, TOK_NORM_PREPEND,
    TOK_NORM_CLEAN,              /* invisible characters go, white space becomes spaces */
    TOK_NORM_SPACE_IDEOGRAPHS,   /* a space on both sides of each */
    TOK_NORM_STRIP_NONSPACING };
struct tok_norm_step {
    enum tok_norm_kind kind;
    bool left, right;            /* STRIP */
    struct str content;          /* REPLACE, PREPEND */
    const struct tok_regex *re;  /* REPLACE */
};

enum tok_split_behavior { TOK_SPLIT_REMOVED, TOK_SPLIT_ISOLATED, TOK_SPLIT_MERGED_WITH_PREVIOUS,
    TOK_SPLIT_MERGED_WITH_NEXT, TOK_SPLIT_CONTIGUOUS };
enum tok_stage_kind {
    TOK_STAGE_SPLIT,
    TOK_STAGE_PUNCTUATION,
    TOK_STAGE_PREFIX_SPACE,
    TOK_STAGE_METASPACE,
    TOK_STAGE_BYTES
};
enum tok_prepend { TOK_PREPEND_NEVER, TOK_PREPEND_FIRST, TOK_PREPEND_ALWAYS };
struct tok_stage {
    enum tok_stage_kind kind;
    enum tok_split_behavior behavior;
    bool invert;
    enum tok_prepend prepend;
    struct str content;          /* METASPACE: what stands for a space */
    const struct tok_regex *re;
};

enum tok_decoder_kind { TOK_DEC_JOIN_SPACE, TOK_DEC_BYTE_LEVEL, TOK_DEC_METASPACE, TOK_DEC_REPLACE,
    TOK_DEC_BYTE_FALLBACK, TOK_DEC_FUSE, TOK_DEC_STRIP, TOK_DEC_WORDPIECE };
struct tok_decoder {
    enum tok_decoder_kind kind;
    bool fused;                  /* its input is the parts of one token, not tokens */
    bool whole;                  /* it must see all of that token at once */
    bool prepend;                /* METASPACE: the first token's leading space was added */
    bool cleanup;                /* WORDPIECE: spaces before punctuation and contractions go */
    uint32_t start, stop;        /* STRIP: how many at most */
    struct str content, with;    /* REPLACE content -> with; STRIP, METASPACE: one character;
                                  * WORDPIECE: how a token that goes on with a word begins */
    const struct tok_regex *re;  /* REPLACE */
};

struct tok_added {
    struct str content, pattern; /* pattern: what is looked for (normalized when `normalized`) */
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};

/* A trie of the patterns of added tokens; node 0 is the root. */
struct tok_trie_node { uint32_t child, sibling; int32_t added; uint8_t byte; };
struct tok_trie {
    struct tok_trie_node *nodes; /* NULL = no tokens */
    size_t n;
    uint64_t begins[4];          /* bytes that a token can begin with */
};

struct tok {
    struct str json;
    const char *blob;
    struct tok_piece *pieces;    /* [n_ids] */
    size_t n_ids, max_piece;     /* max_piece: longest text in the vocabulary, bytes */
    struct tok_vocab_slot *vocab;
    size_t vocab_mask;
    struct tok_merge *merges;
    size_t merge_mask;
    uint64_t seed;
    struct str unk_token, subword_prefix, word_suffix;
    bool wordpiece;              /* whole words into longest pieces, no merges */
    int64_t max_word;            /* WordPiece: characters; a longer word is unknown */
    bool fuse_unk, byte_fallback, ignore_merges;
    bool bytes_last;             /* the last stage maps bytes: BPE begins with byte_id */
    int32_t byte_id[256];        /* id of the character that stands for a byte, TOK_NO_ID = none */
    int32_t fallback_id[256];    /* id of "<0xNN>" */
    int32_t char_id[128];        /* id of an ASCII character as a token */
    bool cuts_at_mark;     /* no merge crosses from a byte outside of `joins_mark` to U+2581 */
    uint64_t joins_mark[4];  /* last bytes of what merges with something that begins with U+2581 */

    struct tok_added *added;
    uint32_t *added_by_text;     /* indexes of `added` sorted by content */
    size_t n_added, n_sorted;
    struct tok_trie tries[TOK_MAX_SECTIONS];

    struct tok_norm_step norms[TOK_MAX_STAGES];
    struct tok_stage stages[TOK_MAX_STAGES];
    struct tok_decoder decoders[TOK_MAX_DECODERS];
    size_t n_norms, n_stages, n_decoders;
    int32_t before[TOK_MAX_AFFIXES], behind[TOK_MAX_AFFIXES];
    size_t n_before, n_behind;
};

/* One encoding: everything that changes. */
struct tok_run {
    const struct tok *t;
    struct tok_ids *out;
    struct err *e;
    bool plain;                  /* special tokens are ordinary text everywhere */
    const struct tok_range *ranges;   /* or where they are, in bytes behind base; NULL = nowhere */
    size_t n_ranges;
    const char *base;
    struct str section;          /* text between raw tokens that is being worked on */
    bool rewritten;              /* the normalizer made another text of it */
    size_t *search_from;         /* [n_added] offsets in section, or NULL as long as nobody asked */
    struct tok_match_stack stacks[TOK_MAX_STAGES + 1];   /* the last one is the normalizer's */
    struct buf stage_text[TOK_MAX_STAGES], norm_text[2], mapped, affixed;
    uint32_t *nf;                /* code points being normalized */
    size_t nf_cap;
    int32_t *symbols;            /* BPE: see tok_bpe.c */
    size_t symbols_cap;
    uint64_t word_bytes_left;    /* WordPiece: what may still be looked up */
    void *heap;
    size_t heap_cap_bytes;
};

/* ---- stations -------------------------------------------------------------------------------- */

/* Keyed hash of the vocabulary. (tok_bpe.c) */
MLXK_FN uint64_t tok_hash(const struct tok *t, const char *p, size_t n);
/* Text of an id below n_ids; empty when it has none. */
MLXK_FN struct str tok_piece_text(const struct tok *t, int32_t id);
/* Id of a text in the model's vocabulary (not of added tokens). */
MLXK_FN int32_t tok_vocab_find(const struct tok *t, struct str text);
/* The same by hash alone: for texts that a file says are there. The 64 bits are keyed, so a false
 * answer does not happen by accident; on purpose it spoils only the file's own ids. */
MLXK_FN int32_t tok_vocab_find_hashed(const struct tok *t, struct str text);
/* What a pair becomes; rank1 == 0 = nothing. */
MLXK_FN const struct tok_merge *tok_merge_find(const struct tok *t, uint32_t left, uint32_t right);
/* The character that stands for a byte in byte-level vocabularies, and back (-1 = none). */
MLXK_FN uint32_t tok_byte_to_char(uint8_t byte);
MLXK_FN int tok_char_to_byte(uint32_t cp);
/* Ids of one piece. bytes: its bytes are the symbols, else its characters. */
MLXK_FN bool tok_bpe_encode(struct tok_run *r, struct str piece, bool bytes);

/* Ids of one word by WordPiece: the longest pieces from the left, or the unknown token for all of
 * it. (tok_wordpiece.c) */
MLXK_FN bool tok_wordpiece_encode(struct tok_run *r, struct str word);
/* Work allowed for a text of n bytes: far more than a fair vocabulary takes. */
MLXK_FN uint64_t tok_wordpiece_budget(size_t n);
/* Takes out the spaces that English does not put before punctuation and contractions, in place. */
MLXK_FN void tok_wordpiece_cleanup(struct buf *text);

/* Runs all normalizer steps; *out is text itself or lies in r. (tok_normalize.c) */
MLXK_FN bool tok_normalize(struct tok_run *r, struct str text, struct str *out);
/* One of the four forms, appended to out. */
MLXK_FN bool tok_normal_form(struct tok_run *r, struct str text, bool compat, bool compose,
                             struct buf *out);

/* Runs the pre-tokenizer stages from `stage` on and encodes what comes out. at_start: text begins
 * where the whole text begins. (tok_split.c) */
MLXK_FN bool tok_split(struct tok_run *r, size_t stage, struct str text, bool at_start);

/* Orders the added tokens by text, for tok_added_find; builds the tries of their patterns.
 * (tok_added.c) */
MLXK_FN bool tok_added_sort(struct arena *a, struct tok *t, struct err *e);
MLXK_FN bool tok_added_index(struct arena *a, struct tok *t, struct err *e);
/* Splits text at the added tokens of a section and encodes both. */
MLXK_FN bool tok_added_split(struct tok_run *r, size_t section, struct str text, bool at_start);
MLXK_FN const struct tok_added *tok_added_find(const struct tok *t, struct str content);

MLXK_FN void tok_run_init(struct tok_run *r, const struct tok *t, struct tok_ids *out,
                          struct err *e);
MLXK_FN void tok_run_release(struct tok_run *r);

/* Reads the four components from their JSON (NULL = absent) into t. (tok_parts.c) */
MLXK_FN bool tok_read_normalizer(struct arena *a, struct tok *t, const struct json *v,
                                 struct err *e);
MLXK_FN bool tok_read_pre_tokenizer(struct arena *a, struct tok *t, const struct json *v,
                                    struct err *e);
MLXK_FN bool tok_read_post_processor(struct tok *t, const struct json *v, struct err *e);
MLXK_FN bool tok_read_decoder(struct arena *a, struct tok *t, const struct json *v, struct err *e);

/* Reads "model" at the reader into t. (tok_model.c) */
MLXK_FN bool tok_read_model(struct arena *a, struct tok *t, struct json_reader *reader,
                            struct err *e);

#endif
