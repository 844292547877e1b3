/* cli_main.c: the way into the program: argv[0] names, root options, table look-up, exit status.
 *
 * mlxk and mlxk2 are the same program; mlx-run puts `run` in front of the arguments; mlxk-json
 * turns --json on. A parse error prints usage and one line on stderr, or with a literal --json
 * anywhere in the arguments one JSON document on stdout with "command": null; both exit with
 * status 2.
 */
#include "cli/cli.h"
#include "cli/cli_suggest.h"

#define CLI_MAIN_MEMORY ((size_t)8 << 30) /* a command's tables; models are mapped, not counted */

struct cli_main_root {
    bool json, version, help, no_color;
    int n_used;
};

static bool cli_main_has_json(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0) return true;
    return false;
}

/* Options in front of the command. Stops at the first word that is none. */
static bool cli_main_root_options(int argc, char **argv, struct cli_main_root *root,
                                  struct err *e) {
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        struct str word = str_cstr(argv[i]);
        bool is_long = word.n > 2;
        if (str_eq(word, STR("-h")) || (is_long && str_starts(STR("--help"), word)))
            root->help = true;
        else if (is_long && str_starts(STR("--json"), word))
            root->json = true;
        else if (is_long && str_starts(STR("--version"), word))
            root->version = true;
        else if (str_eq(word, STR("--no-color")))
            root->no_color = true;
        else
            return err_set(e, ERR_USAGE, "unrecognized arguments: %s", argv[i]);
    }
    root->n_used = i;
    return true;
}

static void cli_main_setup(struct cli_context *c, bool json) {
    const char *no_color_cstr = os_env("NO_COLOR");
    bool color = !json && !(no_color_cstr && no_color_cstr[0]) && os_is_tty(1);
    cli_out_init(&c->out, json, color);
}

static int cli_main_usage_error(struct cli_context *c, const struct cli_command *cmd,
                                struct err *e) {
    e->msg[log_redact(e->msg, strlen(e->msg))] = 0;  /* a token as a word that nobody wanted */
    if (c->out.json) return cli_fail(c, e, "CommandError");
    struct buf b;
    buf_init(&b, 65536);
    if (cmd)
        cli_usage(&b, cmd);
    else
        buf_add_cstr(&b, "usage: mlxk [-h] [--version] [--json] <command> ...\n");
    buf_addf(&b, "mlxk%s%s: error: %s\n", cmd ? " " : "", cmd ? cmd->name_cstr : "", e->msg);
    if (e->hint[0]) buf_addf(&b, "%s\n", e->hint);
    cli_tell(&b);
    return 2;
}

static bool cli_main_unknown(struct str word, struct err *e) {
    struct buf names;
    if (cli_command_elsewhere(word)) {
        err_set(e, ERR_USAGE, "argument command: '" STR_FMT "' is not in this client",
                STR_ARG(word));
        return err_hint(e, "the whole mlxk has it");
    }
    buf_init(&names, 4096);
    for (size_t i = 0; cli_command_at(i); i++)
        buf_addf(&names, "%s%s", i ? ", " : "", cli_command_at(i)->name_cstr);
    err_set(e, ERR_USAGE, "argument command: invalid choice: '" STR_FMT "'", STR_ARG(word));
    cli_suggest_command(word, e);
    err_hint(e, "commands: %s", names.failed ? "see mlxk help" : names.p);
    buf_release(&names);
    return false;
}

static int cli_main_no_command(struct cli_context *c) {
    const struct cli_command *help = cli_command_find(STR("help"));
    if (c->out.json) {
        err_set(&c->err, ERR_USAGE, "No command specified");
        cli_fail(c, &c->err, "CommandError");
        return 1;
    }
    char *none[1] = { NULL };
    if (cli_parse(&c->arena, help, 0, none, &c->args, &c->err)) help->run(c);
    cli_flush(c);
    return 2;
}

/* json: asked for outside the command's own arguments. c->out.json says how a parse error is
 * told. */
