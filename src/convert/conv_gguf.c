/* conv_gguf.c: a GGUF file -> the files of an MLX repository.
 *
 * Reads the metadata once, decides what every tensor becomes and refuses early; bytes are made
 * later, twice if need be (first to hash, then to store), always the same.
 */
#include "convert/conv_int.h"

static const struct conv_arch conv_gguf_archs[] = {
    { "llama", "llama", "LlamaForCausalLM", true, false },
    { "qwen2", "qwen2", "Qwen2ForCausalLM", false, true },
    { "qwen3", "qwen3", "Qwen3ForCausalLM", false, false },
};

enum { CONV_GGUF_KEY = 128 };

/* ---- metadata of the architecture (Public) --------------------------------------------------- */

static void conv_gguf_key(const struct conv_gguf *g, const char *suffix_cstr,
                          char out[CONV_GGUF_KEY]) {
    struct str arch = str_cstr(g->arch->gguf_cstr), suffix = str_cstr(suffix_cstr);
    MLXK_ASSERT(arch.n + suffix.n + 2 <= CONV_GGUF_KEY);
    memcpy(out, arch.p, arch.n);
    out[arch.n] = '.';
    memcpy(out + arch.n + 1, suffix.p, suffix.n + 1);
}

MLXK_FN const struct gguf_value *conv_gguf_arch_find(const struct conv_gguf *g,
                                                     const char *suffix_cstr) {
    char key[CONV_GGUF_KEY];
    conv_gguf_key(g, suffix_cstr, key);
    return gguf_find(&g->gguf, key);
}

MLXK_FN bool conv_gguf_arch_u64(const struct conv_gguf *g, const char *suffix_cstr, uint64_t max,
                                uint64_t *out, struct err *e) {
    char key[CONV_GGUF_KEY];
    conv_gguf_key(g, suffix_cstr, key);
    return gguf_read_u64(&g->gguf, key, max, out, e);
}

MLXK_FN bool conv_gguf_arch_f64(const struct conv_gguf *g, const char *suffix_cstr,
                                double otherwise, double *out, struct err *e) {
    char key[CONV_GGUF_KEY];
    conv_gguf_key(g, suffix_cstr, key);
    *out = otherwise;
    return !gguf_find(&g->gguf, key) || gguf_read_f64(&g->gguf, key, out, e);
}

/* ---- the architecture (Private) -------------------------------------------------------------- */

static bool conv_gguf_pick_arch(struct conv_gguf *g, struct err *e) {
    struct str name;
    if (!gguf_read_str(&g->gguf, "general.architecture", &name, e)) return false;
    for (size_t i = 0; i < MLXK_COUNT(conv_gguf_archs); i++)
        if (str_eq_cstr(name, conv_gguf_archs[i].gguf_cstr)) g->arch = &conv_gguf_archs[i];
    if (g->arch) return true;
    err_set(e, ERR_UNSUPPORTED,
            "the GGUF file's architecture is '" STR_FMT "', which cannot be imported",
            STR_ARG(name));
    return err_hint(e, "architectures that can: llama, qwen2, qwen3");
}

static bool conv_gguf_optional(const struct conv_gguf *g, const char *suffix_cstr, uint64_t max,
                               uint64_t *out, struct err *e) {
    return !conv_gguf_arch_find(g, suffix_cstr) || conv_gguf_arch_u64(g, suffix_cstr, max, out, e);
}

