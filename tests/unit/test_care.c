/* test_care.c: what lies in a repo, what is wrong with it, what can go, and that it goes in order. */
#include "care/care.h"
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a throw-away cache ---------------------------------------------------------------------- */

#define TCARE_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define TCARE_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
/* sha256 of "one" and "two", git sha1 of "{}" */
#define TCARE_ONE "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
#define TCARE_TWO "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
#define TCARE_GIT "9e26dfeeb6e641a33dae4961196235bdb965b21b"

static struct {
    struct arena arena;
    struct err e;
    struct cache cache;
    char root[LIMIT_PATH / 4];
} tcare;

static void tcare_put(const char *relative_cstr, const char *content_cstr) {
    char path[LIMIT_PATH];
    struct err e = { 0 };
    snprintf(path, sizeof path, "%s/%s", tcare.root, relative_cstr);
    char *dir = os_path_dir(&tcare.arena, path);
    CHECK_OK(os_mkdirs(dir, &e) && os_write_file(path, str_cstr(content_cstr), &e), e);
}

static void tcare_link(const char *relative_cstr, const char *blob_cstr) {
    char path[LIMIT_PATH], target[LIMIT_PATH];
    struct err e = { 0 };
    snprintf(path, sizeof path, "%s/models--o--m/snapshots/%s", tcare.root, relative_cstr);
    snprintf(target, sizeof target, "../../blobs/%s", blob_cstr);
    char *dir = os_path_dir(&tcare.arena, path);
    CHECK_OK(os_mkdirs(dir, &e) && os_symlink(target, path, &e), e);
}

static bool tcare_exists(const char *relative_cstr) {
    char path[LIMIT_PATH];
    struct os_stat st;
    snprintf(path, sizeof path, "%s/models--o--m/%s", tcare.root, relative_cstr);
    return os_lstat(path, &st);
}

/* Two revisions: A (v1) shows one and two, B (main) shows two and the empty object. */
static void tcare_begin(const char *name_cstr) {
    arena_release(&tcare.arena);
    arena_init(&tcare.arena, (size_t)1 << 28);
    err_clear(&tcare.e);
    snprintf(tcare.root, sizeof tcare.root, "%s/%s-%d", test_scratch_dir(), name_cstr,
             (int)(test_random() % 100000));
    tcare.cache = (struct cache){ .root_cstr = tcare.root, .root_from_cstr = "test" };
    tcare_put("models--o--m/blobs/" TCARE_ONE, "one");
    tcare_put("models--o--m/blobs/" TCARE_TWO, "two");
    tcare_put("models--o--m/blobs/" TCARE_GIT, "{}");
    tcare_link(TCARE_A "/one.bin", TCARE_ONE);
    tcare_link(TCARE_A "/two.bin", TCARE_TWO);
    tcare_link(TCARE_B "/two.bin", TCARE_TWO);
    tcare_link(TCARE_B "/config.json", TCARE_GIT);
    tcare_put("models--o--m/refs/v1", TCARE_A);
    tcare_put("models--o--m/refs/main", TCARE_B);
}

static struct care_repo tcare_read(void) {
    struct care_repo r;
    CHECK_OK(care_repo_read(&tcare.arena, &tcare.cache, STR("models--o--m"), &r, &tcare.e), tcare.e);
    return r;
}

static size_t tcare_count(const struct care_repo *r, enum care_kind kind) {
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) n += r->entries[i].kind == kind;
    return n;
}

/* ---- times --------------------------------------------------------------------------------------- */

TEST(care_ages) {
    struct err e = { 0 };
    int64_t ns;
    CHECK(care_parse_age(STR("90s"), &ns, &e) && ns == (int64_t)90 * 1000000000);
    CHECK(care_parse_age(STR("30m"), &ns, &e) && ns == (int64_t)1800 * 1000000000);
    CHECK(care_parse_age(STR("6mo"), &ns, &e) && ns == (int64_t)180 * 86400 * 1000000000);
    CHECK(care_parse_age(STR("0d"), &ns, &e) && ns == 0);
    CHECK_ERR(care_parse_age(STR("d"), &ns, &e), e, ERR_INVALID);
    CHECK_ERR(care_parse_age(STR("7"), &ns, &e), e, ERR_INVALID);
    CHECK_ERR(care_parse_age(STR("-7d"), &ns, &e), e, ERR_INVALID);
    CHECK_ERR(care_parse_age(STR("999999y"), &ns, &e), e, ERR_INVALID);
}

