/* test_release.c: numbers, tags, names, classes, canonical JSON, states, the table of bumps, git.
 * With registries and layouts: tests/cli/9*-*.sh.
 */
#include "release/rel_index_int.h"
#include "release/rel_int.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- numbers -------------------------------------------------------------------------------- */

TEST(version_reads) {
    static const char *const good[] = { "v0.1.0", "v1.2.3", "v999999999.0.0", "v1.2.3-main",
                                        "v1.2.3-a.b_c-d", "v10.20.30-1" };
    static const char *const bad[] = { "", "v", "1.2.3", "v1", "v1.2", "v1.2.3.4", "v01.2.3", "v1.02.3",
                                       "v1.2.3-", "v1.2.-3", "v1..3", "v1.2.3+b", "v1.2.3-a b", "V1.2.3",
                                       "v1.2.1000000000", "v1.2.3 ", "v-1.2.3", "v1.2.0x3" };
    struct arena a;
    struct rel_version v;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        CHECK(rel_version_parse(str_cstr(good[i]), &v));
        CHECK_STR(rel_version_text(&a, &v), str_cstr(good[i]));
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) CHECK(!rel_version_parse(str_cstr(bad[i]), &v));
    arena_release(&a);
}

static struct rel_version release_random_version(void) {
    static const char *const branches[] = { "", "", "a", "b", "1", "2", "10", "01", "a.1", "a.b", "a.1.2",
                                            "1.a", "feature-x", "-", "A", "007" };
    return (struct rel_version){ (uint32_t)(test_random() % 3), (uint32_t)(test_random() % 3),
                                 (uint32_t)(test_random() % 3),
                                 str_cstr(branches[test_random() % MLXK_COUNT(branches)]) };
}

TEST(version_order_is_total) {
    for (int i = 0; i < 30000; i++) {
        struct rel_version x = release_random_version(), y = release_random_version(),
                           z = release_random_version();
        int xy = rel_version_cmp(&x, &y), yz = rel_version_cmp(&y, &z), xz = rel_version_cmp(&x, &z);
        CHECK_EQ(xy, -rel_version_cmp(&y, &x));
        if (xy <= 0 && yz <= 0) CHECK(xz <= 0);
        if (xy < 0 && yz <= 0) CHECK(xz < 0);
        bool same = x.major == y.major && x.minor == y.minor && x.patch == y.patch
                    && str_eq(x.branch, y.branch);
        CHECK_EQ(xy == 0, same);
        CHECK_EQ(rel_version_cmp(&x, &x), 0);
    }
}

TEST(version_order_is_semver) {
    static const char *const sorted[] = { "v0.0.9", "v0.1.0-1", "v0.1.0-2", "v0.1.0-10", "v0.1.0-alpha",
                                          "v0.1.0-alpha.1", "v0.1.0-alpha.beta", "v0.1.0-beta",
                                          "v0.1.0", "v0.9.0", "v0.10.0", "v1.0.0-main", "v1.0.0", "v9.0.0",
                                          "v10.0.0" };
    struct rel_version x, y;
    for (size_t i = 0; i < MLXK_COUNT(sorted); i++)
        for (size_t k = 0; k < MLXK_COUNT(sorted); k++) {
            CHECK(rel_version_parse(str_cstr(sorted[i]), &x) && rel_version_parse(str_cstr(sorted[k]), &y));
            CHECK_EQ(rel_version_cmp(&x, &y), i < k ? -1 : i > k);
        }
}

TEST(version_next_is_greater) {
    struct err e = { 0 };
    struct arena a;
    arena_init(&a, 1 << 22);
    for (int i = 0; i < 3000; i++) {
        struct rel_version v = release_random_version(), next;
        for (int b = REL_BUMP_PATCH; b <= REL_BUMP_MAJOR; b++) {
            CHECK_OK(rel_version_next(&v, (enum rel_bump)b, &next, &e), e);
            CHECK(rel_version_cmp(&next, &v) > 0);
            CHECK(next.branch.n == 0);
            CHECK_EQ(next.major, v.major + (b == REL_BUMP_MAJOR));
            CHECK_EQ(next.minor, b == REL_BUMP_MAJOR ? 0 : v.minor + (b == REL_BUMP_MINOR));
            CHECK_EQ(next.patch, b == REL_BUMP_PATCH ? v.patch + 1 : 0);
        }
    }
    struct rel_version last = { 1, REL_MAX_NUMBER, 0, STR_EMPTY }, next;
    CHECK_ERR(rel_version_next(&last, REL_BUMP_MINOR, &next, &e), e, ERR_LIMIT);
    arena_release(&a);
}

TEST(version_ranges) {
    static const struct { const char *range, *in, *out; } rows[] = {
        { "v1.2.3", "v1.2.3", "v1.2.4" },       { "1.2.3", "v1.2.3", "v1.2.3-b" },
        { "v1.2.3-b", "v1.2.3-b", "v1.2.3" },   { "v1", "v1.0.0", "v2.0.0" },
        { "v1", "v1.99.7", "v0.9.0" },          { "v1", "v1.0.1", "v1.2.0-b" },
        { "v1.2", "v1.2.9", "v1.3.0" },         { "^1.2.3", "v1.9.0", "v1.2.2" },
        { "^v1.2.3", "v1.2.3", "v2.0.0" },      { "^0.2.3", "v0.9.0", "v1.0.0" },
        { "~1.2.3", "v1.2.9", "v1.3.0" },       { "~1.2", "v1.2.0", "v1.3.0" },
        { "~1", "v1.5.0", "v2.0.0" },           { "latest", "v0.1.0", "v9.0.0-b" },
        { "^1.2", "v1.3.0", "v1.1.9" },
    };
    static const char *const bad[] = { "", "v", "x", "^", "~", "v1.2.3.4", "^1.2.3-b", "1.x", "v1-b", ">1" };
    struct rel_range r;
    struct rel_version v;
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        CHECK(rel_range_parse(str_cstr(rows[i].range), &r));
        CHECK(rel_version_parse(str_cstr(rows[i].in), &v) && rel_range_has(&r, &v));
        CHECK(rel_version_parse(str_cstr(rows[i].out), &v) && !rel_range_has(&r, &v));
    }
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) CHECK(!rel_range_parse(str_cstr(bad[i]), &r));
}

/* ---- tags and names --------------------------------------------------------------------------- */

TEST(tag_table) {
    static const struct { const char *tag; enum rel_tag_kind kind; const char *name, *a, *b, *c; } rows[] = {
        { "v1.2.3", REL_TAG_RELEASE, "", "", "", "" },
        { "v1.2.3-feature-x", REL_TAG_RELEASE, "", "feature-x", "", "" },
        { "ham-v1.2.3", REL_TAG_RELEASE, "ham", "", "", "" },
        { "ham-2-v1.2.3-b", REL_TAG_RELEASE, "ham-2", "b", "", "" },
        { "pkg-v1.2.3", REL_TAG_PKG, "", "", "", "" },
        { "ham-pkg-v1.2.1", REL_TAG_PKG, "ham", "", "", "" },
        { "client-v0.1.0-b", REL_TAG_CLIENT, "", "b", "", "" },
        { "ham-client-v1.2.3", REL_TAG_CLIENT, "ham", "", "", "" },
        { "img-v1.2.3", REL_TAG_IMAGE, "", "", "", "" },
        { "0123456789ab-clean-ba9876543210", REL_TAG_ADHOC, "", "0123456789ab", "clean", "ba9876543210" },
        { "nogit-0123456789ab-ba9876543210", REL_TAG_ADHOC, "", "nogit", "0123456789ab", "ba9876543210" },
        { "ham-nogit-clean-ba9876543210", REL_TAG_ADHOC, "ham", "nogit", "clean", "ba9876543210" },
        { "main-clean-ba9876543210", REL_TAG_BRANCH, "", "main", "clean", "ba9876543210" },
        { "fix-v1.2.3-clean-ba9876543210", REL_TAG_BRANCH, "", "fix-v1.2.3", "clean", "ba9876543210" },
        { "a-b-c-0123456789ab-ba9876543210", REL_TAG_BRANCH, "", "a-b-c", "0123456789ab", "ba9876543210" },
        { "v2.0.0-fix-v1.2.3", REL_TAG_RELEASE, "", "fix-v1.2.3", "", "" },
        { "latest", REL_TAG_ALIAS, "", "latest", "", "" },
        { "v1", REL_TAG_ALIAS, "", "v1", "", "" },
        { "v1.2", REL_TAG_ALIAS, "", "v1.2", "", "" },
        { "client-v1", REL_TAG_ALIAS, "", "client-v1", "", "" },
        { "ham-client-v1", REL_TAG_ALIAS, "ham", "client-v1", "", "" },
        { "pkg-v1.2", REL_TAG_ALIAS, "", "pkg-v1.2", "", "" },
        { "client-v1.2", REL_TAG_ALIAS, "client", "v1.2", "", "" },
        { "clean-ba9876543210", REL_TAG_OTHER, "", "", "", "" },
        { "main-clean-ba987654321", REL_TAG_OTHER, "", "", "", "" },
        { "main-clean-BA9876543210", REL_TAG_OTHER, "", "", "", "" },
        { "main", REL_TAG_OTHER, "", "", "", "" },
        { "1.2.3", REL_TAG_OTHER, "", "", "", "" },
        { "v01.2.3", REL_TAG_OTHER, "", "", "", "" },
        { "sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", REL_TAG_OTHER, "", "", "", "" },
    };
    struct rel_tag t;
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        rel_tag_parse(str_cstr(rows[i].tag), STR_EMPTY, &t);
        CHECK_STR(str_cstr(rel_tag_kind_name(t.kind)), str_cstr(rel_tag_kind_name(rows[i].kind)));
        if (strcmp(rows[i].tag, "client-v1.2")) CHECK_STR(t.name, str_cstr(rows[i].name));
        struct str first = t.kind == REL_TAG_ADHOC ? t.git : t.kind == REL_TAG_BRANCH ? t.branch
                         : t.kind == REL_TAG_ALIAS ? t.alias : t.version.branch;
        CHECK_STR(first, str_cstr(rows[i].a));
        CHECK_STR(t.dirty, str_cstr(rows[i].b));
        CHECK_STR(t.client, str_cstr(rows[i].c));
    }
    rel_tag_parse(STR("ham-main-clean-ba9876543210"), STR("ham"), &t);
    CHECK_EQ(t.kind, REL_TAG_BRANCH);
    CHECK_STR(t.name, STR("ham"));
    CHECK_STR(t.branch, STR("main"));
    rel_tag_parse(STR("eggs-v1.2.3"), STR("ham"), &t);
    CHECK_EQ(t.kind, REL_TAG_OTHER);
    rel_tag_parse(STR("ham-v1.2.3"), STR("ham"), &t);
    CHECK_EQ(t.kind, REL_TAG_RELEASE);
}

