/* rel_interface.c: the interface document: what a program that uses a model relies on.
 *
 *   members written in any order -> tree -> canonical JSON -> hash; each member hashed by itself as
 *   well
 *
 * A member that is not known is not there. Names, dates, types of numbers, quantisation, sampling
 * defaults and weights have no place in it.
 *
 * 1. Two states have equal documents exactly when a program cannot tell them apart by what it sends
 *    and what it gets back in form.
 */
#include "release/rel_int.h"

enum { REL_MAX_SANE_LENGTH = 1000000000 };       /* tokenizers say 1e30 for "no limit" */
#define REL_MAX_DOCUMENT ((size_t)8 << 20)

/* ---- keys of config.json that the interface takes ---- */

static const char *const rel_context_keys[] = {
    "max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_len",
    "seq_length", "context_length",
};

static bool rel_key_among(struct str key, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq_cstr(key, list[i])) return true;
    return false;
}

MLXK_FN bool rel_config_is_iface(struct str key) {
    static const char *const keys[] = { "architectures", "model_type", "vocab_size", "id2label",
                                        "label2id", "auto_map", "model_file" };
    return rel_key_among(key, keys, MLXK_COUNT(keys))
           || rel_key_among(key, rel_context_keys, MLXK_COUNT(rel_context_keys))
           || str_ends(key, STR("_token_id")) || str_ends(key, STR("_token_index"));
}

/* A member of config.json or of its text part. */
static const struct json *rel_face_config(const struct rel_face *f, const char *key_cstr) {
    const struct json *v = json_get(f->w->config, key_cstr);
    return v && v->kind != JSON_NULL ? v : json_get(f->text, key_cstr);
}

/* ---- architecture, format ---- */

static void rel_face_architecture(struct rel_face *f) {
    struct str names[64];
    size_t n = 0;
    struct err none = { 0 };
    const struct json *list = json_get(f->w->config, "architectures"),
                      *type = json_get(f->w->config, "model_type");
    for (const struct json *v = json_is(list, JSON_ARRAY) ? list->child : NULL; v && n < 62;
         v = v->next)
        if (v->kind == JSON_STRING) names[n++] = v->string;
    if (json_is(type, JSON_STRING)) names[n++] = type->string;
    if (!f->w->config && f->w->gguf
        && gguf_read_str(f->w->gguf, "general.architecture", &names[n], &none))
        n++;
    if (!n) return;
    rel_sort_texts(names, n);
    json_write_key(&f->out, "architecture");
    json_write_array(&f->out);
    for (size_t i = 0; i < n; i++)
        if (!i || !str_eq(names[i], names[i - 1])) json_write_str(&f->out, names[i]);
    json_write_array_end(&f->out);
}

/* Which loader a user must have. */
static const char *rel_face_format(const struct rel_work *w) {
    const struct json *q = json_get(w->config, "quantization");
    if (w->mlx_mark || w->has_npz || (w->has_safetensors && json_is(q, JSON_OBJECT))) return "mlx";
    if (w->has_safetensors) return "safetensors";
    return w->has_gguf ? "gguf" : w->has_onnx ? "onnx" : w->has_pt ? "pt" : NULL;
}

/* ---- context ---- */

static double rel_rope_factor(const struct json *scaling, double stated) {
    const struct json *factor = json_get(scaling, "factor"),
                      *original = json_get(scaling, "original_max_position_embeddings");
    bool number = json_is(factor, JSON_INT) || json_is(factor, JSON_FLOAT);
    if (!number || !(factor->number > 1)) return stated;
    if (json_is(original, JSON_INT))             /* the stated length may hold the factor already */
        return original->number * factor->number > stated ? original->number * factor->number
                                                          : stated;
    return stated * factor->number;
}

