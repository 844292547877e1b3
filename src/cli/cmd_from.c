/* cmd_from.c: `from` brings a version of a model into the cache and prints where it is. */
#include "cli/cli_store.h"
#include "cli/cli_sign.h"

static const struct cli_option cmd_from_options[] = {
    { "reference", NULL, CLI_TEXT, NULL,
      "HOST/REPO[:TAG|@DIGEST], oci:DIR[:TAG] or oci-archive:FILE[:TAG]", 0, 0, true },
    { "[version]", NULL, CLI_TEXT, NULL,
      "vX.Y.Z, vX, vX.Y, ^X.Y.Z, ~X.Y.Z or latest: the highest release of it", 0, 0, true },
    { "--name", NULL, CLI_TEXT, "NAME", "the model, where the repository holds several", 0, 0,
      true },
    { "--quiet", NULL, CLI_FLAG, NULL, "no progress, no notes", 0, 0, true },
    CLI_OCI_OPTIONS,
};

struct cmd_from {
    struct cli_context *c;
    struct oci_ref ref;
    struct str what;
    struct oci_pull_result result;
};

/* The highest release that the range has. */
static bool cmd_from_choose(struct cmd_from *x, struct oci *o, struct str wanted) {
    struct cli_context *c = x->c;
    struct rel_whose_wish wish;
    struct rel_whose whose;
    if (cli_get(&c->args, "--name")->given) {
        if (!cli_store_wish(c, &x->ref, false, &wish)
            || !rel_whose_find(&c->arena, o, &wish, &whose, &c->err))
            return false;
        wanted = rel_whose_tag(&c->arena, &whose, wanted);
    }
    if (!cli_oci_highest(c, o, wanted, &x->what)) return false;
    if (x->what.n) return true;
    err_set(&c->err, ERR_NOT_FOUND, STR_FMT " has no release " STR_FMT,
            STR_ARG(oci_ref_text(&c->arena, &x->ref)), STR_ARG(str_sub(wanted, 0, 64)));
    return err_hint(&c->err, "`mlxk releases` lists those that are there");
}

static bool cmd_from_bring(void *ctx, struct oci *o) {
    struct cmd_from *x = ctx;
    struct cli_context *c = x->c;
    struct oci_pull_options options = { .dry_run = false };
    struct str wanted = cli_text(&c->args, "[version]");
    if (wanted.n && (x->ref.tag.n || x->ref.digest.n)) {
        err_set(&c->err, ERR_INVALID, "the reference names a tag already, and so does " STR_FMT,
                STR_ARG(str_sub(wanted, 0, 64)));
        return err_hint(&c->err, "give one of them");
    }
    x->what = wanted.n ? STR_EMPTY : oci_ref_what(&x->ref);
    if (wanted.n && !cmd_from_choose(x, o, wanted)) return false;
    if (wanted.n) x->ref.tag = x->what;
    struct cli_sign_verdict judged;
    if (!cli_sign_judge(c, o, &x->ref, &judged)) return false;
    options.digest = judged.digest;
    return oci_pull(&c->arena, o, x->what, &c->cache, &options, &x->result, &c->err)
           && cli_sign_keep(c, &judged, &x->result);
}

static int cmd_from_success(struct cmd_from *x) {
    struct cli_context *c = x->c;
    if (!c->out.json) {
        cli_print(c, "%s\n", x->result.snapshot_cstr);
        return 0;
    }
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_member(w, "tag", x->what);
    json_write_member(w, "digest", x->result.digest);
    json_write_member(w, "model", x->result.model);
    json_write_member(w, "path", str_cstr(x->result.snapshot_cstr));
    json_write_key(w, "fetched_bytes");
    json_write_u64(w, x->result.fetched_bytes);
    json_write_object_end(w);
    return cli_document_end(c);
}

static int cmd_from_run(struct cli_context *c) {
    struct cmd_from x = { .c = c };
    c->args.quiet = cli_flag(&c->args, "--quiet");
    if (!cli_oci_ref(c, cli_text(&c->args, "reference"), &x.ref))
        return cli_fail(c, &c->err, NULL);
    return cli_oci_with(c, &x.ref, false, cmd_from_bring, &x)
           ? cmd_from_success(&x) : cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_from(void) {
    static const struct cli_command command = {
        "from",
        "a version of a model in the cache, and where it is",
        "versions",
        cmd_from_options,
        MLXK_COUNT(cmd_from_options),
        "  mlxk from registry.example/org/model v1\n"
        "  mlxk from registry.example/org/model '^1.2.0'\n",
        cmd_from_run,
    };
    return &command;
}
