/* oci_auth.c: what a registry wants before it answers.
 *
 *   401 --challenges--> Basic: user and password      -> again
 *                       Bearer: ask the realm for a token of the scopes -> again
 *
 * 1. Tokens are kept by scope and renewed when four fifths of their life are over, or on a 401.
 * 2. A realm gets credentials over https only, unless the registry itself is spoken to over http; a
 *    realm inside our own network is not asked on behalf of a registry outside of it, whether its
 *    address says where it is or only what its name resolves to. (Behind a proxy names are the
 *    proxy's to resolve.)
 * 3. No question to a realm follows a redirect to another place.
 * ref: distribution's token specification, OAuth2 form; RFC 9110 section 11.
 */
#include "oci/oci_int.h"

enum { OCI_AUTH_LIFE_S = 60, OCI_AUTH_MAX_LIFE_S = 7 * 86400, OCI_AUTH_PARAMS = 32 };


/* ---- challenges (Public to the room) --------------------------------------------------------- */

static bool oci_auth_token_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
           || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static struct str oci_auth_word(struct str *s) {
    size_t n = 0;
    while (n < s->n && oci_auth_token_char(s->p[n])) n++;
    struct str word = str_sub(*s, 0, n);
    *s = str_sub(*s, n, s->n);
    return word;
}

static void oci_auth_skip(struct str *s, const char *what_cstr) {
    while (s->n && s->p[0] && strchr(what_cstr, s->p[0])) *s = str_sub(*s, 1, s->n);
}

/* "quoted \" text" or a word. */
static bool oci_auth_value(struct arena *a, struct str *s, struct str *out) {
    if (!s->n || s->p[0] != '"') {
        *out = oci_auth_word(s);
        return true;
    }
    char *p = arena_alloc(a, s->n, 1);
    size_t n = 0, i = 1;
    for (; p && i < s->n && s->p[i] != '"'; i++) {
        if (s->p[i] == '\\' && i + 1 < s->n) i++;
        p[n++] = s->p[i];
    }
    *out = (struct str){ p, n };
    bool closed = p && i < s->n;
    *s = str_sub(*s, i + 1, s->n);
    return closed;
}

static void oci_auth_better(const struct oci_challenge *x, struct oci_challenge *out) {
    if (x->scheme == OCI_AUTH_BEARER && !x->realm.n) return;
    if (x->scheme > out->scheme) *out = *x;
}

MLXK_FN bool oci_challenge_parse(struct arena *a, struct str value, struct oci_challenge *out) {
    struct oci_challenge x = { .scheme = OCI_AUTH_NONE };
    struct str s = value;
    for (int n = 0; s.n; n++) {
        oci_auth_skip(&s, " \t,");
        if (!s.n) break;
        struct str word = oci_auth_word(&s), text;
        if (!word.n || n == OCI_AUTH_PARAMS) return false;
        struct str ahead = s;
        oci_auth_skip(&ahead, " \t");
        if (!ahead.n || ahead.p[0] != '=') {               /* a scheme begins */
            oci_auth_better(&x, out);
            x = (struct oci_challenge){ .scheme = str_ieq(word, STR("bearer")) ? OCI_AUTH_BEARER
                                                : str_ieq(word, STR("basic")) ? OCI_AUTH_BASIC
                                                                              : OCI_AUTH_NONE };
            continue;
        }
        s = str_sub(ahead, 1, ahead.n);
        oci_auth_skip(&s, " \t=");     /* '=' more than once: token68's padding */
        if (!oci_auth_value(a, &s, &text)) return false;
        if (str_ieq(word, STR("realm"))) x.realm = text;
        else if (str_ieq(word, STR("service"))) x.service = text;
        else if (str_ieq(word, STR("scope"))) x.scope = text;
    }
    oci_auth_better(&x, out);
    return true;
}

/* ---- scopes ---------------------------------------------------------------------------------- */

MLXK_FN struct str oci_auth_scope(struct arena *a, struct oci *o, const struct oci_peer *peer,
                                  const struct oci_call *call) {
    struct str repo = oci_peer_repo(a, peer, o->ref.repo),
               from = oci_peer_repo(a, peer, o->mount_from);
    if (call->scope.n) return call->scope;
    bool writes = o->options.may_write && !call->reads;
    const char *actions = call->deletes ? "delete,pull,push"
                        : writes || o->options.may_write ? "pull,push" : "pull";
    if (!o->mount_from.n)
        return str_format(a, "repository:" STR_FMT ":%s", STR_ARG(repo), actions);
    return str_format(a, "repository:" STR_FMT ":%s repository:" STR_FMT ":pull", STR_ARG(repo),
                      actions, STR_ARG(from));
}