TEST(care_dates) {
    struct err e = { 0 };
    int64_t ns, day = (int64_t)86400 * 1000000000;
    CHECK(care_parse_when(STR("1970-01-02"), 0, &ns, &e) && ns == day);
    CHECK(care_parse_when(STR("2000-03-01"), 0, &ns, &e) && ns == 11017 * day);
    CHECK(care_parse_when(STR("2024-02-29T00:00:01Z"), 0, &ns, &e) && ns == 19782 * day + 1000000000);
    CHECK(care_parse_when(STR("1d"), 3 * day, &ns, &e) && ns == 2 * day);
    CHECK(care_parse_when(STR("9d"), 3 * day, &ns, &e) && ns == 0);
    CHECK_ERR(care_parse_when(STR("2023-02-29"), 0, &ns, &e), e, ERR_INVALID);
    CHECK_ERR(care_parse_when(STR("2024-13-01"), 0, &ns, &e), e, ERR_INVALID);
    CHECK_ERR(care_parse_when(STR("2024-1-1"), 0, &ns, &e), e, ERR_INVALID);
    CHECK_ERR(care_parse_when(STR("2024-01-01T10:00"), 0, &ns, &e), e, ERR_INVALID);
    CHECK_ERR(care_parse_when(STR(""), 0, &ns, &e), e, ERR_INVALID);
}

TEST(care_journal_lines) {
    struct care_seen s;
    struct str path;
    CHECK(care_journal_parse(STR("v1\t5\trun"), &s, &path) && s.time_ns == 5 && path.n == 0);
    CHECK(care_journal_parse(STR("v1\t5\t6\t-7\t8\t/a\tb"), &s, &path));
    CHECK(s.size_bytes == 6 && s.mtime_ns == -7 && s.inode == 8);
    CHECK_STR(path, STR("/a\tb"));
    CHECK(!care_journal_parse(STR("v1\t5\t6\t7\t8\trelative"), &s, &path));
    CHECK(!care_journal_parse(STR("v2\t5\trun"), &s, &path));
    CHECK(!care_journal_parse(STR("v1\t5\t6\t7"), &s, &path));
    CHECK(!care_journal_parse(STR(""), &s, &path));
}

TEST(care_journal_remembers_what_did_not_change) {
    struct care_journal j;
    struct os_stat st = { .size_bytes = 3, .mtime_ns = 4, .inode = 5 };
    tcare_begin("journal");
    setenv("XDG_STATE_HOME", tcare.root, 1);
    CHECK_OK(care_journal_open(&tcare.arena, &j, &tcare.e), tcare.e);
    CHECK(!care_journal_has(&j, STR("/x"), &st, 0));
    care_journal_run(&j, 50);
    care_journal_add(&j, STR("/x"), &st, 100);
    care_journal_add(&j, STR("/line\nbreak"), &st, 100);
    care_journal_close(&j);
    CHECK_OK(care_journal_open(&tcare.arena, &j, &tcare.e), tcare.e);
    CHECK_EQ(j.last_ns, 50);
    CHECK_EQ(j.n, 1);
    CHECK(care_journal_has(&j, STR("/x"), &st, 100));
    CHECK(!care_journal_has(&j, STR("/x"), &st, 101));
    st.mtime_ns++;
    CHECK(!care_journal_has(&j, STR("/x"), &st, 0));
    care_journal_close(&j);
    unsetenv("XDG_STATE_HOME");
}

/* ---- inventory -------------------------------------------------------------------------------------- */

