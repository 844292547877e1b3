/* test_sign.c: keys, signatures, bundles, statements and policies. Beside real tools: tests/long/90-sign-tools.sh.
 *
 * The keys here were made for these tests with openssl and minisign, and guard nothing.
 */
#include "sign/sign_int.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#define SIGN_PRIVATE \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgvYMB4ADKcxAFnLlT\n" \
    "1GaJfITcnDbQBm7GF6upbS8n422hRANCAAT5g5j41pVbr+jy3KKsS+J+u4C16cp+\n" \
    "0e7xZ9Z2xsQ/nlM/79DY4BaRr3fR76pkMrqiwobSwHdRCYsP/Y2vpU/z\n" \
    "-----END PRIVATE KEY-----\n"
#define SIGN_PUBLIC \
    "-----BEGIN PUBLIC KEY-----\n" \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+YOY+NaVW6/o8tyirEvifruAtenK\n" \
    "ftHu8WfWdsbEP55TP+/Q2OAWka930e+qZDK6osKG0sB3UQmLD/2Nr6VP8w==\n" \
    "-----END PUBLIC KEY-----\n"
#define SIGN_ENCRYPTED_256 \
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" \
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhOm7je3CMGMQICCAAw\n" \
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEAvZoYDvXAdY84c1gEQIMdAEgZAa\n" \
    "00Md/HhkMqsU77D+odBRmDHcNx0VkfezVbtK0Y5kkiUtD6SPllz+c4FPB1/+xY5C\n" \
    "dkGKaUMBMi58fZHsjmE9a+SlGoL0lVHZFR3O7D2eoIS2euCIZ1NiYUIhsmOX2W8K\n" \
    "HsIIaoAvhvjr4HuL7NmsvKOFY+EQMJhLANdxBv5oif0tGAk8/tQOGS0BQ1rU80U=\n" \
    "-----END ENCRYPTED PRIVATE KEY-----\n"
#define SIGN_ENCRYPTED_128 \
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" \
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAixidBMHP0DaQICA+gw\n" \
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEGvWW8MPgPxBIG0kTiq0slQEgZAO\n" \
    "eegBfzD5O8iJn544NIqht2f15RUlgilX+4bWWWIc6K+x+nEv1q7CM9kXrrZafZEf\n" \
    "ZtFesDc/B2ZZBICUwb1DpmVOZcVh1uAPGCyHnlmEJMLXWAMuTXIZnvyhlAy7/GlJ\n" \
    "jkzKfJNILaWCq1DtLo3xnIEQGCfh7gPn/wlUeC48/Tyc+4RsondVEcC5kZ585iY=\n" \
    "-----END ENCRYPTED PRIVATE KEY-----\n"
#define SIGN_MINI_PUBLIC_TEXT \
    "untrusted comment: minisign public key B11DDB34434725C1\n" \
    "RWTBJUdDNNsdsRPvmxDLQxG8/EUm9SFBw9fkHufBhkLWA0J2hHiiHpGP\n"
#define SIGN_MINI_SECRET_TEXT \
    "untrusted comment: minisign encrypted secret key\n" \
    "RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAwSVHQzTbHbHCRHTGkUV5jV4VgFjFp5Eml5mMrwmknYIytgNPvxdKFhPvmxDLQxG8/EUm9SFBw9fkHufBhkLWA0J2hHiiHpGPAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
/* Over "hello\n". */
#define SIGN_MINI_HASHED \
    "untrusted comment: signature from minisign secret key\n" \
    "RUTBJUdDNNsdsfqEBEtv2vnTO2g4UJ7gXw0BEwLo2D1zC/X2Nj1NBwWMEbA+7mo3A2tq3Qur0b7lPh6ixUwmsgHcvxFlYqaUqA8=\n" \
    "trusted comment: a comment\n" \
    "L8i8uwcKC+sQkBOI9xDypcKXXq7xwnRp9L3lUUqZpXdkUkYFSVXw+eOkL5sxA9rbqbi0xVaEvGJG8gwBNuanDA==\n"
#define SIGN_MINI_LEGACY \
    "untrusted comment: signature from minisign secret key\n" \
    "RWTBJUdDNNsdsdyXqSP0zgAhS0I8TreoRDwIUncMK3EGQby1Le/FLwYzseN9RUF7V+kE8ZrtabskKNAazhJ9WfL310pmz1ljqwo=\n" \
    "trusted comment: a comment\n" \
    "egohBQYTbqsPbGFT/kvx+pB4mhtv1ov8gV3Ww+DNcpNDoBi0OygdIc+uByNQu6sX/sh6vODJ43vvsTq36yaVBA==\n"

#define SIGN_HINT "RsWxUM7NytnS7m85drMN2HexG5a4WfrVX7Ys0HkC70o="
static struct err sign_e;

static void sign_unhex(const char *hex_cstr, uint8_t *out) {
    for (size_t i = 0; hex_cstr[2 * i]; i++) {
        char two[3] = { hex_cstr[2 * i], hex_cstr[2 * i + 1], 0 };
        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
}

static struct sha256 sign_hashed(struct str s, uint8_t out[32]) {
    struct sha256 h;
    sha256_init(&h);
    sha256_update(&h, s.p, s.n);
    sha256_final(&h, out);
    return h;
}

/* ---- DER and PEM ------------------------------------------------------------------------------- */

TEST(der_takes_one_spelling) {
    struct str inside, s = { "\x02\x01\x05\x04\x00", 5 };
    uint64_t x;
    CHECK(sign_der_number(&s, 10, &x) && x == 5);
    CHECK(!sign_der_take(&s, SIGN_DER_INTEGER, &inside) && s.n == 2);
    CHECK(sign_der_take(&s, SIGN_DER_OCTETS, &inside) && inside.n == 0 && s.n == 0);
    static const struct { const char *p; size_t n; } bad[] = {
        { "", 0 }, { "\x02", 1 }, { "\x02\x01", 2 },          /* cut */
        { "\x02\x02\x00\x05", 4 },                            /* a zero too many */
        { "\x02\x81\x01\x05", 4 },                            /* long length for a short one */
        { "\x02\x82\x00\x81\x05", 5 },                        /* and with a leading zero */
        { "\x02\x80\x05\x00\x00", 5 },                        /* indefinite */
        { "\x02\x84\x00\x00\x00\x01\x05", 7 },                /* longer than anything here */
        { "\x02\x01\x85", 3 },                                /* negative */
        { "\x02\x00", 2 },                                    /* no digit */
        { "\x02\x01\x0b", 3 },                                /* over the maximum */
    };
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        s = (struct str){ bad[i].p, bad[i].n };
        if (sign_der_number(&s, 10, &x)) test_fail(__FILE__, __LINE__, "case %zu was taken", i);
    }
    s = (struct str){ "\x05\x00", 2 };
    CHECK(sign_der_maybe(&s, SIGN_DER_OCTETS, &inside) && !inside.p && s.n == 2);
    CHECK(sign_der_maybe(&s, SIGN_DER_NULL, &inside) && inside.p && s.n == 0);
}

