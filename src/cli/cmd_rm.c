/* cmd_rm.c: `rm` takes a model, or with NAME@HASH one snapshot of it, out of the cache.
 *
 *  1. Without --force a person at a terminal is asked; elsewhere nothing goes unless the name was
 *     typed in full (mlx-knife facts 7.1).
 *  2. Locks that another process holds, or that belong to no finished blob, stop it without
 *     --force; locks that finished downloads left behind do not.
 *  3. Workspaces are the user's own folders and are never removed.
 */
#include "cli/cli_card.h"
#include "cli/cli_suggest.h"

static const struct cli_option cmd_rm_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "name, or NAME@HASH for one snapshot", 0, 0, false },
    { "--force", "-f", CLI_FLAG, NULL,
      "do not ask, also for a part of a name and in spite of locks", 0, 0, false },
    { "--dry-run", NULL, CLI_FLAG, NULL, "say what would go, and delete nothing", 0, 0, true },
};

struct cmd_rm {
    struct cli_context *c;
    struct cache_model model;
    bool found, needs_confirmation, locked;
    const char *action_cstr;
    struct str message, commit;  /* commit: the snapshot's name when only it is meant */
    struct cache_matches matches;
    struct cache_locks locks;
    size_t n_cleaned;
};

/* ---- JSON (Private) ---- */

static void cmd_rm_list(struct json_writer *w, const char *key_cstr, const struct str *list,
                        size_t n) {
    json_write_key(w, key_cstr);
    json_write_array(w);
    for (size_t i = 0; i < n; i++) json_write_str(w, list[i]);
    json_write_array_end(w);
}

static void cmd_rm_data(struct json_writer *w, const struct cmd_rm *r) {
    json_write_object(w);
    json_write_key(w, "model");
    if (r->found) json_write_str(w, r->model.name);
    else json_write_null(w);
    json_write_key(w, "action");
    json_write_cstr(w, r->action_cstr);
    json_write_key(w, "message");
    json_write_str(w, r->message);
    json_write_key(w, "requires_confirmation");
    json_write_bool(w, r->needs_confirmation);
    cmd_rm_list(w, "matches", r->matches.names, r->matches.n);
    json_write_key(w, "lock_files_cleaned");
    json_write_u64(w, r->n_cleaned);
    if (r->locked) {
        json_write_key(w, "locks_detected");
        json_write_bool(w, true);
        cmd_rm_list(w, "lock_files", r->locks.files, r->locks.n);
    }
    if (r->commit.n && r->found && !strcmp(r->action_cstr, "deleted")) {
        json_write_key(w, "commit_hash");
        json_write_str(w, r->commit);
    }
    json_write_object_end(w);
}

static int cmd_rm_fail(struct cmd_rm *r, const char *type_cstr) {
    struct cli_context *c = r->c;
    struct buf data;
    struct json_writer w;
    if (!c->out.json) return cli_fail(c, &c->err, type_cstr);
    c->err.hint[0] = '\0';       /* what it would say is in data */
    cli_data_begin(&w, &data, LIMIT_JSON_DOC);
    cmd_rm_data(&w, r);
    int status = cli_fail_data(c, &c->err, type_cstr, buf_str(&data), STR_EMPTY);
    buf_release(&data);
    return status;
}

static int cmd_rm_done(struct cmd_rm *r) {
    struct cli_context *c = r->c;
    if (!c->out.json) {
        cli_print(c, "rm: " STR_FMT " — %s: " STR_FMT "\n", STR_ARG(r->model.name), r->action_cstr,
                  STR_ARG(r->message));
        return 0;
    }
    cmd_rm_data(cli_document(c), r);
    return cli_document_end(c);
}

/* ---- steps (Private) ---- */

/* A removal that was killed has hidden the model already; asked for again by its full name, it is
 * finished. */
