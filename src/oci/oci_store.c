/* oci_store.c: what registries and layouts can do, under one name each; referrers and untagging,
 * which take several steps at a registry.
 *
 * 1. A registry that keeps no list of referrers gets one as an index under the fallback tag, which
 *    is read again after it was written, since two writers may meet; and the manifest gets a tag of
 *    its own, because garbage collectors do not look into that index.
 * 2. A tag is taken away without its manifest. Where only manifests can be deleted, it is moved to
 *    one of its own that is then deleted, after a try without the tag has shown that deletes work.
 * ref: distribution 1.1, "referrers tag schema"; oci facts 1.9, 2.8.
 */
#include "oci/oci_int.h"

enum { OCI_STORE_RACES = 5 };
#define OCI_STORE_ARENA ((size_t)64 << 20)

/* ---- one name for both (Public) -------------------------------------------------------------- */

MLXK_FN bool oci_manifest_get(struct arena *a, struct oci *o, struct str what,
                              struct oci_manifest *out, struct err *e) {
    return o->ref.kind == OCI_REGISTRY ? oci_registry_get(a, o, what, out, e)
                                       : oci_layout_get(a, o, what, out, e);
}

MLXK_FN bool oci_manifest_head(struct arena *a, struct oci *o, struct str what,
                               struct oci_head *out, struct err *e) {
    return o->ref.kind == OCI_REGISTRY ? oci_registry_head(a, o, what, out, e)
                                       : oci_layout_head(a, o, what, out, e);
}

MLXK_FN bool oci_tags(struct arena *a, struct oci *o, struct oci_names *out, struct err *e) {
    return o->ref.kind == OCI_REGISTRY ? oci_registry_tags(a, o, out, e)
                                       : oci_layout_tags(a, o, out, e);
}

MLXK_FN bool oci_blob_has(struct oci *o, const struct oci_desc *d, bool *has, struct err *e) {
    uint64_t offset, size_bytes = 0;
    int fd;
    if (o->ref.kind == OCI_REGISTRY) return oci_registry_blob_has(o, d, has, e);
    if (!oci_layout_find(o, d->digest, has, &fd, &offset, &size_bytes, e)) return false;
    if (*has) os_close(fd);
    *has = *has && size_bytes == d->size_bytes;
    return true;
}

static bool oci_store_may_write(struct oci *o, struct err *e) {
    return o->options.may_write
           || err_set(e, ERR_INTERNAL, "a handle that was opened for reading is written to");
}

MLXK_FN bool oci_blob_put(struct oci *o, const struct oci_desc *d, const struct oci_source *source,
                          enum oci_stored *how, struct err *e) {
    enum oci_stored ignored;
    if (!oci_store_may_write(o, e)) return false;
    if (!how) how = &ignored;
    return o->ref.kind == OCI_REGISTRY ? oci_registry_blob_put(o, d, source, how, e)
                                       : oci_layout_blob_put(o, d, source, how, e);
}

static bool oci_store_text(void *ctx, uint64_t offset, void *p, size_t n, struct err *e) {
    const struct str *text = ctx;
    (void)e;
    memcpy(p, text->p + offset, n);
    return true;
}

MLXK_FN bool oci_text_put(struct oci *o, const struct oci_desc *d, struct str text, struct err *e) {
    struct oci_source source = { .read = oci_store_text, .ctx = &text };
    MLXK_ASSERT(d->size_bytes == text.n);
    return oci_blob_put(o, d, &source, NULL, e);
}

/* ---- referrers (Private) --------------------------------------------------------------------- */

MLXK_FN struct str oci_fallback_tag(struct arena *a, struct str digest) {
    return str_format(a, "%.6s-" STR_FMT, digest.p, STR_ARG(oci_digest_hex(digest)));
}

/* The index under the fallback tag; empty when there is none. */
static bool oci_store_list(struct arena *a, struct oci *o, struct str digest,
                           struct oci_manifest *out, struct err *e) {
    struct err why = { 0 };
    struct str tag = oci_fallback_tag(a, digest);
    if (!tag.p) return err_oom(e, 128, "a tag");
    if (tag.n > OCI_MAX_TAG) tag.n = OCI_MAX_TAG;          /* sha512 */
    if (oci_manifest_get(a, o, tag, out, &why) && out->is_index) return true;
    *out = (struct oci_manifest){ .is_index = true };
    if (why.code == ERR_OK || why.code == ERR_NOT_FOUND) return true;
    *e = why;
    return false;
}

static struct oci_desc oci_store_entry(const struct oci_manifest *m) {
    return (struct oci_desc){ .media_type = m->media_type,
                              .digest = m->digest,
                              .size_bytes = m->text.n,
                              .artifact_type = oci_manifest_type(m),
                              .annotations = m->annotations,
                              .n_annotations = m->n_annotations };
}

static bool oci_store_has(const struct oci_manifest *list, struct str digest) {
    for (size_t i = 0; i < list->n_layers; i++)
        if (str_eq(list->layers[i].digest, digest)) return true;
    return false;
}

