/* rel_pack.c: a state as one artifact, and its way into a registry or layout.
 *
 * One raw layer per file, small kinds first, each kind in the order of paths; the config holds what
 * the files say and nothing else. So equal files give the same digest on every machine, at any
 * time.
 *
 * 1. No commit, version, date or folder is in config or manifest: those are in tags.
 * 2. Blobs are sent before the manifest, the manifest before its tags; what is there is not sent.
 * 3. Empty files have no layer (registries do not keep empty blobs); an annotation names them.
 * ref    CNCF model format 0.0.7; oci.h.
 */
#include "release/rel_int.h"

#define REL_MAX_PACK ((size_t)4 << 20)

/* ---- layers ---- */

static enum oci_content rel_pack_content(const struct rel_file *f) {
    if (f->kind == REL_DOCS) return OCI_DOC;
    if (str_ends(f->path, STR(".py"))) return OCI_CODE;
    return f->kind == REL_WEIGHTS && !str_ends(f->path, STR(".json")) ? OCI_WEIGHT
                                                                      : OCI_WEIGHT_CONFIG;
}

static bool rel_pack_layers(struct arena *a, const struct rel_state *s, struct oci_manifest *m,
                            struct buf *empty, struct err *e) {
    static const enum oci_content order[] = { OCI_WEIGHT_CONFIG, OCI_CODE, OCI_DOC, OCI_WEIGHT };
    m->layers = ARENA_ARRAY(a, struct oci_desc, s->n + 1);
    if (!m->layers) return err_oom(e, s->n * sizeof *m->layers, "a manifest");
    for (size_t pass = 0; pass < MLXK_COUNT(order); pass++)
        for (size_t i = 0; i < s->n; i++) {
            const struct rel_file *f = &s->files[i];
            if (rel_pack_content(f) != order[pass]) continue;
            if (!f->size_bytes) {
                buf_addf(empty, "%s" STR_FMT, empty->n ? "\n" : "", STR_ARG(f->path));
                continue;
            }
            struct str digest = str_format(a, "sha256:%s", f->sha256);
            struct oci_desc d = oci_model_layer(a, order[pass], f->path, digest, f->size_bytes);
            if (!digest.p || !d.annotations) return err_oom(e, f->path.n, "a manifest");
            m->layers[m->n_layers++] = d;
        }
    return m->n_layers || err_set(e, ERR_NOT_FOUND, "%s holds only empty files", s->dir_cstr);
}

/* ---- config ---- */

static void rel_pack_params(struct json_writer *w, struct arena *a, uint64_t n) {
    static const struct { uint64_t unit; const char *letter_cstr; } units[] = {
        { 1000000000000, "T" }, { 1000000000, "B" }, { 1000000, "M" }, { 1000, "K" } };
    for (size_t i = 0; i < MLXK_COUNT(units); i++) {
        if (n < units[i].unit) continue;
        uint64_t tenths = n / (units[i].unit / 10);
        json_write_member(w, "paramSize",
                          str_format(a, "%llu.%llu%s", (unsigned long long)(tenths / 10),
                                     (unsigned long long)(tenths % 10), units[i].letter_cstr));
        return;
    }
}

static bool rel_pack_config(struct arena *a, const struct rel_state *s,
                            const struct oci_manifest *m, struct str *out, struct err *e) {
    static const char *const precisions[] = { "float32", "float16", "bfloat16" };
    struct json_writer w;
    struct buf b;
    buf_init(&b, REL_MAX_PACK);
    json_write_init(&w, &b, false, false);
    json_write_object(&w);
    json_write_key(&w, "descriptor");
    json_write_object(&w);
    if (s->family.n) json_write_member(&w, "family", s->family);
    json_write_object_end(&w);
    json_write_key(&w, "modelfs");
    json_write_object(&w);
    json_write_member(&w, "type", STR("layers"));
    json_write_key(&w, "diffIds");
    json_write_array(&w);
    for (size_t i = 0; i < m->n_layers; i++) json_write_str(&w, m->layers[i].digest);
    json_write_array_end(&w);
    json_write_object_end(&w);
    json_write_key(&w, "config");
    json_write_object(&w);
    json_write_member(&w, "architecture", STR("transformer"));
    if (s->format.n)
        json_write_member(&w, "format",
                          str_eq(s->format, STR("mlx")) ? STR("safetensors") : s->format);
    rel_pack_params(&w, a, s->n_params);
    for (size_t i = 0; i < MLXK_COUNT(precisions); i++)
        if (str_eq_cstr(s->precision, precisions[i]))
            json_write_member(&w, "precision", s->precision);
    if (s->quantization.n) json_write_member(&w, "quantization", s->quantization);
    json_write_object_end(&w);
    json_write_object_end(&w);
    bool ok = buf_ok(&b, "a config", e);
    if (ok) *out = str_dup(a, buf_str(&b));
    buf_release(&b);
    return ok && (out->p || err_oom(e, b.n, "a config"));
}

