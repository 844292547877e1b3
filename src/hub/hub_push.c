/* hub_push.c: a folder into a repository of the hub.
 *
 *   list -> repository (there? private? branch?) -> compare by hash -> modes -> hash -> objects
 *   -> commit -> read back
 *
 * Invariants
 *  1. A public repository is changed only when that was asked for.
 *  2. A commit names the commit that was compared with: what others did meanwhile is never undone.
 *     Whether a commit without an answer was made is read from the branch, not guessed.
 *  3. Success means that the hub was seen to have every file as it is here.
 *  4. Nothing is deleted at the hub.
 * ref: mlx-knife facts 7.4, hub facts 3.9.
 */
#include "hub/hub_int.h"

enum { HUB_PUSH_COMMITS = 3, HUB_PUSH_LATE_COMMITS = 2, HUB_PUSH_LOOKS = 5,
       HUB_PUSH_LATE_MS = 20000, HUB_PUSH_LOOK_MS = 2000 };

struct hub_pushing {
    struct arena *arena;
    struct hub *hub;
    const struct hub_push_options *options;
    struct hub_subject subject;
    struct hub_push_result *result;
    struct hub_locals locals;
    struct hub_repo remote;              /* commit empty: the branch has none */
    struct hub_local **changed; size_t n_changed;
    struct hub_event event;
};

/* ---- the repository (Private) ---------------------------------------------------------------- */

static bool hub_push_create_repo(struct hub_pushing *p, struct err *e) {
    struct hub_called reply;
    struct str owner = p->options->repo, name = owner, owner_json = STR_EMPTY;
    ptrdiff_t slash = str_find_char(owner, '/');
    if (slash >= 0) {                    /* both are of letters, digits, ._- */
        name = str_sub(owner, (size_t)slash + 1, owner.n);
        owner = str_sub(owner, 0, (size_t)slash);
        owner_json = str_format(p->arena, ",\"organization\":\"" STR_FMT "\"", STR_ARG(owner));
    }
    struct hub_call call = {
        .method_cstr = "POST",
        .url = str_concat(p->arena, p->hub->endpoint, STR("/api/repos/create")),
        .body = str_format(p->arena, "{\"name\":\"" STR_FMT "\"" STR_FMT
                           ",\"type\":\"model\",\"private\":true,\"visibility\":\"private\"}",
                           STR_ARG(name), STR_ARG(owner_json)),
    };
    if (hub_call_ask(p->arena, p->hub, &p->subject, &call, &reply, e)) {
        p->result->created_repo = true;
        return true;
    }
    if (reply.status != 409)
        return err_context(e, "the repository could not be created: ");
    err_clear(e);                        /* somebody was faster, or an answer was lost */
    return true;
}

/* *is_there, and whether it is public. What was just created may take a moment to show. */
static bool hub_push_look(struct hub_pushing *p, int n_looks, bool *is_there, struct err *e) {
    struct hub_called reply;
    struct hub_call call = { .method_cstr = "GET",
                             .url = hub_api_url(p->arena, p->hub, "/api/models/", p->options->repo,
                                                "", STR_EMPTY, "") };
    struct http_retry retry;
    http_retry_init(&retry, n_looks);
    for (;;) {
        *is_there = hub_call_ask(p->arena, p->hub, &p->subject, &call, &reply, e);
        if (*is_there) break;
        if (reply.status == 404 && reply.code.n == 0) {      /* some answer for revisions only */
            call.url = hub_api_url(p->arena, p->hub, "/api/models/", p->options->repo, "/revision/",
                                   STR("main"), "");
            err_clear(e);
            *is_there = hub_call_ask(p->arena, p->hub, &p->subject, &call, &reply, e);
            if (*is_there) break;
        }
        bool missing = str_eq(reply.code, STR("RepoNotFound"))
                       || (reply.status == 404 && reply.code.n == 0);
        if (!missing) return false;
        struct err pause = { .code = ERR_NET };
        int64_t wait_ms = http_retry_wait(&retry, NULL, &pause);
        if (wait_ms < 0) { err_clear(e); return true; }
        if (!hub_wait(p->hub, wait_ms, e)) return false;
    }
    const struct json *doc = json_parse_large(p->arena, reply.body, e);
    const struct json *private = json_get(doc, "private");
    if (!json_is(doc, JSON_OBJECT)) {
        err_set(e, ERR_FORMAT, "it is no object");
        return err_context(e, "the hub's answer about " STR_FMT " cannot be used: ",
                           STR_ARG(p->options->repo));
    }
    p->result->is_public = json_is(private, JSON_BOOL) && !private->boolean;
    return true;
}

