/* cmd_release.c: `release` derives the next version of a model from what changed, and tags its
 * state with it.
 *
 *   plan -> artifact under the adhoc tag -> claim -> its client and package -> git tag -> vX.Y.Z on
 *   the artifact's digest -> client-vX, pkg-vX, pkg-vX.Y -> latest, vX, vX.Y -> claim dropped
 *
 * 1. --dry-run makes the same plan and stops there.
 * 2. The git tag comes before the number that everybody sees: git may refuse, and after a kill it
 *    tells the next run which release was under way.
 * 3. A release that is there has its client and package: they come first. Those of a release that
 *    was made before stay as they are, whatever mlxk made them.
 * 4. What moves moves last, under the claim, and to what leads then: an alias never points ahead of
 *    the releases, nor back. The next run knows from latest, vX and vX.Y that one did not end; so
 *    they come after those of the client and package.
 */
#include "cli/cli_store.h"

static const struct cli_option cmd_release_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "a folder, or a model of the cache", 0, 0, true },
    { "repository", NULL, CLI_TEXT, NULL, "HOST/REPO, oci:DIR or oci-archive:FILE", 0, 0, true },
    { "--patch", NULL, CLI_FLAG, NULL, "release changes that break nobody: documentation", 0, 0,
      true },
    { "--force-major", NULL, CLI_FLAG, NULL, "a major release, whatever changed", 0, 0, true },
    { "--force-main", NULL, CLI_FLAG, NULL, "vX.Y.Z also off the main branch", 0, 0, true },
    { "--git-tag", NULL, CLI_FLAG, NULL, "make the annotated git tag mdl-NAME-vX.Y.Z", 0, 0, true },
    { "--no-git-tags", NULL, CLI_FLAG, NULL, "look for the last release in the repository only", 0,
      0, true },
    { "--name", NULL, CLI_TEXT, "NAME", "the model's name (from the repository)", 0, 0, true },
    { "--named", NULL, CLI_FLAG, NULL, "NAME- in front of all tags: for several in a repository", 0,
      0, true },
    { "--branch", NULL, CLI_TEXT, "NAME", "the branch, where git does not tell it", 0, 0, true },
    { "--version", NULL, CLI_TEXT, "VERSION", "just this version, vX.Y.Z", 0, 0, true },
    { "--explain", NULL, CLI_FLAG, NULL, "say how the number was derived", 0, 0, true },
    { "--dry-run", NULL, CLI_FLAG, NULL, "tell the version, change nothing", 0, 0, true },
    { "--quiet", NULL, CLI_FLAG, NULL, "no progress, no notes", 0, 0, true },
    CLI_OCI_OPTIONS,
};

struct cmd_release {
    struct cli_store s;
    struct rel_whose_wish whose;
    struct rel_plan plan;
    struct rel_pushed pushed;
    struct rel_package client, package;
    struct str adhoc, git_tag;
    struct str moved;            /* members of the interface, as far as it can be told */
    bool dry_run;
};

enum { CMD_RELEASE_TAGS = 8, CMD_RELEASE_PATIENCE_MS = 60000 };
/* The first n_fixed never move. */
struct cmd_release_tags { struct str items[CMD_RELEASE_TAGS]; size_t n, n_fixed; };

/* ---- doing it (Private) ---- */

static void cmd_release_tag(struct cmd_release *x, struct cmd_release_tags *t, struct str kind,
                            struct str version, bool named) {
    struct arena *a = &x->s.c->arena;
    MLXK_ASSERT(t->n < CMD_RELEASE_TAGS);
    struct rel_whose whose = { x->plan.whose.name, named };
    t->items[t->n++] = rel_whose_tag(
        a, &whose, str_format(a, STR_FMT "-" STR_FMT, STR_ARG(kind), STR_ARG(version)));
}

/* client-vX.Y.Z and NAME-client-vX.Y.Z, the same with vX where this release leads its line; of
 * packages also with vX.Y. Among several models only those with the name. The first is that which
 * never moves. */
