/* cmd_index_update.c: `index update`: repositories are found, asked, and kept in the index.
 *
 * 1. A word is a registry, or the beginning of names in it: its catalog is asked. Where a registry
 *    has none, the word is a repository. Without a word: all that the index knows.
 * 2. What one repository refuses does not stop the others; the exit status tells.
 * 3. What was learned is kept every few seconds, and when it is stopped.
 */
#include "cli/cmd_index.h"

#define CMD_INDEX_KEEP_NS ((int64_t)5 * 1000000000)
#define CMD_INDEX_MEMORY ((size_t)4 << 30)

enum cmd_index_state { CMD_INDEX_OK, CMD_INDEX_GONE, CMD_INDEX_FAILED };
struct cmd_index_target {
    struct oci_ref ref;
    struct str name;
    bool named;                  /* by a person, not by a catalog */
    enum cmd_index_state state;
    bool changed;
    size_t n_versions;
    struct rel_index_scan scan;
    struct str message;          /* of a failure */
};
struct cmd_index_catalog { struct str host; struct oci_names names; bool has; };
struct cmd_index_dead { struct str host; struct err why; };

struct cmd_index_work {
    struct cmd_index *x;
    struct cli_oci progress;
    struct rel_index old;
    struct oci *first;           /* its connections serve the others, too; or NULL */
    bool rebuilt;
    struct cmd_index_target *targets; size_t n, cap;
    struct map seen;             /* names of targets */
    struct cmd_index_catalog catalogs[16]; size_t n_catalogs;
    struct cmd_index_dead dead[16]; size_t n_dead;   /* hosts that do not answer */
    struct str *sources; size_t n_sources;
    struct arena batch;          /* of what is not kept yet */
    struct rel_index_repo *repos; size_t *owners, n_repos;
    int64_t kept_ns;
};

/* ---- which repositories (Private) ---- */

static bool cmd_index_target(struct cmd_index_work *w, const struct oci_ref *ref, bool named) {
    struct cli_context *c = w->x->c;
    bool is_new;
    struct oci_ref plain = *ref;
    plain.tag = plain.digest = STR_EMPTY;
    if (plain.path_cstr) plain.path_cstr = os_path_absolute(&c->arena, plain.path_cstr, &c->err);
    if (ref->path_cstr && !plain.path_cstr) return false;
    struct str name = oci_ref_text(&c->arena, &plain);
    if (!name.n || !map_put(&w->seen, name, &is_new)) return err_oom(&c->err, 256, "a list");
    if (!is_new) return true;
    struct cmd_index_target *grown =
        ARENA_GROW(&c->arena, struct cmd_index_target, w->targets, w->n, &w->cap, 64);
    if (!grown) return err_oom(&c->err, (w->n + 1) * sizeof *grown, "a list");
    w->targets = grown;
    w->targets[w->n++] = (struct cmd_index_target){ .ref = plain, .name = name, .named = named };
    return true;
}

/* The catalog of a host; NULL without an error: it has none. */
static const struct cmd_index_catalog *cmd_index_catalog(struct cmd_index_work *w,
                                                         struct str host) {
    struct cli_context *c = w->x->c;
    for (size_t i = 0; i < w->n_catalogs; i++)
        if (str_eq(w->catalogs[i].host, host)) return &w->catalogs[i];
    struct cmd_index_catalog *k = &w->catalogs[w->n_catalogs % MLXK_COUNT(w->catalogs)];
    *k = (struct cmd_index_catalog){ .host = host };
    struct oci_ref any = { .kind = OCI_REGISTRY, .host = host, .repo = STR("catalog") };
    struct oci *o = cli_oci_open(&w->progress, &any, false, true);
    if (!o) return NULL;
    k->has = oci_catalog(&c->arena, o, &k->names, &c->err);
    oci_close(o);
    if (!k->has && c->err.code == ERR_UNSUPPORTED) err_clear(&c->err);
    if (c->err.code != ERR_OK) return NULL;
    if (w->n_catalogs < MLXK_COUNT(w->catalogs)) w->n_catalogs++;
    return k;
}

static bool cmd_index_source(struct cmd_index_work *w, struct str host, struct str prefix,
                             struct str word, size_t *n_found) {
    struct cli_context *c = w->x->c;
    const struct cmd_index_catalog *k = cmd_index_catalog(w, host);
    *n_found = 0;
    if (!k) return false;
    for (size_t i = 0; k->has && i < k->names.n; i++) {
        struct oci_ref ref = { .kind = OCI_REGISTRY, .host = host, .repo = k->names.names[i] };
        if (prefix.n && !rel_index_below(ref.repo, prefix)) continue;
        ++*n_found;
        if (!cmd_index_target(w, &ref, false)) return false;
    }
    if (k->has && (*n_found || !prefix.n)) w->sources[w->n_sources++] = word;
    if (k->has || prefix.n) return true;
    err_set(&c->err, ERR_UNSUPPORTED, STR_FMT " does not tell which repositories it has",
            STR_ARG(host));
    return err_hint(&c->err, "name them: `mlxk index update " STR_FMT "/ORG/NAME`", STR_ARG(host));
}

