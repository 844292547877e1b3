/* fuzz_hub_api.c: any bytes as answers of the hub's API: repository information, file list,
 * headers.
 *
 * Besides not crashing: what is accepted may be used: names pass the cache's rules, hashes are
 * hashes.
 *
 * covers: hub/hub_json.c
 */
#include "hub/hub_int.h"

int fuzz_hub_api(const uint8_t *data, size_t size);

static void fuzz_hub_file(const struct hub_file *f) {
    struct err e = { 0 };
    MLXK_ASSERT(cache_path_ok(f->path, &e) && cache_etag_ok(f->etag, &e));
    MLXK_ASSERT(cache_blob_hash(f->etag) == (f->lfs ? CACHE_SHA256 : CACHE_GIT_SHA1));
    MLXK_ASSERT(str_is_hex(f->git_oid, 40) && (f->xet_hash.n == 0 || str_is_hex(f->xet_hash, 64)));
    MLXK_ASSERT(f->size_bytes <= INT64_MAX);
}

int fuzz_hub_api(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size };
    struct arena a;
    struct err e = { 0 };
    struct hub_repo repo = { .name = STR("o/m") };
    struct hub_files files = { 0 };
    arena_init(&a, (size_t)64 << 20);
    if (hub_parse_info(&a, text, &repo, &e)) MLXK_ASSERT(str_is_hex(repo.commit, 40));
    else MLXK_ASSERT(e.code != ERR_OK);
    err_clear(&e);
    bool ok = hub_parse_tree(&a, text, &files, &e);
    MLXK_ASSERT(ok == (e.code == ERR_OK) && (ok || files.n == 0));
    for (size_t i = 0; i < files.n; i++) fuzz_hub_file(&files.p[i]);
    struct hub_ref_list refs = { 0 };
    err_clear(&e);
    ok = hub_parse_refs(&a, text, &refs, &e);
    MLXK_ASSERT(ok == (e.code == ERR_OK) && (ok || refs.n == 0));
    for (size_t i = 0; i < refs.n; i++) {
        MLXK_ASSERT(refs.p[i].kind < HUB_REF_KINDS && str_is_hex(refs.p[i].commit, 40));
        MLXK_ASSERT(cache_revision_ok(refs.p[i].name, &e) && cache_revision_ok(refs.p[i].ref, &e));
    }
    struct str link = hub_parse_link(text, STR("next")), etag = hub_parse_etag(text);
    MLXK_ASSERT(link.n <= size && etag.n <= size);
    arena_release(&a);
    return 0;
}
