/* care_verify.c: every payload hashed and compared with what its name or the file list promises.
 *
 *   collect (inventory of each repo) -> largest first -> threads: read, hash, compare
 *        the caller's thread waits: progress, journal, the user's wish to stop
 *
 * 1. Memory does not grow with the files: one buffer per thread; pages that were read are given
 *    back to the system.
 * 2. All threads share one pace (limit_bytes_per_s).
 * 3. A file that is good is in the journal when the next one is begun, so a kill loses little.
 * 4. A payload reached by several names (hard links, the shared store) is read once.
 */
#include "care/care_int.h"

enum {
    CARE_CHUNK = 1 << 17, CARE_PASS_BYTES = 1 << 23,
    CARE_THREADS_MAX = 32, CARE_TICK_MS = 100,
};

enum care_verdict { CARE_UNDONE, CARE_GOOD, CARE_WRONG, CARE_GONE, CARE_FAILED };
struct care_job {
    struct str repo, path;       /* path NUL-terminated */
    struct str expected;         /* 64 or 40 hex digits */
    uint64_t size_bytes;         /* as listed, UINT64_MAX = unknown */
    struct str commit, file;
    struct os_stat st;           /* before reading */
    struct care_job *same;       /* another name of the same file, same promise */
    enum care_verdict verdict;
    char found[65];
    struct str why;              /* of CARE_FAILED */
    bool unlinked, told;
};

struct care_hashing {
    struct arena *arena;
    const struct care_verify_options *options;
    struct care_findings *findings;
    struct care_verify_result *result;
    struct buf list;             /* struct care_job after struct care_job */
    const void **order;          /* struct care_job *, largest first */
    size_t n;
    struct os_mutex mutex;       /* everything below */
    struct os_cond done;
    size_t next, n_finished, first_untold;
    struct arena reasons;
    uint64_t done_bytes, total_bytes;
    int64_t free_ns;             /* when the shared pace allows the next chunk */
    int n_running;
    bool stop;
};

/* ---- what is to be hashed ---- */

struct care_listing {            /* file lists of one repo, by snapshot's file */
    struct care_repo *repo;
    struct map files;            /* "commit/path" -> index into list */
    struct cache_tree_file *list; size_t n, cap;
};

static bool care_listing_read(struct arena *a, struct care_listing *l) {
    for (size_t k = 0; k < l->repo->n_revisions; k++) {
        struct cache_tree_file *tree;
        size_t n;
        if (!care_tree_of(a, l->repo, l->repo->revisions[k].commit, &tree, &n)) continue;
        if (l->n + n > l->cap) {
            size_t cap = 2 * (l->n + n);
            struct cache_tree_file *grown = ARENA_ARRAY(a, struct cache_tree_file, cap);
            if (!grown) return false;
            if (l->n) memcpy(grown, l->list, l->n * sizeof *grown);
            l->list = grown;
            l->cap = cap;
        }
        for (size_t i = 0; i < n; i++) {
            struct str key =
                str_format(a, STR_FMT "/" STR_FMT, STR_ARG(l->repo->revisions[k].commit),
                           STR_ARG(tree[i].path));
            uint64_t *at = key.p ? map_put(&l->files, key, NULL) : NULL;
            if (!at) return false;
            *at = l->n;
            l->list[l->n++] = tree[i];
        }
    }
    return true;
}

static const struct cache_tree_file *care_listing_get(struct arena *a, const struct care_listing *l,
                                                      struct str commit, struct str file) {
    struct arena_mark mark = arena_mark(a);
    struct str key = str_format(a, STR_FMT "/" STR_FMT, STR_ARG(commit), STR_ARG(file));
    const uint64_t *at = map_get(&l->files, key);
    arena_rewind(a, mark);
    return at ? &l->list[*at] : NULL;
}

