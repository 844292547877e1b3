/* dtype.c: element types of stored tensors: names as safetensors spells them, and sizes.
 *
 * Types narrower than a byte (F4, F6 kinds) are not here: their tensors cannot be addressed by
 * element, and no model this program runs stores them that way.
 */
#include "format/format.h"

struct dtype_row { const char *name_cstr; size_t size_bytes; };

static const struct dtype_row *dtype_row(enum dtype t) {
    static const struct dtype_row rows[DTYPE_COUNT] = {
        [DTYPE_BOOL] = { "BOOL", 1 },       [DTYPE_U8] = { "U8", 1 },
        [DTYPE_I8] = { "I8", 1 },           [DTYPE_U16] = { "U16", 2 },
        [DTYPE_I16] = { "I16", 2 },         [DTYPE_F16] = { "F16", 2 },
        [DTYPE_BF16] = { "BF16", 2 },       [DTYPE_U32] = { "U32", 4 },
        [DTYPE_I32] = { "I32", 4 },         [DTYPE_F32] = { "F32", 4 },
        [DTYPE_U64] = { "U64", 8 },         [DTYPE_I64] = { "I64", 8 },
        [DTYPE_F64] = { "F64", 8 },         [DTYPE_F8_E4M3] = { "F8_E4M3", 1 },
        [DTYPE_F8_E5M2] = { "F8_E5M2", 1 }, [DTYPE_F8_E8M0] = { "F8_E8M0", 1 },
        [DTYPE_C64] = { "C64", 8 },
    };
    MLXK_ASSERT((unsigned)t < DTYPE_COUNT);
    return &rows[t];
}

MLXK_FN size_t dtype_size(enum dtype t) {
    return dtype_row(t)->size_bytes;
}

MLXK_FN const char *dtype_name(enum dtype t) {
    return dtype_row(t)->name_cstr;
}

MLXK_FN bool dtype_parse(struct str name, enum dtype *out) {
    for (unsigned t = 0; t < DTYPE_COUNT; t++) {
        if (str_eq_cstr(name, dtype_name((enum dtype)t))) {
            *out = (enum dtype)t;
            return true;
        }
    }
    return false;
}
