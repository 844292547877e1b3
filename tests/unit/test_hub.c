/* test_hub.c: settings, answers of the API, filters and refusals. Transfers against a hub with
 * faults: tests/cli/3*-pull*.sh.
 */
#include "hub/hub_xet.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#define HUB_SHA "0123456789abcdef0123456789abcdef01234567"
#define HUB_SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- settings -------------------------------------------------------------------------------- */

static const char *const hub_variables[] = {
    "HF_ENDPOINT",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HUGGINGFACE_HUB_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HOME",
    "XDG_CACHE_HOME",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "MLXK_SLOW_WINDOW_MS",
};

static void hub_clear_settings(void) {
    for (size_t i = 0; i < MLXK_COUNT(hub_variables); i++) unsetenv(hub_variables[i]);
    setenv("HF_HOME", test_scratch_dir(), 1);
}

static bool hub_open_plain(struct arena *a, struct hub *h, struct err *e) {
    struct http_options o = { .user_agent_cstr = "test" };
    err_clear(e);
    return hub_open(a, &o, h, e);
}

TEST(endpoint) {
    static const struct { const char *set, *want;
    } rows[] = {
        { "", "https://huggingface.co" },
        { "https://huggingface.co", "https://huggingface.co" },
        { "HTTPS://Mirror.Example:443//", "https://mirror.example" },
        { "http://127.0.0.1:8080/hub/v1/", "http://127.0.0.1:8080/hub/v1" },
        { " http://h ", "http://h" },
    };
    static const char *const bad[] = { "huggingface.co", "ftp://h",     "http://user:s3cret@h",
                                       "http://h/?x",    "http://h/#x", "http://h:0",
                                       "http://h/a b" };
    struct arena a;
    struct hub h;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    hub_clear_settings();
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        setenv("HF_ENDPOINT", rows[i].set, 1);
        CHECK_OK(hub_open_plain(&a, &h, &e), e);
        CHECK_STR(h.endpoint, str_cstr(rows[i].want));
        hub_close(&h);
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        setenv("HF_ENDPOINT", bad[i], 1);
        CHECK_ERR(hub_open_plain(&a, &h, &e), e, ERR_INVALID);
        CHECK(strstr(e.msg, "HF_ENDPOINT") && !strstr(e.msg, "s3cret"));
    }
    hub_clear_settings();
    arena_release(&a);
}

TEST(file_addresses) {
    struct arena a;
    struct hub h;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    hub_clear_settings();
    setenv("HF_ENDPOINT", "http://h/prefix", 1);
    CHECK_OK(hub_open_plain(&a, &h, &e), e);
    CHECK_STR(hub_file_url(&a, &h, STR("o/m"), STR(HUB_SHA), STR("a/b c#%?+\xc3\xa4.txt")),
              STR("http://h/prefix/o/m/resolve/" HUB_SHA "/a/b%20c%23%25%3F%2B%C3%A4.txt"));
    hub_close(&h);
    hub_clear_settings();
    arena_release(&a);
}

TEST(token_sources) {
    struct arena a;
    struct hub h;
    struct err e = { 0 };
    char path[300];
    arena_init(&a, 1 << 20);
    hub_clear_settings();
    CHECK(hub_open_plain(&a, &h, &e) && h.token.n == 0);
    CHECK_STR(str_cstr(h.token_from_cstr), STR("none"));
    hub_close(&h);
    (void)snprintf(path, sizeof path, "%s/token", test_scratch_dir());
    CHECK_OK(os_write_file(path, STR("hf_from_file\n"), &e), e);
    CHECK(hub_open_plain(&a, &h, &e));
    CHECK_STR(h.token, STR("hf_from_file"));
    CHECK(strstr(h.token_from_cstr, "/token"));
    hub_close(&h);
    (void)snprintf(path, sizeof path, "%s/other", test_scratch_dir());
    CHECK_OK(os_write_file(path, STR(" hf_other \r\n"), &e), e);
    setenv("HF_TOKEN_PATH", path, 1);
    CHECK(hub_open_plain(&a, &h, &e));
    CHECK_STR(h.token, STR("hf_other"));
    hub_close(&h);
    setenv("HUGGING_FACE_HUB_TOKEN", "hf_old", 1);
    CHECK(hub_open_plain(&a, &h, &e));
    CHECK_STR(h.token, STR("hf_old"));
    hub_close(&h);
    setenv("HF_TOKEN", "\thf_new\r\n", 1);
    CHECK(hub_open_plain(&a, &h, &e));
    CHECK_STR(h.token, STR("hf_new"));
    CHECK_STR(str_cstr(h.token_from_cstr), STR("HF_TOKEN"));
    hub_close(&h);
    setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
    CHECK(hub_open_plain(&a, &h, &e) && h.token.n == 0);
    hub_close(&h);
    unsetenv("HF_HUB_DISABLE_IMPLICIT_TOKEN");
    setenv("HF_TOKEN", "hf_two words", 1);
    CHECK_ERR(hub_open_plain(&a, &h, &e), e, ERR_INVALID);
    CHECK(strstr(e.msg, "HF_TOKEN") && !strstr(e.msg, "words"));
    setenv("HF_TOKEN", "hf_line\r\nX: y", 1);
    CHECK_ERR(hub_open_plain(&a, &h, &e), e, ERR_INVALID);
    hub_clear_settings();
    arena_release(&a);
}

