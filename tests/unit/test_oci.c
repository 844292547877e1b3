/* test_oci.c: references, digests, manifests, challenges, links, credentials and layouts. Registries are
 * tested by the scripts tests/cli/90-*.sh. */
#include "test.h"
#include "oci/oci_int.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct arena oci_a;

static void oci_fresh(void) {
    arena_release(&oci_a);
    arena_init(&oci_a, (size_t)64 << 20);
}

static const char oci_hex64[] = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/* ---- references ---- */

TEST(ref_parses) {
    static const struct { const char *in; enum oci_kind kind; const char *host, *repo, *path, *tag, *full; } rows[] = {
        { "ghcr.io/org/name:v1", OCI_REGISTRY, "ghcr.io", "org/name", NULL, "v1", "ghcr.io/org/name:v1" },
        { "oci://ghcr.io/org/name", OCI_REGISTRY, "ghcr.io", "org/name", NULL, "", "ghcr.io/org/name" },
        { "docker://Localhost:5000/a/b/c_d:x", OCI_REGISTRY, "localhost:5000", "a/b/c_d", NULL, "x",
          "localhost:5000/a/b/c_d:x" },
        { "localhost/a", OCI_REGISTRY, "localhost", "a", NULL, "", "localhost/a" },
        { "[::1]:5000/a:b", OCI_REGISTRY, "[::1]:5000", "a", NULL, "b", "[::1]:5000/a:b" },
        { "oci://oci:5/a", OCI_REGISTRY, "oci:5", "a", NULL, "", "oci://oci:5/a" },
        { "alpine", OCI_REGISTRY, "docker.io", "library/alpine", NULL, "", "docker.io/library/alpine" },
        { "alpine:3", OCI_REGISTRY, "docker.io", "library/alpine", NULL, "3", "docker.io/library/alpine:3" },
        { "org/name:3", OCI_REGISTRY, "docker.io", "org/name", NULL, "3", "docker.io/org/name:3" },
        { "index.docker.io/x", OCI_REGISTRY, "docker.io", "library/x", NULL, "", "docker.io/library/x" },
        { "r.example/a__b/c--d/e.f:_T.x-y", OCI_REGISTRY, "r.example", "a__b/c--d/e.f", NULL, "_T.x-y",
          "r.example/a__b/c--d/e.f:_T.x-y" },
        { "oci:dir", OCI_DIR, "", "", "dir", "", "oci:dir" },
        { "oci:/a/b:v1", OCI_DIR, "", "", "/a/b", "v1", "oci:/a/b:v1" },
        { "oci:a@b/c:v1", OCI_DIR, "", "", "a@b/c", "v1", "oci:a@b/c:v1" },
        { "oci-archive:x.tar:v1", OCI_TAR, "", "", "x.tar", "v1", "oci-archive:x.tar:v1" },
    };
    oci_fresh();
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct err e = { 0 };
        struct oci_ref r, again;
        CHECK_OK(oci_ref_parse(&oci_a, str_cstr(rows[i].in), &r, &e), e);
        CHECK_EQ(r.kind, rows[i].kind);
        CHECK_STR(r.host, str_cstr(rows[i].host));
        CHECK_STR(r.repo, str_cstr(rows[i].repo));
        CHECK_STR(str_cstr(r.path_cstr), str_cstr(rows[i].path));
        CHECK_STR(r.tag, str_cstr(rows[i].tag));
        CHECK_STR(oci_ref_text(&oci_a, &r), str_cstr(rows[i].full));
        CHECK_OK(oci_ref_parse(&oci_a, oci_ref_text(&oci_a, &r), &again, &e), e);
        CHECK_STR(oci_ref_text(&oci_a, &again), oci_ref_text(&oci_a, &r));
    }
    struct err e = { 0 };
    struct oci_ref r;
    struct str whole = str_format(&oci_a, "h.example/a:t@sha256:%s", oci_hex64);
    CHECK_OK(oci_ref_parse(&oci_a, whole, &r, &e), e);
    CHECK_STR(oci_ref_what(&r), str_sub(whole, 14, whole.n));
    CHECK_STR(oci_ref_text(&oci_a, &r), whole);
}

TEST(ref_refuses) {
    static const char *const rows[] = {
        "", ":", "/", "a/", "ghcr.io/", "ghcr.io/Org/name", "ghcr.io/a..b", "ghcr.io/a/../b", "ghcr.io/a:",
        "ghcr.io/a:-x", "ghcr.io/a:x y", "ghcr.io/a@sha256:12", "ghcr.io/a@md5:0", "oci://", "oci:///a", "oci:",
        "oci::tag", "oci-archive:", "ghcr.io/a b", "ghcr.io/_a", "ghcr.io/a_", "ghcr.io/a___b", "gh cr.io/a",
        "user:pw@ghcr.io/a", "ghcr.io:99999/a", "ghcr.io/a?x", "ghcr.io/a%2e", "https://ghcr.io/a", "ghcr.io:/a",
    };
    oci_fresh();
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct err e = { 0 };
        struct oci_ref r;
        if (oci_ref_parse(&oci_a, str_cstr(rows[i]), &r, &e))
            test_fail(__FILE__, __LINE__, "'%s' was accepted as %s", rows[i], oci_show(oci_ref_text(&oci_a, &r)).text);
        CHECK_EQ(e.code, ERR_INVALID);
    }
    char tag[140];
    memset(tag, 'a', sizeof tag);
    CHECK(oci_tag_ok((struct str){ tag, 128 }));
    CHECK(!oci_tag_ok((struct str){ tag, 129 }));
}