static bool cmd_index_word(struct cmd_index_work *w, struct str word) {
    struct cli_context *c = w->x->c;
    struct oci_ref ref;
    size_t n_found = 0;
    static const char *const schemes[] = { "oci://", "docker://" };
    for (size_t i = 0; i < MLXK_COUNT(schemes); i++)
        if (str_starts(word, str_cstr(schemes[i])))
            word = str_sub(word, strlen(schemes[i]), word.n);
    while (word.n && word.p[word.n - 1] == '/') word.n--;
    bool host_only = str_find_char(word, '/') < 0 && !oci_ref_is(word)
                     && (str_find_char(word, '.') >= 0 || str_find_char(word, ':') >= 0
                         || str_eq(word, STR("localhost")));
    if (host_only) {                 /* "HOST/x" is read to check the host */
        struct str whole = str_concat(&c->arena, word, STR("/x"));
        if (!whole.p || !cli_oci_ref(c, whole, &ref)) return false;
        return cmd_index_source(w, ref.host, STR_EMPTY, ref.host, &n_found);
    }
    if (!cli_oci_ref(c, word, &ref)) return false;
    if (ref.tag.n || ref.digest.n) {
        err_set(&c->err, ERR_INVALID, "'" STR_FMT "' names one artifact, not a repository",
                STR_ARG(str_sub(word, 0, 200)));
        return err_hint(&c->err, "leave out its tag and digest");
    }
    if (ref.kind == OCI_REGISTRY && !str_eq(ref.host, STR("docker.io"))
        && !cmd_index_source(w, ref.host, ref.repo, oci_ref_text(&c->arena, &ref), &n_found))
        return false;
    return n_found || cmd_index_target(w, &ref, true);
}

/* A registry that does not answer now fails with its repositories, and the others go on. */
static bool cmd_index_known_source(struct cmd_index_work *w, struct str source) {
    struct cli_context *c = w->x->c;
    if (cmd_index_word(w, source)) return true;
    if (c->err.code == ERR_INTERRUPTED || c->err.code == ERR_NO_MEMORY
        || w->n_dead == MLXK_COUNT(w->dead))
        return false;
    w->dead[w->n_dead++] = (struct cmd_index_dead){ str_cut(&source, '/'), c->err };
    err_clear(&c->err);
    return true;
}

static bool cmd_index_known(struct cmd_index_work *w) {
    struct cli_context *c = w->x->c;
    for (size_t i = 0; i < w->old.n_sources; i++)
        if (!cmd_index_known_source(w, w->old.sources[i])) return false;
    for (size_t i = 0; i < w->old.n; i++) {
        struct oci_ref ref;
        if (!oci_ref_parse(&c->arena, w->old.repos[i].name, &ref, &c->err)
            || !cmd_index_target(w, &ref, false))
            return false;
    }
    if (w->n) return true;
    err_set(&c->err, ERR_USAGE, "the index is empty: name a registry or a repository");
    return err_hint(&c->err, "mlxk index update HOST[/PREFIX]");
}

/* ---- keeping (Private) ---- */

static bool cmd_index_keep_work(void *ctx, struct rel_index *index, bool *changed, struct err *e) {
    struct cmd_index_work *w = ctx;
    int64_t now_s = os_time_ns() / 1000000000;
    for (size_t i = 0; i < w->n_sources; i++)
        if (!rel_index_add_source(index, w->sources[i], changed, e)) return false;
    for (size_t i = 0; i < w->n_repos; i++) {
        bool *one = &w->targets[w->owners[i]].changed;
        if (!rel_index_put(index, &w->repos[i], now_s, one, e)) return false;
        *changed = *changed || *one;
    }
    return true;
}

static bool cmd_index_keep(struct cmd_index_work *w) {
    struct cli_context *c = w->x->c;
    struct err why = { 0 };          /* kept also after a failure, whose words are not lost */
    bool rebuilt = false;
    bool ok = rel_index_change(w->x->dir_cstr, cmd_index_keep_work, w, &rebuilt, &why);
    w->rebuilt = w->rebuilt || rebuilt;
    if (!ok && c->err.code == ERR_OK) c->err = why;
    arena_release(&w->batch);
    arena_init(&w->batch, CMD_INDEX_MEMORY);
    w->n_repos = 0;
    w->kept_ns = os_now_ns();
    return ok;
}

