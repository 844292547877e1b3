/* oci_creds.c: who we are to a registry: the files and helpers of docker and of containers-image.
 *
 *   MLXK_REGISTRY_*  ->  DOCKER_AUTH_CONFIG  ->  REGISTRY_AUTH_FILE  ->  docker's config.json
 *   ->  containers/auth.json       the first that knows the host wins; none: anonymous
 *
 * 1. Secrets stay in memory; a helper gets the name of the registry on its standard input, no more.
 * 2. What the variables say belongs to the host that MLXK_REGISTRY_HOST names and to no other.
 * ref: docker's config.json and credential helpers; containers-auth.json(5).
 */
#include "oci/oci_int.h"

enum { OCI_CREDS_HELPER_MS = 60000 };

static const char *oci_creds_setting(const char *name_cstr) {
    const char *v = os_env(name_cstr);
    return v && v[0] ? v : NULL;
}

static bool oci_creds_is_hub(struct str host) {
    return str_eq(host, STR("docker.io"));
}

MLXK_FN size_t oci_creds_fits(struct str key, struct str host, struct str repo) {
    static const char *const hub[] = { "index.docker.io", "registry-1.docker.io" };
    if (str_starts(key, STR("https://"))) key = str_sub(key, 8, key.n);
    else if (str_starts(key, STR("http://"))) key = str_sub(key, 7, key.n);
    struct str rest = key, name = str_cut(&rest, '/');
    bool same = str_ieq(name, host);
    for (size_t i = 0; oci_creds_is_hub(host) && i < MLXK_COUNT(hub); i++)
        same = same || str_ieq(name, str_cstr(hub[i]));
    if (!same) return 0;
    while (str_ends(rest, STR("/"))) rest.n--;
    if (rest.n == 0 || str_eq(rest, STR("v1")) || str_eq(rest, STR("v2"))) return 1;
    bool inside = str_starts(repo, rest) && (repo.n == rest.n || repo.p[rest.n] == '/');
    return inside ? 1 + rest.n : 0;
}

static bool oci_creds_entry(struct arena *a, const struct json *v, struct oci_creds *out,
                            struct err *e) {
    struct str auth = STR_EMPTY;
    if (!json_is(v, JSON_OBJECT)) return err_set(e, ERR_FORMAT, "an entry of 'auths' is no object");
    if (!json_read_str(v, "auth", &auth, e) || !json_read_str(v, "username", &out->user, e)
        || !json_read_str(v, "password", &out->password, e)
        || !json_read_str(v, "identitytoken", &out->identity, e)
        || !json_read_str(v, "registrytoken", &out->bearer, e))
        return false;
    if (!auth.n) return true;
    ptrdiff_t colon = -1;
    uint8_t *bytes = ARENA_ARRAY(a, uint8_t, auth.n);
    struct str both = { (const char *)bytes, 0 };
    if (bytes && base64_read(auth, bytes, auth.n, &both.n)) colon = str_find_char(both, ':');
    if (colon < 0) return err_set(e, ERR_FORMAT, "'auth' is not the base64 of USER:PASSWORD");
    out->user = str_sub(both, 0, (size_t)colon);
    out->password = str_sub(both, (size_t)colon + 1, both.n);
    while (out->password.n && out->password.p[out->password.n - 1] == 0) out->password.n--;
    return true;
}

MLXK_FN bool oci_creds_suffix_ok(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!word && c != '.' && c != '_' && c != '-') return false;
    }
    return s.n > 0 && s.n < 100;
}

