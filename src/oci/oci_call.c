/* oci_call.c: one request to a registry: who is asked, with which secret, how often.
 *
 *   mirrors (for questions), then the registry itself
 *     -> known token -> send -> 401? answer the challenge once -> redirect? without the secret
 *     -> broken, 429, 5xx? wait and again
 *
 * 1. A secret goes to the origin of the peer it belongs to and nowhere else: redirects are followed
 *    here, hop by hop, and every hop to another place goes without it.
 * 2. http is tried where https fails only on loopback, after a question without secrets has shown
 *    that a registry answers there.
 * 3. Who was waited for in vain often enough is not waited for again by those who ask: patience is
 *    spent once, not once for each level of them (err.tries).
 */
#include "oci/oci_int.h"

enum { OCI_CALL_HEADERS = 4, OCI_CALL_READ_S = 60, OCI_CALL_MAX_READ_S = 86400 };
#define OCI_CALL_ARENA ((size_t)16 << 20)

/* ---- clients --------------------------------------------------------------------------------- */

MLXK_FN bool oci_listed(const struct str *list, size_t n, struct str host) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i], STR("*")) || str_ieq(list[i], host)) return true;
    return false;
}

/* How long a registry may say nothing. */
static int64_t oci_call_silence_ms(void) {
    const char *set_cstr = os_env("MLXK_REGISTRY_TIMEOUT");
    int64_t seconds = OCI_CALL_READ_S;
    if (set_cstr) (void)num_parse_i64(str_cstr(set_cstr), 1, OCI_CALL_MAX_READ_S, &seconds);
    return seconds * 1000;
}

MLXK_FN struct http_client *oci_client(struct oci *o, struct str authority, struct err *e) {
    bool loose = oci_listed(o->options.insecure, o->options.n_insecure, authority)
                 || oci_listed(o->loose_hosts, o->n_loose_hosts, authority);
    struct http_client **slot = loose ? &o->loose : &o->strict;
    if (!*slot) {
        struct http_options options = o->options.http;
        options.insecure = loose;
        if (!options.read_timeout_ms) options.read_timeout_ms = oci_call_silence_ms();
        *slot = http_open(&options, e);
    }
    return *slot;
}

MLXK_FN struct str oci_path(struct arena *a, struct oci *o, const char *kind_cstr,
                            struct str what) {
    return str_format(a, "/v2/" STR_FMT "/%s" STR_FMT, STR_ARG(o->ref.repo), kind_cstr,
                      STR_ARG(what));
}

MLXK_FN struct str oci_peer_repo(struct arena *a, const struct oci_peer *peer, struct str repo) {
    bool fits = str_starts(repo, peer->from)
                && (repo.n == peer->from.n || !peer->from.n || repo.p[peer->from.n] == '/');
    if (!repo.n || !fits || str_eq(peer->from, peer->to)) return repo;
    struct str rest = str_sub(repo, peer->from.n, repo.n);
    while (str_starts(rest, STR("/"))) rest = str_sub(rest, 1, rest.n);
    return str_format(a, STR_FMT "%s" STR_FMT, STR_ARG(peer->to), peer->to.n && rest.n ? "/" : "",
                      STR_ARG(rest));
}

/* The call's path as peer has it. */
static struct str oci_call_path(struct arena *a, struct oci *o, const struct oci_peer *peer,
                                struct str path) {
    struct str head = str_format(a, "/v2/" STR_FMT "/", STR_ARG(o->ref.repo));
    if (!peer->from.n && !peer->to.n) return path;
    if (!str_starts(path, head)) return path;
    return str_format(a, "/v2/" STR_FMT "/" STR_FMT, STR_ARG(oci_peer_repo(a, peer, o->ref.repo)),
                      STR_ARG(str_sub(path, head.n, path.n)));
}

/* ---- one hop after the other (Private) ------------------------------------------------------- */

static bool oci_call_same(struct arena *a, struct str base, const struct net_url *u) {
    struct err none = { 0 };
    struct net_url b;
    return net_url_parse(a, base, &b, &none) && net_url_same_origin(&b, u);
}

static size_t oci_call_headers(const struct oci_call *call, struct http_header *h) {
    size_t n = 0;
    if (call->accept_cstr)
        h[n++] = (struct http_header){ STR("Accept"), str_cstr(call->accept_cstr) };
    if (call->type_cstr)
        h[n++] = (struct http_header){ STR("Content-Type"), str_cstr(call->type_cstr) };
    if (call->content_range.n)
        h[n++] = (struct http_header){ STR("Content-Range"), call->content_range };
    return n;
}

