/* mirror_route.c: what a path of the hub's API means. Pure.
 *
 * A repository has one or two segments, a revision is one segment that may hold an escaped '/', so
 * a path is split while it is still encoded, and its parts are decoded one by one.
 *
 * Invariants
 *  1. No part that is decoded here is believed: names are checked where they are used.
 *  2. Empty segments are no part of any route.
 * ref: hub facts 3, 4.1.
 */
#include "serve/mirror_int.h"

enum { MIRROR_ROUTE_MAX = 64 };          /* segments of a path */

static const char *const mirror_type_names[MIRROR_N_TYPES] = { "models", "datasets", "spaces" };

MLXK_FN const char *mirror_kind_name(enum mirror_kind kind) {
    static const char *const names[MIRROR_N_KINDS] = {
        "other", "root", "health", "ready", "metrics", "whoami", "list", "info", "tree",
        "paths-info", "refs", "commits", "auth-check", "resolve",
    };
    return names[kind];
}

/* ---- parts (Private) ------------------------------------------------------------------------- */

struct mirror_parts { struct str raw[MIRROR_ROUTE_MAX]; size_t n; struct arena *a; };

static bool mirror_route_split(struct str path, struct mirror_parts *p) {
    struct str rest = str_sub(path, 1, path.n);
    if (rest.n == 0) return true;
    while (rest.p) {
        struct str s = str_cut(&rest, '/');
        if (s.n == 0 || p->n == MIRROR_ROUTE_MAX) return false;
        p->raw[p->n++] = s;
    }
    return true;
}

static bool mirror_route_is(const struct mirror_parts *p, size_t i, const char *word_cstr) {
    return i < p->n && str_eq_cstr(p->raw[i], word_cstr);
}

/* Segments [from, to), decoded one by one, with '/' between them. */
static bool mirror_route_join(struct mirror_parts *p, size_t from, size_t to, struct str *out) {
    *out = STR_EMPTY;
    for (size_t i = from; i < to; i++) {
        struct str s;
        if (!httpd_decode(p->a, p->raw[i], false, &s)) return false;
        if (i > from) {
            *out = str_concat(p->a, *out, STR("/"));
            *out = str_concat(p->a, *out, s);
        } else *out = s;
    }
    return out->p != NULL || from == to;
}

/* The revision at i; "refs/pr/1" and "refs/convert/x" also come unescaped. *i moves behind it. */
static bool mirror_route_revision(struct mirror_parts *p, size_t *i, struct str *out) {
    bool wide = mirror_route_is(p, *i, "refs")
                && (mirror_route_is(p, *i + 1, "pr") || mirror_route_is(p, *i + 1, "convert"))
                && *i + 3 <= p->n;
    size_t end = *i + (wide ? 3 : 1);
    bool ok = end <= p->n && mirror_route_join(p, *i, end, out);
    *i = end;
    return ok;
}

/* ---- the API (Private) ----------------------------------------------------------------------- */

static const struct { const char *word_cstr; enum mirror_kind kind; bool revision, path; }
mirror_markers[] = {
    { "revision", MIRROR_INFO, true, false },  { "tree", MIRROR_TREE, true, true },
    { "paths-info", MIRROR_PATHS, true, false }, { "commits", MIRROR_COMMITS, true, false },
    { "refs", MIRROR_REFS, false, false },       { "auth-check", MIRROR_AUTH, false, false },
};

static bool mirror_route_marked(struct mirror_parts *p, size_t repo, size_t at,
                                struct mirror_route *out) {
    for (size_t k = 0; k < MLXK_COUNT(mirror_markers); k++) {
        if (!mirror_route_is(p, at, mirror_markers[k].word_cstr)) continue;
        size_t i = at + 1;
        out->kind = mirror_markers[k].kind;
        if (!mirror_route_join(p, repo, at, &out->repo)) return false;
        if (mirror_markers[k].revision && !mirror_route_revision(p, &i, &out->revision))
            return false;
        if (mirror_markers[k].path && !mirror_route_join(p, i, p->n, &out->path)) return false;
        return mirror_markers[k].path || i == p->n;
    }
    return false;
}

