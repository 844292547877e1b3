/* rel_whose.c: several models in one repository: whose a tag is, and which tags carry a name.
 *
 *   one model     v1.2.0  latest  client-v1     (and ham-client-v1, which tells its name)
 *   several       v1.2.0  ham-client-v1              the first one, as before
 *                 eggs-v0.1.0  eggs-latest  eggs-client-v0  eggs-GIT-DIRTY-CLIENT
 *
 * 1. A model's tags never change their form: who had none in front keeps none.
 * 2. What another model has tagged is never this one's base, and never moves for it.
 */
#include "release/rel_int.h"

/* What a repository's tags tell of models. */
struct rel_whose_seen {
    bool plain;                  /* releases without a name */
    struct rel_version highest;  /* of those */
    struct str tag;
    bool mine;                   /* tags of the wished name */
    struct str other;            /* one other name, or empty */
    size_t n_others;
};

static void rel_whose_look(const struct oci_names *names, struct str name,
                           struct rel_whose_seen *out) {
    *out = (struct rel_whose_seen){ .plain = false };
    for (size_t i = 0; i < names->n; i++) {
        struct rel_tag t;
        rel_tag_parse(names->names[i], STR_EMPTY, &t);
        bool release = t.kind == REL_TAG_RELEASE;
        if (!release && t.kind != REL_TAG_ADHOC) continue;
        if (!t.name.n && !release) continue;
        if (!t.name.n) {
            if (!out->plain || rel_version_cmp(&t.version, &out->highest) > 0) {
                out->highest = t.version;
                out->tag = names->names[i];
            }
            out->plain = true;
        } else if (str_eq(t.name, name)) {
            out->mine = true;
        } else if (!str_eq(t.name, out->other)) {
            out->other = t.name;
            out->n_others++;
        }
    }
}

/* The name that the client of a release without a name tells; empty: there is none. */
static bool rel_whose_owner(struct arena *a, struct oci *o, struct str tag, struct str *out,
                            struct err *e) {
    struct oci_manifest m;
    struct err none = { 0 };
    struct str client = str_concat(a, STR("client-"), tag);
    *out = STR_EMPTY;
    if (!client.p) return err_oom(e, OCI_MAX_TAG, "a tag");
    if (!oci_tag_ok(client)) return true;
    if (!oci_manifest_get(a, o, client, &m, e)) {
        if (e->code != ERR_NOT_FOUND && e->code != ERR_FORMAT) return false;
        err_clear(e);
        return true;
    }
    struct str name = oci_annotation(m.annotations, m.n_annotations, REL_KEY_NAME);
    if (name.n && rel_name_ok(name, &none)) *out = name;
    return true;
}

static bool rel_whose_refuse(const struct rel_whose_seen *s, struct err *e) {
    err_set(e, ERR_INVALID, "this repository holds several models, such as " STR_FMT,
            STR_ARG(s->other));
    return err_hint(e, "--name NAME says which one is meant");
}

MLXK_FN bool rel_whose_find(struct arena *a, struct oci *o, const struct rel_whose_wish *wish,
                            struct rel_whose *out, struct err *e) {
    struct rel_whose_seen seen;
    struct oci_names names = { NULL, 0 };
    struct str owner = STR_EMPTY;
    *out = (struct rel_whose){ wish->given.n ? wish->given : wish->otherwise, wish->named };
    if (!oci_tags(a, o, &names, e)) {
        if (e->code != ERR_NOT_FOUND) return false;
        err_clear(e);
    }
    rel_whose_look(&names, out->name, &seen);
    if (seen.mine) return out->named = true;
    if (seen.plain && !rel_whose_owner(a, o, seen.tag, &owner, e)) return false;
    bool known = wish->given.n || wish->named;
    if (!known && seen.plain) {
        if (owner.n) out->name = owner;
        return true;
    }
    if (!known && seen.n_others) return rel_whose_refuse(&seen, e);
    if (wish->named && str_eq(owner, out->name)) {
        err_set(e, ERR_INVALID, "the releases of " STR_FMT " carry no name here (" STR_FMT ")",
                STR_ARG(owner), STR_ARG(seen.tag));
        return err_hint(e, "leave out --named");
    }
    bool foreign = seen.plain ? owner.n && !str_eq(owner, out->name) : seen.n_others > 0;
    out->named = wish->named || foreign;
    return true;
}

MLXK_FN struct str rel_whose_tag(struct arena *a, const struct rel_whose *w, struct str body) {
    if (!w->named || !body.p) return body;
    return str_format(a, STR_FMT "-" STR_FMT, STR_ARG(w->name), STR_ARG(body));
}

MLXK_FN bool rel_whose_has(const struct rel_whose *w, struct str tag, struct rel_tag *out) {
    rel_tag_parse(tag, w->named ? w->name : STR_EMPTY, out);
    bool part = out->kind == REL_TAG_CLIENT || out->kind == REL_TAG_PKG
                || out->kind == REL_TAG_ALIAS;
    if (w->named) return out->kind != REL_TAG_OTHER;
    return !out->name.n || (part && str_eq(out->name, w->name));
}

MLXK_FN bool rel_whose_range(struct str text, struct str *name, struct rel_range *out) {
    struct err none = { 0 };
    *name = STR_EMPTY;
    if (rel_range_parse(text, out)) return true;
    for (size_t i = 1; i + 1 < text.n; i++) {
        if (text.p[i] != '-' || !rel_range_parse(str_sub(text, i + 1, text.n), out)) continue;
        *name = str_sub(text, 0, i);
        return rel_name_ok(*name, &none);
    }
    return false;
}
