/* cli_doctor_cache.c: where the cache is and why, who may write it, how much room there is, what
 * its file system can, and whether models can be used offline.
 *
 * The token is looked for, never shown: its source is.
 */
#include "cli/cli_doctor.h"
#include "hub/hub.h"

#include <build_info.h>

#define CLI_DOCTOR_LOW ((uint64_t)1000000000)        /* free bytes that call for a warning */
#define CLI_DOCTOR_OUT ((uint64_t)50000000)          /* that are too few for anything */
enum { CLI_DOCTOR_FILES = 1000, CLI_DOCTOR_NAMES = 3 };

static struct str cli_doctor_size(struct cli_doctor *d, uint64_t n) {
    char text[16];
    num_format_size(text, n);
    return str_dup(&d->c->arena, str_cstr(text));
}

/* ---- paths and settings ---- */

static void cli_doctor_root(struct cli_doctor *d) {
    struct cli_context *c = d->c;
    struct os_stat st;
    char *dir = str_dup_cstr(&c->arena, str_cstr(c->cache.root_cstr));
    bool there = os_stat(c->cache.root_cstr, &st), is_dir = there && st.kind == OS_DIR;
    while (dir && !os_stat(dir, &st) && strcmp(dir, "/") != 0) dir = os_path_dir(&c->arena, dir);
    d->place_cstr = dir ? dir : "/";
    cli_doctor_add(d, there && !is_dir ? CLI_DOCTOR_BAD : CLI_DOCTOR_OK, "paths", "cache",
                   str_cstr(c->cache.root_cstr), c->cache.root_from_cstr,
                   there && !is_dir ? "this is no folder: set HF_HOME to another one" : NULL);
    if (!there)
        cli_doctor_add(d, CLI_DOCTOR_OK, "paths", "cache exists", STR("not yet"), NULL, NULL);
}

static void cli_doctor_folder(struct cli_doctor *d, const char *name_cstr,
                              const char *variable_cstr, const char *otherwise_cstr) {
    const char *set = os_env(variable_cstr);
    bool given = set && *set;
    char *path = os_path_expand(&d->c->arena, given ? set : otherwise_cstr);
    cli_doctor_add(d, CLI_DOCTOR_OK, "paths", name_cstr, str_cstr(path),
                   given ? variable_cstr : "default", NULL);
}

static void cli_doctor_workspace(struct cli_doctor *d) {
    const char *home = os_env("MLXK_WORKSPACE_HOME");
    if (!home || !*home)
        cli_doctor_add(d, CLI_DOCTOR_OK, "paths", "workspaces", STR("none"), NULL, NULL);
    else if (d->c->cache.workspace_cstr)
        cli_doctor_add(d, CLI_DOCTOR_OK, "paths", "workspaces",
                       str_cstr(d->c->cache.workspace_cstr), "MLXK_WORKSPACE_HOME", NULL);
    else
        cli_doctor_add(d, CLI_DOCTOR_WARN, "paths", "workspaces", str_cstr(home),
                       "MLXK_WORKSPACE_HOME", "this is no folder: make it, or unset the variable");
}

/* The caches of other variables are a second place where models may lie. */
static void cli_doctor_two_caches(struct cli_doctor *d) {
    const char *hub = os_env("HF_HUB_CACHE"), *home = os_env("HF_HOME");
    struct os_stat st;
    if (!hub || !*hub || !home || !*home) return;
    char *expanded = os_path_expand(&d->c->arena, home);
    char *other = expanded ? os_path_join(&d->c->arena, expanded, "hub") : NULL;
    if (other && strcmp(other, d->c->cache.root_cstr) != 0 && os_stat(other, &st))
        cli_doctor_add(d, CLI_DOCTOR_WARN, "paths", "second cache", str_cstr(other), "HF_HOME",
                       "HF_HUB_CACHE wins: what lies here is not seen");
}

