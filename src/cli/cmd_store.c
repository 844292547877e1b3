/* cmd_store.c: `store` keeps the state of a model in a registry or layout, under tags that tell
 * it. */
#include "cli/cli_store.h"

static const struct cli_option cmd_store_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "a folder, or a model of the cache", 0, 0, true },
    { "repository", NULL, CLI_TEXT, NULL, "HOST/REPO, oci:DIR or oci-archive:FILE", 0, 0, true },
    { "--branch", NULL, CLI_FLAG, NULL, "also under BRANCH-DIRTY-CLIENT", 0, 0, true },
    { "--branch-only", NULL, CLI_FLAG, NULL, "only under BRANCH-DIRTY-CLIENT", 0, 0, true },
    { "--branch-name", NULL, CLI_TEXT, "NAME", "the branch, where git does not tell it", 0, 0,
      true },
    { "--dry-run", NULL, CLI_FLAG, NULL, "tell tags and digest, send nothing", 0, 0, true },
    { "--quiet", NULL, CLI_FLAG, NULL, "no progress, no notes", 0, 0, true },
    CLI_OCI_OPTIONS,
};

struct cmd_store {
    struct cli_store s;
    struct str tags[2]; size_t n_tags;
    struct rel_pushed pushed;
};

static bool cmd_store_tags(struct cmd_store *x) {
    struct cli_context *c = x->s.c;
    bool only = cli_flag(&c->args, "--branch-only");
    if (!only) x->tags[x->n_tags++] = cli_store_adhoc(&x->s);
    if (only || cli_flag(&c->args, "--branch")) {
        if (!x->s.origin.branch_tag.n) {
            err_set(&c->err, ERR_INVALID, "%s is on no branch: it is in no git work tree",
                    x->s.state.dir_cstr);
            return err_hint(&c->err, "--branch-name NAME names one");
        }
        x->tags[x->n_tags++] =
            str_format(&c->arena, STR_FMT "-%s-%.12s", STR_ARG(x->s.origin.branch_tag),
                       x->s.origin.dirty, x->s.state.hash.iface);
    }
    for (size_t i = 0; i < x->n_tags; i++)
        if (!x->tags[i].p) return err_oom(&c->err, 128, "a tag");
    return true;
}

static bool cmd_store_send(void *ctx, struct oci *o) {
    struct cmd_store *x = ctx;
    struct cli_context *c = x->s.c;
    for (size_t i = 0; i < x->n_tags; i++) {
        struct rel_pushed r;
        if (!rel_push(&c->arena, o, &x->s.pack, x->tags[i], &r, &c->err)) return false;
        x->pushed.n_sent += r.n_sent;
        x->pushed.sent_bytes += r.sent_bytes;
    }
    return oci_finish(o, &c->err);
}

static int cmd_store_success(struct cmd_store *x) {
    struct cli_context *c = x->s.c;
    char size[16];
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        cli_store_members(w, &x->s);
        json_write_key(w, "tags");
        json_write_array(w);
        for (size_t i = 0; i < x->n_tags; i++) json_write_str(w, x->tags[i]);
        json_write_array_end(w);
        json_write_key(w, "n_sent");
        json_write_u64(w, x->pushed.n_sent);
        json_write_key(w, "sent_bytes");
        json_write_u64(w, x->pushed.sent_bytes);
        json_write_key(w, "dry_run");
        json_write_bool(w, cli_flag(&c->args, "--dry-run"));
        json_write_object_end(w);
        return cli_document_end(c);
    }
    num_format_size(size, x->pushed.sent_bytes);
    for (size_t i = 0; i < x->n_tags; i++) cli_print(c, STR_FMT "\n", STR_ARG(x->tags[i]));
    if (cli_flag(&c->args, "--dry-run"))
        cli_note(c, STR_FMT ": nothing was sent", STR_ARG(x->s.pack.manifest.digest));
    else
        cli_note(c, STR_FMT ": %s sent in %zu blobs", STR_ARG(x->s.pack.manifest.digest), size,
                 x->pushed.n_sent);
    return 0;
}

static int cmd_store_run(struct cli_context *c) {
    struct cmd_store x = { .s = { .c = c } };
    c->args.quiet = cli_flag(&c->args, "--quiet");
    if (!cli_store_begin(&x.s, cli_text(&c->args, "--branch-name")) || !cmd_store_tags(&x))
        return cli_fail(c, &c->err, NULL);
    if (cli_flag(&c->args, "--dry-run")) return cmd_store_success(&x);
    return cli_oci_with(c, &x.s.ref, true, cmd_store_send, &x)
           ? cmd_store_success(&x) : cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_store(void) {
    static const struct cli_command command = {
        "store",
        "keep the state of a model in a registry, under tags that tell it",
        "versions",
        cmd_store_options,
        MLXK_COUNT(cmd_store_options),
        "  mlxk store ./my-model oci:layout --branch-name main --branch\n"
        "  mlxk store ./my-model registry.example/org/model\n",
        cmd_store_run,
    };
    return &command;
}
