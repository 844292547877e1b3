/* test_cache.c: the cache on disk: names, writing and its promises under failure, lookup, verdicts. */
#include "cache/cache.h"
#include "cache/cache_int.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
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
} tcache;

#define COMMIT_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define COMMIT_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void tcache_begin(const char *name_cstr) {
    arena_release(&tcache.arena);
    arena_init(&tcache.arena, (size_t)1 << 28);
    err_clear(&tcache.e);
    snprintf(tcache.root, sizeof tcache.root, "%s/%s-%d", test_scratch_dir(), name_cstr,
             (int)(test_random() % 100000));
    os_remove_tree(tcache.root, &tcache.e);  /* of another test with the same number */
    tcache.cache = (struct cache){ .root_cstr = tcache.root, .root_from_cstr = "test" };
    unsetenv("HF_HUB_DISABLE_SYMLINKS");
}

static const char *tcache_path(const char *relative_cstr) {
    static char out[4][LIMIT_PATH];
    static int next;
    next = (next + 1) % 4;
    snprintf(out[next], sizeof out[next], "%s/%s", tcache.root, relative_cstr);
    return out[next];
}

/* A file below the root, folders made; content NUL-terminated. */
static void tcache_put(const char *relative_cstr, const char *content_cstr) {
    struct err e = { 0 };
    const char *path = tcache_path(relative_cstr);
    char *dir = os_path_dir(&tcache.arena, path);
    CHECK_OK(os_mkdirs(dir, &e) && os_write_file(path, str_cstr(content_cstr), &e), e);
}

static struct str tcache_read(const char *relative_cstr) {
    struct err e = { 0 };
    struct str out = STR_EMPTY;
    os_read_file(&tcache.arena, tcache_path(relative_cstr), 1 << 20, &out, &e);
    return out;
}

static bool tcache_exists(const char *relative_cstr) {
    struct os_stat st;
    return os_lstat(tcache_path(relative_cstr), &st);
}

/* ---- names --------------------------------------------------------------------------------------- */

TEST(cache_names_of_repos) {
    tcache_begin("names");
    const char *good[] = { "a/b", "gpt2", "mlx-community/Qwen3-0.6B-4bit", "a_b/c.d-e_f", "A/1" };
    const char *bad[] = { "",
                          "/",
                          "a/",
                          "/a",
                          "a//b",
                          "a/b/c",
                          "a--b/c",
                          "a/..",
                          "../a",
                          "a/b.git",
                          "-a/b",
                          "a/b-",
                          ".a/b",
                          "a/b.",
                          "a b/c",
                          "a/b\n",
                          "gr\xC3\xBC\xC3\x9F/b",
                          "a\\b" };
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        CHECK_OK(cache_name_ok(str_cstr(good[i]), &tcache.e), tcache.e);
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        CHECK_ERR(cache_name_ok(str_cstr(bad[i]), &tcache.e), tcache.e, ERR_INVALID);
    }
    char part[98];
    memset(part, 'x', 97);
    CHECK(cache_name_ok((struct str){ part, 96 }, &tcache.e));
    CHECK_ERR(cache_name_ok((struct str){ part, 97 }, &tcache.e), tcache.e, ERR_INVALID);
    CHECK_ERR(cache_name_ok((struct str){ "a/b\0c", 5 }, &tcache.e), tcache.e, ERR_INVALID);
}

TEST(cache_names_of_files) {
    tcache_begin("files");
    const char *good[] = { "config.json", "a/b/c.txt", ".gitattributes", "gr\xC3\xBC\xC3\x9F e.txt",
                           "..a",         "a..",       "a#%+b" };
    const char *bad[] = { "",       "/a",   "a/",       "a//b",        "..",   "a/../b",
                          "./a",    "a/.",  "a\\b",     "..\\x",       "C:/x", "c:x",
                          "a/d:/x", "a\nb", "a\x1b[0m", "bad\xFFutf8", "a\x7f" };
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        CHECK_OK(cache_path_ok(str_cstr(good[i]), &tcache.e), tcache.e);
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        CHECK_ERR(cache_path_ok(str_cstr(bad[i]), &tcache.e), tcache.e, ERR_INVALID);
        CHECK(!cache_revision_ok(str_cstr(bad[i]), &tcache.e));
    }
    CHECK_ERR(cache_path_ok((struct str){ "a\0b", 3 }, &tcache.e), tcache.e, ERR_INVALID);
    err_clear(&tcache.e);
    CHECK_OK(cache_revision_ok(STR("refs/pr/1"), &tcache.e), tcache.e);
    char wide[1100];
    memset(wide, 'x', sizeof wide);
    CHECK(!cache_path_ok((struct str){ wide, 256 }, &tcache.e));
    CHECK(!cache_path_ok((struct str){ wide, 1025 }, &tcache.e));
}

TEST(cache_names_of_blobs) {
    tcache_begin("etags");
    const char *good[] = { "a", "7757aa94570f7ac1ce5f699257a542db614ad56b2d358c19ef559053b851dd30",
                           "abc-5", "A_b.c" };
    const char *bad[] = { "",    ".",     "..", "../../../../evil", "a/b", ".hidden", "W/x",
                          "a b", "\"x\"", "a\n" };
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        CHECK_OK(cache_etag_ok(str_cstr(good[i]), &tcache.e), tcache.e);
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        CHECK_ERR(cache_etag_ok(str_cstr(bad[i]), &tcache.e), tcache.e, ERR_INVALID);
    }
    CHECK_EQ(cache_blob_hash(str_cstr(good[1])), CACHE_SHA256);
    CHECK_EQ(cache_blob_hash(STR("b45ef6fec89518d314f546fd6c3025367b721684")), CACHE_GIT_SHA1);
    CHECK_EQ(cache_blob_hash(STR("B45EF6FEC89518D314F546FD6C3025367B721684")), CACHE_OPAQUE);
    CHECK_EQ(cache_blob_hash(STR("abc")), CACHE_OPAQUE);
}

TEST(cache_names_of_folders) {
    tcache_begin("folders");
    struct { const char *name, *folder;
    } pairs[] = {
        { "org/name", "models--org--name" },
        { "gpt2", "models--gpt2" },
        { "org/sub/model", "models--org--sub--model" },
        { "org/model/-corrupted", "models--org--model---corrupted" },
        { "org//model", "models--org----model" },
        { "a/b/../../etc", "models--a--b--..--..--etc" },
        { "datasets/squad", "datasets--squad" },
        { "datasets/org/name", "datasets--org--name" },
        { "datasets/datasets/x", "datasets--datasets--x" },
        { "spaces/org/name", "spaces--org--name" },
        { "spaces/../../etc", "spaces--..--..--etc" },
        { "models--datasets--x", "models--datasets--x" },        /* of a model, if it is one */
        { "org/datasets", "models--org--datasets" },
        { "datasets", "models--datasets" },
        { "Datasets/x", "models--Datasets--x" },
    };
    for (size_t i = 0; i < MLXK_COUNT(pairs); i++) {
        CHECK_STR(str_cstr(cache_folder_name(&tcache.arena, str_cstr(pairs[i].name))),
                  str_cstr(pairs[i].folder));
        CHECK_STR(cache_repo_name(&tcache.arena, str_cstr(pairs[i].folder)),
                  str_cstr(pairs[i].name));
    }
    CHECK_STR(str_cstr(cache_folder_name(&tcache.arena, STR("models--a--b"))), STR("models--a--b"));
    CHECK_STR(cache_repo_name(&tcache.arena, STR("models--")), STR(""));
    CHECK_STR(cache_repo_name(&tcache.arena, STR("kernels--x")), STR("kernels--x"));
    CHECK_STR(cache_repo_name(&tcache.arena, STR("datasets")), STR("datasets"));
}

TEST(cache_names_of_kinds) {
    tcache_begin("kinds");
    struct { const char *name, *bare; enum cache_kind kind; bool ok;
    } rows[] = {
        { "squad", "squad", CACHE_MODEL, true },
        { "org/datasets", "org/datasets", CACHE_MODEL, true },
        { "datasets", "datasets", CACHE_MODEL, true },
        { "datasets/squad", "squad", CACHE_DATASET, true },
        { "datasets/o/d", "o/d", CACHE_DATASET, true },
        { "datasets/datasets/d", "datasets/d", CACHE_DATASET, true },
        { "spaces/o/d", "o/d", CACHE_SPACE, true },
        { "datasets/", "", CACHE_DATASET, false },
        { "datasets//d", "/d", CACHE_DATASET, false },
        { "datasets/o/", "o/", CACHE_DATASET, false },
        { "datasets/o/d/e", "o/d/e", CACHE_DATASET, false },
        { "datasets/..", "..", CACHE_DATASET, false },
        { "datasets/../d", "../d", CACHE_DATASET, false },
        { "datasets/o--d", "o--d", CACHE_DATASET, false },
        { "datasets--o/d", "datasets--o/d", CACHE_MODEL, false },
        { "spaces/o/d.git", "o/d.git", CACHE_SPACE, false },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct str name = str_cstr(rows[i].name), bare = str_cstr(rows[i].bare);
        CHECK_EQ(cache_kind_of(name), rows[i].kind);
        CHECK_STR(cache_bare_name(name), bare);
        CHECK_STR(cache_kind_join(&tcache.arena, rows[i].kind, bare), name);
        CHECK_EQ(cache_name_ok(name, &tcache.e), rows[i].ok);
        err_clear(&tcache.e);
        CHECK_EQ(cache_model_name_ok(name, &tcache.e), rows[i].ok && rows[i].kind == CACHE_MODEL);
        err_clear(&tcache.e);
    }
}