static bool hub_push_find_repo(struct hub_pushing *p, struct err *e) {
    const struct hub_push_options *o = p->options;
    bool is_there;
    if (!hub_push_look(p, 1, &is_there, e)) return false;
    p->result->repo_missing = !is_there;
    if (!is_there && o->dry_run) return true;
    if (!is_there && !o->create) {
        p->result->stage = HUB_PUSH_MISSING;
        return err_set(e, ERR_NOT_FOUND, "Repository not found: " STR_FMT " (use --create)",
                       STR_ARG(o->repo));
    }
    if (!is_there) {
        if (!hub_push_create_repo(p, e) || !hub_push_look(p, HUB_PUSH_LOOKS, &is_there, e))
            return false;
        if (!is_there)
            return err_set(e, ERR_HTTP,
                           "the hub says that " STR_FMT " was created, but has no such "
                           "repository",
                           STR_ARG(o->repo));
    }
    if (!p->result->is_public || o->allow_public || o->dry_run) return true;
    p->result->stage = HUB_PUSH_PUBLIC;
    err_set(e, ERR_ACCESS,
            "the repository " STR_FMT " is public, so everybody would see these files",
            STR_ARG(o->repo));
    return err_hint(e, "make it private at " STR_FMT "/" STR_FMT
                    "/settings, or add --allow-public", STR_ARG(p->hub->endpoint),
                    STR_ARG(o->repo));
}

static bool hub_push_make_branch(struct hub_pushing *p, struct err *e) {
    struct hub_called reply;
    struct hub_call call = { .method_cstr = "POST", .body = STR("{}"),
                             .url = hub_api_url(p->arena, p->hub, "/api/models/", p->options->repo,
                                                "/branch/", p->subject.revision, "") };
    p->result->stage = HUB_PUSH_BRANCH;
    if (!hub_call_ask(p->arena, p->hub, &p->subject, &call, &reply, e) && reply.status != 409)
        return err_context(e, "the branch could not be created: ");
    err_clear(e);
    p->result->stage = HUB_PUSH_ASK;
    return true;
}

/* Files and commit of the branch. */
static bool hub_push_find_branch(struct hub_pushing *p, struct err *e) {
    const struct hub_push_options *o = p->options;
    struct str branch = p->subject.revision;
    if (p->result->repo_missing && o->dry_run) return true;
    if (hub_repo_info(p->arena, p->hub, o->repo, branch, &p->remote, e)) return true;
    if (e->code != ERR_NOT_FOUND) return false;
    p->result->branch_missing = true;
    p->remote = (struct hub_repo){ .name = o->repo };
    if (o->dry_run || str_eq(branch, STR("main"))) {     /* main comes with the first commit */
        err_clear(e);
        return true;
    }
    p->result->stage = HUB_PUSH_SEND;
    if (!o->create) {
        e->hint[0] = 0;
        return err_hint(e, "add --create to make the branch from main");
    }
    err_clear(e);
    return hub_push_make_branch(p, e)
           && hub_repo_info(p->arena, p->hub, o->repo, branch, &p->remote, e);
}

/* ---- the difference (Private) ---------------------------------------------------------------- */

static void hub_push_begin_count(struct hub_pushing *p, uint64_t total_bytes, size_t n_files) {
    p->event = (struct hub_event){ .kind = HUB_PLAN, .total_bytes = total_bytes,
                                   .total_files = n_files };
}

/* Is f at the hub as it is here? */
static bool hub_push_same(struct hub_pushing *p, struct hub_local *f, const struct hub_file *there,
                          bool *same, struct err *e) {
    *same = false;
    if (there->size_bytes != f->size_bytes) return true;
    p->event.path = f->path;
    if (!hub_local_hash(p->hub, f, there->lfs, &p->event, e)) return false;
    *same = str_eq_cstr(there->etag, there->lfs ? f->sha256 : f->git);
    return true;
}

static bool hub_push_remote_map(const struct hub_repo *remote, struct map *out, struct err *e) {
    map_init(out, HUB_MAX_FILES);
    for (size_t i = 0; i < remote->n_files; i++) {
        uint64_t *slot = map_put(out, remote->files[i].path, NULL);
        if (!slot) return err_oom(e, remote->n_files * 32, "a file list");
        *slot = i + 1;
    }
    return true;
}

