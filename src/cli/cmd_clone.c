/* cmd_clone.c: `clone` makes a workspace: a model's files as plain files in a folder of one's own.
 *
 *   target checked -> temporary beside it, locked -> commit complete in the cache (what is missing
 *   is fetched there) -> copies, hashed -> sentinel -> rename to the target -> temporary removed
 *
 *  1. The target appears whole, by one rename. A kill leaves the temporary, whose name follows from
 *     model and target; the next run takes it over, and fetches nothing that it or the cache holds.
 *     (The working folder and mount points cannot be replaced: there the temporary lies inside, and
 *     its entries are moved out one by one, the sentinel last.)
 *  2. The user's cache is the only place that is downloaded to, unless it cannot be written or has
 *     no
 *     room: then what it lacks goes to a cache inside the temporary.
 *  3. Blocks are shared with the cache where the file system can (reflink), else copied. Hard links
 *     would share later edits, too, and are made only when asked for.
 *  4. A cached file with wrong bytes is fetched anew, once.
 */
#include "cli/cli_card.h"
#include "cli/cli_fetch.h"
#include "hub/hub.h"

#include <build_info.h>

static const struct cli_option cmd_clone_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "ORG/NAME, or ORG/NAME@REVISION", 0, 0, false },
    { "[target_dir]", NULL, CLI_TEXT, NULL, "new folder (default: in MLXK_WORKSPACE_HOME)", 0, 0,
      false },
    { "--branch", NULL, CLI_TEXT, "REV", "branch, tag or commit (main)", 0, 0, false },
    { "--no-health-check", NULL, CLI_FLAG, NULL, "do not look whether the model is complete", 0, 0,
      false },
    { "--quiet", NULL, CLI_FLAG, NULL, "no progress, no notes", 0, 0, false },
    { "--force-resume", NULL, CLI_FLAG, NULL, "accepted; downloads are always continued", 0, 0,
      false },
    { "--hardlink", NULL, CLI_FLAG, NULL, "share files with the cache: edits change both", 0, 0,
      true },
};

#define CMD_CLONE_SENTINEL ".mlxk_workspace.json"

struct cmd_clone {
    struct cli_context *c;
    struct str spec, name, revision;     /* as asked for; name: of the repository */
    struct str commit;
    struct str target;                   /* as it is told to people */
    char *target_cstr, *parent_cstr;     /* absolute, links resolved */
    bool in_place;                       /* the target is a folder that cannot be replaced */
    char *temp_cstr, *files_cstr;        /* the temporary; the workspace that grows in it */
    struct cache aside;                  /* the cache in the temporary; root NULL = not needed */
    const char *status_cstr, *type_cstr; /* of a failure from here on */
    struct cache_health health;
    struct hub hub;                      /* client NULL = not asked */
    uint64_t fetched_bytes;
    struct cache_copy *files; size_t n_files;
    bool may_lack;                       /* offline: files that a healthy model does without */
    struct cache_copies copies;
    struct os_lock lock;
    struct cli_fetch fetch;
};

/* ---- output (Private) ---- */

static void cmd_clone_data(struct json_writer *w, const struct cmd_clone *p, struct str message) {
    bool done = strcmp(p->status_cstr, "success") == 0;
    bool check = !cli_flag(&p->c->args, "--no-health-check");
    json_write_object(w);
    json_write_key(w, "model");
    json_write_str(w, done ? p->name : p->spec);
    json_write_key(w, "clone_status");
    json_write_cstr(w, p->status_cstr);
    json_write_key(w, "message");
    json_write_str(w, message);
    json_write_key(w, "target_dir");
    json_write_cstr(w, p->target_cstr);
    json_write_key(w, "health_check");
    json_write_bool(w, check);
    if (p->health.reason.n) {
        json_write_key(w, "health");
        json_write_cstr(w, p->health.healthy ? "healthy" : "unhealthy");
        json_write_key(w, "health_reason");
        json_write_str(w, p->health.reason);
    }
    if (done) {
        json_write_key(w, "source_revision");
        json_write_str(w, p->commit);
        json_write_key(w, "fetched_bytes");
        json_write_u64(w, p->fetched_bytes);
        json_write_key(w, "n_reflinked");
        json_write_u64(w, p->copies.n_reflinked);
        json_write_key(w, "n_copied");
        json_write_u64(w, p->copies.n_copied);
        json_write_key(w, "n_linked");
        json_write_u64(w, p->copies.n_linked);
    }
    json_write_object_end(w);
}

