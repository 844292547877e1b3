/* cache_workspace.c: the sentinel .mlxk_workspace.json: where a workspace came from, and whether it
 * is still what was hashed. Format: mlx-knife facts 6.3, content hash v2: 6.4
 * (cache_fingerprint.c).
 *
 * 1. Reading never writes: a file whose time alone changed is hashed again, each time.
 * 2. A sentinel comes from outside: its paths are checked before they are compared with anything,
 *    and one bad path makes the state unknown.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

#define CACHE_SENTINEL ".mlxk_workspace.json"

static struct str cache_member_str(const struct json *v, const char *key_cstr) {
    const struct json *member = json_get(v, key_cstr);
    return json_is(member, JSON_STRING) ? member->string : STR_EMPTY;
}

/* The stored patterns, or the defaults where there is no list of texts. */
static struct cache_patterns cache_stored_patterns(struct arena *a, const struct json *document) {
    const struct json *list = json_get(document, "exclude_patterns");
    struct str *out = json_is(list, JSON_ARRAY) ? ARENA_ARRAY(a, struct str, list->n) : NULL;
    size_t n = 0;
    for (const struct json *v = out ? list->child : NULL; v; v = v->next) {
        if (v->kind != JSON_STRING) {
            return cache_default_patterns();
        }
        out[n++] = v->string;
    }
    return out ? (struct cache_patterns){ out, n } : cache_default_patterns();
}

/* ---- unchanged? ---- */

static bool cache_index_path_safe(struct str path) {
    if (!path.n || path.p[0] == '/' || str_find_char(path, '\0') >= 0 ||
        str_find_char(path, '\\') >= 0 || (path.n >= 2 && path.p[1] == ':')) {
        return false;
    }
    for (struct str rest = path; rest.p;) {
        if (str_eq(str_cut(&rest, '/'), STR(".."))) {
            return false;
        }
    }
    return true;
}

/* path -> its entry; false: the sentinel's list cannot be trusted. */
static bool cache_index_load(const struct json *list, struct map *index) {
    if (!json_is(list, JSON_ARRAY)) {
        return false;
    }
    for (const struct json *v = list->child; v; v = v->next) {
        struct str path = cache_member_str(v, "path");
        uint64_t *slot = cache_index_path_safe(path) ? map_put(index, path, NULL) : NULL;
        if (!slot) {
            return false;
        }
        *slot = (uint64_t)(uintptr_t)v;
    }
    return true;
}

static bool cache_entry_same(struct arena *a, const char *root_cstr, const struct cache_print *f,
                             const struct json *entry) {
    const struct json *size = json_get(entry, "size"), *mtime = json_get(entry, "mtime_ns");
    char sha[72];
    struct err bad = { 0 };
    if (!json_is(size, JSON_INT) || size->integer < 0 || (uint64_t)size->integer != f->size_bytes) {
        return false;
    }
    if (!f->is_link && json_is(mtime, JSON_INT) && mtime->integer == f->mtime_ns) {
        return true;
    }
    return cache_print_sha(a, root_cstr, f, sha, &bad) &&
           str_eq(cache_member_str(entry, "sha"), str_cstr(sha));
}

static int cache_workspace_clean(struct arena *a, const char *dir_cstr, cache_normalize normalize,
                                 const struct json *document) {
    const struct cache_print **files;
    size_t n;
    struct err bad = { 0 };
    struct map index;
    int clean = -1;
    char *root = os_path_real(a, dir_cstr, &bad);
    map_init(&index, CACHE_MAX_ENTRIES);
    if (root && cache_index_load(json_get(document, "file_index"), &index) &&
        cache_print_files(a, root, cache_stored_patterns(a, document), normalize, &files, &n,
                          &bad)) {
        clean = n == index.n;
        for (size_t i = 0; clean == 1 && i < n; i++) {
            const uint64_t *entry = map_get(&index, files[i]->path);
            clean = entry &&
                    cache_entry_same(a, root, files[i], (const struct json *)(uintptr_t)*entry);
        }
    }
    map_release(&index);
    return clean;
}

/* ---- reading (Public) ---- */

