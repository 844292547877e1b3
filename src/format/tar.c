/* tar.c: POSIX tar archives, written and read as a stream of blocks.
 *
 * Written: ustar headers, with a pax header in front where a name, a link or a size does not fit.
 * Read: ustar, pax (path, linkpath, size) and GNU's long names; old headers without magic too.
 *
 * 1. Reading is bounded: names by TAR_MAX_NAME, pax headers by TAR_MAX_PAX, those in front of one
 *    entry by TAR_MAX_EXTRA; a checksum that does not fit ends it. What a name means is not judged
 *    here: whoever unpacks must.
 * 2. The same entries give the same bytes: owner 0, no names of users, times as given.
 * ref: POSIX.1-2017 "pax", ustar Interchange Format.
 */
#include "format/format.h"

#include <stdio.h>

enum { TAR_MAX_PAX = 1 << 20, TAR_MAX_EXTRA = 16, TAR_NAME = 100, TAR_PREFIX = 155,
       TAR_PREFIX_AT = 345,
       TAR_SIZE_AT = 124, TAR_TIME_AT = 136, TAR_SUM_AT = 148, TAR_TYPE_AT = 156,
       TAR_LINK_AT = 157, TAR_MAGIC_AT = 257 };
#define TAR_MAX_OCTAL (((uint64_t)1 << 33) - 1)      /* eleven octal digits */

/* ---- writing (Private) ----------------------------------------------------------------------- */

static void tar_octal(char *at, int digits, uint64_t x) {
    for (int i = digits - 1; i >= 0; i--, x >>= 3) at[i] = (char)('0' + (x & 7));
}

static uint64_t tar_sum(const uint8_t block[TAR_BLOCK]) {
    uint64_t sum = 0;
    for (int i = 0; i < TAR_BLOCK; i++)
        sum += i >= TAR_SUM_AT && i < TAR_SUM_AT + 8 ? ' ' : block[i];
    return sum;
}

static void tar_put_block(struct buf *out, char type, struct str name, struct str prefix,
                          struct str link, uint64_t size_bytes, const struct tar_entry *x) {
    char block[TAR_BLOCK] = { 0 };
    memcpy(block, name.p, name.n < TAR_NAME ? name.n : TAR_NAME);
    if (prefix.n) memcpy(block + TAR_PREFIX_AT, prefix.p, prefix.n);
    if (link.n) memcpy(block + TAR_LINK_AT, link.p, link.n < TAR_NAME ? link.n : TAR_NAME);
    tar_octal(block + 100, 7, x->mode & 07777);
    tar_octal(block + 108, 7, 0);
    tar_octal(block + 116, 7, 0);
    tar_octal(block + TAR_SIZE_AT, 11, size_bytes > TAR_MAX_OCTAL ? 0 : size_bytes);
    tar_octal(block + TAR_TIME_AT, 11, x->mtime_s < 0 ? 0 : (uint64_t)x->mtime_s);
    block[TAR_TYPE_AT] = type;
    memcpy(block + TAR_MAGIC_AT, "ustar\00000", 8);
    tar_octal(block + TAR_SUM_AT, 6, tar_sum((const uint8_t *)block));
    block[TAR_SUM_AT + 7] = ' ';
    buf_add_bytes(out, block, sizeof block);
}

static bool tar_is_ascii(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80) return false;
    return true;
}

/* The name as ustar's two fields; false when it does not fit. */
static bool tar_split(struct str path, struct str *name, struct str *prefix) {
    *name = path;
    *prefix = STR_EMPTY;
    if (path.n <= TAR_NAME) return true;
    for (size_t i = path.n - 1; i > 0; i--)
        if (i <= TAR_PREFIX && path.n - i - 1 <= TAR_NAME && i + 1 < path.n && path.p[i] == '/') {
            *prefix = str_sub(path, 0, i);
            *name = str_sub(path, i + 1, path.n);
            return true;
        }
    return false;
}

/* "N key=value\n", where N counts itself too. */
static void tar_pax_record(struct buf *out, const char *key_cstr, struct str value) {
    size_t n = strlen(key_cstr) + value.n + 3, digits = 1;
    for (size_t limit = 10; n + digits >= limit; limit *= 10) digits++;
    buf_addf(out, "%zu %s=", n + digits, key_cstr);
    buf_add(out, value);
    buf_add_char(out, '\n');
}

