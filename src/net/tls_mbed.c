/* tls_mbed.c: the TLS adapter over mbedTLS (TLS 1.2 and 1.3). The only file that includes it.
 *
 * Verification is the library's: chain to a trust anchor, dates, key usage, name (DNS and IP). IP
 * addresses get no SNI (RFC 6066 section 3), so their name check is a second look at the verified
 * certificate.
 *
 * Invariants
 *  1. No byte of a request leaves before the handshake and all checks are done.
 *  2. A connection that ends without close_notify is an error: its last bytes may be missing.
 *  3. The socket's own error (time-out, interrupt) is told instead of the library's number.
 *  4. A record goes around the library only when it proves to be data; whatever else it
 *     is, or is wrong with it, the library finds it untouched and says so itself.
 */
#include "net/net_int.h"

#include <mbedtls/library/ssl_misc.h>   /* first: it opens the structs of the others */

#include <libsodium/src/libsodium/include/sodium/crypto_scalarmult_curve25519.h>
#include <mbedtls/aes.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/ecp.h>
#include <mbedtls/ecp_products.h>
#include <mbedtls/gcm.h>
#include <mbedtls/gcm_records.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

enum {
    TLS_MBED_SESSIONS = 8,
    TLS_MBED_RECORD = 16384, TLS_MBED_HEADER = 5, TLS_MBED_TAG = 16, TLS_MBED_NONCE = 12,
    TLS_MBED_SEALED = TLS_MBED_RECORD + 256,     /* no record is longer */
    /* taken from the socket at once: eight full records of TLS 1.3, each with its type's byte */
    TLS_MBED_IN = 8 * (TLS_MBED_HEADER + TLS_MBED_RECORD + 1 + TLS_MBED_TAG),
};

struct tls_mbed_seal {
    uint8_t nonce[TLS_MBED_NONCE], covered[8 + TLS_MBED_HEADER];
    size_t n_covered;
};
struct tls_mbed_saved { char host[256]; mbedtls_ssl_session session; bool used; };

struct tls_config {
    mbedtls_ssl_config ssl;
    mbedtls_x509_crt roots;
    struct os_mutex mutex;
    struct tls_mbed_saved saved[TLS_MBED_SESSIONS];
    size_t next_saved;
    bool trusts_all;                     /* see tls_config_trust_all */
};

struct tls {
    mbedtls_ssl_context ssl;
    struct tls_config *config;
    char host[256];
    struct tls_wire wire;
    int64_t deadline_ns;                 /* of the call in hand */
    struct err socket_error;             /* what the socket said when a call failed */
    bool ended;                          /* the socket gave end of file */
    bool hasty;                          /* calls take what is there and do not wait */
    bool judged;                         /* a certificate was looked at: not a resumed session */
    int code;                            /* of a record behind the bytes given last, 0 = none */
    uint8_t *in;                         /* of a client, or NULL: [in_pos, in_n) waits for it */
    size_t in_pos, in_n;
    uint64_t n_records;                  /* that went around the library */
};

struct tls_server {
    mbedtls_ssl_config ssl;
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
};

MLXK_FN const char *tls_library(void) {
    return "mbedTLS " MBEDTLS_VERSION_STRING;
}

MLXK_FN const char *tls_gcm_variant(void) {
    return gcm_variant();
}

/* ---- what the library asks for (Private) ----------------------------------------------------- */

psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context,
                                             uint8_t *output, size_t output_size,
                                             size_t *output_length) {
    (void)context;
    os_entropy(output, output_size);
    *output_length = output_size;
    return PSA_SUCCESS;
}

static int tls_mbed_random(void *ctx, unsigned char *out, size_t n) {
    (void)ctx;
    os_entropy(out, n);
    return 0;
}

static void *tls_mbed_calloc(size_t n, size_t size_bytes) {
    size_t total;
    void *p = num_mul(n, size_bytes, &total) && total ? mem_alloc(total) : NULL;
    if (p) memset(p, 0, total);
    return p;
}

static int64_t tls_mbed_left_ms(const struct tls *t) {
    int64_t left_ms = (t->deadline_ns - os_now_ns()) / 1000000;
    return left_ms > 0 ? left_ms : 0;
}

