/* fuzz_oci_auth.c: any text as a challenge, as a Link field, as a file of credentials and as registries.conf.
 *
 * Besides not crashing: a Bearer challenge has a realm, a link points into its field, a helper's name is
 * one.
 *
 * covers: oci/oci_auth.c:oci_challenge oci/oci_auth.c:oci_auth_value oci/oci_auth.c:oci_auth_word
 * covers: oci/oci_list.c:oci_link oci/oci_list.c:oci_list_is_next
 * covers: oci/oci_creds.c:oci_creds_parse oci/oci_creds.c:oci_creds_entry oci/oci_creds.c:oci_creds_fits
 * covers: oci/oci_conf.c:oci_conf_parse oci/oci_conf.c:oci_conf_line oci/oci_conf.c:oci_conf_value
 * covers: oci/oci_conf.c:oci_conf_text
 * covers: oci/oci_conf.c:oci_conf_open oci/oci_conf.c:oci_conf_add oci/oci_conf.c:oci_conf_bare
 * covers: oci/oci_conf.c:oci_conf_find
 */
#include "oci/oci_int.h"

int fuzz_oci_auth(const uint8_t *data, size_t size);

int fuzz_oci_auth(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size }, helper;
    struct arena a;
    struct err e = { 0 };
    struct oci_challenge ch = { 0 };
    struct oci_creds creds;
    arena_init(&a, (size_t)64 << 20);
    (void)oci_challenge_parse(&a, text, &ch);
    MLXK_ASSERT(ch.scheme != OCI_AUTH_BEARER || ch.realm.n);
    struct str next = oci_link_next(text);
    MLXK_ASSERT(next.n == 0 || (next.p >= text.p && next.p + next.n <= text.p + text.n));
    if (oci_creds_parse(&a, text, STR("r.example"), STR("org/m"), &creds, &helper, &e)) MLXK_ASSERT(!helper.n);
    if (e.code == ERR_OK && helper.n) MLXK_ASSERT(str_find_char(helper, '/') < 0 && helper.n < 100);
    struct oci_conf conf;
    err_clear(&e);
    if (oci_conf_parse(&a, text, &conf, &e))
        for (size_t i = 0; i < conf.n; i++) {
            const struct oci_conf_registry *x = &conf.registries[i];
            MLXK_ASSERT(str_find_char(x->location, '"') < 0 && x->n_mirrors <= OCI_MAX_MIRRORS);
            (void)oci_conf_find(&conf, STR("r.example"), STR("org/m"));
        }
    arena_release(&a);
    return 0;
}