static void cmd_release_tags(struct cmd_release *x, bool package, struct cmd_release_tags *t) {
    const struct rel_plan *p = &x->plan;
    struct str kind = package ? STR("pkg") : STR("client");
    size_t lead = p->whose.named ? p->whose.name.n + 1 : 0;
    *t = (struct cmd_release_tags){ .n = 0 };
    for (size_t i = 0; i <= p->n_aliases; i++) {
        struct str whole = i ? p->aliases[i - 1] : p->tag, body = str_sub(whole, lead, whole.n);
        if (i && !str_starts(body, STR("v"))) continue;
        if (i && !package && str_find_char(body, '.') >= 0) continue;
        if (!lead) cmd_release_tag(x, t, kind, body, false);
        cmd_release_tag(x, t, kind, body, true);
        if (!i) t->n_fixed = t->n;
    }
}

static bool cmd_release_part_tags(struct cmd_release *x, bool package,
                                  struct cmd_release_tags *t) {
    struct cli_context *c = x->s.c;
    cmd_release_tags(x, package, t);
    for (size_t i = 0; i < t->n; i++)
        if (!t->items[i].p) return err_oom(&c->err, OCI_MAX_TAG, "a tag");
    if (t->n > 1 && !oci_tag_ok(t->items[1])) t->n = t->n_fixed = 1;    /* a long branch and name */
    return true;
}

static bool cmd_release_part(struct cmd_release *x, struct oci *o, struct rel_package *part,
                             bool package) {
    struct cli_context *c = x->s.c;
    struct cmd_release_tags tags;
    struct rel_pushed pushed;
    struct oci_head head;
    if (!cmd_release_part_tags(x, package, &tags)) return false;
    if (!oci_tag_ok(tags.items[0]))
        return err_set(&c->err, ERR_INVALID, STR_FMT " is too long for a tag",
                       STR_ARG(tags.items[0]));
    if (x->plan.there) {
        if (!oci_manifest_head(&c->arena, o, tags.items[0], &head, &c->err)) return false;
        if (head.found && !str_eq(head.digest, part->manifest.digest))
            return oci_manifest_get(&c->arena, o, tags.items[0], &part->manifest, &c->err);
    }
    if (!rel_push(&c->arena, o, part, tags.items[0], &pushed, &c->err)) return false;
    for (size_t i = 1; i < tags.n_fixed; i++)
        if (!oci_manifest_put(o, &part->manifest, tags.items[i], &c->err)) return false;
    return true;
}

static bool cmd_release_part_aliases(struct cmd_release *x, struct oci *o,
                                     const struct rel_package *part, bool package) {
    struct cli_context *c = x->s.c;
    struct cmd_release_tags tags;
    if (!cmd_release_part_tags(x, package, &tags)) return false;
    for (size_t i = tags.n_fixed; i < tags.n; i++)
        if (!oci_manifest_put(o, &part->manifest, tags.items[i], &c->err)) return false;
    return true;
}

/* Whoever had the claim before may have released more than the plan knew. */
static bool cmd_release_aliases(struct cmd_release *x, struct oci *o) {
    struct cli_context *c = x->s.c;
    struct rel_plan *p = &x->plan;
    if (!rel_plan_aliases(&c->arena, o, p, &c->err)
        || !cmd_release_part_aliases(x, o, &x->client, false)
        || !cmd_release_part_aliases(x, o, &x->package, true))
        return false;
    for (size_t i = 0; i < p->n_aliases; i++)
        if (!oci_manifest_put(o, &x->s.pack.manifest, p->aliases[i], &c->err)) return false;
    return true;
}

static bool cmd_release_make(struct cmd_release *x) {
    struct cli_context *c = x->s.c;
    return rel_client_make(&c->arena, &x->s.pack, &x->plan.whose, &x->plan.version, &x->client,
                           &c->err)
           && rel_package_make(&c->arena, &x->s.pack, &x->plan.whose, &x->plan.version, &x->package,
                               &c->err);
}

static bool cmd_release_git(struct cmd_release *x) {
    struct cli_context *c = x->s.c;
    struct str where = oci_ref_text(&c->arena, &x->s.ref),
               message = rel_plan_message(&c->arena, &x->plan, &x->s.state.hash, where);
    return message.n ? rel_git_tag(&c->arena, &x->s.origin, x->git_tag, message, &c->err)
                     : err_oom(&c->err, 1024, "a tag of git");
}

