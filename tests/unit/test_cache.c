/* test_cache.c: the cache on disk: names, writing and its promises under failure, lookup, verdicts. */
#include "cache/cache.h"
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a throw-away world ---------------------------------------------------------------------- */

static struct {
    struct arena arena;
    struct err e;
    struct cache cache;
    char root[LIMIT_PATH / 4];
} tc;

#define COMMIT_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define COMMIT_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void tc_begin(const char *name_cstr) {
    arena_release(&tc.arena);
    arena_init(&tc.arena, (size_t)1 << 28);
    err_clear(&tc.e);
    snprintf(tc.root, sizeof tc.root, "%s/%s-%d", test_scratch_dir(), name_cstr, (int)(test_random() % 100000));
    tc.cache = (struct cache){ .root_cstr = tc.root, .root_from_cstr = "test" };
    unsetenv("HF_HUB_DISABLE_SYMLINKS");
}

static const char *tc_path(const char *relative_cstr) {
    static char out[4][LIMIT_PATH];
    static int next;
    next = (next + 1) % 4;
    snprintf(out[next], sizeof out[next], "%s/%s", tc.root, relative_cstr);
    return out[next];
}

/* A file below the root, folders made; content NUL-terminated. */
static void tc_put(const char *relative_cstr, const char *content_cstr) {
    struct err e = { 0 };
    const char *path = tc_path(relative_cstr);
    char *dir = os_path_dir(&tc.arena, path);
    CHECK_OK(os_mkdirs(dir, &e) && os_write_file(path, str_cstr(content_cstr), &e), e);
}

static struct str tc_read(const char *relative_cstr) {
    struct err e = { 0 };
    struct str out = STR_EMPTY;
    os_read_file(&tc.arena, tc_path(relative_cstr), 1 << 20, &out, &e);
    return out;
}

static bool tc_exists(const char *relative_cstr) {
    struct os_stat st;
    return os_lstat(tc_path(relative_cstr), &st);
}

/* ---- names --------------------------------------------------------------------------------------- */

TEST(cache_names_of_repos) {
    tc_begin("names");
    const char *good[] = { "a/b", "gpt2", "mlx-community/Qwen3-0.6B-4bit", "a_b/c.d-e_f", "A/1" };
    const char *bad[] = { "", "/", "a/", "/a", "a//b", "a/b/c", "a--b/c", "a/..", "../a", "a/b.git", "-a/b", "a/b-",
                          ".a/b", "a/b.", "a b/c", "a/b\n", "gr\xC3\xBC\xC3\x9F/b", "a\\b" };
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        CHECK_OK(cache_name_ok(str_cstr(good[i]), &tc.e), tc.e);
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        CHECK_ERR(cache_name_ok(str_cstr(bad[i]), &tc.e), tc.e, ERR_INVALID);
    }
    char part[98];
    memset(part, 'x', 97);
    CHECK(cache_name_ok((struct str){ part, 96 }, &tc.e));
    CHECK_ERR(cache_name_ok((struct str){ part, 97 }, &tc.e), tc.e, ERR_INVALID);
    CHECK_ERR(cache_name_ok((struct str){ "a/b\0c", 5 }, &tc.e), tc.e, ERR_INVALID);
}

TEST(cache_names_of_files) {
    tc_begin("files");
    const char *good[] = { "config.json", "a/b/c.txt", ".gitattributes", "gr\xC3\xBC\xC3\x9F e.txt", "..a", "a..", "a#%+b" };
    const char *bad[] = { "", "/a", "a/", "a//b", "..", "a/../b", "./a", "a/.", "a\\b", "..\\x", "C:/x", "c:x", "a/d:/x",
                          "a\nb", "a\x1b[0m", "bad\xFFutf8", "a\x7f" };
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        CHECK_OK(cache_path_ok(str_cstr(good[i]), &tc.e), tc.e);
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        CHECK_ERR(cache_path_ok(str_cstr(bad[i]), &tc.e), tc.e, ERR_INVALID);
        CHECK(!cache_revision_ok(str_cstr(bad[i]), &tc.e));
    }
    CHECK_ERR(cache_path_ok((struct str){ "a\0b", 3 }, &tc.e), tc.e, ERR_INVALID);
    err_clear(&tc.e);
    CHECK_OK(cache_revision_ok(STR("refs/pr/1"), &tc.e), tc.e);
    char wide[1100];
    memset(wide, 'x', sizeof wide);
    CHECK(!cache_path_ok((struct str){ wide, 256 }, &tc.e));
    CHECK(!cache_path_ok((struct str){ wide, 1025 }, &tc.e));
}

