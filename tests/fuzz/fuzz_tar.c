/* fuzz_tar.c: archives read to the end or the first error; what is read and written again is read the same.
 *
 * covers: format/tar.c
 */
#include "format/format.h"

int fuzz_tar(const uint8_t *data, size_t size);

struct fuzz_tar_input { const uint8_t *p; size_t n; };

static bool fuzz_tar_take(void *ctx, void *p, size_t n, struct err *e) {
    struct fuzz_tar_input *in = ctx;
    if (n > in->n) return err_set(e, ERR_FORMAT, "cut");
    memcpy(p, in->p, n);
    in->p += n;
    in->n -= n;
    return true;
}

static void fuzz_tar_again(struct arena *a, const struct tar_entry *x) {
    struct buf b;
    struct err e = { 0 };
    struct tar_reader r;
    struct tar_entry y;
    bool end;
    if (x->kind == TAR_OTHER || !x->path.n || x->path.p[0] == '\0') return;
    buf_init(&b, 1 << 20);
    MLXK_ASSERT(tar_write_header(&b, x, &e));
    tar_write_end(&b);
    struct fuzz_tar_input in = { (const uint8_t *)b.p, b.n };
    tar_reader_init(&r, a, fuzz_tar_take, &in);
    MLXK_ASSERT(tar_next(&r, &y, &end, &e) && !end);
    bool plain = str_find_char(x->path, '\0') < 0 && str_find_char(x->link, '\0') < 0;
    MLXK_ASSERT(y.kind == x->kind && y.size_bytes == x->size_bytes);
    MLXK_ASSERT(!plain || (str_eq(y.path, x->path) && str_eq(y.link, x->link)));
    buf_release(&b);
}

int fuzz_tar(const uint8_t *data, size_t size) {
    struct fuzz_tar_input in = { data, size };
    struct arena a;
    struct tar_reader r;
    struct tar_entry x;
    struct err e = { 0 };
    bool end = false;
    uint8_t piece[64];
    arena_init(&a, 64 << 20);
    tar_reader_init(&r, &a, fuzz_tar_take, &in);
    while (!end && tar_next(&r, &x, &end, &e) && !end) {
        MLXK_ASSERT(x.path.n <= TAR_MAX_NAME && x.link.n <= TAR_MAX_NAME);
        fuzz_tar_again(&a, &x);
        size_t n = r.left_bytes < sizeof piece ? (size_t)r.left_bytes : sizeof piece;
        if (n && !tar_read(&r, piece, n, &e)) break;
    }
    MLXK_ASSERT(end || e.code != ERR_OK);
    arena_release(&a);
    return 0;
}