MLXK_FN bool oci_creds_parse(struct arena *a, struct str text, struct str host, struct str repo,
                             struct oci_creds *out, struct str *helper, struct err *e) {
    size_t best = 0;
    const struct json *found = NULL, *doc = json_parse_lenient(a, text, e);
    *out = (struct oci_creds){ 0 };
    *helper = STR_EMPTY;
    if (!doc) return false;
    const struct json *helpers = json_get(doc, "credHelpers"), *auths = json_get(doc, "auths");
    for (const struct json *v = json_is(helpers, JSON_OBJECT) ? helpers->child : NULL; v;
         v = v->next)
        if (v->kind == JSON_STRING && oci_creds_fits(v->key, host, STR_EMPTY)) *helper = v->string;
    for (const struct json *v = json_is(auths, JSON_OBJECT) ? auths->child : NULL; v; v = v->next) {
        size_t fits = oci_creds_fits(v->key, host, repo);
        bool empty = json_is(v, JSON_OBJECT) && v->n == 0; /* left by a store that has the secret */
        if (fits > best && !empty) {
            best = fits;
            found = v;
        }
    }
    if (!helper->n && found) return oci_creds_entry(a, found, out, e);
    if (!helper->n && !json_read_str(doc, "credsStore", helper, e)) return false;
    if (helper->n && !oci_creds_suffix_ok(*helper))
        return err_set(e, ERR_INVALID, "'%s' is no name of a credential helper",
                       oci_show(*helper).text);
    return false;
}

/* ---- helpers (Private) ----------------------------------------------------------------------- */

static bool oci_creds_answer(struct arena *a, struct str text, struct oci_creds *out,
                             struct err *e) {
    struct str user = STR_EMPTY, secret = STR_EMPTY;
    const struct json *doc = json_parse_lenient(a, text, e);
    if (!doc || !json_read_str(doc, "Username", &user, e)
        || !json_read_str(doc, "Secret", &secret, e))
        return false;
    if (str_eq(user, STR("<token>"))) out->identity = secret;
    else {
        out->user = user;
        out->password = secret;
    }
    return true;
}

MLXK_FN bool oci_creds_run(struct arena *a, struct str suffix, const char *verb_cstr,
                           struct str input, struct buf *answer, int *status, struct str *said,
                           struct err *e) {
    struct buf diag;
    struct str name = str_format(a, "docker-credential-" STR_FMT, STR_ARG(suffix));
    char *program = str_dup_cstr(a, name);
    if (!program || !input.p) return err_oom(e, name.n, "a credential helper");
    const char *const argv[] = { program, verb_cstr, NULL };
    buf_init(&diag, 4096);
    struct os_spawn s = { .argv = argv, .input = input, .out = answer, .diag = &diag,
                          .wait_ms = OCI_CREDS_HELPER_MS };
    bool ok = os_spawn(&s, status, e);
    *said = str_dup(a, str_trim(buf_str(answer).n ? buf_str(answer) : buf_str(&diag)));
    buf_release(&diag);
    return ok || err_hint(e, "docker's config.json names this helper for the registry");
}

MLXK_FN bool oci_creds_failed(struct str suffix, int status, struct str said, struct err *e) {
    err_set(e, ERR_ACCESS, "docker-credential-" STR_FMT " failed with status %d: %s",
            STR_ARG(suffix), status, oci_show(said).text);
    return err_hint(e, "docker's config.json names this helper for the registry");
}

MLXK_FN struct str oci_creds_key(struct str host) {
    return oci_creds_is_hub(host) ? STR("https://index.docker.io/v1/") : host;
}

static bool oci_creds_help(struct arena *a, struct str suffix, struct str host,
                           struct oci_creds *out, struct err *e) {
    struct buf answer;
    struct str said, question = str_concat(a, oci_creds_key(host), STR("\n"));
    int status = 0;
    buf_init(&answer, OCI_CREDS_MAX_FILE);
    bool ok = oci_creds_run(a, suffix, "get", question, &answer, &status, &said, e);
    if (ok && status != 0)
        ok = str_find(said, STR("not found")) >= 0 || oci_creds_failed(suffix, status, said, e);
    else if (ok && !oci_creds_answer(a, buf_str(&answer), out, e))
        ok = err_context(e, "docker-credential-" STR_FMT ": ", STR_ARG(suffix));
    buf_release(&answer);
    return ok;
}

/* ---- places (Private) ------------------------------------------------------------------------ */

static bool oci_creds_any(const struct oci_creds *c) {
    return c->user.n || c->password.n || c->identity.n || c->bearer.n;
}

