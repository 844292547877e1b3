/* cmd_image.c: `image build`: mlxk itself as a container image, made without a container engine.
 *
 *  1. What goes in are the programs of one commit, one for each kind of machine; what they are is
 *     read from them (build facts), never asked for.
 *  2. Time, labels and tag come from their source: the same programs give the same image.
 */
#include "cli/cli_facts.h"
#include "cli/cli_oci.h"
#include "net/net.h"

static const struct cli_option cmd_image_options[] = {
    { "action", NULL, CLI_TEXT, NULL, "build", 0, 0, true },
    { "target", NULL, CLI_TEXT, NULL, "oci:DIR[:TAG] or oci-archive:FILE[:TAG]", 0, 0, true },
    { "--program", NULL, CLI_LIST, "FILE", "a static mlxk for Linux, one a machine (this one)", 0,
      0, true },
    { "--flavour", NULL, CLI_TEXT, "NAME", "client: commands; engine: serves models (client)", 0,
      0, true },
    { "--source", NULL, CLI_TEXT, "URL", "label: where the source is", 0, 0, true },
};

struct cmd_image {
    struct cli_context *c;
    struct oci_ref target;
    struct oci_image image;
    struct oci_image_part parts[OCI_IMAGE_PLATFORMS];
    struct oci_pair labels[8];
    struct str facts, tag, digest;
    bool engine;
};

/* ---- what goes in ---- */

static bool cmd_image_part(struct cmd_image *x, struct str path) {
    static const struct { const char *target_cstr, *architecture_cstr, *variant_cstr; } known[] = {
        { "x86_64-linux-musl", "amd64", "" }, { "aarch64-linux-musl", "arm64", "v8" } };
    struct cli_context *c = x->c;
    struct oci_image_part *part = &x->parts[x->image.n_parts];
    struct str facts, target;
    part->program_cstr = str_dup_cstr(&c->arena, path);
    if (!part->program_cstr) return err_oom(&c->err, path.n, "a path");
    if (!cli_facts_read(&c->arena, part->program_cstr, &facts, &c->err)) return false;
    target = cli_facts_get(facts, "target");
    for (size_t i = 0; i < MLXK_COUNT(known); i++) {
        if (!str_eq_cstr(target, known[i].target_cstr)) continue;
        part->architecture = str_cstr(known[i].architecture_cstr);
        part->variant = str_cstr(known[i].variant_cstr);
    }
    if (!part->architecture.n) {
        err_set(&c->err, ERR_UNSUPPORTED, "%s is for " STR_FMT ": an image takes static programs "
                "for Linux", part->program_cstr, STR_ARG(target));
        return err_hint(&c->err, "./build.sh x86_64-linux aarch64-linux makes them");
    }
    for (size_t i = 0; i < x->image.n_parts; i++)
        if (str_eq(x->parts[i].architecture, part->architecture))
            return err_set(&c->err, ERR_INVALID, "%s and %s are for the same kind of machine",
                           x->parts[i].program_cstr, part->program_cstr);
    if (!x->image.n_parts++) x->facts = facts;
    static const char *const same[] = { "version", "commit", "tree", "dirty" };
    for (size_t i = 0; i < MLXK_COUNT(same); i++)
        if (!str_eq(cli_facts_get(facts, same[i]), cli_facts_get(x->facts, same[i])))
            return err_set(&c->err, ERR_INVALID, "%s is of another %s than %s", part->program_cstr,
                           same[i], x->parts[0].program_cstr);
    return true;
}

static bool cmd_image_parts(struct cmd_image *x) {
    struct cli_context *c = x->c;
    const struct cli_value *given = cli_get(&c->args, "--program");
    char *own = given->n ? NULL : os_exe_path(&c->arena);
    if (given->n > OCI_IMAGE_PLATFORMS)
        return err_set(&c->err, ERR_LIMIT, "%zu programs: at most %d", given->n,
                       OCI_IMAGE_PLATFORMS);
    for (size_t i = 0; i < given->n; i++)
        if (!cmd_image_part(x, given->list[i])) return false;
    return given->n || (own && cmd_image_part(x, str_cstr(own)));
}

/* "2026-11-27T22:03:50Z" as seconds. */
static bool cmd_image_time(struct cmd_image *x) {
    struct str t = cli_facts_get(x->facts, "commit_time");
    static const struct { size_t at, n; int64_t max; } fields[] = {
        { 0, 4, 9999 }, { 5, 2, 12 }, { 8, 2, 31 }, { 11, 2, 23 }, { 14, 2, 59 }, { 17, 2, 60 } };
    int64_t v[MLXK_COUNT(fields)];
    for (size_t i = 0; i < MLXK_COUNT(fields); i++)
        if (!num_parse_i64(str_sub(t, fields[i].at, fields[i].at + fields[i].n), i < 3,
                           fields[i].max, &v[i]))
            return err_set(&x->c->err, ERR_FORMAT, "its commit has no time: '" STR_FMT "'",
                           STR_ARG(t));
    int64_t y = v[1] <= 2 ? v[0] - 1 : v[0], era = y / 400, yoe = y - era * 400,
            doy = (153 * (v[1] + (v[1] > 2 ? -3 : 9)) + 2) / 5 + v[2] - 1,
            doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    x->image.created = t;
    x->image.created_s = (era * 146097 + doe - 719468) * 86400 + v[3] * 3600 + v[4] * 60 + v[5];
    return true;
}

