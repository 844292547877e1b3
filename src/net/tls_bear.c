/* tls_bear.c: the TLS adapter over BearSSL (TLS 1.2). The only file that includes it.
 *
 * Verification is the library's: chain to a trust anchor, dates, key usage, DNS name. It knows no
 * IP addresses in certificates, so its verifier is wrapped: the leaf is kept as it passes, and
 * for an address the subjectAltName is searched here, before the handshake goes on.
 *
 * Invariants
 *  1. No byte of a request leaves before the handshake and all checks are done.
 *  2. A connection that ends without close_notify is an error: its last bytes may be missing.
 *  3. The socket's own error (time-out, interrupt) is told instead of the library's number.
 * ref: RFC 5246, RFC 5280 section 4.2.1.6.
 */
#include "net/net_int.h"

#include <bearssl.h>

enum { TLS_BEAR_SESSIONS = 8, TLS_BEAR_MAX_CERT = 16384, TLS_BEAR_MAX_ANCHORS = 4096,
       TLS_BEAR_MAX_CHAIN = 16, TLS_BEAR_MIN_RSA = 256 /* bytes */ };
#define TLS_BEAR_ANCHOR_BYTES ((size_t)32 << 20)

struct tls_bear_saved { char host[256]; br_ssl_session_parameters session; bool used; };

struct tls_config {
    struct arena arena;                  /* names and keys of the anchors */
    br_x509_trust_anchor *anchors;
    size_t n_anchors;
    bool failed;                         /* out of memory while they were read */
    bool trusts_all;
    struct os_mutex mutex;
    struct tls_bear_saved saved[TLS_BEAR_SESSIONS];
    size_t next_saved;
};

/* BearSSL's verifier with a look at the leaf. The vtable comes first: the library casts. */
struct tls_bear_verifier {
    const br_x509_class *vtable;
    br_x509_minimal_context inner;
    uint8_t ip[16];
    size_t ip_n;                         /* 0 = a DNS name is checked, by the library */
    bool trusts_all;
    size_t n_certs, leaf_n;
    uint8_t leaf[TLS_BEAR_MAX_CERT];
};

struct tls {
    union { br_ssl_client_context client; br_ssl_server_context server; }; /* both begin with eng */
    struct tls_bear_verifier verifier;
    struct tls_config *config;
    char host[256];
    struct tls_wire wire;
    bool ended;                          /* the socket gave end of file */
    unsigned char io[BR_SSL_BUFSIZE_BIDI];
};

MLXK_FN const char *tls_library(void) {
    return "BearSSL 0.6";
}

MLXK_FN const char *tls_gcm_variant(void) {
    return "library";                    /* it chooses instructions itself and does not say which */
}

/* ---- trust (Public) -------------------------------------------------------------------------- */

static void tls_bear_name_add(void *ctx, const void *p, size_t n) {
    buf_add_bytes(ctx, p, n);
}

static const unsigned char *tls_bear_keep(struct arena *a, const void *p, size_t n) {
    unsigned char *copy = arena_alloc(a, n, 1);
    if (copy) memcpy(copy, p, n);
    return copy;
}

/* The library wants writable pointers where it only reads. */
static unsigned char *tls_bear_plain(const unsigned char *p) {
    return (unsigned char *)(uintptr_t)p;
}

static bool tls_bear_key(struct arena *a, const br_x509_pkey *key, br_x509_pkey *out) {
    *out = *key;
    if (key->key_type == BR_KEYTYPE_RSA) {
        out->key.rsa.n = tls_bear_plain(tls_bear_keep(a, key->key.rsa.n, key->key.rsa.nlen));
        out->key.rsa.e = tls_bear_plain(tls_bear_keep(a, key->key.rsa.e, key->key.rsa.elen));
        return out->key.rsa.n && out->key.rsa.e;
    }
    out->key.ec.q = tls_bear_plain(tls_bear_keep(a, key->key.ec.q, key->key.ec.qlen));
    return out->key.ec.q != NULL;
}

