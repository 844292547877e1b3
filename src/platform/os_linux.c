/* os_linux.c: what only Linux does this way (the (os) functions of platform_int.h).
 *
 * Works with glibc and musl, on x86-64 and ARM64. /proc and /sys are asked politely: whatever is
 * missing there (containers hide much) falls back to an answer that is safe.
 */
#if defined(__linux__)

#include "platform/platform_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LINUX_CPUS_MAX = 4096 };

/* ---- files ---- */

MLXK_FN void os_sys_times(const struct stat *st, struct os_stat *out) {
    out->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    out->atime_ns = (int64_t)st->st_atim.tv_sec * 1000000000 + st->st_atim.tv_nsec;
    out->ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

/* File systems in memory fill with zeros, page by page, what is reserved: as dear as writing it. */
static bool linux_in_memory(int fd) {
    struct statfs s;
    return fstatfs(fd, &s) == 0 && (s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC);
}

MLXK_FN int os_sys_preallocate(int fd, uint64_t size_bytes) {
    int result;
    if (linux_in_memory(fd)) return EOPNOTSUPP;
    do {                                         /* not posix_fallocate: glibc's writes zeros */
        result = size_bytes ? fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size_bytes) : 0;
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

/* Containers share a start of the system but not their process numbers. */
MLXK_FN void os_sys_boot(char *out, size_t cap) {
    char boot[64], space[64];
    struct str id = os_read_small("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    (void)snprintf(out, cap, STR_FMT " %.*s", STR_ARG(id), n > 0 ? (int)n : 0, space);
}

MLXK_FN int os_sys_sync(int fd) {
    return fsync(fd) == 0 ? 0 : errno;
}

MLXK_FN int os_sys_write_behind(int fd, uint64_t offset_bytes, uint64_t n) {
    return sync_file_range(fd, (off_t)offset_bytes, (off_t)n, SYNC_FILE_RANGE_WRITE) ? errno : 0;
}

MLXK_FN int os_sys_sync_volume(int fd) {
    return syncfs(fd) == 0 ? 0 : errno;
}

MLXK_FN bool os_sys_disk_free(const char *path_cstr, uint64_t *free_bytes, uint64_t *total_bytes) {
    struct statvfs v;
    if (statvfs(path_cstr, &v) != 0) {
        return false;
    }
    *free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    *total_bytes = (uint64_t)v.f_blocks * v.f_frsize;
    return true;
}

MLXK_FN bool os_sys_reflink(int from_fd, int to_fd) {
    return ioctl(to_fd, FICLONE, from_fd) == 0;
}

/* By number: not every C library has a function for it. */
MLXK_FN bool os_sys_exchange(const char *x_cstr, const char *y_cstr) {
    enum { LINUX_RENAME_EXCHANGE = 2 };
    return syscall(SYS_renameat2, AT_FDCWD, x_cstr, AT_FDCWD, y_cstr, LINUX_RENAME_EXCHANGE) == 0;
}

/* By number: musl's functions of this name refuse. */
MLXK_FN void os_thread_batch(bool on) {
    struct sched_param none = { .sched_priority = 0 };
    if (syscall(SYS_sched_getscheduler, 0) == (on ? SCHED_OTHER : SCHED_BATCH))
        (void)syscall(SYS_sched_setscheduler, 0, on ? SCHED_BATCH : SCHED_OTHER, &none);
}

MLXK_FN void os_thread_lower(void) {
    enum { LINUX_NICE = 10 };                    /* of the calling thread alone: not POSIX */
    errno = 0;
    if (getpriority(PRIO_PROCESS, 0) < LINUX_NICE && errno == 0)
        (void)setpriority(PRIO_PROCESS, 0, LINUX_NICE);
}

MLXK_FN int os_send_file(int socket_fd, int file_fd, uint64_t offset_bytes, size_t n,
                         size_t *n_done) {
    off_t offset = (off_t)offset_bytes;
    ssize_t sent;
    sigset_t pipe, before;
    struct timespec now = { 0 };
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe, &before);      /* there is no flag against it */
    do {
        sent = sendfile(socket_fd, file_fd, &offset, n);
    } while (sent < 0 && errno == EINTR);
    int problem = sent < 0 ? errno : 0;
    if (!sigismember(&before, SIGPIPE)) (void)sigtimedwait(&pipe, NULL, &now);   /* some went */
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    *n_done = sent > 0 ? (size_t)sent : 0;
    return problem;
}

MLXK_FN bool os_sys_exe_path(char out[LIMIT_PATH]) {
    ssize_t n = readlink("/proc/self/exe", out, LIMIT_PATH - 1);
    if (n <= 0) {
        return false;
    }
    out[n] = '\0';
    return true;
}

MLXK_FN void os_sys_huge_pages(void *p, size_t size_bytes) {
    if (size_bytes >= (size_t)2 << 20) {
        (void)madvise(p, size_bytes, MADV_HUGEPAGE);
    }
}

/* ---- volumes ---- */

/* Numbers of linux/magic.h and of file systems that live outside the kernel's tree. */
static const struct { uint32_t magic; const char *name_cstr; bool network;
} linux_volumes[] = {
    { 0xEF53, "ext4", false },         { 0x58465342, "xfs", false },
    { 0x9123683E, "btrfs", false },    { 0x01021994, "tmpfs", false },
    { 0x794C7630, "overlay", false },  { 0xF2F52010, "f2fs", false },
    { 0x2FC12FC1, "zfs", false },      { 0xCA451A4E, "bcachefs", false },
    { 0x4D44, "vfat", false },         { 0x2011BAB0, "exfat", false },
    { 0x7366746E, "ntfs", false },     { 0x73717368, "squashfs", false },
    { 0xE0F5E1E2, "erofs", false },    { 0x858458F6, "ramfs", false },
    { 0x9660, "iso9660", false },      { 0x6969, "nfs", true },
    { 0x517B, "smb", true },           { 0xFF534D42, "cifs", true },
    { 0xFE534D42, "smb2", true },      { 0x0BD00BD0, "lustre", true },
    { 0x47504653, "gpfs", true },      { 0x00C36400, "ceph", true },
    { 0x65735546, "fuse", true },      { 0x01021997, "9p", true },
    { 0x19830326, "beegfs", true },    { 0x5346414F, "afs", true },
    { 0x6A656A63, "virtiofs", false }, { 0x7461636F, "ocfs2", true },
    { 0x01161970, "gfs2", true },
};

MLXK_FN bool os_sys_volume(const char *path_cstr, struct os_volume *out) {
    struct statvfs v;
    struct statfs s;
    if (statvfs(path_cstr, &v) != 0 || statfs(path_cstr, &s) != 0) {
        return false;
    }
    out->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    out->total_bytes = (uint64_t)v.f_blocks * v.f_frsize;
    out->free_files = (uint64_t)v.f_favail;
    out->total_files = (uint64_t)v.f_files;
    out->read_only = (v.f_flag & ST_RDONLY) != 0;
    for (size_t i = 0; i < MLXK_COUNT(linux_volumes); i++) {
        if (linux_volumes[i].magic == (uint32_t)s.f_type) {
            (void)snprintf(out->kind, sizeof out->kind, "%s", linux_volumes[i].name_cstr);
            out->network = linux_volumes[i].network;
            return true;
        }
    }
    (void)snprintf(out->kind, sizeof out->kind, "0x%x", (unsigned)s.f_type);
    return true;
}

/* quotactl_fd(2) of Linux 5.14, which needs no device and no privilege for one's own numbers. */
MLXK_FN bool os_sys_quota(const char *path_cstr, bool group, uint32_t id, struct os_quota *out) {
    enum { LINUX_SYS_QUOTACTL_FD = 443, LINUX_QUOTA_BLOCK = 1024 };
    struct dqblk d = { 0 };
    int fd = open(path_cstr, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    int question = (int)QCMD((unsigned)Q_GETQUOTA, group ? GRPQUOTA : USRQUOTA);
    bool known = syscall(LINUX_SYS_QUOTACTL_FD, fd, question, id, &d) == 0;
    (void)close(fd);
    *out = (struct os_quota){ .used_bytes = d.dqb_curspace,
                              .limit_bytes = d.dqb_bhardlimit * LINUX_QUOTA_BLOCK,
                              .soft_bytes = d.dqb_bsoftlimit * LINUX_QUOTA_BLOCK,
                              .grace_until_s = (int64_t)d.dqb_btime,
                              .group = group };
    return known;
}

MLXK_FN void os_sys_file_passed(int fd, uint64_t offset_bytes, uint64_t size_bytes) {
    if (size_bytes == 0) {
        (void)fcntl(fd, F_SETFL, O_NOATIME);     /* refused where the file is another user's */
    }
    (void)posix_fadvise(fd, (off_t)offset_bytes, (off_t)size_bytes,
                        size_bytes ? POSIX_FADV_DONTNEED : POSIX_FADV_SEQUENTIAL);
}

/* ---- files in use ---- */

/* Descriptors of one process, as its folder in /proc shows them. */
static bool linux_users_open(struct os_users *u, const char *process_cstr) {
    char folder[320], path[640];
    (void)snprintf(folder, sizeof folder, "/proc/%s/fd", process_cstr);
    DIR *d = opendir(folder);
    if (!d) {
        return errno == ENOENT;                  /* it has ended meanwhile */
    }
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        struct stat st;
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.' && stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            (void)os_users_add(u, (uint64_t)st.st_dev, (uint64_t)st.st_ino);
        }
    }
    (void)closedir(d);
    return true;
}

/* Mapped files keep no descriptor: /proc/PID/maps names them, "from-to perms offset dev inode
 * path". */
static bool linux_users_mapped(struct os_users *u, const char *process_cstr) {
    char path[320], line[LIMIT_PATH + 256], last[LIMIT_PATH + 256] = "";
    (void)snprintf(path, sizeof path, "/proc/%s/maps", process_cstr);
    FILE *f = fopen(path, "re");
    if (!f) {
        return errno == ENOENT;
    }
    while (fgets(line, sizeof line, f)) {
        struct stat st;
        char *name = strchr(line, '/');
        size_t n = name ? strcspn(name, "\n") : 0;
        if (!name || name[n] == '\0') {
            continue;
        }
        name[n] = '\0';
        if (strcmp(name, last) != 0 && stat(name, &st) == 0 && S_ISREG(st.st_mode)) {
            (void)os_users_add(u, (uint64_t)st.st_dev, (uint64_t)st.st_ino);
        }
        memcpy(last, name, n + 1);
    }
    (void)fclose(f);
    return true;
}

MLXK_FN bool os_sys_users(struct os_users *u) {
    DIR *d = opendir("/proc");
    bool any = false;
    if (!d) {
        return false;
    }
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        int64_t pid;
        if (!num_parse_i64(str_cstr(entry->d_name), 1, INT32_MAX, &pid) || pid == getpid()) {
            continue;
        }
        any = true;
        bool seen = linux_users_open(u, entry->d_name);
        u->n_hidden += !(linux_users_mapped(u, entry->d_name) && seen);
    }
    (void)closedir(d);
    return any || getpid() == 1;                 /* a /proc without processes tells nothing */
}

