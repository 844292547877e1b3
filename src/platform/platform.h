/* platform.h: the only room that talks to an operating system or asks the CPU (level 1).
 *
 * Files, directories, mapping, locks, threads, clocks, entropy, terminals, signals, CPU features,
 * and the hashes that use CPU instructions. Everything else sees these names only.
 * Paths are NUL-terminated (they go straight to the system); text about them goes into err.
 *
 * err    errno becomes ERR_DISK_FULL (ENOSPC, EDQUOT, EFBIG), ERR_READ_ONLY (EROFS, EACCES, EPERM),
 *        ERR_NOT_FOUND (ENOENT, ENOTDIR), ERR_EXISTS (EEXIST, ENOTEMPTY), ERR_NO_MEMORY (ENOMEM),
 *        else ERR_IO; msg names the path and the system's reason, hint says what to do.
 * thread any thread unless said otherwise.
 */
#ifndef MLXK_PLATFORM_H
#define MLXK_PLATFORM_H

#include "base/base.h"

/* ---- environment and paths (path.c) ---------------------------------------------------- */

MLXK_FN const char *os_env(const char *name_cstr);                /* NULL = unset; empty stays "" */
/* Boolean variable as the hub reads it: 1 on yes true, any case. */
MLXK_FN bool os_env_true(const char *name_cstr);
/* Joins with exactly one '/'; b absolute gives b. NULL = no memory. Both in arena a. */
MLXK_FN char *os_path_join(struct arena *a, const char *x_cstr, const char *y_cstr);
MLXK_FN struct str os_path_base(const char *path_cstr);           /* last component, borrowed */
MLXK_FN char *os_path_dir(struct arena *a,
                          const char *path_cstr); /* all but the last component, "." */
/* "~", "~/x", "$VAR" and "${VAR}" expanded as Python's expanduser + expandvars. */
MLXK_FN char *os_path_expand(struct arena *a, const char *path_cstr);
/* Where this program keeps derived files of its own: $VARIABLE/mlxk when that is an absolute path,
 * else ~/BELOW/mlxk ("XDG_STATE_HOME", ".local/state"). NULL: there is no such place, or no
 * memory. */
MLXK_FN char *os_own_dir(struct arena *a, const char *variable_cstr, const char *below_cstr);
/* lexical, no links */
MLXK_FN char *os_path_absolute(struct arena *a, const char *path_cstr, struct err *e);
/* links resolved, must exist */
MLXK_FN char *os_path_real(struct arena *a, const char *path_cstr, struct err *e);
MLXK_FN char *os_cwd(struct arena *a, struct err *e);
MLXK_FN char *os_exe_path(struct arena *a);                       /* NULL = unknown */

/* ---- files (file.c) ------------------------------------------------------------------------ */

enum os_kind { OS_NONE, OS_FILE, OS_DIR, OS_LINK, OS_OTHER };
struct os_stat {
    enum os_kind kind;
    uint64_t size_bytes, inode, device;
    uint64_t disk_bytes;                  /* blocks really used */
    int64_t mtime_ns, atime_ns, ctime_ns; /* since 1970, UTC; ctime: any change, cannot be set */
    uint32_t mode, n_links, uid, gid;
};
/* false with kind OS_NONE when it does not exist or cannot be seen. os_lstat does not follow
 * links. */
MLXK_FN bool os_stat(const char *path_cstr, struct os_stat *out);
MLXK_FN bool os_lstat(const char *path_cstr, struct os_stat *out);
MLXK_FN bool os_fstat(int fd, struct os_stat *out);
/* As os_stat, of a path below an open folder: the way to that folder is not walked again. */
MLXK_FN bool os_stat_at(int dir_fd, const char *path_cstr, struct os_stat *out);

