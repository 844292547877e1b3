/* machine.c: what the machine allows: space, quota, kinds of file systems, limits, and which files
 * other processes use.
 *
 * Facts only; what they mean for a person is said by whoever asks.
 *
 * 1. A fact that cannot be had is told as unknown, never guessed.
 * 2. os_users_read looks at other processes and changes nothing; what it may not see is counted.
 */
#include "platform/platform_int.h"

#include <errno.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

/* ---- space and limits (Public) ---- */

MLXK_FN bool os_volume_read(const char *path_cstr, struct os_volume *out, struct err *e) {
    *out = (struct os_volume){ .kind = "unknown" };
    return os_sys_volume(path_cstr, out) || os_fail(e, errno, "ask about the volume of", path_cstr);
}

MLXK_FN uint64_t os_quota_left(const struct os_quota *q, int64_t now_s) {
    bool late = q->soft_bytes && q->used_bytes > q->soft_bytes && q->grace_until_s &&
                now_s >= q->grace_until_s;
    uint64_t limit = late ? q->soft_bytes : q->limit_bytes;
    return !limit ? UINT64_MAX : q->used_bytes < limit ? limit - q->used_bytes : 0;
}

/* No quota binds user and group 0; XFS keeps the limits of everybody else under that number. */
MLXK_FN bool os_quota_read(const char *path_cstr, struct os_quota *out) {
    struct os_quota user = { 0 }, group = { 0 };
    struct stat st;
    int64_t now_s = os_time_ns() / 1000000000;
    *out = (struct os_quota){ .limit_bytes = 0 };
    if (geteuid() == 0 || stat(path_cstr, &st) != 0) {
        return false;
    }
    gid_t gid = S_ISDIR(st.st_mode) && !(st.st_mode & S_ISGID) ? getegid() : st.st_gid;
    bool known = os_sys_quota(path_cstr, false, geteuid(), &user),
         shared = gid != 0 && os_sys_quota(path_cstr, true, gid, &group);
    bool narrow = shared && (!known || os_quota_left(&group, now_s) < os_quota_left(&user, now_s));
    *out = narrow ? group : user;
    return known || shared;
}

MLXK_FN bool os_room_read(const char *path_cstr, struct os_room *out, struct err *e) {
    struct os_quota quota;
    struct stat st;
    char folder[LIMIT_PATH];
    out->by_cstr = "";
    if (stat(path_cstr, &st) == 0 && S_ISREG(st.st_mode)) {
        (void)snprintf(folder, sizeof folder, "%s", path_cstr);
        char *slash = strrchr(folder, '/');      /* only folders know the quota of their project */
        path_cstr = !slash ? "." : slash == folder ? "/" : folder;
        if (slash) {
            *slash = '\0';
        }
    }
    if (!os_sys_disk_free(path_cstr, &out->free_bytes, &out->total_bytes)) {
        return os_fail(e, errno, "ask for the free space of", path_cstr);
    }
    uint64_t left = UINT64_MAX;
    if (os_quota_read(path_cstr, &quota)) {
        left = os_quota_left(&quota, os_time_ns() / 1000000000);
    }
    if (left < out->free_bytes) {
        out->free_bytes = left;
        out->by_cstr = quota.group ? " by your group's quota" : " by your quota";
    }
    return true;
}

MLXK_FN uint32_t os_umask(void) {
    mode_t found = umask(022);
    (void)umask(found);
    return (uint32_t)found;
}

MLXK_FN uint64_t os_max_open_files(void) {
    struct rlimit limit;
    bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return known ? (uint64_t)limit.rlim_cur : 0;
}

MLXK_FN uint64_t os_max_file_bytes(void) {
    struct rlimit limit;
    bool known = getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return known ? (uint64_t)limit.rlim_cur : UINT64_MAX;
}

MLXK_FN bool os_may_write(const char *path_cstr) {
    return access(path_cstr, W_OK) == 0;
}

MLXK_FN void os_file_passed(int fd, uint64_t offset_bytes, uint64_t size_bytes) {
    os_sys_file_passed(fd, offset_bytes, size_bytes);
}

/* ---- locks of others ---- */

MLXK_FN enum os_lock_state os_lock_look(const char *path_cstr) {
    char soft[LIMIT_PATH + 8];
    struct os_stat st;
    (void)snprintf(soft, sizeof soft, "%s.soft", path_cstr);
    if (os_lstat(soft, &st)) {
        return OS_LOCK_HELD;                     /* whoever made it may be on another machine */
    }
    int fd = open(path_cstr, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ? OS_LOCK_ABSENT : OS_LOCK_UNKNOWN;
    }
    enum os_lock_state state = OS_LOCK_FREE;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        state = errno == EWOULDBLOCK ? OS_LOCK_HELD : OS_LOCK_UNKNOWN;
    }
    (void)close(fd);
    return state;
}

/* ---- files that are in use ---- */

/* Key of a file whatever its name is. */
static struct str machine_file_key(char out[48], uint64_t device, uint64_t inode) {
    int n = snprintf(out, 48, "%llx:%llx", (unsigned long long)device, (unsigned long long)inode);
    return (struct str){ out, n > 0 ? (size_t)n : 0 };
}

MLXK_FN bool os_users_add(struct os_users *u, uint64_t device, uint64_t inode) {
    char text[48];
    struct str key = machine_file_key(text, device, inode);
    if (map_get(&u->files, key)) {
        return true;
    }
    key = str_dup(u->arena, key);
    return key.p && map_put(&u->files, key, NULL);
}

MLXK_FN bool os_users_read(struct arena *a, struct os_users *out, struct err *e) {
    *out = (struct os_users){ .arena = a };
    map_init(&out->files, SIZE_MAX / 64);
    out->known = os_sys_users(out);
    return !out->files.failed || err_oom(e, out->files.n * 64, "the files in use");
}

MLXK_FN void os_users_release(struct os_users *u) {
    map_release(&u->files);
}

MLXK_FN bool os_users_has(const struct os_users *u, const struct os_stat *st) {
    char text[48];
    return map_get(&u->files, machine_file_key(text, st->device, st->inode)) != NULL;
}
