/* test_main.c: runs the unit tests and the fuzz corpora.
 *
 *   test                       everything, one "ok" or "not ok" line each, a summary last
 *   test --list                names only
 *   test --only TEXT           tests whose "room/name" contains TEXT (may be given several times)
 *
 * Built in two ways by build.sh, which writes test_lists.h (TEST_LISTS, FUZZ_TARGETS):
 *  - a room alone (TEST_ROOM defined): linked with separate objects of the room and those below it;
 *  - the whole program (no TEST_ROOM): mlxk.c, every test file and every fuzz target are one unit
 *    with this file; test_files.h includes them.
 * Exit status 0 when nothing failed, 1 otherwise, 2 for wrong use.
 */
#ifndef TEST_ROOM
#define MLXK_NO_MAIN
#include "../../mlxk.c"
#endif

#include "test.h"
#include "test_lists.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef TEST_ROOM
#include "test_files.h"
#endif

#define TEST_EXTERN_LIST(room) extern const struct test_case test_list_##room[];
TEST_LISTS(TEST_EXTERN_LIST)
#define TEST_EXTERN_FUZZ(name) int fuzz_##name(const uint8_t *data, size_t size);
FUZZ_TARGETS(TEST_EXTERN_FUZZ)

#define TEST_LIST_ROW(room) { #room, test_list_##room },
static const struct { const char *room; const struct test_case *list; } test_rooms[] = {
    TEST_LISTS(TEST_LIST_ROW) { NULL, NULL }
};
#define TEST_FUZZ_ROW(target) { #target, fuzz_##target },
static const struct { const char *name; int (*fn)(const uint8_t *, size_t); } test_targets[] = {
    FUZZ_TARGETS(TEST_FUZZ_ROW) { NULL, NULL }
};

static struct {
    int n_passed, n_failed, n_skipped;
    bool failed, skipped;              /* of the test that runs now */
    char skip_reason[200];
    uint64_t random;
    char scratch[64];
    const char *only[16];
    int n_only;
    bool list;
} test_state;

void test_fail(const char *file_cstr, int line, const char *format_cstr, ...) {
    va_list args;
    test_state.failed = true;
    printf("# %s:%d: ", file_cstr, line);
    va_start(args, format_cstr);
    vprintf(format_cstr, args);
    va_end(args);
    putchar('\n');
}

void test_skip(const char *why_cstr) {
    test_state.skipped = true;
    snprintf(test_state.skip_reason, sizeof test_state.skip_reason, "%s", why_cstr);
}

uint64_t test_random(void) {
    uint64_t z = test_state.random += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

const char *test_data_path(const char *relative_cstr) {
    static char paths[4][4096];        /* the last four answers stay valid */
    static int next;
    char *path = paths[next++ % 4];
    const char *root = getenv("MLXK_TESTS");
    snprintf(path, sizeof paths[0], "%s/%s", root ? root : "tests", relative_cstr);
    return path;
}

static void test_remove_scratch(void) {
    char command[256];
    snprintf(command, sizeof command, "chmod -R u+rwX '%s'; rm -rf '%s'", test_state.scratch, test_state.scratch);
    if (test_state.scratch[0] && system(command) != 0) {
        printf("# could not remove %s\n", test_state.scratch);
    }
    test_state.scratch[0] = '\0';
}

const char *test_scratch_dir(void) {
    if (!test_state.scratch[0]) {
        strcpy(test_state.scratch, "/tmp/mlxk-test-XXXXXX");
        if (!mkdtemp(test_state.scratch)) {
            perror("mkdtemp");
            exit(1);
        }
    }
    return test_state.scratch;
}

/* ---- running ------------------------------------------------------------------------------- */

static bool test_wanted(const char *name) {
    for (int i = 0; i < test_state.n_only; i++) {
        if (strstr(name, test_state.only[i])) {
            return true;
        }
    }
    return test_state.n_only == 0;
}

/* Starts "room/name": false when it is not to be run. */
static bool test_begin(const char *name) {
    if (!test_wanted(name)) {
        return false;
    }
    if (test_state.list) {
        puts(name);
        return false;
    }
    test_state.failed = test_state.skipped = false;
    test_state.random = 20260101;
    return true;
}

static void test_end(const char *name) {
    if (test_state.failed) {
        test_state.n_failed++;
        printf("not ok %s\n", name);
    } else if (test_state.skipped) {
        test_state.n_skipped++;
        printf("ok %s # SKIP %s\n", name, test_state.skip_reason);
    } else {
        test_state.n_passed++;
        printf("ok %s\n", name);
    }
    fflush(stdout);
}

/* Every room starts with a scratch folder of its own. */
static void test_run_list(const char *room, const struct test_case *list) {
    test_remove_scratch();
    for (; list->name_cstr; list++) {
        char name[200];
        snprintf(name, sizeof name, "%s/%s", room, list->name_cstr);
        if (test_begin(name)) {
            list->fn();
            test_end(name);
        }
    }
}

/* ---- fuzz corpora ---------------------------------------------------------------------------- */

/* One input, in a heap block of exactly its size, so that the sanitizer sees a read behind it. */
static bool test_run_input(int (*target)(const uint8_t *, size_t), const char *path) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0) close(fd);
        return false;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size ? size : 1);
    if (!data || read(fd, data, size) != (ssize_t)size) {
        test_fail(path, 0, "cannot be read");
    } else if (target(data, size) != 0) {
        test_fail(path, 0, "the target did not return 0");
    }
    free(data);
    close(fd);
    return true;
}

static void test_run_corpus(const char *target_name, int (*target)(const uint8_t *, size_t)) {
    char name[200], folder[300], path[700];
    int n_inputs = 0;
    snprintf(name, sizeof name, "fuzz/%s", target_name);
    if (!test_begin(name)) {
        return;
    }
    snprintf(folder, sizeof folder, "fuzz/corpus/%s", target_name);
    const char *full = test_data_path(folder);
    DIR *dir = opendir(full);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%.255s", full, entry->d_name);
        n_inputs += test_run_input(target, path);
    }
    if (dir) {
        closedir(dir);
    }
    if (n_inputs == 0) {
        test_fail(full, 0, "no corpus files");
    }
    test_end(name);
}

int main(int argc, char **argv) {
    signal(SIGINT, SIG_DFL);           /* shells ignore it for what they start in the background */
    atexit(test_remove_scratch);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0) {
            test_state.list = true;
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc && test_state.n_only < 16) {
            test_state.only[test_state.n_only++] = argv[++i];
        } else {
            fprintf(stderr, "usage: %s [--list] [--only TEXT]...\n", argv[0]);
            return 2;
        }
    }
    for (int i = 0; test_rooms[i].room; i++) {
        test_run_list(test_rooms[i].room, test_rooms[i].list);
    }
    for (int i = 0; test_targets[i].name; i++) {
        test_run_corpus(test_targets[i].name, test_targets[i].fn);
    }
    if (test_state.list) {
        return 0;
    }
    if (test_state.n_passed + test_state.n_failed + test_state.n_skipped == 0) {
        fprintf(stderr, "no test has such a name; see --list\n");
        return 2;
    }
    printf("%d passed, %d failed, %d skipped\n", test_state.n_passed, test_state.n_failed, test_state.n_skipped);
    return test_state.n_failed ? 1 : 0;
}
