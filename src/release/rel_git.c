/* rel_git.c: where a state stands in a git history; the git program is asked, nothing is guessed.
 *
 * Hooks, monitors, pagers, prompts and optional locks are switched off, variables that point git
 * elsewhere are removed, and every answer is bounded. Outside a work tree the name of a snapshot of
 * the cache stands for the commit, and outside that the files alone tell a state ("nogit", and the
 * hash of all of them).
 *
 * 1. The dirty hash is over sorted lines PATH NUL STATUS NUL SHA256 of what differs from the commit
 *    inside the model's folder: M changed, A added to the index, D deleted, ? not known to git.
 *    Ignored classes do not count; what is part of the model counts even where .gitignore names it.
 * 2. A pointer of large file storage counts as the file that it names.
 * 3. Where git does not look, this does: in submodules (against the commit that HEAD has of them),
 *    at files that the index is told to pass over, behind links that lead out of the folder. Of one
 *    tag there is one content.
 */
#include "release/rel_int.h"

enum { REL_GIT_WAIT_MS = 120000, REL_GIT_WORDS = 16, REL_GIT_DEPTH = 8 };
#define REL_GIT_MAX_OUT ((size_t)128 << 20)

/* ---- asking ---- */

MLXK_FN void rel_git_open(struct rel_git *g, struct arena *a, const char *dir_cstr) {
    *g = (struct rel_git){ .a = a, .dir_cstr = dir_cstr };
    buf_init(&g->out, REL_GIT_MAX_OUT);
    buf_init(&g->diag, 4096);
}

MLXK_FN void rel_git_close(struct rel_git *g) {
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
    const char *argv[REL_GIT_WORDS + 8] = { "git", "-c", "core.quotePath=false", "-c",
                                            "core.fsmonitor=false", "-c",
                                            "core.hooksPath=/dev/null" };
    for (size_t i = 0, n = 7; i < REL_GIT_WORDS && words[i]; i++) argv[n++] = words[i];
    struct os_spawn s = { .argv = argv, .dir_cstr = g->dir_cstr, .env = env, .out = &g->out,
                          .diag = &g->diag, .wait_ms = REL_GIT_WAIT_MS };
    buf_reset(&g->out);
    buf_reset(&g->diag);
    return os_spawn(&s, &g->status, e);
}

MLXK_FN bool rel_git_must(struct rel_git *g, const char *const *words, struct err *e) {
    if (!rel_git_ask(g, words, e)) return false;
    if (g->status == 0) return true;
    struct str said = buf_str(&g->diag);
    said = str_trim(str_cut(&said, '\n'));
    err_set(e, ERR_FORMAT, "git %s failed in %s: " STR_FMT, words[0], g->dir_cstr, STR_ARG(said));
    return err_hint(e, "run git status there to see why");
}

