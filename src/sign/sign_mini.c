/* sign_mini.c: the files of minisign: Ed25519 keys and signatures as two or four lines of text.
 *
 *  public key   comment / base64 of "Ed", 8 bytes of key number, 32 of key
 *  secret key   comment / base64 of "Ed", kind of password, "B2", salt, two limits, number, seed,
 *               key, BLAKE2b-256 over "Ed", number, seed, key
 *  signature    comment / base64 of "ED" or "Ed", number, 64 bytes / trusted comment / base64 of
 *               the 64 bytes that sign the first 64 and the trusted comment
 *
 *  1. Both signatures of a file must hold: the trusted comment is told to nobody before.
 *  2. "Ed" over a file that was signed as "ED" can never hold: what is signed is the hash there.
 *  3. No clock: who wants a time in the trusted comment writes one.
 */
#include "sign/sign_int.h"

#include <stdio.h>

enum { SIGN_MINI_PUBLIC = 42, SIGN_MINI_SECRET = 158, SIGN_MINI_SIGNATURE = 74 };

/* ---- lines (Private) ---- */

static struct str sign_mini_line(struct str *rest) {
    struct str line = str_cut(rest, '\n');
    if (line.n && line.p[line.n - 1] == '\r') line.n--;
    return line;
}

static bool sign_mini_end(struct str rest) { return str_trim(rest).n == 0; }

/* An untrusted comment and a line of base64 with exactly n bytes. */
static bool sign_mini_pair(struct str *rest, uint8_t *out, size_t n) {
    size_t got;
    if (!str_starts(sign_mini_line(rest), STR("untrusted comment: "))) return false;
    return base64_read(sign_mini_line(rest), out, n, &got) && got == n;
}

/* The number of a key as minisign prints it: 16 digits, the last byte first. */
MLXK_FN void sign_mini_name(const uint8_t number[8], char out[17]) {
    for (size_t i = 0; i < 8; i++) (void)snprintf(out + 2 * i, 3, "%02X", number[7 - i]);
}

/* ---- keys ---- */

MLXK_FN bool sign_mini_public_read(struct str text, struct sign_mini_public *out, struct err *e) {
    uint8_t raw[SIGN_MINI_PUBLIC];
    struct str rest = text, bare = str_trim(text);
    size_t n;
    bool ok = (base64_read(bare, raw, sizeof raw, &n) && n == sizeof raw) ||
              (sign_mini_pair(&rest, raw, sizeof raw) && sign_mini_end(rest));
    if (!ok || memcmp(raw, "Ed", 2) != 0)
        return err_set(e, ERR_FORMAT, "it is no public key of minisign");
    memcpy(out->number, raw + 2, 8);
    memcpy(out->key, raw + 10, 32);
    return true;
}

static bool sign_mini_private_fill(const uint8_t raw[SIGN_MINI_SECRET],
                                   struct sign_mini_private *out, struct err *e) {
    const uint8_t *number = raw + 54, *seed = raw + 62, *key = raw + 94, *sum = raw + 126;
    uint8_t want[32], derived[32];
    bool summed = false;                 /* minisign writes zeros where there is no password */
    struct sign_blake2b s;
    if (memcmp(raw, "Ed", 2) != 0 || memcmp(raw + 4, "B2", 2) != 0)
        return err_set(e, ERR_UNSUPPORTED, "it is a secret key of an unknown kind");
    if (raw[2] || raw[3]) {
        err_set(e, ERR_UNSUPPORTED, "it is a minisign key behind a password");
        return err_hint(e, "a copy without one: minisign -C -W -s COPY (guard it by permissions)");
    }
    sign_blake2b_init(&s, 32);
    sign_blake2b_update(&s, raw, 2);
    sign_blake2b_update(&s, number, 72);
    sign_blake2b_final(&s, want, 32);
    sign_ed25519_public(seed, derived);
    for (size_t i = 0; i < 32; i++) summed = summed || sum[i];
    if ((summed && memcmp(want, sum, 32) != 0) || memcmp(derived, key, 32) != 0)
        return err_set(e, ERR_FORMAT, "the key is damaged: its sum or its public part is wrong");
    memcpy(out->pub.number, number, 8);
    memcpy(out->pub.key, key, 32);
    memcpy(out->seed, seed, 32);
    return true;
}

MLXK_FN bool sign_mini_private_read(struct str text, struct sign_mini_private *out, struct err *e) {
    uint8_t raw[SIGN_MINI_SECRET];
    struct str rest = text;
    bool ok = (sign_mini_pair(&rest, raw, sizeof raw) && sign_mini_end(rest)) ||
              err_set(e, ERR_FORMAT, "it is no secret key of minisign");
    ok = ok && sign_mini_private_fill(raw, out, e);
    sign_wipe(raw, sizeof raw);
    return ok;
}

/* ---- signatures ---- */

