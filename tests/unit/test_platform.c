/* test_platform.c: paths, files, folders, mappings, locks, threads, clocks, terminal, signals, CPU
 * features and hashes.
 *
 * What ends a process (faults, signals) is tried in a child; its exit status is the result.
 */
#include "test.h"

#include "platform/platform_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#endif
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* Path of `name` in a folder of this test run; the last eight answers stay valid. */
static const char *platform_path(const char *name) {
    static char paths[8][LIMIT_PATH];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, LIMIT_PATH, "%s/%s", test_scratch_dir(), name);
    return path;
}

/* A file with that text, replaced without the functions under test. */
static const char *platform_file(const char *name, struct str text) {
    const char *path = platform_path(name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(text.p ? text.p : "", 1, text.n, f) != text.n || fclose(f) != 0) {
        test_fail(__FILE__, __LINE__, "cannot prepare %s", path);
    }
    return path;
}

static bool platform_holds(const char *path, struct str text) {
    char data[5000];
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(data, 1, sizeof data, f) : 0;
    if (f) {
        fclose(f);
    }
    return f && str_eq((struct str){ data, n }, text);
}

/* Runs fn in a child: its exit status, or 128 + signal. What it prints is discarded. */
static int platform_in_child(void (*fn)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        fn();
        _exit(0);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- paths ---- */

TEST(path_texts) {
    struct arena a;
    arena_init(&a, 1 << 16);
    static const struct { const char *x, *y, *want; } joins[] = {
        { "a", "b", "a/b" }, { "a/", "b", "a/b" }, { "a//", "b/c", "a/b/c" }, { "a", "/b", "/b" },
        { "/", "b", "/b" }, { "", "b", "b" }, { "a", "", "a/" },
    };
    for (size_t i = 0; i < MLXK_COUNT(joins); i++) {
        CHECK_STR(str_cstr(os_path_join(&a, joins[i].x, joins[i].y)), str_cstr(joins[i].want));
    }
    CHECK_STR(os_path_base("a/b"), STR("b"));
    CHECK_STR(os_path_base("a/b//"), STR("b"));
    CHECK_STR(os_path_base("b"), STR("b"));
    CHECK_STR(os_path_base("/"), STR("/"));
    CHECK_STR(os_path_base(""), STR(""));
    static const char *dirs[][2] = { { "a/b", "a" }, { "a/b/", "a" }, { "/a", "/" }, { "a", "." },
        { "/", "/" },
                                     { "a//b", "a" }, { "", "." }, { "//a", "/" } };
    for (size_t i = 0; i < MLXK_COUNT(dirs); i++) {
        CHECK_STR(str_cstr(os_path_dir(&a, dirs[i][0])), str_cstr(dirs[i][1]));
    }
    arena_release(&a);
    arena_init(&a, 3);
    CHECK(os_path_join(&a, "aaa", "bbb") == NULL && os_path_dir(&a, "aaaa/bbb") == NULL);
    arena_release(&a);
}

TEST(path_expands_as_python) {
    struct arena a;
    arena_init(&a, 1 << 16);
    char *home = getenv("HOME"), saved[LIMIT_PATH];
    snprintf(saved, sizeof saved, "%s", home ? home : "");
    setenv("HOME", "/home/x/", 1);
    setenv("MLXK_T1", "value", 1);
    setenv("MLXK_T2", "", 1);
    unsetenv("MLXK_T3");
    static const char *rows[][2] = {
        { "~", "/home/x" }, { "~/a", "/home/x/a" }, { "a~", "a~" }, { "~other/a", "~other/a" },
        { "$MLXK_T1/b", "value/b" },
        { "${MLXK_T1}b", "valueb" }, { "$MLXK_T2.", "." }, { "$MLXK_T3/x", "$MLXK_T3/x" },
        { "${MLXK_T3}", "${MLXK_T3}" },
        { "$", "$" }, { "a$", "a$" }, { "$$MLXK_T1", "$value" }, { "${MLXK_T1", "${MLXK_T1" },
        { "${}", "${}" },
        { "~/$MLXK_T1", "/home/x/value" }, { "", "" },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        CHECK_STR(str_cstr(os_path_expand(&a, rows[i][0])), str_cstr(rows[i][1]));
    }
    setenv("HOME", "/", 1);
    CHECK_STR(str_cstr(os_path_expand(&a, "~")), STR("/"));
    CHECK_STR(str_cstr(os_path_expand(&a, "~/a")), STR("/a"));
    unsetenv("HOME");
    CHECK(os_path_expand(&a, "~")[0] == '/');    /* from the user database */
    if (home) {
        setenv("HOME", saved, 1);
    }
    CHECK(os_env("MLXK_T3") == NULL && strcmp(os_env("MLXK_T2"), "") == 0);
    static const char *yes[] = { "1", "on", "ON", "Yes", "TRUE" }, *no[] = { "", "0", "2", "off",
        "yess", " 1" };
    for (size_t i = 0; i < MLXK_COUNT(yes); i++) {
        setenv("MLXK_T1", yes[i], 1);
        CHECK(os_env_true("MLXK_T1"));
    }
    for (size_t i = 0; i < MLXK_COUNT(no); i++) {
        setenv("MLXK_T1", no[i], 1);
        CHECK(!os_env_true("MLXK_T1"));
    }
    CHECK(!os_env_true("MLXK_T3"));
    unsetenv("MLXK_T1");
    unsetenv("MLXK_T2");
    arena_release(&a);
}

TEST(path_absolute_and_real) {
    struct arena a;
    struct err e = { .code = ERR_OK };
    arena_init(&a, 1 << 20);
    static const char *rows[][2] = { { "/a/../b", "/b" }, { "/../../x", "/x" },
        { "/a/./b//c/", "/a/b/c" }, { "/", "/" },
                                     { "//a", "/a" }, { "/a/b/..", "/a" }, { "/..", "/" },
                                     { "/a/...", "/a/..." } };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        CHECK_STR(str_cstr(os_path_absolute(&a, rows[i][0], &e)), str_cstr(rows[i][1]));
    }
    char *here = os_cwd(&a, &e), *x = os_path_absolute(&a, "x/../y", &e);
    CHECK(here && x && strcmp(x, os_path_join(&a, here, "y")) == 0);
    const char *target = platform_file("real-target", STR("x")), *link = platform_path("real-link");
    CHECK_OK(os_symlink("real-target", link, &e), e);
    char *real = os_path_real(&a, link, &e), *direct = os_path_real(&a, target, &e);
    CHECK(real && direct && strcmp(real, direct) == 0);
    CHECK_ERR(os_path_real(&a, platform_path("missing"), &e) != NULL, e, ERR_NOT_FOUND);
    CHECK(strstr(e.msg, "missing") && e.hint[0]);
    char *exe = os_exe_path(&a);
    struct os_stat st;
    CHECK(exe && exe[0] == '/' && os_stat(exe, &st) && st.kind == OS_FILE);
    char *big = arena_alloc(&a, 9000, 1);
    memset(big, 'x', 8999);
    CHECK_ERR(os_path_absolute(&a, big, &e) != NULL, e, ERR_IO);
    arena_release(&a);
}

/* ---- files ---- */

TEST(file_open_modes) {
    struct err e = { .code = ERR_OK };
    const char *path = platform_path("modes");
    char data[16];
    size_t n;
    CHECK_ERR(os_open(path, OS_READ, &e) >= 0, e, ERR_NOT_FOUND);
    err_clear(&e);
    int fd = os_open(path, OS_CREATE_NEW, &e);
    CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    CHECK_OK(os_write(fd, "abc", 3, &e), e);
    os_close(fd);
    CHECK_ERR(os_open(path, OS_CREATE_NEW, &e) >= 0, e, ERR_EXISTS);
    err_clear(&e);
    fd = os_open(path, OS_APPEND, &e);
    CHECK_OK(os_write(fd, "def", 3, &e), e);
    os_close(fd);
    fd = os_open(path, OS_WRITE, &e);
    CHECK_OK(os_pwrite(fd, "X", 1, 1, &e), e);
    CHECK_OK(os_read(fd, data, sizeof data, &n, &e), e);
    CHECK_STR(((struct str){ data, n }), STR("aXcdef"));
    CHECK_OK(os_pread(fd, data, 2, 4, &n, &e), e);
    CHECK_STR(((struct str){ data, n }), STR("ef"));
    CHECK_OK(os_pread(fd, data, 2, 100, &n, &e), e);
    CHECK_EQ(n, 0);
    CHECK_ERR(os_pread(fd, data, 2, UINT64_MAX, &n, &e), e, ERR_LIMIT);
    CHECK_ERR(os_pwrite(fd, data, 2, INT64_MAX, &e), e, ERR_LIMIT);
    err_clear(&e);
    CHECK_OK(os_truncate(fd, 2, &e), e);
    CHECK_OK(os_preallocate(fd, 100000, &e), e);
    CHECK_OK(os_sync(fd, &e), e);
    struct os_stat st;
    CHECK(os_fstat(fd, &st) && st.kind == OS_FILE && st.size_bytes == 2);
    os_close(fd);
    os_close(os_open(path, OS_TRUNCATE, &e));
    CHECK(os_stat(path, &st) && st.size_bytes == 0);
    CHECK_ERR(os_read(-1, data, 1, &n, &e), e, ERR_IO);
    os_close(-1);
}

