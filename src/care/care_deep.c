/* care_deep.c: what a look into a model's files tells without hashing them.
 *
 *   files of the snapshot    headers of safetensors and GGUF, shards against their index
 *   the repo around it       links, refs, the file list of the commit, leftovers
 *
 * 1. Reads headers and small files only; of a tensor's data nothing.
 * 2. Every file is judged: one broken header does not hide the next.
 */
#include "care/care_int.h"

#include <stdio.h>

enum { CARE_DEEP_SHOWN = 3 };    /* names of tensors in one message */
#define CARE_DEEP_MEMORY ((size_t)4 << 30)

struct care_deep {
    struct arena *arena;         /* scratch, of one model */
    struct care_findings *out;
    struct str repo;
    const char *dir_cstr;
    struct cache_scan *scan;
    struct map owners;           /* tensor -> shard + 1 */
    struct str *shards; size_t n_shards;
    uint64_t data_bytes;         /* of all tensors of these shards */
    bool headers_ok;
};

static struct str care_deep_path(struct care_deep *d, struct str file) {
    return str_format(d->arena, "%s/" STR_FMT, d->dir_cstr, STR_ARG(file));
}

static struct care_finding *care_deep_bad(struct care_deep *d, const char *code_cstr,
                                          struct str file, const char *text_cstr) {
    struct care_finding *x = care_found(d->out, CARE_ERROR, code_cstr, d->repo,
                                        care_deep_path(d, file), "%s", text_cstr);
    if (x) x->file = str_dup(d->out->arena, file);
    return x;
}

/* ---- safetensors ---- */

/* Header bytes of a file; false and a finding when there is none. */
static bool care_deep_header(struct care_deep *d, const struct cache_file *f, struct str *out) {
    struct err e = { 0 };
    uint8_t length[8];
    size_t got = 0;
    struct str path = care_deep_path(d, f->path);
    int fd = path.p ? os_open(path.p, OS_READ, &e) : -1;
    bool ok = fd >= 0 && os_pread(fd, length, 8, 0, &got, &e);
    uint64_t n = got == 8 ? num_read_u64(length) : 0;
    if (ok && (got < 8 || n > SAFET_MAX_HEADER || n > f->size_bytes - 8))
        ok = err_set(&e, ERR_FORMAT, "%llu bytes hold no safetensors header of %llu bytes",
                     (unsigned long long)f->size_bytes, (unsigned long long)n);
    char *p = ok ? arena_alloc(d->arena, (size_t)n + 8, 1) : NULL;
    if (ok && !p) ok = err_oom(&e, (size_t)n, "a header");
    if (ok) ok = os_pread(fd, p, (size_t)n + 8, 0, &got, &e);
    os_close(fd);
    if (!ok)
        care_deep_bad(d, e.code == ERR_FORMAT ? "header_invalid" : "unreadable", f->path, e.msg);
    *out = ok ? (struct str){ p, got } : STR_EMPTY;
    return ok;
}

static void care_deep_own(struct care_deep *d, const struct safet_tensor *t, size_t shard) {
    bool is_new;
    struct str name = str_dup(d->arena, t->name);
    uint64_t *at = map_put(&d->owners, name, &is_new);
    if (at && is_new) {
        *at = shard + 1;
        return;
    }
    char text[512];
    (void)snprintf(text, sizeof text, "the tensor " STR_FMT " is also in " STR_FMT,
                   STR_ARG(str_sub(t->name, 0, 200)), STR_ARG(d->shards[at ? *at - 1 : 0]));
    if (at) care_deep_bad(d, "tensor_duplicate", d->shards[shard], text);
}

/* joined: the file is one of several that make a model together. */
static void care_deep_safetensors(struct care_deep *d, const struct cache_file *f, bool joined) {
    struct safet s;
    struct str text;
    struct err e = { 0 };
    struct arena_mark mark = arena_mark(d->arena);
    if (!care_deep_header(d, f, &text)) {
        d->headers_ok = d->headers_ok && !joined;
        return;
    }
    if (!safet_parse(d->arena, text, f->size_bytes, &s, &e)) {
        if (e.code != ERR_UNSUPPORTED) care_deep_bad(d, "header_invalid", f->path, e.msg);
        d->headers_ok = d->headers_ok && !joined;
        return;
    }
    for (size_t i = 0; joined && i < s.n; i++) {
        d->data_bytes += s.tensors[i].end - s.tensors[i].begin;
        care_deep_own(d, &s.tensors[i], d->n_shards);
    }
    if (!joined) arena_rewind(d->arena, mark);
    else d->n_shards++;
}

