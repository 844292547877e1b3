/* cmd_convert.c: `convert` makes another directory out of a model: quantised, dequantised, in MLX
 * layout, index repaired.
 *
 * Checks, words and documents are upstream's where upstream has the case (mlx-knife facts 2.3, 3.4,
 * 6.1, 6.2), in its order: arguments, paths, the cache (never a source, never a target), the
 * target, what kind of model it is. The work is conv_convert's.
 */
#include "cli/cli_card.h"
#include "convert/convert.h"

#include <build_info.h>

static const struct cli_option cmd_convert_options[] = {
    { "source", NULL, CLI_TEXT, NULL, "a model directory; for --to mlx also a GGUF file", 0, 0,
      false },
    { "target", NULL, CLI_TEXT, NULL, "the directory to make; must not exist", 0, 0, false },
    { "--repair-index", NULL, CLI_FLAG, NULL, "copy, with the shard index made anew", 0, 0, false },
    { "--quantize", NULL, CLI_INT, "BITS", "2 3 4 5 6 or 8 bits a weight", 0, 0, false },
    { "--q-group-size", NULL, CLI_INT, "N",
      "weights that share a scale (64; mxfp4, mxfp8: 32; nvfp4: 16)", 0, 0, false },
    { "--skip-health", NULL, CLI_FLAG, NULL, "do not judge the result", 0, 0, false },
    { "--q-mode", NULL, CLI_TEXT, "MODE", "affine (default), mxfp4, mxfp8 or nvfp4", 0, 0, true },
    { "--recipe", NULL, CLI_LIST, "RULE",
      "PATTERN=BITS[:GROUP[:MODE]], PATTERN=MODE, PATTERN=keep, mixed_4_6, or @FILE", 0, 0, true },
    { "--dequantize", NULL, CLI_FLAG, NULL, "back to floats", 0, 0, true },
    { "--to", NULL, CLI_TEXT, "FORMAT", "mlx: from a GGUF file or a Hugging Face checkpoint", 0, 0,
      true },
    { "--dtype", NULL, CLI_TEXT, "TYPE", "float16, bfloat16 or float32 (what config.json says)", 0,
      0, true },
    { "--shard-size", NULL, CLI_SIZE, "SIZE", "data in a weight file at most (5GiB)", 0, 0, true },
    { "--quiet", NULL, CLI_FLAG, NULL, "no progress", 0, 0, true },
};

/* Multimodal types whose language part may be quantised; speech models, which may not. */
static const char *const cmd_convert_verified[] = { "gemma3",  "gemma4",  "idefics2", "idefics3",
                                                    "llava",   "mimo",    "mistral3", "mllama",
                                                    "pixtral", "qwen2_vl" };
static const char *const cmd_convert_speech[] = { "whisper", "vibevoice", "voxtral" };
#define CMD_CONVERT_COVERAGE "https://github.com/mzau/mlx-knife/blob/2.0.8/docs/MODEL-COVERAGE.md"

struct cmd_convert {
    struct cli_context *c;
    struct conv_options o;
    struct conv_outcome r;
    struct str source, target, warning, model_type;
    const char *mode_cstr;
    struct cli_progress progress;
};

/* ---- documents (Private) -------------------------------------------------------------------- */

static void cmd_convert_text(struct json_writer *w, const char *key_cstr, struct str s) {
    if (!s.n) return;
    json_write_key(w, key_cstr);
    json_write_str(w, s);
}

static void cmd_convert_quant(struct json_writer *w, const struct cmd_convert *j) {
    if (j->o.mode != CONV_QUANTIZE || !j->r.message.n) return;
    json_write_key(w, "bits");
    json_write_i64(w, j->o.q.bits);
    json_write_key(w, "group_size");
    json_write_i64(w, j->o.q.group);
    if (j->o.q.format == K_AFFINE) return;
    json_write_key(w, "q_mode");
    json_write_cstr(w, conv_quant_mode_name(j->o.q.format));
}

