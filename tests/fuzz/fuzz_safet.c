/* fuzz_safet.c: safetensors files, whole and cut, against the promises of the contract.
 *
 * An accepted file's tensors tile the data, and a header written from them is accepted again.
 */
#include "format/format.h"

int fuzz_safet(const uint8_t *data, size_t size);

enum { FUZZ_SAFET_MEMORY = 512 << 20 };

static void fuzz_safet_write(struct arena *a, const struct safet *s) {
    struct safet_tensor *copy = ARENA_ARRAY(a, struct safet_tensor, s->n);
    struct buf out;
    struct err e = { 0 };
    struct safet again;
    size_t data_bytes = 0;
    MLXK_ASSERT(copy != NULL);
    if (s->n) {
        memcpy(copy, s->tensors, s->n * sizeof *copy);
    }
    for (size_t i = 0; i < s->n; i++) {
        data_bytes += s->tensors[i].end - s->tensors[i].begin;
    }
    buf_init(&out, FUZZ_SAFET_MEMORY);
    MLXK_ASSERT(safet_write_header(&out, copy, s->n, true, &e));
    MLXK_ASSERT(safet_parse(a, buf_str(&out), out.n + data_bytes, &again, &e));
    MLXK_ASSERT(again.n == s->n && again.header_bytes % 8 == 0);
    safet_release(&again);
    buf_release(&out);
}

int fuzz_safet(const uint8_t *data, size_t size) {
    struct str file = { (const char *)data, size };
    struct arena a;
    struct err e = { 0 };
    struct safet s;
    arena_init(&a, FUZZ_SAFET_MEMORY);
    if (safet_parse(&a, file, size, &s, &e)) {
        size_t sum = 0;
        for (size_t i = 0; i < s.n; i++) {
            const struct safet_tensor *t = &s.tensors[i];
            MLXK_ASSERT(t->begin >= s.header_bytes && t->begin <= t->end && t->end <= size);
            MLXK_ASSERT(safet_find(&s, t->name) == t);
            sum += t->end - t->begin;
        }
        MLXK_ASSERT(sum == size - s.header_bytes);
        fuzz_safet_write(&a, &s);
        safet_release(&s);
    } else {
        MLXK_ASSERT(e.code != ERR_OK && s.n == 0);
    }
    struct err e_part = { 0 };
    if (safet_parse(&a, str_sub(file, 0, size / 2), size, &s, &e_part)) {
        safet_release(&s);
    }
    arena_release(&a);
    return 0;
}
