/* hub_local.c: the files of a folder that is to be pushed: which belong, and their hashes.
 *
 * Invariants
 *  1. What describes this machine or person never leaves it: sentinels, caches, version control,
 *     and what lies behind a link that leads out of the folder.
 *  2. A file is sent as it was when it was listed, or not at all: size, time and inode are compared
 *     whenever it is opened.
 * ref: mlx-knife facts 7.4, hub facts 3.8.
 */
#include "hub/hub_int.h"

enum { HUB_LOCAL_MAX = 100000, HUB_LOCAL_DEPTH = 32, HUB_LOCAL_CHUNK = 1 << 18 };
#define HUB_LOCAL_MAX_IGNORE ((size_t)1 << 20)

/* ---- what is left out (Public to the room) --------------------------------------------------- */

/* Whole names of a file or of a folder above it. */
static bool hub_local_is_private(struct str name) {
    static const char *const patterns[] = {
        ".git", ".DS_Store", ".hfignore", ".gitignore", "__pycache__", ".venv", "venv", "*.pyc",
        ".mlxk_workspace.json*", ".mlxk2_temp_*", ".hf_cache", ".cache",
    };
    for (size_t i = 0; i < MLXK_COUNT(patterns); i++)
        if (str_glob(str_cstr(patterns[i]), name)) return true;
    return false;
}

/* One line of .hfignore: "*.log" any file of that name, "sub/" that folder anywhere, "/x" and "a/b"
 * from the top, "**" as people write it. */
static bool hub_local_fits(struct str pattern, struct str path) {
    bool folder = str_ends(pattern, STR("/")), anchored = str_starts(pattern, STR("/"));
    struct str p = str_sub(pattern, anchored, pattern.n - folder);
    if (p.n == 0) return false;
    if (!folder && str_glob(p, path)) return true;
    if (str_starts(p, STR("**/"))
        && hub_local_fits(str_sub(pattern, 3 + (size_t)anchored, pattern.n), path))
        return true;
    bool any_level = !anchored && str_find_char(p, '/') < 0;
    for (size_t start = 0, i = 0; i <= path.n; i++) {
        bool end = i == path.n;
        if (!end && path.p[i] != '/') continue;
        struct str whole = str_sub(path, 0, i), part = str_sub(path, start, i);
        if ((!end || !folder) && (str_glob(p, whole) || (any_level && str_glob(p, part))))
            return true;
        start = i + 1;
    }
    return false;
}

MLXK_FN bool hub_ignores(struct str path, const struct str *patterns, size_t n) {
    for (struct str rest = path; rest.p;)
        if (hub_local_is_private(str_cut(&rest, '/'))) return true;
    for (size_t i = 0; i < n; i++)
        if (hub_local_fits(patterns[i], path)) return true;
    return false;
}

static bool hub_local_patterns(struct arena *a, const char *dir_cstr, struct str **out, size_t *n,
                               struct err *e) {
    struct err none = { 0 };
    struct str text;
    char *path = os_path_join(a, dir_cstr, ".hfignore");
    *n = 0;
    *out = NULL;
    if (!path) return err_oom(e, LIMIT_PATH, "a path");
    if (!os_read_file(a, path, HUB_LOCAL_MAX_IGNORE, &text, &none)) {
        if (none.code == ERR_NOT_FOUND) return true;
        *e = none;                       /* what it wants to keep back must not be guessed */
        return false;
    }
    size_t n_lines = 1;
    for (size_t i = 0; i < text.n; i++) n_lines += text.p[i] == '\n';
    *out = ARENA_ARRAY(a, struct str, n_lines);
    while (*out && text.p) {
        struct str line = str_trim(str_cut(&text, '\n'));
        if (line.n && line.p[0] != '#') (*out)[(*n)++] = line;
    }
    return *out || err_oom(e, n_lines * sizeof **out, "the lines of .hfignore");
}

/* ---- the walk (Public to the room) ----------------------------------------------------------- */

struct hub_walk {
    struct arena *arena;
    const char *root_cstr;
    struct str *patterns; size_t n_patterns;
    struct buf list;
    size_t n_all;
    struct cache_fence fence;
};

/* What stays here does not leave by a link either. */
static bool hub_local_link(struct hub_walk *w, struct str relative, const char *path_cstr,
                           struct err *e) {
    struct str inside;
    if (!cache_fence_check(w->arena, &w->fence, path_cstr, &inside, e)) return false;
    if (!inside.n || !hub_ignores(inside, w->patterns, w->n_patterns)) return true;
    err_set(e, ERR_INVALID, STR_FMT " in %s leads to " STR_FMT ", which is not pushed",
            STR_ARG(relative), w->root_cstr, STR_ARG(inside));
    return cache_fence_hint(e);
}

static bool hub_local_file(struct hub_walk *w, struct str relative, const char *path_cstr,
                           bool is_link, struct err *e) {
    struct os_stat st;
    w->n_all++;
    if (hub_ignores(relative, w->patterns, w->n_patterns)) return true;
    if (!cache_path_ok(relative, e)) return err_context(e, "a file to be pushed: ");
    if (is_link && !hub_local_link(w, relative, path_cstr, e)) return false;
    if (!os_stat(path_cstr, &st) || st.kind != OS_FILE)
        return err_set(e, ERR_IO, "%s is gone", path_cstr);
    struct hub_local f = { .path = str_dup(w->arena, relative), .size_bytes = st.size_bytes,
                           .inode = st.inode, .mtime_ns = st.mtime_ns,
                           .disk_cstr = str_dup_cstr(w->arena, str_cstr(path_cstr)) };
    buf_add_bytes(&w->list, &f, sizeof f);
    return (f.disk_cstr && f.path.p && !w->list.failed) || err_oom(e, sizeof f, "a list of files");
}

