/* chat.h: messages -> prompt tokens (level 5).
 *
 * A conversation is rendered by the model's own chat template and tokenized; text that came from the
 * caller is marked on its way, so that "<|im_end|>" typed by a user is text and not a token.
 */
#ifndef MLXK_CHAT_H
#define MLXK_CHAT_H

#include "base/base.h"
#include "json/json.h"
#include "tokenizer/tok.h"
#include "template/tmpl.h"
#include "engine/engine.h"

/* A conversation as it grows; texts are copied into the arena given to chat_add. */
struct chat_message { struct str role, content; };
struct chat {
    const struct tok *tok;
    const struct tmpl *tmpl;     /* NULL: the model has no chat template; the last message is the raw prompt */
    const struct json *config;   /* tokenizer_config.json's tree, or NULL */
    struct chat_message *messages;
    size_t n, cap;
};
MLXK_FN void chat_init(struct chat *ch, const struct tok *t, const struct tmpl *tmpl /* or NULL */, const struct json *config /* or NULL */);
MLXK_FN bool chat_add(struct chat *ch, struct arena *a, struct str role, struct str content, struct err *e);
MLXK_FN void chat_drop_last(struct chat *ch);
/* Template variables as compact JSON: messages, add_generation_prompt, bos_token, eos_token and the other special tokens. */
MLXK_FN void chat_write_vars(const struct chat *ch, bool add_generation_prompt, struct buf *out);
/* The prompt of the whole conversation, appended to out. text (or NULL) receives the rendered prompt.
 * scratch: values of the render; rewound before returning. err: ERR_TEMPLATE, ERR_LIMIT, ERR_NO_MEMORY. */
MLXK_FN bool chat_encode(const struct chat *ch, const struct tmpl_clock *now, struct arena *scratch, struct tok_ids *out,
                         struct buf *text /* or NULL */, struct err *e);
/* How many leading ids two sequences share. */
MLXK_FN size_t chat_common_prefix(const struct tok_ids *x, const struct tok_ids *y);

#endif
