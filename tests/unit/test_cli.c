/* test_cli.c: the command line as data: argparse's rules, and output that is one document or aligned text. */
#include "test.h"
#include "cli/cli.h"
#include "cli/cli_suggest.h"

static const struct cli_option tcl_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "m", 0, 0, false },
    { "prompt...", NULL, CLI_LIST, NULL, "p", 0, 0, false },
    { "--max-tokens", NULL, CLI_INT, "N", "n", 1, 100, false },
    { "--temperature", "-t", CLI_FLOAT, "X", "x", 0, 2, false },
    { "--no-stream", NULL, CLI_FLAG, NULL, "f", 0, 0, false },
    { "--no-chat-template", NULL, CLI_FLAG, NULL, "f", 0, 0, false },
    { "--stop", NULL, CLI_LIST, "TEXT", "s", 0, 0, true },
    { "--limit-rate", NULL, CLI_SIZE, "SIZE", "r", 0, 0, true },
    { "--image", NULL, CLI_GREEDY, "FILE", "i", 0, 0, false },
    { "--translate", NULL, CLI_MAYBE, "LANG", "l", 0, 0, false },
};
static const struct cli_command tcl_command = { "tcl", "a test", "use", tcl_options, MLXK_COUNT(tcl_options), NULL, NULL };

struct tcl { struct arena arena; struct cli_args args; struct err e; bool ok; };

static void tcl_parse(struct tcl *t, const char *line_cstr) {
    static char *argv[32];
    int argc = 0;
    *t = (struct tcl){ 0 };
    arena_init(&t->arena, 1 << 20);
    struct str rest = str_cstr(line_cstr);
    while (rest.p && rest.n) argv[argc++] = str_dup_cstr(&t->arena, str_cut(&rest, ' '));
    t->ok = cli_parse(&t->arena, &tcl_command, argc, argv, &t->args, &t->e);
}

static void tcl_refused(const char *line_cstr, const char *word_cstr) {
    struct tcl t;
    tcl_parse(&t, line_cstr);
    if (t.ok) test_fail(__FILE__, __LINE__, "'%s' was accepted", line_cstr);
    else if (t.e.code != ERR_USAGE || str_find(str_cstr(t.e.msg), str_cstr(word_cstr)) < 0)
        test_fail(__FILE__, __LINE__, "'%s' gave \"%s\", expected a usage error naming %s", line_cstr, t.e.msg, word_cstr);
    arena_release(&t.arena);
}

TEST(args_are_read_as_argparse_reads_them) {
    struct tcl t;
    tcl_parse(&t, "m --max-tokens 5 hello -t 0.5 big --stop=a --stop b world -- --no-stream");
    CHECK_OK(t.ok, t.e);
    CHECK_STR(cli_text(&t.args, "model"), STR("m"));
    CHECK_EQ(cli_int(&t.args, "--max-tokens", 0), 5);
    CHECK(cli_float(&t.args, "--temperature", 0) == 0.5);
    CHECK(!cli_flag(&t.args, "--no-stream"));
    CHECK_EQ(cli_get(&t.args, "prompt...")->n, 4);
    CHECK_STR(cli_get(&t.args, "prompt...")->list[3], STR("--no-stream"));
    CHECK_EQ(cli_get(&t.args, "--stop")->n, 2);
    arena_release(&t.arena);
    tcl_parse(&t, "m - -5 --limit-rate 1.5MB --json");
    CHECK_OK(t.ok, t.e);
    CHECK(t.args.json);
    CHECK_EQ(cli_int(&t.args, "--limit-rate", 0), 1500000);
    CHECK_STR(cli_get(&t.args, "prompt...")->list[1], STR("-5"));
    arena_release(&t.arena);
}

TEST(args_take_as_many_values_as_their_kind) {
    struct tcl t;
    tcl_parse(&t, "m --image a b --translate --image=c -- hi");
    CHECK_OK(t.ok, t.e);
    CHECK_EQ(cli_get(&t.args, "--image")->n, 3);
    CHECK(cli_get(&t.args, "--translate")->given && !cli_text(&t.args, "--translate").n);
    CHECK_EQ(cli_get(&t.args, "prompt...")->n, 1);
    arena_release(&t.arena);
    tcl_parse(&t, "m --translate de --no-stream hi --zzz -h");
    CHECK(t.ok && t.args.help);    /* help comes before the unknown word */
    CHECK_STR(cli_text(&t.args, "--translate"), STR("de"));
    arena_release(&t.arena);
}

