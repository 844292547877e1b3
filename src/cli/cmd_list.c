/* cmd_list.c: `list` shows what is on this machine: the cache and the workspaces.
 *
 * In the widest table Runtime says, as upstream does, whether MLX has a loader for such a model;
 * Reason says what stands in the way of running it here.
 *
 * People see by default the models that this program can run, everything with --all; JSON always
 * holds everything. Columns as upstream prints them (mlx-knife facts 4.6).
 */
#include "cli/cli_many.h"

#include <stdio.h>

static const struct cli_option cmd_list_options[] = {
    { "[pattern]", NULL, CLI_TEXT, NULL,
      "part of a name (any case), a path (./x, /x, .), datasets/ or spaces/", 0, 0,
      false },
    { "--all", NULL, CLI_FLAG, NULL, "also models that cannot be run or are broken", 0, 0, false },
    { "--health", NULL, CLI_FLAG, NULL, "add a column: are the files complete", 0, 0, false },
    { "--framework", NULL, CLI_TEXT, "KIND", "only mlx, gguf, pytorch or tokenizer (no weights)", 0,
      0, true },
    { "--verbose", NULL, CLI_FLAG, NULL,
      "full names; with --health: has MLX a loader (Runtime), what stops it here (Reason)", 0, 0,
      false },
};

enum { CMD_LIST_COLUMNS = 12, CMD_LIST_WHEN = 3 };
enum { CMD_LIST_REASON_MAX = 60, CMD_LIST_REASON_WIDTH = 26 };

struct cmd_list {
    struct cli_context *c;
    struct cli_grid grid;
    bool all, health, verbose;
    struct str framework;        /* empty: all of them */
    int64_t now_ns;
    struct json_writer *w;       /* with --json */
    size_t n_told, n_hidden;     /* models in the document; models that only --all shows */
};
#define CMD_LIST_HIDDEN STR("hidden")        /* no line: it has no NUL byte */

/* ---- one framework only (Private) ---- */

static bool cmd_list_framework_ok(struct cmd_list *l) {
    static const char *const kinds[] = { "mlx", "gguf", "pytorch", "tokenizer" };
    l->framework = cli_text(&l->c->args, "--framework");
    if (!cli_get(&l->c->args, "--framework")->given) return true;
    for (size_t i = 0; i < MLXK_COUNT(kinds); i++)
        if (str_ieq(l->framework, str_cstr(kinds[i]))) return true;
    return err_set(&l->c->err, ERR_USAGE,
                   "argument --framework: invalid choice: '" STR_FMT
                   "' (choose from mlx, gguf, pytorch, tokenizer)",
                   STR_ARG(l->framework));
}

static bool cmd_list_wanted(const struct cmd_list *l, const struct cli_card *card) {
    if (!l->framework.n || str_ieq(l->framework, card->info.framework)) return true;
    return str_ieq(l->framework, STR("tokenizer")) &&
           str_eq(card->info.framework, STR("Unknown")) &&
           (cache_scan_find(card->model.scan, STR("tokenizer.json")) ||
            cache_scan_find(card->model.scan, STR("tokenizer.model")));
}

/* Only answers about all models are remembered. */
static bool cmd_list_is_all(const struct cmd_list *l) {
    return !cli_text(&l->c->args, "[pattern]").n && !l->framework.n;
}

/* ---- JSON (Private) ---- */

/* The model object as the document holds it; nothing when it was not asked for. */
static bool cmd_list_ask(void *ctx, struct arena *a, struct cache_model *m, struct buf *out,
                         bool *keep, struct err *e) {
    struct cli_card card;
    struct json_writer w;
    if (!cli_card_read(a, m, &card, e)) return false;
    m->scan = card.model.scan;
    if (!cmd_list_wanted(ctx, &card)) return true;
    json_write_init(&w, out, true, true);
    w.depth = 3;                 /* inside the document, its data and the list of models */
    w.after_key = true;
    w.first = false;
    cli_card_write(&w, &card, false);
    *keep = card.health.healthy;
    return true;
}

