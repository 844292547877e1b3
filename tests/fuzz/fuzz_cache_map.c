/* fuzz_cache_map.c: any page as the map of an unfinished blob, with and without a right checksum;
 * and runs put together at random.
 *
 * Besides not crashing: what is accepted is in order and inside the blob, and its text is the same
 * text again; the sum of runs is what a plain table of bytes says.
 *
 * covers: cache/cache_map.c
 */
#include "cache/cache_int.h"

int fuzz_cache_map(const uint8_t *data, size_t size);

static void fuzz_cache_map_page(const uint8_t page[CACHE_MAP_PAGE]) {
    struct cache_map map;
    uint8_t again[CACHE_MAP_PAGE];
    if (!cache_map_decode(page, &map)) return;
    MLXK_ASSERT(cache_runs_total(&map.have) <= map.size_bytes);
    MLXK_ASSERT(cache_runs_total(&map.safe) <= map.size_bytes);
    MLXK_ASSERT(map.hashed_bytes <= map.size_bytes);
    for (size_t i = 1; i < map.have.n; i++)
        MLXK_ASSERT(map.have.list[i - 1].to < map.have.list[i].from);
    cache_map_encode(&map, again);
    struct cache_map same;
    MLXK_ASSERT(cache_map_decode(again, &same) && same.have.n == map.have.n);
}

/* Bytes in pairs: a run of 0..15 from a place in 0..255. */
static void fuzz_cache_map_runs(const uint8_t *data, size_t size) {
    struct cache_runs runs = { .n = 0 };
    uint8_t table[300] = { 0 };
    uint64_t sum = 0;
    for (size_t i = 0; i + 1 < size; i += 2) {
        uint64_t from = data[i], to = from + data[i + 1] % 16;
        if (!cache_runs_add(&runs, from, to)) continue;
        for (uint64_t k = from; k < to; k++) table[k] = 1;
    }
    for (size_t k = 0; k < sizeof table; k++) sum += table[k];
    MLXK_ASSERT(sum == cache_runs_total(&runs));
    struct cache_run gap = cache_runs_gap(&runs, 0, sizeof table);
    for (uint64_t k = 0; k < gap.from; k++) MLXK_ASSERT(table[k]);
    for (uint64_t k = gap.from; k < gap.to; k++) MLXK_ASSERT(!table[k]);
}

int fuzz_cache_map(const uint8_t *data, size_t size) {
    uint8_t page[CACHE_MAP_PAGE] = { 0 };
    struct sha256 s;
    memcpy(page, data, size < sizeof page ? size : sizeof page);
    fuzz_cache_map_page(page);
    memcpy(page, "mlxkmap1", 8);
    sha256_init(&s);
    sha256_update(&s, page, sizeof page - 32);
    sha256_final(&s, page + sizeof page - 32);
    fuzz_cache_map_page(page);
    fuzz_cache_map_runs(data, size);
    return 0;
}