enum os_open_mode {
    OS_READ,            /* existing, read only */
    OS_CREATE_NEW,      /* write, must not exist (O_EXCL) */
    OS_WRITE,           /* read and write, created when absent, kept as it is */
    OS_WRITE_OWN,       /* the same, but never through a symbolic link */
    OS_TRUNCATE,        /* write, created or emptied */
    OS_APPEND,          /* write at the end, created when absent */
};
/* fd >= 0 (close-on-exec), or -1 and e. New files get 0666 & ~umask. */
MLXK_FN int  os_open(const char *path_cstr, enum os_open_mode mode, struct err *e);
/* As OS_READ, of a regular file alone; a pipe of that name is not waited for. Fills *st.
 * err: ERR_IO for what is no file. */
MLXK_FN int os_open_regular(const char *path_cstr, struct os_stat *st, struct err *e);
MLXK_FN void os_close(int fd /* -1 = nothing */);
/* Whole transfers: interrupted and short calls are continued, but for reading that waits when the
 * user has stopped the program (ERR_INTERRUPTED). read: *n_read < n only at end of file. */
MLXK_FN bool os_read(int fd, void *p, size_t n, size_t *n_read, struct err *e);
MLXK_FN bool os_pread(int fd, void *p, size_t n, uint64_t offset_bytes, size_t *n_read,
                      struct err *e);
/* One read(2) call, for pipes and terminals: what is there now; *n_read 0 = end of input. */
MLXK_FN bool os_read_some(int fd, void *p, size_t n, size_t *n_read, struct err *e);
MLXK_FN bool os_write(int fd, const void *p, size_t n, struct err *e);
MLXK_FN bool os_pwrite(int fd, const void *p, size_t n, uint64_t offset_bytes, struct err *e);
MLXK_FN bool os_truncate(int fd, uint64_t size_bytes, struct err *e);
/* false only when space is missing */
MLXK_FN bool os_preallocate(int fd, uint64_t size_bytes, struct err *e);
MLXK_FN bool os_sync(int fd, struct err *e);     /* data and size reach the device */
/* These bytes begin their way to the device now, without waiting, so that os_sync finds little left
 * to do. false: some have no room there, and os_sync will not say so; they are lost. */
MLXK_FN bool os_write_behind(int fd, uint64_t offset_bytes, uint64_t n, struct err *e);
/* To read what the device has, past the memory: from and into multiples of 4096. -1 = cannot. */
MLXK_FN int os_open_direct(const char *path_cstr);
MLXK_FN bool os_sync_dir(const char *dir_cstr, struct err *e);    /* names in it reach the device */
/* All that was written to the file system of dir_cstr reaches the device: one call for many small
 * files. *done false: the system or the file system cannot, os_sync is to be called for each. */
MLXK_FN bool os_sync_volume(const char *dir_cstr, bool *done, struct err *e);
/* Whole file into the arena (a NUL behind it); ERR_LIMIT when larger than max_bytes; regular files
 * only. */
MLXK_FN bool os_read_file(struct arena *a, const char *path_cstr, size_t max_bytes, struct str *out,
                          struct err *e);
/* All of an open descriptor to its end (stdin, pipes) into b; limit is b's. */
MLXK_FN bool os_read_all(int fd, struct buf *b, struct err *e);
/* Appears whole or not at all: unique temporary beside it, write, fsync, rename, fsync of the
 * folder. With identical content present nothing is written. The permissions of an existing file
 * are kept (for a secret: create it empty, os_chmod 0600, then write). A link is replaced by a
 * file. */
MLXK_FN bool os_write_file(const char *path_cstr, struct str content, struct err *e);
MLXK_FN bool os_rename(const char *from_cstr, const char *to_cstr, struct err *e);
/* A file with this content appears under a name below an open folder (negative: none, both are
 * paths), whole and synced (not the folder), in place of what stood there. It is written as `temp`,
 * which must not exist; on failure nothing of it stays. */
MLXK_FN bool os_place_at(int dir_fd, const char *temp_cstr, const char *name_cstr,
                         struct str content, struct err *e);
