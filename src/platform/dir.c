/* dir.c: listing, making and removing folders.
 *
 * os_remove_tree never resolves a name twice: it opens each folder relative to its parent without
 * following links and removes entries relative to that descriptor, so a link put in the way while
 * it runs is removed as a link, and nothing outside the tree is touched.
 *
 * 1. Names come back in byte order, so that output does not depend on the file system.
 */
#include "platform/platform_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DIR_DEPTH_MAX = 200,         /* one descriptor per level; no model tree is near it */
    DIR_MAKE_TRIES = 100,
};

static bool dir_is_dots(const char *name) {
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* ---- listing ---- */

static enum os_kind dir_entry_kind(DIR *d, const struct dirent *entry) {
    switch (entry->d_type) {
    case DT_REG: return OS_FILE;
    case DT_DIR: return OS_DIR;
    case DT_LNK: return OS_LINK;
    case DT_UNKNOWN: break;                      /* some file systems do not tell */
    default: return OS_OTHER;
    }
    struct stat st;
    if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return OS_NONE;
    }
    return S_ISREG(st.st_mode) ? OS_FILE : S_ISDIR(st.st_mode) ? OS_DIR
         : S_ISLNK(st.st_mode) ? OS_LINK : OS_OTHER;
}

static int dir_compare(const void *x, const void *y) {
    return str_cmp(((const struct os_entry *)x)->name, ((const struct os_entry *)y)->name);
}

/* Where an entry leads and how much is there; one look relative to the folder, no path walked. */
static void dir_target(DIR *d, const char *name_cstr, struct os_entry *out) {
    struct stat st;
    if (fstatat(dirfd(d), name_cstr, &st, 0) != 0) {
        return;                                  /* OS_NONE: a link to nowhere, or gone already */
    }
    out->target = S_ISREG(st.st_mode) ? OS_FILE : S_ISDIR(st.st_mode) ? OS_DIR : OS_OTHER;
    out->size_bytes = st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

/* Content of a small file, relative to the folder; what cannot be read so is left to the caller. */
static void dir_content(DIR *d, struct arena *a, const char *name_cstr, struct os_entry *out) {
    struct err unreadable = { .code = ERR_OK };
    size_t n = (size_t)out->size_bytes, n_read = 0;
    char *p = arena_alloc(a, n + 1, 1);
    int fd = p ? openat(dirfd(d), name_cstr, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY) : -1;
    if (fd >= 0 && os_read(fd, p, n, &n_read, &unreadable)) {
        out->content = (struct str){ p, n_read };
    }
    os_close(fd);
}

struct dir_options {
    size_t max_entries;
    bool targets;
    bool (*wanted)(struct str name, uint64_t size_bytes);
    int64_t *mtime_ns;
};

/* Collects the names into `list` (an array of os_entry as bytes), the names' copies into a. */
static bool dir_collect(DIR *d, struct arena *a, const char *path_cstr,
                        const struct dir_options *o, struct buf *list, struct err *e) {
    for (size_t n = 0;;) {
        errno = 0;
        struct dirent *entry = readdir(d);
        if (!entry) {
            return errno == 0 || os_fail(e, errno, "list", path_cstr);
        }
        if (dir_is_dots(entry->d_name)) {
            continue;
        }
        if (n++ == o->max_entries) {
            return err_set(e, ERR_LIMIT, "%s has more than %zu entries", path_cstr,
                           o->max_entries);
        }
        struct os_entry item = {
            .name = str_dup(a, str_cstr(entry->d_name)), .kind = dir_entry_kind(d, entry),
        };
        if (o->targets && item.kind != OS_DIR) {
            dir_target(d, entry->d_name, &item);
        }
        if (item.target == OS_FILE && item.size_bytes <= OS_LIST_CONTENT && o->wanted &&
            o->wanted(item.name, item.size_bytes)) {
            dir_content(d, a, entry->d_name, &item);
        }
        if (!item.name.p) {
            return err_oom(e, strlen(entry->d_name), "the names in a folder");
        }
        buf_add_bytes(list, &item, sizeof item);
    }
}

static bool dir_list(struct arena *a, const char *path_cstr, const struct dir_options *o,
                     struct os_entry **out, size_t *n_out, struct err *e) {
    struct buf list;
    struct os_stat st;
    DIR *d = opendir(path_cstr);
    if (!d) {
        return os_fail(e, errno, "list", path_cstr);
    }
    if (o->mtime_ns && os_fstat(dirfd(d), &st)) {
        *o->mtime_ns = st.mtime_ns;
    }
    buf_init(&list, SIZE_MAX);
    bool ok = dir_collect(d, a, path_cstr, o, &list, e)
           && buf_ok(&list, "the names in a folder", e);
    (void)closedir(d);
    if (ok) {
        *n_out = list.n / sizeof **out;
        *out = ARENA_ARRAY(a, struct os_entry, *n_out);
        ok = *out != NULL || err_oom(e, list.n, "the names in a folder");
    }
    if (ok && list.n > 0) {
        memcpy(*out, list.p, list.n);
        qsort(*out, *n_out, sizeof **out, dir_compare);
    }
    buf_release(&list);
    return ok;
}

MLXK_FN bool os_list_dir(struct arena *a, const char *path_cstr, size_t max_entries,
                         struct os_entry **out, size_t *n_out, struct err *e) {
    struct dir_options o = { .max_entries = max_entries };
    return dir_list(a, path_cstr, &o, out, n_out, e);
}

MLXK_FN bool os_list_targets(struct arena *a, const char *path_cstr, size_t max_entries,
                             bool (*wanted)(struct str name, uint64_t size_bytes),
                             int64_t *mtime_ns, struct os_entry **out, size_t *n_out,
                             struct err *e) {
    struct dir_options o = { max_entries, true, wanted, mtime_ns };
    return dir_list(a, path_cstr, &o, out, n_out, e);
}

/* ---- making ---- */

/* One mkdir; an existing folder (or link to one) is fine. Sets errno. */
static bool dir_make_one(const char *path_cstr) {
    struct os_stat st;
    int problem = EEXIST;
    /* What was in the way may be gone when it is looked at: others remove empty folders. */
    for (int i = 0; problem == EEXIST && i < DIR_MAKE_TRIES; i++) {
        if (!os_fault() && mkdir(path_cstr, 0777) == 0) {
            return true;
        }
        problem = errno;
        /* Asked before any other reason: a read-only or automounted parent may answer EROFS,
         * EISDIR. */
        if (problem != ENOENT && problem != ENOSPC && os_stat(path_cstr, &st)
            && st.kind == OS_DIR) {
            return true;
        }
        if (os_lstat(path_cstr, &st)) {
            if (st.kind == OS_DIR) {     /* removed and made again between the two looks */
                return true;
            }
            break;
        }
    }
    errno = problem;
    return false;
}

MLXK_FN bool os_mkdirs(const char *path_cstr, struct err *e) {
    char path[LIMIT_PATH];
    size_t n = strlen(path_cstr);
    if (n == 0 || n >= sizeof path) {
        return os_fail(e, n ? ENAMETOOLONG : ENOENT, "create the folder", path_cstr);
    }
    if (dir_make_one(path_cstr)) {
        return true;
    }
    if (errno != ENOENT) {
        return os_fail(e, errno, "create the folder", path_cstr);
    }
    memcpy(path, path_cstr, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        char saved = path[i];
        path[i] = '\0';
        if (!dir_make_one(path)) {
            return os_fail(e, errno, "create the folder", path);
        }
        path[i] = saved;
    }
    return true;
}

/* ---- removing ---- */

MLXK_FN bool os_rmdir(const char *path_cstr, struct err *e) {
    if ((os_fault() || rmdir(path_cstr) != 0) && errno != ENOENT) {
        return os_fail(e, errno, "remove the folder", path_cstr);
    }
    return true;
}

static bool dir_remove_at(int parent_fd, const char *name, int depth, struct err *e);

/* Removes the entries of d once through; *n_removed counts them. */
static bool dir_empty_pass(DIR *d, int depth, size_t *n_removed, struct err *e) {
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(d);
        if (!entry) {
            return errno == 0 || os_fail(e, errno, "list", "a folder being removed");
        }
        if (!dir_is_dots(entry->d_name)) {
            if (!dir_remove_at(dirfd(d), entry->d_name, depth, e)) {
                return false;
            }
            ++*n_removed;
        }
    }
}

