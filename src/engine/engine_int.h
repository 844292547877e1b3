/* engine_int.h: what the files of this room share (private to src/engine/).
 *
 * A step is one pass over the layers for n tokens at positions pos0..pos0+n-1. It is one
 * os_team_run: every worker walks the same phases, a barrier between any two. Two ways of sharing
 * the work, same functions:
 *   decode  (n = 1) every worker prepares the token's input itself, in its own space: no barrier;
 *   prefill (n > 1) each worker prepares some of the tokens, in the shared space, then a barrier.
 * Rows of a matrix are always split among workers. All floats of a row come from that row and its
 * input alone, so neither the way nor the split changes a bit of the result.
 */
#ifndef MLXK_ENGINE_INT_H
#define MLXK_ENGINE_INT_H

#include "engine/engine.h"
#include <math.h>

enum {
    ENG_MAX_CHUNK = 4096, ENG_DEFAULT_CHUNK = 256,
    ENG_TILE = 64,   /* rows of gate and up at a time in prefill: stays in cache until activated */
    ENG_ATTEND_ROWS = 64,    /* rows of queries at a time in prefill, at least one token's group */
    ENG_HEAD_ROWS = 8,           /* rows of logits at a time in eng_feed_all */
    ENG_ROW_UNIT = 16,           /* rows are split at multiples of it: 16 floats are a cache line */
};
/* Among forms: quantised inputs also keep what rounding lost, quantised once more ("rest"). The
 * head and the down projections take both terms: their rounding is what moves the most likely token
 * (measured in docs/SPEED.md). */
#define ENG_FINE (1u << K_FORM_COUNT)

/* ---- memory (eng_plan.c) --------------------------------------------------------------------- */

/* The input of linear maps in every form that some of them want. */
struct eng_input {
    int64_t cols;
    float *rows;     /* [n, cols] when FLOAT is among the forms: what form[FLOAT].x points to */
    struct k_input form[K_FORM_COUNT];
    struct k_input rest[K_FORM_COUNT];   /* where ENG_FINE is among the forms */
};

/* Activations of up to n tokens. */
struct eng_space {
    float *x;                    /* [n, dim] residual stream */
    struct eng_input dim_in, att_in, ff_in;
    float *cos[MODEL_MAX_ROPES], *sin[MODEL_MAX_ROPES];   /* [n, n_rot/2] per rope */
};

/* Partial attention of some rows: maximum, sum, weighted values. */
struct eng_partial { float *m, *l, *acc; };

/* Forms (bits 1 << k_form) in which the maps of a layer take their input. */
struct eng_forms { unsigned qkv, o, gate_up, down; };

/* What one worker alone uses. */
struct eng_worker {
    struct eng_space one;        /* decode: its copy of the token */
    float *row;                  /* [max(dim, q_dim, dim_ff)] a row on its way */
    float *gate, *up;            /* [chunk, ENG_TILE] */
    float *q;                    /* [attend rows, dim_head] */
    int32_t *lo, *hi;            /* [attend rows] */
    struct eng_partial sum, part;/* [attend rows] */
};

/* ---- session --------------------------------------------------------------------------------- */

struct eng_session {
    const struct model *m;
    struct k_ops ops;
    struct os_team *team;
    int n_workers, chunk;
    int64_t position, capacity, n_blocks;   /* capacity in positions; n_blocks of K_ATTEND_BLOCK */
    enum k_format kv_format;
    int q_dim, kv_dim, group;                 /* heads * dim_head; query heads per kv head */
    int attend_rows;                          /* rows of a worker's attention scratch */
    const double *rope_table[MODEL_MAX_ROPES];/* wavelengths this session uses */
    struct arena arena;                       /* forms and workers */
    struct eng_forms *forms;                  /* [n_layers] */
    unsigned head_forms;
    uint8_t *kv; size_t kv_bytes;
    void *memory; size_t memory_bytes;        /* everything below */
    struct eng_space many;                    /* prefill */
    struct eng_worker *workers;               /* [n_workers] */
    float *qkv;                               /* [chunk, q_dim + 2 kv_dim] */
    float *queries;     /* prefill: [n_kv_heads, chunk, group, dim_head] turned queries */
    float *y;                                 /* [chunk, dim] result of o or down */
    float *gate, *up;                         /* decode: [dim_ff] */
    struct eng_partial blocks;                /* decode: [n_kv_heads, blocks, group] */
    float *logits;                            /* [ENG_HEAD_ROWS, vocab] */
};

/* Which logits a step makes. */
enum eng_head { ENG_HEAD_NONE, ENG_HEAD_LAST, ENG_HEAD_ALL /* prepared, made by eng_head_rows */ };

