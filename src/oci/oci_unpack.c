/* oci_unpack.c: layers whose bytes are no file of the cache yet: tar archives, gzipped ones, and
 * files named by sha512. They come whole, under a name of their own, and are read twice from there.
 *
 *   first reading:  digest of the layer, every name in it, sha256 of every file     nothing written
 *   second reading: each file into its blob; then the layer goes
 *
 * 1. No byte of a layer is used before the whole of it has its digest and every name in it was
 *    found safe: relative, no "..", no two the same, files and folders only. Links and devices are
 *    refused.
 * 2. What is unpacked is bounded by the disk: room for all of it is asked for before the first
 *    byte.
 * ref: model format, "layer types"; POSIX pax; RFC 1952.
 */
#include "oci/oci_int.h"

enum { OCI_UNPACK_PIECE = 1 << 18, OCI_UNPACK_ENTRIES = 200000 };
#define OCI_UNPACK_ARENA ((size_t)4 << 20)

struct oci_unpack {
    const struct cache *cache;
    struct str model;
    const struct oci_desc *d;
    enum oci_packing packing;
    struct oci *o;
    struct oci_files *files;
    size_t first;                /* of files: those of this layer stand from here on */
    int fd;
    uint64_t at;                 /* next byte of the layer */
    struct oci_hash hash; bool hashes;
    struct gzip *gzip; bool gzip_ended;
    uint8_t *in, *piece; size_t n_in, in_at;
};

/* ---- what is packed (Public to the room) ----------------------------------------------------- */

/* Plain files come as tar layers too: oras types them so, and marks folders to be unpacked. An
 * image's layers are no model. */
MLXK_FN enum oci_packing oci_layer_packing(const struct oci_desc *d) {
    static const char *const families[] = { "application/vnd.cncf.model.",
                                            "application/vnd.cnai.model.",
                                            "application/vnd.kitops.modelkit.",
                                            "application/vnd.docker.ai." };
    struct str type = d->media_type;
    bool marked =
        str_eq(oci_annotation(d->annotations, d->n_annotations, "io.deis.oras.content.unpack"),
               STR("true"));
    bool titled = oci_annotation(d->annotations, d->n_annotations, OCI_KEY_TITLE).p != NULL,
         known = marked;
    bool tar = str_ends(type, STR(".tar")),
         gzip = str_ends(type, STR(".tar+gzip")) || str_ends(type, STR(".tar.gzip"));
    for (size_t i = 0; i < MLXK_COUNT(families); i++)
        known = known || str_starts(type, str_cstr(families[i]));
    if (marked && !gzip) return OCI_TARRED_GZIP;           /* told apart by its first bytes */
    if (tar && !known && titled && str_eq(type, STR("application/vnd.oci.image.layer.v1.tar")))
        return OCI_PLAIN;
    if (tar) return known ? OCI_TARRED : OCI_PACKED_OTHER;
    if (gzip) return known ? OCI_TARRED_GZIP : OCI_PACKED_OTHER;
    return str_ends(type, STR("+gzip")) || str_ends(type, STR("+zstd"))
                   || str_ends(type, STR(".gzip"))
               ? OCI_PACKED_OTHER
               : OCI_PLAIN;
}

MLXK_FN struct str oci_layer_etag(struct arena *a, const struct oci_desc *d) {
    struct str hex = oci_digest_hex(d->digest);
    bool as_it_is = hex.n == 64 && oci_layer_packing(d) == OCI_PLAIN;
    return as_it_is ? hex : str_concat(a, STR("oci-"), hex);
}

MLXK_FN bool oci_files_add(struct oci_files *f, struct str path, struct str hex,
                           uint64_t size_bytes, struct err *e) {
    bool is_new = false;
    if (f->n == OCI_UNPACK_ENTRIES)
        return err_set(e, ERR_LIMIT, "the artifact holds more than %d files", OCI_UNPACK_ENTRIES);
    struct oci_file *more = ARENA_GROW(f->a, struct oci_file, f->items, f->n, &f->cap, 64);
    if (!more) return err_oom(e, (f->n + 1) * sizeof *more, "a list of files");
    f->items = more;
    struct oci_file *x = &f->items[f->n];
    *x = (struct oci_file){
        .path = str_dup(f->a, path), .hex = str_dup(f->a, hex), .size_bytes = size_bytes,
    };
    if (!x->path.p || !x->hex.p || !map_put(&f->seen, x->path, &is_new))
        return err_oom(e, path.n + 64, "a list of files");
    if (!is_new)
        return err_set(e, ERR_FORMAT, "two files of the artifact want to be '%s'",
                       oci_show(path).text);
    f->n++;
    return true;
}

