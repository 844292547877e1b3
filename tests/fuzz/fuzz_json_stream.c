/* fuzz_json_stream.c: any text through the pull reader, by tokens and by skipping.
 *
 * Tokens stay inside the input, depth stays balanced, and json_skip over the whole value accepts
 * exactly what reading token by token accepts.
 *
 * covers: json/json_stream.c
 */
#include "json/json.h"

int fuzz_json_stream(const uint8_t *data, size_t size);

static bool fuzz_json_stream_tokens(struct str text, size_t max_depth) {
    struct json_reader r;
    struct json_token t;
    struct err e = { 0 };
    int64_t number;
    json_reader_init(&r, text, max_depth);
    bool ok;
    do {
        size_t before = r.pos;
        ok = json_next(&r, &t, &e);
        MLXK_ASSERT(r.pos >= before && r.pos <= text.n && r.depth <= max_depth);
        if (ok) {
            MLXK_ASSERT(t.offset_bytes <= text.n && utf8_valid(t.text));
            MLXK_ASSERT(!t.stable || (t.text.p >= text.p && t.text.p + t.text.n <= text.p + text.n));
            (void)json_token_i64(&t, &number);
        }
    } while (ok && t.kind != JSON_T_END);
    MLXK_ASSERT(ok ? e.code == ERR_OK && r.depth == 0 : e.code != ERR_OK && !json_next(&r, &t, &e));
    json_reader_release(&r);
    return ok;
}

static bool fuzz_json_stream_skip(struct str text, size_t max_depth) {
    struct json_reader r;
    struct json_token t;
    struct err e = { 0 };
    struct str raw;
    json_reader_init(&r, text, max_depth);
    bool ok = json_skip(&r, &raw, &e);
    MLXK_ASSERT(!ok || (raw.n > 0 && raw.p >= text.p && raw.p + raw.n <= text.p + text.n));
    ok = ok && json_expect(&r, JSON_T_END, &t, &e);
    json_reader_release(&r);
    return ok;
}

int fuzz_json_stream(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size };
    static const size_t depths[] = { 4, LIMIT_JSON_DEPTH };
    for (size_t i = 0; i < MLXK_COUNT(depths); i++) {
        MLXK_ASSERT(fuzz_json_stream_tokens(text, depths[i]) ==
                    fuzz_json_stream_skip(text, depths[i]));
    }
    return 0;
}