static bool hub_push_compare(struct hub_pushing *p, struct map *remote, struct err *e) {
    uint64_t total_bytes = 0;
    for (size_t i = 0; i < p->locals.n; i++)
        if (map_get(remote, p->locals.p[i].path)) total_bytes += p->locals.p[i].size_bytes;
    hub_push_begin_count(p, total_bytes, p->locals.n);
    if (!hub_tell(p->hub, &p->event, e)) return false;
    for (size_t i = 0; i < p->locals.n; i++) {
        struct hub_local *f = &p->locals.p[i];
        const uint64_t *slot = map_get(remote, f->path);
        bool same = false;
        f->change = slot ? HUB_MODIFIED : HUB_ADDED;
        if (slot && !hub_push_same(p, f, &p->remote.files[*slot - 1], &same, e)) return false;
        if (same) f->change = HUB_UNCHANGED;
        else p->changed[p->n_changed++] = f;
        p->event.done_files++;
    }
    return true;
}

static bool hub_push_summary(struct hub_pushing *p, struct err *e) {
    struct hub_push_result *r = p->result;
    struct map here;
    struct str *added = ARENA_ARRAY(p->arena, struct str, p->locals.n),
               *deleted = ARENA_ARRAY(p->arena, struct str, p->remote.n_files);
    bool ok = (added && deleted) || err_oom(e, p->remote.n_files * 16, "a file list");
    map_init(&here, HUB_MAX_FILES);
    r->n_added = r->n_modified = r->n_deleted = 0;
    for (size_t i = 0; ok && i < p->locals.n; i++) {
        const struct hub_local *f = &p->locals.p[i];
        ok = map_put(&here, f->path, NULL) || err_oom(e, p->locals.n * 32, "a file list");
        if (f->change == HUB_ADDED && !f->skip) added[r->n_added++] = f->path;
        r->n_modified += f->change == HUB_MODIFIED && !f->skip;
    }
    for (size_t i = 0; ok && i < p->remote.n_files; i++)
        if (!map_get(&here, p->remote.files[i].path))
            deleted[r->n_deleted++] = p->remote.files[i].path;
    map_release(&here);
    r->added = added;
    r->deleted = deleted;
    r->no_changes = r->n_added + r->n_modified == 0;
    return ok;
}

static bool hub_push_diff(struct hub_pushing *p, struct err *e) {
    struct map remote;
    p->changed = ARENA_ARRAY(p->arena, struct hub_local *, p->locals.n);
    if (!p->changed) return err_oom(e, p->locals.n * 8, "a list of files");
    bool ok = hub_push_remote_map(&p->remote, &remote, e) && hub_push_compare(p, &remote, e)
              && hub_push_summary(p, e);
    map_release(&remote);
    return ok;
}

/* ---- sending (Private) ----------------------------------------------------------------------- */

static bool hub_push_hash(struct hub_pushing *p, struct err *e) {
    uint64_t total_bytes = 0;
    for (size_t i = 0; i < p->n_changed; i++)
        if (!(p->changed[i]->lfs ? p->changed[i]->sha256[0] : p->changed[i]->git[0]))
            total_bytes += p->changed[i]->size_bytes;
    hub_push_begin_count(p, total_bytes, p->n_changed);
    if (!hub_tell(p->hub, &p->event, e)) return false;
    for (size_t i = 0; i < p->n_changed; i++) {
        p->event.path = p->changed[i]->path;
        if (!hub_local_hash(p->hub, p->changed[i], p->changed[i]->lfs, &p->event, e)) return false;
        p->event.done_files++;
    }
    return true;
}

