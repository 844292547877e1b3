/* oci_image.c: a static program as a container image FROM nothing, written into a layout.
 *
 *  1. The layer is stored uncompressed: its digest is also its diff_id and depends on no packer.
 *  2. Owner 0, sorted names, one time for all entries, JSON members in one order: the same
 *     programs, labels and time give the same bytes anywhere.
 *  3. Nothing of it asks for root: it runs as user 65532; what is writable is so for everybody.
 * ref: image 1.1 (layer, config, manifest, index); runs-as: distroless' "nonroot".
 */
#include "oci/oci_int.h"

#define OCI_IMAGE_CONFIG "application/vnd.oci.image.config.v1+json"
#define OCI_IMAGE_LAYER "application/vnd.oci.image.layer.v1.tar"
#define OCI_IMAGE_USER "65532:65532"
#define OCI_IMAGE_ROOTS "etc/ssl/certs/ca-certificates.crt"

/* ---- the layer (Private) --------------------------------------------------------------------- */

static bool oci_image_entry(struct buf *out, const struct oci_image *x, enum tar_kind kind,
                            struct str path, uint32_t mode, struct str content, struct err *e) {
    struct tar_entry entry = { .kind = kind, .path = path, .size_bytes = content.n, .mode = mode,
                               .mtime_s = x->created_s };
    if (!tar_write_header(out, &entry, e)) return false;
    buf_add(out, content);
    tar_write_padding(out, content.n);
    return buf_ok(out, "a layer", e);
}

static bool oci_image_layer(const struct oci_image *x, const struct oci_image_part *part,
                            struct buf *out, struct err *e) {
    struct os_map map = { 0 };
    if (!os_map_file(part->program_cstr, &map, e)) return false;
    struct str program = { (const char *)map.p, map.size_bytes };
    bool ok = program.n <= OCI_IMAGE_MAX_PROGRAM
              || err_set(e, ERR_LIMIT, "%s has %zu bytes: more than a program of an image may have",
                         part->program_cstr, program.n);
    const struct {
        enum tar_kind kind;
        struct str path;
        uint32_t mode;
        struct str content;
    } entries[] = {
        { TAR_DIR, STR("etc/"), 0755, STR_EMPTY },
        { TAR_DIR, STR("etc/ssl/"), 0755, STR_EMPTY },
        { TAR_DIR, STR("etc/ssl/certs/"), 0755, STR_EMPTY },
        { TAR_FILE, STR(OCI_IMAGE_ROOTS), 0644, x->roots },
        { TAR_FILE, STR("mlxk"), 0755, program },
        { TAR_DIR, STR("models/"), 01777, STR_EMPTY },
        { TAR_DIR, STR("tmp/"), 01777, STR_EMPTY },
    };
    for (size_t i = 0; ok && i < MLXK_COUNT(entries); i++)
        ok = oci_image_entry(out, x, entries[i].kind, entries[i].path, entries[i].mode,
                             entries[i].content, e);
    if (ok) tar_write_end(out);
    os_unmap(&map);
    return ok && buf_ok(out, "a layer", e);
}

/* ---- its documents (Private) ----------------------------------------------------------------- */

static void oci_image_words(struct json_writer *w, const char *key_cstr, const struct str *words,
                            size_t n) {
    json_write_key(w, key_cstr);
    json_write_array(w);
    for (size_t i = 0; i < n; i++) json_write_str(w, words[i]);
    json_write_array_end(w);
}

/* What a container is started with. */
static void oci_image_start(struct json_writer *w, const struct oci_image *x) {
    const struct str entry[] = { STR("/mlxk") };
    const struct str env[] = { STR("PATH=/"), STR("HOME=/models"), STR("HF_HOME=/models"),
                               STR("SSL_CERT_FILE=/" OCI_IMAGE_ROOTS) };
    json_write_key(w, "config");
    json_write_object(w);
    json_write_member(w, "User", STR(OCI_IMAGE_USER));
    oci_image_words(w, "Env", env, MLXK_COUNT(env));
    oci_image_words(w, "Entrypoint", entry, MLXK_COUNT(entry));
    oci_image_words(w, "Cmd", x->words, x->n_words);
    json_write_key(w, "Volumes");
    json_write_object(w);
    json_write_key(w, "/models");
    json_write_object(w);
    json_write_object_end(w);
    json_write_object_end(w);
    json_write_member(w, "WorkingDir", STR("/models"));
    json_write_key(w, "Labels");
    json_write_object(w);
    for (size_t i = 0; i < x->n_labels; i++) {
        json_write_key_str(w, x->labels[i].key);
        json_write_str(w, x->labels[i].value);
    }
    json_write_object_end(w);
    json_write_object_end(w);
}

