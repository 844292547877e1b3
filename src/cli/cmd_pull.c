/* cmd_pull.c: `pull` fetches a model from the hub into the cache, and continues what was
 * interrupted.
 *
 *  1. The hub is asked first: what is complete at the commit it names is "already_exists", with
 *     refs brought up to date; what is not is fetched.
 *  2. When the hub cannot be reached, a healthy model in the cache is answer enough, an unhealthy
 *     one wants a decision (mlx-knife facts 7.2).
 *  3. A name without '/' may stand for one that is in the cache; a full name is taken as it is.
 */
#include "cli/cmd_pull.h"
#include "cli/cli_oci.h"

#include <build_info.h>

static const struct cli_option cmd_pull_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "ORG/NAME[@REVISION], or oci://HOST/REPO[:TAG|@DIGEST]", 0, 0,
      false },
    { "--force-resume", NULL, CLI_FLAG, NULL, "continue an unhealthy download without asking", 0, 0,
      false },
    { "--revision", NULL, CLI_TEXT, "REV", "branch, tag or commit (main)", 0, 0, true },
    { "--repo-type", NULL, CLI_TEXT, "TYPE",
      "model, dataset or space; or write datasets/ORG/NAME, spaces/ORG/NAME", 0, 0, true },
    { "--include", NULL, CLI_LIST, "GLOB", "only files that fit; may be given several times", 0, 0,
      true },
    { "--exclude", NULL, CLI_LIST, "GLOB", "no files that fit; may be given several times", 0, 0,
      true },
    { "--redownload", NULL, CLI_FLAG, NULL, "fetch again what is in the cache", 0, 0, true },
    { "--dry-run", NULL, CLI_FLAG, NULL, "only say what would be fetched", 0, 0, true },
    { "--max-workers", NULL, CLI_INT, "N", "files and parts fetched at once at most (8)", 1, 256,
      true },
    { "--limit-rate", NULL, CLI_SIZE, "RATE", "bytes per second at most (500K, 2M)", 0, 0, true },
    { "--require-free", NULL, CLI_SIZE, "SIZE", "leave so much of the disk free, or fetch nothing",
      0, 0, true },
    { "--lock", NULL, CLI_TEXT, "FILE", "write commit and digests of what was fetched there", 0, 0,
      true },
    { "--frozen", NULL, CLI_TEXT, "FILE", "fetch exactly what that lock file says", 0, 0, true },
    { "--xet", NULL, CLI_FLAG, NULL, "by content-addressed storage, if offered (experimental)", 0,
      0, true },
    { "--progress", NULL, CLI_TEXT, "KIND", "bar (for people) or json (events on stderr)", 0, 0,
      true },
    { "--quiet", NULL, CLI_FLAG, NULL, "no progress, no notes", 0, 0, true },
    CLI_OCI_OPTIONS,
};

enum { CMD_PULL_IMPATIENT = 2, CMD_PULL_PATIENT = 4 };

/* ---- output (Private) ---- */

static void cmd_pull_data(struct json_writer *w, const struct cmd_pull *p) {
    const struct hub_pull_result *r = &p->result;
    json_write_object(w);
    json_write_key(w, "model");
    if (p->model.n) json_write_str(w, p->model);
    else json_write_null(w);
    json_write_key(w, "download_status");
    json_write_cstr(w, p->status_cstr);
    json_write_key(w, "message");
    json_write_str(w, p->message);
    json_write_key(w, "expanded_name");
    if (p->expanded.n) json_write_str(w, p->expanded);
    else json_write_null(w);
    if (r->commit.n) {
        json_write_key(w, "commit_hash");
        json_write_str(w, r->commit);
    }
    if (r->snapshot_cstr) {
        json_write_key(w, "snapshot");
        json_write_cstr(w, r->snapshot_cstr);
        json_write_key(w, "n_files");
        json_write_u64(w, r->n_files);
        json_write_key(w, "n_fetched");
        json_write_u64(w, r->n_fetched);
        json_write_key(w, "fetched_bytes");
        json_write_u64(w, r->fetched_bytes);
        json_write_key(w, "resumed_bytes");
        json_write_u64(w, r->resumed_bytes);
        if (cli_flag(&p->c->args, "--dry-run")) cmd_pull_plan_data(w, p);
    }
    json_write_object_end(w);
}

