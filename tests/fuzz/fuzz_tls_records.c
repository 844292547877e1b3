/* fuzz_tls_records.c: any bytes as records of TLS 1.3, sealed and not, behind a finished handshake.
 *
 * The input is a list of orders, each of FUZZ_TLS_ORDER bytes and a text: which type is said
 * outside and inside, how much padding, what is wrong with header, length or tag. They become the
 * bytes of one connection, which is read twice: with our way around the library, several records
 * at once and in pieces, and by the library alone. Both give the same bytes and end well, or
 * neither ends well; then the library may end earlier: it takes no more than three records in a
 * row that hold nothing.
 *
 * It looks into tls_mbed.c, so it belongs to the one unit and not to the tests of a room.
 *
 * covers: net/tls_mbed.c:tls_mbed_unseal net/tls_mbed.c:tls_mbed_take
 */
#include "../../src/net/net_int.h"   /* so that no room alone takes it: see above */

int fuzz_tls_records(const uint8_t *data, size_t size);

#if defined(MLXK_TLS_BEARSSL)     /* nothing goes around that library */
int fuzz_tls_records(const uint8_t *data, size_t size) {
    (void)data;
    (void)size;
    return 0;
}
#else
#include <mbedtls/library/ssl_misc.h>
#include <mbedtls/library/ssl_tls13_keys.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FUZZ_TLS_ORDER = 6, FUZZ_TLS_RECORDS = 12, FUZZ_TLS_BYTES = 120000 };

/* What is wrong with a record. */
enum { FUZZ_TLS_TAG = 1, FUZZ_TLS_LENGTH = 2, FUZZ_TLS_VERSION = 4, FUZZ_TLS_OUTSIDE = 8,
       FUZZ_TLS_PLAIN = 16, FUZZ_TLS_LONG = 32, FUZZ_TLS_AGAIN = 64, FUZZ_TLS_CUT = 128 };

struct fuzz_tls_end { uint8_t bytes[FUZZ_TLS_BYTES]; size_t n; struct err e; };

static mbedtls_ssl_transform *fuzz_tls_transform(int endpoint) {
    mbedtls_ssl_key_set keys = { .key_len = 16, .iv_len = 12 };
    mbedtls_ssl_transform *x = mem_alloc(sizeof *x);
    for (size_t i = 0; i < 16; i++)
        keys.server_write_key[i] = (unsigned char)(i * 7);
    MLXK_ASSERT(x);
    mbedtls_ssl_transform_init(x);
    MLXK_ASSERT(mbedtls_ssl_tls13_populate_transform(
                    x, endpoint, MBEDTLS_TLS1_3_AES_128_GCM_SHA256, &keys, NULL)
                == 0);
    return x;
}

/* One record with text behind bytes[n]; the new length. */
static size_t fuzz_tls_record(mbedtls_ssl_transform *x, const uint8_t *order, const uint8_t *text,
                              size_t n_text, uint64_t sequence, uint8_t *bytes, size_t n) {
    static uint8_t plain[40000];
    uint8_t what = order[0], *head = bytes + n, nonce[12];
    size_t n_plain = n_text, n_sealed = 0;
    memcpy(plain, text, n_text);
    while (what & FUZZ_TLS_LONG && n_plain < 16300u + order[4]) plain[n_plain++] = order[5];
    plain[n_plain++] = order[1];                 /* the type inside, then padding */
    for (size_t i = 0; i < order[2]; i++) plain[n_plain++] = 0;
    size_t length = n_plain + 16;
    head[0] = what & FUZZ_TLS_OUTSIDE ? order[3] : MBEDTLS_SSL_MSG_APPLICATION_DATA;
    head[1] = 3;
    head[2] = what & FUZZ_TLS_VERSION ? order[3] : 3;
    if (what & FUZZ_TLS_LENGTH) length = (size_t)order[3] << 8 | order[4];
    head[3] = (uint8_t)(length >> 8);
    head[4] = (uint8_t)length;
    memcpy(nonce, x->iv_enc, sizeof nonce);
    for (int i = 0; i < 8; i++) nonce[4 + i] ^= (uint8_t)(sequence >> (56 - 8 * i));
    MLXK_ASSERT(mbedtls_cipher_auth_encrypt_ext(&x->cipher_ctx_enc, nonce, sizeof nonce, head, 5,
                                                plain, n_plain, head + 5, n_plain + 16, &n_sealed,
                                                16)
                == 0);
    if (what & FUZZ_TLS_PLAIN) memcpy(head + 5, plain, n_plain);
    if (what & FUZZ_TLS_TAG) head[5 + order[4] % n_sealed] ^= (uint8_t)(order[5] | 1);
    return n + 5 + n_sealed - (what & FUZZ_TLS_CUT ? order[5] % n_sealed : 0);
}

