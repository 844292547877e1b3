/* cli_facts.h: what a binary says of its build, as text inside it; and what a release's folder
 * consists of.
 */
#ifndef MLXK_CLI_FACTS_H
#define MLXK_CLI_FACTS_H

#include "cli/cli.h"
#include "sign/sign.h"

/* ---- build facts (cli_facts.c) ---- */

/* This program's own: lines "key value", keys as `version --build --json` has them; the vendored
 * libraries are lines "vendored NAME VERSION LICENCE SHA256". */
MLXK_FN struct str cli_facts_own(void);
/* The same of another program, out of its bytes, which are not run. Borrowed from file.
 * err: ERR_FORMAT (none, or more than one), ERR_LIMIT. */
MLXK_FN bool cli_facts_find(struct str file, struct str *facts, struct err *e);
/* As cli_facts_find of a file. mem: in a. */
MLXK_FN bool cli_facts_read(struct arena *a, const char *path_cstr, struct str *facts,
                            struct err *e);
/* The value of a key; empty when it is not there. */
MLXK_FN struct str cli_facts_get(struct str facts, const char *key_cstr);
/* A clean build of a release: neither dirty, nor between releases, nor a nightly one. */
MLXK_FN bool cli_facts_is_release(struct str facts);

/* ---- SHA256SUMS (cli_sums.c) ---- */

struct cli_sum { struct str name, hex; };
struct cli_sums { struct cli_sum *lines; size_t n; };
enum { CLI_SUMS_MAX = 1000, CLI_SUMS_BYTES = 1 << 18 };
/* Lines "HASH  NAME", names of files in that folder, each once. Borrowed from text; lines in a.
 * err: ERR_FORMAT names the line, ERR_LIMIT. */
MLXK_FN bool cli_sums_parse(struct arena *a, struct str text, struct cli_sums *out, struct err *e);
MLXK_FN const struct cli_sum *cli_sums_find(const struct cli_sums *s, struct str name);

/* ---- who vouches for it (cli_vouch.c) ---- */

/* Exit statuses of `version --verify` and `verify-release`. */
enum cli_vouch {
    CLI_VOUCH_GOOD = 0,
    CLI_VOUCH_BYTES = 1,         /* bytes or lists differ */
    CLI_VOUCH_SIGNATURE = 2,     /* a signature is bad */
    CLI_VOUCH_NOBODY = 3,        /* nothing to check it with */
    CLI_VOUCH_NO_RELEASE = 4,    /* a build of no release, or another one */
};
struct cli_vouch_keys {
    struct sign_mini_public *minis; size_t n_minis;
    struct sign_ssh_public *shells; size_t n_shells;
    struct sign_public *points; size_t n_points;
};
/* Key files (--key, any number), or the keys that were built in when none is given. */
MLXK_FN bool cli_vouch_keys(struct cli_context *c, struct cli_vouch_keys *out);
/* The signature at sig_cstr, of minisign or OpenSSH, is of the file and by one of the keys. *who:
 * the key, and minisign's trusted comment. mem: in the context's arena. */
MLXK_FN enum cli_vouch cli_vouch_file(struct cli_context *c, const struct cli_vouch_keys *keys,
                                      const char *file_cstr, const char *sig_cstr,
                                      struct str *who);
/* The same for the signatures beside it, .minisig and .sshsig: each kind that there is a key for
 * must be there (unless may_lack) and hold. *who: all of them. */
MLXK_FN enum cli_vouch cli_vouch_beside(struct cli_context *c, const struct cli_vouch_keys *keys,
                                        const char *file_cstr, bool may_lack, struct str *who);
/* Tells a failure and gives its status. */
MLXK_FN int cli_vouch_fail(struct cli_context *c, enum cli_vouch status);
/* The whole of `version --verify`; exit status (cmd_version_verify.c). */
MLXK_FN int cmd_version_verify(struct cli_context *c);
/* `version --history`, the newest first; as the member "history", the oldest first
 * (cmd_version_history.c). */
MLXK_FN void cmd_version_history_text(struct cli_context *c);
MLXK_FN void cmd_version_history_json(struct json_writer *w);

#endif
