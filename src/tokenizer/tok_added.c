/* tok_added.c: added tokens: finding them in text before anything else sees it.
 *
 * The longest token wins at the leftmost place; tokens marked `normalized` are looked for in
 * normalized text, the others in the text as given. What lies between goes on to the normalizer
 * or to the pre-tokenizer.
 *
 * 1. A token that is refused (single_word, plain text) still takes its place: the search goes on
 *    behind it, as in the reference.
 * 2. Patterns are not empty; the trie's depth is the longest pattern.
 */
#include "tokenizer/tok_int.h"

static bool tok_trie_add(struct tok_trie *trie, struct str pattern, int32_t added) {
    uint32_t at = 0;
    for (size_t i = 0; i < pattern.n; i++) {
        uint8_t byte = (uint8_t)pattern.p[i];
        uint32_t child = trie->nodes[at].child;
        while (child && trie->nodes[child].byte != byte) child = trie->nodes[child].sibling;
        if (!child) {
            if (trie->n >= UINT32_MAX) return false;
            child = (uint32_t)trie->n++;
            trie->nodes[child] =
                (struct tok_trie_node){ 0, trie->nodes[at].child, TOK_NO_ID, byte };
            trie->nodes[at].child = child;
        }
        at = child;
    }
    trie->nodes[at].added = added;
    trie->begins[(uint8_t)pattern.p[0] / 64] |= 1ull << (uint8_t)pattern.p[0] % 64;
    return true;
}

static bool tok_trie_build(struct arena *a, struct tok *t, bool normalized, struct tok_trie *trie,
                           struct err *e) {
    size_t bytes = 1, n = 0;
    for (size_t i = 0; i < t->n_added; i++)
        if (t->added[i].normalized == normalized && t->added[i].pattern.n) {
            bytes += t->added[i].pattern.n;
            n++;
        }
    if (n == 0) return true;
    trie->nodes = ARENA_ARRAY(a, struct tok_trie_node, bytes);
    if (!trie->nodes) return err_oom(e, bytes * sizeof *trie->nodes, "added tokens");
    trie->n = 1;
    for (size_t i = 0; i < t->n_added; i++)
        if (t->added[i].normalized == normalized && t->added[i].pattern.n &&
            !tok_trie_add(trie, t->added[i].pattern, (int32_t)i))
            return err_set(e, ERR_LIMIT, "tokenizer.json: the added tokens are too long");
    return true;
}

/* Shell sort: a few thousand entries, once. */
MLXK_FN bool tok_added_sort(struct arena *a, struct tok *t, struct err *e) {
    size_t n = t->n_added;
    uint32_t *order = ARENA_ARRAY(a, uint32_t, n);
    if (!order) return err_oom(e, n * sizeof *order, "added tokens");
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            uint32_t x = order[i];
            size_t k = i;
            for (; k >= gap && str_cmp(t->added[order[k - gap]].content, t->added[x].content) > 0;
                 k -= gap)
                order[k] = order[k - gap];
            order[k] = x;
        }
    t->added_by_text = order;
    t->n_sorted = n;
    return true;
}

MLXK_FN bool tok_added_index(struct arena *a, struct tok *t, struct err *e) {
    return tok_trie_build(a, t, false, &t->tries[0], e) &&
           tok_trie_build(a, t, true, &t->tries[1], e);
}

MLXK_FN const struct tok_added *tok_added_find(const struct tok *t, struct str content) {
    size_t low = 0, high = t->n_sorted;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct tok_added *added = &t->added[t->added_by_text[mid]];
        int order = str_cmp(added->content, content);
        if (order == 0) return added;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* The longest token that begins at p: its index and length, TOK_NO_ID = none. */
static int32_t tok_trie_longest(const struct tok_trie *trie, const char *p, size_t n, size_t *len) {
    int32_t best = TOK_NO_ID;
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t child = trie->nodes[at].child;
        while (child && trie->nodes[child].byte != (uint8_t)p[i])
            child = trie->nodes[child].sibling;
        if (!child) break;
        at = child;
        if (trie->nodes[at].added >= 0) {
            best = trie->nodes[at].added;
            *len = i + 1;
        }
    }
    return best;
}

static bool tok_added_alone(struct str text, size_t begin, size_t end) {
    size_t len;
    return (begin == 0 || !tok_is_word(tok_next(text.p + tok_prev(text.p, begin), &len))) &&
           (end == text.n || !tok_is_word(tok_next(text.p + end, &len)));
}