MLXK_FN bool rel_git_line(struct rel_git *g, const char *const *words, struct str *out,
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
static bool rel_git_same_object(struct rel_git *g, const char *commit_cstr, struct str path,
                                struct str content, bool *same, struct err *e) {
    struct str spec = str_format(g->a, "%s:./" STR_FMT "%c", commit_cstr, STR_ARG(path), 0);
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

/* Where a work tree lies in the model's folder ("" or "sub/"), and what it is held against. */
struct rel_git_tree { struct rel_git *g; struct str below; const char *commit_cstr; };

static struct str rel_git_path(const struct rel_git_tree *t, struct str path) {
    return t->below.n ? str_concat(t->g->a, t->below, path) : path;
}

/* The answer, copied. */
static bool rel_git_answer(struct rel_git *g, struct str *out, struct err *e) {
    *out = str_dup(g->a, buf_str(&g->out));
    return !g->out.n || out->p || err_oom(e, g->out.n, "an answer of git");
}

/* A file that is not as the commit has it, unless only its pointer is. */
static bool rel_git_compare(const struct rel_git_tree *t, const struct rel_state *s,
                            struct rel_lines *l, struct str own, bool gone, struct err *e) {
    struct str path = rel_git_path(t, own), content = rel_git_content(t->g, s, path);
    bool same = false;
    if (!gone && !rel_git_same_object(t->g, t->commit_cstr, own, content, &same, e)) return false;
    if (!same) rel_git_note(l, path, gone ? 'D' : 'M', gone ? STR_EMPTY : content);
    return true;
}

/* "M\0path\0A\0path\0..." */
static bool rel_git_changed(const struct rel_git_tree *t, const struct rel_state *s,
                            struct rel_lines *l, struct err *e) {
    struct rel_git *g = t->g;
    if (!rel_git_must(g,
                      REL_GIT("diff", t->commit_cstr, "--name-status", "-z", "--no-renames",
                              "--no-ext-diff", "--relative", "--ignore-submodules", "--", "."),
                      e))
        return false;
    struct str rest;
    if (!rel_git_answer(g, &rest, e)) return false;
    while (rest.p && rest.n) {
        struct str status = str_cut(&rest, 0), own = str_cut(&rest, 0), path = rel_git_path(t, own);
        char letter = status.n ? status.p[0] : 'M';
        if (rel_class_of(path) == REL_IGNORE) continue;
        if (letter == 'A') rel_git_note(l, path, letter, rel_git_content(g, s, path));
        else if (!rel_git_compare(t, s, l, own, letter == 'D', e)) return false;
    }
    return true;
}

/* Every file of the state below this folder ("sub/"), as one that nobody knows. */
static void rel_git_whole(struct rel_git *g, const struct rel_state *s, struct rel_lines *l,
                          struct str folder) {
    for (size_t i = 0; i < s->n; i++)
        if (str_starts(s->files[i].path, folder))
            rel_git_note(l, s->files[i].path, '?', rel_git_content(g, s, s->files[i].path));
}

/* What git does not know, also where it is told to pass over it: all that is part of the model. A
 * repository inside is told as a folder. */
static bool rel_git_others(const struct rel_git_tree *t, const struct rel_state *s,
                           struct rel_lines *l, bool ignored, struct err *e) {
    struct rel_git *g = t->g;
    struct str rest;
    bool ok =
        ignored ? rel_git_must(
            g, REL_GIT("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", "."),
            e)
                : rel_git_must(
                    g, REL_GIT("ls-files", "-z", "--others", "--exclude-standard", "--", "."), e);
    if (!ok || !rel_git_answer(g, &rest, e)) return false;
    while (rest.p && rest.n) {
        struct str path = rel_git_path(t, str_cut(&rest, 0));
        if (str_ends(path, STR("/"))) rel_git_whole(g, s, l, path);
        else if (rel_class_of(path) != REL_IGNORE)
            rel_git_note(l, path, '?', rel_git_content(g, s, path));
    }
    return true;
}

/* Files that the index is told to pass over (assume-unchanged, skip-worktree). */
static bool rel_git_hidden(const struct rel_git_tree *t, const struct rel_state *s,
                           struct rel_lines *l, struct err *e) {
    struct str rest;
    if (!rel_git_must(t->g, REL_GIT("ls-files", "-v", "-z", "--cached", "--", "."), e)
        || !rel_git_answer(t->g, &rest, e))
        return false;
    while (rest.p && rest.n) {
        struct str row = str_cut(&rest, 0), own = str_sub(row, 2, row.n), blob, was;
        bool hidden = row.n > 2 && (row.p[0] == 'S' || (row.p[0] >= 'a' && row.p[0] <= 'z'));
        struct str path = rel_git_path(t, own);
        if (!hidden || rel_class_of(path) == REL_IGNORE) continue;
        struct str name = str_format(t->g->a, "./" STR_FMT "%c", STR_ARG(own), 0), spec = name;
        if (name.p) spec = str_format(t->g->a, "%s:%s%c", t->commit_cstr, name.p, 0);
        if (!spec.p) return err_oom(e, own.n, "a path");
        bool there = rel_git_file(s, path) != NULL;
        if (there
            && (!rel_git_line(t->g, REL_GIT("hash-object", "--", name.p), &blob, e)
                || !rel_git_line(t->g, REL_GIT("rev-parse", "-q", "--verify", spec.p), &was, e)))
            return false;
        if (there && blob.n && str_eq(blob, was)) continue;
        if (!rel_git_compare(t, s, l, own, !there, e)) return false;
    }
    return true;
}

static bool rel_git_tree_dirty(const struct rel_git_tree *t, const struct rel_state *s,
                               struct rel_lines *l, int depth, struct err *e);

/* A submodule against the commit that the tree around it has of it. Where that cannot be looked at,
 * every file in it counts; where nothing of it is here, its absence does. */
static bool rel_git_inside(const struct rel_git_tree *t, const struct rel_state *s,
                           struct rel_lines *l, struct str own, int depth, struct err *e) {
    struct arena *a = t->g->a;
    struct rel_git g;
    struct os_stat st;
    struct str spec = str_format(a, "%s:./" STR_FMT "%c", t->commit_cstr, STR_ARG(own), 0), commit,
               folder = str_concat(a, rel_git_path(t, own), STR("/"));
    char *name = str_dup_cstr(a, own), *dir = name ? os_path_join(a, t->g->dir_cstr, name) : NULL,
         *mark = dir ? os_path_join(a, dir, ".git") : NULL;
    if (!spec.p || !folder.p || !mark) return err_oom(e, own.n, "a path");
    if (!rel_git_line(t->g, REL_GIT("rev-parse", "-q", "--verify", spec.p), &commit, e))
        return false;
    bool known = commit.n && depth > 0 && os_lstat(mark, &st);
    struct rel_git_tree inside = { &g, folder, str_dup_cstr(a, commit) };
    struct str kind = STR_EMPTY;
    rel_git_open(&g, a, dir);
    bool ok = !known || rel_git_line(&g, REL_GIT("cat-file", "-t", inside.commit_cstr), &kind, e);
    if (ok && str_eq(kind, STR("commit"))) {
        ok = rel_git_tree_dirty(&inside, s, l, depth - 1, e);
    } else if (ok) {
        size_t before = l->n;
        rel_git_whole(&g, s, l, folder);
        if (l->n == before && commit.n)
            rel_git_note(l, str_sub(folder, 0, folder.n - 1), 'D', STR_EMPTY);
    }
    rel_git_close(&g);
    return ok;
}

static bool rel_git_submodules(const struct rel_git_tree *t, const struct rel_state *s,
                               struct rel_lines *l, int depth, struct err *e) {
    struct str rest;
    if (!rel_git_must(t->g, REL_GIT("ls-files", "-s", "-z", "--", "."), e)
        || !rel_git_answer(t->g, &rest, e))
        return false;
    while (rest.p && rest.n) {
        struct str row = str_cut(&rest, 0), mode = str_cut(&row, '\t');
        if (!str_starts(mode, STR("160000 "))) continue;
        if (!rel_git_inside(t, s, l, row, depth, e)) return false;
    }
    return true;
}

static bool rel_git_tree_dirty(const struct rel_git_tree *t, const struct rel_state *s,
                               struct rel_lines *l, int depth, struct err *e) {
    return rel_git_changed(t, s, l, e) && rel_git_others(t, s, l, false, e)
           && rel_git_others(t, s, l, true, e) && rel_git_hidden(t, s, l, e)
           && rel_git_submodules(t, s, l, depth, e);
}

/* Links that lead out of the folder: what is behind them no commit tells. */
static bool rel_git_links(struct arena *a, const struct rel_state *s, struct rel_lines *l,
                          struct rel_git *g, struct err *e) {
    struct err none = { 0 };
    struct os_stat st;
    char *top = os_path_real(a, s->dir_cstr, e);
    if (!top) return false;
    struct str inside = str_format(a, "%s/", top);
    for (size_t i = 0; i < s->n; i++) {
        const struct rel_file *f = &s->files[i];
        if (!os_lstat(f->file_cstr, &st) || st.kind != OS_LINK) continue;
        char *to = os_path_real(a, f->file_cstr, &none);
        struct str line = str_format(a, STR_FMT "%c", STR_ARG(f->path), 0);
        bool told = !line.p || (to && str_starts(str_cstr(to), inside));
        for (size_t k = 0; k < l->n && !told; k++) told = str_starts(l->items[k], line);
        if (!told) rel_git_note(l, f->path, '?', rel_git_content(g, s, f->path));
    }
    return true;
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
    struct rel_git_tree top = { g, STR_EMPTY, "HEAD" };
    struct str shallow;
    o->kind = REL_FROM_GIT;
    memcpy(o->git, o->commit.p, REL_SHORT);
    if (!rel_git_tree_dirty(&top, s, &l, REL_GIT_DEPTH, e) || !rel_git_links(g->a, s, &l, g, e)
        || !rel_origin_dirty(o, &l, e)
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

#undef REL_GIT
