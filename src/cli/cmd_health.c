/* cmd_health.c: `health` tells whether the files of models are complete. Exit status 0 whatever it
 * finds: finding something wrong is its work done (mlx-knife facts 1.7). */
#include "cli/cli_many.h"
#include "cli/cli_findings.h"

static const struct cli_option cmd_health_options[] = {
    { "[model]", NULL, CLI_TEXT, NULL, "name, part of a name, or path; all without it", 0, 0,
      false },
    { "--all", NULL, CLI_FLAG, NULL, "all models (as without a name)", 0, 0, true },
    { "--deep", NULL, CLI_FLAG, NULL, "also look into files: headers, indexes, links, file lists",
      0, 0, true },
};

struct cmd_health_row { struct str name; struct cache_health health; bool workspace, managed; };
struct cmd_health {
    struct cli_context *c;
    struct cmd_health_row *rows;
    size_t n, n_healthy;
    bool deep;
    struct care_findings findings;
};

/* What a look inside says counts too: of its errors the first is the reason. */
static bool cmd_health_deepen(struct cmd_health *h, const struct cache_model *m,
                              struct cmd_health_row *row) {
    size_t first = h->findings.n;
    if (!care_deep(&h->c->cache, m, &h->findings, &h->c->err)) return false;
    for (size_t i = first; row->health.healthy && i < h->findings.n; i++) {
        const struct care_finding *x = &h->findings.list[i];
        if (x->severity != CARE_ERROR) continue;
        row->health.healthy = false;
        row->health.reason = str_format(&h->c->arena, STR_FMT ": " STR_FMT,
                                        STR_ARG(x->file.n ? x->file : os_path_base(x->path.p)),
                                        STR_ARG(x->message));
    }
    return true;
}

static bool cmd_health_add(struct cmd_health *h, const struct cache_model *m, struct str name) {
    struct cmd_health_row *row = &h->rows[h->n++];
    struct cache_workspace ws;
    *row = (struct cmd_health_row){ .name = name, .workspace = m->place == CACHE_WORKSPACE };
    row->health = cache_check_health(&h->c->arena, m);
    if (h->deep && !cmd_health_deepen(h, m, row)) return false;
    if (row->workspace) {
        if (!cache_workspace_read(&h->c->arena, m->dir_cstr, NULL, &ws, &h->c->err)) return false;
        row->managed = ws.managed;
    }
    h->n_healthy += row->health.healthy;
    return true;
}

/* A cached model is hidden behind a workspace of its short name, which is what commands find. */
static bool cmd_health_hidden(const struct cmd_health *h, const struct cache_model *m) {
    struct str name = str_sub(m->name, (size_t)(str_find_last(m->name, STR("/")) + 1), m->name.n);
    for (size_t i = 0; m->place == CACHE_REPO && i < h->n && h->rows[i].workspace; i++)
        if (str_eq(h->rows[i].name, name)) return true;
    return false;
}

static struct str cmd_health_name(const struct cache_model *m) {
    return m->display_name.n ? m->display_name : m->name;
}

/* Looking inside takes its time and finds many things: one model after the other. */
static bool cmd_health_all_deep(struct cmd_health *h, struct cache_model *models, size_t n) {
    struct cli_context *c = h->c;
    for (size_t i = 0; i < n; i++)
        if (!os_go_on(&c->err) ||
            !cache_complete(&c->arena, &c->cache, &models[i], &c->err) ||
            (!cmd_health_hidden(h, &models[i]) &&
             !cmd_health_add(h, &models[i], cmd_health_name(&models[i]))))
            return false;
    return true;
}

/* The verdict as text: '+' or '-' for healthy, 'm' or '-' for managed, the reason. */
static bool cmd_health_ask(void *ctx, struct arena *a, struct cache_model *m, struct buf *out,
                           bool *keep, struct err *e) {
    struct cache_workspace ws = { .managed = false };
    (void)ctx;
    if (!cache_scan(a, m, e)) return false;
    struct cache_health health = cache_check_health(a, m);
    if (m->place == CACHE_WORKSPACE && !cache_workspace_read(a, m->dir_cstr, NULL, &ws, e))
        return false;
    buf_add_char(out, health.healthy ? '+' : '-');
    buf_add_char(out, ws.managed ? 'm' : '-');
    buf_add(out, health.reason);
    *keep = health.healthy;
    return true;
}

struct cmd_health_many { struct cmd_health *h; const struct cache_model *models; };

