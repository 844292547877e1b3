/* tmpl_int.h: what the files of the template room share.
 *
 * A template is parsed once into an immutable tree (tmpl_lex.c, tmpl_parse.c, tmpl_expr.c) and
 * evaluated by a tree walker (tmpl_eval.c, tmpl_exec.c) over Python-like values.
 *
 * 1. Failure is sticky: the first tmpl_fail sets run->failed; functions that return values return
 *    any value then, and every loop and every side effect checks run->failed.
 * 2. Values are immutable except namespaces, loop objects and the position of iterators; so parts
 *    of the caller's data and of the tree are shared freely.
 * 3. All memory of a run comes from one arena (tmpl_alloc), bounded by TMPL_MAX_MEMORY; nothing is
 *    freed.
 * 4. Work is counted: one step per node, and tmpl_work for whatever walks over bytes or items.
 * 5. Every byte of text knows whether it came from the caller (struct tmpl_span).
 */
#ifndef MLXK_TMPL_INT_H
#define MLXK_TMPL_INT_H

#include "template/tmpl.h"

enum {
    TMPL_MAX_NESTING = 1000,     /* evaluation depth: bounds the C stack (about 400 bytes each) */
    TMPL_MAX_RANGE = 100000,     /* items of one range(), as the sandbox of Jinja has it */
    TMPL_MAX_PARAMS = 6,
};

struct tmpl_run;

/* ---- values ------------------------------------------------------------------------------ */

enum tmpl_kind {
    TMPL_MISSING,                /* no value at all: an absent argument or variable */
    TMPL_UNDEFINED, TMPL_NONE, TMPL_BOOL, TMPL_INT, TMPL_FLOAT,
    TMPL_BIG,                    /* integer beyond 64 bits: printed as given, computed as a float */
    TMPL_TEXT, TMPL_SEQ, TMPL_DICT, TMPL_NAMESPACE, TMPL_MACRO, TMPL_LOOP, TMPL_BOUND, TMPL_SLICE,
};

struct tmpl_val {
    enum tmpl_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double number;
        const struct tmpl_text *text;          /* TEXT, BIG */
        struct tmpl_seq *seq;
        struct tmpl_dict *dict;                /* DICT, NAMESPACE */
        const struct tmpl_undef *undef;
        const struct tmpl_macro *macro;
        struct tmpl_loop *loop;
        const struct tmpl_bound *bound;
        const struct tmpl_slice *slice;
    } u;
};

struct tmpl_span { size_t end; bool from_input; };    /* bytes up to `end` (exclusive) */
/* Without spans the whole text has the flag; with spans the last one reaches to the end or past it.
 * markup: result of safe or escape. grow: the builder that made it, so that adding to the text that
 * a template keeps extending does not copy it each time (tmpl_out_behind). */
struct tmpl_text {
    struct str s;
    const struct tmpl_span *spans;
    size_t n_spans;
    bool from_input, markup;
    struct tmpl_out *grow;       /* or NULL */
};

enum tmpl_flavor {               /* Python's types that are a row of items */
    TMPL_LIST, TMPL_TUPLE, TMPL_RANGE, TMPL_ITEMS, TMPL_KEYS, TMPL_VALUES,
    TMPL_ITER,                   /* generator: always true, no length, can be read once */
    TMPL_GROUP,                  /* groupby's (grouper, list) tuple */
};
struct tmpl_seq {
    enum tmpl_flavor flavor;
    const struct tmpl_val *at;
    size_t n, n_read;            /* n_read: ITER only */
    int64_t start, stop, step;   /* RANGE only, for printing */
};
struct tmpl_pair { struct tmpl_val key, value; uint64_t hash; };
struct tmpl_dict { struct tmpl_pair *at; size_t n, cap; };
struct tmpl_slice { struct tmpl_val from, to, step; };

enum tmpl_undef_why { TMPL_NO_NAME, TMPL_NO_ATTRIBUTE, TMPL_NO_ELEMENT, TMPL_UNSAFE, TMPL_HINT };
struct tmpl_undef {
    enum tmpl_undef_why why;
    const char *owner_cstr;      /* type of the object that was asked, or the HINT's text */
    struct str name;             /* of the variable or attribute */
    struct tmpl_val key;         /* NO_ELEMENT */
};

