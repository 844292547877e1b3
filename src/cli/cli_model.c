/* cli_model.c: what several commands need of a model directory: lookup, tokenizer, template. */
#include "cli/cli_oci.h"
#include "cli/cli_sign.h"
#include "cli/cli_suggest.h"
#include "chat/chat.h"
#include "template/tmpl.h"
#include "tokenizer/tok.h"

/* oci://HOST/REPO:TAG as the name and revision under which the cache keeps it. */
static bool cli_model_of_registry(struct cli_context *c, struct str spec, struct oci_ref *r,
                                  struct str *out, struct err *e) {
    *out = spec;
    if (!oci_ref_is(spec)) return true;
    if (!oci_ref_parse(&c->arena, spec, r, e)) return false;
    struct str name = oci_ref_model(&c->arena, r);
    struct str revision =
        r->digest.n ? str_sub(oci_digest_hex(r->digest), 0, 40) : oci_ref_what(r);
    *out = str_format(&c->arena, STR_FMT "@" STR_FMT, STR_ARG(name), STR_ARG(revision));
    if (cache_resolve(&c->arena, &c->cache, *out, &(struct cache_model){ 0 }, NULL,
                      &(struct err){ 0 }))
        return true;
    bool uses = c->args.command && strcmp(c->args.command->group_cstr, "use") == 0;
    if (uses && cli_oci_bring(c, r)) return true;
    if (uses) {
        *e = c->err;
        return false;
    }
    err_set(e, ERR_NOT_FOUND, STR_FMT " is not in the cache", STR_ARG(spec));
    return err_hint(e, "`mlxk pull " STR_FMT "` fetches it", STR_ARG(spec));
}

/* Commands that let a model work ask the policy, the others only handle its files. */
static bool cli_model_may_work(struct cli_context *c, const struct cache_model *m,
                               const struct oci_ref *r /* or NULL */, struct str spec,
                               struct err *e) {
    static const char *const at_work[] = { "run", "serve", "bench", "embed", "logits" };
    ptrdiff_t at = str_find_char(spec, '@');
    struct str revision = at < 0 ? STR_EMPTY : str_sub(spec, (size_t)at + 1, spec.n);
    for (size_t i = 0; c->args.command && i < MLXK_COUNT(at_work); i++)
        if (!strcmp(c->args.command->name_cstr, at_work[i]))
            return cli_sign_cached(c, m, r, revision, e);
    return true;
}

/* Datasets and spaces are kept and handed on; no command looks for a model in them. */
static bool cli_model_fits(struct cli_context *c, struct str name, struct err *e) {
    static const char *const keepers[] = { "show", "health", "rm", "verify", "du", "gc", "export" };
    const char *command_cstr = c->args.command ? c->args.command->name_cstr : "this";
    enum cache_kind kind = cache_kind_of(name);
    if (kind == CACHE_MODEL) return true;
    for (size_t i = 0; i < MLXK_COUNT(keepers); i++)
        if (!strcmp(command_cstr, keepers[i])) return true;
    err_clear(e);
    err_set(e, ERR_UNSUPPORTED, "`%s` needs a model, and " STR_FMT " is a %s", command_cstr,
            STR_ARG(name), cache_kind_name(kind));
    return err_hint(e, "`mlxk clone` makes a folder of its files, which other tools can read");
}

