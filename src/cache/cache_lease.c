/* cache_lease.c: who is fetching a blob, also where locks lie.
 *
 * On some shared file systems flock is granted to everybody. A lease is a file made with O_EXCL
 * that names its owner (machine, start of the system, process) and is touched every few seconds.
 * It saves bandwidth and keeps two writers apart; what is right is decided by hashes and renames.
 *
 *   take: made            --> ours
 *         owner is gone   --> broken, made again      (same place, no such process)
 *         owner is silent --> broken, doubtful        (another place, not touched for a while)
 *         else            --> ERR_LOCKED
 *
 * 1. Ages are measured by the file system's own clock: the time of a file made just now.
 * 2. A lease is broken by renaming it away and looking at what was caught.
 * 3. What could not be removed when a blob was finished is removed by the next pull of that repo.
 */
#include "cache/cache_int.h"

#include <stdio.h>

enum { LEASE_BEAT_MS = 3000, LEASE_SILENT_MS = 20000, LEASE_TRIES = 8 };

static struct str lease_read(const char *path_cstr, char *out, size_t cap) {
    struct err ignored = { 0 };
    size_t n = 0;
    int fd = os_open(path_cstr, OS_READ, &ignored);
    if (fd >= 0 && !os_read(fd, out, cap, &n, &ignored)) {
        n = 0;
    }
    os_close(fd);
    return (struct str){ out, n };
}

/* "place\npid token\n" */
static void lease_fill(struct cache_lease *l) {
    char place[256], hex[17];
    uint8_t random[8];
    os_place(place);
    os_entropy(random, sizeof random);
    str_hex(hex, random, sizeof random);
    int n = snprintf(l->text, sizeof l->text, "%s\n%d %s\n", place, os_pid(), hex);
    l->n = n > 0 && (size_t)n < sizeof l->text ? (size_t)n : 0;
}

static bool lease_make(struct cache_lease *l, struct err *e) {
    int fd = os_open(l->path, OS_CREATE_NEW, e);
    if (fd < 0) {
        return false;
    }
    bool ok = os_write(fd, l->text, l->n, e);
    os_close(fd);
    if (!ok) {
        struct err ignored = { 0 };
        os_unlink(l->path, &ignored);
    }
    l->beat_ns = os_now_ns();
    l->held = ok;
    return ok;
}

static bool lease_aside(const struct cache_lease *l, char out[LIMIT_PATH]) {
    struct err ignored = { 0 };
    struct str token = str_sub((struct str){ l->text, l->n }, l->n - 17, l->n - 1);
    return CACHE_PATH(out, &ignored, str_cstr(l->path), STR("."), token);
}

/* Milliseconds since the lease was touched, by the clock of its file system; 0 = unknown. */
static int64_t lease_age_ms(const struct cache_lease *l) {
    char path[LIMIT_PATH];
    struct err ignored = { 0 };
    struct os_stat now = { 0 }, then = { 0 };
    int fd = lease_aside(l, path) ? os_open(path, OS_CREATE_NEW, &ignored) : -1;
    bool ok = fd >= 0 && os_fstat(fd, &now) && os_stat(l->path, &then);
    os_close(fd);
    if (fd >= 0) {
        os_unlink(path, &ignored);
    }
    return ok && now.mtime_ns > then.mtime_ns ? (now.mtime_ns - then.mtime_ns) / 1000000 : 0;
}

static int64_t lease_silent_ms(void) {
    int64_t ms = LEASE_SILENT_MS;
    const char *set_cstr = os_env("MLXK_LEASE_SILENT_MS");      /* for tests */
    if (set_cstr) {
        num_parse_i64(str_cstr(set_cstr), 1, LEASE_SILENT_MS, &ms);
    }
    return ms;
}

enum lease_owner { LEASE_GONE, LEASE_SILENT, LEASE_ALIVE };

static enum lease_owner lease_judge(const struct cache_lease *l, struct str theirs) {
    struct str rest = theirs, mine = { l->text, l->n };
    struct str place = str_cut(&rest, '\n'), pid_text = str_cut(&rest, ' ');
    int64_t pid;
    bool here = place.n && str_eq(place, str_cut(&mine, '\n'));
    if (here && num_parse_i64(pid_text, 1, INT32_MAX, &pid)) {
        return pid == os_pid() || !os_process_lives(pid) ? LEASE_GONE : LEASE_ALIVE;
    }
    return lease_age_ms(l) >= lease_silent_ms() ? LEASE_SILENT : LEASE_ALIVE;
}

/* Takes the judged lease away; a newer one that was caught by chance goes back. */
static void lease_break(const struct cache_lease *l, struct str judged) {
    char aside[LIMIT_PATH], text[400];
    struct err ignored = { 0 };
    if (!lease_aside(l, aside) || !os_rename(l->path, aside, &ignored)) {
        return;
    }
    if (!str_eq(lease_read(aside, text, sizeof text), judged)) {
        (void)os_hardlink(aside, l->path, &ignored);
    }
    os_unlink(aside, &ignored);
}

/* ---- (Public to the room) ---- */

