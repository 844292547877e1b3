/* oci_open.c: handles made and ended; which host answers for a registry. */
#include "oci/oci_int.h"

enum { OCI_OPEN_ATTEMPTS = 5 };
#define OCI_OPEN_ARENA ((size_t)512 << 20)
#define OCI_OPEN_CHUNK ((uint64_t)64 << 20)

MLXK_FN struct oci_peer *oci_home(struct oci *o) {
    return &o->peers[o->n_peers - 1];
}

MLXK_FN bool oci_tell(struct oci *o, enum oci_event_kind kind, struct err *e) {
    o->event.kind = kind;
    if (os_interrupted()) return err_set(e, ERR_INTERRUPTED, "interrupted");
    if (!o->options.event || o->options.event(o->options.ctx, &o->event)) return true;
    return err_set(e, ERR_INTERRUPTED, "the transfer was stopped");
}

MLXK_FN bool oci_note(struct oci *o, const char *note_cstr, struct err *e) {
    o->event.note_cstr = note_cstr;
    bool ok = oci_tell(o, OCI_NOTE, e);
    o->event.note_cstr = NULL;
    return ok;
}

/* ---- peers (Private) ------------------------------------------------------------------------- */

/* location: HOST[/PATH]; from: the part of the repository's name that PATH stands for. */
static bool oci_open_peer(struct oci *o, struct str location, struct str from, bool loose,
                          struct err *e) {
    if (o->n_peers > OCI_MAX_MIRRORS)
        return err_set(e, ERR_LIMIT, "more than %d mirrors", OCI_MAX_MIRRORS);
    struct oci_peer *peer = &o->peers[o->n_peers];
    struct str to = str_dup(&o->arena, location), host = str_cut(&to, '/');
    bool plain = oci_listed(o->options.plain_http, o->options.n_plain_http, host);
    struct str api = str_eq(host, STR("docker.io")) ? STR("registry-1.docker.io") : host;
    *peer = (struct oci_peer){ .host = host, .to = to, .from = str_dup(&o->arena, from) };
    peer->base = str_format(&o->arena, "http%s://" STR_FMT, plain ? "" : "s", STR_ARG(api));
    peer->may_fall = !plain && (oci_host_is_loopback(host) || loose)
                     && !oci_listed(o->options.insecure, o->options.n_insecure, host);
    if (loose) o->loose_hosts[o->n_loose_hosts++] = host;
    o->n_peers++;
    return (peer->host.p && peer->base.p) || err_oom(e, location.n, "a registry");
}

static bool oci_open_named_mirrors(struct oci *o, struct err *e) {
    for (size_t i = 0; i < o->options.n_mirrors; i++) {
        struct str peer = o->options.mirrors[i], of = str_cut(&peer, '=');
        if (!peer.n)
            return err_set(e, ERR_INVALID, "'%s' names no mirror: HOST=PEER is wanted",
                           oci_show(of).text);
        if (str_ieq(of, o->ref.host) && !oci_open_peer(o, peer, STR_EMPTY, false, e)) return false;
    }
    return true;
}

static bool oci_open_peers(struct oci *o, struct err *e) {
    struct oci_conf conf;
    if (!oci_open_named_mirrors(o, e) || !oci_conf_read(&o->arena, &conf, e)) return false;
    const struct oci_conf_registry *x = oci_conf_find(&conf, o->ref.host, o->ref.repo);
    if (!x) return oci_open_peer(o, o->ref.host, STR_EMPTY, false, e);
    if (x->blocked) {
        err_set(e, ERR_ACCESS, STR_FMT " is blocked by registries.conf", STR_ARG(x->prefix));
        return err_hint(e, "the person or the administrator of this machine has said so");
    }
    struct str from = x->prefix;
    (void)str_cut(&from, '/');
    for (size_t i = 0; i < x->n_mirrors; i++) {
        const struct oci_conf_mirror *m = &x->mirrors[i];
        if (!m->location.n) continue;
        if (!oci_open_peer(o, m->location, from, m->insecure, e)) return false;
        o->peers[o->n_peers - 1].no_tags = m->no_tags;
        o->peers[o->n_peers - 1].no_digests = m->no_digests;
    }
    bool wild = str_starts(x->location, STR("*."));
    return oci_open_peer(o, wild ? o->ref.host : x->location, wild ? STR_EMPTY : from, x->insecure,
                         e);
}

static bool oci_open_ref(struct oci *o, const struct oci_ref *r, struct err *e) {
    o->ref = (struct oci_ref){ .kind = r->kind,
                               .host = str_dup(&o->arena, r->host),
                               .repo = str_dup(&o->arena, r->repo),
                               .tag = str_dup(&o->arena, r->tag),
                               .digest = str_dup(&o->arena, r->digest) };
    if (r->path_cstr) o->ref.path_cstr = os_path_absolute(&o->arena, r->path_cstr, e);
    return r->path_cstr ? o->ref.path_cstr != NULL
                        : (o->ref.host.p && o->ref.repo.p) || err_oom(e, r->repo.n, "a reference");
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN struct oci *oci_open(const struct oci_ref *r, const struct oci_options *options,
                             struct err *e) {
    struct oci *o = mem_alloc(sizeof *o);
    if (!o) { err_oom(e, sizeof *o, "a registry"); return NULL; }
    *o = (struct oci){ .options = *options };
    arena_init(&o->arena, OCI_OPEN_ARENA);
    if (o->options.attempts <= 0) o->options.attempts = OCI_OPEN_ATTEMPTS;
    if (!o->options.chunk_bytes) o->options.chunk_bytes = OCI_OPEN_CHUNK;
    bool ok = oci_open_ref(o, r, e)
              && (r->kind == OCI_REGISTRY ? oci_open_peers(o, e) : oci_layout_open(o, e));
    if (ok) return o;
    oci_close(o);
    return NULL;
}

MLXK_FN struct oci *oci_open_beside(const struct oci *other, const struct oci_ref *r,
                                    const struct oci_options *options, struct err *e) {
    struct oci *o = oci_open(r, options, e);
    if (!o) return NULL;
    o->strict = other->strict;
    o->loose = other->loose;
    o->strict_is_lent = o->strict != NULL;
    o->loose_is_lent = o->loose != NULL;
    return o;
}

MLXK_FN bool oci_finish(struct oci *o, struct err *e) {
    return o->ref.kind == OCI_REGISTRY || oci_layout_finish(o, e);
}

MLXK_FN void oci_close(struct oci *o) {
    if (!o) return;
    for (size_t i = 0; i < o->n_peers; i++) oci_auth_close(&o->peers[i]);
    if (o->ref.kind != OCI_REGISTRY) oci_layout_close(o);
    if (!o->strict_is_lent) http_close(o->strict);
    if (!o->loose_is_lent) http_close(o->loose);
    arena_release(&o->arena);
    mem_free(o);
}

MLXK_FN const struct oci_ref *oci_where(const struct oci *o) {
    return &o->ref;
}

MLXK_FN bool oci_use(struct oci *o, struct str repo, struct err *e) {
    if (!oci_repo_ok(repo))
        return err_set(e, ERR_INVALID, "'%s' is no name of a repository", oci_show(repo).text);
    o->ref.repo = str_dup(&o->arena, repo);
    return o->ref.repo.p || err_oom(e, repo.n, "a name");
}

#undef OCI_OPEN_ARENA
#undef OCI_OPEN_CHUNK
