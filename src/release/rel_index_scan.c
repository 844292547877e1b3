/* rel_index_scan.c: what a repository holds, asked for as seldom as possible.
 *
 * 1. A tag of a release or of a state names one digest for ever (release.h, 3): once known it is
 *    not asked again, nor is a line (v1, v1.2) that led to its highest release and has got no
 *    higher one. Others (latest, a branch's) are asked for their digest alone.
 * 2. A manifest is read once: it is what its digest says. Its config is read where it is a model's.
 * 3. Tags that stand for a list of referrers, or keep one from being collected, are no versions;
 *    where a registry keeps no list itself, a version is asked for referrers only if such a tag is
 *    there.
 * 4. A version that cannot be read (damaged, of an unknown kind) is counted and has no description;
 *    what the network or the registry refuses ends the scan.
 */
#include "release/rel_index_int.h"

#include <stdlib.h>

enum { REL_SCAN_CONFIG = 1 << 20, REL_SCAN_MAX_LAYERS = 2000, REL_SCAN_MAX_REFERRERS = 500 };
#define REL_SCAN_ARENA ((size_t)96 << 20)        /* of one manifest */

struct rel_scan {
    struct arena *a;
    struct oci *o;
    struct rel_index_scan *counts;
    const struct rel_index_repo *old;
    struct map old_tags, old_digests;            /* -> its version, by place */
    struct map digests;          /* of this time -> place in out */
    struct map lines;            /* "v1", "ham-pkg-v1.2" -> place of the highest release of it */
    struct map lists;            /* digests that have a list of referrers under a tag */
    struct rel_index_repo *out;
    size_t cap;
};

/* ---- what is said about a version (Private) ---- */

static void rel_scan_hashes(struct json_writer *w, const struct oci_manifest *m) {
    static const struct { const char *key_cstr, *name_cstr; } keys[] = {
        { REL_KEY_IFACE, "interface" }, { REL_KEY_LOGIC, "logic" },
        { REL_KEY_WEIGHTS, "weights" }, { REL_KEY_DOCS, "docs" },
        { "org.opencontainers.image.created", "created" },
        { "org.opencontainers.image.revision", "revision" },
        { "org.opencontainers.image.source", "source" },
        { "org.opencontainers.image.title", "title" } };
    for (size_t i = 0; i < MLXK_COUNT(keys); i++) {
        struct str v = oci_annotation(m->annotations, m->n_annotations, keys[i].key_cstr);
        if (v.n && v.n <= 4096) json_write_member(w, keys[i].name_cstr, v);
    }
}