TEST(file_stat_tells) {
    struct err e = { .code = ERR_OK };
    struct os_stat st, link;
    const char *path = platform_file("stat", STR("12345")), *name = platform_path("stat-link");
    CHECK_OK(os_symlink("stat", name, &e), e);
    CHECK(os_stat(name, &st) && st.kind == OS_FILE && st.size_bytes == 5 && st.n_links == 1
        && st.uid == getuid());
    CHECK(os_lstat(name, &link) && link.kind == OS_LINK && link.inode != st.inode);
    CHECK(os_stat(test_scratch_dir(), &st) && st.kind == OS_DIR);
    CHECK(os_stat("/dev/null", &st) && st.kind == OS_OTHER);
    CHECK(!os_stat(platform_path("none"), &st) && st.kind == OS_NONE);
    CHECK_OK(os_set_mtime(path, 1234567890123456789, &e), e);
    CHECK(os_stat(path, &st) && st.mtime_ns / 1000 == 1234567890123456);
    CHECK_OK(os_set_mtime(path, -1, &e), e);
    CHECK(os_stat(path, &st) && st.mtime_ns < 0);
    CHECK_OK(os_chmod(path, 0640, &e), e);
    CHECK(os_stat(path, &st) && st.mode == 0640);
    CHECK_ERR(os_chmod(platform_path("none"), 0600, &e), e, ERR_NOT_FOUND);
    CHECK_ERR(os_set_mtime(platform_path("none"), 0, &e), e, ERR_NOT_FOUND);
    err_clear(&e);
    struct os_room room;
    CHECK_OK(os_room_read(path, &room, &e), e);
    CHECK(room.total_bytes > 0 && room.free_bytes <= room.total_bytes);
    CHECK_ERR(os_room_read(platform_path("none"), &room, &e), e, ERR_NOT_FOUND);
}

TEST(quota_leaves) {
    CHECK_EQ(os_quota_left(&(struct os_quota){ .used_bytes = 7 }, 1), UINT64_MAX);
    CHECK_EQ(os_quota_left(&(struct os_quota){ .used_bytes = 7, .limit_bytes = 57 }, 1), 50);
    CHECK_EQ(os_quota_left(&(struct os_quota){ .used_bytes = 60, .limit_bytes = 57 }, 1), 0);
    struct os_quota soft = { 30, 50, 20, 1000, false };
    CHECK_EQ(os_quota_left(&soft, 999), 20);     /* passed, and there is time */
    CHECK_EQ(os_quota_left(&soft, 1000), 0);
    soft.used_bytes = 20;                        /* not passed */
    CHECK_EQ(os_quota_left(&soft, 1000), 30);
    soft.limit_bytes = 0;
    CHECK_EQ(os_quota_left(&soft, 1000), UINT64_MAX);
}

TEST(file_reads_whole) {
    struct arena a;
    struct err e = { .code = ERR_OK };
    struct str text = STR_EMPTY;
    arena_init(&a, 1 << 20);
    const char *path = platform_file("whole", ((struct str){ "a\0b", 3 }));
    CHECK_OK(os_read_file(&a, path, 3, &text, &e), e);
    CHECK_STR(text, ((struct str){ "a\0b", 3 }));
    CHECK_EQ(text.p[3], 0);
    CHECK_ERR(os_read_file(&a, path, 2, &text, &e), e, ERR_LIMIT);
    CHECK_ERR(os_read_file(&a, platform_path("none"), 10, &text, &e), e, ERR_NOT_FOUND);
    CHECK_ERR(os_read_file(&a, test_scratch_dir(), 10, &text, &e), e, ERR_IO);
    CHECK(strstr(e.msg, "folder") != NULL);
    const char *pipe_path = platform_path("pipe");
    CHECK(mkfifo(pipe_path, 0600) == 0);
    CHECK_ERR(os_read_file(&a, pipe_path, 10, &text, &e), e, ERR_IO);   /* and does not hang */
    mem_fail_after(1);
    arena_release(&a);
    CHECK_ERR(os_read_file(&a, path, 10, &text, &e), e, ERR_NO_MEMORY);
    arena_release(&a);
}

TEST(file_reads_pipes) {
    struct err e = { .code = ERR_OK };
    struct buf b;
    static char data[200000];
    memset(data, 'p', sizeof data);
    for (int limit = -1; limit <= 1; limit++) {  /* one below, at, one above what comes */
        const char *path = platform_file("bulk", ((struct str){ data, sizeof data }));
        int fd = os_open(path, OS_READ, &e);
        buf_init(&b, sizeof data + (size_t)limit);
        if (limit < 0) {
            CHECK_ERR(os_read_all(fd, &b, &e), e, ERR_LIMIT);
        } else {
            err_clear(&e);
            CHECK_OK(os_read_all(fd, &b, &e), e);
            CHECK_STR(buf_str(&b), ((struct str){ data, sizeof data }));
        }
        os_close(fd);
        buf_release(&b);
    }
    int ends[2];
    size_t n;
    char piece[10];
    CHECK(pipe(ends) == 0);
    CHECK(write(ends[1], "abc", 3) == 3);
    CHECK_OK(os_read_some(ends[0], piece, sizeof piece, &n, &e), e);
    CHECK_EQ(n, 3);
    os_close(ends[1]);
    CHECK_OK(os_read_some(ends[0], piece, sizeof piece, &n, &e), e);
    CHECK_EQ(n, 0);
    os_close(ends[0]);
}

TEST(file_writes_whole) {
    struct err e = { .code = ERR_OK };
    struct os_stat before, after;
    const char *path = platform_path("written");
    CHECK_OK(os_write_file(path, STR("one"), &e), e);
    CHECK(platform_holds(path, STR("one")) && os_stat(path, &before));
    CHECK_OK(os_write_file(path, STR("one"), &e), e);
    CHECK(os_stat(path, &after) && before.inode == after.inode
        && before.mtime_ns == after.mtime_ns);
    CHECK_OK(os_write_file(path, STR("two"), &e), e);
    CHECK(platform_holds(path, STR("two")));
    CHECK_OK(os_chmod(path, 0600, &e), e);
    CHECK_OK(os_write_file(path, STR_EMPTY, &e), e);
    CHECK(platform_holds(path, STR("")) && os_stat(path, &after) && after.mode == 0600);
    CHECK_ERR(os_write_file(platform_path("no/such/folder"), STR("x"), &e), e, ERR_NOT_FOUND);
    CHECK_ERR(os_write_file("/dev/full/x", STR("x"), &e), e, ERR_NOT_FOUND);
    err_clear(&e);
    struct arena a;
    struct os_entry *entries;
    size_t n;
    arena_init(&a, 1 << 20);
    CHECK_OK(os_mkdirs(platform_path("w"), &e), e);
    CHECK_OK(os_write_file(platform_path("w/f"), STR("x"), &e), e);
    CHECK_OK(os_list_dir(&a, platform_path("w"), 10, &entries, &n, &e), e);
    CHECK_EQ(n, 1);                              /* no temporary stays */
    arena_release(&a);
}

/* Every failing step of os_write_file leaves the old content and no temporary. */
TEST(file_write_survives_faults) {
    struct arena a;
    struct os_entry *entries;
    size_t n;
    CHECK(mkdir(platform_path("faults"), 0777) == 0);
    const char *path = platform_file("faults/f", STR("old"));
    bool succeeded = false;
    for (int step = 1; step <= 10 && !succeeded; step++) {
        struct err e = { .code = ERR_OK };
        os_file_fail_after(step, ENOSPC);
        succeeded = os_write_file(path, STR("new!"), &e);
        os_file_fail_after(0, 0);
        CHECK(succeeded || (e.code == ERR_DISK_FULL && e.hint[0]));
        bool is_new = platform_holds(path, STR("new!"));
        CHECK(is_new || platform_holds(path, STR("old")));
        CHECK(!succeeded || is_new);
        CHECK(step > 1 || !is_new);
        arena_init(&a, 1 << 20);
        CHECK_OK(os_list_dir(&a, platform_path("faults"), 10, &entries, &n, &e) || n == 1, e);
        CHECK_EQ(n, 1);
        arena_release(&a);
        if (!succeeded) {
            platform_file("faults/f", STR("old"));
        }
    }
    CHECK(succeeded);
}

/* Every failing step of os_place_at leaves the old content and no temporary. */
TEST(file_placed_below_a_folder) {
    struct arena a;
    struct os_entry *entries;
    size_t n;
    struct err e = { .code = ERR_OK };
    CHECK(mkdir(platform_path("place"), 0777) == 0);
    const char *path = platform_file("place/f", STR("old"));
    int fd = os_open(platform_path("place"), OS_READ, &e);
    CHECK_OK(fd >= 0, e);
    bool succeeded = false;
    for (int step = 1; step <= 10 && !succeeded; step++) {
        os_file_fail_after(step, ENOSPC);
        succeeded = os_place_at(fd, "temp", "f", STR("new!"), &e);
        os_file_fail_after(0, 0);
        CHECK(step > 4 ? succeeded : !succeeded && e.code == ERR_DISK_FULL && e.hint[0]);
        err_clear(&e);
        CHECK(platform_holds(path, succeeded ? STR("new!") : STR("old")));
        arena_init(&a, 1 << 20);
        CHECK_OK(os_list_dir(&a, platform_path("place"), 10, &entries, &n, &e) && n == 1, e);
        arena_release(&a);
    }
    CHECK(succeeded);
    (void)platform_file("place/temp", STR("another's"));
    CHECK_ERR(os_place_at(fd, "temp", "f", STR("newer"), &e), e, ERR_EXISTS);
    err_clear(&e);
    CHECK(platform_holds(platform_path("place/temp"), STR("another's")));
    os_close(fd);
    CHECK_ERR(os_place_at(-1, platform_path("no/temp"), path, STR("new"), &e), e, ERR_NOT_FOUND);
    err_clear(&e);
    CHECK_OK(os_place_at(-1, platform_path("place/t"), path, STR("whole"), &e), e);
    CHECK(platform_holds(path, STR("whole")));
}

