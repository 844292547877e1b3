/* cmd_verify.c: `verify` hashes what is in the cache and compares it with what names and file lists
 * promise; with --repair it mends what the hub or the file list can prove. With --key it verifies
 * the signature of one file instead (cmd_verify_file.c).
 *
 *  1. Exit status 1 when anything is wrong and was not repaired; notes and warnings are no failure.
 *  2. An interrupted run keeps what it has verified: --since last goes on.
 */
#include "cli/cli_findings.h"
#include "cli/cli_sign.h"
#include "cli/cli_oci.h"
#include "hub/hub.h"

#include <build_info.h>
#include <stdio.h>

static const struct cli_option cmd_verify_options[] = {
    { "[model]", NULL, CLI_TEXT, NULL,
      "name or NAME@REVISION; the whole cache without it; with --key a file, or "
      "oci://HOST/REPO:TAG",
      0, 0, true },
    { "--limit-rate", NULL, CLI_SIZE, "RATE", "read at most so much per second (50M)", 0, 0, true },
    { "--since", NULL, CLI_TEXT, "WHEN",
      "pass over what was verified since then: 7d, a date, or last (the last run)", 0, 0, true },
    { "--repair", NULL, CLI_FLAG, NULL, "fetch again just what is wrong, link again what is loose",
      0, 0, true },
    { "--key", NULL, CLI_TEXT, "FILE",
      "verify the signature of a file with this public key (PEM, or of minisign)", 0, 0, true },
    { "--bundle", NULL, CLI_TEXT, "FILE", "its bundle (FILE.sigstore.json)", 0, 0, true },
    { "--minisig", NULL, CLI_TEXT, "FILE", "its minisign signature (FILE.minisig)", 0, 0, true },
    { "--type", NULL, CLI_TEXT, "TYPE",
      "oci://: an attestation of this type by the key: sbom, provenance or a URI", 0, 0, true },
    CLI_OCI_OPTIONS,
};

struct cmd_verify {
    struct cli_context *c;
    struct care_findings findings;
    struct care_verify_result result;
    struct care_journal journal;
    struct care_verify_options options;
    struct cli_progress progress;
    char label[48];
    bool counting, repair;
    int64_t start_ns;
};

/* ---- output (Private) ---- */

static void cmd_verify_data(struct json_writer *w, void *ctx) {
    const struct cmd_verify *v = ctx;
    const struct care_verify_result *r = &v->result;
    const struct { const char *key_cstr; uint64_t value; } numbers[] = {
        { "repositories", r->n_repos }, { "files", r->n_files },
        { "good", r->n_good }, { "wrong", r->n_wrong },
        { "skipped", r->n_skipped }, { "without_hash", r->n_unnamed },
        { "bytes", r->bytes }, { "skipped_bytes", r->skipped_bytes },
        { "errors", care_findings_errors(&v->findings) },
    };
    json_write_object(w);
    for (size_t i = 0; i < MLXK_COUNT(numbers); i++) {
        json_write_key(w, numbers[i].key_cstr);
        json_write_u64(w, numbers[i].value);
    }
    json_write_key(w, "interrupted");
    json_write_bool(w, r->interrupted);
    json_write_key(w, "seconds");
    json_write_f64(w, (double)((os_now_ns() - v->start_ns) / 1000000) / 1000.0);
    cli_findings_write(w, &v->findings);
    json_write_object_end(w);
}

static void cmd_verify_print(struct cmd_verify *v) {
    struct cli_context *c = v->c;
    const struct care_verify_result *r = &v->result;
    char size[16], skipped[16];
    num_format_size(size, r->bytes);
    num_format_size(skipped, r->skipped_bytes);
    cli_findings_print(c, &v->findings);
    cli_print(c, "%zu files (%s) of %zu repositories verified: %zu right, %zu wrong", r->n_files,
              size, r->n_repos, r->n_good, r->n_wrong);
    if (r->n_skipped) cli_print(c, ", %zu (%s) passed over", r->n_skipped, skipped);
    if (r->n_unnamed) cli_print(c, ", %zu without a hash", r->n_unnamed);
    cli_print(c, "\n");
}

