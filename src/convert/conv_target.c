/* conv_target.c: the folder beside the target in which everything is made, and the moment in which
 * it becomes the target.
 *
 *   PARENT/.NAME.mlxk-convert/  lock  job.json  out/  NAME.part  NAME.sum
 *   open --make files in out/--> publish: rename out -> PARENT/NAME, remove the work folder
 *
 * 1. The target exists whole or not at all: it appears by one rename.
 * 2. A work folder belongs to one job (job.json). Another job's unfinished files are removed, never
 *    continued.
 * 3. Only what has this layout is removed: a folder of that name with anything else in it is
 *    refused.
 * 4. One process at a time (lock).
 */
#include "convert/conv_job.h"

#include <stdio.h>

enum { CONV_TARGET_MAX_DEPTH = 16 };
#define CONV_TARGET_SENTINEL ".mlxk_workspace.json"
#define CONV_TARGET_INDEX    "model.safetensors.index.json"

/* ---- paths (Private) ------------------------------------------------------------------------ */

static bool conv_target_paths(struct conv_target *t, struct err *e) {
    char *dir_cstr = os_path_dir(t->a, t->target_cstr);
    struct str name = os_path_base(t->target_cstr);
    struct str work = str_format(t->a, ".%.200s.mlxk-convert", name.p ? name.p : "");
    char *work_cstr = str_dup_cstr(t->a, work);
    t->work_cstr = dir_cstr && work_cstr ? os_path_join(t->a, dir_cstr, work_cstr) : NULL;
    t->out_cstr = t->work_cstr ? os_path_join(t->a, t->work_cstr, "out") : NULL;
    return t->out_cstr || err_oom(e, LIMIT_PATH, "a path");
}

static bool conv_target_join(struct arena *a, const char *dir_cstr, const char *name_cstr,
                             char **out, struct err *e) {
    *out = os_path_join(a, dir_cstr, name_cstr);
    return *out || err_oom(e, LIMIT_PATH, "a path");
}

MLXK_FN bool conv_target_put(struct arena *a, const char *dir_cstr, const char *name_cstr,
                             struct str content, bool sync, struct err *e) {
    char *path_cstr;
    if (!conv_target_join(a, dir_cstr, name_cstr, &path_cstr, e)) return false;
    int fd = os_open(path_cstr, OS_TRUNCATE, e);
    bool ok = fd >= 0 && os_write(fd, content.p, content.n, e) && (!sync || os_sync(fd, e));
    os_close(fd);
    return ok || err_context(e, "%s: ", name_cstr);
}

/* ---- the work folder (Private) -------------------------------------------------------------- */

/* Nothing but what this file makes: a person's folder of that name is left alone. */
static bool conv_target_is_ours(struct conv_target *t, struct err *e) {
    struct os_entry *entries;
    size_t n;
    if (!os_list_dir(t->a, t->work_cstr, CONV_MAX_FILES, &entries, &n, e)) return false;
    for (size_t i = 0; i < n; i++) {
        struct str name = entries[i].name;
        bool known = str_starts(name, STR("lock")) || str_starts(name, STR("job.json")) ||
                     str_eq(name, STR("out")) || str_ends(name, STR(".part")) ||
                     str_ends(name, STR(".sum")) || str_ends(name, STR(".tmp"));
        if (known) continue;
        err_set(e, ERR_EXISTS, "%s holds '" STR_FMT "', which no conversion made", t->work_cstr,
                STR_ARG(name));
        return err_hint(e, "remove that folder, or choose another target");
    }
    return true;
}

/* Everything but the lock, what was made last first. */
static bool conv_target_empty(struct conv_target *t, struct err *e) {
    struct os_entry *entries;
    size_t n;
    if (!os_list_dir(t->a, t->work_cstr, CONV_MAX_FILES, &entries, &n, e)) return false;
    for (size_t i = n; i > 0; i--) {
        char *name_cstr = str_dup_cstr(t->a, entries[i - 1].name), *path_cstr;
        if (!name_cstr) return err_oom(e, LIMIT_PATH, "a path");
        if (str_starts(entries[i - 1].name, STR("lock"))) continue;
        if (!conv_target_join(t->a, t->work_cstr, name_cstr, &path_cstr, e)) return false;
        if (entries[i - 1].kind == OS_DIR ? !os_remove_tree(path_cstr, e)
                                          : !os_unlink(path_cstr, e))
            return false;
    }
    return true;
}