struct tmpl_macro { const struct tmpl_node *node; struct tmpl_scope *scope; };
struct tmpl_bound { const struct tmpl_entry *entry; struct tmpl_val self; };
struct tmpl_loop {
    const struct tmpl_node *node;
    struct tmpl_scope *scope;    /* where the for statement stands: needed to recurse */
    const struct tmpl_val *at;
    size_t n, index0, depth0;
    struct tmpl_val last_changed;
};

/* ---- calls: filters, tests, methods and global functions -------------------------------- */

struct tmpl_named { struct str name; struct tmpl_val value; };
struct tmpl_args { struct tmpl_val *at; size_t n; struct tmpl_named *named; size_t n_named; };
struct tmpl_call {
    struct tmpl_val self;                      /* subject; MISSING for global functions */
    struct tmpl_val arg[TMPL_MAX_PARAMS];      /* by the entry's params; MISSING when not given */
    const struct tmpl_args *raw;
};
typedef struct tmpl_val tmpl_fn(struct tmpl_run *r, const struct tmpl_call *c);
struct tmpl_entry {
    const char *name_cstr;
    tmpl_fn *fn;
    const char *params_cstr;     /* "width first blank"; NULL = any arguments, read from raw */
    size_t n_required;
};

/* ---- the tree ---------------------------------------------------------------------------- */

enum tmpl_node_kind {
    TMPL_N_CONST, TMPL_N_NAME, TMPL_N_TUPLE, TMPL_N_LIST, TMPL_N_DICT, TMPL_N_COND, TMPL_N_OR,
    TMPL_N_AND, TMPL_N_NOT, TMPL_N_COMPARE, TMPL_N_BINARY, TMPL_N_CONCAT, TMPL_N_NEG, TMPL_N_POS,
    TMPL_N_ATTR, TMPL_N_ITEM, TMPL_N_SLICE, TMPL_N_CALL, TMPL_N_FILTER, TMPL_N_TEST, TMPL_N_NSREF,
    TMPL_N_DATA, TMPL_N_PRINT, TMPL_N_FOR, TMPL_N_IF, TMPL_N_SET, TMPL_N_SET_BLOCK, TMPL_N_MACRO,
    TMPL_N_CALL_BLOCK, TMPL_N_FILTER_BLOCK, TMPL_N_WITH, TMPL_N_SCOPE, TMPL_N_BREAK,
    TMPL_N_CONTINUE,
};

enum tmpl_tok {
    TMPL_T_EOF, TMPL_T_DATA, TMPL_T_VAR_BEGIN, TMPL_T_VAR_END, TMPL_T_BLOCK_BEGIN,
    TMPL_T_BLOCK_END, TMPL_T_NAME, TMPL_T_STRING, TMPL_T_INT, TMPL_T_FLOAT,
    TMPL_T_ADD, TMPL_T_SUB, TMPL_T_MUL, TMPL_T_DIV, TMPL_T_FLOORDIV, TMPL_T_MOD, TMPL_T_POW,
    TMPL_T_TILDE,
    TMPL_T_EQ, TMPL_T_NE, TMPL_T_LT, TMPL_T_LE, TMPL_T_GT, TMPL_T_GE, TMPL_T_IN, TMPL_T_NOT_IN,
    TMPL_T_ASSIGN, TMPL_T_DOT, TMPL_T_COMMA, TMPL_T_COLON, TMPL_T_PIPE, TMPL_T_SEMICOLON,
    TMPL_T_LPAREN, TMPL_T_RPAREN, TMPL_T_LBRACKET, TMPL_T_RBRACKET, TMPL_T_LBRACE, TMPL_T_RBRACE,
};

/* Lists linked by next. */
struct tmpl_node_args { struct tmpl_node *pos, *named, *star, *star2; };


/* Who uses which field:
 *   CONST value · NAME/NSREF sym, name · TUPLE/LIST/CONCAT list · DICT list (key, value, ...)
 *   COND b if a else c · OR/AND/BINARY a op b · COMPARE a, list of operands with op ·
 * NOT/NEG/POS a
 *   ATTR a.name · ITEM a[b] · SLICE a:b:c · CALL a(args)
 *   FILTER/TEST a (NULL = value of the block), name, entry, args
 *   DATA name · PRINT a · IF list of branches (a or NULL, list) · SCOPE list
 *   FOR a in b if c: list else list2 · SET a = b · SET_BLOCK a, filters b, list · FILTER_BLOCK
 * b, list
 *   MACRO sym, parameters list2 (NAME, default in a), list · CALL_BLOCK call a, parameters
 * list2, list
 *   WITH list2 (SET nodes), list */
