/* cli.h: commands, argument parsing, printing (level 7). With serve/ the only room that prints to
 * people.
 *
 * One file per command (cmd_<name>.c) with one entry function and one table row in cli_table.c. A
 * command parses nothing
 * itself: its options are declared as data and arrive in struct cli_args. It prints through struct
 * cli_out, which knows whether the person asked for a table or for one JSON document.
 * Contract of output (product page): results on stdout; errors of the human form on stderr as
 * "<command>: Error: <msg>" and the hint on the next line; with --json exactly one document
 * {"status","command","data","error"} on stdout.
 */
#ifndef MLXK_CLI_H
#define MLXK_CLI_H

#include "base/base.h"
#include "platform/platform.h"
#include "json/json.h"
#include "cache/cache.h"
#include "model/model.h"
#include "engine/engine.h"
#include "chat/chat.h"

/* ---- options as data (cli_args.c): argparse's semantics, mlx-knife facts 1.2 ----------------- */

enum cli_kind {
    CLI_FLAG, CLI_TEXT, CLI_INT, CLI_FLOAT, CLI_SIZE,
    CLI_LIST,                    /* text, repeatable */
    CLI_GREEDY,                  /* one or more words up to the next option, repeatable */
    CLI_MAYBE                    /* text that may be missing: given with empty text */
};
struct cli_option {
    /* "--max-tokens"; positionals have no dash: "model", "prompt..." (rest), "[pattern]"
     * (optional) */
    const char *name_cstr;
    const char *short_cstr;      /* "-f" or NULL */
    enum cli_kind kind;
    const char *value_cstr;      /* "N" in help; NULL for flags; "TEXT", "MESSAGE": may be empty */
    const char *help_cstr;
    double min, max;             /* for CLI_INT and CLI_FLOAT; both 0 = unbounded */
    bool own; /* not upstream's: abbreviations never resolve to it while an upstream option fits */
};
struct cli_value { bool given; struct str text; int64_t i; double f; struct str *list; size_t n; };
struct cli_args {
    const struct cli_command *command;
    struct cli_value *values;    /* one per option of the command, in declaration order */
    /* common to all commands; quiet: --quiet where a command declares it */
    bool json, no_color, quiet, help;
    bool by_flag;                /* no words: `mlxk --version` or `mlxk --help` */
    const char *program_cstr;    /* basename of argv[0] */
};
/* Value of an option by its declared name; asserted to exist. */
MLXK_FN const struct cli_value *cli_get(const struct cli_args *a, const char *name_cstr);
MLXK_FN bool cli_flag(const struct cli_args *a, const char *name_cstr);
/* empty when not given */
MLXK_FN struct str cli_text(const struct cli_args *a, const char *name_cstr);
MLXK_FN int64_t cli_int(const struct cli_args *a, const char *name_cstr, int64_t otherwise);
MLXK_FN double  cli_float(const struct cli_args *a, const char *name_cstr, double otherwise);

/* The group of commands that are labelled experimental and answer only when that is switched on. */
#define CLI_EXPERIMENTAL "experimental"

struct cli_context;              /* below */
struct cli_command {
    const char *name_cstr;
    const char *summary_cstr;    /* one line for the list of commands */
    const char *group_cstr; /* "on disk", "network", "use", "inspect", "itself", CLI_EXPERIMENTAL */
    const struct cli_option *options; size_t n_options;
    const char *examples_cstr;   /* lines for `help NAME` */
    int (*run)(struct cli_context *c);                            /* exit status */
};
/* Parses argv[1..]; fills args, or ERR_USAGE with argparse's sense (names the option or positional;
 * hint: "try ..."). */
MLXK_FN bool cli_parse(struct arena *a, const struct cli_command *cmd, int argc, char **argv,
                       struct cli_args *out, struct err *e);
/* The i-th option or positional: the command's, then those that all commands share; NULL past the
 * end. */
