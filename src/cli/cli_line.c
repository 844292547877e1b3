/* cli_line.c: the adapter over the line editor, and plain lines from pipes.
 *
 * The only file that includes linenoise. Its lines come from the C library's allocator and are
 * given back to it here, which is why this file (and no other outside arena.c) calls free.
 */
#include "cli/cli_line.h"
#include "platform/platform.h"

#include <errno.h>
#include <stdlib.h>
#include <linenoise/linenoise.h>

#define CLI_LINE_MAX ((size_t)16 << 20) /* a pasted document */
enum { CLI_LINE_HISTORY = 1000 };

MLXK_FN void cli_line_open(struct cli_line *l, const char *prompt_cstr, const char *history_cstr) {
    *l = (struct cli_line){ .prompt_cstr = prompt_cstr, .history_cstr = history_cstr };
    l->terminal = os_is_tty(0) && os_is_tty(1);
    buf_init(&l->text, CLI_LINE_MAX);
    if (!l->terminal) return;
    linenoiseSetMultiLine(1);
    linenoiseHistorySetMaxLen(CLI_LINE_HISTORY);
    if (history_cstr) linenoiseHistoryLoad(history_cstr);
}

static void cli_line_remember(const struct cli_line *l, const char *line_cstr) {
    struct err ignored = { 0 };
    if (!line_cstr[0] || !linenoiseHistoryAdd(line_cstr) || !l->history_cstr) return;
    if (linenoiseHistorySave(l->history_cstr) == 0) (void)os_chmod(l->history_cstr, 0600, &ignored);
}

static bool cli_line_edit(struct cli_line *l, struct str *line, struct err *e) {
    bool more = true;
    buf_reset(&l->text);
    for (const char *prompt_cstr = l->prompt_cstr; more; prompt_cstr = ". ") {
        errno = 0;
        char *typed = linenoise(prompt_cstr);
        if (!typed)
            return errno == EAGAIN ? err_set(e, ERR_INTERRUPTED, "stopped at the prompt") : false;
        struct str s = str_cstr(typed);
        more = str_ends(s, STR("\\"));
        buf_add(&l->text, more ? str_sub(s, 0, s.n - 1) : s);
        if (more)
            buf_add_char(&l->text, '\n');
        else
            cli_line_remember(l, typed);
        free(typed);
    }
    *line = buf_str(&l->text);
    return buf_ok(&l->text, "the line", e);
}

static bool cli_line_pipe(struct cli_line *l, struct str *line, struct err *e) {
    buf_remove_front(&l->text, l->consumed);
    l->consumed = 0;
    for (;;) {
        ptrdiff_t end = str_find_char(buf_str(&l->text), '\n');
        if (end >= 0 || (l->at_end && l->text.n)) {
            size_t n = end >= 0 ? (size_t)end : l->text.n;
            *line = str_sub(buf_str(&l->text), 0, n);
            l->consumed = end >= 0 ? n + 1 : n;
            return true;
        }
        char chunk[4096];
        size_t n_read;
        if (l->at_end || !os_read_some(0, chunk, sizeof chunk, &n_read, e)) return false;
        l->at_end = n_read == 0;
        buf_add_bytes(&l->text, chunk, n_read);
        if (!buf_ok(&l->text, "a line", e)) return false;
    }
}

MLXK_FN bool cli_line_read(struct cli_line *l, struct str *line, struct err *e) {
    return l->terminal ? cli_line_edit(l, line, e) : cli_line_pipe(l, line, e);
}

MLXK_FN void cli_line_close(struct cli_line *l) {
    if (l->terminal) linenoiseHistoryFree();
    buf_release(&l->text);
}