MLXK_FN bool tar_write_header(struct buf *out, const struct tar_entry *x, struct err *e) {
    static const char types[] = { [TAR_FILE] = '0', [TAR_HARDLINK] = '1', [TAR_SYMLINK] = '2',
                                  [TAR_DIR] = '5' };
    struct str name, prefix;
    struct buf pax;
    buf_init(&pax, TAR_MAX_PAX);
    bool fits = tar_split(x->path, &name, &prefix) && tar_is_ascii(x->path);
    if (!fits) tar_pax_record(&pax, "path", x->path);
    if (x->link.n > TAR_NAME || !tar_is_ascii(x->link)) tar_pax_record(&pax, "linkpath", x->link);
    if (x->size_bytes > TAR_MAX_OCTAL) {
        char text[24];
        int n = snprintf(text, sizeof text, "%llu", (unsigned long long)x->size_bytes);
        tar_pax_record(&pax, "size", (struct str){ text, (size_t)n });
    }
    struct str extra = buf_str(&pax);
    if (extra.n) {
        tar_put_block(out, 'x', STR("pax"), STR_EMPTY, STR_EMPTY, extra.n, x);
        buf_add(out, extra);
        tar_write_padding(out, extra.n);
    }
    if (!fits) prefix = STR_EMPTY;
    tar_put_block(out, types[x->kind], fits ? name : str_sub(x->path, 0, TAR_NAME), prefix,
                  x->link, x->size_bytes, x);
    bool ok = buf_ok(&pax, "a tar header", e) && buf_ok(out, "a tar header", e);
    buf_release(&pax);
    return ok;
}

MLXK_FN void tar_write_padding(struct buf *out, uint64_t size_bytes) {
    static const char zeros[TAR_BLOCK];
    buf_add_bytes(out, zeros, tar_padding(size_bytes));
}

MLXK_FN void tar_write_end(struct buf *out) {
    static const char zeros[TAR_BLOCK];
    buf_add_bytes(out, zeros, sizeof zeros);
    buf_add_bytes(out, zeros, sizeof zeros);
}

MLXK_FN size_t tar_padding(uint64_t size_bytes) {
    return (size_t)(-size_bytes & (TAR_BLOCK - 1));
}

/* ---- reading (Private) ----------------------------------------------------------------------- */

static bool tar_bad(struct tar_reader *r, const char *what_cstr, struct err *e) {
    return err_set(e, ERR_FORMAT, "tar archive, byte %llu: %s",
                   (unsigned long long)r->offset_bytes, what_cstr);
}

static bool tar_take(struct tar_reader *r, void *p, size_t n, struct err *e) {
    if (!r->read(r->ctx, p, n, e)) return false;
    r->offset_bytes += n;
    return true;
}

/* Octal digits between blanks, or GNU's binary form. */
static bool tar_number(const uint8_t *at, int n, uint64_t *out) {
    *out = 0;
    if (at[0] == 0x80) {                         /* big-endian behind a mark */
        for (int i = 1; i < n; i++) {
            if (*out >> 56) return false;
            *out = *out << 8 | at[i];
        }
        return *out <= INT64_MAX;
    }
    int i = 0;
    while (i < n && at[i] == ' ') i++;
    for (; i < n && at[i] >= '0' && at[i] <= '7'; i++) *out = *out << 3 | (uint64_t)(at[i] - '0');
    return i == n || at[i] == ' ' || at[i] == 0;
}

static struct str tar_text(const uint8_t *at, size_t n) {
    const void *end = memchr(at, 0, n);
    return (struct str){ (const char *)at, end ? (size_t)((const uint8_t *)end - at) : n };
}

/* Content of a header that describes the next one. */
static bool tar_extra(struct tar_reader *r, uint64_t size_bytes, struct str *out, struct err *e) {
    uint8_t padding[TAR_BLOCK];
    if (size_bytes > TAR_MAX_PAX) return tar_bad(r, "a header of more than 1 MB", e);
    char *p = arena_alloc(r->arena, (size_t)size_bytes + 1, 1);
    if (!p) return err_oom(e, (size_t)size_bytes, "a tar header");
    *out = (struct str){ p, (size_t)size_bytes };
    return tar_take(r, p, out->n, e) && tar_take(r, padding, tar_padding(size_bytes), e);
}

struct tar_wishes { struct str path, link; uint64_t size_bytes; bool has_size; };

static bool tar_pax(struct tar_reader *r, struct str text, struct tar_wishes *w, struct err *e) {
    while (text.n) {
        ptrdiff_t space = str_find_char(text, ' ');
        uint64_t n;
        if (space <= 0 || !num_parse_u64(str_sub(text, 0, (size_t)space), text.n, &n) ||
            n <= (uint64_t)space + 1 || text.p[n - 1] != '\n')
            return tar_bad(r, "a pax record is cut or has a wrong length", e);
        struct str record = str_sub(text, (size_t)space + 1, (size_t)n - 1);
        ptrdiff_t equals = str_find_char(record, '=');
        if (equals < 0) return tar_bad(r, "a pax record without '='", e);
        struct str key = str_sub(record, 0, (size_t)equals),
                   value = str_sub(record, (size_t)equals + 1, record.n);
        if (str_eq(key, STR("path"))) w->path = value;
        else if (str_eq(key, STR("linkpath"))) w->link = value;
        else if (str_eq(key, STR("size"))) {
            if (!num_parse_u64(value, INT64_MAX, &w->size_bytes))
                return tar_bad(r, "a pax size that is no number", e);
            w->has_size = true;
        } else if (str_starts(key, STR("GNU.sparse"))) {
            return tar_bad(r, "a sparse file, which no bundle has", e);
        }
        text = str_sub(text, (size_t)n, text.n);
    }
    return true;
}

