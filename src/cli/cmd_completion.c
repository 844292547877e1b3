/* cmd_completion.c: `completion SHELL` prints a script that completes mlxk's words in that shell.
 *
 * Everything in it comes from the table of commands, so a new option completes without a change
 * here. What completes an argument follows from its name in the table: "model" and MODEL are names
 * of models, FILE, DIR and what ends in _dir are files, and so on (cmd_completion_kind). Names of
 * models come from `completion models`, which lists the cache's folders and reads nothing else.
 */
#include "cli/cli.h"

static const struct cli_option cmd_completion_options[] = {
    { "shell", NULL, CLI_TEXT, NULL,
      "bash, zsh or fish; models: the names that the scripts complete", 0, 0, true },
};

enum cmd_completion_kind {
    CMD_COMPLETION_NOTHING, CMD_COMPLETION_MODEL, CMD_COMPLETION_FILE, CMD_COMPLETION_WORDS
};

/* What completes the value of an option, or a positional; *words: the choices, blank between
 * them. */
static enum cmd_completion_kind cmd_completion_kind(const struct cli_option *o,
                                                    const char **words) {
    static const char *const files[] = { "FILE", "DIR", "PATH", "source", "target", "target_dir",
                                         "local_dir" };
    struct str what =
        cli_option_is_named(o) ? str_cstr(o->value_cstr) : cli_option_bare(o);
    *words = "";
    if (str_eq(what, STR("MODEL")) || str_eq(what, STR("model")) || str_eq(what, STR("pattern")))
        return CMD_COMPLETION_MODEL;
    for (size_t i = 0; i < MLXK_COUNT(files); i++)
        if (str_eq_cstr(what, files[i])) return CMD_COMPLETION_FILE;
    if (str_eq(what, STR("LEVEL"))) *words = "debug info warning error";
    if (str_eq(what, STR("shell"))) *words = "bash zsh fish";
    if (str_eq(what, STR("action"))) *words = "update search list show gc push pull";
    return **words ? CMD_COMPLETION_WORDS : CMD_COMPLETION_NOTHING;
}

/* Text with a backslash in front of each byte of `marks`; quotes cannot stand in the result. */
static void cmd_completion_text(struct buf *b, const char *text_cstr, const char *marks_cstr) {
    for (const char *p = text_cstr; *p; p++) {
        if (*p == '\'') {
            buf_add_cstr(b, "’");
            continue;
        }
        if (str_find_char(str_cstr(marks_cstr), *p) >= 0) buf_add_char(b, '\\');
        buf_add_char(b, *p);
    }
}

static void cmd_completion_commands(struct buf *b, const char *between_cstr) {
    for (size_t i = 0; cli_command_at(i); i++)
        buf_addf(b, "%s%s", i ? between_cstr : "", cli_command_at(i)->name_cstr);
}

/* ---- bash (Private) ---- */

/* Options of a kind as a pattern of `case`: --a|--b; false when there are none. */
static bool cmd_completion_pattern(struct buf *b, const struct cli_command *cmd,
                                   enum cmd_completion_kind kind, const char *words) {
    bool any = false;
    for (size_t i = 0; i < cmd->n_options; i++) {
        const struct cli_option *o = &cmd->options[i];
        const char *own;
        if (!cli_option_is_named(o) || o->kind == CLI_FLAG) continue;
        if (cmd_completion_kind(o, &own) != kind || strcmp(own, words) != 0) continue;
        buf_addf(b, "%s%s", any ? "|" : "            ", o->name_cstr);
        if (o->short_cstr) buf_addf(b, "|%s", o->short_cstr);
        any = true;
    }
    return any;
}

