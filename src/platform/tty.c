/* tty.c: is it a terminal, how wide, keys one by one.
 *
 * No line editing and no colours: those are the command line's.
 *
 * 1. The settings found at the first switch to raw are put back by os_tty_raw(off), at exit, and by
 *    the handlers of signals that end the process.
 */
#include "platform/platform_int.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { TTY_COLUMNS_DEFAULT = 80, TTY_COLUMNS_MAX = 10000 };

/* File-level state: one terminal at a time can be raw. tty_raw_fd is -1 or the descriptor; the
 * settings are written before it is set and only read while it is. */
static atomic_int tty_raw_fd = -1;
static struct termios tty_found;

MLXK_FN bool os_is_tty(int fd) {
    return isatty(fd) == 1;
}

MLXK_FN int os_tty_columns(int fd) {
    struct winsize size;
    int64_t columns;
    if (num_parse_i64(str_cstr(os_env("COLUMNS")), 1, TTY_COLUMNS_MAX, &columns)) {
        return (int)columns;
    }
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : TTY_COLUMNS_DEFAULT;
}

MLXK_FN void os_tty_restore(void) {
    int fd = atomic_exchange(&tty_raw_fd, -1);
    if (fd >= 0) {
        (void)tcsetattr(fd, TCSADRAIN, &tty_found);
    }
}

MLXK_FN bool os_tty_raw(int fd, bool on, struct err *e) {
    static atomic_flag exit_hook = ATOMIC_FLAG_INIT;
    struct termios raw;
    if (!on) {
        os_tty_restore();
        return true;
    }
    if (atomic_load(&tty_raw_fd) >= 0) {
        return true;
    }
    if (tcgetattr(fd, &tty_found) != 0) {
        return os_fail(e, errno, "read the settings of", "the terminal");
    }
    if (!atomic_flag_test_and_set(&exit_hook)) {
        (void)atexit(os_tty_restore);
    }
    raw = tty_found;                             /* output processing stays on: "\n" works */
    raw.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    atomic_store(&tty_raw_fd, fd);
    if (tcsetattr(fd, TCSADRAIN, &raw) != 0) {
        int problem = errno;
        atomic_store(&tty_raw_fd, -1);
        return os_fail(e, problem, "change the settings of", "the terminal");
    }
    return true;
}
