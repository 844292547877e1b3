/* oci_int.h: what the files of this room share. */
#ifndef MLXK_OCI_INT_H
#define MLXK_OCI_INT_H

#include "oci/oci.h"

enum {
    OCI_MAX_SCOPES = 8,          /* of one question to an authority */
    OCI_MAX_TOKENS = 16,         /* kept */
    OCI_MAX_SECRET = 65536,      /* a password or token: identity tokens are kilobytes */
    OCI_MAX_ANSWER = 1 << 20,    /* bodies of errors and token answers */
    OCI_MAX_MIRRORS = 16,
    OCI_MAX_PAGES = 4000,        /* 50 names on each are OCI_MAX_TAGS */
};

/* Printable beginning of a text from outside, for messages. */
struct oci_shown { char text[164]; };
MLXK_FN struct oci_shown oci_show(struct str s);

/* At least as many as a JSON text has values: what a tree of it may cost is known before it is
 * made. */
MLXK_FN size_t oci_json_values(struct str text);
/* No path (the keys) lies below another one, which would be a file and a folder. err: ERR_FORMAT */
MLXK_FN bool oci_paths_fit(const struct map *paths, struct err *e);

/* ---- challenges and links (oci_auth.c, oci_list.c): pure ------------------------------------- */

enum oci_scheme { OCI_AUTH_NONE, OCI_AUTH_BASIC, OCI_AUTH_BEARER };
struct oci_challenge { enum oci_scheme scheme; struct str realm, service, scope; };
/* The best that one WWW-Authenticate value offers is put into *out if it is better than what is
 * there (Bearer, then Basic). Unknown schemes are passed over. mem: in a. false: malformed, or no
 * memory. */
MLXK_FN bool oci_challenge_parse(struct arena *a, struct str value, struct oci_challenge *out);
/* Target of rel="next" in a Link value; n 0 = there is none. */
MLXK_FN struct str oci_link_next(struct str value);

/* ---- registries.conf (oci_conf.c) ------------------------------------------------------------ */

struct oci_conf_mirror { struct str location; bool insecure, no_tags, no_digests; };
struct oci_conf_registry {
    struct str prefix, location; /* HOST[/PATH]; each stands for the other when one is missing */
    bool insecure, blocked, by_digest;   /* by_digest: its mirrors are asked for digests only */
    struct oci_conf_mirror mirrors[OCI_MAX_MIRRORS]; size_t n_mirrors;
};
struct oci_conf {
    struct oci_conf_registry *registries; size_t n;
    struct oci_pair *aliases; size_t n_aliases;
};
/* err: ERR_FORMAT with the line, ERR_LIMIT. mem: in a. */
MLXK_FN MLXK_TEST_AID bool oci_conf_parse(struct arena *a, struct str text, struct oci_conf *out,
                                          struct err *e);
/* The first of CONTAINERS_REGISTRIES_CONF (then nothing else), the person's own file and the
 * system's; behind it all *.conf of registries.conf.d, the system's and then the person's, in the
 * order of names: of two for one place the later counts. None = empty. */
MLXK_FN bool oci_conf_read(struct arena *a, struct oci_conf *out, struct err *e);
/* NULL = nothing is said of it. */
MLXK_FN const struct oci_conf_registry *oci_conf_find(const struct oci_conf *c, struct str host,
                                                      struct str repo);

/* ---- credentials (oci_creds.c) --------------------------------------------------------------- */

/* identity: a refresh token; bearer: sent as it is. All empty = anonymous. */
struct oci_creds { struct str user, password, identity, bearer; const char *from_cstr; };
/* Credentials for host (and repo, where a file speaks of parts of a host), from the environment and
 * the files of docker and of containers-image. err: ERR_FORMAT (a file is damaged), ERR_INVALID,
 * those of os_spawn for a helper. mem: in a. */
MLXK_FN bool oci_creds_find(struct arena *a, struct str host, struct str repo,
                            struct oci_creds *out, struct err *e);