static void oci_image_platform(struct json_writer *w, const struct oci_image_part *part) {
    json_write_member(w, "architecture", part->architecture);
    json_write_member(w, "os", STR("linux"));
    if (part->variant.n) json_write_member(w, "variant", part->variant);
}

static bool oci_image_config(const struct oci_image *x, const struct oci_image_part *part,
                             struct str layer_digest, struct buf *out, struct err *e) {
    struct json_writer w;
    json_write_init(&w, out, false, false);
    json_write_object(&w);
    json_write_member(&w, "created", x->created);
    oci_image_platform(&w, part);
    oci_image_start(&w, x);
    json_write_key(&w, "rootfs");
    json_write_object(&w);
    json_write_member(&w, "type", STR("layers"));
    oci_image_words(&w, "diff_ids", &layer_digest, 1);
    json_write_object_end(&w);
    json_write_key(&w, "history");
    json_write_array(&w);
    json_write_object(&w);
    json_write_member(&w, "created", x->created);
    json_write_member(&w, "created_by", STR("mlxk image build"));
    json_write_object_end(&w);
    json_write_array_end(&w);
    json_write_object_end(&w);
    return buf_ok(out, "an image's config", e);
}

/* ---- storing (Private) ----------------------------------------------------------------------- */

static bool oci_image_blob(struct arena *a, struct oci *o, const char *type_cstr, struct str text,
                           struct oci_desc *out, struct err *e) {
    *out = (struct oci_desc){ .media_type = str_cstr(type_cstr), .digest = oci_digest_of(a, text),
                              .size_bytes = text.n };
    if (!out->digest.n) return err_oom(e, OCI_MAX_DIGEST, "a digest");
    return oci_text_put(o, out, text, e);
}

/* The manifest of one platform, as a row of the index. */
static bool oci_image_part_put(struct arena *a, struct oci *o, const struct oci_image *x,
                               const struct oci_image_part *part, struct oci_desc *out,
                               struct err *e) {
    struct buf layer_text, text;
    struct oci_desc layer = { 0 };
    struct oci_manifest m = { .layers = &layer, .n_layers = 1,
                              .annotations = (struct oci_pair *)(uintptr_t)x->labels,
                              .n_annotations = x->n_labels };
    buf_init(&layer_text, OCI_IMAGE_MAX_PROGRAM + ((size_t)4 << 20));
    buf_init(&text, (size_t)1 << 20);
    bool ok = oci_image_layer(x, part, &layer_text, e)
              && oci_image_blob(a, o, OCI_IMAGE_LAYER, buf_str(&layer_text), &layer, e)
              && oci_image_config(x, part, layer.digest, &text, e)
              && oci_image_blob(a, o, OCI_IMAGE_CONFIG, buf_str(&text), &m.config, e)
              && oci_manifest_make(a, &m, e) && oci_manifest_put(o, &m, STR_EMPTY, e);
    buf_release(&layer_text);
    buf_reset(&text);
    if (ok) {
        struct json_writer w;
        json_write_init(&w, &text, false, false);
        json_write_object(&w);
        oci_image_platform(&w, part);
        json_write_object_end(&w);
        *out = (struct oci_desc){ .media_type = m.media_type, .digest = m.digest,
                                  .size_bytes = m.text.n };
        ok = buf_ok(&text, "a platform", e)
             && (out->platform = json_parse(a, buf_str(&text), e)) != NULL;
    }
    buf_release(&text);
    return ok;
}

MLXK_FN bool oci_image_put(struct arena *a, struct oci *o, const struct oci_image *x,
                           struct str tag, struct str *digest, struct err *e) {
    struct oci_desc rows[OCI_IMAGE_PLATFORMS];
    MLXK_ASSERT(x->n_parts > 0 && x->n_parts <= OCI_IMAGE_PLATFORMS);
    for (size_t i = 0; i < x->n_parts; i++)
        if (!oci_image_part_put(a, o, x, &x->parts[i], &rows[i], e)) return false;
    struct oci_manifest index = { .is_index = true, .layers = rows, .n_layers = x->n_parts,
                                  .annotations = (struct oci_pair *)(uintptr_t)x->labels,
                                  .n_annotations = x->n_labels };
    if (!oci_manifest_make(a, &index, e) || !oci_manifest_put(o, &index, tag, e)) return false;
    *digest = index.digest;
    return true;
}

#undef OCI_IMAGE_CONFIG
#undef OCI_IMAGE_LAYER
#undef OCI_IMAGE_USER
#undef OCI_IMAGE_ROOTS
