/* fuzz_gguf.c: GGUF files; every view of an accepted one is touched, so that the sanitizer sees it.
 *
 * covers: format/gguf_read.c
 */
#include "format/format.h"

int fuzz_gguf(const uint8_t *data, size_t size);

static uint64_t fuzz_gguf_sum(struct str s) {
    uint64_t sum = 0;
    for (size_t i = 0; i < s.n; i++) {
        sum += (uint8_t)s.p[i];
    }
    return sum;
}

static uint64_t fuzz_gguf_touch(const struct gguf_value *v) {
    uint64_t sum = fuzz_gguf_sum(v->key) + fuzz_gguf_sum(v->raw);
    int64_t item;
    for (uint64_t i = 0; v->kind == GGUF_ARRAY && i < v->n; i++) {
        sum += v->strings ? fuzz_gguf_sum(v->strings[i])
             : gguf_item_i64(v, i, &item) ? (uint64_t)item : 0;
    }
    return sum;
}

int fuzz_gguf(const uint8_t *data, size_t size) {
    struct arena a;
    struct err e = { 0 };
    struct gguf g;
    arena_init(&a, 64 << 20);
    bool ok = gguf_parse(&a, (struct str){ (const char *)data, size }, &g, &e);
    MLXK_ASSERT(ok == (e.code == ERR_OK) && (ok || (g.n_values == 0 && g.n_tensors == 0)));
    uint64_t sum = 0, x = 0;
    double d = 0;
    struct str s = STR_EMPTY;
    for (size_t i = 0; i < g.n_values; i++) {
        sum += fuzz_gguf_touch(&g.values[i]);
    }
    for (size_t i = 0; i < g.n_tensors; i++) {
        const struct gguf_tensor *t = &g.tensors[i];
        MLXK_ASSERT(t->begin <= t->end && t->end <= size && t->n_dims <= 4);
        sum += fuzz_gguf_sum(t->name) + strlen(gguf_type_name(t->type));
    }
    MLXK_ASSERT(!gguf_read_u64(&g, "a", 100, &x, &e) || x <= 100);
    (void)gguf_read_f64(&g, "a", &d, &e);
    (void)gguf_read_str(&g, "a", &s, &e);
    arena_release(&a);
    volatile uint64_t keep = sum;                /* so that no read is optimised away */
    (void)keep;
    return 0;
}