static int tls_mbed_send(void *ctx, const unsigned char *p, size_t n) {
    struct tls *t = ctx;
    size_t sent;
    err_clear(&t->socket_error);
    bool ok = tls_wire_write(&t->wire, p, n, tls_mbed_left_ms(t), &sent, &t->socket_error);
    if (!ok && t->hasty && t->socket_error.code == ERR_NET_TIMEOUT)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    return ok ? (int)sent : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

/* The library asks twice for each record; the socket is asked once for several. */
static int tls_mbed_receive(void *ctx, unsigned char *p, size_t n) {
    struct tls *t = ctx;
    size_t got = 0;
    err_clear(&t->socket_error);
    if (t->in_pos == t->in_n) {
        t->in_pos = t->in_n = 0;
        if (!tls_wire_read(&t->wire, t->in ? t->in : p, t->in ? TLS_MBED_IN : n,
                           tls_mbed_left_ms(t), &got, &t->socket_error))
            return t->hasty && t->socket_error.code == ERR_NET_TIMEOUT
                       ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
        t->ended = got == 0;
        if (t->ended) return MBEDTLS_ERR_SSL_CONN_EOF;
        if (!t->in) return (int)got;
        t->in_n = got;
    }
    if (n > t->in_n - t->in_pos) n = t->in_n - t->in_pos;
    memcpy(p, t->in + t->in_pos, n);
    t->in_pos += n;
    return (int)n;
}

/* Has a whole record come already? */
static bool tls_mbed_at_hand(const struct tls *t) {
    size_t have = t->in_n - t->in_pos;
    if (have < TLS_MBED_HEADER) return false;
    const uint8_t *head = t->in + t->in_pos;
    return have - TLS_MBED_HEADER >= ((size_t)head[3] << 8 | head[4]);
}

static void tls_mbed_drop(struct tls *t) {
    mbedtls_ssl_free(&t->ssl);
    mem_free(t->in);
    mem_free(t);
}

/* ---- AES-GCM of whole records (what vendor/mbedtls/gcm_records.h asks for) ------------------- */

enum {
    TLS_MBED_GCM_MIN = 48,               /* shorter ones gain nothing, */
    TLS_MBED_GCM_MAX = 1 << 30,          /* longer ones do not come */
};

/* The long middle of a message: whole blocks behind the first, which the library has done (and with
 * it what associated data left over). The library's hash tables hold H alone, in the middle, where
 * it multiplies by instructions; their lower half takes our powers. */
static size_t tls_mbed_gcm_middle(mbedtls_gcm_context *ctx, size_t length,
                                  const unsigned char *input, unsigned char *output) {
    const mbedtls_aes_context *aes = ctx->cipher_ctx.cipher_ctx;
    uint64_t(*table)[2] = ctx->H;
    _Static_assert(sizeof *table * MBEDTLS_GCM_HTABLE_SIZE / 2 == GCM_POWERS_BYTES, "half a table");
    struct gcm_blocks g = {
        .round_keys =
            (const uint8_t *)(aes->buf + aes->rk_offset),
        .powers = (const uint8_t *)table,
        .n_rounds = aes->nr,
        .encrypt = ctx->mode == MBEDTLS_GCM_ENCRYPT,
    };
    memcpy(g.counter, ctx->y, 16);
    memcpy(g.hash, ctx->buf, 16);
    gcm_powers((const uint8_t *)table[MBEDTLS_GCM_HTABLE_SIZE / 2], (uint8_t *)table);
    gcm_run(&g, input, output, length / 16);
    memcpy(ctx->y, g.counter, 16);
    memcpy(ctx->buf, g.hash, 16);
    ctx->len += length & ~(size_t)15;
    return length & ~(size_t)15;
}

/* Instructions in the library too: else its tables are full. */
static bool tls_mbed_gcm_fits(const mbedtls_gcm_context *ctx, size_t length) {
    mbedtls_cipher_type_t type = mbedtls_cipher_get_type(&ctx->cipher_ctx);
    return length >= TLS_MBED_GCM_MIN && length < TLS_MBED_GCM_MAX && gcm_is_fast()
           && ctx->acceleration > 1
           && (type == MBEDTLS_CIPHER_AES_128_ECB || type == MBEDTLS_CIPHER_AES_192_ECB
               || type == MBEDTLS_CIPHER_AES_256_ECB);
}

int tls_mbed_gcm_crypt(mbedtls_gcm_context *ctx, int mode, size_t length, const unsigned char *iv,
                       size_t iv_len, const unsigned char *add, size_t add_len,
                       const unsigned char *input, unsigned char *output, size_t tag_len,
                       unsigned char *tag) {
    size_t n = 0, done = 16;
    if (!tls_mbed_gcm_fits(ctx, length))
        return mbedtls_gcm_crypt_and_tag(ctx, mode, length, iv, iv_len, add, add_len, input, output,
                                         tag_len, tag);
    if (output > input && (size_t)(output - input) < length) return MBEDTLS_ERR_GCM_BAD_INPUT;
    int code = mbedtls_gcm_starts(ctx, mode, iv, iv_len);
    if (code == 0) code = mbedtls_gcm_update_ad(ctx, add, add_len);
    if (code == 0) code = mbedtls_gcm_update(ctx, input, done, output, done, &n);
    if (code != 0) return code;
    done += tls_mbed_gcm_middle(ctx, length - done, input + done, output + done);
    code = mbedtls_gcm_update(ctx, input + done, length - done, output + done, length - done, &n);
    return code != 0 ? code : mbedtls_gcm_finish(ctx, NULL, 0, &n, tag, tag_len);
}

int tls_mbed_gcm_decrypt(mbedtls_gcm_context *ctx, size_t length, const unsigned char *iv,
                         size_t iv_len, const unsigned char *add, size_t add_len,
                         const unsigned char *tag, size_t tag_len, const unsigned char *input,
                         unsigned char *output) {
    unsigned char right[16];
    if (tag_len > sizeof right) return MBEDTLS_ERR_GCM_BAD_INPUT;
    int code = tls_mbed_gcm_crypt(ctx, MBEDTLS_GCM_DECRYPT, length, iv, iv_len, add, add_len, input,
                                  output, tag_len, right);
    if (code != 0) return code;
    if (mbedtls_ct_memcmp(tag, right, tag_len) == 0) return 0;
    mbedtls_platform_zeroize(output, length);
    return MBEDTLS_ERR_GCM_AUTH_FAILED;
}

/* ---- products of key agreement (what vendor/mbedtls/ecp_products.h asks for) ----------------- */

int tls_mbed_ecp_mul(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m,
                     const mbedtls_ecp_point *P, int (*f_rng)(void *, unsigned char *, size_t),
                     void *p_rng) {
    uint8_t number[32], point[32], out[32];
    if (grp->id != MBEDTLS_ECP_DP_CURVE25519) return mbedtls_ecp_mul(grp, R, m, P, f_rng, p_rng);
    int code = mbedtls_ecp_check_privkey(grp, m);
    if (code == 0) code = mbedtls_ecp_check_pubkey(grp, P);
    if (code == 0) code = mbedtls_mpi_write_binary_le(m, number, sizeof number);
    if (code == 0) code = mbedtls_mpi_write_binary_le(&P->X, point, sizeof point);
    if (code != 0) return code;
    bool secret = crypto_scalarmult_curve25519(out, number, point) == 0; /* RFC 7748 section 6.1 */
    mbedtls_platform_zeroize(number, sizeof number);
    if (!secret) return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    code = mbedtls_mpi_read_binary_le(&R->X, out, sizeof out);
    mbedtls_platform_zeroize(out, sizeof out);
    mbedtls_mpi_free(&R->Y);
    return code != 0 ? code : mbedtls_mpi_lset(&R->Z, 1);
}

int tls_mbed_ecp_mul_restartable(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m,
                                 const mbedtls_ecp_point *P,
                                 int (*f_rng)(void *, unsigned char *, size_t), void *p_rng,
                                 mbedtls_ecp_restart_ctx *rs_ctx) {
    (void)rs_ctx;                                /* not built in: it is NULL */
    return tls_mbed_ecp_mul(grp, R, m, P, f_rng, p_rng);
}

/* ---- trust (Public) -------------------------------------------------------------------------- */

static bool tls_mbed_embedded(struct tls_config *c, struct err *e) {
    size_t n;
    const uint8_t *der;
    for (size_t i = 0; (der = net_root_at(i, &n)) != NULL; i++)
        if (mbedtls_x509_crt_parse_der_nocopy(&c->roots, der, n) != 0)
            return err_set(e, ERR_TLS, "embedded trust anchor %zu cannot be read", i);
    return true;
}

static bool tls_mbed_has(const struct tls_config *c, const uint8_t *der, size_t n) {
    const mbedtls_x509_crt *x = &c->roots;
    while (x && (x->raw.len != n || memcmp(x->raw.p, der, n) != 0)) x = x->next;
    return x != NULL;
}

/* One certificate of a PEM text that holds nothing else between its lines, by way of scratch, which
 * is as large as the text. The library's reader does not let the time depend on the text, which
 * takes it a hundred instructions a character; certificates are no secrets. */
static bool tls_mbed_pem(struct tls_config *c, struct str body, char *scratch) {
    size_t n = 0, size_bytes;
    for (size_t i = 0; i < body.n; i++)
        if (body.p[i] != '\n' && body.p[i] != '\r' && body.p[i] != ' ') scratch[n++] = body.p[i];
    uint8_t *der = (uint8_t *)scratch;           /* it is never ahead of what is read */
    if (!n || !base64_read((struct str){ scratch, n }, der, n, &size_bytes)) return false;
    if (!tls_mbed_has(c, der, size_bytes))
        (void)mbedtls_x509_crt_parse_der(&c->roots, der, size_bytes);
    return true;
}

/* PEM or DER; what cannot be parsed is passed over. The NUL behind the text counts for PEM. */
static void tls_mbed_add(void *ctx, struct str pem) {
    struct tls_config *c = ctx;
    struct str begin = STR("-----BEGIN CERTIFICATE-----"), end = STR("-----END CERTIFICATE-----");
    struct str rest = pem;
    char *scratch = mem_alloc(pem.n + 1);
    ptrdiff_t at, to;
    bool plain = scratch && str_find(pem, begin) >= 0;
    while (plain && (at = str_find(rest, begin)) >= 0) {
        rest = str_sub(rest, (size_t)at + begin.n, rest.n);
        to = str_find(rest, end);
        plain = to >= 0 && tls_mbed_pem(c, str_sub(rest, 0, (size_t)to), scratch);
    }
    mem_free(scratch);
    if (plain) return;
    (void)mbedtls_x509_crt_parse(&c->roots, (const unsigned char *)pem.p, pem.n + 1);
}

static bool tls_mbed_trust(struct tls_config *c, const char *file_cstr, const char *dir_cstr,
                           struct err *e) {
    if (!file_cstr && !dir_cstr) return tls_mbed_embedded(c, e);
    if (!net_roots_each(file_cstr, dir_cstr, tls_mbed_add, c, e)) return false;
    if (c->roots.version) return true;
    err_set(e, ERR_TLS, "%s holds no usable certificate", file_cstr ? file_cstr : dir_cstr);
    return err_hint(e, "SSL_CERT_FILE names a PEM file, SSL_CERT_DIR a folder of them");
}

/* What we offer, best first: AES where the processor has instructions for it, else ChaCha20. The
 * library would begin with ChaCha20 everywhere, which takes ten times as long as AES by
 * instructions. */
static const int *tls_mbed_suites(void) {
    static const int with_aes[] = {
        MBEDTLS_TLS1_3_AES_128_GCM_SHA256, MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
        MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, 0,
    };
    static const int without[] = {
        MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
        MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, 0,
    };
    return gcm_is_fast() ? with_aes : without;
}

/* Once per process, by whatever thread comes first; the others wait. */
static bool tls_mbed_begin(void) {
    enum { TLS_MBED_NEVER, TLS_MBED_BUSY, TLS_MBED_DONE };
    static int state;
    for (;;) {
        int seen = TLS_MBED_NEVER;
        if (__atomic_compare_exchange_n(&state, &seen, TLS_MBED_BUSY, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_ACQUIRE))
            break;
        if (seen == TLS_MBED_DONE) return true;
        os_sleep_ms(1);
    }
    bool ok = mbedtls_platform_set_calloc_free(tls_mbed_calloc, mem_free) == 0
              && psa_crypto_init() == PSA_SUCCESS;
    (void)mbedtls_ssl_list_ciphersuites();    /* makes its list when first asked, without a lock */
    __atomic_store_n(&state, ok ? TLS_MBED_DONE : TLS_MBED_NEVER, __ATOMIC_RELEASE);
    return ok;
}

static bool tls_mbed_start(mbedtls_ssl_config *ssl, int endpoint, struct err *e) {
    static const char *const alpn[] = { "http/1.1", NULL };
    bool ok = tls_mbed_begin()
              && mbedtls_ssl_config_defaults(ssl, endpoint,
                                             MBEDTLS_SSL_TRANSPORT_STREAM,
                                             MBEDTLS_SSL_PRESET_DEFAULT)
                     == 0
              && mbedtls_ssl_conf_alpn_protocols(ssl, (const char **)(uintptr_t)alpn) == 0;
    if (ok) mbedtls_ssl_conf_ciphersuites(ssl, tls_mbed_suites());
    return ok || err_set(e, ERR_TLS, "TLS could not be started");
}

MLXK_FN struct tls_config *tls_config_open(const char *ca_file_cstr, const char *ca_dir_cstr,
                                           struct err *e) {
    struct tls_config *c = mem_alloc(sizeof *c);
    if (!c) { err_oom(e, sizeof *c, "TLS"); return NULL; }
    memset(c, 0, sizeof *c);
    mbedtls_ssl_config_init(&c->ssl);
    mbedtls_x509_crt_init(&c->roots);
    os_mutex_init(&c->mutex);
    bool ok = tls_mbed_start(&c->ssl, MBEDTLS_SSL_IS_CLIENT, e);
    ok = ok && tls_mbed_trust(c, ca_file_cstr, ca_dir_cstr, e);
    if (!ok) { tls_config_close(c); return NULL; }
    mbedtls_ssl_conf_rng(&c->ssl, tls_mbed_random, NULL);
    mbedtls_ssl_conf_authmode(&c->ssl, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(&c->ssl, &c->roots, NULL);
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        &c->ssl, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
    return c;
}

MLXK_FN void tls_config_trust_all(struct tls_config *c) {
    c->trusts_all = true;
    mbedtls_ssl_conf_authmode(&c->ssl, MBEDTLS_SSL_VERIFY_OPTIONAL);
}

MLXK_FN void tls_config_close(struct tls_config *c) {
    if (!c) return;
    for (int i = 0; i < TLS_MBED_SESSIONS; i++)
        if (c->saved[i].used) mbedtls_ssl_session_free(&c->saved[i].session);
    mbedtls_ssl_config_free(&c->ssl);
    mbedtls_x509_crt_free(&c->roots);
    mem_free(c);
}

/* ---- saved sessions (Private) ---------------------------------------------------------------- */

static void tls_mbed_resume(struct tls *t) {
    struct tls_config *c = t->config;
    os_mutex_lock(&c->mutex);
    for (int i = 0; i < TLS_MBED_SESSIONS; i++)
        if (c->saved[i].used && strcmp(c->saved[i].host, t->host) == 0)
            (void)mbedtls_ssl_set_session(&t->ssl, &c->saved[i].session);
    os_mutex_unlock(&c->mutex);
}

static void tls_mbed_save(struct tls *t) {
    struct tls_config *c = t->config;
    os_mutex_lock(&c->mutex);
    size_t slot = c->next_saved % TLS_MBED_SESSIONS;
    for (size_t i = 0; i < TLS_MBED_SESSIONS; i++)
        if (c->saved[i].used && strcmp(c->saved[i].host, t->host) == 0) slot = i;
    struct tls_mbed_saved *s = &c->saved[slot];
    if (s->used) mbedtls_ssl_session_free(&s->session);
    mbedtls_ssl_session_init(&s->session);
    s->used = mbedtls_ssl_get_session(&t->ssl, &s->session) == 0;
    if (!s->used) mbedtls_ssl_session_free(&s->session);
    memcpy(s->host, t->host, sizeof s->host);
    if (slot == c->next_saved % TLS_MBED_SESSIONS) c->next_saved++;
    os_mutex_unlock(&c->mutex);
}

/* ---- errors (Private) ------------------------------------------------------------------------ */

static const char *tls_mbed_check(uint32_t flags) {
    static const struct { uint32_t flag; const char *text_cstr; } checks[] = {
        { MBEDTLS_X509_BADCERT_CN_MISMATCH, "it is for another name" },
        { MBEDTLS_X509_BADCERT_EXPIRED, "it has expired" },
        { MBEDTLS_X509_BADCERT_FUTURE, "it is not valid yet" },
        { MBEDTLS_X509_BADCERT_REVOKED, "it was revoked" },
        { MBEDTLS_X509_BADCERT_NOT_TRUSTED, "no trusted authority signed it" },
        { MBEDTLS_X509_BADCERT_BAD_MD, "it is signed with a hash that is too weak" },
        { MBEDTLS_X509_BADCERT_BAD_KEY, "its key is too weak" },
        { MBEDTLS_X509_BADCERT_KEY_USAGE, "its key may not be used for this" },
        { MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, "it may not be used by a server" },
    };
    for (size_t i = 0; i < MLXK_COUNT(checks); i++)
        if (flags & checks[i].flag) return checks[i].text_cstr;
    return "it failed verification";
}

static bool tls_mbed_certificate(const struct tls *t, uint32_t flags, struct err *e) {
    err_set(e, ERR_TLS, "the certificate of %s is refused: %s", t->host, tls_mbed_check(flags));
    return err_hint(
        e,
        flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED
            ? "if this network uses an authority of its own, name its certificate in SSL_CERT_FILE"
            : "check the clock, the address, and who answers there");
}

/* Codes of certificates that cannot be read have another one, of the part, in their last bits. */
static const char *tls_mbed_unread(int code) {
    switch (-(-code & ~0x7f)) {
    case MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG:
        return "its certificate is signed in a way that is too weak or unknown";
    case MBEDTLS_ERR_X509_INVALID_EXTENSIONS:
        return "its certificate has an extension that is malformed, or critical and unknown";
    default: return "its certificate is malformed";
    }
}

static const char *tls_mbed_reason(int code) {
    if (code <= MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE && code > MBEDTLS_ERR_X509_FATAL_ERROR)
        return tls_mbed_unread(code);
    switch (code) {
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE: return "the server refused it with an alert";
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
        return "the server speaks only other versions than 1.2 and 1.3";
    case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE: return "no common cipher or key";
    case MBEDTLS_ERR_SSL_INVALID_RECORD: return "what answers there does not speak TLS";
    case MBEDTLS_ERR_SSL_INVALID_MAC: return "a record was damaged on its way";
    case MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE: return "a message came that does not belong there";
    case MBEDTLS_ERR_SSL_DECODE_ERROR: return "a message is malformed";
    case MBEDTLS_ERR_SSL_ALLOC_FAILED: return "out of memory";
    default: return "the library gave no reason";
    }
}

static bool tls_mbed_error(struct tls *t, int code, const char *doing_cstr, struct err *e) {
    if (t->socket_error.code != ERR_OK) { *e = t->socket_error; return false; }
    if (t->ended || code == MBEDTLS_ERR_SSL_CONN_EOF)
        return err_set(e, ERR_NET, "%s closed the connection in the middle of TLS", t->host);
    err_set(e, ERR_TLS, "TLS with %s failed while %s: %s (-0x%04x)", t->host, doing_cstr,
            tls_mbed_reason(code), (unsigned)-code);
    return code == MBEDTLS_ERR_SSL_INVALID_RECORD
           ? err_hint(e, "look at the address: is it one of http://, or that of a proxy?") : false;
}

/* ---- connections (Public) -------------------------------------------------------------------- */

static int tls_mbed_judged(void *ctx, mbedtls_x509_crt *crt, int depth, uint32_t *flags) {
    (void)crt, (void)depth, (void)flags;
    ((struct tls *)ctx)->judged = true;
    return 0;
}

/* Is the address among those of the certificate? The library would also take it for a name, and
 * DNS:*.0.2.1 for one of 192.0.2.1 (RFC 9110 section 4.3.4 does not). */
static bool tls_mbed_is_for(const mbedtls_x509_crt *crt, const uint8_t *ip, size_t n) {
    for (const mbedtls_x509_sequence *x = &crt->subject_alt_names; x; x = x->next)
        if ((x->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_IP_ADDRESS
            && x->buf.len == n && memcmp(x->buf.p, ip, n) == 0)
            return true;
    return false;
}

/* ip: of a server without a name, n_ip bytes of it; its chain is verified as any other. */
static bool tls_mbed_handshake(struct tls *t, const uint8_t *ip, size_t n_ip, struct err *e) {
    int code;
    while ((code = mbedtls_ssl_handshake(&t->ssl)) != 0) {
        if (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) continue;
        uint32_t flags = mbedtls_ssl_get_verify_result(&t->ssl);
        bool judged = code == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED
                      || code == MBEDTLS_ERR_SSL_BAD_CERTIFICATE;
        if (judged && flags && flags != UINT32_MAX)
            return tls_mbed_certificate(t, flags, e);
        return tls_mbed_error(t, code, "shaking hands", e);
    }
    const mbedtls_x509_crt *peer = mbedtls_ssl_get_peer_cert(&t->ssl);
    bool look = n_ip && t->judged && !t->config->trusts_all; /* resumed: was looked at before */
    if (look && !(peer && tls_mbed_is_for(peer, ip, n_ip)))
        return tls_mbed_certificate(t, MBEDTLS_X509_BADCERT_CN_MISMATCH, e);
    if (mbedtls_ssl_get_version_number(&t->ssl) == MBEDTLS_SSL_VERSION_TLS1_2) tls_mbed_save(t);
    return true;
}

MLXK_FN struct tls *tls_connect(struct tls_config *c, const struct tls_wire *wire, struct str host,
                                int64_t timeout_ms, struct err *e) {
    struct tls *t = mem_alloc(sizeof *t);
    if (!t) { err_oom(e, sizeof *t, "a TLS connection"); return NULL; }
    memset(t, 0, sizeof *t);
    t->config = c;
    t->wire = *wire;
    t->deadline_ns = os_now_ns() + timeout_ms * 1000000;
    memcpy(t->host, host.p, host.n < sizeof t->host ? host.n : sizeof t->host - 1);
    t->in = mem_alloc(TLS_MBED_IN);      /* without it records are read one by one */
    uint8_t ip[16];
    size_t n_ip = net_ip_bytes(host, ip);
    mbedtls_ssl_init(&t->ssl);
    int code = mbedtls_ssl_setup(&t->ssl, &c->ssl);
    if (code == 0) code = mbedtls_ssl_set_hostname(&t->ssl, n_ip ? NULL : t->host);
    mbedtls_ssl_set_verify(&t->ssl, tls_mbed_judged, t);
    mbedtls_ssl_set_bio(&t->ssl, t, tls_mbed_send, tls_mbed_receive, NULL);
    if (code == 0) tls_mbed_resume(t);
    if (code != 0 ? tls_mbed_error(t, code, "starting", e)
                  : tls_mbed_handshake(t, ip, n_ip, e))
        return t;
    tls_mbed_drop(t);
    return NULL;
}

/* ---- records of data, straight to where they are wanted (Private) ---------------------------- */

/* The library holds no part of a record or message: the next byte that came begins a record. */
static bool tls_mbed_between(const struct tls *t) {
    const mbedtls_ssl_context *s = &t->ssl;
    return t->in && s->state == MBEDTLS_SSL_HANDSHAKE_OVER
           && s->transform_in && !s->in_left
           && !s->in_msglen && !s->in_hslen
           && !s->badmac_seen_or_in_hsfraglen && !s->in_offt
           && !s->keep_current_message;
}

/* The nonce of a record and what its tag covers beside the text; returns the bytes of the nonce
 * that the record brings itself. ref: RFC 8446 sections 5.2, 5.3; RFC 5246 section 6.2.3.3 with
 * RFC 5288 section 3 (AES-GCM) and RFC 7905 section 2 (ChaCha20) */
static size_t tls_mbed_envelope(const struct tls *t, const uint8_t *record, size_t n,
                                struct tls_mbed_seal *out) {
    const struct mbedtls_ssl_transform *x = t->ssl.transform_in;
    const uint8_t *sequence = t->ssl.in_ctr;
    size_t brought = x->ivlen - x->fixed_ivlen, text = n - brought - TLS_MBED_TAG;
    memcpy(out->nonce, x->iv_dec, sizeof out->nonce);
    if (brought)
        memcpy(out->nonce + x->fixed_ivlen, record + TLS_MBED_HEADER, brought);
    else
        for (size_t i = 0; i < 8; i++) out->nonce[TLS_MBED_NONCE - 8 + i] ^= sequence[i];
    bool counts = t->ssl.tls_version != MBEDTLS_SSL_VERSION_TLS1_3;
    if (counts) memcpy(out->covered, sequence, 8);
    out->n_covered = counts ? 8 : 0;
    memcpy(out->covered + out->n_covered, record, TLS_MBED_HEADER);
    out->n_covered += TLS_MBED_HEADER;
    if (!counts) return brought;
    out->covered[out->n_covered - 2] = (uint8_t)(text >> 8);
    out->covered[out->n_covered - 1] = (uint8_t)text;
    return brought;
}

/* Opens n bytes behind the header at record into p: the text, of TLS 1.3 with its type and zeros.
 * 0 = it is no data, or not right; then p holds zeros. ref: RFC 8446 section 5.4 */
static size_t tls_mbed_unseal(struct tls *t, const uint8_t *record, size_t n, uint8_t *p) {
    struct mbedtls_ssl_transform *x = t->ssl.transform_in;
    struct tls_mbed_seal seal;
    size_t brought = tls_mbed_envelope(t, record, n, &seal), all = n - brought - TLS_MBED_TAG;
    size_t open = 0;
    if (mbedtls_cipher_auth_decrypt_ext(&x->cipher_ctx_dec, seal.nonce, sizeof seal.nonce,
                                        seal.covered, seal.n_covered,
                                        record + TLS_MBED_HEADER + brought, n - brought, p, all,
                                        &open, TLS_MBED_TAG) != 0) {
        mbedtls_platform_zeroize(p, all);
        return 0;
    }
    bool data = true;
    if (t->ssl.tls_version == MBEDTLS_SSL_VERSION_TLS1_3) {
        while (open && p[open - 1] == 0) open--;
        data = open > 0 && p[--open] == MBEDTLS_SSL_MSG_APPLICATION_DATA;
    }
    if (data && open && open <= TLS_MBED_RECORD) return open;
    mbedtls_platform_zeroize(p, all);
    return 0;
}

/* The record that has come, when it is one of data and has room in p; 0 = it is the library's. */
static size_t tls_mbed_take(struct tls *t, uint8_t *p, size_t room) {
    if (!tls_mbed_between(t) || !tls_mbed_at_hand(t)) return 0;
    const uint8_t *record = t->in + t->in_pos;
    const struct mbedtls_ssl_transform *x = t->ssl.transform_in;
    uint8_t *sequence = t->ssl.in_ctr;
    size_t n = (size_t)record[3] << 8 | record[4];
    size_t around = TLS_MBED_TAG + x->ivlen - x->fixed_ivlen;
    bool fits = record[0] == MBEDTLS_SSL_MSG_APPLICATION_DATA && record[1] == 3 && record[2] == 3
                && x->taglen == TLS_MBED_TAG && x->ivlen == TLS_MBED_NONCE
                && (x->fixed_ivlen == TLS_MBED_NONCE || x->fixed_ivlen == TLS_MBED_NONCE - 8)
                && n > around + 1 && n - around <= room && n - around <= TLS_MBED_RECORD + 1
                && sequence[0] != UINT8_MAX;     /* what comes before the end of all numbers */
    size_t done = fits ? tls_mbed_unseal(t, record, n, p) : 0;
    if (!done) return 0;
    for (int i = 7; i >= 0 && ++sequence[i] == 0; i--) {
    }
    t->ssl.nb_zero = 0;
    t->n_records++;
    t->in_pos += TLS_MBED_HEADER + n;
    return done;
}

/* A record has begun, or none has, and may still become one of data that is whole. */
static bool tls_mbed_awaits(const struct tls *t) {
    if (!tls_mbed_between(t)) return false;
    if (t->in_n - t->in_pos < TLS_MBED_HEADER) return true;
    const uint8_t *head = t->in + t->in_pos;
    bool data = head[0] == MBEDTLS_SSL_MSG_APPLICATION_DATA && head[1] == 3 && head[2] == 3;
    return data && !tls_mbed_at_hand(t) && ((size_t)head[3] << 8 | head[4]) <= TLS_MBED_SEALED;
}

/* Until a whole record has come. False: as tls_wire_read, or the other side has ended. */
static bool tls_mbed_gather(struct tls *t, struct err *e) {
    while (tls_mbed_awaits(t)) {
        size_t got = 0, have = t->in_n - t->in_pos;
        if (have) memmove(t->in, t->in + t->in_pos, have);
        t->in_pos = 0;
        t->in_n = have;
        if (!tls_wire_read(&t->wire, t->in + have, TLS_MBED_IN - have, tls_mbed_left_ms(t), &got,
                           e))
            return false;
        t->in_n += got;
        t->ended = got == 0;
        if (t->ended) return err_set(e, ERR_NET, "%s closed the connection in the middle of TLS",
                                     t->host);
    }
    return true;
}

/* More records into p, as far as they have come and room for a whole one is left. */
static size_t tls_mbed_read_on(struct tls *t, uint8_t *p, size_t n) {
    size_t done = 0, direct;
    t->hasty = true;
    t->deadline_ns = os_now_ns();
    while (t->code == 0 && n - done >= TLS_MBED_RECORD && tls_mbed_at_hand(t)) {
        if ((direct = tls_mbed_take(t, p + done, n - done)) > 0) { done += direct; continue; }
        int code = mbedtls_ssl_read(&t->ssl, p + done, n - done);
        if (code > 0) { done += (size_t)code; continue; }
        if (code == 0) break;
        if (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) { tls_mbed_save(t); continue; }
        if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE) break;
        t->code = code;
    }
    t->hasty = false;
    return done;
}

MLXK_FN bool tls_read(struct tls *t, void *p, size_t n, int64_t timeout_ms, size_t *n_done,
                      struct err *e) {
    *n_done = 0;
    t->deadline_ns = os_now_ns() + timeout_ms * 1000000;
    for (;;) {
        if (!t->code && !tls_mbed_gather(t, e)) return false;
        int code = t->code ? t->code : (int)tls_mbed_take(t, p, n);
        if (code == 0) code = mbedtls_ssl_read(&t->ssl, p, n);
        t->code = 0;
        if (code > 0) {
            *n_done = (size_t)code;
            *n_done += tls_mbed_read_on(t, (uint8_t *)p + code, n - (size_t)code);
            return true;
        }
        if (code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) return true;
        if (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) { tls_mbed_save(t); continue; }
        if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE) continue;
        return tls_mbed_error(t, code, "answering", e);
    }
}

MLXK_FN bool tls_write(struct tls *t, const void *p, size_t n, int64_t timeout_ms, size_t *n_done,
                       struct err *e) {
    t->deadline_ns = os_now_ns() + timeout_ms * 1000000;
    for (;;) {
        int code = mbedtls_ssl_write(&t->ssl, p, n);
        if (code >= 0) { *n_done = (size_t)code; return true; }
        if (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) { tls_mbed_save(t); continue; }
        if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE) continue;
        return tls_mbed_error(t, code, "listening", e);
    }
}

