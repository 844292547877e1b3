/* hub_unbundle.c: a bundle into the cache.
 *
 *   manifest --hub_bundle_parse--> plan --unbundle_entry, each entry--> blobs (cache_writer_commit)
 *      all there? --unbundle_publish--> links -> trees, .no_exist --> refs
 *
 * 1. What the manifest does not announce ends the import: an archive has nothing to say of its own.
 *    Links inside are not followed and not made: those of the manifest are.
 * 2. Until every blob is in the cache no link is made, and until all links are no ref is: an import
 *    that ends early leaves verified blobs, which the next one finds, and nothing that is seen.
 * 3. A blob that is there already is passed over: importing again changes nothing.
 * 4. A file list is believed for ever by who reads it: it has the hash that the manifest tells, and
 *    says of every file what the manifest says. The manifest has the hash in its name.
 * 5. Memory does not grow with the archive: what an entry's headers say is forgotten after it.
 */
#include "hub/hub_int.h"

enum { UNBUNDLE_WAIT_MS = 60000 };
#define UNBUNDLE_NAMES ((size_t)32 << 20)        /* of one entry, with all headers it may have */

struct unbundle {
    struct arena *arena;
    const struct cache *cache;
    struct tar_reader *tar;      /* NULL: from a folder */
    hub_progress_fn progress;
    void *progress_ctx;
    uint64_t done_bytes;
    struct hub_unbundle_result *out;
    struct map folders;          /* "models--org--name" -> place among the repos */
    char *piece;                 /* HUB_BUNDLE_PIECE bytes */
    struct cache_room room;      /* for what is still to come */
};

/* ---- blobs (Private) ------------------------------------------------------------------------- */

/* Where the next bytes come from: the archive, or an open file. */
struct unbundle_source { struct tar_reader *tar; int fd; };

static bool unbundle_bytes(const struct unbundle_source *s, void *p, size_t n, struct err *e) {
    size_t got = 0;
    if (s->tar) return tar_read(s->tar, p, n, e);
    return os_read(s->fd, p, n, &got, e) &&
           (got == n || err_set(e, ERR_INTEGRITY, "the file is shorter than announced"));
}

static bool unbundle_copy(struct unbundle *u, const struct unbundle_source *s,
                          const struct hub_bundle_blob *x, struct cache_writer *w, struct err *e) {
    struct cache_digest digest;
    char hex[65];
    cache_digest_begin(&digest, CACHE_SHA256, x->size_bytes);
    for (uint64_t left = x->size_bytes; left;) {
        size_t n = left < HUB_BUNDLE_PIECE ? (size_t)left : HUB_BUNDLE_PIECE;
        if (!unbundle_bytes(s, u->piece, n, e) || !cache_writer_add(w, u->piece, n, e))
            return false;
        if (x->sha256.n) cache_digest_add(&digest, u->piece, n);
        left -= n;
        u->done_bytes += n;
        if (u->progress &&
            !u->progress(u->progress_ctx, u->done_bytes, u->out->bundle.payload_bytes))
            return err_set(e, ERR_INTERRUPTED, "the import was stopped");
    }
    if (!x->sha256.n) return true;
    cache_digest_end(&digest, hex);
    return str_eq_cstr(x->sha256, hex) ||
           err_set(e, ERR_INTEGRITY, "its sha256 is %s, announced was " STR_FMT, hex,
                   STR_ARG(x->sha256));
}

static bool unbundle_blob(struct unbundle *u, const struct hub_bundle_repo *r,
                          const struct hub_bundle_blob *x, const struct unbundle_source *s,
                          struct err *e) {
    struct cache_writer w;
    if (!cache_writer_open(&w, u->cache, r->name, x->etag, x->size_bytes, UNBUNDLE_WAIT_MS, e))
        return false;
    if (w.present) {
        u->out->n_present++;
        u->done_bytes += x->size_bytes;
        return true;
    }
    uint64_t told = u->room.told_bytes;  /* the file system holds this one now */
    cache_room_tell(&u->room, told > x->size_bytes ? told - x->size_bytes : 0);
    bool ok = unbundle_copy(u, s, x, &w, e);
    if (!ok) cache_writer_close(&w, e->code != ERR_INTEGRITY);
    else if (!(ok = cache_writer_commit(&w, e)) && e->code == ERR_INTEGRITY) {
        e->hint[0] = '\0';               /* the cache's advice is for downloads */
        err_hint(e, "the bundle is damaged: copy it again, or make it again with mlxk export");
    }
    if (!ok)
        return err_context(e, "content " STR_FMT " of " STR_FMT ": ", STR_ARG(x->etag),
                           STR_ARG(r->name));
    u->out->n_new++;
    u->out->new_bytes += x->size_bytes;
    return true;
}