static bool cmd_list_use(void *ctx, size_t i, struct str answer, struct err *e) {
    struct cmd_list *l = ctx;
    (void)i;
    (void)e;
    if (!answer.n) return true;
    json_write_raw(l->w, answer);
    l->n_told++;
    return true;
}

static int cmd_list_json(struct cmd_list *l, const struct cache_model *models, size_t n) {
    struct cli_context *c = l->c;
    struct json_writer *w = l->w = cli_document(c);
    json_write_object(w);
    json_write_key(w, "models");
    json_write_array(w);
    struct cli_many many = { .cache = &c->cache, .models = models, .n = n, .ask = cmd_list_ask,
                             .question_cstr = cmd_list_is_all(l) ? "list" : NULL, .ctx = l };
    if (!cli_many_ask(&c->arena, &many, cmd_list_use, &c->err))
        return cli_fail(c, &c->err, NULL);
    json_write_array_end(w);
    json_write_key(w, "count");
    json_write_u64(w, l->n_told);
    json_write_key(w, "system");
    json_write_object(w);
    json_write_key(w, "memory_total_bytes");
    json_write_u64(w, os_total_memory());
    json_write_object_end(w);
    json_write_object_end(w);
    return cli_document_end(c);
}

/* ---- for people (Private) ---- */

static struct str cmd_list_name(const struct cmd_list *l, const struct cli_card *card) {
    struct str name = card->model.display_name.n ? card->model.display_name : card->model.name,
               prefix = STR("mlx-community/");
    return !l->verbose && str_starts(name, prefix) ? str_sub(name, prefix.n, name.n) : name;
}

static struct str cmd_list_source(const struct cli_card *card) {
    if (card->model.place == CACHE_REPO) return STR("cache");
    return card->workspace.clean < 0 ? STR("ws?") : card->workspace.clean ? STR("ws") : STR("ws*");
}

static struct str cmd_list_type(struct arena *a, const struct cli_card *card) {
    struct str type = card->info.model_type;
    for (int i = 1; i < card->info.n_capabilities; i++) {
        const char *what = card->info.capabilities[i];
        if (!strcmp(what, "vision") || !strcmp(what, "audio"))
            type = str_format(a, STR_FMT "+%s", STR_ARG(type), what);
    }
    return type;
}

/* Cuts *rest at the last space within the column, or in the middle of a longer word. */
static struct str cmd_list_wrap(struct str *rest) {
    size_t end = 0, at = 0, break_at = 0, columns = 0;
    while (at < rest->n && columns < CMD_LIST_REASON_WIDTH) {
        if (rest->p[at] == ' ') break_at = at;
        utf8_decode(*rest, &at);
        columns++;
        end = at;
    }
    if (end < rest->n && rest->p[end] != ' ' && break_at) end = break_at;
    struct str line = str_sub(*rest, 0, end);
    *rest = str_trim(str_sub(*rest, end, rest->n));
    return str_trim(line);
}

/* At most 60 characters of the reason, the last three of them dots when it was longer. */
static struct str cmd_list_reason(struct arena *a, const struct cli_card *card) {
    size_t at = 0;
    if (!card->reason.n) return STR("-");
    if (utf8_count(card->reason) <= CMD_LIST_REASON_MAX) return card->reason;
    for (int i = 0; i < CMD_LIST_REASON_MAX - 3; i++) utf8_decode(card->reason, &at);
    return str_concat(a, str_sub(card->reason, 0, at), STR("..."));
}

/* A line of the table as bytes: each of its cells, up to a NUL byte if it has one, and a NUL. */
static void cmd_list_line(struct buf *out, const struct str *cells, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct str rest = cells[i];
        buf_add(out, str_cut(&rest, '\0'));
        buf_add_bytes(out, "", 1);
    }
}