static void rel_face_context(struct rel_face *f) {
    double n = 0;
    struct err none = { 0 };
    for (size_t i = 0; i < MLXK_COUNT(rel_context_keys) && n <= 0; i++) {
        const struct json *v = rel_face_config(f, rel_context_keys[i]);
        if (json_is(v, JSON_INT)) n = v->number;
    }
    const struct json *scaling = rel_face_config(f, "rope_scaling");
    if (!json_is(scaling, JSON_OBJECT)) scaling = rel_face_config(f, "rope_parameters");
    if (n > 0) n = rel_rope_factor(scaling, n);
    if (n <= 0 && f->w->gguf) {
        struct str arch;
        uint64_t x;
        if (gguf_read_str(f->w->gguf, "general.architecture", &arch, &none)) {
            struct str key = str_format(f->w->a, STR_FMT ".context_length%c", STR_ARG(arch), 0);
            if (key.p && gguf_read_u64(f->w->gguf, key.p, REL_MAX_SANE_LENGTH, &x, &none))
                n = (double)x;
        }
    }
    const struct json *limit = json_get(f->w->tokenizer_config, "model_max_length");
    bool sane = (json_is(limit, JSON_INT) || json_is(limit, JSON_FLOAT)) && limit->number > 0
                && limit->number <= (double)REL_MAX_SANE_LENGTH;
    if (sane && (n <= 0 || limit->number < n)) n = limit->number;
    if (n < 1 || n > 1e15) return;
    json_write_key(&f->out, "context");
    json_write_i64(&f->out, (int64_t)n);
}

/* ---- tokens ---- */

static void rel_face_tokens(struct rel_face *f) {
    const struct json *vocab = rel_face_config(f, "vocab_size");
    json_write_key(&f->out, "vocab_size");
    if (json_is(vocab, JSON_INT)) json_write_i64(&f->out, vocab->integer);
    else json_write_i64(&f->out, f->tokens.n ? f->tokens.items[f->tokens.n - 1].id + 1 : 0);
    if (f->tokens.table[0]) json_write_member(&f->out, "tokenizer", str_cstr(f->tokens.table));
    if (f->tokens.merges[0]) json_write_member(&f->out, "merges", str_cstr(f->tokens.merges));
    if (f->tokens.pretok[0]) json_write_member(&f->out, "pretok", str_cstr(f->tokens.pretok));
}

/* Ids of one role: sorted, each once. */
struct rel_ids { int64_t p[64]; size_t n; };

static void rel_ids_add(struct rel_ids *ids, int64_t id) {
    size_t at = 0;
    if (id < 0 || ids->n == MLXK_COUNT(ids->p)) return;
    while (at < ids->n && ids->p[at] < id) at++;
    if (at < ids->n && ids->p[at] == id) return;
    memmove(ids->p + at + 1, ids->p + at, (ids->n - at) * sizeof *ids->p);
    ids->p[at] = id;
    ids->n++;
}

static void rel_ids_json(struct rel_ids *ids, const struct json *v) {
    if (json_is(v, JSON_INT)) rel_ids_add(ids, v->integer);
    for (const struct json *m = json_is(v, JSON_ARRAY) ? v->child : NULL; m; m = m->next)
        if (m->kind == JSON_INT) rel_ids_add(ids, m->integer);
}

/* "<s>" or { "content": "<s>" } in the tokenizer's files. */
static void rel_ids_text(struct rel_ids *ids, const struct rel_face *f, const struct json *v) {
    if (json_is(v, JSON_OBJECT)) v = json_get(v, "content");
    if (json_is(v, JSON_STRING)) rel_ids_add(ids, rel_tokens_find(&f->tokens, v->string));
}

static void rel_ids_gguf(struct rel_ids *ids, const struct rel_face *f, const char *key_cstr) {
    struct err none = { 0 };
    uint64_t id;
    if (f->w->gguf && gguf_find(f->w->gguf, key_cstr)
        && gguf_read_u64(f->w->gguf, key_cstr, INT32_MAX, &id, &none))
        rel_ids_add(ids, (int64_t)id);
}

