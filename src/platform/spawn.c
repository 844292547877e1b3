/* spawn.c: another program run to its end, its output caught, within bounds.
 *
 * Does not know a shell: a program gets exactly the words of its list. The program is looked for on
 * PATH here, before anything is started, so that "there is no such program" is told as that.
 *
 * 1. Between fork and exec only async-signal-safe calls are made: other threads may hold locks.
 * 2. No descriptor of ours reaches the child but 0, 1 and 2: all others are close-on-exec.
 * 3. A child is never left behind: whatever ends the call (time, size, an interrupt) kills and
 *    reaps it.
 * 4. What goes in is written without a signal when the child does not read it: that is no failure.
 */
#include "platform/platform_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { SPAWN_WORDS_MAX = 4096, SPAWN_ENV_MAX = 8192, SPAWN_PIECE = 1 << 16, SPAWN_TICK_MS = 100 };

#ifdef MSG_NOSIGNAL
enum { SPAWN_SEND = MSG_NOSIGNAL };
#else
enum { SPAWN_SEND = 0 };
#endif

struct spawn_child {
    pid_t pid;
    int in, out, diag, exec;     /* our ends; -1 = closed. exec tells the errno of a failed exec */
};

/* ---- before the child exists ---- */

static bool spawn_is_program(const char *path_cstr) {
    struct os_stat st;
    return os_stat(path_cstr, &st) && st.kind == OS_FILE && access(path_cstr, X_OK) == 0;
}

/* The program's file; NULL with an error in e. */
static char *spawn_find(struct arena *a, const char *name_cstr, struct err *e) {
    struct str rest = str_cstr(os_env("PATH"));
    if (strchr(name_cstr, '/')) return str_dup_cstr(a, str_cstr(name_cstr));
    if (!rest.n) rest = STR("/usr/local/bin:/usr/bin:/bin");
    while (rest.p) {
        char *dir = str_dup_cstr(a, str_cut(&rest, ':'));
        char *path = dir && dir[0] == '/' ? os_path_join(a, dir, name_cstr) : NULL;
        if (path && spawn_is_program(path)) return path;
    }
    err_set(e, ERR_NOT_FOUND, "there is no program '%s' on PATH", name_cstr);
    err_hint(e, "install it, or put its folder into PATH");
    return NULL;
}

static bool spawn_env_is(const char *entry_cstr, struct str name) {
    return !strncmp(entry_cstr, name.p, name.n) && entry_cstr[name.n] == '=';
}

/* Ours with the changes: "NAME=value" sets, "NAME" removes. NULL = no memory, or too many. */
static char **spawn_environment(struct arena *a, const char *const *changes) {
    size_t n_ours = 0, n_changes = 0, n = 0;
    while (environ[n_ours]) n_ours++;
    while (changes && changes[n_changes]) n_changes++;
    if (n_ours + n_changes >= SPAWN_ENV_MAX) return NULL;
    char **out = ARENA_ARRAY(a, char *, n_ours + n_changes + 1);
    for (size_t i = 0; out && i < n_ours; i++) {
        bool changed = false;
        for (size_t k = 0; k < n_changes; k++) {
            struct str rest = str_cstr(changes[k]);
            changed = changed || spawn_env_is(environ[i], str_cut(&rest, '='));
        }
        if (!changed) out[n++] = environ[i];
    }
    for (size_t k = 0; out && k < n_changes; k++) {
        char *copy = strchr(changes[k], '=') ? str_dup_cstr(a, str_cstr(changes[k])) : NULL;
        if (copy) out[n++] = copy;
    }
    return out;
}

static char **spawn_words(struct arena *a, const char *const *argv) {
    size_t n = 0;
    while (argv[n]) n++;
    char **out = n < SPAWN_WORDS_MAX ? ARENA_ARRAY(a, char *, n + 1) : NULL;
    for (size_t i = 0; out && i < n; i++) {
        out[i] = str_dup_cstr(a, str_cstr(argv[i]));
        if (!out[i]) return NULL;
    }
    return out;
}

static void spawn_close(int *fd) {
    if (*fd >= 0) (void)close(*fd);
    *fd = -1;
}

static bool spawn_pipe(int fd[2]) {
    if (pipe(fd) != 0) return false;
    (void)fcntl(fd[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd[1], F_SETFD, FD_CLOEXEC);
    return true;
}

static bool spawn_pair(int fd[2]) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0) return false;
#ifdef SO_NOSIGPIPE
    int one = 1;
    (void)setsockopt(fd[1], SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof one);
#endif
    (void)fcntl(fd[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd[1], F_SETFD, FD_CLOEXEC);
    return true;
}

/* ---- the child (async-signal-safe only) ---- */

