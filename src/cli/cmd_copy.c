/* cmd_copy.c: `copy` moves an artifact between registries, layouts in folders and tar files. */
#include "cli/cli_oci.h"

static const struct cli_option cmd_copy_options[] = {
    { "source", NULL, CLI_TEXT, NULL,
      "HOST/REPO[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG]", 0, 0, true },
    { "target", NULL, CLI_TEXT, NULL, "where to; without a tag it gets the source's", 0, 0, true },
    { "--referrers", NULL, CLI_FLAG, NULL, "with signatures and what else refers to it", 0, 0,
      true },
    { "--dry-run", NULL, CLI_FLAG, NULL, "tell what it consists of, move nothing", 0, 0, true },
    { "--limit-rate", NULL, CLI_SIZE, "RATE", "bytes per second at most (500K, 2M)", 0, 0, true },
    { "--quiet", NULL, CLI_FLAG, NULL, "no progress, no notes", 0, 0, true },
    CLI_OCI_OPTIONS,
};

struct cmd_copy { struct cli_context *c; struct oci_ref from, to; struct oci_copy_result result; };

static void cmd_copy_document(struct cmd_copy *x) {
    const struct oci_copy_result *r = &x->result;
    struct json_writer *w = cli_document(x->c);
    json_write_object(w);
    json_write_member(w, "source", oci_ref_text(&x->c->arena, &x->from));
    json_write_member(w, "target", oci_ref_text(&x->c->arena, &x->to));
    json_write_member(w, "digest", r->digest);
    json_write_key(w, "dry_run");
    json_write_bool(w, cli_flag(&x->c->args, "--dry-run"));
    const struct { const char *key_cstr; uint64_t value; } numbers[] = {
        { "n_manifests", r->n_manifests }, { "n_blobs", r->n_blobs }, { "n_sent", r->n_sent },
        { "n_there", r->n_there }, { "n_mounted", r->n_mounted }, { "total_bytes", r->total_bytes },
        { "sent_bytes", r->sent_bytes } };
    for (size_t i = 0; i < MLXK_COUNT(numbers); i++) {
        json_write_key(w, numbers[i].key_cstr);
        json_write_u64(w, numbers[i].value);
    }
    json_write_object_end(w);
}

static int cmd_copy_success(struct cmd_copy *x) {
    struct cli_context *c = x->c;
    const struct oci_copy_result *r = &x->result;
    char total[16], sent[16];
    if (c->out.json) {
        cmd_copy_document(x);
        return cli_document_end(c);
    }
    num_format_size(total, r->total_bytes);
    num_format_size(sent, r->sent_bytes);
    if (cli_flag(&c->args, "--dry-run")) {
        cli_print(c, STR_FMT ": %zu manifests, %zu blobs, %s\n", STR_ARG(r->digest), r->n_manifests,
                  r->n_blobs, total);
        return 0;
    }
    cli_print(c, STR_FMT "\n", STR_ARG(oci_ref_text(&c->arena, &x->to)));
    cli_print(c, STR_FMT ": %s sent, %zu of %zu blobs were there%s\n", STR_ARG(r->digest), sent,
              r->n_there + r->n_mounted, r->n_blobs, r->n_mounted ? " or mounted" : "");
    return 0;
}

/* A target without a tag and digest takes the source's tag. */
static bool cmd_copy_refs(struct cmd_copy *x) {
    struct cli_context *c = x->c;
    if (!cli_oci_ref(c, cli_text(&c->args, "source"), &x->from)
        || !cli_oci_ref(c, cli_text(&c->args, "target"), &x->to))
        return false;
    if (x->to.digest.n) {
        err_set(&c->err, ERR_INVALID,
                "a target is named by a tag, its digest follows from the content");
        return err_hint(&c->err, "leave out what stands behind '@'");
    }
    if (!x->to.tag.n)
        x->to.tag = x->from.tag.n ? x->from.tag : x->from.digest.n ? STR_EMPTY : STR("latest");
    return true;
}

static bool cmd_copy_move(struct cmd_copy *x, struct oci *from, struct oci *to) {
    struct cli_context *c = x->c;
    struct oci_copy_options o = { .referrers = cli_flag(&c->args, "--referrers"),
                                  .dry_run = cli_flag(&c->args, "--dry-run") };
    return oci_copy(&c->arena, from, oci_ref_what(&x->from), to, x->to.tag, &o, &x->result, &c->err)
           && (o.dry_run || oci_finish(to, &c->err));
}

static int cmd_copy_run(struct cli_context *c) {
    struct cmd_copy x = { .c = c };
    struct cli_oci progress;
    c->args.quiet = cli_flag(&c->args, "--quiet");
    if (!cmd_copy_refs(&x)) return cli_fail(c, &c->err, NULL);
    cli_oci_begin(&progress, c);
    progress.limit_bytes_per_s = (uint64_t)cli_int(&c->args, "--limit-rate", 0);
    bool dry_run = cli_flag(&c->args, "--dry-run");
    struct oci *from = cli_oci_open(&progress, &x.from, false, false);
    struct oci *to = !from ? NULL : dry_run ? from : cli_oci_open(&progress, &x.to, true, true);
    bool ok = to && cmd_copy_move(&x, from, to);
    if (to != from) oci_close(to);
    oci_close(from);
    cli_oci_end(&progress);
    return ok ? cmd_copy_success(&x) : cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_copy(void) {
    static const struct cli_command command = {
        "copy",
        "an artifact from one registry or layout to another",
        "network",
        cmd_copy_options,
        MLXK_COUNT(cmd_copy_options),
        "  mlxk copy ghcr.io/org/model:v1 oci:layout\n"
        "  mlxk copy oci-archive:model.tar:v1 registry.example/org/model\n",
        cmd_copy_run,
    };
    return &command;
}
