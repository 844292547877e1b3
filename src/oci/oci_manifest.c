/* oci_manifest.c: manifests and indexes, read with suspicion and written in one way. Pure.
 *
 * 1. A document over OCI_MAX_MANIFEST is refused before it is read; digests, sizes and types of
 *    every descriptor are checked; what is not known is passed over.
 * 2. Written: members in the order of the specification, annotations sorted, no white space, so
 *    that the same content has the same digest on every machine.
 * ref: image 1.1, "manifest", "index", "descriptor"; schema 2 of docker; model format, "spec".
 */
#include "oci/oci_int.h"

enum { OCI_MANIFEST_TYPE_MAX = 255, OCI_MANIFEST_VALUES = 250000 };
#define OCI_MAX_BLOB ((uint64_t)1 << 50)

MLXK_FN struct oci_shown oci_show(struct str s) {
    struct oci_shown out;
    size_t n = s.n < 160 ? s.n : 160;
    for (size_t i = 0; i < n; i++)
        out.text[i] = (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ? '?' : s.p[i];
    n -= utf8_incomplete_tail((struct str){ out.text, n });
    n = log_redact(out.text, n);
    if (s.n > 160) {
        memcpy(out.text + n, "...", 3);
        n += 3;
    }
    out.text[n] = 0;
    return out;
}

MLXK_FN size_t oci_json_values(struct str text) {
    size_t n = 1;
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '"') quoted = !quoted;
        else if (quoted) i += c == '\\';
        else n += c == ',' || c == '[' || c == '{';
    }
    return n;
}

MLXK_FN bool oci_paths_fit(const struct map *paths, struct err *e) {
    for (size_t i = 0; i < paths->n; i++) {
        struct str path = paths->entries[i].key;
        for (size_t n = 1; n < path.n; n++)
            if (path.p[n] == '/' && map_get(paths, str_sub(path, 0, n)))
                return err_set(e, ERR_FORMAT, "'%s' is to be a file and a folder",
                               oci_show(str_sub(path, 0, n)).text);
    }
    return true;
}

/* ---- reading (Private) ----------------------------------------------------------------------- */

static bool oci_manifest_annotations(struct arena *a, const struct json *v, struct oci_pair **out,
                                     size_t *n, struct err *e) {
    const struct json *list = json_get(v, "annotations");
    *out = NULL;
    *n = 0;
    if (!list || list->kind == JSON_NULL) return true;
    if (list->kind != JSON_OBJECT) return err_set(e, ERR_FORMAT, "'annotations' is no object");
    if (list->n > OCI_MAX_ANNOTATIONS)
        return err_set(e, ERR_LIMIT, "more than %d annotations", OCI_MAX_ANNOTATIONS);
    *out = ARENA_ARRAY(a, struct oci_pair, list->n + 1);
    if (!*out) return err_oom(e, list->n * sizeof **out, "annotations");
    for (const struct json *x = list->child; x; x = x->next) {
        if (x->kind != JSON_STRING)
            return err_set(e, ERR_FORMAT, "the annotation '%s' is no text", oci_show(x->key).text);
        (*out)[(*n)++] = (struct oci_pair){ x->key, x->string };
    }
    return true;
}

static bool oci_manifest_type_ok(struct str type) {
    for (size_t i = 0; i < type.n; i++)
        if (type.p[i] <= ' ' || type.p[i] >= 0x7f) return false;
    return type.n <= OCI_MANIFEST_TYPE_MAX;
}

MLXK_FN bool oci_desc_read(struct arena *a, const struct json *v, struct oci_desc *out,
                           struct err *e) {
    int64_t size = -1;
    *out = (struct oci_desc){ 0 };
    if (!json_is(v, JSON_OBJECT)) return err_set(e, ERR_FORMAT, "a descriptor is no object");
    if (!json_read_str(v, "mediaType", &out->media_type, e)
        || !json_read_str(v, "digest", &out->digest, e)
        || !json_read_str(v, "artifactType", &out->artifact_type, e)
        || !json_read_str(v, "data", &out->data, e)
        || !json_read_i64(v, "size", 0, (int64_t)OCI_MAX_BLOB, &size, e))
        return false;
    if (!oci_digest_ok(out->digest))
        return err_set(e, ERR_FORMAT, "'%s' is no digest that can be checked",
                       oci_show(out->digest).text);
    if (size < 0) return err_set(e, ERR_FORMAT, "a descriptor without a size");
    if (!oci_manifest_type_ok(out->media_type) || !oci_manifest_type_ok(out->artifact_type))
        return err_set(e, ERR_FORMAT, "a media type is none");
    out->size_bytes = (uint64_t)size;
    const struct json *platform = json_get(v, "platform");
    if (json_is(platform, JSON_OBJECT)) out->platform = platform;
    return oci_manifest_annotations(a, v, &out->annotations, &out->n_annotations, e);
}