TEST(der_signatures_there_and_back) {
    for (int round = 0; round < 200; round++) {
        uint8_t rs[64], back[64], der[SIGN_MAX_DER];
        for (size_t i = 0; i < 64; i++) rs[i] = (uint8_t)test_random();
        memset(rs, 0, (size_t)round % 32);                    /* short ones too */
        rs[31] |= 1;
        size_t n = sign_der_pair_write(rs, der);
        CHECK(sign_der_pair((struct str){ (char *)der, n }, back) && memcmp(rs, back, 64) == 0);
        CHECK(!sign_der_pair((struct str){ (char *)der, n - 1 }, back));
        der[1]++;
        CHECK(!sign_der_pair((struct str){ (char *)der, n }, back));
    }
    uint8_t rs[64];
    CHECK(!sign_der_pair((struct str){ "\x30\x06\x02\x01\x00\x02\x01\x01", 8 }, rs));
    CHECK(!sign_der_pair((struct str){ "\x30\x06\x02\x01\x01\x02\x01\x00", 8 }, rs));
    CHECK(sign_der_pair((struct str){ "\x30\x06\x02\x01\x01\x02\x01\x01", 8 }, rs));
    CHECK(!sign_der_pair((struct str){ "\x30\x06\x02\x01\x01\x02\x01\x01\x00", 9 }, rs));
}

TEST(pem_blocks) {
    uint8_t out[64];
    size_t n;
    struct str label = STR("X Y");
    CHECK_STR(sign_pem_label(STR("text\n-----BEGIN X Y-----\nAA==\n")), label);
    CHECK_EQ(sign_pem_label(STR("-----BEGIN X Y----\n")).n, 0);
    CHECK_OK(sign_pem_read(STR("notes\r\n-----BEGIN X Y-----\r\nAQID\r\nBA==\r\n-----END X Y-----\r\n"),
                           label, out, sizeof out, &n, &sign_e), sign_e);
    CHECK(n == 4 && memcmp(out, "\1\2\3\4", 4) == 0);
    static const char *const bad[] = {
        "-----BEGIN X Y-----\nAQID\n", "-----BEGIN X Y-----\nAQID\n-----END X Z-----\n",
        "-----BEGIN X Y-----\n-----END X Y-----\n", "-----BEGIN X Y-----\nAQI\n-----END X Y-----\n",
        "-----BEGIN X Y-----\nAQ ID\n-----END X Y-----\n", "-----BEGIN X Y-----\nAR==\n-----END X Y-----\n",
        "-----BEGIN X Y-----\nAQID\n-----END X Y-----\n-----BEGIN X Y-----\nAQID\n-----END X Y-----\n",
        "-----BEGIN X Z-----\nAQID\n-----END X Z-----\n",
    };
    for (size_t i = 0; i < MLXK_COUNT(bad); i++)
        CHECK_ERR(sign_pem_read(str_cstr(bad[i]), label, out, sizeof out, &n, &sign_e), sign_e,
                  ERR_FORMAT);
    CHECK_ERR(sign_pem_read(STR("-----BEGIN X Y-----\nProc-Type: 4,ENCRYPTED\n\nAQID\n-----END X Y-----\n"),
                            label, out, sizeof out, &n, &sign_e), sign_e, ERR_UNSUPPORTED);
    CHECK_ERR(sign_pem_read(STR("-----BEGIN X Y-----\nAQIDBAUGBwgJ\n-----END X Y-----\n"), label, out,
                            8, &n, &sign_e), sign_e, ERR_FORMAT);
}

/* ---- keys ---------------------------------------------------------------------------------------- */

/* RFC 6979, A.2.5. */
TEST(signatures_of_the_rfc) {
    static const struct { const char *message, *rs; } cases[] = {
        { "sample", "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
                    "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8" },
        { "test", "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367"
                  "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083" },
    };
    uint8_t scalar[32], point[65], want_point[65], want[64], got[64], digest[32];
    sign_unhex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721", scalar);
    sign_unhex("0460FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
               "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299", want_point);
    CHECK(sign_curve_public(scalar, point) && memcmp(point, want_point, 65) == 0);
    CHECK(sign_curve_has(point));
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        sign_unhex(cases[i].rs, want);
        sign_hashed(str_cstr(cases[i].message), digest);
        CHECK(sign_curve_sign(scalar, digest, got) && memcmp(got, want, 64) == 0);
        CHECK(sign_curve_verify(point, digest, want));
        for (size_t at = 0; at < 64; at += 7) {
            got[at] ^= 1;
            CHECK(!sign_curve_verify(point, digest, got));
            got[at] ^= 1;
        }
        digest[31] ^= 1;
        CHECK(!sign_curve_verify(point, digest, want));
    }
    point[64] ^= 1;
    CHECK(!sign_curve_has(point));
    memset(got, 0, 64);
    CHECK(!sign_curve_verify(want_point, digest, got));
}

