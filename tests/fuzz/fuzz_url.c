/* fuzz_url.c: any text as an address, as a Location, and as a name to be encoded.
 *
 * Besides not crashing: what is accepted is sent safely (no byte that ends a request line or a
 * header), and its normal form parses to itself.
 *
 * covers: net/url.c
 */
#include "net/net_int.h"

int fuzz_url(const uint8_t *data, size_t size);

static void fuzz_url_safe(struct arena *a, const struct net_url *u) {
    struct err e = { 0 };
    struct net_url again;
    struct str text = net_url_text(a, u), parts[] = { u->target, u->authority };
    MLXK_ASSERT(u->target.n > 0 && u->target.p[0] == '/' && u->port > 0 && u->port < 65536);
    for (size_t k = 0; k < MLXK_COUNT(parts); k++)
        for (size_t i = 0; i < parts[k].n; i++)
            MLXK_ASSERT(parts[k].p[i] > ' ' && parts[k].p[i] < 0x7f);
    if (text.n > NET_MAX_URL) return;
    MLXK_ASSERT(net_url_parse(a, text, &again, &e));
    MLXK_ASSERT(net_url_same_origin(u, &again) && str_eq(u->target, again.target));
    MLXK_ASSERT(str_eq(u->authority, again.authority) && u->host_is_ip == again.host_is_ip);
}

int fuzz_url(const uint8_t *data, size_t size) {
    struct str text = { (const char *)data, size };
    struct arena a;
    struct err e = { 0 };
    struct net_url base, u;
    struct buf b;
    uint8_t ip[16];
    arena_init(&a, (size_t)1 << 20);
    if (net_url_parse(&a, text, &u, &e)) fuzz_url_safe(&a, &u);
    err_clear(&e);
    MLXK_ASSERT(net_url_parse(&a, STR("https://hub.example:8443/a/b?c"), &base, &e));
    if (net_url_resolve(&a, &base, text, &u, &e)) fuzz_url_safe(&a, &u);
    buf_init(&b, size * 3 + 1);
    net_url_encode(&b, text, "/");
    MLXK_ASSERT(!b.failed);
    for (size_t i = 0; i < b.n; i++) MLXK_ASSERT(b.p[i] > ' ' && b.p[i] < 0x7f);
    (void)net_ip_bytes(text, ip);
    buf_release(&b);
    arena_release(&a);
    return 0;
}
