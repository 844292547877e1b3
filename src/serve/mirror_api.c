/* mirror_api.c: the hub's JSON: repositories, their files. Their refs: mirror_refs.c.
 *
 * Documents are written while they are made, so that a commit of a hundred thousand files costs the
 * memory of its list only.
 *
 * Invariants
 *  1. Nothing here names Xet: clients would ask this server for what it does not have.
 *  2. A list is the whole list of its commit.
 * ref: hub facts 3.1-3.4, 4.1.
 */
#include "serve/mirror_int.h"

enum {
    MIRROR_API_FLUSH = 32768, MIRROR_API_MAX_PATHS = 20000, MIRROR_API_MAX_REPOS = 200000,
    MIRROR_API_LIMIT = 1000,     /* repositories in a list, where the client gives no limit */
};
#define MIRROR_API_NO_OID "0000000000000000000000000000000000000000"

/* ---- documents (Public to the room) ---------------------------------------------------------- */

MLXK_FN struct json_writer *mirror_doc_open(struct mirror_doc *d, struct httpd_exchange *x,
                                            const char *commit_cstr) {
    *d = (struct mirror_doc){ .x = x };
    buf_init(&d->text, (size_t)64 << 20);
    json_write_init(&d->w, &d->text, false, false);
    if (commit_cstr) httpd_set(x, "X-Repo-Commit", "%s", commit_cstr);
    return &d->w;
}

MLXK_FN void mirror_doc_flush(struct mirror_doc *d) {
    if (d->text.n < MIRROR_API_FLUSH || d->text.failed || d->e.code != ERR_OK) return;
    if (!d->begun) {
        httpd_set(d->x, "Content-Type", "application/json; charset=utf-8");
        if (!httpd_begin(d->x, 200, UINT64_MAX, &d->e)) return;
        d->begun = true;
    }
    if (httpd_write(d->x, buf_str(&d->text), &d->e)) buf_reset(&d->text);
}

MLXK_FN void mirror_doc_end(struct mirror_doc *d) {
    bool ok = buf_ok(&d->text, "an answer", &d->e) && d->e.code == ERR_OK;
    if (!ok) httpd_cut(d->x);
    else if (!d->begun)
        httpd_reply(d->x, 200, "application/json; charset=utf-8", buf_str(&d->text));
    else if (httpd_write(d->x, buf_str(&d->text), &d->e)) (void)httpd_end(d->x, &d->e);
    buf_release(&d->text);
}

static void mirror_doc_flag(struct json_writer *w, const char *key_cstr, bool value) {
    json_write_key(w, key_cstr);
    json_write_bool(w, value);
}

static void mirror_doc_count(struct json_writer *w, const char *key_cstr, uint64_t value) {
    json_write_key(w, key_cstr);
    json_write_u64(w, value);
}

/* "2026-03-14T15:09:26.000Z" as the hub writes it. */
static void mirror_doc_time(struct json_writer *w, const char *key_cstr, int64_t time_ns) {
    char text[40];
    os_format_time(text, time_ns);
    struct str s = str_cstr(text);
    if (str_ends(s, STR("Z"))) memcpy(text + s.n - 1, ".000Z", 6);
    json_write_key(w, key_cstr);
    json_write_cstr(w, text);
}

/* ---- repository information (Private) -------------------------------------------------------- */

static void mirror_api_about(struct json_writer *w, enum mirror_type type, struct str repo,
                             struct str commit, int64_t time_ns) {
    struct str rest = repo, author = str_cut(&rest, '/');
    json_write_member(w, "_id", str_sub(commit, 0, 24));
    json_write_member(w, "id", repo);
    if (type == MIRROR_MODELS) json_write_member(w, "modelId", repo);
    if (rest.p) json_write_member(w, "author", author);
    json_write_member(w, "sha", commit);
    mirror_doc_time(w, "lastModified", time_ns);
    mirror_doc_time(w, "createdAt", time_ns);
    mirror_doc_flag(w, "private", false);
    mirror_doc_flag(w, "gated", false);
    mirror_doc_flag(w, "disabled", false);
    mirror_doc_count(w, "downloads", 0);
    mirror_doc_count(w, "likes", 0);
    json_write_key(w, "tags");
    json_write_array(w);
    json_write_array_end(w);
}

