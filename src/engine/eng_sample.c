/* eng_sample.c: logits -> one token.
 *
 *  1. Candidates have one total order: larger logit first, among equals the smaller id. top-k and
 *     top-p keep a prefix of it, found by selection, never by sorting the vocabulary.
 *  2. The draw walks the kept tokens by ascending id, so it does not depend on how they were found.
 *  3. Random numbers are splitmix64 of the seed: the same seed and logits give the same tokens
 *     everywhere.
 *  4. NaN is taken as -inf; a +inf wins at once.
 */
#include "engine/engine_int.h"

enum { SAMPLE_WINDOW = 20 };

struct sample_item { float logit; int32_t id; };

struct eng_sampler {
    struct eng_sampling o;
    int64_t vocab;
    uint64_t state;
    float *logits;               /* [vocab] after penalty and temperature */
    struct sample_item *items;   /* [vocab] */
    float *weights;              /* [vocab] of kept tokens */
};

/* ---- open, close ----------------------------------------------------------------------------- */

static bool sample_range(const char *name_cstr, double x, double min, double max, struct err *e) {
    if (x >= min && x <= max) return true;
    return err_set(e, ERR_INVALID, "%s is %g, allowed are %g to %g", name_cstr, x, min, max);
}

static bool sample_check(const struct eng_sampling *o, struct err *e) {
    return sample_range("temperature", (double)o->temperature, 0, 1000, e)
           && sample_range("top-p", (double)o->top_p, 0, 1, e)
           && sample_range("min-p", (double)o->min_p, 0, 1, e)
           && sample_range("top-k", o->top_k, 0, INT_MAX, e)
           && sample_range("repetition penalty", (double)o->repetition_penalty, 1e-3, 1000, e)
           && sample_range("repetition window", o->repetition_window, 0, INT_MAX, e);
}

MLXK_FN struct eng_sampler *eng_sampler_open(const struct eng_sampling *o, int64_t vocab,
                                             struct err *e) {
    if (!sample_check(o, e)) return NULL;
    size_t n = (size_t)vocab, per_token = sizeof(float) * 2 + sizeof(struct sample_item);
    struct eng_sampler *s = mem_alloc(sizeof *s + n * per_token);
    if (!s) {
        err_oom(e, sizeof *s + n * per_token, "a sampler");
        return NULL;
    }
    *s = (struct eng_sampler){ .o = *o, .vocab = vocab, .state = o->seed };
    if (s->o.repetition_window == 0) s->o.repetition_window = SAMPLE_WINDOW;
    s->items = (struct sample_item *)(s + 1);
    s->logits = (float *)(s->items + n);
    s->weights = s->logits + n;
    return s;
}

MLXK_FN void eng_sampler_close(struct eng_sampler *s) { mem_free(s); }

/* ---- random numbers -------------------------------------------------------------------------- */

static uint64_t sample_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double sample_unit(uint64_t *state) {
    return (double)(sample_random(state) >> 11) * 0x1p-53;
}

/* ---- selection ------------------------------------------------------------------------------- */

