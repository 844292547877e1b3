/* test_serve.c: routes of the hub, file lists from trees and snapshots, who may pass. The mirror as a
 * whole: tests/cli/8*-mirror*.sh.
 */
#include "serve/mirror_int.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- routes ---------------------------------------------------------------------------------------- */

TEST(routes) {
    static const struct { const char *path; enum mirror_kind kind; enum mirror_type type; const char *repo, *revision, *file; } rows[] = {
        { "/", MIRROR_ROOT, 0, "", "", "" },
        { "/health", MIRROR_HEALTH, 0, "", "", "" },
        { "/ready", MIRROR_READY, 0, "", "", "" },
        { "/nope", MIRROR_UNKNOWN, 0, "", "", "" },
        { "/api/whoami-v2", MIRROR_WHOAMI, 0, "", "", "" },
        { "/api/models", MIRROR_LIST, 0, "", "", "" },
        { "/api/datasets/o/d", MIRROR_INFO, MIRROR_DATASETS, "o/d", "", "" },
        { "/api/models/gpt2", MIRROR_INFO, 0, "gpt2", "", "" },
        { "/api/models/gpt2/revision/main", MIRROR_INFO, 0, "gpt2", "main", "" },
        { "/api/models/o/m/revision/refs%2Fpr%2F1", MIRROR_INFO, 0, "o/m", "refs/pr/1", "" },
        { "/api/models/o/m/revision/refs/pr/1", MIRROR_INFO, 0, "o/m", "refs/pr/1", "" },
        { "/api/models/o/m/tree/main", MIRROR_TREE, 0, "o/m", "main", "" },
        { "/api/models/o/m/tree/main/a%2Fb", MIRROR_TREE, 0, "o/m", "main", "a/b" },
        { "/api/models/o/m/tree/main/a/b", MIRROR_TREE, 0, "o/m", "main", "a/b" },
        { "/api/models/o/m/paths-info/main", MIRROR_PATHS, 0, "o/m", "main", "" },
        { "/api/models/o/m/refs", MIRROR_REFS, 0, "o/m", "", "" },
        { "/api/models/o/m/commits/main", MIRROR_COMMITS, 0, "o/m", "main", "" },
        { "/api/models/o/m/xet-read-token/main", MIRROR_UNKNOWN, 0, "", "", "" },
        { "/api/models/o/m/revision", MIRROR_UNKNOWN, 0, "", "", "" },
        { "/o/m/resolve/main/a/b.txt", MIRROR_RESOLVE, 0, "o/m", "main", "a/b.txt" },
        { "/gpt2/resolve/main/x", MIRROR_RESOLVE, 0, "gpt2", "main", "x" },
        { "/datasets/o/m/resolve/refs%2Fconvert%2Fparquet/x", MIRROR_RESOLVE, MIRROR_DATASETS, "o/m", "refs/convert/parquet", "x" },
        { "/spaces/o/m/resolve/refs/pr/2/x", MIRROR_RESOLVE, MIRROR_SPACES, "o/m", "refs/pr/2", "x" },
        { "/models/o/m/resolve/main/x", MIRROR_RESOLVE, 0, "o/m", "main", "x" },
        { "/o/m/resolve/main", MIRROR_UNKNOWN, 0, "", "", "" },
        { "/o/m/resolve/main/", MIRROR_UNKNOWN, 0, "", "", "" },
        { "/o//m/resolve/main/x", MIRROR_UNKNOWN, 0, "", "", "" },
        { "/o/m/x/resolve/main/x", MIRROR_UNKNOWN, 0, "", "", "" },
        { "/o/m/resolve/main/%zz", MIRROR_UNKNOWN, 0, "", "", "" },
        { "", MIRROR_UNKNOWN, 0, "", "", "" },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct arena a;
        struct mirror_route r;
        arena_init(&a, 1 << 20);
        mirror_route_parse(&a, str_cstr(rows[i].path), &r);
        if (r.kind != rows[i].kind || (r.kind && (r.type != rows[i].type || !str_eq_cstr(r.repo, rows[i].repo)
            || !str_eq_cstr(r.revision, rows[i].revision) || !str_eq_cstr(r.path, rows[i].file))))
            test_fail(__FILE__, __LINE__, "%s: kind %d, " STR_FMT " @ " STR_FMT " : " STR_FMT, rows[i].path, (int)r.kind, STR_ARG(r.repo),
                      STR_ARG(r.revision), STR_ARG(r.path));
        struct str kind = str_cstr(rows[i].type == MIRROR_DATASETS ? "datasets/" : rows[i].type == MIRROR_SPACES ? "spaces/" : "");
        if (r.kind) CHECK_STR(r.name, r.repo.n ? str_concat(&a, kind, r.repo) : r.repo);
        arena_release(&a);
    }
}