static void cmd_convert_data(struct json_writer *w, const struct cmd_convert *j) {
    json_write_object(w);
    json_write_key(w, "source");
    json_write_str(w, j->source);
    json_write_key(w, "target");
    json_write_str(w, j->target);
    json_write_key(w, "mode");
    json_write_cstr(w, j->mode_cstr);
    json_write_key(w, "health_check");
    json_write_bool(w, !j->o.skip_health);
    cmd_convert_text(w, "warning", j->warning.n ? j->warning : j->r.warning);
    cmd_convert_text(w, "message", j->r.message);
    cmd_convert_quant(w, j);
    if (j->r.health_checked) {
        json_write_key(w, "health_status");
        json_write_cstr(w, j->r.healthy ? "healthy" : "unhealthy");
        cmd_convert_text(w, "health_reason", j->r.health_reason);
    }
    cmd_convert_text(w, "content_hash", j->r.content_hash);
    json_write_object_end(w);
}

static int cmd_convert_fail(struct cmd_convert *j, const char *type_cstr, struct str extra) {
    struct cli_context *c = j->c;
    struct buf data;
    struct json_writer w;
    if (!c->out.json) return cli_fail(c, &c->err, type_cstr);
    cli_data_begin(&w, &data, LIMIT_JSON_DOC);
    cmd_convert_data(&w, j);
    int status = cli_fail_data(c, &c->err, type_cstr, buf_str(&data), extra);
    buf_release(&data);
    return status;
}

/* An error as upstream's exceptions: the sentence is the message, there is no hint. */
static int cmd_convert_value_error(struct cmd_convert *j) {
    return cmd_convert_fail(j, "ValueError", STR_EMPTY);
}

static int cmd_convert_argument(struct cli_context *c) {
    return cli_fail(c, &c->err, "InvalidArgumentError");
}

/* ---- options (Private) ---------------------------------------------------------------------- */

/* The one mode that was asked for. */
static bool cmd_convert_mode(struct cmd_convert *j, struct err *e) {
    static const struct {
        const char *option_cstr, *mode_cstr;
        enum conv_mode mode;
    } modes[] = {
        { "--repair-index", "repair-index", CONV_REPAIR_INDEX },
        { "--quantize", "quantize", CONV_QUANTIZE },
        { "--dequantize", "dequantize", CONV_DEQUANTIZE },
        { "--to", "to-mlx", CONV_TO_MLX },
    };
    const char *given_cstr = NULL;
    for (size_t i = 0; i < MLXK_COUNT(modes); i++) {
        if (!cli_get(&j->c->args, modes[i].option_cstr)->given) continue;
        if (modes[i].mode == CONV_QUANTIZE && cli_int(&j->c->args, "--quantize", 0) == 0)
            continue;                    /* to upstream, 0 bits are no mode */
        if (given_cstr)
            return err_set(e, ERR_INVALID, "%s and %s are mutually exclusive", given_cstr,
                           modes[i].option_cstr);
        given_cstr = modes[i].option_cstr;
        j->mode_cstr = modes[i].mode_cstr;
        j->o.mode = modes[i].mode;
    }
    if (given_cstr) return true;
    return err_set(e, ERR_INVALID, "Must specify conversion mode (--repair-index or --quantize N)");
}

static bool cmd_convert_recipe(struct cmd_convert *j, struct err *e) {
    const struct cli_value *v = cli_get(&j->c->args, "--recipe");
    struct arena *a = &j->c->arena;
    j->o.recipe.rules = v->given ? ARENA_ARRAY(a, struct conv_rule, CONV_MAX_RULES) : NULL;
    if (v->given && !j->o.recipe.rules)
        return err_oom(e, CONV_MAX_RULES * sizeof(struct conv_rule), "the recipe");
    for (size_t i = 0; i < v->n; i++) {
        if (str_starts(v->list[i], STR("@"))) {
            char *path_cstr = str_dup_cstr(a, str_sub(v->list[i], 1, v->list[i].n));
            struct str text;
            if (!path_cstr) return err_oom(e, LIMIT_PATH, "a path");
            if (!os_read_file(a, path_cstr, LIMIT_JSON_DOC, &text, e) ||
                !conv_recipe_add_lines(&j->o.recipe, text, &j->o.q, e))
                return err_context(e, "--recipe: ");
            continue;
        }
        for (struct str rest = v->list[i]; rest.p;)
            if (!conv_recipe_add(&j->o.recipe, str_cut(&rest, ','), &j->o.q, e))
                return err_context(e, "--recipe: ");
    }
    return true;
}