static void cmd_completion_bash_command(struct buf *b, const struct cli_command *cmd) {
    const char *words;
    buf_addf(b, "    %s)\n        options='--help --json --no-color", cmd->name_cstr);
    for (size_t i = 0; i < cmd->n_options; i++)
        if (cli_option_is_named(&cmd->options[i]))
            buf_addf(b, " %s", cmd->options[i].name_cstr);
    buf_add_cstr(b, "'\n        valued=' ");
    for (size_t i = 0; i < cmd->n_options; i++) {
        const struct cli_option *o = &cmd->options[i];
        if (!cli_option_is_named(o) || o->kind == CLI_FLAG) continue;
        buf_addf(b, "%s ", o->name_cstr);
        if (o->short_cstr) buf_addf(b, "%s ", o->short_cstr);
    }
    buf_add_cstr(b, "'\n        case $prev in\n");
    if (cmd_completion_pattern(b, cmd, CMD_COMPLETION_MODEL, ""))
        buf_add_cstr(b, ") want=models ;;\n");
    if (cmd_completion_pattern(b, cmd, CMD_COMPLETION_FILE, ""))
        buf_add_cstr(b, ") want=files ;;\n");
    if (cmd_completion_pattern(b, cmd, CMD_COMPLETION_WORDS, "debug info warning error"))
        buf_add_cstr(b, ") want=words words='debug info warning error' ;;\n");
    if (cmd_completion_pattern(b, cmd, CMD_COMPLETION_NOTHING, ""))
        buf_add_cstr(b, ") want=nothing ;;\n");
    buf_add_cstr(b, "        esac\n        kinds='");
    bool any = false;
    for (size_t i = 0; i < cmd->n_options; i++) {
        const struct cli_option *o = &cmd->options[i];
        if (cli_option_is_named(o)) continue;
        enum cmd_completion_kind kind = cmd_completion_kind(o, &words);
        buf_addf(b, "%s%s", any ? " " : "",
                 kind == CMD_COMPLETION_MODEL  ? "models"
                 : kind == CMD_COMPLETION_FILE ? "files"
                 : str_eq(cli_option_bare(o), STR("command")) ? "commands"
                 : kind == CMD_COMPLETION_WORDS                   ? "shells"
                                                                  : "nothing");
        any = true;
    }
    buf_add_cstr(b, "'\n        ;;\n");
}

static void cmd_completion_bash(struct buf *b) {
    buf_add_cstr(b, "# bash: source this file, or put it into\n"
                    "# ~/.local/share/bash-completion/completions/mlxk\n"
                    "_mlxk() {\n"
                    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                    "    local command= options= kinds= valued= want= words= names= at=0 from=0 i\n"
                    "    names='");
    cmd_completion_commands(b, " ");
    buf_add_cstr(b, "'\n    COMPREPLY=()\n"
                    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                    "        case ${COMP_WORDS[i]} in\n"
                    "        -*) ;;\n"
                    "        *) command=${COMP_WORDS[i]} from=$i; break ;;\n"
                    "        esac\n"
                    "    done\n"
                    "    case $command in\n"
                    "    '') options='--help --json --version --no-color' want=commands ;;\n"
                    "    server) command=serve ;;\n    esac\n"
                    "    case $command in\n");
    for (size_t i = 0; cli_command_at(i); i++) cmd_completion_bash_command(b, cli_command_at(i));
    buf_add_cstr(b,
                 "    esac\n"
                 "    if [ -z \"$want\" ]; then\n"
                 "        for ((i = from + 1; i < COMP_CWORD; i++)); do\n"
                 "            case ${COMP_WORDS[i]} in -*) continue ;; esac\n"
                 "            case $valued in *\" ${COMP_WORDS[i-1]} \"*) ;; *) at=$((at + 1)) ;; "
                 "esac\n"
                 "        done\n"
                 "        set -- $kinds\n"
                 "        [ $at -ge $# ] || shift $at\n"
                 "        want=${1:-nothing}\n"
                 "    fi\n"
                 "    case $cur in -*) want=words words=$options ;; esac\n"
                 "    case $want in\n"
                 "    commands) words=$names ;;\n"
                 "    shells) words='bash zsh fish' ;;\n"
                 "    models) words=$(\"${COMP_WORDS[0]}\" completion models 2>/dev/null) ;;\n"
                 "    esac\n"
                 "    case $want in\n"
                 "    nothing) ;;\n"
                 "    files) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
                 "    *)  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                 "        case $want$cur in\n"
                 "        models[./~]*) COMPREPLY+=($(compgen -f -- \"$cur\")) ;;\n"
                 "        esac ;;\n"
                 "    esac\n"
                 "}\n"
                 "complete -o filenames -F _mlxk mlxk mlxk2 mlxk-json\n");
}

/* ---- zsh (Private) ---- */

static void cmd_completion_zsh_action(struct buf *b, const struct cli_option *o) {
    const char *words;
    switch (cmd_completion_kind(o, &words)) {
    case CMD_COMPLETION_MODEL: buf_add_cstr(b, "_mlxk_models"); return;
    case CMD_COMPLETION_FILE: buf_add_cstr(b, "_files"); return;
    case CMD_COMPLETION_WORDS: buf_addf(b, "(%s)", words); return;
    case CMD_COMPLETION_NOTHING: break;
    }
    if (str_eq(cli_option_bare(o), STR("command"))) buf_add_cstr(b, "_mlxk_commands");
}

