/* cache_names.c: names of repos, files, blobs and revisions, and the folders they become.
 *
 * Everything that comes from a network, an archive or a person passes one of the _ok functions
 * before it is part of a path. Spec: hub facts 1.1-1.3 (rules), mlx-knife facts 3.1 (folder names).
 *
 * 1. A folder name holds no '/' and no NUL, whatever the repo is called.
 * 2. Listing is tolerant (folders that no hub would make are shown), writing is strict.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

enum {
    CACHE_NAME_PART_MAX = 96,    /* the hub's limit for either half of a repo name */
    CACHE_ETAG_MAX = 200, CACHE_FILE_MAX = 1024, CACHE_SEGMENT_MAX = 255,
};

static bool cache_is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

/* What a name looks like in a message: short, without control characters. */
struct cache_shown { char text[84]; };

static struct cache_shown cache_show(struct str s) {
    struct cache_shown out;
    size_t n = 0;
    for (size_t i = 0; i < s.n && n < 80; i++) {
        unsigned char c = (unsigned char)s.p[i];
        out.text[n++] = c < 0x20 || c == 0x7F ? '?' : (char)c;
    }
    n -= utf8_incomplete_tail((struct str){ out.text, n });
    if (s.n > 80) memcpy(out.text + n, "...", 3);
    out.text[s.n > 80 ? n + 3 : n] = '\0';
    return out;
}

/* ---- repos (Public) ---- */

static const struct { const char *name_cstr; struct str prefix, folder, capitals; }
cache_kinds[CACHE_KINDS] = {
    [CACHE_MODEL] = { "model", { "", 0 }, { "models--", 8 }, { "MODELS", 6 } },
    [CACHE_DATASET] = { "dataset", { "datasets/", 9 }, { "datasets--", 10 },
                       { "DATASETS", 8 } },
    [CACHE_SPACE] = { "space", { "spaces/", 7 }, { "spaces--", 8 }, { "SPACES", 6 } },
};

MLXK_FN enum cache_kind cache_kind_of(struct str repo) {
    int kind = CACHE_KINDS - 1;
    while (!str_starts(repo, cache_kinds[kind].prefix)) {
        kind--;                  /* a model's is empty */
    }
    return (enum cache_kind)kind;
}

MLXK_FN const char *cache_kind_name(enum cache_kind kind) { return cache_kinds[kind].name_cstr; }

MLXK_FN struct str cache_kind_join(struct arena *a, enum cache_kind kind, struct str bare_name) {
    return kind == CACHE_MODEL ? bare_name : str_concat(a, cache_kinds[kind].prefix, bare_name);
}

MLXK_FN struct str cache_bare_name(struct str repo) {
    return str_sub(repo, cache_kinds[cache_kind_of(repo)].prefix.n, repo.n);
}

MLXK_FN bool cache_is_folder(struct str name) {
    for (int kind = 0; kind < CACHE_KINDS; kind++) {
        if (str_starts(name, cache_kinds[kind].folder)) {
            return true;
        }
    }
    return false;
}

static const char *cache_name_part_fault(struct str part) {
    if (part.n == 0) {
        return "an empty part";
    }
    if (part.n > CACHE_NAME_PART_MAX) {
        return "a part longer than 96 characters";
    }
    for (size_t i = 0; i < part.n; i++) {
        if (!cache_is_word(part.p[i]) && part.p[i] != '.' && part.p[i] != '-') {
            return "a character other than letters, digits, '-', '_' and '.'";
        }
        if (i && part.p[i] == part.p[i - 1] && (part.p[i] == '.' || part.p[i] == '-')) {
            return "'--' or '..'";
        }
    }
    char first = part.p[0], last = part.p[part.n - 1];
    return first == '.' || first == '-' || last == '.' || last == '-' ? "'-' or '.' at an end"
                                                                      : NULL;
}

MLXK_FN bool cache_name_ok(struct str repo, struct err *e) {
    struct str rest = cache_bare_name(repo), first = str_cut(&rest, '/');
    const char *fault = cache_name_part_fault(first);
    if (!fault && rest.p) {
        fault = str_find_char(rest, '/') < 0 ? cache_name_part_fault(rest)
                : cache_kind_of(repo)        ? "more than two parts behind its kind"
                                             : "more than one '/'";
    }
    if (!fault && str_ends(repo, STR(".git"))) {
        fault = "the ending '.git'";
    }
    if (!fault) {
        return true;
    }
    err_set(e, ERR_INVALID, "'%s' is no repository name: it has %s", cache_show(repo).text, fault);
    return err_hint(e, "names look like ORG/NAME, for example mlx-community/Qwen3-0.6B-4bit");
}

