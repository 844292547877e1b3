/* fuzz_cli_args.c: any words as the arguments of any command, and as words that named nothing.
 *
 * The first byte chooses the command, the rest are words divided by line ends. Besides not crashing: a
 * refusal is a usage error that says something; what is accepted can be asked for by every declared
 * name; a suggestion is one of the names that were tried.
 *
 * covers: cli/cli_args.c cli/cli_suggest.c
 */
#include "cli/cli.h"
#include "cli/cli_suggest.h"

int fuzz_cli_args(const uint8_t *data, size_t size);

enum { FUZZ_CLI_WORDS = 64 };

static void fuzz_cli_values(const struct cli_args *args, const struct cli_command *cmd, int argc) {
    for (size_t i = 0; i < cmd->n_options; i++) {
        const struct cli_value *v = cli_get(args, cmd->options[i].name_cstr);
        MLXK_ASSERT(v->n <= (size_t)argc + 1);
        MLXK_ASSERT(v->given || (!v->n && !v->text.n));
        double number = cmd->options[i].kind == CLI_FLOAT ? v->f : (double)v->i;
        bool bounded = cmd->options[i].min != 0.0 || cmd->options[i].max != 0.0;
        if (v->given && bounded)
            MLXK_ASSERT(number >= cmd->options[i].min && number <= cmd->options[i].max);
    }
}

static void fuzz_cli_suggest(struct str word) {
    struct cli_suggest s;
    bool known = false;
    cli_suggest_init(&s, word);
    for (size_t i = 0; cli_command_at(i); i++) {
        struct str name = str_cstr(cli_command_at(i)->name_cstr);
        cli_suggest_try(&s, name, name);
    }
    MLXK_ASSERT(s.n <= MLXK_COUNT(s.best));
    for (size_t k = 0; k < s.n; k++, known = false) {
        for (size_t i = 0; cli_command_at(i); i++)
            known = known || str_eq_cstr(s.best[k], cli_command_at(i)->name_cstr);
        MLXK_ASSERT(known && cli_suggest_distance(word, s.best[k]) <= s.limit);
    }
}

int fuzz_cli_args(const uint8_t *data, size_t size) {
    struct arena a;
    struct err e = { 0 };
    struct cli_args args = { 0 };
    char *argv[FUZZ_CLI_WORDS];
    int argc = 0;
    size_t n_commands = 0;
    if (size < 1 || size > 4096) return 0;
    while (cli_command_at(n_commands)) n_commands++;
    const struct cli_command *cmd = cli_command_at(data[0] % n_commands);
    struct str rest = { (const char *)data + 1, size - 1 };
    arena_init(&a, (size_t)16 << 20);
    while (rest.n && argc < FUZZ_CLI_WORDS) {
        struct str word = str_cut(&rest, '\n');
        word = str_cut(&word, '\0');                 /* no argument holds a NUL */
        fuzz_cli_suggest(word);
        argv[argc++] = str_dup_cstr(&a, word);
    }
    bool ok = cli_parse(&a, cmd, argc, argv, &args, &e);
    if (!ok) MLXK_ASSERT(e.code == ERR_USAGE && e.msg[0]);
    else if (!args.help) fuzz_cli_values(&args, cmd, argc);
    arena_release(&a);
    return 0;
}