MLXK_FN bool cache_lease_take(struct cache_lease *l, const char *path_cstr, bool *doubtful,
                              struct err *e) {
    char text[400];
    *doubtful = false;
    *l = (struct cache_lease){ .held = false };
    if (!CACHE_PATH(l->path, e, str_cstr(path_cstr))) {
        return false;
    }
    lease_fill(l);
    for (int i = 0; i < LEASE_TRIES; i++) {
        struct err taken = { 0 };
        if (lease_make(l, &taken)) {
            return true;
        }
        if (taken.code != ERR_EXISTS) {
            *e = taken;
            return false;
        }
        struct str theirs = lease_read(l->path, text, sizeof text);
        enum lease_owner owner = lease_judge(l, theirs);
        if (owner == LEASE_ALIVE) {
            break;
        }
        *doubtful = *doubtful || owner == LEASE_SILENT;
        lease_break(l, theirs);
    }
    err_set(e, ERR_LOCKED, "another process is fetching the same file, says %s", l->path);
    return err_hint(e, "wait until it has finished; if there is none, remove that file");
}

MLXK_FN bool cache_lease_is_ours(const struct cache_lease *l) {
    char text[400];
    return str_eq(lease_read(l->path, text, sizeof text), (struct str){ l->text, l->n });
}

MLXK_FN bool cache_lease_beat(struct cache_lease *l) {
    struct err ignored = { 0 };
    struct os_stat st;
    int64_t beat_ms = lease_silent_ms() * LEASE_BEAT_MS / LEASE_SILENT_MS;
    if (!l->held || os_now_ns() - l->beat_ns < beat_ms * 1000000) {
        return true;
    }
    l->beat_ns = os_now_ns();
    if (!os_stat(l->path, &st)) {                /* tidied away by somebody: ours still */
        bool again = lease_make(l, &ignored) || ignored.code != ERR_EXISTS;
        l->held = again;
        return again;
    }
    if (!cache_lease_is_ours(l)) {
        l->held = false;
        return false;
    }
    int fd = os_open(l->path, OS_WRITE_OWN, &ignored);
    if (fd >= 0) {
        (void)os_pwrite(fd, l->text, l->n, 0, &ignored);
    }
    os_close(fd);
    return true;
}

MLXK_FN void cache_lease_release(struct cache_lease *l) {
    struct err ignored = { 0 };
    if (l->held && cache_lease_is_ours(l)) {
        os_unlink(l->path, &ignored);
    }
    l->held = false;
}

/* ---- what finished downloads left (Public) ---- */

/* Of "ETAG.map", "ETAG.lease" and "ETAG.lease.TOKEN": the first part; empty for others. */
static struct str lease_etag(struct str name) {
    static const char *const endings[] = { ".map", ".lease" };
    for (size_t i = 0; i < MLXK_COUNT(endings); i++) {
        ptrdiff_t at = str_find(name, str_cstr(endings[i]));
        if (at > 0) {
            return str_sub(name, 0, (size_t)at);
        }
    }
    return STR_EMPTY;
}

/* Takes away what lies beside one finished blob, unless somebody is at it. */
static void lease_sweep(const struct cache *c, struct str folder, struct str etag,
                        const char *entry_cstr) {
    struct err ignored = { 0 };
    struct cache_blob b = { .fd = -1 };
    struct cache_lease lease;
    struct os_lock lock = { .fd = -1 };
    struct os_stat st;
    char lock_path[LIMIT_PATH], lease_path[LIMIT_PATH];
    bool doubtful;
    if (!cache_etag_ok(etag, &ignored) || !cache_blob_paths(&b, c, folder, etag, &ignored) ||
        !os_stat(b.path, &st) || os_lstat(b.partial, &st) || !os_lstat(entry_cstr, &st) ||
        !cache_lock_path(lock_path, c, folder, etag, &ignored) ||
        !cache_side_path(lease_path, c, folder, etag, STR(".lease"), &ignored) ||
        !os_lock_acquire(&lock, lock_path, 0, &ignored)) {
        return;
    }
    if (cache_lease_take(&lease, lease_path, &doubtful, &ignored)) {
        if (!os_lstat(b.partial, &st)) {     /* nobody began anew meanwhile */
            os_unlink(b.map, &ignored);
            if (strcmp(entry_cstr, lease_path) != 0) {
                os_unlink(entry_cstr, &ignored);
            }
        }
        cache_lease_release(&lease);
    }
    os_lock_release(&lock);
}

MLXK_FN void cache_parts_sweep(struct arena *a, const struct cache *c, struct str repo) {
    char folder[CACHE_FOLDER_MAX], dir[LIMIT_PATH], entry[LIMIT_PATH];
    struct os_entry *entries;
    struct err ignored = { 0 };
    struct os_stat st;
    size_t n;
    if (!cache_folder_into(folder, repo, &ignored) ||
        !CACHE_PATH(dir, &ignored, str_cstr(c->root_cstr), STR("/"), str_cstr(folder),
                    STR("/.mlxk")) ||
        !os_lstat(dir, &st) || st.kind != OS_DIR ||
        !os_list_dir(a, dir, CACHE_MAX_ENTRIES, &entries, &n, &ignored)) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct str etag = lease_etag(entries[i].name);
        if (etag.n && CACHE_PATH(entry, &ignored, str_cstr(dir), STR("/"), entries[i].name)) {
            lease_sweep(c, str_cstr(folder), etag, entry);
        }
    }
    os_rmdir(dir, &ignored);                 /* when it is empty */
}