MLXK_FN bool cli_resolve(struct cli_context *c, struct str spec, struct cache_model *out,
                         struct cache_matches *matches, struct err *e) {
    struct cache_matches own = { 0 };
    struct oci_ref r = { .tag = STR_EMPTY };
    bool is_ref = oci_ref_is(spec);
    if (!matches) matches = &own;
    if (!cli_model_of_registry(c, spec, &r, &spec, e)) return false;
    if (cache_resolve(&c->arena, &c->cache, spec, out, matches, e))
        return (out->place != CACHE_REPO || cli_model_fits(c, out->name, e)) &&
               cli_model_may_work(c, out, is_ref ? &r : NULL, spec, e);
    if (!cli_model_fits(c, spec, e)) return false;
    if (e->code == ERR_NOT_FOUND && !c->out.json) cli_suggest_model(c, spec, e);
    struct os_stat st;
    char *path_cstr = e->code == ERR_NOT_FOUND && spec.n ? str_dup_cstr(&c->arena, spec) : NULL;
    if (path_cstr && !c->out.json && !e->hint[0] && os_stat(path_cstr, &st) && st.kind == OS_DIR)
        return err_hint(e, "the folder of that name holds no config.json");
    if (e->code == ERR_NOT_FOUND && !c->out.json && os_is_tty(2))
        err_hint(e, "`mlxk list --all` shows what is here, `mlxk pull ORG/NAME` fetches a model");
    if (e->code != ERR_AMBIGUOUS || e->hint[0]) return false;
    struct buf names;
    buf_init(&names, 4096);
    for (size_t i = 0; i < matches->n && i < 8; i++)
        buf_addf(&names, "%s" STR_FMT, i ? ", " : "", STR_ARG(matches->names[i]));
    if (matches->n > 8) buf_addf(&names, " and %zu more", matches->n - 8);
    err_hint(e, "name one of: %s", names.failed ? "see mlxk list" : names.p);
    buf_release(&names);
    return false;
}

MLXK_FN bool cli_resolve_dir(struct cli_context *c, struct str spec, const char *file_cstr,
                             const char **dir_cstr, struct err *e) {
    struct cache_model found;
    struct os_stat st;
    char *path_cstr = str_dup_cstr(&c->arena, spec);
    char *inside_cstr = path_cstr ? os_path_join(&c->arena, path_cstr, file_cstr) : NULL;
    if (!inside_cstr) return err_oom(e, spec.n, "a path");
    *dir_cstr = path_cstr;
    if (spec.n && os_stat(inside_cstr, &st) && st.kind == OS_FILE) return true;
    bool ok = cli_resolve(c, spec, &found, NULL, e);
    if (ok) *dir_cstr = found.dir_cstr;
    return ok;
}

MLXK_FN bool cli_model_failed(struct cli_context *c, const char *dir_cstr, struct err *e) {
    struct str spec = cli_text(&c->args, "model");
    if (str_find(str_cstr(e->msg), str_cstr(dir_cstr)) < 0) err_context(e, "%s: ", dir_cstr);
    if (e->code == ERR_UNSUPPORTED)
        return err_hint(e, "use another conversion of this model, in MLX format");
    if (e->code != ERR_FORMAT && e->code != ERR_LIMIT) return false;
    if (spec.n > 60) spec = STR("MODEL");
    return err_hint(
        e, "`mlxk health " STR_FMT "` checks the files; pull or import again what is damaged",
        STR_ARG(spec));
}

/* File of a model directory when it is there; *text stays empty when not. */
static bool cli_model_file(struct cli_context *c, const char *dir_cstr, const char *name_cstr,
                           size_t max_bytes, struct str *text, struct err *e) {
    struct os_stat st;
    char *path_cstr = os_path_join(&c->arena, dir_cstr, name_cstr);
    if (!path_cstr) return err_oom(e, LIMIT_PATH, "a path");
    *text = STR_EMPTY;
    return !os_stat(path_cstr, &st) || os_read_file(&c->arena, path_cstr, max_bytes, text, e);
}

static bool cli_model_json(struct cli_context *c, const char *dir_cstr, const char *name_cstr,
                           const struct json **out, struct err *e) {
    struct str text;
    *out = NULL;
    if (!cli_model_file(c, dir_cstr, name_cstr, LIMIT_JSON_FILE, &text, e)) return false;
    if (!text.p) return true;
    *out = json_parse_large(&c->arena, text, e);
    return *out || err_context(e, "%s/%s: ", dir_cstr, name_cstr);
}

