/* rel_git.c: where a state stands in a git history; the git program is asked, nothing is guessed.
 *
 * Hooks, pagers, prompts and optional locks are switched off, variables that point git elsewhere
 * are removed, and every answer is bounded. Outside a work tree the name of a snapshot of the cache
 * stands for the commit, and outside that the files alone tell a state ("nogit", and the hash of
 * all of them).
 *
 * 1. The dirty hash is over sorted lines PATH NUL STATUS NUL SHA256 of what differs from the commit
 *    inside the model's folder: M changed, A added to the index, D deleted, ? not known to git.
 *    Ignored classes do not count; weights count even where .gitignore names them, because they are
 *    part of the model.
 * 2. A pointer of large file storage counts as the file that it names.
 */
#include "release/rel_int.h"

enum { REL_GIT_WAIT_MS = 120000, REL_GIT_WORDS = 16 };
#define REL_GIT_MAX_OUT ((size_t)128 << 20)

/* ---- asking ---- */

struct rel_git { struct arena *a; const char *dir_cstr; struct buf out, diag; int status; };

static void rel_git_open(struct rel_git *g, struct arena *a, const char *dir_cstr) {
    *g = (struct rel_git){ .a = a, .dir_cstr = dir_cstr };
    buf_init(&g->out, REL_GIT_MAX_OUT);
    buf_init(&g->diag, 4096);
}

static void rel_git_close(struct rel_git *g) {
    buf_release(&g->out);
    buf_release(&g->diag);
}

/* git WORDS in the folder; true whatever its exit status, which is g->status. words: NULL at the
 * end. */
static bool rel_git_ask(struct rel_git *g, const char *const *words, struct err *e) {
    static const char *const env[] = { "LC_ALL=C",
                                       "GIT_OPTIONAL_LOCKS=0",
                                       "GIT_TERMINAL_PROMPT=0",
                                       "GIT_PAGER=cat",
                                       "GIT_DIR",
                                       "GIT_WORK_TREE",
                                       "GIT_INDEX_FILE",
                                       "GIT_PREFIX",
                                       "GIT_OBJECT_DIRECTORY",
                                       "GIT_NAMESPACE",
                                       NULL };
    const char *argv[REL_GIT_WORDS + 4] = { "git", "-c", "core.quotePath=false" };
    size_t n = 3;
    while (words[n - 3] && n < REL_GIT_WORDS + 3) {
        argv[n] = words[n - 3];
        n++;
    }
    struct os_spawn s = { .argv = argv, .dir_cstr = g->dir_cstr, .env = env, .out = &g->out,
                          .diag = &g->diag, .wait_ms = REL_GIT_WAIT_MS };
    buf_reset(&g->out);
    buf_reset(&g->diag);
    return os_spawn(&s, &g->status, e);
}

/* The same, and any exit status but 0 is a failure told in git's words. */
static bool rel_git_must(struct rel_git *g, const char *const *words, struct err *e) {
    if (!rel_git_ask(g, words, e)) return false;
    if (g->status == 0) return true;
    struct str said = buf_str(&g->diag);
    said = str_trim(str_cut(&said, '\n'));
    err_set(e, ERR_FORMAT, "git %s failed in %s: " STR_FMT, words[0], g->dir_cstr, STR_ARG(said));
    return err_hint(e, "run git status there to see why");
}

/* The first line of an answer, copied; empty when git said no. */
static bool rel_git_line(struct rel_git *g, const char *const *words, struct str *out,
                         struct err *e) {
    *out = STR_EMPTY;
    if (!rel_git_ask(g, words, e)) return false;
    struct str text = buf_str(&g->out);
    text = str_trim(str_cut(&text, '\n'));
    if (g->status == 0 && text.n) *out = str_dup(g->a, text);
    return !out->n || out->p || err_oom(e, text.n, "an answer of git");
}
#define REL_GIT(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- is there a history? ---- */

/* A .git here or above, where git itself would look. */
static bool rel_git_has_folder(struct arena *a, const char *dir_cstr) {
    struct err none = { 0 };
    struct os_stat st;
    char *at = os_path_absolute(a, dir_cstr, &none);
    while (at) {
        char *git = os_path_join(a, at, ".git");
        if (git && os_lstat(git, &st)) return true;
        if (!at[1]) return false;
        at = os_path_dir(a, at);
    }
    return false;
}

