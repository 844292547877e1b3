/* cmd_show.c: `show` tells everything about one model: kind, files, config, workspace.
 *
 * Values of a config are printed for people as upstream prints them, which is how Python shows
 * lists and dicts (None, True, 'text').
 */
#include "cli/cli_card.h"

static const struct cli_option cmd_show_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "name, part of a name, NAME@REVISION, or path", 0, 0, false },
    { "--files", NULL, CLI_FLAG, NULL, "names, sizes and kinds of all files", 0, 0, false },
    { "--config", NULL, CLI_FLAG, NULL, "config.json", 0, 0, false },
    { "--recalc-hash", NULL, CLI_FLAG, NULL, "hash a managed workspace anew and store the result",
      0, 0, false },
};

struct cmd_show {
    struct cli_context *c;
    struct cli_card card;
    bool files, config, rehashed;
};

/* ---- metadata (Private) ---- */

struct cmd_show_fact {
    const char *key_cstr;
    const struct json *value;
    struct str text;
    int64_t number;
};
enum { CMD_SHOW_FACTS = 8 };

/* What of a config is worth a line; value, text or number is set. */
static size_t cmd_show_facts(struct cmd_show *s, struct cmd_show_fact out[CMD_SHOW_FACTS]) {
    static const char *const plain[] = { "vocab_size", "hidden_size", "num_attention_heads",
                                         "num_hidden_layers" };
    const struct json *config = s->card.info.config, *v;
    size_t n = 0;
    if (!json_is(config, JSON_OBJECT)) return 0;
    if ((v = json_get(config, "model_type")))
        out[n++] = (struct cmd_show_fact){ "model_type", v, STR_EMPTY, 0 };
    v = json_get(config, "architectures");
    if (json_is(v, JSON_STRING))
        out[n++] = (struct cmd_show_fact){ "architecture", v, STR_EMPTY, 0 };
    else if (json_is(v, JSON_ARRAY) && v->n)
        out[n++] = (struct cmd_show_fact){ "architecture", v->child, STR_EMPTY, 0 };
    v = json_get(json_get(config, "quantization_config"), "bits");
    if (v && (v->kind == JSON_INT || v->kind == JSON_STRING || v->kind == JSON_FLOAT))
        out[n++] = (struct cmd_show_fact){ "quantization", NULL,
                                           str_concat(&s->c->arena, v->string, STR("bit")), 0 };
    if (s->card.info.context_length)
        out[n++] = (struct cmd_show_fact){ "context_length", NULL, STR_EMPTY,
                                           s->card.info.context_length };
    for (size_t i = 0; i < MLXK_COUNT(plain); i++)
        if ((v = json_get(config, plain[i])))
            out[n++] = (struct cmd_show_fact){ plain[i], v, STR_EMPTY, 0 };
    return n;
}

static const char *cmd_show_kind(struct str base) {
    if (str_ends(base, STR(".safetensors")) || str_ends(base, STR(".bin")) ||
        str_ends(base, STR(".gguf")))
        return "weights";
    if (str_contains_icase(base, STR("tokenizer"))) return "tokenizer";
    if (str_ends(base, STR(".json"))) return "config";
    return str_ieq(base, STR("README.md")) ? "readme" : "other";
}

/* The next file of the snapshot from *i on; NULL = no more. */
static const struct cache_file *cmd_show_file(const struct cmd_show *s, size_t *i) {
    const struct cache_scan *scan = s->card.model.scan;
    while (s->card.model.snapshot_cstr && *i < scan->n) {
        const struct cache_file *f = &scan->files[(*i)++];
        if (f->kind == OS_FILE) return f;
    }
    return NULL;
}

/* ---- JSON (Private) ---- */