TEST(ref_model_names) {
    static const struct { const char *in, *want; } rows[] = {       /* NULL: made unique */
        { "ghcr.io/org/qwen2.5", "ghcr.io/org__qwen2.5" }, { "localhost:5000/a/b/c", "localhost_5000/a__b__c" },
        { "ghcr.io/org__qwen2.5", NULL }, { "alpine", "docker.io/library__alpine" }, { "r.example/a--b", NULL },
        { "[::1]:5/a", NULL }, { "oci:/tmp/x", NULL }, { "oci:/var/x", NULL }, { "r.example/x.git", NULL },
    };
    struct str names[MLXK_COUNT(rows)];
    oci_fresh();
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct err e = { 0 };
        struct oci_ref r;
        CHECK_OK(oci_ref_parse(&oci_a, str_cstr(rows[i].in), &r, &e), e);
        names[i] = oci_ref_model(&oci_a, &r);
        CHECK_OK(cache_name_ok(names[i], &e), e);
        if (rows[i].want) CHECK_STR(names[i], str_cstr(rows[i].want));
        for (size_t k = 0; k < i; k++) CHECK(!str_eq(names[i], names[k]));
    }
    char path[400] = "ghcr.io/";                                    /* long ones stay apart, too */
    struct str two[2];
    for (int k = 0; k < 2; k++) {
        struct err e = { 0 };
        struct oci_ref r;
        memset(path + 8, 'x', 200);
        path[207] = (char)('a' + k);
        path[208] = 0;
        CHECK_OK(oci_ref_parse(&oci_a, str_cstr(path), &r, &e), e);
        two[k] = oci_ref_model(&oci_a, &r);
        CHECK_OK(cache_name_ok(two[k], &e), e);
    }
    CHECK(!str_eq(two[0], two[1]));
}

TEST(host_loopback) {
    static const struct { const char *host; bool want; } rows[] = {
        { "localhost", true }, { "localhost:5000", true }, { "127.0.0.1", true }, { "127.9.9.9:1", true }, { "[::1]", true },
        { "[::1]:5000", true }, { "127.evil.example", false }, { "localhost.evil.example", false }, { "10.0.0.1", false },
        { "ghcr.io", false }, { "[::2]", false },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++)
        CHECK_EQ(oci_host_is_loopback(str_cstr(rows[i].host)), rows[i].want);
}

/* ---- digests ---- */