TEST(queries) {
    struct arena a;
    arena_init(&a, 1 << 20);
    CHECK_STR(mirror_query(&a, STR("a=1&search=x+y%2Fz"), "search"), STR("x y/z"));
    CHECK(mirror_query(&a, STR("a=1"), "b").p == NULL);
    CHECK(mirror_query_true(&a, STR("blobs=True"), "blobs") && mirror_query_true(&a, STR("x&blobs=1"), "blobs"));
    CHECK(!mirror_query_true(&a, STR("blobs=false"), "blobs") && !mirror_query_true(&a, STR("blobs"), "blobs"));
    arena_release(&a);
}

/* ---- lists ------------------------------------------------------------------------------------------- */

#define SERVE_COMMIT "0123456789012345678901234567890123456789"
static const char serve_sha[] = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";   /* "hello world" */

static void serve_file(const char *dir, const char *name, const char *text) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (f) { fputs(text, f); fclose(f); }
}

static void serve_folder(const char *dir, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    mkdir(path, 0700);
}

TEST(pointers) {
    char oid[65];
    size_t n = cache_lfs_pointer(str_cstr(serve_sha), 11, oid);
    CHECK_EQ(n, 127);
    CHECK_STR(str_cstr(oid), STR("923fac50044b84b71ee8fa90d7d820c14e8fd79d"));
}

TEST(lists) {
    struct mirror *m = calloc(1, sizeof *m);
    struct err e = { 0 };
    struct str commit = STR(SERVE_COMMIT);
    char dir[300], path[600];
    size_t from, to;
    os_mutex_init(&m->mutex);
    snprintf(dir, sizeof dir, "%s/models--o--m", test_scratch_dir());
    mkdir(dir, 0700);
    for (const char *const *name = (const char *const[]){ "blobs", "refs", "trees", "snapshots", "snapshots/" SERVE_COMMIT, "snapshots/" SERVE_COMMIT "/sub", NULL }; *name; name++)
        serve_folder(dir, *name);
    snprintf(path, sizeof path, "blobs/%s", serve_sha);
    serve_file(dir, path, "hello world");
    snprintf(path, sizeof path, "../../blobs/%s", serve_sha);
    char link_path[600];
    snprintf(link_path, sizeof link_path, "%s/snapshots/" SERVE_COMMIT "/weights", dir);
    CHECK_EQ(symlink(path, link_path), 0);
    serve_file(dir, "snapshots/" SERVE_COMMIT "/sub/plain", "Hello, World!");
    CHECK(mirror_list_get(m, dir, commit, false, &e) == NULL && e.code == ERR_OK);
    struct mirror_list *l = mirror_list_get(m, dir, commit, true, &e);
    CHECK(l && l->n == 2);
    if (l) {
        const struct mirror_file *w = mirror_list_find(l, STR("weights")), *p = mirror_list_find(l, STR("sub/plain"));
        CHECK(w && w->lfs && w->size_bytes == 11 && str_eq_cstr(w->etag, serve_sha));
        CHECK(p && !p->lfs && str_eq_cstr(p->git_oid, "b45ef6fec89518d314f546fd6c3025367b721684"));
        mirror_list_below(l, STR("sub"), &from, &to);
        CHECK(to - from == 1);
        mirror_list_below(l, STR("su"), &from, &to);
        CHECK(to == from);
    }
    mirror_list_give(m, l);
    serve_file(dir, "trees/" SERVE_COMMIT ".json", "{\"format_version\": 1, \"files\": {\"a\": {\"size\": 3, \"blob_id\": \"" SERVE_COMMIT "\"}}}");
    l = mirror_list_get(m, dir, commit, true, &e);
    CHECK(l && l->n == 1 && !l->computed);
    mirror_list_give(m, l);
    serve_file(dir, "trees/" SERVE_COMMIT ".json", "{\"format_version\": 1, \"files\": {\"../a\": {\"size\": 3, \"blob_id\": \"" SERVE_COMMIT "\"}}}");
    l = mirror_list_get(m, dir, commit, false, &e);
    CHECK(l == NULL);
    for (int i = 0; i < MIRROR_LISTS; i++) mirror_list_give(m, m->lists[i]);
    free(m);
}

