/* rel_client.c: the client and the package of a release, as artifacts beside it.
 *
 *   client   interface.json, openapi.json, client.json, a C header, tokenizer and templates, Python
 *   package  the same, install.json, the release's manifest, and the very blobs of the release
 *
 * The Python is the same for every model, but for names that rel_python.c made; everything else is
 * data in JSON files beside it. Paths in the artifact are those below site-packages.
 *
 * 1. A function of release, name and number alone: the same one gives the same digest everywhere.
 * 2. Nothing from outside becomes code: no text of a model stands in a .py or .h file.
 * ref    OpenAPI 3.1; RFC 8785 (interface.json); oci.h.
 */
#include "release/rel_int.h"
#include "rel_client_files.h"

#define REL_CLIENT_MAX ((size_t)8 << 20)
enum { REL_CLIENT_TEXTS = 16, REL_CLIENT_FILLS = 16 };

struct rel_client_job {
    struct arena *a;
    const struct rel_package *p;
    struct rel_version version;
    const struct rel_whose *whose;
    struct str name, module, leaf;       /* "ham", "ham.client.v1", "ham/client/v1" */
    const struct json *doc;
    struct rel_package *out;
    size_t n_layers;
};

/* ---- texts with gaps (Private) ---- */

struct rel_fill { const char *key_cstr; struct str value; };

/* Each @KEY@ becomes its value; other '@' stay. */
static void rel_fill(struct buf *out, struct str text, const struct rel_fill *fills, size_t n) {
    size_t at = 0;
    while (at < text.n) {
        struct str rest = str_sub(text, at, text.n);
        size_t i = 0, key_n = 0;
        for (; rest.p[0] == '@' && i < n; i++) {
            key_n = strlen(fills[i].key_cstr);
            if (rest.n >= key_n + 2 && memcmp(rest.p + 1, fills[i].key_cstr, key_n) == 0
                && rest.p[key_n + 1] == '@')
                break;
        }
        bool found = rest.p[0] == '@' && i < n;
        if (found) buf_add(out, fills[i].value);
        else buf_add_char(out, rest.p[0]);
        at += found ? key_n + 2 : 1;
    }
}

/* ---- what goes in (Private) ---- */

static bool rel_client_layer(struct rel_client_job *j, struct str path, const char *type_cstr,
                             struct str digest, uint64_t size_bytes, struct err *e) {
    struct oci_pair *title = ARENA_ARRAY(j->a, struct oci_pair, 1);
    if (!title || !path.p || !digest.n) return err_oom(e, 256, "a manifest");
    title[0] = (struct oci_pair){ STR(OCI_KEY_TITLE), path };
    j->out->manifest.layers[j->n_layers++] =
        (struct oci_desc){ .media_type = str_cstr(type_cstr), .digest = digest,
                           .size_bytes = size_bytes, .annotations = title, .n_annotations = 1 };
    return true;
}

static bool rel_client_text(struct rel_client_job *j, const char *name_cstr, const char *type_cstr,
                            struct str text, struct err *e) {
    struct rel_package *out = j->out;
    struct str digest = oci_digest_of(j->a, text);
    MLXK_ASSERT(out->n_texts < REL_CLIENT_TEXTS);
    out->texts[out->n_texts++] = (struct rel_text){ digest, text };
    return rel_client_layer(j, str_format(j->a, STR_FMT "/%s", STR_ARG(j->leaf), name_cstr),
                            type_cstr, digest, text.n, e);
}

static bool rel_client_keep(struct rel_client_job *j, const char *name_cstr, const char *type_cstr,
                            struct buf *b, struct err *e) {
    bool ok = buf_ok(b, name_cstr, e);
    struct str text = ok ? str_dup(j->a, buf_str(b)) : STR_EMPTY;
    buf_release(b);
    if (!ok) return false;
    return text.p ? rel_client_text(j, name_cstr, type_cstr, text, e)
                  : err_oom(e, LIMIT_PATH, name_cstr);
}

/* Members that both client.json and install.json have; the object stays open. */
static void rel_client_members(struct rel_client_job *j, struct json_writer *w,
                               const char *schema_cstr) {
    json_write_object(w);
    json_write_member(w, "schema", str_cstr(schema_cstr));
    json_write_member(w, "name", j->name);
    json_write_member(w, "version", rel_version_text(j->a, &j->version));
    json_write_member(w, "module", j->module);
    json_write_member(w, "digest", j->p->manifest.digest);
    json_write_member(w, "interface", str_cstr(j->p->state->hash.iface));
    json_write_member(w, "min_mlxk", STR(REL_CLIENT_MIN));
    if (!j->whose->named) return;
    json_write_member(w, "prefix", rel_whose_tag(j->a, j->whose, STR("")));
}

