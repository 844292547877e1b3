/* conv_layout.c: what model families mean by tensor names: the step from a Hugging Face checkpoint
 * to MLX names, and which modules the reference converter quantises.
 *
 * 1. A source that an MLX tool wrote keeps its names; only what no loader reads is left out.
 * 2. A checkpoint of a family whose conventions are not known is refused by name: names that look
 *    right are not proof that the layout is.
 * 3. Experts stored one by one become stacks [experts, out, in], in the order of their numbers.
 * ref: engine facts 1.3, 2.5.
 */
#include "convert/conv_job.h"

/* Families beside those that can be run whose checkpoints need nothing but the rules below. */
static const char *const conv_layout_plain[] = {
    "deepseek",  "deepseek_v2", "ernie4_5",  "exaone",    "helium",   "hunyuan_v1_dense",
    "internlm3", "mixtral",     "nanochat",  "nemotron",  "olmo",     "olmoe",
    "phi",       "phimoe",      "qwen2_moe", "qwen3_moe", "stablelm", "starcoder2",
    "telechat3",
};

/* Parts of multimodal models that are not the language model. */
static const char *const conv_layout_senses[] = {
    "vision_tower",          "vision_model", "visual",       "vision_embed_tokens",
    "multi_modal_projector", "mm_projector", "connector",    "audio_tower",
    "embed_vision",          "embed_audio",  "patch_merger",
};

/* Routers: modules with parameters of their own, or plain parameters that only look like modules
 * (bits 0). */
static const struct {
    const char *family_cstr, *suffix_cstr;
    int bits, group;
} conv_layout_routers[] = {
    { "Klear", ".mlp.gate", 8, 64 },
    { "afmoe", ".router.gate", 8, 64 },
    { "bailing_moe", ".mlp.gate.gate_proj", 8, 64 },
    { "bailing_moe_linear", ".mlp.gate.gate_proj", 8, 64 },
    { "gemma4", ".router.proj", 8, 64 },
    { "gemma4_text", ".router.proj", 8, 64 },
    { "gpt_oss", ".router", 8, 64 },
    { "granitemoe", ".block_sparse_moe.router.layer", 8, 64 },
    { "granitemoehybrid", ".router.layer", 8, 64 },
    { "jamba", ".router", 8, 64 },
    { "kimi_linear", ".mlp.gate", 8, 64 },
    { "lfm2_moe", ".feed_forward.gate", 8, 64 },
    { "longcat_flash", ".classifier", 8, 64 },
    { "minimax", ".block_sparse_moe.gate", 8, 64 },
    { "qwen3_5", ".mlp.gate", 8, 64 },
    { "qwen3_5", ".shared_expert_gate", 8, 64 },
    { "qwen3_5_moe", ".mlp.gate", 8, 64 },
    { "qwen3_5_moe", ".shared_expert_gate", 8, 64 },
    { "qwen3_moe", ".mlp.gate", 8, 64 },
    { "qwen3_next", ".mlp.gate", 8, 64 },
    { "qwen3_next", ".shared_expert_gate", 8, 64 },
    { "qwen3_vl_moe", ".mlp.gate", 8, 64 },
    { "step3p5", ".mlp.gate.gate", 8, 64 },
    { "deepseek", ".mlp.gate", 0, 0 },
    { "deepseek_v2", ".mlp.gate", 0, 0 },
    { "deepseek_v3", ".mlp.gate", 0, 0 },
    { "deepseek_v32", ".mlp.gate", 0, 0 },
    { "dots1", ".mlp.gate", 0, 0 },
    { "exaone_moe", ".mlp.gate", 0, 0 },
    { "glm4_moe", ".mlp.gate", 0, 0 },
    { "glm4_moe_lite", ".mlp.gate", 0, 0 },
    { "kimi_k2", ".mlp.gate", 0, 0 },
    { "mimo_v2_flash", ".mlp.gate", 0, 0 },
    { "nemotron_h", ".mixer.gate", 0, 0 },
};

static struct str conv_layout_text(const struct json *config, const char *key_cstr) {
    const struct json *v = json_get(config, key_cstr);
    return json_is(v, JSON_STRING) ? v->string : STR_EMPTY;
}

MLXK_FN void conv_layout_init(struct conv_layout *l, const struct conv_source *s) {
    const struct json *text = json_get(s->config, "text_config"),
                      *tied = json_get(s->config, "tie_word_embeddings");
    struct str outer = conv_layout_text(s->config, "model_type"),
               inner = conv_layout_text(text, "model_type");
    const struct arch *arch = arch_find(outer);
    *l = (struct conv_layout){ .source = s, .family = inner.n ? inner : outer };
    l->wrapped = arch && arch->wraps_cstr;
    if (l->wrapped && !arch_find(l->family)) l->family = str_cstr(arch->wraps_cstr);
    const struct arch *family = arch_find(l->family);
    if (!tied) tied = json_get(text, "tie_word_embeddings");
    l->tied = (family && family->always_tied) ||
              (json_is(tied, JSON_BOOL) && tied->boolean && !(family && family->tied_by_tensor));
}

/* ---- names (Private) ------------------------------------------------------------------------ */