struct tmpl_node {
    enum tmpl_node_kind kind;
    enum tmpl_tok op;
    bool recursive, takes_caller, takes_varargs, takes_kwargs;
    uint32_t pos, sym;
    struct str name;
    struct tmpl_node *next, *a, *b, *c, *list, *list2;
    const struct tmpl_entry *entry;            /* FILTER, TEST: NULL = unknown name */
    const struct tmpl_node_args *args;
    struct tmpl_val value;
};

struct tmpl {
    struct str source;                         /* line ends normalised */
    const struct tmpl_node *body;
    const struct str *names;                   /* by symbol number */
    size_t n_names;
    uint32_t sym_loop, sym_caller, sym_varargs, sym_kwargs;
};

/* ---- reading the source (tmpl_lex.c, tmpl_parse.c, tmpl_expr.c) ---------------------------- */

struct tmpl_token {
    enum tmpl_tok kind;
    uint32_t pos;
    struct str text;
    int64_t integer;
    double number;
};
struct tmpl_lexer {
    struct arena *a;
    struct err *e;
    struct str src;
    size_t pos;
    enum tmpl_tok mode;                        /* DATA, VAR_BEGIN or BLOCK_BEGIN: where we are */
    bool line_start, at_tag;
    size_t n_open;
    char open[TMPL_MAX_DEPTH];                 /* closing brackets that are owed */
};
struct tmpl_parser {
    struct tmpl_lexer lex;
    struct tmpl_token now, ahead;
    bool has_ahead, failed;
    struct map symbols;
    struct str *names;
    size_t cap_names, depth, loops;
    struct tmpl_node *macro;                   /* innermost open macro; its next: around it */
};

MLXK_FN struct str tmpl_lex_source(struct arena *a, struct str source, struct err *e);
MLXK_FN bool tmpl_lex_next(struct tmpl_lexer *x, struct tmpl_token *t);
/* ERR_TEMPLATE "line L, column C: msg" with the source line and a caret as hint; returns false. */
MLXK_FN bool tmpl_err_at(struct err *e, struct str source, size_t pos, const char *msg_cstr);
MLXK_FN bool tmpl_syntax(struct tmpl_parser *p, size_t pos, const char *format_cstr, ...)
    MLXK_PRINTF(3, 4);

MLXK_FN void tmpl_advance(struct tmpl_parser *p);
MLXK_FN const struct tmpl_token *tmpl_look(struct tmpl_parser *p);
MLXK_FN bool tmpl_at_name(const struct tmpl_parser *p, const char *name_cstr);
MLXK_FN bool tmpl_skip_name(struct tmpl_parser *p, const char *name_cstr);
MLXK_FN bool tmpl_skip(struct tmpl_parser *p, enum tmpl_tok kind);
MLXK_FN bool tmpl_expect(struct tmpl_parser *p, enum tmpl_tok kind);
MLXK_FN bool tmpl_enter(struct tmpl_parser *p);          /* depth + 1, false at TMPL_MAX_DEPTH */
MLXK_FN void tmpl_leave(struct tmpl_parser *p);
MLXK_FN struct tmpl_node *tmpl_node_new(struct tmpl_parser *p, enum tmpl_node_kind kind,
                                        size_t pos);
MLXK_FN uint32_t tmpl_symbol(struct tmpl_parser *p, struct str name);
MLXK_FN struct tmpl_node *tmpl_expr(struct tmpl_parser *p, bool with_cond);
enum tmpl_tuple_mode {
    TMPL_TUPLE_PLAIN, TMPL_TUPLE_NO_COND, TMPL_TUPLE_TARGET, TMPL_TUPLE_TARGET_NS, TMPL_TUPLE_PAREN,
};
MLXK_FN struct tmpl_node *tmpl_expr_tuple(struct tmpl_parser *p, enum tmpl_tuple_mode mode,
                                          const char *end_name_cstr);
MLXK_FN struct tmpl_node *tmpl_expr_filters(struct tmpl_parser *p, struct tmpl_node *subject,
                                            bool inline_start);

/* ---- running ------------------------------------------------------------------------------ */

