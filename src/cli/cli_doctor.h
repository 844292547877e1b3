/* cli_doctor.h: what the files of `doctor` share: a list of checks with what to do. */
#ifndef MLXK_CLI_DOCTOR_H
#define MLXK_CLI_DOCTOR_H

#include "cli/cli.h"
#include "care/care.h"

enum cli_doctor_state { CLI_DOCTOR_OK, CLI_DOCTOR_WARN, CLI_DOCTOR_BAD };
struct cli_doctor_check {
    enum cli_doctor_state state;
    const char *area_cstr, *name_cstr;
    struct str value, from, advice;  /* from: which setting says so, or empty */
};
struct cli_doctor {
    struct cli_context *c;
    struct cli_doctor_check *list; size_t n, cap;
    const char *place_cstr;          /* the root, or the nearest folder above it that exists */
    bool writable;
};
/* One more check; texts are copied. */
MLXK_FN void cli_doctor_add(struct cli_doctor *d, enum cli_doctor_state state,
                            const char *area_cstr, const char *name_cstr, struct str value,
                            const char *from_cstr /* or NULL */,
                            const char *advice_cstr /* or NULL */);
/* Paths, settings, permissions, space, file system, offline readiness (cli_doctor_cache.c). */
MLXK_FN void cli_doctor_cache(struct cli_doctor *d);
/* Binaries, CPU, memory, limits, TLS, proxies (cli_doctor_machine.c). */
MLXK_FN void cli_doctor_machine(struct cli_doctor *d);

#endif
