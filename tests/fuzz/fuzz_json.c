/* fuzz_json.c: any text through both tree readers and back out through the writer.
 *
 * Besides not crashing: cJSON's tree and ours never differ (ERR_INTERNAL), both ways of reading give
 * the same verdict and the same tree, and what is written reads back as what was written.
 *
 * covers: json/json_read.c json/json_get.c
 */
#include "json/json.h"

int fuzz_json(const uint8_t *data, size_t size);

enum { FUZZ_JSON_MEMORY = 512 << 20 };

static void fuzz_json_print(const struct json *v, bool pretty, bool ascii, struct buf *out) {
    struct json_writer w;
    buf_reset(out);
    json_write_init(&w, out, pretty, ascii);
    json_write_value(&w, v);
}

/* Writing, reading and writing again gives the same text. */
static void fuzz_json_round_trip(struct arena *a, const struct json *v, bool pretty) {
    struct buf first, second;
    struct err e = { 0 };
    buf_init(&first, FUZZ_JSON_MEMORY);
    buf_init(&second, FUZZ_JSON_MEMORY);
    fuzz_json_print(v, pretty, pretty, &first);
    if (!first.failed && first.n <= LIMIT_JSON_DOC) {
        const struct json *again = json_parse(a, buf_str(&first), &e);
        MLXK_ASSERT(again || e.code == ERR_NO_MEMORY);
        if (again) {
            fuzz_json_print(again, pretty, pretty, &second);
            MLXK_ASSERT(str_eq(buf_str(&first), buf_str(&second)));
        }
    }
    buf_release(&first);
    buf_release(&second);
}

int fuzz_json(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size };
    struct arena a;
    struct err e = { 0 }, e_large = { 0 };
    arena_init(&a, FUZZ_JSON_MEMORY);
    const struct json *v = json_parse(&a, text, &e);
    const struct json *large = json_parse_large(&a, text, &e_large);
    MLXK_ASSERT(v != NULL || e.code == ERR_FORMAT || e.code == ERR_LIMIT);
    if (size <= LIMIT_JSON_DOC) {
        MLXK_ASSERT((v != NULL) == (large != NULL) && e.code == e_large.code);
    }
    struct err e_lenient = { 0 };
    const struct json *lenient = json_parse_lenient(&a, text, &e_lenient);
    MLXK_ASSERT(lenient ? true : large == NULL);
    if (lenient) {
        fuzz_json_round_trip(&a, lenient, false);   /* keys are unique: the strict reader takes it */
    }
    if (v) {
        fuzz_json_round_trip(&a, v, true);
        fuzz_json_round_trip(&a, large, false);
        int64_t i = 0;
        double d = 0;
        bool b = false;
        struct str s;
        json_read_i64(v, "a", -100, 100, &i, &e);
        json_read_f64(v, "a", &d, &e);
        json_read_bool(v, "a", &b, &e);
        json_read_str(v, "a", &s, &e);
        MLXK_ASSERT(i >= -100 && i <= 100);
    }
    arena_release(&a);
    return 0;
}
