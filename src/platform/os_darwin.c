/* os_darwin.c: what only Darwin does this way (the (os) functions of platform_int.h).
 *
 * macOS 11 and later, on ARM64 and x86-64; only libSystem is used.
 */
#if defined(__APPLE__)

#include "platform/platform_int.h"

#include <errno.h>
#include <fcntl.h>
#include <mach-o/dyld.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysctl.h>
#include <time.h>
#include <unistd.h>

/* ---- files ---- */

MLXK_FN void os_sys_times(const struct stat *st, struct os_stat *out) {
    out->mtime_ns = (int64_t)st->st_mtimespec.tv_sec * 1000000000 + st->st_mtimespec.tv_nsec;
    out->atime_ns = (int64_t)st->st_atimespec.tv_sec * 1000000000 + st->st_atimespec.tv_nsec;
    out->ctime_ns = (int64_t)st->st_ctimespec.tv_sec * 1000000000 + st->st_ctimespec.tv_nsec;
}

MLXK_FN void os_sys_boot(char *out, size_t cap) {
    size_t n = cap;
    if (sysctlbyname("kern.bootsessionuuid", out, &n, NULL, 0) != 0 || n == 0) {
        n = 1;
    }
    out[n - 1] = '\0';
}

/* Space is counted from the end of what the file has on the device. */
MLXK_FN int os_sys_preallocate(int fd, uint64_t size_bytes) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return errno;
    }
    off_t have = (off_t)st.st_blocks * 512;
    if ((off_t)size_bytes <= have) {
        return 0;
    }
    fstore_t store = { .fst_flags = F_ALLOCATEALL, .fst_posmode = F_PEOFPOSMODE,
                       .fst_length = (off_t)size_bytes - have };
    return fcntl(fd, F_PREALLOCATE, &store) == -1 ? errno : 0;
}

/* fsync alone leaves the data in the drive's own cache. */
MLXK_FN int os_sys_sync(int fd) {
    if (fcntl(fd, F_FULLFSYNC) != -1 || fsync(fd) == 0) {
        return 0;
    }
    return errno;
}

/* There is no such advice; the system begins early by itself. */
MLXK_FN int os_sys_write_behind(int fd, uint64_t offset_bytes, uint64_t n) {
    (void)fd;
    (void)offset_bytes;
    (void)n;
    return 0;
}

/* sync(2) here only begins to write. */
MLXK_FN int os_sys_sync_volume(int fd) {
    (void)fd;
    return ENOSYS;
}

MLXK_FN bool os_sys_disk_free(const char *path_cstr, uint64_t *free_bytes, uint64_t *total_bytes) {
    struct statfs s;                             /* statvfs counts blocks in 32 bits here */
    if (statfs(path_cstr, &s) != 0) {
        return false;
    }
    *free_bytes = (uint64_t)s.f_bavail * s.f_bsize;
    *total_bytes = (uint64_t)s.f_blocks * s.f_bsize;
    return true;
}

/* APFS clones whole files by name only, never into an open descriptor. */
MLXK_FN bool os_sys_reflink(int from_fd, int to_fd) {
    (void)from_fd;
    (void)to_fd;
    return false;
}

MLXK_FN bool os_sys_exchange(const char *x_cstr, const char *y_cstr) {
    return renamex_np(x_cstr, y_cstr, RENAME_SWAP) == 0;
}

/* Interrupted or full half-way, it tells how far it came. */
MLXK_FN int os_send_file(int socket_fd, int file_fd, uint64_t offset_bytes, size_t n,
                         size_t *n_done) {
    off_t count = (off_t)n;
    int failed = sendfile(file_fd, socket_fd, (off_t)offset_bytes, &count, NULL, 0);
    *n_done = count > 0 ? (size_t)count : 0;
    return failed && count <= 0 ? (errno == EINTR ? EAGAIN : errno) : 0;
}

MLXK_FN bool os_sys_exe_path(char out[LIMIT_PATH]) {
    char raw[LIMIT_PATH];
    uint32_t n = sizeof raw;
    return _NSGetExecutablePath(raw, &n) == 0 && realpath(raw, out) != NULL;
}

MLXK_FN void os_sys_huge_pages(void *p, size_t size_bytes) {
    (void)p;                                     /* pages of 16 KiB; larger ones are not offered */
    (void)size_bytes;
}

/* ---- volumes ---- */

