/* rel_lines.c: hashes over sorted lines, and other small hashes.
 *
 * 1. The order in which lines were added does not matter.
 */
#include "release/rel_int.h"

MLXK_FN void rel_lines_add(struct rel_lines *l, struct str line) {
    if (l->failed) return;
    struct str *grown = ARENA_GROW(l->arena, struct str, l->items, l->n, &l->cap, 256);
    l->failed = !grown || !line.p;
    if (l->failed) return;
    l->items = grown;
    l->items[l->n++] = line;
}

MLXK_FN void rel_lines_addf(struct rel_lines *l, const char *format_cstr, ...) {
    struct buf b;
    va_list args;
    buf_init(&b, (size_t)1 << 20);
    va_start(args, format_cstr);
    buf_addfv(&b, format_cstr, args);
    va_end(args);
    rel_lines_add(l, b.failed ? STR_EMPTY : str_dup(l->arena, buf_str(&b)));
    buf_release(&b);
}

MLXK_FN void rel_lines_add_hash(struct rel_lines *l, struct str path, struct str detail,
                                const char *sha256_cstr) {
    size_t n = path.n + 1 + (detail.n ? detail.n + 1 : 0) + 64, at = path.n;
    char *p = arena_alloc(l->arena, n, 1);
    if (p) {
        if (path.n) memcpy(p, path.p, path.n);
        p[at++] = 0;
        if (detail.n) {
            memcpy(p + at, detail.p, detail.n);
            at += detail.n;
            p[at++] = 0;
        }
        memcpy(p + at, sha256_cstr, 64);
    }
    rel_lines_add(l, (struct str){ p, n });
}

/* ---- order ---- */

static void rel_sort_sift(struct str *items, size_t at, size_t n) {
    struct str x = items[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && str_cmp(items[child + 1], items[child]) > 0) child++;
        if (str_cmp(items[child], x) <= 0) break;
        items[at] = items[child];
    }
    items[at] = x;
}

MLXK_FN void rel_sort_texts(struct str *items, size_t n) {
    for (size_t i = n / 2; i > 0; i--) rel_sort_sift(items, i - 1, n);
    for (size_t i = n; i > 1; i--) {
        struct str top = items[0];
        items[0] = items[i - 1];
        items[i - 1] = top;
        rel_sort_sift(items, 0, i - 1);
    }
}

/* ---- hashes ---- */

static void rel_hash_end(struct sha256 *s, char out[65]) {
    uint8_t digest[32];
    sha256_final(s, digest);
    str_hex(out, digest, sizeof digest);
}

MLXK_FN bool rel_lines_hash(struct rel_lines *l, char out[65], struct err *e) {
    struct sha256 s;
    if (l->failed) return err_oom(e, l->n * sizeof *l->items, "the hashes of a model");
    rel_sort_texts(l->items, l->n);
    sha256_init(&s);
    for (size_t i = 0; i < l->n; i++) {
        sha256_update(&s, l->items[i].p, l->items[i].n);
        sha256_update(&s, "\n", 1);
    }
    rel_hash_end(&s, out);
    return true;
}

MLXK_FN void rel_hash_text(struct str text, char out[65]) {
    struct sha256 s;
    sha256_init(&s);
    sha256_update(&s, text.p, text.n);
    rel_hash_end(&s, out);
}

MLXK_FN bool rel_hash_json(const struct json *v, bool (*skip)(struct str key), char out[65],
                           struct err *e) {
    struct buf b;
    buf_init(&b, LIMIT_JSON_FILE);
    bool ok = rel_canon_write(&b, v, skip, e);
    if (ok) rel_hash_text(buf_str(&b), out);
    buf_release(&b);
    return ok;
}
