/* cache_shared.c: the store of payloads that several repos share, made by newer hub clients.
 *
 *   <root>/blobs/.huggingface-shared-blobs     the marker: without it the folder is nobody's store
 *   <root>/blobs/<2>/<64 hex>                  a payload, named by a hash of its pieces
 *   <root>/blobs/<2>/<64 hex>.refs             its manifest: one models--x/blobs/<etag> a line
 *   <root>/blobs/<2>/<64 hex>.lock             flock of all who change one of the two
 *   models--x/blobs/<etag> -> ../../blobs/<2>/<64 hex>
 *
 * This program reads through the links and never makes one: its own downloads are files of the
 * repo. What it must do is to let go of a payload whose last link it has removed.
 *
 * 1. Nothing is touched without the marker, and nothing but a payload that the manifest names.
 * 2. A line is a hint: it counts while that link leads to the payload. What cannot be looked at
 *    counts too, so that doubt keeps the payload.
 * 3. A missing or unreadable manifest keeps the payload. Spec: hub facts 1.12.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

enum {
    CACHE_SHARED_HEX = 64,
    CACHE_SHARED_WAIT_MS = 10000,    /* for the lock of a payload: another client is at it */
};
#define CACHE_MAX_MANIFEST ((size_t)16 << 20)

MLXK_FN bool cache_shared_is_store(const struct cache *c) {
    char path[LIMIT_PATH], text[8];
    struct err none = { 0 };
    struct os_stat st;
    size_t n = 0;
    if (!CACHE_PATH(path, &none, str_cstr(c->root_cstr), STR("/blobs")) || !os_lstat(path, &st) ||
        st.kind != OS_DIR ||
        !CACHE_PATH(path, &none, str_cstr(c->root_cstr),
                    STR("/blobs/.huggingface-shared-blobs")) ||
        !os_lstat(path, &st) || st.kind != OS_FILE) {
        return false;
    }
    int fd = os_open(path, OS_READ, &none);
    bool ok = fd >= 0 && os_read(fd, text, sizeof text, &n, &none);
    os_close(fd);
    return ok && str_eq((struct str){ text, n }, STR("1\n"));
}

/* "<2 hex>/<64 hex>" with the same beginning. */
static bool cache_shared_is_name(struct str s) {
    struct str folder = str_sub(s, 0, 2), name = s.n > 3 ? str_sub(s, 3, s.n) : STR_EMPTY;
    return s.n == CACHE_SHARED_HEX + 3 && s.p[2] == '/' && str_is_hex(name, CACHE_SHARED_HEX) &&
           str_starts(name, folder);
}

MLXK_FN bool cache_shared_payload(const struct cache *c, struct str target, char out[LIMIT_PATH]) {
    struct err none = { 0 };
    struct str root = str_cstr(c->root_cstr), rest = STR_EMPTY;
    if (str_starts(target, STR("../../blobs/"))) {
        rest = str_sub(target, STR("../../blobs/").n, target.n);
    } else if (str_starts(target, root) &&
               str_starts(str_sub(target, root.n, target.n), STR("/blobs/"))) {
        rest = str_sub(target, root.n + STR("/blobs/").n, target.n);
    }
    return cache_shared_is_name(rest) && CACHE_PATH(out, &none, root, STR("/blobs/"), rest);
}

/* ---- the manifest (Private) ---- */

enum cache_line { CACHE_LINE_GONE, CACHE_LINE_HOLDS, CACHE_LINE_UNKNOWN };

/* "models--x/blobs/<etag>", and nothing that leads elsewhere. */
static bool cache_shared_is_line(struct str line) {
    struct str rest = line, repo = str_cut(&rest, '/'), blobs = str_cut(&rest, '/');
    bool known = cache_is_folder(repo) || str_starts(repo, STR("kernels--"));
    return known && str_eq(blobs, STR("blobs")) && rest.n && str_find(rest, STR("/")) < 0 &&
           !str_eq(rest, STR("..")) && !str_eq(rest, STR("."));
}

static enum cache_line cache_shared_look(struct arena *a, const struct cache *c, struct str line,
                                         const char *payload_cstr) {
    char path[LIMIT_PATH], leads_to[LIMIT_PATH];
    struct err why = { 0 };
    struct os_stat st;
    if (!cache_shared_is_line(line)) {
        return CACHE_LINE_GONE;
    }
    if (!CACHE_PATH(path, &why, str_cstr(c->root_cstr), STR("/"), line)) {
        return CACHE_LINE_UNKNOWN;
    }
    char *target = os_readlink(a, path, &why);
    if (!target) {
        bool gone = why.code == ERR_NOT_FOUND || (os_lstat(path, &st) && st.kind != OS_LINK);
        return gone ? CACHE_LINE_GONE : CACHE_LINE_UNKNOWN;
    }
    return cache_shared_payload(c, str_cstr(target), leads_to) && !strcmp(leads_to, payload_cstr)
               ? CACHE_LINE_HOLDS
               : CACHE_LINE_GONE;
}

