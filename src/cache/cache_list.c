/* cache_list.c: everything there is, for a pattern.
 *
 * A pattern is a fragment (cache and workspace home) or an explicit path: a workspace, a folder of
 * workspaces, or the beginning of their names (mlx-knife facts 3.3). Paths never fall through to
 * the cache.
 *
 * 1. Sorted by byte order of the names; explicit paths by the last component.
 * 2. One unreadable entry never hides the others.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

/* ---- order (Public) ---- */

static int cache_model_order(const void *x, const void *y) {
    return str_cmp(((const struct cache_model *)x)->name, ((const struct cache_model *)y)->name);
}

/* Order of the folders of two repos: of the names, with "--" for each '/'. */
static int cache_folder_cmp(struct str x, struct str y) {
    size_t i = 0, k = 0;
    bool half_x = false, half_y = false;     /* the first '-' of two has been compared */
    while (i < x.n && k < y.n) {
        int a = x.p[i] == '/' ? '-' : (unsigned char)x.p[i];
        int b = y.p[k] == '/' ? '-' : (unsigned char)y.p[k];
        if (a != b) {
            return a < b ? -1 : 1;
        }
        half_x = x.p[i] == '/' && !half_x;
        half_y = y.p[k] == '/' && !half_y;
        i += !half_x;
        k += !half_y;
    }
    return (i < x.n) - (k < y.n);
}

static int cache_folder_order(const void *x, const void *y) {
    const struct cache_model *a = x, *b = y;
    if (a->place != b->place) {
        return a->place == CACHE_WORKSPACE ? -1 : 1;
    }
    return a->place == CACHE_WORKSPACE ? strcmp(a->repo_dir_cstr, b->repo_dir_cstr)
                                       : cache_folder_cmp(a->name, b->name);
}

/* By the last component, where links lead. */
static int cache_base_order(const void *x, const void *y) {
    const struct cache_model *a = x, *b = y;
    return str_cmp(os_path_base(a->repo_dir_cstr), os_path_base(b->repo_dir_cstr));
}

static void cache_sort_models(struct cache_model *models, size_t n,
                              int (*cmp)(const void *, const void *)) {
    for (size_t i = 1; i < n; i++) {         /* nearly sorted: the disk was read in order */
        struct cache_model m = models[i];
        size_t at = i;
        for (; at > 0 && cmp(&models[at - 1], &m) > 0; at--) {
            models[at] = models[at - 1];
        }
        models[at] = m;
    }
}

MLXK_FN void cache_order_by_folder(struct cache_model *models, size_t n) {
    cache_sort_models(models, n, cache_folder_order);
}

/* ---- workspaces in a folder ---- */

struct cache_listing { struct cache_model *models; size_t n, cap; };

static bool cache_add(struct arena *a, struct cache_listing *l, const struct cache_model *m,
                      struct err *e) {
    struct cache_model *grown = ARENA_GROW(a, struct cache_model, l->models, l->n, &l->cap, 64);
    if (!grown) {
        return err_oom(e, (l->n + 1) * sizeof *grown, "the list of models");
    }
    l->models = grown;
    l->models[l->n++] = *m;
    return true;
}

/* Children of dir with a config.json whose name begins with `begin` and contains `part`. home: dir
 * is the workspace home, where a link keeps its own name. */
static bool cache_add_children(struct arena *a, struct cache_listing *l, const struct cache *home,
                               const char *dir_cstr, struct str begin, struct str part,
                               bool absolute, struct err *e) {
    struct os_entry *entries;
    size_t n = 0;
    struct err none = { 0 };
    if (!os_list_dir(a, dir_cstr, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        char path[LIMIT_PATH];
        struct cache_model m;
        if ((entries[i].kind != OS_DIR && entries[i].kind != OS_LINK) ||
            !str_starts(entries[i].name, begin) || !str_contains_icase(entries[i].name, part) ||
            !CACHE_PATH(path, &none, str_cstr(dir_cstr), STR("/"), entries[i].name) ||
            !cache_has_config(path) ||
            !(home ? cache_home_model(a, home, entries[i].name, &m, &none)
                   : cache_model_at(a, path, &m, &none))) {
            continue;
        }
        m.display_name = absolute ? m.name : os_path_base(m.repo_dir_cstr);
        if (!cache_add(a, l, &m, e)) {
            return false;
        }
    }
    return true;
}

/* The part of a path before its last component, and that component. */
static bool cache_list_path(struct arena *a, struct str pattern, struct cache_listing *l,
                            struct err *e) {
    struct err none = { 0 };
    struct os_stat st;
    struct cache_model m;
    char *path = str_dup_cstr(a, pattern);
    bool absolute = pattern.p[0] == '/';
    if (!path) {
        return err_oom(e, pattern.n, "a path");
    }
    if (os_stat(path, &st) && st.kind == OS_DIR) {
        if (!cache_has_config(path)) {
            return cache_add_children(a, l, NULL, path, STR_EMPTY, STR_EMPTY, absolute, e);
        }
        if (!cache_model_at(a, path, &m, &none)) {
            return true;
        }
        m.display_name = absolute ? m.name : os_path_base(m.repo_dir_cstr);
        return cache_add(a, l, &m, e);
    }
    char *parent = os_path_dir(a, path);
    return parent
               ? cache_add_children(a, l, NULL, parent, os_path_base(path), STR_EMPTY, absolute, e)
               : err_oom(e, pattern.n, "a path");
}

static bool cache_list_repos(struct arena *a, const struct cache *c, struct str pattern,
                             struct cache_listing *l, struct err *e) {
    struct str *names;
    size_t n;
    if (!cache_repos(a, c, pattern, &names, &n, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct cache_model m = { .place = CACHE_REPO, .name = names[i] };
        if (!cache_add(a, l, &m, e)) {
            return false;
        }
    }
    return true;
}

/* ---- (Public) ---- */

MLXK_FN bool cache_complete(struct arena *a, const struct cache *c, struct cache_model *m,
                            struct err *e) {
    return m->dir_cstr || cache_model_of(a, c, m->name, STR_EMPTY, true, m, e) == CACHE_FOUND;
}

MLXK_FN bool cache_list(struct arena *a, const struct cache *c, struct str pattern,
                        struct cache_model **out, size_t *n_out, struct err *e) {
    bool ok = cache_list_names(a, c, pattern, out, n_out, e);
    for (size_t i = 0; ok && i < *n_out; i++) {
        ok = cache_complete(a, c, &(*out)[i], e);
    }
    return ok;
}

MLXK_FN bool cache_list_names(struct arena *a, const struct cache *c, struct str pattern,
                              struct cache_model **out, size_t *n_out, struct err *e) {
    struct cache_listing l = { 0 };
    bool ok;
    if (str_find_char(pattern, '\0') >= 0 || pattern.n >= LIMIT_PATH) {
        return err_set(e, ERR_INVALID, "a pattern of %zu bytes or with NUL bytes is refused",
                       pattern.n);
    }
    if (cache_is_path(pattern)) {
        ok = cache_list_path(a, pattern, &l, e);
        cache_sort_models(l.models, l.n, cache_base_order);
    } else {
        struct str part = str_trim(pattern).n ? pattern : STR_EMPTY;
        ok = (!c->workspace_cstr ||
              cache_add_children(a, &l, c, c->workspace_cstr, STR_EMPTY, part, false, e)) &&
             cache_list_repos(a, c, part, &l, e);
        cache_sort_models(l.models, l.n, cache_model_order);
    }
    *out = l.models;
    *n_out = l.n;
    return ok;
}
