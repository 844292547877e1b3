/* cli_args.c: the command line -> struct cli_args, with the semantics of Python's argparse.
 *
 * Options and positionals interleave; "--opt value" and "--opt=value"; "--" ends options; a unique
 * prefix of a long option stands for it; "-" and negative numbers are positionals. A positional is
 * declared as "model" (required), "[pattern]" (optional) or "prompt..." (all that is left).
 * It does not print: errors become ERR_USAGE, and asking for help is told apart by args.help.
 *
 * Invariants
 *  1. values[i] belongs to options[i] of the command; the common options have fields of their own.
 *  2. An exact name always wins; abbreviations prefer upstream's options over our own, so that
 *     scripts written for upstream keep their meaning when options are added here.
 */
#include "cli/cli.h"

#include "base/base.h"

static const struct cli_option cli_args_common[] = {
    { "--json", NULL, CLI_FLAG, NULL, "print one JSON document", 0, 0, false },
    { "--help", "-h", CLI_FLAG, NULL, "show this help", 0, 0, false },
    { "--no-color", NULL, CLI_FLAG, NULL, "no colours, also on a terminal", 0, 0, true },
};

struct cli_args_parser {
    const struct cli_command *command;
    struct cli_args *args;
    struct arena *arena;
    int argc, next;
    char **argv;
    bool options_ended;
    size_t n_positional;
    struct err *e;
};

static bool cli_args_is_option_name(const char *name_cstr) { return name_cstr[0] == '-'; }

/* "prompt..." and "[pattern]" without their decoration, as people are told about them. */
static struct str cli_args_bare(const char *name_cstr) {
    struct str s = str_cstr(name_cstr);
    if (str_starts(s, STR("["))) s = str_sub(s, 1, s.n - 1);
    if (str_ends(s, STR("..."))) s = str_sub(s, 0, s.n - 3);
    return s;
}

static const struct cli_option *cli_args_option(const struct cli_command *cmd, size_t i) {
    if (i < cmd->n_options) return &cmd->options[i];
    i -= cmd->n_options;
    return i < MLXK_COUNT(cli_args_common) ? &cli_args_common[i] : NULL;
}

/* Index of the option meant by `name`; candidates are told in e when several fit. */
static bool cli_args_match(struct cli_args_parser *p, struct str name, size_t *index) {
    size_t found = 0, n_found[2] = { 0, 0 }, first[2] = { 0, 0 };
    struct buf fits;
    buf_init(&fits, 1024);
    for (size_t i = 0; cli_args_option(p->command, i); i++) {
        const struct cli_option *o = cli_args_option(p->command, i);
        struct str full = str_cstr(o->name_cstr);
        if (str_eq(full, name) || (o->short_cstr && str_eq_cstr(name, o->short_cstr))) {
            *index = i;
            buf_release(&fits);
            return true;
        }
        if (!cli_args_is_option_name(o->name_cstr) || name.n < 3 || !str_starts(full, name))
            continue;
        if (n_found[o->own]++ == 0) first[o->own] = i;
        buf_addf(&fits, "%s%s", fits.n ? ", " : "", o->name_cstr);
    }
    bool own = n_found[0] == 0;
    found = n_found[own];
    *index = first[own];
    if (found == 0)
        err_set(p->e, ERR_USAGE, "unrecognized arguments: " STR_FMT, STR_ARG(name));
    else if (found > 1)
        err_set(p->e, ERR_USAGE, "ambiguous option: " STR_FMT " could match %s", STR_ARG(name),
                fits.failed ? "several options" : fits.p);
    buf_release(&fits);
    return found == 1;
}

static bool cli_args_in_range(const struct cli_option *o, double x, struct err *e) {
    if ((o->min == 0.0 && o->max == 0.0) || (x >= o->min && x <= o->max)) return true;
    return err_set(e, ERR_USAGE, "argument %s: %g is outside the allowed range %g to %g",
                   o->name_cstr, x, o->min, o->max);
}

