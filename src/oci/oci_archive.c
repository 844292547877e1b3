/* oci_archive.c: layouts in tar files, read in place and written in one way.
 *
 * 1. Reading: names are noted in one pass that leaps over contents; nothing is unpacked.
 * 2. Writing: oci-layout, index.json, then the blobs that the index leads to, sorted by digest,
 *    times 0: the same content gives the same bytes. The file appears under its name when it is
 *    whole.
 */
#include "oci/oci_layout.h"

enum { OCI_ARCHIVE_SMALL = 4096 };
#define OCI_ARCHIVE_ARENA ((size_t)512 << 20)

/* ---- reading (Private) ----------------------------------------------------------------------- */

struct oci_archive { struct oci *o; struct tar_reader tar; struct arena names; uint64_t at; };

static bool oci_archive_take(void *ctx, void *p, size_t n, struct err *e) {
    struct oci_archive *x = ctx;
    size_t got;
    if (!os_pread(x->o->layout->tar_fd, p, n, x->at, &got, e)) return false;
    x->at += n;
    return got == n || err_set(e, ERR_FORMAT, "the archive ends at byte %llu, inside an entry",
                               (unsigned long long)(x->at - n + got));
}

/* "blobs/sha256/<hex>" as a digest; n 0 = no blob. */
static struct str oci_archive_digest(struct arena *a, struct str path) {
    if (!str_starts(path, STR("blobs/"))) return STR_EMPTY;
    struct str hex = str_sub(path, 6, path.n), algorithm = str_cut(&hex, '/');
    struct str digest = str_format(a, STR_FMT ":" STR_FMT, STR_ARG(algorithm), STR_ARG(hex));
    return oci_digest_ok(digest) ? digest : STR_EMPTY;
}

static bool oci_archive_member(struct oci_archive *x, const struct tar_entry *entry,
                               struct err *e) {
    struct oci *o = x->o;
    struct oci_layout *l = o->layout;
    struct str path = str_starts(entry->path, STR("./")) ? str_sub(entry->path, 2, entry->path.n)
                                                          : entry->path;
    bool mark = str_eq(path, STR("oci-layout")), index = str_eq(path, STR("index.json"));
    if (mark || index) {
        if (entry->size_bytes > (mark ? (size_t)OCI_ARCHIVE_SMALL : OCI_MAX_MANIFEST))
            return err_set(e, ERR_LIMIT, "its %s is too large", mark ? "oci-layout" : "index.json");
        char *text = arena_alloc(&o->arena, (size_t)entry->size_bytes + 1, 1);
        if (!text) return err_oom(e, (size_t)entry->size_bytes, "an index");
        *(mark ? &l->mark_text : &l->index_text) = (struct str){ text, (size_t)entry->size_bytes };
        return tar_read(&x->tar, text, (size_t)entry->size_bytes, e);
    }
    struct str digest = oci_archive_digest(&o->arena, path);
    if (!digest.n) return true;
    if (l->n_places == OCI_LAYOUT_MEMBERS) return err_set(e, ERR_LIMIT, "it has too many entries");
    if ((l->n_places & (l->n_places - 1)) == 0) {          /* full at each power of two */
        size_t cap = l->n_places ? l->n_places * 2 : 1;
        struct oci_place *more = ARENA_ARRAY(&o->arena, struct oci_place, cap);
        if (!more) return err_oom(e, cap * sizeof *more, "an archive's list");
        if (l->n_places) memcpy(more, l->places, l->n_places * sizeof *more);
        l->places = more;
    }
    uint64_t *slot = map_put(&l->members, digest, NULL);
    if (!slot) return err_oom(e, l->n_places * 32, "an archive's list");
    *slot = l->n_places;
    l->places[l->n_places++] = (struct oci_place){ x->at, entry->size_bytes };
    return true;
}

