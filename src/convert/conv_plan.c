/* conv_plan.c: every tensor of the target: where its bytes come from, what is done to them, in
 * which file they go.
 *
 * 1. Items are sorted by name and depend on names, shapes and options alone: the same model gives
 *    the same files however the source is sharded.
 * 2. The parts of a quantised module (weight, scales, biases) stay in one file. A file ends before
 *    it would exceed CONV_SHARD_BYTES of data, as the reference converter's do.
 * 3. Everything that would make the conversion fail is found here, before a byte is written.
 * ref: engine facts 1.1-1.3.
 */
#include "convert/conv_job.h"

#include <stdio.h>

#define CONV_PLAN_WEIGHT ".weight"

static bool conv_plan_is_float(enum dtype t) {
    return t == DTYPE_F32 || t == DTYPE_F16 || t == DTYPE_BF16;
}

static bool conv_plan_same_quant(const struct model_quant *x, const struct model_quant *y) {
    return x->format == y->format && x->bits == y->bits && x->group == y->group;
}

static struct str conv_plan_path(struct str name) {
    return str_sub(name, 0, name.n - (sizeof CONV_PLAN_WEIGHT - 1));
}

static enum dtype conv_plan_named(const struct json *v) {
    static const struct {
        const char *name_cstr;
        enum dtype dtype;
    } names[] = {
        { "float16", DTYPE_F16 },
        { "bfloat16", DTYPE_BF16 },
        { "float32", DTYPE_F32 },
    };
    for (size_t i = 0; json_is(v, JSON_STRING) && i < MLXK_COUNT(names); i++)
        if (str_eq_cstr(v->string, names[i].name_cstr)) return names[i].dtype;
    return DTYPE_COUNT;
}

/* The reference converter looks at these two keys, in this order. */
MLXK_FN enum dtype conv_plan_dtype(const struct conv_source *s, const struct conv_options *o) {
    if (o->dtype != DTYPE_COUNT) return o->dtype;
    if (o->mode == CONV_TO_MLX && s->is_mlx) return DTYPE_COUNT;
    const struct json *stated = json_get(s->config, "torch_dtype");
    if (!stated || json_is(stated, JSON_NULL))
        stated = json_get(json_get(s->config, "text_config"), "dtype");
    return conv_plan_named(stated);
}

/* ---- what a tensor becomes (Private) -------------------------------------------------------- */

struct conv_planner {
    struct arena *a;
    const struct conv_source *s;
    const struct conv_options *o;
    struct conv_layout layout;
    struct model_quant_rules rules;
    struct conv_tensors *t;
    struct map where; /* name in the target -> item */
    enum dtype dtype; /* of floats, or DTYPE_COUNT */
    int64_t n_layers;
    uint64_t shard_bytes;
    size_t *used; /* modules that each rule of the recipe decided */
};

/* The reference converter's mixed recipes: more bits for some layers' v_proj and down_proj, and for
 * lm_head. */
static void conv_plan_mixed(const struct conv_planner *p, struct str path, struct model_quant *q) {
    int64_t low = 4, high = 6, layer = 0;
    struct str recipe = p->o->recipe.mixed;
    low = recipe.p[6] - '0';
    high = recipe.p[8] - '0';
    for (struct str rest = path; rest.p;)
        if (num_parse_i64(str_cut(&rest, '.'), 0, MODEL_MAX_LAYERS, &layer)) break;
    int64_t edge = p->n_layers / 8;
    bool more = layer < edge || layer >= 7 * p->n_layers / 8 || (layer - edge) % 3 == 2;
    bool picked = str_find(path, STR("v_proj")) >= 0 || str_find(path, STR("v_a_proj")) >= 0 ||
                  str_find(path, STR("v_b_proj")) >= 0 || str_find(path, STR("down_proj")) >= 0;
    q->format = K_AFFINE;
    q->bits = (int)((picked && more) || str_find(path, STR("lm_head")) >= 0 ? high : low);
    q->group = p->o->q.format == K_AFFINE ? p->o->q.group : 64;
}

