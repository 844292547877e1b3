/* mirror_refs.c: branches, tags, converts and pull requests of a repository, as the hub lists them.
 *
 *   what upstream lists (pull-through; asked once for all who wait, believed for recheck_ms)
 *   + refs of the cache that are not among them + main, as this mirror takes it
 *
 * A cache does not know whether "v1" is a branch or a tag: it is listed as a branch, unless its ref
 * was asked for by its full name (refs/tags/v1) or upstream tells.
 *
 * 1. main names the commit that every other answer of this mirror takes for it.
 * 2. Upstream's silence costs nothing that the cache knows.
 * ref: hub facts 3.4, 4.1.
 */
#include "serve/mirror_int.h"

enum {
    MIRROR_REFS_DEPTH = 8, MIRROR_REFS_MAX = 10000,
    MIRROR_REFS_FAILED_MS = 3000, MIRROR_REFS_WAIT_MS = 60000,
};

struct mirror_ref_list {
    struct arena *a;
    const char *dir_cstr;
    struct hub_ref *p; size_t n, cap;
};

static void mirror_refs_add(struct mirror_ref_list *l, const struct hub_ref *ref) {
    struct hub_ref *grown = ARENA_GROW(l->a, struct hub_ref, l->p, l->n, &l->cap, 16);
    if (!grown) return;
    l->p = grown;
    l->p[l->n++] = *ref;
}

/* ---- the cache's (Private) ------------------------------------------------------------------- */

/* What the name of a file below refs/ stands for. */
static struct hub_ref mirror_refs_of(struct arena *a, struct str name, struct str commit) {
    static const struct { enum hub_ref_kind kind; const char *start_cstr; bool whole; } starts[] = {
        { HUB_REQUEST, "refs/pr/", true }, { HUB_CONVERT, "refs/convert/", false },
        { HUB_TAG, "refs/tags/", false }, { HUB_BRANCH, "refs/heads/", false },
    };
    for (size_t i = 0; i < MLXK_COUNT(starts); i++) {
        struct str start = str_cstr(starts[i].start_cstr);
        if (str_starts(name, start) && name.n > start.n)
            return (struct hub_ref){ starts[i].kind,
                                     starts[i].whole ? name : str_sub(name, start.n, name.n), name,
                                     commit };
    }
    return (struct hub_ref){ HUB_BRANCH, name,
                             str_format(a, "refs/heads/" STR_FMT, STR_ARG(name)), commit };
}

/* Upstream's list comes first: a short name may be any of its branches and tags. */
static bool mirror_refs_has(const struct mirror_ref_list *l, size_t n, const struct hub_ref *ref) {
    bool plain = ref->kind == HUB_BRANCH || ref->kind == HUB_TAG;
    for (size_t i = 0; i < n; i++) {
        const struct hub_ref *x = &l->p[i];
        bool named = plain && (x->kind == HUB_BRANCH || x->kind == HUB_TAG)
                     && str_eq(x->name, ref->name);
        if (named || str_eq(x->ref, ref->ref)) return true;
    }
    return false;
}

static void mirror_refs_walk(struct mirror_ref_list *l, const char *dir_cstr, struct str prefix,
                             size_t n_upstream, int depth) {
    struct os_entry *entries;
    struct err ignored = { 0 };
    size_t n;
    if (!os_list_dir(l->a, dir_cstr, MIRROR_REFS_MAX, &entries, &n, &ignored)) return;
    for (size_t i = 0; i < n && l->n < MIRROR_REFS_MAX; i++) {
        struct str name = prefix.n ? str_format(l->a, STR_FMT "/" STR_FMT, STR_ARG(prefix),
                                                STR_ARG(entries[i].name)) : entries[i].name;
        char *name_cstr = str_dup_cstr(l->a, entries[i].name),
             *path_cstr = name_cstr ? os_path_join(l->a, dir_cstr, name_cstr) : NULL;
        if (!path_cstr) return;
        if (entries[i].kind == OS_DIR && depth < MIRROR_REFS_DEPTH)
            mirror_refs_walk(l, path_cstr, name, n_upstream, depth + 1);
        if (entries[i].kind != OS_FILE) continue;
        struct str commit = mirror_local_commit(l->a, l->dir_cstr, name);
        struct hub_ref ref = mirror_refs_of(l->a, name, commit);
        if (commit.n && !mirror_refs_has(l, n_upstream, &ref)) mirror_refs_add(l, &ref);
    }
}

/* ---- upstream's (Private) -------------------------------------------------------------------- */

/* Mutex held. The entry of the repository, or one to take for it; NULL: all are being asked. */
static struct mirror_known_refs *mirror_refs_entry(struct mirror_upstream *u, struct str repo) {
    struct mirror_known_refs *best = NULL;
    for (int i = 0; i < MIRROR_KNOWN_REFS; i++) {
        struct mirror_known_refs *k = &u->refs[i];
        if (str_eq_cstr(repo, k->repo)) return k;
        if (k->state != MIRROR_ASKING && (!best || k->asked_ns < best->asked_ns)) best = k;
    }
    return best;
}

static bool mirror_refs_fresh(const struct mirror *m, const struct mirror_known_refs *k) {
    int64_t age_ms = (os_now_ns() - k->asked_ns) / 1000000;
    return k->state == MIRROR_KNOWS    ? age_ms < m->o.recheck_ms
           : k->state == MIRROR_FAILED ? age_ms < MIRROR_REFS_FAILED_MS
                                       : false;
}