struct tmpl_slot { uint32_t sym; struct tmpl_val value; };
struct tmpl_scope {
    struct tmpl_scope *parent;
    struct tmpl_slot *at;
    size_t n, cap;
    bool captured;                             /* a macro holds it: not to be used again */
};

/* Text being built: arena memory that doubles. */
struct tmpl_out { char *p; size_t n, cap; struct tmpl_span *spans; size_t n_spans, cap_spans; };

struct tmpl_run {
    const struct tmpl *t;
    struct arena *a;
    struct err *e;
    bool failed;
    size_t start_bytes;                        /* the arena's use before this run */
    uint64_t steps;
    size_t depth, calls;
    const struct tmpl_node *at;                /* what is being evaluated, for messages */
    struct tmpl_out *out;
    struct tmpl_scope *scope;                  /* NULL = top level */
    struct tmpl_val *root;                     /* top-level variables by symbol */
    struct tmpl_val block;                     /* subject of the filters of a block */
    const struct tmpl_clock *now;
};

/* tmpl_value.c */
MLXK_FN void tmpl_fail(struct tmpl_run *r, const char *format_cstr, ...) MLXK_PRINTF(2, 3);
/* Zeroed; NULL when failed. */
MLXK_FN void *tmpl_alloc(struct tmpl_run *r, size_t count, size_t size_bytes);
/* Charges work: one unit is one evaluated node, 16 to 64 bytes looked at, or 8 items copied.
 * False when failed, so that loops can stop on it. */
MLXK_FN bool tmpl_work(struct tmpl_run *r, size_t units);
/* One level deeper and one step more; every call is paired with r->depth--, also when it fails. */
MLXK_FN bool tmpl_deeper(struct tmpl_run *r);
MLXK_FN struct tmpl_val tmpl_none(void);
MLXK_FN struct tmpl_val tmpl_bool(bool b);
MLXK_FN struct tmpl_val tmpl_int(int64_t i);
MLXK_FN struct tmpl_val tmpl_float(double f);
MLXK_FN struct tmpl_val tmpl_seq_of(struct tmpl_run *r, enum tmpl_flavor flavor,
                                    const struct tmpl_val *at, size_t n);
MLXK_FN struct tmpl_val tmpl_pair_of(struct tmpl_run *r, struct tmpl_val x, struct tmpl_val y);
MLXK_FN struct tmpl_val tmpl_undef_of(struct tmpl_run *r, enum tmpl_undef_why why,
                                      const char *owner_cstr, struct str name);
MLXK_FN struct tmpl_val tmpl_undef_key(struct tmpl_run *r, struct tmpl_val owner,
                                       struct tmpl_val key);
MLXK_FN void tmpl_fail_undef(struct tmpl_run *r, const struct tmpl_undef *u);
/* Python's type name. */
MLXK_FN const char *tmpl_type(struct tmpl_val v);
MLXK_FN bool tmpl_truth(struct tmpl_val v);
/* bool, int or float */
MLXK_FN bool tmpl_is_number(struct tmpl_val v);
MLXK_FN bool tmpl_as_int(struct tmpl_val v, int64_t *out);                        /* int or bool */
/* v: tmpl_is_number */
MLXK_FN double tmpl_as_float(struct tmpl_val v);
MLXK_FN bool tmpl_equal(struct tmpl_run *r, struct tmpl_val x, struct tmpl_val y);
/* -1, 0, 1; 2 = not comparable (nan); fails for types without an order. op_cstr: for messages. */
MLXK_FN int tmpl_order(struct tmpl_run *r, struct tmpl_val x, struct tmpl_val y,
                       const char *op_cstr);
MLXK_FN bool tmpl_contains(struct tmpl_run *r, struct tmpl_val box, struct tmpl_val item);
MLXK_FN struct tmpl_dict *tmpl_dict_new(struct tmpl_run *r, size_t cap);
MLXK_FN const struct tmpl_val *tmpl_dict_get(struct tmpl_run *r, const struct tmpl_dict *d,
                                             struct tmpl_val key);
MLXK_FN const struct tmpl_val *tmpl_dict_get_str(const struct tmpl_dict *d, struct str key);
MLXK_FN void tmpl_dict_put(struct tmpl_run *r, struct tmpl_dict *d, struct tmpl_val key,
                           struct tmpl_val value);
MLXK_FN struct tmpl_val tmpl_dict_row(struct tmpl_run *r, const struct tmpl_dict *d,
                                      enum tmpl_flavor flavor);
