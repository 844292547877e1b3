/* cache_refs.c: refs/<revision> and trees/<commit>.json: what commit a name means, and its files.
 *
 * 1. Ours are exactly 40 bytes: several clients compare the file's text without trimming. Theirs
 *    may end in a newline and are read all the same.
 * 2. A tree lists every file of the commit or is not written: other clients believe it for ever.
 * 3. Both appear whole, from temporaries that no tool takes for either. Spec: hub facts 1.4, 1.5.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

/* ---- refs (Public) ---- */

static bool cache_ref_write_now(const struct cache *c, struct str repo, struct str revision,
                                struct str commit, struct err *e) {
    char folder[CACHE_FOLDER_MAX], dir[LIMIT_PATH], path[LIMIT_PATH], parent[LIMIT_PATH];
    struct os_stat st;
    if (!str_is_hex(commit, 40)) {
        return err_set(e, ERR_INVALID, "a ref needs a commit of 40 hex digits, not %zu bytes",
                       commit.n);
    }
    if (!cache_revision_ok(revision, e) || !cache_folder_into(folder, repo, e) ||
        !CACHE_PATH(dir, e, str_cstr(c->root_cstr), STR("/"), str_cstr(folder)) ||
        !CACHE_PATH(path, e, str_cstr(dir), STR("/snapshots/"), commit)) {
        return false;
    }
    if (!os_stat(path, &st) || st.kind != OS_DIR) {
        return err_set(e, ERR_NOT_FOUND,
                       "the ref " STR_FMT " would name the commit " STR_FMT " that has no snapshot",
                       STR_ARG(revision), STR_ARG(commit));
    }
    if (!CACHE_PATH(path, e, str_cstr(dir), STR("/refs/"), revision)) {
        return false;
    }
    struct str above = { path, (size_t)str_find_last(str_cstr(path), STR("/")) };
    return CACHE_PATH(parent, e, above) && os_mkdirs(parent, e) && cache_put(dir, path, commit, e);
}

MLXK_FN bool cache_ref_write(const struct cache *c, struct str repo, struct str revision,
                             struct str commit, struct err *e) {
    struct cache_guard g;
    if (!cache_guard_begin(c, &g, e)) {
        return false;
    }
    bool ok = cache_ref_write_now(&g.cache, repo, revision, commit, e);
    cache_guard_end(&g);
    return ok;
}

MLXK_FN struct str cache_ref_read(struct arena *a, const struct cache *c, struct str repo,
                                  struct str revision) {
    char folder[CACHE_FOLDER_MAX], path[LIMIT_PATH];
    struct err none = { 0 };
    struct str text;
    if (!cache_revision_ok(revision, &none) || !cache_folder_into(folder, repo, &none) ||
        !CACHE_PATH(path, &none, str_cstr(c->root_cstr), STR("/"), str_cstr(folder), STR("/refs/"),
                    revision) ||
        !os_read_file(a, path, LIMIT_PATH, &text, &none)) {
        return STR_EMPTY;
    }
    text = str_trim(text);
    return cache_component_ok(text, "the ref", &none) ? text : STR_EMPTY;
}

/* ---- trees: writing ---- */

static int cache_tree_order(const void *x, const void *y) {
    return str_cmp(((const struct cache_tree_file *)x)->path,
                   ((const struct cache_tree_file *)y)->path);
}

static void cache_tree_one(struct json_writer *w, const struct cache_tree_file *f) {
    json_write_key_str(w, f->path);
    json_write_object(w);
    json_write_key(w, "blob_id");
    json_write_str(w, f->blob_id);
    if (f->lfs_sha256.n) {
        json_write_key(w, "lfs_sha256");
        json_write_str(w, f->lfs_sha256);
        json_write_key(w, "lfs_size");
        json_write_u64(w, f->lfs_size);
    }
    json_write_key(w, "size");
    json_write_u64(w, f->size_bytes);
    if (f->xet_hash.n) {
        json_write_key(w, "xet_hash");
        json_write_str(w, f->xet_hash);
    }
    json_write_object_end(w);
}