TEST(digests) {
    struct oci_hash h;
    struct err e = { 0 };
    struct str wide = str_format(&oci_a, "sha512:%s", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                                 "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    oci_fresh();
    CHECK_STR(oci_digest_of(&oci_a, STR("{}")), STR(OCI_EMPTY_DIGEST));
    oci_hash_begin(&h, STR(OCI_EMPTY_DIGEST));
    oci_hash_add(&h, "{", 1);
    oci_hash_add(&h, "}", 1);
    CHECK_OK(oci_hash_check(&h, STR(OCI_EMPTY_DIGEST), &e), e);
    oci_hash_begin(&h, STR(OCI_EMPTY_DIGEST));
    oci_hash_add(&h, "{ }", 3);
    CHECK_ERR(oci_hash_check(&h, STR(OCI_EMPTY_DIGEST), &e), e, ERR_INTEGRITY);
    wide = str_format(&oci_a, "sha512:%s", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                      "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    CHECK(oci_digest_ok(wide));
    oci_hash_begin(&h, wide);
    oci_hash_add(&h, "abc", 3);
    err_clear(&e);
    CHECK_OK(oci_hash_check(&h, wide, &e), e);
}

/* ---- manifests ---- */

static struct str oci_with(const char *layers_cstr) {
    return str_format(&oci_a, "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"config\":{\"mediaType\":\"a/b\","
                      "\"digest\":\"sha256:%s\",\"size\":2},\"layers\":%s}", oci_hex64, layers_cstr);
}

static struct str oci_layer(const char *path_cstr, const char *key_cstr) {
    return str_format(&oci_a, "{\"mediaType\":\"x/y.raw\",\"digest\":\"sha256:%s\",\"size\":2,\"annotations\":{\"%s\":\"%s\"}}",
                      oci_hex64, key_cstr, path_cstr);
}

TEST(manifest_reads) {
    struct oci_manifest m;
    struct err e = { 0 };
    struct str *paths;
    oci_fresh();
    struct str text = oci_with(str_dup_cstr(&oci_a, str_format(&oci_a, "[" STR_FMT "," STR_FMT "]",
                               STR_ARG(oci_layer("a/b.json", OCI_KEY_FILEPATH)), STR_ARG(oci_layer("c", OCI_KEY_TITLE)))));
    CHECK_OK(oci_manifest_parse(&oci_a, text, STR(OCI_TYPE_MANIFEST "; charset=utf-8"), &m, &e), e);
    CHECK_EQ(m.n_layers, 2);
    CHECK_STR(oci_manifest_type(&m), STR("a/b"));
    CHECK_STR(m.digest, oci_digest_of(&oci_a, text));
    CHECK_OK(oci_manifest_files(&oci_a, &m, &paths, &e), e);
    CHECK_STR(paths[0], STR("a/b.json"));
    CHECK_STR(paths[1], STR("c"));
    CHECK_ERR(oci_manifest_parse(&oci_a, text, STR(OCI_TYPE_INDEX), &m, &e), e, ERR_FORMAT);
}

TEST(layers_packed) {
    static const struct { const char *type, *title, *unpack; enum oci_packing packing; } rows[] = {
        { "application/vnd.cncf.model.weight.v1.raw", "a", NULL, OCI_PLAIN },
        { "application/vnd.cncf.model.weight.v1.tar", "a", NULL, OCI_TARRED },
        { "application/vnd.cncf.model.doc.v1.tar+gzip", NULL, NULL, OCI_TARRED_GZIP },
        { "application/vnd.cncf.model.doc.v1.tar+zstd", NULL, NULL, OCI_PACKED_OTHER },
        { "application/vnd.kitops.modelkit.model.v1.tar", NULL, NULL, OCI_TARRED },
        { "application/vnd.oci.image.layer.v1.tar", "a.bin", NULL, OCI_PLAIN },          /* as oras types files */
        { "application/vnd.oci.image.layer.v1.tar", NULL, NULL, OCI_PACKED_OTHER },      /* of an image */
        { "application/vnd.oci.image.layer.v1.tar+gzip", "sub", "true", OCI_TARRED_GZIP },
        { "application/vnd.oci.image.layer.v1.tar+gzip", "sub", NULL, OCI_PACKED_OTHER },
        { "application/vnd.docker.image.rootfs.diff.tar.gzip", NULL, NULL, OCI_PACKED_OTHER },
        { "application/vnd.docker.ai.dir.tar", NULL, NULL, OCI_TARRED },
        { "text/plain", "a", NULL, OCI_PLAIN }, { "", NULL, NULL, OCI_PLAIN },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct oci_pair pairs[2] = { { STR(OCI_KEY_TITLE), str_cstr(rows[i].title) },
                                     { STR("io.deis.oras.content.unpack"), str_cstr(rows[i].unpack) } };
        size_t from = rows[i].title ? 0 : 1, n = (rows[i].title ? 1u : 0u) + (rows[i].unpack ? 1u : 0u);
        struct oci_desc d = { .media_type = str_cstr(rows[i].type), .annotations = pairs + from, .n_annotations = n };
        CHECK_EQ(oci_layer_packing(&d), rows[i].packing);
    }
}

TEST(login_hosts) {
    static const char *const good[][2] = { { "ghcr.io", "ghcr.io" }, { "https://GHCR.io/", "ghcr.io" }, { "localhost", "localhost" },
        { "localhost:5000", "localhost:5000" }, { "oci://a.b:1", "a.b:1" }, { "[::1]:5000", "[::1]:5000" }, { "docker.io", "docker.io" } };
    static const char *const bad[] = { "", "hf_token", "a.b/c", "https://", "a b.c", "a.b@c.d", "oci:dir", "http://a.b", "a.b:x" };
    struct err e = { 0 };
    struct str host;
    oci_fresh();
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        CHECK_OK(oci_login_host(&oci_a, str_cstr(good[i][0]), &host, &e), e);
        CHECK_STR(host, str_cstr(good[i][1]));
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        err_clear(&e);
        if (oci_login_host(&oci_a, str_cstr(bad[i]), &host, &e)) test_fail(__FILE__, __LINE__, "'%s' was taken as a host", bad[i]);
        CHECK(strstr(e.msg, "hf_") == NULL);
    }
}

TEST(manifest_refuses) {
    static const struct { const char *text; enum err_code code; } rows[] = {
        { "", ERR_FORMAT }, { "[]", ERR_FORMAT }, { "{}", ERR_UNSUPPORTED }, { "{\"schemaVersion\":1}", ERR_UNSUPPORTED },
        { "{\"schemaVersion\":2}", ERR_FORMAT }, { "{\"schemaVersion\":2,\"mediaType\":\"text/html\"}", ERR_UNSUPPORTED },
        { "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", ERR_FORMAT },
        { "{\"schemaVersion\":2,\"manifests\":{}}", ERR_FORMAT },
        { "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"sha256:12\",\"size\":1}]}", ERR_FORMAT },
        { "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"" OCI_EMPTY_DIGEST "\"}]}", ERR_FORMAT },
        { "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"" OCI_EMPTY_DIGEST "\",\"size\":-1}]}", ERR_FORMAT },
        { "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"" OCI_EMPTY_DIGEST "\",\"size\":1e30}]}", ERR_FORMAT },
        { "{\"schemaVersion\":2,\"manifests\":[],\"annotations\":{\"a\":1}}", ERR_FORMAT },
        { "{\"schemaVersion\":2,\"schemaVersion\":2,\"manifests\":[]}", ERR_FORMAT },
        { "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"manifests\":[]}", ERR_FORMAT },
    };
    static const char *const bad_paths[] = { "../x", "/x", "a/../../x", "a\\\\b", "a//b", "", "a\\u0000b", "a\\nb", ".", "a/." };
    struct oci_manifest m;
    struct err e = { 0 };
    struct str *paths;
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        oci_fresh();
        CHECK_ERR(oci_manifest_parse(&oci_a, str_cstr(rows[i].text), STR_EMPTY, &m, &e), e, rows[i].code);
    }
    for (size_t i = 0; i < MLXK_COUNT(bad_paths); i++) {
        oci_fresh();
        err_clear(&e);
        struct str text = oci_with(str_dup_cstr(&oci_a, str_format(&oci_a, "[" STR_FMT "]",
                                   STR_ARG(oci_layer(bad_paths[i], OCI_KEY_TITLE)))));
        CHECK_OK(oci_manifest_parse(&oci_a, text, STR_EMPTY, &m, &e), e);
        if (oci_manifest_files(&oci_a, &m, &paths, &e)) test_fail(__FILE__, __LINE__, "'%s' was taken as a path", bad_paths[i]);
    }
    oci_fresh();
    struct str one = oci_layer("a", OCI_KEY_TITLE);
    err_clear(&e);
    CHECK_OK(oci_manifest_parse(&oci_a, oci_with(str_dup_cstr(&oci_a, str_format(&oci_a, "[" STR_FMT "," STR_FMT "]", STR_ARG(one),
             STR_ARG(one)))), STR_EMPTY, &m, &e), e);
    CHECK_ERR(oci_manifest_files(&oci_a, &m, &paths, &e), e, ERR_FORMAT);      /* twins */
    char *large = malloc(OCI_MAX_MANIFEST + 1);
    memset(large, ' ', OCI_MAX_MANIFEST + 1);
    CHECK_ERR(oci_manifest_parse(&oci_a, (struct str){ large, OCI_MAX_MANIFEST + 1 }, STR_EMPTY, &m, &e), e, ERR_LIMIT);
    free(large);
}

