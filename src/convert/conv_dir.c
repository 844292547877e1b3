/* conv_dir.c: a plain model directory -> the files of a repository, as they are. Weights whose
 * header does not fit their file, and an index that names a file which is not there, are refused.
 *
 * Links are followed inside the folder, and from a snapshot to its blobs; one that leads out is an
 * error: who shares the cache gets what is imported. Hidden names are left out (.git, .cache,
 * .mlxk_workspace.json): they belong to the place, not to the model.
 */
#include "convert/conv_job.h"

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
    struct cache_fence fence;
    size_t cap;
};

static bool conv_dir_add(struct conv_dir_walk *w, const char *path_cstr, struct str relative,
                         struct err *e) {
    struct conv_plan *p = w->plan;
    if (!cache_path_ok(relative, e)) return false;
    if (p->n == CONV_MAX_FILES)
        return err_set(e, ERR_LIMIT, "the directory holds more than %d files", CONV_MAX_FILES);
    struct conv_file *grown = ARENA_GROW(w->a, struct conv_file, p->files, p->n, &w->cap, 64);
    if (!grown) return err_oom(e, (p->n + 1) * sizeof *grown, "the file list");
    p->files = grown;
    p->files[p->n++] =
        (struct conv_file){ .path = relative, .emit = conv_dir_emit, .source = path_cstr };
    return true;
}

static bool conv_dir_link(struct conv_dir_walk *w, const char *link_cstr, struct err *e) {
    struct str inside;
    if (!cache_fence_check(w->a, &w->fence, link_cstr, &inside, e)) return false;
    if (!str_starts(inside, STR(".")) && str_find(inside, STR("/.")) < 0) return true;
    err_set(e, ERR_INVALID, "%s leads to " STR_FMT ", which is no part of a model", link_cstr,
            STR_ARG(inside));
    return cache_fence_hint(e);
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
        if (entries[i].kind == OS_LINK && !conv_dir_link(w, path_cstr, e)) return false;
        if (st.kind == OS_DIR ? !conv_dir_walk(w, path_cstr, relative, depth + 1, e)
                              : st.kind == OS_FILE && !conv_dir_add(w, path_cstr, relative, e))
            return false;
    }
    return true;
}

static bool conv_dir_has(const struct conv_plan *p, struct str path) {
    for (size_t i = 0; i < p->n; i++)
        if (str_eq(p->files[i].path, path)) return true;
    return false;
}

/* Every file that an index names lies beside it. */
static bool conv_dir_check_index(struct arena *a, const struct conv_plan *p,
                                 const struct conv_file *f, struct err *e) {
    struct str text, folder = str_sub(f->path, 0, (size_t)(str_find_last(f->path, STR("/")) + 1));
    struct safet_index index;
    if (!os_read_file(a, f->source, LIMIT_JSON_FILE, &text, e) ||
        !safet_index_parse(a, text, &index, e))
        return false;
    for (size_t i = 0; i < index.n_files; i++) {
        struct str path = str_format(a, STR_FMT STR_FMT, STR_ARG(folder), STR_ARG(index.files[i]));
        if (!path.p) return err_oom(e, LIMIT_PATH, "a path");
        if (!conv_dir_has(p, path))
            return err_set(e, ERR_NOT_FOUND, "it names " STR_FMT ", which is not there",
                           STR_ARG(index.files[i]));
    }
    return true;
}

static bool conv_dir_check_weights(struct arena *a, const struct conv_file *f, struct err *e) {
    struct str header;
    struct safet s;
    uint64_t file_bytes;
    int fd = os_open(f->source, OS_READ, e);
    bool ok = fd >= 0 && conv_source_header(a, fd, &header, &file_bytes, e) &&
              safet_parse(a, header, file_bytes, &s, e);
    os_close(fd);
    return ok;
}

static bool conv_dir_check(struct arena *a, const struct conv_plan *p, struct err *e) {
    for (size_t i = 0; i < p->n; i++) {
        const struct conv_file *f = &p->files[i];
        struct arena_mark mark = arena_mark(a);
        bool ok = true;
        if (str_ends(f->path, STR(".safetensors"))) ok = conv_dir_check_weights(a, f, e);
        if (str_ends(f->path, STR(".safetensors.index.json")))
            ok = conv_dir_check_index(a, p, f, e);
        arena_rewind(a, mark);
        if (ok) continue;
        err_context(e, STR_FMT ": ", STR_ARG(f->path));
        return err_hint(e, "the folder is no whole model: copy or download it again");
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
    return cache_fence_open(a, full_cstr, &w.fence, e)
           && conv_dir_walk(&w, full_cstr, STR_EMPTY, 0, e) && conv_dir_check(a, out, e);
}
