/* mirror_list.c: which commit a revision means, and the files of a commit, from what is in the
 * cache.
 *
 * A commit's tree file is the truth about it. Without one, and only where that is allowed, its
 * snapshot is looked at: what a link's target is called is the file's hash; files that are no links
 * (caches without them) are hashed, once.
 *
 * Invariants
 *  1. Nothing is written, no lock is taken.
 *  2. Lists are immutable and counted; at most MIRROR_LISTS of them are kept, the one used longest
 *     ago goes first.
 *  3. Every name in a list is one that cache_path_ok accepts.
 * ref: hub facts 1.2-1.5, 4.2.
 */
#include "serve/mirror_int.h"

#include <stdio.h>

#define MIRROR_LIST_BYTES ((size_t)512 << 20)
#define MIRROR_LIST_TREE ((size_t)64 << 20)
enum {
    MIRROR_LIST_FILES = 1000000, MIRROR_LIST_DEPTH = 16, MIRROR_LIST_ENTRIES = 200000,
    MIRROR_LIST_LFS = 10 << 20,     /* a file without a hash in its name: larger ones are LFS */
    MIRROR_LIST_FRESH_MS = 10000,        /* a snapshot is looked at again after that */
};

/* ---- places (Public to the room) ------------------------------------------------------------- */

static bool mirror_list_is_dir(struct arena *a, const char *dir_cstr, struct str commit) {
    struct os_stat st;
    struct str path = str_format(a, "%s/snapshots/" STR_FMT, dir_cstr, STR_ARG(commit));
    char *path_cstr = str_dup_cstr(a, path);
    if (path_cstr && os_stat(path_cstr, &st) && st.kind == OS_DIR) return true;
    path = str_format(a, "%s/trees/" STR_FMT ".json", dir_cstr, STR_ARG(commit));
    path_cstr = str_dup_cstr(a, path);
    return path_cstr && os_stat(path_cstr, &st) && st.kind == OS_FILE;
}

/* The one snapshot whose name begins so. */
static struct str mirror_list_unique(struct arena *a, const char *dir_cstr, struct str prefix) {
    struct os_entry *entries;
    struct err ignored = { 0 };
    struct str found = STR_EMPTY;
    size_t n;
    char *path_cstr = os_path_join(a, dir_cstr, "snapshots");
    if (!path_cstr || !os_list_dir(a, path_cstr, MIRROR_LIST_ENTRIES, &entries, &n, &ignored))
        return found;
    for (size_t i = 0; i < n; i++) {
        if (!str_starts(entries[i].name, prefix) || !str_is_hex(entries[i].name, 40)) continue;
        if (found.n) return STR_EMPTY;
        found = entries[i].name;
    }
    return found;
}

MLXK_FN struct str mirror_local_commit(struct arena *a, const char *dir_cstr, struct str revision) {
    struct err ignored = { 0 };
    struct str text;
    if (str_is_hex(revision, 40))
        return mirror_list_is_dir(a, dir_cstr, revision) ? revision : STR_EMPTY;
    if (!cache_revision_ok(revision, &ignored)) return STR_EMPTY;
    char *path_cstr = str_dup_cstr(a, str_format(a, "%s/refs/" STR_FMT, dir_cstr,
                                                 STR_ARG(revision)));
    if (path_cstr && os_read_file(a, path_cstr, LIMIT_PATH, &text, &ignored)) {
        text = str_trim(text);
        bool ok = str_is_hex(text, 40) && mirror_list_is_dir(a, dir_cstr, text);
        return ok ? text : STR_EMPTY;
    }
    bool prefix = revision.n >= 7 && str_is_hex(revision, revision.n);
    return prefix ? mirror_list_unique(a, dir_cstr, revision) : STR_EMPTY;
}

/* ---- lists (Private) ------------------------------------------------------------------------- */

static void mirror_list_free(struct mirror_list *l) {
    map_release(&l->by_path);
    arena_release(&l->arena);
    mem_free(l);
}

