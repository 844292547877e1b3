/* oci.h: artifacts in OCI registries and layouts (level 3).
 *
 * One handle, struct oci, stands for a registry's repository, a layout in a folder (oci:DIR) or a
 * layout in a tar file (oci-archive:FILE). Manifests, blobs and tags are asked for and stored
 * through it in the same way, so that copying between any two is one function.
 *
 * Promises
 *  1. What is handed out under a digest has that digest; a header that says so proves nothing.
 *  2. Secrets go to the host they belong to and to the realm it names: never to another host or
 *     over a redirect, never on a command line, never into a message.
 *  3. Plain http only for hosts named so and, when https is not spoken there, for loopback.
 *  4. Everything a registry sends is bounded: manifests OCI_MAX_MANIFEST, lists OCI_MAX_TAGS, pages
 *     must make progress, a request is authenticated anew once and not twice.
 *  5. A file name from a manifest is used only after oci_path_ok.
 *  6. What a manifest names is there before the manifest is, and the manifest before its tag.
 * thread: one thread at a time per handle.
 * ref: OCI distribution 1.1, image 1.1; CNCF model format.
 */
#ifndef MLXK_OCI_H
#define MLXK_OCI_H

#include "base/base.h"
#include "platform/platform.h"
#include "json/json.h"
#include "format/format.h"
#include "net/net.h"
#include "cache/cache.h"

enum {
    OCI_MAX_NAME = 255,          /* host and repository together, as many clients have it */
    OCI_MAX_TAG = 128,
    OCI_MAX_DIGEST = 7 + 128,    /* "sha512:" and its digits */
    OCI_MAX_TAGS = 200000,       /* in one repository, repositories in one catalog */
    OCI_MAX_LAYERS = 20000,      /* 4 MiB of manifest hold fewer */
    OCI_MAX_ANNOTATIONS = 2000,  /* of one object */
    OCI_MAX_DEPTH = 8,           /* indexes in indexes */
};
#define OCI_MAX_MANIFEST ((size_t)4 << 20)

/* ---- media types (ref: image 1.1, "media types"; model format) ------------------------------- */

#define OCI_TYPE_MANIFEST  "application/vnd.oci.image.manifest.v1+json"
#define OCI_TYPE_INDEX     "application/vnd.oci.image.index.v1+json"
#define OCI_TYPE_EMPTY     "application/vnd.oci.empty.v1+json"
#define OCI_TYPE_DOCKER    "application/vnd.docker.distribution.manifest.v2+json"
#define OCI_TYPE_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define OCI_TYPE_MODEL     "application/vnd.cncf.model.manifest.v1+json"      /* artifactType */
#define OCI_TYPE_MODEL_CONFIG "application/vnd.cncf.model.config.v1+json"
#define OCI_TYPE_TOMBSTONE "application/vnd.mlxk.tombstone.v1+json"
#define OCI_EMPTY_DIGEST \
    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" /* of "{}" */
#define OCI_KEY_TITLE      "org.opencontainers.image.title"
#define OCI_KEY_REF_NAME   "org.opencontainers.image.ref.name"
#define OCI_KEY_FILEPATH   "org.cncf.model.filepath"
#define OCI_KEY_FILEPATH_OLD "org.cnai.model.filepath"   /* read only */

/* ---- references (oci_ref.c) ------------------------------------------------------------------ */

enum oci_kind { OCI_REGISTRY, OCI_DIR, OCI_TAR };
struct oci_ref {
    enum oci_kind kind;
    struct str host;     /* registry: host[:port], lower case; "docker.io" when none is given */
    struct str repo;             /* registry: path without host; "library/NAME" on docker.io */
    const char *path_cstr;       /* layouts: folder or file; NULL for registries */
    struct str tag;              /* empty = none given */
    struct str digest;           /* "sha256:<64 hex>", "sha512:<128 hex>", or empty */
};
/* [oci://|docker://]HOST[:PORT]/PATH[:TAG][@DIGEST], oci:DIR[:TAG][@DIGEST],
 * oci-archive:FILE[:TAG][@DIGEST]. The first part of a name is its host when it holds '.' or ':' or
 * is "localhost". mem: in a. err: ERR_INVALID. */
