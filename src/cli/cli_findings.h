/* cli_findings.h: what verify and health --deep found, told to people and to scripts. */
#ifndef MLXK_CLI_FINDINGS_H
#define MLXK_CLI_FINDINGS_H

#include "cli/cli.h"
#include "care/care.h"

/* "findings": [...], the member of an open object. */
MLXK_FN void cli_findings_write(struct json_writer *w, const struct care_findings *f);
/* An aligned table; nothing when there are none. */
MLXK_FN void cli_findings_print(struct cli_context *c, const struct care_findings *f);
/* A failure whose document has data: writes it with `data`, returns the exit status. */
MLXK_FN int cli_findings_fail(struct cli_context *c, const char *type_cstr,
                              void (*data)(struct json_writer *w, void *ctx), void *ctx);

#endif