TEST(ages_read) {
    static const struct { const char *text_cstr; int64_t want_s; } rows[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "2026-11-27T20:55:00Z", 1795812900 },
        { "2026-11-27T20:55:00.123456789Z", 1795812900 },
        { "2026-11-27T21:55:00+01:00", 1795812900 },
        { "2026-11-27t15:25:00-05:30", 1795812900 },
        { "2000-02-29 12:00:00z", 951825600 },
        { "2100-03-01T00:00:00Z", 4107542400 },
        { "9999-12-31T23:59:59Z", 253402300799 },
        { "2026-11-27", -1 }, { "", -1 }, { "2026-11-27T20:55:00", -1 },
        { "2026-13-27T20:55:00Z", -1 }, { "2026-11-27T24:55:00Z", -1 },
        { "2026-11-27T20:55:00ZZ", -1 }, { "2026-11-27T20:55:00+1:00", -1 },
        { "1969-12-31T23:59:59Z", -1 }, { "now", -1 }, { "20a6-11-27T20:55:00Z", -1 },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        int64_t got = -1;
        bool ok = rel_age_parse(str_cstr(rows[i].text_cstr), &got);
        CHECK_EQ(ok, rows[i].want_s >= 0);
        if (ok) CHECK_EQ(got, rows[i].want_s);
    }
}

TEST(tags_of_one_model) {
    static const struct { const char *tag_cstr; bool ham, ham_named, eggs_named; } rows[] = {
        { "v1.0.0", true, false, false },
        { "ham-v1.0.0", false, true, false },
        { "ham-eggs-v1.0.0", false, false, false },
        { "eggs-v1.0.0-ham", false, false, true },
        { "ham-client-v1", true, true, false },
        { "ham-pkg-v1.2.3", true, true, false },
        { "eggs-client-v1", false, false, true },
        { "client-v1", true, false, false },
        { "latest", true, false, false },
        { "ham-latest", true, true, false },
        { "0123456789ab-clean-0123456789ab", true, false, false },
        { "ham-0123456789ab-clean-0123456789ab", false, true, false },
        { "ham-eggs-0123456789ab-clean-0123456789ab", false, false, false },
        { "eggs-main-clean-0123456789ab", true, false, true },   /* or a branch eggs-main */
        { "somebody", true, false, false },
    };
    struct rel_whose plain = { STR("ham"), false }, ham = { STR("ham"), true },
                     eggs = { STR("eggs"), true };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct rel_tag t;
        struct str tag = str_cstr(rows[i].tag_cstr);
        CHECK_EQ(rel_whose_has(&plain, tag, &t), rows[i].ham);
        CHECK_EQ(rel_whose_has(&ham, tag, &t), rows[i].ham_named);
        CHECK_EQ(rel_whose_has(&eggs, tag, &t), rows[i].eggs_named);
    }
}

TEST(ranges_of_one_model) {
    struct rel_range r;
    struct str name;
    CHECK(rel_whose_range(STR("v1"), &name, &r) && name.n == 0 && !r.exact);
    CHECK(rel_whose_range(STR("ham-v1"), &name, &r) && !r.exact);
    CHECK_STR(name, STR("ham"));
    CHECK(rel_whose_range(STR("ham-eggs-^1.2.3"), &name, &r));
    CHECK_STR(name, STR("ham-eggs"));
    CHECK(rel_whose_range(STR("ham-v1.2.3-fix-x"), &name, &r) && r.exact);
    CHECK_STR(name, STR("ham"));
    CHECK(rel_whose_range(STR("v1.2.3-v1"), &name, &r) && name.n == 0 && r.exact);
    CHECK(!rel_whose_range(STR("ham"), &name, &r) && !rel_whose_range(STR("-v1"), &name, &r)
          && !rel_whose_range(STR("pkg-v1"), &name, &r) && !rel_whose_range(STR("Ham-v1"), &name, &r));
}

TEST(names_made_fit) {
    static const struct { const char *from, *want; } rows[] = {
        { "main", "main" },
        { "feature/x", "feature-x" },
        { "feature/\303\274n\303\257code x", "feature-unicode-x-59692d76" },
        { "Feature/X", "feature-x" },
        { "a__b", "a__b" },
        { "\346\227\245\346\234\254", "b-cf2abf0c" },
        { "...", "b-ab5df625" },
        { "-x-", "x-c6cf95e5" },
        { "a//b", "a-b-7a9acf33" },
        { "release/1.2", "release-1.2" },
        { "\357\254\201x", "fix-68797df1" },
        { "\342\204\252", "k-2bc4fb87" },
        { "a b", "a-b-c8687a08" },
        { "v1.2.3", "v1.2.3" },
        { "fix_#12", "fix_-12-949eb54b" },
        { "\303\205\303\204\303\226/\303\251", "aao-e-ab4d328b" },
        { "user@host", "user-host-5d488afd" },
        { "\342\205\247", "viii-bb15e9e3" },
        { "trailing-", "trailing-b520d72a" },
        { "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" },
        { "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-9537c5fd" },
        { "abcdef012345", "abcdef012345-ce0fc874" },       /* would be read as a commit */
        { "nogit", "nogit-37047040" },
        { "x-nogit", "x-nogit-fd580376" },
        { "x-clean-abcdef012345", "x-clean-abcdef012345-77f02f49" },
    };
    struct arena a;
    struct err e = { 0 };
    struct str out;
    arena_init(&a, 1 << 22);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        CHECK_OK(rel_sanitise(&a, str_cstr(rows[i].from), REL_MAX_BRANCH, &out, &e), e);
        CHECK_STR(out, str_cstr(rows[i].want));
    }
    arena_release(&a);
}

/* [A-Za-z0-9_][A-Za-z0-9._-]{0,127} */
static bool release_tag_fits(struct str tag) {
    bool fits = tag.n > 0 && tag.n <= 128 && tag.p[0] != '.' && tag.p[0] != '-';
    for (size_t i = 0; i < tag.n; i++)
        fits = fits && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", tag.p[i]);
    return fits;
}

/* Any branch: an acceptable tag, which is read back as this branch's. */
TEST(names_survive_tags) {
    static const char *const parts[] = { "a", "B", "-", "/", ".", "_", "v1.2.3", "clean", "nogit", "\303\251",
                                         "0123456789ab", "pkg", "client-", " ", "x", "9", "\377", "--", "latest" };
    struct arena a;
    struct err e = { 0 };
    for (int i = 0; i < 4000; i++) {
        char text[256] = "";
        struct str branch, tag, name;
        struct rel_tag t;
        arena_init(&a, 1 << 20);
        for (int k = (int)(test_random() % 9) + 1; k > 0; k--)
            strcat(text, parts[test_random() % MLXK_COUNT(parts)]);
        CHECK_OK(rel_sanitise(&a, str_cstr(text), REL_MAX_BRANCH, &branch, &e), e);
        CHECK(branch.n > 0 && branch.n <= REL_MAX_BRANCH);
        tag = str_format(&a, STR_FMT "-%s-ba9876543210", STR_ARG(branch), i & 1 ? "clean" : "0123456789ab");
        CHECK(release_tag_fits(tag) && oci_tag_ok(tag));
        rel_tag_parse(tag, STR_EMPTY, &t);
        CHECK_EQ(t.kind, REL_TAG_BRANCH);
        CHECK_STR(t.branch, branch);
        tag = str_format(&a, "v1.20.3-" STR_FMT, STR_ARG(branch));
        rel_tag_parse(tag, STR_EMPTY, &t);
        CHECK_EQ(t.kind, REL_TAG_RELEASE);
        CHECK_STR(t.version.branch, branch);
        CHECK_OK(rel_sanitise(&a, str_cstr(text), REL_MAX_NAME, &name, &e), e);
        CHECK(name.n <= REL_MAX_NAME);
        if (rel_name_ok(name, &e)) {
            tag = str_format(&a, STR_FMT "-pkg-v1.2.3-" STR_FMT, STR_ARG(name), STR_ARG(branch));
            rel_tag_parse(tag, STR_EMPTY, &t);
            CHECK_EQ(t.kind, REL_TAG_PKG);
            CHECK_STR(t.name, name);
            CHECK_STR(t.version.branch, branch);
        }
        err_clear(&e);
        arena_release(&a);
    }
}

