/* cmd_versions.c: `versions` lists what a repository holds, `releases` only its releases. */
#include "cli/cli_store.h"

static const struct cli_option cmd_versions_options[] = {
    { "repository", NULL, CLI_TEXT, NULL, "HOST/REPO, oci:DIR or oci-archive:FILE", 0, 0, true },
    { "--compatible", NULL, CLI_MAYBE, "HOW",
      "only with the interface of --with: strict (default), semver", 0, 0, true },
    { "--with", NULL, CLI_TEXT, "MODEL", "the model to be compatible with (this folder)", 0, 0,
      true },
    CLI_STORE_NAME_OPTION,
    CLI_OCI_OPTIONS,
};
static const struct cli_option cmd_releases_options[] = {
    { "repository", NULL, CLI_TEXT, NULL, "HOST/REPO, oci:DIR or oci-archive:FILE", 0, 0, true },
    CLI_STORE_NAME_OPTION,
    CLI_OCI_OPTIONS,
};

struct cmd_versions {
    struct cli_context *c;
    struct oci_ref ref;
    struct rel_whose_wish wish;
    struct rel_whose whose;
    struct rel_entries list;
    bool releases;
    char iface[65];              /* empty: any */
    bool semver; uint32_t major; bool has_major;
};

/* ---- which ones (Private) ---- */

/* With semver the major number of the releases that have this very interface counts. */
static void cmd_versions_major(struct cmd_versions *x) {
    for (size_t i = 0; i < x->list.n; i++) {
        const struct rel_entry *v = &x->list.items[i];
        if (v->has_version && v->has_hash && !strcmp(v->hash.iface, x->iface) && !x->has_major) {
            x->has_major = true;
            x->major = v->version.major;
        }
    }
}

static bool cmd_versions_is_wanted(const struct cmd_versions *x, const struct rel_entry *v) {
    if (x->releases) return v->has_version;
    if (!x->iface[0]) return true;
    if (v->has_hash && !strcmp(v->hash.iface, x->iface)) return true;
    return x->semver && x->has_major && v->has_version && v->version.major == x->major;
}

static bool cmd_versions_reference(struct cmd_versions *x) {
    struct cli_context *c = x->c;
    const struct cli_value *how = cli_get(&c->args, "--compatible");
    struct str with = cli_text(&c->args, "--with");
    struct rel_state s;
    if (!how->given) return true;
    x->semver = str_eq(how->text, STR("semver"));
    if (how->text.n && !x->semver && !str_eq(how->text, STR("strict"))) {
        err_set(&c->err, ERR_USAGE,
                "argument --compatible: '" STR_FMT "' is neither strict nor semver",
                STR_ARG(str_sub(how->text, 0, 40)));
        return false;
    }
    if (!cli_state_read(c, with.n ? with : STR("."), &s, &c->err)) return false;
    memcpy(x->iface, s.hash.iface, 65);
    return true;
}

static bool cmd_versions_read(void *ctx, struct oci *o) {
    struct cmd_versions *x = ctx;
    struct cli_context *c = x->c;
    bool one = x->wish.given.n;
    if ((one && !rel_whose_find(&c->arena, o, &x->wish, &x->whose, &c->err))
        || !rel_list(&c->arena, o, one ? &x->whose : NULL, x->releases, &x->list, &c->err))
        return false;
    for (size_t i = 0; i < x->list.n; i++)
        if ((!x->releases || x->list.items[i].has_version)
            && !rel_entry_read(&c->arena, o, &x->list.items[i], &c->err))
            return false;
    cmd_versions_major(x);
    return true;
}

/* ---- telling (Private) ---- */

