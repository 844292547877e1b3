/* rel_bump.c: which number goes up: the table of the policy, and nothing else.
 *
 *   asked for major, or the interface moved       major
 *   logic or weights moved                        minor: what a model answers may differ
 *   docs moved, or files that no hash counts      patch, when asked for
 *   nothing                                       no release
 *
 * 1. The first row that fits wins. "patch" is never a way round a row above its own.
 */
#include "release/release.h"

static struct rel_moves rel_moves_of(const struct rel_hashes *base, struct str base_digest,
                                     const struct rel_hashes *now, struct str now_digest) {
    return (struct rel_moves){
        .iface = strcmp(base->iface, now->iface) != 0,
        .logic = strcmp(base->logic, now->logic) != 0,
        .weights = strcmp(base->weights, now->weights) != 0,
        .docs = strcmp(base->docs, now->docs) != 0,
        .bytes = base_digest.n && now_digest.n && !str_eq(base_digest, now_digest),
    };
}

MLXK_FN struct rel_decision rel_decide(const struct rel_hashes *base, struct str base_digest,
                                       const struct rel_hashes *now, struct str now_digest,
                                       const struct rel_wish *wish) {
    struct rel_decision d = { .verdict = REL_FIRST, .bump = REL_BUMP_NONE };
    if (!base) return d;
    d.verdict = REL_NEXT;
    d.moved = rel_moves_of(base, base_digest, now, now_digest);
    bool more = d.moved.iface || d.moved.logic || d.moved.weights;
    if (wish->force_major) d.bump = REL_BUMP_MAJOR;
    else if (more && wish->patch) d.verdict = REL_NOT_A_PATCH;
    else if (d.moved.iface) d.bump = REL_BUMP_MAJOR;
    else if (more) d.bump = REL_BUMP_MINOR;
    else if (!d.moved.docs && !d.moved.bytes) d.verdict = REL_SAME;
    else if (wish->patch) d.bump = REL_BUMP_PATCH;
    else d.verdict = REL_DOCS_ONLY;
    return d;
}
