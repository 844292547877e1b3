/* conv_convert.c: a model directory or GGUF file -> another directory, in the order that a kill at
 * any moment survives.
 *
 *   source, plan --work folder--> weights -> index -> other files -> config.json -> sentinel ->
 *   health, hash --rename--> target
 *
 * 1. The source is opened and everything planned before the first byte is written.
 * 2. config.json comes after the weights, so that nothing in the work folder looks like a model
 *    before it is one.
 * 3. A failure that the person can remove (full disk, interrupt) keeps finished files; every other
 *    one leaves nothing.
 * 4. A target below the source is no part of it: the work folder's name begins with a dot, and such
 *    folders are never copied.
 * ref: mlx-knife facts 3.4, 6.1-6.4.
 */
#include "convert/conv_job.h"

#include <stdio.h>

#define CONV_SENTINEL ".mlxk_workspace.json"
enum { CONV_JOB_DEPTH = 16 };

struct conv_run_all {
    struct arena *a;
    const struct conv_options *o;
    struct conv_outcome *out;
    const char *source_cstr, *target_cstr; /* absolute; source with links resolved */
    struct conv_target target;
    struct conv_source source;
    struct conv_tensors tensors;
    bool is_gguf;
    size_t n_finished; /* weight files that a later run can keep */
};

static const char *conv_mode_name(enum conv_mode mode) {
    static const char *const names[] = { "repair-index", "quantize", "dequantize", "to-mlx" };
    return names[mode];
}

/* ---- what is being made, as text (Private) -------------------------------------------------- */

static bool conv_job_files(struct conv_run_all *r, struct json_writer *w, const char *dir_cstr,
                           int depth, struct err *e) {
    struct os_entry *entries;
    size_t n;
    if (depth > CONV_JOB_DEPTH) return true; /* copying says so */
    if (!os_list_dir(r->a, dir_cstr, CONV_MAX_FILES, &entries, &n, e)) return false;
    for (size_t i = 0; i < n; i++) {
        char *name_cstr = str_dup_cstr(r->a, entries[i].name),
             *path_cstr = name_cstr ? os_path_join(r->a, dir_cstr, name_cstr) : NULL;
        struct os_stat st;
        if (!path_cstr) return err_oom(e, LIMIT_PATH, "a path");
        if (!os_stat(path_cstr, &st) || !strcmp(path_cstr, r->target_cstr)) continue;
        if (entries[i].kind == OS_DIR && entries[i].name.p[0] != '.' &&
            !conv_job_files(r, w, path_cstr, depth + 1, e))
            return false;
        if (st.kind != OS_FILE) continue;
        json_write_str(w, str_format(r->a, "%s %llu %lld", path_cstr,
                                     (unsigned long long)st.size_bytes, (long long)st.mtime_ns));
    }
    return true;
}

static void conv_job_options(struct json_writer *w, const struct conv_options *o) {
    json_write_key(w, "mode");
    json_write_cstr(w, conv_mode_name(o->mode));
    json_write_key(w, "options");
    json_write_array(w);
    json_write_i64(w, o->q.format);
    json_write_i64(w, o->q.bits);
    json_write_i64(w, o->q.group);
    json_write_i64(w, o->dtype);
    json_write_u64(w, o->shard_bytes);
    json_write_str(w, o->recipe.mixed);
    for (size_t i = 0; i < o->recipe.n; i++) {
        json_write_str(w, o->recipe.rules[i].pattern);
        json_write_i64(w, o->recipe.rules[i].q.format);
        json_write_i64(w, o->recipe.rules[i].q.bits);
        json_write_i64(w, o->recipe.rules[i].q.group);
    }
    json_write_array_end(w);
}

/* Program, options and every file of the source with size and time: the same text, the same
 * result. */
static bool conv_job_text(struct conv_run_all *r, struct str *out, struct err *e) {
    struct buf b;
    struct json_writer w;
    struct os_stat st;
    buf_init(&b, LIMIT_JSON_FILE);
    json_write_init(&w, &b, true, true);
    json_write_object(&w);
    json_write_key(&w, "mlxk_version");
    json_write_str(&w, r->o->version);
    conv_job_options(&w, r->o);
    json_write_key(&w, "files");
    json_write_array(&w);
    bool ok = true;
    if (r->is_gguf && os_stat(r->source_cstr, &st))
        json_write_str(&w, str_format(r->a, "%s %llu %lld", r->source_cstr,
                                      (unsigned long long)st.size_bytes, (long long)st.mtime_ns));
    else ok = conv_job_files(r, &w, r->source_cstr, 0, e);
    json_write_array_end(&w);
    json_write_object_end(&w);
    ok = ok && buf_ok(&b, "the description of the conversion", e);
    if (ok) *out = str_dup(r->a, buf_str(&b));
    buf_release(&b);
    return ok && (out->p || err_oom(e, b.n, "the description of the conversion"));
}

