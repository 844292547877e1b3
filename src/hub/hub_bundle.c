/* hub_bundle.c: repositories of the cache as one tar file.
 *
 * 1. Nothing is written about a file that is not whole: links that lead nowhere stop the plan, and
 *    every payload is hashed on its way out.
 * 2. Payloads come once: what two repos share is a hard link to the first one's.
 * 3. Order inside, for who unpacks by hand and is interrupted: blobs, links, trees, refs.
 * 4. The same snapshots, tool and date give the same bytes.
 */
#include "hub/hub_int.h"

#include <stdlib.h>

/* ---- what a snapshot holds (Private) --------------------------------------------------------- */

struct hub_bundle_job {
    struct arena *arena;
    const struct cache *cache;
    struct hub_bundle *out;
    struct map blobs;            /* "number of the repo, name of the blob": there already */
    struct map listed;           /* path -> place in the file list of the commit in hand */
};

/* All files below a folder of the repo; none when it does not exist. */
static bool hub_bundle_files(struct arena *a, const char *repo_dir_cstr, const char *below_cstr,
                             struct cache_scan **out, char **dir, struct err *e) {
    struct cache_model m;
    *out = NULL;
    *dir = os_path_join(a, repo_dir_cstr, below_cstr);
    if (!*dir) return err_oom(e, LIMIT_PATH, "a path");
    struct err none = { 0 };
    struct os_stat st;
    if (!os_stat(*dir, &st) || !cache_model_at(a, *dir, &m, &none)) return true;
    if (!cache_scan(a, &m, e)) return false;
    *out = m.scan;
    return true;
}

static bool hub_bundle_tree(struct hub_bundle_job *j, const char *repo_dir_cstr,
                            struct hub_bundle_commit *c, struct cache_tree_file **files, size_t *n,
                            struct err *e) {
    struct err none = { 0 };
    struct str text;
    char *name = str_dup_cstr(j->arena, str_format(j->arena, "trees/" STR_FMT ".json",
                                                   STR_ARG(c->commit)));
    char *path = name ? os_path_join(j->arena, repo_dir_cstr, name) : NULL;
    *n = 0;
    if (!path) return err_oom(e, LIMIT_PATH, "a path");
    if (os_read_file(j->arena, path, HUB_MAX_MANIFEST, &text, &none) &&
        cache_tree_parse(j->arena, text, files, n))
        c->tree = text;
    return true;
}

MLXK_FN bool hub_bundle_agrees(const struct cache_tree_file *listed, struct str etag,
                               uint64_t size_bytes) {
    bool lfs = listed->lfs_sha256.n > 0;
    uint64_t size = lfs && listed->lfs_size ? listed->lfs_size : listed->size_bytes;
    return size == size_bytes && (cache_blob_hash(etag) == CACHE_OPAQUE
                                  || str_eq(etag, lfs ? listed->lfs_sha256 : listed->blob_id));
}

/* The list's paths, to be found among any number of them. */
MLXK_FN bool hub_bundle_index(struct map *m, const struct cache_tree_file *files, size_t n,
                              struct err *e) {
    map_release(m);
    map_init(m, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t *at = map_put(m, files[i].path, NULL);
        if (!at) return err_oom(e, n * 32, "a file list");
        *at = i;
    }
    return true;
}

static bool hub_bundle_sha256(struct hub_bundle_job *j, const char *path_cstr, struct str *out,
                              struct err *e) {
    uint8_t digest[32];
    char hex[65];
    if (!sha256_file(path_cstr, digest, NULL, NULL, e)) return false;
    str_hex(hex, digest, sizeof digest);
    *out = str_dup(j->arena, str_cstr(hex));
    return out->p || err_oom(e, sizeof hex, "a hash");
}

/* The blob's name: where the link leads, else what the list says, else the hash of the content. */
static bool hub_bundle_etag(struct hub_bundle_job *j, const struct cache_file *f,
                            const char *path_cstr, const struct cache_tree_file *listed,
                            struct str *etag, struct err *e) {
    struct err none = { 0 };
    char *target = f->is_link ? os_readlink(j->arena, path_cstr, &none) : NULL;
    struct str name = target ? os_path_base(target) : STR_EMPTY;
    if (name.n && str_find(str_cstr(target), STR("/blobs/")) >= 0 && cache_etag_ok(name, &none)) {
        *etag = str_dup(j->arena, name);
    } else if (listed) {
        *etag = listed->lfs_sha256.n ? listed->lfs_sha256 : listed->blob_id;
    } else {
        return hub_bundle_sha256(j, path_cstr, etag, e);
    }
    return etag->p || err_oom(e, 64, "a name");
}