MLXK_FN bool os_sys_volume(const char *path_cstr, struct os_volume *out) {
    struct statfs s;
    if (statfs(path_cstr, &s) != 0) {
        return false;
    }
    out->free_bytes = (uint64_t)s.f_bavail * s.f_bsize;
    out->total_bytes = (uint64_t)s.f_blocks * s.f_bsize;
    out->free_files = (uint64_t)s.f_ffree;
    out->total_files = (uint64_t)s.f_files;
    out->read_only = (s.f_flags & MNT_RDONLY) != 0;
    out->network = (s.f_flags & MNT_LOCAL) == 0;
    size_t n = strnlen(s.f_fstypename, sizeof out->kind - 1);
    memcpy(out->kind, s.f_fstypename, n);
    out->kind[n] = '\0';
    return true;
}

MLXK_FN void os_thread_batch(bool on) {
    (void)on;
}

MLXK_FN void os_thread_lower(void) {
}

MLXK_FN bool os_sys_quota(const char *path_cstr, bool group, uint32_t id, struct os_quota *out) {
    (void)path_cstr;                             /* APFS knows none for users */
    (void)group;
    (void)id;
    (void)out;
    return false;
}

MLXK_FN void os_sys_file_passed(int fd, uint64_t offset_bytes, uint64_t size_bytes) {
    (void)offset_bytes;
    if (size_bytes == 0) {
        (void)fcntl(fd, F_RDAHEAD, 1);
        (void)fcntl(fd, F_NOCACHE, 1);           /* there is no call that drops single pages */
    }
}

MLXK_FN bool os_sys_users(struct os_users *u) {
    (void)u;                                     /* libproc could; not asked here */
    return false;
}

/* ---- waiting ---- */

MLXK_FN void os_sys_cond_init(void *cond) {
    MLXK_ASSERT(pthread_cond_init(cond, NULL) == 0);
}

MLXK_FN int os_sys_cond_wait_ms(void *cond, void *mutex, int64_t wait_ms) {
    struct timespec t = { .tv_sec = (time_t)(wait_ms / 1000),
                          .tv_nsec = (long)(wait_ms % 1000) * 1000000 };
    return pthread_cond_timedwait_relative_np(cond, mutex, &t);
}

/* ---- processors and memory ---- */

/* An integer of sysctl by name; 0 when there is none. */
static int64_t darwin_number(const char *name_cstr) {
    int64_t wide = 0;
    size_t n = sizeof wide;
    if (sysctlbyname(name_cstr, &wide, &n, NULL, 0) != 0) {
        return 0;
    }
    if (n == sizeof(int32_t)) {
        int32_t narrow;
        memcpy(&narrow, &wide, sizeof narrow);
        return narrow;
    }
    return wide;
}

MLXK_FN int os_sys_cpus_online(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 && n < INT_MAX ? (int)n : 1;
}

/* Performance cores where there are two kinds: with equal shares the slow ones hold up all. */
MLXK_FN int os_sys_cpu_count(void) {
    int64_t n = darwin_number("hw.perflevel0.physicalcpu");
    n = n > 0 ? n : darwin_number("hw.physicalcpu");
    return n > 0 && n < INT_MAX ? (int)n : 0;
}

MLXK_FN uint64_t os_sys_total_memory(void) {
    return (uint64_t)darwin_number("hw.memsize");
}

MLXK_FN uint64_t os_sys_peak_memory(void) {
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss : 0;   /* bytes here */
}

#if defined(__aarch64__)
MLXK_FN uint32_t os_sys_arm_features(void) {
    /* Every ARM Mac has these; macOS 11 has no names to ask for them. */
    uint32_t found = CPU_NEON | CPU_DOTPROD | CPU_FP16 | CPU_ARM_SHA2 | CPU_ARM_AES;
    found |= darwin_number("hw.optional.arm.FEAT_I8MM") ? CPU_I8MM : 0;
    found |= darwin_number("hw.optional.arm.FEAT_BF16") ? CPU_BF16 : 0;
    return found;
}
#endif

MLXK_FN bool os_names_by_servers(void) {
    return false;
}

MLXK_FN void os_sys_cpu_name(char *out, size_t cap) {
    if (sysctlbyname("machdep.cpu.brand_string", out, &cap, NULL, 0) != 0 || cap == 0) {
        out[0] = '\0';
    }
}

#endif
