/* conv_gguf_tensors.c: GGUF tensors -> MLX safetensors, without losing a bit.
 *
 *  Q4_1  w = d*q + m        -> 4 bits, group 32, scale d, bias m
 *  Q4_0  w = d*(q - 8)      -> 4 bits, scale d, bias -8d    (refused when -8d is not exact in F16)
 *  Q5_1  w = d*q + m        -> 5 bits, scale d, bias m
 *  Q5_0  w = d*(q - 16)     -> 5 bits, scale d, bias -16d   (the same)
 *  Q8_0  w = d*q, q signed  -> 8 bits, code q + 128, scale d, bias -128d   (the same)
 *  F16, BF16                -> as they are
 *  F32                      -> F16 when that is exact for the whole tensor, else F32
 *
 * Invariants
 *  1. Tensors are written sorted by name, packed without holes, so the same file gives the same
 *     bytes.
 *  2. Rows of q and k of the llama family come back from interleaved to half-split rotary order.
 *  3. Nothing is approximated: what does not fit is refused by name before a byte is written.
 * ref: engine facts 1.1, 1.5.
 */
#include "convert/conv_int.h"

#include <math.h>

enum { CONV_BLOCK = 32 }; /* columns of a block of every supported quantised type */

static const struct {
    const char *gguf_cstr, *mlx_cstr;
} conv_gguf_tensors_names[] = {
    { "attn_q", "self_attn.q_proj" },
    { "attn_k", "self_attn.k_proj" },
    { "attn_v", "self_attn.v_proj" },
    { "attn_output", "self_attn.o_proj" },
    { "attn_q_norm", "self_attn.q_norm" },
    { "attn_k_norm", "self_attn.k_norm" },
    { "ffn_gate", "mlp.gate_proj" },
    { "ffn_up", "mlp.up_proj" },
    { "ffn_down", "mlp.down_proj" },
    { "attn_norm", "input_layernorm" },
    { "ffn_norm", "post_attention_layernorm" },
};

/* ---- names (Private) ------------------------------------------------------------------------- */

/* "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj" and kind "weight"; *part is "attn_q"
 * or empty. */
static bool conv_gguf_tensors_name(const struct conv_gguf *g, struct str name, struct str *target,
                                   struct str *kind, struct str *part, struct err *e) {
    ptrdiff_t dot = str_find_last(name, STR("."));
    struct str stem = str_sub(name, 0, dot < 0 ? name.n : (size_t)dot);
    *kind = dot < 0 ? STR_EMPTY : str_sub(name, (size_t)dot + 1, name.n);
    *part = STR_EMPTY;
    *target = STR_EMPTY;
    bool kind_ok = str_eq(*kind, STR("weight")) || str_eq(*kind, STR("bias"));
    if (str_eq(stem, STR("token_embd")))
        *target = STR("model.embed_tokens");
    else if (str_eq(stem, STR("output_norm")))
        *target = STR("model.norm");
    else if (str_eq(stem, STR("output")))
        *target = STR("lm_head");
    else if (str_starts(stem, STR("blk."))) {
        struct str rest = str_sub(stem, 4, stem.n), layer = str_cut(&rest, '.');
        uint64_t index;
        *part = rest;
        for (size_t i = 0; i < MLXK_COUNT(conv_gguf_tensors_names); i++)
            if (str_eq_cstr(rest, conv_gguf_tensors_names[i].gguf_cstr) &&
                num_parse_u64(layer, g->layers - 1, &index))
                *target = str_format(g->a, "model.layers.%llu.%s", (unsigned long long)index,
                                     conv_gguf_tensors_names[i].mlx_cstr);
    }
    if (target->n && kind_ok) return true;
    err_set(e, ERR_UNSUPPORTED,
            "tensor '" STR_FMT "' of the GGUF file has no known place in a %s model", STR_ARG(name),
            g->arch->model_type_cstr);
    return err_hint(e,
                    "only plain decoders of the architectures llama, qwen2 and qwen3 are imported");
}