static bool hub_bundle_add_blob(struct hub_bundle_job *j, struct hub_bundle_repo *r,
                                struct str etag, const char *path_cstr, uint64_t size_bytes,
                                struct err *e) {
    bool is_new = false;
    struct str key =
        str_format(j->arena, "%zu " STR_FMT, (size_t)(r - j->out->repos), STR_ARG(etag));
    if (!key.p || !map_put(&j->blobs, key, &is_new)) return err_oom(e, LIMIT_PATH, "a plan");
    if (!is_new) return true;
    struct hub_bundle_blob *x = &r->blobs[r->n_blobs++];
    *x = (struct hub_bundle_blob){ .etag = etag, .size_bytes = size_bytes,
                                   .source_cstr = path_cstr, .twin_repo = SIZE_MAX };
    return cache_blob_hash(etag) != CACHE_OPAQUE ||
           hub_bundle_sha256(j, path_cstr, &x->sha256, e);
}

static bool hub_bundle_add_files(struct hub_bundle_job *j, struct hub_bundle_repo *r,
                                 const struct cache_model *m, const struct cache_scan *scan,
                                 struct hub_bundle_commit *c, struct err *e) {
    struct cache_tree_file *listed = NULL;
    struct cache_fence fence;
    struct str inside;
    size_t n_listed, n_found = 0;
    if (!cache_fence_open(j->arena, m->snapshot_cstr, &fence, e) ||
        !cache_proof_read(j->arena, j->cache, m->name, c->commit, &c->proof, e) ||
        !hub_bundle_tree(j, m->repo_dir_cstr, c, &listed, &n_listed, e) ||
        !hub_bundle_index(&j->listed, listed, n_listed, e))
        return false;
    c->files = ARENA_ARRAY(j->arena, struct hub_bundle_file, scan->n);
    struct hub_bundle_blob *room =
        ARENA_ARRAY(j->arena, struct hub_bundle_blob, r->n_blobs + scan->n + 1);
    if (!c->files || !room) return err_oom(e, scan->n, "the plan of a bundle");
    if (r->n_blobs) memcpy(room, r->blobs, r->n_blobs * sizeof *room);
    r->blobs = room;
    for (size_t i = 0; i < scan->n; i++) {
        const struct cache_file *f = &scan->files[i];
        struct str etag;
        char *below = str_dup_cstr(j->arena, f->path);
        char *path = below ? os_path_join(j->arena, m->snapshot_cstr, below) : NULL;
        if (!path) return err_oom(e, LIMIT_PATH, "a path");
        if (f->kind != OS_FILE) {
            err_set(e, ERR_NOT_FOUND, STR_FMT " of " STR_FMT " is a link that leads nowhere",
                    STR_ARG(f->path), STR_ARG(m->name));
            return err_hint(e, "mlxk pull " STR_FMT " fetches what is missing", STR_ARG(m->name));
        }
        if (!cache_path_ok(f->path, e) ||
            (f->is_link && !cache_fence_check(j->arena, &fence, path, &inside, e)))
            return err_context(e, STR_FMT ": ", STR_ARG(m->name));
        const uint64_t *at = map_get(&j->listed, f->path);
        n_found += at != NULL;
        if (!hub_bundle_etag(j, f, path, at ? &listed[*at] : NULL, &etag, e)) return false;
        if (at && !hub_bundle_agrees(&listed[*at], etag, f->size_bytes)) {
            err_set(e, ERR_INTEGRITY, STR_FMT " of " STR_FMT " is not what the file list of its "
                    "commit says", STR_ARG(f->path), STR_ARG(m->name));
            return err_hint(e, "mlxk verify " STR_FMT " --repair", STR_ARG(m->name));
        }
        if (!hub_bundle_add_blob(j, r, etag, path, f->size_bytes, e)) return false;
        c->files[c->n_files++] = (struct hub_bundle_file){ f->path, etag };
    }
    c->complete = c->tree.n > 0 && n_found == n_listed;
    return true;
}

