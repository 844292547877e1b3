/* cache_fence.c: where the links of a model's folder may lead.
 *
 * Who stores, pushes, clones or bundles a folder wants to hand out what is in it. A link may have
 * come with the folder from somebody else, and what it leads to may be a secret of this machine.
 *
 * 1. Judged is where a file lies in the end, behind all links on the way: a blob that is a link
 *    itself opens no door.
 * 2. The snapshots of a cache are made of links: their own blobs are part of them, and the payloads
 *    that several repos share.
 * It does not keep a folder from changing while it is read. Spec: hub facts 1.3, 1.12.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

enum { CACHE_FENCE_HEX = 32 };   /* digits at least, of a blob behind a folder that is a link */

static struct str cache_fence_folder(struct arena *a, const char *path_cstr) {
    struct err none = { 0 };
    char *real = os_path_real(a, path_cstr, &none);
    return real ? str_format(a, "%s/", real) : STR_EMPTY;
}

/* .../models--x/snapshots/COMMIT or below it: the length of .../models--x, else 0; so datasets. */
static size_t cache_fence_repo(struct str real) {
    ptrdiff_t at = str_find(real, STR("/snapshots/"));
    for (size_t from = 0; at >= 0;) {
        size_t n = from + (size_t)at;
        struct str name = str_sub(real, 0, n);
        name = str_sub(name, (size_t)(str_find_last(name, STR("/")) + 1), n);
        if (cache_is_folder(name)) return n;
        from = n + 1;
        at = str_find(str_sub(real, from, real.n), STR("/snapshots/"));
    }
    return 0;
}

MLXK_FN bool cache_fence_open(struct arena *a, const char *dir_cstr, struct cache_fence *out,
                              struct err *e) {
    struct os_stat st;
    char *real = os_path_real(a, dir_cstr, e);
    *out = (struct cache_fence){ 0 };
    if (!real) return false;
    out->root = str_format(a, "%s/", real);
    size_t n = cache_fence_repo(str_cstr(real));
    char *repo = n ? str_dup_cstr(a, str_sub(str_cstr(real), 0, n)) : NULL,
         *blobs = repo ? os_path_join(a, repo, "blobs") : NULL,
         *top = repo ? os_path_dir(a, repo) : NULL,
         *shared = top ? os_path_join(a, top, "blobs") : NULL;
    if (!out->root.p || (n && !shared)) return err_oom(e, LIMIT_PATH, "a path");
    if (!n) return true;
    out->by_name = os_lstat(blobs, &st) && st.kind == OS_LINK;
    out->blobs = cache_fence_folder(a, blobs);
    struct cache cache = { .root_cstr = top };
    if (cache_shared_is_store(&cache)) out->shared = cache_fence_folder(a, shared);
    return true;
}

static bool cache_fence_among(const struct cache_fence *f, struct str real) {
    struct str name = str_sub(real, f->blobs.n, real.n);
    if (f->shared.n && str_starts(real, f->shared)) return true;
    if (!f->blobs.n || !str_starts(real, f->blobs)) return false;
    return !f->by_name || (name.n >= CACHE_FENCE_HEX && str_is_hex(name, name.n));
}

MLXK_FN bool cache_fence_check(struct arena *a, const struct cache_fence *f, const char *link_cstr,
                               struct str *inside, struct err *e) {
    char *real_cstr = os_path_real(a, link_cstr, e);
    struct str real = str_cstr(real_cstr ? real_cstr : "");
    *inside = STR_EMPTY;
    if (!real_cstr) return false;
    if (str_starts(real, f->root)) {
        *inside = str_sub(real, f->root.n, real.n);
        return true;
    }
    if (cache_fence_among(f, real)) return true;
    err_set(e, ERR_INVALID, "%s leads out of the model's folder, to %s", link_cstr, real_cstr);
    return cache_fence_hint(e);
}

MLXK_FN bool cache_fence_hint(struct err *e) {
    return err_hint(e, "a link may lead to another file of the model only: put a copy of the file "
                       "in its place if it belongs to the model, else remove the link");
}