static bool rel_client_about(struct rel_client_job *j, struct err *e) {
    struct json_writer w;
    struct buf b;
    buf_init(&b, REL_CLIENT_MAX);
    json_write_init(&w, &b, true, true);
    rel_client_members(j, &w, "mlxk.client/1");
    json_write_object_end(&w);
    buf_add_char(&b, '\n');
    return rel_client_keep(j, "client.json", "application/json", &b, e);
}

static bool rel_client_python(struct rel_client_job *j, bool package, struct err *e) {
    struct str class_name = rel_python_class(j->a, j->name);
    struct rel_fill fills[] = {
        { "NAME", j->name },
        { "MODULE", j->module },
        { "CLASS", class_name },
        { "VERSION", rel_version_text(j->a, &j->version) },
        { "MAJOR", str_format(j->a, "%u", (unsigned)j->version.major) },
    };
    struct buf b;
    for (size_t i = 0; i < MLXK_COUNT(fills); i++)
        if (!fills[i].value.p) return err_oom(e, 64, "a client");
    buf_init(&b, REL_CLIENT_MAX);
    rel_fill(&b, str_cstr(package ? rel_file_package_init_py : rel_file_client_init_py), fills,
             MLXK_COUNT(fills));
    return rel_client_keep(j, "__init__.py", "text/x-python", &b, e)
           && rel_client_text(j, "_client.py", "text/x-python", str_cstr(rel_file__client_py), e)
           && (!package
               || rel_client_text(j, "_package.py", "text/x-python",
                                  str_cstr(rel_file__package_py), e))
           && rel_client_text(j, "py.typed", "text/plain", STR("# all of it\n"), e);
}

static bool rel_client_openapi(struct rel_client_job *j, struct err *e) {
    struct json_writer w;
    struct buf b, title;
    int64_t context = 0, dim = 0;
    bool tools = false, embeds = str_eq(j->p->state->task, STR("embedding"));
    const struct json *t = json_get(j->doc, "tools");
    struct str text = rel_version_text(j->a, &j->version);
    if (json_is(t, JSON_BOOL)) tools = t->boolean;
    if (!json_read_i64(j->doc, "context", 0, INT32_MAX, &context, e)
        || !json_read_i64(j->doc, "embed_dim", 0, INT32_MAX, &dim, e))
        return false;
    buf_init(&title, 1 << 16);
    json_write_init(&w, &title, false, true);
    json_write_str(&w, j->name);
    struct rel_fill fills[] = {
        { "TITLE", str_dup(j->a, buf_str(&title)) },
        { "NUMBER", str_sub(text, 1, text.n) },
        { "DIGEST", j->p->manifest.digest },
        { "INTERFACE", str_cstr(j->p->state->hash.iface) },
        { "DOCUMENT", j->p->state->document },
        { "MAXIMUM", context ? str_format(j->a, ", \"maximum\": %lld", (long long)context)
                             : STR_EMPTY },
        { "DIMENSIONS", dim ? str_format(j->a, ", \"minItems\": %lld, \"maxItems\": %lld",
                                         (long long)dim, (long long)dim)
                            : STR_EMPTY },
        { "TOOLS", tools ? STR("\n          \"tools\": {\"type\": \"array\", \"items\": "
                               "{\"type\": \"object\"}},")
                         : STR_EMPTY },
    };
    buf_release(&title);
    buf_init(&b, REL_CLIENT_MAX);
    rel_fill(&b, str_cstr(embeds ? rel_file_openapi_embed_json : rel_file_openapi_chat_json), fills,
             MLXK_COUNT(fills));
    return rel_client_keep(j, "openapi.json", "application/json", &b, e);
}

/* ---- the C header (Private) ---- */

static void rel_client_upper(struct buf *b, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = c >= 'a' && c <= 'z',
             other = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        buf_add_char(b, letter ? (char)(c - 32) : other ? c : '_');
    }
}

static void rel_client_define(struct buf *b, struct str prefix, struct str name, int64_t value) {
    buf_add_cstr(b, "#define ");
    rel_client_upper(b, prefix);
    buf_add_char(b, '_');
    rel_client_upper(b, name);
    buf_addf(b, " %lld\n", (long long)value);
}