static int cmd_clone_fail(struct cmd_clone *p) {
    struct cli_context *c = p->c;
    struct buf data;
    struct json_writer w;
    if (c->err.code == ERR_INTERRUPTED) {
        p->status_cstr = "cancelled";
        p->type_cstr = "UserCancelledError";
    }
    if (!c->out.json || !p->target_cstr) return cli_fail(c, &c->err, p->type_cstr);
    cli_data_begin(&w, &data, LIMIT_JSON_DOC);
    cmd_clone_data(&w, p, STR_EMPTY);
    int status = cli_fail_data(c, &c->err, p->type_cstr, buf_str(&data), STR_EMPTY);
    buf_release(&data);
    return status;
}

static int cmd_clone_done(struct cmd_clone *p) {
    struct cli_context *c = p->c;
    p->status_cstr = "success";
    if (c->out.json) {
        struct str message = str_format(&c->arena, "Cloned to " STR_FMT, STR_ARG(p->target));
        cmd_clone_data(cli_document(c), p, message);
        return cli_document_end(c);
    }
    cli_print(c, "clone: " STR_FMT " → %s", STR_ARG(p->name), p->target_cstr);
    if (p->health.reason.n && !c->args.quiet && p->health.healthy) cli_print(c, " (✓ healthy)");
    else if (p->health.reason.n && !c->args.quiet)
        cli_print(c, " (⚠ unhealthy: " STR_FMT ")", STR_ARG(p->health.reason));
    cli_print(c, "\n");
    return 0;
}

/* ---- the target (Private) ---- */

static bool cmd_clone_bad_target(struct cmd_clone *p, const char *format_cstr, struct str what) {
    struct str text = str_format(&p->c->arena, format_cstr, STR_ARG(what));
    return err_set(&p->c->err, ERR_INVALID, STR_FMT, STR_ARG(text));
}
/* Without a target: told as plain text, in upstream's words. */
static int cmd_clone_no_target(struct cmd_clone *p, struct str text) {
    struct cli_context *c = p->c;
    struct buf b;
    if (c->out.json) {
        struct str first = text, line = str_cut(&first, '\n');
        err_set(&c->err, ERR_INVALID, STR_FMT, STR_ARG(str_sub(line, 7, line.n)));
        return cli_fail(c, &c->err, "InvalidTargetError");
    }
    buf_init(&b, text.n * 6 + 1);
    buf_add(&b, text);
    cli_tell(&b);
    return 1;
}

/* In MLXK_WORKSPACE_HOME, under the model's own name. */
static bool cmd_clone_home_target(struct cmd_clone *p, int *status) {
    struct cli_context *c = p->c;
    const char *set_cstr = os_env("MLXK_WORKSPACE_HOME"), *home_cstr = c->cache.workspace_cstr;
    struct os_stat st;
    struct str base = p->name;
    ptrdiff_t at = str_find_last(base, STR("/"));
    if (at >= 0) base = str_sub(base, (size_t)at + 1, base.n);
    struct str text = STR_EMPTY;
    if (!set_cstr || !set_cstr[0])
        text = str_format(&c->arena, "Error: Target directory required.\nHint: Set "
                          "MLXK_WORKSPACE_HOME or specify target:\n  mlxk clone " STR_FMT
                          " ./my-model\n", STR_ARG(p->spec));
    else if (!home_cstr)
        text = str_format(&c->arena, "Error: MLXK_WORKSPACE_HOME is not a directory: %s\n",
                          set_cstr);
    else {
        char *base_cstr = str_dup_cstr(&c->arena, base);
        p->target = str_cstr(base_cstr ? os_path_join(&c->arena, home_cstr, base_cstr) : NULL);
        if (p->target.n && os_lstat(p->target.p, &st))
            text = str_format(&c->arena, "Error: " STR_FMT " already exists in %s\n", STR_ARG(base),
                              home_cstr);
    }
    if (text.n) *status = cmd_clone_no_target(p, text);
    return text.n == 0;
}

