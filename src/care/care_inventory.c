/* care_inventory.c: everything in a repo's folder, named for what it is.
 *
 *   blobs/NAME, NAME.incomplete, .NAME.x.shared       payload, unfinished, left over
 *   snapshots/COMMIT/PATH                             links, or files where links are not made
 *   refs/NAME   trees/COMMIT.json   .no_exist/COMMIT/PATH   .mlxk/NAME.map, NAME.lease,
 *                                                     .mlxk/COMMIT.signed
 *   anything else                                     foreign: named, never touched
 *
 * 1. Each entry is looked at once; nothing is opened but refs (40 bytes) and, on request, trees.
 * 2. A folder that cannot be listed makes the repo `unreadable`: whoever removes must not.
 */
#include "care/care_int.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- helpers of the room ---- */

MLXK_FN char *care_format(struct arena *a, const char *format_cstr, ...) {
    char text[LIMIT_PATH + 256];
    va_list args;
    va_start(args, format_cstr);
    int n = vsnprintf(text, sizeof text, format_cstr, args);
    va_end(args);
    return n < 0 || (size_t)n >= sizeof text ? NULL
                                             : str_dup_cstr(a, (struct str){ text, (size_t)n });
}

MLXK_FN void care_sort(const void **items, size_t n, int (*cmp)(const void *x, const void *y)) {
    for (size_t gap = n / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
        for (size_t i = gap; i < n; i++) {
            const void *item = items[i];
            size_t at = i;
            for (; at >= gap && cmp(items[at - gap], item) > 0; at -= gap)
                items[at] = items[at - gap];
            items[at] = item;
        }
    }
}

/* ---- names ---- */

MLXK_FN struct str care_partial_etag(struct str name) {
    static const char *const beside[] = { ".map", ".lease" };
    for (size_t i = 0; i < MLXK_COUNT(beside); i++)
        if (str_ends(name, str_cstr(beside[i])))
            return str_sub(name, 0, name.n - strlen(beside[i]));
    if (!str_ends(name, STR(".incomplete"))) return name;
    struct str s = str_sub(name, 0, name.n - STR(".incomplete").n);
    ptrdiff_t dot = str_find_last(s, STR("."));
    struct str tail = dot < 0 ? STR_EMPTY : str_sub(s, (size_t)dot + 1, s.n);
    bool ours = str_eq(tail, STR("mlxk")) || str_eq(tail, STR("damaged")) || str_is_hex(tail, 8);
    return ours ? str_sub(s, 0, (size_t)dot) : s;
}

MLXK_FN bool care_is_temp(struct str name) {
    if (str_starts(name, STR(".")) && str_ends(name, STR(".shared"))) return true;
    if (!str_ends(name, STR(".tmp"))) return false;
    struct str s = str_sub(name, 0, name.n - 4);
    ptrdiff_t dot = str_find_last(s, STR("."));
    return str_starts(name, STR("tmp")) || str_eq(name, STR("CACHEDIR.TAG.tmp")) ||
           (dot >= 0 && str_is_hex(str_sub(s, (size_t)dot + 1, s.n), 8));
}

MLXK_FN bool care_is_repo_folder(struct str name) {
    ptrdiff_t at = str_find(name, STR("--"));
    struct str type = at < 0 ? STR_EMPTY : str_sub(name, 0, (size_t)at);
    return (size_t)at + 2 < name.n
           && (str_eq(type, STR("models")) || str_eq(type, STR("datasets"))
               || str_eq(type, STR("spaces")) || str_eq(type, STR("kernels")));
}

MLXK_FN struct str care_repo_name(struct arena *a, struct str folder, struct str *type) {
    ptrdiff_t at = str_find(folder, STR("--"));
    *type = at < 0 ? STR_EMPTY : str_sub(folder, 0, (size_t)at);
    if (at < 0 || str_eq(*type, STR("models"))) return cache_repo_name(a, folder);
    char *as_model = care_format(a, "models--" STR_FMT,
                                 STR_ARG(str_sub(folder, (size_t)at + 2, folder.n)));
    struct str name = as_model ? cache_repo_name(a, str_cstr(as_model)) : folder;
    return str_format(a, STR_FMT "/" STR_FMT, STR_ARG(*type), STR_ARG(name));
}

