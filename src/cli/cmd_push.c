/* cmd_push.c: `push` uploads a folder to a private repository of the hub (experimental, as upstream
 * calls it).
 *
 *  1. --private is demanded, and kept: an existing public repository is refused unless
 *     --allow-public is given.
 *  2. --check-only looks at the folder and asks nobody; --dry-run asks the hub and changes nothing.
 */
#include "cli/cli_card.h"
#include "cli/cli_fetch.h"
#include "cli/cmd_push.h"
#include "hub/hub.h"

#include <build_info.h>

static const struct cli_option cmd_push_options[] = {
    { "local_dir", NULL, CLI_TEXT, NULL, "folder to upload", 0, 0, false },
    { "repo_id", NULL, CLI_TEXT, NULL, "target, ORG/NAME", 0, 0, false },
    { "--create", NULL, CLI_FLAG, NULL, "make the repository or branch where missing", 0, 0,
      false },
    { "--private", NULL, CLI_FLAG, NULL, "required: the repository is, or becomes, private", 0, 0,
      false },
    { "--branch", NULL, CLI_TEXT, "BRANCH", "target branch (main)", 0, 0, false },
    { "--commit", NULL, CLI_TEXT, "MESSAGE", "commit message (mlx-knife push)", 0, 0, false },
    { "--verbose", NULL, CLI_FLAG, NULL, "tell more", 0, 0, false },
    { "--check-only", NULL, CLI_FLAG, NULL, "look at the folder, upload nothing", 0, 0, false },
    { "--dry-run", NULL, CLI_FLAG, NULL, "compare with the repository, upload nothing", 0, 0,
      false },
    { "--allow-public", NULL, CLI_FLAG, NULL, "also into a repository that everybody can read", 0,
      0, true },
};

enum { CMD_PUSH_NAMES = 20 };                    /* listed of a dry run */

struct cmd_push {
    struct cli_context *c;
    struct str repo, branch, local;      /* local: as told to people */
    char *dir_cstr;
    struct str endpoint;
    bool counted;                        /* result.n_local is known */
    struct hub_push_result result;
    struct cmd_push_check check;
    bool checked, dry_run, done;
    struct str message;
    struct cache_matches matches;
    struct cli_fetch fetch;
};

/* ---- documents (Private) ---- */

static void cmd_push_count(struct json_writer *w, const char *key_cstr, bool known, uint64_t n) {
    json_write_key(w, key_cstr);
    if (known) json_write_u64(w, n);
    else json_write_null(w);
}

static void cmd_push_summary(struct json_writer *w, const char *key_cstr,
                             const struct hub_push_result *r, bool with_deleted) {
    json_write_key(w, key_cstr);
    json_write_object(w);
    cmd_push_count(w, "added", true, r->n_added);
    cmd_push_count(w, "modified", true, r->n_modified);
    cmd_push_count(w, "deleted", true, with_deleted ? r->n_deleted : 0);
    json_write_object_end(w);
}

static void cmd_push_names(struct json_writer *w, const char *key_cstr, const struct str *names,
                           size_t n) {
    json_write_key(w, key_cstr);
    json_write_array(w);
    for (size_t i = 0; i < n && i < CMD_PUSH_NAMES; i++) json_write_str(w, names[i]);
    json_write_array_end(w);
}

static void cmd_push_details(struct json_writer *w, const struct cmd_push *p) {
    const struct hub_push_result *r = &p->result;
    if (p->checked) {
        json_write_key(w, "workspace_health");
        cmd_push_check_write(w, &p->check);
    }
    if (!p->done) return;
    cmd_push_summary(w, "change_summary", r, p->dry_run);
    if (!p->dry_run) {
        cmd_push_count(w, "uploaded_bytes", true, r->uploaded_bytes);
        cmd_push_count(w, "n_stored_before", true, r->n_stored);
        return;
    }
    json_write_key(w, "dry_run");
    json_write_bool(w, true);
    cmd_push_summary(w, "dry_run_summary", r, true);
    json_write_key(w, "would_create_repo");
    json_write_bool(w, r->repo_missing);
    json_write_key(w, "would_create_branch");
    json_write_bool(w, r->repo_missing || r->branch_missing);
    if (!r->repo_missing) {
        json_write_key(w, "repo_is_public");
        json_write_bool(w, r->is_public);
    }
    if (r->repo_missing || r->branch_missing) return;
    cmd_push_names(w, "added_files", r->added, r->n_added);
    cmd_push_names(w, "deleted_files", r->deleted, r->n_deleted);
}