/* Absolute, with the links of what exists resolved, as it is told in the document. */
static bool cmd_clone_place(struct cmd_clone *p) {
    struct cli_context *c = p->c;
    struct arena *a = &c->arena;
    struct err none = { 0 };
    char *typed = str_dup_cstr(a, p->target);
    char *lexical = typed ? os_path_absolute(a, typed, &c->err) : NULL;
    if (!lexical) return typed ? false : err_oom(&c->err, LIMIT_PATH, "a path");
    char *real = os_path_real(a, lexical, &none), *above = os_path_dir(a, lexical);
    p->target_cstr = real ? real : lexical;
    p->parent_cstr = real ? os_path_dir(a, real) : above;
    if (real || !above) return above || err_oom(&c->err, LIMIT_PATH, "a path");
    struct err missing = { 0 };
    char *real_above = os_path_real(a, above, &missing);
    char *base = str_dup_cstr(a, os_path_base(lexical));
    if (!real_above)
        return cmd_clone_bad_target(p, "Parent directory does not exist: " STR_FMT,
                                    str_cstr(above));
    p->parent_cstr = real_above;
    p->target_cstr = base ? os_path_join(a, real_above, base) : NULL;
    return p->target_cstr || err_oom(&c->err, LIMIT_PATH, "a path");
}

static bool cmd_clone_target_is_free(struct cmd_clone *p) {
    struct cli_context *c = p->c;
    struct os_stat st, here;
    struct os_entry *entries;
    size_t n = 0, n_ours = 0;
    struct str root = str_cstr(c->cache.root_cstr), target = str_cstr(p->target_cstr);
    if (!os_stat(p->parent_cstr, &st) || st.kind != OS_DIR)
        return cmd_clone_bad_target(p, "Parent directory does not exist: " STR_FMT,
                                    str_cstr(p->parent_cstr));
    if (str_starts(target, root) && (target.n == root.n || target.p[root.n] == '/'))
        return cmd_clone_bad_target(p, "Target '" STR_FMT "' lies in the model cache", p->target);
    if (!os_lstat(p->target_cstr, &st)) return true;
    if (st.kind != OS_DIR)
        return cmd_clone_bad_target(p, "Target '" STR_FMT "' exists but is not a directory",
                                    p->target);
    p->in_place = os_stat(".", &here) && here.inode == st.inode && here.device == st.device;
    if (!os_list_dir(&c->arena, p->target_cstr, 100000, &entries, &n, &c->err)) return false;
    for (size_t i = 0; i < n; i++)
        n_ours += str_eq(entries[i].name, os_path_base(p->temp_cstr));
    p->in_place = p->in_place || n_ours;
    return n == n_ours || cmd_clone_bad_target(p, "Target directory '" STR_FMT "' is not empty",
                                          p->target);
}

/* ---- the temporary (Private) ---- */

/* Its name follows from what is cloned to where, so that a later run finds it. */
static bool cmd_clone_temp_name(struct cmd_clone *p) {
    struct arena *a = &p->c->arena;
    struct sha256 hash;
    uint8_t digest[32];
    char hex[17];
    sha256_init(&hash);
    sha256_update(&hash, p->spec.p, p->spec.n);
    sha256_update(&hash, ":", 1);
    sha256_update(&hash, p->target_cstr, strlen(p->target_cstr));
    sha256_final(&hash, digest);
    str_hex(hex, digest, 8);
    struct str name = str_format(a, ".mlxk2_temp_%s", hex);
    char *name_cstr = str_dup_cstr(a, name);
    const char *above_cstr = p->in_place ? p->target_cstr : p->parent_cstr;
    p->temp_cstr = name_cstr ? os_path_join(a, above_cstr, name_cstr) : NULL;
    p->files_cstr = p->temp_cstr ? os_path_join(a, p->temp_cstr, "files") : NULL;
    return p->files_cstr || err_oom(&p->c->err, LIMIT_PATH, "a path");
}