static bool cli_args_convert(struct cli_args_parser *p, const struct cli_option *o,
                             struct cli_value *v, struct str text) {
    v->text = text;
    v->given = true;
    uint64_t size_bytes;
    switch (o->kind) {
    case CLI_FLAG:
    case CLI_TEXT: return true;
    case CLI_INT:
        if (!num_parse_i64(text, INT64_MIN, INT64_MAX, &v->i))
            return err_set(p->e, ERR_USAGE, "argument %s: invalid int value: '" STR_FMT "'",
                           o->name_cstr, STR_ARG(text));
        return cli_args_in_range(o, (double)v->i, p->e);
    case CLI_FLOAT:
        if (!num_parse_f64(text, &v->f))
            return err_set(p->e, ERR_USAGE, "argument %s: invalid float value: '" STR_FMT "'",
                           o->name_cstr, STR_ARG(text));
        return cli_args_in_range(o, v->f, p->e);
    case CLI_SIZE:
        if (!num_parse_size(text, &size_bytes) || size_bytes > INT64_MAX)
            return err_set(p->e, ERR_USAGE,
                           "argument %s: invalid size: '" STR_FMT "' (examples: 500MB, 2G, 64KiB)",
                           o->name_cstr, STR_ARG(text));
        v->i = (int64_t)size_bytes;
        return true;
    case CLI_LIST: v->list[v->n++] = text; return true;
    }
    MLXK_BUG("unknown option kind");
}

/* One argument that begins with '-': matches the option and takes its value. */
static bool cli_args_take_option(struct cli_args_parser *p, struct str word) {
    struct str rest = word, name = word;
    bool has_value = false;
    if (str_starts(word, STR("--")) && str_find_char(word, '=') >= 0) {
        name = str_cut(&rest, '=');
        has_value = true;
    } else if (!str_starts(word, STR("--")) && word.n > 2) { /* -fVALUE */
        name = str_sub(word, 0, 2);
        rest = str_sub(word, 2, word.n);
        has_value = true;
    }
    size_t i;
    if (!cli_args_match(p, name, &i)) return false;
    const struct cli_option *o = cli_args_option(p->command, i);
    if (o->kind == CLI_FLAG && has_value)
        return err_set(p->e, ERR_USAGE, "argument %s: ignored explicit argument '" STR_FMT "'",
                       o->name_cstr, STR_ARG(rest));
    if (i >= p->command->n_options) {
        if (str_eq_cstr(str_cstr(o->name_cstr), "--json"))
            p->args->json = true;
        else if (str_eq_cstr(str_cstr(o->name_cstr), "--help"))
            p->args->help = true;
        else
            p->args->no_color = true;
        return true;
    }
    struct cli_value *v = &p->args->values[i];
    if (o->kind == CLI_FLAG) return v->given = true;
    if (!has_value) {
        const char *next = p->next < p->argc ? p->argv[p->next] : NULL;
        double number;
        bool usable =
            next && (next[0] != '-' || next[1] == 0 || num_parse_f64(str_cstr(next), &number));
        if (!usable)
            return err_set(p->e, ERR_USAGE, "argument %s: expected one argument", o->name_cstr);
        rest = str_cstr(next);
        p->next++;
    }
    return cli_args_convert(p, o, v, rest);
}

static bool cli_args_take_positional(struct cli_args_parser *p, struct str word) {
    size_t seen = 0;
    for (size_t i = 0; i < p->command->n_options; i++) {
        const struct cli_option *o = &p->command->options[i];
        if (cli_args_is_option_name(o->name_cstr)) continue;
        if (o->kind != CLI_LIST && seen++ < p->n_positional) continue;
        p->n_positional++;
        return cli_args_convert(p, o, &p->args->values[i], word);
    }
    return err_set(p->e, ERR_USAGE, "unrecognized arguments: " STR_FMT, STR_ARG(word));
}

static bool cli_args_check_required(struct cli_args_parser *p) {
    struct buf missing;
    buf_init(&missing, 1024);
    for (size_t i = 0; i < p->command->n_options; i++) {
        const char *name_cstr = p->command->options[i].name_cstr;
        bool optional = cli_args_is_option_name(name_cstr) || name_cstr[0] == '[' ||
                        str_ends(str_cstr(name_cstr), STR("..."));
        if (optional || p->args->values[i].given) continue;
        buf_addf(&missing, "%s" STR_FMT, missing.n ? ", " : "", STR_ARG(cli_args_bare(name_cstr)));
    }
    bool ok = missing.n == 0;
    if (!ok)
        err_set(p->e, ERR_USAGE, "the following arguments are required: %s",
                missing.failed ? "several" : missing.p);
    buf_release(&missing);
    return ok;
}

