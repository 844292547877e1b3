/* utf8.c: decoding, checking, repairing and measuring UTF-8.
 *
 * One decoder, utf8_decode, decides what is malformed; everything else is built on it. No case
 * folding, no normalisation, no character classes: those tables belong to the tokenizer.
 * Follows: The Unicode Standard, 3.9, table 3-7 (well-formed sequences) and the recommended
 * replacement of maximal subparts.
 *
 * 1. Every call moves forward by 1..4 bytes and never past the end.
 */
#include "base/base.h"

enum { UTF8_REPLACEMENT = 0xFFFD };

/* Allowed range of the second byte and the number of bytes, from the first byte. n 0 = no start. */
struct utf8_lead { uint8_t n, low, high; };

static struct utf8_lead utf8_lead(uint8_t b) {
    if (b < 0x80) {
        return (struct utf8_lead){ 1, 0, 0 };
    }
    if (b < 0xC2 || b > 0xF4) {                  /* continuation, over-long, past U+10FFFF */
        return (struct utf8_lead){ 0, 0, 0 };
    }
    if (b < 0xE0) {
        return (struct utf8_lead){ 2, 0x80, 0xBF };
    }
    if (b < 0xF0) {                              /* E0: no over-long; ED: no surrogates */
        return (struct utf8_lead){ 3, b == 0xE0 ? 0xA0 : 0x80, b == 0xED ? 0x9F : 0xBF };
    }
    return (struct utf8_lead){ 4, b == 0xF0 ? 0x90 : 0x80, b == 0xF4 ? 0x8F : 0xBF };
}

/* Number of bytes of the sequence at s (n > 0) that are right so far; == lead.n when complete. */
static size_t utf8_prefix(struct str s, struct utf8_lead lead) {
    size_t n = 1;
    while (n < lead.n && n < s.n) {
        uint8_t b = (uint8_t)s.p[n];
        uint8_t low = n == 1 ? lead.low : 0x80, high = n == 1 ? lead.high : 0xBF;
        if (b < low || b > high) {
            break;
        }
        n++;
    }
    return n;
}

MLXK_FN uint32_t utf8_decode(struct str s, size_t *i) {
    MLXK_ASSERT(*i < s.n);
    const uint8_t *p = (const uint8_t *)s.p + *i;
    if (p[0] < 0x80) {
        ++*i;
        return p[0];
    }
    struct utf8_lead lead = utf8_lead(p[0]);
    size_t n = lead.n ? utf8_prefix(str_sub(s, *i, s.n), lead) : 1;
    *i += n;
    if (n != lead.n) {
        return UTF8_REPLACEMENT;
    }
    if (n == 2) {
        return (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3F);
    }
    if (n == 3) {
        return (uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
    }
    return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12
         | (uint32_t)(p[2] & 0x3F) << 6 | (p[3] & 0x3F);
}

MLXK_FN size_t utf8_encode(char out[4], uint32_t cp) {
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) {
        cp = UTF8_REPLACEMENT;
    }
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

/* Moves *i over well-formed text; false when it stands before a malformed part. */
static bool utf8_skip_valid(struct str s, size_t *i) {
    const uint8_t *p = (const uint8_t *)s.p;
    while (*i < s.n) {
        uint8_t b = p[*i];
        size_t left = s.n - *i;
        if (b < 0x80) {
            bool ascii = left >= 8 && !(num_read_u64(p + *i) & 0x8080808080808080u);
            *i += ascii ? 8 : 1;
        } else if (b >= 0xC2 && b < 0xE0 && left >= 2 && (p[*i + 1] & 0xC0) == 0x80) {
            *i += 2;
        } else if (b > 0xE0 && b < 0xF0 && b != 0xED && left >= 3 && (p[*i + 1] & 0xC0) == 0x80
                   && (p[*i + 2] & 0xC0) == 0x80) {
            *i += 3;
        } else {                                 /* rare, restricted or malformed */
            struct utf8_lead lead = utf8_lead(b);
            if (lead.n == 0 || utf8_prefix(str_sub(s, *i, s.n), lead) != lead.n) {
                return false;
            }
            *i += lead.n;
        }
    }
    return true;
}

MLXK_FN bool utf8_valid(struct str s) {
    size_t i = 0;
    return utf8_skip_valid(s, &i);
}

MLXK_FN size_t utf8_incomplete_tail(struct str s) {
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        struct str tail = str_sub(s, s.n - back, s.n);
        uint8_t b = (uint8_t)tail.p[0];
        if (b >= 0x80 && b < 0xC0) {
            continue;                            /* continuation: its start is further back */
        }
        struct utf8_lead lead = utf8_lead(b);
        return lead.n > back && utf8_prefix(tail, lead) == back ? back : 0;
    }
    return 0;
}

