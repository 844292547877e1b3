/* thread.c: a team for short parallel jobs, background threads, mutex and condition.
 *
 * A team serves the arithmetic: hundreds of jobs per token, each some microseconds long. Members
 * therefore spin between jobs and go to sleep only after a while without work.
 *
 *   caller: job, ctx -> pending = n-1 -> generation++ (publishes) -> wakes sleepers -> own part
 *           -> waits until pending == 0
 *   worker: sees a new generation -> runs its part -> pending-- (publishes its results) -> waits
 *
 * 1. generation is stored after job and ctx are written and before anything is awaited; a worker
 *    reads them only after it has seen the new generation.
 * 2. A worker announces sleep (n_asleep) before its last look at generation, and the caller looks
 *    at n_asleep after its store; both sequentially consistent, so no wake-up is lost.
 * 3. Words that different threads write lie in different cache lines.
 * 4. The barrier's round changes only after all have arrived, so a member reads it on arrival.
 */
#include "platform/platform_int.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    THREAD_TEAM_MAX = 256,
    THREAD_LINE = 128,                       /* bytes: two lines of 64, prefetchers fetch pairs */
    THREAD_STACK_BYTES = 2 << 20,            /* musl's default of 128 KiB is too small for us */
    THREAD_SPIN_NS = 50000,                  /* between jobs, before sleeping */
    THREAD_SPIN_ROUNDS = 64,                 /* pauses between two looks at the clock */
    THREAD_WAIT_ROUNDS = 4000,               /* pauses for a colleague before yielding the CPU */
};

/* ---- background threads ---- */

struct os_thread {
    pthread_t handle;
    void (*fn)(void *ctx);
    void *ctx;
};

static void *thread_main(void *arg) {
    struct os_thread *t = arg;
    t->fn(t->ctx);
    return NULL;
}

static int thread_create(pthread_t *handle, void *(*fn)(void *), void *arg) {
    pthread_attr_t attr;
    int problem = pthread_attr_init(&attr);
    if (problem == 0) {
        (void)pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
        problem = pthread_create(handle, &attr, fn, arg);
        (void)pthread_attr_destroy(&attr);
    }
    return problem;
}

static bool thread_fail(struct err *e, int problem) {
    err_set(e, ERR_NO_MEMORY, "cannot start a thread: %s", strerror(problem));
    return err_hint(e, "use fewer threads or raise the limit of processes (ulimit -u)");
}

MLXK_FN struct os_thread *os_thread_start(void (*fn)(void *ctx), void *ctx, struct err *e) {
    struct os_thread *t = mem_alloc(sizeof *t);
    if (!t) {
        err_oom(e, sizeof *t, "a thread");
        return NULL;
    }
    t->fn = fn;
    t->ctx = ctx;
    int problem = thread_create(&t->handle, thread_main, t);
    if (problem != 0) {
        thread_fail(e, problem);
        mem_free(t);
        return NULL;
    }
    return t;
}

MLXK_FN void os_thread_join(struct os_thread *t) {
    MLXK_ASSERT(pthread_join(t->handle, NULL) == 0);
    mem_free(t);
}

/* ---- mutex and condition ---- */

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(struct os_mutex), "os_mutex is too small");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(struct os_cond), "os_cond is too small");

static pthread_mutex_t *thread_mutex(struct os_mutex *m) {
    return (pthread_mutex_t *)(void *)m->opaque;
}

static pthread_cond_t *thread_cond(struct os_cond *c) {
    return (pthread_cond_t *)(void *)c->opaque;
}

MLXK_FN void os_mutex_init(struct os_mutex *m) {
    MLXK_ASSERT(pthread_mutex_init(thread_mutex(m), NULL) == 0);
}

MLXK_FN void os_mutex_lock(struct os_mutex *m) {
    MLXK_ASSERT(pthread_mutex_lock(thread_mutex(m)) == 0);
}

MLXK_FN void os_mutex_unlock(struct os_mutex *m) {
    MLXK_ASSERT(pthread_mutex_unlock(thread_mutex(m)) == 0);
}

MLXK_FN void os_cond_init(struct os_cond *c) {
    os_sys_cond_init(thread_cond(c));
}

MLXK_FN bool os_cond_wait(struct os_cond *c, struct os_mutex *m, int64_t wait_ms) {
    if (wait_ms < 0) {
        return pthread_cond_wait(thread_cond(c), thread_mutex(m)) == 0;
    }
    return os_sys_cond_wait_ms(thread_cond(c), thread_mutex(m), wait_ms) == 0;
}

MLXK_FN void os_cond_broadcast(struct os_cond *c) {
    (void)pthread_cond_broadcast(thread_cond(c));
}

MLXK_FN void os_cond_signal(struct os_cond *c) {
    (void)pthread_cond_signal(thread_cond(c));
}

/* ---- team ---- */

struct thread_member {
    pthread_t handle;
    struct os_team *team;
    int part;
};

struct os_team {
    /* written by the caller before a job */
    _Alignas(THREAD_LINE) atomic_uint generation;
    void (*job)(void *ctx, int part, int n_parts);   /* NULL = the team is closed */
    void *ctx;
    /* written by workers at the end of a job */
    _Alignas(THREAD_LINE) atomic_int pending;
    _Alignas(THREAD_LINE) atomic_int n_asleep;
    _Alignas(THREAD_LINE) atomic_int arrived;        /* barrier: members here in this round */
    _Alignas(THREAD_LINE) atomic_uint round;         /* barrier: rounds completed */
    _Alignas(THREAD_LINE) int n;
    bool crowded;                                    /* more members than CPUs: do not spin */
    void *memory;                                    /* what mem_free gets */
    struct os_mutex mutex;                           /* for sleeping only */
    struct os_cond wake;
    struct thread_member members[THREAD_TEAM_MAX];
};