static void spawn_signals_default(void) {
    static const int back[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ, SIGBUS };
    sigset_t none;
    for (size_t i = 0; i < MLXK_COUNT(back); i++) (void)signal(back[i], SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Never returns. ends: what becomes 0, 1 and 2; -1 = /dev/null. */
static _Noreturn void spawn_child_run(const char *path_cstr, char **argv, char **env,
                                      const char *dir_cstr, const int ends[3], int report) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int moved[3], kept = fcntl(report, F_DUPFD_CLOEXEC, 10), failure = 0;
    spawn_signals_default();
    for (int i = 0; i < 3; i++)
        moved[i] = fcntl(ends[i] >= 0 ? ends[i] : null, F_DUPFD_CLOEXEC, 10);
    for (int i = 0; i < 3 && !failure; i++)
        if (moved[i] < 0 || dup2(moved[i], i) < 0) failure = errno;
    if (!failure && dir_cstr && chdir(dir_cstr) != 0) failure = errno;
    if (!failure) {
        (void)execve(path_cstr, argv, env);
        failure = errno;
    }
    (void)!write(kept, &failure, sizeof failure);
    _exit(127);
}

/* ---- while it runs ---- */

static void spawn_kill(struct spawn_child *c) {
    if (c->pid > 0) (void)kill(c->pid, SIGKILL);
}

/* What has arrived on *fd into b (or nowhere); at its end *fd is closed. false = b is full. */
static bool spawn_take(int *fd, struct buf *b, char *piece) {
    ssize_t n = read(*fd, piece, SPAWN_PIECE);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    if (n <= 0) {
        spawn_close(fd);
        return true;
    }
    if (b) buf_add_bytes(b, piece, (size_t)n);
    return !b || !b->failed;
}

static void spawn_take_diag(int *fd, struct buf *b, char *piece) {
    ssize_t n = read(*fd, piece, SPAWN_PIECE);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) {
        spawn_close(fd);
        return;
    }
    size_t room = b && b->max > b->n ? b->max - b->n : 0;
    if (b) buf_add_bytes(b, piece, (size_t)n < room ? (size_t)n : room);
}

static void spawn_give(struct spawn_child *c, struct str *input) {
    ssize_t n = send(c->in, input->p, input->n, SPAWN_SEND | MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n > 0) *input = str_sub(*input, (size_t)n, input->n);
    if (n <= 0 || !input->n) spawn_close(&c->in);
}

/* Until the child has closed its ends. */
static bool spawn_talk(struct spawn_child *c, const struct os_spawn *s, char *piece,
                       struct err *e) {
    struct str input = s->input;
    int64_t until = s->wait_ms > 0 ? os_now_ns() + s->wait_ms * 1000000 : INT64_MAX;
    while (c->out >= 0 || c->diag >= 0) {
        struct pollfd p[3] = { { c->out, POLLIN, 0 },
                               { c->diag, POLLIN, 0 },
                               { c->in, POLLOUT, 0 } };
        if (os_interrupted()) return err_set(e, ERR_INTERRUPTED, "%s was stopped", s->argv[0]);
        if (os_now_ns() > until)
            return err_set(e, ERR_NET_TIMEOUT, "%s did not end within %lld s and was stopped",
                           s->argv[0], (long long)(s->wait_ms / 1000));
        (void)poll(p, 3, SPAWN_TICK_MS);
        if (p[0].revents && !spawn_take(&c->out, s->out, piece))
            return buf_ok(s->out, s->argv[0], e);
        if (p[1].revents) spawn_take_diag(&c->diag, s->diag, piece);
        if (p[2].revents) spawn_give(c, &input);
    }
    return true;
}

static void spawn_reap(struct spawn_child *c, int *status) {
    int raw = 0;
    while (waitpid(c->pid, &raw, 0) < 0 && errno == EINTR) continue;
    *status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + (WIFSIGNALED(raw) ? WTERMSIG(raw) : 0);
    c->pid = 0;
}

/* ---- all of it ---- */

struct spawn_plan {
    const char *path_cstr;
    char **argv, **env;
    char *piece;
};

static bool spawn_start(const struct spawn_plan *p, const struct os_spawn *s, struct spawn_child *c,
                        struct err *e) {
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, diag[2] = { -1, -1 }, report[2] = { -1, -1 };
    bool ok = (!s->input.n || spawn_pair(in)) && spawn_pipe(out) && spawn_pipe(diag)
              && spawn_pipe(report);
    int failure = errno;
    if (ok) {
        int ends[3] = { in[0], out[1], diag[1] };
        c->pid = fork();
        failure = errno;
        if (c->pid == 0)
            spawn_child_run(p->path_cstr, p->argv, p->env, s->dir_cstr, ends, report[1]);
        ok = c->pid > 0;
    }
    spawn_close(&in[0]);
    spawn_close(&out[1]);
    spawn_close(&diag[1]);
    spawn_close(&report[1]);
    c->in = in[1];
    c->out = out[0];
    c->diag = diag[0];
    c->exec = report[0];
    return ok || os_fail(e, failure, "start", p->path_cstr);
}

static bool spawn_started(struct spawn_child *c, const struct spawn_plan *p, struct err *e) {
    int failure = 0;
    ssize_t n;
    do n = read(c->exec, &failure, sizeof failure);
    while (n < 0 && errno == EINTR);
    spawn_close(&c->exec);
    return n != (ssize_t)sizeof failure || os_fail(e, failure, "start", p->path_cstr);
}

MLXK_FN bool os_spawn(const struct os_spawn *s, int *status, struct err *e) {
    struct arena a;
    struct spawn_child c = { 0, -1, -1, -1, -1 };
    struct spawn_plan p = { 0 };
    *status = -1;
    arena_init(&a, (size_t)8 << 20);
    p.path_cstr = spawn_find(&a, s->argv[0], e);
    p.argv = p.path_cstr ? spawn_words(&a, s->argv) : NULL;
    p.env = p.argv ? spawn_environment(&a, s->env) : NULL;
    p.piece = p.env ? arena_alloc(&a, SPAWN_PIECE, 1) : NULL;
    bool ok = p.piece != NULL;
    if (!ok && p.path_cstr) err_oom(e, SPAWN_PIECE, "a program's arguments");
    ok = ok && spawn_start(&p, s, &c, e) && spawn_started(&c, &p, e)
         && spawn_talk(&c, s, p.piece, e);
    if (!ok) spawn_kill(&c);
    spawn_close(&c.in);
    spawn_close(&c.out);
    spawn_close(&c.diag);
    spawn_close(&c.exec);
    if (c.pid > 0) spawn_reap(&c, status);
    arena_release(&a);
    return ok;
}