static bool unbundle_file(struct unbundle *u, const struct hub_bundle_repo *r,
                          const struct hub_bundle_blob *x, const char *path_cstr, struct err *e) {
    struct os_stat st;
    int fd = os_open_regular(path_cstr, &st, e);
    if (fd < 0) return false;
    bool ok = st.size_bytes == x->size_bytes;
    if (!ok)
        err_set(e, ERR_INTEGRITY, "%s is no file of the announced %llu bytes", path_cstr,
                (unsigned long long)x->size_bytes);
    else ok = unbundle_blob(u, r, x, &(struct unbundle_source){ NULL, fd }, e);
    os_close(fd);
    return ok;
}

/* Content that another repo of the bundle has too: from the cache, where it is by now. */
static bool unbundle_twin(struct unbundle *u, const struct hub_bundle_repo *r,
                          const struct hub_bundle_blob *x, struct err *e) {
    const struct hub_bundle_repo *first = &u->out->bundle.repos[x->twin_repo];
    struct arena_mark mark = arena_mark(u->arena);
    char *dir = cache_repo_dir(u->arena, u->cache, first->name);
    char *name = str_dup_cstr(u->arena, x->etag);
    char *blobs = dir ? os_path_join(u->arena, dir, "blobs") : NULL;
    char *path = blobs && name ? os_path_join(u->arena, blobs, name) : NULL;
    bool ok = path ? unbundle_file(u, r, x, path, e) : err_oom(e, LIMIT_PATH, "a path");
    arena_rewind(u->arena, mark);
    return ok;
}

/* ---- entries of the archive (Private) -------------------------------------------------------- */

static bool unbundle_refuse(const struct tar_entry *x, const char *why_cstr, struct err *e) {
    err_set(e, ERR_FORMAT, "the bundle holds '" STR_FMT "', %s", STR_ARG(str_sub(x->path, 0, 200)),
            why_cstr);
    return err_hint(e, "nothing of it was made visible; make the bundle again with mlxk export");
}

static bool unbundle_tree_wrong(const struct hub_bundle_commit *c, const char *why_cstr,
                                struct err *e) {
    err_set(e, ERR_INTEGRITY, "the file list of commit " STR_FMT " %s", STR_ARG(c->commit),
            why_cstr);
    return err_hint(e, "copy the bundle again, or make it again with mlxk export");
}

/* The list against what the manifest says of the same files. */
static bool unbundle_tree_agrees(const struct hub_bundle_repo *r, const struct hub_bundle_commit *c,
                                 const struct cache_tree_file *files, size_t n, struct err *e) {
    struct map listed;
    size_t n_found = 0;
    map_init(&listed, 0);
    bool ok = hub_bundle_index(&listed, files, n, e);
    for (size_t i = 0; ok && i < c->n_files; i++) {
        const uint64_t *at = map_get(&listed, c->files[i].path);
        const struct hub_bundle_blob *x = hub_bundle_blob(r, c->files[i].etag);
        n_found += at != NULL;
        if (at && x && !hub_bundle_agrees(&files[*at], x->etag, x->size_bytes))
            ok = unbundle_tree_wrong(c, "says other things of its files than the manifest", e);
    }
    if (ok && c->complete && n_found != n)
        ok = unbundle_tree_wrong(c, "names files that the manifest does not have", e);
    map_release(&listed);
    return ok;
}

static bool unbundle_tree(struct unbundle *u, const struct hub_bundle_repo *r,
                          struct hub_bundle_commit *c, struct str text, struct err *e) {
    struct cache_tree_file *files;
    struct arena_mark mark = arena_mark(u->arena);
    char hex[65];
    size_t n;
    cache_digest_text(CACHE_SHA256, text, hex);
    if (c->tree_sha256.n && !str_eq_cstr(c->tree_sha256, hex))
        return unbundle_tree_wrong(c, "does not have the sha256 that was announced", e);
    bool ok = cache_tree_parse(u->arena, text, &files, &n)
                  ? unbundle_tree_agrees(r, c, files, n, e)
                  : unbundle_tree_wrong(c, "cannot be read", e);
    arena_rewind(u->arena, mark);
    if (ok) c->tree = text;
    return ok;
}