TEST(cache_root_from_the_environment) {
    tcache_begin("env");
    struct { const char *name, *value, *root;
    } steps[] = {
        /* each stronger than those before */
        { "HOME", "/h", "/h/.cache/huggingface/hub" },
        { "XDG_CACHE_HOME", "/x", "/x/huggingface/hub" },
        { "HF_HOME", "/f/", "/f/hub" },
        { "HUGGINGFACE_HUB_CACHE", "/g", "/g" },
        { "HF_HUB_CACHE", "~/h2", "/h/h2" },
    };
    char *saved[MLXK_COUNT(steps)];
    for (size_t i = 0; i < MLXK_COUNT(steps); i++) {
        saved[i] = getenv(steps[i].name) ? strdup(getenv(steps[i].name)) : NULL;
        unsetenv(steps[i].name);
    }
    for (size_t i = 0; i < MLXK_COUNT(steps); i++) {
        struct cache c;
        setenv(steps[i].name, steps[i].value, 1);
        CHECK_OK(cache_open(&tcache.arena, &c, &tcache.e), tcache.e);
        CHECK_STR(str_cstr(c.root_cstr), str_cstr(steps[i].root));
        CHECK_STR(str_cstr(c.root_from_cstr), str_cstr(i < 1 ? "default" : steps[i].name));
    }
    struct cache c;
    setenv("HF_HUB_CACHE", "", 1);                           /* empty counts as unset */
    CHECK(cache_open(&tcache.arena, &c, &tcache.e) &&
          !strcmp(c.root_from_cstr, "HUGGINGFACE_HUB_CACHE"));
    setenv("MLXK_WORKSPACE_HOME", test_scratch_dir(), 1);
    CHECK(cache_open(&tcache.arena, &c, &tcache.e) && c.workspace_cstr &&
          !strcmp(c.workspace_cstr, test_scratch_dir()));
    setenv("MLXK_WORKSPACE_HOME", "/nowhere/at/all", 1);
    CHECK(cache_open(&tcache.arena, &c, &tcache.e) && !c.workspace_cstr);
    unsetenv("MLXK_WORKSPACE_HOME");
    for (size_t i = 0; i < MLXK_COUNT(steps); i++) {
        saved[i] ? setenv(steps[i].name, saved[i], 1) : unsetenv(steps[i].name);
        free(saved[i]);
    }
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static const char tcache_weights[] = "weights, a few bytes of them";
static const char tcache_config[] = "{\"model_type\":\"llama\"}";
#define REPO STR("org/name")

struct tcache_names { char sha256[65], git[41]; };
static struct tcache_names tcache_names_of(const char *content_cstr) {
    struct tcache_names out;
    struct sha1 s;
    uint8_t digest[20];
    char header[40];
    sha256_hex(str_cstr(content_cstr), out.sha256);
    sha1_init(&s);
    sha1_update(&s, header,
                (size_t)snprintf(header, sizeof header, "blob %zu", strlen(content_cstr)) + 1);
    sha1_update(&s, content_cstr, strlen(content_cstr));
    sha1_final(&s, digest);
    str_hex(out.git, digest, 20);
    return out;
}

static bool tcache_store_blob(const char *etag_cstr, const char *content_cstr, struct err *e) {
    struct cache_writer w;
    size_t n = strlen(content_cstr);
    if (!cache_writer_open(&w, &tcache.cache, REPO, str_cstr(etag_cstr), n, 0, e)) {
        return false;
    }
    if (w.present) {
        return true;
    }
    if (cache_writer_add(&w, content_cstr, n, e)) {
        return cache_writer_commit(&w, e);
    }
    cache_writer_close(&w, true);
    return false;
}

/* All of a small repo in the order that pull and import use. */
static bool tcache_store(struct err *e) {
    struct tcache_names w = tcache_names_of(tcache_weights), c = tcache_names_of(tcache_config);
    struct cache_tree_file files[] = {
        { .path = STR("sub/w.safetensors"),
          .size_bytes = strlen(tcache_weights),
          .blob_id = STR(COMMIT_B),
          .lfs_sha256 = str_cstr(w.sha256),
          .lfs_size = strlen(tcache_weights) },
        { .path = STR("config.json"),
          .size_bytes = strlen(tcache_config),
          .blob_id = str_cstr(c.git) },
    };
    return tcache_store_blob(c.git, tcache_config, e) &&
           tcache_store_blob(w.sha256, tcache_weights, e) &&
           cache_link(&tcache.cache, REPO, STR(COMMIT_A), STR("config.json"), str_cstr(c.git), e) &&
           cache_link(&tcache.cache, REPO, STR(COMMIT_A), STR("sub/w.safetensors"),
                      str_cstr(w.sha256), e) &&
           cache_tree_write(&tcache.cache, REPO, STR(COMMIT_A), files, 2, e) &&
           cache_ref_write(&tcache.cache, REPO, STR("main"), STR(COMMIT_A), e) &&
           cache_ref_write(&tcache.cache, REPO, STR("refs/pr/1"), STR(COMMIT_A), e);
}

#define TC_SNAPSHOT "models--org--name/snapshots/" COMMIT_A

static void tcache_check_stored(void) {
    struct cache_tree_file *files;
    size_t n;
    CHECK_STR(tcache_read(TC_SNAPSHOT "/config.json"), str_cstr(tcache_config));
    CHECK_STR(tcache_read(TC_SNAPSHOT "/sub/w.safetensors"), str_cstr(tcache_weights));
    CHECK_STR(tcache_read("models--org--name/refs/main"), STR(COMMIT_A));
    CHECK_STR(tcache_read("models--org--name/refs/refs/pr/1"), STR(COMMIT_A));
    CHECK(
        cache_tree_read(&tcache.arena, &tcache.cache, REPO, STR(COMMIT_A), &files, &n, &tcache.e));
    CHECK_EQ(n, 2);
    CHECK(n == 2 && str_eq(files[0].path, STR("config.json")) &&
          files[1].lfs_size == strlen(tcache_weights));
}

TEST(cache_stores_a_repo) {
    tcache_begin("store");
    CHECK_OK(tcache_store(&tcache.e), tcache.e);
    tcache_check_stored();
    struct tcache_names w = tcache_names_of(tcache_weights);
    char *target =
        os_readlink(&tcache.arena, tcache_path(TC_SNAPSHOT "/sub/w.safetensors"), &tcache.e);
    CHECK(target && strncmp(target, "../../../blobs/", 15) == 0 && !strcmp(target + 15, w.sha256));
    CHECK(!tcache_exists("CACHEDIR.TAG"));   /* older clients take it for a damaged repository */
    CHECK_OK(tcache_store(&tcache.e), tcache.e); /* again: nothing changes, nothing fails */
    tcache_check_stored();
    uint64_t size = 0;
    CHECK(cache_blob_exists(&tcache.cache, REPO, str_cstr(w.sha256), &size) &&
          size == strlen(tcache_weights));
    char blob[LIMIT_PATH];
    snprintf(blob, sizeof blob, "models--org--name/blobs/%s", w.sha256);
    CHECK(unlink(tcache_path(blob)) == 0);
    CHECK(!cache_blob_exists(&tcache.cache, REPO, str_cstr(w.sha256), &size));
    CHECK_ERR(
        cache_link(&tcache.cache, REPO, STR(COMMIT_A), STR("x"), str_cstr(w.sha256), &tcache.e),
        tcache.e, ERR_NOT_FOUND);
    CHECK_ERR(
        cache_link(&tcache.cache, REPO, STR(COMMIT_A), STR("../x"), str_cstr(w.git), &tcache.e),
        tcache.e, ERR_INVALID);
    CHECK_ERR(cache_ref_write(&tcache.cache, REPO, STR("main"), STR(COMMIT_B), &tcache.e), tcache.e,
              ERR_NOT_FOUND);
    CHECK_ERR(cache_ref_write(&tcache.cache, REPO, STR("../x"), STR(COMMIT_A), &tcache.e), tcache.e,
              ERR_INVALID);
    CHECK_ERR(cache_ref_write(&tcache.cache, REPO, STR("main"), STR("main"), &tcache.e), tcache.e,
              ERR_INVALID);
}

/* Content that goes through memory, and content that goes through an unfinished file. */
static char *tcache_content(size_t n) {
    char *p = arena_alloc(&tcache.arena, n, 1);
    for (size_t i = 0; i < n; i++) {
        p[i] = (char)('a' + i % 23);
    }
    return p;
}

static void tcache_sha256(char out[65], const void *p, size_t n) {
    struct cache_digest d;
    cache_digest_begin(&d, CACHE_SHA256, n);
    cache_digest_add(&d, p, n);
    cache_digest_end(&d, out);
}

TEST(cache_writer_refuses_wrong_bytes) {
    tcache_begin("wrong");
    const size_t sizes[] = { 100, CACHE_SMALL, CACHE_SMALL + 1, CACHE_SMALL * 3 };
    struct cache_writer w;
    char etag[65], partial[LIMIT_PATH];
    uint64_t size = 0, held = 0;
    for (size_t i = 0; i < MLXK_COUNT(sizes); i++) {
        size_t n = sizes[i];
        char *content = tcache_content(n);
        tcache_sha256(etag, content, n);
        content[5] ^= 1;
        CHECK_OK(cache_writer_open(&w, &tcache.cache, REPO, str_cstr(etag), n, 0, &tcache.e), tcache.e);
        CHECK(!w.present && cache_writer_add(&w, content, n, &tcache.e));
        CHECK_ERR(cache_writer_add(&w, "x", 1, &tcache.e), tcache.e, ERR_INTEGRITY);
        err_clear(&tcache.e);
        CHECK_ERR(cache_writer_commit(&w, &tcache.e), tcache.e, ERR_INTEGRITY);
        err_clear(&tcache.e);
        CHECK(!cache_blob_exists(&tcache.cache, REPO, str_cstr(etag), &size));
        CHECK_EQ(cache_blob_partial(&tcache.cache, REPO, str_cstr(etag), n, &held), 0);
        content[5] ^= 1;
        CHECK_OK(cache_writer_open(&w, &tcache.cache, REPO, str_cstr(etag), n, 0, &tcache.e), tcache.e);
        CHECK(cache_writer_add(&w, content, n / 2, &tcache.e));
        CHECK_ERR(cache_writer_commit(&w, &tcache.e), tcache.e, ERR_INTEGRITY);  /* too short */
        err_clear(&tcache.e);
        CHECK_EQ(cache_parts_peek(&tcache.cache, REPO, str_cstr(etag), n, partial),
                 n > CACHE_SMALL ? n / 2 : 0);
        CHECK_OK(cache_writer_open(&w, &tcache.cache, REPO, str_cstr(etag), n, 0, &tcache.e), tcache.e);
        CHECK(cache_writer_add(&w, content, n, &tcache.e));
        CHECK_OK(cache_writer_commit(&w, &tcache.e), tcache.e);
        CHECK(cache_blob_exists(&tcache.cache, REPO, str_cstr(etag), &size) && size == n);
        CHECK(cache_writer_open(&w, &tcache.cache, REPO, str_cstr(etag), n, 0, &tcache.e) && w.present);
    }
    CHECK(!tcache_exists("models--org--name/.mlxk"));            /* no map, no lease */
    CHECK_ERR(cache_writer_open(&w, &tcache.cache, REPO, STR("../x"), 1, 0, &tcache.e), tcache.e,
              ERR_INVALID);
    err_clear(&tcache.e);
    CHECK_ERR(cache_writer_open(&w, &tcache.cache, STR("../x"), STR("x"), 1 << 20, 0, &tcache.e),
              tcache.e, ERR_INVALID);
    err_clear(&tcache.e);
    CHECK_ERR(cache_writer_open(&w, &tcache.cache, REPO, STR("huge"), (uint64_t)1 << 62, 0, &tcache.e),
              tcache.e, ERR_DISK_FULL);
}

/* ---- blobs in parts ---- */

static struct cache_parts *tcache_parts(struct str etag, size_t n, enum cache_parts_how how) {
    return cache_parts_open(&tcache.cache, REPO, etag, n, how, 0, &tcache.e);
}

static bool tcache_fill(struct cache_parts *p, uint64_t max_bytes, const char *text_cstr) {
    struct cache_run run;
    int claim = cache_parts_claim(p, max_bytes, &run);
    if (claim < 0) {
        return false;
    }
    bool ok = cache_parts_write(p, claim, run.from, text_cstr + run.from,
                                (size_t)(run.to - run.from), &tcache.e);
    cache_parts_release(p, claim);
    return ok;
}

TEST(cache_parts_out_of_order) {
    tcache_begin("parts");
    struct tcache_names w = tcache_names_of(tcache_weights);
    size_t n = strlen(tcache_weights);
    const char *names[] = { w.sha256, w.git };
    for (size_t i = 0; i < MLXK_COUNT(names); i++) {
        struct str etag = str_cstr(names[i]);
        struct cache_parts *p = tcache_parts(etag, n, CACHE_PARTS_CONTINUE);
        struct cache_run first, second;
        bool more;
        CHECK(p != NULL);
        int one = cache_parts_claim(p, 7, &first), two = cache_parts_claim(p, 9, &second);
        CHECK(one >= 0 && two >= 0 && one != two);
        CHECK_EQ(first.to, 7);
        CHECK_EQ(second.from, 7);
        CHECK_EQ(cache_parts_claim_all(p), -1);
        CHECK(cache_parts_write(p, two, 7, tcache_weights + 7, 9, &tcache.e));
        CHECK(cache_parts_write(p, one, 0, tcache_weights, 3, &tcache.e));
        cache_parts_release(p, one);
        cache_parts_release(p, two);
        CHECK_EQ(cache_parts_have(p), 12);
        CHECK_ERR(tcache_parts(etag, n, CACHE_PARTS_CONTINUE) != NULL, tcache.e, ERR_LOCKED);
        err_clear(&tcache.e);
        CHECK(cache_parts_tend(p, &more, &tcache.e) && !more);
        cache_parts_close(p);                    /* and another process goes on */
        p = tcache_parts(etag, n, CACHE_PARTS_CONTINUE);
        CHECK(p && cache_parts_have(p) == 12);
        while (tcache_fill(p, 5, tcache_weights)) continue;
        CHECK(cache_parts_done(p));
        CHECK_OK(cache_parts_commit(p, &tcache.e), tcache.e);
        uint64_t size = 0;
        CHECK(cache_blob_exists(&tcache.cache, REPO, etag, &size) && size == n);
        CHECK(!tcache_parts(etag, n, CACHE_PARTS_CONTINUE) && tcache.e.code == ERR_OK);
    }
}

/* As many bytes are decrypted as a piece has, in two goes, as where a piece comes by TLS. */
static void tcache_decrypt(size_t n) {
    static uint8_t keys[16 * 15], powers[GCM_POWERS_BYTES], text[4096];
    struct gcm_blocks g = { .round_keys = keys, .powers = powers, .n_rounds = 10 };
    if (!gcm_is_fast()) return;
    gcm_run(&g, text, text, n / 32);
    gcm_run(&g, text, text, n / 32);
}

enum tcache_hasher { TCACHE_NOBODY, TCACHE_TENDS, TCACHE_DECRYPTS };
/* Pieces in buffers that change hands; *buffer is one of the caller's. */
static bool tcache_pieces(struct cache_parts *p, const char *text, size_t piece, size_t from, size_t to,
                          enum tcache_hasher hasher, uint8_t **buffer) {
    struct cache_run run;
    bool ok = true, more;
    int claim = cache_parts_claim(p, UINT64_MAX, &run);
    for (size_t at = from; ok && claim >= 0 && at < to; at += piece) {
        size_t n = to - at < piece ? to - at : piece;
        memcpy(*buffer, text + at, n);
        ok = cache_parts_write_buffer(p, claim, at, buffer, n, &tcache.e);
        memset(*buffer, 'x', n);                 /* what is hashed is not in here any more */
        if (hasher == TCACHE_TENDS) ok = ok && cache_parts_tend(p, &more, &tcache.e);
        if (hasher == TCACHE_DECRYPTS) tcache_decrypt(n);
    }
    if (claim >= 0) cache_parts_release(p, claim);
    return ok && claim >= 0;
}

TEST(cache_parts_hash_what_lies_in_memory) {
    enum { SIZE = 120001, PIECE = 3000, SOME = 9 * PIECE };
    char *text = mem_alloc(SIZE + 1);
    uint8_t *buffer = mem_alloc(CACHE_CHUNK);
    CHECK(text && buffer);
    for (size_t i = 0; i < SIZE; i++) text[i] = (char)('a' + i * i % 23);
    text[SIZE] = '\0';
    struct tcache_names w = tcache_names_of(text);
    static const struct { enum tcache_hasher hasher; bool git, wrong; } rounds[] = {
        { TCACHE_NOBODY, false, true }, { TCACHE_TENDS, true, false }, { TCACHE_NOBODY, false, false },
        { TCACHE_DECRYPTS, false, false }, { TCACHE_DECRYPTS, false, true }, { TCACHE_DECRYPTS, true, false },
    };
    for (size_t i = 0; i < MLXK_COUNT(rounds); i++) {
        enum tcache_hasher hasher = rounds[i].hasher;
        tcache_begin("memory");
        struct str etag = str_cstr(rounds[i].git ? w.git : w.sha256);
        struct cache_parts *p = tcache_parts(etag, SIZE, CACHE_PARTS_RENEW);
        CHECK(p != NULL);
        CHECK(tcache_pieces(p, text, PIECE, 0, SOME, hasher, &buffer));
        CHECK(hasher == TCACHE_DECRYPTS || cache_parts_hungry(p) == (hasher == TCACHE_NOBODY));
        CHECK_EQ(cache_parts_prefix(p), SOME);
        if (!rounds[i].git) {
            cache_parts_close(p);                /* with pieces that wait: the file has them */
            p = tcache_parts(etag, SIZE, CACHE_PARTS_CONTINUE);
            CHECK(p && cache_parts_prefix(p) == SOME && !cache_parts_hungry(p));
        }
        text[SIZE - 1] ^= rounds[i].wrong;
        CHECK(tcache_pieces(p, text, PIECE, SOME, SIZE, hasher, &buffer));
        CHECK(cache_parts_done(p));
        CHECK_EQ(cache_parts_commit(p, &tcache.e), !rounds[i].wrong);
        CHECK_EQ(tcache.e.code, rounds[i].wrong ? ERR_INTEGRITY : ERR_OK);
        err_clear(&tcache.e);
        text[SIZE - 1] ^= rounds[i].wrong;
    }
    mem_free(text);
    mem_free(buffer);
}

TEST(cache_parts_whole_answers_and_wrong_bytes) {
    tcache_begin("whole");
    struct tcache_names w = tcache_names_of(tcache_weights);
    struct str etag = str_cstr(w.sha256);
    size_t n = strlen(tcache_weights);
    char damaged[4096];
    memcpy(damaged, tcache_weights, n);
    struct cache_parts *p = tcache_parts(etag, n, CACHE_PARTS_CONTINUE);
    CHECK(p && tcache_fill(p, 10, tcache_weights));
    memset(damaged, 'x', 10);                    /* what is there is not written again */
    int all = cache_parts_claim_all(p);
    CHECK(all >= 0 && cache_parts_write(p, all, 0, damaged, n, &tcache.e));
    cache_parts_release(p, all);
    CHECK_OK(cache_parts_commit(p, &tcache.e), tcache.e);
    damaged[n - 1] ^= 1;
    p = tcache_parts(etag, n, CACHE_PARTS_RENEW);
    CHECK(p && cache_parts_have(p) == 0 && tcache_fill(p, n, damaged));
    CHECK_ERR(cache_parts_commit(p, &tcache.e), tcache.e, ERR_INTEGRITY);
    err_clear(&tcache.e);
    uint64_t size = 0, held = 0;
    CHECK(cache_blob_exists(&tcache.cache, REPO, etag, &size));      /* the old one stays */
    CHECK_EQ(cache_blob_partial(&tcache.cache, REPO, etag, n, &held), 0);
    CHECK_ERR(cache_blob_store(&tcache.cache, REPO, etag, STR("other"), &tcache.e), tcache.e,
              ERR_INTEGRITY);
    err_clear(&tcache.e);
    CHECK_OK(cache_blob_store(&tcache.cache, REPO, etag, str_cstr(tcache_weights), &tcache.e),
             tcache.e);
}

TEST(cache_small_blobs_have_one_lock) {
    char commit[41], blob[LIMIT_PATH], temp[LIMIT_PATH];
    struct tcache_names w = tcache_names_of(tcache_weights);
    struct str etag = str_cstr(w.sha256), text = str_cstr(tcache_weights);
    struct cache_small s, other;
    struct os_stat st;
    memset(commit, 'c', 40);
    commit[40] = 0;
    for (int late = 0; late < 2; late++) {       /* by the open folder of blobs, or by whole paths */
        tcache_begin("small");
        tcache.cache.late_sync = late;
        struct cache *c = &tcache.cache;
        CHECK_OK(cache_small_begin(&s, c, REPO, str_cstr(commit), &tcache.e), tcache.e);
        CHECK(!cache_small_begin(&other, c, REPO, str_cstr(commit), &tcache.e));
        CHECK_EQ(tcache.e.code, ERR_LOCKED);
        err_clear(&tcache.e);
        CHECK(!cache_small_store(&s, etag, STR("other"), &tcache.e));
        CHECK_EQ(tcache.e.code, ERR_INTEGRITY);
        err_clear(&tcache.e);
        CHECK(!cache_small_present(&s, etag, text.n));
        (void)snprintf(blob, sizeof blob, "%s/models--org--name/blobs/%s", c->root_cstr, w.sha256);
        (void)snprintf(temp, sizeof temp, "%s/models--org--name/blobs/%.16s%.8s.mlxk.incomplete",
                       c->root_cstr, s.series, w.sha256);
        CHECK_OK(os_write_file(temp, STR("left by another run"), &tcache.e), tcache.e);
        CHECK_OK(cache_small_store(&s, etag, text, &tcache.e), tcache.e);
        CHECK(cache_small_present(&s, etag, text.n) && !cache_small_present(&s, etag, 1));
        CHECK(os_stat(blob, &st) && st.size_bytes == text.n);
        CHECK_OK(os_unlink(temp, &tcache.e), tcache.e);
        CHECK_OK(cache_small_store(&s, etag, text, &tcache.e), tcache.e);
        CHECK(!os_lstat(temp, &st));
        (void)snprintf(temp, sizeof temp, "%s/models--org--name", c->root_cstr);
        CHECK_OK(os_remove_tree(temp, &tcache.e), tcache.e);     /* by somebody, in between */
        CHECK_OK(cache_small_store(&s, etag, text, &tcache.e), tcache.e);
        CHECK(os_stat(blob, &st) && st.size_bytes == text.n);
        cache_small_end(&s);
        CHECK_OK(cache_small_begin(&other, c, REPO, str_cstr(commit), &tcache.e), tcache.e);
        CHECK(cache_small_present(&other, etag, text.n));
        cache_small_end(&other);
    }
}

/* The state of the hash is believed only for a file that nobody has touched. */
TEST(cache_parts_do_not_believe_touched_files) {
    struct tcache_names w = tcache_names_of(tcache_weights);
    struct str etag = str_cstr(w.sha256);
    size_t n = strlen(tcache_weights);
    char path[LIMIT_PATH];
    for (int touched = 0; touched < 2; touched++) {
        tcache_begin(touched ? "touched" : "untouched");
        struct cache_parts *p = tcache_parts(etag, n, CACHE_PARTS_RENEW);
        CHECK(p && tcache_fill(p, 10, tcache_weights));
        cache_parts_close(p);
        (void)snprintf(path, sizeof path, "%s/models--org--name/blobs/%s.mlxk.incomplete",
                       tcache.cache.root_cstr, w.sha256);
        os_sleep_ms(20);                         /* more than a tick of the file system's clock */
        int fd = touched ? os_open(path, OS_WRITE, &tcache.e) : -1;
        CHECK(!touched || os_pwrite(fd, "X", 1, 3, &tcache.e));
        os_close(fd);
        p = tcache_parts(etag, n, CACHE_PARTS_CONTINUE);
        CHECK(p && cache_parts_have(p) == 10 && tcache_fill(p, n, tcache_weights));
        bool right = cache_parts_commit(p, &tcache.e);
        CHECK_EQ(right, !touched);
        err_clear(&tcache.e);
    }
}

TEST(cache_parts_survive_every_failing_call) {
    struct tcache_names w = tcache_names_of(tcache_weights);
    struct str etag = str_cstr(w.sha256);
    size_t n = strlen(tcache_weights);
    bool whole = false;
    for (long k = 1; !whole && k < 200; k++) {
        tcache_begin("partsfail");
        os_file_fail_after(k, 28 /* ENOSPC */);
        struct cache_parts *p = tcache_parts(etag, n, CACHE_PARTS_CONTINUE);
        bool ok = p && tcache_fill(p, 9, tcache_weights) && tcache_fill(p, n, tcache_weights);
        if (p && ok) {
            ok = cache_parts_commit(p, &tcache.e);
        } else {
            cache_parts_close(p);
        }
        os_file_fail_after(0, 0);
        uint64_t size = 0;
        CHECK(!ok || cache_blob_exists(&tcache.cache, REPO, etag, &size));
        whole = ok && k > 30;
        err_clear(&tcache.e);
        p = tcache_parts(etag, n, CACHE_PARTS_CONTINUE);             /* with room again */
        CHECK(p || tcache.e.code == ERR_OK);
        while (p && tcache_fill(p, n, tcache_weights)) continue;
        CHECK(!p || cache_parts_commit(p, &tcache.e));
        CHECK(cache_blob_exists(&tcache.cache, REPO, etag, &size) && size == n);
    }
    CHECK(whole);
}

/* What a download left is gone on from, holes and wrong bytes in it are put right. */
TEST(cache_writer_goes_on_from_a_download) {
    const size_t n = CACHE_SMALL * 4;
    for (int how = 0; how < 4; how++) {
        tcache_begin("resume");
        struct cache_writer w, second;
        char etag[65], path[LIMIT_PATH];
        char *content = tcache_content(n);
        tcache_sha256(etag, content, n);
        struct cache_parts *p = tcache_parts(str_cstr(etag), n, CACHE_PARTS_CONTINUE);
        struct cache_run run;
        int one = cache_parts_claim(p, 100000, &run), two = cache_parts_claim(p, 100000, &run);
        CHECK(cache_parts_write(p, one, 0, content, 70000, &tcache.e));
        os_sleep_ms(60);                         /* the map is written now and then */
        CHECK(cache_parts_write(p, two, 100000, content + 100000, 50000, &tcache.e));
        CHECK_ERR(cache_writer_open(&w, &tcache.cache, REPO, str_cstr(etag), n, 0, &tcache.e), tcache.e,
                  ERR_LOCKED);
        err_clear(&tcache.e);
        CHECK_EQ(cache_parts_peek(&tcache.cache, REPO, str_cstr(etag), n, path), 70000);
        cache_parts_release(p, one);
        cache_parts_release(p, two);
        cache_parts_close(p);
        int fd = os_open(path, OS_WRITE, &tcache.e);
        const uint64_t wrong[] = { n, 3, 69999, 120000 };            /* none, hashed, hashed, later */
        CHECK(how == 0 || os_pwrite(fd, "!", 1, wrong[how], &tcache.e));
        os_close(fd);
        CHECK_OK(cache_writer_open(&w, &tcache.cache, REPO, str_cstr(etag), n, 0, &tcache.e), tcache.e);
        CHECK_EQ(cache_parts_have(w.parts), 120000);
        CHECK_ERR(cache_writer_open(&second, &tcache.cache, REPO, str_cstr(etag), n, 0, &tcache.e),
                  tcache.e, ERR_LOCKED);
        err_clear(&tcache.e);
        for (size_t at = 0; at < n; at += 30000) {
            CHECK(cache_writer_add(&w, content + at, n - at < 30000 ? n - at : 30000, &tcache.e));
        }
        if (how == 3) {
            CHECK(unlink(path) == 0);                                /* a pruning tool came by */
        }
        CHECK_OK(cache_writer_commit(&w, &tcache.e), tcache.e);
        char blob[LIMIT_PATH];
        (void)snprintf(blob, sizeof blob, "models--org--name/blobs/%s", etag);
        CHECK(str_eq(tcache_read(blob), (struct str){ content, n }));
    }
}

TEST(cache_parts_forget_what_cannot_be) {
    tcache_begin("forget");
    struct str etag = STR("opaque");
    tcache_put("models--org--name/blobs/opaque.mlxk.incomplete", "longer than announced");
    struct cache_parts *p = tcache_parts(etag, 5, CACHE_PARTS_CONTINUE);
    CHECK(p && cache_parts_have(p) == 0 && tcache_fill(p, 3, "abc"));
    cache_parts_drop(p);
    CHECK(!tcache_exists("models--org--name/blobs/opaque.mlxk.incomplete"));
    tcache_put("models--org--name/blobs/torn", "");  /* power loss left it empty */
    CHECK_OK(tcache_store_blob("torn", "whole", &tcache.e), tcache.e);
    CHECK_STR(tcache_read("models--org--name/blobs/torn"), STR("whole"));
}

/* Where locks are granted to everybody, the lease of a process that lives is waited for. */
TEST(cache_parts_wait_for_a_lease) {
    tcache_begin("lease");
    char text[300], place[256];
    struct str etag = STR("leased");
    os_place(place);
    tcache_put("models--org--name/blobs/x", "");
    (void)snprintf(text, sizeof text, "%s\n%d 0123456789abcdef\n", place, 1);      /* init lives */
    tcache_put("models--org--name/.mlxk/leased.lease", text);
    int64_t before_ns = os_now_ns();
    struct cache_parts *p = cache_parts_open(&tcache.cache, REPO, etag, 5, CACHE_PARTS_CONTINUE, 300,
                                             &tcache.e);
    CHECK(!p && tcache.e.code == ERR_LOCKED);
    CHECK(os_now_ns() - before_ns >= 300 * 1000000LL);
    err_clear(&tcache.e);
    CHECK(unlink(tcache_path("models--org--name/.mlxk/leased.lease")) == 0);
    p = cache_parts_open(&tcache.cache, REPO, etag, 5, CACHE_PARTS_CONTINUE, 300, &tcache.e);
    CHECK(p != NULL);
    cache_parts_drop(p);
}

/* Another machine has held us for dead, and goes on in a file of its own under the same name: what
 * it has so far must not become the finished blob, whenever we learn of it. */
TEST(cache_parts_yield_to_who_took_over) {
    static const char partial[] = "models--org--name/blobs/opaque.mlxk.incomplete";
    setenv("MLXK_LEASE_SILENT_MS", "20", 1);     /* looked at every 3 ms */
    for (int late = 0; late < 2; late++) {
        tcache_begin("yield");
        bool more = false;
        struct cache_parts *p = tcache_parts(STR("opaque"), 5, CACHE_PARTS_CONTINUE);
        CHECK(p && tcache_fill(p, 5, "whole"));
        tcache_put("models--org--name/blobs/theirs", "wh");
        CHECK_EQ(rename(tcache_path("models--org--name/blobs/theirs"), tcache_path(partial)), 0);
        tcache_put("models--org--name/.mlxk/opaque.lease", "elsewhere\n7 0123456789abcdef\n");
        for (int i = 0; i < 2 && !late; i++) {
            os_sleep_ms(5);
            CHECK_OK(cache_parts_tend(p, &more, &tcache.e), tcache.e);
        }
        CHECK_ERR(cache_parts_commit(p, &tcache.e), tcache.e, ERR_LOCKED);
        CHECK(!tcache_exists("models--org--name/blobs/opaque"));
        CHECK_STR(tcache_read(partial), STR("wh"));
        CHECK(tcache_exists("models--org--name/.mlxk/opaque.lease"));
    }
    unsetenv("MLXK_LEASE_SILENT_MS");
}

/* An unfinished file was unlinked, and another lies there now, which somebody may have open. */
TEST(cache_parts_revive_beside_others) {
    static const char partial[] = "models--org--name/blobs/opaque.mlxk.incomplete";
    tcache_begin("revive");
    struct cache_parts *p = tcache_parts(STR("opaque"), 5, CACHE_PARTS_CONTINUE);
    CHECK(p && tcache_fill(p, 5, "whole") && unlink(tcache_path(partial)) == 0);
    tcache_put(partial, "theirs");
    int theirs = os_open(tcache_path(partial), OS_READ, &tcache.e);
    CHECK_OK(cache_parts_commit(p, &tcache.e), tcache.e);
    CHECK_STR(tcache_read("models--org--name/blobs/opaque"), STR("whole"));
    char text[16];
    size_t n = 0;
    CHECK(os_pread(theirs, text, sizeof text, 0, &n, &tcache.e) && n == 6);
    os_close(theirs);
    struct os_entry *entries;
    CHECK(os_list_dir(&tcache.arena, tcache_path("models--org--name/blobs"), 9, &entries, &n,
                      &tcache.e));
    CHECK_EQ(n, 1);
}

/* A flush that fails may have lost what was written, and the next one does not tell: none of it is kept. */
TEST(cache_parts_distrust_after_a_flush) {
    uint64_t held = 0;
    bool flushed = false;
    tcache_begin("flush");
    for (long n = 1; n < 20 && !flushed; n++) {
        struct err e = { 0 };
        struct cache_parts *p = tcache_parts(STR("opaque"), 5, CACHE_PARTS_CONTINUE);
        CHECK(p && (cache_parts_done(p) || tcache_fill(p, 5, "whole")));
        os_file_fail_after(n, EIO);
        CHECK(!cache_parts_commit(p, &e));
        os_file_fail_after(0, 0);
        flushed = strstr(e.msg, "flush descriptor") != NULL;
    }
    CHECK(flushed);
    CHECK_EQ(cache_blob_partial(&tcache.cache, REPO, STR("opaque"), 5, &held), 0);
    struct cache_parts *p = tcache_parts(STR("opaque"), 5, CACHE_PARTS_CONTINUE);
    CHECK(p && cache_parts_have(p) == 0 && tcache_fill(p, 5, "whole"));
    CHECK_OK(cache_parts_commit(p, &tcache.e), tcache.e);
    CHECK_STR(tcache_read("models--org--name/blobs/opaque"), STR("whole"));
}

/* Where locks lie another machine may have finished it a moment before, under the same name. */
TEST(cache_parts_finished_elsewhere) {
    tcache_begin("elsewhere");
    struct cache_parts *p = tcache_parts(STR("opaque"), 5, CACHE_PARTS_CONTINUE);
    CHECK(p && tcache_fill(p, 5, "whole"));
    tcache_put("models--org--name/blobs/opaque", "whole");
    for (long n = 1; n < 20 && p; n++) {
        struct err e = { 0 };
        os_file_fail_after(n, ENOENT);
        bool ok = cache_parts_commit(p, &e);
        os_file_fail_after(0, 0);
        CHECK(ok || !strstr(e.msg, "rename to"));
        unlink(tcache_path("models--org--name/blobs/opaque"));
        p = tcache_parts(STR("opaque"), 5, CACHE_PARTS_CONTINUE);
        CHECK(p && (cache_parts_done(p) || tcache_fill(p, 5, "whole")));
        tcache_put("models--org--name/blobs/opaque", "whole");
    }
    cache_parts_close(p);
}

/* FAT, exFAT and NTFS take no '?': told before anything is fetched. */
TEST(cache_names_that_are_not_taken) {
    bool refused = false;
    tcache_begin("names-taken");
    CHECK_OK(cache_names_taken(&tcache.cache, STR("sub?/what:is*this"), &tcache.e), tcache.e);
    for (long n = 1; n < 6 && !refused; n++) {
        struct err e = { 0 };
        os_file_fail_after(n, EINVAL);
        refused = !cache_names_taken(&tcache.cache, STR("sub/what?"), &e);
        CHECK(!refused || (e.code == ERR_IO && strstr(e.msg, "sub/what?: cannot create") && strstr(e.hint, "no such name")));
        os_file_fail_after(1, EINVAL);           /* a plain name is not tried */
        CHECK(cache_names_taken(&tcache.cache, STR("sub/plain name.txt"), &e));
        os_file_fail_after(0, 0);
    }
    CHECK(refused);
    CHECK_OK(cache_names_taken(&tcache.cache, STR("sub /end."), &tcache.e), tcache.e);
    CHECK_OK(cache_names_taken(&tcache.cache, STR("..."), &tcache.e), tcache.e);
    rmdir(tcache_path(".locks"));
    CHECK(!tcache_exists(".locks"));             /* nothing stays in it */
    for (long n = 1; n < 6; n++) {
        struct err e = { 0 };
        os_file_fail_after(n, ENOENT);           /* FAT, of a name that is nothing but dots */
        CHECK(cache_names_taken(&tcache.cache, STR("..."), &e) || e.code == ERR_IO);
        os_file_fail_after(0, 0);
        refused = refused || e.code == ERR_IO;
    }
}

/* Bytes that were lost when their writing began: no later flush says so, and they get no name. */
TEST(cache_parts_lost_behind) {
    enum { SIZE = 9 << 20 };
    char *text = malloc(SIZE + 1);
    bool told = false;
    tcache_begin("behind");
    memset(text, 'x', SIZE);
    text[SIZE] = '\0';
    for (long n = 1; n < 30 && !told; n++) {
        struct cache_parts *p = tcache_parts(STR("opaque"), SIZE, CACHE_PARTS_RENEW);
        err_clear(&tcache.e);
        os_file_fail_after(n, ENOSPC);
        bool ok = p && tcache_fill(p, SIZE, text);
        os_file_fail_after(0, 0);
        told = strstr(tcache.e.msg, "write behind") != NULL;
        struct err e = { 0 };
        if (told) CHECK_ERR(cache_parts_commit(p, &e), e, ERR_DISK_FULL);
        else cache_parts_drop(p);
        CHECK(!(ok && told) && !tcache_exists("models--org--name/blobs/opaque"));
    }
    CHECK(told);
    free(text);
}

/* What a flush for which there was no room has lost reads as zeros; the rest is kept. */
static bool tcache_punch(int fd, off_t from, off_t to) {
#ifdef __linux__
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, to - from) == 0;
#else
    return fd < 0 && from == to;
#endif
}