TEST(care_inventory_names_everything) {
    tcare_begin("inventory");
    tcare_put("models--o--m/blobs/" TCARE_ONE ".incomplete", "o");
    tcare_put("models--o--m/blobs/" TCARE_ONE ".0123abcd.incomplete", "o");
    tcare_put("models--o--m/blobs/.x.0123abcd.shared", "o");
    tcare_put("models--o--m/refs/refs/pr/1", TCARE_A);
    tcare_put("models--o--m/refs/main.0123abcd.tmp", "o");
    tcare_put("models--o--m/trees/" TCARE_A ".json", "{}");
    tcare_put("models--o--m/.no_exist/" TCARE_A "/sub/x.json", "");
    tcare_put("models--o--m/notes.txt", "mine");
    tcare_put("models--o--m/blobs/sub/x", "mine");
    tcare_link(TCARE_B "/sub/dead", "nothing");
    struct care_repo r = tcare_read();
    CHECK_STR(r.name, STR("o/m"));
    CHECK_EQ(tcare_count(&r, CARE_BLOB), 3);
    CHECK_EQ(tcare_count(&r, CARE_PARTIAL), 2);
    CHECK_EQ(tcare_count(&r, CARE_TEMP), 2);
    CHECK_EQ(tcare_count(&r, CARE_REF), 3);
    CHECK_EQ(tcare_count(&r, CARE_TREE), 1);
    CHECK_EQ(tcare_count(&r, CARE_ABSENCE), 1);
    CHECK_EQ(tcare_count(&r, CARE_LINK), 5);
    CHECK_EQ(tcare_count(&r, CARE_FOREIGN), 3);      /* notes.txt, blobs/sub and what is in it */
    CHECK_EQ(r.n_revisions, 2);
    CHECK(!r.revisions[0].is_main && r.revisions[0].n_refs == 2 && r.revisions[0].n_files == 2);
    CHECK(r.revisions[1].is_main && r.revisions[1].n_dangling == 1 && r.revisions[1].n_files == 3);
    const uint64_t *two = map_get(&r.blobs, STR(TCARE_TWO));
    CHECK(two && r.entries[*two].n_revisions == 2);
    care_repo_release(&r);
}

TEST(care_inventory_of_datasets) {
    tcare_begin("datasets");
    tcare_put("datasets--o--d/refs/main", TCARE_A);
    struct care_repo r;
    CHECK_OK(care_repo_read(&tcare.arena, &tcare.cache, STR("datasets--o--d"), &r, &tcare.e), tcare.e);
    CHECK_STR(r.name, STR("datasets/o/d"));
    care_repo_release(&r);
    struct str *folders;
    size_t n;
    CHECK_OK(care_repos(&tcare.arena, &tcare.cache, true, &folders, &n, &tcare.e), tcare.e);
    CHECK_EQ(n, 2);
}

/* ---- verify ---------------------------------------------------------------------------------------------- */

static struct care_verify_result tcare_verify(struct care_findings *f, int n_threads) {
    struct care_verify_result out;
    struct str folder = STR("models--o--m");
    struct care_verify_options o = { .folders = &folder, .n_folders = 1, .since_ns = INT64_MAX,
                                     .n_threads = n_threads };
    care_findings_init(f, &tcare.arena);
    CHECK_OK(care_verify(&tcare.arena, &tcare.cache, &o, f, &out, &tcare.e), tcare.e);
    return out;
}

static const struct care_finding *tcare_find(const struct care_findings *f, const char *code_cstr) {
    for (size_t i = 0; i < f->n; i++)
        if (!strcmp(f->list[i].code_cstr, code_cstr)) return &f->list[i];
    return NULL;
}

TEST(care_verify_finds_what_is_wrong) {
    struct care_findings f;
    tcare_begin("verify");
    for (int threads = 1; threads <= 3; threads++) {
        struct care_verify_result r = tcare_verify(&f, threads);
        CHECK_EQ(r.n_good, 3);
        CHECK_EQ(care_findings_errors(&f), 0);
    }
    tcare_put("models--o--m/blobs/" TCARE_ONE, "One");
    tcare_put("models--o--m/blobs/" TCARE_GIT, "[]");
    struct care_verify_result r = tcare_verify(&f, 2);
    CHECK_EQ(r.n_wrong, 2);
    CHECK_EQ(care_findings_errors(&f), 2);
    const struct care_finding *x = tcare_find(&f, "hash_mismatch");
    CHECK(x && x->found.n && x->expected.n && x->file.n && x->commit.n);
}

