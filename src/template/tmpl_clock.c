/* tmpl_clock.c: strftime_now(format): the given clock in the C locale, without a time zone.
 *
 * 1. Pure: the clock is an argument of the render, so that tests and caches see what they set.
 * 2. An unknown directive is printed as it stands, as the C library of most systems does.
 * Spec: C11 7.27.3.5 with the GNU flags "-" (no padding), "_" (spaces) and "0"; ISO 8601 week
 * numbers.
 */
#include "template/tmpl_int.h"

static const char *const tmpl_clock_months[] = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December",
};
static const char *const tmpl_clock_days[] = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
};

static bool tmpl_clock_leap(int year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Day of the year, 0 = 1 January. */
static int tmpl_clock_year_day(const struct tmpl_clock *c) {
    static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    return before[c->month - 1] + c->day - 1 + (c->month > 2 && tmpl_clock_leap(c->year));
}

/* Days since 1970-01-01. */
static int64_t tmpl_clock_days_since(const struct tmpl_clock *c) {
    int64_t y = (int64_t)c->year - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 - 719162 + tmpl_clock_year_day(c);
}

/* 0 = Sunday; year >= 1. */
static int tmpl_clock_week_day(const struct tmpl_clock *c) {
    int64_t d = (tmpl_clock_days_since(c) + 4) % 7;
    return (int)(d < 0 ? d + 7 : d);
}

/* ISO 8601: the week holds its year's Thursday. */
static int tmpl_clock_iso(const struct tmpl_clock *c, int *year) {
    int yd = tmpl_clock_year_day(c), wd = (tmpl_clock_week_day(c) + 6) % 7; /* wd: 0 = Monday */
    int week = (yd - wd + 10) / 7;
    *year = c->year;
    if (week < 1) {
        struct tmpl_clock last = { .year = c->year - 1, .month = 12, .day = 31 };
        return tmpl_clock_iso(&last, year);
    }
    int new_year = ((wd - yd) % 7 + 7) % 7;                   /* weekday of 1 January */
    bool long_year = new_year == 3 || (new_year == 2 && tmpl_clock_leap(c->year));
    if (week == 53 && !long_year) {
        *year = c->year + 1;
        return 1;
    }
    return week;
}

static void tmpl_clock_number(struct tmpl_run *r, struct tmpl_out *o, int64_t x, int width,
                              char pad, char flag) {
    pad = flag == '_' ? ' ' : flag == '0' ? '0' : pad;
    struct str s = flag == '-' ? str_format(r->a, "%lld", (long long)x)
                 : pad == ' ' ? str_format(r->a, "%*lld", width, (long long)x)
                              : str_format(r->a, "%0*lld", width, (long long)x);
    tmpl_out_add(r, o, s, false);
}

static bool tmpl_clock_names(struct tmpl_run *r, struct tmpl_out *o, char code) {
    const struct tmpl_clock *c = r->now;
    struct str day = str_cstr(tmpl_clock_days[tmpl_clock_week_day(c)]);
    struct str month = str_cstr(tmpl_clock_months[c->month - 1]);
    switch (code) {
    case 'a': tmpl_out_add(r, o, str_sub(day, 0, 3), false); return true;
    case 'A': tmpl_out_add(r, o, day, false); return true;
    case 'b': case 'h': tmpl_out_add(r, o, str_sub(month, 0, 3), false); return true;
    case 'B': tmpl_out_add(r, o, month, false); return true;
    case 'p': tmpl_out_add(r, o, c->hour < 12 ? STR("AM") : STR("PM"), false); return true;
    case 'P': tmpl_out_add(r, o, c->hour < 12 ? STR("am") : STR("pm"), false); return true;
    case 'n': tmpl_out_add(r, o, STR("\n"), false); return true;
    case 't': tmpl_out_add(r, o, STR("\t"), false); return true;
    case '%': tmpl_out_add(r, o, STR("%"), false); return true;
    case 'z': case 'Z': return true;
    default: return false;
    }
}

static bool tmpl_clock_numbers(struct tmpl_run *r, struct tmpl_out *o, char code, char flag) {
    const struct tmpl_clock *c = r->now;
    int iso_year = 0, week_day = tmpl_clock_week_day(c), year_day = tmpl_clock_year_day(c);
    int iso_week = tmpl_clock_iso(c, &iso_year);
    int64_t x = 0;
    int width = 2;
    char pad = '0';
    switch (code) {
    case 'Y': x = c->year; width = 1; break;
    case 'C': x = c->year / 100; break;
    case 'y': x = c->year % 100; break;
    case 'm': x = c->month; break;
    case 'd': x = c->day; break;
    case 'e': x = c->day; pad = ' '; break;
    case 'H': x = c->hour; break;
    case 'k': x = c->hour; pad = ' '; break;
    case 'I': x = (c->hour + 11) % 12 + 1; break;
    case 'l': x = (c->hour + 11) % 12 + 1; pad = ' '; break;
    case 'M': x = c->minute; break;
    case 'S': x = c->second; break;
    case 'f': x = 0; width = 6; break;
    case 'j': x = year_day + 1; width = 3; break;
    case 'u': x = week_day ? week_day : 7; width = 1; break;
    case 'w': x = week_day; width = 1; break;
    case 'U': x = (year_day + 7 - week_day) / 7; break;
    case 'W': x = (year_day + 7 - (week_day + 6) % 7) / 7; break;
    case 'V': x = iso_week; break;
    case 'G': x = iso_year; width = 1; break;
    case 'g': x = iso_year % 100; break;
    case 's':
        x = tmpl_clock_days_since(c) * 86400 + c->hour * 3600 + c->minute * 60 + c->second;
        width = 1;
        break;
    default: return false;
    }
    tmpl_clock_number(r, o, x, width, pad, flag);
    return true;
}

/* Directives that stand for others. */
static const char *tmpl_clock_expand(char code) {
    switch (code) {
    case 'c': return "%a %b %e %H:%M:%S %Y";
    case 'x': case 'D': return "%m/%d/%y";
    case 'X': case 'T': return "%H:%M:%S";
    case 'F': return "%Y-%m-%d";
    case 'R': return "%H:%M";
    case 'r': return "%I:%M:%S %p";
    default: return NULL;
    }
}

static void tmpl_clock_put(struct tmpl_run *r, struct tmpl_out *o, struct str format) {
    for (size_t i = 0; i < format.n && tmpl_work(r, 1); i++) {
        size_t begin = i;
        if (format.p[i] != '%' || i + 1 >= format.n) {
            tmpl_out_add(r, o, str_sub(format, i, i + 1), false);
            continue;
        }
        i++;
        char flag =
            (format.p[i] == '-' || format.p[i] == '_' || format.p[i] == '0') && i + 1 < format.n
                ? format.p[i]
                : '\0';
        i += flag != '\0';
        const char *expanded_cstr = tmpl_clock_expand(format.p[i]);
        if (expanded_cstr) {
            tmpl_clock_put(r, o, str_cstr(expanded_cstr));
        } else if (!tmpl_clock_names(r, o, format.p[i])
                   && !tmpl_clock_numbers(r, o, format.p[i], flag)) {
            tmpl_out_add(r, o, str_sub(format, begin, i + 1), false);
        }
    }
}

MLXK_FN struct tmpl_val tmpl_strftime(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_out o = { .p = NULL };
    const struct tmpl_clock *now = r->now;
    if (c->arg[0].kind != TMPL_TEXT) {
        tmpl_fail(r, "strftime_now() needs a format text, not %s", tmpl_type(c->arg[0]));
        return tmpl_none();
    }
    if (now->month < 1 || now->month > 12 || now->day < 1 || now->day > 31 || now->year < 1
        || now->year > 9999) {
        tmpl_fail(r, "strftime_now(): the given date %d-%d-%d does not exist", now->year,
                  now->month, now->day);
        return tmpl_none();
    }
    tmpl_clock_put(r, &o, c->arg[0].u.text->s);
    return tmpl_out_val(r, &o);
}
