/* cli_index.c: what `list --json` and `health` found out before.
 *
 * File: 32 bytes of head (magic, key, bytes of records, 0), then the records, sorted by repo, each
 * a multiple of 8 bytes: struct index_record, a stamp for each look, the repo's name, the paths of
 * the looks (each with its NUL), the text.
 *
 * 1. A record is made of healthy repos only: a repair is seen at once, whatever it touches.
 * 2. Stamps hold the time of the last change of an inode, which no tool can set back. What changed
 *    less than INDEX_FRESH_NS before it was looked at is not recorded: a second change within the
 *    same tick of the clock would not show.
 * 3. A record is made where a few looks prove the rest: the snapshot is the only one, or the one
 *    that refs/main names; it is a folder that holds files, and links into blobs/ that end there.
 *    Its stamp then covers the names and where they lead, and that of blobs/ that something is
 *    there.
 * 4. A blob that is written over in place, under its name, shows in its own stamp: `health` looks
 *    at each that a verdict depends on, `list` at config.json alone. No hub tool writes so.
 * 5. The key holds the stamp of the running program, so another build starts anew.
 * 6. The file is checked as if a stranger had written it: bounds first, then a checksum.
 */
#include "cli/cli_index.h"

#include <stdio.h>

#define INDEX_MAGIC "mlxkseen"
#define INDEX_MAX_BYTES ((size_t)1 << 28)
enum { INDEX_HEAD = 32, INDEX_FRESH_NS = 20 * 1000 * 1000, INDEX_MAX_NAME = 255 };
enum { INDEX_MAX_TEXT = 1 << 20, INDEX_MAX_LOOKS = 200, INDEX_MAX_FILES = 2000 };

struct index_record {
    uint64_t check;              /* of everything behind it */
    uint32_t size_bytes;         /* of the whole record */
    uint32_t n_paths, n_text;    /* bytes */
    uint16_t n_repo, n_looks;
    struct cli_index_stamp stamps[];
};

/* FNV-1a by words of 8 bytes: against damage, not against attackers. p: aligned, n: their bytes. */
static uint64_t index_sum(const void *p, size_t n) {
    uint64_t h = 0xcbf29ce484222325u;
    const uint64_t *at = p;
    for (size_t i = 0; i < n / sizeof *at; i++) {
        h = (h ^ at[i]) * 0x100000001b3u;
        h ^= h >> 32;
    }
    return h;
}

static uint64_t index_hash(uint64_t h, const void *p, size_t n) {
    const uint8_t *at = p;
    for (size_t i = 0; i < n; i++) h = (h ^ at[i]) * 0x100000001b3u;
    return h;
}

/* ---- stamps ---- */

static struct cli_index_stamp index_stamp_of(const struct os_stat *st) {
    return (struct cli_index_stamp){ st->inode, st->size_bytes, st->ctime_ns };
}

/* path[0..at) is a repo's folder below the root; what is absent has a stamp of zeros. */
static bool index_stamp(const struct cli_index *x, char path[LIMIT_PATH], size_t at,
                        const char *below_cstr, size_t below_n, struct cli_index_stamp *out) {
    struct os_stat st;
    *out = (struct cli_index_stamp){ 0 };
    if (at + below_n + 2 > LIMIT_PATH) return false;
    path[at] = '/';
    memcpy(path + at + 1, below_cstr, below_n);
    path[at + 1 + below_n] = '\0';
    if (os_stat_at(x->root, path, &st)) *out = index_stamp_of(&st);
    return true;
}

static bool index_folder(char path[LIMIT_PATH], struct arena *a, struct str repo, size_t *n) {
    char *folder = cache_folder_name(a, repo);
    *n = folder ? strlen(folder) : LIMIT_PATH;
    if (*n >= LIMIT_PATH) return false;
    memcpy(path, folder, *n + 1);
    return true;
}

/* ---- the looks that a record needs ---- */

struct index_looking {
    const struct cli_index *x;
    const struct cache_model *m;
    struct arena *arena;
    struct cli_index_looks *out;
    char path[LIMIT_PATH];       /* the repo's folder, folder_n bytes, and a path below it */
    size_t folder_n;
    int64_t fresh_ns;            /* what changed since is too young to be remembered */
};

