/* cmd_verify_file.c: `verify FILE --key PUBLIC`: is the signature beside a file by that key, and of
 * that file?
 *
 *  1. Success is told after everything held: the file's hash, the signature, and minisign's trusted
 *     comment, which is shown only then.
 *  2. The key is the caller's: nothing that comes with the file chooses one.
 */
#include "cli/cli_sign.h"

/* ---- the two kinds (Private) ---- */

static bool cmd_verify_file_bundle(struct cli_context *c, struct cli_sign *s, struct str key_text,
                                   struct str text) {
    struct sign_public key;
    struct sign_bundle b;
    if (!sign_public_read(key_text, &key, &c->err))
        return err_context(&c->err, "key file %s: ", s->key_cstr);
    if (!sign_bundle_read(&c->arena, text, &b, &c->err)) return false;
    if (b.is_dsse)
        return err_set(&c->err, ERR_UNSUPPORTED, "it signs a statement, not a file");
    s->key = str_dup(&c->arena, str_cstr(key.hint));
    if (!cli_sign_hash(c, s, false) || !sign_bundle_check(&b, &key, 1, NULL, &c->err)) return false;
    return memcmp(b.digest, s->digest, 32) == 0 ||
           err_set(&c->err, ERR_INTEGRITY, "the signature is of another file: %s was changed",
                   s->file_cstr);
}

static bool cmd_verify_file_mini(struct cli_context *c, struct cli_sign *s, struct str key_text,
                                 struct str text) {
    struct sign_mini_public key;
    struct sign_mini_signature sig;
    struct os_map map = { 0 };
    char name[17];
    if (!sign_mini_public_read(key_text, &key, &c->err))
        return err_context(&c->err, "key file %s: ", s->key_cstr);
    if (!sign_mini_read(text, &sig, &c->err)) return false;
    sign_mini_name(key.number, name);
    s->key = str_dup(&c->arena, str_cstr(name));
    s->comment = sig.comment;
    if (!cli_sign_hash(c, s, true)) return false;
    struct str message = { (const char *)s->digest, 64 };
    if (!sig.prehashed) {                /* legacy: over the bytes themselves */
        if (!os_map_file(s->file_cstr, &map, &c->err)) return false;
        message = (struct str){ (const char *)map.p, map.size_bytes };
    }
    bool ok = sign_mini_check(&sig, &key, message, &c->err);
    if (!sig.prehashed) os_unmap(&map);
    return ok;
}

/* ---- the command ---- */

static bool cmd_verify_file_work(struct cli_context *c, struct cli_sign *s) {
    struct str key_text, text;
    if (!os_read_file(&c->arena, s->key_cstr, SIGN_MAX_KEY_FILE, &key_text, &c->err)) return false;
    s->is_mini = cli_sign_is_mini(key_text);
    if (!cli_sign_place(c, s)) return false;
    struct os_stat st;
    if (!os_stat(s->signature_cstr, &st)) {
        err_set(&c->err, ERR_NOT_FOUND, "there is no signature %s", s->signature_cstr);
        return err_hint(&c->err, "--bundle or --minisig says where it is");
    }
    if (!os_read_file(&c->arena, s->signature_cstr, SIGN_MAX_BUNDLE, &text, &c->err)) return false;
    bool ok = s->is_mini ? cmd_verify_file_mini(c, s, key_text, text)
                         : cmd_verify_file_bundle(c, s, key_text, text);
    return ok || err_context(&c->err, "%s: ", s->signature_cstr);
}

MLXK_FN int cmd_verify_file(struct cli_context *c) {
    static const char *const foreign[] = { "--repair", "--since", "--limit-rate" };
    struct cli_sign s = { 0 };
    for (size_t i = 0; i < MLXK_COUNT(foreign); i++)
        if (cli_get(&c->args, foreign[i])->given) {
            err_set(&c->err, ERR_USAGE, "argument %s: not with --key, which verifies one file",
                    foreign[i]);
            return cli_fail(c, &c->err, NULL);
        }
    if (!cli_text(&c->args, "--key").n || !cli_text(&c->args, "[model]").n) {
        err_set(&c->err, ERR_USAGE, "a signature is verified with a FILE and a --key");
        err_hint(&c->err, "mlxk verify FILE --key PUBLIC.pem");
        return cli_fail(c, &c->err, NULL);
    }
    if (!cli_sign_open(c, cli_text(&c->args, "[model]"), &s) || !cmd_verify_file_work(c, &s))
        return cli_fail(c, &c->err, NULL);
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        cli_sign_members(w, &s);
        json_write_member_or_null(w, "comment", s.comment);
        json_write_key(w, "good");
        json_write_bool(w, true);
        json_write_object_end(w);
        return cli_document_end(c);
    }
    cli_print(c, "%s: good signature by the key " STR_FMT "\n", s.file_cstr, STR_ARG(s.key));
    if (s.comment.n) cli_print(c, "Trusted comment: " STR_FMT "\n", STR_ARG(s.comment));
    return 0;
}