MLXK_FN size_t utf8_count(struct str s) {
    size_t count = 0;
    for (size_t i = 0; i < s.n; count++) {
        (void)utf8_decode(s, &i);
    }
    return count;
}

MLXK_FN void utf8_repair(struct buf *out, struct str s) {
    for (size_t i = 0; i < s.n;) {
        size_t from = i;
        bool valid = utf8_skip_valid(s, &i);
        buf_add(out, str_sub(s, from, i));
        if (!valid) {
            (void)utf8_decode(s, &i);
            buf_add(out, STR("\xef\xbf\xbd"));
        }
    }
}

/* ---- width in terminal columns ---- */

struct utf8_range { uint32_t first, last; };

static bool utf8_in(const struct utf8_range *ranges, size_t n, uint32_t cp) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (cp > ranges[mid].last) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < n && cp >= ranges[low].first;
}

/* Combining marks, joiners, variation selectors and format characters that terminals draw in no
 * column of their own: whole blocks where nearly all of the block is of that kind. */
static const struct utf8_range utf8_zero[] = {
    { 0x00AD, 0x00AD }, { 0x0300, 0x036F }, { 0x0483, 0x0489 }, { 0x0591, 0x05BD },
    { 0x05BF, 0x05BF }, { 0x05C1, 0x05C2 }, { 0x05C4, 0x05C5 }, { 0x05C7, 0x05C7 },
    { 0x0610, 0x061A }, { 0x064B, 0x065F }, { 0x0670, 0x0670 }, { 0x06D6, 0x06DC },
    { 0x06DF, 0x06E4 }, { 0x06E7, 0x06E8 }, { 0x06EA, 0x06ED }, { 0x0711, 0x0711 },
    { 0x0730, 0x074A }, { 0x07A6, 0x07B0 }, { 0x07EB, 0x07F3 }, { 0x0816, 0x0819 },
    { 0x08D3, 0x08E1 }, { 0x08E3, 0x0902 }, { 0x093A, 0x093A }, { 0x093C, 0x093C },
    { 0x0941, 0x0948 }, { 0x094D, 0x094D }, { 0x0951, 0x0957 }, { 0x0962, 0x0963 },
    { 0x0981, 0x0981 }, { 0x09BC, 0x09BC }, { 0x09C1, 0x09C4 }, { 0x09CD, 0x09CD },
    { 0x0A01, 0x0A02 }, { 0x0A3C, 0x0A3C }, { 0x0A41, 0x0A51 }, { 0x0A70, 0x0A71 },
    { 0x0A81, 0x0A82 }, { 0x0ABC, 0x0ABC }, { 0x0AC1, 0x0AC8 }, { 0x0ACD, 0x0ACD },
    { 0x0B3C, 0x0B3C }, { 0x0B3F, 0x0B3F }, { 0x0B41, 0x0B44 }, { 0x0B4D, 0x0B56 },
    { 0x0BC0, 0x0BC0 }, { 0x0BCD, 0x0BCD }, { 0x0C3E, 0x0C40 }, { 0x0C46, 0x0C56 },
    { 0x0CBC, 0x0CBC }, { 0x0CCC, 0x0CCD }, { 0x0D41, 0x0D44 }, { 0x0D4D, 0x0D4D },
    { 0x0DCA, 0x0DCA }, { 0x0DD2, 0x0DD6 }, { 0x0E31, 0x0E31 }, { 0x0E34, 0x0E3A },
    { 0x0E47, 0x0E4E }, { 0x0EB1, 0x0EB1 }, { 0x0EB4, 0x0EBC }, { 0x0EC8, 0x0ECE },
    { 0x0F18, 0x0F19 }, { 0x0F35, 0x0F39 }, { 0x0F71, 0x0F84 }, { 0x0F86, 0x0FBC },
    { 0x102D, 0x1030 }, { 0x1032, 0x103A }, { 0x1058, 0x1059 }, { 0x1160, 0x11FF },
    { 0x135D, 0x135F }, { 0x1712, 0x1714 }, { 0x17B4, 0x17B5 }, { 0x17B7, 0x17BD },
    { 0x17C6, 0x17D3 }, { 0x180B, 0x180F }, { 0x1AB0, 0x1AFF }, { 0x1DC0, 0x1DFF },
    { 0x200B, 0x200F }, { 0x202A, 0x202E }, { 0x2060, 0x206F }, { 0x20D0, 0x20F0 },
    { 0x2CEF, 0x2CF1 }, { 0x2DE0, 0x2DFF }, { 0x302A, 0x302D }, { 0x3099, 0x309A },
    { 0xA66F, 0xA67D }, { 0xA69E, 0xA69F }, { 0xA6F0, 0xA6F1 }, { 0xA8E0, 0xA8F1 },
    { 0xD7B0, 0xD7FF }, { 0xFB1E, 0xFB1E }, { 0xFE00, 0xFE0F }, { 0xFE20, 0xFE2F },
    { 0xFEFF, 0xFEFF }, { 0xFFF9, 0xFFFB }, { 0x1D167, 0x1D182 }, { 0x1E000, 0x1E02A },
    { 0x1F3FB, 0x1F3FF }, { 0xE0001, 0xE01EF },
};

