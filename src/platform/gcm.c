/* gcm.c: AES-GCM over whole blocks where the processor has instructions for it: the choice.
 *
 * Not a cipher of its own: keys, associated data, odd bytes and tags are the TLS library's matter,
 * and so is all of it where no variant fits. What it does is the long middle of a record.
 */
#include "platform/platform_int.h"

#include <stdatomic.h>

struct gcm_choice {
    const char *name_cstr;
    uint32_t features;                           /* CPU_* bits it needs */
    void (*blocks)(struct gcm_blocks *g, const uint8_t *in, uint8_t *out, size_t n_blocks);
    void (*powers)(const uint8_t first[16], uint8_t out[GCM_POWERS_BYTES]);
    /* or NULL: see gcm_beside_vaes */
    void (*beside)(struct gcm_blocks *g, const uint8_t *in, uint8_t *out, size_t n_groups,
                   uint32_t h[8], const uint8_t *p);
};

static const struct gcm_choice *gcm_choose(void) {
    static const struct gcm_choice choices[] = {
#if defined(__x86_64__)
        { "vaes", CPU_AES_NI | CPU_PCLMUL | CPU_VAES | CPU_SHA_NI, gcm_blocks_vaes, gcm_powers_ni,
          gcm_beside_vaes },
        { "vaes", CPU_AES_NI | CPU_PCLMUL | CPU_VAES, gcm_blocks_vaes, gcm_powers_ni, NULL },
        { "aes-ni", CPU_AES_NI | CPU_PCLMUL, gcm_blocks_ni, gcm_powers_ni, NULL },
#elif defined(__aarch64__)
        { "armv8", CPU_ARM_AES, gcm_blocks_arm, gcm_powers_arm, NULL },
#endif
        { "library", 0, NULL, NULL, NULL },
    };
    static _Atomic(const struct gcm_choice *) chosen;      /* constant once set */
    const struct gcm_choice *choice = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (!choice) {
        uint32_t have = str_eq_cstr(STR("scalar"), os_env("MLXK_KERNELS")) ? 0 : cpu_features();
        choice = choices;
        while ((choice->features & have) != choice->features) {
            choice++;
        }
        atomic_store_explicit(&chosen, choice, memory_order_relaxed);
    }
    return choice;
}

MLXK_FN const char *gcm_variant(void) {
    return gcm_choose()->name_cstr;
}

MLXK_FN bool gcm_is_fast(void) {
    return gcm_choose()->blocks != NULL;
}

static uint64_t gcm_read_be(const uint8_t *p) {
    uint64_t x = 0;
    for (int i = 0; i < 8; i++) {
        x = x << 8 | p[i];
    }
    return x;
}

MLXK_FN void gcm_powers(const uint8_t h[16], uint8_t powers[GCM_POWERS_BYTES]) {
    uint64_t high = gcm_read_be(h), low = gcm_read_be(h + 8), carry = 0 - (high >> 63);
    uint64_t first[2] = { (low << 1) ^ (carry & 1),
                          (high << 1 | low >> 63) ^ (carry & GCM_REDUCTION) };
    uint8_t *last = powers + GCM_POWERS_BYTES - 16;
    if (memcmp(last, first, 16) != 0) {          /* not made for this key yet */
        gcm_choose()->powers((const uint8_t *)first, powers);
    }
}

/* ---- hashing beside ---- */

struct gcm_loan { struct sha256 *to; const uint8_t *p; size_t n, left; };
static _Thread_local struct gcm_loan gcm_loan;

MLXK_FN void gcm_lend(struct sha256 *to, const uint8_t *p, size_t n) {
    gcm_loan = (struct gcm_loan){ to, p, n, n };
}

MLXK_FN size_t gcm_take_back(void) {
    size_t done = gcm_loan.n - gcm_loan.left;
    gcm_loan = (struct gcm_loan){ 0 };
    return done;
}

static void gcm_loan_pay(struct gcm_loan *l, size_t n) {
    l->p += n;
    l->left -= n;
}

/* Returns the blocks that are done. */
static size_t gcm_run_beside(struct gcm_blocks *g, const uint8_t *in, uint8_t *out,
                             size_t n_blocks) {
    struct gcm_loan *l = &gcm_loan;
    size_t n_groups = n_blocks / (GCM_BESIDE / 16);
    if (!l->left || !gcm_choose()->beside) {
        return 0;
    }
    size_t odd = (64 - l->to->n_bytes % 64) % 64;        /* then the hash begins a block */
    odd = odd < l->left ? odd : l->left;
    sha256_update(l->to, l->p, odd);
    gcm_loan_pay(l, odd);
    n_groups = n_groups < l->left / GCM_BESIDE ? n_groups : l->left / GCM_BESIDE;
    gcm_choose()->beside(g, in, out, n_groups, l->to->h, l->p);
    l->to->n_bytes += n_groups * GCM_BESIDE;
    gcm_loan_pay(l, n_groups * GCM_BESIDE);
    return n_groups * (GCM_BESIDE / 16);
}

MLXK_FN void gcm_run(struct gcm_blocks *g, const uint8_t *in, uint8_t *out, size_t n_blocks) {
    size_t done = g->encrypt ? 0 : gcm_run_beside(g, in, out, n_blocks);
    gcm_choose()->blocks(g, in + 16 * done, out + 16 * done, n_blocks - done);
}