static bool hub_push_objects(struct hub_pushing *p, struct err *e) {
    struct hub_upload u = { .hub = p->hub,
                            .repo = p->options->repo,
                            .branch = p->subject.revision };
    struct hub_local **objects = ARENA_ARRAY(p->arena, struct hub_local *, p->n_changed);
    size_t n = 0, n_kept = 0;
    uint64_t total_bytes = 0;
    if (!objects) return err_oom(e, p->n_changed * 8, "a list of files");
    if (!hub_upload_modes(&u, p->changed, p->n_changed, e)) return false;
    for (size_t i = 0; i < p->n_changed; i++)
        if (!p->changed[i]->skip) p->changed[n_kept++] = p->changed[i];
    p->n_changed = n_kept;
    if (!hub_push_summary(p, e) || !hub_push_hash(p, e)) return false;
    for (size_t i = 0; i < p->n_changed; i++)
        if (p->changed[i]->lfs) {
            objects[n++] = p->changed[i];
            total_bytes += p->changed[i]->size_bytes;
        }
    hub_push_begin_count(p, total_bytes, n);
    u.event = p->event;
    bool ok = hub_tell(p->hub, &u.event, e) && hub_upload_objects(&u, objects, n, e);
    p->result->uploaded_bytes = u.uploaded_bytes;
    p->result->n_stored = u.n_stored;
    return ok;
}

/* Has this state of the hub every file that was sent? NULL = yes. */
static const struct hub_local *hub_push_missing(struct hub_pushing *p, const struct hub_repo *repo,
                                                struct err *e) {
    struct map there;
    const struct hub_local *bad = NULL;
    if (!hub_push_remote_map(repo, &there, e)) bad = p->changed[0];
    for (size_t i = 0; !bad && i < p->n_changed; i++) {
        const struct hub_local *f = p->changed[i];
        const uint64_t *slot = map_get(&there, f->path);
        const struct hub_file *r = slot ? &repo->files[*slot - 1] : NULL;
        bool same = r && r->size_bytes == f->size_bytes && r->lfs == f->lfs
                    && str_eq_cstr(r->etag, f->lfs ? f->sha256 : f->git);
        if (!same) bad = f;
    }
    map_release(&there);
    return bad;
}

/* The branch, which may still be on its way to the commit that was sent: looked at for some seconds
 * when the answer was only late. */
static bool hub_push_branch_now(struct hub_pushing *p, bool late, struct hub_repo *now,
                                struct err *e) {
    int64_t end_ns = os_now_ns() + (late ? HUB_PUSH_LATE_MS * 1000000LL : 0);
    for (;;) {
        if (!hub_repo_info(p->arena, p->hub, p->options->repo, p->subject.revision, now, e)) {
            if (e->code != ERR_NOT_FOUND || p->remote.commit.n) return false;
            err_clear(e);
            *now = p->remote;
        }
        if (os_now_ns() >= end_ns || !str_eq(now->commit, p->remote.commit)) return true;
        if (!http_retry_sleep(HUB_PUSH_LOOK_MS, e)) return false;
    }
}

/* No usable answer to a commit (why: e): was it made? *again: certainly not, it may be sent
 * anew. */
static bool hub_push_settle(struct hub_pushing *p, int status, bool *again, struct err *e) {
    struct err why = *e;
    struct hub_repo now;
    err_clear(e);
    *again = false;
    if (why.code == ERR_INTERRUPTED) { *e = why; return false; }
    if (!hub_push_branch_now(p, why.code == ERR_NET_TIMEOUT, &now, e)) {
        err_context(&why, "whether the commit was made is not known (%s): ", e->msg);
        *e = why;
        return false;
    }
    if (str_eq(now.commit, p->remote.commit)) {
        *e = why;
        *again = status == 0 || status >= 500 || (status >= 200 && status < 300);
        return false;
    }
    err_clear(e);
    if (!hub_push_missing(p, &now, e)) {         /* made, though nobody told us */
        p->result->commit = now.commit;
        return true;
    }
    err_clear(e);
    err_set(e, ERR_EXISTS, STR_FMT " has moved from %.7s to %.7s while files were sent",
            STR_ARG(p->subject.revision), p->remote.commit.n ? p->remote.commit.p : "nothing",
            now.commit.p);
    return err_hint(e, "run the command again: it compares with the new state, and sends only what "
                       "is missing");
}