static bool oci_manifest_list(struct arena *a, const struct json *doc, const char *key_cstr,
                              struct oci_manifest *out, struct err *e) {
    const struct json *list = json_get(doc, key_cstr);
    if (!json_is(list, JSON_ARRAY) && !(list && list->kind == JSON_NULL))
        return err_set(e, ERR_FORMAT, "'%s' is no list", key_cstr);
    if (list->n > OCI_MAX_LAYERS)
        return err_set(e, ERR_LIMIT, "more than %d entries in '%s'", OCI_MAX_LAYERS, key_cstr);
    out->layers = ARENA_ARRAY(a, struct oci_desc, list->n + 1);
    if (!out->layers) return err_oom(e, list->n * sizeof *out->layers, "a manifest");
    for (const struct json *v = list->child; v; v = v->next)
        if (!oci_desc_read(a, v, &out->layers[out->n_layers++], e))
            return err_context(e, "%s[%zu]: ", key_cstr, out->n_layers - 1);
    return true;
}

static bool oci_manifest_is_index_type(struct str type) {
    return str_eq_cstr(type, OCI_TYPE_INDEX) || str_eq_cstr(type, OCI_TYPE_DOCKER_LIST);
}

static bool oci_manifest_known_type(struct str type) {
    return oci_manifest_is_index_type(type) || str_eq_cstr(type, OCI_TYPE_MANIFEST)
           || str_eq_cstr(type, OCI_TYPE_DOCKER);
}

/* The document's own type, else the answer's, else what its members say. */
static bool oci_manifest_what(const struct json *doc, struct str header, struct oci_manifest *out,
                              struct err *e) {
    int64_t version = 0;
    struct str own = STR_EMPTY;
    struct str head = str_trim(str_cut(&header, ';'));
    if (!json_is(doc, JSON_OBJECT)) return err_set(e, ERR_FORMAT, "it is no object");
    if (!json_read_i64(doc, "schemaVersion", INT32_MIN, INT32_MAX, &version, e)
        || !json_read_str(doc, "mediaType", &own, e))
        return false;
    if (version != 2)
        return err_set(e, ERR_UNSUPPORTED, "it has schema version %lld, only 2 is known",
                       (long long)version);
    bool has_list = json_get(doc, "manifests") != NULL,
         has_layers = json_get(doc, "layers") != NULL;
    if (own.n && !oci_manifest_known_type(own))
        return err_set(e, ERR_UNSUPPORTED, "it is of the unknown type '%s'", oci_show(own).text);
    if (own.n && oci_manifest_known_type(head) && !str_eq(own, head))
        return err_set(e, ERR_FORMAT, "it says it is %s and was sent as %s", oci_show(own).text,
                       oci_show(head).text);
    if (has_list && has_layers)
        return err_set(e, ERR_FORMAT, "it has manifests like an index and layers like a manifest");
    out->media_type = own.n ? own
                    : oci_manifest_known_type(head) ? head
                    : has_list ? STR(OCI_TYPE_INDEX) : STR(OCI_TYPE_MANIFEST);
    out->is_index = oci_manifest_is_index_type(out->media_type);
    if (out->is_index ? !has_list : has_list)
        return err_set(e, ERR_FORMAT, "its members do not fit its type");
    return true;
}

static bool oci_manifest_fill(struct arena *a, const struct json *doc, struct oci_manifest *out,
                              struct err *e) {
    const struct json *subject = json_get(doc, "subject");
    if (!json_read_str(doc, "artifactType", &out->artifact_type, e)
        || !oci_manifest_annotations(a, doc, &out->annotations, &out->n_annotations, e))
        return false;
    if (!oci_manifest_type_ok(out->artifact_type))
        return err_set(e, ERR_FORMAT, "artifactType is none");
    if (subject && subject->kind != JSON_NULL) {
        out->has_subject = true;
        if (!oci_desc_read(a, subject, &out->subject, e)) return err_context(e, "subject: ");
    }
    if (out->is_index) return oci_manifest_list(a, doc, "manifests", out, e);
    return (oci_desc_read(a, json_get(doc, "config"), &out->config, e)
            || err_context(e, "config: "))
           && oci_manifest_list(a, doc, "layers", out, e);
}

