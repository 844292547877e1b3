/* cmd_install.c: `install` brings what a registry or layout has: a client or a package of a model
 * into a Python environment, a model into the cache.
 *
 *   reference -> a floating tag is settled -> the policy is asked -> manifest -> what it is
 *   -> a package's model into the cache -> the Python module, whole, into its place
 *
 * 1. What it is, the artifact's type says, and never its tag.
 * 2. A package's model comes first: what can be imported can be used.
 * 3. --frozen takes the digest of a lock file, whatever the tag means by now, and asks nobody when
 *    every file of it is there.
 */
#include "cli/cli_oci_lock.h"
#include "cli/cli_sign.h"
#include "release/release.h"
#include "build_info.h"

enum { CMD_INSTALL_ASK_MS = 60000 };

static const struct cli_option cmd_install_options[] = {
    { "reference", NULL, CLI_TEXT, NULL,
      "HOST/REPO:TAG, such as NAME-client-v1, pkg-v1.2.1 or v1.2.1", 0, 0, true },
    { "--target", NULL, CLI_TEXT, "DIR", "this folder, not the environment's site-packages", 0, 0,
      true },
    { "--python", NULL, CLI_TEXT, "PROGRAM",
      "the environment of this Python (of $VIRTUAL_ENV, else python3)", 0, 0, true },
    { "--replace", NULL, CLI_FLAG, NULL, "also in place of one that came from elsewhere", 0, 0,
      true },
    { "--lock", NULL, CLI_TEXT, "FILE", "write the digest that it was settled to, and all files", 0,
      0, true },
    { "--frozen", NULL, CLI_TEXT, "FILE", "install exactly what that lock file says", 0, 0, true },
    { "--quiet", NULL, CLI_FLAG, NULL, "no progress, no notes", 0, 0, true },
    CLI_OCI_OPTIONS,
};

struct cmd_install {
    struct cli_context *c;
    struct oci_ref ref;
    struct str asked;                    /* the tag as it was given, or empty */
    struct hub_lock lock; bool frozen;
    struct str digest;                   /* of the artifact */
    const char *kind_cstr;               /* "client" "package" "model" */
    struct oci_manifest manifest;
    struct rel_install in;
    struct rel_placed placed;
    struct oci_pull_result model;
    const char *target_cstr;
};

/* ---- which one (Private) ---- */

/* client-vX, pkg-vX[.Y], with NAME- in front or not: the highest of that line. Without one the tag
 * is one like others. */
static bool cmd_install_settle(struct cmd_install *x, struct oci *o) {
    struct cli_context *c = x->c;
    struct rel_tag wanted, t;
    struct rel_range range;
    struct rel_version best = { 0, 0, 0, STR_EMPTY };
    struct oci_names names;
    struct str found = STR_EMPTY;
    if (x->ref.digest.n) return true;
    rel_tag_parse(x->ref.tag, STR_EMPTY, &wanted);
    if (wanted.kind != REL_TAG_ALIAS) return true;
    bool client = str_starts(wanted.alias, STR("client-")),
         package = str_starts(wanted.alias, STR("pkg-"));
    struct str line = str_sub(wanted.alias, client ? 7 : package ? 4 : 0, wanted.alias.n);
    enum rel_tag_kind kind = client ? REL_TAG_CLIENT : package ? REL_TAG_PKG : REL_TAG_RELEASE;
    if (!rel_range_parse(line, &range)) return true;
    if (!oci_tags(&c->arena, o, &names, &c->err)) return false;
    for (size_t i = 0; i < names.n; i++) {
        rel_tag_parse(names.names[i], STR_EMPTY, &t);
        if (t.kind != kind || !str_eq(t.name, wanted.name) || !rel_range_has(&range, &t.version)
            || (found.n && rel_version_cmp(&t.version, &best) <= 0))
            continue;
        best = t.version;
        found = names.names[i];
    }
    if (found.n) x->ref.tag = found;
    return true;
}