/* Appends the scopes of list that `have` does not hold already, separated by glue. */
static void oci_auth_scopes(struct buf *b, struct str list, struct str have, const char *glue_cstr,
                            bool encode) {
    int n = 0;
    while (list.p && n < OCI_MAX_SCOPES) {
        struct str one = str_cut(&list, ' ');
        if (!one.n || str_find(have, one) >= 0) continue;
        buf_add_cstr(b, glue_cstr);
        if (encode) net_url_encode(b, one, ":,/");
        else buf_add(b, one);
        n++;
    }
}

/* ---- tokens kept (Private) ------------------------------------------------------------------- */

static struct oci_token *oci_auth_kept(struct oci_peer *peer, struct str scope) {
    for (size_t i = 0; i < peer->n_tokens; i++)
        if (str_eq(peer->tokens[i].scope, scope)) return &peer->tokens[i];
    return NULL;
}

static void oci_auth_forget(struct oci_token *t) {
    mem_free((void *)(uintptr_t)t->scope.p);
    mem_free((void *)(uintptr_t)t->value.p);
    *t = (struct oci_token){ 0 };
}

static struct str oci_auth_own(struct str s) {
    char *p = mem_alloc(s.n + 1);
    if (p && s.n) memcpy(p, s.p, s.n);
    return (struct str){ p, p ? s.n : 0 };
}

static void oci_auth_keep(struct oci_peer *peer, struct str scope, struct str value,
                          int64_t life_s) {
    struct oci_token *t = oci_auth_kept(peer, scope);
    if (!t && peer->n_tokens < OCI_MAX_TOKENS) t = &peer->tokens[peer->n_tokens++];
    if (!t) t = &peer->tokens[peer->next_token++ % OCI_MAX_TOKENS];
    struct oci_token fresh = { oci_auth_own(scope), oci_auth_own(value),
                               os_now_ns() + life_s * 800000000 };
    oci_auth_forget(t);
    *t = fresh;
}

MLXK_FN void oci_auth_close(struct oci_peer *peer) {
    for (size_t i = 0; i < peer->n_tokens; i++) oci_auth_forget(&peer->tokens[i]);
    peer->n_tokens = 0;
}

/* ---- the realm (Private) --------------------------------------------------------------------- */

static bool oci_auth_realm_ok(struct arena *a, const struct oci_peer *peer, struct str realm,
                              struct err *e) {
    struct net_url to, from;
    if (!net_url_parse(a, realm, &to, e) || !net_url_parse(a, peer->base, &from, e))
        return err_context(e, "the registry's authority: ");
    if (!to.tls && from.tls) {
        err_set(e, ERR_ACCESS, STR_FMT " wants credentials sent to " STR_FMT " without encryption",
                STR_ARG(peer->host), STR_ARG(to.authority));
        return err_hint(e, "that is refused; its administrator has to name an https address");
    }
    if (peer->inside || !net_host_is_inside(to.host)) return true;
    return err_set(e, ERR_ACCESS, STR_FMT " names an authority inside this network, " STR_FMT
                   ", which is refused", STR_ARG(peer->host), STR_ARG(to.authority));
}

static bool oci_auth_basic(struct arena *a, const struct oci_creds *c, struct str *out,
                           struct err *e) {
    struct buf b;
    struct str both = str_format(a, STR_FMT ":" STR_FMT, STR_ARG(c->user), STR_ARG(c->password));
    buf_init(&b, OCI_MAX_SECRET * 3);
    buf_add_cstr(&b, "Basic ");
    base64_write(&b, both.p, both.n);
    *out = b.failed ? STR_EMPTY : str_dup(a, buf_str(&b));
    buf_release(&b);
    return out->n > 0 || err_oom(e, both.n, "credentials");
}

static bool oci_auth_denied(const struct oci_peer *peer, const struct oci_creds *c, struct err *e) {
    bool any = c->user.n || c->identity.n || c->bearer.n;
    err_set(e, ERR_ACCESS,
            any ? STR_FMT " does not accept the credentials" : STR_FMT " wants to know who asks",
            STR_ARG(peer->host));
    if (any)
        return err_hint(e, "they come from %s; `mlxk login " STR_FMT "` puts others in their place",
                        c->from_cstr, STR_ARG(peer->host));
    return err_hint(e,
                    "`mlxk login " STR_FMT
                    "` keeps an account; MLXK_REGISTRY_HOST, MLXK_REGISTRY_USER and "
                    "MLXK_REGISTRY_PASSWORD give one for a while",
                    STR_ARG(peer->host));
}

