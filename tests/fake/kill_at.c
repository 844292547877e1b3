/* kill_at.c: runs a command and disturbs it at its n-th system call that changes the file system.
 *
 *   kill_at REPORT count 0 CMD...         lets it run
 *   kill_at REPORT kill N CMD...          SIGKILL before the n-th call takes effect
 *   kill_at REPORT tear N CMD...          the n-th call, a write, stores half of its bytes, then SIGKILL
 *   kill_at REPORT ERRNO N CMD...         the n-th call fails with ENOSPC, EIO, EACCES, EDQUOT, EROFS,
 *                                         ENOLCK or ENOSYS
 *   kill_at REPORT meanwhile N CMD...     before the n-th call the shell runs $MEANWHILE, then CMD goes on
 *   kill_at REPORT CALL=ERRNO 0 CMD...    every CALL fails with it: flock=ENOLCK is a file system without
 *                                         locks, symlinkat=EPERM one without links; flock=NONE: it
 *                                         is granted to everybody, as on some shared file systems.
 *                                         openat=EINVAL, but with $KILL_ONLY in the path: FAT and "?";
 *                                         openat=STRIP: dots and spaces at the end of it are left out
 *
 * Every call is stopped on entry by ptrace and judged by the kernel's own description of it, in all
 * threads and children. Written to REPORT: "seen COUNT" and "hit NAME PATH" when the n-th call came.
 * Exit status: the command's, 128 + signal when one ended it, 125 when it could not be run, 77 where this
 * program does not know the machine.
 *
 * Calls counted: opening with O_CREAT or O_TRUNC; writing to, cutting, reserving, cloning or flushing a
 * regular file; making, linking, renaming and removing names; modes, owners, times, attributes.
 */
#define _GNU_SOURCE
#include <stdio.h>

#if !defined(__linux__) || !defined(__x86_64__)
int main(void) {
    (void)fputs("kill_at: knows Linux on x86-64 only\n", stderr);
    return 77;
}
#else

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILL_EVENT_INFO = 0x420e, KILL_OP_ENTRY = 1, KILL_OP_EXIT = 2, KILL_FICLONE = 0x40049409,
       KILL_NOTHING = 100000, KILL_STRIP };

/* As linux/ptrace.h has it; spelled out because C libraries disagree on its name. */
struct kill_info {
    uint8_t op, pad[3];
    uint32_t arch;
    uint64_t ip, sp;
    union {
        struct { uint64_t nr, args[6]; } entry;
        struct { int64_t value; uint8_t is_error; } exit;
    } u;
};

enum kill_what { KILL_NAME, KILL_NAME_AT, KILL_FD, KILL_FD_WRITE, KILL_OPEN, KILL_OPEN_AT, KILL_IOCTL };
struct kill_call { long nr; enum kill_what what; const char *name; };

static const struct kill_call kill_calls[] = {
#define KILL_CALL(name, what) { SYS_##name, what, #name }
    KILL_CALL(open, KILL_OPEN), KILL_CALL(openat, KILL_OPEN_AT), KILL_CALL(creat, KILL_NAME),
    KILL_CALL(write, KILL_FD_WRITE), KILL_CALL(pwrite64, KILL_FD_WRITE), KILL_CALL(writev, KILL_FD),
    KILL_CALL(pwritev, KILL_FD), KILL_CALL(copy_file_range, KILL_FD), KILL_CALL(sendfile, KILL_FD),
    KILL_CALL(ftruncate, KILL_FD), KILL_CALL(truncate, KILL_NAME), KILL_CALL(fallocate, KILL_FD),
    KILL_CALL(fsync, KILL_FD), KILL_CALL(fdatasync, KILL_FD), KILL_CALL(ioctl, KILL_IOCTL),
    KILL_CALL(rename, KILL_NAME), KILL_CALL(renameat, KILL_NAME_AT), KILL_CALL(renameat2, KILL_NAME_AT),
    KILL_CALL(link, KILL_NAME), KILL_CALL(linkat, KILL_NAME_AT), KILL_CALL(symlink, KILL_NAME),
    KILL_CALL(symlinkat, KILL_NAME), KILL_CALL(unlink, KILL_NAME), KILL_CALL(unlinkat, KILL_NAME_AT),
    KILL_CALL(rmdir, KILL_NAME), KILL_CALL(mkdir, KILL_NAME), KILL_CALL(mkdirat, KILL_NAME_AT),
    KILL_CALL(mknod, KILL_NAME), KILL_CALL(mknodat, KILL_NAME_AT), KILL_CALL(chmod, KILL_NAME),
    KILL_CALL(fchmod, KILL_FD), KILL_CALL(fchmodat, KILL_NAME_AT), KILL_CALL(chown, KILL_NAME),
    KILL_CALL(fchown, KILL_FD), KILL_CALL(lchown, KILL_NAME), KILL_CALL(fchownat, KILL_NAME_AT),
    KILL_CALL(utimensat, KILL_NAME_AT), KILL_CALL(setxattr, KILL_NAME), KILL_CALL(fsetxattr, KILL_FD),
    KILL_CALL(removexattr, KILL_NAME),
#undef KILL_CALL
};
static const struct kill_call kill_flock = { SYS_flock, KILL_FD, "flock" };