TEST(cache_parts_keep_what_is_there) {
    enum { SIZE = 1 << 20, LOST = 320 << 10, END = 512 << 10 };
    char *text = malloc(SIZE + 1);
    bool flushed = false, punched = true;
    tcache_begin("salvage");
    memset(text, 'x', SIZE);
    text[SIZE] = '\0';
    for (long n = 1; n < 20 && !flushed && punched; n++) {
        struct err e = { 0 };
        struct cache_parts *p = tcache_parts(STR("opaque"), SIZE, CACHE_PARTS_CONTINUE);
        while (p && tcache_fill(p, SIZE, text)) continue;
        int fd = open(cache_parts_path(p), O_RDWR);
        int direct = os_open_direct(cache_parts_path(p));
        punched = direct >= 0 && tcache_punch(fd, LOST, END);
        close(direct);
        close(fd);
        os_file_fail_after(n, EDQUOT);
        (void)cache_parts_commit(p, &e);
        os_file_fail_after(0, 0);
        flushed = strstr(e.msg, "flush descriptor") != NULL;
        if (!flushed) unlink(tcache_path("models--org--name/blobs/opaque"));
    }
    struct cache_parts *p = punched ? tcache_parts(STR("opaque"), SIZE, CACHE_PARTS_CONTINUE) : NULL;
    CHECK(!punched || (flushed && p && cache_parts_have(p) == SIZE - (END - LOST)));
    while (p && tcache_fill(p, SIZE, text)) continue;
    if (p) CHECK_OK(cache_parts_commit(p, &tcache.e), tcache.e);
    if (p) CHECK_STR(tcache_read("models--org--name/blobs/opaque"), str_cstr(text));
    free(text);
}

