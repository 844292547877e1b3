/* tok_unicode.c: properties of characters for patterns and normalization.
 *
 * Looks things up in tables that src/tools/unicode.awk makes from the Unicode Character Database;
 * knows nothing about text. Categories are those of Unicode 16.0, normalization data ends with
 * Unicode 9.0 and BERT's word rules with 8.0, as in the tokenizers whose ids this program must
 * reproduce.
 *
 * 1. Every function accepts any 32-bit value; past 0x10FFFF nothing has a property.
 * ref    UAX #44 (properties), UAX #15 (decomposition and composition), UAX #24 (scripts).
 */
#include "tokenizer/tok_int.h"
#include "tok_unicode_tables.h"

enum { TOK_CP_MAX = 0x10FFFF };

MLXK_FN unsigned tok_category(uint32_t cp) {
    if (cp > TOK_CP_MAX) return TOK_GC_CN;
    return tok_gc_block[tok_gc_index[cp / TOK_GC_BLOCK]][cp % TOK_GC_BLOCK];
}

static bool tok_name_eq(struct str a, const char *b_cstr) {
    size_t i = 0, k = 0;
    for (;;) { /* loose matching: case, space, - and _ do not count */
        while (i < a.n && (a.p[i] == ' ' || a.p[i] == '_' || a.p[i] == '-')) i++;
        while (b_cstr[k] == '_') k++;
        if (i == a.n || b_cstr[k] == 0) return i == a.n && b_cstr[k] == 0;
        char x = a.p[i++], y = b_cstr[k++];
        if ((x >= 'A' && x <= 'Z' ? x + 32 : x) != (y >= 'A' && y <= 'Z' ? y + 32 : y))
            return false;
    }
}

MLXK_FN uint32_t tok_category_mask(struct str name) {
    static const struct {
        const char *short_cstr, *long_cstr;
        uint32_t mask;
    } groups[] = { { "L", "Letter", 0x1Fu << TOK_GC_LU },
                   { "M", "Mark", 7u << TOK_GC_MN },
                   { "N", "Number", 7u << TOK_GC_ND },
                   { "P", "Punctuation", 0x7Fu << TOK_GC_PC },
                   { "S", "Symbol", 0xFu << TOK_GC_SM },
                   { "Z", "Separator", 7u << TOK_GC_ZS },
                   { "C", "Other", 0x1Fu << TOK_GC_CC },
                   { "LC", "Cased_Letter", 7u << TOK_GC_LU },
                   { "Lu", "Uppercase_Letter", 1u << TOK_GC_LU },
                   { "Ll", "Lowercase_Letter", 1u << TOK_GC_LL },
                   { "Lt", "Titlecase_Letter", 1u << TOK_GC_LT },
                   { "Lm", "Modifier_Letter", 1u << TOK_GC_LM },
                   { "Lo", "Other_Letter", 1u << TOK_GC_LO },
                   { "Mn", "Nonspacing_Mark", 1u << TOK_GC_MN },
                   { "Mc", "Spacing_Mark", 1u << TOK_GC_MC },
                   { "Me", "Enclosing_Mark", 1u << TOK_GC_ME },
                   { "Nd", "Decimal_Number", 1u << TOK_GC_ND },
                   { "Nl", "Letter_Number", 1u << TOK_GC_NL },
                   { "No", "Other_Number", 1u << TOK_GC_NO },
                   { "Pc", "Connector_Punctuation", 1u << TOK_GC_PC },
                   { "Pd", "Dash_Punctuation", 1u << TOK_GC_PD },
                   { "Ps", "Open_Punctuation", 1u << TOK_GC_PS },
                   { "Pe", "Close_Punctuation", 1u << TOK_GC_PE },
                   { "Pi", "Initial_Punctuation", 1u << TOK_GC_PI },
                   { "Pf", "Final_Punctuation", 1u << TOK_GC_PF },
                   { "Po", "Other_Punctuation", 1u << TOK_GC_PO },
                   { "Sm", "Math_Symbol", 1u << TOK_GC_SM },
                   { "Sc", "Currency_Symbol", 1u << TOK_GC_SC },
                   { "Sk", "Modifier_Symbol", 1u << TOK_GC_SK },
                   { "So", "Other_Symbol", 1u << TOK_GC_SO },
                   { "Zs", "Space_Separator", 1u << TOK_GC_ZS },
                   { "Zl", "Line_Separator", 1u << TOK_GC_ZL },
                   { "Zp", "Paragraph_Separator", 1u << TOK_GC_ZP },
                   { "Cc", "Control", 1u << TOK_GC_CC },
                   { "Cf", "Format", 1u << TOK_GC_CF },
                   { "Cs", "Surrogate", 1u << TOK_GC_CS },
                   { "Co", "Private_Use", 1u << TOK_GC_CO },
                   { "Cn", "Unassigned", 1u << TOK_GC_CN },
                   { "Any", "Any", (1u << TOK_GC_COUNT) - 1 } };
    for (size_t i = 0; i < MLXK_COUNT(groups); i++)
        if (tok_name_eq(name, groups[i].short_cstr) || tok_name_eq(name, groups[i].long_cstr))
            return groups[i].mask;
    return 0;
}

