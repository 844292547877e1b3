/* served.c: compares two files of logits, little-endian float32 [n, vocab].
 *
 *   served REFERENCE OTHER VOCAB      prints "positions N top1 PERCENT kl MEAN worst_kl MAX"
 *
 * top1: share of positions where both have the same largest logit. kl: mean Kullback-Leibler divergence
 * of OTHER's distribution from REFERENCE's, in nats. Exit status 2 when the files do not fit together. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static size_t served_argmax(const float *x, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++) if (x[i] > x[best]) best = i;
    return best;
}

/* Logarithm of the sum of exp(x). */
static double served_log_sum(const float *x, size_t n, size_t best) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp((double)x[i] - (double)x[best]);
    return log(sum) + (double)x[best];
}

static double served_kl(const float *p, const float *q, size_t n, size_t best_p, size_t best_q) {
    double log_p = served_log_sum(p, n, best_p), log_q = served_log_sum(q, n, best_q), kl = 0;
    for (size_t i = 0; i < n; i++) {
        double at = (double)p[i] - log_p;
        kl += exp(at) * (at - ((double)q[i] - log_q));
    }
    return kl;
}

int main(int argc, char **argv) {
    size_t vocab = argc == 4 ? strtoul(argv[3], NULL, 10) : 0, n = 0, same = 0;
    FILE *a = vocab ? fopen(argv[1], "rb") : NULL, *b = vocab ? fopen(argv[2], "rb") : NULL;
    float *p = calloc(vocab + 1, sizeof *p), *q = calloc(vocab + 1, sizeof *q);
    double sum = 0, worst = 0;
    if (!a || !b || !p || !q) return fprintf(stderr, "served: cannot read\n"), 2;
    for (;; n++) {
        size_t got_a = fread(p, sizeof *p, vocab, a), got_b = fread(q, sizeof *q, vocab, b);
        if (got_a != got_b || (got_a && got_a != vocab)) return fprintf(stderr, "served: other sizes\n"), 2;
        if (!got_a) break;
        size_t best_p = served_argmax(p, vocab), best_q = served_argmax(q, vocab);
        double kl = served_kl(p, q, vocab, best_p, best_q);
        same += best_p == best_q;
        sum += kl;
        if (!(kl <= worst)) worst = kl;
    }
    if (!n) return fprintf(stderr, "served: no logits\n"), 2;
    printf("positions %zu top1 %.2f kl %.6f worst_kl %.6f\n", n, 100.0 * (double)same / (double)n, sum / (double)n, worst);
    return 0;
}
