/* care_usage.c: bytes on the disk, as blocks, each inode once: what du says, and what for.
 *
 *   repo's folder = linked + shared + unlinked + partial + foreign + meta
 *   root          = repos + shared store + locks + strays, hard links between them once
 *
 * 1. Folders and links count what they take themselves: the sum of a folder is that of du -s.
 * 2. Repos that other tools leave out of their sums (a dead link or ref is enough) are counted too.
 */
#include "care/care_int.h"

struct care_counting {
    struct arena *arena;
    const struct cache *cache;
    struct map everywhere;       /* inodes with several names, of the whole root */
    struct care_volume *out;
    size_t cap_others;
};

struct care_inode { uint64_t bytes; uint32_t n_seen, n_links, n_shown; enum care_kind kind; };

static struct str care_usage_key(struct arena *a, const struct os_stat *st) {
    return str_format(a, "%llx:%llx", (unsigned long long)st->device,
                      (unsigned long long)st->inode);
}

/* First time that this inode is met in the map? Files with one name need no map. */
static bool care_usage_first(struct arena *a, struct map *seen, const struct os_stat *st) {
    bool is_new = true;
    if (st->kind == OS_DIR || st->n_links < 2) return true;
    struct str key = care_usage_key(a, st);
    return !key.p || !map_put(seen, key, &is_new) || is_new;
}

static void care_usage_root(struct care_counting *u, const struct os_stat *st) {
    if (care_usage_first(u->arena, &u->everywhere, st)) u->out->root_total += st->disk_bytes;
}

/* ---- one repo ---- */

static void care_usage_payload(struct care_usage *s, const struct care_inode *x) {
    bool elsewhere = x->n_links > x->n_seen;
    if (x->n_shown == 0) s->unlinked += x->bytes;
    else if (x->n_shown > 1 || elsewhere) s->shared += x->bytes;
    else s->linked += x->bytes;
}

/* Payload with several names is judged when all of them are known. */
static bool care_usage_gather(struct arena *a, struct map *inodes, struct care_inode *list,
                              size_t *n, const struct care_entry *x) {
    bool is_new;
    struct str key = care_usage_key(a, &x->st);
    uint64_t *at = key.p ? map_put(inodes, key, &is_new) : NULL;
    if (!at) return false;
    if (is_new) {
        *at = (*n)++;
        list[*at] = (struct care_inode){ .bytes = x->st.disk_bytes, .n_links = x->st.n_links };
    }
    struct care_inode *i = &list[*at];
    i->n_seen++;
    i->n_shown += x->kind == CARE_COPY ? 1 : x->n_revisions;
    return true;
}

static void care_usage_entry(struct care_usage *s, const struct care_entry *x) {
    switch (x->kind) {
    case CARE_PARTIAL: s->partial += x->st.disk_bytes; break;
    case CARE_FOREIGN: s->foreign += x->st.disk_bytes; break;
    default: s->meta += x->st.disk_bytes;
    }
}

static bool care_usage_sum(struct arena *a, const struct care_repo *r, struct care_usage *s) {
    struct map inodes;
    struct care_inode *list = ARENA_ARRAY(a, struct care_inode, r->n + 1);
    size_t n = 0;
    bool ok = list != NULL;
    map_init(&inodes, SIZE_MAX / 64);
    for (size_t i = 0; ok && i < r->n; i++) {
        const struct care_entry *x = &r->entries[i];
        bool payload = (x->kind == CARE_BLOB || x->kind == CARE_COPY) && x->st.kind == OS_FILE;
        s->n_blobs += x->kind == CARE_BLOB;
        if (x->away) {
            s->stored += x->kind == CARE_BLOB ? x->st.disk_bytes : 0;
            continue;
        }
        if (x->kind == CARE_BLOB && x->st.kind == OS_LINK) s->stored += x->target.disk_bytes;
        if (payload) ok = care_usage_gather(a, &inodes, list, &n, x);
        else if (x->st.n_links < 2 || x->st.kind == OS_DIR || care_usage_first(a, &inodes, &x->st))
            care_usage_entry(s, x);
        s->hidden = s->hidden || (x->kind == CARE_LINK && x->target.kind == OS_NONE);
    }
    for (size_t i = 0; ok && i < n; i++) care_usage_payload(s, &list[i]);
    ok = ok && !inodes.failed;
    map_release(&inodes);
    return ok;
}

