/* cache_resolve.c: from what a person typed to one snapshot or workspace.
 *
 * Order (mlx-knife facts 3.2): a path that holds a config.json; the workspace home, exact then by
 * fragment; the exact repo, also behind "mlx-community/"; then fragments, case ignored. "name@x"
 * takes x as a revision (refs/x) or as the beginning of a snapshot's name.
 *
 * 1. Where upstream takes the first of several in the order of the disk, several are ambiguous
 *    here, and lists of candidates are sorted.
 * 2. Of several snapshots: the revision asked for, else that of refs/main, else the newest.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

/* ---- paths and workspaces ---- */

MLXK_FN enum cache_kind cache_model_kind(const struct cache_model *m) {
    return m->place == CACHE_REPO ? cache_kind_of(m->name) : CACHE_MODEL;
}

MLXK_FN bool cache_is_path(struct str spec) {
    return str_starts(spec, STR("/")) || str_starts(spec, STR("./")) ||
           str_starts(spec, STR("../")) || str_eq(spec, STR(".")) || str_eq(spec, STR(".."));
}

MLXK_FN bool cache_has_config(const char *dir_cstr) {
    char path[LIMIT_PATH];
    struct err none = { 0 };
    struct os_stat st;
    return CACHE_PATH(path, &none, str_cstr(dir_cstr), STR("/config.json")) && os_stat(path, &st);
}

static struct cache_model cache_workspace_model(const char *path_cstr) {
    return (struct cache_model){
        .place = CACHE_WORKSPACE,
        .name = str_cstr(path_cstr),
        .repo_dir_cstr = path_cstr,
        .dir_cstr = path_cstr,
        .snapshot_cstr = path_cstr,
    };
}

MLXK_FN bool cache_model_at(struct arena *a, const char *dir_cstr, struct cache_model *out,
                            struct err *e) {
    char *real = os_path_real(a, dir_cstr, e);
    if (!real) {
        return false;
    }
    *out = cache_workspace_model(real);
    return true;
}

MLXK_FN bool cache_home_model(struct arena *a, const struct cache *c, struct str name,
                              struct cache_model *out, struct err *e) {
    char *home = os_path_real(a, c->workspace_cstr, e), *child = str_dup_cstr(a, name);
    char *path = home && child ? os_path_join(a, home, child) : NULL;
    if (!path) {
        return home ? err_oom(e, name.n, "a path") : false;
    }
    *out = cache_workspace_model(path);
    return true;
}

static char *cache_child(struct arena *a, const char *dir_cstr, struct str name) {
    char *name_cstr = str_dup_cstr(a, name);
    return name_cstr ? os_path_join(a, dir_cstr, name_cstr) : NULL;
}

