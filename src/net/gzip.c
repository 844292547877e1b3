/* gzip.c: compressed answers, inflated by zlib. The only file that includes it. */
#include "net/net_int.h"

#include <zlib.h>

struct gzip { z_stream z; };

static void *gzip_alloc(void *opaque, unsigned items, unsigned size) {
    size_t n;
    (void)opaque;
    return num_mul(items, size, &n) ? mem_alloc(n) : NULL;
}

static void gzip_free(void *opaque, void *p) {
    (void)opaque;
    mem_free(p);
}

MLXK_FN struct gzip *gzip_open(struct err *e) {
    struct gzip *g = mem_alloc(sizeof *g);
    if (!g) { err_oom(e, sizeof *g, "a compressed answer"); return NULL; }
    *g = (struct gzip){ .z = { .zalloc = gzip_alloc, .zfree = gzip_free } };
    if (inflateInit2(&g->z, 15 + 32) == Z_OK)
        return g; /* 15: largest window; 32: gzip or zlib header */
    err_oom(e, 40000, "a compressed answer");
    mem_free(g);
    return NULL;
}

MLXK_FN bool gzip_inflate(struct gzip *g, const uint8_t *in, size_t n, size_t *n_in, uint8_t *out,
                          size_t cap, size_t *n_out, bool *done, struct err *e) {
    const unsigned most = 1u << 30;              /* zlib counts in unsigned */
    unsigned take = n > most ? most : (unsigned)n, room = cap > most ? most : (unsigned)cap;
    g->z.next_in = (Bytef *)(uintptr_t)in;      /* zlib reads only, but its type says otherwise */
    g->z.avail_in = take;
    g->z.next_out = out;
    g->z.avail_out = room;
    int status = inflate(&g->z, Z_NO_FLUSH);
    *n_in = take - g->z.avail_in;
    *n_out = room - g->z.avail_out;
    *done = status == Z_STREAM_END;
    if (status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR) return true;
    const char *why_cstr = g->z.msg ? g->z.msg : "no reason given";
    return err_set(e, ERR_NET, "the server's compressed answer is damaged: %s", why_cstr);
}

MLXK_FN void gzip_close(struct gzip *g) {
    if (!g) return;
    inflateEnd(&g->z);
    mem_free(g);
}