struct kill_run {
    FILE *report;
    long at, seen;
    bool kills, tears, pauses;
    int fails_with;                      /* errno; 0 = none */
    const struct kill_call *never;       /* this call fails each time, with... */
    int never_with;
    pid_t disturbed;                     /* the thread whose call is being changed, or 0 */
    int exit_value;                      /* what that call shall return */
    uint64_t stripped_at;                /* or the byte of its path that was taken away, 0 = none */
    char stripped;
};

static int kill_errno(const char *name) {
    static const struct { const char *name; int value; } names[] = {
        { "ENOSPC", ENOSPC }, { "EIO", EIO }, { "EACCES", EACCES }, { "EDQUOT", EDQUOT },
        { "EROFS", EROFS }, { "ENOLCK", ENOLCK }, { "ENOSYS", ENOSYS }, { "EXDEV", EXDEV },
        { "EPERM", EPERM }, { "EINVAL", EINVAL }, { "NONE", KILL_NOTHING }, { "STRIP", KILL_STRIP },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, name) == 0) {
            return names[i].value;
        }
    }
    return 0;
}

/* ---- looking at a call ---- */

static void kill_read_text(pid_t pid, uint64_t address, char *out, size_t cap) {
    size_t n = 0;
    while (n + sizeof(long) < cap) {
        errno = 0;
        long word = ptrace(PTRACE_PEEKDATA, pid, (void *)(uintptr_t)(address + n), NULL);
        if (errno) {
            break;
        }
        memcpy(out + n, &word, sizeof word);
        if (memchr(&word, 0, sizeof word)) {
            return;
        }
        n += sizeof word;
    }
    out[n] = '\0';
}

/* The path of a descriptor that is open on a regular file or folder; false for all others. */
static bool kill_fd_path(pid_t pid, uint64_t fd, char *out, size_t cap) {
    char name[64];
    struct stat st;
    (void)snprintf(name, sizeof name, "/proc/%d/fd/%d", (int)pid, (int)fd);
    ssize_t n = readlink(name, out, cap - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 && stat(name, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

static bool kill_changes(pid_t pid, const struct kill_call *c, const uint64_t args[6], char *path,
                         size_t cap) {
    switch (c->what) {
    case KILL_FD: case KILL_FD_WRITE: return kill_fd_path(pid, args[0], path, cap);
    case KILL_IOCTL: return args[1] == KILL_FICLONE && kill_fd_path(pid, args[0], path, cap);
    case KILL_NAME: kill_read_text(pid, args[0], path, cap); return true;
    case KILL_NAME_AT: kill_read_text(pid, args[1], path, cap); return true;
    case KILL_OPEN:
        kill_read_text(pid, args[0], path, cap);
        return (args[1] & (O_CREAT | O_TRUNC)) != 0;
    case KILL_OPEN_AT:
        kill_read_text(pid, args[1], path, cap);
        return (args[2] & (O_CREAT | O_TRUNC)) != 0;
    }
    return false;
}

/* ---- disturbing ---- */

static void kill_skip_call(struct kill_run *r, pid_t pid, int errno_value) {
    (void)ptrace(PTRACE_POKEUSER, pid, (void *)offsetof(struct user_regs_struct, orig_rax), (void *)-1L);
    r->disturbed = pid;
    r->exit_value = errno_value == KILL_NOTHING ? 0 : -errno_value;
}

/* While the traced command stands still. */
static void kill_meanwhile(void) {
    const char *text = getenv("MEANWHILE");
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/sh", "sh", "-c", text ? text : "exit 1", (char *)NULL);
        _exit(125);
    }
    (void)waitpid(pid, &status, 0);
}

static void kill_poke(pid_t pid, uint64_t address, char byte) {
    void *at = (void *)(uintptr_t)address;
    long word = ptrace(PTRACE_PEEKDATA, pid, at, NULL);
    (void)ptrace(PTRACE_POKEDATA, pid, at, (void *)((word & ~0xffL) | (unsigned char)byte));
}

/* A path ends before its last dots and spaces for as long as the call lasts. */
static void kill_strip(struct kill_run *r, pid_t pid, uint64_t address, const char *path) {
    size_t n = strlen(path), all = n;
    while (n && (path[n - 1] == '.' || path[n - 1] == ' ')) {
        n--;
    }
    if (n < all) {
        r->stripped_at = address + n;
        r->stripped = path[n];
        r->disturbed = pid;
        kill_poke(pid, r->stripped_at, '\0');
    }
}

/* The call that fails each time, when it is about a path that is meant. */
static bool kill_never(struct kill_run *r, pid_t pid, const struct kill_info *info) {
    char path[4096] = "";
    const char *only = getenv("KILL_ONLY");
    if (!r->never || info->u.entry.nr != (uint64_t)r->never->nr) {
        return false;
    }
    if ((only || r->never_with == KILL_STRIP)
        && (!kill_changes(pid, r->never, info->u.entry.args, path, sizeof path)
            || (only && !strstr(path, only)))) {
        return false;
    }
    if (r->never_with == KILL_STRIP) {
        kill_strip(r, pid, info->u.entry.args[r->never->what == KILL_OPEN_AT], path);
        return false;
    }
    kill_skip_call(r, pid, r->never_with);
    return true;
}

static void kill_enter(struct kill_run *r, pid_t pid, const struct kill_info *info) {
    char path[4096] = "";
    if (kill_never(r, pid, info)) {
        return;
    }
    for (size_t i = 0; i < sizeof kill_calls / sizeof *kill_calls; i++) {
        const struct kill_call *c = &kill_calls[i];
        if ((uint64_t)c->nr != info->u.entry.nr
            || !kill_changes(pid, c, info->u.entry.args, path, sizeof path) || ++r->seen != r->at) {
            continue;
        }
        (void)fprintf(r->report, "hit %s %s\n", c->name, path);
        (void)fflush(r->report);
        if (r->fails_with) {
            kill_skip_call(r, pid, r->fails_with);
        } else if (r->tears && c->what == KILL_FD_WRITE) {
            (void)ptrace(PTRACE_POKEUSER, pid, (void *)offsetof(struct user_regs_struct, rdx),
                         (void *)(uintptr_t)(info->u.entry.args[2] / 2));
            r->disturbed = pid;
        } else if (r->kills) {
            (void)kill(pid, SIGKILL);
        } else if (r->pauses) {
            kill_meanwhile();
        }
    }
}

static void kill_leave(struct kill_run *r, pid_t pid) {
    if (r->disturbed != pid) {
        return;
    }
    r->disturbed = 0;
    if (r->stripped_at) {
        kill_poke(pid, r->stripped_at, r->stripped);
        r->stripped_at = 0;
    } else if (r->tears) {
        (void)kill(pid, SIGKILL);
    } else {
        (void)ptrace(PTRACE_POKEUSER, pid, (void *)offsetof(struct user_regs_struct, rax),
                     (void *)(intptr_t)r->exit_value);
    }
}

/* ---- the life of the command ---- */

static int kill_follow(struct kill_run *r, pid_t command) {
    for (;;) {
        int status, deliver = 0;
        struct kill_info info;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) {
            return 125;
        }
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (pid == command) {
                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            }
            continue;
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            memset(&info, 0, sizeof info);
            (void)ptrace((enum __ptrace_request)KILL_EVENT_INFO, pid, (void *)sizeof info, &info);
            if (info.op == KILL_OP_ENTRY) {
                kill_enter(r, pid, &info);
            } else if (info.op == KILL_OP_EXIT) {
                kill_leave(r, pid);
            }
        } else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP) {
            deliver = WSTOPSIG(status);
        }
        (void)ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)deliver);
    }
}

