/* cache_detect.c: what kind of model lies in a folder. Rules of mlx-knife facts 4.2-4.5.
 *
 * Everything is guessed from names, config.json and the presence of small files; weights are not
 * opened. Null and empty sections of a config never count as a sign.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

static bool cache_str_among(struct str s, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (str_ieq(s, str_cstr(list[i]))) {
            return true;
        }
    }
    return false;
}

static struct str cache_config_str(const struct cache_scan *s, const char *key_cstr) {
    const struct json *v = json_get(s->config, key_cstr);
    return json_is(v, JSON_STRING) ? v->string : STR_EMPTY;
}

static bool cache_config_section(const struct cache_scan *s, const char *key_cstr) {
    const struct json *v = json_get(s->config, key_cstr);
    return json_is(v, JSON_OBJECT) && v->n > 0;
}

/* As Python: not null, false, zero or empty. */
static bool cache_truthy(const struct json *v) {
    if (!v) {
        return false;
    }
    switch (v->kind) {
    case JSON_NULL: return false;
    case JSON_BOOL: return v->boolean;
    case JSON_INT:
    case JSON_FLOAT: return v->number < 0 || v->number > 0;
    case JSON_STRING: return v->string.n > 0;
    default: return v->n > 0;
    }
}

static const struct json *cache_side(struct arena *a, struct cache_scan *s, const char *name_cstr) {
    const struct json *doc =
        cache_parse(a, cache_scan_read(a, s, str_cstr(name_cstr), LIMIT_JSON_DOC));
    return json_is(doc, JSON_OBJECT) ? doc : NULL;
}

/* ---- framework ---- */

/* "value", 'value' and value are the same in front matter. */
static bool cache_is_mlx_word(struct str s) {
    s = str_trim(s);
    while (s.n && (s.p[0] == '"' || s.p[0] == '\'')) {
        s = str_sub(s, 1, s.n);
    }
    while (s.n && (s.p[s.n - 1] == '"' || s.p[s.n - 1] == '\'')) {
        s = str_sub(s, 0, s.n - 1);
    }
    return str_ieq(s, STR("mlx"));
}

static bool cache_inline_tags(struct str s) {
    if (!str_starts(s, STR("[")) || !str_ends(s, STR("]"))) {
        return false;
    }
    for (struct str rest = str_sub(s, 1, s.n - 1); rest.p;) {
        if (cache_is_mlx_word(str_cut(&rest, ','))) {
            return true;
        }
    }
    return false;
}

static bool cache_key_value(struct str line, struct str key, struct str *value) {
    if (!str_ieq(str_sub(line, 0, key.n), key)) {
        return false;
    }
    *value = str_trim(str_sub(line, key.n, line.n));
    return true;
}

/* "library_name: mlx" or a tag "mlx" between the first two lines "---" of README.md. */
static bool cache_front_matter(struct str text) {
    bool in_tags = false, first = true;
    struct str value;
    for (struct str rest = text; rest.p; first = false) {
        struct str line = str_trim(str_cut(&rest, '\n'));
        bool rule = str_eq(line, STR("---"));
        if (first != rule) {
            return false;
        }
        if (first || (in_tags && !line.n)) {
            continue;
        }
        if (in_tags && line.p[0] == '-') {
            if (cache_is_mlx_word(str_sub(line, 1, line.n))) {
                return true;
            }
            continue;
        }
        in_tags = false;
        if (cache_key_value(line, STR("library_name:"), &value)) {
            if (cache_is_mlx_word(value)) {
                return true;
            }
        } else if (cache_key_value(line, STR("tags:"), &value)) {
            in_tags = value.n == 0;
            if (cache_inline_tags(value)) {
                return true;
            }
        }
    }
    return false;
}

static struct str cache_framework(struct arena *a, const struct cache_model *m,
                                  struct cache_scan *s) {
    if (str_find(m->name, STR("mlx-community/")) >= 0 || json_get(s->config, "quantization") ||
        cache_front_matter(cache_scan_read(a, s, STR("README.md"), LIMIT_JSON_DOC))) {
        return STR("MLX");
    }
    bool torch = false;
    for (size_t i = 0; i < s->n; i++) {
        struct str path = s->files[i].path;
        struct str base = str_sub(path, (size_t)(str_find_last(path, STR("/")) + 1), path.n);
        if (str_ends(path, STR(".gguf"))) {
            return STR("GGUF");
        }
        torch = torch || str_ends(path, STR(".safetensors")) ||
                (str_starts(base, STR("pytorch_model")) && str_ends(base, STR(".bin")));
    }
    return torch ? STR("PyTorch") : STR("Unknown");
}

/* ---- abilities ---- */

static bool cache_is_video(struct arena *a, struct cache_scan *s) {
    if (cache_scan_find(s, STR("video_preprocessor_config.json"))) {
        return true;
    }
    const struct json *side = cache_side(a, s, "preprocessor_config.json");
    const struct json *processor = json_get(side, "processor_class");
    return json_get(side, "temporal_patch_size") ||
           (json_is(processor, JSON_STRING) &&
            str_find(processor->string, STR("AutoVideoProcessor")) >= 0);
}