static bool conv_gguf_tensors_add(struct conv_gguf *g, struct conv_tensor t, struct str stem,
                                  const char *suffix_cstr, struct err *e) {
    struct conv_tensor *grown =
        ARENA_GROW(g->a, struct conv_tensor, g->tensors, g->n_tensors, &g->cap_tensors, 512);
    if (!grown) return err_oom(e, (g->n_tensors + 1) * sizeof *grown, "the tensor list");
    g->tensors = grown;
    t.name = str_format(g->a, STR_FMT ".%s", STR_ARG(stem), suffix_cstr);
    if (!t.name.p) return err_oom(e, stem.n, "a tensor name");
    g->tensors[g->n_tensors++] = t;
    return true;
}

/* ---- what each tensor becomes (Private) ------------------------------------------------------ */

static uint64_t conv_gguf_tensors_rows(const struct gguf_tensor *t) {
    uint64_t rows = 1;
    for (int i = 0; i + 1 < t->n_dims; i++) rows *= (uint64_t)t->shape[i];
    return rows;
}

static bool conv_gguf_tensors_f16_exact(const struct conv_gguf *g, const struct gguf_tensor *t) {
    for (size_t at = t->begin; at < t->end; at += 4) {
        uint32_t bits = num_read_u32(g->file.p + at);
        float x;
        memcpy(&x, &bits, 4);
        if (!(num_f16_to_f32(num_f32_to_f16(x)) == x)) return false;
    }
    return true;
}

/* Quantised types that affine groups of 32 hold: codes of `bits` bits that begin at byte `codes` of
 * a block, the fifth bits at `high` (0 = none), bias = factor * d, or with factor 0 the F16 behind
 * d. */
struct conv_gguf_form { uint32_t type; int bits; float factor; size_t high, codes; };

static const struct conv_gguf_form *conv_gguf_tensors_form(uint32_t type) {
    static const struct conv_gguf_form forms[] = {
        { GGUF_T_Q4_0, 4, -8.0f, 0, 2 },   { GGUF_T_Q4_1, 4, 0, 0, 4 },
        { GGUF_T_Q5_0, 5, -16.0f, 2, 6 },  { GGUF_T_Q5_1, 5, 0, 4, 8 },
        { GGUF_T_Q8_0, 8, -128.0f, 0, 2 },
    };
    for (size_t i = 0; i < MLXK_COUNT(forms); i++)
        if (forms[i].type == type) return &forms[i];
    return NULL;
}

/* -8d, -16d and -128d must be exact in F16: they are unless they overflow (or d is a NaN). */
static bool conv_gguf_tensors_bias_exact(const struct conv_gguf *g, const struct gguf_tensor *t,
                                         float factor) {
    size_t items, block_bytes;
    gguf_type_block(t->type, &items, &block_bytes);
    for (size_t at = t->begin; at < t->end; at += block_bytes) {
        float bias = num_f16_to_f32(num_read_u16(g->file.p + at)) * factor;
        if (!(num_f16_to_f32(num_f32_to_f16(bias)) == bias)) return false;
    }
    return true;
}

static bool conv_gguf_tensors_quantised(struct conv_gguf *g, const struct gguf_tensor *t,
                                        struct str stem, uint64_t heads, struct err *e) {
    const struct conv_gguf_form *form = conv_gguf_tensors_form(t->type);
    if (form->factor < 0 && !conv_gguf_tensors_bias_exact(g, t, form->factor)) {
        err_set(e, ERR_UNSUPPORTED,
                "tensor '" STR_FMT "' (%s) has a scale too large to be held exactly",
                STR_ARG(t->name), gguf_type_name(t->type));
        return err_hint(e, "import the model from its safetensors files instead");
    }
    struct conv_tensor x = { .from = t, .heads = heads, .bits = form->bits };
    g->any_quantised = true;
    if (form->bits < g->common_bits) g->common_bits = form->bits;
    x.part = CONV_CODES;
    x.dtype = DTYPE_U32;
    if (!conv_gguf_tensors_add(g, x, stem, "weight", e)) return false;
    x.part = CONV_SCALES;
    x.dtype = DTYPE_F16;
    if (!conv_gguf_tensors_add(g, x, stem, "scales", e)) return false;
    x.part = CONV_BIASES;
    return conv_gguf_tensors_add(g, x, stem, "biases", e);
}

static bool conv_gguf_tensors_refuse_type(const struct gguf_tensor *t, struct err *e) {
    err_set(e, ERR_UNSUPPORTED,
            "tensor '" STR_FMT "' has type %s, which MLX quantisation cannot hold exactly here",
            STR_ARG(t->name), gguf_type_name(t->type));
    return err_hint(e, "types that can be imported: F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0; choose "
                       "such a file of the "
                       "model");
}