TEST(names_refused) {
    static const char *const bad[] = { "", "pkg", "client", "img", "latest", "a-pkg", "a-client", "a-img",
                                       "a-latest", "v1.2.3", "a-v1.2.3", "a-v1.2.3-b", "A", "-a", ".a", "a b",
                                       "nogit", "0123456789ab", "a-0123456789ab", "v1", "a-v1" };
    static const char *const good[] = { "a", "ham", "smollm2-135m", "a.b_c", "v1x", "pkg-a", "x-v12a" };
    struct err e = { 0 };
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) CHECK_ERR(rel_name_ok(str_cstr(bad[i]), &e), e, ERR_INVALID);
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        err_clear(&e);
        CHECK_OK(rel_name_ok(str_cstr(good[i]), &e), e);
    }
}

/* ---- classes ------------------------------------------------------------------------------------- */

TEST(classes) {
    static const struct { const char *path; enum rel_class want; } rows[] = {
        { ".gitattributes", REL_IGNORE }, { ".git/config", REL_IGNORE }, { ".mlxk/x", REL_IGNORE },
        { ".mlxk_workspace.json", REL_IGNORE }, { ".cache/huggingface/x", REL_IGNORE },
        { "sub/.gitignore", REL_IGNORE }, { "mlxk.lock", REL_IGNORE }, { "x.incomplete", REL_IGNORE },
        { "a.tmp", REL_IGNORE }, { ".DS_Store", REL_IGNORE }, { "model.sig", REL_IGNORE },
        { "m.sigstore.json", REL_IGNORE },
        { "README", REL_DOCS }, { "README.md", REL_DOCS }, { "LICENSE", REL_DOCS }, { "LICENCE.txt", REL_DOCS },
        { "NOTICE", REL_DOCS }, { "USE_POLICY.md", REL_DOCS }, { "MODEL_CARD", REL_DOCS },
        { "CHANGELOG", REL_DOCS }, { "notes.md", REL_DOCS }, { "notes.txt", REL_DOCS }, { "x/paper.pdf", REL_DOCS },
        { "assets/a.png", REL_DOCS }, { "figures/b.JPG", REL_DOCS }, { "x/images/c.svg", REL_DOCS },
        { "c.png", REL_LOGIC }, { "assets/a.json", REL_LOGIC }, { "readme", REL_LOGIC },
        { "merges.txt", REL_IFACE }, { "vocab.txt", REL_IFACE }, { "tokenizer.json", REL_IFACE },
        { "tokenizer.model", REL_IFACE }, { "tokenizer_config.json", REL_IFACE },
        { "special_tokens_map.json", REL_IFACE }, { "added_tokens.json", REL_IFACE }, { "vocab.json", REL_IFACE },
        { "x.tiktoken", REL_IFACE }, { "chat_template.jinja", REL_IFACE }, { "chat_template.json", REL_IFACE },
        { "additional_chat_templates/tool.jinja", REL_IFACE }, { "preprocessor_config.json", REL_IFACE },
        { "processor_config.json", REL_IFACE }, { "video_preprocessor_config.json", REL_IFACE },
        { "feature_extractor_config.json", REL_IFACE }, { "modules.json", REL_IFACE },
        { "1_Pooling/config.json", REL_IFACE },
        { "model.safetensors", REL_WEIGHTS }, { "model-00001-of-00002.safetensors", REL_WEIGHTS },
        { "model.safetensors.index.json", REL_WEIGHTS }, { "q4.gguf", REL_WEIGHTS }, { "w.npz", REL_WEIGHTS },
        { "pytorch_model.bin", REL_WEIGHTS }, { "a.pt", REL_WEIGHTS }, { "a.pth", REL_WEIGHTS },
        { "onnx/model.onnx", REL_WEIGHTS }, { "adapters.safetensors", REL_WEIGHTS },
        { "config.json", REL_LOGIC }, { "generation_config.json", REL_LOGIC },
        { "quantize_config.json", REL_LOGIC }, { "modeling_x.py", REL_LOGIC }, { "2_Dense/config.json", REL_LOGIC },
        { "Makefile", REL_LOGIC },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct str got = str_cstr(rel_class_name(rel_class_of(str_cstr(rows[i].path)))),
                   want = str_cstr(rel_class_name(rows[i].want));
        if (!str_eq(got, want)) test_fail(__FILE__, __LINE__, "%s is %s", rows[i].path, got.p);
        CHECK(str_eq(got, want));
    }
}

/* ---- canonical JSON ---------------------------------------------------------------------------------- */

static bool release_skip_b(struct str key) { return str_eq(key, STR("b")); }

TEST(canonical_json) {
    static const struct { const char *from, *want; } rows[] = {
        { " { \"b\" : 1 , \"a\" : [ true , null ] } ", "{\"a\":[true,null],\"b\":1}" },
        { "[1.0, 1e2, 1.50, -0.0, 1e-7, 1E21, 123456789012345680000.0, 0.000001, 1e22]",
          "[1,100,1.5,0,1e-7,1e+21,123456789012345680000,0.000001,1e+22]" },
        { "[333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001]",
          "[333333333.3333333,1e+30,4.5,0.002,1e-27]" },
        { "9007199254740993", "9007199254740993" },
        { "\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\\b\"",
          "\"\342\202\254$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\"" },
        { "{\"\\ud83d\\ude00\":1,\"\\ufb33\":2,\"a\":3}", "{\"a\":3,\"\360\237\230\200\":1,\"\357\254\263\":2}" },
        { "{}", "{}" }, { "[]", "[]" }, { "{\"a\":{\"c\":1,\"b\":2}}", "{\"a\":{\"b\":2,\"c\":1}}" },
    };
    struct arena a;
    struct err e = { 0 };
    struct buf b;
    arena_init(&a, 1 << 22);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        const struct json *v = json_parse_large(&a, str_cstr(rows[i].from), &e);
        CHECK_OK(v != NULL, e);
        if (!v) continue;
        buf_init(&b, 1 << 20);
        CHECK_OK(rel_canon_write(&b, v, NULL, &e), e);
        CHECK_STR(buf_str(&b), str_cstr(rows[i].want));
        buf_release(&b);
    }
    buf_init(&b, 1 << 20);
    CHECK_OK(rel_canon_write(&b, json_parse(&a, STR("{\"b\":1,\"a\":{\"b\":2}}"), &e), release_skip_b, &e), e);
    CHECK_STR(buf_str(&b), STR("{\"a\":{\"b\":2}}"));
    buf_release(&b);
    arena_release(&a);
}

/* ---- states ----------------------------------------------------------------------------------------------- */

struct release_dir { struct arena a; const char *dir; };

static void release_put(const struct release_dir *d, const char *path, struct str text) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    char *full = os_path_join(&a, d->dir, path);
    CHECK_OK(os_mkdirs(os_path_dir(&a, full), &e) && os_write_file(full, text, &e), e);
    arena_release(&a);
}

static void release_drop(const struct release_dir *d, const char *path) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, 1 << 20);
    CHECK_OK(os_unlink(os_path_join(&a, d->dir, path), &e), e);
    arena_release(&a);
}

/* A safetensors file with tensors "x" and "y" of the given bytes, in the given order. */
static void release_put_tensors(const struct release_dir *d, const char *path, const char *names, const char *fill) {
    struct buf b;
    struct err e = { 0 };
    struct safet_tensor t[4] = { { .n_dims = 0 } };
    size_t n = strlen(names);
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < n; i++)
        t[i] = (struct safet_tensor){ .name = { names + i, 1 }, .dtype = DTYPE_U8, .n_dims = 2, .shape = { 2, 3 } };
    CHECK_OK(safet_write_header(&b, t, n, true, &e), e);
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 6; k++) buf_add_char(&b, fill[i]);
    release_put(d, path, buf_str(&b));
    buf_release(&b);
}

#define RELEASE_TOKENIZER(more) "{\"version\":\"1.0\",\"truncation\":null,\"added_tokens\":[{\"id\":3,\"content\":" \
    "\"</s>\",\"special\":true}],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{" \
    "\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2" more "},\"merges\":[\"a b\"]}}"
#define RELEASE_CONFIG(more) "{\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"]," \
    "\"max_position_embeddings\":64,\"vocab_size\":4,\"eos_token_id\":3" more "}"