/* Parameters of a module that can be quantised: format K_F32 = it stays as it is. */
static struct model_quant conv_plan_quant(const struct conv_planner *p, struct str path,
                                          const struct model_quant *own) {
    const struct conv_recipe *r = &p->o->recipe;
    struct model_quant q = p->o->q;
    for (size_t i = 0; i < r->n; i++)
        if (str_glob(r->rules[i].pattern, path)) {
            p->used[i]++;
            return r->rules[i].q;
        }
    if (r->mixed.n) conv_plan_mixed(p, path, &q);
    else if (own->format != K_F32) q = *own;
    return q;
}

static void conv_plan_plain(const struct conv_planner *p, struct conv_item *item) {
    bool exempt = str_find(item->name, STR("expert_bias")) >= 0 ||
                  str_find(item->name, STR("e_score_correction_bias")) >= 0 ||
                  str_ends(item->name, STR("A_log"));
    item->op = CONV_OP_COPY;
    item->to = item->from;
    item->n_out = 1;
    if (p->dtype == DTYPE_COUNT || !conv_plan_is_float(item->from) || exempt ||
        p->dtype == item->from)
        return;
    item->op = CONV_OP_CAST;
    item->to = p->dtype;
}

static bool conv_plan_quantise(const struct conv_planner *p, struct conv_item *item,
                               struct err *e) {
    struct model_quant own, q;
    conv_plan_plain(p, item);
    if (!str_ends(item->name, STR(CONV_PLAN_WEIGHT))) return true;
    struct str path = conv_plan_path(item->name);
    if (!conv_layout_quantisable(&p->layout, path, item->n_dims, &own)) return true;
    if (!conv_plan_is_float(item->from)) {
        err_set(e, ERR_UNSUPPORTED,
                "tensor \"" STR_FMT
                "\" has element type %s; only F32, F16 and BF16 can be quantised",
                STR_ARG(str_sub(item->name, 0, 200)), dtype_name(item->from));
        return err_hint(e, "start from a checkpoint in one of these types");
    }
    int64_t cols = item->shape[item->n_dims - 1];
    q = conv_plan_quant(p, path, &own);
    if (q.format == K_F32 || cols == 0 || cols % q.group ||
        (p->o->recipe.n == 0 && cols % p->o->q.group))
        return true;
    item->op = CONV_OP_QUANTIZE;
    item->q = q;
    item->n_out = q.format == K_AFFINE ? 3 : 2;
    p->t->n_quantised++;
    return true;
}

/* ---- dequantising (Private) ----------------------------------------------------------------- */

static struct str conv_plan_part(const struct conv_planner *p, struct str path,
                                 const char *suffix_cstr) {
    return str_format(p->a, STR_FMT "%s", STR_ARG(path), suffix_cstr);
}

static bool conv_plan_bad_module(const struct conv_item *item, const char *why_cstr,
                                 struct err *e) {
    err_set(e, ERR_FORMAT, "module \"" STR_FMT "\" cannot be dequantised: %s",
            STR_ARG(str_sub(conv_plan_path(item->name), 0, 200)), why_cstr);
    return err_hint(e, "the tensors and config.json's \"quantization\" do not fit together");
}

/* Scales or biases of a module: same leading dimensions, a column per group. */
static const struct conv_in *conv_plan_scales(const struct conv_planner *p,
                                              const struct conv_item *item,
                                              const char *suffix_cstr) {
    struct str name = conv_plan_part(p, conv_plan_path(item->name), suffix_cstr);
    const struct conv_in *x = name.p ? conv_source_find(p->s, name) : NULL;
    if (!x || x->t->n_dims != item->n_dims ||
        x->t->shape[item->n_dims - 1] * item->q.group != item->shape[item->n_dims - 1])
        return NULL;
    for (int d = 0; d + 1 < item->n_dims; d++)
        if (x->t->shape[d] != item->shape[d]) return NULL;
    return x;
}