/* Somebody may have taken the number since the plan was made. */
static bool cmd_release_is_free(struct cmd_release *x, struct oci *o) {
    struct cli_context *c = x->s.c;
    struct oci_head head;
    if (!oci_manifest_head(&c->arena, o, x->plan.tag, &head, &c->err)) return false;
    if (!head.found || str_eq(head.digest, x->plan.digest)) return true;
    err_set(&c->err, ERR_EXISTS, "somebody else has released " STR_FMT " meanwhile (" STR_FMT ")",
            STR_ARG(x->plan.tag), STR_ARG(str_sub(head.digest, 0, 19)));
    return err_hint(&c->err, "the same command once more takes the next number");
}

static bool cmd_release_raced(struct cmd_release *x) {
    if (x->s.c->err.code == ERR_EXISTS && !x->s.c->err.hint[0])
        err_hint(&x->s.c->err, "the same command once more takes the next number");
    return false;
}

/* Everything that has the number in its name. */
static bool cmd_release_number(struct cmd_release *x, struct oci *o) {
    struct cli_context *c = x->s.c;
    struct rel_plan *p = &x->plan;
    if (!cmd_release_is_free(x, o) || !cmd_release_part(x, o, &x->client, false)
        || !cmd_release_part(x, o, &x->package, true) || (x->git_tag.n && !cmd_release_git(x))
        || !oci_manifest_put_new(o, &x->s.pack.manifest, p->tag, &c->err))
        return cmd_release_raced(x);
    return cmd_release_aliases(x, o);
}

static bool cmd_release_claim(struct cmd_release *x, struct oci *o, struct rel_claim *claim) {
    struct cli_context *c = x->s.c;
    switch (x->s.ref.kind) {
    case OCI_DIR: return rel_claim_lock(&c->arena, x->s.ref.path_cstr, claim, &c->err);
    case OCI_REGISTRY:
        return rel_claim_take(&c->arena, o, &x->plan.whose, x->plan.digest,
                              CMD_RELEASE_PATIENCE_MS, claim, &c->err);
    case OCI_TAR: break;                         /* nobody else writes into it */
    }
    return true;
}

static bool cmd_release_publish(struct cmd_release *x, struct oci *o) {
    struct cli_context *c = x->s.c;
    struct rel_claim claim = { 0 };
    bool ok = rel_push(&c->arena, o, &x->s.pack, x->adhoc, &x->pushed, &c->err)
              && cmd_release_claim(x, o, &claim) && cmd_release_number(x, o);
    rel_claim_drop(o, &claim);
    return ok && oci_finish(o, &c->err);
}

/* A tag must tell the commit that the state is. */
static bool cmd_release_git_check(struct cmd_release *x) {
    struct cli_context *c = x->s.c;
    if (!cli_flag(&c->args, "--git-tag")) return true;
    if (x->s.origin.kind != REL_FROM_GIT) {
        err_set(&c->err, ERR_INVALID, "%s is in no git work tree, so there is no commit to tag",
                x->s.state.dir_cstr);
        return err_hint(&c->err, "leave out --git-tag");
    }
    if (!strcmp(x->s.origin.dirty, "clean")) return true;
    err_set(&c->err, ERR_INVALID, "%zu files differ from the commit that would be tagged",
            x->s.origin.n_changed);
    return err_hint(&c->err, "commit them first, or leave out --git-tag");
}

/* A run that was killed at its very end has left nothing but its lock. */
static bool cmd_release_tidy(struct cmd_release *x, struct oci *o) {
    struct rel_claim lock;
    struct err none = { 0 };
    if (x->s.c->err.code == ERR_UNCHANGED && x->s.ref.kind == OCI_DIR && !x->dry_run
        && rel_claim_lock(&x->s.c->arena, x->s.ref.path_cstr, &lock, &none))
        rel_claim_drop(o, &lock);
    return false;
}