/* East Asian wide and fullwidth, and pictographs drawn as emoji. */
static const struct utf8_range utf8_wide[] = {
    { 0x1100, 0x115F }, { 0x231A, 0x231B }, { 0x2329, 0x232A }, { 0x23E9, 0x23EC },
    { 0x23F0, 0x23F0 }, { 0x23F3, 0x23F3 }, { 0x25FD, 0x25FE }, { 0x2614, 0x2615 },
    { 0x2648, 0x2653 }, { 0x267F, 0x267F }, { 0x2693, 0x2693 }, { 0x26A1, 0x26A1 },
    { 0x26AA, 0x26AB }, { 0x26BD, 0x26BE }, { 0x26C4, 0x26C5 }, { 0x26CE, 0x26CE },
    { 0x26D4, 0x26D4 }, { 0x26EA, 0x26EA }, { 0x26F2, 0x26F3 }, { 0x26F5, 0x26F5 },
    { 0x26FA, 0x26FA }, { 0x26FD, 0x26FD }, { 0x2705, 0x2705 }, { 0x270A, 0x270B },
    { 0x2728, 0x2728 }, { 0x274C, 0x274C }, { 0x274E, 0x274E }, { 0x2753, 0x2755 },
    { 0x2757, 0x2757 }, { 0x2795, 0x2797 }, { 0x27B0, 0x27B0 }, { 0x27BF, 0x27BF },
    { 0x2B1B, 0x2B1C }, { 0x2B50, 0x2B50 }, { 0x2B55, 0x2B55 }, { 0x2E80, 0x303E },
    { 0x3041, 0x33FF }, { 0x3400, 0x4DBF }, { 0x4E00, 0xA4CF }, { 0xA960, 0xA97F },
    { 0xAC00, 0xD7A3 }, { 0xF900, 0xFAFF }, { 0xFE10, 0xFE19 }, { 0xFE30, 0xFE6F },
    { 0xFF00, 0xFF60 }, { 0xFFE0, 0xFFE6 }, { 0x16FE0, 0x18CFF }, { 0x1AFF0, 0x1B2FF },
    { 0x1F004, 0x1F004 }, { 0x1F0CF, 0x1F0CF }, { 0x1F18E, 0x1F18E }, { 0x1F191, 0x1F19A },
    { 0x1F200, 0x1F320 }, { 0x1F32D, 0x1F335 }, { 0x1F337, 0x1F37C }, { 0x1F37E, 0x1F393 },
    { 0x1F3A0, 0x1F3CA }, { 0x1F3CF, 0x1F3D3 }, { 0x1F3E0, 0x1F3F0 }, { 0x1F3F4, 0x1F3F4 },
    { 0x1F3F8, 0x1F43E }, { 0x1F440, 0x1F440 }, { 0x1F442, 0x1F4FC }, { 0x1F4FF, 0x1F53D },
    { 0x1F54B, 0x1F54E }, { 0x1F550, 0x1F567 }, { 0x1F57A, 0x1F57A }, { 0x1F595, 0x1F596 },
    { 0x1F5A4, 0x1F5A4 }, { 0x1F5FB, 0x1F64F }, { 0x1F680, 0x1F6C5 }, { 0x1F6CC, 0x1F6CC },
    { 0x1F6D0, 0x1F6D2 }, { 0x1F6D5, 0x1F6D7 }, { 0x1F6DC, 0x1F6DF }, { 0x1F6EB, 0x1F6EC },
    { 0x1F6F4, 0x1F6FC }, { 0x1F7E0, 0x1F7EB }, { 0x1F7F0, 0x1F7F0 }, { 0x1F90C, 0x1F93A },
    { 0x1F93C, 0x1F945 }, { 0x1F947, 0x1F9FF }, { 0x1FA70, 0x1FAFF }, { 0x20000, 0x3FFFD },
};

MLXK_FN size_t utf8_width(struct str s) {
    size_t width = 0;
    for (size_t i = 0; i < s.n;) {
        uint32_t cp = utf8_decode(s, &i);
        if (cp < 0xAD) {
            width += cp >= 0x20 && (cp < 0x7F || cp >= 0xA0);   /* control characters: none */
        } else if (!utf8_in(utf8_zero, MLXK_COUNT(utf8_zero), cp)) {
            width += utf8_in(utf8_wide, MLXK_COUNT(utf8_wide), cp) ? 2 : 1;
        }
    }
    return width;
}
