/* fuzz_rel_index.c: any bytes as an index: as a document, packed, and as the table of a search.
 *
 * Besides not crashing: what is read is written in one way, which reads and writes as itself;
 * joined with itself nothing changes; each version has a row.
 *
 * covers: release/rel_index.c
 * covers: release/rel_index_table.c:rel_table_row release/rel_index_table.c:rel_table_sorted
 * covers: release/rel_index_table.c:rel_table_each
 * covers: release/rel_index_table.c:rel_index_table_rows
 */
#include "release/rel_index_int.h"

int fuzz_rel_index(const uint8_t *data, size_t size);

static bool fuzz_rel_index_row(void *ctx, struct str json, struct err *e) {
    struct arena a;
    arena_init(&a, (size_t)32 << 20);
    MLXK_ASSERT(json_parse(&a, json, e) != NULL);
    MLXK_ASSERT(str_find_char(json, '\n') < 0 && str_find_char(json, '\x1f') < 0);
    arena_release(&a);
    ++*(size_t *)ctx;
    return true;
}

static void fuzz_rel_index_again(const struct rel_index *x) {
    struct rel_index again;
    struct buf first, second;
    struct err e = { 0 };
    size_t n_taken, n_rows;
    rel_index_init(&again);
    buf_init(&first, REL_INDEX_MAX_BYTES);
    buf_init(&second, REL_INDEX_MAX_BYTES);
    MLXK_ASSERT(rel_index_write(&first, x, true, &e));
    MLXK_ASSERT(rel_index_parse(&again, buf_str(&first), &e));
    MLXK_ASSERT(rel_index_write(&second, &again, true, &e));
    MLXK_ASSERT(str_eq(buf_str(&first), buf_str(&second)));
    MLXK_ASSERT(rel_index_merge(&again, x, &n_taken, &e) && n_taken == 0);
    for (size_t i = 0; i < x->n; i++) {
        bool changed = false;
        n_rows = 0;
        MLXK_ASSERT(rel_index_put(&again, &x->repos[i], 9, &changed, &e) && !changed);
        MLXK_ASSERT(!rel_index_rows(&x->repos[i], fuzz_rel_index_row, &n_rows, &e)
                    || n_rows == x->repos[i].n);
        MLXK_ASSERT(rel_index_find(&again, x->repos[i].name) == &again.repos[i]);
        MLXK_ASSERT(rel_index_below(x->repos[i].name, x->repos[i].name));
        err_clear(&e);
    }
    if (again.n) rel_index_forget(&again, 0);
    MLXK_ASSERT(rel_index_merge(&again, x, &n_taken, &e) && again.n == x->n);
    buf_release(&second);
    buf_release(&first);
    rel_index_release(&again);
}

int fuzz_rel_index(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size }, rows;
    struct rel_index x;
    struct os_stat st = { 0 };
    struct err e = { 0 };
    size_t n_rows;
    if (size > 1 << 16) return 0;
    rel_index_init(&x);
    if (rel_index_parse(&x, text, &e)) fuzz_rel_index_again(&x);
    rel_index_release(&x);
    err_clear(&e);
    rel_index_init(&x);
    (void)rel_index_unpack(&x, text, &e);
    rel_index_release(&x);
    if (rel_index_table_rows(text, &st, &rows, &n_rows)) MLXK_ASSERT(rows.n < size);
    return 0;
}