/* /api/TYPE/REPO...: the marker behind one segment or two; none: information about the repo. */
static bool mirror_route_api(struct mirror_parts *p, struct mirror_route *out) {
    if (mirror_route_is(p, 1, "whoami-v2") && p->n == 2) {
        out->kind = MIRROR_WHOAMI;
        return true;
    }
    int type = 0;
    while (type < MIRROR_N_TYPES && !mirror_route_is(p, 1, mirror_type_names[type])) type++;
    if (type == MIRROR_N_TYPES) return false;
    out->type = (enum mirror_type)type;
    if (p->n == 2) {
        out->kind = MIRROR_LIST;
        return true;
    }
    for (size_t at = 3; at <= 4; at++) {
        struct mirror_route found = { .type = out->type };
        if (!mirror_route_marked(p, 2, at, &found)) continue;
        *out = found;
        return true;
    }
    out->kind = MIRROR_INFO;
    return p->n <= 4 && mirror_route_join(p, 2, p->n, &out->repo);
}

/* [TYPE/]REPO/resolve/REVISION/PATH */
static bool mirror_route_resolve(struct mirror_parts *p, struct mirror_route *out) {
    size_t repo = 0, at;
    for (int type = MIRROR_DATASETS; type < MIRROR_N_TYPES; type++)
        if (mirror_route_is(p, 0, mirror_type_names[type])) {
            out->type = (enum mirror_type)type;
            repo = 1;
        }
    if (mirror_route_is(p, 0, "models") && mirror_route_is(p, 3, "resolve")) repo = 1;
    for (at = repo + 1; at <= repo + 2 && !mirror_route_is(p, at, "resolve"); at++) { }
    size_t i = at + 1;
    if (at > repo + 2 || !mirror_route_join(p, repo, at, &out->repo)
        || !mirror_route_revision(p, &i, &out->revision) || i >= p->n)
        return false;
    out->kind = MIRROR_RESOLVE;
    return mirror_route_join(p, i, p->n, &out->path);
}

static bool mirror_route_single(const struct mirror_parts *p, struct mirror_route *out) {
    static const struct { const char *word_cstr; enum mirror_kind kind; } words[] = {
        { "health", MIRROR_HEALTH }, { "healthz", MIRROR_HEALTH }, { "livez", MIRROR_HEALTH },
        { "ready", MIRROR_READY },   { "readyz", MIRROR_READY },   { "metrics", MIRROR_METRICS },
    };
    for (size_t i = 0; i < MLXK_COUNT(words); i++)
        if (mirror_route_is(p, 0, words[i].word_cstr)) out->kind = words[i].kind;
    return out->kind != MIRROR_UNKNOWN;
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN bool mirror_route_parse(struct arena *a, struct str path, struct mirror_route *out) {
    struct mirror_parts p = { .a = a };
    *out = (struct mirror_route){ 0 };
    bool ok = str_starts(path, STR("/")) && mirror_route_split(path, &p);
    if (ok && p.n == 0) out->kind = MIRROR_ROOT;
    else if (ok && p.n == 1) ok = mirror_route_single(&p, out);
    else if (ok) ok = mirror_route_is(&p, 0, "api") ? mirror_route_api(&p, out)
                                                    : mirror_route_resolve(&p, out);
    if (ok && out->repo.n)
        out->name = cache_kind_join(a, (enum cache_kind)out->type, out->repo);
    if (!ok) out->kind = MIRROR_UNKNOWN;
    return ok;
}

MLXK_FN struct str mirror_query(struct arena *a, struct str query, const char *key_cstr) {
    while (query.p) {
        struct str value = str_cut(&query, '&'), key = str_cut(&value, '='), out;
        if (str_eq_cstr(key, key_cstr) && httpd_decode(a, value, true, &out)) return out;
    }
    return STR_EMPTY;
}

MLXK_FN bool mirror_query_true(struct arena *a, struct str query, const char *key_cstr) {
    struct str v = mirror_query(a, query, key_cstr);
    return str_ieq(v, STR("true")) || str_eq(v, STR("1"));
}
