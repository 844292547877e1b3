/* oci_login.c: an account at a registry, tried, kept and forgotten where docker and podman keep
 * theirs.
 *
 *   password -> GET /v2/ with it -> a credential helper, if the file names one; else "auths" of the
 *   file
 *
 * 1. The password goes to the registry, to its authority, into the file (mode 0600) or to the
 *    helper's standard input: nowhere else.
 * 2. Of the file only the entry of this host changes; a file that cannot be read is left as it is.
 * ref: docker's config.json and credential helpers; containers-auth.json(5).
 */
#include "oci/oci_int.h"

#define OCI_LOGIN_ARENA ((size_t)1 << 20)

/* ---- names (Public) -------------------------------------------------------------------------- */

MLXK_FN bool oci_login_host(struct arena *a, struct str text, struct str *host, struct err *e) {
    struct err none = { 0 };
    struct oci_ref ref;
    if (str_starts(text, STR("https://"))) text = str_sub(text, 8, text.n);
    else if (str_starts(text, STR("oci://"))) text = str_sub(text, 6, text.n);
    while (str_ends(text, STR("/"))) text.n--;
    bool is_host = str_find_char(text, '.') >= 0 || str_find_char(text, ':') >= 0
                   || str_eq(text, STR("localhost"));
    struct str whole = str_concat(a, text, STR("/a/b"));
    bool ok = is_host && str_find_char(text, '/') < 0 && oci_ref_parse(a, whole, &ref, &none)
              && ref.kind == OCI_REGISTRY && str_eq(ref.repo, STR("a/b"));
    if (ok) {
        *host = ref.host;
        return true;
    }
    err_set(e, ERR_INVALID, "this is no name of a registry");
    return err_hint(e,
                    "HOST or HOST:PORT is wanted; a token or password is read from standard input");
}

/* ---- trying it (Public) ---------------------------------------------------------------------- */

MLXK_FN bool oci_login_check(struct str host, const struct oci_options *options, struct str user,
                             struct str password, bool *asked, struct err *e) {
    struct oci_ref ref = { .kind = OCI_REGISTRY, .host = host };
    struct oci_call call = { .method_cstr = "GET",
                             .path = STR("/v2/"),
                             .scope = STR(" ") /* none */ };
    struct http_response r;
    struct oci *o = oci_open(&ref, options, e);
    if (!o) return false;
    struct oci_peer *home = oci_home(o);
    home->creds =
        (struct oci_creds){ .user = user, .password = password, .from_cstr = "this login" };
    home->creds_known = true;
    bool ok = oci_send(o, &call, &r, e);
    if (ok) {
        ok = r.status == 200 || oci_refused(o, &r, STR("registry at /v2/"), e);
        http_finish(&r);
    }
    if (!ok && e->code == ERR_ACCESS)
        err_hint(e, "nothing was kept; check the name and the password");
    *asked = home->challenge.scheme != OCI_AUTH_NONE;
    oci_close(o);
    return ok;
}

/* ---- the file (Private) ---------------------------------------------------------------------- */

/* doc with entry (or nothing: empty) for host instead of what it has of it. */
static void oci_login_write(struct buf *out, const struct json *doc, struct str host,
                            struct str entry) {
    struct json_writer w;
    const struct json *auths = json_get(doc, "auths");
    json_write_init(&w, out, true, false);
    json_write_object(&w);
    json_write_key(&w, "auths");
    json_write_object(&w);
    for (const struct json *v = json_is(auths, JSON_OBJECT) ? auths->child : NULL; v; v = v->next) {
        if (oci_creds_fits(v->key, host, STR_EMPTY)) continue;
        json_write_key_str(&w, v->key);
        json_write_value(&w, v);
    }
    if (entry.n) {
        json_write_key_str(&w, oci_creds_key(host));
        json_write_raw(&w, entry);
    }
    json_write_object_end(&w);
    for (const struct json *v = doc ? doc->child : NULL; v; v = v->next) {
        if (str_eq(v->key, STR("auths"))) continue;
        json_write_key_str(&w, v->key);
        json_write_value(&w, v);
    }
    json_write_object_end(&w);
    buf_add_char(out, '\n');
}