TEST(offline) {
    static const char *const names[] = { "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE" };
    struct arena a;
    struct hub h;
    struct err e = { 0 };
    struct cache c;
    struct hub_pull_result result;
    struct hub_pull_options o = { .repo = STR("o/m") };
    arena_init(&a, 1 << 20);
    hub_clear_settings();
    CHECK(cache_open(&a, &c, &e));
    for (size_t i = 0; i < MLXK_COUNT(names); i++) {
        setenv(names[i], "YES", 1);
        CHECK(hub_open_plain(&a, &h, &e) && h.offline);
        CHECK_ERR(hub_pull(&a, &h, &c, &o, &result, &e), e, ERR_NET);
        CHECK(strstr(e.msg, "HF_HUB_OFFLINE"));
        hub_close(&h);
        unsetenv(names[i]);
    }
    hub_clear_settings();
    arena_release(&a);
}

/* ---- answers --------------------------------------------------------------------------------- */

TEST(info) {
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"sha\": null}",
        "{\"sha\": 5}",
        "{\"sha\": \"abc\"}",
        "{\"sha\": \"0123456789ABCDEF0123456789abcdef01234567\"}",
        "{\"sha\": \"../../../../../../../../../../../evil1234\"}",
        "{\"sha\": \"" HUB_SHA "\"",
        "{\"sha\": \"" HUB_SHA "\"} x",
        "{\"sha\": \"" HUB_SHA "\", \"gated\": []}",
    };
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    struct hub_repo r = { 0 };
    CHECK_OK(
        hub_parse_info(
            &a,
            STR("{\"id\": \"o/m\", \"siblings\": [{\"rfilename\": {\"x\": []}}], \"sha\": \"" HUB_SHA
                "\", \"gated\": \"manual\", \"private\": true}"),
            &r, &e),
        e);
    CHECK_STR(r.commit, STR(HUB_SHA));
    CHECK(r.gated && r.is_private);
    r = (struct hub_repo){ 0 };
    CHECK_OK(hub_parse_info(&a,
                            STR("{\"gated\": false, \"private\": null, \"sha\": \"" HUB_SHA "\"}"),
                            &r, &e),
             e);
    CHECK(!r.gated && !r.is_private);
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        r = (struct hub_repo){ 0 };
        CHECK_ERR(hub_parse_info(&a, str_cstr(bad[i]), &r, &e), e, ERR_FORMAT);
    }
    arena_release(&a);
}

#define HUB_FILE(path)                                                                             \
    "{\"type\": \"file\", \"oid\": \"" HUB_SHA "\", \"size\": 3, \"path\": \"" path "\"}"

