/* chat_prompt.c: a conversation, its template variables, its prompt tokens.
 *
 * It decides nothing about the text: the template does (the model decides). Without a template the
 * last message is the prompt, with the special tokens that the tokenizer adds by itself.
 */
#include "chat/chat.h"

#define CHAT_MAX_MESSAGES ((size_t)100000)
#define CHAT_MAX_VARS     LIMIT_JSON_FILE

MLXK_FN void chat_init(struct chat *ch, const struct tok *t, const struct tmpl *tmpl,
                       const struct json *config) {
    *ch = (struct chat){ .tok = t, .tmpl = tmpl, .config = config };
}

MLXK_FN bool chat_add(struct chat *ch, struct arena *a, struct str role, struct str content,
                      struct err *e) {
    if (ch->n == CHAT_MAX_MESSAGES)
        return err_set(e, ERR_LIMIT, "the conversation has %zu messages already", ch->n);
    struct chat_message *grown =
        ARENA_GROW(a, struct chat_message, ch->messages, ch->n, &ch->cap, 16);
    if (!grown) return err_oom(e, (ch->n + 1) * sizeof *grown, "the conversation");
    ch->messages = grown;
    struct chat_message m = { str_dup(a, role), str_dup(a, content), STR_EMPTY };
    if ((role.n && !m.role.p) || (content.n && !m.content.p))
        return err_oom(e, role.n + content.n, "a message");
    ch->messages[ch->n++] = m;
    return true;
}

MLXK_FN void chat_drop_last(struct chat *ch) {
    if (ch->n) ch->n--;
}

MLXK_FN bool chat_set_reasoning(struct chat *ch, struct arena *a, struct str reasoning,
                                struct err *e) {
    if (ch->n == 0 || reasoning.n == 0) return true;
    struct str copy = str_dup(a, reasoning);
    if (!copy.p) return err_oom(e, reasoning.n, "a message");
    ch->messages[ch->n - 1].reasoning = copy;
    return true;
}

/* bos_token and its like are a string, or an object with "content" in older files. */
static void chat_prompt_special(const struct chat *ch, struct json_writer *w,
                                const char *key_cstr) {
    const struct json *v = json_get(ch->config, key_cstr);
    if (json_is(v, JSON_OBJECT)) v = json_get(v, "content");
    if (!json_is(v, JSON_STRING)) return;
    json_write_key(w, key_cstr);
    json_write_str(w, v->string);
}

MLXK_FN void chat_write_vars(const struct chat *ch, bool add_generation_prompt, struct buf *out) {
    static const char *const specials[] = { "bos_token", "eos_token", "unk_token", "pad_token",
                                            "sep_token", "cls_token", "mask_token" };
    struct json_writer w;
    json_write_init(&w, out, false, false);
    json_write_object(&w);
    json_write_key(&w, "messages");
    json_write_array(&w);
    for (size_t i = 0; i < ch->n; i++) {
        json_write_object(&w);
        json_write_key(&w, "role");
        json_write_str(&w, ch->messages[i].role);
        json_write_key(&w, "content");
        json_write_str(&w, ch->messages[i].content);
        if (ch->messages[i].reasoning.n) {
            json_write_key(&w, "reasoning_content");
            json_write_str(&w, ch->messages[i].reasoning);
        }
        json_write_object_end(&w);
    }
    json_write_array_end(&w);
    json_write_key(&w, "add_generation_prompt");
    json_write_bool(&w, add_generation_prompt);
    for (size_t i = 0; i < MLXK_COUNT(specials); i++) chat_prompt_special(ch, &w, specials[i]);
    json_write_object_end(&w);
}

static bool chat_prompt_render(const struct chat *ch, const struct tmpl_clock *now,
                               struct arena *scratch, struct tmpl_output *out, struct err *e) {
    struct buf vars;
    buf_init(&vars, CHAT_MAX_VARS);
    chat_write_vars(ch, true, &vars);
    const struct json *v = NULL;
    bool ok = buf_ok(&vars, "the conversation", e) &&
              (v = json_parse_large(scratch, buf_str(&vars), e)) != NULL &&
              tmpl_render(ch->tmpl, v, now, scratch, out, e);
    buf_release(&vars);
    return ok;
}

/* The stretches of the prompt that the caller wrote: special tokens in them are plain text. */
static bool chat_prompt_tokens(const struct chat *ch, const struct tmpl_output *r,
                               struct arena *scratch, struct tok_ids *out, struct err *e) {
    struct tok_range *plain = ARENA_ARRAY(scratch, struct tok_range, r->n_segments + 1);
    if (!plain) return err_oom(e, r->n_segments * sizeof *plain, "the prompt");
    size_t n = 0;
    for (size_t i = 0; i < r->n_segments; i++)
        if (r->segments[i].from_input)
            plain[n++] = (struct tok_range){ r->segments[i].begin, r->segments[i].end };
    return tok_encode_marked(ch->tok, buf_str(&r->text), plain, n, out, e);
}

MLXK_FN bool chat_encode(const struct chat *ch, const struct tmpl_clock *now, struct arena *scratch,
                         struct tok_ids *out, struct buf *text, struct err *e) {
    if (ch->n == 0) return err_set(e, ERR_INVALID, "the conversation is empty");
    if (!ch->tmpl) {
        struct str raw = ch->messages[ch->n - 1].content;
        if (text) buf_add(text, raw);
        return tok_encode(ch->tok, raw, TOK_ADD_SPECIAL, out, e);
    }
    struct arena_mark mark = arena_mark(scratch);
    struct tmpl_output rendered = { 0 };
    buf_init(&rendered.text, TMPL_MAX_OUTPUT);
    bool ok = chat_prompt_render(ch, now, scratch, &rendered, e) &&
              chat_prompt_tokens(ch, &rendered, scratch, out, e);
    if (ok && text) buf_add(text, buf_str(&rendered.text));
    buf_release(&rendered.text);
    arena_rewind(scratch, mark);
    return ok;
}

MLXK_FN size_t chat_common_prefix(const struct tok_ids *x, const struct tok_ids *y) {
    size_t n = 0;
    while (n < x->n && n < y->n && x->p[n] == y->p[n]) n++;
    return n;
}
