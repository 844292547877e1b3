/* fuzz_lz4.c: any bytes as an LZ4 frame, into memory that is a little too small and then enough.
 *
 * Besides not crashing: what is unpacked is the same whatever room there was, and never more than
 * the frame can hold.
 *
 * covers: format/lz4.c
 */
#include "format/format.h"

int fuzz_lz4(const uint8_t *data, size_t size);

int fuzz_lz4(const uint8_t *data, size_t size) {
    struct str frame = { (const char *)data, size };
    size_t cap = (size_t)1 << 20, n = 0, n_again = 0;
    struct err e = { 0 };
    uint8_t *out = mem_alloc(cap), *exact = NULL;
    MLXK_ASSERT(out);
    bool ok = lz4_unpack(out, cap, &n, frame, &e);
    MLXK_ASSERT(ok == (e.code == ERR_OK) && n <= cap && (ok || n == 0));
    if (ok) {
        MLXK_ASSERT(n / 255 <= size);
        exact = mem_alloc(n ? n : 1);
        MLXK_ASSERT(exact && lz4_unpack(exact, n, &n_again, frame, &e) && n_again == n);
        MLXK_ASSERT(!n || memcmp(exact, out, n) == 0);
        MLXK_ASSERT(!n || !lz4_unpack(exact, n - 1, &n_again, frame, &e));
        MLXK_ASSERT(size < 2 || n == 0 || e.code == ERR_LIMIT);
    }
    mem_free(exact);
    mem_free(out);
    return 0;
}
