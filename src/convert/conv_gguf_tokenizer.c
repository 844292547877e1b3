/* conv_gguf_tokenizer.c: tokenizer.json and tokenizer_config.json out of GGUF metadata.
 *
 * Byte-level BPE only: the file names its pre-tokenizer by a short word (tokenizer.ggml.pre), and
 * the table below says what each word stands for. A word that is not in the table is refused: a
 * wrong split would give wrong tokens without a sign. ref: engine facts 1.5, 3.2.
 */
#include "convert/conv_int.h"
#include "tokenizer/tok.h"

#include <stdio.h>

enum { CONV_TOKEN_CONTROL = 3, CONV_TOKEN_USER = 4 }; /* tokenizer.ggml.token_type values */

#define CONV_SPLIT(regex)                                                                          \
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": " \
    "\"" regex "\"}, \"behavior\": \"Isolated\", "                                                 \
    "\"invert\": false}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "                  \
    "\"trim_offsets\": true, \"use_regex\": false}]}"
#define CONV_BYTE_LEVEL                                                                            \
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "              \
    "\"use_regex\": true}"
#define CONV_CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|"
#define CONV_TAIL                                                                                  \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

static const struct conv_pre {
    const char *names_cstr, *pre_cstr;
    bool nfc, ignore_merges;
} conv_gguf_tokenizer_pres[] = {
    { " gpt-2 default ", CONV_BYTE_LEVEL, false, false },
    { " smollm ",
      "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": "
      "true}, " CONV_BYTE_LEVEL "]}",
      false, false },
    { " llama-bpe llama3 llama-v3 ", CONV_SPLIT(CONV_CONTRACTIONS "\\\\p{N}{1,3}" CONV_TAIL), false,
      true },
    { " qwen2 ", CONV_SPLIT(CONV_CONTRACTIONS "\\\\p{N}" CONV_TAIL), true, false },
};
#undef CONV_SPLIT
#undef CONV_BYTE_LEVEL
#undef CONV_CONTRACTIONS
#undef CONV_TAIL

struct conv_tokens {
    const struct gguf_value *tokens, *types, *merges;
    const struct conv_pre *pre;
};

/* ---- reading (Private) ----------------------------------------------------------------------- */

static bool conv_gguf_tokenizer_pre(const struct conv_gguf *g, struct conv_tokens *t,
                                    struct err *e) {
    struct str model, pre = STR("default");
    struct err ignored = { 0 };
    if (!gguf_read_str(&g->gguf, "tokenizer.ggml.model", &model, e)) return false;
    if (!str_eq(model, STR("gpt2"))) {
        err_set(e, ERR_UNSUPPORTED,
                "the GGUF file's tokenizer is '" STR_FMT
                "', only byte-level BPE ('gpt2') can be imported",
                STR_ARG(model));
        return err_hint(e,
                        "import the model from its safetensors files, which carry tokenizer.json");
    }
    (void)gguf_read_str(&g->gguf, "tokenizer.ggml.pre", &pre, &ignored);
    struct str word = str_format(g->a, " " STR_FMT " ", STR_ARG(pre));
    for (size_t i = 0; i < MLXK_COUNT(conv_gguf_tokenizer_pres); i++)
        if (str_find(str_cstr(conv_gguf_tokenizer_pres[i].names_cstr), word) >= 0)
            t->pre = &conv_gguf_tokenizer_pres[i];
    if (t->pre) return true;
    err_set(e, ERR_UNSUPPORTED, "the GGUF file's pre-tokenizer '" STR_FMT "' is not known",
            STR_ARG(pre));
    return err_hint(e, "known: default, gpt-2, smollm, llama-bpe, qwen2; import the model from its "
                       "safetensors files instead");
}

static bool conv_gguf_tokenizer_array(const struct conv_gguf *g, const char *key_cstr, bool strings,
                                      const struct gguf_value **out, struct err *e) {
    *out = gguf_find(&g->gguf, key_cstr);
    if (*out && (*out)->kind == GGUF_ARRAY && strings == ((*out)->strings != NULL)) return true;
    return err_set(e, ERR_FORMAT, "the GGUF file has no usable array '%s'", key_cstr);
}

static int64_t conv_gguf_tokenizer_type(const struct conv_tokens *t, uint64_t i) {
    int64_t type = 1;
    return t->types && gguf_item_i64(t->types, i, &type) ? type : 1;
}

