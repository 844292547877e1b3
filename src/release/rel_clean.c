/* rel_clean.c: states that nobody needs leave a repository; releases and what refers to them stay.
 *
 * 1. A digest goes only when every tag of it is an adhoc or branch tag and nothing refers to it. So
 *    a state that was released stays, with the adhoc tag that tells its commit.
 * 2. Right before a digest is deleted the tags are read again: one that has come meanwhile keeps
 *    it.
 * 3. Where ages count, a state of which nobody knows the age stays.
 * 4. Blobs are never deleted: that is the registry's own garbage collection.
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

/* A tag of the branch, of the model where one was named. */
static bool rel_clean_is_of(const struct rel_named *n, const struct rel_clean_wish *w) {
    struct rel_tag t = n->tag;
    if (w->whose.name.n && !rel_whose_has(&w->whose, n->text, &t)) return false;
    return t.kind == REL_TAG_BRANCH && str_eq(t.branch, w->branch);
}

/* With a branch: its states only, and only those that are no other branch's as well. */
static enum rel_clean_act rel_clean_choose(const struct rel_entry *x,
                                           const struct rel_clean_wish *w) {
    bool of = false, others = false;
    if (!w->branch.n) return REL_CLEAN_DELETE;
    for (size_t i = 0; i < x->n_tags; i++) {
        bool mine = rel_clean_is_of(&x->tags[i], w);
        of = of || mine;
        others = others || (x->tags[i].tag.kind == REL_TAG_BRANCH && !mine);
    }
    return !of ? REL_CLEAN_KEEP : others ? REL_CLEAN_UNTAG : REL_CLEAN_DELETE;
}

static bool rel_clean_is_others(const struct rel_entry *x, const struct rel_clean_wish *w) {
    struct rel_tag t;
    if (!w->whose.name.n) return false;
    for (size_t i = 0; i < x->n_tags; i++)
        if (!rel_whose_has(&w->whose, x->tags[i].text, &t)) return true;
    return false;
}

static bool rel_clean_is_locked(const struct rel_entry *x, const struct rel_clean_wish *w) {
    for (size_t i = 0; i < w->n_keep; i++)
        if (str_eq(w->keep[i], x->digest)) return true;
    return false;
}

static void rel_clean_keep(struct rel_clean_item *it, const char *reason_cstr) {
    it->act = REL_CLEAN_KEEP;
    it->reason_cstr = reason_cstr;
}

/* How many states of the same branch are newer; of two of one moment the first counts as newer. */
static size_t rel_clean_newer(const struct rel_clean *p, size_t at, struct str branch) {
    size_t n = 0;
    for (size_t i = 0; i < p->entries.n; i++) {
        const struct rel_entry *x = &p->entries.items[i];
        const struct rel_clean_item *it = &p->acts[i];
        bool newer = it->time_s > p->acts[at].time_s
                     || (it->time_s == p->acts[at].time_s && i < at);
        bool same = false, any = false;
        if (i == at || !it->has_time || !newer || rel_clean_kept_by(x)) continue;
        for (size_t k = 0; k < x->n_tags; k++) {
            any = any || x->tags[k].tag.kind == REL_TAG_BRANCH;
            same = same || (x->tags[k].tag.kind == REL_TAG_BRANCH
                            && str_eq(x->tags[k].tag.branch, branch));
        }
        n += branch.n ? same : !any;
    }
    return n;
}

/* Among the newest of one of its branches; a state of no branch counts with its like. */
static bool rel_clean_is_new(const struct rel_clean *p, size_t at) {
    const struct rel_entry *x = &p->entries.items[at];
    bool any = false;
    for (size_t k = 0; k < x->n_tags; k++) {
        const struct rel_tag *t = &x->tags[k].tag;
        if (t->kind != REL_TAG_BRANCH) continue;
        any = true;
        if (rel_clean_newer(p, at, t->branch) < p->wish->newest) return true;
    }
    return !any && rel_clean_newer(p, at, STR_EMPTY) < p->wish->newest;
}

/* Ages first: which are the newest depends on all of them. */
static bool rel_clean_ages(struct arena *a, struct oci *o, struct rel_clean *p, struct err *e) {
    const struct rel_clean_wish *w = p->wish;
    if (!w->newest && !w->older_than_s) return true;
    for (size_t i = 0; i < p->entries.n; i++) {
        struct rel_clean_item *it = &p->acts[i];
        if (it->reason_cstr) continue;
        if (!rel_age_of(a, o, &p->entries.items[i], w->git_dir_cstr, &it->time_s, &it->has_time, e))
            return false;
    }
    for (size_t i = 0; i < p->entries.n; i++) {
        struct rel_clean_item *it = &p->acts[i];
        if (it->reason_cstr) continue;
        if (!it->has_time) rel_clean_keep(it, "nobody knows how old it is");
        else if (w->older_than_s && it->time_s > w->now_s - w->older_than_s)
            rel_clean_keep(it, "it is young");
        else if (w->newest && rel_clean_is_new(p, i))
            rel_clean_keep(it, "it is one of the newest");
    }
    return true;
}

static void rel_clean_candidates(struct rel_clean *p) {
    for (size_t i = 0; i < p->entries.n; i++) {
        const struct rel_entry *x = &p->entries.items[i];
        struct rel_clean_item *it = &p->acts[i];
        it->reason_cstr = rel_clean_kept_by(x);
        if (it->reason_cstr) continue;
        it->act = rel_clean_choose(x, p->wish);
        if (it->act == REL_CLEAN_KEEP) rel_clean_keep(it, "another branch");
        else if (rel_clean_is_others(x, p->wish)) rel_clean_keep(it, "another model");
        else if (rel_clean_is_locked(x, p->wish)) rel_clean_keep(it, "a lock file");
    }
}

MLXK_FN bool rel_clean_plan(struct arena *a, struct oci *o, const struct rel_clean_wish *wish,
                            struct rel_clean *out, struct err *e) {
    *out = (struct rel_clean){ .wish = wish };
    if (!rel_list(a, o, NULL, false, &out->entries, e)) return false;
    out->acts = ARENA_ARRAY(a, struct rel_clean_item, out->entries.n + 1);
    if (!out->acts) return err_oom(e, out->entries.n, "a plan");
    rel_clean_candidates(out);
    if (!rel_clean_ages(a, o, out, e)) return false;
    for (size_t i = 0; i < out->entries.n; i++) {
        struct oci_desc *list;
        size_t n = 0;
        if (out->acts[i].act != REL_CLEAN_DELETE) continue;
        if (!oci_referrers(a, o, out->entries.items[i].digest, STR_EMPTY, &list, &n, e))
            return false;
        if (n) rel_clean_keep(&out->acts[i], "a signature or another manifest that refers to it");
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

static bool rel_clean_untag(struct oci *o, const struct rel_entry *x,
                            const struct rel_clean_wish *w, struct err *e) {
    for (size_t i = 0; i < x->n_tags; i++)
        if (rel_clean_is_of(&x->tags[i], w)
            && !oci_untag(o, x->tags[i].text, x->digest, e))
            return false;
    return true;
}

MLXK_FN bool rel_clean_run(struct arena *a, struct oci *o, struct rel_clean *c, struct err *e) {
    for (size_t i = 0; i < c->entries.n; i++) {
        const struct rel_entry *x = &c->entries.items[i];
        struct rel_clean_item *it = &c->acts[i];
        bool still;
        if (it->act == REL_CLEAN_UNTAG && !rel_clean_untag(o, x, c->wish, e)) return false;
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