/* "0.1.0-dev" is as good as 0.1.0. */
static bool cmd_install_new_enough(struct cmd_install *x) {
    struct cli_context *c = x->c;
    struct rel_version ours, wanted;
    struct str own = STR(MLXK_VERSION), least = x->in.min_version;
    ptrdiff_t cut = str_find_char(own, '-');
    if (cut >= 0) own = str_sub(own, 0, (size_t)cut);
    if (!least.n) return true;
    if (!rel_version_parse(str_concat(&c->arena, STR("v"), least), &wanted))
        return err_set(&c->err, ERR_FORMAT, "the artifact wants a version of mlxk that is none");
    if (!rel_version_parse(str_concat(&c->arena, STR("v"), own), &ours)
        || rel_version_cmp(&ours, &wanted) >= 0)
        return true;
    err_set(&c->err, ERR_UNSUPPORTED, "this needs mlxk " STR_FMT " or newer, and this is %s",
            STR_ARG(least), MLXK_VERSION);
    return err_hint(&c->err, "install a newer mlxk, or an older release of the model");
}

/* ---- where to (Private) ---- */

/* The environment's own answer: a virtual one's site-packages, else the user's. */
static bool cmd_install_ask(struct cli_context *c, const char *python_cstr, struct str *out) {
    static const char script[] =
        "import os, site, sys, sysconfig\n"
        "own = sys.prefix != sys.base_prefix or os.environ.get('CONDA_PREFIX') == sys.prefix\n"
        "sys.stdout.write(sysconfig.get_path('purelib') if own else site.getusersitepackages())\n";
    const char *const argv[] = { python_cstr, "-c", script, NULL };
    struct buf said;
    int status = 0;
    buf_init(&said, LIMIT_PATH);
    struct os_spawn s = { .argv = argv, .dir_cstr = "/", .out = &said,
                          .wait_ms = CMD_INSTALL_ASK_MS };
    bool ok = os_spawn(&s, &status, &c->err);
    if (ok && (status != 0 || !said.n || said.p[0] != '/'))
        ok = err_set(&c->err, ERR_UNSUPPORTED, "%s does not tell where its packages are",
                     python_cstr);
    if (ok) *out = str_dup(&c->arena, buf_str(&said));
    buf_release(&said);
    if (ok) return out->p || err_oom(&c->err, LIMIT_PATH, "a path");
    c->err.hint[0] = 0;
    return err_hint(&c->err, "--target DIR names the folder, --python PROGRAM another Python");
}

static bool cmd_install_target(struct cmd_install *x) {
    struct cli_context *c = x->c;
    struct str target = cli_text(&c->args, "--target"), python = cli_text(&c->args, "--python");
    const char *env = os_env("VIRTUAL_ENV"), *program = "python3";
    if (!target.n) {
        if (python.n) program = str_dup_cstr(&c->arena, python);
        else if (env && *env) program = os_path_join(&c->arena, env, "bin/python");
        if (program && strchr(program, '/'))
            program = os_path_absolute(&c->arena, program, &c->err);
        if (!program) return err_oom(&c->err, LIMIT_PATH, "a path");
        if (!cmd_install_ask(c, program, &target)) return false;
    }
    char *text = str_dup_cstr(&c->arena, target);
    char *path = text ? os_path_expand(&c->arena, text) : NULL;
    x->target_cstr = path ? os_path_absolute(&c->arena, path, &c->err) : NULL;
    return x->target_cstr || err_oom(&c->err, LIMIT_PATH, "a path");
}

/* The repository as a model's reference, and its last part. */
static bool cmd_install_from(struct cmd_install *x, struct rel_origin_of *from) {
    struct cli_context *c = x->c;
    struct oci_ref bare = x->ref;
    bare.tag = bare.digest = STR_EMPTY;
    from->replace = cli_flag(&c->args, "--replace");
    from->last = bare.repo;
    if (bare.path_cstr) {
        bare.path_cstr = os_path_absolute(&c->arena, bare.path_cstr, &c->err);
        if (!bare.path_cstr) return false;
        from->last = os_path_base(bare.path_cstr);
    }
    from->last =
        str_sub(from->last, (size_t)(str_find_last(from->last, STR("/")) + 1), from->last.n);
    struct str text = oci_ref_text(&c->arena, &bare);
    from->repository = bare.path_cstr ? text : str_concat(&c->arena, STR("oci://"), text);
    return from->repository.n || err_oom(&c->err, LIMIT_PATH, "a reference");
}

/* ---- doing it (Private) ---- */

/* Its manifest comes with the package, so that a copy of the package alone is enough. Where a
 * policy wants signatures, the release itself must have one: every later use asks for that. */
