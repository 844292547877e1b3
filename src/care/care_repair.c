/* care_repair.c: mends what was found, as far as the file list, the hub or arithmetic prove it.
 *
 *   link missing or wrong, blob there          -> link, from the file list
 *   wrong content that no snapshot shows       -> removed
 *   wrong content, link to nowhere             -> the hub is asked for the commit; only when it has
 *                                                 the file: set aside, fetch just that, remove
 *   file list or refs/main missing             -> from the hub, or from the commit of an import,
 *                                                 which is a hash over names and contents
 *
 * 1. A wrong blob leaves its name before anything else happens; set aside it is called
 *    NAME.damaged.incomplete, which every tool takes for an unfinished download. When fetching
 *    fails it stays so, and the next repair goes on.
 * 2. Nothing is changed while the hub cannot say that it has the file.
 */
#include "care/care_int.h"

enum { CARE_INCLUDE_MAX = 4096 };

struct care_mending {
    struct arena *arena;
    const struct cache *cache;
    struct hub *hub;             /* or NULL */
    bool (*foreign)(struct str repo);    /* or NULL */
    struct care_findings *findings;
    hub_event_fn event;
    void *ctx;
};

static void care_mend_say(struct care_mending *m, struct care_finding *x, bool repaired,
                          const char *text_cstr) {
    x->mended = str_dup(m->findings->arena, str_cstr(text_cstr));
    x->repaired = repaired;
}

static bool care_mend_is(const struct care_finding *x, const char *code_cstr) {
    return !x->repaired && strcmp(x->code_cstr, code_cstr) == 0;
}

/* Other kinds of repos and workspaces are not fetched and linked here. */
static bool care_mend_is_known(const struct care_finding *x) {
    struct err none = { 0 };
    return !str_starts(x->repo, STR("kernels/")) && cache_name_ok(x->repo, &none);
}

/* ---- without the hub ---- */

/* No other finding says that this blob has wrong content. */
static bool care_mend_blob_good(struct care_mending *m, const struct care_finding *x) {
    uint64_t size;
    if (!cache_blob_exists(m->cache, x->repo, x->expected, &size)) return false;
    for (size_t i = 0; i < m->findings->n; i++) {
        const struct care_finding *y = &m->findings->list[i];
        if (care_mend_is(y, "hash_mismatch") && str_eq(y->expected, x->expected) &&
            str_eq(y->repo, x->repo))
            return false;
    }
    return true;
}

static void care_mend_link(struct care_mending *m, struct care_finding *x) {
    struct err e = { 0 };
    if (!x->expected.n || !care_mend_blob_good(m, x)) return;
    bool ok = cache_link(m->cache, x->repo, x->commit, x->file, x->expected, &e);
    care_mend_say(m, x, ok, ok ? "linked again" : e.msg);
}

static bool care_mend_aside_path(struct care_mending *m, const struct care_finding *x,
                                 char **out) {
    char *dir = cache_repo_dir(m->arena, m->cache, x->repo);
    *out = dir ? care_format(m->arena, "%s/blobs/" STR_FMT CARE_DAMAGED, dir, STR_ARG(x->expected))
               : NULL;
    return *out != NULL;
}

/* The wrong file leaves its name, under the blob's lock; false = it stays where it is. */
static bool care_mend_aside(struct care_mending *m, struct care_finding *x) {
    struct err e = { 0 };
    struct os_lock lock = { .fd = -1 };
    char *aside, *folder = cache_folder_name(m->arena, x->repo);
    char *path = folder ? care_format(m->arena, "%s/.locks/%s/" STR_FMT ".lock",
                                      m->cache->root_cstr, folder, STR_ARG(x->expected))
                        : NULL;
    if (!path || !care_mend_aside_path(m, x, &aside)) return false;
    char *locks = os_path_dir(m->arena, path), *blobs = os_path_dir(m->arena, aside);
    bool ok = locks && blobs && os_mkdirs(locks, &e) && os_mkdirs(blobs, &e) &&
              os_lock_acquire(&lock, path, 0, &e) && os_rename(x->path.p, aside, &e) &&
              os_sync_dir(blobs, &e);
    os_lock_release(&lock);
    if (!ok) care_mend_say(m, x, false, e.msg);
    return ok;
}

static void care_mend_unlinked(struct care_mending *m, struct care_finding *x) {
    struct err e = { 0 };
    char *aside;
    if (!care_mend_aside(m, x) || !care_mend_aside_path(m, x, &aside)) return;
    bool ok = os_unlink(aside, &e);
    care_mend_say(m, x, ok, ok ? "removed: no snapshot shows it" : e.msg);
}