/* RFC 7914 section 11 has the first two; the third is a key longer than a block. */
TEST(passwords_become_keys) {
    static const struct { const char *password, *salt; uint64_t rounds; const char *key; } cases[] = {
        { "passwd", "salt", 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc" },
        { "Password", "NaCl", 80000, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56" },
    };
    uint8_t want[32], got[32];
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        sign_unhex(cases[i].key, want);
        sign_pbkdf2(str_cstr(cases[i].password), str_cstr(cases[i].salt), cases[i].rounds, got, 32);
        CHECK(memcmp(want, got, 32) == 0);
    }
}

/* NIST SP 800-38A, F.2.2 and F.2.6. */
TEST(aes_decrypts) {
    uint8_t key[32], iv[16], data[32], want[32];
    sign_unhex("000102030405060708090a0b0c0d0e0f", iv);
    sign_unhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51", want);
    sign_unhex("2b7e151628aed2a6abf7158809cf4f3c", key);
    sign_unhex("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2", data);
    CHECK(sign_aes_cbc_decrypt(key, 16, iv, data, 32) && memcmp(data, want, 32) == 0);
    sign_unhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", key);
    sign_unhex("f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d", data);
    CHECK(sign_aes_cbc_decrypt(key, 32, iv, data, 32) && memcmp(data, want, 32) == 0);
}

TEST(keys_are_read) {
    struct sign_private k, other;
    struct sign_public p;
    CHECK_OK(sign_private_read(STR(SIGN_PRIVATE), STR_EMPTY, &k, &sign_e), sign_e);
    CHECK_OK(sign_public_read(STR(SIGN_PUBLIC), &p, &sign_e), sign_e);
    CHECK(memcmp(&p, &k.pub, sizeof p) == 0);
    CHECK_STR(str_cstr(p.hint), STR(SIGN_HINT));
    CHECK_OK(sign_private_read(STR(SIGN_ENCRYPTED_256), STR("secret"), &other, &sign_e), sign_e);
    CHECK(memcmp(&k, &other, sizeof k) == 0);
    CHECK_OK(sign_private_read(STR(SIGN_ENCRYPTED_128), STR("secret"), &other, &sign_e), sign_e);
    CHECK(memcmp(&k, &other, sizeof k) == 0);
    CHECK_ERR(sign_private_read(STR(SIGN_ENCRYPTED_256), STR("Secret"), &other, &sign_e), sign_e,
              ERR_ACCESS);
    CHECK_ERR(sign_private_read(STR(SIGN_ENCRYPTED_256), STR_EMPTY, &other, &sign_e), sign_e,
              ERR_ACCESS);
    CHECK_ERR(sign_private_read(STR(SIGN_PUBLIC), STR_EMPTY, &other, &sign_e), sign_e,
              ERR_UNSUPPORTED);
    CHECK_ERR(sign_public_read(STR(SIGN_PRIVATE), &p, &sign_e), sign_e, ERR_UNSUPPORTED);
}

/* Every byte of a key changed in turn: refused, or the one byte that says version 0 or 1. */
TEST(damaged_keys_are_refused) {
    uint8_t der[256];
    size_t n, n_taken = 0;
    struct sign_private k;
    struct sign_public p;
    struct buf b;
    buf_init(&b, 4096);
    CHECK_OK(sign_pem_read(STR(SIGN_PRIVATE), STR("PRIVATE KEY"), der, sizeof der, &n, &sign_e), sign_e);
    for (size_t i = 0; i < n; i++) {
        der[i] ^= 1;
        buf_reset(&b);
        sign_pem_write(&b, "PRIVATE KEY", der, n, 64);
        err_clear(&sign_e);
        if (sign_private_read(buf_str(&b), STR_EMPTY, &k, &sign_e)) n_taken++;
        der[i] ^= 1;
    }
    CHECK_EQ(n_taken, 1);
    n_taken = 0;
    err_clear(&sign_e);
    CHECK_OK(sign_pem_read(STR(SIGN_PUBLIC), STR("PUBLIC KEY"), der, sizeof der, &n, &sign_e), sign_e);
    for (size_t i = 0; i <= n; i++) {
        if (i < n) der[i] ^= 1;
        buf_reset(&b);
        sign_pem_write(&b, "PUBLIC KEY", der, i < n ? n : n - 1, 64);
        err_clear(&sign_e);
        if (sign_public_read(buf_str(&b), &p, &sign_e)) n_taken++;
        if (i < n) der[i] ^= 1;
    }
    CHECK_EQ(n_taken, 0);
    buf_release(&b);
}

TEST(other_keys_are_refused_by_name) {
    static const struct { const char *text, *name; } cases[] = {
        { "-----BEGIN EC PRIVATE KEY-----\n", "SEC1" },
        { "-----BEGIN EC PARAMETERS-----\n", "SEC1" },
        { "-----BEGIN RSA PRIVATE KEY-----\n", "an RSA key" },
        { "-----BEGIN DSA PRIVATE KEY-----\n", "a DSA key" },
        { "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n", "cosign's own box" },
        { "-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n", "cosign's own box" },
        { "-----BEGIN OPENSSH PRIVATE KEY-----\n", "an OpenSSH key" },
        { "-----BEGIN PGP PRIVATE KEY BLOCK-----\n", "an OpenPGP key" },
        { "-----BEGIN CERTIFICATE-----\n", "a certificate" },
        { "-----BEGIN SOMETHING-----\n", "a PEM block of another kind" },
        { "untrusted comment: minisign encrypted secret key\n", "minisign" },
        { "ssh-ed25519 AAAA me\n", "a public key of SSH" },
        { "PuTTY-User-Key-File-3: ssh-ed25519\n", "a PuTTY key" },
        { "{\"kty\":\"EC\"}", "JSON" },
        { "0\x82\x01\x02", "binary" },
        { "hello", "no key file that is known" },
    };
    struct sign_private k;
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        CHECK_ERR(sign_private_read(str_cstr(cases[i].text), STR_EMPTY, &k, &sign_e), sign_e,
                  ERR_UNSUPPORTED);
        if (!strstr(sign_e.msg, cases[i].name))
            test_fail(__FILE__, __LINE__, "'%s' is not named '%s'", sign_e.msg, cases[i].name);
        CHECK(sign_e.hint[0]);
    }
    CHECK_ERR(sign_private_read(STR(" \n"), STR_EMPTY, &k, &sign_e), sign_e, ERR_FORMAT);
}

/* ---- bundles and statements ---------------------------------------------------------------------- */

#define SIGN_HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct sign_private sign_key_of_tests(void) {
    struct sign_private k;
    err_clear(&sign_e);
    CHECK_OK(sign_private_read(STR(SIGN_PRIVATE), STR_EMPTY, &k, &sign_e), sign_e);
    return k;
}

