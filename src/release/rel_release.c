/* rel_release.c: the next version of a state: its base found, the number derived, a free tag
 * chosen.
 *
 *   releases in git's tags and in the repository -> nearest ancestor; none: the nearest by content
 *   base -> what moved -> which number -> -BRANCH off the main branch -> the next one that is free
 *
 * 1. Nothing is written here: the plan says what would be.
 * 2. A version that stands there with the same digest is success; with another one it is passed
 *    over, or, where a person asked for just this one, refused.
 * 3. A release that a kill left half done is finished by the next run, under the same number.
 */
#include "release/rel_int.h"

static void rel_plan_drop(struct rel_known_list *l, size_t at) {
    memmove(l->items + at, l->items + at + 1, (l->n - at - 1) * sizeof *l->items);
    l->n--;
}

/* A registry makes a repository when something is stored in it: none is as good as an empty one. */
static bool rel_plan_list(struct arena *a, struct oci *o, struct rel_plan *p, struct err *e) {
    if (rel_list(a, o, &p->whose, true, &p->entries, e)) return true;
    if (e->code != ERR_NOT_FOUND) return false;
    err_clear(e);
    p->entries = (struct rel_entries){ 0 };
    return true;
}

/* Git's tag tells of a release in this repository, whose number has another content there: the run
 * that made the tag did not come to its end, and somebody else took the number. */
static bool rel_plan_is_stale(const struct rel_plan *p, const struct rel_known *k,
                              struct str repo) {
    if (!k->from_git || !k->digest.n || !str_eq(k->repo, repo)) return false;
    for (size_t i = 0; i < p->entries.n; i++) {
        const struct rel_entry *x = &p->entries.items[i];
        if (str_eq(x->digest, k->digest)) continue;
        for (size_t n = 0; n < x->n_tags; n++)
            if (x->tags[n].tag.kind == REL_TAG_RELEASE
                && rel_version_cmp(&x->tags[n].tag.version, &k->version) == 0)
                return true;
    }
    return false;
}

/* The closest release whose hashes are known; those of the repository are asked for when needed. */
static bool rel_plan_base(struct arena *a, struct oci *o, struct rel_plan *p,
                          const struct rel_state *s, const struct rel_choice *choice,
                          struct err *e) {
    bool read = false, git_tags = !choice->no_git_tags;
    if (git_tags && !rel_git_releases(a, &p->origin, p->whose.name, &p->known, e)) return false;
    if (!rel_list_known(a, &p->entries, &p->known, e)) return false;
    for (;;) {
        if (!rel_closest_find(a, &p->origin, s, &p->known, &p->closest, e)) return false;
        struct rel_known *base = &p->known.items[p->closest.index];
        if (p->closest.how != REL_CLOSEST_NONE) {
            if (rel_plan_is_stale(p, base, choice->repo)) {
                rel_plan_drop(&p->known, p->closest.index);
                continue;
            }
            if (!base->has_hash && !rel_known_read(a, o, &p->entries, base, e)) return false;
            p->base = base;
            if (base->has_hash) return true;
            rel_plan_drop(&p->known, p->closest.index);
            p->base = NULL;
            continue;
        }
        if (read) return true;
        for (size_t i = 0; i < p->known.n; i++)
            if (!rel_known_read(a, o, &p->entries, &p->known.items[i], e)) return false;
        read = true;
    }
}

/* Is the tag of this version free, or ours already? */
static bool rel_plan_look(struct arena *a, struct oci *o, struct rel_plan *p, struct oci_head *head,
                          struct err *e) {
    p->tag = rel_whose_tag(a, &p->whose, rel_version_text(a, &p->version));
    if (!p->tag.p) return err_oom(e, 64, "a version");
    if (!oci_tag_ok(p->tag))
        return err_set(e, ERR_INVALID, STR_FMT " is too long for a tag", STR_ARG(p->tag));
    if (!oci_manifest_head(a, o, p->tag, head, e)) return false;
    p->there = head->found && str_eq(head->digest, p->digest);
    return true;
}