/* ---- one repository (Private) ---- */

static bool cmd_index_failed(struct cmd_index_target *t, struct cli_context *c,
                             const struct err *why) {
    t->state = CMD_INDEX_FAILED;
    t->message = str_dup(&c->arena, str_cstr(why->msg));
    if (why->code != ERR_INTERRUPTED && why->code != ERR_NO_MEMORY) return true;
    c->err = *why;
    return false;
}

static bool cmd_index_ask(struct cmd_index_work *w, size_t i) {
    struct cli_context *c = w->x->c;
    struct cmd_index_target *t = &w->targets[i];
    const struct rel_index_repo *old = rel_index_find(&w->old, t->name);
    struct rel_index_repo *repo = &w->repos[w->n_repos];
    struct err why = { 0 };
    struct oci_options options;
    for (size_t k = 0; k < w->n_dead; k++)
        if (str_eq(w->dead[k].host, t->ref.host)) return cmd_index_failed(t, c, &w->dead[k].why);
    cli_oci_options(c, &options);
    t->scan.all = cli_flag(&c->args, "--all");
    struct oci *o = w->first ? oci_open_beside(w->first, &t->ref, &options, &why)
                             : oci_open(&t->ref, &options, &why);
    bool ok = o && rel_index_read(&w->batch, o, t->name, old, &t->scan, repo, &why);
    if (!w->first && t->ref.kind == OCI_REGISTRY) w->first = o;
    else oci_close(o);
    if (!ok && why.code == ERR_NOT_FOUND && (old || !t->named)) {
        t->state = CMD_INDEX_GONE;
        if (!old) return true;
        *repo = *old;
        repo->gone = true;
    } else if (!ok) return cmd_index_failed(t, c, &why);
    t->n_versions = repo->n;
    w->owners[w->n_repos++] = i;
    return true;
}

static bool cmd_index_all(struct cmd_index_work *w) {
    struct cli_context *c = w->x->c;
    struct cli_progress p;
    bool ok = true;
    w->repos = ARENA_ARRAY(&c->arena, struct rel_index_repo, w->n + 1);
    w->owners = ARENA_ARRAY(&c->arena, size_t, w->n + 1);
    if (!w->repos || !w->owners) return err_oom(&c->err, w->n * sizeof *w->repos, "a list");
    cli_progress_begin(c, &p, "repositories", w->n, false);
    w->kept_ns = os_now_ns();
    for (size_t i = 0; ok && i < w->n; i++) {
        ok = !os_interrupted() || err_set(&c->err, ERR_INTERRUPTED, "interrupted");
        ok = ok && cmd_index_ask(w, i);
        cli_progress_update(&p, i + 1);
        if (ok && os_now_ns() - w->kept_ns > CMD_INDEX_KEEP_NS) ok = cmd_index_keep(w);
    }
    cli_progress_end(&p);
    oci_close(w->first);
    return cmd_index_keep(w) && ok;
}

/* ---- telling (Private) ---- */

static void cmd_index_document(struct cmd_index_work *w, struct json_writer *j,
                               const struct oci_ref *ref, const struct rel_index_pushed *pushed) {
    static const char *const states[] = { "ok", "gone", "failed" };
    json_write_object(j);
    json_write_member(j, "action", STR("update"));
    json_write_key(j, "rebuilt");
    json_write_bool(j, w->rebuilt);
    json_write_key(j, "repositories");
    json_write_array(j);
    for (size_t i = 0; i < w->n; i++) {
        const struct cmd_index_target *t = &w->targets[i];
        const struct { const char *key_cstr; size_t n; } numbers[] = {
            { "n_versions", t->n_versions }, { "n_tags", t->scan.n_tags },
            { "n_asked", t->scan.n_asked }, { "n_read", t->scan.n_read },
            { "n_odd", t->scan.n_odd } };
        json_write_object(j);
        json_write_member(j, "repository", t->name);
        json_write_member(j, "status", str_cstr(states[t->state]));
        json_write_key(j, "changed");
        json_write_bool(j, t->changed);
        for (size_t k = 0; k < MLXK_COUNT(numbers); k++) {
            json_write_key(j, numbers[k].key_cstr);
            json_write_u64(j, numbers[k].n);
        }
        json_write_member_or_null(j, "message", t->message);
        json_write_object_end(j);
    }
    json_write_array_end(j);
    if (pushed->digest.n) cmd_index_pushed(w->x, j, ref, pushed);
    json_write_object_end(j);
}