static size_t fuzz_tls_bytes(const uint8_t *data, size_t size, uint8_t *bytes) {
    mbedtls_ssl_transform *x = fuzz_tls_transform(MBEDTLS_SSL_IS_SERVER);
    uint64_t sequence = 0;
    size_t n = 0;
    for (int i = 0; i < FUZZ_TLS_RECORDS && size >= FUZZ_TLS_ORDER; i++) {
        size_t n_text = size - FUZZ_TLS_ORDER < data[5] ? size - FUZZ_TLS_ORDER : data[5];
        if (n + 17500 > FUZZ_TLS_BYTES) break;
        n = fuzz_tls_record(x, data, data + FUZZ_TLS_ORDER, n_text, sequence, bytes, n);
        if (!(data[0] & FUZZ_TLS_AGAIN)) sequence++;
        data += FUZZ_TLS_ORDER + n_text;
        size -= FUZZ_TLS_ORDER + n_text;
    }
    mbedtls_ssl_transform_free(x);
    mem_free(x);
    return n;
}

/* A client whose handshake is over; ours: with the buffer that lets records go around the
 * library. */
static struct tls *fuzz_tls_client(struct tls_config *c, int fd, bool ours) {
    struct tls *t = mem_alloc(sizeof *t);
    MLXK_ASSERT(t);
    memset(t, 0, sizeof *t);
    t->config = c;
    t->wire.fd = fd;
    memcpy(t->host, "host", sizeof "host");
    if (ours) MLXK_ASSERT((t->in = mem_alloc(TLS_MBED_IN)) != NULL);
    mbedtls_ssl_init(&t->ssl);
    MLXK_ASSERT(mbedtls_ssl_setup(&t->ssl, &c->ssl) == 0);
    mbedtls_ssl_set_bio(&t->ssl, t, tls_mbed_send, tls_mbed_receive, NULL);
    MLXK_ASSERT((t->ssl.session = tls_mbed_calloc(1, sizeof *t->ssl.session)) != NULL);
    mbedtls_ssl_session_init(t->ssl.session);
    t->ssl.session->tls_version = t->ssl.tls_version = MBEDTLS_SSL_VERSION_TLS1_3;
    t->ssl.session->ciphersuite = MBEDTLS_TLS1_3_AES_128_GCM_SHA256;
    t->ssl.transform_application = fuzz_tls_transform(MBEDTLS_SSL_IS_CLIENT);
    mbedtls_ssl_set_inbound_transform(&t->ssl, t->ssl.transform_application);
    mbedtls_ssl_set_outbound_transform(&t->ssl, t->ssl.transform_application);
    t->ssl.state = MBEDTLS_SSL_HANDSHAKE_OVER;
    return t;
}

static void fuzz_tls_read(struct tls_config *c, const uint8_t *bytes, size_t n, size_t room,
                          bool ours, struct fuzz_tls_end *end) {
    static uint8_t out[40000];
    int fd[2], size = 1 << 20;
    size_t got = 1;
    end->n = 0;
    end->e = (struct err){ 0 };
    MLXK_ASSERT(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
    (void)setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    MLXK_ASSERT(send(fd[1], bytes, n, MSG_NOSIGNAL) == (ssize_t)n && shutdown(fd[1], SHUT_WR) == 0);
    struct tls *t = fuzz_tls_client(c, fd[0], ours);
    while (got && tls_read(t, out, room, 5000, &got, &end->e)) {
        MLXK_ASSERT(got <= room && got <= sizeof end->bytes - end->n);
        memcpy(end->bytes + end->n, out, got);
        end->n += got;
    }
    tls_mbed_drop(t);
    close(fd[0]);
    close(fd[1]);
}

int fuzz_tls_records(const uint8_t *data, size_t size) {
    static struct tls_config *config;
    static uint8_t bytes[FUZZ_TLS_BYTES];
    static struct fuzz_tls_end ours, theirs;
    struct err e = { 0 };
    if (size < 2) return 0;
    if (!config) config = tls_config_open(NULL, NULL, &e);
    MLXK_ASSERT(config);
    size_t room = (data[0] + 1u) * 156u, n = fuzz_tls_bytes(data + 1, size - 1, bytes);
    fuzz_tls_read(config, bytes, n, room, true, &ours);
    fuzz_tls_read(config, bytes, n, room, false, &theirs);
    MLXK_ASSERT(!ours.e.code == !theirs.e.code && ours.n >= theirs.n
                && (ours.n == theirs.n || theirs.e.code)
                && memcmp(ours.bytes, theirs.bytes, theirs.n) == 0);
    return 0;
}
#endif
