/* fuzz_bundle.c: manifests of bundles; an accepted one has names that the cache takes.
 *
 * covers: hub/hub_manifest.c:hub_manifest_blob hub/hub_manifest.c:hub_manifest_commit
 * covers: hub/hub_manifest.c:hub_manifest_repo
 * covers: hub/hub_manifest.c:hub_manifest_refs hub/hub_manifest.c:hub_manifest_content
 * covers: hub/hub_manifest.c:hub_bundle_parse
 */
#include "hub/hub.h"

int fuzz_bundle(const uint8_t *data, size_t size);

int fuzz_bundle(const uint8_t *data, size_t size) {
    struct arena a;
    struct hub_bundle b;
    struct err e = { 0 };
    arena_init(&a, 64 << 20);
    if (hub_bundle_parse(&a, (struct str){ (const char *)data, size }, &b, &e)) {
        MLXK_ASSERT(b.n_repos > 0);
        for (size_t i = 0; i < b.n_repos; i++) {
            MLXK_ASSERT(cache_name_ok(b.repos[i].name, &e));
            for (size_t k = 0; k < b.repos[i].n_blobs; k++) {
                const struct hub_bundle_blob *x = &b.repos[i].blobs[k];
                MLXK_ASSERT(cache_etag_ok(x->etag, &e));
                MLXK_ASSERT(x->twin_repo == SIZE_MAX || x->twin_repo < i);
            }
        }
    } else {
        MLXK_ASSERT(e.code != ERR_OK);
    }
    arena_release(&a);
    return 0;
}