static int mirror_list_order(const void *x, const void *y) {
    return str_cmp(((const struct mirror_file *)x)->path, ((const struct mirror_file *)y)->path);
}

/* Sorted by path in place: heap sort, so that no list costs more than n log n. */
static void mirror_list_sift(struct mirror_file *files, size_t i, size_t n) {
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && mirror_list_order(&files[child], &files[child + 1]) < 0) child++;
        if (mirror_list_order(&files[i], &files[child]) >= 0) return;
        struct mirror_file other = files[i];
        files[i] = files[child];
        files[child] = other;
    }
}

static void mirror_list_sort(struct mirror_file *files, size_t n) {
    for (size_t i = n / 2; i-- > 0;) mirror_list_sift(files, i, n);
    for (size_t end = n; end-- > 1;) {
        struct mirror_file other = files[0];
        files[0] = files[end];
        files[end] = other;
        mirror_list_sift(files, 0, end);
    }
}

static bool mirror_list_index(struct mirror_list *l, struct err *e) {
    mirror_list_sort(l->files, l->n);
    for (size_t i = 0; i < l->n; i++) {
        uint64_t *at = map_put(&l->by_path, l->files[i].path, NULL);
        if (!at) return err_oom(e, l->n * 32, "a file list");
        *at = i;
    }
    return true;
}

static bool mirror_list_from_files(struct mirror_list *l, const struct cache_tree_file *files,
                                   struct err *e) {
    l->files = ARENA_ARRAY(&l->arena, struct mirror_file, l->n);
    if (!l->files) return err_oom(e, l->n * sizeof *l->files, "a file list");
    for (size_t i = 0; i < l->n; i++) {
        bool lfs = files[i].lfs_sha256.n > 0;
        l->files[i] = (struct mirror_file){
            .path = files[i].path,
            .size_bytes = lfs && files[i].lfs_size ? files[i].lfs_size : files[i].size_bytes,
            .etag = lfs ? files[i].lfs_sha256 : files[i].blob_id,
            .git_oid = files[i].blob_id,
            .lfs = lfs,
        };
    }
    return mirror_list_index(l, e);
}

static bool mirror_list_from_tree(struct mirror_list *l, struct str text, struct err *e) {
    struct cache_tree_file *files;
    return cache_tree_parse(&l->arena, text, &files, &l->n) && mirror_list_from_files(l, files, e);
}

static bool mirror_list_from_answer(struct mirror_list *l, const struct hub_repo *answer,
                                    struct err *e) {
    l->n = answer->n_files;
    l->told = ARENA_ARRAY(&l->arena, struct cache_tree_file, l->n);
    bool ok = l->told != NULL;
    for (size_t i = 0; ok && i < l->n; i++) {
        const struct hub_file *f = &answer->files[i];
        struct str etag = str_dup(&l->arena, f->etag);
        l->told[i] = (struct cache_tree_file){ .path = str_dup(&l->arena, f->path),
                                               .size_bytes = f->size_bytes,
                                               .blob_id = str_dup(&l->arena, f->git_oid),
                                               .lfs_sha256 = f->lfs ? etag : STR_EMPTY,
                                               .lfs_size = f->lfs ? f->size_bytes : 0,
                                               .xet_hash = str_dup(&l->arena, f->xet_hash) };
        ok = etag.p && l->told[i].path.p && l->told[i].blob_id.p;
    }
    return ok ? mirror_list_from_files(l, l->told, e)
              : err_oom(e, l->n * sizeof *l->told, "a file list");
}

/* ---- a snapshot as a list (Private) ---------------------------------------------------------- */

struct mirror_walk { struct mirror_list *list; struct arena *scratch; size_t cap; };