TEST(commits) {
    struct arena a;
    char dir[300];
    arena_init(&a, 1 << 20);
    snprintf(dir, sizeof dir, "%s/models--o--c", test_scratch_dir());
    mkdir(dir, 0700);
    serve_folder(dir, "refs");
    serve_folder(dir, "snapshots");
    serve_folder(dir, "snapshots/" SERVE_COMMIT);
    serve_file(dir, "refs/main", SERVE_COMMIT "\n");
    serve_file(dir, "refs/bad", "../../../etc");
    serve_file(dir, "refs/gone", "9999999999999999999999999999999999999999");
    CHECK_STR(mirror_local_commit(&a, dir, STR("main")), STR(SERVE_COMMIT));
    CHECK_STR(mirror_local_commit(&a, dir, STR(SERVE_COMMIT)), STR(SERVE_COMMIT));
    CHECK_STR(mirror_local_commit(&a, dir, STR("0123456")), STR(SERVE_COMMIT));
    static const char *const none[] = { "012345", "0123457", "bad", "gone", "nope", "../refs/main", "", "9999999999999999999999999999999999999999" };
    for (size_t i = 0; i < MLXK_COUNT(none); i++) CHECK_EQ(mirror_local_commit(&a, dir, str_cstr(none[i])).n, 0);
    arena_release(&a);
}

/* ---- who may pass --------------------------------------------------------------------------------------- */

static enum serve_verdict serve_ask(struct serve_guard *g, const char *host, const char *name, const char *value) {
    struct http_header h = { str_cstr(name), str_cstr(value) };
    struct httpd_exchange x = { .host = str_cstr(host), .headers = &h, .n_headers = name ? 1 : 0, .peer_cstr = "127.0.0.1" };
    return serve_guard_ask(g, &x, false);
}

TEST(guards) {
    struct err e = { 0 };
    char path[300];
    snprintf(path, sizeof path, "%s/keys", test_scratch_dir());
    serve_file(test_scratch_dir(), "keys", "# comment\nabcdefgh\n");
    CHECK(serve_is_loopback(STR("127.0.0.1")) && serve_is_loopback(STR("127.9.9.9")) && serve_is_loopback(STR("localhost")) && serve_is_loopback(STR("::1")));
    CHECK(!serve_is_loopback(STR("")) && !serve_is_loopback(STR("0.0.0.0")) && !serve_is_loopback(STR("128.0.0.1")) && !serve_is_loopback(STR("localhost.evil")));
    struct serve_guard_options o = { .host = STR("0.0.0.0") };
    CHECK_ERR(serve_guard_open(&o, &e), e, ERR_INVALID);
    o = (struct serve_guard_options){ .host = STR("127.0.0.1"), .key_file_cstr = path };
    struct serve_guard *g = serve_guard_open(&o, &e);
    CHECK(g != NULL);
    if (!g) return;
    CHECK_EQ(serve_ask(g, "localhost", "Authorization", "Bearer abcdefgh"), SERVE_PASS);
    CHECK_EQ(serve_ask(g, "127.0.0.1:80", "authorization", "bearer abcdefgh"), SERVE_PASS);
    CHECK_EQ(serve_ask(g, "[::1]:80", "X-Api-Key", "abcdefgh"), SERVE_PASS);
    CHECK_EQ(serve_ask(g, "localhost", "Authorization", "Bearer abcdefg"), SERVE_KEY);
    CHECK_EQ(serve_ask(g, "localhost", "Authorization", "Bearer # comment"), SERVE_KEY);
    CHECK_EQ(serve_ask(g, "localhost", "Authorization", "Bearer "), SERVE_KEY);
    CHECK_EQ(serve_ask(g, "localhost", NULL, NULL), SERVE_KEY);
    CHECK_EQ(serve_ask(g, "evil.example", "Authorization", "Bearer abcdefgh"), SERVE_HOST);
    CHECK_EQ(serve_ask(g, "1.2.3.4.evil", "Authorization", "Bearer abcdefgh"), SERVE_HOST);
    serve_guard_close(g);
}

TEST_LIST(serve){ T(routes), T(queries), T(pointers), T(lists), T(commits), T(guards), TEST_END };