/* The credentials of host in the text of such a file; false with code OK = none. helper: the
 * program that knows them (its suffix), or empty. */
MLXK_FN bool oci_creds_parse(struct arena *a, struct str text, struct str host, struct str repo,
                             struct oci_creds *out, struct str *helper, struct err *e);
/* What a key of "auths" speaks of: 1 = the host, more = a part of it that repo lies in, 0 =
 * neither. */
MLXK_FN size_t oci_creds_fits(struct str key, struct str host, struct str repo);
/* The key that this host has in such files and at helpers. */
MLXK_FN struct str oci_creds_key(struct str host);
/* Where such files lie, in the order in which they are asked; set false: its variable is not set.
 * false = no memory. mem: in a. */
enum { OCI_CREDS_PLACES = 6, OCI_CREDS_MAX_FILE = 1 << 20 };
MLXK_FN bool oci_creds_place(struct arena *a, size_t i, char **path_cstr, bool *set);
/* Runs docker-credential-SUFFIX VERB: true when it ran. said: what it told, in a. err: those of
 * os_spawn */
MLXK_FN bool oci_creds_run(struct arena *a, struct str suffix, const char *verb_cstr,
                           struct str input, struct buf *answer, int *status, struct str *said,
                           struct err *e);
MLXK_FN bool oci_creds_failed(struct str suffix, int status, struct str said, struct err *e);
MLXK_FN bool oci_creds_suffix_ok(struct str s);

/* ---- the handle ------------------------------------------------------------------------------ */

struct oci_token { struct str scope, value; int64_t renew_ns; };   /* owned copies; scope as sent */
struct oci_peer {                /* a host that answers for the registry: itself, or a mirror */
    struct str host;             /* as in the reference; "docker.io" */
    struct str base;             /* "https://registry-1.docker.io", "http://localhost:5000" */
    struct str from, to;         /* a repository FROM/x is called TO/x there; both may be empty */
    bool no_tags, no_digests;    /* a mirror that is not asked for manifests by these */
    bool may_fall;               /* loopback, or named insecure: http when https is not spoken */
    bool creds_known;
    bool inside;                 /* it answered from this machine or a network of our own */
    struct oci_creds creds;
    struct oci_challenge challenge;                /* the last one, for the next request */
    struct oci_token tokens[OCI_MAX_TOKENS];
    size_t n_tokens, next_token;
};
struct oci_layout;
struct oci {
    struct arena arena;          /* names, credentials */
    struct oci_ref ref;
    struct oci_options options;
    /* registry */
    struct http_client *strict, *loose;            /* loose: certificates are not looked at */
    bool strict_is_lent, loose_is_lent;            /* by the handle it was opened beside */
    struct str loose_hosts[OCI_MAX_MIRRORS + 1]; size_t n_loose_hosts;     /* by registries.conf */
    struct oci_peer peers[OCI_MAX_MIRRORS + 1];    /* mirrors first, the registry itself last */
    size_t n_peers;
    struct str mount_from;       /* a token for this repository is wanted too; or empty */
    bool wants_whole, no_ranges; /* was seen to take no uploads in pieces, to know no Range */
    uint64_t small_piece;        /* it refused larger pieces; or 0 */
    uint64_t quick_piece;        /* it took smaller ones in no time; or 0 */
    bool no_referrers;     /* the registry keeps no list of them: known after the first question */
    bool told_warning;
    /* layouts */
    struct oci_layout *layout;
    struct oci_event event;
    int64_t sent_ns;             /* when what was sent so far was due at the limit's pace */
};
MLXK_FN struct oci_peer *oci_home(struct oci *o);    /* the registry itself */
MLXK_FN bool oci_tell(struct oci *o, enum oci_event_kind kind, struct err *e);
MLXK_FN bool oci_note(struct oci *o, const char *note_cstr, struct err *e);

