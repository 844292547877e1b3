/* oci_layout.c: layouts in folders, and what a layout in a tar file has in common with them.
 *
 *   DIR/oci-layout, DIR/index.json, DIR/blobs/sha256/<hex>
 *
 * A tar file that is written grows in a folder beside it (FILE.mlxk-parts) and becomes a file in
 * oci_layout_finish; blobs of a file that was there already stay where they are until then.
 *
 * 1. A blob appears under its name when its bytes are complete and have that digest; the index
 *    names a manifest when its blob is there. What was begun goes on in the next run.
 * 2. index.json is sorted and has each name once, so the same content gives the same bytes.
 * 3. Two processes may write into one folder: the index is changed under a lock.
 * ref: image 1.1, "image layout".
 */
#include "oci/oci_layout.h"

#include <stdio.h>

#define OCI_LAYOUT_ARENA ((size_t)256 << 20)
#define OCI_LAYOUT_MARK "{\"imageLayoutVersion\":\"1.0.0\"}"

/* ---- opening (Public to the room) ------------------------------------------------------------ */

static bool oci_layout_is_one(struct arena *a, struct str text, const char *path_cstr,
                              struct err *e) {
    struct err why = { 0 };
    struct str version = STR_EMPTY;
    const struct json *doc = json_parse(a, text, &why);
    if (doc && json_read_str(doc, "imageLayoutVersion", &version, &why)
        && str_starts(version, STR("1.")))
        return true;
    err_set(e, ERR_FORMAT, "%s is no OCI layout: its file oci-layout does not say so", path_cstr);
    return err_hint(e, "a layout is made by `mlxk copy REF oci:FOLDER` or by skopeo");
}

/* fresh: what a tar file's folder holds from a killed run does not count. */
static bool oci_layout_make(struct oci_layout *l, bool fresh, struct err *e) {
    struct arena a;
    struct os_lock lock;
    struct os_stat st;
    arena_init(&a, (size_t)1 << 20);
    char *blobs = os_path_join(&a, l->dir_cstr, "blobs/sha256"),
         *mark = os_path_join(&a, l->dir_cstr, "oci-layout"),
         *index = os_path_join(&a, l->dir_cstr, "index.json");
    bool ok = blobs && mark && index ? os_mkdirs(blobs, e) : err_oom(e, LIMIT_PATH, "a path");
    ok = ok && os_write_file(mark, STR(OCI_LAYOUT_MARK), e) && os_lock_acquire(&lock, mark, -1, e);
    if (ok) {
        if (fresh || !os_stat(index, &st))
            ok = os_write_file(index, l->index_text.n ? l->index_text
                               : STR("{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_INDEX
                                     "\",\"manifests\":[]}"), e);
        os_lock_release(&lock);
    }
    arena_release(&a);
    return ok;
}

/* Empty, or what a kill leaves of a layout that was being made: no blob, no index. */
static bool oci_layout_is_begun(struct arena *a, const char *dir_cstr) {
    struct os_entry *entries, *inner;
    struct err none = { 0 };
    size_t n, n_inner = 0;
    bool begun = os_list_dir(a, dir_cstr, 64, &entries, &n, &none);
    for (size_t i = 0; begun && i < n; i++) {
        bool blobs = str_eq(entries[i].name, STR("blobs")) && entries[i].kind == OS_DIR;
        begun = blobs || (str_starts(entries[i].name, STR("oci-layout."))
                          && str_ends(entries[i].name, STR(".tmp")));
        if (!blobs) continue;
        char *path = os_path_join(a, dir_cstr, "blobs");
        begun = path && os_list_dir(a, path, 2, &inner, &n_inner, &none) && n_inner < 2;
        if (!begun || !n_inner) continue;
        path = os_path_join(a, dir_cstr, "blobs/sha256");
        begun = path && str_eq(inner[0].name, STR("sha256"))
                && os_list_dir(a, path, 1, &inner, &n_inner, &none) && !n_inner;
    }
    return begun;
}

