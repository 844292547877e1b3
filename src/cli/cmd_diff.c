/* cmd_diff.c: `diff` tells what differs between two states of a model, and what that would do to a
 * version. */
#include "cli/cli_state.h"

static const struct cli_option cmd_diff_options[] = {
    { "a", NULL, CLI_TEXT, NULL, "a folder or a model: the older state", 0, 0, true },
    { "b", NULL, CLI_TEXT, NULL, "the newer one", 0, 0, true },
};

enum { CMD_DIFF_SHOWN = 48 };    /* bytes of a member's value */

struct cmd_diff {
    struct cli_context *c;
    struct str name[2];
    struct rel_state state[2];
    struct rel_decision decision;
};

/* ---- pairs in the order of names (Private) ---- */

/* Calls each(ctx, x, y) for files of the same path; the one that is not there is NULL. */
static void cmd_diff_files(const struct cmd_diff *d,
                           void (*each)(void *ctx, const struct rel_file *x,
                                        const struct rel_file *y),
                           void *ctx) {
    const struct rel_state *x = &d->state[0], *y = &d->state[1];
    for (size_t i = 0, k = 0; i < x->n || k < y->n;) {
        int order = i == x->n   ? 1
                    : k == y->n ? -1
                                : str_cmp(x->files[i].path, y->files[k].path);
        bool same = order == 0 && !strcmp(x->files[i].sha256, y->files[k].sha256);
        if (!same) each(ctx, order <= 0 ? &x->files[i] : NULL, order >= 0 ? &y->files[k] : NULL);
        i += order <= 0;
        k += order >= 0;
    }
}

static void cmd_diff_members(const struct cmd_diff *d,
                             void (*each)(void *ctx, const struct rel_member *x,
                                          const struct rel_member *y),
                             void *ctx) {
    const struct rel_state *x = &d->state[0], *y = &d->state[1];
    for (size_t i = 0, k = 0; i < x->n_members || k < y->n_members;) {
        int order = i == x->n_members   ? 1
                    : k == y->n_members ? -1
                                        : str_cmp(x->members[i].name, y->members[k].name);
        bool same = order == 0 && !strcmp(x->members[i].hash, y->members[k].hash);
        if (!same)
            each(ctx, order <= 0 ? &x->members[i] : NULL, order >= 0 ? &y->members[k] : NULL);
        i += order <= 0;
        k += order >= 0;
    }
}

static const char *cmd_diff_change(bool before, bool after) {
    return before && after ? "changed" : after ? "added" : "removed";
}

/* ---- for people (Private) ---- */

static struct str cmd_diff_value(struct arena *a, const struct rel_member *m) {
    if (!m) return STR("(none)");
    if (str_is_hex(str_sub(m->value, 1, m->value.n - 1), 64))      /* a hash in quotes */
        return str_format(a, STR_FMT "…", STR_ARG(str_sub(m->value, 1, 1 + REL_SHORT)));
    if (m->value.n <= CMD_DIFF_SHOWN) return m->value;
    return str_format(a, STR_FMT "…", STR_ARG(str_sub(m->value, 0, CMD_DIFF_SHOWN)));
}

static void cmd_diff_print_member(void *ctx, const struct rel_member *x,
                                  const struct rel_member *y) {
    struct cli_context *c = ctx;
    struct str before = cmd_diff_value(&c->arena, x), after = cmd_diff_value(&c->arena, y);
    cli_print(c, "           " STR_FMT ": " STR_FMT " -> " STR_FMT "\n", STR_ARG((x ? x : y)->name),
              STR_ARG(before), STR_ARG(after));
}

static void cmd_diff_print_file(void *ctx, const struct rel_file *x, const struct rel_file *y) {
    struct cli_context *c = ctx;
    const struct rel_file *f = x ? x : y;
    cli_print(c, "  %-7s  %-9s  " STR_FMT "\n", cmd_diff_change(x, y), rel_class_name(f->kind),
              STR_ARG(f->path));
}

static void cmd_diff_print(struct cmd_diff *d) {
    struct cli_context *c = d->c;
    const struct rel_moves *m = &d->decision.moved;
    const struct { const char *name_cstr; bool moved;
    } rows[] = {
        { "Interface", m->iface },
        { "Logic", m->logic },
        { "Weights", m->weights },
        { "Docs", m->docs },
    };
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        cli_print(c, "%-9s  %s\n", rows[i].name_cstr, rows[i].moved ? "changed" : "same");
        if (i == 0) cmd_diff_members(d, cmd_diff_print_member, c);
    }
    if (m->bytes) cli_print(c, "\nFiles\n");
    cmd_diff_files(d, cmd_diff_print_file, c);
    if (d->decision.bump != REL_BUMP_NONE)
        cli_print(c, "\nA release of the second after the first is a %s one.\n",
                  rel_bump_name(d->decision.bump));
    else cli_print(c, "%s", m->bytes ? "" : "\nThere is no difference.\n");
}