MLXK_FN struct tmpl_val tmpl_dict_val(struct tmpl_dict *d);
/* All items of anything that can be looped over; an iterator is used up. Fails for other values. */
MLXK_FN bool tmpl_items(struct tmpl_run *r, struct tmpl_val v, const struct tmpl_val **at,
                        size_t *n);
MLXK_FN bool tmpl_iterable(struct tmpl_val v);
/* False when it has no length (numbers, none, generators). */
MLXK_FN bool tmpl_length(struct tmpl_val v, size_t *n);
MLXK_FN struct tmpl_val tmpl_from_json(struct tmpl_run *r, const struct json *j, bool from_input);

/* tmpl_access.c */
MLXK_FN struct tmpl_val tmpl_attr(struct tmpl_run *r, struct tmpl_val obj, struct str name);
MLXK_FN struct tmpl_val tmpl_item(struct tmpl_run *r, struct tmpl_val obj, struct tmpl_val key);
MLXK_FN struct tmpl_val tmpl_invoke(struct tmpl_run *r, const struct tmpl_entry *entry,
                                    struct tmpl_val self, const struct tmpl_args *args);
MLXK_FN const struct tmpl_entry *tmpl_entry_find(const struct tmpl_entry *table, size_t n,
                                                 struct str name);
/* Integer argument: `absent` when MISSING or none; fails for other types. */
MLXK_FN int64_t tmpl_arg_int(struct tmpl_run *r, struct tmpl_val v, int64_t absent);

/* tmpl_text.c */
MLXK_FN struct tmpl_val tmpl_text_of(struct tmpl_run *r, struct str s, bool from_input);
MLXK_FN struct tmpl_val tmpl_text_val(const struct tmpl_text *t);
MLXK_FN const struct tmpl_text *tmpl_text_sub(struct tmpl_run *r, const struct tmpl_text *t,
                                              size_t from, size_t to);
MLXK_FN struct tmpl_val tmpl_text_cut(struct tmpl_run *r, const struct tmpl_text *t, size_t from,
                                      size_t to);
MLXK_FN bool tmpl_text_any_input(const struct tmpl_text *t);
/* Reserves room; false when failed. */
MLXK_FN bool tmpl_out_room(struct tmpl_run *r, struct tmpl_out *o, size_t more);
MLXK_FN void tmpl_out_add(struct tmpl_run *r, struct tmpl_out *o, struct str s, bool from_input);
MLXK_FN void tmpl_out_text(struct tmpl_run *r, struct tmpl_out *o, const struct tmpl_text *t);
MLXK_FN void tmpl_out_part(struct tmpl_run *r, struct tmpl_out *o, const struct tmpl_text *t,
                           size_t from, size_t to);
MLXK_FN void tmpl_out_pad(struct tmpl_run *r, struct tmpl_out *o, char c, size_t n);
MLXK_FN struct tmpl_val tmpl_out_val(struct tmpl_run *r, struct tmpl_out *o);
/* A builder that holds t and has room for `more`: t's own when nothing was added to it since, else
 * a copy. Nothing may be evaluated until tmpl_out_grown has made the result. NULL when failed. */
MLXK_FN struct tmpl_out *tmpl_out_behind(struct tmpl_run *r, const struct tmpl_text *t,
                                         size_t more);
MLXK_FN struct tmpl_val tmpl_out_grown(struct tmpl_run *r, struct tmpl_out *o);
/* Start of the white space that ends at `end`. */
MLXK_FN size_t tmpl_space_before(struct str s, size_t end);
/* End of the white space that begins at `begin`. */
MLXK_FN size_t tmpl_space_after(struct str s, size_t begin);
MLXK_FN size_t tmpl_count(struct tmpl_run *r, struct str s);   /* code points */
/* Byte offset of a code point, s.n past the end. */
MLXK_FN size_t tmpl_offset(struct str s, size_t index);
/* strip(chars): what to remove; chars NULL = white space. left, right: which ends. */
MLXK_FN struct tmpl_val tmpl_strip(struct tmpl_run *r, const struct tmpl_text *t,
                                   const struct tmpl_text *chars /* or NULL */, bool left,
                                   bool right);
enum tmpl_case {
    TMPL_UPPER, TMPL_LOWER, TMPL_SWAP, TMPL_TITLE, TMPL_CAPITALIZE, TMPL_FILTER_TITLE,
};
MLXK_FN struct tmpl_val tmpl_recase(struct tmpl_run *r, const struct tmpl_text *t,
                                    enum tmpl_case how);