MLXK_FN bool tls_pending(const struct tls *t) {
    return mbedtls_ssl_get_bytes_avail(&t->ssl) > 0 || t->in_pos < t->in_n || t->code != 0;
}

MLXK_FN bool tls_ended(const struct tls *t) {
    return t->ended;
}

MLXK_FN void tls_close(struct tls *t) {
    if (!t) return;
    t->deadline_ns = os_now_ns();        /* a farewell is polite, waiting for room for it is not */
    (void)mbedtls_ssl_close_notify(&t->ssl);
    log_write(LOG_DEBUG, "%s with %s: %llu records of data went around the library",
              mbedtls_ssl_get_version(&t->ssl), t->host, (unsigned long long)t->n_records);
    tls_mbed_drop(t);
}

/* ---- the server's side (Public) -------------------------------------------------------------- */

static bool tls_mbed_file(struct arena *a, const char *path_cstr, struct str *out, struct err *e) {
    return os_read_file(a, path_cstr, (size_t)1 << 20, out, e);
}

static bool tls_mbed_identity(struct tls_server *s, struct str cert, struct str key,
                              const char *cert_cstr, const char *key_cstr, struct err *e) {
    /* the NUL behind the text counts for PEM */
    if (mbedtls_x509_crt_parse(&s->chain, (const unsigned char *)cert.p, cert.n + 1) != 0)
        return err_set(e, ERR_TLS, "%s holds no usable certificate", cert_cstr);
    if (mbedtls_pk_parse_key(&s->key, (const unsigned char *)key.p, key.n + 1, NULL, 0,
                             tls_mbed_random, NULL)
        != 0)
        return !err_set(e, ERR_TLS, "%s holds no usable private key", key_cstr)
               && err_hint(e, "it is a PEM file without a password, RSA or EC");
    if (mbedtls_pk_check_pair(&s->chain.pk, &s->key, tls_mbed_random, NULL) != 0)
        return err_set(e, ERR_TLS, "the key in %s does not belong to the certificate in %s",
                       key_cstr, cert_cstr);
    return mbedtls_ssl_conf_own_cert(&s->ssl, &s->chain, &s->key) == 0
           || err_set(e, ERR_TLS, "the certificate in %s cannot be used", cert_cstr);
}