/* One certificate; what cannot be read is passed over. */
static void tls_bear_add_der(struct tls_config *c, struct str der) {
    br_x509_decoder_context decoder;
    struct buf dn;
    buf_init(&dn, TLS_BEAR_MAX_CERT);
    br_x509_decoder_init(&decoder, tls_bear_name_add, &dn);
    br_x509_decoder_push(&decoder, der.p, der.n);
    const br_x509_pkey *key = br_x509_decoder_get_pkey(&decoder);
    bool known = key && (key->key_type == BR_KEYTYPE_RSA || key->key_type == BR_KEYTYPE_EC);
    if (known && c->n_anchors < TLS_BEAR_MAX_ANCHORS) {
        br_x509_trust_anchor *anchor = &c->anchors[c->n_anchors];
        const unsigned char *name = dn.failed ? NULL : tls_bear_keep(&c->arena, dn.p, dn.n);
        anchor->dn.data = tls_bear_plain(name);
        anchor->dn.len = dn.n;
        anchor->flags = br_x509_decoder_isCA(&decoder) ? BR_X509_TA_CA : 0;
        if (name && tls_bear_key(&c->arena, key, &anchor->pkey)) c->n_anchors++;
        else c->failed = true;
    }
    buf_release(&dn);
}

/* All CERTIFICATE objects of a PEM text, or one certificate in DER. */
static void tls_bear_add(void *ctx, struct str pem) {
    struct tls_config *c = ctx;
    br_pem_decoder_context decoder;
    struct buf der;
    if (str_find(pem, STR("-----BEGIN ")) < 0) {
        tls_bear_add_der(c, pem);
        return;
    }
    buf_init(&der, TLS_BEAR_MAX_CERT);
    br_pem_decoder_init(&decoder);
    for (bool wanted = false; pem.n;) {
        pem = str_sub(pem, br_pem_decoder_push(&decoder, pem.p, pem.n), pem.n);
        switch (br_pem_decoder_event(&decoder)) {
        case BR_PEM_BEGIN_OBJ: {
            const char *name_cstr = br_pem_decoder_name(&decoder);
            wanted = strcmp(name_cstr, "CERTIFICATE") == 0
                     || strcmp(name_cstr, "X509 CERTIFICATE") == 0
                     || strcmp(name_cstr, "TRUSTED CERTIFICATE") == 0;
            buf_reset(&der);
            br_pem_decoder_setdest(&decoder, wanted ? tls_bear_name_add : NULL, &der);
            break;
        }
        case BR_PEM_END_OBJ:
            if (wanted && !der.failed) tls_bear_add_der(c, buf_str(&der));
            wanted = false;
            break;
        case BR_PEM_ERROR:
            wanted = false;
            break;
        default:
            break;
        }
    }
    buf_release(&der);
}

static bool tls_bear_trust(struct tls_config *c, const char *file_cstr, const char *dir_cstr,
                           struct err *e) {
    size_t n;
    const uint8_t *der;
    if (!file_cstr && !dir_cstr)
        for (size_t i = 0; (der = net_root_at(i, &n)) != NULL; i++)
            tls_bear_add_der(c, (struct str){ (const char *)der, n });
    else if (!net_roots_each(file_cstr, dir_cstr, tls_bear_add, c, e)) return false;
    if (c->failed) return err_oom(e, TLS_BEAR_ANCHOR_BYTES, "trusted certificates");
    if (c->n_anchors) return true;
    err_set(e, ERR_TLS, "%s holds no usable certificate",
            file_cstr  ? file_cstr
            : dir_cstr ? dir_cstr
                       : "the program");
    return err_hint(e, "SSL_CERT_FILE names a PEM file, SSL_CERT_DIR a folder of them");
}

MLXK_FN struct tls_config *tls_config_open(const char *ca_file_cstr, const char *ca_dir_cstr,
                                           struct err *e) {
    struct tls_config *c = mem_alloc(sizeof *c);
    if (!c) { err_oom(e, sizeof *c, "TLS"); return NULL; }
    memset(c, 0, sizeof *c);
    arena_init(&c->arena, TLS_BEAR_ANCHOR_BYTES);
    os_mutex_init(&c->mutex);
    c->anchors = ARENA_ARRAY(&c->arena, br_x509_trust_anchor, TLS_BEAR_MAX_ANCHORS);
    bool ok = c->anchors ? tls_bear_trust(c, ca_file_cstr, ca_dir_cstr, e)
                         : err_oom(e, TLS_BEAR_ANCHOR_BYTES, "TLS");
    if (ok) return c;
    tls_config_close(c);
    return NULL;
}

