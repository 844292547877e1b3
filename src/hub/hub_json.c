/* hub_json.c: answers of the hub's API, read with suspicion. Pure.
 *
 * Streamed, so that a list of a hundred thousand files costs its own memory only. Members that
 * are not needed are passed over, whatever they hold.
 *
 * Invariants
 *  1. A file that is taken has a name that may be used in the cache, a size and a hash.
 *  2. A page is taken whole or not at all: one bad entry makes the list unusable, because a tree
 *     that lacks a file would be believed by every later client.
 * ref: hub facts 3.1, 3.2.
 */
#include "hub/hub_int.h"

enum { HUB_JSON_DEPTH = 32 };

static bool hub_json_bad(const char *what_cstr, const char *want_cstr, struct err *e) {
    return err_set(e, ERR_FORMAT, "'%s' is not %s", what_cstr, want_cstr);
}

static bool hub_json_keep(struct arena *a, struct str s, struct str *out, struct err *e) {
    *out = str_dup(a, s);
    return out->p || s.n == 0 || err_oom(e, s.n, "an answer of the hub");
}

/* ---- repository information (Public) --------------------------------------------------------- */

static bool hub_json_info_member(struct arena *a, struct json_reader *r, struct str key,
                                 struct hub_repo *out, struct err *e) {
    struct json_token t;
    bool sha = str_eq(key, STR("sha")), gated = str_eq(key, STR("gated"));
    if (!sha && !gated && !str_eq(key, STR("private"))) return json_skip(r, NULL, e);
    if (!sha) {                          /* false, true, "auto", "manual" */
        if (!json_next(r, &t, e)) return false;
        if (t.kind == JSON_T_OBJECT || t.kind == JSON_T_ARRAY)
            return hub_json_bad(gated ? "gated" : "private", "a truth value", e);
        bool yes = t.kind == JSON_T_TRUE || t.kind == JSON_T_STRING;
        *(gated ? &out->gated : &out->is_private) = yes;
        return true;
    }
    if (!json_next(r, &t, e)) return false;
    if (t.kind != JSON_T_STRING || !str_is_hex(t.text, 40))
        return hub_json_bad("sha", "a commit of 40 hex digits", e);
    return hub_json_keep(a, t.text, &out->commit, e);
}

MLXK_FN bool hub_parse_info(struct arena *a, struct str text, struct hub_repo *out, struct err *e) {
    struct json_reader r;
    struct json_token t;
    json_reader_init(&r, text, HUB_JSON_DEPTH);
    bool ok = json_expect(&r, JSON_T_OBJECT, &t, e);
    while (ok && (ok = json_next(&r, &t, e)) && t.kind == JSON_T_KEY)
        ok = hub_json_info_member(a, &r, t.text, out, e);
    ok = ok && json_expect(&r, JSON_T_END, &t, e);
    if (ok && out->commit.n == 0) ok = err_set(e, ERR_FORMAT, "'sha', the commit, is missing");
    json_reader_release(&r);
    return ok;
}

/* ---- the file list (Public) ------------------------------------------------------------------ */

struct hub_json_entry {
    struct str type, path, oid, lfs_oid, xet;
    int64_t size, lfs_size;
    bool lfs;
};

static bool hub_json_str(struct arena *a, struct json_reader *r, const char *what_cstr,
                         struct str *out, struct err *e) {
    struct json_token t;
    if (!json_next(r, &t, e)) return false;
    if (t.kind == JSON_T_NULL) return true;
    return t.kind == JSON_T_STRING ? hub_json_keep(a, t.text, out, e)
                                   : hub_json_bad(what_cstr, "a text", e);
}

static bool hub_json_size(struct json_reader *r, int64_t *out, struct err *e) {
    struct json_token t;
    if (!json_next(r, &t, e)) return false;
    if (t.kind == JSON_T_NUMBER && json_token_i64(&t, out) && *out >= 0) return true;
    return hub_json_bad("size", "a number of bytes", e);
}

static bool hub_json_lfs(struct arena *a, struct json_reader *r, struct hub_json_entry *entry,
                         struct err *e) {
    struct json_token t;
    if (!json_next(r, &t, e)) return false;
    if (t.kind == JSON_T_NULL) return true;
    if (t.kind != JSON_T_OBJECT) return hub_json_bad("lfs", "an object", e);
    entry->lfs = true;
    while (json_next(r, &t, e) && t.kind == JSON_T_KEY) {
        bool ok = str_eq(t.text, STR("oid"))    ? hub_json_str(a, r, "lfs.oid", &entry->lfs_oid, e)
                  : str_eq(t.text, STR("size")) ? hub_json_size(r, &entry->lfs_size, e)
                                                : json_skip(r, NULL, e);
        if (!ok) return false;
    }
    return e->code == ERR_OK;
}