static bool tar_fill(struct tar_reader *r, const uint8_t block[TAR_BLOCK],
                     const struct tar_wishes *w, struct tar_entry *out, struct err *e) {
    uint64_t mode, time;
    struct str name = tar_text(block, TAR_NAME), prefix = STR_EMPTY;
    if (memcmp(block + TAR_MAGIC_AT, "ustar", 6) == 0)
        prefix = tar_text(block + TAR_PREFIX_AT, TAR_PREFIX);
    char type = (char)block[TAR_TYPE_AT];
    out->kind = type == '0' || type == 0 || type == '7' ? TAR_FILE : type == '1' ? TAR_HARDLINK
              : type == '2' ? TAR_SYMLINK : type == '5' ? TAR_DIR : TAR_OTHER;
    if (!tar_number(block + 100, 8, &mode) || !tar_number(block + TAR_TIME_AT, 12, &time))
        return tar_bad(r, "a mode or time that is no number", e);
    out->mode = (uint32_t)(mode & 07777);
    out->mtime_s = (int64_t)time;
    if (w->has_size) out->size_bytes = w->size_bytes;
    out->path = w->path.p ? w->path
                : prefix.n
                    ? str_format(r->arena, STR_FMT "/" STR_FMT, STR_ARG(prefix), STR_ARG(name))
                    : str_dup(r->arena, name);
    out->link = w->link.p ? w->link : str_dup(r->arena, tar_text(block + TAR_LINK_AT, TAR_NAME));
    if (!out->path.p || !out->link.p) return err_oom(e, TAR_BLOCK, "a tar header");
    if (out->path.n > TAR_MAX_NAME || out->link.n > TAR_MAX_NAME)
        return tar_bad(r, "a name of more than 4096 bytes", e);
    if (out->kind != TAR_FILE && out->kind != TAR_OTHER) out->size_bytes = 0;
    r->left_bytes = out->size_bytes;
    r->padding = tar_padding(out->size_bytes);
    return true;
}

/* ---- reading (Public) ------------------------------------------------------------------------ */

MLXK_FN bool tar_is(struct str head) {
    return head.n >= TAR_BLOCK && memcmp(head.p + TAR_MAGIC_AT, "ustar", 5) == 0;
}

MLXK_FN void tar_reader_init(struct tar_reader *r, struct arena *a, tar_read_fn read, void *ctx) {
    *r = (struct tar_reader){ .arena = a, .read = read, .ctx = ctx };
}

MLXK_FN bool tar_next(struct tar_reader *r, struct tar_entry *out, bool *end, struct err *e) {
    uint8_t block[TAR_BLOCK];
    struct tar_wishes w = { 0 };
    *out = (struct tar_entry){ 0 };
    *end = false;
    if (!tar_skip(r, e)) return false;
    for (int n_extra = 0;; n_extra++) {
        uint64_t sum;
        if (!tar_take(r, block, sizeof block, e)) return false;
        if (!block[0]) {                         /* the end, or damage */
            for (int i = 0; i < TAR_BLOCK; i++)
                if (block[i]) return tar_bad(r, "an entry without a name", e);
            *end = true;
            return true;
        }
        if (!tar_number(block + TAR_SUM_AT, 8, &sum) || sum != tar_sum(block))
            return tar_bad(r, "a header whose checksum does not fit", e);
        if (!tar_number(block + TAR_SIZE_AT, 12, &out->size_bytes))
            return tar_bad(r, "a size that is no number", e);
        char type = (char)block[TAR_TYPE_AT];
        if (type != 'x' && type != 'g' && type != 'L' && type != 'K')
            return tar_fill(r, block, &w, out, e);
        if (n_extra == TAR_MAX_EXTRA) return tar_bad(r, "too many headers for one entry", e);
        struct str text = STR_EMPTY;
        if (!tar_extra(r, out->size_bytes, &text, e)) return false;
        if (type == 'x' && !tar_pax(r, text, &w, e)) return false;
        if (type == 'L') w.path = tar_text((const uint8_t *)text.p, text.n);
        if (type == 'K') w.link = tar_text((const uint8_t *)text.p, text.n);
    }
}

MLXK_FN bool tar_read(struct tar_reader *r, void *p, size_t n, struct err *e) {
    MLXK_ASSERT(n <= r->left_bytes);
    r->left_bytes -= n;
    return tar_take(r, p, n, e);
}

MLXK_FN bool tar_skip(struct tar_reader *r, struct err *e) {
    uint8_t piece[8192];
    for (uint64_t left = r->left_bytes + r->padding; left;) {
        size_t n = left < sizeof piece ? (size_t)left : sizeof piece;
        if (!tar_take(r, piece, n, e)) return false;
        left -= n;
    }
    r->left_bytes = 0;
    r->padding = 0;
    return true;
}

#undef TAR_MAX_OCTAL
