/* signal.c: the user's wish to stop, as a flag.
 *
 *   default --os_interrupt_catch(true)--> caught: SIGINT and SIGTERM set the flag, and blocking
 *   calls return early --os_interrupt_catch(false)--> default: they end the process
 *   default --os_serving(true)--> counted: a server asks how often it was told to stop, and decides
 *
 * 1. Handlers do only what is async-signal-safe: set atomics, restore the terminal, re-raise.
 * 2. A signal that was ignored when the program started (nohup, background job) stays ignored.
 * 3. A third signal before anybody has looked at the flag ends the process even while caught: a
 *    user must be able to get out of a loop of ours.
 */
#include "platform/platform_int.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

enum { SIGNAL_PATIENCE = 2 };   /* caught signals without a reset before the process ends */

/* File-level state named in docs/ARCHITECTURE.md. */
static atomic_bool signal_catching;
static atomic_int signal_count;
static atomic_bool signal_serving;
static atomic_int signal_stops;

static void signal_handler(int number) {
    bool stop = number == SIGINT || number == SIGTERM;
    if (stop && atomic_load(&signal_serving)
        && atomic_fetch_add(&signal_stops, 1) < SIGNAL_PATIENCE) {
        return;
    }
    if (stop && atomic_load(&signal_catching)
        && atomic_fetch_add(&signal_count, 1) < SIGNAL_PATIENCE) {
        return;
    }
    os_tty_restore();
    (void)signal(number, SIG_DFL);
    (void)raise(number);                         /* delivered when this handler returns */
}

MLXK_FN void os_signals_init(void) {
    static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    for (size_t i = 0; i < MLXK_COUNT(ending); i++) {
        struct sigaction action = { .sa_flags = 0 }, found;
        action.sa_handler = signal_handler;      /* no SA_RESTART: blocking calls see the flag */
        (void)sigemptyset(&action.sa_mask);
        if (sigaction(ending[i], NULL, &found) == 0 && found.sa_handler != SIG_IGN) {
            (void)sigaction(ending[i], &action, NULL);
        }
    }
    (void)signal(SIGPIPE, SIG_DFL);              /* an inherited "ignore" would break pipelines */
    (void)signal(SIGXFSZ, SIG_IGN);     /* a limit on sizes (ulimit -f) is an error: EFBIG */
    os_map_guard();
}

MLXK_FN void os_interrupt_catch(bool on) {
    atomic_store(&signal_catching, on);
}

MLXK_FN bool os_interrupted(void) {
    return atomic_load(&signal_count) > 0;
}

MLXK_FN bool os_go_on(struct err *e) {
    return !os_interrupted() || err_set(e, ERR_INTERRUPTED, "stopped by you");
}

MLXK_FN void os_interrupt_reset(void) {
    atomic_store(&signal_count, 0);
}

MLXK_FN void os_serving(bool on) {
    atomic_store(&signal_serving, on);
    if (on) atomic_fetch_add(&signal_stops, atomic_exchange(&signal_count, 0));
    (void)signal(SIGPIPE, on ? SIG_IGN : SIG_DFL);   /* sendfile has no flag against it */
}

MLXK_FN int os_stop_count(void) {
    return atomic_load(&signal_stops);
}

MLXK_FN void os_interrupt_raise(void) {
    atomic_fetch_add(&signal_count, 1);
}
