/* cmd_import.c: `import` brings a GGUF file or a model directory into the cache as an MLX repository. */
#include "cli/cli.h"
#include "convert/convert.h"

static const struct cli_option cmd_import_options[] = {
    { "source", NULL, CLI_TEXT, NULL, "a GGUF file, or a directory with config.json", 0, 0, true },
    { "--name", NULL, CLI_TEXT, "ORG/NAME", "name in the cache (local/<name of the model>)", 0, 0,
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

static int cmd_import_run(struct cli_context *c) {
    struct cmd_import job = { .c = c };
    struct conv_result r;
    c->args.quiet = cli_flag(&c->args, "--quiet");
    char *src_cstr = str_dup_cstr(&c->arena, cli_text(&c->args, "source"));
    if (!src_cstr) {
        err_oom(&c->err, LIMIT_PATH, "the source's name");
        return cli_fail(c, &c->err, NULL);
    }
    if (cli_get(&c->args, "--name")->given &&
        cli_text(&c->args, "--name").n == 0) { /* a script's unset variable */
        err_set(&c->err, ERR_INVALID, "--name is empty");
        err_hint(&c->err, "give ORG/NAME, or leave --name out for the model's own name");
        return cli_fail(c, &c->err, NULL);
    }
    os_interrupt_catch(true);
    cli_progress_begin(c, &job.progress, "reading", 0, true);
    bool ok = conv_import(&c->arena, &c->cache, src_cstr, cli_text(&c->args, "--name"),
                          cmd_import_progress, &job, &r, &c->err);
    cli_progress_end(&job.progress);
    os_interrupt_catch(false);
    return ok ? cmd_import_print(c, &r) : cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_import(void) {
    static const struct cli_command command = {
        "import",
        "bring a GGUF file or a model directory into the cache",
        "network",
        cmd_import_options,
        MLXK_COUNT(cmd_import_options),
        "  mlxk import SmolLM2-135M.Q4_1.gguf --name "
        "HuggingFaceTB/SmolLM2-135M\n  mlxk import ./my-model\n",
        cmd_import_run,
    };
    return &command;
}
