/* rel_state.c: a directory becomes a state: its files, their classes and the four hashes.
 *
 *   walk -> files sorted by path -> bytes hashed once -> interface document -> lines -> four hashes
 *
 * 1. Nothing but paths and contents enters a hash; times and modes are not looked at. Links are
 *    followed inside the folder, and from a snapshot to its blobs; one that leads out is an error.
 * 2. Each file's bytes are read once; headers and small files a second time.
 */
#include "release/rel_int.h"

#define REL_MAX_CONFIG ((size_t)16 << 20)

/* ---- files ---- */

struct rel_walk {
    struct arena *a;
    struct rel_state *s;
    struct cache_fence fence;
    size_t cap;
    struct err *e;
};

static bool rel_walk_keep(struct rel_walk *k, struct rel_file f) {
    struct rel_state *s = k->s;
    if (s->n == REL_MAX_FILES)
        return err_set(k->e, ERR_LIMIT, "%s holds more than %d files", s->dir_cstr,
                       (int)REL_MAX_FILES);
    struct rel_file *grown = ARENA_GROW(k->a, struct rel_file, s->files, s->n, &k->cap, 64);
    if (!grown) return err_oom(k->e, (s->n + 1) * sizeof *grown, "a list of files");
    s->files = grown;
    s->size_bytes += f.size_bytes;
    s->files[s->n++] = f;
    return true;
}

/* What is no part of a model becomes none by a link: .git/config may hold a password. */
static bool rel_walk_link(struct rel_walk *k, struct str path, const char *file_cstr) {
    struct str inside;
    if (!cache_fence_check(k->a, &k->fence, file_cstr, &inside, k->e)) return false;
    if (!inside.n || rel_class_of(inside) != REL_IGNORE) return true;
    err_set(k->e, ERR_INVALID, STR_FMT " in %s leads to " STR_FMT ", which is no part of a model",
            STR_ARG(path), k->s->dir_cstr, STR_ARG(inside));
    return cache_fence_hint(k->e);
}

static bool rel_walk_file(struct rel_walk *k, const struct os_entry *x, struct str path,
                          const char *file_cstr) {
    struct rel_file f = { .path = path, .file_cstr = file_cstr, .size_bytes = x->size_bytes,
                          .kind = rel_class_of(path) };
    if (f.kind == REL_IGNORE) return true;
    if (x->target != OS_FILE) {
        err_set(k->e, ERR_NOT_FOUND, STR_FMT " in %s is no file, and no link to one", STR_ARG(path),
                k->s->dir_cstr);
        return err_hint(k->e, "remove it, or make the model complete: a version holds files only");
    }
    return cache_path_ok(path, k->e) && (x->kind != OS_LINK || rel_walk_link(k, path, file_cstr))
           && rel_walk_keep(k, f);
}

static bool rel_walk_dir(struct rel_walk *k, const char *dir_cstr, struct str prefix, int depth) {
    struct os_entry *entries;
    size_t n;
    if (depth > REL_MAX_DEPTH)
        return err_set(k->e, ERR_LIMIT, "%s is nested deeper than %d folders", dir_cstr,
                       (int)REL_MAX_DEPTH);
    if (!os_list_targets(k->a, dir_cstr, (size_t)REL_MAX_FILES * 4, NULL, NULL, &entries, &n, k->e))
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct os_entry *x = &entries[i];
        char *name = str_dup_cstr(k->a, x->name);
        char *file = name ? os_path_join(k->a, dir_cstr, name) : NULL;
        struct str path = str_concat(k->a, prefix, x->name);
        if (!file || !path.p) return err_oom(k->e, LIMIT_PATH, "a path");
        if (x->kind != OS_DIR) {
            if (!rel_walk_file(k, x, path, file)) return false;
            continue;
        }
        struct str below = str_concat(k->a, path, STR("/"));
        if (!below.p) return err_oom(k->e, LIMIT_PATH, "a path");
        if (rel_class_of(str_concat(k->a, below, STR("x"))) == REL_IGNORE) continue;
        if (!rel_walk_dir(k, file, below, depth + 1)) return false;
    }
    return true;
}

static void rel_state_sort(struct rel_file *f, size_t n) {
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            struct rel_file x = f[i];
            size_t k = i;
            for (; k >= gap && str_cmp(f[k - gap].path, x.path) > 0; k -= gap) f[k] = f[k - gap];
            f[k] = x;
        }
}

MLXK_FN const struct rel_file *rel_state_find(const struct rel_state *s, const char *path_cstr) {
    for (size_t i = 0; i < s->n; i++)
        if (str_eq_cstr(s->files[i].path, path_cstr)) return &s->files[i];
    return NULL;
}

/* ---- texts ---- */