static void rel_scan_layers(struct json_writer *w, const struct oci_manifest *m) {
    json_write_key(w, m->is_index ? "manifests" : "layers");
    json_write_array(w);
    for (size_t i = 0; i < m->n_layers && i < REL_SCAN_MAX_LAYERS; i++) {
        const struct oci_desc *d = &m->layers[i];
        struct err none = { 0 };
        struct str path;
        json_write_object(w);
        json_write_member(w, "digest", d->digest);
        json_write_key(w, "size_bytes");
        json_write_u64(w, d->size_bytes);
        if (oci_layer_path(d, &path, &none)) json_write_member(w, "path", path);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

static void rel_scan_member(struct json_writer *w, const char *name_cstr, const struct json *in,
                            const char *key_cstr) {
    const struct json *v = json_get(in, key_cstr);
    if (json_is(v, JSON_STRING) && v->string.n && v->string.n <= 1000)
        json_write_member(w, name_cstr, v->string);
}

static void rel_scan_config(struct json_writer *w, const struct json *config) {
    const struct json *d = json_get(config, "descriptor"), *c = json_get(config, "config");
    const struct json *licence = json_at(json_get(d, "licenses"), 0);
    rel_scan_member(w, "name", d, "name");
    rel_scan_member(w, "family", d, "family");
    rel_scan_member(w, "architecture", c, "architecture");
    rel_scan_member(w, "format", c, "format");
    rel_scan_member(w, "quantization", c, "quantization");
    rel_scan_member(w, "precision", c, "precision");
    rel_scan_member(w, "params", c, "paramSize");
    if (json_is(licence, JSON_STRING)) json_write_member(w, "license", licence->string);
}

static struct str rel_scan_kind(const struct oci_manifest *m) {
    struct str type = oci_manifest_type(m);
    if (str_eq(type, STR(OCI_TYPE_MODEL)) || str_eq(type, STR(OCI_TYPE_MODEL_CONFIG)))
        return STR("model");
    return m->is_index ? STR("index") : type.n <= 200 ? type : STR_EMPTY;
}

static bool rel_scan_is_odd(enum err_code code) {
    return code == ERR_FORMAT || code == ERR_LIMIT || code == ERR_UNSUPPORTED
           || code == ERR_INTEGRITY || code == ERR_NOT_FOUND;
}

/* The model's config as a tree; NULL without an error: there is none, or it cannot be read. */
static const struct json *rel_scan_read_config(struct rel_scan *s, struct arena *a,
                                               const struct oci_manifest *m, struct err *e) {
    struct str text;
    struct err why = { 0 };
    if (m->is_index || !str_eq(m->config.media_type, STR(OCI_TYPE_MODEL_CONFIG))) return NULL;
    if (oci_blob_text(a, s->o, &m->config, REL_SCAN_CONFIG, &text, &why)) {
        const struct json *tree = json_parse_lenient(a, text, &why);
        if (tree) return tree;
    }
    if (!rel_scan_is_odd(why.code)) *e = why;
    return NULL;
}

static bool rel_scan_about(struct rel_scan *s, struct arena *a, const struct oci_manifest *m,
                           struct str *out, struct err *e) {
    struct json_writer w;
    struct buf b;
    uint64_t size = m->config.size_bytes;
    const struct json *config = rel_scan_read_config(s, a, m, e);
    if (e->code != ERR_OK) return false;
    buf_init(&b, REL_INDEX_MAX_ABOUT);
    json_write_init(&w, &b, false, false);
    json_write_object(&w);
    struct str kind = rel_scan_kind(m);
    if (kind.n) json_write_member(&w, "kind", kind);
    if (config) rel_scan_config(&w, config);
    rel_scan_hashes(&w, m);
    for (size_t i = 0; i < m->n_layers; i++) size += m->layers[i].size_bytes;
    json_write_key(&w, "size_bytes");
    json_write_u64(&w, size);
    if (m->has_subject) json_write_member(&w, "subject", m->subject.digest);
    rel_scan_layers(&w, m);
    json_write_object_end(&w);
    bool ok = !b.failed;
    if (ok) *out = str_dup(s->a, buf_str(&b));
    else s->counts->n_odd++;                     /* more than an index wants to know */
    buf_release(&b);
    return !ok || out->p || err_oom(e, REL_INDEX_MAX_ABOUT, "an index");
}

/* ---- one version (Private) ---- */

static bool rel_scan_referrers(struct rel_scan *s, struct arena *a, struct rel_index_version *v,
                               struct err *e) {
    struct oci_desc *list;
    struct json_writer w;
    struct buf b;
    size_t n = 0;
    struct err why = { 0 };
    v->referrers = STR("[]");
    if (!oci_referrers(a, s->o, v->digest, STR_EMPTY, &list, &n, &why)) {
        if (rel_scan_is_odd(why.code)) return true;
        *e = why;
        return false;
    }
    buf_init(&b, (size_t)1 << 18);
    json_write_init(&w, &b, false, false);
    json_write_array(&w);
    for (size_t i = 0; i < n && i < REL_SCAN_MAX_REFERRERS; i++) {
        json_write_object(&w);
        json_write_member(&w, "type", str_sub(list[i].artifact_type, 0, 200));
        json_write_member(&w, "digest", list[i].digest);
        json_write_object_end(&w);
    }
    json_write_array_end(&w);
    bool ok = buf_ok(&b, "a list of referrers", e);
    if (ok) v->referrers = str_dup(s->a, buf_str(&b));
    buf_release(&b);
    return ok && (v->referrers.p || err_oom(e, b.n, "an index"));
}

static bool rel_scan_manifest(struct rel_scan *s, struct rel_index_version *v, struct err *e) {
    struct oci_manifest m;
    struct arena a;
    struct err why = { 0 };
    const uint64_t *old = map_get(&s->old_digests, v->digest);
    if (old) {
        v->about = s->old->versions[*old].about;
        v->referrers = s->old->versions[*old].referrers;
        return true;
    }
    arena_init(&a, REL_SCAN_ARENA);
    s->counts->n_read++;
    bool ok = oci_manifest_get(&a, s->o, v->digest, &m, &why)
              && rel_scan_about(s, &a, &m, &v->about, &why);
    if (!ok && rel_scan_is_odd(why.code)) {
        s->counts->n_odd++;
        ok = true;
    } else if (!ok) *e = why;
    arena_release(&a);
    return ok;
}

/* The version with this digest, new or not; NULL = failed. */
static struct rel_index_version *rel_scan_version(struct rel_scan *s, struct str digest,
                                                  struct err *e) {
    bool is_new;
    struct str own = str_dup(s->a, digest);
    uint64_t *at = own.p ? map_put(&s->digests, own, &is_new) : NULL;
    if (!at) {
        err_oom(e, digest.n, "an index");
        return NULL;
    }
    if (!is_new) return &s->out->versions[*at];
    *at = s->out->n;
    struct rel_index_version *p =
        ARENA_GROW(s->a, struct rel_index_version, s->out->versions, s->out->n, &s->cap, 16);
    if (!p) {
        err_oom(e, (s->out->n + 1) * sizeof *p, "an index");
        return NULL;
    }
    s->out->versions = p;
    struct rel_index_version *v = &s->out->versions[s->out->n++];
    *v = (struct rel_index_version){ .digest = own, .about = STR("{}"), .referrers = STR("[]") };
    return rel_scan_manifest(s, v, e) ? v : NULL;
}

static bool rel_scan_name(struct rel_scan *s, struct rel_index_version *v, struct str tag,
                          struct err *e) {
    if ((v->n_tags & (v->n_tags - 1)) == 0) {              /* full at every power of two */
        struct str *p = ARENA_ARRAY(s->a, struct str, v->n_tags ? v->n_tags * 2 : 1);
        if (!p) return err_oom(e, v->n_tags * sizeof *p, "an index");
        if (v->n_tags) memcpy(p, v->tags, v->n_tags * sizeof *p);
        v->tags = p;
    }
    v->tags[v->n_tags++] = tag;
    return true;
}

/* ---- tags (Private) ---- */

static bool rel_scan_is_fixed(struct str tag) {
    struct rel_tag t;
    rel_tag_parse(tag, STR_EMPTY, &t);
    return t.kind == REL_TAG_RELEASE || t.kind == REL_TAG_PKG || t.kind == REL_TAG_CLIENT
           || t.kind == REL_TAG_IMAGE || t.kind == REL_TAG_ADHOC;
}

/* "sha256-<hex>" (its digest in *digest), "sha256-<hex>.sig", "ref-...-...". */
static bool rel_scan_is_list(struct arena *a, struct str tag, struct str *digest) {
    *digest = STR_EMPTY;
    if (str_starts(tag, STR("ref-")) && tag.n == 4 + 16 + 1 + 8
        && str_is_hex(str_sub(tag, 4, 20), 16) && str_is_hex(str_sub(tag, 21, 29), 8))
        return true;
    if (!str_starts(tag, STR("sha256-")) || !str_is_hex(str_sub(tag, 7, 71), 64)) return false;
    if (tag.n == 71) *digest = str_format(a, "sha256:" STR_FMT, STR_ARG(str_sub(tag, 7, 71)));
    return tag.n == 71 || tag.p[71] == '.';
}

/* The lines vX and vX.Y of a release (also of its client and package): which of them is highest. */
static bool rel_scan_line(struct rel_scan *s, const struct oci_names *names, size_t i,
                          struct err *e) {
    struct rel_tag t, other;
    struct str tag = names->names[i];
    rel_tag_parse(tag, STR_EMPTY, &t);
    bool release = t.kind == REL_TAG_RELEASE || t.kind == REL_TAG_PKG || t.kind == REL_TAG_CLIENT;
    if (!release || t.version.branch.n) return true;
    for (size_t n = tag.n, dots = 0; n-- > 0 && dots < 2;) {     /* "ham-pkg-v1.2", "ham-pkg-v1" */
        if (tag.p[n] != '.') continue;
        dots++;
        bool is_new;
        uint64_t *at = map_put(&s->lines, str_sub(tag, 0, n), &is_new);
        if (!at) return err_oom(e, names->n, "an index");
        if (!is_new) rel_tag_parse(names->names[*at], STR_EMPTY, &other);
        if (is_new || rel_version_cmp(&t.version, &other.version) > 0) *at = i;
    }
    return true;
}

/* vX, vX.Y and the like lead to the highest release of their line. One that did, and whose line has
 * got no higher one, is where it was. */
static bool rel_scan_has_stayed(const struct rel_scan *s, const struct oci_names *names,
                                struct str tag, struct str digest) {
    const uint64_t *line = map_get(&s->lines, tag);
    const uint64_t *leader = line ? map_get(&s->old_tags, names->names[*line]) : NULL;
    return leader && str_eq(s->old->versions[*leader].digest, digest);
}

static bool rel_scan_tag(struct rel_scan *s, const struct oci_names *names, struct str tag,
                         struct err *e) {
    struct oci_head head = { 0 };
    const uint64_t *old = map_get(&s->old_tags, tag);
    struct str digest = old ? s->old->versions[*old].digest : STR_EMPTY;
    bool known = old && !s->counts->all
                 && (rel_scan_is_fixed(tag) || rel_scan_has_stayed(s, names, tag, digest));
    s->counts->n_tags++;
    if (!known) {
        s->counts->n_asked++;
        struct arena scratch;
        arena_init(&scratch, REL_SCAN_ARENA);
        bool ok = oci_manifest_head(&scratch, s->o, tag, &head, e);
        digest = ok && head.found ? str_dup(s->a, head.digest) : STR_EMPTY;
        arena_release(&scratch);
        if (!ok) return false;
        if (!head.found) return true;            /* removed meanwhile */
        if (!oci_digest_ok(digest)) {
            s->counts->n_odd++;
            return true;
        }
    }
    struct rel_index_version *v = rel_scan_version(s, digest, e);
    return v && rel_scan_name(s, v, tag, e);
}

static bool rel_scan_tags(struct rel_scan *s, const struct oci_names *names, struct err *e) {
    bool ok = true;
    for (size_t i = 0; ok && i < names->n; i++) {
        struct str digest;
        if (!rel_scan_is_list(s->a, names->names[i], &digest)) continue;
        ok = !digest.n || map_put(&s->lists, digest, NULL) || err_oom(e, names->n, "an index");
    }
    for (size_t i = 0; ok && s->old && i < names->n; i++) ok = rel_scan_line(s, names, i, e);
    for (size_t i = 0; ok && i < names->n; i++) {
        struct str digest;
        if (!rel_scan_is_list(s->a, names->names[i], &digest))
            ok = rel_scan_tag(s, names, names->names[i], e);
    }
    return ok;
}

/* Of versions that are new. Where the registry keeps the lists itself, each of them is asked for;
 * the first question tells. */
static bool rel_scan_all_referrers(struct rel_scan *s, struct err *e) {
    bool ok = true, asks = true;
    for (size_t i = 0; ok && i < s->out->n; i++) {
        struct rel_index_version *v = &s->out->versions[i];
        bool known = map_get(&s->old_digests, v->digest) != NULL && !s->counts->all;
        if (known || (!asks && !map_get(&s->lists, v->digest))) continue;
        struct arena a;
        arena_init(&a, REL_SCAN_ARENA);
        ok = rel_scan_referrers(s, &a, v, e);
        asks = oci_keeps_referrers(s->o);
        arena_release(&a);
    }
    return ok;
}

static int rel_scan_order(const void *x, const void *y) {
    return str_cmp(((const struct rel_index_version *)x)->digest,
                   ((const struct rel_index_version *)y)->digest);
}

static bool rel_scan_remember(struct rel_scan *s, struct err *e) {
    for (size_t i = 0; s->old && i < s->old->n; i++) {
        const struct rel_index_version *v = &s->old->versions[i];
        uint64_t *at = v->about.n > 2 ? map_put(&s->old_digests, v->digest, NULL) : NULL;
        if (at) *at = i;
        for (size_t k = 0; k < v->n_tags; k++) {
            at = map_put(&s->old_tags, v->tags[k], NULL);
            if (at) *at = i;
        }
        if (s->old_digests.failed || s->old_tags.failed)
            return err_oom(e, s->old->n, "an index");
    }
    return true;
}

MLXK_FN bool rel_index_read(struct arena *a, struct oci *o, struct str name,
                            const struct rel_index_repo *old, struct rel_index_scan *scan,
                            struct rel_index_repo *out, struct err *e) {
    struct rel_scan s = { .a = a, .o = o, .counts = scan, .old = old, .out = out };
    struct oci_names names = { 0 };
    *out = (struct rel_index_repo){ .name = str_dup(a, name) };
    map_init(&s.old_tags, REL_INDEX_MAX_VERSIONS);
    map_init(&s.old_digests, REL_INDEX_MAX_VERSIONS);
    map_init(&s.digests, OCI_MAX_TAGS);
    map_init(&s.lists, OCI_MAX_TAGS);
    map_init(&s.lines, 2 * OCI_MAX_TAGS);
    bool ok = (out->name.p || err_oom(e, name.n, "an index")) && rel_scan_remember(&s, e)
              && oci_tags(a, o, &names, e) && rel_scan_tags(&s, &names, e)
              && rel_scan_all_referrers(&s, e);
    if (ok && out->n) qsort(out->versions, out->n, sizeof *out->versions, rel_scan_order);
    map_release(&s.lines);
    map_release(&s.lists);
    map_release(&s.digests);
    map_release(&s.old_digests);
    map_release(&s.old_tags);
    return ok;
}

#undef REL_SCAN_ARENA