static bool care_usage_hidden(const struct care_repo *r) {
    bool snapshots = r->n_revisions > 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct care_entry *x = &r->entries[i];
        bool found = x->kind != CARE_REF;
        for (size_t k = 0; !found && k < r->n_revisions; k++)
            found = str_eq(r->revisions[k].commit, x->commit);
        if (!found) return true;
    }
    return !snapshots;
}

/* ---- folders that are no repos ---- */

static void care_usage_tree(struct care_counting *u, const char *path_cstr, struct map *seen,
                            uint64_t *sum, bool in_root, int depth) {
    struct os_entry *entries;
    struct os_stat st;
    size_t n;
    struct err none = { 0 };
    if (!os_lstat(path_cstr, &st)) return;
    if (in_root) care_usage_root(u, &st);
    if (care_usage_first(u->arena, seen, &st)) *sum += st.disk_bytes;
    if (st.kind != OS_DIR || depth > 64 ||
        !os_list_dir(u->arena, path_cstr, CARE_MAX_ENTRIES, &entries, &n, &none))
        return;
    for (size_t i = 0; i < n; i++) {
        char *path = care_format(u->arena, "%s/" STR_FMT, path_cstr, STR_ARG(entries[i].name));
        if (path) care_usage_tree(u, path, seen, sum, in_root, depth + 1);
    }
}

/* A row for something beside the repos; nothing when it is not there. */
static bool care_usage_other(struct care_counting *u, const char *name_cstr, const char *path_cstr,
                             bool in_root) {
    struct os_stat st;
    struct map seen;
    struct care_volume *v = u->out;
    if (!path_cstr || !os_lstat(path_cstr, &st)) return true;
    struct care_usage *grown =
        ARENA_GROW(u->arena, struct care_usage, v->others, v->n_others, &u->cap_others, 16);
    if (!grown) return false;
    v->others = grown;
    struct care_usage *s = &v->others[v->n_others++];
    *s = (struct care_usage){ .name = str_dup(u->arena, str_cstr(name_cstr)),
                              .type = STR("other"),
                              .dir_cstr = str_dup_cstr(u->arena, str_cstr(path_cstr)) };
    map_init(&seen, SIZE_MAX / 64);
    care_usage_tree(u, path_cstr, &seen, &s->total, in_root, 0);
    map_release(&seen);
    return true;
}

static uint64_t care_usage_locks(struct care_counting *u, struct str folder) {
    struct map seen;
    uint64_t sum = 0;
    char *path = care_format(u->arena, "%s/.locks/" STR_FMT, u->cache->root_cstr, STR_ARG(folder));
    map_init(&seen, SIZE_MAX / 64);
    if (path) care_usage_tree(u, path, &seen, &sum, false, 0);
    map_release(&seen);
    return sum;
}

