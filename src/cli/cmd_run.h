/* cmd_run.h: what the one answer of `run` and its conversation share. */
#ifndef MLXK_CMD_RUN_H
#define MLXK_CMD_RUN_H

#include "cli/cli.h"

/* One answer in the making: gathers text and reasoning and, when `stream`, prints them as they
 * come. */
struct cmd_run_answer {
    struct cli_context *c;
    bool stream, hide_reasoning;
    uint64_t turn;
    struct buf prompt;     /* rendered; cmd_run_generate reads the style of reasoning from it */
    struct buf text, reasoning;      /* the answer; what the model thought before it */
    bool shows_reasoning, shows_answer;
    struct chat_split split;
    struct cli_progress progress;
};
MLXK_FN void cmd_run_answer_init(struct cmd_run_answer *a, struct cli_context *c);
MLXK_FN void cmd_run_answer_release(struct cmd_run_answer *a);
/* Prints what was not streamed. */
MLXK_FN void cmd_run_answer_print(struct cmd_run_answer *a);

/* Sampling settings: flag, else the model's generation_config, else upstream's default. */
MLXK_FN void cmd_run_sampling(struct cli_context *c, const struct model_config *m,
                              struct eng_sampling *out);
/* The conversation as tokens behind ids, its text into `text`; a template that fails is named. */
MLXK_FN bool cmd_run_encode(struct cli_context *c, const struct cli_engine *m, struct tok_ids *ids,
                            struct buf *text, struct err *e);
/* Generates after `prompt` (appended to what the session holds). Ctrl-C ends the answer, not the
 * program. */
MLXK_FN bool cmd_run_generate(struct cmd_run_answer *a, struct cli_engine *m,
                              const struct tok_ids *prompt, struct eng_result *out, struct err *e);
/* The closing line on stderr. */
MLXK_FN void cmd_run_stats(struct cli_context *c, const struct eng_result *r);
/* A conversation until exit, end of input or Ctrl-C at the prompt; exit status.
 * first: the first question, or empty. */
MLXK_FN int cmd_run_chat(struct cli_context *c, struct cli_engine *m, struct str first);

/* ---- pictures and sound (cmd_run_media.c) ---- */

/* --image, --audio or --translate stands on the command line. */
MLXK_FN bool cmd_run_media_given(const struct cli_context *c);
/* The files named are there and not too large; err: ERR_INVALID, ERR_LIMIT with upstream's text. */
MLXK_FN bool cmd_run_media_files(struct cli_context *c);
/* Always false: the model does not see or hear, or it does and this version does not. */
MLXK_FN bool cmd_run_media_model(struct cli_context *c, struct cache_model *m);
/* False for models that take no text at all (speech, embeddings): e says what they are for. */
MLXK_FN bool cmd_run_media_text(struct cli_context *c, struct cache_model *m, struct err *e);

#endif