static bool oci_archive_scan(struct oci_archive *x, struct err *e) {
    for (;;) {
        struct tar_entry entry;
        bool end;
        struct arena_mark mark = arena_mark(&x->names);
        if (!tar_next(&x->tar, &entry, &end, e)) return false;
        if (end) return true;
        if (entry.kind == TAR_FILE && !oci_archive_member(x, &entry, e)) return false;
        x->at += x->tar.left_bytes + x->tar.padding;       /* a leap instead of reading */
        x->tar.offset_bytes += x->tar.left_bytes + x->tar.padding;
        x->tar.left_bytes = 0;
        x->tar.padding = 0;
        arena_rewind(&x->names, mark);
    }
}

/* ---- reading (Public to the room) ------------------------------------------------------------ */

MLXK_FN bool oci_archive_open(struct oci *o, struct err *e) {
    struct oci_layout *l = o->layout;
    struct oci_archive x = { .o = o };
    uint8_t head[TAR_BLOCK];
    size_t got;
    l->tar_fd = os_open(o->ref.path_cstr, OS_READ, e);
    if (l->tar_fd < 0 || !os_pread(l->tar_fd, head, sizeof head, 0, &got, e)) return false;
    if (!tar_is((struct str){ (const char *)head, got })) {
        err_set(e, ERR_FORMAT, "%s is no tar archive", o->ref.path_cstr);
        return err_hint(e, "a compressed one has to be unpacked first (gunzip, unzstd)");
    }
    arena_init(&x.names, (size_t)64 << 20);
    tar_reader_init(&x.tar, &x.names, oci_archive_take, &x);
    bool ok = oci_archive_scan(&x, e);
    arena_release(&x.names);
    if (ok && (!l->mark_text.p || !l->index_text.p))
        ok = err_set(e, ERR_FORMAT, "it has no %s", l->mark_text.p ? "index.json" : "oci-layout");
    return ok || err_context(e, "%s: ", o->ref.path_cstr);
}

/* ---- writing (Private) ----------------------------------------------------------------------- */

struct oci_archive_out {
    struct oci *o;
    struct arena *a;
    struct map seen;
    struct oci_names digests;
};

/* This manifest and all it leads to, each once. */
static bool oci_archive_reach(struct oci_archive_out *x, struct str digest, int depth,
                              struct err *e) {
    struct oci_manifest m;
    struct err none = { 0 };
    bool is_new;
    if (!map_put(&x->seen, digest, &is_new)) return err_oom(e, x->seen.n * 32, "a list of blobs");
    if (!is_new || depth > OCI_MAX_DEPTH || !oci_layout_get(x->a, x->o, digest, &m, &none))
        return true;
    for (size_t i = 0; i < m.n_layers; i++) {
        if (m.is_index) {
            if (!oci_archive_reach(x, m.layers[i].digest, depth + 1, e)) return false;
        } else if (!map_put(&x->seen, m.layers[i].digest, NULL)) {
            return err_oom(e, x->seen.n * 32, "a list of blobs");
        }
    }
    return m.is_index || map_put(&x->seen, m.config.digest, NULL)
           || err_oom(e, x->seen.n * 32, "a list of blobs");
}

static bool oci_archive_bytes(struct oci *o, int from, uint64_t offset, uint64_t n_bytes, int to,
                              struct err *e) {
    uint8_t *piece = mem_alloc(OCI_LAYOUT_PIECE);
    bool ok = piece || err_oom(e, OCI_LAYOUT_PIECE, "a copy");
    for (uint64_t done = 0; ok && done < n_bytes;) {
        size_t n = n_bytes - done < OCI_LAYOUT_PIECE ? (size_t)(n_bytes - done) : OCI_LAYOUT_PIECE,
               got;
        ok = os_pread(from, piece, n, offset + done, &got, e);
        if (ok && got != n) ok = err_set(e, ERR_IO, "a blob has become shorter");
        ok = ok && os_write(to, piece, n, e) && oci_tell(o, OCI_BYTES, e);
        done += n;
    }
    mem_free(piece);
    return ok;
}