static void mirror_api_lfs(struct json_writer *w, const struct mirror_file *f,
                           const char *oid_key_cstr) {
    char oid[65];
    if (!f->lfs) return;
    size_t pointer_n = cache_lfs_pointer(f->etag, f->size_bytes, oid);
    json_write_key(w, "lfs");
    json_write_object(w);
    json_write_member(w, oid_key_cstr, f->etag);
    mirror_doc_count(w, "size", f->size_bytes);
    mirror_doc_count(w, "pointerSize", pointer_n);
    json_write_object_end(w);
}

static void mirror_api_info(struct httpd_exchange *x, const struct mirror_subject *s) {
    struct mirror_doc d;
    struct json_writer *w = mirror_doc_open(&d, x, s->list->commit);
    bool blobs = mirror_query_true(&x->arena, x->query, "blobs");
    uint64_t used = 0;
    json_write_object(w);
    mirror_api_about(w, s->route->type, s->route->repo, str_cstr(s->list->commit), s->time_ns);
    json_write_key(w, "siblings");
    json_write_array(w);
    for (size_t i = 0; i < s->list->n; i++) {
        const struct mirror_file *f = &s->list->files[i];
        json_write_object(w);
        json_write_member(w, "rfilename", f->path);
        if (blobs) {
            mirror_doc_count(w, "size", f->size_bytes);
            json_write_member(w, "blobId", f->git_oid);
            mirror_api_lfs(w, f, "sha256");
        }
        json_write_object_end(w);
        used += f->size_bytes;
        mirror_doc_flush(&d);
    }
    json_write_array_end(w);
    mirror_doc_count(w, "usedStorage", used);
    json_write_object_end(w);
    mirror_doc_end(&d);
}

/* ---- files (Private) ------------------------------------------------------------------------- */

struct mirror_tree { struct mirror_doc doc; const struct mirror_subject *s; bool expand; };

static void mirror_api_commit_of(struct mirror_tree *t) {
    struct json_writer *w = &t->doc.w;
    if (!t->expand) return;
    json_write_key(w, "lastCommit");
    json_write_object(w);
    json_write_member(w, "id", str_cstr(t->s->list->commit));
    json_write_member(w, "title", STR("mirrored"));
    mirror_doc_time(w, "date", t->s->time_ns);
    json_write_object_end(w);
}

static void mirror_api_file(struct mirror_tree *t, const struct mirror_file *f) {
    struct json_writer *w = &t->doc.w;
    json_write_object(w);
    json_write_member(w, "type", STR("file"));
    json_write_member(w, "oid", f->git_oid);
    mirror_doc_count(w, "size", f->size_bytes);
    mirror_api_lfs(w, f, "oid");
    json_write_member(w, "path", f->path);
    mirror_api_commit_of(t);
    json_write_object_end(w);
    mirror_doc_flush(&t->doc);
}

static void mirror_api_folder(struct mirror_tree *t, struct str path) {
    struct json_writer *w = &t->doc.w;
    json_write_object(w);
    json_write_member(w, "type", STR("directory"));
    json_write_member(w, "oid", STR(MIRROR_API_NO_OID));   /* git's name for it is not known here */
    mirror_doc_count(w, "size", 0);
    json_write_member(w, "path", path);
    mirror_api_commit_of(t);
    json_write_object_end(w);
    mirror_doc_flush(&t->doc);
}

/* Folders of path that the path before it, in order, was not in; only direct ones unless
 * recursive. */