/* ---- shards and their index ---- */

/* "a, b, c and 5 more" into a finding about the file. */
static void care_deep_names(struct care_deep *d, const char *code_cstr, struct str file,
                            const char *what_cstr, const struct str *names, size_t n) {
    struct buf b;
    if (n == 0) return;
    buf_init(&b, LIMIT_JSON_DOC);
    buf_addf(&b, "%s: ", what_cstr);
    for (size_t i = 0; i < n && i < CARE_DEEP_SHOWN; i++)
        buf_addf(&b, "%s" STR_FMT, i ? ", " : "", STR_ARG(names[i]));
    if (n > CARE_DEEP_SHOWN) buf_addf(&b, " and %zu more", n - CARE_DEEP_SHOWN);
    struct care_finding *x = care_deep_bad(d, code_cstr, file, b.failed ? what_cstr : b.p);
    if (x) x->fix = STR("mlxk convert MODEL TARGET --repair-index");
    buf_release(&b);
}

/* Tensors of the index that its file lacks, and the reverse. */
static void care_deep_agree(struct care_deep *d, struct str file, const struct safet_index *index) {
    struct map named;
    struct str *lost = ARENA_ARRAY(d->arena, struct str, index->n + 1),
               *extra = ARENA_ARRAY(d->arena, struct str, d->owners.n + 1);
    size_t n_lost = 0, n_extra = 0;
    map_init(&named, SIZE_MAX / 64);
    for (size_t i = 0; lost && i < index->n; i++) {
        const uint64_t *at = map_get(&d->owners, index->tensor_names[i]);
        bool there = at && str_eq(d->shards[*at - 1], index->file_names[i]);
        map_put(&named, index->tensor_names[i], NULL);
        if (!there)
            lost[n_lost++] =
                str_format(d->arena, STR_FMT " (in " STR_FMT ")", STR_ARG(index->tensor_names[i]),
                           STR_ARG(index->file_names[i]));
    }
    for (size_t i = 0; extra && !named.failed && i < d->owners.n; i++)
        if (!map_get(&named, d->owners.entries[i].key)) extra[n_extra++] = d->owners.entries[i].key;
    care_deep_names(d, "index_tensor_missing", file, "tensors of the index that its shards lack",
                    lost, n_lost);
    care_deep_names(d, "index_tensor_unlisted", file, "tensors of shards that the index lacks",
                    extra, n_extra);
    d->out->failed = d->out->failed || !lost || !extra || named.failed;
    map_release(&named);
}

static void care_deep_total(struct care_deep *d, struct str file, struct str text) {
    struct err none = { 0 };
    int64_t total = -1;
    const struct json *doc = json_parse_lenient(d->arena, text, &none);
    const struct json *meta = json_get(doc, "metadata");
    if (!json_is(meta, JSON_OBJECT)
        || !json_read_i64(meta, "total_size", 0, INT64_MAX, &total, &none) || total < 0
        || (uint64_t)total == d->data_bytes)
        return;
    care_found(d->out, CARE_WARNING, "index_total_size", d->repo, care_deep_path(d, file),
               "total_size is %lld, the tensors of the shards take %llu bytes", (long long)total,
               (unsigned long long)d->data_bytes);
}

static void care_deep_index(struct care_deep *d, struct str file, bool *joined) {
    struct safet_index index;
    struct err e = { 0 };
    struct str text = cache_scan_read(d->arena, d->scan, file, LIMIT_JSON_FILE);
    if (!safet_index_parse(d->arena, text, &index, &e)) {
        care_deep_bad(d, "index_invalid", file, e.msg);
        return;
    }
    d->shards = ARENA_ARRAY(d->arena, struct str, index.n_files + 1);
    for (size_t i = 0; d->shards && i < index.n_files; i++) {
        struct cache_file *f = cache_scan_find(d->scan, index.files[i]);
        d->shards[d->n_shards] = index.files[i];
        if (f && f->kind == OS_FILE) {
            joined[f - d->scan->files] = true;
            care_deep_safetensors(d, f, true);
        } else {
            d->headers_ok = false;
            care_deep_bad(d, "shard_missing", index.files[i],
                          "a shard that the index names is not there");
        }
    }
    if (d->shards && d->headers_ok && d->n_shards == index.n_files) {
        care_deep_agree(d, file, &index);
        care_deep_total(d, file, text);
    }
}

/* ---- other files ---- */

