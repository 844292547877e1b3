/* cli_sign_policy.c: what this machine's policy says about artifacts: before a pull fetches
 * anything, and when a model that is in the cache already is to be used.
 *
 *  1. What is judged is what is pulled: the digest goes along, and another one under the tag ends
 *     the pull.
 *  2. A repository goes by every name that it has: the one that was given and the one that
 *     registries.conf makes of it. Each name's rule must be content; mirrors change no name.
 *  3. What was judged good lies beside the snapshot: the manifest and the bundles. A use of the
 *     model judges them anew, by the policy of that moment and without network. Without such a
 *     proof a model of a registry that a rule covers is not used.
 *  4. Models of a hub and folders of one's own come from no registry and are not judged.
 */
#include "cli/cli_sign.h"
#include "release/release.h"

enum { CLI_SIGN_PROOF_FORMAT = 1 };

/* ---- rules (Private) ---- */

struct cli_sign_rules { const struct sign_rule *list[OCI_MAX_PLACES]; size_t n; };

static void cli_sign_rules_add(struct cli_sign_rules *rules, const struct sign_rule *rule) {
    if (!rule || rule->require == SIGN_REQUIRE_NONE) return;
    for (size_t i = 0; i < rules->n; i++)
        if (rules->list[i] == rule) return;
    rules->list[rules->n++] = rule;
}

/* Those that ask something of this place. */
static bool cli_sign_rules_of(struct cli_context *c, const struct sign_policy *policy,
                              const struct oci_ref *ref, struct cli_sign_rules *out,
                              struct err *e) {
    struct str places[OCI_MAX_PLACES];
    size_t n;
    *out = (struct cli_sign_rules){ .n = 0 };
    if (!oci_ref_places(&c->arena, ref, places, &n, e)) return false;
    for (size_t i = 0; i < n; i++)
        cli_sign_rules_add(out, sign_policy_match(policy, places[i]));
    if (!n) cli_sign_rules_add(out, sign_policy_match(policy, STR_EMPTY));
    return true;
}

/* The same where nothing but the name in the cache is known. */
static void cli_sign_rules_named(const struct sign_policy *policy, struct str model,
                                 struct cli_sign_rules *out) {
    const struct sign_rule *best = NULL;
    *out = (struct cli_sign_rules){ .n = 0 };
    for (size_t i = 0; i < policy->n; i++) {
        const struct sign_rule *rule = &policy->rules[i];
        if (oci_model_below(model, rule->prefix) && (!best || rule->prefix.n > best->prefix.n))
            best = rule;
    }
    cli_sign_rules_add(out, best);
}

/* vX, vX.Y, vX.Y.Z or vX.Y.Z-BRANCH: what a tag says of a release or a line of them, whatever
 * stands in front of it ("ham-", "client-"); else empty. */
static struct str cli_sign_version(struct str tag) {
    struct rel_tag t;
    struct rel_version v;
    struct rel_range r;
    rel_tag_parse(tag, STR_EMPTY, &t);
    bool release = t.kind == REL_TAG_RELEASE || t.kind == REL_TAG_PKG || t.kind == REL_TAG_CLIENT
                   || t.kind == REL_TAG_IMAGE;
    if (!release && t.kind != REL_TAG_ALIAS) return STR_EMPTY;
    for (size_t i = 0; i < tag.n; i++) {
        struct str rest = str_sub(tag, i, tag.n);
        if ((i && tag.p[i - 1] != '-') || rest.p[0] != 'v') continue;
        if (release ? rel_version_parse(rest, &v) : rel_range_parse(rest, &r)) return rest;
    }
    return STR_EMPTY;
}

static bool cli_sign_rules_judge(struct cli_context *c, const struct cli_sign_rules *rules,
                                 struct str name, struct str digest, struct str version,
                                 const struct str *bundles, size_t n, size_t which[],
                                 struct err *e) {
    for (size_t i = 0; i < rules->n; i++)
        if (!sign_policy_judge(&c->arena, rules->list[i], name, oci_digest_hex(digest), version,
                               bundles, n, &which[i], e))
            return false;
    return true;
}

/* ---- proofs (Private) ---- */

struct cli_sign_proof {
    struct str repository;       /* HOST/PATH as it was given; empty: of a layout */
    struct oci_manifest manifest;
    struct str bundles[OCI_MAX_PLACES];
    size_t n;
};

static bool cli_sign_proof_write(struct cli_context *c, const struct cli_sign_proof *p,
                                 struct str *out) {
    struct json_writer w;
    struct buf text;
    buf_init(&text, CACHE_MAX_PROOF);
    json_write_init(&w, &text, false, false);
    json_write_object(&w);
    json_write_key(&w, "format");
    json_write_u64(&w, CLI_SIGN_PROOF_FORMAT);
    json_write_member(&w, "repository", p->repository);
    json_write_member(&w, "digest", p->manifest.digest);
    json_write_member(&w, "manifest", p->manifest.text);
    json_write_key(&w, "bundles");
    json_write_array(&w);
    for (size_t i = 0; i < p->n; i++) json_write_str(&w, p->bundles[i]);
    json_write_array_end(&w);
    json_write_object_end(&w);
    bool ok = buf_ok(&text, "a proof", &c->err);
    if (ok) *out = str_dup(&c->arena, buf_str(&text));
    buf_release(&text);
    return ok && (out->p || err_oom(&c->err, CACHE_MAX_PROOF, "a proof"));
}