static int platform_kill_step;

static void platform_write_and_die(void) {
    struct err e = { .code = ERR_OK };
    os_file_fail_after(platform_kill_step, -9);
    (void)os_write_file(platform_path("killed"), STR("new!"), &e);
}

TEST(file_write_survives_kill) {
    int status = 1;
    for (platform_kill_step = 1; platform_kill_step <= 10 && status != 0; platform_kill_step++) {
        const char *path = platform_file("killed", STR("old"));
        status = platform_in_child(platform_write_and_die);
        CHECK(status == 0 || status == 128 + SIGKILL);
        CHECK(platform_holds(path, STR("old")) || platform_holds(path, STR("new!")));
        CHECK(status != 0 || platform_holds(path, STR("new!")));
    }
    CHECK_EQ(status, 0);
    CHECK(platform_kill_step > 4);
}

TEST(file_errors_have_codes_and_hints) {
    static const struct { int errno_value; enum err_code code; } rows[] = {
        { ENOSPC, ERR_DISK_FULL }, { EDQUOT, ERR_DISK_FULL }, { EROFS, ERR_READ_ONLY },
        { EACCES, ERR_READ_ONLY },
        { EPERM, ERR_READ_ONLY }, { EEXIST, ERR_EXISTS }, { ENOMEM, ERR_NO_MEMORY },
        { EIO, ERR_IO }, { EMFILE, ERR_IO },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct err e = { .code = ERR_OK };
        os_file_fail_after(1, rows[i].errno_value);
        CHECK_ERR(os_rename("from-x", "to-y", &e), e, rows[i].code);
        CHECK(strstr(e.msg, "from-x") && strstr(e.msg, "to-y")
            && strstr(e.msg, strerror(rows[i].errno_value)));
        CHECK(e.hint[0] != 0);
    }
    struct err e = { .code = ERR_OK };
    int fd = open("/dev/full", O_WRONLY);
    if (fd >= 0) {
        CHECK_ERR(os_write(fd, "x", 1, &e), e, ERR_DISK_FULL);
        close(fd);
    }
}

TEST(file_names_and_links) {
    struct err e = { .code = ERR_OK };
    struct arena a;
    struct os_stat st;
    arena_init(&a, 1 << 16);
    const char *x = platform_file("n-x", STR("x")), *y = platform_path("n-y"),
        *l = platform_path("n-link");
    CHECK_OK(os_rename(x, y, &e), e);
    CHECK(!os_stat(x, &st) && platform_holds(y, STR("x")));
    CHECK_ERR(os_rename(x, y, &e), e, ERR_NOT_FOUND);
    err_clear(&e);
    CHECK_OK(os_symlink("n-y", l, &e), e);
    CHECK_OK(os_symlink("n-y", l, &e), e);
    CHECK_ERR(os_symlink("n-z", l, &e), e, ERR_EXISTS);
    CHECK_ERR(os_symlink("n-z", y, &e), e, ERR_EXISTS);
    err_clear(&e);
    char *target = os_readlink(&a, l, &e);
    CHECK(target && strcmp(target, "n-y") == 0);
    CHECK_ERR(os_readlink(&a, y, &e) != NULL, e, ERR_IO);
    err_clear(&e);
    CHECK_OK(os_hardlink(y, x, &e), e);
    CHECK(os_stat(x, &st) && st.n_links == 2);
    CHECK_ERR(os_hardlink(y, x, &e), e, ERR_EXISTS);
    err_clear(&e);
    CHECK_OK(os_unlink(x, &e), e);
    CHECK_OK(os_unlink(x, &e), e);
    CHECK(!os_unlink(test_scratch_dir(), &e));  /* a folder: the code differs between systems */
    arena_release(&a);
}

TEST(file_reflink_shares_or_refuses) {
    struct err e = { .code = ERR_OK };
    int from = os_open(platform_file("r-from", STR("content")), OS_READ, &e);
    const char *path = platform_path("r-to");
    int to = os_open(path, OS_CREATE_NEW, &e);
    bool shared = os_reflink(from, to);
    CHECK(platform_holds(path, shared ? STR("content") : STR("")));
    CHECK(!os_reflink(-1, to));
    os_close(from);
    os_close(to);
}

/* ---- folders ---- */

TEST(dir_lists_in_byte_order) {
    struct err e = { .code = ERR_OK };
    struct arena a;
    struct os_entry *entries;
    size_t n = 9;
    arena_init(&a, 1 << 20);
    CHECK_OK(os_mkdirs(platform_path("list/sub"), &e), e);
    CHECK_OK(os_list_dir(&a, platform_path("list/sub"), 0, &entries, &n, &e), e);
    CHECK_EQ(n, 0);
    platform_file("list/b", STR("x"));
    platform_file("list/B", STR("x"));
    platform_file("list/.h", STR("x"));
    CHECK_OK(os_symlink("sub", platform_path("list/a-link"), &e), e);
    CHECK_OK(os_list_dir(&a, platform_path("list"), 5, &entries, &n, &e), e);
    CHECK_EQ(n, 5);
    static const struct { const char *name; enum os_kind kind; } want[] = {
        { ".h", OS_FILE }, { "B", OS_FILE }, { "a-link", OS_LINK }, { "b", OS_FILE },
        { "sub", OS_DIR } };
    for (size_t i = 0; i < n && i < 5; i++) {
        CHECK_STR(entries[i].name, str_cstr(want[i].name));
        CHECK_EQ(entries[i].kind, want[i].kind);
    }
    CHECK_ERR(os_list_dir(&a, platform_path("list"), 4, &entries, &n, &e), e, ERR_LIMIT);
    CHECK_ERR(os_list_dir(&a, platform_path("none"), 4, &entries, &n, &e), e, ERR_NOT_FOUND);
    CHECK_ERR(os_list_dir(&a, platform_path("list/b"), 4, &entries, &n, &e), e, ERR_NOT_FOUND);
    for (int fail = 1; fail < 3; fail++) {
        arena_release(&a);
        mem_fail_after(fail);
        CHECK_ERR(os_list_dir(&a, platform_path("list"), 10, &entries, &n, &e), e, ERR_NO_MEMORY);
    }
    mem_fail_after(0);
    arena_release(&a);
}

TEST(dir_makes_parents) {
    struct err e = { .code = ERR_OK };
    struct os_stat st;
    CHECK_OK(os_mkdirs(platform_path("m/a//b/c/"), &e), e);
    CHECK(os_stat(platform_path("m/a/b/c"), &st) && st.kind == OS_DIR);
    CHECK_OK(os_mkdirs(platform_path("m/a"), &e), e);
    CHECK_OK(os_symlink("m", platform_path("m-link"), &e), e);
    CHECK_OK(os_mkdirs(platform_path("m-link"), &e), e);
    CHECK_OK(os_mkdirs("/", &e), e);
    platform_file("m/file", STR("x"));
    CHECK_ERR(os_mkdirs(platform_path("m/file"), &e), e, ERR_EXISTS);
    CHECK_ERR(os_mkdirs(platform_path("m/file/x"), &e), e, ERR_NOT_FOUND);
    CHECK_ERR(os_mkdirs("", &e), e, ERR_NOT_FOUND);
    err_clear(&e);
    CHECK_OK(os_rmdir(platform_path("m/a/b/c"), &e), e);
    CHECK_OK(os_rmdir(platform_path("m/a/b/c"), &e), e);
    CHECK_ERR(os_rmdir(platform_path("m"), &e), e, ERR_EXISTS);
    os_file_fail_after(1, EROFS);                /* existing folder on a read-only system: fine */
    err_clear(&e);
    CHECK_OK(os_mkdirs(platform_path("m"), &e), e);
    os_file_fail_after(1, EROFS);
    CHECK_ERR(os_mkdirs(platform_path("m/new"), &e), e, ERR_READ_ONLY);
}

TEST(dir_remove_tree_stays_inside) {
    struct err e = { .code = ERR_OK };
    struct os_stat st;
    CHECK_OK(os_mkdirs(platform_path("t/a/b"), &e), e);
    CHECK_OK(os_mkdirs(platform_path("outside"), &e), e);
    platform_file("outside/kept", STR("x"));
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, "t/a/f%d", i);
        platform_file(name, STR("x"));
    }
    CHECK_OK(os_symlink("../../outside", platform_path("t/a/link"), &e), e);
    CHECK_OK(os_symlink("/nowhere", platform_path("t/dead"), &e), e);
    CHECK_OK(os_remove_tree(platform_path("t"), &e), e);
    CHECK(!os_lstat(platform_path("t"), &st)
        && platform_holds(platform_path("outside/kept"), STR("x")));
    CHECK_OK(os_remove_tree(platform_path("t"), &e), e);
    CHECK_OK(os_symlink("outside", platform_path("tree-link"), &e), e);
    CHECK_OK(os_remove_tree(platform_path("tree-link"), &e), e);   /* a link itself, not its target */
    CHECK(!os_lstat(platform_path("tree-link"), &st)
        && platform_holds(platform_path("outside/kept"), STR("x")));
    CHECK_OK(os_remove_tree(platform_path("outside/kept"), &e), e);
    CHECK(!os_lstat(platform_path("outside/kept"), &st));
    CHECK_OK(os_mkdirs(platform_path("t/x/y"), &e), e);
    os_file_fail_after(2, EACCES);
    CHECK_ERR(os_remove_tree(platform_path("t"), &e), e, ERR_READ_ONLY);
    CHECK(strstr(e.msg, "in ") != NULL);
    err_clear(&e);
    CHECK_OK(os_remove_tree(platform_path("t"), &e), e);
}