static bool cmd_convert_quantize(struct cmd_convert *j, struct err *e) {
    int64_t bits = cli_int(&j->c->args, "--quantize", 0),
            group = cli_int(&j->c->args, "--q-group-size", 0);
    struct str mode = cli_text(&j->c->args, "--q-mode");
    if (bits < 2 || bits > 8 || bits == 7)
        return err_set(e, ERR_INVALID, "--quantize must be 2, 3, 4, 5, 6, or 8 (got %lld)",
                       (long long)bits);
    if (group < 0 || group > 65536 || (group == 0 && cli_get(&j->c->args, "--q-group-size")->given))
        return err_set(e, ERR_INVALID, "--q-group-size must be 32, 64 or 128 (got %lld)",
                       (long long)group);
    j->o.q = (struct model_quant){ .format = K_AFFINE, .bits = (int)bits, .group = (int)group };
    if (mode.n && !conv_quant_mode_parse(mode, &j->o.q.format))
        return err_set(e, ERR_INVALID,
                       "--q-mode must be affine, mxfp4, mxfp8 or nvfp4 (got " STR_FMT ")",
                       STR_ARG(mode));
    return conv_quant_complete(&j->o.q, e) && cmd_convert_recipe(j, e);
}

/* Options that mean nothing in this mode are refused, not passed over. */
static bool cmd_convert_only(struct cmd_convert *j, const char *option_cstr, bool allowed,
                             const char *with_cstr, struct err *e) {
    if (allowed || !cli_get(&j->c->args, option_cstr)->given) return true;
    return err_set(e, ERR_INVALID, "%s goes with %s only", option_cstr, with_cstr);
}

static bool cmd_convert_options_read(struct cmd_convert *j, struct err *e) {
    static const struct {
        const char *name_cstr;
        enum dtype dtype;
    } dtypes[] = {
        { "float16", DTYPE_F16 },
        { "bfloat16", DTYPE_BF16 },
        { "float32", DTYPE_F32 },
    };
    struct str to = cli_text(&j->c->args, "--to"), dtype = cli_text(&j->c->args, "--dtype");
    if (!cmd_convert_mode(j, e)) return false;
    bool quantize = j->o.mode == CONV_QUANTIZE;
    if (!cmd_convert_only(j, "--q-mode", quantize, "--quantize", e) ||
        !cmd_convert_only(j, "--recipe", quantize, "--quantize", e) ||
        !cmd_convert_only(j, "--dtype", j->o.mode != CONV_REPAIR_INDEX,
                          "--quantize, --dequantize and --to mlx", e))
        return false;
    if (cli_get(&j->c->args, "--shard-size")->given && cli_int(&j->c->args, "--shard-size", 0) < 1)
        return err_set(e, ERR_INVALID, "--shard-size must be at least one byte");
    if (j->o.mode == CONV_TO_MLX && !str_eq(to, STR("mlx")))
        return err_set(e, ERR_INVALID, "--to must be mlx (got " STR_FMT ")", STR_ARG(to));
    j->o.dtype = DTYPE_COUNT;
    for (size_t i = 0; i < MLXK_COUNT(dtypes); i++)
        if (str_eq_cstr(dtype, dtypes[i].name_cstr)) j->o.dtype = dtypes[i].dtype;
    if (j->o.dtype == DTYPE_COUNT && cli_get(&j->c->args, "--dtype")->given)
        return err_set(e, ERR_INVALID,
                       "--dtype must be float16, bfloat16 or float32 (got " STR_FMT ")",
                       STR_ARG(dtype));
    return !quantize || cmd_convert_quantize(j, e);
}

/* ---- paths (Private) ------------------------------------------------------------------------ */