MLXK_FN const struct cli_option *cli_option_at(const struct cli_command *cmd, size_t i);
/* Has dashes: no positional. */
MLXK_FN bool cli_option_is_named(const struct cli_option *o);
/* A positional's name without the brackets or dots of its declaration. */
MLXK_FN struct str cli_option_bare(const struct cli_option *o);
/* "usage: ..." line, and the whole help of a command, appended to b, within 80 columns
 * (cli_help.c). */
MLXK_FN void cli_usage(struct buf *b, const struct cli_command *cmd);
MLXK_FN void cli_help(struct buf *b, const struct cli_command *cmd);

/* ---- output (cli_out.c, cli_table.c) --------------------------------------------------------- */

struct cli_out {
    bool json, color;            /* color: stdout is a terminal, neither NO_COLOR nor --no-color */
    struct buf text;             /* stdout text, written by cli_flush and at the end */
    struct json_writer writer;   /* inside the document while one is open */
    struct buf document;
    size_t data_at;              /* where the value of "data" begins in it */
    bool broken;                 /* stdout refused a write: exit status 1 */
};
MLXK_FN void cli_out_init(struct cli_out *o, bool json, bool color);
MLXK_FN void cli_out_release(struct cli_out *o);
struct cli_context {
    struct arena arena;          /* the command's memory */
    struct cli_args args;
    struct cli_out out;
    struct cache cache;          /* opened for every command; root may not exist */
    struct err err;
    bool settled, stopped;       /* what cli_stopped has answered */
};
/* Human text to stdout; what could steer a terminal is shown as cli_visible shows it.
 * cli_print_str prints as it is. */
MLXK_FN void cli_print(struct cli_context *c, const char *format_cstr, ...) MLXK_PRINTF(2, 3);
MLXK_FN void cli_print_str(struct cli_context *c, struct str s);
/* 1 bold, 31 red, 32 green, 0 off; nothing without colours */
MLXK_FN void cli_color(struct cli_context *c, int sgr);
/* Is there nothing in s that could steer a terminal: controls, directions of writing, bytes that
 * are no UTF-8? one_line: new lines and tabs count as well. */
MLXK_FN bool cli_is_plain(struct str s, bool one_line);
/* Appends s with those shown as text: \x1b, \r, \u202e. */
MLXK_FN void cli_visible(struct buf *out, struct str s, bool one_line);
/* The same as one line: s itself where it is plain, else in a; "?" without memory. */
MLXK_FN struct str cli_line(struct arena *a, struct str s);
/* Makes what stands in b from there on visible. */
MLXK_FN void cli_out_clean(struct buf *b, size_t from);
/* The line, made visible, to stderr in one write; releases it. Threads may call it. */
MLXK_FN void cli_tell(struct buf *line);
/* a line on stderr; silent with --json or --quiet */
MLXK_FN void cli_note(struct cli_context *c, const char *format_cstr, ...) MLXK_PRINTF(2, 3);
MLXK_FN void cli_flush(struct cli_context *c);
/* Opens {"status":"success","command":NAME,"data":  and returns the writer for the data value. */
MLXK_FN struct json_writer *cli_document(struct cli_context *c);
/* Did the user stop the command, though it came to its end? The first answer stays. true: c->err
 * says so. For commands that tell an outcome before their document; cli_document_end and cli_main
 * ask for all others. A server that was told to end was not stopped. */
MLXK_FN bool cli_stopped(struct cli_context *c);
/* Closes the document with "error": null and prints it; returns 0. After cli_stopped: a failure
 * with the same data. */
MLXK_FN int cli_document_end(struct cli_context *c);
/* Prints the failure in e in the asked form and returns its exit status. type_cstr (or NULL)
 * replaces the table's JSON type. An open document is dropped; the failure document has "data":
 * null. */
MLXK_FN int cli_fail(struct cli_context *c, const struct err *e, const char *type_cstr);
/* Prepares w to write the data value of a failure document into text, whose maximum is
 * max_bytes. */
MLXK_FN void cli_data_begin(struct json_writer *w, struct buf *text, size_t max_bytes);
/* With a data value and further members of "error" (raw JSON text: '"matches": [...]'); both may be
 * empty. */
MLXK_FN int cli_fail_data(struct cli_context *c, const struct err *e, const char *type_cstr,
                          struct str data_json, struct str error_extra_json);

