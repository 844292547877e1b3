/* rel_moved.c: which members of the interface differ from a release's, by the document beside it.
 *
 * A release's manifest holds the hash of its interface, not the interface: that stands in its
 * client, a few kilobytes. What it says here is said to people and decides nothing.
 * 1. Where there is no client, or none of this release, nothing is said.
 */
#include "release/rel_int.h"

enum { REL_MOVED_MEMBERS = 64, REL_MOVED_NAME = 32 };

/* interface.json of the client under this tag, when it is the client of the release `digest`. */
static bool rel_moved_document(struct arena *a, struct oci *o, struct str tag, struct str digest,
                               struct str *out, struct err *e) {
    struct oci_manifest m;
    if (!oci_tag_ok(tag) || !oci_manifest_get(a, o, tag, &m, e)) return false;
    struct str of = oci_annotation(m.annotations, m.n_annotations, REL_KEY_MODEL), path;
    if (!str_eq(oci_manifest_type(&m), STR(REL_TYPE_CLIENT)) || !str_eq(of, digest)) return false;
    for (size_t i = 0; i < m.n_layers; i++)
        if (oci_layer_path(&m.layers[i], &path, e) && str_ends(path, STR("/interface.json")))
            return oci_blob_text(a, o, &m.layers[i], LIMIT_JSON_DOC, out, e);
    return false;
}

static bool rel_moved_same(const struct json *theirs, const struct rel_member *ours) {
    struct buf b;
    struct err none = { 0 };
    if (!theirs) return false;
    buf_init(&b, LIMIT_JSON_DOC);
    bool same = rel_canon_write(&b, theirs, NULL, &none) && str_eq(buf_str(&b), ours->value);
    buf_release(&b);
    return same;
}

/* A name of ours: letters and '_'. */
static bool rel_moved_name_ok(struct str name) {
    bool ok = name.n > 0 && name.n <= REL_MOVED_NAME;
    for (size_t i = 0; ok && i < name.n; i++)
        ok = (name.p[i] >= 'a' && name.p[i] <= 'z') || name.p[i] == '_';
    return ok;
}

static void rel_moved_list(struct buf *b, const struct json *theirs, const struct rel_state *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_members; i++)
        if (!rel_moved_same(json_get_str(theirs, s->members[i].name), &s->members[i]))
            buf_addf(b, "%s" STR_FMT, n++ ? ", " : "", STR_ARG(s->members[i].name));
    for (const struct json *m = theirs->child; m && n < REL_MOVED_MEMBERS; m = m->next) {
        bool ours = false;
        for (size_t i = 0; i < s->n_members; i++)
            ours = ours || str_eq(s->members[i].name, m->key);
        if (!ours && rel_moved_name_ok(m->key))
            buf_addf(b, "%s" STR_FMT, n++ ? ", " : "", STR_ARG(m->key));
    }
}

MLXK_FN struct str rel_moved_members(struct arena *a, struct oci *o, const struct rel_whose *w,
                                     const struct rel_known *base, const struct rel_state *s) {
    struct err none = { 0 };
    struct buf b;
    struct str text, version = rel_version_text(a, &base->version),
        tag = rel_whose_tag(a, w, str_format(a, "client-" STR_FMT, STR_ARG(version)));
    if (!tag.p || !rel_moved_document(a, o, tag, base->digest, &text, &none)) return STR_EMPTY;
    const struct json *doc = json_parse(a, text, &none);
    if (!json_is(doc, JSON_OBJECT)) return STR_EMPTY;
    buf_init(&b, LIMIT_JSON_DOC);
    rel_moved_list(&b, doc, s);
    struct str out = b.failed ? STR_EMPTY : str_dup(a, buf_str(&b));
    buf_release(&b);
    return out;
}
