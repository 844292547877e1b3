/* oci_pull.c: a model of a registry or layout into the cache that all tools share.
 *
 *   manifest -> names -> what is there, is there room -> blobs -> packed ones into files -> links
 *   -> tree -> refs
 *
 * 1. The order is that of the hub's pull: a kill at any moment leaves a cache that every tool
 *    reads.
 * 2. The snapshot is called by the first 40 digits of the manifest's digest; blobs by their sha256,
 *    as the hub's large files are, so equal files of one repository are kept once.
 * 3. Nothing is written before every name in the manifest was found safe.
 */
#include "oci/oci_int.h"

enum { OCI_PULL_HANDS = 4, OCI_PULL_COMMIT = 40, OCI_PULL_FILES = 1 << 20 };

struct oci_pull_task { size_t layer; bool helps; struct oci_fetch *fetch /* or NULL */; };
struct oci_pull_job {
    struct oci *o;
    struct arena *a;
    const struct cache *cache;
    const struct oci_pull_options *options;
    struct oci_pull_result *out;
    struct oci_manifest m;
    struct str *paths;
    struct oci_file *left; size_t n_left;        /* files that nobody wants */
    struct str *etags;           /* of each layer: its name among the blobs */
    bool *there;                 /* of each layer: its blob is complete */
    struct oci_files files;
    bool whole;                  /* the snapshot is there, with what was packed */
    struct oci_pull_task *tasks; /* layers to fetch, then helping hands */
    struct os_mutex mutex;       /* of *out and room, while they come */
    struct str brings;           /* what others know this download by */
    struct cache_room room;
};

/* ---- the plan (Private) ---------------------------------------------------------------------- */

/* An index of one artifact stands for it. */
static bool oci_pull_manifest(struct oci_pull_job *j, struct str what, struct err *e) {
    struct str known = j->options->manifest;
    if (known.n ? !oci_manifest_parse(j->a, known, STR_EMPTY, &j->m, e)
                : !oci_manifest_get(j->a, j->o, what, &j->m, e))
        return false;
    if (known.n && !str_eq(j->m.digest, j->options->digest))
        return err_set(e, ERR_INTEGRITY, "the manifest of the model has the digest " STR_FMT
                       " and not " STR_FMT, STR_ARG(j->m.digest), STR_ARG(j->options->digest));
    if (j->options->digest.n && !str_eq(j->m.digest, j->options->digest))
        return err_set(e, ERR_INTEGRITY,
                       "the tag has moved to " STR_FMT " since its signature was verified",
                       STR_ARG(j->m.digest));
    if (j->m.is_index && j->m.n_layers == 1
        && !oci_manifest_get(j->a, j->o, j->m.layers[0].digest, &j->m, e))
        return false;
    if (j->m.is_index) {
        err_set(e, ERR_UNSUPPORTED, "this is an index of %zu artifacts", j->m.n_layers);
        return err_hint(e, "name one of them by its digest; `mlxk inspect` lists them");
    }
    if (!str_starts(j->m.digest, STR("sha256:")))
        return err_set(e, ERR_UNSUPPORTED, "only manifests named by sha256 go into the cache");
    return oci_manifest_files(j->a, &j->m, &j->paths, e);
}

/* Files that a packed layer became are known from the snapshot alone. */
static void oci_pull_look_back(struct oci_pull_job *j) {
    struct cache_tree_file *tree;
    struct err none = { 0 };
    size_t n;
    bool special = false;
    for (size_t i = 0; i < j->m.n_layers; i++)
        special = special || str_starts(j->etags[i], STR("oci-"));
    if (!special || j->options->redownload
        || !cache_tree_read(j->a, j->cache, j->out->model, j->out->commit, &tree, &n, &none))
        return;
    bool ok = n > 0;
    for (size_t i = 0; ok && i < n; i++) {
        uint64_t size_bytes = 0;
        ok = cache_blob_exists(j->cache, j->out->model, tree[i].lfs_sha256, &size_bytes)
             && size_bytes == tree[i].lfs_size
             && oci_files_add(&j->files, tree[i].path, tree[i].lfs_sha256, tree[i].lfs_size, &none);
    }
    j->whole = ok;
    if (ok) return;
    j->files.n = 0;
    map_release(&j->files.seen);
    map_init(&j->files.seen, OCI_PULL_FILES);
}

