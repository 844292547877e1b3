/* path.c: environment variables and paths as text.
 *
 * Only os_path_real and os_cwd look at the file system; the rest is lexical. Expansion follows
 * Python's posixpath (expanduser, expandvars), because the variables that name caches are read
 * by Python programs too.
 *
 * 1. Results in an arena are NUL-terminated; NULL means out of memory where no err is passed.
 */
#include "platform/platform_int.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

MLXK_FN const char *os_env(const char *name_cstr) {
    return getenv(name_cstr);
}

MLXK_FN bool os_env_true(const char *name_cstr) {
    struct str value = str_cstr(os_env(name_cstr));
    return str_ieq(value, STR("1")) || str_ieq(value, STR("on")) || str_ieq(value, STR("yes"))
        || str_ieq(value, STR("true"));
}

MLXK_FN char *os_path_join(struct arena *a, const char *x_cstr, const char *y_cstr) {
    struct str x = str_cstr(x_cstr), y = str_cstr(y_cstr);
    if (x.n == 0 || str_starts(y, STR("/"))) {
        return str_dup_cstr(a, y);
    }
    while (x.n > 1 && x.p[x.n - 1] == '/') {
        x.n--;
    }
    const char *slash = x.p[x.n - 1] == '/' ? "" : "/";
    struct str joined = str_format(a, STR_FMT "%s" STR_FMT, STR_ARG(x), slash, STR_ARG(y));
    return (char *)joined.p;                     /* str_format terminates; made here, so writable */
}

/* path without slashes at its end; "/" stays. */
static struct str path_strip(const char *path_cstr) {
    struct str s = str_cstr(path_cstr);
    while (s.n > 1 && s.p[s.n - 1] == '/') {
        s.n--;
    }
    return s;
}

MLXK_FN struct str os_path_base(const char *path_cstr) {
    struct str s = path_strip(path_cstr);
    ptrdiff_t slash = str_find_last(s, STR("/"));
    return s.n == 1 || slash < 0 ? s : str_sub(s, (size_t)slash + 1, s.n);
}

MLXK_FN char *os_path_dir(struct arena *a, const char *path_cstr) {
    struct str s = path_strip(path_cstr);
    ptrdiff_t slash = str_find_last(s, STR("/"));
    while (slash > 0 && s.p[slash - 1] == '/') {
        slash--;
    }
    s = slash < 0 ? STR(".") : slash == 0 ? STR("/") : str_sub(s, 0, (size_t)slash);
    return str_dup_cstr(a, s);
}

/* ---- expansion ---- */

/* Home folder without slashes at its end, or empty when nothing tells it. Lives in `scratch`. */
static struct str path_home(char *scratch, size_t cap) {
    struct str home = str_cstr(os_env("HOME"));
    struct passwd entry, *found = NULL;
    if (home.n == 0 && getpwuid_r(getuid(), &entry, scratch, cap, &found) == 0 && found) {
        home = str_cstr(found->pw_dir);
    }
    while (home.n > 0 && home.p[home.n - 1] == '/') {
        home.n--;
    }
    return home;
}

static bool path_is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Length of the variable reference at s ("$NAME" or "${NAME}") and its name; 0 = none. */
static size_t path_variable(struct str s, struct str *name) {
    if (s.n < 2 || s.p[0] != '$') {
        return 0;
    }
    if (s.p[1] == '{') {
        ptrdiff_t close = str_find_char(s, '}');
        *name = str_sub(s, 2, close < 0 ? 2 : (size_t)close);
        return close < 0 ? 0 : (size_t)close + 1;
    }
    size_t n = 1;
    while (n < s.n && path_is_name(s.p[n])) {
        n++;
    }
    *name = str_sub(s, 1, n);
    return n > 1 ? n : 0;
}

static const char *path_variable_value(struct str name) {
    char name_cstr[256];
    if (name.n == 0 || name.n >= sizeof name_cstr) {
        return NULL;
    }
    memcpy(name_cstr, name.p, name.n);
    name_cstr[name.n] = '\0';
    return os_env(name_cstr);
}

