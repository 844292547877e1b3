/* gcm_ni.c: AES-GCM with the AES and carry-less multiplication instructions of x86-64 (Westmere
 * 2010, Bulldozer 2011), and with those for two blocks in one register (Ice Lake 2019, Zen 3 2020).
 * The first is called only when cpu_features() has CPU_AES_NI and CPU_PCLMUL, the second only when
 * it has CPU_VAES, too, the one that hashes beside only with CPU_SHA_NI besides.
 */
#include "platform/platform_int.h"

#if defined(__x86_64__)

#include "platform/sha256_ni.h"

#define GCM_TARGET __attribute__((target("aes,pclmul,ssse3")))

typedef __m128i gcm_v;

GCM_TARGET static inline gcm_v gcm_load(const uint8_t *p) {
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}
GCM_TARGET static inline void gcm_store(uint8_t *p, gcm_v v) {
    _mm_storeu_si128((__m128i *)(void *)p, v);
}
GCM_TARGET static inline gcm_v gcm_xor(gcm_v a, gcm_v b) {
    return _mm_xor_si128(a, b);
}
GCM_TARGET static inline gcm_v gcm_swap(gcm_v v) {
    return _mm_shuffle_epi8(v, _mm_set_epi64x(0x0001020304050607ll, 0x08090a0b0c0d0e0fll));
}
GCM_TARGET static inline gcm_v gcm_halves(gcm_v v) {
    return _mm_shuffle_epi32(v, 0x4E);
}
GCM_TARGET static inline gcm_v gcm_up(gcm_v v) {
    return _mm_slli_si128(v, 8);
}
GCM_TARGET static inline gcm_v gcm_down(gcm_v v) {
    return _mm_srli_si128(v, 8);
}
GCM_TARGET static inline gcm_v gcm_mul_low(gcm_v a, gcm_v b) {
    return _mm_clmulepi64_si128(a, b, 0x00);
}
GCM_TARGET static inline gcm_v gcm_mul_high(gcm_v a, gcm_v b) {
    return _mm_clmulepi64_si128(a, b, 0x11);
}
GCM_TARGET static inline gcm_v gcm_count(gcm_v counter, int by) {
    return _mm_add_epi32(counter, _mm_cvtsi32_si128(by));
}
GCM_TARGET static inline gcm_v gcm_reduction(void) {
    return _mm_set_epi64x(0, (long long)GCM_REDUCTION);
}

/* Eight blocks at once hide what one round waits for the other. */
GCM_TARGET static inline void gcm_encrypt(gcm_v x[8], const uint8_t *keys, int n_rounds) {
    gcm_v k = gcm_load(keys);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        x[i] = _mm_xor_si128(x[i], k);
    }
    for (int r = 1; r < n_rounds; r++) {
        k = gcm_load(keys + 16 * r);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            x[i] = _mm_aesenc_si128(x[i], k);
        }
    }
    k = gcm_load(keys + 16 * n_rounds);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        x[i] = _mm_aesenclast_si128(x[i], k);
    }
}

#include "platform/gcm_body.h"

MLXK_FN void gcm_blocks_ni(struct gcm_blocks *g, const uint8_t *in, uint8_t *out, size_t n_blocks) {
    gcm_all(g, in, out, n_blocks);
}

MLXK_FN void gcm_powers_ni(const uint8_t first[16], uint8_t out[GCM_POWERS_BYTES]) {
    gcm_all_powers(first, out);
}

/* ---- two blocks in one register -------------------------------------------------------------- */

#define GCM_WIDE __attribute__((target("avx2,vaes,vpclmulqdq,aes,pclmul")))

enum { GCM_PAIRS = 8 };          /* of blocks at once: hides what one round waits for the other */

typedef __m256i gcm_w;