static void cmd_versions_entry(struct cmd_versions *x, struct json_writer *w,
                               const struct rel_entry *v) {
    json_write_object(w);
    json_write_member_or_null(
        w, "version", v->has_version ? rel_version_text(&x->c->arena, &v->version) : STR_EMPTY);
    json_write_member_or_null(w, "name", v->name);
    json_write_member(w, "digest", v->digest);
    json_write_key(w, "tags");
    json_write_array(w);
    for (size_t i = 0; i < v->n_tags; i++) {
        json_write_object(w);
        json_write_member(w, "tag", v->tags[i].text);
        json_write_member(w, "kind", str_cstr(rel_tag_kind_name(v->tags[i].tag.kind)));
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_key(w, "size_bytes");
    json_write_u64(w, v->size_bytes);
    json_write_member_or_null(w, "interface", v->has_hash ? str_cstr(v->hash.iface) : STR_EMPTY);
    json_write_member_or_null(w, "git", v->git);
    json_write_object_end(w);
}

static bool cmd_versions_row(struct cmd_versions *x, struct cli_grid *g,
                             const struct rel_entry *v) {
    struct arena *a = &x->c->arena;
    char size[16];
    struct buf others;
    size_t n = num_format_size(size, v->size_bytes);
    buf_init(&others, 1 << 16);
    for (size_t i = 0; i < v->n_tags && i < 6; i++)
        buf_addf(&others, "%s" STR_FMT, i ? " " : "", STR_ARG(v->tags[i].text));
    if (v->n_tags > 6) buf_addf(&others, " and %zu more", v->n_tags - 6);
    struct rel_whose whose = { v->name, v->name.n > 0 };
    struct str version = v->has_version ? rel_version_text(a, &v->version) : STR("-");
    struct str cells[] = { rel_whose_tag(a, &whose, version),
                           str_dup(a, (struct str){ size, n }), str_sub(v->digest, 7, 19),
                           v->has_hash ? str_sub(str_cstr(v->hash.iface), 0, REL_SHORT) : STR("-"),
                           str_dup(a, buf_str(&others)) };
    buf_release(&others);
    return cli_grid_row(g, cells) || err_oom(&x->c->err, 256, "a table");
}

static int cmd_versions_success(struct cmd_versions *x) {
    static const char *heads[] = { "Version", "Size", "Digest", "Interface", "Tags" };
    struct cli_context *c = x->c;
    struct cli_grid g;
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        json_write_member(w, "repository", oci_ref_text(&c->arena, &x->ref));
        json_write_key(w, "versions");
        json_write_array(w);
        for (size_t i = 0; i < x->list.n; i++)
            if (cmd_versions_is_wanted(x, &x->list.items[i]))
                cmd_versions_entry(x, w, &x->list.items[i]);
        json_write_array_end(w);
        json_write_object_end(w);
        return cli_document_end(c);
    }
    cli_grid_init(&g, &c->arena, heads, MLXK_COUNT(heads), 2);
    for (size_t i = 0; i < x->list.n; i++)
        if (cmd_versions_is_wanted(x, &x->list.items[i])
            && !cmd_versions_row(x, &g, &x->list.items[i]))
            return cli_fail(c, &c->err, NULL);
    if (g.n_rows) cli_grid_print(c, &g);
    else cli_note(c, "there are none");
    return 0;
}

static int cmd_versions_any(struct cli_context *c, bool releases) {
    struct cmd_versions x = { .c = c, .releases = releases };
    if (!cli_store_repository(c, cli_text(&c->args, "repository"), &x.ref)
        || (cli_get(&c->args, "--name")->given && !cli_store_wish(c, &x.ref, false, &x.wish))
        || (!releases && !cmd_versions_reference(&x)))
        return cli_fail(c, &c->err, NULL);
    return cli_oci_with(c, &x.ref, false, cmd_versions_read, &x)
           ? cmd_versions_success(&x) : cli_fail(c, &c->err, NULL);
}

static int cmd_versions_run(struct cli_context *c) { return cmd_versions_any(c, false); }
static int cmd_releases_run(struct cli_context *c) { return cmd_versions_any(c, true); }

MLXK_FN const struct cli_command *cmd_versions(void) {
    static const struct cli_command command = {
        "versions",
        "all states and releases that a repository holds",
        "versions",
        cmd_versions_options,
        MLXK_COUNT(cmd_versions_options),
        "  mlxk versions registry.example/org/model\n"
        "  mlxk versions registry.example/org/model --compatible --with ./my-model\n",
        cmd_versions_run,
    };
    return &command;
}

MLXK_FN const struct cli_command *cmd_releases(void) {
    static const struct cli_command command = {
        "releases",
        "the releases that a repository holds, highest first",
        "versions",
        cmd_releases_options,
        MLXK_COUNT(cmd_releases_options),
        "  mlxk releases registry.example/org/model\n",
        cmd_releases_run,
    };
    return &command;
}