MLXK_FN bool care_repos(struct arena *a, const struct cache *c, bool with_links,
                        struct str **folders, size_t *n, struct err *e) {
    struct os_entry *entries;
    size_t n_entries = 0;
    struct err none = { 0 };
    *folders = NULL;
    *n = 0;
    if (!os_list_dir(a, c->root_cstr, CARE_MAX_ENTRIES, &entries, &n_entries, &none))
        return none.code == ERR_NOT_FOUND || (*e = none, false);
    *folders = ARENA_ARRAY(a, struct str, n_entries);
    if (!*folders) return err_oom(e, n_entries * sizeof(struct str), "the list of repositories");
    for (size_t i = 0; i < n_entries; i++) {
        struct os_stat st = { .kind = entries[i].kind };
        if (!care_is_repo_folder(entries[i].name)) continue;
        char *path = with_links && st.kind == OS_LINK
                         ? care_format(a, "%s/" STR_FMT, c->root_cstr, STR_ARG(entries[i].name))
                         : NULL;
        if (path) os_stat(path, &st);
        if (st.kind == OS_DIR) (*folders)[(*n)++] = entries[i].name;
    }
    return true;
}

/* ---- the walk ---- */

struct care_walk {
    struct arena *arena;
    struct care_repo *repo;
    struct buf list;             /* struct care_entry after struct care_entry */
    char path[LIMIT_PATH];
    size_t root_n;               /* bytes of the repo's folder and its '/' */
    bool away;                   /* behind a link */
};

static enum care_kind care_walk_blob(const struct care_entry *x, struct str name) {
    struct err none = { 0 };
    if (x->st.kind != OS_FILE && x->st.kind != OS_LINK) return CARE_FOREIGN;
    if (care_is_temp(name)) return CARE_TEMP;
    if (str_ends(name, STR(".incomplete")) && name.n > STR(".incomplete").n) return CARE_PARTIAL;
    return cache_etag_ok(name, &none) ? CARE_BLOB : CARE_FOREIGN;
}

/* What this program writes down about unfinished blobs. */
static bool care_walk_is_beside(struct str top, struct str rest) {
    return str_eq(top, STR(".mlxk")) && str_find_char(rest, '/') < 0;
}

static enum care_kind care_walk_other(struct care_entry *x, struct str top, struct str rest) {
    struct err none = { 0 };
    bool file = x->st.kind == OS_FILE;
    ptrdiff_t slash = str_find_char(rest, '/');
    if (str_eq(top, STR("refs"))) {
        if (file && care_is_temp(os_path_base(x->path_cstr))) return CARE_TEMP;
        return file && cache_revision_ok(rest, &none) ? CARE_REF : CARE_FOREIGN;
    }
    if (str_eq(top, STR("trees"))) {
        if (slash >= 0 || !file) return CARE_FOREIGN;
        if (care_is_temp(rest)) return CARE_TEMP;
        x->name = str_sub(rest, 0, rest.n - (str_ends(rest, STR(".json")) ? 5 : rest.n));
        return x->name.n ? CARE_TREE : CARE_FOREIGN;
    }
    if (slash < 0) return CARE_FOREIGN;
    x->commit = str_sub(rest, 0, (size_t)slash);
    x->name = str_sub(rest, (size_t)slash + 1, rest.n);
    if (str_eq(top, STR(".no_exist"))) return file ? CARE_ABSENCE : CARE_FOREIGN;
    return x->st.kind == OS_LINK ? CARE_LINK : file ? CARE_COPY : CARE_FOREIGN;
}