static void mirror_api_folders(struct mirror_tree *t, struct str path, struct str before,
                               size_t base, bool recursive) {
    for (size_t i = base; i < path.n; i++) {
        if (path.p[i] != '/') continue;
        struct str folder = str_sub(path, 0, i);
        bool known = before.n > i && str_starts(before, folder) && before.p[i] == '/';
        if (!known) mirror_api_folder(t, folder);
        if (!recursive) return;
    }
}

static void mirror_api_tree(struct httpd_exchange *x, const struct mirror_subject *s) {
    struct mirror_tree t = { .s = s, .expand = mirror_query_true(&x->arena, x->query, "expand") };
    struct str folder = s->route->path, before = STR_EMPTY;
    bool recursive = mirror_query_true(&x->arena, x->query, "recursive");
    while (str_ends(folder, STR("/"))) folder.n--;
    size_t from, to, base = folder.n ? folder.n + 1 : 0;
    mirror_list_below(s->list, folder, &from, &to);
    if (folder.n && from == to) {
        struct mirror_fault f = { .commit = str_cstr(s->list->commit) };
        mirror_refuse(&f, 404, "EntryNotFound", STR_FMT " does not exist on \"" STR_FMT "\"",
                      STR_ARG(folder), STR_ARG(s->route->revision));
        mirror_answer_fault(x, &f);
        return;
    }
    struct json_writer *w = mirror_doc_open(&t.doc, x, s->list->commit);
    json_write_array(w);
    for (size_t i = from; i < to; i++) {
        const struct mirror_file *f = &s->list->files[i];
        mirror_api_folders(&t, f->path, before, base, recursive);
        bool direct = str_find_char(str_sub(f->path, base, f->path.n), '/') < 0;
        if (recursive || direct) mirror_api_file(&t, f);
        before = f->path;
    }
    json_write_array_end(w);
    mirror_doc_end(&t.doc);
}

/* ---- chosen paths (Private) ------------------------------------------------------------------ */

struct mirror_paths { struct str *p; size_t n; bool expand; };

static bool mirror_api_take_path(struct mirror_paths *out, struct str path) {
    if (out->n == MIRROR_API_MAX_PATHS) return false;
    while (str_ends(path, STR("/"))) path.n--;
    out->p[out->n++] = path;
    return true;
}

static bool mirror_api_form(struct arena *a, struct str body, struct mirror_paths *out) {
    struct str rest = body, path;
    out->expand = mirror_query_true(a, body, "expand");
    while (rest.p) {
        struct str value = str_cut(&rest, '&'), key = str_cut(&value, '=');
        if (!str_eq(key, STR("paths"))) continue;
        if (!httpd_decode(a, value, true, &path) || !mirror_api_take_path(out, path)) return false;
    }
    return true;
}

static bool mirror_api_json(struct arena *a, struct str body, struct mirror_paths *out,
                            struct err *e) {
    const struct json *doc = json_parse(a, body, e), *paths = json_get(doc, "paths");
    if (!json_is(doc, JSON_OBJECT) || !json_read_bool(doc, "expand", &out->expand, e)) return false;
    if (json_is(paths, JSON_STRING)) return mirror_api_take_path(out, paths->string);
    if (!json_is(paths, JSON_ARRAY)) return false;
    for (const struct json *v = paths->child; v; v = v->next)
        if (!json_is(v, JSON_STRING) || !mirror_api_take_path(out, v->string)) return false;
    return true;
}

static bool mirror_api_read_paths(struct httpd_exchange *x, struct mirror_paths *out,
                                  struct mirror_fault *f) {
    struct buf body;
    struct err e = { 0 };
    buf_init(&body, LIMIT_JSON_DOC);
    out->p = ARENA_ARRAY(&x->arena, struct str, MIRROR_API_MAX_PATHS);
    bool ok = out->p && httpd_read_all(x, &body, &e);
    struct str text = ok ? str_dup(&x->arena, buf_str(&body)) : STR_EMPTY;
    buf_release(&body);
    if (!ok) {
        int status = e.code == ERR_LIMIT ? 413 : e.code == ERR_NET_TIMEOUT ? 408 : 400;
        return mirror_refuse(f, status, "BadRequest", "%s", e.msg);
    }
    bool json = str_contains_icase(httpd_header(x, "Content-Type"), STR("json"));
    ok = json ? mirror_api_json(&x->arena, text, out, &e) : mirror_api_form(&x->arena, text, out);
    return ok || mirror_refuse(f, 400, "BadRequest", "'paths' is no list of at most %d names",
                               MIRROR_API_MAX_PATHS);
}

