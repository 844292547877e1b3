/* k_table.c: which body runs: the tables in order of preference, what each needs, who fills its
 * gaps.
 *
 * 1. A variant fills only the slots it improves; the rest comes from its named parent, so that
 *    "which body runs?" has one printable answer per slot (k_describe).
 * 2. The tables are built once, at the first question, and never change afterwards.
 * 3. MLXK_KERNELS=name forces a table; a name this CPU cannot run is an error, not a fallback.
 */
#include "kernels/kernels.h"
#include "kernels/k_int.h"

#define K_SLOTS(X)                                                                         \
    X(input_form) X(quantize) X(matmul) X(matmul_exact) X(dequantize_row) X(rms_norm)      \
    X(layer_norm) X(rope) X(add) X(scale) X(silu_mul) X(gelu_mul) X(f32_to_f16)            \
    X(attend_block) X(attend_merge) X(argmax) X(softmax)

#define K_SLOT_ENUM(slot) K_SLOT_##slot,
enum { K_SLOTS(K_SLOT_ENUM) K_SLOT_COUNT };
#undef K_SLOT_ENUM

enum { K_TABLE_EMPTY, K_TABLE_BUILDING, K_TABLE_READY };

struct k_entry {
    struct k_ops ops;
    void (*fill)(struct k_ops *o);
    const char *owner_cstr[K_SLOT_COUNT];
};

static void k_table_scalar(struct k_ops *o) {
    k_scalar_fill(o);
    k_scalar_ops_fill(o);
}

/* Best first; a parent stands behind its children. */
static struct k_entry k_entries[] = {
#if defined(__x86_64__)
    { .ops = { .name_cstr = "avx512vnni",
               .parent_cstr = "avx2",
               .note_cstr = "Intel Cascade Lake 2019, Ice Lake; AMD Zen 4 2022",
               .needs = CPU_AVX2 | CPU_AVX512 | CPU_AVX512_VNNI },
      .fill = k_avx512_fill },
    { .ops = { .name_cstr = "avxvnni",
               .parent_cstr = "avx2",
               .note_cstr = "Intel Alder Lake 2021, Sierra Forest; AMD Zen 5 2024",
               .needs = CPU_AVX2 | CPU_AVX_VNNI },
      .fill = k_avxvnni_fill },
    { .ops = { .name_cstr = "avx2",
               .parent_cstr = "scalar",
               .note_cstr = "Intel Haswell 2013; AMD Zen 2017",
               .needs = CPU_AVX2 },
      .fill = k_avx2_fill },
#elif defined(__aarch64__)
    { .ops = { .name_cstr = "i8mm",
               .parent_cstr = "dotprod",
               .note_cstr = "Apple M2 2022; Arm Cortex-A510, Neoverse V1, N2",
               .needs = CPU_NEON | CPU_DOTPROD | CPU_I8MM },
      .fill = k_i8mm_fill },
    { .ops = { .name_cstr = "dotprod",
               .parent_cstr = "neon",
               .note_cstr = "Apple A13 2019, M1; Arm Cortex-A76, Neoverse N1",
               .needs = CPU_NEON | CPU_DOTPROD },
      .fill = k_dotprod_fill },
    { .ops = { .name_cstr = "neon",
               .parent_cstr = "scalar",
               .note_cstr = "every 64-bit Arm",
               .needs = CPU_NEON },
      .fill = k_neon_fill },
#endif
    { .ops = { .name_cstr = "scalar", .note_cstr = "every CPU; the reference" },
      .fill = k_table_scalar },
};