static bool cmd_rm_rest(struct cmd_rm *r, struct str spec) {
    struct cli_context *c = r->c;
    struct cache_removal removal;
    struct err none = { 0 };
    ptrdiff_t at = str_find_char(spec, '@');
    bool found = false;
    r->model.name = at < 0 ? spec : str_sub(spec, 0, (size_t)at);
    if (!cache_name_ok(r->model.name, &none) ||
        !cache_remove_rest(&c->arena, &c->cache, r->model.name, true, &found, &removal, &none) ||
        !found)
        return false;
    r->found = true;
    r->n_cleaned = removal.n_lock_files;
    r->action_cstr = "deleted";
    r->message = str_concat(&c->arena, STR("Finished an earlier removal of "), spec);
    return true;
}

static int cmd_rm_find(struct cmd_rm *r, struct str spec) {
    struct cli_context *c = r->c;
    struct os_stat st;
    if (!os_stat(c->cache.root_cstr, &st) || st.kind != OS_DIR) {
        err_set(&c->err, ERR_NOT_FOUND, "Model cache directory does not exist");
        return cmd_rm_fail(r, "cache_not_found");
    }
    if (!cli_resolve(c, spec, &r->model, &r->matches, &c->err)) {
        if (c->err.code == ERR_AMBIGUOUS) r->action_cstr = "ambiguous";
        if (c->err.code == ERR_NOT_FOUND) {
            err_clear(&c->err);
            if (cmd_rm_rest(r, spec)) return 0;
            err_set(&c->err, ERR_NOT_FOUND, "No models found matching '" STR_FMT "'",
                    STR_ARG(spec));
            cli_suggest_model(c, spec, &c->err);
        }
        return cmd_rm_fail(r, NULL);
    }
    r->found = true;
    if (r->model.place != CACHE_WORKSPACE) return 0;
    err_set(&c->err, ERR_INVALID, "Cannot delete workspace model. Use: rm -rf %s",
            r->model.dir_cstr);
    return cmd_rm_fail(r, "workspace_model");
}

/* -1: go on; else the exit status. */
static int cmd_rm_locks(struct cmd_rm *r, bool force) {
    struct cli_context *c = r->c;
    if (!cache_locks_read(&c->arena, &c->cache, r->model.name, &r->locks, &c->err))
        return cmd_rm_fail(r, "deletion_failed");
    if (!r->locks.n_open || force) return -1;
    if (!r->locks.n_held &&
        cli_ask(c, STR_FMT " has %zu lock files of unfinished downloads; go on?",
                STR_ARG(r->model.name), r->locks.n_open))
        return -1;
    r->locked = true;
    err_set(&c->err, ERR_LOCKED, "Model has active locks. Use --force to override.");
    return cmd_rm_fail(r, NULL);
}

static bool cmd_rm_is_exact(const struct cmd_rm *r, struct str spec) {
    ptrdiff_t at = str_find_char(spec, '@');
    struct str typed = at < 0 ? spec : str_sub(spec, 0, (size_t)at);
    char *folder = cache_folder_name(&r->c->arena, typed),
         *own = cache_folder_name(&r->c->arena, r->model.name);
    return str_eq(typed, r->model.name) ||
           (folder && own && !strcmp(folder, own));
}

static struct str cmd_rm_all(const struct cmd_rm *r) {
    return cache_model_kind(&r->model) ? STR("Deleted entire ") : STR("Deleted entire model ");
}

static int cmd_rm_delete(struct cmd_rm *r) {
    struct cli_context *c = r->c;
    struct cache_removal removal;
    char size[16];
    const char *strict = os_env("MLXK2_STRICT_TEST_DELETE");
    r->action_cstr = r->commit.n ? "delete_hash" : "delete_model";
    if (strict && !strcmp(strict, "1") &&
        str_find(str_cstr(c->cache.root_cstr), STR("mlxk2_test_")) < 0) {
        err_set(&c->err, ERR_INVALID,
                "STRICT_TEST_DELETE: Refusing to delete from non-test cache: %s",
                c->cache.root_cstr);
        return cmd_rm_fail(r, "deletion_failed");
    }
    if (!cache_remove(&c->arena, &c->cache, r->model.name, r->commit, &removal, &c->err))
        return cmd_rm_fail(r,
                           c->err.code == ERR_READ_ONLY ? "permission_denied" : "deletion_failed");
    r->n_cleaned = removal.n_lock_files;
    r->action_cstr = "deleted";
    r->message = r->commit.n ? str_format(&c->arena, "Deleted " STR_FMT "@" STR_FMT,
                                          STR_ARG(r->model.name), STR_ARG(r->commit))
                             : str_concat(&c->arena, cmd_rm_all(r), r->model.name);
    num_format_size(size, removal.freed_bytes);
    if (os_is_tty(2)) cli_note(c, "%s freed", size);
    return cmd_rm_done(r);
}