/* Kind, name and commit from the path below the repo's folder. */
static void care_walk_name(struct care_entry *x, struct str path) {
    struct str rest = path, top = str_cut(&rest, '/');
    bool known = str_eq(top, STR("refs")) || str_eq(top, STR("trees")) ||
                 str_eq(top, STR("snapshots")) || str_eq(top, STR(".no_exist"));
    x->name = rest.p ? rest : path;
    if (x->st.kind == OS_DIR) {
        bool blobs = str_eq(top, STR("blobs"));
        bool beside = str_eq(top, STR(".mlxk"));
        x->kind = ((blobs || beside) && !rest.p) || known ? CARE_FOLDER : CARE_FOREIGN;
    } else if (rest.p && str_eq(top, STR("blobs"))) {
        x->kind = care_walk_blob(x, rest);
    } else if (rest.p && x->st.kind == OS_FILE && care_walk_is_beside(top, rest)) {
        bool proof = str_ends(rest, STR(CACHE_PROOF_ENDING));
        x->kind = proof ? CARE_PROOF : CARE_PARTIAL;
        if (proof) x->name = str_sub(rest, 0, rest.n - STR(CACHE_PROOF_ENDING).n);
    } else {
        x->kind = rest.p && known ? care_walk_other(x, top, rest) : CARE_FOREIGN;
    }
}

static void care_walk_link(struct care_walk *w, struct care_entry *x) {
    struct err gone = { 0 };
    char *to = os_readlink(w->arena, x->path_cstr, &gone);
    x->to = to ? os_path_base(to) : STR_EMPTY;
    os_stat(x->path_cstr, &x->target);
}

static void care_walk_ref(struct care_walk *w, struct care_entry *x) {
    struct err gone = { 0 };
    struct str text;
    if (os_read_file(w->arena, x->path_cstr, LIMIT_PATH, &text, &gone)) x->commit = str_trim(text);
}

static void care_walk_stuck(struct care_walk *w) {
    if (!w->repo->unreadable)
        (void)snprintf(w->repo->unreadable_path, sizeof w->repo->unreadable_path, "%s", w->path);
    w->repo->unreadable = true;
}

static bool care_walk_follows(struct str path) {
    struct str rest = path, top = str_cut(&rest, '/');
    return str_find_char(rest, '/') < 0 &&
           (str_eq(top, STR("snapshots")) || (str_eq(top, STR("blobs")) && !rest.n));
}

/* Folders that were moved to another disk and linked: blobs/, snapshots/ and what lies directly in
 * it are followed, others only noted. */
static void care_walk_away(struct care_walk *w, struct care_entry *x) {
    if (!w->repo->away)
        (void)snprintf(w->repo->away_path, sizeof w->repo->away_path, "%s", w->path);
    w->repo->away = true;
    if (care_walk_follows(str_cstr(w->path + w->root_n))) x->kind = CARE_FOLDER;
}

static bool care_walk_add(struct care_walk *w, size_t path_n, struct err *e) {
    struct care_entry x = { .kind = CARE_FOREIGN, .away = w->away };
    if (!os_lstat(w->path, &x.st)) return true;  /* gone meanwhile */
    char *path = str_dup_cstr(w->arena, (struct str){ w->path, path_n });
    if (!path) return err_oom(e, path_n, "the inventory of a repository");
    x.path_cstr = path;
    care_walk_name(&x, (struct str){ path + w->root_n, path_n - w->root_n });
    if (x.st.kind == OS_LINK) care_walk_link(w, &x);
    if (x.target.kind == OS_DIR) care_walk_away(w, &x);
    if (x.kind == CARE_REF) care_walk_ref(w, &x);
    buf_add_bytes(&w->list, &x, sizeof x);
    return !w->list.failed || err_oom(e, w->list.n, "the inventory of a repository");
}

/* Links ahead of their blobs, of a pull that is under way or was killed: cache_links_sweep's. */
static bool care_walk_passes(struct str path) {
    struct str rest = path, top = str_cut(&rest, '/');
    return str_eq(top, STR(".mlxk")) && str_ends(rest, STR(CACHE_LINKS_ENDING));
}