static bool conv_gguf_dimensions(struct conv_gguf *g, struct err *e) {
    uint64_t experts = 0, rotated, window = 0;
    if (!conv_gguf_arch_u64(g, "attention.head_count", 1024, &g->heads, e) ||
        !conv_gguf_arch_u64(g, "embedding_length", 65536, &g->dim, e) ||
        !conv_gguf_arch_u64(g, "block_count", 1024, &g->layers, e) ||
        !conv_gguf_arch_u64(g, "feed_forward_length", 1 << 20, &g->dim_ff, e) ||
        !conv_gguf_arch_u64(g, "context_length", 1 << 24, &g->context, e))
        return false;
    g->kv_heads = g->heads;
    if (!conv_gguf_optional(g, "attention.head_count_kv", 1024, &g->kv_heads, e)) return false;
    if (g->heads == 0 || g->kv_heads == 0 || g->layers == 0 || g->heads % g->kv_heads)
        return err_set(e, ERR_FORMAT,
                       "the GGUF file states %llu heads, %llu key/value heads and %llu layers",
                       (unsigned long long)g->heads, (unsigned long long)g->kv_heads,
                       (unsigned long long)g->layers);
    g->head_dim = g->dim / g->heads;
    if (!conv_gguf_optional(g, "attention.key_length", 4096, &g->head_dim, e)) return false;
    rotated = g->head_dim;
    if (!conv_gguf_optional(g, "rope.dimension_count", 4096, &rotated, e) ||
        !conv_gguf_optional(g, "expert_count", 1 << 20, &experts, e) ||
        !conv_gguf_optional(g, "attention.sliding_window", 1 << 24, &window, e))
        return false;
    if (g->head_dim == 0 || g->head_dim % 2)
        return err_set(e, ERR_FORMAT, "the GGUF file states heads of %llu dimensions",
                       (unsigned long long)g->head_dim);
    const char *what_cstr = experts                  ? "experts"
                            : window                 ? "a sliding window"
                            : rotated != g->head_dim ? "partly rotated heads"
                                                     : NULL;
    if (!what_cstr) return true;
    err_set(e, ERR_UNSUPPORTED, "the GGUF file is a %s model with %s, which cannot be imported",
            g->arch->gguf_cstr, what_cstr);
    return err_hint(e, "import the model from its safetensors files instead");
}

/* Rows of the embedding decide the vocabulary; vocab_size in the metadata is optional. */
static bool conv_gguf_vocab(struct conv_gguf *g, struct err *e) {
    const struct gguf_value *tokens = gguf_find(&g->gguf, "tokenizer.ggml.tokens");
    g->vocab = tokens ? tokens->n : 0;
    return conv_gguf_optional(g, "vocab_size", 4000000, &g->vocab, e);
}

/* ---- the files (Public) ---------------------------------------------------------------------- */

static bool conv_gguf_text(struct conv_gguf *g, struct conv_plan *plan, const char *path_cstr,
                           struct buf *b, struct err *e) {
    struct conv_file *f = &plan->files[plan->n++];
    *f = (struct conv_file){ .path = str_cstr(path_cstr), .emit = conv_emit_content };
    if (!buf_ok(b, path_cstr, e)) return false;
    f->content = str_dup(g->a, buf_str(b));
    return f->content.p || err_oom(e, b->n, path_cstr);
}

static bool conv_gguf_texts(struct conv_gguf *g, struct conv_plan *plan, struct err *e) {
    struct buf one, two;
    buf_init(&one, LIMIT_JSON_FILE);
    buf_init(&two, LIMIT_JSON_FILE);
    bool ok = conv_gguf_config(g, &one, &two, e) &&
              conv_gguf_text(g, plan, "config.json", &one, e) &&
              conv_gguf_text(g, plan, "generation_config.json", &two, e);
    buf_reset(&one);
    buf_reset(&two);
    ok = ok && conv_gguf_tokenizer(g, &one, &two, e) &&
         conv_gguf_text(g, plan, "tokenizer.json", &one, e) &&
         conv_gguf_text(g, plan, "tokenizer_config.json", &two, e);
    buf_release(&one);
    buf_release(&two);
    return ok;
}

MLXK_FN bool conv_gguf_plan(struct arena *a, const struct os_map *file, struct conv_plan *out,
                            struct err *e) {
    struct conv_gguf *g = ARENA_NEW(a, struct conv_gguf);
    *out = (struct conv_plan){ .files = ARENA_ARRAY(a, struct conv_file, 8) };
    if (!g || !out->files) return err_oom(e, sizeof *g, "the import");
    g->a = a;
    g->file = (struct str){ (const char *)file->p, file->size_bytes };
    if (!gguf_parse(a, g->file, &g->gguf, e) || !conv_gguf_pick_arch(g, e) ||
        !conv_gguf_dimensions(g, e) || !conv_gguf_vocab(g, e) || !conv_gguf_plan_tensors(g, e) ||
        !conv_gguf_texts(g, out, e))
        return false;
    out->files[out->n++] = (struct conv_file){ .path = STR("model.safetensors"),
                                               .emit = conv_gguf_emit_tensors,
                                               .source = g };
    const struct gguf_value *name = gguf_find(&g->gguf, "general.name");
    if (name && name->kind == GGUF_STRING) out->default_name = name->raw;
    return true;
}