/* The same with the hint for people only: upstream's document has no "detail" there. */
MLXK_FN int cli_fail_plain(struct cli_context *c, struct err *e, const char *type_cstr);

/* A table for people: cells as text, right-aligned columns marked; separator as upstream prints
 * it. */
struct cli_grid {
    struct arena *a;
    const char **heads;
    size_t n_columns;
    struct str *cells;
    size_t n_rows, cap_rows;
    uint32_t right_mask;
    bool wraps;                  /* on a terminal: as wide as it is; upstream's tables are not */
    uint32_t spare_mask;         /* columns to leave out where there is no room */
};
MLXK_FN void cli_grid_init(struct cli_grid *g, struct arena *a, const char **heads,
                           size_t n_columns, uint32_t right_mask);
MLXK_FN bool cli_grid_row(struct cli_grid *g, const struct str *cells);
MLXK_FN void cli_grid_print(struct cli_context *c, struct cli_grid *g);

/* A progress line on stderr: only on a terminal, only after 300 ms, redrawn at most 10 times a
 * second, erased at the end. total 0 = unknown. unit: bytes or another noun ("tokens"). Shows bar,
 * done/total, rate, time left. */
struct cli_progress {
    const char *what_cstr;
    uint64_t total, done, start_done;
    int64_t start_ns, drawn_ns;
    bool bytes, shown, enabled;
};
MLXK_FN void cli_progress_begin(struct cli_context *c, struct cli_progress *p,
                                const char *what_cstr, uint64_t total, bool bytes);
MLXK_FN void cli_progress_update(struct cli_progress *p, uint64_t done);
MLXK_FN void cli_progress_end(struct cli_progress *p);

/* A yes-or-no question on stderr, answered by a person: false without a terminal on both ends, with
 * --json or --quiet, and for everything but y and yes. */
MLXK_FN bool cli_ask(struct cli_context *c, const char *format_cstr, ...) MLXK_PRINTF(2, 3);
/* There is a person to ask. */
MLXK_FN bool cli_can_ask(const struct cli_context *c);
/* Raw stdout writes for streamed answers. false when the reader went away. */
MLXK_FN bool cli_stream(struct cli_context *c, struct str piece);

/* ---- shared by commands (cli_model.c) -------------------------------------------------------- */

/* cache_resolve for a MODEL argument: prints nothing; ERR with candidates in the hint. */
MLXK_FN bool cli_resolve(struct cli_context *c, struct str spec, struct cache_model *out,
                         struct cache_matches *matches, struct err *e);
/* Directory of a MODEL argument of which only `file` is needed: a path that holds it need not be a
 * whole model. */
MLXK_FN bool cli_resolve_dir(struct cli_context *c, struct str spec, const char *file_cstr,
                             const char **dir_cstr, struct err *e);
/* For a failure to read a model of `dir`: puts the folder in front of the message unless it is
 * there, and says how to find out what its files are worth unless something better was said.
 * Returns false. */
MLXK_FN bool cli_model_failed(struct cli_context *c, const char *dir_cstr, struct err *e);
/* Tokenizer of a model directory. Reads tokenizer.json and tokenizer_config.json (large file mapped
 * for the arena's life). */
MLXK_FN struct tok *cli_load_tokenizer(struct cli_context *c, const char *dir_cstr,
                                       const struct json **config /* or NULL */, struct err *e);
/* Source of a model's chat template and its tokenizer_config tree (or NULL in *config when absent).
 * err: ERR_UNSUPPORTED when the model has no chat template. */
MLXK_FN bool cli_load_template(struct cli_context *c, const char *dir_cstr, bool has_tools,
                               struct str *source, const struct json **config, struct err *e);
/* Local time, for strftime_now. */
MLXK_FN void cli_clock(struct tmpl_clock *now);
/* A model with its tokenizer, template and a session: what run, bench and logits start from. */
struct cli_engine {
    struct model *model;
    struct tok *tok;
    struct chat chat;
    struct eng_session *session;
    int64_t load_ns;
    struct str name;             /* under which it was found; set by the command, else empty */
};
/* with_template: also parse the chat template (a model without one gets chat.tmpl NULL).
 * mem: tokenizer and template in the command's arena; close with cli_close_model. */
