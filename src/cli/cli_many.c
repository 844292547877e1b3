/* cli_many.c: thousands of models are looked at by several threads, and not looked at again while
 * nothing changed.
 *
 * 1. The answers do not depend on the number of threads, nor on what is remembered.
 * 2. Answers are used on the caller's thread, in the order of the models.
 */
#include "cli/cli_many.h"

#include <stdlib.h>

#define MANY_MEMORY ((size_t)2 << 30) /* of one thread; a model's files are given back one by one */
enum { MANY_FEW = 16, MANY_INDEXED = 256 };      /* fewer: one thread; nothing is remembered */
enum { MANY_THREADS = 8, MANY_PIECES = 32 };

/* Where the answer about a model lies: in a record, or in the piece's text. */
struct many_place { struct str record; size_t n_text, n_record; };
struct many_piece {
    struct buf text;             /* the answers, one behind the other */
    struct buf records;          /* of the index: those made, one behind the other */
    struct err err;
};
struct many_job {
    const struct cli_many *q;
    struct cli_index *index;     /* NULL: nothing is remembered */
    struct many_place *places;   /* [n] */
    struct many_piece pieces[MANY_PIECES];
    size_t n_pieces, next;       /* next: taken under the lock */
    struct os_mutex lock;
};

static size_t many_from(const struct many_job *job, size_t piece) {
    return job->q->n * piece / job->n_pieces;
}

/* ---- asking ---- */

static bool many_look(struct many_job *job, struct many_piece *p, size_t i, struct arena *a) {
    struct cache_model m = job->q->models[i];
    struct cli_index_looks looks = { .usable = false };
    size_t start = p->text.n, had = p->records.n;
    bool keep = false;
    if (!os_go_on(&p->err) || !cache_complete(a, job->q->cache, &m, &p->err)) return false;
    if (job->index) cli_index_look(a, job->index, &m, &looks);
    if (!job->q->ask(job->q->ctx, a, &m, &p->text, &keep, &p->err)) return false;
    if (p->text.failed) return true;     /* told when it is used */
    struct str text = str_sub(buf_str(&p->text), start, p->text.n);
    if (job->index && keep) cli_index_add(&p->records, &looks, &m, text);
    job->places[i] = (struct many_place){ .n_text = text.n, .n_record = p->records.n - had };
    return true;
}

static void many_piece_ask(struct many_job *job, size_t piece, struct arena *a) {
    struct many_piece *p = &job->pieces[piece];
    for (size_t i = many_from(job, piece); i < many_from(job, piece + 1); i++) {
        struct arena_mark mark = arena_mark(a);
        const struct cache_model *m = &job->q->models[i];
        if (job->index && m->place == CACHE_REPO)
            job->places[i].record = cli_index_find(job->index, a, m->name);
        if (!job->places[i].record.p && !many_look(job, p, i, a)) return;
        arena_rewind(a, mark);
    }
}

static void many_work(void *ctx, int part, int n_parts) {
    struct many_job *job = ctx;
    struct arena a;
    (void)part;
    (void)n_parts;
    arena_init(&a, MANY_MEMORY);
    for (;;) {
        os_mutex_lock(&job->lock);
        size_t piece = job->next++;
        os_mutex_unlock(&job->lock);
        if (piece >= job->n_pieces) break;
        many_piece_ask(job, piece, &a);
    }
    arena_release(&a);
}

static void many_run(struct many_job *job) {
    struct err no_team = { 0 };
    int n_threads = os_cpu_count() < MANY_THREADS ? os_cpu_count() : MANY_THREADS;
    bool many = job->q->n >= MANY_FEW && n_threads > 1;
    struct os_team *team = many ? os_team_open(n_threads, &no_team) : NULL;
    job->n_pieces = team ? MANY_PIECES : 1;
    os_mutex_init(&job->lock);
    for (size_t i = 0; i < job->n_pieces; i++) {
        buf_init(&job->pieces[i].text, MANY_MEMORY);
        buf_init(&job->pieces[i].records, MANY_MEMORY);
    }
    if (team) os_team_run(team, many_work, job);
    else many_work(job, 0, 1);
    os_team_close(team);
}

/* ---- using ---- */

static bool many_use(const struct many_job *job,
                     bool (*use)(void *ctx, size_t i, struct str answer, struct err *e),
                     struct err *e) {
    for (size_t k = 0; k < job->n_pieces; k++) {
        const struct many_piece *p = &job->pieces[k];
        struct str text = buf_str(&p->text);
        if (p->err.code != ERR_OK) {
            *e = p->err;
            return false;
        }
        if (!buf_ok(&p->text, "what is known about the models", e)) return false;
        for (size_t i = many_from(job, k); i < many_from(job, k + 1); i++) {
            const struct many_place *at = &job->places[i];
            struct str answer = at->record.p ? cli_index_text(at->record)
                                             : str_sub(text, 0, at->n_text);
            if (!use(job->q->ctx, i, answer, e)) return false;
            if (!at->record.p) text = str_sub(text, at->n_text, text.n);
        }
    }
    return true;
}

/* A new index, when something was found that the old one does not hold. Its records are sorted by
 * repo whatever the order of the models is. */
static int many_order(const void *x, const void *y) {
    return cli_index_order(*(const struct str *)x, *(const struct str *)y);
}

static void many_remember(struct arena *a, const struct many_job *job) {
    struct buf all;
    bool any = false, whole = true;
    size_t n = 0;
    for (size_t k = 0; k < job->n_pieces; k++) {
        any |= job->pieces[k].records.n > 0;
        whole &= !job->pieces[k].records.failed;
    }
    struct str *records = any && whole ? ARENA_ARRAY(a, struct str, job->q->n) : NULL;
    if (!records) return;
    for (size_t k = 0; k < job->n_pieces; k++) {
        struct str made = buf_str(&job->pieces[k].records);
        for (size_t i = many_from(job, k); i < many_from(job, k + 1); i++) {
            const struct many_place *at = &job->places[i];
            struct str record = at->record.p ? at->record : str_sub(made, 0, at->n_record);
            if (!at->record.p) made = str_sub(made, record.n, made.n);
            if (record.n) records[n++] = record;
        }
    }
    qsort(records, n, sizeof *records, many_order);
    buf_init(&all, MANY_MEMORY);
    for (size_t i = 0; i < n; i++) buf_add(&all, records[i]);
    if (!all.failed) cli_index_write(a, job->index, buf_str(&all));
    buf_release(&all);
}

/* ---- (Public) ---- */

MLXK_FN bool cli_many_ask(struct arena *a, const struct cli_many *q,
                          bool (*use)(void *ctx, size_t i, struct str answer, struct err *e),
                          struct err *e) {
    struct many_job *job = ARENA_NEW(a, struct many_job);
    struct many_place *places = ARENA_ARRAY(a, struct many_place, q->n);
    struct cli_index index;
    if (!job || !places) return err_oom(e, sizeof *job + q->n * sizeof *places, "many models");
    *job = (struct many_job){ .q = q, .places = places };
    if (q->question_cstr && q->n >= MANY_INDEXED) {
        cli_index_open(a, q->cache, q->question_cstr, q->contents, &index);
        job->index = &index;
    }
    many_run(job);
    bool ok = many_use(job, use, e);
    if (ok && job->index) many_remember(a, job);
    for (size_t k = 0; k < job->n_pieces; k++) {
        buf_release(&job->pieces[k].text);
        buf_release(&job->pieces[k].records);
    }
    if (job->index) cli_index_close(&index);
    return ok;
}

#undef MANY_MEMORY
