/* tok_bpe.c: the vocabulary and byte-pair merging.
 *
 * A piece becomes symbols (ids), then the neighbours with the lowest rank are joined, the leftmost
 * first, until no pair is in the table. Short pieces scan an array, long ones use a heap over a
 * linked list, so that a text without any split (whole-text tokenizers) stays O(n log n).
 *
 * 1. Joining only ever makes symbols longer, so a heap entry is stale exactly when the pair now at
 *    its place has another rank.
 * 2. A pair that stands in the table twice has its last rank and result.
 * 3. Hashes are keyed with the seed of base, so that a hostile file cannot pile up its entries.
 */
#include "tokenizer/tok_int.h"

enum { TOK_BPE_SMALL = 48 }; /* up to here scanning beats the heap */

static uint64_t tok_mix(uint64_t x) {
    x ^= x >> 32;
    x *= 0x9E3779B97F4A7C15u; /* 2^64 / golden ratio */
    x ^= x >> 29;
    return x;
}

MLXK_FN uint64_t tok_hash(const struct tok *t, const char *p, size_t n) {
    uint64_t h = t->seed ^ n * 0xFF51AFD7ED558CCDu, last = 0;
    const char *end = p + n;
    for (; end - p > 8; p += 8) h = tok_mix(h ^ num_read_u64(p));
    if (n >= 8) /* the last bytes, some of them for the second time */
        last = num_read_u64(end - 8);
    else if (n >= 4)
        last = num_read_u32(p) | (uint64_t)num_read_u32(end - 4) << 32;
    else if (n > 0)
        last = (uint8_t)p[0] | (uint64_t)(uint8_t)p[n / 2] << 8 | (uint64_t)(uint8_t)p[n - 1] << 16;
    h = tok_mix(h ^ last);
    return tok_mix(h ^ t->seed);
}

MLXK_FN struct str tok_piece_text(const struct tok *t, int32_t id) {
    const struct tok_piece *piece = &t->pieces[id];
    if (piece->len_flags & TOK_PIECE_ADDED) return t->added[piece->offset].content;
    const char *base = piece->len_flags & TOK_PIECE_BLOB ? t->blob : t->json.p;
    return (struct str){ base + piece->offset, piece->len_flags & TOK_PIECE_LEN };
}

static const struct tok_vocab_slot *tok_vocab_slot_of(const struct tok *t, struct str text,
                                                      bool compare) {
    uint64_t h = tok_hash(t, text.p, text.n);
    for (size_t i = h & t->vocab_mask;; i = (i + 1) & t->vocab_mask) {
        const struct tok_vocab_slot *slot = &t->vocab[i];
        if (slot->id1 == 0) return slot;
        if (slot->hash_low == (uint32_t)h && slot->hash_high == (uint32_t)(h >> 32) &&
            (!compare || str_eq(tok_piece_text(t, (int32_t)(slot->id1 - 1)), text)))
            return slot;
    }
}

MLXK_FN int32_t tok_vocab_find(const struct tok *t, struct str text) {
    return text.n > t->max_piece ? TOK_NO_ID : (int32_t)tok_vocab_slot_of(t, text, true)->id1 - 1;
}

MLXK_FN int32_t tok_vocab_find_hashed(const struct tok *t, struct str text) {
    return text.n > t->max_piece ? TOK_NO_ID : (int32_t)tok_vocab_slot_of(t, text, false)->id1 - 1;
}

MLXK_FN const struct tok_merge *tok_merge_find(const struct tok *t, uint32_t left, uint32_t right) {
    uint64_t h = tok_mix(((uint64_t)left << 32 | right) ^ t->seed);
    for (size_t i = h & t->merge_mask;; i = (i + 1) & t->merge_mask) {
        const struct tok_merge *m = &t->merges[i];
        if (m->rank1 == 0 || (m->left == left && m->right == right)) return m;
    }
}

/* ---- bytes as characters --------------------------------------------------------------------- */

