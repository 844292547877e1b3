/* cmd_gc.c: `gc` shows what can go, and with --yes removes it.
 *
 *  1. Without --yes nothing is changed.
 *  2. What stays although it looks like waste is named with its reason: in use, young, foreign.
 */
#include "cli/cli.h"
#include "care/care.h"

static const struct cli_option cmd_gc_options[] = {
    { "[model]", NULL, CLI_TEXT, NULL, "one model; the whole cache without it", 0, 0, true },
    { "--dry-run", NULL, CLI_FLAG, NULL, "show the plan only (the default)", 0, 0, true },
    { "--yes", NULL, CLI_FLAG, NULL, "do it", 0, 0, true },
    { "--keep-last", NULL, CLI_INT, "N",
      "of each model remove all but the newest N revisions and that of refs/main", 1, 1000000,
      true },
    { "--until-free", NULL, CLI_SIZE, "SIZE",
      "remove the least recently used revisions until so much is free (with --keep-last: of those "
      "beyond)",
      0, 0, true },
    { "--older-than", NULL, CLI_TEXT, "AGE",
      "only what was not touched for 12h, 7d, 6mo (leftovers: 1h)", 0, 0, true },
    { "--detached", NULL, CLI_FLAG, NULL, "also revisions that no ref names", 0, 0, true },
};

struct cmd_gc {
    struct cli_context *c;
    struct care_plan plan;
    struct care_plan_options options;
    bool execute;
    uint64_t freed_bytes;
};

/* ---- JSON (Private) ---- */