/* ---- weights (Private) ---------------------------------------------------------------------- */

static bool conv_enough_space(const struct conv_run_all *r, struct err *e) {
    uint64_t want = r->tensors.out_bytes, have = 0;
    struct os_room room;
    struct err ignored = { 0 };
    char want_text[16], free_text[16];
    for (size_t i = 0; i < r->tensors.n_shards; i++) {
        struct os_stat st;
        char *path_cstr = os_path_join(r->a, r->target.out_cstr, r->tensors.shards[i].name);
        if (path_cstr && os_stat(path_cstr, &st)) have += st.size_bytes;
    }
    if (!os_room_read(r->target.work_cstr, &room, &ignored)) return true;
    if (have >= want || want - have <= room.free_bytes) return true;
    num_format_size(want_text, want - have);
    num_format_size(free_text, room.free_bytes);
    err_set(e, ERR_DISK_FULL, "the result takes %s, but only %s are free%s on the disk of %s",
            want_text, free_text, room.by_cstr, r->target_cstr);
    return err_hint(e, "free some space on that disk, or choose a target on another one");
}

static int conv_threads(const struct conv_options *o) {
    return o->n_threads > 0 ? o->n_threads : os_cpu_count();
}

static bool conv_make_weights(struct conv_run_all *r, struct err *e) {
    struct conv_writer w = { .source = &r->source,
                             .tensors = &r->tensors,
                             .work_cstr = r->target.work_cstr,
                             .out_cstr = r->target.out_cstr,
                             .progress = r->o->progress,
                             .ctx = r->o->ctx };
    struct conv_outcome *out = r->out;
    if (!conv_enough_space(r, e)) return false;
    bool ok = conv_shards_write(&w, conv_threads(r->o), e);
    r->n_finished = w.n_finished;
    out->n_kept_shards = w.n_kept;
    out->n_shards = r->tensors.n_shards;
    out->n_tensors = r->tensors.n;
    out->n_quantised = r->tensors.n_quantised;
    out->n_dropped = r->tensors.n_dropped;
    out->size_bytes = r->tensors.out_bytes;
    out->bits_per_weight =
        r->tensors.n_params ? (double)r->tensors.data_bytes * 8 / (double)r->tensors.n_params : 0;
    return ok && conv_target_put(r->a, r->target.out_cstr, "model.safetensors.index.json",
                                 buf_str(&r->tensors.index), true, e);
}

static bool conv_make_config(struct conv_run_all *r, struct err *e) {
    struct buf b;
    buf_init(&b, LIMIT_JSON_FILE);
    bool ok = conv_plan_config(&r->source, r->o, &r->tensors, &b, e) &&
              conv_target_put(r->a, r->target.out_cstr, "config.json", buf_str(&b), true, e);
    buf_release(&b);
    return ok;
}

static bool conv_make_tensors(struct conv_run_all *r, struct err *e) {
    static const char *const dtypes[] = {
        [DTYPE_F16] = "float16", [DTYPE_BF16] = "bfloat16", [DTYPE_F32] = "float32"
    };
    struct conv_outcome *out = r->out;
    struct conv_copy copy = { .a = r->a };
    if (!conv_make_weights(r, e) ||
        !conv_target_copy(&copy, r->source_cstr, r->target.out_cstr, e) || !conv_make_config(r, e))
        return false;
    enum dtype to = DTYPE_COUNT;
    for (size_t i = 0; i < r->tensors.n && to == DTYPE_COUNT; i++)
        if (r->tensors.items[i].op == CONV_OP_DEQUANTIZE) to = r->tensors.items[i].to;
    if (r->o->mode == CONV_QUANTIZE)
        out->message = str_format(r->a, "Quantized to %d-bit successfully", r->o->q.bits);
    if (r->o->mode == CONV_DEQUANTIZE)
        out->message = str_format(r->a, "Dequantized to %s successfully", dtypes[to]);
    if (r->o->mode == CONV_TO_MLX) out->message = STR("Converted to MLX format successfully");
    if (r->tensors.senses_dropped)
        out->warning = str_format(
            r->a,
            "%zu tensors that are not part of the language model (vision, audio) were left out.",
            r->tensors.n_dropped);
    return true;
}

