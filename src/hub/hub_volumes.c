/* hub_volumes.c: a stream in one file, or cut into FILE.001, FILE.002 and so on.
 *
 * 1. What is being written is called FILE.part (FILE.NNN.part) and renamed when it is whole and
 *    synced; an export that ends early leaves nothing under a final name that was not there whole.
 * 2. FILE.sha256 lists the hash of every volume, in the form that sha256sum -c reads; reading
 *    compares each volume with it, where it is there, so that a bad stick is named.
 */
#include "hub/hub_int.h"

#include <stdio.h>

enum { VOLUMES_MAX = 999 };

static bool volumes_name(const struct hub_volumes *v, char out[LIMIT_PATH], int number,
                         const char *tail_cstr, struct err *e) {
    int n = v->split ? snprintf(out, LIMIT_PATH, "%s.%03d%s", v->path, number, tail_cstr)
                     : snprintf(out, LIMIT_PATH, "%s%s", v->path, tail_cstr);
    return (n > 0 && n < LIMIT_PATH) ||
           err_set(e, ERR_INVALID, "the name of a volume is too long");
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool volumes_next(struct hub_volumes *v, struct err *e) {
    char path[LIMIT_PATH];
    if (v->n == VOLUMES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d volumes: choose a larger --split", VOLUMES_MAX);
    v->n++;
    v->at_bytes = 0;
    sha256_init(&v->sha256);
    if (!volumes_name(v, path, v->n, ".part", e)) return false;
    v->fd = os_open(path, OS_TRUNCATE, e);
    return v->fd >= 0;
}

static bool volumes_finish(struct hub_volumes *v, struct err *e) {
    char part[LIMIT_PATH], path[LIMIT_PATH], hex[65];
    uint8_t digest[32];
    bool ok = os_sync(v->fd, e) && volumes_name(v, part, v->n, ".part", e) &&
              volumes_name(v, path, v->n, "", e);
    os_close(v->fd);
    v->fd = -1;
    if (!ok || !os_rename(part, path, e)) return false;
    sha256_final(&v->sha256, digest);
    str_hex(hex, digest, sizeof digest);
    struct str base = os_path_base(path);
    buf_addf(&v->sums, "%s  " STR_FMT "\n", hex, STR_ARG(base));
    char *folder = os_path_dir(v->arena, path);
    return folder ? os_sync_dir(folder, e) : err_oom(e, LIMIT_PATH, "a path");
}

MLXK_FN bool hub_volumes_create(struct arena *a, const char *path_cstr, uint64_t volume_bytes,
                                struct hub_volumes *out, struct err *e) {
    *out = (struct hub_volumes){ .arena = a,
                                 .volume_bytes = volume_bytes,
                                 .fd = -1,
                                 .standard = strcmp(path_cstr, "-") == 0,
                                 .split = volume_bytes > 0 };
    struct os_stat st;
    buf_init(&out->sums, 1 << 20);
    if (strlen(path_cstr) + 16 >= sizeof out->path)
        return err_set(e, ERR_INVALID, "the name of the output is too long");
    memcpy(out->path, path_cstr, strlen(path_cstr) + 1);
    if (out->standard) out->fd = 1;
    else if (os_stat(path_cstr, &st) && st.kind != OS_FILE) {
        if (st.kind == OS_DIR) return err_set(e, ERR_INVALID, "%s is a folder", path_cstr);
        if (out->split)
            return err_set(e, ERR_INVALID, "%s is no file: it cannot be split", path_cstr);
        out->standard = true;                    /* a device or pipe: nothing to rename */
        out->fd = os_open(path_cstr, OS_WRITE, e);
        return out->fd >= 0;
    }
    return out->standard || volumes_next(out, e);
}

MLXK_FN bool hub_volumes_write(void *volumes, const void *p, size_t n, struct err *e) {
    struct hub_volumes *v = volumes;
    const char *at = p;
    while (n) {
        uint64_t room = v->split ? v->volume_bytes - v->at_bytes : n;
        size_t take = room < n ? (size_t)room : n;
        if (!take) {
            if (!volumes_finish(v, e) || !volumes_next(v, e)) return false;
            continue;
        }
        if (!os_write(v->fd, at, take, e))
            return v->standard ? false : err_context(e, "%s: ", v->path);
        if (!v->standard) sha256_update(&v->sha256, at, take);
        v->at_bytes += take;
        at += take;
        n -= take;
    }
    return true;
}

MLXK_FN bool hub_volumes_end(struct hub_volumes *v, bool ok, struct err *e) {
    char path[LIMIT_PATH];
    struct err ignored = { 0 };
    if (v->standard) {
        if (v->fd > 2) os_close(v->fd);
        buf_release(&v->sums);
        return ok;
    }
    ok = ok && volumes_finish(v, e);
    os_close(v->fd);
    v->fd = -1;
    if (!ok && volumes_name(v, path, v->n, ".part", &ignored)) (void)os_unlink(path, &ignored);
    if (ok && v->split) {
        int n = snprintf(path, sizeof path, "%s.sha256", v->path);
        ok = n > 0 && n < LIMIT_PATH && buf_ok(&v->sums, "the hashes of the volumes", e) &&
             os_write_file(path, buf_str(&v->sums), e);
    }
    for (int i = 1; !ok && v->split && i < v->n; i++)    /* volumes without an end are no bundle */
        if (volumes_name(v, path, i, "", &ignored)) (void)os_unlink(path, &ignored);
    buf_release(&v->sums);
    return ok;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool volumes_load(struct hub_volumes *v, struct err *e) {
    char path[LIMIT_PATH];
    v->n++;
    sha256_init(&v->sha256);
    if (!volumes_name(v, path, v->n, "", e)) return false;
    struct err why = { 0 };
    v->fd = os_open(path, OS_READ, &why);
    if (v->fd >= 0) return true;
    if (!v->split || why.code != ERR_NOT_FOUND) *e = why;
    else {
        err_set(e, ERR_NOT_FOUND, "volume %d is missing: there is no %s", v->n, path);
        err_hint(e, "put all volumes of the bundle into one folder");
    }
    return false;
}

/* Is the volume that was read to its end the one that FILE.sha256 lists? */
static bool volumes_check(struct hub_volumes *v, struct err *e) {
    char path[LIMIT_PATH], hex[65];
    uint8_t digest[32];
    if (!v->split || !v->sums.n) return true;
    sha256_final(&v->sha256, digest);
    str_hex(hex, digest, sizeof digest);
    if (!volumes_name(v, path, v->n, "", e)) return false;
    struct str base = os_path_base(path);
    for (struct str rest = buf_str(&v->sums); rest.p;) {
        struct str line = str_cut(&rest, '\n');
        if (line.n > 66 && str_eq(str_sub(line, 66, line.n), base) &&
            !str_eq_cstr(str_sub(line, 0, 64), hex)) {
            err_set(e, ERR_INTEGRITY, "volume %s is damaged: its sha256 is not the one listed",
                    path);
            return err_hint(e, "copy that volume again");
        }
    }
    return true;
}

MLXK_FN bool hub_volumes_open(struct arena *a, const char *path_cstr, struct hub_volumes *out,
                              struct err *e) {
    size_t n = strlen(path_cstr);
    struct str sums = STR_EMPTY;
    struct err none = { 0 };
    *out = (struct hub_volumes){ .arena = a, .fd = -1, .standard = strcmp(path_cstr, "-") == 0,
                                 .split = n > 4 && strcmp(path_cstr + n - 4, ".001") == 0 };
    buf_init(&out->sums, 1 << 20);
    if (n + 16 >= sizeof out->path)
        return err_set(e, ERR_INVALID, "the name of the bundle is too long");
    memcpy(out->path, path_cstr, n + 1);
    if (out->split) {
        out->path[n - 4] = '\0';
        char *list = str_dup_cstr(a, str_format(a, "%s.sha256", out->path));
        if (list && os_read_file(a, list, 1 << 20, &sums, &none)) buf_add(&out->sums, sums);
    }
    if (out->standard) out->fd = 0;
    return out->standard || volumes_load(out, e);
}

MLXK_FN bool hub_volumes_read(void *volumes, void *p, size_t n, struct err *e) {
    struct hub_volumes *v = volumes;
    char *at = p;
    while (n) {
        size_t got;
        if (!os_read(v->fd, at, n, &got, e)) return false;
        if (v->split) sha256_update(&v->sha256, at, got);
        at += got;
        n -= got;
        if (n && v->split) {
            if (!volumes_check(v, e)) return false;
            os_close(v->fd);
            v->fd = -1;
            if (!volumes_load(v, e)) return false;
        } else if (n) {
            err_set(e, ERR_FORMAT, "the bundle ends in the middle");
            return err_hint(e, "it was cut short; copy it again");
        }
    }
    return true;
}

MLXK_FN bool hub_volumes_rest(struct hub_volumes *v, struct err *e) {
    char rest[4096];
    struct err ignored = { 0 };
    for (size_t n = sizeof rest; n && !os_interrupted();) {
        if (!os_read(v->fd, rest, sizeof rest, &n, &ignored)) return true;
        for (size_t i = 0; i < n; i++) {
            if (!rest[i]) continue;
            err_set(e, ERR_FORMAT, "more follows behind the end of the bundle: it was left out");
            return err_hint(e, "the bundle before it is in the cache; import each one by itself");
        }
    }
    return true;
}

MLXK_FN void hub_volumes_close(struct hub_volumes *v) {
    if (!v->standard) os_close(v->fd);
    v->fd = -1;
    buf_release(&v->sums);
}
