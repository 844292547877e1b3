/* sign_policy.c: which repositories of which registries must be signed by whom.
 *
 *  {"rules": [{"prefix": "registry.example.org/models/", "require": "release-signed",
 *              "keys": ["release.pub.pem"]},
 *             {"prefix": "", "require": "none"}]}
 *
 *  1. A policy that cannot be read in full allows nothing: every mistake in it is an error, an
 *     unknown member too, and a prefix that no repository can have. No policy at all requires
 *     nothing.
 *  2. The longest prefix decides alone; rules do not add up. A prefix ends at a '/' or at the end
 *     of the name, so "host/org" does not cover "host/organisation"; "host/org/" means the same.
 *  3. "release-signed" asks what was signed, not what a tag says: the statement must name a
 *     release.
 */
#include "sign/sign_int.h"

#define SIGN_POLICY_NAMES(X) X(NONE, "none") X(SIGNED, "signed") X(RELEASE, "release-signed")

/* ---- reading (Private) ---- */

static bool sign_policy_members(const struct json *v, const char *const *known, size_t n_known,
                                struct err *e) {
    for (const struct json *m = v->child; m; m = m->next) {
        bool found = false;
        for (size_t i = 0; i < n_known; i++) found = found || str_eq_cstr(m->key, known[i]);
        if (!found)
            return err_set(e, ERR_FORMAT, "'" STR_FMT "' is no member that is known here",
                           STR_ARG(str_sub(m->key, 0, 64)));
    }
    return true;
}