MLXK_FN bool cache_workspace_read(struct arena *a, const char *dir_cstr, cache_normalize normalize,
                                  struct cache_workspace *out, struct err *e) {
    struct err none = { 0 };
    struct str text;
    *out = (struct cache_workspace){ .clean = -1 };
    char *path = os_path_join(a, dir_cstr, CACHE_SENTINEL);
    if (!path) {
        return err_oom(e, LIMIT_PATH, "a path");
    }
    if (!os_read_file(a, path, LIMIT_JSON_FILE, &text, &none)) {
        return true;
    }
    const struct json *doc = cache_parse(a, text), *managed = json_get(doc, "managed");
    if (!json_is(doc, JSON_OBJECT)) {
        return true;
    }
    out->present = true;
    out->document = doc;
    out->managed = json_is(managed, JSON_BOOL) && managed->boolean;
    out->origin = cache_member_str(doc, "source_repo");
    out->content_hash = cache_member_str(doc, "content_hash");
    out->hash_modified = cache_member_str(doc, "hash_modified");
    if (str_eq(cache_member_str(doc, "hash_algorithm"), STR("v2"))) {
        out->clean = cache_workspace_clean(a, dir_cstr, normalize, doc);
        out->has_v2 = out->clean >= 0;
    }
    return true;
}

/* ---- hashing anew ---- */

struct cache_rehash {
    struct arena *arena;
    const char *root_cstr;
    const struct json *document;
    struct cache_patterns patterns;
    const struct cache_print **files; size_t n;
    char (*shas)[72];
    char content_hash[72], now[40];
};

static bool cache_rehash_files(struct cache_rehash *r, struct err *e) {
    struct sha256 all;
    uint8_t digest[32];
    sha256_init(&all);
    r->shas = arena_array(r->arena, r->n, sizeof *r->shas, 1);
    if (!r->shas) {
        return err_oom(e, r->n * sizeof *r->shas, "the hashes of a workspace");
    }
    for (size_t i = 0; i < r->n; i++) {
        if (!cache_print_sha(r->arena, r->root_cstr, r->files[i], r->shas[i], e)) {
            return false;
        }
        sha256_update(&all, r->files[i]->path.p, r->files[i]->path.n);
        sha256_update(&all, "", 1);
        sha256_update(&all, r->shas[i], strlen(r->shas[i]));
    }
    sha256_final(&all, digest);
    memcpy(r->content_hash, "sha256:", 7);
    str_hex(r->content_hash + 7, digest, sizeof digest);
    return true;
}

/* "2026-01-31T12:00:00.123456Z", as the sentinels of others hold it. */
static void cache_rehash_now(char out[40]) {
    int64_t now_ns = os_time_ns(), micros = now_ns / 1000 % 1000000;
    char text[32];
    os_format_time(text, now_ns);
    size_t n = strlen(text) - 1;                 /* the Z goes behind the fraction */
    memcpy(out, text, n);
    out[n] = '.';
    for (size_t i = 6; i > 0; i--, micros /= 10) {
        out[n + i] = (char)('0' + micros % 10);
    }
    memcpy(out + n + 7, "Z", 2);
}

static const char *const cache_rehash_keys[] = { "hash_algorithm", "content_hash", "hash_modified",
                                                 "exclude_patterns", "file_index" };

static void cache_rehash_member(struct json_writer *w, const struct cache_rehash *r, size_t key) {
    json_write_key(w, cache_rehash_keys[key]);
    switch (key) {
    case 0: json_write_cstr(w, "v2"); return;
    case 1: json_write_cstr(w, r->content_hash); return;
    case 2: json_write_cstr(w, r->now); return;
    case 3:
        json_write_array(w);
        for (size_t i = 0; i < r->patterns.n; i++) {
            json_write_str(w, r->patterns.list[i]);
        }
        json_write_array_end(w);
        return;
    default:
        json_write_array(w);
        for (size_t i = 0; i < r->n; i++) {
            json_write_object(w);
            json_write_key(w, "path");
            json_write_str(w, r->files[i]->path);
            json_write_key(w, "size");
            json_write_u64(w, r->files[i]->size_bytes);
            json_write_key(w, "mtime_ns");
            json_write_i64(w, r->files[i]->mtime_ns);
            json_write_key(w, "sha");
            json_write_cstr(w, r->shas[i]);
            json_write_object_end(w);
        }
        json_write_array_end(w);
    }
}

/* The old members in their order, the new values in their places, what is missing behind them. */
static void cache_rehash_document(struct json_writer *w, const struct cache_rehash *r) {
    bool written[MLXK_COUNT(cache_rehash_keys)] = { false };
    json_write_object(w);
    for (const struct json *v = r->document->child; v; v = v->next) {
        size_t key = 0;
        while (key < MLXK_COUNT(cache_rehash_keys) &&
               !str_eq_cstr(v->key, cache_rehash_keys[key])) {
            key++;
        }
        if (key < MLXK_COUNT(cache_rehash_keys)) {
            cache_rehash_member(w, r, key);
            written[key] = true;
        } else {
            json_write_key_str(w, v->key);
            json_write_value(w, v);
        }
    }
    for (size_t key = 0; key < MLXK_COUNT(cache_rehash_keys); key++) {
        if (!written[key]) {
            cache_rehash_member(w, r, key);
        }
    }
    json_write_object_end(w);
}

