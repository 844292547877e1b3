/* hub_api.c: questions to the hub's API: which commit, which files.
 *
 * Invariants
 *  1. Only the first question names a branch or tag; the file list is that of the commit.
 *  2. Every answer is bounded, pages too; a list that leads to itself ends.
 * ref: hub facts 3.1, 3.2, 3.6, 3.7.
 */
#include "hub/hub_int.h"

#define HUB_API_MAX_ANSWER ((size_t)64 << 20)    /* one page; a thousand files are 0.3 MB, and a
                                                  * mirror sends all of them as one */
#define HUB_API_MAX_INFO ((size_t)32 << 20)      /* names of 400,000 files */
enum {
    HUB_API_MAX_PAGES = 20000,
    HUB_API_MAX_ACCOUNT = 1 << 20,
    HUB_API_HASTY = 2,                   /* tries of an endpoint that others stand behind */
};

/* ---- telling and waiting (Public to the room) ------------------------------------------------ */

MLXK_FN bool hub_tell(struct hub *h, const struct hub_event *ev, struct err *e) {
    bool go_on = !os_interrupted() && (!h->event || h->event(h->ctx, ev));
    return go_on || err_set(e, ERR_INTERRUPTED, "stopped by the user");
}

MLXK_FN bool hub_wait(struct hub *h, int64_t wait_ms, struct err *e) {
    if (wait_ms < 0) return false;
    struct buf note;
    struct err why = *e;
    buf_init(&note, 4096);
    buf_addf(&note, "%s; next try in %.1f s", why.msg, (double)wait_ms / 1000.0);
    struct hub_event ev = { .kind = HUB_NOTE, .note_cstr = note.failed ? why.msg : note.p,
                            .wait_ms = wait_ms };
    err_clear(e);
    log_write(h->event || why.code != ERR_RATE_LIMIT ? LOG_INFO : LOG_WARN, "%s", ev.note_cstr);
    bool ok = hub_tell(h, &ev, e) && http_retry_sleep(wait_ms, e);
    buf_release(&note);
    return ok;
}

/* ---- addresses (Public to the room) ---------------------------------------------------------- */

MLXK_FN struct str hub_api_url(struct arena *a, const struct hub *h, const char *kind_cstr,
                               struct str repo, const char *middle_cstr, struct str revision,
                               const char *tail_cstr) {
    struct buf b;
    buf_init(&b, NET_MAX_URL);
    bool typed = cache_kind_of(repo) != CACHE_MODEL;     /* then the name says what it is */
    buf_add(&b, h->endpoint);
    buf_add_cstr(&b, typed && kind_cstr[1] ? "/api/" : kind_cstr);
    net_url_encode(&b, repo, "/");
    buf_add_cstr(&b, middle_cstr);
    net_url_encode(&b, revision, "");
    buf_add_cstr(&b, tail_cstr);
    struct str out = b.failed ? STR_EMPTY : str_dup(a, buf_str(&b));
    buf_release(&b);
    return out;
}

MLXK_FN struct str hub_file_url(struct arena *a, const struct hub *h, struct str repo,
                                struct str commit, struct str path) {
    struct buf b;
    buf_init(&b, NET_MAX_URL);
    net_url_encode(&b, path, "/");
    buf_add_char(&b, 0);                 /* the tail is a C string */
    struct str base = b.failed ? STR_EMPTY : hub_api_url(a, h, "/", repo, "/resolve/", commit, "/");
    struct str out = base.p ? str_concat(a, base, str_cstr(b.p)) : STR_EMPTY;
    buf_release(&b);
    return out;
}

/* ---- questions (Private) --------------------------------------------------------------------- */

struct hub_api_answer {
    int attempts;                        /* how often to ask */
    struct buf body;
    struct str next;                     /* address of the next page, or empty */
};

/* The next page is fetched from the endpoint, also when a mirror passes on the hub's own address:
 * then only its query is taken. */
