/* cli_fetch.c: the progress of transfers with a hub, for people who watch; a script gets the
 * outcome. */
#include "cli/cli_fetch.h"

#include <stdio.h>

enum {
    CLI_FETCH_MAX_NAME = 96,             /* of the hub */
    CLI_FETCH_LONG_MS = 5000,            /* a wait that is told in the log of a script, too */
};

MLXK_FN bool cli_fetch_name_ok(struct str name, struct err *e) {
    const char *why_cstr = NULL;
    name = cache_bare_name(name);
    if (name.n == 0) why_cstr = "empty";
    else if (name.n > CLI_FETCH_MAX_NAME || str_starts(name, STR("/")) || str_ends(name, STR("/"))
             || str_find(name, STR("//")) >= 0)
        why_cstr = "must be <= 96 chars and not contain leading/trailing or double slashes";
    return !why_cstr || err_set(e, ERR_INVALID, "Invalid model name: %s", why_cstr);
}

MLXK_FN void cli_fetch_begin(struct cli_fetch *f, struct cli_context *c) {
    *f = (struct cli_fetch){ .c = c };
}

MLXK_FN bool cli_fetch_event(void *ctx, const struct hub_event *ev) {
    struct cli_fetch *f = ctx;
    struct err ignored = { 0 };
    if (ev->kind == HUB_NOTE) {
        if (!os_is_tty(2) && ev->wait_ms < CLI_FETCH_LONG_MS) return true;
        if (f->progress.shown) (void)os_write(2, "\r\033[K", 4, &ignored);
        f->progress.drawn_ns = 0;
        cli_note(f->c, "note: %s", ev->note_cstr);
        return true;
    }
    if (ev->kind == HUB_PLAN) f->counting = false;
    if (!f->counting) {
        cli_progress_end(&f->progress);
        cli_progress_begin(f->c, &f->progress, f->label, ev->total_bytes, true);
        f->progress.start_done = ev->done_bytes;
        f->counting = true;
    }
    if (ev->done_bytes < f->progress.start_done) f->progress.start_done = ev->done_bytes;
    (void)snprintf(f->label, sizeof f->label, "%zu/%zu files", ev->done_files, ev->total_files);
    cli_progress_update(&f->progress, ev->done_bytes);
    return true;
}

MLXK_FN void cli_fetch_end(struct cli_fetch *f) { cli_progress_end(&f->progress); }
