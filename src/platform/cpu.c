/* cpu.c: which instructions may be used here.
 *
 * A feature counts only when the processor has it and the operating system saves its registers:
 * on x86 CPUID says the first and XGETBV the second; on ARM the system is asked
 * (os_sys_arm_features). The compiler's own detection does not link in static musl programs.
 */
#include "platform/platform_int.h"

#include <pthread.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* File-level state, written once under pthread_once (named in the contract: constant after). */
static pthread_once_t cpu_once = PTHREAD_ONCE_INIT;
static uint32_t cpu_found;
static char cpu_brand[64];

struct cpu_row { uint32_t bit; const char *name_cstr; };

#if defined(__x86_64__)

static const struct cpu_row cpu_rows[] = {
    { CPU_SSE42, "sse4.2" }, { CPU_AVX2, "avx2" }, { CPU_AVX512, "avx512" },
    { CPU_AVX512_VNNI, "avx512-vnni" }, { CPU_AVX_VNNI, "avx-vnni" },
    { CPU_AVX512_BF16, "avx512-bf16" }, { CPU_AVX512_VBMI, "avx512-vbmi" },
    { CPU_SHA_NI, "sha-ni" }, { CPU_AES_NI, "aes-ni" }, { CPU_PCLMUL, "pclmul" },
    { CPU_VAES, "vaes" },
};

/* Bits of XCR0: the system saves xmm+ymm, and opmask + upper zmm + zmm16..31. */
enum { CPU_XCR0_YMM = 0x6, CPU_XCR0_ZMM = 0xE6 };

static uint32_t cpu_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* One register of CPUID as a set of required bits. */
static bool cpu_has(unsigned reg, unsigned bits) {
    return (reg & bits) == bits;
}

static uint32_t cpu_detect_wide(unsigned c1, unsigned b7, unsigned c7, unsigned a71,
                                uint32_t xcr0) {
    uint32_t found = 0;
    bool avx2 = cpu_has(c1, bit_AVX | bit_FMA | bit_F16C) && cpu_has(b7, bit_AVX2 | bit_BMI2);
    if ((xcr0 & CPU_XCR0_YMM) != CPU_XCR0_YMM || !avx2) {
        return 0;
    }
    found |= CPU_AVX2;
    found |= cpu_has(c7, 1u << 9 | 1u << 10) ? CPU_VAES : 0;
    found |= cpu_has(a71, 1u << 4) ? CPU_AVX_VNNI : 0;
    unsigned need = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;   /* F DQ CD BW VL */
    if ((xcr0 & CPU_XCR0_ZMM) == CPU_XCR0_ZMM && cpu_has(b7, need)) {
        found |= CPU_AVX512;
        found |= cpu_has(c7, 1u << 11) ? CPU_AVX512_VNNI : 0;
        found |= cpu_has(c7, 1u << 1) ? CPU_AVX512_VBMI : 0;
        found |= cpu_has(a71, 1u << 5) ? CPU_AVX512_BF16 : 0;
    }
    return found;
}

static uint32_t cpu_detect(void) {
    unsigned a, b, c1 = 0, d, b7 = 0, c7 = 0, max7 = 0, a71 = 0, ignored;
    if (!__get_cpuid(1, &a, &b, &c1, &d)) {
        return 0;
    }
    (void)__get_cpuid_count(7, 0, &max7, &b7, &c7, &d);
    if (max7 >= 1) {
        (void)__get_cpuid_count(7, 1, &a71, &b, &ignored, &d);
    }
    uint32_t found = cpu_has(c1, bit_SSE4_2) ? CPU_SSE42 : 0;
    found |= cpu_has(c1, bit_AES) ? CPU_AES_NI : 0;
    found |= cpu_has(c1, bit_PCLMUL) ? CPU_PCLMUL : 0;
    found |= cpu_has(b7, 1u << 29) && cpu_has(c1, bit_SSE4_1) ? CPU_SHA_NI : 0;
    if (cpu_has(c1, bit_OSXSAVE)) {
        found |= cpu_detect_wide(c1, b7, c7, a71, cpu_xcr0());
    }
    return found;
}

static void cpu_read_brand(char *out, size_t cap) {
    unsigned regs[12];
    unsigned *r = regs;
    for (unsigned leaf = 0x80000002u; leaf <= 0x80000004u; leaf++, r += 4) {
        if (!__get_cpuid(leaf, &r[0], &r[1], &r[2], &r[3])) {
            os_sys_cpu_name(out, cap);
            return;
        }
    }
    _Static_assert(sizeof regs < sizeof cpu_brand, "the brand text has 48 bytes");
    memcpy(out, regs, sizeof regs);
    out[sizeof regs] = '\0';
}

MLXK_FN void os_cpu_relax(void) {
    __builtin_ia32_pause();
}

#else

static const struct cpu_row cpu_rows[] = {
    { CPU_NEON, "neon" }, { CPU_DOTPROD, "dotprod" }, { CPU_I8MM, "i8mm" }, { CPU_FP16, "fp16" },
    { CPU_BF16, "bf16" }, { CPU_ARM_SHA2, "sha2" }, { CPU_ARM_AES, "aes" },
};

static uint32_t cpu_detect(void) {
    return os_sys_arm_features();
}

static void cpu_read_brand(char *out, size_t cap) {
    os_sys_cpu_name(out, cap);
}

MLXK_FN void os_cpu_relax(void) {
    __asm__ volatile("yield");
}

#endif

static void cpu_init(void) {
    cpu_found = cpu_detect();
    cpu_read_brand(cpu_brand, sizeof cpu_brand);
}

MLXK_FN uint32_t cpu_features(void) {
    (void)pthread_once(&cpu_once, cpu_init);
    return cpu_found;
}

MLXK_FN struct str cpu_name(void) {
    (void)pthread_once(&cpu_once, cpu_init);
    return str_trim(str_cstr(cpu_brand));
}

MLXK_FN const char *cpu_feature_name(uint32_t one_bit) {
    for (size_t i = 0; i < MLXK_COUNT(cpu_rows); i++) {
        if (cpu_rows[i].bit == one_bit) {
            return cpu_rows[i].name_cstr;
        }
    }
    return NULL;
}