MLXK_FN struct tls_server *tls_server_open(const char *cert_file_cstr, const char *key_file_cstr,
                                           struct err *e) {
    struct tls_server *s = mem_alloc(sizeof *s);
    struct arena a;
    struct str cert, key;
    if (!s) { err_oom(e, sizeof *s, "TLS"); return NULL; }
    arena_init(&a, (size_t)4 << 20);
    mbedtls_ssl_config_init(&s->ssl);
    mbedtls_x509_crt_init(&s->chain);
    mbedtls_pk_init(&s->key);
    bool ok = tls_mbed_start(&s->ssl, MBEDTLS_SSL_IS_SERVER, e);
    mbedtls_ssl_conf_rng(&s->ssl, tls_mbed_random, NULL);
    ok = ok && tls_mbed_file(&a, cert_file_cstr, &cert, e)
         && tls_mbed_file(&a, key_file_cstr, &key, e)
         && tls_mbed_identity(s, cert, key, cert_file_cstr, key_file_cstr, e);
    arena_release(&a);
    if (ok) return s;
    tls_server_close(s);
    return NULL;
}

MLXK_FN void tls_server_close(struct tls_server *s) {
    if (!s) return;
    mbedtls_ssl_config_free(&s->ssl);
    mbedtls_x509_crt_free(&s->chain);
    mbedtls_pk_free(&s->key);
    mem_free(s);
}

