/* oci_copy.c: an artifact and all it names, from one place to another.
 *
 *   read all manifests -> plan: what is there to move -> blobs -> manifests, the leaves first ->
 *   tag
 *
 * 1. Bytes are not changed, so digests stay.
 * 2. The tag is set last: who reads it finds everything.
 * 3. A blob is read only if the target lacks it; within one registry it is mounted.
 * 4. Proofs that hang on a digest by the name of a tag (older cosign) get that tag before what they
 *    speak of gets its own.
 */
#include "oci/oci_int.h"

enum { OCI_COPY_MANIFESTS = 20000, OCI_COPY_BLOBS = 200000, OCI_COPY_PIECE = 1 << 16 };
#define OCI_COPY_TEXTS ((size_t)32 << 20)          /* of all manifests: they are kept to the end */

struct oci_copy_proof { struct str tag, digest; };

struct oci_copy {
    struct oci *from, *to;
    struct arena *a;
    const struct oci_copy_options *options;
    struct oci_manifest *manifests; size_t n_manifests, cap_manifests;   /* leaves first */
    struct oci_desc *blobs; size_t n_blobs, cap_blobs;
    struct map seen;             /* digests of both */
    struct oci_copy_proof *proofs; size_t n_proofs, cap_proofs;
    bool in_proof;               /* proofs of proofs are not looked for */
    size_t texts_bytes;
    struct oci_copy_result *out;
    struct os_mutex mutex;       /* of *out, while blobs are moved */
};

/* ---- the plan (Private) ---------------------------------------------------------------------- */

static bool oci_copy_blob_wanted(struct oci_copy *x, const struct oci_desc *d, struct err *e) {
    bool is_new;
    if (!map_put(&x->seen, d->digest, &is_new))
        return err_oom(e, x->seen.n * 32, "the plan of a copy");
    if (!is_new) return true;
    if (x->n_blobs == OCI_COPY_BLOBS)
        return err_set(e, ERR_LIMIT, "more than %d blobs", OCI_COPY_BLOBS);
    x->blobs = ARENA_GROW(x->a, struct oci_desc, x->blobs, x->n_blobs, &x->cap_blobs, 64);
    if (!x->blobs) return err_oom(e, x->n_blobs * sizeof *x->blobs, "the plan of a copy");
    x->blobs[x->n_blobs++] = *d;
    if (x->out->total_bytes > UINT64_MAX / 2 - d->size_bytes)
        return err_set(e, ERR_LIMIT, "the sizes in the manifest add up to too much");
    x->out->total_bytes += d->size_bytes;
    return true;
}

static bool oci_copy_walk(struct oci_copy *x, struct str what, int depth, struct str *digest,
                          struct err *e);

static bool oci_copy_referrers(struct oci_copy *x, struct str subject, int depth, struct err *e) {
    struct oci_desc *list;
    struct str digest;
    size_t n;
    if (!oci_referrers(x->a, x->from, subject, STR_EMPTY, &list, &n, e)) return false;
    for (size_t i = 0; i < n; i++)
        if (!oci_copy_walk(x, list[i].digest, depth + 1, &digest, e)) return false;
    return true;
}

/* One under "sha256-<hex>" and this ending, if there is one. */
static bool oci_copy_proof(struct oci_copy *x, struct str subject, const char *ending_cstr,
                           int depth, struct err *e) {
    struct oci_head head;
    struct oci_copy_proof p = { .tag = oci_fallback_tag(x->a, subject) };
    if (p.tag.p) p.tag = str_concat(x->a, p.tag, str_cstr(ending_cstr));
    if (!p.tag.p) return err_oom(e, OCI_MAX_TAG, "a tag");
    if (p.tag.n > OCI_MAX_TAG) return true;                /* sha512: nobody could give it */
    if (!oci_manifest_head(x->a, x->from, p.tag, &head, e)) return false;
    if (!head.found) return true;
    x->proofs = ARENA_GROW(x->a, struct oci_copy_proof, x->proofs, x->n_proofs, &x->cap_proofs, 8);
    if (!x->proofs) return err_oom(e, x->n_proofs * sizeof *x->proofs, "the plan of a copy");
    x->in_proof = true;
    bool ok = oci_copy_walk(x, p.tag, depth + 1, &p.digest, e);
    x->in_proof = false;
    x->proofs[x->n_proofs] = p;
    x->n_proofs += ok;
    return ok;
}

static bool oci_copy_proofs(struct oci_copy *x, struct str subject, int depth, struct err *e) {
    static const char *const endings[] = { ".sig", ".att", ".sbom" };
    for (size_t i = 0; !x->in_proof && i < MLXK_COUNT(endings); i++)
        if (!oci_copy_proof(x, subject, endings[i], depth, e)) return false;
    return true;
}