/* Printable characters of Latin-1 stand for their own byte, the other 68 bytes for U+0100
 * onward. */
static bool tok_byte_is_itself(uint32_t b) {
    return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xFF && b != 0xAD);
}

MLXK_FN uint32_t tok_byte_to_char(uint8_t byte) {
    if (tok_byte_is_itself(byte)) return byte;
    if (byte <= 0x20) return 0x100u + byte;
    return byte == 0xAD ? 0x143 : 0x100u + 0x21 + (byte - 0x7Fu);
}

MLXK_FN int tok_char_to_byte(uint32_t cp) {
    if (cp < 0x100) return tok_byte_is_itself(cp) ? (int)cp : -1;
    if (cp <= 0x120) return (int)(cp - 0x100);
    if (cp <= 0x142) return (int)(cp - 0x121 + 0x7F);
    return cp == 0x143 ? 0xAD : -1;
}

/* ---- merging --------------------------------------------------------------------------------- */

static size_t tok_merge_small(const struct tok *t, int32_t *ids, size_t n) {
    const struct tok_merge *pair[TOK_BPE_SMALL];
    for (size_t i = 0; i + 1 < n; i++)
        pair[i] = tok_merge_find(t, (uint32_t)ids[i], (uint32_t)ids[i + 1]);
    while (n > 1) {
        size_t best = 0;
        uint32_t rank = UINT32_MAX;
        for (size_t i = 0; i + 1 < n; i++) {
            uint32_t here = pair[i]->rank1 - 1; /* none: the highest value */
            if (here < rank) {
                rank = here;
                best = i;
            }
        }
        if (rank == UINT32_MAX) break;
        ids[best] = pair[best]->id;
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        if (best + 1 < n) {
            memmove(pair + best, pair + best + 1, (n - 1 - best) * sizeof(pair[0]));
            pair[best] = tok_merge_find(t, (uint32_t)ids[best], (uint32_t)ids[best + 1]);
        }
        if (best > 0)
            pair[best - 1] = tok_merge_find(t, (uint32_t)ids[best - 1], (uint32_t)ids[best]);
    }
    return n;
}

/* A heap of rank << 32 | place, smallest first. */
struct tok_heap {
    uint64_t *p;
    size_t n;
};

static void tok_heap_push(struct tok_heap *h, uint64_t x) {
    size_t i = h->n++;
    for (; i > 0 && h->p[(i - 1) / 2] > x; i = (i - 1) / 2) h->p[i] = h->p[(i - 1) / 2];
    h->p[i] = x;
}

static uint64_t tok_heap_pop(struct tok_heap *h) {
    uint64_t top = h->p[0], x = h->p[--h->n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->p[child + 1] < h->p[child]) child++;
        if (h->p[child] >= x) break;
        h->p[i] = h->p[child];
    }
    h->p[i] = x;
    return top;
}

static void tok_heap_offer(const struct tok *t, struct tok_heap *h, const int32_t *ids,
                           uint32_t left, uint32_t right) {
    const struct tok_merge *m = tok_merge_find(t, (uint32_t)ids[left], (uint32_t)ids[right]);
    if (m->rank1) tok_heap_push(h, (uint64_t)(m->rank1 - 1) << 32 | left);
}