static void release_dir_open(struct release_dir *d) {
    arena_init(&d->a, (size_t)256 << 20);
    d->dir = mkdtemp(os_path_join(&d->a, "/tmp", "mlxk-XXXXXX"));
    CHECK(d->dir != NULL);
    release_put(d, "config.json", STR(RELEASE_CONFIG("")));
    release_put(d, "tokenizer.json", STR(RELEASE_TOKENIZER("")));
    release_put(d, "tokenizer_config.json", STR("{\"eos_token\":\"</s>\",\"chat_template\":\"{{ messages }}\","
                                                "\"padding_side\":\"left\"}"));
    release_put(d, "README.md", STR("words\n"));
    release_put_tensors(d, "model.safetensors", "xy", "12");
}

static void release_dir_close(struct release_dir *d) {
    struct err e = { 0 };
    CHECK_OK(os_remove_tree(d->dir, &e), e);
    arena_release(&d->a);
}

static struct rel_state release_read(struct release_dir *d) {
    struct rel_state s;
    struct err e = { 0 };
    CHECK_OK(rel_state_read(&d->a, d->dir, NULL, NULL, &s, &e), e);
    return s;
}

/* "ILWD" with a dash for each hash that is equal. */
static const char *release_moved(const struct rel_state *x, const struct rel_state *y) {
    static char out[5];
    out[0] = strcmp(x->hash.iface, y->hash.iface) ? 'I' : '-';
    out[1] = strcmp(x->hash.logic, y->hash.logic) ? 'L' : '-';
    out[2] = strcmp(x->hash.weights, y->hash.weights) ? 'W' : '-';
    out[3] = strcmp(x->hash.docs, y->hash.docs) ? 'D' : '-';
    return out;
}

TEST(state_document) {
    struct release_dir d;
    release_dir_open(&d);
    struct rel_state s = release_read(&d);
    char table[65], merges[65], pretok[65], chat[65];
    rel_hash_text(STR("0\t61\t\n1\t62\t\n2\t6162\t\n3\t3c2f733e\tas\n"), table);
    rel_hash_text(STR("a b\n"), merges);
    rel_hash_text(STR("{\"model\":{\"type\":\"BPE\"},\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}"), pretok);
    rel_hash_text(STR("{{ messages }}"), chat);
    struct str want = str_format(&d.a, "{\"architecture\":[\"LlamaForCausalLM\",\"llama\"],\"chat\":{\"default\":\"%s\"},"
        "\"context\":64,\"custom_code\":false,\"format\":\"mlx\",\"json\":false,\"merges\":\"%s\","
        "\"modalities\":{\"in\":[\"text\"],\"out\":[\"text\"]},\"pretok\":\"%s\",\"reasoning\":\"none\","
        "\"schema\":\"mlxk.interface/1\",\"special\":{\"eos\":[3]},\"task\":\"causal-lm\",\"tokenizer\":\"%s\","
        "\"tools\":false,\"vocab_size\":4}", chat, merges, pretok, table);
    CHECK_STR(s.document, want);
    char hash[65];
    rel_hash_text(want, hash);
    CHECK_STR(str_cstr(s.hash.iface), str_cstr(hash));
    CHECK_EQ(s.n_members, 16);
    CHECK_STR(s.members[2].name, STR("context"));
    rel_hash_text(STR("64"), hash);
    CHECK_STR(str_cstr(s.members[2].hash), str_cstr(hash));
    CHECK_EQ(s.n, 5);
    release_dir_close(&d);
}

TEST(state_hashes_move_alone) {
    static const struct { const char *path; const char *text; const char *want; } rows[] = {
        { "README.md", "other words\n", "---D" },
        { "LICENSE", "x", "---D" },
        { "generation_config.json", "{\"temperature\":1}", "-L--" },
        { "modeling.py", "pass", "-L--" },
        { "config.json", RELEASE_CONFIG(",\"rms_norm_eps\":1e-05"), "-L--" },
        { "config.json", " " RELEASE_CONFIG(""), "----" },
        { "config.json", RELEASE_CONFIG(",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}"), "IL--" },
        { "config.json", RELEASE_CONFIG(",\"pad_token_id\":0"), "I---" },
        { "tokenizer.json", RELEASE_TOKENIZER(",\"c\":4"), "I---" },
        { "tokenizer.json", " " RELEASE_TOKENIZER(""), "----" },
        { "tokenizer_config.json", "{\"chat_template\":\"{{ messages }}\\r\\n \",\"eos_token\":\"</s>\",\"padding_side\":\"left\"}", "----" },
        { "tokenizer_config.json", "{\"chat_template\":\"{{ messages }}!\",\"eos_token\":\"</s>\",\"padding_side\":\"left\"}", "I---" },
        { "tokenizer_config.json", "{\"chat_template\":\"{{ messages }}\",\"eos_token\":\"</s>\",\"padding_side\":\"right\"}", "-L--" },
        { "chat_template.jinja", "{{ tools }}", "I---" },
        { ".gitignore", "x", "----" },
        { "a.bin", "weights", "--W-" },
    };
    struct release_dir d;
    release_dir_open(&d);
    struct rel_state base = release_read(&d);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct release_dir x;
        release_dir_open(&x);
        release_put(&x, rows[i].path, str_cstr(rows[i].text));
        struct rel_state s = release_read(&x);
        struct str got = str_cstr(release_moved(&base, &s));
        if (!str_eq_cstr(got, rows[i].want)) test_fail(__FILE__, __LINE__, "%s: %s", rows[i].path, got.p);
        release_dir_close(&x);
    }
    release_put_tensors(&d, "model.safetensors", "xy", "13");
    struct rel_state s = release_read(&d);
    CHECK_STR(str_cstr(release_moved(&base, &s)), STR("--W-"));
    release_dir_close(&d);
}

TEST(state_other_shards_are_no_other_weights) {
    struct release_dir d;
    release_dir_open(&d);
    struct rel_state base = release_read(&d);
    release_drop(&d, "model.safetensors");
    release_put_tensors(&d, "model-00001-of-00002.safetensors", "y", "2");
    release_put_tensors(&d, "model-00002-of-00002.safetensors", "x", "1");
    release_put(&d, "model.safetensors.index.json", STR("{\"weight_map\":{}}"));
    struct rel_state s = release_read(&d);
    CHECK_STR(str_cstr(release_moved(&base, &s)), STR("----"));
    release_put_tensors(&d, "model-00001-of-00002.safetensors", "z", "2");
    s = release_read(&d);
    CHECK_STR(str_cstr(release_moved(&base, &s)), STR("--W-"));
    release_dir_close(&d);
}

TEST(state_refuses) {
    struct release_dir d;
    struct rel_state s;
    struct err e = { 0 };
    release_dir_open(&d);
    CHECK_ERR(rel_state_read(&d.a, "/nonexistent/x", NULL, NULL, &s, &e), e, ERR_NOT_FOUND);
    release_put(&d, "config.json", STR("{"));
    CHECK_ERR(rel_state_read(&d.a, d.dir, NULL, NULL, &s, &e), e, ERR_FORMAT);
    release_put(&d, "config.json", STR(RELEASE_CONFIG("")));
    release_put(&d, "tokenizer.json", STR("[]"));
    CHECK_ERR(rel_state_read(&d.a, d.dir, NULL, NULL, &s, &e), e, ERR_FORMAT);
    release_put(&d, "tokenizer.json", STR(RELEASE_TOKENIZER("")));
    err_clear(&e);
    CHECK_OK(os_symlink("nowhere", os_path_join(&d.a, d.dir, "model-2.safetensors"), &e), e);
    CHECK_ERR(rel_state_read(&d.a, d.dir, NULL, NULL, &s, &e), e, ERR_NOT_FOUND);
    release_dir_close(&d);
}

/* ---- which number goes up ------------------------------------------------------------------------------------ */

TEST(bump_table) {
    /* moved: I L W D and other bytes; wish: P patch, M major */
    static const struct { const char *moved, *wish; enum rel_verdict verdict; enum rel_bump bump; } rows[] = {
        { "-----", "", REL_SAME, REL_BUMP_NONE },
        { "-----", "P", REL_SAME, REL_BUMP_NONE },
        { "-----", "M", REL_NEXT, REL_BUMP_MAJOR },
        { "I---B", "", REL_NEXT, REL_BUMP_MAJOR },
        { "ILWDB", "", REL_NEXT, REL_BUMP_MAJOR },
        { "-L--B", "", REL_NEXT, REL_BUMP_MINOR },
        { "--W-B", "", REL_NEXT, REL_BUMP_MINOR },
        { "-LWDB", "", REL_NEXT, REL_BUMP_MINOR },
        { "-LW-B", "M", REL_NEXT, REL_BUMP_MAJOR },
        { "---DB", "", REL_DOCS_ONLY, REL_BUMP_NONE },
        { "---DB", "P", REL_NEXT, REL_BUMP_PATCH },
        { "----B", "", REL_DOCS_ONLY, REL_BUMP_NONE },
        { "----B", "P", REL_NEXT, REL_BUMP_PATCH },
        { "I---B", "P", REL_NOT_A_PATCH, REL_BUMP_NONE },
        { "-L--B", "P", REL_NOT_A_PATCH, REL_BUMP_NONE },
        { "--W-B", "P", REL_NOT_A_PATCH, REL_BUMP_NONE },
        { "---DB", "M", REL_NEXT, REL_BUMP_MAJOR },
        { "I---B", "PM", REL_NEXT, REL_BUMP_MAJOR },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        struct rel_hashes base = { "i", "l", "w", "d" }, now = base;
        const char *m = rows[i].moved;
        if (m[0] == 'I') now.iface[0] = 'x';
        if (m[1] == 'L') now.logic[0] = 'x';
        if (m[2] == 'W') now.weights[0] = 'x';
        if (m[3] == 'D') now.docs[0] = 'x';
        struct rel_wish wish = { .patch = strchr(rows[i].wish, 'P') != NULL,
                                 .force_major = strchr(rows[i].wish, 'M') != NULL };
        struct rel_decision d = rel_decide(&base, STR("sha256:1"), &now,
                                           m[4] == 'B' ? STR("sha256:2") : STR("sha256:1"), &wish);
        CHECK_EQ(d.verdict, rows[i].verdict);
        CHECK_EQ(d.bump, rows[i].bump);
    }
    struct rel_hashes now = { "i", "l", "w", "d" };
    struct rel_wish none = { false, false };
    struct rel_decision d = rel_decide(NULL, STR_EMPTY, &now, STR("sha256:1"), &none);
    CHECK_EQ(d.verdict, REL_FIRST);
}