static bool conv_gguf_tensors_plan_one(struct conv_gguf *g, const struct gguf_tensor *t,
                                       struct err *e) {
    struct str target, kind, part;
    if (!conv_gguf_tensors_name(g, t->name, &target, &kind, &part, e)) return false;
    uint64_t heads = !g->arch->permuted            ? 0
                     : str_eq(part, STR("attn_q")) ? g->heads
                     : str_eq(part, STR("attn_k")) ? g->kv_heads
                                                   : 0;
    uint64_t outer = t->n_dims == 1 ? (uint64_t)t->shape[0] : conv_gguf_tensors_rows(t);
    if (t->n_dims > 2)
        return err_set(e, ERR_UNSUPPORTED,
                       "tensor '" STR_FMT "' has %d dimensions, a dense model has at most 2",
                       STR_ARG(t->name), t->n_dims);
    if (heads && outer != heads * g->head_dim)
        return err_set(e, ERR_FORMAT,
                       "tensor '" STR_FMT "' has %llu rows, expected %llu heads of %llu",
                       STR_ARG(t->name), (unsigned long long)outer, (unsigned long long)heads,
                       (unsigned long long)g->head_dim);
    struct conv_tensor x = { .from = t, .heads = heads, .part = CONV_PLAIN };
    const char *suffix_cstr = str_eq(kind, STR("bias")) ? "bias" : "weight";
    switch (t->type) {
    case GGUF_T_F16: x.dtype = DTYPE_F16; break;
    case GGUF_T_BF16: x.dtype = DTYPE_BF16; break;
    case GGUF_T_F32:
        x.part = conv_gguf_tensors_f16_exact(g, t) ? CONV_F32_AS_F16 : CONV_PLAIN;
        x.dtype = x.part == CONV_PLAIN ? DTYPE_F32 : DTYPE_F16;
        break;
    case GGUF_T_Q4_0:
    case GGUF_T_Q4_1:
    case GGUF_T_Q5_0:
    case GGUF_T_Q5_1:
    case GGUF_T_Q8_0:
        if (t->n_dims == 2 && suffix_cstr[0] == 'w')
            return conv_gguf_tensors_quantised(g, t, target, heads, e);
        return conv_gguf_tensors_refuse_type(t, e);
    default: return conv_gguf_tensors_refuse_type(t, e);
    }
    return conv_gguf_tensors_add(g, x, target, suffix_cstr, e);
}

/* Factor of a wavelength under rope_scaling "llama3" with the constants all such models use. */
static double conv_gguf_tensors_llama3(double wavelength, double factor) {
    const double original = 8192, low = 1, high = 4;
    if (wavelength > original / low) return factor;
    if (wavelength < original / high) return 1;
    double smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
}

/* Llama 3 files carry the frequency factors that rope_scaling "llama3" gives; they are recognised,
 * not copied. */
static bool conv_gguf_tensors_rope(struct conv_gguf *g, const struct gguf_tensor *t,
                                   struct err *e) {
    static const double factors[] = { 8, 32 };
    double theta;
    uint64_t half = g->head_dim / 2;
    if (!conv_gguf_arch_f64(g, "rope.freq_base", 10000, &theta, e)) return false;
    bool plausible = t->type == GGUF_T_F32 && t->n_dims == 1 && (uint64_t)t->shape[0] == half;
    for (size_t k = 0; plausible && k < MLXK_COUNT(factors); k++) {
        bool same = true;
        for (uint64_t j = 0; same && j < half; j++) {
            double wavelength = 2 * M_PI * pow(theta, 2.0 * (double)j / (double)g->head_dim);
            uint32_t bits = num_read_u32(g->file.p + t->begin + j * 4);
            float got;
            memcpy(&got, &bits, 4);
            same = fabs((double)got / conv_gguf_tensors_llama3(wavelength, factors[k]) - 1) < 1e-3;
        }
        if (same) {
            g->rope_factor = factors[k];
            return true;
        }
    }
    err_set(e, ERR_UNSUPPORTED,
            "tensor 'rope_freqs.weight' holds frequency factors that are not those of Llama 3");
    return err_hint(e, "import the model from its safetensors files instead");
}