static bool oci_layout_open_dir(struct oci *o, struct err *e) {
    struct oci_layout *l = o->layout;
    struct os_stat st;
    struct str text;
    l->dir_cstr = o->ref.path_cstr;
    char *mark = os_path_join(&o->arena, l->dir_cstr, "oci-layout"),
         *index = os_path_join(&o->arena, l->dir_cstr, "index.json");
    if (!mark || !index) return err_oom(e, LIMIT_PATH, "a path");
    if (os_stat(mark, &st)) {
        if (!os_read_file(&o->arena, mark, 4096, &text, e)
            || !oci_layout_is_one(&o->arena, text, l->dir_cstr, e))
            return false;
        return !o->options.may_write || os_stat(index, &st) || oci_layout_make(l, false, e);
    }
    if (os_stat(l->dir_cstr, &st) && !oci_layout_is_begun(&o->arena, l->dir_cstr)) {
        err_set(e, ERR_FORMAT, "%s is no OCI layout: it has no file oci-layout", l->dir_cstr);
        return err_hint(e, "name a layout, or a folder that is empty or not there yet");
    }
    if (o->options.may_write) return oci_layout_make(l, false, e);
    err_set(e, ERR_NOT_FOUND, "there is no OCI layout at %s", l->dir_cstr);
    return err_hint(e, "check the path; `mlxk copy REF oci:FOLDER` makes one");
}

MLXK_FN bool oci_layout_open(struct oci *o, struct err *e) {
    struct os_stat st;
    o->layout = ARENA_NEW(&o->arena, struct oci_layout);
    if (!o->layout) return err_oom(e, sizeof *o->layout, "a layout");
    struct oci_layout *l = o->layout;
    *l = (struct oci_layout){ .tar_fd = -1 };
    map_init(&l->members, OCI_LAYOUT_MEMBERS);
    if (o->ref.kind == OCI_DIR) return oci_layout_open_dir(o, e);
    bool there = os_stat(o->ref.path_cstr, &st);
    if (!there && !o->options.may_write) {
        err_set(e, ERR_NOT_FOUND, "there is no file %s", o->ref.path_cstr);
        return err_hint(e, "check the path; `mlxk copy REF oci-archive:FILE.tar` makes one");
    }
    if (there && (!oci_archive_open(o, e)
                  || !oci_layout_is_one(&o->arena, l->mark_text, o->ref.path_cstr, e)))
        return false;
    if (!o->options.may_write) return true;
    struct str dir = str_format(&o->arena, "%s.mlxk-parts", o->ref.path_cstr);
    l->dir_cstr = str_dup_cstr(&o->arena, dir);
    return l->dir_cstr ? oci_layout_make(l, true, e) : err_oom(e, dir.n, "a path");
}

MLXK_FN void oci_layout_close(struct oci *o) {
    struct oci_layout *l = o->layout;
    struct err none = { 0 };
    if (!l) return;
    os_close(l->tar_fd);
    map_release(&l->members);
    if (o->ref.kind == OCI_TAR && l->dir_cstr && !l->n_put)
        (void)os_remove_tree(l->dir_cstr, &none);     /* nothing there that a next run could use */
    o->layout = NULL;
}

MLXK_FN bool oci_layout_finish(struct oci *o, struct err *e) {
    struct oci_layout *l = o->layout;
    if (o->ref.kind == OCI_DIR || !o->options.may_write) return true;
    if (!oci_archive_write(o, o->ref.path_cstr, e)) return false;
    l->n_put = 0;
    return os_remove_tree(l->dir_cstr, e);
}

/* ---- blobs (Public to the room) -------------------------------------------------------------- */

static char *oci_layout_blob_path(struct arena *a, const char *dir_cstr, struct str digest) {
    struct str path = str_format(a, "%s/blobs/%.6s/" STR_FMT, dir_cstr, digest.p,
                                 STR_ARG(oci_digest_hex(digest)));
    return str_dup_cstr(a, path);
}

MLXK_FN bool oci_layout_find(struct oci *o, struct str digest, bool *found, int *fd,
                             uint64_t *offset, uint64_t *size_bytes, struct err *e) {
    struct oci_layout *l = o->layout;
    struct os_stat st;
    *found = false;
    *offset = 0;
    if (l->dir_cstr) {
        struct arena a;
        arena_init(&a, (size_t)1 << 20);
        char *path = oci_layout_blob_path(&a, l->dir_cstr, digest);
        bool there = path && os_stat(path, &st) && st.kind == OS_FILE;
        *fd = there ? os_open(path, OS_READ, e) : -1;
        arena_release(&a);
        if (there) {
            *found = *fd >= 0;
            *size_bytes = st.size_bytes;
            return *found;
        }
    }
    const uint64_t *at = map_get(&l->members, digest);
    if (!at) return true;
    *fd = os_open(o->ref.path_cstr, OS_READ, e);
    *offset = l->places[*at].offset;
    *size_bytes = l->places[*at].size_bytes;
    *found = *fd >= 0;
    return *found;
}