MLXK_FN void tls_config_trust_all(struct tls_config *c) {
    c->trusts_all = true;
}

MLXK_FN void tls_config_close(struct tls_config *c) {
    if (!c) return;
    arena_release(&c->arena);
    mem_free(c);
}

/* ---- IP addresses in certificates (Private) -------------------------------------------------- */

/* Takes one DER element off the front of in: its tag and content. false = malformed or at the
 * end. */
static bool tls_bear_der(struct str *in, uint8_t *tag, struct str *content) {
    const uint8_t *p = (const uint8_t *)in->p;
    size_t head = 2, n;
    if (in->n < 2) return false;
    *tag = p[0];
    n = p[1];
    if (n >= 0x80) {
        size_t digits = n - 0x80;
        if (digits == 0 || digits > 3 || in->n < 2 + digits) return false;
        n = 0;
        for (size_t i = 0; i < digits; i++) n = n << 8 | p[2 + i];
        head += digits;
    }
    if (n > in->n - head) return false;
    *content = str_sub(*in, head, head + n);
    *in = str_sub(*in, head + n, in->n);
    return true;
}

/* One Extension: is it a subjectAltName that holds the address? */
static bool tls_bear_san_has(struct str extension, const uint8_t *ip, size_t ip_n) {
    uint8_t tag;
    struct str oid, value, names, name;
    if (!tls_bear_der(&extension, &tag, &oid) || tag != 0x06 || !str_eq(oid, STR("\x55\x1d\x11")))
        return false;
    do {
        if (!tls_bear_der(&extension, &tag, &value)) return false;
    } while (tag == 0x01);               /* BOOLEAN critical */
    if (tag != 0x04 || !tls_bear_der(&value, &tag, &names) || tag != 0x30) return false;
    while (tls_bear_der(&names, &tag, &name))
        if (tag == 0x87 && name.n == ip_n && memcmp(name.p, ip, ip_n) == 0) return true;
    return false;
}

static bool tls_bear_cert_has_ip(struct str cert, const uint8_t *ip, size_t ip_n) {
    uint8_t tag;
    struct str body, tbs, field, list, extension;
    if (!tls_bear_der(&cert, &tag, &body) || tag != 0x30 || !tls_bear_der(&body, &tag, &tbs)
        || tag != 0x30)
        return false;
    while (tls_bear_der(&tbs, &tag, &field)) {
        if (tag != 0xa3) continue;       /* [3] extensions */
        if (!tls_bear_der(&field, &tag, &list) || tag != 0x30) return false;
        while (tls_bear_der(&list, &tag, &extension))
            if (tag == 0x30 && tls_bear_san_has(extension, ip, ip_n)) return true;
    }
    return false;
}

/* ---- the wrapped verifier (Private) ---------------------------------------------------------- */

/* ctx points at the vtable, the first member. */
static struct tls_bear_verifier *tls_bear_verifier_of(const br_x509_class **ctx) {
    return (struct tls_bear_verifier *)(void *)ctx;
}

static void tls_bear_start_chain(const br_x509_class **ctx, const char *server_name) {
    struct tls_bear_verifier *v = tls_bear_verifier_of(ctx);
    v->n_certs = v->leaf_n = 0;
    v->inner.vtable->start_chain(&v->inner.vtable, v->ip_n || v->trusts_all ? NULL : server_name);
}

static void tls_bear_start_cert(const br_x509_class **ctx, uint32_t length) {
    struct tls_bear_verifier *v = tls_bear_verifier_of(ctx);
    v->n_certs++;
    v->inner.vtable->start_cert(&v->inner.vtable, length);
}

static void tls_bear_append(const br_x509_class **ctx, const unsigned char *p, size_t n) {
    struct tls_bear_verifier *v = tls_bear_verifier_of(ctx);
    if (v->n_certs == 1 && n <= sizeof v->leaf - v->leaf_n) {
        memcpy(v->leaf + v->leaf_n, p, n);
        v->leaf_n += n;
    }
    v->inner.vtable->append(&v->inner.vtable, p, n);
}