static bool hub_local_folder(struct hub_walk *w, struct str below, int depth, struct err *e) {
    struct os_entry *entries;
    size_t n;
    char *below_cstr = str_dup_cstr(w->arena, below);
    char *dir = below_cstr ? os_path_join(w->arena, w->root_cstr, below_cstr) : NULL;
    if (!dir) return err_oom(e, LIMIT_PATH, "a path");
    if (depth > HUB_LOCAL_DEPTH || w->n_all > HUB_LOCAL_MAX)
        return err_set(e, ERR_LIMIT, "%s has more than %d files or %d levels", w->root_cstr,
                       HUB_LOCAL_MAX, HUB_LOCAL_DEPTH);
    if (!os_list_targets(w->arena, below.n ? dir : w->root_cstr, HUB_LOCAL_MAX, NULL, NULL,
                         &entries, &n, e))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct str relative = str_format(w->arena, STR_FMT "%s" STR_FMT, STR_ARG(below),
                                         below.n ? "/" : "", STR_ARG(entries[i].name));
        char *name = str_dup_cstr(w->arena, relative);
        char *path = name ? os_path_join(w->arena, w->root_cstr, name) : NULL;
        if (!path) return err_oom(e, LIMIT_PATH, "a path");
        bool ok = entries[i].kind == OS_DIR   ? hub_local_folder(w, relative, depth + 1, e)
                  : entries[i].target == OS_FILE
                      ? hub_local_file(w, relative, path, entries[i].kind == OS_LINK, e)
                      : true;
        if (!ok) return false;
    }
    return true;
}

MLXK_FN bool hub_local_list(struct arena *a, const char *dir_cstr, struct hub_locals *out,
                            struct err *e) {
    struct hub_walk w = { .arena = a, .root_cstr = dir_cstr };
    *out = (struct hub_locals){ 0 };
    if (!hub_local_patterns(a, dir_cstr, &w.patterns, &w.n_patterns, e)
        || !cache_fence_open(a, dir_cstr, &w.fence, e))
        return false;
    buf_init(&w.list, SIZE_MAX);
    bool ok = hub_local_folder(&w, STR_EMPTY, 0, e);
    out->n_all = w.n_all;
    out->n = w.list.n / sizeof *out->p;
    out->p = ARENA_ARRAY(a, struct hub_local, out->n);
    if (ok && !out->p) ok = err_oom(e, w.list.n, "a list of files");
    if (ok && out->n) memcpy(out->p, w.list.p, w.list.n);
    buf_release(&w.list);
    return ok;
}

/* ---- content (Public to the room) ------------------------------------------------------------ */

MLXK_FN int hub_local_open(const struct hub_local *f, struct err *e) {
    struct os_stat st;
    int fd = os_open(f->disk_cstr, OS_READ, e);
    if (fd < 0) return -1;
    if (os_fstat(fd, &st) && st.size_bytes == f->size_bytes && st.mtime_ns == f->mtime_ns
        && st.inode == f->inode)
        return fd;
    os_close(fd);
    err_set(e, ERR_IO, "%s has changed since the push began", f->disk_cstr);
    err_hint(e, "wait until nothing writes there, then run the command again");
    return -1;
}

static bool hub_local_sum(struct hub *h, int fd, struct hub_local *f, struct cache_digest *d,
                          struct hub_event *ev, struct err *e) {
    uint8_t *chunk = mem_alloc(HUB_LOCAL_CHUNK);
    bool ok = chunk || err_oom(e, HUB_LOCAL_CHUNK, "hashing");
    size_t got = 1;
    for (uint64_t at = 0; ok && got; at += got) {
        ok = os_pread(fd, chunk, HUB_LOCAL_CHUNK, at, &got, e);
        if (!ok) break;
        cache_digest_add(d, chunk, got);
        if (at + got > f->size_bytes || (got == 0 && at != f->size_bytes))
            ok = err_set(e, ERR_IO, "%s changes while it is read", f->disk_cstr);
        ev->done_bytes += got;
        ev->kind = HUB_BYTES;
        ok = ok && hub_tell(h, ev, e);
    }
    mem_free(chunk);
    return ok;
}

MLXK_FN bool hub_local_hash(struct hub *h, struct hub_local *f, bool lfs, struct hub_event *ev,
                            struct err *e) {
    struct cache_digest d;
    char *hex = lfs ? f->sha256 : f->git, name[65];
    if (hex[0]) return true;
    int fd = hub_local_open(f, e);
    if (fd < 0) return false;
    cache_digest_begin(&d, lfs ? CACHE_SHA256 : CACHE_GIT_SHA1, f->size_bytes);
    bool ok = hub_local_sum(h, fd, f, &d, ev, e);
    os_close(fd);
    if (!ok) return false;
    cache_digest_end(&d, name);
    memcpy(hex, name, strlen(name) + 1);
    return true;
}

#undef HUB_LOCAL_MAX_IGNORE
