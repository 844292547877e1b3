/* rel_place.c: a client or package into a Python environment.
 *
 *   TARGET/NAME/client/v1/...                 the module
 *   TARGET/REPO/NAME/client/v1/__init__.py    the same under the repository's name
 *   TARGET/NAME_client_v1-1.4.2.dist-info/    what pip lists and removes
 *   TARGET/.mlxk/stage/                       all of it, until it is whole
 *
 * NAME, NAME/client and REPO have no __init__.py: lines and models of several repositories stand
 * side by side.
 *
 * 1. A folder is made whole beside, then changes places with what is there. A kill in between
 *    leaves the old module, or the new one; the next run finishes, because only the record that
 *    comes last says that it is done.
 * 2. Bytes are those of the manifest's digests; they are compared again when it is there already.
 * 3. What somebody else has put there stays.
 */
#include "release/rel_int.h"

#include <stdio.h>

enum { REL_PLACE_PIECE = 1 << 18, REL_PLACE_WAIT_MS = 60000, REL_PLACE_ENTRIES = 100000 };
#define REL_PLACE_TEXT ((size_t)4 << 20)

struct rel_place {
    struct arena *a;
    struct oci *o;
    const struct rel_install *in;
    const struct rel_origin_of *from;
    const char *target_cstr, *stage_cstr;
    struct str origin, alias_leaf, alias_text, record, mark, metadata;
};

static const char *rel_place_at(struct rel_place *p, const char *top_cstr, struct str path) {
    char *name = str_dup_cstr(p->a, path);
    return name ? os_path_join(p->a, top_cstr, name) : NULL;
}

/* ---- texts (Private) ---- */

/* PATH,sha256=BASE64URL,SIZE with a path that may need quotes. */
static void rel_place_row(struct buf *b, struct str path, const uint8_t hash[32], uint64_t n) {
    struct buf code;
    bool quote = str_find_char(path, ',') >= 0 || str_find_char(path, '"') >= 0;
    buf_init(&code, 64);
    base64_write(&code, hash, 32);
    if (quote) buf_add_char(b, '"');
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] == '"') buf_add_char(b, '"');
        buf_add_char(b, path.p[i]);
    }
    buf_add_cstr(b, quote ? "\",sha256=" : ",sha256=");
    for (size_t i = 0; i < code.n && code.p[i] != '='; i++)
        buf_add_char(b, code.p[i] == '+' ? '-' : code.p[i] == '/' ? '_' : code.p[i]);
    buf_addf(b, ",%llu\n", (unsigned long long)n);
    buf_release(&code);
}

static void rel_place_row_text(struct rel_place *p, struct buf *b, struct str dir,
                               const char *name_cstr, struct str text) {
    struct sha256 h;
    uint8_t hash[32];
    sha256_init(&h);
    sha256_update(&h, text.p, text.n);
    sha256_final(&h, hash);
    rel_place_row(b, str_format(p->a, STR_FMT "/%s", STR_ARG(dir), name_cstr), hash, text.n);
}

