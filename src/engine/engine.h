/* engine.h: model + KV cache + sampler = tokens over time (level 4).
 *
 * A session owns the KV cache and activations of one sequence, allocated at start: no allocation
 * per token. Numerics: the same prompt, seed and build give the same tokens for every thread count
 * and prefill chunking. thread one call at a time per session; the team's members work inside a
 * call.
 */
#ifndef MLXK_ENGINE_H
#define MLXK_ENGINE_H

#include "base/base.h"
#include "platform/platform.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "tokenizer/tok.h"

/* ---- session (eng_session.c, eng_forward.c, eng_attention.c, eng_kv.c) ----------------------- */

struct eng_options {
    int n_threads;               /* 0 = os_cpu_count() */
    /* positions; 0 = the model's, bounded by memory (ERR_NO_MEMORY says what fits) */
    int64_t context;
    bool exact;                  /* float activations, f32 KV, scalar matmul */
    int prefill_chunk;           /* tokens per prefill step; 0 = 256 */
    const struct k_ops *kernels; /* NULL = k_choose */
};
struct eng_session;
/* m: borrowed until eng_close. NULL = failed: ERR_NO_MEMORY, ERR_INVALID (options), ERR_LIMIT. */
MLXK_FN struct eng_session *eng_open(const struct model *m, const struct eng_options *o,
                                     struct err *e);
MLXK_FN void eng_close(struct eng_session *s /* or NULL */);
MLXK_FN int64_t eng_position(const struct eng_session *s);       /* tokens in the KV cache */
MLXK_FN int64_t eng_capacity(const struct eng_session *s);
MLXK_FN int64_t eng_vocab(const struct eng_session *s);         /* logits per token */
MLXK_FN int     eng_threads(const struct eng_session *s);
MLXK_FN const struct k_ops *eng_kernels(const struct eng_session *s);
/* Forgets everything after `position` tokens (conversation editing, prefix reuse). */
MLXK_FN void eng_truncate(struct eng_session *s, int64_t position);
/* Appends n tokens. *logits (or NULL when not wanted) points to f32 [vocab] of the last token,
 * valid until the next call. progress (or NULL) is called between chunks with tokens done; false
 * stops with ERR_INTERRUPTED, the cache then holds whole chunks.
 * err: ERR_LIMIT when capacity is exceeded, ERR_INVALID for ids outside the vocabulary; the cache
 * is unchanged. */
MLXK_FN bool eng_feed(struct eng_session *s, const int32_t *ids, int64_t n, const float **logits,
                      bool (*progress)(void *ctx, int64_t done), void *ctx, struct err *e);
/* As eng_feed, and hands every token's logits to `row` in order (inspection, perplexity). */
MLXK_FN bool eng_feed_all(struct eng_session *s, const int32_t *ids, int64_t n,
                          bool (*row)(void *ctx, int64_t index, const float *logits, int64_t vocab),
                          void *ctx, struct err *e);

/* ---- sampling (eng_sample.c) ----------------------------------------------------------------- */

struct eng_sampling {
    float temperature;           /* 0 = greedy */
    float top_p, min_p;          /* 1 and 0 = off */
    int   top_k;                 /* 0 = off */
    /* 1 = off; > 1: logit / p when positive, * p when negative, of tokens in the window */
    float repetition_penalty;
    int   repetition_window;     /* last n tokens; 0 = 20 */
    uint64_t seed;
};
struct eng_sampler;              /* owns its scratch of vocab size and the random state */
MLXK_FN struct eng_sampler *eng_sampler_open(const struct eng_sampling *o, int64_t vocab,
                                             struct err *e);
MLXK_FN void eng_sampler_close(struct eng_sampler *s /* or NULL */);
/* Order: penalty, temperature, top-k, top-p, min-p, draw. recent: last tokens, newest last. logits
 * are not changed. NaN counts as -inf; -1 when no logit is above -inf. */
MLXK_FN int32_t eng_sample(struct eng_sampler *s, const float *logits, const int32_t *recent,
                           int64_t n_recent);

/* ---- generation (eng_generate.c, eng_stop.c) ------------------------------------------------- */

enum eng_finish { ENG_STOP_TOKEN, ENG_STOP_STRING, ENG_LENGTH, ENG_CONTEXT_FULL, ENG_INTERRUPTED };
struct eng_request {
    const int32_t *prompt; int64_t n_prompt;     /* appended to what the session holds */
    struct eng_sampling sampling;
    int64_t max_tokens;                          /* negative = up to the context */
    /* stop strings, cut from the output; at most 64 of 1..1024 bytes */
    const struct str *stops; int n_stops;
    /* special tokens that are text all the same (marks of a format) */
    const int32_t *shown; int n_shown;
    bool ignore_eos;
    /* Text as soon as it is certain: whole UTF-8 sequences, nothing that may become a stop string.
     * false = stop. */
    bool (*text)(void *ctx, struct str piece);
    bool (*progress)(void *ctx, int64_t done, int64_t total);   /* prefill; or NULL */
    void *ctx;
};
struct eng_result {
    enum eng_finish finish;
    int64_t n_prompt, n_generated;
    int64_t prefill_ns;                          /* prompt through the model */
    int64_t decode_ns;                           /* from the first sampled token to the last */
    int64_t first_token_ns;                      /* from the call to the first sampled token */
    struct tok_ids ids;     /* generated ids, stop token included; release with tok_ids_release */
};
/* t NULL: no text is made. out->ids must be released whatever the result.
 * err: those of eng_feed; ERR_INVALID for sampling values and stops out of range; ERR_RUN when no
 * logit is finite. */
MLXK_FN bool eng_generate(struct eng_session *s, const struct tok *t /* or NULL */,
                          const struct eng_request *r, struct eng_result *out, struct err *e);

#endif