MLXK_FN bool rel_pack(struct arena *a, const struct rel_state *s, struct rel_package *out,
                      struct err *e) {
    struct oci_manifest m = { .artifact_type = STR(OCI_TYPE_MODEL) };
    struct buf empty;
    struct oci_pair notes[6];
    size_t n = 0;
    *out = (struct rel_package){ .state = s };
    buf_init(&empty, REL_MAX_PACK);
    bool ok = rel_pack_layers(a, s, &m, &empty, e) && buf_ok(&empty, "a manifest", e)
              && rel_pack_config(a, s, &m, &out->config, e);
    notes[n++] = (struct oci_pair){ STR(REL_KEY_DOCS), str_cstr(s->hash.docs) };
    if (empty.n) notes[n++] = (struct oci_pair){ STR("dev.mlxk.empty"), buf_str(&empty) };
    notes[n++] = (struct oci_pair){ STR(REL_KEY_IFACE), str_cstr(s->hash.iface) };
    notes[n++] = (struct oci_pair){ STR(REL_KEY_LOGIC), str_cstr(s->hash.logic) };
    notes[n++] = (struct oci_pair){ STR("dev.mlxk.schema"), STR("1") };
    notes[n++] = (struct oci_pair){ STR(REL_KEY_WEIGHTS), str_cstr(s->hash.weights) };
    m.annotations = notes;
    m.n_annotations = n;
    if (ok) {
        m.config = (struct oci_desc){ .media_type = STR(OCI_TYPE_MODEL_CONFIG),
                                      .size_bytes = out->config.n,
                                      .digest = oci_digest_of(a, out->config) };
        ok = oci_manifest_make(a, &m, e);
    }
    buf_release(&empty);
    out->manifest = m;
    return ok;
}

/* ---- sending ---- */

/* The layer's bytes: a text of the package, else a file of its state. */
static struct oci_parcel rel_push_parcel(const struct rel_package *p, const struct map *files,
                                         const struct oci_desc *d) {
    for (size_t i = 0; i < p->n_texts; i++)
        if (str_eq(p->texts[i].digest, d->digest))
            return (struct oci_parcel){ .desc = d, .text = p->texts[i].text };
    const uint64_t *at = map_get(files, oci_digest_hex(d->digest));
    MLXK_ASSERT(at != NULL);
    return (struct oci_parcel){ .desc = d, .file_cstr = p->state->files[*at].file_cstr };
}

static bool rel_push_parcels(const struct rel_package *p, struct oci_parcel *list, struct err *e) {
    const struct rel_state *s = p->state;
    struct map files;
    bool ok = true, is_new;
    map_init(&files, REL_MAX_FILES);
    for (size_t i = 0; ok && i < s->n; i++) {
        uint64_t *at = map_put(&files, str_cstr(s->files[i].sha256), &is_new);
        ok = at || err_oom(e, s->n * 32, "an upload");
        if (ok && is_new) *at = i;
    }
    for (size_t i = 0; ok && i < p->manifest.n_layers; i++)
        list[i] = rel_push_parcel(p, &files, &p->manifest.layers[i]);
    map_release(&files);
    return ok;
}

MLXK_FN bool rel_push(struct arena *a, struct oci *o, const struct rel_package *p, struct str tag,
                      struct rel_pushed *r, struct err *e) {
    struct oci_head head;
    *r = (struct rel_pushed){ .n_blobs = p->manifest.n_layers + 1 };
    if (!oci_manifest_head(a, o, tag, &head, e)) return false;
    r->was_there = head.found && str_eq(head.digest, p->manifest.digest);
    r->moved = head.found && !r->was_there;
    if (r->was_there) return true;
    if (!oci_text_put(o, &p->manifest.config, p->config, e)) return false;
    size_t n = p->manifest.n_layers;
    struct oci_parcel *list = ARENA_ARRAY(a, struct oci_parcel, n + 1);
    struct oci_sent sent = { 0 };
    if (!list) return err_oom(e, n * sizeof *list, "an upload");
    bool ok = rel_push_parcels(p, list, e) && oci_parcels_put(a, o, list, n, &sent, e);
    r->n_sent = sent.n_sent;
    r->sent_bytes = sent.sent_bytes;
    return ok && oci_manifest_put(o, &p->manifest, tag, e);
}

/* ---- what a manifest says ---- */

static bool rel_manifest_hash(const struct oci_manifest *m, const char *key_cstr, char out[65]) {
    struct str v = oci_annotation(m->annotations, m->n_annotations, key_cstr);
    if (!str_is_hex(v, 64)) return false;
    memcpy(out, v.p, 64);
    out[64] = 0;
    return true;
}

MLXK_FN bool rel_manifest_hashes(const struct oci_manifest *m, struct rel_hashes *out) {
    return rel_manifest_hash(m, REL_KEY_IFACE, out->iface)
           && rel_manifest_hash(m, REL_KEY_LOGIC, out->logic)
           && rel_manifest_hash(m, REL_KEY_WEIGHTS, out->weights)
           && rel_manifest_hash(m, REL_KEY_DOCS, out->docs);
}
