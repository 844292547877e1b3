/* fuzz_rel_tag.c: any text as a tag, a version, a range, and a name to be made fit.
 *
 * Besides not crashing: a version prints as it was read, and a name made fit stays a branch in a tag.
 *
 * covers: release/rel_tag.c
 * covers: release/rel_version.c
 */
#include "release/rel_int.h"

int fuzz_rel_tag(const uint8_t *data, size_t size);

int fuzz_rel_tag(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size }, made;
    struct arena a;
    struct err e = { 0 };
    struct rel_tag t;
    struct rel_version v, next;
    struct rel_range r;
    if (size > 4096) return 0;
    arena_init(&a, (size_t)4 << 20);
    rel_tag_parse(text, STR_EMPTY, &t);
    rel_tag_parse(text, STR("ham"), &t);
    MLXK_ASSERT(rel_tag_kind_name(t.kind) != NULL);
    if (rel_version_parse(text, &v)) {
        MLXK_ASSERT(str_eq(rel_version_text(&a, &v), text) && rel_version_cmp(&v, &v) == 0);
        for (int b = REL_BUMP_PATCH; b <= REL_BUMP_MAJOR; b++)
            if (rel_version_next(&v, (enum rel_bump)b, &next, &e)) MLXK_ASSERT(rel_version_cmp(&next, &v) > 0);
        MLXK_ASSERT(rel_range_parse(text, &r) && rel_range_has(&r, &v));
    }
    if (rel_range_parse(text, &r)) (void)rel_range_has(&r, &(struct rel_version){ 1, 2, 3, STR_EMPTY });
    err_clear(&e);
    if (rel_sanitise(&a, text, REL_MAX_BRANCH, &made, &e)) {
        struct str tag = str_format(&a, STR_FMT "-clean-ba9876543210", STR_ARG(made));
        MLXK_ASSERT(made.n > 0 && made.n <= REL_MAX_BRANCH && oci_tag_ok(tag));
        rel_tag_parse(tag, STR_EMPTY, &t);
        MLXK_ASSERT(t.kind == REL_TAG_BRANCH && str_eq(t.branch, made));
    }
    (void)rel_name_ok(text, &e);
    arena_release(&a);
    return 0;
}