static bool cache_tree_text(struct buf *out, const struct cache_tree_file **sorted, size_t n,
                            struct err *e) {
    struct json_writer w;
    json_write_init(&w, out, false, true);
    json_write_object(&w);
    json_write_key(&w, "files");
    json_write_object(&w);
    for (size_t i = 0; i < n; i++) {
        if (i && str_eq(sorted[i]->path, sorted[i - 1]->path)) {
            return err_set(e, ERR_INVALID, "the file list names " STR_FMT " twice",
                           STR_ARG(sorted[i]->path));
        }
        if (!cache_path_ok(sorted[i]->path, e)) {
            return false;
        }
        cache_tree_one(&w, sorted[i]);
    }
    json_write_object_end(&w);
    json_write_key(&w, "format_version");
    json_write_u64(&w, 1);
    json_write_object_end(&w);
    return buf_ok(out, "the file list of a commit", e);
}

static bool cache_tree_path(char dir[LIMIT_PATH], char path[LIMIT_PATH], const struct cache *c,
                            struct str repo, struct str commit, struct err *e) {
    char folder[CACHE_FOLDER_MAX];
    return cache_component_ok(commit, "the commit", e) && cache_folder_into(folder, repo, e) &&
           CACHE_PATH(dir, e, str_cstr(c->root_cstr), STR("/"), str_cstr(folder)) &&
           CACHE_PATH(path, e, str_cstr(dir), STR("/trees/"), commit, STR(".json"));
}

/* Made under the guard and only beside a snapshot: a repo that has just been removed must not come
 * back as a folder with a file list. below: the folder in dir that path lies in. */
static bool cache_tree_show(const struct cache *c, const char *dir_cstr, const char *below_cstr,
                            const char *path_cstr, struct str commit, struct str text,
                            struct err *e) {
    char trees[LIMIT_PATH], snapshot[LIMIT_PATH];
    struct os_stat st;
    struct cache_guard g;
    if (!CACHE_PATH(trees, e, str_cstr(dir_cstr), str_cstr(below_cstr)) ||
        !CACHE_PATH(snapshot, e, str_cstr(dir_cstr), STR("/snapshots/"), commit) ||
        !cache_guard_begin(c, &g, e)) {
        return false;
    }
    bool ok = os_stat(snapshot, &st) && st.kind == OS_DIR;
    if (!ok) {
        err_set(e, ERR_NOT_FOUND,
                "the commit " STR_FMT " has no snapshot that this could describe",
                STR_ARG(commit));
    }
    ok = ok && os_mkdirs(trees, e) && cache_put(dir_cstr, path_cstr, text, e);
    cache_guard_end(&g);
    return ok;
}

MLXK_FN bool cache_tree_write(const struct cache *c, struct str repo, struct str commit,
                              const struct cache_tree_file *files, size_t n, struct err *e) {
    char dir[LIMIT_PATH], path[LIMIT_PATH];
    if (!cache_tree_path(dir, path, c, repo, commit, e)) {
        return false;
    }
    struct arena a;
    struct buf text;
    arena_init(&a, CACHE_MAX_TREE);
    buf_init(&text, CACHE_MAX_TREE);
    const void **sorted = ARENA_ARRAY(&a, const void *, n);
    for (size_t i = 0; sorted && i < n; i++) {
        sorted[i] = &files[i];
    }
    bool ok = sorted || err_oom(e, n, "the file list of a commit");
    if (ok) {
        cache_sort(sorted, n, cache_tree_order);
        ok = cache_tree_text(&text, (const struct cache_tree_file **)sorted, n, e) &&
             cache_tree_show(c, dir, "/trees", path, commit, buf_str(&text), e);
    }
    buf_release(&text);
    arena_release(&a);
    return ok;
}

MLXK_FN bool cache_tree_put(const struct cache *c, struct str repo, struct str commit,
                            struct str text, struct err *e) {
    char dir[LIMIT_PATH], path[LIMIT_PATH];
    struct cache_tree_file *files;
    struct arena a;
    size_t n;
    arena_init(&a, 4 * CACHE_MAX_TREE);
    bool ok = cache_tree_parse(&a, text, &files, &n) ||
              err_set(e, ERR_FORMAT, "this is no file list of a commit");
    arena_release(&a);
    return ok && cache_tree_path(dir, path, c, repo, commit, e) &&
           cache_tree_show(c, dir, "/trees", path, commit, text, e);
}