/* ---- requests (oci_call.c) ------------------------------------------------------------------- */

struct oci_call {
    const char *method_cstr;
    struct str path;             /* "/v2/..." or, with `url` set, unused */
    struct str url;              /* whole address, of an upload or a page */
    const char *accept_cstr, *type_cstr;           /* or NULL */
    struct str content_range;    /* or empty */
    struct str body;
    bool (*read_body)(void *ctx, uint64_t offset_bytes, void *p, size_t n, struct err *e);
    void *body_ctx;
    uint64_t body_bytes;
    const struct http_file *body_file;             /* where it lies besides, or NULL */
    uint64_t range_from;         /* "Range: bytes=N-" */
    uint64_t range_to;           /* and what is behind the last byte wanted, or 0 */
    bool reads;                  /* a question that a mirror may answer */
    bool deletes;
    bool once;                   /* not repeated after failures: the caller knows how to go on */
    struct str scope;            /* instead of the repository's ("registry:catalog:*") */
};
/* Sends, authenticates, follows redirects (without secrets), tries again. true for every status:
 * the caller looks, and ends it with http_finish. *peer (or NULL): who answered. */
MLXK_FN bool oci_send(struct oci *o, const struct oci_call *call, struct http_response *out,
                      struct err *e);
/* The same with the whole body, in b. */
MLXK_FN bool oci_ask(struct oci *o, const struct oci_call *call, struct http_response *out,
                     struct buf *body, struct err *e);
/* What a refusal means; returns false. what: "manifest v1 of ghcr.io/a/b". Reads the body. */
MLXK_FN bool oci_refused(struct oci *o, struct http_response *r, struct str what, struct err *e);
MLXK_FN bool oci_refused_text(struct oci *o, const struct http_response *r, struct str body,
                              struct str what, struct err *e);
/* "/v2/REPO/KIND/WHAT" in a; n 0 = no memory. */
MLXK_FN struct str oci_path(struct arena *a, struct oci *o, const char *kind_cstr, struct str what);
/* Which client may speak with a host. err: those of http_open */
MLXK_FN struct http_client *oci_client(struct oci *o, struct str authority, struct err *e);
MLXK_FN bool oci_listed(const struct str *list, size_t n, struct str host);
/* Gives *why to e after the last try. */
MLXK_FN void oci_waited(const struct err *why, struct err *e);

/* ---- authorisation (oci_auth.c) -------------------------------------------------------------- */

/* Value of Authorization for a request of this scope to peer, as far as it is known without asking;
 * empty = send it without. mem: in a. */
MLXK_FN bool oci_auth_known(struct arena *a, struct oci *o, struct oci_peer *peer, struct str scope,
                            struct str *out, struct err *e);
/* After a 401: reads its challenges and obtains what they ask for. false with ERR_ACCESS: nothing
 * can be done. used: the value that was refused, or empty. */
MLXK_FN bool oci_auth_answer(struct arena *a, struct oci *o, struct oci_peer *peer,
                             struct str scope, const struct http_response *r, struct str used,
                             struct str *out, struct err *e);
MLXK_FN void oci_auth_close(struct oci_peer *peer);
/* The scope that requests of this kind need: "repository:NAME:pull,push". mem: in a. */
MLXK_FN struct str oci_auth_scope(struct arena *a, struct oci *o, const struct oci_peer *peer,
                                  const struct oci_call *call);
/* What a repository is called at peer. mem: in a, or repo itself. */
MLXK_FN struct str oci_peer_repo(struct arena *a, const struct oci_peer *peer, struct str repo);

/* ---- registries (oci_manifests.c, oci_list.c, oci_upload.c, oci_blob.c) ---------------------- */

MLXK_FN bool oci_registry_get(struct arena *a, struct oci *o, struct str what,
                              struct oci_manifest *out, struct err *e);
MLXK_FN bool oci_registry_head(struct arena *a, struct oci *o, struct str what,
                               struct oci_head *out, struct err *e);