static bool conv_plan_dequantise(const struct conv_planner *p, struct conv_item *item,
                                 struct err *e) {
    struct str path = conv_plan_path(item->name), scales_name = conv_plan_part(p, path, ".scales");
    char *path_cstr = str_dup_cstr(p->a, path);
    if (!path_cstr || !scales_name.p) return err_oom(e, path.n, "a tensor name");
    if (!model_quant_of(&p->rules, path_cstr, conv_source_find(p->s, scales_name) != NULL, &item->q,
                        e))
        return false;
    if (item->q.format == K_F32) {
        conv_plan_plain(p, item);
        return true;
    }
    if (item->from != DTYPE_U32 || item->n_dims < 2)
        return conv_plan_bad_module(item, "its codes are no matrix of U32", e);
    item->shape[item->n_dims - 1] = item->shape[item->n_dims - 1] * 32 / item->q.bits;
    const struct conv_in *scales = conv_plan_scales(p, item, ".scales");
    if (!scales)
        return conv_plan_bad_module(item, "its scales have another shape than its codes ask for",
                                    e);
    item->scales = (struct conv_piece){ scales->shard, scales->t->begin };
    item->scales_from = scales->t->dtype;
    if (item->q.format == K_AFFINE) {
        const struct conv_in *biases = conv_plan_scales(p, item, ".biases");
        if (!biases || !conv_plan_is_float(scales->t->dtype) ||
            biases->t->dtype != scales->t->dtype)
            return conv_plan_bad_module(item, "its biases are missing or do not fit its scales", e);
        item->biases = (struct conv_piece){ biases->shard, biases->t->begin };
    } else if (scales->t->dtype != DTYPE_U8) {
        return conv_plan_bad_module(item, "its scales are no bytes", e);
    }
    item->op = CONV_OP_DEQUANTIZE;
    item->n_out = 1;
    item->to = item->q.format != K_AFFINE && p->o->dtype == DTYPE_COUNT ? DTYPE_BF16
               : p->dtype != DTYPE_COUNT                                ? p->dtype
                                                                        : item->scales_from;
    if (item->to == DTYPE_COUNT || !conv_plan_is_float(item->to)) item->to = DTYPE_BF16;
    p->t->n_quantised++;
    return true;
}

/* "<path>.scales" or "<path>.biases" of a quantised module: made from, not kept. */
static bool conv_plan_is_consumed(const struct conv_planner *p, struct str name) {
    bool scales = str_ends(name, STR(".scales")), biases = str_ends(name, STR(".biases"));
    if (p->o->mode != CONV_DEQUANTIZE || (!scales && !biases)) return false;
    struct str weight = conv_plan_part(p, str_sub(name, 0, name.n - 7), CONV_PLAN_WEIGHT);
    const struct conv_in *w = weight.p ? conv_source_find(p->s, weight) : NULL;
    return w && w->t->dtype == DTYPE_U32;
}

/* ---- items (Private) ------------------------------------------------------------------------ */

static bool conv_plan_item(struct conv_planner *p, const struct conv_in *x,
                           const struct conv_place *place, struct err *e) {
    bool is_new;
    uint64_t *slot = map_put(&p->where, place->name, &is_new);
    if (!slot) return err_oom(e, place->name.n, "the plan of the tensors");
    if (is_new) {
        struct conv_item *item = &p->t->items[p->t->n];
        *item = (struct conv_item){ .name = place->name,
                                    .from = x->t->dtype,
                                    .n_dims = x->t->n_dims,
                                    .n_pieces = 1,
                                    .stack = place->piece != SIZE_MAX };
        memcpy(item->shape, x->t->shape, sizeof item->shape);
        *slot = p->t->n++;
    } else if (place->piece == SIZE_MAX) {
        return err_set(e, ERR_FORMAT, "two tensors of the source become \"" STR_FMT "\"",
                       STR_ARG(str_sub(place->name, 0, 200)));
    }
    struct conv_item *item = &p->t->items[*slot];
    if (place->piece != SIZE_MAX && place->piece + 1 > item->n_pieces)
        item->n_pieces = place->piece + 1;
    return true;
}