static bool cmd_health_use(void *ctx, size_t i, struct str answer, struct err *e) {
    struct cmd_health *h = ((struct cmd_health_many *)ctx)->h;
    const struct cache_model *m = &((struct cmd_health_many *)ctx)->models[i];
    if (answer.n < 2) return err_set(e, ERR_FORMAT, "what is remembered about " STR_FMT
                       " is no verdict", STR_ARG(m->name));
    if (cmd_health_hidden(h, m)) return true;
    struct cmd_health_row *row = &h->rows[h->n++];
    *row = (struct cmd_health_row){ .name = cmd_health_name(m),
                                    .workspace = m->place == CACHE_WORKSPACE,
                                    .managed = answer.p[1] == 'm' };
    row->health.healthy = answer.p[0] == '+';
    row->health.reason = str_dup(&h->c->arena, str_sub(answer, 2, answer.n));
    h->n_healthy += row->health.healthy;
    return row->health.reason.p || err_oom(e, answer.n, "a verdict");
}

static bool cmd_health_all(struct cmd_health *h) {
    struct cli_context *c = h->c;
    struct cache_model *models;
    size_t n;
    if (!cache_list_names(&c->arena, &c->cache, STR_EMPTY, &models, &n, &c->err)) return false;
    cache_order_by_folder(models, n);
    if (!(h->rows = ARENA_ARRAY(&c->arena, struct cmd_health_row, n)))
        return err_oom(&c->err, n * sizeof *h->rows, "the verdicts");
    if (h->deep) return cmd_health_all_deep(h, models, n);
    struct cmd_health_many ctx = { h, models };
    struct cli_many many = { .cache = &c->cache, .models = models, .n = n, .contents = true,
                             .question_cstr = "health", .ask = cmd_health_ask, .ctx = &ctx };
    return cli_many_ask(&c->arena, &many, cmd_health_use, &c->err);
}

/* As upstream and for health alone, a name may be that of a model's folder here. */
static bool cmd_health_here(struct cli_context *c, struct str spec, struct cache_model *m) {
    struct err none = { 0 };
    struct str path = str_concat(&c->arena, STR("./"), spec);
    if (c->err.code != ERR_NOT_FOUND || !spec.n || spec.p[0] == '/' || !path.p) return false;
    if (!cache_resolve(&c->arena, &c->cache, path, m, NULL, &none) || m->place != CACHE_WORKSPACE)
        return false;
    err_clear(&c->err);
    return true;
}

static bool cmd_health_one(struct cmd_health *h, struct str spec, struct cache_matches *matches) {
    struct cli_context *c = h->c;
    struct cache_model m;
    bool here = false;
    if (!(h->rows = ARENA_NEW(&c->arena, struct cmd_health_row)))
        return err_oom(&c->err, sizeof *h->rows, "the verdicts");
    if (!cli_resolve(c, spec, &m, matches, &c->err) && !(here = cmd_health_here(c, spec, &m))) {
        bool none = c->err.code == ERR_NOT_FOUND;
        if (none && c->err.hint[0]) cli_note(c, "%s; %s", c->err.msg, c->err.hint);
        if (none) err_clear(&c->err);
        return none;
    }
    if (m.place == CACHE_REPO && str_find_char(spec, '@') >= 0) {
        /* As upstream, whatever was behind '@'; `show` judges the named snapshot. */
        cli_note(c,
                 "note: this is about the snapshot in use; `mlxk show " STR_FMT
                 "` tells about that one",
                 STR_ARG(spec));
        if (!cache_resolve(&c->arena, &c->cache, m.name, &m, matches, &c->err)) return false;
    }
    bool path = here || spec.p[0] == '/' || str_starts(spec, STR("./")) ||
                str_starts(spec, STR("../")) || str_eq(spec, STR(".")) || str_eq(spec, STR(".."));
    struct os_stat st;
    char *spec_cstr = str_dup_cstr(&c->arena, spec);
    path = path && (here || !spec_cstr || os_stat(spec_cstr, &st));   /* else ./NAME of the home */
    return cmd_health_add(h, &m,
                          m.place == CACHE_WORKSPACE && !path ? os_path_base(m.dir_cstr) : m.name);
}

/* ---- JSON (Private) ---- */

