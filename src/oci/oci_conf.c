/* oci_conf.c: registries.conf, which other tools for registries read too: where a registry really
 * is, its mirrors, and short names.
 *
 * Read: [[registry]] with prefix, location, insecure, blocked, mirror-by-digest-only;
 * [[registry.mirror]] with location, insecure, pull-from-mirror; [aliases]. Everything else in the
 * file is passed over; the file is never written.
 *
 * 1. The longest prefix wins; a prefix ends where a part of a name ends.
 * ref: containers-registries.conf(5), version 2; TOML 1.0 as far as that needs it.
 */
#include "oci/oci_int.h"

enum {
    OCI_CONF_MAX = 1 << 20, OCI_CONF_REGISTRIES = 200, OCI_CONF_ALIASES = 10000,
    OCI_CONF_FILES = 1000,
};
#define OCI_CONF_SYSTEM "/etc/containers/registries.conf"
enum oci_conf_table { OCI_CONF_OTHER, OCI_CONF_REGISTRY, OCI_CONF_MIRROR, OCI_CONF_ALIAS };

struct oci_conf_reader {
    struct arena *a;
    struct oci_conf *out;
    enum oci_conf_table table;
    bool in_list;
};

/* ---- lines (Private) ------------------------------------------------------------------------- */

/* Without the comment at its end. */
static struct str oci_conf_bare(struct str line) {
    char quote = 0;
    for (size_t i = 0; i < line.n; i++) {
        char c = line.p[i];
        if (quote) {
            if (c == '\\' && quote == '"') i++;
            else if (c == quote) quote = 0;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '#') {
            return str_trim(str_sub(line, 0, i));
        }
    }
    return str_trim(line);
}

/* A key or a text: quoted, or a bare word. Names of registries need no escapes. */
static bool oci_conf_text(struct str s, struct str *out) {
    bool quoted = s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0];
    *out = quoted ? str_sub(s, 1, s.n - 1) : s;
    for (size_t i = 0; i < out->n; i++)
        if (out->p[i] <= ' ' || out->p[i] == '"' || out->p[i] == '\\' || out->p[i] == '\'')
            return false;
    return out->n > 0 || quoted;
}

static bool oci_conf_open_table(struct oci_conf_reader *r, struct str line, struct err *e) {
    struct oci_conf *c = r->out;
    bool list = str_starts(line, STR("[["));
    struct str name =
        str_trim(str_sub(line, 1 + list, line.n > 1 + (size_t)list ? line.n - 1 - list : 0));
    r->table = OCI_CONF_OTHER;
    if (!str_ends(line, list ? STR("]]") : STR("]")))
        return err_set(e, ERR_FORMAT, "a table's name does not end");
    if (!list && str_eq(name, STR("aliases"))) r->table = OCI_CONF_ALIAS;
    if (list && str_eq(name, STR("registry"))) {
        if (c->n == OCI_CONF_REGISTRIES)
            return err_set(e, ERR_LIMIT, "more than %d registries", OCI_CONF_REGISTRIES);
        c->registries[c->n++] = (struct oci_conf_registry){ 0 };
        r->table = OCI_CONF_REGISTRY;
    }
    if (list && str_eq(name, STR("registry.mirror"))) {
        if (c->n == 0) return err_set(e, ERR_FORMAT, "a mirror without a registry");
        struct oci_conf_registry *x = &c->registries[c->n - 1];
        if (x->n_mirrors == OCI_MAX_MIRRORS)
            return err_set(e, ERR_LIMIT, "more than %d mirrors", OCI_MAX_MIRRORS);
        x->mirrors[x->n_mirrors++] = (struct oci_conf_mirror){ 0 };
        r->table = OCI_CONF_MIRROR;
    }
    return true;
}

static bool oci_conf_value(struct oci_conf_reader *r, struct str key, struct str value,
                           struct err *e) {
    struct oci_conf *c = r->out;
    struct oci_conf_registry *x = c->n ? &c->registries[c->n - 1] : NULL;
    struct oci_conf_mirror *m = x && x->n_mirrors ? &x->mirrors[x->n_mirrors - 1] : NULL;
    bool yes = str_eq(value, STR("true")),
         flag = str_eq(key, STR("insecure")) || str_eq(key, STR("blocked"))
                || str_eq(key, STR("mirror-by-digest-only"));
    struct str text = STR_EMPTY;
    if (r->table == OCI_CONF_OTHER) return true;
    if (flag && !yes && !str_eq(value, STR("false")))
        return err_set(e, ERR_FORMAT, "'" STR_FMT "' is neither true nor false", STR_ARG(key));
    if (!flag && !oci_conf_text(value, &text))
        return err_set(e, ERR_FORMAT, "a value is no name of a registry");
    text = str_dup(r->a, text);
    if (r->table == OCI_CONF_ALIAS) {
        if (c->n_aliases == OCI_CONF_ALIASES)
            return err_set(e, ERR_LIMIT, "more than %d aliases", OCI_CONF_ALIASES);
        c->aliases[c->n_aliases++] = (struct oci_pair){ str_dup(r->a, key), text };
    } else if (r->table == OCI_CONF_MIRROR) {
        bool when = str_eq(key, STR("pull-from-mirror"));
        if (str_eq(key, STR("insecure"))) m->insecure = yes;
        if (str_eq(key, STR("location"))) m->location = text;
        if (when) m->no_tags = str_eq(text, STR("digest-only"));
        if (when) m->no_digests = str_eq(text, STR("tag-only"));
    } else {
        if (str_eq(key, STR("insecure"))) x->insecure = yes;
        if (str_eq(key, STR("blocked"))) x->blocked = yes;
        if (str_eq(key, STR("mirror-by-digest-only"))) x->by_digest = yes;
        if (str_eq(key, STR("location"))) x->location = text;
        if (str_eq(key, STR("prefix"))) x->prefix = text;
    }
    return true;
}