static struct hub_bundle_commit *unbundle_commit(struct hub_bundle_repo *r, struct str name) {
    for (size_t i = 0; i < r->n_commits; i++)
        if (str_eq(r->commits[i].commit, name)) return &r->commits[i];
    return NULL;
}

static bool unbundle_entry_tree(struct unbundle *u, struct hub_bundle_repo *r,
                                const struct tar_entry *x, struct str name, struct err *e) {
    struct hub_bundle_commit *c =
        str_ends(name, STR(".json")) ? unbundle_commit(r, str_sub(name, 0, name.n - 5)) : NULL;
    if (!c || !c->has_tree) return unbundle_refuse(x, "a file list that was not announced", e);
    if (c->tree.n) return unbundle_refuse(x, "which came before", e);
    if (x->size_bytes > HUB_MAX_MANIFEST) return unbundle_refuse(x, "which is too large", e);
    char *p = arena_alloc(u->arena, (size_t)x->size_bytes + 1, 1);
    if (!p) return err_oom(e, (size_t)x->size_bytes, "a file list");
    return tar_read(u->tar, p, (size_t)x->size_bytes, e) &&
           unbundle_tree(u, r, c, (struct str){ p, (size_t)x->size_bytes }, e);
}

static bool unbundle_entry_blob(struct unbundle *u, const struct hub_bundle_repo *r,
                                const struct tar_entry *x, struct str name, struct err *e) {
    const struct hub_bundle_blob *blob = hub_bundle_blob(r, name);
    if (!blob || blob->in_base) return unbundle_refuse(x, "which was not announced", e);
    if (blob->twin_repo != SIZE_MAX && x->kind == TAR_HARDLINK) return unbundle_twin(u, r, blob, e);
    if (x->kind != TAR_FILE || x->size_bytes != blob->size_bytes)
        return unbundle_refuse(x, "not a file of the announced size", e);
    return unbundle_blob(u, r, blob, &(struct unbundle_source){ u->tar, -1 }, e);
}

static bool unbundle_entry(struct unbundle *u, const struct tar_entry *x, struct err *e) {
    struct hub_bundle *b = &u->out->bundle;
    struct str path = x->path;
    if (str_starts(path, STR("./"))) path = str_sub(path, 2, path.n);
    if (x->kind == TAR_DIR || str_starts(path, STR(HUB_BUNDLE_PREFIX))) return true;
    ptrdiff_t slash = str_find_char(path, '/');
    struct str folder = str_sub(path, 0, slash < 0 ? path.n : (size_t)slash);
    struct str rest = str_sub(path, slash < 0 ? path.n : (size_t)slash + 1, path.n);
    const uint64_t *at = map_get(&u->folders, folder);
    struct hub_bundle_repo *r = at ? &b->repos[*at] : NULL;
    if (!r) return unbundle_refuse(x, "which belongs to no repo that was announced", e);
    if (str_starts(rest, STR("blobs/")))
        return unbundle_entry_blob(u, r, x, str_sub(rest, 6, rest.n), e);
    if (str_starts(rest, STR("trees/")) && x->kind == TAR_FILE)
        return unbundle_entry_tree(u, r, x, str_sub(rest, 6, rest.n), e);
    bool known = (str_starts(rest, STR("snapshots/")) && x->kind == TAR_SYMLINK) ||
                 (str_starts(rest, STR("refs/")) && x->kind == TAR_FILE) ||
                 (str_starts(rest, STR(".no_exist/")) && x->kind == TAR_FILE);
    return known || unbundle_refuse(x, "which no bundle has", e);  /* made from the manifest */
}

/* ---- the end (Private) ----------------------------------------------------------------------- */

static bool unbundle_lists_there(const struct hub_bundle *b, struct err *e) {
    for (size_t i = 0; i < b->n_repos; i++)
        for (size_t k = 0; k < b->repos[i].n_commits; k++)
            if (b->repos[i].commits[k].has_tree && !b->repos[i].commits[k].tree.n)
                return unbundle_tree_wrong(&b->repos[i].commits[k],
                                           "is announced, and the bundle does not bring it", e);
    return true;
}

