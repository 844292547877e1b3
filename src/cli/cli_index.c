/* cli_index.c: what `list --json` found out before.
 *
 * File: 32 bytes of head (magic, key, bytes of records, 0), then the records, each a multiple
 * of 8 bytes: struct index_record, the repo's name, the snapshot's name, the text.
 *
 * 1. A record is made of healthy repos only: a repair is seen at once, whatever it touches.
 * 2. Stamps hold the time of the last change of an inode, which no tool can set back. What changed
 *    less than INDEX_FRESH_NS before it was looked at is not recorded: a second change within the
 *    same tick of the clock would not show.
 * 3. A blob that is written over in place, under its name, escapes the stamps. No hub tool does
 *    that; `health`, `show`, `verify` and `run` always look at the files themselves.
 * 4. The key holds the stamp of the running program, so another build starts anew.
 * 5. The file is checked as if a stranger had written it: bounds first, then a checksum.
 */
#include "cli/cli_index.h"

#include <stdio.h>

#define INDEX_MAGIC "mlxklist"
#define INDEX_MAX_BYTES ((size_t)1 << 28)
enum { INDEX_HEAD = 32, INDEX_FRESH_NS = 20 * 1000 * 1000, INDEX_MAX_NAME = 255 };
enum { INDEX_MAX_TEXT = 1 << 20 };

struct index_record {
    uint64_t check;              /* of everything behind it */
    uint32_t size_bytes;         /* of the whole record */
    uint16_t n_repo, n_snapshot;
    uint64_t n_text;
    struct cli_index_stamp stamps[CLI_INDEX_STAMPS];
};

/* FNV-1a: against damage, not against attackers. */
static uint64_t index_hash(uint64_t h, const void *p, size_t n) {
    const uint8_t *at = p;
    for (size_t i = 0; i < n; i++) h = (h ^ at[i]) * 0x100000001b3u;
    return h;
}

/* ---- stamps ---- */

static bool index_stamp(const char *path_cstr, struct cli_index_stamp *out) {
    struct os_stat st;
    *out = (struct cli_index_stamp){ 0 };
    if (!os_stat(path_cstr, &st)) return false;
    *out = (struct cli_index_stamp){ st.inode, st.size_bytes, st.ctime_ns };
    return true;
}

/* path[at] and on becomes a, b and c, NUL-terminated. */
static bool index_join(char path[LIMIT_PATH], size_t at, struct str a, struct str b, struct str c) {
    if (at + a.n + b.n + c.n >= LIMIT_PATH) return false;
    memcpy(path + at, a.p, a.n);
    if (b.n) memcpy(path + at + a.n, b.p, b.n);
    if (c.n) memcpy(path + at + a.n + b.n, c.p, c.n);
    path[at + a.n + b.n + c.n] = '\0';
    return true;
}

/* Stamps of a repo's folder, path[0..at); a missing refs/main is a stamp of zeros. */
static bool index_stamps(char path[LIMIT_PATH], size_t at, struct str snapshot,
                         struct cli_index_stamp out[CLI_INDEX_STAMPS]) {
    struct str none = STR_EMPTY, snapshots = STR("/snapshots/");
    return index_join(path, at, STR("/snapshots"), none, none) && index_stamp(path, &out[0]) &&
           index_join(path, at, snapshots, snapshot, none) && index_stamp(path, &out[1]) &&
           index_join(path, at, STR("/blobs"), none, none) && index_stamp(path, &out[2]) &&
           index_join(path, at, snapshots, snapshot, STR("/config.json")) &&
           index_stamp(path, &out[3]) && index_join(path, at, STR("/refs/main"), none, none) &&
           (index_stamp(path, &out[4]) || true);
}

