/* cmd_version_verify.c: `version --verify`: is this program, or another file, one of a release?
 *
 * The file's hash stands in SHA256SUMS, and SHA256SUMS is signed by a key that is trusted. Nothing
 * is run and nobody is asked. A program that says "verified" of itself may be lying: it finds
 * damage and mix-ups; against malice, let another program look at the file.
 */
#include "cli/cli_facts.h"

struct cmd_version_check {
    char *file_cstr, *sums_cstr, *sig_cstr;       /* sig: NULL = those beside sums */
    struct str facts, name, who;         /* name: its line in SHA256SUMS */
};

static char *cmd_version_given(struct cli_context *c, const char *option_cstr, struct str other) {
    struct str given = cli_text(&c->args, option_cstr);
    return str_dup_cstr(&c->arena, given.n ? given : other);
}

static bool cmd_version_places(struct cli_context *c, struct cmd_version_check *x) {
    char *own = os_exe_path(&c->arena);
    x->file_cstr = cmd_version_given(c, "--file", str_cstr(own));
    if (!x->file_cstr || !x->file_cstr[0])
        return err_set(&c->err, ERR_NOT_FOUND, "this system does not tell which file this is");
    char *dir = os_path_dir(&c->arena, x->file_cstr),
         *beside = dir ? os_path_join(&c->arena, dir, "SHA256SUMS") : NULL;
    x->sums_cstr = beside ? cmd_version_given(c, "--sums", str_cstr(beside)) : NULL;
    bool given = cli_get(&c->args, "--sig")->given;
    x->sig_cstr = given ? str_dup_cstr(&c->arena, cli_text(&c->args, "--sig")) : NULL;
    return (x->sums_cstr && (x->sig_cstr || !given)) || err_oom(&c->err, LIMIT_PATH, "a path");
}

/* The line of these bytes, whatever the file is called here. */
static enum cli_vouch cmd_version_hash(struct cli_context *c, struct cmd_version_check *x) {
    struct cli_sums sums;
    struct str text;
    struct os_stat st;
    uint8_t digest[32];
    char hex[65];
    if (!os_stat(x->sums_cstr, &st)) {
        err_set(&c->err, ERR_NOT_FOUND, "there is no %s to compare with", x->sums_cstr);
        err_hint(&c->err, "--sums FILE names the SHA256SUMS of its release");
        return CLI_VOUCH_NOBODY;
    }
    if (!os_read_file(&c->arena, x->sums_cstr, CLI_SUMS_BYTES, &text, &c->err)) {
        return CLI_VOUCH_BYTES;
    }
    if (!cli_sums_parse(&c->arena, text, &sums, &c->err)) {
        err_context(&c->err, "%s: ", x->sums_cstr);
        return CLI_VOUCH_BYTES;
    }
    if (!sha256_file(x->file_cstr, digest, NULL, NULL, &c->err)) return CLI_VOUCH_BYTES;
    str_hex(hex, digest, sizeof digest);
    for (size_t i = 0; i < sums.n; i++)
        if (str_eq_cstr(sums.lines[i].hex, hex)) x->name = sums.lines[i].name;
    if (x->name.n) return CLI_VOUCH_GOOD;
    err_set(&c->err, ERR_INTEGRITY, "%s has the hash %s, which %s does not name", x->file_cstr, hex,
            x->sums_cstr);
    return CLI_VOUCH_BYTES;
}

static enum cli_vouch cmd_version_judge(struct cli_context *c, struct cmd_version_check *x) {
    struct cli_vouch_keys keys;
    if (!cmd_version_places(c, x) || !cli_facts_read(&c->arena, x->file_cstr, &x->facts, &c->err))
        return CLI_VOUCH_NO_RELEASE;
    if (!cli_facts_is_release(x->facts)) {
        err_set(&c->err, ERR_INTEGRITY, "%s is no release: it is a build of " STR_FMT, x->file_cstr,
                STR_ARG(cli_facts_get(x->facts, "version")));
        return CLI_VOUCH_NO_RELEASE;
    }
    if (!cli_vouch_keys(c, &keys)) return CLI_VOUCH_SIGNATURE;
    enum cli_vouch status = cmd_version_hash(c, x);
    if (status != CLI_VOUCH_GOOD) return status;
    if (x->sig_cstr) return cli_vouch_file(c, &keys, x->sums_cstr, x->sig_cstr, &x->who);
    status = cli_vouch_beside(c, &keys, x->sums_cstr, cli_flag(&c->args, "--unsigned"), &x->who);
    if (status == CLI_VOUCH_NOBODY) err_hint(&c->err, "--unsigned takes it by its hash alone");
    return status;
}

MLXK_FN int cmd_version_verify(struct cli_context *c) {
    struct cmd_version_check x = { 0 };
    enum cli_vouch status = cmd_version_judge(c, &x);
    if (status != CLI_VOUCH_GOOD) return cli_vouch_fail(c, status);
    struct str version = cli_facts_get(x.facts, "version");
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        json_write_member(w, "file", str_cstr(x.file_cstr));
        json_write_member(w, "name", x.name);
        json_write_member(w, "version", version);
        json_write_member(w, "commit", cli_facts_get(x.facts, "commit"));
        /* Empty when --unsigned took it: a null would be another type for readers. */
        json_write_member(w, "signed_by", x.who);
        json_write_object_end(w);
        return cli_document_end(c);
    }
    cli_print(c, "%s: mlxk " STR_FMT " (" STR_FMT "), signed by " STR_FMT "\n", x.file_cstr,
              STR_ARG(version), STR_ARG(x.name), STR_ARG(x.who.n ? x.who : STR("nobody")));
    return 0;
}