static bool oci_conf_line(struct oci_conf_reader *r, struct str line, struct err *e) {
    line = oci_conf_bare(line);
    if (r->in_list) {                    /* of a key that does not matter here */
        r->in_list = str_find_char(line, ']') < 0;
        return true;
    }
    if (line.n == 0) return true;
    if (line.p[0] == '[') return oci_conf_open_table(r, line, e);
    struct str value = line, key = str_trim(str_cut(&value, '='));
    value = str_trim(value);
    if (!value.p || !oci_conf_text(key, &key))
        return err_set(e, ERR_FORMAT, "it is no KEY = VALUE");
    if (str_starts(value, STR("["))) {
        r->in_list = str_find_char(value, ']') < 0;
        return true;
    }
    return oci_conf_value(r, key, value, e);
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

/* Behind what out has already. */
static bool oci_conf_add(struct arena *a, struct str text, struct oci_conf *out, struct err *e) {
    struct oci_conf_reader r = { .a = a, .out = out };
    struct str rest = text;
    size_t first = out->n;
    for (int n = 1; rest.p; n++)
        if (!oci_conf_line(&r, str_cut(&rest, '\n'), e)) return err_context(e, "line %d: ", n);
    for (size_t i = first; i < out->n; i++) {
        struct oci_conf_registry *x = &out->registries[i];
        if (!x->prefix.n) x->prefix = x->location;
        if (!x->location.n) x->location = x->prefix;
        for (size_t k = 0; k < x->n_mirrors; k++) x->mirrors[k].no_tags |= x->by_digest;
    }
    return true;
}

static bool oci_conf_begin(struct arena *a, struct oci_conf *out, struct err *e) {
    *out = (struct oci_conf){
        .registries = ARENA_ARRAY(a, struct oci_conf_registry, OCI_CONF_REGISTRIES),
        .aliases = ARENA_ARRAY(a, struct oci_pair, OCI_CONF_ALIASES),
    };
    return (out->registries && out->aliases) || err_oom(e, OCI_CONF_MAX, "registries.conf");
}

MLXK_FN bool oci_conf_parse(struct arena *a, struct str text, struct oci_conf *out, struct err *e) {
    return oci_conf_begin(a, out, e) && oci_conf_add(a, text, out, e);
}

/* *found false: there is no such file, or it cannot be read and need not be. */
static bool oci_conf_file(struct arena *a, const char *path_cstr, bool must, bool *found,
                          struct oci_conf *out, struct err *e) {
    struct str text;
    struct err why = { 0 };
    *found = os_read_file(a, path_cstr, OCI_CONF_MAX, &text, &why);
    if (*found) return oci_conf_add(a, text, out, e) || err_context(e, "%s: ", path_cstr);
    if (must) {
        *e = why;
        return err_hint(e, "CONTAINERS_REGISTRIES_CONF names this file");
    }
    if (why.code != ERR_NOT_FOUND) log_write(LOG_WARN, "not read: %s", why.msg);
    return true;
}

/* Every FILE.conf of a folder, by name. */
static bool oci_conf_folder(struct arena *a, const char *dir_cstr, struct oci_conf *out,
                            struct err *e) {
    struct os_entry *entries;
    struct err none = { 0 };
    size_t n = 0;
    bool found;
    if (!dir_cstr || !os_list_dir(a, dir_cstr, OCI_CONF_FILES, &entries, &n, &none)) return true;
    struct str *names = ARENA_ARRAY(a, struct str, n + 1);
    struct oci_names sorted = { .names = names };
    if (!names) return err_oom(e, n * sizeof *names, "registries.conf");
    for (size_t i = 0; i < n; i++)
        if (str_ends(entries[i].name, STR(".conf"))) names[sorted.n++] = entries[i].name;
    oci_names_sort(&sorted);
    for (size_t i = 0; i < sorted.n; i++) {
        char *name = str_dup_cstr(a, names[i]);
        char *path = name ? os_path_join(a, dir_cstr, name) : NULL;
        if (!path) return err_oom(e, LIMIT_PATH, "a path");
        if (!oci_conf_file(a, path, false, &found, out, e)) return false;
    }
    return true;
}

MLXK_FN bool oci_conf_read(struct arena *a, struct oci_conf *out, struct err *e) {
    const char *named = os_env("CONTAINERS_REGISTRIES_CONF"), *home = os_env("XDG_CONFIG_HOME");
    bool found = false;
    char *own = home && home[0] ? os_path_join(a, home, "containers/registries.conf")
                                : os_path_expand(a, "~/.config/containers/registries.conf");
    if (!oci_conf_begin(a, out, e)) return false;
    if (named && named[0]) return oci_conf_file(a, named, true, &found, out, e);
    if (own && !oci_conf_file(a, own, false, &found, out, e)) return false;
    if (!found && !oci_conf_file(a, OCI_CONF_SYSTEM, false, &found, out, e)) return false;
    char *own_folder = own ? str_dup_cstr(a, str_format(a, "%s.d", own)) : NULL;
    return oci_conf_folder(a, OCI_CONF_SYSTEM ".d", out, e)
           && oci_conf_folder(a, own_folder, out, e);
}

MLXK_FN const struct oci_conf_registry *oci_conf_find(const struct oci_conf *c, struct str host,
                                                      struct str repo) {
    const struct oci_conf_registry *best = NULL;
    for (size_t i = 0; i < c->n; i++) {
        const struct oci_conf_registry *x = &c->registries[i];
        struct str path = x->prefix, name = str_cut(&path, '/');
        bool wild = str_starts(name, STR("*."));
        bool same = wild ? str_ends(host, str_sub(name, 1, name.n)) : str_ieq(name, host);
        bool inside =
            path.n == 0 || (str_starts(repo, path) && (repo.n == path.n || repo.p[path.n] == '/'));
        if (same && inside && (!best || x->prefix.n >= best->prefix.n)) best = x;
    }
    return best;
}

MLXK_FN bool oci_ref_alias(struct arena *a, struct str text, struct str *out, struct err *e) {
    struct oci_conf c;
    *out = text;
    if (str_find_char(text, '/') >= 0 || oci_ref_is(text)) return true;
    if (!oci_conf_read(a, &c, e)) return false;
    size_t n = 0;
    while (n < text.n && text.p[n] != ':' && text.p[n] != '@') n++;
    for (size_t i = 0; i < c.n_aliases; i++)
        if (str_eq(c.aliases[i].key, str_sub(text, 0, n)) && c.aliases[i].value.n)
            *out = str_concat(a, c.aliases[i].value, str_sub(text, n, text.n));
    return out->p || err_oom(e, text.n, "a name");
}

/* ---- one name for one place ------------------------------------------------------------------ */

static struct str oci_conf_lower(struct arena *a, struct str s) {
    char *copy_cstr = str_dup_cstr(a, s);
    for (char *p = copy_cstr; p && *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
    return copy_cstr ? str_cstr(copy_cstr) : STR_EMPTY;
}

/* HOST/PATH without what a host may have behind it and still be the same: a final dot, the usual
 * port; the hub's machine is the hub. */
static struct str oci_conf_place(struct arena *a, struct str host, struct str path) {
    static const char *const ports[] = { ":443", ":80" };
    for (size_t i = 0; i < MLXK_COUNT(ports); i++)
        if (str_ends(host, str_cstr(ports[i])))
            host = str_sub(host, 0, host.n - strlen(ports[i]));
    while (str_ends(host, STR("."))) host = str_sub(host, 0, host.n - 1);
    if (str_eq(host, STR("registry-1.docker.io"))) host = STR("docker.io");
    return str_format(a, STR_FMT "%s" STR_FMT, STR_ARG(host), path.n ? "/" : "", STR_ARG(path));
}

MLXK_FN bool oci_ref_places(struct arena *a, const struct oci_ref *r,
                            struct str out[OCI_MAX_PLACES], size_t *n, struct err *e) {
    struct oci_conf conf;
    *n = 0;
    if (r->kind != OCI_REGISTRY) return true;
    if (!oci_conf_read(a, &conf, e)) return false;
    const struct oci_conf_registry *x = oci_conf_find(&conf, r->host, r->repo);
    out[(*n)++] = oci_conf_place(a, r->host, r->repo);
    if (x && !str_starts(x->location, STR("*."))) {
        struct str from = x->prefix, to = x->location, host = str_cut(&to, '/');
        (void)str_cut(&from, '/');
        struct oci_peer home = { .from = from, .to = to };
        out[*n] = oci_conf_place(a, oci_conf_lower(a, host), oci_peer_repo(a, &home, r->repo));
        *n += !str_eq(out[*n], out[0]);
    }
    return (out[0].n && out[*n - 1].n) || err_oom(e, OCI_MAX_NAME, "a name");
}

#undef OCI_CONF_SYSTEM
