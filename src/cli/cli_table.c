/* cli_table.c: the commands, in the order in which help lists them; the switch of the
 * experimental ones. */
#include "cli/cli.h"

typedef const struct cli_command *(*cli_table_row)(void);

#define CLI_TABLE_ROW(name) cmd_##name,
static const cli_table_row cli_table_rows[] = { CLI_COMMANDS(CLI_TABLE_ROW) };
#undef CLI_TABLE_ROW

MLXK_FN const struct cli_command *cli_command_at(size_t i) {
    return i < MLXK_COUNT(cli_table_rows) ? cli_table_rows[i]() : NULL;
}

MLXK_FN const struct cli_command *cli_command_find(struct str name) {
    if (str_eq(name, STR("server"))) name = STR("serve");   /* its name until version 1 */
    for (size_t i = 0; cli_command_at(i); i++)
        if (str_eq_cstr(name, cli_command_at(i)->name_cstr)) return cli_command_at(i);
    return NULL;
}

/* Only a clear yes opens; white space around it does not matter. */
static bool cli_table_yes(const char *name_cstr) {
    static const char *const words[] = { "1", "true", "yes", "on" };
    struct str value = str_trim(str_cstr(os_env(name_cstr)));
    for (size_t i = 0; i < MLXK_COUNT(words); i++)
        if (str_ieq(value, str_cstr(words[i]))) return true;
    return false;
}

MLXK_FN bool cli_experimental(const char *what_cstr, struct err *e) {
    if (cli_table_yes("MLXK_EXPERIMENTAL") || cli_table_yes("MLXK2_ENABLE_ALPHA_FEATURES"))
        return true;
    err_set(e, ERR_UNSUPPORTED, "%s is experimental and requires MLXK2_ENABLE_ALPHA_FEATURES=1",
            what_cstr);
    return err_hint(e, "MLXK_EXPERIMENTAL=1 switches on everything that is experimental");
}