static bool hub_json_member(struct arena *a, struct json_reader *r, struct str key,
                            struct hub_json_entry *entry, struct err *e) {
    if (str_eq(key, STR("type"))) return hub_json_str(a, r, "type", &entry->type, e);
    if (str_eq(key, STR("path"))) return hub_json_str(a, r, "path", &entry->path, e);
    if (str_eq(key, STR("oid"))) return hub_json_str(a, r, "oid", &entry->oid, e);
    if (str_eq(key, STR("xetHash"))) return hub_json_str(a, r, "xetHash", &entry->xet, e);
    if (str_eq(key, STR("size"))) return hub_json_size(r, &entry->size, e);
    if (str_eq(key, STR("lfs"))) return hub_json_lfs(a, r, entry, e);
    return json_skip(r, NULL, e);
}

static bool hub_json_file(struct hub_json_entry *entry, struct hub_file *out, struct err *e) {
    if (str_starts(entry->lfs_oid, STR("sha256:")))
        entry->lfs_oid = str_sub(entry->lfs_oid, 7, entry->lfs_oid.n);
    if (!cache_path_ok(entry->path, e)) return false;
    if (entry->size < 0) return hub_json_bad("size", "there", e);
    if (!str_is_hex(entry->oid, 40)) return hub_json_bad("oid", "a git hash of 40 hex digits", e);
    if (entry->lfs && !str_is_hex(entry->lfs_oid, 64))
        return hub_json_bad("lfs.oid", "a sha256 of 64 hex digits", e);
    *out = (struct hub_file){
        .path = entry->path,
        .git_oid = entry->oid,
        .lfs = entry->lfs,
        .etag = entry->lfs ? entry->lfs_oid : entry->oid,
        .size_bytes = (uint64_t)(entry->lfs && entry->lfs_size >= 0 ? entry->lfs_size
                                                                    : entry->size),
        .xet_hash = str_is_hex(entry->xet, 64) ? entry->xet : STR_EMPTY,
    };
    return true;
}

static bool hub_json_append(struct arena *a, struct hub_files *out, const struct hub_file *f,
                            struct err *e) {
    if (out->n == HUB_MAX_FILES)
        return err_set(e, ERR_LIMIT, "it has more than %zu files", HUB_MAX_FILES);
    struct hub_file *grown = ARENA_GROW(a, struct hub_file, out->p, out->n, &out->cap, 256);
    if (!grown) return err_oom(e, (out->n + 1) * sizeof *grown, "a file list");
    out->p = grown;
    out->p[out->n++] = *f;
    return true;
}

static bool hub_json_entry(struct arena *a, struct json_reader *r, struct hub_files *out,
                           struct err *e) {
    struct hub_json_entry entry = { .size = -1, .lfs_size = -1 };
    struct hub_file f;
    struct json_token t;
    while (json_next(r, &t, e) && t.kind == JSON_T_KEY)
        if (!hub_json_member(a, r, t.text, &entry, e)) return false;
    if (e->code != ERR_OK) return false;
    if (!str_eq(entry.type, STR("file"))) return true;
    return hub_json_file(&entry, &f, e) && hub_json_append(a, out, &f, e);
}

MLXK_FN bool hub_parse_tree(struct arena *a, struct str text, struct hub_files *out,
                            struct err *e) {
    struct json_reader r;
    struct json_token t;
    size_t n = 0, before = out->n;
    json_reader_init(&r, text, HUB_JSON_DEPTH);
    bool ok = json_expect(&r, JSON_T_ARRAY, &t, e);
    while (ok && (ok = json_next(&r, &t, e)) && t.kind != JSON_T_ARRAY_END) {
        ok = t.kind == JSON_T_OBJECT ? hub_json_entry(a, &r, out, e)
                                     : hub_json_bad("an entry", "an object", e);
        if (!ok) err_context(e, "entry %zu: ", n + 1);
        n++;
    }
    ok = ok && json_expect(&r, JSON_T_END, &t, e);
    json_reader_release(&r);
    if (!ok) out->n = before;
    return ok;
}

/* ---- branches and tags (Public) -------------------------------------------------------------- */

