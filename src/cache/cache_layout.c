/* cache_layout.c: where the cache lies, its folders, and the little that all files here need.
 *
 * Spec: hub facts 1.1 and 2 (variables). CACHEDIR.TAG, which newer clients put into the root, is
 * not
 * written: to older ones it is a damaged repository.
 *
 * 1. The root is absolute, never required to exist, and chosen by the first variable that is set
 *    and not empty; the name of that variable is kept for messages.
 * 2. Folders get 0777 & ~umask and inherit setgid: caches are shared between people.
 * 3. A repo's folder appears with "snapshots" inside, never without.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

enum { CACHE_SETGID = 02000 };

/* ---- place (Public) ---- */

struct cache_source { const char *variable_cstr, *below_cstr; };

static bool cache_pick_root(struct arena *a, struct cache *out, struct err *e) {
    static const struct cache_source sources[] = {
        { "HF_HUB_CACHE", "" }, { "HUGGINGFACE_HUB_CACHE", "" }, { "HF_HOME", "hub" },
        { "XDG_CACHE_HOME", "huggingface/hub" }, { NULL, ".cache/huggingface/hub" },
    };
    const struct cache_source *s = sources;
    const char *base = NULL;
    while (s->variable_cstr && (!(base = os_env(s->variable_cstr)) || !*base)) {
        s++;
    }
    out->root_from_cstr = s->variable_cstr ? s->variable_cstr : "default";
    char *expanded = os_path_expand(a, s->variable_cstr ? base : "~");
    if (expanded && *expanded == '~') {
        err_set(e, ERR_INVALID, "no home folder is known: HOME is not set");
        return err_hint(e, "set HF_HOME to the folder that holds the cache");
    }
    char *joined =
        !expanded || !*s->below_cstr ? expanded : os_path_join(a, expanded, s->below_cstr);
    if (!joined) {
        return err_oom(e, LIMIT_PATH, "the cache path");
    }
    out->root_cstr = os_path_absolute(a, joined, e);
    return out->root_cstr != NULL;
}

MLXK_FN bool cache_open(struct arena *a, struct cache *out, struct err *e) {
    *out = (struct cache){ 0 };
    if (!cache_pick_root(a, out, e)) {
        return false;
    }
    const char *home = os_env("MLXK_WORKSPACE_HOME");
    if (home && *home) {
        char *expanded = os_path_expand(a, home);
        char *absolute = expanded ? os_path_absolute(a, expanded, e) : NULL;
        if (!absolute) {
            return expanded ? false : err_oom(e, LIMIT_PATH, "the workspace path");
        }
        struct os_stat st;
        out->workspace_cstr = os_stat(absolute, &st) && st.kind == OS_DIR ? absolute : NULL;
    }
    return true;
}

MLXK_FN char *cache_repo_dir(struct arena *a, const struct cache *c, struct str repo) {
    char *folder = cache_folder_name(a, repo);
    return folder ? os_path_join(a, c->root_cstr, folder) : NULL;
}

/* ---- paths, folders, order (Private to the room) ---- */

MLXK_FN bool cache_concat(char out[LIMIT_PATH], const struct str *parts, size_t n_parts,
                          struct err *e) {
    size_t used = 0;
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].n >= LIMIT_PATH - used) {
            out[0] = '\0';
            return err_set(e, ERR_INVALID, "a path below " STR_FMT " is longer than %d bytes",
                           STR_ARG(str_sub(parts[0], 0, 200)), LIMIT_PATH - 1);
        }
        if (parts[i].n) {
            memcpy(out + used, parts[i].p, parts[i].n);
        }
        used += parts[i].n;
    }
    out[used] = '\0';
    return true;
}

/* A repo without "snapshots" is damage for other tools, so the first folders appear together: made
 * where nobody looks and renamed. Best effort: what it leaves undone is made one by one. */
static void cache_first_folders(const struct cache *c, struct str folder, const char *locks_cstr) {
    char repo[LIMIT_PATH], made[LIMIT_PATH], inner[LIMIT_PATH], hex[9];
    uint8_t random[4];
    struct err none = { 0 };
    struct os_stat root, st;
    os_entropy(random, sizeof random);
    str_hex(hex, random, sizeof random);
    if (!CACHE_PATH(repo, &none, str_cstr(c->root_cstr), STR("/"), folder) || os_lstat(repo, &st) ||
        !CACHE_PATH(made, &none, str_cstr(locks_cstr), STR("/"), str_cstr(hex), STR(".removed")) ||
        !CACHE_PATH(inner, &none, str_cstr(made), STR("/snapshots"))) {
        return;
    }
    /* a group that the root hands down must come down by another way, too */
    bool fits = os_mkdirs(inner, &none) && os_stat(c->root_cstr, &root) && os_stat(made, &st) &&
                (!(root.mode & CACHE_SETGID) || (st.gid == root.gid && (st.mode & CACHE_SETGID)));
    if (!fits || !os_rename(made, repo, &none)) {
        os_remove_tree(made, &none);
    }
}

MLXK_FN bool cache_make_repo(const struct cache *c, struct str folder, struct err *e) {
    char snapshots[LIMIT_PATH], blobs[LIMIT_PATH], locks[LIMIT_PATH];
    struct str root = str_cstr(c->root_cstr);
    struct os_stat st;
    struct cache_guard g;
    if (!CACHE_PATH(snapshots, e, root, STR("/"), folder, STR("/snapshots")) ||
        !CACHE_PATH(blobs, e, root, STR("/"), folder, STR("/blobs")) ||
        !CACHE_PATH(locks, e, root, STR("/.locks/"), folder)) {
        return false;
    }
    if (os_stat(snapshots, &st) && os_stat(blobs, &st) && os_stat(locks, &st)) {
        return true;
    }
    if (!cache_guard_begin(c, &g, e)) {
        return false;
    }
    bool ok = os_mkdirs(locks, e);
    if (ok) {
        cache_first_folders(c, folder, locks);
        ok = os_mkdirs(snapshots, e) && os_mkdirs(blobs, e);
        if (!ok) { /* half a repo would be damage: folders with something in them stay */
            struct err none = { 0 };
            bool empty = os_rmdir(blobs, &none) && os_rmdir(snapshots, &none);
            snapshots[strlen(snapshots) - strlen("/snapshots")] = '\0';
            (void)(empty && os_rmdir(snapshots, &none));
        }
    }
    cache_guard_end(&g);
    return ok;
}

MLXK_FN bool cache_repo_begin(const struct cache *c, struct str repo, struct err *e) {
    char folder[CACHE_FOLDER_MAX];
    return cache_name_ok(repo, e) && cache_folder_into(folder, repo, e) &&
           cache_make_repo(c, str_cstr(folder), e);
}

static void cache_sift(const void **items, size_t from, size_t n,
                       int (*cmp)(const void *, const void *)) {
    for (size_t child; (child = 2 * from + 1) < n; from = child) {
        child += child + 1 < n && cmp(items[child], items[child + 1]) < 0;
        if (cmp(items[from], items[child]) >= 0) {
            return;
        }
        const void *swap = items[from];
        items[from] = items[child];
        items[child] = swap;
    }
}

MLXK_FN void cache_sort(const void **items, size_t n, int (*cmp)(const void *x, const void *y)) {
    for (size_t i = n / 2; i-- > 0;) {
        cache_sift(items, i, n, cmp);
    }
    for (size_t left = n; left > 1; left--) {
        const void *last = items[left - 1];
        items[left - 1] = items[0];
        items[0] = last;
        cache_sift(items, 0, left - 1, cmp);
    }
}