/* The stamp is taken now, before anything is concluded from what lies there. */
static bool index_look_add(struct index_looking *l, struct str path, struct str file) {
    struct cli_index_looks *out = l->out;
    struct cli_index_look *look = &out->all[out->n];
    if (out->n == INDEX_MAX_LOOKS || !path.p) return false;
    *look = (struct cli_index_look){ .path = path, .file = file };
    out->n++;
    return index_stamp(l->x, l->path, l->folder_n, path.p, path.n, &look->stamp) &&
           look->stamp.ctime_ns < l->fresh_ns;
}

/* One file of the snapshot: its own, or a link to ../../blobs/NAME that ends there. */
static bool index_look_file(struct index_looking *l, const struct os_entry *entry) {
    struct err none = { 0 };
    struct os_stat st;
    struct str path, up = STR("../../"), blobs = STR("blobs/");
    if (entry->kind == OS_FILE) {
        path = str_format(l->arena, "snapshots/" STR_FMT "/" STR_FMT,
                          STR_ARG(os_path_base(l->m->snapshot_cstr)), STR_ARG(entry->name));
    } else {
        char *name = str_dup_cstr(l->arena, entry->name);
        char *link = name ? os_path_join(l->arena, l->m->snapshot_cstr, name) : NULL;
        char *target = link && entry->kind == OS_LINK ? os_readlink(l->arena, link, &none) : NULL;
        path = target ? str_sub(str_cstr(target), up.n, strlen(target)) : STR_EMPTY;
        if (!target || !str_starts(str_cstr(target), up) || !str_starts(path, blobs) ||
            str_find_char(str_sub(path, blobs.n, path.n), '/') >= 0)
            return false;
        char *blob = os_path_join(l->arena, l->m->repo_dir_cstr, target + up.n);
        if (!blob || !os_lstat(blob, &st) || st.kind != OS_FILE) return false;
    }
    return (!l->x->contents && !str_eq(entry->name, STR("config.json"))) ||
           index_look_add(l, path, entry->name);
}

/* Is it sure that this snapshot is the one in use, as long as the looks are the same? */
static bool index_look_choice(struct index_looking *l, struct str snapshot) {
    struct os_entry *entries;
    struct err none = { 0 };
    size_t n, n_looks = l->out->n;
    char *folder = os_path_dir(l->arena, l->m->snapshot_cstr);
    bool settled = index_look_add(l, STR("snapshots"), STR_EMPTY);
    if (!folder || !os_list_dir(l->arena, folder, INDEX_MAX_FILES, &entries, &n, &none))
        return false;
    if (n == 1) return settled;              /* whatever refs/main says */
    l->out->n = n_looks;
    return index_look_add(l, STR("refs/main"), STR_EMPTY) && snapshot.n == 40 &&
           str_eq(cache_ref_read(l->arena, l->x->cache, l->m->name, STR("main")), snapshot);
}

static bool index_look_all(struct index_looking *l) {
    struct os_entry *entries;
    struct err none = { 0 };
    struct os_stat st;
    size_t n;
    const struct cache_model *m = l->m;
    struct str snapshot = m->snapshot_cstr ? os_path_base(m->snapshot_cstr) : STR_EMPTY;
    if (!l->out->all || !l->x->path[0] || m->place != CACHE_REPO || !snapshot.n ||
        m->name.n > INDEX_MAX_NAME || strcmp(m->dir_cstr, m->snapshot_cstr) != 0 ||
        !os_lstat(m->snapshot_cstr, &st) || st.kind != OS_DIR ||
        !index_folder(l->path, l->arena, m->name, &l->folder_n) ||
        !index_look_choice(l, snapshot) ||
        !index_look_add(l, str_format(l->arena, "snapshots/" STR_FMT, STR_ARG(snapshot)),
                        STR_EMPTY) ||
        !index_look_add(l, STR("blobs"), STR_EMPTY) ||
        !os_list_dir(l->arena, m->snapshot_cstr, INDEX_MAX_FILES, &entries, &n, &none))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!index_look_file(l, &entries[i])) return false;
    return true;
}