/* What is written under names of no blob: of a process that is gone, of one that lives, of our own, and
 * of another place. */
TEST(cache_temps_of_the_gone_are_swept) {
    static const char *const pids[] = { "7ffffff0", "00000001", "", "7ffffff0" };
    char path[LIMIT_PATH];
    tcache_begin("temps");
    tcache_put("models--org--name/blobs/" COMMIT_A ".mlxk.incomplete", "unfinished");
    tcache_put("models--org--name/blobs/7ffffff07ffffff0.mlxk.incomplete", "of nobody");
    for (size_t i = 0; i < 4; i++) {
        CHECK_OK(cache_temp_path(path, tcache_path("models--org--name"), &tcache.e), tcache.e);
        char *hex = path + str_find_last(str_cstr(path), STR("/")) + 1;
        memcpy(hex + 8, pids[i], strlen(pids[i]));
        hex[0] = i == 3 ? (hex[0] == '0' ? '1' : '0') : hex[0];
        CHECK_OK(os_write_file(path, STR("begun"), &tcache.e), tcache.e);
        cache_temps_sweep(&tcache.cache, REPO);
        CHECK_EQ(access(path, F_OK) == 0, i != 0);
    }
    CHECK(tcache_exists("models--org--name/blobs/" COMMIT_A ".mlxk.incomplete"));
    CHECK(tcache_exists("models--org--name/blobs/7ffffff07ffffff0.mlxk.incomplete"));
}

/* A link in the place of a file of ours is somebody's trap. */
TEST(cache_never_writes_through_a_link) {
    tcache_begin("traps");
    tcache_put("precious", "precious");
    CHECK_EQ(symlink(tcache_path("precious"), tcache_path("trap")), 0);
    CHECK(os_open(tcache_path("trap"), OS_WRITE_OWN, &tcache.e) < 0);
    err_clear(&tcache.e);
    int fd = cache_own_open(tcache_path("trap"), &tcache.e);
    CHECK(fd >= 0 && os_write(fd, "ours", 4, &tcache.e));
    os_close(fd);
    CHECK_STR(tcache_read("precious"), STR("precious"));
    CHECK_STR(tcache_read("trap"), STR("ours"));
}

TEST(cache_link_replaces_and_copies) {
    tcache_begin("links");
    CHECK_OK(tcache_store_blob("one", "1", &tcache.e) && tcache_store_blob("two", "22", &tcache.e),
             tcache.e);
    CHECK_OK(cache_link(&tcache.cache, REPO, STR(COMMIT_A), STR("f"), STR("one"), &tcache.e),
             tcache.e);
    CHECK_OK(cache_link(&tcache.cache, REPO, STR(COMMIT_A), STR("f"), STR("two"), &tcache.e),
             tcache.e);
    CHECK_STR(tcache_read(TC_SNAPSHOT "/f"), STR("22"));
    tcache_put(TC_SNAPSHOT "/g", "a file stands here");
    CHECK_OK(cache_link(&tcache.cache, REPO, STR(COMMIT_A), STR("g"), STR("one"), &tcache.e),
             tcache.e);
    CHECK_STR(tcache_read(TC_SNAPSHOT "/g"), STR("1"));
    tcache_put(TC_SNAPSHOT "/dir/x", "");
    CHECK(!cache_link(&tcache.cache, REPO, STR(COMMIT_A), STR("dir"), STR("one"), &tcache.e));
    err_clear(&tcache.e);
    setenv("HF_HUB_DISABLE_SYMLINKS", "1", 1);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(cache_link(&tcache.cache, REPO, STR(COMMIT_A), STR("f"), STR("two"), &tcache.e),
                 tcache.e);
        struct os_stat st;
        CHECK(os_lstat(tcache_path(TC_SNAPSHOT "/f"), &st) && st.kind == OS_FILE &&
              st.size_bytes == 2);
    }
    unsetenv("HF_HUB_DISABLE_SYMLINKS");
    struct os_entry *entries;
    size_t n;
    CHECK(os_list_dir(&tcache.arena, tcache_path("models--org--name/blobs"), 100, &entries, &n,
                      &tcache.e));
    CHECK_EQ(n, 2);                                          /* no temporaries stay */
}

TEST(cache_trees_and_refs_of_others) {
    tcache_begin("others");
    struct cache_tree_file *files;
    size_t n;
    tcache_put(TC_SNAPSHOT "/config.json", "{}");
    tcache_put("models--org--name/refs/main", COMMIT_A "\n");
    tcache_put("models--org--name/refs/evil", "../../../etc\n");
    tcache_put("models--org--name/refs/empty", "");
    CHECK_STR(cache_ref_read(&tcache.arena, &tcache.cache, REPO, STR("main")), STR(COMMIT_A));
    CHECK_EQ(cache_ref_read(&tcache.arena, &tcache.cache, REPO, STR("evil")).n, 0);
    CHECK_EQ(cache_ref_read(&tcache.arena, &tcache.cache, REPO, STR("empty")).n, 0);
    CHECK_EQ(cache_ref_read(&tcache.arena, &tcache.cache, REPO, STR("none")).n, 0);
    CHECK_EQ(cache_ref_read(&tcache.arena, &tcache.cache, REPO, STR("../refs/main")).n, 0);
    CHECK_OK(cache_ref_write(&tcache.cache, REPO, STR("main"), STR(COMMIT_A), &tcache.e), tcache.e);
    CHECK_STR(tcache_read("models--org--name/refs/main"), STR(COMMIT_A));
#define TREE(files_text) "{\"format_version\": 1, \"files\": {" files_text "}}"
    const char *bad[] = { "",
                          "{",
                          "[]",
                          "{\"format_version\":2,\"files\":{}}",
                          "{\"files\":{}}",
                          "{\"format_version\":1,\"files\":[]}",
                          TREE("\"../x\":{\"size\":1,\"blob_id\":\"" COMMIT_A "\"}"),
                          TREE("\"a\":{\"size\":-1,\"blob_id\":\"" COMMIT_A "\"}"),
                          TREE("\"a\":{\"size\":1,\"blob_id\":\"x\"}"),
                          TREE("\"a\":{\"size\":1,\"blob_id\":\"" COMMIT_A
                               "\",\"xet_hash\":\"zz\"}"),
                          TREE("\"a\":{\"blob_id\":\"" COMMIT_A "\"}"),
                          TREE("\"a\":7") };
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        tcache_put("models--org--name/trees/" COMMIT_A ".json", bad[i]);
        CHECK(!cache_tree_read(&tcache.arena, &tcache.cache, REPO, STR(COMMIT_A), &files, &n,
                               &tcache.e) &&
              tcache.e.code == ERR_OK);
    }
    tcache_put("models--org--name/trees/" COMMIT_A ".json",
               TREE("\"a\":{\"size\":1,\"blob_id\":\"" COMMIT_A "\",\"new\":null}"));
    CHECK(
        cache_tree_read(&tcache.arena, &tcache.cache, REPO, STR(COMMIT_A), &files, &n, &tcache.e) &&
        n == 1 && files[0].size_bytes == 1);
    struct cache_tree_file twins[] = { { .path = STR("a"), .blob_id = STR(COMMIT_A) },
                                       { .path = STR("a"), .blob_id = STR(COMMIT_A) } };
    CHECK_ERR(cache_tree_write(&tcache.cache, REPO, STR(COMMIT_A), twins, 2, &tcache.e), tcache.e,
              ERR_INVALID);
#undef TREE
}

/* What every other tool relies on, whatever was interrupted. */
static void tcache_check_readable(void) {
    struct os_entry *entries;
    size_t n;
    struct err e = { 0 };
    struct tcache_names w = tcache_names_of(tcache_weights), c = tcache_names_of(tcache_config);
    if (!os_list_dir(&tcache.arena, tcache_path("models--org--name/blobs"), 1000, &entries, &n,
                     &e)) {
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        char path[600];
        snprintf(path, sizeof path, "models--org--name/blobs/" STR_FMT, STR_ARG(entries[i].name));
        bool partial = str_ends(entries[i].name, STR(".incomplete"));
        struct str want = str_eq_cstr(entries[i].name, w.sha256) ? str_cstr(tcache_weights)
                                                                 : str_cstr(tcache_config);
        CHECK(partial || str_eq_cstr(entries[i].name, w.sha256) ||
              str_eq_cstr(entries[i].name, c.git));
        if (!partial) {
            CHECK_STR(tcache_read(path), want);
        }
    }
    const char *files[] = { TC_SNAPSHOT "/config.json", TC_SNAPSHOT "/sub/w.safetensors" };
    for (size_t i = 0; i < 2; i++) {
        if (tcache_exists(files[i])) {
            CHECK_STR(tcache_read(files[i]), str_cstr(i ? tcache_weights : tcache_config));
        }
    }
    if (os_list_dir(&tcache.arena, tcache_path("models--org--name/refs"), 1000, &entries, &n, &e)) {
        for (size_t i = 0; i < n; i++) {
            CHECK(str_eq(entries[i].name, STR("main")) || str_eq(entries[i].name, STR("refs")));
        }
    }
    if (tcache_exists("models--org--name/refs/main")) {
        CHECK_STR(tcache_read("models--org--name/refs/main"), STR(COMMIT_A));
        CHECK(tcache_exists(files[0]) && tcache_exists(files[1]) &&
              tcache_exists("models--org--name/trees/" COMMIT_A ".json"));
    }
}

TEST(cache_survives_every_failing_call) {
    bool done = false;
    for (long n = 1; n < 400 && !done; n++) {
        tcache_begin("fail");
        os_file_fail_after(n, n % 3 == 0 ? 28 /* ENOSPC */ : 5 /* EIO */);
        bool ok = tcache_store(&tcache.e);
        os_file_fail_after(0, 0);
        CHECK(ok || (tcache.e.code != ERR_OK && tcache.e.msg[0]));
        tcache_check_readable();
        err_clear(&tcache.e);
        CHECK_OK(tcache_store(&tcache.e), tcache.e);
        tcache_check_stored();
        done = ok && n > 60;                                 /* some calls may fail without harm */
        os_remove_tree(tcache.root, &tcache.e);
    }
    CHECK(done);
}

TEST(cache_survives_a_kill_at_every_call) {
    bool done = false;
    for (long n = 1; n < 400 && !done; n++) {
        tcache_begin("kill");
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            os_file_fail_after(n, -9);
            _exit(tcache_store(&tcache.e) ? 0 : 1);
        }
        int status = 0;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        CHECK(done || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        tcache_check_readable();
        CHECK_OK(tcache_store(&tcache.e), tcache.e);
        tcache_check_stored();
        os_remove_tree(tcache.root, &tcache.e);
    }
    CHECK(done);
}

/* ---- lookup ------------------------------------------------------------------------------------------- */

#define CONFIG                                                                                     \
    "{\"model_type\":\"llama\",\"quantization\":{\"bits\":4},\"max_position_embeddings\":4096}"