static bool rel_plan_explicit(struct arena *a, struct oci *o, struct rel_plan *p, struct str wanted,
                              struct err *e) {
    struct oci_head head;
    if (!rel_version_parse(wanted, &p->version)) {
        err_set(e, ERR_INVALID, "'" STR_FMT "' is no version", STR_ARG(str_sub(wanted, 0, 64)));
        return err_hint(e, "a version is vX.Y.Z, or vX.Y.Z-BRANCH");
    }
    if (!rel_plan_look(a, o, p, &head, e)) return false;
    if (!head.found || p->there) return true;
    err_set(e, ERR_EXISTS, STR_FMT " is there already, with another content (" STR_FMT ")",
            STR_ARG(p->tag), STR_ARG(str_sub(head.digest, 0, 19)));
    return err_hint(e, "a release never moves; leave out --version to get the next one");
}

static bool rel_plan_free(struct arena *a, struct oci *o, struct rel_plan *p, struct str branch,
                          struct err *e) {
    enum rel_bump step = p->decision.bump == REL_BUMP_NONE ? REL_BUMP_MINOR : p->decision.bump;
    struct oci_head head;
    for (;;) {
        p->version.branch = branch;
        if (!rel_plan_look(a, o, p, &head, e)) return false;
        if (!head.found || p->there) return true;
        if (++p->n_passed > REL_MAX_PASSED) {
            err_set(e, ERR_LIMIT, "more than %d versions up to " STR_FMT " are there already",
                    (int)REL_MAX_PASSED, STR_ARG(p->tag));
            return err_hint(e, "--version vX.Y.Z says which one it is to be");
        }
        if (!rel_version_next(&p->version, step, &p->version, e)) return false;
    }
}

static bool rel_plan_refuse(const struct rel_plan *p, struct arena *a, struct err *e) {
    const struct rel_moves *m = &p->decision.moved;
    struct str base = rel_version_text(a, &p->base->version);
    if (p->decision.verdict == REL_SAME) {
        err_set(e, ERR_UNCHANGED, "nothing to release: this is " STR_FMT " (" STR_FMT ")",
                STR_ARG(base), STR_ARG(str_sub(p->digest, 0, 19)));
        return err_hint(e, "--force-major makes a release of it all the same");
    }
    if (p->decision.verdict == REL_DOCS_ONLY) {
        err_set(e, ERR_DOCS_ONLY, "nothing to release: since " STR_FMT " only %s differ",
                STR_ARG(base), m->docs ? "docs" : "bytes that mean the same");
        return err_hint(e, "--patch makes a patch release of them");
    }
    err_set(e, ERR_INVALID, "no patch of " STR_FMT ": %s%s%s changed", STR_ARG(base),
            m->iface ? "the interface" : "", m->iface && (m->logic || m->weights) ? " and " : "",
            m->logic && m->weights ? "logic and weights"
            : m->logic             ? "logic"
            : m->weights           ? "weights"
                                   : "");
    return err_hint(e, "a patch breaks nobody; without --patch this is a %s release",
                    m->iface ? "major" : "minor");
}

static bool rel_plan_is_base(const struct rel_plan *p) {
    const struct rel_moves *m = &p->decision.moved;
    return p->base && !m->iface && !m->logic && !m->weights && !m->docs && !m->bytes;
}

/* A run that ended between the tags of a release (git's, its own, the aliases), or before it
 * dropped its claim, left the rest undone: then this version is planned again, with the tags that
 * are missing. Git's tag comes first: where it names this repository, the release was under way. */
static bool rel_plan_unfinished(struct arena *a, struct oci *o, struct rel_plan *p,
                                const struct rel_choice *choice, bool force_major, bool *unfinished,
                                struct err *e) {
    struct oci_head head;
    bool tagged = !choice->git_tag || force_major;
    *unfinished = false;
    p->version = p->base->version;
    if (!rel_plan_look(a, o, p, &head, e)) return false;
    if (!head.found && p->base->from_git && str_eq(p->base->repo, choice->repo))
        return *unfinished = true;
    if (!p->there) return true;
    for (size_t i = 0; i < p->known.n && !tagged; i++)
        tagged = p->known.items[i].from_git
                 && rel_version_cmp(&p->known.items[i].version, &p->version) == 0;
    *unfinished = !tagged;
    if (!rel_plan_aliases(a, NULL, p, e)) return false;
    for (size_t i = 0; i < p->n_aliases && !*unfinished; i++) {
        if (!oci_manifest_head(a, o, p->aliases[i], &head, e)) return false;
        *unfinished = !head.found || !str_eq(head.digest, p->digest);
    }
    return *unfinished || rel_claim_stands(a, o, &p->whose, p->digest, unfinished, e);
}