/* ---- a GGUF file (Private) ------------------------------------------------------------------ */

struct conv_file_sink {
    int fd;
    struct buf pending;
    const struct conv_options *o;
    uint64_t done_bytes, total_bytes;
};

static bool conv_file_drain(struct conv_file_sink *s, struct err *e) {
    if (!os_write(s->fd, s->pending.p, s->pending.n, e)) return false;
    s->done_bytes += s->pending.n;
    buf_reset(&s->pending);
    if (!s->o->progress ||
        s->o->progress(s->o->ctx, s->done_bytes < s->total_bytes ? s->done_bytes : s->total_bytes,
                       s->total_bytes))
        return true;
    return err_set(e, ERR_INTERRUPTED, "the conversion was stopped");
}

static bool conv_file_write(void *ctx, const void *p, size_t n, struct err *e) {
    struct conv_file_sink *s = ctx;
    buf_add_bytes(&s->pending, p, n);
    return buf_ok(&s->pending, "the conversion", e) &&
           (s->pending.n < CONV_CHUNK || conv_file_drain(s, e));
}

static bool conv_make_file(struct conv_run_all *r, const struct conv_file *f,
                           struct conv_file_sink *s, struct err *e) {
    char *name_cstr = str_dup_cstr(r->a, f->path),
         *path_cstr = name_cstr ? os_path_join(r->a, r->target.out_cstr, name_cstr) : NULL;
    struct conv_sink sink = { conv_file_write, s };
    if (!path_cstr) return err_oom(e, LIMIT_PATH, "a path");
    s->fd = os_open(path_cstr, OS_TRUNCATE, e);
    bool ok = s->fd >= 0 && f->emit(f, &sink, e) && conv_file_drain(s, e) && os_sync(s->fd, e);
    os_close(s->fd);
    return ok || err_context(e, "%s: ", name_cstr);
}

/* config.json last, as ever. */
static bool conv_make_gguf(struct conv_run_all *r, const struct conv_plan *plan,
                           uint64_t size_bytes, struct err *e) {
    struct conv_file_sink s = { .o = r->o, .total_bytes = size_bytes };
    buf_init(&s.pending, 4 * CONV_CHUNK);
    bool ok = true;
    for (int config = 0; config < 2; config++)
        for (size_t i = 0; ok && i < plan->n; i++)
            if (str_eq(plan->files[i].path, STR("config.json")) == (config == 1))
                ok = conv_make_file(r, &plan->files[i], &s, e);
    buf_release(&s.pending);
    r->out->size_bytes = s.done_bytes;
    r->out->n_shards = 1;
    r->out->message = STR("Converted to MLX format successfully");
    return ok;
}

/* ---- repairing (Private) -------------------------------------------------------------------- */

static bool conv_make_repaired(struct conv_run_all *r, struct err *e) {
    struct buf index;
    bool rebuilt = false;
    struct conv_copy copy = {
        .a = r->a, .all = true, .progress = r->o->progress, .ctx = r->o->ctx
    };
    buf_init(&index, LIMIT_JSON_FILE);
    bool ok = conv_repair_index(r->a, r->source_cstr, &index, &rebuilt, &copy.total_bytes,
                                &r->out->note, e) &&
              conv_target_copy(&copy, r->source_cstr, r->target.out_cstr, e) &&
              (!rebuilt || conv_target_put(r->a, r->target.out_cstr, "model.safetensors.index.json",
                                           buf_str(&index), true, e));
    buf_release(&index);
    if (ok)
        r->out->message =
            rebuilt ? STR("Index rebuilt successfully")
                    : STR("No index to rebuild (single-file model or no safetensors found)");
    return ok;
}

/* ---- sentinel, health, hash (Private) ------------------------------------------------------- */

