/* cache_fingerprint.c: a workspace's files and their hashes, content hash v2 (mlx-knife facts 6.4).
 *
 * The hash names what a workspace is, cheaply: of safetensors files the header, of very large files
 * name and size, of links where they lead, of everything else the content. Names count in Unicode
 * normal form C, so that one workspace has one hash on every file system.
 *
 * 1. Links are never followed; one that leads out of the workspace makes the hash impossible.
 * 2. The exclude patterns decide what belongs: "x/" prunes folders, others match a file's last
 *    component. Links are not subject to them.
 * 3. Entries are in byte order of their normalised paths.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

#define CACHE_PRINT_WHOLE ((uint64_t)1 << 30)       /* larger files count by name and size */
#define CACHE_PRINT_HEADER ((uint64_t)100 << 20)    /* of a safetensors file */
enum { CACHE_PRINT_MAX = 200000, CACHE_PRINT_LINKS = 40, CACHE_PRINT_CHUNK = 1 << 16 };

struct cache_printer {
    struct arena *arena;
    const char *root_cstr;       /* links resolved */
    struct cache_patterns patterns;
    cache_normalize normalize;
    struct buf list;             /* struct cache_print after struct cache_print */
};

/* ---- what belongs ---- */

MLXK_FN struct cache_patterns cache_default_patterns(void) {
#define CACHE_TEXT(literal) { literal, sizeof(literal) - 1 }
    static const struct str defaults[] = {
        CACHE_TEXT(".hf_cache/"),
        CACHE_TEXT(".mlxk_workspace.json"),
        CACHE_TEXT(".git/"),
        CACHE_TEXT(".github/"),
        CACHE_TEXT("__pycache__/"),
        CACHE_TEXT(".vscode/"),
        CACHE_TEXT(".idea/"),
        CACHE_TEXT(".ipynb_checkpoints/"),
        CACHE_TEXT(".mypy_cache/"),
        CACHE_TEXT(".pytest_cache/"),
        CACHE_TEXT(".ruff_cache/"),
        CACHE_TEXT(".tox/"),
        CACHE_TEXT("node_modules/"),
        CACHE_TEXT(".venv/"),
        CACHE_TEXT("venv/"),
        CACHE_TEXT("*.lock"),
        CACHE_TEXT("*.tmp"),
        CACHE_TEXT("*.log"),
        CACHE_TEXT("*.bak"),
        CACHE_TEXT(".DS_Store"),
        CACHE_TEXT("._*"),
        CACHE_TEXT(".Spotlight-V100/"),
        CACHE_TEXT(".Trashes/"),
        CACHE_TEXT(".fseventsd/"),
        CACHE_TEXT(".TemporaryItems/"),
        CACHE_TEXT(".apdisk"),
        CACHE_TEXT("Icon\r"),
        CACHE_TEXT("Thumbs.db"),
        CACHE_TEXT("desktop.ini"),
        CACHE_TEXT("$RECYCLE.BIN/"),
        CACHE_TEXT("System Volume Information/"),
        CACHE_TEXT("*~"),
        CACHE_TEXT(".*.swp"),
        CACHE_TEXT(".*.swo"),
    };
#undef CACHE_TEXT
    return (struct cache_patterns){ defaults, MLXK_COUNT(defaults) };
}

static bool cache_excluded(const struct cache_patterns *p, struct str name, bool folder) {
    for (size_t i = 0; i < p->n; i++) {
        struct str pattern = p->list[i];
        bool for_folders = str_ends(pattern, STR("/"));
        if (for_folders == folder &&
            str_glob(str_sub(pattern, 0, pattern.n - (for_folders ? 1 : 0)), name)) {
            return true;
        }
    }
    return false;
}

/* ---- the walk ---- */

static struct str cache_print_name(struct cache_printer *p, struct str raw) {
    struct buf out;
    if (!p->normalize) {
        return raw;
    }
    buf_init(&out, LIMIT_PATH * 4);
    p->normalize(&out, raw);
    struct str name = out.failed ? STR_EMPTY : str_dup(p->arena, buf_str(&out));
    buf_release(&out);
    return name;
}

static bool cache_print_add(struct cache_printer *p, struct str relative, bool is_link,
                            const char *path_cstr, struct err *e) {
    struct os_stat st = { .kind = OS_NONE };
    struct cache_print entry = { .raw = str_dup(p->arena, relative), .is_link = is_link };
    if (!utf8_valid(relative)) {
        return err_set(e, ERR_FORMAT, "a file below %s has a name that is not UTF-8", p->root_cstr);
    }
    if (!is_link) {
        if (!os_lstat(path_cstr, &st) || st.kind != OS_FILE) {
            return true;
        }
        entry.size_bytes = st.size_bytes;
        entry.mtime_ns = st.mtime_ns;
    }
    entry.path = entry.raw.p ? cache_print_name(p, entry.raw) : STR_EMPTY;
    buf_add_bytes(&p->list, &entry, sizeof entry);
    return (entry.path.p && !p->list.failed) ||
           err_oom(e, sizeof entry, "the files of a workspace");
}

