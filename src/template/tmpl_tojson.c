/* tmpl_tojson.c: values -> text: str(), repr() and the tojson filter.
 *
 * Strings inside lists and dictionaries keep their origin; brackets, quotes and separators are the
 * template's. tojson is Python's json.dumps with ensure_ascii=False by default: key order and
 * Python's separators kept, no HTML escaping, NaN and Infinity spelled out.
 *
 * 1. Nested values recurse through tmpl_deeper.
 * Spec: Python 3.11 json and reprlib behaviour, for plain data.
 */
#include "template/tmpl_int.h"

static void tmpl_json_add(struct tmpl_run *r, struct tmpl_out *o, const char *cstr) {
    tmpl_out_add(r, o, str_cstr(cstr), false);
}

/* ---- scalars ---- */

static void tmpl_json_int(struct tmpl_run *r, struct tmpl_out *o, int64_t i) {
    char digits[24];
    size_t at = sizeof digits;
    uint64_t rest = i < 0 ? (uint64_t)0 - (uint64_t)i : (uint64_t)i;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (i < 0) {
        digits[--at] = '-';
    }
    tmpl_out_add(r, o, (struct str){ digits + at, sizeof digits - at }, false);
}

static void tmpl_json_float(struct tmpl_run *r, struct tmpl_out *o, double x) {
    char digits[32];
    size_t n = num_format_f64(digits, x);
    tmpl_out_add(r, o, (struct str){ digits, n }, false);
}

/* ---- repr ---- */

static void tmpl_json_hex(struct tmpl_run *r, struct tmpl_out *o, uint32_t cp, char letter,
                          int width, bool from_input) {
    char text[12] = { '\\', letter };
    for (int i = 0; i < width; i++) {
        text[2 + i] = "0123456789abcdef"[cp >> (4 * (width - 1 - i)) & 15];
    }
    tmpl_out_add(r, o, (struct str){ text, (size_t)width + 2 }, from_input);
}

/* Appends `run` [begin, end) of t as it is, when not empty. */
static void tmpl_json_run(struct tmpl_run *r, struct tmpl_out *o, const struct tmpl_text *t,
                          size_t begin, size_t end) {
    if (end > begin) {
        tmpl_out_part(r, o, t, begin, end);
    }
}

static void tmpl_repr_text(struct tmpl_run *r, struct tmpl_out *o, const struct tmpl_text *t) {
    bool input = tmpl_text_any_input(t);
    bool twice = str_find_char(t->s, '\'') >= 0 && str_find_char(t->s, '"') < 0;
    const char *quote_cstr = twice ? "\"" : "'";
    size_t begin = 0;
    tmpl_json_add(r, o, t->markup ? "Markup(" : "");
    tmpl_json_add(r, o, quote_cstr);
    for (size_t i = 0; i < t->s.n && !r->failed;) {
        size_t at = i;
        uint32_t cp = utf8_decode(t->s, &i);
        const char *short_cstr = cp == '\n'             ? "\\n"
                                 : cp == '\r'           ? "\\r"
                                 : cp == '\t'           ? "\\t"
                                 : cp == '\\'           ? "\\\\"
                                 : cp == '\'' && !twice ? "\\'"
                                                        : NULL;
        if (!short_cstr && tmpl_is_printable(cp)) {
            continue;
        }
        tmpl_json_run(r, o, t, begin, at);
        begin = i;
        if (short_cstr) {
            tmpl_out_add(r, o, str_cstr(short_cstr), input);
        } else {
            tmpl_json_hex(r, o, cp,
                          cp < 0x100     ? 'x'
                          : cp < 0x10000 ? 'u'
                                         : 'U',
                          cp < 0x100     ? 2
                          : cp < 0x10000 ? 4
                                         : 8,
                          input);
        }
    }
    tmpl_json_run(r, o, t, begin, t->s.n);
    tmpl_json_add(r, o, quote_cstr);
    tmpl_json_add(r, o, t->markup ? ")" : "");
}

static void tmpl_repr_dict(struct tmpl_run *r, struct tmpl_out *o, const struct tmpl_dict *d) {
    tmpl_json_add(r, o, "{");
    for (size_t i = 0; i < d->n && !r->failed; i++) {
        tmpl_json_add(r, o, i ? ", " : "");
        tmpl_repr(r, o, d->at[i].key);
        tmpl_json_add(r, o, ": ");
        tmpl_repr(r, o, d->at[i].value);
    }
    tmpl_json_add(r, o, "}");
}