static void rel_client_specials(struct rel_client_job *j, struct buf *b, struct str prefix) {
    const struct json *special = json_get(j->doc, "special");
    for (const struct json *m = special ? special->child : NULL; m; m = m->next) {
        const struct json *id = json_is(m, JSON_ARRAY) ? json_at(m, 0) : m;
        if (!json_is(id, JSON_INT)) continue;
        struct str name = str_format(j->a, "TOKEN_" STR_FMT, STR_ARG(str_sub(m->key, 0, 40)));
        rel_client_define(b, prefix, name, id->integer);
    }
}

static bool rel_client_header(struct rel_client_job *j, struct err *e) {
    static const char *const numbers[] = { "context", "vocab_size", "embed_dim" };
    struct str prefix = rel_python_module(j->a, j->name),
               version = rel_version_text(j->a, &j->version);
    struct buf b;
    if (!prefix.p || !version.p) return err_oom(e, 64, "a header");
    buf_init(&b, REL_CLIENT_MAX);
    buf_addf(&b, "/* Numbers of the model " STR_FMT " " STR_FMT ", generated by mlxk. */\n#ifndef ",
             STR_ARG(j->name), STR_ARG(version));
    rel_client_upper(&b, prefix);
    buf_add_cstr(&b, "_H\n#define ");
    rel_client_upper(&b, prefix);
    buf_add_cstr(&b, "_H\n\n#define ");
    rel_client_upper(&b, prefix);
    buf_addf(&b, "_VERSION \"" STR_FMT "\"\n#define ", STR_ARG(version));
    rel_client_upper(&b, prefix);
    buf_addf(&b, "_INTERFACE \"%s\"\n", j->p->state->hash.iface);
    for (size_t i = 0; i < MLXK_COUNT(numbers); i++) {
        const struct json *v = json_get(j->doc, numbers[i]);
        if (json_is(v, JSON_INT))
            rel_client_define(&b, prefix, str_cstr(numbers[i]), v->integer);
    }
    rel_client_specials(j, &b, prefix);
    buf_add_cstr(&b, "\n#endif\n");
    return rel_client_keep(j, "model.h", "text/x-c", &b, e);
}

/* Tokenizer and templates, in the paths of the model below files/. */
static bool rel_client_files(struct rel_client_job *j, struct err *e) {
    const struct rel_state *s = j->p->state;
    for (size_t i = 0; i < s->n; i++) {
        const struct rel_file *f = &s->files[i];
        if (f->kind != REL_IFACE || !f->size_bytes) continue;
        bool is_json = str_ends(f->path, STR(".json"));
        struct str path =
            str_format(j->a, STR_FMT "/files/" STR_FMT, STR_ARG(j->leaf), STR_ARG(f->path));
        if (!rel_client_layer(j, path, is_json ? "application/json" : "application/octet-stream",
                              str_format(j->a, "sha256:%s", f->sha256), f->size_bytes, e))
            return false;
    }
    return true;
}

/* ---- the artifacts ---- */

static bool rel_client_begin(struct rel_client_job *j, const char *type_cstr, struct err *e) {
    const struct rel_package *p = j->p;
    *j->out = (struct rel_package){ .state = p->state, .config = STR("{}") };
    j->out->manifest.artifact_type = str_cstr(type_cstr);
    j->out->manifest.config = oci_desc_empty();
    j->out->texts = ARENA_ARRAY(j->a, struct rel_text, REL_CLIENT_TEXTS);
    j->out->manifest.layers = ARENA_ARRAY(j->a, struct oci_desc,
        REL_CLIENT_TEXTS + p->state->n + p->manifest.n_layers);
    j->doc = json_parse_large(j->a, p->state->document, e);
    if (!j->doc) return false;
    return (j->out->texts && j->out->manifest.layers && j->leaf.p && j->module.p)
           || err_oom(e, p->state->n * sizeof(struct oci_desc), "a manifest");
}

static bool rel_client_end(struct rel_client_job *j, struct err *e) {
    struct oci_manifest *m = &j->out->manifest;
    struct oci_pair notes[] = {
        { STR(REL_KEY_IFACE), str_cstr(j->p->state->hash.iface) },
        { STR("dev.mlxk.min-version"), STR(REL_CLIENT_MIN) },
        { STR(REL_KEY_MODEL), j->p->manifest.digest },
        { STR(REL_KEY_MODULE), j->module },
        { STR(REL_KEY_NAME), j->name },
        { STR("dev.mlxk.schema"), STR("1") },
        { STR(REL_KEY_VERSION), rel_version_text(j->a, &j->version) },
        { STR_EMPTY, STR_EMPTY },        /* the tag, where it is not the version */
    };
    struct str tag = rel_whose_tag(j->a, j->whose, rel_version_text(j->a, &j->version));
    notes[MLXK_COUNT(notes) - 1] = (struct oci_pair){ STR(REL_KEY_TAG), tag };
    if (!tag.p) return err_oom(e, OCI_MAX_TAG, "a tag");
    m->annotations = notes;
    m->n_annotations = MLXK_COUNT(notes) - !j->whose->named;
    m->n_layers = j->n_layers;
    return oci_manifest_make(j->a, m, e);
}

