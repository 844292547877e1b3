/* cmd_mirror.c: `mirror` serves the cache as a read-only hub to a cluster.
 *
 *  1. stdout gets one line to copy (export HF_ENDPOINT=...), or with --json one document, when the
 *     listener stands; everything later goes to stderr.
 *  2. It ends with status 0 when it was told to stop and every answer in hand was finished.
 */
#include "cli/cli.h"
#include "serve/serve.h"

#include <build_info.h>

static const struct cli_option cmd_mirror_options[] = {
    { "--host", NULL, CLI_TEXT, "ADDRESS", "address to listen at (127.0.0.1); 0.0.0.0 for all", 0,
      0, true },
    { "--port", NULL, CLI_INT, "N", "port to listen at (8090); 0 for any free one", 0, 65535,
      true },
    { "--tls-cert", NULL, CLI_TEXT, "FILE", "serve TLS with this certificate chain (PEM)", 0, 0,
      true },
    { "--tls-key", NULL, CLI_TEXT, "FILE", "its private key (PEM)", 0, 0, true },
    { "--key-file", NULL, CLI_TEXT, "FILE", "let in only who sends one of these keys as HF_TOKEN",
      0, 0, true },
    { "--insecure-no-auth", NULL, CLI_FLAG, NULL,
      "listen where others can reach it, and let everybody in", 0, 0, true },
    { "--allow", NULL, CLI_LIST, "GLOB", "serve only repositories that fit: 'org/*'", 0, 0, true },
    { "--allowed-host", NULL, CLI_LIST, "NAME", "a name by which this mirror may be called", 0, 0,
      true },
    { "--serve-partial", NULL, CLI_FLAG, NULL,
      "also serve snapshots whose whole file list is not known", 0, 0, true },
    { "--pull-through", NULL, CLI_FLAG, NULL, "fetch what is not in the cache", 0, 0, true },
    { "--upstream", NULL, CLI_TEXT, "URL", "the hub to fetch from (HF_ENDPOINT_UPSTREAM)", 0, 0,
      true },
    { "--upstream-token", NULL, CLI_FLAG, NULL, "fetch with the token of this account", 0, 0,
      true },
    { "--recheck", NULL, CLI_INT, "SECONDS", "ask again whether a branch has moved (60)", 1, 86400,
      true },
    { "--rate", NULL, CLI_INT, "N", "requests a second that one address may send", 1, 1000000,
      true },
    { "--max-connections", NULL, CLI_INT, "N", "connections at once (1024)", 1, 4000, true },
    { "--max-per-client", NULL, CLI_INT, "N", "connections of one address (256)", 1, 4000, true },
    { "--max-busy", NULL, CLI_INT, "N", "requests answered at once (256)", 1, 512, true },
    { "--drain-delay", NULL, CLI_INT, "SECONDS",
      "when told to stop, go on so long while /ready says no (0)", 0, 3600, true },
    { "--drain-timeout", NULL, CLI_INT, "SECONDS", "then wait so long for answers in hand (25)", 1,
      86400, true },
    { "--log", NULL, CLI_TEXT, "FORM", "access log on stderr: text, json or off (text)", 0, 0,
      true },
};

/* ---- what was asked for (Private) ------------------------------------------------------------ */

static const char *cmd_mirror_file(struct cli_context *c, const char *name_cstr) {
    struct str s = cli_text(&c->args, name_cstr);
    return s.n ? str_dup_cstr(&c->arena, s) : NULL;
}

static void cmd_mirror_log(void *ctx, struct str line) {
    (void)ctx;
    struct buf b;
    buf_init(&b, line.n * 6 + 2);
    buf_add(&b, line);
    buf_add_char(&b, '\n');
    cli_tell(&b);
}

