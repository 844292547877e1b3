/* cmd_inspect.c: `inspect` tells what a reference names; `tags` lists what a repository has. */
#include "cli/cli_oci.h"

enum { CMD_INSPECT_CONFIG = 1 << 20 };

static const struct cli_option cmd_inspect_options[] = {
    { "reference", NULL, CLI_TEXT, NULL,
      "HOST/REPO[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG]", 0, 0, true },
    { "--raw", NULL, CLI_FLAG, NULL, "the manifest as it is, byte for byte", 0, 0, true },
    { "--config", NULL, CLI_FLAG, NULL, "the config as it is, byte for byte", 0, 0, true },
    { "--referrers", NULL, CLI_FLAG, NULL, "signatures and what else refers to it, too", 0, 0,
      true },
    CLI_OCI_OPTIONS,
};
static const struct cli_option cmd_tags_options[] = {
    { "repository", NULL, CLI_TEXT, NULL, "HOST/REPO, oci:DIR or oci-archive:FILE", 0, 0, true },
    CLI_OCI_OPTIONS,
};

struct cmd_inspect {
    struct cli_context *c;
    struct oci_ref ref;
    struct oci_manifest m;
    struct oci_desc *referrers; size_t n_referrers;
    struct oci_names tags;
};

/* ---- output (Private) ---- */

static void cmd_inspect_pairs(struct json_writer *w, const struct oci_pair *pairs, size_t n) {
    json_write_key(w, "annotations");
    json_write_object(w);
    for (size_t i = 0; i < n; i++) {
        json_write_key_str(w, pairs[i].key);
        json_write_str(w, pairs[i].value);
    }
    json_write_object_end(w);
}

static struct str cmd_inspect_path(const struct oci_desc *d) {
    struct err none = { 0 };
    struct str path;
    return oci_layer_path(d, &path, &none) ? path : STR_EMPTY;
}

