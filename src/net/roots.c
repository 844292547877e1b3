/* roots.c: the trust anchors that travel with the program (Mozilla's, by way of the certifi package). */
#include "net/net_int.h"

#include <net_roots.h>

MLXK_FN const uint8_t *net_root_at(size_t i, size_t *size_bytes) {
    if (i >= MLXK_COUNT(net_roots_end)) return NULL;
    size_t begin = i ? net_roots_end[i - 1] : 0;
    *size_bytes = net_roots_end[i] - begin;
    return net_roots_der + begin;
}