/* Two names of one file system change places in one step; false = it cannot be done so here. */
MLXK_FN bool os_exchange(const char *x_cstr, const char *y_cstr);
MLXK_FN bool os_unlink(const char *path_cstr, struct err *e);     /* absent = success */
/* Link `path` with content `target`; an existing link with that target is success. */
MLXK_FN bool os_symlink(const char *target_cstr, const char *path_cstr, struct err *e);
/* The same with a path below an open folder: the way to that folder is not walked again. */
MLXK_FN bool os_symlink_at(const char *target_cstr, int dir_fd, const char *path_cstr,
                           struct err *e);
MLXK_FN char *os_readlink(struct arena *a, const char *path_cstr, struct err *e);
MLXK_FN bool os_hardlink(const char *from_cstr, const char *to_cstr, struct err *e);
/* Bytes of a file straight into a non-blocking socket, from offset_bytes. 0, or an errno: EAGAIN
 * when the socket is full, EINVAL and ENOSYS when these two cannot be joined. *n_done 0 with 0: end
 * of file. */
MLXK_FN int os_send_file(int socket_fd, int file_fd, uint64_t offset_bytes, size_t n,
                         size_t *n_done);
/* Raises the number of descriptors this process may have towards `wanted`, as far as it may; gives
 * the number that holds now. */
MLXK_FN int  os_descriptors(int wanted);
MLXK_FN bool os_reflink(int from_fd, int to_fd);       /* false = cannot (always so on Darwin) */
MLXK_FN bool os_chmod(const char *path_cstr, uint32_t mode, struct err *e);
MLXK_FN bool os_set_mtime(const char *path_cstr, int64_t mtime_ns, struct err *e);
/* Bytes that this user may still write into the file system holding path: what is free, or less by
 * a quota. by_cstr: "" or " by your quota", to put behind the number. */
struct os_room { uint64_t free_bytes, total_bytes; const char *by_cstr; };
MLXK_FN bool os_room_read(const char *path_cstr, struct os_room *out, struct err *e);
/* Test aid: the n-th mutating file call from now fails with `errno_value`, or kills the process
 * when it is -9; 0 = off. Also read from MLXK_FAULT_FILE="n:errno" at the first call in debug
 * builds. */
MLXK_TEST_AID MLXK_FN void os_file_fail_after(long n, int errno_value);

/* ---- directories (dir.c) ------------------------------------------------------------------- */

struct os_entry {
    struct str name;
    enum os_kind kind;                    /* without following links */
    /* os_list_targets only: where it leads; OS_NONE for folders and dead links */
    enum os_kind target;
    uint64_t size_bytes;                  /* os_list_targets only: of the target */
    struct str content;     /* os_list_targets only: of a wanted file; p NULL: not read */
};
/* Entries of a folder except . and .., sorted by byte order, in the arena. At most max_entries
 * (ERR_LIMIT). */
MLXK_FN bool os_list_dir(struct arena *a, const char *path_cstr, size_t max_entries,
                         struct os_entry **out, size_t *n_out, struct err *e);
/* The same, with links followed: one look per entry, cheaper than os_stat on each path. Files that
 * `wanted` (or NULL) picks out are read too, if they have at most OS_LIST_CONTENT bytes; mtime_ns
 * (or NULL) is the folder's own. */
enum { OS_LIST_CONTENT = 1 << 16 };
MLXK_FN bool os_list_targets(struct arena *a, const char *path_cstr, size_t max_entries,
                             bool (*wanted)(struct str name, uint64_t size_bytes),
                             int64_t *mtime_ns, struct os_entry **out, size_t *n_out,
                             struct err *e);
/* 0777 & ~umask; existing = success */
MLXK_FN bool os_mkdirs(const char *path_cstr, struct err *e);
MLXK_FN bool os_rmdir(const char *path_cstr, struct err *e);   /* empty folder; absent = success */
/* Removes a tree without following links out of it (openat, O_NOFOLLOW). Absent = success. */
MLXK_FN bool os_remove_tree(const char *path_cstr, struct err *e);

/* ---- mapping (mmap.c) ------------------------------------------------------------------------ */

struct os_map { const uint8_t *p; size_t size_bytes; };
/* Maps a regular file read-only and private. An empty file gives p != NULL, size 0.
 * A file that shrinks afterwards raises SIGBUS: os_signals_init turns that into a message, exit
 * 1. */