static bool unbundle_all_there(struct unbundle *u, struct err *e) {
    struct hub_bundle *b = &u->out->bundle;
    if (!unbundle_lists_there(b, e)) return false;
    for (size_t i = 0; i < b->n_repos; i++)
        for (size_t k = 0; k < b->repos[i].n_blobs; k++) {
            const struct hub_bundle_blob *x = &b->repos[i].blobs[k];
            uint64_t size = 0;
            if (cache_blob_exists(u->cache, b->repos[i].name, x->etag, &size) &&
                size == x->size_bytes)
                continue;
            if (!x->in_base) {
                err_set(e, ERR_FORMAT, "the bundle announces content " STR_FMT " of " STR_FMT
                        " and does not bring it", STR_ARG(x->etag), STR_ARG(b->repos[i].name));
                return err_hint(e, "it was cut short, or a volume is missing");
            }
            err_set(e, ERR_NOT_FOUND, "content " STR_FMT " of " STR_FMT
                    " is in the bundle that this one builds on, and not in the cache",
                    STR_ARG(x->etag), STR_ARG(b->repos[i].name));
            return err_hint(e, "import the bundle with content_sha256 " STR_FMT " first",
                            STR_ARG(b->base_sha256));
        }
    return true;
}

static bool unbundle_absent(struct unbundle *u, const char *repo_dir_cstr,
                            const struct hub_bundle_commit *c, struct err *e) {
    for (size_t i = 0; i < c->n_no_exist; i++) {
        struct str below = str_format(u->arena, ".no_exist/" STR_FMT "/" STR_FMT,
                                      STR_ARG(c->commit), STR_ARG(c->no_exist[i]));
        char *name = below.p ? str_dup_cstr(u->arena, below) : NULL;
        char *path = name ? os_path_join(u->arena, repo_dir_cstr, name) : NULL;
        char *folder = path ? os_path_dir(u->arena, path) : NULL;
        if (!folder) return err_oom(e, LIMIT_PATH, "a path");
        if (!os_mkdirs(folder, e) || !os_write_file(path, STR_EMPTY, e)) return false;
    }
    return true;
}

/* A proof that is there already has been judged here: it stays. */
static bool unbundle_proof(struct unbundle *u, const struct cache *c, struct str repo,
                           const struct hub_bundle_commit *commit, struct err *e) {
    struct str old;
    if (!commit->proof.n) return true;
    if (!cache_proof_read(u->arena, c, repo, commit->commit, &old, e)) return false;
    return old.n || cache_proof_write(c, repo, commit->commit, commit->proof, e);
}

static bool unbundle_publish_commit(struct unbundle *u, const struct cache *c,
                                    const struct hub_bundle_repo *r,
                                    const struct hub_bundle_commit *commit, struct err *e) {
    struct cache late = *c;
    char *dir = cache_repo_dir(u->arena, c, r->name);
    struct str *paths = ARENA_ARRAY(u->arena, struct str, commit->n_files + 1);
    if (!dir || !paths) return err_oom(e, LIMIT_PATH, "a path");
    for (size_t i = 0; i < commit->n_files; i++) paths[i] = commit->files[i].path;
    if (!cache_paths_ok(c, r->name, paths, commit->n_files, e)) return false;
    late.late_sync = true;
    for (size_t i = 0; i < commit->n_files; i++, u->out->n_linked++)
        if (!cache_link(&late, r->name, commit->commit, commit->files[i].path,
                        commit->files[i].etag, e))
            return false;
    return cache_sync(&late, r->name, commit->commit, true, e) &&
           (!commit->tree.n || cache_tree_put(c, r->name, commit->commit, commit->tree, e)) &&
           unbundle_proof(u, c, r->name, commit, e) &&
           unbundle_absent(u, dir, commit, e);
}

static bool unbundle_publish_refs(const struct cache *c, const struct hub_bundle_repo *r,
                                  struct str ref, struct err *e) {
    for (size_t k = 0; k < r->n_refs; k++)
        if (!cache_ref_write(c, r->name, r->refs[k].revision, r->refs[k].commit, e)) return false;
    return !ref.n ||
           cache_ref_write(c, r->name, ref, r->commits[r->n_commits - 1].commit, e);
}