MLXK_FN bool oci_ref_parse(struct arena *a, struct str text, struct oci_ref *out, struct err *e);
/* The reference in full: "ghcr.io/org/name:tag@sha256:...", "oci:DIR:tag". n 0 = no memory. */
MLXK_FN struct str oci_ref_text(struct arena *a, const struct oci_ref *r);
/* A short name (no '/') that registries.conf has an alias for becomes what that says; another text
 * stays. mem: in a. err: the file is damaged. (oci_conf.c) */
MLXK_FN bool oci_ref_alias(struct arena *a, struct str text, struct str *out, struct err *e);
/* Every name under which rules may speak of a registry's repository: HOST/PATH as it was given, and
 * where registries.conf says that it lies; without a port that goes without saying. None for a
 * layout. mem: in a. err: registries.conf is damaged. (oci_conf.c) */
enum { OCI_MAX_PLACES = 2 };
MLXK_FN bool oci_ref_places(struct arena *a, const struct oci_ref *r,
                            struct str out[OCI_MAX_PLACES], size_t *n, struct err *e);
/* Where a MODEL is meant: does this text begin as a reference to a registry or layout does? */
MLXK_FN bool oci_ref_is(struct str text);
/* What manifests are asked for: the digest, else the tag, else "latest". */
MLXK_FN struct str oci_ref_what(const struct oci_ref *r);
/* May the cache's name `model` be that of a repository whose name begins with `prefix`
 * (HOST[/PATH], at a '/')? Several repositories can have one name there: yes for each of them. */
MLXK_FN bool oci_model_below(struct str model, struct str prefix);
/* Does the cache call a model so that came from a registry? "HOST/..." with a host's '.', or a
 * port, or localhost. */
MLXK_FN bool oci_model_is(struct str model);
/* The name under which a model from there is kept in the cache: HOST/PATH with "__" for '/' and '_'
 * for ':' ("ghcr.io/org__name"), made unique by eight digits of a hash where that could mean two
 * things. n 0 = no memory. */
MLXK_FN struct str oci_ref_model(struct arena *a, const struct oci_ref *r);
MLXK_FN bool oci_tag_ok(struct str tag);
MLXK_FN bool oci_repo_ok(struct str repo);
MLXK_FN bool oci_digest_ok(struct str digest);
MLXK_FN struct str oci_digest_hex(struct str digest);    /* behind "sha256:" */
/* host[:port] names this machine: localhost, 127.0.0.0/8, ::1. */
MLXK_FN bool oci_host_is_loopback(struct str host);
/* A name of a file below some folder: relative, no "..", no control characters (cache_path_ok). */
MLXK_FN bool oci_path_ok(struct str path, struct err *e);

/* ---- digests (oci_digest.c) ------------------------------------------------------------------ */

/* The hash that a digest names, of bytes as they pass. Plain data. */
struct oci_hash { bool wide; struct sha256 sha256; struct sha512 sha512; };
MLXK_FN void oci_hash_begin(struct oci_hash *h, struct str digest);
MLXK_FN void oci_hash_add(struct oci_hash *h, const void *p, size_t n);
/* Ends h: ERR_INTEGRITY with both values when it is not this digest. */
MLXK_FN bool oci_hash_check(struct oci_hash *h, struct str digest, struct err *e);
/* "sha256:..." of text; n 0 = no memory. */
MLXK_FN struct str oci_digest_of(struct arena *a, struct str text);

/* ---- manifests (oci_manifest.c) -------------------------------------------------------------- */

struct oci_pair { struct str key, value; };
/* A descriptor; texts that are empty were not there. */
struct oci_desc {
    struct str media_type, digest;
    uint64_t size_bytes;
    struct str artifact_type, data /* base64 */;
    struct oci_pair *annotations; size_t n_annotations;
    const struct json *platform; /* or NULL */
};
struct oci_manifest {
    struct str text, digest;     /* the bytes it was read from and their sha256 */
    struct str media_type;
    bool is_index;
    struct str artifact_type;
    struct oci_desc config;      /* media_type empty for an index */
    struct oci_desc *layers; size_t n_layers;        /* of an index: its manifests */
    struct oci_desc subject; bool has_subject;
    struct oci_pair *annotations; size_t n_annotations;
};
/* media_type: of the answer's header, or empty; must agree with the document's own. Docker's types
 * are read as well. err: ERR_FORMAT, ERR_LIMIT, ERR_UNSUPPORTED (schema 1, another document). mem:
 * in a. */