static void cmd_show_json_files(struct json_writer *w, const struct cmd_show *s) {
    char size[16];
    const struct cache_file *f;
    json_write_key(w, "files");
    json_write_array(w);
    for (size_t i = 0; (f = cmd_show_file(s, &i));) {
        struct str base =
            str_sub(f->path, (size_t)(str_find_last(f->path, STR("/")) + 1), f->path.n);
        num_format_size(size, f->size_bytes);
        json_write_object(w);
        json_write_key(w, "name");
        json_write_str(w, base);
        json_write_key(w, "size");
        json_write_cstr(w, size);
        json_write_key(w, "type");
        json_write_cstr(w, cmd_show_kind(base));
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

static void cmd_show_json_metadata(struct json_writer *w, struct cmd_show *s) {
    struct cmd_show_fact facts[CMD_SHOW_FACTS];
    size_t n = s->files || s->config ? 0 : cmd_show_facts(s, facts);
    json_write_key(w, "metadata");
    if (!n) {
        json_write_null(w);
        return;
    }
    json_write_object(w);
    for (size_t i = 0; i < n; i++) {
        json_write_key(w, facts[i].key_cstr);
        if (facts[i].value) json_write_value(w, facts[i].value);
        else if (facts[i].text.n) json_write_str(w, facts[i].text);
        else json_write_i64(w, facts[i].number);
    }
    json_write_object_end(w);
}

static int cmd_show_json(struct cmd_show *s) {
    struct json_writer *w = cli_document(s->c);
    json_write_object(w);
    json_write_key(w, "model");
    cli_card_write(w, &s->card, true);
    json_write_key(w, "workspace_metadata");
    if (s->card.model.place == CACHE_REPO) {
        json_write_null(w);
    } else if (s->card.workspace.document) {
        json_write_value(w, s->card.workspace.document);
    } else {
        json_write_object(w);
        json_write_object_end(w);
    }
    if (s->files) {
        cmd_show_json_files(w, s);
    } else if (s->config) {
        json_write_key(w, "config");
        json_write_value(w, s->card.info.config);
    }
    cmd_show_json_metadata(w, s);
    if (s->rehashed) {
        json_write_key(w, "hash_updated");
        json_write_bool(w, true);
    }
    json_write_object_end(w);
    return cli_document_end(s->c);
}

/* ---- values as Python shows them (Private) ---- */

static void cmd_show_quote(struct buf *b, struct str s) {
    char mark = str_find_char(s, '\'') >= 0 && str_find_char(s, '"') < 0 ? '"' : '\'';
    buf_add_char(b, mark);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == mark || c == '\\') buf_addf(b, "\\%c", c);
        else if (c == '\n') buf_add_cstr(b, "\\n");
        else if (c == '\t') buf_add_cstr(b, "\\t");
        else if (c == '\r') buf_add_cstr(b, "\\r");
        else if ((unsigned char)c < 0x20 || c == 0x7F) buf_addf(b, "\\x%02x", (unsigned)c);
        else buf_add_char(b, c);
    }
    buf_add_char(b, mark);
}

static void cmd_show_number(struct buf *b, const struct json *v) {
    char text[32];
    bool whole = true;
    for (size_t i = 0; i < v->string.n; i++)
        if (v->string.p[i] == '.' || v->string.p[i] == 'e' || v->string.p[i] == 'E') whole = false;
    if (v->kind == JSON_INT) buf_addf(b, "%lld", (long long)v->integer);
    else if (whole) buf_add(b, v->string);
    else buf_add(b, (struct str){ text, num_format_f64(text, v->number) });
}

/* Depth is bounded by the parser. */
static void cmd_show_repr(struct buf *b, const struct json *v, bool inside) {
    switch (v->kind) {
    case JSON_NULL: buf_add_cstr(b, "None"); return;
    case JSON_BOOL: buf_add_cstr(b, v->boolean ? "True" : "False"); return;
    case JSON_INT:
    case JSON_FLOAT: cmd_show_number(b, v); return;
    case JSON_STRING:
        if (inside) cmd_show_quote(b, v->string);
        else cli_visible(b, v->string, true);
        return;
    default: break;
    }
    buf_add_char(b, v->kind == JSON_ARRAY ? '[' : '{');
    for (const struct json *m = v->child; m; m = m->next) {
        if (v->kind == JSON_OBJECT) {
            cmd_show_quote(b, m->key);
            buf_add_cstr(b, ": ");
        }
        cmd_show_repr(b, m, true);
        buf_add_cstr(b, m->next ? ", " : "");
    }
    buf_add_char(b, v->kind == JSON_ARRAY ? ']' : '}');
}

/* ---- for people (Private) ---- */