static bool cache_print_folder(struct cache_printer *p, struct str below, int depth,
                               struct err *e) {
    struct os_entry *entries;
    size_t n;
    char dir[LIMIT_PATH], path[LIMIT_PATH];
    if (!CACHE_PATH(dir, e, str_cstr(p->root_cstr), STR("/"), below) ||
        !os_list_dir(p->arena, dir, CACHE_MAX_ENTRIES, &entries, &n, e)) {
        return false;
    }
    if (depth > CACHE_MAX_DEPTH || p->list.n / sizeof(struct cache_print) > CACHE_PRINT_MAX) {
        return err_set(e, ERR_LIMIT, "%s has more than %d files or %d levels", p->root_cstr,
                       CACHE_PRINT_MAX, CACHE_MAX_DEPTH);
    }
    for (size_t i = 0; i < n; i++) {
        struct str name = entries[i].name;
        if (!CACHE_PATH(path, e, below, str_cstr(below.n ? "/" : ""), name)) {
            return false;
        }
        struct str relative = str_dup(p->arena, str_cstr(path));
        if (entries[i].kind == OS_DIR) {
            if (!cache_excluded(&p->patterns, name, true) &&
                !cache_print_folder(p, relative, depth + 1, e)) {
                return false;
            }
        } else if (entries[i].kind == OS_LINK ||
                   (entries[i].kind == OS_FILE && !cache_excluded(&p->patterns, name, false))) {
            if (!CACHE_PATH(path, e, str_cstr(dir), STR("/"), name) ||
                !cache_print_add(p, relative, entries[i].kind == OS_LINK, path, e)) {
                return false;
            }
        }
    }
    return true;
}

/* The hash knows files by the normal form of their names; of two that share it, it cannot tell
 * which is which, nor could any reader of the stored list. */
static bool cache_print_no_twins(const void *const *sorted, size_t n, struct err *e) {
    for (size_t i = 1; i < n; i++) {
        const struct cache_print *x = sorted[i - 1], *y = sorted[i];
        if (str_eq(x->path, y->path))
            return err_set(e, ERR_FORMAT, STR_FMT ": two files have this name, written in "
                           "different Unicode forms", STR_ARG(y->path));
    }
    return true;
}

static int cache_print_order(const void *x, const void *y) {
    return str_cmp(((const struct cache_print *)x)->path, ((const struct cache_print *)y)->path);
}

MLXK_FN bool cache_print_files(struct arena *a, const char *root_cstr,
                               struct cache_patterns patterns, cache_normalize normalize,
                               const struct cache_print ***out, size_t *n_out, struct err *e) {
    struct cache_printer p = {
        .arena = a, .root_cstr = root_cstr, .patterns = patterns, .normalize = normalize
    };
    buf_init(&p.list, SIZE_MAX);
    bool ok = cache_print_folder(&p, STR_EMPTY, 0, e);
    size_t n = p.list.n / sizeof(struct cache_print);
    struct cache_print *files = ARENA_ARRAY(a, struct cache_print, n);
    const void **sorted = ARENA_ARRAY(a, const void *, n);
    if (ok && (!files || !sorted)) {
        ok = err_oom(e, p.list.n, "the files of a workspace");
    }
    if (ok && n) {
        memcpy(files, p.list.p, p.list.n);
    }
    for (size_t i = 0; ok && i < n; i++) {
        sorted[i] = &files[i];
    }
    if (ok) {
        cache_sort(sorted, n, cache_print_order);
        ok = cache_print_no_twins(sorted, n, e);
        *out = (const struct cache_print **)sorted;
        *n_out = n;
    }
    buf_release(&p.list);
    return ok;
}

/* ---- hashes ---- */

static void cache_print_hex(struct sha256 *s, char out[72]) {
    uint8_t digest[32];
    sha256_final(s, digest);
    memcpy(out, "sha256:", 7);
    str_hex(out + 7, digest, sizeof digest);
}

