/* cli_args.c: the command line -> struct cli_args, with the semantics of Python's argparse.
 *
 * Options and positionals interleave; "--opt value" and "--opt=value"; "--" ends options; a unique
 * prefix of a long option stands for it; "-", negative numbers and words with a space are
 * positionals. A positional is declared as "model" (required), "[pattern]" (optional) or
 * "prompt..." (all that is left). Words that fit nowhere are told at the end, after missing ones.
 * It does not print: errors become ERR_USAGE, and asking for help is told apart by args.help.
 *
 * Invariants
 *  1. values[i] belongs to options[i] of the command; the common options have fields of their own.
 *  2. An empty value is an error, but where value_cstr is "TEXT" or "MESSAGE".
 *  3. An exact name always wins; abbreviations prefer upstream's options over our own, so that
 *     scripts written for upstream keep their meaning when options are added here.
 */
#include "cli/cli.h"
#include "cli/cli_suggest.h"

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
    struct buf unknown;          /* words that fit nowhere */
    struct err *e;
};

MLXK_FN bool cli_option_is_named(const struct cli_option *o) { return o->name_cstr[0] == '-'; }

MLXK_FN struct str cli_option_bare(const struct cli_option *o) {
    struct str s = str_cstr(o->name_cstr);
    if (str_starts(s, STR("["))) s = str_sub(s, 1, s.n - 1);
    if (str_ends(s, STR("..."))) s = str_sub(s, 0, s.n - 3);
    return s;
}

MLXK_FN const struct cli_option *cli_option_at(const struct cli_command *cmd, size_t i) {
    if (i < cmd->n_options) return &cmd->options[i];
    i -= cmd->n_options;
    return i < MLXK_COUNT(cli_args_common) ? &cli_args_common[i] : NULL;
}

static void cli_args_unknown(struct cli_args_parser *p, struct str word) {
    buf_addf(&p->unknown, "%s" STR_FMT, p->unknown.n ? " " : "", STR_ARG(word));
}

/* Index of the option meant by `name`: 1 found, 0 none, -1 several (told in e). */
static int cli_args_match(struct cli_args_parser *p, struct str name, size_t *index) {
    size_t found = 0, n_found[2] = { 0, 0 }, first[2] = { 0, 0 };
    struct buf fits;
    bool help = false;
    buf_init(&fits, 1024);
    for (size_t i = 0; cli_option_at(p->command, i); i++) {
        const struct cli_option *o = cli_option_at(p->command, i);
        struct str full = str_cstr(o->name_cstr);
        if (str_eq(full, name) || (o->short_cstr && str_eq_cstr(name, o->short_cstr))) {
            *index = i;
            buf_release(&fits);
            return 1;
        }
        if (!cli_option_is_named(o) || name.n < 3 || !str_starts(full, name))
            continue;
        if (n_found[o->own]++ == 0) first[o->own] = i;
        if (str_eq_cstr(full, "--help")) help = true;      /* named first, as in the usage */
        else buf_addf(&fits, "%s%s", fits.n ? ", " : "", o->name_cstr);
    }
    bool own = n_found[0] == 0;
    found = n_found[own];
    *index = first[own];
    if (found > 1)
        err_set(p->e, ERR_USAGE, "ambiguous option: " STR_FMT " could match %s%s",
                STR_ARG(name), help ? "--help, " : "", fits.failed ? "several options" : fits.p);
    buf_release(&fits);
    return found > 1 ? -1 : (int)found;
}

static bool cli_args_in_range(const struct cli_option *o, double x, struct err *e) {
    if ((o->min == 0.0 && o->max == 0.0) || (x >= o->min && x <= o->max)) return true;
    return err_set(e, ERR_USAGE, "argument %s: %g is outside the allowed range %g to %g",
                   o->name_cstr, x, o->min, o->max);
}

/* An empty value is a script's variable that was not set: without the option something else would
 * be done than was meant. Only words of a person may be empty. */
static bool cli_args_may_be_empty(const struct cli_option *o) {
    if (!cli_option_is_named(o)) return !(o->own && o->name_cstr[0] == '[');
    return strcmp(o->value_cstr, "TEXT") == 0
           || strcmp(o->value_cstr, "MESSAGE") == 0;
}