static void conv_sentinel_origin(struct conv_run_all *r, struct json_writer *w) {
    struct cache_workspace ws = { .present = false };
    struct err ignored = { 0 };
    if (!r->is_gguf) (void)cache_workspace_read(r->a, r->source_cstr, NULL, &ws, &ignored);
    const struct json *repo = ws.managed ? json_get(ws.document, "source_repo") : NULL;
    json_write_key(w, "source_repo");
    if (repo) json_write_value(w, repo);
    else json_write_cstr(w, r->source_cstr);
    json_write_key(w, "source_revision");
    json_write_value(w, ws.managed ? json_get(ws.document, "source_revision") : NULL);
}

static bool conv_make_sentinel(struct conv_run_all *r, struct err *e) {
    struct buf b;
    struct json_writer w;
    char now[32];
    os_format_time(now, os_time_ns());
    buf_init(&b, LIMIT_JSON_DOC);
    json_write_init(&w, &b, true, true);
    json_write_object(&w);
    json_write_key(&w, "mlxk_version");
    json_write_str(&w, r->o->version);
    json_write_key(&w, "created_at");
    json_write_cstr(&w, now);
    conv_sentinel_origin(r, &w);
    json_write_key(&w, "managed");
    json_write_bool(&w, true);
    json_write_key(&w, "operation");
    json_write_cstr(&w, "convert");
    json_write_key(&w, "mode");
    json_write_cstr(&w, conv_mode_name(r->o->mode));
    if (r->o->mode == CONV_QUANTIZE) {
        json_write_key(&w, "quantization");
        json_write_object(&w);
        json_write_key(&w, "bits");
        json_write_i64(&w, r->o->q.bits);
        json_write_key(&w, "group_size");
        json_write_i64(&w, r->o->q.group);
        json_write_object_end(&w);
    }
    json_write_object_end(&w);
    buf_add_char(&b, '\n');
    bool ok = buf_ok(&b, "the sentinel", e) &&
              conv_target_put(r->a, r->target.out_cstr, CONV_SENTINEL, buf_str(&b), true, e);
    buf_release(&b);
    return ok;
}

/* The verdict on what lies in dir; a healthy one gets its content hash, if it has none from an
 * earlier run. */
static bool conv_judge(struct conv_run_all *r, const char *dir_cstr, bool rehash, struct err *e) {
    struct cache_model m;
    struct cache_workspace ws;
    struct err problem = { 0 };
    struct conv_outcome *out = r->out;
    if (!r->o->skip_health) {
        if (!cache_model_at(r->a, dir_cstr, &m, e) || !cache_scan(r->a, &m, e)) return false;
        struct cache_health health = cache_check_health(r->a, &m);
        out->health_checked = true;
        out->healthy = health.healthy;
        out->health_reason = health.reason;
        if (!health.healthy) return true;
    }
    if (rehash && !cache_workspace_rehash(r->a, dir_cstr, r->o->normalize, &problem)) {
        if (problem.code == ERR_FORMAT)
            return true; /* a workspace without a hash is one all the same */
        *e = problem;
        return false;
    }
    if (!cache_workspace_read(r->a, dir_cstr, r->o->normalize, &ws, e)) return false;
    out->content_hash = ws.content_hash;
    return true;
}

/* ---- all of it (Private) -------------------------------------------------------------------- */

static bool conv_fill(struct conv_run_all *r, const struct conv_plan *plan, uint64_t size_bytes,
                      struct err *e) {
    bool ok = r->is_gguf                        ? conv_make_gguf(r, plan, size_bytes, e)
              : r->o->mode == CONV_REPAIR_INDEX ? conv_make_repaired(r, e)
                                                : conv_make_tensors(r, e);
    return ok && conv_make_sentinel(r, e) && conv_judge(r, r->target.out_cstr, true, e) &&
           conv_target_publish(&r->target, e);
}

static bool conv_is_passing(enum err_code code) {
    return code == ERR_INTERRUPTED || code == ERR_DISK_FULL || code == ERR_IO;
}

static bool conv_with_target(struct conv_run_all *r, struct str job, const struct conv_plan *plan,
                             uint64_t size_bytes, struct err *e) {
    if (!conv_target_open(r->a, r->target_cstr, job, &r->target, e)) return false;
    r->out->resumed = r->target.resumed;
    bool ok = conv_fill(r, plan, size_bytes, e);
    bool keep = !ok && r->n_finished > 0 && conv_is_passing(e->code);
    if (keep) {
        e->hint[0] = '\0';
        err_hint(
            e, "%zu of %zu files are finished and kept in %s; the same command goes on from there",
            r->n_finished, r->tensors.n_shards, r->target.work_cstr);
    }
    conv_target_close(&r->target, keep);
    return ok;
}

