/* hub_lock.c: the lock file of a fleet: which commit of which repository, with every digest.
 *
 *   {"format_version": 1, "repos": [{"commit": "...", "files": [{"digest": "sha256:...",
 *     "path": "...", "size": 1}], "repo": "org/name", "revision": "main"}]}
 * and "digest": "sha256:..." of the manifest for a model of a registry. A repo that is no model is
 * called "datasets/..." or "spaces/..." and has "type": "dataset" or "space".
 *
 * Keys, repositories and paths are sorted and the layout is fixed, so that the same content has the
 * same bytes and a diff shows what changed. Digests: "sha256:" of the content, "git-sha1:" of the
 * content as git hashes a blob. One entry per repository and revision.
 *
 * 1. What is read is checked like an answer of the hub: names, sizes, digests, no path twice.
 */
#include "hub/hub_int.h"

#include <stdlib.h>

#define HUB_LOCK_MAX ((size_t)64 << 20)
enum { HUB_LOCK_MAX_REPOS = 10000 };

struct hub_locks { struct hub_lock *list; size_t n; };

/* ---- reading (Private) ----------------------------------------------------------------------- */

static bool lock_bad(const char *what_cstr, struct err *e) {
    return err_set(e, ERR_FORMAT, "%s", what_cstr);
}

static struct str lock_text(const struct json *object, const char *key_cstr) {
    const struct json *v = json_get(object, key_cstr);
    return json_is(v, JSON_STRING) ? v->string : STR_EMPTY;
}

static bool lock_digest(struct str text, struct hub_file *f) {
    f->lfs = str_starts(text, STR("sha256:"));
    size_t colon = f->lfs ? 7 : 9;
    if (!f->lfs && !str_starts(text, STR("git-sha1:"))) return false;
    f->etag = str_sub(text, colon, text.n);
    return str_is_hex(f->etag, f->lfs ? 64 : 40);
}

/* The snapshot of an artifact is called by the first digits of its manifest's digest. */
static bool lock_is_manifest(struct str digest, struct str commit) {
    return str_starts(digest, STR("sha256:")) && str_is_hex(str_sub(digest, 7, digest.n), 64)
           && str_starts(str_sub(digest, 7, digest.n), commit);
}

static bool lock_file(const struct json *v, struct hub_file *f, struct err *e) {
    int64_t n = -1;
    f->path = lock_text(v, "path");
    if (!cache_path_ok(f->path, e)) return false;
    if (!json_read_i64(v, "size", 0, INT64_MAX, &n, e)) return false;
    if (n < 0) return lock_bad("a file has no size", e);
    f->size_bytes = (uint64_t)n;
    return lock_digest(lock_text(v, "digest"), f) || lock_bad("a file has no usable digest", e);
}

static bool lock_repo(struct arena *a, const struct json *v, struct hub_lock *out, struct err *e) {
    const struct json *files = json_get(v, "files");
    out->repo = lock_text(v, "repo");
    out->revision = lock_text(v, "revision");
    out->commit = lock_text(v, "commit");
    out->digest = lock_text(v, "digest");
    struct str type = lock_text(v, "type");
    if (!cache_name_ok(out->repo, e) || (out->revision.n && !cache_revision_ok(out->revision, e)))
        return false;
    if (type.n && !str_eq_cstr(type, cache_kind_name(cache_kind_of(out->repo))))
        return lock_bad("the type of a repository does not fit its name", e);
    if (!str_is_hex(out->commit, 40)) return lock_bad("a repository has no usable commit", e);
    if (out->digest.n && !lock_is_manifest(out->digest, out->commit))
        return lock_bad("the digest of a repository's manifest does not fit its commit", e);
    if (!json_is(files, JSON_ARRAY) || !files->n)
        return lock_bad("a repository has no list of files", e);
    out->files = ARENA_ARRAY(a, struct hub_file, files->n + 1);
    if (!out->files) return err_oom(e, HUB_LOCK_MAX, "a lock file");
    for (const struct json *f = files->child; f; f = f->next) {
        if (!lock_file(f, &out->files[out->n_files], e)) return false;
        if (out->n_files
            && str_cmp(out->files[out->n_files - 1].path, out->files[out->n_files].path) >= 0)
            return lock_bad("its files are not sorted, or one is there twice", e);
        out->n_files++;
    }
    return true;
}

MLXK_FN bool hub_lock_parse(struct arena *a, struct str text, struct hub_lock **out, size_t *n,
                            struct err *e) {
    const struct json *doc = json_parse(a, text, e), *repos = json_get(doc, "repos");
    int64_t number = 0;
    *n = 0;
    if (!doc) return false;
    if (!json_read_i64(doc, "format_version", 1, 1, &number, e)) return false;
    if (number != 1 || !json_is(repos, JSON_ARRAY))
        return lock_bad("it is no lock file of format 1", e);
    if (repos->n > HUB_LOCK_MAX_REPOS) return lock_bad("it has too many repositories", e);
    *out = ARENA_ARRAY(a, struct hub_lock, repos->n + 1);
    if (!*out) return err_oom(e, HUB_LOCK_MAX, "a lock file");
    for (const struct json *v = repos->child; v; v = v->next)
        if (!lock_repo(a, v, &(*out)[(*n)++], e)) return false;
    return true;
}