static bool hub_push_commit(struct hub_pushing *p, struct err *e) {
    struct str message = p->options->message.n ? p->options->message : STR("mlx-knife push");
    for (int attempt = 1;; attempt++) {
        int status;
        bool again, ok = hub_commit_send(p->arena, p->hub, &p->subject, p->remote.commit, message,
                                         p->changed, p->n_changed, &status, &p->result->commit,
                                         &p->result->commit_url, e);
        if (ok && p->result->commit.n) return true;
        if (ok) err_set(e, ERR_FORMAT, "the hub's answer to the commit cannot be used");
        bool refused = status >= 400 && status < 500 && status != 412 && status != 409
                       && status != 408;
        if (refused || e->code == ERR_IO) return false;
        int most = e->code == ERR_NET_TIMEOUT ? HUB_PUSH_LATE_COMMITS : HUB_PUSH_COMMITS;
        if (hub_push_settle(p, status, &again, e)) return true;
        if (!again || attempt >= most) return false;
        struct http_retry retry;
        struct err pause = { .code = ERR_NET };
        http_retry_init(&retry, HUB_PUSH_COMMITS);
        retry.attempt = attempt - 1;
        if (!hub_wait(p->hub, http_retry_wait(&retry, NULL, &pause), e)) return false;
    }
}

/* The commit as the hub shows it; a moment may pass until it does. */
static bool hub_push_read_back(struct hub_pushing *p, struct err *e) {
    struct hub_repo now;
    struct http_retry retry;
    http_retry_init(&retry, HUB_PUSH_LOOKS);
    while (!hub_repo_info(p->arena, p->hub, p->options->repo, p->result->commit, &now, e)) {
        struct err pause = { .code = ERR_NET };
        int64_t wait_ms = e->code == ERR_NOT_FOUND ? http_retry_wait(&retry, NULL, &pause) : -1;
        if (!hub_wait(p->hub, wait_ms, e))
            return err_context(e, "the commit was made, but could not be read back: ");
    }
    const struct hub_local *bad = hub_push_missing(p, &now, e);
    if (!bad || e->code != ERR_OK) return !bad;
    err_set(e, ERR_INTEGRITY, "the commit %.7s was made, but the hub does not have " STR_FMT
            " as it is here", p->result->commit.p, STR_ARG(bad->path));
    return err_hint(e, "run the command again");
}

/* ---- (Public) -------------------------------------------------------------------------------- */

static bool hub_push_run(struct hub_pushing *p, struct err *e) {
    struct hub_push_result *r = p->result;
    if (!cache_model_name_ok(p->options->repo, e) || !cache_revision_ok(p->subject.revision, e)
        || !hub_local_list(p->arena, p->options->dir_cstr, &p->locals, e))
        return false;
    r->n_local = p->locals.n_all;
    r->stage = HUB_PUSH_ASK;
    if (!hub_push_find_repo(p, e) || !hub_push_find_branch(p, e)) return false;
    r->stage = HUB_PUSH_SEND;
    if (!hub_push_diff(p, e)) return false;
    if (p->options->dry_run || r->no_changes) return true;
    if (!hub_push_objects(p, e)) return false;
    if (r->no_changes) return true;              /* the hub ignores all of it */
    return hub_push_commit(p, e) && hub_push_read_back(p, e);
}

/* Of several endpoints the one that the token belongs to: mirrors take no uploads. */
static struct hub hub_push_endpoint(const struct hub *h) {
    size_t i = 0;
    while (i + 1 < h->n_endpoints && !h->endpoints[i].owns_token) i++;
    struct hub one = hub_at(h, i);
    one.endpoints[0] = h->endpoints[i];
    one.n_endpoints = 1;
    one.at = 0;
    return one;
}

MLXK_FN bool hub_push(struct arena *a, struct hub *any, const struct hub_push_options *o,
                      struct hub_push_result *out, struct err *e) {
    struct hub one = hub_push_endpoint(any), *h = &one;
    struct hub_pushing p = { .arena = a, .hub = h, .options = o, .result = out };
    *out = (struct hub_push_result){ .stage = HUB_PUSH_READ, .endpoint = h->endpoint };
    p.subject = (struct hub_subject){ .repo = o->repo,
                                      .revision = o->branch.n ? o->branch : STR("main") };
    if (h->offline) {
        err_set(e, ERR_NET, "HF_HUB_OFFLINE is set, so nothing is pushed");
        return err_hint(e, "unset it to reach " STR_FMT, STR_ARG(h->endpoint));
    }
    h->event = o->event;
    h->ctx = o->ctx;
    bool ok = hub_push_run(&p, e);
    if (ok && out->commit.n && !out->commit_url.n)
        out->commit_url = str_format(a, STR_FMT "/" STR_FMT "/commit/" STR_FMT,
                                     STR_ARG(h->endpoint), STR_ARG(o->repo), STR_ARG(out->commit));
    return ok;
}
