/* conv_repair.c: model.safetensors.index.json anew from the headers of the shards.
 *
 * Byte for byte the text that upstream writes, so that the content hash of a repaired workspace is
 * the same: shards by name, tensors by name within each, total_size the sum of the files' sizes.
 */
#include "convert/conv_job.h"

struct conv_repair {
    struct arena *a;
    const char *dir_cstr;
    struct json_writer w;
    struct map seen; /* tensor -> shard's number + 1 */
    struct str *names;
    size_t n_names;
};

static bool conv_repair_list(struct conv_repair *r, struct err *e) {
    struct os_entry *entries;
    size_t n;
    if (!os_list_targets(r->a, r->dir_cstr, CONV_MAX_FILES, NULL, NULL, &entries, &n, e))
        return false;
    r->names = ARENA_ARRAY(r->a, struct str, n + 1);
    if (!r->names) return err_oom(e, n * sizeof *r->names, "the list of shards");
    for (size_t i = 0; i < n; i++)
        if (entries[i].target == OS_FILE && str_ends(entries[i].name, STR(".safetensors")))
            r->names[r->n_names++] = entries[i].name;
    return true;
}

static bool conv_repair_open(struct conv_repair *r, size_t i, struct safet *out,
                             uint64_t *size_bytes, struct err *e) {
    char *name_cstr = str_dup_cstr(r->a, r->names[i]),
         *path_cstr = name_cstr ? os_path_join(r->a, r->dir_cstr, name_cstr) : NULL;
    struct str header;
    *out = (struct safet){ 0 };
    if (!path_cstr) return err_oom(e, LIMIT_PATH, "a path");
    int fd = os_open(path_cstr, OS_READ, e);
    bool ok = fd >= 0 && conv_source_header(r->a, fd, &header, size_bytes, e) &&
              safet_parse(r->a, header, *size_bytes, out, e);
    os_close(fd);
    return ok || err_context(e, "Failed to read shard %s: ", name_cstr);
}

/* A single file needs no index, whatever is in it: what cannot be read is told, and copied. */
static bool conv_repair_single(struct conv_repair *r, uint64_t *total, struct str *note,
                               struct err *e) {
    struct safet s;
    struct os_stat st;
    struct err problem = { 0 };
    char *name_cstr = str_dup_cstr(r->a, r->names[0]),
         *path_cstr = name_cstr ? os_path_join(r->a, r->dir_cstr, name_cstr) : NULL;
    if (!path_cstr) return err_oom(e, LIMIT_PATH, "a path");
    if (os_stat(path_cstr, &st)) *total = st.size_bytes;
    if (!conv_repair_open(r, 0, &s, total, &problem)) *note = str_dup(r->a, str_cstr(problem.msg));
    return true;
}

static bool conv_repair_shard(struct conv_repair *r, size_t i, uint64_t *total, struct err *e) {
    struct safet s;
    uint64_t size_bytes = 0;
    if (!conv_repair_open(r, i, &s, &size_bytes, e)) return false;
    bool ok = true;
    *total += size_bytes;
    for (size_t k = 0; ok && k < s.n; k++) {
        bool is_new;
        uint64_t *slot = map_put(&r->seen, s.tensors[k].name, &is_new);
        if (!slot) {
            ok = err_oom(e, s.n, "the index");
        } else if (!is_new) {
            ok = err_set(e, ERR_FORMAT,
                         "Failed to read shard " STR_FMT ": Duplicate tensor key '" STR_FMT
                         "' found in multiple shards: " STR_FMT " and " STR_FMT,
                         STR_ARG(r->names[i]), STR_ARG(str_sub(s.tensors[k].name, 0, 100)),
                         STR_ARG(r->names[*slot]), STR_ARG(r->names[i]));
        } else {
            *slot = i;
            json_write_key_str(&r->w, s.tensors[k].name);
            json_write_str(&r->w, r->names[i]);
        }
    }
    return ok;
}

MLXK_FN bool conv_repair_index(struct arena *a, const char *dir_cstr, struct buf *out,
                               bool *rebuilt, uint64_t *size_bytes, struct str *note,
                               struct err *e) {
    struct conv_repair r = { .a = a, .dir_cstr = dir_cstr };
    struct buf map;
    uint64_t total = 0;
    *rebuilt = false;
    *size_bytes = 0;
    *note = STR_EMPTY;
    if (!conv_repair_list(&r, e)) return false;
    if (r.n_names < 2) return r.n_names == 0 || conv_repair_single(&r, size_bytes, note, e);
    map_init(&r.seen, SAFET_MAX_TENSORS);
    buf_init(&map, LIMIT_JSON_FILE);
    json_write_init(&r.w, &map, true, true);
    r.w.depth = 1;
    r.w.after_key = true; /* it stands behind "weight_map": */
    json_write_object(&r.w);
    bool ok = true;
    for (size_t i = 0; ok && i < r.n_names; i++) ok = conv_repair_shard(&r, i, &total, e);
    json_write_object_end(&r.w);
    if (ok && r.seen.n == 0)
        ok = err_set(e, ERR_FORMAT, "No tensors found in shards - corrupted model?");
    *rebuilt = ok;
    if (*rebuilt)
        buf_addf(out,
                 "{\n  \"metadata\": {\n    \"total_size\": %llu\n  },\n  \"weight_map\": " STR_FMT
                 "\n}\n",
                 (unsigned long long)total, STR_ARG(buf_str(&map)));
    ok = ok && buf_ok(&map, "the index", e) && buf_ok(out, "the index", e);
    *size_bytes = total;
    buf_release(&map);
    map_release(&r.seen);
    return ok;
}
