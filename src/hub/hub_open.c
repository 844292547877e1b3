/* hub_open.c: which hub, with which token.
 *
 * Invariants
 *  1. A token is checked for what could break a header, and never printed: messages name its
 *     source.
 *  2. What the environment says is read here and nowhere else in this room.
 *  3. A token goes to one endpoint of a list and to no other.
 * ref: hub facts 2.
 */
#include "hub/hub_int.h"

enum { HUB_OPEN_ATTEMPTS = 5, HUB_OPEN_MAX_TOKEN = 4096, HUB_OPEN_MAX_SECONDS = 86400 };

static const char *hub_open_setting(const char *name_cstr) {
    const char *v = os_env(name_cstr);
    return v && v[0] ? v : NULL;
}

/* ---- the endpoint (Private) ------------------------------------------------------------------ */

static bool hub_open_one(struct arena *a, struct str text, struct hub_endpoint *out,
                         struct err *e) {
    while (str_ends(text, STR("/"))) text.n--;
    bool ok = net_url_parse(a, text, &out->origin, e);
    if (ok && (str_find_char(text, '?') >= 0 || str_find_char(text, '#') >= 0))
        ok = err_set(e, ERR_INVALID, "'" STR_FMT "' holds a query or fragment", STR_ARG(text));
    if (!ok) {
        err_context(e, "HF_ENDPOINT: ");
        return err_hint(
            e, "it is an address such as https://huggingface.co or https://mirror.example/hub");
    }
    out->text = net_url_text(a, &out->origin);
    if (!out->text.p) return err_oom(e, text.n, "the endpoint");
    while (str_ends(out->text, STR("/"))) out->text.n--;
    return true;
}

static bool hub_open_endpoints(struct arena *a, struct str text, struct hub *out, struct err *e) {
    size_t owner = 0;
    for (size_t from = 0, i = 0; i <= text.n; i++) {
        if (i < text.n && text.p[i] != ',' && text.p[i] != ' ') continue;
        struct str one = str_sub(text, from, i);
        from = i + 1;
        if (one.n == 0) continue;
        if (out->n_endpoints == HUB_MAX_ENDPOINTS)
            return err_set(e, ERR_LIMIT, "HF_ENDPOINT names more than %d addresses",
                           HUB_MAX_ENDPOINTS);
        struct hub_endpoint *x = &out->endpoints[out->n_endpoints];
        if (!hub_open_one(a, one, x, e)) return false;
        if (x->origin.tls && str_eq(x->origin.host, STR("huggingface.co")))
            owner = out->n_endpoints;
        out->n_endpoints++;
    }
    if (out->n_endpoints == 0) return hub_open_one(a, text, &out->endpoints[0], e);
    out->endpoints[owner].owns_token = true;
    return true;
}

MLXK_FN struct hub hub_at(const struct hub *h, size_t i) {
    struct hub view = *h;
    view.at = i;
    view.endpoint = h->endpoints[i].text;
    view.origin = h->endpoints[i].origin;
    view.token = h->endpoints[i].owns_token ? h->secret : STR_EMPTY;
    return view;
}

/* ---- the token (Private) --------------------------------------------------------------------- */

MLXK_FN bool hub_token_ok(struct str token, const char *from_cstr, struct err *e) {
    bool ok = token.n <= HUB_OPEN_MAX_TOKEN;
    for (size_t i = 0; ok && i < token.n; i++) ok = token.p[i] > ' ' && token.p[i] < 0x7f;
    if (ok) return true;
    err_set(e, ERR_INVALID, "the token from %s holds characters that no token has, or is too long",
            from_cstr);
    return err_hint(e, "copy it again, alone and on one line");
}

static bool hub_open_take(struct arena *a, struct str text, const char *from_cstr, struct hub *out,
                          struct err *e) {
    struct str token = str_trim(text);
    if (!hub_token_ok(token, from_cstr, e)) return false;
    out->token = str_dup(a, token);
    out->token_from_cstr = token.n ? from_cstr : "none";
    return out->token.p || token.n == 0 || err_oom(e, token.n, "the token");
}