static bool oci_call_is_redirect(const struct http_response *r) {
    return r->status == 301 || r->status == 302 || r->status == 303 || r->status == 307
           || r->status == 308;
}

/* auth is for the first address only. */
static bool oci_call_hops(struct arena *a, struct oci *o, const struct oci_call *call,
                          struct str url, struct str auth, struct http_response *out,
                          struct err *e) {
    struct http_header headers[OCI_CALL_HEADERS];
    struct http_request q = { .method_cstr = call->method_cstr, .url = url, .auth = auth,
                              .headers = headers, .n_headers = oci_call_headers(call, headers),
                              .body = call->body, .read_body = call->read_body,
                              .body_bytes = call->body_bytes, .body_ctx = call->body_ctx,
                              .body_file = call->body_file,
                              .range_from = call->range_from, .range_to = call->range_to,
                              .follow = true, .stay = true };
    for (int hops = 0; hops <= NET_MAX_REDIRECTS; hops++) {
        struct net_url u, next;
        if (!net_url_parse(a, q.url, &u, e)) return false;
        struct http_client *client = oci_client(o, u.authority, e);
        if (!client || !http_send(client, &q, out, e)) return false;
        struct str location = http_header(out, "Location");
        if (!oci_call_is_redirect(out) || !location.n) return true;
        bool ok = net_url_resolve(a, &out->url, location, &next, e);
        q.url = ok ? net_url_text(a, &next) : STR_EMPTY;
        q.auth = STR_EMPTY;
        bool to_get = out->status == 303 && strcmp(q.method_cstr, "HEAD") != 0;
        http_finish(out);
        if (!ok || !q.url.n) return err_context(e, STR_FMT " redirects: ", STR_ARG(u.authority));
        if (to_get) {
            q.method_cstr = "GET";
            q.body = STR_EMPTY;
            q.read_body = NULL;
        }
    }
    return err_set(e, ERR_HTTP, "the registry redirects more than %d times", NET_MAX_REDIRECTS);
}

/* ---- https or http (Private) ----------------------------------------------------------------- */

/* Does a registry answer there over http? */
static bool oci_call_speaks_http(struct arena *a, struct oci *o, struct str base) {
    struct err none = { 0 };
    struct http_response r;
    struct http_client *client = oci_client(o, STR("-"), &none);
    struct http_request q = { .method_cstr = "GET", .url = str_concat(a, base, STR("/v2/")) };
    if (!client || !q.url.n || !http_send(client, &q, &r, &none)) return false;
    bool yes = r.status == 200 || r.status == 401 || r.status == 403 || r.status == 429
               || r.status >= 500;                         /* busy, or not well */
    http_finish(&r);
    return yes;
}

static bool oci_call_fall(struct arena *a, struct oci *o, struct oci_peer *peer,
                          const struct err *why) {
    if (!peer->may_fall || (why->code != ERR_TLS && why->code != ERR_NET)) return false;
    struct str base = str_format(&o->arena, "http://" STR_FMT, STR_ARG(peer->host));
    peer->may_fall = false;
    if (!base.n || !oci_call_speaks_http(a, o, base)) return false;
    log_write(LOG_INFO, STR_FMT " speaks http, not https", STR_ARG(peer->host));
    peer->base = base;
    return true;
}

/* ---- one peer (Private) ---------------------------------------------------------------------- */

MLXK_FN void oci_waited(const struct err *why, struct err *e) {
    *e = *why;
    if (e->code == ERR_NET_TIMEOUT) e->tries = 1;
}