static void care_deep_gguf(struct care_deep *d, const struct cache_file *f) {
    struct os_map map;
    struct gguf g;
    struct err e = { 0 };
    struct str path = care_deep_path(d, f->path);
    if (!path.p || !os_map_file(path.p, &map, &e)) {
        care_deep_bad(d, "unreadable", f->path, e.msg);
        return;
    }
    struct str file = { (const char *)map.p, map.size_bytes };
    struct arena_mark mark = arena_mark(d->arena);
    if (!str_starts(file, STR("GGUF")))
        care_deep_bad(d, "gguf_magic", f->path, "it does not begin with GGUF");
    else if (!gguf_parse(d->arena, file, &g, &e) && e.code == ERR_FORMAT)
        care_deep_bad(d, "gguf_invalid", f->path, e.msg);
    arena_rewind(d->arena, mark);
    os_unmap(&map);
}

static bool care_deep_is_pointer(struct care_deep *d, const struct cache_file *f) {
    struct str text = f->size_bytes && f->size_bytes < 200
                          ? cache_scan_read(d->arena, d->scan, f->path, 200) : STR_EMPTY;
    return str_starts(text, STR(CACHE_LFS_LINE));
}

static void care_deep_files(struct care_deep *d) {
    bool *joined = ARENA_ARRAY(d->arena, bool, d->scan->n + 1);
    struct str index = STR("model.safetensors.index.json");
    if (!joined) {
        d->out->failed = true;
        return;
    }
    if (cache_scan_find(d->scan, index)) care_deep_index(d, index, joined);
    for (size_t i = 0; i < d->scan->n; i++) {
        const struct cache_file *f = &d->scan->files[i];
        if (f->kind != OS_FILE || joined[i]) continue;
        bool weights = str_ends(f->path, STR(".safetensors")),
             gguf = str_ends(f->path, STR(".gguf"));
        if ((weights || gguf) && care_deep_is_pointer(d, f))
            care_deep_bad(d, "lfs_pointer", f->path, "a pointer of git-lfs stands in its place");
        else if (weights) care_deep_safetensors(d, f, false);
        else if (gguf) care_deep_gguf(d, f);
    }
}

/* ---- the repo around a snapshot (Public) ---- */

static void care_deep_link(const struct care_repo *r, const struct care_entry *x, bool judged,
                           struct care_findings *f) {
    if (x->target.kind != OS_NONE) return;
    struct care_finding *y =
        care_found(f, judged ? CARE_ERROR : CARE_WARNING, "dangling_link", r->name,
                   str_cstr(x->path_cstr), "the link leads nowhere: blob " STR_FMT " is not there",
                   STR_ARG(x->to));
    if (!y) return;
    y->commit = str_dup(f->arena, x->commit);
    y->file = str_dup(f->arena, x->name);
    if (cache_blob_hash(x->to) != CACHE_OPAQUE) y->expected = str_dup(f->arena, x->to);
    y->fix = str_format(f->arena, "mlxk verify " STR_FMT " --repair", STR_ARG(r->name));
}

static void care_deep_leftover(const struct care_repo *r, const struct care_entry *x,
                               struct care_findings *f) {
    char size[16];
    if (str_find(str_cstr(x->path_cstr), STR("/.mlxk/")) >= 0) return;   /* goes with its blob */
    num_format_size(size, x->st.size_bytes);
    bool damaged = str_ends(x->name, STR(CARE_DAMAGED));
    struct care_finding *y = care_found(
        f, CARE_WARNING, x->kind == CARE_PARTIAL && !damaged ? "partial_download" : "leftover",
        r->name, str_cstr(x->path_cstr),
        damaged                   ? "a damaged copy of a blob that was set aside (%s)"
        : x->kind == CARE_PARTIAL ? "an unfinished download (%s)"
                                  : "left by an interrupted program (%s)",
        size);
    if (y && damaged) y->expected = str_dup(f->arena, care_partial_etag(x->name));
    if (y) y->fix = x->kind == CARE_PARTIAL && !damaged
                        ? str_format(f->arena, "mlxk pull " STR_FMT " goes on, mlxk gc removes it",
                                     STR_ARG(r->name))
                        : STR("mlxk gc --yes");
}

static bool care_deep_has_revision(const struct care_repo *r, struct str commit) {
    for (size_t i = 0; i < r->n_revisions; i++)
        if (str_eq(r->revisions[i].commit, commit)) return true;
    return false;
}