MLXK_FN bool os_map_file(const char *path_cstr, struct os_map *out, struct err *e);
MLXK_FN void os_unmap(struct os_map *m);
/* Page-aligned zeroed memory straight from the system (huge pages asked for): KV cache, buffers. */
MLXK_FN void *os_pages_alloc(size_t size_bytes, struct err *e);
MLXK_FN void  os_pages_free(void *p /* or NULL */, size_t size_bytes);

/* ---- locks (lock.c) -------------------------------------------------------------------------- */

/* flock(2) on a lock file, compatible with other hub clients (hub.md 1.8): created 0664, never
 * removed; after acquiring, the inode is compared with the path's and retried when it was replaced.
 * ENOSYS/ENOTSUP: an O_EXCL file `<path>.soft` with host:pid is used instead. */
struct os_lock { int fd; bool soft; char path[LIMIT_PATH]; };
/* wait_ms: 0 = try once, negative = wait for ever. ERR_LOCKED when it stays taken. */
MLXK_FN bool os_lock_acquire(struct os_lock *l, const char *path_cstr, int64_t wait_ms,
                             struct err *e);
MLXK_FN void os_lock_release(struct os_lock *l);

/* ---- threads (thread.c) ---------------------------------------------------------------------- */

/* A fixed team of n threads including the caller. Workers spin about 50 us between jobs, then
 * sleep. */
struct os_team;
MLXK_FN struct os_team *os_team_open(int n_threads, struct err *e);   /* NULL = failed; 1..256 */
MLXK_FN void os_team_close(struct os_team *t /* or NULL */);
/* Runs fn(ctx, part, n_parts) once on every member, part 0 on the caller; returns when all are
 * done. Memory written before is seen by all, and theirs by the caller after. Not re-entrant. */
MLXK_FN void os_team_run(struct os_team *t, void (*fn)(void *ctx, int part, int n_parts),
                         void *ctx);
/* Inside fn: waits until every member has arrived. Spins; with more members than CPUs it yields. */
MLXK_FN void os_team_barrier(struct os_team *t, int part);
/* Physical cores this process may use (affinity mask and cgroup quota, rounded up, respected; the
 * performance cores on Darwin), 1..256. */
MLXK_FN int  os_cpu_count(void);

struct os_thread;                          /* a background thread of its own */
MLXK_FN struct os_thread *os_thread_start(void (*fn)(void *ctx), void *ctx, struct err *e);
MLXK_FN void os_thread_join(struct os_thread *t);
/* on: this thread, and those it starts, work rather than answer: waking up, they let others run on
 * (SCHED_BATCH), which saves switches where two cores have three to serve. off: as it was. Where a
 * policy was chosen from outside, or the system has none: nothing. (os_linux.c, os_darwin.c) */
MLXK_FN void os_thread_batch(bool on);
/* This thread takes what the others leave of the processors, for good: nice 10, where it had less.
 * Where the system knows no niceness of threads: nothing. (os_linux.c, os_darwin.c) */
MLXK_FN void os_thread_lower(void);
struct os_mutex { _Alignas(16) unsigned char opaque[64]; };
MLXK_FN void os_mutex_init(struct os_mutex *m);
MLXK_FN void os_mutex_lock(struct os_mutex *m);
MLXK_FN void os_mutex_unlock(struct os_mutex *m);
struct os_cond { _Alignas(16) unsigned char opaque[64]; };
MLXK_FN void os_cond_init(struct os_cond *c);
/* false = timed out */
MLXK_FN bool os_cond_wait(struct os_cond *c, struct os_mutex *m, int64_t wait_ms);
MLXK_FN void os_cond_broadcast(struct os_cond *c);
MLXK_FN void os_cond_signal(struct os_cond *c);     /* wakes one of those that wait */

/* ---- the machine (machine.c) ----------------------------------------------------------------- */