/* Bytes [at, size) of the source. */
static bool oci_layout_rest(struct oci *o, int fd, const struct oci_desc *d, uint64_t at,
                            const struct oci_source *source, struct oci_hash *hash, uint8_t *piece,
                            struct err *e) {
    uint64_t behind = at;                /* bytes up to here are on their way to the device */
    while (at < d->size_bytes) {
        uint64_t left = d->size_bytes - at;
        size_t n = left < OCI_LAYOUT_PIECE ? (size_t)left : OCI_LAYOUT_PIECE;
        if (!source->read(source->ctx, at, piece, n, e) || !os_pwrite(fd, piece, n, at, e))
            return false;
        oci_hash_add(hash, piece, n);
        at += n;
        if (at - behind >= OCI_LAYOUT_BEHIND) {
            if (!os_write_behind(fd, behind, at - behind, e)) return false;
            behind = at;
        }
        o->event.done_bytes += n;
        if (!oci_tell(o, OCI_BYTES, e)) return false;
    }
    return true;
}

/* Bytes [have, size) of the source behind what the partial file holds. */
static bool oci_layout_fill(struct oci *o, int fd, const struct oci_desc *d,
                            const struct oci_source *source, struct oci_hash *hash, struct err *e) {
    uint8_t *piece = mem_alloc(OCI_LAYOUT_PIECE);
    struct os_stat st;
    uint64_t at = 0;
    size_t got;
    if (!piece) return err_oom(e, OCI_LAYOUT_PIECE, "a copy");
    bool ok = true, begun = os_fstat(fd, &st) && st.size_bytes <= d->size_bytes;
    if (!begun) ok = os_truncate(fd, 0, e);
    uint64_t have = ok && begun ? st.size_bytes : 0;
    while (ok && at < have) {
        size_t n = have - at < OCI_LAYOUT_PIECE ? (size_t)(have - at) : OCI_LAYOUT_PIECE;
        ok = os_pread(fd, piece, n, at, &got, e) && got == n;
        if (!ok) err_set(e, ERR_IO, "a partial blob could not be read again");
        else oci_hash_add(hash, piece, n);
        at += n;
    }
    o->event.done_bytes += have;
    ok = ok && oci_layout_rest(o, fd, d, at, source, hash, piece, e);
    mem_free(piece);
    return ok;
}

static bool oci_layout_store(struct oci *o, const struct oci_desc *d,
                             const struct oci_source *source, const char *path_cstr,
                             const char *part_cstr, struct err *e) {
    struct oci_hash hash;
    struct arena a;
    arena_init(&a, (size_t)1 << 20);
    oci_hash_begin(&hash, d->digest);
    int fd = os_open(part_cstr, OS_WRITE, e);
    bool ok = fd >= 0 && oci_layout_fill(o, fd, d, source, &hash, e);
    bool whole = ok;
    ok = ok && oci_hash_check(&hash, d->digest, e) && os_sync(fd, e);
    os_close(fd);
    char *dir = os_path_dir(&a, path_cstr);
    ok = ok && os_rename(part_cstr, path_cstr, e) && (!dir || os_sync_dir(dir, e));
    struct err none = { 0 };
    if (!ok && whole && e->code == ERR_INTEGRITY) (void)os_unlink(part_cstr, &none);
    if (!ok && (e->code == ERR_DISK_FULL || e->code == ERR_IO)) err_context(e, "%s: ", part_cstr);
    arena_release(&a);
    return ok;
}

MLXK_FN bool oci_layout_blob_put(struct oci *o, const struct oci_desc *d,
                                 const struct oci_source *source, enum oci_stored *how,
                                 struct err *e) {
    struct oci_layout *l = o->layout;
    struct os_lock lock;
    struct arena a;
    struct os_stat st;
    struct err none = { 0 };
    uint64_t offset, size_bytes = 0;
    bool found;
    int fd;
    if (!oci_layout_find(o, d->digest, &found, &fd, &offset, &size_bytes, e)) return false;
    if (found) os_close(fd);
    *how = OCI_STORED_THERE;
    if (found && size_bytes == d->size_bytes) return true;
    arena_init(&a, (size_t)1 << 20);
    char *path = oci_layout_blob_path(&a, l->dir_cstr, d->digest),
         *dir = path ? os_path_dir(&a, path) : NULL;
    char *part = path ? str_dup_cstr(&a, str_format(&a, "%s.part", path)) : NULL;
    bool ok = dir && part ? os_mkdirs(dir, e) : err_oom(e, LIMIT_PATH, "a path");
    ok = ok && os_lock_acquire(&lock, part, -1, e);
    if (ok) {
        bool there = os_stat(path, &st) && st.kind == OS_FILE && st.size_bytes == d->size_bytes;
        if (there) (void)os_unlink(part, &none);     /* somebody else has stored it meanwhile */
        else {
            *how = OCI_STORED_SENT;
            ok = oci_layout_store(o, d, source, path, part, e);
        }
        l->n_put += ok;
        os_lock_release(&lock);
    }
    arena_release(&a);
    return ok;
}