/* One of the senses, as first or second component ("visual.x", "model.visual.x"). */
static bool conv_layout_is_sense(struct str name) {
    struct str rest = name, first = str_cut(&rest, '.'),
               second = rest.p ? str_cut(&rest, '.') : STR_EMPTY;
    bool in_model = str_eq(first, STR("model"));
    for (size_t i = 0; i < MLXK_COUNT(conv_layout_senses); i++)
        if (str_eq_cstr(first, conv_layout_senses[i]) ||
            (in_model && str_eq_cstr(second, conv_layout_senses[i])))
            return true;
    return false;
}

static bool conv_layout_known(const struct conv_layout *l) {
    if (json_get(l->source->config, "text_config") && !l->wrapped) return false;
    if (arch_find(l->family)) return true;
    for (size_t i = 0; i < MLXK_COUNT(conv_layout_plain); i++)
        if (str_eq_cstr(l->family, conv_layout_plain[i])) return true;
    return false;
}

/* "a.experts.12.w1.weight" -> "a.switch_mlp.gate_proj.weight" and 12. */
static bool conv_layout_expert(struct arena *a, struct str name, struct conv_place *out) {
    static const struct {
        const char *from_cstr, *to_cstr;
    } parts[] = {
        { "w1", "gate_proj" },        { "w2", "down_proj" },        { "w3", "up_proj" },
        { "gate_proj", "gate_proj" }, { "down_proj", "down_proj" }, { "up_proj", "up_proj" },
    };
    ptrdiff_t at = str_find(name, STR(".experts."));
    uint64_t index;
    if (at < 0) return false;
    struct str rest = str_sub(name, (size_t)at + sizeof ".experts." - 1, name.n),
               number = str_cut(&rest, '.');
    if (!rest.p || !num_parse_u64(number, CONV_MAX_PIECES - 1, &index)) return false;
    struct str part = str_cut(&rest, '.');
    for (size_t i = 0; i < MLXK_COUNT(parts); i++)
        if (str_eq_cstr(part, parts[i].from_cstr) && str_eq(rest, STR("weight"))) {
            out->piece = (size_t)index;
            out->name = str_format(a, STR_FMT ".switch_mlp.%s.weight",
                                   STR_ARG(str_sub(name, 0, (size_t)at)), parts[i].to_cstr);
            return true;
        }
    return false;
}

static struct str conv_layout_wrapped_name(struct arena *a, struct str name) {
    struct str inner = STR("model.language_model.");
    if (str_starts(name, inner))
        return str_concat(a, STR("language_model.model."), str_sub(name, inner.n, name.n));
    if (str_starts(name, STR("language_model."))) return name;
    return str_concat(a, STR("language_model."), name);
}

MLXK_FN bool conv_layout_place(const struct conv_layout *l, struct arena *a, struct str name,
                               struct conv_place *out, struct err *e) {
    *out = (struct conv_place){ .name = name, .piece = SIZE_MAX };
    out->drop = str_find(name, STR("rotary_emb.inv_freq")) >= 0 ||
                str_find(name, STR("rope.inv_freq")) >= 0 ||
                (l->tied && str_find(name, STR("lm_head.")) >= 0);
    if (l->source->is_mlx) return true;
    if (!conv_layout_known(l)) {
        err_set(e, ERR_UNSUPPORTED,
                "a checkpoint of model type '" STR_FMT
                "' in Hugging Face layout cannot be converted",
                STR_ARG(str_sub(conv_layout_text(l->source->config, "model_type"), 0, 64)));
        return err_hint(e,
                        "start from a repository in MLX layout (made by mlx-lm), in any precision");
    }
    out->sense = conv_layout_is_sense(name);
    out->drop = out->drop || out->sense;
    if (out->drop) return true;
    if (!conv_layout_expert(a, name, out)) {
        ptrdiff_t fused = str_find(name, STR(".experts."));
        if (fused >= 0 && !str_ends(name, STR(".weight"))) {
            err_set(e, ERR_UNSUPPORTED,
                    "tensor \"" STR_FMT "\" is a fused stack of experts, which cannot be converted",
                    STR_ARG(str_sub(name, 0, 200)));
            return err_hint(
                e, "start from a repository in MLX layout (made by mlx-lm), in any precision");
        }
    }
    if (out->name.p && l->wrapped) out->name = conv_layout_wrapped_name(a, out->name);
    return out->name.p || err_oom(e, name.n, "a tensor name");
}

/* ---- modules (Public) ----------------------------------------------------------------------- */

MLXK_FN bool conv_layout_quantisable(const struct conv_layout *l, struct str path, int n_dims,
                                     struct model_quant *own) {
    *own = (struct model_quant){ .format = K_F32 };
    bool stack = str_find(path, STR(".switch_mlp.")) >= 0 ||
                 str_find(path, STR(".switch_glu.")) >= 0 || str_find(path, STR(".experts.")) >= 0;
    if ((n_dims != 2 && !(n_dims == 3 && stack)) || conv_layout_is_sense(path)) return false;
    for (size_t i = 0; i < MLXK_COUNT(conv_layout_routers); i++)
        if (str_eq_cstr(l->family, conv_layout_routers[i].family_cstr) &&
            str_ends(path, str_cstr(conv_layout_routers[i].suffix_cstr))) {
            if (conv_layout_routers[i].bits == 0) return false;
            *own = (struct model_quant){ K_AFFINE, conv_layout_routers[i].bits,
                                         conv_layout_routers[i].group };
        }
    return true;
}