TEST(tree) {
    struct arena a;
    struct err e = { 0 };
    struct hub_files f = { 0 };
    arena_init(&a, 1 << 20);
    CHECK_OK(
        hub_parse_tree(
            &a,
            STR("[" HUB_FILE(
                "a/b.json") ", {\"type\": \"directory\", \"path\": \"../x\", \"oid\": \"\", \"size\": 0},"
                            "{\"path\": \"m.safetensors\", \"lfs\": {\"size\": 9, \"pointerSize\": 134, \"oid\": \"" HUB_SHA256
                            "\"}, \"type\": \"file\", \"size\": 9,"
                            " \"oid\": \"" HUB_SHA "\", \"xetHash\": \"" HUB_SHA256
                            "\", \"lastCommit\": {\"id\": [1, {\"size\": 5}]}}]"),
            &f, &e),
        e);
    CHECK_EQ(f.n, 2);
    CHECK_STR(f.p[0].path, STR("a/b.json"));
    CHECK_STR(f.p[0].etag, STR(HUB_SHA));
    CHECK(!f.p[0].lfs && f.p[0].size_bytes == 3);
    CHECK_STR(f.p[1].etag, STR(HUB_SHA256));
    CHECK_STR(f.p[1].git_oid, STR(HUB_SHA));
    CHECK_STR(f.p[1].xet_hash, STR(HUB_SHA256));
    CHECK(f.p[1].lfs && f.p[1].size_bytes == 9);
    CHECK_OK(hub_parse_tree(&a, STR("[]"), &f, &e), e);                  /* a last, empty page */
    CHECK_OK(hub_parse_tree(&a, STR("[" HUB_FILE("c") "]"), &f, &e), e);
    CHECK_EQ(f.n, 3);
    CHECK_OK(hub_parse_tree(
                 &a,
                 STR("[{\"type\": \"file\", \"oid\": \"" HUB_SHA
                     "\", \"size\": 1, \"path\": \"d\", \"lfs\": null, \"xetHash\": \"odd\"}]"),
                 &f, &e),
             e);
    CHECK(!f.p[3].lfs && f.p[3].xet_hash.n == 0);
    arena_release(&a);
}

TEST(tree_refused) {
    static const struct { const char *text; enum err_code code;
    } rows[] = {
        { "", ERR_FORMAT },
        { "{}", ERR_FORMAT },
        { "[1]", ERR_FORMAT },
        { "[[]]", ERR_FORMAT },
        { "[" HUB_FILE("a"), ERR_FORMAT },
        { "[" HUB_FILE("a") "] x", ERR_FORMAT },
        { "[{\"type\": \"file\"}]", ERR_INVALID },
        { "[{\"type\": \"file\", \"path\": \"a\"}]", ERR_FORMAT },
        { "[{\"type\": \"file\", \"path\": \"a\", \"size\": 1}]", ERR_FORMAT },
        { "[{\"type\": \"file\", \"path\": \"a\", \"size\": -1, \"oid\": \"" HUB_SHA "\"}]",
          ERR_FORMAT },
        { "[{\"type\": \"file\", \"path\": \"a\", \"size\": \"1\", \"oid\": \"" HUB_SHA "\"}]",
          ERR_FORMAT },
        { "[{\"type\": \"file\", \"path\": \"a\", \"size\": 1e3, \"oid\": \"" HUB_SHA "\"}]",
          ERR_FORMAT },
        { "[{\"type\": \"file\", \"path\": \"a\", \"size\": 1, \"oid\": \"../x\"}]", ERR_FORMAT },
        { "[{\"type\": \"file\", \"path\": \"a\", \"size\": 1, \"oid\": \"" HUB_SHA
          "\", \"lfs\": {}}]",
          ERR_FORMAT },
        { "[{\"type\": \"file\", \"path\": 7, \"size\": 1, \"oid\": \"" HUB_SHA "\"}]",
          ERR_FORMAT },
        { "[{\"type\": \"file\", \"path\": \"a\", \"size\": 1, \"oid\": \"" HUB_SHA
          "\", \"lfs\": {\"oid\": \"" HUB_SHA "\"}}]",
          ERR_FORMAT },
        { "[" HUB_FILE("../evil") "]", ERR_INVALID },
        { "[" HUB_FILE("/evil") "]", ERR_INVALID },
        { "[" HUB_FILE("a/../../b") "]", ERR_INVALID },
        { "[" HUB_FILE("a//b") "]", ERR_INVALID },
        { "[" HUB_FILE("a\\\\b") "]", ERR_INVALID },
        { "[" HUB_FILE("a\\u0000b") "]", ERR_INVALID },
        { "[" HUB_FILE("a\\nb") "]", ERR_INVALID },
        { "[" HUB_FILE("C:/b") "]", ERR_INVALID },
        { "[" HUB_FILE("") "]", ERR_INVALID },
    };
    struct arena a;
    struct err e = { 0 };
    struct hub_files f = { 0 };
    arena_init(&a, 4 << 20);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        CHECK_ERR(hub_parse_tree(&a, str_cstr(rows[i].text), &f, &e), e, rows[i].code);
        CHECK_EQ(f.n, 0);
    }
    char *deep = arena_alloc(&a, 100000, 1);
    memset(deep, '[', 100000);
    CHECK(!hub_parse_tree(&a, (struct str){ deep, 100000 }, &f, (err_clear(&e), &e)));
    CHECK(e.code == ERR_LIMIT || e.code == ERR_FORMAT);
    arena_release(&a);
}