static void cmd_inspect_list(struct json_writer *w, const char *key_cstr,
                             const struct oci_desc *list, size_t n) {
    json_write_key(w, key_cstr);
    json_write_array(w);
    for (size_t i = 0; i < n; i++) {
        json_write_object(w);
        json_write_member_or_null(w, "path", cmd_inspect_path(&list[i]));
        json_write_member(w, "media_type", list[i].media_type);
        json_write_member_or_null(w, "artifact_type", list[i].artifact_type);
        json_write_member(w, "digest", list[i].digest);
        json_write_key(w, "size_bytes");
        json_write_u64(w, list[i].size_bytes);
        cmd_inspect_pairs(w, list[i].annotations, list[i].n_annotations);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

static uint64_t cmd_inspect_size(const struct oci_manifest *m) {
    uint64_t sum = m->config.size_bytes;
    for (size_t i = 0; i < m->n_layers; i++) sum += m->layers[i].size_bytes;
    return sum;
}

static void cmd_inspect_document(struct cmd_inspect *x) {
    const struct oci_manifest *m = &x->m;
    struct json_writer *w = cli_document(x->c);
    json_write_object(w);
    json_write_member(w, "reference", oci_ref_text(&x->c->arena, &x->ref));
    json_write_member(w, "digest", m->digest);
    json_write_member(w, "media_type", m->media_type);
    json_write_member_or_null(w, "artifact_type", oci_manifest_type(m));
    json_write_key(w, "size_bytes");
    json_write_u64(w, cmd_inspect_size(m));
    json_write_member_or_null(w, "subject", m->has_subject ? m->subject.digest : STR_EMPTY);
    cmd_inspect_pairs(w, m->annotations, m->n_annotations);
    cmd_inspect_list(w, m->is_index ? "manifests" : "layers", m->layers, m->n_layers);
    if (cli_flag(&x->c->args, "--referrers"))
        cmd_inspect_list(w, "referrers", x->referrers, x->n_referrers);
    json_write_object_end(w);
}

static bool cmd_inspect_grid(struct cmd_inspect *x, const struct oci_desc *list, size_t n) {
    static const char *heads[] = { "Size", "Type", "Digest", "Path" };
    struct cli_context *c = x->c;
    struct cli_grid g;
    cli_grid_init(&g, &c->arena, heads, MLXK_COUNT(heads), 1);
    for (size_t i = 0; i < n; i++) {
        char size[16];
        size_t size_n = num_format_size(size, list[i].size_bytes);
        struct str type = list[i].artifact_type.n ? list[i].artifact_type : list[i].media_type;
        struct str cells[] = { str_dup(&c->arena, (struct str){ size, size_n }), type,
                               str_sub(list[i].digest, 0, 19), cmd_inspect_path(&list[i]) };
        if (!cli_grid_row(&g, cells)) return err_oom(&c->err, 256, "a table");
    }
    cli_grid_print(c, &g);
    return true;
}

static bool cmd_inspect_print(struct cmd_inspect *x) {
    struct cli_context *c = x->c;
    const struct oci_manifest *m = &x->m;
    char size[16];
    num_format_size(size, cmd_inspect_size(m));
    cli_print(c, STR_FMT "\n", STR_ARG(oci_ref_text(&c->arena, &x->ref)));
    cli_print(c, "  digest:   " STR_FMT "\n", STR_ARG(m->digest));
    cli_print(c, "  type:     " STR_FMT "\n",
              STR_ARG(cli_line(&c->arena, oci_manifest_type(m).n ? oci_manifest_type(m)
                                                                 : m->media_type)));
    cli_print(c, "  size:     %s in %zu %s\n", size, m->n_layers,
              m->is_index ? "manifests" : "layers");
    if (m->has_subject) cli_print(c, "  subject:  " STR_FMT "\n", STR_ARG(m->subject.digest));
    for (size_t i = 0; i < m->n_annotations; i++)
        cli_print(c, "  " STR_FMT ": " STR_FMT "\n",
                  STR_ARG(cli_line(&c->arena, m->annotations[i].key)),
                  STR_ARG(cli_line(&c->arena, str_sub(m->annotations[i].value, 0, 200))));
    cli_print(c, "\n");
    if (m->n_layers && !cmd_inspect_grid(x, m->layers, m->n_layers)) return false;
    if (!cli_flag(&c->args, "--referrers")) return true;
    cli_print(c, "\n%zu referrers\n", x->n_referrers);
    return !x->n_referrers || cmd_inspect_grid(x, x->referrers, x->n_referrers);
}

/* ---- inspect ---- */

static bool cmd_inspect_ask(struct cmd_inspect *x, struct oci *o, struct str *config) {
    struct cli_context *c = x->c;
    if (!oci_manifest_get(&c->arena, o, oci_ref_what(&x->ref), &x->m, &c->err)) return false;
    if (cli_flag(&c->args, "--config") && x->m.is_index)
        return err_set(&c->err, ERR_INVALID, "an index has no config");
    if (cli_flag(&c->args, "--config")
        && !oci_blob_text(&c->arena, o, &x->m.config, CMD_INSPECT_CONFIG, config, &c->err))
        return false;
    return !cli_flag(&c->args, "--referrers")
           || oci_referrers(&c->arena, o, x->m.digest, STR_EMPTY, &x->referrers, &x->n_referrers,
                            &c->err);
}

static int cmd_inspect_run(struct cli_context *c) {
    struct cmd_inspect x = { .c = c };
    struct cli_oci progress;
    struct str config = STR_EMPTY;
    bool raw = cli_flag(&c->args, "--raw"), wants_config = cli_flag(&c->args, "--config");
    cli_oci_begin(&progress, c);
    bool ok = cli_oci_ref(c, cli_text(&c->args, "reference"), &x.ref);
    if (ok && (raw || wants_config) && (c->out.json || (raw && wants_config)))
        ok = err_set(&c->err, ERR_USAGE, "argument --raw: not allowed with argument %s",
                     c->out.json ? "--json" : "--config");
    struct oci *o = ok ? cli_oci_open(&progress, &x.ref, false, true) : NULL;
    ok = o && cmd_inspect_ask(&x, o, &config);
    oci_close(o);
    if (!ok) return cli_fail(c, &c->err, c->err.code == ERR_USAGE ? "CommandError" : NULL);
    if (c->out.json) {
        cmd_inspect_document(&x);
        return cli_document_end(c);
    }
    if (raw || wants_config) {
        struct str text = raw ? x.m.text : config;
        if (os_is_tty(1)) cli_print(c, STR_FMT, STR_ARG(text));
        else cli_print_str(c, text);             /* to the byte: its digest is known */
        return 0;
    }
    return cmd_inspect_print(&x) ? 0 : cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_inspect(void) {
    static const struct cli_command command = {
        "inspect",
        "what a reference to a registry or layout names",
        "network",
        cmd_inspect_options,
        MLXK_COUNT(cmd_inspect_options),
        "  mlxk inspect ghcr.io/org/model:v1\n  mlxk inspect oci:layout:v1 --raw\n",
        cmd_inspect_run,
    };
    return &command;
}

/* ---- tags ---- */

static int cmd_tags_run(struct cli_context *c) {
    struct cmd_inspect x = { .c = c };
    struct cli_oci progress;
    cli_oci_begin(&progress, c);
    bool ok = cli_oci_ref(c, cli_text(&c->args, "repository"), &x.ref);
    struct oci *o = ok ? cli_oci_open(&progress, &x.ref, false, true) : NULL;
    ok = o && oci_tags(&c->arena, o, &x.tags, &c->err);
    oci_close(o);
    if (!ok) return cli_fail(c, &c->err, NULL);
    if (!c->out.json) {
        for (size_t i = 0; i < x.tags.n; i++) cli_print(c, STR_FMT "\n", STR_ARG(x.tags.names[i]));
        return 0;
    }
    struct json_writer *w = cli_document(c);
    x.ref.tag = x.ref.digest = STR_EMPTY;
    json_write_object(w);
    json_write_member(w, "repository", oci_ref_text(&c->arena, &x.ref));
    json_write_key(w, "tags");
    json_write_array(w);
    for (size_t i = 0; i < x.tags.n; i++) json_write_str(w, x.tags.names[i]);
    json_write_array_end(w);
    json_write_object_end(w);
    return cli_document_end(c);
}

MLXK_FN const struct cli_command *cmd_tags(void) {
    static const struct cli_command command = {
        "tags",
        "the tags of a repository in a registry or layout",
        "network",
        cmd_tags_options,
        MLXK_COUNT(cmd_tags_options),
        "  mlxk tags ghcr.io/org/model\n  mlxk tags oci:layout\n",
        cmd_tags_run,
    };
    return &command;
}
