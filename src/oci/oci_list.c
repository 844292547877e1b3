/* oci_list.c: tags, repositories and referrers of a registry, page by page.
 *
 * 1. A page that brings nothing new ends the list, whatever it says about a next one. More than
 *    OCI_MAX_PAGES pages, OCI_MAX_TAGS names or OCI_LIST_TEXTS bytes are an error.
 * 2. The next page lies at the same registry: a link elsewhere is refused.
 * ref: distribution 1.1, "listing tags", "listing referrers"; RFC 8288.
 */
#include "oci/oci_int.h"

#include <stdlib.h>

enum { OCI_LIST_PAGE = 1000 };
#define OCI_LIST_BODY ((size_t)32 << 20)           /* OCI_MAX_TAGS of the longest names */
#define OCI_LIST_TEXTS ((uint64_t)128 << 20)       /* of all pages */
#define OCI_LIST_ARENA ((size_t)96 << 20)

/* ---- links (Public to the room) -------------------------------------------------------------- */

/* Behind one <target>: is there rel=next among its parameters? Moves *s behind them. */
static bool oci_list_is_next(struct str *s) {
    bool next = false, quoted = false;
    size_t from = 0, i = 0;
    for (; i <= s->n; i++) {
        char c = i < s->n ? s->p[i] : ',';
        if (c == '"') quoted = !quoted;
        if (i < s->n && (quoted || (c != ';' && c != ','))) continue;
        struct str value = str_sub(*s, from, i), name = str_trim(str_cut(&value, '='));
        value = str_trim(value);
        if (value.n >= 2 && value.p[0] == '"') value = str_sub(value, 1, value.n - 1);
        next = next || (str_ieq(name, STR("rel")) && str_ieq(value, STR("next")));
        from = i + 1;
        if (c == ',') break;
    }
    *s = str_sub(*s, i < s->n ? i + 1 : s->n, s->n);
    return next;
}

MLXK_FN struct str oci_link_next(struct str value) {
    struct str s = value;
    for (;;) {
        ptrdiff_t open = str_find_char(s, '<');
        if (open < 0) return STR_EMPTY;
        s = str_sub(s, (size_t)open + 1, s.n);
        ptrdiff_t close = str_find_char(s, '>');
        if (close < 0) return STR_EMPTY;
        struct str target = str_sub(s, 0, (size_t)close);
        s = str_sub(s, (size_t)close + 1, s.n);
        if (oci_list_is_next(&s)) return target;
    }
}

/* ---- names (Public to the room) -------------------------------------------------------------- */