/* A commit, and files of this folder that git knows or would take. */
static bool rel_git_is_there(struct rel_git *g, bool *there, struct str *commit, struct err *e) {
    *there = false;
    if (!rel_git_ask(g, REL_GIT("rev-parse", "--is-inside-work-tree"), e)) {
        if (e->code != ERR_NOT_FOUND || !rel_git_has_folder(g->a, g->dir_cstr)) {
            if (e->code != ERR_NOT_FOUND) return false;
            err_clear(e);
            return true;
        }
        err_clear(e);
        err_set(e, ERR_UNSUPPORTED, "%s is in a git work tree, and there is no git program",
                g->dir_cstr);
        return err_hint(e, "install git, or copy the model's files out of the work tree");
    }
    struct str said = buf_str(&g->diag);
    if (g->status != 0) {
        if (str_find(said, STR("not a git repository")) >= 0) return true;
        said = str_trim(str_cut(&said, '\n'));
        err_set(e, ERR_FORMAT, "git refuses to read %s: " STR_FMT, g->dir_cstr, STR_ARG(said));
        return err_hint(e, "run git status there to see why");
    }
    if (!str_starts(buf_str(&g->out), STR("true"))) return true;
    if (!rel_git_line(g, REL_GIT("rev-parse", "--verify", "-q", "HEAD"), commit, e)) return false;
    if (!commit->n) return true;                 /* no commit yet */
    if (!rel_git_must(
            g, REL_GIT("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "."),
            e))
        return false;
    *there = g->out.n > 0;
    return true;
}

/* ---- what differs from the commit ---- */

static const struct rel_file *rel_git_file(const struct rel_state *s, struct str path) {
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = str_cmp(s->files[mid].path, path);
        if (c == 0) return &s->files[mid];
        if (c < 0) low = mid + 1;
        else high = mid;
    }
    return NULL;
}

/* The digest that a pointer of large file storage names, or empty. */
static struct str rel_git_pointer(struct str text) {
    if (!str_starts(text, STR(CACHE_LFS_LINE)) || text.n > 1024) return STR_EMPTY;
    for (struct str rest = text; rest.p;) {
        struct str line = str_cut(&rest, '\n');
        if (str_starts(line, STR("oid sha256:")) && str_is_hex(str_sub(line, 11, line.n), 64))
            return str_sub(line, 11, line.n);
    }
    return STR_EMPTY;
}

/* Digest of a file's content: of what a pointer names; empty when there is no such file. */
static struct str rel_git_content(struct rel_git *g, const struct rel_state *s, struct str path) {
    const struct rel_file *f = rel_git_file(s, path);
    struct err none = { 0 };
    struct str text = STR_EMPTY;
    if (!f) return STR_EMPTY;
    if (f->size_bytes <= 1024 && os_read_file(g->a, f->file_cstr, 1024, &text, &none)) {
        struct str oid = rel_git_pointer(text);
        if (oid.n) return oid;
    }
    return str_cstr(f->sha256);
}

/* What the commit has of the file is the pointer to just this content. */
static bool rel_git_same_object(struct rel_git *g, struct str path, struct str content, bool *same,
                                struct err *e) {
    struct str spec = str_format(g->a, "HEAD:./" STR_FMT "%c", STR_ARG(path), 0);
    *same = false;
    if (!spec.p) return err_oom(e, path.n, "a path");
    if (!rel_git_ask(g, REL_GIT("cat-file", "-s", spec.p), e)) return false;
    int64_t size_bytes = 0;
    if (g->status != 0 || !num_parse_i64(str_trim(buf_str(&g->out)), 0, 1024, &size_bytes))
        return true;
    if (!rel_git_ask(g, REL_GIT("cat-file", "blob", spec.p), e)) return false;
    struct str oid = rel_git_pointer(buf_str(&g->out));
    *same = g->status == 0 && oid.n && str_eq(oid, content);
    return true;
}

static void rel_git_note(struct rel_lines *l, struct str path, char status, struct str sha256) {
    struct str line = str_format(l->arena, STR_FMT "%c%c%c" STR_FMT, STR_ARG(path), 0, status, 0,
                                 STR_ARG(sha256));
    rel_lines_add(l, line);
}