static int cmd_pull_fail(struct cmd_pull *p, const char *status_cstr, const char *type_cstr) {
    struct cli_context *c = p->c;
    struct buf data;
    struct json_writer w;
    p->status_cstr = status_cstr;
    if (p->events) cmd_pull_tell_end(p);
    if (!c->out.json) return cli_fail(c, &c->err, type_cstr);
    p->message = p->model.n ? str_cstr(c->err.msg) : STR_EMPTY;
    cli_data_begin(&w, &data, LIMIT_JSON_DOC);
    cmd_pull_data(&w, p);
    struct str extra = p->matches.n ? cli_card_matches(&c->arena, &p->matches) : STR_EMPTY;
    int status = cli_fail_data(c, &c->err, type_cstr, buf_str(&data), extra);
    buf_release(&data);
    return status;
}

static int cmd_pull_done(struct cmd_pull *p, const char *status_cstr) {
    struct cli_context *c = p->c;
    p->status_cstr = status_cstr;
    if (p->events) cmd_pull_tell_end(p);
    if (!c->out.json) {
        cli_print(c, "pull: " STR_FMT " — " STR_FMT "\n", STR_ARG(p->model), STR_ARG(p->message));
        return 0;
    }
    cmd_pull_data(cli_document(c), p);
    return cli_document_end(c);
}

static const char *cmd_pull_error_type(enum err_code code) {
    switch (code) {
    case ERR_ACCESS: return "access_denied";
    case ERR_INVALID: return "ValidationError";
    case ERR_AMBIGUOUS: case ERR_INTERRUPTED: case ERR_DISK_FULL: case ERR_READ_ONLY: return NULL;
    default: return "download_failed";
    }
}

/* ---- the name (Private) ---- */

/* --repo-type and the kind in the name, which is how every other command is told. */
static bool cmd_pull_kind(struct cmd_pull *p, struct str *name) {
    struct cli_context *c = p->c;
    struct str type = cli_text(&c->args, "--repo-type");
    struct str rest = *name, first = str_cut(&rest, '/');
    bool says_model = str_eq(first, STR("models")) && str_find_char(rest, '/') > 0;
    int kind = 0;
    if (says_model) *name = rest;
    if (!cli_get(&c->args, "--repo-type")->given) return true;
    while (kind < CACHE_KINDS && !str_eq_cstr(type, cache_kind_name((enum cache_kind)kind))) kind++;
    if (kind == CACHE_KINDS)
        return err_set(&c->err, ERR_USAGE,
                       "argument --repo-type: invalid choice: '" STR_FMT
                       "' (choose from 'model', 'dataset', 'space')", STR_ARG(type));
    enum cache_kind named = cache_kind_of(*name);
    if ((named || says_model) && (int)named != kind)
        return err_set(&c->err, ERR_USAGE, "argument --repo-type: " STR_FMT " names a %s",
                       STR_ARG(*name), cache_kind_name(named));
    *name = cache_kind_join(&c->arena, (enum cache_kind)kind, cache_bare_name(*name));
    return true;
}

/* NAME[@REVISION] and --revision. */
static bool cmd_pull_name(struct cmd_pull *p, struct str *name) {
    struct cli_context *c = p->c;
    struct str spec = str_trim(cli_text(&c->args, "model")),
               option = cli_text(&c->args, "--revision");
    if (str_starts(spec, STR("hf://"))) spec = str_sub(spec, 5, spec.n);
    ptrdiff_t at = str_find_char(spec, '@');
    *name = at < 0 ? spec : str_sub(spec, 0, (size_t)at);
    p->revision = at < 0 ? STR_EMPTY : str_sub(spec, (size_t)at + 1, spec.n);
    if (p->revision.n && option.n && !str_eq(p->revision, option))
        return err_set(&c->err, ERR_USAGE,
                       "argument --revision: the model names another revision, " STR_FMT,
                       STR_ARG(p->revision));
    if (option.n) p->revision = option;
    return cmd_pull_kind(p, name) && cli_fetch_name_ok(*name, &c->err);
}