static bool cache_is_vision_type(const struct cache_scan *s) {
    static const char *const types[] = { "llava",  "llava_next", "pixtral", "qwen2_vl", "phi3_v",
                                         "mllama", "paligemma",  "idefics", "smolvlm" };
    return cache_str_among(cache_config_str(s, "model_type"), types, MLXK_COUNT(types));
}

MLXK_FN bool cache_has_vision(struct arena *a, struct cache_scan *s) {
    static const char *const sides[] = { "preprocessor_config.json", "processor_config.json",
                                         "image_processor_config.json" };
    if (cache_config_section(s, "vision_config") || cache_is_vision_type(s) ||
        cache_truthy(json_get(s->config, "image_processor"))) {
        return true;
    }
    bool side = cache_truthy(json_get(s->config, "preprocessor_config"));
    for (size_t i = 0; !side && i < s->n; i++) {
        struct str path = s->files[i].path;
        side = cache_str_among(str_sub(path, (size_t)(str_find_last(path, STR("/")) + 1), path.n),
                               sides, MLXK_COUNT(sides));
    }
    return side && !cache_is_video(a, s);
}

static bool cache_type_contains(const struct cache_scan *s, const char *const *parts, size_t n) {
    struct str type = cache_config_str(s, "model_type");
    for (size_t i = 0; type.n && i < n; i++) {
        if (str_contains_icase(type, str_cstr(parts[i]))) {
            return true;
        }
    }
    return false;
}

/* Hears and writes: no chat. */
static bool cache_is_speech(const struct cache_scan *s) {
    static const char *const parts[] = { "whisper", "vibevoice", "voxtral" };
    return cache_type_contains(s, parts, MLXK_COUNT(parts));
}

static bool cache_has_audio(struct arena *a, struct cache_scan *s) {
    static const char *const parts[] = { "gemma3n", "voxtral", "whisper", "vibevoice", "audio" };
    if (cache_config_section(s, "audio_config") ||
        cache_type_contains(s, parts, MLXK_COUNT(parts))) {
        return true;
    }
    const struct json *extractor =
        json_get(cache_side(a, s, "preprocessor_config.json"), "feature_extractor_type");
    return json_is(extractor, JSON_STRING) && str_contains_icase(extractor->string, STR("whisper"));
}

/* Translates into English: Whisper, neither turbo nor one of the English-only sizes. */
static bool cache_can_translate(const struct cache_model *m, const struct cache_scan *s) {
    static const char *const english[] = { "whisper-tiny.en", "whisper-base.en", "whisper-small.en",
                                           "whisper-medium.en" };
    bool only = str_contains_icase(m->name, STR("turbo"));
    for (size_t i = 0; i < MLXK_COUNT(english); i++) {
        only = only || str_contains_icase(m->name, str_cstr(english[i]));
    }
    return !only && str_ieq(cache_config_str(s, "model_type"), STR("whisper"));
}

/* ---- kind ---- */

static bool cache_is_embedding(const struct cache_model *m, const struct cache_scan *s) {
    static const char *const encoders[] = { "bert", "xlm-roberta", "modernbert", "nomic_bert" };
    static const char *const decoders[] = { "qwen3", "mistral" };
    struct str type = cache_config_str(s, "model_type");
    if (cache_str_among(type, encoders, MLXK_COUNT(encoders))) {
        return true;
    }
    bool causal = cache_str_among(type, decoders, MLXK_COUNT(decoders));
    const struct json *architectures = json_get(s->config, "architectures");
    for (const struct json *v = json_is(architectures, JSON_ARRAY) ? architectures->child : NULL; v;
         v = v->next) {
        causal = causal || (v->kind == JSON_STRING && str_ends(v->string, STR("ForCausalLM")));
    }
    return causal && str_contains_icase(m->name, STR("embed"));
}

static bool cache_has_text(const struct json *doc, const char *key_cstr) {
    const struct json *v = json_get(doc, key_cstr);
    return json_is(v, JSON_STRING) && str_trim(v->string).n > 0;
}

/* A tokenizer.json holds megabytes: it is searched first and parsed only when the word is there. */
static bool cache_tokenizer_has_template(struct arena *a, const struct cache_scan *s) {
    const struct cache_file *f = cache_scan_find(s, STR("tokenizer.json"));
    char path[LIMIT_PATH];
    struct os_map map;
    struct err unreadable = { 0 };
    if (!f || f->kind != OS_FILE || f->size_bytes > LIMIT_JSON_FILE ||
        f->size_bytes < sizeof "{\"chat_template\":\"x\"}" - 1 ||
        !CACHE_PATH(path, &unreadable, str_cstr(s->dir_cstr), STR("/tokenizer.json")) ||
        !os_map_file(path, &map, &unreadable)) {
        return false;
    }
    struct str text = { (const char *)map.p, map.size_bytes };
    struct arena_mark mark = arena_mark(a);
    bool found = str_find(text, STR("\"chat_template\"")) >= 0 &&
                 cache_has_text(cache_parse(a, text), "chat_template");
    arena_rewind(a, mark);
    os_unmap(&map);
    return found;
}