struct os_volume {                    /* the file system that holds a path; 0 = unknown */
    uint64_t free_bytes, total_bytes, free_files, total_files;
    char kind[24];                    /* "ext4", "nfs", "0x1234", "unknown" */
    bool network, read_only;
};
MLXK_FN bool os_volume_read(const char *path_cstr, struct os_volume *out, struct err *e);
struct os_quota {                     /* 0 = none */
    uint64_t used_bytes, limit_bytes, soft_bytes; /* soft: may be passed until grace_until_s */
    int64_t grace_until_s;            /* since 1970; 0 = the soft limit is not passed */
    bool group;                       /* of the group that new files in that folder get */
};
/* What such a quota leaves at that time; UINT64_MAX: it has no limit. Pure. */
MLXK_FN uint64_t os_quota_left(const struct os_quota *q, int64_t now_s);
/* The narrower of this user's and this group's quota on the volume of path (what a project's
 * quota leaves, Linux tells as free space already). false = none, or the system does not tell. */
MLXK_FN bool os_quota_read(const char *path_cstr, struct os_quota *out);
MLXK_FN uint32_t os_umask(void);      /* changes it for a moment: one thread only */
MLXK_FN uint64_t os_max_open_files(void);         /* 0 = no limit or unknown */
MLXK_FN uint64_t os_max_file_bytes(void);         /* ulimit -f; UINT64_MAX = no limit */
MLXK_FN bool os_may_write(const char *path_cstr);
/* Advice: these bytes were read once and will not be wanted again (cached pages may go); size 0 =
 * the whole file will be read from front to back, which is no use of it (its access time stays). */
MLXK_FN void os_file_passed(int fd, uint64_t offset_bytes, uint64_t size_bytes);

enum os_lock_state { OS_LOCK_ABSENT, OS_LOCK_FREE, OS_LOCK_HELD, OS_LOCK_UNKNOWN };
/* Does somebody hold this lock file now? Creates and changes nothing. */
MLXK_FN enum os_lock_state os_lock_look(const char *path_cstr);

/* Files that other processes have open or mapped, by device and inode. */
struct os_users {
    struct arena *arena;
    struct map files;
    bool known;                       /* the system tells at all */
    size_t n_hidden;                  /* processes that may not be looked at */
};
/* err: out of memory only; release with os_users_release, also after a failure. */
MLXK_FN bool os_users_read(struct arena *a, struct os_users *out, struct err *e);
MLXK_FN void os_users_release(struct os_users *u);
MLXK_FN bool os_users_has(const struct os_users *u, const struct os_stat *st);

/* ---- clock, entropy (clock.c, entropy.c) ----------------------------------------------------- */

MLXK_FN int64_t os_now_ns(void);                    /* monotonic */
MLXK_FN int64_t os_time_ns(void);                   /* since 1970, UTC */
MLXK_FN void    os_sleep_ms(int64_t ms);            /* returns early on an interrupt */
/* "2026-03-14T15:09:26Z" into out[21]. */
MLXK_FN void    os_format_time(char out[32], int64_t time_ns);
struct os_date {
    int year, month, day, hour, minute, second, weekday /* 0 = Monday */, yearday /* 1.. */;
};
MLXK_FN struct os_date os_date_utc(int64_t time_s);
MLXK_FN struct os_date os_date_local(int64_t time_s);
MLXK_FN void    os_entropy(void *p, size_t n);      /* aborts when the system has none */
MLXK_FN int     os_pid(void);
MLXK_FN void    os_hostname(char *out, size_t cap);
/* Names of hosts come from /etc/hosts and the servers of /etc/resolv.conf, from nobody else. */
MLXK_FN bool    os_names_by_servers(void);
/* Host, start of the system, and space of process numbers: where two processes find the same text,
 * each can tell whether the other lives. */
MLXK_FN void    os_place(char out[256]);
MLXK_FN bool    os_process_lives(int64_t pid);

/* ---- terminal, signals (tty.c, signal.c) ----------------------------------------------------- */