GCM_WIDE static inline gcm_w gcm_wide_load(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
GCM_WIDE static inline void gcm_wide_store(uint8_t *p, gcm_w v) {
    _mm256_storeu_si256((__m256i *)(void *)p, v);
}
GCM_WIDE static inline gcm_w gcm_wide_swap(gcm_w v) {
    return _mm256_shuffle_epi8(v, _mm256_set_epi64x(0x0001020304050607ll, 0x08090a0b0c0d0e0fll,
                                                    0x0001020304050607ll, 0x08090a0b0c0d0e0fll));
}
GCM_WIDE static inline gcm_w gcm_wide_key(const uint8_t *keys, int r) {
    return _mm256_broadcastsi128_si256(gcm_load(keys + 16 * r));
}
GCM_WIDE static inline gcm_w gcm_wide_halves(gcm_w v) {
    return _mm256_xor_si256(v, _mm256_shuffle_epi32(v, 0x4E));
}
/* The sum over both lanes. */
GCM_WIDE static inline gcm_v gcm_wide_fold(gcm_w v) {
    return gcm_xor(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

/* As gcm_hash, of GCM_GROUP blocks. */
GCM_WIDE static inline gcm_v gcm_wide_hash(gcm_v hash, const uint8_t *powers, const uint8_t *p) {
    gcm_w low = _mm256_setzero_si256(), middle = low, high = low;
#pragma GCC unroll 4
    for (int i = 0; i < GCM_GROUP / 2; i++) {
        gcm_w b = gcm_wide_swap(gcm_wide_load(p + 32 * i)), k = gcm_wide_load(powers + 32 * i);
        if (i == 0) {
            b = _mm256_xor_si256(b, _mm256_zextsi128_si256(hash));
        }
        gcm_w one = _mm256_clmulepi64_epi128(gcm_wide_halves(b), gcm_wide_halves(k), 0x00);
        low = _mm256_xor_si256(low, _mm256_clmulepi64_epi128(b, k, 0x00));
        middle = _mm256_xor_si256(middle, one);
        high = _mm256_xor_si256(high, _mm256_clmulepi64_epi128(b, k, 0x11));
    }
    return gcm_reduce((struct gcm_product){ .low = gcm_wide_fold(low),
                                            .middle = gcm_wide_fold(middle),
                                            .high = gcm_wide_fold(high) });
}

/* The key stream of two GCM_GROUPs behind counter. */
GCM_WIDE static inline void gcm_wide_stream(const struct gcm_blocks *g, gcm_v counter,
                                            gcm_w x[GCM_PAIRS]) {
    gcm_w k = gcm_wide_key(g->round_keys, 0), both = _mm256_broadcastsi128_si256(counter);
#pragma GCC unroll 8
    for (int i = 0; i < GCM_PAIRS; i++) {
        gcm_w by = _mm256_set_epi64x(0, 2 * i + 2, 0, 2 * i + 1);
        x[i] = _mm256_xor_si256(gcm_wide_swap(_mm256_add_epi32(both, by)), k);
    }
    for (int r = 1; r < g->n_rounds; r++) {
        k = gcm_wide_key(g->round_keys, r);
#pragma GCC unroll 8
        for (int i = 0; i < GCM_PAIRS; i++) {
            x[i] = _mm256_aesenc_epi128(x[i], k);
        }
    }
    k = gcm_wide_key(g->round_keys, g->n_rounds);
#pragma GCC unroll 8
    for (int i = 0; i < GCM_PAIRS; i++) {
        x[i] = _mm256_aesenclast_epi128(x[i], k);
    }
}

GCM_WIDE static inline gcm_v gcm_wide_group(const struct gcm_blocks *g, gcm_v counter, gcm_v hash,
                                            const uint8_t *in, uint8_t *out) {
    enum { GCM_HALF = 16 * GCM_GROUP };
    gcm_w x[GCM_PAIRS];
    gcm_wide_stream(g, counter, x);
    if (!g->encrypt) {
        hash = gcm_wide_hash(hash, g->powers, in);
        hash = gcm_wide_hash(hash, g->powers, in + GCM_HALF);
    }
#pragma GCC unroll 8
    for (int i = 0; i < GCM_PAIRS; i++) {
        x[i] = _mm256_xor_si256(x[i], gcm_wide_load(in + 32 * i));
    }
#pragma GCC unroll 8
    for (int i = 0; i < GCM_PAIRS; i++) {
        gcm_wide_store(out + 32 * i, x[i]);
    }
    if (g->encrypt) {
        hash = gcm_wide_hash(hash, g->powers, out);
        hash = gcm_wide_hash(hash, g->powers, out + GCM_HALF);
    }
    return hash;
}

GCM_WIDE static void gcm_wide_all(struct gcm_blocks *g, const uint8_t *in, uint8_t *out,
                                  size_t n_blocks) {
    gcm_v counter = gcm_swap(gcm_load(g->counter)), hash = gcm_swap(gcm_load(g->hash));
    for (; n_blocks >= 2 * GCM_PAIRS; n_blocks -= 2 * GCM_PAIRS) {
        hash = gcm_wide_group(g, counter, hash, in, out);
        counter = gcm_count(counter, 2 * GCM_PAIRS);
        in += 32 * GCM_PAIRS;
        out += 32 * GCM_PAIRS;
    }
    gcm_store(g->counter, gcm_swap(counter));
    gcm_store(g->hash, gcm_swap(hash));
}

MLXK_FN void gcm_blocks_vaes(struct gcm_blocks *g, const uint8_t *in, uint8_t *out,
                             size_t n_blocks) {
    size_t rest = n_blocks % (2 * GCM_PAIRS), wide = n_blocks - rest;
    gcm_wide_all(g, in, out, wide);
    gcm_all(g, in + 16 * wide, out + 16 * wide, rest);
}

/* ---- and SHA-256 of something else beside ---------------------------------------------------- */

#define GCM_BOTH __attribute__((target("avx2,vaes,vpclmulqdq,aes,pclmul,sha")))

GCM_BOTH static inline void gcm_beside_round(const struct gcm_blocks *g, int r,
                                             gcm_w x[GCM_GROUP / 2]) {
    if (r < g->n_rounds) {
        gcm_w key = gcm_wide_key(g->round_keys, r);
#pragma GCC unroll 4
        for (int i = 0; i < GCM_GROUP / 2; i++) {
            x[i] = _mm256_aesenc_epi128(x[i], key);
        }
    }
}

/* The key stream of a GCM_GROUP behind counter, while a block is hashed. */
GCM_BOTH static inline void gcm_beside_stream(const struct gcm_blocks *g, gcm_v counter,
                                               gcm_w x[GCM_GROUP / 2], struct sha256_ni *s,
                                               const uint32_t *k) {
    gcm_w key = gcm_wide_key(g->round_keys, 0), both = _mm256_broadcastsi128_si256(counter);
#pragma GCC unroll 4
    for (int i = 0; i < GCM_GROUP / 2; i++) {
        gcm_w by = _mm256_set_epi64x(0, 2 * i + 2, 0, 2 * i + 1);
        x[i] = _mm256_xor_si256(gcm_wide_swap(_mm256_add_epi32(both, by)), key);
    }
    for (int r = 0; r < 16; r += 4, k += 16) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            sha256_ni_rounds(s, i, k + 4 * i);
            gcm_beside_round(g, r + i + 1, x);
        }
    }
    key = gcm_wide_key(g->round_keys, g->n_rounds);
#pragma GCC unroll 4
    for (int i = 0; i < GCM_GROUP / 2; i++) {
        x[i] = _mm256_aesenclast_epi128(x[i], key);
    }
}

/* Two blocks at a time to out, and their part of the hash, while another block is hashed. */
GCM_BOTH static inline gcm_v gcm_beside_hash(const struct gcm_blocks *g, gcm_v hash,
                                              const gcm_w x[GCM_GROUP / 2], const uint8_t *in,
                                              uint8_t *out, struct sha256_ni *s,
                                              const uint32_t *k) {
    gcm_w low = _mm256_setzero_si256(), middle = low, high = low;
#pragma GCC unroll 4
    for (int i = 0; i < GCM_GROUP / 2; i++, k += 16) {
        gcm_w c = gcm_wide_load(in + 32 * i), b = gcm_wide_swap(c);
        gcm_w power = gcm_wide_load(g->powers + 32 * i);
        if (i == 0) {
            b = _mm256_xor_si256(b, _mm256_zextsi128_si256(hash));
        }
        gcm_wide_store(out + 32 * i, _mm256_xor_si256(x[i], c));
        sha256_ni_rounds(s, 0, k);
        gcm_w one = _mm256_clmulepi64_epi128(gcm_wide_halves(b), gcm_wide_halves(power), 0x00);
        sha256_ni_rounds(s, 1, k + 4);
        low = _mm256_xor_si256(low, _mm256_clmulepi64_epi128(b, power, 0x00));
        sha256_ni_rounds(s, 2, k + 8);
        middle = _mm256_xor_si256(middle, one);
        high = _mm256_xor_si256(high, _mm256_clmulepi64_epi128(b, power, 0x11));
        sha256_ni_rounds(s, 3, k + 12);
    }
    return gcm_reduce((struct gcm_product){ .low = gcm_wide_fold(low),
                                            .middle = gcm_wide_fold(middle),
                                            .high = gcm_wide_fold(high) });
}

GCM_BOTH MLXK_FN void gcm_beside_vaes(struct gcm_blocks *g, const uint8_t *in, uint8_t *out,
                                       size_t n_groups, uint32_t h[8], const uint8_t *p) {
    enum { GCM_STEP = 16 * GCM_GROUP };
    gcm_v counter = gcm_swap(gcm_load(g->counter)), hash = gcm_swap(gcm_load(g->hash));
    const uint32_t *k = sha256_constants();
    struct sha256_ni s = sha256_ni_load(h);
    for (; n_groups > 0; n_groups--, in += GCM_STEP, out += GCM_STEP, p += GCM_STEP) {
        gcm_w x[GCM_GROUP / 2];
        sha256_ni_begin(&s, p);
        gcm_beside_stream(g, counter, x, &s, k);
        sha256_ni_end(&s);
        sha256_ni_begin(&s, p + 64);
        hash = gcm_beside_hash(g, hash, x, in, out, &s, k);
        sha256_ni_end(&s);
        counter = gcm_count(counter, GCM_GROUP);
    }
    gcm_store(g->counter, gcm_swap(counter));
    gcm_store(g->hash, gcm_swap(hash));
    sha256_ni_store(&s, h);
}

#undef GCM_BOTH
#undef GCM_WIDE
#undef GCM_TARGET

#endif