MLXK_FN void cli_index_look(struct arena *a, const struct cli_index *x,
                            const struct cache_model *m, struct cli_index_looks *out) {
    struct index_looking l;      /* not cleared: its path is large */
    l.x = x;
    l.m = m;
    l.arena = a;
    l.out = out;
    l.fresh_ns = os_time_ns() - INDEX_FRESH_NS;
    *out = (struct cli_index_looks){
        .all = ARENA_ARRAY(a, struct cli_index_look, INDEX_MAX_LOOKS),
    };
    out->usable = index_look_all(&l);
}

/* ---- the file ---- */

/* The record at *at, which moves behind it; NULL at the end or where the bounds do not hold. */
static const struct index_record *index_next(struct str records, size_t *at) {
    const struct index_record *r = (const void *)(records.p + *at);
    if (records.n - *at < sizeof *r || r->size_bytes > records.n - *at || r->size_bytes % 8 ||
        r->n_text > INDEX_MAX_BYTES || r->n_paths > INDEX_MAX_BYTES ||
        sizeof *r + r->n_looks * sizeof r->stamps[0] + r->n_repo + (size_t)r->n_paths +
                (size_t)r->n_text > r->size_bytes)
        return NULL;
    *at += r->size_bytes;
    return r;
}

static struct str index_repo(const struct index_record *r) {
    return (struct str){ (const char *)(r->stamps + r->n_looks), r->n_repo };
}

/* Where this user's derived files lie; the shared store of blobs is left to the slow way, since a
 * payload that vanishes there changes nothing in the repo's own folders. */
static bool index_place(struct arena *a, const struct cache *c, const char *question_cstr,
                        char out[LIMIT_PATH]) {
    struct os_stat st;
    char *shared = os_path_join(a, c->root_cstr, "blobs");
    char *own = os_own_dir(a, "XDG_CACHE_HOME", ".cache");
    uint64_t h = index_hash(0xcbf29ce484222325u, c->root_cstr, strlen(c->root_cstr));
    if (!own || !shared || os_stat(shared, &st)) return false;
    int n = snprintf(out, LIMIT_PATH, "%s/%s-%016llx", own, question_cstr, (unsigned long long)h);
    return n > 0 && n < LIMIT_PATH;
}

static uint64_t index_key(struct arena *a, const struct cache *c) {
    struct os_stat st;
    char *exe = os_exe_path(a);
    if (!exe || !os_stat(exe, &st)) return 0;
    struct cli_index_stamp program = index_stamp_of(&st);
    uint64_t h = index_hash(0xcbf29ce484222325u, &program, sizeof program);
    return index_hash(h, c->root_cstr, strlen(c->root_cstr)) | 1;
}

/* Finds the records' beginnings; false where they are not sorted, or not records. */
static bool index_records(struct arena *a, struct cli_index *x) {
    struct str records = { (const char *)x->map.p + INDEX_HEAD, x->map.size_bytes - INDEX_HEAD };
    size_t at = 0, cap = records.n / sizeof(struct index_record);
    const struct index_record *r;
    x->n = 0;
    x->records = ARENA_ARRAY(a, const struct index_record *, cap);
    while (x->records && x->n < cap && (r = index_next(records, &at)) != NULL) {
        if (x->n && str_cmp(index_repo(x->records[x->n - 1]), index_repo(r)) >= 0) return false;
        x->records[x->n++] = r;
    }
    return x->records && at == records.n;
}

/* ---- (Public) ---- */

MLXK_FN void cli_index_open(struct arena *a, const struct cache *c, const char *question_cstr,
                            bool contents, struct cli_index *out) {
    struct err none = { 0 };
    out->path[0] = '\0';
    out->map = (struct os_map){ 0 };
    out->cache = c;
    out->contents = contents;
    out->records = NULL;
    out->n = 0;
    out->root = os_open(c->root_cstr, OS_READ, &none);
    out->key = index_key(a, c);
    if (!out->key || out->root < 0 || !index_place(a, c, question_cstr, out->path)) {
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
        num_read_u64(p + 16) != out->map.size_bytes - INDEX_HEAD || !index_records(a, out))
        out->n = 0;
}

