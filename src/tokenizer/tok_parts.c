/* tok_parts.c: reads normalizer, pre-tokenizer, post-processor and decoder from tokenizer.json.
 *
 * The file states each as an object with a "type", sequences of them nest. Here they become flat
 * rows of steps; a component that is not known is refused by name, because leaving it out would
 * give other ids without anybody noticing.
 *
 * 1. Nesting is bounded by the JSON reader's depth, rows by TOK_MAX_STAGES and TOK_MAX_DECODERS.
 * 2. Many pre-tokenizers are a pattern in disguise and become a TOK_STAGE_SPLIT with that pattern.
 */
#include "tokenizer/tok_int.h"

struct tok_parts {
    struct arena *arena;
    struct tok *t;
    struct err *e;
    const char *part_cstr;
};

static struct str tok_type_of(const struct json *v) {
    const struct json *type = json_get(v, "type");
    return json_is(type, JSON_STRING) ? type->string : STR_EMPTY;
}

static bool tok_part_unknown(const struct tok_parts *p, const struct json *v) {
    err_set(p->e, ERR_UNSUPPORTED, "tokenizer.json: the %s \"" STR_FMT "\" is not supported",
            p->part_cstr, STR_ARG(tok_type_of(v)));
    return err_hint(
        p->e, "use a model whose tokenizer is byte-level or SentencePiece-style BPE, or BERT's");
}

static bool tok_part_bad(const struct tok_parts *p, const struct json *v, const char *what_cstr) {
    return err_set(p->e, ERR_FORMAT, "tokenizer.json: the %s \"" STR_FMT "\" %s", p->part_cstr,
                   STR_ARG(tok_type_of(v)), what_cstr);
}

/* Text of a member, copied nowhere: the tree lives as long as the tokenizer. */
static bool tok_part_text(const struct tok_parts *p, const struct json *v, const char *key_cstr,
                          struct str *out) {
    const struct json *text = json_get(v, key_cstr);
    if (!json_is(text, JSON_STRING) || text->string.n > TOK_MAX_PIECE)
        return tok_part_bad(p, v, "lacks a text it must have");
    *out = text->string;
    return true;
}

static bool tok_part_flag(const struct json *v, const char *key_cstr, bool otherwise) {
    const struct json *flag = json_get(v, key_cstr);
    return json_is(flag, JSON_BOOL) ? flag->boolean : otherwise;
}

/* "pattern": {"Regex": ...} or {"String": ...}. An empty text never matches anything. */
static const struct tok_regex *tok_part_pattern(const struct tok_parts *p, const struct json *v) {
    const struct json *pattern = json_get(v, "pattern");
    const struct json *regex = json_get(pattern, "Regex"), *text = json_get(pattern, "String");
    if (json_is(regex, JSON_STRING)) return tok_regex_compile(p->arena, regex->string, p->e);
    if (json_is(text, JSON_STRING)) return tok_regex_literal(p->arena, text->string, p->e);
    tok_part_bad(p, v, "has no pattern");
    return NULL;
}

typedef bool (*tok_part_reader)(struct tok_parts *p, const struct json *v);

/* Reads the members of a sequence, or the one component that v is. */
static bool tok_part_each(struct tok_parts *p, const struct json *v, const char *list_cstr,
                          tok_part_reader read) {
    if (!v || v->kind == JSON_NULL) return true;
    if (v->kind != JSON_OBJECT)
        return err_set(p->e, ERR_FORMAT, "tokenizer.json: the %s is not an object", p->part_cstr);
    if (!str_eq_cstr(tok_type_of(v), "Sequence")) return read(p, v);
    const struct json *list = json_get(v, list_cstr);
    if (!json_is(list, JSON_ARRAY)) return tok_part_bad(p, v, "has no list of members");
    for (const struct json *m = list->child; m; m = m->next)
        if (!tok_part_each(p, m, list_cstr, read)) return false;
    return true;
}

static bool tok_part_too_many(const struct tok_parts *p) {
    return err_set(p->e, ERR_LIMIT, "tokenizer.json: the %s has more than %d steps", p->part_cstr,
                   TOK_MAX_STAGES);
}

/* ---- normalizer ------------------------------------------------------------------------------ */