static bool hub_json_ref(struct arena *a, struct json_reader *r, struct hub_ref *ref,
                         struct err *e) {
    struct json_token t;
    while (json_next(r, &t, e) && t.kind == JSON_T_KEY) {
        bool ok = str_eq(t.text, STR("name"))  ? hub_json_str(a, r, "name", &ref->name, e)
                  : str_eq(t.text, STR("ref")) ? hub_json_str(a, r, "ref", &ref->ref, e)
                  : str_eq(t.text, STR("targetCommit"))
                      ? hub_json_str(a, r, "targetCommit", &ref->commit, e)
                      : json_skip(r, NULL, e);
        if (!ok) return false;
    }
    return e->code == ERR_OK;
}

/* The array behind a key; one entry is as good as another. */
static bool hub_json_refs(struct arena *a, struct json_reader *r, enum hub_ref_kind kind,
                          struct hub_ref_list *out, struct err *e) {
    struct json_token t;
    bool ok = json_expect(r, JSON_T_ARRAY, &t, e);
    while (ok && (ok = json_next(r, &t, e)) && t.kind != JSON_T_ARRAY_END) {
        struct hub_ref ref = { .kind = kind };
        struct err unusable = { 0 };
        ok = t.kind == JSON_T_OBJECT ? hub_json_ref(a, r, &ref, e)
                                     : hub_json_bad("an entry", "an object", e);
        if (!ok || !cache_revision_ok(ref.name, &unusable) || !cache_revision_ok(ref.ref, &unusable)
            || !str_is_hex(ref.commit, 40))
            continue;
        if (out->n == HUB_MAX_REFS)
            return err_set(e, ERR_LIMIT, "it has more than %zu refs", HUB_MAX_REFS);
        struct hub_ref *grown = ARENA_GROW(a, struct hub_ref, out->p, out->n, &out->cap, 16);
        if (!grown) return err_oom(e, (out->n + 1) * sizeof *grown, "a list of refs");
        out->p = grown;
        out->p[out->n++] = ref;
    }
    return ok;
}

MLXK_FN bool hub_parse_refs(struct arena *a, struct str text, struct hub_ref_list *out,
                            struct err *e) {
    static const char *const keys[] = { [HUB_BRANCH] = "branches", [HUB_CONVERT] = "converts",
                                        [HUB_TAG] = "tags", [HUB_REQUEST] = "pullRequests" };
    struct json_reader r;
    struct json_token t;
    json_reader_init(&r, text, HUB_JSON_DEPTH);
    bool ok = json_expect(&r, JSON_T_OBJECT, &t, e);
    while (ok && (ok = json_next(&r, &t, e)) && t.kind == JSON_T_KEY) {
        size_t kind = 0;
        while (kind < MLXK_COUNT(keys) && !str_eq_cstr(t.text, keys[kind])) kind++;
        ok = kind < MLXK_COUNT(keys) ? hub_json_refs(a, &r, (enum hub_ref_kind)kind, out, e)
                                     : json_skip(&r, NULL, e);
    }
    ok = ok && json_expect(&r, JSON_T_END, &t, e);
    json_reader_release(&r);
    if (!ok) out->n = 0;
    return ok;
}

/* ---- header values (Public) ------------------------------------------------------------------ */

static bool hub_json_rel(struct str parameters, struct str rel) {
    while (parameters.p) {
        struct str p = str_trim(str_cut(&parameters, ';'));
        if (p.n < 4 || !str_ieq(str_sub(p, 0, 4), STR("rel="))) continue;
        p = str_sub(p, 4, p.n);
        if (p.n >= 2 && p.p[0] == '"' && p.p[p.n - 1] == '"') p = str_sub(p, 1, p.n - 1);
        if (str_ieq(p, rel)) return true;
    }
    return false;
}

MLXK_FN struct str hub_parse_link(struct str value, struct str rel) {
    for (;;) {
        ptrdiff_t open = str_find_char(value, '<');
        if (open < 0) return STR_EMPTY;
        value = str_sub(value, (size_t)open + 1, value.n);
        ptrdiff_t close = str_find_char(value, '>');
        if (close < 0) return STR_EMPTY;
        struct str target = str_sub(value, 0, (size_t)close),
                   rest = str_sub(value, (size_t)close + 1, value.n);
        ptrdiff_t following = str_find_char(rest, '<');
        struct str parameters = str_sub(rest, 0, following < 0 ? rest.n : (size_t)following);
        ptrdiff_t comma = str_find_char(parameters, ',');
        if (comma >= 0) parameters = str_sub(parameters, 0, (size_t)comma);
        if (target.n && hub_json_rel(parameters, rel)) return target;
        value = rest;
    }
}

MLXK_FN struct str hub_parse_etag(struct str value) {
    struct str s = str_trim(value);
    if (str_starts(s, STR("W/"))) s = str_sub(s, 2, s.n);
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"') s = str_sub(s, 1, s.n - 1);
    return s;
}