/* Reads a file that is no link, or whose blob's name is no hash. */
static bool mirror_list_hash_file(struct arena *a, const char *path_cstr, struct mirror_file *f,
                                  struct err *e) {
    uint8_t digest[32];
    char hex[65];
    struct str text;
    struct arena once;
    f->lfs = f->size_bytes > MIRROR_LIST_LFS;
    if (f->lfs) {
        if (!sha256_file(path_cstr, digest, NULL, NULL, e)) return false;
        str_hex(hex, digest, sizeof digest);
    } else {
        arena_init(&once, MIRROR_LIST_LFS + 65536);
        bool ok = os_read_file(&once, path_cstr, MIRROR_LIST_LFS, &text, e);
        if (ok) cache_digest_text(CACHE_GIT_SHA1, text, hex);
        arena_release(&once);
        if (!ok) return false;
    }
    f->etag = str_dup(a, str_cstr(hex));
    return f->etag.p || err_oom(e, sizeof hex, "a file list");
}

static bool mirror_list_add(struct mirror_walk *w, const char *path_cstr, struct str relative,
                            bool link, uint64_t size_bytes, struct err *e) {
    struct mirror_list *l = w->list;
    struct err ignored = { 0 };
    struct mirror_file f = { .path = str_dup(&l->arena, relative), .size_bytes = size_bytes };
    char oid[65];
    struct mirror_file *grown =
        ARENA_GROW(&l->arena, struct mirror_file, l->files, l->n, &w->cap, 64);
    if (!grown) return err_oom(e, (l->n + 1) * sizeof *grown, "a file list");
    l->files = grown;
    char *to_cstr = link ? os_readlink(w->scratch, path_cstr, &ignored) : NULL;
    struct str name = to_cstr ? os_path_base(to_cstr) : STR_EMPTY;
    enum cache_hash kind = cache_blob_hash(name);
    if (kind == CACHE_OPAQUE) {
        if (!mirror_list_hash_file(&l->arena, path_cstr, &f, e)) return false;
    } else {
        f.etag = str_dup(&l->arena, name);
        f.lfs = kind == CACHE_SHA256;
    }
    f.git_oid = f.etag;
    if (f.lfs) {
        cache_lfs_pointer(f.etag, f.size_bytes, oid);
        f.git_oid = str_dup(&l->arena, str_cstr(oid));
    }
    if (!f.path.p || !f.etag.p || !f.git_oid.p) return err_oom(e, 200, "a file list");
    l->files[l->n++] = f;
    return true;
}

static bool mirror_list_walk(struct mirror_walk *w, const char *dir_cstr, struct str prefix,
                             int depth, struct err *e) {
    struct os_entry *entries;
    struct err ignored = { 0 };
    size_t n;
    if (!os_list_targets(w->scratch, dir_cstr, MIRROR_LIST_ENTRIES, NULL, NULL, &entries, &n, e))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct str name = entries[i].name,
                   path = prefix.n ? str_format(w->scratch, STR_FMT "/" STR_FMT, STR_ARG(prefix),
                                                STR_ARG(name)) : name;
        char *name_cstr = str_dup_cstr(w->scratch, name),
             *full_cstr = name_cstr ? os_path_join(w->scratch, dir_cstr, name_cstr) : NULL;
        if (!full_cstr || !path.p) return err_oom(e, LIMIT_PATH, "a path");
        if (!cache_path_ok(path, &ignored)) continue;
        if (entries[i].kind == OS_DIR && depth < MIRROR_LIST_DEPTH) {
            if (!mirror_list_walk(w, full_cstr, path, depth + 1, e)) return false;
        } else if (entries[i].target == OS_FILE) {
            if (w->list->n == MIRROR_LIST_FILES)
                return err_set(e, ERR_LIMIT, "a snapshot has more than %d files",
                               MIRROR_LIST_FILES);
            if (!mirror_list_add(w, full_cstr, path, entries[i].kind == OS_LINK,
                                 entries[i].size_bytes, e))
                return false;
        }
    }
    return true;
}