/* BERT's normalizer is a row of five, each of which can be switched off. */
static bool tok_read_bert(struct tok_parts *p, const struct json *v) {
    bool lowercase = tok_part_flag(v, "lowercase", true);
    bool strip = tok_part_flag(v, "strip_accents", lowercase); /* null: as lowercase */
    struct {
        enum tok_norm_kind kind;
        bool on;
    } row[] = { { TOK_NORM_CLEAN, tok_part_flag(v, "clean_text", true) },
                { TOK_NORM_SPACE_IDEOGRAPHS, tok_part_flag(v, "handle_chinese_chars", true) },
                { TOK_NORM_NFD, strip },
                { TOK_NORM_STRIP_NONSPACING, strip },
                { TOK_NORM_LOWERCASE, lowercase } };
    for (size_t i = 0; i < MLXK_COUNT(row); i++) {
        if (!row[i].on) continue;
        if (p->t->n_norms == TOK_MAX_STAGES) return tok_part_too_many(p);
        p->t->norms[p->t->n_norms++].kind = row[i].kind;
    }
    return true;
}

static bool tok_read_norm_step(struct tok_parts *p, const struct json *v) {
    static const struct {
        const char *type_cstr;
        enum tok_norm_kind kind;
    } kinds[] = { { "NFC", TOK_NORM_NFC },
                  { "NFD", TOK_NORM_NFD },
                  { "NFKC", TOK_NORM_NFKC },
                  { "NFKD", TOK_NORM_NFKD },
                  { "Lowercase", TOK_NORM_LOWERCASE },
                  { "StripAccents", TOK_NORM_STRIP_ACCENTS },
                  { "Strip", TOK_NORM_STRIP },
                  { "Replace", TOK_NORM_REPLACE },
                  { "Prepend", TOK_NORM_PREPEND } };
    struct tok *t = p->t;
    size_t i = 0;
    while (i < MLXK_COUNT(kinds) && !str_eq_cstr(tok_type_of(v), kinds[i].type_cstr)) i++;
    if (str_eq_cstr(tok_type_of(v), "BertNormalizer")) return tok_read_bert(p, v);
    if (i == MLXK_COUNT(kinds)) return tok_part_unknown(p, v);
    if (t->n_norms == TOK_MAX_STAGES) return tok_part_too_many(p);
    struct tok_norm_step *step = &t->norms[t->n_norms++];
    step->kind = kinds[i].kind;
    step->left = tok_part_flag(v, "strip_left", true);
    step->right = tok_part_flag(v, "strip_right", true);
    if (step->kind == TOK_NORM_PREPEND) return tok_part_text(p, v, "prepend", &step->content);
    if (step->kind != TOK_NORM_REPLACE) return true;
    step->re = tok_part_pattern(p, v);
    return step->re && tok_part_text(p, v, "content", &step->content);
}

MLXK_FN bool tok_read_normalizer(struct arena *a, struct tok *t, const struct json *v,
                                 struct err *e) {
    struct tok_parts p = { a, t, e, "normalizer" };
    return tok_part_each(&p, v, "normalizers", tok_read_norm_step);
}

/* ---- pre-tokenizer --------------------------------------------------------------------------- */

static struct tok_stage *tok_stage_add(struct tok_parts *p, enum tok_stage_kind kind) {
    if (p->t->n_stages == TOK_MAX_STAGES) {
        tok_part_too_many(p);
        return NULL;
    }
    struct tok_stage *stage = &p->t->stages[p->t->n_stages++];
    stage->kind = kind;
    return stage;
}

static bool tok_stage_pattern(struct tok_parts *p, const char *pattern_cstr,
                              enum tok_split_behavior behavior) {
    struct tok_stage *stage = tok_stage_add(p, TOK_STAGE_SPLIT);
    if (!stage) return false;
    stage->behavior = behavior;
    stage->re = tok_regex_compile(p->arena, str_cstr(pattern_cstr), p->e);
    return stage->re != NULL;
}

static bool tok_read_behavior(const struct tok_parts *p, const struct json *v,
                              enum tok_split_behavior *out) {
    static const struct {
        const char *name_cstr;
        enum tok_split_behavior behavior;
    } names[] = { { "Removed", TOK_SPLIT_REMOVED },
                  { "Isolated", TOK_SPLIT_ISOLATED },
                  { "MergedWithPrevious", TOK_SPLIT_MERGED_WITH_PREVIOUS },
                  { "MergedWithNext", TOK_SPLIT_MERGED_WITH_NEXT },
                  { "Contiguous", TOK_SPLIT_CONTIGUOUS } };
    const struct json *name = json_get(v, "behavior");
    for (size_t i = 0; i < MLXK_COUNT(names); i++)
        if (json_is(name, JSON_STRING) && str_eq_cstr(name->string, names[i].name_cstr)) {
            *out = names[i].behavior;
            return true;
        }
    return tok_part_bad(p, v, "has an unknown behavior");
}

