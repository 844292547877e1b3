/* cache_ring.c: pieces of a file that lie in memory, written down already and not yet hashed.
 *
 *   writer: put (its buffer goes in, an empty one comes back) ──> take: who hashes ──> give_back
 *
 * Nothing is copied: buffers change hands.
 * 1. Pieces come out in the order in which they went in.
 * 2. Every buffer belongs to exactly one: the writer, a piece, the one who hashes, or the spare
 *    ones. One is made only when none is spare: never more than CACHE_RING and the one that is
 *    being hashed.
 */
#include "cache/cache_int.h"

MLXK_FN bool cache_ring_full(const struct cache_ring *r) {
    return r->n == CACHE_RING;
}

MLXK_FN bool cache_ring_put(struct cache_ring *r, uint8_t **buffer, size_t n) {
    MLXK_ASSERT(r->n < CACHE_RING && n <= CACHE_CHUNK);
    uint8_t *empty = r->n_spare ? r->spare[r->n_spare - 1] : mem_alloc(CACHE_CHUNK);
    if (!empty) {
        return false;
    }
    r->n_spare -= r->n_spare > 0;
    r->list[(r->first + r->n) % CACHE_RING] = (struct cache_piece){ *buffer, n };
    r->n++;
    *buffer = empty;
    return true;
}

MLXK_FN struct cache_piece cache_ring_take(struct cache_ring *r) {
    struct cache_piece piece = { NULL, 0 };
    if (r->n) {
        piece = r->list[r->first];
        r->first = (r->first + 1) % CACHE_RING;
        r->n--;
    }
    return piece;
}

MLXK_FN void cache_ring_give_back(struct cache_ring *r, struct cache_piece piece) {
    if (piece.p && r->n_spare < CACHE_RING) {
        r->spare[r->n_spare++] = piece.p;
    } else {
        mem_free(piece.p);
    }
}

MLXK_FN void cache_ring_clear(struct cache_ring *r) {
    while (r->n) {
        mem_free(cache_ring_take(r).p);
    }
    while (r->n_spare) {
        mem_free(r->spare[--r->n_spare]);
    }
}
