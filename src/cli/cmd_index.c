/* cmd_index.c: `index`: what repositories hold, kept on this machine and searched without a
 * network.
 *
 * One command with a verb as its first word; `update` is in cmd_index_update.c.
 */
#include "cli/cmd_index.h"

enum { CMD_INDEX_ROWS = 50 };        /* told to people without --limit */

static const struct cli_option cmd_index_options[] = {
    { "action", NULL, CLI_TEXT, NULL, "update, search, list, show, gc, push or pull", 0, 0, true },
    { "words...", NULL, CLI_LIST, NULL,
      "update: REGISTRY, REGISTRY/PREFIX, HOST/REPO or oci:DIR; search: TEXT; show, gc: "
      "repositories; push, pull: where the index is stored",
      0, 0, true },
    { "--limit", NULL, CLI_INT, "N", "rows that search tells, 0 = all (50; with --json all)", 0,
      1e9, true },
    { "--releases", NULL, CLI_FLAG, NULL, "search: releases only", 0, 0, true },
    { "--all", NULL, CLI_FLAG, NULL,
      "update: ask again for what does not change (releases, referrers)", 0, 0, true },
    { "--push", NULL, CLI_TEXT, "REF", "update, gc: store the index there afterwards", 0, 0, true },
    { "--quiet", NULL, CLI_FLAG, NULL, "no progress, no notes", 0, 0, true },
    CLI_OCI_OPTIONS,
};

/* ---- rows (Private) ---- */

struct cmd_index_rows {
    struct cmd_index *x;
    struct json_writer *w;           /* or NULL: into the grid */
    struct cli_grid grid;
};

static struct str cmd_index_text(const struct json *row, const char *key_cstr) {
    const struct json *v = json_get(row, key_cstr);
    return json_is(v, JSON_STRING) && v->string.n ? v->string : STR("-");
}

static struct str cmd_index_tags(struct arena *a, const struct json *row) {
    const struct json *tags = json_get(row, "tags");
    struct buf b;
    size_t n = 0;
    buf_init(&b, 1 << 12);
    for (const struct json *v = tags ? tags->child : NULL; v; v = v->next, n++)
        if (n < 4) buf_addf(&b, "%s" STR_FMT, n ? " " : "", STR_ARG(v->string));
    if (n > 4) buf_addf(&b, " and %zu more", n - 4);
    struct str out = str_dup(a, buf_str(&b));
    buf_release(&b);
    return out;
}

static bool cmd_index_row(void *ctx, struct str json, struct err *e) {
    struct cmd_index_rows *r = ctx;
    struct arena *a = &r->x->c->arena;
    char size[16];
    if (r->w) {
        const struct json *whole = json_parse(a, json, e);
        json_write_value(r->w, whole);
        return whole != NULL;
    }
    const struct json *row = json_parse(a, json, e), *bytes = json_get(row, "size_bytes");
    if (!row) return false;
    size_t n = num_format_size(size, bytes ? (uint64_t)bytes->integer : 0);
    struct str cells[] = { cmd_index_text(row, "repository"), cmd_index_text(row, "version"),
                           str_dup(a, (struct str){ size, n }), cmd_index_text(row, "format"),
                           cmd_index_text(row, "quantization"), cmd_index_text(row, "params"),
                           str_sub(cmd_index_text(row, "digest"), 7, 19), cmd_index_tags(a, row) };
    return cli_grid_row(&r->grid, cells) || err_oom(e, 256, "a table");
}

static void cmd_index_rows_begin(struct cmd_index_rows *r, struct cmd_index *x) {
    static const char *heads[] = { "Repository", "Version", "Size", "Format", "Quant", "Params",
                                   "Digest", "Tags" };
    *r = (struct cmd_index_rows){ .x = x };
    cli_grid_init(&r->grid, &x->c->arena, heads, MLXK_COUNT(heads), 4);
}

/* ---- search ---- */