static bool tok_read_byte_level(struct tok_parts *p, const struct json *v) {
    if (tok_part_flag(v, "add_prefix_space", true) && !tok_stage_add(p, TOK_STAGE_PREFIX_SPACE))
        return false;
    if (tok_part_flag(v, "use_regex", true) &&
        !tok_stage_pattern(
            p, "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
            TOK_SPLIT_ISOLATED))
        return false;
    return tok_stage_add(p, TOK_STAGE_BYTES) != NULL;
}

static bool tok_read_split(struct tok_parts *p, const struct json *v) {
    struct tok_stage *stage = tok_stage_add(p, TOK_STAGE_SPLIT);
    if (!stage || !tok_read_behavior(p, v, &stage->behavior)) return false;
    stage->invert = tok_part_flag(v, "invert", false);
    stage->re = tok_part_pattern(p, v);
    return stage->re != NULL;
}

/* "prepend_scheme", or the older "add_prefix_space". */
static bool tok_read_prepend(const struct tok_parts *p, const struct json *v,
                             enum tok_prepend *out) {
    static const char *const names[] = { "never", "first", "always" };
    const struct json *scheme = json_get(v, "prepend_scheme");
    *out = tok_part_flag(v, "add_prefix_space", true) ? TOK_PREPEND_ALWAYS : TOK_PREPEND_NEVER;
    if (!json_is(scheme, JSON_STRING)) return true;
    for (size_t i = 0; i < MLXK_COUNT(names); i++)
        if (str_eq_cstr(scheme->string, names[i])) {
            *out = (enum tok_prepend)i;
            return true;
        }
    return tok_part_bad(p, v, "has an unknown prepend_scheme");
}

static bool tok_read_metaspace(struct tok_parts *p, const struct json *v) {
    struct tok_stage *stage = tok_stage_add(p, TOK_STAGE_METASPACE);
    if (!stage || !tok_part_text(p, v, "replacement", &stage->content) ||
        !tok_read_prepend(p, v, &stage->prepend))
        return false;
    if (utf8_count(stage->content) != 1)
        return tok_part_bad(p, v, "needs one character as replacement");
    struct str content = stage->content;
    if (!tok_part_flag(v, "split", true)) return true;
    stage = tok_stage_add(p, TOK_STAGE_SPLIT);
    if (!stage) return false;
    stage->behavior = TOK_SPLIT_MERGED_WITH_NEXT;
    stage->re = tok_regex_literal(p->arena, content, p->e);
    return stage->re != NULL;
}

static bool tok_read_punctuation(struct tok_parts *p, const struct json *v) {
    enum tok_split_behavior behavior = TOK_SPLIT_ISOLATED;
    if (json_get(v, "behavior") && !tok_read_behavior(p, v, &behavior)) return false;
    struct tok_stage *stage = tok_stage_add(p, TOK_STAGE_PUNCTUATION);
    if (stage) stage->behavior = behavior;
    return stage != NULL;
}

static bool tok_read_words(struct tok_parts *p) {
    if (!tok_stage_pattern(p,
                           "[\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{"
                           "1F149}\\x{1F150}-\\x{1F169}"
                           "\\x{1F170}-\\x{1F189}\\x{200C}\\x{200D}]+|[^\\p{L}\\p{M}\\p{Nd}\\p{Nl}"
                           "\\p{Pc}\\x{24B6}-\\x{24E9}"
                           "\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}\\x{"
                           "200C}\\x{200D}\\s]+",
                           TOK_SPLIT_REMOVED))
        return false;
    p->t->stages[p->t->n_stages - 1].invert = true;
    return true;
}

static bool tok_read_stage(struct tok_parts *p, const struct json *v) {
    struct str type = tok_type_of(v);
    if (str_eq_cstr(type, "ByteLevel")) return tok_read_byte_level(p, v);
    if (str_eq_cstr(type, "Split")) return tok_read_split(p, v);
    if (str_eq_cstr(type, "Metaspace")) return tok_read_metaspace(p, v);
    if (str_eq_cstr(type, "Digits"))
        return tok_stage_pattern(p, "\\p{N}",
                                 tok_part_flag(v, "individual_digits", false)
                                     ? TOK_SPLIT_ISOLATED
                                     : TOK_SPLIT_CONTIGUOUS);
    if (str_eq_cstr(type, "Punctuation")) return tok_read_punctuation(p, v);
    if (str_eq_cstr(type, "WhitespaceSplit")) return tok_stage_pattern(p, "\\s", TOK_SPLIT_REMOVED);
    if (str_eq_cstr(type, "Whitespace")) return tok_read_words(p);
    if (str_eq_cstr(type, "BertPreTokenizer"))
        return tok_stage_pattern(p, "\\s", TOK_SPLIT_REMOVED) && tok_read_punctuation(p, v);
    return tok_part_unknown(p, v);
}