/* ---- the plan (Public) ----------------------------------------------------------------------- */

static void conv_gguf_tensors_sort(struct conv_tensor *t, size_t n) {
    for (size_t gap = n / 2; gap > 0; gap /= 2) /* shell sort: a few hundred names */
        for (size_t i = gap; i < n; i++) {
            struct conv_tensor x = t[i];
            size_t k = i;
            for (; k >= gap && str_cmp(t[k - gap].name, x.name) > 0; k -= gap) t[k] = t[k - gap];
            t[k] = x;
        }
}

static bool conv_gguf_tensors_header(struct conv_gguf *g, struct err *e) {
    struct safet_tensor *out = ARENA_ARRAY(g->a, struct safet_tensor, g->n_tensors + 1);
    if (!out) return err_oom(e, g->n_tensors * sizeof *out, "the tensor list");
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct conv_tensor *t = &g->tensors[i];
        struct safet_tensor *s = &out[i];
        *s = (struct safet_tensor){ .name = t->name, .dtype = t->dtype, .n_dims = t->from->n_dims };
        for (int d = 0; d < s->n_dims; d++) s->shape[d] = t->from->shape[d];
        if (t->part == CONV_CODES) s->shape[s->n_dims - 1] = s->shape[s->n_dims - 1] * t->bits / 32;
        if (t->part == CONV_SCALES || t->part == CONV_BIASES) s->shape[s->n_dims - 1] /= CONV_BLOCK;
    }
    struct buf header;
    buf_init(&header, SAFET_MAX_HEADER);
    bool ok = safet_write_header(&header, out, g->n_tensors, true, e) &&
              buf_ok(&header, "the safetensors header", e);
    if (ok) g->header = str_dup(g->a, buf_str(&header));
    buf_release(&header);
    return ok && (g->header.p || err_oom(e, header.n, "the safetensors header"));
}

MLXK_FN bool conv_gguf_plan_tensors(struct conv_gguf *g, struct err *e) {
    g->common_bits = 8;
    for (size_t i = 0; i < g->gguf.n_tensors; i++) {
        const struct gguf_tensor *t = &g->gguf.tensors[i];
        bool rope = str_eq(t->name, STR("rope_freqs.weight"));
        if (rope ? !conv_gguf_tensors_rope(g, t, e) : !conv_gguf_tensors_plan_one(g, t, e))
            return false;
    }
    if (g->n_tensors == 0) return err_set(e, ERR_FORMAT, "the GGUF file holds no tensors");
    conv_gguf_tensors_sort(g->tensors, g->n_tensors);
    for (size_t i = 1; i < g->n_tensors; i++)
        if (str_eq(g->tensors[i - 1].name, g->tensors[i].name))
            return err_set(e, ERR_FORMAT, "the GGUF file holds '" STR_FMT "' twice",
                           STR_ARG(g->tensors[i].from->name));
    return conv_gguf_tensors_header(g, e);
}

/* ---- bytes (Public) -------------------------------------------------------------------------- */

/* 32 codes of a 4-bit block: element order 0..15 in low nibbles, 16..31 in high ones -> consecutive
 * pairs. */
static void conv_gguf_tensors_nibbles(uint8_t *out, const uint8_t *q) {
    for (int k = 0; k < 8; k++) {
        out[k] = (uint8_t)((q[2 * k] & 15) | (q[2 * k + 1] & 15) << 4);
        out[k + 8] = (uint8_t)(q[2 * k] >> 4 | (q[2 * k + 1] & 0xf0));
    }
}

/* The same with a fifth bit each, bit i of `high` for element i: eight codes fill five bytes. */
static void conv_gguf_tensors_fives(uint8_t *out, uint32_t high, const uint8_t *q) {
    for (int k = 0; k < CONV_BLOCK; k += 8, out += 5) {
        uint64_t word = 0;
        for (int i = k; i < k + 8; i++) {
            uint64_t code =
                (uint64_t)(i < 16 ? q[i] & 15 : q[i - 16] >> 4) | (uint64_t)(high >> i & 1) << 4;
            word |= code << (5 * (i - k));
        }
        memcpy(out, &word, 5);
    }
}

