/* cache_room.c: is there room on the disk, also for what others are still bringing?
 *
 * Free space is what the file system says, or less by a quota, less what downloads that
 * are on their way have yet to write into this cache. Each tells that in a note,
 * .locks/mlxk-room/<random>.lock, which it holds with flock: a note that nobody holds is that of a
 * killed process, counts nothing, and is removed by the next download. So nothing leaks, whatever
 * ends a process.
 *
 *   "00000000006442450944 org/name@commit\n"     bytes to come, and what is brought
 *
 * 1. Two that begin at the same time see each other: who looks and tells does so under the guard.
 * 2. Downloads of the same commit bring the same bytes: they are counted once.
 * 3. Without working locks, or where no note can be written, all goes on as if one were alone.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

#include <stdio.h>

enum {
    ROOM_DIGITS = 20,
    ROOM_NOTE_MAX = 400,
    ROOM_TRIES = 8, ROOM_PAUSE_MS = 250, /* a note lags a moment behind the file it is about */
    ROOM_MAX_NOTES = 10000,
};

/* ---- notes (Private) ---- */

static bool room_dir(char out[LIMIT_PATH], const struct cache *c, struct err *e) {
    return CACHE_PATH(out, e, str_cstr(c->root_cstr), STR("/.locks/mlxk-room"));
}

MLXK_FN bool cache_room_parse(struct str text, uint64_t *bytes, struct str *brings) {
    struct str rest = text, number = str_cut(&rest, ' ');
    int64_t n;
    if (number.n != ROOM_DIGITS || !rest.p || !str_ends(rest, STR("\n")) ||
        !num_parse_i64(number, 0, INT64_MAX, &n)) {
        return false;
    }
    *bytes = (uint64_t)n;
    *brings = str_sub(rest, 0, rest.n - 1);
    return true;
}

static struct str room_read(const char *path_cstr, char *out, size_t cap) {
    struct err ignored = { 0 };
    struct os_stat st;
    size_t n = 0;
    int fd = os_lstat(path_cstr, &st) && st.kind == OS_FILE ? os_open(path_cstr, OS_READ, &ignored)
                                                            : -1;
    if (fd >= 0 && !os_read(fd, out, cap, &n, &ignored)) {
        n = 0;
    }
    os_close(fd);
    return (struct str){ out, n };
}

/* Somebody holds it; one that nobody does goes, when `sweep` says so. */
static bool room_lives(const char *path_cstr, bool sweep) {
    struct err e = { 0 };
    struct os_lock lock;
    if (!os_lock_acquire(&lock, path_cstr, 0, &e)) {
        return e.code == ERR_LOCKED;
    }
    if (sweep) {
        os_unlink(path_cstr, &e);
    }
    os_lock_release(&lock);
    return false;
}

struct room_others { uint64_t bytes; size_t n; };

static struct room_others room_others(const struct cache *c, struct str brings, bool sweep) {
    struct room_others out = { 0 };
    struct arena a;
    struct os_entry *entries;
    struct err ignored = { 0 };
    char dir[LIMIT_PATH], path[LIMIT_PATH], text[ROOM_NOTE_MAX];
    size_t n = 0;
    arena_init(&a, (size_t)8 << 20);
    if (!room_dir(dir, c, &ignored) ||
        !os_list_dir(&a, dir, ROOM_MAX_NOTES, &entries, &n, &ignored)) {
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t bytes;
        struct str theirs;
        if (!str_ends(entries[i].name, STR(".lock")) ||
            !CACHE_PATH(path, &ignored, str_cstr(dir), STR("/"), entries[i].name) ||
            !room_lives(path, sweep) ||
            !cache_room_parse(room_read(path, text, sizeof text), &bytes, &theirs) ||
            str_eq(theirs, brings) || bytes == 0) {
            continue;
        }
        out.n++;
        out.bytes = bytes > UINT64_MAX - out.bytes ? UINT64_MAX : out.bytes + bytes;
    }
    arena_release(&a);
    return out;
}