MLXK_FN bool tok_read_pre_tokenizer(struct arena *a, struct tok *t, const struct json *v,
                                    struct err *e) {
    struct tok_parts p = { a, t, e, "pre-tokenizer" };
    if (!tok_part_each(&p, v, "pretokenizers", tok_read_stage)) return false;
    if (t->n_stages && !t->wordpiece && t->stages[t->n_stages - 1].kind == TOK_STAGE_BYTES) {
        t->n_stages--; /* BPE begins with bytes instead */
        t->bytes_last = true;
    }
    return true;
}

/* ---- post-processor -------------------------------------------------------------------------- */

static bool tok_affix_add(const struct tok_parts *p, const struct json *id, int32_t *list,
                          size_t *n) {
    if (!json_is(id, JSON_INT) || id->integer < 0 || id->integer >= TOK_MAX_VOCAB)
        return err_set(p->e, ERR_FORMAT,
                       "tokenizer.json: the post-processor names a token without a usable id");
    if (*n == TOK_MAX_AFFIXES)
        return err_set(p->e, ERR_LIMIT,
                       "tokenizer.json: the post-processor adds more than %d tokens",
                       TOK_MAX_AFFIXES);
    list[(*n)++] = (int32_t)id->integer;
    return true;
}

/* TemplateProcessing.single: special tokens around the sequence A. */
static bool tok_read_template(struct tok_parts *p, const struct json *v) {
    struct tok *t = p->t;
    int32_t first[TOK_MAX_AFFIXES];
    size_t n_first = 0, sequences = 0;
    const struct json *single = json_get(v, "single"), *table = json_get(v, "special_tokens");
    if (!json_is(single, JSON_ARRAY)) return tok_part_bad(p, v, "has no template for one sequence");
    for (const struct json *m = single->child; m; m = m->next) {
        const struct json *token = json_get(m, "SpecialToken"), *name = json_get(token, "id");
        if (!token) {
            sequences += json_get(m, "Sequence") != NULL;
            continue;
        }
        const struct json *entry =
            json_is(name, JSON_STRING) ? json_get_str(table, name->string) : NULL;
        const struct json *ids = json_get(entry, "ids");
        if (!json_is(ids, JSON_ARRAY))
            return tok_part_bad(p, v, "uses a special token that it does not define");
        for (const struct json *id = ids->child; id; id = id->next)
            if (!(sequences ? tok_affix_add(p, id, t->behind, &t->n_behind)
                            : tok_affix_add(p, id, first, &n_first)))
                return false;
    }
    if (sequences != 1) return tok_part_bad(p, v, "does not hold the sequence exactly once");
    if (t->n_before + n_first > TOK_MAX_AFFIXES)
        return err_set(p->e, ERR_LIMIT,
                       "tokenizer.json: the post-processor adds more than %d tokens",
                       TOK_MAX_AFFIXES);
    memmove(t->before + n_first, t->before,
            t->n_before * sizeof *first); /* outside of what is there */
    memcpy(t->before, first, n_first * sizeof *first);
    t->n_before += n_first;
    return true;
}

static bool tok_read_processor(struct tok_parts *p, const struct json *v) {
    struct tok *t = p->t;
    struct str type = tok_type_of(v);
    if (str_eq_cstr(type, "ByteLevel")) return true; /* offsets only */
    if (str_eq_cstr(type, "TemplateProcessing")) return tok_read_template(p, v);
    if (!str_eq_cstr(type, "RobertaProcessing") && !str_eq_cstr(type, "BertProcessing"))
        return tok_part_unknown(p, v);
    if (t->n_before == TOK_MAX_AFFIXES)
        return err_set(p->e, ERR_LIMIT,
                       "tokenizer.json: the post-processor adds more than %d tokens",
                       TOK_MAX_AFFIXES);
    size_t n = 0;
    memmove(t->before + 1, t->before, t->n_before * sizeof t->before[0]);
    t->n_before++;
    return tok_affix_add(p, json_at(json_get(v, "cls"), 1), t->before, &n) &&
           tok_affix_add(p, json_at(json_get(v, "sep"), 1), t->behind, &t->n_behind);
}

