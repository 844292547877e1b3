/* cli_oci_lock.c: lock files for what comes from registries.
 *
 * 1. An entry is found under the tag as it was given ("v1", "ham-client-v1"), and holds the digest
 *    that it was settled to and every file.
 * 2. What a lock file says is compared with digests, never believed: a file counts as there when
 *    the blob of just this digest is.
 */
#include "cli/cli_oci_lock.h"
#include "cli/cli_sign.h"

MLXK_FN bool cli_oci_lock_write(struct cli_context *c, const struct hub_lock *entry) {
    struct str path = cli_text(&c->args, "--lock");
    if (!path.n) return true;
    char *path_cstr = str_dup_cstr(&c->arena, path);
    if (!path_cstr) return err_oom(&c->err, path.n, "a path");
    return hub_lock_write(path_cstr, entry, &c->err);
}

MLXK_FN bool cli_oci_lock_read(struct cli_context *c, struct oci_ref *ref, struct hub_lock *out,
                               bool *given) {
    struct str path = cli_text(&c->args, "--frozen");
    *given = path.n > 0;
    *out = (struct hub_lock){ .revision = oci_ref_what(ref) };
    if (!path.n) return true;
    char *path_cstr = str_dup_cstr(&c->arena, path);
    struct str model = oci_ref_model(&c->arena, ref);
    if (!path_cstr || !model.n) return err_oom(&c->err, LIMIT_PATH, "a path");
    if (cli_text(&c->args, "--lock").n) {
        err_set(&c->err, ERR_INVALID, "--frozen takes what the lock file says");
        return err_hint(&c->err, "leave out --lock");
    }
    if (!hub_lock_read(&c->arena, path_cstr, model, out, &c->err)) return false;
    if (!out->digest.n)
        return err_set(&c->err, ERR_FORMAT,
                       "the lock file %s has no digest of a manifest for " STR_FMT, path_cstr,
                       STR_ARG(model));
    if (ref->digest.n && !str_eq(ref->digest, out->digest))
        return err_set(&c->err, ERR_INVALID,
                       "the reference and the lock file name different digests");
    ref->digest = out->digest;
    return true;
}

MLXK_FN const struct hub_file *cli_oci_lock_file(const struct hub_lock *entry, struct str path) {
    size_t low = 0, high = entry->n_files;       /* sorted, as reading made sure */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = str_cmp(entry->files[mid].path, path);
        if (order == 0) return &entry->files[mid];
        if (order < 0) low = mid + 1;
        else high = mid;
    }
    return NULL;
}

MLXK_FN const char *cli_oci_lock_snapshot(struct cli_context *c, struct str model,
                                          struct str commit) {
    char *dir = cache_repo_dir(&c->arena, &c->cache, model);
    char *name = str_dup_cstr(&c->arena, commit);
    dir = dir ? os_path_join(&c->arena, dir, "snapshots") : NULL;
    return dir && name ? os_path_join(&c->arena, dir, name) : NULL;
}

MLXK_FN bool cli_oci_lock_has(struct cli_context *c, struct str model, struct str commit,
                              const struct hub_file *f) {
    struct err none = { 0 };
    struct os_stat st;
    uint64_t size_bytes = 0;
    const char *snapshot = cli_oci_lock_snapshot(c, model, commit);
    char *name = str_dup_cstr(&c->arena, f->path);
    char *path = snapshot && name ? os_path_join(&c->arena, snapshot, name) : NULL;
    char *to = path ? os_readlink(&c->arena, path, &none) : NULL;
    return to && str_eq(os_path_base(to), f->etag) && os_stat(path, &st)
           && st.size_bytes == f->size_bytes
           && cache_blob_exists(&c->cache, model, f->etag, &size_bytes)
           && size_bytes == f->size_bytes;
}

static bool cli_oci_lock_ref(struct cli_context *c, const struct hub_lock *entry, struct str tag) {
    struct cache_guard g;
    if (!tag.n || str_eq(cache_ref_read(&c->arena, &c->cache, entry->repo, tag), entry->commit))
        return true;
    if (!cache_guard_begin(&c->cache, &g, &c->err)) return false;
    bool ok = cache_ref_write(&g.cache, entry->repo, tag, entry->commit, &c->err);
    cache_guard_end(&g);
    return ok;
}

MLXK_FN bool cli_oci_lock_is_here(struct cli_context *c, const struct oci_ref *ref,
                                  const struct hub_lock *entry, struct str tag,
                                  struct oci_pull_result *out) {
    struct err none = { 0 };
    struct cache_model m = { .place = CACHE_REPO, .name = entry->repo, .commit = entry->commit };
    struct oci_file *files = ARENA_ARRAY(&c->arena, struct oci_file, entry->n_files + 1);
    *out = (struct oci_pull_result){ .model = entry->repo, .digest = entry->digest,
                                     .commit = entry->commit, .files = files };
    out->snapshot_cstr = m.dir_cstr = m.snapshot_cstr =
        cli_oci_lock_snapshot(c, entry->repo, entry->commit);
    if (!files || !out->snapshot_cstr) return false;
    for (size_t i = 0; i < entry->n_files; i++) {
        const struct hub_file *f = &entry->files[i];
        if (!f->lfs || !cli_oci_lock_has(c, entry->repo, entry->commit, f)) return false;
        files[i] = (struct oci_file){ f->path, f->etag, f->size_bytes };
        out->total_bytes += f->size_bytes;
    }
    out->n_files = entry->n_files;
    struct oci_ref asked = *ref;
    asked.tag = tag;
    if (!cli_sign_cached(c, &m, &asked, tag, &none) || !cli_oci_lock_ref(c, entry, tag)) {
        err_clear(&c->err);                      /* then the registry is asked */
        return false;
    }
    return true;
}
