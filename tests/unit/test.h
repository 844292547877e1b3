/* test.h: the words unit tests are written in.
 *
 * A room's tests live in test_<room>.c: static functions made by TEST(name) and one list at the end:
 *     TEST(arena_rewinds) { ...; CHECK(x == y); CHECK_EQ(got, want); CHECK_STR(got, STR("want")); }
 *     TEST_LIST(base) { T(arena_rewinds), T(...), TEST_END };
 * test_main.c includes the whole program and every list (./test --list, --only NAME); a room is also
 * built alone: `./build.sh room NAME` compiles the rooms below it as separate files and runs its tests.
 */
#ifndef MLXK_TEST_H
#define MLXK_TEST_H

#include "base/base.h"

struct test_case { const char *name_cstr; void (*fn)(void); };

#define TEST(name)      static void test__##name(void)
#define T(name)         { #name, test__##name }
#define TEST_END        { NULL, NULL }
#define TEST_LIST(room) const struct test_case test_list_##room[]; const struct test_case test_list_##room[] =

/* Report a failure with place, expected and actual, count it, and go on. */
void test_fail(const char *file_cstr, int line, const char *format_cstr, ...) MLXK_PRINTF(3, 4);
/* This test cannot run here: counted as skipped, must be listed in tests/SKIPS. */
void test_skip(const char *why_cstr);
/* Deterministic random numbers for tests (splitmix64 of a fixed seed, restarted for each test). */
uint64_t test_random(void);
/* Path of a file below tests/ ("golden/x"); a per-run scratch folder that is removed at the end. */
const char *test_data_path(const char *relative_cstr);
const char *test_scratch_dir(void);

#define CHECK(x)         ((x) ? (void)0 : test_fail(__FILE__, __LINE__, "false: %s", #x))
#define CHECK_EQ(a, b)   do { long long t_a = (long long)(a), t_b = (long long)(b); if (t_a != t_b) \
        test_fail(__FILE__, __LINE__, "%s is %lld, expected %lld", #a, t_a, t_b); } while (0)
#define CHECK_STR(a, b)  do { struct str t_a = (a), t_b = (b); if (!str_eq(t_a, t_b)) \
        test_fail(__FILE__, __LINE__, "%s is \"" STR_FMT "\", expected \"" STR_FMT "\"", #a, STR_ARG(t_a), STR_ARG(t_b)); } while (0)
#define CHECK_OK(x, e)   do { if (!(x)) test_fail(__FILE__, __LINE__, "%s failed: %s | %s", #x, (e).msg, (e).hint); } while (0)
#define CHECK_ERR(x, e, want) do { err_clear(&(e)); if (x) test_fail(__FILE__, __LINE__, "%s succeeded, expected %s", #x, #want); \
        else if ((e).code != (want)) test_fail(__FILE__, __LINE__, "%s gave code %d (%s), expected %s", #x, (int)(e).code, (e).msg, #want); } while (0)

#endif
