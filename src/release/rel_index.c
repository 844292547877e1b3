/* rel_index.c: the index in memory: read from its document, changed, written.
 *
 *   {"schema":"mlxk.ocidex/1","sources":["HOST",...],"repos":[
 *   {"repo":"HOST/PATH","changed":SECONDS,"gone":true,"versions":[
 *   {"digest":"sha256:...","tags":["v1.0.0"],"referrers":[...],"about":{...}}]}]}
 *
 * 1. Repositories are sorted by name and versions by digest, in memory and in the document; a
 *    document that has one twice is damaged.
 * 2. Members that are not known are passed over.
 */
#include "release/rel_index.h"

#include <stdlib.h>

enum { REL_INDEX_DEPTH = 32, REL_INDEX_MAX_REFERRERS = 1 << 18 };
#define REL_INDEX_MEMORY ((size_t)2 << 30)

MLXK_FN void rel_index_init(struct rel_index *x) {
    *x = (struct rel_index){ 0 };
    arena_init(&x->arena, REL_INDEX_MEMORY);
}

MLXK_FN void rel_index_release(struct rel_index *x) {
    arena_release(&x->arena);
    *x = (struct rel_index){ 0 };
}

/* ---- places (Private) ---- */

/* Where a name is, or would be. */
static size_t rel_index_place(const struct rel_index *x, struct str name, bool *found) {
    size_t low = 0, high = x->n;
    *found = false;
    while (low < high && !*found) {
        size_t middle = low + (high - low) / 2;
        int order = str_cmp(x->repos[middle].name, name);
        if (order == 0) *found = true;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return high;
}

static bool rel_index_insert(struct rel_index *x, size_t at, const struct rel_index_repo *repo,
                             struct err *e) {
    if (x->n >= REL_INDEX_MAX_REPOS)
        return err_set(e, ERR_LIMIT, "an index holds at most %d repositories", REL_INDEX_MAX_REPOS);
    struct rel_index_repo *p =
        ARENA_GROW(&x->arena, struct rel_index_repo, x->repos, x->n, &x->cap, 16);
    if (!p) return err_oom(e, x->n * sizeof *p, "an index");
    x->repos = p;
    memmove(&p[at + 1], &p[at], (x->n - at) * sizeof *p);
    p[at] = *repo;
    x->n++;
    return true;
}

/* ---- copies (Private) ---- */

static bool rel_index_copy(struct arena *a, const struct rel_index_repo *from,
                           struct rel_index_repo *to, struct err *e) {
    *to = *from;
    to->name = str_dup(a, from->name);
    to->versions = ARENA_ARRAY(a, struct rel_index_version, from->n + 1);
    bool ok = to->name.p && to->versions;
    for (size_t i = 0; ok && i < from->n; i++) {
        const struct rel_index_version *v = &from->versions[i];
        struct rel_index_version *w = &to->versions[i];
        *w = (struct rel_index_version){ .digest = str_dup(a, v->digest),
                                         .referrers = str_dup(a, v->referrers),
                                         .about = str_dup(a, v->about),
                                         .tags = ARENA_ARRAY(a, struct str, v->n_tags + 1) };
        ok = w->digest.p && w->tags && w->about.p && w->referrers.p;
        for (size_t k = 0; ok && k < v->n_tags; k++) {
            w->tags[w->n_tags++] = str_dup(a, v->tags[k]);
            ok = w->tags[k].p != NULL;
        }
    }
    return ok || err_oom(e, from->n * sizeof *to->versions, "an index");
}

static bool rel_index_same(const struct rel_index_repo *x, const struct rel_index_repo *y) {
    if (x->n != y->n || x->gone != y->gone) return false;
    for (size_t i = 0; i < x->n; i++) {
        const struct rel_index_version *v = &x->versions[i], *w = &y->versions[i];
        if (!str_eq(v->digest, w->digest) || v->n_tags != w->n_tags || !str_eq(v->about, w->about)
            || !str_eq(v->referrers, w->referrers))
            return false;
        for (size_t k = 0; k < v->n_tags; k++)
            if (!str_eq(v->tags[k], w->tags[k])) return false;
    }
    return true;
}

/* ---- changes (Public) ---- */

MLXK_FN struct rel_index_repo *rel_index_find(const struct rel_index *x, struct str name) {
    bool found;
    size_t at = rel_index_place(x, name, &found);
    return found ? &x->repos[at] : NULL;
}

MLXK_FN bool rel_index_put(struct rel_index *x, const struct rel_index_repo *repo, int64_t now_s,
                           bool *changed, struct err *e) {
    struct rel_index_repo copy;
    bool found;
    size_t at = rel_index_place(x, repo->name, &found);
    if (found && rel_index_same(&x->repos[at], repo)) return true;
    if (!rel_index_copy(&x->arena, repo, &copy, e)) return false;
    copy.changed_s = now_s;
    if (changed) *changed = true;
    if (!found) return rel_index_insert(x, at, &copy, e);
    x->repos[at] = copy;
    return true;
}

MLXK_FN bool rel_index_merge(struct rel_index *x, const struct rel_index *from, size_t *n_taken,
                             struct err *e) {
    *n_taken = 0;
    for (size_t i = 0; i < from->n; i++) {
        const struct rel_index_repo *theirs = &from->repos[i];
        struct rel_index_repo *ours = rel_index_find(x, theirs->name);
        bool changed = false;
        if (ours && ours->changed_s >= theirs->changed_s) continue;
        if (!rel_index_put(x, theirs, theirs->changed_s, &changed, e)) return false;
        *n_taken += changed;
    }
    return true;
}

MLXK_FN void rel_index_forget(struct rel_index *x, size_t i) {
    memmove(&x->repos[i], &x->repos[i + 1], (x->n - i - 1) * sizeof *x->repos);
    x->n--;
}

MLXK_FN bool rel_index_add_source(struct rel_index *x, struct str name, bool *changed,
                                  struct err *e) {
    size_t at = 0;
    while (at < x->n_sources && str_cmp(x->sources[at], name) < 0) at++;
    if (at < x->n_sources && str_eq(x->sources[at], name)) return true;
    if (x->n_sources >= REL_INDEX_MAX_REPOS) return err_set(e, ERR_LIMIT, "too many registries");
    struct str *p =
        ARENA_GROW(&x->arena, struct str, x->sources, x->n_sources, &x->cap_sources, 16);
    struct str own = str_dup(&x->arena, name);
    if (!p || !own.p) return err_oom(e, name.n, "an index");
    memmove(&p[at + 1], &p[at], (x->n_sources - at) * sizeof *p);
    p[at] = own;
    x->sources = p;
    x->n_sources++;
    *changed = true;
    return true;
}

MLXK_FN bool rel_index_below(struct str name, struct str prefix) {
    return str_starts(name, prefix) && (name.n == prefix.n || name.p[prefix.n] == '/');
}

/* ---- reading (Private) ---- */

struct rel_index_reader {
    struct json_reader r;
    struct rel_index *x;
    size_t n_versions;
};

static bool rel_index_bad(const struct rel_index_reader *d, const char *what_cstr, struct err *e) {
    return err_set(e, ERR_FORMAT, "byte %zu of the index: %s", d->r.pos, what_cstr);
}

static bool rel_index_text(struct rel_index_reader *d, bool (*fits)(struct str), struct str *out,
                           struct err *e) {
    struct json_token t;
    if (!json_expect(&d->r, JSON_T_STRING, &t, e)) return false;
    if (!fits(t.text)) return rel_index_bad(d, "a name, tag or digest is none", e);
    *out = str_dup(&d->x->arena, t.text);
    return out->p || err_oom(e, t.text.n, "an index");
}

/* The host is checked when it is asked. */
static bool rel_index_name_ok(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] < 0x20 || s.p[i] == 0x7f) return false;
    return s.n > 0 && s.n <= REL_INDEX_MAX_NAME;
}