static void tmpl_repr_seq(struct tmpl_run *r, struct tmpl_out *o, const struct tmpl_seq *s) {
    static const char *const opens[] = {
        [TMPL_LIST] = "[", [TMPL_TUPLE] = "(", [TMPL_GROUP] = "(", [TMPL_ITEMS] = "dict_items([",
        [TMPL_KEYS] = "dict_keys([", [TMPL_VALUES] = "dict_values([", [TMPL_RANGE] = "range(",
        [TMPL_ITER] = "<generator object>",
    };
    tmpl_json_add(r, o, opens[s->flavor]);
    if (s->flavor == TMPL_ITER) {
        return;
    }
    if (s->flavor == TMPL_RANGE) {
        tmpl_json_int(r, o, s->start);
        tmpl_json_add(r, o, ", ");
        tmpl_json_int(r, o, s->stop);
        tmpl_json_add(r, o, s->step != 1 ? ", " : ")");
        if (s->step != 1) {
            tmpl_json_int(r, o, s->step);
            tmpl_json_add(r, o, ")");
        }
        return;
    }
    for (size_t i = 0; i < s->n && !r->failed; i++) {
        tmpl_json_add(r, o, i ? ", " : "");
        tmpl_repr(r, o, s->at[i]);
    }
    bool round = s->flavor == TMPL_TUPLE || s->flavor == TMPL_GROUP;
    tmpl_json_add(r, o, round ? (s->n == 1 ? ",)" : ")") : s->flavor == TMPL_LIST ? "]" : "])");
}

static void tmpl_repr_object(struct tmpl_run *r, struct tmpl_out *o, struct tmpl_val v) {
    switch (v.kind) {
    case TMPL_NAMESPACE:
        tmpl_json_add(r, o, "<Namespace ");
        tmpl_repr_dict(r, o, v.u.dict);
        tmpl_json_add(r, o, ">");
        break;
    case TMPL_MACRO:
        tmpl_json_add(r, o, "<Macro '");
        tmpl_out_add(r, o, v.u.macro->node->name, false);
        tmpl_json_add(r, o, "'>");
        break;
    case TMPL_LOOP:
        tmpl_json_add(r, o, "<LoopContext ");
        tmpl_json_int(r, o, (int64_t)v.u.loop->index0 + 1);
        tmpl_json_add(r, o, "/");
        tmpl_json_int(r, o, (int64_t)v.u.loop->n);
        tmpl_json_add(r, o, ">");
        break;
    case TMPL_BOUND:
        tmpl_json_add(r, o, "<function ");
        tmpl_json_add(r, o, v.u.bound->entry->name_cstr);
        tmpl_json_add(r, o, ">");
        break;
    case TMPL_SLICE: tmpl_json_add(r, o, "slice"); break;
    default: tmpl_json_add(r, o, "Undefined"); break;
    }
}

MLXK_FN void tmpl_repr(struct tmpl_run *r, struct tmpl_out *o, struct tmpl_val v) {
    if (!tmpl_deeper(r)) {
        r->depth--;
        return;
    }
    switch (v.kind) {
    case TMPL_NONE: tmpl_json_add(r, o, "None"); break;
    case TMPL_BOOL: tmpl_json_add(r, o, v.u.boolean ? "True" : "False"); break;
    case TMPL_INT: tmpl_json_int(r, o, v.u.integer); break;
    case TMPL_FLOAT: tmpl_json_float(r, o, v.u.number); break;
    case TMPL_BIG: tmpl_out_text(r, o, v.u.text); break;
    case TMPL_TEXT: tmpl_repr_text(r, o, v.u.text); break;
    case TMPL_SEQ: tmpl_repr_seq(r, o, v.u.seq); break;
    case TMPL_DICT: tmpl_repr_dict(r, o, v.u.dict); break;
    default: tmpl_repr_object(r, o, v); break;
    }
    r->depth--;
}

MLXK_FN void tmpl_print(struct tmpl_run *r, struct tmpl_out *o, struct tmpl_val v) {
    if (v.kind == TMPL_TEXT) {
        tmpl_out_text(r, o, v.u.text);
    } else if (v.kind != TMPL_UNDEFINED) {
        tmpl_repr(r, o, v);
    }
}

