/* cli_sums.c: SHA256SUMS, read strictly: what is not exactly of its form is no list of a release.
 * ref: coreutils, sha256sum (text lines without escapes).
 */
#include "cli/cli_facts.h"

static bool cli_sums_name_ok(struct str s) {
    static const char others[] = "._-+";
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
                     || (ch >= '0' && ch <= '9');
        if (!plain && !(ch && strchr(others, ch))) return false;
    }
    return s.n > 0 && s.n <= 255 && s.p[0] != '.' && s.p[0] != '-';
}

MLXK_FN const struct cli_sum *cli_sums_find(const struct cli_sums *s, struct str name) {
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->lines[i].name, name)) return &s->lines[i];
    return NULL;
}

MLXK_FN bool cli_sums_parse(struct arena *a, struct str text, struct cli_sums *out, struct err *e) {
    size_t n_lines = 0;
    *out = (struct cli_sums){ 0 };
    for (size_t i = 0; i < text.n; i++) n_lines += text.p[i] == '\n';
    if (!text.n || text.p[text.n - 1] != '\n')
        return err_set(e, ERR_FORMAT, "%s", text.n ? "its last line is cut" : "it is empty");
    if (n_lines > CLI_SUMS_MAX)
        return err_set(e, ERR_LIMIT, "it has %zu lines, more than %d", n_lines, CLI_SUMS_MAX);
    out->lines = ARENA_ARRAY(a, struct cli_sum, n_lines);
    if (!out->lines) return err_oom(e, n_lines * sizeof *out->lines, "a list of hashes");
    while (text.n) {
        struct str line = str_cut(&text, '\n');
        struct cli_sum x = { str_sub(line, 66, line.n), str_sub(line, 0, 64) };
        if (!str_is_hex(x.hex, 64) || !str_eq(str_sub(line, 64, 66), STR("  "))
            || !cli_sums_name_ok(x.name))
            return err_set(e, ERR_FORMAT, "line %zu is not of the form HASH  NAME", out->n + 1);
        if (cli_sums_find(out, x.name))
            return err_set(e, ERR_FORMAT, "it names " STR_FMT " twice", STR_ARG(x.name));
        out->lines[out->n++] = x;
    }
    return true;
}