static bool cli_sign_proof_read(struct cli_context *c, struct str text, struct cli_sign_proof *out,
                                struct err *e) {
    struct str digest = STR_EMPTY, manifest = STR_EMPTY;
    int64_t format = 0;
    *out = (struct cli_sign_proof){ .n = 0 };
    const struct json *v = json_parse_large(&c->arena, text, e);
    if (!v || !json_read_i64(v, "format", 0, INT32_MAX, &format, e) ||
        !json_read_str(v, "repository", &out->repository, e) ||
        !json_read_str(v, "digest", &digest, e) || !json_read_str(v, "manifest", &manifest, e))
        return false;
    const struct json *list = json_get(v, "bundles");
    if (format != CLI_SIGN_PROOF_FORMAT || !json_is(list, JSON_ARRAY) || list->n > OCI_MAX_PLACES)
        return err_set(e, ERR_FORMAT, "it is no proof of this program");
    for (const struct json *b = list->child; b; b = b->next)
        out->bundles[out->n++] = json_is(b, JSON_STRING) ? b->string : STR_EMPTY;
    return oci_manifest_parse(&c->arena, manifest, STR_EMPTY, &out->manifest, e) &&
           (str_eq(out->manifest.digest, digest) ||
            err_set(e, ERR_INTEGRITY, "its manifest is not the one that was signed"));
}

/* The snapshot is that of the manifest, or of the only one in its index. */
static bool cli_sign_proof_fits(struct cli_context *c, const struct cli_sign_proof *p,
                                const struct cache_model *m, struct err *e) {
    const struct oci_manifest *top = &p->manifest;
    bool one = top->is_index && top->n_layers == 1;
    struct str digest = one ? top->layers[0].digest : top->digest;
    if (!m->commit.n || !str_starts(oci_digest_hex(digest), m->commit))
        return err_set(e, ERR_INTEGRITY, "it is of another artifact");
    return top->is_index || oci_snapshot_is(&c->arena, top, m->snapshot_cstr, e);
}

/* Whose rules count: a proof that lies beside another model than its own speaks for nothing. */
static bool cli_sign_proof_place(struct cli_context *c, const struct cli_sign_proof *p,
                                 struct str model, struct oci_ref *out, struct err *e) {
    *out = (struct oci_ref){ .kind = OCI_DIR };
    if (!p->repository.n)
        return str_starts(model, STR("oci/")) ||
               err_set(e, ERR_INTEGRITY, "it names no repository");
    return oci_ref_parse(&c->arena, p->repository, out, e) &&
           (str_eq(oci_ref_model(&c->arena, out), model) ||
            err_set(e, ERR_INTEGRITY, "it is of the repository " STR_FMT, STR_ARG(p->repository)));
}

/* ---- pulls (Public) ---- */

MLXK_FN bool cli_sign_asks(struct cli_context *c, const struct oci_ref *ref, bool *asks) {
    struct sign_policy policy;
    struct cli_sign_rules rules = { .n = 0 };
    bool ok = sign_policy_load(&c->arena, &policy, &c->err)
              && (!policy.n || cli_sign_rules_of(c, &policy, ref, &rules, &c->err));
    *asks = rules.n > 0;
    return ok;
}

MLXK_FN bool cli_sign_judge(struct cli_context *c, struct oci *registry, const struct oci_ref *ref,
                            struct cli_sign_verdict *out) {
    struct sign_policy policy;
    struct cli_sign_artifact s = { .ref = *ref, .registry = registry };
    struct cli_sign_proof proof = { .n = 0 };
    struct cli_sign_rules rules;
    size_t which[OCI_MAX_PLACES];
    *out = (struct cli_sign_verdict){ STR_EMPTY, STR_EMPTY };
    if (!sign_policy_load(&c->arena, &policy, &c->err)) return false;
    if (!policy.n) return true;
    if (!cli_sign_rules_of(c, &policy, ref, &rules, &c->err)) return false;
    if (!rules.n) return true;
    if (!cli_sign_oci_find(c, &s) || !cli_sign_oci_bundles(c, &s) ||
        !cli_sign_rules_judge(c, &rules, oci_ref_text(&c->arena, ref), s.head.digest,
                              cli_sign_version(ref->tag), s.bundles, s.n, which, &c->err) ||
        !oci_manifest_get(&c->arena, registry, s.head.digest, &proof.manifest, &c->err))
        return false;
    if (ref->kind == OCI_REGISTRY)
        proof.repository =
            str_format(&c->arena, STR_FMT "/" STR_FMT, STR_ARG(ref->host), STR_ARG(ref->repo));
    for (size_t i = 0; i < rules.n; i++) proof.bundles[proof.n++] = s.bundles[which[i]];
    out->digest = s.head.digest;
    return cli_sign_proof_write(c, &proof, &out->proof);
}

