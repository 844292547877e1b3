/* os_linux.c: what only Linux does this way (the (os) functions of platform_int.h).
 *
 * Works with glibc and musl, on x86-64 and ARM64. /proc and /sys are asked politely: whatever is
 * missing there (containers hide much) falls back to an answer that is safe.
 */
#if defined(__linux__)

#include "platform/platform_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { LINUX_CPUS_MAX = 4096 };

/* ---- files ---- */

MLXK_FN void os_sys_times(const struct stat *st, struct os_stat *out) {
    out->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    out->atime_ns = (int64_t)st->st_atim.tv_sec * 1000000000 + st->st_atim.tv_nsec;
    out->ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

MLXK_FN int os_sys_preallocate(int fd, uint64_t size_bytes) {
    int result;
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

MLXK_FN int os_send_file(int socket_fd, int file_fd, uint64_t offset_bytes, size_t n,
                         size_t *n_done) {
    off_t offset = (off_t)offset_bytes;
    ssize_t sent;
    do {
        sent = sendfile(socket_fd, file_fd, &offset, n);
    } while (sent < 0 && errno == EINTR);
    *n_done = sent > 0 ? (size_t)sent : 0;
    return sent < 0 ? errno : 0;
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

/* Smallest limit from the group `path` up to the root of its hierarchy; 0 = none. In a container the
 * path may be the host's and not exist here: then its parents are what counts. */
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
