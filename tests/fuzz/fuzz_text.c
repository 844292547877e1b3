/* fuzz_text.c: UTF-8, globs, numbers, sizes and redaction on any bytes.
 *
 * Besides "does not crash" it checks what must hold for every input; a broken rule traps.
 *
 * covers: base/utf8.c base/num.c
 */
#include "base/base.h"

int fuzz_text(const uint8_t *data, size_t size);

static void fuzz_text_rule(bool holds) {
    if (!holds) {
        __builtin_trap();
    }
}

static void fuzz_text_utf8(struct str s) {
    struct buf repaired;
    buf_init(&repaired, s.n * 3);                /* a byte becomes U+FFFD at worst */
    utf8_repair(&repaired, s);
    fuzz_text_rule(!repaired.failed && utf8_valid(buf_str(&repaired)));
    fuzz_text_rule(utf8_valid(s) == str_eq(s, buf_str(&repaired)));
    fuzz_text_rule(utf8_count(s) == utf8_count(buf_str(&repaired)));
    fuzz_text_rule(utf8_width(s) == utf8_width(buf_str(&repaired)));
    fuzz_text_rule(utf8_incomplete_tail(s) <= 3 && utf8_incomplete_tail(s) <= s.n);
    buf_release(&repaired);
}

static void fuzz_text_numbers(struct str s) {
    char out[32];
    double x, back;
    int64_t i;
    uint64_t size;
    if (num_parse_f64(s, &x)) {
        size_t n = num_format_f64(out, x);
        fuzz_text_rule(num_parse_f64((struct str){ out, n }, &back)
            && memcmp(&x, &back, sizeof x) == 0);
    }
    if (num_parse_i64(s, -1000, 1000, &i)) {
        fuzz_text_rule(i >= -1000 && i <= 1000);
    }
    (void)num_parse_size(s, &size);
}

/* Every half is a float and comes back (but for what a NaN carries); sizes have a text. */
static void fuzz_text_halves(const uint8_t *data, size_t size) {
    char text[16];
    for (size_t i = 0; i + 8 <= size && i < 64; i += 2) {
        uint16_t h = num_read_u16(data + i);
        float f = num_f16_to_f32(h), b = num_bf16_to_f32(h);
        fuzz_text_rule(f != f || num_f32_to_f16(f) == h);
        fuzz_text_rule(b != b || num_f32_to_bf16(b) == h);
        size_t n = num_format_size(text, num_read_u64(data + i));
        fuzz_text_rule(n > 0 && n < sizeof text);
    }
}

static void fuzz_text_redact(struct str s) {
    struct buf copy;
    buf_init(&copy, s.n);
    buf_add(&copy, s);
    if (copy.p) {
        size_t n = log_redact(copy.p, copy.n);
        fuzz_text_rule(n <= s.n);
        fuzz_text_rule(log_redact(copy.p, n) <= n);
    }
    buf_release(&copy);
}

int fuzz_text(const uint8_t *data, size_t size) {
    struct str s = { (const char *)data, size }, text = s;
    struct str pattern = str_cut(&text, '\n');
    fuzz_text_utf8(s);
    fuzz_text_numbers(s);
    fuzz_text_halves(data, size);
    fuzz_text_redact(s);
    if (size <= 4096) {                          /* quadratic at worst, by contract */
        (void)str_glob(pattern, text);
        fuzz_text_rule(str_glob(STR("*"), s));
    }
    return 0;
}