static int oci_list_compare(const void *x, const void *y) {
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

MLXK_FN void oci_names_sort(struct oci_names *names) {
    size_t n = 0;
    if (names->n == 0) return;
    qsort(names->names, names->n, sizeof *names->names, oci_list_compare);
    for (size_t i = 0; i < names->n; i++)
        if (n == 0 || !str_eq(names->names[n - 1], names->names[i]))
            names->names[n++] = names->names[i];
    names->n = n;
}

/* ---- pages (Private) ------------------------------------------------------------------------- */

struct oci_list {
    struct oci *o;
    struct arena *a;             /* of the result */
    struct str next;             /* address of the next page, or empty; in a */
    int status;
    size_t n_pages;
    uint64_t texts_bytes;
};

/* Asks for one page. body is the page; the next address is put into x->next. false with code OK:
 * the registry answers with another status, in x->status. */
static bool oci_list_page(struct oci_list *x, const struct oci_call *call, struct buf *body,
                          struct http_response *r, struct err *e) {
    struct net_url to;
    if (x->n_pages++ == OCI_MAX_PAGES)
        return err_set(e, ERR_LIMIT, STR_FMT " has a list of more than %d pages",
                       STR_ARG(x->o->ref.host), OCI_MAX_PAGES);
    if (!oci_ask(x->o, call, r, body, e)) return false;
    x->texts_bytes += body->n;
    if (x->texts_bytes > OCI_LIST_TEXTS)
        return err_set(e, ERR_LIMIT, STR_FMT " has a list of more than %d MB",
                       STR_ARG(x->o->ref.host), (int)(OCI_LIST_TEXTS >> 20));
    x->status = r->status;
    x->next = STR_EMPTY;
    if (r->status != 200) return false;
    for (size_t i = 0; i < r->n_headers && !x->next.n; i++)
        if (str_ieq(r->headers[i].name, STR("Link"))) x->next = oci_link_next(r->headers[i].value);
    if (!x->next.n) return true;
    if (!net_url_resolve(x->a, &r->url, x->next, &to, e))
        return err_context(e, "the next page of a list: ");
    if (!net_url_same_origin(&to, &r->url))
        return err_set(e, ERR_ACCESS,
                       STR_FMT " says its list goes on at " STR_FMT ", which is refused",
                       STR_ARG(r->url.authority), STR_ARG(to.authority));
    x->next = net_url_text(x->a, &to);
    return x->next.n || err_oom(e, NET_MAX_URL, "an address");
}

/* Names of one page into the map; *n_new: how many were not there yet. */
static bool oci_list_names(struct oci_list *x, struct str body, const char *key_cstr,
                           struct map *seen, size_t *n_new, struct err *e) {
    struct arena scratch;
    *n_new = 0;
    if (oci_json_values(body) > OCI_MAX_TAGS + 16)         /* a few members beside the names */
        return err_set(e, ERR_LIMIT, "the list has more than %d names", OCI_MAX_TAGS);
    arena_init(&scratch, OCI_LIST_ARENA);
    const struct json *doc = json_parse_large(&scratch, body, e), *list = json_get(doc, key_cstr);
    bool ok = doc != NULL;
    if (ok && list && list->kind != JSON_NULL && list->kind != JSON_ARRAY)
        ok = err_set(e, ERR_FORMAT, "'%s' is no list", key_cstr);
    for (const struct json *v = ok && json_is(list, JSON_ARRAY) ? list->child : NULL; ok && v;
         v = v->next) {
        bool is_new = false;
        bool tags = key_cstr[0] == 't';
        if (v->kind != JSON_STRING || !(tags ? oci_tag_ok(v->string) : oci_repo_ok(v->string)))
            continue;
        if (map_get(seen, v->string)) continue;
        struct str own = str_dup(x->a, v->string);
        if (seen->n >= OCI_MAX_TAGS)
            ok = err_set(e, ERR_LIMIT, "the list has more than %d names", OCI_MAX_TAGS);
        else if (!own.p || !map_put(seen, own, &is_new)) ok = err_oom(e, seen->n * 32, "a list");
        *n_new += is_new;
    }
    arena_release(&scratch);
    return ok;
}

static bool oci_list_all(struct oci_list *x, struct oci_call *call, const char *key_cstr,
                         struct oci_names *out, struct err *e) {
    struct map seen;
    struct buf body;
    bool ok = true;
    map_init(&seen, OCI_MAX_TAGS + 1);
    buf_init(&body, OCI_LIST_BODY);
    while (ok) {
        struct http_response r = { 0 };
        size_t n_new = 0;
        ok = oci_list_page(x, call, &body, &r, e)
             && oci_list_names(x, buf_str(&body), key_cstr, &seen, &n_new, e);
        if (!ok && e->code == ERR_OK)
            oci_refused_text(x->o, &r, buf_str(&body),
                             str_format(x->a, "list of %s of " STR_FMT, key_cstr,
                                        STR_ARG(call->scope.n ? x->o->ref.host : x->o->ref.repo)),
                             e);
        http_finish(&r);
        call->url = x->next;
        if (!x->next.n || n_new == 0) break;
    }
    out->names = ok ? ARENA_ARRAY(x->a, struct str, seen.n + 1) : NULL;
    if (ok && !out->names) ok = err_oom(e, seen.n * sizeof *out->names, "a list");
    for (size_t i = 0; ok && i < seen.n; i++) out->names[out->n++] = seen.entries[i].key;
    if (ok) oci_names_sort(out);
    map_release(&seen);
    buf_release(&body);
    return ok;
}

/* ---- lists (Public to the room) -------------------------------------------------------------- */

MLXK_FN bool oci_registry_tags(struct arena *a, struct oci *o, struct oci_names *out,
                               struct err *e) {
    struct oci_list x = { .o = o, .a = a };
    struct str path =
        str_format(a, "/v2/" STR_FMT "/tags/list?n=%d", STR_ARG(o->ref.repo), OCI_LIST_PAGE);
    struct oci_call call = { .method_cstr = "GET", .path = path, .reads = true };
    *out = (struct oci_names){ 0 };
    return path.n ? oci_list_all(&x, &call, "tags", out, e) : err_oom(e, NET_MAX_URL, "an address");
}

MLXK_FN bool oci_catalog(struct arena *a, struct oci *o, struct oci_names *out, struct err *e) {
    struct oci_list x = { .o = o, .a = a };
    struct oci_call call = { .method_cstr = "GET",
                             .path = STR("/v2/_catalog?n=1000"),
                             .reads = true,
                             .scope = STR("registry:catalog:*") };
    *out = (struct oci_names){ 0 };
    if (o->ref.kind != OCI_REGISTRY)
        return err_set(e, ERR_UNSUPPORTED, "a layout is one repository and has no list of them");
    if (oci_list_all(&x, &call, "repositories", out, e)) return true;
    if (x.status != 404 && x.status != 405 && x.status != 401 && x.status != 403) return false;
    err_clear(e);
    err_set(e, ERR_UNSUPPORTED, STR_FMT " does not tell which repositories it has",
            STR_ARG(o->ref.host));
    return err_hint(e, "name the repositories");
}

static bool oci_list_is_index(const struct http_response *r) {
    struct str type = http_header(r, "Content-Type");
    return str_eq(str_trim(str_cut(&type, ';')), STR(OCI_TYPE_INDEX));
}

static bool oci_list_append(struct arena *a, struct oci_manifest *out,
                            const struct oci_manifest *page, size_t *n_new, struct err *e) {
    struct oci_desc *all = ARENA_ARRAY(a, struct oci_desc, out->n_layers + page->n_layers + 1);
    if (!all) return err_oom(e, out->n_layers * sizeof *all, "a list of referrers");
    if (out->n_layers) memcpy(all, out->layers, out->n_layers * sizeof *all);
    out->layers = all;
    *n_new = 0;
    for (size_t i = 0; i < page->n_layers; i++) {
        bool twin = false;
        for (size_t k = 0; k < out->n_layers; k++)
            twin = twin || str_eq(all[k].digest, page->layers[i].digest);
        if (twin) continue;
        if (out->n_layers == OCI_MAX_LAYERS) return err_set(e, ERR_LIMIT, "too many referrers");
        all[out->n_layers++] = page->layers[i];
        ++*n_new;
    }
    return true;
}

MLXK_FN bool oci_registry_referrers(struct arena *a, struct oci *o, struct str digest,
                                    struct oci_manifest *out, bool *supported, struct err *e) {
    struct oci_list x = { .o = o, .a = a };
    struct buf body;
    struct oci_call call = { .method_cstr = "GET", .path = oci_path(a, o, "referrers/", digest),
                             .accept_cstr = OCI_TYPE_INDEX, .reads = true };
    *out = (struct oci_manifest){ .is_index = true };
    *supported = false;
    if (o->no_referrers) return true;
    if (!call.path.n) return err_oom(e, NET_MAX_URL, "an address");
    buf_init(&body, OCI_MAX_MANIFEST);
    bool ok = true;
    while (ok) {
        struct http_response r = { 0 };
        struct oci_manifest m;
        size_t n_new = 0;
        ok = oci_list_page(&x, &call, &body, &r, e);
        bool other = !ok && e->code == ERR_OK;
        bool index = ok && oci_list_is_index(&r);
        if (ok && !index) other = true;                    /* a page for people, status 200 */
        if (index)
            ok = oci_manifest_parse(a, buf_str(&body), STR(OCI_TYPE_INDEX), &m, e)
                 && oci_list_append(a, out, &m, &n_new, e);
        if (other && (x.status == 401 || x.status == 403 || x.status == 429 || x.status >= 500))
            ok = oci_refused_text(o, &r, buf_str(&body), STR("list of referrers"), e);
        else if (other) ok = true;
        http_finish(&r);
        if (other) break;
        *supported = ok;
        call.url = x.next;
        if (!x.next.n || n_new == 0) break;
    }
    o->no_referrers = ok && !*supported;
    buf_release(&body);
    return ok;
}

#undef OCI_LIST_BODY
#undef OCI_LIST_TEXTS
#undef OCI_LIST_ARENA