/* Sends once, and once more after a 401. */
static bool oci_call_once(struct arena *a, struct oci *o, struct oci_peer *peer,
                          const struct oci_call *call, struct http_response *out, struct err *e) {
    struct str scope = oci_auth_scope(a, o, peer, call), auth = STR_EMPTY, fresh;
    struct str url = call->url.n ? call->url
                   : str_concat(a, peer->base, oci_call_path(a, o, peer, call->path));
    struct net_url u;
    if (!url.n || !scope.n) return err_oom(e, NET_MAX_URL, "an address");
    if (!net_url_parse(a, url, &u, e)) return false;
    bool ours = oci_call_same(a, peer->base, &u);
    if (ours && !oci_auth_known(a, o, peer, scope, &auth, e)) return false;
    if (!oci_call_hops(a, o, call, url, auth, out, e)) return false;
    if (ours) peer->may_fall = false;
    if (out->status != 401 || !ours || !oci_call_same(a, peer->base, &out->url)) return true;
    bool ok = oci_auth_answer(a, o, peer, scope, out, auth, &fresh, e);
    http_finish(out);
    return ok && oci_call_hops(a, o, call, url, fresh, out, e);
}

static bool oci_call_peer(struct arena *a, struct oci *o, struct oci_peer *peer,
                          const struct oci_call *call, struct http_response *out, struct err *e) {
    struct http_retry retry;
    http_retry_init(&retry, call->once ? 1 : o->options.attempts);
    for (;;) {
        struct err one = { 0 };
        struct arena_mark mark = arena_mark(a);
        bool sent = oci_call_once(a, o, peer, call, out, &one);
        if (!sent && oci_call_fall(a, o, peer, &one)) continue;
        int64_t wait_ms = http_retry_wait(&retry, sent ? out : NULL, &one);
        if (wait_ms < 0) {
            if (!sent) oci_waited(&one, e);
            return sent;
        }
        if (sent) http_finish(out);
        if (!http_retry_sleep(wait_ms, e)) return false;
        arena_rewind(a, mark);
    }
}

static bool oci_call_is_fine(const struct http_response *r) {
    return r->status >= 200 && r->status < 300;
}

static bool oci_call_warned(struct oci *o, const struct http_response *r, struct err *e) {
    struct str warning = http_header(r, "Warning");
    if (!warning.n || o->told_warning || !str_starts(warning, STR("299 "))) return true;
    o->told_warning = true;
    struct oci_shown shown = oci_show(str_trim(str_sub(warning, 6, warning.n)));
    char note[256];
    size_t n = strlen(shown.text);
    memcpy(note, "the registry says: ", 19);
    memcpy(note + 19, shown.text, n + 1);
    return oci_note(o, note, e);
}