static void cmd_gc_items(struct json_writer *w, const struct cmd_gc *g) {
    json_write_key(w, "items");
    json_write_array(w);
    for (size_t i = 0; i < g->plan.n; i++) {
        const struct care_item *x = &g->plan.items[i];
        json_write_object(w);
        json_write_key(w, "action");
        json_write_cstr(w, care_action_name(x->action));
        json_write_key(w, "model");
        json_write_str(w, x->repo.n ? x->repo : x->folder);
        json_write_key(w, "path");
        json_write_str(w, x->path);
        json_write_key(w, "bytes");
        json_write_u64(w, x->bytes);
        json_write_key(w, "reason");
        json_write_str(w, x->why);
        json_write_key(w, "removed");
        json_write_bool(w, x->done);
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_key(w, "kept");
    json_write_array(w);
    for (size_t i = 0; i < g->plan.n_kept; i++) {
        json_write_object(w);
        json_write_key(w, "path");
        json_write_str(w, g->plan.kept[i].path);
        json_write_key(w, "reason");
        json_write_str(w, g->plan.kept[i].why);
        json_write_key(w, "foreign");
        json_write_bool(w, g->plan.kept[i].foreign);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

static void cmd_gc_data(struct json_writer *w, const struct cmd_gc *g) {
    json_write_object(w);
    json_write_key(w, "dry_run");
    json_write_bool(w, !g->execute);
    cmd_gc_items(w, g);
    json_write_key(w, "bytes");
    json_write_u64(w, g->plan.bytes);
    json_write_key(w, "freed_bytes");
    json_write_u64(w, g->freed_bytes);
    json_write_key(w, "free_bytes");
    json_write_u64(w, g->plan.free_bytes);
    json_write_key(w, "goal_bytes");
    if (g->plan.goal_bytes) json_write_u64(w, g->plan.goal_bytes);
    else json_write_null(w);
    json_write_key(w, "goal_reached");
    json_write_bool(w, g->plan.reached);
    json_write_key(w, "hidden_processes");
    if (g->plan.users_known) json_write_u64(w, g->plan.n_hidden);
    else json_write_null(w);
    json_write_object_end(w);
}

/* ---- for people (Private) ---- */

/* Below the root, so that lines stay readable. */
static struct str cmd_gc_below(struct cli_context *c, struct str path) {
    struct str root = str_cstr(c->cache.root_cstr);
    return str_starts(path, root) && path.n > root.n ? str_sub(path, root.n + 1, path.n) : path;
}

/* Lock files of one repo come in hundreds: items from i on that are told in one row. */
static size_t cmd_gc_alike(const struct cmd_gc *g, size_t i) {
    const struct care_item *x = &g->plan.items[i];
    size_t n = 1;
    while (x->action == CARE_DROP_LOCK && i + n < g->plan.n &&
           g->plan.items[i + n].action == x->action &&
           str_eq(g->plan.items[i + n].folder, x->folder) && g->plan.items[i + n].done == x->done)
        n++;
    return n;
}

static void cmd_gc_print(struct cmd_gc *g) {
    static const char *heads[] = { "What", "Bytes", "Where", "Why", "" };
    struct cli_context *c = g->c;
    struct cli_grid grid;
    cli_grid_init(&grid, &c->arena, heads, MLXK_COUNT(heads), 2);
    grid.wraps = true;
    for (size_t i = 0, n; i < g->plan.n; i += n) {
        const struct care_item *x = &g->plan.items[i];
        char size[16];
        uint64_t sum = 0;
        n = cmd_gc_alike(g, i);
        for (size_t k = 0; k < n; k++) sum += g->plan.items[i + k].bytes;
        num_format_size(size, sum);
        struct str where = cmd_gc_below(c, x->path);
        if (n > 1) where = str_format(&c->arena, ".locks/" STR_FMT "/ (%zu files)",
                                      STR_ARG(x->folder), n);
        struct str cells[] = { str_cstr(care_action_name(x->action)),
                               str_dup(&c->arena, str_cstr(size)), where, x->why,
                               !g->execute ? STR_EMPTY : x->done ? STR("removed") : STR("stays") };
        if (!cli_grid_row(&grid, cells)) return;
    }
    for (size_t i = 0; i < g->plan.n_kept; i++) {
        const struct care_kept *x = &g->plan.kept[i];
        struct str cells[] = { x->foreign ? STR("(foreign)") : STR("(stays)"), STR("-"),
                               cmd_gc_below(c, x->path), x->why, STR_EMPTY };
        if (!cli_grid_row(&grid, cells)) return;
    }
    if (grid.n_rows) cli_grid_print(c, &grid);
}

static void cmd_gc_summary(struct cmd_gc *g) {
    struct cli_context *c = g->c;
    char size[16], goal[16], have[16];
    size_t n = 0;
    for (size_t i = 0; i < g->plan.n; i++) n += g->plan.items[i].done;
    num_format_size(size, g->execute ? g->freed_bytes : g->plan.bytes);
    if (g->execute) cli_print(c, "%zu removed, %s freed\n", n, size);
    else if (g->plan.n)
        cli_print(c, "%zu could go, %s; `mlxk gc --yes` removes them\n", g->plan.n, size);
    else cli_print(c, "nothing to remove\n");
    num_format_size(goal, g->plan.goal_bytes);
    num_format_size(have, g->plan.free_bytes + g->plan.bytes);
    if (!g->plan.reached && !g->execute)
        cli_note(c, "note: %s cannot be had this way: %s would be free", goal, have);
    if (!g->plan.users_known || g->plan.n_hidden)
        cli_note(c,
                 g->plan.users_known
                     ? "note: %zu of the running processes could not be asked which files they use"
                     : "note: this system does not tell which files are in use",
                 g->plan.n_hidden);
}

/* ---- the command ---- */

static bool cmd_gc_options_read(struct cmd_gc *g) {
    struct cli_context *c = g->c;
    struct str spec = cli_text(&c->args, "[model]"), age = cli_text(&c->args, "--older-than");
    struct cache_model m;
    g->options = (struct care_plan_options){
        .keep_last = cli_int(&c->args, "--keep-last", -1),
        .until_free = (uint64_t)cli_int(&c->args, "--until-free", 0),
        .older_ns = -1, .revision_ns = -1,
        .detached = cli_flag(&c->args, "--detached"), .now_ns = os_time_ns(),
    };
    g->execute = cli_flag(&c->args, "--yes");
    if (g->execute && cli_flag(&c->args, "--dry-run"))
        return err_set(&c->err, ERR_USAGE, "argument --dry-run: not allowed with argument --yes");
    if (age.n && !care_parse_age(age, &g->options.older_ns, &c->err))
        return err_context(&c->err, "argument --older-than: ");
    g->options.revision_ns = g->options.older_ns;
    if (!spec.n) return true;
    if (!cli_resolve(c, spec, &m, NULL, &c->err)) return false;
    if (m.place == CACHE_WORKSPACE)
        return err_set(&c->err, ERR_INVALID, STR_FMT " is a workspace and stays", STR_ARG(m.name));
    g->options.folder = os_path_base(m.repo_dir_cstr);
    return true;
}

static bool cmd_gc_execute(struct cmd_gc *g) {
    struct cli_context *c = g->c;
    struct os_room room;
    struct err unknown = { 0 };
    bool ok = care_collect(&c->cache, &g->plan, &g->freed_bytes, &c->err);
    if (os_room_read(c->cache.root_cstr, &room, &unknown)) {
        g->plan.free_bytes = room.free_bytes;
        g->plan.reached = !g->plan.goal_bytes || room.free_bytes >= g->plan.goal_bytes;
    }
    return ok;
}

static int cmd_gc_fail(struct cmd_gc *g) {
    struct cli_context *c = g->c;
    struct buf data;
    struct json_writer w;
    if (!c->out.json) return cli_fail(c, &c->err, NULL);
    cli_data_begin(&w, &data, (size_t)1 << 28);
    cmd_gc_data(&w, g);
    int status = cli_fail_data(c, &c->err, NULL, buf_str(&data), STR_EMPTY);
    buf_release(&data);
    return status;
}

static int cmd_gc_report(struct cmd_gc *g, bool ok) {
    struct cli_context *c = g->c;
    char goal[16], have[16];
    if (!c->out.json) {
        cmd_gc_print(g);
        cmd_gc_summary(g);
    }
    if (ok && g->execute && !g->plan.reached) {
        num_format_size(goal, g->plan.goal_bytes);
        num_format_size(have, g->plan.free_bytes);
        ok = err_set(&c->err, ERR_DISK_FULL, "%s are free, less than the %s wanted", have, goal);
        err_hint(&c->err, "a smaller --keep-last or --older-than lets more go");
    }
    if (!ok) return cmd_gc_fail(g);
    if (!c->out.json) return 0;
    cmd_gc_data(cli_document(c), g);
    return cli_document_end(c);
}

static int cmd_gc_run(struct cli_context *c) {
    struct cmd_gc g = { .c = c };
    if (!cmd_gc_options_read(&g))
        return cli_fail(c, &c->err, c->err.code == ERR_USAGE ? "CommandError" : NULL);
    bool ok = care_plan_make(&c->arena, &c->cache, &g.options, &g.plan, &c->err);
    int status =
        ok ? cmd_gc_report(&g, !g.execute || cmd_gc_execute(&g)) : cli_fail(c, &c->err, NULL);
    care_plan_release(&g.plan);
    return status;
}

MLXK_FN const struct cli_command *cmd_gc(void) {
    static const struct cli_command command = {
        "gc",
        "show what nobody needs, and remove it",
        "on disk",
        cmd_gc_options,
        MLXK_COUNT(cmd_gc_options),
        "  mlxk gc\n  mlxk gc --yes\n  mlxk gc --keep-last 2 --older-than 30d --yes\n  mlxk gc "
        "--until-free 200G --yes\n",
        cmd_gc_run,
    };
    return &command;
}
