/* cmd_clean_versions.c: `clean-versions` takes states that were not released out of a
 * repository. */
#include "cli/cli_store.h"

static const struct cli_option cmd_clean_versions_options[] = {
    { "repository", NULL, CLI_TEXT, NULL, "HOST/REPO, oci:DIR or oci-archive:FILE", 0, 0, true },
    { "--branch", NULL, CLI_TEXT, "NAME", "only states of this branch", 0, 0, true },
    { "--yes", NULL, CLI_FLAG, NULL, "do it; without it the plan is told", 0, 0, true },
    CLI_OCI_OPTIONS,
};

static const char *const cmd_clean_versions_acts[] = { "keep", "untag", "delete" };

static void cmd_clean_versions_document(struct cli_context *c, const struct rel_clean *p,
                                        bool done) {
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_key(w, "dry_run");
    json_write_bool(w, !done);
    json_write_key(w, "digests");
    json_write_array(w);
    for (size_t i = 0; i < p->entries.n; i++) {
        const struct rel_entry *x = &p->entries.items[i];
        json_write_object(w);
        json_write_member(w, "digest", x->digest);
        json_write_member(w, "action", str_cstr(cmd_clean_versions_acts[p->acts[i].act]));
        json_write_member_or_null(w, "kept_by", str_cstr(p->acts[i].reason_cstr));
        json_write_key(w, "tags");
        json_write_array(w);
        for (size_t k = 0; k < x->n_tags; k++) json_write_str(w, x->tags[k].text);
        json_write_array_end(w);
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_object_end(w);
}

static int cmd_clean_versions_success(struct cli_context *c, const struct rel_clean *p, bool done) {
    size_t n[3] = { 0, 0, 0 };
    if (c->out.json) {
        cmd_clean_versions_document(c, p, done);
        return cli_document_end(c);
    }
    for (size_t i = 0; i < p->entries.n; i++) {
        const struct rel_entry *x = &p->entries.items[i];
        n[p->acts[i].act]++;
        if (p->acts[i].act == REL_CLEAN_KEEP) continue;
        cli_print(c, "%-6s  " STR_FMT " ", cmd_clean_versions_acts[p->acts[i].act],
                  STR_ARG(str_sub(x->digest, 0, 19)));
        for (size_t k = 0; k < x->n_tags; k++) cli_print(c, " " STR_FMT, STR_ARG(x->tags[k].text));
        cli_print(c, "\n");
    }
    cli_print(c, "%zu %s, %zu kept%s\n", n[REL_CLEAN_DELETE] + n[REL_CLEAN_UNTAG],
              done ? "removed" : "to be removed", n[REL_CLEAN_KEEP],
              done ? "; the registry's garbage collection frees the space" : "; --yes does it");
    return 0;
}

static int cmd_clean_versions_run(struct cli_context *c) {
    struct rel_clean plan = { .branch = STR_EMPTY };
    struct cli_oci progress;
    struct oci_ref ref;
    struct str branch = cli_text(&c->args, "--branch");
    bool done = cli_flag(&c->args, "--yes");
    if (!cli_store_repository(c, cli_text(&c->args, "repository"), &ref)
        || (branch.n && !rel_sanitise(&c->arena, branch, REL_MAX_BRANCH, &branch, &c->err)))
        return cli_fail(c, &c->err, NULL);
    cli_oci_begin(&progress, c);
    progress.may_delete = done;
    os_interrupt_catch(true);
    struct oci *o = cli_oci_open(&progress, &ref, done, true);
    bool ok = o && rel_clean_plan(&c->arena, o, branch, &plan, &c->err)
              && (!done || (rel_clean_run(&c->arena, o, &plan, &c->err) && oci_finish(o, &c->err)));
    oci_close(o);
    os_interrupt_catch(false);
    cli_oci_end(&progress);
    return ok ? cmd_clean_versions_success(c, &plan, done) : cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_clean_versions(void) {
    static const struct cli_command command = {
        "clean-versions",
        "states that were not released leave a repository",
        "versions",
        cmd_clean_versions_options,
        MLXK_COUNT(cmd_clean_versions_options),
        "  mlxk clean-versions registry.example/org/model\n"
        "  mlxk clean-versions registry.example/org/model --branch fix/x --yes\n",
        cmd_clean_versions_run,
    };
    return &command;
}
