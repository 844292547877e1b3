/* fuzz_cache_names.c: names from networks and archives: what is accepted must be safe as a path.
 *
 * covers: cache/cache_names.c:cache_name cache/cache_names.c:cache_path_fault
 * covers: cache/cache_names.c:cache_segment cache/cache_names.c:cache_etag
 * covers: cache/cache_names.c:cache_folder_name cache/cache_names.c:cache_repo_name
 * covers: cache/cache_room.c:cache_room_parse
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

int fuzz_cache_names(const uint8_t *data, size_t size);

static void fuzz_cache_path(struct str path) {
    struct err e = { 0 };
    if (!cache_path_ok(path, &e)) {
        MLXK_ASSERT(e.code == ERR_INVALID && e.msg[0]);
        return;
    }
    MLXK_ASSERT(path.n > 0 && path.p[0] != '/' && path.p[path.n - 1] != '/' && utf8_valid(path));
    MLXK_ASSERT(str_find_char(path, '\0') < 0 && str_find_char(path, '\\') < 0 &&
                str_find_char(path, '\n') < 0);
    for (struct str rest = path; rest.p;) {
        struct str part = str_cut(&rest, '/');
        MLXK_ASSERT(part.n > 0 && !str_eq(part, STR(".")) && !str_eq(part, STR("..")));
    }
}

int fuzz_cache_names(const uint8_t *data, size_t size) {
    struct arena a;
    struct err e = { 0 };
    struct str text = { (const char *)data, size };
    arena_init(&a, (size_t)1 << 24);
    fuzz_cache_path(text);
    if (cache_etag_ok(text, &e)) {
        MLXK_ASSERT(size > 0 && size <= 200 && data[0] != '.' && str_find_char(text, '/') < 0 &&
                    str_find_char(text, '\0') < 0);
    }
    err_clear(&e);
    char *folder = cache_folder_name(&a, text);
    if (folder && str_find_char(text, '\0') < 0) {
        MLXK_ASSERT(!strchr(folder, '/') && strncmp(folder, "models--", 8) == 0);
        if (cache_name_ok(text, &e)) {
            MLXK_ASSERT(str_eq(cache_repo_name(&a, str_cstr(folder)), text));
            MLXK_ASSERT(strlen(folder) <= 255);
        }
    }
    (void)cache_repo_name(&a, text);
    uint64_t bytes;
    struct str brings;
    if (cache_room_parse(text, &bytes, &brings)) {
        MLXK_ASSERT(bytes <= INT64_MAX && size == 20 + 1 + brings.n + 1);
    }
    arena_release(&a);
    return 0;
}