/* A bare name means a folder of the workspace home: a source that is there, a target always. */
static struct str cmd_convert_at_home(struct cmd_convert *j, struct str name, bool must_exist) {
    struct cli_context *c = j->c;
    struct os_stat st;
    if (!str_trim(name).n || !c->cache.workspace_cstr || str_find_char(name, '/') >= 0) return name;
    struct str path = str_format(&c->arena, "%s/" STR_FMT, c->cache.workspace_cstr, STR_ARG(name));
    char *path_cstr = str_dup_cstr(&c->arena, path);
    return path_cstr && (!must_exist || (os_stat(path_cstr, &st) && st.kind == OS_DIR)) ? path
                                                                                        : name;
}

/* Links resolved as far as the path exists. */
static struct str cmd_convert_real(struct arena *a, const char *path_cstr) {
    struct err ignored = { 0 };
    char *real_cstr = os_path_real(a, path_cstr, &ignored),
         *absolute_cstr = os_path_absolute(a, path_cstr, &ignored);
    if (real_cstr || !absolute_cstr) return str_cstr(real_cstr);
    struct str rest = STR_EMPTY;
    for (char *at_cstr = absolute_cstr; !real_cstr && at_cstr && strcmp(at_cstr, "/") != 0;
         at_cstr = os_path_dir(a, at_cstr)) {
        err_clear(&ignored);
        real_cstr = os_path_real(a, at_cstr, &ignored);
        if (!real_cstr)
            rest =
                str_format(a, "/" STR_FMT STR_FMT, STR_ARG(os_path_base(at_cstr)), STR_ARG(rest));
    }
    return str_format(a, "%s" STR_FMT, real_cstr && strcmp(real_cstr, "/") != 0 ? real_cstr : "",
                      STR_ARG(rest));
}

/* Within the cache: all of HF_HOME, or what another variable names. */
static bool cmd_convert_in_cache(struct cmd_convert *j, struct str path) {
    struct cli_context *c = j->c;
    const char *from_cstr = c->cache.root_from_cstr, *root_cstr = c->cache.root_cstr;
    if (!strcmp(from_cstr, "HF_HOME") || !strcmp(from_cstr, "XDG_CACHE_HOME") ||
        !strcmp(from_cstr, "default"))
        root_cstr = os_path_dir(&c->arena, root_cstr);
    if (!root_cstr) return false;
    struct str root = cmd_convert_real(&c->arena, root_cstr);
    return root.n && str_starts(path, root) && (path.n == root.n || path.p[root.n] == '/');
}

/* 0: fine; else the exit status. */
static int cmd_convert_paths(struct cmd_convert *j) {
    struct cli_context *c = j->c;
    struct err *e = &c->err;
    struct os_stat st;
    const struct {
        const char *role_cstr;
        struct str path;
    } roles[] = { { "source", j->source }, { "target", j->target } };
    for (size_t i = 0; i < 2; i++)
        if (!str_trim(roles[i].path).n) {
            err_set(e, ERR_INVALID, "Invalid %s path: empty", roles[i].role_cstr);
            return cmd_convert_fail(j, NULL, STR_EMPTY);
        }
    j->o.source_cstr = str_dup_cstr(&c->arena, j->source);
    j->o.target_cstr = str_dup_cstr(&c->arena, j->target);
    if (!j->o.source_cstr || !j->o.target_cstr) {
        err_oom(e, LIMIT_PATH, "a path");
        return cmd_convert_fail(j, NULL, STR_EMPTY);
    }
    bool there = os_stat(j->o.source_cstr, &st);
    struct str source = cmd_convert_real(&c->arena, j->o.source_cstr),
               target = cmd_convert_real(&c->arena, j->o.target_cstr);
    if (!there) err_set(e, ERR_INVALID, "Source path does not exist: " STR_FMT, STR_ARG(j->source));
    else if (st.kind != OS_DIR && !(j->o.mode == CONV_TO_MLX && st.kind == OS_FILE))
        err_set(e, ERR_INVALID, "Source must be a directory: " STR_FMT, STR_ARG(j->source));
    else if (cmd_convert_in_cache(j, source))
        err_set(
            e, ERR_INVALID,
            "Source path is in HF cache (read-only): " STR_FMT
            "\nConvert operates on workspaces only. Use 'mlxk clone' first to create a workspace:\n"
            "  mlxk clone <model> ./workspace\n  mlxk convert ./workspace ./workspace-fixed "
            "--repair-index",
            STR_ARG(source));
    else if (cmd_convert_in_cache(j, target))
        err_set(e, ERR_INVALID,
                "Target path is in HF cache (read-only): " STR_FMT
                "\nConvert cannot write to cache. Choose workspace location outside cache:\n"
                "  mlxk convert " STR_FMT " ./fixed-workspace --repair-index",
                STR_ARG(target), STR_ARG(j->source));
    else return 0;
    return cmd_convert_value_error(j);
}

