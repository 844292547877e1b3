/* file.c: opening, whole transfers, metadata, links, and files that appear whole or not at all.
 *
 * No buffering and no text handling: bytes go straight to the system. Errors become sentences in
 * os_fail, the one place that knows what an errno means.
 *
 * 1. Interrupted and short system calls are continued; a caller never sees EINTR. Reading that
 *    waits (pipes, terminals) ends with ERR_INTERRUPTED when the user has stopped the program.
 * 2. Every call that changes the file system asks os_fault first, so that a test can make the n-th
 *    of them fail or kill the process there.
 * 3. os_write_file: unique temporary beside the target -> write -> sync -> rename -> sync of the
 *    folder. A crash at any point leaves the old content or the new, and at worst a temporary.
 */
#include "platform/platform_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_CHUNK_BYTES = 1 << 30,   /* one call; Darwin refuses more than INT_MAX */
    FILE_READ_BYTES = 1 << 16,    /* one piece of a pipe */
};

/* ---- errors ---- */

static enum err_code file_err_code(int errno_value) {
    switch (errno_value) {
    case ENOSPC: case EDQUOT: case EFBIG: return ERR_DISK_FULL;
    case EROFS: case EACCES: case EPERM: return ERR_READ_ONLY;
    case ENOENT: case ENOTDIR: return ERR_NOT_FOUND;
    case EEXIST: case ENOTEMPTY: return ERR_EXISTS;
    case ENOMEM: return ERR_NO_MEMORY;
    default: return ERR_IO;
    }
}

static const char *file_hint(int errno_value) {
    switch (errno_value) {
    case ENOSPC: return "free some space on that disk or choose another cache folder";
    case EDQUOT: return "your disk quota is used up: remove something or ask for more";
    case EFBIG:
        return "files may not become so large here: see ulimit -f and the kind of file system";
    case EBUSY: return "a program still uses it: end that, and run the command again";
    case EROFS: return "that file system is mounted read-only: choose another place";
    case EACCES: case EPERM: return "check owner and permissions of it and of the folders above";
    case ENOENT: case ENOTDIR: return "check the spelling of the path";
    case EEXIST: case ENOTEMPTY: return "remove it or choose another name";
    case ENOMEM: return "close other programs and try again";
    case EMFILE: case ENFILE: return "too many files are open: raise the limit (ulimit -n)";
    case ENAMETOOLONG: return "use a shorter path";
    case EIO: return "the device reports an error: look at the system log, the disk may be failing";
    case ELOOP: return "a symbolic link there points back to itself: remove it";
    default: return "";
    }
}

MLXK_FN bool os_fail(struct err *e, int errno_value, const char *verb_cstr, const char *path_cstr) {
    err_set(e, file_err_code(errno_value), "cannot %s %s: %s", verb_cstr, path_cstr,
            strerror(errno_value));
    bool naming = str_starts(str_cstr(verb_cstr), STR("create")) ||
                  str_eq(str_cstr(verb_cstr), STR("rename to"));
    if (errno_value == EINVAL && naming) {
        return err_hint(e, "that file system takes no such name: choose another place");
    }
    return err_hint(e, "%s", file_hint(errno_value));
}

/* As os_fail for calls on a descriptor: the caller knows the path and adds it as context. */
static bool file_fail_fd(struct err *e, int errno_value, const char *verb_cstr, int fd) {
    char name[32];
    (void)snprintf(name, sizeof name, "descriptor %d", fd);
    return os_fail(e, errno_value, verb_cstr, name);
}

/* ---- fault injection (test aid of the contract) ---- */

static atomic_long file_fault_countdown;
static atomic_int file_fault_errno;

MLXK_FN void os_file_fail_after(long n, int errno_value) {
    atomic_store(&file_fault_errno, errno_value);
    atomic_store(&file_fault_countdown, n);
}

#ifdef MLXK_DEBUG
/* MLXK_FAULT_FILE="n:errno", once. */
static void file_fault_from_env(void) {
    static atomic_flag seen = ATOMIC_FLAG_INIT;
    const char *text = atomic_flag_test_and_set(&seen) ? NULL : os_env("MLXK_FAULT_FILE");
    if (text) {
        struct str rest = str_cstr(text), n_text = str_cut(&rest, ':');
        int64_t n, value;
        if (num_parse_i64(n_text, 1, INT32_MAX, &n) && num_parse_i64(rest, -9, 4095, &value)) {
            os_file_fail_after((long)n, (int)value);
        }
    }
}
#else
static void file_fault_from_env(void) {
}
#endif