/* All is there, and all is shown: under one guard, so that nobody removes what was just counted. */
static bool unbundle_publish(struct unbundle *u, struct str ref, struct err *e) {
    const struct hub_bundle *b = &u->out->bundle;
    struct cache_guard g;
    if (!cache_guard_begin(u->cache, &g, e)) return false;
    bool ok = unbundle_all_there(u, e);
    for (size_t i = 0; ok && i < b->n_repos; i++)
        for (size_t k = 0; ok && k < b->repos[i].n_commits; k++)
            ok = unbundle_publish_commit(u, &g.cache, &b->repos[i], &b->repos[i].commits[k], e);
    for (size_t i = 0; ok && i < b->n_repos; i++)
        ok = unbundle_publish_refs(&g.cache, &b->repos[i], ref, e);
    for (size_t i = 0; ok && i < b->n_repos; i++) cache_temps_sweep(&g.cache, b->repos[i].name);
    cache_guard_end(&g);
    return ok;
}

/* Room for all that is not there yet, before the first byte of it. */
static bool unbundle_room(struct unbundle *u, struct err *e) {
    const struct hub_bundle *b = &u->out->bundle;
    uint64_t need_bytes = 0;
    for (size_t i = 0; i < b->n_repos; i++)
        for (size_t k = 0; k < b->repos[i].n_blobs; k++) {
            const struct hub_bundle_blob *x = &b->repos[i].blobs[k];
            uint64_t size = 0, held = 0;
            bool there = cache_blob_exists(u->cache, b->repos[i].name, x->etag, &size)
                         && size == x->size_bytes;
            if (there || x->in_base) continue;
            if (!cache_file_fits(u->cache, x->etag, x->size_bytes, e)) return false;
            (void)cache_blob_partial(u->cache, b->repos[i].name, x->etag, x->size_bytes, &held);
            uint64_t more = x->size_bytes - (held < x->size_bytes ? held : x->size_bytes);
            need_bytes = more > UINT64_MAX - need_bytes ? UINT64_MAX : need_bytes + more;
        }
    return !need_bytes || cache_room_take(u->cache, b->content_sha256, need_bytes, 0, &u->room, e);
}

static bool unbundle_names(struct unbundle *u, const struct hub_bundle_repo *r, struct err *e) {
    for (size_t k = 0; k < r->n_commits; k++)
        for (size_t i = 0; i < r->commits[k].n_files; i++)
            if (!cache_names_taken(u->cache, r->commits[k].files[i].path, e)) return false;
    return true;
}

static bool unbundle_begin(struct unbundle *u, struct str manifest, struct str ref, struct err *e) {
    u->piece = arena_alloc(u->arena, HUB_BUNDLE_PIECE, 64);
    if (!u->piece) return err_oom(e, HUB_BUNDLE_PIECE, "an import");
    if (ref.n && !cache_revision_ok(ref, e)) return false;
    if (!hub_bundle_parse(u->arena, manifest, &u->out->bundle, e)) return false;
    for (size_t i = 0; ref.n && i < u->out->bundle.n_repos; i++)
        if (u->out->bundle.repos[i].n_commits != 1) {
            err_set(e, ERR_INVALID, "--ref names one commit, the bundle holds %zu of " STR_FMT,
                    u->out->bundle.repos[i].n_commits, STR_ARG(u->out->bundle.repos[i].name));
            return err_hint(e, "leave --ref out: the bundle brings its own refs");
        }
    for (size_t i = 0; i < u->out->bundle.n_repos; i++)
        if (!cache_spelling_ok(u->cache, u->out->bundle.repos[i].name, e) ||
            !unbundle_names(u, &u->out->bundle.repos[i], e))
            return false;
    return unbundle_room(u, e);
}

/* ---- (Public) -------------------------------------------------------------------------------- */

/* Its name ends with 16 hex digits, with which the sha256 of its text begins, and ".json". */
static bool unbundle_is_named(struct str path, struct str text, struct err *e) {
    char hex[65];
    struct str base = str_ends(path, STR(".json")) ? str_sub(path, 0, path.n - 5) : STR_EMPTY;
    cache_digest_text(CACHE_SHA256, text, hex);
    if (str_ends(base, (struct str){ hex, 16 })) return true;
    err_set(e, ERR_INTEGRITY, "the manifest of the bundle is damaged: its sha256 begins with %.16s,"
            " and its name does not say so", hex);
    return err_hint(e, "copy the bundle again, or make it again with mlxk export");
}