/* What the cache has of this name; false: nothing, or (with an error) several. */
static bool cmd_pull_cached(struct cmd_pull *p, struct str name, struct str revision,
                            struct cache_model *out) {
    struct cli_context *c = p->c;
    struct cache repos_only = c->cache;
    struct err none = { 0 };
    repos_only.workspace_cstr = NULL;
    struct str spec = revision.n ? str_format(&c->arena, STR_FMT "@" STR_FMT, STR_ARG(name),
                                              STR_ARG(revision))
                                 : name;
    if (cache_resolve(&c->arena, &repos_only, spec, out, &p->matches, &none))
        return out->place == CACHE_REPO
               && (str_find_char(name, '/') < 0 || str_eq(out->name, name));
    if (none.code == ERR_AMBIGUOUS && str_find_char(name, '/') < 0) c->err = none;
    return false;
}

static bool cmd_pull_expand(struct cmd_pull *p, struct str name) {
    struct cache_model m;
    bool cached = cmd_pull_cached(p, name, STR_EMPTY, &m);
    if (p->c->err.code != ERR_OK) return false;
    p->matches = (struct cache_matches){ 0 };
    if (cached && !str_eq(m.name, name)) p->expanded = name = m.name;
    if (!cache_name_ok(name, &p->c->err)) return false;
    p->model = name;
    return true;
}

/* ---- progress (Private) ---- */

static bool cmd_pull_event(void *ctx, const struct hub_event *ev) {
    struct cmd_pull *p = ctx;
    if (p->events) {
        cmd_pull_tell_event(p, ev);
        return true;
    }
    return cli_fetch_event(&p->fetch, ev);
}

/* ---- the hub and its absence (Private) ---- */

/* --lock: all that was wanted, by digest. */
static bool cmd_pull_write_lock(struct cmd_pull *p) {
    struct cli_context *c = p->c;
    const struct hub_pull_result *r = &p->result;
    struct str path = cli_text(&c->args, "--lock");
    struct hub_lock entry = { .repo = p->model, .commit = r->commit, .n_files = r->n_planned,
                              .revision = p->revision.n ? p->revision : STR("main") };
    if (!path.n) return true;
    char *path_cstr = str_dup_cstr(&c->arena, path);
    entry.files = ARENA_ARRAY(&c->arena, struct hub_file, r->n_planned + 1);
    if (!path_cstr || !entry.files) return err_oom(&c->err, r->n_planned, "a lock file");
    for (size_t i = 0; i < r->n_planned; i++) entry.files[i] = *r->planned[i].file;
    return hub_lock_write(path_cstr, &entry, &c->err);
}

static int cmd_pull_dry(struct cmd_pull *p) {
    const struct hub_pull_result *r = &p->result;
    char need[16], total[16];
    num_format_size(need, r->need_bytes);
    num_format_size(total, r->total_bytes);
    p->message = str_format(&p->c->arena, "%s of %s in %zu files would be fetched", need, total,
                            r->n_files);
    if (!p->c->out.json && !cmd_pull_plan_print(p)) return cmd_pull_fail(p, "failed", NULL);
    return cmd_pull_done(p, "dry_run");
}

static struct str cmd_pull_there(const struct cmd_pull *p) {
    return str_format(&p->c->arena, "%s" STR_FMT " already exists in cache",
                      cache_kind_of(p->model) ? "" : "Model ", STR_ARG(p->model));
}

static int cmd_pull_success(struct cmd_pull *p) {
    struct cli_context *c = p->c;
    const struct hub_pull_result *r = &p->result;
    if (cli_flag(&c->args, "--dry-run")) return cmd_pull_dry(p);
    if (!cmd_pull_write_lock(p)) return cmd_pull_fail(p, "failed", NULL);
    bool unchanged = r->n_fetched == 0 && r->n_linked == 0;
    p->message = unchanged
                     ? cmd_pull_there(p)
                     : str_format(&c->arena, "Successfully downloaded to %s", r->snapshot_cstr);
    return cmd_pull_done(p, unchanged ? "already_exists" : "success");
}