static int cmd_verify_end(struct cmd_verify *v) {
    struct cli_context *c = v->c;
    size_t n_errors = care_findings_errors(&v->findings);
    if (!c->out.json) cmd_verify_print(v);
    if (v->result.interrupted) {
        err_set(&c->err, ERR_INTERRUPTED, "stopped after %zu files", v->result.n_files);
        err_hint(&c->err, "go on with --since last");
    } else if (n_errors) {
        err_set(&c->err, ERR_INTEGRITY, "%zu thing%s wrong", n_errors,
                n_errors == 1 ? " is" : "s are");
        err_hint(&c->err, v->repair ? "what could not be repaired says why"
                                    : "mlxk verify --repair fetches again just what is wrong");
    } else if (!c->out.json) {
        return 0;
    } else {
        cmd_verify_data(cli_document(c), v);
        return cli_document_end(c);
    }
    return cli_findings_fail(c, NULL, cmd_verify_data, v);
}

/* ---- what and since when (Private) ---- */

static bool cmd_verify_what(struct cmd_verify *v) {
    struct cli_context *c = v->c;
    struct str spec = cli_text(&c->args, "[model]"), *folders;
    struct cache_model m;
    if (!spec.n) {
        if (!care_repos(&c->arena, &c->cache, true, &folders, &v->options.n_folders, &c->err))
            return false;
        v->options.folders = folders;
        return true;
    }
    if (str_starts(spec, STR("hf://"))) spec = str_sub(spec, 5, spec.n);
    if (!cli_resolve(c, spec, &m, NULL, &c->err)) return false;
    if (m.place == CACHE_WORKSPACE) {
        err_set(&c->err, ERR_UNSUPPORTED,
                STR_FMT " is a workspace: nothing says what it should hold", STR_ARG(m.name));
        return err_hint(&c->err,
                        "`mlxk show` tells whether it changed, `mlxk health --deep` looks inside");
    }
    struct str *one = ARENA_NEW(&c->arena, struct str);
    if (!one) return err_oom(&c->err, sizeof *one, "a name");
    *one = os_path_base(m.repo_dir_cstr);
    v->options.folders = one;
    v->options.n_folders = 1;
    if (str_find_char(spec, '@') >= 0 && m.snapshot_cstr)
        v->options.only_commit = os_path_base(m.snapshot_cstr);
    return true;
}

static bool cmd_verify_since(struct cmd_verify *v) {
    struct cli_context *c = v->c;
    struct str when = cli_text(&c->args, "--since");
    int64_t now_ns = os_time_ns(), mark_ns = now_ns;
    v->options.since_ns = INT64_MAX;
    if (str_eq(when, STR("last"))) {
        if (v->journal.last_ns) v->options.since_ns = mark_ns = v->journal.last_ns;
    } else if (when.n) {
        if (!care_parse_when(when, now_ns, &v->options.since_ns, &c->err))
            return err_context(&c->err, "argument --since: ");
        if (v->options.since_ns < now_ns) mark_ns = v->options.since_ns;
    }
    care_journal_run(&v->journal, mark_ns);
    v->options.journal = &v->journal;
    return true;
}

/* ---- progress (Private) ---- */

static void cmd_verify_progress(void *ctx, const struct care_verify_state *s) {
    struct cmd_verify *v = ctx;
    if (!v->counting) cli_progress_begin(v->c, &v->progress, v->label, s->total_bytes, true);
    v->counting = true;
    (void)snprintf(v->label, sizeof v->label, "%zu/%zu files", s->done_files, s->total_files);
    cli_progress_update(&v->progress, s->done_bytes);
}

