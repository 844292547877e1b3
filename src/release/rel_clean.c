/* rel_clean.c: states that nobody needs leave a repository; releases and what refers to them stay.
 *
 * 1. A digest goes only when every tag of it is an adhoc or branch tag and nothing refers to it. So
 *    a state that was released stays, with the adhoc tag that tells its commit.
 * 2. Right before a digest is deleted the tags are read again: one that has come meanwhile keeps
 *    it.
 * 3. Blobs are never deleted: that is the registry's own garbage collection.
 */
#include "release/rel_int.h"

static bool rel_clean_is_loose(const struct rel_tag *t) {
    return t->kind == REL_TAG_ADHOC || t->kind == REL_TAG_BRANCH;
}

/* Why an entry stays; NULL = nothing keeps it. */
static const char *rel_clean_kept_by(const struct rel_entry *x) {
    for (size_t i = 0; i < x->n_tags; i++)
        if (!rel_clean_is_loose(&x->tags[i].tag))
            return x->tags[i].tag.kind == REL_TAG_OTHER ? "a tag of somebody else" : "a release";
    return NULL;
}

static bool rel_clean_is_of(const struct rel_tag *t, struct str branch) {
    return t->kind == REL_TAG_BRANCH && str_eq(t->branch, branch);
}

/* With a branch: its states only, and only those that are no other branch's as well. */
static enum rel_clean_act rel_clean_choose(const struct rel_entry *x, struct str branch) {
    bool of = false, others = false;
    if (!branch.n) return REL_CLEAN_DELETE;
    for (size_t i = 0; i < x->n_tags; i++) {
        bool mine = rel_clean_is_of(&x->tags[i].tag, branch);
        of = of || mine;
        others = others || (x->tags[i].tag.kind == REL_TAG_BRANCH && !mine);
    }
    return !of ? REL_CLEAN_KEEP : others ? REL_CLEAN_UNTAG : REL_CLEAN_DELETE;
}

MLXK_FN bool rel_clean_plan(struct arena *a, struct oci *o, struct str branch,
                            struct rel_clean *out, struct err *e) {
    *out = (struct rel_clean){ .branch = branch };
    if (!rel_list(a, o, NULL, false, &out->entries, e)) return false;
    out->acts = ARENA_ARRAY(a, struct rel_clean_item, out->entries.n + 1);
    if (!out->acts) return err_oom(e, out->entries.n, "a plan");
    for (size_t i = 0; i < out->entries.n; i++) {
        struct rel_entry *x = &out->entries.items[i];
        struct rel_clean_item *it = &out->acts[i];
        struct oci_desc *list;
        size_t n = 0;
        it->reason_cstr = rel_clean_kept_by(x);
        if (it->reason_cstr) continue;
        it->act = rel_clean_choose(x, branch);
        if (it->act == REL_CLEAN_KEEP) it->reason_cstr = "another branch";
        if (it->act != REL_CLEAN_DELETE) continue;
        if (!oci_referrers(a, o, x->digest, STR_EMPTY, &list, &n, e)) return false;
        if (!n) continue;
        it->act = REL_CLEAN_KEEP;
        it->reason_cstr = "a signature or another manifest that refers to it";
    }
    return true;
}

/* No tag has come to this digest since the plan. */
static bool rel_clean_still(struct arena *a, struct oci *o, const struct rel_entry *x, bool *still,
                            struct err *e) {
    struct oci_names now;
    *still = true;
    if (!oci_tags(a, o, &now, e)) return false;
    for (size_t i = 0; i < now.n && *still; i++) {
        struct oci_head head;
        struct rel_tag t;
        bool known = false;
        for (size_t k = 0; k < x->n_tags && !known; k++)
            known = str_eq(x->tags[k].text, now.names[i]);
        rel_tag_parse(now.names[i], STR_EMPTY, &t);
        if (known || rel_clean_is_loose(&t)) continue;   /* loose ones keep nothing */
        if (!oci_manifest_head(a, o, now.names[i], &head, e)) return false;
        *still = !head.found || !str_eq(head.digest, x->digest);
    }
    return true;
}

static bool rel_clean_untag(struct oci *o, const struct rel_entry *x, struct str branch,
                            struct err *e) {
    for (size_t i = 0; i < x->n_tags; i++)
        if (rel_clean_is_of(&x->tags[i].tag, branch)
            && !oci_untag(o, x->tags[i].text, x->digest, e))
            return false;
    return true;
}

MLXK_FN bool rel_clean_run(struct arena *a, struct oci *o, struct rel_clean *c, struct err *e) {
    for (size_t i = 0; i < c->entries.n; i++) {
        const struct rel_entry *x = &c->entries.items[i];
        struct rel_clean_item *it = &c->acts[i];
        bool still;
        if (it->act == REL_CLEAN_UNTAG && !rel_clean_untag(o, x, c->branch, e)) return false;
        if (it->act != REL_CLEAN_DELETE) continue;
        if (!rel_clean_still(a, o, x, &still, e)) return false;
        if (!still) {
            it->act = REL_CLEAN_KEEP;
            it->reason_cstr = "a tag that came meanwhile";
            continue;
        }
        if (!oci_manifest_delete(o, x->digest, e) && e->code != ERR_NOT_FOUND) return false;
        err_clear(e);
    }
    return true;
}