/* Takes in a manifest behind all that it names. */
static bool oci_copy_walk(struct oci_copy *x, struct str what, int depth, struct str *digest,
                          struct err *e) {
    struct oci_manifest m;
    struct str child;
    bool is_new;
    if (depth > OCI_MAX_DEPTH)
        return err_set(e, ERR_LIMIT, "manifests name manifests more than %d times", OCI_MAX_DEPTH);
    if (oci_digest_ok(what) && map_get(&x->seen, what)) {
        *digest = what;
        return true;
    }
    if (!oci_manifest_get(x->a, x->from, what, &m, e)) return false;
    *digest = m.digest;
    x->texts_bytes += m.text.n;
    if (x->texts_bytes > OCI_COPY_TEXTS)
        return err_set(e, ERR_LIMIT, "its manifests have more than %zu MB together",
                       OCI_COPY_TEXTS >> 20);
    if (!map_put(&x->seen, m.digest, &is_new))
        return err_oom(e, x->seen.n * 32, "the plan of a copy");
    if (!is_new) return true;
    for (size_t i = 0; i < m.n_layers; i++)
        if (m.is_index ? !oci_copy_walk(x, m.layers[i].digest, depth + 1, &child, e)
                       : !oci_copy_blob_wanted(x, &m.layers[i], e))
            return false;
    if (!m.is_index && !oci_copy_blob_wanted(x, &m.config, e)) return false;
    if (x->n_manifests == OCI_COPY_MANIFESTS)
        return err_set(e, ERR_LIMIT, "more than %d manifests", OCI_COPY_MANIFESTS);
    x->manifests = ARENA_GROW(x->a, struct oci_manifest, x->manifests, x->n_manifests,
                              &x->cap_manifests, 64);
    if (!x->manifests)
        return err_oom(e, x->n_manifests * sizeof *x->manifests, "the plan of a copy");
    x->manifests[x->n_manifests++] = m;
    return !x->options->referrers
           || (oci_copy_referrers(x, m.digest, depth, e) && oci_copy_proofs(x, m.digest, depth, e));
}

/* ---- bytes (Private) ------------------------------------------------------------------------- */

struct oci_copy_stream {
    struct oci *from;
    const struct oci_desc *d;
    struct oci_reader *r;
    uint64_t at;
    bool checked;                /* the target computes the digest of what it stores */
};

/* The reader again at this offset, if it does not stand there. */
static bool oci_copy_seek(struct oci_copy_stream *s, uint64_t offset, struct err *e) {
    if (s->r && s->at == offset) return true;
    oci_blob_close(s->r);
    s->r = oci_blob_open(s->from, s->d, offset, NULL, e);
    s->at = offset;
    if (s->r && s->checked) oci_blob_unchecked(s->r);
    return s->r != NULL;
}

static bool oci_copy_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *e) {
    struct oci_copy_stream *s = ctx;
    size_t done = 0, got = 0;
    uint8_t none;
    if (!oci_copy_seek(s, offset, e)) return false;
    while (done < n) {
        if (!oci_blob_read(s->r, (uint8_t *)p + done, n - done, &got, e)) return false;
        if (!got) return err_set(e, ERR_INTEGRITY, "a blob ends early");
        done += got;
    }
    s->at += n;                          /* at the end: the digest is looked at */
    return s->at < s->d->size_bytes || oci_blob_read(s->r, &none, 1, &got, e);
}

/* A blob of a layout on its way to a registry, which computes the digest itself. */
struct oci_copy_file { struct oci *from; const struct oci_desc *d; int fd; uint64_t at_bytes; };

static bool oci_copy_file_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *e) {
    const struct oci_copy_file *f = ctx;
    size_t got;
    if (!os_pread(f->fd, p, n, f->at_bytes + offset, &got, e)) return false;
    return got == n || err_set(e, ERR_IO, "%s has become shorter", f->from->ref.path_cstr);
}

static bool oci_copy_file_doubt(void *ctx, struct err *e) {
    const struct oci_copy_file *f = ctx;
    uint8_t piece[OCI_COPY_PIECE];
    size_t got = 1;
    struct oci_reader *r = oci_blob_open(f->from, f->d, 0, NULL, e);
    bool ok = r != NULL;
    while (ok && got) ok = oci_blob_read(r, piece, sizeof piece, &got, e);
    oci_blob_close(r);
    return ok;
}

/* *fd stays -1 where the blob is to be read as a stream. */
static bool oci_copy_file_open(struct oci *from, const struct oci_desc *d, struct oci_copy_file *f,
                               struct err *e) {
    uint64_t size_bytes = 0;
    bool found = false;
    *f = (struct oci_copy_file){ .from = from, .d = d, .fd = -1 };
    if (!oci_layout_find(from, d->digest, &found, &f->fd, &f->at_bytes, &size_bytes, e))
        return false;
    if (found && size_bytes == d->size_bytes) return true;
    if (found) os_close(f->fd);
    f->fd = -1;
    return true;
}

