/* fuzz_model_config.c: any config.json against the model room.
 *
 * The folder does not exist, so a config that is accepted ends at "no shards": everything that reads the config
 * runs (shape, flags, rope types, quantisation, the families' own keys), and nothing may be accepted.
 *
 * covers: model/model_config.c model/model_quant.c model/model_rope.c
 */
#include "model/model.h"

int fuzz_model_config(const uint8_t *data, size_t size);

enum { FUZZ_MODEL_CONFIG_MEMORY = 64 << 20 };

int fuzz_model_config(const uint8_t *data, size_t size) {
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, FUZZ_MODEL_CONFIG_MEMORY);
    struct json *config = json_parse(&a, (struct str){ (const char *)data, size }, &e);
    if (config) {
        MLXK_ASSERT(!model_check("/nonexistent/model", config, &e));
        MLXK_ASSERT(e.code != ERR_OK && e.msg[0]);
    }
    arena_release(&a);
    return 0;
}
