/* tmpl.h: the Jinja subset of chat templates -> prompt text (level 2, pure).
 *
 * Parses once, renders many times. Behaves like Jinja2 3.1 in the environment that transformers
 * sets up: trim_blocks and lstrip_blocks on, immutable sandbox, loopcontrols, `generation` blocks,
 * tojson without HTML escaping, raise_exception, strftime_now; undefined prints empty, an attribute
 * of undefined is an error. Integers have 64 bits. Includes, imports and inheritance are refused.
 *
 * Bounded: steps, output bytes, recursion depth and memory are limited, so no template can run for
 * ever; the worst one ends within about two seconds. The C stack stays below 512 KB.
 * ref    Jinja 3.1 "Template Designer Documentation"
 */
#ifndef MLXK_TMPL_H
#define MLXK_TMPL_H

#include "base/base.h"
#include "json/json.h"

#define TMPL_MAX_SOURCE ((size_t)1 << 20)
#define TMPL_MAX_OUTPUT ((size_t)64 << 20)     /* of any text that is made, too */
#define TMPL_MAX_MEMORY ((size_t)256 << 20)    /* of `scratch`, per render */
#define TMPL_MAX_STEPS  ((uint64_t)50000000)   /* nodes; a 26-message render needs about 10,000 */
enum { TMPL_MAX_DEPTH = 200 };                 /* nesting in the source; of macro calls */

/* A parsed template: immutable, so any number of threads may render it at once. */
struct tmpl;
/* mem    the tree lives in `a`; source is borrowed for as long as the tree is used
 * err    ERR_TEMPLATE: "line L, column C: ..." and, as hint, that line with a caret below;
 *        ERR_LIMIT; ERR_NO_MEMORY */
MLXK_FN struct tmpl *tmpl_parse(struct arena *a, struct str source, struct err *e);

/* Its source with line ends normalised; empty for none. Borrowed. */
MLXK_FN struct str tmpl_source(const struct tmpl *t /* or NULL */);

struct tmpl_clock { int year, month, day, hour, minute, second; };   /* what strftime_now sees */

/* A run of the output: text that came from the caller's values is marked, so that special tokens
 * inside user content can be tokenized as plain text. Runs cover the text without gaps and
 * alternate. Their borders may fall into a word: only special tokens are sought within one run. */
struct tmpl_segment { size_t begin, end; bool from_input; };
struct tmpl_output { struct buf text; struct tmpl_segment *segments; size_t n_segments; };

/* Renders t over the members of the object vars (messages, tools, documents, bos_token, ...).
 *
 * in     vars: borrowed during the call; `tools` and `documents` are none when absent. bos_token,
 *        eos_token and the other special tokens count as template text, all else as input
 * out    out->text (made with buf_init by the caller) is appended to; segments live in scratch
 * mem    scratch: values made while rendering, at most TMPL_MAX_MEMORY; the caller rewinds
 * err    ERR_TEMPLATE as tmpl_parse; a template's own raise_exception gives its message verbatim;
 *        ERR_INVALID (vars is no object), ERR_LIMIT (of out->text), ERR_NO_MEMORY
 * thread one thread per scratch and out */
MLXK_FN bool tmpl_render(const struct tmpl *t, const struct json *vars,
                         const struct tmpl_clock *now, struct arena *scratch,
                         struct tmpl_output *out, struct err *e);

/* The template of a model directory's files: the text of chat_template.jinja wins over
 * chat_template.json, that over tokenizer_config.json; both have it under "chat_template" as a
 * text, a list of {name, template} or an object: `name` if it is there, else "tool_use" when
 * has_tools, else "default". Empty result = the model has none. Borrowed from the arguments. */
MLXK_FN struct str tmpl_choose(struct str jinja_file,
                               const struct json *template_json /* or NULL */,
                               const struct json *tokenizer_config /* or NULL */, struct str name,
                               bool has_tools);

#endif
