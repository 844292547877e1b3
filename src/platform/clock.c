/* clock.c: time, dates, and the few facts about this process and machine.
 *
 * Two clocks: os_now_ns never jumps and is for durations; os_time_ns is the calendar's.
 */
#include "platform/platform_int.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_read(clockid_t which) {
    struct timespec t;
    MLXK_ASSERT(clock_gettime(which, &t) == 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

MLXK_FN int64_t os_now_ns(void) {
    return clock_read(CLOCK_MONOTONIC);
}

MLXK_FN int64_t os_time_ns(void) {
    return clock_read(CLOCK_REALTIME);
}

MLXK_FN void os_sleep_ms(int64_t ms) {
    if (ms > 0) {
        struct timespec t = { .tv_sec = (time_t)(ms / 1000),
                              .tv_nsec = (long)(ms % 1000) * 1000000 };
        (void)nanosleep(&t, NULL);
    }
}

static struct os_date clock_date(const struct tm *t) {
    return (struct os_date){
        .year = t->tm_year + 1900, .month = t->tm_mon + 1, .day = t->tm_mday, .hour = t->tm_hour,
        .minute = t->tm_min, .second = t->tm_sec, .weekday = (t->tm_wday + 6) % 7,
        .yearday = t->tm_yday + 1,
    };
}

MLXK_FN struct os_date os_date_utc(int64_t time_s) {
    time_t when = (time_t)time_s;
    struct tm t = { .tm_mday = 1 };
    (void)gmtime_r(&when, &t);
    return clock_date(&t);
}

MLXK_FN struct os_date os_date_local(int64_t time_s) {
    time_t when = (time_t)time_s;
    struct tm t = { .tm_mday = 1 };
    (void)localtime_r(&when, &t);
    return clock_date(&t);
}

MLXK_FN void os_format_time(char out[32], int64_t time_ns) {
    int64_t second = time_ns / 1000000000 - (time_ns % 1000000000 < 0);
    struct os_date d = os_date_utc(second);
    (void)snprintf(out, 32, "%04d-%02d-%02dT%02d:%02d:%02dZ", d.year % 10000, d.month % 100,
                   d.day % 100, d.hour % 100, d.minute % 100, d.second % 100);
}

/* ---- process and machine ---- */

MLXK_FN int os_pid(void) {
    return (int)getpid();
}

MLXK_FN void os_hostname(char *out, size_t cap) {
    MLXK_ASSERT(cap > 0);
    if (gethostname(out, cap) != 0) {
        out[0] = '\0';
    }
    out[cap - 1] = '\0';                         /* a cut name need not be terminated */
}

MLXK_FN void os_place(char out[256]) {
    enum { CLOCK_NEVER, CLOCK_BUSY, CLOCK_DONE };
    static char place[256];                      /* asked for with every file that is made */
    static int state;
    char host[100], boot[150];
    int seen = CLOCK_NEVER;
    if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == CLOCK_DONE) {
        memcpy(out, place, sizeof place);
        return;
    }
    os_hostname(host, sizeof host);
    os_sys_boot(boot, sizeof boot);
    (void)snprintf(out, 256, "%s %s", host, boot);
    if (__atomic_compare_exchange_n(&state, &seen, CLOCK_BUSY, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_ACQUIRE)) {
        memcpy(place, out, strlen(out) + 1);
        __atomic_store_n(&state, CLOCK_DONE, __ATOMIC_RELEASE);
    }
}

MLXK_FN bool os_process_lives(int64_t pid) {
    return pid > 0 && pid <= INT32_MAX && (kill((pid_t)pid, 0) == 0 || errno != ESRCH);
}

MLXK_FN void os_system_name(char *out, size_t cap) {
    struct utsname u;
    bool known = uname(&u) >= 0;
    int n = snprintf(out, cap, "%s %s %s", known ? u.sysname : "unknown", known ? u.release : "",
                     known ? u.machine : "");
    if (n < 0) {
        out[0] = '\0';
    }
}

MLXK_FN uint64_t os_peak_memory(void) {
    return os_sys_peak_memory();
}

MLXK_FN uint64_t os_total_memory(void) {
    return os_sys_total_memory();
}