MLXK_FN bool cli_sign_keep(struct cli_context *c, const struct cli_sign_verdict *v,
                           const struct oci_pull_result *pulled) {
    return !v->proof.n || !pulled->snapshot_cstr ||
           cache_proof_write(&c->cache, pulled->model, pulled->commit, v->proof, &c->err);
}

/* ---- uses (Private) ---- */

/* A path into the cache is a model of the cache. */
static bool cli_sign_inside(struct cli_context *c, const struct cache_model *m,
                            struct cache_model *out) {
    struct err none = { 0 };
    char *root_cstr = os_path_real(&c->arena, c->cache.root_cstr, &none);
    *out = *m;
    if (m->place != CACHE_WORKSPACE) return true;
    char *dir_cstr = os_path_real(&c->arena, m->dir_cstr, &none);
    if (!root_cstr || !dir_cstr || !str_starts(str_cstr(dir_cstr), str_cstr(root_cstr)))
        return false;
    struct str rest = str_sub(str_cstr(dir_cstr), strlen(root_cstr), strlen(dir_cstr));
    (void)str_cut(&rest, '/');
    struct str folder = str_cut(&rest, '/'), below = str_cut(&rest, '/');
    if (!cache_is_folder(folder) || !str_eq(below, STR("snapshots"))) return false;
    out->name = cache_repo_name(&c->arena, folder);
    out->commit = str_cut(&rest, '/');
    out->snapshot_cstr = dir_cstr;
    return out->name.n && out->commit.n;
}

static bool cli_sign_refuse(const struct cache_model *m, const struct cli_sign_rules *rules,
                            struct err *e) {
    const struct sign_rule *rule = rules->list[0];
    err_set(e, ERR_ACCESS, STR_FMT " may not be used: the policy's rule for '" STR_FMT
            "' asks for %s, and no proof of one is in the cache", STR_ARG(m->name),
            STR_ARG(rule->prefix),
            rule->require == SIGN_REQUIRE_RELEASE ? "a signed release" : "a signature");
    return err_hint(e, "`mlxk pull oci://HOST/REPO:TAG` looks for the signature and keeps it; "
                       "files that are there are not fetched again");
}

static bool cli_sign_cached_proof(struct cli_context *c, const struct cache_model *m,
                                  const struct sign_policy *policy, struct str text,
                                  struct str version, struct err *e) {
    struct cli_sign_proof proof;
    struct cli_sign_rules rules;
    struct oci_ref place;
    size_t which[OCI_MAX_PLACES];
    bool read = cli_sign_proof_read(c, text, &proof, e) &&
                cli_sign_proof_place(c, &proof, m->name, &place, e) &&
                cli_sign_rules_of(c, policy, &place, &rules, e);
    if (read && !rules.n) return true;
    if (read && cli_sign_proof_fits(c, &proof, m, e))
        return cli_sign_rules_judge(c, &rules, m->name, proof.manifest.digest, version,
                                    proof.bundles, proof.n, which, e);
    e->code = ERR_ACCESS;
    err_context(e, STR_FMT " may not be used: the proof of its signature: ", STR_ARG(m->name));
    return err_hint(e, "`mlxk pull oci://HOST/REPO:TAG` looks for the signature again");
}

/* ---- uses (Public) ---- */

MLXK_FN bool cli_sign_cached(struct cli_context *c, const struct cache_model *found,
                             const struct oci_ref *ref /* or NULL */, struct str revision,
                             struct err *e) {
    struct sign_policy policy;
    struct cli_sign_rules rules;
    struct cache_model m;
    struct str text = STR_EMPTY, version = cli_sign_version(ref ? ref->tag : revision);
    if (!sign_policy_load(&c->arena, &policy, e)) return false;
    if (!policy.n || !cli_sign_inside(c, found, &m)) return true;
    if (!str_starts(m.name, STR("oci/")) && !oci_model_is(m.name)) return true;
    if (m.commit.n && !cache_proof_read(&c->arena, &c->cache, m.name, m.commit, &text, e))
        return false;
    if (text.n) return cli_sign_cached_proof(c, &m, &policy, text, version, e);
    if (str_starts(m.name, STR("oci/"))) {
        rules = (struct cli_sign_rules){ .n = 0 };
        cli_sign_rules_add(&rules, sign_policy_match(&policy, STR_EMPTY));
    } else if (!ref) {
        cli_sign_rules_named(&policy, m.name, &rules);
    } else if (!cli_sign_rules_of(c, &policy, ref, &rules, e)) {
        return false;
    }
    return !rules.n || cli_sign_refuse(&m, &rules, e);
}