/* True when the deletion may begin; else r tells why it did not. */
static bool cmd_rm_confirmed(struct cmd_rm *r, struct str spec, bool force) {
    struct cli_context *c = r->c;
    char size[16] = "?";
    if (force) return true;
    if (cli_can_ask(c)) {
        if (cache_scan(&c->arena, &r->model, &c->err))
            num_format_size(size, r->model.scan->size_bytes);
        if (cli_ask(c, "Delete " STR_FMT "%s%.12s (%s)?", STR_ARG(r->model.name),
                    r->commit.n ? "@" : "", r->commit.n ? r->commit.p : "", size))
            return true;
        r->action_cstr = "cancelled";
        r->message = STR("Nothing was deleted");
        return false;
    } else if (cmd_rm_is_exact(r, spec)) {
        return true;
    }
    r->action_cstr = "requires_confirmation";
    r->needs_confirmation = true;
    r->message = str_format(&c->arena, "Would delete '" STR_FMT "' (matched from '" STR_FMT "')",
                            STR_ARG(r->model.name), STR_ARG(spec));
    cli_note(c, "nothing was deleted; give the full name, or --force");
    return false;
}

/* What would go; nothing does. */
static int cmd_rm_rehearse(struct cmd_rm *r) {
    struct arena *a = &r->c->arena;
    char size[16];
    if (!cache_scan(a, &r->model, &r->c->err)) return cmd_rm_fail(r, "deletion_failed");
    num_format_size(size, r->model.scan->size_bytes);
    r->action_cstr = "dry_run";
    r->message = str_format(a, "Would delete %s" STR_FMT "%s" STR_FMT " (%s)",
                            r->commit.n ? "" : cmd_rm_all(r).p + sizeof "Deleted",
                            STR_ARG(r->model.name),
                            r->commit.n ? "@" : "", STR_ARG(r->commit), size);
    return cmd_rm_done(r);
}

static int cmd_rm_run(struct cli_context *c) {
    struct cmd_rm r = { .c = c, .action_cstr = "unknown" };
    struct str spec = cli_text(&c->args, "model");
    bool force = cli_flag(&c->args, "--force");
    int status = cmd_rm_find(&r, spec);
    if (!status && !r.model.dir_cstr) return cmd_rm_done(&r);
    if (status) return status;
    ptrdiff_t at = str_find_last(spec, STR("@"));
    if (at >= 0 && (size_t)at + 1 < spec.n && r.model.snapshot_cstr)
        r.commit = os_path_base(r.model.snapshot_cstr);
    if (cli_flag(&c->args, "--dry-run")) return cmd_rm_rehearse(&r);
    if ((status = cmd_rm_locks(&r, force)) >= 0) return status;
    return cmd_rm_confirmed(&r, spec, force) ? cmd_rm_delete(&r) : cmd_rm_done(&r);
}

MLXK_FN const struct cli_command *cmd_rm(void) {
    static const struct cli_command command = {
        "rm",
        "delete a model, or one snapshot of it",
        "on disk",
        cmd_rm_options,
        MLXK_COUNT(cmd_rm_options),
        "  mlxk rm mlx-community/Qwen3-0.6B-4bit@73e3e38d\n  mlxk rm SmolLM2 --dry-run\n  mlxk rm "
        "SmolLM2 -f\n",
        cmd_rm_run,
    };
    return &command;
}
