/* hub_filter.c: which files of a commit are wanted. Pure.
 *
 * Patterns are those of Python's fnmatchcase over the whole path: '*' crosses '/'. ref: hub facts
 * 3.8.
 */
#include "hub/hub_int.h"

MLXK_FN bool hub_filter_prepare(struct arena *a, const struct str *patterns, size_t n,
                                struct str **out, struct err *e) {
    *out = ARENA_ARRAY(a, struct str, n);
    for (size_t i = 0; *out && i < n; i++) {
        bool folder = str_ends(patterns[i], STR("/")) || str_ends(patterns[i], STR("\\"));
        struct str s = str_concat(a, patterns[i], folder ? STR("*") : STR(""));
        char *copy = str_dup_cstr(a, s);
        if (!copy) return err_oom(e, s.n, "a pattern");
        for (size_t k = 0; k < s.n; k++)
            if (copy[k] == '\\') copy[k] = '/';
        (*out)[i] = (struct str){ copy, s.n };
    }
    return *out || err_oom(e, n * sizeof **out, "patterns");
}

static bool hub_filter_any(const struct str *patterns, size_t n, struct str path) {
    for (size_t i = 0; i < n; i++)
        if (str_glob(patterns[i], path)) return true;
    return false;
}

MLXK_FN bool hub_filter_keeps(const struct str *include, size_t n_include,
                              const struct str *exclude, size_t n_exclude, struct str path) {
    return (n_include == 0 || hub_filter_any(include, n_include, path))
           && !hub_filter_any(exclude, n_exclude, path);
}