/* ---- JSON (Private) ---- */

static void cmd_diff_write_member(void *ctx, const struct rel_member *x,
                                  const struct rel_member *y) {
    struct json_writer *w = ctx;
    json_write_object(w);
    json_write_member(w, "name", x ? x->name : y ? y->name : STR_EMPTY);
    json_write_member(w, "change", str_cstr(cmd_diff_change(x, y)));
    json_write_key(w, "before");
    if (x) json_write_raw(w, x->value);
    else json_write_null(w);
    json_write_key(w, "after");
    if (y) json_write_raw(w, y->value);
    else json_write_null(w);
    json_write_object_end(w);
}

static void cmd_diff_write_file(void *ctx, const struct rel_file *x, const struct rel_file *y) {
    struct json_writer *w = ctx;
    json_write_object(w);
    json_write_member(w, "path", (x ? x : y)->path);
    json_write_member(w, "class", str_cstr(rel_class_name((x ? x : y)->kind)));
    json_write_member(w, "change", str_cstr(cmd_diff_change(x, y)));
    json_write_object_end(w);
}

static void cmd_diff_data(struct cmd_diff *d, struct json_writer *w) {
    static const char *const sides[] = { "a", "b" };
    const struct rel_moves *m = &d->decision.moved;
    const struct { const char *name_cstr; bool moved;
    } rows[] = {
        { "interface", m->iface },
        { "logic", m->logic },
        { "weights", m->weights },
        { "docs", m->docs },
    };
    json_write_object(w);
    for (int i = 0; i < 2; i++) {
        json_write_key(w, sides[i]);
        json_write_object(w);
        json_write_member(w, "name", d->name[i]);
        cli_state_hashes(w, &d->state[i].hash);
        json_write_object_end(w);
    }
    json_write_key(w, "changed");
    json_write_object(w);
    for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
        json_write_key(w, rows[i].name_cstr);
        json_write_bool(w, rows[i].moved);
    }
    json_write_object_end(w);
    json_write_key(w, "members");
    json_write_array(w);
    cmd_diff_members(d, cmd_diff_write_member, w);
    json_write_array_end(w);
    json_write_key(w, "files");
    json_write_array(w);
    cmd_diff_files(d, cmd_diff_write_file, w);
    json_write_array_end(w);
    json_write_member(w, "bump", str_cstr(rel_bump_name(d->decision.bump)));
    json_write_object_end(w);
}

/* ---- the command ---- */

static void cmd_diff_any(void *ctx, const struct rel_file *x, const struct rel_file *y) {
    *(bool *)ctx = x || y;
}

static int cmd_diff_run(struct cli_context *c) {
    struct cmd_diff d = { .c = c, .name = { cli_text(&c->args, "a"), cli_text(&c->args, "b") } };
    struct rel_wish wish = { .patch = false };
    bool bytes = false;
    for (int i = 0; i < 2; i++)
        if (!cli_state_read(c, d.name[i], &d.state[i], &c->err)) return cli_fail(c, &c->err, NULL);
    cmd_diff_files(&d, cmd_diff_any, &bytes);
    d.decision = rel_decide(&d.state[0].hash, STR("a"), &d.state[1].hash,
                            bytes ? STR("b") : STR("a"), &wish);
    if (d.decision.verdict == REL_DOCS_ONLY) d.decision.bump = REL_BUMP_PATCH;
    if (c->out.json) {
        cmd_diff_data(&d, cli_document(c));
        return cli_document_end(c);
    }
    cmd_diff_print(&d);
    return 0;
}

MLXK_FN const struct cli_command *cmd_diff(void) {
    static const struct cli_command command = {
        "diff",
        "what differs between two states of a model, for its version",
        "versions",
        cmd_diff_options,
        MLXK_COUNT(cmd_diff_options),
        "  mlxk diff ./my-model ./model\n"
        "  mlxk diff mlx-community/Qwen3-0.6B-4bit ./model --json\n",
        cmd_diff_run,
    };
    return &command;
}
