/* rel_claim.c: of several runs that release different contents of one model, one goes on: numbers
 * are given and aliases moved by one at a time.
 *
 *   put the own claim -> read all tags -> no other claim of this model: go on
 *                                      -> others: the one whose name comes first waits until they
 *                                         are gone, the others withdraw
 *
 * Registries cannot compare and swap, but whoever puts a claim before reading the list and goes on
 * only when no other stands there goes on alone: of two, the later reader sees the earlier claim.
 *
 * 1. A claim is a small manifest of its own under the tag "claim.<hash of the model>.<hash of the
 *    content>"; it is deleted by its digest, so that no tag of a state or release is touched.
 * 2. A claim that does not go away within the patience is that of a run that was killed: it is
 *    deleted. (A run that sleeps longer than that between its claim and its last tag can meet
 *    another one; the tag is read again before and after it is put.)
 * 3. Where nothing can be deleted there are no claims: the tag is looked at right before it is put
 *    and read again behind it, and that is all.
 * 4. In a layout a lock does it: a file that goes with it.
 * ref: distribution 1.1; Lamport, "A new solution of Dijkstra's concurrent programming problem".
 */
#include "release/rel_int.h"

enum { REL_CLAIM_POLL_MS = 100, REL_CLAIM_HEX = 16 };

static bool rel_claim_make(struct arena *a, struct rel_claim *c,
                           const struct rel_whose *whose, struct str digest, struct err *e) {
    struct oci_pair *notes = ARENA_ARRAY(a, struct oci_pair, 2);
    struct oci_desc *layer = ARENA_NEW(a, struct oci_desc);
    struct str line = rel_whose_tag(a, whose, STR("latest")), of = oci_digest_of(a, line);
    if (!notes || !layer || !line.p || !of.p) return err_oom(e, 256, "a claim");
    *layer = oci_desc_empty();
    notes[0] = (struct oci_pair){ STR("dev.mlxk.claim"), line };
    notes[1] = (struct oci_pair){ STR("dev.mlxk.digest"), digest };
    c->manifest = (struct oci_manifest){ .artifact_type = STR(OCI_TYPE_TOMBSTONE), .config = *layer,
                                         .layers = layer, .n_layers = 1, .annotations = notes,
                                         .n_annotations = 2 };
    c->prefix = str_format(a, "claim.%.*s.", (int)REL_CLAIM_HEX, oci_digest_hex(of).p);
    c->tag = str_format(a, STR_FMT "%.*s", STR_ARG(c->prefix), (int)REL_CLAIM_HEX,
                        oci_digest_hex(digest).p);
    return c->tag.p ? oci_manifest_make(a, &c->manifest, e) : err_oom(e, 64, "a claim");
}

/* Does this place delete manifests? One that cannot be there is asked for. */
static bool rel_claim_possible(struct oci *o) {
    static const char nobody[] = "sha256:"
                                 "0000000000000000000000000000000000000000000000000000000000000000";
    struct err why = { 0 };
    return oci_manifest_delete(o, str_cstr(nobody), &why) || why.code == ERR_NOT_FOUND;
}

/* Other claims of the model; the first of them in `first`, empty when there is none. */
static bool rel_claim_others(struct arena *a, struct oci *o, const struct rel_claim *c,
                             struct str *first, struct err *e) {
    struct oci_names now;
    *first = STR_EMPTY;
    if (!oci_tags(a, o, &now, e)) return false;
    for (size_t i = 0; i < now.n && !first->n; i++)
        if (str_starts(now.names[i], c->prefix) && !str_eq(now.names[i], c->tag))
            *first = now.names[i];
    return true;
}

static bool rel_claim_bury(struct arena *a, struct oci *o, struct str tag, struct err *e) {
    struct oci_head head;
    if (!oci_manifest_head(a, o, tag, &head, e)) return false;
    if (!head.found || oci_manifest_delete(o, head.digest, e)) return true;
    if (e->code != ERR_NOT_FOUND) return false;
    err_clear(e);
    return true;
}

MLXK_FN void rel_claim_drop(struct oci *o, struct rel_claim *c) {
    struct err none = { 0 };
    if (c->locked) {
        (void)os_unlink(c->lock.path, &none);
        os_lock_release(&c->lock);
        c->locked = false;
    }
    if (c->held) (void)oci_manifest_delete(o, c->manifest.digest, &none);
    c->held = false;
}

static bool rel_claim_put(struct oci *o, struct rel_claim *c, struct err *e) {
    struct oci_desc empty = oci_desc_empty();
    c->held = oci_text_put(o, &empty, STR("{}"), e)
              && oci_manifest_put(o, &c->manifest, c->tag, e);
    return c->held;
}

static bool rel_claim_wait(struct oci *o, struct rel_claim *c, struct str other,
                           struct err *e) {
    if (!c->told) log_write(LOG_WARN, "somebody else is releasing here: waiting");
    c->told = true;
    if (str_cmp(other, c->tag) < 0) rel_claim_drop(o, c);      /* theirs comes first */
    os_sleep_ms(REL_CLAIM_POLL_MS);
    return !os_interrupted() || err_set(e, ERR_INTERRUPTED, "stopped by the user");
}

MLXK_FN bool rel_claim_lock(struct arena *a, const char *dir_cstr, struct rel_claim *c,
                            struct err *e) {
    char *path = os_path_join(a, dir_cstr, "oci-layout.release");
    *c = (struct rel_claim){ 0 };
    c->locked = path ? os_lock_acquire(&c->lock, path, -1, e) : err_oom(e, LIMIT_PATH, "a path");
    return c->locked;
}

MLXK_FN bool rel_claim_take(struct arena *a, struct oci *o, const struct rel_whose *whose,
                            struct str digest, int64_t patience_ms, struct rel_claim *c,
                            struct err *e) {
    bool ok, stale = false;
    *c = (struct rel_claim){ 0 };
    if (!rel_claim_possible(o)) return true;
    ok = rel_claim_make(a, c, whose, digest, e) && rel_claim_put(o, c, e);
    for (int64_t until_ns = os_now_ns() + patience_ms * 1000000; ok;) {
        struct str other;
        ok = rel_claim_others(a, o, c, &other, e);
        if (ok && other.n && os_now_ns() < until_ns) {
            ok = rel_claim_wait(o, c, other, e);
        } else if (ok && other.n) {                            /* of a run that was killed */
            ok = stale = rel_claim_bury(a, o, other, e);
        } else if (ok && c->held) {
            return true;
        } else if (ok && stale) {
            ok = rel_claim_put(o, c, e);
            until_ns = os_now_ns() + patience_ms * 1000000;
            stale = false;
        } else if (ok) {
            ok = err_set(e, ERR_EXISTS, "somebody else was releasing here at the same time");
            err_hint(e, "the same command once more looks what is there, and takes the next one");
        }
    }
    rel_claim_drop(o, c);
    return false;
}

MLXK_FN bool rel_claim_stands(struct arena *a, struct oci *o, const struct rel_whose *whose,
                              struct str digest, bool *stands, struct err *e) {
    struct rel_claim c = { 0 };
    struct oci_head head;
    if (!rel_claim_make(a, &c, whose, digest, e) || !oci_manifest_head(a, o, c.tag, &head, e))
        return false;
    *stands = head.found;
    return true;
}
