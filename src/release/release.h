/* release.h: versions of models: what a state is, what its number is, where it is kept (level 4).
 *
 * A directory of files becomes a *state*: every file has a class, the four classes that count have
 * each a hash (interface, logic, weights, docs). Where it stands in history is its *origin* (git,
 * a snapshot of the cache, or nowhere). The next version is derived from the closest release: what
 * moved decides which number goes up. States are kept in OCI registries and layouts as one artifact
 * that depends on the files alone, and are found there by tags with a grammar.
 *
 *  1. Equal files give equal bytes: no clock, host, user or path enters a hash, manifest or config.
 *  2. A number is derived, never guessed: each decision carries its reasons.
 *  3. A tag of a release never moves to another digest; what a release names is never deleted.
 *  4. git is asked through its program, never a shell; it is never asked to change anything but the
 *     one tag that a person asks for.
 * err    as each function says; ERR_NO_MEMORY always.
 * thread one caller per arena.
 * ref    Semantic Versioning 2.0.0; RFC 8785; OCI distribution 1.1; CNCF model format.
 */
#ifndef MLXK_RELEASE_H
#define MLXK_RELEASE_H

#include "base/base.h"
#include "platform/platform.h"
#include "json/json.h"
#include "format/format.h"
#include "cache/cache.h"
#include "oci/oci.h"

enum {
    REL_MAX_NUMBER = 999999999,  /* of a version: at most nine digits */
    REL_SHORT = 12,              /* digits of a hash in a tag */
    REL_MAX_BRANCH = 64, REL_MAX_NAME = 40,   /* in a tag, made acceptable */
    REL_MAX_FILES = 10000, REL_MAX_DEPTH = 16,
    REL_MAX_PASSED = 1000,       /* versions that others have taken, asked for one by one */
    REL_MAX_HISTORY = 400000,    /* commits looked at */
};

/* ---- version numbers (rel_version.c) --------------------------------------------------------- */

/* vX.Y.Z, and -BRANCH for a release made off the main branch: it stands below vX.Y.Z. */
struct rel_version { uint32_t major, minor, patch; struct str branch; };
enum rel_bump { REL_BUMP_NONE, REL_BUMP_PATCH, REL_BUMP_MINOR, REL_BUMP_MAJOR };
/* Whole text, "v1.2.3" or "v1.2.3-branch"; no leading zeros. branch is borrowed from text. */
MLXK_FN bool rel_version_parse(struct str text, struct rel_version *out);
/* Order of Semantic Versioning; the branch is its pre-release part. */
MLXK_FN int  rel_version_cmp(const struct rel_version *x, const struct rel_version *y);
/* One field goes up, those behind it become 0; the branch is dropped. err: ERR_LIMIT. */
MLXK_FN bool rel_version_next(const struct rel_version *v, enum rel_bump bump,
                              struct rel_version *out, struct err *e);
/* n 0 = no memory */
MLXK_FN struct str rel_version_text(struct arena *a, const struct rel_version *v);
MLXK_FN const char *rel_bump_name(enum rel_bump b);   /* "none" "patch" "minor" "major" */

/* What a person asks for: "v1.2.3[-branch]", "v1", "v1.2", "^1.2.3", "~1.2.3", "latest"; the v may
 * be missing. Ranges never mean releases of branches. */
struct rel_range { struct rel_version low; bool exact, has_high; uint32_t high_major, high_minor; };
MLXK_FN bool rel_range_parse(struct str text, struct rel_range *out);
MLXK_FN bool rel_range_has(const struct rel_range *r, const struct rel_version *v);

/* ---- tags and names (rel_tag.c) -------------------------------------------------------------- */

enum rel_tag_kind {
    REL_TAG_OTHER, REL_TAG_RELEASE, REL_TAG_PKG, REL_TAG_CLIENT, REL_TAG_IMAGE, REL_TAG_ADHOC,
    REL_TAG_BRANCH, REL_TAG_ALIAS
};
/* git-dirty-client of an adhoc tag, branch-dirty-client of a branch's; version of the four kinds of
 * releases; name where a repository holds several models. Texts are borrowed. */
struct rel_tag {
    enum rel_tag_kind kind;
    struct str name, git, dirty, client, branch, alias;
    struct rel_version version;
};
/* name: the model's in a repository of several, else empty: then a name in front of a release is
 * told apart by itself. What fits no rule is REL_TAG_OTHER. */
