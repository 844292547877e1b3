/* conv_dir.c: a plain model directory -> the files of a repository, as they are.
 *
 * Links are followed (a hub snapshot is made of links); hidden names are left out (.git, .cache,
 * .mlxk_workspace.json): they belong to the place, not to the model.
 */
#include "convert/conv_int.h"

enum { CONV_DIR_MAX_DEPTH = 16 };

static bool conv_dir_emit(const struct conv_file *f, const struct conv_sink *sink, struct err *e) {
    const char *path_cstr = f->source;
    uint8_t *chunk = mem_alloc(CONV_CHUNK);
    int fd = os_open(path_cstr, OS_READ, e);
    bool ok = fd >= 0 && (chunk || err_oom(e, CONV_CHUNK, "the import"));
    for (size_t n = 1; ok && n > 0;)
        ok = os_read(fd, chunk, CONV_CHUNK, &n, e) && sink->write(sink->ctx, chunk, n, e);
    os_close(fd);
    mem_free(chunk);
    return ok;
}

struct conv_dir_walk {
    struct arena *a;
    struct conv_plan *plan;
    size_t cap;
};

static bool conv_dir_add(struct conv_dir_walk *w, const char *path_cstr, struct str relative,
                         struct err *e) {
    struct conv_plan *p = w->plan;
    if (!cache_path_ok(relative, e)) return false;
    if (p->n == CONV_MAX_FILES)
        return err_set(e, ERR_LIMIT, "the directory holds more than %d files", CONV_MAX_FILES);
    if (p->n == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 64;
        struct conv_file *grown = ARENA_ARRAY(w->a, struct conv_file, cap);
        if (!grown) return err_oom(e, cap * sizeof *grown, "the file list");
        if (p->n) memcpy(grown, p->files, p->n * sizeof *grown);
        p->files = grown;
        w->cap = cap;
    }
    p->files[p->n++] =
        (struct conv_file){ .path = relative, .emit = conv_dir_emit, .source = path_cstr };
    return true;
}

static bool conv_dir_walk(struct conv_dir_walk *w, const char *dir_cstr, struct str prefix,
                          int depth, struct err *e) {
    struct os_entry *entries;
    size_t n;
    if (depth > CONV_DIR_MAX_DEPTH)
        return err_set(e, ERR_LIMIT, "%s is nested deeper than %d folders", dir_cstr,
                       CONV_DIR_MAX_DEPTH);
    if (!os_list_dir(w->a, dir_cstr, CONV_MAX_FILES, &entries, &n, e)) return false;
    for (size_t i = 0; i < n; i++) {
        struct str name = entries[i].name;
        struct os_stat st;
        if (str_starts(name, STR("."))) continue;
        char *name_cstr = str_dup_cstr(w->a, name);
        char *path_cstr = name_cstr ? os_path_join(w->a, dir_cstr, name_cstr) : NULL;
        struct str relative =
            prefix.n ? str_format(w->a, STR_FMT "/" STR_FMT, STR_ARG(prefix), STR_ARG(name)) : name;
        if (!path_cstr || !relative.p) return err_oom(e, LIMIT_PATH, "the file list");
        if (!os_stat(path_cstr, &st))
            return err_set(e, ERR_NOT_FOUND, "%s is a link to nothing", path_cstr);
        if (st.kind == OS_DIR ? !conv_dir_walk(w, path_cstr, relative, depth + 1, e)
                              : st.kind == OS_FILE && !conv_dir_add(w, path_cstr, relative, e))
            return false;
    }
    return true;
}

MLXK_FN bool conv_dir_plan(struct arena *a, const char *dir_cstr, struct conv_plan *out,
                           struct err *e) {
    *out = (struct conv_plan){ 0 };
    char *full_cstr = os_path_absolute(a, dir_cstr, e);
    if (!full_cstr) return false;
    struct conv_dir_walk w = { .a = a, .plan = out };
    out->default_name = os_path_base(full_cstr);
    return conv_dir_walk(&w, full_cstr, STR_EMPTY, 0, e);
}
