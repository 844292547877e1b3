/* cli_attest.c: what is claimed about a model beside a signature: the list of its files with their
 * hashes and licence (CycloneDX), where it comes from (SLSA provenance).
 *
 *  1. A predicate is a pure function of the manifest, the card and the command line: no clock,
 *     host, user or random number enters it, so the same again is the same bytes, one referrer.
 *  2. Hashes are those of the manifest; no weights are read for it.
 *  3. A licence is named by its SPDX identifier where the card's word is one, else by that word.
 * ref: CycloneDX 1.6; SLSA provenance 1.0; model cards' front matter.
 */
#include "cli/cli_sign.h"

enum { CLI_ATTEST_MAX_WORDS = 16 };

static const struct { const char *name_cstr, *other_cstr /* or NULL */, *type_cstr; }
    cli_attest_types[] = {
        { "cyclonedx", "sbom", CLI_ATTEST_SBOM },
        { "slsaprovenance1", "provenance", CLI_ATTEST_PROVENANCE },
        { "spdxjson", NULL, "https://spdx.dev/Document" },
    };

MLXK_FN struct str cli_attest_type(struct str name) {
    for (size_t i = 0; i < MLXK_COUNT(cli_attest_types); i++)
        if (str_eq_cstr(name, cli_attest_types[i].name_cstr) ||
            (cli_attest_types[i].other_cstr && str_eq_cstr(name, cli_attest_types[i].other_cstr)))
            return str_cstr(cli_attest_types[i].type_cstr);
    return name;
}

/* ---- the card (Private) ---- */

static struct str cli_attest_word(struct str s) {
    s = str_trim(s);
    bool quoted = s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0];
    return quoted ? str_sub(s, 1, s.n - 1) : s;
}

/* The words of a member of the card's front matter: "key: word", "key: [word, word]", or lines
 * "- word" below it. */
static size_t cli_attest_words(struct str card, struct str key,
                               struct str out[CLI_ATTEST_MAX_WORDS]) {
    bool first = true, inside = false;
    size_t n = 0;
    for (struct str rest = card; rest.p; first = false) {
        struct str raw = str_cut(&rest, '\n'), line = str_trim(raw), value = raw;
        if (first != str_eq(line, STR("---"))) break;
        if (inside && str_starts(line, STR("- ")) && n < CLI_ATTEST_MAX_WORDS)
            out[n++] = cli_attest_word(str_sub(line, 2, line.n));
        else inside = false;
        struct str name = str_cut(&value, ':');
        if (!value.p || !str_eq(name, key) || inside || n) continue;
        value = str_trim(value);
        bool list = str_starts(value, STR("[")) && str_ends(value, STR("]"));
        inside = !value.n;
        if (list) value = str_sub(value, 1, value.n - 1);
        for (struct str left = value; left.n && n < CLI_ATTEST_MAX_WORDS;)
            out[n++] = cli_attest_word(list ? str_cut(&left, ',') : str_cut(&left, '\n'));
    }
    return n;
}

/* The words of cards that stand for one SPDX licence, and that. */
static struct str cli_attest_spdx(struct str word) {
    static const char *const known[] = { "Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause",
        "BSD-3-Clause-Clear", "CC0-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0",
        "CC-BY-SA-4.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0",
        "CC-BY-NC-ND-4.0", "CC-BY-ND-4.0", "ISC", "MPL-2.0", "Unlicense", "WTFPL", "Zlib",
        "Artistic-2.0", "BSL-1.0", "EPL-2.0", "EUPL-1.1", "MS-PL", "NCSA", "OFL-1.1", "ODbL-1.0",
        "PDDL-1.0", "PostgreSQL", "AFL-3.0" };
    for (size_t i = 0; i < MLXK_COUNT(known); i++)
        if (str_ieq(word, str_cstr(known[i]))) return str_cstr(known[i]);
    return STR_EMPTY;
}

/* ---- files and licences (Private) ---- */

static void cli_attest_hash(struct json_writer *w, struct str digest) {
    bool wide = str_starts(digest, STR("sha512:"));
    json_write_key(w, "hashes");
    json_write_array(w);
    json_write_object(w);
    json_write_member(w, "alg", wide ? STR("SHA-512") : STR("SHA-256"));
    json_write_member(w, "content", oci_digest_hex(digest));
    json_write_object_end(w);
    json_write_array_end(w);
}