/* HF_TOKEN_PATH, else "token" in HF_HOME, XDG_CACHE_HOME/huggingface or ~/.cache/huggingface. */
MLXK_FN char *hub_token_path(struct arena *a) {
    const char *path_cstr = hub_open_setting("HF_TOKEN_PATH"),
               *home_cstr = hub_open_setting("HF_HOME");
    const char *cache_cstr = hub_open_setting("XDG_CACHE_HOME");
    if (path_cstr) return os_path_expand(a, path_cstr);
    if (home_cstr) path_cstr = os_path_join(a, home_cstr, "token");
    else path_cstr = os_path_join(a, cache_cstr ? cache_cstr : "~/.cache", "huggingface/token");
    return path_cstr ? os_path_expand(a, path_cstr) : NULL;
}

static bool hub_open_token(struct arena *a, struct hub *out, struct err *e) {
    static const char *const names[] = { "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN",
                                         "HUGGINGFACE_HUB_TOKEN" };
    struct err none = { 0 };
    struct str text;
    out->token = STR_EMPTY;
    out->token_from_cstr = "none";
    if (os_env_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return true;
    for (size_t i = 0; i < MLXK_COUNT(names); i++) {
        const char *set_cstr = hub_open_setting(names[i]);
        if (set_cstr && str_trim(str_cstr(set_cstr)).n)
            return hub_open_take(a, str_cstr(set_cstr), names[i], out, e);
    }
    char *path_cstr = hub_token_path(a);
    if (!path_cstr) return err_oom(e, LIMIT_PATH, "a path");
    if (os_read_file(a, path_cstr, HUB_OPEN_MAX_TOKEN, &text, &none))
        return hub_open_take(a, text, path_cstr, out, e);
    if (none.code != ERR_NOT_FOUND) log_write(LOG_WARN, "the token file is not used: %s", none.msg);
    return true;
}

static bool hub_open_is_loopback(const struct net_url *u) {
    return str_eq(u->host, STR("localhost")) || str_eq(u->host, STR("::1"))
           || (u->host_is_ip && str_starts(u->host, STR("127.")));
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool hub_open(struct arena *a, const struct http_options *o, struct hub *out,
                      struct err *e) {
    struct http_options options = *o;
    const char *seconds_cstr = hub_open_setting("HF_HUB_DOWNLOAD_TIMEOUT");
    int64_t seconds;
    *out = (struct hub){ .attempts = HUB_OPEN_ATTEMPTS, .first_attempts = HUB_OPEN_ATTEMPTS };
    const char *set_cstr = hub_open_setting("HF_ENDPOINT");
    struct str text = str_trim(str_cstr(set_cstr ? set_cstr : "https://huggingface.co"));
    if (!hub_open_endpoints(a, text, out, e) || !hub_open_token(a, out, e)) return false;
    out->secret = out->token;
    for (size_t i = 0; i < out->n_endpoints; i++) {
        const struct hub_endpoint *x = &out->endpoints[i];
        if (out->secret.n && x->owns_token && !x->origin.tls && !hub_open_is_loopback(&x->origin))
            log_write(LOG_WARN, "the token from %s goes to " STR_FMT " unencrypted",
                      out->token_from_cstr, STR_ARG(x->text));
    }
    *out = hub_at(out, 0);
    bool timed = seconds_cstr
                 && num_parse_i64(str_cstr(seconds_cstr), 1, HUB_OPEN_MAX_SECONDS, &seconds);
    if (timed && !options.read_timeout_ms) options.read_timeout_ms = seconds * 1000;
    if (timed && !options.connect_timeout_ms) options.connect_timeout_ms = seconds * 1000;
    out->offline = os_env_true("HF_HUB_OFFLINE") || os_env_true("TRANSFORMERS_OFFLINE");
    out->xet = os_env_true("MLXK_XET") && !os_env_true("HF_HUB_DISABLE_XET");
    out->client = http_open(&options, e);
    return out->client != NULL;
}

MLXK_FN bool hub_point(struct arena *a, struct hub *h, struct str endpoints, struct err *e) {
    h->n_endpoints = 0;
    if (!hub_open_endpoints(a, str_trim(endpoints), h, e)) return false;
    *h = hub_at(h, 0);
    return true;
}

MLXK_FN void hub_forget_token(struct hub *h) {
    h->token = h->secret = STR_EMPTY;
    h->token_from_cstr = "none";
}

MLXK_FN void hub_close(struct hub *h) {
    http_close(h->client);
    h->client = NULL;
}
