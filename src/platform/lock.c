/* lock.c: one process at a time, by flock(2) on a lock file that stays behind.
 *
 * Other hub clients lock the same files with flock too, so both sides exclude each other. POSIX
 * record locks would not do: they are a different lock, and closing any descriptor drops them.
 *
 *   try_flock --taken--> sleep 2..50 ms --> try_flock
 *       |  got it, but the path names another inode now --> open again
 *       |  got it, same inode --> held
 *       |  the file system knows no flock --> try_soft (O_EXCL file `<path>.soft`)
 *
 * 1. The lock file is created 0664 (shared caches) and never removed: removing it would let two
 *    processes hold locks on two inodes of one name.
 * 2. A soft lock holds "host:pid" and is broken only when that process is gone on this very host.
 */
#include "platform/platform_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOCK_POLL_MS = 50,
    LOCK_MODE = 0664,
    LOCK_NOTE_MS = 10000,        /* a line in the log this often while waiting */
};

enum lock_try { LOCK_HELD, LOCK_TAKEN, LOCK_NO_FLOCK, LOCK_AGAIN, LOCK_FAILED };

/* A link there is refused: it could make us create a file anywhere. */
static int lock_open(const char *path_cstr) {
    const int flags = O_CLOEXEC | O_NOCTTY | O_NOFOLLOW;
    struct os_stat st;
    int fd = openat(AT_FDCWD, path_cstr, O_RDWR | O_CREAT | flags, LOCK_MODE);
    if (fd < 0 && (errno == EACCES || errno == EROFS)) {      /* another user's: will do */
        int problem = errno;
        fd = openat(AT_FDCWD, path_cstr, O_RDWR | flags);
        if (fd < 0 && (errno == EACCES || errno == EROFS)) {
            fd = openat(AT_FDCWD, path_cstr, O_RDONLY | flags);
        } else if (fd < 0) {
            errno = problem;                     /* what there is not could not be made */
        }
    }
    if (fd >= 0 && os_fstat(fd, &st) && st.mode != LOCK_MODE) {
        (void)fchmod(fd, LOCK_MODE);  /* umask must not shut out the group; best effort */
    }
    return fd;
}

/* The lock counts only while the path still names the file that was locked. */
static bool lock_is_current(int fd, const char *path_cstr) {
    struct os_stat held, named;
    return os_fstat(fd, &held) && os_stat(path_cstr, &named) && held.n_links > 0
        && held.inode == named.inode && held.device == named.device;
}

/* ---- soft locks ---- */

static void lock_soft_path(const struct os_lock *l, char out[LIMIT_PATH + 8]) {
    (void)snprintf(out, LIMIT_PATH + 8, "%s.soft", l->path);
}

/* "host:pid" of this process; host cut to what fits. */
static struct str lock_owner(char *out, size_t cap) {
    char host[128];
    os_hostname(host, sizeof host);
    int n = snprintf(out, cap, "%s:%d", host, os_pid());
    return (struct str){ out, n > 0 && (size_t)n < cap ? (size_t)n : 0 };
}