struct rel_role {
    const char *name_cstr, *config_cstr, *text_cstr, *gguf_cstr;
    const char *tokens[4];       /* texts that play the role wherever they occur */
};
static const struct rel_role rel_roles[] = {
    { "audio", "audio_token_id", "audio_token", NULL, { NULL } },
    { "bos", "bos_token_id", "bos_token", "tokenizer.ggml.bos_token_id", { NULL } },
    { "cls", "cls_token_id", "cls_token", "tokenizer.ggml.cls_token_id", { NULL } },
    { "eos", "eos_token_id", "eos_token", "tokenizer.ggml.eos_token_id", { NULL } },
    { "eot", NULL, NULL, "tokenizer.ggml.eot_token_id",
      { "<|eot_id|>", "<|im_end|>", "<end_of_turn>" } },
    { "fim_middle", NULL, NULL, "tokenizer.ggml.fim_mid_token_id",
      { "<|fim_middle|>", "<fim_middle>" } },
    { "fim_prefix", NULL, NULL, "tokenizer.ggml.fim_pre_token_id",
      { "<|fim_prefix|>", "<fim_prefix>" } },
    { "fim_suffix", NULL, NULL, "tokenizer.ggml.fim_suf_token_id",
      { "<|fim_suffix|>", "<fim_suffix>" } },
    { "image", "image_token_id", "image_token", NULL, { NULL } },
    { "mask", "mask_token_id", "mask_token", "tokenizer.ggml.mask_token_id", { NULL } },
    { "pad", "pad_token_id", "pad_token", "tokenizer.ggml.padding_token_id", { NULL } },
    { "sep", "sep_token_id", "sep_token", "tokenizer.ggml.seperator_token_id", { NULL } },
    { "unk", "unk_token_id", "unk_token", "tokenizer.ggml.unknown_token_id", { NULL } },
    { "video", "video_token_id", "video_token", NULL, { NULL } },
};

static bool rel_face_special(struct rel_face *f, struct err *e) {
    const struct json *map = rel_work_json(f->w, "special_tokens_map.json", e);
    if (!map && e->code != ERR_OK) return false;
    json_write_key(&f->out, "special");
    json_write_object(&f->out);
    for (size_t i = 0; i < MLXK_COUNT(rel_roles); i++) {
        const struct rel_role *r = &rel_roles[i];
        struct rel_ids ids = { .n = 0 };
        char index[64];
        if (r->config_cstr) {
            rel_ids_json(&ids, rel_face_config(f, r->config_cstr));
            size_t n = strlen(r->config_cstr) - 2;     /* image_token_index, as older ones say */
            memcpy(index, r->config_cstr, n);
            memcpy(index + n, "index", 6);
            rel_ids_json(&ids, rel_face_config(f, index));
        }
        if (r->text_cstr) rel_ids_text(&ids, f, json_get(f->w->tokenizer_config, r->text_cstr));
        if (r->text_cstr && !ids.n) rel_ids_text(&ids, f, json_get(map, r->text_cstr));
        if (r->gguf_cstr) rel_ids_gguf(&ids, f, r->gguf_cstr);
        for (size_t k = 0; k < 4 && r->tokens[k]; k++)
            rel_ids_add(&ids, rel_tokens_find(&f->tokens, str_cstr(r->tokens[k])));
        if (!ids.n) continue;
        json_write_key(&f->out, r->name_cstr);
        json_write_array(&f->out);
        for (size_t k = 0; k < ids.n; k++) json_write_i64(&f->out, ids.p[k]);
        json_write_array_end(&f->out);
    }
    json_write_object_end(&f->out);
    return true;
}

/* ---- embeddings, labels, adapters ---- */

static bool rel_face_embedding(struct rel_face *f, struct err *e) {
    if (strcmp(f->task_cstr, "embedding") != 0) return true;
    const struct json *pooling = rel_work_json(f->w, "1_Pooling/config.json", e),
                      *modules = rel_work_json(f->w, "modules.json", e);
    if (e->code != ERR_OK) return false;
    const struct json *dim = json_get(pooling, "word_embedding_dimension");
    if (!json_is(dim, JSON_INT)) dim = rel_face_config(f, "hidden_size");
    json_write_key(&f->out, "embed_dim");
    json_write_i64(&f->out, json_is(dim, JSON_INT) ? dim->integer : 0);
    for (const struct json *m = json_is(pooling, JSON_OBJECT) ? pooling->child : NULL; m;
         m = m->next)
        if (str_starts(m->key, STR("pooling_mode_")) && m->kind == JSON_BOOL && m->boolean) {
            json_write_member(&f->out, "pooling", str_sub(m->key, 13, m->key.n));
            break;
        }
    bool normalize = false;
    for (const struct json *m = json_is(modules, JSON_ARRAY) ? modules->child : NULL; m;
         m = m->next) {
        const struct json *type = json_get(m, "type");
        normalize =
            normalize || (json_is(type, JSON_STRING) && str_ends(type->string, STR(".Normalize")));
    }
    json_write_key(&f->out, "normalize");
    json_write_bool(&f->out, normalize);
    return true;
}

