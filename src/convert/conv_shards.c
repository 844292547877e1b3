/* conv_shards.c: the files of the target, slice by slice over a team of threads.
 *
 *   absent --write--> NAME.part --sync--> NAME.sum --rename--> out/NAME
 *
 * 1. A file has its name in out/ only when all its bytes have reached the device. The sum is not
 *    waited for: one that a crash took along only means that the file is made again.
 * 2. NAME.sum is the hash of the header and of the slices' hashes, in order. A file of an earlier
 *    run is kept when header, size and sum are right, and made again otherwise.
 * 3. Members of the team touch disjoint slices and their own buffers; what is written does not
 *    depend on their number.
 */
#include "convert/conv_job.h"

enum {
    CONV_SHARDS_WINDOW = 4
}; /* slices a member makes between two looks at progress and interrupts */

struct conv_member {
    uint8_t *in, *out;
    struct err err;
};
struct conv_run {
    const struct conv_writer *w;
    const struct conv_shard *shard;
    struct conv_slice *slices;
    size_t n_slices;
    uint8_t *digests; /* 32 bytes a slice */
    size_t first, last; /* of the window */
    struct conv_member *members;
    int n_members;
    struct os_team *team;
    int fd;
    bool verify;
};

/* ---- slices of a file (Private) ------------------------------------------------------------- */

static size_t conv_shards_cut(const struct conv_writer *w, const struct conv_shard *shard,
                              struct conv_slice *out) {
    size_t n = 0;
    for (size_t i = shard->first; i < shard->first + shard->n; i++) {
        const struct conv_item *item = &w->tensors->items[i];
        uint64_t each = item->n_elements / item->n_pieces;
        for (uint64_t begin = 0; begin < item->n_elements; begin += each)
            for (uint64_t at = 0; at < each; at += conv_slice_size(item), n++) {
                uint64_t left = each - at, size = conv_slice_size(item);
                if (out)
                    out[n] =
                        (struct conv_slice){ i, begin + at, (uint32_t)(left < size ? left : size) };
            }
    }
    return n;
}

static void conv_shards_member(void *ctx, int part, int n_parts) {
    struct conv_run *r = ctx;
    struct conv_member *m = &r->members[part];
    for (size_t i = r->first + (size_t)part; i < r->last && m->err.code == ERR_OK;
         i += (size_t)n_parts) {
        const struct conv_item *item = &r->w->tensors->items[r->slices[i].item];
        uint8_t *digest = r->digests + 32 * i;
        if (r->verify) (void)conv_slice_verify(item, &r->slices[i], m->out, r->fd, digest, &m->err);
        else
            (void)conv_slice_make(r->w->source, item, &r->slices[i], m->in, m->out, r->fd, digest,
                                  &m->err);
    }
}

/* All slices; then the sum in hex. */
static bool conv_shards_pass(struct conv_writer *w, struct conv_run *r, char sum[65],
                             struct err *e) {
    struct sha256 sha;
    uint8_t digest[32];
    uint64_t begun = w->done_bytes;
    for (r->first = 0; r->first < r->n_slices; r->first = r->last) {
        size_t window = (size_t)r->n_members * CONV_SHARDS_WINDOW;
        r->last = r->n_slices - r->first < window ? r->n_slices : r->first + window;
        os_team_run(r->team, conv_shards_member, r);
        for (int k = 0; k < r->n_members; k++)
            if (r->members[k].err.code != ERR_OK) {
                *e = r->members[k].err;
                return false;
            }
        w->done_bytes =
            begun + (uint64_t)((double)r->shard->in_bytes * (double)r->last / (double)r->n_slices);
        if (w->progress && !w->progress(w->ctx, w->done_bytes, w->tensors->in_bytes))
            return err_set(e, ERR_INTERRUPTED, "the conversion was stopped");
    }
    w->done_bytes = begun + r->shard->in_bytes;
    sha256_init(&sha);
    sha256_update(&sha, r->shard->header.p, r->shard->header.n);
    sha256_update(&sha, r->digests, 32 * r->n_slices);
    sha256_final(&sha, digest);
    str_hex(sum, digest, sizeof digest);
    return true;
}

/* ---- one file (Private) --------------------------------------------------------------------- */

struct conv_paths {
    char part[LIMIT_PATH], sum[LIMIT_PATH], final[LIMIT_PATH];
};

static bool conv_shards_path(char out[LIMIT_PATH], const char *dir_cstr, const char *name_cstr,
                             const char *suffix_cstr, struct err *e) {
    struct str dir = str_cstr(dir_cstr), name = str_cstr(name_cstr), suffix = str_cstr(suffix_cstr);
    if (dir.n + name.n + suffix.n + 2 > LIMIT_PATH)
        return err_set(e, ERR_INVALID, "the path %s/%s is too long", dir_cstr, name_cstr);
    memcpy(out, dir.p, dir.n);
    out[dir.n] = '/';
    memcpy(out + dir.n + 1, name.p, name.n);
    memcpy(out + dir.n + 1 + name.n, suffix.p, suffix.n + 1);
    return true;
}