/* ---- the bytes of the layer (Private) -------------------------------------------------------- */

static bool oci_unpack_fill(struct oci_unpack *u, struct err *e) {
    u->in_at = u->n_in = 0;
    if (!os_pread(u->fd, u->in, OCI_UNPACK_PIECE, u->at, &u->n_in, e)) return false;
    if (u->hashes) oci_hash_add(&u->hash, u->in, u->n_in);
    u->at += u->n_in;
    return oci_tell(u->o, OCI_BYTES, e);     /* for those who want to stop */
}

static bool oci_unpack_inflate(struct oci_unpack *u, uint8_t *p, size_t n, size_t *n_read,
                               struct err *e) {
    *n_read = 0;
    while (*n_read == 0) {
        struct err why = { 0 };
        size_t used = 0;
        if (u->gzip_ended) return true;
        if (u->in_at == u->n_in && !oci_unpack_fill(u, e)) return false;
        if (!u->n_in) return err_set(e, ERR_FORMAT, "its gzip data end early");
        if (!gzip_inflate(u->gzip, u->in + u->in_at, u->n_in - u->in_at, &used, p, n, n_read,
                          &u->gzip_ended, &why))
            return err_set(e, ERR_FORMAT, "its gzip data are damaged");
        u->in_at += used;
        if (*n_read == 0 && used == 0 && !u->gzip_ended)
            return err_set(e, ERR_FORMAT, "its gzip data are damaged");
    }
    return true;
}

/* Reads exactly n bytes of the archive. */
static bool oci_unpack_read(void *ctx, void *p, size_t n, struct err *e) {
    struct oci_unpack *u = ctx;
    size_t done = 0;
    while (done < n) {
        size_t got = 0;
        if (u->gzip) {
            if (!oci_unpack_inflate(u, (uint8_t *)p + done, n - done, &got, e)) return false;
        } else {
            if (u->in_at == u->n_in && !oci_unpack_fill(u, e)) return false;
            got = u->n_in - u->in_at < n - done ? u->n_in - u->in_at : n - done;
            if (got) memcpy((uint8_t *)p + done, u->in + u->in_at, got);
            u->in_at += got;
        }
        if (!got) return err_set(e, ERR_FORMAT, "the archive ends early");
        done += got;
    }
    return true;
}

/* To its first byte. */
static bool oci_unpack_rewind(struct oci_unpack *u, bool hashes, struct err *e) {
    gzip_close(u->gzip);
    u->gzip = NULL;
    u->gzip_ended = false;
    u->at = 0;
    u->hashes = hashes;
    if (hashes) oci_hash_begin(&u->hash, u->d->digest);
    if (!oci_unpack_fill(u, e)) return false;
    bool gzip = u->n_in > 2 && u->in[0] == 0x1f && u->in[1] == 0x8b;
    if (u->packing == OCI_PLAIN || !gzip) return true;
    u->gzip = gzip_open(e);
    return u->gzip != NULL;
}

/* The rest of the layer, for its digest. */
static bool oci_unpack_judge(struct oci_unpack *u, struct err *e) {
    while (u->at < u->d->size_bytes) {
        if (!oci_unpack_fill(u, e)) return false;
        if (!u->n_in)
            return err_set(e, ERR_INTEGRITY, "it has %llu of %llu bytes", (unsigned long long)u->at,
                           (unsigned long long)u->d->size_bytes);
    }
    return oci_hash_check(&u->hash, u->d->digest, e);
}

/* ---- first reading (Private) ----------------------------------------------------------------- */

