/* rel_index_oci.c: an index as an artifact of a repository or layout.
 *
 * One layer, the packed document, without the sources of this machine; the config is empty.
 *
 * 1. The same index gives the same manifest on every machine.
 * 2. A registry puts a tag without looking at what it named before. So what stands there is joined
 *    first, and afterwards the tag is read again: when another's index is there, it is joined too.
 */
#include "release/rel_index_int.h"

enum { REL_INDEX_RACES = 5 };

MLXK_FN bool rel_index_pull(struct rel_index *x, struct oci *o, struct str what, bool *found,
                            size_t *n_taken, struct err *e) {
    struct arena a;
    struct rel_index theirs;
    struct oci_manifest m = { 0 };
    struct str packed = STR_EMPTY;
    struct err why = { 0 };
    *n_taken = 0;
    arena_init(&a, REL_INDEX_MAX_BYTES);
    rel_index_init(&theirs);
    *found = oci_manifest_get(&a, o, what, &m, &why);
    bool ok = *found;
    if (!ok && why.code != ERR_NOT_FOUND) *e = why;
    bool fits = str_eq(oci_manifest_type(&m), STR(REL_INDEX_TYPE));
    if (ok && (!fits || m.is_index || m.n_layers != 1))
        ok = err_set(e, ERR_FORMAT, STR_FMT " is no index of repositories but %s",
                     STR_ARG(what), m.is_index ? "a list of manifests" : "another artifact");
    ok = ok && oci_blob_text(&a, o, &m.layers[0], REL_INDEX_MAX_BYTES / 2, &packed, e)
         && (rel_index_unpack(&theirs, packed, e)
             || err_context(e, "the index under " STR_FMT " is damaged: ", STR_ARG(what)))
         && rel_index_merge(x, &theirs, n_taken, e);
    rel_index_release(&theirs);
    arena_release(&a);
    return ok || e->code == ERR_OK;
}

/* The artifact of x; packed holds its layer. */
static bool rel_index_artifact(struct arena *a, const struct rel_index *x, struct buf *packed,
                               struct oci_manifest *m, struct err *e) {
    struct oci_pair *title = ARENA_NEW(a, struct oci_pair);
    struct oci_desc *layer = ARENA_NEW(a, struct oci_desc);
    struct buf text;
    if (!title || !layer) return err_oom(e, sizeof *layer, "a manifest");
    buf_init(&text, REL_INDEX_MAX_BYTES);
    buf_reset(packed);
    bool ok = rel_index_write(&text, x, false, e) && gzip_pack(packed, buf_str(&text), e);
    buf_release(&text);
    if (!ok) return false;
    *title = (struct oci_pair){ STR(OCI_KEY_TITLE), STR(REL_INDEX_FILE) };
    *layer = (struct oci_desc){ .media_type = STR(REL_INDEX_LAYER), .size_bytes = packed->n,
                                .digest = oci_digest_of(a, buf_str(packed)), .annotations = title,
                                .n_annotations = 1 };
    *m = (struct oci_manifest){ .artifact_type = STR(REL_INDEX_TYPE), .config = oci_desc_empty(),
                                .layers = layer, .n_layers = 1 };
    return oci_manifest_make(a, m, e);
}

static bool rel_index_send(struct oci *o, const struct oci_manifest *m, struct str packed,
                           struct str tag, struct err *e) {
    return oci_text_put(o, &m->config, STR("{}"), e) && oci_text_put(o, &m->layers[0], packed, e)
           && oci_manifest_put(o, m, tag, e);
}

MLXK_FN bool rel_index_push(struct arena *a, struct rel_index *x, struct oci *o, struct str tag,
                            struct rel_index_pushed *out, struct err *e) {
    struct buf packed;
    bool ok = true, stands = false;
    *out = (struct rel_index_pushed){ 0 };
    buf_init(&packed, REL_INDEX_MAX_BYTES / 2);
    for (int race = 0; ok && !stands && race < REL_INDEX_RACES; race++) {
        struct oci_manifest m = { 0 };
        struct oci_head head;
        bool found;
        size_t n_taken;
        ok = rel_index_pull(x, o, tag, &found, &n_taken, e)
             && rel_index_artifact(a, x, &packed, &m, e) && oci_manifest_head(a, o, tag, &head, e);
        if (!ok) break;
        out->n_merged += n_taken;
        stands = head.found && str_eq(head.digest, m.digest);
        if (race == 0) out->was_there = stands;
        out->digest = m.digest;
        out->size_bytes = packed.n;
        if (stands) break;
        ok = rel_index_send(o, &m, buf_str(&packed), tag, e)
             && oci_manifest_head(a, o, tag, &head, e);
        stands = ok && head.found && str_eq(head.digest, m.digest);
    }
    buf_release(&packed);
    if (ok && !stands)
        ok = err_set(e, ERR_LOCKED, "others put their index under '" STR_FMT "' again and again",
                     STR_ARG(tag));
    return ok;
}
