/* cli_findings.c: findings as JSON and as a table. */
#include "cli/cli_findings.h"

enum { CLI_FINDINGS_NOTES = 8 };  /* more of them are only counted: they are no trouble */

static void cli_findings_member(struct json_writer *w, const char *key_cstr, struct str value) {
    if (!value.n) return;
    json_write_key(w, key_cstr);
    json_write_str(w, value);
}

MLXK_FN void cli_findings_write(struct json_writer *w, const struct care_findings *f) {
    json_write_key(w, "findings");
    json_write_array(w);
    for (size_t i = 0; i < f->n; i++) {
        const struct care_finding *x = &f->list[i];
        json_write_object(w);
        json_write_key(w, "severity");
        json_write_cstr(w, care_severity_name(x->severity));
        json_write_key(w, "code");
        json_write_cstr(w, x->code_cstr);
        json_write_key(w, "model");
        json_write_str(w, x->repo);
        json_write_key(w, "path");
        json_write_str(w, x->path);
        json_write_key(w, "message");
        json_write_str(w, x->message);
        cli_findings_member(w, "file", x->file);
        cli_findings_member(w, "commit", x->commit);
        cli_findings_member(w, "expected", x->expected);
        cli_findings_member(w, "found", x->found);
        cli_findings_member(w, "fix", x->repaired ? STR_EMPTY : x->fix);
        cli_findings_member(w, "repair", x->mended);
        if (x->mended.n) {
            json_write_key(w, "repaired");
            json_write_bool(w, x->repaired);
        }
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

/* The file's name in the repo, or the path below the cache's root without the repo's folder. */
static struct str cli_findings_where(struct cli_context *c, const struct care_finding *x) {
    struct str root = str_cstr(c->cache.root_cstr), path = x->path;
    if (x->file.n) return x->file;
    if (!str_starts(path, root) || path.n <= root.n) return path;
    struct str rest = str_sub(path, root.n + 1, path.n), folder = str_cut(&rest, '/');
    return rest.n ? rest : folder;
}

static bool cli_findings_hashes(const struct care_findings *f) {
    for (size_t i = 0; i < f->n; i++)
        if (f->list[i].found.n) return true;
    return false;
}

MLXK_FN void cli_findings_print(struct cli_context *c, const struct care_findings *f) {
    static const char *wide[] = { "Severity", "Model", "Where", "Finding", "To do", "Expected",
                                  "Found" };
    struct cli_grid g;
    size_t columns = cli_findings_hashes(f) ? 7 : 5, n_notes = 0;
    for (size_t i = 0; i < f->n; i++)
        n_notes += f->list[i].severity == CARE_NOTE && !f->list[i].mended.n;
    bool brief = n_notes > CLI_FINDINGS_NOTES;
    cli_grid_init(&g, &c->arena, wide, columns, 0);
    g.wraps = true;
    g.spare_mask = 3u << 5;
    for (size_t i = 0; i < f->n; i++) {
        const struct care_finding *x = &f->list[i];
        if (brief && x->severity == CARE_NOTE && !x->mended.n) continue;
        struct str done = x->repaired ? str_concat(&c->arena, STR("repaired: "), x->mended)
                          : x->mended.n ? str_concat(&c->arena, STR("not repaired: "), x->mended)
                                        : x->fix;
        struct str cells[] = { str_cstr(care_severity_name(x->severity)),
                               x->repo,
                               cli_findings_where(c, x),
                               x->message,
                               done,
                               x->found.n ? x->expected : STR_EMPTY,
                               x->found };
        if (!cli_grid_row(&g, cells)) return;
    }
    if (g.n_rows) cli_grid_print(c, &g);
    if (brief) cli_print(c, "%zu notes more: --json tells them\n", n_notes);
}

MLXK_FN int cli_findings_fail(struct cli_context *c, const char *type_cstr,
                              void (*data)(struct json_writer *w, void *ctx), void *ctx) {
    struct buf text;
    struct json_writer w;
    if (!c->out.json) return cli_fail(c, &c->err, type_cstr);
    cli_data_begin(&w, &text, (size_t)1 << 28);
    data(&w, ctx);
    int status = cli_fail_data(c, &c->err, type_cstr, buf_str(&text), STR_EMPTY);
    buf_release(&text);
    return status;
}