/* 1 found, 0 none fits, -1 failed (ambiguous). */
static int cache_resolve_workspace(struct arena *a, const struct cache *c, struct str spec,
                                   struct cache_model *out, struct cache_matches *matches,
                                   struct err *e) {
    struct os_entry *entries;
    size_t n, n_fits = 0;
    struct err none = { 0 };
    while (spec.n > 1 && spec.p[spec.n - 1] == '/') {
        spec.n--;
    }
    bool whole = str_starts(spec, STR("./"));        /* ./NAME is no fragment */
    spec = whole ? str_sub(spec, 2, spec.n) : spec;
    if (!spec.n || (whole && spec.p[0] == '.')) {
        return 0;
    }
    if (str_find_char(spec, '/') >= 0 ||
        !os_list_dir(a, c->workspace_cstr, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        return 0;
    }
    struct str *names = ARENA_ARRAY(a, struct str, n);
    bool any = false;
    struct str first = STR_EMPTY;
    for (size_t i = 0; names && i < n; i++) {
        if (whole ? !str_eq(entries[i].name, spec) : !str_contains_icase(entries[i].name, spec)) {
            continue;
        }
        char *dir = cache_child(a, c->workspace_cstr, entries[i].name);
        if (!dir || !cache_has_config(dir)) {
            continue;
        }
        if (str_eq(entries[i].name, spec)) {
            return cache_home_model(a, c, spec, out, e) ? 1 : -1;
        }
        first = any ? first : entries[i].name;
        any = true;
        names[n_fits++] = entries[i].name;
    }
    if (n_fits > 1) {
        *matches = (struct cache_matches){ names, n_fits };
        err_set(e, ERR_AMBIGUOUS, "Multiple models match '" STR_FMT "'", STR_ARG(spec));
        return -1;
    }
    return !any ? 0 : cache_home_model(a, c, first, out, e) ? 1 : -1;
}

/* ---- snapshots of a repo ---- */

static bool cache_entry_is_dir(const char *parent_cstr, const struct os_entry *entry,
                               int64_t *mtime_ns) {
    char path[LIMIT_PATH];
    struct err none = { 0 };
    struct os_stat st;
    if (!CACHE_PATH(path, &none, str_cstr(parent_cstr), STR("/"), entry->name) ||
        !os_stat(path, &st)) {
        return false;
    }
    *mtime_ns = st.mtime_ns;
    return st.kind == OS_DIR;
}

/* The snapshots' names, folders only; with one entry nothing is asked of the disk. */
static size_t cache_snapshots(struct arena *a, const char *dir_cstr, struct os_entry **out) {
    struct err none = { 0 };
    size_t n = 0, kept = 0;
    if (!os_list_dir(a, dir_cstr, CACHE_MAX_ENTRIES, out, &n, &none)) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        int64_t unused;
        if ((*out)[i].kind == OS_DIR ||
            ((*out)[i].kind == OS_LINK && cache_entry_is_dir(dir_cstr, &(*out)[i], &unused))) {
            (*out)[kept++] = (*out)[i];
        }
    }
    return kept;
}

/* Of those that `only_40` admits: refs/main's, else the newest; -1 = none. */
static ptrdiff_t cache_choose(struct arena *a, const struct cache *c, struct str repo,
                              const char *dir_cstr, const struct os_entry *names, size_t n,
                              bool only_40) {
    size_t fits = 0;
    ptrdiff_t best = -1;
    for (size_t i = 0; i < n; i++) {
        if (!only_40 || names[i].name.n == 40) {
            fits++;
            best = (ptrdiff_t)i;
        }
    }
    if (fits < 2) {
        return best;
    }
    struct str main_commit = cache_ref_read(a, c, repo, STR("main"));
    int64_t best_ns = INT64_MIN, mtime_ns = INT64_MIN;
    for (size_t i = 0; i < n; i++) {
        if (only_40 && names[i].name.n != 40) {
            continue;
        }
        if (main_commit.n && str_eq(names[i].name, main_commit)) {
            return (ptrdiff_t)i;
        }
        if (cache_entry_is_dir(dir_cstr, &names[i], &mtime_ns) && mtime_ns > best_ns) {
            best = (ptrdiff_t)i;
            best_ns = mtime_ns;
        }
    }
    return best;
}