static bool cmd_release_work(struct cmd_release *x, struct oci *o) {
    struct cli_context *c = x->s.c;
    struct rel_wish wish = { .patch = cli_flag(&c->args, "--patch"),
                             .force_major = cli_flag(&c->args, "--force-major") };
    struct rel_choice choice = { .force_main = cli_flag(&c->args, "--force-main"),
                                 .no_git_tags = cli_flag(&c->args, "--no-git-tags"),
                                 .git_tag = cli_flag(&c->args, "--git-tag"),
                                 .repo = oci_ref_text(&c->arena, &x->s.ref),
                                 .version = cli_text(&c->args, "--version") };
    if (!rel_whose_find(&c->arena, o, &x->whose, &x->plan.whose, &c->err)) return false;
    if (!rel_plan_make(&c->arena, o, &x->s.pack, &wish, &choice, &x->plan, &c->err))
        return cmd_release_tidy(x, o);
    if (!rel_plan_aliases(&c->arena, NULL, &x->plan, &c->err)) return false;
    x->adhoc = cli_store_adhoc(&x->s, &x->plan.whose);
    if (cli_flag(&c->args, "--git-tag"))
        x->git_tag = str_format(&c->arena, "mdl-" STR_FMT "-" STR_FMT, STR_ARG(x->plan.whose.name),
                                STR_ARG(rel_version_text(&c->arena, &x->plan.version)));
    if (x->plan.base && x->plan.decision.moved.iface)
        x->moved = rel_moved_members(&c->arena, o, &x->plan.whose, x->plan.base, &x->s.state);
    if (!cmd_release_make(x)) return false;
    if (x->dry_run) return true;
    return cmd_release_publish(x, o);
}

/* ---- telling (Private) ---- */

static void cmd_release_reasons(struct cmd_release *x, void (*say)(void *ctx, struct str line),
                                void *ctx) {
    struct arena *a = &x->s.c->arena;
    const struct rel_plan *p = &x->plan;
    static const char *const ways[] = { "", "commits back", "bytes of files away" };
    const struct rel_moves *m = &p->decision.moved;
    if (p->closest.cut)
        say(ctx, STR("the history ends in a shallow clone before any release; files were compared "
                     "instead"));
    if (!p->base) say(ctx, STR("there is no release to follow"));
    else
        say(ctx, str_format(a, "the closest release is " STR_FMT ", %llu %s",
                            STR_ARG(rel_version_text(a, &p->base->version)),
                            (unsigned long long)p->closest.distance, ways[p->closest.how]));
    if (m->iface)
        say(ctx, x->moved.n ? str_format(a, "the interface changed (" STR_FMT "): major",
                                         STR_ARG(x->moved))
                            : STR("the interface changed: major"));
    if (m->logic) say(ctx, STR("logic changed: minor"));
    if (m->weights) say(ctx, STR("weights changed: minor; what the model answers may differ"));
    if (m->docs) say(ctx, STR("docs changed: patch"));
    if (cli_flag(&x->s.c->args, "--force-major")) say(ctx, STR("a major release was asked for"));
    if (cli_text(&x->s.c->args, "--version").n) say(ctx, STR("this version was asked for"));
    if (p->version.branch.n)
        say(ctx, str_format(a, "off the main branch, on " STR_FMT, STR_ARG(x->s.origin.branch)));
    if (p->whose.named)
        say(ctx, str_format(a, "the repository holds several models: tags carry the name " STR_FMT,
                            STR_ARG(p->whose.name)));
    if (p->n_passed)
        say(ctx, str_format(a, "%zu versions were taken by other contents", p->n_passed));
    if (p->there)
        say(ctx, str_format(a, STR_FMT " is there already with this content", STR_ARG(p->tag)));
}

static void cmd_release_write(void *ctx, struct str line) { json_write_str(ctx, line); }
static void cmd_release_print(void *ctx, struct str line) {
    cli_print(ctx, "  " STR_FMT "\n", STR_ARG(line));
}