TEST(link_and_etag) {
    CHECK_STR(hub_parse_link(STR("<https://h/api?cursor=1>; rel=\"next\""), STR("next")),
              STR("https://h/api?cursor=1"));
    CHECK_STR(hub_parse_link(STR("</p>; rel=\"prev\", </n>; title=\"x\"; rel=next"), STR("next")), STR("/n"));
    CHECK(!hub_parse_link(STR("</p>; rel=\"prev\""), STR("next")).p);
    CHECK(!hub_parse_link(STR("</p>; rel=\"nextish\""), STR("next")).p);
    CHECK(!hub_parse_link(STR(""), STR("next")).p);
    CHECK(!hub_parse_link(STR("<https://h; rel=\"next\""), STR("next")).p);
    CHECK(!hub_parse_link(STR("<>; rel=\"next\""), STR("next")).p);
    struct str both = STR("<https://h/t>; rel=\"xet-auth\", </r>; rel=\"xet-reconstruction-info\"");
    CHECK_STR(hub_parse_link(both, STR("xet-auth")), STR("https://h/t"));
    CHECK_STR(hub_parse_link(both, STR("xet-reconstruction-info")), STR("/r"));
    CHECK(!hub_parse_link(both, STR("next")).p);
    CHECK_STR(hub_parse_etag(STR("\"abc\"")), STR("abc"));
    CHECK_STR(hub_parse_etag(STR(" W/\"abc\" ")), STR("abc"));
    CHECK_STR(hub_parse_etag(STR("abc")), STR("abc"));
    CHECK_STR(hub_parse_etag(STR("\"")), STR("\""));
    CHECK_STR(hub_parse_etag(STR("")), STR(""));
}

/* ---- filters --------------------------------------------------------------------------------- */

static bool hub_keeps(const char *include_cstr, const char *exclude_cstr, const char *path_cstr) {
    struct arena a;
    struct err e = { 0 };
    struct str in = str_cstr(include_cstr), out = str_cstr(exclude_cstr), *include, *exclude;
    arena_init(&a, 1 << 20);
    CHECK_OK(hub_filter_prepare(&a, &in, in.n > 0, &include, &e)
                 && hub_filter_prepare(&a, &out, out.n > 0, &exclude, &e),
             e);
    bool keeps = hub_filter_keeps(include, in.n > 0, exclude, out.n > 0, str_cstr(path_cstr));
    arena_release(&a);
    return keeps;
}

TEST(filters) {
    CHECK(hub_keeps("", "", "a"));
    CHECK(hub_keeps("*.json", "", "config.json") && hub_keeps("*.json", "", "sub/config.json")
          && !hub_keeps("*.json", "", "config.jsonl"));
    CHECK(!hub_keeps("config.json", "", "sub/config.json"));
    CHECK(!hub_keeps("", "*.gguf", "m.gguf") && hub_keeps("", "*.gguf", "m.GGUF"));
    CHECK(!hub_keeps("*", "original/", "original/x.pth")
          && hub_keeps("*", "original/", "originals/x"));
    CHECK(hub_keeps("sub\\dir\\", "", "sub/dir/x"));
    CHECK(hub_keeps("model-0000[12]-*", "", "model-00002-of-2")
          && !hub_keeps("model-0000[!12]-*", "", "model-00002-of-2"));
    CHECK(hub_keeps("a?c", "", "abc") && !hub_keeps("a?c", "", "ac"));
}