MLXK_FN bool oci_manifest_parse(struct arena *a, struct str text, struct str media_type,
                                struct oci_manifest *out, struct err *e);
/* The same value gives the same bytes: members in a fixed order, annotations sorted by key, no
 * white space. Appends to out; OCI types only. */
MLXK_FN bool oci_manifest_write(struct buf *out, const struct oci_manifest *m, struct err *e);
/* Writes m, then reads it back: text and digest are filled. mem: in a. */
MLXK_FN bool oci_manifest_make(struct arena *a, struct oci_manifest *m, struct err *e);
/* Value by key; p NULL = absent. */
MLXK_FN struct str oci_annotation(const struct oci_pair *pairs, size_t n, const char *key_cstr);
/* The type that says what an artifact is: artifactType, else the config's type. */
MLXK_FN struct str oci_manifest_type(const struct oci_manifest *m);
/* The empty config or layer, "{}". */
MLXK_FN struct oci_desc oci_desc_empty(void);

/* Model format. What a layer holds decides its type: application/vnd.cncf.model.KIND.v1.raw. */
enum oci_content { OCI_WEIGHT, OCI_WEIGHT_CONFIG, OCI_DOC, OCI_CODE, OCI_DATASET };
/* Layer of one file as it is; both names of its path are set. mem: in a; NULL annotations = no
 * memory. */
MLXK_FN struct oci_desc oci_model_layer(struct arena *a, enum oci_content content, struct str path,
                                        struct str digest, uint64_t size_bytes);
/* Where the file of a layer belongs: filepath, else title, else ERR_FORMAT; checked by
 * oci_path_ok. */
MLXK_FN bool oci_layer_path(const struct oci_desc *layer, struct str *out, struct err *e);
/* Paths of all layers, n_layers of them: each layer is one file as it is, with a safe path of its
 * own, no two the same; or an archive (tar, tar+gzip), whose path is empty here. err: ERR_FORMAT,
 * ERR_UNSUPPORTED (packed otherwise, an index). mem: in a. */
MLXK_FN bool oci_manifest_files(struct arena *a, const struct oci_manifest *m, struct str **paths,
                                struct err *e);

/* ---- the handle (oci_open.c) ----------------------------------------------------------------- */

enum oci_event_kind {
    OCI_PLAN,                    /* totals are known */
    OCI_BYTES,                   /* done_bytes has grown */
    OCI_BLOB_DONE,
    OCI_NOTE,                    /* something a person may want to know: note_cstr */
};
struct oci_event {
    enum oci_event_kind kind;
    struct str what;             /* path or digest of the blob in hand */
    uint64_t done_bytes, total_bytes;
    size_t done_blobs, total_blobs;
    const char *note_cstr;
};
/* 0 and NULL stand for the defaults. Lists hold "host[:port]". */
struct oci_options {
    struct http_options http;    /* ca_file_cstr: --ca-file; insecure is set by the list below */
    const struct str *plain_http; size_t n_plain_http;   /* http, not https; "*" = every host */
    const struct str *insecure; size_t n_insecure;    /* https without a look at the certificate */
    const struct str *mirrors;
    size_t n_mirrors;            /* "HOST=PEER": PEER is asked first for HOST's
                                  * manifests and blobs, without HOST's secrets */
    uint64_t chunk_bytes;        /* of uploads in pieces; 64 MiB */
    int attempts;                /* of one request; 5 */
    bool may_write; /* uploads, tags, deletes: the token is asked for accordingly; layouts
                     * are made when they are not there */
    bool may_delete;
    bool (*event)(void *ctx, const struct oci_event *ev);   /* false = stop; or NULL */
    void *ctx;
};
struct oci;
/* Opens what r names. A registry is not asked anything yet; registries.conf may say that it lies
 * elsewhere, has mirrors, or is blocked (ERR_ACCESS). NULL = failed.
 * err: ERR_NOT_FOUND (no such layout), ERR_FORMAT (it is none), ERR_INVALID (credentials cannot be
 * read), ERR_LIMIT. */
MLXK_FN struct oci *oci_open(const struct oci_ref *r, const struct oci_options *o, struct err *e);
/* The same beside another handle of the same http options: over its connections, as far as it has
 * any by now. The other must outlive it; both may work at once, each in one thread. */
MLXK_FN struct oci *oci_open_beside(const struct oci *other, const struct oci_ref *r,
                                    const struct oci_options *o, struct err *e);