static bool cmd_install_model(struct cmd_install *x, struct oci *o) {
    struct cli_context *c = x->c;
    struct oci_pull_options options = { .dry_run = false };
    const struct oci_desc *d = &x->manifest.layers[x->in.model];
    options.digest = oci_annotation(x->manifest.annotations, x->manifest.n_annotations,
                                    REL_KEY_MODEL);
    struct oci_ref release = x->ref;
    struct cli_sign_verdict judged;
    release.tag = x->in.tag;
    release.digest = options.digest;
    return cli_sign_judge(c, o, &release, &judged)
           && oci_blob_text(&c->arena, o, d, OCI_MAX_MANIFEST, &options.manifest, &c->err)
           && oci_pull(&c->arena, o, release.tag, &c->cache, &options, &x->model, &c->err)
           && cli_sign_keep(c, &judged, &x->model);
}

static bool cmd_install_python(struct cmd_install *x, struct oci *o) {
    struct cli_context *c = x->c;
    struct rel_origin_of from;
    return rel_install_read(&c->arena, &x->manifest, &x->in, &c->err) && cmd_install_new_enough(x)
           && cmd_install_target(x) && cmd_install_from(x, &from)
           && (!x->in.package || cmd_install_model(x, o))
           && rel_install_place(&c->arena, o, &x->in, &from, x->target_cstr, &x->placed, &c->err);
}

static bool cmd_install_bring(void *ctx, struct oci *o) {
    struct cmd_install *x = ctx;
    struct cli_context *c = x->c;
    struct oci_pull_options options = { .dry_run = false };
    struct cli_sign_verdict judged;
    if (!cmd_install_settle(x, o) || !cli_sign_judge(c, o, &x->ref, &judged)) return false;
    struct str what = judged.digest.n ? judged.digest : oci_ref_what(&x->ref);
    if (!oci_manifest_get(&c->arena, o, what, &x->manifest, &c->err)) return false;
    x->digest = x->manifest.digest;
    struct str type = oci_manifest_type(&x->manifest);
    x->kind_cstr = str_eq(type, STR(REL_TYPE_CLIENT))    ? "client"
                   : str_eq(type, STR(REL_TYPE_PACKAGE)) ? "package"
                                                         : "model";
    if (strcmp(x->kind_cstr, "model") != 0) return cmd_install_python(x, o);
    options.digest = x->manifest.digest;
    return oci_pull(&c->arena, o, oci_ref_what(&x->ref), &c->cache, &options, &x->model, &c->err)
           && cli_sign_keep(c, &judged, &x->model);
}

/* ---- lock files (Private) ---- */

/* A text of the target that has the digest of the lock; NULL: it is not there. */
static const struct json *cmd_install_known(struct cmd_install *x, struct str path) {
    struct cli_context *c = x->c;
    const struct hub_file *f = cli_oci_lock_file(&x->lock, path);
    struct err none = { 0 };
    struct str text;
    char *name = str_dup_cstr(&c->arena, path);
    char *at = name ? os_path_join(&c->arena, x->target_cstr, name) : NULL;
    if (!f || !at || !os_read_file(&c->arena, at, 1 << 20, &text, &none)
        || !str_eq(oci_digest_hex(oci_digest_of(&c->arena, text)), f->etag))
        return NULL;
    return json_parse(&c->arena, text, &none);
}

/* The module that the lock's files make up: its folder is the one with client.json, and its names
 * are those that follow from what stands there. */
static bool cmd_install_module(struct cmd_install *x) {
    struct cli_context *c = x->c;
    struct err none = { 0 };
    struct str end = STR("/client.json"), version = STR_EMPTY;
    for (size_t i = 0; i < x->lock.n_files; i++) {
        struct str path = x->lock.files[i].path, leaf = str_sub(path, 0, path.n - end.n);
        const struct json *about = str_ends(path, end) ? cmd_install_known(x, path) : NULL;
        struct rel_install *in = &x->in;
        *in = (struct rel_install){ .package = false };
        if (!about || !json_read_str(about, "name", &in->name, &none)
            || !json_read_str(about, "version", &version, &none) || !rel_name_ok(in->name, &none)
            || !rel_version_parse(version, &in->version))
            continue;
        in->package =
            cli_oci_lock_file(&x->lock, str_concat(&c->arena, leaf, STR("/install.json"))) != NULL;
        if (rel_install_names(&c->arena, in, &none) && str_eq(in->leaf, leaf)) return true;
    }
    x->in = (struct rel_install){ .package = false };
    return false;
}

