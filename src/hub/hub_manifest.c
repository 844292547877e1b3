/* hub_manifest.c: what a bundle says of itself.
 *
 * JSON, pretty, ASCII. `content_sha256` is over the sorted lines "repo NUL commit NUL path NUL etag
 * NUL size LF" of all files: two bundles with the same value hold the same models.
 *
 * Nothing that is read is believed: names as the cache allows them, hashes of the right length,
 * every file's blob announced, every ref's commit inside, and the hash of the whole.
 */
#include "hub/hub_int.h"

#include <stdlib.h>

#define HUB_MANIFEST_FORMAT "mlxk-bundle"
enum { HUB_MANIFEST_VERSION = 1, HUB_MANIFEST_MAX_REPOS = 10000 };

/* ---- the hash of the whole (Private) --------------------------------------------------------- */

static int hub_manifest_line_order(const void *x, const void *y) {
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

MLXK_FN const struct hub_bundle_blob *hub_bundle_blob(const struct hub_bundle_repo *r,
                                                      struct str etag) {
    size_t low = 0, high = r->n_blobs;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_cmp(r->blobs[middle].etag, etag);
        if (order == 0) return &r->blobs[middle];
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

/* out: 64 hex digits in a; empty = no memory. */
static struct str hub_manifest_content(struct arena *a, const struct hub_bundle *b) {
    size_t n = 0, at = 0;
    for (size_t i = 0; i < b->n_repos; i++)
        for (size_t k = 0; k < b->repos[i].n_commits; k++) n += b->repos[i].commits[k].n_files;
    struct str *lines = ARENA_ARRAY(a, struct str, n);
    if (!lines) return STR_EMPTY;
    for (size_t i = 0; i < b->n_repos; i++) {
        const struct hub_bundle_repo *r = &b->repos[i];
        for (size_t k = 0; k < r->n_commits; k++)
            for (size_t m = 0; m < r->commits[k].n_files; m++, at++) {
                const struct hub_bundle_file *f = &r->commits[k].files[m];
                const struct hub_bundle_blob *blob = hub_bundle_blob(r, f->etag);
                lines[at] = str_format(a, STR_FMT "%c" STR_FMT "%c" STR_FMT "%c" STR_FMT "%c%llu\n",
                                       STR_ARG(r->name), 0, STR_ARG(r->commits[k].commit), 0,
                                       STR_ARG(f->path), 0, STR_ARG(f->etag), 0,
                                       (unsigned long long)(blob ? blob->size_bytes : 0));
                if (!lines[at].p) return STR_EMPTY;
            }
    }
    qsort(lines, n, sizeof *lines, hub_manifest_line_order);
    struct sha256 sha;
    uint8_t digest[32];
    char hex[65];
    sha256_init(&sha);
    for (size_t i = 0; i < n; i++) sha256_update(&sha, lines[i].p, lines[i].n);
    sha256_final(&sha, digest);
    str_hex(hex, digest, sizeof digest);
    return str_dup(a, str_cstr(hex));
}

/* ---- writing (Private) ----------------------------------------------------------------------- */

static void hub_manifest_put_commit(struct json_writer *w, const struct hub_bundle_commit *c) {
    json_write_object(w);
    json_write_member_or_null(w, "commit", c->commit);
    json_write_key(w, "complete");
    json_write_bool(w, c->complete);
    json_write_key(w, "tree");
    json_write_bool(w, c->tree.n > 0);
    if (c->tree.n) {
        char hex[65];
        cache_digest_text(CACHE_SHA256, c->tree, hex);
        json_write_key(w, "tree_sha256");
        json_write_cstr(w, hex);
    }
    if (c->proof.n) json_write_member(w, "proof", c->proof);
    json_write_key(w, "no_exist");
    json_write_array(w);
    for (size_t i = 0; i < c->n_no_exist; i++) json_write_str(w, c->no_exist[i]);
    json_write_array_end(w);
    json_write_key(w, "files");
    json_write_object(w);
    for (size_t i = 0; i < c->n_files; i++) {
        json_write_key_str(w, c->files[i].path);
        json_write_str(w, c->files[i].etag);
    }
    json_write_object_end(w);
    json_write_object_end(w);
}

static void hub_manifest_put_blob(struct json_writer *w, const struct hub_bundle *b,
                                  const struct hub_bundle_blob *x) {
    json_write_object(w);
    json_write_member_or_null(w, "etag", x->etag);
    json_write_key(w, "size");
    json_write_u64(w, x->size_bytes);
    if (x->sha256.n) json_write_member_or_null(w, "sha256", x->sha256);
    if (x->in_base) {
        json_write_key(w, "in_base");
        json_write_bool(w, true);
    }
    if (x->twin_repo != SIZE_MAX)
        json_write_member_or_null(w, "same_as", b->repos[x->twin_repo].name);
    json_write_object_end(w);
}

static void hub_manifest_put_repo(struct json_writer *w, const struct hub_bundle *b,
                                  const struct hub_bundle_repo *r) {
    json_write_object(w);
    json_write_member_or_null(w, "repo", r->name);
    json_write_member_or_null(w, "type",
                              str_cstr(cache_kind_name(cache_kind_of(r->name))));
    json_write_key(w, "refs");
    json_write_object(w);
    for (size_t i = 0; i < r->n_refs; i++) {
        json_write_key_str(w, r->refs[i].revision);
        json_write_str(w, r->refs[i].commit);
    }
    json_write_object_end(w);
    json_write_key(w, "commits");
    json_write_array(w);
    for (size_t i = 0; i < r->n_commits; i++) hub_manifest_put_commit(w, &r->commits[i]);
    json_write_array_end(w);
    json_write_key(w, "blobs");
    json_write_array(w);
    for (size_t i = 0; i < r->n_blobs; i++) hub_manifest_put_blob(w, b, &r->blobs[i]);
    json_write_array_end(w);
    json_write_object_end(w);
}

MLXK_FN bool hub_bundle_manifest(struct arena *a, const struct hub_bundle *b, struct str *text,
                                 struct err *e) {
    struct buf out;
    struct json_writer w;
    char created[32];
    buf_init(&out, HUB_MAX_MANIFEST);
    json_write_init(&w, &out, true, true);
    json_write_object(&w);
    json_write_member_or_null(&w, "format", STR(HUB_MANIFEST_FORMAT));
    json_write_key(&w, "version");
    json_write_i64(&w, HUB_MANIFEST_VERSION);
    json_write_member_or_null(&w, "tool", b->tool);
    os_format_time(created, b->created_s * 1000000000);
    json_write_member_or_null(&w, "created", str_cstr(created));
    json_write_member_or_null(&w, "endpoint", b->endpoint);
    json_write_member_or_null(&w, "content_sha256", hub_manifest_content(a, b));
    json_write_member_or_null(&w, "base_sha256", b->base_sha256);
    json_write_key(&w, "payload_bytes");
    json_write_u64(&w, b->payload_bytes);
    json_write_key(&w, "repos");
    json_write_array(&w);
    for (size_t i = 0; i < b->n_repos; i++) hub_manifest_put_repo(&w, b, &b->repos[i]);
    json_write_array_end(&w);
    json_write_object_end(&w);
    buf_add_char(&out, '\n');
    bool ok = buf_ok(&out, "the manifest of a bundle", e);
    *text = ok ? str_dup(a, buf_str(&out)) : STR_EMPTY;
    buf_release(&out);
    return ok && (text->p || err_oom(e, HUB_MAX_MANIFEST, "the manifest of a bundle"));
}

/* ---- reading (Private) ----------------------------------------------------------------------- */

static bool hub_manifest_bad(struct err *e, const char *what_cstr, struct str name) {
    return err_set(e, ERR_FORMAT, "the manifest of the bundle: %s '" STR_FMT "'", what_cstr,
                   STR_ARG(str_sub(name, 0, 200)));
}

static struct str hub_manifest_str(const struct json *v) {
    return json_is(v, JSON_STRING) ? v->string : STR_EMPTY;
}

/* The array of a member, with room for its elements. */
static bool hub_manifest_list(const struct json *v, const char *key_cstr, enum json_kind kind,
                              const struct json **out, struct err *e) {
    *out = json_get(v, key_cstr);
    return json_is(*out, kind) || hub_manifest_bad(e, "no list of that name:", str_cstr(key_cstr));
}

static bool hub_manifest_blob(const struct json *v, struct hub_bundle *b, size_t repo,
                              struct hub_bundle_blob *out, struct err *e) {
    int64_t size = -1;
    struct str twin = hub_manifest_str(json_get(v, "same_as"));
    *out = (struct hub_bundle_blob){ .etag = hub_manifest_str(json_get(v, "etag")),
                                     .sha256 = hub_manifest_str(json_get(v, "sha256")),
                                     .twin_repo = SIZE_MAX };
    if (!cache_etag_ok(out->etag, e) ||
        !json_read_i64(v, "size", 0, INT64_MAX, &size, e) ||
        !json_read_bool(v, "in_base", &out->in_base, e))
        return err_context(e, "the manifest of the bundle: ");
    if (size < 0) return hub_manifest_bad(e, "no size of", out->etag);
    bool opaque = cache_blob_hash(out->etag) == CACHE_OPAQUE;
    if (opaque != str_is_hex(out->sha256, 64))
        return hub_manifest_bad(e, "no proper hash of", out->etag);
    out->size_bytes = (uint64_t)size;
    for (size_t i = 0; twin.n && i < repo; i++)
        if (str_eq(b->repos[i].name, twin)) out->twin_repo = i;
    if (twin.n && (out->twin_repo == SIZE_MAX || opaque ||
                   !hub_bundle_blob(&b->repos[out->twin_repo], out->etag)))
        return hub_manifest_bad(e, "no such content before this repo:", out->etag);
    if (!out->in_base && !twin.n) {
        b->payload_bytes += out->size_bytes;
        b->n_blobs++;
    }
    return true;
}

static bool hub_manifest_blobs(struct arena *a, const struct json *v, struct hub_bundle *b,
                               size_t repo, struct err *e) {
    const struct json *list;
    struct hub_bundle_repo *r = &b->repos[repo];
    if (!hub_manifest_list(v, "blobs", JSON_ARRAY, &list, e)) return false;
    r->blobs = ARENA_ARRAY(a, struct hub_bundle_blob, list->n);
    if (!r->blobs) return err_oom(e, list->n, "the manifest of a bundle");
    for (const struct json *x = list->child; x; x = x->next, r->n_blobs++) {
        if (!hub_manifest_blob(x, b, repo, &r->blobs[r->n_blobs], e)) return false;
        if (r->n_blobs && str_cmp(r->blobs[r->n_blobs - 1].etag, r->blobs[r->n_blobs].etag) >= 0)
            return hub_manifest_bad(e, "out of order:", r->blobs[r->n_blobs].etag);
    }
    return true;
}

static bool hub_manifest_commit(struct arena *a, const struct json *v,
                                const struct hub_bundle_repo *r, struct hub_bundle_commit *out,
                                struct err *e) {
    const struct json *files, *absent;
    *out = (struct hub_bundle_commit){ .commit = hub_manifest_str(json_get(v, "commit")) };
    if (!str_is_hex(out->commit, 40)) return hub_manifest_bad(e, "no commit:", out->commit);
    if (!hub_manifest_list(v, "files", JSON_OBJECT, &files, e) ||
        !hub_manifest_list(v, "no_exist", JSON_ARRAY, &absent, e) ||
        !json_read_bool(v, "complete", &out->complete, e) ||
        !json_read_bool(v, "tree", &out->has_tree, e) ||
        !json_read_str(v, "tree_sha256", &out->tree_sha256, e) ||
        !json_read_str(v, "proof", &out->proof, e))
        return false;
    if (out->proof.n > CACHE_MAX_PROOF)
        return hub_manifest_bad(e, "a proof that is too long of", out->commit);
    out->files = ARENA_ARRAY(a, struct hub_bundle_file, files->n);
    out->no_exist = ARENA_ARRAY(a, struct str, absent->n);
    if (!out->files || !out->no_exist) return err_oom(e, files->n, "the manifest of a bundle");
    for (const struct json *f = files->child; f; f = f->next) {
        out->files[out->n_files++] = (struct hub_bundle_file){ f->key, hub_manifest_str(f) };
        if (!cache_path_ok(f->key, e)) return err_context(e, "the manifest of the bundle: ");
        if (!hub_bundle_blob(r, hub_manifest_str(f)))
            return hub_manifest_bad(e, "no content is announced for", f->key);
    }
    for (const struct json *x = absent->child; x; x = x->next) {
        out->no_exist[out->n_no_exist++] = hub_manifest_str(x);
        if (!cache_path_ok(hub_manifest_str(x), e))
            return err_context(e, "the manifest of the bundle: ");
    }
    return true;
}

static bool hub_manifest_refs(struct arena *a, const struct json *v, struct hub_bundle_repo *r,
                              struct err *e) {
    const struct json *list;
    if (!hub_manifest_list(v, "refs", JSON_OBJECT, &list, e)) return false;
    r->refs = ARENA_ARRAY(a, struct hub_bundle_ref, list->n);
    if (!r->refs) return err_oom(e, list->n, "the manifest of a bundle");
    for (const struct json *x = list->child; x; x = x->next) {
        bool known = false;
        struct str commit = hub_manifest_str(x);
        for (size_t i = 0; i < r->n_commits; i++) known |= str_eq(r->commits[i].commit, commit);
        if (!cache_revision_ok(x->key, e)) return err_context(e, "the manifest of the bundle: ");
        if (!known) return hub_manifest_bad(e, "its commit is not inside: ref", x->key);
        r->refs[r->n_refs++] = (struct hub_bundle_ref){ x->key, commit };
    }
    return true;
}

static bool hub_manifest_repo(struct arena *a, const struct json *v, struct hub_bundle *b,
                              struct err *e) {
    const struct json *commits;
    struct hub_bundle_repo *r = &b->repos[b->n_repos];
    *r = (struct hub_bundle_repo){ .name = hub_manifest_str(json_get(v, "repo")) };
    if (!cache_name_ok(r->name, e)) return err_context(e, "the manifest of the bundle: ");
    struct str type = hub_manifest_str(json_get(v, "type"));
    if (type.n && !str_eq_cstr(type, cache_kind_name(cache_kind_of(r->name))))
        return hub_manifest_bad(e, "the type does not fit the name", r->name);
    for (size_t i = 0; i < b->n_repos; i++)
        if (str_eq(b->repos[i].name, r->name)) return hub_manifest_bad(e, "named twice:", r->name);
    if (!hub_manifest_blobs(a, v, b, b->n_repos, e) ||
        !hub_manifest_list(v, "commits", JSON_ARRAY, &commits, e))
        return false;
    r->commits = ARENA_ARRAY(a, struct hub_bundle_commit, commits->n);
    if (!r->commits) return err_oom(e, commits->n, "the manifest of a bundle");
    for (const struct json *x = commits->child; x; x = x->next)
        if (!hub_manifest_commit(a, x, r, &r->commits[r->n_commits++], e)) return false;
    b->n_repos++;
    return hub_manifest_refs(a, v, r, e);
}

MLXK_FN bool hub_bundle_parse(struct arena *a, struct str text, struct hub_bundle *out,
                              struct err *e) {
    const struct json *doc = json_parse_large(a, text, e), *repos;
    int64_t version = 0;
    *out = (struct hub_bundle){ 0 };
    if (!doc) return err_context(e, "the manifest of the bundle: ");
    if (!str_eq(hub_manifest_str(json_get(doc, "format")), STR(HUB_MANIFEST_FORMAT)))
        return hub_manifest_bad(e, "another format:", hub_manifest_str(json_get(doc, "format")));
    if (!json_read_i64(doc, "version", 1, INT64_MAX, &version, e)) return false;
    if (version != HUB_MANIFEST_VERSION) {
        err_set(e, ERR_UNSUPPORTED, "the bundle is of version %lld, this program knows version %d",
                (long long)version, HUB_MANIFEST_VERSION);
        return err_hint(e, "import it with the newer mlxk that made it");
    }
    out->tool = hub_manifest_str(json_get(doc, "tool"));
    out->endpoint = hub_manifest_str(json_get(doc, "endpoint"));
    out->content_sha256 = hub_manifest_str(json_get(doc, "content_sha256"));
    out->base_sha256 = hub_manifest_str(json_get(doc, "base_sha256"));
    if (!hub_manifest_list(doc, "repos", JSON_ARRAY, &repos, e)) return false;
    if (!repos->n || repos->n > HUB_MANIFEST_MAX_REPOS)
        return err_set(e, ERR_LIMIT, "the bundle announces %zu repos; 1 to %d can be", repos->n,
                       HUB_MANIFEST_MAX_REPOS);
    out->repos = ARENA_ARRAY(a, struct hub_bundle_repo, repos->n);
    if (!out->repos) return err_oom(e, repos->n, "the manifest of a bundle");
    for (const struct json *x = repos->child; x; x = x->next)
        if (!hub_manifest_repo(a, x, out, e)) return false;
    struct str content = hub_manifest_content(a, out);
    if (!content.p) return err_oom(e, text.n, "the manifest of a bundle");
    return str_eq(content, out->content_sha256) ||
           hub_manifest_bad(e, "its files do not add up to content_sha256", out->content_sha256);
}

#undef HUB_MANIFEST_FORMAT