MLXK_FN bool rel_plan_make(struct arena *a, struct oci *o, const struct rel_package *pack,
                           const struct rel_wish *wish, const struct rel_choice *choice,
                           struct rel_plan *p, struct err *e) {
    struct str branch = p->origin.on_main || choice->force_main ? STR_EMPTY : p->origin.branch_tag;
    p->digest = pack->manifest.digest;
    if (!rel_plan_list(a, o, p, e)
        || !rel_plan_base(a, o, p, pack->state, choice, e))
        return false;
    struct str base_digest = p->base ? p->base->digest : STR_EMPTY;
    p->decision = rel_decide(p->base ? &p->base->hash : NULL, base_digest, &pack->state->hash,
                             p->digest, wish);
    if (choice->version.n) return rel_plan_explicit(a, o, p, choice->version, e);
    bool promoted = p->decision.verdict == REL_SAME && p->base->version.branch.n && !branch.n,
         unfinished = false;
    if (!promoted && rel_plan_is_base(p)
        && !rel_plan_unfinished(a, o, p, choice, wish->force_major, &unfinished, e))
        return false;
    if (unfinished) {
        p->decision.bump = REL_BUMP_NONE;
        return true;
    }
    if (p->decision.verdict > REL_NEXT && !promoted) return rel_plan_refuse(p, a, e);
    if (!p->base) p->version = (struct rel_version){ 0, 1, 0, STR_EMPTY };
    else if (!rel_version_next(&p->base->version, p->decision.bump, &p->version, e)) return false;
    return rel_plan_free(a, o, p, branch, e);
}

/* ---- aliases ---- */

/* Is it the highest release of those that the alias stands for? */
static bool rel_alias_leads(const struct rel_plan *p, const struct rel_range *r) {
    for (size_t i = 0; i < p->entries.n; i++) {
        const struct rel_entry *x = &p->entries.items[i];
        for (size_t k = 0; k < x->n_tags; k++) {
            const struct rel_tag *t = &x->tags[k].tag;
            if (t->kind == REL_TAG_RELEASE && rel_range_has(r, &t->version)
                && rel_version_cmp(&t->version, &p->version) > 0)
                return false;
        }
    }
    return true;
}

MLXK_FN bool rel_plan_aliases(struct arena *a, struct oci *o, struct rel_plan *p, struct err *e) {
    p->n_aliases = 0;
    if (o && !rel_plan_list(a, o, p, e)) return false;
    if (p->version.branch.n) return true;
    struct str names[] = { STR("latest"), str_format(a, "v%u", (unsigned)p->version.major),
                           str_format(a, "v%u.%u", (unsigned)p->version.major,
                                      (unsigned)p->version.minor) };
    for (size_t i = 0; i < MLXK_COUNT(names); i++) {
        struct rel_range r;
        struct str tag = rel_whose_tag(a, &p->whose, names[i]);
        if (!tag.p) return err_oom(e, 32, "a tag");
        if (rel_range_parse(names[i], &r) && rel_alias_leads(p, &r))
            p->aliases[p->n_aliases++] = tag;
    }
    return true;
}

MLXK_FN struct str rel_plan_message(struct arena *a, const struct rel_plan *p,
                                    const struct rel_hashes *h, struct str repo) {
    return str_format(a,
                      STR_FMT " " STR_FMT "\n\nrepository " STR_FMT "\ndigest " STR_FMT
                              "\ninterface %s\nlogic %s\nweights %s\ndocs %s\n",
                      STR_ARG(p->whose.name), STR_ARG(rel_version_text(a, &p->version)),
                      STR_ARG(repo), STR_ARG(p->digest),
                      h->iface, h->logic, h->weights, h->docs);
}