static struct str conv_gguf_tokenizer_special(const struct conv_gguf *g,
                                              const struct conv_tokens *t, const char *key_cstr) {
    uint64_t id;
    struct err ignored = { 0 };
    if (!gguf_find(&g->gguf, key_cstr) ||
        !gguf_read_u64(&g->gguf, key_cstr, t->tokens->n - 1, &id, &ignored))
        return STR_EMPTY;
    return t->tokens->strings[id];
}

/* ---- writing (Private) ----------------------------------------------------------------------- */

static void conv_gguf_tokenizer_flags(struct json_writer *w, struct str content, bool special) {
    static const char *const flags[] = { "single_word", "lstrip", "rstrip", "normalized" };
    json_write_key(w, "content");
    json_write_str(w, content);
    for (size_t i = 0; i < MLXK_COUNT(flags); i++) {
        json_write_key(w, flags[i]);
        json_write_bool(w, false);
    }
    json_write_key(w, "special");
    json_write_bool(w, special);
}

static void conv_gguf_tokenizer_added(const struct conv_tokens *t, struct json_writer *w,
                                      bool as_decoder) {
    for (uint64_t i = 0; i < t->tokens->n; i++) {
        int64_t type = conv_gguf_tokenizer_type(t, i);
        if (type != CONV_TOKEN_CONTROL && type != CONV_TOKEN_USER) continue;
        if (as_decoder) {
            char key[24];
            snprintf(key, sizeof key, "%llu", (unsigned long long)i);
            json_write_key(w, key);
        }
        json_write_object(w);
        if (!as_decoder) {
            json_write_key(w, "id");
            json_write_u64(w, i);
        }
        conv_gguf_tokenizer_flags(w, t->tokens->strings[i], type == CONV_TOKEN_CONTROL);
        json_write_object_end(w);
    }
}

/* BOS in front when the file asks for it, as a TemplateProcessing post-processor. */
static void conv_gguf_tokenizer_post(const struct conv_gguf *g, const struct conv_tokens *t,
                                     struct json_writer *w) {
    const struct gguf_value *add = gguf_find(&g->gguf, "tokenizer.ggml.add_bos_token");
    struct str bos = conv_gguf_tokenizer_special(g, t, "tokenizer.ggml.bos_token_id");
    bool wanted = add && add->kind == GGUF_BOOL && add->raw.n == 1 && add->raw.p[0] && bos.n;
    json_write_key(w, "post_processor");
    if (!wanted) {
        json_write_null(w);
        return;
    }
    uint64_t id = 0;
    struct err ignored = { 0 };
    (void)gguf_read_u64(&g->gguf, "tokenizer.ggml.bos_token_id", t->tokens->n - 1, &id, &ignored);
    struct buf text;
    struct json_writer name;
    buf_init(&text, TOK_MAX_PIECE * 6);
    json_write_init(&name, &text, false, false);
    json_write_str(&name, bos);
    struct str q = buf_str(&text);
    json_write_raw(
        w,
        str_format(
            g->a,
            "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": " STR_FMT
            ", \"type_id\": 0}}, "
            "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"Sequence\": {\"id\": "
            "\"A\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], "
            "\"special_tokens\": {" STR_FMT ": {\"id\": " STR_FMT
            ", \"ids\": [%llu], \"tokens\": [" STR_FMT "]}}}",
            STR_ARG(q), STR_ARG(q), STR_ARG(q), (unsigned long long)id, STR_ARG(q)));
    buf_release(&text);
}

static void conv_gguf_tokenizer_model(const struct conv_tokens *t, struct json_writer *w) {
    static const char *const nulls[] = { "dropout", "unk_token", "continuing_subword_prefix",
                                         "end_of_word_suffix" };
    json_write_key(w, "model");
    json_write_object(w);
    json_write_key(w, "type");
    json_write_cstr(w, "BPE");
    for (size_t i = 0; i < MLXK_COUNT(nulls); i++) {
        json_write_key(w, nulls[i]);
        json_write_null(w);
    }
    json_write_key(w, "fuse_unk");
    json_write_bool(w, false);
    json_write_key(w, "byte_fallback");
    json_write_bool(w, false);
    json_write_key(w, "ignore_merges");
    json_write_bool(w, t->pre->ignore_merges);
    json_write_key(w, "vocab");
    json_write_object(w);
    for (uint64_t i = 0; i < t->tokens->n; i++) {
        json_write_key_str(w, t->tokens->strings[i]);
        json_write_u64(w, i);
    }
    json_write_object_end(w);
    json_write_key(w, "merges");
    json_write_array(w);
    for (uint64_t i = 0; i < t->merges->n; i++) json_write_str(w, t->merges->strings[i]);
    json_write_array_end(w);
    json_write_object_end(w);
}