MLXK_FN void cli_index_stamp(const struct cli_index *x, const struct cache_model *m,
                             struct cli_index_stamps *out) {
    char path[LIMIT_PATH];
    int64_t fresh_ns = os_time_ns() - INDEX_FRESH_NS;
    struct str snapshot = m->snapshot_cstr ? os_path_base(m->snapshot_cstr) : STR_EMPTY;
    out->usable = x->path[0] && m->place == CACHE_REPO && snapshot.n &&
                  snapshot.n <= INDEX_MAX_NAME && m->name.n <= INDEX_MAX_NAME &&
                  strcmp(m->dir_cstr, m->snapshot_cstr) == 0 &&
                  index_join(path, 0, str_cstr(m->repo_dir_cstr), STR_EMPTY, STR_EMPTY) &&
                  index_stamps(path, strlen(m->repo_dir_cstr), snapshot, out->all);
    for (int i = 0; out->usable && i < CLI_INDEX_STAMPS; i++)
        out->usable = out->all[i].ctime_ns < fresh_ns;
}

/* ---- the file ---- */

/* The record at *at, which moves behind it; NULL at the end or where the bounds do not hold. */
static const struct index_record *index_next(struct str records, size_t *at) {
    const struct index_record *r = (const void *)(records.p + *at);
    if (records.n - *at < sizeof *r || r->size_bytes > records.n - *at ||
        r->size_bytes % 8 || r->n_text > INDEX_MAX_BYTES ||
        sizeof *r + r->n_repo + r->n_snapshot + r->n_text > r->size_bytes)
        return NULL;
    *at += r->size_bytes;
    return r;
}

static struct str index_repo(const struct index_record *r) {
    return (struct str){ (const char *)(r + 1), r->n_repo };
}

/* Where this user's derived files lie; the shared store of blobs is left to the slow way, since a
 * payload that vanishes there changes nothing in the repo's own folders. */
static bool index_place(struct arena *a, const struct cache *c, char out[LIMIT_PATH]) {
    struct os_stat st;
    char *shared = os_path_join(a, c->root_cstr, "blobs");
    char *own = os_own_dir(a, "XDG_CACHE_HOME", ".cache");
    uint64_t h = index_hash(0xcbf29ce484222325u, c->root_cstr, strlen(c->root_cstr));
    if (!own || !shared || os_stat(shared, &st)) return false;
    int n = snprintf(out, LIMIT_PATH, "%s/list-%016llx", own, (unsigned long long)h);
    return n > 0 && n < LIMIT_PATH;
}

static uint64_t index_key(struct arena *a, const struct cache *c) {
    struct cli_index_stamp program;
    char *exe = os_exe_path(a);
    if (!exe || !index_stamp(exe, &program)) return 0;
    uint64_t h = index_hash(0xcbf29ce484222325u, &program, sizeof program);
    return index_hash(h, c->root_cstr, strlen(c->root_cstr)) | 1;
}

static struct str index_records(const struct cli_index *x) {
    return x->map.p ? (struct str){ (const char *)x->map.p + INDEX_HEAD,
                                    x->map.size_bytes - INDEX_HEAD } : STR_EMPTY;
}

/* ---- (Public) ---- */

MLXK_FN void cli_index_open(struct arena *a, const struct cache *c, struct cli_index *out) {
    struct err none = { 0 };
    out->path[0] = '\0';
    out->map = (struct os_map){ 0 };
    out->cache = c;
    out->key = index_key(a, c);
    if (!out->key || !index_place(a, c, out->path)) {
        out->path[0] = '\0';
        return;
    }
    if (!os_map_file(out->path, &out->map, &none)) {
        out->map = (struct os_map){ 0 };
        return;
    }
    const uint8_t *p = out->map.p;
    if (out->map.size_bytes < INDEX_HEAD || memcmp(p, INDEX_MAGIC, 8) != 0 ||
        num_read_u64(p + 8) != out->key ||
        num_read_u64(p + 16) != out->map.size_bytes - INDEX_HEAD)
        cli_index_close(out);
}

MLXK_FN void cli_index_close(struct cli_index *x) {
    if (x->map.p) os_unmap(&x->map);
    x->map = (struct os_map){ 0 };
}

