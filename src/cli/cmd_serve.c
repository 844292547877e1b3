/* cmd_serve.c: `serve` (also called `server`) and `embed-serve` offer models over HTTP. So far they
 * make every check that comes before the first connection; no server is in this build, and they say
 * so instead of announcing a start.
 *
 * Refusals keep upstream's JSON type for settings found wrong at the start, InternalError.
 */
#include "cli/cli.h"
#include "cli/cli_suggest.h"
#include "net/net.h"

enum { CMD_SERVE_MAX_CHUNK = 5 };

static const struct cli_option cmd_serve_options[] = {
    { "--model", NULL, CLI_TEXT, "MODEL", "load this model at the start", 0, 0, false },
    { "--host", NULL, CLI_TEXT, "ADDRESS", "address to listen on (127.0.0.1)", 0, 0, false },
    { "--port", NULL, CLI_INT, "N", "port to listen on (8000)", 1, 65535, false },
    { "--max-tokens", NULL, CLI_INT, "N", "longest answer unless a request says otherwise", 0, 0,
      false },
    { "--chunk", NULL, CLI_INT, "N", "images a batch, 1 to 5: this version serves text only", 0, 0,
      false },
    { "--embed-backend", NULL, CLI_TEXT, "URL",
      "pass /v1/embeddings on to an embed-serve (experimental)", 0, 0, false },
    { "--log-level", NULL, CLI_TEXT, "LEVEL", "debug, info, warning or error (info)", 0, 0, false },
    { "--log-json", NULL, CLI_FLAG, NULL, "log lines as JSON", 0, 0, false },
    { "--reload", NULL, CLI_FLAG, NULL, "accepted for scripts; does nothing", 0, 0, false },
    { "--verbose", NULL, CLI_FLAG, NULL, "log more", 0, 0, false },
};
static const struct cli_option cmd_embed_serve_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "an embedding model: path, name or part of a name", 0, 0,
      false },
    { "--host", NULL, CLI_TEXT, "ADDRESS", "address to listen on (127.0.0.1)", 0, 0, false },
    { "--port", NULL, CLI_INT, "N", "port to listen on (8002)", 1, 65535, false },
    { "--cpu", NULL, CLI_FLAG, NULL, "no GPU (this build has none)", 0, 0, false },
    { "--log-level", NULL, CLI_TEXT, "LEVEL", "debug, info, warning or error (info)", 0, 0, false },
    { "--log-json", NULL, CLI_FLAG, NULL, "log lines as JSON", 0, 0, false },
    { "--verbose", NULL, CLI_FLAG, NULL, "log more", 0, 0, false },
};

/* ---- checks (Private) ---- */

static bool cmd_serve_check_level(struct cli_context *c) {
    static const char *const levels[] = { "debug", "info", "warning", "error" };
    struct str level = cli_text(&c->args, "--log-level");
    if (!cli_get(&c->args, "--log-level")->given) return true;
    for (size_t i = 0; i < MLXK_COUNT(levels); i++)
        if (str_ieq(level, str_cstr(levels[i]))) return true;
    return err_set(&c->err, ERR_USAGE,
                   "argument --log-level: invalid choice: '" STR_FMT
                   "' (choose from debug, info, warning, error)",
                   STR_ARG(level));
}

static bool cmd_serve_check_model(struct cli_context *c, struct str spec) {
    struct cache_model m;
    if (cli_resolve(c, spec, &m, NULL, &c->err)) return true;
    if (c->err.code != ERR_NOT_FOUND) return false;
    bool path = str_starts(spec, STR(".")) || str_starts(spec, STR("/"));
    err_clear(&c->err);
    err_set(&c->err, ERR_NOT_FOUND,
            path ? "Workspace not found: " STR_FMT : "Model not found in cache: " STR_FMT,
            STR_ARG(spec));
    cli_suggest_model(c, spec, &c->err);
    return false;
}

static bool cmd_serve_check_backend(struct cli_context *c) {
    struct str url = cli_text(&c->args, "--embed-backend");
    struct net_url parsed;
    struct err why = { 0 };
    if (!url.n || net_url_parse(&c->arena, url, &parsed, &why)) return true;
    return err_set(&c->err, ERR_INVALID,
                   "--embed-backend must be an http(s) URL with a host (got: '" STR_FMT "')",
                   STR_ARG(url));
}

static bool cmd_serve_check(struct cli_context *c) {
    struct str model = cli_text(&c->args, "--model");
    int64_t chunk = cli_int(&c->args, "--chunk", 1),
            max_tokens = cli_int(&c->args, "--max-tokens", 1);
    if (model.n && !cmd_serve_check_model(c, model)) return false;
    if (chunk < 1)
        return err_set(&c->err, ERR_INVALID, "chunk size must be at least 1 (got: %lld).",
                       (long long)chunk);
    if (chunk > CMD_SERVE_MAX_CHUNK)
        return err_set(&c->err, ERR_INVALID, "chunk size too large (max: %d, got: %lld)",
                       CMD_SERVE_MAX_CHUNK, (long long)chunk);
    if (max_tokens < 1)
        return err_set(&c->err, ERR_INVALID, "--max-tokens must be at least 1 (got %lld)",
                       (long long)max_tokens);
    return cmd_serve_check_backend(c);
}

/* ---- the commands (Private) ---- */

static int cmd_serve_absent(struct cli_context *c) {
    err_set(&c->err, ERR_UNSUPPORTED, "this build has no server yet");
    err_hint(&c->err, "`mlxk run MODEL` answers here; `… | mlxk run MODEL -` in scripts");
    return cli_fail(c, &c->err, NULL);
}

static int cmd_serve_run(struct cli_context *c) {
    if (!cmd_serve_check_level(c)) return cli_fail(c, &c->err, NULL);
    if (cli_text(&c->args, "--embed-backend").n &&
        !cli_experimental("serve --embed-backend", &c->err))
        return cli_fail_plain(c, &c->err, "CommandError");
    if (!cmd_serve_check(c)) return cli_fail(c, &c->err, "InternalError");
    return cmd_serve_absent(c);
}

static int cmd_embed_serve_run(struct cli_context *c) {
    if (!cmd_serve_check_level(c)) return cli_fail(c, &c->err, NULL);
    if (!cmd_serve_check_model(c, cli_text(&c->args, "model")))
        return cli_fail(c, &c->err, "InternalError");
    return cmd_serve_absent(c);
}

MLXK_FN const struct cli_command *cmd_serve(void) {
    static const struct cli_command command = {
        "serve",
        "offer models over HTTP (also: server)",
        "use",
        cmd_serve_options,
        MLXK_COUNT(cmd_serve_options),
        "  mlxk serve\n  mlxk serve --model SmolLM2 --port 8080\n",
        cmd_serve_run,
    };
    return &command;
}

MLXK_FN const struct cli_command *cmd_embed_serve(void) {
    static const struct cli_command command = {
        "embed-serve",
        "offer one embedding model over HTTP",
        CLI_EXPERIMENTAL,
        cmd_embed_serve_options,
        MLXK_COUNT(cmd_embed_serve_options),
        "  mlxk embed-serve all-MiniLM-L6-v2 --port 8002\n",
        cmd_embed_serve_run,
    };
    return &command;
}
