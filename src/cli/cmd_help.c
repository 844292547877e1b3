/* cmd_help.c: `help` lists the commands by group, `help NAME` tells one in full with examples. */
#include "cli/cli.h"
#include "cli/cli_suggest.h"

static const struct cli_option cmd_help_options[] = {
    { "[command]", NULL, CLI_TEXT, NULL, "a command's name", 0, 0, true },
};

static void cmd_help_group(struct cli_context *c, const char *group_cstr) {
    bool headed = false;
    for (size_t i = 0; cli_command_at(i); i++) {
        const struct cli_command *cmd = cli_command_at(i);
        if (strcmp(cmd->group_cstr, group_cstr) != 0) continue;
        if (!headed) {
            cli_print(c, "\n");
            cli_color(c, 1);
            cli_print(c, "%s", group_cstr);
            cli_color(c, 0);
            cli_print(c, strcmp(group_cstr, CLI_EXPERIMENTAL) ? "\n"
                                                              : " (MLXK_EXPERIMENTAL=1)\n");
        }
        headed = true;
        cli_print(c, "  %-14s %s\n", cmd->name_cstr, cmd->summary_cstr);
    }
}

static void cmd_help_all(struct cli_context *c) {
    static const char *const groups[] = { "on disk", "network",        "use",   "versions",
                                          "inspect", CLI_EXPERIMENTAL, "itself" };
    cli_print(
        c,
        "usage: mlxk [-h] [--version] [--json] <command> ...\n\n"
        "Language models in MLX (safetensors) format, from one file: pull, verify, import, run.\n");
    for (size_t i = 0; i < MLXK_COUNT(groups); i++) cmd_help_group(c, groups[i]);
    cli_print(c, "\nmlxk help COMMAND tells more; every command takes --json.\n"
                 "MODEL is a path, a name such as org/name, a part of it, or name@revision.\n");
}

static void cmd_help_json_options(struct json_writer *w, const struct cli_command *cmd) {
    json_write_key(w, "options");
    json_write_array(w);
    for (size_t i = 0; i < cmd->n_options; i++) {
        const struct cli_option *o = &cmd->options[i];
        json_write_object(w);
        json_write_key(w, "name");
        json_write_str(w, cli_option_bare(o));
        json_write_key(w, "short");
        json_write_cstr(w, o->short_cstr);
        json_write_key(w, "value");
        json_write_cstr(w, o->value_cstr);
        json_write_key(w, "help");
        json_write_cstr(w, o->help_cstr);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

/* One command, or all of them. */
static int cmd_help_json(struct cli_context *c, const struct cli_command *only) {
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_key(w, "commands");
    json_write_array(w);
    for (size_t i = 0; cli_command_at(i); i++) {
        const struct cli_command *cmd = cli_command_at(i);
        if (only && cmd != only) continue;
        json_write_object(w);
        json_write_key(w, "name");
        json_write_cstr(w, cmd->name_cstr);
        json_write_key(w, "group");
        json_write_cstr(w, cmd->group_cstr);
        json_write_key(w, "experimental");
        json_write_bool(w, !strcmp(cmd->group_cstr, CLI_EXPERIMENTAL) ||
                               strstr(cmd->summary_cstr, "(experimental)"));
        json_write_key(w, "summary");
        json_write_cstr(w, cmd->summary_cstr);
        cmd_help_json_options(w, cmd);
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_object_end(w);
    return cli_document_end(c);
}

static int cmd_help_run(struct cli_context *c) {
    struct str name = cli_text(&c->args, "[command]");
    const struct cli_command *cmd = name.n ? cli_command_find(name) : NULL;
    if (name.n && !cmd) {
        err_set(&c->err, ERR_INVALID, "there is no command '" STR_FMT "'", STR_ARG(name));
        cli_suggest_command(name, &c->err);
        err_hint(&c->err, "mlxk help lists the commands");
        return cli_fail(c, &c->err, NULL);
    }
    if (c->out.json) return cmd_help_json(c, cmd);
    if (cmd) cli_help(&c->out.text, cmd);
    else cmd_help_all(c);
    return 0;
}

MLXK_FN const struct cli_command *cmd_help(void) {
    static const struct cli_command command = {
        "help",           "list the commands, or explain one", "itself",
        cmd_help_options, MLXK_COUNT(cmd_help_options),        "  mlxk help\n  mlxk help run\n",
        cmd_help_run,
    };
    return &command;
}