/* 1 the same job, 0 another one, -1 none is stated. */
static int conv_target_job(struct arena *a, const char *work_cstr, struct str job) {
    struct err ignored = { 0 };
    struct str stored;
    char *path_cstr;
    if (!conv_target_join(a, work_cstr, "job.json", &path_cstr, &ignored) ||
        !os_read_file(a, path_cstr, LIMIT_JSON_FILE, &stored, &ignored))
        return -1;
    return str_eq(stored, job);
}

static bool conv_target_begin(struct conv_target *t, struct str job, struct err *e) {
    struct os_stat st;
    if (!conv_target_is_ours(t, e)) return false;
    t->resumed = conv_target_job(t->a, t->work_cstr, job) == 1 && os_stat(t->out_cstr, &st);
    if (t->resumed) return cache_workspace_sweep(t->a, t->out_cstr, e);
    return conv_target_empty(t, e) && os_mkdirs(t->out_cstr, e) &&
           conv_target_put(t->a, t->work_cstr, "job.json", job, false, e);
}

/* ---- the work folder (Public) --------------------------------------------------------------- */

static bool conv_target_lock(struct conv_target *t, struct err *e) {
    char *lock_cstr;
    if (!conv_target_join(t->a, t->work_cstr, "lock", &lock_cstr, e)) return false;
    if (os_lock_acquire(&t->lock, lock_cstr, 0, e)) return true;
    if (e->code != ERR_LOCKED) return false;
    err_clear(e);
    err_set(e, ERR_LOCKED, "another process is converting into %s", t->target_cstr);
    return err_hint(e, "wait until it has finished, or choose another target");
}

MLXK_FN bool conv_target_open(struct arena *a, const char *target_cstr, struct str job,
                              struct conv_target *out, struct err *e) {
    *out = (struct conv_target){ .a = a, .target_cstr = target_cstr };
    if (!conv_target_paths(out, e) || !os_mkdirs(out->work_cstr, e) || !conv_target_lock(out, e))
        return false;
    if (conv_target_begin(out, job, e)) return true;
    os_lock_release(&out->lock);
    return false;
}

MLXK_FN bool conv_target_publish(struct conv_target *t, struct err *e) {
    char *dir_cstr = os_path_dir(t->a, t->target_cstr);
    if (!dir_cstr) return err_oom(e, LIMIT_PATH, "a path");
    if (!os_sync_dir(t->out_cstr, e) || !os_rename(t->out_cstr, t->target_cstr, e)) return false;
    struct err ignored = { 0 };
    (void)os_sync_dir(
        dir_cstr, &ignored); /* the target is there; its name reaches the device sooner or later */
    return true;
}

MLXK_FN void conv_target_close(struct conv_target *t, bool keep) {
    struct err ignored = { 0 };
    if (!keep && conv_target_empty(t, &ignored)) (void)os_remove_tree(t->work_cstr, &ignored);
    os_lock_release(&t->lock);
}

MLXK_FN bool conv_target_is_leftover(struct arena *a, const char *target_cstr, struct str job) {
    struct conv_target t = { .a = a, .target_cstr = target_cstr };
    struct err ignored = { 0 };
    struct os_stat st;
    char *sentinel_cstr;
    return conv_target_paths(&t, &ignored) && os_lstat(t.work_cstr, &st) &&
           !os_lstat(t.out_cstr, &st) && conv_target_job(a, t.work_cstr, job) != 0 &&
           conv_target_join(a, target_cstr, CONV_TARGET_SENTINEL, &sentinel_cstr, &ignored) &&
           os_lstat(sentinel_cstr, &st);
}

MLXK_FN bool conv_target_forget(struct arena *a, const char *target_cstr, struct err *e) {
    struct conv_target t = { .a = a, .target_cstr = target_cstr };
    if (!conv_target_paths(&t, e) || !conv_target_lock(&t, e)) return false;
    bool ok = conv_target_is_ours(&t, e);
    if (ok) conv_target_close(&t, false);
    else os_lock_release(&t.lock);
    return ok;
}

/* ---- copying the rest (Private) ------------------------------------------------------------- */

/* Weights in formats that the target does not hold, in one spelling or another. */
static bool conv_target_is_weights(struct str name) {
    static const char *const ends[] = { ".safetensors", ".bin",       ".pth", ".pt",        ".gguf",
                                        ".onnx",        ".onnx_data", ".h5",  ".msgpack",   ".ckpt",
                                        ".tflite",      ".pkl",       ".npz", ".index.json" };
    for (size_t i = 0; i < MLXK_COUNT(ends); i++)
        if (str_ends(name, str_cstr(ends[i]))) return true;
    return false;
}

