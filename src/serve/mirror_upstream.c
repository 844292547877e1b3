/* mirror_upstream.c: what upstream says about a repository: which commit, which files.
 *
 *   nobody knows -> one asks, the others wait -> answer kept for recheck_ms -> asked again
 *   upstream is down, or knows nothing -> what the cache has
 *
 * Invariants
 *  1. Any number of clients that want to know the same thing make one question.
 *  2. A commit is told to nobody before its file list is at hand; list and refs are written when
 *     its first file is in its snapshot.
 *  3. No token of a client is sent upstream; this account's only where it was asked for.
 */
#include "serve/mirror_int.h"

#include <stdio.h>

enum {
    MIRROR_UPSTREAM_FAILED_MS = 3000,    /* a failure is believed for so long */
    MIRROR_UPSTREAM_WAIT_MS = 60000,     /* for another's question */
};

/* ---- what is known (Private) ----------------------------------------------------------------- */

/* Mutex held. The entry of the key, or the one to take for it; NULL: all are being asked. */
static struct mirror_known *mirror_upstream_entry(struct mirror_upstream *u, const char *key_cstr) {
    struct mirror_known *best = NULL;
    for (int i = 0; i < MIRROR_KNOWN; i++) {
        struct mirror_known *k = &u->known[i];
        if (strcmp(k->key, key_cstr) == 0) return k;
        if (k->state != MIRROR_ASKING && (!best || k->asked_ns < best->asked_ns)) best = k;
    }
    return best;
}

static bool mirror_upstream_fresh(const struct mirror *m, const struct mirror_known *k) {
    int64_t age_ms = (os_now_ns() - k->asked_ns) / 1000000;
    if (k->state == MIRROR_FAILED) return age_ms < MIRROR_UPSTREAM_FAILED_MS;
    return k->state == MIRROR_KNOWS && age_ms < m->o.recheck_ms;
}

/* Refs that name this commit, now that it has a snapshot. */
MLXK_FN void mirror_upstream_refs(struct mirror *m, const struct cache *c, struct str repo,
                                  struct str commit) {
    struct mirror_upstream *u = m->upstream;
    for (int i = 0; i < MIRROR_KNOWN; i++) {
        struct err ignored = { 0 };
        char revision[sizeof u->known[i].key];
        os_mutex_lock(&u->mutex);
        struct str key = str_cstr(u->known[i].key), rest = key, name = str_cut(&rest, '@');
        bool fits = u->known[i].state == MIRROR_KNOWS && str_eq(name, repo)
                    && str_eq(str_cstr(u->known[i].commit), commit)
                    && !(rest.n >= 7 && str_is_hex(rest, rest.n));
        if (fits) memcpy(revision, rest.p, rest.n + 1);
        os_mutex_unlock(&u->mutex);
        if (fits && !cache_ref_write(c, repo, str_cstr(revision), commit, &ignored)
            && ignored.code != ERR_NOT_FOUND)
            log_write(LOG_WARN, "%s", ignored.msg);
    }
}

/* ---- questions (Private) --------------------------------------------------------------------- */

static bool mirror_upstream_ask(struct mirror *m, const char *dir_cstr, struct str repo,
                                struct str revision, char commit[41], struct err *e) {
    struct hub h = m->upstream->hub;
    struct hub_repo answer;
    struct arena a;
    arena_init(&a, (size_t)1 << 30);
    atomic_fetch_add(&m->counters.upstream_questions, 1);
    bool ok = hub_repo_info(&a, &h, repo, revision, &answer, e);
    ok = ok && mirror_list_tell(m, dir_cstr, &answer, e);
    if (ok) memcpy(commit, answer.commit.p, 40);
    commit[40] = 0;
    if (!ok) {
        atomic_fetch_add(&m->counters.upstream_failures, 1);
        log_write(LOG_WARN, "upstream: " STR_FMT "@" STR_FMT ": %s", STR_ARG(repo),
                  STR_ARG(revision), e->msg);
    }
    arena_release(&a);
    return ok;
}