/* A repo with one snapshot and the given files: name, content, name, content, NULL. */
static void tcache_repo(const char *repo_cstr, const char *snapshot_cstr,
                        const char *const *files) {
    char path[LIMIT_PATH];
    for (size_t i = 0; files[i]; i += 2) {
        snprintf(path, sizeof path, "%s/snapshots/%s/%s",
                 cache_folder_name(&tcache.arena, str_cstr(repo_cstr)), snapshot_cstr, files[i]);
        tcache_put(path, files[i + 1]);
    }
}

static const char *const tcache_model[] = { "config.json", CONFIG, "model.safetensors", "x", NULL };

static void tcache_age(const char *relative_cstr, int64_t seconds) {
    struct err e = { 0 };
    CHECK_OK(os_set_mtime(tcache_path(relative_cstr), seconds * 1000000000, &e), e);
}

/* Resolves and gives name@snapshot, or the error's name and the candidates. */
static struct str tcache_resolve(const char *spec_cstr) {
    struct cache_model m;
    struct cache_matches matches;
    struct err e = { 0 };
    if (cache_resolve(&tcache.arena, &tcache.cache, str_cstr(spec_cstr), &m, &matches, &e)) {
        return str_format(&tcache.arena, STR_FMT "@" STR_FMT, STR_ARG(m.name),
                          STR_ARG(str_sub(m.commit, 0, 3)));
    }
    struct str out = str_cstr(err_info(e.code)->name_cstr);
    for (size_t i = 0; i < matches.n; i++) {
        out =
            str_format(&tcache.arena, STR_FMT " " STR_FMT, STR_ARG(out), STR_ARG(matches.names[i]));
    }
    return out;
}

TEST(cache_resolves_names) {
    tcache_begin("names");
    CHECK_STR(tcache_resolve("anything"), STR("NOT_FOUND"));     /* no cache at all */
    tcache_repo("mlx-community/Foo-1", COMMIT_A, tcache_model);
    tcache_repo("o/foo-1", COMMIT_B, tcache_model);
    tcache_repo("o/Bar", "cccccccccccccccccccccccccccccccccccccccc", tcache_model);
    tcache_repo("p/bar-x", "dddddddddddddddddddddddddddddddddddddddd", tcache_model);
    struct { const char *spec, *want;
    } cases[] = {
        { "o/Bar", "o/Bar@ccc" },
        { "Foo-1", "mlx-community/Foo-1@aaa" },
        { "foo-1", "AMBIGUOUS mlx-community/Foo-1 o/foo-1" },
        { "O/FOO-1", "o/foo-1@bbb" },
        { "p/", "p/bar-x@ddd" },
        { "bar", "AMBIGUOUS o/Bar p/bar-x" },
        { "nope", "NOT_FOUND" },
        { "", "NOT_FOUND" },
        { "@", "NOT_FOUND" },
        { "@aaa", "NOT_FOUND" },
        { "  ", "NOT_FOUND" },
        { "o/foo-1@b", "o/foo-1@bbb" },
        { "foo-1@b", "o/foo-1@bbb" },
        { "bar@d", "p/bar-x@ddd" },
        { "o/Bar@@c", "o/Bar@ccc" },
        { "o/Bar@", "o/Bar@ccc" },
        { "o/Bar@zzz", "NOT_FOUND" },
        { "a@b@c", "o/Bar@ccc" },
        { "models--o--Bar", "o/Bar@ccc" },
        { "./o/Bar", "NOT_FOUND" },
        { "../../etc", "NOT_FOUND" },
        { "o/Bar/..", "NOT_FOUND" },
        { "bar@", "AMBIGUOUS o/Bar p/bar-x" },
    };
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        CHECK_STR(tcache_resolve(cases[i].spec), str_cstr(cases[i].want));
    }
    struct cache_model m;
    CHECK_ERR(
        cache_resolve(&tcache.arena, &tcache.cache, (struct str){ "a\0b", 3 }, &m, NULL, &tcache.e),
        tcache.e, ERR_INVALID);
}

TEST(cache_resolves_snapshots) {
    tcache_begin("snaps");
    tcache_repo("o/m", COMMIT_A, tcache_model);
    tcache_repo("o/m", COMMIT_B, tcache_model);
    tcache_age("models--o--m/snapshots/" COMMIT_A, 1000);
    tcache_age("models--o--m/snapshots/" COMMIT_B, 2000);
    CHECK_STR(tcache_resolve("o/m"), STR("o/m@bbb"));            /* the newest */
    tcache_put("models--o--m/refs/main", COMMIT_A "\n");
    CHECK_STR(tcache_resolve("o/m"), STR("o/m@aaa"));            /* refs/main, newline and all */
    tcache_put("models--o--m/refs/v1.0", COMMIT_B);
    CHECK_STR(tcache_resolve("o/m@v1.0"), STR("o/m@bbb"));
    CHECK_STR(tcache_resolve("o/m@main"), STR("o/m@aaa"));
    CHECK_STR(tcache_resolve("o/m@bbb"), STR("o/m@bbb"));
    tcache_put("models--o--m/refs/main", "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
    CHECK_STR(tcache_resolve("o/m"), STR("o/m@bbb")); /* a ref to nothing is no reason to fail */
    tcache_put("models--o--m/snapshots/.DS_Store", "");
    CHECK_STR(tcache_resolve("o/m"), STR("o/m@bbb"));
    tcache_repo("o/named", "main", tcache_model);
    struct cache_model m;
    CHECK_OK(cache_resolve(&tcache.arena, &tcache.cache, STR("o/named"), &m, NULL, &tcache.e),
             tcache.e);
    CHECK(m.commit.n == 0 && strstr(m.dir_cstr, "/snapshots/main"));
    CHECK_OK(os_mkdirs(tcache_path("models--o--none/snapshots"), &tcache.e), tcache.e);
    CHECK_OK(cache_resolve(&tcache.arena, &tcache.cache, STR("o/none"), &m, NULL, &tcache.e),
             tcache.e);
    CHECK(!m.snapshot_cstr && m.dir_cstr == m.repo_dir_cstr);
}

TEST(cache_resolves_workspaces) {
    tcache_begin("ws");
    char *home = str_dup_cstr(&tcache.arena, str_cstr(tcache_path("home")));
    tcache_put("home/alpha-4bit/config.json", CONFIG);
    tcache_put("home/beta/config.json", CONFIG);
    tcache_put("home/alphabet/notes", "no model");
    tcache_repo("o/beta", COMMIT_A, tcache_model);
    tcache.cache.workspace_cstr = home;
    char *real = os_path_real(&tcache.arena, home, &tcache.e);
    CHECK_STR(tcache_resolve("ALPHA"), str_format(&tcache.arena, "%s/alpha-4bit@", real));
    CHECK_STR(tcache_resolve("beta"), str_format(&tcache.arena, "%s/beta@", real));
    CHECK_STR(tcache_resolve("o/beta"), STR("o/beta@aaa"));
    CHECK_STR(tcache_resolve("a"), STR("AMBIGUOUS alpha-4bit beta"));
    CHECK_STR(tcache_resolve(tcache_path("home/beta")),
              str_format(&tcache.arena, "%s/beta@", real));
    CHECK_STR(tcache_resolve(tcache_path("home")), STR("NOT_FOUND"));
}

static struct str tcache_list(const char *pattern_cstr) {
    struct cache_model *models;
    size_t n;
    struct err e = { 0 };
    struct str out = STR("");
    CHECK_OK(cache_list(&tcache.arena, &tcache.cache, str_cstr(pattern_cstr), &models, &n, &e), e);
    for (size_t i = 0; i < n; i++) {
        struct str name = models[i].display_name.n ? models[i].display_name : models[i].name;
        out = str_format(&tcache.arena, STR_FMT STR_FMT ":%s ", STR_ARG(out), STR_ARG(name),
                         models[i].commit.n ? "h" : "-");
    }
    return out;
}

TEST(cache_lists_everything_once) {
    tcache_begin("list");
    CHECK_STR(tcache_list(""), STR(""));
    tcache_repo("b/Z", COMMIT_A, tcache_model);
    tcache_repo("a/b", COMMIT_A, tcache_model);
    tcache_repo("B/a", "main", tcache_model);
    tcache_repo("_/x", COMMIT_B, tcache_model);
    tcache_repo("TEST-CACHE-SENTINEL/x", COMMIT_B, tcache_model);
    tcache_put("datasets--o--d/snapshots/x/y", "");
    tcache_put("models--file--x", "no folder");
    tcache_put("version.txt", "");
    CHECK_OK(os_mkdirs(tcache_path("models--n--none"), &tcache.e), tcache.e);
    CHECK_OK(os_symlink("nowhere", tcache_path("models--dead--link"), &tcache.e), tcache.e);
    CHECK_STR(tcache_list(""), STR("B/a:- _/x:h a/b:h b/Z:h n/none:- "));
    CHECK_STR(tcache_list("  "), tcache_list(""));
    CHECK_STR(tcache_list("z"), STR("b/Z:h "));
    CHECK_STR(tcache_list("none"), STR("n/none:- "));
    CHECK_STR(tcache_list("d"), STR(""));       /* datasets when they are asked for */
    CHECK_STR(tcache_list("datasets/"), STR("datasets/o/d:- "));
    CHECK_STR(tcache_list("datasets/O"), STR("datasets/o/d:- "));
    CHECK_STR(tcache_list("spaces/"), STR(""));
    tcache_put("home/w2/config.json", CONFIG);
    tcache_put("home/w1/config.json", CONFIG);
    tcache_put("home/other/x", "");
    CHECK_STR(tcache_list(tcache_path("home")),
              str_format(&tcache.arena, "%s/home/w1:- %s/home/w2:- ", tcache.root, tcache.root));
    CHECK_STR(tcache_list(tcache_path("home/w2")),
              str_format(&tcache.arena, "%s/home/w2:- ", tcache.root));
    CHECK_STR(tcache_list(tcache_path("home/w")),
              str_format(&tcache.arena, "%s/home/w1:- %s/home/w2:- ", tcache.root, tcache.root));
    CHECK_STR(tcache_list(tcache_path("nothing/here")), STR(""));
    tcache.cache.workspace_cstr = str_dup_cstr(&tcache.arena, str_cstr(tcache_path("home")));
    CHECK_STR(tcache_list("w1"), STR("w1:- "));
}

/* ---- verdicts ---------------------------------------------------------------------------------------------- */

#define A "config.json", "{\"a\":1}"
#define W "model.safetensors", "x"
#define S1 "model-00001-of-00002.safetensors"
#define S2 "model-00002-of-00002.safetensors"
#define INDEX "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"" S1 "\",\"b\":\"" S2 "\"}}"
#define LFS "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 1\n"
#define LLAVA "config.json", "{\"model_type\":\"llava\"}", W

static struct str tcache_health(const char *const *files) {
    static int n;
    char repo[32];
    struct cache_model m;
    struct err e = { 0 };
    snprintf(repo, sizeof repo, "o/h%d", n++);
    tcache_repo(repo, COMMIT_A, files);
    CHECK_OK(cache_resolve(&tcache.arena, &tcache.cache, str_cstr(repo), &m, NULL, &e), e);
    struct cache_health alone = cache_check_health(&tcache.arena, &m);
    CHECK_OK(cache_scan(&tcache.arena, &m, &e), e);
    struct cache_health scanned = cache_check_health(&tcache.arena, &m);
    CHECK_STR(alone.reason, scanned.reason);
    bool fine = str_eq(alone.reason, STR("Model is healthy")) ||
                str_eq(alone.reason, STR("Multi-file model complete"));
    CHECK(alone.healthy == fine && scanned.healthy == fine);
    return alone.reason;
}

TEST(cache_orders_repos_as_their_folders) {
    static const char *const names[] = { "a-b", "a.b", "a/b", "a/-b", "a", "a/b/c" };
    static const char *const sorted[] = { "a", "a/-b", "a/b", "a/b/c", "a-b", "a.b" };
    struct cache_model models[MLXK_COUNT(names)] = { 0 };
    for (size_t i = 0; i < MLXK_COUNT(names); i++) models[i].name = str_cstr(names[i]);
    cache_order_by_folder(models, MLXK_COUNT(names));
    for (size_t i = 0; i < MLXK_COUNT(names); i++) CHECK_STR(models[i].name, str_cstr(sorted[i]));
}

TEST(cache_health_in_upstreams_words) {
    tcache_begin("health");
    struct { const char *files[14], *want;
    } cases[] = {
        { { A, W }, "Model is healthy" },
        { { W }, "config.json missing" },
        { { A }, "No model weights found" },
        { { "config.json", "x", W }, "config.json contains invalid JSON" },
        { { "config.json", "", W }, "config.json contains invalid JSON" },
        { { "config.json", "\xEF\xBB\xBF{\"a\":1}", W }, "config.json contains invalid JSON" },
        { { "config.json", "{\"a\":\"\xE9\"}", W }, "config.json contains invalid JSON" },
        { { "config.json", "{}", W }, "config.json is empty or invalid" },
        { { "config.json", "[1]", W }, "config.json is empty or invalid" },
        { { "config.json", "{\"a\":1,\"a\":2}", W }, "Model is healthy" },
        { { A, "model.safetensors", "" }, "Empty weight files: model.safetensors" },
        { { A, "s/b.bin", "" }, "Empty weight files: b.bin" },
        { { A, "model.safetensors", LFS }, "LFS pointers instead of files: model.safetensors" },
        { { A, W, "s/t.json", LFS }, "LFS pointers instead of files: s/t.json" },
        { { A, W, ".partial.tmp", "x" }, "Partial download marker detected" },
        { { A, W, "X.PARTIAL", "x" }, "Partial download marker detected" },
        { { A, W, "partial_rotary.json", "{}" }, "Model is healthy" },
        { { A, W, "a.incomplete", "x" }, "Model is healthy" },
        { { A, "q.gguf", "x" }, "Model is healthy" },
        { { A, "s/m.safetensors", "x" }, "Model is healthy" },
        { { A, "w.npz", "x" }, "No model weights found" },
        { { A, S1, "x", S2, "x" }, "Safetensors index missing for sharded model" },
        { { A, S1, "x" }, "Missing shards by pattern: 1/2 present" },
        { { A, S1, "x", S2, "" }, "Empty shards: " S2 },
        { { A, S1, "x", "model-00002-of-00003.safetensors", "x" },
          "Inconsistent shard totals detected" },
        { { A, S1, "x", S2, "y", INDEX }, "Multi-file model complete" },
        { { A, S1, "x", S2, "", INDEX }, "Empty weight shards: " S2 },
        { { A, S1, LFS, S2, "y", INDEX }, "LFS pointers instead of files: " S1 },
        { { A, "sub/" S1, "x", "sub/" S2, "x", INDEX }, "Missing weight shards: " S1 ", " S2 },
        { { A, S1, "x", INDEX },
          "Index/shard mismatch (mlx-vlm #624). Index references 2 shards but found 1 different "
          "files. "
          "Fix: mlxk convert <model> <output> --repair-index" },
        { { A, INDEX }, "No model weights found" },
        { { A, S1, "x", "model.safetensors.index.json", "{" }, "Invalid index file" },
        { { A, S1, "x", "model.safetensors.index.json", "{\"weight_map\":{}}" },
          "Empty or invalid weight_map in index" },
        { { A, S1, "x", "model.safetensors.index.json", "[{\"weight_map\":{\"a\":\"b\"}}]" },
          "Empty or invalid weight_map in index" },
        { { A, S1, "x", "model.safetensors.index.json", "{\"weight_map\":{\"a\":7}}" },
          "Invalid index file" },
        { { A, S1, "x", S2, "x", "model.safetensors.index.json",
            "{\"metadata\":{\"weight_map\":1,\"x\":[{\"weight_map\":{\"q\":\"z\"}}]},"
            "\"weight_map\":{\"a\":\"" S1 "\"}}" },
          "Multi-file model complete" },
        { { A, "pytorch_model.bin", "x", "pytorch_model.bin.index.json",
            "{\"weight_map\":{\"a\":\"y.bin\"}}" },
          "Missing weight shards: y.bin" },
        { { LLAVA }, "Vision model missing preprocessor_config.json or processor_config.json" },
        { { LLAVA, "preprocessor_config.json", "{}" }, "Model is healthy" },
        { { LLAVA, "processor_config.json", "{}" }, "Model is healthy" },
        { { LLAVA, "preprocessor_config.json", "x" }, "preprocessor_config.json invalid JSON" },
        { { LLAVA, "processor_config.json", "[]" }, "processor_config.json invalid" },
        { { A, W, "tokenizer_config.json", "{}" },
          "tokenizer_config.json present but tokenizer.json missing" },
        { { A, W, "tokenizer_config.json", "{", "tokenizer.json", "{}" },
          "tokenizer_config.json contains invalid JSON" },
        { { A, W, "tokenizer_config.json", "[]", "tokenizer.json", "{}" },
          "tokenizer_config.json exists but invalid" },
        { { A, W, "tokenizer_config.json", "{}", "tokenizer.model", "x" }, "Model is healthy" },
        { { A, W, "tokenizer_config.json", "{}", "vocab.json", "{}", "merges.txt", "" },
          "Model is healthy" },
    };
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        CHECK_STR(tcache_health(cases[i].files), str_cstr(cases[i].want));
    }
    struct cache_model m;
    CHECK_OK(os_mkdirs(tcache_path("models--e--none"), &tcache.e) &&
                 os_mkdirs(tcache_path("models--e--empty/snapshots"), &tcache.e),
             tcache.e);
    CHECK(cache_resolve(&tcache.arena, &tcache.cache, STR("e/none"), &m, NULL, &tcache.e));
    CHECK_STR(cache_check_health(&tcache.arena, &m).reason, STR("No snapshots directory found"));
    CHECK(cache_resolve(&tcache.arena, &tcache.cache, STR("e/empty"), &m, NULL, &tcache.e));
    CHECK_STR(cache_check_health(&tcache.arena, &m).reason, STR("No snapshots found"));
    CHECK_OK(cache_model_at(&tcache.arena, tcache_path("models--e--none"), &m, &tcache.e),
             tcache.e);
    CHECK_STR(cache_check_health(&tcache.arena, &m).reason,
              STR("No config.json found in workspace"));
}