static void rel_place_hash(struct str hex, uint8_t out[32]) {
    for (size_t i = 0; i < 32; i++) {
        unsigned byte = 0;
        for (size_t k = 0; k < 2; k++) {
            char c = hex.p[2 * i + k];
            byte = byte * 16 + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        out[i] = (uint8_t)byte;
    }
}

static bool rel_place_record(struct rel_place *p, struct err *e) {
    const struct rel_install *in = p->in;
    struct buf b;
    uint8_t hash[32];
    buf_init(&b, REL_PLACE_TEXT);
    for (size_t i = 0; i < in->manifest->n_layers; i++) {
        const struct oci_desc *d = &in->manifest->layers[i];
        if (!in->paths[i].n) continue;
        rel_place_hash(oci_digest_hex(d->digest), hash);
        rel_place_row(&b, str_format(p->a, STR_FMT "/" STR_FMT, STR_ARG(in->leaf),
                                     STR_ARG(in->paths[i])), hash, d->size_bytes);
    }
    rel_place_row_text(p, &b, in->leaf, "origin.json", p->origin);
    if (p->alias_leaf.n) rel_place_row_text(p, &b, p->alias_leaf, "__init__.py", p->alias_text);
    rel_place_row_text(p, &b, in->info, "INSTALLER", STR("mlxk\n"));
    rel_place_row_text(p, &b, in->info, "METADATA", p->metadata);
    rel_place_row_text(p, &b, in->info, "manifest.json", in->manifest->text);
    rel_place_row_text(p, &b, in->info, "mlxk.json", p->mark);
    buf_addf(&b, STR_FMT "/RECORD,,\n", STR_ARG(in->info));
    bool ok = buf_ok(&b, "a list of files", e);
    if (ok) p->record = str_dup(p->a, buf_str(&b));
    buf_release(&b);
    return ok && (p->record.p || err_oom(e, b.n, "a list of files"));
}

/* The summary alone tells a branch: numbers of pip are only numbers. */
static struct str rel_place_metadata(struct rel_place *p) {
    const struct rel_install *in = p->in;
    const struct rel_version *v = &in->version;
    return str_format(p->a,
                      "Metadata-Version: 2.1\nName: " STR_FMT "\nVersion: %u.%u.%u\nSummary: %s of "
                      "the model " STR_FMT ", " STR_FMT "\nRequires-Python: >=3.8\n",
                      STR_ARG(in->dist), (unsigned)v->major, (unsigned)v->minor, (unsigned)v->patch,
                      in->package ? "Package" : "Client", STR_ARG(in->name),
                      STR_ARG(rel_version_text(p->a, v)));
}

static bool rel_place_json(struct rel_place *p, struct str *origin, struct str *mark,
                           struct err *e) {
    struct json_writer w;
    struct buf b;
    bool ok = true;
    for (int i = 0; ok && i < 2; i++) {
        buf_init(&b, REL_PLACE_TEXT);
        json_write_init(&w, &b, true, true);
        json_write_object(&w);
        json_write_member(&w, "repository", p->from->repository);
        json_write_member(&w, "digest", p->in->manifest->digest);
        if (i) {
            json_write_member(&w, "kind", p->in->package ? STR("package") : STR("client"));
            json_write_member(&w, "name", p->in->name);
            json_write_member(&w, "version", rel_version_text(p->a, &p->in->version));
            json_write_member(&w, "module", p->in->module);
        }
        json_write_object_end(&w);
        buf_add_char(&b, '\n');
        ok = buf_ok(&b, "a record", e);
        if (ok) *(i ? mark : origin) = str_dup(p->a, buf_str(&b));
        ok = ok && ((i ? mark : origin)->p || err_oom(e, b.n, "a record"));
        buf_release(&b);
    }
    return ok;
}

/* ---- what is there (Private) ---- */

static bool rel_place_exists(struct rel_place *p, struct str path) {
    struct os_stat st;
    const char *at = rel_place_at(p, p->target_cstr, path);
    return at && os_lstat(at, &st);
}

/* A package of somebody else would hide ours, or ours get into it. */
static bool rel_place_is_taken(struct rel_place *p, struct str leaf, struct str *by) {
    struct str top = str_sub(leaf, 0, (size_t)str_find_char(leaf, '/'));
    *by = str_concat(p->a, top, STR(".py"));
    if (rel_place_exists(p, *by)) return true;
    for (size_t i = 0; i < leaf.n; i++) {
        if (leaf.p[i] != '/') continue;
        *by = str_concat(p->a, str_sub(leaf, 0, i), STR("/__init__.py"));
        if (rel_place_exists(p, *by)) return true;
    }
    return false;
}

static struct str rel_place_text(struct rel_place *p, struct str path) {
    struct err none = { 0 };
    struct str text = STR_EMPTY;
    const char *at = rel_place_at(p, p->target_cstr, path);
    if (!at || !os_read_file(p->a, at, REL_PLACE_TEXT, &text, &none)) return STR_EMPTY;
    return text;
}

static bool rel_place_is_same(struct rel_place *p, const char *file_cstr, const char *key_cstr,
                              struct str want) {
    struct err none = { 0 };
    struct str path = str_format(p->a, STR_FMT "/%s", STR_ARG(p->in->leaf), file_cstr),
               found = STR_EMPTY;
    const struct json *v = json_parse(p->a, rel_place_text(p, path), &none);
    return v && json_read_str(v, key_cstr, &found, &none) && str_eq(found, want);
}

static bool rel_place_free(struct rel_place *p, struct err *e) {
    const struct rel_install *in = p->in;
    struct str by;
    if (rel_place_is_taken(p, in->leaf, &by)) {
        err_set(e, ERR_EXISTS, "%s has " STR_FMT " already, which would hide the module " STR_FMT,
                p->target_cstr, STR_ARG(by), STR_ARG(in->module));
        return err_hint(e, "--target DIR puts it elsewhere");
    }
    if (p->from->replace || !rel_place_exists(p, in->leaf)
        || (rel_place_is_same(p, "origin.json", "repository", p->from->repository)
            && rel_place_is_same(p, "client.json", "name", in->name)))
        return true;
    err_set(e, ERR_EXISTS, STR_FMT " in %s came from somewhere else", STR_ARG(in->module),
            p->target_cstr);
    return err_hint(e, "--replace puts this one in its place, --target DIR puts it elsewhere");
}

/* Everything is there, to the bit. */
static bool rel_place_is_whole(struct rel_place *p) {
    const struct rel_install *in = p->in;
    struct str record = str_format(p->a, STR_FMT "/RECORD", STR_ARG(in->info)),
               origin = str_format(p->a, STR_FMT "/origin.json", STR_ARG(in->leaf)),
               alias = str_format(p->a, STR_FMT "/__init__.py", STR_ARG(p->alias_leaf)),
               mark = str_format(p->a, STR_FMT "/mlxk.json", STR_ARG(in->info));
    struct err none = { 0 };
    if (!str_eq(rel_place_text(p, record), p->record)
        || !str_eq(rel_place_text(p, origin), p->origin)
        || !str_eq(rel_place_text(p, mark), p->mark)
        || (p->alias_leaf.n && !str_eq(rel_place_text(p, alias), p->alias_text)))
        return false;
    for (size_t i = 0; i < in->manifest->n_layers; i++) {
        uint8_t hash[32], want[32];
        if (!in->paths[i].n) continue;
        rel_place_hash(oci_digest_hex(in->manifest->layers[i].digest), want);
        const char *at = rel_place_at(p, p->target_cstr, str_format(p->a, STR_FMT "/" STR_FMT,
                                      STR_ARG(in->leaf), STR_ARG(in->paths[i])));
        if (!at || !sha256_file(at, hash, NULL, NULL, &none) || memcmp(hash, want, 32) != 0)
            return false;
    }
    return true;
}

/* ---- making it (Private) ---- */

static bool rel_place_stream(struct rel_place *p, int fd, const struct oci_desc *d,
                             struct err *e) {
    struct oci_reader *r = oci_blob_open(p->o, d, 0, NULL, e);
    uint8_t *piece = mem_alloc(REL_PLACE_PIECE);
    size_t got = 1;
    bool ok = r && (piece || err_oom(e, REL_PLACE_PIECE, "a file"));
    while (ok && got)
        ok = oci_blob_read(r, piece, REL_PLACE_PIECE, &got, e) && os_write(fd, piece, got, e);
    mem_free(piece);
    oci_blob_close(r);
    return ok && os_sync(fd, e);
}

static bool rel_place_file(struct rel_place *p, const char *leaf_cstr, size_t i, struct err *e) {
    const char *at = rel_place_at(p, leaf_cstr, p->in->paths[i]);
    char *dir = at ? os_path_dir(p->a, at) : NULL;
    if (!dir) return err_oom(e, LIMIT_PATH, "a path");
    if (!os_mkdirs(dir, e)) return false;
    int fd = os_open(at, OS_CREATE_NEW, e);
    if (fd < 0) return false;
    bool ok = rel_place_stream(p, fd, &p->in->manifest->layers[i], e);
    os_close(fd);
    return ok || err_context(e, STR_FMT ": ", STR_ARG(p->in->paths[i]));
}

static bool rel_place_write(struct rel_place *p, const char *dir_cstr, const char *name_cstr,
                            struct str text, struct err *e) {
    const char *at = os_path_join(p->a, dir_cstr, name_cstr);
    int fd = at ? os_open(at, OS_CREATE_NEW, e) : -1;
    bool ok = fd >= 0 && os_write(fd, text.p, text.n, e) && os_sync(fd, e);
    os_close(fd);
    return ok || (!at && err_oom(e, LIMIT_PATH, "a path"));
}

static bool rel_place_stage(struct rel_place *p, const char *leaf, const char *info,
                            const char *alias, struct err *e) {
    if (!os_remove_tree(p->stage_cstr, e) || !os_mkdirs(leaf, e) || !os_mkdirs(info, e)
        || !os_mkdirs(alias, e))
        return false;
    for (size_t i = 0; i < p->in->manifest->n_layers; i++)
        if (p->in->paths[i].n && !rel_place_file(p, leaf, i, e)) return false;
    return rel_place_write(p, leaf, "origin.json", p->origin, e)
           && rel_place_write(p, alias, "__init__.py", p->alias_text, e)
           && rel_place_write(p, info, "INSTALLER", STR("mlxk\n"), e)
           && rel_place_write(p, info, "METADATA", p->metadata, e)
           && rel_place_write(p, info, "manifest.json", p->in->manifest->text, e)
           && rel_place_write(p, info, "mlxk.json", p->mark, e)
           && rel_place_write(p, info, "RECORD", p->record, e);
}

/* The folder `made` becomes `path` below the target; what was there goes with the stage. */
static bool rel_place_show(struct rel_place *p, const char *made, struct str path, struct err *e) {
    struct os_stat st;
    const char *at = rel_place_at(p, p->target_cstr, path);
    char *dir = at ? os_path_dir(p->a, at) : NULL,
         *old = os_path_join(p->a, p->stage_cstr, "old");
    if (!dir || !old) return err_oom(e, LIMIT_PATH, "a path");
    if (!os_sync_dir(made, e) || !os_mkdirs(dir, e)) return false;
    if (os_lstat(at, &st) && !os_exchange(made, at)
        && (!os_remove_tree(old, e) || !os_rename(at, old, e) || !os_rename(made, at, e)))
        return false;
    if (!os_lstat(at, &st) && !os_rename(made, at, e)) return false;
    return os_sync_dir(dir, e);
}

/* Records of other versions of the same line, which are no longer there. */
static bool rel_place_forget(struct rel_place *p, struct err *e) {
    struct os_entry *list;
    size_t n;
    struct str line = str_sub(p->in->info, 0, (size_t)str_find_char(p->in->info, '-') + 1);
    if (!os_list_dir(p->a, p->target_cstr, REL_PLACE_ENTRIES, &list, &n, e)) return false;
    for (size_t i = 0; i < n; i++) {
        if (!str_starts(list[i].name, line) || !str_ends(list[i].name, STR(".dist-info"))
            || str_eq(list[i].name, p->in->info))
            continue;
        const char *at = rel_place_at(p, p->target_cstr, list[i].name);
        if (!at || !os_remove_tree(at, e)) return false;
    }
    return true;
}

static bool rel_place_all(struct rel_place *p, struct err *e) {
    const char *leaf = os_path_join(p->a, p->stage_cstr, "leaf"),
               *info = os_path_join(p->a, p->stage_cstr, "info"),
               *alias = os_path_join(p->a, p->stage_cstr, "alias");
    if (!leaf || !info || !alias) return err_oom(e, LIMIT_PATH, "a path");
    return rel_place_stage(p, leaf, info, alias, e) && rel_place_show(p, leaf, p->in->leaf, e)
           && (!p->alias_leaf.n || rel_place_show(p, alias, p->alias_leaf, e))
           && rel_place_forget(p, e) && rel_place_show(p, info, p->in->info, e)
           && os_remove_tree(p->stage_cstr, e);
}

/* The source of this idea writes `from REPO.NAME.client.v1 import ...`. */
static bool rel_place_alias(struct rel_place *p, struct str *module, struct err *e) {
    const struct rel_install *in = p->in;
    struct str name, by;
    *module = STR_EMPTY;
    if (!p->from->last.n) return true;
    if (!rel_sanitise(p->a, p->from->last, REL_MAX_NAME, &name, e)) return false;
    struct str top = rel_python_module(p->a, name);
    struct str first = str_sub(in->module, 0, (size_t)str_find_char(in->module, '.'));
    if (!top.p) return err_oom(e, name.n, "a name");
    if (str_eq(top, first)) return true;
    struct str leaf = str_format(p->a, STR_FMT "/" STR_FMT, STR_ARG(top), STR_ARG(in->leaf));
    if (!leaf.p) return err_oom(e, LIMIT_PATH, "a name");
    if (rel_place_is_taken(p, leaf, &by)) return true;
    p->alias_leaf = leaf;
    *module = str_format(p->a, STR_FMT "." STR_FMT, STR_ARG(top), STR_ARG(in->module));
    return module->p || err_oom(e, LIMIT_PATH, "a name");
}

MLXK_FN bool rel_install_place(struct arena *a, struct oci *o, const struct rel_install *in,
                               const struct rel_origin_of *from, const char *target_cstr,
                               struct rel_placed *out, struct err *e) {
    struct rel_place p = { .a = a, .o = o, .in = in, .from = from, .target_cstr = target_cstr };
    struct os_lock lock;
    struct os_stat st;
    char *own = os_path_join(a, target_cstr, ".mlxk");
    char *lock_path = own ? os_path_join(a, own, "lock") : NULL;
    *out = (struct rel_placed){ .path_cstr = rel_place_at(&p, target_cstr, in->leaf) };
    p.stage_cstr = own ? os_path_join(a, own, "stage") : NULL;
    p.metadata = rel_place_metadata(&p);
    p.alias_text = str_format(a, "\"\"\"The same as " STR_FMT ", under the name of its repository."
                              "\"\"\"\nimport importlib\nimport sys\n\nsys.modules[__name__] = "
                              "importlib.import_module(\"" STR_FMT "\")\n", STR_ARG(in->module),
                              STR_ARG(in->module));
    if (!lock_path || !p.stage_cstr || !out->path_cstr || !p.metadata.p || !p.alias_text.p)
        return err_oom(e, LIMIT_PATH, "a path");
    if (!rel_place_json(&p, &p.origin, &p.mark, e) || !rel_place_alias(&p, &out->alias, e)
        || !rel_place_record(&p, e))
        return false;
    if (rel_place_is_whole(&p) && !os_lstat(p.stage_cstr, &st)) return out->already = true;
    if (!os_mkdirs(own, e) || !os_lock_acquire(&lock, lock_path, REL_PLACE_WAIT_MS, e))
        return false;
    bool ok = rel_place_free(&p, e);
    out->already = ok && rel_place_is_whole(&p);
    ok = ok && (out->already ? os_remove_tree(p.stage_cstr, e) : rel_place_all(&p, e));
    os_lock_release(&lock);
    return ok;
}

#undef REL_PLACE_TEXT