TEST(message_bundles) {
    struct sign_private k = sign_key_of_tests(), stranger = k;
    struct sign_public keys[2];
    struct sign_bundle b;
    struct arena a;
    struct buf one, two;
    uint8_t digest[32];
    size_t which = 9;
    arena_init(&a, (size_t)4 << 20);
    buf_init(&one, SIGN_MAX_BUNDLE);
    buf_init(&two, SIGN_MAX_BUNDLE);
    sign_hashed(STR("hello\n"), digest);
    CHECK_OK(sign_bundle_message(&k, digest, &one, &sign_e), sign_e);
    CHECK_OK(sign_bundle_message(&k, digest, &two, &sign_e), sign_e);
    CHECK_STR(buf_str(&one), buf_str(&two));
    if (!strstr(one.p, SIGN_HINT)) test_fail(__FILE__, __LINE__, "%s", one.p);
    stranger.scalar[31] ^= 1;
    CHECK(sign_curve_public(stranger.scalar, stranger.pub.point));
    keys[0] = stranger.pub;
    keys[1] = k.pub;
    CHECK_OK(sign_bundle_read(&a, buf_str(&one), &b, &sign_e), sign_e);
    CHECK(!b.is_dsse && memcmp(b.digest, digest, 32) == 0);
    CHECK_STR(b.hint, str_cstr(k.pub.hint));
    CHECK_OK(sign_bundle_check(&b, keys, 2, &which, &sign_e), sign_e);
    CHECK_EQ(which, 1);
    memcpy(stranger.pub.hint, "another", 8);
    CHECK_ERR(sign_bundle_check(&b, &stranger.pub, 1, NULL, &sign_e), sign_e, ERR_INTEGRITY);
    CHECK(strstr(sign_e.msg, "none of the 1 key"));
    b.digest[0] ^= 1;
    CHECK_ERR(sign_bundle_check(&b, keys, 2, NULL, &sign_e), sign_e, ERR_INTEGRITY);
    CHECK(strstr(sign_e.msg, "names the right key"));
    CHECK_ERR(sign_bundle_check(&b, NULL, 0, NULL, &sign_e), sign_e, ERR_INTEGRITY);
    buf_release(&one);
    buf_release(&two);
    arena_release(&a);
}

TEST(pae_is_unambiguous) {
    struct buf b;
    buf_init(&b, 1000);
    sign_dsse_pae(&b, STR("http://example.com/HelloWorld"), STR("hello world"));
    CHECK_STR(buf_str(&b), STR("DSSEv1 29 http://example.com/HelloWorld 11 hello world"));
    buf_release(&b);
}

static struct str sign_statement_bundle(struct arena *a, const struct sign_note *notes, size_t n,
                                        struct str hex, struct str predicate) {
    struct sign_private k = sign_key_of_tests();
    struct buf statement, bundle;
    buf_init(&statement, SIGN_MAX_PAYLOAD);
    buf_init(&bundle, SIGN_MAX_BUNDLE);
    CHECK_OK(sign_statement_write(&statement, hex, predicate, notes, n, STR_EMPTY, &sign_e), sign_e);
    CHECK_OK(sign_bundle_dsse(&k, STR(SIGN_IN_TOTO_TYPE), buf_str(&statement), &bundle, &sign_e),
             sign_e);
    struct str copy = str_dup(a, buf_str(&bundle));
    buf_release(&statement);
    buf_release(&bundle);
    return copy;
}

TEST(artifacts_are_checked) {
    static const struct sign_note notes[] = { { STR("tag"), STR("x") }, { STR("version"), STR("v1.0.0") } };
    struct sign_private k = sign_key_of_tests();
    struct sign_statement said;
    struct arena a;
    struct buf b;
    arena_init(&a, (size_t)4 << 20);
    buf_init(&b, 4096);
    CHECK_OK(sign_statement_write(&b, STR(SIGN_HEX), STR(SIGN_COSIGN_PREDICATE), NULL, 0, STR_EMPTY, &sign_e), sign_e);
    CHECK_STR(buf_str(&b), STR("{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{\"digest\":"
        "{\"sha256\":\"" SIGN_HEX "\"}}],\"predicateType\":\"https://sigstore.dev/cosign/sign/v1\","
        "\"predicate\":{}}"));
    CHECK_ERR(sign_statement_write(&b, STR(SIGN_HEX), STR("x"), (const struct sign_note[]){ notes[1], notes[0] },
                                   2, STR_EMPTY, &sign_e), sign_e, ERR_INVALID);
    struct str text = sign_statement_bundle(&a, notes, 2, STR(SIGN_HEX), STR(SIGN_COSIGN_PREDICATE));
    CHECK_OK(sign_artifact_check(&a, text, STR(SIGN_HEX), &k.pub, 1, &said, NULL, &sign_e), sign_e);
    CHECK(said.n_notes == 2 && str_eq(said.notes[1].value, STR("v1.0.0")));
    struct str other = str_dup(&a, STR(SIGN_HEX));
    ((char *)(uintptr_t)other.p)[0] = 'f';
    CHECK_ERR(sign_artifact_check(&a, text, other, &k.pub, 1, &said, NULL, &sign_e), sign_e, ERR_INTEGRITY);
    CHECK(strstr(sign_e.msg, "not for this"));
    text = sign_statement_bundle(&a, NULL, 0, STR(SIGN_HEX), STR("https://slsa.dev/provenance/v1"));
    CHECK_ERR(sign_artifact_check(&a, text, STR(SIGN_HEX), &k.pub, 1, &said, NULL, &sign_e), sign_e,
              ERR_UNSUPPORTED);
    buf_release(&b);
    arena_release(&a);
}

TEST(strange_bundles_are_refused) {
#define SIGN_B(type, material, rest) "{\"mediaType\":\"" type "\",\"verificationMaterial\":{" material "}" rest "}"
#define SIGN_V3 "application/vnd.dev.sigstore.bundle.v0.3+json"
#define SIGN_KEY "\"publicKey\":{\"hint\":\"x\"}"
#define SIGN_M(alg, digest, sig) ",\"messageSignature\":{\"messageDigest\":{\"algorithm\":\"" alg "\",\"digest\":\"" digest "\"},\"signature\":\"" sig "\"}"
#define SIGN_D "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    static const struct { enum err_code code; const char *text; } cases[] = {
        { ERR_OK, SIGN_B(SIGN_V3, SIGN_KEY, SIGN_M("SHA2_256", SIGN_D, "AAAA")) },
        { ERR_OK, SIGN_B("application/vnd.dev.sigstore.bundle+json;version=0.1", SIGN_KEY, SIGN_M("SHA2_256", SIGN_D, "AAAA")) },
        { ERR_UNSUPPORTED, SIGN_B("application/vnd.dev.sigstore.bundle.v0.4+json", SIGN_KEY, "") },
        { ERR_UNSUPPORTED, SIGN_B(SIGN_V3, "\"certificate\":{\"rawBytes\":\"AAAA\"}", SIGN_M("SHA2_256", SIGN_D, "AAAA")) },
        { ERR_UNSUPPORTED, SIGN_B(SIGN_V3, SIGN_KEY, SIGN_M("SHA2_512", SIGN_D, "AAAA")) },
        { ERR_FORMAT, SIGN_B(SIGN_V3, "", SIGN_M("SHA2_256", SIGN_D, "AAAA")) },
        { ERR_FORMAT, SIGN_B(SIGN_V3, SIGN_KEY, "") },
        { ERR_FORMAT, SIGN_B(SIGN_V3, SIGN_KEY, SIGN_M("SHA2_256", "AAAA", "AAAA")) },
        { ERR_FORMAT, SIGN_B(SIGN_V3, SIGN_KEY, SIGN_M("SHA2_256", SIGN_D, "")) },
        { ERR_FORMAT, SIGN_B(SIGN_V3, SIGN_KEY, SIGN_M("SHA2_256", SIGN_D, "A")) },
        { ERR_FORMAT, SIGN_B(SIGN_V3, SIGN_KEY, ",\"dsseEnvelope\":{\"payload\":\"AAAA\",\"payloadType\":\"x\",\"signatures\":[]}") },
        { ERR_FORMAT, SIGN_B(SIGN_V3, SIGN_KEY, ",\"dsseEnvelope\":{\"payload\":\"AAAA\",\"payloadType\":\"x\",\"signatures\":[{\"sig\":\"AAAA\"},{\"sig\":\"AAAA\"}]}") },
        { ERR_OK, SIGN_B(SIGN_V3, SIGN_KEY, ",\"dsseEnvelope\":{\"payload\":\"AAAA\",\"payloadType\":\"x\",\"signatures\":[{\"sig\":\"AAAA\",\"keyid\":\"\"}]}") },
        { ERR_FORMAT, SIGN_B(SIGN_V3, SIGN_KEY, SIGN_M("SHA2_256", SIGN_D, "AAAA") ",\"dsseEnvelope\":{}") },
        { ERR_FORMAT, "[]" }, { ERR_FORMAT, "{}" }, { ERR_FORMAT, "" },
    };