MLXK_FN int tok_script_find(struct str name) {
    for (size_t i = 0; i < MLXK_COUNT(tok_script_name); i++)
        if (tok_name_eq(name, tok_script_name[i])) return (int)i;
    return -1;
}

MLXK_FN int tok_script(uint32_t cp) {
    size_t low = 0, high = MLXK_COUNT(tok_script_runs);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct tok_script_run *run = &tok_script_runs[mid];
        if (cp < run->first)
            high = mid;
        else if (cp > run->last_script >> 8)
            low = mid + 1;
        else
            return (int)(run->last_script & 0xFF);
    }
    return -1;
}

MLXK_FN bool tok_is_space(uint32_t cp) {
    if (cp < 0x80) return cp == ' ' || (cp >= 9 && cp <= 13);
    unsigned gc = tok_category(cp);
    return cp == 0x85 || (gc >= TOK_GC_ZS && gc <= TOK_GC_ZP);
}

static uint32_t tok_map_case(const struct tok_case_run *runs, size_t n, uint32_t cp) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct tok_case_run *run = &runs[mid];
        if (cp < run->first)
            high = mid;
        else if (cp > run->last)
            low = mid + 1;
        else if ((cp - run->first) % (uint32_t)run->step)
            return cp;
        else
            return (uint32_t)((int32_t)cp + run->delta);
    }
    return cp;
}

MLXK_FN uint32_t tok_to_lower(uint32_t cp) {
    if (cp < 0x80) return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    return tok_map_case(tok_lower_runs, MLXK_COUNT(tok_lower_runs), cp);
}

MLXK_FN uint32_t tok_to_upper(uint32_t cp) {
    if (cp < 0x80) return cp >= 'a' && cp <= 'z' ? cp - 32 : cp;
    return tok_map_case(tok_upper_runs, MLXK_COUNT(tok_upper_runs), cp);
}

MLXK_FN uint32_t tok_fold(uint32_t cp) {
    if (cp == 0x130 || cp == 0x131) /* the Turkish i's fold to themselves (CaseFolding, no T) */
        return cp;
    return tok_to_lower(tok_to_upper(cp));
}

MLXK_FN unsigned tok_combining_class(uint32_t cp) {
    if (cp < 0x300) return 0;
    size_t low = 0, high = MLXK_COUNT(tok_ccc_runs);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct tok_ccc_run *run = &tok_ccc_runs[mid];
        if (cp < run->first)
            high = mid;
        else if (cp >= run->first + run->count)
            low = mid + 1;
        else
            return run->ccc;
    }
    return 0;
}

/* Category as Unicode 8.0 has it, for marks, punctuation and what is invisible; others: today's. */
static unsigned tok_category_8(uint32_t cp) {
    size_t low = 0, high = MLXK_COUNT(tok_gc8_runs);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct tok_gc8_run *run = &tok_gc8_runs[mid];
        if (cp < run->first)
            high = mid;
        else if (cp > run->last)
            low = mid + 1;
        else
            return run->gc;
    }
    return tok_category(cp);
}

MLXK_FN bool tok_is_punctuation(uint32_t cp) {
    if (cp < 0x80)
        return (cp >= '!' && cp <= '/') || (cp >= ':' && cp <= '@') || (cp >= '[' && cp <= '`') ||
               (cp >= '{' && cp <= '~');
    unsigned gc = tok_category_8(cp);
    return gc >= TOK_GC_PC && gc <= TOK_GC_PO;
}

MLXK_FN bool tok_is_nonspacing(uint32_t cp) {
    return cp >= 0x300 && tok_category_8(cp) == TOK_GC_MN;
}