static bool sign_policy_require(struct str text, enum sign_require *out, struct err *e) {
#define SIGN_POLICY_ROW(code, name) \
    if (str_eq_cstr(text, name)) { *out = SIGN_REQUIRE_##code; return true; }
    SIGN_POLICY_NAMES(SIGN_POLICY_ROW)
#undef SIGN_POLICY_ROW
    return err_set(e, ERR_FORMAT, "'require' is '" STR_FMT "'; it is one of none, signed, "
                   "release-signed", STR_ARG(str_sub(text, 0, 64)));
}

/* PEM text, or the path of a key file. */
static bool sign_policy_key(struct arena *a, struct str text, const char *dir_cstr,
                            struct sign_public *out, struct err *e) {
    if (str_starts(text, STR("-----BEGIN "))) return sign_public_read(text, out, e);
    char *name_cstr = str_dup_cstr(a, text);
    char *expanded_cstr = name_cstr ? os_path_expand(a, name_cstr) : NULL;
    char *path_cstr = expanded_cstr ? os_path_join(a, dir_cstr, expanded_cstr) : NULL;
    if (!path_cstr) return err_oom(e, text.n, "a path");
    if (!text.n || strlen(path_cstr) >= LIMIT_PATH)
        return err_set(e, ERR_FORMAT, "a key is neither PEM text nor the path of a file");
    return sign_public_load(a, path_cstr, out, e);
}

static bool sign_policy_keys(struct arena *a, const struct json *list, const char *dir_cstr,
                             struct sign_rule *out, struct err *e) {
    if (!list) return true;
    if (!json_is(list, JSON_ARRAY) || list->n > SIGN_MAX_POLICY_KEYS)
        return err_set(e, ERR_FORMAT, "'keys' is no list of at most %d keys", SIGN_MAX_POLICY_KEYS);
    struct sign_public *keys = ARENA_ARRAY(a, struct sign_public, list->n);
    if (!keys) return err_oom(e, list->n * sizeof *keys, "keys");
    for (const struct json *m = list->child; m; m = m->next, out->n_keys++) {
        if (!json_is(m, JSON_STRING)) return err_set(e, ERR_FORMAT, "a key is no text");
        if (!sign_policy_key(a, m->string, dir_cstr, &keys[out->n_keys], e)) return false;
    }
    out->keys = keys;
    return true;
}

/* As names of repositories are written: small letters, no '/' at the end. What could never be the
 * beginning of such a name protects nothing, though its author believes so. */
static bool sign_policy_prefix(struct arena *a, struct str text, struct str *out, struct err *e) {
    char *p = str_dup_cstr(a, text);
    if (!p) return err_oom(e, text.n, "a policy");
    for (size_t i = 0; i < text.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z') p[i] = (char)(p[i] + 32);
    *out = (struct str){ p, text.n };
    while (str_ends(*out, STR("/"))) out->n--;
    struct str path = *out, host = str_cut(&path, '/');
    bool named = !out->n || str_find_char(host, '.') >= 0 || str_find_char(host, ':') >= 0 ||
                 str_eq(host, STR("localhost"));
    bool odd = (text.n && !out->n) || str_find(*out, STR("//")) >= 0 ||
               str_find_char(path, ':') >= 0 || str_ends(host, STR(":443")) ||
               str_ends(host, STR(":80"));
    for (size_t i = 0; i < out->n; i++)
        odd = odd || p[i] <= ' ' || p[i] == 127 || p[i] == '*' || p[i] == '@' || p[i] == '?';
    if (named && !odd) return true;
    err_set(e, ERR_FORMAT, "no repository's name begins with the prefix '" STR_FMT "'",
            STR_ARG(str_sub(text, 0, 100)));
    return err_hint(e, "HOST, HOST/PATH or \"\"; without https://, the usual port, tag or '*'; the "
                       "hub of docker is docker.io");
}

static bool sign_policy_rule(struct arena *a, const struct json *v, const char *dir_cstr,
                             struct sign_rule *out, struct err *e) {
    static const char *const known[] = { "prefix", "require", "keys" };
    struct str require = STR_EMPTY, prefix = STR_EMPTY;
    if (!json_is(v, JSON_OBJECT)) return err_set(e, ERR_FORMAT, "it is no JSON object");
    if (!sign_policy_members(v, known, MLXK_COUNT(known), e)) return false;
    if (!json_is(json_get(v, "prefix"), JSON_STRING))
        return err_set(e, ERR_FORMAT, "it has no 'prefix' (\"\" stands for all repositories)");
    if (!json_read_str(v, "prefix", &prefix, e) ||
        !sign_policy_prefix(a, prefix, &out->prefix, e) ||
        !json_read_str(v, "require", &require, e) ||
        !sign_policy_require(require, &out->require, e) ||
        !sign_policy_keys(a, json_get(v, "keys"), dir_cstr, out, e))
        return false;
    if (out->require != SIGN_REQUIRE_NONE && !out->n_keys)
        return err_set(e, ERR_FORMAT, "it requires a signature, but names no keys");
    return true;
}

MLXK_FN bool sign_policy_read(struct arena *a, struct str text, const char *dir_cstr,
                              struct sign_policy *out, struct err *e) {
    static const char *const known[] = { "rules" };
    memset(out, 0, sizeof *out);
    const struct json *v = json_parse(a, text, e);
    if (!v) return false;
    const struct json *list = json_get(v, "rules");
    if (!json_is(list, JSON_ARRAY) || list->n > SIGN_MAX_POLICY_RULES)
        return err_set(e, ERR_FORMAT, "it has no list 'rules' of at most %d rules",
                       SIGN_MAX_POLICY_RULES);
    if (!sign_policy_members(v, known, MLXK_COUNT(known), e)) return false;
    out->rules = ARENA_ARRAY(a, struct sign_rule, list->n);
    if (!out->rules) return err_oom(e, list->n * sizeof *out->rules, "rules");
    for (const struct json *m = list->child; m; m = m->next, out->n++) {
        if (!sign_policy_rule(a, m, dir_cstr, &out->rules[out->n], e))
            return err_context(e, "rule %zu: ", out->n + 1);
        for (size_t i = 0; i < out->n; i++)
            if (str_eq(out->rules[i].prefix, out->rules[out->n].prefix))
                return err_set(e, ERR_FORMAT, "rules %zu and %zu have the same prefix", i + 1,
                               out->n + 1);
    }
    return true;
}

MLXK_FN bool sign_policy_load(struct arena *a, struct sign_policy *out, struct err *e) {
    struct err missing = { 0 };
    struct str text;
    const char *path_cstr = os_env("MLXK_POLICY");
    bool must_exist = path_cstr && *path_cstr;
    memset(out, 0, sizeof *out);
    if (!must_exist) {
        char *own_cstr = os_own_dir(a, "XDG_CONFIG_HOME", ".config");
        path_cstr = own_cstr ? os_path_join(a, own_cstr, "policy.json") : NULL;
        if (!path_cstr) return true;
    }
    char *dir_cstr = os_path_dir(a, path_cstr);
    if (!dir_cstr) return err_oom(e, 1, "a path");
    if (!os_read_file(a, path_cstr, LIMIT_JSON_DOC, &text, must_exist ? e : &missing)) {
        if (!must_exist && missing.code == ERR_NOT_FOUND) return true;
        if (!must_exist) *e = missing;
        return err_context(e, "policy: ");
    }
    if (!sign_policy_read(a, text, dir_cstr, out, e))
        return err_context(e, "policy %s: ", path_cstr);
    out->path_cstr = path_cstr;
    return true;
}

/* ---- deciding ---- */

static bool sign_policy_covers(struct str prefix, struct str repository) {
    return str_starts(repository, prefix) &&
           (!prefix.n || repository.n == prefix.n || repository.p[prefix.n] == '/');
}

MLXK_FN const struct sign_rule *sign_policy_match(const struct sign_policy *p,
                                                  struct str repository) {
    const struct sign_rule *best = NULL;
    for (size_t i = 0; i < p->n; i++) {
        const struct sign_rule *rule = &p->rules[i];
        if (sign_policy_covers(rule->prefix, repository) &&
            (!best || rule->prefix.n > best->prefix.n))
            best = rule;
    }
    return best;
}

/* v1.2.3 with numbers, perhaps -branch. */
static bool sign_policy_release(struct str s) {
    int dots = 0;
    bool digit = false;
    if (!str_starts(s, STR("v"))) return false;
    for (size_t i = 1; i < s.n; i++) {
        bool is_digit = s.p[i] >= '0' && s.p[i] <= '9';
        if (s.p[i] == '-') return dots == 2 && digit && i + 1 < s.n;
        if (!is_digit && (s.p[i] != '.' || !digit)) return false;
        dots += !is_digit;
        digit = is_digit;
    }
    return dots == 2 && digit;
}

static bool sign_policy_one(struct arena *a, const struct sign_rule *rule, struct str digest_hex,
                            struct str version, struct str bundle, struct err *e) {
    struct sign_statement said;
    struct str released = STR_EMPTY;
    if (!sign_artifact_check(a, bundle, digest_hex, rule->keys, rule->n_keys, &said, NULL, e))
        return false;
    if (rule->require != SIGN_REQUIRE_RELEASE) return true;
    for (size_t i = 0; i < said.n_notes; i++)
        if (str_eq(said.notes[i].key, STR("version"))) released = said.notes[i].value;
    if (!sign_policy_release(released))
        return err_set(e, ERR_INTEGRITY, "the signature does not say that this is a release");
    bool line = str_starts(released, version) && str_find_char(released, '-') < 0 &&
                released.n > version.n && released.p[version.n] == '.';
    return !version.n || str_eq(version, released) || line ||
           err_set(e, ERR_INTEGRITY, "the signature is for release " STR_FMT ", not " STR_FMT,
                   STR_ARG(str_sub(released, 0, 64)), STR_ARG(version));
}

MLXK_FN bool sign_policy_judge(struct arena *a, const struct sign_rule *rule /* or NULL */,
                               struct str repository, struct str digest_hex, struct str version,
                               const struct str *bundles, size_t n_bundles,
                               size_t *which /* or NULL */, struct err *e) {
    if (!rule || rule->require == SIGN_REQUIRE_NONE) return true;
    struct err why = { 0 };
    for (size_t i = 0; i < n_bundles; i++) {
        struct err here = { 0 };
        struct arena_mark mark = arena_mark(a);
        bool ok = sign_policy_one(a, rule, digest_hex, version, bundles[i], &here);
        arena_rewind(a, mark);
        if (ok && which) *which = i;
        if (ok) return true;
        why = here;
    }
    if (!n_bundles) err_set(&why, ERR_INTEGRITY, "it has no signature");
    err_set(e, ERR_ACCESS, STR_FMT " may not be used: %s", STR_ARG(repository), why.msg);
    return err_hint(e, "the policy's rule for '" STR_FMT "' asks for %s by one of %zu keys; %zu "
                    "signature%s were looked at", STR_ARG(rule->prefix),
                    rule->require == SIGN_REQUIRE_RELEASE ? "a signed release" : "a signature",
                    rule->n_keys, n_bundles, n_bundles == 1 ? "" : "s");
}
