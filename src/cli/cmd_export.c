/* cmd_export.c: `export` writes models of the cache into one bundle that any machine can unpack.
 *
 *  1. A file appears under its name when it is whole; to a pipe, the end of the archive is written
 *     only when every byte before it was right.
 *  2. SOURCE_DATE_EPOCH stands for the date, so that the same models give the same bytes.
 */
#include "cli/cli.h"
#include "hub/hub.h"

#include <build_info.h>

static const struct cli_option cmd_export_options[] = {
    { "model...", NULL, CLI_LIST, NULL, "models, each a name, a part of one, or NAME@REVISION", 0,
      0, true },
    { "--output", "-o", CLI_TEXT, "FILE", "where to write; - is standard output", 0, 0, true },
    { "--base", NULL, CLI_TEXT, "BUNDLE",
      "leave out what this earlier bundle (or its manifest) brought", 0, 0, true },
    { "--split", NULL, CLI_SIZE, "SIZE", "volumes of at most this size: FILE.001, FILE.002, ...", 0,
      0, true },
    { "--dry-run", NULL, CLI_FLAG, NULL, "tell what would be inside, write nothing", 0, 0, true },
};

enum { CMD_EXPORT_SMALLEST = 64000 };     /* of a volume: 999 of them are most of what there is */

struct cmd_export {
    struct cli_context *c;
    struct cli_progress progress;
    struct hub_bundle bundle, base;
    const char *output_cstr;
    bool standard, dry_run;
    uint64_t volume_bytes;
};

static bool cmd_export_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes) {
    struct cmd_export *x = ctx;
    (void)total_bytes;
    cli_progress_update(&x->progress, done_bytes);
    return !os_interrupted();
}

static bool cmd_export_models(struct cmd_export *x, struct cache_model **models, size_t *n) {
    struct cli_context *c = x->c;
    const struct cli_value *specs = cli_get(&c->args, "model...");
    *models = ARENA_ARRAY(&c->arena, struct cache_model, specs->n);
    if (!*models) return err_oom(&c->err, specs->n * sizeof **models, "the list of models");
    for (*n = 0; *n < specs->n; (*n)++)
        if (!cli_resolve(c, specs->list[*n], &(*models)[*n], NULL, &c->err)) return false;
    if (*n) return true;
    err_set(&c->err, ERR_USAGE, "the following arguments are required: model");
    return err_hint(&c->err, "mlxk list shows the models there are");
}

static bool cmd_export_base(struct cmd_export *x) {
    struct cli_context *c = x->c;
    struct str base = cli_text(&c->args, "--base"), text;
    char *path = str_dup_cstr(&c->arena, base);
    if (!base.n) return true;
    return (path && hub_bundle_find(&c->arena, path, &text, &c->err) &&
            hub_bundle_parse(&c->arena, text, &x->base, &c->err)) ||
           err_context(&c->err, "--base " STR_FMT ": ", STR_ARG(base));
}

static bool cmd_export_options_read(struct cmd_export *x) {
    struct cli_context *c = x->c;
    struct str output = cli_text(&c->args, "--output"), split = cli_text(&c->args, "--split");
    x->dry_run = cli_flag(&c->args, "--dry-run");
    x->output_cstr = str_dup_cstr(&c->arena, output);
    x->standard = str_eq(output, STR("-"));
    if (split.n && (!num_parse_size(split, &x->volume_bytes) ||
                    x->volume_bytes < CMD_EXPORT_SMALLEST)) {
        err_set(&c->err, ERR_INVALID, "--split " STR_FMT " is no size of at least 64 KB",
                STR_ARG(split));
        return err_hint(&c->err, "write it as 4G or 700M");
    }
    if (!output.n && !x->dry_run) {
        err_set(&c->err, ERR_INVALID, "no output was named");
        return err_hint(&c->err, "-o FILE.tar writes a file, -o - to standard output");
    }
    if (x->standard && (x->volume_bytes || c->out.json || os_is_tty(1))) {
        err_set(&c->err, ERR_INVALID, "a bundle on standard output cannot be %s",
                x->volume_bytes ? "split"
                : c->out.json   ? "a JSON document too"
                                : "shown on a terminal");
        return err_hint(&c->err, "name a file with -o FILE.tar");
    }
    return true;
}

/* Before the first byte: is there room for all of it? */
static bool cmd_export_room(struct cmd_export *x, const struct hub_volumes *v) {
    struct cli_context *c = x->c;
    struct os_room room;
    struct err unknown = { 0 };
    char needs[16], has[16];
    char *folder_cstr = os_path_dir(&c->arena, x->output_cstr);
    if (!folder_cstr) return err_oom(&c->err, LIMIT_PATH, "a path");
    uint64_t file_bytes = x->bundle.payload_bytes;
    if (v->split && file_bytes > x->volume_bytes) file_bytes = x->volume_bytes;
    struct cache place = { .root_cstr = folder_cstr };
    if (!v->standard &&
        !cache_file_fits(&place, str_cstr(x->output_cstr), file_bytes, &c->err))
        return false;
    if (v->standard || !os_room_read(folder_cstr, &room, &unknown) ||
        x->bundle.payload_bytes <= room.free_bytes)
        return true;
    num_format_size(needs, x->bundle.payload_bytes);
    num_format_size(has, room.free_bytes);
    err_set(&c->err, ERR_DISK_FULL, "the bundle takes %s, and %s has %s free%s", needs,
            folder_cstr, has, room.by_cstr);
    return err_hint(&c->err, "make room there, or choose another disk with -o FILE");
}