static void cli_doctor_hub(struct cli_doctor *d) {
    struct cli_context *c = d->c;
    struct http_options options = { .user_agent_cstr = "mlxk/" MLXK_VERSION };
    struct hub h;
    struct err e = { 0 };
    struct str proxy;
    const char *set = os_env("HF_ENDPOINT");
    if (!hub_open(&c->arena, &options, &h, &e)) {
        cli_doctor_add(d, CLI_DOCTOR_BAD, "hub", "endpoint", str_cstr(e.msg), NULL, e.hint);
        return;
    }
    cli_doctor_add(d, CLI_DOCTOR_OK, "hub", "endpoint", h.endpoint,
                   set && *set ? "HF_ENDPOINT" : "default", NULL);
    for (size_t i = 1; i < h.n_endpoints; i++)
        cli_doctor_add(d, CLI_DOCTOR_OK, "hub", "else", h.endpoints[i].text, "HF_ENDPOINT", NULL);
    bool token = h.secret.n > 0;
    cli_doctor_add(d, CLI_DOCTOR_OK, "hub", "token", token ? STR("present") : STR("none"),
                   token ? h.token_from_cstr : NULL,
                   token ? NULL : "only public models can be had: mlxk login");
    struct os_stat st;
    if (token && os_stat(h.token_from_cstr, &st) && st.kind == OS_FILE && (st.mode & 077))
        cli_doctor_add(d, CLI_DOCTOR_WARN, "hub", "token file", str_cstr(h.token_from_cstr), NULL,
                       "others can read it: chmod 600");
    if (token && h.token.n && !h.origin.tls && !str_starts(h.origin.host, STR("127.")) &&
        !str_eq(h.origin.host, STR("localhost")))
        cli_doctor_add(d, CLI_DOCTOR_WARN, "hub", "encryption", STR("none"), NULL,
                       "the token goes over the network unencrypted: use https");
    if (h.offline)
        cli_doctor_add(d, CLI_DOCTOR_OK, "hub", "offline", STR("yes"), "HF_HUB_OFFLINE", NULL);
    if (!net_proxy_name(&c->arena, &h.origin, &proxy, &e))
        cli_doctor_add(d, CLI_DOCTOR_BAD, "hub", "proxy", str_cstr(e.msg), NULL, e.hint);
    else
        cli_doctor_add(d, CLI_DOCTOR_OK, "hub", "proxy", proxy.n ? proxy : STR("none"), NULL, NULL);
    hub_close(&h);
}

/* ---- who may write ---- */

static void cli_doctor_permissions(struct cli_doctor *d) {
    struct os_stat st;
    uint32_t mask = os_umask();
    d->writable = os_may_write(d->place_cstr);
    cli_doctor_add(d, d->writable ? CLI_DOCTOR_OK : CLI_DOCTOR_WARN, "permissions", "writable",
                   d->writable ? STR("yes") : STR("no"), d->place_cstr,
                   d->writable ? NULL : "models can be used, not fetched or removed");
    bool shared = os_stat(d->place_cstr, &st) && (st.mode & 020) && st.kind == OS_DIR;
    bool narrow = shared && (mask & 020), loose = shared && !(st.mode & 02000);
    cli_doctor_add(
        d, narrow ? CLI_DOCTOR_WARN : CLI_DOCTOR_OK, "permissions", "umask",
        str_format(&d->c->arena, "%03o", mask), NULL,
        narrow ? "the cache belongs to a group that could not write what you fetch: umask 002"
               : NULL);
    if (loose && !(st.mode & 01000))
        cli_doctor_add(d, CLI_DOCTOR_WARN, "permissions", "setgid", STR("not set"), d->place_cstr,
                       "new folders get the group of who makes them: chmod g+s");
}

/* Repos of other people that this user cannot add to. */
static void cli_doctor_foreign(struct cli_doctor *d) {
    struct cli_context *c = d->c;
    struct str *folders;
    size_t n, n_closed = 0;
    struct err e = { 0 };
    if (!d->writable || !care_repos(&c->arena, &c->cache, false, &folders, &n, &e)) return;
    for (size_t i = 0; i < n; i++) {
        struct os_stat st;
        struct str path = str_format(&c->arena, "%s/" STR_FMT "/blobs", c->cache.root_cstr,
                                     STR_ARG(folders[i]));
        n_closed += path.p && os_stat(path.p, &st) && !os_may_write(path.p);
    }
    if (n_closed)
        cli_doctor_add(d, CLI_DOCTOR_WARN, "permissions", "closed repositories",
                       str_format(&c->arena, "%zu of %zu", n_closed, n), NULL,
                       "they belong to somebody else: chmod -R g+w, or a cache of your own");
}

/* ---- room ---- */

