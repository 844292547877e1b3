/* sign.h: keys, signatures, bundles of proofs and policies about them (level 3).
 *
 * Two families of signatures, both deterministic: the same key and the same bytes always give the
 * same signature, and no clock or host name enters one.
 *  - ECDSA over P-256 with SHA-256 (nonces after RFC 6979), in Sigstore bundles v0.3: what cosign
 *    and the sigstore libraries verify offline. For artifacts in registries, and for files.
 *  - Ed25519 in minisign's files, and in OpenSSH's signature files: for files handed to people.
 * Nothing here opens a socket. Keys come from files and are never printed; a password comes from a
 * file or the environment, never from a command line.
 *
 * err    ERR_FORMAT a file is not what it should be; ERR_UNSUPPORTED a kind of key or signature
 *        that is refused by name (the hint says what to do); ERR_ACCESS a password is missing or
 *        wrong;
 *        ERR_INTEGRITY a signature does not fit; ERR_LIMIT; ERR_NO_MEMORY.
 * thread any thread; one caller per arena.
 * ref    RFC 5208, 5480, 5958, 6979, 7468, 8018, 8032; Sigstore bundle v0.3; DSSE 1.0; in-toto
 *        Statement v1; minisign; OpenSSH PROTOCOL.sshsig.
 */
#ifndef MLXK_SIGN_H
#define MLXK_SIGN_H

#include "base/base.h"
#include "platform/platform.h"
#include "json/json.h"

enum {
    SIGN_MAX_KEY_FILE = 1 << 16,          /* a key file is a few hundred bytes */
    SIGN_MAX_PASSWORD = 1024,
    SIGN_MAX_KDF_ROUNDS = 10000000,       /* PBKDF2: some ten seconds; openssl writes 2048 */
    SIGN_MAX_BUNDLE = 1 << 20,            /* LIMIT_JSON_DOC */
    SIGN_MAX_PAYLOAD = 1 << 19,
    SIGN_MAX_POLICY_RULES = 256, SIGN_MAX_POLICY_KEYS = 64,
    SIGN_MAX_DER = 72,                    /* longest DER signature over P-256 */
    SIGN_MAX_COMMENT = 8192,              /* minisign's own limit for the trusted comment */
};

/* ---- P-256 keys (sign_key.c) ----------------------------------------------------------------- */

/* Plain data. The point is on the curve. */
struct sign_public {
    uint8_t point[65];                    /* 4, x, y */
    char hint[45];                        /* base64 of SHA-256 of the DER SubjectPublicKeyInfo */
};
/* A secret: wipe it when done. */
struct sign_private { struct sign_public pub; uint8_t scalar[32]; };

/* A private key from the text of a key file: PKCS#8 PEM, in clear ("PRIVATE KEY") or encrypted
 * ("ENCRYPTED PRIVATE KEY": PBES2 with PBKDF2-HMAC-SHA-256 or -SHA-1 and AES-128/192/256-CBC). A
 * public key inside must be the one that belongs to it. Every other kind is refused by its name.
 * err    ERR_ACCESS: encrypted and the password is empty or wrong. */
MLXK_FN bool sign_private_read(struct str pem, struct str password, struct sign_private *out,
                               struct err *e);
/* A public key: SubjectPublicKeyInfo PEM ("PUBLIC KEY"). */
MLXK_FN bool sign_public_read(struct str pem, struct sign_public *out, struct err *e);
/* sign_private_read with the password of this process: that of the variable MLXK_KEY_PASSWORD, or
 * the first line of the file that MLXK_KEY_PASSWORD_FILE names. */
MLXK_FN bool sign_private_parse(struct arena *a, struct str pem, struct sign_private *out,
                                struct err *e);
/* sign_public_read of a file, which errors name. */
MLXK_FN bool sign_public_load(struct arena *a, const char *path_cstr, struct sign_public *out,
                              struct err *e);
/* Overwrites a secret so that no compiler leaves it out. */
MLXK_FN void sign_wipe(void *secret, size_t n);

/* ---- signatures over P-256 (sign_mbed.c or sign_bear.c) -------------------------------------- */

/* DER signature of a SHA-256 digest into der, *n bytes of it. */
MLXK_FN bool sign_p256(const struct sign_private *k, const uint8_t digest[32],
                       uint8_t der[SIGN_MAX_DER], size_t *n, struct err *e);
/* true: der is the signature of digest by k. No err: false is "no" for whatever reason. */
MLXK_FN bool sign_p256_holds(const struct sign_public *k, const uint8_t digest[32],
                             struct str der);

/* ---- Sigstore bundles (sign_bundle.c) -------------------------------------------------------- */

#define SIGN_BUNDLE_TYPE "application/vnd.dev.sigstore.bundle.v0.3+json"
#define SIGN_IN_TOTO_TYPE "application/vnd.in-toto+json"
#define SIGN_COSIGN_PREDICATE "https://sigstore.dev/cosign/sign/v1"