MLXK_FN const struct tmpl_text *tmpl_str(struct tmpl_run *r, struct tmpl_val v) {
    struct tmpl_out o = { .p = NULL };
    if (v.kind == TMPL_TEXT) {
        return v.u.text;
    }
    tmpl_print(r, &o, v);
    return tmpl_out_val(r, &o).u.text;
}

/* ---- tojson ---- */

struct tmpl_json {
    struct tmpl_run *r;
    struct tmpl_out *o;
    bool ascii, sort, pretty;
    const struct tmpl_text *item, *colon, *indent;
    size_t level;
};

static void tmpl_json_value(struct tmpl_json *j, struct tmpl_val v);

static void tmpl_json_escape(struct tmpl_json *j, uint32_t cp, bool from_input) {
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char *known = cp < 0x80 && cp ? strchr(from, (int)cp) : NULL;
    if (known) {
        char two[2] = { '\\', to[known - from] };
        tmpl_out_add(j->r, j->o, (struct str){ two, 2 }, from_input);
    } else if (cp >= 0x10000) {
        tmpl_json_hex(j->r, j->o, 0xD800 + ((cp - 0x10000) >> 10), 'u', 4, from_input);
        tmpl_json_hex(j->r, j->o, 0xDC00 + ((cp - 0x10000) & 0x3FF), 'u', 4, from_input);
    } else {
        tmpl_json_hex(j->r, j->o, cp, 'u', 4, from_input);
    }
}

