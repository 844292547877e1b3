/* rel_age.c: how old a state is. Artifacts of ours hold no time, so that equal files give equal
 * bytes; others tell it.
 *
 *   the manifest's own word (created) -> when a layout got it -> when its commit was made
 *
 * 1. Nothing is guessed: without a word of somebody the age is unknown.
 * ref    RFC 3339; OCI annotations (org.opencontainers.image.created).
 */
#include "release/rel_int.h"

#define REL_AGE_CREATED "org.opencontainers.image.created"

/* Two or four digits at the front of *s, and what must stand behind them; -1 = no. */
static int rel_age_digits(struct str *s, size_t n, const char *behind_cstr) {
    int value = 0;
    if (s->n < n + strlen(behind_cstr)) return -1;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9') return -1;
        value = value * 10 + (s->p[i] - '0');
    }
    *s = str_sub(*s, n, s->n);
    if (!*behind_cstr) return value;
    if (!s->n || !strchr(behind_cstr, s->p[0])) return -1;
    *s = str_sub(*s, 1, s->n);
    return value;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t rel_age_days(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400,
            of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

MLXK_FN bool rel_age_parse(struct str text, int64_t *time_s) {
    struct str s = text;
    int year = rel_age_digits(&s, 4, "-"), month = rel_age_digits(&s, 2, "-"),
        day = rel_age_digits(&s, 2, "Tt "), hour = rel_age_digits(&s, 2, ":"),
        minute = rel_age_digits(&s, 2, ":"), second = rel_age_digits(&s, 2, "");
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23
        || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    if (s.n && s.p[0] == '.')
        for (s = str_sub(s, 1, s.n); s.n && s.p[0] >= '0' && s.p[0] <= '9';)
            s = str_sub(s, 1, s.n);
    int64_t shift = 0;
    if (s.n == 6 && (s.p[0] == '+' || s.p[0] == '-')) {
        bool west = s.p[0] == '-';
        s = str_sub(s, 1, s.n);
        int hours = rel_age_digits(&s, 2, ":"), minutes = rel_age_digits(&s, 2, "");
        if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
        shift = (hours * 60 + minutes) * (west ? -60 : 60);
    } else if (!str_eq(s, STR("Z")) && !str_eq(s, STR("z"))) {
        return false;
    }
    *time_s = rel_age_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - shift;
    return true;
}

/* When the layout got the manifest. */
static bool rel_age_of_file(struct arena *a, struct oci *o, struct str digest, int64_t *time_s) {
    const struct oci_ref *r = oci_where(o);
    struct os_stat st;
    if (r->kind != OCI_DIR) return false;
    struct str path = str_format(a, "%s/blobs/sha256/" STR_FMT "%c", r->path_cstr,
                                 STR_ARG(oci_digest_hex(digest)), 0);
    if (!path.p || !os_stat(path.p, &st)) return false;
    *time_s = st.mtime_ns / 1000000000;
    return true;
}

MLXK_FN bool rel_age_of(struct arena *a, struct oci *o, struct rel_entry *x,
                        const char *git_dir_cstr /* or NULL */, int64_t *time_s, bool *known,
                        struct err *e) {
    *known = false;
    if (!rel_entry_read(a, o, x, e)) return false;
    struct str created =
        oci_annotation(x->manifest.annotations, x->manifest.n_annotations, REL_AGE_CREATED);
    *known = rel_age_parse(created, time_s) || rel_age_of_file(a, o, x->digest, time_s);
    if (*known || !git_dir_cstr || !x->git.n) return true;
    return rel_git_commit_time(a, git_dir_cstr, x->git, time_s, known, e);
}

#undef REL_AGE_CREATED