static bool cli_args_convert(struct cli_args_parser *p, const struct cli_option *o,
                             struct cli_value *v, struct str text) {
    if (!text.n && !cli_args_may_be_empty(o))
        return err_set(p->e, ERR_USAGE, "argument %s: it is empty", o->name_cstr);
    v->text = text;
    v->given = true;
    uint64_t size_bytes;
    switch (o->kind) {
    case CLI_FLAG:
    case CLI_MAYBE:
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
    case CLI_GREEDY:
    case CLI_LIST: v->list[v->n++] = text; return true;
    }
    MLXK_BUG("unknown option kind");
}

/* -3, -.5 and -1.5, as argparse knows them; -1e5 and -inf are options. */
static bool cli_args_is_negative(struct str word) {
    size_t n_dots = 0;
    for (size_t i = 1; i < word.n; i++) {
        if (word.p[i] == '.') n_dots++;
        else if (word.p[i] < '0' || word.p[i] > '9') return false;
    }
    return n_dots == 0 || (n_dots == 1 && word.p[word.n - 1] != '.');
}

/* A word that is no option: none of "-", "-3", "-a b" is one. */
static bool cli_args_is_word(struct str word) {
    return word.n < 2 || word.p[0] != '-' || cli_args_is_negative(word) ||
           (str_find_char(word, ' ') >= 0 && str_find_char(word, '=') < 0);
}

static bool cli_args_next_is_word(const struct cli_args_parser *p) {
    return p->next < p->argc && cli_args_is_word(str_cstr(p->argv[p->next]));
}

/* The words behind an option, as many as its kind wants; rest: what followed its '='. */
static bool cli_args_take_values(struct cli_args_parser *p, const struct cli_option *o,
                                 struct cli_value *v, bool has_value, struct str rest) {
    if (has_value) return cli_args_convert(p, o, v, rest);
    bool any = false, many = o->kind == CLI_GREEDY;
    while (cli_args_next_is_word(p) && (many || !any)) {
        if (!cli_args_convert(p, o, v, str_cstr(p->argv[p->next++]))) return false;
        any = true;
    }
    if (o->kind == CLI_MAYBE) v->given = true;
    return any || o->kind == CLI_MAYBE ||
           err_set(p->e, ERR_USAGE, "argument %s: expected %s argument", o->name_cstr,
                   many ? "at least one" : "one");
}

static bool cli_args_set_flag(struct cli_args_parser *p, size_t i) {
    struct cli_args *args = p->args;
    const char *name_cstr = cli_option_at(p->command, i)->name_cstr;
    if (i < p->command->n_options) args->values[i].given = true;
    else if (!strcmp(name_cstr, "--json")) args->json = true;
    else if (!strcmp(name_cstr, "--help")) args->help = true;
    else args->no_color = true;
    return true;
}

/* Some option of the command is this letter. */
static bool cli_args_is_letter(const struct cli_args_parser *p, char letter) {
    const struct cli_option *o;
    for (size_t i = 0; (o = cli_option_at(p->command, i)); i++)
        if (o->short_cstr && o->short_cstr[1] == letter) return true;
    return false;
}

/* One argument that begins with '-': matches the option and takes its value. Goes into itself
 * once for each letter of -abc. */
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
    int found = cli_args_match(p, name, &i);
    if (found == 0) cli_args_unknown(p, word);
    if (found <= 0) return found == 0;
    const struct cli_option *o = cli_option_at(p->command, i);
    bool letters = has_value && !str_starts(word, STR("--"));
    if (o->kind == CLI_FLAG && letters && cli_args_is_letter(p, rest.p[0])) {   /* -vf is -v -f */
        word = str_concat(p->arena, STR("-"), rest);
        if (!word.p) return err_oom(p->e, rest.n, "the command line");
        cli_args_set_flag(p, i);
        return cli_args_take_option(p, word);
    }
    if (o->kind == CLI_FLAG && has_value)
        return err_set(p->e, ERR_USAGE, "argument %s: ignored explicit argument '" STR_FMT "'",
                       o->name_cstr, STR_ARG(rest));
    if (o->kind == CLI_FLAG) return cli_args_set_flag(p, i);
    return cli_args_take_values(p, o, &p->args->values[i], has_value, rest);
}

