/* hub_call.c: questions to the hub that change something, and the addresses that it gives back.
 *
 * Invariants
 *  1. The token goes to the endpoint's origin only, whatever address an answer names.
 *  2. What may have been done is not asked for again: with `once` only an answer that says "not
 *     now" leads to another attempt.
 * ref: hub facts 3.6, 3.7, 3.9.
 */
#include "hub/hub_int.h"

#define HUB_CALL_MAX_ANSWER ((size_t)16 << 20)

/* ---- addresses (Public to the room) ---------------------------------------------------------- */

MLXK_FN bool hub_given_url(struct arena *a, const struct hub *h, struct str given, struct str *out,
                           struct err *e) {
    static const char official[] = "https://huggingface.co";
    struct net_url u, known;
    struct err none = { 0 };
    if (!net_url_parse(a, given, &u, e))
        return err_context(e, "the hub gives an address that cannot be used: ");
    bool elsewhere = net_url_parse(a, str_cstr(official), &known, &none)
                     && net_url_same_origin(&u, &known)
                     && !net_url_same_origin(&h->origin, &known);
    if (elsewhere) {
        *out = str_concat(a, h->endpoint, u.target);
        return out->p || err_oom(e, NET_MAX_URL, "an address");
    }
    if (h->origin.tls && !u.tls)
        return err_set(e, ERR_TLS, "the hub wants files to be sent to " STR_FMT
                       " without encryption, which is refused", STR_ARG(u.authority));
    *out = net_url_text(a, &u);
    return out->p || err_oom(e, NET_MAX_URL, "an address");
}

/* ---- asking (Public to the room) ------------------------------------------------------------- */

static bool hub_call_take(struct arena *a, struct http_response *r, struct hub_called *out,
                          struct err *e) {
    struct buf body;
    buf_init(&body, HUB_CALL_MAX_ANSWER);
    bool ok = hub_read_json(r, &body, e);
    if (ok && hub_is_html(r)) ok = hub_not_a_hub(r, "a web page came instead of JSON", e);
    if (ok) out->body = str_dup(a, buf_str(&body));
    ok = ok && (out->body.p || body.n == 0 || err_oom(e, body.n, "an answer of the hub"));
    buf_release(&body);
    return ok;
}

static bool hub_call_try(struct arena *a, struct hub *h, const struct hub_subject *s,
                         const struct hub_call *call, struct http_retry *retry, int64_t *wait_ms,
                         struct hub_called *out, struct err *e) {
    struct net_url u;
    const char *type_cstr = call->type_cstr ? call->type_cstr : "application/json";
    struct http_header headers[] = { { STR("Content-Type"), str_cstr(type_cstr) },
                                     { STR("Accept"), str_cstr(type_cstr) } };
    struct http_response r;
    *wait_ms = -1;
    *out = (struct hub_called){ 0 };
    if (!net_url_parse(a, call->url, &u, e)) return false;
    bool get = strcmp(call->method_cstr, "GET") == 0, own = net_url_same_origin(&u, &h->origin);
    bool lfs = call->type_cstr && str_ends(str_cstr(type_cstr), STR("+json"));
    struct http_request request = {
        .method_cstr = call->method_cstr, .url = call->url, .token = own ? h->token : STR_EMPTY,
        .headers = headers, .n_headers = get ? 0 : lfs ? 2 : 1, .body = call->body,
        .read_body = call->read_body, .body_bytes = call->body_bytes, .body_ctx = call->body_ctx,
        .follow = true, .accept_gzip = true,
    };
    if (!http_send(h->client, &request, &r, e)) {
        if (!call->once) *wait_ms = http_retry_wait(retry, NULL, e);
        return false;
    }
    out->status = r.status;
    out->code = str_dup(a, http_header(&r, "X-Error-Code"));
    bool ok = r.status >= 200 && r.status < 300;
    if (ok) {
        ok = hub_call_take(a, &r, out, e);
        if (!ok && !call->once) *wait_ms = http_retry_wait(retry, NULL, e);
    } else {
        if (!call->once || r.status == 429) *wait_ms = http_retry_wait(retry, &r, NULL);
        hub_refused_answer(h, s, &r, e);
    }
    http_finish(&r);
    return ok;
}

MLXK_FN bool hub_call_ask(struct arena *a, struct hub *h, const struct hub_subject *s,
                     const struct hub_call *call, struct hub_called *out, struct err *e) {
    struct http_retry retry;
    int64_t wait_ms;
    http_retry_init(&retry, h->attempts);
    if (!call->url.p)
        return err_set(e, ERR_INVALID, "the address of " STR_FMT " is too long", STR_ARG(s->repo));
    while (!hub_call_try(a, h, s, call, &retry, &wait_ms, out, e))
        if (!hub_wait(h, wait_ms, e)) return false;
    return true;
}

#undef HUB_CALL_MAX_ANSWER
