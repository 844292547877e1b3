/* cli_card.c: one model as list and show tell it.
 *
 * 1. reason is the first thing that stands in the way of running the model, in upstream's order:
 *    files, framework, old names, the config, then what model_check says.
 * 2. runnable is model_check's answer (and reason is empty exactly then). A model of a supported
 *    kind whose weights are damaged is known and not runnable: the short list for people shows it.
 */
#include "cli/cli_card.h"
#include "tokenizer/tok.h"

/* ---- can it run? ---- */

/* Empty when nothing in names and config speaks against it. */
static struct str cli_card_obstacle(struct arena *a, const struct cli_card *card) {
    const struct json *config = card->info.config, *type = json_get(config, "model_type"),
                      *file = json_get(config, "model_file");
    if (!card->health.healthy) return card->health.reason;
    enum cache_kind kind = cache_model_kind(&card->model);
    if (kind) return str_format(a, "It is a %s, not a model", cache_kind_name(kind));
    if (!str_eq(card->info.framework, STR("MLX")))
        return str_concat(a, STR("Incompatible framework: "), card->info.framework);
    if (card->info.legacy)
        return STR("Legacy format not supported: rename the weights to model.safetensors");
    if (!json_is(type, JSON_STRING) || !type->string.n)
        return STR("config.json missing model_type field");
    if (file && !json_is(file, JSON_NULL))
        return STR("requires executing model-supplied code (config.json: model_file)");
    return STR_EMPTY;
}

/* Kinds that MLX tools run and this program does not. */
static bool cli_card_elsewhere(const struct cache_info *info) {
    const struct json *type = json_get(info->config, "model_type");
    if (str_eq(info->model_type, STR("embedding"))) return str_eq(type->string, STR("bert"));
    if (str_eq(info->model_type, STR("audio")))
        return str_contains_icase(type->string, STR("whisper")) ||
               str_contains_icase(type->string, STR("vibevoice"));
    static const char *const seeing[] = { "gemma3n", "gemma4", "kimi_vl", "lfm2-vl", "llama4",
                                          "llava", "mistral3", "pixtral", "qwen2_5_vl",
                                          "qwen2_vl", "qwen3_5", "qwen3_vl", "qwen3_vl_moe" };
    for (size_t i = 0; i < MLXK_COUNT(seeing); i++)
        if (str_eq_cstr(type->string, seeing[i])) return true;
    return false;
}

MLXK_FN void cli_card_normalize(struct buf *out, struct str s) {
    struct err e = { 0 };
    if (!tok_nfc(s, out, &e)) out->failed = true;
}

MLXK_FN bool cli_card_read(struct arena *a, const struct cache_model *m, struct cli_card *out,
                           struct err *e) {
    struct err obstacle = { 0 };
    *out = (struct cli_card){ .model = *m };
    if (!cache_scan(a, &out->model, e) || !cache_detect(a, &out->model, &out->info, e))
        return false;
    out->health = cache_check_health(a, &out->model);
    if (m->place == CACHE_WORKSPACE &&
        !cache_workspace_read(a, m->dir_cstr, CLI_CARD_NORMALIZE, &out->workspace, e))
        return false;
    out->reason = cli_card_obstacle(a, out);
    if (out->reason.n) return true;
    out->runnable = model_check(a, m->snapshot_cstr, out->info.config, &obstacle);
    out->known = out->runnable || obstacle.code != ERR_UNSUPPORTED;
    out->loadable = out->known || cli_card_elsewhere(&out->info);
    if (!out->runnable) out->reason = str_dup(a, str_cstr(obstacle.msg));
    return out->runnable || out->reason.p || err_oom(e, sizeof obstacle.msg, "a message");
}

/* ---- JSON ---- */

static void cli_card_workspace(struct json_writer *w, const struct cli_card *card) {
    const struct cache_workspace *ws = &card->workspace;
    json_write_member_or_null(w, "origin", ws->origin);
    json_write_member_or_null(w, "content_hash", ws->content_hash);
    json_write_member_or_null(w, "hash_modified", ws->hash_modified);
    json_write_key(w, "clean");
    if (card->model.place == CACHE_WORKSPACE && ws->clean >= 0) json_write_bool(w, ws->clean == 1);
    else json_write_null(w);
    if (card->model.display_name.n)
        json_write_member_or_null(w, "display_name", card->model.display_name);
}