static bool cmd_clone_temp_open(struct cmd_clone *p) {
    struct cli_context *c = p->c;
    struct err taken = { 0 };
    char *lock_cstr = os_path_join(&c->arena, p->temp_cstr, "lock");
    if (!lock_cstr) return err_oom(&c->err, LIMIT_PATH, "a path");
    if (!os_mkdirs(p->temp_cstr, &taken) || !os_lock_acquire(&p->lock, lock_cstr, 0, &taken)) {
        if (taken.code == ERR_READ_ONLY)
            return cmd_clone_bad_target(p, "Parent directory is not writable: " STR_FMT,
                                        str_cstr(p->parent_cstr));
        if (taken.code == ERR_LOCKED) {
            cmd_clone_bad_target(p, "another process is cloning to " STR_FMT, p->target);
            return err_hint(&c->err, "wait until it has finished, or stop it");
        }
        c->err = taken;
        return false;
    }
    return true;
}

/* keep: the cache in it has something to continue with. */
static void cmd_clone_temp_close(struct cmd_clone *p, bool keep) {
    struct err ignored = { 0 };
    if (p->lock.fd < 0) return;
    if (!keep) os_remove_tree(p->temp_cstr, &ignored);
    else os_remove_tree(p->files_cstr, &ignored);
    os_lock_release(&p->lock);
}

/* ---- the commit in the cache (Private) ---- */

static bool cmd_clone_pull(struct cmd_clone *p, const struct cache *into, const struct str *include,
                           size_t n_include, bool redownload, struct hub_pull_result *r) {
    struct cli_context *c = p->c;
    struct hub_pull_options o = {
        .repo = p->name, .revision = p->commit.n ? p->commit : p->revision,
        .include = include, .n_include = n_include, .redownload = redownload,
        .event = cli_fetch_event, .ctx = &p->fetch,
    };
    struct http_options options = { .user_agent_cstr = "mlxk/" MLXK_VERSION };
    if (!p->hub.client && !hub_open(&c->arena, &options, &p->hub, &c->err)) return false;
    cli_fetch_begin(&p->fetch, c);
    bool ok = hub_pull(&c->arena, &p->hub, into, &o, r, &c->err);
    cli_fetch_end(&p->fetch);
    p->fetched_bytes += r->fetched_bytes;
    return ok;
}

/* A path as a pattern that fits it alone. */
static struct str cmd_clone_literal(struct arena *a, struct str path) {
    struct buf b;
    buf_init(&b, LIMIT_PATH * 4);
    for (size_t i = 0; i < path.n; i++) {
        bool magic = path.p[i] == '[' || path.p[i] == '*' || path.p[i] == '?';
        buf_addf(&b, magic ? "[%c]" : "%c", path.p[i]);
    }
    struct str out = b.failed ? STR_EMPTY : str_dup(a, buf_str(&b));
    buf_release(&b);
    return out;
}

/* The cache cannot take what is missing: it is fetched into the temporary. */
static bool cmd_clone_pull_aside(struct cmd_clone *p, struct str commit) {
    struct cli_context *c = p->c;
    struct arena *a = &c->arena;
    struct hub_repo repo;
    struct hub_pull_result r;
    cli_note(c, "note: the cache is not used: %s", c->err.msg);
    err_clear(&c->err);
    p->aside = c->cache;
    p->aside.root_cstr = os_path_join(a, p->temp_cstr, "hub");
    if (!p->aside.root_cstr) return err_oom(&c->err, LIMIT_PATH, "a path");
    if (!hub_repo_info(a, &p->hub, p->name, commit, &repo, &c->err)) return false;
    p->files = ARENA_ARRAY(a, struct cache_copy, repo.n_files);
    struct str *missing = ARENA_ARRAY(a, struct str, repo.n_files);
    size_t n = 0;
    if (!p->files || !missing) return err_oom(&c->err, repo.n_files * 64, "a file list");
    for (size_t i = 0; i < repo.n_files; i++)
        p->files[i] = (struct cache_copy){ .path = repo.files[i].path, .etag = repo.files[i].etag,
                                           .size_bytes = repo.files[i].size_bytes };
    if (!cache_copies_locate(a, &c->cache, NULL, p->name, commit, p->files, repo.n_files, &c->err))
        return false;
    for (size_t i = 0; i < repo.n_files; i++)
        if (!p->files[i].from_cstr) missing[n++] = cmd_clone_literal(a, p->files[i].path);
    if (n == repo.n_files) n = 0;                /* nothing is there: no filter */
    p->n_files = repo.n_files;
    bool nothing = n == 0 && repo.n_files && p->files[0].from_cstr;
    return (nothing || cmd_clone_pull(p, &p->aside, missing, n, false, &r))
           && cache_copies_locate(a, &c->cache, &p->aside, p->name, commit, p->files, p->n_files,
                                  &c->err);
}