/* ---- reading (Public) ------------------------------------------------------------------------ */

MLXK_FN bool oci_manifest_parse(struct arena *a, struct str text, struct str media_type,
                                struct oci_manifest *out, struct err *e) {
    *out = (struct oci_manifest){ 0 };
    if (text.n > OCI_MAX_MANIFEST)
        return err_set(e, ERR_LIMIT, "the manifest is larger than 4 MiB");
    out->text = str_dup(a, text);
    out->digest = oci_digest_of(a, text);
    struct str type = str_dup(a, media_type);
    if ((!out->text.p && text.n) || !out->digest.p || (!type.p && media_type.n))
        return err_oom(e, text.n, "a manifest");
    if (oci_json_values(text) > OCI_MANIFEST_VALUES)
        return err_set(e, ERR_LIMIT, "the manifest has more than %d values", OCI_MANIFEST_VALUES);
    const struct json *doc = json_parse_large(a, out->text, e);
    if (doc && oci_manifest_what(doc, type, out, e) && oci_manifest_fill(a, doc, out, e))
        return true;
    return err_context(e, "the manifest cannot be used: ");
}

MLXK_FN struct str oci_annotation(const struct oci_pair *pairs, size_t n, const char *key_cstr) {
    for (size_t i = 0; i < n; i++)
        if (str_eq_cstr(pairs[i].key, key_cstr))
            return pairs[i].value.p ? pairs[i].value : STR("");
    return STR_EMPTY;
}

MLXK_FN struct str oci_manifest_type(const struct oci_manifest *m) {
    return m->artifact_type.n ? m->artifact_type : m->config.media_type;
}

/* ---- writing (Public) ------------------------------------------------------------------------ */

static void oci_manifest_write_pairs(struct json_writer *w, const struct oci_pair *pairs,
                                     size_t n) {
    struct str last = STR_EMPTY;
    if (n == 0) return;
    json_write_key(w, "annotations");
    json_write_object(w);
    for (size_t done = 0; done < n; done++) {              /* few: the least one that is left */
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < n; i++)
            if ((!last.p || str_cmp(pairs[i].key, last) > 0)
                && (best == SIZE_MAX || str_cmp(pairs[i].key, pairs[best].key) < 0))
                best = i;
        if (best == SIZE_MAX) break;                       /* twins are written once */
        last = pairs[best].key;
        json_write_key_str(w, last);
        json_write_str(w, pairs[best].value);
    }
    json_write_object_end(w);
}

MLXK_FN void oci_desc_write(struct json_writer *w, const struct oci_desc *d) {
    json_write_object(w);
    json_write_member(w, "mediaType", d->media_type);
    json_write_member(w, "digest", d->digest);
    json_write_key(w, "size");
    json_write_u64(w, d->size_bytes);
    if (d->artifact_type.n) json_write_member(w, "artifactType", d->artifact_type);
    if (d->data.n) json_write_member(w, "data", d->data);
    oci_manifest_write_pairs(w, d->annotations, d->n_annotations);
    if (d->platform) {
        json_write_key(w, "platform");
        json_write_value(w, d->platform);
    }
    json_write_object_end(w);
}

MLXK_FN bool oci_manifest_write(struct buf *out, const struct oci_manifest *m, struct err *e) {
    struct json_writer w;
    json_write_init(&w, out, false, false);
    json_write_object(&w);
    json_write_key(&w, "schemaVersion");
    json_write_i64(&w, 2);
    json_write_member(&w, "mediaType", m->is_index ? STR(OCI_TYPE_INDEX) : STR(OCI_TYPE_MANIFEST));
    if (m->artifact_type.n) json_write_member(&w, "artifactType", m->artifact_type);
    if (!m->is_index) {
        json_write_key(&w, "config");
        oci_desc_write(&w, &m->config);
    }
    json_write_key(&w, m->is_index ? "manifests" : "layers");
    json_write_array(&w);
    for (size_t i = 0; i < m->n_layers; i++) oci_desc_write(&w, &m->layers[i]);
    json_write_array_end(&w);
    if (m->has_subject) {
        json_write_key(&w, "subject");
        oci_desc_write(&w, &m->subject);
    }
    oci_manifest_write_pairs(&w, m->annotations, m->n_annotations);
    json_write_object_end(&w);
    return buf_ok(out, "a manifest", e);
}