/* A bundle, read. Texts live in the arena. */
struct sign_bundle {
    bool is_dsse;                         /* else a message signature over digest */
    struct str hint;                      /* of the public key; may be empty */
    uint8_t digest[32];                   /* of the message; not with DSSE */
    struct str signature;                 /* DER */
    struct str payload_type, payload;     /* DSSE only */
};
/* Reads v0.1 to v0.3 with a public key as its material. Certificates are refused by name, log
 * entries and time stamps are passed over (they are not verified here). */
MLXK_FN bool sign_bundle_read(struct arena *a, struct str text, struct sign_bundle *out,
                              struct err *e);
/* A bundle that signs a file by its digest; one line of JSON without a newline, appended to out. */
MLXK_FN bool sign_bundle_message(const struct sign_private *k, const uint8_t digest[32],
                                 struct buf *out, struct err *e);
/* A bundle that signs a payload of a type (DSSE). */
MLXK_FN bool sign_bundle_dsse(const struct sign_private *k, struct str payload_type,
                              struct str payload, struct buf *out, struct err *e);
/* The signature is of one of the keys; *which (or NULL) is its index. err: ERR_INTEGRITY. For a
 * message the caller compares bundle->digest with the file's own. */
MLXK_FN bool sign_bundle_check(const struct sign_bundle *b, const struct sign_public *keys,
                               size_t n_keys, size_t *which /* or NULL */, struct err *e);
/* DSSE's pre-authentication encoding, appended to out. */
MLXK_FN void sign_dsse_pae(struct buf *out, struct str type, struct str payload);

/* ---- what is said about an artifact (sign_statement.c) --------------------------------------- */

struct sign_note { struct str key, value; };
/* An in-toto Statement v1 as cosign writes it: one subject, a sha256 digest (64 hex), its
 * annotations sorted by key, a predicate of that type. Compact JSON appended to out.
 * predicate: valid JSON, or empty for {}. */
MLXK_FN bool sign_statement_write(struct buf *out, struct str digest_hex, struct str predicate_type,
                                  const struct sign_note *notes, size_t n_notes,
                                  struct str predicate, struct err *e);
struct sign_statement {
    struct str predicate_type;
    struct str digest_hex;                /* of the subject */
    struct sign_note *notes; size_t n_notes;
    const struct json *predicate;         /* or NULL */
};
/* A statement with exactly one subject that has a sha256 digest. */
MLXK_FN bool sign_statement_read(struct arena *a, struct str payload, struct sign_statement *out,
                                 struct err *e);
/* All of it for one artifact: bundle text, its DSSE signature by one of the keys, a statement whose
 * subject is digest_hex. err: ERR_INTEGRITY with what was signed instead. */
MLXK_FN bool sign_artifact_said(struct arena *a, struct str bundle_text, struct str digest_hex,
                                const struct sign_public *keys, size_t n_keys,
                                struct sign_statement *out, size_t *which /* or NULL */,
                                struct err *e);
/* The same for a statement that only signs, as cosign's `sign` makes it; others are attestations:
 * ERR_UNSUPPORTED. */
MLXK_FN bool sign_artifact_check(struct arena *a, struct str bundle_text, struct str digest_hex,
                                 const struct sign_public *keys, size_t n_keys,
                                 struct sign_statement *out, size_t *which /* or NULL */,
                                 struct err *e);

/* ---- signatures of the older kind (sign_simple.c) -------------------------------------------- */

#define SIGN_SIMPLE_TYPE "application/vnd.dev.cosign.simplesigning.v1+json"
/* A payload and the signature over it as one text, which goes wherever a bundle's text goes:
 * sign_artifact_said and sign_artifact_check read it. Appended to out; nothing is checked yet. */
MLXK_FN bool sign_simple_write(struct buf *out, struct str payload, struct str signature_base64,
                               struct err *e);

/* ---- Ed25519: minisign's files (sign_mini.c) ------------------------------------------------- */

struct sign_mini_public { uint8_t number[8], key[32]; };
struct sign_mini_private { struct sign_mini_public pub; uint8_t seed[32]; };     /* a secret */
struct sign_mini_signature {
    bool prehashed;                       /* ED: over BLAKE2b-512 of the file; Ed: over its bytes */
    uint8_t number[8], signature[64], global[64];
    struct str comment;                   /* the trusted one; borrowed from the text */
};
/* A public key file, or its second line alone. */
MLXK_FN bool sign_mini_public_read(struct str text, struct sign_mini_public *out, struct err *e);
/* A secret key file without password (minisign -G -W). err: ERR_UNSUPPORTED for encrypted ones. */
MLXK_FN bool sign_mini_private_read(struct str text, struct sign_mini_private *out, struct err *e);
/* The number of a key as minisign prints it. */
MLXK_FN void sign_mini_name(const uint8_t number[8], char out[17]);
/* A signature file, prehashed or legacy. Only its form is checked. */
MLXK_FN bool sign_mini_read(struct str text, struct sign_mini_signature *out, struct err *e);
/* A signature file over the BLAKE2b-512 of a file, appended to out. comment: one line, covered by
 * the second signature. */
