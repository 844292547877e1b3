/* gcm_body.h: AES-GCM over whole blocks, in terms of a few vector operations; included once per
 * file that defines them (gcm_ni.c, gcm_arm.c). Not a contract: no guard.
 *
 * The file gives: gcm_v (16 bytes), GCM_TARGET, gcm_load, gcm_store, gcm_xor, gcm_swap (bytes in
 * reverse), gcm_halves (the two halves exchanged), gcm_up and gcm_down (one half towards the higher
 * or lower end, zeros behind it), gcm_mul_low and gcm_mul_high (carry-less product of two halves),
 * gcm_count (adds to the lowest 32 bits), gcm_reduction (what gcm_reduce multiplies with), and
 * gcm_encrypt (GCM_GROUP blocks).
 *
 * 1. GHASH is computed on blocks with their bytes in reverse. There a product comes out shifted
 *    right by one bit, which is made good once, in the powers: they hold H^i times x.
 * 2. Eight blocks are multiplied with eight powers and reduced once. A half product of Karatsuba's
 *    saves one multiplication in four.
 * 3. A group's input is read before its output is written, so both may be the same memory, or the
 *    output may begin before the input.
 * Specification: NIST SP 800-38D; the reduction: Gueron and Kounavis, "Intel carry-less
 * multiplication instruction and its usage for computing the GCM mode".
 */

enum { GCM_GROUP = GCM_POWERS_BYTES / 16 };

struct gcm_product { gcm_v low, middle, high; };

GCM_TARGET static inline struct gcm_product gcm_multiply(gcm_v a, gcm_v b) {
    return (struct gcm_product){
        .low = gcm_mul_low(a, b),
        .middle = gcm_mul_low(gcm_xor(a, gcm_halves(a)), gcm_xor(b, gcm_halves(b))),
        .high = gcm_mul_high(a, b),
    };
}

/* 256 bits modulo x^128 + x^7 + x^2 + x + 1, in two steps of 64 bits. */
GCM_TARGET static inline gcm_v gcm_reduce(struct gcm_product p) {
    gcm_v r = gcm_reduction();
    gcm_v middle = gcm_xor(p.middle, gcm_xor(p.low, p.high));
    gcm_v low = gcm_xor(p.low, gcm_up(middle)), high = gcm_xor(p.high, gcm_down(middle));
    low = gcm_xor(gcm_halves(low), gcm_mul_low(low, r));
    low = gcm_xor(gcm_halves(low), gcm_mul_low(low, r));
    return gcm_xor(high, low);
}

/* hash and n <= GCM_GROUP blocks at p become the next hash. */
GCM_TARGET static inline gcm_v gcm_hash(gcm_v hash, const uint8_t *powers, const uint8_t *p,
                                        size_t n) {
    struct gcm_product sum = { 0 };
    powers += 16 * (GCM_GROUP - n);
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
        gcm_v block = gcm_swap(gcm_load(p + 16 * i));
        struct gcm_product one =
            gcm_multiply(i ? block : gcm_xor(block, hash), gcm_load(powers + 16 * i));
        sum.low = gcm_xor(sum.low, one.low);
        sum.middle = gcm_xor(sum.middle, one.middle);
        sum.high = gcm_xor(sum.high, one.high);
    }
    return gcm_reduce(sum);
}

/* n <= GCM_GROUP blocks behind counter; the hash is always that of the cipher text. */
GCM_TARGET static inline gcm_v gcm_group(const struct gcm_blocks *g, gcm_v counter, gcm_v hash,
                                         const uint8_t *in, uint8_t *out, size_t n) {
    gcm_v x[GCM_GROUP];
#pragma GCC unroll 8
    for (int i = 0; i < GCM_GROUP; i++) {
        x[i] = gcm_swap(gcm_count(counter, i + 1));
    }
    gcm_encrypt(x, g->round_keys, g->n_rounds);
    if (!g->encrypt) {
        hash = gcm_hash(hash, g->powers, in, n);
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
        x[i] = gcm_xor(x[i], gcm_load(in + 16 * i));
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
        gcm_store(out + 16 * i, x[i]);
    }
    return g->encrypt ? gcm_hash(hash, g->powers, out, n) : hash;
}

GCM_TARGET static void gcm_all(struct gcm_blocks *g, const uint8_t *in, uint8_t *out,
                               size_t n_blocks) {
    gcm_v counter = gcm_swap(gcm_load(g->counter)), hash = gcm_swap(gcm_load(g->hash));
    for (; n_blocks >= GCM_GROUP; n_blocks -= GCM_GROUP) {
        hash = gcm_group(g, counter, hash, in, out, GCM_GROUP);
        counter = gcm_count(counter, GCM_GROUP);
        in += 16 * GCM_GROUP;
        out += 16 * GCM_GROUP;
    }
    if (n_blocks > 0) {
        hash = gcm_group(g, counter, hash, in, out, n_blocks);
        counter = gcm_count(counter, (int)n_blocks);
    }
    gcm_store(g->counter, gcm_swap(counter));
    gcm_store(g->hash, gcm_swap(hash));
}

/* H^8 ... H^1, each times x; first holds the last of them. */
GCM_TARGET static void gcm_all_powers(const uint8_t first[16], uint8_t out[GCM_POWERS_BYTES]) {
    gcm_v h = gcm_load(first), power = h;
    for (int i = GCM_GROUP - 1; i >= 0; i--) {
        gcm_store(out + 16 * i, power);
        power = gcm_reduce(gcm_multiply(power, h));
    }
}
