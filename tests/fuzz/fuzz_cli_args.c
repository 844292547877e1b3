/* fuzz_cli_args.c: any words as the arguments of any command, and as words that named nothing.
 *
 * Words are divided by line ends; the first one chooses the command, by its name or in some way. Besides not crashing: a
 * refusal is a usage error that says something; what is accepted can be asked for by every declared
 * name; a suggestion is one of the names that were tried.
 *
 * covers: cli/cli_args.c cli/cli_suggest.c:cli_suggest_distance cli/cli_suggest.c:cli_suggest_try
 * covers: cli/cli_suggest.c:cli_suggest_hint
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
        switch (cmd->options[i].kind) {
        case CLI_FLAG: MLXK_ASSERT(cli_flag(args, cmd->options[i].name_cstr) == v->given); break;
        case CLI_INT: MLXK_ASSERT(cli_int(args, cmd->options[i].name_cstr, 7) == (v->given ? v->i : 7)); break;
        case CLI_FLOAT: (void)cli_float(args, cmd->options[i].name_cstr, 0.5); break;
        default: MLXK_ASSERT(str_eq(cli_text(args, cmd->options[i].name_cstr), v->text));
        }
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
    struct err e = { 0 };
    err_set(&e, ERR_USAGE, "no such word");
    cli_suggest_hint(&s, &e);
    MLXK_ASSERT(!s.n == !e.hint[0]);
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
    struct str rest = { (const char *)data, size };
    const struct cli_command *cmd = cli_command_find(str_cut(&rest, '\n'));
    if (!cmd) cmd = cli_command_at(data[0] % n_commands);
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