/* A file of an earlier run that is exactly what would be written now. */
static bool conv_shards_is_there(struct conv_writer *w, struct conv_run *r,
                                 const struct conv_paths *paths) {
    struct arena scratch;
    struct err ignored = { 0 };
    struct os_stat st;
    struct str header, stored;
    uint64_t size_bytes, begun = w->done_bytes;
    char sum[65];
    if (!os_lstat(paths->final, &st) || st.kind != OS_FILE || st.size_bytes != r->shard->size_bytes)
        return false;
    arena_init(&scratch, SAFET_MAX_HEADER + (1 << 16));
    r->fd = os_open(paths->final, OS_READ, &ignored);
    r->verify = true;
    bool same = r->fd >= 0 && conv_source_header(&scratch, r->fd, &header, &size_bytes, &ignored) &&
                str_eq(header, r->shard->header) &&
                os_read_file(&scratch, paths->sum, 256, &stored, &ignored) &&
                conv_shards_pass(w, r, sum, &ignored) && str_eq_cstr(stored, sum);
    for (int k = 0; k < r->n_members; k++) err_clear(&r->members[k].err);
    os_close(r->fd);
    arena_release(&scratch);
    if (!same) w->done_bytes = begun;
    return same;
}

static bool conv_shards_write_one(struct conv_writer *w, struct conv_run *r,
                                  const struct conv_paths *paths, struct err *e) {
    char sum[65];
    r->verify = false;
    if (!os_unlink(paths->final, e)) return false;
    r->fd = os_open(paths->part, OS_TRUNCATE, e);
    if (r->fd < 0) return false;
    bool ok = os_preallocate(r->fd, r->shard->size_bytes, e) &&
              os_truncate(r->fd, r->shard->size_bytes, e) &&
              os_pwrite(r->fd, r->shard->header.p, r->shard->header.n, 0, e) &&
              conv_shards_pass(w, r, sum, e) && os_sync(r->fd, e);
    os_close(r->fd);
    if (!ok) return err_context(e, "%s: ", r->shard->name);
    int fd = os_open(paths->sum, OS_TRUNCATE, e);
    ok = fd >= 0 && os_write(fd, sum, 64, e);
    os_close(fd);
    return ok && os_rename(paths->part, paths->final, e);
}

static bool conv_shards_one(struct conv_writer *w, struct conv_run *r, struct err *e) {
    struct conv_paths paths;
    if (!conv_shards_path(paths.part, w->work_cstr, r->shard->name, ".part", e) ||
        !conv_shards_path(paths.sum, w->work_cstr, r->shard->name, ".sum", e) ||
        !conv_shards_path(paths.final, w->out_cstr, r->shard->name, "", e))
        return false;
    r->n_slices = conv_shards_cut(w, r->shard, NULL);
    r->slices = mem_alloc((r->n_slices + 1) * sizeof *r->slices);
    r->digests = mem_alloc(32 * (r->n_slices + 1));
    bool ok = (r->slices && r->digests) ||
              err_oom(e, r->n_slices * sizeof *r->slices, "the slices of a file");
    if (ok) {
        (void)conv_shards_cut(w, r->shard, r->slices);
        bool there = conv_shards_is_there(w, r, &paths);
        w->n_kept += there;
        ok = there || conv_shards_write_one(w, r, &paths, e);
        w->n_finished += ok;
    }
    mem_free(r->slices);
    mem_free(r->digests);
    return ok;
}

/* ---- all files (Public) --------------------------------------------------------------------- */

static bool conv_shards_members(struct conv_run *r, struct err *e) {
    for (int k = 0; k < r->n_members; k++) {
        r->members[k] = (struct conv_member){ .in = mem_alloc(CONV_SLICE_BYTES),
                                              .out = mem_alloc(CONV_SLICE_BYTES) };
        if (!r->members[k].in || !r->members[k].out)
            return err_oom(e, 2 * CONV_SLICE_BYTES, "the buffers of a thread");
    }
    r->team = os_team_open(r->n_members, e);
    return r->team != NULL;
}

MLXK_FN bool conv_shards_write(struct conv_writer *w, int n_threads, struct err *e) {
    struct conv_member members[CONV_MAX_THREADS] = { { .in = NULL } };
    struct conv_run r = { .w = w,
                          .members = members,
                          .n_members =
                              n_threads < CONV_MAX_THREADS ? n_threads : CONV_MAX_THREADS };
    bool ok = conv_shards_members(&r, e);
    for (size_t i = 0; ok && i < w->tensors->n_shards; i++) {
        r.shard = &w->tensors->shards[i];
        ok = conv_shards_one(w, &r, e);
    }
    os_team_close(r.team);
    for (int k = 0; k < r.n_members; k++) {
        mem_free(members[k].in);
        mem_free(members[k].out);
    }
    return ok;
}