/* The hub has not answered (the reason is in c->err): what the cache has may do. */
static int cmd_pull_fallback(struct cmd_pull *p) {
    struct cli_context *c = p->c;
    struct cache_model m;
    bool exact = cli_flag(&c->args, "--redownload") || cli_flag(&c->args, "--dry-run")
                 || cli_text(&c->args, "--lock").n || cli_text(&c->args, "--frozen").n;
    /* Without a snapshot there is nothing to decide on: a download was begun, and goes on later. */
    if (exact || !cmd_pull_cached(p, p->model, p->revision, &m) || !m.snapshot_cstr)
        return cmd_pull_fail(p, "failed", cmd_pull_error_type(c->err.code));
    struct cache_health health = cache_check_health(&c->arena, &m);
    bool whole = m.commit.n && hub_is_complete(&c->arena, &c->cache, p->model, m.commit);
    bool model = cache_kind_of(p->model) == CACHE_MODEL;         /* only these tell it themselves */
    if (p->revision.n) p->result.commit = m.commit;
    if (whole || (model && health.healthy)) {
        cli_note(c, "note: the hub was not asked: %s", c->err.msg);
        p->message = cmd_pull_there(p);
        return cmd_pull_done(p, "already_exists");
    }
    if (!model || cli_flag(&c->args, "--force-resume"))
        return cmd_pull_fail(p, "failed", cmd_pull_error_type(c->err.code));
    p->message = str_format(
        &c->arena, STR_FMT ". Use --force-resume to attempt resume or 'mlxk rm' to delete.",
        STR_ARG(health.reason));
    if (c->out.json) return cmd_pull_done(p, "requires_confirmation");
    err_clear(&c->err);
    err_set(&c->err, ERR_INTEGRITY, STR_FMT, STR_ARG(p->message));
    return cmd_pull_fail(p, "requires_confirmation", "requires_confirmation");
}

/* The beginning of a commit in the cache is a name for it that the hub may not know. */
static bool cmd_pull_full_commit(struct cmd_pull *p) {
    struct cache_model m;
    if (p->c->err.code != ERR_NOT_FOUND || p->revision.n < 3 || p->revision.n >= 40
        || !str_is_hex(p->revision, p->revision.n))
        return false;
    if (!cmd_pull_cached(p, p->model, p->revision, &m) || !str_starts(m.commit, p->revision))
        return false;
    err_clear(&p->c->err);
    p->revision = m.commit;
    return true;
}

/* --frozen: the entry of the lock file. */
static bool cmd_pull_frozen(struct cmd_pull *p, struct hub_lock *lock) {
    struct cli_context *c = p->c;
    *lock = (struct hub_lock){ .revision = p->revision };
    char *path_cstr = str_dup_cstr(&c->arena, cli_text(&c->args, "--frozen"));
    if (!path_cstr) return err_oom(&c->err, LIMIT_PATH, "a path");
    if (cli_get(&c->args, "--include")->n || cli_get(&c->args, "--exclude")->n
        || cli_text(&c->args, "--lock").n) {
        err_set(&c->err, ERR_INVALID, "--frozen fetches what the lock file says, all of it");
        return err_hint(&c->err, "leave out --include, --exclude and --lock");
    }
    return hub_lock_read(&c->arena, path_cstr, p->model, lock, &c->err);
}

