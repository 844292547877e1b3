/* rel_task.c: what a model is for, and what goes in and comes out, told by names in its files.
 *
 * The names are those that the architectures of the field carry; a model that says nothing is
 * "other".
 * ref    architecture names of the transformers library; GGUF "general.architecture".
 */
#include "release/rel_int.h"
#include "model/model.h"

struct rel_task_row { const char *pattern_cstr, *task_cstr; };

/* Names of architectures; the first that fits wins. */
static const struct rel_task_row rel_task_rows[] = {
    { "*ForCausalLM", "causal-lm" },          { "*LMHeadModel", "causal-lm" },
    { "*ForMaskedLM", "masked-lm" },          { "Whisper*", "asr" },
    { "*ForCTC", "asr" },                     { "*ForSpeechSeq2Seq", "asr" },
    { "*ForTextToSpeech", "tts" },            { "*ForSequenceClassification", "classify" },
    { "*ForTokenClassification", "classify" }, { "*ForImageClassification", "classify" },
    { "T5ForConditionalGeneration", "seq2seq" }, { "*ForSeq2SeqLM", "seq2seq" },
    { "Bart*", "seq2seq" },                   { "Marian*", "seq2seq" },
};

static const struct rel_task_row rel_task_gguf[] = {
    { "*bert*", "embedding" }, { "t5*", "seq2seq" },     { "whisper*", "asr" },
    { "clip*", "other" },      { "wavtokenizer*", "tts" }, { "*", "causal-lm" },
};

static const char *rel_task_look(const struct rel_task_row *rows, size_t n, struct str name) {
    for (size_t i = 0; i < n; i++)
        if (str_glob(str_cstr(rows[i].pattern_cstr), name)) return rows[i].task_cstr;
    return NULL;
}

static const char *rel_task_of_gguf(const struct gguf *g) {
    struct str type = STR_EMPTY, arch = STR_EMPTY;
    struct err none = { 0 };
    if (gguf_read_str(g, "general.type", &type, &none) && str_eq(type, STR("adapter")))
        return "adapter";
    err_clear(&none);
    if (!gguf_read_str(g, "general.architecture", &arch, &none)) return "other";
    return rel_task_look(rel_task_gguf, MLXK_COUNT(rel_task_gguf), arch);
}

/* One label: a score for a pair of texts. */
static bool rel_task_is_rerank(const struct json *config) {
    const struct json *labels = json_get(config, "id2label"), *n = json_get(config, "num_labels");
    return (json_is(labels, JSON_OBJECT) && labels->n == 1)
           || (json_is(n, JSON_INT) && n->integer == 1);
}

static const char *rel_task_of_config(const struct json *config) {
    const struct json *list = json_get(config, "architectures"),
                      *type = json_get(config, "model_type");
    for (const struct json *v = json_is(list, JSON_ARRAY) ? list->child : NULL; v; v = v->next) {
        if (v->kind != JSON_STRING) continue;
        const char *task = rel_task_look(rel_task_rows, MLXK_COUNT(rel_task_rows), v->string);
        if (task && !strcmp(task, "causal-lm") && json_get(config, "vision_config")) return "vlm";
        if (task && !strcmp(task, "classify") && rel_task_is_rerank(config)) return "rerank";
        if (task) return task;
        if (str_ends(v->string, STR("ForConditionalGeneration")))
            return json_get(config, "vision_config") || json_get(config, "image_token_id")
                           || json_get(config, "image_token_index")
                       ? "vlm"
                   : json_get(config, "audio_config") ? "asr"
                                                      : "seq2seq";
    }
    for (int i = 0; json_is(type, JSON_STRING) && model_type_name(i); i++)
        if (str_eq_cstr(type->string, model_type_name(i)))
            return json_get(config, "vision_config") ? "vlm" : "causal-lm";
    return "other";
}

MLXK_FN const char *rel_task_of(struct rel_work *w) {
    if (rel_state_find(w->s, "adapter_config.json")) return "adapter";
    if (rel_state_find(w->s, "model_index.json")) return "diffusion";
    if (rel_state_find(w->s, "modules.json")) return "embedding";
    if (w->config) return rel_task_of_config(w->config);
    return w->gguf ? rel_task_of_gguf(w->gguf) : "other";
}

/* ---- modalities ---- */

struct rel_modality_row { const char *task_cstr, *in[4], *out[3]; };
static const struct rel_modality_row rel_modality_rows[] = {
    { "causal-lm", { "text" }, { "text" } },   { "masked-lm", { "text" }, { "text" } },
    { "seq2seq", { "text" }, { "text" } },     { "embedding", { "text" }, { "embedding" } },
    { "rerank", { "text" }, { "other" } },     { "classify", { "text" }, { "other" } },
    { "asr", { "audio" }, { "text" } },        { "tts", { "text" }, { "audio" } },
    { "diffusion", { "text" }, { "image" } },  { "vlm", { "image", "text" }, { "text" } },
    { "adapter", { "text" }, { "text" } },
};

static void rel_modality_list(struct json_writer *w, const char *key_cstr,
                              const char *const *names) {
    json_write_key(w, key_cstr);
    json_write_array(w);
    for (size_t i = 0; names[i]; i++) json_write_cstr(w, names[i]);
    json_write_array_end(w);
}

MLXK_FN void rel_modalities_write(struct rel_face *f) {
    const struct json *config = f->w->config;
    for (size_t i = 0; i < MLXK_COUNT(rel_modality_rows); i++) {
        const struct rel_modality_row *row = &rel_modality_rows[i];
        const char *in[5] = { NULL };
        size_t n = 0;
        if (strcmp(row->task_cstr, f->task_cstr) != 0) continue;
        bool more = !strcmp(f->task_cstr, "vlm") || !strcmp(f->task_cstr, "causal-lm");
        if (more && json_get(config, "audio_config")) in[n++] = "audio";
        for (size_t k = 0; row->in[k]; k++) in[n++] = row->in[k];
        if (more && (json_get(config, "video_token_id") || json_get(config, "video_token_index")
                     || rel_state_find(f->w->s, "video_preprocessor_config.json")))
            in[n++] = "video";
        json_write_key(&f->out, "modalities");
        json_write_object(&f->out);
        rel_modality_list(&f->out, "in", in);
        rel_modality_list(&f->out, "out", row->out);
        json_write_object_end(&f->out);
    }
}