/* "id TAB label", in the order of the ids. */
static bool rel_face_labels(struct rel_face *f, struct err *e) {
    const struct json *labels = json_get(f->w->config, "id2label");
    struct sha256 s;
    uint8_t digest[32];
    char hex[65], key[16];
    if (strcmp(f->task_cstr, "classify") != 0 || !json_is(labels, JSON_OBJECT)) return true;
    sha256_init(&s);
    size_t found = 0;
    for (size_t id = 0; found < labels->n && id < labels->n + 65536; id++) {
        struct str k = str_format(f->w->a, "%zu", id);
        if (!k.p || k.n >= sizeof key) return err_oom(e, sizeof key, "labels");
        const struct json *v = json_get_str(labels, k);
        if (!json_is(v, JSON_STRING)) continue;
        found++;
        sha256_update(&s, k.p, k.n);
        sha256_update(&s, "\t", 1);
        sha256_update(&s, v->string.p, v->string.n);
        sha256_update(&s, "\n", 1);
    }
    sha256_final(&s, digest);
    str_hex(hex, digest, sizeof digest);
    json_write_member(&f->out, "labels", str_cstr(hex));
    return true;
}

static bool rel_face_adapter(struct rel_face *f, struct err *e) {
    if (strcmp(f->task_cstr, "adapter") != 0) return true;
    const struct json *c = rel_work_json(f->w, "adapter_config.json", e);
    if (!c && e->code != ERR_OK) return false;
    const struct json *base = json_get(c, "base_model_name_or_path"), *rank = json_get(c, "r"),
                      *lora = json_get(c, "lora_parameters"),
                      *targets = json_get(c, "target_modules"),
                      *revision = json_get(c, "revision");
    if (!rank) rank = json_get(lora, "rank");
    if (!json_is(base, JSON_STRING)) base = json_get(c, "model");
    struct str names[256];
    size_t n = 0;
    for (const struct json *v = json_is(targets, JSON_ARRAY) ? targets->child : NULL; v && n < 256;
         v = v->next)
        if (v->kind == JSON_STRING) names[n++] = v->string;
    rel_sort_texts(names, n);
    json_write_key(&f->out, "adapter_base");
    json_write_object(&f->out);
    if (json_is(base, JSON_STRING)) json_write_member(&f->out, "base", base->string);
    if (json_is(revision, JSON_STRING)) json_write_member(&f->out, "revision", revision->string);
    if (json_is(rank, JSON_INT)) {
        json_write_key(&f->out, "rank");
        json_write_i64(&f->out, rank->integer);
    }
    json_write_key(&f->out, "target_modules");
    json_write_array(&f->out);
    for (size_t i = 0; i < n; i++) json_write_str(&f->out, names[i]);
    json_write_array_end(&f->out);
    json_write_object_end(&f->out);
    return true;
}

/* ---- pre-processors, code ---- */

static const char *const rel_io_files[] = { "preprocessor_config.json", "processor_config.json",
                                            "video_preprocessor_config.json" };
static bool rel_io_is_contract(struct str key) {
    static const char *const keys[] = {
        "size", "crop_size", "patch_size", "merge_size", "temporal_patch_size", "min_pixels",
        "max_pixels", "sampling_rate", "feature_size", "num_mel_bins", "image_seq_len",
        "chunk_length", "hop_length",
    };
    return rel_key_among(key, keys, MLXK_COUNT(keys));
}
static bool rel_io_is_other(struct str key) { return !rel_io_is_contract(key); }

static bool rel_face_io(struct rel_face *f, struct err *e) {
    bool open = false;
    for (size_t i = 0; i < MLXK_COUNT(rel_io_files); i++) {
        const struct json *v = rel_work_json(f->w, rel_io_files[i], e);
        struct buf text;
        if (!v && e->code != ERR_OK) return false;
        if (!json_is(v, JSON_OBJECT)) continue;
        buf_init(&text, REL_MAX_DOCUMENT);
        bool ok = rel_canon_write(&text, v, rel_io_is_other, e);
        if (ok && text.n > 2) {
            if (!open) {
                json_write_key(&f->out, "io");
                json_write_object(&f->out);
            }
            open = true;
            json_write_key_str(&f->out,
                               str_sub(str_cstr(rel_io_files[i]), 0, strlen(rel_io_files[i]) - 5));
            json_write_raw(&f->out, buf_str(&text));
        }
        buf_release(&text);
        if (!ok) return false;
    }
    if (open) json_write_object_end(&f->out);
    return true;
}