static void cmd_show_quantization(struct cmd_show *s) {
    struct buf *b = &s->c->out.text;
    const struct json *own = json_get(s->card.info.config, "quantization"),
                      *bits = json_get(own, "bits");
    const struct json *group = json_get(own, "group_size"),
                      *wanted = json_get(s->card.workspace.document, "quantization");
    const struct json *wanted_bits = json_get(wanted, "bits"),
                      *wanted_group = json_get(wanted, "group_size");
    buf_add_cstr(b, "Quantization: ");
    if (!bits) {
        buf_add_cstr(b, "-\n");
        return;
    }
    cmd_show_repr(b, bits, false);
    buf_add_cstr(b, "-bit");
    if (group && group->kind != JSON_NULL) {
        buf_add_cstr(b, " (group_size=");
        cmd_show_repr(b, group, false);
        buf_add_char(b, ')');
    }
    bool differs =
        wanted_bits && (!str_eq(wanted_bits->string, bits->string) ||
                        (wanted_group && group && !str_eq(wanted_group->string, group->string)));
    if (differs) {
        buf_add_cstr(b, " (requested: ");
        cmd_show_repr(b, wanted_bits, false);
        buf_add_cstr(b, "-bit");
        if (wanted_group) {
            buf_add_cstr(b, ", group_size=");
            cmd_show_repr(b, wanted_group, false);
        }
        buf_add_char(b, ')');
    }
    buf_add_char(b, '\n');
}

static void cmd_show_head(struct cmd_show *s) {
    struct cli_context *c = s->c;
    struct cli_card *card = &s->card;
    char size[16], time[32];
    enum cache_kind kind = cache_model_kind(&card->model);
    num_format_size(size, card->info.size_bytes);
    cli_card_ago(time, card->info.mtime_ns, os_time_ns());
    cli_print(c, "%s: " STR_FMT, kind ? "Name" : "Model", STR_ARG(card->model.name));
    if (card->model.commit.n) cli_print(c, "@%.7s", card->model.commit.p);
    if (kind) {
        cli_print(c, "\nType: %s\nSize: %s\nModified: %s\nHealth: %s\n",
                  cache_kind_name(kind), size, time,
                  card->health.healthy ? "healthy" : "unhealthy");
        if (!card->health.healthy) cli_print(c, "Reason: " STR_FMT "\n", STR_ARG(card->reason));
        return;
    }
    cli_print(c, "\nFramework: " STR_FMT "\nType: " STR_FMT "\nCapabilities: ",
              STR_ARG(card->info.framework), STR_ARG(card->info.model_type));
    for (int i = 0; i < card->info.n_capabilities; i++)
        cli_print(c, "%s%s", i ? ", " : "", card->info.capabilities[i]);
    cli_print(c, "\n");
    cmd_show_quantization(s);
    cli_print(c, "Size: %s\nModified: %s\nHealth: %s\n", size, time,
              !card->health.healthy ? "unhealthy"
              : card->known         ? "healthy"
                                    : "healthy (files OK, runtime incompatible)");
    if (!card->known) cli_print(c, "Reason: " STR_FMT "\n", STR_ARG(card->reason));
    else if (!card->runnable)
        cli_note(c, "note: `run` would not start: " STR_FMT, STR_ARG(card->reason));
}

static void cmd_show_text_files(struct cmd_show *s) {
    char size[16];
    const struct cache_file *f;
    cli_print(s->c, "\nFiles:\n");
    for (size_t i = 0; (f = cmd_show_file(s, &i));) {
        struct str base =
            str_sub(f->path, (size_t)(str_find_last(f->path, STR("/")) + 1), f->path.n);
        num_format_size(size, f->size_bytes);
        cli_print(s->c, "  - " STR_FMT " (%s, %s)\n", STR_ARG(f->path), cmd_show_kind(base), size);
    }
}

static void cmd_show_text_config(struct cmd_show *s) {
    struct buf *b = &s->c->out.text;
    const struct json *config = s->card.info.config;
    if (!config) return;
    buf_add_cstr(b, "\nConfig:\n");
    if (config->kind != JSON_OBJECT) {
        buf_add_cstr(b, "  ");
        cmd_show_repr(b, config, false);
        buf_add_char(b, '\n');
        return;
    }
    for (const struct json *m = config->child; m; m = m->next) {
        buf_add_cstr(b, "  ");
        buf_add(b, m->key);
        buf_add_cstr(b, ": ");
        cmd_show_repr(b, m, false);
        buf_add_char(b, '\n');
    }
}