/* --log json: everything on stderr is one object a line. */
static void cmd_mirror_log_line(enum log_level level, struct str text) {
    char time_text[40];
    struct json_writer w;
    struct buf b;
    buf_init(&b, 65536);
    os_format_time(time_text, os_time_ns());
    json_write_init(&w, &b, false, true);
    json_write_object(&w);
    json_write_member(&w, "ts", str_cstr(time_text));
    json_write_member(&w, "level", str_cstr(log_level_name(level)));
    json_write_member(&w, "message", text);
    json_write_object_end(&w);
    if (!b.failed) cmd_mirror_log(NULL, buf_str(&b));
    buf_release(&b);
}

/* What people are told at the start, as a line of the log where that is for machines. */
static void cmd_mirror_note(struct cli_context *c, const struct mirror_options *o,
                            enum log_level level, struct str text) {
    if (o->log_json) cmd_mirror_log_line(level, text);
    else cli_note(c, "%s" STR_FMT, level == LOG_WARN ? "note: " : "mirror: ", STR_ARG(text));
}

static int cmd_mirror_fail(struct cli_context *c, const struct mirror_options *o) {
    if (!o->log_json || c->out.json) return cli_fail(c, &c->err, NULL);
    cmd_mirror_log_line(LOG_ERROR, str_format(&c->arena, "%s%s%s", c->err.msg,
                                              c->err.hint[0] ? "; " : "", c->err.hint));
    return err_info(c->err.code)->exit_status;
}

static bool cmd_mirror_usage(struct cli_context *c, const char *text_cstr) {
    return err_set(&c->err, ERR_USAGE, "%s", text_cstr);
}

static int cmd_mirror_limit(struct cli_context *c, const char *name_cstr) {
    return (int)cli_int(&c->args, name_cstr, 0);
}

static bool cmd_mirror_read(struct cli_context *c, struct mirror_options *o) {
    const struct cli_value *allow = cli_get(&c->args, "--allow"),
                           *hosts = cli_get(&c->args, "--allowed-host");
    struct str log = cli_text(&c->args, "--log"), upstream = cli_text(&c->args, "--upstream");
    const char *set_cstr = os_env("HF_ENDPOINT_UPSTREAM");
    o->http.host = cli_get(&c->args, "--host")->given ? cli_text(&c->args, "--host")
                                                      : STR("127.0.0.1");
    o->http.port = (int)cli_int(&c->args, "--port", 8090);
    o->http.cert_cstr = cmd_mirror_file(c, "--tls-cert");
    o->http.key_cstr = cmd_mirror_file(c, "--tls-key");
    if (!o->http.cert_cstr != !o->http.key_cstr)
        return cmd_mirror_usage(c, "--tls-cert and --tls-key belong together");
    o->http.max_connections = cmd_mirror_limit(c, "--max-connections");
    o->http.max_per_client = cmd_mirror_limit(c, "--max-per-client");
    o->http.max_busy = cmd_mirror_limit(c, "--max-busy");
    o->http.drain_delay_ms = cli_int(&c->args, "--drain-delay", 0) * 1000;
    o->http.drain_ms = cli_int(&c->args, "--drain-timeout", 25) * 1000;
    o->guard.key_file_cstr = cmd_mirror_file(c, "--key-file");
    o->guard.insecure = cli_flag(&c->args, "--insecure-no-auth");
    o->guard.rate_per_s = (uint32_t)cli_int(&c->args, "--rate", 0);
    o->guard.hosts = hosts->list;
    o->guard.n_hosts = hosts->n;
    o->allow = allow->list;
    o->n_allow = allow->n;
    o->partial = cli_flag(&c->args, "--serve-partial");
    o->pull_through = cli_flag(&c->args, "--pull-through");
    o->upstream = upstream.n ? upstream : str_cstr(set_cstr);
    o->upstream_token = cli_flag(&c->args, "--upstream-token");
    o->recheck_ms = cli_int(&c->args, "--recheck", 60) * 1000;
    o->user_agent_cstr = "mlxk/" MLXK_VERSION;
    if ((upstream.n || o->upstream_token) && !o->pull_through)
        return cmd_mirror_usage(c, "--upstream and --upstream-token want --pull-through");
    if (log.n && !str_eq(log, STR("text")) && !str_eq(log, STR("json")) && !str_eq(log, STR("off")))
        return cmd_mirror_usage(c, "argument --log: choose text, json or off");
    o->log = str_eq(log, STR("off")) ? NULL : cmd_mirror_log;
    o->log_json = str_eq(log, STR("json"));
    if (o->log_json) log_to(cmd_mirror_log_line);
    return true;
}