MLXK_FN void cli_index_close(struct cli_index *x) {
    if (x->map.p) os_unmap(&x->map);
    x->map = (struct os_map){ 0 };
    x->n = 0;
    os_close(x->root);
    x->root = -1;
}

/* Are all looks as they were? */
static bool index_holds(const struct cli_index *x, const struct index_record *r, struct arena *a) {
    char path[LIMIT_PATH];
    size_t at, left = r->n_paths;
    struct cli_index_stamp now;
    const char *below = index_repo(r).p + r->n_repo;
    if (!index_folder(path, a, index_repo(r), &at)) return false;
    for (size_t i = 0; i < r->n_looks; i++) {
        const char *end = memchr(below, '\0', left);
        size_t n = end ? (size_t)(end - below) : 0;
        if (!end || !index_stamp(x, path, at, below, n, &now) ||
            memcmp(&now, &r->stamps[i], sizeof now) != 0)
            return false;
        left -= n + 1;
        below += n + 1;
    }
    return r->n_looks > 0;
}

MLXK_FN struct str cli_index_find(const struct cli_index *x, struct arena *a, struct str repo) {
    size_t from = 0, to = x->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        const struct index_record *r = x->records[middle];
        int order = str_cmp(index_repo(r), repo);
        if (order == 0)
            return r->check == index_sum(&r->size_bytes, r->size_bytes - sizeof r->check) &&
                           index_holds(x, r, a)
                       ? (struct str){ (const char *)r, r->size_bytes }
                       : STR_EMPTY;
        if (order < 0) from = middle + 1;
        else to = middle;
    }
    return STR_EMPTY;
}

MLXK_FN struct str cli_index_text(struct str record) {
    const struct index_record *r = (const void *)record.p;
    return (struct str){ index_repo(r).p + r->n_repo + r->n_paths, r->n_text };
}

MLXK_FN int cli_index_order(struct str record, struct str other) {
    return str_cmp(index_repo((const void *)record.p), index_repo((const void *)other.p));
}

/* Does the verdict depend on it? What was read, and the sizes of weights; without an index of the
 * weights each file may be a pointer of git-lfs instead. */
static bool index_needs(const struct cli_index_look *look, const struct cache_scan *scan) {
    const struct cache_file *f = look->file.n ? cache_scan_find(scan, look->file) : NULL;
    return !f || f->is_read || str_ends(f->path, STR(".safetensors")) ||
           str_ends(f->path, STR(".bin")) || str_ends(f->path, STR(".gguf")) ||
           !cache_scan_find(scan, STR("model.safetensors.index.json"));
}

MLXK_FN void cli_index_add(struct buf *b, const struct cli_index_looks *looks,
                           const struct cache_model *m, struct str text) {
    if (!looks->usable || m->scan->unreadable || text.n > INDEX_MAX_TEXT) return;
    struct index_record r = { .n_repo = (uint16_t)m->name.n, .n_text = (uint32_t)text.n };
    size_t start = b->n;
    buf_add_bytes(b, &r, sizeof r);
    for (size_t i = 0; i < looks->n; i++) {
        if (!index_needs(&looks->all[i], m->scan)) continue;
        buf_add_bytes(b, &looks->all[i].stamp, sizeof looks->all[i].stamp);
        r.n_looks++;
    }
    buf_add(b, m->name);
    for (size_t i = 0; i < looks->n; i++) {
        if (!index_needs(&looks->all[i], m->scan)) continue;
        buf_add(b, looks->all[i].path);
        buf_add_char(b, '\0');
        r.n_paths += (uint32_t)looks->all[i].path.n + 1;
    }
    buf_add(b, text);
    size_t n = b->n - start, whole = (n + 7) / 8 * 8;
    buf_add_bytes(b, "\0\0\0\0\0\0\0", whole - n);
    if (b->failed) return;
    r.size_bytes = (uint32_t)whole;
    memcpy(b->p + start, &r, sizeof r);
    r.check = index_sum(b->p + start + sizeof r.check, whole - sizeof r.check);
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