static bool oci_creds_text(struct arena *a, struct str text, const char *from_cstr, struct str host,
                           struct str repo, struct oci_creds *out, struct err *e) {
    struct str helper;
    bool ok = oci_creds_parse(a, text, host, repo, out, &helper, e) || e->code == ERR_OK;
    if (ok && helper.n) ok = oci_creds_help(a, helper, host, out, e);
    out->from_cstr = from_cstr;
    return ok || err_context(e, "%s: ", from_cstr);
}

static bool oci_creds_file(struct arena *a, const char *path_cstr, struct str host, struct str repo,
                           struct oci_creds *out, struct err *e) {
    struct err why = { 0 };
    struct str text;
    if (!path_cstr) return err_oom(e, LIMIT_PATH, "a path");
    if (os_read_file(a, path_cstr, OCI_CREDS_MAX_FILE, &text, &why))
        return str_trim(text).n == 0 || oci_creds_text(a, text, path_cstr, host, repo, out, e);
    if (why.code != ERR_NOT_FOUND) log_write(LOG_WARN, "credentials are not used: %s", why.msg);
    return true;
}

static void oci_creds_variables(struct str host, struct oci_creds *out) {
    const char *host_cstr = oci_creds_setting("MLXK_REGISTRY_HOST");
    if (!host_cstr || !str_ieq(str_cstr(host_cstr), host)) return;
    out->user = str_cstr(oci_creds_setting("MLXK_REGISTRY_USER"));
    out->password = str_cstr(oci_creds_setting("MLXK_REGISTRY_PASSWORD"));
    out->bearer = str_cstr(oci_creds_setting("MLXK_REGISTRY_TOKEN"));
    out->from_cstr = "MLXK_REGISTRY_USER";
}

static bool oci_creds_checked(const struct oci_creds *c, struct err *e) {
    struct str all[] = { c->user, c->password, c->identity, c->bearer };
    for (size_t i = 0; i < MLXK_COUNT(all); i++) {
        bool ok = all[i].n <= OCI_MAX_SECRET && str_find_char(all[i], '\n') < 0
                  && str_find_char(all[i], '\r') < 0 && str_find_char(all[i], 0) < 0;
        if (!ok)
            return err_set(e, ERR_INVALID,
                           "the credentials from %s hold a line break or are too long",
                           c->from_cstr);
    }
    return true;
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN bool oci_creds_place(struct arena *a, size_t i, char **path_cstr, bool *set) {
    static const struct { const char *variable_cstr, *below_cstr; } places[OCI_CREDS_PLACES] = {
        { "REGISTRY_AUTH_FILE", NULL },
        { "DOCKER_CONFIG", "config.json" },
        { NULL, "~/.docker/config.json" },
        { "XDG_RUNTIME_DIR", "containers/auth.json" },
        { "XDG_CONFIG_HOME", "containers/auth.json" },
        { NULL, "~/.config/containers/auth.json" },
    };
    const char *variable = places[i].variable_cstr, *below = places[i].below_cstr;
    const char *root = variable ? oci_creds_setting(variable) : NULL;
    *path_cstr = NULL;
    *set = !variable || root;
    if (!*set) return true;
    *path_cstr = !variable ? os_path_expand(a, below)
               : below ? os_path_join(a, root, below) : str_dup_cstr(a, str_cstr(root));
    return *path_cstr != NULL;
}

MLXK_FN bool oci_creds_find(struct arena *a, struct str host, struct str repo,
                            struct oci_creds *out, struct err *e) {
    *out = (struct oci_creds){ .from_cstr = "nowhere" };
    oci_creds_variables(host, out);
    const char *text_cstr = oci_creds_setting("DOCKER_AUTH_CONFIG");
    bool ok = true;
    if (!oci_creds_any(out) && text_cstr)
        ok = oci_creds_text(a, str_cstr(text_cstr), "DOCKER_AUTH_CONFIG", host, repo, out, e);
    for (size_t i = 0; ok && i < OCI_CREDS_PLACES && !oci_creds_any(out); i++) {
        char *path;
        bool set;
        if (!oci_creds_place(a, i, &path, &set)) ok = err_oom(e, LIMIT_PATH, "a path");
        else if (set) ok = oci_creds_file(a, path, host, repo, out, e);
    }
    if (ok && oci_creds_any(out)) ok = oci_creds_checked(out, e);
    return ok;
}