/* The snapshot of a revision: refs/<revision> first, else the first name it begins; -1 = none. */
static ptrdiff_t cache_find_revision(struct arena *a, const struct cache *c, struct str repo,
                                     struct str revision, const struct os_entry *names, size_t n) {
    struct str commit = cache_ref_read(a, c, repo, revision);
    for (size_t i = 0; commit.n && i < n; i++) {
        if (str_eq(names[i].name, commit)) {
            return (ptrdiff_t)i;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (str_starts(names[i].name, revision)) {
            return (ptrdiff_t)i;
        }
    }
    return -1;
}

/* Hashes are shown in either case, though the hub writes small letters only. */
static bool cache_is_hash(struct str name) {
    for (size_t i = 0; i < name.n; i++) {
        char c = (char)(name.p[i] | 0x20);
        if (!((name.p[i] >= '0' && name.p[i] <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return name.n == 40;
}

MLXK_FN enum cache_found cache_model_of(struct arena *a, const struct cache *c, struct str repo,
                                        struct str revision, bool listing, struct cache_model *out,
                                        struct err *e) {
    struct os_entry *names = NULL;
    char *repo_dir = cache_repo_dir(a, c, repo);
    char *dir = repo_dir ? os_path_join(a, repo_dir, "snapshots") : NULL;
    if (!dir) {
        err_oom(e, LIMIT_PATH, "a path");
        return CACHE_FAILED;
    }
    size_t n = cache_snapshots(a, dir, &names);
    ptrdiff_t judged = revision.n ? cache_find_revision(a, c, repo, revision, names, n)
                                  : cache_choose(a, c, repo, dir, names, n, false);
    if (revision.n && judged < 0) {
        return CACHE_ABSENT;
    }
    ptrdiff_t shown = listing && judged >= 0 && names[judged].name.n != 40
                      ? cache_choose(a, c, repo, dir, names, n, true) : judged;
    *out = (struct cache_model){
        .place = CACHE_REPO, .name = repo, .repo_dir_cstr = repo_dir,
        .dir_cstr = shown < 0 ? repo_dir : cache_child(a, dir, names[shown].name),
        .snapshot_cstr = judged < 0 ? NULL : cache_child(a, dir, names[judged].name),
        .commit = shown >= 0 && cache_is_hash(names[shown].name) ? names[shown].name : STR_EMPTY,
    };
    if (!out->dir_cstr || (judged >= 0 && !out->snapshot_cstr)) {
        err_oom(e, LIMIT_PATH, "a path");
        return CACHE_FAILED;
    }
    return CACHE_FOUND;
}

/* ---- repos by name ---- */

static int cache_str_order(const void *x, const void *y) {
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

MLXK_FN bool cache_repos(struct arena *a, const struct cache *c, struct str pattern,
                         struct str **out, size_t *n_out, struct err *e) {
    struct os_entry *entries;
    size_t n = 0, kept = 0;
    struct err none = { 0 };
    if (!os_list_dir(a, c->root_cstr, SIZE_MAX, &entries, &n, &none) &&
        none.code != ERR_NOT_FOUND) {
        *e = none;
        return false;
    }
    const void **sorted = ARENA_ARRAY(a, const void *, n);
    struct str *names = ARENA_ARRAY(a, struct str, n);
    *out = ARENA_ARRAY(a, struct str, n);
    if (!sorted || !names || !*out) {
        return err_oom(e, n * sizeof(struct str), "the list of cached models");
    }
    for (size_t i = 0; i < n; i++) {
        int64_t unused;
        struct str folder = entries[i].name;
        if (!cache_is_folder(folder) || str_find(folder, STR("TEST-CACHE-SENTINEL")) >= 0) {
            continue;
        }
        names[kept] = cache_repo_name(a, folder);
        enum cache_kind kind = cache_kind_of(names[kept]);
        if (kind != CACHE_MODEL && kind != cache_kind_of(pattern)) {
            continue;
        }
        if (names[kept].n && str_contains_icase(names[kept], pattern) &&
            (entries[i].kind == OS_DIR ||
             (entries[i].kind == OS_LINK &&
              cache_entry_is_dir(c->root_cstr, &entries[i], &unused)))) {
            sorted[kept] = &names[kept];
            kept++;
        }
    }
    cache_sort(sorted, kept, cache_str_order);
    for (size_t i = 0; i < kept; i++) {
        (*out)[i] = *(const struct str *)sorted[i];
    }
    *n_out = kept;
    return true;
}

static bool cache_repo_exists(const struct cache *c, struct str repo) {
    char folder[CACHE_FOLDER_MAX], path[LIMIT_PATH];
    struct err none = { 0 };
    struct os_stat st;
    return cache_folder_into(folder, repo, &none) &&
           CACHE_PATH(path, &none, str_cstr(c->root_cstr), STR("/"), str_cstr(folder)) &&
           os_stat(path, &st) && st.kind == OS_DIR;
}

/* "name" or "mlx-community/name", whichever is in the cache; empty = neither. */
static struct str cache_exact(struct arena *a, const struct cache *c, struct str name) {
    if (str_find_char(name, '/') < 0) {
        struct str longer = str_concat(a, STR("mlx-community/"), name);
        if (longer.p && cache_repo_exists(c, longer)) {
            return longer;
        }
    }
    if (!cache_repo_exists(c, name)) {
        return STR_EMPTY;
    }
    char *folder = cache_folder_name(a, name);       /* "models--a--b" means a/b too */
    return folder ? cache_repo_name(a, str_cstr(folder)) : name;
}

static bool cache_not_found(struct str spec, struct err *e) {
    return err_set(e, ERR_NOT_FOUND, "No model found matching '" STR_FMT "'", STR_ARG(spec));
}

/* One of several that fit, or the list of them. */
static bool cache_resolve_fragment(struct arena *a, const struct cache *c, struct str spec,
                                   struct str name, struct str revision, struct cache_model *out,
                                   struct cache_matches *matches, struct err *e) {
    struct str *fits;
    size_t n, kept = 0;
    if (!cache_repos(a, c, name, &fits, &n, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct cache_model m;
        enum cache_found found =
            revision.n ? cache_model_of(a, c, fits[i], revision, false, &m, e) : CACHE_FOUND;
        if (found == CACHE_FAILED) {
            return false;
        }
        if (found == CACHE_FOUND) {
            fits[kept++] = fits[i];
        }
    }
    if (kept == 0) {
        return cache_not_found(spec, e);
    }
    if (kept > 1) {
        *matches = (struct cache_matches){ fits, kept };
        return err_set(e, ERR_AMBIGUOUS, "Multiple models match '" STR_FMT "'", STR_ARG(spec));
    }
    return cache_model_of(a, c, fits[0], revision, false, out, e) == CACHE_FOUND ||
           cache_not_found(spec, e);
}

/* ---- (Public) ---- */

MLXK_FN bool cache_resolve(struct arena *a, const struct cache *c, struct str spec,
                           struct cache_model *out, struct cache_matches *matches, struct err *e) {
    struct cache_matches own;
    matches = matches ? matches : &own;
    *matches = (struct cache_matches){ 0 };
    char *spec_cstr = str_dup_cstr(a, spec);
    if (!spec_cstr || str_find_char(spec, '\0') >= 0 || spec.n >= LIMIT_PATH) {
        return err_set(e, ERR_INVALID, "a model name of %zu bytes or with NUL bytes is refused",
                       spec.n);
    }
    if (cache_is_path(spec) && cache_has_config(spec_cstr)) {
        return cache_model_at(a, spec_cstr, out, e);
    }
    if (c->workspace_cstr && spec.n) {
        int found = cache_resolve_workspace(a, c, spec, out, matches, e);
        if (found) {
            return found > 0;
        }
    }
    ptrdiff_t first = str_find_char(spec, '@'), last = str_find_last(spec, STR("@"));
    struct str name = first < 0 ? spec : str_sub(spec, 0, (size_t)first);
    struct str revision = first < 0 ? STR_EMPTY : str_sub(spec, (size_t)last + 1, spec.n);
    if (!name.n) {
        return cache_not_found(spec, e);
    }
    struct str exact = cache_exact(a, c, name);
    if (exact.n) {
        enum cache_found found = cache_model_of(a, c, exact, revision, false, out, e);
        if (found != CACHE_ABSENT) {
            return found == CACHE_FOUND;
        }
    }
    return cache_resolve_fragment(a, c, spec, name, revision, out, matches, e);
}