/* Layers that are not wanted leave the manifest at hand; the list of files keeps their names. */
static bool oci_pull_pick(struct oci_pull_job *j, struct err *e) {
    size_t n = 0, all = j->m.n_layers;
    if (!j->options->keeps) return true;
    j->left = ARENA_ARRAY(j->a, struct oci_file, all + 1);
    if (!j->left) return err_oom(e, all, "the plan of a download");
    for (size_t i = 0; i < all; i++) {
        const struct oci_desc *d = &j->m.layers[i];
        if (!j->paths[i].n || j->options->keeps(j->options->keeps_ctx, j->paths[i])) {
            j->m.layers[n] = *d;
            j->paths[n++] = j->paths[i];
        } else if (!str_starts(oci_layer_etag(j->a, d), STR("oci-"))) {
            j->left[j->n_left++] =
                (struct oci_file){ j->paths[i], oci_digest_hex(d->digest), d->size_bytes };
        }
    }
    j->m.n_layers = n;
    if (n || !all) return true;
    err_set(e, ERR_NOT_FOUND, "none of the %zu files of " STR_FMT " is wanted", all,
            STR_ARG(j->out->model));
    return err_hint(e, "patterns are matched against whole paths, and '*' also crosses '/': try "
                       "--include '*.safetensors'");
}

static bool oci_pull_names(struct oci_pull_job *j, struct err *e) {
    if (!oci_pull_pick(j, e)) return false;
    j->etags = ARENA_ARRAY(j->a, struct str, j->m.n_layers + 1);
    if (!j->etags) return err_oom(e, j->m.n_layers, "the plan of a download");
    for (size_t i = 0; i < j->m.n_layers; i++) {
        j->etags[i] = oci_layer_etag(j->a, &j->m.layers[i]);
        if (!j->etags[i].n) return err_oom(e, OCI_MAX_DIGEST, "the plan of a download");
    }
    oci_pull_look_back(j);
    return true;
}

static bool oci_pull_plan(struct oci_pull_job *j, struct err *e) {
    struct oci_pull_result *out = j->out;
    struct map seen;
    uint64_t need = 0;
    bool ok = true, is_new;
    j->there = ARENA_ARRAY(j->a, bool, j->m.n_layers + 1);
    if (!j->there) return err_oom(e, j->m.n_layers, "the plan of a download");
    map_init(&seen, OCI_MAX_LAYERS + 1);
    for (size_t i = 0; ok && i < j->m.n_layers; i++) {
        const struct oci_desc *d = &j->m.layers[i];
        uint64_t size_bytes = 0, held = 0;
        bool there = cache_blob_exists(j->cache, out->model, j->etags[i], &size_bytes)
                     && size_bytes == d->size_bytes;
        j->there[i] = j->whole || (there && !j->options->redownload);
        if (!map_put(&seen, d->digest, &is_new))
            ok = err_oom(e, seen.n * 32, "the plan of a download");
        if (!ok || !is_new) continue;
        if (out->total_bytes > UINT64_MAX / 2 - d->size_bytes)
            ok = err_set(e, ERR_LIMIT, "the sizes in the manifest add up to too much");
        out->total_bytes += d->size_bytes;
        if (j->there[i]) continue;
        uint64_t have = cache_blob_partial(j->cache, out->model, j->etags[i], d->size_bytes, &held);
        need += d->size_bytes - (have < d->size_bytes ? have : d->size_bytes);
    }
    map_release(&seen);
    out->n_files = j->whole ? j->files.n : j->m.n_layers;
    out->need_bytes = need;
    j->brings = str_format(j->a, STR_FMT "@" STR_FMT, STR_ARG(out->model), STR_ARG(out->commit));
    return ok
           && (need == 0
               || cache_room_check(j->cache, j->brings, need, j->options->keep_free_bytes, e));
}

/* ---- one blob (Private) ---------------------------------------------------------------------- */

static void oci_pull_count(struct oci_pull_job *j, size_t n_fetched, uint64_t fetched,
                           uint64_t resumed) {
    os_mutex_lock(&j->mutex);
    j->out->n_fetched += n_fetched;
    j->out->fetched_bytes += fetched;
    j->out->resumed_bytes += resumed;
    os_mutex_unlock(&j->mutex);
}

static bool oci_pull_came(struct oci_pull_job *j, struct oci *o, size_t n, struct err *e) {
    oci_pull_count(j, 0, n, 0);
    o->event.done_bytes += n;
    return oci_tell(o, OCI_BYTES, e);
}

/* The file system holds the room of this one now. */
static void oci_pull_begun(void *ctx, uint64_t coming_bytes) {
    struct oci_pull_job *j = ctx;
    os_mutex_lock(&j->mutex);
    uint64_t told = j->room.told_bytes;
    cache_room_tell(&j->room, told > coming_bytes ? told - coming_bytes : 0);
    os_mutex_unlock(&j->mutex);
}