MLXK_FN bool os_fault(void) {
    file_fault_from_env();
    if (atomic_load_explicit(&file_fault_countdown, memory_order_relaxed) <= 0
        || atomic_fetch_sub(&file_fault_countdown, 1) != 1) {
        return false;
    }
    int value = atomic_load(&file_fault_errno);
    if (value == -SIGKILL) {
        (void)kill(getpid(), SIGKILL);
    }
    errno = value;
    return true;
}

/* ---- metadata ---- */

static void file_fill_stat(struct os_stat *out, const struct stat *st) {
    *out = (struct os_stat){
        .kind = S_ISREG(st->st_mode) ? OS_FILE : S_ISDIR(st->st_mode) ? OS_DIR
              : S_ISLNK(st->st_mode) ? OS_LINK : OS_OTHER,
        .size_bytes = (uint64_t)st->st_size, .inode = (uint64_t)st->st_ino,
        .device = (uint64_t)st->st_dev, .disk_bytes = (uint64_t)st->st_blocks * 512,
        .mode = (uint32_t)st->st_mode & 07777, .n_links = (uint32_t)st->st_nlink,
        .uid = (uint32_t)st->st_uid, .gid = (uint32_t)st->st_gid,
    };
    os_sys_times(st, out);
}

static bool file_stat_result(int result, const struct stat *st, struct os_stat *out) {
    *out = (struct os_stat){ .kind = OS_NONE };
    if (result == 0) {
        file_fill_stat(out, st);
    }
    return result == 0;
}

MLXK_FN bool os_stat(const char *path_cstr, struct os_stat *out) {
    struct stat st;
    return file_stat_result(stat(path_cstr, &st), &st, out);
}

MLXK_FN bool os_lstat(const char *path_cstr, struct os_stat *out) {
    struct stat st;
    return file_stat_result(lstat(path_cstr, &st), &st, out);
}

MLXK_FN bool os_stat_at(int dir_fd, const char *path_cstr, struct os_stat *out) {
    struct stat st;
    return file_stat_result(fstatat(dir_fd, path_cstr, &st, 0), &st, out);
}

MLXK_FN bool os_fstat(int fd, struct os_stat *out) {
    struct stat st;
    return file_stat_result(fstat(fd, &st), &st, out);
}

/* ---- opening ---- */