TEST(manifest_writes_one_way) {
    struct oci_pair two[] = { { STR("b"), STR("2") }, { STR("a"), STR("1") } }, turned[] = { two[1], two[0] };
    struct err e = { 0 };
    oci_fresh();
    struct oci_desc layer = oci_model_layer(&oci_a, OCI_WEIGHT, STR("m.safetensors"), STR(OCI_EMPTY_DIGEST), 2);
    struct oci_manifest m = { .artifact_type = STR(OCI_TYPE_MODEL), .config = oci_desc_empty(), .layers = &layer, .n_layers = 1,
                              .annotations = two, .n_annotations = 2 }, n = m;
    n.annotations = turned;
    CHECK_OK(oci_manifest_make(&oci_a, &m, &e), e);
    CHECK_OK(oci_manifest_make(&oci_a, &n, &e), e);
    CHECK_STR(m.text, n.text);
    CHECK_STR(m.text, STR("{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST "\",\"artifactType\":\"" OCI_TYPE_MODEL "\","
        "\"config\":{\"mediaType\":\"" OCI_TYPE_EMPTY "\",\"digest\":\"" OCI_EMPTY_DIGEST "\",\"size\":2,\"data\":\"e30=\"},"
        "\"layers\":[{\"mediaType\":\"application/vnd.cncf.model.weight.v1.raw\",\"digest\":\"" OCI_EMPTY_DIGEST "\",\"size\":2,"
        "\"annotations\":{\"org.cncf.model.filepath\":\"m.safetensors\",\"org.opencontainers.image.title\":\"m.safetensors\"}}],"
        "\"annotations\":{\"a\":\"1\",\"b\":\"2\"}}"));
    CHECK_STR(m.digest, oci_digest_of(&oci_a, m.text));
}

/* ---- challenges, links ---- */

TEST(challenge_parses) {
    static const struct { const char *in; enum oci_scheme scheme; const char *realm, *service, *scope; } rows[] = {
        { "Bearer realm=\"https://a.example/token\",service=\"s\",scope=\"repository:x:pull,push\"", OCI_AUTH_BEARER,
          "https://a.example/token", "s", "repository:x:pull,push" },
        { "bearer  realm = \"r\" , service=s", OCI_AUTH_BEARER, "r", "s", "" },
        { "Basic realm=\"x\"", OCI_AUTH_BASIC, "x", "", "" }, { "Basic", OCI_AUTH_BASIC, "", "", "" },
        { "Basic realm=\"b\", Bearer realm=\"r\"", OCI_AUTH_BEARER, "r", "", "" },
        { "Bearer realm=\"r\", Basic realm=\"b\"", OCI_AUTH_BEARER, "r", "", "" },
        { "Negotiate abc==, Basic realm=b", OCI_AUTH_BASIC, "b", "", "" },
        { "Digest realm=\"d\", qop=\"auth,auth-int\", Basic realm=\"b\\\"q\"", OCI_AUTH_BASIC, "b\"q", "", "" },
        { "Bearer service=s", OCI_AUTH_NONE, "", "", "" }, { "", OCI_AUTH_NONE, "", "", "" },
        { "NTLM", OCI_AUTH_NONE, "", "", "" },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct oci_challenge ch = { 0 };
        oci_fresh();
        CHECK(oci_challenge_parse(&oci_a, str_cstr(rows[i].in), &ch));
        CHECK_EQ(ch.scheme, rows[i].scheme);
        CHECK_STR(ch.realm, str_cstr(rows[i].realm));
        CHECK_STR(ch.service, str_cstr(rows[i].service));
        CHECK_STR(ch.scope, str_cstr(rows[i].scope));
    }
    static const char *const bad[] = { "Bearer realm=\"r", "=", "Bearer \"x\"", "\x01" };
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        struct oci_challenge ch = { 0 };
        CHECK(!oci_challenge_parse(&oci_a, str_cstr(bad[i]), &ch));
        CHECK_EQ(ch.scheme, OCI_AUTH_NONE);
    }
}

TEST(link_next) {
    static const struct { const char *in, *want; } rows[] = {
        { "</v2/_catalog?last=b&n=2>; rel=\"next\"", "/v2/_catalog?last=b&n=2" }, { "<a>; rel=next", "a" },
        { "<a>; rel=\"prev\", <b>; x=\"a,b;c\"; REL=next", "b" }, { "<a>; rel=\"prev\"", "" }, { "", "" }, { "<a", "" },
        { "a>; rel=next", "" }, { "<a>", "" }, { "<>; rel=next", "" },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) CHECK_STR(oci_link_next(str_cstr(rows[i].in)), str_cstr(rows[i].want));
}

/* ---- credentials ---- */

