/* map.c: text -> 64-bit value, in insertion order.
 *
 * Entries lie in one array, slots hold their index + 1. There is no removal: no user needs it.
 * The hash is SipHash-1-3 with a key made from the seed, so that keys from outside (a tokenizer's
 * vocabulary, JSON members) cannot be chosen to collide.
 *
 * 1. n_slots is 0 or a power of two >= 2 * n (at most half full), so probing ends.
 * 2. n <= max < UINT32_MAX.
 */
#include "base/base.h"

enum { MAP_FIRST_SLOTS = 32 };

static uint64_t map_seed_value = 0x9e3779b97f4a7c15u;   /* set once before threads start */

MLXK_FN void map_seed(uint64_t seed) {
    map_seed_value = seed;
}

static uint64_t map_rotl(uint64_t x, int by) {
    return (x << by) | (x >> (64 - by));
}

static void map_sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = map_rotl(v[1], 13) ^ v[0];
    v[0] = map_rotl(v[0], 32);
    v[2] += v[3];
    v[3] = map_rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = map_rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = map_rotl(v[1], 17) ^ v[2];
    v[2] = map_rotl(v[2], 32);
}

MLXK_FN uint64_t map_hash(struct str key) {
    uint64_t k0 = map_seed_value, k1 = map_rotl(map_seed_value, 32) ^ 0xa0761d6478bd642fu;
    uint64_t v[4] = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
                      k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u };
    size_t i = 0;
    for (; key.n - i >= 8; i += 8) {
        uint64_t m = num_read_u64(key.p + i);
        v[3] ^= m;
        map_sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)key.n << 56;
    for (size_t j = 0; i + j < key.n; j++) {
        last |= (uint64_t)(uint8_t)key.p[i + j] << (8 * j);
    }
    v[3] ^= last;
    map_sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    map_sip_round(v);
    map_sip_round(v);
    map_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

MLXK_FN void map_init(struct map *m, size_t max_entries) {
    *m = (struct map){ .max = max_entries < INT32_MAX ? max_entries : INT32_MAX };
}

MLXK_FN void map_release(struct map *m) {
    mem_free(m->entries);
    mem_free(m->slots);
    map_init(m, m->max);
}

/* Slot that holds `key`, or the free one where it belongs. Needs n_slots > 0. */
static size_t map_find_slot(const struct map *m, struct str key) {
    size_t mask = m->n_slots - 1, at = (size_t)map_hash(key) & mask;
    while (m->slots[at] && !str_eq(m->entries[m->slots[at] - 1].key, key)) {
        at = (at + 1) & mask;
    }
    return at;
}

static bool map_grow_slots(struct map *m) {
    size_t n_slots = m->n_slots ? m->n_slots * 2 : MAP_FIRST_SLOTS;
    uint32_t *slots = mem_alloc(n_slots * sizeof *slots);
    if (!slots) {
        return false;
    }
    memset(slots, 0, n_slots * sizeof *slots);
    for (size_t i = 0; i < m->n; i++) {          /* keys are distinct: look for free slots only */
        size_t at = (size_t)map_hash(m->entries[i].key) & (n_slots - 1);
        while (slots[at]) {
            at = (at + 1) & (n_slots - 1);
        }
        slots[at] = (uint32_t)(i + 1);
    }
    mem_free(m->slots);
    m->slots = slots;
    m->n_slots = n_slots;
    return true;
}

static bool map_grow_entries(struct map *m) {
    size_t cap = m->cap ? m->cap * 2 : MAP_FIRST_SLOTS / 2;
    struct map_entry *entries = mem_realloc(m->entries, cap * sizeof *entries);
    if (!entries) {
        return false;
    }
    m->entries = entries;
    m->cap = cap;
    return true;
}

/* Room for one entry more, or the map has failed. */
static bool map_make_room(struct map *m) {
    if (m->n >= m->max || (m->n == m->cap && !map_grow_entries(m))
        || ((m->n + 1) * 2 > m->n_slots && !map_grow_slots(m))) {
        m->failed = true;
    }
    return !m->failed;
}

MLXK_FN uint64_t *map_put(struct map *m, struct str key, bool *is_new) {
    if (m->failed) {
        return NULL;
    }
    size_t at = 0;
    bool found = false;
    if (m->n_slots) {
        at = map_find_slot(m, key);
        found = m->slots[at] != 0;
    }
    if (!found) {
        size_t n_slots = m->n_slots;
        if (!map_make_room(m)) {
            return NULL;
        }
        at = m->n_slots == n_slots ? at : map_find_slot(m, key);
        m->entries[m->n++] = (struct map_entry){ key, 0 };
        m->slots[at] = (uint32_t)m->n;
    }
    if (is_new) {
        *is_new = !found;
    }
    return &m->entries[m->slots[at] - 1].value;
}

MLXK_FN const uint64_t *map_get(const struct map *m, struct str key) {
    if (m->n_slots == 0) {
        return NULL;
    }
    uint32_t index = m->slots[map_find_slot(m, key)];
    return index ? &m->entries[index - 1].value : NULL;
}
