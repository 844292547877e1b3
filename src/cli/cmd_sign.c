/* cmd_sign.c: `sign` puts a signature of a file beside it. What kind follows from the key: a
 * Sigstore bundle for a P-256 key in PEM, a minisign file for a key of minisign.
 *
 *  1. A password comes from the environment or a file that it names, never from the command line.
 *  2. The signature is checked with the key's public half before it is written; it appears whole or
 *     not at all.
 *  3. Nothing but key, bytes and comment goes into it: signing again changes nothing.
 */
#include "cli/cli_sign.h"
#include "cli/cli_oci.h"

static const struct cli_option cmd_sign_options[] = {
    { "file", NULL, CLI_TEXT, NULL, "a file, or an artifact: oci://HOST/REPO:TAG, oci:DIR:TAG", 0,
      0, true },
    { "--key", NULL, CLI_TEXT, "FILE", "private key: P-256 in PEM (PKCS#8), or of minisign", 0, 0,
      true },
    { "--bundle", NULL, CLI_TEXT, "OUT", "where the bundle goes (FILE.sigstore.json)", 0, 0, true },
    { "--minisig", NULL, CLI_TEXT, "OUT", "where minisign's signature goes (FILE.minisig)", 0, 0,
      true },
    { "--comment", NULL, CLI_TEXT, "TEXT", "trusted comment of minisign's signature (file:NAME)", 0,
      0, true },
    { "--statement", NULL, CLI_FLAG, NULL, "the file is an in-toto statement: sign what it says", 0,
      0, true },
    { "--release", NULL, CLI_TEXT, "vX.Y.Z", "artifact: say that it is this release", 0, 0, true },
    CLI_OCI_OPTIONS,
};

/* ---- the two kinds (Private) ---- */

/* A statement goes into its bundle, word for word. */
static bool cmd_sign_statement(struct cli_context *c, const struct cli_sign *s,
                               const struct sign_private *key, struct buf *out) {
    struct str text, type = STR_EMPTY;
    const struct json *doc;
    if (!os_read_file(&c->arena, s->file_cstr, SIGN_MAX_PAYLOAD, &text, &c->err)) return false;
    doc = json_parse(&c->arena, text, &c->err);
    if (!doc || !json_read_str(doc, "_type", &type, &c->err)
        || !str_eq(type, STR("https://in-toto.io/Statement/v1"))) {
        if (c->err.code == ERR_OK)
            err_set(&c->err, ERR_FORMAT, "its _type is not https://in-toto.io/Statement/v1");
        return err_context(&c->err, "%s is no in-toto statement: ", s->file_cstr);
    }
    return sign_bundle_dsse(key, STR(SIGN_IN_TOTO_TYPE), text, out, &c->err);
}

static bool cmd_sign_bundle(struct cli_context *c, struct cli_sign *s, struct str key_text,
                            struct buf *out) {
    struct sign_private key;
    if (cli_text(&c->args, "--comment").n)
        return err_set(&c->err, ERR_USAGE, "argument --comment: only for keys of minisign");
    if (!sign_private_parse(&c->arena, key_text, &key, &c->err))
        return err_context(&c->err, "key file %s: ", s->key_cstr);
    bool ok = cli_sign_hash(c, s, false)
              && (cli_flag(&c->args, "--statement") ? cmd_sign_statement(c, s, &key, out)
                  : sign_bundle_message(&key, s->digest, out, &c->err));
    s->key = str_dup(&c->arena, str_cstr(key.pub.hint));
    sign_wipe(&key, sizeof key);
    return ok;
}

static bool cmd_sign_mini(struct cli_context *c, struct cli_sign *s, struct str key_text,
                          struct buf *out) {
    struct sign_mini_private key;
    const struct cli_value *comment = cli_get(&c->args, "--comment");
    if (cli_flag(&c->args, "--statement"))
        return err_set(&c->err, ERR_USAGE, "argument --statement: only for P-256 keys");
    struct str said = comment->given ? comment->text
                                     : str_format(&c->arena, "file:" STR_FMT,
                                                  STR_ARG(os_path_base(s->file_cstr)));
    if (!sign_mini_private_read(key_text, &key, &c->err))
        return err_context(&c->err, "key file %s: ", s->key_cstr);
    char name[17];
    sign_mini_name(key.pub.number, name);
    s->key = str_dup(&c->arena, str_cstr(name));
    bool ok = cli_sign_hash(c, s, true) && sign_mini_write(&key, s->digest, said, out, &c->err);
    sign_wipe(&key, sizeof key);
    return ok;
}

/* ---- the command ---- */

static bool cmd_sign_work(struct cli_context *c, struct cli_sign *s) {
    struct str key_text;
    struct buf out;
    if (!s->key_cstr) {
        err_set(&c->err, ERR_USAGE, "the following arguments are required: --key");
        return err_hint(&c->err, "a key is made by: openssl genpkey -algorithm EC -pkeyopt "
                                 "ec_paramgen_curve:P-256 -out key.pem, or by minisign -G -W");
    }
    if (!os_read_file(&c->arena, s->key_cstr, SIGN_MAX_KEY_FILE, &key_text, &c->err)) return false;
    s->is_mini = cli_sign_is_mini(key_text);
    if (!cli_sign_place(c, s)) return false;
    buf_init(&out, SIGN_MAX_BUNDLE);
    bool ok = s->is_mini ? cmd_sign_mini(c, s, key_text, &out)
                         : cmd_sign_bundle(c, s, key_text, &out);
    sign_wipe((void *)(uintptr_t)key_text.p, key_text.n);
    if (ok && !s->is_mini) buf_add_char(&out, '\n');
    ok = ok && buf_ok(&out, "the signature", &c->err) &&
         os_write_file(s->signature_cstr, buf_str(&out), &c->err);
    buf_release(&out);
    return ok;
}

static int cmd_sign_run(struct cli_context *c) {
    struct cli_sign s = { 0 };
    if (oci_ref_is(cli_text(&c->args, "file")))
        return cli_sign_oci(c, cli_text(&c->args, "file"), false);
    if (!cli_sign_open(c, cli_text(&c->args, "file"), &s) || !cmd_sign_work(c, &s))
        return cli_fail(c, &c->err, NULL);
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        cli_sign_members(w, &s);
        json_write_object_end(w);
        return cli_document_end(c);
    }
    cli_print(c, "%s: signed with the key " STR_FMT " → %s\n", s.file_cstr, STR_ARG(s.key),
              s.signature_cstr);
    return 0;
}

MLXK_FN const struct cli_command *cmd_sign(void) {
    static const struct cli_command command = {
        "sign",
        "put a signature of a file beside it",
        "versions",
        cmd_sign_options,
        MLXK_COUNT(cmd_sign_options),
        "  mlxk sign archive.tar --key key.pem\n"
        "  mlxk sign archive.tar --key minisign.key --comment \"models of May\"\n"
        "  mlxk sign oci:models:v1.0.0 --key key.pem --release v1.0.0\n",
        cmd_sign_run,
    };
    return &command;
}
