/* fuzz_tmpl.c: any text as a chat template over one fixed conversation.
 *
 * Besides not crashing: errors are of the few kinds that a template may have, segments cover the output without
 * gaps, and a second render of the same tree gives the same text. Memory is kept small, so that most templates
 * that would run long end by it; the step limit ends the others.
 *
 * covers: template/tmpl_lex.c template/tmpl_expr.c template/tmpl_parse.c
 */
#include "template/tmpl.h"

int fuzz_tmpl(const uint8_t *data, size_t size);

enum { FUZZ_TMPL_MEMORY = 16 << 20 };

static const struct tmpl_clock fuzz_tmpl_clock = { 2026, 3, 14, 15, 9, 26 };

static struct str fuzz_tmpl_variables(void) {
    return STR("{\"messages\":[{\"role\":\"system\",\"content\":\" Be \\u00e9 <b> \\n\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
               "\"text\":\"a,b\"}]},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":"
               "{\"x\":1,\"y\":[2.5,true,null,18446744073709551615]}}}]}],\"tools\":[{\"name\":\"f\"}],\"bos_token\":\"<s>\","
               "\"eos_token\":\"</s>\",\"add_generation_prompt\":true,\"s\":\"Hello, World\",\"n\":-7,\"f\":2.5,\"l\":[3,1,2]}");
}

static bool fuzz_tmpl_render(const struct tmpl *t, const struct json *vars, struct arena *scratch, struct tmpl_output *out) {
    struct err e = { 0 };
    bool ok = tmpl_render(t, vars, &fuzz_tmpl_clock, scratch, out, &e);
    MLXK_ASSERT(ok || e.code == ERR_TEMPLATE || e.code == ERR_NO_MEMORY || e.code == ERR_LIMIT);
    MLXK_ASSERT(ok || e.code != ERR_TEMPLATE || e.hint[0]);
    size_t at = 0;
    for (size_t i = 0; ok && i < out->n_segments; i++) {
        MLXK_ASSERT(out->segments[i].begin == at && out->segments[i].end > at);
        at = out->segments[i].end;
    }
    MLXK_ASSERT(!ok || at == out->text.n);
    return ok;
}

int fuzz_tmpl(const uint8_t *data, size_t size) {
    struct str source = { (const char *)data, size };
    struct arena perm, scratch;
    struct tmpl_output first = { .n_segments = 0 }, second = { .n_segments = 0 };
    struct err e = { 0 };
    arena_init(&perm, FUZZ_TMPL_MEMORY);
    arena_init(&scratch, FUZZ_TMPL_MEMORY);
    buf_init(&first.text, FUZZ_TMPL_MEMORY);
    buf_init(&second.text, FUZZ_TMPL_MEMORY);
    const struct json *vars = json_parse(&perm, fuzz_tmpl_variables(), &e);
    MLXK_ASSERT(vars);
    const struct tmpl *t = tmpl_parse(&perm, source, &e);
    MLXK_ASSERT(t || e.code == ERR_TEMPLATE || e.code == ERR_NO_MEMORY || e.code == ERR_LIMIT);
    if (t) {
        bool ok = fuzz_tmpl_render(t, vars, &scratch, &first);
        arena_release(&scratch);
        arena_init(&scratch, FUZZ_TMPL_MEMORY);
        if (ok) {
            MLXK_ASSERT(fuzz_tmpl_render(t, vars, &scratch, &second));
            MLXK_ASSERT(str_eq(buf_str(&first.text), buf_str(&second.text)));
        }
    }
    buf_release(&first.text);
    buf_release(&second.text);
    arena_release(&scratch);
    arena_release(&perm);
    return 0;
}