static bool cmd_install_has(struct cmd_install *x, const struct hub_file *f, struct str model,
                            struct str commit) {
    struct cli_context *c = x->c;
    struct str leaf = str_concat(&c->arena, x->in.leaf, STR("/"));
    struct err none = { 0 };
    uint8_t hash[32];
    char hex[65], *name = str_dup_cstr(&c->arena, f->path);
    if (!str_starts(f->path, leaf)) return cli_oci_lock_has(c, model, commit, f);
    char *at = name ? os_path_join(&c->arena, x->target_cstr, name) : NULL;
    if (!at || !sha256_file(at, hash, NULL, NULL, &none)) return false;
    str_hex(hex, hash, sizeof hash);
    return str_eq_cstr(f->etag, hex);
}

/* The record of the last installation names this artifact. */
static bool cmd_install_marked(struct cmd_install *x) {
    struct cli_context *c = x->c;
    struct err none = { 0 };
    struct str text, digest = STR_EMPTY;
    struct str mark = str_format(&c->arena, "%s/" STR_FMT "/mlxk.json%c", x->target_cstr,
                                 STR_ARG(x->in.info), 0);
    if (!mark.p || !os_read_file(&c->arena, mark.p, 1 << 20, &text, &none)) return false;
    const struct json *v = json_parse(&c->arena, text, &none);
    return v && json_read_str(v, "digest", &digest, &none) && str_eq(digest, x->lock.digest);
}

/* Every file of the lock is where it belongs. */
static bool cmd_install_complete(struct cmd_install *x) {
    struct cli_context *c = x->c;
    const struct hub_lock *lock = &x->lock;
    const struct hub_file *m =
        cli_oci_lock_file(lock, str_concat(&c->arena, x->in.leaf, STR("/manifest.json")));
    struct str commit = x->in.package && m ? str_sub(m->etag, 0, 40) : STR_EMPTY;
    if ((x->in.package && !m) || !cmd_install_marked(x)) return false;
    for (size_t i = 0; i < lock->n_files; i++)
        if (!lock->files[i].lfs || !cmd_install_has(x, &lock->files[i], lock->repo, commit))
            return false;
    x->kind_cstr = x->in.package ? "package" : "client";
    if (x->in.package)
        x->model = (struct oci_pull_result){ .model = lock->repo, .commit = commit,
                .snapshot_cstr = cli_oci_lock_snapshot(c, lock->repo, commit) };
    x->placed.already = true;
    x->placed.path_cstr = str_dup_cstr(&c->arena, str_format(&c->arena, "%s/" STR_FMT,
                                       x->target_cstr, STR_ARG(x->in.leaf)));
    return x->placed.path_cstr != NULL;
}

/* Is everything of the lock there? Then nobody is asked, unless a policy wants signatures. */
static bool cmd_install_here(struct cmd_install *x, bool *here) {
    struct cli_context *c = x->c;
    bool asks;
    struct oci_ref ref = x->ref;
    *here = false;
    ref.tag = x->asked;
    if (!cli_sign_asks(c, &ref, &asks)) return false;
    x->digest = x->lock.digest;
    if (cli_oci_lock_is_here(c, &x->ref, &x->lock, x->asked, &x->model)) {
        x->kind_cstr = "model";
        return *here = true;
    }
    x->model = (struct oci_pull_result){ .model = STR_EMPTY };
    if (asks) return true;
    if (!cmd_install_target(x)) return false;
    *here = cmd_install_module(x) && cmd_install_complete(x);
    if (!*here) x->in = (struct rel_install){ .package = false };
    return true;
}

/* A client or package as a lock has it: its own files below the folder of Python's packages, then
 * those of the model. */
static bool cmd_install_lock(struct cmd_install *x) {
    struct cli_context *c = x->c;
    const struct oci_manifest *m = &x->manifest;
    bool python = x->placed.path_cstr != NULL;
    size_t n = python ? m->n_layers : x->model.n_files;
    struct hub_lock entry = { .repo = oci_ref_model(&c->arena, &x->ref), .revision = x->asked,
                              .digest = x->digest };
    struct str *paths = NULL;
    if (!cli_text(&c->args, "--lock").n) return true;
    entry.commit = str_sub(oci_digest_hex(x->digest), 0, 40);
    entry.files = ARENA_ARRAY(&c->arena, struct hub_file, n + 1);
    if (!entry.files || !entry.repo.n) return err_oom(&c->err, n, "a lock file");
    if (python && !oci_manifest_files(&c->arena, m, &paths, &c->err)) return false;
    for (size_t i = 0; i < n; i++) {
        struct hub_file f = { .lfs = true };
        f.path = python ? paths[i] : x->model.files[i].path;
        f.etag = python ? oci_digest_hex(m->layers[i].digest) : x->model.files[i].hex;
        f.size_bytes = python ? m->layers[i].size_bytes : x->model.files[i].size_bytes;
        if (f.path.n) entry.files[entry.n_files++] = f;
    }
    return cli_oci_lock_write(c, &entry);
}

