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
    { "--name", NULL, CLI_TEXT, "NAME", "the model's name, where the repository holds several", 0,
      0, true },
    { "--named", NULL, CLI_FLAG, NULL, "NAME- in front of the tags", 0, 0, true },
    { "--dry-run", NULL, CLI_FLAG, NULL, "tell tags and digest, send nothing", 0, 0, true },
    { "--quiet", NULL, CLI_FLAG, NULL, "no progress, no notes", 0, 0, true },
    CLI_OCI_OPTIONS,
};

struct cmd_store {
    struct cli_store s;
    struct rel_whose_wish wish;
    struct rel_whose whose;
    struct str tags[2]; size_t n_tags;
    struct rel_pushed pushed;
};

static bool cmd_store_branch_check(struct cmd_store *x) {
    struct cli_context *c = x->s.c;
    bool wanted = cli_flag(&c->args, "--branch-only") || cli_flag(&c->args, "--branch");
    if (!wanted || x->s.origin.branch_tag.n) return true;
    err_set(&c->err, ERR_INVALID, "%s is on no branch: it is in no git work tree",
            x->s.state.dir_cstr);
    return err_hint(&c->err, "--branch-name NAME names one");
}

static bool cmd_store_tags(struct cmd_store *x) {
    struct cli_context *c = x->s.c;
    bool only = cli_flag(&c->args, "--branch-only");
    if (!only) x->tags[x->n_tags++] = cli_store_adhoc(&x->s, &x->whose);
    if (only || cli_flag(&c->args, "--branch")) {
        struct str tag = str_format(&c->arena, STR_FMT "-%s-%.12s", STR_ARG(x->s.origin.branch_tag),
                                    x->s.origin.dirty, x->s.state.hash.iface);
        x->tags[x->n_tags++] = rel_whose_tag(&c->arena, &x->whose, tag);
    }
    for (size_t i = 0; i < x->n_tags; i++) {
        if (!x->tags[i].p) return err_oom(&c->err, 128, "a tag");
        if (!oci_tag_ok(x->tags[i]))
            return err_set(&c->err, ERR_INVALID, STR_FMT " is too long for a tag",
                           STR_ARG(x->tags[i]));
    }
    return true;
}

/* Without a name nothing is asked: a state tells its commit, whosever it is. */
static bool cmd_store_whose(struct cmd_store *x, struct oci *o) {
    struct cli_context *c = x->s.c;
    if (!x->wish.given.n && !x->wish.named) return true;
    return rel_whose_find(&c->arena, o, &x->wish, &x->whose, &c->err);
}

static bool cmd_store_send(void *ctx, struct oci *o) {
    struct cmd_store *x = ctx;
    struct cli_context *c = x->s.c;
    bool dry_run = cli_flag(&c->args, "--dry-run");
    if (!cmd_store_whose(x, o) || !cmd_store_tags(x)) return false;
    for (size_t i = 0; !dry_run && i < x->n_tags; i++) {
        struct rel_pushed r;
        if (!rel_push(&c->arena, o, &x->s.pack, x->tags[i], &r, &c->err)) return false;
        x->pushed.n_sent += r.n_sent;
        x->pushed.sent_bytes += r.sent_bytes;
    }
    return dry_run || oci_finish(o, &c->err);
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
    bool dry_run = cli_flag(&c->args, "--dry-run"), named = cli_flag(&c->args, "--named"),
         whose = named || cli_get(&c->args, "--name")->given;
    struct os_stat st;
    if (!cli_store_begin(&x.s, cli_text(&c->args, "--branch-name"))
        || !cmd_store_branch_check(&x) || (whose && !cli_store_wish(c, &x.s.ref, named, &x.wish)))
        return cli_fail(c, &c->err, NULL);
    x.whose = (struct rel_whose){ x.wish.given.n ? x.wish.given : x.wish.otherwise, named };
    bool absent = x.s.ref.path_cstr && !os_stat(x.s.ref.path_cstr, &st),
         asks = !dry_run || (whose && !absent);          /* a plain plan asks nobody */
    bool ok = asks ? cli_oci_with(c, &x.s.ref, !dry_run, cmd_store_send, &x) : cmd_store_tags(&x);
    return ok ? cmd_store_success(&x) : cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_store(void) {
    static const struct cli_command command = {
        "store",
        "keep a model's state in a registry, under tags that tell it",
        "versions",
        cmd_store_options,
        MLXK_COUNT(cmd_store_options),
        "  mlxk store ./my-model oci:layout --branch-name main --branch\n"
        "  mlxk store ./my-model registry.example/org/model\n",
        cmd_store_run,
    };
    return &command;
}
