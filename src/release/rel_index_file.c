/* rel_index_file.c: the index on disk: where it lies, read, and changed under a lock.
 *
 * In $XDG_STATE_HOME/mlxk/index: index.json.z (the document, zlib), search (rel_index_table.c),
 * lock.
 *
 * 1. index.json.z appears whole (os_write_file). An identical index is not written again.
 * 2. A damaged index is never overwritten before it was set aside.
 */
#include "release/rel_index_int.h"

enum { REL_INDEX_WAIT_MS = 60 * 1000 };

MLXK_FN char *rel_index_dir(struct arena *a) {
    char *own = os_own_dir(a, "XDG_STATE_HOME", ".local/state");
    return own ? os_path_join(a, own, "index") : NULL;
}

/* ---- reading (Public) ---- */

MLXK_FN bool rel_index_unpack(struct rel_index *x, struct str packed, struct err *e) {
    struct buf text;
    buf_init(&text, REL_INDEX_MAX_BYTES);
    bool ok = gzip_unpack(&text, packed, e) && rel_index_parse(x, buf_str(&text), e);
    buf_release(&text);
    return ok;
}

MLXK_FN bool rel_index_load(struct rel_index *x, const char *dir_cstr, struct err *e) {
    struct arena a;
    struct str packed = STR_EMPTY;
    struct err why = { 0 };
    arena_init(&a, REL_INDEX_MAX_BYTES);
    char *path = os_path_join(&a, dir_cstr, REL_INDEX_FILE);
    bool ok = path ? os_read_file(&a, path, REL_INDEX_MAX_BYTES / 2, &packed, &why)
                   : err_oom(&why, LIMIT_PATH, "a path");
    if (ok && !rel_index_unpack(x, packed, &why)) {
        ok = false;
        err_context(&why, "%s is no index any more: ", path);
        err_hint(&why, "`mlxk index update REGISTRY...` builds it anew and keeps the old file");
    }
    bool absent = !ok && why.code == ERR_NOT_FOUND;
    if (!ok && !absent) *e = why;
    arena_release(&a);
    return ok || absent;
}

/* ---- changing (Private) ---- */

static bool rel_index_save(const struct rel_index *x, const char *path_cstr, struct err *e) {
    struct buf text, packed;
    buf_init(&text, REL_INDEX_MAX_BYTES);
    buf_init(&packed, REL_INDEX_MAX_BYTES / 2);
    bool ok = rel_index_write(&text, x, true, e) && gzip_pack(&packed, buf_str(&text), e)
              && os_write_file(path_cstr, buf_str(&packed), e);
    buf_release(&packed);
    buf_release(&text);
    return ok;
}

static bool rel_index_set_aside(struct arena *a, const char *path_cstr, struct err *e) {
    struct str aside = str_format(a, "%s.damaged", path_cstr);
    return aside.p ? os_rename(path_cstr, aside.p, e) : err_oom(e, LIMIT_PATH, "a path");
}

static bool rel_index_change_locked(struct arena *a, const char *dir_cstr, rel_index_work change,
                                    void *ctx, bool *rebuilt, struct err *e) {
    struct rel_index x;
    struct err why = { 0 }, none = { 0 };
    bool changed = false;
    char *path = os_path_join(a, dir_cstr, REL_INDEX_FILE);
    if (!path) return err_oom(e, LIMIT_PATH, "a path");
    rel_index_init(&x);
    bool ok = rel_index_load(&x, dir_cstr, &why);
    if (!ok && rebuilt && (why.code == ERR_FORMAT || why.code == ERR_LIMIT)) {
        rel_index_release(&x);
        rel_index_init(&x);
        ok = *rebuilt = rel_index_set_aside(a, path, e);
    } else if (!ok) *e = why;
    ok = ok && change(ctx, &x, &changed, e) && (!changed || rel_index_save(&x, path, e));
    if (ok && changed) (void)rel_index_table_write(&x, dir_cstr, &none);   /* a search can do it */
    rel_index_release(&x);
    return ok;
}

MLXK_FN bool rel_index_change(const char *dir_cstr, rel_index_work change, void *ctx, bool *rebuilt,
                              struct err *e) {
    struct arena a;
    struct os_lock lock;
    arena_init(&a, (size_t)1 << 20);
    char *path = os_path_join(&a, dir_cstr, "lock");
    bool ok = path ? os_mkdirs(dir_cstr, e) : err_oom(e, LIMIT_PATH, "a path");
    if (ok && os_lock_acquire(&lock, path, REL_INDEX_WAIT_MS, e)) {
        ok = rel_index_change_locked(&a, dir_cstr, change, ctx, rebuilt, e);
        os_lock_release(&lock);
    } else ok = false;
    arena_release(&a);
    return ok;
}
