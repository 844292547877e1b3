/* care_when.c: ages ("7d") and dates ("2026-03-14") as people write them. Pure.
 *
 * A month counts 30 days and a year 365: ages are for cleaning up, not for calendars.
 */
#include "care/care.h"

static const struct { const char *unit_cstr; int64_t seconds; } care_when_units[] = {
    { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 }, { "w", 604800 }, { "mo", 2592000 },
    { "y", 31536000 },
};

MLXK_FN bool care_parse_age(struct str text, int64_t *out_ns, struct err *e) {
    size_t digits = 0;
    int64_t n;
    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9') digits++;
    struct str unit = str_sub(text, digits, text.n);
    for (size_t i = 0; i < MLXK_COUNT(care_when_units); i++) {
        int64_t most = INT64_MAX / 1000000000 / care_when_units[i].seconds;
        if (str_eq_cstr(unit, care_when_units[i].unit_cstr) &&
            num_parse_i64(str_sub(text, 0, digits), 0, most, &n)) {
            *out_ns = n * care_when_units[i].seconds * 1000000000;
            return true;
        }
    }
    err_set(e, ERR_INVALID, "'" STR_FMT "' is no span of time", STR_ARG(text));
    return err_hint(e, "write 90s, 30m, 12h, 7d, 2w, 6mo or 1y");
}

/* Days since 1970-01-01 of a date of the Gregorian calendar (March is the first month here, so that
 * the leap day ends a year). */
static int64_t care_when_days(int64_t year, int64_t month, int64_t day) {
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool care_when_number(struct str *rest, size_t n, char end, int64_t min, int64_t max,
                             int64_t *out) {
    bool ok = num_parse_i64(str_sub(*rest, 0, n), min, max, out) && rest->n >= n &&
              (rest->n == n ? end == '\0' || end == 'T' || end == 'Z' : rest->p[n] == end);
    *rest = str_sub(*rest, n + 1, rest->n);
    return ok;
}

static int64_t care_when_month_days(int64_t year, int64_t month) {
    static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

MLXK_FN bool care_parse_when(struct str text, int64_t now_ns, int64_t *out_ns, struct err *e) {
    struct err none = { 0 };
    int64_t age_ns, year, month, day, hour = 0, minute = 0, second = 0;
    struct str rest = text;
    if (care_parse_age(text, &age_ns, &none)) {
        *out_ns = now_ns > age_ns ? now_ns - age_ns : 0;
        return true;
    }
    bool ok = care_when_number(&rest, 4, '-', 1970, 2200, &year) &&
              care_when_number(&rest, 2, '-', 1, 12, &month) &&
              care_when_number(&rest, 2, 'T', 1, care_when_month_days(year, month), &day);
    if (ok && rest.n)
        ok = care_when_number(&rest, 2, ':', 0, 23, &hour) &&
             care_when_number(&rest, 2, ':', 0, 59, &minute) &&
             care_when_number(&rest, 2, 'Z', 0, 60, &second) && rest.n == 0;
    if (!ok) {
        err_set(e, ERR_INVALID, "'" STR_FMT "' is neither a span of time nor a date",
                STR_ARG(text));
        return err_hint(e, "write 7d, 12h, 2026-03-14 or 2026-03-14T15:09:26Z (UTC)");
    }
    *out_ns = (care_when_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second) *
              1000000000;
    return true;
}