TEST(creds_in_files) {
    static const struct { const char *text, *host, *repo, *user, *password, *helper; } rows[] = {
        { "{\"auths\":{\"r.example\":{\"auth\":\"YTpi\"}}}", "r.example", "x", "a", "b", "" },
        { "{\"auths\":{\"https://r.example/v1/\":{\"auth\":\"YTpiOmM=\"}}}", "r.example", "x", "a", "b:c", "" },
        { "{\"auths\":{\"r.example\":{\"username\":\"u\",\"password\":\"p\"}}}", "r.example", "x", "u", "p", "" },
        { "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"YTpi\"}}}", "docker.io", "library/x", "a", "b", "" },
        { "{\"auths\":{\"r.example\":{\"auth\":\"YTpi\"},\"r.example/org\":{\"auth\":\"Yzpk\"}}}", "r.example", "org/x", "c", "d", "" },
        { "{\"auths\":{\"r.example\":{\"auth\":\"YTpi\"},\"r.example/org\":{\"auth\":\"Yzpk\"}}}", "r.example", "orgs/x", "a", "b", "" },
        { "{\"auths\":{\"other.example\":{\"auth\":\"YTpi\"}}}", "r.example", "x", "", "", "" },
        { "{\"auths\":{\"r.example.evil.example\":{\"auth\":\"YTpi\"}}}", "r.example", "x", "", "", "" },
        { "{\"auths\":{\"r.example\":{}},\"credsStore\":\"desktop\"}", "r.example", "x", "", "", "desktop" },
        { "{\"auths\":{\"r.example\":{\"auth\":\"YTpi\"}},\"credHelpers\":{\"r.example\":\"h\"}}", "r.example", "x", "", "", "h" },
        { "{}", "r.example", "x", "", "", "" },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct oci_creds c;
        struct str helper;
        struct err e = { 0 };
        oci_fresh();
        bool found = oci_creds_parse(&oci_a, str_cstr(rows[i].text), str_cstr(rows[i].host), str_cstr(rows[i].repo), &c, &helper, &e);
        CHECK_EQ(e.code, ERR_OK);
        CHECK_EQ(found, rows[i].user[0] != 0);
        CHECK_STR(c.user, str_cstr(rows[i].user));
        CHECK_STR(c.password, str_cstr(rows[i].password));
        CHECK_STR(helper, str_cstr(rows[i].helper));
    }
    static const char *const bad[] = { "", "[", "{\"auths\":{\"r.example\":{\"auth\":\"YQ==\"}}}", "{\"auths\":{\"r.example\":3}}",
                                       "{\"credsStore\":\"../sh\"}", "{\"auths\":{\"r.example\":{\"auth\":\"*\"}}}" };
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        struct oci_creds c;
        struct str helper;
        struct err e = { 0 };
        CHECK(!oci_creds_parse(&oci_a, str_cstr(bad[i]), STR("r.example"), STR("x"), &c, &helper, &e));
        CHECK(e.code != ERR_OK);
    }
}

TEST(conf_reads) {
    static const char text[] = "unqualified-search-registries = [\"a\",\n  'b' ]  # c\n[[registry]]\nprefix = \"r.example/org\"\n"
        "location = 'm.example/x/y' # \"z\"\ninsecure = true\nother = [1,\n2]\n  [[registry.mirror]]\n  location=\"one.example\"\n[[registry.mirror]]\n"
        "location = \"two.example/q\"\ninsecure = true\n\n[[registry]]\nlocation = \"r.example\"\nblocked = true\n[[registry]]\n"
        "prefix = \"*.w.example\"\nlocation=\"w.example\"\n[aliases]\n\"short\" = \"r.example/org/long\"\nbare='h.example/b'\n[else]\nwhat = 1.5\n";
    static const struct { const char *host, *repo, *location; } rows[] = {
        { "r.example", "org/a", "m.example/x/y" }, { "r.example", "org", "m.example/x/y" }, { "r.example", "organ/a", "r.example" },
        { "a.w.example", "b", "w.example" }, { "w.example", "b", NULL }, { "s.example", "org/a", NULL },
    };
    static const char *const bad[] = { "[[registry", "x", "[[registry.mirror]]", "[[registry]]\ninsecure = 1", "[[registry]]\nlocation = \"a b\"",
                                       "[aliases]\n= \"x\"", "[[registry]]\nlocation = \"a" };
    struct err e = { 0 };
    struct oci_conf c;
    oci_fresh();
    CHECK_OK(oci_conf_parse(&oci_a, str_cstr(text), &c, &e), e);
    CHECK_EQ(c.n, 3);
    CHECK_EQ(c.n_aliases, 2);
    CHECK_EQ(c.registries[0].n_mirrors, 2);
    CHECK(c.registries[0].insecure && !c.registries[0].mirrors[0].insecure && c.registries[0].mirrors[1].insecure && c.registries[1].blocked);
    CHECK_STR(c.registries[0].mirrors[1].location, STR("two.example/q"));
    CHECK_STR(c.aliases[1].value, STR("h.example/b"));
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        const struct oci_conf_registry *x = oci_conf_find(&c, str_cstr(rows[i].host), str_cstr(rows[i].repo));
        CHECK_STR(x ? x->location : STR_EMPTY, str_cstr(rows[i].location));
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        CHECK_ERR(oci_conf_parse(&oci_a, str_cstr(bad[i]), &c, &e), e, ERR_FORMAT);
        err_clear(&e);
    }
    struct oci_peer p = { .from = STR("org"), .to = STR("x/y") };
    CHECK_STR(oci_peer_repo(&oci_a, &p, STR("org/a")), STR("x/y/a"));
    CHECK_STR(oci_peer_repo(&oci_a, &p, STR("org")), STR("x/y"));
    CHECK_STR(oci_peer_repo(&oci_a, &p, STR("organ/a")), STR("organ/a"));
    p = (struct oci_peer){ .to = STR("cache") };
    CHECK_STR(oci_peer_repo(&oci_a, &p, STR("org/a")), STR("cache/org/a"));
    p = (struct oci_peer){ .from = STR("org") };
    CHECK_STR(oci_peer_repo(&oci_a, &p, STR("org/a")), STR("a"));
}

/* ---- layouts ---- */

static struct oci *oci_at(const char *text_cstr, bool may_write, struct err *e) {
    struct oci_ref r;
    struct oci_options o = { .may_write = may_write };
    return oci_ref_parse(&oci_a, str_cstr(text_cstr), &r, e) ? oci_open(&r, &o, e) : NULL;
}

static char *oci_place(const char *scheme_cstr, const char *name_cstr) {
    return str_dup_cstr(&oci_a, str_format(&oci_a, "%s%s/%s", scheme_cstr, test_scratch_dir(), name_cstr));
}