static void cmd_push_data(struct json_writer *w, const struct cmd_push *p) {
    const struct hub_push_result *r = &p->result;
    bool pushed = p->done && !p->dry_run;
    json_write_object(w);
    json_write_key(w, "repo_id");
    json_write_str(w, p->repo);
    json_write_key(w, "branch");
    json_write_str(w, p->branch);
    json_write_member_or_null(w, "commit_sha", r->commit);
    json_write_member_or_null(w, "commit_url", r->commit_url);
    json_write_key(w, "repo_url");
    json_write_str(w, str_format(&p->c->arena, STR_FMT "/" STR_FMT, STR_ARG(p->endpoint),
                                 STR_ARG(p->repo)));
    cmd_push_count(w, "uploaded_files_count", p->done, pushed ? r->n_added + r->n_modified : 0);
    cmd_push_count(w, "local_files_count", p->counted, r->n_local);
    json_write_key(w, "no_changes");
    if (!p->done) json_write_null(w);
    else json_write_bool(w, r->no_changes && !(p->dry_run && r->n_deleted));
    json_write_key(w, "created_repo");
    json_write_bool(w, r->created_repo);
    json_write_member_or_null(w, "message", p->message);
    json_write_key(w, "experimental");
    json_write_bool(w, true);
    json_write_key(w, "disclaimer");
    json_write_cstr(w, "Experimental feature (M0: upload only). No validation/filters; "
                       "review results on the Hub.");
    cmd_push_details(w, p);
    json_write_object_end(w);
}

static int cmd_push_fail(struct cmd_push *p, const char *type_cstr) {
    struct cli_context *c = p->c;
    struct buf data;
    struct json_writer w;
    if (!c->out.json) return cli_fail(c, &c->err, type_cstr);
    cli_data_begin(&w, &data, LIMIT_JSON_DOC);
    cmd_push_data(&w, p);
    struct str extra = p->matches.n ? cli_card_matches(&c->arena, &p->matches) : STR_EMPTY;
    int status = cli_fail_data(c, &c->err, type_cstr, buf_str(&data), extra);
    buf_release(&data);
    return status;
}

/* ---- words (Private) ---- */

static struct str cmd_push_message(struct cmd_push *p) {
    const struct hub_push_result *r = &p->result;
    struct arena *a = &p->c->arena;
    if (p->dry_run && r->repo_missing)
        return STR("Dry-run: repository does not exist; would create and add all files.");
    if (p->dry_run && r->branch_missing)
        return STR("Dry-run: branch does not exist; would create branch and add all files.");
    if (p->dry_run && r->no_changes && !r->n_deleted) return STR("Dry-run: no changes");
    if (p->dry_run)
        return str_format(a, "Dry-run: +%zu ~%zu -%zu", r->n_added, r->n_modified, r->n_deleted);
    if (r->no_changes) return STR("No files changed; skipped empty commit.");
    return str_format(a, "Committed %zu files (+%zu ~%zu -0).", r->n_added + r->n_modified,
                      r->n_added, r->n_modified);
}

static void cmd_push_print_dry(struct cmd_push *p) {
    struct cli_context *c = p->c;
    const struct hub_push_result *r = &p->result;
    bool verbose = cli_flag(&c->args, "--verbose");
    if (r->no_changes && !r->n_deleted) {
        cli_print(c, "dry-run: no changes\n");
        return;
    }
    cli_print(c, "dry-run: +%zu ~%zu -%zu", r->n_added, r->n_modified, r->n_deleted);
    if (verbose && r->repo_missing) cli_print(c, " (create repo, create branch)");
    else if (verbose && r->branch_missing) cli_print(c, " (create branch)");
    cli_print(c, "\n");
    if (r->is_public && !r->repo_missing)
        cli_note(c, "note: the repository is public; pushing to it needs --allow-public");
    if (r->n_deleted)
        cli_note(c, "note: - counts files that are only at the hub; push leaves them there");
}