/* Content of the first entry, which has to be the manifest. */
static bool unbundle_manifest(struct arena *a, struct tar_reader *tar, struct str *text,
                              struct err *e) {
    struct tar_entry x = { .kind = TAR_DIR };
    bool end = false;
    while (!end && x.kind == TAR_DIR) {
        struct arena_mark mark = arena_mark(tar->arena);
        if (!tar_next(tar, &x, &end, e)) return false;
        if (x.kind == TAR_DIR) arena_rewind(tar->arena, mark);
    }
    struct str path = str_starts(x.path, STR("./")) ? str_sub(x.path, 2, x.path.n) : x.path;
    if (end || x.kind != TAR_FILE || !str_starts(path, STR(HUB_BUNDLE_PREFIX)) ||
        x.size_bytes > HUB_MAX_MANIFEST) {
        err_set(e, ERR_FORMAT, "this tar archive does not begin with the manifest of a bundle");
        return err_hint(e,
                        "mlxk export makes bundles; a plain archive of a cache is unpacked by tar");
    }
    char *p = arena_alloc(a, (size_t)x.size_bytes + 1, 1);
    if (!p) return err_oom(e, (size_t)x.size_bytes, "the manifest of a bundle");
    *text = (struct str){ p, (size_t)x.size_bytes };
    return tar_read(tar, p, text->n, e) && unbundle_is_named(path, *text, e);
}

static bool unbundle_folders(struct unbundle *u, struct err *e) {
    for (size_t i = 0; i < u->out->bundle.n_repos; i++) {
        char *folder = cache_folder_name(u->arena, u->out->bundle.repos[i].name);
        uint64_t *at = folder ? map_put(&u->folders, str_cstr(folder), NULL) : NULL;
        if (!at) return err_oom(e, LIMIT_PATH, "an import");
        *at = i;
    }
    return true;
}

MLXK_FN bool hub_unbundle(struct arena *a, const struct cache *c, tar_read_fn read, void *ctx,
                          struct str ref, hub_progress_fn progress, void *progress_ctx,
                          struct hub_unbundle_result *out, struct err *e) {
    struct tar_reader tar;
    struct tar_entry x;
    struct str manifest;
    struct arena names;
    struct unbundle u = { .arena = a, .cache = c, .tar = &tar, .progress = progress,
                          .progress_ctx = progress_ctx, .out = out, .room.note.fd = -1 };
    *out = (struct hub_unbundle_result){ 0 };
    arena_init(&names, UNBUNDLE_NAMES);
    tar_reader_init(&tar, &names, read, ctx);
    bool ok = unbundle_manifest(a, &tar, &manifest, e) && unbundle_begin(&u, manifest, ref, e);
    map_init(&u.folders, out->bundle.n_repos);
    ok = ok && unbundle_folders(&u, e);
    for (bool end = false; ok && !end;) {
        struct arena_mark mark = arena_mark(&names);
        ok = tar_next(&tar, &x, &end, e) && (end || unbundle_entry(&u, &x, e));
        arena_rewind(&names, mark);
    }
    map_release(&u.folders);
    arena_release(&names);
    cache_room_give(&u.room);
    return ok && unbundle_publish(&u, ref, e);
}

/* DIR/models--.../below/name, in the arena. */
static char *unbundle_path(struct unbundle *u, const char *dir_cstr,
                           const struct hub_bundle_repo *r, struct str below) {
    char *folder = cache_folder_name(u->arena, r->name), *name = str_dup_cstr(u->arena, below);
    char *repo = folder ? os_path_join(u->arena, dir_cstr, folder) : NULL;
    return repo && name ? os_path_join(u->arena, repo, name) : NULL;
}

static bool unbundle_folder_repo(struct unbundle *u, const char *dir_cstr,
                                 struct hub_bundle_repo *r, struct err *e) {
    struct arena *a = u->arena;
    struct str text;
    for (size_t k = 0; k < r->n_blobs; k++) {
        struct str below = str_concat(a, STR("blobs/"), r->blobs[k].etag);
        char *path = below.p ? unbundle_path(u, dir_cstr, r, below) : NULL;
        if (r->blobs[k].in_base) continue;
        if (!path) return err_oom(e, LIMIT_PATH, "a path");
        if (!unbundle_file(u, r, &r->blobs[k], path, e)) return false;
    }
    for (size_t k = 0; k < r->n_commits; k++) {
        struct hub_bundle_commit *commit = &r->commits[k];
        struct str below = str_format(a, "trees/" STR_FMT ".json", STR_ARG(commit->commit));
        char *path = below.p ? unbundle_path(u, dir_cstr, r, below) : NULL;
        if (!commit->has_tree) continue;
        if (!path) return err_oom(e, LIMIT_PATH, "a path");
        if (!os_read_file(a, path, HUB_MAX_MANIFEST, &text, e) ||
            !unbundle_tree(u, r, commit, text, e))
            return false;
    }
    return true;
}