static bool room_note(const struct cache *c, struct cache_room *r, struct str brings) {
    char dir[LIMIT_PATH], path[LIMIT_PATH], hex[17], text[ROOM_NOTE_MAX];
    uint8_t random[8];
    struct err ignored = { 0 };
    os_entropy(random, sizeof random);
    str_hex(hex, random, sizeof random);
    int n = snprintf(text, sizeof text, "%0*llu " STR_FMT "\n", ROOM_DIGITS,
                     (unsigned long long)r->told_bytes, STR_ARG(brings));
    if (n < 0 || (size_t)n >= sizeof text || !room_dir(dir, c, &ignored) ||
        !os_mkdirs(dir, &ignored) ||
        !CACHE_PATH(path, &ignored, str_cstr(dir), STR("/"), str_cstr(hex), STR(".lock")) ||
        !os_lock_acquire(&r->note, path, 0, &ignored)) {
        r->note.fd = -1;
        return false;
    }
    bool ok = !r->note.soft && os_pwrite(r->note.fd, text, (size_t)n, 0, &ignored);
    if (!ok) {
        cache_room_give(r);
    }
    return ok;
}

/* ---- the answer (Private) ---- */

struct room_look { char dir[LIMIT_PATH]; struct os_room room; struct room_others others; };

/* The nearest folder above that is there tells which file system it will be. */
static bool room_place(const struct cache *c, char dir[LIMIT_PATH]) {
    struct err unknown = { 0 };
    struct os_stat st;
    if (!CACHE_PATH(dir, &unknown, str_cstr(c->root_cstr))) {
        return false;
    }
    while (!os_stat(dir, &st) && strrchr(dir, '/') && strrchr(dir, '/') != dir) {
        *strrchr(dir, '/') = '\0';
    }
    return true;
}

static bool room_fits(uint64_t free_bytes, uint64_t need_bytes, uint64_t keep_bytes) {
    return need_bytes <= free_bytes && free_bytes - need_bytes >= keep_bytes;
}

/* *alone: it does not fit even without the others. */
static bool room_look(const struct cache *c, struct str brings, uint64_t need_bytes,
                      uint64_t keep_bytes, bool sweep, struct room_look *l, bool *alone) {
    struct err unknown = { 0 };
    *alone = false;
    l->others = room_others(c, brings, sweep);
    if (!os_room_read(l->dir, &l->room, &unknown)) {
        return true;
    }
    *alone = !room_fits(l->room.free_bytes, need_bytes, keep_bytes);
    return !*alone && room_fits(l->room.free_bytes,
                                need_bytes > UINT64_MAX - l->others.bytes
                                    ? UINT64_MAX
                                    : need_bytes + l->others.bytes,
                                keep_bytes);
}

static bool room_refuse(const struct cache *c, const struct room_look *l, uint64_t need_bytes,
                        uint64_t keep_bytes, bool alone, struct err *e) {
    char needs[16], has[16], keep[16], theirs[16];
    bool others = !alone && l->others.n > 0;
    num_format_size(needs, need_bytes);
    num_format_size(has, l->room.free_bytes);
    num_format_size(keep, keep_bytes);
    num_format_size(theirs, l->others.bytes);
    err_set(e, ERR_DISK_FULL, "%s are still to come, and %s has %s free%s%s%s%s%s%s%s", needs,
            c->root_cstr, has, l->room.by_cstr, keep_bytes || others ? ", of which " : "",
            keep_bytes ? keep : "", keep_bytes ? " must stay free" : "",
            keep_bytes && others ? " and " : "", others ? theirs : "",
            !others ? "" : l->others.n == 1 ? " are for another download"
                                            : " are for other downloads");
    return err_hint(e, "%smake room with `mlxk rm MODEL`, %sor set HF_HOME to a folder on a larger "
                       "disk", others ? "wait until that has finished, " : "",
                    *l->room.by_cstr ? "ask for a larger quota, " : "");
}