static int cmd_push_done(struct cmd_push *p) {
    struct cli_context *c = p->c;
    const struct hub_push_result *r = &p->result;
    if (!p->checked) p->message = cmd_push_message(p);
    if (c->out.json) {
        cmd_push_data(cli_document(c), p);
        return cli_document_end(c);
    }
    bool verbose = cli_flag(&c->args, "--verbose");
    cli_print(c, "push (experimental): " STR_FMT "@" STR_FMT " — ", STR_ARG(p->repo),
              STR_ARG(p->branch));
    if (p->checked) cli_print(c, STR_FMT "\n", STR_ARG(p->message));
    else if (p->dry_run) cmd_push_print_dry(p);
    else if (r->no_changes)
        cli_print(c, "no changes%s\n", verbose ? " (No files changed; skipped empty commit.)" : "");
    else {
        cli_print(c, "commit %.7s (+%zu ~%zu -0)", r->commit.p, r->n_added, r->n_modified);
        if (verbose) cli_print(c, " <" STR_FMT ">", STR_ARG(r->commit_url));
        cli_print(c, "\n");
    }
    return 0;
}

/* ---- the folder (Private): mlx-knife facts 3.3 ---- */

static bool cmd_push_ambiguous(struct cmd_push *p, struct str typed,
                               const struct cache_model *models, size_t n) {
    struct cli_context *c = p->c;
    struct buf names;
    p->matches.names = ARENA_ARRAY(&c->arena, struct str, n);
    if (!p->matches.names) return err_oom(&c->err, n * 16, "names");
    buf_init(&names, 4096);
    for (size_t i = 0; i < n; i++) {
        p->matches.names[p->matches.n++] = models[i].name;
        struct str base = os_path_base(models[i].dir_cstr);
        buf_addf(&names, "%s" STR_FMT, i ? ", " : "", STR_ARG(base));
    }
    err_set(&c->err, ERR_AMBIGUOUS, "Ambiguous pattern '" STR_FMT "' matches %zu workspaces: %s. "
            "Please specify exact path.", STR_ARG(typed), n, names.failed ? "" : names.p);
    buf_release(&names);
    return false;
}

static bool cmd_push_folder(struct cmd_push *p, const char **type_cstr) {
    struct cli_context *c = p->c;
    struct str typed = cli_text(&c->args, "local_dir");
    struct os_stat st;
    struct cache_model *models;
    size_t n = 0;
    *type_cstr = "workspace_not_found";
    if (str_trim(typed).n == 0) {
        *type_cstr = "ValidationError";
        return err_set(&c->err, ERR_INVALID, "Invalid local directory: empty");
    }
    p->local = typed;
    p->dir_cstr = str_dup_cstr(&c->arena, typed);
    if (!p->dir_cstr) return err_oom(&c->err, typed.n, "a path");
    if (os_stat(p->dir_cstr, &st) && st.kind == OS_DIR) return true;
    bool is_path = str_starts(typed, STR("./")) || str_starts(typed, STR("../"))
                   || str_starts(typed, STR("/"));
    if (!is_path)
        return err_set(&c->err, ERR_NOT_FOUND, "Workspace not found or not a directory: " STR_FMT,
                       STR_ARG(typed));
    if (!cache_list(&c->arena, &c->cache, typed, &models, &n, &c->err)) return false;
    if (n == 0)
        return err_set(&c->err, ERR_NOT_FOUND, "No workspace found matching: " STR_FMT,
                       STR_ARG(typed));
    *type_cstr = "ambiguous_workspace";
    if (n > 1) return cmd_push_ambiguous(p, typed, models, n);
    p->local = models[0].name;
    p->dir_cstr = str_dup_cstr(&c->arena, models[0].name);
    return p->dir_cstr || err_oom(&c->err, LIMIT_PATH, "a path");
}

/* ---- all of it (Private) ---- */