MLXK_FN bool hub_unbundle_folder(struct arena *a, const struct cache *c, const char *dir_cstr,
                                 struct str ref, hub_progress_fn progress, void *progress_ctx,
                                 struct hub_unbundle_result *out, struct err *e) {
    struct str manifest;
    struct unbundle u = { .arena = a, .cache = c, .progress = progress,
                          .progress_ctx = progress_ctx, .out = out, .room.note.fd = -1 };
    *out = (struct hub_unbundle_result){ 0 };
    if (!hub_bundle_find(a, dir_cstr, &manifest, e) || !unbundle_begin(&u, manifest, ref, e))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < out->bundle.n_repos; i++)
        ok = unbundle_folder_repo(&u, dir_cstr, &out->bundle.repos[i], e);
    cache_room_give(&u.room);
    return ok && unbundle_publish(&u, ref, e);
}

/* The one manifest in DIR/.locks; NULL: none, or (e set) several. */
static char *unbundle_in_folder(struct arena *a, const char *dir_cstr, struct err *e) {
    struct os_entry *entries;
    struct err none = { 0 };
    size_t n = 0;
    char *locks = os_path_join(a, dir_cstr, ".locks"), *found = NULL;
    struct str begin = STR(HUB_BUNDLE_PREFIX);
    begin = str_sub(begin, 7, begin.n);          /* behind ".locks/" */
    if (!locks || !os_list_dir(a, locks, 100000, &entries, &n, &none)) return NULL;
    for (size_t i = 0; i < n; i++) {
        if (!str_starts(entries[i].name, begin) || !str_ends(entries[i].name, STR(".json")))
            continue;
        if (found) {
            err_set(e, ERR_AMBIGUOUS, "%s holds the manifests of several bundles", locks);
            err_hint(e, "unpack each bundle into a folder of its own");
            return NULL;
        }
        char *name = str_dup_cstr(a, entries[i].name);
        found = name ? os_path_join(a, locks, name) : NULL;
    }
    return found;
}

MLXK_FN bool hub_bundle_is(struct arena *a, const char *path_cstr) {
    struct err none = { 0 };
    struct os_stat st;
    char head[TAR_BLOCK];
    size_t n = 0;
    if (!os_stat(path_cstr, &st)) return false;
    if (st.kind == OS_DIR)
        return unbundle_in_folder(a, path_cstr, &none) != NULL || none.code == ERR_AMBIGUOUS;
    int fd = st.kind == OS_FILE ? os_open(path_cstr, OS_READ, &none) : -1;
    bool ok = fd >= 0 && os_read(fd, head, sizeof head, &n, &none);
    os_close(fd);
    return ok && tar_is((struct str){ head, n });
}

MLXK_FN bool hub_bundle_find(struct arena *a, const char *path_cstr, struct str *text,
                             struct err *e) {
    struct os_stat st;
    struct hub_volumes v;
    struct tar_reader tar;
    if (os_stat(path_cstr, &st) && st.kind == OS_DIR) {
        char *manifest = unbundle_in_folder(a, path_cstr, e);
        if (manifest)
            return os_read_file(a, manifest, HUB_MAX_MANIFEST, text, e) &&
                   unbundle_is_named(str_cstr(manifest), *text, e);
        return e->code != ERR_OK ? false
             : err_set(e, ERR_NOT_FOUND, "%s holds no manifest of a bundle", path_cstr);
    }
    if (!hub_bundle_is(a, path_cstr)) return os_read_file(a, path_cstr, HUB_MAX_MANIFEST, text, e);
    if (!hub_volumes_open(a, path_cstr, &v, e)) return false;
    tar_reader_init(&tar, a, hub_volumes_read, &v);
    bool ok = unbundle_manifest(a, &tar, text, e);
    hub_volumes_close(&v);
    return ok;
}

#undef UNBUNDLE_NAMES