TEST(suggestions_are_near) {
    CHECK_EQ(cli_suggest_distance(STR("list"), STR("lits")), 1);
    CHECK_EQ(cli_suggest_distance(STR("LIST"), STR("list")), 0);
    CHECK_EQ(cli_suggest_distance(STR("pull"), STR("push")), 2);
    CHECK_EQ(cli_suggest_distance(STR(""), STR("abc")), 3);
    struct tcl t;
    tcl_parse(&t, "m --no-steam");
    CHECK(!t.ok && str_eq_cstr(STR("did you mean --no-stream?"), t.e.hint));
    arena_release(&t.arena);
    tcl_parse(&t, "m --qqqqqq");
    CHECK(!t.ok && !t.e.hint[0]);
    arena_release(&t.arena);
}

TEST(args_abbreviate_to_what_upstream_has) {
    struct tcl t;
    tcl_parse(&t, "m --max 7 --no-c --jso");
    CHECK_OK(t.ok, t.e);
    CHECK_EQ(cli_int(&t.args, "--max-tokens", 0), 7);
    CHECK(cli_flag(&t.args, "--no-chat-template"));   /* our --no-color does not make it ambiguous */
    CHECK(t.args.json && !t.args.no_color);
    arena_release(&t.arena);
}

TEST(args_refuse_what_is_wrong) {
    tcl_refused("", "model");
    tcl_refused("m --what", "--what");
    tcl_refused("--what", "model");
    tcl_refused("m --image", "at least one");
    tcl_refused("m --no", "ambiguous");
    tcl_refused("m --max-tokens", "one argument");
    tcl_refused("m --max-tokens x", "invalid int");
    tcl_refused("m --max-tokens 0", "range");
    tcl_refused("m --max-tokens 99999999999999999999", "invalid int");
    tcl_refused("m -t hot", "invalid float");
    tcl_refused("m --limit-rate 5parsecs", "size");
    tcl_refused("m --no-stream=yes", "explicit");
}

/* Runs of white space become one space: help texts are broken into lines. */
static struct str tcl_flat(struct buf *out, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        bool space = s.p[i] == ' ' || s.p[i] == '\n';
        if (!space) buf_add_char(out, s.p[i]);
        else if (out->n && out->p[out->n - 1] != ' ') buf_add_char(out, ' ');
    }
    return buf_str(out);
}

TEST(commands_are_complete) {
    for (size_t i = 0; cli_command_at(i); i++) {
        const struct cli_command *cmd = cli_command_at(i);
        struct buf b, flat;
        buf_init(&b, 65536);
        buf_init(&flat, 65536);
        cli_help(&b, cmd);
        struct str help = tcl_flat(&flat, buf_str(&b));
        CHECK(cli_command_find(str_cstr(cmd->name_cstr)) == cmd);
        CHECK(cmd->run && cmd->summary_cstr[0] && cmd->group_cstr[0]);
        for (size_t k = 0; k < cmd->n_options; k++)
            if (str_find(help, str_cstr(cmd->options[k].help_cstr)) < 0)
                test_fail(__FILE__, __LINE__, "help of %s leaves out %s", cmd->name_cstr,
                          cmd->options[k].name_cstr);
        buf_release(&b);
        buf_release(&flat);
    }
}

TEST(grid_aligns_and_cleans) {
    static const char *heads[] = { "Name", "Size" };
    static struct cli_context c;
    struct cli_grid g;
    arena_init(&c.arena, 1 << 20);
    cli_out_init(&c.out, false, false);
    cli_grid_init(&g, &c.arena, heads, 2, 2);
    cli_grid_row(&g, (struct str[]){ STR("a\033[2Jb"), STR("1KB") });
    cli_grid_row(&g, (struct str[]){ STR("\xe6\xa8\xa1"), STR("12345KB") });
    cli_grid_print(&c, &g);
    CHECK_STR(buf_str(&c.out.text), STR("Name      |    Size\n----------+--------\na\\x1b[2Jb |     1KB\n\xe6\xa8\xa1        | 12345KB\n"));
    cli_out_release(&c.out);
    arena_release(&c.arena);
}

TEST_LIST(cli) { T(args_are_read_as_argparse_reads_them), T(args_take_as_many_values_as_their_kind), T(suggestions_are_near),
    T(args_abbreviate_to_what_upstream_has), T(args_refuse_what_is_wrong),
                 T(commands_are_complete), T(grid_aligns_and_cleans), TEST_END };
