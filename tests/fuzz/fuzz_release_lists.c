/* fuzz_release_lists.c: SHA256SUMS and build facts: what is read has only names of files, each once, and stands in the text.
 * covers: cli/cli_sums.c cli/cli_facts.c:cli_facts_find cli/cli_facts.c:cli_facts_begin
 * covers: cli/cli_facts.c:cli_facts_get cli/cli_facts.c:cli_facts_is
 */
#include "cli/cli_facts.h"

int fuzz_release_lists(const uint8_t *data, size_t size);

int fuzz_release_lists(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size }, facts = STR_EMPTY;
    struct arena a;
    struct cli_sums sums;
    struct err e = { 0 }, e2 = { 0 };
    arena_init(&a, 16 << 20);
    bool ok = cli_sums_parse(&a, text, &sums, &e);
    MLXK_ASSERT(ok == (e.code == ERR_OK));
    for (size_t i = 0; ok && i < sums.n; i++) {
        MLXK_ASSERT(str_find_char(sums.lines[i].name, '/') < 0 && sums.lines[i].name.p[0] != '.');
        MLXK_ASSERT(str_is_hex(sums.lines[i].hex, 64));
        MLXK_ASSERT(cli_sums_find(&sums, sums.lines[i].name) == &sums.lines[i]);
    }
    ok = cli_facts_find(text, &facts, &e2);
    MLXK_ASSERT(ok == (e2.code == ERR_OK));
    if (ok) {
        MLXK_ASSERT(facts.p >= text.p && facts.p + facts.n <= text.p + text.n);
        if (cli_facts_is_release(facts)) MLXK_ASSERT(cli_facts_get(facts, "version").n > 0);
    }
    MLXK_ASSERT(cli_facts_get(cli_facts_own(), "commit").n > 0);
    arena_release(&a);
    return 0;
}