/* Layouts: what was stored is complete with this (a tar file appears). Call it once, before
 * oci_close, when all went well; without it a tar file is not written. */
MLXK_FN bool oci_finish(struct oci *o, struct err *e);
MLXK_FN void oci_close(struct oci *o /* or NULL */);
MLXK_FN MLXK_TEST_AID const struct oci_ref *oci_where(const struct oci *o);
/* Another repository of the same registry, with the same connections and tokens. err:
 * ERR_INVALID */
MLXK_FN MLXK_TEST_AID bool oci_use(struct oci *o, struct str repo, struct err *e);

/* ---- accounts (oci_login.c) ------------------------------------------------------------------ */

/* The host that a person means to log in to: "HOST[:PORT]" with or without https:// in front, in
 * small letters; a name without '.' and ':' is none, but for localhost. mem: in a. err:
 * ERR_INVALID, which does not repeat the text (it could be a secret). */
MLXK_FN bool oci_login_host(struct arena *a, struct str text, struct str *host, struct err *e);
/* Asks the registry whether it takes this account. *asked false: it lets everybody in and did not
 * look.
 * err: ERR_ACCESS, those of a request. */
MLXK_FN bool oci_login_check(struct str host, const struct oci_options *options, struct str user,
                             struct str password, bool *asked, struct err *e);
/* Keeps or forgets an account where docker, podman and other clients look for it. Keeping: in the
 * file that REGISTRY_AUTH_FILE names, else in $DOCKER_CONFIG/config.json, else in
 * ~/.docker/config.json (mode 0600, the rest of it unchanged); where that names a credential helper
 * for the host, the helper gets the password on its standard input and the file nothing of it.
 * Forgetting: in all such files, and at their helpers; n_files 0 = nobody knew it. mem: in a. err:
 * ERR_FORMAT (a file is damaged), ERR_ACCESS (a helper refuses), IO. */
struct oci_login { const char *path_cstr; struct str helper; size_t n_files; };
MLXK_FN bool oci_login_keep(struct arena *a, struct str host, struct str user, struct str password,
                            struct oci_login *out, struct err *e);
MLXK_FN bool oci_login_forget(struct arena *a, struct str host, struct oci_login *out,
                              struct err *e);

/* ---- manifests and tags of the handle (oci_store.c) ------------------------------------------ */

/* what: tag or digest. Asks for no more than one manifest; its digest is computed and, for a
 * digest, compared. mem: in a. err: ERR_NOT_FOUND, ERR_ACCESS, ERR_INTEGRITY, ... */
MLXK_FN bool oci_manifest_get(struct arena *a, struct oci *o, struct str what,
                              struct oci_manifest *out, struct err *e);
/* Digest, size and type without the content; a registry that does not tell the digest is asked for
 * the manifest. found false, and true as the result, when there is none. mem: in a. */
struct oci_head { bool found; struct str digest, media_type; uint64_t size_bytes; };
MLXK_FN bool oci_manifest_head(struct arena *a, struct oci *o, struct str what,
                               struct oci_head *out, struct err *e);
/* Stores m->text as it is, under its digest and, when tag is not empty, under that tag. A tag that
 * stands there already with the same digest costs one question. With a subject, the list of its
 * referrers is kept where the registry does not (fallback tag), and the manifest gets a tag of its
 * own so that no garbage collection takes it. */
MLXK_FN bool oci_manifest_put(struct oci *o, const struct oci_manifest *m, struct str tag,
                              struct err *e);
/* Under a tag that must not name another manifest: ERR_EXISTS. In a layout that is one step; at a
 * registry the tag is looked at right before and after, and somebody may be in between. */
MLXK_FN bool oci_manifest_put_new(struct oci *o, const struct oci_manifest *m, struct str tag,
                                  struct err *e);
/* Removes a manifest with all its tags. ERR_NOT_FOUND, ERR_UNSUPPORTED (deletes are switched
 * off). */
MLXK_FN bool oci_manifest_delete(struct oci *o, struct str digest, struct err *e);
/* Removes a tag and nothing else: by DELETE, else by moving it to a manifest of its own that is
 * then deleted. The tag must still name `digest` (ERR_EXISTS when it has moved). */