MLXK_FN struct str rel_work_text(struct rel_work *w, const struct rel_file *f, size_t max_bytes,
                                 struct err *e) {
    struct os_map map;
    if (f->size_bytes > max_bytes) {
        err_set(e, ERR_LIMIT, STR_FMT " has %llu bytes, more than the %zu that are read",
                STR_ARG(f->path), (unsigned long long)f->size_bytes, max_bytes);
        return STR_EMPTY;
    }
    struct os_map *grown = ARENA_GROW(w->a, struct os_map, w->maps, w->n_maps, &w->cap_maps, 32);
    if (!grown) {
        err_oom(e, (w->n_maps + 1) * sizeof *grown, "a list of files");
        return STR_EMPTY;
    }
    w->maps = grown;
    if (!os_map_file(f->file_cstr, &map, e)) return STR_EMPTY;
    w->maps[w->n_maps++] = map;
    return (struct str){ (const char *)map.p, map.size_bytes };
}

MLXK_FN const struct json *rel_work_json(struct rel_work *w, const char *path_cstr, struct err *e) {
    const struct rel_file *f = rel_state_find(w->s, path_cstr);
    if (!f) return NULL;
    struct str text = rel_work_text(w, f, REL_MAX_CONFIG, e);
    const struct json *v = text.p ? json_parse_lenient(w->a, text, e) : NULL;
    if (!v) err_context(e, STR_FMT ": ", STR_ARG(f->path));
    return v;
}

/* ---- all of it ---- */

static bool rel_state_configs(struct rel_work *w, struct err *e) {
    w->config = rel_work_json(w, "config.json", e);
    if (!w->config && e->code != ERR_OK) return false;
    w->tokenizer_config = rel_work_json(w, "tokenizer_config.json", e);
    return w->tokenizer_config || e->code == ERR_OK;
}

/* config.json without what the interface takes; every other file as its bytes. */
static bool rel_state_logic(struct rel_work *w, const struct rel_file *f, struct err *e) {
    char hash[65];
    if (!str_eq(f->path, STR("config.json")) || !json_is(w->config, JSON_OBJECT)) {
        rel_lines_add_hash(&w->logic, f->path, STR_EMPTY, f->sha256);
        return true;
    }
    if (!rel_hash_json(w->config, rel_config_is_iface, hash, e)) return false;
    rel_lines_add_hash(&w->logic, f->path, STR_EMPTY, hash);
    return true;
}

static bool rel_state_bytes(struct rel_work *w, struct err *e) {
    for (size_t i = 0; i < w->s->n; i++) {
        struct rel_file *f = &w->s->files[i];
        bool ok = f->kind == REL_WEIGHTS ? rel_weights_read(w, f, e) : rel_bytes_read(w, f, e);
        if (!ok) return false;
        if (f->kind == REL_DOCS) rel_lines_add_hash(&w->docs, f->path, STR_EMPTY, f->sha256);
        if (f->kind == REL_LOGIC && !rel_state_logic(w, f, e)) return false;
    }
    return true;
}

static void rel_work_end(struct rel_work *w) {
    for (size_t i = 0; i < w->n_maps; i++) os_unmap(&w->maps[i]);
}

MLXK_FN bool rel_state_read(struct arena *a, const char *dir_cstr, rel_progress progress, void *ctx,
                            struct rel_state *out, struct err *e) {
    struct rel_walk k = { .a = a, .s = out, .e = e };
    struct rel_work w = { .a = a,
                          .s = out,
                          .progress = progress,
                          .ctx = ctx,
                          .logic = { .arena = a },
                          .weights = { .arena = a },
                          .docs = { .arena = a } };
    struct os_stat st;
    *out = (struct rel_state){ .dir_cstr = dir_cstr };
    if (!os_stat(dir_cstr, &st) || st.kind != OS_DIR) {
        err_set(e, ERR_NOT_FOUND, "%s is no directory", dir_cstr);
        return err_hint(e, "name the folder that holds the model's files");
    }
    if (!cache_fence_open(a, dir_cstr, &k.fence, e) || !rel_walk_dir(&k, dir_cstr, STR_EMPTY, 0))
        return false;
    if (!out->n) return err_set(e, ERR_NOT_FOUND, "%s holds no files of a model", dir_cstr);
    rel_state_sort(out->files, out->n);
    w.piece = arena_alloc(a, REL_PIECE, 64);
    if (!w.piece) return err_oom(e, REL_PIECE, "a piece of a file");
    bool ok = rel_state_configs(&w, e) && rel_state_bytes(&w, e) && rel_interface_read(&w, e)
              && rel_lines_hash(&w.logic, out->hash.logic, e)
              && rel_lines_hash(&w.weights, out->hash.weights, e)
              && rel_lines_hash(&w.docs, out->hash.docs, e);
    rel_work_end(&w);
    return ok;
}
