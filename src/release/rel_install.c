/* rel_install.c: what a client or package of a registry wants to be in a Python environment.
 *
 * The artifact is not believed: module and folder follow from name and version, every path must lie
 * below that folder, and nothing in it may stand where others have their files.
 *
 * 1. Nothing is written here.
 */
#include "release/rel_int.h"

#include <stdio.h>

enum { REL_INSTALL_FILES = 2000 };
#define REL_INSTALL_MAX ((uint64_t)1 << 30)    /* tokenizers are the large ones */

/* Files that are ours to write. */
static bool rel_install_is_ours(struct str path) {
    return str_eq(path, STR("origin.json"));
}

MLXK_FN bool rel_install_names(struct arena *a, struct rel_install *in, struct err *e) {
    struct str module = rel_python_module(a, in->name),
               version = rel_python_version(a, &in->version),
               class_name = rel_python_class(a, in->name), text = rel_version_text(a, &in->version);
    char number[64];
    char *info;
    if (!module.p || !version.p || !class_name.p || !text.p) return err_oom(e, 256, "names");
    (void)snprintf(number, sizeof number, "%u.%u.%u", (unsigned)in->version.major,
                   (unsigned)in->version.minor, (unsigned)in->version.patch);
    if (in->package) {
        in->module = str_format(a, STR_FMT "." STR_FMT, STR_ARG(module), STR_ARG(version));
        in->leaf = str_format(a, STR_FMT "/" STR_FMT, STR_ARG(module), STR_ARG(version));
        in->dist = str_format(a, STR_FMT "-pkg-" STR_FMT, STR_ARG(in->name), STR_ARG(text));
        in->class_name = class_name;
    } else {
        unsigned major = (unsigned)in->version.major;
        in->module = str_format(a, STR_FMT ".client.v%u", STR_ARG(module), major);
        in->leaf = str_format(a, STR_FMT "/client/v%u", STR_ARG(module), major);
        in->dist = str_format(a, STR_FMT "-client-v%u", STR_ARG(in->name), major);
        in->class_name = str_concat(a, class_name, STR("Client"));
    }
    info = str_dup_cstr(a, in->dist);
    for (char *p = info; p && *p; p++)
        if (*p == '-' || *p == '.') *p = '_';
    in->info = info ? str_format(a, "%s-%s.dist-info", info, number) : STR_EMPTY;
    return (in->module.p && in->leaf.p && in->dist.p && in->class_name.p && in->info.p)
           || err_oom(e, 256, "names");
}

static bool rel_install_annotations(struct rel_install *in, struct err *e) {
    const struct oci_manifest *m = in->manifest;
    struct str version = oci_annotation(m->annotations, m->n_annotations, REL_KEY_VERSION);
    in->name = oci_annotation(m->annotations, m->n_annotations, REL_KEY_NAME);
    in->min_version = oci_annotation(m->annotations, m->n_annotations, "dev.mlxk.min-version");
    if (!in->name.n || !rel_version_parse(version, &in->version)) {
        err_set(e, ERR_FORMAT, "the artifact does not say which version of which model it is for");
        return err_hint(e, "`mlxk release` makes artifacts that do");
    }
    if (!rel_name_ok(in->name, e)) {
        e->code = ERR_FORMAT;
        return false;
    }
    in->tag = oci_annotation(m->annotations, m->n_annotations, REL_KEY_TAG);
    if (in->tag.n != in->name.n + 1 + version.n || !str_starts(in->tag, in->name)
        || !str_ends(in->tag, version) || in->tag.p[in->name.n] != '-')
        in->tag = version;
    return true;
}

/* A layer's place: below the leaf, or it is a file of the model. */
static bool rel_install_path(struct rel_install *in, const struct oci_desc *d, struct str path,
                             struct str *out, struct err *e) {
    struct str shown = str_sub(path, 0, 200);
    *out = STR_EMPTY;
    bool model = str_starts(d->media_type, STR("application/vnd.cncf.model."));
    if (in->package && model) return true;
    if (path.n > in->leaf.n + 1 && str_starts(path, in->leaf) && path.p[in->leaf.n] == '/')
        *out = str_sub(path, in->leaf.n + 1, path.n);
    if (!out->n)
        return err_set(e, ERR_FORMAT, "the file '" STR_FMT "' does not lie in " STR_FMT,
                       STR_ARG(shown), STR_ARG(in->leaf));
    if (rel_install_is_ours(*out))
        return err_set(e, ERR_FORMAT, "the artifact may not bring '" STR_FMT "'", STR_ARG(shown));
    return oci_digest_hex(d->digest).n == 64
           || err_set(e, ERR_UNSUPPORTED, "'" STR_FMT "' is not named by sha256", STR_ARG(shown));
}

static bool rel_install_layers(struct arena *a, struct rel_install *in, struct err *e) {
    const struct oci_manifest *m = in->manifest;
    struct str *paths;
    uint64_t sum = 0;
    bool module = false;
    if (!oci_manifest_files(a, m, &paths, e)) return false;
    in->paths = ARENA_ARRAY(a, struct str, m->n_layers + 1);
    if (!in->paths) return err_oom(e, m->n_layers, "a list of files");
    in->model = m->n_layers;
    for (size_t i = 0; i < m->n_layers; i++) {
        if (!rel_install_path(in, &m->layers[i], paths[i], &in->paths[i], e)) return false;
        if (!in->paths[i].n) continue;
        in->n_files++;
        sum += m->layers[i].size_bytes < REL_INSTALL_MAX ? m->layers[i].size_bytes
                                                         : REL_INSTALL_MAX + 1;
        module = module || str_eq(in->paths[i], STR("__init__.py"));
        if (in->package && str_eq(in->paths[i], STR("manifest.json"))) in->model = i;
        if (in->n_files > REL_INSTALL_FILES || sum > REL_INSTALL_MAX)
            return err_set(e, ERR_LIMIT, "the artifact brings more than %d files or 1 GiB",
                           REL_INSTALL_FILES);
    }
    if (!module || (in->package && in->model == m->n_layers))
        return err_set(e, ERR_FORMAT, "the artifact holds no module " STR_FMT "%s",
                       STR_ARG(in->module), module ? " with a model" : "");
    return true;
}

MLXK_FN bool rel_install_read(struct arena *a, const struct oci_manifest *m,
                              struct rel_install *out, struct err *e) {
    *out = (struct rel_install){ .manifest = m };
    struct str type = oci_manifest_type(m);
    out->package = str_eq(type, STR(REL_TYPE_PACKAGE));
    if (!out->package && !str_eq(type, STR(REL_TYPE_CLIENT)))
        return err_set(e, ERR_UNSUPPORTED, "this is neither a client nor a package of a model");
    return rel_install_annotations(out, e) && rel_install_names(a, out, e)
           && rel_install_layers(a, out, e);
}

#undef REL_INSTALL_MAX