static bool oci_pull_fetched(void *ctx, struct oci *o, size_t n, struct err *e) {
    return oci_pull_came(ctx, o, n, e);
}

static bool oci_pull_large(struct oci_pull_job *j, struct oci *o, const struct oci_pull_task *t,
                           bool *fetched, struct err *e) {
    struct oci_fetch *f = t->fetch;
    bool ok = oci_fetch_run(f, o, t->helps, fetched, e);
    if (!t->helps) oci_pull_count(j, 0, 0, f->resumed_bytes);
    return ok;
}

static bool oci_pull_small(struct oci_pull_job *j, struct oci *o, size_t i, bool *fetched,
                           struct err *e) {
    const struct oci_desc *d = &j->m.layers[i];
    struct os_lock lock;
    struct arena a;
    struct str text;
    bool present;
    if (!cache_blob_lock(j->cache, j->out->model, j->etags[i], d->size_bytes, -1, &lock, &present,
                         e))
        return false;
    arena_init(&a, (size_t)4 << 20);
    *fetched = !present || j->options->redownload;
    bool ok = !*fetched || (oci_blob_text(&a, o, d, CACHE_SMALL, &text, e)
                            && cache_blob_store(j->cache, j->out->model, j->etags[i], text, e)
                            && oci_pull_came(j, o, text.n, e));
    os_lock_release(&lock);
    arena_release(&a);
    return ok;
}

static bool oci_pull_blob(void *ctx, struct oci *o, struct oci *none, size_t job, struct err *e) {
    struct oci_pull_job *j = ctx;
    const struct oci_pull_task *t = &j->tasks[job];
    size_t i = t->layer;
    const struct oci_desc *d = &j->m.layers[i];
    uint64_t before = o->event.done_bytes;
    bool fetched = false;
    struct str what = j->paths[i].n ? j->paths[i] : d->digest;
    (void)none;
    o->event.what = what;
    bool ok = t->fetch ? oci_pull_large(j, o, t, &fetched, e)
                       : oci_pull_small(j, o, i, &fetched, e);
    oci_pull_count(j, ok && fetched, 0, 0);
    if (t->helps && ok) return true;
    if (!t->fetch) o->event.done_bytes = before + d->size_bytes;
    o->event.done_blobs++;
    if (!ok) return err_context(e, STR_FMT ": ", STR_ARG(what));
    return oci_tell(o, OCI_BLOB_DONE, e);
}

/* A layer that is to come; of a large one the state that helping hands share. */
static bool oci_pull_task(struct oci_pull_job *j, size_t i, struct oci_pull_task *out,
                          struct err *e) {
    const struct oci_desc *d = &j->m.layers[i];
    *out = (struct oci_pull_task){ .layer = i };
    if (d->size_bytes <= CACHE_SMALL) return true;
    struct oci_fetch *f = out->fetch = ARENA_NEW(j->a, struct oci_fetch);
    if (!f) return err_oom(e, sizeof *f, "a download");
    *f = (struct oci_fetch){ .cache = j->cache, .model = j->out->model, .etag = j->etags[i], .d = d,
                             .begun = oci_pull_begun, .came = oci_pull_fetched, .ctx = j,
                             .how = j->options->redownload ? CACHE_PARTS_RENEW
                                                           : CACHE_PARTS_CONTINUE };
    oci_fetch_init(f);
    return true;
}

/* Behind all layers, for those who have nothing left to do. */
static void oci_pull_helpers(struct oci_pull_job *j, struct oci_crew_work *work) {
    size_t n = work->n_jobs;
    for (size_t round = 1; round < OCI_PULL_HANDS; round++)
        for (size_t i = 0; i < n; i++) {
            const struct oci_pull_task *t = &j->tasks[i];
            uint64_t size_bytes = j->m.layers[t->layer].size_bytes;
            if (!t->fetch || oci_fetch_hands(size_bytes, OCI_PULL_HANDS) <= round) continue;
            j->tasks[work->n_jobs] = *t;
            j->tasks[work->n_jobs++].helps = true;
        }
}

