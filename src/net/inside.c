/* inside.c: is an address one of this machine, or of a network that nobody else reaches?
 *
 * 1. In doubt an address is inside: what is asked for the public network only does not go there.
 * 2. IPv4 inside IPv6 counts as what it leads to.
 * ref: RFC 6890 and its registries; inet_aton(3) for the spellings of IPv4.
 */
#include "net/net_int.h"

/* One part of an address as inet_aton reads it: decimal, 0x hexadecimal, 0 octal. */
static bool inside_number(struct str s, uint64_t *out) {
    bool hex = s.n > 1 && s.p[0] == '0' && (s.p[1] | 32) == 'x';
    unsigned base = hex ? 16 : s.n > 1 && s.p[0] == '0' ? 8 : 10;
    *out = 0;
    if (hex) s = str_sub(s, 2, s.n);
    for (size_t i = 0; i < s.n; i++) {
        int c = s.p[i] | 32;
        unsigned digit = s.p[i] >= '0' && s.p[i] <= '9' ? (unsigned)(s.p[i] - '0')
                       : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
        if (digit >= base || *out > UINT32_MAX) return false;
        *out = *out * base + digit;
    }
    return s.n > 0 || hex;
}

/* 127.0.0.1, and 127.1, 0x7f.1, 2130706433, as resolvers take them. */
static bool inside_v4(struct str host, uint32_t *out) {
    uint64_t address = 0, part;
    struct str rest = host;
    for (int n = 0; rest.p; n++) {
        struct str one = str_cut(&rest, '.');
        int free_bits = 32 - 8 * n;
        if (n == 4 || !inside_number(one, &part)) return false;
        if (part >> (rest.p ? 8 : free_bits)) return false;
        address |= rest.p ? part << (free_bits - 8) : part;
    }
    *out = (uint32_t)address;
    return true;
}

static bool inside_is_v4(uint32_t a) {
    return a >> 24 == 0 || a >> 24 == 10 || a >> 24 == 127 || a >> 16 == 0xa9fe /* link */
           || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 22 == 0x191 /* 100.64.0.0/10 */
           || a >> 28 >= 14;                                          /* many, or nobody */
}

static uint32_t inside_u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

MLXK_FN bool net_ip_is_inside(const uint8_t *ip, size_t n) {
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff },
                         nat64[12] = { 0, 0x64, 0xff, 0x9b };
    if (n == 4) return inside_is_v4(inside_u32(ip));
    if (n != 16) return true;
    if (!memcmp(ip, mapped, 12) || !memcmp(ip, nat64, 12)) return inside_is_v4(inside_u32(ip + 12));
    if (ip[0] == 0x20 && ip[1] == 2) return inside_is_v4(inside_u32(ip + 2));        /* 6to4 */
    return inside_u32(ip) == 0 || inside_u32(ip) == 0x64ff9b                         /* no host */
           || (ip[0] == 0xfe && ip[1] >> 6 >= 2) || ip[0] >> 1 == 0x7e || ip[0] == 0xff;
}

MLXK_FN bool net_host_is_inside(struct str host) {
    uint32_t v4;
    uint8_t ip[16];
    if (str_starts(host, STR("[")) && str_ends(host, STR("]"))) host = str_sub(host, 1, host.n - 1);
    if (str_find_char(host, ':') >= 0) return net_ip_is_inside(ip, net_ip_bytes(host, ip));
    if (str_ends(host, STR("."))) host = str_sub(host, 0, host.n - 1);
    if (inside_v4(host, &v4)) return inside_is_v4(v4);
    return str_ieq(host, STR("localhost"))
           || (host.n > 10 && str_ieq(str_sub(host, host.n - 10, host.n), STR(".localhost")));
}
