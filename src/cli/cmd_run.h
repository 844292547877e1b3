/* cmd_run.h: what the one answer of `run` and its conversation share. */
#ifndef MLXK_CMD_RUN_H
#define MLXK_CMD_RUN_H

#include "cli/cli.h"

/* One answer in the making: gathers the text and, when `stream`, prints it as it comes. */
struct cmd_run_answer { struct cli_context *c; bool stream; uint64_t turn; struct buf text; struct cli_progress progress; };

/* Sampling settings: flag, else the model's generation_config, else upstream's default. */
MLXK_FN void cmd_run_sampling(struct cli_context *c, const struct model_config *m, struct eng_sampling *out);
/* Generates after `prompt` (appended to what the session holds). Ctrl-C ends the answer, not the program. */
MLXK_FN bool cmd_run_generate(struct cmd_run_answer *a, struct cli_engine *m, const struct tok_ids *prompt, struct eng_result *out, struct err *e);
/* The closing line on stderr. */
MLXK_FN void cmd_run_stats(struct cli_context *c, const struct eng_result *r);
/* A conversation until exit, end of input or Ctrl-C at the prompt; exit status. */
MLXK_FN int cmd_run_chat(struct cli_context *c, struct cli_engine *m);

#endif