/* May this mirror be asked? Blobs have digests, whatever led to them. */
static bool oci_call_suits(const struct oci_peer *peer, struct str path) {
    ptrdiff_t at = str_find_last(path, STR("/"));
    bool digest = oci_digest_ok(str_sub(path, (size_t)(at + 1), path.n)),
         blob = digest && str_find(path, STR("/blobs/")) >= 0;
    return digest ? blob || !peer->no_digests : !peer->no_tags;
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN bool oci_send(struct oci *o, const struct oci_call *call, struct http_response *out,
                      struct err *e) {
    struct arena a;
    bool ok = false;
    size_t first = call->reads && !call->url.n ? 0 : o->n_peers - 1;
    arena_init(&a, OCI_CALL_ARENA);
    for (size_t i = first; i < o->n_peers; i++) {
        struct err one = { 0 };
        bool last = i + 1 == o->n_peers;
        if (!last && !oci_call_suits(&o->peers[i], call->path)) continue;
        ok = oci_call_peer(&a, o, &o->peers[i], call, out, &one);
        if (ok && (last || oci_call_is_fine(out))) break;
        if (!ok && (last || one.code == ERR_INTERRUPTED)) {
            *e = one;
            break;
        }
        log_write(LOG_INFO, "the mirror " STR_FMT " does not help: %s", STR_ARG(o->peers[i].host),
                  ok ? "it answers with an error" : one.msg);
        if (ok) http_finish(out);
        ok = false;
    }
    arena_release(&a);
    if (ok && !oci_call_warned(o, out, e)) {
        http_finish(out);
        return false;
    }
    return ok;
}

MLXK_FN bool oci_ask(struct oci *o, const struct oci_call *call, struct http_response *out,
                     struct buf *body, struct err *e) {
    struct http_retry retry;
    http_retry_init(&retry, o->options.attempts);
    for (;;) {
        struct err one = { 0 };
        if (!oci_send(o, call, out, e)) return false;
        buf_reset(body);
        if (http_read_all(out, body, &one)) return true;
        http_finish(out);
        int64_t wait_ms = http_retry_wait(&retry, NULL, &one);
        if (wait_ms < 0) {
            *e = one;
            return err_context(e, STR_FMT ": ", STR_ARG(o->ref.host));
        }
        if (!http_retry_sleep(wait_ms, e)) return false;
    }
}

/* ---- refusals (Public to the room) ----------------------------------------------------------- */

/* "CODE: message" of the first error in the body. */
static struct oci_shown oci_call_reason(struct str body, struct str *code, struct arena *a) {
    struct err none = { 0 };
    struct str message = STR_EMPTY;
    *code = STR_EMPTY;
    const struct json *doc = body.n && body.p[0] == '{' ? json_parse_lenient(a, body, &none) : NULL;
    const struct json *first = json_at(json_get(doc, "errors"), 0);
    if (json_is(first, JSON_OBJECT)) {
        (void)json_read_str(first, "code", code, &none);
        (void)json_read_str(first, "message", &message, &none);
    }
    return oci_show(message);
}

static bool oci_call_denied(struct oci *o, int status, struct str what, const char *said_cstr,
                            struct err *e) {
    const struct oci_peer *home = oci_home(o);
    if (status == 401 && home->challenge.scheme == OCI_AUTH_BASIC && home->creds.user.n) {
        err_set(e, ERR_ACCESS, STR_FMT " does not accept the credentials", STR_ARG(o->ref.host));
        return err_hint(e, "they come from %s; `mlxk login " STR_FMT "` puts others in their place",
                        home->creds.from_cstr, STR_ARG(home->host));
    }
    err_set(e, ERR_ACCESS, STR_FMT " does not let us at " STR_FMT " (status %d%s%s)",
            STR_ARG(o->ref.host), STR_ARG(what), status, said_cstr[0] ? ": " : "", said_cstr);
    if (home->creds.user.n || home->creds.identity.n || home->creds.bearer.n)
        return err_hint(e, "the account from %s may not do that", home->creds.from_cstr);
    return err_hint(e,
                    "`mlxk login " STR_FMT
                    "` keeps an account; MLXK_REGISTRY_HOST, MLXK_REGISTRY_USER and "
                    "MLXK_REGISTRY_PASSWORD give one for a while",
                    STR_ARG(home->host));
}

MLXK_FN bool oci_refused_text(struct oci *o, const struct http_response *r, struct str body,
                              struct str what, struct err *e) {
    struct arena a;
    struct str code;
    arena_init(&a, OCI_CALL_ARENA);
    struct oci_shown said = oci_call_reason(body, &code, &a);
    struct oci_shown shown = oci_show(code);
    arena_release(&a);
    struct str after = http_header(r, "Retry-After");
    if (r->status == 401 || r->status == 403)
        return oci_call_denied(o, r->status, what, said.text, e);
    if (r->status == 404) {
        err_set(e, ERR_NOT_FOUND, STR_FMT " has no " STR_FMT, STR_ARG(o->ref.host), STR_ARG(what));
        return err_hint(e, "check the spelling, and that the account may see it");
    }
    if (r->status == 429) {
        err_set(e, ERR_RATE_LIMIT, STR_FMT " asks to slow down (status 429)", STR_ARG(o->ref.host));
        return after.n ? err_hint(e, "it wants to be asked again after %s%s", oci_show(after).text,
                                  after.n < 8 ? " seconds" : "")
                       : err_hint(
                           e, "try again in some minutes; with an account the limits are higher");
    }
    err_set(e, r->status == 413 ? ERR_LIMIT : ERR_HTTP,
            STR_FMT " answers with status %d for " STR_FMT "%s%s%s%s", STR_ARG(o->ref.host),
            r->status, STR_ARG(what), shown.text[0] ? ": " : "", shown.text,
            said.text[0] ? ", " : "", said.text);
    return err_hint(e, r->status >= 500
                           ? "the trouble is on the registry's side; try again later"
                           : "the registry, or what stands in front of it, refuses this");
}

MLXK_FN bool oci_refused(struct oci *o, struct http_response *r, struct str what, struct err *e) {
    struct buf body;
    struct err none = { 0 };
    buf_init(&body, OCI_MAX_ANSWER);
    (void)http_read_all(r, &body, &none);                  /* whatever can be had of the reason */
    oci_refused_text(o, r, body.failed ? STR_EMPTY : buf_str(&body), what, e);
    buf_release(&body);
    return false;
}

#undef OCI_CALL_ARENA
