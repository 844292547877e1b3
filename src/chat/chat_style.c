/* chat_style.c: which marks a model puts around what it thinks.
 *
 * It looks at three things, the surest first: how the rendered prompt ends (a template that opens
 * the reasoning itself), what the template's source mentions (it strips or renders earlier
 * reasoning), which tokens the tokenizer has. A model's name says nothing here.
 *
 * ref  the chat templates of the models; "OpenAI harmony response format" for channels
 */
#include "chat/chat.h"

/* Tags in use. Where several are known for one model, the first row wins. */
static const struct chat_style_tags { struct str open, close; } chat_style_tags[] = {
    { { "<think>", 7 }, { "</think>", 8 } },
    { { "<|START_THINKING|>", 18 }, { "<|END_THINKING|>", 16 } },
    { { "<|channel>thought", 17 }, { "<channel|>", 10 } },
    { { "<seed:think>", 12 }, { "</seed:think>", 13 } },
    { { "[THINK]", 7 }, { "[/THINK]", 8 } },
    { { "<thinking>", 10 }, { "</thinking>", 11 } },
    { { "Here are my reasoning steps:", 28 }, { "[BEGIN FINAL RESPONSE]", 22 } },
};

static bool chat_style_mentions(struct str source, struct str what) {
    return str_find(source, what) >= 0;
}

static const struct chat_style_tags *chat_style_choose(const struct chat *ch, struct str source,
                                                       struct str tail) {
    const size_t n = MLXK_COUNT(chat_style_tags);
    for (size_t i = 0; i < n; i++)
        if (str_ends(tail, chat_style_tags[i].open)) return &chat_style_tags[i];
    for (size_t i = 0; i < n; i++)
        if (chat_style_mentions(source, chat_style_tags[i].open) ||
            chat_style_mentions(source, chat_style_tags[i].close))
            return &chat_style_tags[i];
    for (size_t i = 0; i < n; i++)
        if (tok_find(ch->tok, chat_style_tags[i].open) >= 0 &&
            tok_find(ch->tok, chat_style_tags[i].close) >= 0)
            return &chat_style_tags[i];
    return NULL;
}

/* A special token is hidden from text unless asked for. */
static void chat_style_show(const struct chat *ch, struct chat_style *out, struct str mark) {
    struct tok_ids ids;
    struct err ignored = { 0 };
    tok_ids_init(&ids, 64);
    if (tok_encode(ch->tok, mark, 0, &ids, &ignored))
        for (size_t i = 0; i < ids.n && out->n_shown < CHAT_MAX_SHOWN; i++)
            if (tok_is_special(ch->tok, ids.p[i])) out->shown[out->n_shown++] = ids.p[i];
    tok_ids_release(&ids);
}

/* "<|start|>assistant" at the end of the prompt begins the first message; what follows is its
 * header. */
static void chat_style_channels(const struct chat *ch, struct str prompt, struct chat_style *out) {
    static const char *const marks[] = { "<|start|>", "<|channel|>", "<|message|>", "<|end|>",
                                         "<|return|>", "<|call|>", "<|constrain|>" };
    out->marks = CHAT_CHANNELS;
    for (size_t i = 0; i < MLXK_COUNT(marks); i++) chat_style_show(ch, out, str_cstr(marks[i]));
    ptrdiff_t at = str_find_last(prompt, STR("<|start|>assistant"));
    if (at >= 0) out->header = str_sub(prompt, (size_t)at + STR("<|start|>assistant").n, prompt.n);
}

MLXK_FN void chat_style_find(const struct chat *ch, struct str prompt, struct chat_style *out) {
    *out = (struct chat_style){ .marks = CHAT_PLAIN };
    if (!ch->tmpl) return;
    struct str source = tmpl_source(ch->tmpl), tail = str_trim(prompt);
    if (chat_style_mentions(source, STR("<|channel|>")) &&
        chat_style_mentions(source, STR("<|message|>"))) {
        chat_style_channels(ch, prompt, out);
        return;
    }
    const struct chat_style_tags *tags = chat_style_choose(ch, source, tail);
    if (!tags) return;
    out->marks = CHAT_TAGS;
    out->open = tags->open;
    out->close = tags->close;
    out->opened = str_ends(tail, tags->open);
    chat_style_show(ch, out, tags->open);
    chat_style_show(ch, out, tags->close);
}
