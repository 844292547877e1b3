/* sign_ssh.c: signature files of OpenSSH (ssh-keygen -Y sign) by Ed25519 keys.
 *
 *   armour    -----BEGIN SSH SIGNATURE----- / base64 in lines / -----END SSH SIGNATURE-----
 *   inside    "SSHSIG", version 1, key, namespace, reserved, name of a hash, signature
 *   signed    "SSHSIG", namespace, reserved, name of the hash, hash of the message
 *
 *  1. The key inside the signature proves nothing: it must be one that the caller trusts.
 *  2. What a line of trusted keys says besides its key limits the key; who does not understand the
 *     limit must not use the key. Such lines are refused, not read past.
 *  ref: OpenSSH PROTOCOL.sshsig; ssh-keygen(1), ALLOWED SIGNERS; RFC 4251 section 5 (strings);
 *  RFC 8709 (Ed25519 keys).
 */
#include "sign/sign_int.h"

#define SIGN_SSH_KIND "ssh-ed25519"
#define SIGN_SSH_BEGIN "-----BEGIN SSH SIGNATURE-----"
#define SIGN_SSH_END "-----END SSH SIGNATURE-----"
enum { SIGN_SSH_VERSION = 1, SIGN_SSH_BLOB = 1024, SIGN_SSH_KEY_BLOB = 51 };

/* ---- strings of the protocol (Private) ---- */

/* The next string: four bytes of length, then so many. */
static bool sign_ssh_string(struct str *rest, struct str *out) {
    if (rest->n < 4) return false;
    const uint8_t *p = (const uint8_t *)rest->p;
    size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (n > rest->n - 4) return false;
    *out = str_sub(*rest, 4, 4 + n);
    *rest = str_sub(*rest, 4 + n, rest->n);
    return true;
}

static void sign_ssh_add(struct buf *out, struct str s) {
    for (int shift = 24; shift >= 0; shift -= 8) buf_add_char(out, (char)(s.n >> shift & 255));
    buf_add(out, s);
}

/* "ssh-ed25519" and n bytes, and nothing behind them. */
static bool sign_ssh_typed(struct str blob, uint8_t *out, size_t n) {
    struct str kind, bytes;
    if (!sign_ssh_string(&blob, &kind) || !str_eq(kind, STR(SIGN_SSH_KIND)) ||
        !sign_ssh_string(&blob, &bytes) || bytes.n != n || blob.n)
        return false;
    memcpy(out, bytes.p, n);
    return true;
}

/* ---- keys ---- */

static struct str sign_ssh_word(struct str *rest) {
    struct str line = str_trim(*rest), word = str_cut(&line, ' ');
    *rest = line;
    return word;
}

/* namespaces="A,B", names and no patterns: *allowed, when one of them is it. */
static bool sign_ssh_spaces(struct str option, struct str space, bool *allowed) {
    struct str begin = STR("namespaces=\"");
    if (option.n <= begin.n || !str_starts(option, begin) || option.p[option.n - 1] != '"')
        return false;
    struct str list = str_sub(option, begin.n, option.n - 1);
    *allowed = false;
    if (str_find_char(list, '"') >= 0 || str_find_char(list, '*') >= 0 ||
        str_find_char(list, '?') >= 0 || str_find_char(list, '!') >= 0)
        return false;
    while (list.n) *allowed = str_eq(str_cut(&list, ','), space) || *allowed;
    return true;
}

/* The line of a public key, or of a list of allowed signers: [PRINCIPALS [OPTIONS]] ssh-ed25519
 * KEY ... */
static bool sign_ssh_key(struct str line, struct str space, struct sign_ssh_public *out,
                         bool *allowed, struct err *e) {
    uint8_t blob[SIGN_SSH_KEY_BLOB];
    size_t n;
    struct str word = sign_ssh_word(&line);
    *allowed = true;
    if (!str_eq(word, STR(SIGN_SSH_KIND))) word = sign_ssh_word(&line);
    if (sign_ssh_spaces(word, space, allowed)) word = sign_ssh_word(&line);
    if (!str_eq(word, STR(SIGN_SSH_KIND))) {
        err_set(e, ERR_UNSUPPORTED, "a line has no " SIGN_SSH_KIND " key where one is read, or "
                                    "something that limits the key");
        return err_hint(e, "one key a line: NAMES ssh-ed25519 AAAA...; of the options, only "
                           "namespaces=\"...\" is understood");
    }
    if (!base64_read(sign_ssh_word(&line), blob, sizeof blob, &n) || n != sizeof blob ||
        !sign_ssh_typed((struct str){ (const char *)blob, n }, out->key, sizeof out->key))
        return err_set(e, ERR_FORMAT, "a line has a damaged " SIGN_SSH_KIND " key");
    return true;
}

MLXK_FN bool sign_ssh_public_is(struct str text) {
    return str_find(text, STR(SIGN_SSH_KIND " AAAA")) >= 0;
}