static bool hub_bundle_add_rest(struct hub_bundle_job *j, struct hub_bundle_repo *r,
                                const struct cache_model *m, struct hub_bundle_commit *c,
                                struct err *e) {
    struct cache_scan *scan;
    char *dir;
    struct str absent = str_format(j->arena, ".no_exist/" STR_FMT, STR_ARG(c->commit));
    if (!hub_bundle_files(j->arena, m->repo_dir_cstr, absent.p ? absent.p : "", &scan, &dir, e))
        return false;
    c->no_exist = ARENA_ARRAY(j->arena, struct str, scan ? scan->n : 0);
    for (size_t i = 0; c->no_exist && scan && i < scan->n; i++)
        if (scan->files[i].kind == OS_FILE && scan->files[i].size_bytes == 0)
            c->no_exist[c->n_no_exist++] = scan->files[i].path;
    if (!hub_bundle_files(j->arena, m->repo_dir_cstr, "refs", &scan, &dir, e)) return false;
    struct hub_bundle_ref *refs =
        ARENA_ARRAY(j->arena, struct hub_bundle_ref, r->n_refs + (scan ? scan->n : 0));
    if (!c->no_exist || !refs) return err_oom(e, LIMIT_PATH, "the plan of a bundle");
    if (r->n_refs) memcpy(refs, r->refs, r->n_refs * sizeof *refs);
    r->refs = refs;
    for (size_t i = 0; scan && i < scan->n; i++) {
        struct str name = scan->files[i].path;
        struct err none = { 0 };
        if (cache_revision_ok(name, &none) &&
            str_eq(cache_ref_read(j->arena, j->cache, m->name, name), c->commit))
            r->refs[r->n_refs++] = (struct hub_bundle_ref){ name, c->commit };
    }
    return true;
}

static bool hub_bundle_add(struct hub_bundle_job *j, struct cache_model m, struct err *e) {
    struct hub_bundle *b = j->out;
    struct hub_bundle_repo *r = NULL;
    if (m.place != CACHE_REPO || !m.snapshot_cstr || m.commit.n != 40) {
        err_set(e, ERR_INVALID, STR_FMT " is no snapshot of a repository in the cache",
                STR_ARG(m.name));
        return err_hint(e, "workspaces are folders of your own: copy them as they are");
    }
    for (size_t i = 0; i < b->n_repos; i++)
        if (str_eq(b->repos[i].name, m.name)) r = &b->repos[i];
    if (!r) {
        r = &b->repos[b->n_repos++];
        *r = (struct hub_bundle_repo){ .name = m.name };
    }
    struct hub_bundle_commit *commits =
        ARENA_ARRAY(j->arena, struct hub_bundle_commit, r->n_commits + 1);
    if (!commits) return err_oom(e, sizeof *commits, "the plan of a bundle");
    for (size_t i = 0; i < r->n_commits; i++) {
        commits[i] = r->commits[i];
        if (str_eq(commits[i].commit, m.commit)) return true;    /* asked for twice */
    }
    r->commits = commits;
    struct hub_bundle_commit *c = &commits[r->n_commits++];
    *c = (struct hub_bundle_commit){ .commit = m.commit };
    m.dir_cstr = m.snapshot_cstr;
    m.scan = NULL;
    if (!cache_scan(j->arena, &m, e)) return false;
    if (m.scan->unreadable)
        return err_set(e, ERR_IO, "some files of %s cannot be listed", m.snapshot_cstr);
    return hub_bundle_add_files(j, r, &m, m.scan, c, e) && hub_bundle_add_rest(j, r, &m, c, e);
}

static int hub_bundle_blob_order(const void *x, const void *y) {
    return str_cmp(((const struct hub_bundle_blob *)x)->etag,
                   ((const struct hub_bundle_blob *)y)->etag);
}

/* What need not be inside, and what is there already. */
static void hub_bundle_share(struct hub_bundle *b, const struct hub_bundle *base) {
    for (size_t i = 0; i < b->n_repos; i++)
        qsort(b->repos[i].blobs, b->repos[i].n_blobs, sizeof *b->repos[i].blobs,
              hub_bundle_blob_order);
    for (size_t i = 0; i < b->n_repos; i++) {
        struct hub_bundle_repo *r = &b->repos[i];
        for (size_t k = 0; k < r->n_blobs; k++) {
            struct hub_bundle_blob *x = &r->blobs[k];
            bool opaque = cache_blob_hash(x->etag) == CACHE_OPAQUE;
            for (size_t m = 0; base && !opaque && m < base->n_repos; m++)
                x->in_base |= str_eq(base->repos[m].name, r->name) &&
                              hub_bundle_blob(&base->repos[m], x->etag) != NULL;
            for (size_t m = 0; !x->in_base && !opaque && x->twin_repo == SIZE_MAX && m < i; m++) {
                const struct hub_bundle_blob *twin = hub_bundle_blob(&b->repos[m], x->etag);
                if (twin && !twin->in_base && twin->twin_repo == SIZE_MAX) x->twin_repo = m;
            }
            if (x->in_base || x->twin_repo != SIZE_MAX) continue;
            b->payload_bytes += x->size_bytes;
            b->n_blobs++;
        }
    }
}

