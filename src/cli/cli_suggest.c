/* cli_suggest.c: "did you mean": the names nearest to a word that named nothing.
 *
 * Nearness counts inserted, dropped, changed and swapped neighbouring bytes, case ignored. A guess
 * must be near (one byte in words below 5, three at most), or it would be noise. Pure; it prints
 * nothing.
 */
#include "cli/cli_suggest.h"

enum { CLI_SUGGEST_MAX_WORD = 96, CLI_SUGGEST_MIN_BEGINNING = 6 };

static unsigned char cli_suggest_byte(struct str s, size_t i) {
    unsigned char c = (unsigned char)s.p[i];
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

static size_t cli_suggest_min(size_t a, size_t b) { return a < b ? a : b; }

MLXK_FN size_t cli_suggest_distance(struct str a, struct str b) {
    size_t rows[3][CLI_SUGGEST_MAX_WORD + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    if (a.n > CLI_SUGGEST_MAX_WORD || b.n > CLI_SUGGEST_MAX_WORD) return SIZE_MAX;
    for (size_t j = 0; j <= b.n; j++) before[j] = last[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t same = cli_suggest_byte(a, i - 1) == cli_suggest_byte(b, j - 1) ? 0 : 1;
            now[j] = cli_suggest_min(last[j - 1] + same, cli_suggest_min(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && cli_suggest_byte(a, i - 1) == cli_suggest_byte(b, j - 2) &&
                cli_suggest_byte(a, i - 2) == cli_suggest_byte(b, j - 1))
                now[j] = cli_suggest_min(now[j], before[j - 2] + 1);
        }
        size_t *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[b.n];
}

MLXK_FN void cli_suggest_init(struct cli_suggest *s, struct str word) {
    *s = (struct cli_suggest){ .word = word, .limit = word.n < 5 ? 1 : word.n < 9 ? 2 : 3 };
    if (word.n < 2) s->limit = 0;
    s->distance = SIZE_MAX;
}

MLXK_FN void cli_suggest_try(struct cli_suggest *s, struct str name, struct str shown) {
    size_t distance = cli_suggest_distance(s->word, name);
    if (distance > s->limit || (s->n && distance > s->distance)) return;
    if (distance < s->distance) s->n = 0;
    s->distance = distance;
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->best[i], shown)) return;
    if (s->n < MLXK_COUNT(s->best)) s->best[s->n++] = shown;
}

MLXK_FN void cli_suggest_hint(const struct cli_suggest *s, struct err *e) {
    if (s->n == 1) err_hint(e, "did you mean " STR_FMT "?", STR_ARG(s->best[0]));
    if (s->n == 2)
        err_hint(e, "did you mean " STR_FMT " or " STR_FMT "?", STR_ARG(s->best[0]),
                 STR_ARG(s->best[1]));
    if (s->n > 2)
        err_hint(e, "did you mean " STR_FMT ", " STR_FMT " or " STR_FMT "?", STR_ARG(s->best[0]),
                 STR_ARG(s->best[1]), STR_ARG(s->best[2]));
}

/* ---- commands and models (Public) ---- */

static const struct { const char *word_cstr, *command_cstr; } cli_suggest_words[] = {
    { "ls", "list" }, { "models", "list" }, { "remove", "rm" }, { "delete", "rm" },
    { "uninstall", "rm" }, { "download", "pull" }, { "get", "pull" }, { "fetch", "pull" },
    { "install", "pull" }, { "add", "pull" }, { "info", "show" }, { "inspect", "show" },
    { "chat", "run" }, { "ask", "run" }, { "generate", "run" }, { "check", "health" },
    { "start", "serve" }, { "upload", "push" }, { "quantize", "convert" },
};

MLXK_FN void cli_suggest_command(struct str word, struct err *e) {
    struct cli_suggest s;
    cli_suggest_init(&s, word);
    for (size_t i = 0; i < MLXK_COUNT(cli_suggest_words); i++) {
        struct str command = str_cstr(cli_suggest_words[i].command_cstr);
        if (!str_ieq(word, str_cstr(cli_suggest_words[i].word_cstr)) || !cli_command_find(command))
            continue;
        err_hint(e, "did you mean " STR_FMT "?", STR_ARG(command));
        return;
    }
    for (size_t i = 0; cli_command_at(i); i++) {
        struct str name = str_cstr(cli_command_at(i)->name_cstr);
        cli_suggest_try(&s, name, name);
    }
    cli_suggest_hint(&s, e);
}

MLXK_FN void cli_suggest_model(struct cli_context *c, struct str spec, struct err *e) {
    struct cache_model *models;
    size_t n;
    struct cli_suggest s;
    struct err none = { 0 };
    spec = str_cut(&spec, '@');
    cli_suggest_init(&s, spec);
    struct str kind = cache_kind_join(&c->arena, cache_kind_of(spec), STR_EMPTY);
    if (spec.n < 3 || !cache_list_names(&c->arena, &c->cache, kind, &models, &n, &none))
        return;
    for (size_t i = 0; i < n; i++) {
        struct str name = models[i].display_name.n ? models[i].display_name : models[i].name;
        struct str last = str_sub(name, (size_t)(str_find_last(name, STR("/")) + 1), name.n);
        cli_suggest_try(&s, name, name);
        cli_suggest_try(&s, last, name);
        if (spec.n >= CLI_SUGGEST_MIN_BEGINNING)                 /* a beginning, mistyped */
            cli_suggest_try(&s, str_sub(last, 0, spec.n), name);
    }
    cli_suggest_hint(&s, e);
}
