/* hub_error.c: what the hub's refusals mean, and what the person can do.
 *
 * The hub hides private repositories behind "not found" and 401, so most messages name both cases.
 * Text from the server is shortened and cleaned before it is shown. ref: hub facts 3.6.
 */
#include "hub/hub_int.h"

enum { HUB_ERROR_MAX_BODY = 65536 };
struct hub_error_text { char text[161]; };

/* Printable part of text from outside. */
static struct hub_error_text hub_error_clean(struct str s) {
    struct hub_error_text out = { { 0 } };
    size_t n = s.n < sizeof out.text - 1 ? s.n : sizeof out.text - 1;
    for (size_t i = 0; i < n; i++)
        out.text[i] = (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ? ' ' : s.p[i];
    n -= utf8_incomplete_tail((struct str){ out.text, n });
    out.text[log_redact(out.text, n)] = 0;
    return out;
}

/* X-Error-Message, else "error" of the JSON body, else nothing. */
static struct hub_error_text hub_error_message(const struct http_response *r, struct str body) {
    struct str header = http_header(r, "X-Error-Message"), message = STR_EMPTY;
    struct err ignored = { 0 };
    struct arena a;
    if (header.n) return hub_error_clean(header);
    arena_init(&a, (size_t)16 << 20);
    const struct json *doc = body.n && body.p[0] == '{' ? json_parse(&a, body, &ignored) : NULL;
    const struct json *error = json_get(doc, "error");
    if (json_is(error, JSON_STRING)) message = error->string;
    struct hub_error_text out = hub_error_clean(message);
    arena_release(&a);
    return out;
}

static bool hub_error_missing(const struct hub *h, const struct hub_subject *s, struct err *e) {
    err_set(e, ERR_ACCESS,
            "the repository " STR_FMT " does not exist at " STR_FMT ", or is private",
            STR_ARG(s->repo), STR_ARG(h->endpoint));
    if (h->token.n)
        return err_hint(e, "check the spelling; the account of the token from %s may not see it",
                        h->token_from_cstr);
    return err_hint(e, "check the spelling; a private repository wants a token of an account "
                       "that may see it: mlxk login, or HF_TOKEN");
}

static bool hub_error_gated(const struct hub *h, const struct hub_subject *s, struct err *e) {
    err_set(e, ERR_ACCESS, "access to " STR_FMT " is gated: its terms have to be accepted first",
            STR_ARG(s->repo));
    if (!h->token.n)
        return err_hint(e,
                        "open " STR_FMT "/" STR_FMT
                        ", accept them, then give a token of that account: mlxk login, or HF_TOKEN",
                        STR_ARG(h->endpoint), STR_ARG(s->repo));
    return err_hint(
        e, "open " STR_FMT "/" STR_FMT " and accept them with the account of the token from %s",
        STR_ARG(h->endpoint), STR_ARG(s->repo), h->token_from_cstr);
}

static bool hub_error_rate(const struct hub *h, const struct http_response *r, struct err *e) {
    struct str after = http_header(r, "Retry-After");
    err_set(e, ERR_RATE_LIMIT, STR_FMT " asks to slow down (status 429)", STR_ARG(h->endpoint));
    if (after.n)
        return err_hint(e, "it wants to be asked again after %s%s", hub_error_clean(after).text,
                        after.n < 8 ? " seconds" : "");
    return err_hint(e, h->token.n
                           ? "try again in some minutes"
                           : "try again in some minutes; with HF_TOKEN set the limits are higher");
}

static bool hub_error_other(const struct hub *h, const struct hub_subject *s,
                            const struct http_response *r, const char *message_cstr,
                            struct err *e) {
    bool storage = r->crossed_origin;
    struct str id = http_header(r, "X-Request-Id"), what = s->path.n ? s->path : s->repo;
    err_set(e, r->status == 401 || r->status == 403 ? ERR_ACCESS : ERR_HTTP,
            STR_FMT " answered with status %d for " STR_FMT "%s%s",
            STR_ARG(storage ? r->url.authority : h->endpoint), r->status, STR_ARG(what),
            message_cstr[0] ? ": " : "", message_cstr);
    if (id.n) return err_hint(e, "the server calls this request %s", hub_error_clean(id).text);
    if (r->status >= 500)
        return err_hint(e, "the trouble is on the server's side; try again later");
    return err_hint(e, "check HF_ENDPOINT and what stands between here and the hub");
}

MLXK_FN bool hub_refused(const struct hub *h, const struct hub_subject *s,
                         const struct http_response *r, struct str body, struct err *e) {
    struct str code = http_header(r, "X-Error-Code");
    struct hub_error_text message = hub_error_message(r, body);
    if (r->status == 429) return hub_error_rate(h, r, e);
    if (r->crossed_origin) return hub_error_other(h, s, r, message.text, e);
    if (str_eq(code, STR("RevisionNotFound"))) {
        err_set(e, ERR_NOT_FOUND, STR_FMT " has no revision '" STR_FMT "'", STR_ARG(s->repo),
                STR_ARG(s->revision));
        return err_hint(e, "branches and tags are listed at " STR_FMT "/" STR_FMT "/tree/main",
                        STR_ARG(h->endpoint), STR_ARG(s->repo));
    }
    if (str_eq(code, STR("GatedRepo"))) return hub_error_gated(h, s, e);
    if (strcmp(message.text, "Access to this resource is disabled.") == 0)
        return err_set(e, ERR_ACCESS, "the hub has disabled access to " STR_FMT, STR_ARG(s->repo));
    if (r->status == 401 && strncmp(message.text, "Invalid credentials", 19) == 0 && h->token.n) {
        err_set(e, ERR_ACCESS, "the hub does not accept the token from %s", h->token_from_cstr);
        return err_hint(e, "make a new one at " STR_FMT "/settings/tokens", STR_ARG(h->endpoint));
    }
    if (str_eq(code, STR("RepoNotFound")) || (r->status == 401 && code.n == 0))
        return hub_error_missing(h, s, e);
    if (r->status == 404 && s->path.n)
        return err_set(e, ERR_NOT_FOUND, STR_FMT " has no file " STR_FMT " at " STR_FMT,
                       STR_ARG(s->repo), STR_ARG(s->path), STR_ARG(s->revision));
    if (r->status == 404) return hub_error_missing(h, s, e);
    return hub_error_other(h, s, r, message.text, e);
}

MLXK_FN bool hub_refused_answer(const struct hub *h, const struct hub_subject *s,
                                struct http_response *r, struct err *e) {
    struct buf body;
    struct err ignored = { 0 };
    buf_init(&body, HUB_ERROR_MAX_BODY);
    (void)http_read_all(r, &body, &ignored);     /* whatever can be had of the reason */
    hub_refused(h, s, r, body.failed ? STR_EMPTY : buf_str(&body), e);
    buf_release(&body);
    return false;
}

/* ---- wrong answerers (Public) ---------------------------------------------------------------- */

static bool hub_json_is_whole(struct str text) {
    struct json_reader r;
    struct json_token t;
    struct err broken = { 0 };
    text = str_trim(text);
    json_reader_init(&r, text, LIMIT_JSON_DEPTH);
    bool whole = (str_starts(text, STR("{")) || str_starts(text, STR("[")))   /* has an end */
                 && json_skip(&r, NULL, &broken) && json_expect(&r, JSON_T_END, &t, &broken);
    json_reader_release(&r);
    return whole;
}

MLXK_FN bool hub_read_json(struct http_response *r, struct buf *out, struct err *e) {
    if (http_read_all(r, out, e)) return true;
    if (!r->unclosed || out->failed || !hub_json_is_whole(buf_str(out))) return false;
    err_clear(e);
    return true;
}

MLXK_FN bool hub_is_html(const struct http_response *r) {
    return str_contains_icase(http_header(r, "Content-Type"), STR("html"));
}

MLXK_FN bool hub_not_a_hub(const struct http_response *r, const char *why_cstr, struct err *e) {
    err_set(e, ERR_FORMAT, STR_FMT " does not answer like a hub: %s", STR_ARG(r->url.authority),
            why_cstr);
    return err_hint(e, hub_is_html(r) ? "this may be the log-in page of a network; open it in a "
                                        "browser, or check HF_ENDPOINT and the proxy settings"
                                      : "check HF_ENDPOINT and the proxy settings");
}