/* What the cache has, when the hub does not answer or does not know the model (the reason is in
 * c->err): imported models, revisions by their first digits. */
static bool cmd_clone_offline(struct cmd_clone *p) {
    struct cli_context *c = p->c;
    struct cache repos_only = c->cache;
    struct cache_model m;
    struct err none = { 0 };
    repos_only.workspace_cstr = NULL;
    struct str spec = p->revision.n ? str_format(&c->arena, STR_FMT "@" STR_FMT, STR_ARG(p->name),
                                                 STR_ARG(p->revision))
                                    : p->name;
    if (!cache_resolve(&c->arena, &repos_only, spec, &m, NULL, &none) || !m.commit.n
        || !str_eq(m.name, p->name))
        return false;
    bool whole = hub_is_complete(&c->arena, &c->cache, p->name, m.commit);
    if (!whole && !cache_check_health(&c->arena, &m).healthy) return false;
    cli_note(c, "note: taken from the cache: %s", c->err.msg);
    p->may_lack = !whole;
    if (!whole) cli_note(c, "note: the cache may lack files that the model does not need to run");
    err_clear(&c->err);
    p->commit = m.commit;
    return true;
}

static bool cmd_clone_cannot_store(enum err_code code) {
    return code == ERR_DISK_FULL || code == ERR_READ_ONLY || code == ERR_IO || code == ERR_EXISTS
           || code == ERR_NOT_FOUND || code == ERR_LOCKED;
}

static bool cmd_clone_obtain(struct cmd_clone *p) {
    struct cli_context *c = p->c;
    struct hub_pull_result r = { 0 };
    if (str_is_hex(p->revision, 40) && hub_is_complete(&c->arena, &c->cache, p->name, p->revision))
        p->commit = p->revision;
    else if (cmd_clone_pull(p, &c->cache, NULL, 0, false, &r)) p->commit = r.commit;
    else if (r.commit.n && cmd_clone_cannot_store(c->err.code)) {
        p->commit = r.commit;
        return cmd_clone_pull_aside(p, r.commit);
    } else {
        bool stopped = c->err.code == ERR_INTERRUPTED || c->err.code == ERR_INVALID;
        if (r.commit.n || stopped || !cmd_clone_offline(p)) return false;
    }
    return cache_copies_plan(&c->arena, &c->cache, NULL, p->name, p->commit, &p->files, &p->n_files,
                             &c->err);
}

/* ---- copies (Private) ---- */

static bool cmd_clone_progress(void *ctx, uint64_t done_bytes) {
    struct cmd_clone *p = ctx;
    cli_progress_update(&p->fetch.progress, done_bytes);
    return true;
}

/* The cached bytes of a file are wrong: once more from the hub, beside the target if need be. */
static bool cmd_clone_mend(struct cmd_clone *p, struct cache_copy *f) {
    struct cli_context *c = p->c;
    struct hub_pull_result r;
    struct err damage = c->err;
    struct str path = cmd_clone_literal(&c->arena, f->path);
    err_clear(&c->err);
    if (f->ours || !f->etag.n) { c->err = damage; return false; }
    cli_note(c, "note: %s; it is fetched anew", damage.msg);
    if (cmd_clone_pull(p, &c->cache, &path, 1, true, &r)) return true;
    if (!cmd_clone_cannot_store(c->err.code)) {
        err_hint(&damage, "it could not be fetched anew: %s", c->err.msg);
        c->err = damage;
        return false;
    }
    err_clear(&c->err);
    p->aside = c->cache;
    p->aside.root_cstr = os_path_join(&c->arena, p->temp_cstr, "hub");
    struct cache none = p->aside;
    none.root_cstr = p->files_cstr;              /* so that the damaged one is not found again */
    return cmd_clone_pull(p, &p->aside, &path, 1, false, &r)
           && cache_copies_locate(&c->arena, &none, &p->aside, p->name, p->commit, f, 1, &c->err);
}

