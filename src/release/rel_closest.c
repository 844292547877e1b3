/* rel_closest.c: which release a state follows.
 *
 *   history known:   HEAD -> its parents -> theirs ..., breadth first; the nearest commit with one
 *   else:            the release that shares most bytes of its files with the state
 *
 * 1. Of several releases equally near the highest version wins, so the answer depends on the
 *    history and not on the order in which tags or parents are listed.
 * 2. Every commit is looked at once, merges and diamonds or not.
 */
#include "release/rel_int.h"

/* ---- the graph ---- */

struct rel_graph {
    struct arena *a;
    struct map index;            /* first digits of a commit -> its place */
    struct str *commits;
    uint32_t *parents;           /* of all commits, one behind the other */
    size_t *first;               /* where the parents of commit i begin; n + 1 of them */
    size_t n;
};

static struct str rel_graph_key(struct str commit) { return str_sub(commit, 0, REL_SHORT); }

/* Place of a commit given in full or by its first digits; SIZE_MAX = not there. */
static size_t rel_graph_find(const struct rel_graph *g, struct str commit) {
    const uint64_t *at = commit.n >= REL_SHORT ? map_get(&g->index, rel_graph_key(commit)) : NULL;
    return at && str_starts(g->commits[*at], commit) ? (size_t)*at : SIZE_MAX;
}

static size_t rel_graph_lines(struct str text) {
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) n += text.p[i] == '\n';
    return n + 1;
}

static bool rel_graph_names(struct rel_graph *g, struct str text) {
    size_t words = 0;
    for (struct str rest = text; rest.p && rest.n;) {
        struct str line = str_cut(&rest, '\n');
        for (size_t i = 0; i < line.n; i++) words += line.p[i] == ' ';
        uint64_t *at = map_put(&g->index, rel_graph_key(line), NULL);
        if (!at) return false;
        *at = g->n;
        g->commits[g->n++] = str_cut(&line, ' ');
    }
    g->parents = ARENA_ARRAY(g->a, uint32_t, words + 1);
    g->first = ARENA_ARRAY(g->a, size_t, g->n + 1);
    return g->parents && g->first;
}

/* Parents beyond the text (a shallow clone ends there) are left out. */
static bool rel_graph_read(struct rel_graph *g, struct str text, struct err *e) {
    size_t n_parents = 0, i = 0;
    g->commits = ARENA_ARRAY(g->a, struct str, rel_graph_lines(text));
    map_init(&g->index, REL_MAX_HISTORY + 1);
    if (!g->commits || !rel_graph_names(g, text)) return err_oom(e, text.n, "a history");
    for (struct str rest = text; rest.p && rest.n; i++) {
        struct str line = str_cut(&rest, '\n');
        (void)str_cut(&line, ' ');
        g->first[i] = n_parents;
        while (line.p) {
            size_t at = rel_graph_find(g, str_cut(&line, ' '));
            if (at != SIZE_MAX) g->parents[n_parents++] = (uint32_t)at;
        }
    }
    g->first[g->n] = n_parents;
    return true;
}

/* ---- the walk ---- */

static bool rel_closest_better(const struct rel_known_list *l, size_t x, size_t y) {
    return y == SIZE_MAX || rel_version_cmp(&l->items[x].version, &l->items[y].version) > 0;
}

/* The highest release on each commit; SIZE_MAX = none. NULL = no memory. */
static size_t *rel_closest_marks(struct rel_graph *g, const struct rel_known_list *l) {
    size_t *marks = ARENA_ARRAY(g->a, size_t, g->n + 1);
    for (size_t i = 0; marks && i < g->n; i++) marks[i] = SIZE_MAX;
    for (size_t i = 0; marks && i < l->n; i++) {
        size_t at = rel_graph_find(g, l->items[i].commit);
        if (at != SIZE_MAX && rel_closest_better(l, i, marks[at])) marks[at] = i;
    }
    return marks;
}