static bool care_hashing_add(struct care_hashing *h, const struct care_repo *r,
                             const struct care_entry *x, const struct cache_tree_file *listed) {
    struct care_job j = { .size_bytes = UINT64_MAX, .st = x->st };
    bool copy = x->kind == CARE_COPY;
    if (x->st.kind == OS_LINK) j.st = x->target;
    if (listed) j.expected = care_tree_etag(listed, &j.size_bytes);
    if (!copy && cache_blob_hash(x->name) != CACHE_OPAQUE) {
        if (!str_eq(j.expected, x->name)) j.size_bytes = UINT64_MAX;   /* link_differs tells that */
        j.expected = x->name;
    }
    if (cache_blob_hash(j.expected) == CACHE_OPAQUE) {
        h->result->n_unnamed++;
        return care_found(h->findings, CARE_NOTE, "no_hash", r->name, str_cstr(x->path_cstr),
                          "neither its name nor a file list tells its hash") != NULL;
    }
    j.repo = r->name;
    j.path = str_dup(h->arena, str_cstr(x->path_cstr));
    char *path = str_dup_cstr(h->arena, j.path);
    j.path.p = path;
    j.expected = str_dup(h->arena, j.expected);
    j.commit = str_dup(h->arena, copy ? x->commit : x->shown_commit);
    j.file = str_dup(h->arena, copy ? x->name : x->shown_file);
    j.unlinked = !copy && x->n_revisions == 0;
    buf_add_bytes(&h->list, &j, sizeof j);
    return path && j.expected.p && !h->list.failed;
}

/* The payload that one entry of the inventory stands for, if it is one to be hashed. */
static bool care_hashing_entry(struct care_hashing *h, struct arena *scratch,
                               const struct care_listing *l, const struct care_entry *x) {
    struct str only = h->options->only_commit;
    bool blob = x->kind == CARE_BLOB, copy = x->kind == CARE_COPY;
    if (!blob && !copy) return true;
    /* told as a finding */
    if (blob && x->st.kind == OS_LINK && x->target.kind != OS_FILE) return true;
    struct str commit = copy ? x->commit : x->shown_commit, file = copy ? x->name : x->shown_file;
    if (only.n && !str_eq(commit, only)) {
        bool shown = false;                      /* a blob of several snapshots keeps one of them */
        for (size_t i = 0; blob && !shown && i < l->repo->n; i++)
            shown = l->repo->entries[i].blob == x && str_eq(l->repo->entries[i].commit, only);
        if (!shown) return true;
    }
    const struct cache_tree_file *listed =
        commit.n ? care_listing_get(scratch, l, commit, file) : NULL;
    return care_hashing_add(h, l->repo, x, listed);
}

static void care_hashing_store_gone(struct care_hashing *h, const struct care_repo *r) {
    for (size_t i = 0; i < r->n; i++) {
        const struct care_entry *x = &r->entries[i];
        if (x->kind == CARE_BLOB && x->st.kind == OS_LINK && x->target.kind == OS_NONE)
            care_found(h->findings, CARE_ERROR, "store_missing", r->name, str_cstr(x->path_cstr),
                       "the payload in the shared store is gone");
    }
}

static bool care_hashing_repo(struct care_hashing *h, const struct cache *c, struct str folder,
                              struct err *e) {
    struct arena scratch;
    struct care_repo r;
    struct care_listing l = { .repo = &r };
    arena_init(&scratch, (size_t)4 << 30);
    map_init(&l.files, SIZE_MAX / 64);
    bool ok = care_repo_read(&scratch, c, folder, &r, e);
    if (ok) {
        r.name = str_dup(h->arena, r.name);
        care_deep_repo(&r, h->options->only_commit, h->findings);
        care_hashing_store_gone(h, &r);
        ok = care_listing_read(&scratch, &l);
    }
    for (size_t i = 0; ok && i < r.n; i++) ok = care_hashing_entry(h, &scratch, &l, &r.entries[i]);
    if (!ok) err_oom(e, h->list.n, "the files to verify");
    map_release(&l.files);
    care_repo_release(&r);
    arena_release(&scratch);
    h->result->n_repos++;
    return ok;
}

/* ---- order ---- */

static int care_job_order(const void *x, const void *y) {
    const struct care_job *a = x, *b = y;
    if (a->st.size_bytes != b->st.size_bytes) return a->st.size_bytes > b->st.size_bytes ? -1 : 1;
    return str_cmp(a->path, b->path);
}

