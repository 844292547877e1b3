/* lz4.c: LZ4 frames, unpacked into memory of known size.
 *
 * Invariants
 *  1. Nothing is read past the frame or written past cap, whatever the lengths say.
 *  2. A match lies within what was unpacked before it: of the same block, or with linked blocks of
 *     the frame.
 *  3. A frame is taken only to its end mark, with every checksum that it has.
 */
#include "format/format.h"

enum {
    LZ4_VERSION = 0x40, LZ4_INDEPENDENT = 0x20, LZ4_BLOCK_SUM = 0x10, LZ4_SIZE = 0x08,
    LZ4_CONTENT_SUM = 0x04, LZ4_RESERVED = 0x02, LZ4_DICTIONARY = 0x01,      /* first byte */
    LZ4_MIN_MATCH = 4,
    LZ4_STRIDE = 8,                      /* bytes copied at once */
};
#define LZ4_MAGIC  0x184D2204u
#define LZ4_STORED 0x80000000u           /* of a block's length: its bytes are as they are */

/* ---- checksums: XXH32 of seed 0 (Private) ---------------------------------------------------- */

#define LZ4_PRIME_1 2654435761u
#define LZ4_PRIME_2 2246822519u
#define LZ4_PRIME_3 3266489917u
#define LZ4_PRIME_4 668265263u
#define LZ4_PRIME_5 374761393u

static uint32_t lz4_turn(uint32_t x, int n) { return x << n | x >> (32 - n); }

static uint32_t lz4_sum(const uint8_t *p, size_t n) {
    uint32_t lane[4] = { LZ4_PRIME_1 + LZ4_PRIME_2, LZ4_PRIME_2, 0, 0u - LZ4_PRIME_1 };
    uint32_t sum = LZ4_PRIME_5;
    size_t left = n;
    for (; left >= 16; left -= 16, p += 16)
        for (size_t i = 0; i < 4; i++)
            lane[i] = lz4_turn(lane[i] + num_read_u32(p + i * 4) * LZ4_PRIME_2, 13) * LZ4_PRIME_1;
    if (n >= 16)
        sum = lz4_turn(lane[0], 1) + lz4_turn(lane[1], 7) + lz4_turn(lane[2], 12)
              + lz4_turn(lane[3], 18);
    sum += (uint32_t)n;
    for (; left >= 4; left -= 4, p += 4)
        sum = lz4_turn(sum + num_read_u32(p) * LZ4_PRIME_3, 17) * LZ4_PRIME_4;
    for (; left; left--, p++) sum = lz4_turn(sum + *p * LZ4_PRIME_5, 11) * LZ4_PRIME_1;
    sum = (sum ^ sum >> 15) * LZ4_PRIME_2;
    sum = (sum ^ sum >> 13) * LZ4_PRIME_3;
    return sum ^ sum >> 16;
}

/* ---- one block (Private) --------------------------------------------------------------------- */

struct lz4_place { uint8_t *out; size_t at, cap, floor; };   /* floor: matches begin there */

static bool lz4_bad(struct err *e, const char *why_cstr) {
    return err_set(e, ERR_FORMAT, "damaged LZ4 data: %s", why_cstr);
}

/* Bytes that follow each other, in strides where both sides have room for the last one's end. */
static void lz4_copy(uint8_t *to, const uint8_t *from, size_t n, bool strides) {
    size_t i = 0;
    if (strides)
        for (; i < n; i += LZ4_STRIDE) memcpy(to + i, from + i, LZ4_STRIDE);
    else
        for (; i < n; i++) to[i] = from[i];
}

/* A length that does not fit into its four bits goes on in bytes. At most 255 for each byte of the
 * input, so it cannot overflow. */
static bool lz4_length(const uint8_t **p, const uint8_t *end, size_t *n) {
    if (*n < 15) return true;
    for (;;) {
        if (*p == end) return false;
        uint8_t more = *(*p)++;
        *n += more;
        if (more < 255) return true;
    }
}

static bool lz4_match(struct lz4_place *x, size_t distance, size_t n, struct err *e) {
    if (distance == 0 || distance > x->at - x->floor)
        return lz4_bad(e, "it repeats what was not there");
    if (n > x->cap - x->at) return err_set(e, ERR_LIMIT, "LZ4 data unpacks to more than it may");
    uint8_t *to = x->out + x->at;
    bool room = x->cap - x->at - n >= LZ4_STRIDE;
    lz4_copy(to, to - distance, n, room && distance >= LZ4_STRIDE);
    x->at += n;
    return true;
}

