/* fuzz_oci_manifest.c: any text as a manifest or index.
 *
 * Besides not crashing: what is read is written in one way, which reads and writes as itself; the names
 * of its files stay inside a folder and are not twice there.
 *
 * covers: oci/oci_manifest.c
 */
#include "oci/oci_int.h"

int fuzz_oci_manifest(const uint8_t *data, size_t size);

int fuzz_oci_manifest(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size }, *paths;
    struct arena a;
    struct err e = { 0 };
    struct oci_manifest m, again;
    arena_init(&a, (size_t)128 << 20);
    if (oci_manifest_parse(&a, text, STR_EMPTY, &m, &e)) {
        again = m;
        if (oci_manifest_make(&a, &again, &e)) {
            struct oci_manifest third = again;
            MLXK_ASSERT(oci_manifest_make(&a, &third, &e) && str_eq(third.text, again.text));
            MLXK_ASSERT(again.n_layers == m.n_layers && again.has_subject == m.has_subject);
        }
        for (size_t i = 0; i < m.n_layers; i++) MLXK_ASSERT(oci_digest_ok(m.layers[i].digest));
        err_clear(&e);
        if (oci_manifest_files(&a, &m, &paths, &e))
            for (size_t i = 0; i < m.n_layers; i++)
                MLXK_ASSERT(paths[i].n && paths[i].p[0] != '/' && str_find(paths[i], STR("../")) < 0);
    }
    arena_release(&a);
    return 0;
}
