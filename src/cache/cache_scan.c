/* cache_scan.c: one walk over a model's folder; health, detection and lists ask it, not the disk.
 *
 * 1. Links to files count as files of the target's size; links to folders are not entered, so the
 *    walk ends and stays inside.
 * 2. Nothing here fails because of what is on the disk: folders that cannot be listed set
 *    `unreadable`, links that lead nowhere are files of kind OS_NONE.
 * 3. A file's content is read at most once per scan.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

enum { CACHE_SCAN_MAX_FILES = 200000 };

struct cache_walk {
    struct arena *arena;
    struct cache_scan *scan;
    struct buf list;             /* struct cache_file after struct cache_file */
    char path[LIMIT_PATH];       /* folder + relative path of the entry looked at */
    size_t root_n;               /* bytes of the folder and its '/' */
};

static bool cache_walk_file(struct cache_walk *w, size_t path_n, const struct os_entry *entry,
                            struct err *e) {
    if (entry->target == OS_DIR) {
        return true;                         /* a link to a folder */
    }
    struct cache_file f = {
        .path = str_dup(w->arena, (struct str){ w->path + w->root_n, path_n - w->root_n }),
        .size_bytes = entry->target == OS_FILE ? entry->size_bytes : 0, .kind = entry->target,
        .is_link = entry->kind == OS_LINK, .is_read = entry->content.p != NULL,
        .content = entry->content,
    };
    w->scan->size_bytes += f.size_bytes;
    buf_add_bytes(&w->list, &f, sizeof f);
    return (f.path.p && !w->list.failed) || err_oom(e, sizeof f, "the files of a model");
}

/* What health and detection ask of nearly every model: read while its folder is open anyway. */
static bool cache_walk_wanted(struct str name, uint64_t size_bytes) {
    return str_eq(name, STR("config.json")) || str_eq(name, STR("tokenizer_config.json")) ||
           str_eq(name, STR("model.safetensors.index.json")) ||
           (size_bytes < CACHE_LFS_MAX && str_ends(name, STR(".safetensors")));
}

static bool cache_walk_folder(struct cache_walk *w, size_t path_n, int depth, struct err *e) {
    struct os_entry *entries;
    size_t n;
    struct err unreadable = { 0 };
    w->path[path_n] = '\0';
    if (!os_list_targets(w->arena, w->path, CACHE_MAX_ENTRIES, depth ? NULL : cache_walk_wanted,
                         depth ? NULL : &w->scan->mtime_ns, &entries, &n, &unreadable)) {
        w->scan->unreadable = true;
        return true;
    }
    w->path[path_n++] = '/';
    for (size_t i = 0; i < n; i++) {
        struct str name = entries[i].name;
        if (name.n + path_n + 2 > sizeof w->path ||
            w->list.n / sizeof(struct cache_file) >= CACHE_SCAN_MAX_FILES ||
            (entries[i].kind == OS_DIR && depth == CACHE_MAX_DEPTH)) {
            w->scan->unreadable = true;
            continue;
        }
        memcpy(w->path + path_n, name.p, name.n);
        w->path[path_n + name.n] = '\0';
        bool ok = entries[i].kind == OS_DIR ? cache_walk_folder(w, path_n + name.n, depth + 1, e)
                                            : cache_walk_file(w, path_n + name.n, &entries[i], e);
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* What Python's json reads from bytes: UTF-8, no byte order mark, equal keys allowed. */
MLXK_FN const struct json *cache_parse(struct arena *a, struct str text) {
    struct err bad = { 0 };
    if (!text.p || str_starts(text, STR("\xEF\xBB\xBF")) || !utf8_valid(text)) {
        return NULL;
    }
    return json_parse_lenient(a, text, &bad);
}

static void cache_scan_config(struct arena *a, struct cache_scan *s) {
    struct str text = cache_scan_read(a, s, STR("config.json"), LIMIT_JSON_DOC);
    s->config = cache_parse(a, text);
    if (!cache_scan_find(s, STR("config.json"))) {
        s->config_state = CACHE_CONFIG_MISSING;
    } else if (!s->config) {
        s->config_state = CACHE_CONFIG_BAD_JSON;
    } else {
        s->config_state =
            json_is(s->config, JSON_OBJECT) && s->config->n ? CACHE_CONFIG_OK : CACHE_CONFIG_EMPTY;
    }
}

/* ---- (Public) ---- */

MLXK_FN struct cache_scan *cache_scan_dir(struct arena *a, const char *dir_cstr, struct err *e) {
    struct cache_walk w;             /* not cleared: its path is large */
    struct os_stat st;
    size_t n = strlen(dir_cstr);
    w.arena = a;
    w.scan = ARENA_NEW(a, struct cache_scan);
    if (!w.scan) {
        err_oom(e, sizeof *w.scan, "the files of a model");
        return NULL;
    }
    w.scan->dir_cstr = dir_cstr;
    w.scan->unreadable = n + 2 > sizeof w.path;
    buf_init(&w.list, SIZE_MAX);
    bool ok = true;
    if (!w.scan->unreadable) {
        memcpy(w.path, dir_cstr, n);
        w.root_n = n + 1;
        ok = cache_walk_folder(&w, n, 0, e);
    }
    if (w.scan->unreadable && os_stat(dir_cstr, &st)) {
        w.scan->mtime_ns = st.mtime_ns;
    }
    w.scan->n = w.list.n / sizeof(struct cache_file);
    w.scan->files = ARENA_ARRAY(a, struct cache_file, w.scan->n);
    if (ok && w.scan->files && w.scan->n) {
        memcpy(w.scan->files, w.list.p, w.list.n);
    }
    buf_release(&w.list);
    if (!ok || !w.scan->files) {
        err_oom(e, w.scan->n * sizeof(struct cache_file), "the files of a model");
        return NULL;
    }
    cache_scan_config(a, w.scan);
    return w.scan;
}

MLXK_FN bool cache_scan(struct arena *a, struct cache_model *m, struct err *e) {
    if (!m->scan) {
        m->scan = cache_scan_dir(a, m->dir_cstr, e);
    }
    return m->scan != NULL;
}

MLXK_FN struct cache_file *cache_scan_find(const struct cache_scan *s, struct str path) {
    for (size_t i = 0; i < s->n; i++) {
        if (str_eq(s->files[i].path, path) && s->files[i].kind != OS_NONE) {
            return &s->files[i];
        }
    }
    return NULL;
}

MLXK_FN struct str cache_scan_read(struct arena *a, struct cache_scan *s, struct str path,
                                   size_t max_bytes) {
    struct cache_file *f = cache_scan_find(s, path);
    char full[LIMIT_PATH];
    struct err unreadable = { 0 };
    if (!f || f->kind != OS_FILE || f->size_bytes > max_bytes) {
        return STR_EMPTY;
    }
    if (!f->is_read) {
        f->is_read = true;
        if (!CACHE_PATH(full, &unreadable, str_cstr(s->dir_cstr), STR("/"), path) ||
            !os_read_file(a, full, max_bytes, &f->content, &unreadable)) {
            f->content = STR_EMPTY;
        }
    }
    return f->content;
}