/* Empties the folder `name` in parent_fd. Some systems skip entries of a folder that changes
 * while it is read: it is read again until nothing was found. */
static bool dir_empty(int parent_fd, const char *name, int depth, struct err *e) {
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT || os_fail(e, errno, "open the folder", name);
    }
    DIR *d = fdopendir(fd);
    if (!d) {
        int problem = errno;
        os_close(fd);
        return os_fail(e, problem, "list", name);
    }
    bool ok;
    size_t n_removed;
    do {
        n_removed = 0;
        rewinddir(d);
        ok = dir_empty_pass(d, depth, &n_removed, e);
    } while (ok && n_removed > 0);
    (void)closedir(d);
    return ok || err_context(e, "in %s: ", name);
}

/* Removes one entry, whatever it is. unlinkat decides: no test that could be outdated when used. */
static bool dir_remove_at(int parent_fd, const char *name, int depth, struct err *e) {
    if (os_fault()) {
        return os_fail(e, errno, "remove", name);
    }
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT) {
        return true;
    }
    int problem = errno;
    struct stat st;
    bool is_dir = fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
    if (!is_dir) {                               /* Linux says EISDIR, Darwin EPERM, for folders */
        return os_fail(e, problem, "remove", name);
    }
    if (depth >= DIR_DEPTH_MAX) {
        return err_set(e, ERR_LIMIT, "%s lies more than %d folders deep", name, DIR_DEPTH_MAX);
    }
    if (!dir_empty(parent_fd, name, depth + 1, e)) {
        return false;
    }
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        return os_fail(e, errno, "remove the folder", name);
    }
    return true;
}

MLXK_FN bool os_remove_tree(const char *path_cstr, struct err *e) {
    struct os_stat st;
    if (!os_lstat(path_cstr, &st) && errno == ENOENT) {
        return true;
    }
    return dir_remove_at(AT_FDCWD, path_cstr, 0, e);
}
