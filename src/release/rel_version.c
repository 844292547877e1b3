/* rel_version.c: numbers of releases: read, ordered, counted up, and ranges of them.
 *
 * Knows nothing of tags, models or registries.
 *
 * 1. rel_version_cmp is a total order; a release of a branch stands below the release of its
 *    number.
 * 2. The next version is greater than the one it follows.
 * ref    Semantic Versioning 2.0.0, items 2, 9 and 11; build metadata does not occur.
 */
#include "release/release.h"

/* ---- reading ---- */

static bool rel_version_number(struct str s, uint32_t *out) {
    uint64_t x;
    if (s.n == 0 || s.n > 9 || (s.n > 1 && s.p[0] == '0')) return false;
    if (!num_parse_u64(s, REL_MAX_NUMBER, &x)) return false;
    *out = (uint32_t)x;
    return true;
}

static bool rel_version_is_branch(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '_' && c != '-') return false;
    }
    return s.n > 0;
}

/* Up to three numbers with dots; what follows a '-' is the branch. *n: how many numbers. */
static bool rel_version_read(struct str s, struct rel_version *out, size_t *n) {
    uint32_t *const fields[] = { &out->major, &out->minor, &out->patch };
    ptrdiff_t dash = str_find_char(s, '-');
    struct str rest = dash < 0 ? s : str_sub(s, 0, (size_t)dash);
    *out = (struct rel_version){ 0 };
    for (*n = 0; rest.p; (*n)++)
        if (*n == 3 || !rel_version_number(str_cut(&rest, '.'), fields[*n])) return false;
    if (dash < 0) return *n > 0;
    out->branch = str_sub(s, (size_t)dash + 1, s.n);
    return *n == 3 && rel_version_is_branch(out->branch);
}

MLXK_FN bool rel_version_parse(struct str text, struct rel_version *out) {
    size_t n;
    return str_starts(text, STR("v")) && rel_version_read(str_sub(text, 1, text.n), out, &n)
           && n == 3;
}

/* ---- order ---- */

static int rel_version_compare_numbers(uint32_t x, uint32_t y) {
    return x < y ? -1 : x > y;
}

static bool rel_version_is_digits(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return s.n > 0;
}

/* Digits as numbers of any length: leading zeros do not count, then the longer is greater. */
static int rel_version_compare_digits(struct str x, struct str y) {
    while (x.n > 1 && x.p[0] == '0') x = str_sub(x, 1, x.n);
    while (y.n > 1 && y.p[0] == '0') y = str_sub(y, 1, y.n);
    return x.n != y.n ? (x.n < y.n ? -1 : 1) : str_cmp(x, y);
}

static int rel_version_compare_part(struct str x, struct str y) {
    bool digits_x = rel_version_is_digits(x), digits_y = rel_version_is_digits(y);
    if (digits_x != digits_y) return digits_x ? -1 : 1;
    return digits_x ? rel_version_compare_digits(x, y) : str_cmp(x, y);
}

static int rel_version_compare_branches(struct str x, struct str y) {
    struct str rest_x = x, rest_y = y;
    if (!x.n || !y.n) return x.n ? -1 : y.n > 0;
    while (rest_x.p && rest_y.p) {
        int c = rel_version_compare_part(str_cut(&rest_x, '.'), str_cut(&rest_y, '.'));
        if (c) return c;
    }
    if (rest_x.p || rest_y.p) return rest_x.p ? 1 : -1;
    return str_cmp(x, y);        /* "1" and "01" are not one */
}

MLXK_FN int rel_version_cmp(const struct rel_version *x, const struct rel_version *y) {
    int c = rel_version_compare_numbers(x->major, y->major);
    if (!c) c = rel_version_compare_numbers(x->minor, y->minor);
    if (!c) c = rel_version_compare_numbers(x->patch, y->patch);
    return c ? c : rel_version_compare_branches(x->branch, y->branch);
}

/* ---- counting up ---- */

MLXK_FN bool rel_version_next(const struct rel_version *v, enum rel_bump bump,
                              struct rel_version *out, struct err *e) {
    struct rel_version x = { v->major, v->minor, v->patch, STR_EMPTY };
    uint32_t *field = bump == REL_BUMP_MAJOR   ? &x.major
                      : bump == REL_BUMP_MINOR ? &x.minor
                      : bump == REL_BUMP_PATCH ? &x.patch
                                               : NULL;
    if (field && *field == REL_MAX_NUMBER)
        return err_set(e, ERR_LIMIT,
                       "no version follows v%u.%u.%u: a number has at most nine digits",
                       (unsigned)v->major, (unsigned)v->minor, (unsigned)v->patch);
    if (field) (*field)++;
    if (bump == REL_BUMP_MAJOR) x.minor = 0;
    if (bump == REL_BUMP_MAJOR || bump == REL_BUMP_MINOR) x.patch = 0;
    *out = x;
    return true;
}

MLXK_FN struct str rel_version_text(struct arena *a, const struct rel_version *v) {
    return str_format(a, "v%u.%u.%u%s" STR_FMT, (unsigned)v->major, (unsigned)v->minor,
                      (unsigned)v->patch, v->branch.n ? "-" : "", STR_ARG(v->branch));
}

MLXK_FN const char *rel_bump_name(enum rel_bump b) {
    static const char *const names[] = { "none", "patch", "minor", "major" };
    return names[b];
}

/* ---- ranges ---- */

/* What stands above every version of the range: a major, or a major and a minor. */
static void rel_range_high(struct rel_range *r, bool minor) {
    r->has_high = true;
    r->high_major = minor ? r->low.major : r->low.major + 1;
    r->high_minor = minor ? r->low.minor + 1 : 0;
}

MLXK_FN bool rel_range_parse(struct str text, struct rel_range *out) {
    char sign = text.n && (text.p[0] == '^' || text.p[0] == '~') ? text.p[0] : 0;
    struct str s = str_sub(text, sign != 0, text.n);
    size_t n;
    *out = (struct rel_range){ 0 };
    if (str_eq(text, STR("latest"))) return true;
    if (str_starts(s, STR("v"))) s = str_sub(s, 1, s.n);
    if (!rel_version_read(s, &out->low, &n)) return false;
    if (sign && out->low.branch.n) return false;
    out->exact = n == 3 && !sign;
    if (!out->exact) rel_range_high(out, n > 1 && sign != '^');
    return true;
}

MLXK_FN bool rel_range_has(const struct rel_range *r, const struct rel_version *v) {
    if (r->exact) return rel_version_cmp(&r->low, v) == 0;
    if (v->branch.n || rel_version_cmp(v, &r->low) < 0) return false;
    return !r->has_high || v->major < r->high_major
           || (v->major == r->high_major && v->minor < r->high_minor);
}
