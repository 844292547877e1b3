/* oci_manifests.c: manifests of a registry: asked for, stored, deleted.
 *
 * 1. A manifest's digest is computed from what came; the header only may not contradict it.
 * 2. Bytes are stored and handed on as they are.
 * ref: distribution 1.1, "pulling manifests", "pushing manifests", "deleting manifests".
 */
#include "oci/oci_int.h"

static const char oci_manifests_accept[] =
    OCI_TYPE_MANIFEST ", " OCI_TYPE_INDEX ", " OCI_TYPE_DOCKER ", " OCI_TYPE_DOCKER_LIST;

static struct str oci_manifests_what(struct arena *a, struct oci *o, struct str what) {
    return str_format(a, "manifest %s of " STR_FMT, oci_show(what).text, STR_ARG(o->ref.repo));
}

/* The header is a hint, but a hint that is wrong is a fault. */
static bool oci_manifests_hint_ok(const struct http_response *r, struct str digest,
                                  const char *way_cstr, struct err *e) {
    struct str hint = http_header(r, "Docker-Content-Digest");
    if (!str_starts(hint, STR("sha256:")) || !str_starts(digest, STR("sha256:"))
        || str_eq(hint, digest))
        return true;
    return err_set(e, ERR_INTEGRITY, STR_FMT " says %s and %s a manifest with digest " STR_FMT,
                   STR_ARG(r->url.authority), oci_show(hint).text, way_cstr, STR_ARG(digest));
}

static bool oci_manifests_judge(struct arena *a, struct oci *o, struct str what,
                                const struct http_response *r, struct str body,
                                struct oci_manifest *out, struct err *e) {
    struct oci_hash hash;
    bool by_digest = oci_digest_ok(what), ok = true;
    if (by_digest) {
        oci_hash_begin(&hash, what);
        oci_hash_add(&hash, body.p, body.n);
        ok = oci_hash_check(&hash, what, e);
    }
    ok = ok && oci_manifest_parse(a, body, http_header(r, "Content-Type"), out, e);
    if (!ok)
        return err_context(e, STR_FMT "/" STR_FMT ": ", STR_ARG(o->ref.host), STR_ARG(o->ref.repo));
    if (by_digest) out->digest = str_dup(a, what);
    return oci_manifests_hint_ok(r, out->digest, "sends", e);
}

MLXK_FN bool oci_registry_get(struct arena *a, struct oci *o, struct str what,
                              struct oci_manifest *out, struct err *e) {
    struct http_response r;
    struct buf body;
    struct oci_call call = { .method_cstr = "GET", .path = oci_path(a, o, "manifests/", what),
                             .accept_cstr = oci_manifests_accept, .reads = true };
    if (!oci_digest_ok(what) && !oci_tag_ok(what))
        return err_set(e, ERR_INVALID, "'%s' is neither a tag nor a digest", oci_show(what).text);
    if (!call.path.n) return err_oom(e, NET_MAX_URL, "an address");
    buf_init(&body, OCI_MAX_MANIFEST);
    bool ok = oci_ask(o, &call, &r, &body, e);
    if (!ok && body.over_limit) {
        err_clear(e);
        err_set(e, ERR_LIMIT, STR_FMT " sends a manifest of more than 4 MiB for %s",
                STR_ARG(o->ref.host), oci_show(what).text);
    }
    if (ok) {
        ok = r.status == 200
                 ? oci_manifests_judge(a, o, what, &r, buf_str(&body), out, e)
                 : oci_refused_text(o, &r, buf_str(&body), oci_manifests_what(a, o, what), e);
        http_finish(&r);
    }
    buf_release(&body);
    return ok;
}

MLXK_FN bool oci_registry_head(struct arena *a, struct oci *o, struct str what,
                               struct oci_head *out, struct err *e) {
    struct http_response r;
    struct oci_call call = { .method_cstr = "HEAD", .path = oci_path(a, o, "manifests/", what),
                             .accept_cstr = oci_manifests_accept, .reads = true };
    *out = (struct oci_head){ 0 };
    if (!call.path.n) return err_oom(e, NET_MAX_URL, "an address");
    if (!oci_send(o, &call, &r, e)) return false;
    struct str digest = str_dup(a, http_header(&r, "Docker-Content-Digest")),
               type = str_dup(a, http_header(&r, "Content-Type"));
    bool found = r.status == 200, ok = found || r.status == 404 || r.status == 405;
    bool ask = r.status == 405 || (found && !oci_digest_ok(digest));
    uint64_t size_bytes = r.content_length;
    if (!ok) oci_refused(o, &r, oci_manifests_what(a, o, what), e);
    http_finish(&r);
    if (!ok || (!found && !ask)) return ok;
    if (ask) {     /* the content tells what the head does not */
        struct oci_manifest m;
        struct err why = { 0 };
        if (!oci_registry_get(a, o, what, &m, &why)) {
            if (why.code == ERR_NOT_FOUND) return true;
            *e = why;
            return false;
        }
        digest = m.digest;
        type = m.media_type;
        size_bytes = m.text.n;
    }
    *out = (struct oci_head){ true, digest, type, size_bytes };
    return true;
}

MLXK_FN bool oci_registry_put(struct oci *o, const struct oci_manifest *m, struct str what,
                              bool *handled, struct err *e) {
    struct arena a;
    struct http_response r;
    arena_init(&a, (size_t)8 << 20);
    char *type = str_dup_cstr(&a, m->media_type);
    struct oci_call call = { .method_cstr = "PUT", .path = oci_path(&a, o, "manifests/", what),
                             .type_cstr = type, .body = m->text };
    *handled = false;
    bool ok =
        type && call.path.n ? oci_send(o, &call, &r, e) : err_oom(e, NET_MAX_URL, "an address");
    if (ok) {
        struct str subject = http_header(&r, "OCI-Subject");
        ok = r.status == 201 || r.status == 200 || r.status == 202;
        *handled = ok && m->has_subject && str_eq(subject, m->subject.digest);
        if (!ok) oci_refused(o, &r, oci_manifests_what(&a, o, what), e);
        else ok = oci_manifests_hint_ok(&r, m->digest, "was sent", e);
        http_finish(&r);
    }
    arena_release(&a);
    return ok;
}

MLXK_FN bool oci_registry_delete(struct oci *o, struct str what, int *status, struct err *e) {
    struct arena a;
    struct http_response r;
    arena_init(&a, (size_t)8 << 20);
    struct oci_call call = { .method_cstr = "DELETE", .path = oci_path(&a, o, "manifests/", what),
                             .deletes = true };
    bool ok = call.path.n ? oci_send(o, &call, &r, e) : err_oom(e, NET_MAX_URL, "an address");
    if (ok) {
        *status = r.status;
        if (r.status == 401 || r.status == 403 || r.status == 429 || r.status >= 500)
            ok = oci_refused(o, &r, oci_manifests_what(&a, o, what), e);
        http_finish(&r);
    }
    arena_release(&a);
    return ok;
}
