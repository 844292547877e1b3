/* cmd_pull_oci.c: `pull oci://HOST/REPO:TAG`: a model of a registry or layout into the cache. The
 * document is that of `pull`, with the manifest's digest. */
#include "cli/cli_oci_lock.h"

struct cmd_pull_oci {
    struct cli_context *c;
    const char *status_cstr;
    struct str message;
    struct oci_pull_result result;
};

static void cmd_pull_oci_data(struct json_writer *w, const struct cmd_pull_oci *p) {
    const struct oci_pull_result *r = &p->result;
    json_write_object(w);
    json_write_member_or_null(w, "model", r->model);
    json_write_key(w, "download_status");
    json_write_cstr(w, p->status_cstr);
    json_write_member(w, "message", p->message);
    json_write_key(w, "expanded_name");
    json_write_null(w);
    if (r->snapshot_cstr) {
        json_write_member(w, "commit_hash", r->commit);
        json_write_member(w, "digest", r->digest);
        json_write_key(w, "snapshot");
        json_write_cstr(w, r->snapshot_cstr);
        const struct { const char *key_cstr; uint64_t value;
        } numbers[] = { { "n_files", r->n_files },
                        { "n_fetched", r->n_fetched },
                        { "fetched_bytes", r->fetched_bytes },
                        { "resumed_bytes", r->resumed_bytes } };
        for (size_t i = 0; i < MLXK_COUNT(numbers); i++) {
            json_write_key(w, numbers[i].key_cstr);
            json_write_u64(w, numbers[i].value);
        }
    }
    json_write_object_end(w);
}

static int cmd_pull_oci_fail(struct cmd_pull_oci *p) {
    struct cli_context *c = p->c;
    struct buf data;
    struct json_writer w;
    const char *type_cstr = c->err.code == ERR_ACCESS ? "access_denied"
                          : c->err.code == ERR_INVALID ? "ValidationError"
                          : c->err.code == ERR_USAGE ? "CommandError" : NULL;
    p->status_cstr = c->err.code == ERR_ACCESS ? "access_denied" : "failed";
    p->message = str_cstr(c->err.msg);
    if (!c->out.json) return cli_fail(c, &c->err, type_cstr);
    cli_data_begin(&w, &data, LIMIT_JSON_DOC);
    cmd_pull_oci_data(&w, p);
    int status = cli_fail_data(c, &c->err, type_cstr, buf_str(&data), STR_EMPTY);
    buf_release(&data);
    return status;
}

static int cmd_pull_oci_done(struct cmd_pull_oci *p) {
    struct cli_context *c = p->c;
    const struct oci_pull_result *r = &p->result;
    bool dry_run = cli_flag(&c->args, "--dry-run"), unchanged = !r->n_fetched && !r->n_linked;
    char need[16], total[16];
    num_format_size(need, r->need_bytes);
    num_format_size(total, r->total_bytes);
    p->status_cstr = dry_run ? "dry_run" : unchanged ? "already_exists" : "success";
    p->message =
        dry_run ? str_format(&c->arena, "%s of %s in %zu files would be fetched", need, total,
                             r->n_files)
        : unchanged
            ? str_format(&c->arena, "Model " STR_FMT " already exists in cache", STR_ARG(r->model))
            : str_format(&c->arena, "Successfully downloaded to %s", r->snapshot_cstr);
    if (c->out.json) {
        cmd_pull_oci_data(cli_document(c), p);
        return cli_document_end(c);
    }
    cli_print(c, "pull: " STR_FMT " — " STR_FMT "\n", STR_ARG(r->model), STR_ARG(p->message));
    return 0;
}

/* Options of `pull` that speak of a hub. */
static bool cmd_pull_oci_options(struct cli_context *c) {
    static const char *const hub_only[] = { "--revision", "--progress", "--max-workers" };
    for (size_t i = 0; i < MLXK_COUNT(hub_only); i++)
        if (cli_get(&c->args, hub_only[i])->given || cli_get(&c->args, hub_only[i])->n) {
            err_set(&c->err, ERR_INVALID, "%s is for models of a hub, not of a registry",
                    hub_only[i]);
            return err_hint(&c->err, "leave it out; the reference itself names tag or digest");
        }
    return true;
}