/* ---- (Public) ---- */

MLXK_FN bool cache_workspace_rehash(struct arena *a, const char *dir_cstr,
                                    cache_normalize normalize, struct err *e) {
    struct cache_workspace ws;
    struct cache_rehash r = { .arena = a };
    struct json_writer w;
    struct buf text;
    if (!cache_workspace_read(a, dir_cstr, normalize, &ws, e) ||
        !(r.root_cstr = os_path_real(a, dir_cstr, e))) {
        return false;
    }
    if (!ws.managed || !json_get(ws.document, "mlxk_version") ||
        !json_get(ws.document, "created_at") || !json_get(ws.document, "operation")) {
        err_set(e, ERR_UNSUPPORTED, "%s is not a managed workspace: its hash cannot be stored",
                r.root_cstr);
        return err_hint(e, "workspaces made by clone and convert are managed");
    }
    r.document = ws.document;
    r.patterns = cache_stored_patterns(a, ws.document);
    if (!cache_print_files(a, r.root_cstr, r.patterns, normalize, &r.files, &r.n, e) ||
        !cache_rehash_files(&r, e)) {
        return false;
    }
    cache_rehash_now(r.now);
    buf_init(&text, LIMIT_JSON_FILE);
    json_write_init(&w, &text, true, true);
    cache_rehash_document(&w, &r);
    buf_add_char(&text, '\n');
    char *path = os_path_join(a, r.root_cstr, CACHE_SENTINEL);
    bool ok = buf_ok(&text, "the sentinel of a workspace", e) && path &&
              os_write_file(path, buf_str(&text), e);
    buf_release(&text);
    return ok || (path ? false : err_oom(e, LIMIT_PATH, "a path"));
}

MLXK_FN bool cache_workspace_sweep(struct arena *a, const char *dir_cstr, struct err *e) {
    struct os_entry *entries;
    size_t n;
    if (!os_list_dir(a, dir_cstr, CACHE_MAX_ENTRIES, &entries, &n, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct str name = entries[i].name;
        if (!str_starts(name, STR(CACHE_SENTINEL ".")) || !str_ends(name, STR(".tmp"))) {
            continue;
        }
        char *name_cstr = str_dup_cstr(a, name);
        char *path = name_cstr ? os_path_join(a, dir_cstr, name_cstr) : NULL;
        if (!path) {
            return err_oom(e, LIMIT_PATH, "a path");
        }
        if (!os_unlink(path, e)) {
            return false;
        }
    }
    return true;
}

/* ---- a new one ---- */

static void cache_origin_document(struct buf *text, const struct cache_origin *from) {
    struct json_writer w;
    char now[40];
    cache_rehash_now(now);
    json_write_init(&w, text, true, true);
    json_write_object(&w);
    json_write_member_or_null(&w, "mlxk_version", from->version);
    json_write_member_or_null(&w, "created_at", str_cstr(now));
    json_write_member_or_null(&w, "source_repo", from->source_repo);
    json_write_member_or_null(&w, "source_revision", from->source_revision);
    json_write_key(&w, "managed");
    json_write_bool(&w, true);
    json_write_member_or_null(&w, "operation", from->operation);
    if (from->more_json.n) {
        buf_addf(text, ",\n  " STR_FMT, STR_ARG(from->more_json));
    }
    json_write_object_end(&w);
    buf_add_char(text, '\n');
}

MLXK_FN bool cache_workspace_create(struct arena *a, const char *dir_cstr,
                                    const struct cache_origin *from, cache_normalize normalize,
                                    struct err *e) {
    struct buf text;
    struct err unhashed = { 0 };
    char *path = os_path_join(a, dir_cstr, CACHE_SENTINEL);
    buf_init(&text, LIMIT_JSON_DOC);
    cache_origin_document(&text, from);
    bool ok = buf_ok(&text, "the sentinel of a workspace", e) && path &&
              os_write_file(path, buf_str(&text), e);
    buf_release(&text);
    if (!ok) {
        return path ? false : err_oom(e, LIMIT_PATH, "a path");
    }
    if (cache_workspace_rehash(a, dir_cstr, normalize, &unhashed) ||
        unhashed.code == ERR_FORMAT) {
        return true;
    }
    *e = unhashed;
    return false;
}

#undef CACHE_SENTINEL