MLXK_FN bool sign_mini_write(const struct sign_mini_private *k, const uint8_t hash[64],
                             struct str comment, struct buf *out, struct err *e);
/* message: the hash when the signature is prehashed, else the whole file. err: ERR_INTEGRITY says
 * which part failed; the key number is compared first. */
MLXK_FN bool sign_mini_check(const struct sign_mini_signature *s, const struct sign_mini_public *k,
                             struct str message, struct err *e);
/* BLAKE2b-512 of a file, read in pieces; progress as sha256_file. */
MLXK_FN bool sign_blake2b_file(const char *path_cstr, uint8_t out[64],
                               bool (*progress)(void *ctx, uint64_t done_bytes), void *ctx,
                               struct err *e);

/* ---- Ed25519: OpenSSH's files (sign_ssh.c) --------------------------------------------------- */

struct sign_ssh_public { uint8_t key[32]; };
struct sign_ssh_signature {
    struct sign_ssh_public by;            /* as it says: the caller decides whom to trust */
    uint8_t signature[64];
    bool is_sha512;                       /* over SHA-512 of the message, else SHA-256 */
};
/* Looks like a file of ssh-ed25519 keys. */
MLXK_FN bool sign_ssh_public_is(struct str text);
/* Keys of a public key file, or of a list of allowed signers: one a line, without those whose
 * namespaces="..." lacks this one ("file"). err: ERR_UNSUPPORTED for other kinds of keys and for
 * lines with other options, which would limit the key; ERR_LIMIT past cap. */
MLXK_FN bool sign_ssh_public_read(struct str text, struct str space, struct sign_ssh_public *out,
                                  size_t cap, size_t *n, struct err *e);
/* "SHA256:..." as ssh-keygen -l prints it. */
MLXK_FN void sign_ssh_name(const struct sign_ssh_public *k, char out[51]);
/* A signature file made for this namespace ("file"). err: ERR_FORMAT, ERR_UNSUPPORTED,
 * ERR_INTEGRITY (another namespace). */
MLXK_FN bool sign_ssh_read(struct str text, struct str space, struct sign_ssh_signature *out,
                           struct err *e);
/* It is by the key inside it, over this message. err: ERR_INTEGRITY. */
MLXK_FN bool sign_ssh_check(const struct sign_ssh_signature *s, struct str space,
                            struct str message, struct err *e);

/* ---- policies (sign_policy.c) ---------------------------------------------------------------- */

enum sign_require {
    SIGN_REQUIRE_NONE,                    /* anything goes */
    SIGN_REQUIRE_SIGNED,                  /* a signature by one of the keys */
    SIGN_REQUIRE_RELEASE,     /* one that says which release it is (annotation "version") */
};
struct sign_rule {
    struct str prefix;                    /* "host/org", small letters; "" matches all */
    enum sign_require require;
    const struct sign_public *keys; size_t n_keys;
};
struct sign_policy {
    const char *path_cstr;                /* NULL: there is none */
    struct sign_rule *rules; size_t n;
};
/* {"rules":[{"prefix":"","require":"none|signed|release-signed","keys":["FILE" or PEM text]}]};
 * files are relative to dir_cstr. Unknown members, and prefixes that no repository can have, are
 * refused: a rule misspelt protects nothing. */
MLXK_FN bool sign_policy_read(struct arena *a, struct str text, const char *dir_cstr,
                              struct sign_policy *out, struct err *e);
/* That of this machine: the file that MLXK_POLICY names (which must exist), else
 * $XDG_CONFIG_HOME/mlxk/policy.json when it exists, else an empty policy. */
MLXK_FN bool sign_policy_load(struct arena *a, struct sign_policy *out, struct err *e);
/* The rule with the longest prefix of "host/org/repo", at a '/' boundary; NULL: nothing is
 * required. */
MLXK_FN const struct sign_rule *sign_policy_match(const struct sign_policy *p,
                                                  struct str repository);
/* May an artifact with this digest and these attached bundles be used? version: the release asked
 * for ("v1.2.3"), its line ("v1", "v1.2": any release of it, but none of a branch) or empty: with
 * SIGN_REQUIRE_RELEASE it must be the one that was signed. One good bundle is enough, *which is its
 * index; ERR_ACCESS says why the last was refused. */
MLXK_FN bool sign_policy_judge(struct arena *a, const struct sign_rule *rule /* or NULL */,
                               struct str repository, struct str digest_hex, struct str version,
                               const struct str *bundles, size_t n_bundles,
                               size_t *which /* or NULL */, struct err *e);

#endif