static bool oci_unpack_name(struct str *path, const struct tar_entry *x, struct err *e) {
    *path = x->path;
    while (str_starts(*path, STR("./"))) *path = str_sub(*path, 2, path->n);
    while (x->kind == TAR_DIR && str_ends(*path, STR("/"))) path->n--;
    if (x->kind == TAR_DIR && (!path->n || str_eq(*path, STR(".")))) return true;
    if (x->kind == TAR_FILE || x->kind == TAR_DIR) return oci_path_ok(*path, e);
    return err_set(e, ERR_FORMAT, "its entry '%s' is a link or device, which no model needs",
                   oci_show(x->path).text);
}

static bool oci_unpack_hash(struct oci_unpack *u, struct tar_reader *r, char hex[65],
                            struct err *e) {
    struct cache_digest digest;
    cache_digest_begin(&digest, CACHE_SHA256, 0);
    while (r->left_bytes) {
        size_t n = r->left_bytes < OCI_UNPACK_PIECE ? (size_t)r->left_bytes : OCI_UNPACK_PIECE;
        if (!tar_read(r, u->piece, n, e)) return false;
        cache_digest_add(&digest, u->piece, n);
    }
    cache_digest_end(&digest, hex);
    return true;
}

static bool oci_unpack_look(struct oci_unpack *u, struct tar_reader *r, uint64_t *need,
                            struct err *e) {
    for (size_t n = 0; ; n++) {
        struct arena_mark mark = arena_mark(r->arena);
        struct tar_entry x;
        struct str path;
        char hex[65];
        bool end = false;
        if (!tar_next(r, &x, &end, e)) return false;
        if (end) return true;
        if (n == OCI_UNPACK_ENTRIES)
            return err_set(e, ERR_LIMIT, "it has more than %d entries", OCI_UNPACK_ENTRIES);
        if (!oci_unpack_name(&path, &x, e)) return false;
        if (x.kind == TAR_FILE) {
            if (*need > UINT64_MAX / 2 - x.size_bytes)
                return err_set(e, ERR_LIMIT, "its sizes add up to too much");
            *need += x.size_bytes;
            if (!oci_unpack_hash(u, r, hex, e)
                || !oci_files_add(u->files, path, str_cstr(hex), x.size_bytes, e))
                return false;
        }
        arena_rewind(r->arena, mark);
    }
}

static bool oci_unpack_first(struct oci_unpack *u, struct arena *a, uint64_t *need, struct err *e) {
    struct tar_reader r;
    struct err odd = { 0 }, wrong = { 0 };
    if (!oci_unpack_rewind(u, true, e)) return false;
    tar_reader_init(&r, a, oci_unpack_read, u);
    bool ok = oci_unpack_look(u, &r, need, &odd);
    if (odd.code == ERR_INTERRUPTED || !oci_unpack_judge(u, &wrong)) ok = false;
    if (!ok) *e = wrong.code != ERR_OK ? wrong : odd;      /* damage explains what was odd */
    return ok;
}

/* ---- second reading (Private) ---------------------------------------------------------------- */

static bool oci_unpack_blob(struct oci_unpack *u, struct tar_reader *r, const struct oci_file *x,
                            struct err *e) {
    struct cache_writer w;
    if (!cache_writer_open(&w, u->cache, u->model, x->hex, x->size_bytes, -1, e)) return false;
    if (w.present) {
        cache_writer_close(&w, true);
        return tar_skip(r, e);
    }
    bool ok = true;
    while (ok && r->left_bytes) {
        size_t n = r->left_bytes < OCI_UNPACK_PIECE ? (size_t)r->left_bytes : OCI_UNPACK_PIECE;
        ok = tar_read(r, u->piece, n, e) && cache_writer_add(&w, u->piece, n, e);
    }
    if (ok) return cache_writer_commit(&w, e);
    cache_writer_close(&w, false);
    return false;
}

static bool oci_unpack_second(struct oci_unpack *u, struct arena *a, struct err *e) {
    struct tar_reader r;
    size_t i = u->first;
    if (!oci_unpack_rewind(u, false, e)) return false;
    tar_reader_init(&r, a, oci_unpack_read, u);
    while (i < u->files->n) {
        struct arena_mark mark = arena_mark(a);
        struct tar_entry x;
        bool end = false;
        if (!tar_next(&r, &x, &end, e)) return false;
        if (end) return err_set(e, ERR_INTEGRITY, "the archive has changed while it was read");
        if (x.kind == TAR_FILE && !oci_unpack_blob(u, &r, &u->files->items[i++], e)) return false;
        arena_rewind(a, mark);
    }
    return true;
}

