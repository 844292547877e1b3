/* fuzz_model_config.c: any config.json against the model room.
 *
 * The folder does not exist, so a config that is accepted ends at "no shards": everything that reads the config
 * runs (shape, flags, rope types, quantisation, the families' own keys), and nothing may be accepted. The rules of
 * quantisation are asked about every module they name; the same text is read as generation_config.json.
 *
 * covers: model/model_config.c model/model_quant.c model/model_rope.c
 */
#include "model/model_int.h"

int fuzz_model_config(const uint8_t *data, size_t size);

enum { FUZZ_MODEL_CONFIG_MEMORY = 64 << 20 };

/* Every module that the rules name, with and without scales: what comes out is a format that exists. */
static void fuzz_model_config_rules(struct arena *a, const struct json *config) {
    struct model_quant_rules rules;
    struct err e = { 0 };
    bool ok = model_quant_read(config, &rules, &e);
    const struct json *key = ok && rules.present ? rules.overrides->child : NULL;
    for (int i = 0; ok && i < 64; i++, key = key ? key->next : NULL) {
        char *path_cstr = key ? str_dup_cstr(a, key->key) : NULL;
        for (int has_scales = 0; has_scales < 2; has_scales++) {
            struct model_quant q;
            struct err own = { 0 };
            if (!model_quant_of(&rules, path_cstr ? path_cstr : "model.x", has_scales, &q, &own)) {
                MLXK_ASSERT(own.code != ERR_OK);
                continue;
            }
            bool affine = q.bits >= 2 && q.bits <= 8 && q.bits != 7 && (q.group == 32 || q.group == 64 || q.group == 128);
            MLXK_ASSERT(q.format != K_AFFINE || affine);
            MLXK_ASSERT(q.format == K_F32 || q.format >= K_AFFINE);
            MLXK_ASSERT(model_quant_text(a, &q, K_BF16).n > 0 && model_quant_text(a, &q, K_F16).n > 0);
        }
        if (!key) break;
    }
}

static void fuzz_model_config_generation(const struct json *config) {
    struct model m = { .config = { .n_eos = 0 } };
    struct err e = { 0 };
    if (model_generation_read(&m, config, &e)) MLXK_ASSERT(m.config.n_eos >= 0 && m.config.n_eos <= MODEL_MAX_EOS);
    else MLXK_ASSERT(e.code != ERR_OK);
}

int fuzz_model_config(const uint8_t *data, size_t size) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, FUZZ_MODEL_CONFIG_MEMORY);
    struct json *config = json_parse(&a, (struct str){ (const char *)data, size }, &e);
    if (config) {
        MLXK_ASSERT(!model_check(&a, "/nonexistent/model", config, &e));
        MLXK_ASSERT(e.code != ERR_OK && e.msg[0]);
        fuzz_model_config_rules(&a, config);
        if (json_is(config, JSON_OBJECT)) fuzz_model_config_generation(config);
    }
    arena_release(&a);
    return 0;
}