/* ---- the model (Private) -------------------------------------------------------------------- */

static bool cmd_convert_among(struct str s, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_ieq(s, str_cstr(list[i]))) return true;
    return false;
}

/* "detail" of what cannot be quantised, left open for more members. */
static void cmd_convert_detail(struct json_writer *w, struct buf *b, const struct cmd_convert *j) {
    buf_init(b, LIMIT_JSON_DOC);
    json_write_init(w, b, true, true);
    w->depth = 2;
    json_write_object(w);
    json_write_key(w, "model_type");
    json_write_str(w, j->model_type);
    json_write_key(w, "operation");
    json_write_cstr(w, "convert --quantize");
}

static int cmd_convert_multimodal(struct cmd_convert *j) {
    struct buf b;
    struct json_writer w;
    struct str verified = STR_EMPTY;
    struct arena *a = &j->c->arena;
    cmd_convert_detail(&w, &b, j);
    json_write_key(&w, "verified_types");
    json_write_array(&w);
    for (size_t i = 0; i < MLXK_COUNT(cmd_convert_verified); i++) {
        json_write_cstr(&w, cmd_convert_verified[i]);
        verified = str_format(a, STR_FMT "%s%s", STR_ARG(verified), i ? ", " : "",
                              cmd_convert_verified[i]);
    }
    json_write_array_end(&w);
    json_write_key(&w, "coverage_url");
    json_write_cstr(&w, CMD_CONVERT_COVERAGE);
    json_write_object_end(&w);
    struct str extra =
        str_format(a, "\"detail\": " STR_FMT ",\n    \"retryable\": false", STR_ARG(buf_str(&b)));
    buf_release(&b);
    err_set(&j->c->err, ERR_UNSUPPORTED,
            "Model type '" STR_FMT
            "' is not in the verified multimodal list for convert --quantize. Verified: " STR_FMT
            ". See: " CMD_CONVERT_COVERAGE,
            STR_ARG(str_sub(j->model_type, 0, 64)), STR_ARG(verified));
    return cmd_convert_fail(j, "unsupported_multimodal", extra);
}

static int cmd_convert_speech_refused(struct cmd_convert *j) {
    struct buf b;
    struct json_writer w;
    cmd_convert_detail(&w, &b, j);
    json_write_object_end(&w);
    struct str extra = str_format(&j->c->arena, "\"detail\": " STR_FMT, STR_ARG(buf_str(&b)));
    buf_release(&b);
    err_set(&j->c->err, ERR_UNSUPPORTED,
            "Quantization of speech-to-text model type '" STR_FMT "' is not currently supported.",
            STR_ARG(str_sub(j->model_type, 0, 64)));
    return cmd_convert_fail(j, "not_implemented", extra);
}

/* A model that brings code of its own cannot be known to be what its config says. */
static int cmd_convert_code(struct cmd_convert *j, const struct json *config) {
    const struct json *file = json_get(config, "model_file");
    if (!file || json_is(file, JSON_NULL)) return 0;
    struct str name = json_is(file, JSON_STRING) ? file->string : STR("?");
    err_set(&j->c->err, ERR_UNSUPPORTED,
            "The model at %s requires importing and running a custom module ('" STR_FMT
            "'). mlxk refuses to execute it.",
            j->o.source_cstr, STR_ARG(str_sub(name, 0, 100)));
    return cmd_convert_fail(j, "UntrustedModelCodeError", STR_EMPTY);
}