static bool conv_target_is_left_out(struct str name, enum os_kind kind, bool top, bool all) {
    if (kind == OS_DIR) return name.p[0] == '.' || str_eq(name, STR("__pycache__"));
    if (top && (str_eq(name, STR(CONV_TARGET_SENTINEL)) || str_eq(name, STR(CONV_TARGET_INDEX))))
        return true;
    return !all && (conv_target_is_weights(name) || (top && str_eq(name, STR("config.json"))));
}

static bool conv_target_copied(struct conv_copy *c, uint64_t n, struct err *e) {
    c->done_bytes += n;
    if (!c->progress || c->progress(c->ctx, c->done_bytes, c->total_bytes)) return true;
    return err_set(e, ERR_INTERRUPTED, "the conversion was stopped");
}

static bool conv_target_copy_bytes(struct conv_copy *c, int from, int to, struct err *e) {
    uint8_t *chunk = mem_alloc(CONV_CHUNK);
    bool ok = chunk || err_oom(e, CONV_CHUNK, "a copy");
    for (size_t n = CONV_CHUNK; ok && n == CONV_CHUNK;)
        ok = os_read(from, chunk, CONV_CHUNK, &n, e) && os_write(to, chunk, n, e) &&
             conv_target_copied(c, n, e);
    mem_free(chunk);
    return ok;
}

/* One file, with its time, which is set last; shares blocks where the file system can. */
static bool conv_target_copy_file(struct conv_copy *c, const char *from_cstr, const char *to_cstr,
                                  const struct os_stat *st, struct err *e) {
    struct os_stat there;
    if (os_lstat(to_cstr, &there) && there.kind == OS_FILE && there.size_bytes == st->size_bytes &&
        there.mtime_ns == st->mtime_ns)
        return conv_target_copied(c, st->size_bytes, e); /* by an earlier run */
    int from = os_open(from_cstr, OS_READ, e),
        to = from < 0 ? -1 : os_open(to_cstr, OS_TRUNCATE, e);
    bool ok = to >= 0;
    if (ok && os_reflink(from, to)) ok = conv_target_copied(c, st->size_bytes, e);
    else ok = ok && conv_target_copy_bytes(c, from, to, e);
    ok = ok && os_sync(to, e);
    os_close(from);
    os_close(to);
    return (ok || err_context(e, "%s: ", to_cstr)) && os_set_mtime(to_cstr, st->mtime_ns, e);
}

static bool conv_target_copy_dir(struct conv_copy *c, const char *from_cstr, const char *to_cstr,
                                 int depth, struct err *e);

static bool conv_target_copy_entry(struct conv_copy *c, const struct os_entry *entry,
                                   const char *from_cstr, const char *to_cstr, int depth,
                                   struct err *e) {
    char *name_cstr = str_dup_cstr(c->a, entry->name), *from, *to;
    struct os_stat st;
    if (!name_cstr) return err_oom(e, LIMIT_PATH, "a path");
    if (!conv_target_join(c->a, from_cstr, name_cstr, &from, e) ||
        !conv_target_join(c->a, to_cstr, name_cstr, &to, e))
        return false;
    if (!os_stat(from, &st)) return true; /* a link to nothing */
    if (conv_target_is_left_out(entry->name, st.kind, depth == 0, c->all)) return true;
    if (st.kind == OS_DIR && entry->kind != OS_LINK) /* a link could lead anywhere, also back */
        return conv_target_copy_dir(c, from, to, depth + 1, e);
    return st.kind != OS_FILE ||
           (os_mkdirs(to_cstr, e) && conv_target_copy_file(c, from, to, &st, e));
}

static bool conv_target_copy_dir(struct conv_copy *c, const char *from_cstr, const char *to_cstr,
                                 int depth, struct err *e) {
    struct os_entry *entries;
    size_t n;
    if (depth > CONV_TARGET_MAX_DEPTH)
        return err_set(e, ERR_LIMIT, "%s is nested deeper than %d folders", from_cstr,
                       CONV_TARGET_MAX_DEPTH);
    if (!os_list_dir(c->a, from_cstr, CONV_MAX_FILES, &entries, &n, e)) return false;
    for (size_t i = 0; i < n; i++)
        if (!conv_target_copy_entry(c, &entries[i], from_cstr, to_cstr, depth, e)) return false;
    return true;
}

/* ---- copying the rest (Public) -------------------------------------------------------------- */

MLXK_FN bool conv_target_copy(struct conv_copy *c, const char *from_cstr, const char *to_cstr,
                              struct err *e) {
    return conv_target_copy_dir(c, from_cstr, to_cstr, 0, e);
}

#undef CONV_TARGET_SENTINEL
#undef CONV_TARGET_INDEX