static void cli_attest_licences(struct json_writer *w, struct str card) {
    struct str words[CLI_ATTEST_MAX_WORDS];
    size_t n = cli_attest_words(card, STR("license"), words);
    if (!n) return;
    json_write_key(w, "licenses");
    json_write_array(w);
    for (size_t i = 0; i < n; i++) {
        struct str id = cli_attest_spdx(words[i]);
        json_write_object(w);
        json_write_key(w, "license");
        json_write_object(w);
        json_write_member(w, id.n ? "id" : "name", id.n ? id : words[i]);
        json_write_object_end(w);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

static void cli_attest_ancestors(struct json_writer *w, struct str card) {
    struct str words[CLI_ATTEST_MAX_WORDS];
    size_t n = cli_attest_words(card, STR("base_model"), words);
    if (!n) return;
    json_write_key(w, "pedigree");
    json_write_object(w);
    json_write_key(w, "ancestors");
    json_write_array(w);
    for (size_t i = 0; i < n; i++) {
        json_write_object(w);
        json_write_member(w, "type", STR("machine-learning-model"));
        json_write_member(w, "name", words[i]);
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_object_end(w);
}

static void cli_attest_model(struct json_writer *w, struct arena *a,
                             const struct cli_attest_what *x) {
    json_write_key(w, "metadata");
    json_write_object(w);
    json_write_key(w, "component");
    json_write_object(w);
    json_write_member(w, "bom-ref", x->manifest.digest);
    json_write_member(w, "type", STR("machine-learning-model"));
    json_write_member(w, "name", x->name);
    json_write_member(w, "version", x->release.n ? x->release : x->manifest.digest);
    cli_attest_hash(w, x->manifest.digest);
    cli_attest_licences(w, x->card);
    if (x->ref.kind == OCI_REGISTRY)
        json_write_member(w, "purl",
                          str_format(a, "pkg:oci/" STR_FMT "@sha256%%3A" STR_FMT, STR_ARG(x->name),
                                     STR_ARG(oci_digest_hex(x->manifest.digest))));
    cli_attest_ancestors(w, x->card);
    json_write_object_end(w);
    json_write_object_end(w);
}

/* ---- predicates ---- */

MLXK_FN bool cli_attest_sbom(struct arena *a, const struct cli_attest_what *x, struct buf *out,
                             struct err *e) {
    struct json_writer w;
    struct str *paths;
    if (!oci_manifest_files(a, &x->manifest, &paths, e)) return false;
    json_write_init(&w, out, false, false);
    json_write_object(&w);
    json_write_member(&w, "bomFormat", STR("CycloneDX"));
    json_write_member(&w, "specVersion", STR("1.6"));
    json_write_key(&w, "version");
    json_write_u64(&w, 1);
    cli_attest_model(&w, a, x);
    json_write_key(&w, "components");
    json_write_array(&w);
    for (size_t i = 0; i < x->manifest.n_layers; i++) {
        const struct oci_desc *d = &x->manifest.layers[i];
        json_write_object(&w);
        json_write_member(&w, "type", STR("file"));
        json_write_member(&w, "name", paths[i].n ? paths[i] : d->digest);
        cli_attest_hash(&w, d->digest);
        json_write_object_end(&w);
    }
    json_write_array_end(&w);
    json_write_object_end(&w);
    return buf_ok(out, "a list of files", e);
}

/* URI[@COMMIT]: the commit becomes a digest where it is one. */
static void cli_attest_source(struct json_writer *w, struct str source) {
    ptrdiff_t at = str_find_last(source, STR("@"));
    struct str commit = at < 0 ? STR_EMPTY : str_sub(source, (size_t)at + 1, source.n);
    json_write_object(w);
    json_write_member(w, "uri", source);
    if (str_is_hex(commit, 40) || str_is_hex(commit, 64)) {
        json_write_key(w, "digest");
        json_write_object(w);
        json_write_member(w, "gitCommit", commit);
        json_write_object_end(w);
    }
    json_write_object_end(w);
}

static void cli_attest_inputs(struct json_writer *w, struct arena *a,
                              const struct cli_attest_what *x) {
    struct str words[CLI_ATTEST_MAX_WORDS];
    size_t n = cli_attest_words(x->card, STR("base_model"), words);
    json_write_key(w, "resolvedDependencies");
    json_write_array(w);
    if (x->source.n) cli_attest_source(w, x->source);
    for (size_t i = 0; i < n; i++) {
        json_write_object(w);
        json_write_member(w, "name", STR("base_model"));
        json_write_member(w, "uri", str_concat(a, STR("hf://"), words[i]));
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

MLXK_FN bool cli_attest_provenance(struct arena *a, const struct cli_attest_what *x,
                                   struct buf *out, struct err *e) {
    struct json_writer w;
    json_write_init(&w, out, false, false);
    json_write_object(&w);
    json_write_key(&w, "buildDefinition");
    json_write_object(&w);
    json_write_member(&w, "buildType", STR("urn:mlxk:store:v1"));
    json_write_key(&w, "externalParameters");
    json_write_object(&w);
    json_write_member(&w, "model", x->name);
    if (x->release.n) json_write_member(&w, "release", x->release);
    json_write_object_end(&w);
    json_write_key(&w, "internalParameters");
    json_write_object(&w);
    for (size_t i = 0; i < x->manifest.n_annotations; i++) {
        const struct oci_pair *note = &x->manifest.annotations[i];
        if (!str_starts(note->key, STR("dev.mlxk."))) continue;
        json_write_key_str(&w, note->key);
        json_write_str(&w, note->value);
    }
    json_write_object_end(&w);
    cli_attest_inputs(&w, a, x);
    json_write_object_end(&w);
    json_write_key(&w, "runDetails");
    json_write_object(&w);
    json_write_key(&w, "builder");
    json_write_object(&w);
    json_write_member(&w, "id", x->builder.n ? x->builder : STR("urn:mlxk:builder:unnamed"));
    json_write_object_end(&w);
    json_write_object_end(&w);
    json_write_object_end(&w);
    return buf_ok(out, "a provenance", e);
}

/* ---- what others are told ---- */

static struct str cli_attest_text(const struct json *v, const char *key_cstr) {
    const struct json *m = json_is(v, JSON_OBJECT) ? json_get(v, key_cstr) : NULL;
    return json_is(m, JSON_STRING) ? str_sub(m->string, 0, 200) : STR_EMPTY;
}

static struct str cli_attest_licence(const struct json *component) {
    const struct json *list = json_is(component, JSON_OBJECT) ? json_get(component, "licenses")
                                                              : NULL;
    const struct json *first = json_is(list, JSON_ARRAY) ? list->child : NULL;
    const struct json *licence = json_is(first, JSON_OBJECT) ? json_get(first, "license") : NULL;
    struct str id = cli_attest_text(licence, "id");
    return id.n ? id : cli_attest_text(licence, "name");
}

MLXK_FN struct str cli_attest_summary(struct arena *a, const struct sign_statement *s) {
    const struct json *p = json_is(s->predicate, JSON_OBJECT) ? s->predicate : NULL;
    if (str_eq(s->predicate_type, STR(CLI_ATTEST_SBOM)) && p) {
        const struct json *parts = json_get(p, "components"), *meta = json_get(p, "metadata"),
                          *top = json_is(meta, JSON_OBJECT) ? json_get(meta, "component") : NULL;
        struct str licence = cli_attest_licence(top);
        return str_format(a, "CycloneDX of " STR_FMT ", %zu components, licence " STR_FMT,
                          STR_ARG(cli_attest_text(top, "name")),
                          json_is(parts, JSON_ARRAY) ? parts->n : 0,
                          STR_ARG(licence.n ? licence : STR("not told")));
    }
    if (str_eq(s->predicate_type, STR(CLI_ATTEST_PROVENANCE)) && p) {
        const struct json *definition = json_get(p, "buildDefinition"),
                          *run = json_get(p, "runDetails"),
                          *builder = json_is(run, JSON_OBJECT) ? json_get(run, "builder") : NULL,
                          *inputs = json_is(definition, JSON_OBJECT)
                                        ? json_get(definition, "resolvedDependencies") : NULL;
        return str_format(a, "SLSA provenance by " STR_FMT ", %zu inputs",
                          STR_ARG(cli_attest_text(builder, "id")),
                          json_is(inputs, JSON_ARRAY) ? inputs->n : 0);
    }
    return str_dup(a, str_sub(s->predicate_type, 0, 200));
}

/* ---- agreement with the artifact ---- */

/* A file of the list that the manifest has, too: the same hash. */
static bool cli_attest_same(const struct json *file, const struct oci_manifest *m,
                            const struct str *paths, struct err *e) {
    const struct json *list = json_get(file, "hashes");
    struct str name = cli_attest_text(file, "name");
    if (!str_eq(cli_attest_text(file, "type"), STR("file")) || !json_is(list, JSON_ARRAY))
        return true;
    for (size_t i = 0; i < m->n_layers; i++) {
        if (!paths[i].n || !str_eq(paths[i], name)) continue;
        bool wide = str_starts(m->layers[i].digest, STR("sha512:"));
        for (const struct json *h = list->child; h; h = h->next) {
            struct str alg = cli_attest_text(h, "alg"), hex = cli_attest_text(h, "content");
            if (str_eq(alg, wide ? STR("SHA-512") : STR("SHA-256"))
                && !str_ieq(hex, oci_digest_hex(m->layers[i].digest)))
                return err_set(e, ERR_INTEGRITY,
                               "the list of files gives " STR_FMT
                               " another hash than the artifact does", STR_ARG(name));
        }
    }
    return true;
}

MLXK_FN bool cli_attest_agrees(struct cli_context *c, struct cli_sign_artifact *s,
                               const struct sign_statement *claims, size_t n) {
    struct oci_manifest m = { .n_layers = 0 };
    struct str *paths = NULL;
    struct err none = { 0 };
    for (size_t i = 0; i < n; i++) {
        const struct json *p = claims[i].predicate,
                          *list = json_is(p, JSON_OBJECT) ? json_get(p, "components") : NULL;
        if (!str_eq(claims[i].predicate_type, STR(CLI_ATTEST_SBOM)) || !json_is(list, JSON_ARRAY))
            continue;
        if (!m.text.n && !oci_manifest_get(&c->arena, s->registry, s->head.digest, &m, &c->err))
            return false;
        if (!paths && !oci_manifest_files(&c->arena, &m, &paths, &none)) return true;
        for (const struct json *f = list->child; f; f = f->next)
            if (json_is(f, JSON_OBJECT) && !cli_attest_same(f, &m, paths, &c->err)) return false;
    }
    return true;
}