static void cli_doctor_quota(struct cli_doctor *d) {
    struct os_quota q;
    char until[32] = "";
    if (!os_quota_read(d->place_cstr, &q) || (!q.limit_bytes && !q.soft_bytes)) return;
    bool soft = q.soft_bytes &&
                (!q.limit_bytes || (q.used_bytes > q.soft_bytes && q.grace_until_s));
    bool out = os_quota_left(&q, os_time_ns() / 1000000000) == 0;
    bool passed = soft && q.used_bytes > q.soft_bytes;
    bool close = q.limit_bytes && q.used_bytes > q.limit_bytes / 20 * 19;
    if (passed && q.grace_until_s) os_format_time(until, q.grace_until_s * 1000000000);
    cli_doctor_add(d, out ? CLI_DOCTOR_BAD : close || passed ? CLI_DOCTOR_WARN : CLI_DOCTOR_OK,
                   "space", q.group ? "quota of the group" : "quota",
                   str_format(&d->c->arena, STR_FMT " of " STR_FMT " used%s%s",
                              STR_ARG(cli_doctor_size(d, q.used_bytes)),
                              STR_ARG(cli_doctor_size(d, soft ? q.soft_bytes : q.limit_bytes)),
                              *until ? ", allowed until " : "", until),
                   NULL, out || close || passed ? "make room: mlxk gc, or ask for more" : NULL);
}

static void cli_doctor_room(struct cli_doctor *d, const struct os_volume *v) {
    struct cli_context *c = d->c;
    bool wanted = !v->read_only;     /* nobody writes there: no room is needed */
    bool out = wanted && v->free_bytes < CLI_DOCTOR_OUT,
         low = wanted && v->free_bytes < CLI_DOCTOR_LOW;
    bool files_low = wanted && v->total_files && v->free_files < CLI_DOCTOR_FILES;
    cli_doctor_add(d,
                   out   ? CLI_DOCTOR_BAD
                   : low ? CLI_DOCTOR_WARN
                         : CLI_DOCTOR_OK,
                   "space", "free",
                   str_format(&c->arena, STR_FMT " of " STR_FMT,
                              STR_ARG(cli_doctor_size(d, v->free_bytes)),
                              STR_ARG(cli_doctor_size(d, v->total_bytes))),
                   NULL, low ? "make room: mlxk du, mlxk gc --until-free" : NULL);
    if (v->total_files)
        cli_doctor_add(d, files_low ? CLI_DOCTOR_BAD : CLI_DOCTOR_OK, "space", "inodes free",
                       str_format(&c->arena, "%llu of %llu", (unsigned long long)v->free_files,
                                  (unsigned long long)v->total_files),
                       NULL, files_low ? "the volume cannot hold more files" : NULL);
    cli_doctor_quota(d);
}

/* ---- file system ---- */

static void cli_doctor_able(struct cli_doctor *d, const char *name_cstr, enum care_answer answer,
                            enum cli_doctor_state otherwise, const char *advice_cstr) {
    bool yes = answer == CARE_YES;
    cli_doctor_add(d, yes ? CLI_DOCTOR_OK : otherwise, "file system", name_cstr,
                   yes ? STR("yes") : answer == CARE_NO ? STR("no") : STR("unknown"), NULL,
                   yes ? NULL : advice_cstr);
}