static void tls_bear_end_cert(const br_x509_class **ctx) {
    struct tls_bear_verifier *v = tls_bear_verifier_of(ctx);
    v->inner.vtable->end_cert(&v->inner.vtable);
}

static unsigned tls_bear_end_chain(const br_x509_class **ctx) {
    struct tls_bear_verifier *v = tls_bear_verifier_of(ctx);
    unsigned code = v->inner.vtable->end_chain(&v->inner.vtable);
    struct str leaf = { (const char *)v->leaf, v->leaf_n };
    if (v->trusts_all) return code == BR_ERR_X509_NOT_TRUSTED ? 0 : code;
    if (code || v->ip_n == 0 || tls_bear_cert_has_ip(leaf, v->ip, v->ip_n)) return code;
    return BR_ERR_X509_BAD_SERVER_NAME;
}

static const br_x509_pkey *tls_bear_get_pkey(const br_x509_class *const *ctx, unsigned *usages) {
    const struct tls_bear_verifier *v = (const struct tls_bear_verifier *)(const void *)ctx;
    return v->inner.vtable->get_pkey(&v->inner.vtable, usages);
}

static void tls_bear_verifier_init(struct tls *t) {
    static const br_x509_class table = {
        sizeof(struct tls_bear_verifier),
        tls_bear_start_chain,
        tls_bear_start_cert,
        tls_bear_append,
        tls_bear_end_cert,
        tls_bear_end_chain,
        tls_bear_get_pkey,
    };
    /* br_ssl_client_init_full gave the inner verifier its hashes and signature checks, also those
     * that are too weak for today. */
    br_x509_minimal_set_minrsa(&t->verifier.inner, TLS_BEAR_MIN_RSA);
    br_x509_minimal_set_hash(&t->verifier.inner, br_sha1_ID, NULL);
    t->verifier.vtable = &table;
    br_ssl_engine_set_x509(&t->client.eng, &t->verifier.vtable);
}

/* ---- saved sessions (Private) ---------------------------------------------------------------- */

static bool tls_bear_resume(struct tls *t) {
    struct tls_config *c = t->config;
    bool found = false;
    os_mutex_lock(&c->mutex);
    for (int i = 0; i < TLS_BEAR_SESSIONS && !found; i++) {
        found = c->saved[i].used && strcmp(c->saved[i].host, t->host) == 0;
        if (found) br_ssl_engine_set_session_parameters(&t->client.eng, &c->saved[i].session);
    }
    os_mutex_unlock(&c->mutex);
    return found;
}

static void tls_bear_save(struct tls *t) {
    struct tls_config *c = t->config;
    os_mutex_lock(&c->mutex);
    size_t slot = c->next_saved % TLS_BEAR_SESSIONS;
    for (size_t i = 0; i < TLS_BEAR_SESSIONS; i++)
        if (c->saved[i].used && strcmp(c->saved[i].host, t->host) == 0) slot = i;
    if (!c->saved[slot].used || slot == c->next_saved % TLS_BEAR_SESSIONS) c->next_saved++;
    br_ssl_engine_get_session_parameters(&t->client.eng, &c->saved[slot].session);
    memcpy(c->saved[slot].host, t->host, sizeof t->host);
    c->saved[slot].used = true;
    os_mutex_unlock(&c->mutex);
}

/* ---- errors (Private) ------------------------------------------------------------------------ */

static const char *tls_bear_check(int code) {
    switch (code) {
    case BR_ERR_X509_BAD_SERVER_NAME: return "it is for another name";
    case BR_ERR_X509_EXPIRED: return "it has expired or is not valid yet";
    case BR_ERR_X509_NOT_TRUSTED: return "no trusted authority signed it";
    case BR_ERR_X509_BAD_SIGNATURE: return "its signature is wrong";
    case BR_ERR_X509_NOT_CA: return "it was signed by a certificate that may not sign others";
    case BR_ERR_X509_WEAK_PUBLIC_KEY: return "its key is too weak";
    case BR_ERR_X509_FORBIDDEN_KEY_USAGE: return "its key may not be used for this";
    case BR_ERR_X509_CRITICAL_EXTENSION: return "it has an extension that is critical and unknown";
    case BR_ERR_X509_UNSUPPORTED: return "it is signed in a way that is too weak or unknown";
    default: return "it failed verification";
    }
}