/* ---- trees: reading ---- */

static bool cache_tree_entry(const struct json *v, struct cache_tree_file *out) {
    struct err bad = { 0 };
    int64_t size = -1, lfs_size = 0;
    *out = (struct cache_tree_file){ .path = v->key };
    if (!json_is(v, JSON_OBJECT) || !cache_path_ok(v->key, &bad) ||
        !json_read_i64(v, "size", 0, INT64_MAX, &size, &bad) || size < 0 ||
        !json_read_i64(v, "lfs_size", 0, INT64_MAX, &lfs_size, &bad) ||
        !json_read_str(v, "blob_id", &out->blob_id, &bad) ||
        !json_read_str(v, "lfs_sha256", &out->lfs_sha256, &bad) ||
        !json_read_str(v, "xet_hash", &out->xet_hash, &bad)) {
        return false;
    }
    out->size_bytes = (uint64_t)size;
    out->lfs_size = (uint64_t)lfs_size;
    return str_is_hex(out->blob_id, 40) &&
           (!out->lfs_sha256.n || str_is_hex(out->lfs_sha256, 64)) &&
           (!out->xet_hash.n || str_is_hex(out->xet_hash, 64));
}

MLXK_FN bool cache_tree_parse(struct arena *a, struct str text, struct cache_tree_file **files,
                              size_t *n) {
    struct err unusable = { 0 };
    int64_t version = 0;
    *files = NULL;
    *n = 0;
    const struct json *doc = json_parse_large(a, text, &unusable);
    const struct json *list = json_get(doc, "files");
    if (!json_is(doc, JSON_OBJECT) || !json_is(list, JSON_OBJECT) ||
        !json_read_i64(doc, "format_version", 1, 1, &version, &unusable) || version != 1) {
        return false;
    }
    struct cache_tree_file *out = ARENA_ARRAY(a, struct cache_tree_file, list->n);
    size_t count = 0;
    for (const struct json *v = list->child; out && v; v = v->next) {
        if (!cache_tree_entry(v, &out[count++])) {
            return false;
        }
    }
    *files = out;
    *n = count;
    return out != NULL;
}

MLXK_FN bool cache_tree_read(struct arena *a, const struct cache *c, struct str repo,
                             struct str commit, struct cache_tree_file **files, size_t *n,
                             struct err *e) {
    char dir[LIMIT_PATH], path[LIMIT_PATH];
    struct err unusable = { 0 };
    struct str text;
    *files = NULL;
    *n = 0;
    return cache_tree_path(dir, path, c, repo, commit, e) &&
           os_read_file(a, path, CACHE_MAX_TREE, &text, &unusable) &&
           cache_tree_parse(a, text, files, n);
}

/* ---- proofs ---- */

static bool cache_proof_path(char dir[LIMIT_PATH], char path[LIMIT_PATH], const struct cache *c,
                             struct str repo, struct str commit, struct err *e) {
    char folder[CACHE_FOLDER_MAX];
    return cache_component_ok(commit, "the commit", e) && cache_folder_into(folder, repo, e) &&
           CACHE_PATH(dir, e, str_cstr(c->root_cstr), STR("/"), str_cstr(folder)) &&
           CACHE_PATH(path, e, str_cstr(dir), STR("/.mlxk/"), commit, STR(CACHE_PROOF_ENDING));
}

MLXK_FN bool cache_proof_write(const struct cache *c, struct str repo, struct str commit,
                               struct str text, struct err *e) {
    char dir[LIMIT_PATH], path[LIMIT_PATH];
    return cache_proof_path(dir, path, c, repo, commit, e) &&
           cache_tree_show(c, dir, "/.mlxk", path, commit, text, e);
}

MLXK_FN bool cache_proof_read(struct arena *a, const struct cache *c, struct str repo,
                              struct str commit, struct str *text, struct err *e) {
    char dir[LIMIT_PATH], path[LIMIT_PATH];
    struct os_stat st;
    *text = STR_EMPTY;
    if (!cache_proof_path(dir, path, c, repo, commit, e)) {
        return false;
    }
    return !os_lstat(path, &st) || os_read_file(a, path, CACHE_MAX_PROOF, text, e);
}