/* A small artifact under this tag, with a subject or without. */
static bool oci_fill(struct oci *o, const char *content_cstr, const char *tag_cstr, const struct oci_manifest *subject,
                     struct oci_manifest *m, struct err *e) {
    struct str content = str_cstr(content_cstr);
    struct oci_desc layer = oci_model_layer(&oci_a, OCI_DOC, STR("README.md"), oci_digest_of(&oci_a, content), content.n), empty = oci_desc_empty();
    *m = (struct oci_manifest){ .artifact_type = STR(OCI_TYPE_MODEL), .config = empty, .layers = &layer, .n_layers = 1 };
    if (subject) {
        m->has_subject = true;
        m->subject = (struct oci_desc){ .media_type = subject->media_type, .digest = subject->digest, .size_bytes = subject->text.n };
    }
    return oci_text_put(o, &layer, content, e) && oci_text_put(o, &empty, STR("{}"), e) && oci_manifest_make(&oci_a, m, e)
           && oci_manifest_put(o, m, str_cstr(tag_cstr), e);
}

TEST(layout_keeps_artifacts) {
    struct err e = { 0 };
    struct oci_manifest m, other, got;
    struct oci_names tags;
    struct oci_desc *list;
    struct str text;
    size_t n;
    oci_fresh();
    struct oci *o = oci_at(oci_place("oci:", "one"), true, &e);
    CHECK_OK(o != NULL, e);
    if (!o) return;
    CHECK_OK(oci_fill(o, "hello", "v1", NULL, &m, &e) && oci_fill(o, "hi", "v2", NULL, &other, &e), e);
    CHECK_OK(oci_manifest_put(o, &m, STR("same"), &e), e);
    CHECK_OK(oci_tags(&oci_a, o, &tags, &e), e);
    CHECK_EQ(tags.n, 3);
    CHECK_OK(oci_manifest_get(&oci_a, o, STR("v1"), &got, &e), e);
    CHECK_STR(got.text, m.text);
    CHECK_OK(oci_blob_text(&oci_a, o, &got.layers[0], 100, &text, &e), e);
    CHECK_STR(text, STR("hello"));
    CHECK_OK(oci_manifest_put(o, &other, STR("v1"), &e), e);                  /* a tag moves */
    CHECK_OK(oci_manifest_get(&oci_a, o, STR("v1"), &got, &e), e);
    CHECK_STR(got.digest, other.digest);
    CHECK_ERR(oci_untag(o, STR("v1"), m.digest, &e), e, ERR_EXISTS);
    err_clear(&e);
    CHECK_OK(oci_untag(o, STR("v1"), other.digest, &e), e);
    CHECK_ERR(oci_manifest_get(&oci_a, o, STR("v1"), &got, &e), e, ERR_NOT_FOUND);
    err_clear(&e);
    CHECK_OK(oci_manifest_get(&oci_a, o, STR("v2"), &got, &e), e);            /* its other tag stays */
    CHECK_OK(oci_fill(o, "signature", "", &m, &got, &e), e);
    CHECK_OK(oci_referrers(&oci_a, o, m.digest, STR_EMPTY, &list, &n, &e), e);
    CHECK_EQ(n, 1);
    if (n) CHECK_STR(list[0].digest, got.digest);
    CHECK_OK(oci_referrers(&oci_a, o, m.digest, STR("other/type"), &list, &n, &e), e);
    CHECK_EQ(n, 0);
    CHECK_OK(oci_manifest_delete(o, m.digest, &e), e);
    CHECK_ERR(oci_manifest_get(&oci_a, o, STR("same"), &got, &e), e, ERR_NOT_FOUND);
    CHECK_ERR(oci_manifest_get(&oci_a, o, m.digest, &got, &e), e, ERR_NOT_FOUND);
    oci_close(o);
}

TEST(layout_refuses_lies) {
    struct err e = { 0 };
    struct oci_manifest m, got;
    struct str text;
    oci_fresh();
    struct oci *o = oci_at(oci_place("oci:", "lies"), true, &e);
    CHECK_OK(o != NULL, e);
    if (!o) return;
    CHECK_OK(oci_fill(o, "hello", "v1", NULL, &m, &e), e);
    struct oci_desc wrong = { .digest = m.layers[0].digest, .size_bytes = 4 }, absent = { .digest = oci_digest_of(&oci_a, STR("x")), .size_bytes = 1 };
    CHECK_ERR(oci_blob_text(&oci_a, o, &wrong, 100, &text, &e), e, ERR_INTEGRITY);       /* another size */
    CHECK_ERR(oci_blob_text(&oci_a, o, &absent, 100, &text, &e), e, ERR_NOT_FOUND);
    CHECK_ERR(oci_blob_text(&oci_a, o, &m.layers[0], 4, &text, &e), e, ERR_LIMIT);
    CHECK_ERR(oci_text_put(o, &absent, STR("y"), &e), e, ERR_INTEGRITY);                  /* other bytes */
    bool has = true;
    err_clear(&e);
    CHECK_OK(oci_blob_has(o, &absent, &has, &e), e);
    CHECK(!has);
    struct str file = str_format(&oci_a, "%s/lies/blobs/sha256/" STR_FMT, test_scratch_dir(), STR_ARG(oci_digest_hex(m.layers[0].digest)));
    CHECK_OK(os_write_file(str_dup_cstr(&oci_a, file), STR("hallo"), &e), e);             /* damaged at rest */
    CHECK_ERR(oci_blob_text(&oci_a, o, &m.layers[0], 100, &text, &e), e, ERR_INTEGRITY);
    file = str_format(&oci_a, "%s/lies/blobs/sha256/" STR_FMT, test_scratch_dir(), STR_ARG(oci_digest_hex(m.digest)));
    struct str changed = str_concat(&oci_a, m.text, STR(" "));
    err_clear(&e);
    CHECK_OK(os_write_file(str_dup_cstr(&oci_a, file), changed, &e), e);
    CHECK_ERR(oci_manifest_get(&oci_a, o, STR("v1"), &got, &e), e, ERR_INTEGRITY);
    oci_close(o);
    CHECK_ERR(oci_at(oci_place("oci:", "nowhere"), false, &e) != NULL, e, ERR_NOT_FOUND);
    CHECK_ERR(oci_at(str_dup_cstr(&oci_a, str_format(&oci_a, "oci:%s", test_scratch_dir())), true, &e) != NULL, e, ERR_FORMAT);
}