/* "sha256-<hex>" of a digest: the tag of its list of referrers, and the beginning of those that
 * cosign gives. NULL p = no memory. mem: in a. (oci_store.c) */
MLXK_FN struct str oci_fallback_tag(struct arena *a, struct str digest);
/* handled: the registry keeps the list of referrers itself. */
MLXK_FN bool oci_registry_put(struct oci *o, const struct oci_manifest *m, struct str what,
                              bool *handled, struct err *e);
MLXK_FN bool oci_registry_delete(struct oci *o, struct str what, int *status, struct err *e);
MLXK_FN bool oci_registry_tags(struct arena *a, struct oci *o, struct oci_names *out,
                               struct err *e);
MLXK_FN bool oci_registry_referrers(struct arena *a, struct oci *o, struct str digest,
                                    struct oci_manifest *out, bool *supported, struct err *e);
MLXK_FN bool oci_registry_blob_has(struct oci *o, const struct oci_desc *d, bool *has,
                                   struct err *e);
/* A blob that the registry says it has: does it hand out its first byte? opens stays true where
 * that cannot be told. */
MLXK_FN bool oci_registry_blob_opens(struct oci *o, const struct oci_desc *d, bool *opens,
                                     struct err *e);
/* As oci_blob_open, for bytes [from, to): not hashed, and no more is asked for. A registry that
 * answers with the whole blob gives the rest of it too. */
MLXK_FN struct oci_reader *oci_blob_open_part(struct oci *o, const struct oci_desc *d,
                                              uint64_t from, uint64_t to, struct err *e);
/* After the first byte: a part came, as it was asked for. */
MLXK_FN bool oci_blob_is_part(const struct oci_reader *r);
MLXK_FN bool oci_registry_blob_put(struct oci *o, const struct oci_desc *d,
                                   const struct oci_source *source, enum oci_stored *how,
                                   struct err *e);

/* ---- several at once (oci_crew.c) ------------------------------------------------------------ */

/* run(ctx, from, to, i) for every i in [0, n_jobs), several at once where that is worth it: by
 * several threads, each with handles of its own in the place of from and to (or NULL). The last of
 * the two tells of all of it, as one sum; its event holds the totals, and what is done already.
 * What ctx shares is the caller's to guard. */
struct oci_crew_work {
    struct oci *from, *to;
    size_t n_jobs;
    uint64_t total_bytes;        /* of all jobs */
    bool (*run)(void *ctx, struct oci *from, struct oci *to, size_t job, struct err *e);
    void *ctx;
};
/* err: that of the first job that failed; the others were stopped. */
MLXK_FN bool oci_crew_run(const struct oci_crew_work *work, struct err *e);

/* ---- one large blob (oci_fetch.c) ------------------------------------------------------------ */

enum oci_fetch_parts { OCI_FETCH_UNKNOWN, OCI_FETCH_PARTS, OCI_FETCH_WHOLE };
/* A blob larger than CACHE_SMALL on its way into the cache; the first lines are the caller's. */
struct oci_fetch {
    const struct cache *cache;
    struct str model, etag;
    const struct oci_desc *d;
    enum cache_parts_how how;
    void (*begun)(void *ctx, uint64_t coming_bytes);     /* the file has its room; so much is new */
    bool (*came)(void *ctx, struct oci *o, size_t n, struct err *e);    /* n new bytes, by o */
    void *ctx;
    uint64_t resumed_bytes;      /* of an earlier run: when the first has ended */
    struct os_mutex mutex;       /* of what follows */
    struct os_cond changed;
    struct cache_parts *parts_of;
    enum oci_fetch_parts parts;
    size_t n_hands;
    bool failed, ended;
};
MLXK_FN void oci_fetch_init(struct oci_fetch *f);
/* How many are worth it: 1..most. */
MLXK_FN size_t oci_fetch_hands(uint64_t size_bytes, size_t most);
/* Called once by the first, in a thread of its own by each that helps, in whatever order they come:
 * a helper waits for the first, and finds nothing to do when that has ended, or when the registry
 * sends no parts. *fetched: this call has given the blob its name. err: those of cache_parts and
 * oci_blob_read. */