/* Every case there is, by the table read from its top: first row that fits. */
TEST(bump_of_every_case) {
    for (unsigned m = 0; m < 32; m++)
        for (unsigned wishes = 0; wishes < 4; wishes++) {
            struct rel_hashes base = { "i", "l", "w", "d" }, now = base;
            struct rel_wish wish = { .patch = wishes & 1, .force_major = wishes & 2 };
            bool iface = m & 1, minor = m & 6, docs = m & 24;
            if (m & 1) now.iface[0] = 'x';
            if (m & 2) now.logic[0] = 'x';
            if (m & 4) now.weights[0] = 'x';
            if (m & 8) now.docs[0] = 'x';
            struct rel_decision d = rel_decide(&base, STR("sha256:1"), &now,
                                               m & 16 ? STR("sha256:2") : STR("sha256:1"), &wish);
            enum rel_verdict verdict = wish.force_major                  ? REL_NEXT
                                     : (iface || minor) && wish.patch    ? REL_NOT_A_PATCH
                                     : iface || minor                    ? REL_NEXT
                                     : docs                              ? (wish.patch ? REL_NEXT : REL_DOCS_ONLY)
                                                                         : REL_SAME;
            enum rel_bump bump = verdict != REL_NEXT          ? REL_BUMP_NONE
                               : wish.force_major || iface    ? REL_BUMP_MAJOR
                               : minor                        ? REL_BUMP_MINOR
                                                              : REL_BUMP_PATCH;
            CHECK_EQ(d.verdict, verdict);
            CHECK_EQ(d.bump, bump);
            CHECK_EQ(d.moved.iface + d.moved.logic + d.moved.weights + d.moved.docs + d.moved.bytes,
                     (m & 1) + (m >> 1 & 1) + (m >> 2 & 1) + (m >> 3 & 1) + (m >> 4));
            now = base;              /* an unknown digest moves nothing */
            CHECK_EQ(rel_decide(&base, STR_EMPTY, &now, STR("sha256:2"), &wish).moved.bytes, false);
            CHECK_EQ(rel_decide(NULL, STR_EMPTY, &now, STR("sha256:2"), &wish).verdict, REL_FIRST);
        }
}

/* A range has what its words say, for all small versions. */
TEST(version_ranges_of_every_case) {
    struct arena a;
    arena_init(&a, 4 << 20);
    for (uint32_t i = 0; i < 27; i++)
        for (uint32_t k = 0; k < 54; k++) {
            struct arena_mark mark = arena_mark(&a);
            uint32_t x = i / 9, y = i / 3 % 3, z = i % 3;
            struct rel_version v = { k / 2 / 9, k / 2 / 3 % 3, k / 2 % 3, k % 2 ? STR("b") : STR_EMPTY };
            bool plain = k % 2 == 0, up = v.major == x && (v.minor > y || (v.minor == y && v.patch >= z));
            const struct { char sign; bool want; } rows[] = {
                { 'v', plain && v.major == x && v.minor == y && v.patch == z },
                { '^', plain && up },
                { '~', plain && up && v.minor == y },
            };
            struct rel_range r;
            for (size_t n = 0; n < MLXK_COUNT(rows); n++) {
                struct str text = str_format(&a, "%c%u.%u.%u", rows[n].sign, (unsigned)x, (unsigned)y, (unsigned)z);
                CHECK(rel_range_parse(text, &r));
                CHECK_EQ(rel_range_has(&r, &v), rows[n].want);
            }
            CHECK(rel_range_parse(str_format(&a, "v%u", (unsigned)x), &r));
            CHECK_EQ(rel_range_has(&r, &v), plain && v.major == x);
            CHECK(rel_range_parse(str_format(&a, "v%u.%u", (unsigned)x, (unsigned)y), &r));
            CHECK_EQ(rel_range_has(&r, &v), plain && v.major == x && v.minor == y);
            arena_rewind(&a, mark);
        }
    arena_release(&a);
}

/* ---- git: histories made on the spot --------------------------------------------------------------------------- */

static void release_sh(struct release_dir *d, const char *script) {
    struct buf out, diag;
    struct err e = { 0 };
    int status;
    static const char *const env[] = { "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a",
                                       "GIT_COMMITTER_EMAIL=a@b", "GIT_CONFIG_GLOBAL=/dev/null",
                                       "GIT_CONFIG_SYSTEM=/dev/null", "HOME=/nonexistent",
                                       "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z",
                                       "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z", NULL };
    const char *const argv[] = { "sh", "-ec", script, NULL };
    buf_init(&out, 1 << 20);
    buf_init(&diag, 1 << 16);
    struct os_spawn s = { .argv = argv, .dir_cstr = d->dir, .env = env, .out = &out, .diag = &diag };
    CHECK_OK(os_spawn(&s, &status, &e), e);
    if (status) test_fail(__FILE__, __LINE__, "%s: status %d: " STR_FMT, script, status, STR_ARG(buf_str(&diag)));
    buf_release(&out);
    buf_release(&diag);
}

static struct rel_origin release_origin(struct release_dir *d, const char *branch) {
    struct rel_state s = release_read(d);
    struct rel_origin o;
    struct err e = { 0 };
    CHECK_OK(rel_origin_read(&d->a, &s, str_cstr(branch), &o, &e), e);
    return o;
}

/* Of the lines given, "path status sha256" parted by NUL. */
static const char *release_dirty_of(const char *path, char status, const char *content) {
    static char out[65];
    struct buf b;
    char hex[65] = "";
    buf_init(&b, 4096);
    if (status != 'D') rel_hash_text(str_cstr(content), hex);
    buf_addf(&b, "%s%c%c%c%s\n", path, 0, status, 0, hex);
    rel_hash_text(buf_str(&b), out);
    out[12] = 0;
    buf_release(&b);
    return out;
}

TEST(git_origin) {
    struct release_dir d;
    release_dir_open(&d);
    struct rel_origin o = release_origin(&d, "");
    CHECK_EQ(o.kind, REL_FROM_NOWHERE);
    CHECK_STR(str_cstr(o.git), STR("nogit"));
    CHECK(o.on_main && str_is_hex(str_cstr(o.dirty), 12));
    release_sh(&d, "git init -q -b main; git add .; git commit -qm one");
    o = release_origin(&d, "");
    CHECK_EQ(o.kind, REL_FROM_GIT);
    CHECK_STR(str_cstr(o.dirty), STR("clean"));
    CHECK_STR(str_sub(o.commit, 0, 12), str_cstr(o.git));
    CHECK_STR(o.branch, STR("main"));
    CHECK(o.on_main && !o.detached && !o.shallow);
    release_put(&d, "new.txt", STR("n"));
    CHECK_STR(str_cstr(release_origin(&d, "").dirty), str_cstr(release_dirty_of("new.txt", '?', "n")));
    release_sh(&d, "git add new.txt");
    CHECK_STR(str_cstr(release_origin(&d, "").dirty), str_cstr(release_dirty_of("new.txt", 'A', "n")));
    release_sh(&d, "git reset -q; mv new.txt new2.txt");
    CHECK_STR(str_cstr(release_origin(&d, "").dirty), str_cstr(release_dirty_of("new2.txt", '?', "n")));
    release_drop(&d, "new2.txt");
    CHECK_STR(str_cstr(release_origin(&d, "").dirty), STR("clean"));
    release_put(&d, "README.md", STR("changed"));
    CHECK_STR(str_cstr(release_origin(&d, "").dirty), str_cstr(release_dirty_of("README.md", 'M', "changed")));
    release_drop(&d, "README.md");
    CHECK_STR(str_cstr(release_origin(&d, "").dirty), str_cstr(release_dirty_of("README.md", 'D', "")));
    release_sh(&d, "git checkout -q README.md; echo x > .gitignore; echo y > x.lock; echo '*.bin' >> .git/info/exclude");
    CHECK_STR(str_cstr(release_origin(&d, "").dirty), STR("clean"));     /* nothing of a model */
    release_put(&d, "w.bin", STR("w"));
    CHECK_STR(str_cstr(release_origin(&d, "").dirty), str_cstr(release_dirty_of("w.bin", '?', "w")));
    release_drop(&d, "w.bin");
    release_dir_close(&d);
}