static void mirror_api_paths(struct httpd_exchange *x, const struct mirror_subject *s) {
    struct mirror_paths paths = { .n = 0 };
    struct mirror_fault f = { .commit = str_cstr(s->list->commit) };
    if (!mirror_api_read_paths(x, &paths, &f)) {
        mirror_answer_fault(x, &f);
        return;
    }
    struct mirror_tree t = { .s = s, .expand = paths.expand };
    struct json_writer *w = mirror_doc_open(&t.doc, x, s->list->commit);
    json_write_array(w);
    for (size_t i = 0; i < paths.n; i++) {
        const struct mirror_file *file = mirror_list_find(s->list, paths.p[i]);
        size_t from, to;
        mirror_list_below(s->list, paths.p[i], &from, &to);
        if (file) mirror_api_file(&t, file);
        else if (paths.p[i].n && from < to) mirror_api_folder(&t, paths.p[i]);
    }
    json_write_array_end(w);
    mirror_doc_end(&t.doc);
}

/* ---- commits (Private) ----------------------------------------------------------------------- */

static void mirror_api_commits(struct httpd_exchange *x, const struct mirror_subject *s) {
    struct mirror_doc d;
    struct json_writer *w = mirror_doc_open(&d, x, s->list->commit);
    json_write_array(w);
    json_write_object(w);
    json_write_member(w, "id", str_cstr(s->list->commit));
    json_write_member(w, "title", STR("mirrored"));
    json_write_member(w, "message", STR(""));
    json_write_key(w, "authors");
    json_write_array(w);
    json_write_array_end(w);
    mirror_doc_time(w, "date", s->time_ns);
    json_write_object_end(w);
    json_write_array_end(w);
    mirror_doc_end(&d);
}

/* ---- all repositories (Private) -------------------------------------------------------------- */

MLXK_FN bool mirror_repos(struct mirror *m, struct arena *a, enum mirror_type type,
                          struct str **out, size_t *n_out, struct err *e) {
    struct os_entry *entries;
    struct err bad = { 0 };
    size_t n;
    *n_out = 0;
    if (!os_list_dir(a, m->cache.root_cstr, MIRROR_API_MAX_REPOS, &entries, &n, &bad)) {
        *out = NULL;
        if (bad.code == ERR_NOT_FOUND) return true;
        *e = bad;
        return false;
    }
    *out = ARENA_ARRAY(a, struct str, n);
    if (!*out) return err_oom(e, n * sizeof **out, "a list of repositories");
    for (size_t i = 0; i < n; i++) {
        if (!cache_is_folder(entries[i].name)) continue;
        struct str name = cache_repo_name(a, entries[i].name);
        bool fits = (int)cache_kind_of(name) == (int)type;
        err_clear(&bad);
        if (fits && cache_name_ok(name, &bad) && mirror_allowed(m, name))
            (*out)[(*n_out)++] = name;
    }
    return true;
}

static bool mirror_api_matches(struct arena *a, struct str query, struct str repo) {
    struct str search = mirror_query(a, query, "search"), author = mirror_query(a, query, "author");
    struct str rest = repo, owner = str_cut(&rest, '/');
    return (!search.n || str_contains_icase(repo, search))
           && (!author.n || (rest.p && str_ieq(owner, author)));
}