/* Keeps exchanging a folder inside the tree for a link that leads out, until it is killed. */
static void platform_swap(void) {
    for (;;) {
        (void)rename(platform_path("swap/a"), platform_path("swap-aside"));
        (void)symlink("../outside2", platform_path("swap/a"));
        (void)unlink(platform_path("swap/a"));
        (void)rename(platform_path("swap-aside"), platform_path("swap/a"));
    }
}

TEST(dir_remove_tree_survives_link_swaps) {
    struct err e = { .code = ERR_OK };
    CHECK_OK(os_mkdirs(platform_path("outside2"), &e), e);
    platform_file("outside2/kept", STR("x"));
    CHECK_OK(os_mkdirs(platform_path("swap/a"), &e), e);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        platform_swap();
    }
    for (int i = 0; i < 300; i++) {
        struct err ignored = { .code = ERR_OK };
        (void)mkdir(platform_path("swap"), 0777);
        (void)mkdir(platform_path("swap/a"), 0777);
        (void)mkdir(platform_path("swap/a/b"), 0777);
        (void)os_remove_tree(platform_path("swap"), &ignored);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK(platform_holds(platform_path("outside2/kept"), STR("x")));
}

/* ---- mapping ---- */

TEST(mmap_reads) {
    struct err e = { .code = ERR_OK };
    struct os_map m;
    static char data[10000];
    memset(data, 'm', sizeof data);
    CHECK_OK(os_map_file(platform_file("map", ((struct str){ data, sizeof data })), &m, &e), e);
    CHECK(m.size_bytes == sizeof data && memcmp(m.p, data, sizeof data) == 0);
    os_unmap(&m);
    CHECK(m.p == NULL);
    os_unmap(&m);
    CHECK_OK(os_map_file(platform_file("map0", STR_EMPTY), &m, &e), e);
    CHECK(m.p != NULL && m.size_bytes == 0);
    os_unmap(&m);
    CHECK_ERR(os_map_file(platform_path("none"), &m, &e), e, ERR_NOT_FOUND);
    CHECK_ERR(os_map_file(test_scratch_dir(), &m, &e), e, ERR_IO);
    err_clear(&e);
    uint8_t *p = os_pages_alloc(5 << 20, &e);
    CHECK(p && (uintptr_t)p % 4096 == 0 && p[0] == 0 && p[(5 << 20) - 1] == 0);
    os_pages_free(p, 5 << 20);
    os_pages_free(NULL, 1);
    CHECK_ERR(os_pages_alloc(SIZE_MAX, &e) != NULL, e, ERR_NO_MEMORY);
    CHECK_ERR(os_pages_alloc((size_t)1 << 62, &e) != NULL, e, ERR_NO_MEMORY);
}

static int platform_stderr_pipe[2];

static void platform_shrink_under_map(void) {
    struct err e = { .code = ERR_OK };
    struct os_map m;
    static char data[20000];
    os_signals_init();
    dup2(platform_stderr_pipe[1], 2);
    const char *path = platform_file("shrinks.safetensors", ((struct str){ data, sizeof data }));
    if (!os_map_file(path, &m, &e) || truncate(path, 100) != 0) {
        _exit(77);
    }
    _exit(((volatile const uint8_t *)m.p)[12288]);
}

static void platform_plain_bus_error(void) {
    os_signals_init();
    (void)raise(SIGBUS);
}

TEST(mmap_guard_explains_a_shrunken_file) {
    char text[1000];
    CHECK(pipe(platform_stderr_pipe) == 0);
    CHECK_EQ(platform_in_child(platform_shrink_under_map), 1);
    close(platform_stderr_pipe[1]);
    ssize_t n = read(platform_stderr_pipe[0], text, sizeof text - 1);
    close(platform_stderr_pipe[0]);
    text[n > 0 ? n : 0] = 0;
    CHECK(strstr(text, "shrinks.safetensors") && strstr(text, "shrank"));
    CHECK_EQ(platform_in_child(platform_plain_bus_error), 128 + SIGBUS);
}

/* ---- locks ---- */

static void platform_take_lock(void) {
    struct os_lock l;
    struct err e = { .code = ERR_OK };
    bool got = os_lock_acquire(&l, platform_path("lock"), 0, &e);
    _exit(got ? 0 : e.code == ERR_LOCKED ? 1 : 2);
}

TEST(lock_excludes_other_processes) {
    struct os_lock l;
    struct err e = { .code = ERR_OK };
    struct os_stat st;
    mode_t mask = umask(077);
    CHECK_OK(os_lock_acquire(&l, platform_path("lock"), 0, &e), e);
    umask(mask);
    CHECK(!l.soft && os_stat(platform_path("lock"), &st) && st.mode == 0664);
    CHECK_EQ(platform_in_child(platform_take_lock), 1);
    struct os_lock second;
    int64_t from = os_now_ns();
    CHECK_ERR(os_lock_acquire(&second, platform_path("lock"), 120, &e), e, ERR_LOCKED);
    CHECK((os_now_ns() - from) / 1000000 >= 100);
    CHECK(strstr(e.msg, "/lock") && e.hint[0]);
    os_lock_release(&second);                    /* of a lock not held: nothing */
    CHECK_EQ(platform_in_child(platform_take_lock), 1);
    os_lock_release(&l);
    CHECK_EQ(platform_in_child(platform_take_lock), 0);
    CHECK(os_stat(platform_path("lock"), &st));  /* stays behind */
    CHECK_ERR(os_lock_acquire(&l, platform_path("none/lock"), 0, &e), e, ERR_NOT_FOUND);
    err_clear(&e);
    CHECK_OK(os_lock_acquire(&l, platform_path("lock"), -1, &e), e);
    CHECK(unlink(platform_path("lock")) == 0);   /* replaced: the old lock does not count */
    CHECK_EQ(platform_in_child(platform_take_lock), 0);
    os_lock_release(&l);
}

static void platform_hold_briefly(void) {
    struct os_lock l;
    struct err e = { .code = ERR_OK };
    if (os_lock_acquire(&l, platform_path("waited"), 0, &e)) {
        ssize_t ignored = write(platform_stderr_pipe[1], "x", 1);
        (void)ignored;
        os_sleep_ms(150);
    }
    _exit(0);
}

TEST(lock_waits_until_free) {
    struct os_lock l;
    struct err e = { .code = ERR_OK };
    char go;
    fflush(stdout);
    CHECK(pipe(platform_stderr_pipe) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        platform_hold_briefly();
    }
    CHECK(read(platform_stderr_pipe[0], &go, 1) == 1);
    CHECK_ERR(os_lock_acquire(&l, platform_path("waited"), 0, &e), e, ERR_LOCKED);
    err_clear(&e);
    CHECK_OK(os_lock_acquire(&l, platform_path("waited"), 20000, &e), e);
    os_lock_release(&l);
    waitpid(pid, NULL, 0);
    close(platform_stderr_pipe[0]);
    close(platform_stderr_pipe[1]);
}

TEST(lock_soft_when_flock_is_missing) {
    struct os_lock l, second;
    struct err e = { .code = ERR_OK };
    struct os_stat st;
    char want[256];
    os_hostname(want, 200);
    snprintf(want + strlen(want), 20, ":%d", os_pid());
    os_file_fail_after(1, ENOLCK);
    CHECK_OK(os_lock_acquire(&l, platform_path("s-lock"), 0, &e), e);
    os_file_fail_after(0, 0);
    CHECK(l.soft && platform_holds(platform_path("s-lock.soft"), str_cstr(want)));
    CHECK_ERR(os_lock_acquire(&second, platform_path("s-lock"), 0, &e), e, ERR_LOCKED);   /* flock works */
    CHECK(strstr(e.msg, want) && strstr(e.hint, "s-lock.soft"));
    os_file_fail_after(1, ENOSYS);
    CHECK_ERR(os_lock_acquire(&second, platform_path("s-lock"), 0, &e), e, ERR_LOCKED);
    os_lock_release(&l);
    CHECK(!os_stat(platform_path("s-lock.soft"), &st));
    os_hostname(want, 200);                      /* of a process that is gone: broken */
    snprintf(want + strlen(want), 20, ":%d", 2147483646);
    platform_file("s-lock.soft", str_cstr(want));
    err_clear(&e);
    os_file_fail_after(1, ENOSYS);
    CHECK_OK(os_lock_acquire(&l, platform_path("s-lock"), 0, &e), e);
    os_lock_release(&l);
    platform_file("s-lock.soft", STR("another-host:1"));
    os_file_fail_after(1, ENOSYS);
    CHECK_ERR(os_lock_acquire(&l, platform_path("s-lock"), 0, &e), e, ERR_LOCKED);
    os_file_fail_after(1, EIO);
    CHECK_ERR(os_lock_acquire(&l, platform_path("s-lock"), 0, &e), e, ERR_IO);
}

/* ---- threads ---- */

struct platform_job { struct os_team *team; int n_rounds; long sums[300]; long data[64]; atomic_int bad; };

static void platform_part(void *ctx, int part, int n_parts) {
    struct platform_job *job = ctx;
    job->sums[part] += n_parts * 1000 + part;
}

/* Each round every member writes its cell, waits, checks its neighbour's, waits. */
static void platform_rounds(void *ctx, int part, int n_parts) {
    struct platform_job *job = ctx;
    for (int round = 1; round <= job->n_rounds; round++) {
        job->data[part] = round * 100 + part;
        os_team_barrier(job->team, part);
        int next = (part + 1) % n_parts;
        if (job->data[next] != round * 100 + next) {
            atomic_fetch_add(&job->bad, 1);
        }
        os_team_barrier(job->team, part);
    }
}