/* Before the first copy: does the target take every name, and files as large? */
static bool cmd_clone_fits(struct cmd_clone *p) {
    struct err *e = &p->c->err;
    struct cache place = { .root_cstr = p->temp_cstr };
    for (size_t i = 0; i < p->n_files; i++) {
        const struct cache_copy *f = &p->files[i];
        if (!cache_names_taken(&place, f->path, e) ||
            (!p->copies.hardlink && !cache_file_fits(&place, f->path, f->size_bytes, e)))
            return false;
    }
    return true;
}

static bool cmd_clone_copy(struct cmd_clone *p) {
    struct cli_context *c = p->c;
    size_t n = 0, mended = SIZE_MAX;
    for (size_t i = 0; i < p->n_files; i++) {
        if (p->files[i].from_cstr) p->files[n++] = p->files[i];
        else if (!p->may_lack)
            return err_set(&c->err, ERR_NOT_FOUND, STR_FMT " has left the cache meanwhile",
                           STR_ARG(p->files[i].path))
                   || err_hint(&c->err, "run the command again");
    }
    p->n_files = n;
    p->copies = (struct cache_copies){ .hardlink = cli_flag(&c->args, "--hardlink"),
                                       .progress = cmd_clone_progress, .ctx = p };
    uint64_t total_bytes = 0;
    for (size_t i = 0; i < n; i++) total_bytes += p->files[i].size_bytes;
    if (!cmd_clone_fits(p)) return false;
    for (;;) {
        cli_progress_begin(c, &p->fetch.progress, "copying", total_bytes, true);
        bool ok = cache_copies_make(p->files_cstr, p->files, n, &p->copies, &c->err);
        cli_progress_end(&p->fetch.progress);
        if (ok) return true;
        size_t at = p->copies.next;
        if (c->err.code != ERR_INTEGRITY || at == mended || !cmd_clone_mend(p, &p->files[at]))
            return false;
        mended = at;
    }
}

static bool cmd_clone_finish(struct cmd_clone *p) {
    struct cli_context *c = p->c;
    struct cache_origin from = { .operation = STR("clone"), .source_repo = p->name,
                                 .source_revision = p->commit, .version = STR(MLXK_VERSION) };
    struct cache_model m;
    if (!cache_workspace_create(&c->arena, p->files_cstr, &from, CLI_CARD_NORMALIZE, &c->err)
        || !cache_model_at(&c->arena, p->files_cstr, &m, &c->err))
        return false;
    m.place = CACHE_REPO;                        /* judged, and worded, as in the cache */
    m.name = p->name;
    if (!cli_flag(&c->args, "--no-health-check")) p->health = cache_check_health(&c->arena, &m);
    return true;
}

/* ---- into its place (Private) ---- */

/* Entry by entry, the sentinel last. */
static bool cmd_clone_move(struct cmd_clone *p) {
    struct cli_context *c = p->c;
    struct os_entry *entries;
    size_t n;
    if (!os_list_dir(&c->arena, p->files_cstr, 1000000, &entries, &n, &c->err)) return false;
    for (int last = 0; last < 2; last++)
        for (size_t i = 0; i < n; i++) {
            char *name = str_dup_cstr(&c->arena, entries[i].name);
            char *from = name ? os_path_join(&c->arena, p->files_cstr, name) : NULL;
            char *to = from ? os_path_join(&c->arena, p->target_cstr, name) : NULL;
            if (!to) return err_oom(&c->err, LIMIT_PATH, "a path");
            if (str_eq(entries[i].name, STR(CMD_CLONE_SENTINEL)) != (last == 1)) continue;
            if (!os_rename(from, to, &c->err)) return false;
        }
    return os_sync_dir(p->target_cstr, &c->err);
}

/* *mounted: the target cannot be replaced, and nothing was changed. */
static bool cmd_clone_publish(struct cmd_clone *p, bool *mounted) {
    struct os_stat target;
    struct err failure = { 0 }, ignored = { 0 };
    bool there = os_stat(p->target_cstr, &target);
    *mounted = false;
    if (p->in_place) return cmd_clone_move(p);
    if (there) os_chmod(p->files_cstr, target.mode, &ignored);   /* as the person made it */
    if (!os_rename(p->files_cstr, p->target_cstr, &failure)) {
        *mounted = there && failure.code == ERR_IO;              /* EBUSY, EXDEV */
        p->c->err = failure;
        return false;
    }
    return os_sync_dir(p->parent_cstr, &p->c->err);
}

