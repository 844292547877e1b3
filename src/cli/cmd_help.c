/* cmd_help.c: `help` lists the commands by group, `help NAME` tells one in full with examples. */
#include "cli/cli.h"

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
            cli_print(c, "\n");
        }
        headed = true;
        cli_print(c, "  %-12s %s\n", cmd->name_cstr, cmd->summary_cstr);
    }
}

static void cmd_help_all(struct cli_context *c) {
    static const char *const groups[] = { "on disk", "network", "use", "inspect", "itself" };
    cli_print(
        c,
        "usage: mlxk [-h] [--version] [--json] <command> ...\n\n"
        "Language models in MLX (safetensors) format, from one file: pull, verify, import, run.\n");
    for (size_t i = 0; i < MLXK_COUNT(groups); i++) cmd_help_group(c, groups[i]);
    cli_print(c, "\nmlxk help COMMAND tells more; every command takes --json.\n"
                 "MODEL is a path, a name such as org/name, a part of it, or name@revision.\n");
}

static int cmd_help_json(struct cli_context *c) {
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_key(w, "commands");
    json_write_array(w);
    for (size_t i = 0; cli_command_at(i); i++) {
        const struct cli_command *cmd = cli_command_at(i);
        json_write_object(w);
        json_write_key(w, "name");
        json_write_cstr(w, cmd->name_cstr);
        json_write_key(w, "group");
        json_write_cstr(w, cmd->group_cstr);
        json_write_key(w, "summary");
        json_write_cstr(w, cmd->summary_cstr);
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_object_end(w);
    return cli_document_end(c);
}

static int cmd_help_run(struct cli_context *c) {
    struct str name = cli_text(&c->args, "[command]");
    if (c->out.json) return cmd_help_json(c);
    if (name.n == 0) {
        cmd_help_all(c);
        return 0;
    }
    const struct cli_command *cmd = cli_command_find(name);
    if (!cmd) {
        err_set(&c->err, ERR_INVALID, "there is no command '" STR_FMT "'", STR_ARG(name));
        err_hint(&c->err, "mlxk help lists the commands");
        return cli_fail(c, &c->err, NULL);
    }
    cli_help(&c->out.text, cmd);
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