TEST(cache_health_bears_broken_entries) {
    tcache_begin("broken");
    struct cache_model m;
    tcache_put("models--o--m/snapshots/" COMMIT_A "/config.json", "{\"a\":1}");
    CHECK_OK(os_symlink("../../blobs/gone",
                        tcache_path("models--o--m/snapshots/" COMMIT_A "/model.safetensors"),
                        &tcache.e),
             tcache.e);
    CHECK_OK(os_symlink(".", tcache_path("models--o--m/snapshots/" COMMIT_A "/loop"), &tcache.e),
             tcache.e);
    CHECK(cache_resolve(&tcache.arena, &tcache.cache, STR("o/m"), &m, NULL, &tcache.e) &&
          cache_scan(&tcache.arena, &m, &tcache.e));
    CHECK_STR(cache_check_health(&tcache.arena, &m).reason, STR("No model weights found"));
    CHECK_EQ(m.scan->size_bytes, 7);
    CHECK(!cache_scan_find(m.scan, STR("model.safetensors")) &&
          !cache_scan_find(m.scan, STR("loop")));
    CHECK_OK(os_symlink("../../blobs/gone",
                        tcache_path("models--o--m/snapshots/" COMMIT_A "/config.json2"), &tcache.e),
             tcache.e);
    CHECK_OK(os_unlink(tcache_path("models--o--m/snapshots/" COMMIT_A "/config.json"), &tcache.e) &&
                 os_symlink("../../blobs/gone",
                            tcache_path("models--o--m/snapshots/" COMMIT_A "/config.json"),
                            &tcache.e),
             tcache.e);
    m.scan = NULL;
    CHECK_STR(cache_check_health(&tcache.arena, &m).reason, STR("config.json missing"));
}

/* "framework type capabilities context" of a repo of that name. */
static struct str tcache_detect(const char *repo_cstr, const char *const *files) {
    struct cache_model m;
    struct cache_info info;
    struct err e = { 0 };
    static int n;
    tcache_begin("detect");
    (void)n++;
    tcache_repo(repo_cstr, COMMIT_A, files);
    CHECK_OK(cache_resolve(&tcache.arena, &tcache.cache, str_cstr(repo_cstr), &m, NULL, &e) &&
                 cache_detect(&tcache.arena, &m, &info, &e),
             e);
    struct str out = str_format(&tcache.arena, STR_FMT " " STR_FMT, STR_ARG(info.framework),
                                STR_ARG(info.model_type));
    for (int i = 0; i < info.n_capabilities; i++) {
        out = str_format(&tcache.arena, STR_FMT " %s", STR_ARG(out), info.capabilities[i]);
    }
    return info.context_length ? str_format(&tcache.arena, STR_FMT " %lld", STR_ARG(out),
                                            (long long)info.context_length)
                               : out;
}

#define C(json) "config.json", "{" json "}", W
#define README(text) "README.md", text, C("\"model_type\":\"llama\"")

TEST(cache_detects_kinds) {
    struct { const char *repo, *files[10], *want;
    } cases[] = {
        { "mlx-community/a",
          { C("\"model_type\":\"llama\",\"max_position_embeddings\":4096") },
          "MLX base text-generation 4096" },
        { "o/m", { C("\"model_type\":\"llama\"") }, "PyTorch base text-generation" },
        { "o/m", { C("\"quantization\":null") }, "MLX base text-generation" },
        { "o/m", { A, "x.gguf", "x", W }, "GGUF base text-generation" },
        { "o/m", { A, "x.bin", "x" }, "Unknown base text-generation" },
        { "o/m", { A, "pytorch_model.bin", "x" }, "PyTorch base text-generation" },
        { "o/m", { README("---\nlibrary_name: mlx\n---\n") }, "MLX base text-generation" },
        { "o/m",
          { README("---\r\ntags:\r\n- x\r\n- 'mlx'\r\n---\r\n") },
          "MLX base text-generation" },
        { "o/m", { README("---\ntags: [a, mlx]\n---\n") }, "MLX base text-generation" },
        { "o/m",
          { README("---\ntags:\n- a\nlicense: x\n- mlx\n---\n") },
          "PyTorch base text-generation" },
        { "o/m", { README("\n---\nlibrary_name: mlx\n---\n") }, "PyTorch base text-generation" },
        { "o/m",
          { README("---\na: b\n---\nlibrary_name: mlx\n") },
          "PyTorch base text-generation" },
        { "o/m-Instruct", { A, W }, "PyTorch chat text-generation chat" },
        { "o/m", { A, W, "chat_template.jinja", "x" }, "PyTorch chat text-generation chat" },
        { "o/m",
          { A, W, "tokenizer_config.json", "{\"chat_template\":\"x\"}" },
          "PyTorch chat text-generation chat" },
        { "o/m",
          { A, W, "tokenizer_config.json", "{\"chat_template\":\" \"}" },
          "PyTorch base text-generation" },
        { "o/m",
          { A, W, "tokenizer.json", "{\"a\":[],\"chat_template\":\"x\"}" },
          "PyTorch chat text-generation chat" },
        { "o/m",
          { A, W, "tokenizer.json", "{\"a\":{\"chat_template\":\"x\"}}" },
          "PyTorch base text-generation" },
        { "o/m",
          { C("\"model_type\":\"qwen2_vl\""), "preprocessor_config.json", "{}" },
          "PyTorch chat text-generation chat vision" },
        { "o/m", { C("\"vision_config\":{\"a\":1}") }, "PyTorch base text-generation vision" },
        { "o/m", { C("\"vision_config\":{}") }, "PyTorch base text-generation" },
        { "o/m",
          { A, W, "preprocessor_config.json", "{\"temporal_patch_size\":2}" },
          "PyTorch base text-generation" },
        { "o/m", { A, W, "s/processor_config.json", "{}" }, "PyTorch base text-generation vision" },
        { "o/m", { C("\"audio_config\":{\"a\":1}") }, "PyTorch base text-generation audio" },
        { "o/whisper-large-v3",
          { C("\"model_type\":\"whisper\"") },
          "PyTorch audio audio audio-translate-en" },
        { "o/whisper-small.en-mlx", { C("\"model_type\":\"whisper\"") }, "PyTorch audio audio" },
        { "o/w-turbo", { C("\"model_type\":\"whisper\"") }, "PyTorch audio audio" },
        { "o/m", { C("\"model_type\":\"bert\"") }, "PyTorch embedding embeddings" },
        { "o/Qwen3-Embedding", { C("\"model_type\":\"qwen3\"") }, "PyTorch embedding embeddings" },
        { "o/x-embed",
          { C("\"architectures\":[\"XForCausalLM\"]") },
          "PyTorch embedding embeddings" },
        { "o/x-embed", { C("\"model_type\":\"llama\"") }, "PyTorch base text-generation" },
        { "o/m",
          { C("\"text_config\":{\"n_positions\":\"77\"}") },
          "PyTorch base text-generation 77" },
        { "o/m",
          { C("\"max_position_embeddings\":0,\"seq_len\":5") },
          "PyTorch base text-generation 5" },
        { "o/m",
          { C("\"max_position_embeddings\":true,\"n_positions\":-3") },
          "PyTorch base text-generation" },
    };
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        CHECK_STR(tcache_detect(cases[i].repo, cases[i].files), str_cstr(cases[i].want));
    }
}

/* ---- workspaces ------------------------------------------------------------------------------------------------ */

#define SENTINEL                                                                                   \
    "\"mlxk_version\":\"1\",\"created_at\":\"2026-01-01T00:00:00Z\",\"source_repo\":\"o/"          \
    "m\",\"operation\":\"clone\""

static void tcache_workspace(const char *sentinel_cstr) {
    char tensors[200] = "........{\"t\":{\"dtype\":\"F16\",\"shape\":[8],\"data_offsets\":[0,16]}}";
    struct err e = { 0 };
    size_t n = strlen(tensors) - 8;
    memset(tensors, 0, 8);
    tensors[0] = (char)n;
    tcache_begin("workspace");
    tcache_put("ws/config.json",
               "{\"model_type\":\"llama\",\"quantization\":{\"bits\":4,\"group_size\":64}}");
    CHECK_OK(
        os_write_file(tcache_path("ws/model.safetensors"), (struct str){ tensors, n + 24 }, &e), e);
    if (sentinel_cstr) {
        tcache_put("ws/.mlxk_workspace.json", sentinel_cstr);
    }
}

static struct cache_workspace tcache_read_workspace(void) {
    struct cache_workspace ws;
    struct err e = { 0 };
    CHECK_OK(cache_workspace_read(&tcache.arena, tcache_path("ws"), NULL, &ws, &e), e);
    return ws;
}

TEST(cache_workspace_hash_is_the_reference_one) {
    tcache_workspace("{\"managed\":true," SENTINEL ",\"extra\":[1]}");
    struct cache_workspace ws = tcache_read_workspace();
    CHECK(ws.present && ws.managed && !ws.has_v2 && ws.clean == -1);
    CHECK_STR(ws.origin, STR("o/m"));
    CHECK_OK(cache_workspace_rehash(&tcache.arena, tcache_path("ws"), NULL, &tcache.e), tcache.e);
    ws = tcache_read_workspace();
    CHECK_STR(ws.content_hash,
              STR("sha256:f5b826f4ae9535a1d5d75c94eb86680222951e1d2d68949b534df91bcf686b0d"));
    CHECK(ws.has_v2 && ws.clean == 1 && json_get(ws.document, "extra"));
    tcache_put("ws/ignored.tmp", "x");                           /* excluded: still clean */
    CHECK_EQ(tcache_read_workspace().clean, 1);
    tcache_age("ws/config.json", 5); /* time alone: hashed again, equal */
    struct str before = tcache_read("ws/.mlxk_workspace.json");
    CHECK_EQ(tcache_read_workspace().clean, 1);
    CHECK_STR(tcache_read("ws/.mlxk_workspace.json"), before);   /* reading never writes */
    tcache_put("ws/config.json",
               "{\"model_type\":\"llama\",\"quantization\":{\"bits\":8,\"group_size\":64}}");
    CHECK_EQ(tcache_read_workspace().clean, 0);
    CHECK_OK(cache_workspace_rehash(&tcache.arena, tcache_path("ws"), NULL, &tcache.e), tcache.e);
    CHECK_EQ(tcache_read_workspace().clean, 1);
    tcache_put("ws/new.txt", "x");
    CHECK_EQ(tcache_read_workspace().clean, 0);
}

TEST(cache_workspace_refuses_what_it_cannot_trust) {
    struct { const char *index; int clean;
    } cases[] = {
        { "[{\"path\":\"../x\",\"size\":1}]", -1 },
        { "[{\"path\":\"/etc/passwd\",\"size\":1}]", -1 },
        { "[{\"path\":\"a\\\\b\",\"size\":1}]", -1 },
        { "[{\"path\":\"\",\"size\":1}]", -1 },
        { "[{\"path\":\"C:x\",\"size\":1}]", -1 },
        { "[{\"path\":\"a\\u0000b\",\"size\":1}]", -1 },
        { "[{\"path\":\"a/../b\",\"size\":1}]", -1 },
        { "[7]", -1 },
        { "\"x\"", -1 },
        { "null", -1 },
        { "[{\"path\":\"x\",\"size\":1}]", 0 },
        { "[]", 0 },
    };
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        char sentinel[600];
        snprintf(sentinel, sizeof sentinel,
                 "{\"managed\":true," SENTINEL ",\"hash_algorithm\":\"v2\",\"file_index\":%s}",
                 cases[i].index);
        tcache_workspace(sentinel);
        CHECK_EQ(tcache_read_workspace().clean, cases[i].clean);
    }
    const char *none[] = { "", "{", "[]", "null", "{\"managed\":\"yes\"}" };
    for (size_t i = 0; i < MLXK_COUNT(none); i++) {
        tcache_workspace(none[i]);
        CHECK(!tcache_read_workspace().managed);
        CHECK_ERR(cache_workspace_rehash(&tcache.arena, tcache_path("ws"), NULL, &tcache.e),
                  tcache.e, ERR_UNSUPPORTED);
    }
    tcache_workspace("{\"managed\":true," SENTINEL "}");
    CHECK_OK(os_symlink("../outside", tcache_path("ws/link"), &tcache.e), tcache.e);
    CHECK_ERR(cache_workspace_rehash(&tcache.arena, tcache_path("ws"), NULL, &tcache.e), tcache.e,
              ERR_FORMAT);
    CHECK(os_unlink(tcache_path("ws/link"), &tcache.e) &&
          os_symlink("b", tcache_path("ws/a"), &tcache.e) &&
          os_symlink("a", tcache_path("ws/b"), &tcache.e));
    CHECK_ERR(cache_workspace_rehash(&tcache.arena, tcache_path("ws"), NULL, &tcache.e), tcache.e,
              ERR_FORMAT);
    CHECK(os_unlink(tcache_path("ws/a"), &tcache.e) && os_unlink(tcache_path("ws/b"), &tcache.e));
    tcache_put("ws/z.safetensors", "\xff\xff\xff\xff\xff\xff\xff\xff");
    CHECK_ERR(cache_workspace_rehash(&tcache.arena, tcache_path("ws"), NULL, &tcache.e), tcache.e,
              ERR_FORMAT);
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