/* A file as it is, named by sha512: under its sha256 from now on. */
static bool oci_unpack_rename(struct oci_unpack *u, struct arena *a, const char *dir_cstr,
                              const char *from_cstr, struct str path, struct err *e) {
    struct cache_digest digest;
    char hex[65];
    cache_digest_begin(&digest, CACHE_SHA256, 0);
    if (!oci_unpack_rewind(u, true, e)) return false;
    for (;;) {
        cache_digest_add(&digest, u->in, u->n_in);
        if (u->at >= u->d->size_bytes) break;
        if (!oci_unpack_fill(u, e)) return false;
        if (!u->n_in) break;
    }
    if (!oci_unpack_judge(u, e)) return false;
    cache_digest_end(&digest, hex);
    char *to = os_path_join(a, dir_cstr, hex);
    if (!to) return err_oom(e, LIMIT_PATH, "a path");
    return oci_files_add(u->files, path, str_cstr(hex), u->d->size_bytes, e)
           && os_rename(from_cstr, to, e);
}

static bool oci_unpack_layer(struct oci_unpack *u, struct arena *a, const char *dir_cstr,
                             const char *from_cstr, struct str path, struct err *e) {
    uint64_t need = 0;
    u->fd = os_open(from_cstr, OS_READ, e);
    if (u->fd < 0) return false;
    bool ok = u->packing == OCI_PLAIN
                  ? oci_unpack_rename(u, a, dir_cstr, from_cstr, path, e)
                  : oci_unpack_first(u, a, &need, e)
                        && cache_room_check(u->cache, STR_EMPTY, need, 0, e)
                        && oci_unpack_second(u, a, e);
    os_close(u->fd);
    gzip_close(u->gzip);
    return ok;
}

/* The layer has gone; so does its lock. Who waits for it finds that out and makes a new one. */
static void oci_unpack_unlock(struct oci_unpack *u, struct str etag) {
    struct os_lock lock;
    struct err none = { 0 };
    bool present;
    if (!cache_blob_lock(u->cache, u->model, etag, u->d->size_bytes, 0, &lock, &present, &none))
        return;
    if (!present) (void)os_unlink(lock.path, &none);
    os_lock_release(&lock);
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN bool oci_unpack(struct oci *o, const struct cache *c, struct str model,
                        const struct oci_desc *d, struct str path, struct oci_files *files,
                        struct err *e) {
    struct oci_unpack u = { .cache = c,
                            .model = model,
                            .d = d,
                            .packing = oci_layer_packing(d),
                            .o = o,
                            .files = files,
                            .first = files->n,
                            .fd = -1 };
    struct arena a;
    struct err none = { 0 };
    arena_init(&a, OCI_UNPACK_ARENA);
    char *repo = cache_repo_dir(&a, c, model), *dir = repo ? os_path_join(&a, repo, "blobs") : NULL;
    char *name = str_dup_cstr(&a, oci_layer_etag(&a, d)),
         *from = dir && name ? os_path_join(&a, dir, name) : NULL;
    u.in = arena_alloc(&a, OCI_UNPACK_PIECE, 16);
    u.piece = arena_alloc(&a, OCI_UNPACK_PIECE, 16);
    bool ok = from && u.in && u.piece ? oci_unpack_layer(&u, &a, dir, from, path, e)
                                      : err_oom(e, 2 * OCI_UNPACK_PIECE, "unpacking");
    bool useless = e->code == ERR_INTEGRITY || e->code == ERR_FORMAT || e->code == ERR_INVALID
                   || e->code == ERR_LIMIT;
    if (from && (ok || useless)) {
        (void)os_unlink(from, &none);
        oci_unpack_unlock(&u, str_cstr(name));
    }
    if (!ok) err_context(e, "the layer %.19s (%s): ", d->digest.p, oci_show(d->media_type).text);
    arena_release(&a);
    return ok;
}

#undef OCI_UNPACK_ARENA