static int file_open_as(const char *path_cstr, int flags, mode_t mode) {
    int fd;
    do {
        /* openat: open of some C libraries adds a call of fcntl for O_CLOEXEC */
        fd = openat(AT_FDCWD, path_cstr, flags | O_CLOEXEC | O_NOCTTY, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static int file_open(const char *path_cstr, int flags) {
    return file_open_as(path_cstr, flags, 0666);
}

MLXK_FN int os_open(const char *path_cstr, enum os_open_mode mode, struct err *e) {
    static const int flags[] = {
        [OS_READ] = O_RDONLY, [OS_CREATE_NEW] = O_RDWR | O_CREAT | O_EXCL,
        [OS_WRITE] = O_RDWR | O_CREAT, [OS_WRITE_OWN] = O_RDWR | O_CREAT | O_NOFOLLOW,
        [OS_TRUNCATE] = O_WRONLY | O_CREAT | O_TRUNC,
        [OS_APPEND] = O_WRONLY | O_CREAT | O_APPEND,
    };
    int fd = mode != OS_READ && os_fault() ? -1 : file_open(path_cstr, flags[mode]);
    if (fd < 0) {
        os_fail(e, errno, mode == OS_CREATE_NEW ? "create" : "open", path_cstr);
    }
    return fd;
}

MLXK_FN int os_open_regular(const char *path_cstr, struct os_stat *st, struct err *e) {
    int fd = file_open(path_cstr, O_RDONLY | O_NONBLOCK);
    if (fd < 0) {
        os_fail(e, errno, "open", path_cstr);
        return -1;
    }
    if (!os_fstat(fd, st) || st->kind != OS_FILE) {
        err_set(e, ERR_IO, "cannot read %s: it is %s, not a file", path_cstr,
                st->kind == OS_DIR ? "a folder" : "a device or pipe");
        os_close(fd);
        return -1;
    }
    return fd;
}

MLXK_FN void os_close(int fd) {
    if (fd >= 0) {
        (void)close(fd);                         /* EINTR: the descriptor is gone all the same */
    }
}

/* ---- transfers ---- */

static size_t file_chunk(size_t n) {
    return n < FILE_CHUNK_BYTES ? n : FILE_CHUNK_BYTES;
}

static bool file_stopped(struct err *e) {
    return err_set(e, ERR_INTERRUPTED, "stopped by you while input was awaited");
}

/* Reads until n bytes or the end; offset < 0 = at the file position. */
static bool file_read(int fd, void *p, size_t n, int64_t offset, size_t *n_read, struct err *e) {
    *n_read = 0;
    while (*n_read < n) {
        uint8_t *at = (uint8_t *)p + *n_read;
        size_t want = file_chunk(n - *n_read);
        ssize_t got = offset < 0 ? read(fd, at, want)
                    : pread(fd, at, want, offset + (off_t)*n_read);
        if (got < 0 && errno != EINTR) {
            return file_fail_fd(e, errno, "read", fd);
        }
        if (got < 0 && os_interrupted()) {
            return file_stopped(e);
        }
        if (got == 0) {
            break;
        }
        *n_read += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* offset as the system wants it; false (ERR_LIMIT) when it and n do not fit. */
static bool file_offset_fits(uint64_t offset, size_t n, struct err *e) {
    if (offset > INT64_MAX || n > (uint64_t)INT64_MAX - offset) {
        return err_set(e, ERR_LIMIT, "file offset %llu is out of range",
                       (unsigned long long)offset);
    }
    return true;
}

MLXK_FN bool os_read(int fd, void *p, size_t n, size_t *n_read, struct err *e) {
    return file_read(fd, p, n, -1, n_read, e);
}

MLXK_FN bool os_pread(int fd, void *p, size_t n, uint64_t offset_bytes, size_t *n_read,
                      struct err *e) {
    *n_read = 0;
    return file_offset_fits(offset_bytes, n, e)
        && file_read(fd, p, n, (int64_t)offset_bytes, n_read, e);
}

MLXK_FN bool os_read_some(int fd, void *p, size_t n, size_t *n_read, struct err *e) {
    ssize_t got;
    *n_read = 0;
    do {
        if (os_interrupted()) {
            return file_stopped(e);
        }
        got = read(fd, p, file_chunk(n));
    } while (got < 0 && errno == EINTR);
    *n_read = got > 0 ? (size_t)got : 0;
    return got >= 0 || file_fail_fd(e, errno, "read", fd);
}

static bool file_write(int fd, const void *p, size_t n, int64_t offset, struct err *e) {
    bool fault = os_fault();
    size_t done = 0;
    while (done < n && !fault) {
        const uint8_t *at = (const uint8_t *)p + done;
        size_t want = file_chunk(n - done);
        ssize_t put = offset < 0 ? write(fd, at, want) : pwrite(fd, at, want, offset + (off_t)done);
        if (put < 0 && errno != EINTR) {
            return file_fail_fd(e, errno, "write to", fd);
        }
        done += put > 0 ? (size_t)put : 0;
    }
    return !fault || file_fail_fd(e, errno, "write to", fd);
}

MLXK_FN bool os_write(int fd, const void *p, size_t n, struct err *e) {
    return file_write(fd, p, n, -1, e);
}

MLXK_FN bool os_pwrite(int fd, const void *p, size_t n, uint64_t offset_bytes, struct err *e) {
    return file_offset_fits(offset_bytes, n, e) && file_write(fd, p, n, (int64_t)offset_bytes, e);
}

MLXK_FN bool os_truncate(int fd, uint64_t size_bytes, struct err *e) {
    if (!file_offset_fits(size_bytes, 0, e)) {
        return false;
    }
    if (os_fault() || ftruncate(fd, (off_t)size_bytes) != 0) {
        return file_fail_fd(e, errno, "change the size of", fd);
    }
    return true;
}

MLXK_FN bool os_preallocate(int fd, uint64_t size_bytes, struct err *e) {
    if (!file_offset_fits(size_bytes, 0, e)) {
        return false;
    }
    int problem = os_fault() ? errno : os_sys_preallocate(fd, size_bytes);
    if (problem == ENOSPC || problem == EDQUOT || problem == EFBIG) {
        struct stat st;
        if (fstat(fd, &st) == 0) {               /* what there was of it would stay reserved */
            (void)!ftruncate(fd, st.st_size);
        }
        return file_fail_fd(e, problem, "reserve space for", fd);
    }
    return true;                                 /* others mean: this file system cannot reserve */
}

MLXK_FN bool os_sync(int fd, struct err *e) {
    int problem = os_fault() ? errno : os_sys_sync(fd);
    return problem == 0 || file_fail_fd(e, problem, "flush", fd);
}

MLXK_FN int os_open_direct(const char *path_cstr) {
#ifdef O_DIRECT
    return openat(AT_FDCWD, path_cstr, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
#else
    return path_cstr ? -1 : -2;
#endif
}

MLXK_FN bool os_write_behind(int fd, uint64_t offset_bytes, uint64_t n, struct err *e) {
    if (!n || offset_bytes > INT64_MAX || n > INT64_MAX - offset_bytes) {
        return true;
    }
    int problem = os_fault() ? errno : os_sys_write_behind(fd, offset_bytes, n);
    bool lost = problem == ENOSPC || problem == EDQUOT || problem == EIO || problem == EFBIG;
    return !lost || file_fail_fd(e, problem, "write behind", fd);    /* else: it cannot be done */
}

MLXK_FN bool os_sync_dir(const char *dir_cstr, struct err *e) {
    int fd = os_fault() ? -1 : file_open(dir_cstr, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return os_fail(e, errno, "flush", dir_cstr);
    }
    int problem = fsync(fd) == 0 ? 0 : errno;
    os_close(fd);
    /* Network and FUSE file systems that cannot flush a folder say so with these. */
    if (problem == EINVAL || problem == ENOTSUP || problem == ENOSYS || problem == EBADF) {
        problem = 0;
    }
    return problem == 0 || os_fail(e, problem, "flush", dir_cstr);
}

MLXK_FN bool os_sync_volume(const char *dir_cstr, bool *done, struct err *e) {
    int fd = os_fault() ? -1 : file_open(dir_cstr, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return os_fail(e, errno, "flush", dir_cstr);
    }
    int problem = os_sys_sync_volume(fd);
    os_close(fd);
    *done = problem == 0;
    return *done || problem == ENOSYS || problem == EINVAL || problem == ENOTSUP
           || os_fail(e, problem, "flush", dir_cstr);
}

/* ---- whole files ---- */

MLXK_FN bool os_read_file(struct arena *a, const char *path_cstr, size_t max_bytes, struct str *out,
                          struct err *e) {
    struct os_stat st;
    bool ok = false;
    int fd = os_open_regular(path_cstr, &st, e);
    if (fd < 0) {
        return false;
    }
    if (st.size_bytes > max_bytes) {
        err_set(e, ERR_LIMIT, "%s has %llu bytes, more than the limit of %zu", path_cstr,
                (unsigned long long)st.size_bytes, max_bytes);
        goto done;
    }
    size_t n = (size_t)st.size_bytes, n_read;
    char *p = n < SIZE_MAX ? arena_alloc(a, n + 1, 1) : NULL;
    if (!p) {
        err_oom(e, n, path_cstr);
        goto done;
    }
    if (!os_read(fd, p, n, &n_read, e)) {
        err_context(e, "%s: ", path_cstr);
        goto done;
    }
    *out = (struct str){ p, n_read };
    ok = true;
done:
    os_close(fd);
    return ok;
}

MLXK_FN struct str os_read_small(const char *path_cstr, char *out, size_t cap) {
    struct err ignored = { .code = ERR_OK };
    size_t n = 0;
    int fd = file_open(path_cstr, O_RDONLY | O_NONBLOCK);
    if (fd < 0 || !os_read(fd, out, cap - 1, &n, &ignored)) {
        n = 0;
    }
    os_close(fd);
    struct str text = str_trim((struct str){ out, n });
    memmove(out, text.p, text.n);
    out[text.n] = '\0';
    return (struct str){ out, text.n };
}

/* At the limit: fine only when nothing more comes. */
static bool file_expect_end(int fd, struct buf *b, struct err *e) {
    char probe;
    size_t more;
    if (!os_read_some(fd, &probe, 1, &more, e)) {
        return false;
    }
    if (more > 0) {
        buf_add_char(b, probe);                  /* fails, and says why */
    }
    return buf_ok(b, "the input", e);
}

MLXK_FN bool os_read_all(int fd, struct buf *b, struct err *e) {
    for (size_t got = 1; got > 0;) {
        size_t left = b->max - b->n;
        if (left == 0) {
            return file_expect_end(fd, b, e);
        }
        if (!buf_reserve(b, left < FILE_READ_BYTES ? left : FILE_READ_BYTES)) {
            return buf_ok(b, "the input", e);
        }
        if (!os_read_some(fd, b->p + b->n, b->cap - 1 - b->n, &got, e)) {
            return false;
        }
        b->n += got;
        b->p[b->n] = '\0';
    }
    return true;
}

/* true when path is a regular file holding exactly `content`. */
static bool file_holds(const char *path_cstr, struct str content) {
    struct err ignored = { .code = ERR_OK };
    struct os_stat st;
    char piece[4096];
    if (!os_lstat(path_cstr, &st) || st.kind != OS_FILE || st.size_bytes != content.n) {
        return false;
    }
    int fd = os_open_regular(path_cstr, &st, &ignored);
    bool same = fd >= 0 && st.size_bytes == content.n;
    for (size_t at = 0; same && at < content.n;) {
        size_t got;
        same = os_read(fd, piece, sizeof piece, &got, &ignored) && got > 0
            && str_eq((struct str){ piece, got }, str_sub(content, at, at + got));
        at += same ? got : 0;
    }
    os_close(fd);
    return same;
}

/* fd is closed, and no temporary stays. */
static bool file_place(int fd, int dir_fd, const char *temp_cstr, const char *name_cstr,
                       struct str content, struct err *e) {
    bool ok = (os_write(fd, content.p, content.n, e) && os_sync(fd, e)) ||
              err_context(e, "%s: ", name_cstr);
    os_close(fd);
    if (ok && (os_fault() || renameat(dir_fd, temp_cstr, dir_fd, name_cstr) != 0)) {
        ok = os_fail(e, errno, "rename to", name_cstr);
    }
    if (!ok) {
        (void)unlinkat(dir_fd, temp_cstr, 0);
    }
    return ok;
}

MLXK_FN bool os_place_at(int dir_fd, const char *temp_cstr, const char *name_cstr,
                         struct str content, struct err *e) {
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY;
    dir_fd = dir_fd < 0 ? AT_FDCWD : dir_fd;
    int fd = os_fault() ? -1 : openat(dir_fd, temp_cstr, flags, 0666);
    if (fd < 0) {
        return os_fail(e, errno, "create", temp_cstr);
    }
    return file_place(fd, dir_fd, temp_cstr, name_cstr, content, e);
}

MLXK_FN bool os_write_file(const char *path_cstr, struct str content, struct err *e) {
    char temp[LIMIT_PATH], dir[LIMIT_PATH];
    uint64_t unique;
    struct os_stat present;
    if (file_holds(path_cstr, content)) {
        return true;
    }
    bool replaces = os_lstat(path_cstr, &present) && present.kind == OS_FILE;
    os_entropy(&unique, sizeof unique);
    int n = snprintf(temp, sizeof temp, "%s.%08x.tmp", path_cstr, (unsigned)(unique & UINT32_MAX));
    if (n < 0 || (size_t)n >= sizeof temp) {
        return os_fail(e, ENAMETOOLONG, "write", path_cstr);
    }
    const int flags = O_RDWR | O_CREAT | O_EXCL;         /* it may be a secret: nobody else's yet */
    int fd = os_fault() ? -1 : file_open_as(temp, flags, replaces ? 0600 : 0666);
    if (fd < 0) {
        return os_fail(e, errno, "create", temp);
    }
    if (replaces) {
        (void)fchmod(fd, (mode_t)present.mode);
    }
    if (!file_place(fd, AT_FDCWD, temp, path_cstr, content, e)) {
        return false;
    }
    const char *slash = strrchr(path_cstr, '/');
    size_t dir_n = slash ? (size_t)(slash - path_cstr) : 0;
    (void)snprintf(dir, sizeof dir, "%.*s", (int)dir_n, path_cstr);
    return os_sync_dir(dir_n ? dir : slash ? "/" : ".", e);
}

/* ---- names ---- */

MLXK_FN bool os_rename(const char *from_cstr, const char *to_cstr, struct err *e) {
    if (os_fault() || rename(from_cstr, to_cstr) != 0) {
        int problem = errno;
        os_fail(e, problem, "rename to", to_cstr);
        return err_context(e, "%s: ", from_cstr);
    }
    return true;
}

MLXK_FN bool os_exchange(const char *x_cstr, const char *y_cstr) {
    return !os_fault() && os_sys_exchange(x_cstr, y_cstr);
}

MLXK_FN bool os_unlink(const char *path_cstr, struct err *e) {
    if ((os_fault() || unlink(path_cstr) != 0) && errno != ENOENT) {
        return os_fail(e, errno, "remove", path_cstr);
    }
    return true;
}

MLXK_FN bool os_symlink(const char *target_cstr, const char *path_cstr, struct err *e) {
    return os_symlink_at(target_cstr, AT_FDCWD, path_cstr, e);
}

MLXK_FN bool os_symlink_at(const char *target_cstr, int dir_fd, const char *path_cstr,
                           struct err *e) {
    if (!os_fault() && symlinkat(target_cstr, dir_fd, path_cstr) == 0) {
        return true;
    }
    int problem = errno;
    char present[LIMIT_PATH];
    bool exists = problem == EEXIST;
    ssize_t n = exists ? readlinkat(dir_fd, path_cstr, present, sizeof present) : -1;
    if (n >= 0 && str_eq((struct str){ present, (size_t)n }, str_cstr(target_cstr))) {
        return true;
    }
    return os_fail(e, problem, "create the link", path_cstr);
}

MLXK_FN char *os_readlink(struct arena *a, const char *path_cstr, struct err *e) {
    char target[LIMIT_PATH];
    ssize_t n = readlink(path_cstr, target, sizeof target);
    if (n < 0 || n == (ssize_t)sizeof target) {
        os_fail(e, n < 0 ? errno : ENAMETOOLONG, "read the link", path_cstr);
        return NULL;
    }
    char *copy = str_dup_cstr(a, (struct str){ target, (size_t)n });
    if (!copy) {
        err_oom(e, (size_t)n, "a link's target");
    }
    return copy;
}

MLXK_FN bool os_hardlink(const char *from_cstr, const char *to_cstr, struct err *e) {
    if (os_fault() || link(from_cstr, to_cstr) != 0) {
        return os_fail(e, errno, "create the hard link", to_cstr);
    }
    return true;
}

MLXK_FN int os_descriptors(int wanted) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return wanted;
    }
    rlim_t goal = limit.rlim_max < (rlim_t)wanted ? limit.rlim_max : (rlim_t)wanted;
    if (limit.rlim_cur < goal) {
        struct rlimit raised = { .rlim_cur = goal, .rlim_max = limit.rlim_max };
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            limit.rlim_cur = goal;
        }
    }
    return limit.rlim_cur < (rlim_t)wanted ? (int)limit.rlim_cur : wanted;
}

MLXK_FN bool os_reflink(int from_fd, int to_fd) {
    return !os_fault() && os_sys_reflink(from_fd, to_fd);
}

MLXK_FN bool os_chmod(const char *path_cstr, uint32_t mode, struct err *e) {
    if (os_fault() || chmod(path_cstr, (mode_t)mode) != 0) {
        return os_fail(e, errno, "change the permissions of", path_cstr);
    }
    return true;
}

MLXK_FN bool os_set_mtime(const char *path_cstr, int64_t mtime_ns, struct err *e) {
    int64_t second = mtime_ns / 1000000000, rest = mtime_ns % 1000000000;
    if (rest < 0) {
        second--;
        rest += 1000000000;
    }
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
                                 { .tv_sec = (time_t)second, .tv_nsec = (long)rest } };
    if (os_fault() || utimensat(AT_FDCWD, path_cstr, times, 0) != 0) {
        return os_fail(e, errno, "set the time of", path_cstr);
    }
    return true;
}
