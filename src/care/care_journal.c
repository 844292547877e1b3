/* care_journal.c: which files were found good, and when, so that a later run can pass over them.
 *
 *   v1 <TAB> time <TAB> size <TAB> mtime <TAB> inode <TAB> path     a file with the right hash
 *   v1 <TAB> since <TAB> run                                      a run that counts from `since` on
 *
 * 1. It lies in the state folder, never in the cache, and is only ever appended to or replaced
 *    whole: what another process appends meanwhile costs at most hashing a file again.
 * 2. A line that cannot be read is no line; a file counts only while size, mtime and inode are
 *    those that were hashed.
 */
#include "care/care_int.h"

#include <inttypes.h>
#include <stdio.h>

enum { CARE_JOURNAL_SLACK = 4096 };     /* lines more than needed before it is written anew */
#define CARE_JOURNAL_MAX ((size_t)256 << 20)

/* ---- lines (Public) ---- */

MLXK_FN bool care_journal_parse(struct str line, struct care_seen *out, struct str *path) {
    struct str rest = line, version = str_cut(&rest, '\t'), time = str_cut(&rest, '\t'),
               size = str_cut(&rest, '\t');
    *out = (struct care_seen){ 0 };
    *path = STR_EMPTY;
    if (!str_eq(version, STR("v1")) || !num_parse_i64(time, 0, INT64_MAX, &out->time_ns))
        return false;
    if (str_eq(size, STR("run")) && !rest.p) return true;
    struct str mtime = str_cut(&rest, '\t'), inode = str_cut(&rest, '\t');
    *path = rest;
    return rest.n > 0 && rest.p[0] == '/' && rest.n < LIMIT_PATH &&
           str_find_char(rest, '\0') < 0 &&
           num_parse_u64(size, UINT64_MAX, &out->size_bytes) &&
           num_parse_i64(mtime, INT64_MIN, INT64_MAX, &out->mtime_ns) &&
           num_parse_u64(inode, UINT64_MAX, &out->inode);
}

static bool care_journal_keep(struct care_journal *j, struct str path, const struct care_seen *s) {
    bool is_new;
    uint64_t *at = map_put(&j->seen, path, &is_new);
    if (!at) return false;
    if (is_new) {
        struct care_seen *grown =
            ARENA_GROW(j->arena, struct care_seen, j->list, j->n, &j->cap, 256);
        if (!grown) return false;
        j->list = grown;
        *at = j->n++;
    }
    j->list[*at] = *s;
    return true;
}

static bool care_journal_load(struct care_journal *j, struct str text) {
    while (text.n) {
        struct care_seen s;
        struct str path, line = str_cut(&text, '\n');
        j->n_lines++;
        if (!care_journal_parse(line, &s, &path)) continue;
        if (!path.n) j->last_ns = s.time_ns;
        else if (!care_journal_keep(j, path, &s)) return false;
    }
    return true;
}

/* ---- file ---- */

static size_t care_journal_line(char *out, size_t cap, struct str path, const struct care_seen *s) {
    int n =
        snprintf(out, cap, "v1\t%" PRId64 "\t%" PRIu64 "\t%" PRId64 "\t%" PRIu64 "\t" STR_FMT "\n",
                 s->time_ns, s->size_bytes, s->mtime_ns, s->inode, STR_ARG(path));
    return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

static void care_journal_shrink(struct care_journal *j) {
    struct buf b;
    struct err ignored = { 0 };
    char line[LIMIT_PATH + 128];
    buf_init(&b, CARE_JOURNAL_MAX);
    buf_addf(&b, "v1\t%" PRId64 "\trun\n", j->last_ns);
    for (size_t i = 0; i < j->seen.n; i++)
        buf_add_bytes(&b, line, care_journal_line(line, sizeof line, j->seen.entries[i].key,
                                                  &j->list[j->seen.entries[i].value]));
    if (!b.failed) os_write_file(j->path, buf_str(&b), &ignored);
    buf_release(&b);
}

/* ---- (Public) ---- */

MLXK_FN bool care_journal_open(struct arena *a, struct care_journal *j, struct err *e) {
    struct err ignored = { 0 };
    struct str text;
    *j = (struct care_journal){ .arena = a, .fd = -1 };
    map_init(&j->seen, SIZE_MAX / 64);
    char *dir = os_own_dir(a, "XDG_STATE_HOME", ".local/state");
    if (!dir) return true;
    char *path = os_path_join(a, dir, "verified");
    if (!path) return err_oom(e, LIMIT_PATH, "a path");
    (void)snprintf(j->path, sizeof j->path, "%s", path);
    if (os_read_file(a, path, CARE_JOURNAL_MAX, &text, &ignored) && !care_journal_load(j, text))
        return err_oom(e, text.n, "the journal of verified files");
    err_clear(&ignored);
    if (!os_mkdirs(dir, &ignored)) {
        log_write(LOG_INFO, "no journal: %s", ignored.msg);
        return true;
    }
    if (j->n_lines > 2 * j->n + CARE_JOURNAL_SLACK) care_journal_shrink(j);
    j->fd = os_open(path, OS_APPEND, &ignored);
    if (j->fd < 0) log_write(LOG_INFO, "no journal: %s", ignored.msg);
    return true;
}

MLXK_FN bool care_journal_has(const struct care_journal *j, struct str path,
                              const struct os_stat *st, int64_t since_ns) {
    const uint64_t *at = map_get(&j->seen, path);
    const struct care_seen *s = at ? &j->list[*at] : NULL;
    return s && s->time_ns >= since_ns && s->size_bytes == st->size_bytes &&
           s->mtime_ns == st->mtime_ns && s->inode == st->inode;
}

MLXK_FN void care_journal_run(struct care_journal *j, int64_t since_ns) {
    char line[64];
    struct err ignored = { 0 };
    int n = snprintf(line, sizeof line, "v1\t%" PRId64 "\trun\n", since_ns);
    if (j->fd >= 0) os_write(j->fd, line, (size_t)n, &ignored);
}

MLXK_FN void care_journal_add(struct care_journal *j, struct str path, const struct os_stat *st,
                              int64_t now_ns) {
    char line[LIMIT_PATH + 128];
    struct err ignored = { 0 };
    struct care_seen s = { .time_ns = now_ns, .size_bytes = st->size_bytes,
                           .mtime_ns = st->mtime_ns, .inode = st->inode };
    bool plain = path.n && path.p[0] == '/' && path.n < LIMIT_PATH;
    for (size_t i = 0; plain && i < path.n; i++) plain = (unsigned char)path.p[i] >= ' ';
    size_t n = plain ? care_journal_line(line, sizeof line, path, &s) : 0;
    if (n && j->fd >= 0) os_write(j->fd, line, n, &ignored);
}

MLXK_FN void care_journal_close(struct care_journal *j) {
    os_close(j->fd);
    j->fd = -1;
    map_release(&j->seen);
}

#undef CARE_JOURNAL_MAX