static bool lock_load(struct arena *a, const char *path_cstr, struct hub_locks *out,
                      struct err *e) {
    struct str text;
    if (!os_read_file(a, path_cstr, HUB_LOCK_MAX, &text, e)) return false;
    if (hub_lock_parse(a, text, &out->list, &out->n, e)) return true;
    err_context(e, "the lock file %s cannot be used: ", path_cstr);
    return err_hint(e, "make it anew with `mlxk pull ORG/NAME --lock FILE`");
}

MLXK_FN bool hub_lock_list(struct arena *a, const char *path_cstr, struct hub_lock **out, size_t *n,
                           struct err *e) {
    struct hub_locks all = { 0 };
    bool ok = lock_load(a, path_cstr, &all, e);
    *out = all.list;
    *n = all.n;
    return ok;
}

MLXK_FN bool hub_lock_read(struct arena *a, const char *path_cstr, struct str repo,
                           struct hub_lock *out, struct err *e) {
    struct hub_locks all = { 0 };
    if (!lock_load(a, path_cstr, &all, e)) return false;
    struct str wanted = out->revision;
    size_t n = 0;
    for (size_t i = 0; i < all.n; i++) {
        if (!str_eq(all.list[i].repo, repo)) continue;
        if (wanted.n && !str_eq(all.list[i].revision, wanted)) continue;
        *out = all.list[i];
        n++;
    }
    if (n == 1) return true;
    err_set(e, n ? ERR_AMBIGUOUS : ERR_NOT_FOUND,
            "the lock file %s names " STR_FMT "%s" STR_FMT " %s", path_cstr, STR_ARG(repo),
            wanted.n ? "@" : "", STR_ARG(wanted), n ? "at several revisions" : "nowhere");
    return err_hint(e, n ? "say which one: ORG/NAME@REVISION"
                         : "add it with `mlxk pull ORG/NAME --lock FILE`");
}

/* ---- writing (Private) ----------------------------------------------------------------------- */

static int lock_order(const struct hub_lock *x, const struct hub_lock *y) {
    int by_repo = str_cmp(x->repo, y->repo);
    return by_repo ? by_repo : str_cmp(x->revision, y->revision);
}

static int lock_by_path(const void *x, const void *y) {
    return str_cmp(((const struct hub_file *)x)->path, ((const struct hub_file *)y)->path);
}

static void lock_print(struct json_writer *w, struct arena *a, const struct hub_lock *x) {
    json_write_object(w);
    json_write_member(w, "commit", x->commit);
    if (x->digest.n) json_write_member(w, "digest", x->digest);
    json_write_key(w, "files");
    json_write_array(w);
    for (size_t i = 0; i < x->n_files; i++) {
        const struct hub_file *f = &x->files[i];
        bool sha256 = f->etag.n == 64;
        json_write_object(w);
        json_write_member(w, "digest",
                          str_concat(a, sha256 ? STR("sha256:") : STR("git-sha1:"), f->etag));
        json_write_member(w, "path", f->path);
        json_write_key(w, "size");
        json_write_u64(w, f->size_bytes);
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_member(w, "repo", x->repo);
    json_write_member(w, "revision", x->revision);
    enum cache_kind kind = cache_kind_of(x->repo);
    if (kind) json_write_member(w, "type", str_cstr(cache_kind_name(kind)));
    json_write_object_end(w);
}

/* all has room for one more. */
static void lock_place(struct hub_locks *all, const struct hub_lock *entry) {
    size_t i = 0;
    while (i < all->n && lock_order(&all->list[i], entry) < 0) i++;
    bool same = i < all->n && lock_order(&all->list[i], entry) == 0;
    if (!same) {
        memmove(&all->list[i + 1], &all->list[i], (all->n - i) * sizeof *all->list);
        all->n++;
    }
    all->list[i] = *entry;
}

static bool lock_sorted(struct arena *a, struct hub_lock *x, struct err *e) {
    struct hub_file *files = ARENA_ARRAY(a, struct hub_file, x->n_files + 1);
    if (!files) return err_oom(e, x->n_files * sizeof *files, "a lock file");
    memcpy(files, x->files, x->n_files * sizeof *files);
    qsort(files, x->n_files, sizeof *files, lock_by_path);
    x->files = files;
    return true;
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool hub_lock_write(const char *path_cstr, const struct hub_lock *entry, struct err *e) {
    struct arena a;
    struct buf text;
    struct json_writer w;
    struct hub_locks all = { 0 };
    struct os_stat st;
    arena_init(&a, HUB_LOCK_MAX * 8);
    buf_init(&text, HUB_LOCK_MAX);
    bool ok = true;
    if (os_stat(path_cstr, &st)) ok = lock_load(&a, path_cstr, &all, e);
    else all.list = ARENA_ARRAY(&a, struct hub_lock, 1);
    ok = ok && (all.list || err_oom(e, HUB_LOCK_MAX, "a lock file"));
    struct hub_lock sorted = *entry;
    ok = ok && lock_sorted(&a, &sorted, e);
    if (ok) {
        lock_place(&all, &sorted);
        json_write_init(&w, &text, true, true);
        json_write_object(&w);
        json_write_key(&w, "format_version");
        json_write_u64(&w, 1);
        json_write_key(&w, "repos");
        json_write_array(&w);
        for (size_t i = 0; i < all.n; i++) lock_print(&w, &a, &all.list[i]);
        json_write_array_end(&w);
        json_write_object_end(&w);
        buf_add_char(&text, '\n');
        ok = buf_ok(&text, "a lock file", e) && os_write_file(path_cstr, buf_str(&text), e);
    }
    buf_release(&text);
    arena_release(&a);
    return ok;
}

#undef HUB_LOCK_MAX