MLXK_FN bool oci_fetch_run(struct oci_fetch *f, struct oci *o, bool helps, bool *fetched,
                           struct err *e);

/* ---- packed layers (oci_unpack.c) ------------------------------------------------------------ */

/* How the bytes of a layer become files: as they are; as an archive, which may be gzipped; in a way
 * that is not read. */
enum oci_packing { OCI_PLAIN, OCI_TARRED, OCI_TARRED_GZIP, OCI_PACKED_OTHER };
MLXK_FN enum oci_packing oci_layer_packing(const struct oci_desc *d);
/* The name under which a layer comes into the cache: its sha256; "oci-..." where it is no file of
 * the model yet. n 0 = no memory. */
MLXK_FN struct str oci_layer_etag(struct arena *a, const struct oci_desc *d);
/* Files of a model as the cache will have them; paths are safe, and no two the same. */
struct oci_files { struct arena *a; struct oci_file *items; size_t n, cap; struct map seen; };
MLXK_FN bool oci_files_add(struct oci_files *f, struct str path, struct str hex,
                           uint64_t size_bytes, struct err *e);
/* A layer that has come as "oci-..." becomes blobs, and is gone. path: of a file as it is. Appends
 * to files.
 * err: ERR_INTEGRITY, ERR_FORMAT (the layer is gone as well), ERR_LIMIT, ERR_DISK_FULL, IO. */
MLXK_FN bool oci_unpack(struct oci *o, const struct cache *c, struct str model,
                        const struct oci_desc *d, struct str path, struct oci_files *files,
                        struct err *e);

/* ---- layouts (oci_layout.c) ------------------------------------------------------------------ */

MLXK_FN bool oci_layout_open(struct oci *o, struct err *e);
MLXK_FN bool oci_layout_finish(struct oci *o, struct err *e);
MLXK_FN void oci_layout_close(struct oci *o);
/* Where the bytes of a blob lie: *fd is the caller's. found false: nowhere. */
MLXK_FN bool oci_layout_find(struct oci *o, struct str digest, bool *found, int *fd,
                             uint64_t *offset, uint64_t *size_bytes, struct err *e);
MLXK_FN bool oci_layout_blob_put(struct oci *o, const struct oci_desc *d,
                                 const struct oci_source *source, enum oci_stored *how,
                                 struct err *e);
MLXK_FN bool oci_layout_get(struct arena *a, struct oci *o, struct str what,
                            struct oci_manifest *out, struct err *e);
MLXK_FN bool oci_layout_head(struct arena *a, struct oci *o, struct str what, struct oci_head *out,
                             struct err *e);
MLXK_FN bool oci_layout_put(struct oci *o, const struct oci_manifest *m, struct str tag,
                            bool fresh, struct err *e);
/* Removes the entries with this digest (all), or the one with this tag. ERR_NOT_FOUND. */
MLXK_FN bool oci_layout_remove(struct oci *o, struct str tag, struct str digest, struct err *e);
MLXK_FN bool oci_layout_tags(struct arena *a, struct oci *o, struct oci_names *out, struct err *e);
MLXK_FN bool oci_layout_referrers(struct arena *a, struct oci *o, struct str digest,
                                  struct oci_desc **out, size_t *n, struct err *e);

/* ---- small things ---------------------------------------------------------------------------- */

MLXK_FN void oci_desc_write(struct json_writer *w, const struct oci_desc *d);
MLXK_FN bool oci_desc_read(struct arena *a, const struct json *v, struct oci_desc *out,
                           struct err *e);
/* Sorts and drops doubles; n 0..OCI_MAX_TAGS. */
MLXK_FN void oci_names_sort(struct oci_names *names);

#endif