TEST(cache_names_of_blobs) {
    tc_begin("etags");
    const char *good[] = { "a", "7757aa94570f7ac1ce5f699257a542db614ad56b2d358c19ef559053b851dd30", "abc-5", "A_b.c" };
    const char *bad[] = { "", ".", "..", "../../../../evil", "a/b", ".hidden", "W/x", "a b", "\"x\"", "a\n" };
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        CHECK_OK(cache_etag_ok(str_cstr(good[i]), &tc.e), tc.e);
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        CHECK_ERR(cache_etag_ok(str_cstr(bad[i]), &tc.e), tc.e, ERR_INVALID);
    }
    CHECK_EQ(cache_blob_hash(str_cstr(good[1])), CACHE_SHA256);
    CHECK_EQ(cache_blob_hash(STR("b45ef6fec89518d314f546fd6c3025367b721684")), CACHE_GIT_SHA1);
    CHECK_EQ(cache_blob_hash(STR("B45EF6FEC89518D314F546FD6C3025367B721684")), CACHE_OPAQUE);
    CHECK_EQ(cache_blob_hash(STR("abc")), CACHE_OPAQUE);
}

TEST(cache_names_of_folders) {
    tc_begin("folders");
    struct { const char *name, *folder; } pairs[] = {
        { "org/name", "models--org--name" }, { "gpt2", "models--gpt2" }, { "org/sub/model", "models--org--sub--model" },
        { "org/model/-corrupted", "models--org--model---corrupted" }, { "org//model", "models--org----model" },
        { "a/b/../../etc", "models--a--b--..--..--etc" },
    };
    for (size_t i = 0; i < MLXK_COUNT(pairs); i++) {
        CHECK_STR(str_cstr(cache_folder_name(&tc.arena, str_cstr(pairs[i].name))), str_cstr(pairs[i].folder));
        CHECK_STR(cache_repo_name(&tc.arena, str_cstr(pairs[i].folder)), str_cstr(pairs[i].name));
    }
    CHECK_STR(str_cstr(cache_folder_name(&tc.arena, STR("models--a--b"))), STR("models--a--b"));
    CHECK_STR(cache_repo_name(&tc.arena, STR("models--")), STR(""));
    CHECK_STR(cache_repo_name(&tc.arena, STR("datasets--x")), STR("datasets--x"));
}