MLXK_FN bool hub_bundle_plan(struct arena *a, const struct cache *c,
                             const struct cache_model *models, size_t n,
                             const struct hub_bundle *base, struct hub_bundle *out, struct err *e) {
    struct hub_bundle_job j = { .arena = a, .cache = c, .out = out };
    *out = (struct hub_bundle){ .repos = ARENA_ARRAY(a, struct hub_bundle_repo, n) };
    if (!out->repos) return err_oom(e, n * sizeof *out->repos, "the plan of a bundle");
    map_init(&j.blobs, SIZE_MAX / 64);
    map_init(&j.listed, 0);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) ok = hub_bundle_add(&j, models[i], e);
    map_release(&j.blobs);
    map_release(&j.listed);
    if (!ok) return false;
    if (base) out->base_sha256 = base->content_sha256;
    hub_bundle_share(out, base);
    return true;
}

/* ---- the archive (Private) ------------------------------------------------------------------- */

struct hub_bundle_writer {
    struct arena *arena;
    const struct hub_bundle *bundle;
    hub_write_fn write;
    void *ctx;
    hub_progress_fn progress;
    void *progress_ctx;
    uint64_t done_bytes;
    int64_t mtime_s;
    struct buf head;
    char *piece;                 /* HUB_BUNDLE_PIECE bytes */
};

static bool hub_bundle_flush(struct hub_bundle_writer *w, struct err *e) {
    bool ok = buf_ok(&w->head, "a bundle", e) && w->write(w->ctx, w->head.p, w->head.n, e);
    buf_reset(&w->head);
    return ok;
}

static bool hub_bundle_head(struct hub_bundle_writer *w, enum tar_kind kind, struct str path,
                            struct str link, uint64_t size_bytes, struct err *e) {
    struct tar_entry x = { .kind = kind, .path = path, .link = link, .size_bytes = size_bytes,
                           .mode = kind == TAR_SYMLINK ? 0777 : 0644, .mtime_s = w->mtime_s };
    if (!path.p) return err_oom(e, LIMIT_PATH, "a name");
    return tar_write_header(&w->head, &x, e);
}

static bool hub_bundle_text(struct hub_bundle_writer *w, struct str path, struct str text,
                            struct err *e) {
    if (!hub_bundle_head(w, TAR_FILE, path, STR_EMPTY, text.n, e)) return false;
    buf_add(&w->head, text);
    tar_write_padding(&w->head, text.n);
    return hub_bundle_flush(w, e);
}

static bool hub_bundle_payload(struct hub_bundle_writer *w, const struct hub_bundle_blob *x,
                               struct err *e) {
    struct cache_digest digest;
    char hex[65];
    int fd = os_open(x->source_cstr, OS_READ, e);
    bool ok = fd >= 0;
    cache_digest_begin(&digest, cache_blob_hash(x->etag), x->size_bytes);
    for (uint64_t left = x->size_bytes; ok && left;) {
        size_t want = left < HUB_BUNDLE_PIECE ? (size_t)left : HUB_BUNDLE_PIECE, n;
        ok = os_read(fd, w->piece, want, &n, e);
        if (ok && n < want)
            ok = err_set(e, ERR_INTEGRITY, "%s became shorter while it was read", x->source_cstr);
        if (!ok) break;
        cache_digest_add(&digest, w->piece, n);
        left -= n;
        w->done_bytes += n;
        ok = w->write(w->ctx, w->piece, n, e);
        if (ok && w->progress &&
            !w->progress(w->progress_ctx, w->done_bytes, w->bundle->payload_bytes))
            ok = err_set(e, ERR_INTERRUPTED, "the export was stopped");
    }
    os_close(fd);
    if (!ok) return false;
    cache_digest_end(&digest, hex);
    if (str_eq_cstr(x->sha256.n ? x->sha256 : x->etag, hex)) return true;
    err_set(e, ERR_INTEGRITY, "%s does not hold what its name " STR_FMT " promises",
            x->source_cstr, STR_ARG(x->etag));
    return err_hint(e, "mlxk verify --repair fetches it again");
}

