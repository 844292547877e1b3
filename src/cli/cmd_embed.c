/* cmd_embed.c: `embed` turns texts into vectors (experimental). So far it makes every check that
 * comes before the first vector: the model is there and is an embedder, the input is well-formed.
 * No engine for embeddings is in this build, and the command says so.
 *
 * Kinds of embedders: decoders (causal models with "embed" in their name) and bert run; other
 * encoders are known and declined by name (mlx-knife facts 6.5).
 */
#include "cli/cli_card.h"
#include "cli/cli_suggest.h"

#define CMD_EMBED_MAX_INPUT ((size_t)256 << 20)

static const struct cli_option cmd_embed_options[] = {
    { "model", NULL, CLI_TEXT, NULL, "an embedding model: path, name or part of a name", 0, 0,
      false },
    { "[text]", NULL, CLI_TEXT, NULL, "the text; - reads standard input", 0, 0, false },
    { "--batch", NULL, CLI_FLAG, NULL,
      "standard input is JSON Lines: the text of each is embedded, other keys are kept", 0, 0,
      false },
    { "--query", NULL, CLI_FLAG, NULL, "the text is a question, not a document", 0, 0, false },
    { "--instruct", NULL, CLI_TEXT, "TASK", "instruction in front of a question (means --query)", 0,
      0, false },
    { "--cpu", NULL, CLI_FLAG, NULL, "no GPU (this build has none)", 0, 0, false },
    { "--verbose", NULL, CLI_FLAG, NULL, "say what happens", 0, 0, false },
};

/* ---- the input (Private) ---- */

/* Every non-empty line is an object with "text". err: ERR_INVALID with the line's number. */
static bool cmd_embed_check_lines(struct cli_context *c, struct str lines) {
    size_t number = 0, n_records = 0;
    while (lines.n) {
        struct str line = str_trim(str_cut(&lines, '\n'));
        struct arena_mark mark = arena_mark(&c->arena);
        struct err why = { 0 };
        number++;
        if (!line.n) continue;
        const struct json *record = json_parse(&c->arena, line, &why);
        if (!record)
            return err_set(&c->err, ERR_INVALID, "Malformed JSONL on line %zu: %s", number,
                           why.msg);
        if (record->kind != JSON_OBJECT || !json_get(record, "text"))
            return err_set(&c->err, ERR_INVALID, "JSONL line %zu missing 'text' field", number);
        n_records++;
        arena_rewind(&c->arena, mark);
    }
    return n_records || err_set(&c->err, ERR_INVALID, "No input records found (--batch)");
}

static bool cmd_embed_check_input(struct cli_context *c, bool batch) {
    struct buf input;
    bool pipe = batch || str_eq(cli_text(&c->args, "[text]"), STR("-"));
    if (!pipe) return true;
    buf_init(&input, CMD_EMBED_MAX_INPUT);
    bool ok = os_read_all(0, &input, &c->err);
    if (ok && batch) ok = cmd_embed_check_lines(c, buf_str(&input));
    buf_release(&input);
    return ok;
}

/* ---- the model (Private) ---- */

/* Why a model gives no vectors: its JSON error type, or NULL when it is an embedder that
 * upstream runs. */
static const char *cmd_embed_obstacle(struct cli_context *c, struct cache_model *m) {
    static const char *const declared[] = { "xlm-roberta", "modernbert", "nomic_bert" };
    struct cache_info info;
    if (!cache_scan(&c->arena, m, &c->err) || !cache_detect(&c->arena, m, &info, &c->err))
        return "EmbeddingError";
    const struct json *type = json_get(info.config, "model_type");
    for (size_t i = 0; json_is(type, JSON_STRING) && i < MLXK_COUNT(declared); i++) {
        if (!str_eq_cstr(type->string, declared[i])) continue;
        err_set(&c->err, ERR_UNSUPPORTED,
                "'" STR_FMT "' is a %s encoder embedder, which this build does not run. Use bge or "
                "e5 (model_type bert) or a decoder embedder such as Qwen3-Embedding.",
                STR_ARG(m->name), declared[i]);
        return "NotImplemented";
    }
    if (str_eq(info.model_type, STR("embedding"))) return NULL;
    err_set(&c->err, ERR_INVALID,
            "Model '" STR_FMT "' is not recognized as an embedding model.", STR_ARG(m->name));
    return "NotAnEmbedder";
}

static bool cmd_embed_find(struct cli_context *c, struct cache_model *m, const char **type) {
    struct str spec = cli_text(&c->args, "model");
    if (cli_resolve(c, spec, m, NULL, &c->err)) return true;
    *type = c->err.code == ERR_AMBIGUOUS ? "AmbiguousMatch" : "ModelNotFound";
    if (c->err.code != ERR_NOT_FOUND) return false;
    err_clear(&c->err);
    err_set(&c->err, ERR_NOT_FOUND, "Model '" STR_FMT "' not found", STR_ARG(spec));
    cli_suggest_model(c, spec, &c->err);
    return false;
}

static int cmd_embed_run(struct cli_context *c) {
    struct cache_model m;
    const char *type = NULL;
    bool batch = cli_flag(&c->args, "--batch");
    if (!batch && !cli_get(&c->args, "[text]")->given) {
        err_set(&c->err, ERR_INVALID, "embed requires <text> or '-' to read stdin");
        return cli_fail(c, &c->err, "CommandError");
    }
    if (!cmd_embed_find(c, &m, &type) || (type = cmd_embed_obstacle(c, &m)))
        return cli_fail(c, &c->err, type);
    if (!cmd_embed_check_input(c, batch)) return cli_fail(c, &c->err, NULL);
    err_set(&c->err, ERR_UNSUPPORTED, "this build has no engine for embeddings yet");
    err_hint(&c->err, "`mlxk run` works with text models; `mlxk list` shows them");
    return cli_fail(c, &c->err, "NotImplemented");
}

MLXK_FN const struct cli_command *cmd_embed(void) {
    static const struct cli_command command = {
        "embed",
        "texts to vectors",
        CLI_EXPERIMENTAL,
        cmd_embed_options,
        MLXK_COUNT(cmd_embed_options),
        "  mlxk embed all-MiniLM-L6-v2 \"a text\"\n  mlxk embed all-MiniLM-L6-v2 --batch < "
        "texts.jsonl\n",
        cmd_embed_run,
    };
    return &command;
}

#undef CMD_EMBED_MAX_INPUT