TEST(cache_root_from_the_environment) {
    tc_begin("env");
    struct { const char *name, *value, *root; } steps[] = {   /* each stronger than those before */
        { "HOME", "/h", "/h/.cache/huggingface/hub" }, { "XDG_CACHE_HOME", "/x", "/x/huggingface/hub" },
        { "HF_HOME", "/f/", "/f/hub" }, { "HUGGINGFACE_HUB_CACHE", "/g", "/g" }, { "HF_HUB_CACHE", "~/h2", "/h/h2" },
    };
    char *saved[MLXK_COUNT(steps)];
    for (size_t i = 0; i < MLXK_COUNT(steps); i++) {
        saved[i] = getenv(steps[i].name) ? strdup(getenv(steps[i].name)) : NULL;
        unsetenv(steps[i].name);
    }
    for (size_t i = 0; i < MLXK_COUNT(steps); i++) {
        struct cache c;
        setenv(steps[i].name, steps[i].value, 1);
        CHECK_OK(cache_open(&tc.arena, &c, &tc.e), tc.e);
        CHECK_STR(str_cstr(c.root_cstr), str_cstr(steps[i].root));
        CHECK_STR(str_cstr(c.root_from_cstr), str_cstr(i < 1 ? "default" : steps[i].name));
    }
    struct cache c;
    setenv("HF_HUB_CACHE", "", 1);                           /* empty counts as unset */
    CHECK(cache_open(&tc.arena, &c, &tc.e) && !strcmp(c.root_from_cstr, "HUGGINGFACE_HUB_CACHE"));
    setenv("MLXK_WORKSPACE_HOME", test_scratch_dir(), 1);
    CHECK(cache_open(&tc.arena, &c, &tc.e) && c.workspace_cstr && !strcmp(c.workspace_cstr, test_scratch_dir()));
    setenv("MLXK_WORKSPACE_HOME", "/nowhere/at/all", 1);
    CHECK(cache_open(&tc.arena, &c, &tc.e) && !c.workspace_cstr);
    unsetenv("MLXK_WORKSPACE_HOME");
    for (size_t i = 0; i < MLXK_COUNT(steps); i++) {
        saved[i] ? setenv(steps[i].name, saved[i], 1) : unsetenv(steps[i].name);
        free(saved[i]);
    }
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static const char tc_weights[] = "weights, a few bytes of them";
static const char tc_config[] = "{\"model_type\":\"llama\"}";
#define REPO STR("org/name")

struct tc_names { char sha256[65], git[41]; };
static struct tc_names tc_names_of(const char *content_cstr) {
    struct tc_names out;
    struct sha1 s;
    uint8_t digest[20];
    char header[40];
    sha256_hex(str_cstr(content_cstr), out.sha256);
    sha1_init(&s);
    sha1_update(&s, header, (size_t)snprintf(header, sizeof header, "blob %zu", strlen(content_cstr)) + 1);
    sha1_update(&s, content_cstr, strlen(content_cstr));
    sha1_final(&s, digest);
    str_hex(out.git, digest, 20);
    return out;
}

static bool tc_store_blob(const char *etag_cstr, const char *content_cstr, struct err *e) {
    struct cache_blob b;
    size_t n = strlen(content_cstr);
    if (!cache_blob_begin(&tc.cache, REPO, str_cstr(etag_cstr), n, false, 0, &b, e)) {
        return false;
    }
    bool ok = b.present || cache_blob_write(&b, content_cstr + b.have_bytes, n - b.have_bytes, e);
    if (ok) {
        return cache_blob_commit(&b, e);
    }
    cache_blob_abort(&b);
    return false;
}

/* All of a small repo in the order that pull and import use. */
static bool tc_store(struct err *e) {
    struct tc_names w = tc_names_of(tc_weights), c = tc_names_of(tc_config);
    struct cache_tree_file files[] = {
        { .path = STR("sub/w.safetensors"), .size_bytes = strlen(tc_weights), .blob_id = STR(COMMIT_B),
          .lfs_sha256 = str_cstr(w.sha256), .lfs_size = strlen(tc_weights) },
        { .path = STR("config.json"), .size_bytes = strlen(tc_config), .blob_id = str_cstr(c.git) },
    };
    return tc_store_blob(c.git, tc_config, e) && tc_store_blob(w.sha256, tc_weights, e) &&
           cache_link(&tc.cache, REPO, STR(COMMIT_A), STR("config.json"), str_cstr(c.git), e) &&
           cache_link(&tc.cache, REPO, STR(COMMIT_A), STR("sub/w.safetensors"), str_cstr(w.sha256), e) &&
           cache_tree_write(&tc.cache, REPO, STR(COMMIT_A), files, 2, e) &&
           cache_ref_write(&tc.cache, REPO, STR("main"), STR(COMMIT_A), e) &&
           cache_ref_write(&tc.cache, REPO, STR("refs/pr/1"), STR(COMMIT_A), e);
}

#define TC_SNAPSHOT "models--org--name/snapshots/" COMMIT_A

static void tc_check_stored(void) {
    struct cache_tree_file *files;
    size_t n;
    CHECK_STR(tc_read(TC_SNAPSHOT "/config.json"), str_cstr(tc_config));
    CHECK_STR(tc_read(TC_SNAPSHOT "/sub/w.safetensors"), str_cstr(tc_weights));
    CHECK_STR(tc_read("models--org--name/refs/main"), STR(COMMIT_A));
    CHECK_STR(tc_read("models--org--name/refs/refs/pr/1"), STR(COMMIT_A));
    CHECK(cache_tree_read(&tc.arena, &tc.cache, REPO, STR(COMMIT_A), &files, &n, &tc.e));
    CHECK_EQ(n, 2);
    CHECK(n == 2 && str_eq(files[0].path, STR("config.json")) && files[1].lfs_size == strlen(tc_weights));
}

TEST(cache_stores_a_repo) {
    tc_begin("store");
    CHECK_OK(tc_store(&tc.e), tc.e);
    tc_check_stored();
    struct tc_names w = tc_names_of(tc_weights);
    char *target = os_readlink(&tc.arena, tc_path(TC_SNAPSHOT "/sub/w.safetensors"), &tc.e);
    CHECK(target && strncmp(target, "../../../blobs/", 15) == 0 && !strcmp(target + 15, w.sha256));
    CHECK(str_starts(tc_read("CACHEDIR.TAG"), STR("Signature: 8a477f597d28d172789f06886806bc55\n")));
    CHECK_OK(tc_store(&tc.e), tc.e);                         /* again: nothing changes, nothing fails */
    tc_check_stored();
    uint64_t size = 0;
    CHECK(cache_blob_exists(&tc.cache, REPO, str_cstr(w.sha256), &size) && size == strlen(tc_weights));
    CHECK(cache_blob_discard(&tc.cache, REPO, str_cstr(w.sha256), &tc.e));
    CHECK(!cache_blob_exists(&tc.cache, REPO, str_cstr(w.sha256), &size));
    CHECK_ERR(cache_link(&tc.cache, REPO, STR(COMMIT_A), STR("x"), str_cstr(w.sha256), &tc.e), tc.e, ERR_NOT_FOUND);
    CHECK_ERR(cache_link(&tc.cache, REPO, STR(COMMIT_A), STR("../x"), str_cstr(w.git), &tc.e), tc.e, ERR_INVALID);
    CHECK_ERR(cache_ref_write(&tc.cache, REPO, STR("main"), STR(COMMIT_B), &tc.e), tc.e, ERR_NOT_FOUND);
    CHECK_ERR(cache_ref_write(&tc.cache, REPO, STR("../x"), STR(COMMIT_A), &tc.e), tc.e, ERR_INVALID);
    CHECK_ERR(cache_ref_write(&tc.cache, REPO, STR("main"), STR("main"), &tc.e), tc.e, ERR_INVALID);
}

TEST(cache_blob_refuses_wrong_bytes) {
    tc_begin("wrong");
    struct tc_names w = tc_names_of(tc_weights);
    struct cache_blob b;
    size_t n = strlen(tc_weights);
    const char *etags[] = { w.sha256, w.git };
    for (size_t i = 0; i < 2; i++) {
        char damaged[sizeof tc_weights];
        memcpy(damaged, tc_weights, sizeof damaged);
        damaged[5] ^= 1;
        CHECK_OK(cache_blob_begin(&tc.cache, REPO, str_cstr(etags[i]), n, false, 0, &b, &tc.e), tc.e);
        CHECK(cache_blob_write(&b, damaged, n, &tc.e));
        CHECK_ERR(cache_blob_write(&b, "x", 1, &tc.e), tc.e, ERR_INTEGRITY);
        CHECK_ERR(cache_blob_commit(&b, &tc.e), tc.e, ERR_INTEGRITY);
        CHECK(!b.present && b.fd == -1);
        CHECK(access(b.path, F_OK) != 0 && access(b.partial, F_OK) != 0);
        err_clear(&tc.e);
    }
    CHECK(cache_blob_begin(&tc.cache, REPO, str_cstr(w.sha256), n, false, 0, &b, &tc.e));
    CHECK(cache_blob_write(&b, "garbage", 7, &tc.e) && cache_blob_rewind(&b, &tc.e) && b.have_bytes == 0);
    CHECK(cache_blob_write(&b, tc_weights, n, &tc.e));
    CHECK_OK(cache_blob_commit(&b, &tc.e), tc.e);
    CHECK(cache_blob_begin(&tc.cache, REPO, STR("opaque-1"), UINT64_MAX, false, 0, &b, &tc.e));
    CHECK(cache_blob_write(&b, "anything", 8, &tc.e));
    CHECK_OK(cache_blob_commit(&b, &tc.e), tc.e);
    CHECK_ERR(cache_blob_begin(&tc.cache, REPO, STR("../x"), 1, false, 0, &b, &tc.e), tc.e, ERR_INVALID);
    CHECK_ERR(cache_blob_begin(&tc.cache, STR("../x"), STR("x"), 1, false, 0, &b, &tc.e), tc.e, ERR_INVALID);
    CHECK_ERR(cache_blob_begin(&tc.cache, REPO, STR("huge"), (uint64_t)1 << 62, false, 0, &b, &tc.e), tc.e, ERR_DISK_FULL);
}

TEST(cache_blob_continues_a_partial) {
    tc_begin("resume");
    struct tc_names w = tc_names_of(tc_weights);
    struct cache_blob b;
    struct str etag = str_cstr(w.sha256);
    size_t n = strlen(tc_weights);
    CHECK_OK(cache_blob_begin(&tc.cache, REPO, etag, n, false, 0, &b, &tc.e), tc.e);
    CHECK(cache_blob_write(&b, tc_weights, 10, &tc.e));
    struct cache_blob second;
    CHECK_ERR(cache_blob_begin(&tc.cache, REPO, etag, n, false, 0, &second, &tc.e), tc.e, ERR_LOCKED);
    err_clear(&tc.e);
    cache_blob_abort(&b);
    CHECK_OK(cache_blob_begin(&tc.cache, REPO, etag, n, false, 0, &b, &tc.e), tc.e);
    CHECK_EQ(b.have_bytes, 10);
    CHECK_ERR(cache_blob_commit(&b, &tc.e), tc.e, ERR_INTEGRITY);   /* too short: kept */
    err_clear(&tc.e);
    CHECK_OK(cache_blob_begin(&tc.cache, REPO, etag, n, false, 0, &b, &tc.e), tc.e);
    CHECK_EQ(b.have_bytes, 10);
    CHECK(unlink(b.partial) == 0);                                  /* a pruning tool came by */
    CHECK(cache_blob_write(&b, tc_weights + 10, n - 10, &tc.e));
    CHECK_OK(cache_blob_commit(&b, &tc.e), tc.e);
    CHECK_OK(cache_blob_begin(&tc.cache, REPO, etag, n, false, 0, &b, &tc.e), tc.e);
    CHECK(b.present && b.fd == -1 && b.have_bytes == n);
    CHECK(cache_blob_commit(&b, &tc.e));
    tc_put("models--org--name/blobs/opaque.mlxk.incomplete", "longer than announced");
    CHECK(cache_blob_begin(&tc.cache, REPO, STR("opaque"), 5, false, 0, &b, &tc.e) && b.have_bytes == 0);
    CHECK(cache_blob_write(&b, "abc", 3, &tc.e));
    cache_blob_abort(&b);
    CHECK(cache_blob_begin(&tc.cache, REPO, STR("opaque"), 5, true, 0, &b, &tc.e) && b.have_bytes == 0);
    cache_blob_abort(&b);
    CHECK(truncate(tc_path("models--org--name/blobs"), 0) != 0);
    CHECK_EQ(truncate(tc_path((tc_put("models--org--name/blobs/torn", ""), "models--org--name/blobs/torn")), 0), 0);
    CHECK(cache_blob_begin(&tc.cache, REPO, STR("torn"), 5, false, 0, &b, &tc.e) && !b.present);   /* power loss left it empty */
    CHECK(cache_blob_write(&b, "whole", 5, &tc.e));
    CHECK_OK(cache_blob_commit(&b, &tc.e), tc.e);
    CHECK_STR(tc_read("models--org--name/blobs/torn"), STR("whole"));
}

TEST(cache_link_replaces_and_copies) {
    tc_begin("links");
    CHECK_OK(tc_store_blob("one", "1", &tc.e) && tc_store_blob("two", "22", &tc.e), tc.e);
    CHECK_OK(cache_link(&tc.cache, REPO, STR(COMMIT_A), STR("f"), STR("one"), &tc.e), tc.e);
    CHECK_OK(cache_link(&tc.cache, REPO, STR(COMMIT_A), STR("f"), STR("two"), &tc.e), tc.e);
    CHECK_STR(tc_read(TC_SNAPSHOT "/f"), STR("22"));
    tc_put(TC_SNAPSHOT "/g", "a file stands here");
    CHECK_OK(cache_link(&tc.cache, REPO, STR(COMMIT_A), STR("g"), STR("one"), &tc.e), tc.e);
    CHECK_STR(tc_read(TC_SNAPSHOT "/g"), STR("1"));
    tc_put(TC_SNAPSHOT "/dir/x", "");
    CHECK(!cache_link(&tc.cache, REPO, STR(COMMIT_A), STR("dir"), STR("one"), &tc.e));
    err_clear(&tc.e);
    setenv("HF_HUB_DISABLE_SYMLINKS", "1", 1);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(cache_link(&tc.cache, REPO, STR(COMMIT_A), STR("f"), STR("two"), &tc.e), tc.e);
        struct os_stat st;
        CHECK(os_lstat(tc_path(TC_SNAPSHOT "/f"), &st) && st.kind == OS_FILE && st.size_bytes == 2);
    }
    unsetenv("HF_HUB_DISABLE_SYMLINKS");
    struct os_entry *entries;
    size_t n;
    CHECK(os_list_dir(&tc.arena, tc_path("models--org--name/blobs"), 100, &entries, &n, &tc.e));
    CHECK_EQ(n, 2);                                          /* no temporaries stay */
}