static bool tls_bear_error(struct tls *t, const char *doing_cstr, struct err *e) {
    int code = br_ssl_engine_last_error(&t->client.eng);
    if (code >= BR_ERR_X509_INVALID_VALUE && code <= BR_ERR_X509_NOT_TRUSTED) {
        err_set(e, ERR_TLS, "the certificate of %s is refused: %s", t->host, tls_bear_check(code));
        return err_hint(e, code == BR_ERR_X509_NOT_TRUSTED
            ? "if this network uses an authority of its own, name its certificate in SSL_CERT_FILE"
            : "check the clock, the address, and who answers there");
    }
    if (code >= BR_ERR_RECV_FATAL_ALERT && code < BR_ERR_SEND_FATAL_ALERT) {
        err_set(e, ERR_TLS, "%s refused TLS while %s with alert %d", t->host, doing_cstr,
                code - BR_ERR_RECV_FATAL_ALERT);
        return err_hint(e, "this program was built with %s, which speaks TLS 1.2 only",
                        tls_library());
    }
    return err_set(e, ERR_TLS, "TLS with %s failed while %s: error %d of %s", t->host, doing_cstr,
                   code, tls_library());
}

/* ---- records (Private) ----------------------------------------------------------------------- */

static int64_t tls_bear_left_ms(int64_t deadline_ns) {
    int64_t left_ms = (deadline_ns - os_now_ns()) / 1000000;
    return left_ms > 0 ? left_ms : 0;
}

/* Moves records until the engine offers one of `wanted` or is closed. */
static bool tls_bear_run(struct tls *t, unsigned wanted, int64_t deadline_ns, struct err *e) {
    br_ssl_engine_context *eng = &t->client.eng;
    for (;;) {
        unsigned state = br_ssl_engine_current_state(eng);
        size_t room, done;
        if (state & BR_SSL_SENDREC) {
            const unsigned char *out = br_ssl_engine_sendrec_buf(eng, &room);
            if (!tls_wire_write(&t->wire, out, room, tls_bear_left_ms(deadline_ns), &done, e))
                return false;
            br_ssl_engine_sendrec_ack(eng, done);
            continue;
        }
        if ((state & (wanted | BR_SSL_CLOSED)) || !(state & BR_SSL_RECVREC)) return true;
        unsigned char *in = br_ssl_engine_recvrec_buf(eng, &room);
        if (!tls_wire_read(&t->wire, in, room, tls_bear_left_ms(deadline_ns), &done, e))
            return false;
        if (done == 0) {
            t->ended = true;
            return err_set(e, ERR_NET, "%s closed the connection in the middle of TLS", t->host);
        }
        br_ssl_engine_recvrec_ack(eng, done);
    }
}

/* ---- connections (Public) -------------------------------------------------------------------- */

static void tls_bear_suites(br_ssl_engine_context *eng) {
    static const uint16_t suites[] = {
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    };
    br_ssl_engine_set_suites(eng, suites, MLXK_COUNT(suites));
}

static bool tls_bear_start(struct tls *t, struct str host, struct err *e) {
    static const char *const alpn[] = { "http/1.1" };
    uint8_t seed[32];
    br_ssl_client_init_full(&t->client, &t->verifier.inner, t->config->anchors,
                            t->config->n_anchors);
    br_ssl_engine_set_versions(&t->client.eng, BR_TLS12, BR_TLS12);
    tls_bear_suites(&t->client.eng);
    br_ssl_engine_set_protocol_names(&t->client.eng, (const char **)(uintptr_t)alpn, 1);
    br_ssl_engine_set_buffer(&t->client.eng, t->io, sizeof t->io, 1);
    t->verifier.ip_n = net_ip_bytes(host, t->verifier.ip);
    t->verifier.trusts_all = t->config->trusts_all;
    tls_bear_verifier_init(t);
    os_entropy(seed, sizeof seed);
    br_ssl_engine_inject_entropy(&t->client.eng, seed, sizeof seed);
    bool resume = tls_bear_resume(t);
    return br_ssl_client_reset(&t->client, t->verifier.ip_n ? NULL : t->host, resume)
           || tls_bear_error(t, "starting", e);
}

