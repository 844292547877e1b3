/* cmd_version.c: `version` tells what this binary is: its number, its source, its parts, this
 * machine.
 *
 * `--version --json` is upstream's document, closed: cli_version, json_api_spec_version, system.
 * The command's own adds the lines of VERSION and the stage; --build, --cpu, --history add a
 * member each.
 */
#include "cli/cli_facts.h"
#include "net/net.h"

#include <build_info.h>

static const struct cli_option cmd_version_options[] = {
    { "--build", NULL, CLI_FLAG, NULL, "commit, compiler, flags, vendored sources with hashes", 0,
      0, true },
    { "--cpu", NULL, CLI_FLAG, NULL, "features seen and kernels chosen", 0, 0, true },
    { "--history", NULL, CLI_FLAG, NULL, "releases that were out when this one was built", 0, 0,
      true },
    { "--stage", NULL, CLI_FLAG, NULL, "one word: dev, alpha, beta, rc or stable", 0, 0, true },
    { "--of", NULL, CLI_TEXT, "FILE", "what another program's file says of its build, not run", 0,
      0, true },
    { "--verify", NULL, CLI_FLAG, NULL, "is this file of a release, signed? status 0 to 4", 0, 0,
      true },
    { "--file", NULL, CLI_TEXT, "FILE", "verify: another file than this program's", 0, 0, true },
    { "--sums", NULL, CLI_TEXT, "FILE", "verify: SHA256SUMS (beside the file)", 0, 0, true },
    { "--sig", NULL, CLI_TEXT, "FILE", "verify: its signature (those beside SHA256SUMS)", 0, 0,
      true },
    { "--key", NULL, CLI_LIST, "PUBLIC", "verify: trust this key (those that were built in)", 0, 0,
      true },
    { "--unsigned", NULL, CLI_FLAG, NULL, "verify: take it without a signature, by its hash alone",
      0, 0, true },
};

/* The label of the version: what docs/gates promises for it. */
static const char *cmd_version_stage(void) {
    static const char *const labels[] = { "alpha", "beta", "rc", "dev" };
    const char *dash_cstr = strchr(MLXK_VERSION, '-');
    if (!dash_cstr) return "stable";
    for (size_t i = 0; i < MLXK_COUNT(labels); i++)
        if (!strncmp(dash_cstr + 1, labels[i], strlen(labels[i]))) return labels[i];
    return "dev";
}

/* ---- JSON (Private) ------------------------------------------------------------------------- */

/* One library: "NAME VERSION LICENCE SHA256". */
static void cmd_version_json_vendor(struct json_writer *w, struct str line) {
    static const char *const keys[] = { "name", "version", "licence", "sha256" };
    json_write_object(w);
    for (size_t i = 0; i < MLXK_COUNT(keys); i++)
        json_write_member(w, keys[i], str_cut(&line, ' '));
    json_write_object_end(w);
}

static void cmd_version_json_build(struct json_writer *w, struct str facts) {
    struct str rest = facts;
    json_write_object(w);
    while (rest.n) {
        struct str value = str_cut(&rest, '\n'), key = str_cut(&value, ' ');
        if (str_eq(key, STR("vendored"))) continue;
        json_write_key_str(w, key);
        if (str_eq(key, STR("dirty"))) json_write_bool(w, !str_eq(value, STR("0")));
        else json_write_str(w, value);
    }
    json_write_key(w, "vendored");
    json_write_array(w);
    for (rest = facts; rest.n;) {
        struct str value = str_cut(&rest, '\n'), key = str_cut(&value, ' ');
        if (str_eq(key, STR("vendored"))) cmd_version_json_vendor(w, value);
    }
    json_write_array_end(w);
    json_write_object_end(w);
}

/* The two halves, and the oldest other half that each works with. */
static void cmd_version_json_lines(struct json_writer *w) {
    static const struct {
        const char *key_cstr, *value_cstr;
    } lines[] = {
        { "stage", NULL },
        { "client_version", MLXK_CLIENT_VERSION },
        { "engine_version", MLXK_ENGINE_VERSION },
        { "min_engine_version", MLXK_MIN_ENGINE },
        { "min_client_version", MLXK_MIN_CLIENT },
        { "http_api", MLXK_HTTP_API },
    };
    for (size_t i = 0; i < MLXK_COUNT(lines); i++) {
        json_write_key(w, lines[i].key_cstr);
        json_write_cstr(w, lines[i].value_cstr ? lines[i].value_cstr : cmd_version_stage());
    }
}

static void cmd_version_json_cpu(struct json_writer *w, const struct k_ops *chosen) {
    json_write_key(w, "cpu");
    json_write_object(w);
    json_write_key(w, "name");
    json_write_str(w, cpu_name());
    json_write_key(w, "cores");
    json_write_i64(w, os_cpu_count());
    json_write_key(w, "features");
    json_write_array(w);
    for (uint32_t bit = 1; bit; bit <<= 1)
        if ((cpu_features() & bit) && cpu_feature_name(bit))
            json_write_cstr(w, cpu_feature_name(bit));
    json_write_array_end(w);
    json_write_key(w, "sha256");
    json_write_cstr(w, sha256_variant());
    json_write_key(w, "aes_gcm");
    json_write_cstr(w, tls_gcm_variant());
    json_write_key(w, "kernels");
    json_write_cstr(w, CLI_HAS_ENGINE ? chosen->name_cstr : "none");
    json_write_key(w, "kernels_available");
    json_write_array(w);
    bool usable;
    for (int i = 0; CLI_HAS_ENGINE && k_list(i, &usable); i++)
        if (usable) json_write_cstr(w, k_list(i, &usable)->name_cstr);
    json_write_array_end(w);
    json_write_object_end(w);
}

