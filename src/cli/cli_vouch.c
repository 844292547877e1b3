/* cli_vouch.c: keys of releases, and what a signature beside SHA256SUMS says.
 *
 * 1. A key is the caller's (--key) or was built in from docs/keys; nothing that comes with the
 *    files chooses one.
 * 2. A trusted comment is told only after its signature held.
 * 3. Who trusts a key of minisign and one of OpenSSH wants both signatures.
 */
#include "cli/cli_facts.h"

#include <build_info.h>

#define CLI_VOUCH_ROW(text) text,
static const char *const cli_vouch_built_in[] = { MLXK_RELEASE_KEYS(CLI_VOUCH_ROW) NULL };
#undef CLI_VOUCH_ROW

enum { CLI_VOUCH_SSH = 16 };             /* keys of one file */

static bool cli_vouch_add(struct cli_vouch_keys *out, struct str text, struct err *e) {
    if (str_starts(str_trim(text), STR("-----BEGIN")))
        return sign_public_read(text, &out->points[out->n_points++], e);
    if (sign_ssh_public_is(text)) {
        size_t n;
        bool ok = sign_ssh_public_read(text, STR("file"), out->shells + out->n_shells,
                                       CLI_VOUCH_SSH, &n, e);
        out->n_shells += n;
        return ok;
    }
    return sign_mini_public_read(text, &out->minis[out->n_minis++], e);
}

MLXK_FN bool cli_vouch_keys(struct cli_context *c, struct cli_vouch_keys *out) {
    const struct cli_value *given = cli_get(&c->args, "--key");
    size_t n = given->n ? given->n : MLXK_COUNT(cli_vouch_built_in);
    *out = (struct cli_vouch_keys){ .minis = ARENA_ARRAY(&c->arena, struct sign_mini_public, n),
                                    .shells = ARENA_ARRAY(&c->arena, struct sign_ssh_public,
                                                          n * CLI_VOUCH_SSH),
                                    .points = ARENA_ARRAY(&c->arena, struct sign_public, n) };
    if (!out->minis || !out->shells || !out->points) return err_oom(&c->err, n * 128, "keys");
    for (size_t i = 0; i < given->n; i++) {
        char *path = str_dup_cstr(&c->arena, given->list[i]);
        struct str text;
        if (!path) return err_oom(&c->err, given->list[i].n, "a path");
        if (!os_read_file(&c->arena, path, SIGN_MAX_KEY_FILE, &text, &c->err)) return false;
        if (!cli_vouch_add(out, text, &c->err)) return err_context(&c->err, "key file %s: ", path);
    }
    for (size_t i = 0; !given->n && cli_vouch_built_in[i]; i++)
        if (!cli_vouch_add(out, str_cstr(cli_vouch_built_in[i]), &c->err))
            return err_context(&c->err, "a key that was built in: ");
    return true;
}

static enum cli_vouch cli_vouch_stranger(struct cli_context *c, const char *name_cstr,
                                         size_t n_keys) {
    err_set(&c->err, ERR_INTEGRITY, "it is by the key %s, which is none of the %zu trusted",
            name_cstr, n_keys);
    return CLI_VOUCH_SIGNATURE;
}

static enum cli_vouch cli_vouch_ssh(struct cli_context *c, const struct cli_vouch_keys *keys,
                                    const char *file_cstr, struct str text, struct str *who) {
    struct sign_ssh_signature sig;
    struct str message;
    char name[51];
    if (!sign_ssh_read(text, STR("file"), &sig, &c->err)) return CLI_VOUCH_SIGNATURE;
    sign_ssh_name(&sig.by, name);
    for (size_t i = 0; i < keys->n_shells; i++) {
        if (memcmp(keys->shells[i].key, sig.by.key, sizeof sig.by.key) != 0) continue;
        if (!os_read_file(&c->arena, file_cstr, CLI_SUMS_BYTES, &message, &c->err))
            return CLI_VOUCH_BYTES;
        *who = str_dup(&c->arena, str_cstr(name));
        return sign_ssh_check(&sig, STR("file"), message, &c->err) ? CLI_VOUCH_GOOD
                                                                  : CLI_VOUCH_SIGNATURE;
    }
    return cli_vouch_stranger(c, name, keys->n_shells);
}