static bool rel_index_raw(struct rel_index_reader *d, char first, size_t max, struct str *out,
                          struct err *e) {
    struct str raw;
    if (!json_skip(&d->r, &raw, e)) return false;
    raw = str_trim(raw);
    if (!raw.n || raw.p[0] != first || raw.n > max)
        return rel_index_bad(d, "what is said of a version is none, or too long", e);
    *out = str_dup(&d->x->arena, raw);
    return out->p || err_oom(e, raw.n, "an index");
}

static bool rel_index_texts(struct rel_index_reader *d, bool (*fits)(struct str), size_t max,
                            struct str **out, size_t *n, struct err *e) {
    struct json_token t;
    size_t cap = 0;
    if (!json_expect(&d->r, JSON_T_ARRAY, &t, e)) return false;
    for (;;) {
        if (!json_next(&d->r, &t, e)) return false;
        if (t.kind == JSON_T_ARRAY_END) return true;
        if (t.kind != JSON_T_STRING || !fits(t.text) || *n >= max)
            return rel_index_bad(d, "a list holds something else, or too much", e);
        if (*n && str_cmp((*out)[*n - 1], t.text) >= 0)
            return rel_index_bad(d, "a list is not sorted", e);
        struct str own = str_dup(&d->x->arena, t.text);
        struct str *p = ARENA_GROW(&d->x->arena, struct str, *out, *n, &cap, 16);
        if (!own.p || !p) return err_oom(e, t.text.n, "an index");
        *out = p;
        p[(*n)++] = own;
    }
}

