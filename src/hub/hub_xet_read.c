/* hub_xet_read.c: packed chunks and reconstructions, read with suspicion. Pure.
 *
 * A reconstruction, version 1 and 2:
 *   {"offset_into_first_range": n, "terms": [{"hash", "unpacked_length", "range": {start, end}}],
 *    "fetch_info": {HASH: [{"range": {..}, "url", "url_range": {start, end inclusive}}]},
 *    "xorbs":      {HASH: [{"url", "ranges": [{"chunks": {..}, "bytes": {..inclusive}}]}]}}
 */
#include "hub/hub_xet.h"

/* ---- packed chunks (Public to the room) ------------------------------------------------------ */

enum hub_xet_scheme { HUB_XET_STORED, HUB_XET_LZ4, HUB_XET_PLANES };
static const char hub_xet_footer[] = "XETBLOB";

static uint32_t hub_xet_u24(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

MLXK_FN bool hub_xet_head(const uint8_t p[HUB_XET_HEAD], struct hub_xet_head *out, struct err *e) {
    if (memcmp(p, hub_xet_footer, sizeof hub_xet_footer - 1) == 0)
        return err_set(e, ERR_FORMAT, "a xorb has fewer chunks than its reconstruction says");
    *out = (struct hub_xet_head){ hub_xet_u24(p + 1), hub_xet_u24(p + 5), p[4] };
    if (p[0] != 0) return err_set(e, ERR_FORMAT, "a chunk of version %d", p[0]);
    if (out->unpacked_bytes == 0 || out->packed_bytes == 0)
        return err_set(e, ERR_FORMAT, "an empty chunk");
    if (out->unpacked_bytes > HUB_XET_MAX_CHUNK || out->packed_bytes > HUB_XET_MAX_PACKED)
        return err_set(e, ERR_LIMIT, "a chunk of %u bytes, packed %u", out->unpacked_bytes,
                       out->packed_bytes);
    return true;
}

/* Every fourth byte stands together: four planes, of which the first ones have a byte more. */
static void hub_xet_weave(const uint8_t *planes, uint8_t *out, size_t n) {
    const uint8_t *plane = planes;
    for (size_t k = 0; k < 4; k++) {
        size_t have = n / 4 + (k < n % 4);
        for (size_t i = 0; i < have; i++) out[i * 4 + k] = plane[i];
        plane += have;
    }
}

MLXK_FN bool hub_xet_unpack(const struct hub_xet_head *h, const uint8_t *packed, uint8_t *scratch,
                            uint8_t *out, struct err *e) {
    struct str frame = { (const char *)packed, h->packed_bytes };
    bool planes = h->scheme == HUB_XET_PLANES;
    size_t n = h->packed_bytes;
    if (h->scheme > HUB_XET_PLANES)
        return err_set(e, ERR_UNSUPPORTED, "a chunk packed in way %d, which is unknown", h->scheme);
    if (h->scheme != HUB_XET_STORED
        && !lz4_unpack(planes ? scratch : out, h->unpacked_bytes, &n, frame, e))
        return err_context(e, "a chunk: ");
    if (n != h->unpacked_bytes)
        return err_set(e, ERR_FORMAT, "a chunk has %zu bytes instead of %u", n, h->unpacked_bytes);
    if (h->scheme == HUB_XET_STORED) memcpy(out, packed, n);
    if (planes) hub_xet_weave(scratch, out, n);
    return true;
}

/* ---- reconstructions: reading (Private) ------------------------------------------------------ */

struct hub_xet_parser {
    struct arena *arena;
    struct json_reader in;
    struct hub_xet_plan *plan;
    size_t cap_terms, cap_parts;
    struct err *e;
};

static bool hub_xet_odd(struct hub_xet_parser *p, const char *what_cstr) {
    return err_set(p->e, ERR_FORMAT, "a reconstruction that cannot be used: %s", what_cstr);
}

static bool hub_xet_expect(struct hub_xet_parser *p, enum json_token_kind kind,
                           struct json_token *t) {
    return json_expect(&p->in, kind, t, p->e);
}

/* The next member of an object whose beginning was read, or its end. */
static bool hub_xet_member(struct hub_xet_parser *p, struct str *key, bool *end) {
    struct json_token t;
    if (!json_next(&p->in, &t, p->e)) return false;
    *end = t.kind == JSON_T_OBJECT_END;
    *key = t.text;
    return *end || t.kind == JSON_T_KEY || hub_xet_odd(p, "an object was expected");
}

/* The next element of an array, which is an object: its beginning has been read. */
static bool hub_xet_element(struct hub_xet_parser *p, bool *end) {
    struct json_token t;
    if (!json_next(&p->in, &t, p->e)) return false;
    *end = t.kind == JSON_T_ARRAY_END;
    return *end || t.kind == JSON_T_OBJECT || hub_xet_odd(p, "a list of objects was expected");
}

static bool hub_xet_number(struct hub_xet_parser *p, uint64_t most, uint64_t *out) {
    struct json_token t;
    int64_t x;
    if (!hub_xet_expect(p, JSON_T_NUMBER, &t)) return false;
    if (!json_token_i64(&t, &x) || x < 0 || (uint64_t)x > most)
        return hub_xet_odd(p, "a number out of bounds");
    *out = (uint64_t)x;
    return true;
}

static bool hub_xet_text(struct hub_xet_parser *p, struct str text, bool stable, struct str *out) {
    *out = stable ? text : str_dup(p->arena, text);
    return out->p || text.n == 0 || err_oom(p->e, text.n, "a reconstruction");
}

static bool hub_xet_hash(struct hub_xet_parser *p, struct str text, bool stable, struct str *out) {
    return hub_xet_text(p, text, stable, out)
           && (str_is_hex(*out, 64) || hub_xet_odd(p, "a hash that is none"));
}

/* {"start": n, "end": n}. */
static bool hub_xet_range(struct hub_xet_parser *p, uint64_t most, uint64_t *start, uint64_t *end) {
    struct json_token t;
    struct str key;
    bool over = false, has_start = false, has_end = false, ok = true;
    if (!hub_xet_expect(p, JSON_T_OBJECT, &t)) return false;
    while (ok && hub_xet_member(p, &key, &over) && !over) {
        bool is_start = str_eq(key, STR("start")), is_end = str_eq(key, STR("end"));
        has_start = has_start || is_start;
        has_end = has_end || is_end;
        ok = is_start ? hub_xet_number(p, most, start)
             : is_end ? hub_xet_number(p, most, end)
                      : json_skip(&p->in, NULL, p->e);
    }
    return ok && over && ((has_start && has_end) || hub_xet_odd(p, "a range without an end"));
}

static bool hub_xet_chunks(struct hub_xet_parser *p, uint32_t *first, uint32_t *end) {
    uint64_t from = 0, to = 0;
    if (!hub_xet_range(p, HUB_XET_MAX_CHUNKS, &from, &to)) return false;
    *first = (uint32_t)from;
    *end = (uint32_t)to;
    return from < to || hub_xet_odd(p, "a range of chunks without a chunk");
}

static bool hub_xet_bytes(struct hub_xet_parser *p, uint64_t *from, uint64_t *to) {
    uint64_t last = 0;
    if (!hub_xet_range(p, HUB_XET_MAX_XORB - 1, from, &last)) return false;
    *to = last + 1;
    return *from < *to || hub_xet_odd(p, "a range of bytes without a byte");
}

/* ---- reconstructions: terms (Private) -------------------------------------------------------- */

static bool hub_xet_term_member(struct hub_xet_parser *p, struct str key, struct hub_xet_term *t) {
    struct json_token token;
    if (str_eq(key, STR("hash")))
        return hub_xet_expect(p, JSON_T_STRING, &token)
               && hub_xet_hash(p, token.text, token.stable, &t->hash);
    if (str_eq(key, STR("unpacked_length")))
        return hub_xet_number(p, (uint64_t)HUB_XET_MAX_CHUNKS * HUB_XET_MAX_CHUNK,
                              &t->unpacked_bytes);
    if (str_eq(key, STR("range"))) return hub_xet_chunks(p, &t->first, &t->end);
    return json_skip(&p->in, NULL, p->e);
}

static bool hub_xet_term(struct hub_xet_parser *p) {
    struct hub_xet_plan *plan = p->plan;
    struct hub_xet_term t = { .hash = STR_EMPTY };
    struct str key;
    bool over = false;
    if (plan->n_terms == HUB_XET_MAX_TERMS)
        return err_set(p->e, ERR_LIMIT, "a reconstruction of more than %d terms",
                       HUB_XET_MAX_TERMS);
    while (hub_xet_member(p, &key, &over) && !over)
        if (!hub_xet_term_member(p, key, &t)) return false;
    if (!over) return false;
    uint64_t chunks = t.end - t.first;
    if (!t.hash.n || chunks == 0 || t.unpacked_bytes < chunks
        || t.unpacked_bytes > chunks * HUB_XET_MAX_CHUNK)
        return hub_xet_odd(p, "a term whose length does not fit its chunks");
    struct hub_xet_term *grown = ARENA_GROW(p->arena, struct hub_xet_term, plan->terms,
                                            plan->n_terms, &p->cap_terms, 16);
    if (!grown) return err_oom(p->e, sizeof t, "a reconstruction");
    plan->terms = grown;
    plan->terms[plan->n_terms++] = t;
    return true;
}

static bool hub_xet_terms(struct hub_xet_parser *p) {
    struct json_token t;
    bool over = false;
    if (!hub_xet_expect(p, JSON_T_ARRAY, &t)) return false;
    while (hub_xet_element(p, &over) && !over)
        if (!hub_xet_term(p)) return false;
    return over;
}

/* ---- reconstructions: where xorbs are (Private) ---------------------------------------------- */

static bool hub_xet_part_add(struct hub_xet_parser *p, const struct hub_xet_part *part) {
    struct hub_xet_plan *plan = p->plan;
    if (plan->n_parts == HUB_XET_MAX_PARTS)
        return err_set(p->e, ERR_LIMIT, "a reconstruction of more than %d parts",
                       HUB_XET_MAX_PARTS);
    uint64_t least = (uint64_t)(part->end - part->first) * HUB_XET_HEAD;
    if (part->end == 0 || part->to - part->from < least)
        return hub_xet_odd(p, "a part whose length does not fit its chunks");
    struct hub_xet_part *grown = ARENA_GROW(p->arena, struct hub_xet_part, plan->parts,
                                            plan->n_parts, &p->cap_parts, 16);
    if (!grown) return err_oom(p->e, sizeof *part, "a reconstruction");
    plan->parts = grown;
    plan->parts[plan->n_parts++] = *part;
    return true;
}

/* Version 2: {"chunks": {..}, "bytes": {..}}, several below one address. */
static bool hub_xet_ranges(struct hub_xet_parser *p, struct str hash) {
    struct json_token t;
    struct str key;
    bool over = false, end = false, ok = true;
    if (!hub_xet_expect(p, JSON_T_ARRAY, &t)) return false;
    while (hub_xet_element(p, &over) && !over) {
        struct hub_xet_part part = { .hash = hash };
        while (ok && hub_xet_member(p, &key, &end) && !end)
            ok = str_eq(key, STR("chunks"))  ? hub_xet_chunks(p, &part.first, &part.end)
                 : str_eq(key, STR("bytes")) ? hub_xet_bytes(p, &part.from, &part.to)
                                             : json_skip(&p->in, NULL, p->e);
        if (!ok || !end || !hub_xet_part_add(p, &part)) return false;
    }
    return over;
}

static bool hub_xet_url(struct hub_xet_parser *p, struct str *url) {
    struct json_token t;
    return hub_xet_expect(p, JSON_T_STRING, &t)
           && ((t.text.n > 0 && t.text.n <= NET_MAX_URL) || hub_xet_odd(p, "an address of no use"))
           && hub_xet_text(p, t.text, t.stable, url);
}

/* One address of a xorb, in either version. */
static bool hub_xet_place(struct hub_xet_parser *p, struct str hash) {
    struct hub_xet_part own = { .hash = hash };
    struct str key, url = STR_EMPTY;
    size_t begin = p->plan->n_parts;
    bool over = false, ok = true, has_own = false;
    while (ok && hub_xet_member(p, &key, &over) && !over) {
        bool chunks = str_eq(key, STR("range")), bytes = str_eq(key, STR("url_range"));
        has_own = has_own || chunks || bytes;
        ok = str_eq(key, STR("url"))      ? hub_xet_url(p, &url)
             : str_eq(key, STR("ranges")) ? hub_xet_ranges(p, hash)
             : chunks                     ? hub_xet_chunks(p, &own.first, &own.end)
             : bytes                      ? hub_xet_bytes(p, &own.from, &own.to)
                                          : json_skip(&p->in, NULL, p->e);
    }
    if (!ok || !over || (has_own && !hub_xet_part_add(p, &own))) return false;
    if (!url.n) return hub_xet_odd(p, "a xorb without an address");
    for (size_t i = begin; i < p->plan->n_parts; i++) p->plan->parts[i].url = url;
    return true;
}

static bool hub_xet_places(struct hub_xet_parser *p) {
    struct json_token t;
    bool end = false, over = false;
    if (!hub_xet_expect(p, JSON_T_OBJECT, &t)) return false;
    for (;;) {
        struct str hash;
        if (!json_next(&p->in, &t, p->e)) return false;
        if (t.kind == JSON_T_OBJECT_END) return true;
        if (t.kind != JSON_T_KEY) return hub_xet_odd(p, "an object was expected");
        if (!hub_xet_hash(p, t.text, t.stable, &hash)) return false;
        if (!hub_xet_expect(p, JSON_T_ARRAY, &t)) return false;
        while ((over = hub_xet_element(p, &end)) && !end)
            if (!hub_xet_place(p, hash)) return false;
        if (!over) return false;
    }
}

/* ---- reconstructions: do they add up? (Private) ---------------------------------------------- */

static const struct hub_xet_part *hub_xet_find(const struct hub_xet_plan *plan,
                                               const struct hub_xet_term *t, size_t *hint) {
    for (size_t i = 0; i < plan->n_parts; i++) {
        size_t at = (*hint + i) % plan->n_parts;
        const struct hub_xet_part *part = &plan->parts[at];
        if (part->first > t->first || part->end < t->end || !str_eq(part->hash, t->hash)) continue;
        *hint = at;
        return part;
    }
    return NULL;
}

static bool hub_xet_adds_up(struct hub_xet_parser *p, uint64_t want_bytes) {
    struct hub_xet_plan *plan = p->plan;
    uint64_t sum = 0, wanted = plan->skip_bytes + want_bytes;
    size_t hint = 0;
    for (size_t i = 0; i < plan->n_terms; i++) {
        struct hub_xet_term *t = &plan->terms[i];
        if (sum >= wanted) return hub_xet_odd(p, "it has more terms than were asked for");
        sum += t->unpacked_bytes;
        t->part = hub_xet_find(plan, t, &hint);
        if (!t->part) return hub_xet_odd(p, "a term whose bytes are nowhere");
    }
    if (sum < wanted) return hub_xet_odd(p, "its terms are less than was asked for");
    return plan->skip_bytes < plan->terms[0].unpacked_bytes
           || hub_xet_odd(p, "its first term has nothing of what was asked for");
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

static bool hub_xet_read(struct hub_xet_parser *p) {
    struct json_token t;
    struct str key;
    bool over = false, ok = true;
    if (!hub_xet_expect(p, JSON_T_OBJECT, &t)) return false;
    while (ok && hub_xet_member(p, &key, &over) && !over)
        ok = str_eq(key, STR("terms")) ? hub_xet_terms(p)
             : str_eq(key, STR("offset_into_first_range"))
                 ? hub_xet_number(p, HUB_XET_MAX_XORB * 16, &p->plan->skip_bytes)
             : str_eq(key, STR("fetch_info")) || str_eq(key, STR("xorbs"))
                 ? hub_xet_places(p)
                 : json_skip(&p->in, NULL, p->e);
    return ok && over && hub_xet_expect(p, JSON_T_END, &t);
}

MLXK_FN bool hub_xet_parse(struct arena *a, struct str text, uint64_t want_bytes,
                           struct hub_xet_plan *out, struct err *e) {
    struct hub_xet_parser p = { .arena = a, .plan = out, .e = e };
    *out = (struct hub_xet_plan){ 0 };
    json_reader_init(&p.in, text, 16);
    bool ok = hub_xet_read(&p) && hub_xet_adds_up(&p, want_bytes);
    json_reader_release(&p.in);
    if (!ok) *out = (struct hub_xet_plan){ 0 };
    return ok;
}

MLXK_FN bool hub_xet_token_ok(struct hub_xet_token *t, struct err *e) {
    while (str_ends(t->cas, STR("/"))) t->cas.n--;
    if (!t->cas.n || !t->token.n || t->expires_s == 0)
        return err_set(e, ERR_FORMAT, "the token for Xet: something is missing");
    return hub_token_ok(t->token, "the hub", e);
}

MLXK_FN bool hub_xet_parse_token(struct arena *a, struct str text, struct hub_xet_token *out,
                                 struct err *e) {
    struct hub_xet_token t = { .cas = STR_EMPTY };
    struct json *v = json_parse(a, text, e);
    bool ok = v && json_read_str(v, "casUrl", &t.cas, e)
              && json_read_str(v, "accessToken", &t.token, e)
              && json_read_i64(v, "exp", 0, INT64_MAX, &t.expires_s, e);
    if (!ok) return err_context(e, "the token for Xet: ");
    *out = t;
    return hub_xet_token_ok(out, e);
}
