/* cli_table.c: the commands, in the order in which help lists them. */
#include "cli/cli.h"

typedef const struct cli_command *(*cli_table_row)(void);

#define CLI_TABLE_ROW(name) cmd_##name,
static const cli_table_row cli_table_rows[] = { CLI_COMMANDS(CLI_TABLE_ROW) };
#undef CLI_TABLE_ROW

MLXK_FN const struct cli_command *cli_command_at(size_t i) {
    return i < MLXK_COUNT(cli_table_rows) ? cli_table_rows[i]() : NULL;
}

MLXK_FN const struct cli_command *cli_command_find(struct str name) {
    for (size_t i = 0; cli_command_at(i); i++)
        if (str_eq_cstr(name, cli_command_at(i)->name_cstr)) return cli_command_at(i);
    return NULL;
}