TEST(git_branches) {
    struct release_dir d;
    release_dir_open(&d);
    release_sh(&d, "git init -q -b trunk; git add .; git commit -qm one");
    struct rel_origin o = release_origin(&d, "");
    CHECK(!o.on_main && o.main.n == 0);          /* no branch that could be the main one */
    release_sh(&d, "git config init.defaultBranch trunk");
    CHECK(release_origin(&d, "").on_main);
    release_sh(&d, "git checkout -qb Feature/X");
    o = release_origin(&d, "");
    CHECK(!o.on_main);
    CHECK_STR(o.branch, STR("Feature/X"));
    CHECK_STR(o.branch_tag, STR("feature-x"));
    CHECK(release_origin(&d, "trunk").on_main);
    release_sh(&d, "git checkout -q --detach");
    o = release_origin(&d, "");
    CHECK(o.detached && !o.on_main);
    CHECK_STR(o.branch_tag, STR("detached"));
    release_sh(&d, "git branch master; git checkout -q master; git config --unset init.defaultBranch");
    CHECK(release_origin(&d, "").on_main);
    release_sh(&d, "git branch main");
    CHECK(!release_origin(&d, "").on_main);      /* main goes before master */
    release_sh(&d, "git update-ref refs/remotes/origin/up HEAD; git symbolic-ref refs/remotes/origin/HEAD "
                   "refs/remotes/origin/master");
    CHECK(release_origin(&d, "").on_main);
    release_sh(&d, "git config mlxk.mainBranch main");
    CHECK(!release_origin(&d, "").on_main);
    release_dir_close(&d);
}

/* A folder below the top, pointers of large files, folders that git does not want. */
TEST(git_corners) {
    struct release_dir d, sub;
    release_dir_open(&d);
    release_sh(&d, "mkdir m; mv *.json *.md *.safetensors m; git init -q -b main; git add .; git commit -qm one; echo z > top.py");
    sub = (struct release_dir){ .a = d.a, .dir = os_path_join(&d.a, d.dir, "m") };
    CHECK_STR(str_cstr(release_origin(&sub, "").dirty), STR("clean"));   /* only the model's folder counts */
    release_put(&sub, "x.py", STR("x"));
    CHECK_STR(str_cstr(release_origin(&sub, "").dirty), str_cstr(release_dirty_of("x.py", '?', "x")));
    release_drop(&sub, "x.py");
    char hex[65];
    rel_hash_text(STR("big"), hex);
    struct str pointer = str_format(&sub.a, CACHE_LFS_LINE "\noid sha256:%s\nsize 3\n", hex);
    release_put(&sub, "big.bin", pointer);
    release_sh(&d, "rm top.py; git add .; git commit -qm two");
    release_put(&sub, "big.bin", STR("big"));
    CHECK_STR(str_cstr(release_origin(&sub, "").dirty), STR("clean"));   /* the pointer's own content */
    release_put(&sub, "big.bin", STR("bug"));
    CHECK_STR(str_cstr(release_origin(&sub, "").dirty), str_cstr(release_dirty_of("big.bin", 'M', "bug")));
    release_sh(&d, "git rm -rq --cached m; git commit -qm three; echo m > .gitignore");
    CHECK_EQ(release_origin(&sub, "").kind, REL_FROM_NOWHERE);           /* git ignores the folder */
    d.a = sub.a;
    release_dir_close(&d);
}

static const char *release_closest(struct release_dir *d, uint64_t *distance) {
    static char out[64];
    struct rel_state s = release_read(d);
    struct rel_origin o = release_origin(d, "");
    struct rel_known_list l = { .n = 0 };
    struct rel_closest found;
    struct err e = { 0 };
    CHECK_OK(rel_git_releases(&d->a, &o, STR("ham"), &l, &e) && rel_closest_find(&d->a, &o, &s, &l, &found, &e), e);
    *distance = found.distance;
    if (found.how == REL_CLOSEST_NONE) return found.cut ? "cut" : "none";
    struct str text = rel_version_text(&d->a, &l.items[found.index].version);
    memcpy(out, text.p, text.n);
    out[text.n] = 0;
    return out;
}

#define RELEASE_COMMIT(name) "git commit -q --allow-empty -m " name ";"
TEST(git_closest) {
    struct release_dir d;
    uint64_t n;
    release_dir_open(&d);
    release_sh(&d, "git init -q -b main; git add .;" RELEASE_COMMIT("0"));
    CHECK_STR(str_cstr(release_closest(&d, &n)), STR("none"));
    release_sh(&d, "git tag -a -m x mdl-ham-v1.0.0; git tag -a -m x mdl-eggs-v9.0.0; git tag mdl-ham-x;"
                   RELEASE_COMMIT("1") RELEASE_COMMIT("2"));
    CHECK_STR(str_cstr(release_closest(&d, &n)), STR("v1.0.0"));
    CHECK_EQ(n, 2);
    release_sh(&d, "git tag mdl-ham-v1.10.0; git tag -a -m x mdl-ham-v1.9.0");       /* both on one commit */
    CHECK_STR(str_cstr(release_closest(&d, &n)), STR("v1.10.0"));
    CHECK_EQ(n, 0);
    /* A diamond: both sides have a release, one commit away; the far end has a higher one. */
    release_sh(&d, "git tag -d mdl-ham-v1.10.0 mdl-ham-v1.9.0 >/dev/null; git tag mdl-ham-v7.0.0 HEAD~1; git checkout -qb a;"
                   RELEASE_COMMIT("a") "git tag mdl-ham-v2.0.0; git checkout -qb b main;" RELEASE_COMMIT("b")
                   "git tag mdl-ham-v3.0.0; git merge -q --no-ff -m m a");
    CHECK_STR(str_cstr(release_closest(&d, &n)), STR("v3.0.0"));
    release_sh(&d, "git checkout -q a; git merge -q --no-ff -m m b~1");      /* the other way round: the same */
    CHECK_STR(str_cstr(release_closest(&d, &n)), STR("v3.0.0"));
    /* The nearer one wins, be it the lower version and on the second parent. */
    release_sh(&d, "git checkout -qb c main;" RELEASE_COMMIT("c1") RELEASE_COMMIT("c2") "git tag mdl-ham-v0.5.0; git checkout -q b;"
                   RELEASE_COMMIT("b1") RELEASE_COMMIT("b2") "git merge -q --no-ff -m m c");
    CHECK_STR(str_cstr(release_closest(&d, &n)), STR("v0.5.0"));
    /* A release that is no ancestor does not count. */
    release_sh(&d, "git checkout -q --orphan o;" RELEASE_COMMIT("o"));
    CHECK_STR(str_cstr(release_closest(&d, &n)), STR("none"));
    release_dir_close(&d);
}

TEST(git_closest_shallow) {
    struct release_dir d, s;
    uint64_t n;
    release_dir_open(&d);
    release_sh(&d, "git init -q -b main; git add .;" RELEASE_COMMIT("0") "git tag mdl-ham-v1.0.0;" RELEASE_COMMIT("1")
                   RELEASE_COMMIT("2") "git clone -q --depth 2 \"file://$PWD\" .git/s; git -C .git/s tag mdl-ham-v0.1.0 HEAD~1");
    s = (struct release_dir){ .a = d.a, .dir = os_path_join(&d.a, d.dir, ".git/s") };
    CHECK_STR(str_cstr(release_closest(&s, &n)), STR("v0.1.0"));
    d.a = s.a;
    release_sh(&d, "git -C .git/s tag -d mdl-ham-v0.1.0 > /dev/null; git -C .git/s tag mdl-ham-v2.0.0 $(git -C .git/s commit-tree -m x HEAD^{tree})");
    s.a = d.a;
    CHECK_STR(str_cstr(release_closest(&s, &n)), STR("cut"));
    d.a = s.a;
    release_dir_close(&d);
}

TEST(git_tag_tells_hashes) {
    struct release_dir d;
    struct err e = { 0 };
    struct rel_known_list l = { .n = 0 };
    release_dir_open(&d);
    release_sh(&d, "git init -q -b main; git config user.name a; git config user.email a@b; git add .;" RELEASE_COMMIT("0"));
    struct rel_state s = release_read(&d);
    struct rel_origin o = release_origin(&d, "");
    struct str message = str_format(&d.a, "ham v1.0.0\n\ndigest sha256:%s\ninterface %s\nlogic %s\nweights %s\ndocs %s\n",
                                    s.hash.docs, s.hash.iface, s.hash.logic, s.hash.weights, s.hash.docs);
    CHECK_OK(rel_git_tag(&d.a, &o, STR("mdl-ham-v1.0.0"), message, &e), e);
    CHECK_OK(rel_git_tag(&d.a, &o, STR("mdl-ham-v1.0.0"), message, &e), e);       /* again: the same */
    CHECK_OK(rel_git_releases(&d.a, &o, STR("ham"), &l, &e), e);
    CHECK_EQ(l.n, 1);
    CHECK(l.n && l.items[0].has_hash && !strcmp(l.items[0].hash.weights, s.hash.weights));
    CHECK(l.n && str_eq(str_sub(l.items[0].digest, 7, 71), str_cstr(s.hash.docs)));
    release_sh(&d, "test $(git cat-file -t mdl-ham-v1.0.0) = tag;" RELEASE_COMMIT("1"));
    o = release_origin(&d, "");
    CHECK_ERR(rel_git_tag(&d.a, &o, STR("mdl-ham-v1.0.0"), message, &e), e, ERR_EXISTS);
    release_dir_close(&d);
}