TEST(team_runs_every_part_once) {
    struct err e = { .code = ERR_OK };
    static const int sizes[] = { 1, 2, 3, 8, 40 };
    for (size_t i = 0; i < MLXK_COUNT(sizes); i++) {
        struct platform_job job = { .n_rounds = 0 };
        struct os_team *t = os_team_open(sizes[i], &e);
        CHECK_OK(t != NULL, e);
        if (!t) {
            return;
        }
        for (int run = 0; run < 100; run++) {
            os_team_run(t, platform_part, &job);
        }
        for (int part = 0; part < sizes[i]; part++) {
            CHECK_EQ(job.sums[part], 100 * (sizes[i] * 1000 + part));
        }
        os_team_close(t);
    }
    os_team_close(NULL);
}

TEST(team_barrier_keeps_rounds_apart) {
    struct err e = { .code = ERR_OK };
    static const int sizes[] = { 1, 2, 3, 7 };
    for (size_t i = 0; i < MLXK_COUNT(sizes); i++) {
        struct platform_job job = { .team = os_team_open(sizes[i], &e),
            .n_rounds = sizes[i] > 2 ? 100 : 2000 };
        CHECK_OK(job.team != NULL, e);
        if (job.team) {
            os_team_run(job.team, platform_rounds, &job);
            os_team_run(job.team, platform_rounds, &job);
            CHECK_EQ(atomic_load(&job.bad), 0);
            os_team_close(job.team);
        }
    }
}

TEST(team_wakes_after_sleep) {
    struct err e = { .code = ERR_OK };
    struct platform_job job = { .n_rounds = 0 };
    struct os_team *t = os_team_open(3, &e);
    CHECK_OK(t != NULL, e);
    for (int run = 0; t && run < 50; run++) {
        os_sleep_ms(run % 3);                    /* longer than members spin */
        os_team_run(t, platform_part, &job);
    }
    CHECK_EQ(job.sums[2], 50 * 3002);
    os_team_close(t);
    mem_fail_after(1);
    CHECK_ERR(os_team_open(2, &e) != NULL, e, ERR_NO_MEMORY);
}

static void platform_limited_team(void) {
    struct err e = { .code = ERR_OK };
    struct rlimit few = { 4 << 20, 4 << 20 };    /* address space: no stacks can be had */
    if (setrlimit(RLIMIT_AS, &few) != 0) {
        _exit(77);
    }
    if (os_pages_alloc(64 << 20, &e)) {
        _exit(77);                               /* an emulator that does not keep the limit */
    }
    err_clear(&e);
    struct os_team *t = os_team_open(200, &e);   /* more than the stacks that earlier tests left for reuse */
    _exit(t == NULL && e.code == ERR_NO_MEMORY && e.hint[0] ? 0 : 1);
}

TEST(team_reports_missing_threads) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)platform_limited_team;                 /* sanitizers need terabytes of address space */
#else
    int status = platform_in_child(platform_limited_team);
    if (status == 77) {
        test_skip("limits of address space are not kept here");
    } else {
        CHECK_EQ(status, 0);
    }
#endif
}

/* Makes a folder again and again that another removes as often. */
struct platform_churn { const char *path_cstr; struct err e; };

static void platform_churner(void *ctx) {
    struct platform_churn *c = ctx;
    struct err ignored = { .code = ERR_OK };
    for (int i = 0; i < 20000 && os_mkdirs(c->path_cstr, &c->e); i++) {
        os_rmdir(c->path_cstr, &ignored);
    }
}

TEST(dir_made_while_others_remove_it) {
    struct err e = { .code = ERR_OK };
    const char *path_cstr = platform_path("churn");
    struct platform_churn c[4];
    struct os_thread *t[4];
    for (int i = 0; i < 4; i++) {
        c[i] = (struct platform_churn){ .path_cstr = path_cstr };
        t[i] = os_thread_start(platform_churner, &c[i], &e);
        CHECK(t[i]);
    }
    for (int i = 0; i < 4; i++) {
        os_thread_join(t[i]);
        CHECK_STR(str_cstr(c[i].e.msg), STR(""));
    }
}

struct platform_queue { struct os_mutex mutex; struct os_cond cond; int value; };

static void platform_producer(void *ctx) {
    struct platform_queue *q = ctx;
    for (int i = 0; i < 100; i++) {
        os_mutex_lock(&q->mutex);
        q->value++;
        os_cond_broadcast(&q->cond);
        os_mutex_unlock(&q->mutex);
    }
}

TEST(thread_mutex_and_condition) {
    struct err e = { .code = ERR_OK };
    struct platform_queue q = { .value = 0 };
    os_mutex_init(&q.mutex);
    os_cond_init(&q.cond);
    struct os_thread *a = os_thread_start(platform_producer, &q, &e);
    struct os_thread *b = os_thread_start(platform_producer, &q, &e);
    CHECK_OK(a && b, e);
    os_mutex_lock(&q.mutex);
    while (q.value < 200) {
        if (!os_cond_wait(&q.cond, &q.mutex, 30000)) {
            test_fail(__FILE__, __LINE__, "timed out at %d", q.value);
            break;
        }
    }
    int64_t from = os_now_ns();
    CHECK(!os_cond_wait(&q.cond, &q.mutex, 30));
    CHECK((os_now_ns() - from) / 1000000 >= 29);
    os_mutex_unlock(&q.mutex);
    os_thread_join(a);
    os_thread_join(b);
    CHECK_EQ(q.value, 200);
    mem_fail_after(1);
    CHECK_ERR(os_thread_start(platform_producer, &q, &e) != NULL, e, ERR_NO_MEMORY);
}

#if defined(__linux__)
static void platform_policy(void *ctx) {
    *(long *)ctx = syscall(SYS_sched_getscheduler, 0);
}

TEST(thread_batch_and_back) {
    struct err e = { .code = ERR_OK };
    long before, within, inherited, after;
    platform_policy(&before);
    os_thread_batch(true);
    platform_policy(&within);
    struct os_thread *t = os_thread_start(platform_policy, &inherited, &e);
    CHECK_OK(t != NULL, e);
    if (t) os_thread_join(t);
    os_thread_batch(false);
    platform_policy(&after);
    CHECK_EQ(within, before == SCHED_OTHER ? SCHED_BATCH : before);
    CHECK_EQ(inherited, within);
    CHECK_EQ(after, before);
}

/* One file of a recorded tree below `root`. */
static void platform_record(const char *root, const char *file, const char *text) {
    struct err e = { .code = ERR_OK };
    char path[LIMIT_PATH], dir[LIMIT_PATH];
    snprintf(path, sizeof path, "%s/%s", root, file);
    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
    CHECK_OK(os_mkdirs(dir, &e) && os_write_file(path, str_cstr(text), &e), e);
}

static int platform_cores(const char *root, unsigned mask) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < 32; i++) {
        if (mask >> i & 1) {
            CPU_SET(i, &set);
        }
    }
    return os_linux_cores(root, &set);
}

