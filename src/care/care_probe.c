/* care_probe.c: what a file system really does, tried in a fresh folder that is removed afterwards.
 *
 * Mount options and network file systems lie: a link that cannot be made, a lock that excludes
 * nobody, two names that are one. Each is tried, never looked up.
 */
#include "care/care_int.h"

struct care_probing {
    struct arena *arena;
    const char *dir_cstr;
    struct care_abilities *out;
};

static char *care_probe_path(struct care_probing *p, const char *name_cstr) {
    return care_format(p->arena, "%s/%s", p->dir_cstr, name_cstr);
}

static bool care_probe_write(struct care_probing *p, const char *name_cstr, struct err *e) {
    char *path = care_probe_path(p, name_cstr);
    int fd = path ? os_open(path, OS_TRUNCATE, e) : -1;
    bool ok = fd >= 0 && os_write(fd, "mlxk probe\n", 11, e);
    os_close(fd);
    return ok;
}

static bool care_probe_reads(struct care_probing *p, const char *name_cstr) {
    struct str text = STR_EMPTY;
    struct err none = { 0 };
    char *path = care_probe_path(p, name_cstr);
    return path && os_read_file(p->arena, path, 64, &text, &none)
           && str_eq(text, STR("mlxk probe\n"));
}

static enum care_answer care_probe_answer(bool yes) { return yes ? CARE_YES : CARE_NO; }

static void care_probe_links(struct care_probing *p) {
    struct err none = { 0 };
    char *file = care_probe_path(p, "file"), *link = care_probe_path(p, "link"),
         *hard = care_probe_path(p, "hard");
    struct os_stat a, b;
    if (!file || !link || !hard) return;
    p->out->symlink =
        care_probe_answer(os_symlink("file", link, &none) && care_probe_reads(p, "link"));
    p->out->hardlink = care_probe_answer(os_hardlink(file, hard, &none) && os_stat(file, &a) &&
                                         os_stat(hard, &b) && a.inode == b.inode && a.n_links == 2);
}

static void care_probe_clone(struct care_probing *p) {
    struct err none = { 0 };
    char *from = care_probe_path(p, "file"), *to = care_probe_path(p, "clone");
    int from_fd = from ? os_open(from, OS_READ, &none) : -1,
        to_fd = to ? os_open(to, OS_CREATE_NEW, &none) : -1;
    bool cloned = from_fd >= 0 && to_fd >= 0 && os_reflink(from_fd, to_fd);
    os_close(from_fd);
    os_close(to_fd);
    p->out->reflink = care_probe_answer(cloned && care_probe_reads(p, "clone"));
}

/* A second look through another descriptor: that is what another process would get. */
static void care_probe_lock(struct care_probing *p) {
    struct os_lock lock;
    struct err none = { 0 };
    char *path = care_probe_path(p, "lock");
    if (!path || !os_lock_acquire(&lock, path, 0, &none)) {
        p->out->lock = CARE_NO;
        return;
    }
    bool excludes = !lock.soft && os_lock_look(path) == OS_LOCK_HELD;
    os_lock_release(&lock);
    p->out->lock = care_probe_answer(excludes && os_lock_look(path) == OS_LOCK_FREE);
}

static void care_probe_names(struct care_probing *p) {
    struct os_stat st;
    struct err none = { 0 };
    char *other = care_probe_path(p, "FILE"), *from = care_probe_path(p, "hard2"),
         *onto = care_probe_path(p, "file2");
    if (!other || !from || !onto) return;
    p->out->case_kept = care_probe_answer(!os_lstat(other, &st));
    p->out->rename = care_probe_answer(care_probe_write(p, "hard2", &none) &&
                                       care_probe_write(p, "file2", &none) &&
                                       os_rename(from, onto, &none) && !os_lstat(from, &st) &&
                                       care_probe_reads(p, "file2"));
}

static void care_probe_map(struct care_probing *p) {
    struct os_map map;
    struct err none = { 0 };
    char *path = care_probe_path(p, "file");
    bool mapped = path && os_map_file(path, &map, &none);
    p->out->map = care_probe_answer(mapped && map.size_bytes == 11 && map.p[0] == 'm');
    if (mapped) os_unmap(&map);
}

MLXK_FN bool care_probe(const char *dir_cstr, struct care_abilities *out, struct err *e) {
    struct arena a;
    struct care_probing p = { .arena = &a, .out = out };
    struct err ignored = { 0 };
    uint8_t random[6];
    char hex[13];
    *out = (struct care_abilities){ 0 };
    arena_init(&a, (size_t)1 << 20);
    os_entropy(random, sizeof random);
    str_hex(hex, random, sizeof random);
    p.dir_cstr = care_format(&a, "%s/.mlxk-probe-%s", dir_cstr, hex);
    bool ok = p.dir_cstr || err_oom(e, LIMIT_PATH, "a path");
    ok = ok && os_mkdirs(p.dir_cstr, e) && care_probe_write(&p, "file", e);
    if (ok) {
        care_probe_links(&p);
        care_probe_clone(&p);
        care_probe_lock(&p);
        care_probe_names(&p);
        care_probe_map(&p);
    }
    if (p.dir_cstr) os_remove_tree(p.dir_cstr, &ignored);
    arena_release(&a);
    return ok;
}