/* SIZE_MAX = no release among the ancestors. */
static size_t rel_closest_walk(struct rel_graph *g, const struct rel_known_list *l, struct err *e) {
    size_t *marks = rel_closest_marks(g, l), *queue = ARENA_ARRAY(g->a, size_t, g->n + 1);
    bool *seen = ARENA_ARRAY(g->a, bool, g->n + 1);
    size_t from = 0, to = 0, best = SIZE_MAX;
    if (!marks || !queue || !seen) {
        err_oom(e, g->n * sizeof *queue, "a history");
        return SIZE_MAX;
    }
    if (g->n) queue[to++] = 0;
    if (g->n) seen[0] = true;
    while (from < to && best == SIZE_MAX) {
        size_t end = to;                         /* of those that are equally far */
        for (; from < end; from++) {
            size_t at = queue[from];
            if (marks[at] != SIZE_MAX && rel_closest_better(l, marks[at], best)) best = marks[at];
            for (size_t k = g->first[at]; k < g->first[at + 1]; k++) {
                if (seen[g->parents[k]]) continue;
                seen[g->parents[k]] = true;
                queue[to++] = g->parents[k];
            }
        }
    }
    return best;
}

static bool rel_closest_history(struct arena *a, const struct rel_origin *o,
                                const struct rel_known_list *l, struct rel_closest *out,
                                struct err *e) {
    struct rel_graph g = { .a = a };
    struct str text;
    if (!rel_git_history(a, o, &text, e)) return false;
    bool ok = rel_graph_read(&g, text, e);
    size_t best = ok ? rel_closest_walk(&g, l, e) : SIZE_MAX;
    if (best != SIZE_MAX) {
        size_t at = rel_graph_find(&g, l->items[best].commit);
        *out = (struct rel_closest){ .how = REL_CLOSEST_HISTORY, .index = best };
        ok = rel_git_distance(a, o, g.commits[at], &out->distance, e);
    }
    map_release(&g.index);
    return ok && (best != SIZE_MAX || e->code == ERR_OK);
}

/* ---- by content ---- */

static bool rel_closest_has(const struct rel_known *k, const char *hex_cstr) {
    for (size_t i = 0; i < k->n_blobs; i++)
        if (str_eq_cstr(k->blobs[i].hex, hex_cstr)) return true;
    return false;
}

static bool rel_closest_holds(const struct rel_state *s, struct str hex) {
    for (size_t i = 0; i < s->n; i++)
        if (str_eq_cstr(hex, s->files[i].sha256)) return true;
    return false;
}

/* Bytes of files that only one of the two has. */
static uint64_t rel_closest_bytes(const struct rel_state *s, const struct rel_known *k) {
    uint64_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (!rel_closest_has(k, s->files[i].sha256)) n += s->files[i].size_bytes;
    for (size_t i = 0; i < k->n_blobs; i++)
        if (!rel_closest_holds(s, k->blobs[i].hex)) n += k->blobs[i].size_bytes;
    return n;
}

static void rel_closest_content(const struct rel_state *s, const struct rel_known_list *l,
                                struct rel_closest *out) {
    size_t best = SIZE_MAX;
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < l->n; i++) {
        if (!l->items[i].n_blobs) continue;
        uint64_t n = rel_closest_bytes(s, &l->items[i]);
        if (n > least || (n == least && !rel_closest_better(l, i, best))) continue;
        best = i;
        least = n;
    }
    if (best == SIZE_MAX) return;
    *out = (struct rel_closest){ .how = REL_CLOSEST_CONTENT, .index = best, .distance = least,
                                 .cut = out->cut };
}

MLXK_FN bool rel_closest_find(struct arena *a, const struct rel_origin *o,
                              const struct rel_state *s, const struct rel_known_list *list,
                              struct rel_closest *out, struct err *e) {
    *out = (struct rel_closest){ .how = REL_CLOSEST_NONE };
    if (!list->n) return true;
    if (o->kind == REL_FROM_GIT && !rel_closest_history(a, o, list, out, e)) return false;
    if (out->how != REL_CLOSEST_NONE) return true;
    out->cut = o->kind == REL_FROM_GIT && o->shallow;
    rel_closest_content(s, list, out);
    return true;
}