static bool mirror_list_from_snapshot(struct mirror_list *l, const char *path_cstr, struct err *e) {
    struct arena scratch;
    arena_init(&scratch, MIRROR_LIST_BYTES);
    struct mirror_walk w = { .list = l, .scratch = &scratch };
    bool ok = mirror_list_walk(&w, path_cstr, STR_EMPTY, 0, e) && mirror_list_index(l, e);
    arena_release(&scratch);
    l->computed = true;
    return ok && l->n > 0;
}

/* ---- lists kept (Private) -------------------------------------------------------------------- */

static struct mirror_list *mirror_list_new(struct str key, struct str commit, struct err *e) {
    struct mirror_list *l = mem_alloc(sizeof *l);
    if (!l) { err_oom(e, sizeof *l, "a file list"); return NULL; }
    memset(l, 0, sizeof *l);
    arena_init(&l->arena, MIRROR_LIST_BYTES);
    map_init(&l->by_path, MIRROR_LIST_FILES);
    memcpy(l->commit, commit.p, 40);
    l->key = str_dup(&l->arena, key);
    l->n_users = 1;
    l->read_ns = os_now_ns();
    return l;
}

/* Reads the list anew. NULL without an error in e: there is none. */
static struct mirror_list *mirror_list_read(const char *dir_cstr, struct str commit, bool partial,
                                            struct str key, const char *tree_cstr,
                                            const struct os_stat *tree, struct err *e) {
    struct arena a;
    struct err why = { 0 };
    struct str text;
    struct os_stat st;
    struct mirror_list *l = mirror_list_new(key, commit, e);
    if (!l) return NULL;
    arena_init(&a, MIRROR_LIST_TREE + (1 << 20));
    bool ok = tree->kind == OS_FILE && os_read_file(&a, tree_cstr, MIRROR_LIST_TREE, &text, &why)
              && mirror_list_from_tree(l, text, &why);
    if (ok) {
        l->mtime_ns = tree->mtime_ns;
        l->stamp = tree->inode * 31 + tree->size_bytes;
    } else if (partial) {
        char *path_cstr = str_dup_cstr(&a, str_format(&a, "%s/snapshots/" STR_FMT, dir_cstr,
                                                      STR_ARG(commit)));
        ok = path_cstr && os_stat(path_cstr, &st) && mirror_list_from_snapshot(l, path_cstr, e);
        if (ok) l->mtime_ns = st.mtime_ns;
    }
    arena_release(&a);
    if (ok) return l;
    mirror_list_free(l);
    return NULL;
}

static bool mirror_list_valid(const struct mirror_list *l, const struct os_stat *tree) {
    if (l->told) return true;            /* a commit does not change */
    if (l->computed)
        return tree->kind != OS_FILE
               && os_now_ns() - l->read_ns < MIRROR_LIST_FRESH_MS * 1000000LL;
    return tree->kind == OS_FILE && l->mtime_ns == tree->mtime_ns
           && l->stamp == tree->inode * 31 + tree->size_bytes;
}

/* Mutex held. */
static void mirror_list_drop(struct mirror *m, int slot) {
    struct mirror_list *l = m->lists[slot];
    m->lists[slot] = NULL;
    if (l && --l->n_users == 0) mirror_list_free(l);
}

