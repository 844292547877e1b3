/* arch_table.c: every supported family, found by model_type.
 *
 * The only list of families: providers in the order of arch.h. Adding a file adds one line here.
 */
#include "model/model_int.h"

typedef const struct arch *(*arch_provider)(int i);

MLXK_FN const struct arch *arch_at(int i) {
    static const arch_provider providers[] = { arch_llama, arch_gemma, arch_others };
    for (size_t p = 0; p < MLXK_COUNT(providers); p++)
        for (int j = 0; providers[p](j); j++)
            if (i-- == 0) return providers[p](j);
    return NULL;
}

MLXK_FN const struct arch *arch_find(struct str model_type) {
    const struct arch *a;
    for (int i = 0; (a = arch_at(i)) != NULL; i++)
        if (str_eq_cstr(model_type, a->type_cstr)) return a;
    return NULL;
}

/* Sorted without a second table: the i-th name is the one that i others come before. */
MLXK_FN const char *model_type_name(int i) {
    const struct arch *a, *b;
    for (int j = 0; (a = arch_at(j)) != NULL; j++) {
        int before = 0;
        for (int k = 0; (b = arch_at(k)) != NULL; k++)
            before += strcmp(b->type_cstr, a->type_cstr) < 0;
        if (before == i) return a->type_cstr;
    }
    return NULL;
}