/* What upstream looks at before it quantises. 0: go on; else the exit status. */
static int cmd_convert_judge_source(struct cmd_convert *j) {
    struct cli_context *c = j->c;
    struct err ignored = { 0 };
    struct str text;
    char *path_cstr = os_path_join(&c->arena, j->o.source_cstr, "config.json");
    const struct json *config = NULL;
    if (path_cstr && os_read_file(&c->arena, path_cstr, LIMIT_JSON_DOC, &text, &ignored))
        config = json_parse_lenient(&c->arena, text, &ignored);
    const struct json *type = json_get(config, "model_type"),
                      *bits = json_get(json_get(config, "quantization"), "bits");
    j->model_type = json_is(type, JSON_STRING) && type->string.n ? type->string : STR("<unknown>");
    if (json_is(bits, JSON_INT) && j->o.q.bits > bits->integer)
        j->warning = str_format(
            &c->arena, "Source already %lld-bit. Quantizing to %d-bit does not increase precision.",
            (long long)bits->integer, j->o.q.bits);
    bool verified =
        cmd_convert_among(j->model_type, cmd_convert_verified, MLXK_COUNT(cmd_convert_verified));
    bool senses = json_is(json_get(config, "vision_config"), JSON_OBJECT) ||
                  json_is(json_get(config, "audio_config"), JSON_OBJECT);
    if (cmd_convert_among(j->model_type, cmd_convert_speech, MLXK_COUNT(cmd_convert_speech)))
        return cmd_convert_speech_refused(j);
    if (senses && !verified) return cmd_convert_multimodal(j);
    return cmd_convert_code(j, config);
}

/* ---- running (Private) ---------------------------------------------------------------------- */

static bool cmd_convert_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes) {
    struct cmd_convert *j = ctx;
    j->progress.total = total_bytes;
    cli_progress_update(&j->progress, done_bytes);
    return !os_interrupted();
}

/* The target exists: in upstream's words, unless conv_convert knows that this very conversion made
 * it. */
static void cmd_convert_reword(struct cmd_convert *j) {
    struct err *e = &j->c->err;
    struct os_stat st;
    if (e->code != ERR_EXISTS || j->o.mode > CONV_QUANTIZE || !os_stat(j->o.target_cstr, &st))
        return;
    err_clear(e);
    if (j->o.mode == CONV_QUANTIZE)
        err_set(e, ERR_EXISTS,
                "Target directory exists: " STR_FMT
                "\nQuantize requires target to NOT exist (mlx-lm creates it).\n"
                "Delete target or choose different path.",
                STR_ARG(j->target));
    else
        err_set(e, ERR_EXISTS,
                "Target directory not empty: " STR_FMT
                "\nConvert requires empty target workspace. Use different path or delete contents.",
                STR_ARG(j->target));
}

/* Types of upstream's exceptions in upstream's modes; what upstream does not know keeps its own
 * type. */
static const char *cmd_convert_error_type(const struct cmd_convert *j) {
    switch ((int)j->c->err.code) {
    case ERR_FORMAT:
    case ERR_UNSUPPORTED:
    case ERR_NOT_FOUND:
    case ERR_EXISTS:
    case ERR_INVALID:
    case ERR_LIMIT: return j->o.mode <= CONV_QUANTIZE ? "ValueError" : NULL;
    case ERR_IO:
    case ERR_READ_ONLY: return j->o.mode == CONV_REPAIR_INDEX ? "OSError" : NULL;
    default: return NULL;
    }
}

static int cmd_convert_failed(struct cmd_convert *j) {
    struct err *e = &j->c->err;
    bool quantising =
        j->o.mode == CONV_QUANTIZE && e->code != ERR_EXISTS && e->code != ERR_INTERRUPTED;
    cmd_convert_reword(j);
    if (quantising) err_context(e, "Quantization failed: ");
    return cmd_convert_fail(j, cmd_convert_error_type(j), STR_EMPTY);
}