/* Second pass: the pieces' places; a stack must be whole and of one shape. */
static bool conv_plan_piece(struct conv_planner *p, const struct conv_in *x,
                            const struct conv_place *place, struct err *e) {
    struct conv_item *item = &p->t->items[*map_get(&p->where, place->name)];
    if (!item->pieces) {
        item->pieces = ARENA_ARRAY(p->a, struct conv_piece, item->n_pieces);
        if (!item->pieces)
            return err_oom(e, item->n_pieces * sizeof *item->pieces, "the plan of the tensors");
    }
    bool same = x->t->n_dims == item->n_dims && x->t->dtype == item->from;
    for (int d = 0; same && d < item->n_dims; d++) same = x->t->shape[d] == item->shape[d];
    if (!same)
        return err_set(e, ERR_FORMAT,
                       "tensor \"" STR_FMT
                       "\" differs in shape or type from the other experts of its layer",
                       STR_ARG(str_sub(x->name, 0, 200)));
    item->pieces[place->piece == SIZE_MAX ? 0 : place->piece] =
        (struct conv_piece){ x->shard, x->t->begin };
    return true;
}

static bool conv_plan_collect(struct conv_planner *p, bool second, struct err *e) {
    for (size_t i = 0; i < p->s->n_tensors; i++) {
        const struct conv_in *x = &p->s->tensors[i];
        struct conv_place place;
        if (!conv_layout_place(&p->layout, p->a, x->name, &place, e)) return false;
        if (place.drop || conv_plan_is_consumed(p, x->name)) {
            p->t->n_dropped += !second && place.drop;
            p->t->senses_dropped = p->t->senses_dropped || place.sense;
            continue;
        }
        if (second ? !conv_plan_piece(p, x, &place, e) : !conv_plan_item(p, x, &place, e))
            return false;
    }
    return true;
}

/* Pieces become a leading dimension; the operation, the number of elements and of bytes follow. */
static bool conv_plan_finish(struct conv_planner *p, struct conv_item *item, struct err *e) {
    if (item->stack) {
        if (item->n_dims + 1 > SAFET_MAX_DIMS)
            return err_set(e, ERR_LIMIT, "an expert has too many dimensions");
        memmove(item->shape + 1, item->shape, (size_t)item->n_dims * sizeof *item->shape);
        item->shape[0] = (int64_t)item->n_pieces;
        item->n_dims++;
    }
    for (size_t i = 0; i < item->n_pieces; i++)
        if (item->pieces[i].begin == 0) /* no data lies at byte 0 of a file */
            return err_set(e, ERR_FORMAT, "expert %zu of \"" STR_FMT "\" is missing", i,
                           STR_ARG(str_sub(item->name, 0, 200)));
    bool ok = true;
    if (p->o->mode == CONV_QUANTIZE) ok = conv_plan_quantise(p, item, e);
    else if (p->o->mode == CONV_DEQUANTIZE && str_ends(item->name, STR(CONV_PLAN_WEIGHT)))
        ok = conv_plan_dequantise(p, item, e);
    else conv_plan_plain(p, item);
    if (!ok) return false;
    item->n_elements = 1;
    for (int d = 0; d < item->n_dims; d++) item->n_elements *= (uint64_t)item->shape[d];
    uint64_t n = item->n_elements, from = dtype_size(item->from), to = dtype_size(item->to);
    item->in_bytes = n * from;
    item->out_bytes = n * to;
    if (item->op == CONV_OP_QUANTIZE) {
        uint64_t groups = n / (uint64_t)item->q.group;
        item->out_bytes =
            n * (uint64_t)item->q.bits / 8 + groups * (item->q.format == K_AFFINE ? 2 * to : 1);
        item->to = item->to == DTYPE_COUNT ? item->from : item->to;
    }
    if (item->op == CONV_OP_DEQUANTIZE) item->in_bytes = n * (uint64_t)item->q.bits / 8;
    p->t->in_bytes += item->in_bytes;
    p->t->data_bytes += item->out_bytes;
    p->t->n_params += n;
    return true;
}

static void conv_plan_sort(struct conv_item *t, size_t n) {
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            struct conv_item x = t[i];
            size_t k = i;
            for (; k >= gap && str_cmp(t[k - gap].name, x.name) > 0; k -= gap) t[k] = t[k - gap];
            t[k] = x;
        }
}