/* Slots that the entry did not fill come from its parent, which is complete already. */
static void k_table_inherit(struct k_entry *entry, const struct k_entry *parent) {
#define K_SLOT_INHERIT(slot) \
    if (entry->ops.slot != NULL) { \
        entry->owner_cstr[K_SLOT_##slot] = entry->ops.name_cstr; \
    } else { \
        MLXK_ASSERT(parent != NULL && parent->ops.slot != NULL); \
        entry->ops.slot = parent->ops.slot; \
        entry->owner_cstr[K_SLOT_##slot] = parent->owner_cstr[K_SLOT_##slot]; \
    }
    K_SLOTS(K_SLOT_INHERIT)
#undef K_SLOT_INHERIT
}

static void k_table_build(void) {
    for (size_t i = MLXK_COUNT(k_entries); i-- > 0;) {
        struct k_entry *entry = &k_entries[i], *parent = NULL;
        for (size_t j = i + 1; j < MLXK_COUNT(k_entries); j++) {
            if (strcmp(k_entries[j].ops.name_cstr, entry->ops.parent_cstr) == 0) {
                parent = &k_entries[j];
            }
        }
        entry->fill(&entry->ops);
        k_table_inherit(entry, parent);
    }
}

static const struct k_entry *k_table_entry(size_t i) {
    static int k_table_state = K_TABLE_EMPTY; /* part of the CPU table: one of the three globals */
    if (__atomic_load_n(&k_table_state, __ATOMIC_ACQUIRE) != K_TABLE_READY) {
        int expected = K_TABLE_EMPTY;
        if (__atomic_compare_exchange_n(&k_table_state, &expected, K_TABLE_BUILDING, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            k_table_build();
            __atomic_store_n(&k_table_state, K_TABLE_READY, __ATOMIC_RELEASE);
        }
        while (__atomic_load_n(&k_table_state, __ATOMIC_ACQUIRE) != K_TABLE_READY) {
            continue;                              /* another thread is writing a few pointers */
        }
    }
    return &k_entries[i];
}

static bool k_table_usable(const struct k_ops *o) {
    return (cpu_features() & o->needs) == o->needs;
}

MLXK_FN const struct k_ops *k_list(int i, bool *usable) {
    if (i < 0 || (size_t)i >= MLXK_COUNT(k_entries)) {
        return NULL;
    }
    const struct k_ops *o = &k_table_entry((size_t)i)->ops;
    *usable = k_table_usable(o);
    return o;
}

MLXK_FN const struct k_ops *k_scalar_ops(void) {
    return &k_table_entry(MLXK_COUNT(k_entries) - 1)->ops;
}

MLXK_FN const struct k_ops *k_find(struct str name) {
    bool usable;
    const struct k_ops *o;
    for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
        if (usable && str_eq_cstr(name, o->name_cstr)) {
            return o;
        }
    }
    return NULL;
}

static bool k_choose_fail(struct err *e, const char *wanted_cstr) {
    char names[128];
    size_t n = 0;
    bool usable;
    const struct k_ops *o;
    names[0] = '\0';
    for (int i = 0; (o = k_list(i, &usable)) != NULL; i++) {
        size_t name_size = strlen(o->name_cstr);
        if (usable && n + name_size + 3 < sizeof names) {
            memcpy(names + n, ", ", 2);
            memcpy(names + n + 2, o->name_cstr, name_size + 1);
            n += name_size + 2;
        }
    }
    err_set(e, ERR_INVALID, "MLXK_KERNELS=%s names no kernel set that this CPU can run",
            wanted_cstr);
    return err_hint(e, "unset it, or choose one of: %s", names + 2);
}

MLXK_FN const struct k_ops *k_choose(struct err *e) {
    const char *wanted_cstr = os_env("MLXK_KERNELS");
    if (wanted_cstr != NULL && wanted_cstr[0] != '\0') {
        const struct k_ops *forced = k_find(str_cstr(wanted_cstr));
        if (forced == NULL) {
            k_choose_fail(e, wanted_cstr);
        }
        return forced;
    }
    bool usable = false;
    int i = 0;
    const struct k_ops *o = k_list(0, &usable);
    while (!usable) {
        o = k_list(++i, &usable);                  /* ends at scalar, which needs nothing */
    }
    return o;
}

static enum k_form k_exact_form(const struct k_matrix *w) {
    (void)w;
    return K_FORM_FLOAT;
}

MLXK_FN void k_exact(const struct k_ops *base, struct k_ops *out) {
    *out = *base;
    out->input_form = k_exact_form;
    out->matmul = base->matmul_exact;
}

MLXK_FN const char *k_describe(const struct k_ops *o, int slot, const char **owner_cstr) {
#define K_SLOT_NAME(name) #name,
    static const char *const k_slot_names[] = { K_SLOTS(K_SLOT_NAME) };
#undef K_SLOT_NAME
    if (slot < 0 || slot >= K_SLOT_COUNT) {
        return NULL;
    }
    *owner_cstr = NULL;
    for (size_t i = 0; i < MLXK_COUNT(k_entries); i++) {
        if (o == &k_table_entry(i)->ops) {
            *owner_cstr = k_entries[i].owner_cstr[slot];
        }
    }
    return k_slot_names[slot];
}

#undef K_SLOTS