TEST(care_verify_reads_hard_links_once) {
    struct care_findings f;
    char from[LIMIT_PATH], to[LIMIT_PATH];
    tcare_begin("hardlinks");
    snprintf(from, sizeof from, "%s/models--o--m/blobs/" TCARE_ONE, tcare.root);
    snprintf(to, sizeof to, "%s/models--o--m/snapshots/" TCARE_A "/copy.bin", tcare.root);
    CHECK_OK(os_hardlink(from, to, &tcare.e), tcare.e);
    tcare_put("models--o--m/trees/" TCARE_A ".json",
              "{\"files\":{\"copy.bin\":{\"blob_id\":\"" TCARE_A "\",\"lfs_sha256\":\"" TCARE_ONE
              "\",\"lfs_size\":3,\"size\":3}},\"format_version\":1}");
    struct care_verify_result r = tcare_verify(&f, 2);
    CHECK_EQ(r.n_good, 4);
    CHECK_EQ(r.bytes, 3 + 3 + 2);
}

/* ---- usage -------------------------------------------------------------------------------------------------- */

TEST(care_usage_adds_up) {
    struct care_volume v;
    tcare_begin("usage");
    tcare_put("models--o--m/blobs/0000000000000000000000000000000000000000", "nobody");
    CHECK_OK(care_usage(&tcare.arena, &tcare.cache, STR("models--o--m"), &v, &tcare.e), tcare.e);
    CHECK_EQ(v.n, 1);
    const struct care_usage *u = &v.repos[0];
    CHECK(u->linked > 0 && u->shared > 0 && u->unlinked > 0 && u->partial == 0 && !u->hidden);
    CHECK_EQ(u->total, u->linked + u->shared + u->unlinked + u->partial + u->meta + u->foreign);
}

/* ---- plan and collection --------------------------------------------------------------------------------------- */

static void tcare_plan(struct care_plan *p, int64_t keep_last) {
    struct care_plan_options o = { .folder = STR("models--o--m"), .keep_last = keep_last,
                                   .older_ns = 0, .revision_ns = -1, .now_ns = INT64_MAX / 2 };
    CHECK_OK(care_plan_make(&tcare.arena, &tcare.cache, &o, p, &tcare.e), tcare.e);
}

TEST(care_collect_takes_old_revisions) {
    struct care_plan p;
    uint64_t freed;
    tcare_begin("collect");
    tcare_put("models--o--m/trees/" TCARE_A ".json", "{}");
    tcare_plan(&p, 1);
    CHECK_EQ(p.n, 1);
    CHECK(p.items[0].action == CARE_DROP_REVISION);
    CHECK_OK(care_collect(&tcare.cache, &p, &freed, &tcare.e), tcare.e);
    care_plan_release(&p);
    CHECK(freed > 0);
    CHECK(!tcare_exists("refs/v1") && !tcare_exists("snapshots/" TCARE_A) &&
          !tcare_exists("trees/" TCARE_A ".json") && !tcare_exists("blobs/" TCARE_ONE));
    CHECK(tcare_exists("refs/main") && tcare_exists("blobs/" TCARE_TWO) &&
          tcare_exists("blobs/" TCARE_GIT));
}

TEST(care_collect_leaves_what_changed) {
    struct care_plan p;
    uint64_t freed;
    tcare_begin("changed");
    tcare_put("models--o--m/blobs/0000000000000000000000000000000000000000", "nobody");
    tcare_put("models--o--m/blobs/1111111111111111111111111111111111111111", "nobody");
    tcare_plan(&p, -1);
    CHECK_EQ(p.n, 2);
    tcare_put("models--o--m/blobs/0000000000000000000000000000000000000000", "somebody");
    tcare_link(TCARE_B "/late.bin", "1111111111111111111111111111111111111111");
    CHECK_OK(care_collect(&tcare.cache, &p, &freed, &tcare.e), tcare.e);
    care_plan_release(&p);
    CHECK_EQ(freed, 0);
    CHECK(tcare_exists("blobs/0000000000000000000000000000000000000000"));
    CHECK(tcare_exists("blobs/1111111111111111111111111111111111111111"));
}