static bool hub_api_next(struct arena *a, const struct hub *h, const struct http_response *r,
                         struct str url, struct str *next, struct err *e) {
    struct net_url to, own;
    struct str link = hub_parse_link(http_header(r, "Link"), STR("next"));
    *next = STR_EMPTY;
    if (!link.n) return true;
    if (!net_url_resolve(a, &r->url, link, &to, e)) return err_context(e, "the next page: ");
    if (net_url_same_origin(&to, &h->origin)) *next = net_url_text(a, &to);
    else {
        ptrdiff_t query = str_find_char(to.target, '?');
        if (!net_url_parse(a, url, &own, e)) return false;
        ptrdiff_t own_query = str_find_char(own.target, '?');
        if (query < 0) return hub_not_a_hub(r, "its file list goes on at another server", e);
        if (own_query >= 0) own.target.n = (size_t)own_query;
        own.target = str_concat(a, own.target, str_sub(to.target, (size_t)query, to.target.n));
        *next = own.target.p ? net_url_text(a, &own) : STR_EMPTY;
    }
    if (!next->p) return err_oom(e, NET_MAX_URL, "an address");
    return !str_eq(*next, url) || hub_not_a_hub(r, "its file list leads to itself", e);
}

static bool hub_api_take(struct arena *a, struct hub *h, struct http_response *r, struct str url,
                         struct hub_api_answer *out, struct err *e) {
    buf_reset(&out->body);
    if (!hub_read_json(r, &out->body, e)) return false;
    struct str body = str_trim(buf_str(&out->body));
    if (hub_is_html(r) || str_starts(body, STR("<")))
        return hub_not_a_hub(r, "a web page came instead of JSON", e);
    return hub_api_next(a, h, r, url, &out->next, e);
}

/* One attempt; *wait_ms: until the next, -1 = it would be of no use. */
static bool hub_api_try(struct arena *a, struct hub *h, const struct hub_subject *s, struct str url,
                        struct http_retry *retry, struct hub_api_answer *out, int64_t *wait_ms,
                        struct err *e) {
    struct http_request request = {
        .method_cstr = "GET", .url = url, .token = h->token, .follow = true, .accept_gzip = true
    };
    struct http_response r;
    bool ok = http_send(h->client, &request, &r, e);
    *wait_ms = -1;
    if (!ok) {
        *wait_ms = http_retry_wait(retry, NULL, e);
        return false;
    }
    if (r.status == 200) {
        ok = hub_api_take(a, h, &r, url, out, e);
        if (!ok) *wait_ms = http_retry_wait(retry, NULL, e);
    } else {
        *wait_ms = http_retry_wait(retry, &r, NULL);
        ok = hub_refused_answer(h, s, &r, e);
    }
    http_finish(&r);
    return ok;
}

static bool hub_api_get(struct arena *a, struct hub *h, const struct hub_subject *s, struct str url,
                        struct hub_api_answer *out, struct err *e) {
    struct http_retry retry;
    int64_t wait_ms;
    http_retry_init(&retry, out->attempts);
    if (!url.p)
        return err_set(e, ERR_INVALID, "the address of " STR_FMT " is too long", STR_ARG(s->repo));
    while (!hub_api_try(a, h, s, url, &retry, out, &wait_ms, e))
        if (!hub_wait(h, wait_ms, e)) return false;
    return true;
}

/* ---- repository information (Public) --------------------------------------------------------- */

static bool hub_api_info(struct arena *a, struct hub *h, const struct hub_subject *s,
                         struct hub_repo *out, struct err *e) {
    struct hub_api_answer answer = { .attempts = h->first_attempts };
    buf_init(&answer.body, HUB_API_MAX_INFO);
    struct str url = hub_api_url(a, h, "/api/models/", s->repo, "/revision/", s->revision, "");
    bool ok = hub_api_get(a, h, s, url, &answer, e);
    if (ok && !hub_parse_info(a, buf_str(&answer.body), out, e)) {
        ok = err_context(e,
                         "the hub's answer about " STR_FMT " cannot be used: ", STR_ARG(s->repo));
        err_hint(e, "check HF_ENDPOINT: " STR_FMT " may be no Hugging Face hub",
                 STR_ARG(h->endpoint));
    }
    buf_release(&answer.body);
    return ok;
}