MLXK_FN bool oci_untag(struct oci *o, struct str tag, struct str digest, struct err *e);
struct oci_names { struct str *names; size_t n; };       /* sorted, no two the same */
MLXK_FN bool oci_tags(struct arena *a, struct oci *o, struct oci_names *out, struct err *e);
/* Repositories of the registry. ERR_UNSUPPORTED where it does not tell (hosted ones do not). */
MLXK_FN bool oci_catalog(struct arena *a, struct oci *o, struct oci_names *out, struct err *e);
/* Manifests that have this subject, of one artifact type or (empty) all. mem: in a. */
MLXK_FN bool oci_referrers(struct arena *a, struct oci *o, struct str digest,
                           struct str artifact_type, struct oci_desc **out, size_t *n,
                           struct err *e);

/* false: the last question about referrers showed that the registry keeps no lists of them (the
 * fallback tags are read then). */
MLXK_FN bool oci_keeps_referrers(const struct oci *o);

/* ---- blobs (oci_blob.c, oci_upload.c, oci_layout.c) ------------------------------------------ */

/* Is it there? For registries a HEAD request. */
MLXK_FN MLXK_TEST_AID bool oci_blob_has(struct oci *o, const struct oci_desc *d, bool *has,
                                        struct err *e);
/* A blob as a stream from byte `from` on; broken connections are made again and the stream goes on
 * where it was. Begun at 0, or with `prefix` (the hash of the bytes in front), the digest is
 * checked at the end. size_bytes of d is exact: more or fewer bytes are ERR_INTEGRITY. NULL =
 * failed. */
struct oci_reader;
MLXK_FN struct oci_reader *oci_blob_open(struct oci *o, const struct oci_desc *d, uint64_t from,
                                         const struct oci_hash *prefix /* or NULL */,
                                         struct err *e);
/* *n_read 0 = the end, and the digest was right. */
MLXK_FN bool oci_blob_read(struct oci_reader *r, void *p, size_t n, size_t *n_read, struct err *e);
MLXK_FN void oci_blob_close(struct oci_reader *r /* or NULL */);
/* The caller computes the digest himself: it is not done twice. */
MLXK_FN void oci_blob_unchecked(struct oci_reader *r);
/* A small blob as a whole (configs); ERR_LIMIT past max_bytes. mem: in a. */
MLXK_FN bool oci_blob_text(struct arena *a, struct oci *o, const struct oci_desc *d,
                           size_t max_bytes, struct str *out, struct err *e);

/* Where the bytes of an upload come from: fills p[0, n) with what stands at offset. Offsets go up
 * without gaps but may go back, as far as 0. */
struct oci_source {
    bool (*read)(void *ctx, uint64_t offset_bytes, void *p, size_t n, struct err *e);
    void *ctx;
    /* in_file: the blob also stands in fd from at_bytes on, and may go from there unread: who takes
     * it computes the digest. doubt: asked once when the taker says it is another; false with e =
     * the source is to blame. Or NULL. */
    bool in_file; int fd; uint64_t at_bytes;
    bool (*doubt)(void *ctx, struct err *e);
    const struct str *siblings; size_t n_siblings;   /* repositories of the same registry that may
                                                      * have it: it is mounted from there */
};
enum oci_stored { OCI_STORED_SENT, OCI_STORED_THERE, OCI_STORED_MOUNTED };
/* Stores a blob unless it is there. A registry gets large ones in pieces, and a journal of ours
 * lets the next run go on where this one was stopped. how: or NULL. */
MLXK_FN bool oci_blob_put(struct oci *o, const struct oci_desc *d, const struct oci_source *source,
                          enum oci_stored *how /* or NULL */, struct err *e);
/* The same for a text. */
MLXK_FN bool oci_text_put(struct oci *o, const struct oci_desc *d, struct str text, struct err *e);

/* ---- several blobs (oci_parcels.c) ----------------------------------------------------------- */

/* What becomes a blob: a file, or (file_cstr NULL) a text. */
struct oci_parcel { const struct oci_desc *desc; const char *file_cstr; struct str text; };
struct oci_sent { size_t n_sent; uint64_t sent_bytes; };     /* files; texts are not counted */
/* Stores those that are not there, several at once, each digest once. err: ERR_INTEGRITY (a file is
 * not what its digest says). mem: in a. */
MLXK_FN bool oci_parcels_put(struct arena *a, struct oci *to, const struct oci_parcel *list,
                             size_t n, struct oci_sent *out, struct err *e);

/* ---- copies (oci_copy.c) --------------------------------------------------------------------- */