TEST(cpu_cores_from_recorded_trees) {
    static const struct { const char *siblings[4]; unsigned mask; int cores; } rows[] = {
        { { "0,2", "1,3", "0,2", "1,3" }, 15, 2 }, { { "0-1", "0-1", "2-3", "2-3" }, 15, 2 },
        { { "0-1", "0-1", "2-3", "2-3" }, 6, 2 },  { { "0-1", "0-1", "2-3", "2-3" }, 8, 1 },
        { { "0", "1", "2", "3" }, 15, 4 },         { { "0-3", "0-3", "0-3", "0-3" }, 15, 1 },
        { { "junk", "", "-", "99999" }, 15, 4 },   { { "0", "1", "2", "3" }, 0, 0 },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        const char *root = platform_path("cores");
        for (int cpu = 0; cpu < 4; cpu++) {
            char file[100];
            snprintf(file, sizeof file,
                "sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
            platform_record(root, file, rows[i].siblings[cpu]);
        }
        CHECK_EQ(platform_cores(root, rows[i].mask), rows[i].cores);
    }
    CHECK_EQ(platform_cores("/nowhere", 7), 3);
}

TEST(cpu_quota_from_recorded_trees) {
    struct err e = { .code = ERR_OK };
    static const struct { const char *group, *file, *text, *file2, *text2; int cpus; } rows[] = {
        { "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "max 100000", NULL, NULL, 0 },
        { "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "150000 100000\n", NULL, NULL, 2 },
        { "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "400000 100000", "sys/fs/cgroup/a/cpu.max",
        "300000 100000", 3 },
        { "0::/host/path\n", "sys/fs/cgroup/cpu.max", "50000 100000", NULL, NULL, 1 },
        { "0::/\n", "sys/fs/cgroup/cpu.max", "200000 100000", NULL, NULL, 2 },
        { "0::/\n", "sys/fs/cgroup/cpu.max", "5 0", NULL, NULL, 0 },
        { "0::/\n", "sys/fs/cgroup/cpu.max", "", NULL, NULL, 0 },
        { "3:cpuset:/\n2:cpu,cpuacct:/x\n0::/\n", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "250000",
          "sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000", 3 },
        { "2:cpuacct,cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1",
          "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000", 0 },
        { "2:cpuset:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000",
          "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000", 0 },
        { "junk", "sys/fs/cgroup/cpu.max", "100000 100000", NULL, NULL, 0 },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        const char *root = platform_path("quota");
        CHECK_OK(os_remove_tree(root, &e), e);
        platform_record(root, "proc/self/cgroup", rows[i].group);
        platform_record(root, rows[i].file, rows[i].text);
        if (rows[i].file2) {
            platform_record(root, rows[i].file2, rows[i].text2);
        }
        if (os_linux_quota(root) != rows[i].cpus) {
            test_fail(__FILE__, __LINE__, "row %zu gives %d, not %d", i, os_linux_quota(root),
                rows[i].cpus);
        }
    }
}
#else
TEST(cpu_cores_from_recorded_trees) {
    CHECK(os_sys_cpu_count() > 0);
}

TEST(cpu_quota_from_recorded_trees) {
    CHECK(os_sys_cpus_online() > 0);
}
#endif

TEST(cpu_count_is_possible) {
    int n = os_cpu_count();
    CHECK(n >= 1 && n <= os_sys_cpus_online());
}

/* ---- clock, entropy, machine ---- */

TEST(clock_dates) {
    char text[32];
    os_format_time(text, 1773500966000000000);
    CHECK_STR(str_cstr(text), STR("2026-03-14T15:09:26Z"));
    os_format_time(text, 0);
    CHECK_STR(str_cstr(text), STR("1970-01-01T00:00:00Z"));
    os_format_time(text, -1);
    CHECK_STR(str_cstr(text), STR("1969-12-31T23:59:59Z"));
    os_format_time(text, 951782400000000000);
    CHECK_STR(str_cstr(text), STR("2000-02-29T00:00:00Z"));
    struct os_date d = os_date_utc(1773500966);
    CHECK(d.year == 2026 && d.month == 3 && d.day == 14 && d.hour == 15 && d.minute == 9
        && d.second == 26);
    CHECK(d.weekday == 5 && d.yearday == 73);
    d = os_date_utc(1735603200);                 /* last day of a leap year: a Tuesday */
    CHECK(d.weekday == 1 && d.yearday == 366);
    d = os_date_local(1773500966);
    CHECK(d.year == 2026 && d.month == 3 && d.day >= 14 && d.day <= 15);
}

TEST(clock_runs) {
    int64_t a = os_now_ns(), wall = os_time_ns();
    os_sleep_ms(20);
    CHECK(os_now_ns() - a >= 19000000 && wall > 1700000000000000000);
    os_sleep_ms(-5);
    os_sleep_ms(0);
}

TEST(entropy_differs) {
    uint8_t a[1000] = { 0 }, b[1000] = { 0 };
    os_entropy(a, sizeof a);
    os_entropy(b, sizeof b);
    os_entropy(b, 0);
    CHECK(memcmp(a, b, sizeof a) != 0 && memcmp(a + 990, "\0\0\0\0\0\0\0\0\0", 10) != 0);
    int ones = 0;
    for (size_t i = 0; i < sizeof a; i++) {
        ones += __builtin_popcount(a[i]);
    }
    CHECK(ones > 3600 && ones < 4400);           /* 4000 +- 9 sigma */
}

TEST(machine_facts) {
    char text[128], cut[4];
    CHECK_EQ(os_pid(), getpid());
    os_hostname(text, sizeof text);
    CHECK(text[0] != 0);
    os_hostname(cut, sizeof cut);
    CHECK(strlen(cut) < sizeof cut);
    os_system_name(text, sizeof text);
    CHECK(strchr(text, ' ') != NULL);
    CHECK(os_total_memory() > (uint64_t)64 << 20 && os_peak_memory() > (uint64_t)1 << 20);
    CHECK(os_peak_memory() < os_total_memory());
}

/* ---- terminal, signals ---- */

TEST(tty_raw_and_back) {
    struct err e = { .code = ERR_OK };
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        test_skip("no pseudo terminals here");
        return;
    }
    int fd = open(ptsname(master), O_RDWR | O_NOCTTY);
    struct termios before, raw, after;
    CHECK(fd >= 0 && os_is_tty(fd) && tcgetattr(fd, &before) == 0);
    CHECK_OK(os_tty_raw(fd, true, &e), e);
    CHECK_OK(os_tty_raw(fd, true, &e), e);
    CHECK(tcgetattr(fd, &raw) == 0 && !(raw.c_lflag & (tcflag_t)(ICANON | ECHO | ISIG))
        && (raw.c_oflag & OPOST));
    CHECK(write(master, "\x03", 1) == 1);
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    CHECK_EQ(poll(&ready, 1, 5000), 1);
    CHECK_OK(os_tty_raw(fd, false, &e), e);
    CHECK(tcgetattr(fd, &after) == 0 && after.c_lflag == before.c_lflag
        && after.c_iflag == before.c_iflag);
    CHECK_OK(os_tty_raw(fd, false, &e), e);
    unsetenv("COLUMNS");
    CHECK_EQ(os_tty_columns(fd), 80);            /* a fresh one has no size */
    setenv("COLUMNS", "132", 1);
    CHECK_EQ(os_tty_columns(fd), 132);
    setenv("COLUMNS", "0", 1);
    CHECK_EQ(os_tty_columns(fd), 80);
    unsetenv("COLUMNS");
    close(fd);
    close(master);
    int null = open("/dev/null", O_RDONLY);
    CHECK(!os_is_tty(null) && os_tty_columns(null) == 80);
    CHECK_ERR(os_tty_raw(null, true, &e), e, ERR_IO);
    close(null);
}

static void platform_interrupted_once(void) {
    int ends[2];
    os_signals_init();
    os_interrupt_catch(true);
    if (os_interrupted() || pipe(ends) != 0) {
        _exit(2);
    }
    (void)raise(SIGINT);
    if (!os_interrupted()) {
        _exit(3);
    }
    os_interrupt_reset();
    (void)raise(SIGTERM);
    if (!os_interrupted()) {
        _exit(4);
    }
    os_interrupt_reset();
    _exit(os_interrupted() ? 5 : 0);
}

static void platform_interrupted_default(void) {
    os_signals_init();
    os_interrupt_catch(true);
    os_interrupt_catch(false);
    (void)raise(SIGINT);
}

static void platform_interrupted_thrice(void) {
    os_signals_init();
    os_interrupt_catch(true);
    for (int i = 0; i < 3; i++) {
        (void)raise(SIGINT);
    }
}

static void platform_ignored_stays_ignored(void) {
    (void)signal(SIGHUP, SIG_IGN);
    os_signals_init();
    (void)raise(SIGHUP);
    _exit(9);
}

static void platform_lock_interrupted(void) {
    struct os_lock l, m;
    struct err e = { .code = ERR_OK };
    os_signals_init();
    os_interrupt_catch(true);
    (void)os_lock_acquire(&l, platform_path("i-lock"), 0, &e);
    (void)raise(SIGINT);
    _exit(!os_lock_acquire(&m, platform_path("i-lock"), -1, &e)
        && e.code == ERR_INTERRUPTED ? 0 : 1);
}

static void platform_read_interrupted(void) {
    int ends[2];
    char byte;
    size_t n;
    struct err e = { .code = ERR_OK };
    os_signals_init();
    os_interrupt_catch(true);
    if (pipe(ends) != 0) {
        _exit(2);
    }
    (void)raise(SIGTERM);
    _exit(!os_read_some(ends[0], &byte, 1, &n, &e) && e.code == ERR_INTERRUPTED ? 0 : 1);
}

static void platform_stopped_before_serving(void) {
    os_signals_init();
    os_interrupt_catch(true);
    (void)raise(SIGTERM);
    os_serving(true);
    _exit(os_stop_count() == 1 && !os_interrupted() ? 0 : 1);
}

TEST(signal_flag) {
    CHECK_EQ(platform_in_child(platform_read_interrupted), 0);
    CHECK_EQ(platform_in_child(platform_stopped_before_serving), 0);
    CHECK_EQ(platform_in_child(platform_interrupted_once), 0);
    CHECK_EQ(platform_in_child(platform_interrupted_default), 128 + SIGINT);
    CHECK_EQ(platform_in_child(platform_interrupted_thrice), 128 + SIGINT);
    CHECK_EQ(platform_in_child(platform_ignored_stays_ignored), 9);
    CHECK_EQ(platform_in_child(platform_lock_interrupted), 0);
}

/* ---- CPU ---- */

TEST(cpu_features_have_names) {
    uint32_t have = cpu_features();
    for (int bit = 0; bit < 32; bit++) {
        uint32_t one = 1u << bit;
        CHECK(!(have & one) || cpu_feature_name(one));
    }
    CHECK(cpu_feature_name(0) == NULL && cpu_feature_name(1u << 31) == NULL
        && cpu_feature_name(3) == NULL);
    CHECK(cpu_features() == have);
    CHECK(!(have & CPU_AVX512) || (have & CPU_AVX2));
    CHECK(!(have & CPU_AVX512_VNNI) || (have & CPU_AVX512));
}

#if defined(__linux__) && defined(__x86_64__)
/* The kernel's own list, a second opinion. */
TEST(cpu_features_as_the_kernel_says) {
    static const struct { uint32_t bit; const char *flag; } rows[] = {
        { CPU_SSE42, " sse4_2 " }, { CPU_AVX2, " avx2 " }, { CPU_AVX512, " avx512bw " },
        { CPU_SHA_NI, " sha_ni " },
        { CPU_AVX512_VNNI, " avx512_vnni " }, { CPU_AES_NI, " aes " },
        { CPU_PCLMUL, " pclmulqdq " },
        { CPU_AVX_VNNI, " avx_vnni " }, { CPU_AVX512_BF16, " avx512_bf16 " },
        { CPU_AVX512_VBMI, " avx512vbmi " },
    };
    static char line[8192];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f) && strncmp(line, "flags", 5) != 0) {
    }
    if (!f || strncmp(line, "flags", 5) != 0) {
        test_skip("no CPU flags in /proc");
    } else {
        line[strcspn(line, "\n")] = ' ';
        for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
            if (((cpu_features() & rows[i].bit) != 0) != (strstr(line, rows[i].flag) != NULL)) {
                test_fail(__FILE__, __LINE__, "disagreement about%s", rows[i].flag);
            }
        }
        CHECK(cpu_name().n > 0);
    }
    if (f) {
        fclose(f);
    }
}
#else
TEST(cpu_features_as_the_kernel_says) {
    CHECK(cpu_features() != 0);
}
#endif

