/* cache_map.c: which bytes of an unfinished blob have arrived, as a page that outlives its process.
 *
 * Runs of bytes kept sorted, disjoint and merged, and the text of them on disk: one page of 4 KiB
 * with a checksum. Two pages lie behind each other in the file and are written in turn, so that a
 * power cut in one leaves the other. No files are opened here.
 *
 *   0 magic  8 seq  16 size  24 etag  232 place  248 stamp  280 hashed, state  384 counts
 *   392 have[]  1928 safe[]  4064 sha256 of the bytes before     (numbers little-endian)
 *
 * 1. What is read may be anything: a page counts only with the right checksum, for the right blob,
 *    with runs in order and inside the blob.
 * 2. "have" was written, "safe" was written and synced. After a kill "have" still holds (the system
 *    kept the pages); after a power cut or from another machine only "safe" does.
 * Spec: hub facts 1.9.
 */
#include "cache/cache_int.h"

enum {
    MAP_SEQ = 8, MAP_SIZE = 16, MAP_ETAG = 24, MAP_PLACE = 232, MAP_STAMP = 248, MAP_HASHED = 280,
    MAP_STATE = 288, MAP_BLOCK = 320, MAP_COUNTS = 384, MAP_HAVE = 392, MAP_SAFE = 1928,
    MAP_SUM = 4064,
};
static const char map_magic[8] = { 'm', 'l', 'x', 'k', 'm', 'a', 'p', '1' };

_Static_assert(MAP_HAVE + 16 * CACHE_RUNS_MAX == MAP_SAFE, "runs fill their place");
_Static_assert(MAP_SAFE + 16 * CACHE_RUNS_MAX <= MAP_SUM, "runs end before the checksum");

/* ---- runs (Public to the room) ---- */

MLXK_FN uint64_t cache_runs_total(const struct cache_runs *r) {
    uint64_t sum = 0;
    for (size_t i = 0; i < r->n; i++) {
        sum += r->list[i].to - r->list[i].from;
    }
    return sum;
}

MLXK_FN uint64_t cache_runs_prefix(const struct cache_runs *r) {
    return r->n && r->list[0].from == 0 ? r->list[0].to : 0;
}

MLXK_FN bool cache_runs_add(struct cache_runs *r, uint64_t from, uint64_t to) {
    if (from >= to) {
        return true;
    }
    size_t first = 0;
    while (first < r->n && r->list[first].to < from) {
        first++;
    }
    size_t last = first;                         /* [first, last) touch the new run */
    while (last < r->n && r->list[last].from <= to) {
        from = r->list[last].from < from ? r->list[last].from : from;
        to = r->list[last].to > to ? r->list[last].to : to;
        last++;
    }
    if (last == first && r->n == CACHE_RUNS_MAX) {
        return false;
    }
    memmove(&r->list[first + 1], &r->list[last], (r->n - last) * sizeof r->list[0]);
    r->list[first] = (struct cache_run){ from, to };
    r->n = r->n - (last - first) + 1;
    return true;
}

MLXK_FN struct cache_run cache_runs_gap(const struct cache_runs *r, uint64_t from, uint64_t end) {
    struct cache_run gap = { from, end };
    for (size_t i = 0; i < r->n && gap.from < end; i++) {
        if (r->list[i].to <= gap.from) {
            continue;
        }
        if (r->list[i].from > gap.from) {
            gap.to = r->list[i].from < end ? r->list[i].from : end;
            return gap;
        }
        gap.from = r->list[i].to;
    }
    gap.from = gap.from < end ? gap.from : end;
    return gap;
}

/* ---- the page (Private) ---- */

static void map_put_u64(uint8_t *page, size_t at, uint64_t x) {
    for (size_t i = 0; i < 8; i++) {
        page[at + i] = (uint8_t)(x >> (8 * i));
    }
}

static void map_put_u32(uint8_t *page, size_t at, uint32_t x) {
    for (size_t i = 0; i < 4; i++) {
        page[at + i] = (uint8_t)(x >> (8 * i));
    }
}