/* Until the list, read again, has the entry. */
static bool oci_store_refer(struct oci *o, const struct oci_manifest *m, struct err *e) {
    for (int race = 0; race < OCI_STORE_RACES; race++) {
        struct arena a;
        struct oci_manifest list;
        bool handled, there = false;
        arena_init(&a, OCI_STORE_ARENA);
        bool ok = oci_store_list(&a, o, m->subject.digest, &list, e);
        there = ok && oci_store_has(&list, m->digest);
        if (ok && !there) {
            struct oci_desc *more = ARENA_ARRAY(&a, struct oci_desc, list.n_layers + 1);
            ok = more || err_oom(e, list.n_layers * sizeof *more, "a list of referrers");
            if (ok && list.n_layers) memcpy(more, list.layers, list.n_layers * sizeof *more);
            if (ok) more[list.n_layers] = oci_store_entry(m);
            struct oci_manifest fresh = { .is_index = true,
                                          .layers = more,
                                          .n_layers = list.n_layers + 1 };
            struct str tag = oci_fallback_tag(&a, m->subject.digest);
            if (tag.n > OCI_MAX_TAG) tag.n = OCI_MAX_TAG;
            ok = ok && oci_manifest_make(&a, &fresh, e)
                 && oci_registry_put(o, &fresh, tag, &handled, e);
        }
        arena_release(&a);
        if (!ok || there) return ok;
    }
    return err_set(e, ERR_LOCKED,
                   "the list of referrers of " STR_FMT " is changed by others again and again",
                   STR_ARG(m->subject.digest));
}

/* ---- referrers (Public) ---------------------------------------------------------------------- */

MLXK_FN bool oci_referrers(struct arena *a, struct oci *o, struct str digest,
                           struct str artifact_type, struct oci_desc **out, size_t *n,
                           struct err *e) {
    struct oci_manifest list;
    bool supported;
    *n = 0;
    if (o->ref.kind != OCI_REGISTRY) {
        if (!oci_layout_referrers(a, o, digest, out, n, e)) return false;
    } else {
        if (!oci_registry_referrers(a, o, digest, &list, &supported, e)
            || (!supported && !oci_store_list(a, o, digest, &list, e)))
            return false;
        *out = list.layers;
        *n = list.n_layers;
    }
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++)
        if (!artifact_type.n || str_eq((*out)[i].artifact_type, artifact_type))
            (*out)[kept++] = (*out)[i];
    *n = kept;
    return true;
}

MLXK_FN bool oci_keeps_referrers(const struct oci *o) {
    return !o->no_referrers;
}

/* ---- storing (Private) ----------------------------------------------------------------------- */

/* A manifest that was taken is there afterwards. Some servers look it up in a list of blobs from
 * before a garbage collection, and store nothing: as a blob it is stored without that list. */
static bool oci_store_stands(struct arena *a, struct oci *o, const struct oci_manifest *m,
                             struct str what, struct err *e) {
    for (int tries = 0; tries < 3; tries++) {
        struct oci_head head;
        struct oci_desc d = { .digest = m->digest, .size_bytes = m->text.n };
        if (!oci_manifest_head(a, o, what, &head, e)) return false;
        if (head.found) return true;                       /* or somebody moved the tag since */
        if (tries ? !http_retry_sleep(500, e) : !oci_text_put(o, &d, m->text, e)) return false;
    }
    err_set(e, ERR_HTTP, STR_FMT " takes the manifest %s and does not have it afterwards",
            STR_ARG(o->ref.host), oci_show(what).text);
    return err_hint(e, "if garbage was collected while it ran, restarting it helps");
}

/* ---- storing (Public) ------------------------------------------------------------------------ */

static bool oci_store_put_registry(struct oci *o, const struct oci_manifest *m, struct str tag,
                                   struct err *e) {
    struct arena a;
    struct oci_head head;
    bool handled = false;
    arena_init(&a, OCI_STORE_ARENA);
    bool ok = oci_manifest_head(&a, o, tag.n ? tag : m->digest, &head, e);
    bool there = ok && head.found && str_eq(head.digest, m->digest);
    if (ok && (!there || m->has_subject))
        ok = oci_registry_put(o, m, tag.n ? tag : m->digest, &handled, e)
             && (there || oci_store_stands(&a, o, m, tag.n ? tag : m->digest, e));
    if (ok && m->has_subject && !handled) {
        struct str own = str_format(&a, "ref-%.16s-%.8s", oci_digest_hex(m->subject.digest).p,
                                    oci_digest_hex(m->digest).p);
        ok = own.p ? oci_store_refer(o, m, e) : err_oom(e, 64, "a tag");
        ok = ok && oci_registry_put(o, m, own, &handled, e);
    }
    arena_release(&a);
    return ok;
}

MLXK_FN bool oci_manifest_put(struct oci *o, const struct oci_manifest *m, struct str tag,
                              struct err *e) {
    if (!oci_store_may_write(o, e)) return false;
    if (tag.n && !oci_tag_ok(tag))
        return err_set(e, ERR_INVALID,
                       "'%s' is no tag: letters, digits, '_', '.' and '-', at most 128",
                       oci_show(tag).text);
    return o->ref.kind == OCI_REGISTRY ? oci_store_put_registry(o, m, tag, e)
                                       : oci_layout_put(o, m, tag, false, e);
}