static int cli_main_run(struct cli_context *c, const struct cli_command *cmd, bool json, int argc,
                        char **argv) {
    if (!cli_parse(&c->arena, cmd, argc, argv, &c->args, &c->err)) {
        struct err e = c->err;
        c->args.command = NULL;
        return cli_main_usage_error(c, cmd, &e);
    }
    if (c->args.help) {
        cli_help(&c->out.text, cmd);
        cli_flush(c);
        return 0;
    }
    c->out.json = c->args.json = c->args.json || json;
    c->args.by_flag = !argv;
    if (c->args.json || c->args.no_color) c->out.color = false;
    if (!strcmp(cmd->group_cstr, CLI_EXPERIMENTAL) && !cli_experimental(cmd->name_cstr, &c->err))
        return cli_fail_plain(c, &c->err, "CommandError");
    if (!cache_open(&c->arena, &c->cache, &c->err)) return cli_fail(c, &c->err, NULL);
    int status = cmd->run(c);
    cli_flush(c);
    if (status == 0 && cli_stopped(c)) status = cli_fail(c, &c->err, NULL);
    return c->out.broken && status == 0 ? 1 : status;
}

/* The command and its arguments out of argv, after the root options. */
static int cli_main_dispatch(struct cli_context *c, int argc, char **argv) {
    struct cli_main_root root = { .n_used = 1 };
    struct str program = os_path_base(argv[0]);
    bool json = str_eq_cstr(program, "mlxk-json"), literal = cli_main_has_json(argc, argv);
    cli_main_setup(c, json || literal);
    if (CLI_HAS_ENGINE && str_eq_cstr(program, "mlx-run"))
        return cli_main_run(c, cli_command_find(STR("run")), json, argc - 1, argv + 1);
    if (!cli_main_root_options(argc, argv, &root, &c->err))
        return cli_main_usage_error(c, NULL, &c->err);
    json = json || root.json;
    if (root.no_color) c->out.color = false;
    if (root.version || root.help)
        return cli_main_run(c, cli_command_find(root.version ? STR("version") : STR("help")),
                            json || literal, 0, NULL);
    if (root.n_used >= argc) return cli_main_no_command(c);
    struct str word = str_cstr(argv[root.n_used]);
    const struct cli_command *cmd = cli_command_find(word);
    if (!cmd) {
        cli_main_unknown(word, &c->err);
        return cli_main_usage_error(c, NULL, &c->err);
    }
    int first = root.n_used + 1;
    return cli_main_run(c, cmd, json, argc - first, argv + first);
}

static void cli_main_log(enum log_level level, struct str line) {
    struct buf b;
    buf_init(&b, 65536);
    buf_addf(&b, "%s: " STR_FMT "\n", log_level_name(level), STR_ARG(line));
    struct err ignored = { 0 };
    if (os_is_tty(2)) (void)os_write(2, "\r\033[K", 4, &ignored);    /* a bar may stand there */
    cli_tell(&b);
}

MLXK_FN int cli_main(int argc, char **argv) {
    static struct cli_context c; /* large (errors, writer); lives as long as the process */
    char *no_name[] = { (char[]){ "mlxk" }, NULL };
    if (argc < 1) {
        argc = 1;
        argv = no_name;
    }
    uint64_t seed;
    os_interrupt_catch(true);            /* to the end: what came of it is told, too */
    os_signals_init();
    os_entropy(&seed, sizeof seed);
    map_seed(seed);
    log_init(os_env_true("HF_DEBUG") ? LOG_DEBUG : LOG_WARN, cli_main_log);
    arena_init(&c.arena, CLI_MAIN_MEMORY);
    c.args.program_cstr = str_dup_cstr(&c.arena, os_path_base(argv[0]));
    int status = cli_main_dispatch(&c, argc, argv);
    cli_flush(&c);
    cli_out_release(&c.out);
    arena_release(&c.arena);
    return status;
}