/* tmpl_unicode.c */
MLXK_FN bool tmpl_is_space(uint32_t cp);
MLXK_FN uint32_t tmpl_upper(uint32_t cp);
MLXK_FN uint32_t tmpl_lower(uint32_t cp);
MLXK_FN bool tmpl_is_alpha(uint32_t cp);
MLXK_FN bool tmpl_is_digit(uint32_t cp);
MLXK_FN bool tmpl_is_printable(uint32_t cp);

/* tmpl_tojson.c */
/* Str(v). */
MLXK_FN const struct tmpl_text *tmpl_str(struct tmpl_run *r, struct tmpl_val v);
/* Repr(v). */
MLXK_FN void tmpl_repr(struct tmpl_run *r, struct tmpl_out *o, struct tmpl_val v);
/* Str(v) appended. */
MLXK_FN void tmpl_print(struct tmpl_run *r, struct tmpl_out *o, struct tmpl_val v);
MLXK_FN struct tmpl_val tmpl_tojson(struct tmpl_run *r, const struct tmpl_call *c);

/* tmpl_format.c */
MLXK_FN struct tmpl_val tmpl_percent(struct tmpl_run *r, const struct tmpl_text *format,
                                     struct tmpl_val args);
MLXK_FN struct tmpl_val tmpl_format(struct tmpl_run *r, const struct tmpl_text *format,
                                    const struct tmpl_args *args);

/* tmpl_clock.c */
MLXK_FN struct tmpl_val tmpl_strftime(struct tmpl_run *r, const struct tmpl_call *c);

/* tmpl_methods.c, tmpl_filters.c, tmpl_seqfilters.c, tmpl_tests.c */
MLXK_FN const struct tmpl_entry *tmpl_method(struct tmpl_val obj, struct str name);
MLXK_FN bool tmpl_method_mutates(struct tmpl_val obj, struct str name);
MLXK_FN struct tmpl_val tmpl_replace(struct tmpl_run *r, const struct tmpl_text *t,
                                     const struct tmpl_text *old, const struct tmpl_text *with,
                                     int64_t max);
MLXK_FN struct tmpl_val tmpl_split_lines(struct tmpl_run *r, const struct tmpl_text *t,
                                         bool keep_ends);
/* & < > " '. */
MLXK_FN struct tmpl_val tmpl_escape(struct tmpl_run *r, const struct tmpl_text *t, bool force);
MLXK_FN const struct tmpl_entry *tmpl_filter(struct str name);
MLXK_FN const struct tmpl_entry *tmpl_seq_filter(struct str name);
MLXK_FN const struct tmpl_entry *tmpl_test(struct str name);
MLXK_FN const struct tmpl_entry *tmpl_global(struct str name);

/* tmpl_eval.c, tmpl_exec.c */
MLXK_FN struct tmpl_val tmpl_eval(struct tmpl_run *r, const struct tmpl_node *n);
MLXK_FN struct tmpl_val tmpl_binary(struct tmpl_run *r, enum tmpl_tok op, struct tmpl_val x,
                                    struct tmpl_val y);
MLXK_FN bool tmpl_compare(struct tmpl_run *r, enum tmpl_tok op, struct tmpl_val x,
                          struct tmpl_val y);
MLXK_FN bool tmpl_eval_args(struct tmpl_run *r, const struct tmpl_node_args *from,
                            struct tmpl_args *to);
MLXK_FN struct tmpl_val tmpl_call_val(struct tmpl_run *r, struct tmpl_val fn,
                                      const struct tmpl_args *args);
enum tmpl_flow { TMPL_GO_ON, TMPL_BREAK, TMPL_CONTINUE };
MLXK_FN enum tmpl_flow tmpl_exec(struct tmpl_run *r, const struct tmpl_node *list);
MLXK_FN struct tmpl_val tmpl_call_macro(struct tmpl_run *r, const struct tmpl_macro *m,
                                        const struct tmpl_args *args);
MLXK_FN struct tmpl_val tmpl_recurse(struct tmpl_run *r, struct tmpl_loop *loop,
                                     struct tmpl_val items);
MLXK_FN struct tmpl_val tmpl_loop_attr(struct tmpl_run *r, struct tmpl_val loop, struct str name);

#endif