static bool oci_auth_read(struct arena *a, struct oci_peer *peer, struct str scope,
                          struct http_response *r, struct str *out, struct err *e) {
    struct buf body;
    struct str token = STR_EMPTY, other = STR_EMPTY, refresh = STR_EMPTY;
    int64_t life_s = OCI_AUTH_LIFE_S;
    buf_init(&body, OCI_MAX_ANSWER);
    bool ok = http_read_all(r, &body, e);
    const struct json *doc = ok ? json_parse_lenient(a, buf_str(&body), e) : NULL;
    buf_release(&body);
    ok = doc && json_read_str(doc, "token", &token, e)
         && json_read_str(doc, "access_token", &other, e)
         && json_read_str(doc, "refresh_token", &refresh, e);
    const struct json *life = json_get(doc, "expires_in");
    if (ok && json_is(life, JSON_INT) && life->integer > 0 && life->integer < OCI_AUTH_MAX_LIFE_S)
        life_s = life->integer;
    if (!token.n) token = other;
    bool usable = token.n && token.n <= OCI_MAX_SECRET;
    for (size_t i = 0; usable && i < token.n; i++) usable = token.p[i] > ' ' && token.p[i] < 0x7f;
    if (!ok || !usable)
        return err_set(e, ERR_ACCESS, "the authority of " STR_FMT " answers without a usable token",
                       STR_ARG(peer->host));
    oci_auth_keep(peer, scope, token, life_s);
    *out = str_format(a, "Bearer " STR_FMT, STR_ARG(token));
    return out->p || err_oom(e, token.n, "a token");
}

static void oci_auth_form(struct buf *b, const char *key_cstr, struct str value) {
    buf_addf(b, "%s%s=", b->n ? "&" : "", key_cstr);
    net_url_encode(b, value, "");
}

/* The question to the realm; by_form: a refresh token, in the body. */
static bool oci_auth_ask(struct arena *a, struct oci *o, struct oci_peer *peer, struct str scope,
                         bool by_form, struct http_response *r, struct err *e) {
    const struct oci_challenge *ch = &peer->challenge;
    struct buf b;
    struct str auth = STR_EMPTY, text;
    static const struct http_header form[] = {
        { { "Content-Type", 12 }, { "application/x-www-form-urlencoded", 33 } } };
    buf_init(&b, NET_MAX_URL + OCI_MAX_SECRET * 3);
    if (by_form) {
        struct buf scopes;
        buf_init(&scopes, NET_MAX_URL);
        oci_auth_scopes(&scopes, scope, STR_EMPTY, scopes.n ? " " : "", false);
        oci_auth_scopes(&scopes, ch->scope, scope, " ", false);
        oci_auth_form(&b, "grant_type", STR("refresh_token"));
        oci_auth_form(&b, "service", ch->service);
        oci_auth_form(&b, "client_id", STR("mlxk"));
        oci_auth_form(&b, "scope", str_trim(buf_str(&scopes)));
        oci_auth_form(&b, "refresh_token", peer->creds.identity);
        buf_release(&scopes);
    } else {
        buf_add(&b, ch->realm);
        buf_addf(&b, "%sservice=", str_find_char(ch->realm, '?') < 0 ? "?" : "&");
        net_url_encode(&b, ch->service, "");
        oci_auth_scopes(&b, scope, STR_EMPTY, "&scope=", true);
        oci_auth_scopes(&b, ch->scope, scope, "&scope=", true);
    }
    text = b.failed ? STR_EMPTY : str_dup(a, buf_str(&b));
    buf_release(&b);
    if (!text.n) return err_oom(e, NET_MAX_URL, "a question to an authority");
    if (!by_form && peer->creds.user.n && !oci_auth_basic(a, &peer->creds, &auth, e)) return false;
    struct http_request q = { .method_cstr = by_form ? "POST" : "GET",
                              .url = by_form ? ch->realm : text,
                              .auth = auth,
                              .follow = !by_form,
                              .stay = true,
                              .outside = !peer->inside,
                              .body = by_form ? text : STR_EMPTY,
                              .headers = form,
                              .n_headers = by_form ? 1 : 0 };
    struct net_url realm;
    struct http_client *client = net_url_parse(a, ch->realm, &realm, e)
                                     ? oci_client(o, realm.authority, e) : NULL;
    return client && http_send(client, &q, r, e);
}