/* Passes over what the journal knows, joins names of the same file, and sums up. */
static bool care_hashing_order(struct care_hashing *h, struct err *e) {
    struct care_job *jobs = (struct care_job *)(void *)h->list.p;
    size_t n = h->list.n / sizeof *jobs;
    struct map files;
    h->order = ARENA_ARRAY(h->arena, const void *, n + 1);
    if (!h->order) return err_oom(e, n * sizeof(void *), "the files to verify");
    map_init(&files, SIZE_MAX / 64);
    for (size_t i = 0; i < n; i++) {
        struct care_job *j = &jobs[i];
        bool is_new;
        if (h->options->journal &&
            care_journal_has(h->options->journal, j->path, &j->st, h->options->since_ns)) {
            h->result->n_skipped++;
            h->result->skipped_bytes += j->st.size_bytes;
            continue;
        }
        struct str key =
            str_format(h->arena, "%llx:%llx:" STR_FMT, (unsigned long long)j->st.device,
                       (unsigned long long)j->st.inode, STR_ARG(j->expected));
        uint64_t *at = map_put(&files, key, &is_new);
        if (at && !is_new) j->same = &jobs[*at];
        else if (at) *at = i;
        h->order[h->n++] = j;
        h->total_bytes += j->same ? 0 : j->st.size_bytes;
    }
    bool ok = !files.failed || err_oom(e, n * 64, "the files to verify");
    map_release(&files);
    care_sort(h->order, h->n, care_job_order);
    return ok;
}

/* ---- threads ---- */

/* Waits for this chunk's turn; false = stop. */
static bool care_hashing_pace(struct care_hashing *h, size_t n_bytes) {
    uint64_t limit = h->options->limit_bytes_per_s;
    os_mutex_lock(&h->mutex);
    h->done_bytes += n_bytes;
    int64_t now_ns = os_now_ns(), until_ns = now_ns;
    if (limit) {
        until_ns = h->free_ns > now_ns ? h->free_ns : now_ns;
        h->free_ns = until_ns + (int64_t)((double)n_bytes / (double)limit * 1e9);
        until_ns = h->free_ns;
    }
    bool stop = h->stop;
    os_mutex_unlock(&h->mutex);
    while (!stop && until_ns > now_ns) {
        int64_t wait_ms = (until_ns - now_ns) / 1000000 + 1;
        os_sleep_ms(wait_ms < CARE_TICK_MS ? wait_ms : CARE_TICK_MS);
        os_mutex_lock(&h->mutex);
        stop = h->stop;
        os_mutex_unlock(&h->mutex);
        now_ns = os_now_ns();
    }
    return !stop;
}

static bool care_job_read(struct care_hashing *h, int fd, struct cache_digest *d, uint8_t *chunk,
                          struct err *e) {
    uint64_t limit = h->options->limit_bytes_per_s, passed = 0, at = 0;
    size_t piece = limit && limit / 8 < CARE_CHUNK ? (limit / 8 < 4096 ? 4096 : (size_t)limit / 8)
                                                   : CARE_CHUNK;
    for (size_t got = 1; got > 0; at += got) {
        if (!os_pread(fd, chunk, piece, at, &got, e)) return false;
        cache_digest_add(d, chunk, got);
        if (got && !care_hashing_pace(h, got)) return err_set(e, ERR_INTERRUPTED, "stopped");
        if (at + got - passed >= CARE_PASS_BYTES || got == 0) {
            if (at + got > passed) os_file_passed(fd, passed, at + got - passed);
            passed = at + got;
        }
    }
    return true;
}

static enum care_verdict care_job_hash(struct care_hashing *h, struct care_job *j, uint8_t *chunk,
                                       struct err *e) {
    struct cache_digest d;
    struct os_stat st;
    int fd = os_open(j->path.p, OS_READ, e);
    if (fd < 0) return os_lstat(j->path.p, &st) ? CARE_FAILED : CARE_GONE;
    if (!os_fstat(fd, &j->st) || j->st.kind != OS_FILE) {
        os_close(fd);
        err_set(e, ERR_IO, "it is no regular file");
        return CARE_FAILED;
    }
    os_file_passed(fd, 0, 0);
    cache_digest_begin(&d, cache_blob_hash(j->expected), j->st.size_bytes);
    bool ok = care_job_read(h, fd, &d, chunk, e);
    os_close(fd);
    if (!ok) return e->code == ERR_INTERRUPTED ? CARE_UNDONE : CARE_FAILED;
    cache_digest_end(&d, j->found);
    return str_eq(str_cstr(j->found), j->expected) ? CARE_GOOD : CARE_WRONG;
}