/* A path may not come twice, and may not be a folder of another. */
static bool hub_api_twins(const struct hub_files *files, struct err *e) {
    struct map paths;
    bool ok = true, is_new;
    map_init(&paths, HUB_MAX_FILES);
    for (size_t i = 0; ok && i < files->n; i++) {
        if (!map_put(&paths, files->p[i].path, &is_new))
            ok = err_oom(e, files->n * 32, "a file list");
        else if (!is_new)
            ok = err_set(e, ERR_FORMAT, "it names " STR_FMT " twice", STR_ARG(files->p[i].path));
    }
    for (size_t i = 0; ok && i < files->n; i++) {
        struct str path = files->p[i].path;
        for (size_t k = 0; ok && k < path.n; k++)
            if (path.p[k] == '/' && map_get(&paths, str_sub(path, 0, k)))
                ok = err_set(e, ERR_FORMAT, "it names " STR_FMT " as a file and as a folder",
                             STR_ARG(str_sub(path, 0, k)));
    }
    map_release(&paths);
    return ok;
}

static bool hub_api_tree(struct arena *a, struct hub *h, const struct hub_subject *s,
                         struct hub_repo *out, struct err *e) {
    struct hub_api_answer answer = { .attempts = h->attempts };
    struct hub_files files = { 0 };
    buf_init(&answer.body, HUB_API_MAX_ANSWER);
    struct str url = hub_api_url(a, h, "/api/models/", s->repo, "/tree/", out->commit,
                                 "?recursive=true&expand=false");
    bool ok = true;
    for (int page = 0; ok && (page == 0 || url.n); page++) {
        if (page == HUB_API_MAX_PAGES)
            ok = err_set(e, ERR_LIMIT, "it has more than %d pages", HUB_API_MAX_PAGES);
        else if (!hub_api_get(a, h, s, url, &answer, e)) {
            buf_release(&answer.body);
            return false;
        } else ok = hub_parse_tree(a, buf_str(&answer.body), &files, e);
        url = answer.next;
    }
    ok = ok && hub_api_twins(&files, e);
    if (!ok) {
        err_context(e, "the file list of " STR_FMT " cannot be used: ", STR_ARG(s->repo));
        err_hint(e, "the list comes from " STR_FMT, STR_ARG(h->endpoint));
    }
    buf_release(&answer.body);
    out->files = files.p;
    out->n_files = files.n;
    return ok;
}

/* May another endpoint know better? */
static bool hub_api_elsewhere(const struct err *e) {
    return e->code != ERR_INTERRUPTED && e->code != ERR_NO_MEMORY && e->code != ERR_INVALID;
}

MLXK_FN bool hub_repo_info(struct arena *a, struct hub *h, struct str repo, struct str revision,
                           struct hub_repo *out, struct err *e) {
    struct hub_subject s = { .repo = repo, .revision = revision.n ? revision : STR("main") };
    struct err first = { 0 };
    if (!cache_name_ok(repo, e) || !cache_revision_ok(s.revision, e)) return false;
    for (size_t i = 0; i < h->n_endpoints; i++) {
        struct err one = { 0 };
        struct hub view = hub_at(h, i);
        if (i + 1 < h->n_endpoints && view.first_attempts > HUB_API_HASTY)
            view.first_attempts = HUB_API_HASTY;
        *out = (struct hub_repo){ .name = repo };
        if (hub_api_info(a, &view, &s, out, &one) && hub_api_tree(a, &view, &s, out, &one)) {
            *h = hub_at(h, i);
            return true;
        }
        if (i == 0) first = one;
        if (!hub_api_elsewhere(&one)) { *e = one; return false; }
        struct hub_event ev = { .kind = HUB_NOTE, .note_cstr = one.msg };
        if (i + 1 < h->n_endpoints && !hub_tell(h, &ev, e)) return false;
    }
    *e = first;
    if (h->n_endpoints > 1)
        err_context(e, "none of %zu endpoints helps; the first: ", h->n_endpoints);
    return false;
}

