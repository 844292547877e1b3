/* oci_crew.c: several blobs at once, each by a thread that has handles of its own.
 *
 * 1. The handles that are given do their share in the calling thread; others are opened beside
 *    them, with tokens of their own, so no handle is ever in two threads; what they share is the
 *    client of HTTP: its idle connections, its certificates.
 * 2. What they tell is told as one sum, by one at a time.
 * 3. The first failure stops all, and is the one that is told. With a limit on the rate, and where
 *    a tar file is written, one does it all.
 */
#include "oci/oci_int.h"

enum { OCI_CREW = 4 };
#define OCI_CREW_WORTH ((uint64_t)8 << 20)       /* less than this is not worth more connections */

struct oci_crew;
struct oci_crew_member {
    struct oci_crew *crew;
    struct oci *from, *to;       /* one of them may be NULL */
    struct os_thread *thread;    /* NULL: the calling one */
    uint64_t done_bytes;
    size_t done_blobs;
};
struct oci_crew {
    const struct oci_crew_work *work;
    struct os_mutex mutex;       /* of what follows */
    size_t next;                 /* job */
    bool stopped;
    struct err err;              /* of the first failure */
    struct oci_crew_member members[OCI_CREW];
    size_t n;
    struct oci_event sum;
    bool (*event)(void *ctx, const struct oci_event *ev);
    void *ctx;
};

/* ---- what they tell (Private) ---------------------------------------------------------------- */

static struct oci *oci_crew_teller(struct oci *from, struct oci *to) {
    return to ? to : from;
}

static bool oci_crew_event(void *ctx, const struct oci_event *ev) {
    struct oci_crew_member *m = ctx;
    struct oci_crew *crew = m->crew;
    os_mutex_lock(&crew->mutex);
    struct oci_event *sum = &crew->sum;
    m->done_bytes = ev->done_bytes;
    m->done_blobs = ev->done_blobs;
    sum->kind = ev->kind;
    sum->what = ev->what;
    sum->note_cstr = ev->note_cstr;
    sum->done_bytes = sum->done_blobs = 0;
    for (size_t i = 0; i < crew->n; i++) {
        sum->done_bytes += crew->members[i].done_bytes;
        sum->done_blobs += crew->members[i].done_blobs;
    }
    bool ok = !crew->stopped && (!crew->event || crew->event(crew->ctx, sum));
    os_mutex_unlock(&crew->mutex);
    return ok;
}

/* ---- what they do (Private) ------------------------------------------------------------------ */

static bool oci_crew_next(struct oci_crew *crew, size_t *job) {
    os_mutex_lock(&crew->mutex);
    bool more = !crew->stopped && crew->next < crew->work->n_jobs;
    if (more) *job = crew->next++;
    os_mutex_unlock(&crew->mutex);
    return more;
}

static void oci_crew_labour(void *ctx) {
    struct oci_crew_member *m = ctx;
    struct oci_crew *crew = m->crew;
    struct err e = { 0 };
    size_t job;
    while (oci_crew_next(crew, &job)) {
        if (crew->work->run(crew->work->ctx, m->from, m->to, job, &e)) continue;
        os_mutex_lock(&crew->mutex);
        if (!crew->stopped) crew->err = e;
        crew->stopped = true;
        os_mutex_unlock(&crew->mutex);
        return;
    }
}

static struct oci *oci_crew_like(struct oci_crew_member *m, const struct oci *o, bool tells) {
    struct err none = { 0 };
    struct oci_options options = o->options;
    options.event = tells ? oci_crew_event : NULL;
    options.ctx = m;
    return oci_open_beside(o, &o->ref, &options, &none);
}

/* What the others will share must be there before they come. */
static void oci_crew_connect(struct oci *o) {
    struct err none = { 0 };
    if (o && o->ref.kind == OCI_REGISTRY) (void)oci_client(o, oci_home(o)->host, &none);
}

/* One more, if it can be had: who cannot come is not missed. */
static void oci_crew_hire(struct oci_crew *crew) {
    struct err none = { 0 };
    const struct oci_crew_work *w = crew->work;
    struct oci_crew_member *m = &crew->members[crew->n];
    *m = (struct oci_crew_member){ .crew = crew };
    m->from = w->from ? oci_crew_like(m, w->from, w->to == NULL) : NULL;
    m->to = w->to ? oci_crew_like(m, w->to, true) : NULL;
    os_mutex_lock(&crew->mutex);
    crew->n++;
    os_mutex_unlock(&crew->mutex);
    bool ready = (m->from || !w->from) && (m->to || !w->to);
    if (ready) m->thread = os_thread_start(oci_crew_labour, m, &none);
}

static bool oci_crew_together(struct oci_crew *crew, size_t n, struct err *e) {
    const struct oci_crew_work *w = crew->work;
    struct oci *teller = oci_crew_teller(w->from, w->to);
    crew->members[0] = (struct oci_crew_member){ .crew = crew, .from = w->from, .to = w->to,
                                                 .done_bytes = teller->event.done_bytes,
                                                 .done_blobs = teller->event.done_blobs };
    crew->n = 1;
    crew->sum = teller->event;
    crew->event = teller->options.event;
    crew->ctx = teller->options.ctx;
    os_mutex_init(&crew->mutex);
    teller->options.event = oci_crew_event;
    teller->options.ctx = &crew->members[0];
    oci_crew_connect(w->from);
    oci_crew_connect(w->to);
    while (crew->n < n) oci_crew_hire(crew);
    oci_crew_labour(&crew->members[0]);
    for (size_t i = 1; i < crew->n; i++) {
        struct oci_crew_member *m = &crew->members[i];
        if (m->thread) os_thread_join(m->thread);
        if (m->thread) {
            teller->event.done_bytes += oci_crew_teller(m->from, m->to)->event.done_bytes;
            teller->event.done_blobs += oci_crew_teller(m->from, m->to)->event.done_blobs;
        }
        oci_close(m->from);
        oci_close(m->to);
    }
    teller->options.event = crew->event;
    teller->options.ctx = crew->ctx;
    if (crew->stopped) *e = crew->err;
    return !crew->stopped;
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN bool oci_crew_run(const struct oci_crew_work *work, struct err *e) {
    struct oci_crew crew = { .work = work };
    const struct oci *to = oci_crew_teller(work->from, work->to);
    bool one = work->total_bytes < OCI_CREW_WORTH || work->n_jobs < 2
               || to->options.http.limit_bytes_per_s || (work->to && to->ref.kind == OCI_TAR);
    if (!one) return oci_crew_together(&crew, work->n_jobs < OCI_CREW ? work->n_jobs : OCI_CREW, e);
    for (size_t i = 0; i < work->n_jobs; i++)
        if (!work->run(work->ctx, work->from, work->to, i, e)) return false;
    return true;
}

#undef OCI_CREW_WORTH