/* Two snapshots that share config.json; weights of their own; one blob is a link into a shared store. */
static void tcache_two_snapshots(void) {
    struct err e = { 0 };
    const char *contents[] = { "shared", "weights a", "weights b" };
    char etags[3][65];
    for (size_t i = 0; i < 3; i++) {
        sha256_hex(str_cstr(contents[i]), etags[i]);
        CHECK_OK(tcache_store_blob(etags[i], contents[i], &e), e);
    }
    for (size_t i = 0; i < 2; i++) {
        struct str commit = i ? STR(COMMIT_B) : STR(COMMIT_A);
        CHECK_OK(
            cache_link(&tcache.cache, REPO, commit, STR("config.json"), str_cstr(etags[0]), &e) &&
                cache_link(&tcache.cache, REPO, commit, STR("d/w.safetensors"),
                           str_cstr(etags[1 + i]), &e) &&
                cache_tree_write(&tcache.cache, REPO, commit, NULL, 0, &e),
            e);
    }
    CHECK_OK(cache_ref_write(&tcache.cache, REPO, STR("main"), STR(COMMIT_B), &e) &&
             cache_ref_write(&tcache.cache, REPO, STR("refs/pr/1"), STR(COMMIT_A), &e), e);
    tcache_put("blobs/ab/payload", "shared payload");
    CHECK_OK(
        os_symlink("../../blobs/ab/payload", tcache_path("models--org--name/blobs/viastore"), &e),
        e);
    CHECK_OK(cache_link(&tcache.cache, REPO, STR(COMMIT_A), STR("big.bin"), STR("viastore"), &e),
             e);
}

TEST(cache_removes_one_snapshot) {
    struct cache_removal removal;
    tcache_begin("rm-one");
    tcache_two_snapshots();
    tcache_put("models--org--name/.no_exist/" COMMIT_A "/x", "");
    CHECK_OK(cache_remove(&tcache.arena, &tcache.cache, REPO, STR(COMMIT_A), &removal, &tcache.e),
             tcache.e);
    CHECK(!tcache_exists("models--org--name/snapshots/" COMMIT_A) &&
          !tcache_exists("models--org--name/trees/" COMMIT_A ".json"));
    CHECK(!tcache_exists("models--org--name/refs/refs/pr/1") &&
          !tcache_exists("models--org--name/.no_exist/" COMMIT_A));
    CHECK_STR(tcache_read("models--org--name/snapshots/" COMMIT_B "/config.json"), STR("shared"));
    CHECK_STR(tcache_read("models--org--name/snapshots/" COMMIT_B "/d/w.safetensors"),
              STR("weights b"));
    CHECK_STR(tcache_read("models--org--name/refs/main"), STR(COMMIT_B));
    CHECK_STR(tcache_read("blobs/ab/payload"), STR("shared payload")); /* other repos may use it */
    CHECK(!tcache_exists("models--org--name/blobs/viastore"));
    struct os_entry *entries;
    size_t n;
    CHECK(os_list_dir(&tcache.arena, tcache_path("models--org--name/blobs"), 100, &entries, &n,
                      &tcache.e) &&
          n == 2);
    CHECK(removal.freed_bytes >= strlen("weights a"));
    CHECK_OK(cache_remove(&tcache.arena, &tcache.cache, REPO, STR(COMMIT_B), &removal, &tcache.e),
             tcache.e); /* the last one: all of it */
    CHECK(!tcache_exists("models--org--name") && !tcache_exists(".locks/models--org--name"));
    CHECK_STR(tcache_read("blobs/ab/payload"), STR("shared payload"));
}

TEST(cache_removes_a_repo_and_nothing_else) {
    struct cache_removal removal;
    tcache_begin("rm-all");
    tcache_two_snapshots();
    tcache_repo("org/name2", COMMIT_A, tcache_model);
    tcache_put(".locks/models--org--name2/x.lock", "");
    tcache_put("keep/file", "outside");
    CHECK_OK(os_symlink("../../../../keep",
                        tcache_path("models--org--name/snapshots/" COMMIT_A "/out"), &tcache.e),
             tcache.e);
    CHECK_OK(cache_remove(&tcache.arena, &tcache.cache, REPO, STR_EMPTY, &removal, &tcache.e),
             tcache.e);
    CHECK(!tcache_exists("models--org--name") && !tcache_exists(".locks/models--org--name") &&
          removal.n_lock_files == 3);
    CHECK(tcache_exists("models--org--name2/snapshots") &&
          tcache_exists(".locks/models--org--name2/x.lock"));
    CHECK_STR(tcache_read("keep/file"), STR("outside"));
    CHECK_STR(tcache_read("blobs/ab/payload"), STR("shared payload"));
    CHECK_OK(os_symlink("keep", tcache_path("models--l--link"), &tcache.e), tcache.e);
    CHECK_OK(
        cache_remove(&tcache.arena, &tcache.cache, STR("l/link"), STR_EMPTY, &removal, &tcache.e),
        tcache.e);
    CHECK(!tcache_exists("models--l--link"));
    CHECK_STR(tcache_read("keep/file"), STR("outside"));
    CHECK_OK(cache_remove(&tcache.arena, &tcache.cache, STR("never/there"), STR_EMPTY, &removal,
                          &tcache.e),
             tcache.e);
    CHECK_ERR(cache_remove(&tcache.arena, &tcache.cache, STR(""), STR_EMPTY, &removal, &tcache.e),
              tcache.e, ERR_INVALID);
    CHECK_ERR(cache_remove(&tcache.arena, &tcache.cache, REPO, STR("../.."), &removal, &tcache.e),
              tcache.e, ERR_INVALID);
}

#define STORE "blobs/ab/ab" H62
#define H62 "11111111112222222222333333333344444444445555555555666666666677"
#define LINK_OF(repo) repo "/blobs/big"

/* A payload in a store of other clients, linked by two repos; the manifest has these lines. */
static void tcache_shared(const char *marker_cstr, const char *manifest_cstr) {
    struct err e = { 0 };
    tcache_put(STORE, "shared payload");
    if (marker_cstr) {
        tcache_put("blobs/.huggingface-shared-blobs", marker_cstr);
    }
    if (manifest_cstr) {
        tcache_put(STORE ".refs", manifest_cstr);
    }
    tcache_put("models--org--name/snapshots/" COMMIT_A "/config.json", "{}");
    tcache_put("models--b--b/blobs/own", "own");
    tcache_put("models--org--name/blobs/own", "own");
    CHECK_OK(os_symlink("../../" STORE, tcache_path(LINK_OF("models--org--name")), &e) &&
             os_symlink("../../" STORE, tcache_path(LINK_OF("models--b--b")), &e), e);
}

TEST(cache_lets_go_of_shared_payloads) {
    static const char both[] = LINK_OF("models--org--name") "\n" LINK_OF("models--b--b") "\n";
    static const struct { const char *marker, *manifest; bool first, second; } rows[] = {
        { "1\n", both, true, false },             /* the payload after one removal and after both */
        { "1\n", LINK_OF("models--org--name") "\n", false, false }, /* unlisted links do not count */
        { "1\n", NULL, true, true },             /* no manifest: never */
        { NULL, both, true, true },              /* no marker: somebody's folder */
        { "2\n", both, true, true },             /* a store of a later kind */
        { "1\n", "/models--b--b/blobs/big\n../x/blobs/big\nmodels--b--b/blobs/../big\n", false, false },
    };
    struct cache_removal removal;
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        tcache_begin("shared");
        tcache_shared(rows[i].marker, rows[i].manifest);
        CHECK_OK(cache_remove(&tcache.arena, &tcache.cache, REPO, STR_EMPTY, &removal, &tcache.e),
                 tcache.e);
        CHECK(tcache_exists(STORE) == rows[i].first && !tcache_exists("models--org--name"));
        CHECK(rows[i].first || removal.freed_bytes == strlen("shared payload") + strlen("{}own"));
        if (i == 0) {
            CHECK_STR(tcache_read(STORE ".refs"), STR(LINK_OF("models--b--b") "\n"));
        }
        CHECK_OK(cache_remove(&tcache.arena, &tcache.cache, STR("b/b"), STR_EMPTY, &removal,
                              &tcache.e), tcache.e);
        CHECK(tcache_exists(STORE) == rows[i].second);
        CHECK(tcache_exists(STORE ".refs") == (rows[i].second && rows[i].manifest));
    }
}

TEST(cache_knows_links_into_the_store) {
    static const struct { const char *target; bool is; } rows[] = {
        { "../../" STORE, true }, { STORE, false }, { "../" STORE, false }, { "../../../" STORE, false },
        { "../../blobs/ac/ab" H62, false }, { "../../blobs/ab/ab" H62 "1", false },
        { "../../blobs/ab/AB" H62, false }, { "../../blobs/ab/../ab/x", false }, { "", false },
        { "/elsewhere/" STORE, false }, { "../../blobs/ab/", false }, { "ab/ab" H62, false },
    };
    char path[LIMIT_PATH];
    tcache_begin("links");
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        bool is = cache_shared_payload(&tcache.cache, str_cstr(rows[i].target), path);
        CHECK_EQ(is, rows[i].is);
        CHECK(!is || !strcmp(path, tcache_path(STORE)));
    }
    struct str absolute = str_cstr(tcache_path(STORE));
    CHECK(cache_shared_payload(&tcache.cache, absolute, path) && str_eq_cstr(absolute, path));
}

TEST(cache_keeps_a_shared_payload_in_doubt) {
    struct os_lock held;
    uint64_t freed = 0;
    tcache_begin("doubt");
    tcache_shared("1\n", LINK_OF("models--gone") "\n");
    CHECK_OK(os_lock_acquire(&held, tcache_path(STORE ".lock"), 0, &tcache.e), tcache.e);
    os_lock_release(&held);
    CHECK_OK(os_unlink(tcache_path(STORE ".refs"), &tcache.e) &&
             os_symlink("nowhere", tcache_path(STORE ".refs"), &tcache.e), tcache.e);
    CHECK(cache_shared_sweep(&tcache.cache, tcache_path(STORE), &freed, &tcache.e));
    CHECK(tcache_exists(STORE) && freed == 0); /* a manifest that is no file */
    CHECK_OK(os_unlink(tcache_path(STORE ".refs"), &tcache.e), tcache.e);
    tcache_put(STORE ".refs", "\xff\xfe\n");
    CHECK(cache_shared_sweep(&tcache.cache, tcache_path(STORE), &freed, &tcache.e));
    CHECK(tcache_exists(STORE) && freed == 0); /* no text */
}

TEST(cache_finishes_a_removal_that_was_killed) {
    static const char waste[] = ".locks/models--org--name/";
    struct cache_removal removal;
    bool found;
    char text[200];
    tcache_begin("rest");
    tcache_two_snapshots();
    snprintf(text, sizeof text, "%ssnapshot-" COMMIT_A ".removed/links/x", waste);
    tcache_put(text, "");
    CHECK_OK(cache_remove_rest(&tcache.arena, &tcache.cache, REPO, false, &found, &removal,
                               &tcache.e), tcache.e);
    CHECK(found && !tcache_exists(".locks/models--org--name/snapshot-" COMMIT_A ".removed"));
    CHECK(tcache_exists("models--org--name/trees/" COMMIT_A ".json")); /* fetched again since */
    for (int asked = 0; asked < 2; asked++) {
        CHECK_OK(os_mkdirs(tcache_path(".locks/models--org--name/snapshot-" COMMIT_A ".removed"),
                           &tcache.e) &&
                 cache_remove_rest(&tcache.arena, &tcache.cache, REPO, asked, &found, &removal,
                                   &tcache.e), tcache.e);
        CHECK(found && tcache_exists("models--org--name/snapshots/" COMMIT_A) == !asked);
    }
    CHECK_STR(tcache_read("models--org--name/snapshots/" COMMIT_B "/config.json"), STR("shared"));
    tcache_put(".locks/models--org--name/repository.removed/blobs/x", "x");
    CHECK_OK(cache_remove_rest(&tcache.arena, &tcache.cache, REPO, false, &found, &removal,
                               &tcache.e), tcache.e);
    CHECK(found && tcache_exists("models--org--name/snapshots/" COMMIT_B) &&
          tcache_exists(".locks/models--org--name") &&
          !tcache_exists(".locks/models--org--name/repository.removed"));
    CHECK(cache_remove_rest(&tcache.arena, &tcache.cache, REPO, false, &found, &removal,
                            &tcache.e) && !found);
}

TEST(cache_removing_survives_every_failing_call) {
    for (int whole = 0; whole < 2; whole++) {
        bool done = false;
        struct cache_removal removal;
        struct str commit = whole ? STR_EMPTY : STR(COMMIT_A);
        for (long n = 1; n < 200 && !done; n++) {
            tcache_begin("rm-fail");
            tcache_two_snapshots();
            os_file_fail_after(n, 5);
            done = cache_remove(&tcache.arena, &tcache.cache, REPO, commit, &removal, &tcache.e);
            os_file_fail_after(0, 0);
            struct str ref = tcache_read("models--org--name/refs/main");
            const char *left[] = { "models--org--name/snapshots/" COMMIT_A "/config.json",
                                   "models--org--name/snapshots/" COMMIT_B "/config.json" };
            for (size_t i = 0; i < 2; i++) { /* what is still linked is still there */
                CHECK(!tcache_exists(left[i]) || str_eq(tcache_read(left[i]), STR("shared")));
            }
            CHECK(whole || (str_eq(ref, STR(COMMIT_B)) && tcache_exists(left[1])));
            CHECK(!ref.n || tcache_exists("models--org--name/snapshots/" COMMIT_B));
            err_clear(&tcache.e);
            CHECK_OK(cache_remove(&tcache.arena, &tcache.cache, REPO,
                                  done && !whole ? STR(COMMIT_B) : commit, &removal, &tcache.e),
                     tcache.e);
            CHECK(tcache_exists("models--org--name") == (!whole && !done));
            os_remove_tree(tcache.root, &tcache.e);
        }
        CHECK(done);
    }
}

