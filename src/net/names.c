/* names.c: is there anybody who could be asked for the address of a name?
 *
 * Some C libraries ask name servers that no way leads to, and wait ten seconds for their answer.
 * That no way leads to a server the system says at once. Only whether it is worth asking is decided
 * here; the question itself is the library's.
 *
 * 1. In doubt the library is asked: names in the file of hosts, no servers or odd ones.
 * Spec: resolv.conf(5), hosts(5).
 */
#include "net/net_int.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NAMES_PORT = 53 };

/* The next word of a line; empty at its end or at a comment. */
static struct str names_word(struct str *rest) {
    size_t from = 0, to;
    while (from < rest->n && (rest->p[from] == ' ' || rest->p[from] == '\t')) from++;
    for (to = from; to < rest->n && !strchr(" \t\r#;", rest->p[to]);) to++;
    struct str word = str_sub(*rest, from, to);
    *rest = word.n ? str_sub(*rest, to, rest->n) : STR_EMPTY;
    return word;
}

static bool names_listed(struct str host, struct str hosts) {
    while (hosts.n) {
        struct str line = str_cut(&hosts, '\n'), word = names_word(&line);
        while (word.n && (word = names_word(&line)).n)
            if (str_ieq(word, host)) return true;
    }
    return false;
}

/* Does a way lead to the server? A datagram socket that is connected sends nothing. */
static bool names_reachable(struct str server) {
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(NAMES_PORT) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(NAMES_PORT) };
    if (server.n >= sizeof text) return true;
    memcpy(text, server.p, server.n);
    text[server.n] = 0;
    bool v4 = inet_pton(AF_INET, text, &in.sin_addr) == 1;
    if (!v4 && inet_pton(AF_INET6, text, &in6.sin6_addr) != 1) return true;
    int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    if (fd < 0) return true;
    bool ok = (v4 ? connect(fd, (const struct sockaddr *)(const void *)&in, sizeof in)
                  : connect(fd, (const struct sockaddr *)(const void *)&in6, sizeof in6)) == 0;
    close(fd);
    return ok;
}

/* ---- (Public to the room) -------------------------------------------------------------------- */

MLXK_FN bool net_names_lost(struct str host, struct str hosts, struct str resolv) {
    size_t n = 0;
    if (names_listed(host, hosts)) return false;
    while (resolv.n) {
        struct str line = str_cut(&resolv, '\n');
        if (!str_eq(names_word(&line), STR("nameserver"))) continue;
        if (names_reachable(names_word(&line))) return false;
        n++;
    }
    return n > 0;
}
