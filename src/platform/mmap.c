/* mmap.c: files mapped read-only, and large memory straight from the system.
 *
 * Mapped weights are borrowed by the model until it is closed. A file that somebody cuts while it
 * is mapped cannot be read any more: the system sends SIGBUS at some load instruction. The guard
 * turns that into one sentence and exit status 1, because no caller could go on.
 *
 * 1. Every mapping made here is listed in a fixed table that the signal handler reads; a slot is
 *    published by storing `start` last and withdrawn by clearing it first.
 * 2. When the table is full a mapping works all the same, only its fault has the system's message.
 */
#include "platform/platform_int.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MMAP_GUARD_SLOTS = 1024, MMAP_NAME_BYTES = 64 };

/* File-level state: what the SIGBUS handler may look at (named in docs/ARCHITECTURE.md). */
struct mmap_slot {
    atomic_uintptr_t start;                      /* 0 = free, 1 = being filled */
    atomic_size_t size_bytes;
    char name[MMAP_NAME_BYTES];                  /* end of the path, for the message */
};
static struct mmap_slot mmap_slots[MMAP_GUARD_SLOTS];

static void mmap_register(const void *p, size_t size_bytes, const char *path_cstr) {
    for (size_t i = 0; i < MMAP_GUARD_SLOTS; i++) {
        uintptr_t expected = 0;
        if (!atomic_compare_exchange_strong(&mmap_slots[i].start, &expected, 1)) {
            continue;
        }
        size_t n = strlen(path_cstr);
        const char *tail = n < MMAP_NAME_BYTES ? path_cstr : path_cstr + n - (MMAP_NAME_BYTES - 1);
        memcpy(mmap_slots[i].name, tail, strlen(tail) + 1);
        atomic_store(&mmap_slots[i].size_bytes, size_bytes);
        atomic_store(&mmap_slots[i].start, (uintptr_t)p);
        return;
    }
}

static void mmap_unregister(const void *p) {
    for (size_t i = 0; i < MMAP_GUARD_SLOTS; i++) {
        uintptr_t expected = (uintptr_t)p;
        if (atomic_compare_exchange_strong(&mmap_slots[i].start, &expected, 0)) {
            return;
        }
    }
}

static const char *mmap_find_name(uintptr_t address) {
    for (size_t i = 0; i < MMAP_GUARD_SLOTS; i++) {
        uintptr_t start = atomic_load(&mmap_slots[i].start);
        if (start > 1 && address - start < atomic_load(&mmap_slots[i].size_bytes)) {
            return mmap_slots[i].name;
        }
    }
    return NULL;
}

static void mmap_say(const char *text) {
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

/* Async-signal-safe calls only. */
static void mmap_on_fault(int signal_number, siginfo_t *info, void *context) {
    (void)context;
    const char *name = mmap_find_name((uintptr_t)info->si_addr);
    if (!name) {                                 /* not ours: die as without a handler */
        (void)signal(signal_number, SIG_DFL);
        (void)raise(signal_number);
        return;
    }
    os_tty_restore();
    mmap_say("\nmlxk: the model file ");
    mmap_say(name);
    mmap_say(" shrank or became unreadable while it was in use\n"
             "Do not change model files that are running; fetch the model again.\n");
    _exit(1);
}

MLXK_FN void os_map_guard(void) {
    struct sigaction action = { .sa_flags = SA_SIGINFO };
    action.sa_sigaction = mmap_on_fault;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGBUS, &action, NULL);
}

MLXK_FN bool os_map_file(const char *path_cstr, struct os_map *out, struct err *e) {
    static const uint8_t nothing[1] = { 0 };     /* an empty file: a place that is not NULL */
    struct os_stat st;
    int fd = os_open_regular(path_cstr, &st, e);
    if (fd < 0) {
        return false;
    }
    if (st.size_bytes == 0) {
        os_close(fd);
        *out = (struct os_map){ nothing, 0 };
        return true;
    }
    void *p = mmap(NULL, (size_t)st.size_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    int problem = errno;
    os_close(fd);
    if (p == MAP_FAILED) {
        return os_fail(e, problem, "map", path_cstr);
    }
    mmap_register(p, (size_t)st.size_bytes, path_cstr);
    *out = (struct os_map){ p, (size_t)st.size_bytes };
    return true;
}

MLXK_FN void os_unmap(struct os_map *m) {
    if (m->p && m->size_bytes > 0) {
        mmap_unregister(m->p);
        (void)munmap((void *)(uintptr_t)m->p, m->size_bytes);
    }
    *m = (struct os_map){ NULL, 0 };
}

MLXK_FN void *os_pages_alloc(size_t size_bytes, struct err *e) {
    MLXK_ASSERT(size_bytes > 0);
    void *p = size_bytes > PTRDIFF_MAX ? MAP_FAILED
            : mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (p == MAP_FAILED) {
        err_oom(e, size_bytes, "buffers");
        return NULL;
    }
    os_sys_huge_pages(p, size_bytes);
    return p;
}

MLXK_FN void os_pages_free(void *p, size_t size_bytes) {
    if (p) {
        (void)munmap(p, size_bytes);
    }
}
