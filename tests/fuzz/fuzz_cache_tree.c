/* fuzz_cache_tree.c: trees/<commit>.json as any tool, or nobody sane, may have written it.
 *
 * covers: cache/cache_refs.c:cache_tree_entry cache/cache_refs.c:cache_tree_parse
 */
#include "cache/cache.h"

int fuzz_cache_tree(const uint8_t *data, size_t size);

int fuzz_cache_tree(const uint8_t *data, size_t size) {
    struct arena a;
    struct cache_tree_file *files;
    size_t n;
    struct err e = { 0 };
    arena_init(&a, (size_t)1 << 28);
    if (cache_tree_parse(&a, (struct str){ (const char *)data, size }, &files, &n)) {
        for (size_t i = 0; i < n; i++) {     /* whoever gets a list may use its names as they are */
            MLXK_ASSERT(cache_path_ok(files[i].path, &e));
            MLXK_ASSERT(str_is_hex(files[i].blob_id, 40));
            MLXK_ASSERT(!files[i].xet_hash.n || str_is_hex(files[i].xet_hash, 64));
            MLXK_ASSERT(!files[i].lfs_sha256.n || str_is_hex(files[i].lfs_sha256, 64));
            MLXK_ASSERT(files[i].size_bytes <= INT64_MAX);
        }
    }
    arena_release(&a);
    return 0;
}