TEST(closest_by_content) {
    struct release_dir d;
    release_dir_open(&d);
    struct rel_state s = release_read(&d);
    struct rel_origin o = { .kind = REL_FROM_NOWHERE };
    struct rel_closest found;
    struct err e = { 0 };
    struct rel_blob all[5], most[4], other[1] = { { STR("00"), 10 } };
    for (size_t i = 0; i < 5; i++) all[i] = (struct rel_blob){ str_cstr(s.files[i].sha256), s.files[i].size_bytes };
    memcpy(most, all, sizeof most);
    struct rel_known items[] = { { .version = { 3, 0, 0, STR_EMPTY }, .blobs = other, .n_blobs = 1 },
                                 { .version = { 1, 0, 0, STR_EMPTY }, .blobs = all, .n_blobs = 5 },
                                 { .version = { 2, 0, 0, STR_EMPTY }, .blobs = most, .n_blobs = 4 },
                                 { .version = { 1, 1, 0, STR_EMPTY }, .blobs = all, .n_blobs = 5 } };
    struct rel_known_list l = { items, 4, 4 };
    CHECK_OK(rel_closest_find(&d.a, &o, &s, &l, &found, &e), e);
    CHECK_EQ(found.how, REL_CLOSEST_CONTENT);
    CHECK_EQ(found.index, 3);                    /* of the two that are equal the higher */
    CHECK_EQ(found.distance, 0);
    l.n = 1;
    CHECK_OK(rel_closest_find(&d.a, &o, &s, &l, &found, &e), e);
    CHECK_EQ(found.distance, s.size_bytes + 10);
    release_dir_close(&d);
}

/* ---- the index ------------------------------------------------------------------------------- */

static struct rel_index_repo release_index_repo(const char *name_cstr, struct rel_index_version *v,
                                                size_t n) {
    return (struct rel_index_repo){ .name = str_cstr(name_cstr), .versions = v, .n = n };
}

#define RELEASE_DIGEST(x) STR("sha256:000000000000000000000000000000000000000000000000000000000000000" x)

TEST(index_changes_only_when_it_does) {
    struct str tags[] = { STR("v1.0.0") }, more[] = { STR("latest"), STR("v1.0.0") };
    struct rel_index_version v[] = {
        { RELEASE_DIGEST("1"), tags, 1, STR("[]"), STR("{\"name\":\"Ham\"}") },
        { RELEASE_DIGEST("2"), NULL, 0, STR("[]"), STR("{}") } };
    struct rel_index x, y;
    struct err e = { 0 };
    bool changed = false;
    size_t n;
    rel_index_init(&x);
    rel_index_init(&y);
    struct rel_index_repo ham = release_index_repo("h/ham", v, 2), egg = release_index_repo("h/egg", v, 1);
    CHECK_OK(rel_index_put(&x, &ham, 10, &changed, &e), e);
    CHECK(changed && x.n == 1 && x.repos[0].changed_s == 10);
    changed = false;
    CHECK_OK(rel_index_put(&x, &ham, 20, &changed, &e), e);
    CHECK(!changed && x.repos[0].changed_s == 10);
    v[0].tags = more;
    v[0].n_tags = 2;
    CHECK_OK(rel_index_put(&x, &ham, 30, &changed, &e), e);
    CHECK(changed && x.n == 1 && x.repos[0].changed_s == 30 && x.repos[0].versions[0].n_tags == 2);
    CHECK_OK(rel_index_put(&y, &ham, 25, NULL, &e), e);
    CHECK_OK(rel_index_put(&y, &egg, 5, NULL, &e), e);
    CHECK_OK(rel_index_merge(&x, &y, &n, &e), e);      /* an older one does not win */
    CHECK(n == 1 && x.n == 2 && x.repos[1].changed_s == 30);
    CHECK_STR(x.repos[0].name, STR("h/egg"));
    rel_index_forget(&x, 0);
    CHECK(x.n == 1 && rel_index_find(&x, STR("h/ham")) && !rel_index_find(&x, STR("h/egg")));
    CHECK(rel_index_below(STR("h/org/x"), STR("h/org")) && !rel_index_below(STR("h/orgs"), STR("h/org")));
    rel_index_release(&y);
    rel_index_release(&x);
}

/* A sorted list of random insertions, against a plain search. */
TEST(index_keeps_its_order) {
    struct rel_index x;
    struct err e = { 0 };
    char names[200][16];
    rel_index_init(&x);
    for (size_t i = 0; i < 200; i++) {
        (void)snprintf(names[i], sizeof names[i], "h/%03d", (int)(test_random() % 120));
        struct rel_index_repo repo = release_index_repo(names[i], NULL, 0);
        CHECK_OK(rel_index_put(&x, &repo, (int64_t)i, NULL, &e), e);
    }
    for (size_t i = 1; i < x.n; i++) CHECK(str_cmp(x.repos[i - 1].name, x.repos[i].name) < 0);
    for (size_t i = 0; i < 200; i++) CHECK(rel_index_find(&x, str_cstr(names[i])) != NULL);
    rel_index_release(&x);
}

struct release_rows { struct arena a; struct str versions[8]; size_t n; };

static bool release_row(void *ctx, struct str json, struct err *e) {
    struct release_rows *r = ctx;
    const struct json *row = json_parse(&r->a, json, e), *v = json_get(row, "version");
    if (!row || r->n >= 8) return false;
    r->versions[r->n++] = json_is(v, JSON_STRING) ? v->string : STR("-");
    return true;
}

TEST(index_rows_by_version) {
    struct str t1[] = { STR("v1.9.0") }, t2[] = { STR("latest"), STR("v1.10.0") }, t3[] = { STR("main-x") },
               t4[] = { STR("v1.10.0-fix") };
    struct rel_index_version v[] = { { RELEASE_DIGEST("1"), t1, 1, STR("[]"), STR("{}") },
                                     { RELEASE_DIGEST("2"), t3, 1, STR("[]"), STR("{}") },
                                     { RELEASE_DIGEST("3"), t4, 1, STR("[]"), STR("{}") },
                                     { RELEASE_DIGEST("4"), t2, 2, STR("[]"), STR("{}") } };
    struct rel_index_repo ham = release_index_repo("h/ham", v, 4);
    struct release_rows r = { .n = 0 };
    struct err e = { 0 };
    arena_init(&r.a, 1 << 20);
    CHECK_OK(rel_index_rows(&ham, release_row, &r, &e), e);
    CHECK_EQ(r.n, 4);
    CHECK_STR(r.versions[0], STR("v1.10.0"));
    CHECK_STR(r.versions[1], STR("v1.10.0-fix"));
    CHECK_STR(r.versions[2], STR("v1.9.0"));
    CHECK_STR(r.versions[3], STR("-"));
    arena_release(&r.a);
}

static bool release_index_add(void *ctx, struct rel_index *x, bool *changed, struct err *e) {
    struct rel_index_repo repo = release_index_repo(ctx, NULL, 0);
    return rel_index_put(x, &repo, 1, changed, e);
}

/* Each mutating call fails in turn: the index is the old one or the new one, and the next goes on. */
TEST(index_on_disk_when_writing_fails) {
    struct err e = { 0 };
    struct arena a;
    arena_init(&a, 1 << 20);
    char *dir = mkdtemp(os_path_join(&a, "/tmp", "mlxk-XXXXXX"));
    CHECK(dir != NULL);
    CHECK_OK(rel_index_change(dir, release_index_add, "h/first", NULL, &e), e);
    for (long n = 1; n < 40; n++) {
        struct rel_index x;
        rel_index_init(&x);
        err_clear(&e);
        os_file_fail_after(n, 28 /* ENOSPC */);
        bool ok = rel_index_change(dir, release_index_add, "h/second", NULL, &e);
        os_file_fail_after(0, 0);
        CHECK(ok || e.code == ERR_DISK_FULL);
        err_clear(&e);
        CHECK_OK(rel_index_load(&x, dir, &e), e);
        CHECK(x.n == 1 || x.n == 2);
        CHECK(!ok || x.n == 2);
        CHECK(rel_index_find(&x, STR("h/first")) != NULL);
        rel_index_release(&x);
        if (ok && n > 20) break;
    }
    CHECK_OK(rel_index_change(dir, release_index_add, "h/second", NULL, &e), e);
    CHECK_OK(os_remove_tree(dir, &e), e);
    arena_release(&a);
}

/* ---- names in Python, clients ------------------------------------------------------------------ */