/* ---- hashes ---- */

TEST(sha256_known_answers) {
    static const struct { const char *in, *want; } rows[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    char out[65];
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        sha256_hex(str_cstr(rows[i].in), out);
        CHECK_STR(str_cstr(out), str_cstr(rows[i].want));
    }
    static char million[1000000];
    memset(million, 'a', sizeof million);
    sha256_hex((struct str){ million, sizeof million }, out);
    CHECK_STR(str_cstr(out),
        STR("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"));
    CHECK(sha256_variant()[0] != 0);
}

TEST(sha256_variants_agree) {
    uint8_t data[64 * 7 + 1], digest[32], again[32];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)test_random();
    }
    for (size_t n_blocks = 0; n_blocks <= 7; n_blocks++) {   /* misaligned on purpose */
        struct sha256 scalar, chosen;
        sha256_init(&scalar);
        sha256_init(&chosen);
        sha256_blocks_scalar(scalar.h, data + 1, n_blocks);
        sha256_update(&chosen, data + 1, n_blocks * 64);
        CHECK(memcmp(scalar.h, chosen.h, sizeof scalar.h) == 0);
    }
    for (size_t n = 0; n < sizeof data; n += 13) {           /* any split gives the same */
        struct sha256 whole, parts, saved;
        sha256_init(&whole);
        sha256_init(&parts);
        sha256_update(&whole, data, n);
        for (size_t at = 0; at < n;) {
            size_t piece = test_random() % 100;
            piece = piece < n - at ? piece : n - at;
            sha256_update(&parts, data + at, piece);
            at += piece;
            memcpy(&saved, &parts, sizeof saved);            /* saved and taken up again */
            parts = saved;
        }
        sha256_final(&whole, digest);
        sha256_final(&parts, again);
        CHECK(memcmp(digest, again, sizeof digest) == 0);
    }
}

static uint64_t platform_progress_bytes;

static bool platform_progress(void *ctx, uint64_t done_bytes) {
    platform_progress_bytes = done_bytes;
    return ctx == NULL;
}

TEST(sha256_of_files) {
    struct err e = { .code = ERR_OK };
    uint8_t digest[32];
    char hex[65], want[65];
    static char data[200001];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (char)test_random();
    }
    const char *path = platform_file("hashed", ((struct str){ data, sizeof data }));
    CHECK_OK(sha256_file(path, digest, platform_progress, NULL, &e), e);
    CHECK_EQ(platform_progress_bytes, sizeof data);
    str_hex(hex, digest, 32);
    sha256_hex((struct str){ data, sizeof data }, want);
    CHECK_STR(str_cstr(hex), str_cstr(want));
    CHECK_OK(sha256_file(path, digest, NULL, NULL, &e), e);
    CHECK_ERR(sha256_file(path, digest, platform_progress, data, &e), e, ERR_INTERRUPTED);
    CHECK_ERR(sha256_file(platform_path("none"), digest, NULL, NULL, &e), e, ERR_NOT_FOUND);
}

TEST(sha1_known_answers) {
    static const struct { const char *in, *want; } rows[] = {
        { "", "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
        { "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
    };
    uint8_t digest[20];
    char hex[41];
    struct sha1 s;
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        sha1_init(&s);
        sha1_update(&s, rows[i].in, strlen(rows[i].in));
        sha1_final(&s, digest);
        str_hex(hex, digest, 20);
        CHECK_STR(str_cstr(hex), str_cstr(rows[i].want));
    }
    sha1_init(&s);                               /* the name git gives to these 13 bytes */
    sha1_update(&s, "blob 13", 8);
    sha1_update(&s, "Hello, World!", 13);
    sha1_final(&s, digest);
    str_hex(hex, digest, 20);
    CHECK_STR(str_cstr(hex), STR("b45ef6fec89518d314f546fd6c3025367b721684"));
    static char million[1000000];
    memset(million, 'a', sizeof million);
    sha1_init(&s);
    sha1_update(&s, million, sizeof million);
    sha1_final(&s, digest);
    str_hex(hex, digest, 20);
    CHECK_STR(str_cstr(hex), STR("34aa973cd4c4daa4f61eeb2bdbad27316534016f"));
}

TEST(sha1_variants_agree) {
    uint8_t data[64 * 7 + 1], digest[20], again[20];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)test_random();
    }
    for (size_t n_blocks = 0; n_blocks <= 7; n_blocks++) {   /* misaligned on purpose */
        struct sha1 scalar, chosen;
        sha1_init(&scalar);
        sha1_init(&chosen);
        sha1_blocks_scalar(scalar.h, data + 1, n_blocks);
        sha1_update(&chosen, data + 1, n_blocks * 64);
        CHECK(memcmp(scalar.h, chosen.h, sizeof scalar.h) == 0);
    }
    for (size_t n = 0; n < sizeof data; n += 13) {           /* any split gives the same */
        struct sha1 whole, parts;
        sha1_init(&whole);
        sha1_init(&parts);
        sha1_update(&whole, data, n);
        for (size_t at = 0; at < n;) {
            size_t piece = test_random() % 100;
            piece = piece < n - at ? piece : n - at;
            sha1_update(&parts, data + at, piece);
            at += piece;
        }
        sha1_final(&whole, digest);
        sha1_final(&parts, again);
        CHECK(memcmp(digest, again, sizeof digest) == 0);
    }
}

TEST(sha512_known_answers) {
    static const struct { size_t n; const char *want; } rows[] = {
        { 0, "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
          "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e" },
        { 3, "8853167ab14c043919981a6409307ef68b5b726f4b80dcab259daa24b7cabcb8"
          "b4bbfd3e2e36ed98465059661f672e6529cdcc673e7eabfa78dd3186745b112a" },
        { 111, "0ef0e383d1e3b7f1e7477f27d7d62a25b3d637c42b509c96f230889cc05cade8"
          "7cb595834c2f3cccd4c842221251636e3ef6c8b57ee0656e5352a9e968044ab7" },
        { 112, "3b30650ae40d6cf145136a38623ebf064e642157296df6595c6b1a3fac9f5c30"
          "461bbc698b19fff7192763656ffc619002ce0cf39eb9efdfd9914a81d81fd71f" },
        { 113, "56e7afeae695f146fa3ed396eb33c4c0c3e7ff88974c9df24b40327d92889628"
          "508cff2c15b8f327e14c739c2d0e7e9670424a0e600b0e396aa789ca7fb734c3" },
        { 127, "07d05c6a64f1c2ebc735334f428871fca7153286d369318b52427074c3d97e97"
          "af523a00b2dd02e5150ee7f962380cf841bcb566cd4921e0226602986e59aff6" },
        { 128, "9ac7d9bb8e42c2ce0230fe54f60868dca869afe8c4c02771ae54a7827818e6a8"
          "840b1fc2efbf2b5163150ed3710318d750c0ac2998b2c628ce4e66cb12cabfff" },
        { 129, "8e14a5884c493da00130dddf9c0140009e7a4fbfebe9c88416bfae10fee38409"
          "fa50288087ff2d50e631b0695c95d6bb33a781069487fde48b2fde8d0c4230ab" },
        { 1000, "585b7a26bf81872d575ee2d071374956d4fa3570e31e244231d14410f824a73a"
          "64ac870479a54ab425473726b529392e274683daa521d9b89d8b2bf80c0c831f" },
    };
    uint8_t data[1000], digest[64];
    char hex[129];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)((i * 7 + 3) % 251);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct sha512 s;
        sha512_init(&s);
        for (size_t at = 0; at < rows[i].n; at += 13)    /* in pieces */
            sha512_update(&s, data + at, rows[i].n - at < 13 ? rows[i].n - at : 13);
        sha512_final(&s, digest);
        str_hex(hex, digest, 64);
        CHECK_STR(str_cstr(hex), str_cstr(rows[i].want));
    }
}

TEST(path_own_dir) {
    static const struct { const char *variable, *home, *want; } rows[] = {
        { "/state", "/home/ada", "/state/mlxk" }, { "/state/", NULL, "/state/mlxk" },
        { "", "/home/ada", "/home/ada/.local/state/mlxk" }, { NULL, "/home/ada/", "/home/ada/.local/state/mlxk" },
        { "relative", "/home/ada", "/home/ada/.local/state/mlxk" }, { NULL, "/", "/.local/state/mlxk" },
        { NULL, "relative", NULL },
    };
    const char *home = getenv("HOME");
    char *kept = home ? strdup(home) : NULL;
    struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        if (rows[i].variable) setenv("MLXK_TEST_STATE", rows[i].variable, 1);
        else unsetenv("MLXK_TEST_STATE");
        if (rows[i].home) setenv("HOME", rows[i].home, 1);
        char *got = os_own_dir(&a, "MLXK_TEST_STATE", ".local/state");
        CHECK((got == NULL) == (rows[i].want == NULL));
        if (got && rows[i].want) CHECK_STR(str_cstr(got), str_cstr(rows[i].want));
    }
    if (kept) setenv("HOME", kept, 1);
    else unsetenv("HOME");
    free(kept);
    arena_release(&a);
}