MLXK_FN bool tok_is_invisible(uint32_t cp) {
    if (cp < 0x7F) return cp < ' ' && cp != '\t' && cp != '\n' && cp != '\r';
    unsigned gc = tok_category_8(cp);
    return gc == TOK_GC_CC || gc == TOK_GC_CF || gc == TOK_GC_CO || cp == 0xFFFD;
}

MLXK_FN bool tok_is_combining_mark(uint32_t cp) {
    const uint32_t marks = 1u << TOK_GC_MN | 1u << TOK_GC_MC | 1u << TOK_GC_ME;
    if (!(marks >> tok_category(cp) & 1)) return false;
    for (size_t i = 0; i < MLXK_COUNT(tok_young_marks); i++)
        if (cp >= tok_young_marks[i].first && cp <= tok_young_marks[i].last) return false;
    return true;
}

enum {
    TOK_HANGUL_S = 0xAC00,
    TOK_HANGUL_L = 0x1100,
    TOK_HANGUL_V = 0x1161,
    TOK_HANGUL_T = 0x11A7,
    TOK_HANGUL_L_COUNT = 19,
    TOK_HANGUL_V_COUNT = 21,
    TOK_HANGUL_T_COUNT = 28,
    TOK_HANGUL_S_COUNT = 11172
}; /* The Unicode Standard 3.12 */

/* The code points of a row of the decomposition table. */
static size_t tok_dec_read(size_t row, uint32_t out[TOK_DECOMP_MAX]) {
    const uint16_t *unit = &tok_dec_pool[tok_dec_offset[row]];
    size_t n_units = tok_dec_key[row] >> 22, n = 0;
    for (size_t i = 0; i < n_units && n < TOK_DECOMP_MAX; i++) {
        if (unit[i] >= 0xD800 && unit[i] < 0xDC00 && i + 1 < n_units) {
            out[n++] =
                0x10000 + ((uint32_t)(unit[i] - 0xD800) << 10) + (uint32_t)(unit[i + 1] - 0xDC00);
            i++;
        } else {
            out[n++] = unit[i];
        }
    }
    return n;
}

MLXK_FN size_t tok_decompose(uint32_t cp, bool compat, uint32_t out[TOK_DECOMP_MAX]) {
    if (cp < 0xA0) return 0;
    if (cp >= TOK_HANGUL_S && cp < TOK_HANGUL_S + TOK_HANGUL_S_COUNT) {
        uint32_t s = cp - TOK_HANGUL_S, t = s % TOK_HANGUL_T_COUNT;
        out[0] = TOK_HANGUL_L + s / (TOK_HANGUL_V_COUNT * TOK_HANGUL_T_COUNT);
        out[1] = TOK_HANGUL_V + s % (TOK_HANGUL_V_COUNT * TOK_HANGUL_T_COUNT) / TOK_HANGUL_T_COUNT;
        out[2] = TOK_HANGUL_T + t;
        return t ? 3 : 2;
    }
    size_t low = 0, high = MLXK_COUNT(tok_dec_key);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        uint32_t at = tok_dec_key[mid] & 0x1FFFFF;
        if (at < cp)
            low = mid + 1;
        else if (at > cp)
            high = mid;
        else if (!compat && (tok_dec_key[mid] >> 21 & 1))
            return 0;
        else
            return tok_dec_read(mid, out);
    }
    return 0;
}

MLXK_FN uint32_t tok_compose(uint32_t first, uint32_t second) {
    uint32_t l = first - TOK_HANGUL_L, v = second - TOK_HANGUL_V, s = first - TOK_HANGUL_S;
    if (l < TOK_HANGUL_L_COUNT && v < TOK_HANGUL_V_COUNT)
        return TOK_HANGUL_S + (l * TOK_HANGUL_V_COUNT + v) * TOK_HANGUL_T_COUNT;
    uint32_t t = second - TOK_HANGUL_T;
    if (s < TOK_HANGUL_S_COUNT && s % TOK_HANGUL_T_COUNT == 0 && t > 0 && t < TOK_HANGUL_T_COUNT)
        return first + t;
    size_t low = 0, high = MLXK_COUNT(tok_comp_entry);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        uint32_t pair[TOK_DECOMP_MAX];
        tok_dec_read(tok_comp_entry[mid], pair);
        if (pair[0] < first || (pair[0] == first && pair[1] < second))
            low = mid + 1;
        else if (pair[0] == first && pair[1] == second)
            return tok_dec_key[tok_comp_entry[mid]] & 0x1FFFFF;
        else
            high = mid;
    }
    return 0;
}