/* A tag has no '+'. */
static bool cmd_image_tag(struct cmd_image *x, struct str version) {
    char *tag = str_dup_cstr(&x->c->arena, str_format(&x->c->arena, "%s-" STR_FMT,
                                                      x->engine ? "engine" : "client",
                                                      STR_ARG(version)));
    if (!tag) return err_oom(&x->c->err, version.n, "a tag");
    for (char *p = tag; *p; p++)
        if (*p == '+') *p = '-';
    x->tag = x->target.tag.n ? x->target.tag : str_cstr(tag);
    return true;
}

static bool cmd_image_describe(struct cmd_image *x) {
    struct arena *a = &x->c->arena;
    struct str version = cli_facts_get(x->facts, "version"), source = cli_text(&x->c->args,
                                                                               "--source");
    struct oci_pair *to = x->labels;
#define CMD_IMAGE_LABEL(name, text) \
    *to++ = (struct oci_pair){ STR("org.opencontainers.image." name), text }
    CMD_IMAGE_LABEL("created", x->image.created);
    CMD_IMAGE_LABEL("description", x->engine ? STR("mlxk: language models in MLX format, served")
                                             : STR("mlxk: language models pulled and verified"));
    CMD_IMAGE_LABEL("licenses", STR("Apache-2.0"));
    CMD_IMAGE_LABEL("revision", cli_facts_get(x->facts, "commit"));
    if (source.n) CMD_IMAGE_LABEL("source", source);
    CMD_IMAGE_LABEL("title", x->engine ? STR("mlxk engine") : STR("mlxk client"));
    CMD_IMAGE_LABEL("version", version);
#undef CMD_IMAGE_LABEL
    static const struct str serve[] = { { "serve", 5 }, { "--host", 6 }, { "0.0.0.0", 7 } },
                            help[] = { { "help", 4 } };
    x->image.labels = x->labels;
    x->image.n_labels = (size_t)(to - x->labels);
    x->image.parts = x->parts;
    x->image.words = x->engine ? serve : help;
    x->image.n_words = x->engine ? MLXK_COUNT(serve) : MLXK_COUNT(help);
    struct buf roots;
    buf_init(&roots, (size_t)2 << 20);
    net_roots_pem(&roots);
    bool ok = buf_ok(&roots, "certificates", &x->c->err);
    x->image.roots = str_dup(a, buf_str(&roots));
    buf_release(&roots);
    return ok && cmd_image_tag(x, version);
}

/* ---- the command ---- */

static bool cmd_image_write(struct cmd_image *x) {
    struct cli_context *c = x->c;
    struct oci_options options = { .may_write = true };
    struct oci *o = oci_open(&x->target, &options, &c->err);
    bool ok = o && oci_image_put(&c->arena, o, &x->image, x->tag, &x->digest, &c->err)
              && oci_finish(o, &c->err);
    oci_close(o);
    return ok;
}

static bool cmd_image_words(struct cmd_image *x) {
    struct cli_context *c = x->c;
    struct str flavour = cli_text(&c->args, "--flavour");
    if (!str_eq(cli_text(&c->args, "action"), STR("build")))
        return err_set(&c->err, ERR_USAGE, "argument action: invalid choice: '" STR_FMT "' "
                       "(choose from 'build')", STR_ARG(cli_text(&c->args, "action")));
    x->engine = str_eq(flavour, STR("engine"));
    if (flavour.n && !x->engine && !str_eq(flavour, STR("client")))
        return err_set(&c->err, ERR_USAGE, "argument --flavour: invalid choice: '" STR_FMT "' "
                       "(choose from 'client', 'engine')", STR_ARG(flavour));
    if (!cli_oci_ref(c, cli_text(&c->args, "target"), &x->target)) return false;
    if (x->target.kind != OCI_REGISTRY && !x->target.digest.n) return true;
    err_set(&c->err, ERR_INVALID, "an image is built into a layout: oci:DIR or oci-archive:FILE");
    return err_hint(&c->err, "mlxk copy oci:DIR:TAG HOST/REPO:TAG brings it into a registry");
}

static int cmd_image_run(struct cli_context *c) {
    struct cmd_image x = { .c = c };
    if (!cmd_image_words(&x) || !cmd_image_parts(&x) || !cmd_image_time(&x)
        || !cmd_image_describe(&x) || !cmd_image_write(&x))
        return cli_fail(c, &c->err, NULL);
    x.target.tag = x.tag;
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        json_write_member(w, "target", oci_ref_text(&c->arena, &x.target));
        json_write_member(w, "digest", x.digest);
        json_write_member(w, "flavour", x.engine ? STR("engine") : STR("client"));
        json_write_member(w, "version", cli_facts_get(x.facts, "version"));
        json_write_key(w, "platforms");
        json_write_array(w);
        for (size_t i = 0; i < x.image.n_parts; i++)
            json_write_str(w, str_format(&c->arena, "linux/" STR_FMT,
                                         STR_ARG(x.parts[i].architecture)));
        json_write_array_end(w);
        json_write_object_end(w);
        return cli_document_end(c);
    }
    cli_print(c, STR_FMT "\n" STR_FMT "\n", STR_ARG(oci_ref_text(&c->arena, &x.target)),
              STR_ARG(x.digest));
    return 0;
}

MLXK_FN const struct cli_command *cmd_image(void) {
    static const struct cli_command command = {
        "image",
        "this program as a container image, made by itself",
        "itself",
        cmd_image_options,
        MLXK_COUNT(cmd_image_options),
        "  mlxk image build oci-archive:images.tar --program mlxk-amd64\n"
        "  mlxk image build oci:layout --flavour engine\n",
        cmd_image_run,
    };
    return &command;
}