/* The document in the file; NULL without an error: there is none. */
static bool oci_login_read(struct arena *a, const char *path_cstr, const struct json **doc,
                           struct err *e) {
    struct err why = { 0 };
    struct str text;
    *doc = NULL;
    if (!os_read_file(a, path_cstr, OCI_CREDS_MAX_FILE, &text, &why)) {
        if (why.code == ERR_NOT_FOUND) return true;
        *e = why;
        return false;
    }
    if (!str_trim(text).n) return true;
    *doc = json_parse_lenient(a, text, e);
    if (*doc && !json_is(*doc, JSON_OBJECT)) {
        *doc = NULL;
        err_set(e, ERR_FORMAT, "this is no JSON object");
    }
    if (*doc) return true;
    err_context(e, "%s: ", path_cstr);
    return err_hint(e, "the file stays as it is; mend it or move it away");
}

static bool oci_login_store(struct arena *a, const char *path_cstr, struct str text,
                            struct err *e) {
    struct os_stat st;
    struct err none = { 0 };
    char *dir = os_path_dir(a, path_cstr), *real = os_path_real(a, path_cstr, &none);
    if (!dir) return err_oom(e, LIMIT_PATH, "a path");
    if (real) path_cstr = real;              /* a link stays one */
    if (!os_mkdirs(dir, e)) return false;
    if (!os_stat(path_cstr, &st)
        && (!os_write_file(path_cstr, STR_EMPTY, e) || !os_chmod(path_cstr, 0600, e)))
        return false;
    return os_write_file(path_cstr, text, e);
}

/* The helper that the document names for host; n 0 = none. */
static bool oci_login_helper(const struct json *doc, struct str host, struct str *helper,
                             struct err *e) {
    const struct json *helpers = json_get(doc, "credHelpers");
    *helper = STR_EMPTY;
    for (const struct json *v = json_is(helpers, JSON_OBJECT) ? helpers->child : NULL; v;
         v = v->next)
        if (v->kind == JSON_STRING && oci_creds_fits(v->key, host, STR_EMPTY)) *helper = v->string;
    if (!helper->n && doc && !json_read_str(doc, "credsStore", helper, e)) return false;
    return !helper->n || oci_creds_suffix_ok(*helper)
           || err_set(e, ERR_INVALID, "'%s' is no name of a credential helper",
                      oci_show(*helper).text);
}

static bool oci_login_tell(struct arena *a, struct str helper, const char *verb_cstr,
                           struct str input, int *status, struct str *said, struct err *e) {
    struct buf answer;
    buf_init(&answer, OCI_CREDS_MAX_FILE);
    bool ok = oci_creds_run(a, helper, verb_cstr, input, &answer, status, said, e);
    buf_release(&answer);
    return ok;
}

static bool oci_login_to_helper(struct arena *a, struct str helper, struct str host,
                                struct str user, struct str password, struct err *e) {
    struct json_writer w;
    struct buf b;
    struct str said;
    int status = 0;
    buf_init(&b, OCI_LOGIN_ARENA);
    json_write_init(&w, &b, false, false);
    json_write_object(&w);
    json_write_member(&w, "ServerURL", oci_creds_key(host));
    json_write_member(&w, "Username", user);
    json_write_member(&w, "Secret", password);
    json_write_object_end(&w);
    bool ok = buf_ok(&b, "an account", e)
              && oci_login_tell(a, helper, "store", buf_str(&b), &status, &said, e);
    buf_release(&b);
    return ok && (status == 0 || oci_creds_failed(helper, status, said, e));
}

