/* cli_line.h: lines typed by a person (editing, history) or read from a pipe. */
#ifndef MLXK_CLI_LINE_H
#define MLXK_CLI_LINE_H

#include "base/base.h"

struct cli_line {
    bool terminal;               /* stdin and stdout are terminals: editing and history */
    const char *prompt_cstr, *history_cstr /* file, or NULL */;
    struct buf text;             /* the current line; on pipes also what was read past it */
    size_t consumed;
    bool at_end;
};
/* One at a time per process (the editor keeps its history globally). history_cstr: file of earlier
 * lines, 0600, or NULL. */
MLXK_FN void cli_line_open(struct cli_line *l, const char *prompt_cstr,
                           const char *history_cstr /* or NULL */);
/* Next line without its end, borrowed until the next call. false: end of input, or Ctrl-C at the
 * prompt (ERR_INTERRUPTED in e), or an error. A line ending in '\' goes on in the next one on
 * terminals. */
MLXK_FN bool cli_line_read(struct cli_line *l, struct str *line, struct err *e);
MLXK_FN void cli_line_close(struct cli_line *l);

#endif
