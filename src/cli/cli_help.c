/* cli_help.c: usage lines and the help of one command, from its row in the table, within 80
 * columns. */
#include "cli/cli.h"

enum { CLI_HELP_WIDTH = 80, CLI_HELP_COLUMN = 26 };

/* Appends words of `text`, each line broken before CLI_HELP_WIDTH; *column is where the line
 * stands. */
static void cli_help_words(struct buf *b, struct str text, size_t indent, size_t *column) {
    while (text.n) {
        struct str word = str_cut(&text, ' ');
        size_t width = utf8_width(word);
        if (*column > indent && *column + 1 + width > CLI_HELP_WIDTH) {
            buf_addf(b, "\n%*s", (int)indent, "");
            *column = indent;
        } else if (*column > indent) {
            buf_add_char(b, ' ');
            ++*column;
        }
        buf_add(b, word);
        *column += width;
    }
}

/* "[--option VALUE]" or "model": one piece of a usage line, not broken inside. */
static void cli_help_piece(struct buf *b, const struct cli_option *o, size_t indent,
                           size_t *column) {
    struct buf piece;
    struct str bare = cli_option_bare(o);
    buf_init(&piece, 1024);
    if (!cli_option_is_named(o))
        buf_addf(&piece, o->name_cstr[0] == '[' ? "[" STR_FMT "]"
                         : o->kind == CLI_LIST  ? "[" STR_FMT "...]"
                                                : STR_FMT,
                 STR_ARG(bare));
    else if (o->kind == CLI_MAYBE) buf_addf(&piece, "[%s [%s]]", o->name_cstr, o->value_cstr);
    else if (o->value_cstr)
        buf_addf(&piece, "[%s %s%s]", o->name_cstr, o->value_cstr,
                 o->kind == CLI_GREEDY ? "..." : "");
    else buf_addf(&piece, "[%s]", o->name_cstr);
    size_t width = utf8_width(buf_str(&piece));
    if (*column > indent && *column + 1 + width > CLI_HELP_WIDTH) {
        buf_addf(b, "\n%*s", (int)indent, "");
        *column = indent;
    } else {
        buf_add_char(b, ' ');
        ++*column;
    }
    buf_add(b, buf_str(&piece));
    *column += width;
    buf_release(&piece);
}

MLXK_FN void cli_usage(struct buf *b, const struct cli_command *cmd) {
    const struct cli_option *o;
    size_t start = b->n;
    buf_addf(b, "usage: mlxk %s", cmd->name_cstr);
    size_t indent = b->n - start + 1, column = indent - 1;
    for (int named = 1; named >= 0; named--)
        for (size_t i = 0; (o = cli_option_at(cmd, i)); i++)
            if (cli_option_is_named(o) == (named == 1) && strcmp(o->name_cstr, "--no-color") != 0)
                cli_help_piece(b, o, indent, &column);
    buf_add_char(b, '\n');
}

static void cli_help_row(struct buf *b, const struct cli_option *o) {
    size_t start = b->n;
    buf_addf(b, "  %s%s" STR_FMT, o->short_cstr ? o->short_cstr : "", o->short_cstr ? ", " : "",
             STR_ARG(cli_option_bare(o)));
    if (o->value_cstr)
        buf_addf(b, o->kind == CLI_MAYBE ? " [%s]" : " %s", o->value_cstr);
    size_t column = b->n - start;
    if (column + 2 > CLI_HELP_COLUMN) {
        buf_add_char(b, '\n');
        column = 0;
    }
    buf_addf(b, "%*s", (int)(CLI_HELP_COLUMN - column), "");
    column = CLI_HELP_COLUMN;
    cli_help_words(b, str_cstr(o->help_cstr), CLI_HELP_COLUMN, &column);
    buf_add_char(b, '\n');
}

MLXK_FN void cli_help(struct buf *b, const struct cli_command *cmd) {
    const struct cli_option *o;
    cli_usage(b, cmd);
    buf_addf(b, "\n%s\n", cmd->summary_cstr);
    if (!strcmp(cmd->group_cstr, CLI_EXPERIMENTAL))
        buf_add_cstr(b, "Experimental: MLXK_EXPERIMENTAL=1 or MLXK2_ENABLE_ALPHA_FEATURES=1 "
                        "opens it.\n");
    for (int named = 0; named < 2; named++) {
        bool headed = false;
        for (size_t i = 0; (o = cli_option_at(cmd, i)); i++) {
            if (cli_option_is_named(o) != (named == 1)) continue;
            if (!headed) buf_add_cstr(b, named ? "\noptions:\n" : "\narguments:\n");
            headed = true;
            cli_help_row(b, o);
        }
    }
    if (cmd->examples_cstr) buf_addf(b, "\nexamples:\n%s", cmd->examples_cstr);
}