static bool rel_index_version_member(struct rel_index_reader *d, struct str key,
                                     struct rel_index_version *v, struct err *e) {
    if (str_eq(key, STR("digest"))) return rel_index_text(d, oci_digest_ok, &v->digest, e);
    if (str_eq(key, STR("tags")))
        return v->n_tags ? rel_index_bad(d, "a version has its tags twice", e)
                         : rel_index_texts(d, oci_tag_ok, OCI_MAX_TAGS, &v->tags, &v->n_tags, e);
    if (str_eq(key, STR("referrers")))
        return rel_index_raw(d, '[', REL_INDEX_MAX_REFERRERS, &v->referrers, e);
    if (str_eq(key, STR("about"))) return rel_index_raw(d, '{', REL_INDEX_MAX_ABOUT, &v->about, e);
    return json_skip(&d->r, NULL, e);
}

static bool rel_index_version(struct rel_index_reader *d, struct rel_index_repo *repo, size_t *cap,
                              struct err *e) {
    struct rel_index_version v = { .referrers = STR("[]"), .about = STR("{}") };
    struct json_token t;
    if (++d->n_versions > REL_INDEX_MAX_VERSIONS)
        return err_set(e, ERR_LIMIT, "the index has more than %d versions", REL_INDEX_MAX_VERSIONS);
    for (;;) {
        if (!json_next(&d->r, &t, e)) return false;
        if (t.kind == JSON_T_OBJECT_END) break;
        if (!rel_index_version_member(d, t.text, &v, e)) return false;
    }
    if (!v.digest.n || (repo->n && str_cmp(repo->versions[repo->n - 1].digest, v.digest) >= 0))
        return rel_index_bad(d, "a version has no digest, or is out of order", e);
    struct rel_index_version *p =
        ARENA_GROW(&d->x->arena, struct rel_index_version, repo->versions, repo->n, cap, 16);
    if (!p) return err_oom(e, repo->n * sizeof *p, "an index");
    repo->versions = p;
    p[repo->n++] = v;
    return true;
}

static bool rel_index_repo_member(struct rel_index_reader *d, struct str key,
                                  struct rel_index_repo *repo, struct err *e) {
    struct json_token t;
    size_t cap = 0;
    if (str_eq(key, STR("repo"))) return rel_index_text(d, rel_index_name_ok, &repo->name, e);
    if (str_eq(key, STR("changed"))) {
        if (!json_expect(&d->r, JSON_T_NUMBER, &t, e)) return false;
        return (json_token_i64(&t, &repo->changed_s) && repo->changed_s >= 0)
               || rel_index_bad(d, "'changed' is no moment", e);
    }
    if (str_eq(key, STR("gone"))) {
        if (!json_next(&d->r, &t, e)) return false;
        repo->gone = t.kind == JSON_T_TRUE;
        return repo->gone || t.kind == JSON_T_FALSE || rel_index_bad(d, "'gone' is no answer", e);
    }
    if (!str_eq(key, STR("versions"))) return json_skip(&d->r, NULL, e);
    if (repo->n) return rel_index_bad(d, "a repository has its versions twice", e);
    if (!json_expect(&d->r, JSON_T_ARRAY, &t, e)) return false;
    for (;;) {
        if (!json_next(&d->r, &t, e)) return false;
        if (t.kind == JSON_T_ARRAY_END) return true;
        if (t.kind != JSON_T_OBJECT) return rel_index_bad(d, "a version is none", e);
        if (!rel_index_version(d, repo, &cap, e)) return false;
    }
}