MLXK_FN bool sign_ssh_public_read(struct str text, struct str space, struct sign_ssh_public *out,
                                  size_t cap, size_t *n, struct err *e) {
    bool allowed;
    *n = 0;
    while (text.n) {
        struct str line = str_trim(str_cut(&text, '\n'));
        if (!line.n || line.p[0] == '#') continue;
        if (*n == cap) return err_set(e, ERR_LIMIT, "it has more than %zu keys", cap);
        if (!sign_ssh_key(line, space, &out[*n], &allowed, e)) return false;
        *n += allowed;
    }
    return *n || err_set(e, ERR_FORMAT, "it has no key for the purpose '" STR_FMT "'",
                         STR_ARG(space));
}

/* Base64 of SHA-256 without its padding, as ssh-keygen -l prints it. */
MLXK_FN void sign_ssh_name(const struct sign_ssh_public *k, char out[51]) {
    struct buf blob, text;
    struct sha256 s;
    uint8_t digest[32];
    buf_init(&blob, 128);
    buf_init(&text, 64);
    sign_ssh_add(&blob, STR(SIGN_SSH_KIND));
    sign_ssh_add(&blob, (struct str){ (const char *)k->key, sizeof k->key });
    sha256_init(&s);
    sha256_update(&s, blob.p, blob.n);
    sha256_final(&s, digest);
    base64_write(&text, digest, sizeof digest);
    memset(out, 0, 51);
    memcpy(out, "SHA256:", 7);
    if (!blob.failed && !text.failed) memcpy(out + 7, text.p, 43);
    buf_release(&text);
    buf_release(&blob);
}

/* ---- signatures ---- */

/* The base64 between the two lines; *n bytes in blob. */
static bool sign_ssh_open(struct str text, uint8_t blob[SIGN_SSH_BLOB], size_t *n) {
    char packed[SIGN_SSH_BLOB * 2];
    size_t at = 0;
    bool ended = false;
    text = str_trim(text);
    if (!str_eq(str_trim(str_cut(&text, '\n')), STR(SIGN_SSH_BEGIN))) return false;
    while (text.n && !ended) {
        struct str line = str_trim(str_cut(&text, '\n'));
        ended = str_eq(line, STR(SIGN_SSH_END));
        if (ended) break;
        if (line.n > sizeof packed - at) return false;
        memcpy(packed + at, line.p, line.n);
        at += line.n;
    }
    return ended && !text.n && base64_read((struct str){ packed, at }, blob, SIGN_SSH_BLOB, n);
}

static bool sign_ssh_fields(struct str rest, struct sign_ssh_signature *out, struct str *space,
                            struct str *hash) {
    struct str key, reserved, signature;
    if (rest.n < 10 || memcmp(rest.p, "SSHSIG\0\0\0", 9) != 0 || rest.p[9] != SIGN_SSH_VERSION)
        return false;
    rest = str_sub(rest, 10, rest.n);
    return sign_ssh_string(&rest, &key) && sign_ssh_string(&rest, space) &&
           sign_ssh_string(&rest, &reserved) && sign_ssh_string(&rest, hash) &&
           sign_ssh_string(&rest, &signature) && !rest.n && !reserved.n &&
           sign_ssh_typed(key, out->by.key, sizeof out->by.key) &&
           sign_ssh_typed(signature, out->signature, sizeof out->signature);
}

MLXK_FN bool sign_ssh_read(struct str text, struct str space, struct sign_ssh_signature *out,
                           struct err *e) {
    uint8_t blob[SIGN_SSH_BLOB];
    struct str is_for, hash;
    size_t n;
    if (!sign_ssh_open(text, blob, &n) ||
        !sign_ssh_fields((struct str){ (const char *)blob, n }, out, &is_for, &hash)) {
        err_set(e, ERR_FORMAT, "it is no signature of OpenSSH by an " SIGN_SSH_KIND " key");
        return err_hint(e, "ssh-keygen -Y sign -n file -f KEY FILE makes one");
    }
    if (!str_eq(is_for, space))
        return err_set(e, ERR_INTEGRITY, "it was made for another purpose than '" STR_FMT "'",
                       STR_ARG(space));
    out->is_sha512 = str_eq(hash, STR("sha512"));
    return out->is_sha512 || str_eq(hash, STR("sha256")) ||
           err_set(e, ERR_UNSUPPORTED, "it names a hash that is neither sha256 nor sha512");
}

MLXK_FN bool sign_ssh_check(const struct sign_ssh_signature *s, struct str space,
                            struct str message, struct err *e) {
    struct buf covered;
    struct sha256 h;
    uint8_t hash[64];
    sha256_init(&h);
    sha256_update(&h, message.p, message.n);
    sha256_final(&h, hash);
    if (s->is_sha512) sign_sha512(message, hash);
    buf_init(&covered, 1024);
    buf_add(&covered, STR("SSHSIG"));
    sign_ssh_add(&covered, space);
    sign_ssh_add(&covered, STR_EMPTY);
    sign_ssh_add(&covered, s->is_sha512 ? STR("sha512") : STR("sha256"));
    sign_ssh_add(&covered, (struct str){ (const char *)hash, s->is_sha512 ? 64 : 32 });
    bool ok = buf_ok(&covered, "what is signed", e) &&
              (sign_ed25519_holds(s->by.key, buf_str(&covered), s->signature) ||
               err_set(e, ERR_INTEGRITY, "the signature does not fit these bytes"));
    buf_release(&covered);
    return ok;
}

#undef SIGN_SSH_KIND
#undef SIGN_SSH_BEGIN
#undef SIGN_SSH_END
