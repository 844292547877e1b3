/* cli_oci_fetch.c: a model of a registry or layout into the cache, as `pull`, `from` and the
 * commands that use models bring it.
 *
 *  1. A tag vX or vX.Y means the highest release of that line that the repository has, whatever a
 *     tag of that name points to; without such a release it is a tag like others. The cache keeps
 *     both names.
 *  2. What this machine's policy says is asked before the first file is fetched.
 */
#include "cli/cli_oci.h"
#include "cli/cli_sign.h"
#include "release/release.h"

MLXK_FN bool cli_oci_highest(struct cli_context *c, struct oci *o, struct str wanted,
                             struct str *tag) {
    struct oci_names names;
    struct rel_range range;
    struct rel_version best = { 0, 0, 0, STR_EMPTY };
    struct str name;
    *tag = STR_EMPTY;
    if (!rel_whose_range(wanted, &name, &range)) {
        err_set(&c->err, ERR_INVALID, "'" STR_FMT "' is no version and no range",
                STR_ARG(str_sub(wanted, 0, 64)));
        return err_hint(&c->err, "v1.2.3, v1, v1.2, ^1.2.3, ~1.2.3 or latest");
    }
    if (!oci_tags(&c->arena, o, &names, &c->err)) return false;
    for (size_t i = 0; i < names.n; i++) {
        struct rel_tag t;
        rel_tag_parse(names.names[i], STR_EMPTY, &t);
        if (t.kind != REL_TAG_RELEASE || !str_eq(t.name, name)
            || !rel_range_has(&range, &t.version))
            continue;
        if (tag->n && rel_version_cmp(&t.version, &best) <= 0) continue;
        best = t.version;
        *tag = names.names[i];
    }
    return true;
}

/* vX and vX.Y, with a model's name in front or not: no exact version, no sign, no word. */
static bool cli_oci_floats(struct str tag) {
    struct rel_range range;
    struct rel_tag t;
    rel_tag_parse(tag, STR_EMPTY, &t);
    return t.kind == REL_TAG_ALIAS && str_starts(t.alias, STR("v"))
           && rel_range_parse(t.alias, &range) && !range.exact;
}

static bool cli_oci_settle(struct cli_context *c, struct oci *o, struct oci_ref *ref,
                           struct str *also) {
    struct str tag;
    *also = STR_EMPTY;
    if (ref->digest.n || !cli_oci_floats(ref->tag)) return true;
    if (!cli_oci_highest(c, o, ref->tag, &tag)) return false;
    if (!tag.n) return true;
    *also = ref->tag;
    ref->tag = tag;
    return true;
}

MLXK_FN bool cli_oci_fetch(struct cli_context *c, struct oci_ref *ref, uint64_t limit_bytes_per_s,
                           struct oci_pull_options *options, struct oci_pull_result *out) {
    struct cli_oci progress;
    cli_oci_begin(&progress, c);
    progress.limit_bytes_per_s = limit_bytes_per_s;
    struct oci *o = cli_oci_open(&progress, ref, false, true);
    struct str pinned = options->digest;
    struct cli_sign_verdict judged = { STR_EMPTY, STR_EMPTY };
    bool ok = o && (pinned.n || cli_oci_settle(c, o, ref, &options->also))
              && cli_sign_judge(c, o, ref, &judged);
    if (ok && pinned.n && judged.digest.n && !str_eq(pinned, judged.digest))
        ok = err_set(&c->err, ERR_INTEGRITY,
                     "the policy judged another artifact than the one that is asked for");
    if (judged.digest.n) options->digest = judged.digest;
    ok = ok && oci_pull(&c->arena, o, oci_ref_what(ref), &c->cache, options, out, &c->err)
         && (options->dry_run || cli_sign_keep(c, &judged, out));
    oci_close(o);
    cli_oci_end(&progress);
    return ok;
}

MLXK_FN bool cli_oci_bring(struct cli_context *c, struct oci_ref *ref) {
    struct oci_pull_options options = { .dry_run = false };
    struct oci_pull_result result;
    cli_note(c, "note: " STR_FMT " is not in the cache yet and is fetched",
             STR_ARG(oci_ref_text(&c->arena, ref)));
    return cli_oci_fetch(c, ref, 0, &options, &result);
}
