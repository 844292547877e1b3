/* gzip.c: compressed answers and files, by zlib. The only file that includes it. */
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

/* ---- whole texts (Public) ---- */

MLXK_FN bool gzip_unpack(struct buf *out, struct str packed, struct err *e) {
    enum { GZIP_PIECE = 1 << 16 };
    struct err why = { 0 };
    struct gzip *g = gzip_open(e);
    size_t at = 0, used = 0, n = 0;
    bool done = false;
    if (!g) return false;
    do {
        size_t room = out->max - out->n < GZIP_PIECE ? out->max - out->n : GZIP_PIECE;
        if (!buf_reserve(out, room)) break;
        if (!gzip_inflate(g, (const uint8_t *)packed.p + at, packed.n - at, &used,
                          (uint8_t *)out->p + out->n, room, &n, &done, &why))
            break;
        at += used;
        out->n += n;
        out->p[out->n] = 0;
    } while (!done && (used || n));
    gzip_close(g);
    if (!done && out->n == out->max) (void)buf_reserve(out, 1);     /* more than there may be */
    if (out->failed) return buf_ok(out, "unpacked bytes", e);
    if (done && at == packed.n) return true;
    return err_set(e, ERR_FORMAT,
                   done ? "%zu bytes of something else follow the compressed ones"
                        : "the last %zu of the compressed bytes are damaged or the rest is missing",
                   packed.n - at);
}

MLXK_FN bool gzip_pack(struct buf *out, struct str text, struct err *e) {
    z_stream z = { .zalloc = gzip_alloc, .zfree = gzip_free };
    if (deflateInit(&z, Z_DEFAULT_COMPRESSION) != Z_OK)
        return err_oom(e, 300000, "bytes to be packed");
    size_t room = deflateBound(&z, text.n);
    bool ok = room <= UINT_MAX && text.n <= UINT_MAX;
    ok = ok ? buf_reserve(out, room) || buf_ok(out, "packed bytes", e)
            : err_set(e, ERR_LIMIT, "%zu bytes are too many to be packed", text.n);
    if (ok) {
        z.next_in = (Bytef *)(uintptr_t)text.p;
        z.avail_in = (unsigned)text.n;
        z.next_out = (Bytef *)out->p + out->n;
        z.avail_out = (unsigned)room;
        ok = deflate(&z, Z_FINISH) == Z_STREAM_END || err_oom(e, room, "bytes to be packed");
        if (ok) out->n += room - z.avail_out;
        out->p[out->n] = 0;
    }
    deflateEnd(&z);
    return ok;
}