static bool hub_bundle_put_blobs(struct hub_bundle_writer *w, const struct hub_bundle_repo *r,
                                 const char *folder_cstr, struct err *e) {
    for (size_t i = 0; i < r->n_blobs; i++) {
        const struct hub_bundle_blob *x = &r->blobs[i];
        struct str path = str_format(w->arena, "%s/blobs/" STR_FMT, folder_cstr, STR_ARG(x->etag));
        if (x->in_base) continue;
        if (x->twin_repo != SIZE_MAX) {
            char *first = cache_folder_name(w->arena, w->bundle->repos[x->twin_repo].name);
            struct str link = str_format(w->arena, "%s/blobs/" STR_FMT, first ? first : "",
                                         STR_ARG(x->etag));
            if (!hub_bundle_head(w, TAR_HARDLINK, path, link, 0, e)) return false;
            continue;
        }
        if (!hub_bundle_head(w, TAR_FILE, path, STR_EMPTY, x->size_bytes, e) ||
            !hub_bundle_flush(w, e) || !hub_bundle_payload(w, x, e))
            return false;
        tar_write_padding(&w->head, x->size_bytes);
    }
    return hub_bundle_flush(w, e);
}

static bool hub_bundle_put_commit(struct hub_bundle_writer *w, const struct hub_bundle_commit *c,
                                  const char *folder_cstr, struct err *e) {
    for (size_t i = 0; i < c->n_files; i++) {
        struct buf target;
        buf_init(&target, LIMIT_PATH);
        for (size_t k = 0; k < c->files[i].path.n; k++)
            if (c->files[i].path.p[k] == '/') buf_add_cstr(&target, "../");
        buf_add_cstr(&target, "../../blobs/");
        buf_add(&target, c->files[i].etag);
        struct str path = str_format(w->arena, "%s/snapshots/" STR_FMT "/" STR_FMT, folder_cstr,
                                     STR_ARG(c->commit), STR_ARG(c->files[i].path));
        bool ok = buf_ok(&target, "a link", e) &&
                  hub_bundle_head(w, TAR_SYMLINK, path, buf_str(&target), 0, e);
        buf_release(&target);
        if (!ok) return false;
    }
    if (c->tree.n && !hub_bundle_text(w, str_format(w->arena, "%s/trees/" STR_FMT ".json",
                                                    folder_cstr, STR_ARG(c->commit)), c->tree, e))
        return false;
    for (size_t i = 0; i < c->n_no_exist; i++)
        if (!hub_bundle_text(w, str_format(w->arena, "%s/.no_exist/" STR_FMT "/" STR_FMT,
                                           folder_cstr, STR_ARG(c->commit),
                                           STR_ARG(c->no_exist[i])), STR_EMPTY, e))
            return false;
    return hub_bundle_flush(w, e);
}

static bool hub_bundle_put_repo(struct hub_bundle_writer *w, const struct hub_bundle_repo *r,
                                struct err *e) {
    char *folder = cache_folder_name(w->arena, r->name);
    if (!folder) return err_oom(e, LIMIT_PATH, "a name");
    if (!hub_bundle_put_blobs(w, r, folder, e)) return false;
    for (size_t i = 0; i < r->n_commits; i++)
        if (!hub_bundle_put_commit(w, &r->commits[i], folder, e)) return false;
    for (size_t i = 0; i < r->n_refs; i++)
        if (!hub_bundle_text(w, str_format(w->arena, "%s/refs/" STR_FMT, folder,
                                           STR_ARG(r->refs[i].revision)), r->refs[i].commit, e))
            return false;
    return true;
}

MLXK_FN bool hub_bundle_write(struct arena *a, const struct hub_bundle *b, hub_write_fn write,
                              void *ctx, hub_progress_fn progress, void *progress_ctx,
                              struct err *e) {
    struct str manifest;
    struct hub_bundle_writer w = { .arena = a, .bundle = b, .write = write, .ctx = ctx,
                                   .progress = progress, .progress_ctx = progress_ctx,
                                   .mtime_s = b->created_s,
                                   .piece = arena_alloc(a, HUB_BUNDLE_PIECE, 64) };
    if (!w.piece) return err_oom(e, HUB_BUNDLE_PIECE, "a bundle");
    if (!hub_bundle_manifest(a, b, &manifest, e)) return false;
    char hex[65];
    cache_digest_text(CACHE_SHA256, manifest, hex);
    buf_init(&w.head, 2 * HUB_MAX_MANIFEST);
    bool ok = hub_bundle_text(&w, str_format(a, HUB_BUNDLE_PREFIX "%.16s.json", hex), manifest, e);
    for (size_t i = 0; ok && i < b->n_repos; i++) ok = hub_bundle_put_repo(&w, &b->repos[i], e);
    if (ok) tar_write_end(&w.head);
    ok = ok && hub_bundle_flush(&w, e);
    buf_release(&w.head);
    return ok;
}
