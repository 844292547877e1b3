/* cmd_import.c: `import` brings a bundle, a GGUF file or a model directory into the cache.
 *
 * What SRC is decides: a tar archive, its first volume, "-" or a folder with a manifest is a bundle
 * of `export`; a GGUF file or a folder with config.json is a model, which becomes an MLX
 * repository.
 */
#include "cli/cli.h"
#include "convert/convert.h"
#include "hub/hub.h"

static const struct cli_option cmd_import_options[] = {
    { "source", NULL, CLI_TEXT, NULL,
      "a bundle (file, FILE.001, - or folder), a GGUF file, or a directory with config.json", 0, 0,
      true },
    { "--name", NULL, CLI_TEXT, "ORG/NAME",
      "of a model: name in the cache (local/<name of the model>)", 0, 0, true },
    { "--ref", NULL, CLI_TEXT, "REVISION", "of a bundle: also write this ref, such as main", 0, 0,
      true },
    { "--quiet", NULL, CLI_FLAG, NULL, "no progress", 0, 0, true },
};

struct cmd_import {
    struct cli_context *c;
    struct cli_progress progress;
};

static bool cmd_import_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes) {
    struct cmd_import *job = ctx;
    if (total_bytes && !job->progress.total) { /* hashing is over, writing begins */
        cli_progress_end(&job->progress);
        cli_progress_begin(job->c, &job->progress, "writing", total_bytes, true);
    }
    cli_progress_update(&job->progress, done_bytes);
    return !os_interrupted();
}

static int cmd_import_print(struct cli_context *c, const struct conv_result *r) {
    char size[16];
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        json_write_key(w, "model");
        json_write_str(w, r->name);
        json_write_key(w, "commit");
        json_write_str(w, r->commit);
        json_write_key(w, "import_status");
        json_write_cstr(w, r->unchanged ? "unchanged" : "success");
        json_write_key(w, "n_files");
        json_write_u64(w, r->n_files);
        json_write_key(w, "size_bytes");
        json_write_u64(w, r->size_bytes);
        json_write_key(w, "snapshot");
        json_write_cstr(w, r->snapshot_cstr);
        json_write_object_end(w);
        return cli_document_end(c);
    }
    num_format_size(size, r->size_bytes);
    cli_print(c, "%s " STR_FMT "@%.7s: %zu files, %s\n", r->unchanged ? "unchanged" : "imported",
              STR_ARG(r->name), r->commit.p, r->n_files, size);
    return 0;
}

/* ---- bundles ---- */

static int cmd_import_bundle_print(struct cli_context *c, const struct hub_unbundle_result *r) {
    char size[16];
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        json_write_key(w, "import_status");
        json_write_cstr(w, r->n_new ? "success" : "unchanged");
        json_write_key(w, "content_sha256");
        json_write_str(w, r->bundle.content_sha256);
        json_write_key(w, "repos");
        json_write_array(w);
        for (size_t i = 0; i < r->bundle.n_repos; i++) json_write_str(w, r->bundle.repos[i].name);
        json_write_array_end(w);
        json_write_key(w, "n_blobs_new");
        json_write_u64(w, r->n_new);
        json_write_key(w, "n_blobs_present");
        json_write_u64(w, r->n_present);
        json_write_key(w, "n_files");
        json_write_u64(w, r->n_linked);
        json_write_key(w, "size_bytes");
        json_write_u64(w, r->new_bytes);
        json_write_object_end(w);
        return cli_document_end(c);
    }
    for (size_t i = 0; i < r->bundle.n_repos; i++) {
        const struct hub_bundle_repo *repo = &r->bundle.repos[i];
        for (size_t k = 0; k < repo->n_commits; k++)
            cli_print(c, "imported " STR_FMT "@%.7s: %zu files%s\n", STR_ARG(repo->name),
                      repo->commits[k].commit.p, repo->commits[k].n_files,
                      repo->commits[k].complete ? "" : " (not all of the commit)");
    }
    num_format_size(size, r->new_bytes);
    cli_print(c, "%zu new blobs, %s; %zu were there\n", r->n_new, size, r->n_present);
    return 0;
}

static bool cmd_import_bundle_read(struct cmd_import *job, const char *src_cstr, bool folder,
                                   struct hub_unbundle_result *r) {
    struct cli_context *c = job->c;
    struct str ref = cli_text(&c->args, "--ref");
    struct hub_volumes v;
    if (folder)
        return hub_unbundle_folder(&c->arena, &c->cache, src_cstr, ref, cmd_import_progress, job, r,
                                   &c->err);
    if (!hub_volumes_open(&c->arena, src_cstr, &v, &c->err)) return false;
    bool ok = hub_unbundle(&c->arena, &c->cache, hub_volumes_read, &v, ref, cmd_import_progress,
                           job, r, &c->err);
    ok = ok && hub_volumes_rest(&v, &c->err);
    if (!ok && v.split) err_context(&c->err, "volume %d of %s: ", v.n, v.path);
    hub_volumes_close(&v);
    return ok;
}