/* ---- the start (Private) --------------------------------------------------------------------- */

struct cmd_mirror_start { struct mirror *m; struct str url; size_t n_served, n_partial; };

static int cmd_mirror_document(struct cli_context *c, const struct mirror_options *o,
                               const struct cmd_mirror_start *s) {
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_member(w, "url", s->url);
    json_write_member(w, "cache", str_cstr(c->cache.root_cstr));
    json_write_key(w, "n_repositories");
    json_write_u64(w, s->n_served);
    json_write_key(w, "n_without_file_list");
    json_write_u64(w, s->n_partial);
    json_write_key(w, "tls");
    json_write_bool(w, o->http.cert_cstr != NULL);
    json_write_key(w, "keys");
    json_write_bool(w, o->guard.key_file_cstr != NULL);
    json_write_key(w, "pull_through");
    json_write_bool(w, o->pull_through);
    json_write_key(w, "pid");
    json_write_i64(w, os_pid());
    json_write_object_end(w);
    return cli_document_end(c);
}

static void cmd_mirror_tell(struct cli_context *c, const struct mirror_options *o,
                            const struct cmd_mirror_start *s) {
    if (c->out.json) {
        (void)cmd_mirror_document(c, o, s);
        return;
    }
    cli_print(c, "export HF_ENDPOINT=" STR_FMT "\n", STR_ARG(s->url));
    cli_flush(c);
    struct arena *a = &c->arena;
    cmd_mirror_note(c, o, LOG_INFO,
                    str_format(a, "serving %zu %s of %s%s", s->n_served,
                               s->n_served == 1 ? "repository" : "repositories",
                               c->cache.root_cstr,
                               o->pull_through ? ", and fetching others on demand" : ""));
    if (s->n_partial && !o->pull_through)
        cmd_mirror_note(c, o, LOG_WARN,
                        str_format(a, "%zu more are not served, as their whole file list is not "
                                      "known; `mlxk pull` completes them, --serve-partial serves "
                                      "what is there", s->n_partial));
    if (o->guard.insecure && !o->guard.key_file_cstr && !serve_is_loopback(o->http.host))
        cmd_mirror_note(c, o, LOG_WARN, STR("everybody who can reach this machine can read these "
                                            "repositories"));
}

static int cmd_mirror_run(struct cli_context *c) {
    struct mirror_options o = { .log_json = false };
    struct cmd_mirror_start s = { .n_served = 0 };
    if (!cmd_mirror_read(c, &o)) return cli_fail(c, &c->err, "CommandError");
    s.m = mirror_open(&o, &c->cache, &c->err);
    if (!s.m) return cmd_mirror_fail(c, &o);
    os_serving(true);
    s.url = mirror_url(&c->arena, s.m);
    bool ok = mirror_count(s.m, &s.n_served, &s.n_partial, &c->err);
    if (ok) {
        cmd_mirror_tell(c, &o, &s);
        ok = mirror_run(s.m, &c->err);
    }
    mirror_close(s.m);
    if (ok) return 0;
    c->out.json = false;                 /* the one document has been printed */
    return cmd_mirror_fail(c, &o);
}

MLXK_FN const struct cli_command *cmd_mirror(void) {
    static const struct cli_command command = {
        "mirror",
        "serve the cache as a read-only hub",
        "network",
        cmd_mirror_options,
        MLXK_COUNT(cmd_mirror_options),
        "  mlxk mirror                                     for this machine\n"
        "  mlxk mirror --host 0.0.0.0 --key-file keys      for a cluster\n"
        "  mlxk mirror --pull-through --allow 'mlx-community/*'\n",
        cmd_mirror_run,
    };
    return &command;
}