static void care_deep_ref(const struct care_repo *r, const struct care_entry *x,
                          struct care_findings *f) {
    if (care_deep_has_revision(r, x->commit)) return;
    struct care_finding *y =
        care_found(f, CARE_ERROR, "ref_dangling", r->name, str_cstr(x->path_cstr),
                   "the ref " STR_FMT " names '" STR_FMT
                   "', which has no snapshot: other tools skip the repository",
                   STR_ARG(x->name), STR_ARG(x->commit));
    if (y) y->fix = str_format(f->arena, "mlxk pull " STR_FMT "@" STR_FMT, STR_ARG(r->name),
                               STR_ARG(x->name));
}

/* What the file list says about one file of a snapshot. */
static void care_deep_listed(const struct care_repo *r, struct str commit,
                             const struct cache_tree_file *t, const struct care_entry *x,
                             struct care_findings *f) {
    uint64_t size;
    struct str etag = care_tree_etag(t, &size);
    struct str path = x ? str_cstr(x->path_cstr)
                        : str_format(f->arena, "%s/snapshots/" STR_FMT "/" STR_FMT, r->dir_cstr,
                                     STR_ARG(commit), STR_ARG(t->path));
    struct care_finding *y = NULL;
    const struct os_stat *st = !x ? NULL : x->kind == CARE_LINK ? &x->target : &x->st;
    if (!x)
        y = map_get(&r->blobs, etag)
                ? care_found(
                    f, CARE_WARNING, "link_missing", r->name, path,
                    "the file list names it and its blob is there, only the link is missing")
                : care_found(f, CARE_WARNING, "file_missing", r->name, path,
                             "the file list names it (%llu bytes); it is not in the snapshot",
                             (unsigned long long)size);
    else if (x->kind == CARE_LINK && !str_eq(x->to, etag) && cache_blob_hash(x->to) != CACHE_OPAQUE)
        y = care_found(f, CARE_ERROR, "link_differs", r->name, path,
                       "the link leads to blob " STR_FMT ", the file list names " STR_FMT,
                       STR_ARG(x->to), STR_ARG(etag));
    else if (st->kind == OS_FILE && st->size_bytes != size)
        y = care_found(f, CARE_ERROR, "size_differs", r->name, path,
                       "it has %llu bytes, the file list says %llu",
                       (unsigned long long)st->size_bytes, (unsigned long long)size);
    if (!y) return;
    y->commit = str_dup(f->arena, commit);
    y->file = str_dup(f->arena, t->path);
    y->expected = str_dup(f->arena, etag);
    y->fix = !x && !map_get(&r->blobs, etag)
                 ? str_format(f->arena, "mlxk pull " STR_FMT "@" STR_FMT, STR_ARG(r->name),
                              STR_ARG(commit))
                 : str_format(f->arena, "mlxk verify " STR_FMT " --repair", STR_ARG(r->name));
}

static bool care_deep_files_of(const struct care_repo *r, struct str commit, struct map *files) {
    for (size_t i = 0; i < r->n; i++) {
        const struct care_entry *x = &r->entries[i];
        if ((x->kind != CARE_LINK && x->kind != CARE_COPY) || !str_eq(x->commit, commit)) continue;
        uint64_t *at = map_put(files, x->name, NULL);
        if (at) *at = i + 1;
    }
    return !files->failed;
}

static void care_deep_tree(struct arena *a, const struct care_repo *r, struct str commit,
                           struct care_findings *f) {
    struct cache_tree_file *tree;
    size_t n;
    struct map files;
    if (!care_tree_of(a, r, commit, &tree, &n)) {
        struct care_finding *y = care_found(
            f, CARE_NOTE, "list_missing", r->name,
            str_format(a, "%s/trees/" STR_FMT ".json", r->dir_cstr, STR_ARG(commit)),
            "there is no file list of the commit: whether files are missing is not known");
        if (!y) return;
        y->commit = str_dup(f->arena, commit);
        y->fix = str_format(f->arena, "mlxk verify " STR_FMT " --repair", STR_ARG(r->name));
        return;
    }
    map_init(&files, SIZE_MAX / 64);
    f->failed = f->failed || !care_deep_files_of(r, commit, &files);
    for (size_t i = 0; !files.failed && i < n; i++) {
        uint64_t *at = map_put(&files, tree[i].path, NULL);
        uint64_t position = at ? *at : 0;
        if (at) *at = UINT64_MAX;                /* seen */
        care_deep_listed(r, commit, &tree[i], position ? &r->entries[position - 1] : NULL, f);
    }
    for (size_t i = 0; i < files.n; i++)
        if (files.entries[i].value != UINT64_MAX)
            care_found(f, CARE_WARNING, "file_unlisted", r->name,
                       str_cstr(r->entries[files.entries[i].value - 1].path_cstr),
                       "the file list of the commit does not name it");
    map_release(&files);
}

