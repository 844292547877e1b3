/* cache_remove.c: taking a repo, or one snapshot of it, out of the cache.
 *
 * 1. Only names below <root>/models--x and <root>/.locks/models--x are removed, links as links:
 *    a payload that several repos share (hub facts 1.12) loses its name here and nothing else.
 * 2. Order: refs, snapshots, trees and .no_exist, then blobs. A kill in between leaves a repo whose
 *    refs name existing snapshots and whose links lead to blobs; unneeded bytes may stay, and the
 *    same command finishes the work.
 * 3. A blob goes with a snapshot only when no link of any other snapshot names it.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

struct cache_removing {
    struct arena *arena;
    const struct cache *cache;
    const char *repo_dir_cstr, *folder_cstr;
    struct map wanted;           /* blob names that other snapshots link to */
    struct map dropped;          /* blob names that the snapshot links to */
    struct cache_removal *out;
};

static char *cache_below(struct cache_removing *r, const char *name_cstr) {
    return os_path_join(r->arena, r->repo_dir_cstr, name_cstr);
}

/* ---- bytes that go ---- */

/* What a tree takes on the disk: regular files only, each counted where it lies. */
static uint64_t cache_tree_bytes(struct arena *a, const char *dir_cstr, int depth) {
    struct os_entry *entries;
    size_t n;
    struct err none = { 0 };
    uint64_t sum = 0;
    if (depth > CACHE_MAX_DEPTH ||
        !os_list_dir(a, dir_cstr, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        char path[LIMIT_PATH];
        struct os_stat st;
        if (!CACHE_PATH(path, &none, str_cstr(dir_cstr), STR("/"), entries[i].name)) {
            continue;
        }
        if (entries[i].kind == OS_DIR) {
            sum += cache_tree_bytes(a, path, depth + 1);
        } else if (entries[i].kind == OS_FILE && os_lstat(path, &st)) {
            sum += st.n_links > 1 ? st.size_bytes / st.n_links : st.size_bytes;
        }
    }
    return sum;
}

/* ---- parts ---- */

/* Blob names that links below a folder speak of. */
static bool cache_linked_blobs(struct cache_removing *r, const char *dir_cstr, struct map *names,
                               int depth, struct err *e) {
    struct os_entry *entries;
    size_t n;
    struct err none = { 0 };
    if (!os_list_dir(r->arena, dir_cstr, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        return none.code == ERR_NOT_FOUND ||
               (*e = none, false); /* unreadable: nothing is certain, nothing goes */
    }
    for (size_t i = 0; i < n; i++) {
        char path[LIMIT_PATH];
        if (!CACHE_PATH(path, e, str_cstr(dir_cstr), STR("/"), entries[i].name)) {
            return false;
        }
        if (entries[i].kind == OS_DIR) {
            if (depth > CACHE_MAX_DEPTH) {
                return err_set(e, ERR_LIMIT, "%s is nested deeper than %d folders", dir_cstr,
                               CACHE_MAX_DEPTH);
            }
            if (!cache_linked_blobs(r, path, names, depth + 1, e)) {
                return false;
            }
        } else if (entries[i].kind == OS_LINK) {
            char *target = os_readlink(r->arena, path, e);
            if (!target || !map_put(names, os_path_base(target), NULL)) {
                return target ? err_oom(e, n, "the blobs of a snapshot") : false;
            }
        }
    }
    return true;
}

static bool cache_linked_by_others(struct cache_removing *r, struct str commit, size_t *n_others,
                                   struct err *e) {
    struct os_entry *entries;
    size_t n;
    char *dir = cache_below(r, "snapshots");
    if (!dir || !os_list_dir(r->arena, dir, CACHE_MAX_ENTRIES, &entries, &n, e)) {
        return dir ? false : err_oom(e, LIMIT_PATH, "a path");
    }
    for (size_t i = 0; i < n; i++) {
        char path[LIMIT_PATH];
        bool own = str_eq(entries[i].name, commit);
        *n_others += !own;
        if (!CACHE_PATH(path, e, str_cstr(dir), STR("/"), entries[i].name) ||
            !cache_linked_blobs(r, path, own ? &r->dropped : &r->wanted, 0, e)) {
            return false;
        }
    }
    return true;
}

/* Removes the refs (nested ones too) that name the commit. */
static bool cache_drop_refs(struct cache_removing *r, const char *dir_cstr, struct str commit,
                            int depth, struct err *e) {
    struct os_entry *entries;
    size_t n;
    struct err none = { 0 };
    if (depth > CACHE_MAX_DEPTH ||
        !os_list_dir(r->arena, dir_cstr, CACHE_MAX_ENTRIES, &entries, &n, &none)) {
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        char path[LIMIT_PATH];
        struct str text;
        if (!CACHE_PATH(path, e, str_cstr(dir_cstr), STR("/"), entries[i].name)) {
            return false;
        }
        if (entries[i].kind == OS_DIR) {
            if (!cache_drop_refs(r, path, commit, depth + 1, e)) {
                return false;
            }
        } else if (os_read_file(r->arena, path, LIMIT_PATH, &text, &none) &&
                   str_eq(str_trim(text), commit) && !os_unlink(path, e)) {
            return false;
        }
    }
    return true;
}

static bool cache_drop_tree(struct cache_removing *r, const char *below_cstr, struct str name,
                            struct str ending, struct err *e) {
    char path[LIMIT_PATH];
    if (!CACHE_PATH(path, e, str_cstr(r->repo_dir_cstr), STR("/"), str_cstr(below_cstr), STR("/"),
                    name, ending)) {
        return false;
    }
    r->out->freed_bytes += cache_tree_bytes(r->arena, path, 0);
    return os_remove_tree(path, e);
}

static bool cache_drop_blobs(struct cache_removing *r, struct err *e) {
    for (size_t i = 0; i < r->dropped.n; i++) {
        char path[LIMIT_PATH];
        struct str name = r->dropped.entries[i].key;
        struct os_stat st;
        if (map_get(&r->wanted, name) || !cache_etag_ok(name, &(struct err){ 0 })) {
            continue;
        }
        if (!CACHE_PATH(path, e, str_cstr(r->repo_dir_cstr), STR("/blobs/"), name)) {
            return false;
        }
        uint64_t size = os_lstat(path, &st) && st.kind == OS_FILE ? st.size_bytes : 0;
        if (!os_unlink(path, e)) {
            return false;
        }
        r->out->freed_bytes += size;
    }
    return true;
}

static bool cache_drop_snapshot(struct cache_removing *r, struct str commit, struct err *e) {
    char *refs = cache_below(r, "refs");
    return refs && cache_drop_refs(r, refs, commit, 0, e) &&
           cache_drop_tree(r, "snapshots", commit, STR_EMPTY, e) &&
           cache_drop_tree(r, "trees", commit, STR(".json"), e) &&
           cache_drop_tree(r, ".no_exist", commit, STR_EMPTY, e) && cache_drop_blobs(r, e);
}

static bool cache_drop_repo(struct cache_removing *r, struct err *e) {
    static const char *const order[] = { "refs", "snapshots", "trees", ".no_exist", "" };
    struct os_stat st;
    if (!os_lstat(r->repo_dir_cstr, &st)) {
        return true;
    }
    if (st.kind != OS_DIR) {
        return os_unlink(r->repo_dir_cstr, e); /* a link to a folder elsewhere: that one stays */
    }
    r->out->freed_bytes += cache_tree_bytes(r->arena, r->repo_dir_cstr, 0);
    for (size_t i = 0; i < MLXK_COUNT(order); i++) {
        char *path = *order[i] ? cache_below(r, order[i])
                               : str_dup_cstr(r->arena, str_cstr(r->repo_dir_cstr));
        if (!path || !os_remove_tree(path, e)) {
            return path ? false : err_oom(e, LIMIT_PATH, "a path");
        }
    }
    return true;
}

/* Lock files mean nothing once the repo is gone; their folder goes with it. */
static bool cache_drop_locks(struct cache_removing *r, struct str repo, struct err *e) {
    char path[LIMIT_PATH];
    struct cache_locks locks;
    if (!cache_locks_read(r->arena, r->cache, repo, &locks, e) ||
        !CACHE_PATH(path, e, str_cstr(r->cache->root_cstr), STR("/.locks/"),
                    str_cstr(r->folder_cstr))) {
        return false;
    }
    r->out->n_lock_files = locks.n;
    return os_remove_tree(path, e);
}

/* ---- (Public) ---- */

MLXK_FN bool cache_remove(struct arena *a, const struct cache *c, struct str repo,
                          struct str commit, struct cache_removal *out, struct err *e) {
    char folder[CACHE_FOLDER_MAX];
    struct cache_removing r = { .arena = a, .cache = c, .folder_cstr = folder, .out = out };
    size_t n_others = 0;
    *out = (struct cache_removal){ 0 };
    if (!cache_folder_into(folder, repo, e) ||
        (commit.n && !cache_component_ok(commit, "the commit", e))) {
        return false;
    }
    if (!(r.repo_dir_cstr = cache_repo_dir(a, c, repo))) {
        return err_oom(e, LIMIT_PATH, "a path");
    }
    map_init(&r.wanted, SIZE_MAX / 64);
    map_init(&r.dropped, SIZE_MAX / 64);
    bool ok = !commit.n || cache_linked_by_others(&r, commit, &n_others, e);
    if (ok && n_others > 0) {
        ok = cache_drop_snapshot(&r, commit, e);
    } else if (ok) {
        ok = cache_drop_repo(&r, e) && cache_drop_locks(&r, repo, e);
    }
    map_release(&r.wanted);
    map_release(&r.dropped);
    return ok;
}