/* Lines that hold, each with its newline, into `kept`. false: better touch nothing. */
static bool cache_shared_read(struct arena *a, const struct cache *c, const char *payload_cstr,
                              const char *manifest_cstr, struct buf *kept, bool *changed) {
    struct str text;
    struct err none = { 0 };
    struct os_stat st;
    *changed = false;
    if (!os_lstat(manifest_cstr, &st) || st.kind != OS_FILE ||
        !os_read_file(a, manifest_cstr, CACHE_MAX_MANIFEST, &text, &none) || !utf8_valid(text)) {
        return false;
    }
    while (text.n) {
        struct str line = str_cut(&text, '\n');
        enum cache_line state = cache_shared_look(a, c, line, payload_cstr);
        if (state == CACHE_LINE_UNKNOWN) {
            return false;
        }
        if (state == CACHE_LINE_HOLDS) {
            buf_add(kept, line);
            buf_add_char(kept, '\n');
        } else {
            *changed = true;
        }
    }
    return !kept->failed;
}

/* As the other clients do it, so that they find nothing unusual: <name>.refs.<8 hex>.tmp, open to
 * all. */
static bool cache_shared_write(const char *manifest_cstr, struct str text, struct err *e) {
    char temp[LIMIT_PATH], hex[9];
    uint8_t random[4];
    struct err ignored = { 0 };
    os_entropy(random, sizeof random);
    str_hex(hex, random, sizeof random);
    if (!CACHE_PATH(temp, e, str_cstr(manifest_cstr), STR("."), str_cstr(hex), STR(".tmp"))) {
        return false;
    }
    int fd = os_open(temp, OS_CREATE_NEW, e);
    if (fd < 0) {
        return false;
    }
    bool ok = os_write(fd, text.p, text.n, e) && os_chmod(temp, 0666, e) && os_sync(fd, e);
    os_close(fd);
    ok = ok && os_rename(temp, manifest_cstr, e);
    if (!ok) {
        os_unlink(temp, &ignored);
    }
    return ok;
}

/* The lock is held. */
static bool cache_shared_collect(struct arena *a, const struct cache *c, const char *payload_cstr,
                                 const char *manifest_cstr, uint64_t *freed_bytes,
                                 struct err *e) {
    struct buf kept;
    bool changed, ok = true;
    struct os_stat st;
    buf_init(&kept, CACHE_MAX_MANIFEST + 1);
    if (cache_shared_read(a, c, payload_cstr, manifest_cstr, &kept, &changed)) {
        bool there = os_lstat(payload_cstr, &st);
        if (kept.n && changed) {
            ok = cache_shared_write(manifest_cstr, buf_str(&kept), e);
        } else if (!kept.n && (!there || st.kind == OS_FILE)) {
            ok = os_unlink(payload_cstr, e) && os_unlink(manifest_cstr, e);
            *freed_bytes += ok && there ? st.size_bytes : 0;
        }
    }
    buf_release(&kept);
    return ok;
}

/* ---- (Public) ---- */

MLXK_FN bool cache_shared_sweep(const struct cache *c, const char *payload_cstr,
                                uint64_t *freed_bytes, struct err *e) {
    char lock_path[LIMIT_PATH], manifest[LIMIT_PATH];
    struct os_lock lock;
    struct arena a;
    struct os_stat st;
    struct err none = { 0 };
    if (!CACHE_PATH(lock_path, e, str_cstr(payload_cstr), STR(".lock")) ||
        !CACHE_PATH(manifest, e, str_cstr(payload_cstr), STR(".refs"))) {
        return false;
    }
    if (!cache_shared_is_store(c) || !os_lstat(manifest, &st)) {
        return true;
    }
    bool fresh = !os_lstat(lock_path, &st);
    if (!os_lock_acquire(&lock, lock_path, CACHE_SHARED_WAIT_MS, e)) {
        return false;
    }
    if (fresh) {
        os_chmod(lock_path, 0666, &none);    /* every user of the store takes the same lock */
    }
    arena_init(&a, 2 * CACHE_MAX_MANIFEST + ((size_t)1 << 20));
    bool ok = cache_shared_collect(&a, c, payload_cstr, manifest, freed_bytes, e);
    arena_release(&a);
    os_lock_release(&lock);
    return ok;
}

#undef CACHE_MAX_MANIFEST