TEST(spawn_runs_programs) {
    struct err e = { 0 };
    struct buf out, diag;
    int status = 7;
    static const char *const plain[] = { "sh", "-c", "cat; echo \"$MLXK_A:$MLXK_B\"; pwd; echo oh >&2; exit 3",
                                         NULL };
    static const char *const env[] = { "MLXK_A=x y", "MLXK_B", NULL };
    buf_init(&out, 1 << 20);
    buf_init(&diag, 100);
    setenv("MLXK_B", "gone", 1);
    struct os_spawn s = { .argv = plain, .dir_cstr = "/", .env = env, .input = STR("in\n"),
                          .out = &out, .diag = &diag };
    CHECK_OK(os_spawn(&s, &status, &e), e);
    CHECK_EQ(status, 3);
    CHECK_STR(buf_str(&out), STR("in\nx y:\n/\n"));
    CHECK_STR(buf_str(&diag), STR("oh\n"));
    unsetenv("MLXK_B");
    static const char *const none[] = { "mlxk-no-such-program", NULL };
    s.argv = none;
    CHECK_ERR(os_spawn(&s, &status, &e), e, ERR_NOT_FOUND);
    static const char *const folder[] = { "/", NULL };
    s.argv = folder;
    err_clear(&e);
    CHECK_ERR(os_spawn(&s, &status, &e), e, ERR_READ_ONLY);
    buf_release(&out);
    buf_release(&diag);
}

TEST(spawn_is_bounded) {
    struct err e = { 0 };
    struct buf out, big;
    int status;
    static const char *const endless[] = { "sh", "-c", "while :; do echo 0123456789; done", NULL };
    static const char *const slow[] = { "sleep", "60", NULL };
    static const char *const deaf[] = { "true", NULL };
    buf_init(&out, 5000);
    buf_init(&big, 4 << 20);
    struct os_spawn s = { .argv = endless, .out = &out };
    CHECK_ERR(os_spawn(&s, &status, &e), e, ERR_LIMIT);
    CHECK_EQ(status, 128 + 9);
    buf_reset(&out);
    s = (struct os_spawn){ .argv = slow, .out = &out, .wait_ms = 200 };
    err_clear(&e);
    int64_t begin = os_now_ns();
    CHECK_ERR(os_spawn(&s, &status, &e), e, ERR_NET_TIMEOUT);
    CHECK(os_now_ns() - begin < 20000000000);
    for (int i = 0; i < 400000; i++) buf_add_cstr(&big, "0123456789");
    s = (struct os_spawn){ .argv = deaf, .out = &out, .input = buf_str(&big) };
    err_clear(&e);
    CHECK_OK(os_spawn(&s, &status, &e), e);
    CHECK_EQ(status, 0);
    buf_release(&big);
    buf_release(&out);
}

/* Any split of a text gives what the whole gives, over the end of the counter's 32 bits too, and back. That it
 * is AES-GCM: gcm_known_answers of test_net.c. */
TEST(gcm_splits_agree) {
    uint8_t keys[15 * 16], powers[GCM_POWERS_BYTES] = { 0 }, h[16], in[16 * 40], whole[16 * 40], parts[16 * 40];
    if (!gcm_is_fast()) {
        CHECK_STR(str_cstr(gcm_variant()), STR("library"));
        return;
    }
    for (size_t i = 0; i < sizeof keys; i++) {
        keys[i] = (uint8_t)test_random();
    }
    for (size_t i = 0; i < sizeof in; i++) {
        in[i] = (uint8_t)test_random();
    }
    memcpy(h, in, sizeof h);
    gcm_powers(h, powers);
    for (int round = 0; round < 300; round++) {
        struct gcm_blocks a = { keys, powers, 10 + 2 * (round % 3), (round & 1) != 0, { 0 }, { 0 } }, b;
        size_t n = test_random() % 41, at = 0;
        uint32_t last = UINT32_MAX - (uint32_t)(test_random() % 64);
        for (int i = 0; i < 16; i++) {
            a.counter[i] = (uint8_t)(i < 12 ? test_random() : last >> 8 * (15 - i));
            a.hash[i] = (uint8_t)test_random();
        }
        b = a;
        struct gcm_blocks back = a;
        gcm_run(&a, in, whole, n);
        while (at < n) {
            size_t piece = 1 + test_random() % (n - at);
            gcm_run(&b, in + 16 * at, parts + 16 * at, piece);
            at += piece;
        }
        CHECK(memcmp(whole, parts, 16 * n) == 0 && memcmp(a.hash, b.hash, 16) == 0);
        CHECK(memcmp(a.counter, b.counter, 16) == 0 && memcmp(a.counter, back.counter, 12) == 0);
        CHECK_EQ((uint32_t)(last + n), (uint32_t)a.counter[12] << 24 | (uint32_t)a.counter[13] << 16
                                           | (uint32_t)a.counter[14] << 8 | a.counter[15]);
        back.encrypt = !back.encrypt;
        gcm_run(&back, whole, parts, n);
        CHECK(memcmp(parts, in, 16 * n) == 0);
        CHECK(memcmp(back.hash, a.hash, 16) == 0);       /* both over the cipher text */
    }
}

/* What is hashed while something is decrypted has the hash that it has alone, and so has what is decrypted. */
TEST(gcm_hashes_beside) {
    enum { MOST = 16 * 70 };
    uint8_t keys[15 * 16], powers[GCM_POWERS_BYTES] = { 0 }, in[MOST], alone[MOST + 64], beside[MOST + 64], lent[MOST];
    size_t all = 0;
    CHECK_EQ(gcm_take_back(), 0);
    if (!gcm_is_fast()) {
        return;
    }
    for (size_t i = 0; i < MOST; i++) {
        in[i] = (uint8_t)test_random();
        lent[i] = (uint8_t)test_random();
        keys[i % sizeof keys] ^= in[i];
    }
    gcm_powers(in, powers);
    for (int round = 0; round < 600; round++) {
        struct gcm_blocks a = { keys, powers, 10 + 2 * (round % 3), round % 7 == 0, { 0 }, { 0 } }, b;
        struct sha256 want, got;
        size_t n = test_random() % 71, at = 0, n_lent = test_random() % (MOST + 1), before = test_random() % 150;
        size_t ahead = test_random() % 3 ? 0 : 1 + test_random() % 40;   /* out before in, or the same */
        for (int i = 0; i < 16; i++) {
            a.counter[i] = a.hash[i] = (uint8_t)(round & 1 ? 0xff : test_random());
        }
        b = a;
        sha256_init(&want);
        sha256_update(&want, in, before);
        got = want;
        gcm_run(&a, in, alone, n);
        memcpy(beside + ahead, in, 16 * n);
        gcm_lend(&got, lent, n_lent);
        while (at < n) {
            size_t piece = 1 + test_random() % (n - at);
            gcm_run(&b, beside + ahead + 16 * at, beside + 16 * at, piece);
            at += piece;
        }
        size_t done = gcm_take_back();
        CHECK(done <= n_lent && done < 16 * n + 64);
        CHECK(!a.encrypt || done == 0);
        all += done;
        sha256_update(&want, lent, done);
        CHECK(memcmp(want.h, got.h, sizeof want.h) == 0 && want.n_bytes == got.n_bytes);
        CHECK(memcmp(want.block, got.block, want.n_bytes % 64) == 0);
        CHECK(memcmp(alone, beside, 16 * n) == 0);
        CHECK(memcmp(a.hash, b.hash, 16) == 0 && memcmp(a.counter, b.counter, 16) == 0);
    }
    CHECK_EQ(all > 0, strcmp(gcm_variant(), "vaes") == 0 && strcmp(sha256_variant(), "sha-ni") == 0);
}

TEST_LIST(platform) {
    T(spawn_runs_programs), T(spawn_is_bounded),
    T(path_own_dir),
    T(path_texts), T(path_expands_as_python), T(path_absolute_and_real),
    T(file_open_modes), T(file_stat_tells), T(quota_leaves), T(file_reads_whole),
    T(file_reads_pipes),
    T(file_writes_whole),
    T(file_write_survives_faults), T(file_write_survives_kill), T(file_errors_have_codes_and_hints),
    T(file_placed_below_a_folder),
    T(file_names_and_links), T(file_reflink_shares_or_refuses),
    T(dir_lists_in_byte_order), T(dir_makes_parents), T(dir_remove_tree_stays_inside),
    T(dir_remove_tree_survives_link_swaps),
    T(mmap_reads), T(mmap_guard_explains_a_shrunken_file),
    T(lock_excludes_other_processes), T(lock_waits_until_free), T(lock_soft_when_flock_is_missing),
    T(team_runs_every_part_once), T(team_barrier_keeps_rounds_apart), T(team_wakes_after_sleep),
    T(team_reports_missing_threads), T(thread_mutex_and_condition),
    T(dir_made_while_others_remove_it), T(cpu_count_is_possible),
#if defined(__linux__)
    T(thread_batch_and_back),
#endif
    T(cpu_cores_from_recorded_trees), T(cpu_quota_from_recorded_trees),
    T(clock_dates), T(clock_runs), T(entropy_differs), T(machine_facts),
    T(tty_raw_and_back), T(signal_flag), T(cpu_features_have_names),
    T(cpu_features_as_the_kernel_says),
    T(sha256_known_answers), T(sha256_variants_agree), T(gcm_splits_agree), T(gcm_hashes_beside), T(sha256_of_files), T(sha1_known_answers), T(sha1_variants_agree), T(sha512_known_answers),
    TEST_END
};