static bool care_walk_folder(struct care_walk *w, size_t path_n, int depth, struct err *e) {
    struct os_entry *entries;
    size_t n;
    struct err stuck = { 0 };
    if (depth > CARE_MAX_DEPTH ||
        !os_list_dir(w->arena, w->path, CARE_MAX_ENTRIES, &entries, &n, &stuck)) {
        if (stuck.code != ERR_NOT_FOUND) care_walk_stuck(w);
        return stuck.code != ERR_NO_MEMORY || (*e = stuck, false);
    }
    w->path[path_n++] = '/';
    for (size_t i = 0; i < n; i++) {
        struct str name = entries[i].name;
        if (name.n + path_n + 1 > sizeof w->path) {
            w->path[path_n] = '\0';
            care_walk_stuck(w);
            continue;
        }
        memcpy(w->path + path_n, name.p, name.n);
        w->path[path_n + name.n] = '\0';
        if (care_walk_passes(str_cstr(w->path + w->root_n))) continue;
        if (!care_walk_add(w, path_n + name.n, e)) return false;
        struct os_stat st;
        bool was_away = w->away, link = entries[i].kind == OS_LINK,
             follow = entries[i].kind == OS_DIR;
        if (link && care_walk_follows(str_cstr(w->path + w->root_n)))
            follow = w->away = os_stat(w->path, &st) && st.kind == OS_DIR;
        if (follow && !care_walk_folder(w, path_n + name.n, depth + 1, e)) return false;
        w->away = was_away;
    }
    return true;
}

/* ---- who shows what ---- */

static struct care_revision *care_revision_of(struct care_repo *r, struct str commit) {
    for (size_t i = 0; i < r->n_revisions; i++)
        if (str_eq(r->revisions[i].commit, commit)) return &r->revisions[i];
    return NULL;
}

static bool care_revisions_find(struct arena *a, struct care_repo *r) {
    for (int pass = 0; pass < 2; pass++) {
        size_t n = 0;
        for (size_t i = 0; i < r->n; i++) {
            const struct care_entry *x = &r->entries[i];
            bool is_one =
                x->kind == CARE_FOLDER && str_find_char(x->name, '/') < 0
                && str_ends(str_sub(str_cstr(x->path_cstr), 0, strlen(x->path_cstr) - x->name.n),
                            STR("/snapshots/"));
            if (!is_one) continue;
            if (pass)
                r->revisions[n] = (struct care_revision){ .commit = x->name,
                                                          .dir_cstr = x->path_cstr,
                                                          .mtime_ns = x->st.mtime_ns,
                                                          .used_ns = x->st.mtime_ns };
            n++;
        }
        if (!pass && !(r->revisions = ARENA_ARRAY(a, struct care_revision, n))) return false;
        r->n_revisions = n;
    }
    return true;
}

static void care_revisions_refs(struct care_repo *r) {
    for (size_t i = 0; i < r->n; i++) {
        const struct care_entry *x = &r->entries[i];
        struct care_revision *v = x->kind == CARE_REF ? care_revision_of(r, x->commit) : NULL;
        if (!v) continue;
        v->n_refs++;
        v->is_main = v->is_main || str_eq(x->name, STR("main"));
    }
}

/* Links in the order of the walk: those of one snapshot follow each other, so that comparing with
 * the last one seen counts snapshots. */
static void care_revisions_files(struct care_repo *r) {
    struct care_revision *v = NULL;
    for (size_t i = 0; i < r->n; i++) {
        struct care_entry *x = &r->entries[i];
        if (x->kind != CARE_LINK && x->kind != CARE_COPY) continue;
        if (!v || !str_eq(v->commit, x->commit)) v = care_revision_of(r, x->commit);
        if (!v) continue;
        const struct os_stat *st = x->kind == CARE_LINK ? &x->target : &x->st;
        v->n_files++;
        v->n_dangling += x->kind == CARE_LINK && x->target.kind == OS_NONE;
        int64_t used_ns = st->atime_ns > st->mtime_ns ? st->atime_ns : st->mtime_ns;
        if (st->kind == OS_FILE && used_ns > v->used_ns) v->used_ns = used_ns;
        const uint64_t *at = x->kind == CARE_LINK ? map_get(&r->blobs, x->to) : NULL;
        if (!at) continue;
        x->blob = &r->entries[*at];
        if (!str_eq(x->blob->shown_commit, x->commit)) x->blob->n_revisions++;
        x->blob->shown_commit = x->commit;
        x->blob->shown_file = x->name;
    }
}