static void mirror_api_list(struct mirror *m, struct httpd_exchange *x,
                            const struct mirror_route *route) {
    struct str *repos, limit_text = mirror_query(&x->arena, x->query, "limit");
    struct mirror_fault f = { 0 };
    struct mirror_doc d;
    struct err e = { 0 };
    size_t n;
    int64_t limit = MIRROR_API_LIMIT;
    if (!mirror_repos(m, &x->arena, route->type, &repos, &n, &e)) {
        mirror_refuse(&f, 500, "ServerError", "the list of repositories cannot be read");
        log_write(LOG_ERROR, "%s", e.msg);
        mirror_answer_fault(x, &f);
        return;
    }
    if (limit_text.p) (void)num_parse_i64(limit_text, 0, MIRROR_API_MAX_REPOS, &limit);
    struct json_writer *w = mirror_doc_open(&d, x, NULL);
    json_write_array(w);
    for (size_t i = 0; i < n && limit > 0; i++) {
        struct arena_mark mark = arena_mark(&x->arena);
        struct str repo = cache_bare_name(repos[i]);
        struct mirror_route about = { .kind = MIRROR_LIST, .type = route->type, .repo = repo,
                                      .name = repos[i] };
        struct mirror_subject s;
        err_clear(&e);
        if (mirror_api_matches(&x->arena, x->query, repo)
            && mirror_find(m, &x->arena, &about, &s, &f)) {
            json_write_object(w);
            mirror_api_about(w, route->type, repo, str_cstr(s.list->commit), s.time_ns);
            json_write_object_end(w);
            mirror_list_give(m, s.list);
            mirror_doc_flush(&d);
            limit--;
        }
        arena_rewind(&x->arena, mark);
    }
    json_write_array_end(w);
    mirror_doc_end(&d);
}

static void mirror_api_whoami(struct mirror *m, struct httpd_exchange *x) {
    struct mirror_doc d;
    struct mirror_fault f = { 0 };
    if (!serve_guard_has_keys(m->guard)) {
        mirror_refuse(&f, 401, "Unauthorized", "this mirror knows no accounts");
        mirror_answer_fault(x, &f);
        return;
    }
    struct json_writer *w = mirror_doc_open(&d, x, NULL);
    json_write_object(w);
    json_write_member(w, "type", STR("user"));
    json_write_member(w, "id", STR("000000000000000000000000"));
    json_write_member(w, "name", STR("mirror"));
    json_write_member(w, "fullname", STR("key of a mirror"));
    json_write_key(w, "orgs");
    json_write_array(w);
    json_write_array_end(w);
    json_write_key(w, "auth");
    json_write_object(w);
    json_write_member(w, "type", STR("access_token"));
    json_write_key(w, "accessToken");
    json_write_object(w);
    json_write_member(w, "displayName", STR("mirror"));
    json_write_member(w, "role", STR("read"));
    json_write_object_end(w);
    json_write_object_end(w);
    json_write_object_end(w);
    mirror_doc_end(&d);
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN void mirror_api(struct mirror *m, struct httpd_exchange *x, const struct mirror_route *r) {
    struct mirror_subject s;
    struct mirror_fault f = { 0 };
    if (r->kind == MIRROR_WHOAMI) { mirror_api_whoami(m, x); return; }
    if (r->kind == MIRROR_LIST) { mirror_api_list(m, x, r); return; }
    if (!mirror_find(m, &x->arena, r, &s, &f)) {
        if (r->kind != MIRROR_REFS || !mirror_refs_alone(m, x, r, &f)) mirror_answer_fault(x, &f);
        return;
    }
    switch (r->kind) {
    case MIRROR_INFO: mirror_api_info(x, &s); break;
    case MIRROR_TREE: mirror_api_tree(x, &s); break;
    case MIRROR_PATHS: mirror_api_paths(x, &s); break;
    case MIRROR_REFS: mirror_refs(m, x, &s); break;
    case MIRROR_COMMITS: mirror_api_commits(x, &s); break;
    default: httpd_reply(x, 200, "application/json; charset=utf-8", STR("{}"));
    }
    mirror_list_give(m, s.list);
}

#undef MIRROR_API_NO_OID