/* The target exists. Fine when it is an empty folder that may be filled, or when it was this very
 * job that made it. */
static bool conv_existing(struct conv_run_all *r, struct str job, bool *finished, struct err *e) {
    struct os_stat st;
    struct os_entry *entries;
    size_t n;
    *finished = false;
    if (!os_lstat(r->target_cstr, &st)) return true;
    if (conv_target_is_leftover(r->a, r->target_cstr, job)) {
        *finished = true;
        if (!conv_target_forget(r->a, r->target_cstr, e)) return false;
        r->out->resumed = true;
        r->out->message = STR("Finished by an earlier run");
        return conv_judge(r, r->target_cstr, false, e);
    }
    if (r->o->mode == CONV_REPAIR_INDEX && st.kind == OS_DIR &&
        os_list_dir(r->a, r->target_cstr, 1, &entries, &n, e) && n == 0)
        return true;
    err_clear(e);
    err_set(e, ERR_EXISTS, "the target %s exists", r->target_cstr);
    return err_hint(e, "remove it or choose another path");
}

static bool conv_directory(struct conv_run_all *r, struct err *e) {
    struct str job;
    bool finished;
    if (!conv_job_text(r, &job, e) || !conv_existing(r, job, &finished, e)) return false;
    if (finished) return true;
    if (r->o->mode == CONV_REPAIR_INDEX) return conv_with_target(r, job, NULL, 0, e);
    if (!conv_source_open(r->a, r->source_cstr, &r->source, e)) return false;
    bool ok = conv_plan_tensors(r->a, &r->source, r->o, &r->tensors, e);
    ok = ok && conv_with_target(r, job, NULL, 0, e);
    conv_plan_release(&r->tensors);
    conv_source_close(&r->source);
    return ok;
}

static bool conv_gguf_file(struct conv_run_all *r, struct err *e) {
    struct os_map map;
    struct conv_plan plan;
    struct str job;
    bool finished;
    if (r->o->dtype != DTYPE_COUNT) {
        err_set(e, ERR_UNSUPPORTED,
                "--dtype does not apply to a GGUF file: its values are kept exactly");
        return err_hint(e, "convert the result: mlxk convert DST OTHER --dequantize --dtype ...");
    }
    if (!conv_job_text(r, &job, e) || !conv_existing(r, job, &finished, e)) return false;
    if (finished) return true;
    if (!os_map_file(r->source_cstr, &map, e)) return false;
    bool ok =
        conv_gguf_plan(r->a, &map, &plan, e) && conv_with_target(r, job, &plan, map.size_bytes, e);
    os_unmap(&map);
    return ok;
}

/* ---- (Public) ------------------------------------------------------------------------------- */

MLXK_FN bool conv_convert(struct arena *a, const struct conv_options *o, struct conv_outcome *out,
                          struct err *e) {
    struct conv_run_all r = { .a = a, .o = o, .out = out };
    struct os_stat st;
    struct err ignored = { 0 };
    enum conv_kind kind = CONV_MODEL_DIR;
    *out = (struct conv_outcome){ 0 };
    r.source_cstr = os_path_real(a, o->source_cstr, e);
    if (!r.source_cstr) return false;
    r.target_cstr = os_path_real(a, o->target_cstr, &ignored); /* an empty folder behind a link */
    if (!r.target_cstr) r.target_cstr = os_path_absolute(a, o->target_cstr, e);
    if (!r.target_cstr) return false;
    if (!os_stat(r.source_cstr, &st))
        return err_set(e, ERR_NOT_FOUND, "%s does not exist", r.source_cstr);
    if (!strcmp(r.target_cstr, r.source_cstr)) {
        err_set(e, ERR_EXISTS, "the target %s is the source", r.target_cstr);
        return err_hint(e, "choose a folder beside it");
    }
    if (st.kind == OS_FILE) {
        if (!conv_probe(r.source_cstr, &kind, e)) return false;
        r.is_gguf = true;
        if (o->mode != CONV_TO_MLX) {
            err_set(e, ERR_UNSUPPORTED, "%s is a GGUF file", r.source_cstr);
            return err_hint(e,
                            "make a model directory of it first: mlxk convert FILE DST --to mlx");
        }
        return conv_gguf_file(&r, e);
    }
    return conv_directory(&r, e);
}

#undef CONV_SENTINEL