/* ---- files (Private) ------------------------------------------------------------------------ */

static bool conv_plan_part_names(const struct conv_planner *p, const struct conv_item *item,
                                 struct str out[3], struct err *e) {
    struct str path = item->n_out > 1 ? conv_plan_path(item->name) : STR_EMPTY;
    out[0] = item->name;
    if (item->n_out > 1) out[1] = conv_plan_part(p, path, ".scales");
    if (item->n_out > 2) out[2] = conv_plan_part(p, path, ".biases");
    for (int k = 0; k < item->n_out; k++)
        if (!out[k].p) return err_oom(e, path.n, "a tensor name");
    return true;
}

/* The tensors that an item is written as. */
static void conv_plan_parts(const struct conv_item *item, const struct str names[3],
                            struct safet_tensor *out) {
    for (int k = 0; k < item->n_out; k++) {
        struct safet_tensor *s = &out[k];
        *s = (struct safet_tensor){ .name = names[k], .dtype = item->to, .n_dims = item->n_dims };
        memcpy(s->shape, item->shape, sizeof s->shape);
        if (item->op != CONV_OP_QUANTIZE) continue;
        int64_t *last = &s->shape[s->n_dims - 1];
        *last = k == 0 ? *last * item->q.bits / 32 : *last / item->q.group;
        if (k == 0) s->dtype = DTYPE_U32;
        else if (item->q.format != K_AFFINE) s->dtype = DTYPE_U8;
    }
}

static bool conv_plan_shard(struct conv_planner *p, struct conv_shard *shard, struct err *e) {
    struct safet_tensor *tensors = ARENA_ARRAY(p->a, struct safet_tensor, shard->n * 3);
    struct buf header;
    size_t n = 0;
    if (!tensors) return err_oom(e, shard->n * 3 * sizeof *tensors, "the plan of a file");
    for (size_t i = 0; i < shard->n; i++) {
        const struct conv_item *item = &p->t->items[shard->first + i];
        struct str names[3];
        if (!conv_plan_part_names(p, item, names, e)) return false;
        conv_plan_parts(item, names, &tensors[n]);
        for (int k = 0; k < item->n_out; k++) {
            json_write_key_str(&p->t->index_writer, names[k]);
            json_write_cstr(&p->t->index_writer, shard->name);
        }
        n += (size_t)item->n_out;
    }
    buf_init(&header, SAFET_MAX_HEADER);
    bool ok = safet_write_header(&header, tensors, n, true, e);
    shard->header = ok ? str_dup(p->a, buf_str(&header)) : STR_EMPTY;
    buf_release(&header);
    if (!ok || !shard->header.p) return ok ? err_oom(e, header.n, "a safetensors header") : false;
    shard->size_bytes = n ? tensors[n - 1].end : shard->header.n;
    n = 0;
    for (size_t i = 0; i < shard->n; i++) {
        struct conv_item *item = &p->t->items[shard->first + i];
        for (int k = 0; k < item->n_out; k++) item->at[k] = tensors[n++].begin;
        shard->in_bytes += item->in_bytes;
    }
    p->t->out_bytes += shard->size_bytes;
    return true;
}

static bool conv_plan_split(struct conv_planner *p, struct err *e) {
    struct conv_tensors *t = p->t;
    uint64_t held = 0;
    t->shards = ARENA_ARRAY(p->a, struct conv_shard, t->n);
    if (!t->shards) return err_oom(e, t->n * sizeof *t->shards, "the plan of the files");
    for (size_t i = 0; i < t->n; i++) {
        if (i == 0 || (held > 0 && held + t->items[i].out_bytes > p->shard_bytes)) {
            t->shards[t->n_shards++] = (struct conv_shard){ .first = i };
            held = 0;
        }
        t->shards[t->n_shards - 1].n++;
        held += t->items[i].out_bytes;
    }
    struct json_writer *w = &t->index_writer;
    json_write_init(w, &t->index, true, true);
    json_write_object(w);
    json_write_key(w, "metadata");
    json_write_object(w);
    json_write_key(w, "total_size");
    json_write_u64(w, t->data_bytes);
    json_write_key(w, "total_parameters");
    json_write_u64(w, t->n_params);
    json_write_object_end(w);
    json_write_key(w, "weight_map");
    json_write_object(w);
    for (size_t i = 0; i < t->n_shards; i++) {
        struct conv_shard *shard = &t->shards[i];
        if (t->n_shards == 1) snprintf(shard->name, sizeof shard->name, "model.safetensors");
        else
            snprintf(shard->name, sizeof shard->name, "model-%05zu-of-%05zu.safetensors", i + 1,
                     t->n_shards);
        if (!conv_plan_shard(p, shard, e)) return false;
    }
    json_write_object_end(w);
    json_write_object_end(w);
    buf_add_char(&t->index, '\n');
    return buf_ok(&t->index, "the index of the files", e);
}

