/* fuzz_safet_index.c: shard indexes; an accepted one names plain files only.
 *
 * covers: format/safet_read.c
 */
#include "format/format.h"

int fuzz_safet_index(const uint8_t *data, size_t size);

int fuzz_safet_index(const uint8_t *data, size_t size) {
    struct arena a;
    struct err e = { 0 };
    struct safet_index index;
    arena_init(&a, 64 << 20);
    bool ok = safet_index_parse(&a, (struct str){ (const char *)data, size }, &index, &e);
    MLXK_ASSERT(ok == (e.code == ERR_OK));
    MLXK_ASSERT(index.n_files <= index.n);
    for (size_t i = 0; i < index.n_files; i++) {
        struct str name = index.files[i];
        MLXK_ASSERT(name.n > 0 && name.n <= SAFET_MAX_FILE_NAME && str_find_char(name, '/') < 0);
    }
    for (size_t i = 0; i < index.n; i++) {
        MLXK_ASSERT(index.file_names[i].n > 0 && utf8_valid(index.tensor_names[i]));
    }
    arena_release(&a);
    return 0;
}