/* ---- the index (Private) --------------------------------------------------------------------- */

static bool oci_layout_index(struct arena *a, struct oci *o, struct oci_manifest *out,
                             struct err *e) {
    struct oci_layout *l = o->layout;
    struct str text = l->index_text;
    if (l->dir_cstr) {
        char *path = os_path_join(a, l->dir_cstr, "index.json");
        if (!path) return err_oom(e, LIMIT_PATH, "a path");
        if (!os_read_file(a, path, OCI_MAX_MANIFEST, &text, e)) return false;
    }
    if (!oci_manifest_parse(a, text, STR(OCI_TYPE_INDEX), out, e))
        return err_context(e, "%s/index.json: ", o->ref.path_cstr);
    return true;
}

static struct str oci_layout_name(const struct oci_desc *d) {
    return oci_annotation(d->annotations, d->n_annotations, OCI_KEY_REF_NAME);
}

static int oci_layout_order(const struct oci_desc *x, const struct oci_desc *y) {
    int by_name = str_cmp(oci_layout_name(x), oci_layout_name(y));
    return by_name ? by_name : str_cmp(x->digest, y->digest);
}

static bool oci_layout_index_write(struct arena *a, struct oci *o, struct oci_manifest *index,
                                   struct err *e) {
    struct oci_desc *list = index->layers;
    for (size_t i = 1; i < index->n_layers; i++)           /* sorted already but for one */
        for (size_t k = i; k && oci_layout_order(&list[k - 1], &list[k]) > 0; k--) {
            struct oci_desc x = list[k];
            list[k] = list[k - 1];
            list[k - 1] = x;
        }
    struct buf text;
    buf_init(&text, OCI_MAX_MANIFEST);
    char *path = os_path_join(a, o->layout->dir_cstr, "index.json");
    bool ok = path ? oci_manifest_write(&text, index, e) && os_write_file(path, buf_str(&text), e)
                   : err_oom(e, LIMIT_PATH, "a path");
    buf_release(&text);
    return ok;
}

/* What killed runs were writing; under the lock nobody else writes it. */
static void oci_layout_sweep(struct arena *a, const char *dir_cstr) {
    struct os_entry *entries;
    struct err none = { 0 };
    size_t n = 0;
    if (!os_list_dir(a, dir_cstr, 4096, &entries, &n, &none)) return;
    for (size_t i = 0; i < n; i++) {
        if (!str_starts(entries[i].name, STR("index.json."))
            || !str_ends(entries[i].name, STR(".tmp")))
            continue;
        char *name = str_dup_cstr(a, entries[i].name);
        char *path = name ? os_path_join(a, dir_cstr, name) : NULL;
        if (path) (void)os_unlink(path, &none);
    }
}

static bool oci_layout_taken(struct str tag, const struct oci_desc *d, struct err *e) {
    return err_set(e, ERR_EXISTS, "the tag '" STR_FMT "' names " STR_FMT " by now", STR_ARG(tag),
                   STR_ARG(d->digest));
}

/* Takes out what keep says no to; adds `more` (or NULL); all under the lock. *n_gone: taken out.
 * fresh: the tag must not name another manifest. */