/* Every join takes one symbol away and offers two pairs: at most 3n entries in all. */
static size_t tok_merge_large(struct tok_run *r, int32_t *ids, size_t n) {
    const struct tok *t = r->t;
    struct tok_heap heap = { r->heap, 0 };
    uint32_t *next = (uint32_t *)(heap.p + 3 * n), *prev = next + n;
    for (size_t i = 0; i < n; i++) {
        next[i] = (uint32_t)i + 1;
        prev[i] = (uint32_t)i - 1; /* of the first: never used, it has no left */
        if (i + 1 < n) tok_heap_offer(t, &heap, ids, (uint32_t)i, (uint32_t)i + 1);
    }
    while (heap.n > 0) {
        uint64_t top = tok_heap_pop(&heap);
        uint32_t at = (uint32_t)top, right = next[at];
        if (ids[at] < 0 || right >= n) continue;
        const struct tok_merge *m = tok_merge_find(t, (uint32_t)ids[at], (uint32_t)ids[right]);
        if (m->rank1 == 0 || m->rank1 - 1 != (uint32_t)(top >> 32)) continue;
        ids[at] = m->id;
        ids[right] = TOK_NO_ID;
        next[at] = next[right];
        if (next[at] < n) {
            prev[next[at]] = at;
            tok_heap_offer(t, &heap, ids, at, next[at]);
        }
        if (at > 0) tok_heap_offer(t, &heap, ids, prev[at], at);
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= 0) ids[kept++] = ids[i];
    return kept;
}

static void *tok_grow_block(struct tok_run *r, void *old, size_t *cap_bytes, size_t want_bytes) {
    if (want_bytes <= *cap_bytes) return old;
    size_t cap = want_bytes + want_bytes / 2;
    void *p = mem_realloc(old, cap);
    if (p)
        *cap_bytes = cap;
    else
        err_oom(r->e, cap, "tokenizing");
    return p;
}

/* Merges the n symbols in r->symbols and gives them out. */
static bool tok_bpe_finish(struct tok_run *r, size_t n) {
    if (n > TOK_BPE_SMALL) {
        void *p = tok_grow_block(r, r->heap, &r->heap_cap_bytes,
                                 n * (3 * sizeof(uint64_t) + 2 * sizeof(uint32_t)));
        if (!p) return false;
        r->heap = p;
        n = tok_merge_large(r, r->symbols, n);
    } else {
        n = tok_merge_small(r->t, r->symbols, n);
    }
    for (size_t i = 0; i < n; i++) tok_ids_add(r->out, r->symbols[i]);
    return true;
}

static bool tok_symbols_reserve(struct tok_run *r, size_t n) {
    void *p = tok_grow_block(r, r->symbols, &r->symbols_cap, n * sizeof *r->symbols);
    if (p) r->symbols = p;
    return p != NULL;
}

/* ---- symbols of a piece ---------------------------------------------------------------------- */

/* A character the vocabulary lacks: its bytes, or the unknown token, which waits in *unk so that
 * neighbours can be fused into one. */
static bool tok_bpe_unknown(struct tok_run *r, struct str symbol, int32_t *unk, size_t *n) {
    const struct tok *t = r->t;
    bool all = t->byte_fallback;
    for (size_t i = 0; i < symbol.n && all; i++) all = t->fallback_id[(uint8_t)symbol.p[i]] >= 0;
    if (all) {
        for (size_t i = 0; i < symbol.n; i++)
            r->symbols[(*n)++] = t->fallback_id[(uint8_t)symbol.p[i]];
        return true;
    }
    if (!t->unk_token.p) return true; /* left out, as the reference does */
    if (*unk >= 0 && !t->fuse_unk) r->symbols[(*n)++] = *unk;
    *unk = tok_vocab_find(t, t->unk_token);
    if (*unk < 0)
        return err_set(r->e, ERR_FORMAT,
                       "tokenizer.json: the unknown token \"" STR_FMT "\" is not in its vocabulary",
                       STR_ARG(t->unk_token));
    return true;
}

/* The text of one symbol: the character with prefix or suffix where the model has them. */
static struct str tok_bpe_symbol(struct tok_run *r, struct str piece, size_t at, size_t len) {
    const struct tok *t = r->t;
    struct str symbol = { piece.p + at, len };
    bool prefix = at > 0 && t->subword_prefix.n, suffix = at + len == piece.n && t->word_suffix.n;
    if (!prefix && !suffix) return symbol;
    buf_reset(&r->affixed);
    if (prefix) buf_add(&r->affixed, t->subword_prefix);
    buf_add(&r->affixed, symbol);
    if (suffix) buf_add(&r->affixed, t->word_suffix);
    return buf_str(&r->affixed);
}