MLXK_FN char *os_path_expand(struct arena *a, const char *path_cstr) {
    struct str s = str_cstr(path_cstr);
    struct buf out;
    char scratch[2048];
    buf_init(&out, LIMIT_PATH - 1);
    if (s.n > 0 && s.p[0] == '~' && (s.n == 1 || s.p[1] == '/')) {
        struct str home = path_home(scratch, sizeof scratch);
        buf_add(&out, home.n || s.n > 1 ? home : STR("/"));
        s = str_sub(s, 1, s.n);
    }
    while (s.n > 0) {
        struct str name;
        size_t n = path_variable(s, &name);
        const char *value = n ? path_variable_value(name) : NULL;
        n = n ? n : 1;
        buf_add(&out, value ? str_cstr(value) : str_sub(s, 0, n));   /* unknown: left as it is */
        s = str_sub(s, n, s.n);
    }
    char *result = out.failed ? NULL : str_dup_cstr(a, buf_str(&out));
    buf_release(&out);
    return result;
}

MLXK_FN char *os_own_dir(struct arena *a, const char *variable_cstr, const char *below_cstr) {
    const char *set_cstr = os_env(variable_cstr), *env_cstr = os_env("HOME");
    char scratch[2048];
    if (set_cstr && set_cstr[0] == '/') {
        return os_path_join(a, set_cstr, "mlxk");
    }
    struct str home = path_home(scratch, sizeof scratch);
    if (home.n == 0 && env_cstr && env_cstr[0] == '/') {
        home = STR("/");                         /* its slash is the whole of it */
    }
    char *home_cstr = home.n && home.p[0] == '/' ? str_dup_cstr(a, home) : NULL;
    char *base = home_cstr ? os_path_join(a, home_cstr, below_cstr) : NULL;
    return base ? os_path_join(a, base, "mlxk") : NULL;
}

/* ---- absolute and real ---- */

MLXK_FN char *os_cwd(struct arena *a, struct err *e) {
    char here[LIMIT_PATH];
    if (!getcwd(here, sizeof here)) {
        os_fail(e, errno, "find", "the current folder");
        return NULL;
    }
    char *copy = str_dup_cstr(a, str_cstr(here));
    if (!copy) {
        err_oom(e, strlen(here) + 1, "a path");
    }
    return copy;
}

/* Removes "", "." and ".." from an absolute path in place, without looking at links. */
static void path_normalise(char *path) {
    struct str rest = { path + 1, strlen(path) - 1 };
    size_t n = 1;                                /* path[0..n) is done and starts with '/' */
    while (rest.p) {
        struct str part = str_cut(&rest, '/');
        if (str_eq(part, STR(".."))) {
            while (n > 1 && path[n - 1] != '/') {
                n--;
            }
            n -= n > 1;
        } else if (part.n > 0 && !str_eq(part, STR("."))) {
            if (n > 1) {
                path[n++] = '/';
            }
            memmove(path + n, part.p, part.n);
            n += part.n;
        }
    }
    path[n] = '\0';
}

MLXK_FN char *os_path_absolute(struct arena *a, const char *path_cstr, struct err *e) {
    const char *base = path_cstr[0] == '/' ? "/" : os_cwd(a, e);
    if (!base) {
        return NULL;
    }
    char *path = os_path_join(a, base, path_cstr);
    if (!path) {
        err_oom(e, strlen(path_cstr), "a path");
        return NULL;
    }
    path_normalise(path);
    if (strlen(path) >= LIMIT_PATH) {
        os_fail(e, ENAMETOOLONG, "use", path_cstr);
        return NULL;
    }
    return path;
}

MLXK_FN char *os_path_real(struct arena *a, const char *path_cstr, struct err *e) {
    char real[LIMIT_PATH];
    if (!realpath(path_cstr, real)) {
        os_fail(e, errno, "find", path_cstr);
        return NULL;
    }
    char *copy = str_dup_cstr(a, str_cstr(real));
    if (!copy) {
        err_oom(e, strlen(real) + 1, "a path");
    }
    return copy;
}

MLXK_FN char *os_exe_path(struct arena *a) {
    char path[LIMIT_PATH];
    return os_sys_exe_path(path) ? str_dup_cstr(a, str_cstr(path)) : NULL;
}
