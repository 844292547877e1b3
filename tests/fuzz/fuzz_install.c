/* fuzz_install.c: any manifest as a client or package that wants into a Python environment.
 *
 * Besides not crashing: every file lies below the module's folder, and that folder follows from name and
 * version alone.
 *
 * covers: release/rel_install.c
 */
#include "release/rel_int.h"

int fuzz_install(const uint8_t *data, size_t size);

int fuzz_install(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size };
    struct arena a;
    struct err e = { 0 };
    struct oci_manifest m;
    struct rel_install in;
    arena_init(&a, (size_t)128 << 20);
    if (oci_manifest_parse(&a, text, STR_EMPTY, &m, &e) && rel_install_read(&a, &m, &in, &e)) {
        size_t n = 0;
        MLXK_ASSERT(in.leaf.n && in.leaf.p[0] != '/' && in.leaf.p[0] != '.' && str_find(in.leaf, STR("..")) < 0);
        MLXK_ASSERT(str_ends(in.info, STR(".dist-info")) && str_find_char(in.info, '/') < 0);
        for (size_t i = 0; i < m.n_layers; i++) {
            if (!in.paths[i].n) continue;
            MLXK_ASSERT(in.paths[i].p[0] != '/' && str_find(in.paths[i], STR("..")) != 0
                        && str_find(in.paths[i], STR("/../")) < 0 && oci_digest_hex(m.layers[i].digest).n == 64);
            n++;
        }
        MLXK_ASSERT(n == in.n_files && n > 0);
    }
    arena_release(&a);
    return 0;
}
