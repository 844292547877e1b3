/* fuzz_safet.c: safetensors files, whole, cut and as bare headers, against the contract's promises.
 *
 * An accepted file's tensors tile the data, and a header written from them is accepted again. The
 * input is tried as a file, and as two bytes that say how much data follows the header text behind
 * them, so that a mutation need not repair the length in front.
 *
 * covers: format/safet_read.c
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
    buf_release(&out);
}

static void fuzz_safet_file(struct str file, size_t file_bytes) {
    struct arena a;
    struct err e = { 0 };
    struct safet s;
    arena_init(&a, FUZZ_SAFET_MEMORY);
    if (safet_parse(&a, file, file_bytes, &s, &e)) {
        size_t sum = 0;
        for (size_t i = 0; i < s.n; i++) {
            const struct safet_tensor *t = &s.tensors[i];
            MLXK_ASSERT(t->begin >= s.header_bytes && t->begin <= t->end && t->end <= file_bytes);
            MLXK_ASSERT(safet_find(&s, t->name) == t);
            sum += t->end - t->begin;
        }
        MLXK_ASSERT(sum == file_bytes - s.header_bytes);
        fuzz_safet_write(&a, &s);
    } else {
        MLXK_ASSERT(e.code != ERR_OK && s.n == 0);
    }
    arena_release(&a);
}

int fuzz_safet(const uint8_t *data, size_t size) {
    struct str file = { (const char *)data, size };
    fuzz_safet_file(file, size);
    fuzz_safet_file(str_sub(file, 0, size / 2), size);
    if (size > 2) {
        struct buf b;
        uint64_t length = size - 2;
        buf_init(&b, FUZZ_SAFET_MEMORY);
        buf_add_bytes(&b, &length, sizeof length);
        buf_add(&b, str_sub(file, 2, size));
        if (!b.failed) {
            fuzz_safet_file(buf_str(&b), b.n + num_read_u16(data));
        }
        buf_release(&b);
    }
    return 0;
}