MLXK_FN bool os_is_tty(int fd);
MLXK_FN int  os_tty_columns(int fd);                   /* 80 when unknown; COLUMNS wins */
/* on: keys one by one, unechoed, Ctrl-C and Ctrl-Z as bytes; off: as found. Restored at exit. */
MLXK_FN bool os_tty_raw(int fd, bool on, struct err *e);
/* SIGINT and SIGTERM set a flag instead of ending the process while caught (the third one before a
 * reset ends it); SIGPIPE keeps its default for stdout pipelines (silent end), sockets write with
 * MSG_NOSIGNAL. os_signals_init also explains faults in mapped files (os_map_file). */
MLXK_FN void os_signals_init(void);
MLXK_FN void os_interrupt_catch(bool on);
MLXK_FN bool os_interrupted(void);                  /* true since the last reset */
/* false (ERR_INTERRUPTED): the user wants it stopped. Asked in every loop that may take long. */
MLXK_FN bool os_go_on(struct err *e);
MLXK_FN void os_interrupt_reset(void);
/* A server's way: while on, SIGINT and SIGTERM are only counted (those caught before as well; the
 * third ends the process) and a reader that goes away raises no SIGPIPE. os_interrupt_raise makes
 * os_interrupted true, so that every waiting transfer ends. */
MLXK_FN void os_serving(bool on);
MLXK_FN int  os_stop_count(void);
MLXK_FN void os_interrupt_raise(void);

/* Peak resident memory of this process in bytes, and physical memory of the machine; 0 =
 * unknown. */
MLXK_FN uint64_t os_peak_memory(void);
MLXK_FN uint64_t os_total_memory(void);
/* Name of system and release, "Linux 6.1.0 x86_64". */
MLXK_FN void os_system_name(char *out, size_t cap);

/* ---- other programs (spawn.c) ---------------------------------------------------------------- */

/* A program run to its end, without a shell. */
struct os_spawn {
    /* NULL-terminated; argv[0] is looked for on PATH unless it has a '/' */
    const char *const *argv;
    const char *dir_cstr;        /* its working folder, or NULL: ours */
    const char *const *env;      /* changes to our environment: "NAME=value" sets, "NAME" removes;
                                  * NULL-terminated, or NULL */
    struct str input;            /* its standard input; empty: /dev/null */
    struct buf *out;     /* its standard output; more than the buffer's maximum is ERR_LIMIT */
    struct buf *diag;            /* or NULL: its standard error, as far as the maximum allows */
    int64_t wait_ms;             /* then it is killed: ERR_NET_TIMEOUT; 0 = no limit */
};
/* true: it ran; *status is its exit status, or 128 + the signal that ended it. Whatever fails, no
 * child is left. err: ERR_NOT_FOUND (no such program), ERR_LIMIT, ERR_NET_TIMEOUT, ERR_INTERRUPTED,
 * IO. */
MLXK_FN bool os_spawn(const struct os_spawn *s, int *status, struct err *e);

/* ---- CPU (cpu.c) ----------------------------------------------------------------------------- */

enum cpu_feature { /* usable: CPU and operating system both have it */
                   CPU_SSE42 = 1 << 0,
                   CPU_AVX2 = 1 << 1 /* with FMA, F16C, BMI2 */,
                   CPU_AVX512 = 1 << 2 /* F BW VL DQ CD */,
                   CPU_AVX512_VNNI = 1 << 3,
                   CPU_AVX_VNNI = 1 << 4,
                   CPU_AVX512_BF16 = 1 << 5,
                   CPU_AVX512_VBMI = 1 << 6,
                   CPU_SHA_NI = 1 << 7,
                   CPU_AES_NI = 1 << 8,
                   CPU_PCLMUL = 1 << 9,
                   CPU_VAES = 1 << 10 /* and carry-less products, of two blocks at once */,
                   CPU_NEON = 1 << 16,
                   CPU_DOTPROD = 1 << 17,
                   CPU_I8MM = 1 << 18,
                   CPU_FP16 = 1 << 19,
                   CPU_BF16 = 1 << 20,
                   CPU_ARM_SHA2 = 1 << 21,
                   CPU_ARM_AES = 1 << 22,
};
MLXK_FN uint32_t cpu_features(void);                /* read once, then constant */
MLXK_FN struct str cpu_name(void);                  /* "AMD EPYC ..." or empty */
/* NULL = no such bit on this architecture */
MLXK_FN const char *cpu_feature_name(uint32_t one_bit);