MLXK_FN struct tls *tls_connect(struct tls_config *c, const struct tls_wire *wire, struct str host,
                                int64_t timeout_ms, struct err *e) {
    struct tls *t = mem_alloc(sizeof *t);
    if (!t) { err_oom(e, sizeof *t, "a TLS connection"); return NULL; }
    memset(t, 0, offsetof(struct tls, io));
    t->config = c;
    t->wire = *wire;
    memcpy(t->host, host.p, host.n < sizeof t->host ? host.n : sizeof t->host - 1);
    bool ok = tls_bear_start(t, host, e)
              && tls_bear_run(t, BR_SSL_SENDAPP, os_now_ns() + timeout_ms * 1000000, e);
    if (ok && !(br_ssl_engine_current_state(&t->client.eng) & BR_SSL_SENDAPP))
        ok = tls_bear_error(t, "shaking hands", e);
    if (ok) {
        tls_bear_save(t);
        return t;
    }
    mem_free(t);
    return NULL;
}

MLXK_FN bool tls_read(struct tls *t, void *p, size_t n, int64_t timeout_ms, size_t *n_done,
                      struct err *e) {
    br_ssl_engine_context *eng = &t->client.eng;
    size_t have;
    *n_done = 0;
    if (!tls_bear_run(t, BR_SSL_RECVAPP, os_now_ns() + timeout_ms * 1000000, e)) return false;
    if (!(br_ssl_engine_current_state(eng) & BR_SSL_RECVAPP))
        return br_ssl_engine_last_error(eng) == BR_ERR_OK || tls_bear_error(t, "answering", e);
    const unsigned char *from = br_ssl_engine_recvapp_buf(eng, &have);
    *n_done = have < n ? have : n;
    memcpy(p, from, *n_done);
    br_ssl_engine_recvapp_ack(eng, *n_done);
    return true;
}

MLXK_FN bool tls_write(struct tls *t, const void *p, size_t n, int64_t timeout_ms, size_t *n_done,
                       struct err *e) {
    br_ssl_engine_context *eng = &t->client.eng;
    int64_t deadline_ns = os_now_ns() + timeout_ms * 1000000;
    size_t room;
    *n_done = 0;
    if (!tls_bear_run(t, BR_SSL_SENDAPP, deadline_ns, e)) return false;
    if (!(br_ssl_engine_current_state(eng) & BR_SSL_SENDAPP))
        return tls_bear_error(t, "listening", e);
    unsigned char *to = br_ssl_engine_sendapp_buf(eng, &room);
    *n_done = room < n ? room : n;
    memcpy(to, p, *n_done);
    br_ssl_engine_sendapp_ack(eng, *n_done);
    br_ssl_engine_flush(eng, 0);
    return tls_bear_run(t, BR_SSL_SENDAPP, deadline_ns, e);
}

MLXK_FN bool tls_pending(const struct tls *t) {
    return (br_ssl_engine_current_state(&t->client.eng) & BR_SSL_RECVAPP) != 0;
}

MLXK_FN bool tls_ended(const struct tls *t) {
    return t->ended;
}

MLXK_FN void tls_close(struct tls *t) {
    if (!t) return;
    struct err ignored = { 0 };
    size_t room, done;
    if (!t->ended) br_ssl_engine_close(&t->client.eng);
    if (br_ssl_engine_current_state(&t->client.eng)
        & BR_SSL_SENDREC) { /* a farewell, without waiting */
        const unsigned char *out = br_ssl_engine_sendrec_buf(&t->client.eng, &room);
        (void)tls_wire_write(&t->wire, out, room, 0, &done, &ignored);
    }
    mem_free(t);
}

/* ---- the server's side (Public) -------------------------------------------------------------- */

struct tls_server {
    struct arena arena;
    br_x509_certificate chain[TLS_BEAR_MAX_CHAIN];
    size_t n_chain;
    br_skey_decoder_context key;         /* owns what the key points at */
    bool rsa, has_key, failed;
};