TEST(python_names) {
    static const struct { const char *name, *module, *class_name; } rows[] = {
        { "ham", "ham", "Ham" },
        { "smol-lm2", "smol_lm2", "SmolLm2" },
        { "smollm2-135m.instruct", "smollm2_135m_instruct", "Smollm2_135mInstruct" },
        { "3b", "m3b", "M3b" },
        { "1", "m1", "M1" },
        { "a--b", "a__b", "AB" },
        { "_", "_", "M" },
        { "class", "class_", "Class" },
        { "none", "none_", "None_" },
        { "true", "true_", "True_" },
        { "test", "test_", "Test" },
        { "abc", "abc_", "Abc" },
        { "zoneinfo", "zoneinfo_", "Zoneinfo" },
        { "mlxk", "mlxk_", "Mlxk" },
        { "wheel", "wheel_", "Wheel" },
        { "wheels", "wheels", "Wheels" },
        { "as-if", "as_if", "AsIf" },
    };
    struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        CHECK_STR(rel_python_module(&a, str_cstr(rows[i].name)), str_cstr(rows[i].module));
        CHECK_STR(rel_python_class(&a, str_cstr(rows[i].name)), str_cstr(rows[i].class_name));
    }
    struct rel_version v;
    CHECK(rel_version_parse(STR("v1.2.3-Fix.x-1"), &v));
    CHECK_STR(rel_python_version(&a, &v), STR("v1_2_3_fix_x_1"));
    arena_release(&a);
}

static bool release_is_identifier(struct str s) {
    bool ok = s.n > 0 && !(s.p[0] >= '0' && s.p[0] <= '9');
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        ok = ok && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_');
    }
    return ok;
}

/* Whatever a model is called: what stands in code is an identifier. */
TEST(python_names_are_identifiers) {
    static const char letters[] = "abz019._-/ \"'\\\n;(){}#\xc3\xbc";
    for (int i = 0; i < 20000; i++) {
        struct arena a;
        struct err e = { 0 };
        struct str name;
        char text[80];
        size_t n = 1 + test_random() % sizeof text;
        arena_init(&a, 1 << 20);
        for (size_t k = 0; k < n; k++) text[k] = letters[test_random() % (sizeof letters - 1)];
        CHECK_OK(rel_sanitise(&a, (struct str){ text, n }, REL_MAX_NAME, &name, &e), e);
        CHECK(release_is_identifier(rel_python_module(&a, name)));
        CHECK(release_is_identifier(rel_python_class(&a, name)));
        arena_release(&a);
    }
}

/* The same release gives the same digest; what differs in it gives another. */
TEST(client_is_a_function_of_the_release) {
    struct release_dir d;
    struct err e = { 0 };
    struct rel_package p, c[4], q[2];
    struct rel_version v = { 1, 2, 3, STR_EMPTY }, w = { 1, 2, 4, STR_EMPTY };
    struct rel_whose ham = { STR("ham"), false }, eggs = { STR("eggs"), false },
                     named = { STR("ham"), true };
    struct rel_install in;
    release_dir_open(&d);
    struct rel_state s = release_read(&d);
    CHECK_OK(rel_pack(&d.a, &s, &p, &e), e);
    CHECK_OK(rel_client_make(&d.a, &p, &ham, &v, &c[0], &e), e);
    CHECK_OK(rel_client_make(&d.a, &p, &ham, &v, &c[1], &e), e);
    CHECK_OK(rel_client_make(&d.a, &p, &ham, &w, &c[2], &e), e);
    CHECK_OK(rel_client_make(&d.a, &p, &eggs, &v, &c[3], &e), e);
    CHECK_STR(c[0].manifest.digest, c[1].manifest.digest);
    CHECK(!str_eq(c[0].manifest.digest, c[2].manifest.digest));
    CHECK(!str_eq(c[0].manifest.digest, c[3].manifest.digest));
    CHECK_OK(rel_package_make(&d.a, &p, &ham, &v, &q[0], &e), e);
    CHECK_EQ(q[0].manifest.n_layers, c[0].manifest.n_layers + 3 + p.manifest.n_layers);
    CHECK_OK(rel_install_read(&d.a, &c[0].manifest, &in, &e), e);
    CHECK_STR(in.module, STR("ham.client.v1"));
    CHECK_STR(in.leaf, STR("ham/client/v1"));
    CHECK_STR(in.dist, STR("ham-client-v1"));
    CHECK_STR(in.tag, STR("v1.2.3"));
    CHECK_STR(in.info, STR("ham_client_v1-1.2.3.dist-info"));
    CHECK_EQ(in.n_files, c[0].manifest.n_layers);
    CHECK_OK(rel_install_read(&d.a, &q[0].manifest, &in, &e), e);
    CHECK_STR(in.module, STR("ham.v1_2_3"));
    CHECK_STR(in.dist, STR("ham-pkg-v1.2.3"));
    CHECK_EQ(in.n_files, c[0].manifest.n_layers + 3);
    CHECK(in.model < q[0].manifest.n_layers);
    CHECK_OK(rel_client_make(&d.a, &p, &named, &v, &c[1], &e), e);
    CHECK_OK(rel_install_read(&d.a, &c[1].manifest, &in, &e), e);
    CHECK_STR(in.tag, STR("ham-v1.2.3"));
    CHECK(!str_eq(c[0].manifest.digest, c[1].manifest.digest));
    for (size_t i = 0; i < c[1].manifest.n_annotations; i++)     /* another's tag is not believed */
        if (str_eq(c[1].manifest.annotations[i].key, STR(REL_KEY_TAG)))
            c[1].manifest.annotations[i].value = STR("egg-v1.2.3");
    CHECK_OK(rel_install_read(&d.a, &c[1].manifest, &in, &e), e);
    CHECK_STR(in.tag, STR("v1.2.3"));
    CHECK_ERR(rel_install_read(&d.a, &p.manifest, &in, &e), e, ERR_UNSUPPORTED);
    release_sh(&d, "mkdir -p ham/v1_2_3; echo x > ham/v1_2_3/__init__.py");
    s = release_read(&d);
    CHECK_OK(rel_pack(&d.a, &s, &p, &e), e);
    CHECK_ERR(rel_package_make(&d.a, &p, &ham, &v, &q[1], &e), e, ERR_INVALID);
    release_dir_close(&d);
}

/* Claims, in a layout, where they work as in a registry: one is had, a second one of another content waits, then counts the first as killed. */
TEST(claims) {
    struct release_dir d;
    struct err e = { 0 };
    struct oci_ref ref;
    struct oci_options o = { .may_write = true };
    struct rel_claim one, same, other;
    const struct rel_whose ham = { STR("ham"), true }, egg = { STR("egg"), true };
    struct oci_names tags;
    char *text;
    release_dir_open(&d);
    text = str_dup_cstr(&d.a, str_format(&d.a, "oci:%s/layout", d.dir));
    CHECK_OK(oci_ref_parse(&d.a, str_cstr(text), &ref, &e), e);
    struct oci *at = oci_open(&ref, &o, &e);
    CHECK_OK(at != NULL, e);
    struct str x = oci_digest_of(&d.a, STR("x")), y = oci_digest_of(&d.a, STR("y"));
    CHECK_OK(rel_claim_take(&d.a, at, &ham, x, 5, &one, &e), e);
    CHECK(one.held);
    bool stands = false;
    CHECK_OK(rel_claim_stands(&d.a, at, &ham, x, &stands, &e), e);
    CHECK(stands);
    CHECK_OK(rel_claim_stands(&d.a, at, &ham, y, &stands, &e), e);
    CHECK(!stands);
    CHECK_OK(rel_claim_take(&d.a, at, &ham, x, 5, &same, &e), e);     /* the same content is no rival */
    CHECK(same.held && str_eq(same.tag, one.tag));
    CHECK_OK(rel_claim_take(&d.a, at, &egg, y, 5, &other, &e), e);    /* nor is another model */
    CHECK(other.held);
    rel_claim_drop(at, &other);
    CHECK_OK(oci_tags(&d.a, at, &tags, &e), e);
    CHECK_EQ(tags.n, 1);
    struct rel_tag parsed;
    rel_tag_parse(tags.names[0], STR_EMPTY, &parsed);
    CHECK_EQ(parsed.kind, REL_TAG_OTHER);
    CHECK_OK(rel_claim_take(&d.a, at, &ham, y, 250, &other, &e), e);  /* a killed one's is put away */
    CHECK(other.held && other.told);
    CHECK_OK(oci_tags(&d.a, at, &tags, &e), e);
    CHECK(tags.n == 1 && str_eq(tags.names[0], other.tag));
    rel_claim_drop(at, &other);
    CHECK_OK(oci_tags(&d.a, at, &tags, &e), e);
    CHECK_EQ(tags.n, 0);
    oci_close(at);
    release_dir_close(&d);
}

TEST_LIST(release) {
    T(version_reads), T(version_order_is_total), T(version_order_is_semver), T(version_next_is_greater),
    T(version_ranges), T(tag_table), T(ages_read), T(tags_of_one_model), T(ranges_of_one_model), T(names_made_fit), T(names_survive_tags), T(names_refused), T(classes),
    T(canonical_json), T(state_document), T(state_hashes_move_alone), T(state_other_shards_are_no_other_weights),
    T(state_refuses), T(bump_table), T(bump_of_every_case), T(version_ranges_of_every_case),
    T(git_origin), T(git_branches), T(git_corners), T(git_closest), T(git_closest_shallow), T(git_tag_tells_hashes),
    T(closest_by_content), T(index_changes_only_when_it_does), T(index_keeps_its_order), T(index_rows_by_version),
    T(index_on_disk_when_writing_fails),
    T(claims), T(python_names), T(python_names_are_identifiers), T(client_is_a_function_of_the_release),
    TEST_END
};