static bool cache_is_chat(struct arena *a, const struct cache_model *m, struct cache_scan *s) {
    static const char *const files[] = { "chat_template.jinja", "chat_template.json" };
    if (str_ieq(cache_config_str(s, "model_type"), STR("chat")) || cache_is_vision_type(s) ||
        str_contains_icase(m->name, STR("instruct")) || str_contains_icase(m->name, STR("chat"))) {
        return true;
    }
    for (size_t i = 0; i < MLXK_COUNT(files); i++) {
        if (cache_scan_find(s, str_cstr(files[i]))) {
            return true;
        }
    }
    return cache_has_text(cache_side(a, s, "tokenizer_config.json"), "chat_template") ||
           cache_tokenizer_has_template(a, s);
}

/* ---- numbers ---- */

static int64_t cache_positive(const struct json *v) {
    int64_t n = 0;
    if (json_is(v, JSON_INT)) {
        return v->integer > 0 ? v->integer : 0;
    }
    return json_is(v, JSON_STRING) && v->string.n && v->string.p[0] != '-' &&
                   num_parse_i64(v->string, 1, INT64_MAX, &n)
               ? n
               : 0;
}

static int64_t cache_context(const struct json *config) {
    static const char *const keys[] = { "max_position_embeddings", "n_positions", "context_length",
                                        "max_sequence_length", "seq_len" };
    const struct json *parts[] = { config, json_get(config, "text_config") };
    for (size_t p = 0; p < 2; p++) {
        for (size_t i = 0; i < MLXK_COUNT(keys); i++) {
            int64_t n = cache_positive(json_get(parts[p], keys[i]));
            if (n) {
                return n;
            }
        }
    }
    return 0;
}

static bool cache_is_digits(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return s.n > 0;
}

/* "weights.00.safetensors", "pytorch_model-1.safetensors" and no file under a name of today. */
static bool cache_is_legacy(const struct cache_scan *s) {
    static const char *const begins[] = { "weights.", "pytorch_model-" };
    struct str ending = STR(".safetensors");
    bool old = false;
    for (size_t i = 0; i < s->n; i++) {
        struct str name = s->files[i].path;
        if (!str_ends(name, ending) || str_find_char(name, '/') >= 0) {
            continue;
        }
        struct str stem = str_sub(name, 0, name.n - ending.n);
        bool shard = stem.n == STR("model-00001-of-00002").n && str_starts(stem, STR("model-")) &&
                     str_eq(str_sub(stem, 11, 15), STR("-of-"));
        if (str_eq(stem, STR("model")) || shard) {
            return false;
        }
        for (size_t k = 0; k < MLXK_COUNT(begins); k++) {
            struct str begin = str_cstr(begins[k]);
            old =
                old || (str_starts(stem, begin) && cache_is_digits(str_sub(stem, begin.n, stem.n)));
        }
    }
    return old;
}

/* ---- (Public) ---- */

static void cache_capabilities(struct arena *a, const struct cache_model *m, struct cache_scan *s,
                               struct cache_info *out) {
    const char **list = out->capabilities;
    int n = 0;
    if (str_eq(out->model_type, STR("embedding"))) {
        list[n++] = "embeddings";
    } else if (str_eq(out->model_type, STR("audio"))) {
        list[n++] = "audio";
        if (cache_can_translate(m, s)) {
            list[n++] = "audio-translate-en";
        }
    } else {
        list[n++] = "text-generation";
        if (str_eq(out->model_type, STR("chat"))) {
            list[n++] = "chat";
        }
        if (cache_has_vision(a, s)) {
            list[n++] = "vision";
        }
        if (cache_has_audio(a, s)) {
            list[n++] = "audio";
        }
    }
    out->n_capabilities = n;
}

MLXK_FN bool cache_detect(struct arena *a, const struct cache_model *m, struct cache_info *out,
                          struct err *e) {
    struct cache_scan *s = m->scan ? m->scan : cache_scan_dir(a, m->dir_cstr, e);
    *out = (struct cache_info){ 0 };
    if (!s) {
        return false;
    }
    out->size_bytes = s->size_bytes;
    out->mtime_ns = s->mtime_ns;
    if (cache_model_kind(m)) {
        out->framework = STR("Unknown");
        out->model_type = str_cstr(cache_kind_name(cache_model_kind(m)));
        return true;
    }
    out->config = s->config;
    out->framework = cache_framework(a, m, s);
    out->model_type = cache_is_embedding(m, s) ? STR("embedding")
                      : cache_is_speech(s) ? STR("audio")
                      : cache_is_chat(a, m, s) ? STR("chat") : STR("base");
    cache_capabilities(a, m, s, out);
    out->context_length = cache_context(s->config);
    out->legacy = cache_is_legacy(s);
    return true;
}