static int cmd_index_search(struct cmd_index *x) {
    struct cli_context *c = x->c;
    struct cmd_index_rows rows;
    struct rel_index_found found;
    int64_t limit = cli_int(&c->args, "--limit", c->out.json ? 0 : CMD_INDEX_ROWS);
    cmd_index_rows_begin(&rows, x);
    if (c->out.json) {
        rows.w = cli_document(c);
        json_write_object(rows.w);
        json_write_member(rows.w, "action", STR("search"));
        json_write_key(rows.w, "rows");
        json_write_array(rows.w);
    }
    struct rel_index_query q = { .words = x->words, .n_words = x->n, .limit = (size_t)limit,
                                 .releases = cli_flag(&c->args, "--releases"),
                                 .row = cmd_index_row, .ctx = &rows };
    if (!rel_index_search(x->dir_cstr, &q, &found, &c->err)) return cli_fail(c, &c->err, NULL);
    if (c->out.json) {
        json_write_array_end(rows.w);
        json_write_key(rows.w, "n_found");
        json_write_u64(rows.w, found.n_found);
        json_write_key(rows.w, "n_versions");
        json_write_u64(rows.w, found.n_versions);
        json_write_object_end(rows.w);
        return cli_document_end(c);
    }
    if (rows.grid.n_rows) cli_grid_print(c, &rows.grid);
    if (found.n_found > rows.grid.n_rows)
        cli_note(c, "%zu of %zu are shown; --limit 0 shows all", rows.grid.n_rows, found.n_found);
    if (!found.n_versions)
        cli_note(c, "the index is empty; `mlxk index update REGISTRY` fills it");
    else if (!found.n_found) cli_note(c, "none of %zu versions has that", found.n_versions);
    return 0;
}

/* ---- list and show ---- */

static bool cmd_index_is_named(const struct cmd_index *x, struct str name) {
    bool named = x->n == 0;
    for (size_t i = 0; i < x->n; i++) named = named || rel_index_below(name, x->words[i]);
    return named;
}