/* The last run was stopped when the workspace was ready and on its way to its place: what is left
 * to do needs nobody. */
static bool cmd_clone_was_done(struct cmd_clone *p, bool target_is_free) {
    struct cli_context *c = p->c;
    struct cache_workspace ws;
    struct cache_model m;
    struct os_stat st;
    struct err none = { 0 };
    bool moving;
    if (!cmd_clone_temp_name(p) || !os_lstat(p->temp_cstr, &st)) return false;
    moving = p->in_place && os_lstat(p->files_cstr, &st);
    if (!cache_workspace_read(&c->arena, moving ? p->files_cstr : p->target_cstr, NULL, &ws, &none)
        || !ws.managed || !str_eq(ws.origin, p->name))
        return false;
    if (moving && target_is_free && !ws.content_hash.n) return false;    /* it was not ready yet */
    const struct json *commit = json_get(ws.document, "source_revision");
    if (!json_is(commit, JSON_STRING) || !cmd_clone_temp_open(p)) return false;
    p->commit = commit->string;
    bool ok =
        !moving || (cache_workspace_sweep(&c->arena, p->files_cstr, &c->err) && cmd_clone_move(p));
    if (ok && !cli_flag(&c->args, "--no-health-check")
        && cache_model_at(&c->arena, p->target_cstr, &m, &none)) {
        if (cache_kind_of(p->name)) {
            m.place = CACHE_REPO;
            m.name = p->name;
        }
        p->health = cache_check_health(&c->arena, &m);
    }
    if (ok) ok = os_remove_tree(p->files_cstr, &c->err);
    cmd_clone_temp_close(p, false);
    return ok;
}

/* ---- all of it (Private) ---- */

/* MODEL[@REVISION] and --branch; a name without '/' may stand for one in the cache. */
static bool cmd_clone_name(struct cmd_clone *p) {
    struct cli_context *c = p->c;
    struct str typed = str_trim(cli_text(&c->args, "model")),
               branch = cli_text(&c->args, "--branch");
    p->spec = branch.n ? str_format(&c->arena, STR_FMT "@" STR_FMT, STR_ARG(typed), STR_ARG(branch))
                       : cli_text(&c->args, "model");
    if (str_starts(typed, STR("hf://"))) typed = str_sub(typed, 5, typed.n);
    ptrdiff_t at = str_find_char(typed, '@');
    p->name = at < 0 ? typed : str_sub(typed, 0, (size_t)at);
    p->revision = at < 0 ? STR_EMPTY : str_sub(typed, (size_t)at + 1, typed.n);
    if (p->revision.n && branch.n && !str_eq(p->revision, branch))
        return err_set(&c->err, ERR_USAGE,
                       "argument --branch: the model names another revision, " STR_FMT,
                       STR_ARG(p->revision));
    if (branch.n) p->revision = branch;
    return true;
}

static bool cmd_clone_expand(struct cmd_clone *p) {
    struct cli_context *c = p->c;
    struct cache repos_only = c->cache;
    struct cache_matches matches = { 0 };
    struct cache_model m;
    struct err none = { 0 };
    repos_only.workspace_cstr = NULL;
    if (!cli_fetch_name_ok(p->name, &c->err)) return false;
    if (str_find_char(p->name, '/') < 0 && p->name.p[0] != '.') {
        if (cache_resolve(&c->arena, &repos_only, p->name, &m, &matches, &none)) p->name = m.name;
        else if (none.code == ERR_AMBIGUOUS) { c->err = none; return false; }
    }
    return cache_name_ok(p->name, &c->err);
}

static bool cmd_clone_stage(struct cmd_clone *p, const char *status_cstr, const char *type_cstr) {
    p->status_cstr = status_cstr;
    p->type_cstr = type_cstr;
    return true;
}

