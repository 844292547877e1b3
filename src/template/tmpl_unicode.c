/* tmpl_unicode.c: the few properties of characters that string methods ask for.
 *
 * Exact for ASCII, Latin-1, Latin Extended-A, Greek and Cyrillic; beyond them scripts without case
 * are treated by block (letters, or punctuation and symbols). Chat templates apply these methods to
 * role names, keys and dates; full tables would weigh more than the rest of this room.
 *
 * 1. Mappings are simple: one code point to one (German sharp s is the caller's affair).
 * Spec: Unicode 15 UnicodeData, simple case mappings; Python's str.isspace and str.isprintable.
 */
#include "template/tmpl_int.h"

MLXK_FN bool tmpl_is_space(uint32_t cp) {
    return (cp >= 9 && cp <= 13) || (cp >= 0x1C && cp <= 0x20) || cp == 0x85 || cp == 0xA0
           || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029
           || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

/* Pairs upper, lower side by side: the upper one is even (or odd where `odd`). */
struct tmpl_unicode_pairs { uint32_t first, last; bool odd; };
static const struct tmpl_unicode_pairs tmpl_unicode_pairs[] = {
    { 0x100, 0x137, false }, { 0x139, 0x148, true }, { 0x14A, 0x177, false },
    { 0x179, 0x17E, true }, { 0x3D8, 0x3EF, false }, { 0x460, 0x481, false },
    { 0x48A, 0x4BF, false }, { 0x4C1, 0x4CE, true }, { 0x4D0, 0x52F, false },
    { 0x1E00, 0x1E95, false }, { 0x1EA0, 0x1EFF, false },
};

/* Ranges of upper letters and the distance to their lower ones. */
struct tmpl_unicode_shift { uint32_t first, last, distance; };
static const struct tmpl_unicode_shift tmpl_unicode_shifts[] = {
    { 'A', 'Z', 32 }, { 0xC0, 0xD6, 32 }, { 0xD8, 0xDE, 32 }, { 0x386, 0x386, 38 },
    { 0x388, 0x38A, 37 }, { 0x38C, 0x38C, 64 }, { 0x38E, 0x38F, 63 }, { 0x391, 0x3A1, 32 },
    { 0x3A3, 0x3AB, 32 }, { 0x400, 0x40F, 80 }, { 0x410, 0x42F, 32 }, { 0x531, 0x556, 48 },
    { 0xFF21, 0xFF3A, 32 },
};

static const struct tmpl_unicode_pairs *tmpl_unicode_pair(uint32_t cp) {
    for (size_t i = 0; i < MLXK_COUNT(tmpl_unicode_pairs); i++) {
        if (cp >= tmpl_unicode_pairs[i].first && cp <= tmpl_unicode_pairs[i].last) {
            /* dotted and dotless i are no pair */
            return cp == 0x130 || cp == 0x131 ? NULL : &tmpl_unicode_pairs[i];
        }
    }
    return NULL;
}

MLXK_FN uint32_t tmpl_lower(uint32_t cp) {
    for (size_t i = 0; i < MLXK_COUNT(tmpl_unicode_shifts); i++) {
        if (cp >= tmpl_unicode_shifts[i].first && cp <= tmpl_unicode_shifts[i].last) {
            return cp + tmpl_unicode_shifts[i].distance;
        }
    }
    const struct tmpl_unicode_pairs *pair = cp < 0x100 ? NULL : tmpl_unicode_pair(cp);
    if (pair && (cp & 1) == pair->odd) {
        return cp + 1;
    }
    return cp == 0x178 ? 0xFF : cp == 0x4C0 ? 0x4CF : cp == 0x1E9E ? 0xDF : cp;
}

MLXK_FN uint32_t tmpl_upper(uint32_t cp) {
    for (size_t i = 0; i < MLXK_COUNT(tmpl_unicode_shifts); i++) {
        const struct tmpl_unicode_shift *s = &tmpl_unicode_shifts[i];
        if (cp >= s->first + s->distance && cp <= s->last + s->distance && cp != 0xF7) {
            return cp - s->distance;
        }
    }
    const struct tmpl_unicode_pairs *pair = cp < 0x100 ? NULL : tmpl_unicode_pair(cp);
    if (pair && (cp & 1) != pair->odd) {
        return cp - 1;
    }
    return cp == 0xFF    ? 0x178
           : cp == 0xB5  ? 0x39C
           : cp == 0x131 ? 'I'
           : cp == 0x17F ? 'S'
           : cp == 0x3C2 ? 0x3A3
           : cp == 0x4CF ? 0x4C0
                         : cp;
}

MLXK_FN bool tmpl_is_digit(uint32_t cp) {
    static const uint32_t zeros[] = { '0', 0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0xFF10 };
    for (size_t i = 0; i < MLXK_COUNT(zeros); i++) {
        if (cp >= zeros[i] && cp <= zeros[i] + 9) {
            return true;
        }
    }
    return false;
}

/* Blocks past Latin-1 that hold no letters. */
static bool tmpl_unicode_symbol(uint32_t cp) {
    return (cp >= 0x2B0 && cp <= 0x36F) || cp == 0x37E || cp == 0x387
           || (cp >= 0x55A && cp <= 0x55F) || (cp >= 0x600 && cp <= 0x61F)
           || (cp >= 0x64B && cp <= 0x65F) || (cp >= 0x66A && cp <= 0x66D)
           || (cp >= 0x2000 && cp <= 0x2BFF && !(cp >= 0x2100 && cp <= 0x218F))
           || (cp >= 0x3000 && cp <= 0x3004) || (cp >= 0x3008 && cp <= 0x3020) || cp == 0x30FB
           || (cp >= 0xD800 && cp <= 0xF8FF) || (cp >= 0xFE00 && cp <= 0xFE6F)
           || (cp >= 0xFF00 && cp <= 0xFF20) || (cp >= 0xFF3B && cp <= 0xFF40)
           || (cp >= 0xFF5B && cp <= 0xFF65) || cp >= 0xFFE0;
}

MLXK_FN bool tmpl_is_alpha(uint32_t cp) {
    if (cp < 0x80) {
        return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z');
    }
    if (cp < 0x100) {
        return cp == 0xAA || cp == 0xB5 || cp == 0xBA || (cp >= 0xC0 && cp != 0xD7 && cp != 0xF7);
    }
    bool wide_letters = (cp >= 0x10000 && cp <= 0x1CFFF) || (cp >= 0x20000 && cp <= 0x3FFFF);
    return !tmpl_is_digit(cp) && (cp < 0x10000 ? !tmpl_unicode_symbol(cp) : wide_letters);
}

MLXK_FN bool tmpl_is_printable(uint32_t cp) {
    return cp == ' '
           || !(cp < 0x20 || (cp >= 0x7F && cp <= 0xA0) || cp == 0xAD || tmpl_is_space(cp)
                || cp == 0x61C || cp == 0x180E || (cp >= 0x200B && cp <= 0x200F)
                || (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2060 && cp <= 0x206F)
                || (cp >= 0xD800 && cp <= 0xF8FF) || cp == 0xFEFF || (cp >= 0xFFF0 && cp <= 0xFFFB)
                || (cp & 0xFFFE) == 0xFFFE || cp >= 0xE0000);
}