static bool lz4_block(struct lz4_place *x, const uint8_t *p, size_t n_bytes, struct err *e) {
    const uint8_t *end = p + n_bytes;
    for (;;) {
        if (p == end) return lz4_bad(e, "a block ends too early");
        uint8_t token = *p++;
        size_t n = token >> 4;
        if (!lz4_length(&p, end, &n) || n > (size_t)(end - p))
            return lz4_bad(e, "a block ends too early");
        if (n > x->cap - x->at)
            return err_set(e, ERR_LIMIT, "LZ4 data unpacks to more than it may");
        bool room = x->cap - x->at - n >= LZ4_STRIDE && (size_t)(end - p) - n >= LZ4_STRIDE;
        lz4_copy(x->out + x->at, p, n, room);
        x->at += n;
        p += n;
        if (p == end) return true;       /* only literals end a block */
        if (end - p < 2) return lz4_bad(e, "a block ends too early");
        size_t distance = num_read_u16(p);
        p += 2;
        n = token & 15;
        if (!lz4_length(&p, end, &n)) return lz4_bad(e, "a block ends too early");
        if (!lz4_match(x, distance, n + LZ4_MIN_MATCH, e)) return false;
    }
}

/* ---- the frame (Private) --------------------------------------------------------------------- */

struct lz4_frame {
    const uint8_t *p, *end;
    uint8_t flags;
    size_t max_block;
    bool sized; uint64_t size_bytes;
};

static bool lz4_head(struct lz4_frame *f, struct err *e) {
    if (f->end - f->p < 7 || num_read_u32(f->p) != LZ4_MAGIC)
        return lz4_bad(e, "there is no frame");
    const uint8_t *begin = f->p + 4;
    uint8_t kind = begin[1] >> 4;
    f->flags = begin[0];
    if ((f->flags & 0xC0) != LZ4_VERSION || f->flags & LZ4_RESERVED || begin[1] & 0x8F || kind < 4)
        return lz4_bad(e, "an unknown kind of frame");
    if (f->flags & LZ4_DICTIONARY)
        return err_set(e, ERR_UNSUPPORTED, "LZ4 data with a dictionary");
    f->max_block = (size_t)1 << (2 * kind + 8);
    f->sized = f->flags & LZ4_SIZE;
    f->p = begin + 2;
    if (f->sized) {
        if (f->end - f->p < 9) return lz4_bad(e, "its head is cut");
        f->size_bytes = num_read_u64(f->p);
        f->p += 8;
    }
    if ((lz4_sum(begin, (size_t)(f->p - begin)) >> 8 & 0xFF) != *f->p)
        return lz4_bad(e, "the checksum of its head is wrong");
    f->p++;
    return true;
}

/* One checksum, if the frame has them: of n bytes at data. */
static bool lz4_sum_fits(struct lz4_frame *f, uint8_t which, const uint8_t *data, size_t n,
                         struct err *e) {
    if (!(f->flags & which)) return true;
    if (f->end - f->p < 4) return lz4_bad(e, "a checksum is cut");
    uint32_t want = num_read_u32(f->p);
    f->p += 4;
    return lz4_sum(data, n) == want || lz4_bad(e, "a checksum is wrong");
}

/* *last: the end mark was there. */
static bool lz4_next(struct lz4_frame *f, struct lz4_place *x, bool *last, struct err *e) {
    if (f->end - f->p < 4) return lz4_bad(e, "its end mark is missing");
    uint32_t word = num_read_u32(f->p);
    size_t n = word & ~LZ4_STORED, begin = x->at;
    f->p += 4;
    *last = word == 0;
    if (*last) return true;
    if (n == 0 || n > f->max_block || n > (size_t)(f->end - f->p))
        return lz4_bad(e, "a block of impossible length");
    const uint8_t *data = f->p;
    f->p += n;
    if (!lz4_sum_fits(f, LZ4_BLOCK_SUM, data, n, e)) return false;
    if (f->flags & LZ4_INDEPENDENT) x->floor = x->at;
    if (word & LZ4_STORED) {
        if (n > x->cap - x->at)
            return err_set(e, ERR_LIMIT, "LZ4 data unpacks to more than it may");
        memcpy(x->out + x->at, data, n);
        x->at += n;
    } else if (!lz4_block(x, data, n, e)) {
        return false;
    }
    return x->at - begin <= f->max_block || lz4_bad(e, "a block is larger than the frame allows");
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN bool lz4_unpack(uint8_t *out, size_t cap, size_t *n_out, struct str frame, struct err *e) {
    struct lz4_frame f = { .p = (const uint8_t *)frame.p };
    struct lz4_place x = { .out = out, .cap = cap };
    bool last = false;
    *n_out = 0;
    if (!frame.n) return lz4_bad(e, "there is no frame");
    f.end = f.p + frame.n;
    bool ok = lz4_head(&f, e);
    while (ok && !last) ok = lz4_next(&f, &x, &last, e);
    ok = ok && lz4_sum_fits(&f, LZ4_CONTENT_SUM, out, x.at, e);
    if (ok && f.sized && f.size_bytes != x.at) ok = lz4_bad(e, "its size is not what it says");
    if (ok && f.p != f.end) ok = lz4_bad(e, "something follows its end");
    if (ok) *n_out = x.at;
    return ok;
}

#undef LZ4_MAGIC
#undef LZ4_STORED
#undef LZ4_PRIME_1
#undef LZ4_PRIME_2
#undef LZ4_PRIME_3
#undef LZ4_PRIME_4
#undef LZ4_PRIME_5