TEST(cache_trees_and_refs_of_others) {
    tc_begin("others");
    struct cache_tree_file *files;
    size_t n;
    tc_put(TC_SNAPSHOT "/config.json", "{}");
    tc_put("models--org--name/refs/main", COMMIT_A "\n");
    tc_put("models--org--name/refs/evil", "../../../etc\n");
    tc_put("models--org--name/refs/empty", "");
    CHECK_STR(cache_ref_read(&tc.arena, &tc.cache, REPO, STR("main")), STR(COMMIT_A));
    CHECK_EQ(cache_ref_read(&tc.arena, &tc.cache, REPO, STR("evil")).n, 0);
    CHECK_EQ(cache_ref_read(&tc.arena, &tc.cache, REPO, STR("empty")).n, 0);
    CHECK_EQ(cache_ref_read(&tc.arena, &tc.cache, REPO, STR("none")).n, 0);
    CHECK_EQ(cache_ref_read(&tc.arena, &tc.cache, REPO, STR("../refs/main")).n, 0);
    CHECK_OK(cache_ref_write(&tc.cache, REPO, STR("main"), STR(COMMIT_A), &tc.e), tc.e);
    CHECK_STR(tc_read("models--org--name/refs/main"), STR(COMMIT_A));
#define TREE(files_text) "{\"format_version\": 1, \"files\": {" files_text "}}"
    const char *bad[] = { "", "{", "[]", "{\"format_version\":2,\"files\":{}}", "{\"files\":{}}", "{\"format_version\":1,\"files\":[]}",
        TREE("\"../x\":{\"size\":1,\"blob_id\":\"" COMMIT_A "\"}"), TREE("\"a\":{\"size\":-1,\"blob_id\":\"" COMMIT_A "\"}"),
        TREE("\"a\":{\"size\":1,\"blob_id\":\"x\"}"), TREE("\"a\":{\"size\":1,\"blob_id\":\"" COMMIT_A "\",\"xet_hash\":\"zz\"}"),
        TREE("\"a\":{\"blob_id\":\"" COMMIT_A "\"}"), TREE("\"a\":7") };
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        tc_put("models--org--name/trees/" COMMIT_A ".json", bad[i]);
        CHECK(!cache_tree_read(&tc.arena, &tc.cache, REPO, STR(COMMIT_A), &files, &n, &tc.e) && tc.e.code == ERR_OK);
    }
    tc_put("models--org--name/trees/" COMMIT_A ".json", TREE("\"a\":{\"size\":1,\"blob_id\":\"" COMMIT_A "\",\"new\":null}"));
    CHECK(cache_tree_read(&tc.arena, &tc.cache, REPO, STR(COMMIT_A), &files, &n, &tc.e) && n == 1 && files[0].size_bytes == 1);
    struct cache_tree_file twins[] = { { .path = STR("a"), .blob_id = STR(COMMIT_A) }, { .path = STR("a"), .blob_id = STR(COMMIT_A) } };
    CHECK_ERR(cache_tree_write(&tc.cache, REPO, STR(COMMIT_A), twins, 2, &tc.e), tc.e, ERR_INVALID);
