/* fuzz_care_journal.c: lines of the journal of verified files, and times as people write them.
 *
 * covers: care/care_journal.c:care_journal_parse care/care_when.c
 */
#include "care/care.h"

int fuzz_care_journal(const uint8_t *data, size_t size);

int fuzz_care_journal(const uint8_t *data, size_t size) {
    struct str rest = { (const char *)data, size }, path;
    struct care_seen seen;
    struct err e = { 0 };
    int64_t ns;
    while (rest.p) {
        struct str line = str_cut(&rest, '\n');
        if (care_journal_parse(line, &seen, &path)) {
            MLXK_ASSERT(seen.time_ns >= 0);
            MLXK_ASSERT(path.n == 0 || (path.p[0] == '/' && path.n < LIMIT_PATH));
        }
        if (care_parse_age(line, &ns, &e)) MLXK_ASSERT(ns >= 0);
        if (care_parse_when(line, INT64_MAX / 2, &ns, &e)) MLXK_ASSERT(ns >= 0);
        err_clear(&e);
    }
    return 0;
}
