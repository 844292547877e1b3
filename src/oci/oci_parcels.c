/* oci_parcels.c: files and texts as blobs into one place, several at once.
 *
 * Digests are known before; the file is read by the system alone where that is possible (in_file
 * of oci_source). When the taker finds another digest, the file is hashed once more, to tell a file
 * that was changed on its way from a taker that errs. Blobs only: the manifest is the caller's.
 */
#include "oci/oci_int.h"

enum { OCI_PARCEL_PIECE = 1 << 16 };

struct oci_parcels {
    const struct oci_parcel *list;
    const size_t *first;         /* places in list, no two with the same digest */
    struct oci_sent *out;
    struct os_mutex mutex;       /* of *out */
};
struct oci_parcel_file { const struct oci_parcel *p; int fd; };

/* ---- a file (Private) ------------------------------------------------------------------------ */

static bool oci_parcel_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *e) {
    const struct oci_parcel_file *x = ctx;
    size_t got;
    if (!os_pread(x->fd, p, n, offset, &got, e)) return false;
    return got == n || err_set(e, ERR_INTEGRITY, "the file became shorter while it was sent");
}

static bool oci_parcel_doubt(void *ctx, struct err *e) {
    const struct oci_parcel_file *x = ctx;
    struct oci_hash hash;
    struct err other = { 0 };
    uint8_t piece[OCI_PARCEL_PIECE];
    size_t got = 1;
    oci_hash_begin(&hash, x->p->desc->digest);
    for (uint64_t at = 0; got; at += got) {
        if (!os_pread(x->fd, piece, sizeof piece, at, &got, e)) return false;
        oci_hash_add(&hash, piece, got);
    }
    return oci_hash_check(&hash, x->p->desc->digest, &other)
           || err_set(e, ERR_INTEGRITY, "the file was changed while it was sent");
}

static bool oci_parcel_file_put(const struct oci_parcel *p, struct oci *to, enum oci_stored *how,
                                struct err *e) {
    struct oci_parcel_file x = { .p = p, .fd = os_open(p->file_cstr, OS_READ, e) };
    struct oci_source source = { .read = oci_parcel_read, .doubt = oci_parcel_doubt, .ctx = &x,
                                 .in_file = true, .fd = x.fd };
    if (x.fd < 0) return false;
    bool ok = oci_blob_put(to, p->desc, &source, how, e) || err_context(e, "%s: ", p->file_cstr);
    os_close(x.fd);
    return ok;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool oci_parcel_put(void *ctx, struct oci *none, struct oci *to, size_t i, struct err *e) {
    struct oci_parcels *x = ctx;
    const struct oci_parcel *p = &x->list[x->first[i]];
    enum oci_stored how = OCI_STORED_THERE;
    uint64_t before = to->event.done_bytes, n = p->desc->size_bytes;
    (void)none;
    to->event.what = p->desc->digest;
    bool ok = p->file_cstr ? oci_parcel_file_put(p, to, &how, e)
                           : oci_text_put(to, p->desc, p->text, e);
    if (!ok) return false;
    os_mutex_lock(&x->mutex);
    x->out->n_sent += how == OCI_STORED_SENT;
    x->out->sent_bytes += how == OCI_STORED_SENT ? n : 0;
    os_mutex_unlock(&x->mutex);
    to->event.done_bytes = before + n;
    to->event.done_blobs++;
    return oci_tell(to, OCI_BLOB_DONE, e);
}

MLXK_FN bool oci_parcels_put(struct arena *a, struct oci *to, const struct oci_parcel *list,
                             size_t n, struct oci_sent *out, struct err *e) {
    struct oci_parcels x = { .list = list, .out = out };
    struct oci_crew_work work = { .to = to, .run = oci_parcel_put, .ctx = &x };
    struct map seen;
    bool ok = true, is_new;
    size_t *first = ARENA_ARRAY(a, size_t, n + 1);
    *out = (struct oci_sent){ 0 };
    if (!first) return err_oom(e, n * sizeof *first, "an upload");
    x.first = first;
    map_init(&seen, OCI_MAX_LAYERS + 1);
    for (size_t i = 0; ok && i < n; i++) {
        ok = map_put(&seen, list[i].desc->digest, &is_new) || err_oom(e, n * 32, "an upload");
        if (!ok || !is_new) continue;
        first[work.n_jobs++] = i;
        work.total_bytes += list[i].desc->size_bytes;
    }
    map_release(&seen);
    os_mutex_init(&x.mutex);
    to->event = (struct oci_event){ .total_bytes = work.total_bytes, .total_blobs = work.n_jobs };
    return ok && oci_tell(to, OCI_PLAN, e) && oci_crew_run(&work, e);
}