MLXK_FN bool hub_refs(struct arena *a, struct hub *h, struct str repo, struct hub_ref **out,
                      size_t *n, struct err *e) {
    struct hub_api_answer answer = { .attempts = h->first_attempts };
    struct hub_subject s = { .repo = repo };
    struct hub_ref_list list = { 0 };
    if (!cache_name_ok(repo, e)) return false;
    buf_init(&answer.body, HUB_API_MAX_INFO);
    struct str url = hub_api_url(a, h, "/api/models/", repo, "/refs", STR_EMPTY, "?include_prs=1");
    bool ok = hub_api_get(a, h, &s, url, &answer, e);
    if (ok && !hub_parse_refs(a, buf_str(&answer.body), &list, e))
        ok = err_context(e, "the refs of " STR_FMT " cannot be used: ", STR_ARG(repo));
    buf_release(&answer.body);
    *out = list.p;
    *n = list.n;
    return ok;
}

/* ---- whose token (Public) -------------------------------------------------------------------- */

static struct str hub_api_text(struct arena *a, const struct json *parent, const char *key_cstr) {
    const struct json *v = json_get(parent, key_cstr);
    return json_is(v, JSON_STRING) ? str_dup(a, v->string) : STR_EMPTY;
}

static bool hub_api_account(struct arena *a, const struct hub *h, struct str text,
                            struct hub_account *out, struct err *e) {
    const struct json *doc = json_parse(a, text, e),
                      *token = json_get(json_get(doc, "auth"), "accessToken"),
                      *orgs = json_get(doc, "orgs");
    size_t n = json_is(orgs, JSON_ARRAY) ? orgs->n : 0;
    *out = (struct hub_account){ .name = hub_api_text(a, doc, "name"),
                                 .fullname = hub_api_text(a, doc, "fullname"),
                                 .type = hub_api_text(a, doc, "type"),
                                 .token_name = hub_api_text(a, token, "displayName"),
                                 .token_role = hub_api_text(a, token, "role") };
    if (!out->name.n) {
        if (e->code == ERR_OK) err_set(e, ERR_FORMAT, "'name' is missing");
        err_context(e, "the hub's answer about the account cannot be used: ");
        return err_hint(e, "check HF_ENDPOINT: " STR_FMT " may be no Hugging Face hub",
                        STR_ARG(h->endpoint));
    }
    out->orgs = ARENA_ARRAY(a, struct str, n);
    if (!out->orgs) return err_oom(e, n * sizeof(struct str), "the organisations");
    for (size_t i = 0; i < n; i++) {
        struct str name = hub_api_text(a, json_at(orgs, i), "name");
        if (name.n) out->orgs[out->n_orgs++] = name;
    }
    return true;
}

MLXK_FN bool hub_whoami(struct arena *a, struct hub *h, struct hub_account *out, struct err *e) {
    struct hub_subject s = { .repo = STR("the account") };
    struct hub_api_answer answer = { .attempts = h->first_attempts };
    struct str url = str_concat(a, h->endpoint, STR("/api/whoami-v2"));
    if (!url.p) return err_oom(e, NET_MAX_URL, "an address");
    buf_init(&answer.body, HUB_API_MAX_ACCOUNT);
    bool ok = hub_api_get(a, h, &s, url, &answer, e) &&
              hub_api_account(a, h, buf_str(&answer.body), out, e);
    buf_release(&answer.body);
    if (!ok && e->code == ERR_ACCESS) {
        err_clear(e);
        err_set(e, ERR_ACCESS, "the hub does not accept the token from %s", h->token_from_cstr);
        err_hint(e, "make a new one at " STR_FMT "/settings/tokens", STR_ARG(h->endpoint));
    }
    return ok;
}

#undef HUB_API_MAX_ANSWER
#undef HUB_API_MAX_INFO