#undef SIGN_B
#undef SIGN_V3
#undef SIGN_KEY
#undef SIGN_M
#undef SIGN_D
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        struct arena a;
        struct sign_bundle b;
        arena_init(&a, (size_t)1 << 20);
        err_clear(&sign_e);
        (void)sign_bundle_read(&a, str_cstr(cases[i].text), &b, &sign_e);
        if (sign_e.code != cases[i].code)
            test_fail(__FILE__, __LINE__, "case %zu: code %d (%s)", i, (int)sign_e.code, sign_e.msg);
        arena_release(&a);
    }
}

/* ---- Ed25519, minisign ---------------------------------------------------------------------------- */

/* RFC 8032 section 7.1, tests 1 and 3; RFC 7693 appendix A; FIPS 180-2 C.1. */
TEST(ed25519_of_the_rfc) {
    static const struct { const char *seed, *key, *message, *signature; size_t n; } cases[] = {
        { "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
          "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
          "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
          "d25bf5f0595bbe24655141438e7a100b", 0 },
        { "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
          "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "\xaf\x82",
          "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
          "4a7c15e9716ed28dc027beceea1ec40a", 2 },
    };
    uint8_t seed[32], key[32], want_key[32], signature[64], want[64];
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        struct str message = { cases[i].message, cases[i].n };
        sign_unhex(cases[i].seed, seed);
        sign_unhex(cases[i].key, want_key);
        sign_unhex(cases[i].signature, want);
        sign_ed25519_public(seed, key);
        sign_ed25519(seed, message, signature);
        CHECK(memcmp(key, want_key, 32) == 0 && memcmp(signature, want, 64) == 0);
        CHECK(sign_ed25519_holds(key, message, signature));
        CHECK(!sign_ed25519_holds(key, STR("x"), signature));
        signature[63] ^= 1;
        CHECK(!sign_ed25519_holds(key, message, signature));
        memset(key, 0, 32);                                   /* a point of small order */
        CHECK(!sign_ed25519_holds(key, message, want));
    }
    struct sign_blake2b s;
    sign_blake2b_init(&s, 64);
    for (const char *p = "abc"; *p; p++) sign_blake2b_update(&s, p, 1);
    sign_blake2b_final(&s, signature, 64);
    sign_unhex("ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
               "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923", want);
    CHECK(memcmp(signature, want, 64) == 0);
    sign_sha512(STR("abc"), signature);
    sign_unhex("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
               "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f", want);
    CHECK(memcmp(signature, want, 64) == 0);
}

TEST(minisign_files) {
    struct sign_mini_public p, bare;
    struct sign_mini_private k;
    struct sign_mini_signature s;
    struct sign_blake2b h;
    struct str file = STR("hello\n"), hashed;
    struct buf b;
    uint8_t hash[64];
    char name[17];
    buf_init(&b, 1 << 16);
    sign_blake2b_init(&h, 64);
    sign_blake2b_update(&h, file.p, file.n);
    sign_blake2b_final(&h, hash, 64);
    hashed = (struct str){ (char *)hash, 64 };
    CHECK_OK(sign_mini_public_read(STR(SIGN_MINI_PUBLIC_TEXT), &p, &sign_e), sign_e);
    CHECK_OK(sign_mini_public_read(STR("RWTBJUdDNNsdsRPvmxDLQxG8/EUm9SFBw9fkHufBhkLWA0J2hHiiHpGP"), &bare, &sign_e), sign_e);
    CHECK(memcmp(&p, &bare, sizeof p) == 0);
    sign_mini_name(p.number, name);
    CHECK_STR(str_cstr(name), STR("B11DDB34434725C1"));
    CHECK_OK(sign_mini_private_read(STR(SIGN_MINI_SECRET_TEXT), &k, &sign_e), sign_e);
    CHECK(memcmp(&p, &k.pub, sizeof p) == 0);
    CHECK_OK(sign_mini_read(STR(SIGN_MINI_LEGACY), &s, &sign_e), sign_e);
    CHECK(!s.prehashed);
    CHECK_OK(sign_mini_check(&s, &p, file, &sign_e), sign_e);
    CHECK_ERR(sign_mini_check(&s, &p, STR("hello"), &sign_e), sign_e, ERR_INTEGRITY);
    err_clear(&sign_e);
    CHECK_OK(sign_mini_read(STR(SIGN_MINI_HASHED), &s, &sign_e), sign_e);
    CHECK(s.prehashed);
    CHECK_STR(s.comment, STR("a comment"));
    CHECK_OK(sign_mini_check(&s, &p, hashed, &sign_e), sign_e);
    s.comment = STR("a Comment");
    CHECK_ERR(sign_mini_check(&s, &p, hashed, &sign_e), sign_e, ERR_INTEGRITY);
    CHECK(strstr(sign_e.msg, "trusted comment"));
    p.number[0] ^= 1;
    CHECK_ERR(sign_mini_check(&s, &p, hashed, &sign_e), sign_e, ERR_INTEGRITY);
    CHECK(strstr(sign_e.msg, "with the key B11DDB34434725C1"));
    /* What we write is what minisign wrote but for the line that nobody trusts. */
    buf_reset(&b);
    err_clear(&sign_e);
    CHECK_OK(sign_mini_write(&k, hash, STR("a comment"), &b, &sign_e), sign_e);
    struct str ours = buf_str(&b), theirs = STR(SIGN_MINI_HASHED);
    (void)str_cut(&ours, '\n');
    (void)str_cut(&theirs, '\n');
    CHECK_STR(ours, theirs);
    CHECK_ERR(sign_mini_write(&k, hash, STR("two\nlines"), &b, &sign_e), sign_e, ERR_INVALID);
    buf_release(&b);
}

