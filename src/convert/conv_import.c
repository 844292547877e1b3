/* conv_import.c: what was planned -> blobs, links, tree and ref in the shared cache.
 *
 *   plan --hash every file--> names and commit --write--> blobs -> links -> tree -> refs/main
 *
 * Invariants
 *  1. The commit is a pure function of paths and contents, so importing again finds everything
 *     there.
 *  2. Bytes are made twice: once to learn their names, once to store them. No temporary copy exists
 *     that a kill could leave behind, other than the cache's own resumable partial.
 *  3. The ref comes last: until then no reader sees the import.
 */
#include "convert/conv_int.h"

#include <stdio.h>

/* ---- a sink that gathers small writes (Private) ---------------------------------------------- */

struct conv_import_pass {
    struct sha256 sha;
    struct cache_writer *blob; /* NULL while hashing */
    struct buf pending;
    uint64_t size_bytes;
    conv_progress progress;
    void *progress_ctx;
    uint64_t done_bytes, total_bytes;
};

static bool conv_import_drain(struct conv_import_pass *p, struct err *e) {
    struct str s = buf_str(&p->pending);
    p->size_bytes += s.n;
    p->done_bytes += s.n;
    if (p->blob ? !cache_writer_add(p->blob, s.p, s.n, e)
                : (sha256_update(&p->sha, s.p, s.n), false))
        return false;
    buf_reset(&p->pending);
    if (!p->progress || p->progress(p->progress_ctx, p->done_bytes, p->total_bytes)) return true;
    return err_set(e, ERR_INTERRUPTED, "the import was stopped");
}

static bool conv_import_write(void *ctx, const void *data, size_t n, struct err *e) {
    struct conv_import_pass *p = ctx;
    buf_add_bytes(&p->pending, data, n);
    if (!buf_ok(&p->pending, "the import", e)) return false;
    return p->pending.n < CONV_CHUNK || conv_import_drain(p, e);
}

static bool conv_import_emit(struct conv_import_pass *p, const struct conv_file *f, struct err *e) {
    struct conv_sink sink = { conv_import_write, p };
    p->size_bytes = 0;
    buf_reset(&p->pending);
    return (f->emit(f, &sink, e) && conv_import_drain(p, e)) ||
           err_context(e, STR_FMT ": ", STR_ARG(f->path));
}

MLXK_FN bool conv_emit_content(const struct conv_file *f, const struct conv_sink *sink,
                               struct err *e) {
    return sink->write(sink->ctx, f->content.p, f->content.n, e);
}

/* ---- first pass: names (Private) ------------------------------------------------------------- */

static bool conv_import_hash(struct conv_import_pass *p, struct conv_plan *plan, struct err *e) {
    for (size_t i = 0; i < plan->n; i++) {
        struct conv_file *f = &plan->files[i];
        uint8_t digest[32];
        sha256_init(&p->sha);
        if (!conv_import_emit(p, f, e)) return false;
        sha256_final(&p->sha, digest);
        str_hex(f->sha256_hex, digest, sizeof digest);
        f->size_bytes = p->size_bytes;
    }
    return true;
}

static void conv_import_sort(struct conv_plan *plan) {
    for (size_t gap = plan->n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < plan->n; i++) {
            struct conv_file x = plan->files[i];
            size_t k = i;
            for (; k >= gap && str_cmp(plan->files[k - gap].path, x.path) > 0; k -= gap)
                plan->files[k] = plan->files[k - gap];
            plan->files[k] = x;
        }
}

static void conv_import_commit(const struct conv_plan *plan, char out[65]) {
    struct sha256 s;
    uint8_t digest[32];
    sha256_init(&s);
    for (size_t i = 0; i < plan->n; i++) {
        sha256_update(&s, plan->files[i].path.p, plan->files[i].path.n);
        sha256_update(&s, "", 1);
        sha256_update(&s, plan->files[i].sha256_hex, 64);
        sha256_update(&s, "\n", 1);
    }
    sha256_final(&s, digest);
    str_hex(out, digest, sizeof digest);
}

/* ---- second pass: the cache (Private) -------------------------------------------------------- */

static bool conv_import_blob(struct conv_import_pass *p, const struct cache *c, struct str repo,
                             const struct conv_file *f, struct err *e) {
    struct cache_writer w;
    if (!cache_writer_open(&w, c, repo, str_cstr(f->sha256_hex), f->size_bytes, -1, e))
        return false;
    if (w.present) {
        p->done_bytes += f->size_bytes;
        return true;
    }
    p->blob = &w;
    bool ok = conv_import_emit(p, f, e);
    p->blob = NULL;
    if (!ok) cache_writer_close(&w, true);
    return ok && cache_writer_commit(&w, e);
}

