/* cli_state.c: a state of a model that a person names, for the commands that compare and keep
 * them. */
#include "cli/cli_state.h"

MLXK_FN bool cli_state_dir(struct cli_context *c, struct str spec, const char **dir_cstr,
                           struct err *e) {
    struct cache_model found;
    struct os_stat st;
    char *path_cstr = str_dup_cstr(&c->arena, spec);
    if (!path_cstr) return err_oom(e, spec.n, "a path");
    *dir_cstr = path_cstr;
    if (spec.n && os_stat(path_cstr, &st) && st.kind == OS_DIR) return true;
    if (!cli_resolve(c, spec, &found, NULL, e)) return false;
    *dir_cstr = found.dir_cstr;
    return true;
}

static bool cli_state_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes) {
    struct cli_progress *p = ctx;
    p->total = total_bytes;
    cli_progress_update(p, done_bytes);
    return !os_interrupted();
}

MLXK_FN bool cli_state_read(struct cli_context *c, struct str spec, struct rel_state *out,
                            struct err *e) {
    struct cli_progress progress;
    const char *dir_cstr = NULL;
    if (!cli_state_dir(c, spec, &dir_cstr, e)) return false;
    cli_progress_begin(c, &progress, "hashing", 0, true);
    bool ok = rel_state_read(&c->arena, dir_cstr, cli_state_progress, &progress, out, e);
    cli_progress_end(&progress);
    return ok;
}

MLXK_FN void cli_state_hashes(struct json_writer *w, const struct rel_hashes *h) {
    json_write_member(w, "interface", str_cstr(h->iface));
    json_write_member(w, "logic", str_cstr(h->logic));
    json_write_member(w, "weights", str_cstr(h->weights));
    json_write_member(w, "docs", str_cstr(h->docs));
}