/* Every character of a file changed in turn: never taken as good. */
TEST(damaged_minisign_files_are_refused) {
    struct sign_mini_public p;
    struct sign_mini_signature s;
    char text[] = SIGN_MINI_LEGACY;
    size_t n_good = 0;
    CHECK_OK(sign_mini_public_read(STR(SIGN_MINI_PUBLIC_TEXT), &p, &sign_e), sign_e);
    for (size_t i = 0; text[i]; i++) {
        text[i] ^= 1;
        err_clear(&sign_e);
        if (sign_mini_read(str_cstr(text), &s, &sign_e) && sign_mini_check(&s, &p, STR("hello\n"), &sign_e))
            n_good++;
        text[i] ^= 1;
    }
    CHECK_EQ(n_good, sizeof "signature from minisign secret key" - 1);   /* the untrusted comment */
    struct sign_mini_private k;
    char secret[] = SIGN_MINI_SECRET_TEXT;
    size_t begin = (size_t)(strchr(secret, '\n') - secret) + 1;
    for (size_t i = begin; secret[i]; i++) {
        secret[i] = (char)(secret[i] == 'A' ? 'B' : 'A');
        err_clear(&sign_e);
        bool taken = sign_mini_private_read(str_cstr(secret), &k, &sign_e);
        secret[i] = SIGN_MINI_SECRET_TEXT[i];
        /* salt, limits and the number of a key without password mean nothing or anything */
        if (taken && i >= begin + 84) test_fail(__FILE__, __LINE__, "character %zu changed", i);
    }
}

/* ---- OpenSSH: made by ssh-keygen of OpenSSH 9.2 (the same files: tests/golden/sign) ------------------ */

#define SIGN_SSH_PUBLIC "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPzN25/PM5pchbgqjdYXj8QDPbC9wWDaAuHflI4fST9b"
static const char sign_ssh_sha512[] =
    "-----BEGIN SSH SIGNATURE-----\n"
    "U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAg/M3bn88zmlyFuCqN1hePxAM9sL\n"
    "3BYNoC4d+Ujh9JP1sAAAAEZmlsZQAAAAAAAAAGc2hhNTEyAAAAUwAAAAtzc2gtZWQyNTUx\n"
    "OQAAAEDrYTPYssiSlro3a1ZHoAmyaFBm1tHUe3csHoBjuXcwpLZbOGvBwJb7slp6pJ7NXW\n"
    "BzcwBbpQQXgybX022Mt7AD\n"
    "-----END SSH SIGNATURE-----\n";
static const char sign_ssh_sha256[] =
    "-----BEGIN SSH SIGNATURE-----\n"
    "U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAg/M3bn88zmlyFuCqN1hePxAM9sL\n"
    "3BYNoC4d+Ujh9JP1sAAAAEZmlsZQAAAAAAAAAGc2hhMjU2AAAAUwAAAAtzc2gtZWQyNTUx\n"
    "OQAAAECfd+TRmNNMAxhO0oxQ0gzVatd7b/79gA6tSsZViRWaF2FRgLMfR8Zke3UhM8els8\n"
    "QsdDFteZZ02d1lorGieIUF\n"
    "-----END SSH SIGNATURE-----\n";
static const char sign_ssh_git[] =
    "-----BEGIN SSH SIGNATURE-----\n"
    "U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAg/M3bn88zmlyFuCqN1hePxAM9sL\n"
    "3BYNoC4d+Ujh9JP1sAAAADZ2l0AAAAAAAAAAZzaGE1MTIAAABTAAAAC3NzaC1lZDI1NTE5\n"
    "AAAAQCQowNEaSubeer7xrUoyMK/9aGY6vp7miNJm6Z5kWZvt03w2RePmgPv/d4H75uovR8\n"
    "9pH9l78AEr7oVvUBRImg4=\n"
    "-----END SSH SIGNATURE-----\n";

TEST(signatures_of_openssh_hold) {
    const char *const good[] = { sign_ssh_sha512, sign_ssh_sha256 };
    struct sign_ssh_public keys[3];
    struct sign_ssh_signature s;
    char name[51];
    size_t n;
    CHECK_OK(sign_ssh_public_read(STR("# owners\n\n" SIGN_SSH_PUBLIC " a comment\na,b@c " SIGN_SSH_PUBLIC "\n"
        "a namespaces=\"git\" " SIGN_SSH_PUBLIC "\na namespaces=\"git,file\" " SIGN_SSH_PUBLIC), STR("file"), keys, 3, &n, &sign_e), sign_e);
    CHECK_EQ(n, 3);
    CHECK(memcmp(&keys[0], &keys[1], sizeof keys[0]) == 0);
    sign_ssh_name(&keys[0], name);
    CHECK_STR(str_cstr(name), STR("SHA256:eSBX8xcnu0BINW8QnTDa/u2WDqRA3ASjmzw2ZclMg0U"));
    for (size_t i = 0; i < MLXK_COUNT(good); i++) {
        CHECK_OK(sign_ssh_read(str_cstr(good[i]), STR("file"), &s, &sign_e), sign_e);
        CHECK(memcmp(&s.by, &keys[0], sizeof s.by) == 0);
        CHECK_OK(sign_ssh_check(&s, STR("file"), STR("hello\n"), &sign_e), sign_e);
        CHECK_ERR(sign_ssh_check(&s, STR("file"), STR("hello"), &sign_e), sign_e, ERR_INTEGRITY);
        CHECK_ERR(sign_ssh_check(&s, STR("git"), STR("hello\n"), &sign_e), sign_e, ERR_INTEGRITY);
    }
    CHECK_ERR(sign_ssh_read(str_cstr(sign_ssh_git), STR("file"), &s, &sign_e), sign_e, ERR_INTEGRITY);
}