/* The lines of one model; instead of how long ago it was modified (CMD_LIST_WHEN), when. */
static void cmd_list_row(const struct cmd_list *l, struct arena *a, const struct cli_card *card,
                         struct buf *out) {
    struct str cells[CMD_LIST_COLUMNS] = { cmd_list_name(l, card), cli_card_hash(card) },
               reason = STR_EMPTY;
    char size[16], time[32];
    size_t n = 2;
    num_format_size(size, card->info.size_bytes);
    (void)snprintf(time, sizeof time, "%lld", (long long)card->info.mtime_ns);
    if (!cells[1].n) cells[1] = STR("-");
    cells[n++] = str_cstr(size);
    cells[n++] = str_cstr(time);
    cells[n++] = cmd_list_source(card);
    if (l->all || l->verbose) {
        cells[n++] = card->model.place == CACHE_REPO || card->workspace.clean < 0 ? STR("—")
                     : card->workspace.clean                                      ? STR("✓")
                                                                                  : STR("✗");
        cells[n++] = card->info.framework;
    }
    cells[n++] = cmd_list_type(a, card);
    if (l->health && l->verbose) {
        reason = cmd_list_reason(a, card);
        cells[n++] = card->health.healthy ? STR("healthy") : STR("unhealthy");
        cells[n++] = !card->health.healthy ? STR("-") : card->loadable ? STR("yes") : STR("no");
        cells[n++] = cmd_list_wrap(&reason);
    } else if (l->health) {
        cells[n++] = !card->health.healthy ? STR("unhealthy")
                     : card->runnable      ? STR("healthy")
                                           : STR("healthy*");
    }
    cmd_list_line(out, cells, n);
    while (reason.n) {
        memset(cells, 0, sizeof cells);
        cells[n - 1] = cmd_list_wrap(&reason);
        cmd_list_line(out, cells, n);
    }
}

static void cmd_list_heads(struct cmd_list *l, const char *heads[CMD_LIST_COLUMNS]) {
    size_t n = 0;
    static const char *const always[] = { "Name", "Hash", "Size", "Modified", "Src" };
    for (; n < MLXK_COUNT(always); n++) heads[n] = always[n];
    if (l->all || l->verbose) {
        heads[n++] = "Clean";
        heads[n++] = "Framework";
    }
    heads[n++] = "Type";
    if (l->health && l->verbose) {
        heads[n++] = "Integrity";
        heads[n++] = "Runtime";
        heads[n++] = "Reason";
    } else if (l->health) {
        heads[n++] = "Health";
    }
    cli_grid_init(&l->grid, &l->c->arena, heads, n, 0);
}

/* The model's lines; nothing when they were not asked for, CMD_LIST_HIDDEN when only --all shows
 * them. */
static bool cmd_list_ask_row(void *ctx, struct arena *a, struct cache_model *m, struct buf *out,
                             bool *keep, struct err *e) {
    const struct cmd_list *l = ctx;
    struct cli_card card;
    if (!cli_card_read(a, m, &card, e)) return false;
    m->scan = card.model.scan;
    *keep = card.health.healthy;
    if (!cmd_list_wanted(l, &card)) return true;
    bool model = !cache_model_kind(&card.model);         /* others are asked for by their kind */
    if (model && !l->all && !l->framework.n && !card.known) buf_add(out, CMD_LIST_HIDDEN);
    else cmd_list_row(l, a, &card, out);
    return true;
}

/* The time in a cell becomes how long ago that is; the cell of a further line is empty. */
static bool cmd_list_ago(const struct cmd_list *l, struct str *cell) {
    char ago[32];
    int64_t time_ns;
    if (!num_parse_i64(*cell, INT64_MIN, INT64_MAX, &time_ns)) return true;
    cli_card_ago(ago, time_ns, l->now_ns);
    *cell = str_dup(&l->c->arena, str_cstr(ago));
    return cell->p != NULL;
}