static bool rel_client_common(struct rel_client_job *j, bool package, struct err *e) {
    struct str document = str_concat(j->a, j->p->state->document, STR("\n"));
    return (document.p || err_oom(e, j->p->state->document.n, "an interface document"))
           && rel_client_python(j, package, e) && rel_client_about(j, e)
           && rel_client_text(j, "interface.json", "application/json", document, e)
           && rel_client_openapi(j, e) && rel_client_header(j, e) && rel_client_files(j, e);
}

MLXK_FN bool rel_client_make(struct arena *a, const struct rel_package *p,
                             const struct rel_whose *w,
                             const struct rel_version *v, struct rel_package *out, struct err *e) {
    struct rel_client_job j = { .a = a, .p = p, .version = *v, .whose = w, .name = w->name,
                                .out = out };
    struct str module = rel_python_module(a, w->name);
    if (!module.p) return err_oom(e, w->name.n, "a name");
    j.module = str_format(a, STR_FMT ".client.v%u", STR_ARG(module), (unsigned)v->major);
    j.leaf = str_format(a, STR_FMT "/client/v%u", STR_ARG(module), (unsigned)v->major);
    return rel_client_begin(&j, REL_TYPE_CLIENT, e) && rel_client_common(&j, false, e)
           && rel_client_end(&j, e);
}

/* What a person who has only this artifact must know of the model in it. */
static bool rel_package_notes(struct rel_client_job *j, struct err *e) {
    struct json_writer w;
    struct buf b;
    buf_init(&b, REL_CLIENT_MAX);
    json_write_init(&w, &b, true, true);
    rel_client_members(j, &w, "mlxk.install/1");
    json_write_key(&w, "model");
    json_write_object(&w);
    json_write_member(&w, "manifest", STR("manifest.json"));
    json_write_key(&w, "n_files");
    json_write_u64(&w, j->p->manifest.n_layers);
    json_write_key(&w, "size_bytes");
    json_write_u64(&w, j->p->state->size_bytes);
    json_write_object_end(&w);
    json_write_key(&w, "hints");
    json_write_object(&w);
    json_write_member_or_null(&w, "task", j->p->state->task);
    json_write_key(&w, "context");
    json_write_value(&w, json_get(j->doc, "context"));
    json_write_object_end(&w);
    json_write_object_end(&w);
    buf_add_char(&b, '\n');
    return rel_client_keep(j, "install.json", "application/json", &b, e)
           && rel_client_text(j, "manifest.json", "application/json", j->p->manifest.text, e);
}

MLXK_FN bool rel_package_make(struct arena *a, const struct rel_package *p,
                              const struct rel_whose *w,
                              const struct rel_version *v, struct rel_package *out, struct err *e) {
    struct rel_client_job j = { .a = a, .p = p, .version = *v, .whose = w, .name = w->name,
                                .out = out };
    struct str module = rel_python_module(a, w->name), version = rel_python_version(a, v);
    if (!module.p || !version.p) return err_oom(e, w->name.n, "a name");
    j.module = str_format(a, STR_FMT "." STR_FMT, STR_ARG(module), STR_ARG(version));
    j.leaf = str_format(a, STR_FMT "/" STR_FMT, STR_ARG(module), STR_ARG(version));
    if (!rel_client_begin(&j, REL_TYPE_PACKAGE, e) || !rel_client_common(&j, true, e)
        || !rel_package_notes(&j, e))
        return false;
    for (size_t i = 0; i < p->state->n; i++)
        if (str_starts(p->state->files[i].path, str_concat(a, j.leaf, STR("/"))))
            return err_set(e, ERR_INVALID, "the model has a file " STR_FMT
                           ", where its Python package belongs", STR_ARG(p->state->files[i].path));
    for (size_t i = 0; i < p->manifest.n_layers; i++)
        out->manifest.layers[j.n_layers++] = p->manifest.layers[i];
    return rel_client_end(&j, e);
}