/* ---- the plan (Public) ---------------------------------------------------------------------- */

/* Sources that the mode cannot take. */
static bool conv_plan_accepts(struct conv_planner *p, struct err *e) {
    if (!model_quant_read(p->s->config, &p->rules, e)) return false;
    if (p->o->mode == CONV_QUANTIZE && (p->rules.present || p->s->quantised)) {
        if (p->rules.present)
            err_set(e, ERR_UNSUPPORTED,
                    "the source is already quantised (%s, %d bits in groups of %d)",
                    conv_quant_mode_name(p->rules.base.format), p->rules.base.bits,
                    p->rules.base.group);
        else err_set(e, ERR_UNSUPPORTED, "the source is already quantised");
        return err_hint(e, "make it whole first: mlxk convert %s DST --dequantize",
                        p->o->source_cstr);
    }
    if (p->o->mode == CONV_DEQUANTIZE && !p->rules.present) {
        err_set(e, ERR_INVALID, "the source is not quantised");
        return err_hint(
            e, "to change element types use --to mlx --dtype; to quantise it, --quantize BITS");
    }
    return true;
}

static bool conv_plan_rules_used(const struct conv_planner *p, struct err *e) {
    for (size_t i = 0; i < p->o->recipe.n; i++) {
        if (p->used[i]) continue;
        err_set(e, ERR_INVALID,
                "recipe pattern \"" STR_FMT "\" decides about no module of the model",
                STR_ARG(str_sub(p->o->recipe.rules[i].pattern, 0, 200)));
        for (size_t k = 0; k < p->t->n; k++)
            if (p->t->items[k].op == CONV_OP_QUANTIZE)
                return err_hint(e,
                                "the first pattern that fits wins; a path of this model: " STR_FMT,
                                STR_ARG(str_sub(conv_plan_path(p->t->items[k].name), 0, 200)));
        return false;
    }
    return true;
}

static bool conv_plan_all(struct conv_planner *p, struct err *e) {
    struct conv_tensors *t = p->t;
    t->items = ARENA_ARRAY(p->a, struct conv_item, p->s->n_tensors);
    p->used = ARENA_ARRAY(p->a, size_t, p->o->recipe.n + 1);
    if (!t->items || !p->used)
        return err_oom(e, p->s->n_tensors * sizeof *t->items, "the plan of the tensors");
    if (!conv_plan_accepts(p, e) || !conv_plan_collect(p, false, e) ||
        !conv_plan_collect(p, true, e))
        return false;
    for (size_t i = 0; i < t->n; i++)
        if (!conv_plan_finish(p, &t->items[i], e)) return false;
    if (t->n == 0)
        return err_set(e, ERR_FORMAT, "nothing of the source belongs to the language model");
    if (p->o->mode == CONV_QUANTIZE && t->n_quantised == 0) {
        err_set(e, ERR_UNSUPPORTED, "no tensor of the source can be quantised in groups of %d",
                p->o->q.group);
        return err_hint(e,
                        "choose a group that divides the columns of its matrices (--q-group-size)");
    }
    conv_plan_sort(t->items, t->n);
    return conv_plan_rules_used(p, e) && conv_plan_split(p, e);
}

