/* cmd_du.c: `du` tells what the cache takes on the disk, and what for: blocks, as du counts
 * them. */
#include "cli/cli.h"
#include "care/care.h"

static const struct cli_option cmd_du_options[] = {
    { "[model]", NULL, CLI_TEXT, NULL, "name or part of a name; the whole cache without it", 0, 0,
      true },
};

enum { CMD_DU_BAR = 20 };

/* ---- JSON (Private) ---- */

static void cmd_du_numbers(struct json_writer *w, const struct care_usage *u) {
    const struct { const char *key_cstr; uint64_t value; } numbers[] = {
        { "total_bytes", u->total }, { "linked_bytes", u->linked }, { "shared_bytes", u->shared },
        { "unlinked_bytes", u->unlinked }, { "partial_bytes", u->partial },
        { "meta_bytes", u->meta }, { "foreign_bytes", u->foreign }, { "stored_bytes", u->stored },
        { "lock_bytes", u->locks }, { "revisions", u->n_revisions }, { "blobs", u->n_blobs },
    };
    for (size_t i = 0; i < MLXK_COUNT(numbers); i++) {
        json_write_key(w, numbers[i].key_cstr);
        json_write_u64(w, numbers[i].value);
    }
}

static void cmd_du_data(struct json_writer *w, const struct care_volume *v) {
    json_write_object(w);
    json_write_key(w, "repositories");
    json_write_array(w);
    for (size_t i = 0; i < v->n; i++) {
        const struct care_usage *u = &v->repos[i];
        json_write_object(w);
        json_write_key(w, "name");
        json_write_str(w, u->name);
        json_write_key(w, "type");
        json_write_str(w, u->type);
        json_write_key(w, "path");
        json_write_cstr(w, u->dir_cstr);
        cmd_du_numbers(w, u);
        json_write_key(w, "hidden");
        json_write_bool(w, u->hidden);
        json_write_key(w, "unreadable");
        json_write_bool(w, u->unreadable);
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_key(w, "others");
    json_write_array(w);
    for (size_t i = 0; i < v->n_others; i++) {
        json_write_object(w);
        json_write_key(w, "name");
        json_write_str(w, v->others[i].name);
        json_write_key(w, "path");
        json_write_cstr(w, v->others[i].dir_cstr);
        json_write_key(w, "total_bytes");
        json_write_u64(w, v->others[i].total);
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_key(w, "root_bytes");
    json_write_u64(w, v->root_total);
    json_write_object_end(w);
}

/* ---- for people (Private) ---- */

static struct str cmd_du_size(struct arena *a, uint64_t n) {
    char text[16];
    num_format_size(text, n);
    return n ? str_dup(a, str_cstr(text)) : STR("-");
}

static struct str cmd_du_bar(struct arena *a, uint64_t part, uint64_t whole) {
    struct buf b;
    int full = whole ? (int)((double)part / (double)whole * (double)CMD_DU_BAR + 0.5) : 0;
    buf_init(&b, 256);
    for (int i = 0; i < full; i++) buf_add_cstr(&b, "█");
    struct str out = b.failed ? STR_EMPTY : str_dup(a, buf_str(&b));
    buf_release(&b);
    return out;
}

static void cmd_du_sort(struct care_usage *list, size_t n) {
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            struct care_usage x = list[i];
            size_t k = i;
            for (; k >= gap && list[k - gap].total < x.total; k -= gap) list[k] = list[k - gap];
            list[k] = x;
        }
}

static struct str cmd_du_remark(const struct care_usage *u) {
    return u->unreadable ? STR("not all of it can be read")
           : u->hidden   ? STR("other tools do not count it")
                         : STR_EMPTY;
}

static void cmd_du_print(struct cli_context *c, const struct care_volume *v) {
    static const char *heads[] = { "Name", "Total", "Linked", "Shared", "Unlinked", "Partial",
                                   "Folders", "Foreign", "", "" };
    struct cli_grid g;
    struct arena *a = &c->arena;
    uint64_t most = 1;
    for (size_t i = 0; i < v->n; i++) most = v->repos[i].total > most ? v->repos[i].total : most;
    for (size_t i = 0; i < v->n_others; i++)
        most = v->others[i].total > most ? v->others[i].total : most;
    cli_grid_init(&g, a, heads, MLXK_COUNT(heads), 0xFE);
    g.wraps = true;
    g.spare_mask = 1u << 8 | 1u << 6;
    for (size_t i = 0; i < v->n; i++) {
        const struct care_usage *u = &v->repos[i];
        struct str cells[] = { u->name, cmd_du_size(a, u->total), cmd_du_size(a, u->linked),
                               cmd_du_size(a, u->shared), cmd_du_size(a, u->unlinked),
                               cmd_du_size(a, u->partial), cmd_du_size(a, u->meta),
                               cmd_du_size(a, u->foreign), cmd_du_bar(a, u->total, most),
                               cmd_du_remark(u) };
        if (!cli_grid_row(&g, cells)) return;
    }
    for (size_t i = 0; i < v->n_others; i++) {
        const struct care_usage *u = &v->others[i];
        struct str none = STR_EMPTY;
        struct str cells[] = { str_format(a, "(" STR_FMT ")", STR_ARG(u->name)),
                               cmd_du_size(a, u->total), none, none, none, none, none, none,
                               cmd_du_bar(a, u->total, most), none };
        if (!cli_grid_row(&g, cells)) return;
    }
    cli_grid_print(c, &g);
}

/* ---- the command ---- */

static int cmd_du_run(struct cli_context *c) {
    struct str spec = cli_text(&c->args, "[model]"), folder = STR_EMPTY;
    struct cache_model m;
    struct care_volume v;
    char total[16];
    if (spec.n) {
        if (!cli_resolve(c, spec, &m, NULL, &c->err)) return cli_fail(c, &c->err, NULL);
        if (m.place == CACHE_WORKSPACE) {
            err_set(&c->err, ERR_INVALID, STR_FMT " is a workspace, not a part of the cache",
                    STR_ARG(m.name));
            err_hint(&c->err, "du -sh " STR_FMT, STR_ARG(m.name));
            return cli_fail(c, &c->err, NULL);
        }
        folder = os_path_base(m.repo_dir_cstr);
    }
    if (!care_usage(&c->arena, &c->cache, folder, &v, &c->err)) return cli_fail(c, &c->err, NULL);
    cmd_du_sort(v.repos, v.n);
    if (c->out.json) {
        cmd_du_data(cli_document(c), &v);
        return cli_document_end(c);
    }
    cmd_du_print(c, &v);
    num_format_size(total, v.root_total);
    if (!spec.n) cli_print(c, "%s in %s\n", total, c->cache.root_cstr);
    return 0;
}

MLXK_FN const struct cli_command *cmd_du(void) {
    static const struct cli_command command = {
        "du",
        "what the cache takes on the disk, and what for",
        "on disk",
        cmd_du_options,
        MLXK_COUNT(cmd_du_options),
        "  mlxk du\n  mlxk du Qwen3-0.6B-4bit --json\n",
        cmd_du_run,
    };
    return &command;
}