TEST(what_limits_a_key_of_openssh_is_refused) {
    static const struct { const char *text; enum err_code code; } bad[] = {
        { "", ERR_FORMAT }, { "# nothing\n", ERR_FORMAT }, { "ssh-ed25519 AAAA", ERR_FORMAT },
        { SIGN_SSH_PUBLIC "AAAA", ERR_FORMAT }, { "ssh-rsa AAAAB3NzaC1yc2E=", ERR_UNSUPPORTED },
        { "a namespaces=\"git\" " SIGN_SSH_PUBLIC, ERR_FORMAT }, { "a namespaces=\"f*\" " SIGN_SSH_PUBLIC, ERR_UNSUPPORTED },
        { "a namespaces=\"file\",valid-before=\"20200101\" " SIGN_SSH_PUBLIC, ERR_UNSUPPORTED }, { "cert-authority " SIGN_SSH_PUBLIC "\nssh-rsa AAAA", ERR_UNSUPPORTED },
        { "a valid-before=\"20200101\" " SIGN_SSH_PUBLIC, ERR_UNSUPPORTED },
        { SIGN_SSH_PUBLIC "\n" SIGN_SSH_PUBLIC "\n" SIGN_SSH_PUBLIC "\n" SIGN_SSH_PUBLIC, ERR_LIMIT },
    };
    struct sign_ssh_public keys[3];
    size_t n;
    for (size_t i = 0; i < MLXK_COUNT(bad); i++)
        CHECK_ERR(sign_ssh_public_read(str_cstr(bad[i].text), STR("file"), keys, 3, &n, &sign_e), sign_e, bad[i].code);
}

/* Every character changed in turn, and every length that is too short. */
TEST(damaged_signatures_of_openssh_are_refused) {
    char text[sizeof sign_ssh_sha512];
    struct sign_ssh_public key;
    struct sign_ssh_signature s;
    size_t n, n_good = 0;
    memcpy(text, sign_ssh_sha512, sizeof text);
    CHECK_OK(sign_ssh_public_read(STR(SIGN_SSH_PUBLIC), STR("file"), &key, 1, &n, &sign_e), sign_e);
    for (size_t i = 0; text[i + 1]; i++) {       /* behind the last line there may be white space */
        for (char change = 1; change < 64; change *= 2) {
            text[i] ^= change;
            err_clear(&sign_e);
            n_good += sign_ssh_read(str_cstr(text), STR("file"), &s, &sign_e) && memcmp(&s.by, &key, sizeof key) == 0
                      && sign_ssh_check(&s, STR("file"), STR("hello\n"), &sign_e);
            text[i] ^= change;
        }
        err_clear(&sign_e);
        CHECK(!sign_ssh_read((struct str){ text, i }, STR("file"), &s, &sign_e));
    }
    CHECK_EQ(n_good, 0);
}

/* ---- policies --------------------------------------------------------------------------------------- */

static bool sign_policy_of(struct arena *a, const char *text_cstr, struct sign_policy *out) {
    err_clear(&sign_e);
    return sign_policy_read(a, str_cstr(text_cstr), test_scratch_dir(), out, &sign_e);
}

TEST(policies_are_read_in_full_or_not) {
    static const char *const bad[] = {
        "", "[]", "{}", "{\"rules\":{}}", "{\"rules\":[],\"rule\":[]}", "{\"rules\":[1]}",
        "{\"rules\":[{\"prefix\":\"\"}]}", "{\"rules\":[{\"require\":\"none\"}]}",
        "{\"rules\":[{\"prefix\":\"\",\"require\":\"sometimes\"}]}",
        "{\"rules\":[{\"prefix\":\"\",\"require\":\"signed\"}]}",
        "{\"rules\":[{\"prefix\":\"\",\"require\":\"signed\",\"keys\":[]}]}",
        "{\"rules\":[{\"prefix\":\"\",\"require\":\"none\",\"key\":[]}]}",
        "{\"rules\":[{\"prefix\":\"\",\"require\":\"none\",\"keys\":[1]}]}",
        "{\"rules\":[{\"prefix\":\"\",\"require\":\"none\",\"keys\":[\"\"]}]}",
        "{\"rules\":[{\"prefix\":\"\",\"require\":\"signed\",\"keys\":[\"-----BEGIN PUBLIC KEY-----\"]}]}",
        "{\"rules\":[{\"prefix\":\"a.x\",\"require\":\"none\"},{\"prefix\":\"A.x/\",\"require\":\"none\"}]}",
        "{\"rules\":[{\"prefix\":\"org/model\",\"require\":\"none\"}]}",
        "{\"rules\":[{\"prefix\":\"https://a.x\",\"require\":\"none\"}]}",
        "{\"rules\":[{\"prefix\":\"a.x/m:v1\",\"require\":\"none\"}]}",
        "{\"rules\":[{\"prefix\":\"a.x:443/m\",\"require\":\"none\"}]}",
        "{\"rules\":[{\"prefix\":\"*.x/m\",\"require\":\"none\"}]}",
        "{\"rules\":[{\"prefix\":\"/\",\"require\":\"none\"}]}",
        "{\"rules\":[{\"prefix\":\" a.x\",\"require\":\"none\"}]}",
    };
    for (size_t i = 0; i < MLXK_COUNT(bad); i++) {
        struct arena a;
        struct sign_policy p;
        arena_init(&a, (size_t)1 << 20);
        if (sign_policy_of(&a, bad[i], &p)) test_fail(__FILE__, __LINE__, "case %zu was taken", i);
        arena_release(&a);
    }
    struct arena a;
    struct sign_policy p;
    arena_init(&a, (size_t)1 << 20);
    CHECK(!sign_policy_of(&a, "{\"rules\":[{\"prefix\":\"\",\"require\":\"signed\",\"keys\":[\"absent.pem\"]}]}", &p));
    CHECK_EQ(sign_e.code, ERR_NOT_FOUND);
    char *path_cstr = os_path_join(&a, test_scratch_dir(), "policy.pub.pem");
    err_clear(&sign_e);
    CHECK_OK(os_write_file(path_cstr, STR(SIGN_PUBLIC), &sign_e), sign_e);
    CHECK(sign_policy_of(&a, "{\"rules\":[{\"prefix\":\"\",\"require\":\"signed\",\"keys\":[\"policy.pub.pem\"]}]}", &p));
    CHECK(p.n == 1 && p.rules[0].n_keys == 1 && p.rules[0].require == SIGN_REQUIRE_SIGNED);
    arena_release(&a);
}

