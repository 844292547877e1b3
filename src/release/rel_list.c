/* rel_list.c: what versions a repository has: its tags read, put together by digest.
 *
 * 1. Tags that fit no rule are listed as "other" and never touched.
 */
#include "release/rel_int.h"

static int rel_entry_compare(const struct rel_entry *x, const struct rel_entry *y) {
    if (x->has_version != y->has_version) return x->has_version ? -1 : 1;
    int name = str_cmp(x->name, y->name);
    if (x->has_version && name) return name;
    if (x->has_version) return rel_version_cmp(&y->version, &x->version);
    return str_cmp(x->tags[0].text, y->tags[0].text);
}

static void rel_entries_sort(struct rel_entry *p, size_t n) {
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            struct rel_entry x = p[i];
            size_t k = i;
            for (; k >= gap && rel_entry_compare(&p[k - gap], &x) > 0; k -= gap) p[k] = p[k - gap];
            p[k] = x;
        }
}

static bool rel_entry_tag(struct arena *a, struct rel_entry *x, struct str text,
                          const struct rel_tag *t, struct err *e) {
    struct rel_named *grown = ARENA_GROW(a, struct rel_named, x->tags, x->n_tags, &x->cap_tags, 4);
    if (!grown) return err_oom(e, (x->n_tags + 1) * sizeof *grown, "a list of tags");
    x->tags = grown;
    x->tags[x->n_tags++] = (struct rel_named){ text, *t };
    int name = x->has_version ? str_cmp(t->name, x->name) : -1;
    bool higher = name < 0 || (name == 0 && rel_version_cmp(&t->version, &x->version) > 0);
    if (t->kind == REL_TAG_RELEASE && higher) {
        x->has_version = true;
        x->version = t->version;
        x->name = t->name;
    }
    if (t->kind == REL_TAG_ADHOC && !str_eq(t->git, STR("nogit"))) x->git = t->git;
    if (t->client.n) x->client = t->client;
    return true;
}

static bool rel_list_one(struct arena *a, struct oci *o, struct map *index, struct str text,
                         const struct rel_tag *t, struct rel_entries *out, struct err *e) {
    struct oci_head head;
    bool is_new;
    if (!oci_manifest_head(a, o, text, &head, e)) return false;
    if (!head.found) return true;                /* removed meanwhile */
    uint64_t *at = map_put(index, head.digest, &is_new);
    if (!at) return err_oom(e, out->n, "a list of versions");
    if (is_new) {
        *at = out->n;
        out->items[out->n++] = (struct rel_entry){ .digest = head.digest };
    }
    return rel_entry_tag(a, &out->items[*at], text, t, e);
}

MLXK_FN bool rel_list(struct arena *a, struct oci *o, const struct rel_whose *of,
                      bool releases_only, struct rel_entries *out, struct err *e) {
    struct oci_names names;
    struct map index;
    *out = (struct rel_entries){ 0 };
    if (!oci_tags(a, o, &names, e)) return false;
    out->items = ARENA_ARRAY(a, struct rel_entry, names.n + 1);
    if (!out->items) return err_oom(e, names.n * sizeof *out->items, "a list of versions");
    map_init(&index, OCI_MAX_TAGS);
    bool ok = true;
    for (size_t i = 0; ok && i < names.n; i++) {
        struct rel_tag t;
        if (of && !rel_whose_has(of, names.names[i], &t)) continue;
        if (!of) rel_tag_parse(names.names[i], STR_EMPTY, &t);
        bool wanted = !releases_only || t.kind == REL_TAG_RELEASE || t.kind == REL_TAG_ADHOC;
        if (wanted) ok = rel_list_one(a, o, &index, names.names[i], &t, out, e);
    }
    map_release(&index);
    rel_entries_sort(out->items, out->n);
    return ok;
}

/* Size and hashes of an entry, from its manifest; ours or not. */
MLXK_FN bool rel_entry_read(struct arena *a, struct oci *o, struct rel_entry *x, struct err *e) {
    if (x->read) return true;
    if (!oci_manifest_get(a, o, x->digest, &x->manifest, e)) return false;
    x->read = true;
    x->has_hash = rel_manifest_hashes(&x->manifest, &x->hash);
    x->size_bytes = x->manifest.config.size_bytes;
    for (size_t i = 0; i < x->manifest.n_layers; i++)
        x->size_bytes += x->manifest.layers[i].size_bytes;
    return true;
}

MLXK_FN bool rel_list_known(struct arena *a, const struct rel_entries *entries,
                            struct rel_known_list *list, struct err *e) {
    for (size_t i = 0; i < entries->n; i++) {
        const struct rel_entry *x = &entries->items[i];
        struct rel_known k = { .version = x->version, .digest = x->digest };
        if (!x->has_version) continue;
        if (!rel_known_add(a, list, &k, e)) return false;
        for (size_t n = 0; n < x->n_tags; n++) {         /* the same content at several commits */
            const struct rel_tag *t = &x->tags[n].tag;
            if (t->kind != REL_TAG_ADHOC || str_eq(t->git, STR("nogit"))) continue;
            k.commit = t->git;
            if (!rel_known_add(a, list, &k, e)) return false;
        }
    }
    return true;
}

MLXK_FN bool rel_known_read(struct arena *a, struct oci *o, struct rel_entries *entries,
                            struct rel_known *k, struct err *e) {
    struct rel_entry *x = NULL;
    for (size_t i = 0; i < entries->n && !x; i++)
        if (entries->items[i].has_version
            && rel_version_cmp(&entries->items[i].version, &k->version) == 0)
            x = &entries->items[i];
    if (!x) return true;
    if (!rel_entry_read(a, o, x, e)) return false;
    k->digest = x->digest;
    k->hash = x->hash;
    k->has_hash = x->has_hash;
    k->n_blobs = 0;
    k->blobs = ARENA_ARRAY(a, struct rel_blob, x->manifest.n_layers + 1);
    if (!k->blobs) return err_oom(e, x->manifest.n_layers, "a list of files");
    for (size_t n = 0; n < x->manifest.n_layers; n++)
        k->blobs[k->n_blobs++] = (struct rel_blob){ oci_digest_hex(x->manifest.layers[n].digest),
                                                    x->manifest.layers[n].size_bytes };
    return true;
}