/* ---- waiting ---- */

MLXK_FN void os_sys_cond_init(void *cond) {
    pthread_condattr_t attr;
    MLXK_ASSERT(pthread_condattr_init(&attr) == 0);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    MLXK_ASSERT(pthread_cond_init(cond, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
}

MLXK_FN int os_sys_cond_wait_ms(void *cond, void *mutex, int64_t wait_ms) {
    int64_t until = os_now_ns() + wait_ms * 1000000;
    struct timespec t = { .tv_sec = (time_t)(until / 1000000000),
                          .tv_nsec = (long)(until % 1000000000) };
    return pthread_cond_timedwait(cond, mutex, &t);
}

/* ---- processors ---- */

MLXK_FN int os_sys_cpus_online(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) {
        return CPU_COUNT(&set);
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* Whether `cpu` is the first of the logical CPUs in `set` that share its core. Unknown: yes. */
static bool linux_first_of_core(const char *root, int cpu, const cpu_set_t *set) {
    char path[LIMIT_PATH], text[256];
    (void)snprintf(path, sizeof path,
                   "%s/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", root, cpu);
    struct str rest = os_read_small(path, text, sizeof text);
    while (rest.n > 0) {                         /* "0,64" or "0-1" */
        struct str range = str_cut(&rest, ','), first = str_cut(&range, '-');
        uint64_t low, high;
        if (!num_parse_u64(first, LINUX_CPUS_MAX, &low)) {
            return true;
        }
        if (!range.p || !num_parse_u64(range, LINUX_CPUS_MAX, &high)) {
            high = low;
        }
        for (uint64_t i = low; i <= high && i < (uint64_t)cpu; i++) {
            if (i < CPU_SETSIZE && CPU_ISSET((size_t)i, set)) {
                return false;
            }
        }
    }
    return true;
}

MLXK_FN int os_linux_cores(const char *root_cstr, const cpu_set_t *set) {
    int n = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        n += CPU_ISSET((size_t)cpu, set) && linux_first_of_core(root_cstr, cpu, set);
    }
    return n;
}

/* Whole CPUs that quota / period allow, rounded up; 0 = no limit. */
static int linux_quota_cpus(struct str quota, struct str period) {
    uint64_t q, p;
    if (!num_parse_u64(str_trim(quota), INT64_MAX, &q)
        || !num_parse_u64(str_trim(period), INT64_MAX, &p) || p == 0) {
        return 0;                                /* "max", "-1" or no file */
    }
    uint64_t cpus = q / p + (q % p != 0);
    return cpus > LINUX_CPUS_MAX ? 0 : cpus < 1 ? 1 : (int)cpus;
}

static int linux_least(int x, int y) {           /* of two limits, 0 = none */
    return x == 0 || (y > 0 && y < x) ? y : x;
}

/* Limit of one group. Version 2 has one file "quota period", version 1 two. */
static int linux_group_quota(const char *folder, bool v2) {
    char file[LIMIT_PATH + 32], text[64], text2[64];
    struct str quota, period;
    (void)snprintf(file, sizeof file, "%s/%s", folder, v2 ? "cpu.max" : "cpu.cfs_quota_us");
    quota = os_read_small(file, text, sizeof text);
    if (v2) {
        period = quota;
        quota = str_cut(&period, ' ');
    } else {
        (void)snprintf(file, sizeof file, "%s/cpu.cfs_period_us", folder);
        period = os_read_small(file, text2, sizeof text2);
    }
    return linux_quota_cpus(quota, period);
}

/* Smallest limit from the group `path` up to the root of its hierarchy; 0 = none. In a container
 * the path may be the host's and not exist here: then its parents are what counts. */
static int linux_path_quota(const char *root, const char *mount, struct str path, bool v2) {
    int least = 0;
    for (;;) {
        char folder[LIMIT_PATH];
        (void)snprintf(folder, sizeof folder, "%s%s" STR_FMT, root, mount, STR_ARG(path));
        least = linux_least(least, linux_group_quota(folder, v2));
        ptrdiff_t slash = str_find_last(path, STR("/"));
        if (slash < 0) {
            return least;
        }
        path = str_sub(path, 0, (size_t)slash);
    }
}

/* Whether the comma-separated list holds "cpu". */
static bool linux_names_cpu(struct str names) {
    while (names.p) {
        if (str_eq(str_cut(&names, ','), STR("cpu"))) {
            return true;
        }
    }
    return false;
}

MLXK_FN int os_linux_quota(const char *root_cstr) {
    char file[LIMIT_PATH], text[4096];
    (void)snprintf(file, sizeof file, "%s/proc/self/cgroup", root_cstr);
    struct str rest = os_read_small(file, text, sizeof text);
    int least = 0;
    while (rest.n > 0) {                         /* "0::/path" or "1:cpu,cpuacct:/path" */
        struct str path = str_cut(&rest, '\n');
        (void)str_cut(&path, ':');
        struct str names = str_cut(&path, ':');
        path = str_eq(path, STR("/")) ? STR_EMPTY : path;
        if (names.p && (names.n == 0 || linux_names_cpu(names))) {
            const char *mount = names.n ? "/sys/fs/cgroup/cpu" : "/sys/fs/cgroup";
            least = linux_least(least, linux_path_quota(root_cstr, mount, path, names.n == 0));
        }
    }
    return least;
}

MLXK_FN int os_sys_cpu_count(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? os_linux_cores("", &set) : 0;
    return linux_least(cores > 0 ? cores : os_sys_cpus_online(), os_linux_quota(""));
}

#if defined(__aarch64__)
MLXK_FN uint32_t os_sys_arm_features(void) {
    /* Bits of the kernel's ABI (arch/arm64 hwcap): spelled out, old headers lack the newer ones. */
    static const struct { int word; unsigned long mask; uint32_t feature; } rows[] = {
        { 1, 1ul << 1, CPU_NEON }, { 1, 1ul << 20, CPU_DOTPROD }, { 2, 1ul << 13, CPU_I8MM },
        { 1, 1ul << 9 | 1ul << 10, CPU_FP16 }, { 2, 1ul << 14, CPU_BF16 },
        { 1, 1ul << 6, CPU_ARM_SHA2 }, { 1, 1ul << 3, CPU_ARM_AES },
    };
    uint32_t found = 0;
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        unsigned long have = getauxval(rows[i].word == 1 ? AT_HWCAP : AT_HWCAP2);
        found |= (have & rows[i].mask) == rows[i].mask ? rows[i].feature : 0;
    }
    return found;
}
#endif

/* GNU's library has other sources of names, and a system of plug-ins for more. */
MLXK_FN bool os_names_by_servers(void) {
#if defined(__GLIBC__)
    return false;
#else
    return true;
#endif
}

MLXK_FN void os_sys_cpu_name(char *out, size_t cap) {
    char text[4096];
    struct str rest = os_read_small("/proc/cpuinfo", text, sizeof text);
    out[0] = '\0';
    while (rest.n > 0) {
        struct str value = str_cut(&rest, '\n'), key = str_trim(str_cut(&value, ':'));
        if (str_eq(key, STR("model name")) || str_eq(key, STR("Model"))) {
            (void)snprintf(out, cap, STR_FMT, STR_ARG(str_trim(value)));
            return;
        }
    }
}

/* ---- memory ---- */

MLXK_FN uint64_t os_sys_total_memory(void) {
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

MLXK_FN uint64_t os_sys_peak_memory(void) {
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss * 1024 : 0;   /* kilobytes */
}

#endif