MLXK_FN bool cli_open_model(struct cli_context *c, const char *dir_cstr, bool with_template,
                            const struct eng_options *o, struct cli_engine *out, struct err *e);
MLXK_FN void cli_close_model(struct cli_engine *m);
/* Every non-empty line of standard input to `line`, which writes one compact JSON value; lines come
 * out in order as they are made. */
MLXK_FN bool cli_each_line(struct cli_context *c,
                           bool (*line)(void *ctx, struct str text, struct json_writer *w),
                           void *ctx, struct err *e);
/* "1,2,3" or "[1, 2, 3]" -> ids appended to out. */
MLXK_FN bool cli_parse_ids(struct str text, struct tok_ids *out, struct err *e);

/* ---- table of commands (cli_table.c) and entry (cli_main.c) ---------------------------------- */

MLXK_FN const struct cli_command *cli_command_at(size_t i);       /* NULL past the end */
MLXK_FN const struct cli_command *cli_command_find(struct str name);   /* "server" is serve */
/* A command that the whole program has and this client lacks. */
MLXK_FN bool cli_command_elsewhere(struct str name);
/* True when MLXK_EXPERIMENTAL or its alias MLXK2_ENABLE_ALPHA_FEATURES is 1, true, yes or on; else
 * an ERR_UNSUPPORTED that names `what_cstr`, to be told with cli_fail_plain(c, e,
 * "CommandError"). */
MLXK_FN bool cli_experimental(const char *what_cstr, struct err *e);
/* The whole program: argv[0] name, signals, table look-up, exit status. */
MLXK_FN int cli_main(int argc, char **argv);

/* A client is the same program without the commands that need an engine, its tokenizer or a server,
 * or that publish something (./build.sh client); what only they call is left out by the compiler.
 */
#ifdef MLXK_CLIENT
#define CLI_ENGINE(X, name)
enum { CLI_HAS_ENGINE = 0 };
#else
#define CLI_ENGINE(X, name) X(name)
enum { CLI_HAS_ENGINE = 1 };
#endif

/* One a line, in the order of help. */
#define CLI_COMMANDS(X) \
    X(list) \
    X(show) \
    X(health) \
    X(verify) \
    CLI_ENGINE(X, sign) \
    CLI_ENGINE(X, attest) \
    X(rm) \
    X(du) \
    X(gc) \
    CLI_ENGINE(X, clone) \
    CLI_ENGINE(X, push) \
    CLI_ENGINE(X, diff) \
    CLI_ENGINE(X, store) \
    CLI_ENGINE(X, release) \
    CLI_ENGINE(X, versions) \
    CLI_ENGINE(X, releases) \
    CLI_ENGINE(X, clean_versions) \
    CLI_ENGINE(X, index) \
    CLI_ENGINE(X, from) \
    CLI_ENGINE(X, install) \
    CLI_ENGINE(X, convert) \
    X(pull) \
    X(login) \
    X(logout) \
    X(whoami) \
    CLI_ENGINE(X, mirror) \
    X(copy) \
    X(inspect) \
    X(tags) \
    CLI_ENGINE(X, export) \
    CLI_ENGINE(X, import) \
    CLI_ENGINE(X, run) \
    CLI_ENGINE(X, embed) \
    CLI_ENGINE(X, embed_serve) \
    CLI_ENGINE(X, serve) \
    CLI_ENGINE(X, bench) \
    CLI_ENGINE(X, tokenize) \
    CLI_ENGINE(X, detokenize) \
    CLI_ENGINE(X, template) \
    CLI_ENGINE(X, logits) \
    X(doctor) \
    X(version) \
    X(verify_release) \
    CLI_ENGINE(X, image) \
    X(help) \
    X(completion) \
    /* end */
#define CLI_DECLARE(name) MLXK_FN const struct cli_command *cmd_##name(void);
CLI_COMMANDS(CLI_DECLARE)
#undef CLI_DECLARE

#endif
