/* fuzz_chat_split.c: reasoning and answer in any text, cut anywhere.
 *
 * The first byte chooses the marks and the pieces. Rules: what comes out does not depend on how the text was cut,
 * plain text comes out whole, and no channel mark is handed on.
 *
 * covers: chat/chat_split.c
 */
#include "chat/chat.h"

int fuzz_chat_split(const uint8_t *data, size_t size);

struct fuzz_split_told { struct buf part[2]; bool channels; };

static void fuzz_split_rule(bool holds) {
    if (!holds) __builtin_trap();
}

static bool fuzz_split_part(void *ctx, enum chat_part kind, struct str text) {
    struct fuzz_split_told *told = ctx;
    fuzz_split_rule(text.n > 0);
    if (told->channels) fuzz_split_rule(str_find(text, STR("<|message|>")) < 0 && str_find(text, STR("<|end|>")) < 0);
    buf_add(&told->part[kind], text);
    return true;
}

static void fuzz_split_run(const struct chat_style *style, struct str text, size_t piece, struct fuzz_split_told *told) {
    struct chat_split s;
    struct err e = { 0 };
    for (int i = 0; i < 2; i++) buf_init(&told->part[i], 4 * text.n + 64);
    told->channels = style->marks == CHAT_CHANNELS;
    chat_split_init(&s, style, fuzz_split_part, told);
    for (size_t i = 0; i < text.n; i += piece) chat_split_push(&s, str_sub(text, i, i + piece));
    fuzz_split_rule(chat_split_end(&s, &e));
    chat_split_release(&s);
}

int fuzz_chat_split(const uint8_t *data, size_t size) {
    if (size < 1 || size > 4096) return 0;
    struct chat_style style = { .marks = (enum chat_marks)(data[0] % 3), .open = STR("<think>"), .close = STR("</think>"),
                                .opened = (data[0] & 4) != 0 };
    if (style.marks != CHAT_TAGS) style.opened = false;
    if (data[0] & 8) style.header = STR("<|channel|>analysis<|message|>");
    struct str text = { (const char *)data + 1, size - 1 };
    struct fuzz_split_told whole, pieces;
    fuzz_split_run(&style, text, text.n + 1, &whole);
    fuzz_split_run(&style, text, 1 + (data[0] >> 4), &pieces);
    for (int i = 0; i < 2; i++) {
        fuzz_split_rule(str_eq(buf_str(&whole.part[i]), buf_str(&pieces.part[i])));
        fuzz_split_rule(!whole.part[i].failed);
    }
    struct str answer = buf_str(&whole.part[CHAT_ANSWER]);
    if (style.marks == CHAT_PLAIN) fuzz_split_rule(str_eq(answer, text));
    for (int i = 0; i < 2; i++) {
        buf_release(&whole.part[i]);
        buf_release(&pieces.part[i]);
    }
    return 0;
}
