/* oci_ref.c: names of things in registries and layouts, taken apart and put together. Pure.
 *
 * 1. What oci_ref_parse accepts, oci_ref_text gives back in full, and parsing that again changes
 *    nothing.
 * 2. A repository path, a tag and a digest hold only characters that need no encoding in a URL.
 * ref: distribution 1.1, "pulling manifests"; the naming rules of docker and containers-image.
 */
#include "oci/oci_int.h"

enum { OCI_REF_PART = 96 };          /* the cache's limit for either half of a name */

static bool oci_ref_bad(struct str text, const char *why_cstr, struct err *e) {
    struct oci_shown shown = oci_show(text);
    err_set(e, ERR_INVALID, "'%s' is no reference to an artifact: %s", shown.text, why_cstr);
    return err_hint(e, "write HOST/ORG/NAME:TAG, oci:FOLDER:TAG or oci-archive:FILE.tar:TAG");
}

static bool oci_ref_low(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* ---- parts (Public) -------------------------------------------------------------------------- */

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* */
static bool oci_ref_component_ok(struct str s) {
    size_t i = 0;
    for (;;) {
        size_t from = i;
        while (i < s.n && oci_ref_low(s.p[i])) i++;
        if (i == from) return false;
        if (i == s.n) return true;
        char c = s.p[i];
        size_t run = i;
        while (run < s.n && s.p[run] == c) run++;
        if (c == '.' ? run - i != 1 : c == '_' ? run - i > 2 : c != '-') return false;
        i = run;
    }
}

MLXK_FN bool oci_repo_ok(struct str repo) {
    struct str rest = repo;
    if (repo.n == 0 || repo.n > OCI_MAX_NAME) return false;
    while (rest.p)
        if (!oci_ref_component_ok(str_cut(&rest, '/'))) return false;
    return true;
}

MLXK_FN bool oci_tag_ok(struct str tag) {
    for (size_t i = 0; i < tag.n; i++) {
        char c = tag.p[i];
        bool word = oci_ref_low(c) || (c >= 'A' && c <= 'Z') || c == '_';
        if (!word && (i == 0 || (c != '.' && c != '-'))) return false;
    }
    return tag.n > 0 && tag.n <= OCI_MAX_TAG;
}

MLXK_FN bool oci_digest_ok(struct str d) {
    if (str_starts(d, STR("sha256:"))) return str_is_hex(str_sub(d, 7, d.n), 64);
    return str_starts(d, STR("sha512:")) && str_is_hex(str_sub(d, 7, d.n), 128);
}

MLXK_FN struct str oci_digest_hex(struct str digest) {
    return str_sub(digest, 7, digest.n);
}

static bool oci_ref_host_ok(struct str host) {
    struct arena a;
    struct net_url url;
    struct err none = { 0 };
    if (str_find_char(host, 0) >= 0 || str_ends(host, STR(":"))) return false;
    arena_init(&a, (size_t)64 << 10);
    struct str text = str_format(&a, "https://" STR_FMT "/", STR_ARG(host));
    bool ok = text.p && str_find_char(host, '/') < 0 && net_url_parse(&a, text, &url, &none);
    arena_release(&a);
    return ok;
}

MLXK_FN bool oci_host_is_loopback(struct str host) {
    struct str name = host;
    if (str_starts(host, STR("["))) return str_starts(host, STR("[::1]"));
    ptrdiff_t colon = str_find_char(host, ':');
    if (colon >= 0) name = str_sub(host, 0, (size_t)colon);
    if (!str_starts(name, STR("127."))) return str_eq(name, STR("localhost"));
    for (size_t i = 0; i < name.n; i++)                    /* "127.evil.example" is a name */
        if (name.p[i] != '.' && (name.p[i] < '0' || name.p[i] > '9')) return false;
    return true;
}

MLXK_FN bool oci_path_ok(struct str path, struct err *e) {
    return cache_path_ok(path, e);
}

/* ---- taking apart (Public) ------------------------------------------------------------------- */

/* Cuts "@DIGEST" and ":TAG" off the end; a tag's colon stands behind the last '/'. */
static bool oci_ref_ends(struct str text, bool is_path, struct str *rest, struct oci_ref *out,
                         struct err *e) {
    ptrdiff_t at = str_find_last(text, STR("@"));
    bool is_digest =
        at >= 0 && (!is_path || str_starts(str_sub(text, (size_t)at, text.n), STR("@sha")));
    if (is_digest) {
        out->digest = str_sub(text, (size_t)at + 1, text.n);
        text = str_sub(text, 0, (size_t)at);
        if (!oci_digest_ok(out->digest))
            return oci_ref_bad(out->digest,
                               "behind '@' a digest is wanted, sha256: and 64 hex digits", e);
    }
    ptrdiff_t slash = str_find_last(text, STR("/")), colon = str_find_last(text, STR(":"));
    if (colon > slash) {
        out->tag = str_sub(text, (size_t)colon + 1, text.n);
        text = str_sub(text, 0, (size_t)colon);
        if (!oci_tag_ok(out->tag))
            return oci_ref_bad(out->tag,
                               "behind ':' a tag is wanted: letters, digits, '_', '.' and '-'", e);
    }
    *rest = text;
    return true;
}

static struct str oci_ref_lower(struct arena *a, struct str s) {
    char *copy = str_dup_cstr(a, s);
    for (size_t i = 0; copy && i < s.n; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z') copy[i] = (char)(copy[i] + 32);
    return (struct str){ copy, copy ? s.n : 0 };
}

static bool oci_ref_registry(struct arena *a, struct str text, struct oci_ref *out, struct err *e) {
    struct str repo = text, first = str_cut(&repo, '/');
    bool has_host = repo.p && (str_find_char(first, '.') >= 0 || str_find_char(first, ':') >= 0
                               || str_eq(first, STR("localhost")));
    struct str whole = has_host ? repo : text;
    struct str name = STR_EMPTY;
    if (!oci_ref_ends(whole, false, &name, out, e)) return false;
    out->kind = OCI_REGISTRY;
    out->host = has_host ? oci_ref_lower(a, first) : STR("docker.io");
    if (str_eq(out->host, STR("index.docker.io"))) out->host = STR("docker.io");
    bool hub = str_eq(out->host, STR("docker.io"));
    out->repo = hub && str_find_char(name, '/') < 0 ? str_concat(a, STR("library/"), name)
                                                    : str_dup(a, name);
    if (!out->host.p || (!out->repo.p && name.n)) return err_oom(e, text.n, "a reference");
    if (!oci_ref_host_ok(out->host)) return oci_ref_bad(text, "its host is none", e);
    if (!oci_repo_ok(out->repo))
        return oci_ref_bad(text,
                           "a repository is written in small letters and digits, with single '.', "
                           "'_' or '-' between them",
                           e);
    return out->host.n + out->repo.n < OCI_MAX_NAME
           || oci_ref_bad(text, "host and repository are longer than 255 characters", e);
}

static bool oci_ref_layout(struct arena *a, struct str text, enum oci_kind kind,
                           struct oci_ref *out, struct err *e) {
    struct str path = STR_EMPTY;
    if (!oci_ref_ends(text, true, &path, out, e)) return false;
    if (path.n == 0 || str_find_char(path, 0) >= 0 || path.n >= LIMIT_PATH)
        return oci_ref_bad(text, "the path of the layout is missing, or no path", e);
    out->kind = kind;
    out->path_cstr = str_dup_cstr(a, path);
    return out->path_cstr || err_oom(e, path.n, "a reference");
}

MLXK_FN bool oci_ref_parse(struct arena *a, struct str text, struct oci_ref *out, struct err *e) {
    static const char *const schemes[] = { "oci://", "docker://" };
    *out = (struct oci_ref){ 0 };
    struct str copy = str_dup(a, text);
    if (!copy.p && text.n) return err_oom(e, text.n, "a reference");
    for (size_t i = 0; i < MLXK_COUNT(schemes); i++) {
        struct str scheme = str_cstr(schemes[i]);
        if (!str_starts(copy, scheme)) continue;
        struct str rest = str_sub(copy, scheme.n, copy.n);
        ptrdiff_t slash = str_find_char(rest, '/');
        if (slash <= 0) return oci_ref_bad(text, "behind the scheme HOST/REPOSITORY is wanted", e);
        return oci_ref_registry(a, rest, out, e);
    }
    if (str_starts(copy, STR("oci-archive:")))
        return oci_ref_layout(a, str_sub(copy, 12, copy.n), OCI_TAR, out, e);
    if (str_starts(copy, STR("oci:")))
        return oci_ref_layout(a, str_sub(copy, 4, copy.n), OCI_DIR, out, e);
    return oci_ref_registry(a, copy, out, e);
}

/* ---- putting together (Public) --------------------------------------------------------------- */

MLXK_FN struct str oci_ref_text(struct arena *a, const struct oci_ref *r) {
    struct str where = r->kind == OCI_REGISTRY
        ? str_format(a, STR_FMT "/" STR_FMT, STR_ARG(r->host), STR_ARG(r->repo))
        : str_format(a, "%s%s", r->kind == OCI_DIR ? "oci:" : "oci-archive:", r->path_cstr);
    bool odd = r->kind == OCI_REGISTRY && oci_ref_is(where);         /* a host that is called oci */
    return where.p ? str_format(a, "%s" STR_FMT "%s" STR_FMT "%s" STR_FMT, odd ? "oci://" : "",
                                STR_ARG(where), r->tag.n ? ":" : "", STR_ARG(r->tag),
                                r->digest.n ? "@" : "", STR_ARG(r->digest))
                   : STR_EMPTY;
}

MLXK_FN bool oci_ref_is(struct str text) {
    return str_starts(text, STR("oci:")) || str_starts(text, STR("oci-archive:"))
           || str_starts(text, STR("docker://"));
}

MLXK_FN struct str oci_ref_what(const struct oci_ref *r) {
    return r->digest.n ? r->digest : r->tag.n ? r->tag : STR("latest");
}

/* One half of a cache's name; *lossy when another text could give the same. */
static void oci_ref_half(struct buf *b, struct str s, bool is_host, bool *lossy) {
    size_t start = b->n;
    for (size_t i = 0; i < s.n && b->n - start < OCI_REF_PART - 10; i++) {
        char c = s.p[i], before = b->n > start ? b->p[b->n - 1] : '.';
        char put = c == ':' || c == '/' ? '_' : c;
        bool word = put == '_' || oci_ref_low(put) || (put >= 'A' && put <= 'Z');
        bool fits = word || ((put == '.' || put == '-') && before != put && b->n > start);
        if (fits) buf_add_char(b, put);
        if (c == '/') buf_add_char(b, '_');
        *lossy = *lossy || !fits;
    }
    *lossy = *lossy || str_find(s, is_host ? STR("_") : STR("__")) >= 0 ||
             b->n - start > OCI_REF_PART - 11;
    while (b->n > start && (b->p[b->n - 1] == '.' || b->p[b->n - 1] == '-')) {
        b->p[--b->n] = 0;
        *lossy = true;
    }
}

MLXK_FN struct str oci_ref_model(struct arena *a, const struct oci_ref *r) {
    struct buf b;
    bool lossy = false;
    char hex[65];
    struct str whole = r->kind == OCI_REGISTRY
        ? str_format(a, STR_FMT "/" STR_FMT, STR_ARG(r->host), STR_ARG(r->repo))
        : str_format(a, "oci/%s", r->path_cstr);
    buf_init(&b, 2 * OCI_REF_PART + 2);
    if (r->kind == OCI_REGISTRY) {
        oci_ref_half(&b, r->host, true, &lossy);
        buf_add_char(&b, '/');
        oci_ref_half(&b, r->repo, false, &lossy);
        lossy = lossy || str_ends(buf_str(&b), STR(".git"));
    } else {
        buf_add_cstr(&b, "oci/");
        oci_ref_half(&b, os_path_base(r->path_cstr), false, &lossy);
        lossy = true;                                      /* many folders have the same name */
    }
    sha256_hex(whole, hex);
    if (lossy) buf_addf(&b, "%s%.8s", b.n && b.p[b.n - 1] == '/' ? "" : "-", hex);
    struct str out = b.failed || !whole.p ? STR_EMPTY : str_dup(a, buf_str(&b));
    buf_release(&b);
    return out;
}

/* What stands behind a cache's name where it covers a longer one: nothing, a part of the path, or
 * the digits that tell twins apart. */
static bool oci_ref_ends_part(struct str rest) {
    return !rest.n || str_starts(rest, STR("__")) ||
           (rest.n == 9 && rest.p[0] == '-' && str_is_hex(str_sub(rest, 1, 9), 8));
}

MLXK_FN bool oci_model_below(struct str model, struct str prefix) {
    struct buf b;
    bool lossy = false;
    struct str path = prefix, host = str_cut(&path, '/');
    if (!prefix.n) return true;
    buf_init(&b, 2 * OCI_REF_PART + 2);
    oci_ref_half(&b, host, true, &lossy);
    buf_add_char(&b, '/');
    if (path.n) oci_ref_half(&b, path, false, &lossy);
    struct str head = buf_str(&b);
    bool below = b.failed || (str_starts(model, head) &&
                 (!path.n || oci_ref_ends_part(str_sub(model, head.n, model.n))));
    buf_release(&b);
    return below;
}

MLXK_FN bool oci_model_is(struct str model) {
    struct str rest = model, host = str_cut(&rest, '/');
    ptrdiff_t port = str_find_last(host, STR("_"));
    bool digits = port >= 0 && (size_t)port + 1 < host.n;
    for (size_t i = (size_t)(port + 1); digits && i < host.n; i++)
        digits = host.p[i] >= '0' && host.p[i] <= '9';
    return rest.n && (digits || str_find_char(host, '.') >= 0 || str_eq(host, STR("localhost")));
}