/* ---- from the hub ---- */

/* What the hub has of a commit. It is not asked for names that it need not know. */
static bool care_mend_ask(struct care_mending *m, struct str repo, struct str revision,
                          struct hub_repo *out, struct err *e) {
    if (m->foreign && m->foreign(repo))
        return err_set(e, ERR_UNSUPPORTED, "it is not of the hub, which is not asked for it: "
                                           "`mlxk pull oci://... --redownload` fetches it again");
    if (!m->hub || m->hub->offline)
        return err_set(e, ERR_NET, "the hub is not asked: HF_HUB_OFFLINE is set");
    return hub_repo_info(m->arena, m->hub, repo, revision, out, e);
}

/* The path as a pattern that fits nothing else. */
static struct str care_mend_pattern(struct arena *a, struct str path) {
    struct buf b;
    buf_init(&b, 4 * LIMIT_PATH);
    for (size_t i = 0; i < path.n; i++) {
        bool special = path.p[i] == '*' || path.p[i] == '?' || path.p[i] == '[';
        buf_addf(&b, special ? "[%c]" : "%c", path.p[i]);
    }
    struct str out = b.failed ? STR_EMPTY : str_dup(a, buf_str(&b));
    buf_release(&b);
    return out;
}

static const struct hub_file *care_mend_offer(const struct hub_repo *repo, struct str file) {
    for (size_t i = 0; i < repo->n_files; i++)
        if (str_eq(repo->files[i].path, file)) return &repo->files[i];
    return NULL;
}

static bool care_mend_needs_fetch(const struct care_finding *x) {
    return care_mend_is_known(x) && x->commit.n && x->file.n
           && ((care_mend_is(x, "hash_mismatch") && !x->unlinked)
               || care_mend_is(x, "dangling_link") || care_mend_is(x, "link_differs"));
}

/* Sets aside what is wrong and says what to fetch; the hub has answered. */
static size_t care_mend_prepare(struct care_mending *m, const struct care_finding *first,
                                const struct hub_repo *offer, struct str *include) {
    size_t n = 0;
    for (size_t i = 0; i < m->findings->n && n < CARE_INCLUDE_MAX; i++) {
        struct care_finding *x = &m->findings->list[i];
        if (!care_mend_needs_fetch(x) || !str_eq(x->repo, first->repo) ||
            !str_eq(x->commit, first->commit))
            continue;
        const struct hub_file *f = care_mend_offer(offer, x->file);
        if (!f || (x->expected.n && !str_eq(f->etag, x->expected))) {
            care_mend_say(m, x, false, f ? "the hub has other content under this commit"
                                         : "the hub has no such file at this commit");
            continue;
        }
        if (care_mend_is(x, "hash_mismatch") && !care_mend_aside(m, x)) continue;
        include[n] = care_mend_pattern(m->arena, x->file);
        n += include[n].n > 0;
        care_mend_say(m, x, false, "set aside");
    }
    return n;
}

/* After the attempt: what is there now was hashed on its way in. */
static void care_mend_settle(struct care_mending *m, const struct care_finding *first,
                             const struct err *failure) {
    for (size_t i = 0; i < m->findings->n; i++) {
        struct care_finding *x = &m->findings->list[i];
        struct os_stat st;
        struct err ignored = { 0 };
        char *aside, *dir = cache_repo_dir(m->arena, m->cache, x->repo);
        char *path = dir ? care_format(m->arena, "%s/snapshots/" STR_FMT "/" STR_FMT, dir,
                                       STR_ARG(x->commit), STR_ARG(x->file))
                         : NULL;
        if (!care_mend_needs_fetch(x) || !str_eq(x->mended, STR("set aside")) || !path ||
            !str_eq(x->repo, first->repo) || !str_eq(x->commit, first->commit))
            continue;
        bool there = os_stat(path, &st) && st.kind == OS_FILE &&
                     !(failure->code && care_mend_is(x, "link_differs"));
        if (!there) {
            care_mend_say(m, x, false, failure->code ? failure->msg : "it did not arrive");
            continue;
        }
        if (x->expected.n && care_mend_aside_path(m, x, &aside)) os_unlink(aside, &ignored);
        care_mend_say(m, x, true, "fetched again");
    }
}

static void care_mend_refuse(struct care_mending *m, const struct care_finding *first,
                             const char *why_cstr) {
    for (size_t i = 0; i < m->findings->n; i++) {
        struct care_finding *x = &m->findings->list[i];
        if (care_mend_needs_fetch(x) && !x->mended.n && str_eq(x->repo, first->repo) &&
            str_eq(x->commit, first->commit))
            care_mend_say(m, x, false, why_cstr);
    }
}

