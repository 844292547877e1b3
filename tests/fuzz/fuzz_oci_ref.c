/* fuzz_oci_ref.c: any text as a reference to an artifact.
 *
 * Besides not crashing: what is accepted is safe in a URL, its full form parses to itself, and the name
 * it gets in the cache is one that the cache takes.
 *
 * covers: oci/oci_ref.c
 */
#include "oci/oci_int.h"

int fuzz_oci_ref(const uint8_t *data, size_t size);

int fuzz_oci_ref(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size };
    struct arena a;
    struct err e = { 0 };
    struct oci_ref r, again;
    arena_init(&a, (size_t)4 << 20);
    if (oci_ref_parse(&a, text, &r, &e)) {
        struct str full = oci_ref_text(&a, &r), model = oci_ref_model(&a, &r);
        MLXK_ASSERT(oci_ref_parse(&a, full, &again, &e) && str_eq(oci_ref_text(&a, &again), full));
        MLXK_ASSERT(r.kind == again.kind && str_eq(r.tag, again.tag) && str_eq(r.digest, again.digest));
        MLXK_ASSERT(!r.tag.n || oci_tag_ok(r.tag));
        MLXK_ASSERT(!r.digest.n || oci_digest_ok(r.digest));
        if (r.kind == OCI_REGISTRY) {
            struct net_url u;
            struct str url = str_format(&a, "https://" STR_FMT "/v2/" STR_FMT "/x", STR_ARG(r.host), STR_ARG(r.repo));
            MLXK_ASSERT(oci_repo_ok(r.repo) && net_url_parse(&a, url, &u, &e));
        }
        MLXK_ASSERT(cache_name_ok(model, &e));
    } else {
        MLXK_ASSERT(e.code == ERR_INVALID || e.code == ERR_NO_MEMORY);
    }
    (void)oci_host_is_loopback(text);
    if (oci_model_is(text)) MLXK_ASSERT(!oci_model_below(text, STR("no.such.host")) || str_starts(text, STR("no.such.host")));
    arena_release(&a);
    return 0;
}