static void tmpl_json_text(struct tmpl_json *j, const struct tmpl_text *t) {
    bool input = tmpl_text_any_input(t);
    size_t begin = 0;
    tmpl_json_add(j->r, j->o, "\"");
    for (size_t i = 0; i < t->s.n && !j->r->failed;) {
        size_t at = i;
        unsigned char c = (unsigned char)t->s.p[i];
        if (c >= 0x7F ? !j->ascii : c >= 0x20 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        uint32_t cp = utf8_decode(t->s, &i);
        tmpl_json_run(j->r, j->o, t, begin, at);
        tmpl_json_escape(j, cp, input);
        begin = i;
    }
    tmpl_json_run(j->r, j->o, t, begin, t->s.n);
    tmpl_json_add(j->r, j->o, "\"");
}

static void tmpl_json_line(struct tmpl_json *j) {
    if (j->pretty) {
        tmpl_json_add(j->r, j->o, "\n");
        for (size_t i = 0; i < j->level && !j->r->failed; i++) {
            tmpl_out_text(j->r, j->o, j->indent);
        }
    }
}

static void tmpl_json_seq(struct tmpl_json *j, const struct tmpl_seq *s) {
    tmpl_json_add(j->r, j->o, "[");
    j->level++;
    for (size_t i = 0; i < s->n && !j->r->failed; i++) {
        if (i) {
            tmpl_out_text(j->r, j->o, j->item);
        }
        tmpl_json_line(j);
        tmpl_json_value(j, s->at[i]);
    }
    j->level--;
    if (s->n) {
        tmpl_json_line(j);
    }
    tmpl_json_add(j->r, j->o, "]");
}

/* Keys: text as it is; numbers, booleans and none become their JSON spelling in quotes. */
static void tmpl_json_key(struct tmpl_json *j, struct tmpl_val key) {
    if (key.kind == TMPL_TEXT) {
        tmpl_json_text(j, key.u.text);
    } else if (tmpl_is_number(key) || key.kind == TMPL_NONE) {
        tmpl_json_add(j->r, j->o, "\"");
        tmpl_json_value(j, key);
        tmpl_json_add(j->r, j->o, "\"");
    } else {
        tmpl_fail(j->r, "keys must be str, int, float, bool or None, not %s", tmpl_type(key));
    }
}

/* The order in which the pairs are written: insertion sort by key, dictionaries being small. */
static const struct tmpl_pair *tmpl_json_sorted(struct tmpl_json *j, const struct tmpl_dict *d) {
    struct tmpl_pair *at = tmpl_alloc(j->r, d->n, sizeof *at);
    for (size_t i = 0; at && i < d->n && !j->r->failed; i++) {
        size_t k = i;
        while (k > 0 && tmpl_work(j->r, 1)
               && tmpl_order(j->r, d->at[i].key, at[k - 1].key, "<") < 0) {
            at[k] = at[k - 1];
            k--;
        }
        at[k] = d->at[i];
    }
    return at;
}

static void tmpl_json_dict(struct tmpl_json *j, const struct tmpl_dict *d) {
    const struct tmpl_pair *at = j->sort ? tmpl_json_sorted(j, d) : d->at;
    tmpl_json_add(j->r, j->o, "{");
    j->level++;
    for (size_t i = 0; at && i < d->n && !j->r->failed; i++) {
        if (i) {
            tmpl_out_text(j->r, j->o, j->item);
        }
        tmpl_json_line(j);
        tmpl_json_key(j, at[i].key);
        tmpl_out_text(j->r, j->o, j->colon);
        tmpl_json_value(j, at[i].value);
    }
    j->level--;
    if (d->n) {
        tmpl_json_line(j);
    }
    tmpl_json_add(j->r, j->o, "}");
}

static void tmpl_json_number(struct tmpl_json *j, double x) {
    if (x != x) {
        tmpl_json_add(j->r, j->o, "NaN");
    } else if (x - x != 0.0) {
        tmpl_json_add(j->r, j->o, x > 0 ? "Infinity" : "-Infinity");
    } else {
        tmpl_json_float(j->r, j->o, x);
    }
}

static void tmpl_json_value(struct tmpl_json *j, struct tmpl_val v) {
    if (!tmpl_deeper(j->r)) {
        j->r->depth--;
        return;
    }
    bool row =
        v.kind == TMPL_SEQ && (v.u.seq->flavor <= TMPL_TUPLE || v.u.seq->flavor == TMPL_GROUP);
    switch (v.kind) {
    case TMPL_NONE: tmpl_json_add(j->r, j->o, "null"); break;
    case TMPL_BOOL: tmpl_json_add(j->r, j->o, v.u.boolean ? "true" : "false"); break;
    case TMPL_INT: tmpl_json_int(j->r, j->o, v.u.integer); break;
    case TMPL_FLOAT: tmpl_json_number(j, v.u.number); break;
    case TMPL_BIG: tmpl_out_text(j->r, j->o, v.u.text); break;
    case TMPL_TEXT: tmpl_json_text(j, v.u.text); break;
    case TMPL_DICT: tmpl_json_dict(j, v.u.dict); break;
    default:
        if (row) {
            tmpl_json_seq(j, v.u.seq);
        } else {
            tmpl_fail(j->r, "Object of type %s is not JSON serializable", tmpl_type(v));
        }
    }
    j->r->depth--;
}

/* separators=(item, colon) */
static void tmpl_json_separators(struct tmpl_json *j, struct tmpl_val v) {
    const struct tmpl_val *at;
    size_t n;
    if (v.kind == TMPL_MISSING || v.kind == TMPL_NONE || !tmpl_items(j->r, v, &at, &n)) {
        return;
    }
    if (n != 2 || at[0].kind != TMPL_TEXT || at[1].kind != TMPL_TEXT) {
        tmpl_fail(j->r, "tojson() needs two texts as separators");
        return;
    }
    j->item = at[0].u.text;
    j->colon = at[1].u.text;
}

MLXK_FN struct tmpl_val tmpl_tojson(struct tmpl_run *r, const struct tmpl_call *c) {
    struct tmpl_out o = { .p = NULL }, pad = { .p = NULL };
    struct tmpl_json j = {
        .r = r, .o = &o, .ascii = tmpl_truth(c->arg[0]), .sort = tmpl_truth(c->arg[3])
    };
    struct tmpl_val indent = c->arg[1];
    j.pretty = indent.kind != TMPL_MISSING && indent.kind != TMPL_NONE;
    j.item = tmpl_text_of(r, j.pretty ? STR(",") : STR(", "), false).u.text;
    j.colon = tmpl_text_of(r, STR(": "), false).u.text;
    if (indent.kind == TMPL_TEXT) {
        j.indent = indent.u.text;
    } else if (j.pretty) {
        int64_t n = tmpl_arg_int(r, indent, 0);
        tmpl_out_pad(r, &pad, ' ', n > 0 && n < 1000 ? (size_t)n : 0);
        j.indent = tmpl_out_val(r, &pad).u.text;
    }
    tmpl_json_separators(&j, c->arg[2]);
    if (!r->failed) {
        tmpl_json_value(&j, c->self);
    }
    return tmpl_out_val(r, &o);
}
