/* fuzz_hub_lock.c: any text as a lock file. What is accepted has safe names, digests that are some,
 * and files in order.
 *
 * covers: hub/hub_lock.c:hub_lock_parse hub/hub_lock.c:lock_file hub/hub_lock.c:lock_repo
 * covers: hub/hub_lock.c:lock_text hub/hub_lock.c:lock_digest
 */
#include "hub/hub_int.h"

int fuzz_hub_lock(const uint8_t *data, size_t size);

int fuzz_hub_lock(const uint8_t *data, size_t size) {
    struct arena a;
    struct err e = { 0 };
    struct hub_lock *locks = NULL;
    size_t n = 0;
    arena_init(&a, (size_t)16 << 20);
    if (hub_lock_parse(&a, (struct str){ (const char *)data, size }, &locks, &n, &e)) {
        for (size_t i = 0; i < n; i++) {
            MLXK_ASSERT(cache_name_ok(locks[i].repo, &e) && str_is_hex(locks[i].commit, 40));
            for (size_t k = 0; k < locks[i].n_files; k++) {
                const struct hub_file *f = &locks[i].files[k];
                MLXK_ASSERT(cache_path_ok(f->path, &e) && cache_etag_ok(f->etag, &e));
                MLXK_ASSERT(k == 0 || str_cmp(locks[i].files[k - 1].path, f->path) < 0);
            }
        }
    } else MLXK_ASSERT(e.code != ERR_OK);
    arena_release(&a);
    return 0;
}