static bool cmd_export_write(struct cmd_export *x) {
    struct cli_context *c = x->c;
    struct hub_volumes v;
    cli_progress_begin(c, &x->progress, "exporting", x->bundle.payload_bytes, true);
    bool ok = hub_volumes_create(&c->arena, x->output_cstr, x->volume_bytes, &v, &c->err);
    ok = ok && cmd_export_room(x, &v)
         && hub_bundle_write(&c->arena, &x->bundle, hub_volumes_write, &v, cmd_export_progress, x,
                             &c->err);
    ok = hub_volumes_end(&v, ok, &c->err);
    cli_progress_end(&x->progress);
    return ok;
}

static void cmd_export_document(struct cmd_export *x) {
    const struct hub_bundle *b = &x->bundle;
    struct json_writer *w = cli_document(x->c);
    json_write_object(w);
    json_write_key(w, "output");
    json_write_cstr(w, x->dry_run ? NULL : x->output_cstr);
    json_write_key(w, "dry_run");
    json_write_bool(w, x->dry_run);
    json_write_key(w, "n_blobs");
    json_write_u64(w, b->n_blobs);
    json_write_key(w, "payload_bytes");
    json_write_u64(w, b->payload_bytes);
    json_write_key(w, "repos");
    json_write_array(w);
    for (size_t i = 0; i < b->n_repos; i++)
        for (size_t k = 0; k < b->repos[i].n_commits; k++) {
            json_write_object(w);
            json_write_key(w, "repo");
            json_write_str(w, b->repos[i].name);
            json_write_key(w, "commit");
            json_write_str(w, b->repos[i].commits[k].commit);
            json_write_key(w, "n_files");
            json_write_u64(w, b->repos[i].commits[k].n_files);
            json_write_key(w, "complete");
            json_write_bool(w, b->repos[i].commits[k].complete);
            json_write_object_end(w);
        }
    json_write_array_end(w);
    json_write_object_end(w);
}

static int cmd_export_end(struct cmd_export *x) {
    struct cli_context *c = x->c;
    char size[16];
    num_format_size(size, x->bundle.payload_bytes);
    if (c->out.json) {
        cmd_export_document(x);
        return cli_document_end(c);
    }
    if (x->standard) {
        cli_note(c, "exported %zu blobs, %s", x->bundle.n_blobs, size);
        return 0;
    }
    for (size_t i = 0; i < x->bundle.n_repos; i++)
        for (size_t k = 0; k < x->bundle.repos[i].n_commits; k++) {
            const struct hub_bundle_commit *commit = &x->bundle.repos[i].commits[k];
            cli_print(c, STR_FMT "@%.7s: %zu files%s\n", STR_ARG(x->bundle.repos[i].name),
                      commit->commit.p, commit->n_files,
                      commit->complete ? "" : " (the cache does not know whether these are all)");
        }
    cli_print(c, "%s%s: %zu blobs, %s\n", x->dry_run ? "would be written" : x->output_cstr,
              x->volume_bytes && !x->dry_run ? ".001 ..." : "", x->bundle.n_blobs, size);
    return 0;
}

static int cmd_export_run(struct cli_context *c) {
    struct cmd_export x = { .c = c };
    struct cache_model *models;
    const char *epoch_cstr = os_env("SOURCE_DATE_EPOCH"), *endpoint_cstr = os_env("HF_ENDPOINT");
    int64_t epoch = os_time_ns() / 1000000000;
    size_t n;
    if (!cmd_export_options_read(&x) || !cmd_export_models(&x, &models, &n) ||
        !cmd_export_base(&x) ||
        !hub_bundle_plan(&c->arena, &c->cache, models, n, x.base.n_repos ? &x.base : NULL,
                         &x.bundle, &c->err))
        return cli_fail(c, &c->err, NULL);
    if (epoch_cstr) (void)num_parse_i64(str_cstr(epoch_cstr), 0, (int64_t)1 << 33, &epoch);
    x.bundle.created_s = epoch;
    x.bundle.tool = STR("mlxk " MLXK_VERSION);
    x.bundle.endpoint =
        str_cstr(endpoint_cstr && *endpoint_cstr ? endpoint_cstr : "https://huggingface.co");
    if (!x.dry_run && !cmd_export_write(&x)) return cli_fail(c, &c->err, NULL);
    return cmd_export_end(&x);
}

MLXK_FN const struct cli_command *cmd_export(void) {
    static const struct cli_command command = {
        "export",
        "models of the cache as one file for another machine",
        "network",
        cmd_export_options,
        MLXK_COUNT(cmd_export_options),
        "  mlxk export SmolLM2 -o smollm2.tar\n  mlxk export llama qwen -o models.tar --split 4G\n"
        "  mlxk export llama -o update.tar --base models.tar.001\n",
        cmd_export_run,
    };
    return &command;
}