static const char *cmd_push_error_type(const struct cmd_push *p) {
    if (p->c->err.code == ERR_INTERRUPTED) return NULL;
    switch (p->result.stage) {
    case HUB_PUSH_MISSING: return "repo_not_found";
    case HUB_PUSH_PUBLIC: return "repo_is_public";
    case HUB_PUSH_BRANCH: return "branch_create_failed";
    case HUB_PUSH_SEND: return "upload_failed";
    case HUB_PUSH_ASK: return p->c->err.code == ERR_ACCESS ? "auth_error" : "push_operation_failed";
    default: return "push_operation_failed";
    }
}

static int cmd_push_only_check(struct cmd_push *p) {
    struct cli_context *c = p->c;
    if (!cmd_push_check_folder(&c->arena, p->dir_cstr, p->local, &p->check, &c->err))
        return cmd_push_fail(p, "push_operation_failed");
    p->checked = p->counted = true;
    p->result.n_local = p->check.n_files;
    p->message = STR("Check-only: no upload performed.");
    return cmd_push_done(p);
}

static int cmd_push_upload(struct cmd_push *p, struct hub *h) {
    struct cli_context *c = p->c;
    struct hub_push_options o = {
        .dir_cstr = p->dir_cstr, .repo = p->repo, .branch = p->branch,
        .message = cli_text(&c->args, "--commit"), .create = cli_flag(&c->args, "--create"),
        .allow_public = cli_flag(&c->args, "--allow-public"), .dry_run = p->dry_run,
        .event = cli_fetch_event, .ctx = &p->fetch,
    };
    cli_fetch_begin(&p->fetch, c);
    p->done = hub_push(&c->arena, h, &o, &p->result, &c->err);
    cli_fetch_end(&p->fetch);
    p->endpoint = p->result.endpoint;    /* before the hub is asked, upstream's address stands */
    p->counted = p->result.stage != HUB_PUSH_READ;
    return p->done ? cmd_push_done(p) : cmd_push_fail(p, cmd_push_error_type(p));
}

static int cmd_push_run(struct cli_context *c) {
    struct cmd_push p = { .c = c, .repo = cli_text(&c->args, "repo_id"), .branch = STR("main"),
                          .endpoint = STR("https://huggingface.co") };
    struct http_options options = { .user_agent_cstr = "mlxk/" MLXK_VERSION };
    struct hub h = { .client = NULL };
    const char *type_cstr = NULL;
    if (!cli_flag(&c->args, "--private")) {
        err_set(&c->err, ERR_USAGE, "the following arguments are required: --private");
        return cli_fail(c, &c->err, "CommandError");
    }
    p.dry_run = cli_flag(&c->args, "--dry-run");
    if (cli_text(&c->args, "--branch").n) p.branch = cli_text(&c->args, "--branch");
    bool check = cli_flag(&c->args, "--check-only");
    bool opened = hub_open(&c->arena, &options, &h, &c->err);
    struct err closed = c->err;
    err_clear(&c->err);
    if (str_trim(cli_text(&c->args, "local_dir")).n && !check && opened && h.secret.n == 0) {
        err_set(&c->err, ERR_ACCESS, "HF_TOKEN not set");
        hub_close(&h);
        return cmd_push_fail(&p, "auth_error");
    }
    int status;
    if (!cmd_push_folder(&p, &type_cstr)) status = cmd_push_fail(&p, type_cstr);
    else if (check) status = cmd_push_only_check(&p);
    else if (!opened) {
        c->err = closed;
        status = cmd_push_fail(&p, closed.code == ERR_INVALID ? "auth_error" : NULL);
    } else status = cmd_push_upload(&p, &h);
    hub_close(&h);
    return status;
}

MLXK_FN const struct cli_command *cmd_push(void) {
    static const struct cli_command command = {
        "push",
        "upload a folder to a private repository (experimental)",
        "network",
        cmd_push_options,
        MLXK_COUNT(cmd_push_options),
        "  mlxk push ./my-model org/name --private --create\n"
        "  mlxk push ./my-model org/name --private --dry-run\n"
        "  mlxk push ./my-model org/name --private --check-only --json\n",
        cmd_push_run,
    };
    return &command;
}