TEST(the_longest_prefix_decides) {
    static const struct { const char *name, *prefix; } cases[] = {
        { "host.x/org/repo", "host.x/org" }, { "host.x/org", "host.x/org" }, { "host.x/organisation/x", "host.x" },
        { "host.x/org/repo/deep", "host.x/org/repo" }, { "other/x", "" }, { "hostess/x", "" },
        { "host.x/org/repository", "host.x/org" },
    };
    struct arena a;
    struct sign_policy p, none = { 0 };
    arena_init(&a, (size_t)1 << 20);
    /* "host.x/org/repo" stands for itself and what lies below it only in the cases above that say so */
    CHECK(sign_policy_of(&a, "{\"rules\":[{\"prefix\":\"\",\"require\":\"none\"},{\"prefix\":\"host.x/org\",\"require\":\"none\"},"
                             "{\"prefix\":\"HOST.x/\",\"require\":\"none\"},{\"prefix\":\"host.x/org/repo/deep\",\"require\":\"none\"}]}", &p));
    for (size_t i = 0; i < MLXK_COUNT(cases); i++) {
        const struct sign_rule *rule = sign_policy_match(&p, str_cstr(cases[i].name));
        const char *want = strcmp(cases[i].name, "host.x/org/repo/deep") ? cases[i].prefix : cases[i].name;
        if (!rule || !str_eq_cstr(rule->prefix, want))
            test_fail(__FILE__, __LINE__, "%s: rule '" STR_FMT "'", cases[i].name,
                      STR_ARG(rule ? rule->prefix : STR("none")));
    }
    CHECK(!sign_policy_match(&none, STR("host.x/x")));
    arena_release(&a);
}

TEST(policies_judge) {
    static const struct sign_note release[] = { { STR("version"), STR("v1.2.3") } };
    static const struct sign_note off_main[] = { { STR("version"), STR("v1.2.3-x") } };
    size_t which = 0;
    static const struct sign_note odd[] = { { STR("version"), STR("1.2.3") } };
    struct sign_private k = sign_key_of_tests();
    struct sign_rule rule = { .prefix = STR("host/"), .require = SIGN_REQUIRE_SIGNED, .keys = &k.pub, .n_keys = 1 };
    struct str name = STR("host/m"), hex = STR(SIGN_HEX), predicate = STR(SIGN_COSIGN_PREDICATE);
    struct arena a;
    arena_init(&a, (size_t)8 << 20);
    struct str plain = sign_statement_bundle(&a, NULL, 0, hex, predicate);
    struct str released = sign_statement_bundle(&a, release, 1, hex, predicate);
    struct str branched = sign_statement_bundle(&a, off_main, 1, hex, predicate);
    struct str badly = sign_statement_bundle(&a, odd, 1, hex, predicate);
    struct str both[] = { STR("{}"), plain }, all[] = { plain, released };
    CHECK_OK(sign_policy_judge(&a, NULL, name, hex, STR_EMPTY, NULL, 0, NULL, &sign_e), sign_e);
    CHECK_OK(sign_policy_judge(&a, &rule, name, hex, STR_EMPTY, both, 2, NULL, &sign_e), sign_e);
    CHECK_ERR(sign_policy_judge(&a, &rule, name, hex, STR_EMPTY, NULL, 0, NULL, &sign_e), sign_e, ERR_ACCESS);
    CHECK(strstr(sign_e.msg, "it has no signature"));
    CHECK_ERR(sign_policy_judge(&a, &rule, name, hex, STR_EMPTY, both, 1, NULL, &sign_e), sign_e, ERR_ACCESS);
    rule.require = SIGN_REQUIRE_RELEASE;
    CHECK_ERR(sign_policy_judge(&a, &rule, name, hex, STR_EMPTY, &plain, 1, NULL, &sign_e), sign_e, ERR_ACCESS);
    CHECK_ERR(sign_policy_judge(&a, &rule, name, hex, STR_EMPTY, &badly, 1, NULL, &sign_e), sign_e, ERR_ACCESS);
    err_clear(&sign_e);
    CHECK_OK(sign_policy_judge(&a, &rule, name, hex, STR_EMPTY, all, 2, NULL, &sign_e), sign_e);
    CHECK_OK(sign_policy_judge(&a, &rule, name, hex, STR("v1.2.3"), all, 2, NULL, &sign_e), sign_e);
    CHECK_ERR(sign_policy_judge(&a, &rule, name, hex, STR("v1.2.4"), all, 2, NULL, &sign_e), sign_e, ERR_ACCESS);
    CHECK(strstr(sign_e.msg, "release v1.2.3, not v1.2.4"));
    err_clear(&sign_e);
    CHECK_OK(sign_policy_judge(&a, &rule, name, hex, STR("v1.2"), all, 2, &which, &sign_e), sign_e);
    CHECK_EQ(which, 1u);                 /* a line has the releases that begin with it */
    CHECK_OK(sign_policy_judge(&a, &rule, name, hex, STR("v1"), all, 2, NULL, &sign_e), sign_e);
    CHECK_ERR(sign_policy_judge(&a, &rule, name, hex, STR("v2"), all, 2, NULL, &sign_e), sign_e, ERR_ACCESS);
    CHECK_ERR(sign_policy_judge(&a, &rule, name, hex, STR("v1.20"), all, 2, NULL, &sign_e), sign_e, ERR_ACCESS);
    CHECK_ERR(sign_policy_judge(&a, &rule, name, hex, STR("v1.2.30"), all, 2, NULL, &sign_e), sign_e, ERR_ACCESS);
    err_clear(&sign_e);
    CHECK_OK(sign_policy_judge(&a, &rule, name, hex, STR("v1.2.3-x"), &branched, 1, NULL, &sign_e), sign_e);
    CHECK_ERR(sign_policy_judge(&a, &rule, name, hex, STR("v1.2"), &branched, 1, NULL, &sign_e), sign_e, ERR_ACCESS);
    rule.require = SIGN_REQUIRE_NONE;
    err_clear(&sign_e);
    CHECK_OK(sign_policy_judge(&a, &rule, name, hex, STR_EMPTY, NULL, 0, NULL, &sign_e), sign_e);
    arena_release(&a);
}

TEST_LIST(sign) {
    T(der_takes_one_spelling), T(der_signatures_there_and_back), T(pem_blocks), T(signatures_of_the_rfc),
    T(passwords_become_keys), T(aes_decrypts), T(keys_are_read), T(damaged_keys_are_refused),
    T(other_keys_are_refused_by_name), T(message_bundles), T(pae_is_unambiguous), T(artifacts_are_checked),
    T(strange_bundles_are_refused), T(ed25519_of_the_rfc), T(minisign_files),
    T(damaged_minisign_files_are_refused), T(signatures_of_openssh_hold), T(what_limits_a_key_of_openssh_is_refused),
    T(damaged_signatures_of_openssh_are_refused), T(policies_are_read_in_full_or_not), T(the_longest_prefix_decides),
    T(policies_judge), TEST_END
};
