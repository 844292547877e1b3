/* fuzz_conv_plan.c: a mode, a recipe, a config.json and a safetensors header -> the plan of a conversion.
 *
 * Input: a digit (mode), recipe lines up to the first empty line, config.json up to the next empty line, the header's JSON. The
 * file is taken to be as long as the header says. Of a plan that is made every place read and written is inside its file.
 *
 * covers: convert/conv_plan.c convert/conv_recipe.c
 */
#include "convert/conv_job.h"

int fuzz_conv_plan(const uint8_t *data, size_t size);

static struct str fuzz_conv_plan_part(struct str *rest) {
    ptrdiff_t end = str_find(*rest, STR("\n\n"));
    struct str part = str_sub(*rest, 0, end < 0 ? rest->n : (size_t)end);
    *rest = end < 0 ? STR_EMPTY : str_sub(*rest, (size_t)end + 2, rest->n);
    return part;
}

/* The largest second number of a "data_offsets" pair. */
static uint64_t fuzz_conv_plan_bytes(struct str header) {
    uint64_t most = 0;
    for (ptrdiff_t at; (at = str_find(header, STR("data_offsets"))) >= 0;) {
        header = str_sub(header, (size_t)at + 12, header.n);
        struct str pair = str_sub(header, 0, 64);
        (void)str_cut(&pair, ',');
        uint64_t end = 0;
        for (size_t i = 0; i < pair.n && pair.p[i] != ']' && end < UINT32_MAX; i++)
            if (pair.p[i] >= '0' && pair.p[i] <= '9') end = end * 10 + (uint64_t)(pair.p[i] - '0');
        most = end > most ? end : most;
    }
    return most;
}

static bool fuzz_conv_plan_source(struct arena *a, struct str header, struct conv_source *s, struct err *e) {
    struct buf file;
    uint64_t n = header.n;
    buf_init(&file, SAFET_MAX_HEADER);
    buf_add_bytes(&file, &n, 8);
    buf_add(&file, header);
    s->shards = ARENA_NEW(a, struct conv_in_shard);
    s->shards->size_bytes = 8 + n + fuzz_conv_plan_bytes(header);
    bool ok = !file.failed && safet_parse(a, buf_str(&file), s->shards->size_bytes, &s->shards->safet, e);
    buf_release(&file);
    map_init(&s->index, SAFET_MAX_TENSORS);
    if (!ok || !s->shards->safet.n) return false;
    s->n_shards = 1;
    s->n_tensors = s->shards->safet.n;
    s->tensors = ARENA_ARRAY(a, struct conv_in, s->n_tensors);
    for (size_t i = 0; i < s->n_tensors; i++) {
        const struct safet_tensor *t = &s->shards->safet.tensors[i];
        s->tensors[i] = (struct conv_in){ t->name, t, 0 };
        *map_put(&s->index, t->name, NULL) = i;
        s->quantised = s->quantised || str_ends(t->name, STR(".scales"));
    }
    const struct json *format = json_get(s->shards->safet.metadata, "format");
    s->is_mlx = json_is(format, JSON_STRING) && str_eq(format->string, STR("mlx"));
    return true;
}

static void fuzz_conv_plan_check(const struct conv_source *s, const struct conv_tensors *t) {
    for (size_t k = 0; k < t->n_shards; k++)
        for (size_t i = t->shards[k].first; i < t->shards[k].first + t->shards[k].n; i++) {
            const struct conv_item *item = &t->items[i];
            uint64_t each = item->in_bytes / item->n_pieces, out = 0;
            for (size_t j = 0; j < item->n_pieces; j++)
                MLXK_ASSERT(item->pieces[j].begin + each <= s->shards->size_bytes);
            for (int j = 0; j < item->n_out; j++) MLXK_ASSERT(item->at[j] >= t->shards[k].header.n);
            out = item->out_bytes;
            MLXK_ASSERT(item->at[0] + out <= t->shards[k].size_bytes && conv_slice_size(item) > 0);
        }
}

int fuzz_conv_plan(const uint8_t *data, size_t size) {
    static const struct model_quant base[] = { { K_AFFINE, 4, 32 }, { K_AFFINE, 3, 64 }, { K_MXFP4, 4, 32 }, { K_NVFP4, 4, 16 } };
    struct arena a;
    struct err e = { 0 };
    struct conv_source s = { .dir_cstr = "x" };
    struct conv_tensors t;
    struct str rest = { (const char *)data, size };
    unsigned mode = size ? (unsigned)(data[0] - '0') : 0;
    arena_init(&a, 64 << 20);
    struct conv_options o = { .mode = CONV_QUANTIZE + mode % 3, .source_cstr = "x", .target_cstr = "y", .q = base[mode / 3 % 4],
                              .dtype = mode % 2 ? DTYPE_COUNT : DTYPE_F16, .shard_bytes = 4096 };
    struct conv_rule rules[CONV_MAX_RULES];
    o.recipe.rules = rules;
    rest = str_sub(rest, 1, size);
    struct str recipe = fuzz_conv_plan_part(&rest), config = fuzz_conv_plan_part(&rest);
    bool ok = conv_recipe_add_lines(&o.recipe, recipe, &o.q, &e);
    MLXK_ASSERT(ok == (e.code == ERR_OK));
    s.a = &a;
    s.config = ok ? json_parse(&a, config, &e) : NULL;
    if (json_is(s.config, JSON_OBJECT) && fuzz_conv_plan_source(&a, rest, &s, &e)) {
        struct buf text;
        buf_init(&text, LIMIT_JSON_FILE);
        ok = conv_plan_tensors(&a, &s, &o, &t, &e);
        MLXK_ASSERT(ok == (e.code == ERR_OK));
        if (ok) fuzz_conv_plan_check(&s, &t);
        if (ok) (void)conv_plan_config(&s, &o, &t, &text, &e);
        if (ok) conv_plan_release(&t);
        buf_release(&text);
    }
    map_release(&s.index);
    arena_release(&a);
    return 0;
}