static bool oci_archive_entry(struct oci_archive_out *x, int to, const char *path_cstr,
                              struct str text, int from, uint64_t offset, uint64_t size_bytes,
                              struct err *e) {
    struct tar_entry entry = { .kind = TAR_FILE, .path = str_cstr(path_cstr), .mode = 0644,
                               .size_bytes = size_bytes };
    struct buf b;
    buf_init(&b, (size_t)1 << 20);
    bool ok = tar_write_header(&b, &entry, e) && os_write(to, b.p, b.n, e);
    ok = ok && (from < 0 ? os_write(to, text.p, text.n, e)
                         : oci_archive_bytes(x->o, from, offset, size_bytes, to, e));
    buf_reset(&b);
    tar_write_padding(&b, size_bytes);
    ok = ok && buf_ok(&b, "an archive", e) && os_write(to, b.p, b.n, e);
    buf_release(&b);
    return ok;
}

static bool oci_archive_blobs(struct oci_archive_out *x, int to, struct err *e) {
    for (size_t i = 0; i < x->digests.n; i++) {
        struct str digest = x->digests.names[i];
        uint64_t offset, size_bytes = 0;
        bool found;
        int fd;
        if (!oci_layout_find(x->o, digest, &found, &fd, &offset, &size_bytes, e)) return false;
        if (!found) continue;                              /* a layout may be sparse */
        char *name = str_dup_cstr(x->a, str_format(x->a, "blobs/%.6s/" STR_FMT, digest.p,
                                                   STR_ARG(oci_digest_hex(digest))));
        bool ok = name ? oci_archive_entry(x, to, name, STR_EMPTY, fd, offset, size_bytes, e)
                       : err_oom(e, 128, "a name");
        os_close(fd);
        if (!ok) return false;
    }
    return true;
}

static bool oci_archive_all(struct oci_archive_out *x, int to, struct err *e) {
    struct oci_manifest index;
    struct str mark = STR("{\"imageLayoutVersion\":\"1.0.0\"}");
    struct buf end;
    if (!oci_layout_index_text(x->a, x->o, &index, e)) return false;
    for (size_t i = 0; i < index.n_layers; i++)
        if (!oci_archive_reach(x, index.layers[i].digest, 0, e)) return false;
    x->digests.names = ARENA_ARRAY(x->a, struct str, x->seen.n + 1);
    if (!x->digests.names) return err_oom(e, x->seen.n * 16, "a list of blobs");
    for (size_t i = 0; i < x->seen.n; i++)
        x->digests.names[x->digests.n++] = x->seen.entries[i].key;
    oci_names_sort(&x->digests);
    buf_init(&end, 4096);
    tar_write_end(&end);
    bool ok = oci_archive_entry(x, to, "oci-layout", mark, -1, 0, mark.n, e)
              && oci_archive_entry(x, to, "index.json", index.text, -1, 0, index.text.n, e)
              && oci_archive_blobs(x, to, e) && buf_ok(&end, "an archive", e)
              && os_write(to, end.p, end.n, e);
    buf_release(&end);
    return ok;
}

/* ---- writing (Public to the room) ------------------------------------------------------------ */

MLXK_FN bool oci_archive_write(struct oci *o, const char *path_cstr, struct err *e) {
    struct arena a;
    struct oci_archive_out x = { .o = o, .a = &a };
    struct err none = { 0 };
    arena_init(&a, OCI_ARCHIVE_ARENA);
    map_init(&x.seen, OCI_LAYOUT_MEMBERS);
    char *temp = str_dup_cstr(&a, str_format(&a, "%s.mlxk-new", path_cstr)),
         *dir = os_path_dir(&a, path_cstr);
    int to = temp && dir ? os_open(temp, OS_TRUNCATE, e) : -1;
    bool ok = to >= 0 ? oci_archive_all(&x, to, e) && os_sync(to, e)
                      : e->code != ERR_OK ? false : err_oom(e, LIMIT_PATH, "a path");
    os_close(to);
    ok = ok && os_rename(temp, path_cstr, e) && os_sync_dir(dir, e);
    if (!ok && to >= 0) (void)os_unlink(temp, &none);
    if (!ok && (e->code == ERR_DISK_FULL || e->code == ERR_IO)) err_context(e, "%s: ", path_cstr);
    map_release(&x.seen);
    arena_release(&a);
    return ok;
}

#undef OCI_ARCHIVE_ARENA
