/* chat.h: messages -> prompt tokens, and a model's text -> reasoning and answer (level 5).
 *
 * A conversation is rendered by the model's own chat template and tokenized; text that came from
 * the caller is marked on its way, so that "<|im_end|>" typed by a user is text and not a token.
 * What the model writes is told apart by the marks that its template or tokenizer knows, never by
 * its name.
 */
#ifndef MLXK_CHAT_H
#define MLXK_CHAT_H

#include "base/base.h"
#include "json/json.h"
#include "tokenizer/tok.h"
#include "template/tmpl.h"
#include "engine/engine.h"

/* A conversation as it grows; texts are copied into the arena given to chat_add. */
struct chat_message { struct str role, content, reasoning; };
struct chat {
    const struct tok *tok;
    /* NULL: the model has no chat template; the last message is the raw prompt */
    const struct tmpl *tmpl;
    const struct json *config;   /* tokenizer_config.json's tree, or NULL */
    struct chat_message *messages;
    size_t n, cap;
};
MLXK_FN void chat_init(struct chat *ch, const struct tok *t, const struct tmpl *tmpl /* or NULL */,
                       const struct json *config /* or NULL */);
MLXK_FN bool chat_add(struct chat *ch, struct arena *a, struct str role, struct str content,
                      struct err *e);
MLXK_FN void chat_drop_last(struct chat *ch);
/* What the model thought before its last message. The template gets it as reasoning_content and
 * decides; templates drop it when the next question has come. */
MLXK_FN bool chat_set_reasoning(struct chat *ch, struct arena *a, struct str reasoning,
                                struct err *e);
/* Template variables as compact JSON: messages, add_generation_prompt, bos_token, eos_token and the
 * other special tokens. */
MLXK_FN void chat_write_vars(const struct chat *ch, bool add_generation_prompt, struct buf *out);
/* The prompt of the whole conversation, appended to out. text (or NULL) receives the rendered
 * prompt.
 * scratch: values of the render; rewound before returning. err: ERR_TEMPLATE, ERR_LIMIT,
 * ERR_NO_MEMORY. */
MLXK_FN bool chat_encode(const struct chat *ch, const struct tmpl_clock *now, struct arena *scratch,
                         struct tok_ids *out, struct buf *text /* or NULL */, struct err *e);
/* How many leading ids two sequences share. */
MLXK_FN size_t chat_common_prefix(const struct tok_ids *x, const struct tok_ids *y);

/* ---- reasoning (chat_style.c, chat_split.c) -------------------------------------------------- */

/* How a model marks what it thinks.
 *   CHAT_PLAIN    not at all: everything is the answer
 *   CHAT_TAGS     open ... close in front of the answer; where `opened`, the prompt ended with open
 *   CHAT_CHANNELS <|channel|>NAME<|message|>...<|end|>: analysis is reasoning, other channels are
 *   the answer */
enum chat_marks { CHAT_PLAIN, CHAT_TAGS, CHAT_CHANNELS };
enum { CHAT_MAX_SHOWN = 16 };
struct chat_style {
    enum chat_marks marks;
    struct str open, close;      /* CHAT_TAGS */
    bool opened;
    /* CHAT_CHANNELS: what the prompt wrote already of the first message; borrowed */
    struct str header;
    /* special tokens that are part of marks: to be decoded as text */
    int32_t shown[CHAT_MAX_SHOWN];
    int n_shown;
};
/* prompt: the rendered prompt (chat_encode's text), borrowed as long as *out is used. Marks are
 * those that the prompt ends with, else those in the template's source, else those that the
 * tokenizer has as tokens. A conversation without template is CHAT_PLAIN: nobody asked the model to
 * think. */
MLXK_FN void chat_style_find(const struct chat *ch, struct str prompt, struct chat_style *out);

/* Streamed text in, reasoning and answer out, each byte once and as soon as it is certain.
 *  1. What is handed on does not depend on how the text was cut into pieces.
 *  2. No part of a mark is handed on; an opening tag counts only in front of the answer, so a model
 *     may write about tags. White space around reasoning is dropped; sections of one kind are
 *     parted by an empty line.
 *  3. Reasoning that never ends (a cut answer) stays reasoning.
 * The callback's false stops: later calls hand nothing on. thread one at a time. */
enum chat_part { CHAT_ANSWER, CHAT_REASONING };
struct chat_split {
    struct chat_style style;
    bool (*part)(void *ctx, enum chat_part kind, struct str text);
    void *ctx;
    int state;                   /* enum split_state of chat_split.c */
    struct buf held;             /* not certain yet */
    enum chat_part kind;         /* of the open section */
    bool section_begun, tagged, stopped, any[2];
};
MLXK_FN void chat_split_init(struct chat_split *s, const struct chat_style *style,
                             bool (*part)(void *ctx, enum chat_part kind, struct str text),
                             void *ctx);
MLXK_FN void chat_split_release(struct chat_split *s);
/* false = the callback said stop, or memory ran out (chat_split_end tells). */
MLXK_FN bool chat_split_push(struct chat_split *s, struct str piece);
/* Hands on what is still held. err: ERR_LIMIT, ERR_NO_MEMORY. */
MLXK_FN bool chat_split_end(struct chat_split *s, struct err *e);

#endif