static bool oci_layout_change(struct oci *o, struct str tag, struct str digest,
                              const struct oci_desc *more, bool fresh, size_t *n_gone,
                              struct err *e) {
    struct arena a;
    struct os_lock lock;
    struct oci_manifest index;
    arena_init(&a, OCI_LAYOUT_ARENA);
    *n_gone = 0;
    char *mark = os_path_join(&a, o->layout->dir_cstr, "oci-layout");
    bool ok = mark ? os_lock_acquire(&lock, mark, -1, e) : err_oom(e, LIMIT_PATH, "a path");
    bool locked = ok;
    if (ok) oci_layout_sweep(&a, o->layout->dir_cstr);
    ok = ok && oci_layout_index(&a, o, &index, e);
    struct oci_desc *list = ok ? ARENA_ARRAY(&a, struct oci_desc, index.n_layers + 1) : NULL;
    if (ok && !list) ok = err_oom(e, index.n_layers * sizeof *list, "an index");
    size_t n = 0;
    for (size_t i = 0; ok && i < index.n_layers; i++) {
        const struct oci_desc *d = &index.layers[i];
        bool gone = tag.n ? str_eq(oci_layout_name(d), tag) : str_eq(d->digest, digest) && !more;
        if (gone && fresh && more && !str_eq(d->digest, more->digest))
            ok = oci_layout_taken(tag, d, e);
        bool twin = more && str_eq(d->digest, more->digest) && !oci_layout_name(d).p;
        *n_gone += gone;
        if (!gone && !twin) list[n++] = *d;
    }
    if (ok && more) list[n++] = *more;
    if (ok) {
        index.layers = list;
        index.n_layers = n;
        ok = oci_layout_index_write(&a, o, &index, e);
    }
    if (locked) os_lock_release(&lock);
    arena_release(&a);
    return ok;
}

static bool oci_layout_lookup(struct arena *a, struct oci *o, struct str what, struct oci_desc *out,
                              struct err *e) {
    struct oci_manifest index;
    *out = (struct oci_desc){ 0 };
    if (!oci_layout_index(a, o, &index, e)) return false;
    for (size_t i = 0; i < index.n_layers; i++)
        if (str_eq(what, oci_layout_name(&index.layers[i])) || str_eq(what, index.layers[i].digest))
            *out = index.layers[i];
    if (!out->digest.n && index.n_layers == 1 && str_eq(what, STR("latest")))
        *out = index.layers[0];
    if (!out->digest.n && oci_digest_ok(what)) out->digest = what;   /* not in the index itself */
    return true;
}

/* ---- manifests (Public to the room) ---------------------------------------------------------- */

static bool oci_layout_missing(struct oci *o, struct str what, struct err *e) {
    err_set(e, ERR_NOT_FOUND, "%s has no manifest '%s'", o->ref.path_cstr, oci_show(what).text);
    return err_hint(e, "`mlxk tags` lists what is there");
}

MLXK_FN bool oci_layout_get(struct arena *a, struct oci *o, struct str what,
                            struct oci_manifest *out, struct err *e) {
    struct oci_desc d;
    uint64_t offset, size_bytes = 0;
    size_t got = 0;
    bool found = false;
    int fd = -1;
    if (!oci_layout_lookup(a, o, what, &d, e)) return false;
    if (d.digest.n && !oci_layout_find(o, d.digest, &found, &fd, &offset, &size_bytes, e))
        return false;
    if (!found) return oci_layout_missing(o, what, e);
    bool ok = size_bytes <= OCI_MAX_MANIFEST
              || err_set(e, ERR_LIMIT, "the manifest %s is larger than 4 MiB", oci_show(what).text);
    char *text = ok ? arena_alloc(a, (size_t)size_bytes + 1, 1) : NULL;
    if (ok && !text) ok = err_oom(e, (size_t)size_bytes, "a manifest");
    ok = ok && os_pread(fd, text, (size_t)size_bytes, offset, &got, e);
    os_close(fd);
    ok = ok && oci_manifest_parse(a, (struct str){ text, got }, d.media_type, out, e);
    if (!ok) return err_context(e, "%s: ", o->ref.path_cstr);
    struct oci_hash hash;
    oci_hash_begin(&hash, d.digest);
    oci_hash_add(&hash, text, got);
    if (!oci_hash_check(&hash, d.digest, e)) return err_context(e, "%s: ", o->ref.path_cstr);
    out->digest = d.digest;
    return true;
}

MLXK_FN bool oci_layout_head(struct arena *a, struct oci *o, struct str what, struct oci_head *out,
                             struct err *e) {
    struct oci_desc d;
    uint64_t offset;
    int fd;
    *out = (struct oci_head){ 0 };
    if (!oci_layout_lookup(a, o, what, &d, e)) return false;
    if (d.digest.n
        && !oci_layout_find(o, d.digest, &out->found, &fd, &offset, &out->size_bytes, e))
        return false;
    if (out->found) os_close(fd);
    out->digest = d.digest;
    out->media_type = d.media_type;
    return true;
}