static bool cmd_clone_work(struct cmd_clone *p) {
    struct err *e = &p->c->err;
    bool mounted;
    cmd_clone_stage(p, "pull_failed", "PullFailedError");
    if (!cmd_clone_obtain(p)) return err_context(e, "Pull operation failed: ");
    cmd_clone_stage(p, "filesystem_error", "CloneFailedError");
    if (!os_remove_tree(p->files_cstr, e) || !cmd_clone_copy(p) || !cmd_clone_finish(p))
        return false;
    if (cmd_clone_publish(p, &mounted)) return true;
    if (!mounted) return false;
    err_clear(e);                        /* once more, inside the target */
    if (!os_remove_tree(p->files_cstr, e)) return false;
    if (!p->aside.root_cstr) cmd_clone_temp_close(p, false);
    struct os_lock outer = p->lock;
    char *outer_cstr = p->temp_cstr;
    p->in_place = true;
    p->lock.fd = -1;
    bool ok = cmd_clone_temp_name(p) && cmd_clone_temp_open(p) && cmd_clone_copy(p)
              && cmd_clone_finish(p) && cmd_clone_publish(p, &mounted);
    struct err ignored = { 0 };
    if (outer.fd >= 0) os_remove_tree(outer_cstr, &ignored);
    os_lock_release(&outer);
    return ok;
}

/* A later run of the same command may go on where this one ended. */
static bool cmd_clone_can_continue(enum err_code code) {
    return code == ERR_NET || code == ERR_NET_TIMEOUT || code == ERR_INTERRUPTED
           || code == ERR_HTTP || code == ERR_RATE_LIMIT;
}

static int cmd_clone_run(struct cli_context *c) {
    struct cmd_clone p = { .c = c, .status_cstr = "error", .type_cstr = "InvalidTargetError" };
    int status = 1;
    p.lock.fd = -1;
    c->args.quiet = cli_flag(&c->args, "--quiet");
    if (!cmd_clone_name(&p)) return cli_fail(c, &c->err, "CommandError");
    p.target = cli_text(&c->args, "[target_dir]");
    if (!cli_get(&c->args, "[target_dir]")->given && !cmd_clone_home_target(&p, &status))
        return status;
    if (c->cache.workspace_cstr && p.target.n && str_find_char(p.target, '/') < 0) {
        char *bare = str_dup_cstr(&c->arena, p.target);
        p.target = str_cstr(bare ? os_path_join(&c->arena, c->cache.workspace_cstr, bare) : NULL);
    }
    if (!cmd_clone_place(&p) || !cmd_clone_temp_name(&p)) return cmd_clone_fail(&p);
    bool is_free = cmd_clone_target_is_free(&p);
    struct err kept = c->err;
    err_clear(&c->err);
    if (cmd_clone_was_done(&p, is_free)) return cmd_clone_done(&p);
    if (c->err.code != ERR_OK) return cmd_clone_fail(&p);
    c->err = kept;
    if (!is_free) return cmd_clone_fail(&p);
    if (!cmd_clone_expand(&p)) {
        cmd_clone_stage(&p, "pull_failed", "PullFailedError");
        err_context(&c->err, "Pull operation failed: ");
        return cmd_clone_fail(&p);
    }
    if (!cmd_clone_temp_open(&p)) return cmd_clone_fail(&p);
    bool ok = cmd_clone_work(&p);
    bool keep = !ok && p.aside.root_cstr && cmd_clone_can_continue(c->err.code);
    cmd_clone_temp_close(&p, keep);
    hub_close(&p.hub);
    if (keep) c->err.hint[0] = 0;
    if (keep)
        err_hint(&c->err, "what arrived is kept in %s; the same command continues", p.temp_cstr);
    return ok ? cmd_clone_done(&p) : cmd_clone_fail(&p);
}

MLXK_FN const struct cli_command *cmd_clone(void) {
    static const struct cli_command command = {
        "clone",
        "a model's files in a folder of your own, to edit",
        "network",
        cmd_clone_options,
        MLXK_COUNT(cmd_clone_options),
        "  mlxk clone mlx-community/Qwen3-0.6B-4bit ./qwen\n"
        "  mlxk clone org/name ./old --branch v1.0\n",
        cmd_clone_run,
    };
    return &command;
}

#undef CMD_CLONE_SENTINEL