/* What an object of the PEM text is; decoded bytes go into der or into the key. */
static bool tls_bear_server_begin(struct tls_server *s, const char *name_cstr, bool want_key,
                                  br_pem_decoder_context *decoder, struct buf *der) {
    bool is_key = str_ends(str_cstr(name_cstr), STR("PRIVATE KEY"));
    bool is_cert = strcmp(name_cstr, "CERTIFICATE") == 0;
    buf_reset(der);
    if (want_key ? !is_key : !is_cert) return false;
    br_pem_decoder_setdest(decoder, tls_bear_name_add, der);
    if (is_key) br_skey_decoder_init(&s->key);
    return true;
}

static void tls_bear_server_end(struct tls_server *s, bool is_key, const struct buf *der) {
    if (der->failed) { s->failed = true; return; }
    if (is_key) {
        br_skey_decoder_push(&s->key, der->p, der->n);
        int type = br_skey_decoder_key_type(&s->key);
        s->has_key = type == BR_KEYTYPE_RSA || type == BR_KEYTYPE_EC;
        s->rsa = type == BR_KEYTYPE_RSA;
    } else if (s->n_chain < TLS_BEAR_MAX_CHAIN) {
        const unsigned char *copy = tls_bear_keep(&s->arena, der->p, der->n);
        s->chain[s->n_chain++] = (br_x509_certificate){ tls_bear_plain(copy), der->n };
        s->failed = s->failed || !copy;
    }
}

/* The certificates of a text, or its first private key. */
static void tls_bear_server_read(struct tls_server *s, struct str pem, bool want_key) {
    br_pem_decoder_context decoder;
    struct buf der;
    bool wanted = false;
    buf_init(&der, TLS_BEAR_MAX_CERT * 4);
    br_pem_decoder_init(&decoder);
    while (pem.n && !(want_key && s->has_key)) {
        size_t used = br_pem_decoder_push(&decoder, pem.p, pem.n);
        pem = str_sub(pem, used, pem.n);
        switch (br_pem_decoder_event(&decoder)) {
        case BR_PEM_BEGIN_OBJ:
            wanted = tls_bear_server_begin(s, br_pem_decoder_name(&decoder), want_key, &decoder,
                                           &der);
            if (!wanted) br_pem_decoder_setdest(&decoder, NULL, NULL);
            break;
        case BR_PEM_END_OBJ:
            if (wanted) tls_bear_server_end(s, want_key, &der);
            wanted = false;
            break;
        case BR_PEM_ERROR: wanted = false; break;
        default: break;
        }
    }
    buf_release(&der);
}

/* Does the key belong to the first certificate? */
static bool tls_bear_server_pair(struct tls_server *s) {
    br_x509_decoder_context decoder;
    unsigned char own[BR_EC_KBUF_PUB_MAX_SIZE > 1024 ? BR_EC_KBUF_PUB_MAX_SIZE : 1024];
    br_x509_decoder_init(&decoder, NULL, NULL);
    br_x509_decoder_push(&decoder, s->chain[0].data, s->chain[0].data_len);
    const br_x509_pkey *cert = br_x509_decoder_get_pkey(&decoder);
    if (!cert || cert->key_type != (s->rsa ? BR_KEYTYPE_RSA : BR_KEYTYPE_EC)) return false;
    if (s->rsa) {
        const br_rsa_private_key *k = br_skey_decoder_get_rsa(&s->key);
        size_t n = (k->n_bitlen + 7) / 8;
        return n <= sizeof own && n == cert->key.rsa.nlen
               && br_rsa_compute_modulus_get_default()(own, k) == n
               && memcmp(own, cert->key.rsa.n, n) == 0;
    }
    const br_ec_private_key *k = br_skey_decoder_get_ec(&s->key);
    size_t n = br_ec_compute_pub(br_ec_get_default(), NULL, own, k);
    return n && n == cert->key.ec.qlen && memcmp(own, cert->key.ec.q, n) == 0;
}