MLXK_FN void rel_tag_parse(struct str tag, struct str name, struct rel_tag *out);
MLXK_FN const char *rel_tag_kind_name(enum rel_tag_kind k);
/* A branch's or model's name made fit for a tag: at most max bytes of [a-z0-9._-]. Eight digits of
 * the original's hash are appended whenever two names could become one, or a tag would be read
 * wrongly.
 * mem: in a. */
MLXK_FN bool rel_sanitise(struct arena *a, struct str original, size_t max, struct str *out,
                          struct err *e);
/* A model's name as a tag may hold it: sanitised already, no version in it, no word of the grammar
 * at its end. err: ERR_INVALID. */
MLXK_FN bool rel_name_ok(struct str name, struct err *e);

/* ---- models that share a repository (rel_whose.c) -------------------------------------------- */

/* Whose versions are meant: the model's name, and whether its tags begin with "NAME-". The tags of
 * a repository's one model carry none; the name stands in front where a repository holds several,
 * there at all of them or at all but those of the model that came first. */
struct rel_whose { struct str name; bool named; };
/* What a person said, and what the repository makes of it. */
struct rel_whose_wish {
    struct str given;            /* --name: checked by rel_name_ok, or empty */
    struct str otherwise;        /* where nobody said it and the repository does not tell it */
    bool named;                  /* --named: the name in front also where it is not needed */
};
/* The model that came first is the one whose client stands beside its highest release. mem: in a.
 * err: ERR_INVALID (several models and none was named; --named, but its releases carry no name). */
MLXK_FN bool rel_whose_find(struct arena *a, struct oci *o, const struct rel_whose_wish *wish,
                            struct rel_whose *out, struct err *e);
/* "NAME-body" or body as it is; p NULL = no memory */
MLXK_FN struct str rel_whose_tag(struct arena *a, const struct rel_whose *w, struct str body);
/* Parses the tag; is it one of this model? What fits no rule belongs to the model without a name in
 * front. */
MLXK_FN bool rel_whose_has(const struct rel_whose *w, struct str tag, struct rel_tag *out);
/* "v1", "^1.2.0", "latest", or one of these behind "NAME-". */
MLXK_FN bool rel_whose_range(struct str text, struct str *name, struct rel_range *out);

/* ---- what files are (rel_class.c) ------------------------------------------------------------ */

enum rel_class { REL_IGNORE, REL_DOCS, REL_IFACE, REL_WEIGHTS, REL_LOGIC, REL_CLASSES };
/* By its path alone. config.json is REL_LOGIC and GGUF files REL_WEIGHTS, although keys of theirs
 * belong to the interface. */
MLXK_FN enum rel_class rel_class_of(struct str path);
MLXK_FN const char *rel_class_name(enum rel_class c);

/* ---- canonical JSON (rel_canon.c) ------------------------------------------------------------ */

/* RFC 8785: members sorted by UTF-16 code units, no white space, numbers as ECMAScript prints them
 * (integers digit for digit). Appends to out. skip (or NULL): members of v left out. */
MLXK_FN bool rel_canon_write(struct buf *out, const struct json *v,
                             bool (*skip)(struct str key) /* or NULL */, struct err *e);

/* ---- a state (rel_state.c, rel_interface.c, ...) --------------------------------------------- */

struct rel_file {
    struct str path;             /* relative, '/' */
    const char *file_cstr;       /* where its bytes are */
    uint64_t size_bytes;
    enum rel_class kind;
    char sha256[65];
};
/* One top-level member of the interface document: its canonical value and the hash of that. */
struct rel_member { struct str name, value; char hash[65]; };
struct rel_hashes { char iface[65], logic[65], weights[65], docs[65]; };
struct rel_state {
    const char *dir_cstr;
    struct rel_file *files; size_t n;    /* sorted by path, none of class REL_IGNORE */
    uint64_t size_bytes;
    struct str document;                 /* the interface, canonical */
    struct rel_member *members; size_t n_members;    /* sorted by name */
    struct rel_hashes hash;
    /* for the config of the artifact; empty or 0: unknown */
    struct str architecture, format, task, precision, quantization, family;
    uint64_t n_params;
};
/* Reads and hashes every file. progress (or NULL): bytes done of all; false stops.
 * mem: in a. err: ERR_NOT_FOUND (no such directory, nothing in it), ERR_FORMAT (a config that is no
 * JSON), ERR_LIMIT, ERR_INTERRUPTED, IO. */