static bool cli_args_take_positional(struct cli_args_parser *p, struct str word) {
    size_t seen = 0;
    for (size_t i = 0; i < p->command->n_options; i++) {
        const struct cli_option *o = &p->command->options[i];
        if (cli_option_is_named(o)) continue;
        if (o->kind != CLI_LIST && seen++ < p->n_positional) continue;
        p->n_positional++;
        return cli_args_convert(p, o, &p->args->values[i], word);
    }
    cli_args_unknown(p, word);
    return true;
}

static bool cli_args_check_required(struct cli_args_parser *p) {
    struct buf missing;
    buf_init(&missing, 1024);
    for (size_t i = 0; i < p->command->n_options; i++) {
        const struct cli_option *o = &p->command->options[i];
        bool optional = cli_option_is_named(o) || o->name_cstr[0] == '[' ||
                        str_ends(str_cstr(o->name_cstr), STR("..."));
        if (optional || p->args->values[i].given) continue;
        buf_addf(&missing, "%s" STR_FMT, missing.n ? ", " : "", STR_ARG(cli_option_bare(o)));
    }
    bool ok = missing.n == 0;
    if (!ok)
        err_set(p->e, ERR_USAGE, "the following arguments are required: %s",
                missing.failed ? "several" : missing.p);
    buf_release(&missing);
    return ok;
}

static bool cli_args_prepare(struct arena *a, const struct cli_command *cmd, int argc,
                             struct cli_args *out, struct err *e) {
    out->values = ARENA_ARRAY(a, struct cli_value, cmd->n_options + 1);
    if (!out->values)
        return err_oom(e, cmd->n_options * sizeof(struct cli_value), "the command line");
    for (size_t i = 0; i < cmd->n_options; i++) {
        if (cmd->options[i].kind != CLI_LIST && cmd->options[i].kind != CLI_GREEDY) continue;
        out->values[i].list = ARENA_ARRAY(a, struct str, (size_t)argc + 1);
        if (!out->values[i].list)
            return err_oom(e, (size_t)argc * sizeof(struct str), "the command line");
    }
    return true;
}

/* Every word; false = an error, or help was asked for and the rest does not matter. */
static bool cli_args_take_all(struct cli_args_parser *p) {
    while (p->next < p->argc) {
        struct str word = str_cstr(p->argv[p->next++]);
        bool positional = p->options_ended || cli_args_is_word(word);
        if (!positional && str_eq_cstr(word, "--")) p->options_ended = true;
        else if (positional ? !cli_args_take_positional(p, word) : !cli_args_take_option(p, word))
            return false;
        if (p->args->help) return false;
    }
    return true;
}

/* The option nearest to the first unknown word. */
static void cli_args_suggest(const struct cli_command *cmd, struct str unknown, struct err *e) {
    struct cli_suggest s;
    struct str word = str_cut(&unknown, ' ');
    word = str_cut(&word, '=');
    if (!str_starts(word, STR("--"))) return;
    cli_suggest_init(&s, word);
    const struct cli_option *o;
    for (size_t i = 0; (o = cli_option_at(cmd, i)); i++)
        if (cli_option_is_named(o))
            cli_suggest_try(&s, str_cstr(o->name_cstr), str_cstr(o->name_cstr));
    cli_suggest_hint(&s, e);
}

MLXK_FN bool cli_parse(struct arena *a, const struct cli_command *cmd, int argc, char **argv,
                       struct cli_args *out, struct err *e) {
    struct cli_args_parser p = {
        .command = cmd, .args = out, .arena = a, .argc = argc, .argv = argv, .e = e
    };
    out->command = cmd;
    if (!cli_args_prepare(a, cmd, argc, out, e)) return false;
    buf_init(&p.unknown, (size_t)1 << 20);
    bool ok = cli_args_take_all(&p) && cli_args_check_required(&p);
    if (ok && (p.unknown.n || p.unknown.failed)) {
        ok = err_set(e, ERR_USAGE, "unrecognized arguments: %s",
                     p.unknown.failed ? "many" : p.unknown.p);
        cli_args_suggest(cmd, buf_str(&p.unknown), e);
    }
    buf_release(&p.unknown);
    return ok || out->help;
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