static bool tls_bear_server_load(struct tls_server *s, const char *cert_cstr, const char *key_cstr,
                                 struct err *e) {
    struct str cert, key;
    if (!os_read_file(&s->arena, cert_cstr, (size_t)1 << 20, &cert, e)
        || !os_read_file(&s->arena, key_cstr, (size_t)1 << 20, &key, e))
        return false;
    tls_bear_server_read(s, cert, false);
    tls_bear_server_read(s, key, true);
    if (s->failed) return err_oom(e, cert.n, "certificates");
    if (s->n_chain == 0)
        return err_set(e, ERR_TLS, "%s holds no usable certificate", cert_cstr);
    if (!s->has_key)
        return !err_set(e, ERR_TLS, "%s holds no usable private key", key_cstr)
               && err_hint(e, "it is a PEM file without a password, RSA or EC");
    return tls_bear_server_pair(s)
           || err_set(e, ERR_TLS, "the key in %s does not belong to the certificate in %s",
                      key_cstr, cert_cstr);
}

MLXK_FN struct tls_server *tls_server_open(const char *cert_file_cstr, const char *key_file_cstr,
                                           struct err *e) {
    struct tls_server *s = mem_alloc(sizeof *s);
    if (!s) { err_oom(e, sizeof *s, "TLS"); return NULL; }
    memset(s, 0, sizeof *s);
    arena_init(&s->arena, (size_t)8 << 20);
    if (tls_bear_server_load(s, cert_file_cstr, key_file_cstr, e)) return s;
    tls_server_close(s);
    return NULL;
}

MLXK_FN void tls_server_close(struct tls_server *s) {
    if (!s) return;
    arena_release(&s->arena);
    memset(&s->key, 0, sizeof s->key);
    mem_free(s);
}

MLXK_FN struct tls *tls_accept(struct tls_server *s, int fd, struct err *e) {
    static const char *const alpn[] = { "http/1.1" };
    uint8_t seed[32];
    struct tls *t = mem_alloc(sizeof *t);
    if (!t) { err_oom(e, sizeof *t, "a TLS connection"); return NULL; }
    memset(t, 0, offsetof(struct tls, io));
    t->wire.fd = fd;
    memcpy(t->host, "the client", sizeof "the client");
    if (s->rsa)
        br_ssl_server_init_full_rsa(&t->server, s->chain, s->n_chain,
                                    br_skey_decoder_get_rsa(&s->key));
    else
        br_ssl_server_init_full_ec(&t->server, s->chain, s->n_chain, BR_KEYTYPE_EC,
                                   br_skey_decoder_get_ec(&s->key));
    br_ssl_engine_set_versions(&t->server.eng, BR_TLS12, BR_TLS12);
    tls_bear_suites(&t->server.eng);
    br_ssl_engine_set_protocol_names(&t->server.eng, (const char **)(uintptr_t)alpn, 1);
    br_ssl_engine_set_buffer(&t->server.eng, t->io, sizeof t->io, 1);
    os_entropy(seed, sizeof seed);
    br_ssl_engine_inject_entropy(&t->server.eng, seed, sizeof seed);
    if (br_ssl_server_reset(&t->server)) return t;
    tls_bear_error(t, "starting", e);
    mem_free(t);
    return NULL;
}

MLXK_FN enum tls_step tls_accept_step(struct tls *t, struct err *e) {
    struct err why = { 0 };
    if (!tls_bear_run(t, BR_SSL_SENDAPP, os_now_ns(), &why)) {
        if (why.code == ERR_NET_TIMEOUT)
            return br_ssl_engine_current_state(&t->server.eng) & BR_SSL_SENDREC ? TLS_WANT_WRITE
                                                                                : TLS_WANT_READ;
        *e = why;
        return TLS_FAILED;
    }
    if (br_ssl_engine_current_state(&t->server.eng) & BR_SSL_SENDAPP) return TLS_DONE;
    tls_bear_error(t, "shaking hands", e);
    return TLS_FAILED;
}

MLXK_FN bool tls_try_read(struct tls *t, void *p, size_t n, size_t *n_done, bool *again,
                          struct err *e) {
    struct err why = { 0 };
    *again = false;
    if (tls_read(t, p, n, 0, n_done, &why)) return true;
    *again = why.code == ERR_NET_TIMEOUT;
    if (!*again) *e = why;
    return *again;
}

#undef TLS_BEAR_ANCHOR_BYTES