static void rel_face_code(struct rel_face *f) {
    const struct json *file = json_get(f->w->config, "model_file");
    bool code = json_is(json_get(f->w->config, "auto_map"), JSON_OBJECT)
                || json_is(json_get(f->w->tokenizer_config, "auto_map"), JSON_OBJECT)
                || json_is(file, JSON_STRING);
    json_write_key(&f->out, "custom_code");
    json_write_bool(&f->out, code);
}

/* ---- what the document does not hold of its files ---- */

static bool rel_tokenizer_config_is_iface(struct str key) {
    static const char *const keys[] = {
        "chat_template",    "added_tokens_decoder",
        "model_max_length", "auto_map",
        "bos_token",        "eos_token",
        "unk_token",        "pad_token",
        "sep_token",        "cls_token",
        "mask_token",       "image_token",
        "audio_token",      "video_token",
    };
    return rel_key_among(key, keys, MLXK_COUNT(keys));
}
static bool rel_is_chat_template(struct str key) { return str_eq(key, STR("chat_template")); }

static bool rel_remain_json(struct rel_work *w, const struct rel_file *f,
                            bool (*skip)(struct str key), struct err *e) {
    char hash[65];
    struct buf text;
    char *path = str_dup_cstr(w->a, f->path);
    const struct json *v = path ? rel_work_json(w, path, e) : NULL;
    if (!v) return path ? false : err_oom(e, LIMIT_PATH, "a path");
    if (v->kind != JSON_OBJECT) skip = NULL;
    buf_init(&text, LIMIT_JSON_FILE);
    bool ok = rel_canon_write(&text, v, skip, e);
    if (ok && text.n > 2) {
        rel_hash_text(buf_str(&text), hash);
        rel_lines_add_hash(&w->logic, f->path, STR_EMPTY, hash);
    }
    buf_release(&text);
    return ok;
}

static bool rel_remain_is_source(const struct rel_tokens *t, struct str path) {
    for (size_t i = 0; i < t->n_sources; i++)
        if (str_eq_cstr(path, t->sources[i])) return true;
    return false;
}

static bool rel_remain(struct rel_work *w, const struct rel_tokens *t, const struct rel_file *f,
                       struct err *e) {
    char hash[65];
    if (str_eq(f->path, STR("tokenizer.json"))) {
        const struct json *v = t->rest.n ? json_parse_lenient(w->a, t->rest, e) : NULL;
        if (!t->rest.n) return true;
        if (!v || !rel_hash_json(v, NULL, hash, e)) return false;
        rel_lines_add_hash(&w->logic, f->path, STR_EMPTY, hash);
        return true;
    }
    if (rel_remain_is_source(t, f->path) || str_ends(f->path, STR(".jinja"))) return true;
    if (str_eq(f->path, STR("tokenizer_config.json")))
        return rel_remain_json(w, f, rel_tokenizer_config_is_iface, e);
    if (str_eq(f->path, STR("chat_template.json")))
        return rel_remain_json(w, f, rel_is_chat_template, e);
    for (size_t i = 0; i < MLXK_COUNT(rel_io_files); i++)
        if (str_eq_cstr(f->path, rel_io_files[i]))
            return rel_remain_json(w, f, rel_io_is_contract, e);
    if (str_ends(f->path, STR(".json"))) return rel_remain_json(w, f, NULL, e);
    rel_lines_add_hash(&w->logic, f->path, STR_EMPTY, f->sha256);
    return true;
}

MLXK_FN bool rel_remains_read(struct rel_work *w, const struct rel_tokens *t, struct err *e) {
    for (size_t i = 0; i < w->s->n; i++)
        if (w->s->files[i].kind == REL_IFACE && !rel_remain(w, t, &w->s->files[i], e)) return false;
    return true;
}

/* ---- the document ---- */