static int cmd_import_bundle(struct cmd_import *job, const char *src_cstr) {
    struct cli_context *c = job->c;
    struct hub_unbundle_result r;
    struct os_stat st;
    if (cli_get(&c->args, "--name")->given) {
        err_set(&c->err, ERR_INVALID, "--name was given, but %s is a bundle, which names its repos",
                src_cstr);
        err_hint(&c->err, "leave --name out");
        return cli_fail(c, &c->err, NULL);
    }
    cli_progress_begin(c, &job->progress, "importing", 0, true);
    bool ok =
        cmd_import_bundle_read(job, src_cstr, os_stat(src_cstr, &st) && st.kind == OS_DIR, &r);
    cli_progress_end(&job->progress);
    return ok ? cmd_import_bundle_print(c, &r) : cli_fail(c, &c->err, NULL);
}

/* FILE, FILE.002, FILE.sha256 stand for FILE.001, where that is the first volume of a bundle. */
static char *cmd_import_source(struct cli_context *c) {
    struct str src = cli_text(&c->args, "source"), base = src;
    struct os_stat st;
    char *src_cstr = str_dup_cstr(&c->arena, src);
    if (!src_cstr) return NULL;
    size_t n = src.n;
    bool exists = os_stat(src_cstr, &st);
    if (str_ends(src, STR(".sha256"))) base = str_sub(src, 0, n - 7);
    else if (n > 4 && src.p[n - 4] == '.' && str_find_char(str_sub(src, n - 3, n), '/') < 0)
        base = str_sub(src, 0, n - 4);
    if (exists && (base.n == n || st.kind != OS_FILE || hub_bundle_is(&c->arena, src_cstr)))
        return src_cstr;
    struct str first = str_concat(&c->arena, exists ? base : src, STR(".001"));
    char *first_cstr = first.p ? str_dup_cstr(&c->arena, first) : NULL;
    return first_cstr && hub_bundle_is(&c->arena, first_cstr) ? first_cstr : src_cstr;
}

static int cmd_import_run(struct cli_context *c) {
    struct cmd_import job = { .c = c };
    struct conv_result r;
    c->args.quiet = cli_flag(&c->args, "--quiet");
    char *src_cstr = cmd_import_source(c);
    if (!src_cstr) {
        err_oom(&c->err, LIMIT_PATH, "the source's name");
        return cli_fail(c, &c->err, NULL);
    }
    if (strcmp(src_cstr, "-") == 0 || hub_bundle_is(&c->arena, src_cstr))
        return cmd_import_bundle(&job, src_cstr);
    if (cli_get(&c->args, "--ref")->given) {
        err_set(&c->err, ERR_INVALID, "--ref was given, but %s is no bundle", src_cstr);
        err_hint(&c->err, "a model that is imported is always what refs/main names");
        return cli_fail(c, &c->err, NULL);
    }
    if (cli_get(&c->args, "--name")->given &&
        cli_text(&c->args, "--name").n == 0) { /* a script's unset variable */
        err_set(&c->err, ERR_INVALID, "--name is empty");
        err_hint(&c->err, "give ORG/NAME, or leave --name out for the model's own name");
        return cli_fail(c, &c->err, NULL);
    }
    cli_progress_begin(c, &job.progress, "reading", 0, true);
    bool ok = conv_import(&c->arena, &c->cache, src_cstr, cli_text(&c->args, "--name"),
                          cmd_import_progress, &job, &r, &c->err);
    cli_progress_end(&job.progress);
    if (!ok && (c->err.code == ERR_FORMAT || c->err.code == ERR_LIMIT))
        err_hint(&c->err,
                 "the file is damaged or cut: compare its size and sha256 with its source's");
    if (!ok && c->err.code == ERR_UNSUPPORTED)
        err_hint(&c->err,
                 "have it written by current tools, or import the model's safetensors files");
    return ok ? cmd_import_print(c, &r) : cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_import(void) {
    static const struct cli_command command = {
        "import",
        "bring a bundle, a GGUF file or a model directory into the cache",
        "network",
        cmd_import_options,
        MLXK_COUNT(cmd_import_options),
        "  mlxk import SmolLM2-135M.Q4_1.gguf --name "
        "HuggingFaceTB/SmolLM2-135M\n  mlxk import ./my-model\n"
        "  mlxk import models.tar\n  ssh host mlxk export llama -o - | mlxk import -\n",
        cmd_import_run,
    };
    return &command;
}