static enum cli_vouch cli_vouch_mini(struct cli_context *c, const struct cli_vouch_keys *keys,
                                     const char *file_cstr, struct str text, struct str *who) {
    struct sign_mini_signature sig;
    struct str message;
    uint8_t hash[64];
    char name[17];
    if (!sign_mini_read(text, &sig, &c->err)) return CLI_VOUCH_SIGNATURE;
    if (!sign_blake2b_file(file_cstr, hash, NULL, NULL, &c->err)) return CLI_VOUCH_BYTES;
    message = (struct str){ (const char *)hash, sizeof hash };
    sign_mini_name(sig.number, name);
    if (!sig.prehashed && !os_read_file(&c->arena, file_cstr, CLI_SUMS_BYTES, &message, &c->err))
        return CLI_VOUCH_BYTES;
    for (size_t i = 0; i < keys->n_minis; i++) {
        if (memcmp(keys->minis[i].number, sig.number, sizeof sig.number) != 0) continue;
        if (!sign_mini_check(&sig, &keys->minis[i], message, &c->err)) return CLI_VOUCH_SIGNATURE;
        *who = str_format(&c->arena, "%s (" STR_FMT ")", name, STR_ARG(sig.comment));
        return CLI_VOUCH_GOOD;
    }
    return cli_vouch_stranger(c, name, keys->n_minis);
}

MLXK_FN enum cli_vouch cli_vouch_file(struct cli_context *c, const struct cli_vouch_keys *keys,
                                      const char *file_cstr, const char *sig_cstr,
                                      struct str *who) {
    struct str text;
    struct os_stat st;
    if (!os_stat(sig_cstr, &st)) {
        err_set(&c->err, ERR_NOT_FOUND, "nobody signed it: there is no %s", sig_cstr);
        return CLI_VOUCH_NOBODY;
    }
    if (!os_read_file(&c->arena, sig_cstr, SIGN_MAX_BUNDLE, &text, &c->err))
        return CLI_VOUCH_SIGNATURE;
    bool is_ssh = str_starts(text, STR("-----BEGIN SSH"));
    if (is_ssh ? !keys->n_shells : !keys->n_minis) {
        err_set(&c->err, ERR_ACCESS, "there is no key to check %s with", sig_cstr);
        err_hint(&c->err, "--key FILE names the public key that you trust");
        return CLI_VOUCH_NOBODY;
    }
    enum cli_vouch status = is_ssh ? cli_vouch_ssh(c, keys, file_cstr, text, who)
                                   : cli_vouch_mini(c, keys, file_cstr, text, who);
    if (status != CLI_VOUCH_GOOD) err_context(&c->err, "%s: ", sig_cstr);
    return status;
}

MLXK_FN enum cli_vouch cli_vouch_beside(struct cli_context *c, const struct cli_vouch_keys *keys,
                                        const char *file_cstr, bool may_lack, struct str *who) {
    const struct { const char *ending_cstr; size_t n_keys; } kinds[] = {
        { "minisig", keys->n_minis }, { "sshsig", keys->n_shells }
    };
    bool any_key = keys->n_minis || keys->n_shells;
    *who = STR_EMPTY;
    for (size_t i = 0; i < MLXK_COUNT(kinds); i++) {
        struct str one = STR_EMPTY;
        struct os_stat st;
        char *sig = str_dup_cstr(&c->arena, str_format(&c->arena, "%s.%s", file_cstr,
                                                       kinds[i].ending_cstr));
        if (!sig) return CLI_VOUCH_NOBODY;
        bool there = os_stat(sig, &st);
        /* Without any key, a signature that is there is still one that nobody can check. */
        if (any_key ? !kinds[i].n_keys || (may_lack && !there)
                    : !there && (may_lack || i == 0))
            continue;
        enum cli_vouch status = cli_vouch_file(c, keys, file_cstr, sig, &one);
        if (status != CLI_VOUCH_GOOD) return status;
        *who = who->n ? str_format(&c->arena, STR_FMT ", " STR_FMT, STR_ARG(*who), STR_ARG(one))
                      : one;
    }
    return CLI_VOUCH_GOOD;
}

MLXK_FN int cli_vouch_fail(struct cli_context *c, enum cli_vouch status) {
    (void)cli_fail(c, &c->err, NULL);
    return (int)status;
}