TEST(copy_keeps_digests) {
    struct err e = { 0 };
    struct oci_manifest m, signature, got;
    struct oci_copy_result r;
    struct oci_copy_options options = { .referrers = true };
    struct str text[2];
    oci_fresh();
    struct oci *from = oci_at(oci_place("oci:", "from"), true, &e);
    CHECK_OK(from && oci_fill(from, "hello", "v1", NULL, &m, &e) && oci_fill(from, "signed", "", &m, &signature, &e), e);
    for (int i = 0; i < 2; i++) {
        char *name = oci_place("oci-archive:", i ? "two.tar" : "one.tar");
        struct oci *to = oci_at(name, true, &e);
        CHECK_OK(to && oci_copy(&oci_a, from, STR("v1"), to, STR("v1"), &options, &r, &e) && oci_finish(to, &e), e);
        CHECK_EQ(r.n_manifests, 2);
        CHECK_EQ(r.n_blobs, 3);
        CHECK_STR(r.digest, m.digest);
        oci_close(to);
        to = oci_at(name, false, &e);
        CHECK_OK(to && oci_manifest_get(&oci_a, to, STR("latest"), &got, &e) == false, e);   /* two entries: none is meant */
        err_clear(&e);
        CHECK_OK(to && oci_manifest_get(&oci_a, to, STR("v1"), &got, &e), e);
        CHECK_STR(got.digest, m.digest);
        CHECK_OK(to && oci_blob_text(&oci_a, to, &got.layers[0], 10, &text[0], &e), e);
        CHECK_STR(text[0], STR("hello"));
        oci_close(to);
        CHECK_OK(os_read_file(&oci_a, name + strlen("oci-archive:"), 1 << 20, &text[i], &e), e);
    }
    CHECK_OK(os_read_file(&oci_a, oci_place("", "one.tar"), 1 << 20, &text[0], &e), e);
    CHECK(str_eq(text[0], text[1]));                                                      /* byte for byte */
    struct os_stat st;
    CHECK(!os_stat(oci_place("", "one.tar.mlxk-parts"), &st));
    oci_close(from);
}

TEST(archive_is_read_with_suspicion) {
    static const char *const rows[] = { "", "x", "not a tar archive at all, but long enough to be looked at" };
    struct err e = { 0 };
    struct str whole;
    struct oci_manifest m;
    oci_fresh();
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        CHECK_OK(os_write_file(oci_place("", "bad.tar"), str_cstr(rows[i]), &e), e);
        CHECK_ERR(oci_at(oci_place("oci-archive:", "bad.tar"), false, &e) != NULL, e, ERR_FORMAT);
        err_clear(&e);
    }
    struct oci *o = oci_at(oci_place("oci-archive:", "cut.tar"), true, &e);
    CHECK_OK(o && oci_fill(o, "hello", "v1", NULL, &m, &e) && oci_finish(o, &e), e);
    oci_close(o);
    CHECK_OK(os_read_file(&oci_a, oci_place("", "cut.tar"), 1 << 20, &whole, &e), e);
    for (size_t n = 512; n < whole.n - 1024; n += 512) {                                  /* cut anywhere: no crash, no lie */
        struct oci_manifest got;
        struct str text;
        struct err why = { 0 };
        CHECK_OK(os_write_file(oci_place("", "cut.tar"), str_sub(whole, 0, n), &e), e);
        o = oci_at(oci_place("oci-archive:", "cut.tar"), false, &why);
        if (o && oci_manifest_get(&oci_a, o, STR("v1"), &got, &why) && oci_blob_text(&oci_a, o, &got.layers[0], 10, &text, &why))
            CHECK_STR(text, STR("hello"));
        oci_close(o);
    }
}

/* ---- a registry (the fake one, as a process) ---- */

struct oci_server { pid_t pid; char host[64]; };