/* Text between tokens goes to the next station. */
static bool tok_added_pass(struct tok_run *r, size_t section, struct str text, bool at_start) {
    struct str normal;
    if (text.n == 0) return true;
    if (section + 1 == TOK_MAX_SECTIONS) return tok_split(r, 0, text, at_start);
    if (!tok_normalize(r, text, &normal)) return false;
    r->section = text;
    r->rewritten = normal.p != text.p;
    if (r->search_from) memset(r->search_from, 0, r->t->n_added * sizeof *r->search_from);
    bool ok = tok_added_split(r, section + 1, normal, at_start);
    r->rewritten = false;
    return ok;
}

static bool tok_added_in_ranges(const struct tok_run *r, size_t from, size_t to) {
    size_t low = 0, high = r->n_ranges;
    while (low < high) { /* the first range that ends behind `from` */
        size_t mid = low + (high - low) / 2;
        if (r->ranges[mid].end <= from)
            low = mid + 1;
        else
            high = mid;
    }
    return low < r->n_ranges && r->ranges[low].begin < to;
}

/* Bytes of the first n bytes of the section after normalization; SIZE_MAX = failed. */
static size_t tok_added_normal_size(const struct tok_run *r, size_t n) {
    struct tok_run probe;
    struct err ignored = { .code = ERR_OK };
    struct str normal;
    tok_run_init(&probe, r->t, NULL, &ignored);
    size_t size = tok_normalize(&probe, str_sub(r->section, 0, n), &normal) ? normal.n : SIZE_MAX;
    tok_run_release(&probe);
    return size;
}

/* In text that the normalizer rewrote, a match that ends at `end` is the occurrence in the section
 * as given up to which normalization gives just as many bytes. What is none is plain: it became a
 * token by normalization only. Few tokenizers come here, so each match may cost a pass. */
static bool tok_added_rewritten_is_plain(struct tok_run *r, int32_t index, size_t end) {
    struct str content = r->t->added[index].content;
    if (!r->search_from) {
        r->search_from = mem_alloc(r->t->n_added * sizeof *r->search_from);
        if (!r->search_from) return true; /* the safe side */
        memset(r->search_from, 0, r->t->n_added * sizeof *r->search_from);
    }
    for (;;) {
        struct str rest = str_sub(r->section, r->search_from[index], r->section.n);
        ptrdiff_t found = str_find(rest, content);
        if (found < 0) return true;
        size_t behind = r->search_from[index] + (size_t)found + content.n;
        size_t size = tok_added_normal_size(r, behind);
        if (size > end) return true;
        r->search_from[index] = behind;
        if (size == end) {
            size_t offset = (size_t)(r->section.p - r->base) + behind;
            return tok_added_in_ranges(r, offset - content.n, offset);
        }
    }
}

/* Is a special token at [begin, end) of text to be read as ordinary text? */
static bool tok_added_is_plain(struct tok_run *r, int32_t index, struct str text, size_t begin,
                               size_t end) {
    if (r->plain || !r->n_ranges) return r->plain;
    if (r->rewritten) return tok_added_rewritten_is_plain(r, index, end);
    size_t offset = (size_t)(text.p - r->base);
    return tok_added_in_ranges(r, offset + begin, offset + end);
}

MLXK_FN bool tok_added_split(struct tok_run *r, size_t section, struct str text, bool at_start) {
    const struct tok_trie *trie = &r->t->tries[section];
    size_t done = 0, len = 0, space = 1;
    for (size_t i = 0; trie->nodes && i < text.n;) {
        unsigned char b = (unsigned char)text.p[i];
        int32_t index = trie->begins[b / 64] >> b % 64 & 1
                            ? tok_trie_longest(trie, text.p + i, text.n - i, &len)
                            : TOK_NO_ID;
        if (index < 0) {
            i++;
            continue;
        }
        const struct tok_added *added = &r->t->added[index];
        size_t begin = i, end = i + len;
        i = end;
        if ((added->special && tok_added_is_plain(r, index, text, begin, end)) ||
            (added->single_word && !tok_added_alone(text, begin, end)))
            continue;
        while (added->lstrip && begin > done &&
               tok_is_space(tok_next(text.p + tok_prev(text.p, begin), &space)))
            begin = tok_prev(text.p, begin);
        while (added->rstrip && end < text.n && tok_is_space(tok_next(text.p + end, &space)))
            end += space;
        if (begin > done &&
            !tok_added_pass(r, section, str_sub(text, done, begin), at_start && done == 0))
            return false;
        tok_ids_add(r->out, added->id);
        done = end > done ? end : done;
    }
    return tok_added_pass(r, section, str_sub(text, done, text.n), at_start && done == 0);
}