typedef bool (*rel_progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
MLXK_FN bool rel_state_read(struct arena *a, const char *dir_cstr, rel_progress progress, void *ctx,
                            struct rel_state *out, struct err *e);

/* ---- which number goes up (rel_bump.c) ------------------------------------------------------- */

/* What is asked for besides what changed. */
struct rel_wish { bool patch, force_major; };
enum rel_verdict {
    REL_FIRST,                   /* there is no base: v0.1.0 */
    REL_NEXT,                    /* bump says which field */
    REL_SAME,                    /* nothing differs */
    REL_DOCS_ONLY,               /* only what breaks nobody, and nobody said patch */
    REL_NOT_A_PATCH,             /* patch was asked for, but more than that moved */
};
/* bytes: other files, equal hashes */
struct rel_moves { bool iface, logic, weights, docs, bytes; };
struct rel_decision { enum rel_verdict verdict; enum rel_bump bump; struct rel_moves moved; };
/* base NULL: there is none. The table, top row first: force_major, iface -> major; logic or weights
 * -> minor (which may break); docs or other bytes -> patch when wished. */
MLXK_FN struct rel_decision rel_decide(const struct rel_hashes *base /* or NULL */,
                                       struct str base_digest, const struct rel_hashes *now,
                                       struct str now_digest, const struct rel_wish *wish);

/* ---- where a state comes from (rel_git.c) ---------------------------------------------------- */

enum rel_origin_kind { REL_FROM_GIT, REL_FROM_SNAPSHOT, REL_FROM_NOWHERE };
struct rel_origin {
    enum rel_origin_kind kind;
    const char *dir_cstr;
    struct str commit;           /* in full; empty: nowhere */
    char git[REL_SHORT + 1];     /* first digits of the commit, or "nogit" */
    char dirty[REL_SHORT + 1];   /* of the hash over what differs from the commit, or "clean" */
    size_t n_changed;
    struct str branch;           /* as git has it, or as given; "detached"; empty: nowhere */
    struct str branch_tag;       /* made fit for a tag */
    struct str main;             /* the main branch; empty: unknown */
    bool detached, on_main, shallow;
};
/* branch: overrides what git says (checkouts of pipelines are detached), or empty. on_main is true
 * where there is no git. err: ERR_UNSUPPORTED (a git directory but no git), ERR_FORMAT (git
 * refuses, with its words). */
MLXK_FN bool rel_origin_read(struct arena *a, const struct rel_state *s, struct str branch,
                             struct rel_origin *out, struct err *e);
/* Creates the annotated tag; one that stands there with the same commit is success.
 * err: ERR_EXISTS, ERR_FORMAT (git refuses). */
MLXK_FN bool rel_git_tag(struct arena *a, const struct rel_origin *o, struct str tag,
                         struct str message, struct err *e);

/* ---- the closest release (rel_closest.c) ----------------------------------------------------- */

/* One release that is known. */
struct rel_blob { struct str hex; uint64_t size_bytes; };    /* 64 digits */
struct rel_known {
    struct rel_version version;
    struct str commit;           /* in full or its first digits; empty: unknown */
    struct str digest;           /* of the manifest, or empty */
    struct rel_hashes hash; bool has_hash;
    bool from_git;               /* a tag of git told so */
    struct str repo;             /* the repository that tag tells, or empty */
    struct rel_blob *blobs; size_t n_blobs;   /* its files, as far as they are known */
};
struct rel_known_list { struct rel_known *items; size_t n, cap; };
/* Releases that tags mdl-NAME-v* of git tell. */
MLXK_FN bool rel_git_releases(struct arena *a, const struct rel_origin *o, struct str name,
                              struct rel_known_list *list, struct err *e);
enum rel_closest_how { REL_CLOSEST_NONE, REL_CLOSEST_HISTORY, REL_CLOSEST_CONTENT };
struct rel_closest {
    enum rel_closest_how how;
    size_t index;                /* in the list */
    uint64_t distance;           /* commits between, or bytes that differ */
    bool cut;                    /* history ends in a shallow clone before any release */
};
/* Walks parents breadth first: the nearest commit with a release wins, the highest version among
 * those equally near. Without a hit: the manifest that shares most bytes; ties: the highest
 * version. */
MLXK_FN bool rel_closest_find(struct arena *a, const struct rel_origin *o,
                              const struct rel_state *s, const struct rel_known_list *list,
                              struct rel_closest *out, struct err *e);

/* ---- artifacts (rel_pack.c) ------------------------------------------------------------------ */

#define REL_KEY_IFACE   "dev.mlxk.interface"     /* annotations of a manifest: 64 digits each */
#define REL_KEY_LOGIC   "dev.mlxk.logic"
#define REL_KEY_WEIGHTS "dev.mlxk.weights"
#define REL_KEY_DOCS    "dev.mlxk.docs"
/* A blob that is no file of the state. */
struct rel_text { struct str digest, text; };
struct rel_package {
    const struct rel_state *state;
    struct oci_manifest manifest;
    struct str config;
    struct rel_text *texts; size_t n_texts;      /* layers that were made, or none */
};
/* The artifact of a state; a pure function of its files. mem: in a, state is borrowed. */
MLXK_FN bool rel_pack(struct arena *a, const struct rel_state *s, struct rel_package *out,
                      struct err *e);
struct rel_pushed { bool was_there, moved; size_t n_blobs, n_sent; uint64_t sent_bytes; };
/* Stores what is missing and sets the tag. A tag that stands there with this digest costs one
 * question;
 * moved: it stood on another one. */
MLXK_FN bool rel_push(struct arena *a, struct oci *o, const struct rel_package *p, struct str tag,
                      struct rel_pushed *r, struct err *e);
/* The four hashes that a manifest of ours carries; false: it carries none. */
MLXK_FN bool rel_manifest_hashes(const struct oci_manifest *m, struct rel_hashes *out);

/* ---- names in Python (rel_python.c) --------------------------------------------------------- */

/* name: rel_name_ok. Module: letters, digits, '_', no word or standard module of Python ("m3b",
 * "test_"); class: capitals where words begin ("SmolLm"). p NULL = no memory. */
MLXK_FN struct str rel_python_module(struct arena *a, struct str name);
MLXK_FN struct str rel_python_class(struct arena *a, struct str name);
MLXK_FN struct str rel_python_version(struct arena *a, const struct rel_version *v); /* "v1_2_1" */

/* ---- client and package of a release (rel_client.c) ----------------------------------------- */

#define REL_TYPE_CLIENT  "application/vnd.mlxk.client.v1+json"    /* artifactType */
#define REL_TYPE_PACKAGE "application/vnd.mlxk.package.v1+json"
#define REL_CLIENT_MIN   "0.1.0"     /* the oldest mlxk that they work with */
#define REL_KEY_NAME     "dev.mlxk.name"         /* annotations of both */
#define REL_KEY_VERSION  "dev.mlxk.version"
#define REL_KEY_MODULE   "dev.mlxk.module"
#define REL_KEY_MODEL    "dev.mlxk.model"        /* digest of the release */
#define REL_KEY_TAG      "dev.mlxk.tag"          /* its tag, where that carries a name */
/* Python (NAME.client.vX), interface, OpenAPI, C header, tokenizer and templates of a release.
 * p: the release; w: whose name is rel_name_ok. A pure function of these. mem: in a; p is borrowed.
 * err: ERR_FORMAT, ERR_LIMIT. */
MLXK_FN bool rel_client_make(struct arena *a, const struct rel_package *p,
                             const struct rel_whose *w,
                             const struct rel_version *v, struct rel_package *out, struct err *e);
/* The same as NAME.vX_Y_Z, with the release's manifest and all its blobs. err: also ERR_INVALID (a
 * file of the model stands where Python's belong). */
MLXK_FN bool rel_package_make(struct arena *a, const struct rel_package *p,
                              const struct rel_whose *w,
                              const struct rel_version *v, struct rel_package *out, struct err *e);

/* ---- into a Python environment (rel_install.c, rel_place.c) --------------------------------- */

/* What a client or package wants to be there. Names follow from the model's name and version, never
 * from what the artifact says of itself. */
struct rel_install {
    bool package;
    struct str name;
    struct rel_version version;
    struct str module, leaf;     /* "ham.client.v1", its folder "ham/client/v1" */
    struct str dist, info;       /* "ham-client-v1", its folder "ham_client_v1-1.4.2.dist-info" */
    struct str class_name;       /* "HamClient" or "Ham" */
    struct str min_version;      /* of mlxk, "0.1.0"; or empty */
    struct str tag;              /* the release's: "v1.2.3", "ham-v1.2.3" among several models */
    const struct oci_manifest *manifest;
    struct str *paths;           /* of each layer, below leaf; empty: a blob of the model */
    size_t n_files;
    size_t model;                /* layer with the release's manifest; n_layers = none */
};
/* err: ERR_UNSUPPORTED (another artifact), ERR_FORMAT (no name or version, a path that leaves the
 * leaf, no module), ERR_LIMIT. mem: in a; m is borrowed. */
MLXK_FN bool rel_install_read(struct arena *a, const struct oci_manifest *m,
                              struct rel_install *out, struct err *e);
/* Module, folders and names that follow from name and version (and package) alone. */
MLXK_FN bool rel_install_names(struct arena *a, struct rel_install *in, struct err *e);
/* Where it came from, as told to the client. */
struct rel_origin_of {
    struct str repository;       /* what a version is put behind: "oci://HOST/REPO", "oci:DIR" */
    struct str last;             /* the repository's last part, a name of its own for imports */
    bool replace;                /* also what came from elsewhere */
};
struct rel_placed {
    bool already;                /* it was there, to the bit */
    const char *path_cstr;       /* the module's folder */
    struct str alias;            /* module under the repository's name, or empty */
};
/* Puts it below target_cstr (a site-packages), with what pip needs to list and remove it. A module
 * is there whole or not at all; a version that is there is replaced in one step, also one that was
 * left half done. err: ERR_EXISTS (something else stands there), ERR_INTEGRITY, ERR_LOCKED, those
 * of blobs, IO. */
MLXK_FN bool rel_install_place(struct arena *a, struct oci *o, const struct rel_install *in,
                               const struct rel_origin_of *from, const char *target_cstr,
                               struct rel_placed *out, struct err *e);

/* ---- versions in a repository (rel_list.c) --------------------------------------------------- */

struct rel_named { struct str text; struct rel_tag tag; };
struct rel_entry {               /* one digest and all its tags */
    struct str digest;
    struct rel_named *tags; size_t n_tags, cap_tags;
    struct rel_version version; bool has_version;    /* the highest */
    struct str name;             /* in front of that version, or empty */
    struct str git, client;      /* of its adhoc tags, or empty */
    bool read;                   /* what follows is filled (rel_entry_read) */
    struct oci_manifest manifest;
    struct rel_hashes hash; bool has_hash;
    uint64_t size_bytes;
};
struct rel_entries { struct rel_entry *items; size_t n; };
/* Releases first, by the name in front, highest first, then the others by tag. releases_only:
 * releases and adhoc tags alone. of: this model's tags only. */
MLXK_FN bool rel_list(struct arena *a, struct oci *o, const struct rel_whose *of /* or NULL */,
                      bool releases_only, struct rel_entries *out, struct err *e);
MLXK_FN bool rel_entry_read(struct arena *a, struct oci *o, struct rel_entry *x, struct err *e);

/* ---- a release (rel_release.c) --------------------------------------------------------------- */

struct rel_choice {
    bool force_main, no_git_tags, git_tag;
    struct str version;          /* just this one, or empty */
    struct str repo;             /* as tags of git tell it */
};
enum { REL_MAX_ALIASES = 3 };
struct rel_plan {
    struct rel_origin origin;    /* in: rel_origin_read */
    struct rel_whose whose;      /* in: rel_whose_find */
    struct rel_entries entries;
    struct rel_known_list known;
    struct rel_closest closest;
    const struct rel_known *base;    /* or NULL */
    struct rel_decision decision;
    struct rel_version version;
    struct str tag, digest;
    bool there;                  /* the tag stands there with this digest */
    size_t n_passed;             /* versions that were taken by other contents */
    struct str aliases[REL_MAX_ALIASES]; size_t n_aliases;
};
/* err: ERR_UNCHANGED, ERR_DOCS_ONLY, ERR_INVALID (no patch), ERR_EXISTS (an explicit version). */
MLXK_FN bool rel_plan_make(struct arena *a, struct oci *o, const struct rel_package *pack,
                           const struct rel_wish *wish, const struct rel_choice *choice,
                           struct rel_plan *p, struct err *e);
/* Members of the interface in which s differs from the release `base`, by commas; empty = none, or
 * its client is not there to tell. mem: in a. */
MLXK_FN struct str rel_moved_members(struct arena *a, struct oci *o, const struct rel_whose *w,
                                     const struct rel_known *base, const struct rel_state *s);
/* latest, vX and vX.Y, with the name in front where it belongs there, as far as this version leads
 * them; none for a branch's. o: where p->entries is read again first; NULL: as the plan knows
 * it. */
MLXK_FN bool rel_plan_aliases(struct arena *a, struct oci *o, struct rel_plan *p, struct err *e);
/* Of several runs that release different contents of a model at once, one goes on (rel_claim.c);
 * patience_ms: how long another one may take before it counts as killed. held false and true
 * returned: nothing can be deleted there, so nothing was claimed.
 * mem: in a. err: ERR_EXISTS (somebody else has it), ERR_INTERRUPTED, as oci_manifest_put. */
struct rel_claim {
    struct oci_manifest manifest;
    struct str tag, prefix;
    struct os_lock lock;
    bool held, told, locked;
};
MLXK_FN bool rel_claim_take(struct arena *a, struct oci *o, const struct rel_whose *whose,
                            struct str digest, int64_t patience_ms, struct rel_claim *c,
                            struct err *e);
/* The same in a layout's folder, which must be there: waits until others have ended. */
MLXK_FN bool rel_claim_lock(struct arena *a, const char *dir_cstr, struct rel_claim *c,
                            struct err *e);
/* Did a run of this content that was killed leave its claim behind? */
MLXK_FN bool rel_claim_stands(struct arena *a, struct oci *o, const struct rel_whose *whose,
                              struct str digest, bool *stands, struct err *e);
/* Gives it back; fails silently: a claim that stays counts as a killed run's. */
MLXK_FN void rel_claim_drop(struct oci *o, struct rel_claim *c);
/* Message of the git tag, from which rel_git_releases reads. n 0 = no memory. */
MLXK_FN struct str rel_plan_message(struct arena *a, const struct rel_plan *p,
                                    const struct rel_hashes *h, struct str repo);

/* ---- cleaning (rel_clean.c) ------------------------------------------------------------------ */

enum rel_clean_act { REL_CLEAN_KEEP, REL_CLEAN_UNTAG, REL_CLEAN_DELETE };
/* Seconds since 1970; how they are known: what the manifest says (created), when a layout got it,
 * when its commit was made. */
struct rel_clean_item {
    enum rel_clean_act act;
    const char *reason_cstr;     /* of keeping, or NULL */
    int64_t time_s; bool has_time;
};
/* Which states may go. */
struct rel_clean_wish {
    struct str branch;           /* as in tags: only its states; empty = all */
    struct rel_whose whose;      /* only this model's; name empty = all */
    const struct str *keep; size_t n_keep;       /* digests that stay, sorted by nothing */
    size_t newest;               /* so many of each branch stay */
    int64_t older_than_s;        /* only those older than that; 0 = all */
    int64_t now_s;
    const char *git_dir_cstr;    /* a work tree whose commits tell ages */
};
struct rel_clean {
    const struct rel_clean_wish *wish;
    struct rel_entries entries;
    struct rel_clean_item *acts; /* one per entry */
};
/* What would go: digests with nothing but adhoc and branch tags, to which nothing refers, as far as
 * the wish says. A state whose age nobody knows stays where ages count. Writes nothing; wish is
 * borrowed as long as out is used. */
MLXK_FN bool rel_clean_plan(struct arena *a, struct oci *o, const struct rel_clean_wish *wish,
                            struct rel_clean *out, struct err *e);
/* Does it; what has got another tag meanwhile stays. err: ERR_UNSUPPORTED (deletes are switched
 * off). */
MLXK_FN bool rel_clean_run(struct arena *a, struct oci *o, struct rel_clean *c, struct err *e);

#endif
