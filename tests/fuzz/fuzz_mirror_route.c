/* fuzz_mirror_route.c: any bytes as a path and a query of the hub's API.
 *
 * Besides not crashing: a route that is found has the parts that its kind needs, and every decoded
 * part is UTF-8 without NUL.
 *
 * covers: serve/mirror_route.c
 */
#include "serve/mirror_int.h"

int fuzz_mirror_route(const uint8_t *data, size_t size);

int fuzz_mirror_route(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size }, query = text, path = str_cut(&query, '?');
    struct mirror_route r;
    struct arena a;
    if (size > 8192) return 0;
    arena_init(&a, (size_t)4 << 20);
    bool ok = mirror_route_parse(&a, path, &r);
    MLXK_ASSERT(ok == (r.kind != MIRROR_UNKNOWN));
    MLXK_ASSERT(r.kind < MIRROR_N_KINDS && r.type < MIRROR_N_TYPES);
    if (r.kind >= MIRROR_INFO) MLXK_ASSERT(r.repo.n > 0);
    if (r.kind == MIRROR_RESOLVE) MLXK_ASSERT(r.revision.n > 0 && r.path.n > 0);
    if (r.kind == MIRROR_PATHS || r.kind == MIRROR_COMMITS || r.kind == MIRROR_TREE)
        MLXK_ASSERT(r.revision.n > 0);
    MLXK_ASSERT(utf8_valid(r.repo) && utf8_valid(r.revision) && utf8_valid(r.path));
    MLXK_ASSERT(str_find_char(r.path, 0) < 0 && str_find_char(r.repo, 0) < 0);
    (void)mirror_query(&a, query, "search");
    (void)mirror_query_true(&a, query, "recursive");
    arena_release(&a);
    return 0;
}