static bool oci_store_free(struct oci *o, const struct oci_manifest *m, struct str tag,
                           struct err *e) {
    struct arena a;
    struct oci_head head;
    arena_init(&a, OCI_STORE_ARENA);
    bool ok = oci_manifest_head(&a, o, tag, &head, e);
    if (ok && head.found && !str_eq(head.digest, m->digest))
        ok = err_set(e, ERR_EXISTS, "the tag '" STR_FMT "' names " STR_FMT " by now", STR_ARG(tag),
                     STR_ARG(head.digest));
    arena_release(&a);
    return ok;
}

MLXK_FN bool oci_manifest_put_new(struct oci *o, const struct oci_manifest *m, struct str tag,
                                  struct err *e) {
    MLXK_ASSERT(tag.n);
    if (o->ref.kind == OCI_REGISTRY)
        return oci_store_free(o, m, tag, e) && oci_manifest_put(o, m, tag, e)
               && oci_store_free(o, m, tag, e);
    return oci_store_may_write(o, e) && oci_layout_put(o, m, tag, true, e);
}

/* ---- deleting (Public) ----------------------------------------------------------------------- */

static bool oci_store_no_deletes(struct oci *o, int status, struct err *e) {
    err_set(e, ERR_UNSUPPORTED, STR_FMT " does not delete (status %d)", STR_ARG(o->ref.host),
            status);
    return err_hint(e, "its administrator can switch deletes on");
}

MLXK_FN bool oci_manifest_delete(struct oci *o, struct str digest, struct err *e) {
    int status = 0;
    if (!oci_store_may_write(o, e)) return false;
    if (o->ref.kind != OCI_REGISTRY) return oci_layout_remove(o, STR_EMPTY, digest, e);
    if (!oci_registry_delete(o, digest, &status, e)) return false;
    if (status == 202 || status == 200 || status == 204) return true;
    if (status == 404)
        return err_set(e, ERR_NOT_FOUND, STR_FMT " has no manifest " STR_FMT " in " STR_FMT,
                       STR_ARG(o->ref.host), STR_ARG(digest), STR_ARG(o->ref.repo));
    return oci_store_no_deletes(o, status, e);
}

/* A manifest that is like no other. */
static bool oci_store_tombstone(struct arena *a, struct oci *o, struct oci_manifest *out,
                                struct err *e) {
    uint8_t nonce[16];
    char hex[33];
    struct oci_desc *layer = ARENA_NEW(a, struct oci_desc);
    struct oci_pair *pair = ARENA_NEW(a, struct oci_pair);
    if (!layer || !pair) return err_oom(e, sizeof *layer, "a manifest");
    os_entropy(nonce, sizeof nonce);
    str_hex(hex, nonce, sizeof nonce);
    *layer = oci_desc_empty();
    *pair = (struct oci_pair){ STR("mlxk.tombstone"), str_dup(a, str_cstr(hex)) };
    *out = (struct oci_manifest){ .artifact_type = STR(OCI_TYPE_TOMBSTONE), .config = *layer,
                                  .layers = layer, .n_layers = 1, .annotations = pair,
                                  .n_annotations = 1 };
    return oci_manifest_make(a, out, e) && oci_text_put(o, layer, STR("{}"), e);
}

static bool oci_store_bury(struct arena *a, struct oci *o, struct str tag, struct err *e) {
    struct oci_manifest trial, stone;
    bool handled;
    return oci_store_tombstone(a, o, &trial, e)
           && oci_registry_put(o, &trial, trial.digest, &handled, e)
           && oci_manifest_delete(o, trial.digest, e) /* deletes work: now with the tag */
           && oci_store_tombstone(a, o, &stone, e) && oci_registry_put(o, &stone, tag, &handled, e)
           && oci_manifest_delete(o, stone.digest, e);
}

MLXK_FN bool oci_untag(struct oci *o, struct str tag, struct str digest, struct err *e) {
    struct arena a;
    struct oci_head head = { 0 };
    int status = 0;
    if (!oci_store_may_write(o, e)) return false;
    arena_init(&a, OCI_STORE_ARENA);
    bool ok = oci_manifest_head(&a, o, tag, &head, e);
    if (ok && !head.found)
        ok = err_set(e, ERR_NOT_FOUND, "there is no tag '%s'", oci_show(tag).text);
    if (ok && !str_eq(head.digest, digest))
        ok = err_set(e, ERR_EXISTS, "the tag '%s' names " STR_FMT " by now", oci_show(tag).text,
                     STR_ARG(head.digest));
    if (ok && o->ref.kind != OCI_REGISTRY) {
        ok = oci_layout_remove(o, tag, STR_EMPTY, e);
    } else if (ok) {
        ok = oci_registry_delete(o, tag, &status, e);
        bool gone = status == 202 || status == 200 || status == 204;
        if (ok && !gone) ok = oci_store_bury(&a, o, tag, e);
    }
    arena_release(&a);
    return ok;
}

#undef OCI_STORE_ARENA