struct oci_copy_options {
    bool referrers;              /* with signatures and other manifests that refer to it, also by
                                  * the tags sha256-<hex>.sig, .att, .sbom */
    bool dry_run;                /* plan only */
};
struct oci_copy_result {
    struct str digest;           /* of the manifest that was asked for */
    size_t n_manifests, n_blobs, n_sent, n_there, n_mounted;
    uint64_t total_bytes, sent_bytes;                    /* of blobs */
};
/* The manifest `what` and all it names from one place to another, bytes unchanged; tag (or empty)
 * is set at the end. mem: in a. */
MLXK_FN bool oci_copy(struct arena *a, struct oci *from, struct str what, struct oci *to,
                      struct str tag, const struct oci_copy_options *options,
                      struct oci_copy_result *out, struct err *e);

/* ---- container images (oci_image.c) ---------------------------------------------------------- */

enum { OCI_IMAGE_PLATFORMS = 8, OCI_IMAGE_MAX_PROGRAM = 64 << 20 };
/* One static program, for one kind of machine. */
struct oci_image_part {
    const char *program_cstr;    /* a file */
    struct str architecture, variant;    /* "amd64" and empty, "arm64" and "v8" */
};
struct oci_image {
    const struct oci_image_part *parts; size_t n_parts;
    const struct oci_pair *labels; size_t n_labels;      /* sorted by key, no two the same */
    struct str created;          /* RFC 3339, that of the source; it enters the digest */
    int64_t created_s;           /* the same, seconds since 1970 */
    struct str roots;            /* PEM of the authorities that are trusted */
    const struct str *words; size_t n_words;     /* arguments when nobody gives others */
};
/* An image FROM nothing: /mlxk as entry point, the authorities, /models (HOME, HF_HOME) and /tmp
 * for everybody; user 65532; one uncompressed layer a platform, one index over all. Stored in a
 * layout under that tag; the same input gives the same digest, which is *digest. mem: in a.
 * err: ERR_LIMIT (a program beyond OCI_IMAGE_MAX_PROGRAM), those of files. ref: image 1.1. */
MLXK_FN bool oci_image_put(struct arena *a, struct oci *o, const struct oci_image *x,
                           struct str tag, struct str *digest, struct err *e);

/* ---- models into the cache (oci_pull.c) ------------------------------------------------------ */

/* A file of a model as the cache has it: path in the snapshot, sha256 of its blob. */
struct oci_file { struct str path, hex; uint64_t size_bytes; };
struct oci_pull_result {
    struct str model;            /* name in the cache (oci_ref_model) */
    struct str digest;           /* of the manifest */
    struct str commit;           /* the first 40 digits of it: the snapshot's name */
    const char *snapshot_cstr;
    size_t n_files, n_fetched, n_linked;
    const struct oci_file *files;/* n_files of them, when they are in the cache */
    /* need: not in the cache when it began */
    uint64_t total_bytes, need_bytes, fetched_bytes, resumed_bytes;
};
struct oci_pull_options {
    bool dry_run, redownload;
    uint64_t keep_free_bytes;
    struct str digest;           /* what must stand under the name (ERR_INTEGRITY), or empty */
    struct str manifest; /* its text, where it is known already and need not be asked for, or
                          * empty; digest says what it must be */
    struct str also;     /* another ref that leads there (the line vX of vX.Y.Z), or empty */
    /* Which files are wanted, by path; NULL = all. Archives come whole: what is in them is not
     * known before. err of the pull: ERR_NOT_FOUND when none is. */
    bool (*keeps)(void *ctx, struct str path);
    void *keeps_ctx;
};
/* Files of a model become blobs, links, tree and refs as the hub's do: refs/TAG, and refs/main when
 * the tag is "latest" or there is none yet. err: ERR_FORMAT when the artifact is no model. mem: in
 * a. */
MLXK_FN bool oci_pull(struct arena *a, struct oci *o, struct str what, const struct cache *c,
                      const struct oci_pull_options *options, struct oci_pull_result *out,
                      struct err *e);
/* Does every file of m that came as it is stand in this snapshot under its digest? Links are read,
 * no content; files that were packed are passed over. err: ERR_INTEGRITY names the first. */
MLXK_FN bool oci_snapshot_is(struct arena *a, const struct oci_manifest *m,
                             const char *snapshot_cstr, struct err *e);

#endif