MLXK_FN bool conv_plan_tensors(struct arena *a, const struct conv_source *s,
                               const struct conv_options *o, struct conv_tensors *out,
                               struct err *e) {
    struct conv_planner p = { .a = a,
                              .s = s,
                              .o = o,
                              .t = out,
                              .dtype = conv_plan_dtype(s, o),
                              .shard_bytes = CONV_SHARD_BYTES };
    *out = (struct conv_tensors){ 0 };
    const struct json *text = json_get(s->config, "text_config");
    struct err ignored = { 0 };
    if (!json_read_i64(text ? text : s->config, "num_hidden_layers", 0, MODEL_MAX_LAYERS,
                       &p.n_layers, &ignored))
        p.n_layers = 0;
    if (o->shard_bytes) p.shard_bytes = o->shard_bytes;
    conv_layout_init(&p.layout, s);
    map_init(&p.where, SAFET_MAX_TENSORS);
    buf_init(&out->index, LIMIT_JSON_FILE);
    bool ok = conv_plan_all(&p, e);
    map_release(&p.where);
    if (!ok) conv_plan_release(out);
    return ok;
}

MLXK_FN void conv_plan_release(struct conv_tensors *t) { buf_release(&t->index); }

/* ---- config.json (Public) ------------------------------------------------------------------- */

static void conv_plan_config_quant(struct json_writer *w, const struct model_quant *q) {
    json_write_key(w, "group_size");
    json_write_i64(w, q->group);
    json_write_key(w, "bits");
    json_write_i64(w, q->bits);
    json_write_key(w, "mode");
    json_write_cstr(w, conv_quant_mode_name(q->format));
}

static void conv_plan_config_section(struct json_writer *w, const char *key_cstr,
                                     const struct conv_options *o, const struct conv_tensors *t) {
    json_write_key(w, key_cstr);
    json_write_object(w);
    conv_plan_config_quant(w, &o->q);
    for (size_t i = 0; i < t->n; i++) {
        const struct conv_item *item = &t->items[i];
        if (item->op != CONV_OP_QUANTIZE || conv_plan_same_quant(&item->q, &o->q)) continue;
        json_write_key_str(w, conv_plan_path(item->name));
        json_write_object(w);
        conv_plan_config_quant(w, &item->q);
        json_write_object_end(w);
    }
    json_write_object_end(w);
}

MLXK_FN bool conv_plan_config(const struct conv_source *s, const struct conv_options *o,
                              const struct conv_tensors *t, struct buf *out, struct err *e) {
    static const char *const dtypes[] = {
        [DTYPE_F16] = "float16", [DTYPE_BF16] = "bfloat16", [DTYPE_F32] = "float32"
    };
    bool keeps_quant = o->mode == CONV_TO_MLX, dtype_told = o->dtype == DTYPE_COUNT;
    struct json_writer w;
    json_write_init(&w, out, true, true);
    json_write_object(&w);
    for (const struct json *v = s->config->child; v; v = v->next) {
        bool quant =
            str_eq(v->key, STR("quantization")) || str_eq(v->key, STR("quantization_config"));
        bool sense = str_eq(v->key, STR("vision_config")) || str_eq(v->key, STR("audio_config"));
        bool dtype = str_eq(v->key, STR("torch_dtype")) || str_eq(v->key, STR("dtype"));
        if ((quant && !keeps_quant) || str_eq(v->key, STR("_name_or_path")) ||
            (sense && t->senses_dropped))
            continue;
        json_write_key_str(&w, v->key);
        if (dtype && o->dtype != DTYPE_COUNT) {
            json_write_cstr(&w, dtypes[o->dtype]);
            dtype_told = true;
        } else {
            json_write_value(&w, v);
        }
    }
    if (!dtype_told) {
        json_write_key(&w, "torch_dtype");
        json_write_cstr(&w, dtypes[o->dtype]);
    }
    if (o->mode == CONV_QUANTIZE) {
        conv_plan_config_section(&w, "quantization", o, t);
        conv_plan_config_section(&w, "quantization_config", o, t);
    }
    json_write_object_end(&w);
    buf_add_char(out, '\n');
    return buf_ok(out, "config.json", e);
}

#undef CONV_PLAN_WEIGHT