static bool room_pause(int i, struct err *e) {
    if (i) {
        os_sleep_ms(ROOM_PAUSE_MS);
    }
    return !os_interrupted() || err_set(e, ERR_INTERRUPTED, "stopped by the user");
}

/* ---- (Public) ---- */

MLXK_FN bool cache_file_fits(const struct cache *c, struct str path, uint64_t size_bytes,
                             struct err *e) {
    struct os_volume volume;
    struct err unknown = { 0 };
    char has[16], may[16], dir[LIMIT_PATH];
    uint64_t most = os_max_file_bytes();
    bool limited = most < size_bytes;
    if (!limited && size_bytes > UINT32_MAX && room_place(c, dir) &&
        os_volume_read(dir, &volume, &unknown) && strcmp(volume.kind, "vfat") == 0) {
        most = UINT32_MAX;
    }
    if (size_bytes <= most) {
        return true;
    }
    num_format_size(has, size_bytes);
    num_format_size(may, most);
    err_set(e, ERR_DISK_FULL, STR_FMT " has %s, and files may not be larger than %s here",
            STR_ARG(path), has, may);
    return err_hint(e, limited ? "raise the limit of this shell: ulimit -f unlimited"
                               : "that is a limit of FAT: choose a folder on another disk");
}

MLXK_FN bool cache_room_check(const struct cache *c, struct str brings, uint64_t need_bytes,
                              uint64_t keep_bytes, struct err *e) {
    struct room_look l;
    bool alone = false, ok = (!need_bytes && !keep_bytes) || !room_place(c, l.dir);
    for (int i = 0; !ok && !alone && i < ROOM_TRIES; i++) {
        if (!room_pause(i, e)) {
            return false;
        }
        ok = room_look(c, brings, need_bytes, keep_bytes, false, &l, &alone);
    }
    return ok || room_refuse(c, &l, need_bytes, keep_bytes, alone, e);
}

MLXK_FN bool cache_room_take(const struct cache *c, struct str brings, uint64_t need_bytes,
                             uint64_t keep_bytes, struct cache_room *out, struct err *e) {
    struct room_look l;
    *out = (struct cache_room){ .note = { .fd = -1 }, .told_bytes = need_bytes };
    bool alone = false, ok = false;
    if (!room_place(c, l.dir)) {
        return true;
    }
    for (int i = 0; !ok && !alone && i < ROOM_TRIES; i++) {
        struct cache_guard g;
        if (!room_pause(i, e) || !cache_guard_begin(c, &g, e)) {
            return false;
        }
        ok = room_look(&g.cache, brings, need_bytes, keep_bytes, true, &l, &alone);
        if (ok) {
            (void)room_note(&g.cache, out, brings);
        }
        cache_guard_end(&g);
    }
    return ok || room_refuse(c, &l, need_bytes, keep_bytes, alone, e);
}

MLXK_FN void cache_room_tell(struct cache_room *r, uint64_t left_bytes) {
    char digits[ROOM_DIGITS + 1];
    struct err ignored = { 0 };
    if (r->note.fd < 0 || left_bytes == r->told_bytes) {
        return;
    }
    r->told_bytes = left_bytes;
    (void)snprintf(digits, sizeof digits, "%0*llu", ROOM_DIGITS, (unsigned long long)left_bytes);
    (void)os_pwrite(r->note.fd, digits, ROOM_DIGITS, 0, &ignored);
}

MLXK_FN void cache_room_give(struct cache_room *r) {
    struct err ignored = { 0 };
    char dir[LIMIT_PATH];
    if (r->note.fd < 0) {
        return;
    }
    struct str path = str_cstr(r->note.path);
    os_unlink(r->note.path, &ignored);
    if (CACHE_PATH(dir, &ignored, str_sub(path, 0, (size_t)str_find_last(path, STR("/"))))) {
        os_rmdir(dir, &ignored);                 /* when it is empty */
    }
    os_lock_release(&r->note);
}