static bool care_usage_repo(struct care_counting *u, struct str folder, bool in_root,
                            struct care_usage *s, struct err *e) {
    struct arena scratch;
    struct care_repo r;
    struct os_stat st = { .kind = OS_NONE };
    arena_init(&scratch, (size_t)4 << 30);
    bool ok = os_go_on(e) && care_repo_read(&scratch, u->cache, folder, &r, e);
    if (ok) {
        *s = (struct care_usage){ .name = str_dup(u->arena, r.name),
                                  .type = str_dup(u->arena, r.type),
                                  .dir_cstr = str_dup_cstr(u->arena, str_cstr(r.dir_cstr)),
                                  .n_revisions = r.n_revisions, .unreadable = r.unreadable };
        os_stat(r.dir_cstr, &st);
        s->meta += st.disk_bytes;
        if (in_root) care_usage_root(u, &st);
        for (size_t i = 0; in_root && i < r.n; i++)
            if (!r.entries[i].away) care_usage_root(u, &r.entries[i].st);
        ok = care_usage_sum(&scratch, &r, s) || err_oom(e, r.n * 64, "the sizes of a repository");
        s->hidden = s->hidden || care_usage_hidden(&r);
    }
    care_repo_release(&r);
    arena_release(&scratch);
    s->total = s->linked + s->shared + s->unlinked + s->partial + s->foreign + s->meta;
    s->locks = care_usage_locks(u, folder);
    return ok;
}

/* ---- everything ---- */

/* Entries of the root that are neither repos nor what the rows above it stand for. */
static bool care_usage_strays(struct care_counting *u, struct err *e) {
    struct os_entry *entries;
    size_t n = 0;
    struct os_stat st;
    struct err none = { 0 };
    if (!os_list_dir(u->arena, u->cache->root_cstr, CARE_MAX_ENTRIES, &entries, &n, &none))
        return none.code == ERR_NOT_FOUND || (*e = none, false);
    if (os_stat(u->cache->root_cstr, &st)) care_usage_root(u, &st);
    for (size_t i = 0; i < n; i++) {
        struct str name = entries[i].name;
        char *path = care_format(u->arena, "%s/" STR_FMT, u->cache->root_cstr, STR_ARG(name));
        if (entries[i].kind == OS_DIR && care_is_repo_folder(name)) continue;
        bool store = str_eq(name, STR("blobs")), locks = str_eq(name, STR(".locks"));
        char *shown = str_dup_cstr(u->arena, store   ? STR("shared store")
                                             : locks ? STR("locks")
                                                     : name);
        if (!path || !shown || !care_usage_other(u, shown, path, true))
            return err_oom(e, LIMIT_PATH, "a path");
    }
    return true;
}

static bool care_usage_beside(struct care_counting *u) {
    struct arena *a = u->arena;
    const char *home_set = os_env("HF_HOME");
    char *home = os_path_expand(a, home_set && *home_set ? home_set : "~/.cache/huggingface");
    char *xet = home ? os_path_join(a, home, "xet") : NULL;
    const char *xet_set = os_env("HF_XET_CACHE");
    if (xet_set && *xet_set) xet = os_path_expand(a, xet_set);
    char *cache = os_own_dir(a, "XDG_CACHE_HOME", ".cache");
    char *state = os_own_dir(a, "XDG_STATE_HOME", ".local/state");
    return care_usage_other(u, "xet cache", xet, false) &&
           care_usage_other(u, "workspaces", u->cache->workspace_cstr, false) &&
           care_usage_other(u, "mlxk cache", cache, false) &&
           care_usage_other(u, "mlxk state", state, false);
}

MLXK_FN bool care_usage(struct arena *a, const struct cache *c, struct str folder,
                        struct care_volume *out, struct err *e) {
    struct care_counting u = { .arena = a, .cache = c, .out = out };
    struct str *folders = &folder;
    size_t n = 1;
    *out = (struct care_volume){ .n = 0 };
    if (!folder.n && !care_repos(a, c, false, &folders, &n, e)) return false;
    out->repos = ARENA_ARRAY(a, struct care_usage, n + 1);
    if (!out->repos) return err_oom(e, n * sizeof *out->repos, "the sizes");
    map_init(&u.everywhere, SIZE_MAX / 64);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = care_usage_repo(&u, folders[i], !folder.n, &out->repos[out->n++], e);
    if (ok && !folder.n)
        ok = care_usage_strays(&u, e) &&
             (care_usage_beside(&u) || err_oom(e, LIMIT_PATH, "the sizes"));
    map_release(&u.everywhere);
    return ok;
}