static bool oci_login_entry(struct arena *a, struct str user, struct str password, struct str *out,
                            struct err *e) {
    struct buf b;
    struct str both = str_format(a, STR_FMT ":" STR_FMT, STR_ARG(user), STR_ARG(password));
    buf_init(&b, OCI_LOGIN_ARENA);
    buf_add_cstr(&b, "{\"auth\": \"");
    base64_write(&b, both.p, both.n);
    buf_add_cstr(&b, "\"}");
    *out = both.p && !b.failed ? str_dup(a, buf_str(&b)) : STR_EMPTY;
    buf_release(&b);
    return out->n > 0 || err_oom(e, both.n, "an account");
}

/* ---- keeping and forgetting (Public) --------------------------------------------------------- */

MLXK_FN bool oci_login_keep(struct arena *a, struct str host, struct str user, struct str password,
                            struct oci_login *out, struct err *e) {
    const struct json *doc;
    struct str entry = STR("{}");            /* as docker marks what a helper has */
    struct buf b;
    char *path = NULL;
    bool set = false;
    *out = (struct oci_login){ 0 };
    if (str_find_char(user, ':') >= 0)
        return err_set(e, ERR_INVALID, "the name of an account holds no ':'");
    for (size_t i = 0; !set; i++)            /* the third is always there */
        if (!oci_creds_place(a, i, &path, &set)) return err_oom(e, LIMIT_PATH, "a path");
    out->path_cstr = path;
    if (!oci_login_read(a, path, &doc, e) || !oci_login_helper(doc, host, &out->helper, e))
        return false;
    if (out->helper.n ? !oci_login_to_helper(a, out->helper, host, user, password, e)
                      : !oci_login_entry(a, user, password, &entry, e))
        return false;
    buf_init(&b, 2 * OCI_CREDS_MAX_FILE);
    oci_login_write(&b, doc, host, entry);
    bool ok = buf_ok(&b, "the accounts", e) && oci_login_store(a, path, buf_str(&b), e);
    buf_release(&b);
    out->n_files = ok;
    return ok;
}

/* One file, and the helper it names. */
static bool oci_login_drop(struct arena *a, const char *path_cstr, struct str host,
                           struct oci_login *out, struct err *e) {
    const struct json *doc;
    struct str helper, said;
    struct buf b;
    int status = 1;
    if (!oci_login_read(a, path_cstr, &doc, e) || !oci_login_helper(doc, host, &helper, e))
        return false;
    if (!doc) return true;
    const struct json *auths = json_get(doc, "auths");
    bool known = false, ok = true;
    for (const struct json *v = json_is(auths, JSON_OBJECT) ? auths->child : NULL; v; v = v->next)
        known = known || oci_creds_fits(v->key, host, STR_EMPTY);
    if (helper.n) {
        ok = oci_login_tell(a, helper, "erase", oci_creds_key(host), &status, &said, e);
        if (ok && status != 0 && known && str_find(said, STR("not found")) < 0)
            ok = oci_creds_failed(helper, status, said, e);
        if (ok && status == 0) out->helper = helper;
    }
    buf_init(&b, 2 * OCI_CREDS_MAX_FILE);
    if (ok && known) {
        oci_login_write(&b, doc, host, STR_EMPTY);
        ok = buf_ok(&b, "the accounts", e) && oci_login_store(a, path_cstr, buf_str(&b), e);
    }
    buf_release(&b);
    if (!known || !ok) return ok;
    if (!out->n_files++) out->path_cstr = path_cstr;
    return true;
}

MLXK_FN bool oci_login_forget(struct arena *a, struct str host, struct oci_login *out,
                              struct err *e) {
    *out = (struct oci_login){ 0 };
    for (size_t i = 0; i < OCI_CREDS_PLACES; i++) {
        char *path;
        bool set;
        if (!oci_creds_place(a, i, &path, &set)) return err_oom(e, LIMIT_PATH, "a path");
        if (set && !oci_login_drop(a, path, host, out, e)) return false;
    }
    return true;
}

#undef OCI_LOGIN_ARENA
