/* tmpl.h: the Jinja subset of chat templates -> prompt text (level 2, pure).
 *
 * Parses once, renders many times. Behaves like Jinja2 3.1 in the environment that transformers sets up:
 * trim_blocks and lstrip_blocks on, immutable sandbox, loopcontrols, `generation` blocks, tojson without HTML
 * escaping, raise_exception, strftime_now; undefined prints empty, an attribute of undefined is an error.
 * Bounded: steps, output bytes, recursion depth and memory are limited, so that no template can run for ever.
 * ref    engine facts 3.3; templates documentation of Jinja 3.1.
 */
#ifndef MLXK_TMPL_H
#define MLXK_TMPL_H

#include "base/base.h"
#include "json/json.h"

#define TMPL_MAX_SOURCE ((size_t)1 << 20)
#define TMPL_MAX_OUTPUT ((size_t)64 << 20)
#define TMPL_MAX_MEMORY ((size_t)256 << 20)    /* of `scratch`, per render */
#define TMPL_MAX_STEPS  ((uint64_t)50000000)   /* evaluated nodes; a 26-message render needs about 10,000 */
enum { TMPL_MAX_DEPTH = 200 };

struct tmpl;
/* mem: the tree lives in `a`; source is borrowed. err: ERR_TEMPLATE with line, column and a caret line in hint. */
MLXK_FN struct tmpl *tmpl_parse(struct arena *a, struct str source, struct err *e);

struct tmpl_clock { int year, month, day, hour, minute, second; };   /* what strftime_now sees */

/* A run of the output: text that came from the caller's values is marked, so that special tokens inside user
 * content can be tokenized as plain text. */
struct tmpl_segment { size_t begin, end; bool from_input; };
struct tmpl_output { struct buf text; struct tmpl_segment *segments; size_t n_segments; };

/* vars: an object whose members become the context (messages, tools, documents, bos_token, ...; `tools` and
 * `documents` are defined as none when absent). scratch: values made while rendering; caller rewinds.
 * out->text is appended to; segments live in scratch. err: ERR_TEMPLATE; a template's own raise_exception gives
 * its message verbatim as msg. */
MLXK_FN bool tmpl_render(const struct tmpl *t, const struct json *vars, const struct tmpl_clock *now,
                         struct arena *scratch, struct tmpl_output *out, struct err *e);

/* The template of a model directory's files: chat_template.jinja text wins over chat_template.json, then
 * tokenizer_config.json's "chat_template" (a string, or a list of {name, template}: `name`, else "default";
 * "tool_use" when has_tools). Empty result = the model has none. */
MLXK_FN struct str tmpl_choose(struct str jinja_file, const struct json *template_json /* or NULL */,
                               const struct json *tokenizer_config /* or NULL */, struct str name, bool has_tools);

#endif