/* ---- copies ---------------------------------------------------------------------------------- */

static bool tcache_copies(struct cache_copies *job, struct err *e) {
    struct cache_copy *files;
    size_t n;
    return cache_copies_plan(&tcache.arena, &tcache.cache, NULL, REPO, STR(COMMIT_A), &files, &n, e)
           && cache_copies_make(tcache_path("ws"), files, n, job, e);
}

TEST(cache_copies_are_whole_and_their_own) {
    struct tcache_names w = tcache_names_of(tcache_weights);
    struct cache_copies job = { 0 };
    char blob[LIMIT_PATH], tree[] = "models--org--name/trees/" COMMIT_A ".json";
    struct os_stat st;
    snprintf(blob, sizeof blob, "models--org--name/blobs/%s", w.sha256);
    tcache_begin("copies");
    CHECK_OK(tcache_store(&tcache.e), tcache.e);
    CHECK_OK(tcache_copies(&job, &tcache.e), tcache.e);
    CHECK_EQ(job.n_copied + job.n_reflinked, 2);
    CHECK_STR(tcache_read("ws/sub/w.safetensors"), str_cstr(tcache_weights));
    CHECK(os_lstat(tcache_path("ws/sub/w.safetensors"), &st) && st.kind == OS_FILE && st.n_links == 1);
    CHECK_OK(os_remove_tree(tcache_path("ws"), &tcache.e), tcache.e);
    CHECK(unlink(tcache_path(tree)) == 0);       /* without a list: what the snapshot shows */
    job = (struct cache_copies){ .hardlink = true };
    CHECK_OK(tcache_copies(&job, &tcache.e), tcache.e);
    CHECK_EQ(job.n_linked, 2);
    CHECK(os_lstat(tcache_path("ws/sub/w.safetensors"), &st) && st.kind == OS_FILE && st.n_links == 2);
    CHECK_OK(os_remove_tree(tcache_path("ws"), &tcache.e), tcache.e);
    tcache_put(blob, "weights, a few BYTES of them");    /* as long, and not the same */
    job = (struct cache_copies){ 0 };
    CHECK_ERR(tcache_copies(&job, &tcache.e), tcache.e, ERR_INTEGRITY);
    CHECK_EQ(job.next, 1);
    CHECK(tcache_exists("ws/config.json") && !tcache_exists("ws/sub/w.safetensors"));
    err_clear(&tcache.e);
    tcache_put(blob, tcache_weights);
    CHECK_OK(tcache_copies(&job, &tcache.e), tcache.e);          /* goes on where it failed */
    CHECK_STR(tcache_read("ws/sub/w.safetensors"), str_cstr(tcache_weights));
}

TEST(cache_copies_survive_every_failing_call) {
    tcache_begin("copyfail");
    CHECK_OK(tcache_store(&tcache.e), tcache.e);
    int n_done = 0, n_failed = 0;                /* two in a row: no call is left to fail; a reflink may */
    for (long n = 1; n < 100 && n_done < 2; n++) {
        struct cache_copies job = { 0 };
        err_clear(&tcache.e);
        os_file_fail_after(n, ENOSPC);
        bool done = tcache_copies(&job, &tcache.e);
        os_file_fail_after(0, 0);
        CHECK(done || tcache.e.code == ERR_DISK_FULL);
        struct str have = tcache_read("ws/sub/w.safetensors");   /* never half of it */
        CHECK(have.n == 0 || str_eq(have, str_cstr(tcache_weights)));
        n_done = done ? n_done + 1 : 0;
        n_failed += !done;
        err_clear(&tcache.e);
        CHECK_OK(os_remove_tree(tcache_path("ws"), &tcache.e), tcache.e);
    }
    CHECK(n_done == 2 && n_failed > 8);
}

static bool tcache_copies_fail_at(long n) {
    struct cache_copies job = { 0 };
    err_clear(&tcache.e);
    os_file_fail_after(n, ENOSPC);
    bool done = tcache_copies(&job, &tcache.e);
    os_file_fail_after(0, 0);
    CHECK(done || tcache.e.code == ERR_DISK_FULL);
    err_clear(&tcache.e);
    CHECK_OK(os_remove_tree(tcache_path("ws"), &tcache.e), tcache.e);
    return !done;
}

/* The last call whose failure ends a copy. That of a reflink does not: two in a row are tried. */
static long tcache_copies_last_call(void) {
    long low = 1, high = 2000;
    while (low + 1 < high) {
        long n = (low + high) / 2;
        if (tcache_copies_fail_at(n) || tcache_copies_fail_at(n + 1)) low = n;
        else high = n;
    }
    return low;
}

/* Many small files are synced by one call, and not by one for each; its failure is told. */
TEST(cache_copies_sync_many_at_once) {
    struct tcache_names w = tcache_names_of(tcache_weights);
    char name[32];
    tcache_begin("copymany");
    CHECK_OK(tcache_store(&tcache.e), tcache.e);
    CHECK(unlink(tcache_path("models--org--name/trees/" COMMIT_A ".json")) == 0);
    for (int i = 2; i < 64; i++) {
        snprintf(name, sizeof name, "sub/%d", i);
        CHECK_OK(cache_link(&tcache.cache, REPO, STR(COMMIT_A), str_cstr(name), str_cstr(w.sha256), &tcache.e), tcache.e);
    }
    long one_by_one = tcache_copies_last_call();
    CHECK_OK(cache_link(&tcache.cache, REPO, STR(COMMIT_A), STR("sub/64"), str_cstr(w.sha256), &tcache.e), tcache.e);
    long at_once = tcache_copies_last_call();
#ifdef __linux__
    CHECK(at_once < one_by_one - 40);
#endif
    for (long n = at_once - 3; n < at_once; n++) CHECK(tcache_copies_fail_at(n));     /* also that of the one call */
    CHECK(one_by_one > 64 && one_by_one < 1000);
}

TEST(cache_makes_workspaces) {
    struct cache_origin from = { .operation = STR("convert"), .source_repo = STR("o/m"),
                                 .source_revision = STR(COMMIT_A), .version = STR("1.2.3"),
                                 .more_json = STR("\"mode\": \"quantize\"") };
    tcache_workspace(NULL);
    CHECK_OK(cache_workspace_create(&tcache.arena, tcache_path("ws"), &from, NULL, &tcache.e), tcache.e);
    struct cache_workspace ws = tcache_read_workspace();
    CHECK(ws.managed && ws.clean == 1 && json_get(ws.document, "mode"));
    CHECK_STR(ws.origin, STR("o/m"));
    CHECK_STR(ws.content_hash,
              STR("sha256:f5b826f4ae9535a1d5d75c94eb86680222951e1d2d68949b534df91bcf686b0d"));
    tcache_put("ws/model.safetensors", "none");  /* no header: managed, without a hash */
    tcache_put("ws/.mlxk_workspace.json", "{}");
    from.source_revision = STR_EMPTY;
    CHECK_OK(cache_workspace_create(&tcache.arena, tcache_path("ws"), &from, NULL, &tcache.e), tcache.e);
    ws = tcache_read_workspace();
    CHECK(ws.managed && ws.content_hash.n == 0 && ws.clean == -1);
    CHECK(json_is(json_get(ws.document, "source_revision"), JSON_NULL));
}

TEST(cache_locks_of_exactly_one_repo) {
    struct cache_locks locks;
    struct os_lock held;
    tcache_begin("locks");
    CHECK_OK(cache_locks_read(&tcache.arena, &tcache.cache, REPO, &locks, &tcache.e), tcache.e);
    CHECK_EQ(locks.n, 0);
    tcache_put("models--org--name/blobs/done", "x");
    tcache_put(".locks/models--org--name/done.lock", "");
    tcache_put(".locks/models--org--name2/other.lock", "");
    CHECK(cache_locks_read(&tcache.arena, &tcache.cache, REPO, &locks, &tcache.e) && locks.n == 1 &&
          locks.n_open == 0);
    CHECK_STR(locks.files[0], STR(".locks/models--org--name/done.lock"));
    CHECK_OK(
        os_lock_acquire(&held, tcache_path(".locks/models--org--name/done.lock"), 0, &tcache.e),
        tcache.e);
    CHECK(cache_locks_read(&tcache.arena, &tcache.cache, REPO, &locks, &tcache.e) &&
          locks.n_held == 1 && locks.n_open == 1);
    os_lock_release(&held);
    tcache_put(".locks/models--org--name/" COMMIT_A ".lock", "");   /* of a blob that went since */
    CHECK(cache_locks_read(&tcache.arena, &tcache.cache, REPO, &locks, &tcache.e) && locks.n == 2 &&
          locks.n_open == 0);
    tcache_put("models--org--name/blobs/" COMMIT_A ".0123abcd.incomplete", "x");
    CHECK(cache_locks_read(&tcache.arena, &tcache.cache, REPO, &locks, &tcache.e) && locks.n == 2 &&
          locks.n_open == 1);
    CHECK_OK(os_unlink(tcache_path(".locks/models--org--name/" COMMIT_A ".lock"), &tcache.e), tcache.e);
    tcache_put(".locks/models--org--name/unfinished.lock", "");
    CHECK(cache_locks_read(&tcache.arena, &tcache.cache, REPO, &locks, &tcache.e) && locks.n == 2 &&
          locks.n_held == 0 && locks.n_open == 1);
}

/* ---- room on the disk ------------------------------------------------------------------------ */

TEST(cache_notes_of_room_are_read_with_care) {
    static const char *const bad[] = { "", "1 a\n", "00000000000000000001 a", "00000000000000000001\n",
                                       "-0000000000000000001 a\n", "99999999999999999999 a\n",
                                       "0000000000000000000x a\n", "000000000000000000001 a\n" };
    uint64_t bytes = 0;
    struct str brings = STR_EMPTY;
    for (size_t i = 0; i < MLXK_COUNT(bad); i++)
        CHECK(!cache_room_parse(str_cstr(bad[i]), &bytes, &brings));
    CHECK(cache_room_parse(STR("00000000000000000042 org/name@main x\n"), &bytes, &brings));
    CHECK_EQ(bytes, 42);
    CHECK_STR(brings, STR("org/name@main x"));
}

TEST(cache_room_counts_others_that_live) {
    struct cache_room mine, other;
    struct os_entry *entries;
    struct os_room room;
    size_t n = 0;
    struct err e = { 0 };
    tcache_begin("room");
    CHECK_OK(os_mkdirs(tcache.root, &tcache.e), tcache.e);
    CHECK_OK(os_room_read(tcache.root, &room, &tcache.e), tcache.e);
    uint64_t most = room.free_bytes / 4 * 3;
    CHECK_OK(cache_room_take(&tcache.cache, STR("a/b@1"), most, 0, &mine, &tcache.e), tcache.e);
    CHECK(!cache_room_take(&tcache.cache, STR("a/b@2"), most, 0, &other, &e));
    CHECK(e.code == ERR_DISK_FULL && strstr(e.msg, "another download") && other.note.fd < 0);
    err_clear(&e);
    CHECK(!cache_room_check(&tcache.cache, STR_EMPTY, most, 0, &e) && e.code == ERR_DISK_FULL);
    CHECK_OK(cache_room_check(&tcache.cache, STR("a/b@1"), most, 0, &tcache.e), tcache.e);
    cache_room_tell(&mine, 1000);
    CHECK_OK(cache_room_check(&tcache.cache, STR("a/b@2"), most, 0, &tcache.e), tcache.e);
    cache_room_give(&mine);
    CHECK(!tcache_exists(".locks/mlxk-room"));
    tcache_put(".locks/mlxk-room/0123.lock", "00009000000000000000 gone/away@1\n");   /* killed */
    CHECK_OK(cache_room_check(&tcache.cache, STR("a/b@2"), most, 0, &tcache.e), tcache.e);
    CHECK_OK(cache_room_take(&tcache.cache, STR("a/b@2"), most, 0, &mine, &tcache.e), tcache.e);
    CHECK_OK(os_list_dir(&tcache.arena, tcache_path(".locks/mlxk-room"), 10, &entries, &n,
                         &tcache.e), tcache.e);
    CHECK_EQ(n, 1);
    cache_room_give(&mine);
    cache_room_give(&mine);                      /* twice is once */
}

TEST_LIST(cache){ T(cache_names_of_repos),
                  T(cache_names_of_files),
                  T(cache_names_of_blobs),
                  T(cache_names_of_folders),
                  T(cache_names_of_kinds),
                  T(cache_root_from_the_environment),
                  T(cache_stores_a_repo),
                  T(cache_writer_refuses_wrong_bytes),
                  T(cache_writer_goes_on_from_a_download),
                  T(cache_parts_forget_what_cannot_be),
                  T(cache_parts_wait_for_a_lease),
                  T(cache_parts_yield_to_who_took_over),
                  T(cache_parts_revive_beside_others),
                  T(cache_parts_distrust_after_a_flush), T(cache_parts_keep_what_is_there),
                  T(cache_parts_lost_behind),
                  T(cache_names_that_are_not_taken),
                  T(cache_parts_finished_elsewhere),
                  T(cache_parts_out_of_order),
                  T(cache_parts_hash_what_lies_in_memory),
                  T(cache_parts_whole_answers_and_wrong_bytes),
                  T(cache_parts_do_not_believe_touched_files),
                  T(cache_small_blobs_have_one_lock),
                  T(cache_parts_survive_every_failing_call),
                  T(cache_temps_of_the_gone_are_swept),
                  T(cache_never_writes_through_a_link),
                  T(cache_link_replaces_and_copies),
                  T(cache_trees_and_refs_of_others),
                  T(cache_survives_every_failing_call),
                  T(cache_survives_a_kill_at_every_call),
                  T(cache_resolves_names),
                  T(cache_resolves_snapshots),
                  T(cache_resolves_workspaces),
                  T(cache_lists_everything_once),
                  T(cache_orders_repos_as_their_folders),
                  T(cache_health_in_upstreams_words),
                  T(cache_health_bears_broken_entries),
                  T(cache_detects_kinds),
                  T(cache_workspace_hash_is_the_reference_one),
                  T(cache_workspace_refuses_what_it_cannot_trust),
                  T(cache_removes_one_snapshot),
                  T(cache_removes_a_repo_and_nothing_else),
                  T(cache_lets_go_of_shared_payloads),
                  T(cache_knows_links_into_the_store),
                  T(cache_keeps_a_shared_payload_in_doubt),
                  T(cache_finishes_a_removal_that_was_killed),
                  T(cache_removing_survives_every_failing_call),
                  T(cache_copies_are_whole_and_their_own),
                  T(cache_copies_survive_every_failing_call), T(cache_copies_sync_many_at_once),
                  T(cache_makes_workspaces),
                  T(cache_locks_of_exactly_one_repo),
                  T(cache_notes_of_room_are_read_with_care), T(cache_room_counts_others_that_live),
                  TEST_END };

#undef COMMIT_A
#undef COMMIT_B
#undef REPO
#undef STORE
#undef H62
#undef LINK_OF
#undef TC_SNAPSHOT
#undef CONFIG
#undef A
#undef W
#undef S1
#undef S2
#undef INDEX
#undef LFS
#undef LLAVA
#undef C
#undef README
#undef SENTINEL