/* ---- refusals -------------------------------------------------------------------------------- */

struct hub_refusal {
    int status;
    const char *code, *message, *body;
    bool token, crossed;
    enum err_code want;
    const char *says;
};

TEST(refusals) {
    static const struct hub_refusal rows[] = {
        { 404, "RevisionNotFound", "Invalid rev id", "", false, false, ERR_NOT_FOUND,
          "o/m has no revision 'rev'" },
        { 404, "RepoNotFound", "", "", true, false, ERR_ACCESS, "does not exist" },
        { 401, "RepoNotFound", "Invalid username or password.", "", false, false, ERR_ACCESS,
          "or is private" },
        { 401, "", "", "{\"error\": \"Invalid credentials in Authorization header\"}", true, false,
          ERR_ACCESS, "does not accept the token from HF_TOKEN" },
        { 401, "GatedRepo", "x", "", false, false, ERR_ACCESS, "https://h/o/m" },
        { 403, "GatedRepo", "x", "", true, false, ERR_ACCESS,
          "account of the token from HF_TOKEN" },
        { 403, "", "Access to this resource is disabled.", "", false, false, ERR_ACCESS,
          "disabled" },
        { 403, "", "", "{\"error\": \"no \\u001b[31mway\"}", false, false, ERR_ACCESS,
          "no  [31mway" },
        { 429, "", "", "", false, false, ERR_RATE_LIMIT, "slow down" },
        { 500, "", "", "not json", false, false, ERR_HTTP, "status 500" },
        { 403, "", "", "", false, true, ERR_ACCESS, "cdn:1 answered with status 403" },
        { 404, "", "", "", false, false, ERR_ACCESS, "does not exist" },
        { 418, "", "hf_abcdefghijklmnopqrstuvwxyz", "", false, false, ERR_HTTP, "[REDACTED]" },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        const struct hub_refusal *row = &rows[i];
        struct http_header headers[] = { { STR("X-Error-Code"), str_cstr(row->code) },
                                         { STR("X-Error-Message"), str_cstr(row->message) } };
        struct http_response r = { .status = row->status,
                                   .headers = headers,
                                   .n_headers = 2,
                                   .crossed_origin = row->crossed,
                                   .url.authority = STR("cdn:1") };
        struct hub h = { .endpoint = STR("https://h"),
                         .token = row->token ? STR("hf_x") : STR_EMPTY,
                         .token_from_cstr = "HF_TOKEN" };
        struct hub_subject s = { .repo = STR("o/m"), .revision = STR("rev") };
        struct err e = { 0 };
        char all[LIMIT_ERR_MSG + LIMIT_ERR_HINT + 2];
        CHECK(!hub_refused(&h, &s, &r, str_cstr(row->body), &e));
        (void)snprintf(all, sizeof all, "%s\n%s", e.msg, e.hint);
        CHECK_EQ(e.code, row->want);
        if (!strstr(all, row->says)) test_fail(__FILE__, __LINE__, "row %zu says: %s", i, all);
        CHECK(!strchr(all, '\033'));
    }
}

TEST(repo_names) {
    static const char *const bad[] = { "",    "/",       "a//b", "../x",  "a/../b", "a/b/c",
                                       "a b", "a/b.git", "-a/b", "a/b?x", "a\nb" };
    struct arena a;
    struct err e = { 0 };
    struct hub h;
    struct hub_repo r;
    arena_init(&a, 1 << 20);
    hub_clear_settings();
    setenv("HF_ENDPOINT", "http://127.0.0.1:1", 1);
    CHECK(hub_open_plain(&a, &h, &e));
    for (size_t i = 0; i < MLXK_COUNT(bad); i++)
        CHECK_ERR(hub_repo_info(&a, &h, str_cstr(bad[i]), STR_EMPTY, &r, &e), e, ERR_INVALID);
    CHECK_ERR(hub_repo_info(&a, &h, STR("o/m"), STR("../main"), &r, &e), e, ERR_INVALID);
    h.first_attempts = 1;
    CHECK_ERR(hub_repo_info(&a, &h, STR("o/m"), STR("main"), &r, &e), e, ERR_NET);
    hub_close(&h);
    hub_clear_settings();
    arena_release(&a);
}