#undef TREE
}

/* What every other tool relies on, whatever was interrupted. */
static void tc_check_readable(void) {
    struct os_entry *entries;
    size_t n;
    struct err e = { 0 };
    struct tc_names w = tc_names_of(tc_weights), c = tc_names_of(tc_config);
    if (!os_list_dir(&tc.arena, tc_path("models--org--name/blobs"), 1000, &entries, &n, &e)) {
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        char path[600];
        snprintf(path, sizeof path, "models--org--name/blobs/" STR_FMT, STR_ARG(entries[i].name));
        bool partial = str_ends(entries[i].name, STR(".incomplete"));
        struct str want = str_eq_cstr(entries[i].name, w.sha256) ? str_cstr(tc_weights) : str_cstr(tc_config);
        CHECK(partial || str_eq_cstr(entries[i].name, w.sha256) || str_eq_cstr(entries[i].name, c.git));
        if (!partial) {
            CHECK_STR(tc_read(path), want);
        }
    }
    const char *files[] = { TC_SNAPSHOT "/config.json", TC_SNAPSHOT "/sub/w.safetensors" };
    for (size_t i = 0; i < 2; i++) {
        if (tc_exists(files[i])) {
            CHECK_STR(tc_read(files[i]), str_cstr(i ? tc_weights : tc_config));
        }
    }
    if (os_list_dir(&tc.arena, tc_path("models--org--name/refs"), 1000, &entries, &n, &e)) {
        for (size_t i = 0; i < n; i++) {
            CHECK(str_eq(entries[i].name, STR("main")) || str_eq(entries[i].name, STR("refs")));
        }
    }
    if (tc_exists("models--org--name/refs/main")) {
        CHECK_STR(tc_read("models--org--name/refs/main"), STR(COMMIT_A));
        CHECK(tc_exists(files[0]) && tc_exists(files[1]) && tc_exists("models--org--name/trees/" COMMIT_A ".json"));
    }
}