static void conv_gguf_tokenizer_write(const struct conv_gguf *g, const struct conv_tokens *t,
                                      struct buf *out) {
    struct json_writer w;
    json_write_init(&w, out, false, false);
    w.spaces = true;
    json_write_object(&w);
    json_write_key(&w, "version");
    json_write_cstr(&w, "1.0");
    json_write_key(&w, "truncation");
    json_write_null(&w);
    json_write_key(&w, "padding");
    json_write_null(&w);
    json_write_key(&w, "added_tokens");
    json_write_array(&w);
    conv_gguf_tokenizer_added(t, &w, false);
    json_write_array_end(&w);
    json_write_key(&w, "normalizer");
    if (t->pre->nfc)
        json_write_raw(&w, STR("{\"type\": \"NFC\"}"));
    else
        json_write_null(&w);
    json_write_key(&w, "pre_tokenizer");
    json_write_raw(&w, str_cstr(t->pre->pre_cstr));
    conv_gguf_tokenizer_post(g, t, &w);
    json_write_key(&w, "decoder");
    json_write_raw(&w, STR("{\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
                           "\"trim_offsets\": true, \"use_regex\": true}"));
    conv_gguf_tokenizer_model(t, &w);
    json_write_object_end(&w);
}

static void conv_gguf_tokenizer_config(const struct conv_gguf *g, const struct conv_tokens *t,
                                       struct buf *out) {
    static const struct {
        const char *key_cstr, *gguf_cstr;
    } specials[] = {
        { "bos_token", "tokenizer.ggml.bos_token_id" },
        { "eos_token", "tokenizer.ggml.eos_token_id" },
        { "pad_token", "tokenizer.ggml.padding_token_id" },
        { "unk_token", "tokenizer.ggml.unknown_token_id" },
    };
    struct json_writer w;
    struct str template;
    struct err ignored = { 0 };
    json_write_init(&w, out, true, false);
    json_write_object(&w);
    json_write_key(&w, "add_prefix_space");
    json_write_bool(&w, false);
    json_write_key(&w, "added_tokens_decoder");
    json_write_object(&w);
    conv_gguf_tokenizer_added(t, &w, true);
    json_write_object_end(&w);
    for (size_t i = 0; i < MLXK_COUNT(specials); i++) {
        struct str text = conv_gguf_tokenizer_special(g, t, specials[i].gguf_cstr);
        if (!text.n) continue;
        json_write_key(&w, specials[i].key_cstr);
        json_write_str(&w, text);
    }
    if (gguf_find(&g->gguf, "tokenizer.chat_template") &&
        gguf_read_str(&g->gguf, "tokenizer.chat_template", &template, &ignored)) {
        json_write_key(&w, "chat_template");
        json_write_str(&w, template);
    }
    json_write_key(&w, "clean_up_tokenization_spaces");
    json_write_bool(&w, false);
    json_write_key(&w, "model_max_length");
    json_write_u64(&w, g->context);
    json_write_key(&w, "tokenizer_class");
    json_write_cstr(&w, "GPT2Tokenizer");
    json_write_object_end(&w);
    buf_add_char(out, '\n');
}

/* ---- both files (Public) --------------------------------------------------------------------- */

MLXK_FN bool conv_gguf_tokenizer(struct conv_gguf *g, struct buf *tokenizer, struct buf *config,
                                 struct err *e) {
    struct conv_tokens t = { 0 };
    if (!conv_gguf_tokenizer_pre(g, &t, e) ||
        !conv_gguf_tokenizer_array(g, "tokenizer.ggml.tokens", true, &t.tokens, e) ||
        !conv_gguf_tokenizer_array(g, "tokenizer.ggml.merges", true, &t.merges, e))
        return false;
    t.types = gguf_find(&g->gguf, "tokenizer.ggml.token_type");
    if (t.tokens->n == 0) return err_set(e, ERR_FORMAT, "the GGUF file's vocabulary is empty");
    if (t.types && (t.types->kind != GGUF_ARRAY || t.types->n != t.tokens->n))
        return err_set(e, ERR_FORMAT, "the GGUF file has %llu tokens but %llu token types",
                       (unsigned long long)t.tokens->n, (unsigned long long)t.types->n);
    conv_gguf_tokenizer_write(g, &t, tokenizer);
    conv_gguf_tokenizer_config(g, &t, config);
    return true;
}