MLXK_FN bool cache_model_name_ok(struct str repo, struct err *e) {
    enum cache_kind kind = cache_kind_of(repo);
    return kind == CACHE_MODEL
               ? cache_name_ok(repo, e)
               : err_set(e, ERR_INVALID, "%s is the name of a %s, not of a model",
                         cache_show(repo).text, cache_kind_name(kind));
}

/* "models--" and the name with "--" for every '/'; a name that has that form already stays, and of
 * a dataset the name has the kind. */
static size_t cache_folder_write(char *out, struct str repo) {
    struct str prefix = cache_kinds[CACHE_MODEL].folder;
    size_t n = 0;
    if (!cache_is_folder(repo) && cache_kind_of(repo) == CACHE_MODEL) {
        memcpy(out, prefix.p, prefix.n);
        n = prefix.n;
    }
    for (size_t i = 0; i < repo.n; i++) {
        out[n++] = repo.p[i] == '/' ? '-' : repo.p[i];
        if (repo.p[i] == '/') {
            out[n++] = '-';
        }
    }
    out[n] = '\0';
    return n;
}

MLXK_FN char *cache_folder_name(struct arena *a, struct str repo) {
    char *out = repo.n > LIMIT_PATH ? NULL : arena_alloc(a, 2 * repo.n + 9, 1);
    if (out) {
        cache_folder_write(out, repo);
    }
    return out;
}

MLXK_FN bool cache_folder_into(char out[CACHE_FOLDER_MAX], struct str repo, struct err *e) {
    char wide[2 * CACHE_FOLDER_MAX + 16];
    size_t n = repo.n < CACHE_FOLDER_MAX ? cache_folder_write(wide, repo) : CACHE_FOLDER_MAX;
    if (repo.n == 0 || n >= CACHE_FOLDER_MAX || str_find_char(repo, '\0') >= 0) {
        return err_set(e, ERR_INVALID, "'%s' cannot be the name of a cached repository",
                       cache_show(repo).text);
    }
    memcpy(out, wide, n + 1);
    return true;
}

MLXK_FN struct str cache_repo_name(struct arena *a, struct str folder) {
    if (!cache_is_folder(folder)) {
        return folder;
    }
    bool model = str_starts(folder, cache_kinds[CACHE_MODEL].folder);
    struct str s = str_sub(folder, model ? cache_kinds[CACHE_MODEL].folder.n : 0, folder.n);
    char *out = arena_alloc(a, s.n, 1);
    size_t n = 0;
    for (size_t i = 0; out && i < s.n; i++) {
        bool slash = s.p[i] == '-' && i + 1 < s.n && s.p[i + 1] == '-';
        out[n++] = slash ? '/' : s.p[i];
        i += slash;
    }
    struct str name = out ? (struct str){ out, n } : folder;
    return model && cache_kind_of(name) ? folder : name;
}

/* ---- files, blobs, revisions (Public) ---- */

static const char *cache_segment_fault(struct str s) {
    if (s.n == 0) {
        return "an empty part";
    }
    if (s.n > CACHE_SEGMENT_MAX) {
        return "a part longer than 255 bytes";
    }
    if (str_eq(s, STR(".")) || str_eq(s, STR(".."))) {
        return "a part '.' or '..'";
    }
    if (s.n >= 2 && s.p[1] == ':' && cache_is_word(s.p[0])) {
        return "a drive letter";
    }
    return NULL;
}

static const char *cache_path_fault(struct str path) {
    if (path.n == 0 || path.n > CACHE_FILE_MAX) {
        return path.n ? "more than 1024 bytes" : "no characters";
    }
    if (!utf8_valid(path)) {
        return "bytes that are not UTF-8";
    }
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (c == '\\' || c < 0x20 || c == 0x7F) {
            return c == '\\' ? "a backslash" : "a control character";
        }
    }
    for (struct str rest = path; rest.p;) {
        const char *fault = cache_segment_fault(str_cut(&rest, '/'));
        if (fault) {
            return path.p[0] == '/' ? "a '/' at its start" : fault;
        }
    }
    return NULL;
}

MLXK_FN bool cache_path_ok(struct str path, struct err *e) {
    const char *fault = cache_path_fault(path);
    return !fault || err_set(e, ERR_INVALID, "the file name '%s' is refused: it has %s",
                             cache_show(path).text, fault);
}

MLXK_FN bool cache_revision_ok(struct str revision, struct err *e) {
    const char *fault = cache_path_fault(revision);
    return !fault || err_set(e, ERR_INVALID, "the revision '%s' is refused: it has %s",
                             cache_show(revision).text, fault);
}

