/* tmpl_chat.c: the two doors of this room: which template a model has, and rendering it.
 *
 * Rendering makes the caller's variables into values, runs the tree, and hands back the text
 * together with the runs of it that came from the caller.
 *
 * 1. bos_token and the other special tokens are the model's, not the user's: their text counts as
 *    template text, although they arrive among the variables. Everything else that arrives is
 *    input.
 * 2. `tools` and `documents` are none when absent, so "tools is defined" holds as with the
 *    reference software.
 * 3. A variable hides a global function of the same name.
 */
#include "template/tmpl_int.h"

/* ---- choosing ---- */

/* The text called `name` in a list of {"name", "template"}, or in an object of name: template. */
static struct str tmpl_chat_named(const struct json *set, struct str name) {
    const struct json *direct = json_is(set, JSON_OBJECT) ? json_get_str(set, name) : NULL;
    if (json_is(direct, JSON_STRING)) {
        return direct->string;
    }
    for (const struct json *one = json_is(set, JSON_ARRAY) ? set->child : NULL; one;
         one = one->next) {
        const struct json *own_name = json_get(one, "name"), *text = json_get(one, "template");
        if (json_is(own_name, JSON_STRING) && json_is(text, JSON_STRING)
            && str_eq(own_name->string, name)) {
            return text->string;
        }
    }
    return STR_EMPTY;
}

static struct str tmpl_chat_pick(const struct json *set, struct str name, bool has_tools) {
    if (json_is(set, JSON_STRING)) {
        return set->string;
    }
    struct str found = name.n ? tmpl_chat_named(set, name) : STR_EMPTY;
    if (!found.n && has_tools) {
        found = tmpl_chat_named(set, STR("tool_use"));
    }
    return found.n ? found : tmpl_chat_named(set, STR("default"));
}

MLXK_FN struct str tmpl_choose(struct str jinja_file, const struct json *template_json,
                               const struct json *tokenizer_config, struct str name,
                               bool has_tools) {
    if (jinja_file.n) {
        return jinja_file;
    }
    struct str found = tmpl_chat_pick(json_get(template_json, "chat_template"), name, has_tools);
    return found.n ? found
                   : tmpl_chat_pick(json_get(tokenizer_config, "chat_template"), name, has_tools);
}

MLXK_FN struct str tmpl_source(const struct tmpl *t) {
    return t ? t->source : STR_EMPTY;
}

/* ---- variables ---- */

static bool tmpl_chat_is_model_text(struct str name) {
    static const char *const names[] = { "bos_token",  "eos_token",
                                         "pad_token",  "unk_token",
                                         "sep_token",  "cls_token",
                                         "mask_token", "additional_special_tokens" };
    for (size_t i = 0; i < MLXK_COUNT(names); i++) {
        if (str_eq_cstr(name, names[i])) {
            return true;
        }
    }
    return false;
}

static void tmpl_chat_globals(struct tmpl_run *r) {
    for (size_t i = 0; i < r->t->n_names && !r->failed; i++) {
        const struct tmpl_entry *entry = tmpl_global(r->t->names[i]);
        struct tmpl_bound *b = entry ? tmpl_alloc(r, 1, sizeof *b) : NULL;
        if (b) {
            b->entry = entry;
            r->root[i] = (struct tmpl_val){ .kind = TMPL_BOUND, .u.bound = b };
        } else if (str_eq_cstr(r->t->names[i], "tools")
                   || str_eq_cstr(r->t->names[i], "documents")) {
            r->root[i] = tmpl_none();
        }
    }
}

static void tmpl_chat_variables(struct tmpl_run *r, const struct json *vars) {
    tmpl_chat_globals(r);
    for (const struct json *v = vars->child; v && !r->failed; v = v->next) {
        for (size_t i = 0; i < r->t->n_names; i++) {
            if (str_eq(r->t->names[i], v->key)) {
                r->root[i] = tmpl_from_json(r, v, !tmpl_chat_is_model_text(v->key));
                break;
            }
        }
    }
}

/* ---- rendering ---- */

/* Appends what was made to the caller's buffer, and its spans as segments. */
static bool tmpl_chat_deliver(struct tmpl_run *r, const struct tmpl_out *made,
                              struct tmpl_output *out) {
    size_t base = out->text.n;
    struct tmpl_segment *segments = tmpl_alloc(r, made->n_spans, sizeof *segments);
    if (!segments) {
        return false;
    }
    buf_add(&out->text, (struct str){ made->p, made->n });
    if (!buf_ok(&out->text, "a rendered chat template", r->e)) {
        return false;
    }
    for (size_t i = 0, from = base; i < made->n_spans; i++) {
        segments[i] =
            (struct tmpl_segment){ from, base + made->spans[i].end, made->spans[i].from_input };
        from = segments[i].end;
    }
    out->segments = segments;
    out->n_segments = made->n_spans;
    return true;
}

MLXK_FN bool tmpl_render(const struct tmpl *t, const struct json *vars,
                         const struct tmpl_clock *now, struct arena *scratch,
                         struct tmpl_output *out, struct err *e) {
    struct tmpl_out made = { .p = NULL };
    struct tmpl_run r = {
        .t = t, .a = scratch, .e = e, .start_bytes = scratch->used_bytes, .now = now, .out = &made
    };
    if (!json_is(vars, JSON_OBJECT)) {
        return err_set(e, ERR_INVALID, "the variables of a chat template must be a JSON object");
    }
    r.root = tmpl_alloc(&r, t->n_names, sizeof *r.root);
    if (!r.root) {
        return false;
    }
    tmpl_chat_variables(&r, vars);
    if (!r.failed) {
        tmpl_exec(&r, t->body);
    }
    return !r.failed && tmpl_chat_deliver(&r, &made, out);
}