static bool oci_layout_text(void *ctx, uint64_t offset, void *p, size_t n, struct err *e) {
    const struct str *text = ctx;
    (void)e;
    memcpy(p, text->p + offset, n);
    return true;
}

MLXK_FN bool oci_layout_put(struct oci *o, const struct oci_manifest *m, struct str tag,
                            bool fresh, struct err *e) {
    struct str text = m->text;
    enum oci_stored how;
    size_t n_gone;
    struct oci_desc d = { .media_type = m->media_type,
                          .digest = m->digest,
                          .size_bytes = m->text.n };
    struct oci_source source = { .read = oci_layout_text, .ctx = &text };
    uint64_t before = o->event.done_bytes;
    bool ok = oci_layout_blob_put(o, &d, &source, &how, e);
    o->event.done_bytes = before;                          /* manifests are not counted */
    if (!ok || (!tag.n && !m->has_subject)) return ok;
    struct oci_pair name = { STR(OCI_KEY_REF_NAME), tag };
    struct oci_desc entry = d;
    entry.artifact_type = m->is_index ? m->artifact_type : oci_manifest_type(m);
    if (tag.n) {
        entry.annotations = &name;
        entry.n_annotations = 1;
    }
    return oci_layout_change(o, tag, STR_EMPTY, &entry, fresh, &n_gone, e);
}

MLXK_FN bool oci_layout_remove(struct oci *o, struct str tag, struct str digest, struct err *e) {
    struct arena a;
    size_t n_gone = 0;
    if (!oci_layout_change(o, tag, digest, NULL, false, &n_gone, e)) return false;
    if (n_gone == 0) return oci_layout_missing(o, tag.n ? tag : digest, e);
    if (tag.n) return true;
    arena_init(&a, (size_t)1 << 20);
    char *path = oci_layout_blob_path(&a, o->layout->dir_cstr, digest);
    bool ok = path ? os_unlink(path, e) : err_oom(e, LIMIT_PATH, "a path");
    arena_release(&a);
    return ok;
}

MLXK_FN bool oci_layout_tags(struct arena *a, struct oci *o, struct oci_names *out, struct err *e) {
    struct oci_manifest index;
    *out = (struct oci_names){ 0 };
    if (!oci_layout_index(a, o, &index, e)) return false;
    out->names = ARENA_ARRAY(a, struct str, index.n_layers + 1);
    if (!out->names) return err_oom(e, index.n_layers * sizeof *out->names, "a list of tags");
    for (size_t i = 0; i < index.n_layers; i++) {
        struct str name = oci_layout_name(&index.layers[i]);
        if (oci_tag_ok(name)) out->names[out->n++] = name;
    }
    oci_names_sort(out);
    return true;
}

/* Entries of the index that are, or list, manifests with this subject. */
MLXK_FN bool oci_layout_referrers(struct arena *a, struct oci *o, struct str digest,
                                  struct oci_desc **out, size_t *n, struct err *e) {
    struct oci_manifest index;
    *n = 0;
    if (!oci_layout_index(a, o, &index, e)) return false;
    *out = ARENA_ARRAY(a, struct oci_desc, index.n_layers + 1);
    if (!*out) return err_oom(e, index.n_layers * sizeof **out, "a list of manifests");
    for (size_t i = 0; i < index.n_layers; i++) {
        struct oci_manifest m;
        struct err none = { 0 };
        const struct oci_desc *d = &index.layers[i];
        bool twin = false;
        for (size_t k = 0; k < *n; k++) twin = twin || str_eq((*out)[k].digest, d->digest);
        if (twin || !oci_layout_get(a, o, d->digest, &m, &none) || !m.has_subject
            || !str_eq(m.subject.digest, digest))
            continue;
        struct oci_desc *x = &(*out)[(*n)++];
        *x = *d;
        x->artifact_type = oci_manifest_type(&m);
        x->annotations = m.annotations;
        x->n_annotations = m.n_annotations;
    }
    return true;
}

/* ---- for the archive ------------------------------------------------------------------------- */

MLXK_FN bool oci_layout_index_text(struct arena *a, struct oci *o, struct oci_manifest *out,
                                   struct err *e) {
    return oci_layout_index(a, o, out, e);
}

#undef OCI_LAYOUT_ARENA
#undef OCI_LAYOUT_MARK
