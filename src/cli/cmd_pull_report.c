/* cmd_pull_report.c: what `pull` tells besides its outcome: the plan of a dry run, and events.
 *
 *   {"event":"plan","done_bytes":0,"total_bytes":9,"done_files":0,"total_files":2}
 *   {"event":"file_start","path":"a.bin",...}   "bytes"   "file_done"
 *   {"event":"note","path":"a.bin","message":"..."}      {"event":"end","status":"success"}
 *   {"event":"log","level":"warning","message":"..."}    what else would be a line on stderr
 *
 * Events are lines on stderr, so that stdout holds the one document of --json and nothing else.
 */
#include "cli/cmd_pull.h"

enum { CMD_PULL_EVENT_MS = 200 };

/* ---- the plan ---- */

static const char *cmd_pull_state(const struct hub_planned *x) {
    return x->there ? "cached" : x->have_bytes ? "partial" : "missing";
}

MLXK_FN void cmd_pull_plan_data(struct json_writer *w, const struct cmd_pull *p) {
    const struct hub_pull_result *r = &p->result;
    json_write_key(w, "total_bytes");
    json_write_u64(w, r->total_bytes);
    json_write_key(w, "need_bytes");
    json_write_u64(w, r->need_bytes);
    json_write_key(w, "files");
    json_write_array(w);
    for (size_t i = 0; i < r->n_planned; i++) {
        const struct hub_planned *x = &r->planned[i];
        json_write_object(w);
        json_write_key(w, "path");
        json_write_str(w, x->file->path);
        json_write_key(w, "size_bytes");
        json_write_u64(w, x->file->size_bytes);
        json_write_key(w, "have_bytes");
        json_write_u64(w, x->have_bytes);
        json_write_key(w, "state");
        json_write_cstr(w, cmd_pull_state(x));
        json_write_key(w, "blob");
        json_write_str(w, x->file->etag);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

MLXK_FN bool cmd_pull_plan_print(struct cmd_pull *p) {
    static const char *heads[] = { "File", "Size", "State" };
    const struct hub_pull_result *r = &p->result;
    struct cli_grid grid;
    struct arena *a = &p->c->arena;
    cli_grid_init(&grid, a, heads, MLXK_COUNT(heads), 1u << 1);
    for (size_t i = 0; i < r->n_planned; i++) {
        char size[16];
        num_format_size(size, r->planned[i].file->size_bytes);
        struct str cells[] = { r->planned[i].file->path, str_dup(a, str_cstr(size)),
                               str_cstr(cmd_pull_state(&r->planned[i])) };
        if (!cells[1].p || !cli_grid_row(&grid, cells))
            return err_oom(&p->c->err, sizeof cells, "the table");
    }
    cli_grid_print(p->c, &grid);
    return true;
}

/* ---- events ---- */

static void cmd_pull_line(struct json_writer *w, struct buf *line) {
    struct err ignored = { 0 };
    json_write_object_end(w);
    buf_add_char(line, '\n');
    if (!line->failed) (void)os_write(2, line->p, line->n, &ignored);
    buf_release(line);
}

static void cmd_pull_line_begin(struct json_writer *w, struct buf *line, const char *event_cstr) {
    buf_init(line, LIMIT_JSON_DOC);
    json_write_init(w, line, false, true);
    json_write_object(w);
    json_write_key(w, "event");
    json_write_cstr(w, event_cstr);
}

MLXK_FN void cmd_pull_tell_event(struct cmd_pull *p, const struct hub_event *ev) {
    static const char *const names[] = { [HUB_PLAN] = "plan", [HUB_FILE_START] = "file_start",
                                         [HUB_BYTES] = "bytes", [HUB_FILE_DONE] = "file_done",
                                         [HUB_NOTE] = "note" };
    struct json_writer w;
    struct buf line;
    if (ev->kind == HUB_BYTES) {
        int64_t now_ns = os_now_ns();
        if (now_ns - p->event_ns < CMD_PULL_EVENT_MS * 1000000LL) return;
        p->event_ns = now_ns;
    }
    cmd_pull_line_begin(&w, &line, names[ev->kind]);
    if (ev->path.n) {
        json_write_key(&w, "path");
        json_write_str(&w, ev->path);
    }
    if (ev->kind == HUB_NOTE) {
        json_write_key(&w, "message");
        json_write_cstr(&w, ev->note_cstr);
    } else {
        json_write_key(&w, "done_bytes");
        json_write_u64(&w, ev->done_bytes);
        json_write_key(&w, "total_bytes");
        json_write_u64(&w, ev->total_bytes);
        json_write_key(&w, "done_files");
        json_write_u64(&w, ev->done_files);
        json_write_key(&w, "total_files");
        json_write_u64(&w, ev->total_files);
    }
    cmd_pull_line(&w, &line);
}

MLXK_FN void cmd_pull_tell_log(enum log_level level, struct str text) {
    struct json_writer w;
    struct buf line;
    cmd_pull_line_begin(&w, &line, "log");
    json_write_key(&w, "level");
    json_write_cstr(&w, log_level_name(level));
    json_write_key(&w, "message");
    json_write_str(&w, text);
    cmd_pull_line(&w, &line);
}

MLXK_FN void cmd_pull_tell_end(struct cmd_pull *p) {
    struct json_writer w;
    struct buf line;
    cmd_pull_line_begin(&w, &line, "end");
    json_write_key(&w, "status");
    json_write_cstr(&w, p->status_cstr);
    cmd_pull_line(&w, &line);
}