MLXK_FN bool tok_read_post_processor(struct tok *t, const struct json *v, struct err *e) {
    struct tok_parts p = { NULL, t, e, "post-processor" };
    return tok_part_each(&p, v, "processors", tok_read_processor);
}

/* ---- decoder --------------------------------------------------------------------------------- */

static bool tok_read_strip(const struct tok_parts *p, const struct json *v, struct tok_decoder *d) {
    int64_t start = 0, stop = 0;
    if (!json_read_i64(v, "start", 0, TOK_MAX_PIECE, &start, p->e) ||
        !json_read_i64(v, "stop", 0, TOK_MAX_PIECE, &stop, p->e) ||
        !tok_part_text(p, v, "content", &d->content))
        return false;
    d->start = (uint32_t)start;
    d->stop = (uint32_t)stop;
    if (utf8_count(d->content) != 1) return tok_part_bad(p, v, "needs one character as content");
    return true;
}

static bool tok_read_decoder_fields(const struct tok_parts *p, const struct json *v,
                                    struct tok_decoder *d) {
    enum tok_prepend prepend;
    const struct json *pattern;
    switch (d->kind) {
    case TOK_DEC_METASPACE:
        if (!tok_part_text(p, v, "replacement", &d->content) || !tok_read_prepend(p, v, &prepend))
            return false;
        d->prepend = prepend != TOK_PREPEND_NEVER;
        return utf8_count(d->content) == 1 ||
               tok_part_bad(p, v, "needs one character as replacement");
    case TOK_DEC_REPLACE:
        d->re = tok_part_pattern(p, v);
        pattern = json_get(json_get(v, "pattern"), "String");
        d->content = pattern ? pattern->string : STR_EMPTY;
        d->whole = d->fused && utf8_count(d->content) != 1;
        return d->re && tok_part_text(p, v, "content", &d->with);
    case TOK_DEC_STRIP: return tok_read_strip(p, v, d);
    case TOK_DEC_WORDPIECE:
        d->whole = d->fused;
        d->cleanup = tok_part_flag(v, "cleanup", true);
        return tok_part_text(p, v, "prefix", &d->content);
    case TOK_DEC_BYTE_LEVEL:
    case TOK_DEC_BYTE_FALLBACK: d->whole = d->fused; return true;
    default: return true;
    }
}

static bool tok_read_decoder_step(struct tok_parts *p, const struct json *v) {
    static const struct {
        const char *type_cstr;
        enum tok_decoder_kind kind;
    } kinds[] = { { "ByteLevel", TOK_DEC_BYTE_LEVEL },
                  { "Metaspace", TOK_DEC_METASPACE },
                  { "Replace", TOK_DEC_REPLACE },
                  { "ByteFallback", TOK_DEC_BYTE_FALLBACK },
                  { "Fuse", TOK_DEC_FUSE },
                  { "Strip", TOK_DEC_STRIP },
                  { "WordPiece", TOK_DEC_WORDPIECE } };
    struct tok *t = p->t;
    size_t i = 0;
    while (i < MLXK_COUNT(kinds) && !str_eq_cstr(tok_type_of(v), kinds[i].type_cstr)) i++;
    if (i == MLXK_COUNT(kinds)) return tok_part_unknown(p, v);
    if (t->n_decoders == TOK_MAX_DECODERS)
        return err_set(p->e, ERR_LIMIT, "tokenizer.json: the decoder has more than %d steps",
                       TOK_MAX_DECODERS);
    struct tok_decoder *d = &t->decoders[t->n_decoders], *before = t->n_decoders ? d - 1 : NULL;
    t->n_decoders++;
    d->kind = kinds[i].kind;
    d->fused = before && (before->fused || before->kind == TOK_DEC_FUSE ||
                          before->kind == TOK_DEC_BYTE_LEVEL);
    return tok_read_decoder_fields(p, v, d);
}

MLXK_FN bool tok_read_decoder(struct arena *a, struct tok *t, const struct json *v, struct err *e) {
    struct tok_parts p = { a, t, e, "decoder" };
    if (!tok_part_each(&p, v, "decoders", tok_read_decoder_step)) return false;
    if (!v || v->kind == JSON_NULL) { /* no decoder: texts with spaces between */
        t->decoders[0].kind = TOK_DEC_JOIN_SPACE;
        t->n_decoders = 1;
    }
    return true;
}