static void cli_doctor_volume(struct cli_doctor *d) {
    struct os_volume v;
    struct care_abilities able;
    struct err e = { 0 };
    if (!os_volume_read(d->place_cstr, &v, &e)) {
        cli_doctor_add(d, CLI_DOCTOR_WARN, "file system", "type", str_cstr(e.msg), NULL, e.hint);
        return;
    }
    cli_doctor_room(d, &v);
    cli_doctor_add(
        d, v.network ? CLI_DOCTOR_WARN : CLI_DOCTOR_OK, "file system", "type", str_cstr(v.kind),
        NULL, v.network ? "a network file system: locks may not exclude other machines" : NULL);
    if (v.read_only || !d->writable) {
        cli_doctor_add(d, v.read_only ? CLI_DOCTOR_WARN : CLI_DOCTOR_OK, "file system", "measured",
                       STR("no"), NULL,
                       v.read_only ? "mounted read-only: nothing can be tried" : NULL);
        return;
    }
    if (!care_probe(d->place_cstr, &able, &e)) {
        cli_doctor_add(d, CLI_DOCTOR_BAD, "file system", "measured", str_cstr(e.msg), NULL, e.hint);
        return;
    }
    cli_doctor_able(d, "rename", able.rename, CLI_DOCTOR_BAD, "nothing can be stored safely here");
    cli_doctor_able(d, "memory maps", able.map, CLI_DOCTOR_BAD, "models cannot be run from here");
    cli_doctor_able(d, "locks", able.lock, CLI_DOCTOR_WARN,
                    "two downloads of one file do the work twice (correct all the same)");
    cli_doctor_able(d, "symbolic links", able.symlink, CLI_DOCTOR_WARN,
                    "several revisions take the room of several models");
    cli_doctor_able(d, "case", able.case_kept, CLI_DOCTOR_WARN,
                    "names that differ in case only cannot lie side by side");
    cli_doctor_able(d, "hard links", able.hardlink, CLI_DOCTOR_OK, NULL);
    cli_doctor_able(d, "reflinks", able.reflink, CLI_DOCTOR_OK, NULL);
}

/* ---- offline ---- */

static bool cli_doctor_ready(struct cli_doctor *d, struct str folder, bool *broken) {
    struct arena a;
    struct care_repo r;
    struct err e = { 0 };
    bool has_main = false, tree = false, dangling = false;
    arena_init(&a, (size_t)2 << 30);
    bool ok = care_repo_read(&a, &d->c->cache, folder, &r, &e);
    for (size_t i = 0; ok && i < r.n_revisions; i++) {
        has_main = has_main || r.revisions[i].is_main;
        dangling = dangling || (r.revisions[i].is_main && r.revisions[i].n_dangling);
        for (size_t k = 0; r.revisions[i].is_main && k < r.n; k++)
            tree = tree
                   || (r.entries[k].kind == CARE_TREE
                       && str_eq(r.entries[k].name, r.revisions[i].commit));
    }
    care_repo_release(&r);
    arena_release(&a);
    *broken = dangling;
    return has_main && tree && !dangling;
}

static void cli_doctor_offline(struct cli_doctor *d) {
    struct cli_context *c = d->c;
    struct str *folders;
    size_t n, n_ready = 0, n_models = 0;
    struct err e = { 0 };
    struct buf names;
    if (!care_repos(&c->arena, &c->cache, true, &folders, &n, &e)) {
        cli_doctor_add(d, CLI_DOCTOR_BAD, "models", "cache", str_cstr(e.msg), NULL, e.hint);
        return;
    }
    buf_init(&names, 65536);
    for (size_t i = 0; i < n; i++) {
        bool broken;
        if (!str_starts(folders[i], STR("models--"))) continue;
        n_models++;
        if (cli_doctor_ready(d, folders[i], &broken)) n_ready++;
        else if (n_models - n_ready <= CLI_DOCTOR_NAMES)
            buf_addf(&names, "%s" STR_FMT "%s", names.n ? ", " : "",
                     STR_ARG(cache_repo_name(&c->arena, folders[i])),
                     broken ? " (broken links)" : "");
    }
    bool all = n_ready == n_models;
    cli_doctor_add(d, all ? CLI_DOCTOR_OK : CLI_DOCTOR_WARN, "models", "ready for offline use",
                   str_format(&c->arena, "%zu of %zu", n_ready, n_models), NULL,
                   all ? NULL : "without refs/main or the file list: mlxk verify --repair");
    if (!all && !names.failed)
        cli_doctor_add(d, CLI_DOCTOR_WARN, "models", "not ready", buf_str(&names), NULL, NULL);
    buf_release(&names);
}

/* ---- (Public) ---- */

MLXK_FN void cli_doctor_cache(struct cli_doctor *d) {
    cli_doctor_root(d);
    cli_doctor_two_caches(d);
    cli_doctor_folder(d, "home of the hub's tools", "HF_HOME", "~/.cache/huggingface");
    cli_doctor_workspace(d);
    cli_doctor_folder(d, "state", "XDG_STATE_HOME", "~/.local/state");
    cli_doctor_hub(d);
    cli_doctor_permissions(d);
    cli_doctor_foreign(d);
    cli_doctor_volume(d);
    cli_doctor_offline(d);
}

#undef CLI_DOCTOR_LOW
#undef CLI_DOCTOR_OUT