/* "M\0path\0A\0path\0..." */
static bool rel_git_changed(struct rel_git *g, const struct rel_state *s, struct rel_lines *l,
                            struct err *e) {
    if (!rel_git_must(g,
                      REL_GIT("diff", "HEAD", "--name-status", "-z", "--no-renames",
                              "--no-ext-diff", "--relative", "--ignore-submodules", "--", "."),
                      e))
        return false;
    struct str rest = str_dup(g->a, buf_str(&g->out));
    if (g->out.n && !rest.p) return err_oom(e, g->out.n, "an answer of git");
    while (rest.p && rest.n) {
        struct str status = str_cut(&rest, 0), path = str_cut(&rest, 0), content;
        char letter = status.n ? status.p[0] : 'M';
        bool same = false;
        if (rel_class_of(path) == REL_IGNORE) continue;
        content = rel_git_content(g, s, path);
        if (letter != 'A' && letter != 'D') letter = 'M';
        if (letter == 'M' && !rel_git_same_object(g, path, content, &same, e)) return false;
        if (!same) rel_git_note(l, path, letter, letter == 'D' ? STR_EMPTY : content);
    }
    return true;
}

static bool rel_git_others(struct rel_git *g, const struct rel_state *s, struct rel_lines *l,
                           bool ignored, struct err *e) {
    bool ok =
        ignored ? rel_git_must(
            g, REL_GIT("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", "."),
            e)
                : rel_git_must(
                    g, REL_GIT("ls-files", "-z", "--others", "--exclude-standard", "--", "."), e);
    struct str rest = ok ? str_dup(g->a, buf_str(&g->out)) : STR_EMPTY;
    if (ok && g->out.n && !rest.p) return err_oom(e, g->out.n, "an answer of git");
    while (rest.p && rest.n) {
        struct str path = str_cut(&rest, 0);
        enum rel_class kind = rel_class_of(path);
        if (kind == REL_IGNORE || (ignored && kind != REL_WEIGHTS)) continue;
        rel_git_note(l, path, '?', rel_git_content(g, s, path));
    }
    return ok;
}

static bool rel_origin_dirty(struct rel_origin *o, struct rel_lines *l, struct err *e) {
    char hash[65];
    o->n_changed = l->n;
    if (!l->n && !l->failed) {
        memcpy(o->dirty, "clean", 6);
        return true;
    }
    if (!rel_lines_hash(l, hash, e)) return false;
    memcpy(o->dirty, hash, REL_SHORT);
    o->dirty[REL_SHORT] = 0;
    return true;
}

/* ---- branches ---- */

/* "refs/heads/x" of a symbolic ref, without the prefix. */
static bool rel_git_symbolic(struct rel_git *g, const char *name_cstr, struct str prefix,
                             struct str *out, struct err *e) {
    if (!rel_git_line(g, REL_GIT("symbolic-ref", "-q", name_cstr), out, e)) return false;
    *out = str_starts(*out, prefix) ? str_sub(*out, prefix.n, out->n) : STR_EMPTY;
    return true;
}

static bool rel_git_has_branch(struct rel_git *g, struct str name, bool *has, struct err *e) {
    struct str ref = str_format(g->a, "refs/heads/" STR_FMT "%c", STR_ARG(name), 0);
    *has = false;
    if (!name.n) return true;
    if (!ref.p) return err_oom(e, name.n, "a branch");
    if (!rel_git_ask(g, REL_GIT("show-ref", "--verify", "-q", ref.p), e)) return false;
    *has = g->status == 0;
    return true;
}

/* mlxk.mainBranch of git's settings; the remote's; init.defaultBranch, main, master: what
 * exists. */
static bool rel_git_main(struct rel_git *g, struct str *out, struct err *e) {
    struct str names[3] = { STR_EMPTY, STR("main"), STR("master") };
    bool has;
    if (!rel_git_line(g, REL_GIT("config", "--get", "mlxk.mainBranch"), out, e)) return false;
    if (out->n) return true;
    if (!rel_git_symbolic(g, "refs/remotes/origin/HEAD", STR("refs/remotes/origin/"), out, e))
        return false;
    if (out->n) return true;
    if (!rel_git_line(g, REL_GIT("config", "--get", "init.defaultBranch"), &names[0], e))
        return false;
    for (size_t i = 0; i < 3; i++) {
        if (!rel_git_has_branch(g, names[i], &has, e)) return false;
        *out = has ? names[i] : STR_EMPTY;
        if (has) return true;
    }
    return true;
}