/* Mutex held. Puts l, which gets one more user, where the list used longest ago was. */
static void mirror_list_keep(struct mirror *m, struct mirror_list *l) {
    int slot = 0;
    for (int i = 0; i < MIRROR_LISTS; i++) {
        if (m->lists[i] && str_eq(m->lists[i]->key, l->key)) { slot = i; break; }
        bool older = !m->lists[i] || (m->lists[slot] && m->lists[i]->used < m->lists[slot]->used);
        if (older && m->lists[slot]) slot = i;
    }
    mirror_list_drop(m, slot);
    l->used = ++m->clock;
    l->n_users++;
    m->lists[slot] = l;
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN struct mirror_list *mirror_list_get(struct mirror *m, const char *dir_cstr,
                                            struct str commit, bool partial, struct err *e) {
    char tree_cstr[LIMIT_PATH], key_text[LIMIT_PATH];
    struct os_stat tree;
    int n = snprintf(tree_cstr, sizeof tree_cstr, "%s/trees/" STR_FMT ".json", dir_cstr,
                     STR_ARG(commit));
    int key_n = snprintf(key_text, sizeof key_text, "%s/" STR_FMT, dir_cstr, STR_ARG(commit));
    if (n < 0 || n >= LIMIT_PATH || key_n < 0 || key_n >= LIMIT_PATH) return NULL;
    struct str key = { key_text, (size_t)key_n };
    (void)os_stat(tree_cstr, &tree);
    struct mirror_list *l = NULL;
    os_mutex_lock(&m->mutex);
    for (int i = 0; i < MIRROR_LISTS && !l; i++)
        if (m->lists[i] && str_eq(m->lists[i]->key, key) && mirror_list_valid(m->lists[i], &tree)
            && (partial || !m->lists[i]->computed)) {
            l = m->lists[i];
            l->n_users++;
            l->used = ++m->clock;
        }
    os_mutex_unlock(&m->mutex);
    if (l) return l;
    l = mirror_list_read(dir_cstr, commit, partial, key, tree_cstr, &tree, e);
    if (!l) return NULL;
    os_mutex_lock(&m->mutex);
    mirror_list_keep(m, l);
    os_mutex_unlock(&m->mutex);
    return l;
}

MLXK_FN bool mirror_list_tell(struct mirror *m, const char *dir_cstr, const struct hub_repo *answer,
                              struct err *e) {
    char key_text[LIMIT_PATH];
    int n = snprintf(key_text, sizeof key_text, "%s/" STR_FMT, dir_cstr, STR_ARG(answer->commit));
    if (n < 0 || n >= LIMIT_PATH) return err_set(e, ERR_INVALID, "a path is too long");
    struct mirror_list *l = mirror_list_new((struct str){ key_text, (size_t)n }, answer->commit, e);
    if (!l) return false;
    l->mtime_ns = os_time_ns();
    if (!mirror_list_from_answer(l, answer, e)) {
        mirror_list_free(l);
        return false;
    }
    os_mutex_lock(&m->mutex);
    mirror_list_keep(m, l);
    os_mutex_unlock(&m->mutex);
    mirror_list_give(m, l);
    return true;
}

MLXK_FN void mirror_list_give(struct mirror *m, struct mirror_list *l) {
    if (!l) return;
    os_mutex_lock(&m->mutex);
    if (--l->n_users == 0) mirror_list_free(l);
    os_mutex_unlock(&m->mutex);
}

MLXK_FN const struct mirror_file *mirror_list_find(const struct mirror_list *l, struct str path) {
    const uint64_t *at = map_get(&l->by_path, path);
    return at ? &l->files[*at] : NULL;
}

/* Where path stands to what is below the folder: before it, in it, behind it. */
static int mirror_list_side(struct str path, struct str folder) {
    if (folder.n == 0) return 0;
    int order = str_cmp(str_sub(path, 0, folder.n), folder);
    if (order) return order;
    return path.n == folder.n ? -1 : (unsigned char)path.p[folder.n] - '/';
}

/* The first file that stands at this side (0, or 1: behind) or further. */
static size_t mirror_list_first(const struct mirror_list *l, struct str folder, int side) {
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mirror_list_side(l->files[middle].path, folder) < side) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* By path, what is below a folder is not one run ("a-b" lies between "a" and "a/c"), but what
 * begins with "a/" is. */
MLXK_FN void mirror_list_below(const struct mirror_list *l, struct str folder, size_t *from,
                               size_t *to) {
    *from = mirror_list_first(l, folder, 0);
    *to = mirror_list_first(l, folder, 1);
}

#undef MIRROR_LIST_BYTES
#undef MIRROR_LIST_TREE
