/* cli_table.c: the commands, in the order in which help lists them; the switch of the
 * experimental ones. */
#include "cli/cli.h"

typedef const struct cli_command *(*cli_table_row)(void);

#define CLI_TABLE_ROW(name) cmd_##name,
static const cli_table_row cli_table_rows[] = { CLI_COMMANDS(CLI_TABLE_ROW) };
#undef CLI_TABLE_ROW

#ifdef MLXK_CLIENT
#undef CLI_ENGINE
#define CLI_ENGINE(X, name) #name,
#define CLI_TABLE_NOTHING(name)
static const char *const cli_table_elsewhere[] = { CLI_COMMANDS(CLI_TABLE_NOTHING) "server" };
#undef CLI_TABLE_NOTHING
#else
static const char *const cli_table_elsewhere[] = { "" };
#endif

MLXK_FN bool cli_command_elsewhere(struct str name) {
    for (size_t i = 0; i < MLXK_COUNT(cli_table_elsewhere); i++) {
        struct str known = str_cstr(cli_table_elsewhere[i]);
        bool same = known.n && known.n == name.n;
        for (size_t k = 0; same && k < name.n; k++)
            same = known.p[k] == (name.p[k] == '-' ? '_' : name.p[k]);
        if (same) return true;
    }
    return false;
}

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
