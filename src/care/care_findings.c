/* care_findings.c: a list of what is wrong, with room for what was done about it. */
#include "care/care.h"

#include <stdio.h>

MLXK_FN void care_findings_init(struct care_findings *f, struct arena *a) {
    *f = (struct care_findings){ .arena = a };
}

static struct care_finding *care_findings_room(struct care_findings *f) {
    struct care_finding *grown =
        ARENA_GROW(f->arena, struct care_finding, f->list, f->n, &f->cap, 32);
    if (!grown) {
        f->failed = true;
        return NULL;
    }
    f->list = grown;
    return &f->list[f->n];
}

MLXK_FN struct care_finding *care_found(struct care_findings *f, enum care_severity severity,
                                        const char *code_cstr, struct str repo, struct str path,
                                        const char *format_cstr, ...) {
    struct care_finding *x = care_findings_room(f);
    if (!x) return NULL;
    char text[2048];
    va_list args;
    va_start(args, format_cstr);
    int n = vsnprintf(text, sizeof text, format_cstr, args);
    va_end(args);
    struct str message = { text, n < 0                     ? 0
                                 : (size_t)n < sizeof text ? (size_t)n
                                                           : sizeof text - 1 };
    *x = (struct care_finding){ .severity = severity, .code_cstr = code_cstr,
                                .repo = str_dup(f->arena, repo),
                                .path = str_cstr(str_dup_cstr(f->arena, path)),
                                .message = str_dup(f->arena, message) };
    f->failed = f->failed || !x->path.p || !x->message.p;
    f->n++;
    return x;
}

MLXK_FN size_t care_findings_errors(const struct care_findings *f) {
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        n += f->list[i].severity == CARE_ERROR && !f->list[i].repaired;
    return n;
}

MLXK_FN const char *care_severity_name(enum care_severity s) {
    static const char *const names[] = { "note", "warning", "error" };
    return names[s];
}