/* Large files are kept in LFS on a hub: their tree entry names the hash of the pointer text. */
static void conv_import_tree_file(struct arena *a, const struct conv_file *f,
                                  struct cache_tree_file *out) {
    char oid[65];
    cache_lfs_pointer(str_cstr(f->sha256_hex), f->size_bytes, oid);
    *out = (struct cache_tree_file){ .path = f->path,
                                     .size_bytes = f->size_bytes,
                                     .blob_id = str_dup(a, str_cstr(oid)),
                                     .lfs_sha256 = str_cstr(f->sha256_hex),
                                     .lfs_size = f->size_bytes };
}

static bool conv_import_publish(struct arena *a, const struct cache *c, struct str repo,
                                struct str commit, const struct conv_plan *plan, struct err *e) {
    struct cache_tree_file *tree = ARENA_ARRAY(a, struct cache_tree_file, plan->n + 1);
    struct str *paths = ARENA_ARRAY(a, struct str, plan->n + 1);
    if (!tree || !paths) return err_oom(e, plan->n * sizeof *tree, "the file list");
    for (size_t i = 0; i < plan->n; i++) {
        const struct conv_file *f = &plan->files[i];
        conv_import_tree_file(a, f, &tree[i]);
        paths[i] = f->path;
    }
    if (!cache_paths_ok(c, repo, paths, plan->n, e)) return false;
    struct cache_guard g;
    if (!cache_guard_begin(c, &g, e)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < plan->n; i++)
        ok = cache_link(&g.cache, repo, commit, plan->files[i].path,
                        str_cstr(plan->files[i].sha256_hex), e);
    ok = ok && cache_tree_write(&g.cache, repo, commit, tree, plan->n, e) &&
         cache_ref_write(&g.cache, repo, STR("main"), commit, e);
    if (ok) cache_temps_sweep(&g.cache, repo);
    cache_guard_end(&g);
    return ok;
}

static bool conv_import_is_there(struct arena *a, const struct cache *c, struct str repo,
                                 struct str commit, const char *snapshot_cstr,
                                 const struct conv_plan *plan) {
    struct cache_tree_file *tree;
    size_t n;
    struct err ignored = { 0 };
    if (!str_eq(cache_ref_read(a, c, repo, STR("main")), commit) ||
        !cache_tree_read(a, c, repo, commit, &tree, &n, &ignored))
        return false;
    for (size_t i = 0; i < plan->n; i++) {
        struct os_stat st;
        char *relative_cstr = str_dup_cstr(a, plan->files[i].path);
        char *path_cstr = relative_cstr ? os_path_join(a, snapshot_cstr, relative_cstr) : NULL;
        if (!path_cstr || !os_stat(path_cstr, &st) || st.size_bytes != plan->files[i].size_bytes)
            return false;
    }
    return true;
}

/* Bytes that a file will still take. */
static uint64_t conv_import_need(const struct cache *c, struct str repo,
                                 const struct conv_file *f) {
    uint64_t size_bytes = 0, held = 0;
    struct str etag = str_cstr(f->sha256_hex);
    if (cache_blob_exists(c, repo, etag, &size_bytes) && size_bytes == f->size_bytes) return 0;
    (void)cache_blob_partial(c, repo, etag, f->size_bytes, &held);
    return held < f->size_bytes ? f->size_bytes - held : 0;
}

/* Nothing is begun that will not fit. */
static bool conv_import_blobs(struct conv_import_pass *p, const struct cache *c,
                              const struct conv_result *out, const struct conv_plan *plan,
                              struct err *e) {
    struct cache_room room;
    uint64_t need_bytes = 0;
    for (size_t i = 0; i < plan->n; i++)
        need_bytes += conv_import_need(c, out->name, &plan->files[i]);
    for (size_t i = 0; need_bytes && i < plan->n; i++)
        if (!cache_file_fits(c, plan->files[i].path, plan->files[i].size_bytes, e)) return false;
    if (need_bytes && !cache_room_take(c, out->commit, need_bytes, 0, &room, e)) return false;
    bool ok = true;
    uint64_t left_bytes = need_bytes;
    for (size_t i = 0; ok && i < plan->n; i++) {
        uint64_t of_it = need_bytes ? conv_import_need(c, out->name, &plan->files[i]) : 0;
        left_bytes -= of_it < left_bytes ? of_it : left_bytes;   /* somebody may remove blobs */
        ok = conv_import_blob(p, c, out->name, &plan->files[i], e);
        if (need_bytes) cache_room_tell(&room, left_bytes);
    }
    if (need_bytes) cache_room_give(&room);
    return ok;
}

/* ---- the import (Public) --------------------------------------------------------------------- */