static bool rel_git_branch(struct rel_git *g, struct str given, struct rel_origin *o,
                           struct err *e) {
    if (!rel_git_symbolic(g, "HEAD", STR("refs/heads/"), &o->branch, e)
        || !rel_git_main(g, &o->main, e))
        return false;
    o->detached = !o->branch.n;
    if (o->detached) o->branch = STR("detached");
    if (given.n) o->branch = given;
    o->on_main = o->main.n && str_eq(o->branch, o->main);
    return rel_sanitise(g->a, o->branch, REL_MAX_BRANCH, &o->branch_tag, e);
}

/* ---- origins ---- */

static bool rel_origin_git(struct rel_git *g, const struct rel_state *s, struct str branch,
                           struct rel_origin *o, struct err *e) {
    struct rel_lines l = { .arena = g->a };
    struct str shallow;
    o->kind = REL_FROM_GIT;
    memcpy(o->git, o->commit.p, REL_SHORT);
    if (!rel_git_changed(g, s, &l, e) || !rel_git_others(g, s, &l, false, e)
        || !rel_git_others(g, s, &l, true, e) || !rel_origin_dirty(o, &l, e)
        || !rel_git_branch(g, branch, o, e)
        || !rel_git_line(g, REL_GIT("rev-parse", "--is-shallow-repository"), &shallow, e))
        return false;
    o->shallow = str_eq(shallow, STR("true"));
    return true;
}

/* .../snapshots/<40 hex>, as hub clients lay it out. */
static struct str rel_origin_snapshot(struct arena *a, const char *dir_cstr) {
    struct err none = { 0 };
    char *real = os_path_real(a, dir_cstr, &none);
    char *above = real ? os_path_dir(a, real) : NULL;
    struct str name = real ? os_path_base(real) : STR_EMPTY;
    bool snapshot = above && str_is_hex(name, 40) && str_eq(os_path_base(above), STR("snapshots"));
    return snapshot ? name : STR_EMPTY;
}

static bool rel_origin_files(struct arena *a, const struct rel_state *s, struct str branch,
                             struct rel_origin *o, struct err *e) {
    struct rel_lines l = { .arena = a };
    o->on_main = true;
    o->branch = branch;
    o->commit = rel_origin_snapshot(a, s->dir_cstr);
    if (branch.n && !rel_sanitise(a, branch, REL_MAX_BRANCH, &o->branch_tag, e)) return false;
    if (branch.n) o->on_main = str_eq(branch, STR("main")) || str_eq(branch, STR("master"));
    o->kind = o->commit.n ? REL_FROM_SNAPSHOT : REL_FROM_NOWHERE;
    if (o->commit.n) {
        memcpy(o->git, o->commit.p, REL_SHORT);
        return rel_origin_dirty(o, &l, e);
    }
    memcpy(o->git, "nogit", 6);
    for (size_t i = 0; i < s->n; i++)
        rel_git_note(&l, s->files[i].path, '?', str_cstr(s->files[i].sha256));
    return rel_origin_dirty(o, &l, e);
}

MLXK_FN bool rel_origin_read(struct arena *a, const struct rel_state *s, struct str branch,
                             struct rel_origin *out, struct err *e) {
    struct rel_git g;
    bool there = false;
    *out = (struct rel_origin){ .dir_cstr = s->dir_cstr };
    rel_git_open(&g, a, s->dir_cstr);
    bool ok = rel_git_is_there(&g, &there, &out->commit, e);
    if (ok && there) ok = rel_origin_git(&g, s, branch, out, e);
    else if (ok) ok = rel_origin_files(a, s, branch, out, e);
    rel_git_close(&g);
    return ok;
}

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
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct rel_known *grown = ARENA_ARRAY(a, struct rel_known, cap);
        if (!grown) return err_oom(e, cap * sizeof *grown, "a list of releases");
        if (l->n) memcpy(grown, l->items, l->n * sizeof *grown);
        l->items = grown;
        l->cap = cap;
    }
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