MLXK_FN void cli_card_write(struct json_writer *w, const struct cli_card *card,
                            bool with_quantization) {
    char time[32];
    const struct json *quantization = json_get(card->info.config, "quantization");
    os_format_time(time, card->info.mtime_ns);
    json_write_object(w);
    json_write_member_or_null(w, "name", card->model.name);
    json_write_member_or_null(w, "hash", card->model.commit);
    json_write_key(w, "size_bytes");
    json_write_u64(w, card->info.size_bytes);
    json_write_key(w, "last_modified");
    json_write_cstr(w, time);
    json_write_member_or_null(w, "framework", card->info.framework);
    json_write_member_or_null(w, "model_type", card->info.model_type);
    json_write_key(w, "capabilities");
    json_write_array(w);
    for (int i = 0; i < card->info.n_capabilities; i++)
        json_write_cstr(w, card->info.capabilities[i]);
    json_write_array_end(w);
    json_write_key(w, "context_length");
    if (card->info.context_length) json_write_i64(w, card->info.context_length);
    else json_write_null(w);
    json_write_key(w, "health");
    json_write_cstr(w, card->health.healthy ? "healthy" : "unhealthy");
    json_write_key(w, "runtime_compatible");
    json_write_bool(w, card->runnable);
    json_write_member_or_null(w, "reason", card->reason);
    json_write_key(w, "cached");
    json_write_bool(w, card->model.place == CACHE_REPO);
    cli_card_workspace(w, card);
    if (with_quantization && json_is(quantization, JSON_OBJECT)) {
        json_write_key(w, "quantization");
        json_write_value(w, quantization);
    }
    json_write_object_end(w);
}

/* ---- for people ---- */

/* Nearest whole number of units, halves to even as upstream's rounding. */
static int64_t cli_card_round(int64_t seconds, int64_t unit) {
    int64_t whole = seconds / unit, rest = seconds % unit;
    return whole + (2 * rest > unit || (2 * rest == unit && whole % 2 == 1));
}

static void cli_card_put(char out[32], int64_t n, const char *behind_cstr) {
    struct arena a;
    arena_init(&a, 4096);
    struct str s = str_format(&a, "%lld%s", (long long)n, behind_cstr);
    size_t len = s.n < 31 ? s.n : 31;
    if (s.p) memcpy(out, s.p, len);
    out[s.p ? len : 0] = '\0';
    arena_release(&a);
}

MLXK_FN void cli_card_ago(char out[32], int64_t time_ns, int64_t now_ns) {
    int64_t seconds = (now_ns - time_ns) / 1000000000;
    int64_t minutes = cli_card_round(seconds, 60), hours = cli_card_round(seconds, 3600),
            days = cli_card_round(seconds, 86400);
    if (seconds < 45) memcpy(out, "just now", 9);
    else if (minutes < 45) cli_card_put(out, minutes > 1 ? minutes : 1, "m ago");
    else if (hours < 24) cli_card_put(out, hours > 1 ? hours : 1, "h ago");
    else if (days < 30) cli_card_put(out, days, "d ago");
    else {
        os_format_time(out, time_ns);
        out[10] = '\0';
    }
}

MLXK_FN struct str cli_card_hash(const struct cli_card *card) {
    struct str hash =
        card->model.place == CACHE_REPO ? card->model.commit : card->workspace.content_hash;
    if (str_starts(hash, STR("sha256:"))) hash = str_sub(hash, 7, hash.n);
    return str_sub(hash, 0, 7);
}

MLXK_FN struct str cli_card_matches(struct arena *a, const struct cache_matches *m) {
    struct buf text;
    struct json_writer w;
    buf_init(&text, LIMIT_JSON_FILE);
    buf_add_cstr(&text, "\"matches\": ");
    json_write_init(&w, &text, true, true);
    w.depth = 2;                 /* inside "error", behind the key */
    w.after_key = true;
    json_write_array(&w);
    for (size_t i = 0; i < m->n; i++) json_write_str(&w, m->names[i]);
    json_write_array_end(&w);
    struct str out = text.failed ? STR_EMPTY : str_dup(a, buf_str(&text));
    buf_release(&text);
    return out;
}