#undef HUB_SHA
#undef HUB_SHA256
#undef HUB_FILE

/* ---- pushing --------------------------------------------------------------------------------- */

TEST(what_is_never_pushed) {
    static const char *const never[] = {
        ".git/config", "sub/.git/x", ".git", ".mlxk_workspace.json", "sub/.mlxk_workspace.json",
        ".mlxk_workspace.json.0a1b2c3d.tmp", ".hf_cache/hub/x", ".cache/huggingface/y", "a.pyc",
        "sub/b.pyc", "__pycache__/c", ".venv/bin/python", "venv/x", ".gitignore", ".hfignore",
        ".DS_Store", "x/.DS_Store", ".mlxk2_temp_0011223344556677/files/x",
    };
    static const char *const always[] = { "config.json", "a/b/c", "venv2/x", "git/x", ".gitattributes",
                                          "x.py", "mlxk_workspace.json", ".github/w.yml" };
    static const struct { const char *pattern, *path; bool ignored; } rows[] = {
        { "*.log", "a.log", true },         { "*.log", "x/y/a.log", true },
        { "*.log", "a.logs", false },       { "out/", "out/a", true },
        { "out/", "x/out/a", true },        { "out/", "out", false },
        { "out/", "outs/a", false },        { "/top.txt", "top.txt", true },
        { "/top.txt", "x/top.txt", false }, { "a/b", "a/b", true },
        { "a/b", "a/b/c", true },           { "a/b", "x/a/b", false },
        { "a/*.txt", "a/x/y.txt", true },   { "**/*.bin", "z.bin", true },
        { "**/*.bin", "q/z.bin", true },    { "**/old/", "old/x", true },
        { "**/old/", "q/old/x", true },     { "x?.[ab]", "x1.a", true },
        { "x?.[ab]", "x1.c", false },       { "/", "a", false },
        { "folder", "folder/x", true },     { "!x", "x", false },
    };
    for (size_t i = 0; i < MLXK_COUNT(never); i++)
        if (!hub_ignores(str_cstr(never[i]), NULL, 0)) CHECK_STR(str_cstr(never[i]), STR("ignored"));
    for (size_t i = 0; i < MLXK_COUNT(always); i++)
        if (hub_ignores(str_cstr(always[i]), NULL, 0)) CHECK_STR(str_cstr(always[i]), STR("kept"));
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct str pattern = str_cstr(rows[i].pattern);
        if (hub_ignores(str_cstr(rows[i].path), &pattern, 1) != rows[i].ignored)
            CHECK_STR(pattern, str_cstr(rows[i].path));
    }
}

TEST(addresses_that_the_hub_gives) {
    static const struct { const char *endpoint, *given, *want; } rows[] = {
        { "https://mirror.example/hub", "https://huggingface.co/o/m.git/x?y=1",
          "https://mirror.example/hub/o/m.git/x?y=1" },
        { "https://mirror.example", "https://huggingface.co:443/a", "https://mirror.example/a" },
        { "https://mirror.example", "https://storage.example/a?b", "https://storage.example/a?b" },
        { "https://huggingface.co", "https://huggingface.co/a", "https://huggingface.co/a" },
        { "http://127.0.0.1:9", "http://127.0.0.1:10/a", "http://127.0.0.1:10/a" },
        { "https://mirror.example", "http://storage.example/a", "TLS" },
        { "https://mirror.example", "ftp://x/y", "INVALID" },
        { "https://mirror.example", "/relative", "INVALID" },
        { "https://mirror.example", "https://u:p@storage.example/", "INVALID" },
    };
    struct arena a;
    struct hub h;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    hub_clear_settings();
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct str got;
        setenv("HF_ENDPOINT", rows[i].endpoint, 1);
        CHECK_OK(hub_open_plain(&a, &h, &e), e);
        if (!hub_given_url(&a, &h, str_cstr(rows[i].given), &got, &e))
            got = str_cstr(err_info(e.code)->name_cstr);
        CHECK_STR(got, str_cstr(rows[i].want));
        err_clear(&e);
        hub_close(&h);
    }
    arena_release(&a);
}

