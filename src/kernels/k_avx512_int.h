/* k_avx512_int.h: what the AVX-512 files of this room share. */
#ifndef MLXK_K_AVX512_INT_H
#define MLXK_K_AVX512_INT_H

#include "kernels/k_int.h"

#include <immintrin.h>

K_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")

/* The first n of 16 lanes; any n. */
K_INLINE __mmask16 k_avx512_first(int64_t n) {
    unsigned bits = n >= 16 ? 0xFFFF : n <= 0 ? 0 : (1u << n) - 1;
    return (__mmask16)bits;
}

K_TARGET_END

#endif