static void cmd_index_list_document(struct cmd_index *x, const struct rel_index *index) {
    struct json_writer *w = cli_document(x->c);
    json_write_object(w);
    json_write_member(w, "action", STR("list"));
    json_write_key(w, "sources");
    json_write_array(w);
    for (size_t i = 0; i < index->n_sources; i++) json_write_str(w, index->sources[i]);
    json_write_array_end(w);
    json_write_key(w, "repositories");
    json_write_array(w);
    for (size_t i = 0; i < index->n; i++) {
        char time[32];
        const struct rel_index_repo *repo = &index->repos[i];
        if (!cmd_index_is_named(x, repo->name)) continue;
        os_format_time(time, repo->changed_s * 1000000000);
        json_write_object(w);
        json_write_member(w, "repository", repo->name);
        json_write_key(w, "n_versions");
        json_write_u64(w, repo->n);
        json_write_member(w, "changed", str_cstr(time));
        json_write_key(w, "gone");
        json_write_bool(w, repo->gone);
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_object_end(w);
}

static int cmd_index_list(struct cmd_index *x, const struct rel_index *index) {
    static const char *heads[] = { "Repository", "Versions", "Changed", "State" };
    struct cli_context *c = x->c;
    struct cli_grid g;
    if (c->out.json) {
        cmd_index_list_document(x, index);
        return cli_document_end(c);
    }
    cli_grid_init(&g, &c->arena, heads, MLXK_COUNT(heads), 2);
    for (size_t i = 0; i < index->n; i++) {
        char time[32];
        const struct rel_index_repo *repo = &index->repos[i];
        if (!cmd_index_is_named(x, repo->name)) continue;
        os_format_time(time, repo->changed_s * 1000000000);
        struct str cells[] = { repo->name, str_format(&c->arena, "%zu", repo->n),
                               str_dup(&c->arena, str_sub(str_cstr(time), 0, 10)),
                               repo->gone ? STR("gone") : STR("there") };
        if (!cli_grid_row(&g, cells)) err_oom(&c->err, 256, "a table");
    }
    if (c->err.code != ERR_OK) return cli_fail(c, &c->err, NULL);
    if (g.n_rows) cli_grid_print(c, &g);
    else cli_note(c, "there are none; `mlxk index update REGISTRY` adds some");
    return 0;
}

static void cmd_index_show_document(struct cmd_index *x, const struct rel_index_repo *repo) {
    struct json_writer *w = cli_document(x->c);
    json_write_object(w);
    json_write_member(w, "action", STR("show"));
    json_write_member(w, "repository", repo->name);
    json_write_key(w, "gone");
    json_write_bool(w, repo->gone);
    json_write_key(w, "versions");
    json_write_array(w);
    for (size_t i = 0; i < repo->n; i++) {
        const struct rel_index_version *v = &repo->versions[i];
        struct err none = { 0 };
        json_write_object(w);
        json_write_member(w, "digest", v->digest);
        json_write_key(w, "tags");
        json_write_array(w);
        for (size_t k = 0; k < v->n_tags; k++) json_write_str(w, v->tags[k]);
        json_write_array_end(w);
        json_write_key(w, "referrers");
        json_write_value(w, json_parse_lenient(&x->c->arena, v->referrers, &none));
        json_write_key(w, "about");
        json_write_value(w, json_parse_lenient(&x->c->arena, v->about, &none));
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_object_end(w);
}

static int cmd_index_show(struct cmd_index *x, const struct rel_index *index) {
    struct cli_context *c = x->c;
    struct cmd_index_rows rows;
    const struct rel_index_repo *repo = rel_index_find(index, x->words[0]);
    if (!repo) {
        err_set(&c->err, ERR_NOT_FOUND, "the index has no repository '" STR_FMT "'",
                STR_ARG(str_sub(x->words[0], 0, 200)));
        err_hint(&c->err, "`mlxk index list` tells which it has, `mlxk index update` adds one");
        return cli_fail(c, &c->err, NULL);
    }
    if (c->out.json) {
        cmd_index_show_document(x, repo);
        return cli_document_end(c);
    }
    cmd_index_rows_begin(&rows, x);
    if (!rel_index_rows(repo, cmd_index_row, &rows, &c->err)) return cli_fail(c, &c->err, NULL);
    if (rows.grid.n_rows) cli_grid_print(c, &rows.grid);
    else cli_note(c, "it has no versions");
    return 0;
}

static int cmd_index_look(struct cmd_index *x, int (*look)(struct cmd_index *x,
                                                           const struct rel_index *index)) {
    struct rel_index index;
    rel_index_init(&index);
    bool ok = rel_index_load(&index, x->dir_cstr, &x->c->err);
    int status = ok ? look(x, &index) : cli_fail(x->c, &x->c->err, NULL);
    rel_index_release(&index);
    return status;
}

/* ---- push and pull ---- */

static bool cmd_index_where(struct cmd_index *x, struct str where, struct oci_ref *ref) {
    if (!cli_oci_ref(x->c, where, ref)) return false;
    if (ref->digest.n)
        return err_set(&x->c->err, ERR_INVALID, "an index is stored under a tag, not a digest");
    if (!ref->tag.n) ref->tag = STR("latest");
    return true;
}

MLXK_FN bool cmd_index_push_to(struct cmd_index *x, struct str where, struct oci_ref *ref,
                               struct rel_index_pushed *pushed) {
    struct cli_context *c = x->c;
    struct cli_oci progress;
    struct rel_index index;
    *pushed = (struct rel_index_pushed){ 0 };
    if (!where.n) return true;
    if (!cmd_index_where(x, where, ref)) return false;
    rel_index_init(&index);
    cli_oci_begin(&progress, c);
    struct oci *o = rel_index_load(&index, x->dir_cstr, &c->err)
                        ? cli_oci_open(&progress, ref, true, true) : NULL;
    bool ok = o && rel_index_push(&c->arena, &index, o, ref->tag, pushed, &c->err)
              && oci_finish(o, &c->err);
    oci_close(o);
    cli_oci_end(&progress);
    rel_index_release(&index);
    return ok;
}

MLXK_FN void cmd_index_pushed(struct cmd_index *x, struct json_writer *w,
                              const struct oci_ref *ref, const struct rel_index_pushed *pushed) {
    json_write_member(w, "reference", oci_ref_text(&x->c->arena, ref));
    json_write_member(w, "digest", pushed->digest);
    json_write_key(w, "size_bytes");
    json_write_u64(w, pushed->size_bytes);
    json_write_key(w, "was_there");
    json_write_bool(w, pushed->was_there);
    json_write_key(w, "n_merged");
    json_write_u64(w, pushed->n_merged);
}

MLXK_FN void cmd_index_told(struct cmd_index *x, const struct oci_ref *ref,
                            const struct rel_index_pushed *pushed) {
    char size[16];
    num_format_size(size, pushed->size_bytes);
    cli_print(x->c, STR_FMT "\n" STR_FMT ": %s%s\n", STR_ARG(oci_ref_text(&x->c->arena, ref)),
              STR_ARG(pushed->digest), size, pushed->was_there ? ", was there" : "");
    if (pushed->n_merged)
        cli_print(x->c, "joined with %zu repositories of the index that stood there\n",
                  pushed->n_merged);
}

static int cmd_index_push(struct cmd_index *x) {
    struct cli_context *c = x->c;
    struct oci_ref ref;
    struct rel_index_pushed pushed;
    bool ok = cmd_index_push_to(x, x->words[0], &ref, &pushed);
    if (!ok) return cli_fail(c, &c->err, NULL);
    if (!c->out.json) {
        cmd_index_told(x, &ref, &pushed);
        return 0;
    }
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_member(w, "action", STR("push"));
    cmd_index_pushed(x, w, &ref, &pushed);
    json_write_object_end(w);
    return cli_document_end(c);
}

struct cmd_index_pull { struct rel_index theirs; size_t n_taken, n; };

static bool cmd_index_pull_join(void *ctx, struct rel_index *index, bool *changed, struct err *e) {
    struct cmd_index_pull *p = ctx;
    if (!rel_index_merge(index, &p->theirs, &p->n_taken, e)) return false;
    *changed = p->n_taken > 0;
    p->n = index->n;
    return true;
}

static int cmd_index_pull_told(struct cmd_index *x, const struct oci_ref *ref,
                               const struct cmd_index_pull *p) {
    struct cli_context *c = x->c;
    if (!c->out.json) {
        cli_print(c, "%zu of %zu repositories are new or newer; the index has %zu\n", p->n_taken,
                  p->theirs.n, p->n);
        return 0;
    }
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_member(w, "action", STR("pull"));
    json_write_member(w, "reference", oci_ref_text(&c->arena, ref));
    json_write_key(w, "n_taken");
    json_write_u64(w, p->n_taken);
    json_write_key(w, "n_repositories");
    json_write_u64(w, p->n);
    json_write_object_end(w);
    return cli_document_end(c);
}

static int cmd_index_pull(struct cmd_index *x) {
    struct cli_context *c = x->c;
    struct cmd_index_pull p = { 0 };
    struct cli_oci progress;
    struct oci_ref ref;
    bool found = false;
    size_t n;
    if (!cli_oci_ref(c, x->words[0], &ref)) return cli_fail(c, &c->err, NULL);
    rel_index_init(&p.theirs);
    cli_oci_begin(&progress, c);
    struct oci *o = cli_oci_open(&progress, &ref, false, true);
    bool ok = o && rel_index_pull(&p.theirs, o, oci_ref_what(&ref), &found, &n, &c->err);
    if (ok && !found)
        ok = err_set(&c->err, ERR_NOT_FOUND, "there is no index under " STR_FMT,
                     STR_ARG(oci_ref_text(&c->arena, &ref)));
    ok = ok && rel_index_change(x->dir_cstr, cmd_index_pull_join, &p, NULL, &c->err);
    oci_close(o);
    cli_oci_end(&progress);
    int status = ok ? cmd_index_pull_told(x, &ref, &p) : cli_fail(c, &c->err, NULL);
    rel_index_release(&p.theirs);
    return status;
}

/* ---- gc ---- */

struct cmd_index_gc { struct cmd_index *x; struct str *forgotten; size_t n, n_left; };

static bool cmd_index_gc_work(void *ctx, struct rel_index *index, bool *changed, struct err *e) {
    struct cmd_index_gc *g = ctx;
    struct arena *a = &g->x->c->arena;
    g->n = 0;
    g->forgotten = ARENA_ARRAY(a, struct str, index->n + 1);
    if (!g->forgotten) return err_oom(e, index->n, "a list");
    for (size_t i = index->n; i-- > 0;) {
        struct str name = index->repos[i].name;
        if (g->x->n ? !cmd_index_is_named(g->x, name) : !index->repos[i].gone) continue;
        struct str own = str_dup(a, name);
        if (!own.p) return err_oom(e, name.n, "a list");
        g->forgotten[g->n++] = own;
        rel_index_forget(index, i);
    }
    size_t kept = 0, n_sources = index->n_sources;
    for (size_t i = 0; i < n_sources; i++)       /* else the next update would bring them back */
        if (!g->x->n || !cmd_index_is_named(g->x, index->sources[i]))
            index->sources[kept++] = index->sources[i];
    index->n_sources = kept;
    g->n_left = index->n;
    *changed = g->n > 0 || kept < n_sources;
    return true;
}

static int cmd_index_gc(struct cmd_index *x) {
    struct cli_context *c = x->c;
    struct cmd_index_gc g = { .x = x };
    struct oci_ref ref = { 0 };
    struct rel_index_pushed pushed;
    if (!rel_index_change(x->dir_cstr, cmd_index_gc_work, &g, NULL, &c->err)
        || !cmd_index_push_to(x, cli_text(&c->args, "--push"), &ref, &pushed))
        return cli_fail(c, &c->err, NULL);
    if (!c->out.json) {
        for (size_t i = g.n; i-- > 0;)
            cli_print(c, "forgotten: " STR_FMT "\n", STR_ARG(g.forgotten[i]));
        cli_print(c, "the index has %zu repositories\n", g.n_left);
        if (pushed.digest.n) cmd_index_told(x, &ref, &pushed);
        return 0;
    }
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_member(w, "action", STR("gc"));
    json_write_key(w, "forgotten");
    json_write_array(w);
    for (size_t i = g.n; i-- > 0;) json_write_str(w, g.forgotten[i]);
    json_write_array_end(w);
    json_write_key(w, "n_repositories");
    json_write_u64(w, g.n_left);
    if (pushed.digest.n) cmd_index_pushed(x, w, &ref, &pushed);
    json_write_object_end(w);
    return cli_document_end(c);
}

/* ---- the command (Public) ---- */

static int cmd_index_verb(struct cmd_index *x, struct str verb) {
    static const struct { const char *name_cstr; size_t least, most; } verbs[] = {
        { "update", 0, SIZE_MAX }, { "search", 1, SIZE_MAX }, { "list", 0, SIZE_MAX },
        { "gc", 0, SIZE_MAX }, { "show", 1, 1 }, { "push", 1, 1 }, { "pull", 1, 1 } };
    struct cli_context *c = x->c;
    size_t i = 0;
    while (i < MLXK_COUNT(verbs) && !str_eq_cstr(verb, verbs[i].name_cstr)) i++;
    if (i == MLXK_COUNT(verbs)) {
        err_set(&c->err, ERR_USAGE, "argument action: invalid choice: '" STR_FMT "'",
                STR_ARG(str_sub(verb, 0, 40)));
        err_hint(&c->err, "choose from update, search, list, show, gc, push, pull");
        return cli_fail(c, &c->err, NULL);
    }
    if (x->n < verbs[i].least || x->n > verbs[i].most) {
        err_set(&c->err, ERR_USAGE, "index %s wants %s", verbs[i].name_cstr,
                i == 1 ? "a text to search for" : i == 4 ? "one repository" : "one reference");
        return cli_fail(c, &c->err, NULL);
    }
    switch (i) {
    case 0: return cmd_index_update(x);
    case 1: return cmd_index_search(x);
    case 2: return cmd_index_look(x, cmd_index_list);
    case 3: return cmd_index_gc(x);
    case 4: return cmd_index_look(x, cmd_index_show);
    case 5: return cmd_index_push(x);
    default: return cmd_index_pull(x);
    }
}

static int cmd_index_run(struct cli_context *c) {
    const struct cli_value *words = cli_get(&c->args, "words...");
    struct cmd_index x = { .c = c, .words = words->list, .n = words->n };
    c->args.quiet = cli_flag(&c->args, "--quiet");
    x.dir_cstr = rel_index_dir(&c->arena);
    if (x.dir_cstr) return cmd_index_verb(&x, cli_text(&c->args, "action"));
    err_set(&c->err, ERR_NOT_FOUND, "there is no place for the index: no home folder");
    err_hint(&c->err, "set XDG_STATE_HOME");
    return cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_index(void) {
    static const struct cli_command command = {
        "index",
        "what repositories hold, searched without a network",
        "versions",
        cmd_index_options,
        MLXK_COUNT(cmd_index_options),
        "  mlxk index update registry.example/org\n"
        "  mlxk index update registry.example/org/model oci:layout\n"
        "  mlxk index search qwen 4bit\n"
        "  mlxk index list\n"
        "  mlxk index show registry.example/org/model\n"
        "  mlxk index push registry.example/org/ocidex\n"
        "  mlxk index pull registry.example/org/ocidex\n"
        "  mlxk index gc\n",
        cmd_index_run,
    };
    return &command;
}