MLXK_FN struct tls *tls_accept(struct tls_server *s, int fd, struct err *e) {
    struct tls *t = mem_alloc(sizeof *t);
    if (!t) { err_oom(e, sizeof *t, "a TLS connection"); return NULL; }
    memset(t, 0, sizeof *t);
    t->wire.fd = fd;
    memcpy(t->host, "the client", sizeof "the client");
    mbedtls_ssl_init(&t->ssl);
    int code = mbedtls_ssl_setup(&t->ssl, &s->ssl);
    mbedtls_ssl_set_bio(&t->ssl, t, tls_mbed_send, tls_mbed_receive, NULL);
    if (code == 0) return t;
    tls_mbed_error(t, code, "starting", e);
    tls_mbed_drop(t);
    return NULL;
}

MLXK_FN enum tls_step tls_accept_step(struct tls *t, struct err *e) {
    t->hasty = true;
    t->deadline_ns = os_now_ns();
    int code = mbedtls_ssl_handshake(&t->ssl);
    t->hasty = false;
    if (code == 0) return TLS_DONE;
    if (code == MBEDTLS_ERR_SSL_WANT_READ) return TLS_WANT_READ;
    if (code == MBEDTLS_ERR_SSL_WANT_WRITE) return TLS_WANT_WRITE;
    tls_mbed_error(t, code, "shaking hands", e);
    return TLS_FAILED;
}

MLXK_FN bool tls_try_read(struct tls *t, void *p, size_t n, size_t *n_done, bool *again,
                          struct err *e) {
    t->hasty = true;
    t->deadline_ns = os_now_ns();
    int code = mbedtls_ssl_read(&t->ssl, p, n);
    t->hasty = false;
    *n_done = code > 0 ? (size_t)code : 0;
    *again = code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE;
    return code > 0 || *again || code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY
           || tls_mbed_error(t, code, "listening", e);
}