/* One step of waiting for another member, which is expected to be quick. */
static void thread_wait_step(const struct os_team *t, int *n_steps) {
    if (t->crowded || ++*n_steps > THREAD_WAIT_ROUNDS) {
        (void)sched_yield();                         /* it may need this very CPU */
    } else {
        os_cpu_relax();
    }
}

/* Spins for a new generation; false when none came in time. */
static bool thread_spin(struct os_team *t, unsigned seen) {
    int64_t until_ns = t->crowded ? 0 : os_now_ns() + THREAD_SPIN_NS;
    do {
        for (int i = 0; i < THREAD_SPIN_ROUNDS; i++) {
            if (atomic_load_explicit(&t->generation, memory_order_acquire) != seen) {
                return true;
            }
            os_cpu_relax();
        }
    } while (os_now_ns() < until_ns);
    return false;
}

static void thread_sleep(struct os_team *t, unsigned seen) {
    os_mutex_lock(&t->mutex);
    atomic_fetch_add(&t->n_asleep, 1);
    while (atomic_load(&t->generation) == seen) {
        (void)os_cond_wait(&t->wake, &t->mutex, -1);
    }
    atomic_fetch_sub(&t->n_asleep, 1);
    os_mutex_unlock(&t->mutex);
}

static void *thread_worker(void *arg) {
    struct thread_member *m = arg;
    struct os_team *t = m->team;
    for (unsigned seen = 0;; seen++) {               /* no generation is ever skipped */
        if (!thread_spin(t, seen)) {
            thread_sleep(t, seen);
        }
        if (!t->job) {
            return NULL;
        }
        t->job(t->ctx, m->part, t->n);
        atomic_fetch_sub_explicit(&t->pending, 1, memory_order_release);
    }
}

static void thread_publish(struct os_team *t, void (*job)(void *, int, int), void *ctx) {
    t->job = job;
    t->ctx = ctx;
    atomic_store_explicit(&t->pending, t->n - 1, memory_order_relaxed);
    atomic_fetch_add(&t->generation, 1);
    if (atomic_load(&t->n_asleep) > 0) {
        os_mutex_lock(&t->mutex);
        os_cond_broadcast(&t->wake);
        os_mutex_unlock(&t->mutex);
    }
}

MLXK_FN struct os_team *os_team_open(int n_threads, struct err *e) {
    MLXK_ASSERT(n_threads >= 1 && n_threads <= THREAD_TEAM_MAX);
    void *memory = mem_alloc(sizeof(struct os_team) + THREAD_LINE);
    if (!memory) {
        err_oom(e, sizeof(struct os_team), "threads");
        return NULL;
    }
    size_t gap = (size_t)(-(uintptr_t)memory & (THREAD_LINE - 1));
    struct os_team *t = (struct os_team *)(void *)((char *)memory + gap);
    memset(t, 0, sizeof *t);
    t->memory = memory;
    t->n = 1;
    t->crowded = n_threads > os_sys_cpus_online();
    os_mutex_init(&t->mutex);
    os_cond_init(&t->wake);
    for (int part = 1; part < n_threads; part++) {
        t->members[part] = (struct thread_member){ .team = t, .part = part };
        int problem = thread_create(&t->members[part].handle, thread_worker, &t->members[part]);
        if (problem != 0) {
            thread_fail(e, problem);
            os_team_close(t);
            return NULL;
        }
        t->n = part + 1;                             /* no job runs yet: nobody reads n */
    }
    return t;
}

MLXK_FN void os_team_close(struct os_team *t) {
    if (!t) {
        return;
    }
    thread_publish(t, NULL, NULL);
    for (int part = 1; part < t->n; part++) {
        MLXK_ASSERT(pthread_join(t->members[part].handle, NULL) == 0);
    }
    (void)pthread_cond_destroy(thread_cond(&t->wake));
    (void)pthread_mutex_destroy(thread_mutex(&t->mutex));
    mem_free(t->memory);
}

MLXK_FN void os_team_run(struct os_team *t, void (*fn)(void *ctx, int part, int n_parts),
                         void *ctx) {
    MLXK_ASSERT(fn != NULL);
    if (t->n == 1) {
        fn(ctx, 0, 1);
        return;
    }
    thread_publish(t, fn, ctx);
    fn(ctx, 0, t->n);
    for (int steps = 0; atomic_load_explicit(&t->pending, memory_order_acquire) != 0;) {
        thread_wait_step(t, &steps);
    }
}

MLXK_FN void os_team_barrier(struct os_team *t, int part) {
    MLXK_ASSERT(part >= 0 && part < t->n);
    unsigned round = atomic_load_explicit(&t->round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&t->arrived, 1, memory_order_acq_rel) == t->n - 1) {
        atomic_store_explicit(&t->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&t->round, round + 1, memory_order_release);
        return;
    }
    for (int steps = 0; atomic_load_explicit(&t->round, memory_order_acquire) == round;) {
        thread_wait_step(t, &steps);
    }
}

MLXK_FN int os_cpu_count(void) {
    int n = os_sys_cpu_count();
    n = n > 0 ? n : os_sys_cpus_online();
    return n < THREAD_TEAM_MAX ? n : THREAD_TEAM_MAX;
}