TEST(cache_survives_every_failing_call) {
    bool done = false;
    for (long n = 1; n < 400 && !done; n++) {
        tc_begin("fail");
        os_file_fail_after(n, n % 3 == 0 ? 28 /* ENOSPC */ : 5 /* EIO */);
        bool ok = tc_store(&tc.e);
        os_file_fail_after(0, 0);
        CHECK(ok || (tc.e.code != ERR_OK && tc.e.msg[0]));
        tc_check_readable();
        err_clear(&tc.e);
        CHECK_OK(tc_store(&tc.e), tc.e);
        tc_check_stored();
        done = ok && n > 60;                                 /* some calls may fail without harm */
        os_remove_tree(tc.root, &tc.e);
    }
    CHECK(done);
}

TEST(cache_survives_a_kill_at_every_call) {
    bool done = false;
    for (long n = 1; n < 400 && !done; n++) {
        tc_begin("kill");
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            os_file_fail_after(n, -9);
            _exit(tc_store(&tc.e) ? 0 : 1);
        }
        int status = 0;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        CHECK(done || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        tc_check_readable();
        CHECK_OK(tc_store(&tc.e), tc.e);
        tc_check_stored();
        os_remove_tree(tc.root, &tc.e);
    }
    CHECK(done);
}

TEST_LIST(cache) {
    T(cache_names_of_repos), T(cache_names_of_files), T(cache_names_of_blobs), T(cache_names_of_folders),
    T(cache_root_from_the_environment), T(cache_stores_a_repo), T(cache_blob_refuses_wrong_bytes),
    T(cache_blob_continues_a_partial), T(cache_link_replaces_and_copies), T(cache_trees_and_refs_of_others),
    T(cache_survives_every_failing_call), T(cache_survives_a_kill_at_every_call), TEST_END
};