static void cmd_convert_print(struct cmd_convert *j) {
    struct cli_context *c = j->c;
    const struct conv_outcome *r = &j->r;
    struct str warning = j->warning.n ? j->warning : r->warning;
    char size[16];
    cli_print(c, "convert: " STR_FMT " → " STR_FMT "\n  Mode: %s\n", STR_ARG(j->source),
              STR_ARG(j->target), j->mode_cstr);
    if (warning.n) cli_print(c, "  ⚠ " STR_FMT "\n", STR_ARG(warning));
    if (r->message.n) cli_print(c, "  " STR_FMT "\n", STR_ARG(r->message));
    if (r->health_checked) cli_print(c, "  ✓ Health check: passed\n");
    if (r->note.n) cli_note(c, "note: " STR_FMT, STR_ARG(r->note));
    if (!r->n_shards) return;
    num_format_size(size, r->size_bytes);
    if (r->n_tensors)
        cli_note(c, "%s in %zu file%s, %.3f bits per weight", size, r->n_shards,
                 r->n_shards == 1 ? "" : "s", r->bits_per_weight);
    else cli_note(c, "%s", size);
    if (r->n_kept_shards)
        cli_note(c, "%zu of these files were finished by an earlier run", r->n_kept_shards);
}

static int cmd_convert_done(struct cmd_convert *j) {
    struct cli_context *c = j->c;
    if (j->r.health_checked && !j->r.healthy) {
        err_set(&c->err, ERR_INVALID, "Output workspace failed health check: " STR_FMT,
                STR_ARG(j->r.health_reason));
        return cmd_convert_fail(j, "HealthCheckFailed", STR_EMPTY);
    }
    if (!c->out.json) {
        cmd_convert_print(j);
        return 0;
    }
    cmd_convert_data(cli_document(c), j);
    return cli_document_end(c);
}

static int cmd_convert_run(struct cli_context *c) {
    struct cmd_convert j = { .c = c, .mode_cstr = "" };
    struct os_stat there;
    c->args.quiet = cli_flag(&c->args, "--quiet");
    if (!cmd_convert_options_read(&j, &c->err)) return cmd_convert_argument(c);
    j.source = cmd_convert_at_home(&j, cli_text(&c->args, "source"), true);
    j.target = cmd_convert_at_home(&j, cli_text(&c->args, "target"), false);
    j.o.shard_bytes = (uint64_t)cli_int(&c->args, "--shard-size", 0);
    j.o.skip_health = cli_flag(&c->args, "--skip-health");
    j.o.version = STR(MLXK_VERSION_FULL);
    j.o.normalize = cli_card_normalize;
    j.o.progress = cmd_convert_progress;
    j.o.ctx = &j;
    int status = cmd_convert_paths(&j);
    if (status == 0 && j.o.mode == CONV_QUANTIZE && !os_stat(j.o.target_cstr, &there))
        status = cmd_convert_judge_source(&j);
    if (status) return status;
    cli_progress_begin(c, &j.progress, "converting", 0, true);
    bool ok = conv_convert(&c->arena, &j.o, &j.r, &c->err);
    cli_progress_end(&j.progress);
    return ok ? cmd_convert_done(&j) : cmd_convert_failed(&j);
}

MLXK_FN const struct cli_command *cmd_convert(void) {
    static const struct cli_command command = {
        "convert",
        "quantise, dequantise, repair or bring a model into MLX layout",
        "on disk",
        cmd_convert_options,
        MLXK_COUNT(cmd_convert_options),
        "  mlxk convert ./model ./model-4bit --quantize 4\n"
        "  mlxk convert ./model ./mixed --quantize 4 --recipe '*.down_proj=6,lm_head=8'\n"
        "  mlxk convert ./model-4bit ./model-bf16 --dequantize --dtype bfloat16\n"
        "  mlxk convert model.gguf ./model --to mlx\n"
        "  mlxk convert ./model ./fixed --repair-index\n"
        "At most 256 MB of memory, whatever the model's size. A conversion that was\n"
        "stopped goes on where it was when the same command is given again.\n",
        cmd_convert_run,
    };
    return &command;
}

#undef CMD_CONVERT_COVERAGE
