/* rel_git_tags.c: what git's history and tags tell: releases that were tagged, parents, ages; and
 * the one tag that is made.
 *
 * 1. A tag is made when a person asks for it and never moved; nothing else is written.
 */
#include "release/rel_int.h"

#define REL_GIT(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- tags of git ---- */

MLXK_FN bool rel_git_tag(struct arena *a, const struct rel_origin *o, struct str tag,
                         struct str message, struct err *e) {
    struct rel_git g;
    struct str peeled = STR_EMPTY,
               name = str_format(a, STR_FMT "%c", STR_ARG(tag), 0),
               spec = str_format(a, "refs/tags/" STR_FMT "^{commit}%c", STR_ARG(tag), 0),
               text = str_format(a, STR_FMT "%c", STR_ARG(message), 0);
    if (!name.p || !spec.p || !text.p) return err_oom(e, message.n, "a tag of git");
    rel_git_open(&g, a, o->dir_cstr);
    bool ok = rel_git_line(&g, REL_GIT("rev-parse", "-q", "--verify", spec.p), &peeled, e);
    if (ok && peeled.n && !str_eq(peeled, o->commit)) {
        ok = err_set(e, ERR_EXISTS, "the git tag " STR_FMT " stands on commit %.12s, not on %.12s",
                     STR_ARG(tag), peeled.p, o->commit.p);
        err_hint(e, "a tag of a release never moves; look at it with git show " STR_FMT,
                 STR_ARG(tag));
    } else if (ok && !peeled.n) {
        ok = rel_git_must(&g, REL_GIT("tag", "-a", "-m", text.p, name.p), e);
    }
    rel_git_close(&g);
    return ok;
}

/* "interface <64 hex>" and so on, a line each, in the message of a tag. */
static void rel_git_message(struct arena *a, struct str text, struct rel_known *k) {
    struct { struct str word; char *to; } rows[] = {
        { STR("interface "), k->hash.iface }, { STR("logic "), k->hash.logic },
        { STR("weights "), k->hash.weights }, { STR("docs "), k->hash.docs },
    };
    size_t n = 0;
    for (struct str rest = text; rest.p;) {
        struct str line = str_trim(str_cut(&rest, '\n'));
        if (str_starts(line, STR("repository ")))
            k->repo = str_dup(a, str_trim(str_sub(line, 11, line.n)));
        if (str_starts(line, STR("digest sha256:")) && str_is_hex(str_sub(line, 14, line.n), 64))
            k->digest = str_dup(a, str_sub(line, 7, line.n));
        for (size_t i = 0; i < MLXK_COUNT(rows); i++) {
            struct str value = str_sub(line, rows[i].word.n, line.n);
            if (!str_starts(line, rows[i].word) || !str_is_hex(value, 64)) continue;
            memcpy(rows[i].to, value.p, 64);
            rows[i].to[64] = 0;
            n++;
        }
    }
    k->has_hash = n == MLXK_COUNT(rows);
}

MLXK_FN bool rel_known_add(struct arena *a, struct rel_known_list *l, const struct rel_known *k,
                           struct err *e) {
    struct rel_known *grown = ARENA_GROW(a, struct rel_known, l->items, l->n, &l->cap, 64);
    if (!grown) return err_oom(e, (l->n + 1) * sizeof *grown, "a list of releases");
    l->items = grown;
    l->items[l->n++] = *k;
    return true;
}

/* NAME NUL OBJECT NUL PEELED NUL MESSAGE NUL LF, as asked for below. */
MLXK_FN bool rel_git_releases(struct arena *a, const struct rel_origin *o, struct str name,
                              struct rel_known_list *list, struct err *e) {
    struct rel_git g;
    struct str prefix = str_format(a, "mdl-" STR_FMT "-", STR_ARG(name)),
               pattern = str_format(a, "refs/tags/mdl-" STR_FMT "-v*%c", STR_ARG(name), 0);
    if (o->kind != REL_FROM_GIT) return true;
    if (!prefix.p || !pattern.p) return err_oom(e, name.n, "a tag of git");
    rel_git_open(&g, a, o->dir_cstr);
    bool ok = rel_git_must(&g,
                           REL_GIT("for-each-ref",
                                   "--format=%(refname:strip=2)%00%(objectname)%00"
                                   "%(*objectname)%00%(contents)%00",
                                   pattern.p),
                           e);
    struct str rest = ok ? str_dup(a, buf_str(&g.out)) : STR_EMPTY;
    while (ok && rest.p && str_trim(rest).n) {
        struct rel_known k = { .from_git = true };
        struct str tag = str_trim(str_cut(&rest, 0)), object = str_cut(&rest, 0),
                   peeled = str_cut(&rest, 0), message = str_cut(&rest, 0);
        if (!str_starts(tag, prefix)
            || !rel_version_parse(str_sub(tag, prefix.n, tag.n), &k.version))
            continue;
        k.commit = peeled.n ? peeled : object;
        rel_git_message(a, message, &k);
        ok = rel_known_add(a, list, &k, e);
    }
    rel_git_close(&g);
    return ok;
}

/* ---- parents ---- */

MLXK_FN bool rel_git_history(struct arena *a, const struct rel_origin *o, struct str *out,
                             struct err *e) {
    struct rel_git g;
    char limit[48];
    *out = STR_EMPTY;
    struct str text = str_format(a, "--max-count=%d%c", (int)REL_MAX_HISTORY, 0);
    if (!text.p || text.n > sizeof limit) return err_oom(e, sizeof limit, "a history");
    memcpy(limit, text.p, text.n);
    rel_git_open(&g, a, o->dir_cstr);
    bool ok = rel_git_must(&g, REL_GIT("rev-list", "--parents", limit, "HEAD"), e);
    if (ok && g.out.n) *out = str_dup(a, buf_str(&g.out));
    if (ok && g.out.n && !out->p) ok = err_oom(e, g.out.n, "a history");
    rel_git_close(&g);
    return ok;
}

MLXK_FN bool rel_git_distance(struct arena *a, const struct rel_origin *o, struct str base,
                              uint64_t *out, struct err *e) {
    struct rel_git g;
    struct str n = STR_EMPTY, spec = str_format(a, STR_FMT "..HEAD%c", STR_ARG(base), 0);
    *out = 0;
    if (!spec.p) return err_oom(e, base.n, "a commit");
    rel_git_open(&g, a, o->dir_cstr);
    bool ok = rel_git_line(&g, REL_GIT("rev-list", "--count", spec.p), &n, e);
    if (ok) (void)num_parse_u64(n, UINT64_MAX, out);
    rel_git_close(&g);
    return ok;
}

MLXK_FN bool rel_git_commit_time(struct arena *a, const char *dir_cstr, struct str commit,
                                 int64_t *time_s, bool *known, struct err *e) {
    struct rel_git g;
    struct str said = STR_EMPTY, spec = str_format(a, STR_FMT "^{commit}%c", STR_ARG(commit), 0);
    *known = false;
    if (!spec.p) return err_oom(e, commit.n, "a commit");
    rel_git_open(&g, a, dir_cstr);
    bool ok = rel_git_line(&g, REL_GIT("log", "-1", "--no-show-signature", "--format=%ct", spec.p),
                           &said, e);
    rel_git_close(&g);
    if (!ok && (e->code == ERR_INTERRUPTED || e->code == ERR_NO_MEMORY)) return false;
    err_clear(e);
    *known = num_parse_i64(said, 0, INT64_MAX / 2, time_s);
    return true;
}

#undef REL_GIT