struct eng_step {
    struct eng_session *s;
    const int32_t *ids;
    int n;
    int64_t pos0;
    enum eng_head head;
};

/* One worker in one step. */
struct eng_work {
    const struct eng_step *step;
    struct eng_session *s;
    struct eng_worker *own;
    struct eng_space *in;        /* own->one or s->many */
    int part, n_parts;
    bool decode;
    int t0, t1;                  /* tokens this worker prepares */
    bool pending;                /* s->y is to be added to x, */
    const struct model_norm *post;   /* through this norm (w NULL = none) */
};

/* ---- eng_plan.c ------------------------------------------------------------------------------ */

/* Sizes and forms of s, from its model, kernels and options. */
MLXK_FN bool eng_plan_sizes(struct eng_session *s, struct err *e);
/* Bytes of activations for s->n_blocks blocks of positions. */
MLXK_FN size_t eng_plan_bytes(struct eng_session *s);
MLXK_FN bool eng_plan_open(struct eng_session *s, struct err *e);
MLXK_FN void eng_plan_release(struct eng_session *s);

/* ---- eng_kv.c: keys and values in blocks of K_ATTEND_BLOCK positions ------------------------- */

MLXK_FN size_t eng_kv_block_bytes(const struct eng_session *s);     /* one block of all layers */
/* Sets capacity (context or the model's, bounded by memory) and allocates. */
MLXK_FN bool eng_kv_open(struct eng_session *s, int64_t context, struct err *e);
MLXK_FN void eng_kv_release(struct eng_session *s);
/* First key or value of a block: [K_ATTEND_BLOCK, dim_head] elements of kv_format. */
MLXK_FN void *eng_kv_at(const struct eng_session *s, int layer, int head, int64_t block,
                        bool value);
/* Stores one head's vector of one position. */
MLXK_FN void eng_kv_put(const struct eng_session *s, int layer, int head, int64_t pos, bool value,
                        const float *x);

/* ---- eng_forward.c --------------------------------------------------------------------------- */

MLXK_FN void eng_forward(const struct eng_step *step);   /* logits[0] when head is ENG_HEAD_LAST */
/* Logits of tokens [t0, t0 + n) of the last ENG_HEAD_ALL step, n <= ENG_HEAD_ROWS. */
MLXK_FN void eng_head_rows(const struct eng_step *step, int t0, int n);
MLXK_FN void eng_sync(const struct eng_work *w);
/* Rows [*r0, *r1) of `rows` that belong to this worker. */
MLXK_FN void eng_split(const struct eng_work *w, int64_t rows, int64_t unit, int64_t *r0,
                       int64_t *r1);
/* Tokens [t0, t0 + n) of an input; fine: [n, ENG_TILE] floats of scratch when both terms count, or
 * NULL. */
struct eng_tokens { const struct eng_input *in; int t0, n; float *fine; };
/* y[t, r] (y_stride apart) = W x + bias for rows [r0, r1). */
MLXK_FN void eng_linear(const struct eng_session *s, const struct model_linear *l,
                        const struct eng_tokens *x, int64_t r0, int64_t r1, float *y,
                        int64_t y_stride);
MLXK_FN void eng_norm(const struct eng_session *s, const struct model_norm *norm, int64_t n,
                      const float *x, float *y);
/* Puts x [cols] into row t of an input, in every one of `forms`. */
MLXK_FN void eng_put(const struct eng_session *s, struct eng_input *in, unsigned forms, int t,
                     const float *x);

/* ---- eng_attention.c ------------------------------------------------------------------------- */

/* q, k, v of the prepared dim_in; k and v are in the cache and q is turned when all workers are
 * through. */
MLXK_FN void eng_phase_qkv(struct eng_work *w, int layer);
/* att_in is prepared in w->in when it returns (prefill: after the barrier inside). */
MLXK_FN void eng_phase_attend(struct eng_work *w, int layer);

/* ---- eng_stop.c ------------------------------------------------------------------------------ */

struct eng_stopper {
    const struct str *stops; int n;
    struct buf held;             /* what was handed on last, `done` bytes, and what is held back */
    size_t done;
};
MLXK_FN bool eng_stopper_init(struct eng_stopper *st, const struct str *stops, int n,
                              struct err *e);
MLXK_FN void eng_stopper_release(struct eng_stopper *st);
/* Adds text. *out (borrowed until the next call) is what is certain now; *found = a stop string is
 * complete, and *out is all text before it. */
MLXK_FN bool eng_stopper_push(struct eng_stopper *st, struct str text, struct str *out, bool *found,
                              struct err *e);
/* The held text at the end of generation. */
MLXK_FN struct str eng_stopper_rest(const struct eng_stopper *st);

#endif