static void map_put_runs(uint8_t *page, size_t at, const struct cache_runs *r) {
    for (size_t i = 0; i < r->n; i++) {
        map_put_u64(page, at + 16 * i, r->list[i].from);
        map_put_u64(page, at + 16 * i + 8, r->list[i].to);
    }
}

static bool map_get_runs(const uint8_t *page, size_t at, size_t n, uint64_t size_bytes,
                         struct cache_runs *out) {
    uint64_t end = 0;
    out->n = 0;
    if (n > CACHE_RUNS_MAX) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t from = num_read_u64(page + at + 16 * i), to = num_read_u64(page + at + 16 * i + 8);
        if (from >= to || to > size_bytes || (i > 0 && from <= end)) {
            return false;
        }
        out->list[out->n++] = (struct cache_run){ from, end = to };
    }
    return true;
}

static void map_sum(const uint8_t *page, uint8_t out[32]) {
    struct sha256 s;
    sha256_init(&s);
    sha256_update(&s, page, MAP_SUM);
    sha256_final(&s, out);
}

/* ---- the page (Public to the room) ---- */

MLXK_FN void cache_map_encode(const struct cache_map *m, uint8_t page[CACHE_MAP_PAGE]) {
    memset(page, 0, CACHE_MAP_PAGE);
    memcpy(page, map_magic, sizeof map_magic);
    map_put_u64(page, MAP_SEQ, m->seq);
    map_put_u64(page, MAP_SIZE, m->size_bytes);
    memcpy(page + MAP_ETAG, m->etag, strlen(m->etag));
    memcpy(page + MAP_PLACE, m->place, sizeof m->place);
    for (size_t i = 0; i < MLXK_COUNT(m->stamp); i++) {
        map_put_u64(page, MAP_STAMP + 8 * i, m->stamp[i]);
    }
    map_put_u64(page, MAP_HASHED, m->hashed_bytes);
    for (size_t i = 0; i < MLXK_COUNT(m->state); i++) {
        map_put_u32(page, MAP_STATE + 4 * i, m->state[i]);
    }
    memcpy(page + MAP_BLOCK, m->block, sizeof m->block);
    map_put_u32(page, MAP_COUNTS, (uint32_t)m->have.n);
    map_put_u32(page, MAP_COUNTS + 4, (uint32_t)m->safe.n);
    map_put_runs(page, MAP_HAVE, &m->have);
    map_put_runs(page, MAP_SAFE, &m->safe);
    map_sum(page, page + MAP_SUM);
}

MLXK_FN bool cache_map_decode(const uint8_t page[CACHE_MAP_PAGE], struct cache_map *out) {
    uint8_t sum[32];
    *out = (struct cache_map){ 0 };
    map_sum(page, sum);
    if (memcmp(page, map_magic, sizeof map_magic) != 0 || memcmp(page + MAP_SUM, sum, 32) != 0) {
        return false;
    }
    out->seq = num_read_u64(page + MAP_SEQ);
    out->size_bytes = num_read_u64(page + MAP_SIZE);
    memcpy(out->etag, page + MAP_ETAG, sizeof out->etag - 1);
    memcpy(out->place, page + MAP_PLACE, sizeof out->place);
    for (size_t i = 0; i < MLXK_COUNT(out->stamp); i++) {
        out->stamp[i] = num_read_u64(page + MAP_STAMP + 8 * i);
    }
    out->hashed_bytes = num_read_u64(page + MAP_HASHED);
    for (size_t i = 0; i < MLXK_COUNT(out->state); i++) {
        out->state[i] = num_read_u32(page + MAP_STATE + 4 * i);
    }
    memcpy(out->block, page + MAP_BLOCK, sizeof out->block);
    return map_get_runs(page, MAP_HAVE, num_read_u32(page + MAP_COUNTS), out->size_bytes,
                        &out->have)
        && map_get_runs(page, MAP_SAFE, num_read_u32(page + MAP_COUNTS + 4), out->size_bytes,
                        &out->safe)
        && out->hashed_bytes <= cache_runs_prefix(&out->have);
}