/* true when the owner written in the soft lock was a process of this host and is gone. */
static bool lock_is_stale(const char *soft_cstr) {
    char text[256], mine[256];
    struct str owner = os_read_small(soft_cstr, text, sizeof text);
    struct str me = lock_owner(mine, sizeof mine);
    ptrdiff_t colon = str_find_last(owner, STR(":")), my_colon = str_find_last(me, STR(":"));
    int64_t pid;
    if (colon < 0 || my_colon < 0
        || !str_eq(str_sub(owner, 0, (size_t)colon), str_sub(me, 0, (size_t)my_colon))
        || !num_parse_i64(str_sub(owner, (size_t)colon + 1, owner.n), 1, INT32_MAX, &pid)) {
        return false;
    }
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

/* Moves a stale soft lock aside and removes it only if it still is the stale one: a process that
 * broke and took it meanwhile gets its file back. */
static void lock_break_stale(const char *soft_cstr) {
    char aside[LIMIT_PATH + 40];
    (void)snprintf(aside, sizeof aside, "%s.%d", soft_cstr, os_pid());
    if (rename(soft_cstr, aside) == 0) {
        if (!lock_is_stale(aside)) {
            (void)link(aside, soft_cstr);
        }
        (void)unlink(aside);
    }
}

/* A client whose system refused flock may hold the soft lock while flock works for us. */
static bool lock_soft_held(const struct os_lock *l) {
    char soft[LIMIT_PATH + 8];
    struct os_stat st;
    lock_soft_path(l, soft);
    return os_lstat(soft, &st) && !lock_is_stale(soft);
}

/* ---- one attempt ---- */

static enum lock_try lock_try_flock(struct os_lock *l, struct err *e) {
    int fd = lock_open(l->path);
    if (fd < 0) {
        os_fail(e, errno, "open the lock file", l->path);
        return LOCK_FAILED;
    }
    if (!os_fault() && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        enum lock_try got = !lock_is_current(fd, l->path) ? LOCK_AGAIN
                          : lock_soft_held(l) ? LOCK_TAKEN : LOCK_HELD;
        l->fd = got == LOCK_HELD ? fd : -1;
        os_close(got == LOCK_HELD ? -1 : fd);
        return got;
    }
    int problem = errno;
    os_close(fd);
    if (problem == EWOULDBLOCK || problem == EINTR) {
        return problem == EINTR ? LOCK_AGAIN : LOCK_TAKEN;
    }
    if (problem == ENOSYS || problem == ENOTSUP || problem == EOPNOTSUPP || problem == ENOLCK) {
        return LOCK_NO_FLOCK;
    }
    os_fail(e, problem, "lock", l->path);
    return LOCK_FAILED;
}

static enum lock_try lock_try_soft(struct os_lock *l, struct err *e) {
    char soft[LIMIT_PATH + 8], text[256];
    lock_soft_path(l, soft);
    int fd = open(soft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0664);
    if (fd < 0) {
        if (errno != EEXIST) {
            os_fail(e, errno, "create the lock file", soft);
            return LOCK_FAILED;
        }
        if (lock_is_stale(soft)) {
            lock_break_stale(soft);
            return LOCK_AGAIN;
        }
        return LOCK_TAKEN;
    }
    struct str owner = lock_owner(text, sizeof text);
    if (!os_write(fd, owner.p, owner.n, e)) {
        os_close(fd);
        (void)unlink(soft);
        return LOCK_FAILED;
    }
    l->fd = fd;
    l->soft = true;
    return LOCK_HELD;
}

/* ---- both ---- */

static enum lock_try lock_try_once(struct os_lock *l, struct err *e) {
    for (int i = 0; i < 100; i++) {              /* a lock file replaced 100 times is "taken" */
        enum lock_try got = lock_try_flock(l, e);
        got = got == LOCK_NO_FLOCK ? lock_try_soft(l, e) : got;
        if (got != LOCK_AGAIN) {
            return got;
        }
    }
    return LOCK_TAKEN;
}

static bool lock_fail_taken(const struct os_lock *l, struct err *e) {
    char soft[LIMIT_PATH + 8], text[256];
    lock_soft_path(l, soft);
    struct str owner = os_read_small(soft, text, sizeof text);
    if (owner.n == 0) {
        err_set(e, ERR_LOCKED, "another process holds the lock %s", l->path);
        return err_hint(e, "wait until it has finished, or stop it");
    }
    err_set(e, ERR_LOCKED, "process " STR_FMT " holds the lock %s", STR_ARG(owner), l->path);
    return err_hint(e, "wait until it has finished; if it no longer exists, remove %s", soft);
}

MLXK_FN bool os_lock_acquire(struct os_lock *l, const char *path_cstr, int64_t wait_ms,
                             struct err *e) {
    size_t n = strlen(path_cstr);
    l->fd = -1;
    l->soft = false;
    if (n >= sizeof l->path) {
        return os_fail(e, ENAMETOOLONG, "lock", path_cstr);
    }
    memcpy(l->path, path_cstr, n + 1);
    int64_t pause_ms = 1, noted_ms = 0;          /* most locks are held for less than a moment */
    for (int64_t waited_ms = 0;; waited_ms += pause_ms) {
        enum lock_try got = lock_try_once(l, e);
        if (got != LOCK_TAKEN) {
            return got == LOCK_HELD;
        }
        if (os_interrupted()) {
            return err_set(e, ERR_INTERRUPTED, "stopped while waiting for the lock %s", path_cstr);
        }
        if (wait_ms >= 0 && waited_ms >= wait_ms) {
            return lock_fail_taken(l, e);
        }
        if (waited_ms - noted_ms >= LOCK_NOTE_MS) {
            noted_ms = waited_ms;
            log_write(LOG_INFO, "still waiting for the lock %s (%lld s)", path_cstr,
                      (long long)(waited_ms / 1000));
        }
        pause_ms = pause_ms * 2 < LOCK_POLL_MS ? pause_ms * 2 : LOCK_POLL_MS;
        os_sleep_ms(pause_ms);
    }
}

MLXK_FN void os_lock_release(struct os_lock *l) {
    if (l->fd < 0) {
        return;
    }
    if (l->soft) {
        char soft[LIMIT_PATH + 8];
        lock_soft_path(l, soft);
        (void)unlink(soft);
    }
    os_close(l->fd);                             /* drops the flock with the last descriptor */
    l->fd = -1;
}