MLXK_FN bool cli_parse(struct arena *a, const struct cli_command *cmd, int argc, char **argv,
                       struct cli_args *out, struct err *e) {
    struct cli_args_parser p = {
        .command = cmd, .args = out, .arena = a, .argc = argc, .argv = argv, .e = e
    };
    out->command = cmd;
    out->values = ARENA_ARRAY(a, struct cli_value, cmd->n_options + 1);
    if (!out->values)
        return err_oom(e, cmd->n_options * sizeof(struct cli_value), "the command line");
    for (size_t i = 0; i < cmd->n_options; i++) {
        if (cmd->options[i].kind != CLI_LIST) continue;
        out->values[i].list = ARENA_ARRAY(a, struct str, (size_t)argc + 1);
        if (!out->values[i].list)
            return err_oom(e, (size_t)argc * sizeof(struct str), "the command line");
    }
    while (p.next < argc) {
        struct str word = str_cstr(argv[p.next++]);
        double number;
        bool positional =
            p.options_ended || word.n < 2 || word.p[0] != '-' || num_parse_f64(word, &number);
        if (!positional && str_eq_cstr(word, "--"))
            p.options_ended = true;
        else if (positional ? !cli_args_take_positional(&p, word) : !cli_args_take_option(&p, word))
            return false;
        if (out->help) return true;
    }
    return cli_args_check_required(&p);
}

MLXK_FN const struct cli_value *cli_get(const struct cli_args *a, const char *name_cstr) {
    for (size_t i = 0; i < a->command->n_options; i++)
        if (str_eq(str_cstr(a->command->options[i].name_cstr), str_cstr(name_cstr)))
            return &a->values[i];
    MLXK_BUG("option not declared by its command");
}

MLXK_FN bool cli_flag(const struct cli_args *a, const char *name_cstr) {
    return cli_get(a, name_cstr)->given;
}

MLXK_FN struct str cli_text(const struct cli_args *a, const char *name_cstr) {
    return cli_get(a, name_cstr)->text;
}

MLXK_FN int64_t cli_int(const struct cli_args *a, const char *name_cstr, int64_t otherwise) {
    const struct cli_value *v = cli_get(a, name_cstr);
    return v->given ? v->i : otherwise;
}

MLXK_FN double cli_float(const struct cli_args *a, const char *name_cstr, double otherwise) {
    const struct cli_value *v = cli_get(a, name_cstr);
    return v->given ? v->f : otherwise;
}

/* ---- help texts (Public) ------------------------------------------------------------------------ */

static void cli_args_usage_item(struct buf *b, const struct cli_option *o) {
    bool option = cli_args_is_option_name(o->name_cstr);
    struct str bare = cli_args_bare(o->name_cstr);
    if (!option && o->name_cstr[0] == '[')
        buf_addf(b, " [" STR_FMT "]", STR_ARG(bare));
    else if (!option && o->kind == CLI_LIST)
        buf_addf(b, " [" STR_FMT " ...]", STR_ARG(bare));
    else if (!option)
        buf_addf(b, " " STR_FMT, STR_ARG(bare));
    else if (o->value_cstr)
        buf_addf(b, " [%s %s]", o->name_cstr, o->value_cstr);
    else
        buf_addf(b, " [%s]", o->name_cstr);
}

MLXK_FN void cli_usage(struct buf *b, const struct cli_command *cmd) {
    buf_addf(b, "usage: mlxk %s [-h]", cmd->name_cstr);
    for (size_t i = 0; i < cmd->n_options; i++)
        if (cli_args_is_option_name(cmd->options[i].name_cstr))
            cli_args_usage_item(b, &cmd->options[i]);
    buf_add_cstr(b, " [--json]");
    for (size_t i = 0; i < cmd->n_options; i++)
        if (!cli_args_is_option_name(cmd->options[i].name_cstr))
            cli_args_usage_item(b, &cmd->options[i]);
    buf_add_char(b, '\n');
}

static void cli_args_help_row(struct buf *b, const struct cli_option *o) {
    struct str bare = cli_args_bare(o->name_cstr);
    size_t start = b->n;
    buf_addf(b, "  %s%s" STR_FMT "%s%s", o->short_cstr ? o->short_cstr : "",
             o->short_cstr ? ", " : "", STR_ARG(bare), o->value_cstr ? " " : "",
             o->value_cstr ? o->value_cstr : "");
    size_t width = b->n - start;
    buf_addf(b, "%*s%s\n", width < 28 ? (int)(28 - width) : 2, "", o->help_cstr);
}

MLXK_FN void cli_help(struct buf *b, const struct cli_command *cmd) {
    cli_usage(b, cmd);
    buf_addf(b, "\n%s\n", cmd->summary_cstr);
    for (int options = 0; options < 2; options++) {
        bool headed = false;
        for (size_t i = 0; cli_args_option(cmd, i); i++) {
            const struct cli_option *o = cli_args_option(cmd, i);
            if (cli_args_is_option_name(o->name_cstr) != (options == 1)) continue;
            if (!headed) buf_add_cstr(b, options ? "\noptions:\n" : "\narguments:\n");
            headed = true;
            cli_args_help_row(b, o);
        }
    }
    if (cmd->examples_cstr) buf_addf(b, "\nexamples:\n%s", cmd->examples_cstr);
}