static bool cmd_verify_event(void *ctx, const struct hub_event *ev) {
    struct cmd_verify *v = ctx;
    if (ev->kind == HUB_NOTE) return true;
    if (!v->counting) cli_progress_begin(v->c, &v->progress, "fetching", ev->total_bytes, true);
    v->counting = true;
    cli_progress_update(&v->progress, ev->done_bytes);
    return true;
}

/* ---- the command ---- */

/* Did a repository come from a registry? Accounts of the hub may end in "_" and digits, like a
 * host with its port. */
static bool cmd_verify_foreign(struct str repo) {
    struct str path = repo, host = str_cut(&path, '/');
    return oci_model_is(repo) &&
           (str_find_char(host, '.') >= 0 || str_starts(host, STR("localhost")) ||
            str_find(path, STR("__")) >= 0);
}

static bool cmd_verify_mend(struct cmd_verify *v) {
    struct cli_context *c = v->c;
    struct http_options options = { .user_agent_cstr = "mlxk/" MLXK_VERSION };
    struct hub hub;
    bool needed = false;
    for (size_t i = 0; i < v->findings.n; i++)
        needed = needed || v->findings.list[i].severity != CARE_NOTE ||
                 !strcmp(v->findings.list[i].code_cstr, "list_missing");
    if (!needed) return true;
    if (!hub_open(&c->arena, &options, &hub, &c->err)) return false;
    v->counting = false;
    bool ok = care_repair(&c->arena, &c->cache, &hub, cmd_verify_foreign, &v->findings,
                          cmd_verify_event, v, &c->err);
    hub_close(&hub);
    cli_progress_end(&v->progress);
    if (!ok && c->err.code == ERR_INTERRUPTED) {
        err_clear(&c->err);
        v->result.interrupted = true;
        ok = true;
    }
    return ok;
}

static bool cmd_verify_work(struct cmd_verify *v) {
    struct cli_context *c = v->c;
    bool ok = care_verify(&c->arena, &c->cache, &v->options, &v->findings, &v->result, &c->err);
    cli_progress_end(&v->progress);
    ok = ok && (!v->repair || v->result.interrupted || cmd_verify_mend(v));
    return ok;
}

static int cmd_verify_run(struct cli_context *c) {
    if (oci_ref_is(cli_text(&c->args, "[model]")))
        return cli_sign_oci(c, cli_text(&c->args, "[model]"), true);
    static const char *const of_files[] = { "--key", "--bundle", "--minisig" };
    for (size_t i = 0; i < MLXK_COUNT(of_files); i++)
        if (cli_get(&c->args, of_files[i])->given) return cmd_verify_file(c);
    struct cmd_verify v = { .c = c, .repair = cli_flag(&c->args, "--repair"),
                            .start_ns = os_now_ns() };
    v.options = (struct care_verify_options){
        .limit_bytes_per_s = (uint64_t)cli_int(&c->args, "--limit-rate", 0),
        .progress = cmd_verify_progress,
        .ctx = &v,
    };
    care_findings_init(&v.findings, &c->arena);
    if (!cmd_verify_what(&v) || !care_journal_open(&c->arena, &v.journal, &c->err))
        return cli_fail(c, &c->err, NULL);
    bool ok = cmd_verify_since(&v) && cmd_verify_work(&v);
    care_journal_close(&v.journal);
    return ok ? cmd_verify_end(&v) : cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_verify(void) {
    static const struct cli_command command = {
        "verify",
        "hash what is in the cache, and mend it",
        "on disk",
        cmd_verify_options,
        MLXK_COUNT(cmd_verify_options),
        "  mlxk verify\n  mlxk verify Qwen3-0.6B-4bit --repair\n  mlxk verify --since 30d "
        "--limit-rate "
        "50M\n  mlxk verify --since last\n"
        "  mlxk verify archive.tar --key key.pub.pem\n",
        cmd_verify_run,
    };
    return &command;
}