static bool cmd_pull_fetch(struct cmd_pull *p, struct hub *h) {
    struct cli_context *c = p->c;
    const struct cli_value *include = cli_get(&c->args, "--include"),
                           *exclude = cli_get(&c->args, "--exclude");
    struct hub_pull_options o = {
        .repo = p->model,
        .revision = p->revision,
        .include = include->list,
        .n_include = include->n,
        .exclude = exclude->list,
        .n_exclude = exclude->n,
        .redownload = cli_flag(&c->args, "--redownload"),
        .dry_run = cli_flag(&c->args, "--dry-run"),
        .max_streams = (int)cli_int(&c->args, "--max-workers", 0),
        .keep_free_bytes = (uint64_t)cli_int(&c->args, "--require-free", 0),
        .event = cmd_pull_event,
        .ctx = p,
    };
    struct hub_lock lock;
    struct cache_model m;
    if (cli_text(&c->args, "--frozen").n) {
        if (!cmd_pull_frozen(p, &lock)) return false;
        o.frozen = &lock;
    }
    bool there = cmd_pull_cached(p, p->model, p->revision, &m)
                 && cache_check_health(&c->arena, &m).healthy;
    h->first_attempts = there ? CMD_PULL_IMPATIENT : CMD_PULL_PATIENT;
    bool ok = hub_pull(&c->arena, h, &c->cache, &o, &p->result, &c->err);
    if (!ok && cmd_pull_full_commit(p)) {
        o.revision = p->revision;
        ok = hub_pull(&c->arena, h, &c->cache, &o, &p->result, &c->err);
    }
    cli_fetch_end(&p->fetch);
    return ok && !cli_stopped(c);        /* asked before the last event is told */
}

static bool cmd_pull_progress_kind(struct cmd_pull *p) {
    struct str kind = cli_text(&p->c->args, "--progress");
    p->events = str_eq(kind, STR("json"));
    if (p->events) log_to(cmd_pull_tell_log);
    return p->events || !cli_get(&p->c->args, "--progress")->given || str_eq(kind, STR("bar"))
           || err_set(&p->c->err, ERR_USAGE,
                      "argument --progress: invalid choice: '" STR_FMT
                      "' (choose from 'bar', 'json')",
                      STR_ARG(kind));
}

static int cmd_pull_run(struct cli_context *c) {
    struct cmd_pull p = { .c = c, .status_cstr = "unknown" };
    struct http_options options = { .user_agent_cstr = "mlxk/" MLXK_VERSION };
    struct hub h;
    struct str name;
    c->args.quiet = cli_flag(&c->args, "--quiet");
    if (oci_ref_is(str_trim(cli_text(&c->args, "model")))) return cmd_pull_oci(c);
    cli_fetch_begin(&p.fetch, c);
    options.limit_bytes_per_s = (uint64_t)cli_int(&c->args, "--limit-rate", 0);
    if (!cmd_pull_progress_kind(&p)) return cli_fail(c, &c->err, "CommandError");
    if (!cmd_pull_name(&p, &name))
        return c->err.code == ERR_USAGE ? cli_fail(c, &c->err, "CommandError")
                                        : cmd_pull_fail(&p, "error", "ValidationError");
    if (!cmd_pull_expand(&p, name))
        return cmd_pull_fail(&p, c->err.code == ERR_AMBIGUOUS ? "unknown" : "error",
                             cmd_pull_error_type(c->err.code));
    if (!hub_open(&c->arena, &options, &h, &c->err))
        return cmd_pull_fail(&p, "error", cmd_pull_error_type(c->err.code));
    h.xet = h.xet || cli_flag(&c->args, "--xet");
    bool ok = cmd_pull_fetch(&p, &h);
    hub_close(&h);
    if (ok) return cmd_pull_success(&p);
    bool unasked = p.result.commit.n == 0
                   && (c->err.code == ERR_NET || c->err.code == ERR_NET_TIMEOUT);
    if (unasked) return cmd_pull_fallback(&p);
    return cmd_pull_fail(&p, c->err.code == ERR_ACCESS ? "access_denied" : "failed",
                         cmd_pull_error_type(c->err.code));
}

MLXK_FN const struct cli_command *cmd_pull(void) {
    static const struct cli_command command = {
        "pull",
        "fetch a model from the hub, or a registry, into the cache",
        "network",
        cmd_pull_options,
        MLXK_COUNT(cmd_pull_options),
        "  mlxk pull mlx-community/Qwen3-0.6B-4bit\n  mlxk pull org/name@v1.0 --exclude '*.gguf'\n"
        "  mlxk pull squad --repo-type dataset\n"
        "  mlxk pull oci://ghcr.io/org/model:v1\n",
        cmd_pull_run,
    };
    return &command;
}