static bool oci_pull_blobs(struct oci_pull_job *j, struct err *e) {
    struct map done;
    bool ok = true, is_new;
    struct oci_crew_work work = { .from = j->o, .run = oci_pull_blob, .ctx = j };
    j->tasks = ARENA_ARRAY(j->a, struct oci_pull_task, j->m.n_layers * OCI_PULL_HANDS + 1);
    if (!j->tasks) return err_oom(e, j->m.n_layers * sizeof *j->tasks, "a download");
    j->o->event =
        (struct oci_event){ .total_bytes = j->out->total_bytes, .total_blobs = j->m.n_layers };
    map_init(&done, OCI_MAX_LAYERS + 1);
    for (size_t i = 0; ok && i < j->m.n_layers; i++) {
        if (!map_put(&done, j->m.layers[i].digest, &is_new))
            ok = err_oom(e, done.n * 32, "a download");
        if (!ok) break;
        if (is_new && !j->there[i]) {
            ok = oci_pull_task(j, i, &j->tasks[work.n_jobs++], e);
            work.total_bytes += j->m.layers[i].size_bytes;
            continue;
        }
        if (is_new) j->o->event.done_bytes += j->m.layers[i].size_bytes;
        j->o->event.done_blobs++;
    }
    map_release(&done);
    if (!j->o->options.http.limit_bytes_per_s) oci_pull_helpers(j, &work);
    os_mutex_init(&j->mutex);
    if (!ok || !oci_tell(j->o, OCI_PLAN, e)) return false;
    if (work.n_jobs == 0) return oci_crew_run(&work, e);
    ok = cache_room_take(j->cache, j->brings, j->out->need_bytes, j->options->keep_free_bytes,
                         &j->room, e)
         && oci_crew_run(&work, e);
    cache_room_give(&j->room);
    return ok;
}

/* The layer in front of i that has the same bytes; n_layers = none. */
static size_t oci_pull_twin(const struct oci_pull_job *j, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (str_eq(j->m.layers[k].digest, j->m.layers[i].digest)) return k;
    return j->m.n_layers;
}

/* What the layers become. What has been unpacked is gone: a twin of it is not looked for again. */
static bool oci_pull_files(struct oci_pull_job *j, struct err *e) {
    size_t *at = ARENA_ARRAY(j->a, size_t, j->m.n_layers + 1);
    if (!at) return err_oom(e, j->m.n_layers * sizeof *at, "a list of files");
    for (size_t i = 0; !j->whole && i < j->m.n_layers; i++) {
        const struct oci_desc *d = &j->m.layers[i];
        bool plain = !str_starts(j->etags[i], STR("oci-"));
        size_t twin = plain ? j->m.n_layers : oci_pull_twin(j, i);
        struct str hex = plain ? j->etags[i] : twin < i ? j->files.items[at[twin]].hex : STR_EMPTY;
        at[i] = j->files.n;
        if (twin < i && !j->paths[i].n) continue;
        if (hex.n ? !oci_files_add(&j->files, j->paths[i], hex, d->size_bytes, e)
                  : !oci_unpack(j->o, j->cache, j->out->model, d, j->paths[i], &j->files, e))
            return false;
    }
    j->out->n_files = j->files.n;
    if (!oci_paths_fit(&j->files.seen, e)) return false;
    return j->files.n > 0 || err_set(e, ERR_FORMAT, "the artifact's archives hold no files");
}

/* ---- showing it (Private) -------------------------------------------------------------------- */

static bool oci_pull_tree(struct oci_pull_job *j, const struct cache *c, struct err *e) {
    size_t n = j->files.n + j->n_left;
    struct cache_tree_file *tree = ARENA_ARRAY(j->a, struct cache_tree_file, n + 1);
    if (!tree) return err_oom(e, n * sizeof *tree, "the file list");
    for (size_t i = 0; i < n; i++) {
        const struct oci_file *f =
            i < j->files.n ? &j->files.items[i] : &j->left[i - j->files.n];
        char oid[65];
        cache_lfs_pointer(f->hex, f->size_bytes, oid);
        tree[i] = (struct cache_tree_file){ .path = f->path, .size_bytes = f->size_bytes,
                                            .blob_id = str_dup(j->a, str_cstr(oid)),
                                            .lfs_sha256 = f->hex, .lfs_size = f->size_bytes };
        if (!tree[i].blob_id.p) return err_oom(e, 40, "the file list");
    }
    return cache_tree_write(c, j->out->model, j->out->commit, tree, n, e);
}

static bool oci_pull_refs(struct oci_pull_job *j, const struct cache *c, struct str what,
                          struct err *e) {
    bool digest = oci_digest_ok(what), latest = str_eq(what, STR("latest"));
    struct str also = j->options->also;
    if (also.n && !cache_ref_write(c, j->out->model, also, j->out->commit, e)) return false;
    bool none = cache_ref_read(j->a, c, j->out->model, STR("main")).n == 0;
    return (digest || cache_ref_write(c, j->out->model, what, j->out->commit, e))
           && ((!latest && !none)
               || cache_ref_write(c, j->out->model, STR("main"), j->out->commit, e));
}