/* ---- hashes (sha256*.c, sha1.c, sha512.c) ---------------------------------------------------- */

/* plain data: may be saved and resumed */
struct sha256 { uint32_t h[8]; uint64_t n_bytes; uint8_t block[64]; };
MLXK_FN void sha256_init(struct sha256 *s);
MLXK_FN void sha256_update(struct sha256 *s, const void *p, size_t n);
MLXK_FN void sha256_final(struct sha256 *s, uint8_t out[32]);
MLXK_FN void sha256_hex(struct str s, char out[65]);
/* Name of the variant in use: scalar, sha-ni, armv8. MLXK_KERNELS=scalar forces scalar. */
MLXK_FN const char *sha256_variant(void);
struct sha1 { uint32_t h[5]; uint64_t n_bytes; uint8_t block[64]; };     /* git blob names only */
MLXK_FN void sha1_init(struct sha1 *s);
MLXK_FN void sha1_update(struct sha1 *s, const void *p, size_t n);
MLXK_FN void sha1_final(struct sha1 *s, uint8_t out[20]);
struct sha512 { uint64_t h[8]; uint64_t n_bytes; uint8_t block[128]; };  /* plain data */
MLXK_FN void sha512_init(struct sha512 *s);
MLXK_FN void sha512_update(struct sha512 *s, const void *p, size_t n);
MLXK_FN void sha512_final(struct sha512 *s, uint8_t out[64]);
/* Streams a file through sha256; progress may be NULL: called with bytes done, returns false to
 * stop. */
MLXK_FN bool sha256_file(const char *path_cstr, uint8_t out[32],
                         bool (*progress)(void *ctx, uint64_t done_bytes), void *ctx,
                         struct err *e);

/* ---- AES-GCM over whole blocks (gcm*.c) ------------------------------------------------------ */

enum { GCM_POWERS_BYTES = 128 };
struct gcm_blocks {
    const uint8_t *round_keys;           /* n_rounds + 1 of 16 bytes, in the order of FIPS 197 */
    const uint8_t *powers;               /* of gcm_powers */
    int n_rounds;                        /* 10, 12, 14 */
    bool encrypt;
    uint8_t counter[16], hash[16]; /* last counter block used, and GHASH so far, as in SP 800-38D */
};
/* Name of the variant in use: vaes, aes-ni, armv8, or library: gcm_is_fast is false, the TLS
 * library does it all. MLXK_KERNELS=scalar forces that. */
MLXK_FN const char *gcm_variant(void);
MLXK_FN bool gcm_is_fast(void);
/* Powers of the hash key h (the zero block, encrypted); quick when they are those of h already, so
 * powers begin as zeros. Only when gcm_is_fast. */
MLXK_FN void gcm_powers(const uint8_t h[16], uint8_t powers[GCM_POWERS_BYTES]);
/* Encrypts or decrypts n_blocks of 16 bytes and goes on with counter and hash. out == in, or begins
 * before it. Only when gcm_is_fast. thread: any, each with its own g. */
MLXK_FN void gcm_run(struct gcm_blocks *g, const uint8_t *in, uint8_t *out, size_t n_blocks);
/* SHA-256 by instructions waits for itself most of the time, in which a processor can decrypt. From
 * here until gcm_take_back each gcm_run of this thread that decrypts adds bytes from p on to the
 * hash, as many as it decrypts, n at most. p and to stay the lender's, who leaves them alone. A
 * thread has one loan at a time. Where no variant does both, nothing is hashed. */
MLXK_FN void gcm_lend(struct sha256 *to, const uint8_t *p, size_t n);
/* How many of the n bytes, from the first on, are hashed; 0 = none, or nothing was lent. */
MLXK_FN size_t gcm_take_back(void);

#endif