static void cmd_health_side(struct json_writer *w, const struct cmd_health *h, bool healthy) {
    json_write_key(w, healthy ? "healthy" : "unhealthy");
    json_write_array(w);
    for (size_t i = 0; i < h->n; i++) {
        if (h->rows[i].health.healthy != healthy) continue;
        json_write_object(w);
        json_write_key(w, "name");
        json_write_str(w, h->rows[i].name);
        json_write_key(w, "status");
        json_write_cstr(w, healthy ? "healthy" : "unhealthy");
        json_write_key(w, "reason");
        json_write_str(w, h->rows[i].health.reason);
        if (h->rows[i].workspace) {
            json_write_key(w, "managed");
            json_write_bool(w, h->rows[i].managed);
        }
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

static void cmd_health_data(struct json_writer *w, const struct cmd_health *h) {
    json_write_object(w);
    cmd_health_side(w, h, true);
    cmd_health_side(w, h, false);
    json_write_key(w, "summary");
    json_write_object(w);
    json_write_key(w, "total");
    json_write_u64(w, h->n);
    json_write_key(w, "healthy_count");
    json_write_u64(w, h->n_healthy);
    json_write_key(w, "unhealthy_count");
    json_write_u64(w, h->n - h->n_healthy);
    json_write_object_end(w);
    if (h->deep) cli_findings_write(w, &h->findings);
    json_write_object_end(w);
}

/* ---- for people (Private) ---- */

static void cmd_health_lines(const struct cmd_health *h, bool healthy) {
    for (size_t i = 0; i < h->n; i++) {
        if (h->rows[i].health.healthy != healthy) continue;
        cli_color(h->c, healthy ? 32 : 31);
        cli_print(h->c, "%-9s", healthy ? "healthy" : "unhealthy");
        cli_color(h->c, 0);
        cli_print(h->c, " " STR_FMT " — " STR_FMT "\n", STR_ARG(h->rows[i].name),
                  STR_ARG(h->rows[i].health.reason));
    }
}

static int cmd_health_fail(struct cmd_health *h, const struct cache_matches *matches) {
    struct cli_context *c = h->c;
    struct buf data;
    struct json_writer w;
    if (c->err.code != ERR_AMBIGUOUS || !c->out.json) return cli_fail(c, &c->err, NULL);
    c->err.hint[0] = '\0';       /* the document has "matches" */
    cli_data_begin(&w, &data, LIMIT_JSON_DOC);
    h->n = h->n_healthy = 0;
    cmd_health_data(&w, h);
    int status =
        cli_fail_data(c, &c->err, NULL, buf_str(&data), cli_card_matches(&c->arena, matches));
    buf_release(&data);
    return status;
}

/* A broken model of the cache that was asked about by name: a person may throw it away at once. */
static void cmd_health_offer(struct cmd_health *h) {
    struct cli_context *c = h->c;
    struct cache_locks locks;
    struct cache_removal removal;
    struct err e = { 0 };
    char size[16];
    if (h->n != 1 || h->n_healthy || h->rows[0].workspace) return;
    if (!cli_ask(c, "Delete " STR_FMT "?", STR_ARG(h->rows[0].name))) return;
    if (!cache_locks_read(&c->arena, &c->cache, h->rows[0].name, &locks, &e))
        cli_note(c, "nothing was deleted: %s", e.msg);
    else if (locks.n_open)
        cli_note(c, "nothing was deleted: it has lock files of unfinished downloads (mlxk rm -f)");
    else if (!cache_remove(&c->arena, &c->cache, h->rows[0].name, STR_EMPTY, &removal, &e))
        cli_note(c, "it could not be deleted: %s", e.msg);
    else {
        num_format_size(size, removal.freed_bytes);
        cli_note(c, "deleted, %s freed", size);
    }
}

static int cmd_health_run(struct cli_context *c) {
    struct cmd_health h = { .c = c, .deep = cli_flag(&c->args, "--deep") };
    struct cache_matches matches = { 0 };
    struct str spec = cli_flag(&c->args, "--all") ? STR_EMPTY : cli_text(&c->args, "[model]");
    care_findings_init(&h.findings, &c->arena);
    if (!(spec.n ? cmd_health_one(&h, spec, &matches) : cmd_health_all(&h)))
        return cmd_health_fail(&h, &matches);
    if (c->out.json) {
        cmd_health_data(cli_document(c), &h);
        return cli_document_end(c);
    }
    if (h.n != 1)
        cli_print(c, "Summary: total %zu, healthy %zu, unhealthy %zu\n", h.n, h.n_healthy,
                  h.n - h.n_healthy);
    cmd_health_lines(&h, true);
    cmd_health_lines(&h, false);
    cli_findings_print(c, &h.findings);
    if (spec.n && !h.deep) cmd_health_offer(&h);
    return 0;
}

MLXK_FN const struct cli_command *cmd_health(void) {
    static const struct cli_command command = {
        "health",
        "are the files of models complete",
        "on disk",
        cmd_health_options,
        MLXK_COUNT(cmd_health_options),
        "  mlxk health\n  mlxk health Qwen3-0.6B-4bit\n  mlxk health ./my-model --json\n"
        "  mlxk health --deep\n",
        cmd_health_run,
    };
    return &command;
}