static void cmd_index_people(struct cmd_index_work *w, const struct oci_ref *ref,
                             const struct rel_index_pushed *pushed) {
    struct cli_context *c = w->x->c;
    size_t n_changed = 0, n_versions = 0, n_asked = 0, n_read = 0, n_odd = 0;
    if (w->rebuilt)
        cli_note(c, "note: the index was damaged; it is built anew, and the old file lies beside "
                    "it as index.json.z.damaged");
    for (size_t i = 0; i < w->n; i++) {
        const struct cmd_index_target *t = &w->targets[i];
        n_changed += t->changed;
        n_versions += t->n_versions;
        n_asked += t->scan.n_asked;
        n_read += t->scan.n_read;
        n_odd += t->scan.n_odd;
        if (t->state == CMD_INDEX_GONE)
            cli_note(c, "note: " STR_FMT " is not there any more", STR_ARG(t->name));
        if (t->state == CMD_INDEX_FAILED)
            cli_note(c, STR_FMT ": " STR_FMT, STR_ARG(t->name), STR_ARG(t->message));
    }
    cli_print(c, "%zu repositories, %zu changed; %zu versions, %zu of them read", w->n, n_changed,
              n_versions, n_read);
    cli_print(c, "; %zu tags asked for\n", n_asked);
    if (n_odd) cli_note(c, "note: %zu versions cannot be read", n_odd);
    if (pushed->digest.n) cmd_index_told(w->x, ref, pushed);
}

static int cmd_index_end(struct cmd_index_work *w, bool ok, const struct oci_ref *ref,
                         const struct rel_index_pushed *pushed) {
    struct cli_context *c = w->x->c;
    size_t n_failed = 0;
    for (size_t i = 0; i < w->n; i++) n_failed += w->targets[i].state == CMD_INDEX_FAILED;
    if (ok && n_failed) {
        err_set(&c->err, ERR_NET, "%zu of %zu repositories could not be asked", n_failed, w->n);
        err_hint(&c->err, "what the index knew of them stays");
    }
    if (!c->out.json) {
        if (w->n) cmd_index_people(w, ref, pushed);
        return ok && !n_failed ? 0 : cli_fail(c, &c->err, NULL);
    }
    if (ok && !n_failed) {
        cmd_index_document(w, cli_document(c), ref, pushed);
        return cli_document_end(c);
    }
    struct buf data;
    struct json_writer j;
    cli_data_begin(&j, &data, (size_t)256 << 20);
    cmd_index_document(w, &j, ref, pushed);
    int status = cli_fail_data(c, &c->err, NULL, buf_str(&data), STR_EMPTY);
    buf_release(&data);
    return status;
}

/* A damaged index is told only where nothing is named that it could be built from. */
static bool cmd_index_begin(struct cmd_index_work *w) {
    struct cli_context *c = w->x->c;
    struct err why = { 0 };
    bool ok = rel_index_load(&w->old, w->x->dir_cstr, &why);
    if (!ok) {
        rel_index_release(&w->old);
        rel_index_init(&w->old);
        bool mends = w->x->n && (why.code == ERR_FORMAT || why.code == ERR_LIMIT);
        if (!mends) {
            c->err = why;
            return false;
        }
    }
    w->sources = ARENA_ARRAY(&c->arena, struct str, w->x->n + w->old.n_sources + 1);
    if (!w->sources) return err_oom(&c->err, w->x->n, "a list");
    for (size_t i = 0; i < w->x->n; i++)
        if (!cmd_index_word(w, str_trim(w->x->words[i]))) return false;
    return w->x->n || cmd_index_known(w);
}

MLXK_FN int cmd_index_update(struct cmd_index *x) {
    struct cmd_index_work w = { .x = x };
    struct oci_ref ref = { 0 };
    struct rel_index_pushed pushed = { 0 };
    rel_index_init(&w.old);
    arena_init(&w.batch, CMD_INDEX_MEMORY);
    map_init(&w.seen, REL_INDEX_MAX_REPOS);
    cli_oci_begin(&w.progress, x->c);
    bool ok = cmd_index_begin(&w) && cmd_index_all(&w)
              && cmd_index_push_to(x, cli_text(&x->c->args, "--push"), &ref, &pushed);
    cli_oci_end(&w.progress);
    int status = cmd_index_end(&w, ok, &ref, &pushed);
    map_release(&w.seen);
    arena_release(&w.batch);
    rel_index_release(&w.old);
    return status;
}

#undef CMD_INDEX_KEEP_NS
#undef CMD_INDEX_MEMORY