static void care_hashing_work(void *ctx) {
    struct care_hashing *h = ctx;
    uint8_t chunk[CARE_CHUNK];
    os_mutex_lock(&h->mutex);
    while (!h->stop && h->next < h->n) {
        struct care_job *j = (struct care_job *)(uintptr_t)h->order[h->next++];
        os_mutex_unlock(&h->mutex);
        struct err e = { 0 };
        enum care_verdict verdict = j->same ? CARE_UNDONE : care_job_hash(h, j, chunk, &e);
        os_mutex_lock(&h->mutex);
        if (verdict == CARE_FAILED) j->why = str_dup(&h->reasons, str_cstr(e.msg));
        j->verdict = verdict;
        h->n_finished += verdict != CARE_UNDONE || j->same;
    }
    h->n_running--;
    os_cond_broadcast(&h->done);
    os_mutex_unlock(&h->mutex);
}

/* ---- results ---- */

static void care_job_wrong(struct care_hashing *h, const struct care_job *j) {
    const char *kind = j->expected.n == 64 ? "sha256" : "git sha1";
    bool size = j->size_bytes != UINT64_MAX && j->size_bytes != j->st.size_bytes;
    unsigned long long bytes = (unsigned long long)j->st.size_bytes;
    struct care_finding *x =
        size ? care_found(h->findings, CARE_ERROR, "hash_mismatch", j->repo, j->path,
                          "wrong content: %llu of %llu bytes, another %s", bytes,
                          (unsigned long long)j->size_bytes, kind)
             : care_found(h->findings, CARE_ERROR, "hash_mismatch", j->repo, j->path,
                          "wrong content: %llu bytes with another %s", bytes, kind);
    if (!x) return;
    x->expected = j->expected;
    x->found = str_dup(h->findings->arena, str_cstr(j->found));
    x->commit = j->commit;
    x->file = j->file;
    x->unlinked = j->unlinked;
    x->fix = str_format(h->findings->arena, "mlxk verify " STR_FMT " --repair", STR_ARG(j->repo));
}

static void care_job_tell(struct care_hashing *h, struct care_job *j, enum care_verdict verdict) {
    j->told = true;
    if (j->same) {
        memcpy(j->found, j->same->found, sizeof j->found);
        j->why = j->same->why;
        j->st = j->same->st;
    }
    h->result->n_files += verdict != CARE_GONE;
    h->result->bytes += j->same ? 0 : j->st.size_bytes;
    h->result->n_good += verdict == CARE_GOOD;
    h->result->n_wrong += verdict == CARE_WRONG;
    if (verdict == CARE_GOOD && h->options->journal)
        care_journal_add(h->options->journal, j->path, &j->st, os_time_ns());
    if (verdict == CARE_WRONG) care_job_wrong(h, j);
    if (verdict == CARE_FAILED)
        care_found(h->findings, CARE_ERROR, "unreadable", j->repo, j->path, STR_FMT,
                   STR_ARG(j->why));
}

/* Journal and counts of what was finished since the last look; on the caller's thread. */
static void care_hashing_tell(struct care_hashing *h) {
    os_mutex_lock(&h->mutex);
    size_t next = h->next;
    os_mutex_unlock(&h->mutex);
    for (size_t i = h->first_untold; i < next; i++) {
        struct care_job *j = (struct care_job *)(uintptr_t)h->order[i];
        os_mutex_lock(&h->mutex);
        enum care_verdict verdict = j->same ? j->same->verdict : j->verdict;
        os_mutex_unlock(&h->mutex);
        if (!j->told && verdict != CARE_UNDONE) care_job_tell(h, j, verdict);
        if (j->told && i == h->first_untold) h->first_untold++;
    }
}

