/* cmd_run_media.c: pictures and sound of `run`. This version runs text only: what was asked is
 * checked in upstream's order, so that a wrong name is told as a wrong name, and then declined.
 *
 * Files first (there, not too large, one recording at most), then the model (does it see or hear at
 * all?), then --translate.
 */
#include "cli/cli.h"
#include "cli/cmd_run.h"

enum { CMD_RUN_IMAGE_MAX_MB = 10, CMD_RUN_AUDIO_MAX_MB = 50 };

MLXK_FN bool cmd_run_media_given(const struct cli_context *c) {
    return cli_get(&c->args, "--image")->n || cli_get(&c->args, "--audio")->n ||
           cli_get(&c->args, "--translate")->given;
}

static bool cmd_run_media_list(struct cli_context *c, const char *option_cstr,
                               const char *what_cstr, uint64_t max_mb) {
    const struct cli_value *files = cli_get(&c->args, option_cstr);
    for (size_t i = 0; i < files->n; i++) {
        struct os_stat st;
        char *path_cstr = str_dup_cstr(&c->arena, files->list[i]);
        if (!path_cstr) return err_oom(&c->err, files->list[i].n, "a path");
        if (!os_stat(path_cstr, &st) || st.kind != OS_FILE)
            return err_set(&c->err, ERR_INVALID, "%s not found: %s", what_cstr, path_cstr);
        if (st.size_bytes > max_mb << 20)
            return err_set(&c->err, ERR_LIMIT, "%s too large (>%lluMB): %s", what_cstr,
                           (unsigned long long)max_mb, path_cstr);
    }
    return true;
}

MLXK_FN bool cmd_run_media_files(struct cli_context *c) {
    if (!cmd_run_media_list(c, "--image", "Image", CMD_RUN_IMAGE_MAX_MB) ||
        !cmd_run_media_list(c, "--audio", "Audio file", CMD_RUN_AUDIO_MAX_MB))
        return false;
    return cli_get(&c->args, "--audio")->n <= 1 ||
           err_set(&c->err, ERR_INVALID,
                   "Multiple audio files not supported. Process one file at a time.");
}

static bool cmd_run_media_can(const struct cache_info *info, const char *what_cstr) {
    for (int i = 0; i < info->n_capabilities; i++)
        if (!strcmp(info->capabilities[i], what_cstr)) return true;
    return false;
}

/* --translate wants English, a recording, and a model that was trained for it. */
static bool cmd_run_media_translate(struct cli_context *c, const struct cache_info *info) {
    struct str language = cli_text(&c->args, "--translate"), spec = cli_text(&c->args, "model");
    if (!cli_get(&c->args, "--translate")->given) return true;
    if (language.n && !str_ieq(language, STR("en")))
        return err_set(&c->err, ERR_INVALID,
                       "--translate only supports English target ('en'); got '" STR_FMT "'",
                       STR_ARG(language));
    if (!cli_get(&c->args, "--audio")->n)
        return err_set(&c->err, ERR_INVALID, "--translate requires --audio FILE.");
    return cmd_run_media_can(info, "audio-translate-en") ||
           err_set(&c->err, ERR_INVALID,
                   "Model '" STR_FMT "' does not support speech translation (audio-translate-en)",
                   STR_ARG(spec));
}

MLXK_FN bool cmd_run_media_model(struct cli_context *c, struct cache_model *m) {
    struct cache_info info;
    bool image = cli_get(&c->args, "--image")->n != 0, audio = cli_get(&c->args, "--audio")->n != 0;
    if (!cache_scan(&c->arena, m, &c->err) || !cache_detect(&c->arena, m, &info, &c->err))
        return false;
    if (image && !cmd_run_media_can(&info, "vision"))
        return err_set(&c->err, ERR_UNSUPPORTED,
                       "Model '" STR_FMT
                       "' does not support vision inputs (no vision capability detected).",
                       STR_ARG(m->name));
    if (audio && !cmd_run_media_can(&info, "audio"))
        return err_set(&c->err, ERR_UNSUPPORTED,
                       "Model '" STR_FMT
                       "' does not support audio inputs (no audio capability detected).",
                       STR_ARG(m->name));
    if (!cmd_run_media_translate(c, &info)) return false;
    err_set(&c->err, ERR_UNSUPPORTED,
            "Model '" STR_FMT "' takes %s, but this version runs text only",
            STR_ARG(m->name), image ? "images" : "audio");
    return err_hint(&c->err, "leave --%s out and ask with text", image ? "image" : "audio");
}

MLXK_FN bool cmd_run_media_text(struct cli_context *c, struct cache_model *m, struct err *e) {
    struct cache_info info;
    struct err own = { 0 };
    if (!cache_scan(&c->arena, m, &own) || !cache_detect(&c->arena, m, &info, &own)) return true;
    bool audio = str_eq(info.model_type, STR("audio"));
    if (!audio && !str_eq(info.model_type, STR("embedding"))) return true;
    err_clear(e);
    if (audio)
        return err_set(e, ERR_UNSUPPORTED,
                       "Model '" STR_FMT
                       "' is audio-only (STT). Use `--audio FILE` for transcription.",
                       STR_ARG(m->name));
    return err_set(e, ERR_UNSUPPORTED,
                   "Model '" STR_FMT
                   "' is an embedding model — `mlxk run` does not support embeddings; use `mlxk "
                   "embed` instead.",
                   STR_ARG(m->name));
}