MLXK_FN struct str cli_index_find(struct cli_index_cursor *at, struct str repo) {
    char path[LIMIT_PATH];
    struct cli_index_stamp now[CLI_INDEX_STAMPS];
    struct str records = index_records(at->index);
    const struct index_record *r;
    for (size_t next = at->offset; (r = index_next(records, &next)) != NULL; at->offset = next) {
        int order = str_cmp(index_repo(r), repo);
        if (order > 0) return STR_EMPTY;
        if (order < 0) continue;
        struct str snapshot = { index_repo(r).p + r->n_repo, r->n_snapshot };
        const char *root_cstr = at->index->cache->root_cstr;
        char *folder = cache_folder_name(at->arena, repo);
        if (!folder || str_find_char(snapshot, '/') >= 0 ||
            r->check != index_hash(0, &r->size_bytes, r->size_bytes - sizeof r->check) ||
            !index_join(path, 0, str_cstr(root_cstr), STR("/"), str_cstr(folder)) ||
            !index_stamps(path, strlen(path), snapshot, now) ||
            memcmp(now, r->stamps, sizeof now) != 0)
            return STR_EMPTY;
        return (struct str){ (const char *)r, r->size_bytes };
    }
    return STR_EMPTY;
}

MLXK_FN struct str cli_index_text(struct str record) {
    const struct index_record *r = (const void *)record.p;
    return (struct str){ (const char *)(r + 1) + r->n_repo + r->n_snapshot, (size_t)r->n_text };
}

MLXK_FN void cli_index_add(struct buf *b, const struct cli_index_stamps *stamps,
                           const struct cli_card *card, struct str text) {
    const struct cache_scan *scan = card->model.scan;
    if (!stamps->usable || !card->health.healthy || scan->unreadable || text.n > INDEX_MAX_TEXT)
        return;
    for (size_t i = 0; i < scan->n; i++)     /* changes in folders below are not stamped */
        if (str_find_char(scan->files[i].path, '/') >= 0) return;
    struct str snapshot = os_path_base(card->model.snapshot_cstr);
    struct index_record r = { .n_repo = (uint16_t)card->model.name.n,
                              .n_snapshot = (uint16_t)snapshot.n, .n_text = text.n };
    size_t n = sizeof r + r.n_repo + r.n_snapshot + text.n, start = b->n;
    r.size_bytes = (uint32_t)((n + 7) / 8 * 8);
    memcpy(r.stamps, stamps->all, sizeof r.stamps);
    buf_add_bytes(b, &r, sizeof r);
    buf_add(b, card->model.name);
    buf_add(b, snapshot);
    buf_add(b, text);
    buf_add_bytes(b, "\0\0\0\0\0\0\0", r.size_bytes - n);
    if (b->failed) return;
    r.check = index_hash(0, b->p + start + sizeof r.check, r.size_bytes - sizeof r.check);
    memcpy(b->p + start, &r.check, sizeof r.check);
}

MLXK_FN void cli_index_write(struct arena *a, const struct cli_index *x, struct str records) {
    struct err none = { 0 };
    struct buf file;
    uint64_t size = records.n;
    char *folder = os_path_dir(a, x->path);
    if (!x->path[0] || !folder || records.n > INDEX_MAX_BYTES || !os_mkdirs(folder, &none)) return;
    buf_init(&file, INDEX_MAX_BYTES + INDEX_HEAD);
    buf_add(&file, STR(INDEX_MAGIC));
    buf_add_bytes(&file, &x->key, sizeof x->key);
    buf_add_bytes(&file, &size, sizeof size);
    buf_add_bytes(&file, "\0\0\0\0\0\0\0", 8);
    buf_add(&file, records);
    if (!file.failed) (void)os_write_file(x->path, buf_str(&file), &none);
    buf_release(&file);
}

#undef INDEX_MAGIC
#undef INDEX_MAX_BYTES