/* All wrong files of one commit. false: interrupted or out of memory. */
static bool care_mend_commit(struct care_mending *m, const struct care_finding *first,
                             struct err *e) {
    struct hub_repo offer;
    struct err failure = { 0 };
    struct hub_pull_result result;
    struct str *include = ARENA_ARRAY(m->arena, struct str, CARE_INCLUDE_MAX);
    if (!include) return err_oom(e, CARE_INCLUDE_MAX * sizeof *include, "a repair");
    if (!care_mend_ask(m, first->repo, first->commit, &offer, &failure)) {
        care_mend_refuse(m, first, failure.msg);
        return failure.code != ERR_INTERRUPTED || (*e = failure, false);
    }
    struct hub_pull_options o = { .repo = first->repo,
                                  .revision = first->commit,
                                  .include = include,
                                  .event = m->event,
                                  .ctx = m->ctx };
    o.n_include = care_mend_prepare(m, first, &offer, include);
    if (!o.n_include) return true;
    hub_pull(m->arena, m->hub, m->cache, &o, &result, &failure);
    care_mend_settle(m, first, &failure);
    return failure.code != ERR_INTERRUPTED || (*e = failure, false);
}

/* ---- file lists and refs/main ---- */

struct care_proof { struct cache_tree_file *files; size_t n; };

static int care_proof_order(const void *x, const void *y) {
    return str_cmp(((const struct care_entry *)x)->name, ((const struct care_entry *)y)->name);
}

/* The list of an imported commit: its name is the hash of all names and contents, so links whose
 * hashes give that name are the whole commit. */
static bool care_proof_import(struct arena *a, const struct care_repo *r, struct str commit,
                              struct care_proof *out) {
    const void **links = ARENA_ARRAY(a, const void *, r->n + 1);
    struct sha256 hash;
    uint8_t digest[32];
    char hex[65];
    size_t n = 0;
    for (size_t i = 0; links && i < r->n; i++) {
        const struct care_entry *x = &r->entries[i];
        bool file = (x->kind == CARE_LINK || x->kind == CARE_COPY) && str_eq(x->commit, commit);
        if (file && (x->kind != CARE_LINK || cache_blob_hash(x->to) != CACHE_SHA256)) return false;
        if (file) links[n++] = x;
    }
    if (!links || n == 0 || !(out->files = ARENA_ARRAY(a, struct cache_tree_file, n))) return false;
    care_sort(links, n, care_proof_order);
    sha256_init(&hash);
    for (size_t i = 0; i < n; i++) {
        const struct care_entry *x = links[i];
        sha256_update(&hash, x->name.p, x->name.n);
        sha256_update(&hash, "", 1);
        sha256_update(&hash, x->to.p, x->to.n);
        sha256_update(&hash, "\n", 1);
        out->files[i] = (struct cache_tree_file){ .path = x->name, .lfs_sha256 = x->to,
                                                  .size_bytes = x->target.size_bytes,
                                                  .lfs_size = x->target.size_bytes };
    }
    out->n = n;
    sha256_final(&hash, digest);
    str_hex(hex, digest, sizeof digest);
    return str_eq(str_sub(str_cstr(hex), 0, 40), commit);
}

static bool care_proof_write(struct care_mending *m, struct str repo, struct str commit,
                             struct care_proof *p, struct err *e) {
    char oid[65];
    for (size_t i = 0; i < p->n; i++) {
        cache_lfs_pointer(p->files[i].lfs_sha256, p->files[i].size_bytes, oid);
        p->files[i].blob_id = str_dup(m->arena, str_cstr(oid));
    }
    return cache_tree_write(m->cache, repo, commit, p->files, p->n, e);
}

/* The hub's own list, as a pull would have written it. */
static bool care_mend_list_from(const struct hub_repo *offer, struct arena *a,
                                struct care_proof *out) {
    out->n = offer->n_files;
    out->files = ARENA_ARRAY(a, struct cache_tree_file, offer->n_files + 1);
    for (size_t i = 0; out->files && i < out->n; i++) {
        const struct hub_file *f = &offer->files[i];
        out->files[i] = (struct cache_tree_file){ .path = f->path, .size_bytes = f->size_bytes,
                                                  .blob_id = f->git_oid, .xet_hash = f->xet_hash };
        if (!f->lfs) continue;
        out->files[i].lfs_sha256 = f->etag;
        out->files[i].lfs_size = f->size_bytes;
    }
    return out->files != NULL;
}