static void cmd_completion_zsh_option(struct buf *b, const struct cli_option *o) {
    const char *names[] = { o->name_cstr, o->short_cstr };
    for (size_t i = 0; i < MLXK_COUNT(names) && names[i]; i++) {
        bool many = o->kind == CLI_LIST || o->kind == CLI_GREEDY;
        buf_addf(b, " \\\n            '%s%s[", many ? "*" : "", names[i]);
        cmd_completion_text(b, o->help_cstr, "[]:\\");
        buf_add_char(b, ']');
        if (o->kind != CLI_FLAG) {
            buf_addf(b, "%s%s:", o->kind == CLI_MAYBE ? "::" : ":", o->value_cstr);
            cmd_completion_zsh_action(b, o);
        }
        buf_add_char(b, '\'');
    }
}

static void cmd_completion_zsh_command(struct buf *b, const struct cli_command *cmd) {
    buf_addf(b, "    %s%s)\n        _arguments -s", cmd->name_cstr,
             strcmp(cmd->name_cstr, "serve") == 0 ? "|server" : "");
    for (size_t i = 0; i < cmd->n_options; i++) {
        const struct cli_option *o = &cmd->options[i];
        if (cli_option_is_named(o)) {
            cmd_completion_zsh_option(b, o);
            continue;
        }
        struct str bare = cli_option_bare(o);
        buf_addf(b, " \\\n            '%s:" STR_FMT ":",
                 o->kind == CLI_LIST ? "*" : o->name_cstr[0] == '[' ? ":" : "", STR_ARG(bare));
        cmd_completion_zsh_action(b, o);
        buf_add_char(b, '\'');
    }
    buf_add_cstr(b, " \\\n            '--json[print one JSON document]' '--no-color[no colours]'"
                    " \\\n            '(- *)'{-h,--help}'[show this help]'\n        ;;\n");
}

static void cmd_completion_zsh(struct buf *b) {
    buf_add_cstr(b, "#compdef mlxk mlxk2 mlxk-json\n"
                    "# zsh: source this file, or save it as _mlxk in a folder of $fpath\n"
                    "_mlxk_models() {\n"
                    "    local -a names expl\n"
                    "    names=(${(f)\"$(_call_program models $_mlxk_program completion models "
                    "2>/dev/null)\"})\n"
                    "    if [[ $PREFIX == [./~]* ]]; then _files\n"
                    "    else _wanted models expl model compadd -a names; fi\n"
                    "}\n"
                    "_mlxk_commands() {\n"
                    "    local -a commands\n"
                    "    commands=(\n");
    for (size_t i = 0; cli_command_at(i); i++) {
        buf_addf(b, "        '%s:", cli_command_at(i)->name_cstr);
        cmd_completion_text(b, cli_command_at(i)->summary_cstr, ":\\");
        buf_add_cstr(b, "'\n");
    }
    buf_add_cstr(b, "    )\n"
                    "    _describe -t commands command commands\n"
                    "}\n"
                    "_mlxk() {\n"
                    "    local curcontext=$curcontext state line _mlxk_program=$words[1]\n"
                    "    typeset -A opt_args\n"
                    "    _arguments -C '--version[what this binary is]' '--json[print one JSON "
                    "document]' \\\n"
                    "        '(- *)'{-h,--help}'[list the commands]' ':command:_mlxk_commands' "
                    "'*::argument:->rest' && return\n"
                    "    case $line[1] in\n");
    for (size_t i = 0; cli_command_at(i); i++) cmd_completion_zsh_command(b, cli_command_at(i));
    buf_add_cstr(b, "    esac\n"
                    "}\n"
                    "if [ \"$funcstack[1]\" = _mlxk ]; then _mlxk \"$@\"\n"
                    "else compdef _mlxk mlxk mlxk2 mlxk-json; fi\n");
}

/* ---- fish (Private) ---- */

static void cmd_completion_fish_value(struct buf *b, const struct cli_option *o) {
    const char *words;
    switch (cmd_completion_kind(o, &words)) {
    case CMD_COMPLETION_MODEL: buf_add_cstr(b, " -a '(mlxk completion models)'"); break;
    case CMD_COMPLETION_WORDS: buf_addf(b, " -a '%s'", words); break;
    case CMD_COMPLETION_FILE:
    case CMD_COMPLETION_NOTHING: break;
    }
}