static bool cmd_list_use_row(void *ctx, size_t i, struct str answer, struct err *e) {
    struct cmd_list *l = ctx;
    struct str cells[CMD_LIST_COLUMNS], rest = str_dup(&l->c->arena, answer);
    (void)i;
    if (!rest.p) return err_oom(e, answer.n, "the table");
    if (str_eq(rest, CMD_LIST_HIDDEN)) {
        l->n_hidden++;
        return true;
    }
    while (rest.n) {
        for (size_t k = 0; k < l->grid.n_columns; k++) cells[k] = str_cut(&rest, '\0');
        if (!cmd_list_ago(l, &cells[CMD_LIST_WHEN])) return err_oom(e, 32, "the table");
        if (!cli_grid_row(&l->grid, cells)) return err_oom(e, sizeof cells, "the table");
    }
    return true;
}

static int cmd_list_text(struct cmd_list *l, const struct cache_model *models, size_t n) {
    const char *heads[CMD_LIST_COLUMNS];
    char question[32];           /* which columns and rows: their answers differ */
    (void)snprintf(question, sizeof question, "rows%s%s%s", l->all ? "-all" : "",
                   l->health ? "-health" : "", l->verbose ? "-verbose" : "");
    struct cli_many many = { .cache = &l->c->cache, .models = models, .n = n,
                             .ask = cmd_list_ask_row, .ctx = l,
                             .question_cstr = cmd_list_is_all(l) ? question : NULL,
                             .contents = l->health };
    cmd_list_heads(l, heads);
    if (!cli_many_ask(&l->c->arena, &many, cmd_list_use_row, &l->c->err))
        return cli_fail(l->c, &l->c->err, NULL);
    cli_grid_print(l->c, &l->grid);
    if (l->n_hidden && os_is_tty(1))
        cli_note(l->c, "%zu more cannot be run here: mlxk list --all --health --verbose tells why",
                 l->n_hidden);
    return 0;
}

/* Models of version 1 lie beside the hub's folder, where nothing looks any more. */
static void cmd_list_note_legacy(struct cli_context *c) {
    struct os_entry *entries;
    struct err none = { 0 };
    struct str root = str_cstr(c->cache.root_cstr);
    size_t n = 0, n_legacy = 0;
    if (c->out.json || !str_ends(root, STR("/hub"))) return;
    char *home_cstr = str_dup_cstr(&c->arena, str_sub(root, 0, root.n - 4));
    if (!home_cstr || !os_list_dir(&c->arena, home_cstr, 100000, &entries, &n, &none)) return;
    for (size_t i = 0; i < n; i++) n_legacy += str_starts(entries[i].name, STR("models--"));
    if (n_legacy)
        cli_note(c, "note: %zu models lie in %s, where nothing looks: mv %s/models--* %s/",
                 n_legacy, home_cstr, home_cstr, c->cache.root_cstr);
}

static int cmd_list_run(struct cli_context *c) {
    struct cmd_list l = { .c = c,
                          .all = cli_flag(&c->args, "--all"),
                          .health = cli_flag(&c->args, "--health"),
                          .verbose = cli_flag(&c->args, "--verbose"),
                          .now_ns = os_time_ns() };
    struct cache_model *models;
    size_t n;
    if (!cmd_list_framework_ok(&l)) return cli_fail(c, &c->err, NULL);
    cmd_list_note_legacy(c);
    if (!cache_list_names(&c->arena, &c->cache, cli_text(&c->args, "[pattern]"), &models, &n,
                          &c->err))
        return cli_fail(c, &c->err, NULL);
    return c->out.json ? cmd_list_json(&l, models, n) : cmd_list_text(&l, models, n);
}

MLXK_FN const struct cli_command *cmd_list(void) {
    static const struct cli_command command = {
        "list",
        "models on this machine",
        "on disk",
        cmd_list_options,
        MLXK_COUNT(cmd_list_options),
        "  mlxk list\n  mlxk list qwen --all --health\n  mlxk list ./workspaces/ --json\n",
        cmd_list_run,
    };
    return &command;
}

#undef CMD_LIST_HIDDEN