static void care_hashing_watch(struct care_hashing *h) {
    os_mutex_lock(&h->mutex);
    while (h->n_running > 0) {
        os_cond_wait(&h->done, &h->mutex, CARE_TICK_MS);
        h->stop = h->stop || os_interrupted();
        struct care_verify_state s = { h->done_bytes, h->total_bytes, h->n_finished, h->n };
        os_mutex_unlock(&h->mutex);
        care_hashing_tell(h);
        if (h->options->progress) h->options->progress(h->options->ctx, &s);
        os_mutex_lock(&h->mutex);
    }
    h->result->interrupted = h->stop;
    os_mutex_unlock(&h->mutex);
    care_hashing_tell(h);
}

static void care_hashing_run(struct care_hashing *h) {
    struct os_thread *threads[CARE_THREADS_MAX];
    struct err none = { 0 };
    int wanted = h->options->n_threads ? h->options->n_threads : os_cpu_count(), n = 0;
    wanted = wanted > CARE_THREADS_MAX ? CARE_THREADS_MAX : wanted;
    wanted = (size_t)wanted > h->n ? (int)h->n : wanted;
    os_mutex_init(&h->mutex);
    os_cond_init(&h->done);
    while (n < wanted) {
        os_mutex_lock(&h->mutex);
        h->n_running++;
        os_mutex_unlock(&h->mutex);
        if (!(threads[n] = os_thread_start(care_hashing_work, h, &none))) break;
        n++;
    }
    if (n < wanted) {
        os_mutex_lock(&h->mutex);
        h->n_running--;
        os_mutex_unlock(&h->mutex);
    }
    if (n == 0 && h->n) {                        /* no threads to be had: this one does it */
        h->n_running = 1;
        care_hashing_work(h);
    }
    care_hashing_watch(h);
    while (n > 0) os_thread_join(threads[--n]);
}

static int care_finding_order(const void *x, const void *y) {
    const struct care_finding *a = x, *b = y;
    int c = str_cmp(a->repo, b->repo);
    c = c ? c : str_cmp(a->path, b->path);
    return c ? c : strcmp(a->code_cstr, b->code_cstr);
}

/* By repo and path, whatever thread was first. */
static void care_hashing_sort(struct care_hashing *h) {
    struct care_findings *f = h->findings;
    const void **sorted = ARENA_ARRAY(h->arena, const void *, f->n + 1);
    struct care_finding *list = ARENA_ARRAY(h->arena, struct care_finding, f->n + 1);
    f->failed = f->failed || !sorted || !list;
    if (f->failed) return;
    for (size_t i = 0; i < f->n; i++) sorted[i] = &f->list[i];
    care_sort(sorted, f->n, care_finding_order);
    for (size_t i = 0; i < f->n; i++) list[i] = *(const struct care_finding *)sorted[i];
    f->list = list;
    f->cap = f->n;
}

/* A wrong size says nothing that the wrong hash of the same blob does not say better. */
static void care_hashing_condense(struct care_findings *f) {
    size_t kept = 0;
    for (size_t i = 0; i < f->n; i++) {
        struct care_finding x = f->list[i];
        bool told = false;
        for (size_t k = 0; strcmp(x.code_cstr, "size_differs") == 0 && !told && k < f->n; k++)
            told = strcmp(f->list[k].code_cstr, "hash_mismatch") == 0 &&
                   str_eq(f->list[k].repo, x.repo) && str_eq(f->list[k].expected, x.expected);
        if (!told) f->list[kept++] = x;
    }
    f->n = kept;
}

/* ---- (Public) ---- */

MLXK_FN bool care_verify(struct arena *a, const struct cache *c,
                         const struct care_verify_options *o, struct care_findings *f,
                         struct care_verify_result *out, struct err *e) {
    struct care_hashing h = { .arena = a, .options = o, .findings = f, .result = out };
    *out = (struct care_verify_result){ 0 };
    buf_init(&h.list, SIZE_MAX);
    arena_init(&h.reasons, (size_t)1 << 26);
    bool ok = true;
    for (size_t i = 0; ok && i < o->n_folders; i++) ok = care_hashing_repo(&h, c, o->folders[i], e);
    ok = ok && care_hashing_order(&h, e);
    if (ok) care_hashing_run(&h);
    care_hashing_condense(f);
    care_hashing_sort(&h);
    buf_release(&h.list);
    arena_release(&h.reasons);
    return ok && (!f->failed || err_oom(e, f->n * sizeof *f->list, "what was found"));
}
