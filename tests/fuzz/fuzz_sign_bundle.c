/* fuzz_sign_bundle.c: any text as a bundle, as a statement, and as a policy. Nothing that is
 * read is of a key that did not sign.
 *
 * covers: sign/sign_bundle.c:sign_bundle_read sign/sign_bundle.c:sign_bundle_check
 * covers: sign/sign_bundle.c:sign_bundle_dsse sign/sign_bundle.c:sign_bundle_material
 * covers: sign/sign_statement.c sign/sign_simple.c
 * covers: sign/sign_policy.c:sign_policy_read sign/sign_policy.c:sign_policy_rule
 * covers: sign/sign_policy.c:sign_policy_prefix sign/sign_policy.c:sign_policy_members
 */
#include "sign/sign_int.h"

int fuzz_sign_bundle(const uint8_t *data, size_t size);

int fuzz_sign_bundle(const uint8_t *data, size_t size) {
    static const uint8_t one[32] = { [31] = 1 };
    struct str text = { (const char *)data, size };
    struct sign_private k = { 0 };
    struct sign_bundle b;
    struct sign_statement s;
    struct sign_policy p;
    struct arena a;
    struct err e = { 0 }, e2 = { 0 }, e3 = { 0 }, e4 = { 0 };
    arena_init(&a, (size_t)32 << 20);
    memcpy(k.scalar, one, 32);
    MLXK_ASSERT(sign_curve_public(one, k.pub.point));
    if (sign_bundle_read(&a, text, &b, &e)) {
        MLXK_ASSERT(b.signature.n <= SIGN_MAX_DER && b.payload.n <= SIGN_MAX_PAYLOAD);
        (void)sign_bundle_check(&b, &k.pub, 1, NULL, &e);
    } else MLXK_ASSERT(e.code != ERR_OK);
    struct err e5 = { 0 }, e6 = { 0 };
    struct buf pair, sig;                        /* the text as a payload of the older kind, signed */
    struct sha256 h;
    uint8_t digest[32], der[SIGN_MAX_DER];
    size_t n_der;
    buf_init(&pair, SIGN_MAX_BUNDLE);
    buf_init(&sig, SIGN_MAX_BUNDLE);
    sha256_init(&h);
    sha256_update(&h, data, size);
    sha256_final(&h, digest);
    if (size <= SIGN_MAX_PAYLOAD && sign_p256(&k, digest, der, &n_der, &e5)) {
        struct sign_statement older;
        base64_write(&sig, der, n_der);
        MLXK_ASSERT(sign_simple_write(&pair, text, buf_str(&sig), &e5) && sign_simple_is(buf_str(&pair)));
        if (sign_simple_said(&a, buf_str(&pair), &k.pub, 1, &older, NULL, &e6))
            MLXK_ASSERT(str_is_hex(older.digest_hex, 64));
        else MLXK_ASSERT(e6.code != ERR_OK);
    }
    buf_release(&sig);
    buf_release(&pair);
    if (sign_statement_read(&a, text, &s, &e2)) {
        struct buf out;
        MLXK_ASSERT(str_is_hex(s.digest_hex, 64));
        buf_init(&out, SIGN_MAX_PAYLOAD);        /* what was read can be said again, and signed */
        if (sign_statement_write(&out, s.digest_hex, s.predicate_type, s.notes, s.n_notes, STR_EMPTY, &e4)) {
            struct sign_rule rule = { .require = SIGN_REQUIRE_SIGNED, .keys = &k.pub, .n_keys = 1 };
            struct buf bundle;
            struct str said;
            buf_init(&bundle, SIGN_MAX_BUNDLE);
            MLXK_ASSERT(sign_bundle_dsse(&k, STR(SIGN_IN_TOTO_TYPE), buf_str(&out), &bundle, &e4));
            said = buf_str(&bundle);
            bool ok = sign_policy_judge(&a, &rule, STR("x"), s.digest_hex, STR_EMPTY, &said, 1, NULL, &e4);
            MLXK_ASSERT(ok == str_eq(s.predicate_type, STR(SIGN_COSIGN_PREDICATE)));
            buf_release(&bundle);
        }
        buf_release(&out);
    } else MLXK_ASSERT(e2.code != ERR_OK);
    if (sign_policy_read(&a, text, "/nonexistent", &p, &e3)) {
        for (size_t i = 0; i < p.n; i++)
            MLXK_ASSERT(p.rules[i].require == SIGN_REQUIRE_NONE || p.rules[i].n_keys);
        MLXK_ASSERT(!p.n || sign_policy_match(&p, p.rules[0].prefix) == &p.rules[0]);
    } else MLXK_ASSERT(e3.code != ERR_OK);
    arena_release(&a);
    return 0;
}