static bool rel_index_repos(struct rel_index_reader *d, struct err *e) {
    struct json_token t;
    if (d->x->n) return rel_index_bad(d, "it has its repositories twice", e);
    if (!json_expect(&d->r, JSON_T_ARRAY, &t, e)) return false;
    for (;;) {
        struct rel_index_repo repo = { 0 };
        if (!json_next(&d->r, &t, e)) return false;
        if (t.kind == JSON_T_ARRAY_END) return true;
        if (t.kind != JSON_T_OBJECT) return rel_index_bad(d, "a repository is none", e);
        for (;;) {
            if (!json_next(&d->r, &t, e)) return false;
            if (t.kind == JSON_T_OBJECT_END) break;
            if (!rel_index_repo_member(d, t.text, &repo, e)) return false;
        }
        size_t n = d->x->n;
        if (!repo.name.n || (n && str_cmp(d->x->repos[n - 1].name, repo.name) >= 0))
            return rel_index_bad(d, "a repository has no name, or is out of order", e);
        if (!rel_index_insert(d->x, n, &repo, e)) return false;
    }
}

static bool rel_index_document(struct rel_index_reader *d, struct err *e) {
    struct json_token t;
    bool known = false;
    if (!json_expect(&d->r, JSON_T_OBJECT, &t, e)) return false;
    for (;;) {
        bool ok = true;
        if (!json_next(&d->r, &t, e)) return false;
        if (t.kind == JSON_T_OBJECT_END) break;
        if (str_eq(t.text, STR("schema"))) {
            if (!json_expect(&d->r, JSON_T_STRING, &t, e)) return false;
            known = str_eq(t.text, STR(REL_INDEX_SCHEMA));
            ok = known || err_set(e, ERR_UNSUPPORTED, "the index is of another kind than %s",
                                  REL_INDEX_SCHEMA);
        } else if (str_eq(t.text, STR("sources"))) {
            size_t n = 0;
            ok = !d->x->n_sources
                 && rel_index_texts(d, rel_index_name_ok, REL_INDEX_MAX_REPOS, &d->x->sources, &n,
                                    e);
            d->x->n_sources = d->x->cap_sources = n;
            if (!ok && e->code == ERR_OK) ok = rel_index_bad(d, "it has its registries twice", e);
        } else if (str_eq(t.text, STR("repos"))) ok = rel_index_repos(d, e);
        else ok = json_skip(&d->r, NULL, e);
        if (!ok) return false;
    }
    return known ? json_expect(&d->r, JSON_T_END, &t, e) : rel_index_bad(d, "it has no schema", e);
}

MLXK_FN bool rel_index_parse(struct rel_index *x, struct str text, struct err *e) {
    struct rel_index_reader d = { .x = x };
    MLXK_ASSERT(!x->n && !x->n_sources);
    json_reader_init(&d.r, text, REL_INDEX_DEPTH);
    bool ok = rel_index_document(&d, e);
    json_reader_release(&d.r);
    return ok;
}

/* ---- writing (Public) ---- */

static void rel_index_write_version(struct json_writer *w, const struct rel_index_version *v) {
    json_write_object(w);
    json_write_member(w, "digest", v->digest);
    json_write_key(w, "tags");
    json_write_array(w);
    for (size_t k = 0; k < v->n_tags; k++) json_write_str(w, v->tags[k]);
    json_write_array_end(w);
    json_write_key(w, "referrers");
    json_write_raw(w, v->referrers);
    json_write_key(w, "about");
    json_write_raw(w, v->about);
    json_write_object_end(w);
}

MLXK_FN bool rel_index_write(struct buf *out, const struct rel_index *x, bool with_sources,
                             struct err *e) {
    struct json_writer w;
    json_write_init(&w, out, false, false);
    json_write_object(&w);
    json_write_member(&w, "schema", STR(REL_INDEX_SCHEMA));
    json_write_key(&w, "sources");
    json_write_array(&w);
    for (size_t i = 0; with_sources && i < x->n_sources; i++) json_write_str(&w, x->sources[i]);
    json_write_array_end(&w);
    json_write_key(&w, "repos");
    json_write_array(&w);
    for (size_t i = 0; i < x->n; i++) {
        const struct rel_index_repo *repo = &x->repos[i];
        json_write_object(&w);
        json_write_member(&w, "repo", repo->name);
        json_write_key(&w, "changed");
        json_write_i64(&w, repo->changed_s);
        if (repo->gone) json_write_key(&w, "gone");
        if (repo->gone) json_write_bool(&w, true);
        json_write_key(&w, "versions");
        json_write_array(&w);
        for (size_t k = 0; k < repo->n; k++) rel_index_write_version(&w, &repo->versions[k]);
        json_write_array_end(&w);
        json_write_object_end(&w);
    }
    json_write_array_end(&w);
    json_write_object_end(&w);
    return buf_ok(out, "the index", e);
}

#undef REL_INDEX_MEMORY