static void cmd_completion_fish_command(struct buf *b, const struct cli_command *cmd) {
    const char *name = cmd->name_cstr;
    buf_addf(b, "complete -c mlxk -f -n __fish_use_subcommand -a %s -d '", name);
    cmd_completion_text(b, cmd->summary_cstr, "\\");
    buf_add_cstr(b, "'\n");
    for (size_t i = 0; i < cmd->n_options; i++) {
        const struct cli_option *o = &cmd->options[i];
        const char *words;
        bool file = cmd_completion_kind(o, &words) == CMD_COMPLETION_FILE;
        buf_addf(b, "complete -c mlxk %s -n '__fish_seen_subcommand_from %s'", file ? "-F" : "-f",
                 name);
        if (cli_option_is_named(o)) {
            if (o->short_cstr) buf_addf(b, " -s %s", o->short_cstr + 1);
            buf_addf(b, " -l %s%s -d '", o->name_cstr + 2,
                     o->kind == CLI_FLAG || o->kind == CLI_MAYBE ? "" : " -r");
            cmd_completion_text(b, o->help_cstr, "\\");
            buf_add_char(b, '\'');
        }
        cmd_completion_fish_value(b, o);
        if (str_eq(cli_option_bare(o), STR("command"))) {
            buf_add_cstr(b, " -a '");
            cmd_completion_commands(b, " ");
            buf_add_char(b, '\'');
        }
        buf_add_char(b, '\n');
    }
}

static void cmd_completion_fish(struct buf *b) {
    buf_add_cstr(b, "# fish: save this file as ~/.config/fish/completions/mlxk.fish\n"
                    "complete -c mlxk -f\n"
                    "complete -c mlxk -l json -d 'print one JSON document'\n"
                    "complete -c mlxk -l no-color -d 'no colours'\n"
                    "complete -c mlxk -s h -l help -d 'show help'\n"
                    "complete -c mlxk -n __fish_use_subcommand -l version "
                    "-d 'what this binary is'\n");
    for (size_t i = 0; cli_command_at(i); i++) cmd_completion_fish_command(b, cli_command_at(i));
    buf_add_cstr(b, "for alias in mlxk2 mlxk-json\n    complete -c $alias -w mlxk\nend\n");
}

/* ---- the command (Private) ---- */

/* Full names, and short ones where they are mlx-community's. */
static bool cmd_completion_models(struct cli_context *c) {
    struct cache_model *models;
    size_t n;
    struct str prefix = STR("mlx-community/");
    if (!cache_list_names(&c->arena, &c->cache, STR_EMPTY, &models, &n, &c->err)) return false;
    for (size_t i = 0; i < n; i++) {
        struct str name =
            models[i].display_name.n ? models[i].display_name : models[i].name;
        cli_print(c, STR_FMT "\n", STR_ARG(name));
        if (str_starts(name, prefix))
            cli_print(c, STR_FMT "\n", STR_ARG(str_sub(name, prefix.n, name.n)));
    }
    return true;
}

static int cmd_completion_run(struct cli_context *c) {
    static const struct {
        const char *shell_cstr;
        void (*write)(struct buf *b);
    } shells[] = { { "bash", cmd_completion_bash },
                   { "zsh", cmd_completion_zsh },
                   { "fish", cmd_completion_fish } };
    struct str shell = cli_text(&c->args, "shell");
    if (str_eq(shell, STR("models")) && !c->out.json)
        return cmd_completion_models(c) ? 0 : cli_fail(c, &c->err, NULL);
    for (size_t i = 0; i < MLXK_COUNT(shells); i++) {
        if (!str_eq_cstr(shell, shells[i].shell_cstr)) continue;
        struct buf script;
        buf_init(&script, (size_t)1 << 20);
        shells[i].write(&script);
        bool ok = buf_ok(&script, "the script", &c->err);
        if (ok && !c->out.json) cli_print_str(c, buf_str(&script));
        else if (ok) {
            struct json_writer *w = cli_document(c);
            json_write_object(w);
            json_write_key(w, "shell");
            json_write_str(w, shell);
            json_write_key(w, "script");
            json_write_str(w, buf_str(&script));
            json_write_object_end(w);
            cli_document_end(c);
        }
        buf_release(&script);
        return ok ? 0 : cli_fail(c, &c->err, NULL);
    }
    err_set(&c->err, ERR_USAGE, "argument shell: invalid choice: '" STR_FMT
            "' (choose from bash, zsh, fish)", STR_ARG(shell));
    return cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_completion(void) {
    static const struct cli_command command = {
        "completion",
        "complete mlxk's words in bash, zsh or fish",
        "itself",
        cmd_completion_options,
        MLXK_COUNT(cmd_completion_options),
        "  source <(mlxk completion bash)\n"
        "  mlxk completion fish > ~/.config/fish/completions/mlxk.fish\n",
        cmd_completion_run,
    };
    return &command;
}