/* Mutex held on entry and return; asks without it. */
static void mirror_refs_learn(struct mirror *m, struct mirror_known_refs *k, struct str repo) {
    struct mirror_upstream *u = m->upstream;
    struct err why = { 0 };
    struct hub h = u->hub;
    memcpy(k->repo, repo.p, repo.n);
    k->repo[repo.n] = '\0';
    k->state = MIRROR_ASKING;
    arena_release(&k->arena);
    arena_init(&k->arena, (size_t)8 << 20);
    os_mutex_unlock(&u->mutex);
    atomic_fetch_add(&m->counters.upstream_questions, 1);
    bool ok = hub_refs(&k->arena, &h, repo, &k->list, &k->n, &why);
    if (!ok) {
        atomic_fetch_add(&m->counters.upstream_failures, 1);
        log_write(LOG_WARN, "upstream: refs of " STR_FMT ": %s", STR_ARG(repo), why.msg);
    }
    os_mutex_lock(&u->mutex);
    k->state = ok ? MIRROR_KNOWS : MIRROR_FAILED;
    k->asked_ns = os_now_ns();
    os_cond_broadcast(&u->change);
}

static void mirror_refs_copy(struct mirror_ref_list *l, const struct mirror_known_refs *k) {
    for (size_t i = 0; k->state == MIRROR_KNOWS && i < k->n; i++) {
        struct hub_ref ref = { k->list[i].kind, str_dup(l->a, k->list[i].name),
                               str_dup(l->a, k->list[i].ref), str_dup(l->a, k->list[i].commit) };
        if (ref.name.p && ref.ref.p && ref.commit.p) mirror_refs_add(l, &ref);
    }
}

static void mirror_refs_upstream(struct mirror *m, struct mirror_ref_list *l, struct str repo) {
    struct mirror_upstream *u = m->upstream;
    int64_t until_ns = os_now_ns() + MIRROR_REFS_WAIT_MS * 1000000LL;
    if (!u || repo.n >= sizeof u->refs[0].repo) return;
    os_mutex_lock(&u->mutex);
    for (;;) {
        struct mirror_known_refs *k = mirror_refs_entry(u, repo);
        bool same = k && str_eq_cstr(repo, k->repo);
        if (same && mirror_refs_fresh(m, k)) {
            mirror_refs_copy(l, k);
            break;
        }
        if (k && k->state != MIRROR_ASKING) mirror_refs_learn(m, k, repo);
        else if (os_now_ns() > until_ns || os_interrupted()) break;
        else (void)os_cond_wait(&u->change, &u->mutex, 500);
    }
    os_mutex_unlock(&u->mutex);
}

/* ---- the answer (Private) -------------------------------------------------------------------- */

static void mirror_refs_main(struct mirror_ref_list *l, const char *commit_cstr) {
    struct hub_ref main_ref = { HUB_BRANCH, STR("main"), STR("refs/heads/main"),
                                str_cstr(commit_cstr) };
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->p[i].ref, main_ref.ref)) {
            l->p[i] = main_ref;
            return;
        }
    mirror_refs_add(l, &main_ref);
}

static void mirror_refs_collect(struct mirror *m, struct mirror_ref_list *l,
                                const struct mirror_route *r) {
    char *refs_cstr = os_path_join(l->a, l->dir_cstr, "refs");
    if (!r->hurried) mirror_refs_upstream(m, l, r->name);
    if (refs_cstr) mirror_refs_walk(l, refs_cstr, STR_EMPTY, l->n, 0);
}

static void mirror_refs_answer(struct httpd_exchange *x, const struct mirror_ref_list *l,
                               const char *commit_cstr) {
    static const char *const keys[] = { [HUB_BRANCH] = "branches", [HUB_CONVERT] = "converts",
                                        [HUB_TAG] = "tags", [HUB_REQUEST] = "pullRequests" };
    struct mirror_doc d;
    struct json_writer *w = mirror_doc_open(&d, x, commit_cstr);
    bool requests = mirror_query_true(&x->arena, x->query, "include_prs");
    json_write_object(w);
    for (size_t kind = 0; kind < HUB_REF_KINDS; kind++) {
        if (kind == HUB_REQUEST && !requests) continue;
        json_write_key(w, keys[kind]);
        json_write_array(w);
        for (size_t i = 0; i < l->n; i++) {
            if (l->p[i].kind != kind) continue;
            json_write_object(w);
            json_write_member(w, "name", l->p[i].name);
            json_write_member(w, "ref", l->p[i].ref);
            json_write_member(w, "targetCommit", l->p[i].commit);
            json_write_object_end(w);
            mirror_doc_flush(&d);
        }
        json_write_array_end(w);
    }
    json_write_object_end(w);
    mirror_doc_end(&d);
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN void mirror_refs(struct mirror *m, struct httpd_exchange *x,
                         const struct mirror_subject *s) {
    struct mirror_ref_list l = { .a = &x->arena, .dir_cstr = s->dir_cstr };
    mirror_refs_collect(m, &l, s->route);
    mirror_refs_main(&l, s->list->commit);
    mirror_refs_answer(x, &l, s->list->commit);
}

MLXK_FN bool mirror_refs_alone(struct mirror *m, struct httpd_exchange *x,
                               const struct mirror_route *r, const struct mirror_fault *f) {
    struct mirror_ref_list l = { .a = &x->arena };
    if (strcmp(f->code_cstr, "RevisionNotFound") != 0) return false;
    l.dir_cstr = cache_repo_dir(&x->arena, &m->cache, r->name);
    if (!l.dir_cstr) return false;
    mirror_refs_collect(m, &l, r);
    if (l.n) mirror_refs_answer(x, &l, NULL);
    return l.n > 0;
}