static bool oci_auth_fetch(struct arena *a, struct oci *o, struct oci_peer *peer, struct str scope,
                           struct str *out, struct err *e) {
    struct http_response r;
    struct http_retry retry;
    bool by_form = peer->creds.identity.n > 0;
    if (!oci_auth_realm_ok(a, peer, peer->challenge.realm, e)) return false;
    http_retry_init(&retry, o->options.attempts);
    for (;;) {
        struct err one = { 0 };
        bool sent = oci_auth_ask(a, o, peer, scope, by_form, &r, &one);
        if (sent && r.status == 200) break;
        if (sent && by_form && (r.status == 404 || r.status == 405)) {
            by_form = false;                               /* an authority without the OAuth form */
            http_finish(&r);
            continue;
        }
        int64_t wait_ms = http_retry_wait(&retry, sent ? &r : NULL, &one);
        int status = sent ? r.status : 0;
        if (sent) http_finish(&r);
        if (wait_ms >= 0 && http_retry_sleep(wait_ms, e)) continue;
        if (e->code != ERR_OK) return false;
        if (status == 401 || status == 403) return oci_auth_denied(peer, &peer->creds, e);
        if (!sent) oci_waited(&one, e);
        else
            err_set(e, status == 429 ? ERR_RATE_LIMIT : ERR_HTTP, "it answers with status %d",
                    status);
        return err_context(e, "the authority of " STR_FMT ": ", STR_ARG(peer->host));
    }
    bool ok = oci_auth_read(a, peer, scope, &r, out, e);
    http_finish(&r);
    return ok;
}

static bool oci_auth_creds(struct oci *o, struct oci_peer *peer, struct err *e) {
    if (peer->creds_known) return true;
    peer->creds_known = true;
    return oci_creds_find(&o->arena, peer->host, o->ref.repo, &peer->creds, e);
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN bool oci_auth_known(struct arena *a, struct oci *o, struct oci_peer *peer, struct str scope,
                            struct str *out, struct err *e) {
    *out = STR_EMPTY;
    if (peer->challenge.scheme == OCI_AUTH_NONE) return true;
    if (peer->creds.bearer.n) {
        *out = str_format(a, "Bearer " STR_FMT, STR_ARG(peer->creds.bearer));
        return out->p || err_oom(e, peer->creds.bearer.n, "a token");
    }
    if (peer->challenge.scheme == OCI_AUTH_BASIC)
        return !peer->creds.user.n || oci_auth_basic(a, &peer->creds, out, e);
    const struct oci_token *t = oci_auth_kept(peer, scope);
    if (!t || os_now_ns() >= t->renew_ns) return oci_auth_fetch(a, o, peer, scope, out, e);
    *out = str_format(a, "Bearer " STR_FMT, STR_ARG(t->value));
    return out->p || err_oom(e, t->value.n, "a token");
}

MLXK_FN bool oci_auth_answer(struct arena *a, struct oci *o, struct oci_peer *peer,
                             struct str scope, const struct http_response *r, struct str used,
                             struct str *out, struct err *e) {
    struct oci_challenge ch = { .scheme = OCI_AUTH_NONE };
    *out = STR_EMPTY;
    for (size_t i = 0; i < r->n_headers; i++)
        if (str_ieq(r->headers[i].name, STR("WWW-Authenticate")))
            (void)oci_challenge_parse(&o->arena, r->headers[i].value, &ch);
    if (ch.scheme == OCI_AUTH_NONE) {
        err_set(e, ERR_ACCESS, STR_FMT " refuses with status 401 and does not say what it wants",
                STR_ARG(peer->host));
        return err_hint(e, "check that this is a registry, and what stands in front of it");
    }
    struct str *parts[] = { &ch.realm, &ch.service, &ch.scope };
    for (size_t i = 0; i < MLXK_COUNT(parts); i++) *parts[i] = str_dup(&o->arena, *parts[i]);
    peer->challenge = ch;
    struct net_url base;
    struct err none = { 0 };
    peer->inside = net_url_parse(a, peer->base, &base, &none) && (
        net_host_is_inside(base.host) || (r->inside && net_url_same_origin(&base, &r->url)));
    if (!oci_auth_creds(o, peer, e)) return false;
    if (ch.scheme == OCI_AUTH_BASIC || peer->creds.bearer.n) {
        bool refused = used.n || (!peer->creds.user.n && !peer->creds.bearer.n);
        return refused ? oci_auth_denied(peer, &peer->creds, e)
                       : oci_auth_known(a, o, peer, scope, out, e);
    }
    return oci_auth_fetch(a, o, peer, scope, out, e);
}