/* "local/<name>", every character that a hub name cannot hold replaced by '-'. */
static struct str conv_import_name(struct arena *a, struct str from) {
    struct buf b;
    buf_init(&b, 128);
    for (size_t i = 0; i < from.n && b.n < 90; i++) {
        char x = from.p[i];
        bool ok = (x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z') || (x >= '0' && x <= '9') ||
                  x == '_' || x == '.';
        bool repeated = b.n && (b.p[b.n - 1] == '-' || b.p[b.n - 1] == '.');
        if (ok && !(x == '.' && repeated))
            buf_add_char(&b, x);
        else if (!ok && b.n && !repeated)
            buf_add_char(&b, '-');
    }
    while (b.n && (b.p[b.n - 1] == '-' || b.p[b.n - 1] == '.')) b.n--;
    struct str name =
        b.n ? str_format(a, "local/" STR_FMT, STR_ARG(buf_str(&b))) : STR("local/model");
    buf_release(&b);
    return name;
}

static bool conv_import_planned(struct arena *a, const struct cache *c, struct conv_plan *plan,
                                conv_progress progress, void *ctx, struct conv_result *out,
                                struct err *e) {
    struct conv_import_pass p = { .progress = progress, .progress_ctx = ctx };
    char commit[65];
    buf_init(&p.pending, 4 * CONV_CHUNK);
    conv_import_sort(plan);
    bool ok = conv_import_hash(&p, plan, e);
    for (size_t i = 0; i < plan->n; i++) out->size_bytes += plan->files[i].size_bytes;
    conv_import_commit(plan, commit);
    out->commit = str_dup(a, str_sub(str_cstr(commit), 0, 40));
    char *repo_dir_cstr = cache_repo_dir(a, c, out->name);
    struct str snapshots =
        repo_dir_cstr ? str_format(a, "%s/snapshots/%.40s", repo_dir_cstr, commit) : STR_EMPTY;
    out->snapshot_cstr = str_dup_cstr(a, snapshots);
    if (ok && (!out->commit.p || !snapshots.p || !out->snapshot_cstr))
        ok = err_oom(e, LIMIT_PATH, "the import");
    out->unchanged =
        ok && conv_import_is_there(a, c, out->name, out->commit, out->snapshot_cstr, plan);
    p.done_bytes = 0;
    p.total_bytes = out->size_bytes;
    if (ok && !out->unchanged) ok = conv_import_blobs(&p, c, out, plan, e);
    buf_release(&p.pending);
    return ok && (out->unchanged || conv_import_publish(a, c, out->name, out->commit, plan, e));
}

MLXK_FN bool conv_probe(const char *src_cstr, enum conv_kind *out, struct err *e) {
    struct os_stat st;
    char magic[4] = { 0 }, config[LIMIT_PATH];
    size_t n = 0;
    if (!os_stat(src_cstr, &st)) {
        err_set(e, ERR_NOT_FOUND, "%s does not exist", src_cstr);
        return err_hint(e, "give a bundle, a GGUF file or a directory with config.json");
    }
    if (st.kind == OS_FILE) {
        int fd = os_open(src_cstr, OS_READ, e);
        if (fd < 0) return false;
        bool ok = os_read(fd, magic, sizeof magic, &n, e);
        os_close(fd);
        if (!ok) return false;
        if (n == 4 && memcmp(magic, "GGUF", 4) == 0) {
            *out = CONV_GGUF;
            return true;
        }
    }
    int length = snprintf(config, sizeof config, "%s/config.json", src_cstr);
    if (st.kind == OS_DIR && length > 0 && (size_t)length < sizeof config && os_stat(config, &st) &&
        st.kind == OS_FILE) {
        *out = CONV_MODEL_DIR;
        return true;
    }
    err_set(e, ERR_UNSUPPORTED, "%s is neither a GGUF file nor a directory with config.json",
            src_cstr);
    return err_hint(e, "give a model in one of these forms");
}

MLXK_FN bool conv_import(struct arena *a, const struct cache *c, const char *src_cstr,
                         struct str name, conv_progress progress, void *ctx,
                         struct conv_result *out, struct err *e) {
    enum conv_kind kind;
    struct conv_plan plan;
    struct os_map map = { 0 };
    *out = (struct conv_result){ 0 };
    if ((name.n && !cache_model_name_ok(name, e)) || !conv_probe(src_cstr, &kind, e)) return false;
    if (kind == CONV_GGUF && !os_map_file(src_cstr, &map, e)) return false;
    bool ok = kind == CONV_GGUF ? conv_gguf_plan(a, &map, &plan, e)
                                : conv_dir_plan(a, src_cstr, &plan, e);
    if (ok) {
        out->name = name.n ? str_dup(a, name) : conv_import_name(a, plan.default_name);
        out->n_files = plan.n;
        ok = cache_spelling_ok(c, out->name, e);
        for (size_t i = 0; ok && i < plan.n; i++) ok = cache_names_taken(c, plan.files[i].path, e);
        ok = ok && conv_import_planned(a, c, &plan, progress, ctx, out, e);
    }
    if (map.p) os_unmap(&map);
    return ok || err_context(e, "import %s: ", src_cstr);
}