MLXK_FN struct tok *cli_load_tokenizer(struct cli_context *c, const char *dir_cstr,
                                       const struct json **config, struct err *e) {
    const struct json *tokenizer_config;
    if (!cli_model_json(c, dir_cstr, "tokenizer_config.json", &tokenizer_config, e)) return NULL;
    if (config) *config = tokenizer_config;
    char *path_cstr = os_path_join(&c->arena, dir_cstr, "tokenizer.json");
    if (!path_cstr) {
        err_oom(e, LIMIT_PATH, "a path");
        return NULL;
    }
    struct os_stat st;
    if (!os_stat(path_cstr, &st)) {
        err_set(e, ERR_NOT_FOUND, "%s has no tokenizer.json", dir_cstr);
        err_hint(e, "pull the model again, or convert its tokenizer to the tokenizer.json format");
        return NULL;
    }
    struct os_map map; /* lives as long as the process: the tokenizer borrows its texts */
    if (!os_map_file(path_cstr, &map, e)) return NULL;
    struct str text = { (const char *)map.p, map.size_bytes };
    struct tok *t = tok_load(&c->arena, text, true, tokenizer_config, e);
    if (t) return t;
    bool named = str_starts(str_cstr(e->msg), STR("tokenizer.json"));
    err_context(e, "%s%s", named ? dir_cstr : path_cstr, named ? "/" : ": ");
    cli_model_failed(c, dir_cstr, e);
    return NULL;
}

MLXK_FN bool cli_load_template(struct cli_context *c, const char *dir_cstr, bool has_tools,
                               struct str *source, const struct json **config, struct err *e) {
    struct str jinja;
    const struct json *template_json;
    if (!cli_model_file(c, dir_cstr, "chat_template.jinja", TMPL_MAX_SOURCE, &jinja, e) ||
        !cli_model_json(c, dir_cstr, "chat_template.json", &template_json, e) ||
        !cli_model_json(c, dir_cstr, "tokenizer_config.json", config, e))
        return false;
    *source = tmpl_choose(jinja, template_json, *config, STR_EMPTY, has_tools);
    if (source->p) return true;
    err_set(e, ERR_UNSUPPORTED, "%s has no chat template", dir_cstr);
    return err_hint(e, "it is a base model: give it text to continue");
}

MLXK_FN void cli_clock(struct tmpl_clock *now) {
    struct os_date d = os_date_local(os_time_ns() / 1000000000);
    *now = (struct tmpl_clock){ d.year, d.month, d.day, d.hour, d.minute, d.second };
}

/* ---- a model ready to talk (Public) --------------------------------------------------------- */

MLXK_FN bool cli_open_model(struct cli_context *c, const char *dir_cstr, bool with_template,
                            const struct eng_options *o, struct cli_engine *out, struct err *e) {
    *out = (struct cli_engine){ 0 };
    int64_t start_ns = os_now_ns();
    const struct json *config;
    out->model = model_open(dir_cstr, e);
    if (!out->model) return cli_model_failed(c, dir_cstr, e);
    out->tok = cli_load_tokenizer(c, dir_cstr, &config, e);
    bool ok = out->tok != NULL;
    struct tmpl *tmpl = NULL;
    if (ok && with_template) {
        struct str source;
        struct err none = { 0 };
        if (cli_load_template(c, dir_cstr, false, &source, &config, &none)) {
            ok = (tmpl = tmpl_parse(&c->arena, source, e)) != NULL;
            if (!ok)
                err_context(e, "the chat template of %s (--no-chat-template does without), ",
                            dir_cstr);
        } else if (none.code != ERR_UNSUPPORTED) {
            *e = none;
            ok = false;
        } /* no template: a base model */
    }
    if (ok) {
        chat_init(&out->chat, out->tok, tmpl, config);
        ok = (out->session = eng_open(out->model, o, e)) != NULL;
    }
    out->load_ns = os_now_ns() - start_ns;
    if (!ok) cli_close_model(out);
    return ok;
}

MLXK_FN void cli_close_model(struct cli_engine *m) {
    eng_close(m->session);
    model_close(m->model);
    *m = (struct cli_engine){ 0 };
}