static bool sample_before(const struct sample_item *a, const struct sample_item *b) {
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void sample_swap(struct sample_item *a, struct sample_item *b) {
    struct sample_item t = *a;
    *a = *b;
    *b = t;
}

/* Puts a random item of [lo, hi) where it belongs in the order, better ones before it; returns its
 * place. */
static int64_t sample_partition(struct sample_item *x, int64_t lo, int64_t hi, uint64_t *random) {
    sample_swap(&x[lo + (int64_t)(sample_random(random) % (uint64_t)(hi - lo))], &x[hi - 1]);
    int64_t place = lo;
    for (int64_t i = lo; i < hi - 1; i++)
        if (sample_before(&x[i], &x[hi - 1])) sample_swap(&x[i], &x[place++]);
    sample_swap(&x[place], &x[hi - 1]);
    return place;
}

/* The k best of n come first (in no order). */
static void sample_top_k(struct sample_item *x, int64_t n, int64_t k) {
    uint64_t random = 1;             /* only the speed depends on it */
    int64_t lo = 0, hi = n;
    while (hi - lo > 1) {
        int64_t place = sample_partition(x, lo, hi, &random);
        if (place == k) return;
        if (place > k) hi = place;
        else lo = place + 1;
    }
}

/* How many of the best make up the share p of all weight; they come first. At least 1. */
static int64_t sample_top_p(struct sample_item *x, int64_t n, float max, double p) {
    uint64_t random = 1;
    double total = 0, before = 0;
    for (int64_t i = 0; i < n; i++) total += (double)expf(x[i].logit - max);
    int64_t lo = 0, hi = n;
    while (lo < hi) {
        int64_t place = sample_partition(x, lo, hi, &random);
        double better = 0, own = (double)expf(x[place].logit - max);
        for (int64_t i = lo; i < place; i++) better += (double)expf(x[i].logit - max);
        if (place > lo && before + better >= p * total) hi = place;
        else if (before + better + own >= p * total) return place + 1;
        else {
            before += better + own;
            lo = place + 1;
        }
    }
    return lo > 0 ? lo : 1;
}

/* ---- one token ------------------------------------------------------------------------------- */

/* Copies the logits with penalty and temperature; returns the largest, *best its first id (-1 = all
 * are -inf). */
static float sample_scale(struct eng_sampler *s, const float *logits, const int32_t *recent,
                          int64_t n_recent, int32_t *best) {
    float by = s->o.temperature > 0 ? 1 / s->o.temperature : 1, penalty = s->o.repetition_penalty,
          max = -INFINITY;
    memcpy(s->logits, logits, (size_t)s->vocab * sizeof *logits);
    int64_t from = n_recent > s->o.repetition_window ? n_recent - s->o.repetition_window : 0;
    for (int64_t i = from; penalty != 1 && i < n_recent; i++) {
        int32_t id = recent[i]; /* from the original value: a token seen twice is penalised once */
        if (id >= 0 && id < s->vocab)
            s->logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
    }
    *best = -1;
    for (int64_t i = 0; i < s->vocab; i++) {
        float x = s->logits[i] * by;
        if (!(x >= -INFINITY)) x = -INFINITY;
        s->logits[i] = x;
        if (x > max) {
            max = x;
            *best = (int32_t)i;
        }
    }
    return max;
}

/* The worst candidate that top-k and top-p keep. */
static struct sample_item sample_cut(struct eng_sampler *s, float max) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->vocab; i++)
        if (s->logits[i] > -INFINITY)
            s->items[n++] = (struct sample_item){ s->logits[i], (int32_t)i };
    if (s->o.top_k > 0 && s->o.top_k < n) {
        sample_top_k(s->items, n, s->o.top_k);
        n = s->o.top_k;
    }
    if (s->o.top_p < 1) n = sample_top_p(s->items, n, max, (double)s->o.top_p);
    struct sample_item worst = s->items[0];
    for (int64_t i = 1; i < n; i++)
        if (sample_before(&worst, &s->items[i])) worst = s->items[i];
    return worst;
}

MLXK_FN int32_t eng_sample(struct eng_sampler *s, const float *logits, const int32_t *recent,
                           int64_t n_recent) {
    int32_t best;
    float max = sample_scale(s, logits, recent, n_recent, &best);
    if (s->o.temperature <= 0 || best < 0 || max == INFINITY) return best;
    struct sample_item cut = { -INFINITY, INT32_MAX };
    if (s->o.top_k > 0 || s->o.top_p < 1) cut = sample_cut(s, max);
    double sum = 0;
    for (int64_t i = 0; i < s->vocab; i++) {
        struct sample_item item = { s->logits[i], (int32_t)i };
        float weight = sample_before(&cut, &item) ? 0 : expf(item.logit - max);
        s->weights[i] = weight >= s->o.min_p ? weight : 0;
        sum += (double)s->weights[i];
    }
    double target = sample_unit(&s->state) * sum, seen = 0;
    int32_t last = best;
    for (int64_t i = 0; i < s->vocab; i++) {
        if (s->weights[i] <= 0) continue;
        last = (int32_t)i;
        seen += (double)s->weights[i];
        if (seen > target) break;
    }
    return last;
}