static bool oci_pull_links(struct arena *a, const char *snapshot_cstr, struct str file,
                           struct str hex) {
    struct err none = { 0 };
    char *name = str_dup_cstr(a, file);
    char *path = name ? os_path_join(a, snapshot_cstr, name) : NULL;
    char *to = path ? os_readlink(a, path, &none) : NULL;
    return to && str_eq(os_path_base(to), hex);
}

static bool oci_pull_show(struct oci_pull_job *j, struct str what, struct err *e) {
    struct cache_guard g;
    struct str *paths = ARENA_ARRAY(j->a, struct str, j->files.n + 1);
    if (!paths) return err_oom(e, j->files.n * sizeof *paths, "the names of files");
    for (size_t i = 0; i < j->files.n; i++) paths[i] = j->files.items[i].path;
    if (!cache_paths_ok(j->cache, j->out->model, paths, j->files.n, e) ||
        !cache_guard_begin(j->cache, &g, e))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < j->files.n; i++) {
        const struct oci_file *f = &j->files.items[i];
        if (oci_pull_links(j->a, j->out->snapshot_cstr, f->path, f->hex)) continue;
        ok = cache_link(&g.cache, j->out->model, j->out->commit, f->path, f->hex, e);
        j->out->n_linked += ok;
    }
    ok = ok && oci_pull_tree(j, &g.cache, e) && oci_pull_refs(j, &g.cache, what, e);
    if (ok) cache_temps_sweep(&g.cache, j->out->model);
    cache_guard_end(&g);
    j->out->files = j->files.items;
    return ok;
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool oci_pull(struct arena *a, struct oci *o, struct str what, const struct cache *c,
                      const struct oci_pull_options *options, struct oci_pull_result *out,
                      struct err *e) {
    struct oci_pull_job j = { .o = o, .a = a, .cache = c, .options = options, .out = out };
    *out = (struct oci_pull_result){ .model = oci_ref_model(a, &o->ref) };
    if (!out->model.n) return err_oom(e, OCI_MAX_NAME, "a name");
    if (!cache_model_name_ok(out->model, e) || !oci_pull_manifest(&j, what, e)) return false;
    out->digest = j.m.digest;
    out->commit = str_sub(oci_digest_hex(j.m.digest), 0, OCI_PULL_COMMIT);
    char *dir = cache_repo_dir(a, c, out->model), *commit = str_dup_cstr(a, out->commit);
    dir = dir ? os_path_join(a, dir, "snapshots") : NULL;
    out->snapshot_cstr = dir && commit ? os_path_join(a, dir, commit) : NULL;
    if (!out->snapshot_cstr) return err_oom(e, LIMIT_PATH, "a path");
    j.files.a = a;
    map_init(&j.files.seen, OCI_PULL_FILES);
    bool ok = oci_pull_names(&j, e) && oci_pull_plan(&j, e);
    for (size_t i = 0; ok && !options->dry_run && i < j.files.n; i++)
        ok = cache_names_taken(c, j.files.items[i].path, e);
    if (ok && !options->dry_run)
        ok = cache_spelling_ok(c, out->model, e) && oci_pull_blobs(&j, e) &&
             oci_pull_files(&j, e) && oci_pull_show(&j, what, e);
    map_release(&j.files.seen);
    return ok;
}

MLXK_FN bool oci_snapshot_is(struct arena *a, const struct oci_manifest *m,
                             const char *snapshot_cstr, struct err *e) {
    struct str *paths;
    struct os_stat st;
    if (!oci_manifest_files(a, m, &paths, e)) return false;
    for (size_t i = 0; i < m->n_layers; i++) {
        struct str hex = oci_layer_etag(a, &m->layers[i]);
        char *name_cstr = str_dup_cstr(a, paths[i]);
        char *path_cstr = name_cstr ? os_path_join(a, snapshot_cstr, name_cstr) : NULL;
        if (!hex.n || !path_cstr) return err_oom(e, LIMIT_PATH, "a path");
        if (!paths[i].n || str_starts(hex, STR("oci-"))) continue;
        if (oci_pull_links(a, snapshot_cstr, paths[i], hex)) continue;
        if (os_lstat(path_cstr, &st) && st.kind == OS_FILE &&      /* where links are not made */
            st.size_bytes == m->layers[i].size_bytes)
            continue;
        return err_set(e, ERR_INTEGRITY, "its file " STR_FMT " is not the one that was signed",
                       STR_ARG(paths[i]));
    }
    return true;
}