/* How many names of the same file lie in blobs/. */
static uint64_t care_blob_twins(const struct care_repo *r, const struct care_entry *x) {
    uint64_t n = 0;
    for (size_t i = 0; x->st.n_links > 1 && i < r->n; i++) {
        const struct care_entry *y = &r->entries[i];
        n += y->kind == CARE_BLOB && y->st.inode == x->st.inode && y->st.device == x->st.device;
    }
    return n;
}

/* Bytes that go with a revision: of blobs that it alone shows, and of files of its own. */
static void care_revisions_own(struct care_repo *r) {
    for (size_t i = 0; i < r->n; i++) {
        struct care_entry *x = &r->entries[i];
        bool blob = x->kind == CARE_BLOB && x->n_revisions == 1, copy = x->kind == CARE_COPY;
        struct care_revision *v = blob   ? care_revision_of(r, x->shown_commit)
                                  : copy ? care_revision_of(r, x->commit) : NULL;
        if (!v || x->st.kind != OS_FILE) continue;
        uint64_t names = 1 + (copy ? care_blob_twins(r, x) : 0);
        uint64_t links = x->st.n_links > names ? x->st.n_links : names;
        v->own_bytes += x->st.disk_bytes / links * names;
    }
}

static bool care_repo_index(struct arena *a, struct care_repo *r, struct err *e) {
    for (size_t i = 0; i < r->n; i++) {
        uint64_t *at = r->entries[i].kind == CARE_BLOB
                           ? map_put(&r->blobs, r->entries[i].name, NULL) : NULL;
        if (at) *at = i;
    }
    if (r->blobs.failed || !care_revisions_find(a, r))
        return err_oom(e, r->n * 64, "the inventory of a repository");
    care_revisions_refs(r);
    care_revisions_files(r);
    care_revisions_own(r);
    return true;
}

/* ---- (Public) ---- */

MLXK_FN bool care_repo_read(struct arena *a, const struct cache *c, struct str folder,
                            struct care_repo *out, struct err *e) {
    struct care_walk w = { .arena = a, .repo = out };
    *out = (struct care_repo){ .folder = folder };
    map_init(&out->blobs, SIZE_MAX / 64);
    out->name = care_repo_name(a, folder, &out->type);
    out->dir_cstr = care_format(a, "%s/" STR_FMT, c->root_cstr, STR_ARG(folder));
    if (!out->dir_cstr) return err_oom(e, LIMIT_PATH, "a path");
    size_t n = strlen(out->dir_cstr);
    memcpy(w.path, out->dir_cstr, n + 1 < sizeof w.path ? n + 1 : sizeof w.path - 1);
    w.root_n = n + 1;
    buf_init(&w.list, SIZE_MAX);
    bool ok = n + 2 < sizeof w.path && care_walk_folder(&w, n, 0, e);
    out->n = w.list.n / sizeof(struct care_entry);
    out->entries = ARENA_ARRAY(a, struct care_entry, out->n);
    if (ok && out->entries && out->n) memcpy(out->entries, w.list.p, w.list.n);
    buf_release(&w.list);
    if (!ok || !out->entries) return err_oom(e, out->n * sizeof(struct care_entry), "an inventory");
    return care_repo_index(a, out, e);
}

MLXK_FN void care_repo_release(struct care_repo *r) { map_release(&r->blobs); }

MLXK_FN bool care_tree_of(struct arena *a, const struct care_repo *r, struct str commit,
                          struct cache_tree_file **files, size_t *n) {
    struct err none = { 0 };
    struct str text;
    char *path = care_format(a, "%s/trees/" STR_FMT ".json", r->dir_cstr, STR_ARG(commit));
    *files = NULL;
    *n = 0;
    return path && os_read_file(a, path, CARE_MAX_TREE, &text, &none) &&
           cache_tree_parse(a, text, files, n);
}

MLXK_FN struct str care_tree_etag(const struct cache_tree_file *f, uint64_t *size_bytes) {
    bool lfs = f->lfs_sha256.n > 0;
    if (size_bytes) *size_bytes = lfs && f->lfs_size ? f->lfs_size : f->size_bytes;
    return lfs ? f->lfs_sha256 : f->blob_id;
}
