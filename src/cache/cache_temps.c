/* cache_temps.c: files on their way to a name: what they are called, how they are opened, and what
 * becomes of those whose writer was killed.
 *
 *      blobs/PPPPPPPPQQQQQQQQRRRRRRRR.mlxk.incomplete      P place, Q process, R random; hex digits
 *      .mlxk/PPPPPPPPQQQQQQQQRRRRRRRR.links/               links ahead of their blobs
 *
 * 1. A name is used by one process once: no lock is needed, also where locks lie. In the place of
 *    random digits may stand the first ones of the blob's name, where the file must not exist yet.
 * 2. Only a file whose writer is known to be gone is removed: same place (os_place) and no such
 *    process. A number that is in use again keeps the file until the next time.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

enum { TEMPS_WORD = 4, TEMPS_HEX = 3 * 2 * TEMPS_WORD };
#define TEMPS_ENDING STR(".mlxk.incomplete")
#define TEMPS_MEMORY ((size_t)64 << 20)

static void temps_name(char hex[TEMPS_HEX + 1]) {
    uint8_t words[3 * TEMPS_WORD];
    uint32_t pid = (uint32_t)os_pid();
    cache_here(words, TEMPS_WORD);
    for (int i = 0; i < TEMPS_WORD; i++) {
        words[TEMPS_WORD + i] = (uint8_t)(pid >> (24 - 8 * i));
    }
    os_entropy(words + 2 * TEMPS_WORD, TEMPS_WORD);
    str_hex(hex, words, sizeof words);
}

MLXK_FN void cache_temp_series(char out[CACHE_TEMP_NAME]) {
    temps_name(out);
    memcpy(out + TEMPS_HEX, TEMPS_ENDING.p, TEMPS_ENDING.n + 1);
}

MLXK_FN bool cache_temp_path(char out[LIMIT_PATH], const char *repo_dir_cstr, struct err *e) {
    char hex[TEMPS_HEX + 1];
    temps_name(hex);
    return CACHE_PATH(out, e, str_cstr(repo_dir_cstr), STR("/blobs/"), str_cstr(hex), TEMPS_ENDING);
}

MLXK_FN bool cache_temp_folder(char out[LIMIT_PATH], const char *repo_dir_cstr, struct err *e) {
    char hex[TEMPS_HEX + 1];
    temps_name(hex);
    return CACHE_PATH(out, e, str_cstr(repo_dir_cstr), STR("/.mlxk/"), str_cstr(hex),
                      STR(CACHE_LINKS_ENDING));
}

MLXK_FN int cache_own_open(const char *path_cstr, struct err *e) {
    struct os_stat st;
    bool there = os_lstat(path_cstr, &st) && st.kind != OS_DIR;
    bool foreign = there && (st.kind != OS_FILE || st.n_links > 1);
    if (foreign && !os_unlink(path_cstr, e)) {
        return -1;
    }
    return os_open(path_cstr, OS_WRITE_OWN, e);
}

/* Was this written by a process of this place that is gone? */
static bool temps_orphan(struct str name, struct str ending, struct str place) {
    uint64_t pid = 0;
    struct str hex = str_sub(name, 0, TEMPS_HEX);
    if (name.n != TEMPS_HEX + ending.n || !str_ends(name, ending) ||
        !str_is_hex(hex, TEMPS_HEX) || !str_starts(hex, place)) {
        return false;
    }
    for (size_t i = 2 * TEMPS_WORD; i < 4 * TEMPS_WORD; i++) {
        char c = hex.p[i];
        pid = pid << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return pid > 0 && pid != (uint64_t)os_pid() && !os_process_lives((int64_t)pid);
}

static void temps_sweep(const char *dir_cstr, struct str ending) {
    char path[LIMIT_PATH], place[2 * TEMPS_WORD + 1];
    uint8_t word[TEMPS_WORD];
    struct err ignored = { 0 };
    struct os_entry *entries;
    struct arena a;
    size_t n = 0;
    cache_here(word, sizeof word);
    str_hex(place, word, sizeof word);
    arena_init(&a, TEMPS_MEMORY);
    if (!os_list_dir(&a, dir_cstr, CACHE_MAX_ENTRIES, &entries, &n, &ignored)) {
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (temps_orphan(entries[i].name, ending, str_cstr(place)) &&
            CACHE_PATH(path, &ignored, str_cstr(dir_cstr), STR("/"), entries[i].name)) {
            os_remove_tree(path, &ignored);
        }
    }
    arena_release(&a);
}

/* A folder below the repo's; false: there cannot be one. */
static bool temps_dir(char out[LIMIT_PATH], const struct cache *c, struct str repo,
                      struct str below) {
    char folder[CACHE_FOLDER_MAX];
    struct err ignored = { 0 };
    return cache_folder_into(folder, repo, &ignored) &&
           CACHE_PATH(out, &ignored, str_cstr(c->root_cstr), STR("/"), str_cstr(folder), below);
}

MLXK_FN void cache_links_sweep(const struct cache *c, struct str repo) {
    char dir[LIMIT_PATH];
    struct err ignored = { 0 };
    if (temps_dir(dir, c, repo, STR("/.mlxk"))) {
        temps_sweep(dir, STR(CACHE_LINKS_ENDING));
        os_rmdir(dir, &ignored);                 /* when it is empty */
    }
}

MLXK_FN void cache_temps_sweep(const struct cache *c, struct str repo) {
    char dir[LIMIT_PATH];
    if (temps_dir(dir, c, repo, STR("/blobs"))) {
        temps_sweep(dir, TEMPS_ENDING);
    }
    cache_links_sweep(c, repo);
}

#undef TEMPS_ENDING
#undef TEMPS_MEMORY

/* ---- names that a file system does not take (Public) ---- */

/* FAT, exFAT and what Windows serves leave it out at the end of a name: two names become one. */
static bool temps_falls_off(char x) { return x == '.' || x == ' '; }

static bool temps_plain(struct str segment) {
    for (size_t i = 0; i < segment.n; i++) {
        unsigned char x = (unsigned char)segment.p[i];
        if (x < 0x20 || strchr("\\:*?\"<>|", x)) {
            return false;
        }
    }
    return segment.n == 0 || !temps_falls_off(segment.p[segment.n - 1]);
}

/* The name was just made in a folder of its own: does the one without what stands at its end
 * answer, too? */
static bool temps_shortened(char *path_cstr) {
    struct os_stat st;
    size_t n = strlen(path_cstr), kept = n;
    while (temps_falls_off(path_cstr[kept - 1])) {
        kept--;
    }
    char first = path_cstr[kept];
    path_cstr[kept] = '\0';
    bool answers = kept < n && path_cstr[kept - 1] != '/' && os_lstat(path_cstr, &st);
    path_cstr[kept] = first;
    return answers;
}

MLXK_FN bool cache_names_taken(const struct cache *c, struct str path, struct err *e) {
    char hex[TEMPS_HEX + 1], folder[LIMIT_PATH], name[LIMIT_PATH];
    struct err one = { 0 };
    for (struct str rest = path; rest.p && one.code == ERR_OK;) {
        struct str segment = str_cut(&rest, '/');
        if (temps_plain(segment)) {
            continue;
        }
        temps_name(hex);
        if (!CACHE_PATH(folder, e, str_cstr(c->root_cstr), STR("/.locks/"), str_cstr(hex),
                        STR(".names")) ||
            !CACHE_PATH(name, e, str_cstr(folder), STR("/"), segment)) {
            return false;
        }
        struct err ignored = { 0 };
        int fd = os_mkdirs(folder, &ignored) ? os_open(name, OS_CREATE_NEW, &one) : -1;
        if (fd >= 0) {
            if (temps_shortened(name)) {
                err_set(&one, ERR_IO, "%s takes no name that ends with '%c'", c->root_cstr,
                        segment.p[segment.n - 1]);
                err_hint(&one, "choose a place on another disk, or leave that file out");
            }
            os_close(fd);
        } else if (one.code == ERR_NOT_FOUND && temps_falls_off(name[strlen(name) - 1])) {
            one.code = ERR_IO;                   /* nothing was left of it */
        }
        os_remove_tree(folder, &ignored);
    }
    if (one.code != ERR_IO) {                    /* others tell of themselves when it is written */
        return true;
    }
    *e = one;
    return err_context(e, STR_FMT ": ", STR_ARG(path));
}