static bool tok_bpe_chars(struct tok_run *r, struct str piece) {
    const struct tok *t = r->t;
    size_t n = 0, len = 1, affixes = t->subword_prefix.n + t->word_suffix.n;
    int32_t unk = TOK_NO_ID;
    if (!tok_symbols_reserve(r, piece.n * (affixes ? 1 + affixes : 1) + 1)) return false;
    for (size_t i = 0; i < piece.n; i += len) {
        uint32_t cp = tok_next(piece.p + i, &len);
        struct str symbol = { piece.p + i, len };
        if (affixes) symbol = tok_bpe_symbol(r, piece, i, len);
        int32_t id = cp < 128 && !affixes ? t->char_id[cp] : tok_vocab_find(t, symbol);
        if (id >= 0) {
            if (unk >= 0) r->symbols[n++] = unk;
            unk = TOK_NO_ID;
            r->symbols[n++] = id;
        } else if (!tok_bpe_unknown(r, symbol, &unk, &n)) {
            return false;
        }
    }
    if (unk >= 0) r->symbols[n++] = unk;
    return tok_bpe_finish(r, n);
}

/* End of the first part of text that no merge leaves: where a word begins, if the model has such
 * places. Whole-text tokenizers get their short pieces from this. */
static size_t tok_bpe_part(const struct tok *t, struct str text) {
    for (size_t i = 1; t->cuts_at_mark && i < text.n; i++) {
        const char *mark = memchr(text.p + i, TOK_SPACE_MARK.p[0], text.n - i);
        if (!mark) break;
        i = (size_t)(mark - text.p);
        uint8_t before = (uint8_t)mark[-1];
        if (!(t->joins_mark[before / 64] >> before % 64 & 1) &&
            str_starts(str_sub(text, i, text.n), TOK_SPACE_MARK))
            return i;
    }
    return text.n;
}

static bool tok_bpe_parts(struct tok_run *r, struct str text) {
    for (size_t n; text.n > 0; text = str_sub(text, n, text.n)) {
        n = tok_bpe_part(r->t, text);
        if (!tok_bpe_chars(r, str_sub(text, 0, n))) return false;
    }
    return true;
}

/* The piece with every byte as its character, in r->mapped. */
static struct str tok_bpe_mapped(struct tok_run *r, struct str piece) {
    buf_reset(&r->mapped);
    if (!buf_reserve(&r->mapped, piece.n * 2)) return STR_EMPTY;
    for (size_t i = 0; i < piece.n; i++)
        r->mapped.n +=
            utf8_encode(r->mapped.p + r->mapped.n, tok_byte_to_char((uint8_t)piece.p[i]));
    r->mapped.p[r->mapped.n] = 0;
    return buf_str(&r->mapped);
}

MLXK_FN bool tok_bpe_encode(struct tok_run *r, struct str piece, bool bytes) {
    const struct tok *t = r->t;
    bool simple =
        bytes && !t->unk_token.p && !t->byte_fallback && !t->subword_prefix.n && !t->word_suffix.n;
    bool whole = t->ignore_merges && piece.n <= t->max_piece;
    struct str text = piece;
    if (bytes && (whole || !simple)) {
        text = tok_bpe_mapped(r, piece);
        if (!buf_ok(&r->mapped, "tokenizing", r->e)) return false;
    }
    if (whole) {
        int32_t id = tok_vocab_find(t, text);
        if (id >= 0) {
            tok_ids_add(r->out, id);
            return true;
        }
    }
    if (!simple) return tok_bpe_parts(r, text);
    size_t n = 0;
    if (!tok_symbols_reserve(r, piece.n)) return false;
    for (size_t i = 0; i < piece.n; i++) {
        int32_t id = t->byte_id[(uint8_t)piece.p[i]];
        if (id >= 0) r->symbols[n++] = id;
    }
    return tok_bpe_finish(r, n);
}