/* Every ref names a snapshot and every link leads to a blob. */
static void tcare_check_whole(long step) {
    struct care_repo r = tcare_read();
    for (size_t i = 0; i < r.n; i++) {
        const struct care_entry *x = &r.entries[i];
        if (x->kind == CARE_LINK && x->target.kind != OS_FILE)
            test_fail(__FILE__, __LINE__, "step %ld: %s leads nowhere", step, x->path_cstr);
        bool found = x->kind != CARE_REF;
        for (size_t k = 0; !found && k < r.n_revisions; k++)
            found = str_eq(r.revisions[k].commit, x->commit);
        if (!found) test_fail(__FILE__, __LINE__, "step %ld: %s names nothing", step, x->path_cstr);
    }
    care_repo_release(&r);
}

/* The n-th file call kills the process; what is left is whole, and a second run ends the work. */
TEST(care_collect_survives_kills) {
    struct care_plan p;
    uint64_t freed;
    long n_steps = 0;
    for (long step = 1; step < 60; step++) {
        int status;
        tcare_begin("kills");
        tcare_put("models--o--m/blobs/0000000000000000000000000000000000000000", "nobody");
        tcare_put("models--o--m/blobs/" TCARE_ONE ".incomplete", "o");
        pid_t child = fork();
        if (child == 0) {
            tcare_plan(&p, 1);
            os_file_fail_after(step, -SIGKILL);
            (void)care_collect(&tcare.cache, &p, &freed, &tcare.e);
            _exit(0);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        tcare_check_whole(step);
        bool killed = WIFSIGNALED(status);
        tcare_plan(&p, 1);
        CHECK_OK(care_collect(&tcare.cache, &p, &freed, &tcare.e), tcare.e);
        care_plan_release(&p);
        CHECK(!tcare_exists("snapshots/" TCARE_A) && !tcare_exists("blobs/" TCARE_ONE) &&
              !tcare_exists("blobs/0000000000000000000000000000000000000000"));
        CHECK(tcare_exists("blobs/" TCARE_TWO) && tcare_exists("refs/main"));
        if (!killed) break;
        n_steps = step;
    }
    CHECK(n_steps > 6 && n_steps < 58);
}

TEST(care_collect_tells_what_fails) {
    for (long step = 1; step < 12; step++) {
        struct care_plan p;
        uint64_t freed;
        struct err e = { 0 };
        tcare_begin("fails");
        tcare_plan(&p, 1);
        os_file_fail_after(step, EACCES);
        bool ok = care_collect(&tcare.cache, &p, &freed, &e);
        os_file_fail_after(0, 0);
        care_plan_release(&p);
        CHECK(ok == (e.code == ERR_OK));
        tcare_check_whole(step);
    }
}

/* ---- probe ---------------------------------------------------------------------------------------------------------- */

TEST(care_probe_leaves_nothing) {
    struct care_abilities able;
    struct os_entry *entries;
    size_t n;
    tcare_begin("probe");
    CHECK_OK(care_probe(tcare.root, &able, &tcare.e), tcare.e);
    CHECK(able.symlink == CARE_YES && able.rename == CARE_YES && able.map == CARE_YES &&
          able.lock == CARE_YES);
    CHECK_OK(os_list_dir(&tcare.arena, tcare.root, 100, &entries, &n, &tcare.e), tcare.e);
    CHECK_EQ(n, 1);
    CHECK_ERR(care_probe("/proc/nothing", &able, &tcare.e), tcare.e, ERR_NOT_FOUND);
}

TEST_LIST(care) {
    T(care_ages), T(care_dates), T(care_journal_lines),
    T(care_journal_remembers_what_did_not_change), T(care_inventory_names_everything),
    T(care_inventory_of_datasets), T(care_verify_finds_what_is_wrong),
    T(care_verify_reads_hard_links_once), T(care_usage_adds_up), T(care_collect_takes_old_revisions),
    T(care_collect_leaves_what_changed), T(care_collect_survives_kills),
    T(care_collect_tells_what_fails), T(care_probe_leaves_nothing), TEST_END
};