static void cmd_show_text_metadata(struct cmd_show *s) {
    struct buf *b = &s->c->out.text;
    struct cmd_show_fact facts[CMD_SHOW_FACTS];
    size_t n = cmd_show_facts(s, facts);
    if (n) buf_add_cstr(b, "\nMetadata:\n");
    for (size_t i = 0; i < n; i++) {
        buf_addf(b, "  %s: ", facts[i].key_cstr);
        if (facts[i].value) cmd_show_repr(b, facts[i].value, false);
        else if (facts[i].text.n) cli_visible(b, facts[i].text, true);
        else buf_addf(b, "%lld", (long long)facts[i].number);
        buf_add_char(b, '\n');
    }
}

static void cmd_show_text_workspace(struct cmd_show *s) {
    const struct cache_workspace *ws = &s->card.workspace;
    const struct json *operation = json_get(ws->document, "operation"),
                      *created = json_get(ws->document, "created_at");
    if (!ws->origin.n) return;
    cli_print(s->c,
              "\nWorkspace:\n  Source: " STR_FMT "\n  Operation: " STR_FMT "\n  Created: " STR_FMT
              "\n  Clean: %s\n",
              STR_ARG(ws->origin),
              STR_ARG(json_is(operation, JSON_STRING) ? operation->string : STR("-")),
              STR_ARG(json_is(created, JSON_STRING) ? created->string : STR("-")),
              ws->clean < 0 ? "— (run with --recalc-hash to migrate to v2)"
              : ws->clean   ? "✓"
                            : "✗ (workspace modified since clone)");
    if (!ws->content_hash.n) return;
    cli_print(s->c, "  Content Hash: " STR_FMT "...\n  Hash Modified: " STR_FMT "\n",
              STR_ARG(str_sub(ws->content_hash, 0, 23)),
              STR_ARG(ws->hash_modified.n ? ws->hash_modified : STR("-")));
}

static int cmd_show_text(struct cmd_show *s) {
    cmd_show_head(s);
    if (s->files) cmd_show_text_files(s);
    else if (s->config) cmd_show_text_config(s);
    else cmd_show_text_metadata(s);
    cmd_show_text_workspace(s);
    cli_out_clean(&s->c->out.text, 0);
    if (s->rehashed)
        cli_print(s->c, "\nHash recalculated and stored (workspace now marked as clean)\n");
    return 0;
}

/* ---- the command ---- */

/* A hash that cannot be made is told and is no failure of show, as upstream. */
static void cmd_show_rehash(struct cmd_show *s, const struct cache_model *m) {
    struct err e = { 0 };
    if (m->place != CACHE_WORKSPACE) return;
    s->rehashed = cache_workspace_rehash(&s->c->arena, m->dir_cstr, CLI_CARD_NORMALIZE, &e);
    if (s->rehashed) return;
    struct buf line;                 /* also with --json: the document says nothing of it */
    buf_init(&line, sizeof e.msg * 8);
    buf_addf(&line, "hash not stored: %s\n", e.msg);
    cli_tell(&line);
}

static int cmd_show_run(struct cli_context *c) {
    struct cmd_show s = { .c = c,
                          .files = cli_flag(&c->args, "--files"),
                          .config = cli_flag(&c->args, "--config") };
    struct cache_model m;
    struct cache_matches matches = { 0 };
    if (!cli_resolve(c, cli_text(&c->args, "model"), &m, &matches, &c->err)) {
        if (c->err.code != ERR_AMBIGUOUS || !c->out.json) return cli_fail(c, &c->err, NULL);
        c->err.hint[0] = '\0';   /* the document has "matches" */
        return cli_fail_data(c, &c->err, NULL, STR_EMPTY, cli_card_matches(&c->arena, &matches));
    }
    if (cli_flag(&c->args, "--recalc-hash")) cmd_show_rehash(&s, &m);
    if (!cli_card_read(&c->arena, &m, &s.card, &c->err))
        return cli_fail(c, &c->err, "show_operation_failed");
    return c->out.json ? cmd_show_json(&s) : cmd_show_text(&s);
}

MLXK_FN const struct cli_command *cmd_show(void) {
    static const struct cli_command command = {
        "show",
        "one model: kind, files, config",
        "on disk",
        cmd_show_options,
        MLXK_COUNT(cmd_show_options),
        "  mlxk show Qwen3-0.6B-4bit\n  mlxk show Qwen3-0.6B-4bit --files\n  mlxk show ./my-model "
        "--recalc-hash\n",
        cmd_show_run,
    };
    return &command;
}