static void care_deep_main(const struct care_repo *r, struct care_findings *f) {
    bool has_main = false;
    for (size_t i = 0; i < r->n; i++)
        has_main =
            has_main || (r->entries[i].kind == CARE_REF && str_eq(r->entries[i].name, STR("main")));
    if (has_main || !r->n_revisions) return;
    struct care_finding *y = care_found(
        f, CARE_WARNING, "main_missing", r->name, str_format(f->arena, "%s/refs/main", r->dir_cstr),
        "there is no refs/main: other tools find nothing here when they are offline");
    if (y) y->fix = str_format(f->arena, "mlxk verify " STR_FMT " --repair", STR_ARG(r->name));
}

MLXK_FN void care_deep_repo(const struct care_repo *r, struct str only_commit,
                            struct care_findings *f) {
    struct arena scratch;
    if (r->unreadable)
        care_found(f, CARE_WARNING, "unreadable", r->name, str_cstr(r->unreadable_path),
                   "a folder cannot be listed: what is in it is not known");
    if (r->away)
        care_found(f, CARE_NOTE, "link_to_folder", r->name, str_cstr(r->away_path),
                   "a folder that lies elsewhere: gc leaves this repository alone");
    for (size_t i = 0; i < r->n; i++) {
        const struct care_entry *x = &r->entries[i];
        bool judged = !only_commit.n || str_eq(x->commit, only_commit);
        if (x->kind == CARE_LINK) care_deep_link(r, x, judged, f);
        if (x->kind == CARE_REF) care_deep_ref(r, x, f);
        if (x->kind == CARE_PARTIAL || x->kind == CARE_TEMP) care_deep_leftover(r, x, f);
    }
    arena_init(&scratch, CARE_DEEP_MEMORY);
    for (size_t i = 0; i < r->n_revisions; i++) {
        struct arena_mark mark = arena_mark(&scratch);
        if (!only_commit.n || str_eq(r->revisions[i].commit, only_commit))
            care_deep_tree(&scratch, r, r->revisions[i].commit, f);
        arena_rewind(&scratch, mark);
    }
    arena_release(&scratch);
    care_deep_main(r, f);
}

/* ---- one model (Public) ---- */

static bool care_deep_model(struct arena *a, const struct cache *c, const struct cache_model *m,
                            struct care_findings *f, struct err *e) {
    struct cache_model own = *m;
    struct care_deep d = { .arena = a, .out = f, .repo = m->name, .headers_ok = true };
    struct care_repo r;
    own.scan = NULL;
    if (m->place == CACHE_REPO) {
        bool ok = care_repo_read(a, c, os_path_base(m->repo_dir_cstr), &r, e);
        if (ok)
            care_deep_repo(&r, m->snapshot_cstr ? os_path_base(m->snapshot_cstr) : STR_EMPTY, f);
        care_repo_release(&r);
        if (!ok) return false;
    }
    if (!m->snapshot_cstr) return true;
    own.dir_cstr = d.dir_cstr = m->snapshot_cstr;
    if (!cache_scan(a, &own, e)) return false;
    d.scan = own.scan;
    if (d.scan->unreadable)
        care_found(f, CARE_WARNING, "unreadable", m->name, str_cstr(m->snapshot_cstr),
                   "some folder of the model cannot be listed");
    for (size_t i = 0; m->place == CACHE_WORKSPACE && i < d.scan->n; i++)
        if (d.scan->files[i].kind == OS_NONE)
            care_deep_bad(&d, "dangling_link", d.scan->files[i].path, "the link leads nowhere");
    map_init(&d.owners, SIZE_MAX / 64);
    care_deep_files(&d);
    f->failed = f->failed || d.owners.failed;
    map_release(&d.owners);
    return true;
}

MLXK_FN bool care_deep(const struct cache *c, const struct cache_model *m, struct care_findings *f,
                       struct err *e) {
    struct arena scratch;
    arena_init(&scratch, CARE_DEEP_MEMORY);
    bool ok = care_deep_model(&scratch, c, m, f, e);
    arena_release(&scratch);
    return ok && (!f->failed || err_oom(e, f->n * sizeof *f->list, "what was found"));
}

#undef CARE_DEEP_MEMORY
