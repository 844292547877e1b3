/* rel_chat.c: what the chat templates of a model say of its interface.
 *
 * The source of a template is looked at, it is not run: what it mentions, it supports.
 *
 * 1. Line ends and white space at the end of a template change nothing.
 */
#include "release/rel_int.h"

#define REL_MAX_TEMPLATE ((size_t)4 << 20)

struct rel_template { struct str name, text; };
enum { REL_MAX_TEMPLATES = 64 };
struct rel_templates { struct rel_template items[REL_MAX_TEMPLATES]; size_t n; };

/* A name that is there already keeps its text: the surer source comes first. */
static void rel_template_add(struct rel_templates *t, struct str name, struct str text) {
    for (size_t i = 0; i < t->n; i++)
        if (str_eq(t->items[i].name, name)) return;
    if (t->n < REL_MAX_TEMPLATES) t->items[t->n++] = (struct rel_template){ name, text };
}

/* A text, a list of {name, template}, or an object of them. */
static void rel_template_value(struct rel_templates *t, const struct json *v) {
    if (json_is(v, JSON_STRING)) rel_template_add(t, STR("default"), v->string);
    if (json_is(v, JSON_OBJECT))
        for (const struct json *m = v->child; m; m = m->next)
            if (m->kind == JSON_STRING) rel_template_add(t, m->key, m->string);
    if (json_is(v, JSON_ARRAY))
        for (const struct json *m = v->child; m; m = m->next) {
            const struct json *name = json_get(m, "name"), *text = json_get(m, "template");
            if (json_is(name, JSON_STRING) && json_is(text, JSON_STRING))
                rel_template_add(t, name->string, text->string);
        }
}

static bool rel_template_file(struct rel_work *w, struct rel_templates *t, const struct rel_file *f,
                              struct str name, struct err *e) {
    struct str text = f ? rel_work_text(w, f, REL_MAX_TEMPLATE, e) : STR_EMPTY;
    if (f && !text.p) return false;
    if (f) rel_template_add(t, name, text);
    return true;
}

static bool rel_templates_read(struct rel_work *w, struct rel_templates *t, struct err *e) {
    struct str folder = STR("additional_chat_templates/"), ending = STR(".jinja");
    if (!rel_template_file(w, t, rel_state_find(w->s, "chat_template.jinja"), STR("default"), e))
        return false;
    for (size_t i = 0; i < w->s->n; i++) {
        struct str path = w->s->files[i].path;
        if (!str_starts(path, folder)) continue;
        struct str name = str_sub(path, folder.n, path.n);
        if (str_ends(name, ending)) name = str_sub(name, 0, name.n - ending.n);
        if (!rel_template_file(w, t, &w->s->files[i], name, e)) return false;
    }
    const struct json *file = rel_work_json(w, "chat_template.json", e);
    if (!file && e->code != ERR_OK) return false;
    rel_template_value(t, json_get(file, "chat_template"));
    rel_template_value(t, json_get(w->tokenizer_config, "chat_template"));
    for (size_t i = 0; w->gguf && i < w->gguf->n_values; i++) {
        const struct gguf_value *v = &w->gguf->values[i];
        struct str key = v->key, prefix = STR("tokenizer.chat_template");
        if (v->kind != GGUF_STRING || !str_starts(key, prefix)) continue;
        if (key.n == prefix.n) rel_template_add(t, STR("default"), v->raw);
        else if (key.p[prefix.n] == '.')
            rel_template_add(t, str_sub(key, prefix.n + 1, key.n), v->raw);
    }
    return true;
}

/* CRLF -> LF, nothing at the end. */
static bool rel_template_hash(struct str text, char out[65], struct err *e) {
    struct buf b;
    buf_init(&b, REL_MAX_TEMPLATE * 8);
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != '\r' || i + 1 == text.n || text.p[i + 1] != '\n')
            buf_add_char(&b, text.p[i]);
    size_t n = b.n;
    while (n && strchr(" \t\n\r\f\v", b.p[n - 1])) n--;
    bool ok = buf_ok(&b, "a chat template", e);
    if (ok) rel_hash_text((struct str){ b.p ? b.p : "", n }, out);
    buf_release(&b);
    return ok;
}

/* ---- what it supports ---- */

/* The word stands by itself: "tools" is not in "toolset". */
static bool rel_template_mentions(struct str text, struct str word) {
    for (size_t at = 0; at + word.n <= text.n; at++) {
        if (text.p[at] != word.p[0] || memcmp(text.p + at, word.p, word.n) != 0) continue;
        char before = at ? text.p[at - 1] : ' ',
             after = at + word.n < text.n ? text.p[at + word.n] : ' ';
        bool left =
            (before >= 'a' && before <= 'z') || (before >= 'A' && before <= 'Z') || before == '_';
        bool right =
            (after >= 'a' && after <= 'z') || (after >= 'A' && after <= 'Z') || after == '_';
        if (!left && !right) return true;
    }
    return false;
}

static struct str rel_template_reasoning(struct arena *a, struct str text) {
    static const char *const pairs[][2] = {
        { "<think>", "</think>" },       { "<|START_THINKING|>", "<|END_THINKING|>" },
        { "<seed:think>", "</seed:think>" }, { "[THINK]", "[/THINK]" },
        { "<thinking>", "</thinking>" },
    };
    for (size_t i = 0; i < MLXK_COUNT(pairs); i++)
        if (str_find(text, str_cstr(pairs[i][0])) >= 0
            || str_find(text, str_cstr(pairs[i][1])) >= 0)
            return str_format(a, "tag-pair:%s/%s", pairs[i][0], pairs[i][1]);
    return STR("none");
}

MLXK_FN bool rel_chat_write(struct rel_face *f, struct err *e) {
    struct rel_templates *t = ARENA_NEW(f->w->a, struct rel_templates);
    if (!t) return err_oom(e, sizeof *t, "chat templates");
    if (!rel_templates_read(f->w, t, e)) return false;
    if (!t->n) return true;
    bool tools = false, json = false;
    struct str plain = t->items[0].text;
    json_write_key(&f->out, "chat");
    json_write_object(&f->out);
    for (size_t i = 0; i < t->n; i++) {
        char hash[65];
        struct str text = t->items[i].text;
        if (!rel_template_hash(text, hash, e)) return false;
        json_write_key_str(&f->out, t->items[i].name);
        json_write_cstr(&f->out, hash);
        tools = tools || rel_template_mentions(text, STR("tools"));
        json = json || rel_template_mentions(text, STR("response_format"))
               || rel_template_mentions(text, STR("json_schema"));
        if (str_eq(t->items[i].name, STR("default"))) plain = text;
    }
    json_write_object_end(&f->out);
    json_write_key(&f->out, "tools");
    json_write_bool(&f->out, tools);
    json_write_key(&f->out, "json");
    json_write_bool(&f->out, json);
    json_write_member(&f->out, "reasoning", rel_template_reasoning(f->w->a, plain));
    return true;
}
