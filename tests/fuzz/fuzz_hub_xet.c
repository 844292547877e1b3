/* fuzz_hub_xet.c: any bytes as what a content-addressed storage answers: a reconstruction of 1000
 * bytes, a token, packed chunks one after the other.
 *
 * Besides not crashing: what is accepted can be followed: terms add up and lie in their parts, parts
 * are within bounds, chunks fill exactly what they say.
 *
 * covers: hub/hub_xet_read.c
 */
#include "hub/hub_xet.h"

int fuzz_hub_xet(const uint8_t *data, size_t size);

enum { FUZZ_HUB_XET_WANT = 1000 };

static void fuzz_hub_xet_plan(const struct hub_xet_plan *p) {
    uint64_t sum = 0;
    MLXK_ASSERT(p->n_terms > 0 && p->n_terms <= HUB_XET_MAX_TERMS && p->n_parts <= HUB_XET_MAX_PARTS);
    for (size_t i = 0; i < p->n_terms; i++) {
        const struct hub_xet_term *t = &p->terms[i];
        const struct hub_xet_part *part = t->part;
        MLXK_ASSERT(sum < p->skip_bytes + FUZZ_HUB_XET_WANT);
        sum += t->unpacked_bytes;
        MLXK_ASSERT(part >= p->parts && part < p->parts + p->n_parts && str_eq(part->hash, t->hash));
        MLXK_ASSERT(part->first <= t->first && t->first < t->end && t->end <= part->end);
        MLXK_ASSERT(part->end <= HUB_XET_MAX_CHUNKS && part->from < part->to);
        MLXK_ASSERT(part->to <= HUB_XET_MAX_XORB && part->url.n && part->url.n <= NET_MAX_URL);
    }
    MLXK_ASSERT(sum >= p->skip_bytes + FUZZ_HUB_XET_WANT);
    MLXK_ASSERT(p->skip_bytes < p->terms[0].unpacked_bytes);
}

static void fuzz_hub_xet_chunks(const uint8_t *data, size_t size) {
    uint8_t *scratch = mem_alloc(HUB_XET_MAX_CHUNK);
    MLXK_ASSERT(scratch);
    while (size >= HUB_XET_HEAD) {
        struct hub_xet_head h;
        struct err e = { 0 };
        if (!hub_xet_head(data, &h, &e) || h.packed_bytes > size - HUB_XET_HEAD) break;
        uint8_t *out = mem_alloc(h.unpacked_bytes), *packed = mem_alloc(h.packed_bytes);
        MLXK_ASSERT(out && packed);      /* of exactly these sizes: one byte more is found out */
        memcpy(packed, data + HUB_XET_HEAD, h.packed_bytes);
        bool ok = hub_xet_unpack(&h, packed, scratch, out, &e);
        MLXK_ASSERT(ok == (e.code == ERR_OK));
        mem_free(out);
        mem_free(packed);
        data += HUB_XET_HEAD + h.packed_bytes;
        size -= HUB_XET_HEAD + h.packed_bytes;
    }
    mem_free(scratch);
}

int fuzz_hub_xet(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size };
    struct arena a;
    struct err e = { 0 };
    struct hub_xet_plan plan;
    struct hub_xet_token token = { .expires_s = 0 };
    if (size == 0) return 0;
    arena_init(&a, HUB_XET_MEMORY);
    bool ok = hub_xet_parse(&a, text, FUZZ_HUB_XET_WANT, &plan, &e);
    MLXK_ASSERT(ok == (e.code == ERR_OK));
    if (ok) fuzz_hub_xet_plan(&plan);
    err_clear(&e);
    ok = hub_xet_parse_token(&a, text, &token, &e);
    MLXK_ASSERT(ok == (e.code == ERR_OK) && (!ok || (token.cas.n && token.token.n)));
    fuzz_hub_xet_chunks(data, size);
    arena_release(&a);
    return 0;
}