static bool rel_face_members(struct rel_face *f, struct err *e) {
    struct json_writer *w = &f->out;
    json_write_init(w, &f->buf, false, false);
    json_write_object(w);
    json_write_member(w, "schema", STR("mlxk.interface/1"));
    json_write_member(w, "task", str_cstr(f->task_cstr));
    if (f->format_cstr) json_write_member(w, "format", str_cstr(f->format_cstr));
    rel_face_architecture(f);
    rel_modalities_write(f);
    rel_face_context(f);
    rel_face_tokens(f);
    rel_face_code(f);
    bool ok = rel_face_special(f, e) && rel_chat_write(f, e) && rel_face_embedding(f, e)
              && rel_face_labels(f, e) && rel_face_adapter(f, e) && rel_face_io(f, e);
    json_write_object_end(w);
    return ok && buf_ok(&f->buf, "an interface document", e);
}

/* Sorted by name, as in the canonical text. */
static bool rel_face_split(struct rel_work *w, const struct json *doc, struct err *e) {
    struct rel_state *s = w->s;
    struct str names[64];
    s->n_members = 0;
    for (const struct json *m = doc->child; m && s->n_members < 64; m = m->next)
        names[s->n_members++] = m->key;
    rel_sort_texts(names, s->n_members);
    s->members = ARENA_ARRAY(w->a, struct rel_member, s->n_members);
    for (size_t i = 0; s->members && i < s->n_members; i++) {
        struct buf b;
        buf_init(&b, REL_MAX_DOCUMENT);
        bool ok = rel_canon_write(&b, json_get_str(doc, names[i]), NULL, e);
        s->members[i].name = names[i];
        s->members[i].value = ok ? str_dup(w->a, buf_str(&b)) : STR_EMPTY;
        rel_hash_text(buf_str(&b), s->members[i].hash);
        buf_release(&b);
        if (!ok) return false;
    }
    return s->members || err_oom(e, s->n_members * sizeof *s->members, "an interface document");
}

static void rel_face_summary(struct rel_face *f) {
    struct rel_work *w = f->w;
    struct rel_state *s = w->s;
    struct err none = { 0 };
    const struct json *type = json_get(w->config, "model_type"),
                      *dtype = rel_face_config(f, "torch_dtype"),
                      *q = json_get(w->config, "quantization"), *bits = json_get(q, "bits"),
                      *mode = json_get(q, "mode");
    if (!dtype) dtype = rel_face_config(f, "dtype");
    if (json_is(type, JSON_STRING)) s->family = type->string;
    else if (w->gguf) (void)gguf_read_str(w->gguf, "general.architecture", &s->family, &none);
    s->family = s->family.n ? str_dup(w->a, s->family) : STR_EMPTY;
    s->task = str_cstr(f->task_cstr);
    s->format = str_cstr(f->format_cstr);
    s->n_params = w->n_params;
    if (json_is(dtype, JSON_STRING)) s->precision = dtype->string;
    if (json_is(mode, JSON_STRING) && !str_eq(mode->string, STR("affine")))
        s->quantization = mode->string;
    else if (json_is(bits, JSON_INT))
        s->quantization = str_format(w->a, "int%lld", (long long)bits->integer);
    else if (w->gguf) s->quantization = str_cstr(gguf_type_name(w->gguf_type));
}

MLXK_FN bool rel_interface_read(struct rel_work *w, struct err *e) {
    struct rel_face f = { .w = w };
    struct buf text;
    const struct json *part = json_get(w->config, "text_config");
    f.text = json_is(part, JSON_OBJECT) ? part : NULL;
    f.task_cstr = rel_task_of(w);
    f.format_cstr = rel_face_format(w);
    if (!rel_tokens_read(w, &f.tokens, e)) return false;
    buf_init(&f.buf, REL_MAX_DOCUMENT);
    buf_init(&text, REL_MAX_DOCUMENT);
    bool ok = rel_face_members(&f, e);
    const struct json *doc = ok ? json_parse_large(w->a, buf_str(&f.buf), e) : NULL;
    ok = doc && rel_canon_write(&text, doc, NULL, e) && rel_face_split(w, doc, e)
         && rel_remains_read(w, &f.tokens, e);
    if (ok) {
        rel_face_summary(&f);
        w->s->document = str_dup(w->a, buf_str(&text));
        rel_hash_text(buf_str(&text), w->s->hash.iface);
        ok = w->s->document.p || err_oom(e, text.n, "an interface document");
    }
    buf_release(&text);
    buf_release(&f.buf);
    return ok;
}