TEST(refs) {
    struct arena a;
    struct err e = { 0 };
    struct hub_ref_list refs = { 0 };
#define HUB_REF(name, ref, commit) \
    "{\"name\":\"" name "\",\"ref\":\"" ref "\",\"targetCommit\":\"" commit "\",\"x\":[1]}"
#define HUB_SHA "0123456789012345678901234567890123456789"
    arena_init(&a, (size_t)1 << 20);
    CHECK_OK(hub_parse_refs(&a, STR("{\"tags\":[" HUB_REF("v1", "refs/tags/v1", HUB_SHA) ","
                                    HUB_REF("../x", "refs/tags/x", HUB_SHA) ","
                                    HUB_REF("v2", "refs/tags/v2", "short") "],\"more\":{},"
                                    "\"branches\":[" HUB_REF("main", "refs/heads/main", HUB_SHA)
                                    "]}"), &refs, &e), e);
    CHECK_EQ(refs.n, 2);
    CHECK(refs.p[0].kind == HUB_TAG && refs.p[1].kind == HUB_BRANCH);
    CHECK_STR(refs.p[0].name, STR("v1"));
    CHECK_STR(refs.p[0].ref, STR("refs/tags/v1"));
    CHECK_STR(refs.p[1].commit, STR(HUB_SHA));
    static const char *const bad[] = { "", "[]", "{", "{\"tags\":{}}", "{\"tags\":[1]}",
                                       "{\"tags\":[{\"name\":1}]}", "{\"tags\":[]} x" };
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        err_clear(&e);
        CHECK(!hub_parse_refs(&a, str_cstr(bad[i]), &refs, &e) && e.code == ERR_FORMAT);
        CHECK_EQ(refs.n, 0);
    }
    arena_release(&a);
#undef HUB_REF
#undef HUB_SHA
}

TEST(names_of_tokens) {
    struct arena a;
    char many[200];
    arena_init(&a, (size_t)1 << 20);
    CHECK_STR(hub_tokens_name(&a, STR("my laptop_2.0")), STR("my laptop_2.0"));
    CHECK_STR(hub_tokens_name(&a, STR("Ada's (home)\n[x]")), STR("Ada-s -home---x-"));
    CHECK_STR(hub_tokens_name(&a, STR("b\xc3\xbcro ")), STR("b--ro"));
    CHECK_STR(hub_tokens_name(&a, STR_EMPTY), STR("default"));
    CHECK_STR(hub_tokens_name(&a, STR("  ")), STR("default"));
    CHECK_STR(hub_tokens_name(&a, STR("hf_goodgoodgoodgoodgood")), STR("default"));
    memset(many, 'n', sizeof many);
    CHECK_EQ(hub_tokens_name(&a, (struct str){ many, sizeof many }).n, 96);
    arena_release(&a);
}

/* ---- Xet ---- */

#define TEST_HUB_XET_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define TEST_HUB_XET_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