static size_t conv_gguf_tensors_codes(const struct conv_gguf_form *form, const uint8_t *block,
                                      uint8_t *out) {
    const uint8_t *q = block + form->codes;
    switch (form->bits) {
    case 4: conv_gguf_tensors_nibbles(out, q); return 16;
    case 5: conv_gguf_tensors_fives(out, num_read_u32(block + form->high), q); return 20;
    default: break;
    }
    for (int i = 0; i < CONV_BLOCK; i++) out[i] = q[i] ^ 0x80; /* q + 128 */
    return CONV_BLOCK;
}

static size_t conv_gguf_tensors_block(const struct conv_tensor *t, const uint8_t *block,
                                      uint8_t *out) {
    const struct conv_gguf_form *form = conv_gguf_tensors_form(t->from->type);
    uint16_t half;
    switch (t->part) {
    case CONV_CODES: return conv_gguf_tensors_codes(form, block, out);
    case CONV_SCALES: memcpy(out, block, 2); return 2;
    case CONV_BIASES:
        half = form->factor < 0
                   ? num_f32_to_f16(num_f16_to_f32(num_read_u16(block)) * form->factor)
                   : num_read_u16(block + 2);
        memcpy(out, &half, 2);
        return 2;
    case CONV_PLAIN:
    case CONV_F32_AS_F16: break;
    }
    MLXK_BUG("not a quantised part");
}

/* One row of the result, at most CONV_CHUNK bytes at a time through the sink. */
static bool conv_gguf_tensors_row(const struct conv_tensor *t, const uint8_t *row, size_t row_bytes,
                                  uint8_t *scratch, const struct conv_sink *sink, struct err *e) {
    size_t items, block_bytes, n = 0;
    if (t->part == CONV_PLAIN) return sink->write(sink->ctx, row, row_bytes, e);
    gguf_type_block(t->from->type, &items, &block_bytes);
    for (size_t at = 0; at < row_bytes; at += block_bytes) {
        if (n + 64 > CONV_CHUNK) {
            if (!sink->write(sink->ctx, scratch, n, e)) return false;
            n = 0;
        }
        if (t->part != CONV_F32_AS_F16) {
            n += conv_gguf_tensors_block(t, row + at, scratch + n);
            continue;
        }
        uint32_t bits = num_read_u32(row + at);
        float x;
        memcpy(&x, &bits, 4);
        uint16_t half = num_f32_to_f16(x);
        memcpy(scratch + n, &half, 2);
        n += 2;
    }
    return sink->write(sink->ctx, scratch, n, e);
}

static bool conv_gguf_tensors_emit_one(const struct conv_gguf *g, const struct conv_tensor *t,
                                       uint8_t *scratch, const struct conv_sink *sink,
                                       struct err *e) {
    bool vector = t->from->n_dims == 1;
    uint64_t rows =
        vector ? (t->heads ? (uint64_t)t->from->shape[0] : 1) : conv_gguf_tensors_rows(t->from);
    size_t row_bytes = rows ? (t->from->end - t->from->begin) / rows : 0;
    uint64_t head = t->heads ? rows / t->heads : 0;
    const uint8_t *data = (const uint8_t *)g->file.p + t->from->begin;
    for (uint64_t r = 0; r < rows; r++) {
        uint64_t from = r;
        if (head) { /* half-split row (s, j) of a head was interleaved row (j, s) */
            uint64_t in_head = r % head, s = in_head / (head / 2), j = in_head % (head / 2);
            from = r - in_head + 2 * j + s;
        }
        if (!conv_gguf_tensors_row(t, data + from * row_bytes, row_bytes, scratch, sink, e))
            return false;
    }
    return true;
}

MLXK_FN bool conv_gguf_emit_tensors(const struct conv_file *f, const struct conv_sink *sink,
                                    struct err *e) {
    const struct conv_gguf *g = f->source;
    uint8_t *scratch = mem_alloc(CONV_CHUNK);
    if (!scratch) return err_oom(e, CONV_CHUNK, "the conversion");
    bool ok = sink->write(sink->ctx, g->header.p, g->header.n, e);
    for (size_t i = 0; ok && i < g->n_tensors; i++)
        ok = conv_gguf_tensors_emit_one(g, &g->tensors[i], scratch, sink, e);
    mem_free(scratch);
    return ok;
}