static void oci_copy_count(struct oci_copy *x, enum oci_stored how, uint64_t size_bytes) {
    os_mutex_lock(&x->mutex);
    x->out->n_sent += how == OCI_STORED_SENT;
    x->out->n_there += how == OCI_STORED_THERE;
    x->out->n_mounted += how == OCI_STORED_MOUNTED;
    if (how == OCI_STORED_SENT) x->out->sent_bytes += size_bytes;
    os_mutex_unlock(&x->mutex);
}

static bool oci_copy_one(void *ctx, struct oci *from, struct oci *to, size_t i, struct err *e) {
    struct oci_copy *x = ctx;
    const struct oci_desc *d = &x->blobs[i];
    struct oci_copy_stream s = { .from = from, .d = d, .checked = to->ref.kind != OCI_REGISTRY };
    struct oci_source source = { .read = oci_copy_read, .ctx = &s };
    struct oci_copy_file file = { .fd = -1 };
    enum oci_stored how = OCI_STORED_THERE;
    bool same = from->ref.kind == OCI_REGISTRY && to->ref.kind == OCI_REGISTRY
                && str_eq(from->ref.host, to->ref.host);
    uint64_t before = to->event.done_bytes;
    if (same) {
        source.siblings = &from->ref.repo;
        source.n_siblings = 1;
    }
    if (from->ref.kind != OCI_REGISTRY && to->ref.kind == OCI_REGISTRY) {
        if (!oci_copy_file_open(from, d, &file, e)) return false;
        if (file.fd >= 0)
            source = (struct oci_source){ .read = oci_copy_file_read, .doubt = oci_copy_file_doubt,
                                          .ctx = &file, .in_file = true, .fd = file.fd,
                                          .at_bytes = file.at_bytes };
    }
    to->event.what = d->digest;
    bool ok = oci_blob_put(to, d, &source, &how, e);
    oci_blob_close(s.r);
    os_close(file.fd);
    if (!ok) return err_context(e, "blob %.19s: ", d->digest.p);
    oci_copy_count(x, how, d->size_bytes);
    to->event.done_bytes = before + d->size_bytes;
    to->event.done_blobs++;
    return oci_tell(to, OCI_BLOB_DONE, e);
}

/* All manifests but that of the digest, which is given back; NULL = failed. */
static const struct oci_manifest *oci_copy_manifests(struct oci_copy *x, struct str digest,
                                                     struct err *e) {
    const struct oci_manifest *top = NULL;
    for (size_t i = 0; i < x->n_manifests; i++) {
        const struct oci_manifest *m = &x->manifests[i];
        if (str_eq(m->digest, digest)) top = m;
        else if (!oci_manifest_put(x->to, m, STR_EMPTY, e)) return NULL;
        for (size_t k = 0; k < x->n_proofs; k++)
            if (str_eq(x->proofs[k].digest, m->digest)
                && !oci_manifest_put(x->to, m, x->proofs[k].tag, e))
                return NULL;
    }
    MLXK_ASSERT(top);
    return top;
}

static bool oci_copy_move(struct oci_copy *x, struct str digest, struct str tag, struct err *e) {
    x->to->event =
        (struct oci_event){ .total_bytes = x->out->total_bytes, .total_blobs = x->n_blobs };
    if (!oci_tell(x->to, OCI_PLAN, e)) return false;
    struct oci_crew_work work = { .from = x->from,
                                  .to = x->to,
                                  .n_jobs = x->n_blobs,
                                  .run = oci_copy_one,
                                  .ctx = x,
                                  .total_bytes = x->out->total_bytes };
    os_mutex_init(&x->mutex);
    if (!oci_crew_run(&work, e)) return false;
    const struct oci_manifest *top = oci_copy_manifests(x, digest, e);
    return top && oci_manifest_put(x->to, top, tag, e);
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool oci_copy(struct arena *a, struct oci *from, struct str what, struct oci *to,
                      struct str tag, const struct oci_copy_options *options,
                      struct oci_copy_result *out, struct err *e) {
    struct oci_copy x = { .from = from, .to = to, .a = a, .options = options, .out = out };
    *out = (struct oci_copy_result){ 0 };
    map_init(&x.seen, OCI_COPY_BLOBS + OCI_COPY_MANIFESTS);
    bool ok = oci_copy_walk(&x, what, 0, &out->digest, e);
    out->n_manifests = x.n_manifests;
    out->n_blobs = x.n_blobs;
    if (ok && !options->dry_run) ok = oci_copy_move(&x, out->digest, tag, e);
    map_release(&x.seen);
    return ok;
}

#undef OCI_COPY_TEXTS