static void care_mend_list(struct care_mending *m, const struct care_repo *r,
                           struct care_finding *x) {
    struct err e = { 0 };
    struct care_proof p;
    struct hub_repo offer;
    if (care_proof_import(m->arena, r, x->commit, &p)) {
        bool ok = care_proof_write(m, x->repo, x->commit, &p, &e);
        care_mend_say(m, x, ok, ok ? "written: the commit is the hash of these files" : e.msg);
        return;
    }
    bool ok = care_mend_ask(m, x->repo, x->commit, &offer, &e) &&
              care_mend_list_from(&offer, m->arena, &p) &&
              cache_tree_write(m->cache, x->repo, x->commit, p.files, p.n, &e);
    care_mend_say(m, x, ok, ok ? "written as the hub has it" : e.msg);
}

static void care_mend_main(struct care_mending *m, const struct care_repo *r,
                           struct care_finding *x) {
    struct err e = { 0 };
    struct care_proof p;
    struct hub_repo offer;
    struct str commit = STR_EMPTY;
    for (size_t i = 0; r->n_revisions == 1 && i < r->n_revisions; i++)
        if (care_proof_import(m->arena, r, r->revisions[i].commit, &p))
            commit = r->revisions[i].commit;
    if (!commit.n && care_mend_ask(m, x->repo, STR("main"), &offer, &e)) commit = offer.commit;
    bool ok = commit.n && cache_ref_write(m->cache, x->repo, STR("main"), commit, &e);
    care_mend_say(m, x, ok, ok ? "written" : e.msg);
}

/* What needs the inventory of the repo. */
static bool care_mend_repo(struct care_mending *m, struct care_finding *x, struct err *e) {
    struct care_repo r;
    char *folder = cache_folder_name(m->arena, x->repo);
    if (!folder) return err_oom(e, x->repo.n, "a repair");
    bool ok = care_repo_read(m->arena, m->cache, str_cstr(folder), &r, e);
    if (ok && care_mend_is(x, "list_missing")) care_mend_list(m, &r, x);
    else if (ok) care_mend_main(m, &r, x);
    care_repo_release(&r);
    return ok;
}

/* ---- (Public) ---- */

/* Copies that an interrupted repair has set aside, when the blob is right again. */
static void care_mend_set_aside(struct care_mending *m) {
    for (size_t i = 0; i < m->findings->n; i++) {
        struct care_finding *x = &m->findings->list[i];
        struct err e = { 0 };
        if (!care_mend_is(x, "leftover") || !x->expected.n || !care_mend_is_known(x) ||
            !care_mend_blob_good(m, x))
            continue;
        bool ok = os_unlink(x->path.p, &e);
        care_mend_say(m, x, ok, ok ? "removed: the blob is right" : e.msg);
    }
}

static void care_mend_store(struct care_mending *m) {
    for (size_t i = 0; i < m->findings->n; i++) {
        struct care_finding *x = &m->findings->list[i];
        struct os_stat st;
        if (care_mend_is(x, "store_missing") && os_stat(x->path.p, &st) && st.kind == OS_FILE)
            care_mend_say(m, x, true, "fetched again");
    }
}

static bool care_mend_all(struct care_mending *m, struct err *e) {
    struct care_findings *f = m->findings;
    for (size_t i = 0; i < f->n; i++) {
        struct care_finding *x = &f->list[i];
        if (!care_mend_is_known(x)) continue;
        if (care_mend_is(x, "hash_mismatch") && x->unlinked) care_mend_unlinked(m, x);
        if (care_mend_is(x, "link_missing") || care_mend_is(x, "link_differs"))
            care_mend_link(m, x);
    }
    for (size_t i = 0; i < f->n; i++)
        if (care_mend_needs_fetch(&f->list[i]) && !f->list[i].mended.n &&
            !care_mend_commit(m, &f->list[i], e))
            return false;
    care_mend_store(m);
    care_mend_set_aside(m);
    for (size_t i = 0; i < f->n; i++) {
        struct care_finding *x = &f->list[i];
        bool wanted = care_mend_is(x, "list_missing") || care_mend_is(x, "main_missing");
        if (wanted && care_mend_is_known(x) && !care_mend_repo(m, x, e)) return false;
        if (os_interrupted()) return err_set(e, ERR_INTERRUPTED, "stopped while repairing");
    }
    return true;
}

MLXK_FN bool care_repair(struct arena *a, const struct cache *c, struct hub *hub /* or NULL */,
                         bool (*foreign)(struct str repo), struct care_findings *f,
                         hub_event_fn event, void *ctx, struct err *e) {
    struct care_mending m = { .arena = a, .cache = c, .hub = hub, .foreign = foreign,
                              .findings = f, .event = event, .ctx = ctx };
    return care_mend_all(&m, e);
}