static int cmd_version_json(struct cli_context *c, const struct k_ops *chosen) {
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_key(w, "cli_version");
    json_write_cstr(w, MLXK_VERSION);
    json_write_key(w, "json_api_spec_version");
    json_write_cstr(w, MLXK_JSON_API);
    json_write_key(w, "system");
    json_write_object(w);
    json_write_key(w, "memory_total_bytes");
    json_write_u64(w, os_total_memory());
    json_write_object_end(w);
    if (!c->args.by_flag) cmd_version_json_lines(w);
    if (cli_flag(&c->args, "--history")) cmd_version_history_json(w);
    if (cli_flag(&c->args, "--build")) {
        json_write_key(w, "build");
        cmd_version_json_build(w, cli_facts_own());
    }
    if (cli_flag(&c->args, "--cpu")) cmd_version_json_cpu(w, chosen);
    json_write_object_end(w);
    return cli_document_end(c);
}

/* ---- text (Private) ------------------------------------------------------------------------- */

static void cmd_version_text_build(struct cli_context *c, struct str facts) {
    static const char *heads[] = { "vendored", "version", "licence", "sha256 of the archive" };
    struct cli_grid g;
    cli_grid_init(&g, &c->arena, heads, MLXK_COUNT(heads), 0);
    while (facts.n) {
        struct str value = str_cut(&facts, '\n'), key = str_cut(&value, ' ');
        if (str_eq(key, STR("vendored"))) {
            struct str cells[MLXK_COUNT(heads)];
            for (size_t i = 0; i < MLXK_COUNT(heads); i++) cells[i] = str_cut(&value, ' ');
            cli_grid_row(&g, cells);
        } else cli_print(c, "%-12.*s " STR_FMT "\n", (int)key.n, key.p,
                         STR_ARG(value.n ? value : STR("-")));
    }
    cli_print(c, "\n");
    cli_grid_print(c, &g);
}

static void cmd_version_text_cpu(struct cli_context *c, const struct k_ops *chosen) {
    cli_print(c, "%-12s " STR_FMT "\n%-12s %d\n%-12s", "cpu", STR_ARG(cpu_name()), "cores",
              os_cpu_count(), "features");
    for (uint32_t bit = 1; bit; bit <<= 1)
        if ((cpu_features() & bit) && cpu_feature_name(bit))
            cli_print(c, " %s", cpu_feature_name(bit));
    cli_print(c, "\n%-12s %s\n%-12s %s\n%-12s %s\n\n", "sha256", sha256_variant(), "aes-gcm",
              tls_gcm_variant(), "kernels", chosen->name_cstr);
    static const char *heads[] = { "kernels", "usable", "fills gaps from", "for" };
    struct cli_grid g;
    const struct k_ops *ops;
    bool usable;
    cli_grid_init(&g, &c->arena, heads, MLXK_COUNT(heads), 0);
    for (int i = 0; CLI_HAS_ENGINE && (ops = k_list(i, &usable)) != NULL; i++) {
        struct str cells[] = { str_cstr(ops->name_cstr),
                               usable ? (ops == chosen ? STR("chosen") : STR("yes")) : STR("no"),
                               ops->parent_cstr ? str_cstr(ops->parent_cstr) : STR("-"),
                               str_cstr(ops->note_cstr) };
        cli_grid_row(&g, cells);
    }
    cli_grid_print(c, &g);
}

/* `version --of FILE`. */
static int cmd_version_of(struct cli_context *c) {
    char *path = str_dup_cstr(&c->arena, cli_text(&c->args, "--of"));
    struct str facts;
    if (!path) err_oom(&c->err, LIMIT_PATH, "a path");
    if (!path || !cli_facts_read(&c->arena, path, &facts, &c->err))
        return cli_fail(c, &c->err, NULL);
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        json_write_member(w, "file", str_cstr(path));
        json_write_key(w, "build");
        cmd_version_json_build(w, facts);
        json_write_object_end(w);
        return cli_document_end(c);
    }
    cmd_version_text_build(c, facts);
    return 0;
}

static int cmd_version_run(struct cli_context *c) {
    const struct k_ops *chosen = NULL;
    if (cli_get(&c->args, "--of")->given) return cmd_version_of(c);
    if (cli_flag(&c->args, "--verify")) return cmd_version_verify(c);
    if (CLI_HAS_ENGINE && cli_flag(&c->args, "--cpu") && !(chosen = k_choose(&c->err)))
        return cli_fail(c, &c->err, NULL);
    if (c->out.json) return cmd_version_json(c, chosen);
    if (cli_flag(&c->args, "--history")) {
        cmd_version_history_text(c);
        return 0;
    }
    if (cli_flag(&c->args, "--stage")) {
        cli_print(c, "%s\n", cmd_version_stage());
        return 0;
    }
    cli_print(c, "%s %s\n", c->args.program_cstr, MLXK_VERSION_FULL);
    if (cli_flag(&c->args, "--build")) cmd_version_text_build(c, cli_facts_own());
    if (cli_flag(&c->args, "--cpu")) cmd_version_text_cpu(c, chosen);
    return 0;
}

MLXK_FN const struct cli_command *cmd_version(void) {
    static const struct cli_command command = {
        "version",
        "what this binary is, and what this machine can do",
        "itself",
        cmd_version_options,
        MLXK_COUNT(cmd_version_options),
        "  mlxk version --cpu\n  mlxk version --build --json\n"
        "  mlxk version --of mlxk-0.1.0-x86_64-linux\n"
        "  mlxk version --verify --file mlxk-0.1.0-x86_64-linux --key minisign.pub\n",
        cmd_version_run,
    };
    return &command;
}