MLXK_FN bool oci_manifest_make(struct arena *a, struct oci_manifest *m, struct err *e) {
    struct oci_manifest made;
    struct buf text;
    buf_init(&text, OCI_MAX_MANIFEST);
    bool ok = oci_manifest_write(&text, m, e)
              && oci_manifest_parse(a, buf_str(&text), STR_EMPTY, &made, e);
    buf_release(&text);
    if (ok) *m = made;
    return ok;
}

MLXK_FN struct oci_desc oci_desc_empty(void) {
    return (struct oci_desc){ .media_type = STR(OCI_TYPE_EMPTY), .digest = STR(OCI_EMPTY_DIGEST),
                              .size_bytes = 2, .data = STR("e30=") };
}

/* ---- models (Public) ------------------------------------------------------------------------- */

MLXK_FN struct oci_desc oci_model_layer(struct arena *a, enum oci_content content, struct str path,
                                        struct str digest, uint64_t size_bytes) {
    static const char *const kinds[] = { [OCI_WEIGHT] = "weight",
                                         [OCI_WEIGHT_CONFIG] = "weight.config",
                                         [OCI_DOC] = "doc",
                                         [OCI_CODE] = "code",
                                         [OCI_DATASET] = "dataset" };
    struct oci_desc d = { .digest = digest, .size_bytes = size_bytes };
    struct oci_pair *pairs = ARENA_ARRAY(a, struct oci_pair, 2);
    d.media_type = str_format(a, "application/vnd.cncf.model.%s.v1.raw", kinds[content]);
    if (!pairs || !d.media_type.p) return d;
    pairs[0] = (struct oci_pair){ STR(OCI_KEY_FILEPATH), path };
    pairs[1] = (struct oci_pair){ STR(OCI_KEY_TITLE), path };
    d.annotations = pairs;
    d.n_annotations = 2;
    return d;
}

MLXK_FN bool oci_layer_path(const struct oci_desc *layer, struct str *out, struct err *e) {
    static const char *const keys[] = { OCI_KEY_FILEPATH, OCI_KEY_FILEPATH_OLD, OCI_KEY_TITLE };
    *out = STR_EMPTY;
    for (size_t i = 0; i < MLXK_COUNT(keys) && !out->p; i++)
        *out = oci_annotation(layer->annotations, layer->n_annotations, keys[i]);
    if (!out->p)
        return err_set(e, ERR_FORMAT, "the layer %s of type '%s' does not say which file it is",
                       oci_show(layer->digest).text, oci_show(layer->media_type).text);
    return oci_path_ok(*out, e);
}

MLXK_FN bool oci_manifest_files(struct arena *a, const struct oci_manifest *m, struct str **paths,
                                struct err *e) {
    struct map seen;
    bool is_new, ok = true;
    *paths = ARENA_ARRAY(a, struct str, m->n_layers + 1);
    if (!*paths) return err_oom(e, m->n_layers * sizeof **paths, "a list of files");
    if (m->is_index)
        return err_set(e, ERR_UNSUPPORTED, "this is an index of artifacts, not one of them");
    if (!m->n_layers) return err_set(e, ERR_FORMAT, "the artifact has no layers, so no files");
    map_init(&seen, OCI_MAX_LAYERS + 1);
    for (size_t i = 0; ok && i < m->n_layers; i++) {
        struct str type = m->layers[i].media_type, *path = &(*paths)[i];
        enum oci_packing packing = oci_layer_packing(&m->layers[i]);
        if (packing == OCI_PACKED_OTHER) {
            ok = err_set(e, ERR_UNSUPPORTED, "layer %zu is packed in a way that is not read (%s)",
                         i + 1, oci_show(type).text);
            err_hint(e,
                     "pack the model again as plain files (`raw` layers), or as tar or tar+gzip");
            break;
        }
        *path = STR_EMPTY;
        if (packing != OCI_PLAIN) continue;
        ok = oci_layer_path(&m->layers[i], path, e);
        if (ok && !map_put(&seen, *path, &is_new)) ok = err_oom(e, seen.n * 32, "a list of files");
        else if (ok && !is_new)
            ok =
                err_set(e, ERR_FORMAT, "two layers want to be the file '%s'", oci_show(*path).text);
    }
    ok = ok && oci_paths_fit(&seen, e);
    map_release(&seen);
    return ok;
}

#undef OCI_MAX_BLOB