/* Mutex held on entry and return; asks without it. */
static void mirror_upstream_learn(struct mirror *m, struct mirror_known *k, const char *key_cstr,
                                  const char *dir_cstr, struct str repo, struct str revision) {
    struct mirror_upstream *u = m->upstream;
    struct err why = { 0 };
    char commit[41];
    memcpy(k->key, key_cstr, strlen(key_cstr) + 1);
    k->state = MIRROR_ASKING;
    os_mutex_unlock(&u->mutex);
    bool ok = mirror_upstream_ask(m, dir_cstr, repo, revision, commit, &why);
    os_mutex_lock(&u->mutex);
    k->state = ok ? MIRROR_KNOWS : MIRROR_FAILED;
    k->asked_ns = os_now_ns();
    k->why = why;
    if (ok) memcpy(k->commit, commit, sizeof k->commit);
    os_cond_broadcast(&u->change);
    if (!ok) return;
    os_mutex_unlock(&u->mutex);
    /* where the snapshot is there already */
    mirror_upstream_refs(m, &m->cache, repo, str_cstr(commit));
    os_mutex_lock(&u->mutex);
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

/* The list of a commit that is known may have had to make room for others. */
static bool mirror_upstream_listed(struct mirror *m, const char *dir_cstr,
                                   const struct mirror_known *k) {
    struct err ignored = { 0 };
    if (k->state != MIRROR_KNOWS) return true;
    struct mirror_list *l = mirror_list_get(m, dir_cstr, str_cstr(k->commit), false, &ignored);
    mirror_list_give(m, l);
    return l != NULL;
}

MLXK_FN bool mirror_upstream_commit(struct mirror *m, const char *dir_cstr, struct str repo,
                                    struct str revision, char commit[41], struct err *e) {
    struct mirror_upstream *u = m->upstream;
    char key[sizeof u->known[0].key];
    int n = snprintf(key, sizeof key, STR_FMT "@" STR_FMT, STR_ARG(repo), STR_ARG(revision));
    if (n < 0 || (size_t)n >= sizeof key)
        return err_set(e, ERR_NOT_FOUND, "the revision has a name of %zu bytes", revision.n);
    int64_t until_ns = os_now_ns() + MIRROR_UPSTREAM_WAIT_MS * 1000000LL;
    bool ok = false, done = false;
    os_mutex_lock(&u->mutex);
    while (!done) {
        struct mirror_known *k = mirror_upstream_entry(u, key);
        bool same = k && strcmp(k->key, key) == 0;
        if (same && mirror_upstream_fresh(m, k) && mirror_upstream_listed(m, dir_cstr, k)) {
            ok = k->state == MIRROR_KNOWS;
            if (ok) memcpy(commit, k->commit, 41);
            else *e = k->why;
            done = true;
        } else if (k && k->state != MIRROR_ASKING) {
            mirror_upstream_learn(m, k, key, dir_cstr, repo, revision);
        } else if (os_now_ns() > until_ns || os_interrupted()) {
            err_set(e, ERR_NET_TIMEOUT, "upstream did not answer in time");
            done = true;
        } else (void)os_cond_wait(&u->change, &u->mutex, 500);
    }
    os_mutex_unlock(&u->mutex);
    return ok;
}

static bool mirror_upstream_is_self(const struct mirror *m, const struct hub *h) {
    return h->origin.port == httpd_port(m->server)
           && (serve_is_loopback(h->origin.host) || str_ieq(h->origin.host, m->o.http.host));
}

static bool mirror_upstream_hub(struct mirror *m, struct mirror_upstream *u, struct err *e) {
    struct http_options options = { .user_agent_cstr = m->o.user_agent_cstr };
    if (!hub_open(&u->arena, &options, &u->hub, e)) return false;
    if (m->o.upstream.n && !hub_point(&u->arena, &u->hub, m->o.upstream, e)) return false;
    if (!m->o.upstream_token) hub_forget_token(&u->hub);
    u->hub.first_attempts = 2;           /* clients wait about ten seconds */
    u->hub.attempts = 4;
    if (u->hub.offline)
        return err_set(e, ERR_NET, "HF_HUB_OFFLINE is set, so nothing can be fetched");
    if (!mirror_upstream_is_self(m, &u->hub)) return true;
    err_set(e, ERR_INVALID, "this mirror would fetch from itself, " STR_FMT,
            STR_ARG(u->hub.endpoint));
    return err_hint(e, "name the hub to fetch from with --upstream URL");
}

MLXK_FN bool mirror_upstream_open(struct mirror *m, struct err *e) {
    struct mirror_upstream *u = mem_alloc(sizeof *u);
    if (!u) return err_oom(e, sizeof *u, "a mirror");
    memset(u, 0, sizeof *u);
    arena_init(&u->arena, (size_t)1 << 20);
    os_mutex_init(&u->mutex);
    os_cond_init(&u->change);
    os_cond_init(&u->wanted);
    m->upstream = u;
    return mirror_upstream_hub(m, u, e) && mirror_fetch_start(m, e);
}

MLXK_FN void mirror_upstream_close(struct mirror *m) {
    struct mirror_upstream *u = m->upstream;
    if (!u) return;
    mirror_fetch_stop(m);
    if (u->hub.client) hub_close(&u->hub);
    for (int i = 0; i < MIRROR_KNOWN_REFS; i++) arena_release(&u->refs[i].arena);
    arena_release(&u->arena);
    mem_free(u);
    m->upstream = NULL;
}
