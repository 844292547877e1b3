/* cmd_clean_versions.c: `clean-versions` takes states that were not released out of a
 * repository. */
#include "cli/cli_store.h"
#include "care/care.h"
#include "hub/hub.h"

static const struct cli_option cmd_clean_versions_options[] = {
    { "repository", NULL, CLI_TEXT, NULL, "HOST/REPO, oci:DIR or oci-archive:FILE", 0, 0, true },
    { "--branch", NULL, CLI_TEXT, "NAME", "only states of this branch", 0, 0, true },
    CLI_STORE_NAME_OPTION,
    { "--keep", NULL, CLI_INT, "N", "the newest N stay, of each branch and of no branch", 1,
      1000000, true },
    { "--older-than", NULL, CLI_TEXT, "AGE", "only states older than 12h, 7d, 6mo", 0, 0, true },
    { "--git", NULL, CLI_TEXT, "DIR", "the work tree whose commits tell ages (this folder)", 0, 0,
      true },
    { "--lock", NULL, CLI_LIST, "FILE", "what this lock file names stays", 0, 0, true },
    { "--dry-run", NULL, CLI_FLAG, NULL, "tell the plan only (the default)", 0, 0, true },
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
        json_write_key(w, "time");
        if (p->acts[i].has_time) json_write_i64(w, p->acts[i].time_s);
        else json_write_null(w);
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

/* The digests that lock files name, whatever repository they are of. */
static bool cmd_clean_versions_locks(struct cli_context *c, struct rel_clean_wish *w) {
    const struct cli_value *files = cli_get(&c->args, "--lock");
    struct hub_lock *list;
    size_t n, cap = 0;
    struct str *keep = NULL;
    for (size_t i = 0; i < files->n; i++) {
        char *path_cstr = str_dup_cstr(&c->arena, files->list[i]);
        if (!path_cstr) return err_oom(&c->err, files->list[i].n, "a path");
        if (!hub_lock_list(&c->arena, path_cstr, &list, &n, &c->err)) return false;
        struct str *grown = ARENA_ARRAY(&c->arena, struct str, cap + n + 1);
        if (!grown) return err_oom(&c->err, cap + n, "a list of digests");
        if (w->n_keep) memcpy(grown, keep, w->n_keep * sizeof *grown);
        keep = grown;
        cap += n;
        for (size_t k = 0; k < n; k++)
            if (list[k].digest.n) keep[w->n_keep++] = list[k].digest;
    }
    w->keep = keep;
    return true;
}

static bool cmd_clean_versions_wish(struct cli_context *c, struct rel_clean_wish *w) {
    struct str age = cli_text(&c->args, "--older-than"), git = cli_text(&c->args, "--git");
    int64_t age_ns = 0;
    *w = (struct rel_clean_wish){ .branch = cli_text(&c->args, "--branch"),
                                  .newest = (size_t)cli_int(&c->args, "--keep", 0),
                                  .now_s = os_time_ns() / 1000000000, .git_dir_cstr = "." };
    if (cli_flag(&c->args, "--yes") && cli_flag(&c->args, "--dry-run"))
        return err_set(&c->err, ERR_USAGE, "--yes does what --dry-run only tells");
    if (age.n && !care_parse_age(age, &age_ns, &c->err)) return false;
    w->older_than_s = age_ns / 1000000000;
    if (git.n) w->git_dir_cstr = str_dup_cstr(&c->arena, git);
    if (!w->git_dir_cstr) return err_oom(&c->err, git.n, "a path");
    if (w->branch.n && !rel_sanitise(&c->arena, w->branch, REL_MAX_BRANCH, &w->branch, &c->err))
        return false;
    return cmd_clean_versions_locks(c, w);
}

static int cmd_clean_versions_run(struct cli_context *c) {
    struct rel_clean plan = { .wish = NULL };
    struct rel_clean_wish wish;
    struct rel_whose_wish whose = { .given = STR_EMPTY };
    struct cli_oci progress;
    struct oci_ref ref;
    bool done = cli_flag(&c->args, "--yes"), one = cli_get(&c->args, "--name")->given;
    if (!cli_store_repository(c, cli_text(&c->args, "repository"), &ref)
        || !cmd_clean_versions_wish(c, &wish)
        || (one && !cli_store_wish(c, &ref, false, &whose)))
        return cli_fail(c, &c->err, NULL);
    cli_oci_begin(&progress, c);
    progress.may_delete = done;
    struct oci *o = cli_oci_open(&progress, &ref, done, true);
    bool ok = o && (!one || rel_whose_find(&c->arena, o, &whose, &wish.whose, &c->err))
              && rel_clean_plan(&c->arena, o, &wish, &plan, &c->err)
              && (!done || (rel_clean_run(&c->arena, o, &plan, &c->err) && oci_finish(o, &c->err)));
    oci_close(o);
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
        "  mlxk clean-versions registry.example/org/model --branch fix/x --yes\n"
        "  mlxk clean-versions registry.example/org/model --keep 3 --older-than 30d\n",
        cmd_clean_versions_run,
    };
    return &command;
}