/* Where a link leads, links resolved as far as the path exists; NULL with e on a loop. */
static char *cache_print_target(struct arena *a, const char *link_cstr, struct err *e) {
    const char *path = link_cstr;
    for (int i = 0; i < CACHE_PRINT_LINKS && path; i++) {
        struct err none = { 0 };
        char *real = os_path_real(a, path, &none);
        if (real) {
            return real;
        }
        char *dir = os_path_dir(a, path), *base = str_dup_cstr(a, os_path_base(path));
        char *real_dir = dir ? os_path_real(a, dir, &none) : NULL;
        char *here = base && dir ? os_path_join(a, real_dir ? real_dir : dir, base) : NULL;
        struct os_stat st;
        if (!here || !os_lstat(here, &st) || st.kind != OS_LINK) {
            return here ? os_path_absolute(a, here, e) : NULL;
        }
        char *target = os_readlink(a, here, e);
        path = target ? os_path_join(a, real_dir ? real_dir : dir, target) : NULL;
    }
    err_set(e, ERR_FORMAT, "the link %s leads in a circle", link_cstr);
    return NULL;
}

static bool cache_print_link(struct arena *a, const char *root_cstr, const char *path_cstr,
                             char out[72], struct err *e) {
    char *target = cache_print_target(a, path_cstr, e);
    struct str root = str_cstr(root_cstr), full = str_cstr(target);
    if (!target) {
        return e->code == ERR_OK ? err_oom(e, LIMIT_PATH, "a path") : false;
    }
    if (!str_starts(full, root) || (full.n > root.n && full.p[root.n] != '/')) {
        err_set(e, ERR_FORMAT, "the link %s leads out of the workspace, to %s", path_cstr, target);
        return err_hint(e, "replace the link by a copy of the file");
    }
    struct str relative = full.n == root.n ? STR(".") : str_sub(full, root.n + 1, full.n);
    struct sha256 s;
    sha256_init(&s);
    sha256_update(&s, "SYMLINK", 8);
    sha256_update(&s, relative.p, relative.n);
    cache_print_hex(&s, out);
    return true;
}

/* Header bytes of a safetensors file, or all of another one: [from, from + n) through sha256. */
static bool cache_print_range(int fd, uint64_t from, uint64_t n, struct sha256 *s, struct err *e) {
    uint8_t chunk[CACHE_PRINT_CHUNK];
    while (n > 0) {
        size_t want = n < sizeof chunk ? (size_t)n : sizeof chunk, got = 0;
        if (!os_pread(fd, chunk, want, from, &got, e)) {
            return false;
        }
        if (got == 0) {
            return err_set(e, ERR_FORMAT, "the file ended at byte %llu while it was hashed",
                           (unsigned long long)from);
        }
        sha256_update(s, chunk, got);
        from += got;
        n -= got;
    }
    return true;
}

static bool cache_print_content(const struct cache_print *f, const char *path_cstr, char out[72],
                                struct err *e) {
    struct sha256 s;
    struct err bad = { 0 };
    uint8_t head[8];
    size_t got = 0;
    sha256_init(&s);
    int fd = os_open(path_cstr, OS_READ, e);
    if (fd < 0) {
        return false;
    }
    bool ok = true;
    if (str_ends(f->raw, STR(".safetensors"))) {
        uint64_t n = os_pread(fd, head, sizeof head, 0, &got, &bad) && got == sizeof head
                         ? num_read_u64(head)
                         : 0;
        ok = n > 0 && n <= CACHE_PRINT_HEADER && cache_print_range(fd, 8, n, &s, &bad);
        if (!ok) {
            err_set(e, ERR_FORMAT, "%s has no safetensors header", path_cstr);
        }
    } else {
        ok = cache_print_range(fd, 0, f->size_bytes, &s, e);
    }
    os_close(fd);
    if (ok) {
        cache_print_hex(&s, out);
    }
    return ok;
}

MLXK_FN bool cache_print_sha(struct arena *a, const char *root_cstr, const struct cache_print *f,
                             char out[72], struct err *e) {
    char path[LIMIT_PATH];
    if (!CACHE_PATH(path, e, str_cstr(root_cstr), STR("/"), f->raw)) {
        return false;
    }
    if (f->is_link) {
        return cache_print_link(a, root_cstr, path, out, e);
    }
    if (f->size_bytes > CACHE_PRINT_WHOLE && !str_ends(f->raw, STR(".safetensors"))) {
        struct str base = os_path_base(path);
        struct str size = str_format(a, "%llu", (unsigned long long)f->size_bytes);
        struct sha256 s;
        sha256_init(&s);
        sha256_update(&s, base.p, base.n);
        sha256_update(&s, "", 1);
        sha256_update(&s, size.p, size.n);
        cache_print_hex(&s, out);
        return size.p || err_oom(e, 24, "a number");
    }
    return cache_print_content(f, path, out, e);
}

#undef CACHE_PRINT_WHOLE
#undef CACHE_PRINT_HEADER
