/* cli_facts.c: build facts: one text inside the program, and the same text found in another one.
 *
 * 1. A function of the source alone: no host, no path, no clock, no hash of itself.
 * 2. The text is read where it lies: whoever wants to know what a file is need not run it.
 * 3. The line that begins it stands in a program once: a file with none or two is refused.
 */
#include "cli/cli_facts.h"

#include <build_info.h>

enum { CLI_FACTS_MAX = 1 << 14 };

#define CLI_FACTS_BEGIN "mlxk build facts, version 1\n"
#define CLI_FACTS_END "end of build facts\n"
#define CLI_FACTS_VENDOR(name, version, licence, hash) \
    "vendored " name " " version " " licence " " hash "\n"
#define CLI_FACTS_TEXT(x) CLI_FACTS_TEXT_OF(x)
#define CLI_FACTS_TEXT_OF(x) #x

static const char cli_facts_text[] =
    CLI_FACTS_BEGIN
    "version " MLXK_VERSION_FULL "\n"
    "part " MLXK_PART "\n"
    "commit " MLXK_COMMIT "\n"
    "tree " MLXK_TREE "\n"
    "commit_time " MLXK_COMMIT_TIME "\n"
    "dirty " CLI_FACTS_TEXT(MLXK_DIRTY) "\n"
    "target " MLXK_TARGET "\n"
    "compiler " MLXK_COMPILER "\n"
    "flags " MLXK_FLAGS "\n"
    "tls " MLXK_TLS "\n"
    "backend " MLXK_BACKEND "\n"
    "client " MLXK_CLIENT_VERSION "\n"
    "engine " MLXK_ENGINE_VERSION "\n"
    "min_engine " MLXK_MIN_ENGINE "\n"
    "min_client " MLXK_MIN_CLIENT "\n"
    "json_api " MLXK_JSON_API "\n"
    "http_api " MLXK_HTTP_API "\n"
    MLXK_VENDOR_TABLE(CLI_FACTS_VENDOR)
    CLI_FACTS_END;

MLXK_FN struct str cli_facts_own(void) {
    struct str all = { cli_facts_text, sizeof cli_facts_text - 1 };
    return str_sub(all, sizeof CLI_FACTS_BEGIN - 1, all.n - (sizeof CLI_FACTS_END - 1));
}

/* Where the text's first line stands in s. It is compared with the text's own, so that the program
 * holds it only once. */
static const char *cli_facts_begin(struct str s) {
    size_t n = sizeof CLI_FACTS_BEGIN - 1;
    for (size_t i = 0; i + n <= s.n; i++) {
        const char *at = memchr(s.p + i, cli_facts_text[0], s.n - n + 1 - i);
        if (!at) return NULL;
        if (memcmp(at, cli_facts_text, n) == 0) return at;
        i = (size_t)(at - s.p);
    }
    return NULL;
}

MLXK_FN bool cli_facts_find(struct str file, struct str *facts, struct err *e) {
    size_t n = sizeof CLI_FACTS_BEGIN - 1, n_end = sizeof CLI_FACTS_END - 1;
    const char *begin = cli_facts_begin(file);
    if (!begin) {
        err_set(e, ERR_FORMAT, "no build facts in it: it is no mlxk, or one older than 0.1.0");
        return false;
    }
    struct str rest = str_sub(file, (size_t)(begin - file.p) + n, file.n);
    if (cli_facts_begin(rest)) return err_set(e, ERR_FORMAT, "it has build facts twice");
    rest = str_sub(rest, 0, CLI_FACTS_MAX);
    struct str end_line = { cli_facts_text + sizeof cli_facts_text - 1 - n_end, n_end };
    ptrdiff_t end = str_find(rest, end_line);
    if (end < 0 || !utf8_valid(str_sub(rest, 0, (size_t)end)))
        return err_set(e, ERR_FORMAT, "its build facts are damaged");
    *facts = str_sub(rest, 0, (size_t)end);
    return true;
}

MLXK_FN bool cli_facts_read(struct arena *a, const char *path_cstr, struct str *facts,
                            struct err *e) {
    struct os_map map = { 0 };
    if (!os_map_file(path_cstr, &map, e)) return false;
    bool ok = cli_facts_find((struct str){ (const char *)map.p, map.size_bytes }, facts, e);
    if (ok) {
        *facts = str_dup(a, *facts);
        ok = facts->p || err_oom(e, CLI_FACTS_MAX, "build facts");
    } else err_context(e, "%s: ", path_cstr);
    os_unmap(&map);
    return ok;
}

MLXK_FN struct str cli_facts_get(struct str facts, const char *key_cstr) {
    while (facts.n) {
        struct str value = str_cut(&facts, '\n'), key = str_cut(&value, ' ');
        if (str_eq_cstr(key, key_cstr)) return value;
    }
    return STR_EMPTY;
}

MLXK_FN bool cli_facts_is_release(struct str facts) {
    struct str version = cli_facts_get(facts, "version");
    return version.n && str_eq(cli_facts_get(facts, "dirty"), STR("0"))
           && str_find(version, STR("-dev")) < 0 && str_find(version, STR(".dev")) < 0
           && str_find_char(version, '+') < 0;
}

#undef CLI_FACTS_BEGIN
#undef CLI_FACTS_END
#undef CLI_FACTS_VENDOR
#undef CLI_FACTS_TEXT
#undef CLI_FACTS_TEXT_OF