static int kill_run_command(struct kill_run *r, char **command) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        (void)fclose(r->report);
        (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        (void)raise(SIGSTOP);
        (void)execvp(command[0], command);
        _exit(125);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)
        || ptrace(PTRACE_SETOPTIONS, pid, NULL,
                  (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK
                           | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)) != 0
        || ptrace(PTRACE_SYSCALL, pid, NULL, NULL) != 0) {
        perror("kill_at: cannot trace");
        return 125;
    }
    return kill_follow(r, pid);
}

/* "symlinkat=EPERM" */
static void kill_read_never(struct kill_run *r, const char *text) {
    const char *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : 0;
    if (n == 5 && strncmp(text, "flock", n) == 0) {
        r->never = &kill_flock;
    }
    for (size_t i = 0; n && i < sizeof kill_calls / sizeof *kill_calls; i++) {
        if (strncmp(kill_calls[i].name, text, n) == 0 && kill_calls[i].name[n] == '\0') {
            r->never = &kill_calls[i];
        }
    }
    r->never_with = equals ? kill_errno(equals + 1) : 0;
}

int main(int argc, char **argv) {
    struct kill_run r = { 0 };
    if (argc < 5) {
        (void)fputs("usage: kill_at REPORT count|kill|tear|meanwhile|ERRNO|CALL=ERRNO N CMD...\n", stderr);
        return 125;
    }
    r.report = fopen(argv[1], "we");
    r.at = strtol(argv[3], NULL, 10);
    r.tears = strcmp(argv[2], "tear") == 0;
    r.pauses = strcmp(argv[2], "meanwhile") == 0;
    r.kills = r.tears || strcmp(argv[2], "kill") == 0;
    kill_read_never(&r, argv[2]);
    r.fails_with = kill_errno(argv[2]);
    if (!r.report
        || !(r.kills || r.pauses || r.fails_with || (r.never && r.never_with) || strcmp(argv[2], "count") == 0)) {
        (void)fprintf(stderr, "kill_at: cannot write %s, or %s means nothing\n", argv[1], argv[2]);
        return 125;
    }
    int status = kill_run_command(&r, argv + 4);
    (void)fprintf(r.report, "seen %ld\n", r.seen);
    return fclose(r.report) == 0 ? status : 125;
}
#endif