static bool oci_server_start(struct oci_server *s, const char *profile_cstr) {
    struct err e = { 0 };
    struct str host = STR_EMPTY;
    char *file = oci_place("", "port");
    (void)os_unlink(file, &e);
    s->pid = fork();
    if (s->pid == 0) {
        execlp("python3", "python3", test_data_path("fake/fake_registry.py"), file, profile_cstr, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && !host.n; i++) {
        struct err none = { 0 };
        if (!os_read_file(&oci_a, file, 60, &host, &none)) os_sleep_ms(10);
    }
    (void)snprintf(s->host, sizeof s->host, STR_FMT, STR_ARG(host));
    CHECK(host.n > 0);
    return host.n > 0;
}

static void oci_server_stop(struct oci_server *s) {
    (void)kill(s->pid, SIGKILL);
    (void)waitpid(s->pid, NULL, 0);
}

static struct oci *oci_remote(const struct oci_server *s, const char *repo_cstr, struct err *e) {
    struct oci_ref r;
    struct oci_options o = { .may_write = true, .may_delete = true, .attempts = 2 };
    struct str text = str_format(&oci_a, "%s/%s", s->host, repo_cstr);
    return oci_ref_parse(&oci_a, text, &r, e) ? oci_open(&r, &o, e) : NULL;
}

TEST(registry_untags) {
    static const char *const profiles[] = { "dist2", "dist3", "zot" };
    for (size_t i = 0; i < MLXK_COUNT(profiles); i++) {
        struct err e = { 0 };
        struct oci_server s;
        struct oci_manifest m, other, got;
        struct oci_names tags;
        oci_fresh();
        if (!oci_server_start(&s, profiles[i])) return;
        struct oci *o = oci_remote(&s, "org/m", &e);
        CHECK_OK(o && oci_fill(o, "one", "v1", NULL, &m, &e) && oci_manifest_put(o, &m, STR("same"), &e)
                     && oci_fill(o, "two", "v2", NULL, &other, &e), e);
        CHECK_ERR(oci_untag(o, STR("same"), other.digest, &e), e, ERR_EXISTS);     /* it has moved */
        CHECK_ERR(oci_untag(o, STR("none"), other.digest, &e), e, ERR_NOT_FOUND);
        err_clear(&e);
        CHECK_OK(oci_untag(o, STR("same"), m.digest, &e), e);
        CHECK_OK(oci_manifest_get(&oci_a, o, STR("v1"), &got, &e), e);             /* the manifest stays, */
        CHECK_STR(got.digest, m.digest);
        CHECK_OK(oci_tags(&oci_a, o, &tags, &e), e);
        CHECK_EQ(tags.n, 2);                                                       /* and nothing else came */
        CHECK_OK(oci_manifest_delete(o, m.digest, &e), e);
        CHECK_ERR(oci_manifest_get(&oci_a, o, STR("v1"), &got, &e), e, ERR_NOT_FOUND);
        CHECK_ERR(oci_manifest_delete(o, m.digest, &e), e, ERR_NOT_FOUND);
        oci_close(o);
        oci_server_stop(&s);
    }
}

TEST(registry_without_deletes) {
    struct err e = { 0 };
    struct oci_server s;
    struct oci_manifest m, got;
    oci_fresh();
    if (!oci_server_start(&s, "dist2-nodelete")) return;
    struct oci *o = oci_remote(&s, "org/m", &e);
    CHECK_OK(o && oci_fill(o, "one", "v1", NULL, &m, &e), e);
    CHECK_ERR(oci_untag(o, STR("v1"), m.digest, &e), e, ERR_UNSUPPORTED);
    CHECK_ERR(oci_manifest_delete(o, m.digest, &e), e, ERR_UNSUPPORTED);
    err_clear(&e);
    CHECK_OK(oci_manifest_get(&oci_a, o, STR("v1"), &got, &e), e);                 /* the tag is where it was */
    CHECK_STR(got.digest, m.digest);
    oci_close(o);
    oci_server_stop(&s);
}

TEST(registry_referrers) {
    static const char *const profiles[] = { "dist3", "zot" };
    for (size_t i = 0; i < MLXK_COUNT(profiles); i++) {
        struct err e = { 0 };
        struct oci_server s;
        struct oci_manifest m, one, two, got;
        struct oci_desc *list;
        struct oci_names tags;
        size_t n;
        oci_fresh();
        if (!oci_server_start(&s, profiles[i])) return;
        struct oci *o = oci_remote(&s, "org/m", &e);
        CHECK_OK(o && oci_fill(o, "model", "v1", NULL, &m, &e) && oci_fill(o, "one", "", &m, &one, &e)
                     && oci_fill(o, "two", "", &m, &two, &e) && oci_manifest_put(o, &two, STR_EMPTY, &e), e);
        CHECK_OK(oci_referrers(&oci_a, o, m.digest, STR(OCI_TYPE_MODEL), &list, &n, &e), e);
        CHECK_EQ(n, 2);
        CHECK_OK(oci_referrers(&oci_a, o, m.digest, STR("a/b"), &list, &n, &e), e);
        CHECK_EQ(n, 0);
        CHECK_OK(oci_referrers(&oci_a, o, one.digest, STR_EMPTY, &list, &n, &e), e);
        CHECK_EQ(n, 0);
        CHECK_OK(oci_tags(&oci_a, o, &tags, &e), e);
        CHECK_EQ(tags.n, i ? 1 : 4);             /* the fallback list, and one tag each, where it has to be */
        CHECK_OK(oci_manifest_get(&oci_a, o, one.digest, &got, &e), e);
        CHECK_STR(got.subject.digest, m.digest);
        oci_close(o);
        oci_server_stop(&s);
    }
}

TEST(registry_catalog) {
    struct err e = { 0 };
    struct oci_server s;
    struct oci_names repos;
    struct oci_manifest m;
    bool has;
    oci_fresh();
    if (!oci_server_start(&s, "dist3")) return;
    struct oci *o = oci_remote(&s, "a/0", &e);
    for (int i = 0; i < 5; i++) {
        CHECK_OK(oci_use(o, str_format(&oci_a, "a/%d", i), &e) && oci_fill(o, "x", "v1", NULL, &m, &e), e);
        CHECK_STR(oci_where(o)->repo, str_format(&oci_a, "a/%d", i));
    }
    CHECK_OK(oci_catalog(&oci_a, o, &repos, &e), e);
    CHECK_EQ(repos.n, 5);                        /* two to a page */
    CHECK_OK(oci_blob_has(o, &m.layers[0], &has, &e), e);
    CHECK(has);
    CHECK_ERR(oci_use(o, STR("../x"), &e), e, ERR_INVALID);
    oci_close(o);
    oci_server_stop(&s);
}

TEST_LIST(oci) {
    T(ref_parses), T(ref_refuses), T(ref_model_names), T(host_loopback), T(digests), T(manifest_reads), T(manifest_refuses), T(layers_packed), T(login_hosts),
    T(manifest_writes_one_way), T(challenge_parses), T(link_next), T(creds_in_files), T(conf_reads), T(layout_keeps_artifacts),
    T(layout_refuses_lies), T(copy_keeps_digests), T(archive_is_read_with_suspicion), T(registry_untags),
    T(registry_without_deletes), T(registry_referrers), T(registry_catalog), TEST_END
};