MLXK_FN bool sign_mini_read(struct str text, struct sign_mini_signature *out, struct err *e) {
    uint8_t raw[SIGN_MINI_SIGNATURE];
    struct str rest = text, comment;
    size_t n;
    if (!sign_mini_pair(&rest, raw, sizeof raw) || raw[0] != 'E'
        || (raw[1] != 'D' && raw[1] != 'd'))
        return err_set(e, ERR_FORMAT, "it is no signature of minisign");
    comment = sign_mini_line(&rest);
    if (!str_starts(comment, STR("trusted comment: ")))
        return err_set(e, ERR_FORMAT, "the signature has no trusted comment");
    out->comment = str_sub(comment, 17, comment.n);
    if (out->comment.n > SIGN_MAX_COMMENT)
        return err_set(e, ERR_LIMIT, "its trusted comment has %zu bytes; at most %d are allowed",
                       out->comment.n, SIGN_MAX_COMMENT);
    if (!base64_read(sign_mini_line(&rest), out->global, 64, &n) || n != 64 ||
        !sign_mini_end(rest))
        return err_set(e, ERR_FORMAT, "the signature of the trusted comment is damaged");
    out->prehashed = raw[1] == 'D';
    memcpy(out->number, raw + 2, 8);
    memcpy(out->signature, raw + 10, 64);
    return true;
}

/* What the second signature covers. */
static bool sign_mini_global(const uint8_t signature[64], struct str comment, struct buf *out,
                             struct err *e) {
    buf_init(out, 64 + SIGN_MAX_COMMENT);
    buf_add_bytes(out, signature, 64);
    buf_add(out, comment);
    return buf_ok(out, "the trusted comment", e);
}

MLXK_FN bool sign_mini_write(const struct sign_mini_private *k, const uint8_t hash[64],
                             struct str comment, struct buf *out, struct err *e) {
    uint8_t raw[SIGN_MINI_SIGNATURE] = { 'E', 'D' }, global[64];
    struct buf covered;
    for (size_t i = 0; i < comment.n; i++)
        if ((uint8_t)comment.p[i] < ' ' || comment.p[i] == 127)
            return err_set(e, ERR_INVALID, "the trusted comment is not one line of plain text");
    memcpy(raw + 2, k->pub.number, 8);
    sign_ed25519(k->seed, (struct str){ (const char *)hash, 64 }, raw + 10);
    bool ok = sign_mini_global(raw + 10, comment, &covered, e);
    if (ok) {
        sign_ed25519(k->seed, buf_str(&covered), global);
        buf_add_cstr(out, "untrusted comment: signature from mlxk, verify with minisign\n");
        base64_write(out, raw, sizeof raw);
        buf_addf(out, "\ntrusted comment: " STR_FMT "\n", STR_ARG(comment));
        base64_write(out, global, sizeof global);
        buf_add_char(out, '\n');
    }
    buf_release(&covered);
    return ok && buf_ok(out, "a signature", e);
}

MLXK_FN bool sign_mini_check(const struct sign_mini_signature *s, const struct sign_mini_public *k,
                             struct str message, struct err *e) {
    struct buf covered;
    char theirs[17], ours[17];
    if (memcmp(s->number, k->number, 8) != 0) {
        sign_mini_name(s->number, theirs);
        sign_mini_name(k->number, ours);
        return err_set(e, ERR_INTEGRITY, "it was signed with the key %s, not with %s", theirs,
                       ours);
    }
    if (!sign_ed25519_holds(k->key, message, s->signature))
        return err_set(e, ERR_INTEGRITY, "the signature does not fit the file");
    bool ok = sign_mini_global(s->signature, s->comment, &covered, e);
    ok = ok && (sign_ed25519_holds(k->key, buf_str(&covered), s->global) ||
                err_set(e, ERR_INTEGRITY, "the signature does not fit its trusted comment"));
    buf_release(&covered);
    return ok;
}

/* ---- files ---- */

MLXK_FN bool sign_blake2b_file(const char *path_cstr, uint8_t out[64],
                               bool (*progress)(void *ctx, uint64_t done_bytes), void *ctx,
                               struct err *e) {
    enum { SIGN_MINI_PIECE = 1 << 16 };
    uint8_t piece[SIGN_MINI_PIECE];
    struct sign_blake2b s;
    uint64_t done = 0;
    int fd = os_open(path_cstr, OS_READ, e);
    if (fd < 0) return false;
    bool ok = true;
    size_t n = SIGN_MINI_PIECE;
    sign_blake2b_init(&s, 64);
    while (ok && n == SIGN_MINI_PIECE) {
        ok = os_read(fd, piece, sizeof piece, &n, e);
        if (!ok) break;
        sign_blake2b_update(&s, piece, n);
        done += n;
        if (progress && !progress(ctx, done))
            ok = err_set(e, ERR_INTERRUPTED, "stopped while %s was read", path_cstr);
    }
    if (ok) sign_blake2b_final(&s, out, 64);
    os_close(fd);
    return ok;
}