/* ---- telling (Private) ---- */

static bool cmd_install_was_there(const struct cmd_install *x) {
    bool model = !x->model.snapshot_cstr || (!x->model.n_fetched && !x->model.n_linked);
    return model && (x->placed.already || !x->placed.path_cstr);
}

static void cmd_install_document(struct cmd_install *x) {
    struct cli_context *c = x->c;
    struct json_writer *w = cli_document(c);
    bool python = x->placed.path_cstr != NULL, model = x->model.snapshot_cstr != NULL;
    json_write_object(w);
    json_write_member(w, "kind", str_cstr(x->kind_cstr));
    json_write_member(w, "reference", oci_ref_text(&c->arena, &x->ref));
    json_write_member_or_null(w, "tag", x->ref.tag);
    json_write_member(w, "digest", x->digest);
    json_write_member_or_null(w, "name", x->in.name);
    json_write_member_or_null(w, "version",
                              python ? rel_version_text(&c->arena, &x->in.version) : STR_EMPTY);
    json_write_member_or_null(w, "module", x->in.module);
    json_write_member_or_null(w, "alias", x->placed.alias);
    json_write_member_or_null(w, "class", x->in.class_name);
    json_write_member_or_null(w, "distribution", x->in.dist);
    json_write_member_or_null(w, "target", str_cstr(x->target_cstr));
    json_write_member_or_null(w, "path", str_cstr(x->placed.path_cstr));
    json_write_member_or_null(w, "model", model ? x->model.model : STR_EMPTY);
    json_write_member_or_null(w, "model_path", str_cstr(x->model.snapshot_cstr));
    json_write_key(w, "already");
    json_write_bool(w, cmd_install_was_there(x));
    json_write_object_end(w);
}

static int cmd_install_success(struct cmd_install *x) {
    struct cli_context *c = x->c;
    const char *was = cmd_install_was_there(x) ? "is there already" : "installed";
    if (c->out.json) {
        cmd_install_document(x);
        return cli_document_end(c);
    }
    if (x->model.snapshot_cstr)
        cli_print(c, "model " STR_FMT " in %s\n", STR_ARG(x->model.model), x->model.snapshot_cstr);
    if (!x->placed.path_cstr) return 0;
    cli_print(c, STR_FMT " " STR_FMT " %s in %s\n", STR_ARG(x->in.dist),
              STR_ARG(rel_version_text(&c->arena, &x->in.version)), was, x->target_cstr);
    cli_print(c, "  from " STR_FMT " import " STR_FMT "\n",
              STR_ARG(x->placed.alias.n ? x->placed.alias : x->in.module),
              STR_ARG(x->in.class_name));
    return 0;
}

static int cmd_install_run(struct cli_context *c) {
    struct cmd_install x = { .c = c };
    c->args.quiet = cli_flag(&c->args, "--quiet");
    bool ok = cli_oci_ref(c, cli_text(&c->args, "reference"), &x.ref);
    x.asked = ok ? oci_ref_what(&x.ref) : STR_EMPTY;
    ok = ok && cli_oci_lock_read(c, &x.ref, &x.lock, &x.frozen);
    if (ok && x.frozen) {
        bool here = false;
        ok = cmd_install_here(&x, &here);
        if (ok && here) return cmd_install_success(&x);
    }
    ok = ok && cli_oci_with(c, &x.ref, false, cmd_install_bring, &x) && cmd_install_lock(&x);
    return ok ? cmd_install_success(&x) : cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_install(void) {
    static const struct cli_command command = {
        "install",
        "a model's Python client or package, or a model, from a registry",
        "versions",
        cmd_install_options,
        MLXK_COUNT(cmd_install_options),
        "  mlxk install registry.example/org/model:client-v1\n"
        "  mlxk install registry.example/org/models:ham-pkg-v1.2.1 --target ./lib\n",
        cmd_install_run,
    };
    return &command;
}