TEST(xet_reconstructions) {
    static const char *rows[] = {
        "{\"offset_into_first_range\":10,\"terms\":[{\"hash\":\"" TEST_HUB_XET_A "\",\"unpacked_length\":60,\"range\":{\"start\":1,"
        "\"end\":3}},{\"hash\":\"" TEST_HUB_XET_B "\",\"unpacked_length\":51,\"range\":{\"start\":0,\"end\":1}}],\"fetch_info\":{\""
        TEST_HUB_XET_B "\":[{\"range\":{\"start\":0,\"end\":1},\"url\":\"https://h/b\",\"url_range\":{\"start\":0,\"end\":40}}],\""
        TEST_HUB_XET_A "\":[{\"range\":{\"start\":0,\"end\":4},\"url\":\"https://h/a\",\"url_range\":{\"start\":7,\"end\":99}}]}}",
        "{\"xorbs\":{\"" TEST_HUB_XET_A "\":[{\"ranges\":[{\"bytes\":{\"start\":7,\"end\":99},\"chunks\":{\"start\":0,\"end\":4}}],"
        "\"url\":\"https://h/a\"}],\"" TEST_HUB_XET_B "\":[{\"url\":\"https://h/b\",\"ranges\":[{\"chunks\":{\"start\":0,\"end\":1},"
        "\"bytes\":{\"start\":0,\"end\":40}}]}]},\"terms\":[{\"range\":{\"end\":3,\"start\":1},\"unpacked_length\":60,\"hash\":\""
        TEST_HUB_XET_A "\"},{\"hash\":\"" TEST_HUB_XET_B "\",\"unpacked_length\":51,\"range\":{\"start\":0,\"end\":1}}],"
        "\"offset_into_first_range\":10}",
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct arena a;
        struct err e = { 0 };
        struct hub_xet_plan p;
        arena_init(&a, HUB_XET_MEMORY);
        CHECK_OK(hub_xet_parse(&a, str_cstr(rows[i]), 101, &p, &e), e);
        CHECK_EQ(p.n_terms, 2);
        CHECK_EQ(p.skip_bytes, 10);
        CHECK(p.terms[0].first == 1 && p.terms[0].end == 3 && p.terms[0].part->from == 7 && p.terms[0].part->to == 100);
        CHECK_STR(p.terms[0].part->url, STR("https://h/a"));
        CHECK_STR(p.terms[1].part->url, STR("https://h/b"));
        CHECK(!hub_xet_parse(&a, str_cstr(rows[i]), 102, &p, &e) && p.n_terms == 0);    /* one byte short */
        err_clear(&e);
        CHECK(!hub_xet_parse(&a, str_cstr(rows[i]), 50, &p, &e));        /* the second term is too much */
        CHECK_EQ(e.code, ERR_FORMAT);
        arena_release(&a);
    }
}

TEST(xet_chunks) {
    static const uint8_t planes[] = { 0, 7, 0, 0, 0, 7, 0, 0, 'a', 'e', 'b', 'f', 'c', 'g', 'd' };
    uint8_t scratch[16], out[16];
    struct hub_xet_head h;
    struct err e = { 0 };
    CHECK_OK(hub_xet_head(planes, &h, &e), e);
    CHECK(h.packed_bytes == 7 && h.unpacked_bytes == 7 && h.scheme == 0);
    CHECK_OK(hub_xet_unpack(&h, planes + 8, scratch, out, &e), e);
    CHECK(memcmp(out, "aebfcgd", 7) == 0);
    /* the same bytes, in planes, in a frame of one stored block */
    static const uint8_t frame[] = { 0, 26, 0, 0, 2, 7, 0, 0, 4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 7, 0, 0, 0x80,
                                     'a', 'e', 'b', 'f', 'c', 'g', 'd', 0, 0, 0, 0 };
    CHECK_OK(hub_xet_head(frame, &h, &e), e);
    h.packed_bytes = sizeof frame - 8;
    CHECK_OK(hub_xet_unpack(&h, frame + 8, scratch, out, &e), e);
    CHECK(memcmp(out, "abcdefg", 7) == 0);
    h.unpacked_bytes = 8;
    CHECK(!hub_xet_unpack(&h, frame + 8, scratch, out, &e));
    err_clear(&e);
    h = (struct hub_xet_head){ 7, 7, 3 };
    CHECK(!hub_xet_unpack(&h, planes + 8, scratch, out, &e) && e.code == ERR_UNSUPPORTED);
    static const struct { uint8_t p[8]; } bad[] = { { { 1, 7, 0, 0, 0, 7, 0, 0 } }, { { 0, 0, 0, 0, 0, 7, 0, 0 } }, { { 0, 7, 0, 0, 0, 0, 0, 0 } },
        { { 0, 1, 0, 4, 0, 7, 0, 0 } }, { { 0, 7, 0, 0, 0, 1, 0, 2 } }, { { 'X', 'E', 'T', 'B', 'L', 'O', 'B', 0 } } };
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        err_clear(&e);
        CHECK(!hub_xet_head(bad[i].p, &h, &e) && e.code != ERR_OK);
    }
}

TEST_LIST(hub){ T(endpoint), T(file_addresses), T(token_sources), T(offline),
                T(info),     T(tree),           T(tree_refused),  T(link_and_etag),
                T(filters),  T(refusals),       T(repo_names),    T(what_is_never_pushed),
                T(addresses_that_the_hub_gives), T(refs), T(names_of_tokens),
                T(xet_reconstructions), T(xet_chunks),
                TEST_END };