/* "client" and "package": tag, digest, module. */
static void cmd_release_part_write(struct cmd_release *x, struct json_writer *w, bool package) {
    const struct oci_manifest *m = package ? &x->package.manifest : &x->client.manifest;
    struct cmd_release_tags tags;
    cmd_release_tags(x, package, &tags);
    json_write_key(w, package ? "package" : "client");
    json_write_object(w);
    json_write_member(w, "tag", tags.items[0]);
    json_write_member(w, "digest", m->digest);
    json_write_member(w, "module",
                      oci_annotation(m->annotations, m->n_annotations, REL_KEY_MODULE));
    json_write_object_end(w);
}

static void cmd_release_document(struct cmd_release *x) {
    const struct rel_plan *p = &x->plan;
    struct json_writer *w = cli_document(x->s.c);
    json_write_object(w);
    cli_store_members(w, &x->s);
    json_write_member(w, "name", p->whose.name);
    json_write_member(w, "version", rel_version_text(&x->s.c->arena, &p->version));
    json_write_member(w, "tag", p->tag);
    json_write_member_or_null(
        w, "base", p->base ? rel_version_text(&x->s.c->arena, &p->base->version) : STR_EMPTY);
    json_write_member(w, "bump", str_cstr(rel_bump_name(p->decision.bump)));
    json_write_key(w, "reasons");
    json_write_array(w);
    cmd_release_reasons(x, cmd_release_write, w);
    json_write_array_end(w);
    json_write_member(w, "adhoc", x->adhoc);
    json_write_key(w, "aliases");
    json_write_array(w);
    for (size_t i = 0; i < p->n_aliases; i++) json_write_str(w, p->aliases[i]);
    json_write_array_end(w);
    cmd_release_part_write(x, w, false);
    cmd_release_part_write(x, w, true);
    json_write_member_or_null(w, "git_tag", x->git_tag);
    json_write_key(w, "already_there");
    json_write_bool(w, p->there);
    json_write_key(w, "n_sent");
    json_write_u64(w, x->pushed.n_sent);
    json_write_key(w, "dry_run");
    json_write_bool(w, x->dry_run);
    json_write_object_end(w);
}

static int cmd_release_success(struct cmd_release *x) {
    struct cli_context *c = x->s.c;
    if (c->out.json) {
        cmd_release_document(x);
        return cli_document_end(c);
    }
    cli_print(c, STR_FMT "\n", STR_ARG(x->plan.tag));
    if (cli_flag(&c->args, "--explain")) cmd_release_reasons(x, cmd_release_print, c);
    cli_note(c, STR_FMT ", also as " STR_FMT "%s", STR_ARG(x->plan.digest), STR_ARG(x->adhoc),
             x->dry_run ? "; nothing was changed" : "");
    return 0;
}

static int cmd_release_run(struct cli_context *c) {
    struct cmd_release x = { .s = { .c = c }, .dry_run = cli_flag(&c->args, "--dry-run") };
    struct cli_oci progress;
    struct os_stat st;
    c->args.quiet = cli_flag(&c->args, "--quiet");
    bool ok = cli_store_begin(&x.s, cli_text(&c->args, "--branch"))
              && cli_store_wish(c, &x.s.ref, cli_flag(&c->args, "--named"), &x.whose)
              && cmd_release_git_check(&x);
    if (!ok) return cli_fail(c, &c->err, NULL);
    x.plan.origin = x.s.origin;
    cli_oci_begin(&progress, c);
    bool absent = x.s.ref.path_cstr && !os_stat(x.s.ref.path_cstr, &st);
    struct oci *o = cli_oci_open(&progress, &x.s.ref, !x.dry_run, true);
    if (!o && absent && x.dry_run) err_hint(&c->err, "without --dry-run it would be made");
    ok = o && cmd_release_work(&x, o);
    oci_close(o);
    cli_oci_end(&progress);
    return ok ? cmd_release_success(&x) : cli_fail(c, &c->err, NULL);
}

MLXK_FN const struct cli_command *cmd_release(void) {
    static const struct cli_command command = {
        "release",
        "the next version of a model, derived from what changed",
        "versions",
        cmd_release_options,
        MLXK_COUNT(cmd_release_options),
        "  mlxk release ./my-model oci:layout\n"
        "  mlxk release ./my-model registry.example/org/model --dry-run --explain\n",
        cmd_release_run,
    };
    return &command;
}
