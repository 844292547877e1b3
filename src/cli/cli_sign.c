/* cli_sign.c: what `sign` and `verify --key` share. Prints nothing but a progress line. */
#include "cli/cli_sign.h"

#include <stdio.h>

struct cli_sign_progress { struct cli_progress bar; bool begun; };

MLXK_FN bool cli_sign_open(struct cli_context *c, struct str file, struct cli_sign *out) {
    struct str key = cli_text(&c->args, "--key");
    struct os_stat st;
    out->file_cstr = str_dup_cstr(&c->arena, file);
    out->key_cstr = key.n ? str_dup_cstr(&c->arena, key) : NULL;
    if (!out->file_cstr || (key.n && !out->key_cstr)) return err_oom(&c->err, file.n, "a path");
    if (!os_stat(out->file_cstr, &st))
        return err_set(&c->err, ERR_NOT_FOUND, "there is no file %s", out->file_cstr);
    if (st.kind != OS_FILE) {
        err_set(&c->err, ERR_INVALID, "%s is no regular file", out->file_cstr);
        return err_hint(&c->err, "sign an archive of it: mlxk export MODEL -o FILE.tar");
    }
    out->size_bytes = st.size_bytes;
    return true;
}

/* A whole file of minisign's, or the one line that people pass on. */
MLXK_FN bool cli_sign_is_mini(struct str key_text) {
    return str_starts(key_text, STR("untrusted comment:")) || str_starts(key_text, STR("RW"));
}

MLXK_FN bool cli_sign_place(struct cli_context *c, struct cli_sign *s) {
    struct str bundle = cli_text(&c->args, "--bundle"), mini = cli_text(&c->args, "--minisig");
    struct str wanted = s->is_mini ? mini : bundle, other = s->is_mini ? bundle : mini;
    if (other.n)
        return err_set(&c->err, ERR_USAGE, "argument %s: %s is a key of the other kind",
                       s->is_mini ? "--bundle" : "--minisig", s->key_cstr);
    if (!wanted.n)
        wanted = str_format(&c->arena, "%s%s", s->file_cstr,
                            s->is_mini ? ".minisig" : ".sigstore.json");
    s->signature_cstr = str_dup_cstr(&c->arena, wanted);
    return s->signature_cstr || err_oom(&c->err, wanted.n, "a path");
}

static bool cli_sign_step(void *ctx, uint64_t done_bytes) {
    struct cli_sign_progress *p = ctx;
    cli_progress_update(&p->bar, done_bytes);
    return !os_interrupted();
}

MLXK_FN bool cli_sign_hash(struct cli_context *c, struct cli_sign *s, bool blake) {
    struct cli_sign_progress p = { 0 };
    cli_progress_begin(c, &p.bar, "reading", s->size_bytes, true);
    bool ok = blake ? sign_blake2b_file(s->file_cstr, s->digest, cli_sign_step, &p, &c->err)
                    : sha256_file(s->file_cstr, s->digest, cli_sign_step, &p, &c->err);
    cli_progress_end(&p.bar);
    return ok;
}

MLXK_FN void cli_sign_members(struct json_writer *w, const struct cli_sign *s) {
    char hex[129], digest[160];
    size_t n = s->is_mini ? 64 : 32;
    str_hex(hex, s->digest, n);
    (void)snprintf(digest, sizeof digest, "%s:%s", s->is_mini ? "blake2b-512" : "sha256", hex);
    json_write_member(w, "file", str_cstr(s->file_cstr));
    json_write_member(w, "format", s->is_mini ? STR("minisign") : STR("sigstore-bundle"));
    json_write_member(w, "signature", str_cstr(s->signature_cstr));
    json_write_member(w, "key", s->key);
    json_write_member(w, "digest", str_cstr(digest));
    json_write_key(w, "size_bytes");
    json_write_u64(w, s->size_bytes);
}
