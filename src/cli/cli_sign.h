/* cli_sign.h: what `sign` and `verify --key` share: a file, its signature, the kind that a key
 * decides. */
#ifndef MLXK_CLI_SIGN_H
#define MLXK_CLI_SIGN_H

#include "cli/cli.h"
#include "oci/oci.h"
#include "sign/sign.h"

struct cli_sign {
    const char *file_cstr, *key_cstr /* or NULL: not given */, *signature_cstr;
    bool is_mini;                /* the key is one of minisign */
    struct str key;              /* what the key is called: a bundle's hint, minisign's number */
    uint8_t digest[64];          /* SHA-256 (32 bytes), or BLAKE2b-512 for minisign */
    uint64_t size_bytes;
    struct str comment;          /* verify: minisign's trusted comment */
};
/* The named file, which must be a regular one, and --key. */
MLXK_FN bool cli_sign_open(struct cli_context *c, struct str file, struct cli_sign *out);
/* The text of a key file is one of minisign. */
MLXK_FN bool cli_sign_is_mini(struct str key_text);
/* Where the signature is, from --bundle or --minisig, which must fit the key, or beside the
 * file. */
MLXK_FN bool cli_sign_place(struct cli_context *c, struct cli_sign *s);
/* The file's hash into s->digest, with progress; stops on an interrupt. */
MLXK_FN bool cli_sign_hash(struct cli_context *c, struct cli_sign *s, bool blake);
/* Members "file", "format", "signature", "key", "digest", "size_bytes" of an open object. */
MLXK_FN void cli_sign_members(struct json_writer *w, const struct cli_sign *s);
/* `sign REF` or `verify REF --key` for an artifact of a registry or layout; exit status
 * (cli_sign_oci.c). */
MLXK_FN int cli_sign_oci(struct cli_context *c, struct str text, bool verify);
/* What this machine's policy says to a pull of ref. *digest: what was judged, or empty when no rule
 * asks for a signature. */
MLXK_FN bool cli_sign_judge(struct cli_context *c, struct oci *registry, const struct oci_ref *ref,
                            struct str *digest);
/* `verify FILE --key PUBLIC`: the whole command (cmd_verify_file.c). */
MLXK_FN int cmd_verify_file(struct cli_context *c);

#endif