/* --include, --exclude, or the files of a lock. */
struct cmd_pull_oci_filter {
    struct str *include, *exclude; size_t n_include, n_exclude;
    struct hub_lock lock; bool frozen;
};

static bool cmd_pull_oci_keeps(void *ctx, struct str path) {
    const struct cmd_pull_oci_filter *f = ctx;
    if (f->frozen) return cli_oci_lock_file(&f->lock, path) != NULL;
    return hub_filter_keeps(f->include, f->n_include, f->exclude, f->n_exclude, path);
}

static bool cmd_pull_oci_patterns(struct cli_context *c, struct cmd_pull_oci_filter *f) {
    const struct cli_value *in = cli_get(&c->args, "--include"),
                           *out = cli_get(&c->args, "--exclude");
    f->n_include = in->n;
    f->n_exclude = out->n;
    if (f->frozen && (in->n || out->n)) {
        err_set(&c->err, ERR_INVALID, "--frozen fetches what the lock file says, all of it");
        return err_hint(&c->err, "leave out --include and --exclude");
    }
    return hub_filter_prepare(&c->arena, in->list, in->n, &f->include, &c->err)
           && hub_filter_prepare(&c->arena, out->list, out->n, &f->exclude, &c->err);
}

/* --lock: the digest under the reference's own tag, and every file. */
static bool cmd_pull_oci_lock(struct cmd_pull_oci *p, struct str revision) {
    struct cli_context *c = p->c;
    const struct oci_pull_result *r = &p->result;
    struct hub_lock entry = { .repo = r->model,
                              .revision = revision,
                              .commit = r->commit,
                              .digest = r->digest,
                              .n_files = r->n_files };
    if (!cli_text(&c->args, "--lock").n || cli_flag(&c->args, "--dry-run")) return true;
    entry.files = ARENA_ARRAY(&c->arena, struct hub_file, r->n_files + 1);
    if (!entry.files) return err_oom(&c->err, r->n_files, "a lock file");
    for (size_t i = 0; i < r->n_files; i++)
        entry.files[i] = (struct hub_file){ .path = r->files[i].path,
                                            .size_bytes = r->files[i].size_bytes,
                                            .lfs = true,
                                            .etag = r->files[i].hex };
    return cli_oci_lock_write(c, &entry);
}

static bool cmd_pull_oci_do(struct cmd_pull_oci *p, struct oci_ref *ref) {
    struct cli_context *c = p->c;
    struct cmd_pull_oci_filter f = { .frozen = false };
    struct oci_pull_options o = { .dry_run = cli_flag(&c->args, "--dry-run"),
                                  .redownload = cli_flag(&c->args, "--redownload"),
                                  .keep_free_bytes =
                                      (uint64_t)cli_int(&c->args, "--require-free", 0) };
    struct str revision = oci_ref_what(ref), tag = ref->digest.n ? STR_EMPTY : revision;
    if (!cli_oci_lock_read(c, ref, &f.lock, &f.frozen) || !cmd_pull_oci_patterns(c, &f))
        return false;
    if (f.frozen || f.n_include || f.n_exclude) {
        o.keeps = cmd_pull_oci_keeps;
        o.keeps_ctx = &f;
    }
    if (f.frozen) {
        o.digest = f.lock.digest;
        o.also = tag;
        if (!o.dry_run && !o.redownload
            && cli_oci_lock_is_here(c, ref, &f.lock, tag, &p->result))
            return true;
    }
    return cli_oci_fetch(c, ref, (uint64_t)cli_int(&c->args, "--limit-rate", 0), &o, &p->result)
           && cmd_pull_oci_lock(p, revision);
}

MLXK_FN int cmd_pull_oci(struct cli_context *c) {
    struct cmd_pull_oci p = { .c = c, .status_cstr = "failed" };
    struct oci_ref ref;
    bool ok = cmd_pull_oci_options(c)
              && cli_oci_ref(c, cli_text(&c->args, "model"), &ref) && cmd_pull_oci_do(&p, &ref);
    return ok ? cmd_pull_oci_done(&p) : cmd_pull_oci_fail(&p);
}
