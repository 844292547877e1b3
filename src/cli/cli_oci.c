/* cli_oci.c: registries for commands: options read, handles opened, progress shown. */
#include "cli/cli_oci.h"

#include <build_info.h>
#include <stdio.h>

MLXK_FN void cli_oci_begin(struct cli_oci *x, struct cli_context *c) {
    *x = (struct cli_oci){ .c = c };
}

MLXK_FN void cli_oci_end(struct cli_oci *x) {
    cli_progress_end(&x->progress);
}

static bool cli_oci_event(void *ctx, const struct oci_event *ev) {
    struct cli_oci *x = ctx;
    if (ev->kind == OCI_NOTE) {
        cli_note(x->c, "note: %s", ev->note_cstr);
        return true;
    }
    if (ev->kind == OCI_PLAN || !x->counting) {
        cli_progress_end(&x->progress);
        cli_progress_begin(x->c, &x->progress, x->label, ev->total_bytes, true);
        x->progress.start_done = ev->done_bytes;
        x->counting = true;
    }
    (void)snprintf(x->label, sizeof x->label, "%zu/%zu blobs", ev->done_blobs, ev->total_blobs);
    cli_progress_update(&x->progress, ev->done_bytes);
    return true;
}

MLXK_FN bool cli_oci_ref(struct cli_context *c, struct str text, struct oci_ref *out) {
    return oci_ref_alias(&c->arena, str_trim(text), &text, &c->err)
           && oci_ref_parse(&c->arena, text, out, &c->err);
}

static bool cli_oci_has_options(const struct cli_command *command) {
    for (size_t i = 0; command && i < command->n_options; i++)
        if (strcmp(command->options[i].name_cstr, "--plain-http") == 0) return true;
    return false;
}

MLXK_FN void cli_oci_options(struct cli_context *c, struct oci_options *out) {
    *out = (struct oci_options){ .http = { .user_agent_cstr = "mlxk/" MLXK_VERSION } };
    if (!cli_oci_has_options(c->args.command)) return;
    const struct cli_value *plain = cli_get(&c->args, "--plain-http"),
                           *insecure = cli_get(&c->args, "--insecure"),
                           *mirrors = cli_get(&c->args, "--mirror");
    struct str ca = cli_text(&c->args, "--ca-file");
    out->plain_http = plain->list;
    out->n_plain_http = plain->n;
    out->insecure = insecure->list;
    out->n_insecure = insecure->n;
    out->mirrors = mirrors->list;
    out->n_mirrors = mirrors->n;
    if (ca.n) out->http.ca_file_cstr = str_dup_cstr(&c->arena, ca);
}

MLXK_FN struct oci *cli_oci_open(struct cli_oci *x, const struct oci_ref *r, bool may_write,
                                 bool shows) {
    struct oci_options o;
    cli_oci_options(x->c, &o);
    o.may_write = may_write;
    o.may_delete = x->may_delete;
    o.http.limit_bytes_per_s = x->limit_bytes_per_s;
    o.event = shows ? cli_oci_event : NULL;
    o.ctx = x;
    return oci_open(r, &o, &x->c->err);
}

MLXK_FN bool cli_oci_with(struct cli_context *c, const struct oci_ref *r, bool may_write,
                          bool (*work)(void *ctx, struct oci *o), void *ctx) {
    struct cli_oci progress;
    cli_oci_begin(&progress, c);
    struct oci *o = cli_oci_open(&progress, r, may_write, true);
    bool ok = o && work(ctx, o);
    oci_close(o);
    cli_oci_end(&progress);
    return ok;
}