MLXK_FN bool cache_component_ok(struct str s, const char *what_cstr, struct err *e) {
    bool ok = s.n >= 1 && s.n <= CACHE_ETAG_MAX && s.p[0] != '.';
    for (size_t i = 0; ok && i < s.n; i++) {
        ok = cache_is_word(s.p[i]) || s.p[i] == '.' || s.p[i] == '-';
    }
    return ok ||
           err_set(e, ERR_INVALID,
                   "%s '%s' is refused: 1 to %d letters, digits, '-', '_' and '.' are allowed",
                   what_cstr, cache_show(s).text, CACHE_ETAG_MAX);
}

MLXK_FN bool cache_etag_ok(struct str etag, struct err *e) {
    return cache_component_ok(etag, "the blob name", e);
}

/* ---- file systems that ignore case (Public) ---- */

/* Nothing is written to find out: the folder answers to another spelling of its name, or not. */
static bool cache_ignores_case(const char *root_cstr, const char *folder_cstr) {
    char path[LIMIT_PATH], other[LIMIT_PATH];
    struct os_stat is, also;
    struct err none = { 0 };
    int kind = CACHE_KINDS - 1;
    while (kind && !str_starts(str_cstr(folder_cstr), cache_kinds[kind].folder)) {
        kind--;
    }
    return CACHE_PATH(path, &none, str_cstr(root_cstr), STR("/"), str_cstr(folder_cstr)) &&
           CACHE_PATH(other, &none, str_cstr(root_cstr), STR("/"), cache_kinds[kind].capitals,
                      str_cstr(folder_cstr + cache_kinds[kind].capitals.n)) &&
           os_stat(path, &is) && os_stat(other, &also) && is.inode == also.inode &&
           is.device == also.device;
}

MLXK_FN bool cache_spelling_ok(const struct cache *c, struct str repo, struct err *e) {
    char folder[CACHE_FOLDER_MAX];
    struct os_entry *entries;
    struct arena a;
    size_t n = 0;
    struct err none = { 0 };
    struct str there = STR_EMPTY;
    if (!cache_folder_into(folder, repo, e)) {
        return false;
    }
    if (!cache_ignores_case(c->root_cstr, folder)) {
        return true;
    }
    arena_init(&a, (size_t)1 << 30);
    bool listed = os_list_dir(&a, c->root_cstr, CACHE_MAX_ENTRIES, &entries, &n, &none);
    for (size_t i = 0; listed && i < n; i++) {
        if (str_eq(entries[i].name, str_cstr(folder))) {
            listed = false;
        } else if (str_ieq(entries[i].name, str_cstr(folder))) {
            there = cache_repo_name(&a, entries[i].name);
        }
    }
    bool ok = !listed || !there.n;
    if (!ok) {
        err_set(e, ERR_IO,
                STR_FMT " and " STR_FMT " differ in case only, and the file system of %s does not "
                "tell them apart", STR_ARG(repo), STR_ARG(there), c->root_cstr);
        err_hint(e, "use the name that is there, or another one");
    }
    arena_release(&a);
    return ok;
}

static int cache_small_letter(char c) {
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

static int cache_by_letters(const void *x, const void *y) {
    const struct str *a = x, *b = y;
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        int differ = cache_small_letter(a->p[i]) - cache_small_letter(b->p[i]);
        if (differ) {
            return differ;
        }
    }
    return (a->n > b->n) - (a->n < b->n);
}

MLXK_FN bool cache_paths_ok(const struct cache *c, struct str repo, const struct str *paths,
                            size_t n, struct err *e) {
    char folder[CACHE_FOLDER_MAX];
    struct arena a;
    if (!cache_folder_into(folder, repo, e)) {
        return false;
    }
    if (!cache_ignores_case(c->root_cstr, folder)) {
        return true;
    }
    arena_init(&a, SIZE_MAX / 2);
    const void **sorted = ARENA_ARRAY(&a, const void *, n + 1);
    bool ok = sorted || err_oom(e, n * sizeof *sorted, "the names of files");
    for (size_t i = 0; ok && i < n; i++) {
        sorted[i] = &paths[i];
    }
    if (ok) {
        cache_sort(sorted, n, cache_by_letters);
    }
    for (size_t i = 1; ok && i < n; i++) {
        const struct str *x = sorted[i - 1], *y = sorted[i];
        ok = cache_by_letters(x, y) != 0 || str_eq(*x, *y);
        if (!ok) {
            err_set(e, ERR_IO,
                    STR_FMT " and " STR_FMT " of " STR_FMT " differ in case only, and the file "
                    "system of %s does not tell them apart", STR_ARG(*x), STR_ARG(*y),
                    STR_ARG(repo), c->root_cstr);
            err_hint(e, "put the cache on another volume (HF_HOME), or leave one file out");
        }
    }
    arena_release(&a);
    return ok;
}
